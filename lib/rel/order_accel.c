/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows in order where a device helps (lib/base/accel.h).  It sorts rows by words, the least
 * significant one first.  What is compared, the words of order_word.h and whether a value is
 * NULL, is a *digit* here: its distance from the least one.  As many digits share a word as
 * fit, by their ranges.  Strings have a digit for every seven bytes; long ones, and a column
 * that has NULLs and every number, are left to the CPU.
 */
#include "order_word.h"

#include "../base/accel.h"
#include "part.h"

#include <stdlib.h>

enum {
	MAX_DIGITS = 32,
	MAX_TEXT = 4, /* digits of a string */
	/* What a row costs here, as in keyset_accel.c: by one column, and each time that one of
	 * the words is made for the device. */
	ORDER_NS = 20,
	ORDER_TEXT_NS = 120,
	WORD_NS = 1,
	TEXT_NS = 12,
};

struct digit {
	const struct rn_column *c;
	uint64_t at, flip; /* its words: rn_order_word(c, row, at) ^ flip */
	uint64_t min, range;
	uint64_t null;     /* the digit of NULL; others are above it unless it is beyond all */
	uint64_t stride;   /* in its word */
};

struct plan {
	struct rn_team *t;
	uint64_t rows;
	struct digit digit[MAX_DIGITS]; /* the most significant one first */
	unsigned n;
	struct word { /* digits from … to - 1 of it */
		const struct plan *p;
		unsigned from, to;
		uint64_t start, end; /* the rows that are wanted */
		uint64_t *out;
	} word[MAX_DIGITS]; /* the least significant one first */
	struct rn_words words[MAX_DIGITS];
	unsigned nwords;
};

/* ---- ranges ------------------------------------------------------------------------------- */

struct range {
	uint64_t min, max;
};
struct ranges {
	const struct digit *d;
	uint64_t rows;
	struct range *of; /* each part's */
};

static void find_part(void *arg, uint32_t part)
{
	const struct ranges *r = arg;
	const struct digit *d = r->d;
	uint64_t to = rn_part_to(part, r->rows);
	struct range found = { UINT64_MAX, 0 };

	for (uint64_t i = rn_part_from(part); i < to; i++) {
		uint64_t w;

		if (d->c->null && d->c->null[i])
			continue;
		w = rn_order_word(d->c, i, d->at) ^ d->flip;
		found.min = w < found.min ? w : found.min;
		found.max = w > found.max ? w : found.max;
	}
	r->of[part] = found;
}

/* False: the digits do not fit 64 bits, or there is no memory. */
static bool find_range(struct rn_team *t, struct digit *d, uint64_t rows)
{
	uint32_t parts = rn_part_count(rows);
	struct range all = { UINT64_MAX, 0 };
	struct ranges r = { d, rows, NULL };

	if (rn_calloc(parts, sizeof *r.of, "a sort", &r.of, NULL))
		return false;
	rn_part_run(t, rows, find_part, &r);
	for (uint32_t p = 0; p < parts; p++) {
		all.min = r.of[p].min < all.min ? r.of[p].min : all.min;
		all.max = r.of[p].max > all.max ? r.of[p].max : all.max;
	}
	free(r.of);
	if (all.min > all.max)
		all = (struct range){ 0, 0 };
	d->min = all.min;
	d->range = all.max - all.min;
	return !d->c->null || d->range < UINT64_MAX - 1;
}

/* ---- digits --------------------------------------------------------------------------------- */

/* How many digits a column has; 0: too many. */
static unsigned digits_of(const struct rn_column *c, uint64_t rows)
{
	uint64_t longest = 0;

	if (c->type != RN_STRING)
		return 1;
	for (uint64_t i = 0; i < rows; i++)
		longest = c->off[i + 1] - c->off[i] > longest ? c->off[i + 1] - c->off[i] : longest;
	if (longest > MAX_TEXT * RN_ORDER_TEXT)
		return 0;
	return longest ? (unsigned)((longest + RN_ORDER_TEXT - 1) / RN_ORDER_TEXT) : 1;
}

static bool add_digits(struct plan *p, const struct rn_order *by, uint64_t rows)
{
	unsigned n = digits_of(by->col, rows);

	if (!n || p->n + n > MAX_DIGITS)
		return false;
	for (unsigned i = 0; i < n; i++) {
		struct digit *d = &p->digit[p->n++];

		d->c = by->col;
		d->at = 1 + (uint64_t)i * RN_ORDER_TEXT;
		d->flip = rn_order_flip(by);
		if (!find_range(p->t, d, rows))
			return false;
		/* NULL is the smallest value: below all, beyond them where order is turned round. */
		d->null = by->desc ? d->range + 1 : 0;
	}
	return true;
}

static void add_part(void *arg, uint32_t part)
{
	const struct word *w = arg;
	uint64_t from = w->start + rn_part_from(part);
	uint64_t n = rn_part_to(part, w->end - w->start) - rn_part_from(part);

	for (unsigned k = w->from; k < w->to; k++) {
		const struct digit *d = &w->p->digit[k];
		const uint8_t *null = d->c->null ? d->c->null + from : NULL;
		uint64_t *out = w->out + rn_part_from(part), least = d->c->null && !d->null;

		for (uint64_t i = 0; i < n; i++) {
			uint64_t x = d->null;

			if (!null || !null[i])
				x = (rn_order_word(d->c, from + i, d->at) ^ d->flip) - d->min + least;
			out[i] = (k > w->from ? out[i] : 0) + x * d->stride;
		}
	}
}

static void get_words(void *arg, uint64_t from, uint64_t n, uint64_t *to)
{
	struct word w = *(const struct word *)arg;

	w.start = from;
	w.end = from + n;
	w.out = to;
	rn_part_run(w.p->t, n, add_part, &w);
}

static unsigned bit_length(uint64_t x)
{
	return x ? 64 - (unsigned)__builtin_clzll(x) : 1;
}

/* Share the digits among words, from the least significant one on. */
static void share_digits(struct plan *p)
{
	uint64_t largest = 0; /* of the word that is filled */

	for (unsigned k = p->n; k-- > 0;) {
		struct digit *d = &p->digit[k];
		struct word *w = p->nwords ? &p->word[p->nwords - 1] : NULL;
		uint64_t top = d->range + (d->c->null ? 1 : 0), stride, more;

		if (!w || __builtin_add_overflow(largest, 1, &stride) ||
		    __builtin_mul_overflow(top, stride, &more) ||
		    __builtin_add_overflow(more, largest, &more)) {
			w = &p->word[p->nwords++];
			*w = (struct word){ .p = p, .to = k + 1 };
			stride = 1;
			more = top;
		}
		d->stride = stride;
		largest = more;
		w->from = k;
		p->words[p->nwords - 1] =
			(struct rn_words){ p->rows, bit_length(largest), get_words, w };
	}
}

bool rn_order_accel(struct rn_team *t, const struct rn_order *by, size_t n, uint64_t rows,
		    uint32_t *map)
{
	struct rn_accel *a = rn_team_accel(t);
	struct plan p = { .t = t, .rows = rows };
	struct rn_accel_cost cost = { .cpu_ns = ORDER_NS };
	unsigned word_ns = WORD_NS;

	if (!a || !n)
		return false;
	if (by->col->type == RN_STRING) {
		cost.cpu_ns = ORDER_TEXT_NS;
		word_ns = TEXT_NS;
	}
	/* At first as if one word did, before the columns are looked at. */
	for (int look = 0; look < 2; look++) {
		cost.words = look ? p.nwords : 1;
		cost.host_ns = 2.0 * word_ns * cost.words; /* for its range, and to be sent */
		cost.bytes = rows * (cost.words * sizeof(uint64_t) + sizeof *map);
		if (!rn_accel_pays(a, rn_team_threads(t), rows, &cost))
			return false;
		for (size_t i = 0; !look && i < n; i++)
			if (!add_digits(&p, &by[i], rows))
				return false;
		if (!look)
			share_digits(&p);
	}
	if (!a->order(a, p.words, p.nwords, map))
		return false;
	rn_accel_count(a, RN_ACCEL_ORDER, rows);
	return true;
}
