/* SPDX-License-Identifier: Apache-2.0
 *
 * Aggregates of content columns: what they are.  Groups are taken by parts of as many
 * rows each; a group that is itself larger than that is taken by parts of its own.  What
 * a group gives is defined by its rows alone: its sums are those of chunks from its
 * start, added in order.
 */
#include "aggregate_impl.h"

#include "../rel/part.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	AHEAD = 32,  /* rows that are asked for before they are needed */
	PART_CHUNKS = RN_PART_ROWS / RN_CAGG_CHUNK,
	GIANT = 4 * RN_PART_ROWS, /* rows of a group that has parts of its own */
};

/* ---- rows of a group ------------------------------------------------------------- */

/* The rows of a group: rows[i] for i in [from, to). */
struct span {
	const uint32_t *rows; /* NULL: i itself */
	uint32_t from, to;
	uint32_t end; /* of rows */
};

static struct span span_of(const struct rn_groups *g, uint64_t i)
{
	const uint32_t *ptr = g->ptr->data;

	return (struct span){ g->rows ? g->rows->data : NULL, ptr[i], ptr[i + 1], ptr[g->n] };
}

static inline uint32_t row_at(const struct span *s, uint32_t i)
{
	return s->rows ? s->rows[i] : i;
}

static bool is_giant(const struct rn_groups *g, uint64_t i)
{
	const uint32_t *ptr = g->ptr->data;

	return ptr[i + 1] - ptr[i] >= GIANT;
}

/* Groups by parts: part p has those that start, empty ones counted as a row, in its rows. */
static uint64_t group_places(const struct rn_groups *g)
{
	return g->n + ((const uint32_t *)g->ptr->data)[g->n];
}

static uint64_t first_group(const struct rn_groups *g, uint64_t place)
{
	const uint32_t *ptr = g->ptr->data;
	uint64_t lo = 0, hi = g->n;

	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;

		if (ptr[mid] + mid < place)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static inline double number_at(const struct rn_column *c, uint32_t r)
{
	return c->type == RN_FLOAT64 ? c->f64[r] : (double)c->i64[r];
}

int rn_cagg_new_column(enum rn_type t, uint64_t n, struct rn_column **out, struct rn_err *e)
{
	struct rn_column *c;
	int rc;

	RN_TRY(rn_column_new_raw(t, n, &c, e));
	rc = rn_column_need_null(c, e);
	if (rc)
		rn_column_unref(c);
	else
		*out = c;
	return rc;
}

/* ---- sums --------------------------------------------------------------------------- */

/* What is summed: (x - mean), or its square, over the values that are not NULL. */
struct addend {
	const struct rn_column *c;
	double mean;
	bool square;
};

/* Rows from … to - 1 of a span, a chunk; *n counts its values. */
static double sum_chunk(const struct span *s, const struct addend *a, uint32_t from, uint32_t to,
			int64_t *n)
{
	const struct rn_column *c = a->c;
	double sum = 0;

	if (c->type == RN_FLOAT64 && !c->null && s->rows && !a->square) {
		for (uint32_t i = from; i < to; i++) {
			if (i + AHEAD < s->end)
				__builtin_prefetch(&c->f64[s->rows[i + AHEAD]]);
			sum += c->f64[s->rows[i]] - a->mean;
		}
		*n += to - from;
		return sum;
	}
	for (uint32_t i = from; i < to; i++) {
		uint32_t r = row_at(s, i);
		double x;

		if (rn_column_is_null(c, r))
			continue;
		x = number_at(c, r) - a->mean;
		sum += a->square ? x * x : x;
		++*n;
	}
	return sum;
}

/* A giant's chunks by parts. */
struct giant {
	const struct span *s;
	const struct addend *a;
	double *chunk;
	int64_t n;
	__int128 *part; /* of an integer sum */
};

static void sum_giant_part(void *arg, uint32_t part)
{
	struct giant *g = arg;
	uint64_t rows = g->s->to - g->s->from, to = rn_part_to(part, rows);
	int64_t n = 0;

	for (uint64_t at = rn_part_from(part), k = (uint64_t)part * PART_CHUNKS; at < to; k++) {
		uint64_t end = at + RN_CAGG_CHUNK < to ? at + RN_CAGG_CHUNK : to;

		g->chunk[k] = sum_chunk(g->s, g->a, (uint32_t)(g->s->from + at),
					(uint32_t)(g->s->from + end), &n);
		at = end;
	}
	__atomic_fetch_add(&g->n, n, __ATOMIC_RELAXED);
}

/* In chunks from the start; *n counts the values. */
static double sum_of(struct rn_team *t, const struct span *s, const struct addend *a, int64_t *n)
{
	uint32_t rows = s->to - s->from;
	struct giant g = { .s = s, .a = a };
	double total = 0;

	*n = 0;
	if (rows >= GIANT && t)
		g.chunk = malloc(((size_t)rows / RN_CAGG_CHUNK + 1) * sizeof *g.chunk);
	if (!g.chunk) { /* without memory one thread does it, to the same bits */
		for (uint32_t at = s->from, end; at < s->to; at = end) {
			end = s->to - at < RN_CAGG_CHUNK ? s->to : at + RN_CAGG_CHUNK;
			total += sum_chunk(s, a, at, end, n);
		}
		return total;
	}
	rn_part_run(t, rows, sum_giant_part, &g);
	for (uint32_t k = 0; k < (rows + RN_CAGG_CHUNK - 1) / RN_CAGG_CHUNK; k++)
		total += g.chunk[k];
	free(g.chunk);
	*n = g.n;
	return total;
}

static __int128 sum_ints(const struct span *s, const struct rn_column *c, int64_t *n)
{
	__int128 total = 0;

	for (uint32_t i = s->from; i < s->to; i++) {
		uint32_t r = row_at(s, i);

		if (s->rows && i + AHEAD < s->end)
			__builtin_prefetch(&c->i64[s->rows[i + AHEAD]]);
		if (rn_column_is_null(c, r))
			continue;
		total += c->i64[r];
		++*n;
	}
	return total;
}

static void sum_int_part(void *arg, uint32_t part)
{
	struct giant *g = arg;
	uint64_t rows = g->s->to - g->s->from;
	struct span s = *g->s;
	int64_t n = 0;

	s.from = (uint32_t)(g->s->from + rn_part_from(part));
	s.to = (uint32_t)(g->s->from + rn_part_to(part, rows));
	g->part[part] = sum_ints(&s, g->a->c, &n);
	__atomic_fetch_add(&g->n, n, __ATOMIC_RELAXED);
}

static bool int_sum_of(struct rn_team *t, const struct span *s, const struct rn_column *c,
		       int64_t *sum, int64_t *n)
{
	uint32_t parts = rn_part_count(s->to - s->from);
	struct addend a = { .c = c };
	struct giant g = { .s = s, .a = &a };
	__int128 total = 0;

	*n = 0;
	if (s->to - s->from >= GIANT && t)
		g.part = malloc(parts * sizeof *g.part);
	if (g.part) {
		rn_part_run(t, s->to - s->from, sum_int_part, &g);
		for (uint32_t p = 0; p < parts; p++)
			total += g.part[p];
		free(g.part);
		*n = g.n;
	} else {
		total = sum_ints(s, c, n);
	}
	*sum = (int64_t)total;
	return total == *sum;
}

static int64_t count_of(const struct span *s, const struct rn_column *c)
{
	int64_t n = s->to - s->from;

	if (!c || !c->null)
		return n;
	for (uint32_t i = s->from; i < s->to; i++)
		n -= c->null[row_at(s, i)];
	return n;
}

/* ---- counts, sums and what is made of sums ---------------------------------------------- */

struct sums {
	struct rn_team *t;
	const struct rn_groups *g;
	struct rn_cagg *const *a;
	size_t n;
	struct rn_column **out;
	size_t same[RN_CAGG_SUMS];       /* the first aggregate of the same column */
	uint64_t nulls[RN_CAGG_SUMS];    /* in out */
	uint64_t too_large[RN_CAGG_SUMS]; /* the first group whose integer sum does not fit */
};

/* avg, var, stddev or the sum as float64, from the sum of n values; NaN where it is NULL. */
static double moment(struct rn_team *t, const struct span *s, const struct rn_cagg *a, double sum,
		     int64_t n)
{
	struct addend square = { .c = a->c, .square = true };
	double var;

	if (a->kind == RN_CAGG_SUM || a->kind == RN_CAGG_AVG)
		return rn_cagg_ratio(a, sum, n);
	if (n < 2)
		return (double)NAN;
	square.mean = sum / (double)n;
	var = sum_of(t, s, &square, &n) / (double)(n - 1);
	return a->kind == RN_CAGG_VAR ? var : sqrt(var);
}

void rn_cagg_lower(uint64_t *to, uint64_t x)
{
	uint64_t now = __atomic_load_n(to, __ATOMIC_RELAXED);

	while (x < now && !__atomic_compare_exchange_n(to, &now, x, true, __ATOMIC_RELAXED,
						       __ATOMIC_RELAXED))
		;
}

/* The values of group i; nulls[k] counts those of aggregate k that are NULL. */
static void sum_group(struct sums *j, struct rn_team *t, uint64_t i, uint64_t *nulls)
{
	struct span s = span_of(j->g, i);
	double sum[RN_CAGG_SUMS];
	int64_t n[RN_CAGG_SUMS];

	for (size_t k = 0; k < j->n; k++) {
		const struct rn_cagg *a = j->a[k];
		struct rn_column *out = j->out[k];
		size_t as = j->same[k];

		if (a->kind == RN_CAGG_COUNT) {
			out->i64[i] = count_of(&s, a->c);
			out->null[i] = 0;
		} else if (a->type == RN_INT64) {
			if (!int_sum_of(t, &s, a->c, &out->i64[i], &n[k]))
				rn_cagg_lower(&j->too_large[k], i);
			nulls[k] += rn_cagg_set_null(out, i, !n[k]);
		} else {
			if (as == k)
				sum[k] = sum_of(t, &s, &(struct addend){ .c = a->c }, &n[k]);
			nulls[k] += rn_cagg_set_real(out, i, moment(t, &s, a, sum[as], n[as]));
		}
	}
}

static void sum_part(void *arg, uint32_t part)
{
	struct sums *j = arg;
	uint64_t to = first_group(j->g, rn_part_from(part) + RN_PART_ROWS);
	uint64_t nulls[RN_CAGG_SUMS] = { 0 };

	for (uint64_t i = first_group(j->g, rn_part_from(part)); i < to; i++)
		if (!is_giant(j->g, i))
			sum_group(j, NULL, i, nulls);
	for (size_t k = 0; k < j->n; k++)
		__atomic_fetch_add(&j->nulls[k], nulls[k], __ATOMIC_RELAXED);
}

int rn_cagg_too_large(const struct rn_cagg *a, uint32_t row, uint32_t rows, struct rn_err *e)
{
	return rn_err_set(e, RN_EDATA,
			  "'%s' does not fit into an int64 in the group of row %u (%u rows): "
			  "cast it to float64", a->text, row, rows);
}

static int check_sums(const struct sums *j, struct rn_err *e)
{
	for (size_t k = 0; k < j->n; k++) {
		struct span s;

		if (j->too_large[k] == UINT64_MAX)
			continue;
		s = span_of(j->g, j->too_large[k]);
		return rn_cagg_too_large(j->a[k], row_at(&s, s.from), s.to - s.from, e);
	}
	return 0;
}

/* The first aggregate before k, or k, that needs the same float64 sum. */
static size_t same_sum(struct rn_cagg *const *a, size_t k)
{
	for (size_t i = 0; i < k; i++)
		if (a[i]->c == a[k]->c && a[i]->type == RN_FLOAT64)
			return i;
	return k;
}

int rn_cagg_sums(struct rn_team *t, struct rn_cagg *const *a, size_t n, const struct rn_groups *g,
		 struct rn_column **out, struct rn_err *e)
{
	struct sums j = { .t = t, .g = g, .a = a, .n = n, .out = out };
	int rc = 0;

	memset(out, 0, n * sizeof *out);
	for (size_t k = 0; k < n; k++) {
		j.too_large[k] = UINT64_MAX;
		j.same[k] = same_sum(a, k);
		RN_GOTO(fail, rn_cagg_new_column(a[k]->type, g->n, &out[k], e));
	}
	rn_part_run(t, group_places(g), sum_part, &j);
	for (uint64_t i = 0; i < g->n; i++)
		if (is_giant(g, i))
			sum_group(&j, t, i, j.nulls);
	RN_GOTO(fail, check_sums(&j, e));
	for (size_t k = 0; k < n; k++)
		rn_column_set_nulls(out[k], j.nulls[k]);
	return 0;
fail:
	for (size_t k = 0; k < n; k++)
		rn_column_unref(out[k]);
	return rc;
}

/* ---- one row of each group ------------------------------------------------------------ */

struct picks {
	struct rn_team *t;
	const struct rn_groups *g;
	const struct rn_column *c, *by; /* by decides; NULL: the order of the rows */
	enum rn_cagg_kind kind;
	uint32_t *row; /* of each group */
	const struct span *giant;
	uint32_t *best; /* of each part of a giant */
};

static inline int compare(const struct rn_column *c, uint32_t a, uint32_t b)
{
	if (c->type == RN_FLOAT64)
		return (c->f64[a] > c->f64[b]) - (c->f64[a] < c->f64[b]);
	if (c->type == RN_INT64 || c->type == RN_TIMESTAMP)
		return (c->i64[a] > c->i64[b]) - (c->i64[a] < c->i64[b]);
	return rn_column_compare(c, a, c, b);
}

/* min, max, first, last: the row that holds the value, or RN_NO_ROW.  Of equal ones the
 * first row, for last the last. */
static uint32_t pick(const struct picks *p, const struct span *s)
{
	uint32_t best = RN_NO_ROW;

	for (uint32_t i = s->from; i < s->to; i++) {
		uint32_t r = row_at(s, i);
		int d = p->kind == RN_CAGG_LAST ? 1 : 0;

		if (r == RN_NO_ROW || rn_column_is_null(p->c, r) ||
		    (p->by && rn_column_is_null(p->by, r)))
			continue;
		if (best != RN_NO_ROW && p->by)
			d = compare(p->by, r, best);
		if (best == RN_NO_ROW ||
		    (p->kind == RN_CAGG_MAX ? d > 0 : p->kind == RN_CAGG_LAST ? d >= 0 : d < 0))
			best = r;
		if (p->kind == RN_CAGG_FIRST && !p->by)
			break;
	}
	return best;
}

static void pick_giant_part(void *arg, uint32_t part)
{
	const struct picks *p = arg;
	struct span s = *p->giant;

	s.to = (uint32_t)(s.from + rn_part_to(part, s.to - s.from));
	s.from = (uint32_t)(s.from + rn_part_from(part));
	p->best[part] = pick(p, &s);
}

/* The best of each part in order, and of those the best. */
static uint32_t pick_giant(struct picks *p, const struct span *s)
{
	uint32_t parts = rn_part_count(s->to - s->from), best;
	struct span bests = { .to = parts };

	p->best = malloc(parts * sizeof *p->best);
	if (!p->best)
		return pick(p, s);
	p->giant = s;
	rn_part_run(p->t, s->to - s->from, pick_giant_part, p);
	bests.rows = p->best;
	best = pick(p, &bests);
	free(p->best);
	return best;
}

static void pick_part(void *arg, uint32_t part)
{
	const struct picks *p = arg;
	uint64_t to = first_group(p->g, rn_part_from(part) + RN_PART_ROWS);

	for (uint64_t i = first_group(p->g, rn_part_from(part)); i < to; i++) {
		struct span s = span_of(p->g, i);

		if (!is_giant(p->g, i))
			p->row[i] = pick(p, &s);
	}
}

int rn_cagg_pick(struct rn_team *t, const struct rn_cagg *a, const struct rn_groups *g,
		 struct rn_column **out, struct rn_err *e)
{
	struct picks p = { .t = t, .g = g, .c = a->c, .kind = a->kind,
			   .by = a->kind <= RN_CAGG_MAX ? a->c : a->bc };
	struct rn_buf *map;
	int rc;

	RN_TRY(rn_buf_new_raw(g->n * sizeof(uint32_t), "a row map", &map, e));
	p.row = map->data;
	rn_part_run(t, group_places(g), pick_part, &p);
	for (uint64_t i = 0; i < g->n; i++) {
		struct span s = span_of(g, i);

		if (is_giant(g, i))
			p.row[i] = pick_giant(&p, &s);
	}
	rc = rn_column_gather_team(t, a->c, map->data, g->n, out, e);
	rn_buf_unref(map);
	return rc;
}

/* ---- distinct values ---------------------------------------------------------------------- */

struct distinct {
	const struct rn_column *c;
	const uint32_t *of, *first; /* first rows of the pairs of a group and a value */
	uint64_t pairs;
	int64_t *count, *group; /* of each group; of each row, as a column's values */
};

static void group_part(void *arg, uint32_t part)
{
	const struct distinct *d = arg;
	uint64_t to = rn_part_to(part, d->c->rows);

	for (uint64_t i = rn_part_from(part); i < to; i++)
		d->group[i] = d->of[i];
}

static void count_part(void *arg, uint32_t part)
{
	const struct distinct *d = arg;
	uint64_t to = rn_part_to(part, d->pairs);

	for (uint64_t p = rn_part_from(part); p < to; p++) {
		uint32_t r = d->first[p];

		if (d->of[r] != RN_NO_ROW && !rn_column_is_null(d->c, r))
			__atomic_fetch_add(&d->count[d->of[r]], 1, __ATOMIC_RELAXED);
	}
}

/* Each pair of a group and a value counts once, where it first appears. */
int rn_cagg_distinct(const struct rn_ctx *ctx, const struct rn_cagg *a, const struct rn_groups *g,
		     struct rn_column **out, struct rn_err *e)
{
	struct rn_column *group, *cols[2] = { NULL, a->c }, *r = NULL;
	struct rn_key k = { .n = 2, .cols = cols, .rows = a->c->rows };
	struct distinct d = { .c = a->c, .of = g->of->data };
	struct rn_team *t = rn_part_team(ctx);
	struct rn_buf *first = NULL;
	int rc;

	RN_TRY(rn_column_new_raw(RN_INT64, a->c->rows, &group, e));
	d.group = group->i64;
	rn_part_run(t, a->c->rows, group_part, &d);
	cols[0] = group;
	rc = rn_distinct(ctx, &k, &d.pairs, &first, e);
	rn_column_unref(group);
	RN_TRY(rc);
	rc = rn_column_new(RN_INT64, g->n, &r, e);
	if (!rc) {
		d.first = first->data;
		d.count = r->i64;
		rn_part_run(t, d.pairs, count_part, &d);
		*out = r;
	}
	rn_buf_unref(first);
	return rc;
}

/* ---- quantiles -------------------------------------------------------------------------- */

struct quantiles {
	double q;
	const struct rn_column *c;
	const uint32_t *of, *order; /* the group of each row; the rows by value */
	uint32_t *place;            /* the group of each place in that order */
	uint64_t n;
	const uint32_t *ptr, *at;   /* the places of each group, ascending */
	struct rn_column *out;
	uint64_t nulls;
};

static void place_part(void *arg, uint32_t part)
{
	const struct quantiles *j = arg;
	uint64_t to = rn_part_to(part, j->c->rows);

	for (uint64_t i = rn_part_from(part); i < to; i++) {
		uint32_t r = j->order[i];

		j->place[i] = rn_column_is_null(j->c, r) ? RN_NO_ROW : j->of[r];
	}
}

/* Between the two values that stand next to q, in proportion; of none, NaN. */
static double interpolate(const struct quantiles *j, uint64_t g)
{
	const uint32_t *at = j->at + j->ptr[g];
	uint64_t n = j->ptr[g + 1] - j->ptr[g], i;
	double place, low, x;

	if (!n)
		return (double)NAN;
	place = j->q * (double)(n - 1);
	low = floor(place);
	i = (uint64_t)low;
	x = number_at(j->c, j->order[at[i]]);
	if (i + 1 < n && place > low)
		x += (place - low) * (number_at(j->c, j->order[at[i + 1]]) - x);
	return x;
}

static void interpolate_part(void *arg, uint32_t part)
{
	struct quantiles *j = arg;
	uint64_t to = rn_part_to(part, j->n), nulls = 0;

	for (uint64_t g = rn_part_from(part); g < to; g++)
		nulls += rn_cagg_set_real(j->out, g, interpolate(j, g));
	__atomic_fetch_add(&j->nulls, nulls, __ATOMIC_RELAXED);
}

/* The rows are sorted once, and then by group, which keeps their order. */
int rn_cagg_quantile(struct rn_team *t, const struct rn_cagg *a, const struct rn_groups *g,
		     struct rn_column **out, struct rn_err *e)
{
	struct quantiles j = { .q = a->q, .c = a->c, .of = g->of->data, .n = g->n };
	struct rn_buf *order = NULL, *place = NULL, *ptr = NULL, *at = NULL;
	int rc;

	RN_GOTO(out, rn_order_rows_team(t, &(struct rn_order){ .col = a->c }, 1, a->c->rows, &order, e));
	RN_GOTO(out, rn_buf_new_raw(a->c->rows * sizeof *j.place, "quantiles", &place, e));
	j.order = order->data;
	j.place = place->data;
	rn_part_run(t, a->c->rows, place_part, &j);
	RN_GOTO(out, rn_invert_map_team(t, j.place, a->c->rows, g->n, &ptr, &at, e));
	j.ptr = ptr->data;
	j.at = at->data;
	RN_GOTO(out, rn_cagg_new_column(RN_FLOAT64, g->n, &j.out, e));
	rn_part_run(t, g->n, interpolate_part, &j);
	rn_column_set_nulls(j.out, j.nulls);
	*out = j.out;
out:
	rn_buf_unref(order);
	rn_buf_unref(place);
	rn_buf_unref(ptr);
	rn_buf_unref(at);
	return rc;
}
