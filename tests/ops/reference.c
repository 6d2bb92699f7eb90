/* SPDX-License-Identifier: Apache-2.0
 *
 * Naive operators: which rows come out in which order, by nested loops, and what
 * stands in them; embeddings in double by the formula of the case.
 */
#include "ops.h"

#include "../../lib/rel/key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Output row o is made of row[o * nin + i] of input i. */
struct rows {
	uint64_t n;
	size_t cap;
	uint32_t *row;
};

static void add(struct rows *r, const struct trial *t, const uint32_t *tuple)
{
	struct rn_err e;

	must(rn_grow(&r->row, &r->cap, (r->n + 1) * t->nin, sizeof *r->row, "rows", &e), &e,
	     "rows");
	memcpy(r->row + r->n++ * t->nin, tuple, t->nin * sizeof *tuple);
}

static void identity(const struct trial *t, struct rows *r)
{
	uint32_t tuple[MAX_INPUTS] = { 0 };

	for (; tuple[0] < t->in[0]->rows; tuple[0]++)
		if (!t->c->keep || t->c->keep(t->in[0], tuple[0]))
			add(r, t, tuple);
}

/* ---- comparing --------------------------------------------------------------------------- */

static bool close_to(double x, double y)
{
	return fabs(x - y) <= 2e-5 * (1 + fabs(y));
}

/* Features of output row o. */
static bool same_features(const struct trial *t, const double *got, const double *want, uint64_t o)
{
	uint32_t w = rn_shape_width(&t->out->schema.parts[0].shape);

	for (uint32_t f = 0; f < w; f++)
		if (!close_to(got[o * w + f], want[f]))
			return fail("row %llu, feature %u: %.9g, and the formula gives %.9g",
				    (unsigned long long)o, f, got[o * w + f], want[f]);
	return true;
}

static bool check_formula(const struct trial *t, const struct rows *r)
{
	double want[64], *got;
	bool ok = true;

	if (!t->c->emb)
		return true;
	got = flat_part(t->out, 0);
	for (uint64_t o = 0; o < r->n && ok; o++) {
		t->c->emb(t, r->row + o * t->nin, want);
		ok = same_features(t, got, want, o);
	}
	free(got);
	return ok;
}

/* A value that row `row` of a column gives; RN_NO_ROW: NULL. */
static bool same_cell(const struct rn_column *got, uint64_t o, const struct rn_column *from,
		      uint32_t row)
{
	return row == RN_NO_ROW ? rn_column_is_null(got, o) : cell_equal(got, o, from, row);
}

/* The input that row o of column c comes from: a full join's key has values of both sides. */
static const struct rn_column *other_side(const struct trial *t, size_t c, uint64_t o,
					  const struct rows *r, uint32_t *input)
{
	const json_t *on = t->nin == 2 ? rn_node_json(&t->node, "on") : NULL;
	const char *right = json_string_value(json_object_get(on, t->out->schema.cols[c].name));

	*input = 1;
	return right && r->row[o * 2] == RN_NO_ROW ? col_of(t->in[1], right) : NULL;
}

static bool same_column(const struct trial *t, size_t c, const struct rn_column *from,
			uint32_t input, const struct rows *r)
{
	bool join = !strcmp(t->c->op, "join");

	for (uint64_t o = 0; o < r->n; o++) {
		uint32_t k;
		const struct rn_column *other = join ? other_side(t, c, o, r, &k) : NULL;

		if (!other)
			k = input;
		if (!same_cell(t->out->cols[c], o, other ? other : from, r->row[o * t->nin + k]))
			return fail("column '%s', row %llu is not that of the input",
				    t->out->schema.cols[c].name, (unsigned long long)o);
	}
	return true;
}

static bool same_count(const struct trial *t, uint64_t n)
{
	if (t->out->rows == n)
		return true;
	return fail("%llu rows, and there should be %llu", (unsigned long long)t->out->rows,
		    (unsigned long long)n);
}

/* Where an output column comes from: the input of its qualifier, else the first that has it. */
static const struct rn_column *source(const struct trial *t, const struct rn_field *f,
				      uint32_t *input)
{
	for (int strict = 1; strict >= 0; strict--)
		for (*input = 0; *input < t->nin; ++*input)
			for (size_t c = 0; c < t->in[*input]->schema.ncols; c++)
				if (!strcmp(t->in[*input]->schema.cols[c].name, f->name) &&
				    (!strict || !f->qual ||
				     !strcmp(f->qual, t->in[*input]->schema.name)))
					return t->in[*input]->cols[c];
	return NULL;
}

static bool same_content(const struct trial *t, const struct rows *r)
{
	if (!same_count(t, r->n))
		return false;
	for (size_t c = 0; c < t->out->schema.ncols; c++) {
		uint32_t input;
		const struct rn_column *from = source(t, &t->out->schema.cols[c], &input);

		if (!from)
			return fail("column '%s' comes from nowhere", t->out->schema.cols[c].name);
		if (!same_column(t, c, from, input, r))
			return false;
	}
	return true;
}

/* Part `part` of the output holds the numbers of part k of an input. */
static bool same_part(const struct trial *t, size_t part, uint32_t input, size_t k,
		      const struct rows *r)
{
	uint32_t w = rn_shape_width(&t->in[input]->schema.parts[k].shape);
	double *got = flat_part(t->out, part);
	bool ok = true;

	for (uint64_t o = 0; o < r->n && ok; o++)
		for (uint32_t f = 0; f < w; f++) {
			uint32_t row = r->row[o * t->nin + input];
			double x = row == RN_NO_ROW ? 0 : t->flat[input][k][(size_t)row * w + f];

			ok = ok && memcmp(&got[o * w + f], &x, sizeof x) == 0;
		}
	free(got);
	return ok || fail("part '%s' is not that of the input", t->out->schema.parts[part].name);
}

/* The first `inputs` inputs' parts, one after the other. */
static bool same_parts(const struct trial *t, uint32_t inputs, const struct rows *r)
{
	size_t part = 0;

	for (uint32_t i = 0; i < inputs; i++)
		for (size_t k = 0; k < t->in[i]->schema.nparts; k++)
			if (part >= t->out->schema.nparts || !same_part(t, part++, i, k, r))
				return false;
	return part == t->out->schema.nparts || fail("%zu parts", t->out->schema.nparts);
}

/* ---- row by row -------------------------------------------------------------------------- */

static bool ref_filter(const struct trial *t, struct rows *r)
{
	identity(t, r);
	return same_content(t, r) && same_parts(t, 1, r);
}

static bool ref_rows(const struct trial *t, struct rows *r)
{
	identity(t, r);
	return same_content(t, r) && check_formula(t, r);
}

/* The text of an expression is a column's name, or "i + 1". */
static bool ref_project(const struct trial *t, struct rows *r)
{
	const char *name, *text;
	size_t c = 0;
	json_t *v;

	identity(t, r);
	if (!same_count(t, r->n))
		return false;
	json_object_foreach((json_t *)rn_node_json(&t->node, "cols"), name, v)
	{
		const struct rn_column *got = t->out->cols[c], *from;

		text = json_string_value(v);
		if (strcmp(t->out->schema.cols[c].name, name))
			return fail("column %zu is called '%s'", c, t->out->schema.cols[c].name);
		from = col_of(t->in[0], strcmp(text, "i + 1") ? text : "i");
		if (strcmp(text, "i + 1") && !same_column(t, c, from, 0, r))
			return false;
		for (uint64_t i = 0; !strcmp(text, "i + 1") && i < r->n; i++)
			if (rn_column_is_null(from, i) != rn_column_is_null(got, i) ||
			    (!rn_column_is_null(from, i) && got->i64[i] != from->i64[i] + 1))
				return fail("row %llu of i + 1", (unsigned long long)i);
		c++;
	}
	return same_parts(t, rn_node_flag(&t->node, "embedding"), r);
}

/* ---- join -------------------------------------------------------------------------------- */

static bool keys_meet(const struct rn_column *a, uint64_t i, const struct rn_column *b, uint64_t j)
{
	if (rn_column_is_null(a, i) || rn_column_is_null(b, j))
		return false;
	if (a->type == RN_INT64 && b->type == RN_FLOAT64)
		return (double)a->i64[i] == b->f64[j];
	return cell_equal(a, i, b, j);
}

/* Do row i of the first input and row j of another agree on the keys? */
static bool match(const struct trial *t, uint32_t input, uint64_t i, uint64_t j)
{
	const struct rn_schema *l = &t->in[0]->schema, *s = &t->in[input]->schema;
	const char *left;
	json_t *v;

	json_object_foreach((json_t *)rn_node_json(&t->node, "on"), left,
			    v) if (!keys_meet(col_of(t->in[0], left), i,
					      col_of(t->in[input], json_string_value(v)),
					      j)) return false;
	for (size_t c = 0; rn_node_flag(&t->node, "natural") && c < l->ncols; c++)
		for (size_t d = 0; d < s->ncols; d++)
			if (!strcmp(l->cols[c].name, s->cols[d].name) &&
			    !keys_meet(t->in[0]->cols[c], i, t->in[input]->cols[d], j))
				return false;
	return !t->c->pair || input + 1 < t->nin || t->c->pair(t->in[0], i, t->in[input], j);
}

/* Is row j of the second input the one that row i is joined to as of its time? */
static bool latest(const struct trial *t, uint64_t i, uint64_t j)
{
	void *it = json_object_iter((json_t *)rn_node_json(&t->node, "asof"));
	int below = rn_node_flag(&t->node, "asof-equal") ? 1 : 0;
	const struct rn_column *lt, *rt;

	if (!it)
		return true;
	lt = col_of(t->in[0], json_object_iter_key(it));
	rt = col_of(t->in[1], json_string_value(json_object_iter_value(it)));
	if (rn_column_is_null(lt, i) || rn_column_is_null(rt, j) ||
	    rn_column_compare(rt, j, lt, i) >= below)
		return false;
	for (uint64_t k = 0; k < t->in[1]->rows; k++) {
		int d;

		if (!match(t, 1, i, k) || rn_column_is_null(rt, k) ||
		    rn_column_compare(rt, k, lt, i) >= below)
			continue;
		d = rn_column_compare(rt, k, rt, j);
		if (d > 0 || (d == 0 && k > j))
			return false;
	}
	return true;
}

static void join_from(const struct trial *t, uint32_t input, uint32_t *tuple, struct rows *r)
{
	const char *how = rn_node_string(&t->node, "how");
	bool left = !strcmp(how, "left") || !strcmp(how, "full"), any = false;

	if (input == t->nin) {
		add(r, t, tuple);
		return;
	}
	for (uint32_t j = 0; j < t->in[input]->rows; j++)
		if (match(t, input, tuple[0], j) && latest(t, tuple[0], j)) {
			tuple[input] = j;
			any = true;
			join_from(t, input + 1, tuple, r);
		}
	if (left && !any) {
		tuple[input] = RN_NO_ROW;
		join_from(t, input + 1, tuple, r);
	}
}

/* The right rows that no left row meets. */
static void join_rest(const struct trial *t, struct rows *r)
{
	for (uint32_t j = 0; j < t->in[1]->rows; j++) {
		bool any = false;

		for (uint64_t i = 0; i < t->in[0]->rows; i++)
			any = any || match(t, 1, i, j);
		if (!any)
			add(r, t, (uint32_t[]){ RN_NO_ROW, j });
	}
}

static bool ref_join(const struct trial *t, struct rows *r)
{
	const char *how = rn_node_string(&t->node, "how");
	bool semi = !strcmp(how, "semi"), filter = semi || !strcmp(how, "anti");
	uint32_t tuple[MAX_INPUTS] = { 0 };

	for (; tuple[0] < t->in[0]->rows; tuple[0]++) {
		bool any = false;

		for (uint32_t j = 0; filter && j < t->in[1]->rows; j++)
			any = any || match(t, 1, tuple[0], j);
		if (!filter)
			join_from(t, 1, tuple, r);
		else if (any == semi)
			add(r, t, tuple);
	}
	if (!strcmp(how, "full"))
		join_rest(t, r);
	if (!same_content(t, r) || !check_formula(t, r))
		return false;
	return rn_node_string(&t->node, "expr") || same_parts(t, filter ? 1 : t->nin, r);
}

/* ---- agg --------------------------------------------------------------------------------- */

/* NULL meets NULL, and an int64 a float64, as groups do. */
static bool group_meets(const struct rn_column *a, uint64_t i, const struct rn_column *b,
			uint64_t j)
{
	if (rn_column_is_null(a, i) && rn_column_is_null(b, j))
		return true;
	return b->type == RN_FLOAT64 && a->type == RN_INT64 ? keys_meet(a, i, b, j)
							    : cell_equal(a, i, b, j);
}

static bool same_key(const struct trial *t, const struct rn_rel *a, uint64_t i,
		     const struct rn_rel *b, uint64_t j)
{
	json_t *by = (json_t *)rn_node_json(&t->node, "by");

	for (size_t k = 0; k < json_array_size(by); k++) {
		const char *name = json_string_value(json_array_get(by, k));

		if (!group_meets(col_of(a, name), i, col_of(b, name), j))
			return false;
	}
	return true;
}

/* First rows of the groups, in `from`. */
static uint64_t first_rows(const struct trial *t, const struct rn_rel *from, uint32_t *first)
{
	uint64_t n = 0, g;

	for (uint32_t i = 0; i < from->rows; i++) {
		for (g = 0; g < n && !same_key(t, from, i, from, first[g]); g++)
			;
		if (g == n)
			first[n++] = i;
	}
	return n;
}

struct summary {
	int64_t rows, count; /* count: not NULL */
	double sum;
	int64_t lo, hi; /* rows of the extremes, -1: none */
};

static int compare(const struct rn_column *c, uint64_t a, uint64_t b)
{
	if (c->type == RN_FLOAT64)
		return (c->f64[a] > c->f64[b]) - (c->f64[a] < c->f64[b]);
	if (c->type == RN_STRING) {
		size_t n = c->off[a + 1] - c->off[a], m = c->off[b + 1] - c->off[b];
		int d = memcmp(c->bytes + c->off[a], c->bytes + c->off[b], n < m ? n : m);

		return d ? d : (n > m) - (n < m);
	}
	return (c->i64[a] > c->i64[b]) - (c->i64[a] < c->i64[b]);
}

static struct summary summarise(const struct rn_column *c, const uint8_t *in, uint64_t rows)
{
	struct summary s = { .lo = -1, .hi = -1 };

	for (uint64_t i = 0; i < rows; i++) {
		s.rows += in[i];
		if (!in[i] || rn_column_is_null(c, i))
			continue;
		s.count++;
		s.sum += c->type == RN_FLOAT64 ? c->f64[i]
			 : c->type == RN_INT64 ? (double)c->i64[i]
					       : 0;
		s.lo = s.lo < 0 || compare(c, i, (uint64_t)s.lo) < 0 ? (int64_t)i : s.lo;
		s.hi = s.hi < 0 || compare(c, i, (uint64_t)s.hi) > 0 ? (int64_t)i : s.hi;
	}
	return s;
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* median or var of the float64 values in the rows `in`; NaN: NULL. */
static double spread(const char *text, const struct rn_column *c, const uint8_t *in, uint64_t rows)
{
	double *x = calloc(rows + 1, sizeof *x), mean = 0, out = 0;
	size_t n = 0;

	for (uint64_t i = 0; i < rows; i++)
		if (in[i] && !rn_column_is_null(c, i))
			x[n++] = c->f64[i];
	qsort(x, n, sizeof *x, by_value);
	for (size_t i = 0; i < n; i++)
		mean += x[i] / (double)n;
	for (size_t i = 0; i < n; i++)
		out += (x[i] - mean) * (x[i] - mean) / (double)(n - 1);
	if (*text == 'm')
		out = n ? (x[(n - 1) / 2] + x[n / 2]) / 2 : (double)NAN;
	else if (n < 2)
		out = (double)NAN;
	free(x);
	return out;
}

/* "count(distinct s)", "first(s)", "last(s by f)", "median(f)", "var(f)" */
static bool same_further(const struct trial *t, const char *text, const struct rn_column *got,
			 uint64_t g, const uint8_t *in)
{
	const char *arg = strchr(text, '(') + 1, *by = strstr(text, " by ");
	const struct rn_column *c, *o;
	char name[2] = { arg[!strncmp(arg, "distinct ", 9) ? 9 : 0] };
	int64_t best = -1, distinct = 0;

	c = col_of(t->in[0], name);
	name[0] = by ? by[4] : name[0];
	o = col_of(t->in[0], name);
	if (*text == 'm' || *text == 'v') {
		double x = spread(text, c, in, c->rows);

		return x != x ? rn_column_is_null(got, g) :
				!rn_column_is_null(got, g) && fabs(got->f64[g] - x) < 1e-9;
	}
	for (uint64_t i = 0; i < c->rows; i++) {
		bool seen = false;
		int d;

		if (!in[i] || rn_column_is_null(c, i) || rn_column_is_null(o, i))
			continue;
		for (uint64_t k = 0; k < i; k++)
			seen = seen || (in[k] && cell_equal(c, i, c, k));
		distinct += !seen;
		d = best < 0 ? 0 : by ? rn_column_compare(o, i, o, (uint64_t)best) : *text == 'l';
		if (best < 0 || (*text == 'l' ? d >= 0 : d < 0))
			best = (int64_t)i;
	}
	if (*text == 'c')
		return got->i64[g] == distinct;
	return best < 0 ? rn_column_is_null(got, g) : cell_equal(got, g, c, (uint64_t)best);
}

/* One aggregate, "sum(f)", of the rows `in`. */
static bool same_aggregate(const struct trial *t, const char *text, const struct rn_column *got,
			   uint64_t g, const uint8_t *in)
{
	const char *arg = strchr(text, '(') + 1;
	char name[16];
	const struct rn_column *c;
	struct summary s;
	double x;

	if (strchr("flv", *text) || !strncmp(text, "med", 3) ||
	    !strncmp(arg, "distinct", 8))
		return same_further(t, text, got, g, in);
	snprintf(name, sizeof name, "%.*s", (int)strcspn(arg, ")"), arg);
	c = *name == '*' ? col_of(t->in[0], t->in[0]->schema.cols[0].name) : col_of(t->in[0], name);
	s = summarise(c, in, t->in[0]->rows);
	if (!strncmp(text, "count", 5))
		return got->i64[g] == (*name == '*' ? s.rows : s.count) &&
		       !rn_column_is_null(got, g);
	if (!s.count || rn_column_is_null(got, g))
		return !s.count && rn_column_is_null(got, g);
	if (!strncmp(text, "min", 3) || !strncmp(text, "max", 3))
		return cell_equal(got, g, c, (uint64_t)(text[1] == 'i' ? s.lo : s.hi));
	x = got->type == RN_INT64 ? (double)got->i64[g] : got->f64[g];
	return fabs(x - (*text == 'a' ? s.sum / (double)s.count : s.sum)) < 1e-9;
}

static bool same_aggregates(const struct trial *t, uint64_t g, const uint8_t *in)
{
	size_t c = json_array_size(rn_node_json(&t->node, "by"));
	const char *name;
	json_t *v;

	json_object_foreach((json_t *)rn_node_json(&t->node, "cols"), name,
			    v) if (!same_aggregate(t, json_string_value(v), t->out->cols[c++], g,
						   in)) return fail("group %llu: %s",
								    (unsigned long long)g,
								    json_string_value(v));
	return true;
}

/* The aggregate of the case's formula over the rows `in`. */
static void reduce(const struct trial *t, const uint8_t *in, uint32_t w, double *out)
{
	const char *how = rn_node_string(&t->node, "expr");
	double x[64];
	uint64_t n = 0;

	memset(out, 0, w * sizeof *out);
	for (uint32_t i = 0; i < t->in[0]->rows; i++) {
		uint32_t tuple[MAX_INPUTS] = { i };

		if (!in[i])
			continue;
		t->c->emb(t, tuple, x);
		for (uint32_t f = 0; f < w; f++)
			if (*how == 's' || how[1] == 'e')
				out[f] += x[f];
			else
				out[f] = !n		 ? x[f]
					 : how[1] == 'a' ? fmax(out[f], x[f])
							 : fmin(out[f], x[f]);
		n++;
	}
	for (uint32_t f = 0; n && how[1] == 'e' && f < w; f++)
		out[f] /= (double)n;
}

static bool ref_agg(const struct trial *t, struct rows *r)
{
	const struct rn_rel *in = t->in[0], *from = t->nin > 1 ? t->in[1] : in;
	json_t *by = (json_t *)rn_node_json(&t->node, "by");
	uint32_t *first = calloc(from->rows + 1, sizeof *first);
	uint64_t n = json_array_size(by) ? first_rows(t, from, first) : 1;
	uint8_t *member = calloc(in->rows + 1, 1);
	double *got = t->c->emb ? flat_part(t->out, 0) : NULL, want[64];
	bool ok = same_count(t, n);

	(void)r;
	for (uint64_t g = 0; g < n && ok; g++) {
		for (uint64_t i = 0; i < in->rows; i++)
			member[i] = same_key(t, from, first[g], in, i);
		for (size_t k = 0; k < json_array_size(by) && ok; k++)
			ok = cell_equal(t->out->cols[k], g,
					col_of(from, json_string_value(json_array_get(by, k))),
					first[g]) ||
			     fail("the key of group %llu", (unsigned long long)g);
		ok = ok && same_aggregates(t, g, member);
		if (ok && got) {
			reduce(t, member, rn_shape_width(&t->out->schema.parts[0].shape), want);
			ok = same_features(t, got, want, g);
		}
	}
	free(got);
	free(member);
	free(first);
	return ok;
}

/* ---- sort -------------------------------------------------------------------------------- */

/* Below 0 where row i comes before row j by one item of --by: a column, or "- f". */
static int item_order(const struct trial *t, const char *item, uint64_t i, uint64_t j)
{
	bool minus = !strncmp(item, "- ", 2), desc = strstr(item, " desc");
	char name[32];
	const struct rn_column *c;
	int d;

	snprintf(name, sizeof name, "%s", item + (minus ? 2 : !strncmp(item, "q.", 2) ? 2 : 0));
	name[strcspn(name, " ")] = '\0';
	c = col_of(t->in[0], name);
	if (rn_column_is_null(c, i) || rn_column_is_null(c, j))
		d = rn_column_is_null(c, j) - rn_column_is_null(c, i);
	else
		d = minus ? rn_column_compare(c, j, c, i) : rn_column_compare(c, i, c, j);
	return desc ? -d : d;
}

/* Insertion, which is stable. */
static bool ref_sort(const struct trial *t, struct rows *r)
{
	const json_t *by = rn_node_json(&t->node, "by");

	identity(t, r);
	for (uint64_t o = 1; o < r->n; o++)
		for (uint64_t k = o; k > 0; k--) {
			uint32_t here = r->row[k];
			int d = 0;

			for (size_t q = 0; q < json_array_size(by) && !d; q++)
				d = item_order(t, json_string_value(json_array_get(by, q)), r->row[k - 1], here);
			if (d <= 0)
				break;
			r->row[k] = r->row[k - 1];
			r->row[k - 1] = here;
		}
	return same_content(t, r) && same_parts(t, 1, r);
}

/* ---- union, embed ------------------------------------------------------------------------ */

static bool ref_union(const struct trial *t, struct rows *r)
{
	const struct rn_schema *s = &t->out->schema;
	double *got = s->nparts ? flat_part(t->out, 0) : NULL;
	uint32_t w = s->nparts ? rn_shape_width(&s->parts[0].shape) : 0;
	uint64_t o = 0;
	bool ok = true;

	(void)r;
	for (uint32_t i = 0; i < t->nin && ok; i++)
		for (uint64_t k = 0; k < t->in[i]->rows && ok; k++, o++) {
			ok = o < t->out->rows || fail("too few rows");
			for (size_t c = 0; c < s->ncols && ok; c++)
				ok = cell_equal(t->out->cols[c], o,
						col_of(t->in[i], s->cols[c].name), k) ||
				     fail("column '%s', row %llu", s->cols[c].name,
					  (unsigned long long)o);
			for (uint32_t f = 0; f < w && ok; f++)
				ok = got[o * w + f] == t->flat[i][0][k * w + f] ||
				     fail("embedding, row %llu", (unsigned long long)o);
		}
	free(got);
	return ok && same_count(t, o);
}

/* Row i has the vector of its key: keys are numbered in order of first appearance. */
static bool ref_embed(const struct trial *t, struct rows *r)
{
	const struct rn_rel *in = t->in[0];
	uint32_t *first = calloc(in->rows + 1, sizeof *first),
		 w = rn_shape_width(&t->out->schema.parts[0].shape);
	bool keyed = !json_array_size(rn_node_json(&t->node, "by"));
	uint64_t n = keyed ? in->rows : first_rows(t, in, first), g;
	const float *table = trial_param(t, "weight");
	double *got = flat_part(t->out, 0);
	bool ok;

	identity(t, r);
	ok = same_content(t, r);
	for (uint64_t i = 0; i < in->rows && ok; i++) {
		for (g = keyed ? i : 0; !keyed && g < n && !same_key(t, in, i, in, first[g]); g++)
			;
		for (uint32_t f = 0; f < w && ok; f++)
			ok = got[i * w + f] == (double)table[g * w + f] ||
			     fail("row %llu has not the vector of key %llu", (unsigned long long)i,
				  (unsigned long long)g);
	}
	free(got);
	free(first);
	return ok;
}

/* ---- negative ---------------------------------------------------------------------------- */

/* Are u's row i and a value v a row of r (the pair's other column is `rest`)? */
static bool is_pair(const struct rn_rel *r, const char *rest, const struct rn_column *u, uint64_t i,
		    const struct rn_column *v, uint64_t j)
{
	for (uint64_t k = 0; k < r->rows; k++)
		if (cell_equal(col_of(r, rest), k, u, i) && cell_equal(col_of(r, "k"), k, v, j))
			return true;
	return false;
}

/* Every pair in order, each behind its label of 1; and behind it what no pair is and a candidate
 * is, as many as were asked for, or fewer where there is none at all. */
static bool ref_negative(const struct trial *t, struct rows *r)
{
	bool several = t->nin == 3;
	uint64_t per = several ? 3 : 1, o = 0;
	const struct rn_column *k = col_of(t->out, "k"), *u = col_of(t->out, "s"), *cand = col_of(t->in[1], "k");
	const struct rn_column *y = col_of(t->out, several ? "y" : "label");

	(void)r;

	for (uint64_t i = 0; i < t->in[0]->rows; i++, o++) {
		bool any = false;

		if (o >= t->out->rows || y->i64[o] != 1 || !cell_equal(k, o, col_of(t->in[0], "k"), i))
			return fail("pair %llu is not there", (unsigned long long)i);
		for (uint64_t c = 0; c < cand->rows && !any; c++)
			any = !is_pair(t->in[0], "s", col_of(t->in[0], "s"), i, cand, c) &&
			      !(several && is_pair(t->in[2], "s", col_of(t->in[0], "s"), i, cand, c));
		for (uint64_t n = 0; n < per && any; n++) {
			bool there = false;

			if (++o >= t->out->rows || y->i64[o] || !cell_equal(u, o, col_of(t->in[0], "s"), i))
				return fail("pair %llu lacks a negative", (unsigned long long)i);
			for (uint64_t c = 0; c < cand->rows; c++)
				there = there || cell_equal(cand, c, k, o);
			if (!there || is_pair(t->in[0], "s", u, o, k, o) ||
			    (several && is_pair(t->in[2], "s", u, o, k, o)))
				return fail("row %llu is no candidate, or a known pair", (unsigned long long)o);
		}
	}
	return o == t->out->rows || fail("%llu rows instead of %llu", (unsigned long long)t->out->rows,
					 (unsigned long long)o);
}

/* ---- the table --------------------------------------------------------------------------- */

bool check_reference(struct trial *t)
{
	static const struct {
		const char *op;
		bool (*ref)(const struct trial *t, struct rows *r);
	} refs[] = {
		{ "filter", ref_filter }, { "project", ref_project }, { "join", ref_join },
		{ "agg", ref_agg },	  { "union", ref_union },     { "map", ref_rows },
		{ "linear", ref_rows },	  { "embed", ref_embed },     { "encode", ref_rows },
		{ "loss", ref_rows },	  { "sort", ref_sort },	      { "negative", ref_negative },
	};
	struct rows r = { 0 };

	for (size_t i = 0; i < sizeof refs / sizeof *refs; i++)
		if (!strcmp(refs[i].op, t->c->op)) {
			bool ok = refs[i].ref(t, &r);

			free(r.row);
			return ok;
		}
	return fail("the operator has no reference: add one to reference.c");
}
