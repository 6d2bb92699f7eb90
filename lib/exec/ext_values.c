/* SPDX-License-Identifier: Apache-2.0
 *
 * Pairs of group and value are put in order.
 */
#include "ext_values.h"

#include "../expr/content.h"
#include "ext_runs.h"

#include <stdlib.h>
#include <string.h>

struct rn_values {
	struct rn_cexpr *expr;
	bool all;
	struct rn_runs_conf conf;
	struct rn_runs *runs; /* of the pairs */
	/* By group. */
	uint64_t *count;
	size_t count_cap;
	/* The walk: the pair before. */
	void (*see)(void *arg, uint32_t g, uint64_t place, bool first, const struct rn_column *c,
		    uint64_t row);
	void *arg;
	struct rn_rel *last;
	uint64_t place;
};

/* ---- order ---------------------------------------------------------------------------------- */

static int keys(void *arg, const struct rn_rel *block, struct rn_column **cols, struct rn_err *e)
{
	(void)arg, (void)e;
	cols[0] = rn_column_ref(block->cols[0]);
	cols[1] = rn_column_ref(block->cols[1]);
	return 0;
}

/* Equal pairs once, unless each is wanted. */
static int trim(void *arg, struct rn_column *const *cols, uint32_t *map, uint64_t *n,
		struct rn_err *e)
{
	const struct rn_values *v = arg;
	uint64_t kept = 0;

	(void)e;
	for (uint64_t i = 0; i < *n && !v->all; i++)
		if (!kept || cols[0]->i64[map[kept - 1]] != cols[0]->i64[map[i]] ||
		    rn_column_compare(cols[1], map[kept - 1], cols[1], map[i]))
			map[kept++] = map[i];
	*n = v->all ? *n : kept;
	return 0;
}

/* ---- life ---------------------------------------------------------------------------------- */

int rn_values_open(struct rn_ext *x, const struct rn_schema *schema, const char *s, size_t n,
		   uint64_t room, struct rn_values **out, struct rn_err *e)
{
	struct rn_values *v;
	char *text;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *v, "values", &v, e));
	v->conf = (struct rn_runs_conf){ .order = { .keys = keys, .arg = v, .n = 2 }, .room = room,
					 .trim = trim };
	text = strndup(s, n);
	rc = text ? rn_cexpr_parse(text, schema, &v->expr, e) : rn_err_nomem(e, n + 1, "an aggregate");
	free(text);
	if (!rc)
		rc = rn_runs_open(x, &v->conf, &v->runs, e);
	if (rc)
		rn_values_close(v);
	else
		*out = v;
	return rc;
}

void rn_values_close(struct rn_values *v)
{
	if (!v)
		return;
	rn_runs_close(v->runs);
	rn_rel_unref(v->last);
	rn_cexpr_free(v->expr);
	free(v->count);
	free(v);
}

void rn_values_want_all(struct rn_values *v)
{
	v->all = true;
}

uint64_t rn_values_count(const struct rn_values *v, uint32_t g)
{
	return g < v->count_cap ? v->count[g] : 0;
}

/* ---- in ------------------------------------------------------------------------------------- */

static int count_value(struct rn_values *v, uint32_t g, struct rn_err *e)
{
	size_t had = v->count_cap;

	if (g >= had) {
		RN_TRY(rn_grow(&v->count, &v->count_cap, (size_t)g + 1, sizeof *v->count, "groups", e));
		memset(v->count + had, 0, (v->count_cap - had) * sizeof *v->count);
	}
	v->count[g]++;
	return 0;
}

/* Pairs of the n values of c at `map`, *out owned. */
static int make_pairs(const struct rn_column *c, const uint32_t *map, uint64_t n,
		      const uint32_t *of, struct rn_rel **out, struct rn_err *e)
{
	struct rn_column *g, *values;
	struct rn_rel *r;
	int rc;

	RN_TRY(rn_rel_new(NULL, n, &r, e));
	RN_GOTO(fail, rn_column_new(RN_INT64, n, &g, e));
	for (uint64_t i = 0; i < n; i++)
		g->i64[i] = of[map[i]];
	RN_GOTO(fail, rn_rel_add_col(r, "group", NULL, g, e));
	RN_GOTO(fail, rn_column_gather(c, map, n, &values, e));
	RN_GOTO(fail, rn_rel_add_col(r, "value", NULL, values, e));
	*out = r;
	return 0;
fail:
	rn_rel_unref(r);
	return rc;
}

int rn_values_add(struct rn_values *v, const struct rn_rel *r, const uint32_t *of, struct rn_err *e)
{
	struct rn_column *c = NULL;
	struct rn_rel *pairs;
	uint32_t *map = NULL;
	uint64_t n = 0;
	int rc;

	RN_GOTO(out, rn_cexpr_eval(v->expr, r, &c, e));
	RN_GOTO(out, rn_calloc(r->rows, sizeof *map, "values", &map, e));
	for (uint64_t i = 0; i < r->rows; i++) {
		if (rn_column_is_null(c, i))
			continue;
		RN_GOTO(out, count_value(v, of[i], e));
		map[n++] = (uint32_t)i;
	}
	RN_GOTO(out, make_pairs(c, map, n, of, &pairs, e));
	rc = rn_runs_add(v->runs, pairs, e);
	rn_rel_unref(pairs);
out:
	rn_column_unref(c);
	free(map);
	return rc;
}

/* ---- out ------------------------------------------------------------------------------------ */

static int walk_block(void *arg, const struct rn_rel *r, struct rn_err *e)
{
	struct rn_values *v = arg;

	for (uint64_t i = 0; i < r->rows; i++) {
		const struct rn_rel *before = i ? r : v->last;
		uint64_t at = i ? i - 1 : before ? before->rows - 1 : 0;
		bool known = before && before->cols[0]->i64[at] == r->cols[0]->i64[i];

		v->place = known ? v->place + 1 : 0;
		v->see(v->arg, (uint32_t)r->cols[0]->i64[i], v->place,
		       !known || rn_column_compare(before->cols[1], at, r->cols[1], i), r->cols[1], i);
	}
	if (!r->rows)
		return 0;
	rn_rel_unref(v->last);
	v->last = NULL;
	return rn_rel_slice(r, r->rows - 1, 1, &v->last, e);
}

int rn_values_walk(struct rn_values *v,
		   void (*see)(void *arg, uint32_t g, uint64_t place, bool first,
			       const struct rn_column *c, uint64_t row),
		   void *arg, struct rn_err *e)
{
	v->see = see;
	v->arg = arg;
	return rn_runs_end(v->runs, walk_block, v, e);
}
