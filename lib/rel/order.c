/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows in order.  The columns are taken from the last to the first, each by a
 * stable sort, so that later ones decide what earlier ones leave open.  A value
 * becomes a word whose unsigned order is the value's (of a string: its first
 * eight bytes), and words are sorted by radix, byte by byte from the lowest;
 * strings that share a word are then merged by comparison.
 */
#include "key.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct item {
	uint64_t word;
	uint32_t row;
};

static uint64_t word_of(const struct rn_column *c, uint64_t i)
{
	uint64_t w = 0, n;
	double f;

	switch (c->type) {
	case RN_FLOAT64:
		f = c->f64[i] + 0.0; /* -0.0 is 0.0 */
		memcpy(&w, &f, 8);
		return w >> 63 ? ~w : w | (uint64_t)1 << 63;
	case RN_BOOL:
		return c->b[i];
	case RN_STRING:
		n = c->off[i + 1] - c->off[i];
		for (uint64_t k = 0; k < 8; k++)
			w = w << 8 | (k < n ? (unsigned char)c->bytes[c->off[i] + k] : 0);
		return w;
	default:
		return (uint64_t)c->i64[i] ^ (uint64_t)1 << 63;
	}
}

/* Sort n items by their words; the result is in *a, and *b is room for as many. */
static void radix_sort(struct item **a, struct item **b, uint64_t n)
{
	uint64_t count[8][256] = { 0 };

	for (uint64_t i = 0; i < n; i++)
		for (unsigned k = 0; k < 8; k++)
			count[k][(*a)[i].word >> 8 * k & 255]++;
	for (unsigned k = 0; n && k < 8; k++) {
		struct item *from = *a, *to = *b;
		uint64_t at = 0;

		if (count[k][from[0].word >> 8 * k & 255] == n)
			continue; /* all have the same byte here */
		for (unsigned d = 0; d < 256; d++) {
			uint64_t here = count[k][d];

			count[k][d] = at;
			at += here;
		}
		for (uint64_t i = 0; i < n; i++)
			to[count[k][from[i].word >> 8 * k & 255]++] = from[i];
		*a = to;
		*b = from;
	}
}

/* ---- strings that share a word ----------------------------------------------------- */

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

static void sort_ties(const struct rn_order *by, struct item *a, struct item *tmp, uint64_t n)
{
	for (uint64_t from = 0, to; from < n; from = to) {
		for (to = from + 1; to < n && a[to].word == a[from].word; to++)
			;
		merge_sort(by, a + from, tmp, to - from);
	}
}

/* ---- one column --------------------------------------------------------------------- */

/* Sort the rows of map by one column; a and b are room for `rows` items each. */
static void sort_by(const struct rn_order *by, uint32_t *map, uint64_t rows, struct item **a,
		    struct item **b)
{
	uint64_t flip = by->desc ? UINT64_MAX : 0, n = 0, nulls = 0, at;

	/* NULLs go to the far end of b while the others are sorted in front of it. */
	for (uint64_t i = 0; i < rows; i++)
		if (rn_column_is_null(by->col, map[i]))
			(*b)[rows - 1 - nulls++].row = map[i];
		else
			(*a)[n++] = (struct item){ word_of(by->col, map[i]) ^ flip, map[i] };
	at = by->desc ? n : 0;
	for (uint64_t i = 0; i < nulls; i++)
		map[at + i] = (*b)[rows - 1 - i].row;
	radix_sort(a, b, n);
	if (by->col->type == RN_STRING)
		sort_ties(by, *a, *b, n);
	at = by->desc ? 0 : nulls;
	for (uint64_t i = 0; i < n; i++)
		map[at + i] = (*a)[i].row;
}

int rn_order_rows(const struct rn_order *by, size_t n, uint64_t rows, struct rn_buf **map,
		  struct rn_err *e)
{
	struct item *a = NULL, *b = NULL;
	uint32_t *m;
	int rc;

	if (rows > RN_MAX_ROWS)
		return rn_err_set(e, RN_EBUG, "an order of %" PRIu64 " rows", rows);
	RN_TRY(rn_buf_new(rows * sizeof *m, "an order", map, e));
	m = (*map)->data;
	for (uint64_t i = 0; i < rows; i++)
		m[i] = (uint32_t)i;
	RN_GOTO(out, rn_calloc(n ? rows : 0, sizeof *a, "a sort", &a, e));
	RN_GOTO(out, rn_calloc(n ? rows : 0, sizeof *b, "a sort", &b, e));
	for (size_t c = n; c-- > 0;)
		sort_by(&by[c], m, rows, &a, &b);
out:
	free(a);
	free(b);
	if (rc) {
		rn_buf_unref(*map);
		*map = NULL;
	}
	return rc;
}
