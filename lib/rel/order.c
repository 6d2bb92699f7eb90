/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows in order.  A column is one level after another of 64-bit words whose unsigned
 * order is that of its values: whether a value is NULL, then the value, or seven bytes
 * of a string at a time.  Rows are split by the highest bits in which their words
 * differ, and so on in each piece, down to pieces that are sorted by insertion; rows
 * that share a word go on to the next level.  All of it is stable, so rows that are
 * equal in all columns keep their order.  Large pieces are split by the whole team,
 * small ones are sorted side by side.
 */
#include "order_word.h"
#include "part.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
	FEW = 24,       /* rows that are sorted by insertion */
	FEW_BITS = 8,   /* that split a piece which one thread sorts */
	MANY_BITS = 11, /* … and one that the team splits: its open lines fill half an L2 cache */
	TEXT = RN_ORDER_TEXT,
	DEEP = 32 * TEXT, /* from here on strings are compared: words would recurse too far */
};

struct item {
	uint64_t word;
	uint32_t row;
} __attribute__((packed, aligned(4)));

/* Column by[col]; at 0 whether it is NULL, at 1 the value, or its bytes from at - 1 on. */
struct level {
	size_t col;
	uint64_t at;
};

struct order {
	const struct rn_order *by;
	size_t n;
	struct item *items[2]; /* room for all rows, twice */
	uint32_t *map;
};

/* ---- words ------------------------------------------------------------------------- */

static void load(const struct order *s, struct item *a, uint64_t n, struct level l)
{
	const struct rn_column *c = s->by[l.col].col;
	uint64_t flip = rn_order_flip(&s->by[l.col]);

	for (uint64_t i = 0; i < n; i++)
		a[i].word = rn_order_word(c, a[i].row, l.at) ^ flip;
}

static struct level column_level(const struct order *s, size_t col)
{
	return (struct level){ col, col < s->n && s->by[col].col->null ? 0 : 1 };
}

/* Where rows go on that share `word`; false: nowhere, they are equal. */
static bool next_level(const struct order *s, struct level *l, uint64_t word)
{
	word ^= rn_order_flip(&s->by[l->col]);
	if (!l->at && word)
		l->at = 1;
	else if (l->at && s->by[l->col].col->type == RN_STRING && (word & 255) > TEXT)
		l->at += TEXT;
	else
		*l = column_level(s, l->col + 1);
	return l->col < s->n;
}

/* The bits in which n words differ. */
static uint64_t differences(const struct item *a, uint64_t n, uint64_t word)
{
	uint64_t d = 0;

	for (uint64_t i = 0; i < n; i++)
		d |= a[i].word ^ word;
	return d;
}

/* The highest `bits` bits of d lie above this many others. */
static unsigned shift_of(uint64_t d, unsigned bits)
{
	unsigned high = 64 - (unsigned)__builtin_clzll(d);

	return high > bits ? high - bits : 0;
}

/* ---- by one thread ----------------------------------------------------------------- */

static void sort_piece(const struct order *s, struct item *a, struct item *b, uint64_t n,
		       struct level l, uint32_t *out);

static void emit(const struct item *a, uint64_t n, uint32_t *out)
{
	for (uint64_t i = 0; i < n; i++)
		out[i] = a[i].row;
}

/* n items of one word. */
static void sort_equal(const struct order *s, struct item *a, struct item *b, uint64_t n,
		       struct level l, uint32_t *out)
{
	if (n == 1 || !next_level(s, &l, a[0].word)) {
		emit(a, n, out);
		return;
	}
	load(s, a, n, l);
	sort_piece(s, a, b, n, l, out);
}

static void sort_few(const struct order *s, struct item *a, struct item *b, uint64_t n,
		     struct level l, uint32_t *out)
{
	for (uint64_t i = 1; i < n; i++) {
		struct item x = a[i];
		uint64_t k = i;

		for (; k && a[k - 1].word > x.word; k--)
			a[k] = a[k - 1];
		a[k] = x;
	}
	for (uint64_t from = 0, to; from < n; from = to) {
		for (to = from + 1; to < n && a[to].word == a[from].word; to++)
			;
		sort_equal(s, a + from, b + from, to - from, l, out + from);
	}
}

static bool in_order(const struct rn_order *by, const struct item *a, const struct item *b)
{
	int d = rn_column_compare(by->col, a->row, by->col, b->row);

	return by->desc ? d >= 0 : d <= 0;
}

static void merge_sort(const struct rn_order *by, struct item *a, struct item *tmp, uint64_t n)
{
	uint64_t half = n / 2, i = 0, j = half, at = 0, run = 1;

	while (run < n && in_order(by, &a[run - 1], &a[run]))
		run++;
	if (run >= n)
		return;
	merge_sort(by, a, tmp, half);
	merge_sort(by, a + half, tmp, n - half);
	memcpy(tmp, a, half * sizeof *a);
	while (i < half)
		a[at++] = j == n || in_order(by, &tmp[i], &a[j]) ? tmp[i++] : a[j++];
}

/* Strings that are equal for DEEP bytes. */
static void sort_deep(const struct order *s, struct item *a, struct item *b, uint64_t n,
		      struct level l, uint32_t *out)
{
	const struct rn_order *by = &s->by[l.col];

	l = column_level(s, l.col + 1);
	merge_sort(by, a, b, n);
	for (uint64_t from = 0, to; from < n; from = to) {
		for (to = from + 1; to < n && in_order(by, &a[to], &a[from]); to++)
			;
		if (to - from == 1 || l.col == s->n) {
			emit(a + from, to - from, out + from);
			continue;
		}
		load(s, a + from, to - from, l);
		sort_piece(s, a + from, b + from, to - from, l, out + from);
	}
}

/* Split a into b by the highest bits of d, and sort the pieces. */
static void split(const struct order *s, struct item *a, struct item *b, uint64_t n,
		  struct level l, uint64_t d, uint32_t *out)
{
	enum { DIGITS = 1 << FEW_BITS };
	unsigned shift = shift_of(d, FEW_BITS);
	uint32_t end[DIGITS] = { 0 }, at = 0;

	for (uint64_t i = 0; i < n; i++)
		end[a[i].word >> shift & (DIGITS - 1)]++;
	for (unsigned k = 0; k < DIGITS; k++) {
		uint32_t count = end[k];

		end[k] = at;
		at += count;
	}
	for (uint64_t i = 0; i < n; i++)
		b[end[a[i].word >> shift & (DIGITS - 1)]++] = a[i];
	at = 0;
	for (unsigned k = 0; k < DIGITS; k++) {
		if (end[k] > at)
			sort_piece(s, b + at, a + at, end[k] - at, l, out + at);
		at = end[k];
	}
}

/* The rows of a, whose words are loaded, in order into out; b is room for as many. */
static void sort_piece(const struct order *s, struct item *a, struct item *b, uint64_t n,
		       struct level l, uint32_t *out)
{
	for (;;) {
		uint64_t d;

		if (l.at > DEEP) {
			sort_deep(s, a, b, n, l, out);
			return;
		}
		if (n <= FEW) {
			sort_few(s, a, b, n, l, out);
			return;
		}
		d = differences(a, n, a[0].word);
		if (d) {
			split(s, a, b, n, l, d, out);
			return;
		}
		if (!next_level(s, &l, a[0].word)) {
			emit(a, n, out);
			return;
		}
		load(s, a, n, l);
	}
}

/* ---- by the team ------------------------------------------------------------------- */

struct piece {
	uint64_t from, n;
	struct level l;
	bool second; /* in items[1] */
};

struct pieces {
	struct piece *p;
	size_t n, cap;
};

struct job {
	struct order s;
	struct rn_team *t;
	uint64_t rows;
	struct pieces large, small;
	struct rn_buf *end; /* uint32_t[parts][1 << MANY_BITS] */
	/* The piece that is split: */
	struct piece now;
	uint64_t word, diff;
	unsigned shift;
};

static int add_piece(struct pieces *to, struct piece p, struct rn_err *e)
{
	RN_TRY(rn_grow(&to->p, &to->cap, to->n + 1, sizeof p, "a sort", e));
	to->p[to->n++] = p;
	return 0;
}

static struct item *items_of(const struct job *j, const struct piece *p, bool other)
{
	return j->s.items[p->second != other] + p->from;
}

static void number_part(void *arg, uint32_t part)
{
	const struct job *j = arg;
	uint64_t to = rn_part_to(part, j->rows);

	for (uint64_t i = rn_part_from(part); i < to; i++)
		j->s.items[0][i].row = (uint32_t)i;
}

static void load_part(void *arg, uint32_t part)
{
	const struct job *j = arg;
	uint64_t from = rn_part_from(part), to = rn_part_to(part, j->now.n);

	load(&j->s, items_of(j, &j->now, false) + from, to - from, j->now.l);
}

static void compare_part(void *arg, uint32_t part)
{
	struct job *j = arg;
	uint64_t from = rn_part_from(part), to = rn_part_to(part, j->now.n);
	uint64_t d = differences(items_of(j, &j->now, false) + from, to - from, j->word);

	__atomic_fetch_or(&j->diff, d, __ATOMIC_RELAXED);
}

static uint32_t *ends_of(const struct job *j, uint32_t part)
{
	return (uint32_t *)j->end->data + ((uint64_t)part << MANY_BITS);
}

static void count_part(void *arg, uint32_t part)
{
	const struct job *j = arg;
	const struct item *a = items_of(j, &j->now, false);
	uint64_t to = rn_part_to(part, j->now.n);
	uint32_t *end = ends_of(j, part);

	memset(end, 0, sizeof *end << MANY_BITS);
	for (uint64_t i = rn_part_from(part); i < to; i++)
		end[a[i].word >> j->shift & ((1 << MANY_BITS) - 1)]++;
}

static void split_part(void *arg, uint32_t part)
{
	const struct job *j = arg;
	const struct item *a = items_of(j, &j->now, false);
	struct item *b = items_of(j, &j->now, true);
	uint64_t to = rn_part_to(part, j->now.n);
	uint32_t *end = ends_of(j, part);

	for (uint64_t i = rn_part_from(part); i < to; i++)
		b[end[a[i].word >> j->shift & ((1 << MANY_BITS) - 1)]++] = a[i];
}

/* Split the piece that is now, and put the parts of it where they belong. */
static int split_large(struct job *j, struct rn_err *e)
{
	uint32_t parts = rn_part_count(j->now.n), at = 0;

	j->shift = shift_of(j->diff, MANY_BITS);
	rn_part_run(j->t, j->now.n, count_part, j);
	for (uint32_t k = 0; k < 1 << MANY_BITS; k++) {
		struct piece p = { j->now.from + at, 0, j->now.l, !j->now.second };

		for (uint32_t part = 0; part < parts; part++) {
			uint32_t *end = &ends_of(j, part)[k], count = *end;

			*end = at;
			at += count;
		}
		p.n = j->now.from + at - p.from;
		if (p.n)
			RN_TRY(add_piece(p.n < RN_TEAM_ROWS ? &j->small : &j->large, p, e));
	}
	rn_part_run(j->t, j->now.n, split_part, j);
	return 0;
}

static void sort_small(void *arg, uint32_t number)
{
	const struct job *j = arg;
	const struct piece *p = &j->small.p[number];

	sort_piece(&j->s, items_of(j, p, false), items_of(j, p, true), p->n, p->l, j->s.map + p->from);
}

/* Split large pieces until there are none. */
static int split_all(struct job *j, struct rn_err *e)
{
	while (j->large.n) {
		j->now = j->large.p[--j->large.n];
		j->word = items_of(j, &j->now, false)->word;
		j->diff = 0;
		rn_part_run(j->t, j->now.n, compare_part, j);
		if (j->diff) {
			RN_TRY(split_large(j, e));
		} else if (!next_level(&j->s, &j->now.l, j->word)) {
			emit(items_of(j, &j->now, false), j->now.n, j->s.map + j->now.from);
		} else if (j->now.l.at > DEEP) {
			RN_TRY(add_piece(&j->small, j->now, e));
		} else {
			rn_part_run(j->t, j->now.n, load_part, j);
			RN_TRY(add_piece(&j->large, j->now, e));
		}
	}
	return 0;
}

static int sort_rows(struct job *j, struct rn_err *e)
{
	j->now = (struct piece){ 0, j->rows, column_level(&j->s, 0), false };
	rn_part_run(j->t, j->rows, number_part, j);
	if (j->s.n)
		rn_part_run(j->t, j->rows, load_part, j);
	if (!j->s.n || j->rows < RN_TEAM_ROWS) {
		if (j->s.n && j->rows)
			sort_piece(&j->s, j->s.items[0], j->s.items[1], j->rows, j->now.l, j->s.map);
		else
			emit(j->s.items[0], j->rows, j->s.map);
		return 0;
	}
	RN_TRY(rn_buf_new_raw(rn_part_count(j->rows) * sizeof(uint32_t) << MANY_BITS, "a sort", &j->end,
			      e));
	RN_TRY(add_piece(&j->large, j->now, e));
	RN_TRY(split_all(j, e));
	rn_team_run(j->t, (uint32_t)j->small.n, sort_small, j);
	return 0;
}

int rn_order_rows_team(struct rn_team *t, const struct rn_order *by, size_t n, uint64_t rows,
		       struct rn_buf **map, struct rn_err *e)
{
	struct job j = { .s = { .by = by, .n = n }, .t = t, .rows = rows };
	struct rn_buf *m, *items[2] = { NULL, NULL };
	int rc;

	if (rows > RN_MAX_ROWS)
		return rn_err_set(e, RN_EBUG, "an order of %" PRIu64 " rows", rows);
	RN_TRY(rn_buf_new_raw(rows * sizeof *j.s.map, "an order", &m, e));
	j.s.map = m->data;
	if (rn_order_accel(t, by, n, rows, j.s.map)) {
		*map = m;
		return 0;
	}
	for (int i = 0; i < 2; i++) {
		RN_GOTO(out, rn_buf_new_raw(rows * sizeof(struct item), "a sort", &items[i], e));
		j.s.items[i] = items[i]->data;
	}
	rc = sort_rows(&j, e);
out:
	rn_buf_unref(items[0]);
	rn_buf_unref(items[1]);
	rn_buf_unref(j.end);
	free(j.large.p);
	free(j.small.p);
	if (rc)
		rn_buf_unref(m);
	else
		*map = m;
	return rc;
}

int rn_order_rows(const struct rn_order *by, size_t n, uint64_t rows, struct rn_buf **map,
		  struct rn_err *e)
{
	return rn_order_rows_team(NULL, by, n, rows, map, e);
}
