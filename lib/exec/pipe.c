/* SPDX-License-Identifier: Apache-2.0 */
#include "pipe.h"

#include "../base/json.h"
#include "stream.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* One run of one program. */
struct job {
	const struct rn_pipe_conf *conf;
	struct rn_pipe_stats *stats;
	struct rn_backend *backend;
	struct rn_writer *writer;
	struct rn_plan *plan;     /* of the inputs, and the new node */
	uint32_t node;            /* the new node */
	uint32_t from[RN_MANY];   /* the inputs' output nodes */
	struct rn_rel **carried;  /* by node */
	size_t ncarried;
	json_t *history;          /* of the first input; borrowed by no one else */
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- the new node ------------------------------------------------------------- */

/* Without a history the output must not depend on the run: the id is then made
 * from what the node is. */
static int make_id(const struct job *j, char id[17], struct rn_err *e)
{
	const struct rn_pipe_conf *c = j->conf;
	struct rn_str s = RN_STR_INIT;
	int rc;

	if (c->argv)
		return rn_plan_new_id(id, e);
	rn_str_addf(&s, "%s %s ", c->op->name, c->name ? c->name : "");
	rn_json_print(c->opt, RN_JSON_COMPACT, &s);
	for (size_t i = 0; i < c->nin; i++)
		rn_str_addf(&s, " %s=%s", c->in[i].as ? c->in[i].as : "", j->plan->nodes[j->from[i]].id);
	rc = rn_str_check(&s, e);
	if (!rc)
		snprintf(id, 17, "%016llx", (unsigned long long)XXH64(s.s, s.len, 0));
	rn_str_fini(&s);
	return rc;
}

/* Inputs that expressions name get the name that they have now: giving the
 * plan's unnamed nodes names later must not change what an expression means. */
static const char *input_as(const struct job *j, size_t i, char buf[8])
{
	const struct rn_operand *in = &j->conf->in[i];

	if (in->as || j->conf->op->max_in == 1 || in->opt)
		return in->as;
	if (j->plan->nodes[j->from[i]].name)
		return NULL;
	snprintf(buf, 8, i < 26 ? "%c" : "in%u", i < 26 ? 'a' + (unsigned)i : (unsigned)i % 1000);
	return buf;
}

static int add_node(struct job *j, struct rn_err *e)
{
	const struct rn_pipe_conf *c = j->conf;
	json_t *opt;
	char id[17], buf[8];

	RN_TRY(make_id(j, id, e));
	RN_TRY(rn_json_copy(c->opt, &opt, e));
	RN_TRY(rn_plan_add(j->plan, c->op, c->name, id, opt, &j->node, e));
	for (size_t i = 0; i < c->nin; i++)
		RN_TRY(rn_plan_add_input(j->plan, j->node, input_as(j, i, buf), c->in[i].opt, j->from[i], e));
	return 0;
}

/* ---- output -------------------------------------------------------------------- */

/* Open the output with a header whose sections carry the nodes section[i] says. */
static int open_output(struct job *j, const char *kind, const uint32_t *section, struct rn_err *e)
{
	const struct rn_pipe_conf *c = j->conf;
	struct rn_writer_opt opt = c->writer;
	struct rn_str text = RN_STR_INIT;
	json_t *plan, *header;
	struct rn_io *io;
	int rc;

	RN_TRY(rn_plan_to_header(j->plan, j->node, section, &plan, e));
	RN_TRY(rn_stream_make_header(kind, plan, j->history, c->argc, c->argv, &header, e));
	rn_json_print(header, RN_JSON_COMPACT, &text);
	json_decref(header);
	RN_GOTO(out, rn_str_check(&text, e));
	RN_GOTO(out, rn_io_open_write(c->output, &io, e));
	opt.stats = &j->stats->out;
	rc = rn_writer_open(io, text.s, &opt, &j->writer, e);
out:
	rn_str_fini(&text);
	return rc;
}

/* An evaluated stream: one section, the rows of the new node. */
static int open_evaluated(struct job *j, const struct rn_schema *schema, struct rn_err *e)
{
	uint32_t *section;
	int rc;

	RN_TRY(rn_calloc(j->plan->nnodes, sizeof *section, "a header", &section, e));
	for (uint32_t i = 0; i < j->plan->nnodes; i++)
		section[i] = i == j->node ? 0 : RN_NONE;
	rc = open_output(j, "evaluated", section, e);
	free(section);
	return rc ? rc : rn_writer_section(j->writer, schema, e);
}

static int put_rows(struct job *j, const struct rn_rel *r, struct rn_err *e)
{
	j->stats->rows_out += r->rows;
	return rn_writer_rows(j->writer, r, e);
}

/* The carried relations that the plan under the new node rests on, each once. */
static void number_sections(const struct job *j, uint32_t *section, bool *need)
{
	uint32_t n = 0;

	need[j->node] = true;
	for (uint32_t i = j->plan->nnodes; i-- > 0;) {
		section[i] = RN_NONE;
		if (!need[i] || (i < j->ncarried && j->carried[i]))
			continue;
		for (uint32_t k = 0; k < j->plan->nodes[i].nin; k++)
			need[j->plan->nodes[i].in[k].node] = true;
	}
	for (uint32_t i = 0; i < j->plan->nnodes; i++)
		if (need[i] && i < j->ncarried && j->carried[i])
			section[i] = n++;
}

/* Check the plan above the carried relations: names, types and shapes, no rows.
 * What lies behind a carried relation is only history. */
static int infer_deferred(struct job *j, const bool *need, struct rn_err *e)
{
	const struct rn_plan *p = j->plan;
	struct rn_schema *schemas = NULL;
	bool *known = NULL;
	int rc;

	RN_GOTO(out, rn_calloc(p->nnodes, sizeof *schemas, "schemas", &schemas, e));
	RN_GOTO(out, rn_calloc(p->nnodes, sizeof *known, "schemas", &known, e));
	for (uint32_t i = 0; i < p->nnodes; i++) {
		bool carried = i < j->ncarried && j->carried[i];

		known[i] = carried || !need[i];
		if (carried)
			RN_GOTO(out, rn_schema_copy(&j->carried[i]->schema, &schemas[i], e));
	}
	rc = rn_plan_infer(p, schemas, known, e);
out:
	for (uint32_t i = 0; schemas && i < p->nnodes; i++)
		rn_schema_fini(&schemas[i]);
	free(schemas);
	free(known);
	return rc;
}

static int write_deferred(struct job *j, struct rn_err *e)
{
	uint32_t *section = NULL;
	bool *need = NULL;
	int rc;

	j->stats->deferred = true;
	RN_GOTO(out, rn_calloc(j->plan->nnodes, sizeof *section, "a header", &section, e));
	RN_GOTO(out, rn_calloc(j->plan->nnodes, sizeof *need, "a header", &need, e));
	number_sections(j, section, need);
	RN_GOTO(out, infer_deferred(j, need, e));
	RN_GOTO(out, open_output(j, "deferred", section, e));
	for (uint32_t i = 0; i < j->plan->nnodes; i++) {
		if (section[i] == RN_NONE)
			continue;
		RN_GOTO(out, rn_writer_section(j->writer, &j->carried[i]->schema, e));
		RN_GOTO(out, put_rows(j, j->carried[i], e));
	}
out:
	free(section);
	free(need);
	return rc;
}

/* ---- sources --------------------------------------------------------------------- */

/* The list of further files with absolute paths. */
static int absolute_also(json_t *opt, struct rn_err *e)
{
	const json_t *also = json_object_get(opt, "also");
	json_t *list;
	int rc = 0;

	if (!also)
		return 0;
	RN_TRY(rn_json_array(&list, e));
	for (size_t i = 0; !rc && i < json_array_size(also); i++) {
		char *path = rn_absolute_path(json_string_value(json_array_get(also, i)), e);

		rc = path ? rn_json_append(list, json_string(path), e) : e && e->code ? e->code : RN_EIO;
		free(path);
	}
	if (!rc)
		return rn_json_set(opt, "also", list, e);
	json_decref(list);
	return rc;
}

/* rn-scan: the operand becomes an absolute path; the stem names the relation. */
static int add_scan_node(struct job *j, char **stem, struct rn_err *e)
{
	const struct rn_pipe_conf *c = j->conf;
	const char *from = json_string_value(json_object_get(c->opt, "from"));
	json_t *opt = NULL;
	char id[17], *path;
	int rc = RN_ENOMEM;

	path = rn_absolute_path(from, e);
	if (!path)
		return e && e->code ? e->code : RN_EIO;
	*stem = !c->name && strcmp(from, "-") ? rn_path_stem(from, e) : NULL;
	if (!c->name && strcmp(from, "-") && !*stem)
		goto out;
	RN_GOTO(out, make_id(j, id, e));
	RN_GOTO(out, rn_json_copy(c->opt, &opt, e));
	RN_GOTO(out, rn_json_set_text(opt, "from", path, e));
	RN_GOTO(out, absolute_also(opt, e));
	rc = rn_plan_add(j->plan, c->op, c->name ? c->name : *stem && **stem ? *stem : NULL, id, opt,
			 &j->node, e);
	opt = NULL;
out:
	json_decref(opt);
	free(path);
	return rc;
}

static int run_source(struct job *j, struct rn_err *e)
{
	struct rn_source *s = NULL;
	char *stem = NULL;
	struct rn_rel *b;
	int rc;

	RN_GOTO(out, add_scan_node(j, &stem, e));
	RN_GOTO(out, rn_source_open(j->conf->ctx, &j->plan->nodes[j->node], NULL, &s, e));
	RN_GOTO(out, open_evaluated(j, rn_source_schema(s), e));
	while (!(rc = rn_source_block(s, &b, e)) && b) {
		j->stats->rows_in += b->rows;
		rc = put_rows(j, b, e);
		rn_rel_unref(b);
		if (rc)
			break;
	}
out:
	rn_source_close(s);
	free(stem);
	return rc;
}

/* ---- one input, block by block ------------------------------------------------------ */

static int eval_block(struct job *j, const struct rn_rel *b, struct rn_err *e)
{
	const struct rn_rel *in[1] = { b };
	uint64_t first = j->stats->rows_in;
	struct rn_rel *out;
	int rc;

	rc = rn_eval_node(j->conf->ctx, j->backend, &j->plan->nodes[j->node], in, j->conf->params,
			  &out, e);
	/* An operator counts the rows that it is given: say where they begin. */
	if (rc == RN_EDATA && first)
		rn_err_prefix(e, rc, "counting rows from %" PRIu64, first);
	if (rc)
		return rc;
	j->stats->rows_in += b->rows;
	rc = put_rows(j, out, e);
	rn_rel_unref(out);
	return rc;
}

static int stream_blocks(struct job *j, struct rn_reader *r, struct rn_err *e)
{
	const struct rn_schema *schema, *more;
	struct rn_schema out = { 0 };
	struct rn_rel *b;
	int rc;

	RN_TRY(rn_reader_section(r, &schema, e));
	if (!schema)
		return rn_err_set(e, RN_EDATA, "%s: an evaluated stream without a relation",
				  j->conf->in[0].file);
	RN_TRY(rn_node_infer(&j->plan->nodes[j->node], &schema, &out, e));
	RN_GOTO(out, open_evaluated(j, &out, e));
	while (!(rc = rn_reader_block(r, &b, e)) && b) {
		rc = eval_block(j, b, e);
		rn_rel_unref(b);
		if (rc)
			goto out;
	}
	if (!rc)
		rc = rn_reader_section(r, &more, e); /* END, and its checksum */
	if (!rc && more)
		rc = rn_err_set(e, RN_EDATA, "%s: an evaluated stream of several relations",
				j->conf->in[0].file);
out:
	rn_schema_fini(&out);
	return rc;
}

static int merge(struct job *j, const struct rn_stream *s, size_t i, struct rn_err *e)
{
	int rc = rn_stream_merge(s, j->plan, &j->from[i], &j->carried, &j->ncarried, e);

	return rc ? rn_err_prefix(e, rc, "%s", j->conf->in[i].file) : 0;
}

/* ---- all inputs at once ---------------------------------------------------------------- */

static int run_whole(struct job *j, const struct rn_stream *streams, struct rn_err *e)
{
	const struct rn_pipe_conf *c = j->conf;
	bool deferred = false;
	const struct rn_rel *in[RN_MANY];
	struct rn_rel *out;
	int rc;

	for (size_t i = 0; i < c->nin; i++) {
		deferred = deferred || streams[i].deferred;
		RN_TRY(merge(j, &streams[i], i, e));
		for (size_t k = 0; k < streams[i].nsections; k++)
			j->stats->rows_in += streams[i].sections[k]->rows;
	}
	RN_TRY(add_node(j, e));
	if (deferred && c->params)
		return rn_err_set(e, RN_EUSAGE, "--model wants evaluated input, and this is a plan (rn-predict "
				  "applies a whole plan)");
	if (deferred || rn_node_waits(&j->plan->nodes[j->node], c->params))
		return write_deferred(j, e);
	for (size_t i = 0; i < c->nin; i++)
		in[i] = j->carried[j->from[i]];
	RN_TRY(rn_eval_node(c->ctx, j->backend, &j->plan->nodes[j->node], in, c->params, &out, e));
	rc = open_evaluated(j, &out->schema, e);
	if (!rc)
		rc = put_rows(j, out, e);
	rn_rel_unref(out);
	return rc;
}

static int run_several(struct job *j, struct rn_err *e)
{
	struct rn_stream *streams;
	int rc;

	RN_TRY(rn_calloc(j->conf->nin, sizeof *streams, "inputs", &streams, e));
	rc = rn_streams_read(j->conf->ctx, j->conf->in, j->conf->nin, streams, e);
	if (!rc) {
		j->history = json_incref(json_object_get(streams[0].header, "history"));
		rc = run_whole(j, streams, e);
	}
	for (size_t i = 0; i < j->conf->nin; i++)
		rn_stream_fini(&streams[i]);
	free(streams);
	return rc;
}

/* A row-wise operator on a text table, read as rn-scan reads it: also block by block. */
static int run_table(struct job *j, struct rn_err *e)
{
	const struct rn_schema *schema;
	struct rn_schema out = { 0 };
	struct rn_source *s = NULL;
	struct rn_plan *scan;
	struct rn_rel *b;
	int rc;

	RN_TRY(rn_scan_node(j->conf->in[0].file, NULL, &scan, e));
	rn_plan_free(j->plan);
	j->plan = scan;
	RN_TRY(add_node(j, e)); /* from[0] is 0, the scan */
	if (rn_node_waits(&j->plan->nodes[j->node], j->conf->params)) {
		/* What waits carries all rows: as for several inputs. */
		rn_plan_free(j->plan);
		RN_TRY(rn_plan_new(&j->plan, e));
		return run_several(j, e);
	}
	RN_GOTO(out, rn_source_open(j->conf->ctx, &j->plan->nodes[0], NULL, &s, e));
	schema = rn_source_schema(s);
	RN_GOTO(out, rn_node_infer(&j->plan->nodes[j->node], &schema, &out, e));
	RN_GOTO(out, open_evaluated(j, &out, e));
	while (!(rc = rn_source_block(s, &b, e)) && b) {
		rc = eval_block(j, b, e);
		rn_rel_unref(b);
		if (rc)
			break;
	}
out:
	rn_schema_fini(&out);
	rn_source_close(s);
	return rc;
}

/* A row-wise operator on one stream: block by block if it is evaluated. */
static int run_rowwise(struct job *j, struct rn_err *e)
{
	const struct rn_pipe_conf *c = j->conf;
	struct rn_stream s = { 0 };
	struct rn_reader *r = NULL;
	struct rn_io *io;
	int rc;

	RN_TRY(rn_io_open_read(c->in[0].file, &io, e));
	RN_TRY(rn_reader_open(io, &r, e));
	RN_GOTO(out, rn_stream_header(r, c->in[0].file, &s.header, &s.deferred, e));
	j->history = json_incref(json_object_get(s.header, "history"));
	if (s.deferred) {
		RN_GOTO(out, rn_stream_sections(r, c->in[0].file, &s, e));
		rc = run_whole(j, &s, e);
		goto out;
	}
	RN_GOTO(out, merge(j, &s, 0, e)); /* the plan; no section was read yet */
	RN_GOTO(out, add_node(j, e));
	if (!rn_node_waits(&j->plan->nodes[j->node], c->params)) {
		rc = stream_blocks(j, r, e);
		goto out;
	}
	RN_GOTO(out, rn_stream_sections(r, c->in[0].file, &s, e));
	j->stats->rows_in += s.sections[0]->rows;
	j->carried[j->from[0]] = rn_rel_ref(s.sections[0]);
	rc = write_deferred(j, e);
out:
	rn_stream_fini(&s);
	rn_reader_close(r);
	return rc;
}

/* ---- the program ------------------------------------------------------------------------- */

/* Tell downstream, also when the failure came before there was an output: what
 * reads a pipe should print the root cause and not "truncated". */
static void abort_output(struct job *j, const char *message)
{
	static const struct rn_writer_opt plain = { .compress = RN_COMPRESS_NONE };
	struct rn_io *io;

	if (!j->writer && !rn_io_open_write(j->conf->output, &io, NULL)) {
		if (io->kind != RN_IO_PIPE && io->kind != RN_IO_SOCKET) {
			io->ops->abort(io);
			return;
		}
		if (rn_writer_open(io, "{\"rn\":1,\"kind\":\"aborted\"}", &plain, &j->writer, NULL))
			return;
	}
	rn_writer_abort(j->writer, message);
	j->writer = NULL;
}

static int run(struct job *j, struct rn_err *e)
{
	const struct rn_pipe_conf *c = j->conf;
	const char *note = NULL;

	if (c->nin > RN_MANY)
		return rn_err_set(e, RN_EUSAGE, "more than %d inputs", RN_MANY);
	RN_TRY(rn_plan_new(&j->plan, e));
	RN_TRY(rn_backend_open(c->ctx->device ? c->ctx->device : "cpu",
			       c->ctx->threads ? c->ctx->threads : 1, &j->backend, &note, e));
	if (note)
		rn_log(c->ctx, RN_LOG_INFO, "%s", note);
	if (c->op->flags & RN_OP_SOURCE)
		return run_source(j, e);
	if (!(c->op->flags & RN_OP_ROWWISE) || c->nin != 1)
		return run_several(j, e);
	return rn_is_text_table(c->in[0].file) ? run_table(j, e) : run_rowwise(j, e);
}

int rn_pipe_run(const struct rn_pipe_conf *c, struct rn_pipe_stats *stats, struct rn_err *e)
{
	struct rn_pipe_stats unused;
	struct job j = { .conf = c, .stats = stats ? stats : &unused };
	struct rn_err mine = { 0 }, *err = e ? e : &mine;
	double start = now();
	int rc;

	*j.stats = (struct rn_pipe_stats){ 0 };
	rc = run(&j, err);
	if (!rc) {
		rc = rn_writer_close(j.writer, err);
	} else {
		abort_output(&j, err->msg);
	}
	j.stats->seconds = now() - start;
	if (j.backend)
		j.backend->close(j.backend);
	for (size_t i = 0; i < j.ncarried; i++)
		rn_rel_unref(j.carried[i]);
	free(j.carried);
	rn_plan_free(j.plan);
	json_decref(j.history);
	return rc;
}
