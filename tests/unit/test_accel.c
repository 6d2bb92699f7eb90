/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys, joins, groups and orders with an accelerator (lib/base/accel.h): the same arrays as
 * without.  The one here does what the contract says, word by word, and checks what it is
 * given; it may decline each time, or sometimes.  That of CUDA: tests/cuda/test_rel.c.
 */
#include "rows_gen.h"

#include "../../lib/base/accel.h"

/* ---- an accelerator ---------------------------------------------------------------------- */

static struct {
	unsigned decline; /* one call of so many; 0: none, 1: all */
	unsigned calls[RN_ACCEL_OPS];
	bool bad; /* a word beyond its bits */
} asked;

static bool declines(enum rn_accel_op op)
{
	asked.calls[op]++;
	return asked.decline && rnd(asked.decline) == 0;
}

static uint64_t *words_of(const struct rn_words *w, bool may_lack)
{
	uint64_t *to = malloc((w->rows + 1) * sizeof *to);
	uint64_t top = w->bits == 64 ? UINT64_MAX : ((uint64_t)1 << w->bits) - 1;

	for (uint64_t at = 0, n; at < w->rows; at += n) {
		n = w->rows - at < 3000 ? w->rows - at : 3000;
		w->get(w->arg, at, n, to + at);
	}
	for (uint64_t i = 0; i < w->rows; i++)
		asked.bad |= may_lack ? to[i] != RN_NO_WORD && to[i] >= top : to[i] > top;
	return to;
}

struct pair {
	uint64_t word;
	uint32_t row;
};

static int by_word(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;

	return x->word != y->word ? (x->word > y->word) - (x->word < y->word) :
				    (x->row > y->row) - (x->row < y->row);
}

static struct pair *sorted(const uint64_t *word, const uint32_t *row, uint64_t n)
{
	struct pair *p = malloc((n + 1) * sizeof *p);

	for (uint64_t i = 0; i < n; i++)
		p[i] = (struct pair){ word[i], row ? row[i] : (uint32_t)i };
	qsort(p, n, sizeof *p, by_word);
	return p;
}

static bool deal(struct rn_accel *a, const uint32_t *of, uint64_t rows, uint64_t n,
		 const struct rn_accel_room *room)
{
	uint32_t *ptr, *at, total = 0;

	(void)a;
	for (uint64_t i = 0; i < rows; i++)
		total += of[i] != RN_NO_NUMBER;
	ptr = room->get(room->arg, RN_ACCEL_PTR, n + 1, sizeof *ptr);
	at = room->get(room->arg, RN_ACCEL_AT, total, sizeof *at);
	if (!ptr || !at || declines(RN_ACCEL_DEAL))
		return false;
	memset(ptr, 0, (n + 1) * sizeof *ptr);
	for (uint64_t i = 0; i < rows; i++)
		if (of[i] != RN_NO_NUMBER)
			ptr[of[i] + 1]++;
	for (uint64_t g = 0; g < n; g++)
		ptr[g + 1] += ptr[g];
	for (uint64_t i = 0; i < rows; i++)
		if (of[i] != RN_NO_NUMBER)
			at[ptr[of[i]]++] = (uint32_t)i;
	memmove(ptr + 1, ptr, n * sizeof *ptr);
	ptr[0] = 0;
	return true;
}

static bool falls(const uint32_t *of, uint64_t rows)
{
	for (uint64_t i = 1; i < rows; i++)
		if (of[i] < of[i - 1])
			return true;
	return false;
}

static bool number(struct rn_accel *a, const struct rn_words *w, uint32_t *of,
		   const struct rn_accel_room *room)
{
	uint64_t *word = words_of(w, true), *kept = NULL;
	struct pair *p = sorted(word, NULL, w->rows);
	uint32_t *first, n = 0;
	bool ok = !declines(RN_ACCEL_NUMBER);

	for (uint64_t i = 0; i < w->rows; i++)
		of[p[i].row] = p[i].word == RN_NO_WORD		 ? RN_NO_NUMBER :
			       i && p[i - 1].word == p[i].word ? of[p[i - 1].row] :
								 p[i].row;
	for (uint64_t i = 0; i < w->rows; i++)
		n += of[i] == i;
	first = room->get(room->arg, RN_ACCEL_FIRST, n, sizeof *first);
	if (room->keep_words)
		kept = room->get(room->arg, RN_ACCEL_WORDS, n, sizeof *kept);
	ok = ok && first && (kept || !room->keep_words);
	n = 0;
	for (uint64_t i = 0; ok && i < w->rows; i++) {
		if (of[i] == RN_NO_NUMBER)
			continue;
		if (of[i] == i) {
			first[n] = (uint32_t)i;
			if (kept)
				kept[n] = word[i];
			of[i] = n++;
		} else {
			of[i] = of[of[i]];
		}
	}
	if (ok && room->deal && falls(of, w->rows))
		ok = deal(a, of, w->rows, n, room);
	free(word);
	free(p);
	return ok;
}

static bool find(struct rn_accel *a, const uint64_t *set, uint64_t n, const struct rn_words *w,
		 uint32_t *of)
{
	uint64_t *word = words_of(w, true);
	struct pair *p = sorted(set, NULL, n);

	(void)a;
	for (uint64_t i = 0; i < w->rows; i++) {
		uint64_t from = 0, to = n;

		while (from < to) {
			uint64_t m = (from + to) / 2;

			if (p[m].word < word[i])
				from = m + 1;
			else
				to = m;
		}
		of[i] = from < n && p[from].word == word[i] ? p[from].row : RN_NO_NUMBER;
	}
	free(word);
	free(p);
	return !declines(RN_ACCEL_FIND);
}

static bool order(struct rn_accel *a, const struct rn_words *w, unsigned n, uint32_t *map)
{
	uint64_t rows = w->rows;
	uint64_t *key = malloc((rows + 1) * sizeof *key);

	(void)a;
	for (uint64_t i = 0; i < rows; i++)
		map[i] = (uint32_t)i;
	for (unsigned k = 0; k < n; k++) {
		uint64_t *word = words_of(&w[k], false);
		struct pair *p;

		for (uint64_t i = 0; i < rows; i++)
			key[i] = word[map[i]];
		p = sorted(key, NULL, rows);
		for (uint64_t i = 0; i < rows; i++)
			key[i] = map[p[i].row];
		for (uint64_t i = 0; i < rows; i++)
			map[i] = (uint32_t)key[i];
		free(p);
		free(word);
	}
	free(key);
	return !declines(RN_ACCEL_ORDER);
}

static struct rn_accel accel = {
	.name = "test", .always = true,
	.number = number, .find = find, .deal = deal, .order = order,
};

/* ---- with and without -------------------------------------------------------------------- */

static bool same(const struct rn_buf *a, const struct rn_buf *b)
{
	return a && b ? a->size == b->size && !memcmp(a->data, b->data, a->size) : !a && !b;
}

static struct rn_key key_of(struct rn_column **cols, size_t n)
{
	return (struct rn_key){ .n = n, .cols = cols, .rows = cols[0]->rows };
}

static bool same_groups(const struct rn_groups *a, const struct rn_groups *b)
{
	return a->n == b->n && a->dropped == b->dropped && same(a->of, b->of) &&
	       same(a->first, b->first) && same(a->ptr, b->ptr) && same(a->rows, b->rows);
}

/* Groups, and groups by the keys of another input. */
static bool check_groups(const struct rn_ctx *c, const struct rn_key *k, const struct rn_key *keys)
{
	struct rn_ctx bare = { .threads = 1 };
	struct rn_groups a, b;
	bool ok;

	T_CALL(rn_group(&bare, k, &a, &err), &err);
	T_CALL(rn_group(c, k, &b, &err), &err);
	ok = same_groups(&a, &b);
	rn_groups_fini(&a);
	rn_groups_fini(&b);
	T_CALL(rn_group_keys(&bare, k, keys, &a, &err), &err);
	T_CALL(rn_group_keys(c, k, keys, &b, &err), &err);
	ok = ok && same_groups(&a, &b);
	rn_groups_fini(&a);
	rn_groups_fini(&b);
	return ok;
}

static bool check_joins(const struct rn_ctx *c, const struct rn_key *left, const struct rn_key *right)
{
	struct rn_ctx bare = { .threads = 1 };
	struct rn_hash_index *x, *y;
	bool ok = true;

	T_CALL(rn_hash_index_new(&bare, right, &x, &err), &err);
	T_CALL(rn_hash_index_new(c, right, &y, &err), &err);
	for (int kind = RN_JOIN_INNER; kind <= RN_JOIN_FULL; kind++) {
		struct rn_join_result a, b;

		/* Searches of an index that a device made may be the CPU's. */
		if (c->team && rnd(4) == 0)
			rn_team_accelerate(c->team, NULL);
		T_CALL(rn_join(&bare, left, right, x, (enum rn_join_kind)kind, &a, &err), &err);
		T_CALL(rn_join(c, left, right, y, (enum rn_join_kind)kind, &b, &err), &err);
		rn_team_accelerate(c->team, &accel);
		ok = ok && a.rows == b.rows && a.left_unmatched == b.left_unmatched &&
		     a.right_unmatched == b.right_unmatched && a.left_null == b.left_null &&
		     a.right_null == b.right_null && same(a.left, b.left) && same(a.right, b.right);
		rn_join_result_fini(&a);
		rn_join_result_fini(&b);
	}
	rn_hash_index_free(x);
	rn_hash_index_free(y);
	return ok;
}

static bool check_order(const struct rn_ctx *c, struct rn_column **cols, size_t n)
{
	struct rn_order by[3];
	struct rn_buf *a, *b;
	bool ok;

	for (size_t i = 0; i < n; i++)
		by[i] = (struct rn_order){ cols[i], rnd(2) != 0 };
	T_CALL(rn_order_rows(by, n, cols[0]->rows, &a, &err), &err);
	T_CALL(rn_order_rows_team(c->team, by, n, cols[0]->rows, &b, &err), &err);
	ok = same(a, b);
	rn_buf_unref(a);
	rn_buf_unref(b);
	return ok;
}

/* Columns of some kinds; left and right meet in about a tenth of the rows. */
static void check(int team, uint64_t rows, uint64_t others, const enum kind *kinds, size_t n)
{
	struct rn_column *left[3], *right[3];
	struct rn_key l, r;
	bool groups, joins, orders;

	for (size_t i = 0; i < n; i++) {
		unsigned nulls = rnd(2) ? rnd(30) : 0;

		left[i] = column(kinds[i], rows, nulls);
		right[i] = column(kinds[i], others, nulls / 2);
	}
	l = key_of(left, n);
	r = key_of(right, n);
	groups = check_groups(&ctxs[team], &l, &r);
	joins = check_joins(&ctxs[team], &l, &r);
	orders = check_order(&ctxs[team], left, n);
	T_OK(groups && joins && orders, "%llu and %llu rows of %s%s%s%s%s: groups %d, joins %d, order %d",
	     (unsigned long long)rows, (unsigned long long)others, kind_names[kinds[0]],
	     n > 1 ? ", " : "", n > 1 ? kind_names[kinds[1]] : "", n > 2 ? ", " : "",
	     n > 2 ? kind_names[kinds[2]] : "", groups, joins, orders);
	for (size_t i = 0; i < n; i++) {
		rn_column_unref(left[i]);
		rn_column_unref(right[i]);
	}
}

/* Extremes in one column: its words take all 64 bits. */
static void test_extremes(void)
{
	static const int64_t far[] = { INT64_MAX, INT64_MIN, 0, -1, INT64_MAX, INT64_MIN + 1, 0 };
	struct rn_column *c[2];
	struct rn_key k;

	for (int nulls = 0; nulls < 2; nulls++) {
		T_CALL(rn_column_new(RN_INT64, 7, &c[0], &err), &err);
		memcpy(c[0]->i64, far, sizeof far);
		if (nulls) {
			T_CALL(rn_column_need_null(c[0], &err), &err);
			c[0]->null[2] = 1;
			c[0]->nulls = 1;
		}
		c[1] = column(DENSE, 7, 0);
		k = key_of(c, 1);
		T_OK(check_groups(&ctxs[1], &k, &k) && check_joins(&ctxs[1], &k, &k) &&
			     check_order(&ctxs[1], c, 1) && check_order(&ctxs[1], c, 2),
		     "the largest and the smallest integer%s", nulls ? ", and NULL" : "");
		rn_column_unref(c[0]);
		rn_column_unref(c[1]);
	}
}

static void test_all(void)
{
	static const enum kind pairs[][3] = {
		{ DENSE, FLAG, SAME }, { FAR, DENSE, REAL }, { TEXT, DENSE, FLAG },
		{ FLAG, TEXT, MOST }, { REAL, REAL, FAR }, { SAME, SAME, SAME },
	};
	static const uint64_t sizes[] = { 0, 1, 2, 700, 5003 };

	for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
		for (enum kind k = 0; k < KINDS; k++)
			check((int)(s % TEAMS), sizes[s], k % 2 && s ? 1 : 900, &k, 1);
	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
		for (size_t n = 2; n <= 3; n++)
			check((int)i % TEAMS, 3001, 800, pairs[i], n);
}

/* Rows of one number, none, and in order. */
static void test_maps(void)
{
	static uint32_t map[9000];
	struct rn_buf *p[2], *a[2];

	for (unsigned trial = 0; trial < 12; trial++) {
		uint32_t rows = trial < 2 ? trial : rnd(9000), n = trial % 3 ? 1 + rnd(500) : 1;
		bool ok;

		for (uint32_t i = 0; i < rows; i++)
			map[i] = trial % 4 && rnd(5) == 0 ? RN_NO_ROW : rnd(n);
		T_CALL(rn_invert_map_team(NULL, map, rows, n, &p[0], &a[0], &err), &err);
		T_CALL(rn_invert_map_team(ctxs[2].team, map, rows, n, &p[1], &a[1], &err), &err);
		ok = same(p[0], p[1]) && same(a[0], a[1]);
		T_OK(ok, "a map of %u rows to %u", rows, n);
		for (int i = 0; i < 2; i++) {
			rn_buf_unref(p[i]);
			rn_buf_unref(a[i]);
		}
	}
}

/* More rows than one thread works on alone. */
static void test_many(void)
{
	static const enum kind kinds[] = { FAR, TEXT, UNIQUE };

	for (int t = 1; t < TEAMS; t++)
		check(t, MANY, SMALL, &kinds[t - 1], 1);
}

/* An index that a device made, searched by several threads at once without it. */
enum { SEARCHES = 6 };
struct searches {
	struct rn_key left, right;
	struct rn_hash_index *x;
	struct rn_join_result got[SEARCHES];
	bool failed[SEARCHES];
};

static void search(void *arg, uint32_t part)
{
	struct rn_ctx bare = { .threads = 1 };
	struct searches *s = arg;

	s->failed[part] = rn_join(&bare, &s->left, &s->right, s->x, RN_JOIN_LEFT, &s->got[part], NULL);
}

static void test_shared(void)
{
	struct rn_ctx bare = { .threads = 1 };
	struct rn_column *l = column(FAR, 3000, 5), *r = column(FAR, SMALL, 5);
	struct searches s = { .left = key_of(&l, 1), .right = key_of(&r, 1) };
	struct rn_join_result want;
	struct rn_hash_index *x;
	bool ok = true;

	T_CALL(rn_hash_index_new(&bare, &s.right, &x, &err), &err);
	T_CALL(rn_join(&bare, &s.left, &s.right, x, RN_JOIN_LEFT, &want, &err), &err);
	T_CALL(rn_hash_index_new(&ctxs[3], &s.right, &s.x, &err), &err);
	rn_team_run(ctxs[3].team, SEARCHES, search, &s);
	for (int i = 0; i < SEARCHES; i++) {
		ok = ok && !s.failed[i] && same(s.got[i].left, want.left) &&
		     same(s.got[i].right, want.right);
		rn_join_result_fini(&s.got[i]);
	}
	T_OK(ok, "%d searches at once in an index that a device made", SEARCHES);
	rn_join_result_fini(&want);
	rn_hash_index_free(x);
	rn_hash_index_free(s.x);
	rn_column_unref(l);
	rn_column_unref(r);
}

static double rate = 1e10;
static unsigned measured;

static bool measure(struct rn_accel *a, struct rn_accel_rates *out)
{
	measured++;
	*out = a->best;
	out->bytes_per_s = rate;
	return rate > 0;
}

static void test_cost(void)
{
	struct rn_accel a = { .best = { .bytes_per_s = 1e10, .call_s = 1e-3, .row_s = 1e-9 } };
	struct rn_accel_cost c = { .cpu_ns = 20, .host_ns = 2, .words = 1, .bytes = 12000000 };

	/* 1e6 rows: 1 + 1.2 + 1 + 2 ms there, 20 ms here on one thread, 5 on four. */
	T_OK(rn_accel_pays(&a, 1, 1000000, &c), "1,000,000 rows against one thread");
	T_OK(!rn_accel_pays(&a, 4, 1000000, &c), "… four of them");
	c.bytes = 120000;
	T_OK(!rn_accel_pays(&a, 1, 10000, &c), "10,000 rows");
	T_OK(!rn_accel_pays(&a, 1, 0, &c) && !rn_accel_pays(NULL, 1, 1000000, &c),
	     "no rows, no accelerator");
	c.bytes = 12000000;
	a.measure = measure;
	T_OK(rn_accel_pays(&a, 1, 1000000, &c) && measured == 1, "as fast as it might be");
	rate = 1e9;
	T_OK(!rn_accel_pays(&a, 1, 1000000, &c) && measured == 2, "… and slower");
	rate = 0;
	T_OK(!rn_accel_pays(&a, 1, 1000000, &c), "not known");
	T_OK(!rn_accel_pays(&a, 4, 1000000, &c) && measured == 3, "not measured where it cannot pay");
	a.always = true;
	T_OK(rn_accel_pays(&a, 64, 1, &c), "always");
}

static char *logged;

static void take_log(void *arg, enum rn_log_level level, const char *msg)
{
	(void)arg, (void)level;
	free(logged);
	logged = strdup(msg);
}

static void test_log(void)
{
	struct rn_ctx c = ctxs[1];

	c.log = take_log;
	memset(accel.count, 0, sizeof accel.count);
	rn_accel_count(&accel, RN_ACCEL_NUMBER, 5);
	rn_accel_count(&accel, RN_ACCEL_NUMBER, 7);
	rn_accel_count(&accel, RN_ACCEL_ORDER, 3);
	rn_accel_log(&c);
	T_OK(logged && !strcmp(logged, "on test: keys numbered in 2 calls of 12 rows, "
				       "rows sorted in 1 call of 3 rows"),
	     "the log: %s", logged ? logged : "nothing");
	free(logged);
	logged = NULL;
	rn_accel_log(&c);
	T_OK(!logged, "… once");
	free(logged);
}

int main(void)
{
	static const unsigned declines_of[] = { 0, 1, 3 };

	teams_open();
	test_cost();
	for (size_t i = 0; i < sizeof declines_of / sizeof *declines_of; i++) {
		for (int t = 0; t < TEAMS; t++)
			rn_accel_attach(&ctxs[t], &accel);
		asked.decline = declines_of[i];
		memset(asked.calls, 0, sizeof asked.calls);
		test_all();
		test_extremes();
		test_maps();
		if (!i) {
			test_shared();
			test_many();
		}
		T_OK(asked.calls[RN_ACCEL_NUMBER] && asked.calls[RN_ACCEL_DEAL] &&
			     asked.calls[RN_ACCEL_ORDER] && (i == 1 || asked.calls[RN_ACCEL_FIND]),
		     "all was asked for: %u, %u, %u, %u times", asked.calls[RN_ACCEL_NUMBER],
		     asked.calls[RN_ACCEL_FIND], asked.calls[RN_ACCEL_DEAL],
		     asked.calls[RN_ACCEL_ORDER]);
	}
	T_OK(!asked.bad, "no word was beyond its bits");
	test_log();
	teams_close();
	return t_done();
}
