/* SPDX-License-Identifier: Apache-2.0
 *
 * Joins and groups of random inputs against nested loops, and the rules about
 * NULL, zero, big integers, order and limits.
 */
#include "../../lib/rel/key.h"
#include "t.h"

enum { MAXC = 3 };

static struct rn_err err;
static struct rn_ctx ctx = { .threads = 1 };

static unsigned long long state = 11;

static unsigned rnd(unsigned n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(state >> 33) % n;
}

/* ---- random keys ---------------------------------------------------------------- */

enum domain {
	SMALL,  /* int64 in -4…4 */
	WIDE,   /* int64 all over its range, with neighbours that no double tells apart */
	FLOAT,  /* small halves, both zeros */
	HUGE,   /* float64 at the ends of int64 and beyond */
	FLAG,   /* bool */
	TEXT,   /* short strings, with zero bytes */
	TIME,   /* timestamps */
	SPARSE, /* int64 in steps of 2^33 */
	NDOMAINS
};

static enum rn_type type_of(enum domain d)
{
	static const enum rn_type types[] = { RN_INT64, RN_INT64,  RN_FLOAT64,   RN_FLOAT64,
					      RN_BOOL,  RN_STRING, RN_TIMESTAMP, RN_INT64 };
	return types[d];
}

static int64_t random_int(enum domain d)
{
	static const int64_t wide[] = { INT64_MIN, INT64_MIN + 1, -1, 0, 1, (1ll << 53) - 1,
					1ll << 53, (1ll << 53) + 1, (1ll << 53) + 2, INT64_MAX - 1,
					INT64_MAX, 1ll << 62 };

	if (d == WIDE)
		return wide[rnd(12)];
	return d == SPARSE ? (int64_t)rnd(9) << 33 : (int64_t)rnd(9) - 4;
}

static double random_float(enum domain d)
{
	static const double huge[] = { -0x1p63, -0x1p63 - 4096, 0x1p63, 0x1p53, 0x1p53 + 2, 1e300,
				       -1e-300, 0.5, 0, -0.0, -1,
				       0x1p62 };

	return d == HUGE ? huge[rnd(12)] : rnd(10) == 9 ? -0.0 : (rnd(17) - 8.0) / 2;
}

static struct rn_column *random_column(enum domain d, uint64_t rows, unsigned nulls)
{
	struct rn_column *c = NULL;
	enum rn_type t = type_of(d);
	uint64_t at = 0;

	if (t == RN_STRING)
		T_CALL(rn_column_new_string(rows, 2 * rows, &c, &err), &err);
	else
		T_CALL(rn_column_new(t, rows, &c, &err), &err);
	for (uint64_t i = 0; i < rows; i++) {
		bool null = rnd(100) < nulls;

		if (null) {
			T_CALL(rn_column_need_null(c, &err), &err);
			c->null[i] = 1;
			c->nulls++;
		}
		if (t == RN_FLOAT64)
			c->f64[i] = null ? 0 : random_float(d);
		else if (t == RN_BOOL)
			c->b[i] = !null && rnd(2);
		else if (t != RN_STRING)
			c->i64[i] = null ? 0 : random_int(d);
		else {
			c->off[i] = at;
			for (unsigned n = null ? 0 : rnd(3); n; n--)
				c->bytes[at++] = "a\0"[rnd(2)];
		}
	}
	if (t == RN_STRING)
		c->off[rows] = at;
	return c;
}

struct input {
	struct rn_column *cols[MAXC];
	struct rn_key k;
};

static void new_input(struct input *in, const enum domain *d, size_t n, uint64_t rows,
		      unsigned nulls)
{
	for (size_t c = 0; c < n; c++)
		in->cols[c] = random_column(d[c], rows, nulls);
	in->k = (struct rn_key){ .n = n, .cols = in->cols, .rows = rows };
}

static void free_input(struct input *in)
{
	for (size_t c = 0; c < in->k.n; c++)
		rn_column_unref(in->cols[c]);
}

/* ---- the reference ---------------------------------------------------------------- */

static bool has_null(const struct rn_key *k, uint64_t i)
{
	for (size_t c = 0; c < k->n; c++)
		if (rn_column_is_null(k->cols[c], i))
			return true;
	return false;
}

/* A long double holds every int64 and every double exactly. */
static long double number(const struct rn_column *c, uint64_t i)
{
	return c->type == RN_FLOAT64 ? (long double)c->f64[i] : (long double)c->i64[i];
}

static bool equal(const struct rn_key *a, uint64_t i, const struct rn_key *b, uint64_t j)
{
	for (size_t c = 0; c < a->n; c++) {
		const struct rn_column *x = a->cols[c], *y = b->cols[c];
		bool nx = rn_column_is_null(x, i), ny = rn_column_is_null(y, j);

		if (nx || ny) {
			if (nx != ny)
				return false;
		} else if (x->type == RN_STRING) {
			size_t n = x->off[i + 1] - x->off[i];

			if (n != y->off[j + 1] - y->off[j] ||
			    memcmp(x->bytes + x->off[i], y->bytes + y->off[j], n) != 0)
				return false;
		} else if (x->type == RN_BOOL) {
			if (x->b[i] != y->b[j])
				return false;
		} else if (number(x, i) != number(y, j)) {
			return false;
		}
	}
	return true;
}

static bool meets(const struct rn_key *a, uint64_t i, const struct rn_key *b, uint64_t j)
{
	return !has_null(a, i) && equal(a, i, b, j);
}

/* ---- joins ---------------------------------------------------------------------------- */

static bool row_is(const struct rn_join_result *r, uint64_t at, uint32_t left, uint32_t right)
{
	return at < r->rows && ((uint32_t *)r->left->data)[at] == left &&
	       (!r->right || ((uint32_t *)r->right->data)[at] == right);
}

/* Does r hold just the rows of nested loops, in their order? */
static bool join_is(const struct rn_join_result *r, const struct rn_key *a, const struct rn_key *b,
		    enum rn_join_kind kind)
{
	uint64_t at = 0, misses = 0, lnull = 0, rnull = 0;
	bool ok = true;

	for (uint64_t i = 0; i < a->rows; i++) {
		uint64_t hits = 0;

		for (uint64_t j = 0; j < b->rows; j++) {
			if (!meets(a, i, b, j))
				continue;
			hits++;
			if (kind == RN_JOIN_INNER || kind == RN_JOIN_LEFT)
				ok = ok && row_is(r, at++, (uint32_t)i, (uint32_t)j);
		}
		misses += !hits;
		lnull += has_null(a, i);
		if (kind == RN_JOIN_LEFT ? !hits : kind == RN_JOIN_SEMI ? hits > 0 :
		    kind == RN_JOIN_ANTI && !hits)
			ok = ok && row_is(r, at++, (uint32_t)i, RN_NO_ROW);
	}
	for (uint64_t j = 0; j < b->rows; j++)
		rnull += has_null(b, j);
	return ok && at == r->rows && r->left_unmatched == misses && r->left_null == lnull &&
	       r->right_null == rnull && !r->right == (kind > RN_JOIN_LEFT);
}

static bool check_joins(const struct rn_key *a, const struct rn_key *b)
{
	struct rn_hash_index *x = NULL;
	bool ok = true;

	T_CALL(rn_hash_index_new(&ctx, b, &x, &err), &err);
	for (int kind = RN_JOIN_INNER; kind <= RN_JOIN_ANTI; kind++) {
		struct rn_join_result r;

		T_CALL(rn_join(&ctx, a, b, x, (enum rn_join_kind)kind, &r, &err), &err);
		ok = ok && join_is(&r, a, b, (enum rn_join_kind)kind);
		rn_join_result_fini(&r);
	}
	rn_hash_index_free(x);
	return ok;
}

/* ---- groups --------------------------------------------------------------------------- */

/* Do ptr and rows hold the rows of each group of `of`, ascending? */
static bool csr_is(const struct rn_groups *g, uint64_t rows)
{
	const uint32_t *list = g->rows ? g->rows->data : NULL;
	const uint32_t *of = g->of->data, *ptr = g->ptr->data;
	uint64_t in = 0;

	for (uint64_t i = 0; i < rows; i++)
		in += of[i] != RN_NO_ROW;
	if (ptr[0] != 0 || ptr[g->n] != in || g->dropped != rows - in)
		return false;
	for (uint64_t k = 0; k < g->n; k++)
		for (uint32_t j = ptr[k]; j < ptr[k + 1]; j++) {
			uint32_t row = list ? list[j] : j;

			if (of[row] != k || (j > ptr[k] && list && list[j - 1] >= row))
				return false;
		}
	return true;
}

static bool check_groups(const struct rn_key *k)
{
	struct rn_groups g;
	uint32_t dup, want_dup = RN_NO_ROW, n = 0;
	bool ok;

	T_CALL(rn_group(&ctx, k, &g, &err), &err);
	T_CALL(rn_key_unique(&ctx, k, &dup, &err), &err);
	ok = csr_is(&g, k->rows);
	for (uint64_t i = 0; i < k->rows; i++) {
		uint64_t j = 0;

		while (!equal(k, j, k, i))
			j++;
		if (j == i) {
			ok = ok && n < g.n && ((uint32_t *)g.first->data)[n] == i;
			ok = ok && ((uint32_t *)g.of->data)[i] == n++;
			continue;
		}
		ok = ok && ((uint32_t *)g.of->data)[i] == ((uint32_t *)g.of->data)[j];
		if (want_dup == RN_NO_ROW)
			want_dup = (uint32_t)i;
	}
	ok = ok && n == g.n && dup == want_dup;
	rn_groups_fini(&g);
	return ok;
}

static bool check_group_keys(const struct rn_key *k, const struct rn_key *keys)
{
	struct rn_groups g;
	uint32_t n = 0;
	bool ok;

	T_CALL(rn_group_keys(&ctx, k, keys, &g, &err), &err);
	ok = csr_is(&g, k->rows);
	for (uint64_t i = 0; i < keys->rows; i++) {
		uint64_t j = 0;

		while (!equal(keys, j, keys, i))
			j++;
		if (j < i)
			continue;
		ok = ok && n < g.n && ((uint32_t *)g.first->data)[n++] == i;
	}
	ok = ok && n == g.n;
	for (uint64_t i = 0; ok && i < k->rows; i++) {
		uint32_t want = 0;

		while (want < n && !equal(keys, ((uint32_t *)g.first->data)[want], k, i))
			want++;
		ok = ((uint32_t *)g.of->data)[i] == (want < n ? want : RN_NO_ROW);
	}
	rn_groups_fini(&g);
	return ok;
}

static bool check_pair(const enum domain *da, const enum domain *db, size_t n, uint64_t ra,
		       uint64_t rb, unsigned nulls)
{
	struct input a, b;
	bool ok;

	new_input(&a, da, n, ra, nulls);
	new_input(&b, db, n, rb, nulls);
	ok = check_joins(&a.k, &b.k);
	ok = check_groups(&a.k) && ok;
	ok = check_group_keys(&a.k, &b.k) && ok;
	free_input(&a);
	free_input(&b);
	return ok;
}

static void test_random(void)
{
	static const char *const names[] = { "small", "wide", "float", "huge",
					     "flag",  "text", "time",  "sparse" };
	static const uint64_t sizes[][2] = { { 0, 0 }, { 0, 7 }, { 7, 0 }, { 1, 1 },
					     { 40, 25 }, { 25, 40 }, { 3, 1100 }, { 1100, 3 } };

	for (int d = 0; d < NDOMAINS; d++)
		for (int f = 0; f < NDOMAINS; f++) {
			enum domain a[] = { (enum domain)d }, b[] = { (enum domain)f };
			bool ok = true;

			if (rn_key_types_meet(type_of(a[0]), "a", type_of(b[0]), "b", NULL))
				continue;
			for (size_t s = 0; s < 3 * sizeof sizes / sizeof *sizes; s++)
				ok = check_pair(a, b, 1, sizes[s / 3][0], sizes[s / 3][1],
						(unsigned)s % 3 * 20) &&
				     ok;
			T_OK(ok, "keys of %s against %s", names[d], names[f]);
		}
	for (int round = 0; round < 60; round++) {
		enum domain a[MAXC], b[MAXC];
		size_t n = 2 + rnd(2);

		for (size_t c = 0; c < n; c++) {
			a[c] = (enum domain)rnd(NDOMAINS);
			do
				b[c] = (enum domain)rnd(NDOMAINS);
			while (rn_key_types_meet(type_of(a[c]), "a", type_of(b[c]), "b", NULL));
		}
		T_OK(check_pair(a, b, n, rnd(60), rnd(60), rnd(3) * 20),
		     "keys of %d columns, round %d", (int)n, round);
	}
}

/* ---- single rules ------------------------------------------------------------------------ */

static struct rn_column *ints(const int64_t *v, uint64_t n)
{
	struct rn_column *c = NULL;

	T_CALL(rn_column_new(RN_INT64, n, &c, &err), &err);
	memcpy(c->i64, v, n * sizeof *v);
	return c;
}

/* Keys that need the table to grow, each three times: 0, 1, … and then twice again. */
static void test_many(uint64_t step, const char *what)
{
	enum { N = 20000 };
	struct rn_column *c = NULL;
	struct rn_key k = { .n = 1, .cols = &c, .rows = 3 * N };
	struct rn_hash_index *x = NULL;
	struct rn_join_result r;
	struct rn_groups g;
	bool ok = true;

	T_CALL(rn_column_new(RN_INT64, 3 * N, &c, &err), &err);
	for (uint64_t i = 0; i < 3 * N; i++)
		c->i64[i] = (int64_t)(i % N * step);
	T_CALL(rn_group(&ctx, &k, &g, &err), &err);
	ok = g.n == N && csr_is(&g, k.rows);
	for (uint32_t i = 0; i < 3 * N; i++)
		ok = ok && ((uint32_t *)g.of->data)[i] == i % N;
	T_CALL(rn_hash_index_new(&ctx, &k, &x, &err), &err);
	T_CALL(rn_join(&ctx, &k, &k, x, RN_JOIN_INNER, &r, &err), &err);
	ok = ok && r.rows == 9 * N;
	for (uint32_t i = 0; ok && i < 9 * N; i++)
		ok = row_is(&r, i, i / 3, i / 3 % N + i % 3 * N);
	T_OK(ok, "%d keys %s", N, what);
	rn_join_result_fini(&r);
	rn_hash_index_free(x);
	rn_groups_fini(&g);
	rn_column_unref(c);
}

/* All pairs: a key of no columns is equal everywhere. */
static int product(const struct rn_ctx *c, uint64_t nleft, uint64_t nright, struct rn_join_result *out)
{
	struct rn_key left = { .rows = nleft }, right = { .rows = nright };
	struct rn_hash_index *x;
	int rc = rn_hash_index_new(&ctx, &right, &x, &err);

	if (!rc) {
		rc = rn_join(c, &left, &right, x, RN_JOIN_INNER, out, &err);
		rn_hash_index_free(x);
	}
	return rc;
}

static void test_refusal(void)
{
	static const int64_t a[] = { 1, 5, 5, 5, 2 }, b[] = { 5, 2, 5, 1, 5, 5 };
	const char *names[] = { "src" };
	struct rn_column *ca = ints(a, 5), *cb = ints(b, 6);
	struct rn_key ka = { .n = 1, .cols = &ca, .rows = 5, .names = names };
	struct rn_key kb = { .n = 1, .cols = &cb, .rows = 6 };
	struct rn_ctx tight = { .threads = 1, .mem_limit = 14 * 8 - 1 };
	struct rn_hash_index *x = NULL;
	struct rn_join_result r;

	T_CALL(rn_hash_index_new(&tight, &kb, &x, &err), &err);
	T_OK(rn_join(&tight, &ka, &kb, x, RN_JOIN_INNER, &r, &err) == RN_ENOMEM,
	     "a join above the memory limit is refused");
	T_OK(!strcmp(err.msg,
		     "joining 5 with 6 rows gives 14 rows, whose row numbers take 112 bytes, more "
		     "than the memory limit of 111; src=5 alone gives 12 (3 left with 4 right "
		     "rows)"),
	     "%s", err.msg);
	tight.mem_limit++;
	T_OK(!rn_join(&tight, &ka, &kb, x, RN_JOIN_INNER, &r, &err) && r.rows == 14,
	     "a join at the memory limit is not");
	rn_join_result_fini(&r);
	T_OK(product(&tight, 3, 5, &r) == RN_ENOMEM && strstr(err.msg, "15 rows"),
	     "nor is a product above it made: %s", err.msg);
	T_OK(product(&ctx, 1u << 17, 1u << 16, &r) == RN_ENOMEM &&
		     strstr(err.msg, "8589934592 rows, more than 4294967294"),
	     "more rows than a row map can number: %s", err.msg);
	rn_hash_index_free(x);
	rn_column_unref(ca);
	rn_column_unref(cb);
}

/* Every pair whose sum of row numbers is even; arg counts the calls, and from -1 is an error. */
static int even_pairs(void *arg, const uint32_t *left, const uint32_t *right, size_t n,
		      uint8_t *keep, struct rn_err *e)
{
	int *calls = arg;

	if (*calls < 0)
		return rn_err_set(e, RN_EDATA, "asked");
	++*calls;
	for (size_t i = 0; i < n; i++)
		keep[i] = (left[i] + right[i]) % 2 == 0;
	return 0;
}

/* More candidates than a batch holds, also of one left row. */
static void test_batches(void)
{
	enum { L = 3, R = 40000 };
	struct rn_column *ca = ints((const int64_t[]){ 7, 8, 7 }, L), *cb = NULL;
	struct rn_key ka = { .n = 1, .cols = &ca, .rows = L }, kb = { .n = 1, .cols = &cb, .rows = R };
	struct rn_ctx tight = { .threads = 1, .mem_limit = 8 * (R + 1) };
	struct rn_hash_index *x = NULL;
	struct rn_join_result r;
	int calls = 0, bad = -1;
	struct rn_pair_test test = { .keep = even_pairs, .arg = &calls };
	struct rn_pair_test fails = { .keep = even_pairs, .arg = &bad };
	bool ok;

	T_CALL(rn_column_new(RN_INT64, R, &cb, &err), &err);
	for (int i = 0; i < R; i++)
		cb->i64[i] = 7;
	T_CALL(rn_hash_index_new(&ctx, &kb, &x, &err), &err);
	T_CALL(rn_join_if(&tight, &ka, &kb, x, RN_JOIN_LEFT, &test, &r, &err), &err);
	ok = r.rows == R + 1 && row_is(&r, R / 2, 1, RN_NO_ROW);
	for (uint32_t i = 0; ok && i < R / 2; i++)
		ok = row_is(&r, i, 0, 2 * i) && row_is(&r, R / 2 + 1 + i, 2, 2 * i);
	T_OK(ok && r.left_unmatched == 1 && calls == 5, "a condition in %d batches", calls);
	rn_join_result_fini(&r);
	T_CALL(rn_join_if(&ctx, &ka, &kb, x, RN_JOIN_FULL, &test, &r, &err), &err);
	ok = r.rows == R + 1 + R / 2 && r.right_unmatched == R / 2;
	for (uint32_t i = 0; ok && i < R / 2; i++)
		ok = row_is(&r, R + 1 + i, RN_NO_ROW, 2 * i + 1);
	T_OK(ok, "right rows that fail it everywhere are unmatched");
	rn_join_result_fini(&r);
	tight.mem_limit--;
	T_OK(rn_join_if(&tight, &ka, &kb, x, RN_JOIN_LEFT, &test, &r, &err) == RN_ENOMEM &&
		     strstr(err.msg, "gives at least 40001 rows"),
	     "above the limit: %s", err.msg);
	T_OK(rn_join_if(&ctx, &ka, &kb, x, RN_JOIN_ANTI, &fails, &r, &err) == RN_EDATA,
	     "a condition that fails");
	rn_hash_index_free(x);
	rn_column_unref(ca);
	rn_column_unref(cb);
}

struct partner {
	uint32_t first; /* the right rows from here on are partners of the first left row */
	uint64_t asked; /* pairs */
};

static int late_partner(void *arg, const uint32_t *left, const uint32_t *right, size_t n,
			uint8_t *keep, struct rn_err *e)
{
	struct partner *p = arg;

	(void)e;
	for (size_t i = 0; i < n; i++)
		keep[i] = !left[i] && right[i] >= p->first;
	p->asked += n;
	return 0;
}

/* Semi and anti joins ask for a partner until there is one, and about no pair twice. */
static void test_seek(void)
{
	enum { L = 9000, R = 30000 };
	static const uint32_t firsts[] = { 0, 7, 8, 5000, R - 1, R };
	struct rn_column *ca = NULL, *cb = NULL;
	struct rn_key ka = { .n = 1, .cols = &ca, .rows = L }, kb = { .n = 1, .cols = &cb, .rows = R };
	struct rn_hash_index *x = NULL;

	T_CALL(rn_column_new(RN_INT64, L, &ca, &err), &err);
	T_CALL(rn_column_new(RN_INT64, R, &cb, &err), &err);
	ca->i64[L - 1] = 1; /* of 30 rows, the others have the key 0 or none */
	for (int i = 1; i < L - 1; i++)
		ca->i64[i] = 2;
	for (int i = 0; i < 30; i++)
		cb->i64[i * 1000] = 1;
	T_CALL(rn_hash_index_new(&ctx, &kb, &x, &err), &err);
	for (size_t k = 0; k < sizeof firsts / sizeof *firsts; k++) {
		struct partner p = { .first = firsts[k] };
		struct rn_pair_test test = { .keep = late_partner, .arg = &p };
		bool found = firsts[k] < R;
		struct rn_join_result r;

		T_CALL(rn_join_if(&ctx, &ka, &kb, x, RN_JOIN_SEMI, &test, &r, &err), &err);
		T_OK(r.rows == found && (!found || ((uint32_t *)r.left->data)[0] == 0) &&
			     r.left_unmatched == (uint64_t)L - found,
		     "semi: the first partner is row %u", firsts[k]);
		T_OK(p.asked <= 30 + 16 + 4 * (uint64_t)firsts[k] && p.asked <= R,
		     "%llu pairs were tested", (unsigned long long)p.asked);
		rn_join_result_fini(&r);
		T_CALL(rn_join_if(&ctx, &ka, &kb, x, RN_JOIN_ANTI, &test, &r, &err), &err);
		T_OK(r.rows == (uint64_t)L - found && ((uint32_t *)r.left->data)[r.rows - 1] == L - 1 &&
			     ((uint32_t *)r.left->data)[0] == found,
		     "anti: %llu rows", (unsigned long long)r.rows);
		rn_join_result_fini(&r);
	}
	rn_hash_index_free(x);
	rn_column_unref(ca);
	rn_column_unref(cb);
}

/* Strings that share their first eight bytes, among equal ones and NULLs. */
static void test_order(void)
{
	static const char *const words[] = { "aaaaaaaa", "aaaaaaaab", "aaaaaaaa\0", "aaaaaaaaab",
					     "aaaaaaa", "", "b", "aaaaaaaabc" };
	enum { N = 500 };
	struct rn_column *c = NULL;
	uint64_t at = 0;

	T_CALL(rn_column_new_string(N, 10 * N, &c, &err), &err);
	T_CALL(rn_column_need_null(c, &err), &err);
	for (int i = 0; i < N; i++) {
		unsigned w = rnd(9);
		size_t n = w == 8 ? 0 : strlen(words[w]) + (w == 2);

		c->null[i] = w == 8;
		c->nulls += w == 8;
		if (n)
			memcpy(c->bytes + at, words[w], n);
		at += n;
		c->off[i + 1] = at;
	}
	for (int desc = 0; desc < 2; desc++) {
		struct rn_buf *map = NULL;
		bool ok = true;

		T_CALL(rn_order_rows(&(struct rn_order){ c, desc }, 1, N, &map, &err), &err);
		for (int i = 1; i < N; i++) {
			const uint32_t *m = map->data;
			uint32_t a = m[i - 1], b = m[i];
			int d = c->null[a] || c->null[b] ? c->null[b] - c->null[a] :
							  rn_column_compare(c, a, c, b);

			ok = ok && (d == 0 ? a < b : desc ? d > 0 : d < 0);
		}
		T_OK(ok, "long strings in %s order, equal ones as they were", desc ? "falling" : "rising");
		rn_buf_unref(map);
	}
	rn_column_unref(c);
}

static void test_cross(void)
{
	struct rn_join_result r;
	bool ok;

	T_CALL(product(&ctx, 3, 4, &r), &err);
	ok = r.rows == 12;
	for (uint32_t i = 0; i < 12; i++)
		ok = ok && row_is(&r, i, i / 4, i % 4);
	T_OK(ok, "a product is lexicographic");
	rn_join_result_fini(&r);
	T_CALL(product(&ctx, 3, 0, &r), &err);
	T_OK(r.rows == 0 && r.left_unmatched == 3, "a product with nothing");
	rn_join_result_fini(&r);
}

static void test_no_key(void)
{
	struct rn_key k = { .rows = 3 }, none = { .rows = 0 };
	struct rn_groups g;

	T_CALL(rn_group(&ctx, &k, &g, &err), &err);
	T_OK(g.n == 1 && csr_is(&g, 3) && *(uint32_t *)g.first->data == 0, "no key: one group");
	rn_groups_fini(&g);
	T_CALL(rn_group(&ctx, &none, &g, &err), &err);
	T_OK(g.n == 1 && csr_is(&g, 0) && *(uint32_t *)g.first->data == RN_NO_ROW,
	     "also of no rows");
	rn_groups_fini(&g);
	T_OK(check_joins(&k, &k), "a join on no columns is the product");
}

static void test_identity(void)
{
	static const int64_t a[] = { 4, 4, 9, 1, 1, 1 };
	struct rn_column *c = ints(a, 6);
	struct rn_key k = { .n = 1, .cols = &c, .rows = 6 };
	struct rn_groups g;

	T_CALL(rn_group(&ctx, &k, &g, &err), &err);
	T_OK(g.n == 3 && !g.rows && csr_is(&g, 6), "clustered rows need no list");
	rn_groups_fini(&g);
	rn_column_unref(c);
}

static void test_text(void)
{
	static const int64_t a[] = { 5, -7 };
	const char *names[] = { "src", "dst" };
	struct rn_column *c[] = { ints(a, 2), NULL };
	struct rn_key k = { .n = 2, .cols = c, .rows = 2, .names = names };
	struct rn_str b = RN_STR_INIT;

	T_CALL(rn_column_new_string(2, 1, &c[1], &err), &err);
	c[1]->off[1] = c[1]->off[2] = 1;
	c[1]->bytes[0] = 'x';
	T_CALL(rn_column_need_null(c[1], &err), &err);
	c[1]->null[1] = 1;
	c[1]->nulls = 1;
	rn_key_print(&k, 0, &b);
	T_OK(!strcmp(b.s, "src=5, dst='x'"), "%s", b.s);
	rn_str_clear(&b);
	k.names = NULL;
	rn_key_print(&k, 1, &b);
	T_OK(!strcmp(b.s, "-7, NULL"), "%s", b.s);
	rn_str_fini(&b);
	T_OK(rn_key_types_meet(RN_STRING, "a", RN_INT64, "b", &err) == RN_EUSAGE &&
		     !strcmp(err.msg, "key columns 'a' (string) and 'b' (int64) do not compare: "
				      "cast one of them"),
	     "%s", err.msg);
	T_OK(!rn_key_types_meet(RN_FLOAT64, "a", RN_INT64, "b", &err), "numbers meet");
	rn_column_unref(c[0]);
	rn_column_unref(c[1]);
}

static void test_misuse(void)
{
	static const int64_t a[] = { 1, 2 };
	struct rn_column *c = ints(a, 2), *s = random_column(TEXT, 2, 0);
	struct rn_key ka = { .n = 1, .cols = &c, .rows = 2 };
	struct rn_key kb = { .n = 1, .cols = &s, .rows = 2 };
	struct rn_key k0 = { .rows = 2 };
	struct rn_hash_index *x = NULL;
	struct rn_join_result r;
	struct rn_groups g;

	T_CALL(rn_hash_index_new(&ctx, &kb, &x, &err), &err);
	T_OK(rn_join(&ctx, &ka, &kb, x, RN_JOIN_INNER, &r, &err) == RN_EBUG, "types that differ");
	T_OK(rn_group_keys(&ctx, &ka, &k0, &g, &err) == RN_EBUG, "widths that differ");
	rn_hash_index_free(x);
	rn_column_unref(c);
	rn_column_unref(s);
}

static void test_invert(void)
{
	static const uint32_t map[] = { 3, 0, RN_NO_ROW, 3, 1, 0 };
	static const uint32_t ptr[] = { 0, 2, 3, 3, 5 }, pos[] = { 1, 5, 4, 0, 3 };
	struct rn_buf *p = NULL, *q = NULL;

	T_CALL(rn_invert_map(map, 6, 4, &p, &q, &err), &err);
	T_OK(!memcmp(p->data, ptr, sizeof ptr) && q->size == sizeof pos &&
		     !memcmp(q->data, pos, sizeof pos),
	     "the inverse of a row map");
	rn_buf_unref(p);
	rn_buf_unref(q);
	T_OK(rn_invert_map(map, 6, 3, &p, &q, &err) == RN_EBUG, "a map out of range: %s", err.msg);
	T_CALL(rn_invert_map(map, 0, 0, &p, &q, &err), &err);
	T_OK(*(uint32_t *)p->data == 0 && q->size == 0, "the inverse of nothing");
	rn_buf_unref(p);
	rn_buf_unref(q);
}

int main(void)
{
	test_random();
	test_many(1, "that are dense");
	test_many(1ull << 40, "that are far apart");
	test_many(0x123456789ABCDEFu, "all over the range");
	test_refusal();
	test_batches();
	test_seek();
	test_order();
	test_cross();
	test_no_key();
	test_identity();
	test_text();
	test_misuse();
	test_invert();
	return t_done();
}
