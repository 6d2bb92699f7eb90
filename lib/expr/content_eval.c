/* SPDX-License-Identifier: Apache-2.0
 *
 * Content expressions: evaluation, a batch of rows at a time, node by node.  A
 * column of the relation is read in place.  Where an operand decides for some
 * rows alone (and, or, case), the others are marked as active, so that a row
 * that is not asked for cannot be an error.
 */
#include "content_node.h"

#include <stdlib.h>
#include <string.h>

static int eval(struct rn_cx_state *s, const struct rn_cx_node *x, const uint8_t *active,
		struct rn_cx_vec *out, struct rn_err *e);

/* ---- leaves ------------------------------------------------------------------------- */

static void eval_column(struct rn_cx_state *s, const struct rn_cx_node *x, struct rn_cx_vec *out)
{
	const struct rn_column *c = s->r->cols[x->col];
	struct rn_cx_scratch *t = &s->scratch[x->index];

	out->null = c->null ? c->null + s->from : NULL;
	switch (c->type) {
	case RN_FLOAT64:
		out->f = c->f64 + s->from;
		break;
	case RN_BOOL:
		out->b = c->b + s->from;
		break;
	case RN_STRING:
		for (size_t i = 0; i < s->n; i++) {
			uint64_t from = c->off[s->from + i];

			t->s[i].s = c->bytes + from;
			t->s[i].n = c->off[s->from + i + 1] - from;
		}
		out->s = t->s;
		break;
	default:
		out->i = c->i64 + s->from;
	}
}

/* `n` times the literal. */
static void fill(struct rn_cx_scratch *t, const struct rn_cx_node *x, size_t n)
{
	memset(t->null, x->lit.null, n);
	if (x->lit.null)
		memset(t->s, 0, n * sizeof *t->s); /* 0 in every type */
	for (size_t i = 0; i < n && !x->lit.null; i++) {
		if (x->type == RN_FLOAT64)
			t->f[i] = x->lit.f;
		else if (x->type == RN_BOOL)
			t->b[i] = x->lit.b;
		else if (x->type == RN_STRING)
			t->s[i] = x->lit.s;
		else
			t->i[i] = x->lit.i;
	}
}

/* As it was filled into t. */
static void eval_literal(const struct rn_cx_scratch *t, const struct rn_cx_node *x,
			 struct rn_cx_vec *out)
{
	out->i = t->i;
	out->null = x->lit.null ? t->null : NULL;
}

/* Literals are the same in every batch: they are written once, for `n` rows.  Those of
 * a list may be many, and are not kept. */
static void fill_literals(struct rn_cx_state *s, const struct rn_cx_node *x, size_t n)
{
	if (x->op == RN_CX_LITERAL)
		fill(&s->scratch[x->index], x, n);
	for (size_t k = 0; k < x->nkids; k++)
		if (x->op != RN_CX_IN || k == 0 || x->kids[k]->op != RN_CX_LITERAL)
			fill_literals(s, x->kids[k], n);
}

/* ---- logic ---------------------------------------------------------------------------- */

static bool is_null(const struct rn_cx_vec *v, size_t i)
{
	return v->null && v->null[i];
}

/* mask = the active rows that the left operand leaves open: those where it is not `decided`. */
static void leave_open(const struct rn_cx_vec *a, bool decided, const uint8_t *active, size_t n,
		       uint8_t *mask)
{
	for (size_t i = 0; i < n; i++)
		mask[i] = (!active || active[i]) && (is_null(a, i) || a->b[i] != decided);
}

/* `and` is false, `or` is true as soon as one operand is; else a NULL wins. */
static int eval_and_or(struct rn_cx_state *s, const struct rn_cx_node *x, const uint8_t *active,
		       struct rn_cx_vec *out, struct rn_err *e)
{
	struct rn_cx_scratch *t = &s->scratch[x->index];
	uint8_t decided = x->op == RN_CX_OR;
	struct rn_cx_vec a, b;

	RN_TRY(eval(s, x->kids[0], active, &a, e));
	if (x->kids[1]->fails) {
		leave_open(&a, decided, active, s->n, t->mask[0]);
		active = t->mask[0];
	}
	RN_TRY(eval(s, x->kids[1], active, &b, e));
	out->b = t->b;
	out->null = NULL;
	if (!a.null && !b.null) {
		for (size_t i = 0; i < s->n; i++)
			t->b[i] = decided ? a.b[i] | b.b[i] : a.b[i] & b.b[i];
		return 0;
	}
	for (size_t i = 0; i < s->n; i++) {
		bool na = is_null(&a, i), nb = is_null(&b, i);
		bool known = (!na && a.b[i] == decided) || (!nb && b.b[i] == decided);

		t->null[i] = !known && (na || nb);
		t->b[i] = known ? decided : !decided;
	}
	out->null = t->null;
	return 0;
}

static int eval_not(struct rn_cx_state *s, const struct rn_cx_node *x, const uint8_t *active,
		    struct rn_cx_vec *out, struct rn_err *e)
{
	struct rn_cx_scratch *t = &s->scratch[x->index];
	struct rn_cx_vec a;

	RN_TRY(eval(s, x->kids[0], active, &a, e));
	for (size_t i = 0; i < s->n; i++)
		t->b[i] = !a.b[i];
	out->b = t->b;
	out->null = a.null;
	return 0;
}

static int eval_is_null(struct rn_cx_state *s, const struct rn_cx_node *x, const uint8_t *active,
			struct rn_cx_vec *out, struct rn_err *e)
{
	struct rn_cx_scratch *t = &s->scratch[x->index];
	struct rn_cx_vec a;

	RN_TRY(eval(s, x->kids[0], active, &a, e));
	for (size_t i = 0; i < s->n; i++)
		t->b[i] = is_null(&a, i);
	out->b = t->b;
	out->null = NULL;
	return 0;
}

/* True if the value equals one in the list; else NULL if it or any of them is. */
static int eval_in(struct rn_cx_state *s, const struct rn_cx_node *x, const uint8_t *active,
		   struct rn_cx_vec *out, struct rn_err *e)
{
	struct rn_cx_scratch *t = &s->scratch[x->index];
	struct rn_cx_scratch *list = &s->scratch[x->kids[1]->index]; /* of what has been seen */
	uint8_t *eq = t->mask[0];
	struct rn_cx_vec a, b;

	RN_TRY(eval(s, x->kids[0], active, &a, e));
	memset(t->b, 0, s->n);
	memset(t->null, 0, s->n);
	if (a.null)
		memcpy(t->null, a.null, s->n);
	for (size_t k = 1; k < x->nkids; k++) {
		if (x->kids[k]->op == RN_CX_LITERAL) {
			fill(list, x->kids[k], s->n);
			eval_literal(list, x->kids[k], &b);
		} else {
			RN_TRY(eval(s, x->kids[k], active, &b, e));
		}
		rn_cx_equal(x->kids[0]->type, &a, x->kids[k]->type, &b, s->n, eq);
		for (size_t i = 0; i < s->n; i++) {
			t->null[i] |= is_null(&b, i);
			t->b[i] |= eq[i] && !is_null(&a, i) && !is_null(&b, i);
		}
	}
	for (size_t i = 0; i < s->n; i++)
		t->null[i] &= !t->b[i];
	out->b = t->b;
	out->null = t->null;
	return 0;
}

/* ---- case ------------------------------------------------------------------------------- */

/* out[i] = v[i] for the chosen rows. */
static void choose(enum rn_type type, const struct rn_cx_vec *v, const uint8_t *chosen, size_t n,
		   struct rn_cx_scratch *t)
{
	for (size_t i = 0; i < n; i++) {
		if (!chosen[i])
			continue;
		t->null[i] = is_null(v, i);
		if (type == RN_FLOAT64)
			t->f[i] = v->f[i];
		else if (type == RN_BOOL)
			t->b[i] = v->b[i];
		else if (type == RN_STRING)
			t->s[i] = v->s[i];
		else
			t->i[i] = v->i[i];
	}
}

static int eval_case(struct rn_cx_state *s, const struct rn_cx_node *x, const uint8_t *active,
		     struct rn_cx_vec *out, struct rn_err *e)
{
	struct rn_cx_scratch *t = &s->scratch[x->index];
	uint8_t *rest = t->mask[0], *chosen = t->mask[1];
	size_t first = x->op == RN_CX_CASE_OF, k;
	struct rn_cx_vec v;

	if (first)
		RN_TRY(eval(s, x->kids[0], active, &s->scratch[x->kids[0]->index].value, e));
	for (size_t i = 0; i < s->n; i++)
		rest[i] = !active || active[i];
	memset(t->s, 0, s->n * sizeof *t->s);
	memset(t->null, 1, s->n);
	for (k = first; k + 1 < x->nkids; k += 2) {
		uint8_t any = 0;

		RN_TRY(eval(s, x->kids[k], rest, &v, e));
		for (size_t i = 0; i < s->n; i++) {
			chosen[i] = rest[i] && v.b[i] && !is_null(&v, i);
			rest[i] &= !chosen[i];
			any |= chosen[i];
		}
		if (!any)
			continue;
		RN_TRY(eval(s, x->kids[k + 1], chosen, &v, e));
		choose(x->type, &v, chosen, s->n, t);
	}
	if (k < x->nkids) {
		RN_TRY(eval(s, x->kids[k], rest, &v, e));
		choose(x->type, &v, rest, s->n, t);
	}
	out->i = t->i;
	out->null = t->null;
	return 0;
}

/* ---- functions that choose --------------------------------------------------------------- */

/* The first value that is not NULL; later ones are asked for the rows that are left. */
static int eval_coalesce(struct rn_cx_state *s, const struct rn_cx_node *x, const uint8_t *active,
			 struct rn_cx_vec *out, struct rn_err *e)
{
	struct rn_cx_scratch *t = &s->scratch[x->index];
	uint8_t *rest = t->mask[0], *chosen = t->mask[1], any = 1;
	struct rn_cx_vec v;

	for (size_t i = 0; i < s->n; i++)
		rest[i] = !active || active[i];
	memset(t->s, 0, s->n * sizeof *t->s);
	memset(t->null, 1, s->n);
	for (size_t k = 0; any && k < x->nkids; k++) {
		RN_TRY(eval(s, x->kids[k], rest, &v, e));
		any = 0;
		for (size_t i = 0; i < s->n; i++) {
			chosen[i] = rest[i] && !is_null(&v, i);
			rest[i] &= !chosen[i];
			any |= rest[i];
		}
		choose(x->type, &v, chosen, s->n, t);
	}
	out->i = t->i;
	out->null = t->null;
	return 0;
}

static bool exceeds(enum rn_type type, const struct rn_cx_vec *v, size_t i,
		    const struct rn_cx_scratch *t)
{
	switch (type) {
	case RN_FLOAT64:
		return v->f[i] > t->f[i];
	case RN_BOOL:
		return v->b[i] > t->b[i];
	case RN_STRING:
		return rn_cx_cmp_text(&v->s[i], &t->s[i]) > 0;
	default:
		return v->i[i] > t->i[i];
	}
}

static bool falls_below(enum rn_type type, const struct rn_cx_vec *v, size_t i,
			const struct rn_cx_scratch *t)
{
	switch (type) {
	case RN_FLOAT64:
		return v->f[i] < t->f[i];
	case RN_BOOL:
		return v->b[i] < t->b[i];
	case RN_STRING:
		return rn_cx_cmp_text(&v->s[i], &t->s[i]) < 0;
	default:
		return v->i[i] < t->i[i];
	}
}

/* greatest and least: NULL where any value is. */
static int eval_extreme(struct rn_cx_state *s, const struct rn_cx_node *x, const uint8_t *active,
			struct rn_cx_vec *out, struct rn_err *e)
{
	struct rn_cx_scratch *t = &s->scratch[x->index];
	uint8_t *better = t->mask[0], *null = t->mask[1];
	struct rn_cx_vec v;

	memset(null, 0, s->n);
	for (size_t k = 0; k < x->nkids; k++) {
		RN_TRY(eval(s, x->kids[k], active, &v, e));
		for (size_t i = 0; i < s->n; i++) {
			null[i] |= is_null(&v, i);
			better[i] = !k || (x->op == RN_CX_GREATEST ? exceeds(x->type, &v, i, t) :
								      falls_below(x->type, &v, i, t));
		}
		choose(x->type, &v, better, s->n, t);
	}
	out->i = t->i;
	out->null = null;
	return 0;
}

/* Never NULL: a NULL is a value like another. */
static int eval_hash(struct rn_cx_state *s, const struct rn_cx_node *x, const uint8_t *active,
		     struct rn_cx_vec *out, struct rn_err *e)
{
	struct rn_cx_scratch *t = &s->scratch[x->index];
	struct rn_cx_vec v;

	memset(t->u, 0, s->n * sizeof *t->u);
	for (size_t k = 0; k < x->nkids; k++) {
		RN_TRY(eval(s, x->kids[k], active, &v, e));
		rn_cx_hash(x->kids[k]->type, &v, s->n, t->u);
	}
	for (size_t i = 0; i < s->n; i++)
		t->u[i] >>= 1; /* an int64 from 0 on */
	out->i = t->i;
	out->null = NULL;
	return 0;
}

/* ---- dispatch ---------------------------------------------------------------------------- */

static int eval(struct rn_cx_state *s, const struct rn_cx_node *x, const uint8_t *active,
		struct rn_cx_vec *out, struct rn_err *e)
{
	struct rn_cx_vec kids[RN_CX_KERNEL_KIDS];

	switch (x->op) {
	case RN_CX_COLUMN:
		eval_column(s, x, out);
		return 0;
	case RN_CX_LITERAL:
		eval_literal(&s->scratch[x->index], x, out);
		return 0;
	case RN_CX_AND:
	case RN_CX_OR:
		return eval_and_or(s, x, active, out, e);
	case RN_CX_NOT:
		return eval_not(s, x, active, out, e);
	case RN_CX_IS_NULL:
		return eval_is_null(s, x, active, out, e);
	case RN_CX_IN:
		return eval_in(s, x, active, out, e);
	case RN_CX_CASE:
	case RN_CX_CASE_OF:
		return eval_case(s, x, active, out, e);
	case RN_CX_OPERAND:
		*out = s->scratch[x->of->index].value;
		return 0;
	case RN_CX_COALESCE:
		return eval_coalesce(s, x, active, out, e);
	case RN_CX_GREATEST:
	case RN_CX_LEAST:
		return eval_extreme(s, x, active, out, e);
	case RN_CX_HASH:
		return eval_hash(s, x, active, out, e);
	default:
		for (size_t k = 0; k < x->nkids; k++)
			RN_TRY(eval(s, x->kids[k], active, &kids[k], e));
		return rn_cx_table[x->op].run(s, x, kids, active, out, e);
	}
}

/* ---- output ------------------------------------------------------------------------------- */

static int open_state(const struct rn_cexpr *x, const struct rn_rel *r, struct rn_cx_state *s,
		      struct rn_err *e)
{
	bool same = r->schema.ncols == x->ncols;

	for (size_t i = 0; same && i < x->ncols; i++)
		same = r->schema.cols[i].type == x->types[i];
	if (!same)
		return rn_err_set(e, RN_EBUG, "'%s' was checked against another schema", x->text);
	*s = (struct rn_cx_state){ .x = x, .r = r };
	RN_TRY(rn_calloc(x->nodes, sizeof *s->scratch, "an expression", &s->scratch, e));
	for (size_t i = 0; i < x->nodes; i++)
		s->scratch[i].bytes = RN_STR_INIT;
	fill_literals(s, x->root, r->rows < RN_CX_BATCH ? r->rows : RN_CX_BATCH);
	return 0;
}

static void close_state(struct rn_cx_state *s)
{
	for (size_t i = 0; i < s->x->nodes; i++)
		rn_str_fini(&s->scratch[i].bytes);
	free(s->scratch);
}

/* Step to the batch that starts at row `from`; false at the end. */
static bool step(struct rn_cx_state *s, uint64_t from)
{
	s->from = from;
	s->n = s->r->rows - from < RN_CX_BATCH ? s->r->rows - from : RN_CX_BATCH;
	return from < s->r->rows;
}

static int store_nulls(const struct rn_cx_state *s, const struct rn_cx_vec *v,
		       struct rn_column *c, struct rn_err *e)
{
	uint64_t nulls = 0;

	for (size_t i = 0; v->null && i < s->n; i++)
		nulls += v->null[i];
	if (!nulls)
		return 0;
	RN_TRY(rn_column_need_null(c, e));
	memcpy(c->null + s->from, v->null, s->n);
	c->nulls += nulls;
	return 0;
}

/* What stands under a NULL is zero. */
static void store_values(const struct rn_cx_state *s, const struct rn_cx_vec *v,
			 struct rn_column *c)
{
	for (size_t i = 0; i < s->n; i++) {
		uint64_t row = s->from + i;
		bool null = is_null(v, i);

		if (c->type == RN_FLOAT64)
			c->f64[row] = null ? 0 : v->f[i];
		else if (c->type == RN_BOOL)
			c->b[row] = !null && v->b[i];
		else
			c->i64[row] = null ? 0 : v->i[i];
	}
}

static int eval_fixed(struct rn_cx_state *s, struct rn_column **out, struct rn_err *e)
{
	struct rn_column *c;
	struct rn_cx_vec v;
	int rc = 0;

	RN_TRY(rn_column_new(s->x->root->type, s->r->rows, &c, e));
	for (uint64_t from = 0; !rc && step(s, from); from += RN_CX_BATCH) {
		rc = eval(s, s->x->root, NULL, &v, e);
		if (rc)
			break;
		store_values(s, &v, c);
		rc = store_nulls(s, &v, c, e);
	}
	if (rc) {
		rn_column_unref(c);
		return rc;
	}
	*out = c;
	return 0;
}

/* Strings are gathered in `bytes` and `ends`, as their total is known only at the end. */
static void append_strings(const struct rn_cx_state *s, const struct rn_cx_vec *v,
			  struct rn_str *bytes, uint64_t *ends, uint8_t *null)
{
	for (size_t i = 0; i < s->n; i++) {
		null[s->from + i] = is_null(v, i);
		if (!is_null(v, i) && v->s[i].n)
			rn_str_addn(bytes, v->s[i].s, v->s[i].n);
		ends[s->from + i] = bytes->len;
	}
}

static int make_strings(const struct rn_str *bytes, const uint64_t *ends, const uint8_t *null,
			uint64_t rows, struct rn_column **out, struct rn_err *e)
{
	struct rn_column *c;

	RN_TRY(rn_str_check(bytes, e));
	RN_TRY(rn_column_new_string(rows, bytes->len, &c, e));
	if (bytes->len)
		memcpy(c->bytes, bytes->s, bytes->len);
	for (uint64_t i = 0; i < rows; i++) {
		c->off[i + 1] = ends[i];
		c->nulls += null[i];
	}
	if (c->nulls) {
		int rc = rn_column_need_null(c, e);

		if (rc) {
			rn_column_unref(c);
			return rc;
		}
		memcpy(c->null, null, rows);
	}
	*out = c;
	return 0;
}

static int eval_strings(struct rn_cx_state *s, struct rn_column **out, struct rn_err *e)
{
	struct rn_str bytes = RN_STR_INIT;
	uint64_t rows = s->r->rows, *ends = NULL;
	uint8_t *null = NULL;
	struct rn_cx_vec v;
	int rc;

	RN_GOTO(out, rn_calloc(rows, sizeof *ends, "a string column", &ends, e));
	RN_GOTO(out, rn_calloc(rows, sizeof *null, "a string column", &null, e));
	for (uint64_t from = 0; step(s, from); from += RN_CX_BATCH) {
		RN_GOTO(out, eval(s, s->x->root, NULL, &v, e));
		append_strings(s, &v, &bytes, ends, null);
	}
	rc = make_strings(&bytes, ends, null, rows, out, e);
out:
	rn_str_fini(&bytes);
	free(ends);
	free(null);
	return rc;
}

int rn_cexpr_eval(const struct rn_cexpr *x, const struct rn_rel *r, struct rn_column **out,
		  struct rn_err *e)
{
	struct rn_cx_state s;
	int rc;

	RN_TRY(open_state(x, r, &s, e));
	if (x->root->op == RN_CX_COLUMN) {
		*out = rn_column_ref(r->cols[x->root->col]);
		rc = 0;
	} else if (x->root->type == RN_STRING) {
		rc = eval_strings(&s, out, e);
	} else {
		rc = eval_fixed(&s, out, e);
	}
	close_state(&s);
	return rc;
}

int rn_cexpr_filter(const struct rn_cexpr *x, const struct rn_rel *r, struct rn_buf **map,
		    uint64_t *n, struct rn_err *e)
{
	struct rn_cx_state s;
	struct rn_cx_vec v;
	uint32_t *rows = NULL;
	size_t cap = 0, len = 0;
	int rc;

	if (x->root->type != RN_BOOL)
		return rn_cx_fail(e, RN_EUSAGE, x->text, x->root->pos,
				  "a condition is needed, this is %s",
				  rn_type_name(x->root->type));
	RN_TRY(open_state(x, r, &s, e));
	for (uint64_t from = 0; step(&s, from); from += RN_CX_BATCH) {
		RN_GOTO(out, eval(&s, x->root, NULL, &v, e));
		RN_GOTO(out, rn_grow(&rows, &cap, len + s.n, sizeof *rows, "a row map", e));
		for (size_t i = 0; i < s.n; i++) {
			rows[len] = (uint32_t)(from + i);
			len += v.b[i] && !is_null(&v, i);
		}
	}
	RN_GOTO(out, rn_buf_new(len * sizeof *rows, "a row map", map, e));
	if (len)
		memcpy((*map)->data, rows, len * sizeof *rows);
	*n = len;
out:
	free(rows);
	close_state(&s);
	return rc;
}
