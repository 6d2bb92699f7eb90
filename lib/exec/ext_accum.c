/* SPDX-License-Identifier: Apache-2.0 */
#include "ext_accum.h"

#include "../base/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	CHUNK = 256, /* rows that the operator adds up before it adds to the total */
	MOST_ROOM = 64 << 20, /* bytes of rows that wait, at most */
};

/* ---- life ----------------------------------------------------------------------------------- */

/* The part that all of s, "(z)" as aggregates have it, is the name of, or SIZE_MAX. */
static size_t sole_part(const struct rn_schema *s, const char *text)
{
	size_t n = strlen(text);

	while (n && strchr(" \t\n()", *text))
		text++, n--;
	while (n && strchr(" \t\n()", text[n - 1]))
		n--;
	if (s->nparts == 1 && n == 1 && *text == 'z')
		return 0;
	for (size_t i = 0; i < s->nparts; i++)
		if (strlen(s->parts[i].name) == n && !memcmp(s->parts[i].name, text, n))
			return i;
	return SIZE_MAX;
}

/* An aggregate that stays sparse: of a part as it is.  (The terms of others are not rounded
 * before they are added, and cannot be added here.) */
static int open_sparse(struct rn_accum *a, const char *expr, uint32_t width, struct rn_err *e)
{
	size_t part = sole_part(&a->schema, strchr(expr, '('));

	if (part != SIZE_MAX)
		return rn_sparse_sums_open(a->x, part, width, &a->sparse, e);
	a->whole = expr;
	return 0;
}

static int open_embedding(struct rn_accum *a, struct rn_err *e)
{
	const char *expr = rn_node_string(a->x->node, "expr");
	struct rn_einfo info;
	struct rn_eexpr *x;
	int rc;

	if (!expr)
		return 0;
	RN_TRY(rn_eexpr_parse(expr, &x, e));
	a->how = rn_eexpr_take_agg(x);
	rc = rn_eexpr_infer(x, &a->schema, &info, e);
	if (!rc && rn_eexpr_spans_rows(x))
		a->whole = expr;
	else if (!rc && info.sparse && (a->how == RN_AGG_SUM || a->how == RN_AGG_MEAN))
		rc = open_sparse(a, expr, rn_shape_width(&info.shape), e);
	else if (!rc)
		a->width = rn_shape_width(&info.shape);
	rn_eexpr_free(x);
	return rc;
}

static bool wants_values(const struct rn_accum_item *it)
{
	return it->kind == ACC_DISTINCT || it->kind == ACC_QUANTILE;
}

/* The expressions of which all values are wanted; items of one share them. */
static int open_values(struct rn_accum *a, struct rn_err *e)
{
	uint64_t room, least = 8 * rn_ext_block(a->x->ctx);
	size_t n = 0, *first;
	int rc = 0;

	for (size_t i = 0; i < a->nitems; i++)
		n += wants_values(&a->items[i]);
	if (!n)
		return 0;
	room = rn_ext_mem(a->x->ctx) / 4 / n;
	RN_TRY(rn_calloc(n, sizeof *a->values, "values", &a->values, e));
	RN_TRY(rn_calloc(n, sizeof *first, "values", &first, e));
	for (size_t i = 0; i < a->nitems && !rc; i++) {
		struct rn_accum_item *it = &a->items[i];
		size_t k = 0;

		if (!wants_values(it))
			continue;
		while (k < a->nvalues && (a->items[first[k]].in.narg != it->in.narg ||
					  memcmp(a->items[first[k]].in.arg, it->in.arg, it->in.narg)))
			k++;
		if (k == a->nvalues) {
			rc = rn_values_open(a->x, &a->schema, it->in.arg, it->in.narg,
					    room < least ? least : room, &a->values[k], e);
			if (rc)
				break;
			first[a->nvalues++] = i;
		}
		it->values = a->values[k];
		if (it->kind == ACC_QUANTILE)
			rn_values_want_all(it->values);
	}
	free(first);
	return rc;
}

int rn_accum_open(struct rn_ext *x, const struct rn_schema *schema, const size_t *by, size_t nby,
		  size_t number, struct rn_accum **out, struct rn_err *e)
{
	json_t *cols = (json_t *)rn_node_json(x->node, "cols"), *v;
	struct rn_accum *a;
	const char *name;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *a, "groups", &a, e));
	a->x = x;
	a->by = by;
	a->nby = nby;
	a->number = number;
	rn_ext_free_name(schema, NULL, NULL, "run", a->chunk);
	rn_ext_free_name(schema, NULL, NULL, "mean", a->mean);
	RN_GOTO(out, rn_schema_copy(schema, &a->schema, e));
	RN_GOTO(out, rn_calloc(json_object_size(cols), sizeof *a->items, "aggregates", &a->items, e));
	json_object_foreach(cols, name, v)
		a->items[a->nitems++].text = json_string_value(v);
	RN_GOTO(out, open_embedding(a, e));
	RN_GOTO(out, rn_accum_read_items(a, e));
	RN_GOTO(out, open_values(a, e));
	rc = rn_accum_make_node(a, e);
out:
	if (rc)
		rn_accum_close(a);
	else
		*out = a;
	return rc;
}

void rn_accum_close(struct rn_accum *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < a->nitems; i++) {
		struct rn_accum_item *it = &a->items[i];

		free(it->count);
		free(it->isum);
		free(it->sum);
		free(it->mean);
		rn_column_unref(it->best);
		rn_column_unref(it->best_by);
	}
	for (size_t i = 0; i < a->npending; i++)
		rn_rel_unref(a->pending[i]);
	for (size_t i = 0; i < a->nvalues; i++)
		rn_values_close(a->values[i]);
	rn_sparse_sums_close(a->sparse);
	free(a->values);
	free(a->pending);
	free(a->items);
	free(a->first);
	free(a->rows);
	free(a->done);
	free(a->z);
	rn_rel_unref(a->keys);
	json_decref(a->node.opt);
	rn_schema_fini(&a->schema);
	free(a);
}

int rn_accum_check(const struct rn_accum *a, const char *key, const char *most, uint64_t rows,
		   struct rn_err *e)
{
	char mem[RN_SIZE_TEXT];

	if (!a->whole)
		return 0;
	return rn_err_set(e, RN_ENOMEM,
			  "'%s' needs all rows of a group at once, and %s has %s %" PRIu64
			  ", more than fit into --mem %s: raise it", a->whole, key, most, rows,
			  rn_size_text(a->x->ctx->mem_limit, mem));
}

bool rn_accum_twice(const struct rn_accum *a)
{
	for (size_t i = 0; i < a->nitems; i++)
		if (rn_accum_is_variance(&a->items[i]))
			return true;
	return false;
}

/* ---- adding up ---------------------------------------------------------------------------- */

/* Combine the values c of runs (of[i]: the group of run i) into the groups' best ones;
 * by: what decides (NULL: of first and last, the order of the runs). */
static int add_best(struct rn_accum *a, struct rn_accum_item *it, struct rn_column *c,
		    struct rn_column *by, const uint32_t *of, struct rn_err *e)
{
	struct rn_column *both[2] = { it->best, c }, *all = NULL, *all_by = NULL, *best = NULL,
			 *best_by = NULL;
	uint64_t had = it->best ? it->best->rows : 0;
	uint32_t *map;
	int rc;

	RN_TRY(rn_calloc(a->n, sizeof *map, "groups", &map, e));
	for (size_t g = 0; g < a->n; g++)
		map[g] = g < had ? (uint32_t)g : RN_NO_ROW;
	RN_GOTO(out, rn_column_concat(had ? both : both + 1, had ? 2 : 1, &all, e));
	both[0] = it->best_by;
	both[1] = by;
	if (by)
		RN_GOTO(out, rn_column_concat(had ? both : both + 1, had ? 2 : 1, &all_by, e));
	for (uint64_t i = 0; i < c->rows; i++) {
		uint32_t *m = &map[of[i]], row = (uint32_t)(had + i);
		const struct rn_column *by_of = all_by ? all_by : all;
		int d = it->kind == ACC_LAST ? 1 : 0;

		if (rn_column_is_null(c, i) || (by && rn_column_is_null(by, i)))
			continue;
		if (*m == RN_NO_ROW || rn_column_is_null(all, *m)) {
			*m = row;
			continue;
		}
		if (by || it->kind == ACC_MIN || it->kind == ACC_MAX)
			d = rn_column_compare(by_of, row, by_of, *m);
		if (it->kind == ACC_MAX ? d > 0 : it->kind == ACC_LAST ? d >= 0 : d < 0)
			*m = row;
	}
	RN_GOTO(out, rn_column_gather(all, map, a->n, &best, e));
	if (by)
		RN_GOTO(out, rn_column_gather(all_by, map, a->n, &best_by, e));
	rn_column_unref(it->best);
	rn_column_unref(it->best_by);
	it->best = best;
	it->best_by = best_by;
	best = NULL;
out:
	rn_column_unref(best);
	rn_column_unref(all);
	rn_column_unref(all_by);
	free(map);
	return rc;
}

static void add_sum(struct rn_accum_item *it, const struct rn_column *sum,
		    const struct rn_column *count, const uint32_t *of)
{
	for (uint64_t i = 0; i < sum->rows; i++) {
		/* A sum of something that is NULL is no number. */
		double x = !rn_column_is_null(sum, i) ? sum->f64[i] : count->i64[i] ? (double)NAN : 0.0;

		it->sum[of[i]] += x;
		it->infinite |= isinf(x);
		it->count[of[i]] += count->i64[i];
	}
}

static void add_int(struct rn_accum_item *it, const struct rn_column *low,
		    const struct rn_column *high, const struct rn_column *count,
		    const uint32_t *of)
{
	for (uint64_t i = 0; i < low->rows; i++) {
		it->isum[of[i]] += (__int128)high->i64[i] * 4294967296 + low->i64[i];
		it->count[of[i]] += count->i64[i];
	}
}

static int add_item(struct rn_accum *a, struct rn_accum_item *it, const struct rn_rel *r,
		    const uint32_t *of, struct rn_err *e)
{
	struct rn_column *const *c = &r->cols[it->at];

	switch (it->kind) {
	case ACC_COUNT:
		for (uint64_t i = 0; i < r->rows; i++)
			it->count[of[i]] += c[0]->i64[i];
		return 0;
	case ACC_SUM_INT:
		add_int(it, c[0], c[1], c[2], of);
		return 0;
	case ACC_SUM:
	case ACC_AVG:
	case ACC_VAR:
	case ACC_STDDEV:
		add_sum(it, c[0], c[1], of);
		return 0;
	default:
		return add_best(a, it, c[0], it->by ? c[1] : NULL, of, e);
	}
}

/* The first run is stored, later ones are added. */
static int add_embedding(struct rn_accum *a, const struct rn_rel *r, const uint32_t *of,
			 struct rn_err *e)
{
	bool sum = a->how == RN_AGG_SUM || a->how == RN_AGG_MEAN;
	struct rn_tensor *t;

	RN_TRY(rn_rel_flat_part(r, 0, &t, e));
	for (uint64_t i = 0; i < r->rows; i++) {
		const float *x = t->data + i * a->width;
		float *z = a->z + (size_t)of[i] * a->width;

		if (!a->done[of[i]]++) {
			memcpy(z, x, a->width * sizeof *z);
			continue;
		}
		for (uint32_t f = 0; f < a->width; f++) {
			bool better = a->how == RN_AGG_MIN ? x[f] < z[f] : x[f] > z[f];

			if (sum)
				z[f] = z[f] + x[f];
			else if (better || (z[f] != z[f] && x[f] == x[f]))
				z[f] = x[f];
		}
	}
	rn_tensor_unref(t);
	return 0;
}

/* The operator warns of sums that are infinite, run by run and under other names. */
static void note_warning(void *arg, enum rn_log_level level, const char *msg)
{
	struct rn_accum *a = arg;

	(void)msg;
	a->warned |= level == RN_LOG_WARN;
}

/* The rows of r, whose runs have these numbers, are evaluated and added up. */
static int add_runs(struct rn_accum *a, const struct rn_rel *r, struct rn_err *e)
{
	const struct rn_rel *in[1] = { r };
	struct rn_ctx quiet = *a->x->ctx;
	struct rn_rel *out;
	uint32_t *of = NULL;
	int rc;

	quiet.log = note_warning;
	quiet.log_arg = a;
	RN_TRY(rn_eval_node(&quiet, a->x->backend, &a->node, in, a->x->params, &out, e));
	RN_GOTO(out, rn_calloc(out->rows, sizeof *of, "groups", &of, e));
	for (uint64_t i = 0; i < out->rows; i++)
		of[i] = (uint32_t)(out->cols[0]->i64[i] >> 32);
	for (size_t i = 0; i < a->nitems; i++)
		if (a->second ? rn_accum_is_variance(&a->items[i]) : !wants_values(&a->items[i]))
			RN_GOTO(out, add_item(a, &a->items[i], out, of, e));
	if (a->width && !a->second)
		rc = add_embedding(a, out, of, e);
out:
	free(of);
	rn_rel_unref(out);
	return rc;
}

/* The means as columns, by the group of each row. */
static int add_means(const struct rn_accum *a, const uint32_t *of, struct rn_rel **r,
		     struct rn_err *e)
{
	for (size_t i = 0; i < a->nitems; i++) {
		struct rn_rel *more;
		struct rn_column *c;
		char name[96];

		if (!rn_accum_is_variance(&a->items[i]))
			continue;
		RN_TRY(rn_column_new(RN_FLOAT64, (*r)->rows, &c, e));
		for (uint64_t k = 0; k < (*r)->rows; k++) {
			double m = a->items[i].mean[of[k]];

			c->f64[k] = m == m ? m + 0.0 : 0.0;
			if (m == m)
				continue;
			if (rn_column_need_null(c, e)) {
				rn_column_unref(c);
				return RN_ENOMEM;
			}
			c->null[k] = 1;
			c->nulls++;
		}
		snprintf(name, sizeof name, "%s %zu", a->mean, i);
		RN_TRY(rn_ext_add_col(*r, name, c, &more, e));
		rn_rel_unref(*r);
		*r = more;
	}
	return 0;
}

/* The rows of all whose run is full (at the end: of every run); the others are carried on. */
struct cut {
	uint32_t *of, *take, *keep, *group;
	int64_t *run;
	uint64_t ntake, nkeep;
};

static void cut_rows(struct rn_accum *a, const struct rn_rel *all, bool last, struct cut *c)
{
	/* a->rows: of the group before this piece; what is carried was not counted. */
	for (uint64_t i = 0; i < all->rows; i++) {
		uint64_t at = a->rows[c->of[i]]++;

		c->run[i] = (int64_t)c->of[i] << 32 | (int64_t)(at / CHUNK);
	}
	for (uint64_t i = 0; i < all->rows; i++) {
		uint64_t run = (uint64_t)c->run[i] & UINT32_MAX;

		if (last || (run + 1) * CHUNK <= a->rows[c->of[i]])
			c->take[c->ntake++] = (uint32_t)i;
		else
			c->keep[c->nkeep++] = (uint32_t)i;
	}
	for (uint64_t i = 0; i < c->nkeep; i++)
		a->rows[c->of[c->keep[i]]]--;
	for (uint64_t i = 0; i < c->ntake; i++) {
		c->group[i] = c->of[c->take[i]];
		c->run[i] = c->run[c->take[i]]; /* take ascends, and i <= take[i] */
	}
}

/* Evaluate the rows that were taken. */
static int add_taken(struct rn_accum *a, const struct rn_rel *all, struct cut *c, struct rn_err *e)
{
	struct rn_rel *some, *numbered;
	struct rn_column *run;
	int rc;

	if (!c->ntake)
		return 0;
	RN_TRY(rn_rel_gather(all, c->take, c->ntake, &some, e));
	for (size_t i = 0; i < a->nvalues && !a->second; i++)
		RN_GOTO(out, rn_values_add(a->values[i], some, c->group, e));
	if (a->sparse && !a->second)
		RN_GOTO(out, rn_sparse_sums_add(a->sparse, some, c->group, e));
	RN_GOTO(out, a->second ? add_means(a, c->group, &some, e) : 0);
	RN_GOTO(out, rn_column_new(RN_INT64, c->ntake, &run, e));
	memcpy(run->i64, c->run, c->ntake * sizeof *run->i64);
	RN_GOTO(out, rn_ext_add_col(some, a->chunk, run, &numbered, e));
	rc = add_runs(a, numbered, e);
	rn_rel_unref(numbered);
out:
	rn_rel_unref(some);
	return rc;
}

static int carry(struct rn_accum *a, const struct rn_rel *all, const struct cut *c, struct rn_err *e)
{
	a->bytes = 0;
	if (!c->nkeep)
		return 0;
	RN_TRY(rn_grow(&a->pending, &a->pending_cap, 1, sizeof(struct rn_rel *), "groups", e));
	RN_TRY(rn_rel_gather(all, c->keep, c->nkeep, &a->pending[0], e));
	a->npending = 1;
	return 0;
}

static int flush(struct rn_accum *a, bool last, struct rn_err *e)
{
	struct cut c = { 0 };
	struct rn_rel *all;
	size_t n = a->npending;
	int rc;

	if (!n)
		return 0;
	a->npending = 0;
	RN_TRY(rn_ext_stack(&a->schema, a->pending, n, &all, e));
	RN_GOTO(out, rn_calloc(all->rows, sizeof *c.of, "groups", &c.of, e));
	RN_GOTO(out, rn_calloc(all->rows, sizeof *c.take, "groups", &c.take, e));
	RN_GOTO(out, rn_calloc(all->rows, sizeof *c.keep, "groups", &c.keep, e));
	RN_GOTO(out, rn_calloc(all->rows, sizeof *c.group, "groups", &c.group, e));
	RN_GOTO(out, rn_calloc(all->rows, sizeof *c.run, "groups", &c.run, e));
	RN_GOTO(out, rn_accum_find_groups(a, all, c.of, e));
	cut_rows(a, all, last, &c);
	RN_GOTO(out, add_taken(a, all, &c, e));
	rc = carry(a, all, &c, e);
out:
	free(c.of);
	free(c.take);
	free(c.keep);
	free(c.group);
	free(c.run);
	rn_rel_unref(all);
	return rc;
}

/* What rows that wait take with what becomes of them. */
static uint64_t bytes_of(const struct rn_accum *a, const struct rn_rel *r)
{
	return rn_rel_bytes(r) + r->rows * (40 + 8 * (uint64_t)a->width);
}

/* Takes the reference. */
static int add_piece(struct rn_accum *a, struct rn_rel *piece, uint64_t bytes, uint64_t room,
		     struct rn_err *e)
{
	int rc = rn_grow(&a->pending, &a->pending_cap, a->npending + 1, sizeof(struct rn_rel *), "groups",
			 e);

	if (rc) {
		rn_rel_unref(piece);
		return rc;
	}
	a->pending[a->npending++] = piece;
	a->bytes += bytes;
	return a->bytes > room ? flush(a, false, e) : 0;
}

static int add_block(struct rn_accum *a, const struct rn_rel *block, struct rn_err *e)
{
	uint64_t room = rn_ext_mem(a->x->ctx) / 8, bytes = bytes_of(a, block), most;

	if (!block->rows)
		return 0;
	room = room < MOST_ROOM ? room : MOST_ROOM;
	if (bytes <= 2 * room)
		return add_piece(a, rn_rel_ref((struct rn_rel *)block), bytes, room, e);
	most = room / (bytes / block->rows + 1) + 1;
	for (uint64_t from = 0, n; from < block->rows; from += n) {
		struct rn_rel *piece;

		n = block->rows - from < most ? block->rows - from : most;
		RN_TRY(rn_rel_slice(block, from, n, &piece, e));
		RN_TRY(add_piece(a, piece, bytes / block->rows * n, room, e));
	}
	return 0;
}

int rn_accum_add(struct rn_accum *a, struct rn_rel *block, struct rn_err *e)
{
	int rc = a->fixed ? rn_accum_keep_known(a, &block, e) : 0;

	if (!rc)
		rc = add_block(a, block, e);
	rn_rel_unref(block);
	return rc;
}

int rn_accum_again(struct rn_accum *a, struct rn_err *e)
{
	RN_TRY(flush(a, true, e));
	for (size_t i = 0; i < a->nitems; i++)
		for (size_t g = 0; g < a->n && rn_accum_is_variance(&a->items[i]); g++) {
			struct rn_accum_item *it = &a->items[i];

			it->mean[g] = it->sum[g] / (double)it->count[g];
			it->sum[g] = 0;
			it->count[g] = 0;
		}
	/* Groups and their first rows stay; their rows are counted again. */
	for (size_t g = 0; g < a->n; g++)
		a->rows[g] = 0;
	a->second = true;
	return rn_accum_make_node(a, e);
}

/* ---- values in order ----------------------------------------------------------------------- */

static double number_at(const struct rn_column *c, uint64_t i)
{
	return c->type == RN_INT64 ? (double)c->i64[i] : c->f64[i];
}

struct walk {
	const struct rn_accum *a;
	const struct rn_values *values;
};

/* A quantile is between the two values next to it, in proportion, as the operator has it. */
static void see_value(void *arg, uint32_t g, uint64_t place, bool first, const struct rn_column *c,
		      uint64_t row)
{
	const struct walk *w = arg;

	for (size_t i = 0; i < w->a->nitems; i++) {
		struct rn_accum_item *it = &w->a->items[i];
		double at, low;

		if (it->values != w->values)
			continue;
		if (it->kind == ACC_DISTINCT) {
			it->count[g] += first;
			continue;
		}
		at = it->in.q * (double)(rn_values_count(w->values, g) - 1);
		low = floor(at);
		it->count[g] = 1;
		if (place == (uint64_t)low)
			it->sum[g] = number_at(c, row);
		else if (place == (uint64_t)low + 1 && at > low)
			it->sum[g] += (at - low) * (number_at(c, row) - it->sum[g]);
	}
}

static int walk_values(struct rn_accum *a, struct rn_err *e)
{
	for (size_t i = 0; i < a->nvalues; i++) {
		struct walk w = { a, a->values[i] };

		RN_TRY(rn_values_walk(a->values[i], see_value, &w, e));
		rn_values_close(a->values[i]);
		a->values[i] = NULL;
	}
	return 0;
}

/* ---- the result ------------------------------------------------------------------------------ */

static double real_value(const struct rn_accum_item *it, size_t g)
{
	double n = (double)it->count[g], var;

	if (!it->count[g] || (rn_accum_is_variance(it) && it->count[g] < 2))
		return (double)NAN;
	if (it->kind == ACC_SUM || it->kind == ACC_QUANTILE)
		return it->sum[g];
	if (it->kind == ACC_AVG)
		return it->sum[g] / n;
	var = it->sum[g] / (double)(it->count[g] - 1);
	return it->kind == ACC_VAR ? var : sqrt(var);
}

static int set_value(const struct rn_accum_item *it, size_t g, struct rn_column *c, struct rn_err *e)
{
	bool count = it->kind == ACC_COUNT || it->kind == ACC_DISTINCT;
	double x = count || it->kind == ACC_SUM_INT ? 0 : real_value(it, g);

	if (count) {
		c->i64[g] = it->count[g];
		return 0;
	}
	if (it->kind == ACC_SUM_INT && it->count[g]) {
		c->i64[g] = (int64_t)it->isum[g];
		return c->i64[g] == it->isum[g] ? 0 :
			       rn_err_set(e, RN_EDATA, "'%s' does not fit into an int64: cast it to float64",
					  it->text);
	}
	if (it->kind == ACC_SUM_INT)
		c->i64[g] = 0;
	else
		c->f64[g] = x == x ? x + 0.0 : 0.0;
	if (it->kind != ACC_SUM_INT && x == x)
		return 0;
	RN_TRY(rn_column_need_null(c, e));
	c->null[g] = 1;
	c->nulls++;
	return 0;
}

/* The same word as the operator has (aggregate.c). */
static void tell_infinity(const struct rn_accum *a, const struct rn_accum_item *it,
			  const struct rn_column *out)
{
	bool any = false;

	if (out->type != RN_FLOAT64 || wants_values(it) || (it->infinite && !a->warned))
		return;
	for (uint64_t g = 0; g < out->rows; g++)
		any |= isinf(out->f64[g]);
	if (any)
		rn_log(a->x->ctx, RN_LOG_WARN, "'%s' is infinite: finite values add up to more than a float64 holds",
		       it->text);
}

/* A NULL for each group. */
static int null_column(const struct rn_accum *a, enum rn_type type, struct rn_column **out,
		       struct rn_err *e)
{
	struct rn_column *none = NULL;
	uint32_t *map;
	int rc;

	RN_TRY(rn_calloc(a->n, sizeof *map, "groups", &map, e));
	for (size_t g = 0; g < a->n; g++)
		map[g] = RN_NO_ROW;
	rc = type == RN_STRING ? rn_column_new_string(0, 0, &none, e) : rn_column_new(type, 0, &none, e);
	if (!rc)
		rc = rn_column_gather(none, map, a->n, out, e);
	rn_column_unref(none);
	free(map);
	return rc;
}

static int item_column(const struct rn_accum *a, const struct rn_accum_item *it,
		       struct rn_column **out, struct rn_err *e)
{
	if (it->best) {
		*out = rn_column_ref(it->best);
		return 0;
	}
	if (it->kind >= ACC_MIN && !wants_values(it)) /* no group has a row */
		return null_column(a, it->type, out, e);
	RN_TRY(rn_column_new(it->type, a->n, out, e));
	for (size_t g = 0; g < a->n; g++) {
		int rc = set_value(it, g, *out, e);

		if (rc) {
			rn_column_unref(*out);
			return rc;
		}
	}
	tell_infinity(a, it, *out);
	return 0;
}

static int add_z(const struct rn_accum *a, const struct rn_schema *s, struct rn_rel *r,
		 struct rn_err *e)
{
	struct rn_tensor *t;

	if (a->sparse) {
		RN_TRY(rn_sparse_sums_take(a->sparse, a->n, a->how == RN_AGG_MEAN ? a->rows : NULL, &t, e));
		return rn_rel_add_part(r, s->parts[0].name, t, NULL, e);
	}
	RN_TRY(rn_tensor_new(&s->parts[0].shape, a->n, &t, e));
	for (size_t g = 0; g < a->n; g++) {
		float by = a->how == RN_AGG_MEAN && a->rows[g] ? 1.0f / (float)a->rows[g] : 1.0f;

		for (uint32_t f = 0; f < a->width; f++) {
			float x = a->z[g * a->width + f];

			t->data[g * a->width + f] = a->how == RN_AGG_MEAN ? x * by : x;
		}
	}
	return rn_rel_add_part(r, s->parts[0].name, t, NULL, e);
}

int rn_accum_end(struct rn_accum *a, struct rn_rel **out, struct rn_column **first,
		 struct rn_err *e)
{
	struct rn_schema s = { 0 };
	struct rn_rel *r = NULL;
	size_t col = 0;
	int rc;

	*first = NULL;
	RN_TRY(flush(a, true, e));
	RN_TRY(walk_values(a, e));
	RN_GOTO(out, rn_node_infer(a->x->node, a->x->schema, &s, e));
	RN_GOTO(out, rn_rel_new(s.name, a->n, &r, e));
	for (; col < a->nby; col++)
		RN_GOTO(out, rn_rel_add_col(r, s.cols[col].name, s.cols[col].qual,
					    rn_column_ref(a->keys->cols[col]), e));
	for (size_t i = 0; i < a->nitems; i++, col++) {
		struct rn_column *c;

		RN_GOTO(out, item_column(a, &a->items[i], &c, e));
		RN_GOTO(out, rn_rel_add_col(r, s.cols[col].name, s.cols[col].qual, c, e));
	}
	if (a->width || a->sparse)
		RN_GOTO(out, add_z(a, &s, r, e));
	RN_GOTO(out, rn_column_new(RN_INT64, a->n, first, e));
	for (size_t g = 0; g < a->n; g++)
		(*first)->i64[g] = a->first[g];
out:
	rn_schema_fini(&s);
	if (rc)
		rn_rel_unref(r);
	else
		*out = r;
	return rc;
}
