/* SPDX-License-Identifier: Apache-2.0 */
#include "pipe.h"

#include "../base/accel.h"
#include "../base/json.h"
#include "../base/uri.h"
#include "ext.h"
#include "stream.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { MOST_FORWARD = 256 << 20 }; /* bytes of relations that a plan holds in memory */

/* One input: its stream, and the nodes that its relations belong to. */
struct input {
	struct rn_feed *feed;
	uint32_t *node_of; /* by section */
	size_t n;
	const struct rn_schema *schema; /* of the first section */
};

/* One run of one program. */
struct job {
	const struct rn_pipe_conf *conf;
	struct rn_pipe_stats *stats;
	struct rn_backend *backend;
	struct rn_writer *writer;
	struct rn_plan *plan;     /* of the inputs, and the new node */
	uint32_t node;            /* the new node */
	uint32_t from[RN_MANY];   /* the inputs' output nodes */
	struct rn_spill *spill;
	struct rn_budget budget;  /* of what the inputs' blocks take in memory */
	struct rn_feeds *feeds;
	struct input *in;
	json_t *history;          /* of the first input; borrowed by no one else */
};

/* ---- the new node ------------------------------------------------------------- */

/* Without a history the output must not depend on the run: the id is then made
 * from what the node is. */
static int make_id(const struct job *j, char id[17], struct rn_err *e)
{
	const struct rn_pipe_conf *c = j->conf;
	struct rn_str s = RN_STR_INIT, shown = RN_STR_INIT;
	int rc;

	if (c->argv)
		return rn_plan_new_id(id, e);
	rn_str_addf(&s, "%s %s ", c->op->name, c->name ? c->name : "");
	rn_json_print(c->opt, RN_JSON_COMPACT, &s);
	for (size_t i = 0; i < c->nin; i++)
		rn_str_addf(&s, " %s=%s", c->in[i].as ? c->in[i].as : "", j->plan->nodes[j->from[i]].id);
	rn_uri_hide(s.s, &shown);
	shown.failed |= s.failed;
	rc = rn_str_check(&shown, e);
	if (!rc)
		snprintf(id, 17, "%016llx", (unsigned long long)XXH64(shown.s, shown.len, 0));
	rn_str_fini(&s);
	rn_str_fini(&shown);
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
	j->plan->nodes[j->node].fitted = rn_fitted_ref(c->fitted);
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
	opt.inline_only = !c->argv; /* the same bytes every time */
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

/* In the stream's plan, rows that came through a pipe came from standard input. */
static int forget_descriptor(json_t *opt, struct rn_err *e)
{
	const char *from = json_string_value(json_object_get(opt, "from"));

	return rn_is_descriptor(from) ? rn_json_set_text(opt, "from", "-", e) : 0;
}

static int run_source(struct job *j, struct rn_err *e)
{
	struct rn_source *s = NULL;
	char *stem = NULL;
	struct rn_rel *b;
	int rc;

	RN_GOTO(out, add_scan_node(j, &stem, e));
	RN_GOTO(out, rn_source_open(j->conf->ctx, &j->plan->nodes[j->node], NULL, &s, e));
	RN_GOTO(out, forget_descriptor(j->plan->nodes[j->node].opt, e));
	RN_GOTO(out, open_evaluated(j, rn_source_schema(s), e));
	while (!(rc = rn_source_block(s, &b, e)) && b) {
		j->stats->rows_in += b->rows;
		rc = put_rows(j, b, e);
		rn_rel_unref(b);
		if (rc)
			break;
	}
	j->stats->spilled_bytes = rn_source_spilled(s);
out:
	rn_source_close(s);
	free(stem);
	return rc;
}

/* ---- inputs ----------------------------------------------------------------------- */

/* Merge input i's plan into ours.  What its relations are is known before they come. */
static int merge_input(struct job *j, size_t i, struct rn_err *e)
{
	struct input *in = &j->in[i];
	const json_t *plan = json_object_get(rn_feed_header(in->feed), "plan");
	size_t cap = rn_feed_deferred(in->feed) ? json_array_size(json_object_get(plan, "nodes")) : 1;
	int rc;

	RN_TRY(rn_calloc(cap, sizeof *in->node_of, "sections", &in->node_of, e));
	rc = rn_plan_from_header(j->plan, plan, &j->from[i], in->node_of, cap, e);
	if (rc)
		return rn_err_prefix(e, rc, "%s", j->conf->in[i].file);
	for (size_t k = 0; k < cap; k++)
		if (in->node_of[k] != RN_NONE)
			in->n = k + 1;
	return 0;
}

static uint64_t input_budget(const struct rn_ctx *c, bool deferred)
{
	uint64_t n = rn_ext_mem(c) / 4;

	return deferred && n > MOST_FORWARD ? MOST_FORWARD : n;
}

/* Open all inputs, and make the plan. */
static int open_inputs(struct job *j, struct rn_err *e)
{
	const struct rn_pipe_conf *c = j->conf;

	RN_TRY(rn_calloc(c->nin, sizeof *j->in, "inputs", &j->in, e));
	RN_TRY(rn_spill_new(c->ctx, &j->spill, e));
	j->budget.limit = input_budget(c->ctx, false);
	RN_TRY(rn_feeds_open(c->ctx, c->in, c->nin, j->spill, &j->budget, &j->feeds, e));
	for (size_t i = 0; i < c->nin; i++)
		j->in[i].feed = rn_feeds_get(j->feeds, i);
	j->history = json_incref(json_object_get(rn_feed_header(j->in[0].feed), "history"));
	for (size_t i = 0; i < c->nin; i++)
		RN_TRY(merge_input(j, i, e));
	return add_node(j, e);
}

static void close_inputs(struct job *j)
{
	rn_feeds_close(j->feeds);
	for (size_t i = 0; j->in && i < j->conf->nin; i++)
		free(j->in[i].node_of);
	free(j->in);
	if (j->spill)
		j->stats->spilled_bytes = rn_spill_bytes(j->spill);
	rn_spill_free(j->spill);
}

/* ---- a plan: the relations are carried on ------------------------------------------------ */

/* Relations on their way from the inputs to the output. */
struct carried {
	uint32_t *section; /* by node: in the output, or RN_NONE */
	bool *need, *known, *have;
	struct rn_schema *schemas; /* by node */
	size_t unknown;            /* needed relations whose schema has not come yet */
	uint32_t written;
	bool open;
};

static void carried_fini(const struct job *j, struct carried *c)
{
	for (uint32_t i = 0; c->schemas && i < j->plan->nnodes; i++)
		rn_schema_fini(&c->schemas[i]);
	free(c->schemas);
	free(c->section);
	free(c->need);
	free(c->known);
	free(c->have);
}

/* The relations that the plan under the new node rests on, each once, in the order in
 * which they come. */
static int number_sections(const struct job *j, struct carried *c, struct rn_err *e)
{
	uint32_t n = 0, nodes = j->plan->nnodes;

	RN_TRY(rn_calloc(nodes, sizeof *c->section, "a header", &c->section, e));
	RN_TRY(rn_calloc(nodes, sizeof *c->need, "a header", &c->need, e));
	RN_TRY(rn_calloc(nodes, sizeof *c->known, "schemas", &c->known, e));
	RN_TRY(rn_calloc(nodes, sizeof *c->have, "schemas", &c->have, e));
	RN_TRY(rn_calloc(nodes, sizeof *c->schemas, "schemas", &c->schemas, e));
	for (uint32_t i = 0; i < nodes; i++)
		c->section[i] = RN_NONE;
	for (size_t i = 0; i < j->conf->nin; i++)
		for (size_t k = 0; k < j->in[i].n; k++)
			if (j->in[i].node_of[k] != RN_NONE)
				c->known[j->in[i].node_of[k]] = true;
	c->need[j->node] = true;
	for (uint32_t i = nodes; i-- > 0;)
		for (uint32_t k = 0; c->need[i] && !c->known[i] && k < j->plan->nodes[i].nin; k++)
			c->need[j->plan->nodes[i].in[k].node] = true;
	for (size_t i = 0; i < j->conf->nin; i++)
		for (size_t k = 0; k < j->in[i].n; k++) {
			uint32_t node = j->in[i].node_of[k];

			if (node != RN_NONE && c->need[node] && c->section[node] == RN_NONE)
				c->section[node] = n++;
		}
	c->unknown = n;
	/* What lies behind a carried relation is only history. */
	for (uint32_t i = 0; i < nodes; i++)
		c->known[i] = c->known[i] || !c->need[i];
	return 0;
}

/* A relation's schema has come.  With the last of them the plan above is checked: names,
 * types and shapes, no rows. */
static int learn_schema(struct job *j, struct carried *c, uint32_t node, const struct rn_schema *s,
			struct rn_err *e)
{
	if (c->section[node] == RN_NONE || c->have[node])
		return 0;
	RN_TRY(rn_schema_copy(s, &c->schemas[node], e));
	c->have[node] = true;
	return --c->unknown ? 0 : rn_plan_infer(j->plan, c->schemas, c->known, e);
}

static int node_of(const struct job *j, size_t i, size_t k, uint32_t *node, struct rn_err *e)
{
	const struct input *in = &j->in[i];

	*node = k < in->n ? in->node_of[k] : RN_NONE;
	if (*node != RN_NONE)
		return 0;
	return rn_err_set(e, RN_EDATA, "%s: section %zu of the stream belongs to no node of its plan",
			  j->conf->in[i].file, k);
}

static int forward_blocks(struct job *j, struct rn_feed *f, bool keep, struct rn_err *e)
{
	struct rn_rel *b;
	int rc;

	for (;;) {
		RN_TRY(rn_feed_next(f, &b, e));
		if (!b)
			return 0;
		j->stats->rows_in += b->rows;
		rc = keep ? put_rows(j, b, e) : 0;
		rn_rel_unref(b);
		RN_TRY(rc);
	}
}

static int forward_section(struct job *j, struct carried *c, size_t i, size_t k,
			   const struct rn_schema *s, struct rn_err *e)
{
	uint32_t node;
	bool keep;

	RN_TRY(node_of(j, i, k, &node, e));
	RN_TRY(learn_schema(j, c, node, s, e));
	if (!c->open)
		RN_TRY(open_output(j, "deferred", c->section, e));
	c->open = true;
	keep = c->section[node] == c->written;
	if (keep) {
		RN_TRY(rn_writer_section(j->writer, s, e));
		c->written++;
	}
	return forward_blocks(j, j->in[i].feed, keep, e);
}

static int forward_input(struct job *j, struct carried *c, size_t i, struct rn_err *e)
{
	const struct rn_schema *s = j->in[i].schema;
	size_t k;

	rn_feed_set_pace(j->in[i].feed);
	for (k = 0; s; k++) {
		RN_TRY(forward_section(j, c, i, k, s, e));
		RN_TRY(rn_feed_section(j->in[i].feed, &s, e));
	}
	if (k < j->in[i].n)
		return rn_err_set(e, RN_EDATA, "%s: the stream lacks section %zu of its plan",
				  j->conf->in[i].file, k);
	return 0;
}

static int forward(struct job *j, struct rn_err *e)
{
	struct carried c = { 0 };
	uint32_t node;
	int rc;

	j->stats->deferred = true;
	__atomic_store_n(&j->budget.limit, input_budget(j->conf->ctx, true), __ATOMIC_RELAXED);
	RN_GOTO(out, number_sections(j, &c, e));
	for (size_t i = 0; i < j->conf->nin; i++) {
		RN_GOTO(out, rn_feed_section(j->in[i].feed, &j->in[i].schema, e));
		if (!j->in[i].schema)
			continue;
		RN_GOTO(out, node_of(j, i, 0, &node, e));
		RN_GOTO(out, learn_schema(j, &c, node, j->in[i].schema, e));
	}
	for (size_t i = 0; i < j->conf->nin; i++)
		RN_GOTO(out, forward_input(j, &c, i, e));
	if (!c.open)
		rc = open_output(j, "deferred", c.section, e);
out:
	carried_fini(j, &c);
	return rc;
}

/* ---- rows ----------------------------------------------------------------------------------- */

static int emit(void *arg, const struct rn_rel *r, struct rn_err *e)
{
	return put_rows(arg, r, e);
}

static int eval_block(struct rn_ext *x, const struct rn_rel *b, uint64_t first, struct rn_err *e)
{
	const struct rn_rel *in[1] = { b };
	struct rn_rel *out;
	int rc;

	rc = rn_eval_node(x->ctx, x->backend, x->node, in, x->params, &out, e);
	/* An operator counts the rows that it is given: say where they begin. */
	if (rc == RN_EDATA && first)
		rn_err_prefix(e, rc, "counting rows from %" PRIu64, first);
	if (rc)
		return rc;
	rc = x->emit(x->emit_arg, out, e);
	rn_rel_unref(out);
	return rc;
}

/* A row-wise operator: block by block. */
static int eval_blocks(struct rn_ext *x, struct rn_err *e)
{
	struct rn_rel *b;
	uint64_t first;
	int rc;

	for (;;) {
		first = x->rows_in;
		RN_TRY(rn_ext_next(x, 0, &b, e));
		if (!b)
			return 0;
		rc = eval_block(x, b, first, e);
		rn_rel_unref(b);
		RN_TRY(rc);
	}
}

static int eval(struct rn_ext *x, struct rn_err *e)
{
	static const struct {
		const char *op;
		int (*run)(struct rn_ext *x, struct rn_err *e);
	} how[] = {
		{ "join", rn_ext_join }, { "agg", rn_ext_agg }, { "sort", rn_ext_sort }, { "union", rn_ext_union },
	};
	const struct rn_op *op = x->node->op;

	for (size_t i = 0; i < sizeof how / sizeof how[0]; i++)
		if (!strcmp(op->name, how[i].op))
			return how[i].run(x, e);
	return op->flags & RN_OP_ROWWISE && x->nin == 1 ? eval_blocks(x, e) : rn_ext_whole(x, e);
}

static int run_rows(struct job *j, struct rn_err *e)
{
	const struct rn_pipe_conf *c = j->conf;
	struct rn_ext x = {
		.ctx = c->ctx, .backend = j->backend, .node = &j->plan->nodes[j->node],
		.params = c->params, .file = j->spill, .nin = c->nin, .feeds = j->feeds,
		.emit = emit, .emit_arg = j,
	};
	struct rn_schema out = { 0 };
	int rc;

	RN_TRY(rn_calloc(c->nin, sizeof(struct rn_schema *), "schemas", &x.schema, e));
	for (size_t i = 0; i < c->nin; i++)
		RN_GOTO(out, rn_feed_section(j->in[i].feed, &x.schema[i], e));
	RN_GOTO(out, rn_node_infer(x.node, x.schema, &out, e));
	RN_GOTO(out, open_evaluated(j, &out, e));
	rc = eval(&x, e);
	j->stats->rows_in = x.rows_in;
out:
	rn_schema_fini(&out);
	free(x.schema);
	return rc;
}

static int run_inputs(struct job *j, struct rn_err *e)
{
	bool deferred = false;

	RN_TRY(open_inputs(j, e));
	for (size_t i = 0; i < j->conf->nin; i++)
		deferred = deferred || rn_feed_deferred(j->in[i].feed);
	if (deferred && j->conf->params)
		return rn_err_set(e, RN_EUSAGE, "--model wants evaluated input, and this is a plan (rn-predict "
				  "applies a whole plan)");
	if (deferred || rn_node_waits(&j->plan->nodes[j->node], j->conf->params))
		return forward(j, e);
	return run_rows(j, e);
}

/* ---- the program ------------------------------------------------------------------------- */

/* Tell downstream, also when the failure came before there was an output: what
 * reads a pipe should print the root cause and not "truncated". */
static void abort_output(struct job *j, const char *message)
{
	static const struct rn_writer_opt plain = { .compress = RN_COMPRESS_NONE, .inline_only = true };
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

	if (c->nin > RN_MANY)
		return rn_err_set(e, RN_EUSAGE, "more than %d inputs", RN_MANY);
	RN_TRY(rn_plan_new(&j->plan, e));
	RN_TRY(rn_backend_of(c->ctx, RN_LOG_INFO, &j->backend, e));
	rn_accel_attach(c->ctx, j->backend->accel);
	if (c->op->flags & RN_OP_SOURCE)
		return run_source(j, e);
	return run_inputs(j, e);
}

int rn_pipe_run(const struct rn_pipe_conf *c, struct rn_pipe_stats *stats, struct rn_err *e)
{
	struct rn_pipe_stats unused;
	struct job j = { .conf = c, .stats = stats ? stats : &unused };
	struct rn_err mine = { 0 }, *err = e ? e : &mine;
	double start = rn_now();
	int rc;

	*j.stats = (struct rn_pipe_stats){ 0 };
	rc = run(&j, err);
	if (!rc) {
		rc = rn_writer_close(j.writer, err);
	} else {
		abort_output(&j, err->msg);
	}
	j.stats->seconds = rn_now() - start;
	rn_accel_log(c->ctx);
	rn_accel_attach(c->ctx, NULL);
	if (j.backend)
		j.backend->close(j.backend);
	close_inputs(&j);
	rn_plan_free(j.plan);
	json_decref(j.history);
	return rc;
}
