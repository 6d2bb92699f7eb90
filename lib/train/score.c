/* SPDX-License-Identifier: Apache-2.0
 *
 * Forward programs, metrics over them, predictions.
 */
#include "score.h"

#include "../../formats/container.h"
#include "../../formats/csv.h"
#include "../base/json.h"
#include "../exec/pass.h"
#include "../exec/stream.h"
#include "need.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- forward ---------------------------------------------------------------------- */

/* The node's sole part as a dense value of one row per row of its relation. */
static int lower_sole(struct rn_binding *x, const struct rn_plan *plan, uint32_t node,
		      struct rn_params *params, struct rn_forward *f, struct rn_err *e)
{
	const struct rn_node *n = &plan->nodes[node];
	struct rn_lrel rel = { 0 };
	struct rn_lpart flat;
	int rc;

	RN_GOTO(out, rn_binding_lower(x, node, false, params, &f->prog, &rel, e));
	if (rel.nparts != 1) {
		rc = rn_err_set(e, RN_EUSAGE,
				"'%s' has %zu embedding parts: a prediction wants one, so combine "
				"them in a map",
				n->name, rel.nparts);
		goto out;
	}
	f->rows = rel.rel->rows;
	RN_GOTO(out, rn_lpart_flatten(&f->prog, &rel.parts[0], (uint32_t)f->rows, &flat, e));
	RN_GOTO(out, rn_lpart_dense(&f->prog, &flat, &f->val, e));
	f->width = f->prog.vals[f->val].width;
	f->prog.vals[f->val].keep = true;
out:
	rn_lrel_fini(&rel);
	return rc;
}

int rn_forward_new(struct rn_binding *x, struct rn_backend *b, const struct rn_plan *plan,
		   uint32_t node, struct rn_params *params, struct rn_forward *f,
		   struct rn_err *e)
{
	struct rn_optimize o = { .ctx = rn_binding_ctx(x), .backend = b,
				 .folded = rn_binding_folded(x), .plan = rn_binding_plan(x) };
	uint32_t *live[1] = { &f->val };
	size_t n;
	int rc;

	memset(f, 0, sizeof *f);
	rn_prog_init(&f->prog);
	RN_GOTO(fail, lower_sole(x, plan, node, params, f, e));
	RN_GOTO(fail, rn_prog_optimize(&o, &f->prog, &f->val, 1, e));
	RN_GOTO(fail, rn_prog_finish(&o, &f->prog, live, 1, e));
	if (!rn_mul_size(f->rows, f->width, &n)) {
		rc = rn_err_nomem(e, SIZE_MAX, "predictions");
		goto fail;
	}
	RN_GOTO(fail, rn_calloc(n, sizeof *f->out, "predictions", &f->out, e));
	return 0;
fail:
	rn_forward_fini(f);
	return rc;
}

int rn_forward_start(struct rn_forward *f, struct rn_backend *b, struct rn_store *store,
		     struct rn_err *e)
{
	return rn_machine_new(&f->prog, b, RN_F32, store, NULL, NULL, &f->machine, e);
}

int rn_forward_run(struct rn_forward *f, struct rn_err *e)
{
	RN_TRY(rn_machine_run(f->machine, 0, f->prog.ninsts, 0, e));
	return rn_machine_get_f32(f->machine, f->val, f->out, e);
}

void rn_forward_fini(struct rn_forward *f)
{
	rn_machine_free(f->machine);
	rn_prog_fini(&f->prog);
	free(f->out);
	memset(f, 0, sizeof *f);
}

/* ---- metrics ------------------------------------------------------------------------- */

static int find_target(const struct rn_rel *rel, const struct rn_run *run, const struct rn_score *s,
		       struct rn_scored *in, struct rn_err *e)
{
	const char *name = rn_run_string(run, "target");
	size_t col;

	if (!rn_metric_needs_target(s->metric))
		return 0;
	if (!name)
		return rn_err_set(e, RN_EUSAGE, "metric '%s' wants a --target column", s->metric_name);
	RN_TRY(rn_schema_find(&rel->schema, name, &col, e));
	in->target = rel->cols[col];
	in->target_name = name;
	return 0;
}

/* The rows of each query, owned; in->groups stays NULL where all are of one. */
static int find_queries(const struct rn_rel *rel, const struct rn_run *run, const struct rn_score *s,
			struct rn_groups *queries, struct rn_scored *in, struct rn_err *e)
{
	const char *name = rn_run_string(run, "group");
	struct rn_ctx quiet = { .threads = 1 };
	size_t col;

	if (!name)
		return 0;
	if (!rn_metric_by_query(s->metric))
		return rn_err_set(e, RN_EUSAGE, "metric '%s' has no group: hits@K, mrr and map@K have",
				  s->metric_name);
	RN_TRY(rn_schema_find(&rel->schema, name, &col, e));
	struct rn_key k = { .n = 1, .cols = (struct rn_column *const *)&rel->cols[col],
			    .rows = rel->rows };
	RN_TRY(rn_group(&quiet, &k, queries, e));
	in->groups = queries;
	return 0;
}

int rn_score_new(struct rn_binding *x, struct rn_backend *b, const struct rn_plan *plan,
		 const struct rn_run *run, const struct rn_task *task, struct rn_params *params,
		 struct rn_score *s, struct rn_err *e)
{
	const struct rn_rel *rel = rn_binding_rel(x, run->node);
	struct rn_scored in = { 0 };
	struct rn_groups queries;
	int rc;

	memset(s, 0, sizeof *s);
	s->node = plan->nodes[run->node].name;
	s->metric_name = rn_run_string(run, "metric");
	RN_GOTO(out, rn_metric_parse(s->metric_name, &s->metric, &in.k, e));
	RN_GOTO(out, find_target(rel, run, s, &in, e));
	RN_GOTO(out, find_queries(rel, run, s, &queries, &in, e));
	RN_GOTO(out, rn_forward_new(x, b, plan, run->node, params, &s->forward, e));
	in.rows = s->forward.rows;
	in.width = s->forward.width;
	/* A label that is none is told of now. */
	rc = rn_metric_gauge(s->metric, task, &in, &s->gauge, e);
	if (rc)
		rn_forward_fini(&s->forward);
out:
	if (in.groups)
		rn_groups_fini(&queries);
	if (rc)
		rn_err_prefix(e, rc, "%s of '%s'", rn_run_types[run->kind].name, s->node);
	return rc;
}

int rn_score_run(struct rn_score *s, struct rn_backend *b, struct rn_store *store, double *out,
		 const char **why, struct rn_err *e)
{
	if (!s->forward.machine)
		RN_TRY(rn_forward_start(&s->forward, b, store, e));
	RN_TRY(rn_forward_run(&s->forward, e));
	*out = rn_score_value(s, why);
	return 0;
}

double rn_score_value(const struct rn_score *s, const char **why)
{
	return rn_metric_read(&s->gauge, s->forward.out, why);
}

struct rn_need rn_score_need(struct rn_score *s, const char *what)
{
	struct rn_prog *p = &s->forward.prog;

	return (struct rn_need){ what, s->node, p, p->ninsts, p->ninsts, s->watch };
}

int rn_score_check_mem(struct rn_score *s, const char *what, struct rn_binding *x, struct rn_backend *b,
		       struct rn_err *e)
{
	const struct rn_need need = rn_score_need(s, what);
	const struct rn_forward *f = &s->forward;
	const struct rn_ctx *ctx = rn_binding_ctx(x);
	struct rn_prog_fixed fixed;
	struct rn_need_here n;

	if (!ctx->mem_limit || b->memory)
		return 0;
	RN_TRY(rn_prog_fixed(&f->prog, &fixed, e));
	n = (struct rn_need_here){
		.constants = fixed.constants,
		.indices = fixed.indices,
		.stored = 2 * fixed.stored, /* of the model, and in the store */
		.others = f->rows * f->width * sizeof *f->out + rn_gauge_bytes(&s->gauge),
	};
	RN_TRY(rn_machine_slab(&f->prog, RN_F32, NULL, &n.results, e));
	n.results += rn_need_scratch(&f->prog, b, NULL, 0);
	if (n.results + n.constants + n.indices + n.stored + n.others <= ctx->mem_limit)
		return 0;
	return rn_need_refuse(&need, &n, ctx, rn_binding_plan(x), e);
}

int rn_score_explain(struct rn_score *s, const char *what, int rc, struct rn_binding *x,
		     struct rn_backend *b, struct rn_err *e)
{
	struct rn_forward *f = &s->forward;
	const struct rn_need need = rn_score_need(s, what);
	uint32_t inst = f->machine ? rn_machine_failed(f->machine) : RN_NONE;

	return rn_need_explain(&need, inst, rc, rn_binding_ctx(x), b, rn_binding_plan(x), e);
}

void rn_score_fini(struct rn_score *s)
{
	rn_gauge_fini(&s->gauge);
	rn_forward_fini(&s->forward);
	memset(s, 0, sizeof *s);
}

/* ---- parameters and stores ------------------------------------------------------------- */

int rn_params_to_store(const struct rn_params *p, struct rn_store *s, struct rn_err *e)
{
	uint32_t number;

	while (s->n < p->n)
		RN_TRY(rn_store_add(s, p->items[s->n].count, &number, e));
	for (uint32_t i = 0; i < p->n; i++)
		RN_TRY(rn_store_set_f32(s, i, p->items[i].value, e));
	return 0;
}

int rn_params_from_store(struct rn_params *p, struct rn_store *s, struct rn_err *e)
{
	for (uint32_t i = 0; i < p->n; i++)
		RN_TRY(rn_store_get_f32(s, i, p->items[i].value, e));
	return 0;
}

/* ---- predictions --------------------------------------------------------------------------- */

/* The class of a row: of the largest logit, or the number that the embedding is; RN_NO_ROW: it
 * has no name. */
static uint32_t class_of(const struct rn_task *task, const float *row, uint32_t width,
			 enum rn_decoded how)
{
	const struct rn_classes *c = task->classes;
	uint32_t n = c->own ? c->n : (uint32_t)c->values->rows, code;

	if (how == RN_DECODED_NUMBER)
		return row[0] >= 0 && row[0] < (float)n && row[0] == floorf(row[0]) ? (uint32_t)row[0] :
										       RN_NO_ROW;
	code = rn_predicted_class(task, row, width);
	return !c->own && code >= n ? RN_NO_ROW : code; /* more logits than labels */
}

static int add_labels(struct rn_rel *out, const struct rn_tensor *t, const struct rn_task *task,
		      enum rn_decoded how, const char *as, struct rn_err *e)
{
	uint32_t width = rn_shape_width(&t->shape), *codes;
	struct rn_column *c = NULL;
	int rc;

	RN_TRY(rn_calloc(t->rows, sizeof *codes, "predictions", &codes, e));
	for (uint64_t i = 0; i < t->rows; i++)
		codes[i] = class_of(task, t->data + i * width, width, how);
	rc = rn_classes_column(task->classes, codes, t->rows, &c, e);
	if (!rc)
		rc = rn_rel_add_col(out, as, NULL, c, e);
	free(codes);
	return rc;
}

static int add_binary(struct rn_rel *out, const struct rn_tensor *t, const struct rn_task *task,
		      const char *as, struct rn_err *e)
{
	struct rn_column *c, *p = NULL;
	int rc;

	RN_TRY(rn_column_new(RN_BOOL, t->rows, &c, e));
	rc = rn_column_new(RN_FLOAT64, t->rows, &p, e);
	if (rc) {
		rn_column_unref(c);
		return rc;
	}
	for (uint64_t i = 0; i < t->rows; i++) {
		c->b[i] = (uint8_t)rn_predicted_class(task, t->data + i, 1);
		p->f64[i] = 1 / (1 + exp(-(double)t->data[i]));
	}
	rc = rn_rel_add_col(out, as, NULL, c, e);
	if (rc) {
		rn_column_unref(p);
		return rc;
	}
	return rn_rel_add_col(out, "probability", NULL, p, e);
}

static int add_values(struct rn_rel *out, const struct rn_tensor *t, const char *as,
		      struct rn_err *e)
{
	struct rn_column *c;

	RN_TRY(rn_column_new(RN_FLOAT64, t->rows, &c, e));
	for (uint64_t i = 0; i < t->rows; i++)
		c->f64[i] = t->data[i];
	return rn_rel_add_col(out, as, NULL, c, e);
}

static int add_prediction(struct rn_rel *out, const struct rn_tensor *t,
			  const struct rn_task *task, enum rn_decoded how, const char *as,
			  struct rn_err *e)
{
	struct rn_classes own = { .n = rn_shape_width(&t->shape), .own = true };
	struct rn_task plain = { .kind = RN_LOSS_CE, .classes = &own };

	switch (how) {
	case RN_DECODED_NONE:
		return 0;
	case RN_DECODED_CLASS:
		return add_labels(out, t, &plain, how, as, e);
	case RN_DECODED_LABEL:
	case RN_DECODED_NUMBER:
		return add_labels(out, t, task, how, as, e);
	case RN_DECODED_BINARY:
		return add_binary(out, t, task, as, e);
	case RN_DECODED_VALUE:
		break;
	}
	return add_values(out, t, as, e);
}

/* Columns from … to-1 of a dense tensor; *out owned. */
static int cut_tensor(const struct rn_tensor *t, uint32_t from, uint32_t to, struct rn_tensor **out,
		      struct rn_err *e)
{
	struct rn_shape shape = { .rank = 1 };
	uint32_t width = rn_shape_width(&t->shape), n = to - from;

	shape.dim[0] = n;
	RN_TRY(rn_tensor_new(&shape, t->rows, out, e));
	for (uint64_t i = 0; i < t->rows; i++)
		memcpy((*out)->data + i * n, t->data + i * width + from, n * sizeof *t->data);
	return 0;
}

/* The column of the first numbers, and *t without them. */
static int add_first(struct rn_rel *out, struct rn_tensor **t, const struct rn_decoding *d,
		     struct rn_err *e)
{
	uint32_t width = rn_shape_width(&(*t)->shape);
	struct rn_tensor *first, *rest = NULL;
	int rc;

	if (width <= d->first)
		return rn_err_set(e, RN_EUSAGE, "column '%s' is made of the first %u numbers, and the embedding "
				  "has %u", d->as, d->first, width);
	RN_TRY(cut_tensor(*t, 0, d->first, &first, e));
	rc = cut_tensor(*t, d->first, width, &rest, e);
	if (!rc)
		rc = add_prediction(out, first, d->task, d->how, d->as, e);
	rn_tensor_unref(first);
	if (rc) {
		rn_tensor_unref(rest);
		return rc;
	}
	rn_tensor_unref(*t);
	*t = rest;
	return 0;
}

int rn_decode_rel(const struct rn_rel *in, const struct rn_decoding *d, struct rn_rel **out,
		  struct rn_err *e)
{
	struct rn_rel *r = NULL;
	struct rn_tensor *t;
	int rc;

	RN_GOTO(fail, rn_rel_new(in->schema.name, in->rows, &r, e));
	for (size_t i = 0; i < in->schema.ncols; i++)
		RN_GOTO(fail, rn_rel_add_col(r, in->schema.cols[i].name, in->schema.cols[i].qual,
					     rn_column_ref(in->cols[i]), e));
	for (size_t i = 0; i < in->schema.nparts; i++) {
		RN_GOTO(fail, rn_rel_flat_part(in, i, &t, e));
		rc = 0;
		if (in->schema.nparts == 1 && !t->sparse)
			rc = d->first ? add_first(r, &t, d, e) :
					add_prediction(r, t, d->task, d->how, d->as, e);
		if (rc || !d->embedding)
			rn_tensor_unref(t);
		if (rc)
			goto fail;
		if (d->embedding)
			RN_GOTO(fail, rn_rel_add_part(r, in->schema.parts[i].name, t, NULL, e));
	}
	*out = r;
	return 0;
fail:
	rn_rel_unref(r);
	return rc;
}

int rn_predict_run(struct rn_binding *x, const struct rn_plan *plan, const struct rn_run *run,
		   struct rn_params *params, const struct rn_task *task, struct rn_rel **out,
		   struct rn_err *e)
{
	struct rn_decoding d = { .as = rn_run_string(run, "as"), .first = rn_run_first(run),
				 .embedding = rn_run_flag(run, "embedding"), .task = task };
	struct rn_loss_facts facts;
	struct rn_rel *in = NULL;
	const char *setting;
	int rc;

	if (task)
		rn_task_facts(task, &facts);
	rc = rn_binding_predict(x, run->node, params, &in, e);
	if (rc == RN_EDEV || rc == RN_ENOMEM)
		(void)rn_err_prefix(e, rc, "pred of '%s'", plan->nodes[run->node].name);
	RN_TRY(rc);
	rc = rn_run_decoded(run, plan->nodes[run->node].name, &in->schema, task ? &facts : NULL, &d.how,
			    &setting, e);
	if (!rc)
		rc = rn_decode_rel(in, &d, out, e);
	rn_rel_unref(in);
	return rc;
}

static int save_text(const struct rn_rel *r, const char *path, enum rn_text_kind kind,
		     struct rn_err *e)
{
	struct rn_text_opt opt = { .kind = kind };
	struct rn_io *io;
	int rc;

	RN_TRY(rn_io_open_write(path, &io, e));
	rc = rn_text_write_header(io, &r->schema, &opt, e);
	if (!rc)
		rc = rn_text_write_rows(io, r, &opt, e);
	if (!rc)
		return io->ops->close(io, e);
	io->ops->abort(io);
	return rc;
}

/* The header of an evaluated stream whose rows are said to come from `path`. */
static int stream_header(const char *path, const char *name, struct rn_str *text,
			 struct rn_err *e)
{
	uint32_t node, section = 0;
	struct rn_plan *p = NULL;
	json_t *j = NULL, *opt;
	char id[17];
	int rc;

	RN_TRY(rn_plan_new(&p, e));
	RN_GOTO(out, rn_plan_new_id(id, e));
	RN_GOTO(out, rn_json_object(&opt, e));
	rc = rn_json_set_text(opt, "from", path, e);
	if (rc) {
		json_decref(opt);
		goto out;
	}
	RN_GOTO(out, rn_plan_add(p, rn_op_find("scan"), name, id, opt, &node, e));
	RN_GOTO(out, rn_plan_to_header(p, node, &section, &j, e));
	RN_GOTO(out, rn_stream_make_header("evaluated", j, NULL, 0, NULL, &j, e));
	rn_json_print(j, RN_JSON_COMPACT, text);
	json_decref(j);
	rc = rn_str_check(text, e);
out:
	rn_plan_free(p);
	return rc;
}

static int save_container(const struct rn_ctx *c, const struct rn_rel *r, const char *path,
			  struct rn_err *e)
{
	struct rn_writer_opt opt = { .block_rows = c->block_rows, .team = c->team };
	struct rn_str header = RN_STR_INIT;
	struct rn_err why = { 0 };
	struct rn_writer *w;
	struct rn_io *io;
	int rc;

	RN_GOTO(out, stream_header(path, r->schema.name, &header, e));
	RN_GOTO(out, rn_io_open_write(path, &io, e));
	RN_GOTO(out, rn_writer_open(io, header.s, &opt, &w, e));
	rc = rn_writer_section(w, &r->schema, &why);
	if (!rc)
		rc = rn_writer_rows(w, r, &why);
	if (rc) {
		rn_writer_abort(w, why.msg);
		rn_err_set(e, rc, "%s", why.msg);
	} else {
		rc = rn_writer_close(w, e);
	}
out:
	rn_str_fini(&header);
	return rc;
}

int rn_rel_save(const struct rn_ctx *c, const struct rn_rel *r, const char *path, const char *format,
		struct rn_err *e)
{
	if (!strcmp(format, "er"))
		return save_container(c, r, path, e);
	return save_text(r, path,
			 !strcmp(format, "tsv")     ? RN_TEXT_TSV
			 : !strcmp(format, "jsonl") ? RN_TEXT_JSONL
						    : RN_TEXT_CSV,
			 e);
}
