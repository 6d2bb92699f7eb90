/* SPDX-License-Identifier: Apache-2.0
 *
 * Distinct keys: from words to numbers, row by row where rows are few (keyset_build.c
 * where they are many), and the search for keys; see keyset.h.
 */
#include "keyset.h"
#include "part.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- tables ---------------------------------------------------------------------- */

/* Slots are in the order of hashes, so this reads and writes both tables nearly in order. */
void rn_keyset_table_move(struct rn_keyset_table *t, unsigned first_bits,
			  struct rn_keyset_slot *to, uint64_t size)
{
	for (uint64_t i = 0; i < t->size; i++) {
		uint64_t at;

		if (!t->slot[i].id)
			continue;
		at = rn_key_place(rn_key_hash(t->slot[i].word), first_bits, size);
		while (to[at].id)
			at = at + 1 == size ? 0 : at + 1;
		to[at] = t->slot[i];
	}
}

bool rn_keyset_table_grow(struct rn_keyset_table *t, unsigned first_bits)
{
	uint64_t size = t->slot ? 2 * t->size : t->size;
	struct rn_keyset_slot *to = calloc(size, sizeof *to);

	if (!to)
		return false;
	if (t->slot)
		rn_keyset_table_move(t, first_bits, to, size);
	free(t->slot);
	*t = (struct rn_keyset_table){ to, size };
	return true;
}

/* The slot of a word: that which has it, or the empty one where it belongs. */
static inline struct rn_keyset_slot *probe(const struct rn_keyset *s, const uint32_t *first,
					   const struct rn_key *own, const struct rn_key *k,
					   uint64_t row, uint64_t word, bool exact)
{
	uint64_t hash = rn_key_hash(word);
	const struct rn_keyset_table *t = &s->tables[hash >> 1 >> (63 - s->first_bits)];

	for (uint64_t at = rn_key_place(hash, s->first_bits, t->size);;) {
		struct rn_keyset_slot *slot = &t->slot[at];

		if (!slot->id)
			return slot;
		if (slot->word == word && (exact || rn_key_same(k, row, own, first[slot->id - 1])))
			return slot;
		at = at + 1 == t->size ? 0 : at + 1;
	}
}

/* A miss is asked for this many rows before it is needed: more than a core has in flight
 * at once, fewer than would leave its first cache again. */
enum { AHEAD = 32 };

static inline void prefetch(const struct rn_keyset *s, uint64_t word)
{
	uint64_t hash = rn_key_hash(word);
	const struct rn_keyset_table *t = &s->tables[hash >> 1 >> (63 - s->first_bits)];

	__builtin_prefetch(&t->slot[rn_key_place(hash, s->first_bits, t->size)]);
}

static inline void prefetch_first(const struct rn_keyset *s, const struct rn_key_words *w, size_t n)
{
	for (size_t i = 0; i < n && i < AHEAD; i++)
		prefetch(s, w->word[i]);
}

/* ---- few rows ---------------------------------------------------------------------- */

static void insert_array(struct rn_keyset *s, const struct rn_key_words *w, uint32_t *first,
			 uint64_t from, size_t n, uint32_t *of)
{
	uint32_t *array = s->array->data;

	for (size_t i = 0; i < n; i++) {
		if (w->skip[i]) {
			of[i] = RN_NO_ROW;
			continue;
		}
		if (!array[w->word[i]]) {
			first[s->n++] = (uint32_t)(from + i);
			array[w->word[i]] = (uint32_t)s->n;
		}
		of[i] = array[w->word[i]] - 1;
	}
}

static void insert_table(struct rn_keyset *s, const struct rn_key *k, const struct rn_key_words *w,
			 uint32_t *first, uint64_t from, size_t n, uint32_t *of)
{
	bool exact = s->kind == RN_KEYSET_WORD;

	prefetch_first(s, w, n);
	for (size_t i = 0; i < n; i++) {
		struct rn_keyset_slot *slot;

		if (i + AHEAD < n)
			prefetch(s, w->word[i + AHEAD]);
		if (w->skip[i]) {
			of[i] = RN_NO_ROW;
			continue;
		}
		slot = probe(s, first, k, k, from + i, w->word[i], exact);
		if (!slot->id) {
			first[s->n++] = (uint32_t)(from + i);
			*slot = (struct rn_keyset_slot){ w->word[i], (uint32_t)s->n };
		}
		of[i] = slot->id - 1;
	}
}

/* One array or one table, in the order of the rows. */
static int build(const struct rn_key *k, struct rn_keyset *s, uint32_t *of, struct rn_err *e)
{
	struct rn_key_words w;

	RN_TRY(rn_buf_new_raw(k->rows * sizeof(uint32_t), "distinct keys", &s->first, e));
	if (s->kind == RN_KEYSET_ARRAY) {
		RN_TRY(rn_buf_new((s->words + 1) * sizeof(uint32_t), "a key array", &s->array, e));
	} else {
		RN_TRY(rn_calloc(1, sizeof *s->tables, "a hash table", &s->tables, e));
		s->tables->size = 2048;
		if (!rn_keyset_table_grow(s->tables, 0))
			return rn_err_nomem(e, 2048 * sizeof(struct rn_keyset_slot), "a hash table");
	}
	for (uint64_t from = 0; from < k->rows; from += RN_KEY_BATCH) {
		size_t n = k->rows - from < RN_KEY_BATCH ? k->rows - from : RN_KEY_BATCH;

		/* Room for one more batch of new keys, at a load of at most one half. */
		while (s->tables && 2 * (s->n + RN_KEY_BATCH) > s->tables->size)
			if (!rn_keyset_table_grow(s->tables, 0))
				return rn_err_nomem(e, 2 * s->tables->size * sizeof(struct rn_keyset_slot),
						    "a hash table");
		rn_key_words(s, k, from, n, &w);
		if (s->array)
			insert_array(s, &w, s->first->data, from, n, of + from);
		else
			insert_table(s, k, &w, s->first->data, from, n, of + from);
	}
	s->first->size = s->n * sizeof(uint32_t);
	return 0;
}

/* ---- the search -------------------------------------------------------------------- */

static inline void find_in_tables(const struct rn_keyset *s, const struct rn_key *own,
				  const struct rn_key *k, const struct rn_key_words *w,
				  uint64_t from, size_t n, uint32_t *of, bool exact)
{
	const uint32_t *first = s->first->data;

	prefetch_first(s, w, n);
	for (size_t i = 0; i < n; i++) {
		if (i + AHEAD < n)
			prefetch(s, w->word[i + AHEAD]);
		of[i] = w->skip[i] ? RN_NO_ROW :
				     probe(s, first, own, k, from + i, w->word[i], exact)->id - 1;
	}
}

/* An empty slot has number 0 - 1, which is RN_NO_ROW. */
_Static_assert((uint32_t)0 - 1 == RN_NO_ROW, "an empty slot means no row");

static void find_in_array(const struct rn_keyset *s, const struct rn_key_words *w, size_t n,
			  uint32_t *of)
{
	const uint32_t *array = s->array->data;

	if (!w->skips) {
		for (size_t i = 0; i < n; i++)
			of[i] = array[w->word[i]] - 1;
		return;
	}
	for (size_t i = 0; i < n; i++)
		of[i] = array[w->skip[i] ? s->words : w->word[i]] - 1;
}

struct search {
	const struct rn_keyset *s;
	const struct rn_key *own, *k;
	uint32_t *of;
};

static void find_part(void *arg, uint32_t part)
{
	const struct search *f = arg;
	uint64_t to = rn_part_to(part, f->k->rows);
	struct rn_key_words w;

	for (uint64_t from = rn_part_from(part); from < to; from += RN_KEY_BATCH) {
		size_t n = to - from < RN_KEY_BATCH ? to - from : RN_KEY_BATCH;

		rn_key_words(f->s, f->k, from, n, &w);
		if (f->s->kind == RN_KEYSET_ARRAY)
			find_in_array(f->s, &w, n, f->of + from);
		else if (f->s->kind == RN_KEYSET_WORD)
			find_in_tables(f->s, f->own, f->k, &w, from, n, f->of + from, true);
		else
			find_in_tables(f->s, f->own, f->k, &w, from, n, f->of + from, false);
	}
}

int rn_keyset_find(struct rn_team *t, struct rn_keyset *s, const struct rn_key *own,
		   const struct rn_key *k, uint32_t *of, struct rn_err *e)
{
	struct search f = { .s = s, .own = own, .k = k, .of = of };

	if (s->known && rn_keyset_find_accel(t, s, own, k, of))
		return 0;
	RN_TRY(rn_keyset_need_tables(t, s, own, e));
	if (rn_keyset_find_split(t, s, k, of))
		return 0;
	rn_part_run(t, k->rows, find_part, &f);
	return 0;
}

/* ---- the set -------------------------------------------------------------------------- */

int rn_keyset_new_rows(struct rn_team *t, const struct rn_key *k, bool nulls, bool find,
		       uint32_t *of, struct rn_keyset **out, struct rn_keyset_rows *rows,
		       struct rn_err *e)
{
	struct rn_keyset *s;
	int rc;

	if (k->rows > RN_MAX_ROWS)
		return rn_err_set(e, RN_EBUG, "a key of more than %" PRIu64 " rows", RN_MAX_ROWS);
	RN_TRY(rn_calloc(1, sizeof *s, "a key", &s, e));
	s->nulls = nulls;
	pthread_mutex_init(&s->lock, NULL);
	RN_GOTO(fail, rn_calloc(k->n, sizeof *s->digits, "a key", &s->digits, e));
	RN_GOTO(fail, rn_keyset_choose(t, k, s, e));
	if (rn_keyset_new_accel(t, k, s, find, of, rows))
		;
	else if (k->rows < RN_TEAM_ROWS)
		RN_GOTO(fail, build(k, s, of, e));
	else if (s->kind == RN_KEYSET_ARRAY)
		RN_GOTO(fail, rn_keyset_build_array(t, k, s, of, e));
	else
		RN_GOTO(fail, rn_keyset_build_tables(t, k, find, s, of, rows, e));
	*out = s;
	return 0;
fail:
	rn_keyset_free(s);
	return rc;
}

int rn_keyset_new(struct rn_team *t, const struct rn_key *k, bool nulls, bool find, uint32_t *of,
		  struct rn_keyset **out, struct rn_err *e)
{
	return rn_keyset_new_rows(t, k, nulls, find, of, out, NULL, e);
}

void rn_keyset_free(struct rn_keyset *s)
{
	if (!s)
		return;
	if (s->tables && !s->slots)
		for (unsigned i = 0; i < 1u << s->first_bits; i++)
			free(s->tables[i].slot);
	rn_buf_unref(s->slots);
	rn_buf_unref(s->known);
	rn_buf_unref(s->array);
	rn_buf_unref(s->first);
	free(s->tables);
	free(s->digits);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
