/* SPDX-License-Identifier: Apache-2.0 */
#include "aggregate.h"

#include "../expr/content.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum kind { COUNT, SUM, AVG, MIN, MAX, NKINDS };
static const char *const kind_names[NKINDS] = { "count", "sum", "avg", "min", "max" };

enum { CHUNK = 256 }; /* rows that are summed before they are added to the total */

/* Split "sum(amount * 2)" into its kind and its argument (NULL: count(*)). */
static int parse(const char *text, enum kind *kind, char **arg, struct rn_err *e)
{
	const char *p = text, *open, *end = text + strlen(text);
	size_t len;
	int k = 0;

	while (isspace((unsigned char)*p))
		p++;
	while (end > p && isspace((unsigned char)end[-1]))
		end--;
	open = memchr(p, '(', (size_t)(end - p));
	len = open ? (size_t)(open - p) : 0;
	while (len && isspace((unsigned char)p[len - 1]))
		len--;
	if (len == 4 && !strncasecmp(p, "mean", 4))
		k = AVG;
	else
		while (k < NKINDS && (strlen(kind_names[k]) != len || strncasecmp(p, kind_names[k], len)))
			k++;
	if (!open || end[-1] != ')' || k == NKINDS)
		return rn_err_set(e, RN_EUSAGE,
				  "'%s' is no aggregate: write count(*), or count, sum, avg, min or max of an "
				  "expression", text);
	*kind = (enum kind)k;
	*arg = strndup(open + 1, (size_t)(end - open) - 2);
	if (!*arg)
		return rn_err_nomem(e, (size_t)(end - open), "an aggregate");
	if (!strcmp(*arg + strspn(*arg, " "), "*")) {
		free(*arg);
		*arg = NULL;
		if (k != COUNT)
			return rn_err_set(e, RN_EUSAGE, "'%s': only count takes *", text);
	}
	return 0;
}

static int open_aggregate(const char *text, const struct rn_schema *s, enum kind *kind,
			  struct rn_cexpr **x, struct rn_err *e)
{
	enum rn_type t;
	char *arg = NULL;
	int rc;

	*x = NULL;
	RN_TRY(parse(text, kind, &arg, e));
	if (!arg)
		return 0;
	rc = rn_cexpr_parse(arg, s, x, e);
	free(arg);
	if (rc)
		return rc;
	t = rn_cexpr_type(*x);
	if ((*kind == SUM || *kind == AVG) && t != RN_INT64 && t != RN_FLOAT64) {
		rn_cexpr_free(*x);
		*x = NULL;
		return rn_err_set(e, RN_EUSAGE, "'%s' wants a number, not %s", text, rn_type_name(t));
	}
	return 0;
}

int rn_aggregate_type(const char *text, const struct rn_schema *s, enum rn_type *out,
		      struct rn_err *e)
{
	struct rn_cexpr *x;
	enum kind kind;

	RN_TRY(open_aggregate(text, s, &kind, &x, e));
	*out = kind == COUNT ? RN_INT64 : kind == AVG ? RN_FLOAT64 : rn_cexpr_type(x);
	rn_cexpr_free(x);
	return 0;
}

/* ---- content ------------------------------------------------------------------ */

/* The rows of group g: rows[i] for i in [from, to). */
struct span {
	const uint32_t *rows; /* NULL: i itself */
	uint32_t from, to;
};

static struct span span_of(const struct rn_groups *g, uint64_t i)
{
	const uint32_t *ptr = g->ptr->data;

	return (struct span){ g->rows ? g->rows->data : NULL, ptr[i], ptr[i + 1] };
}

static inline uint32_t row_at(const struct span *s, uint32_t i)
{
	return s->rows ? s->rows[i] : i;
}

static int64_t count_rows(const struct span *s, const struct rn_column *c)
{
	int64_t n = s->to - s->from;

	if (!c || !c->null)
		return n;
	for (uint32_t i = s->from; i < s->to; i++)
		n -= c->null[row_at(s, i)];
	return n;
}

/* Sum of the values that are not NULL; *n counts them.  In chunks from the start. */
static double sum_real(const struct span *s, const struct rn_column *c, int64_t *n)
{
	double total = 0;

	*n = 0;
	for (uint32_t at = s->from; at < s->to;) {
		uint32_t end = s->to - at < CHUNK ? s->to : at + CHUNK;
		double part = 0;

		for (; at < end; at++) {
			uint32_t r = row_at(s, at);

			if (rn_column_is_null(c, r))
				continue;
			part += c->type == RN_FLOAT64 ? c->f64[r] : (double)c->i64[r];
			++*n;
		}
		total += part;
	}
	return total;
}

static bool sum_int(const struct span *s, const struct rn_column *c, int64_t *sum, int64_t *n)
{
	__int128 total = 0;

	*n = 0;
	for (uint32_t i = s->from; i < s->to; i++) {
		uint32_t r = row_at(s, i);

		if (rn_column_is_null(c, r))
			continue;
		total += c->i64[r];
		++*n;
	}
	*sum = (int64_t)total;
	return total == *sum;
}

static int compare_values(const struct rn_column *c, uint32_t a, uint32_t b)
{
	switch (c->type) {
	case RN_INT64:
	case RN_TIMESTAMP:
		return (c->i64[a] > c->i64[b]) - (c->i64[a] < c->i64[b]);
	case RN_FLOAT64:
		return (c->f64[a] > c->f64[b]) - (c->f64[a] < c->f64[b]);
	case RN_BOOL:
		return c->b[a] - c->b[b];
	default: {
		size_t la = c->off[a + 1] - c->off[a], lb = c->off[b + 1] - c->off[b];
		int d = memcmp(c->bytes + c->off[a], c->bytes + c->off[b], la < lb ? la : lb);

		return d ? d : (la > lb) - (la < lb);
	}
	}
}

/* min and max: the first row that holds the extreme value, or RN_NO_ROW. */
static uint32_t extreme(const struct span *s, const struct rn_column *c, bool max)
{
	uint32_t best = RN_NO_ROW;

	for (uint32_t i = s->from; i < s->to; i++) {
		uint32_t r = row_at(s, i);

		if (rn_column_is_null(c, r))
			continue;
		if (best == RN_NO_ROW || (max ? compare_values(c, r, best) > 0 : compare_values(c, r, best) < 0))
			best = r;
	}
	return best;
}

static int extremes(const struct rn_column *c, const struct rn_groups *g, bool max,
		    struct rn_column **out, struct rn_err *e)
{
	struct rn_buf *map;
	int rc;

	RN_TRY(rn_buf_new(g->n * sizeof(uint32_t), "a row map", &map, e));
	for (uint64_t i = 0; i < g->n; i++) {
		struct span s = span_of(g, i);

		((uint32_t *)map->data)[i] = extreme(&s, c, max);
	}
	rc = rn_column_gather(c, map->data, g->n, out, e);
	rn_buf_unref(map);
	return rc;
}

static int sums(const char *text, enum kind kind, const struct rn_column *c,
		const struct rn_groups *g, struct rn_column *out, struct rn_err *e)
{
	for (uint64_t i = 0; i < g->n; i++) {
		struct span s = span_of(g, i);
		int64_t n, whole;
		double sum;

		if (kind == COUNT) {
			out->i64[i] = count_rows(&s, c);
			continue;
		}
		if (kind == SUM && c->type == RN_INT64) {
			if (!sum_int(&s, c, &whole, &n))
				return rn_err_set(e, RN_EDATA,
						  "'%s' does not fit into an int64: cast it to float64", text);
			out->i64[i] = whole;
		} else {
			sum = sum_real(&s, c, &n);
			out->f64[i] = kind == SUM ? sum : n ? sum / (double)n : 0;
		}
		if (!n) {
			RN_TRY(rn_column_need_null(out, e));
			out->null[i] = 1;
			out->nulls++;
		}
	}
	return 0;
}

int rn_aggregate(const char *text, const struct rn_rel *in, const struct rn_groups *g,
		 struct rn_column **out, struct rn_err *e)
{
	struct rn_column *c = NULL, *r = NULL;
	struct rn_cexpr *x;
	enum kind kind;
	int rc = 0;

	RN_TRY(open_aggregate(text, &in->schema, &kind, &x, e));
	if (x)
		RN_GOTO(out, rn_cexpr_eval(x, in, &c, e));
	if (kind == MIN || kind == MAX) {
		rc = extremes(c, g, kind == MAX, out, e);
		goto out;
	}
	RN_GOTO(out, rn_column_new(kind == COUNT ? RN_INT64 : kind == AVG ? RN_FLOAT64 : c->type, g->n,
				   &r, e));
	rc = sums(text, kind, c, g, r, e);
	if (rc)
		rn_column_unref(r);
	else
		*out = r;
out:
	rn_column_unref(c);
	rn_cexpr_free(x);
	return rc;
}

/* ---- sparse rows ---------------------------------------------------------------- */

struct entry {
	uint32_t col, k; /* column, number of the stored value */
};

static int by_column(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->col != y->col)
		return x->col < y->col ? -1 : 1;
	return x->k < y->k ? -1 : x->k > y->k;
}

/* The union pattern of every group, and for each of its entries the stored
 * values that add up to it: seg[j] … seg[j+1]-1 of src, in row order. */
struct merged {
	struct rn_buf *ptr, *col, *seg, *src;
	uint32_t n, nsrc; /* entries, values */
};

static void merged_fini(struct merged *m)
{
	rn_buf_unref(m->ptr);
	rn_buf_unref(m->col);
	rn_buf_unref(m->seg);
	rn_buf_unref(m->src);
}

static int merge(const struct rn_groups *g, const uint32_t *ptr, const uint32_t *col,
		 struct merged *m, struct rn_err *e)
{
	const uint32_t *gptr = g->ptr->data, *rows = g->rows ? g->rows->data : NULL;
	uint32_t *optr, *ocol, *oseg, *osrc;
	struct entry *es = NULL;
	size_t total = 0, cap = 0;

	for (uint32_t i = 0; i < gptr[g->n]; i++) {
		uint32_t r = rows ? rows[i] : i;

		total += ptr[r + 1] - ptr[r];
	}
	RN_TRY(rn_buf_new((g->n + 1) * 4, "row pointers", &m->ptr, e));
	RN_TRY(rn_buf_new(total * 4, "columns", &m->col, e));
	RN_TRY(rn_buf_new((total + 1) * 4, "value segments", &m->seg, e));
	RN_TRY(rn_buf_new(total * 4, "value numbers", &m->src, e));
	optr = m->ptr->data;
	ocol = m->col->data;
	oseg = m->seg->data;
	osrc = m->src->data;
	for (uint64_t s = 0; s < g->n; s++) {
		size_t n = 0;

		for (uint32_t i = gptr[s]; i < gptr[s + 1]; i++) {
			uint32_t r = rows ? rows[i] : i;

			if (rn_grow(&es, &cap, n + (ptr[r + 1] - ptr[r]), sizeof *es, "sparse rows", e)) {
				free(es);
				return RN_ENOMEM;
			}
			for (uint32_t k = ptr[r]; k < ptr[r + 1]; k++)
				es[n++] = (struct entry){ col[k], k };
		}
		if (n > 1)
			qsort(es, n, sizeof *es, by_column);
		for (size_t i = 0; i < n; i++) {
			if (!i || es[i].col != es[i - 1].col) {
				oseg[m->n] = m->nsrc;
				ocol[m->n++] = es[i].col;
			}
			osrc[m->nsrc++] = es[i].k;
		}
		optr[s + 1] = m->n;
	}
	oseg[m->n] = m->nsrc;
	free(es);
	return 0;
}

int rn_aggregate_sparse(struct rn_prog *p, const struct rn_groups *g, struct rn_lpart *z,
			struct rn_err *e)
{
	struct merged m = { 0 };
	uint32_t ptr, col, seg, src;
	int rc;

	RN_GOTO(out, merge(g, rn_prog_idx_data(p, z->ptr), rn_prog_idx_data(p, z->col), &m, e));
	rc = RN_ENOMEM;
	ptr = rn_prog_idx(p, rn_buf_ref(m.ptr), (uint32_t)g->n + 1, e);
	col = rn_prog_idx(p, rn_buf_ref(m.col), m.n, e);
	seg = rn_prog_idx(p, rn_buf_ref(m.seg), m.n + 1, e);
	src = rn_prog_idx(p, rn_buf_ref(m.src), m.nsrc, e);
	if (ptr == RN_NONE || col == RN_NONE || seg == RN_NONE || src == RN_NONE)
		goto out;
	z->val = rn_prog_spmm(p, seg, z->val, src, RN_NONE, RN_NONE, e);
	if (z->val == RN_NONE)
		goto out;
	z->ptr = ptr;
	z->col = col;
	z->base_rows = (uint32_t)g->n;
	rc = 0;
out:
	merged_fini(&m);
	return rc;
}

int rn_aggregate_sparse_scale(struct rn_prog *p, struct rn_lpart *z, uint32_t by, struct rn_err *e)
{
	const uint32_t *ptr = rn_prog_idx_data(p, z->ptr);
	uint32_t nnz = ptr[z->base_rows], idx;
	struct rn_buf *b;
	uint32_t *row;

	if (by == RN_NONE)
		return e ? e->code : RN_ENOMEM;
	RN_TRY(rn_buf_new((size_t)nnz * 4, "row numbers", &b, e));
	row = b->data;
	for (uint32_t r = 0; r < z->base_rows; r++)
		for (uint32_t k = ptr[r]; k < ptr[r + 1]; k++)
			row[k] = r;
	idx = rn_prog_idx(p, b, nnz, e);
	if (idx == RN_NONE)
		return RN_ENOMEM;
	by = rn_prog_gather(p, by, idx, e);
	if (by == RN_NONE)
		return RN_ENOMEM;
	z->val = rn_prog_ew2(p, RN_EW_MUL, z->val, by, e);
	return z->val == RN_NONE ? RN_ENOMEM : 0;
}
