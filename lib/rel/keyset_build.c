/* SPDX-License-Identifier: Apache-2.0
 *
 * Distinct keys of many rows, by parts.  Keys are found in any order; what numbers them
 * is the set of their first rows, a bitmap: the number of a key is how many first rows
 * come before its own.
 *
 * Dense words: every row lowers the entry of its word to its own number, and what stays
 * is the first row.  Other words: each part of the rows is split by the first bits of
 * the words' hashes, in place and in the order of the rows; then all pieces of the same
 * bits are entered into one table that fits a cache.  Where the rows of each key are
 * wanted, they are dealt out from there.
 */
#include "firsts.h"
#include "keyset.h"
#include "part.h"

#include <stdlib.h>
#include <string.h>

/* Hand the list of first rows to the set. */
static void give_first(struct rn_firsts *r, struct rn_keyset *s)
{
	s->n = r->n;
	s->first = r->first;
	r->first = NULL;
}

/* ---- dense words ------------------------------------------------------------------------ */

struct array {
	const struct rn_keyset *s;
	const struct rn_key *k;
	struct rn_firsts firsts;
};

static void clear_entries(void *arg, uint32_t part)
{
	const struct array *a = arg;
	uint64_t from = rn_part_from(part), to = rn_part_to(part, a->s->words + 1);

	memset((uint32_t *)a->s->array->data + from, 0xff, (to - from) * sizeof(uint32_t));
}

static void lower_entries(void *arg, uint32_t part)
{
	const struct array *a = arg;
	uint32_t *entry = a->s->array->data;
	uint64_t to = rn_part_to(part, a->k->rows);
	struct rn_key_words w;

	for (uint64_t from = rn_part_from(part); from < to; from += RN_KEY_BATCH) {
		size_t n = to - from < RN_KEY_BATCH ? to - from : RN_KEY_BATCH;

		rn_key_words(a->s, a->k, from, n, &w);
		for (size_t i = 0; i < n; i++) {
			uint32_t *at = &entry[w.word[i]], row = (uint32_t)(from + i), now;

			if (w.skips && w.skip[i])
				continue;
			now = __atomic_load_n(at, __ATOMIC_RELAXED);
			while (row < now &&
			       !__atomic_compare_exchange_n(at, &now, row, true, __ATOMIC_RELAXED,
							    __ATOMIC_RELAXED))
				;
		}
	}
}

static void mark_entries(void *arg, uint32_t part)
{
	const struct array *a = arg;
	const uint32_t *entry = a->s->array->data;
	uint64_t to = rn_part_to(part, a->s->words + 1);

	for (uint64_t w = rn_part_from(part); w < to; w++)
		if (entry[w] != RN_NO_ROW)
			rn_firsts_mark(&a->firsts, entry[w]);
}

/* From first rows to numbers + 1; 0 where there is none. */
static void number_entries(void *arg, uint32_t part)
{
	const struct array *a = arg;
	uint32_t *entry = a->s->array->data;
	uint64_t to = rn_part_to(part, a->s->words + 1);

	for (uint64_t w = rn_part_from(part); w < to; w++)
		entry[w] = entry[w] == RN_NO_ROW ? 0 : rn_firsts_rank(&a->firsts, entry[w]) + 1;
}

int rn_keyset_build_array(struct rn_team *t, const struct rn_key *k, struct rn_keyset *s,
			  uint32_t *of, struct rn_err *e)
{
	struct array a = { .s = s, .k = k };
	int rc;

	RN_TRY(rn_buf_new_raw((s->words + 1) * sizeof(uint32_t), "a key array", &s->array, e));
	RN_GOTO(out, rn_firsts_new(k->rows, &a.firsts, e));
	rn_part_run(t, s->words + 1, clear_entries, &a);
	rn_part_run(t, k->rows, lower_entries, &a);
	rn_part_run(t, s->words + 1, mark_entries, &a);
	RN_GOTO(out, rn_firsts_list(t, &a.firsts, e));
	rn_part_run(t, s->words + 1, number_entries, &a);
	give_first(&a.firsts, s);
	rc = rn_keyset_find(t, s, k, k, of, e);
out:
	rn_firsts_free(&a.firsts);
	return rc;
}

/* ---- tables ------------------------------------------------------------------------------- */

/* The keys of one value of the first bits. */
struct bucket {
	struct rn_keyset_table table;
	uint32_t n;
	uint64_t cap;
	uint32_t *first; /* first rows, then the numbers, of its keys in order */
	uint64_t slots;  /* where its table starts in those of all */
	bool failed;
};

struct build {
	const struct rn_keyset *s;
	const struct rn_key *k;
	uint32_t *of;
	bool find;
	unsigned bits; /* first bits */
	uint64_t start; /* the row at which part 0 begins */
	uint32_t parts;
	struct rn_buf *words;  /* uint64_t per row; later uint32_t, the key's place in its bucket */
	struct rn_buf *offset; /* uint16_t per row, in its part */
	struct rn_buf *piece;  /* uint32_t: where the pieces of each part start, in the part; and end */
	struct bucket *bucket;
	struct rn_firsts firsts;
};

/* Pieces of a part: from[b] … from[b + 1] - 1. */
static const uint32_t *pieces_of(const struct build *b, uint32_t part)
{
	return (const uint32_t *)b->piece->data + (uint64_t)part * ((1u << b->bits) + 1);
}

static inline unsigned bucket_of(const struct build *b, uint64_t word)
{
	return (unsigned)(rn_key_hash(word) >> (64 - b->bits));
}

/* The words of a part and which of its rows have them: n of them, all unless some are skipped. */
struct part_words {
	uint64_t word[RN_PART_ROWS];
	uint16_t row[RN_PART_ROWS];
	uint32_t n;
};

static void load_part(const struct build *b, uint32_t part, struct part_words *p)
{
	uint64_t from = b->start + rn_part_from(part), to = from + RN_PART_ROWS;
	struct rn_key_words w;

	to = to < b->k->rows ? to : b->k->rows;
	p->n = 0;
	for (uint64_t at = from; at < to; at += RN_KEY_BATCH) {
		size_t n = to - at < RN_KEY_BATCH ? to - at : RN_KEY_BATCH;

		rn_key_words(b->s, b->k, at, n, &w);
		for (size_t i = 0; !w.skips && i < n; i++)
			p->row[p->n + i] = (uint16_t)(at - from + i);
		if (!w.skips) {
			memcpy(p->word + p->n, w.word, n * sizeof *w.word);
			p->n += (uint32_t)n;
			continue;
		}
		for (size_t i = 0; i < n; i++) {
			p->word[p->n] = w.word[i];
			p->row[p->n] = (uint16_t)(at - from + i);
			if (!w.skip[i])
				p->n++;
			else
				b->of[at + i] = RN_NO_ROW;
		}
	}
}

static void split_part(void *arg, uint32_t part)
{
	const struct build *b = arg;
	uint64_t *words = (uint64_t *)b->words->data + rn_part_from(part);
	uint16_t *offset = (uint16_t *)b->offset->data + rn_part_from(part);
	uint32_t *from = (uint32_t *)pieces_of(b, part), at = 0;
	uint32_t buckets = 1u << b->bits;
	struct part_words p;

	load_part(b, part, &p);
	memset(from, 0, (buckets + 1) * sizeof *from);
	for (uint32_t i = 0; i < p.n; i++)
		from[bucket_of(b, p.word[i])]++;
	for (uint32_t k = 0; k < buckets; k++) {
		uint32_t n = from[k];

		from[k] = at;
		at += n;
	}
	for (uint32_t i = 0; i < p.n; i++) {
		uint32_t to = from[bucket_of(b, p.word[i])]++;

		words[to] = p.word[i];
		offset[to] = p.row[i];
	}
	/* from[k] ran to the end of k, which is the start of k + 1. */
	memmove(from + 1, from, buckets * sizeof *from);
	from[0] = 0;
}

/* Room for `more` new keys in bucket k, its table at a load of at most one half. */
static bool make_room(const struct build *b, struct bucket *k, uint64_t more)
{
	uint32_t *first;
	uint64_t cap = k->cap;

	while (!k->table.slot || (k->n + more) * 2 > k->table.size)
		if (!rn_keyset_table_grow(&k->table, b->bits))
			return false;
	while (k->n + more > cap)
		cap *= 2;
	if (cap == k->cap)
		return true;
	first = realloc(k->first, cap * sizeof *first);
	if (!first)
		return false;
	k->first = first;
	k->cap = cap;
	return true;
}

static inline uint32_t enter(const struct build *b, struct bucket *k, uint64_t word, uint32_t row,
			     bool exact)
{
	uint64_t at = rn_key_place(rn_key_hash(word), b->bits, k->table.size);

	for (;; at = at + 1 == k->table.size ? 0 : at + 1) {
		struct rn_keyset_slot *slot = &k->table.slot[at];

		if (slot->id && slot->word == word &&
		    (exact || rn_key_same(b->k, row, b->k, k->first[slot->id - 1])))
			return slot->id - 1;
		if (slot->id)
			continue;
		*slot = (struct rn_keyset_slot){ word, k->n + 1 };
		k->first[k->n] = row;
		return k->n++;
	}
}

/* Enter a piece of n rows; the words give way to the places of the keys. */
static inline void enter_piece(const struct build *b, struct bucket *k, uint64_t *word,
			       const uint16_t *offset, uint32_t n, uint64_t base, bool exact)
{
	uint32_t *place = (uint32_t *)word;

	for (uint32_t i = 0; i < n; i++)
		place[i] = enter(b, k, word[i], (uint32_t)(base + offset[i]), exact);
}

static void fill_bucket(void *arg, uint32_t number)
{
	const struct build *b = arg;
	struct bucket *k = &b->bucket[number];

	k->table.size = 512;
	k->cap = 256;
	k->first = malloc(k->cap * sizeof *k->first);
	k->failed = !k->first;
	for (uint32_t part = 0; !k->failed && part < b->parts; part++) {
		const uint32_t *from = pieces_of(b, part) + number;
		uint64_t base = rn_part_from(part);
		uint64_t *word = (uint64_t *)b->words->data + base + from[0];
		const uint16_t *offset = (uint16_t *)b->offset->data + base + from[0];

		k->failed = !make_room(b, k, from[1] - from[0]);
		if (k->failed)
			break;
		if (b->s->kind == RN_KEYSET_WORD)
			enter_piece(b, k, word, offset, from[1] - from[0], base, true);
		else
			enter_piece(b, k, word, offset, from[1] - from[0], base, false);
	}
	for (uint32_t i = 0; !k->failed && i < k->n; i++)
		rn_firsts_mark(&b->firsts, k->first[i]);
	if (!b->find) {
		free(k->table.slot);
		k->table.slot = NULL;
	}
}

/* Slots of a table that is only searched from now on, a load of some 0.6. */
static uint64_t final_size(const struct bucket *k)
{
	return k->n + k->n / 2 + k->n / 8 + 2;
}

/* From places in a bucket to numbers; its table moves to those of all, if it is kept. */
static void number_bucket(void *arg, uint32_t number)
{
	const struct build *b = arg;
	struct bucket *k = &b->bucket[number];
	struct rn_keyset_table *to = b->find ? &b->s->tables[number] : NULL;

	for (uint32_t i = 0; i < k->n; i++)
		k->first[i] = rn_firsts_rank(&b->firsts, k->first[i]);
	if (!to)
		return;
	*to = (struct rn_keyset_table){ (struct rn_keyset_slot *)b->s->slots->data + k->slots,
					final_size(k) };
	memset(to->slot, 0, to->size * sizeof *to->slot);
	if (k->table.slot)
		rn_keyset_table_move(&k->table, b->bits, to->slot, to->size);
	for (uint64_t i = 0; i < to->size; i++)
		if (to->slot[i].id)
			to->slot[i].id = k->first[to->slot[i].id - 1] + 1;
	free(k->table.slot);
	k->table.slot = NULL;
}

/* of[] of a part, which stays in the cache while its pieces are gone through. */
static void number_part(void *arg, uint32_t part)
{
	const struct build *b = arg;
	uint64_t base = rn_part_from(part);
	const uint64_t *words = (uint64_t *)b->words->data + base;
	const uint16_t *offset = (uint16_t *)b->offset->data + base;
	const uint32_t *from = pieces_of(b, part);
	uint32_t *of = b->of + base;

	for (uint32_t k = 0; k < 1u << b->bits; k++) {
		const uint32_t *place = (const uint32_t *)(words + from[k]), *number = b->bucket[k].first;

		for (uint32_t i = 0; i < from[k + 1] - from[k]; i++)
			of[offset[from[k] + i]] = number[place[i]];
	}
}

/* The rows of a bucket are split by key already, and in order: from them it is one step
 * to the rows by number. */
struct dealing {
	const struct build *b;
	uint32_t *ptr, *at; /* at NULL: rows are counted */
};

static void deal_bucket(void *arg, uint32_t number)
{
	const struct dealing *d = arg;
	const uint32_t *of = d->b->bucket[number].first;
	uint32_t *ptr = d->ptr;

	for (uint32_t part = 0; part < d->b->parts; part++) {
		const uint32_t *from = pieces_of(d->b, part) + number;
		uint64_t base = rn_part_from(part), at = base + from[0];
		const uint32_t *place = (const uint32_t *)((const uint64_t *)d->b->words->data + at);
		const uint16_t *offset = (const uint16_t *)d->b->offset->data + at;
		uint32_t n = from[1] - from[0];

		for (uint32_t i = 0; !d->at && i < n; i++)
			ptr[of[place[i]]]++;
		for (uint32_t i = 0; d->at && i < n; i++)
			d->at[ptr[of[place[i]]]++] = (uint32_t)(base + offset[i]);
	}
}

static int deal_rows(struct rn_team *t, const struct build *b, struct rn_keyset_rows *r,
		     struct rn_err *e)
{
	struct dealing d = { .b = b };
	uint32_t start = 0, n = b->firsts.n;

	RN_TRY(rn_buf_new((n + (size_t)1) * sizeof *d.ptr, "row numbers", &r->ptr, e));
	d.ptr = r->ptr->data;
	rn_team_run(t, 1u << b->bits, deal_bucket, &d);
	for (uint32_t g = 0; g < n; g++) {
		uint32_t count = d.ptr[g];

		d.ptr[g] = start;
		start += count;
	}
	RN_TRY(rn_buf_new_raw(start * sizeof *d.at, "row numbers", &r->at, e));
	d.at = r->at->data;
	rn_team_run(t, 1u << b->bits, deal_bucket, &d);
	/* ptr[g] ran to the end of g, which is the start of g + 1. */
	memmove(d.ptr + 1, d.ptr, n * sizeof *d.ptr);
	d.ptr[0] = 0;
	return 0;
}

/* Room for the words of so many parts. */
static int new_pieces(struct build *b, uint32_t parts, struct rn_err *e)
{
	uint64_t rows = (uint64_t)parts * RN_PART_ROWS;

	b->parts = parts;
	rows = rows < b->k->rows ? rows : b->k->rows;
	RN_TRY(rn_buf_new_raw(rows * sizeof(uint64_t), "a hash table", &b->words, e));
	RN_TRY(rn_buf_new_raw(rows * sizeof(uint16_t), "a hash table", &b->offset, e));
	return rn_buf_new_raw((uint64_t)parts * ((1u << b->bits) + 1) * sizeof(uint32_t),
			      "a hash table", &b->piece, e);
}

static int new_build(struct build *b, struct rn_err *e)
{
	uint64_t rows = b->k->rows;

	/* Buckets of some 2^13 rows, whose table leaves a cache room for the rows that pass, and
	 * pieces of no fewer than 32. */
	b->bits = 4;
	while (b->bits < 10 && rows >> b->bits > 1 << 13)
		b->bits++;
	RN_TRY(rn_firsts_new(rows, &b->firsts, e));
	RN_TRY(new_pieces(b, rn_part_count(rows), e));
	return rn_calloc((size_t)1 << b->bits, sizeof *b->bucket, "a hash table", &b->bucket, e);
}

static void free_build(struct build *b)
{
	for (uint32_t i = 0; b->bucket && i < 1u << b->bits; i++) {
		free(b->bucket[i].table.slot);
		free(b->bucket[i].first);
	}
	free(b->bucket);
	rn_buf_unref(b->words);
	rn_buf_unref(b->offset);
	rn_buf_unref(b->piece);
	rn_firsts_free(&b->firsts);
}

/* Did all buckets fit into memory?  If so give the set room for their tables. */
static int check_buckets(struct build *b, struct rn_keyset *s, struct rn_err *e)
{
	uint64_t slots = 0, most = 0;
	bool failed = false;

	for (uint32_t i = 0; i < 1u << b->bits; i++) {
		struct bucket *k = &b->bucket[i];

		failed = failed || k->failed;
		most = k->table.size > most ? k->table.size : most;
		k->slots = slots;
		slots += final_size(k);
	}
	if (failed)
		return rn_err_nomem(e, 2 * most * sizeof(struct rn_keyset_slot), "a hash table");
	if (!b->find)
		return 0;
	RN_TRY(rn_calloc((size_t)1 << b->bits, sizeof *s->tables, "a hash table", &s->tables, e));
	s->first_bits = b->bits;
	return rn_buf_new_raw(slots * sizeof(struct rn_keyset_slot), "a hash table", &s->slots, e);
}

int rn_keyset_build_tables(struct rn_team *t, const struct rn_key *k, bool find,
			   struct rn_keyset *s, uint32_t *of, struct rn_keyset_rows *rows,
			   struct rn_err *e)
{
	struct build b = { .s = s, .k = k, .of = of, .find = find };
	int rc;

	RN_GOTO(out, new_build(&b, e));
	rn_part_run(t, k->rows, split_part, &b);
	rn_team_run(t, 1u << b.bits, fill_bucket, &b);
	RN_GOTO(out, check_buckets(&b, s, e));
	RN_GOTO(out, rn_firsts_list(t, &b.firsts, e));
	rn_team_run(t, 1u << b.bits, number_bucket, &b);
	rn_part_run(t, k->rows, number_part, &b);
	if (rows && rn_numbers_fall(t, of, k->rows))
		RN_GOTO(out, deal_rows(t, &b, rows, e));
	give_first(&b.firsts, s);
out:
	free_build(&b);
	return rc;
}

/* ---- the search for many rows --------------------------------------------------------------- */

enum {
	WINDOW = 64,            /* parts that are split before they are looked up */
	CACHED_TABLES = 1 << 20, /* bytes of tables that are as well searched row by row */
	AHEAD = 16,             /* words whose slots are asked for before they are needed */
};

static inline void ask_for_word(const struct rn_keyset_table *t, unsigned first_bits, uint64_t word)
{
	__builtin_prefetch(&t->slot[rn_key_place(rn_key_hash(word), first_bits, t->size)]);
}

static inline uint32_t find_word(const struct rn_keyset_table *t, unsigned first_bits, uint64_t word)
{
	uint64_t at = rn_key_place(rn_key_hash(word), first_bits, t->size);

	while (t->slot[at].id && t->slot[at].word != word)
		at = at + 1 == t->size ? 0 : at + 1;
	return t->slot[at].id - 1;
}

/* The words of one table, which give way to numbers. */
static void find_bucket(void *arg, uint32_t number)
{
	const struct build *b = arg;
	const struct rn_keyset_table table = b->s->tables[number];

	for (uint32_t part = 0; part < b->parts; part++) {
		const uint32_t *from = pieces_of(b, part) + number;
		uint64_t *word = (uint64_t *)b->words->data + rn_part_from(part) + from[0];
		uint32_t *found = (uint32_t *)word, n = from[1] - from[0];

		for (uint32_t i = 0; i < n && i < AHEAD; i++)
			ask_for_word(&table, b->bits, word[i]);
		for (uint32_t i = 0; i < n; i++) {
			if (i + AHEAD < n)
				ask_for_word(&table, b->bits, word[i + AHEAD]);
			found[i] = find_word(&table, b->bits, word[i]);
		}
	}
}

static void give_numbers(void *arg, uint32_t part)
{
	const struct build *b = arg;
	const uint64_t *words = (uint64_t *)b->words->data + rn_part_from(part);
	const uint16_t *offset = (uint16_t *)b->offset->data + rn_part_from(part);
	const uint32_t *from = pieces_of(b, part);
	uint32_t *of = b->of + b->start + rn_part_from(part);

	for (uint32_t k = 0; k < 1u << b->bits; k++) {
		const uint32_t *found = (const uint32_t *)(words + from[k]);

		for (uint32_t i = 0; i < from[k + 1] - from[k]; i++)
			of[offset[from[k] + i]] = found[i];
	}
}

bool rn_keyset_find_split(struct rn_team *t, const struct rn_keyset *s, const struct rn_key *k,
			  uint32_t *of)
{
	struct build b = { .s = s, .k = k, .of = of, .bits = s->first_bits };
	uint32_t left = rn_part_count(k->rows);
	bool done = false;

	if (s->kind != RN_KEYSET_WORD || !s->slots || s->slots->size < CACHED_TABLES ||
	    k->rows < s->n)
		return false;
	if (!new_pieces(&b, left < WINDOW ? left : WINDOW, NULL)) {
		for (; left; left -= b.parts) {
			b.parts = left < WINDOW ? left : WINDOW;
			rn_team_run(t, b.parts, split_part, &b);
			rn_team_run(t, 1u << b.bits, find_bucket, &b);
			rn_team_run(t, b.parts, give_numbers, &b);
			b.start += (uint64_t)b.parts * RN_PART_ROWS;
		}
		done = true;
	}
	free_build(&b);
	return done;
}
