/* SPDX-License-Identifier: Apache-2.0
 *
 * Plans from specs, streams and models.
 */
#include "plans.h"

#include "../lib/base/num.h"
#include "../lib/lang/lang.h"
#include "rows.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what an operand holds ------------------------------------------------------------- */

/* The descriptor that a name stands for, or -1. */
static int named_fd(const char *file)
{
	const char *digits = NULL;
	int64_t fd;

	if (!strcmp(file, "-"))
		return STDIN_FILENO;
	if (!strncmp(file, "/dev/fd/", 8))
		digits = file + 8;
	else if (!strncmp(file, "/proc/self/fd/", 14))
		digits = file + 14;
	return digits && rn_int64_parse(digits, strlen(digits), &fd) && fd >= 0 && fd < 1 << 20
		       ? (int)fd
		       : -1;
}

/* The first byte of a pipe, by tee(2), which leaves it there. */
static bool peek_pipe(int fd, char *first)
{
	int p[2];
	bool ok;

	if (pipe2(p, O_CLOEXEC))
		return false;
	ok = tee(fd, p[1], 1, 0) == 1 && read(p[0], first, 1) == 1;
	close(p[0]);
	close(p[1]);
	return ok;
}

static bool peek_file(const char *file, int fd, char *first)
{
	int mine = fd < 0 ? open(file, O_RDONLY | O_CLOEXEC) : fd;
	off_t at = fd < 0 ? 0 : lseek(fd, 0, SEEK_CUR);
	bool ok = mine >= 0 && pread(mine, first, 1, at) == 1;

	if (fd < 0 && mine >= 0)
		close(mine);
	return ok;
}

/* Is it a model?  Its header says so. */
static int container_kind(const char *file, enum rn_plan_kind *out, struct rn_err *e)
{
	struct rn_reader *r;
	struct rn_io *io;
	json_t *header;
	const char *kind, *text;

	RN_TRY(rn_io_open_read(file, &io, e));
	RN_TRY(rn_reader_open(io, &r, e));
	text = rn_reader_header(r);
	header = json_loads(text, 0, NULL);
	kind = json_string_value(json_object_get(header, "kind"));
	*out = kind && (!strcmp(kind, "model") || !strcmp(kind, "checkpoint")) ? RN_PLAN_MODEL
									       : RN_PLAN_STREAM;
	json_decref(header);
	rn_reader_close(r);
	return 0;
}

int rn_plan_kind(const struct rn_operand *in, enum rn_plan_kind *out, struct rn_err *e)
{
	size_t n = strlen(in->file);
	bool json = (n > 5 && !strcmp(in->file + n - 5, ".json")) ||
		    (n > 6 && !strcmp(in->file + n - 6, ".relnn"));
	int fd = named_fd(in->file);
	struct stat st;
	char first = 0;
	bool known;

	if (fd < 0 ? stat(in->file, &st) : fstat(fd, &st))
		return rn_err_errno(e, "cannot open '%s'", rn_operand_label(in));
	if (S_ISREG(st.st_mode))
		known = peek_file(in->file, fd, &first);
	else
		known = S_ISFIFO(st.st_mode) && fd >= 0 && peek_pipe(fd, &first);
	*out = RN_PLAN_STREAM;
	/* A container begins with 0xAB, text with anything else. */
	if (known ? (unsigned char)first != 0xAB : json)
		*out = RN_PLAN_SPEC;
	else if (S_ISREG(st.st_mode) && known && (unsigned char)first == 0xAB && fd < 0)
		return container_kind(in->file, out, e);
	return 0;
}

/* ---- a plan and its rows --------------------------------------------------------------- */

void rn_planned_fini(struct rn_planned *p)
{
	for (size_t i = 0; i < p->ncarried; i++)
		rn_rel_unref(p->carried[i]);
	free(p->carried);
	json_decref(p->history);
	rn_plan_free(p->plan);
	*p = (struct rn_planned){ 0 };
}

static int read_text(const struct rn_operand *in, struct rn_str *text, struct rn_err *e)
{
	char buf[1 << 16];
	struct rn_io *io;
	size_t got;
	int rc;

	RN_TRY(rn_io_open_read(in->file, &io, e));
	do {
		rc = io->ops->read(io, buf, sizeof buf, &got, e);
		rn_str_addn(text, buf, rc ? 0 : got);
	} while (!rc && got == sizeof buf && !text->failed);
	io->ops->abort(io);
	return rc ? rc : rn_str_check(text, e);
}

/* Is it a query program, and not JSON? */
static bool is_program(const struct rn_operand *in, const struct rn_str *text)
{
	size_t n = strlen(in->file), i = 0;

	if (n > 6 && !strcmp(in->file + n - 6, ".relnn"))
		return true;
	while (i < text->len && isspace((unsigned char)text->s[i]))
		i++;
	return text->s[i] != '{' && !(n > 5 && !strcmp(in->file + n - 5, ".json"));
}

static int compile(const struct rn_ctx *c, const struct rn_operand *in, const struct rn_str *text,
		   const struct rn_plan_set *s, struct rn_planned *p, struct rn_err *e)
{
	const char *slash = strcmp(in->file, "-") ? strrchr(in->file, '/') : NULL;
	struct rn_lang_conf conf = {
		.ctx = c, .file = rn_operand_label(in), .set = s->set, .nset = s->nset,
		.source = s->source, .nsource = s->nsource, .max_instances = s->max_instances,
		.define_only = s->define_only, .strict_sources = true,
	};
	char *dir = NULL;
	int rc;

	if (slash) {
		dir = strndup(in->file, slash == in->file ? 1 : (size_t)(slash - in->file));
		if (!dir)
			return rn_err_nomem(e, strlen(in->file) + 1, "a path");
	}
	conf.dir = dir;
	rc = rn_lang_compile(text->s, text->len, &conf, &p->plan, &p->carried, e);
	if (!rc)
		p->ncarried = p->plan->nnodes;
	free(dir);
	return rc;
}

int rn_plan_set_most(const struct rn_cli *c, struct rn_plan_set *s, struct rn_err *e)
{
	int64_t most = rn_cli_int(c, "max-instances");

	if (most < 1 || most > 100000000)
		return rn_err_set(e, RN_EUSAGE, "--max-instances must be 1 to 100000000, not %lld",
				  (long long)most);
	s->max_instances = (uint32_t)most;
	return 0;
}

int rn_planned_spec(const struct rn_ctx *c, const struct rn_operand *in,
		    const struct rn_plan_set *s, struct rn_planned *p, struct rn_err *e)
{
	struct rn_str text = RN_STR_INIT;
	int rc;

	*p = (struct rn_planned){ 0 };
	rc = read_text(in, &text, e);
	if (!rc && is_program(in, &text))
		rc = compile(c, in, &text, s, p, e);
	else if (!rc && !(rc = rn_plan_from_spec(text.s, text.len, rn_operand_label(in), s->set, s->nset,
						 s->source, s->nsource, &p->plan, e)))
		rc = rn_plan_canonical(p->plan, NULL, e);
	rn_str_fini(&text);
	if (rc)
		rn_planned_fini(p);
	return rc;
}

int rn_planned_streams(const struct rn_ctx *c, const struct rn_operand *in, size_t n,
		       uint32_t *nodes, struct rn_planned *p, struct rn_err *e)
{
	struct rn_stream *streams = NULL;
	int rc;

	*p = (struct rn_planned){ .piped = true };
	RN_TRY(rn_calloc(n, sizeof *streams, "streams", &streams, e));
	rc = rn_streams_read(c, in, n, streams, e);
	if (!rc)
		rc = rn_plan_new(&p->plan, e);
	if (!rc)
		p->history = json_incref(json_object_get(streams[0].header, "history"));
	for (size_t i = 0; i < n; i++) {
		if (!rc)
			rc = rn_stream_merge(&streams[i], p->plan, &nodes[i], &p->carried,
					     &p->ncarried, e);
		rn_stream_fini(&streams[i]);
	}
	free(streams);
	if (rc)
		rn_planned_fini(p);
	return rc;
}

int rn_planned_model(struct rn_model *m, const char *const *source, size_t nsource,
		     struct rn_planned *p, struct rn_err *e)
{
	*p = (struct rn_planned){ .plan = m->plan, .piped = true };
	m->plan = NULL;
	return rn_planned_finish(p, NULL, source, nsource, e);
}

/* ---- canonical ------------------------------------------------------------------------- */

/* Nodes before they were put in order.  A node's options are an object of its own, so
 * its address tells which node it has become. */
struct before {
	size_t n;
	json_t **opt;
	char **name;
};

static void before_fini(struct before *b)
{
	for (size_t i = 0; i < b->n; i++) {
		if (b->opt)
			json_decref(b->opt[i]);
		if (b->name)
			free(b->name[i]);
	}
	free(b->opt);
	free(b->name);
}

static int remember(const struct rn_plan *p, struct before *b, struct rn_err *e)
{
	b->n = p->nnodes;
	RN_TRY(rn_calloc(b->n, sizeof *b->opt, "a plan", &b->opt, e));
	RN_TRY(rn_calloc(b->n, sizeof *b->name, "a plan", &b->name, e));
	for (size_t i = 0; i < b->n; i++) {
		b->opt[i] = json_incref(p->nodes[i].opt);
		b->name[i] = p->nodes[i].name ? strdup(p->nodes[i].name) : NULL;
		if (p->nodes[i].name && !b->name[i])
			return rn_err_nomem(e, 0, "a name");
	}
	return 0;
}

static long same_node(const struct rn_plan *p, const json_t *opt)
{
	for (uint32_t i = 0; i < p->nnodes; i++)
		if (p->nodes[i].opt == opt)
			return (long)i;
	return -1;
}

/* Rows go with their node; those of a node that another of its name has taken in go to
 * that one, if it has none. */
static int renumber_rows(struct rn_planned *p, const struct before *b, struct rn_err *e)
{
	size_t n = p->plan->nnodes;
	struct rn_rel **rows;

	RN_TRY(rn_calloc(n, sizeof *rows, "a plan", &rows, e));
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < p->ncarried && i < b->n; i++) {
			long k = same_node(p->plan, b->opt[i]);

			if (pass && k < 0 && b->name[i])
				k = rn_plan_find(p->plan, b->name[i]);
			if (k < 0 || rows[k])
				continue;
			rows[k] = p->carried[i];
			p->carried[i] = NULL;
		}
	for (size_t i = 0; i < p->ncarried; i++)
		rn_rel_unref(p->carried[i]);
	free(p->carried);
	p->carried = rows;
	p->ncarried = n;
	return 0;
}

/* Drop the rows of what depends on a source that was given another file. */
static int drop_dependents(struct rn_planned *p, const char *const *source, size_t n,
			   struct rn_err *e)
{
	const struct rn_plan *plan = p->plan;
	bool *changed;

	RN_TRY(rn_calloc(plan->nnodes, sizeof *changed, "a plan", &changed, e));
	for (uint32_t i = 0; i < plan->nnodes; i++) {
		const struct rn_node *node = &plan->nodes[i];

		for (size_t k = 0; k < n && (node->op->flags & RN_OP_SOURCE); k++) {
			size_t len = strcspn(source[k], "=");

			changed[i] |= strlen(node->name) == len &&
				      !strncmp(node->name, source[k], len);
		}
		for (uint32_t k = 0; k < node->nin; k++)
			changed[i] |= changed[node->in[k].node];
		if (changed[i] && i < p->ncarried) {
			rn_rel_unref(p->carried[i]);
			p->carried[i] = NULL;
		}
	}
	free(changed);
	return 0;
}

int rn_planned_finish(struct rn_planned *p, uint32_t *out, const char *const *source,
		      size_t nsource, struct rn_err *e)
{
	struct before b = { 0 };
	int rc = remember(p->plan, &b, e);

	if (!rc)
		rc = rn_plan_canonical(p->plan, out, e);
	if (!rc && p->carried)
		rc = renumber_rows(p, &b, e);
	before_fini(&b);
	if (!rc && nsource)
		rc = rn_plan_rebind(p->plan, source, nsource, e);
	if (!rc && nsource)
		rc = drop_dependents(p, source, nsource, e);
	return rc;
}

void rn_planned_needs(const struct rn_planned *p, uint32_t out, bool *need)
{
	const struct rn_plan *plan = p->plan;

	if (out != RN_NONE)
		need[out] = true;
	for (uint32_t i = 0; i < plan->nruns; i++)
		need[plan->runs[i].node] = true;
	for (uint32_t i = plan->nnodes; i-- > 0;) {
		if (!need[i] || (i < p->ncarried && p->carried[i]))
			continue;
		for (uint32_t k = 0; k < plan->nodes[i].nin; k++)
			need[plan->nodes[i].in[k].node] = true;
	}
}

int rn_planned_check(const struct rn_planned *p, uint32_t out, struct rn_err *e)
{
	const struct rn_plan *plan = p->plan;
	bool *need;
	int rc = 0;

	if (!p->piped)
		return 0;
	RN_TRY(rn_calloc(plan->nnodes, sizeof *need, "a plan", &need, e));
	rn_planned_needs(p, out, need);
	for (uint32_t i = 0; i < plan->nnodes && !rc; i++) {
		const struct rn_node *n = &plan->nodes[i];

		if (!need[i] || !(n->op->flags & RN_OP_SOURCE) ||
		    (i < p->ncarried && p->carried[i]) || strcmp(rn_node_string(n, "from"), "-"))
			continue;
		rc = rn_err_set(e, RN_EUSAGE,
				"the rows of source '%s' came through a pipe and are gone: give "
				"them with --source %s=FILE",
				n->name, n->name);
	}
	free(need);
	return rc;
}
