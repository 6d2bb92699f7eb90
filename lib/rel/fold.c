/* SPDX-License-Identifier: Apache-2.0
 *
 * Folding rows by key; see fold.h.  The words of keys are those of keyset.h.  Dense ones
 * fall into buckets by their high bits; others are replaced by their hashes, of which no two
 * are equal, and fall into buckets by the first bits.
 */
#include "fold.h"

#include "firsts.h"
#include "keyset.h"
#include "part.h"

#include <stdlib.h>
#include <string.h>

enum {
	WINDOW = 64, /* parts that are split before they are folded: what stays in a cache */
	BATCH = 256, /* rows of a bucket at a time, and so as many new keys at most */
	LINE = 64,   /* bytes of a cache line */
};

/* The hash of no exact word: these are counted by a uint64_t, and are smaller. */
#define NO_WORD rn_key_hash(UINT64_MAX)

/* A key, followed by what the sink keeps of it. */
struct key {
	uint64_t word;
	uint32_t first; /* row */
	uint32_t rows;
};
_Static_assert(sizeof(struct key) == RN_FOLD_UNIT, "what is kept is aligned as the key is");

/* Slots are 1 << slot_bits, with the place of a key: by the low bits of dense words, or of
 * hashes the bits that follow the first, with linear probing.  Places count units; at place 0
 * is a key that is none, which empty slots lead to. */
struct bucket {
	uint32_t *slot;
	unsigned slot_bits;
	uint32_t n, cap; /* keys, with the one that is none */
	char *keys;
	bool failed;
};

struct fold {
	const struct rn_key *k;
	struct rn_fold_sink sink;
	struct rn_keyset *s;
	unsigned shift, bits; /* dense words: bits below the bucket's; else: first bits of hashes */
	uint32_t buckets;
	uint32_t units; /* of a key, with what is kept of it */
	struct bucket *bucket;
	struct rn_firsts firsts;
	/* A window: its rows split by part and bucket. */
	uint64_t start;
	uint32_t parts;
	struct rn_buf *word;   /* uint64_t per row: dense words, or hashes */
	struct rn_buf *offset; /* uint16_t per row: which of its part */
	struct rn_buf *piece;  /* uint32_t[parts][buckets + 1]: where pieces start in their part */
	struct rn_buf **value, **null;
};

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

/* And how many rows each bucket gets. */
static void load_part(const struct fold *f, uint64_t from, uint64_t n, struct part_words *p,
		      uint32_t *rows)
{
	bool dense = f->s->kind == RN_KEYSET_ARRAY;
	unsigned shift = dense ? f->shift : 64 - f->bits;
	struct rn_key_words w;

	for (uint64_t at = 0; at < n; at += RN_KEY_BATCH) {
		size_t m = n - at < RN_KEY_BATCH ? n - at : RN_KEY_BATCH;

		rn_key_words(f->s, f->k, from + at, m, &w);
		for (size_t i = 0; i < m; i++) {
			uint64_t word = dense ? w.word[i] : rn_key_hash(w.word[i]);
			uint16_t to = (uint16_t)(word >> shift);

			p->word[at + i] = word;
			p->to[at + i] = to;
			rows[to]++;
		}
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
	memset(piece, 0, (f->buckets + 1) * sizeof *piece);
	load_part(f, from, n, &p, piece);
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

static inline struct key *key_at(const struct bucket *b, uint32_t place)
{
	return (struct key *)(void *)(b->keys + (size_t)place * RN_FOLD_UNIT);
}

/* Not of dense words. */
static inline uint32_t slot_of(uint64_t hash, unsigned bits, unsigned slot_bits)
{
	uint32_t mask = (uint32_t)(((uint64_t)1 << slot_bits) - 1);

	return (uint32_t)(hash >> (64 - bits - slot_bits)) & mask;
}

/* Slots for twice as many keys. */
static bool grow_slots(const struct fold *f, struct bucket *b)
{
	unsigned bits = b->slot ? b->slot_bits + 1 : 9;
	uint32_t mask = (uint32_t)(((uint64_t)1 << bits) - 1);
	uint32_t *slot = calloc((size_t)mask + 1, sizeof *slot);

	if (!slot)
		return false;
	free(b->slot);
	b->slot = slot;
	b->slot_bits = bits;
	for (uint32_t i = 1; i < b->n; i++) {
		uint32_t at = slot_of(key_at(b, i * f->units)->word, f->bits, bits);

		while (slot[at])
			at = (at + 1) & mask;
		slot[at] = i * f->units;
	}
	return true;
}

static bool grow_keys(const struct fold *f, struct bucket *b)
{
	uint32_t cap = b->cap ? 2 * b->cap : 4 * BATCH; /* as bytes a multiple of RN_ALIGN */
	size_t size = (size_t)f->units * RN_FOLD_UNIT;
	char *keys;

	if ((uint64_t)cap * f->units > UINT32_MAX)
		return false;
	keys = aligned_alloc(RN_ALIGN, cap * size);
	if (!keys)
		return false;
	if (b->n)
		memcpy(keys, b->keys, b->n * size);
	else
		*(struct key *)(void *)keys = (struct key){ .word = NO_WORD };
	free(b->keys);
	b->keys = keys;
	b->cap = cap;
	b->n = b->n ? b->n : 1;
	return true;
}

/* Room for a batch of new keys, in slots at a load of at most one half. */
static bool make_room(const struct fold *f, struct bucket *b)
{
	bool dense = f->s->kind == RN_KEYSET_ARRAY;

	if (b->n + BATCH > b->cap && !grow_keys(f, b))
		return false;
	if (dense && !b->slot)
		b->slot = calloc((size_t)1 << f->shift, sizeof *b->slot);
	if (dense)
		return b->slot;
	while (!b->slot || (uint64_t)(b->n + BATCH) * 2 > (uint64_t)1 << b->slot_bits)
		if (!grow_slots(f, b))
			return false;
	return true;
}

/* A batch of rows, side by side in a part, and what is found of their keys. */
struct batch {
	uint32_t n;
	uint32_t base; /* the row at which the part begins */
	const uint64_t *word;
	const uint16_t *row; /* in the part */
	uint32_t key[BATCH];
	uint8_t before[BATCH];
	/* Rows whose key does not stand where the search for it begins. */
	uint16_t miss[BATCH + 1];
};
_Static_assert(RN_FOLD_CHUNK == UINT8_MAX + 1, "as far as `before` counts");

/* Enter the rows whose key stands where the search begins; the others are listed.  Of a key
 * that holds for all rows of the batch or none, so that the others can come later.  No branch
 * waits for memory. */
static inline __attribute__((always_inline)) uint32_t
enter_hits(const struct fold *f, const struct bucket *b, struct batch *r, enum rn_keyset_kind kind)
{
	unsigned shift = 64 - f->bits - b->slot_bits;
	uint32_t mask = kind == RN_KEYSET_ARRAY ? (uint32_t)(((uint64_t)1 << f->shift) - 1) :
						  (uint32_t)(((uint64_t)1 << b->slot_bits) - 1);
	const uint64_t *words = r->word;
	const uint32_t *slots = b->slot;
	char *keys = b->keys;
	uint32_t n = 0, rows = r->n;

	for (uint32_t i = 0; i < rows; i++) {
		uint64_t word = words[i];
		uint32_t slot = (uint32_t)(kind == RN_KEYSET_ARRAY ? word : word >> shift) & mask;
		uint32_t place = slots[slot];
		struct key *k = (struct key *)(void *)(keys + (size_t)place * RN_FOLD_UNIT);
		bool hit = kind == RN_KEYSET_ARRAY ? place != 0 : k->word == word;

		if (kind == RN_KEYSET_HASH && hit)
			hit = place && rn_key_same(f->k, r->base + r->row[i], f->k, k->first);
		r->key[i] = place;
		r->before[i] = (uint8_t)k->rows;
		k->rows += hit;
		r->miss[n] = (uint16_t)i;
		n += !hit;
	}
	return n;
}

/* The slot of a row's key: where it stands, or will. */
static inline uint32_t *find_slot(const struct fold *f, const struct bucket *b, uint64_t word,
				  uint32_t row)
{
	uint32_t mask = (uint32_t)(((uint64_t)1 << b->slot_bits) - 1), at;
	enum rn_keyset_kind kind = f->s->kind;

	if (kind == RN_KEYSET_ARRAY)
		return &b->slot[word & (((uint64_t)1 << f->shift) - 1)];
	for (at = slot_of(word, f->bits, b->slot_bits);; at = (at + 1) & mask) {
		uint32_t place = b->slot[at];
		const struct key *k = key_at(b, place);

		if (!place || (k->word == word && (kind == RN_KEYSET_WORD ||
						   rn_key_same(f->k, row, f->k, k->first))))
			return &b->slot[at];
	}
}

static uint32_t new_key(const struct fold *f, struct bucket *b, uint64_t word, uint32_t row)
{
	uint32_t place = b->n++ * f->units;

	memset(key_at(b, place), 0, (size_t)f->units * RN_FOLD_UNIT);
	*key_at(b, place) = (struct key){ .word = word, .first = row };
	return place;
}

/* From the words of a batch to the places of their keys, and the rows that came before. */
static void enter_rows(const struct fold *f, struct bucket *b, struct batch *r)
{
	uint32_t n;

	if (f->s->kind == RN_KEYSET_ARRAY)
		n = enter_hits(f, b, r, RN_KEYSET_ARRAY);
	else if (f->s->kind == RN_KEYSET_WORD)
		n = enter_hits(f, b, r, RN_KEYSET_WORD);
	else
		n = enter_hits(f, b, r, RN_KEYSET_HASH);
	for (uint32_t m = 0; m < n; m++) {
		uint32_t i = r->miss[m], row = r->base + r->row[i];
		uint32_t *slot = find_slot(f, b, r->word[i], row);

		if (!*slot)
			*slot = new_key(f, b, r->word[i], row);
		r->key[i] = *slot;
		r->before[i] = (uint8_t)key_at(b, *slot)->rows++;
	}
}

/* Rows at … at + n - 1 of a split part, a batch at most. */
static void fold_rows(const struct fold *f, struct bucket *b, uint32_t part, uint32_t at, uint32_t n)
{
	uint64_t from = rn_part_from(part) + at;
	const uint64_t *value[RN_FOLD_VALUES];
	const uint8_t *null[RN_FOLD_VALUES];
	struct batch r;
	struct rn_fold_rows rows = {
		.n = n,
		.kept = b->keys + sizeof(struct key),
		.key = r.key,
		.before = r.before,
		.value = value,
		.null = null,
	};

	r.n = n;
	r.base = (uint32_t)(f->start + rn_part_from(part));
	r.word = (const uint64_t *)f->word->data + from;
	r.row = (const uint16_t *)f->offset->data + from;
	for (size_t v = 0; v < f->sink.n; v++) {
		value[v] = f->value[v] ? (const uint64_t *)f->value[v]->data + from : NULL;
		null[v] = f->null[v] ? (const uint8_t *)f->null[v]->data + from : NULL;
	}
	enter_rows(f, b, &r);
	f->sink.add(f->sink.arg, &rows);
}

/* Read, in their order, bytes that will be wanted in another. */
static void read_ahead(const void *p, size_t n)
{
	const volatile char *c = p;

	for (size_t i = 0; i < n; i += LINE)
		(void)c[i];
}

/* What was found in the windows before has left the cache.  In its order it comes back sooner
 * than row by row, where these will want most of it. */
static void warm_up(const struct fold *f, const struct bucket *b, uint32_t number)
{
	size_t keys = (size_t)b->n * f->units * RN_FOLD_UNIT, slots, rows = 0;

	slots = sizeof *b->slot << (f->s->kind == RN_KEYSET_ARRAY ? f->shift : b->slot_bits);
	for (uint32_t part = 0; part < f->parts; part++)
		rows += pieces_of(f, part)[number + 1] - pieces_of(f, part)[number];
	if (!b->slot || keys + slots > rows * LINE)
		return;
	read_ahead(b->slot, slots);
	read_ahead(b->keys, keys);
}

static void fold_bucket(void *arg, uint32_t number)
{
	const struct fold *f = arg;
	struct bucket *b = &f->bucket[number];
	uint32_t had = b->n ? b->n : 1;

	warm_up(f, b, number);
	for (uint32_t part = 0; part < f->parts; part++) {
		const uint32_t *piece = pieces_of(f, part) + number;

		for (uint32_t at = piece[0], n; at < piece[1]; at += n) {
			n = piece[1] - at < BATCH ? piece[1] - at : BATCH;
			b->failed = b->failed || !make_room(f, b);
			if (b->failed)
				return;
			fold_rows(f, b, part, at, n);
		}
	}
	for (uint32_t i = had; i < b->n; i++)
		rn_firsts_mark(&f->firsts, key_at(b, i * f->units)->first);
}

static void end_bucket(void *arg, uint32_t number)
{
	const struct fold *f = arg;
	struct bucket *b = &f->bucket[number];
	struct rn_fold_group group[BATCH];

	for (uint32_t at = 1, n; at < b->n; at += n) {
		n = b->n - at < BATCH ? b->n - at : BATCH;
		for (uint32_t i = 0; i < n; i++) {
			const struct key *k = key_at(b, (at + i) * f->units);

			group[i] = (struct rn_fold_group){
				rn_firsts_rank(&f->firsts, k->first), k->rows, (const char *)(k + 1),
			};
		}
		f->sink.end(f->sink.arg, n, group);
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
		free(f->bucket[i].keys);
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
			return rn_err_nomem(e, (size_t)2 * f->bucket[i].cap * f->units * RN_FOLD_UNIT,
					    "groups");
		*n += f->bucket[i].n ? f->bucket[i].n - 1 : 0;
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
	f->units = 1 + (uint32_t)((s->size + RN_FOLD_UNIT - 1) / RN_FOLD_UNIT);
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
