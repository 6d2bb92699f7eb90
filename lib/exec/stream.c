/* SPDX-License-Identifier: Apache-2.0
 *
 * Input streams as a whole: header and all sections, read by a thread each so
 * that no producer waits for another.  A text table (NAME.csv, NAME.tsv, NAME.jsonl,
 * also .zst and .gz) or a database's stands for what rn-scan would make of it.
 */
#include "stream.h"

#include "../base/json.h"
#include "../base/uri.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

bool rn_is_text_table(const char *path)
{
	static const char *const ends[] = { ".csv", ".tsv", ".jsonl", ".ndjson" };
	size_t n = strlen(path);

	if (rn_uri_kind(path))
		return true;
	if (n > 4 && !strcmp(path + n - 4, ".zst"))
		n -= 4;
	else if (n > 3 && !strcmp(path + n - 3, ".gz"))
		n -= 3;
	for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
		size_t k = strlen(ends[i]);

		if (n > k && !memcmp(path + n - k, ends[i], k))
			return true;
	}
	return false;
}

bool rn_is_descriptor(const char *path)
{
	return !strcmp(path, "-") || !strcmp(path, "/dev/stdin") || !strncmp(path, "/dev/fd/", 8) ||
	       !strncmp(path, "/proc/self/fd/", 14);
}

/* The name in a path: a database's table, a file's up to its first dot, a pattern's up
 * to what it leaves open, a folder's; a descriptor's number is none. */
static size_t find_stem(const char *path, const char **stem)
{
	size_t n = rn_uri_kind(path) ? rn_uri_stem(path, stem) : 0;
	const char *s;

	if (n || rn_uri_kind(path) == RN_URI_POSTGRES)
		return n;
	*stem = path;
	if (rn_is_descriptor(path))
		return 0;
	n = strlen(path);
	while (n > 1 && path[n - 1] == '/')
		n--;
	for (s = path + n; s > path && s[-1] != '/'; s--)
		;
	*stem = s;
	n -= (size_t)(s - path);
	if (*s != '.' && strcspn(s, ".") < n)
		n = strcspn(s, ".");
	if (strcspn(s, "*?[") < n)
		for (n = strcspn(s, "*?["); n && strchr("-_", s[n - 1]);)
			n--;
	return n;
}

char *rn_path_stem(const char *path, struct rn_err *e)
{
	const char *stem;
	size_t n = find_stem(path, &stem);
	char *s = strndup(stem, n);

	if (!s)
		rn_err_nomem(e, n + 1, "a name");
	for (char *p = s; p && *p; p++) /* what a stage may not be called */
		if (*p == '=' || *p == '`' || (unsigned char)*p < ' ' || *p == 0x7F)
			*p = '_';
	return s;
}

/* What does not exist by that name, a pattern or a database's table, begins with the
 * current folder. */
static char *prefixed(const char *path, struct rn_err *e)
{
	struct rn_str s = RN_STR_INIT;
	char *cwd = getcwd(NULL, 0);

	if (!cwd) {
		rn_err_errno(e, "cannot find the current folder");
		return NULL;
	}
	rn_path_print(cwd, path, &s);
	free(cwd);
	return rn_str_take(&s, e);
}

char *rn_absolute_path(const char *path, struct rn_err *e)
{
	struct stat st = { 0 };
	bool there, named;
	char *s;

	if (!strcmp(path, "-")) {
		s = strdup(path);
		if (!s)
			rn_err_nomem(e, strlen(path) + 1, "a file name");
		return s;
	}
	there = stat(path, &st) == 0;
	/* What is behind a descriptor of a pipe, or of a file that was removed, has no other
	 * name. */
	named = there && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
	if (rn_uri_kind(path) || (there ? !named : strpbrk(path, "*?[") != NULL))
		return prefixed(path, e);
	s = realpath(path, NULL);
	if (!s && there)
		return prefixed(path, e);
	if (!s)
		rn_err_errno(e, "cannot open '%s'", path);
	return s;
}

void rn_stream_fini(struct rn_stream *s)
{
	for (size_t i = 0; i < s->nsections; i++)
		rn_rel_unref(s->sections[i]);
	free(s->sections);
	json_decref(s->header);
	*s = (struct rn_stream){ 0 };
}

/* ---- one stream ------------------------------------------------------------------ */

static int kind_of(const json_t *header, const char *file, bool *deferred, struct rn_err *e)
{
	const char *kind = json_string_value(json_object_get(header, "kind"));

	if (kind && !strcmp(kind, "evaluated"))
		*deferred = false;
	else if (kind && !strcmp(kind, "deferred"))
		*deferred = true;
	else if (kind && (!strcmp(kind, "model") || !strcmp(kind, "checkpoint")))
		return rn_err_set(e, RN_EUSAGE, "%s is a %s, not a stream of rows: give it to --model, rn-predict or "
				  "rn-info", file, kind);
	else
		return rn_err_set(e, RN_EDATA, "%s: the header names no kind of stream", file);
	return 0;
}

int rn_stream_header(struct rn_reader *r, const char *file, json_t **header, bool *deferred,
		     struct rn_err *e)
{
	const char *text = rn_reader_header(r), *kind;
	const struct rn_schema *none;
	int rc;

	if (!strcmp(file, "-"))
		file = "standard input";
	RN_TRY(rn_json_load(text, strlen(text), file, RN_EDATA, header, e));
	kind = json_string_value(json_object_get(*header, "kind"));
	/* A producer that failed before it had a stream: its ABORT frame says why. */
	rc = kind && !strcmp(kind, "aborted") ? rn_reader_section(r, &none, e) : 0;
	if (!rc)
		rc = kind_of(*header, file, deferred, e);
	if (rc) {
		json_decref(*header);
		*header = NULL;
	}
	return rc;
}

int rn_stream_sections(struct rn_reader *r, const char *file, struct rn_stream *s, struct rn_err *e)
{
	const struct rn_schema *schema;
	size_t cap = 0;

	for (;;) {
		RN_TRY(rn_reader_section(r, &schema, e));
		if (!schema)
			break;
		RN_TRY(rn_grow(&s->sections, &cap, s->nsections + 1, sizeof *s->sections, "sections", e));
		RN_TRY(rn_reader_all(r, &s->sections[s->nsections], e));
		s->nsections++;
	}
	if (!s->deferred && s->nsections != 1)
		return rn_err_set(e, RN_EDATA, "%s: an evaluated stream of %zu relations", file, s->nsections);
	return 0;
}

int rn_scan_node(const char *file, const char *name, struct rn_plan **plan, struct rn_err *e)
{
	const struct rn_op *scan = rn_op_find("scan");
	char id[17], *path = NULL, *stem = NULL, *shown = NULL;
	struct rn_plan *p = NULL;
	json_t *opt = NULL;
	uint32_t node;
	int rc;

	RN_GOTO(out, rn_plan_new(&p, e));
	rc = RN_EIO;
	path = rn_absolute_path(file, e);
	stem = name ? strdup(name) : rn_path_stem(file, e);
	shown = path ? rn_uri_hidden(path, e) : NULL;
	if (!path || !stem || !shown) {
		rc = e && e->code ? e->code : RN_ENOMEM;
		goto out;
	}
	RN_GOTO(out, rn_json_object(&opt, e));
	RN_GOTO(out, rn_json_set_text(opt, "from", path, e));
	/* Named by its path: a table that two programs read is one source. */
	snprintf(id, sizeof id, "%016llx", (unsigned long long)XXH64(shown, strlen(shown), 0));
	rc = rn_plan_add(p, scan, *stem ? stem : NULL, id, opt, &node, e);
	opt = NULL;
out:
	json_decref(opt);
	free(path);
	free(stem);
	free(shown);
	if (rc)
		rn_plan_free(p);
	else
		*plan = p;
	return rc;
}

/* A text table as the evaluated stream that rn-scan FILE would make. */
static int read_text(const struct rn_ctx *c, const struct rn_operand *in, struct rn_stream *s,
		     struct rn_err *e)
{
	struct rn_plan *p;
	uint32_t section = 0;
	json_t *plan;
	int rc;

	RN_TRY(rn_scan_node(in->file, NULL, &p, e));
	RN_GOTO(out, rn_calloc(1, sizeof *s->sections, "sections", &s->sections, e));
	RN_GOTO(out, rn_source_read(c, &p->nodes[0], NULL, &s->sections[0], NULL, e));
	s->nsections = 1;
	RN_GOTO(out, rn_plan_to_header(p, 0, &section, &plan, e));
	RN_GOTO(out, rn_stream_make_header("evaluated", plan, NULL, 0, NULL, &s->header, e));
out:
	rn_plan_free(p);
	return rc;
}

static int read_stream(const struct rn_ctx *c, const struct rn_operand *in, struct rn_stream *s,
		       struct rn_err *e)
{
	struct rn_reader *r;
	struct rn_io *io;
	int rc;

	*s = (struct rn_stream){ 0 };
	if (rn_is_text_table(in->file))
		return read_text(c, in, s, e);
	RN_TRY(rn_io_open_until(in->file, c->stop, &io, e));
	RN_TRY(rn_reader_open(io, &r, e));
	rc = rn_stream_header(r, in->file, &s->header, &s->deferred, e);
	if (!rc)
		rc = rn_stream_sections(r, in->file, s, e);
	rn_reader_close(r);
	return rc;
}

/* ---- several at once ---------------------------------------------------------------- */

struct job {
	pthread_t thread;
	bool started;
	struct rn_ctx ctx; /* with a descriptor that stops all */
	size_t i, *failed; /* *failed: the first that did, or SIZE_MAX */
	const struct rn_operand *in;
	struct rn_stream *out;
	struct rn_err err;
	int rc;
};

/* The first that fails ends the others, which may wait for somebody who never comes. */
static void *run_job(void *arg)
{
	struct job *j = arg;
	size_t none = SIZE_MAX;
	uint64_t one = 1;

	j->rc = read_stream(&j->ctx, j->in, j->out, &j->err);
	if (j->rc && __atomic_compare_exchange_n(j->failed, &none, j->i, false, __ATOMIC_RELAXED,
						 __ATOMIC_RELAXED))
		(void)!write(*j->ctx.stop, &one, sizeof one);
	return NULL;
}

/* May it be no file's name: standard input, and of tables a database, or a pattern of names? */
static bool is_no_file(const char *path, bool table)
{
	return !strcmp(path, "-") || (table && (rn_uri_kind(path) || strpbrk(path, "*?[")));
}

int rn_streams_check(const struct rn_operand *in, size_t n, struct rn_err *e)
{
	for (size_t i = 0; i < n; i++) {
		const char *path = in[i].file;
		bool table = rn_is_text_table(path);
		struct stat st;

		if (is_no_file(path, table))
			continue;
		if (faccessat(AT_FDCWD, path, R_OK, AT_EACCESS))
			return rn_err_errno(e, "cannot open '%s'", path);
		if (!table && !stat(path, &st) && S_ISDIR(st.st_mode)) {
			errno = EISDIR;
			return rn_err_errno(e, "cannot read '%s'", path);
		}
	}
	return 0;
}

int rn_streams_read(const struct rn_ctx *c, const struct rn_operand *in, size_t n,
		    struct rn_stream *out, struct rn_err *e)
{
	int stop, rc = 0;
	size_t failed = SIZE_MAX;
	struct job *jobs;

	RN_TRY(rn_streams_check(in, n, e));
	RN_TRY(rn_calloc(n, sizeof *jobs, "inputs", &jobs, e));
	stop = eventfd(0, EFD_CLOEXEC);
	if (stop < 0) {
		free(jobs);
		return rn_err_errno(e, "cannot read %zu inputs at once", n);
	}
	for (size_t i = 0; i < n; i++) {
		jobs[i].ctx = *c;
		jobs[i].ctx.stop = &stop;
		jobs[i].i = i;
		jobs[i].failed = &failed;
		jobs[i].in = &in[i];
		jobs[i].out = &out[i];
		out[i] = (struct rn_stream){ 0 };
	}
	for (size_t i = 1; i < n; i++)
		jobs[i].started = !pthread_create(&jobs[i].thread, NULL, run_job, &jobs[i]);
	for (size_t i = 0; i < n; i++)
		if (jobs[i].started)
			pthread_join(jobs[i].thread, NULL);
		else if (i && n > 2)
			jobs[i].rc = rn_err_set(&jobs[i].err, RN_EIO, "cannot start a thread to read '%s'",
						in[i].file);
		else
			run_job(&jobs[i]);
	for (size_t i = failed < n ? failed : 0; i < n && !rc; i++)
		if (jobs[i].rc) {
			rc = jobs[i].rc;
			if (e)
				*e = jobs[i].err;
		}
	close(stop);
	for (size_t i = 0; rc && i < n; i++)
		rn_stream_fini(&out[i]);
	free(jobs);
	return rc;
}

/* ---- into a plan ----------------------------------------------------------------------- */

int rn_stream_merge(const struct rn_stream *s, struct rn_plan *p, uint32_t *node,
		    struct rn_rel ***carried, size_t *ncarried, struct rn_err *e)
{
	const json_t *plan = json_object_get(s->header, "plan");
	/* An evaluated stream that is still to be read block by block has its one section, too. */
	size_t had = *ncarried, n = s->deferred ? s->nsections : 1;
	uint32_t *node_of;
	int rc;

	RN_TRY(rn_calloc(n, sizeof *node_of, "sections", &node_of, e));
	for (size_t i = 0; i < n; i++)
		node_of[i] = RN_NONE;
	RN_GOTO(out, rn_plan_from_header(p, plan, node, node_of, n, e));
	if (p->nnodes > had) {
		size_t cap = had;

		RN_GOTO(out, rn_grow(carried, &cap, p->nnodes, sizeof **carried, "relations", e));
		for (size_t i = had; i < cap; i++)
			(*carried)[i] = NULL;
		*ncarried = cap;
	}
	for (size_t i = 0; i < s->nsections; i++) {
		if (node_of[i] == RN_NONE) {
			rc = rn_err_set(e, RN_EDATA, "section %zu of the stream belongs to no node of its plan", i);
			goto out;
		}
		if (!(*carried)[node_of[i]])
			(*carried)[node_of[i]] = rn_rel_ref(s->sections[i]);
	}
out:
	free(node_of);
	return rc;
}

/* ---- headers ---------------------------------------------------------------------------- */

int rn_stream_history(const json_t *before, int argc, char *const *argv, json_t **out,
		      struct rn_err *e)
{
	json_t *all = NULL, *entry, *args;
	int rc;

	RN_GOTO(fail, rn_json_array(&all, e));
	for (size_t i = 0; i < json_array_size(before); i++)
		RN_GOTO(fail, rn_json_append(all, json_incref(json_array_get(before, i)), e));
	RN_GOTO(fail, rn_json_object(&entry, e));
	RN_GOTO(fail, rn_json_append(all, entry, e));
	RN_GOTO(fail, rn_json_array(&args, e));
	RN_GOTO(fail, rn_json_set(entry, "argv", args, e));
	for (int i = 0; i < argc; i++) {
		char *shown = rn_uri_hidden(argv[i], e);
		json_t *a = shown ? json_string(shown) : NULL;

		free(shown);
		/* An argument need not be UTF-8; the history is a note, not data. */
		RN_GOTO(fail, rn_json_append(args, a ? a : json_string("?"), e));
	}
	*out = all;
	return 0;
fail:
	json_decref(all);
	return rc;
}

int rn_stream_make_header(const char *kind, json_t *plan, const json_t *history, int argc,
			  char *const *argv, json_t **out, struct rn_err *e)
{
	json_t *h = NULL, *all;
	int rc;

	RN_GOTO(out, rn_json_object(&h, e));
	RN_GOTO(out, rn_json_set(h, "rn", json_integer(1), e));
	RN_GOTO(out, rn_json_set_text(h, "kind", kind, e));
	rc = rn_json_set(h, "plan", plan, e);
	plan = NULL;
	if (rc || !argv)
		goto out;
	RN_GOTO(out, rn_stream_history(history, argc, argv, &all, e));
	rc = rn_json_set(h, "history", all, e);
out:
	json_decref(plan);
	if (rc)
		json_decref(h);
	else
		*out = h;
	return rc;
}
