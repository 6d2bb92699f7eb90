/* SPDX-License-Identifier: Apache-2.0
 *
 * Operators between streams, as the programs run them, while every allocation of
 * the calling thread fails once.
 */
#include "ops.h"

#include "../../lib/exec/pipe.h"
#include "../../lib/train/score.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* rn-OP … in[0] in[1] -o out, and what out then holds. */
struct stage {
	struct rn_pipe_conf conf;
	struct rn_operand in[2];
	char path[3][200]; /* the inputs', the output's */
	char *usual;	   /* the bytes of the output */
	size_t size;
};

static char *slurp(const char *path, size_t *n)
{
	FILE *f = fopen(path, "rb");
	char *x = malloc(1 << 20);

	*n = f ? fread(x, 1, 1 << 20, f) : 0;
	if (f)
		fclose(f);
	return x;
}

static int run_once(void *arg, bool *same, struct rn_err *e)
{
	struct stage *x = arg;
	struct rn_pipe_stats stats;
	size_t n;
	char *got;
	int rc = rn_pipe_run(&x->conf, &stats, e);

	if (rc)
		return rc;
	alloc_stop();
	got = slurp(x->conf.output, &n);
	if (!x->usual) {
		x->usual = got;
		x->size = n;
		return 0;
	}
	*same = n == x->size && !memcmp(got, x->usual, n);
	free(got);
	return 0;
}

static void open_stage(struct stage *x, const char *op, const char *opt, const char *const *files,
		       const char *output)
{
	*x = (struct stage){ .conf = { .ctx = &quiet, .op = rn_op_find(op), .in = x->in } };
	x->conf.opt = case_options(x->conf.op, opt);
	x->conf.writer.compress = RN_COMPRESS_NONE;
	for (; files[x->conf.nin]; x->conf.nin++) {
		snprintf(x->path[x->conf.nin], sizeof x->path[0], "%s/%s", tmp_dir,
			 files[x->conf.nin]);
		x->in[x->conf.nin].file = x->path[x->conf.nin];
	}
	snprintf(x->path[2], sizeof x->path[2], "%s/%s", tmp_dir, output);
	x->conf.output = x->path[2];
}

static void close_stage(struct stage *x)
{
	json_decref(x->conf.opt);
	free(x->usual);
}

/* One stage, also while allocations fail. */
static bool stage(const char *op, const char *opt, const char *const *files, const char *output)
{
	struct stage x;
	struct rn_err e;
	bool same, ok;

	open_stage(&x, op, opt, files, output);
	must(run_once(&x, &same, &e), &e, op);
	ok = check_every_alloc(run_once, &x);
	must(run_once(&x, &same, &e), &e, op); /* leaves its output */
	close_stage(&x);
	return ok;
}

static void make_input(const char *file, const char *what, uint64_t seed)
{
	struct rnd r = { seed };
	struct rn_rel *rel = gen_rel(what, 30, &r);
	struct rn_err e;
	char path[200];

	snprintf(path, sizeof path, "%s/%s", tmp_dir, file);
	must(rn_rel_save(&quiet, rel, path, "er", &e), &e, path);
	rn_rel_unref(rel);
}

static void remove_file(const char *file)
{
	char path[200];

	snprintf(path, sizeof path, "%s/%s", tmp_dir, file);
	unlink(path);
}

#define FILES(...) ((const char *const[]){ __VA_ARGS__, NULL })

bool pipe_filter(void)
{
	bool ok;

	make_input("l.er", "l(u:u i:i s:s; z:3 y:s4)", 1);
	ok = stage("filter", "{\"expr\": \"i > 0 or s = 'a'\"}", FILES("l.er"), "out.er");
	remove_file("l.er");
	remove_file("out.er");
	return ok;
}

bool pipe_join(void)
{
	bool ok;

	make_input("l.er", "l(k:i s:s; z:3)", 1);
	make_input("r.er", "r(k:i t:t; y:s4)", 2);
	ok = stage("join", "{\"on\": \"k\", \"how\": \"left\"}", FILES("l.er", "r.er"), "out.er");
	remove_file("l.er");
	remove_file("r.er");
	remove_file("out.er");
	return ok;
}

/* The streams of a diamond, merged into one plan. */
struct tail {
	char path[2][200];
	char *usual; /* the plan as text */
};

static int merge(const struct rn_stream *s, size_t n, struct tail *x, bool *same, struct rn_err *e)
{
	struct rn_rel **carried = NULL;
	size_t ncarried = 0;
	struct rn_plan *p;
	uint32_t node;
	json_t *j;
	int rc = rn_plan_new(&p, e);

	if (rc)
		return rc;
	for (size_t i = 0; i < n && !rc; i++)
		rc = rn_stream_merge(&s[i], p, &node, &carried, &ncarried, e);
	if (!rc)
		rc = rn_plan_canonical(p, &node, e);
	if (!rc)
		rc = rn_plan_to_spec(p, &j, e);
	if (!rc) {
		char *text;

		alloc_stop();
		text = json_dumps(j, 0);
		json_decref(j);
		*same = !x->usual || !strcmp(text, x->usual);
		if (!x->usual)
			x->usual = strdup(text);
		free(text);
	}
	for (size_t i = 0; i < ncarried; i++)
		rn_rel_unref(carried[i]);
	free(carried);
	rn_plan_free(p);
	return rc;
}

static int read_once(void *arg, bool *same, struct rn_err *e)
{
	struct tail *x = arg;
	struct rn_operand in[2] = { { .file = x->path[0] }, { .file = x->path[1] } };
	struct rn_stream s[2];
	int rc = rn_streams_read(&quiet, in, 2, s, e);

	if (rc)
		return rc;
	rc = merge(s, 2, x, same, e);
	rn_stream_fini(&s[0]);
	rn_stream_fini(&s[1]);
	return rc;
}

bool pipe_deferred(void)
{
	struct tail x = { 0 };
	struct rn_err e;
	bool same, ok;

	make_input("l.er", "l(k:i y:c; z:3)", 1);
	ok = stage("linear", "{\"out\": 3}", FILES("l.er"), "h.er") &&
	     stage("filter", "{\"expr\": \"k > 0\"}", FILES("h.er"), "some.er") &&
	     stage("join", "{\"on\": \"k\", \"expr\": \"a * b\"}", FILES("h.er", "some.er"),
		   "both.er");
	snprintf(x.path[0], sizeof x.path[0], "%s/some.er", tmp_dir);
	snprintf(x.path[1], sizeof x.path[1], "%s/both.er", tmp_dir);
	if (ok) {
		must(read_once(&x, &same, &e), &e, "reading streams");
		ok = check_every_alloc(read_once, &x);
	}
	free(x.usual);
	for (size_t i = 0; i < 4; i++)
		remove_file(FILES("l.er", "h.er", "some.er", "both.er")[i]);
	return ok;
}
