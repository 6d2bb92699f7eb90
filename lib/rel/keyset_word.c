/* SPDX-License-Identifier: Apache-2.0
 *
 * From key columns to words; see keyset.h.  The equality of int64 and float64 lives
 * here: a float64 that is an integer hashes as that integer, and is compared as one.
 */
#include "keyset.h"
#include "part.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define MIX 0x9E3779B97F4A7C15u
#define NULL_HASH 0x6A09E667F3BCC909u

/* Is f an integer that int64 holds?  Both bounds are exact doubles. */
static inline bool is_int64(double f, int64_t *out)
{
	if (!(f >= -0x1p63 && f < 0x1p63))
		return false;
	*out = (int64_t)f;
	return (double)*out == f;
}

static bool is_integer(const struct rn_column *c)
{
	return c->type == RN_INT64 || c->type == RN_TIMESTAMP || c->type == RN_BOOL;
}

/* ---- exact words --------------------------------------------------------------- */

/* Minimum and maximum of each part of a column. */
struct ranges {
	const struct rn_column *c;
	struct range {
		int64_t min, max;
	} *of;
};

static inline void widen(struct range *r, int64_t v)
{
	r->min = v < r->min ? v : r->min;
	r->max = v > r->max ? v : r->max;
}

static void find_part_range(void *arg, uint32_t part)
{
	enum { CHAINS = 4 }; /* that need not wait for each other */
	const struct ranges *r = arg;
	const struct rn_column *c = r->c;
	const struct range none = { INT64_MAX, INT64_MIN };
	struct range of[CHAINS] = { none, none, none, none };
	uint64_t i = rn_part_from(part), to = rn_part_to(part, c->rows);

	for (; !c->null && i + CHAINS <= to; i += CHAINS) {
		widen(&of[0], c->i64[i]);
		widen(&of[1], c->i64[i + 1]);
		widen(&of[2], c->i64[i + 2]);
		widen(&of[3], c->i64[i + 3]);
	}
	for (; i < to; i++)
		if (!c->null || !c->null[i])
			widen(&of[0], c->i64[i]);
	for (unsigned k = 1; k < CHAINS; k++) {
		of[0].min = of[k].min < of[0].min ? of[k].min : of[0].min;
		of[0].max = of[k].max > of[0].max ? of[k].max : of[0].max;
	}
	r->of[part] = of[0];
}

/* Minimum and range of the values that are not NULL; 0 and 0 if there are none. */
static int find_range(struct rn_team *t, const struct rn_column *c, struct rn_key_digit *d,
		      struct rn_err *e)
{
	struct range all = { INT64_MAX, INT64_MIN };
	struct ranges r = { .c = c };

	if (c->type == RN_BOOL) {
		all = (struct range){ 0, 1 };
	} else {
		RN_TRY(rn_calloc(rn_part_count(c->rows), sizeof *r.of, "a key", &r.of, e));
		rn_part_run(t, c->rows, find_part_range, &r);
		for (uint32_t p = 0; p < rn_part_count(c->rows); p++) {
			all.min = r.of[p].min < all.min ? r.of[p].min : all.min;
			all.max = r.of[p].max > all.max ? r.of[p].max : all.max;
		}
		free(r.of);
	}
	if (all.min > all.max)
		all = (struct range){ 0, 0 };
	d->min = (uint64_t)all.min;
	d->range = (uint64_t)all.max - (uint64_t)all.min;
	return 0;
}

/* Give each column its digit.  *fit: the columns fit one word. */
static int fit_digits(struct rn_team *t, const struct rn_key *k, struct rn_keyset *s, bool *fit,
		      struct rn_err *e)
{
	uint64_t words = 1;

	*fit = false;
	for (size_t i = 0; i < k->n; i++)
		if (!is_integer(k->cols[i]))
			return 0;
	for (size_t i = k->n; i-- > 0;) {
		struct rn_key_digit *d = &s->digits[i];
		uint64_t base;

		RN_TRY(find_range(t, k->cols[i], d, e));
		d->null = s->nulls && k->cols[i]->nulls;
		d->stride = words;
		if (__builtin_add_overflow(d->range, 1 + (uint64_t)d->null, &base) ||
		    __builtin_mul_overflow(words, base, &words))
			return 0;
	}
	s->words = words;
	*fit = true;
	return 0;
}

int rn_keyset_choose(struct rn_team *t, const struct rn_key *k, struct rn_keyset *s,
		     struct rn_err *e)
{
	bool fit;

	RN_TRY(fit_digits(t, k, s, &fit, e));
	if (!fit)
		s->kind = RN_KEYSET_HASH;
	else if (s->words <= 2 * k->rows + 1024)
		s->kind = RN_KEYSET_ARRAY;
	else
		s->kind = RN_KEYSET_WORD;
	return 0;
}

/* Values of rows from … from + n - 1 as integers; those that are none are skipped. */
static const int64_t *load_values(const struct rn_column *c, uint64_t from, size_t n,
				  struct rn_key_words *b)
{
	if (c->type == RN_INT64 || c->type == RN_TIMESTAMP)
		return c->i64 + from;
	for (size_t i = 0; i < n; i++) {
		b->value[i] = 0;
		if (c->type == RN_BOOL) {
			b->value[i] = c->b[from + i];
		} else if (!is_int64(c->f64[from + i], &b->value[i])) {
			b->value[i] = 0;
			b->skip[i] = 1;
			b->skips = true;
		}
	}
	return b->value;
}

static void add_digit(const struct rn_key_digit *d, const struct rn_column *c, uint64_t from,
		      size_t n, struct rn_key_words *b)
{
	const int64_t *v = load_values(c, from, n, b);
	const uint8_t *null = c->null ? c->null + from : NULL;
	uint64_t one = d->null, stride = d->stride;
	uint8_t misses = 0;

	for (size_t i = 0; !null && i < n; i++) {
		uint64_t x = (uint64_t)v[i] - d->min;
		uint8_t miss = x > d->range;

		b->word[i] += (x + one) * stride;
		b->skip[i] |= miss;
		misses |= miss;
	}
	for (size_t i = 0; null && i < n; i++) {
		uint64_t x = (uint64_t)v[i] - d->min;
		uint8_t miss = null[i] ? !d->null : x > d->range;

		b->word[i] += null[i] ? 0 : (x + one) * stride;
		b->skip[i] |= miss;
		misses |= miss;
	}
	b->skips |= misses;
}

/* ---- hashes ---------------------------------------------------------------------- */

static uint64_t hash_word(uint64_t x)
{
	x ^= x >> 32;
	x *= 0xD6E8FEB86659FD93u;
	return x ^ x >> 32;
}

static uint64_t hash_value(const struct rn_column *c, uint64_t i)
{
	int64_t v;

	switch (c->type) {
	case RN_FLOAT64:
		if (!is_int64(c->f64[i], &v))
			memcpy(&v, &c->f64[i], sizeof v);
		return hash_word((uint64_t)v);
	case RN_BOOL:
		return hash_word(c->b[i]);
	case RN_STRING:
		return XXH3_64bits(c->bytes + c->off[i], c->off[i + 1] - c->off[i]);
	default:
		return hash_word((uint64_t)c->i64[i]);
	}
}

static void add_hash(const struct rn_keyset *s, const struct rn_column *c, uint64_t from, size_t n,
		     struct rn_key_words *b)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t h = NULL_HASH;

		if (!rn_column_is_null(c, from + i)) {
			h = hash_value(c, from + i);
		} else if (!s->nulls) {
			b->skip[i] = 1;
			b->skips = true;
		}
		b->word[i] = (b->word[i] << 7 | b->word[i] >> 57) * MIX + h;
	}
}

/* A sole column of integers without NULLs, which all are in range: words are distances. */
static bool plain_words(const struct rn_keyset *s, const struct rn_key *k, uint64_t from, size_t n,
			struct rn_key_words *b)
{
	const struct rn_column *c = k->n == 1 ? k->cols[0] : NULL;
	uint64_t min, range, one;
	bool misses = false;

	if (!c || s->kind == RN_KEYSET_HASH || c->null ||
	    (c->type != RN_INT64 && c->type != RN_TIMESTAMP))
		return false;
	min = s->digits[0].min;
	range = s->digits[0].range;
	one = s->digits[0].null;
	for (size_t i = 0; i < n; i++) {
		uint64_t x = (uint64_t)c->i64[from + i] - min;

		misses |= x > range;
		b->word[i] = x + one;
	}
	return !misses;
}

void rn_key_words(const struct rn_keyset *s, const struct rn_key *k, uint64_t from, size_t n,
		  struct rn_key_words *b)
{
	memset(b->skip, 0, n);
	b->skips = false;
	if (plain_words(s, k, from, n, b))
		return;
	memset(b->word, 0, n * sizeof *b->word);
	for (size_t i = 0; i < k->n; i++) {
		if (s->kind == RN_KEYSET_HASH)
			add_hash(s, k->cols[i], from, n, b);
		else
			add_digit(&s->digits[i], k->cols[i], from, n, b);
	}
}

static bool same_value(const struct rn_column *a, uint64_t i, const struct rn_column *b,
		       uint64_t j)
{
	bool na = rn_column_is_null(a, i), nb = rn_column_is_null(b, j);
	int64_t v;

	if (na || nb)
		return na && nb;
	switch (a->type) {
	case RN_BOOL:
		return a->b[i] == b->b[j];
	case RN_STRING: {
		uint64_t n = a->off[i + 1] - a->off[i];

		return n == b->off[j + 1] - b->off[j] &&
		       memcmp(a->bytes + a->off[i], b->bytes + b->off[j], n) == 0;
	}
	case RN_FLOAT64:
		if (b->type == RN_FLOAT64)
			return a->f64[i] == b->f64[j];
		return is_int64(a->f64[i], &v) && v == b->i64[j];
	default:
		if (b->type == RN_FLOAT64)
			return is_int64(b->f64[j], &v) && v == a->i64[i];
		return a->i64[i] == b->i64[j];
	}
}

bool rn_key_same(const struct rn_key *a, uint64_t i, const struct rn_key *b, uint64_t j)
{
	for (size_t c = 0; c < a->n; c++)
		if (!same_value(a->cols[c], i, b->cols[c], j))
			return false;
	return true;
}
