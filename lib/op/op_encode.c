/* SPDX-License-Identifier: Apache-2.0
 *
 * encode: content columns to an embedding.  What the encoders are is in
 * expr/encode.h; here is which rows they are fitted on, and how a category's
 * learned vectors are looked up.
 */
#include "../expr/content.h"
#include "op_table.h"
#include "util.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct rn_opt opts[] = {
	{ .name = "expr", .type = RN_OPT_STRING, .flags = RN_OPT_POSITIONAL | RN_OPT_REQUIRED,
	  .meta = "ENCODERS", .help = "numeric(age), onehot(color), text(title, 1024), ..." },
	{ .name = "fit-where", .type = RN_OPT_STRING, .meta = "PREDICATE",
	  .help = "fit on these rows, not on those that training uses" },
	{ .name = "as", .type = RN_OPT_STRING, .meta = "NAME",
	  .help = "keep the embedding and add this as part NAME" },
	{ .name = "param", .type = RN_OPT_STRING, .meta = "NAME",
	  .help = "name of its parameters in place of the stage's" },
};

static const char *const examples[] = {
	"rn-scan has_word.csv | rn-encode 'index(word_id, 1433)' -o word.er",
	"rn-scan houses.csv | rn-encode 'numeric(area, rooms), onehot(district)' | rn-linear 1",
	NULL,
};

static int parse(const struct rn_node *n, struct rn_encoders *es, struct rn_err *e)
{
	return rn_encoders_parse(rn_node_string(n, "expr"), es, e);
}

static int check(const struct rn_node *n, bool *learns, struct rn_err *e)
{
	struct rn_encoders es;
	int rc = 0;

	RN_TRY(parse(n, &es, e));
	*learns = rn_encoders_fit_any(&es); /* a category fits its vocabulary, too */
	if (!*learns && rn_node_string(n, "fit-where"))
		rc = rn_err_set(e, RN_EUSAGE,
				"--fit-where says which rows encoders are fitted on, and none of "
				"these is fitted: %s", rn_node_string(n, "expr"));
	rn_encoders_fini(&es);
	return rc;
}

static int predicate(const struct rn_node *n, const struct rn_schema *s, struct rn_cexpr **x,
		     struct rn_err *e)
{
	const char *text = rn_node_string(n, "fit-where");

	if (rn_cexpr_parse(text, s, x, e))
		return rn_err_prefix(e, RN_EUSAGE, "--fit-where");
	if (rn_cexpr_type(*x) == RN_BOOL)
		return 0;
	rn_err_set(e, RN_EUSAGE, "--fit-where: '%s' is %s, and a predicate must be bool", text,
		   rn_type_name(rn_cexpr_type(*x)));
	rn_cexpr_free(*x);
	return RN_EUSAGE;
}

/* The parts that --as keeps. */
static int copy_parts(const struct rn_schema *in, const char *as, struct rn_schema *out,
		      struct rn_err *e)
{
	for (size_t i = 0; i < in->nparts; i++) {
		const struct rn_part_info *p = &in->parts[i];

		if (!strcmp(p->name, as))
			return rn_err_set(e, RN_EUSAGE, "--as %s: the embedding has a part of that "
					  "name already", as);
		RN_TRY(rn_schema_add_part(out, p->name, &p->shape, p->sparse, e));
	}
	return 0;
}

static int infer(const struct rn_node *n, const struct rn_schema *const *in, struct rn_schema *out,
		 struct rn_err *e)
{
	const char *as = rn_node_string(n, "as");
	struct rn_encoders es;
	struct rn_einfo info;
	struct rn_cexpr *x;
	int rc;

	RN_TRY(parse(n, &es, e));
	RN_GOTO(out, rn_encoders_infer(&es, n->fitted, in[0], &info, e));
	if (rn_node_string(n, "fit-where")) {
		RN_GOTO(out, predicate(n, in[0], &x, e));
		rn_cexpr_free(x);
	}
	RN_GOTO(out, rn_op_copy_columns(in[0], out, e));
	rc = as ? copy_parts(in[0], as, out, e) : 0;
	if (!rc)
		rc = rn_schema_add_part(out, as ? as : "z", &info.shape, info.sparse, e);
out:
	rn_encoders_fini(&es);
	return rc;
}

static int bind(const struct rn_ctx *c, const struct rn_node *n,
		const struct rn_schema *const *schema, const struct rn_rel *const *in, void *state,
		struct rn_rel **out, struct rn_err *e)
{
	(void)n, (void)schema, (void)state;
	return rn_op_content(c->team, in[0], NULL, 0, true, out, e);
}

/* ---- fitting ------------------------------------------------------------------------------ */

/* The rows to fit on, as a list. */
static int fit_rows(const struct rn_node *n, const struct rn_rel *in, const uint8_t *mark,
		    struct rn_buf **map, uint64_t *count, struct rn_err *e)
{
	struct rn_cexpr *x;
	uint32_t *m, k = 0;
	int rc;

	if (rn_node_string(n, "fit-where")) {
		RN_TRY(predicate(n, &in->schema, &x, e));
		rc = rn_cexpr_filter(x, in, map, count, e);
		rn_cexpr_free(x);
		return rc;
	}
	if (!mark)
		return rn_err_set(e, RN_EUSAGE,
				  "there is nothing to fit '%s' on: no loss that is trained depends "
				  "on this stage.  Use for both the stage that the loss uses, or "
				  "say with --fit-where which rows count",
				  rn_node_string(n, "expr"));
	RN_TRY(rn_buf_new(in->rows * sizeof *m, "training rows", map, e));
	m = (*map)->data;
	for (uint64_t i = 0; i < in->rows; i++)
		if (mark[i])
			m[k++] = (uint32_t)i;
	*count = k;
	return 0;
}

static int fit(const struct rn_ctx *c, const struct rn_node *n, const struct rn_rel *in,
	       const uint8_t *rows, struct rn_fitted **out, struct rn_err *e)
{
	const char *where = rn_node_string(n, "fit-where");
	struct rn_buf *map = NULL;
	struct rn_encoders es;
	uint64_t count;
	char label[320];
	int rc;

	RN_TRY(parse(n, &es, e));
	RN_GOTO(out, fit_rows(n, in, rows, &map, &count, e));
	if (!count) {
		rc = rn_err_set(e, RN_EDATA, "there is nothing to fit '%s' on: %s%s%s",
				rn_node_string(n, "expr"), where ? "--fit-where '" : "",
				where ? where : "no row of the loss depends on a row of this stage",
				where ? "' is true for no row" : "");
		goto out;
	}
	rc = rn_encoders_fit(c, &es, in, map->data, count, out, e);
	if (!rc)
		rn_log(c, RN_LOG_INFO, "%s: fitted on %" PRIu64 " of %" PRIu64 " rows",
		       rn_node_label(n, label, sizeof label), count, in->rows);
out:
	rn_buf_unref(map);
	rn_encoders_fini(&es);
	return rc;
}

/* ---- values ------------------------------------------------------------------------------- */

struct state {
	struct rn_encoded x;
};

static int check_mem(const struct rn_ctx *c, const struct rn_einfo *info, uint64_t rows,
		     struct rn_err *e)
{
	uint64_t width = info->shape.dim[0], bytes;
	char mem[RN_SIZE_TEXT];

	if (info->sparse || !c->mem_limit)
		return 0;
	if (!__builtin_mul_overflow(rows, width * sizeof(float), &bytes) && bytes <= c->mem_limit)
		return 0;
	return rn_err_set(e, RN_ENOMEM,
			  "%" PRIu64 " rows of %" PRIu64 " features take more than --mem %s", rows,
			  width, rn_size_text(c->mem_limit, mem));
}

static int settle(const struct rn_ctx *c, const struct rn_node *n,
		  const struct rn_schema *const *schema, const struct rn_rel *const *in,
		  const struct rn_rel *out, void *state, struct rn_err *e)
{
	struct state *st = state;
	struct rn_encoders es;
	struct rn_einfo info;
	char label[320];
	int rc;

	(void)out;
	RN_TRY(parse(n, &es, e));
	RN_GOTO(out, rn_encoders_infer(&es, n->fitted, schema[0], &info, e));
	RN_GOTO(out, check_mem(c, &info, in[0]->rows, e));
	rc = rn_encoders_apply(c, &es, n->fitted, in[0], rn_node_label(n, label, sizeof label),
			       &st->x, e);
out:
	rn_encoders_fini(&es);
	return rc;
}

#define CODE(e) ((e) && (e)->code ? (e)->code : RN_ENOMEM)

/* The values of a block as a constant of the program. */
static int lower_block(struct rn_prog *p, const struct rn_enc_block *b, uint32_t rows,
		       struct rn_lpart *z, struct rn_err *e)
{
	uint32_t one = 1;

	*z = (struct rn_lpart){ .shape = { 1, { b->width } }, .base_rows = rows,
				.sparse = b->sparse, .ptr = RN_NONE, .col = RN_NONE,
				.map = RN_NONE };
	if (!b->sparse) {
		z->val = rn_prog_const(p, rows, 1, z->shape.dim, rn_buf_ref(b->val), e);
		return z->val == RN_NONE ? CODE(e) : 0;
	}
	z->ptr = rn_prog_idx(p, rn_buf_ref(b->ptr), rows + 1, e);
	z->col = rn_prog_idx(p, rn_buf_ref(b->col), (uint32_t)b->nnz, e);
	z->val = rn_prog_const(p, (uint32_t)b->nnz, 1, &one, rn_buf_ref(b->val), e);
	return z->ptr == RN_NONE || z->col == RN_NONE || z->val == RN_NONE ? CODE(e) : 0;
}

/* The table's row of each relation row; `of`: the table's row of each code. */
static int row_map(const uint32_t *codes, const uint32_t *of, uint32_t rows, struct rn_buf **out,
		   struct rn_err *e)
{
	uint32_t *m;

	RN_TRY(rn_buf_new((size_t)rows * sizeof *m, "a row map", out, e));
	m = (*out)->data;
	for (uint32_t i = 0; i < rows; i++)
		m[i] = of[codes[i]];
	return 0;
}

/* A table that another stage made has a row for each value here, too: else those would go without. */
static int check_table(const struct rn_param_spec *spec, const char *col, struct rn_err *e)
{
	uint32_t lacks = 0;

	for (uint32_t i = 0; i < spec->dim[0]; i++)
		lacks += spec->rows[i] == RN_NO_ROW;
	if (!lacks)
		return 0;
	return rn_err_set(e, RN_EUSAGE, "parameter '%s' lacks %u of the %u values of column '%s': it was made "
			  "for those of another stage; give the two names of their own, or fit both on rows "
			  "with equal values", spec->name, lacks, spec->dim[0], col);
}

/* A learned vector for each code of a category: STAGE.COL.weight, a table by value. */
static int lower_category(const struct rn_lower *lw, const char *stage,
			  const struct rn_encoder *en, const struct rn_rel *table,
			  const uint32_t *codes, uint32_t rows, uint32_t *out, struct rn_err *e)
{
	struct rn_param_spec spec = { .rank = 2, .dim = { 0, en->n }, .init = en->init,
				      .arg = en->init_arg, .fan_out = en->n };
	struct rn_str name = RN_STR_INIT;
	struct rn_rel *keys = NULL;
	struct rn_buf *map;
	uint32_t val, idx;
	int rc;

	if (en->name)
		rn_str_addf(&name, "%s.weight", en->name);
	else
		rn_str_addf(&name, "%s.%s.weight", stage, en->col);
	RN_GOTO(out, rn_str_check(&name, e));
	RN_GOTO(out, rn_category_keys(en, table, &keys, e));
	spec.name = name.s;
	spec.keys = keys;
	spec.dim[0] = spec.fan_in = (uint32_t)keys->rows;
	RN_GOTO(out, rn_calloc(keys->rows, sizeof *spec.rows, "table rows", &spec.rows, e));
	RN_GOTO(out, lw->param(lw->param_arg, &spec, &val, e));
	RN_GOTO(out, check_table(&spec, en->col, e));
	RN_GOTO(out, row_map(codes, spec.rows, rows, &map, e));
	rc = RN_ENOMEM;
	idx = rn_prog_idx(lw->prog, map, rows, e);
	if (idx == RN_NONE)
		goto out;
	val = rn_prog_view(lw->prog, val, lw->prog->vals[val].width / en->n, 1, &spec.dim[1], e);
	*out = val == RN_NONE ? val : rn_prog_gather(lw->prog, val, idx, e);
	rc = *out == RN_NONE ? CODE(e) : 0;
out:
	free(spec.rows);
	rn_rel_unref(keys);
	rn_str_fini(&name);
	return rc;
}

/* The blocks side by side. */
static int lower_blocks(const struct rn_lower *lw, const char *stage,
			const struct rn_encoders *es, const struct rn_node *n,
			const struct rn_encoded *x, uint32_t rows, struct rn_lpart *z,
			struct rn_err *e)
{
	uint32_t *vals;
	int rc = 0;

	if (x->n == 1 && !x->blocks[0].codes)
		return lower_block(lw->prog, &x->blocks[0], rows, z, e);
	RN_TRY(rn_calloc(x->n, sizeof *vals, "encoders", &vals, e));
	*z = (struct rn_lpart){ .shape = { 1, { 0 } }, .base_rows = rows, .ptr = RN_NONE,
				.col = RN_NONE, .map = RN_NONE };
	for (size_t k = 0; k < x->n && !rc; k++) {
		const struct rn_enc_block *b = &x->blocks[k];
		struct rn_lpart part;

		z->shape.dim[0] += b->width;
		if (b->codes) {
			rc = lower_category(lw, stage, &es->at[b->first],
					    n->fitted->tables[b->first], b->codes->data, rows,
					    &vals[k], e);
			continue;
		}
		rc = lower_block(lw->prog, b, rows, &part, e);
		vals[k] = part.val;
	}
	if (!rc) {
		z->val = rn_prog_concat(lw->prog, vals, (uint32_t)x->n, e);
		rc = z->val == RN_NONE ? CODE(e) : 0;
	}
	free(vals);
	return rc;
}

/* All parts of the input, and z. */
static int beside(const struct rn_lrel *in, const char *as, const struct rn_lpart *z,
		  struct rn_lrel *out, struct rn_err *e)
{
	RN_TRY(rn_op_alloc_parts(out, in->nparts + 1, e));
	for (size_t i = 0; i <= in->nparts; i++) {
		const char *name = i < in->nparts ? in->parts[i].name : as;

		out->parts[i] = i < in->nparts ? in->parts[i] : *z;
		out->parts[i].name = strdup(name);
		if (!out->parts[i].name)
			return rn_err_nomem(e, strlen(name) + 1, "a name");
	}
	return 0;
}

static int lower(const struct rn_lower *lw, const struct rn_node *n, const void *state,
		 const struct rn_lrel *in, struct rn_lrel *out, struct rn_err *e)
{
	const char *stage = rn_node_string(n, "param");
	const struct state *st = state;
	struct rn_encoders es;
	struct rn_lpart z;
	int rc;

	if (!stage)
		stage = n->name ? n->name : n->op->name;
	RN_TRY(parse(n, &es, e));
	rc = lower_blocks(lw, stage, &es, n, &st->x,
			  (uint32_t)out->rel->rows, &z, e);
	rn_encoders_fini(&es);
	if (rc || !rn_node_string(n, "as"))
		return rc ? rc : rn_op_sole_part(out, "z", &z, e);
	return beside(&in[0], rn_node_string(n, "as"), &z, out, e);
}

static void close_state(void *state)
{
	rn_encoded_fini(&((struct state *)state)->x);
}

const struct rn_op rn_op_encode = {
	.name = "encode",
	.what = "turn content columns into an embedding",
	.usage = "ENCODERS [FILE]",
	.examples = examples,
	.see_also = "rn-embed(1), rn-map(1), rn-train(1)",
	.flags = RN_OP_ROWWISE | RN_OP_LEARNS,
	.min_in = 1,
	.max_in = 1,
	RN_OPTS(opts),
	.state_size = sizeof(struct state),
	.check = check,
	.infer = infer,
	.bind = bind,
	.fit = fit,
	.settle = settle,
	.lower = lower,
	.close = close_state,
};
