/* SPDX-License-Identifier: Apache-2.0
 *
 * Folding rows by key; see fold.h.  The words of keys are those of keyset.h.  Dense ones
 * fall into buckets by their high bits, others by the first bits of their hashes.
 */
#include "fold.h"

#include "firsts.h"
#include "keyset.h"
#include "part.h"

#include <stdlib.h>
#include <string.h>

enum {
	WINDOW = 64,  /* parts that are split before they are folded: what stays in a cache */
	BATCH = 256,  /* rows of a bucket at a time, and so as many new keys at most */
};

/* Slots are 1 << slot_bits, with the place of a key + 1: by the low bits of dense words, or
 * of hashes the bits that follow the first, with linear probing. */
struct bucket {
	uint32_t *slot;
	unsigned slot_bits;
	uint32_t n, cap; /* keys */
	struct key {
		uint64_t word;
		uint32_t first; /* row */
		uint32_t rows;
	} *key;
	bool failed;
};

struct fold {
	const struct rn_key *k;
	struct rn_fold_sink sink;
	struct rn_keyset *s;
	unsigned shift, bits; /* dense words: bits below the bucket's; else: first bits of hashes */
	uint32_t buckets;
	struct bucket *bucket;
	struct rn_firsts firsts;
	/* A window: its rows split by part and bucket. */
	uint64_t start;
	uint32_t parts;
	struct rn_buf *word;   /* uint64_t per row, later struct rn_fold_at */
	struct rn_buf *offset; /* uint16_t per row: which of its part */
	struct rn_buf *piece;  /* uint32_t[parts][buckets + 1]: where pieces start in their part */
	struct rn_buf **value, **null;
};
_Static_assert(sizeof(struct rn_fold_at) == sizeof(uint64_t), "a place overwrites a word");

/* ---- splitting ---------------------------------------------------------------------------- */

static uint32_t *pieces_of(const struct fold *f, uint32_t part)
{
	return (uint32_t *)f->piece->data + (uint64_t)part * (f->buckets + 1);
}

/* The words of a part, and the bucket of each. */
struct part_words {
	uint64_t word[RN_PART_ROWS];
	uint16_t to[RN_PART_ROWS]; /* later where the row goes in its part */
};

static void load_part(const struct fold *f, uint64_t from, uint64_t n, struct part_words *p)
{
	struct rn_key_words w;

	for (uint64_t at = 0; at < n; at += RN_KEY_BATCH) {
		size_t m = n - at < RN_KEY_BATCH ? n - at : RN_KEY_BATCH;

		rn_key_words(f->s, f->k, from + at, m, &w);
		memcpy(p->word + at, w.word, m * sizeof *w.word);
		for (size_t i = 0; i < m && f->s->kind == RN_KEYSET_ARRAY; i++)
			p->to[at + i] = (uint16_t)(w.word[i] >> f->shift);
		for (size_t i = 0; i < m && f->s->kind != RN_KEYSET_ARRAY; i++)
			p->to[at + i] = (uint16_t)(rn_key_hash(w.word[i]) >> (64 - f->bits));
	}
}

static void split_values(const struct fold *f, uint32_t part, uint64_t from, uint64_t n,
			 const uint16_t *to)
{
	for (size_t v = 0; v < f->sink.n; v++) {
		const struct rn_column *c = f->sink.values[v];
		const int64_t *value = c->type == RN_FLOAT64 ? (const int64_t *)(const void *)c->f64 : c->i64;
		int64_t *values = f->value[v] ? (int64_t *)f->value[v]->data + rn_part_from(part) : NULL;
		uint8_t *nulls = f->null[v] ? (uint8_t *)f->null[v]->data + rn_part_from(part) : NULL;

		for (uint64_t i = 0; values && i < n; i++)
			memcpy(&values[to[i]], &value[from + i], sizeof *value);
		for (uint64_t i = 0; nulls && i < n; i++)
			nulls[to[i]] = c->null[from + i];
	}
}

static void split_part(void *arg, uint32_t part)
{
	const struct fold *f = arg;
	uint64_t from = f->start + rn_part_from(part), n = f->k->rows - from;
	uint64_t *word = (uint64_t *)f->word->data + rn_part_from(part);
	uint16_t *offset = (uint16_t *)f->offset->data + rn_part_from(part);
	uint32_t *piece = pieces_of(f, part), at = 0;
	struct part_words p;

	n = n < RN_PART_ROWS ? n : RN_PART_ROWS;
	load_part(f, from, n, &p);
	memset(piece, 0, (f->buckets + 1) * sizeof *piece);
	for (uint64_t i = 0; i < n; i++)
		piece[p.to[i]]++;
	for (uint32_t b = 0; b < f->buckets; b++) {
		uint32_t rows = piece[b];

		piece[b] = at;
		at += rows;
	}
	for (uint64_t i = 0; i < n; i++) {
		uint32_t to = piece[p.to[i]]++;

		word[to] = p.word[i];
		offset[to] = (uint16_t)i;
		p.to[i] = (uint16_t)to;
	}
	/* piece[b] ran to the end of b, which is the start of b + 1. */
	memmove(piece + 1, piece, f->buckets * sizeof *piece);
	piece[0] = 0;
	split_values(f, part, from, n, p.to);
}

/* ---- folding -------------------------------------------------------------------------------- */

static inline uint64_t slot_of(const struct fold *f, const struct bucket *b, uint64_t word)
{
	return rn_key_hash(word) << f->bits >> (64 - b->slot_bits);
}

/* Slots for twice as many keys. */
static bool grow_slots(const struct fold *f, struct bucket *b)
{
	unsigned bits = b->slot ? b->slot_bits + 1 : 9;
	uint64_t mask = ((uint64_t)1 << bits) - 1;
	uint32_t *slot = calloc(mask + 1, sizeof *slot);

	if (!slot)
		return false;
	free(b->slot);
	b->slot = slot;
	b->slot_bits = bits;
	for (uint32_t i = 0; i < b->n; i++) {
		uint64_t at = slot_of(f, b, b->key[i].word);

		while (slot[at])
			at = (at + 1) & mask;
		slot[at] = i + 1;
	}
	return true;
}

/* Room for a batch of new keys, in slots at a load of at most one half. */
static bool make_room(const struct fold *f, uint32_t number, struct bucket *b)
{
	uint32_t cap = b->cap ? 2 * b->cap : 4 * BATCH;
	struct key *key;

	if (f->s->kind == RN_KEYSET_ARRAY && !b->slot) {
		b->slot = calloc((size_t)1 << f->shift, sizeof *b->slot);
		if (!b->slot)
			return false;
	}
	while (f->s->kind != RN_KEYSET_ARRAY &&
	       (!b->slot || (uint64_t)(b->n + BATCH) * 2 > (uint64_t)1 << b->slot_bits))
		if (!grow_slots(f, b))
			return false;
	if (b->n + BATCH <= b->cap)
		return true;
	key = realloc(b->key, cap * sizeof *key);
	if (!key)
		return false;
	b->key = key;
	b->cap = cap;
	return f->sink.room(f->sink.arg, number, cap);
}

/* The key of a row, and how many rows came before. */
static inline struct rn_fold_at count_row(struct bucket *b, uint32_t *slot, uint64_t word,
					  uint32_t row)
{
	if (!*slot) {
		b->key[b->n] = (struct key){ .word = word, .first = row };
		*slot = ++b->n;
	}
	return (struct rn_fold_at){ *slot - 1, b->key[*slot - 1].rows++ };
}

/* The slots at which the search for n words begins.  Those, and the keys there, that have
 * left the cache since the last window are asked for at once. */
static inline void begin_search(const struct fold *f, const struct bucket *b, const uint64_t *word,
				uint32_t n, uint32_t *at)
{
	uint64_t mask = ((uint64_t)1 << f->shift) - 1;

	for (uint32_t i = 0; i < n; i++) {
		at[i] = (uint32_t)(f->s->kind == RN_KEYSET_ARRAY ? word[i] & mask : slot_of(f, b, word[i]));
		__builtin_prefetch(&b->slot[at[i]]);
	}
	for (uint32_t i = 0; i < n; i++)
		__builtin_prefetch(&b->key[b->slot[at[i]] ? b->slot[at[i]] - 1 : 0]);
}

/* The slot, from `at` on, of a row's key. */
static inline uint32_t *find_slot(const struct fold *f, const struct bucket *b, uint32_t at,
				  uint32_t mask, uint64_t word, uint32_t row, bool exact)
{
	for (;; at = (at + 1) & mask) {
		uint32_t place = b->slot[at];

		if (!place || (b->key[place - 1].word == word &&
			       (exact || rn_key_same(f->k, row, f->k, b->key[place - 1].first))))
			return &b->slot[at];
	}
}

/* From the words of n rows, a batch at most, to their places. */
static void enter_rows(const struct fold *f, struct bucket *b, uint64_t *word,
		       const uint16_t *offset, uint32_t n, uint32_t base)
{
	struct rn_fold_at *to = (struct rn_fold_at *)(void *)word;
	uint32_t at[BATCH], mask = (uint32_t)(((uint64_t)1 << b->slot_bits) - 1);

	begin_search(f, b, word, n, at);
	if (f->s->kind == RN_KEYSET_ARRAY)
		for (uint32_t i = 0; i < n; i++)
			to[i] = count_row(b, &b->slot[at[i]], word[i], base + offset[i]);
	else if (f->s->kind == RN_KEYSET_WORD)
		for (uint32_t i = 0; i < n; i++)
			to[i] = count_row(b, find_slot(f, b, at[i], mask, word[i], 0, true), word[i],
					  base + offset[i]);
	else
		for (uint32_t i = 0; i < n; i++) {
			uint32_t row = base + offset[i];

			to[i] = count_row(b, find_slot(f, b, at[i], mask, word[i], row, false), word[i], row);
		}
}

/* Rows at … at + n - 1 of a split part, a batch at most. */
static void fold_rows(const struct fold *f, uint32_t number, uint32_t part, uint32_t at, uint32_t n)
{
	uint64_t *word = (uint64_t *)f->word->data + rn_part_from(part) + at;
	const uint16_t *offset = (uint16_t *)f->offset->data + rn_part_from(part) + at;
	const uint64_t *value[RN_FOLD_VALUES];
	const uint8_t *null[RN_FOLD_VALUES];
	struct rn_fold_rows r = { n, (const struct rn_fold_at *)(const void *)word, value, null };

	for (size_t v = 0; v < f->sink.n; v++) {
		uint64_t from = rn_part_from(part) + at;

		value[v] = f->value[v] ? (const uint64_t *)f->value[v]->data + from : NULL;
		null[v] = f->null[v] ? (const uint8_t *)f->null[v]->data + from : NULL;
	}
	enter_rows(f, &f->bucket[number], word, offset, n, (uint32_t)(f->start + rn_part_from(part)));
	f->sink.add(f->sink.arg, number, &r);
}

static void fold_bucket(void *arg, uint32_t number)
{
	const struct fold *f = arg;
	struct bucket *b = &f->bucket[number];
	uint32_t had = b->n;

	for (uint32_t part = 0; part < f->parts; part++) {
		const uint32_t *piece = pieces_of(f, part) + number;

		for (uint32_t at = piece[0], n; at < piece[1]; at += n) {
			n = piece[1] - at < BATCH ? piece[1] - at : BATCH;
			b->failed = b->failed || !make_room(f, number, b);
			if (b->failed)
				return;
			fold_rows(f, number, part, at, n);
		}
	}
	for (uint32_t i = had; i < b->n; i++)
		rn_firsts_mark(&f->firsts, b->key[i].first);
}

static void end_bucket(void *arg, uint32_t number)
{
	const struct fold *f = arg;
	struct bucket *b = &f->bucket[number];
	struct rn_fold_group group[BATCH];

	for (uint32_t at = 0, n; at < b->n; at += n) {
		n = b->n - at < BATCH ? b->n - at : BATCH;
		for (uint32_t i = 0; i < n; i++)
			group[i] = (struct rn_fold_group){
				rn_firsts_rank(&f->firsts, b->key[at + i].first), b->key[at + i].rows,
			};
		f->sink.end(f->sink.arg, number, at, n, group);
	}
}

/* ---- the whole ------------------------------------------------------------------------------ */

static int open_window(struct fold *f, struct rn_err *e)
{
	uint64_t rows = (uint64_t)WINDOW * RN_PART_ROWS;

	rows = rows < f->k->rows ? rows : f->k->rows;
	RN_TRY(rn_buf_new_raw(rows * sizeof(uint64_t), "groups", &f->word, e));
	RN_TRY(rn_buf_new_raw(rows * sizeof(uint16_t), "groups", &f->offset, e));
	RN_TRY(rn_buf_new_raw((size_t)rn_part_count(rows) * (f->buckets + 1) * sizeof(uint32_t),
			      "groups", &f->piece, e));
	for (size_t v = 0; v < f->sink.n; v++) {
		const struct rn_column *c = f->sink.values[v];

		if (c->type == RN_INT64 || c->type == RN_TIMESTAMP || c->type == RN_FLOAT64)
			RN_TRY(rn_buf_new_raw(rows * sizeof(uint64_t), "groups", &f->value[v], e));
		if (c->null)
			RN_TRY(rn_buf_new_raw(rows, "groups", &f->null[v], e));
	}
	return 0;
}

static int open_fold(struct rn_team *t, struct fold *f, struct rn_err *e)
{
	uint64_t rows = f->k->rows;

	RN_TRY(rn_calloc(1, sizeof *f->s, "a key", &f->s, e));
	f->s->nulls = true;
	RN_TRY(rn_calloc(f->k->n, sizeof *f->s->digits, "a key", &f->s->digits, e));
	RN_TRY(rn_keyset_choose(t, f->k, f->s, e));
	/* As few as leave the keys of a bucket in a cache: pieces get long then. */
	f->bits = 6;
	while (1 << f->bits < RN_FOLD_BUCKETS && rows >> f->bits > 1 << 16)
		f->bits++;
	f->buckets = 1u << f->bits;
	if (f->s->kind == RN_KEYSET_ARRAY) {
		while ((f->s->words - 1) >> f->shift >= f->buckets)
			f->shift++;
		f->buckets = (uint32_t)((f->s->words - 1) >> f->shift) + 1;
	}
	RN_TRY(rn_firsts_new(rows, &f->firsts, e));
	RN_TRY(rn_calloc(f->buckets, sizeof *f->bucket, "groups", &f->bucket, e));
	RN_TRY(rn_calloc(f->sink.n, sizeof(struct rn_buf *), "groups", &f->value, e));
	RN_TRY(rn_calloc(f->sink.n, sizeof(struct rn_buf *), "groups", &f->null, e));
	return open_window(f, e);
}

static void free_fold(struct fold *f)
{
	for (uint32_t i = 0; f->bucket && i < f->buckets; i++) {
		free(f->bucket[i].slot);
		free(f->bucket[i].key);
	}
	for (size_t v = 0; v < f->sink.n; v++) {
		rn_buf_unref(f->value ? f->value[v] : NULL);
		rn_buf_unref(f->null ? f->null[v] : NULL);
	}
	free(f->value);
	free(f->null);
	free(f->bucket);
	rn_buf_unref(f->word);
	rn_buf_unref(f->offset);
	rn_buf_unref(f->piece);
	rn_firsts_free(&f->firsts);
	rn_keyset_free(f->s);
	free(f);
}

/* Would one bucket keep one thread busy for twice as long as each has work? */
static bool is_lopsided(const struct fold *f, struct rn_team *t)
{
	uint64_t most = 0, all = 0;

	for (uint32_t b = 0; b < f->buckets; b++) {
		uint64_t rows = 0;

		for (uint32_t part = 0; part < f->parts; part++)
			rows += pieces_of(f, part)[b + 1] - pieces_of(f, part)[b];
		most = rows > most ? rows : most;
		all += rows;
	}
	return most * rn_team_threads(t) > 2 * all;
}

/* Keys so far. */
static int count_keys(const struct fold *f, uint64_t *n, struct rn_err *e)
{
	*n = 0;
	for (uint32_t i = 0; i < f->buckets; i++) {
		if (f->bucket[i].failed)
			return rn_err_nomem(e, 2 * f->bucket[i].cap * sizeof(struct key), "groups");
		*n += f->bucket[i].n;
	}
	return 0;
}

static int add_rows(struct rn_team *t, struct fold *f, bool *done, struct rn_err *e)
{
	uint64_t rows = f->k->rows, end, keys;

	*done = false;
	for (; f->start < rows; f->start = end) {
		uint32_t left = rn_part_count(rows - f->start);

		f->parts = left < WINDOW ? left : WINDOW;
		end = f->start + (uint64_t)f->parts * RN_PART_ROWS;
		rn_team_run(t, f->parts, split_part, f);
		if (!f->start && is_lopsided(f, t))
			return 0;
		rn_team_run(t, f->buckets, fold_bucket, f);
		RN_TRY(count_keys(f, &keys, e));
		if (end < rows && keys > end / 2)
			return 0;
	}
	*done = true;
	return 0;
}

int rn_fold_new(struct rn_team *t, const struct rn_key *k, const struct rn_fold_sink *s,
		struct rn_fold *out, bool *done, struct rn_err *e)
{
	struct fold *f;
	int rc;

	*out = (struct rn_fold){ 0 };
	*done = false;
	if (k->rows < RN_TEAM_ROWS || k->rows > RN_MAX_ROWS || !k->n || s->n > RN_FOLD_VALUES)
		return 0;
	RN_TRY(rn_calloc(1, sizeof *f, "groups", &f, e));
	f->k = k;
	f->sink = *s;
	RN_GOTO(out, open_fold(t, f, e));
	RN_GOTO(out, add_rows(t, f, done, e));
	if (*done) {
		RN_GOTO(out, rn_firsts_list(t, &f->firsts, e));
		*out = (struct rn_fold){ f->firsts.n, rn_buf_ref(f->firsts.first), f };
		return 0;
	}
out:
	free_fold(f);
	return rc;
}

void rn_fold_end(struct rn_team *t, const struct rn_fold *f)
{
	rn_team_run(t, f->own->buckets, end_bucket, f->own);
}

void rn_fold_free(struct rn_fold *f)
{
	rn_buf_unref(f->first);
	if (f->own)
		free_fold(f->own);
	*f = (struct rn_fold){ 0 };
}
