/* SPDX-License-Identifier: Apache-2.0
 *
 * Distinct keys: from columns to words, from words to numbers; see keyset.h.
 * The equality of int64 and float64 lives here: a float64 that is an integer
 * hashes as that integer, and is compared as one.
 */
#include "keyset.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define MIX 0x9E3779B97F4A7C15u
#define NULL_HASH 0x6A09E667F3BCC909u

/* Words of a batch.  skip[i]: row i has no word (NULL, or a value out of range). */
struct batch {
	uint64_t word[RN_KEY_BATCH];
	int64_t value[RN_KEY_BATCH];
	uint8_t skip[RN_KEY_BATCH];
	bool skips; /* any of them */
};

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

/* Minimum and range of the values that are not NULL; 0 and 0 if there are none. */
static void find_range(const struct rn_column *c, struct rn_key_digit *d)
{
	int64_t min = INT64_MAX, max = INT64_MIN;

	if (c->type == RN_BOOL) {
		min = 0;
		max = 1;
	} else if (!c->null) {
		for (uint64_t i = 0; i < c->rows; i++) {
			min = c->i64[i] < min ? c->i64[i] : min;
			max = c->i64[i] > max ? c->i64[i] : max;
		}
	} else {
		for (uint64_t i = 0; i < c->rows; i++) {
			if (c->null[i])
				continue;
			min = c->i64[i] < min ? c->i64[i] : min;
			max = c->i64[i] > max ? c->i64[i] : max;
		}
	}
	if (min > max)
		min = max = 0;
	d->min = (uint64_t)min;
	d->range = (uint64_t)max - (uint64_t)min;
}

/* Give each column its digit.  False: the columns do not fit one word. */
static bool fit_digits(const struct rn_key *k, struct rn_keyset *s)
{
	uint64_t words = 1;

	for (size_t i = 0; i < k->n; i++)
		if (!is_integer(k->cols[i]))
			return false;
	for (size_t i = k->n; i-- > 0;) {
		struct rn_key_digit *d = &s->digits[i];
		uint64_t base;

		find_range(k->cols[i], d);
		d->null = s->nulls && k->cols[i]->nulls;
		d->stride = words;
		if (__builtin_add_overflow(d->range, 1 + (uint64_t)d->null, &base) ||
		    __builtin_mul_overflow(words, base, &words))
			return false;
	}
	s->words = words;
	return true;
}

/* Values of rows from … from + n - 1 as integers; those that are none are skipped. */
static const int64_t *load_values(const struct rn_column *c, uint64_t from, size_t n,
				  struct batch *b)
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
		      size_t n, struct batch *b)
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
		     struct batch *b)
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

static void make_words(const struct rn_keyset *s, const struct rn_key *k, uint64_t from, size_t n,
		       struct batch *b)
{
	memset(b->word, 0, n * sizeof *b->word);
	memset(b->skip, 0, n);
	b->skips = false;
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

static bool same_key(const struct rn_key *a, uint64_t i, const struct rn_key *b, uint64_t j)
{
	for (size_t c = 0; c < a->n; c++)
		if (!same_value(a->cols[c], i, b->cols[c], j))
			return false;
	return true;
}

/* ---- tables ---------------------------------------------------------------------- */

static inline uint64_t slot_of(const struct rn_keyset *s, uint64_t word)
{
	return ((word ^ word >> 32) * MIX) >> (64 - s->bits);
}

static int new_table(unsigned bits, struct rn_buf **out, struct rn_err *e)
{
	return rn_buf_new(sizeof(struct rn_keyset_slot) << bits, "a hash table", out, e);
}

/* Twice the slots.  The slot is the word's high hash bits, so this reads and
 * writes both tables nearly in order. */
static int double_table(struct rn_keyset *s, struct rn_err *e)
{
	const struct rn_keyset_slot *old = s->table->data;
	uint64_t size = (uint64_t)1 << s->bits, mask = 2 * size - 1;
	struct rn_keyset_slot *to;
	struct rn_buf *table;

	RN_TRY(new_table(s->bits + 1, &table, e));
	s->bits++;
	to = table->data;
	for (uint64_t i = 0; i < size; i++) {
		uint64_t at;

		if (!old[i].id)
			continue;
		at = slot_of(s, old[i].word);
		while (to[at].id)
			at = (at + 1) & mask;
		to[at] = old[i];
	}
	rn_buf_unref(s->table);
	s->table = table;
	return 0;
}

/* Room for one more batch of new keys, at a load of at most one half. */
static int make_room(struct rn_keyset *s, struct rn_err *e)
{
	RN_TRY(rn_grow(&s->first, &s->first_cap, s->n + RN_KEY_BATCH, sizeof *s->first,
		       "distinct keys", e));
	while (s->kind != RN_KEYSET_ARRAY && s->n + RN_KEY_BATCH > (uint64_t)1 << (s->bits - 1))
		RN_TRY(double_table(s, e));
	return 0;
}

static inline uint32_t number_of(struct rn_keyset *s, uint32_t *id, uint64_t row)
{
	if (!*id) {
		s->first[s->n++] = (uint32_t)row;
		*id = (uint32_t)s->n;
	}
	return *id - 1;
}

static void insert_array(struct rn_keyset *s, const struct batch *b, uint64_t from, size_t n,
			 uint32_t *of)
{
	uint32_t *table = s->table->data;

	for (size_t i = 0; i < n; i++)
		of[i] = b->skip[i] ? RN_NO_ROW : number_of(s, &table[b->word[i]], from + i);
}

/* The slot of a word: that which has it, or the empty one where it belongs. */
static inline struct rn_keyset_slot *probe(const struct rn_keyset *s, const struct rn_key *own,
					   const struct rn_key *k, uint64_t row, uint64_t word,
					   bool exact)
{
	struct rn_keyset_slot *table = s->table->data, *t;
	uint64_t mask = ((uint64_t)1 << s->bits) - 1;

	for (uint64_t at = slot_of(s, word);; at = (at + 1) & mask) {
		t = &table[at];
		if (!t->id)
			return t;
		if (t->word == word && (exact || same_key(k, row, own, s->first[t->id - 1])))
			return t;
	}
}

static void prefetch(const struct rn_keyset *s, const struct batch *b, size_t n)
{
	const struct rn_keyset_slot *table = s->table->data;

	for (size_t i = 0; i < n; i++)
		__builtin_prefetch(&table[slot_of(s, b->word[i])]);
}

static inline void insert_table(struct rn_keyset *s, const struct rn_key *k, const struct batch *b,
				uint64_t from, size_t n, uint32_t *of, bool exact)
{
	prefetch(s, b, n);
	for (size_t i = 0; i < n; i++) {
		struct rn_keyset_slot *t;

		if (b->skip[i]) {
			of[i] = RN_NO_ROW;
			continue;
		}
		t = probe(s, k, k, from + i, b->word[i], exact);
		t->word = b->word[i];
		of[i] = number_of(s, &t->id, from + i);
	}
}

static void insert(struct rn_keyset *s, const struct rn_key *k, const struct batch *b,
		   uint64_t from, size_t n, uint32_t *of)
{
	if (s->kind == RN_KEYSET_ARRAY)
		insert_array(s, b, from, n, of);
	else if (s->kind == RN_KEYSET_WORD)
		insert_table(s, k, b, from, n, of, true);
	else
		insert_table(s, k, b, from, n, of, false);
}

static inline void find_in_table(const struct rn_keyset *s, const struct rn_key *own,
				 const struct rn_key *k, const struct batch *b, uint64_t from,
				 size_t n, uint32_t *of, bool exact)
{
	prefetch(s, b, n);
	for (size_t i = 0; i < n; i++)
		of[i] = b->skip[i] ? RN_NO_ROW :
				     probe(s, own, k, from + i, b->word[i], exact)->id - 1;
}

/* An empty slot has number 0 - 1, which is RN_NO_ROW. */
_Static_assert((uint32_t)0 - 1 == RN_NO_ROW, "an empty slot means no row");

static void find_in_array(const struct rn_keyset *s, const struct batch *b, size_t n,
			  uint32_t *of)
{
	const uint32_t *table = s->table->data;

	if (!b->skips) {
		for (size_t i = 0; i < n; i++)
			of[i] = table[b->word[i]] - 1;
		return;
	}
	for (size_t i = 0; i < n; i++)
		of[i] = table[b->skip[i] ? s->words : b->word[i]] - 1;
}

void rn_keyset_find(const struct rn_keyset *s, const struct rn_key *own, const struct rn_key *k,
		    uint64_t from, uint64_t n, uint32_t *of)
{
	struct batch b;

	while (n) {
		size_t m = n < RN_KEY_BATCH ? n : RN_KEY_BATCH;

		make_words(s, k, from, m, &b);
		if (s->kind == RN_KEYSET_ARRAY)
			find_in_array(s, &b, m, of);
		else if (s->kind == RN_KEYSET_WORD)
			find_in_table(s, own, k, &b, from, m, of, true);
		else
			find_in_table(s, own, k, &b, from, m, of, false);
		from += m;
		of += m;
		n -= m;
	}
}

/* Choose the kind; the table starts small, as keys may be few. */
static int set_up(const struct rn_key *k, struct rn_keyset *s, struct rn_err *e)
{
	RN_TRY(rn_calloc(k->n, sizeof *s->digits, "a key", &s->digits, e));
	if (!fit_digits(k, s))
		s->kind = RN_KEYSET_HASH;
	else if (s->words <= 2 * k->rows + 1024)
		s->kind = RN_KEYSET_ARRAY;
	else
		s->kind = RN_KEYSET_WORD;
	if (s->kind == RN_KEYSET_ARRAY)
		return rn_buf_new((s->words + 1) * sizeof(uint32_t), "a key array", &s->table, e);
	s->bits = 11;
	return new_table(s->bits, &s->table, e);
}

int rn_keyset_new(const struct rn_key *k, bool nulls, uint32_t *of, uint32_t *dup,
		  struct rn_keyset **out, struct rn_err *e)
{
	struct rn_keyset *s;
	struct batch b;
	int rc;

	if (k->rows > RN_MAX_ROWS)
		return rn_err_set(e, RN_EBUG, "a key of more than %" PRIu64 " rows", RN_MAX_ROWS);
	RN_TRY(rn_calloc(1, sizeof *s, "a key", &s, e));
	s->nulls = nulls;
	RN_GOTO(fail, set_up(k, s, e));
	for (uint64_t from = 0; from < k->rows; from += RN_KEY_BATCH) {
		size_t n = k->rows - from < RN_KEY_BATCH ? k->rows - from : RN_KEY_BATCH;

		RN_GOTO(fail, make_room(s, e));
		make_words(s, k, from, n, &b);
		insert(s, k, &b, from, n, of + from);
		if (!dup || s->n == from + n)
			continue;
		for (uint64_t i = from; *dup == RN_NO_ROW; i++)
			if (of[i] != i)
				*dup = (uint32_t)i;
		break;
	}
	*out = s;
	return 0;
fail:
	rn_keyset_free(s);
	return rc;
}

void rn_keyset_free(struct rn_keyset *s)
{
	if (!s)
		return;
	rn_buf_unref(s->table);
	free(s->first);
	free(s->digits);
	free(s);
}
