/* SPDX-License-Identifier: Apache-2.0
 *
 * encode: content columns to an embedding.  The kinds here fit nothing:
 *
 *   raw(col, ...)   numbers, bools, timestamps (seconds) as they are
 *   index(col, N)   an integer 0 ... N-1 as a sparse one-hot of width N
 *
 * Several encoders, separated by commas, stand side by side in the result.
 */
#include "op_table.h"
#include "util.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct rn_opt opts[] = {
	{ .name = "expr", .type = RN_OPT_STRING, .flags = RN_OPT_POSITIONAL | RN_OPT_REQUIRED,
	  .meta = "ENCODERS", .help = "raw(col,...) and index(col, N), separated by commas" },
};

static const char *const examples[] = {
	"rn-scan has_word.csv | rn-encode 'index(word_id, 1433)' -o word.er",
	"rn-scan houses.csv | rn-encode 'raw(area, rooms), index(district, 12)' | rn-info",
	NULL,
};

enum { MAX_ENCODERS = 256, MAX_WIDTH = 1 << 28 };

/* One column's encoder: width 1 (raw) or N (index). */
struct encoder {
	char *col;
	uint32_t width;
	bool index;
};
struct encoders {
	size_t n, cap;
	struct encoder *at;
	uint32_t width; /* of the whole */
};

static void encoders_fini(struct encoders *es)
{
	for (size_t i = 0; i < es->n; i++)
		free(es->at[i].col);
	free(es->at);
}

/* ---- the text --------------------------------------------------------------- */

struct cursor {
	const char *text, *p;
};

static void skip(struct cursor *c)
{
	while (isspace((unsigned char)*c->p))
		c->p++;
}

static int syntax(const struct cursor *c, const char *want, struct rn_err *e)
{
	return rn_err_set(e, RN_EUSAGE, "expected %s\n  %s\n  %*s^", want, c->text,
			  (int)(c->p - c->text), "");
}

/* A name: letters, digits, _ and ., or anything between backquotes. */
static int word(struct cursor *c, const char *what, char **out, struct rn_err *e)
{
	const char *from;
	size_t n;

	skip(c);
	from = c->p;
	if (*from == '`') {
		const char *end = strchr(++from, '`');

		if (!end)
			return syntax(c, "a closing `", e);
		n = (size_t)(end - from);
		c->p = end + 1;
	} else {
		while (isalnum((unsigned char)*c->p) || *c->p == '_' || *c->p == '.' || (*c->p & 0x80))
			c->p++;
		n = (size_t)(c->p - from);
	}
	if (!n)
		return syntax(c, what, e);
	*out = strndup(from, n);
	return *out ? 0 : rn_err_nomem(e, n + 1, "a name");
}

static bool take(struct cursor *c, char ch)
{
	skip(c);
	if (*c->p != ch)
		return false;
	c->p++;
	return true;
}

static int add(struct encoders *es, struct cursor *c, struct rn_err *e)
{
	if (es->n == MAX_ENCODERS)
		return rn_err_set(e, RN_EUSAGE, "more than %d columns to encode", MAX_ENCODERS);
	RN_TRY(rn_grow(&es->at, &es->cap, es->n + 1, sizeof *es->at, "encoders", e));
	es->at[es->n] = (struct encoder){ .width = 1 };
	RN_TRY(word(c, "a column name", &es->at[es->n].col, e));
	es->n++;
	return 0;
}

static int parse_one(struct cursor *c, struct encoders *es, struct rn_err *e)
{
	struct cursor start;
	char *kind, *end;
	bool index, raw;

	skip(c);
	start = *c;
	RN_TRY(word(c, "raw(...) or index(...)", &kind, e));
	index = !strcmp(kind, "index");
	raw = !strcmp(kind, "raw");
	free(kind);
	if (!index && !raw)
		return syntax(&start, "raw(col, ...) or index(col, N)", e);
	if (!take(c, '('))
		return syntax(c, "'('", e);
	do
		RN_TRY(add(es, c, e));
	while (raw && take(c, ','));
	if (index) {
		unsigned long long n;

		if (!take(c, ','))
			return syntax(c, "', N'", e);
		skip(c);
		n = strtoull(c->p, &end, 10);
		if (!isdigit((unsigned char)*c->p) || n < 1 || n > MAX_WIDTH)
			return syntax(c, "a width N from 1 to 268435456", e);
		c->p = end;
		es->at[es->n - 1].width = (uint32_t)n;
		es->at[es->n - 1].index = true;
	}
	return take(c, ')') ? 0 : syntax(c, "')'", e);
}

static int parse(const struct rn_node *n, struct encoders *es, struct rn_err *e)
{
	struct cursor c = { rn_node_string(n, "expr"), rn_node_string(n, "expr") };
	uint64_t width = 0;
	int rc;

	*es = (struct encoders){ 0 };
	do
		RN_GOTO(fail, parse_one(&c, es, e));
	while (take(&c, ','));
	skip(&c);
	if (*c.p) {
		rc = syntax(&c, "',' or the end", e);
		goto fail;
	}
	for (size_t i = 0; i < es->n; i++)
		width += es->at[i].width;
	if (width > MAX_WIDTH) {
		rc = rn_err_set(e, RN_EUSAGE, "the encoders are %" PRIu64 " wide together; the limit is %d",
				width, MAX_WIDTH);
		goto fail;
	}
	es->width = (uint32_t)width;
	return 0;
fail:
	encoders_fini(es);
	return rc;
}

static int check(const struct rn_node *n, bool *learns, struct rn_err *e)
{
	struct encoders es;

	(void)learns;
	RN_TRY(parse(n, &es, e));
	encoders_fini(&es);
	return 0;
}

/* Sparse as long as any encoder is: a raw value is then one stored value. */
static bool is_sparse(const struct encoders *es)
{
	for (size_t i = 0; i < es->n; i++)
		if (es->at[i].index)
			return true;
	return false;
}

static int infer(const struct rn_node *n, const struct rn_schema *const *in, struct rn_schema *out,
		 struct rn_err *e)
{
	struct rn_shape shape = { .rank = 1 };
	struct encoders es;
	int rc = 0;

	RN_TRY(parse(n, &es, e));
	for (size_t i = 0; i < es.n; i++) {
		const struct encoder *c = &es.at[i];
		enum rn_type t;
		size_t at;

		RN_GOTO(out, rn_schema_find(in[0], c->col, &at, e));
		t = in[0]->cols[at].type;
		if (c->index ? t != RN_INT64 : t == RN_STRING) {
			rc = rn_err_set(e, RN_EUSAGE, "%s wants %s, and column '%s' is %s",
					c->index ? "index" : "raw", c->index ? "an int64" : "numbers", c->col,
					rn_type_name(t));
			goto out;
		}
	}
	RN_GOTO(out, rn_op_copy_columns(in[0], out, e));
	shape.dim[0] = es.width;
	rc = rn_schema_add_part(out, "z", &shape, is_sparse(&es), e);
out:
	encoders_fini(&es);
	return rc;
}

/* ---- bind and lower ------------------------------------------------------------ */

struct state {
	struct rn_buf *val, *ptr, *col; /* dense: val alone */
	uint32_t nnz, width;
	bool sparse;
};

static float raw_value(const struct rn_column *c, uint64_t r)
{
	switch (c->type) {
	case RN_FLOAT64:
		return (float)c->f64[r];
	case RN_BOOL:
		return c->b[r];
	case RN_TIMESTAMP:
		return (float)((double)c->i64[r] * 1e-6);
	default:
		return (float)c->i64[r];
	}
}

static int check_index(const struct encoder *en, const struct rn_column *c, struct rn_err *e)
{
	for (uint64_t r = 0; r < c->rows; r++)
		if (!rn_column_is_null(c, r) && (c->i64[r] < 0 || c->i64[r] >= en->width))
			return rn_err_set(e, RN_EDATA,
					  "column '%s', row %" PRIu64 ": %" PRId64 " is not in 0 ... %u", en->col, r,
					  c->i64[r], en->width - 1);
	return 0;
}

static int fill_dense(const struct encoders *es, struct rn_column *const *cols, uint64_t rows,
		      struct state *st, struct rn_err *e)
{
	float *x;

	RN_TRY(rn_buf_new(rows * es->width * sizeof *x, "an encoding", &st->val, e));
	x = st->val->data;
	for (size_t i = 0; i < es->n; i++)
		for (uint64_t r = 0; r < rows; r++)
			x[r * es->width + i] = raw_value(cols[i], r); /* 0 stands under a NULL */
	return 0;
}

static int fill_sparse(const struct encoders *es, struct rn_column *const *cols, uint64_t rows,
		       struct state *st, struct rn_err *e)
{
	uint64_t max = rows * es->n;
	uint32_t *ptr, *col, k = 0;
	float *x;

	if (max >= UINT32_MAX)
		return rn_err_set(e, RN_ENOMEM, "%" PRIu64 " stored values are too many for one relation", max);
	RN_TRY(rn_buf_new(max * sizeof *x, "an encoding", &st->val, e));
	RN_TRY(rn_buf_new(max * 4, "an encoding", &st->col, e));
	RN_TRY(rn_buf_new((rows + 1) * 4, "an encoding", &st->ptr, e));
	x = st->val->data;
	ptr = st->ptr->data;
	col = st->col->data;
	for (uint64_t r = 0; r < rows; r++) {
		uint32_t at = 0;

		for (size_t i = 0; i < es->n; i++) {
			const struct encoder *en = &es->at[i];

			if (!rn_column_is_null(cols[i], r)) {
				float v = en->index ? 1.0f : raw_value(cols[i], r);

				if (v != 0) {
					x[k] = v;
					col[k++] = at + (en->index ? (uint32_t)cols[i]->i64[r] : 0);
				}
			}
			at += en->width;
		}
		ptr[r + 1] = k;
	}
	st->nnz = k;
	return 0;
}

static int bind(const struct rn_ctx *c, const struct rn_node *n,
		const struct rn_schema *const *schema, const struct rn_rel *const *in, void *state,
		struct rn_rel **out, struct rn_err *e)
{
	struct rn_column *cols[MAX_ENCODERS];
	struct state *st = state;
	struct encoders es;
	uint64_t nulls = 0;
	char label[128];
	int rc;

	(void)schema;
	RN_TRY(parse(n, &es, e));
	for (size_t i = 0; i < es.n; i++) {
		size_t at;

		RN_GOTO(out, rn_schema_find(&in[0]->schema, es.at[i].col, &at, e));
		cols[i] = in[0]->cols[at];
		nulls += cols[i]->nulls;
		if (es.at[i].index)
			RN_GOTO(out, check_index(&es.at[i], cols[i], e));
	}
	st->width = es.width;
	st->sparse = is_sparse(&es);
	RN_GOTO(out, (st->sparse ? fill_sparse : fill_dense)(&es, cols, in[0]->rows, st, e));
	if (nulls)
		rn_log(c, RN_LOG_WARN, "%s: %" PRIu64 " NULLs are encoded as 0",
		       rn_node_label(n, label, sizeof label), nulls);
	rc = rn_op_content(in[0], NULL, 0, true, out, e);
out:
	encoders_fini(&es);
	return rc;
}

static int lower(const struct rn_lower *lw, const struct rn_node *n, const void *state,
		 const struct rn_lrel *in, struct rn_lrel *out, struct rn_err *e)
{
	const struct state *st = state;
	uint32_t rows = (uint32_t)out->rel->rows, one = 1;
	struct rn_lpart z = { .shape = { 1, { st->width } }, .base_rows = rows, .sparse = st->sparse,
			      .ptr = RN_NONE, .col = RN_NONE, .map = RN_NONE };

	(void)n, (void)in;
	if (st->sparse) {
		z.ptr = rn_prog_idx(lw->prog, rn_buf_ref(st->ptr), rows + 1, e);
		z.col = rn_prog_idx(lw->prog, rn_buf_ref(st->col), st->nnz, e);
		z.val = rn_prog_const(lw->prog, st->nnz, 1, &one, rn_buf_ref(st->val), e);
		if (z.ptr == RN_NONE || z.col == RN_NONE)
			return RN_ENOMEM;
	} else {
		z.val = rn_prog_const(lw->prog, rows, 1, z.shape.dim, rn_buf_ref(st->val), e);
	}
	if (z.val == RN_NONE)
		return RN_ENOMEM;
	return rn_op_sole_part(out, "z", &z, e);
}

static void close_state(void *state)
{
	struct state *st = state;

	rn_buf_unref(st->val);
	rn_buf_unref(st->ptr);
	rn_buf_unref(st->col);
}

const struct rn_op rn_op_encode = {
	.name = "encode",
	.what = "turn content columns into an embedding",
	.usage = "ENCODERS [FILE]",
	.examples = examples,
	.see_also = "rn-embed(1), rn-map(1)",
	.flags = RN_OP_ROWWISE,
	.min_in = 1,
	.max_in = 1,
	RN_OPTS(opts),
	.state_size = sizeof(struct state),
	.check = check,
	.infer = infer,
	.bind = bind,
	.lower = lower,
	.close = close_state,
};
