/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys, joins, orders and gathers of more rows than one thread does alone, against
 * references that sort by comparing rows, for every number of threads: the same bits.
 * What they do without memory: test_rows_memory.c.
 */
#include "rows_gen.h"

/* ---- the references ------------------------------------------------------------------ */

static int compare_cell(const struct rn_column *a, uint64_t i, const struct rn_column *b,
			uint64_t j)
{
	bool na = rn_column_is_null(a, i), nb = rn_column_is_null(b, j);

	return na || nb ? nb - na : rn_column_compare(a, i, b, j);
}

static int compare_key(const struct rn_key *a, uint64_t i, const struct rn_key *b, uint64_t j)
{
	int d = 0;

	for (size_t c = 0; c < a->n && !d; c++)
		d = compare_cell(a->cols[c], i, b->cols[c], j);
	return d;
}

struct sorter {
	const struct rn_order *by;
	size_t n;
};
static struct sorter sorter;

static int compare_rows(const void *a, const void *b)
{
	uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;

	for (size_t c = 0; c < sorter.n; c++) {
		const struct rn_column *col = sorter.by[c].col;
		int d = compare_cell(col, i, col, j);

		if (d)
			return sorter.by[c].desc ? -d : d;
	}
	return (i > j) - (i < j);
}

static uint32_t *sorted(const struct rn_order *by, size_t n, uint64_t rows)
{
	uint32_t *map = calloc(rows + 1, sizeof *map);

	for (uint64_t i = 0; i < rows; i++)
		map[i] = (uint32_t)i;
	sorter = (struct sorter){ by, n };
	qsort(map, rows, sizeof *map, compare_rows);
	return map;
}

static uint32_t *sorted_keys(const struct rn_key *k)
{
	struct rn_order by[3];

	for (size_t c = 0; c < k->n; c++)
		by[c] = (struct rn_order){ .col = k->cols[c] };
	return sorted(by, k->n, k->rows);
}

/* ---- groups --------------------------------------------------------------------------- */

/* of[i] for every row: groups are numbered by their first rows; *n of them. */
static uint32_t *group_numbers(const struct rn_key *k, uint32_t *n)
{
	uint32_t *map = sorted_keys(k), *of = calloc(k->rows + 1, sizeof *of);

	for (uint64_t i = 0, j; i < k->rows; i = j)
		for (j = i; j < k->rows && !compare_key(k, map[i], k, map[j]); j++)
			of[map[j]] = map[i]; /* the first row, as rows of a key ascend */
	*n = 0;
	for (uint64_t i = 0; i < k->rows; i++)
		of[i] = of[i] == i ? (*n)++ : of[of[i]];
	free(map);
	return of;
}

static bool groups_are(const struct rn_groups *g, const struct rn_key *k, const uint32_t *want,
		       uint32_t n)
{
	const uint32_t *of = g->of->data, *first = g->first->data, *ptr = g->ptr->data;
	const uint32_t *rows = g->rows ? g->rows->data : NULL;
	bool ok = g->n == n && !memcmp(of, want, k->rows * sizeof *of) && ptr[n] == k->rows;
	uint32_t *next = calloc(n + 1, sizeof *next);

	for (uint32_t i = 0; ok && i < k->rows; i++) {
		uint32_t at = ptr[want[i]] + next[want[i]];

		ok = at < ptr[want[i] + 1] && (rows ? rows[at] : at) == i;
		ok = ok && (next[want[i]]++ || first[want[i]] == i);
	}
	free(next);
	return ok;
}

static bool check_group(const struct rn_key *k)
{
	uint32_t n, *want = group_numbers(k, &n), dup = 0;
	bool ok = true;

	while (dup < k->rows && dup < n && want[dup] == dup)
		dup++;
	for (int t = 0; t < TEAMS; t++) {
		struct rn_groups g;
		struct rn_buf *first;
		uint64_t distinct;
		uint32_t got;

		T_CALL(rn_group(&ctxs[t], k, &g, &err), &err);
		ok = ok && groups_are(&g, k, want, n);
		T_CALL(rn_distinct(&ctxs[t], k, &distinct, &first, &err), &err);
		ok = ok && distinct == n && !memcmp(first->data, g.first->data, n * sizeof(uint32_t));
		T_CALL(rn_key_unique(&ctxs[t], k, &got, &err), &err);
		ok = ok && got == (n == k->rows ? RN_NO_ROW : dup);
		rn_buf_unref(first);
		rn_groups_fini(&g);
	}
	free(want);
	return ok;
}

/* The groups of another relation's keys: checked against groups of both, stacked. */
static bool check_group_keys(const struct rn_key *k, const struct rn_key *keys)
{
	struct rn_column *cols[3] = { 0 };
	struct rn_key all = { .n = k->n, .cols = cols, .rows = keys->rows + k->rows };
	uint32_t n, *want, in = 0;
	bool ok = true;

	for (size_t c = 0; c < k->n; c++)
		T_CALL(rn_column_concat((struct rn_column *[]){ keys->cols[c], k->cols[c] }, 2, &cols[c],
					&err), &err);
	want = group_numbers(&all, &n);
	for (uint64_t i = 0; i < keys->rows; i++)
		in = want[i] + 1 > in ? want[i] + 1 : in;
	for (int t = 0; t < TEAMS; t++) {
		uint64_t dropped = 0;
		struct rn_groups g;

		T_CALL(rn_group_keys(&ctxs[t], k, keys, &g, &err), &err);
		ok = ok && g.n == in;
		for (uint64_t i = 0; ok && i < k->rows; i++) {
			uint32_t w = want[keys->rows + i];

			ok = ((uint32_t *)g.of->data)[i] == (w < in ? w : RN_NO_ROW);
			dropped += w >= in;
		}
		ok = ok && g.dropped == dropped && ((uint32_t *)g.ptr->data)[in] == k->rows - dropped;
		rn_groups_fini(&g);
	}
	for (size_t c = 0; c < k->n; c++)
		rn_column_unref(cols[c]);
	free(want);
	return ok;
}

/* ---- joins ----------------------------------------------------------------------------- */

static bool has_null(const struct rn_key *k, uint64_t i)
{
	for (size_t c = 0; c < k->n; c++)
		if (rn_column_is_null(k->cols[c], i))
			return true;
	return false;
}

/* The first of the sorted rows of b whose key is not below a's row i. */
static uint64_t lower_bound(const struct rn_key *a, uint64_t i, const struct rn_key *b,
			    const uint32_t *map)
{
	uint64_t lo = 0, hi = b->rows;

	while (lo < hi) {
		uint64_t mid = (lo + hi) / 2;

		if (compare_key(b, map[mid], a, i) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct pairs {
	uint32_t *left, *right;
	uint64_t n, cap, misses;
};

static void add_pair(struct pairs *p, uint32_t l, uint32_t r)
{
	if (p->n == p->cap) {
		p->cap = p->cap ? 2 * p->cap : 1024;
		p->left = realloc(p->left, p->cap * sizeof *p->left);
		p->right = realloc(p->right, p->cap * sizeof *p->right);
	}
	p->left[p->n] = l;
	p->right[p->n++] = r;
}

static struct pairs join_rows(const struct rn_key *a, const struct rn_key *b, const uint32_t *map,
			      enum rn_join_kind kind)
{
	uint8_t *met = calloc(b->rows + 1, 1);
	struct pairs p = { 0 };

	for (uint64_t i = 0; i < a->rows; i++) {
		uint64_t from = lower_bound(a, i, b, map), j = from;

		for (; !has_null(a, i) && j < b->rows && !compare_key(a, i, b, map[j]); j++) {
			met[map[j]] = 1;
			if (rn_join_pairs(kind))
				add_pair(&p, (uint32_t)i, map[j]);
		}
		p.misses += j == from;
		if (kind == RN_JOIN_SEMI ? j > from : j == from && kind != RN_JOIN_INNER)
			add_pair(&p, (uint32_t)i, RN_NO_ROW);
	}
	for (uint64_t j = 0; kind == RN_JOIN_FULL && j < b->rows; j++)
		if (!met[j])
			add_pair(&p, RN_NO_ROW, (uint32_t)j);
	free(met);
	return p;
}

static bool check_join(const struct rn_key *a, const struct rn_key *b, enum rn_join_kind from)
{
	uint32_t *map = sorted_keys(b);
	bool ok = true;

	for (int kind = from; kind <= RN_JOIN_FULL; kind++) {
		struct pairs p = join_rows(a, b, map, (enum rn_join_kind)kind);

		for (int t = 0; t < TEAMS; t++) {
			struct rn_hash_index *x = NULL;
			struct rn_join_result r;

			T_CALL(rn_hash_index_new(&ctxs[t], b, &x, &err), &err);
			T_CALL(rn_join(&ctxs[t], a, b, x, (enum rn_join_kind)kind, &r, &err), &err);
			ok = ok && r.rows == p.n && r.left_unmatched == p.misses &&
			     (!p.n || !memcmp(r.left->data, p.left, p.n * sizeof *p.left)) &&
			     (!p.n || !r.right || !memcmp(r.right->data, p.right, p.n * sizeof *p.right));
			rn_join_result_fini(&r);
			rn_hash_index_free(x);
		}
		free(p.left);
		free(p.right);
	}
	free(map);
	return ok;
}

static void test_keys(void)
{
	static const struct {
		size_t n;
		enum kind left[3], right[3];
		unsigned nulls;
	} mixes[] = {
		{ 1, { DENSE }, { DENSE }, 0 },
		{ 1, { FAR }, { FAR }, 10 },
		{ 1, { UNIQUE }, { UNIQUE }, 0 },
		{ 1, { MOST }, { UNIQUE }, 0 },
		{ 1, { SAME }, { FAR }, 0 },
		{ 1, { DENSE }, { REAL }, 5 },
		{ 1, { REAL }, { FAR }, 0 },
		{ 1, { TEXT }, { TEXT }, 20 },
		{ 1, { SORTED }, { SORTED }, 0 },
		{ 2, { DENSE, FLAG }, { DENSE, FLAG }, 30 },
		{ 3, { FAR, TEXT, REAL }, { FAR, TEXT, DENSE }, 2 },
	};

	for (size_t m = 0; m < sizeof mixes / sizeof *mixes; m++) {
		struct rn_column *a[3] = { 0 }, *b[3] = { 0 };
		struct rn_key ka = { .n = mixes[m].n, .cols = a, .rows = MANY };
		struct rn_key kb = { .n = mixes[m].n, .cols = b, .rows = SMALL };
		bool both = true;

		for (size_t c = 0; c < ka.n; c++) {
			a[c] = column(mixes[m].left[c], MANY, mixes[m].nulls);
			b[c] = column(mixes[m].right[c], SMALL, mixes[m].nulls);
			both = both && a[c]->type == b[c]->type;
		}
		T_OK(check_group(&ka), "groups of %d columns, the first %s", (int)ka.n,
		     kind_names[mixes[m].left[0]]);
		T_OK(check_join(&ka, &kb, RN_JOIN_INNER), "joins with %s", kind_names[mixes[m].right[0]]);
		T_OK(check_join(&kb, &ka, RN_JOIN_ANTI), "joins with the larger side on the right");
		if (both)
			T_OK(check_group_keys(&ka, &kb), "groups of given keys");
		for (size_t c = 0; c < ka.n; c++) {
			rn_column_unref(a[c]);
			rn_column_unref(b[c]);
		}
	}
}

/* A search that is split as the tables are: they are larger than a cache, and half of the keys
 * are missing. */
static void test_split_search(void)
{
	struct rn_column *a = column(UNIQUE, 2 * MANY, 5), *b = column(UNIQUE, MANY, 5);
	struct rn_key ka = { .n = 1, .cols = &a, .rows = 2 * MANY };
	struct rn_key kb = { .n = 1, .cols = &b, .rows = MANY };

	T_OK(check_join(&ka, &kb, RN_JOIN_INNER), "joins with tables larger than a cache");
	rn_column_unref(a);
	rn_column_unref(b);
}

/* ---- conditions ------------------------------------------------------------------------- */

/* Pairs whose sum of row numbers is even; from pair `bad` of a left row on, an error. */
static int even(void *arg, const uint32_t *left, const uint32_t *right, size_t n, uint8_t *keep,
		struct rn_err *e)
{
	const uint32_t *bad = arg;

	for (size_t i = 0; i < n; i++) {
		if (left[i] == *bad)
			return rn_err_set(e, RN_EDATA, "left row %u", left[i]);
		keep[i] = (left[i] + right[i]) % 2 == 0;
	}
	return 0;
}

static void test_conditions(void)
{
	struct rn_column *a = column(DENSE, MANY, 5), *b = column(DENSE, SMALL, 5);
	struct rn_key ka = { .n = 1, .cols = &a, .rows = MANY };
	struct rn_key kb = { .n = 1, .cols = &b, .rows = SMALL };
	uint32_t none = RN_NO_ROW, bad[2] = { MANY / 2, MANY / 3 };
	struct rn_pair_test test = { .keep = even, .arg = &none };
	struct rn_hash_index *x = NULL;

	T_CALL(rn_hash_index_new(&ctxs[1], &kb, &x, &err), &err);
	for (int kind = RN_JOIN_INNER; kind <= RN_JOIN_FULL; kind++) {
		struct rn_join_result r[2];
		bool ok = true;

		for (int t = 0; t < TEAMS; t++) {
			T_CALL(rn_join_if(&ctxs[t], &ka, &kb, x, (enum rn_join_kind)kind, &test, &r[0], &err),
			       &err);
			T_CALL(rn_join_if_shared(&ctxs[t], &ka, &kb, x, (enum rn_join_kind)kind, &test, &r[1],
						 &err), &err);
			ok = ok && r[0].rows && r[0].rows == r[1].rows &&
			     r[0].left_unmatched == r[1].left_unmatched &&
			     r[0].right_unmatched == r[1].right_unmatched &&
			     !memcmp(r[0].left->data, r[1].left->data, r[0].rows * 4) &&
			     (!r[0].right || !memcmp(r[0].right->data, r[1].right->data, r[0].rows * 4));
			rn_join_result_fini(&r[0]);
			rn_join_result_fini(&r[1]);
		}
		T_OK(ok, "a condition by parts, join kind %d", kind);
	}
	for (int t = 0; t < TEAMS; t++) {
		struct rn_ctx tight = ctxs[t];
		struct rn_err serial, parts;
		struct rn_join_result r;
		bool ok;

		tight.mem_limit = 8 * 5000;
		ok = rn_join_if(&tight, &ka, &kb, x, RN_JOIN_LEFT, &test, &r, &serial) == RN_ENOMEM &&
		     rn_join_if_shared(&tight, &ka, &kb, x, RN_JOIN_LEFT, &test, &r, &parts) == RN_ENOMEM &&
		     !strcmp(serial.msg, parts.msg);
		test.arg = &bad[t % 2];
		while (rn_column_is_null(a, bad[t % 2]) || a->i64[bad[t % 2]] < 0)
			bad[t % 2]++;
		if (rn_join_if(&ctxs[t], &ka, &kb, x, RN_JOIN_LEFT, &test, &r, &serial))
			ok = ok && rn_join_if_shared(&ctxs[t], &ka, &kb, x, RN_JOIN_LEFT, &test, &r, &parts) ==
					   RN_EDATA && !strcmp(serial.msg, parts.msg);
		else
			rn_join_result_fini(&r);
		test.arg = &none;
		T_OK(ok, "what fails fails alike on %u threads: %s", ctxs[t].threads, serial.msg);
	}
	rn_hash_index_free(x);
	rn_column_unref(a);
	rn_column_unref(b);
}

/* ---- bounds ------------------------------------------------------------------------------- */

struct bounded {
	struct rn_pair_test *test;
	uint64_t tested;
};

/* Pairs within all bounds whose sum of row numbers is not a multiple of 5. */
static int within(void *arg, const uint32_t *left, const uint32_t *right, size_t n, uint8_t *keep,
		  struct rn_err *e)
{
	struct bounded *x = arg;

	(void)e;
	for (size_t i = 0; i < n; i++) {
		keep[i] = (left[i] + right[i]) % 5 != 0 && !rn_column_is_null(x->test->by, right[i]);
		for (size_t k = 0; k < x->test->nbounds && keep[i]; k++) {
			const struct rn_pair_bound *b = &x->test->bounds[k];
			int d;

			keep[i] = !rn_column_is_null(b->left, left[i]);
			if (!keep[i])
				continue;
			d = rn_column_compare(x->test->by, right[i], b->left, left[i]);
			keep[i] = (b->above ? d > 0 : d < 0) || (b->or_equal && !d);
		}
	}
	x->tested += n;
	return 0;
}

static struct rn_column *few(uint64_t rows, unsigned values, bool real)
{
	struct rn_column *c;
	uint64_t n = 0;

	T_CALL(rn_column_new(real ? RN_FLOAT64 : RN_INT64, rows, &c, &err), &err);
	T_CALL(rn_column_need_null(c, &err), &err);
	for (uint64_t i = 0; i < rows; i++) {
		if (real)
			c->f64[i] = rnd(2 * values) / 2.0;
		else
			c->i64[i] = (int64_t)(rnd(values));
		n += c->null[i] = rnd(16) == 0;
	}
	rn_column_set_nulls(c, n);
	return c;
}

/* The same rows with bounds and without; *fewer pairs were tested. */
static bool check_bounds(enum rn_join_kind kind, bool *fewer)
{
	uint64_t nl = rnd(200), nr = rnd(200);
	unsigned keys = 1 + rnd(4), values = 1 + rnd(40);
	struct rn_column *a = few(nl, keys, false), *b = few(nr, keys, false);
	struct rn_column *by = few(nr, values, rnd(2)), *low = few(nl, values, rnd(2)),
			 *high = few(nl, values, false);
	struct rn_key ka = { .n = 1, .cols = &a, .rows = nl }, kb = { .n = 1, .cols = &b, .rows = nr };
	struct rn_pair_test test = { .by = by, .nbounds = 1 + rnd(2) }, plain;
	struct bounded x[2] = { { &test, 0 }, { &test, 0 } };
	struct rn_hash_index *index = NULL;
	struct rn_join_result r[2];
	bool ok;

	test.bounds[0] = (struct rn_pair_bound){ low, rnd(2), rnd(2) };
	test.bounds[1] = (struct rn_pair_bound){ high, !test.bounds[0].above, rnd(2) };
	test.keep = within;
	test.arg = &x[0];
	plain = (struct rn_pair_test){ .keep = within, .arg = &x[1] };
	T_CALL(rn_hash_index_new(&ctxs[0], &kb, &index, &err), &err);
	T_CALL(rn_join_if(&ctxs[0], &ka, &kb, index, kind, &test, &r[0], &err), &err);
	T_CALL(rn_join_if(&ctxs[0], &ka, &kb, index, kind, &plain, &r[1], &err), &err);
	ok = r[0].rows == r[1].rows && r[0].left_unmatched == r[1].left_unmatched &&
	     r[0].right_unmatched == r[1].right_unmatched && x[0].tested <= x[1].tested &&
	     !memcmp(r[0].left->data, r[1].left->data, r[0].rows * 4) &&
	     (!r[0].right || !memcmp(r[0].right->data, r[1].right->data, r[0].rows * 4));
	*fewer = x[0].tested < x[1].tested;
	for (int i = 0; i < 2; i++)
		rn_join_result_fini(&r[i]);
	rn_hash_index_free(index);
	for (int i = 0; i < 5; i++)
		rn_column_unref((struct rn_column *[]){ a, b, by, low, high }[i]);
	return ok;
}

static void test_bounds(void)
{
	for (int kind = RN_JOIN_INNER; kind <= RN_JOIN_FULL; kind++) {
		unsigned bad = 0, spared = 0;

		for (int i = 0; i < 300; i++) {
			bool fewer;

			bad += !check_bounds((enum rn_join_kind)kind, &fewer);
			spared += fewer;
		}
		T_OK(!bad && spared > 100, "bounds change nothing in 300 joins of kind %d, and spared tests in %u",
		     kind, spared);
	}
}

/* ---- as of ------------------------------------------------------------------------------- */

static void test_asof(void)
{
	struct rn_column *ka = column(DENSE, MANY, 5), *kb = column(DENSE, MANY, 5);
	struct rn_column *ta = column(DENSE, MANY, 5), *tb = column(REAL, MANY, 5);
	struct rn_key a = { .n = 1, .cols = &ka, .rows = MANY }, b = { .n = 1, .cols = &kb, .rows = MANY };
	struct rn_order by[2] = { { .col = kb }, { .col = tb } };
	uint32_t *map = sorted(by, 2, MANY), *want = calloc(MANY, sizeof *want);
	bool ok = true;

	for (uint64_t i = 0; i < MANY; i++) {
		want[i] = RN_NO_ROW;
		if (rn_column_is_null(ka, i) || rn_column_is_null(ta, i))
			continue;
		for (uint64_t j = lower_bound(&a, i, &b, map);
		     j < MANY && !compare_key(&a, i, &b, map[j]); j++)
			if (!rn_column_is_null(tb, map[j]) && rn_column_compare(tb, map[j], ta, i) < 0)
				want[i] = map[j];
	}
	for (int t = 0; t < TEAMS; t++) {
		struct rn_hash_index *x = NULL;
		struct rn_join_order *times = NULL;
		struct rn_join_result r;
		uint64_t at = 0;

		T_CALL(rn_hash_index_new(&ctxs[t], &b, &x, &err), &err);
		T_CALL(rn_join_order_new(&ctxs[t], x, tb, &times, &err), &err);
		T_CALL(rn_join_asof(&ctxs[t], &a, &b, x, ta, times, false, RN_JOIN_INNER, &r, &err), &err);
		for (uint32_t i = 0; ok && i < MANY; i++)
			if (want[i] != RN_NO_ROW)
				ok = at < r.rows && ((uint32_t *)r.left->data)[at] == i &&
				     ((uint32_t *)r.right->data)[at++] == want[i];
		ok = ok && at == r.rows && r.left_unmatched == MANY - at;
		rn_join_result_fini(&r);
		T_CALL(rn_join_asof(&ctxs[t], &a, &b, x, ta, times, false, RN_JOIN_LEFT, &r, &err), &err);
		ok = ok && r.rows == MANY && !memcmp(r.right->data, want, MANY * sizeof *want);
		rn_join_result_fini(&r);
		rn_join_order_free(times);
		rn_hash_index_free(x);
	}
	T_OK(ok, "as-of joins");
	free(map);
	free(want);
	rn_column_unref(ka);
	rn_column_unref(kb);
	rn_column_unref(ta);
	rn_column_unref(tb);
}

/* ---- orders and gathers -------------------------------------------------------------------- */

static bool same_column(const struct rn_column *a, const struct rn_column *b)
{
	size_t width = a->type == RN_BOOL ? 1 : 8;

	if (a->type != b->type || a->rows != b->rows || a->nulls != b->nulls || !a->null != !b->null)
		return false;
	if (a->null && memcmp(a->null, b->null, a->rows))
		return false;
	if (a->type == RN_STRING)
		return !memcmp(a->off, b->off, (a->rows + 1) * 8) &&
		       !memcmp(a->bytes, b->bytes, a->off[a->rows]);
	return !memcmp(a->mem[0]->data, b->mem[0]->data, a->rows * width);
}

/* Value by value, and by teams. */
static bool check_gather(const struct rn_column *c, const uint32_t *map, uint64_t n)
{
	struct rn_column *one = NULL, *other = NULL;
	bool ok = true;

	T_CALL(rn_column_gather(c, map, n, &one, &err), &err);
	ok = one->rows == n;
	for (uint64_t i = 0; ok && i < n; i++) {
		bool null = map[i] == RN_NO_ROW || rn_column_is_null(c, map[i]);

		ok = null == rn_column_is_null(one, i) &&
		     (null || !rn_column_compare(one, i, c, map[i]));
		if (null && one->type == RN_STRING)
			ok = ok && one->off[i] == one->off[i + 1];
		else if (null)
			ok = ok && (one->type == RN_BOOL ? !one->b[i] : !((uint64_t *)one->mem[0]->data)[i]);
	}
	for (int t = 0; t < TEAMS; t++) {
		T_CALL(rn_column_gather_team(ctxs[t].team, c, map, n, &other, &err), &err);
		ok = ok && same_column(one, other);
		rn_column_unref(other);
	}
	rn_column_unref(one);
	return ok;
}

static bool check_order(struct rn_column *const *cols, const bool *desc, size_t n, uint64_t rows)
{
	struct rn_order by[3];
	uint32_t *want;
	bool ok = true;

	for (size_t c = 0; c < n; c++)
		by[c] = (struct rn_order){ .col = cols[c], .desc = desc[c] };
	want = sorted(by, n, rows);
	for (int t = 0; t < TEAMS; t++) {
		struct rn_buf *map = NULL;

		T_CALL(rn_order_rows_team(ctxs[t].team, by, n, rows, &map, &err), &err);
		ok = ok && !memcmp(map->data, want, rows * sizeof *want);
		rn_buf_unref(map);
	}
	for (size_t c = 0; c < n; c++)
		ok = check_gather(cols[c], want, rows) && ok;
	for (uint64_t i = 0; i < rows; i += 1 + rnd(50))
		want[i] = RN_NO_ROW;
	ok = check_gather(cols[0], want, rows) && ok;
	free(want);
	return ok;
}

static void test_orders(void)
{
	for (int round = 0; round < 2 * KINDS; round++) {
		uint64_t rows = round < KINDS ? MANY : rnd(3000);
		struct rn_column *cols[3];
		size_t n = 1 + rnd(3);
		bool desc[3];
		char what[64] = "";

		for (size_t c = 0; c < n; c++) {
			enum kind k = c ? (enum kind)rnd(KINDS) : (enum kind)(round % KINDS);

			if (k == PREFIX && c) /* large */
				k = TEXT;
			cols[c] = column(k, rows, rnd(2) * 20);
			desc[c] = rnd(2);
			snprintf(what + strlen(what), sizeof what - strlen(what), " %s%s", kind_names[k],
				 desc[c] ? " desc" : "");
		}
		T_OK(check_order(cols, desc, n, rows), "%d rows by%s", (int)rows, what);
		for (size_t c = 0; c < n; c++)
			rn_column_unref(cols[c]);
	}
}

static void test_identity(void)
{
	struct rn_column *c = column(FAR, MANY, 0), *g = NULL;
	struct rn_buf *map = NULL;

	T_CALL(rn_order_rows_team(ctxs[1].team, NULL, 0, MANY, &map, &err), &err);
	T_CALL(rn_column_gather_team(ctxs[1].team, c, map->data, MANY, &g, &err), &err);
	T_OK(g == c, "the identity shares a column");
	rn_column_unref(g);
	T_CALL(rn_column_gather_team(ctxs[1].team, c, map->data, MANY - 1, &g, &err), &err);
	T_OK(g != c && g->rows == MANY - 1 && !memcmp(g->i64, c->i64, (MANY - 1) * 8),
	     "a prefix does not");
	rn_column_unref(g);
	rn_column_unref(c);
	rn_buf_unref(map);
}

int main(void)
{
	teams_open();
	test_keys();
	test_split_search();
	test_conditions();
	test_bounds();
	test_asof();
	test_orders();
	test_identity();
	teams_close();
	return t_done();
}
