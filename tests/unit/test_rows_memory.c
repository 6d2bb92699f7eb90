/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys, joins, orders and gathers of more rows than one thread does alone: what they do
 * without memory, and that they take no more than key.h says.
 */
#define ALLOC_ANY_THREAD
#include "alloc.h"
#include "rows_gen.h"

struct work {
	struct rn_column *cols[3], *right;
	struct rn_key k, kr;
	struct rn_order by[2];
	const struct rn_ctx *c;
};

static int do_group(const struct work *w, struct rn_err *e)
{
	struct rn_groups g;
	int rc = rn_group(w->c, &w->k, &g, e);

	if (!rc)
		rn_groups_fini(&g);
	return rc;
}

static int do_index(const struct work *w, struct rn_err *e)
{
	struct rn_hash_index *x;
	int rc = rn_hash_index_new(w->c, &w->k, &x, e);

	if (!rc)
		rn_hash_index_free(x);
	return rc;
}

static uint64_t joined; /* rows of the last join */

static int do_join(const struct work *w, struct rn_err *e)
{
	struct rn_join_result r = { 0 };
	struct rn_hash_index *x;
	int rc = rn_hash_index_new(w->c, &w->kr, &x, e);

	if (rc)
		return rc;
	rc = rn_join(w->c, &w->k, &w->kr, x, RN_JOIN_FULL, &r, e);
	joined = r.rows;
	rn_join_result_fini(&r);
	rn_hash_index_free(x);
	return rc;
}

static int do_asof(const struct work *w, struct rn_err *e)
{
	struct rn_join_result r = { 0 };
	struct rn_join_order *t = NULL;
	struct rn_hash_index *x;
	int rc = rn_hash_index_new(w->c, &w->k, &x, e);

	if (rc)
		return rc;
	rc = rn_join_order_new(w->c, x, w->by[1].col, &t, e);
	if (!rc)
		rc = rn_join_asof(w->c, &w->k, &w->k, x, w->by[1].col, t, true, RN_JOIN_LEFT, &r, e);
	rn_join_order_free(t);
	rn_join_result_fini(&r);
	rn_hash_index_free(x);
	return rc;
}

static int do_order(const struct work *w, struct rn_err *e)
{
	struct rn_buf *map;
	int rc = rn_order_rows_team(w->c->team, w->by, 2, MANY, &map, e);

	if (!rc)
		rn_buf_unref(map);
	return rc;
}

static int do_gather(const struct work *w, struct rn_err *e)
{
	struct rn_column *c;
	struct rn_buf *map;
	int rc = rn_order_rows_team(w->c->team, w->by, 1, MANY, &map, e);

	if (rc)
		return rc;
	rc = rn_column_gather_team(w->c->team, w->cols[2], map->data, MANY, &c, e);
	if (!rc)
		rn_column_unref(c);
	rn_buf_unref(map);
	return rc;
}

static const struct {
	const char *name;
	int (*run)(const struct work *w, struct rn_err *e);
} works[] = {
	{ "group", do_group }, { "index", do_index }, { "join", do_join },
	{ "asof", do_asof },   { "order", do_order }, { "gather", do_gather },
};

static void fail_each(const struct work *w, size_t i)
{
	long n, k, step = 1, bad = 0, leaks = 0;
	int rc;

	for (n = k = 0; k <= n; k += step) {
		long before = alloc_live();

		alloc_fail((uint64_t)k, false);
		rc = works[i].run(w, &err);
		alloc_stop();
		if (!k) { /* nothing failed: this counts */
			n = (long)alloc_calls();
			step = n / 12 + 1;
			k = 1 - step;
			bad += rc != 0;
			continue;
		}
		bad += rc && rc != RN_ENOMEM;
		leaks += alloc_live() != before;
	}
	T_OK(!bad && !leaks && n, "%s: of %ld allocations every %ldth failed: %ld other errors, %ld leaks",
	     works[i].name, n, step, bad, leaks);
}

static long peak_of(const struct work *w, size_t i)
{
	alloc_peak();
	T_CALL(works[i].run(w, &err), &err);
	return alloc_peak();
}

static void test_memory(void)
{
	static const enum kind kinds[] = { DENSE, TEXT, FAR, UNIQUE, SAME };

	for (size_t q = 0; q < sizeof kinds / sizeof *kinds; q++) {
		struct work w = { .c = &ctxs[1] };
		uint64_t keys, index;
		struct rn_buf *first;

		w.cols[0] = column(kinds[q], MANY, kinds[q] == UNIQUE ? 0 : 10);
		w.cols[1] = column(REAL, MANY, 10);
		w.cols[2] = column(TEXT, MANY, 10);
		w.right = column(kinds[q], kinds[q] == SAME ? 9 : SMALL, 0);
		w.k = (struct rn_key){ .n = 1, .cols = w.cols, .rows = MANY };
		w.kr = (struct rn_key){ .n = 1, .cols = &w.right, .rows = w.right->rows };
		w.by[0] = (struct rn_order){ .col = w.cols[0] };
		w.by[1] = (struct rn_order){ .col = w.cols[1], .desc = true };
		T_CALL(rn_distinct(w.c, &w.k, &keys, &first, &err), &err);
		rn_buf_unref(first);
		for (size_t i = 0; i < sizeof works / sizeof *works && q < 2; i++)
			fail_each(&w, i);
		index = rn_hash_index_bytes(MANY, keys);
		T_CALL(do_join(&w, &err), &err); /* two large buffers, each aligned to 2 MiB */
		T_OK(peak_of(&w, 0) <= (long)rn_group_bytes(MANY, keys),
		     "groups of %s keys take %ld bytes of %ld",
		     kind_names[kinds[q]], peak_of(&w, 0), (long)rn_group_bytes(MANY, keys));
		T_OK(peak_of(&w, 1) <= (long)index, "an index of %s keys takes %ld bytes of %ld",
		     kind_names[kinds[q]], peak_of(&w, 1), (long)index);
		T_OK(peak_of(&w, 2) <= (long)(rn_hash_index_bytes(w.kr.rows, w.kr.rows) +
					      rn_join_bytes(MANY, w.kr.rows, joined) + (8 << 20)),
		     "a join to %ld rows takes %ld bytes of %ld", (long)joined, peak_of(&w, 2),
		     (long)(rn_hash_index_bytes(w.kr.rows, w.kr.rows) +
			    rn_join_bytes(MANY, w.kr.rows, joined)));
		T_OK(peak_of(&w, 4) <= (long)rn_order_bytes(MANY), "an order takes %ld bytes of %ld",
		     peak_of(&w, 4), (long)rn_order_bytes(MANY));
		for (size_t c = 0; c < 3; c++)
			rn_column_unref(w.cols[c]);
		rn_column_unref(w.right);
	}
}

int main(void)
{
	teams_open();
	test_memory();
	teams_close();
	return t_done();
}
