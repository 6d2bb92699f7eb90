/* SPDX-License-Identifier: Apache-2.0
 *
 * Distinct keys and rows by number where a device helps (lib/base/accel.h); see keyset.h.
 *
 * It gets words alone.  Words that are keys say all; where they are hashes, every row is
 * compared with the first one of its number here, and if two keys share a word, the CPU
 * does the work anew.  A set that comes from a device knows the words of its keys, which
 * differ, and has no tables: a search on the device wants the words, and one on the CPU
 * makes the tables that would have been there.
 *
 * Dense words stay here: an array is filled and read in less time than their words are sent.
 */
#include "keyset.h"

#include "../base/accel.h"
#include "part.h"

#include <stdlib.h>
#include <string.h>

/* What a row costs one thread here, measured with 8,000,000 rows of 800,000 and 8,000,000 keys
 * (the least that was seen, for a device shall be worth it in all cases); and what of it
 * stays here, for words and copies. */
enum {
	NUMBER_NS = 18,      /* a word into its table: 18 to 38 */
	NUMBER_TEXT_NS = 47, /* … strings: 47 to 150 */
	FIND_NS = 16,        /* a word in a table: 16 to 28 */
	FIND_TEXT_NS = 90,
	DEAL_NS = 4,         /* a row to those of its number */
	WORD_NS = 1,         /* a word made where it is sent from */
	TEXT_NS = 20,        /* a hash made: 5; and the keys compared: 5 to 30 */
};

/* ---- words ------------------------------------------------------------------------------- */

struct source {
	struct rn_team *t;
	const struct rn_keyset *s;
	const struct rn_key *k;
	uint64_t from, n;
	uint64_t *to;
};

static void load_part(void *arg, uint32_t part)
{
	const struct source *f = arg;
	uint64_t to = rn_part_to(part, f->n);
	struct rn_key_words w;

	for (uint64_t at = rn_part_from(part); at < to; at += RN_KEY_BATCH) {
		size_t n = to - at < RN_KEY_BATCH ? to - at : RN_KEY_BATCH;

		rn_key_words(f->s, f->k, f->from + at, n, &w);
		/* A hash may be RN_NO_WORD: hashes may be equal in any case. */
		for (size_t i = 0; f->s->kind == RN_KEYSET_HASH && i < n; i++)
			w.word[i] += w.word[i] == RN_NO_WORD;
		for (size_t i = 0; w.skips && i < n; i++)
			if (w.skip[i])
				w.word[i] = RN_NO_WORD;
		memcpy(f->to + at, w.word, n * sizeof *f->to);
	}
}

static void get_words(void *arg, uint64_t from, uint64_t n, uint64_t *to)
{
	struct source f = *(const struct source *)arg;

	f.from = from;
	f.n = n;
	f.to = to;
	rn_part_run(f.t, n, load_part, &f);
}

static unsigned bit_length(uint64_t x)
{
	return x ? 64 - (unsigned)__builtin_clzll(x) : 1;
}

static struct rn_words words_of(struct source *f)
{
	unsigned bits = f->s->kind == RN_KEYSET_HASH ? 64 : bit_length(f->s->words);

	return (struct rn_words){ f->k->rows, bits, get_words, f };
}

/* ---- room -------------------------------------------------------------------------------- */

struct room {
	struct rn_buf *buf[RN_ACCEL_ARRAYS];
};

static void *get_room(void *arg, enum rn_accel_array what, size_t n, size_t size)
{
	struct room *r = arg;

	rn_buf_unref(r->buf[what]);
	r->buf[what] = NULL;
	if (rn_buf_new_raw(n * size, "row numbers", &r->buf[what], NULL))
		return NULL;
	return r->buf[what]->data;
}

static void free_room(struct room *r)
{
	for (int i = 0; i < RN_ACCEL_ARRAYS; i++)
		rn_buf_unref(r->buf[i]);
}

/* ---- hashes ------------------------------------------------------------------------------ */

struct check {
	const struct rn_key *own, *k;
	const uint32_t *first;
	uint32_t *of;
	bool differ; /* some */
};

/* A number that a row has for its word alone is none of its own. */
static void check_part(void *arg, uint32_t part)
{
	struct check *c = arg;
	uint64_t to = rn_part_to(part, c->k->rows);
	bool differ = false;

	for (uint64_t i = rn_part_from(part); i < to; i++)
		if (c->of[i] != RN_NO_ROW && !rn_key_same(c->k, i, c->own, c->first[c->of[i]])) {
			c->of[i] = RN_NO_ROW;
			differ = true;
		}
	if (differ)
		__atomic_store_n(&c->differ, true, __ATOMIC_RELAXED);
}

/* Is every row's key that of its number? */
static bool check_keys(struct rn_team *t, const struct rn_keyset *s, const uint32_t *first,
		       const struct rn_key *own, const struct rn_key *k, uint32_t *of)
{
	struct check c = { .own = own, .k = k, .first = first, .of = of };

	if (s->kind == RN_KEYSET_HASH)
		rn_part_run(t, k->rows, check_part, &c);
	return !c.differ;
}

/* ---- the set ----------------------------------------------------------------------------- */

static bool number_pays(struct rn_accel *a, unsigned threads, const struct rn_keyset *s,
			uint64_t rows)
{
	bool hash = s->kind == RN_KEYSET_HASH;
	struct rn_accel_cost cost = {
		.cpu_ns = hash ? NUMBER_TEXT_NS : NUMBER_NS,
		.host_ns = hash ? TEXT_NS : WORD_NS,
		.words = 1,
		.bytes = rows * (sizeof(uint64_t) + 2 * sizeof(uint32_t)),
	};

	if (s->kind == RN_KEYSET_ARRAY && !a->always)
		return false;
	return rn_accel_pays(a, threads, rows, &cost);
}

bool rn_keyset_new_accel(struct rn_team *t, const struct rn_key *k, struct rn_keyset *s, bool find,
			 uint32_t *of, struct rn_keyset_rows *rows)
{
	struct rn_accel *a = rn_team_accel(t);
	struct source f = { .t = t, .s = s, .k = k };
	struct room r = { 0 };
	struct rn_accel_room room = { get_room, &r, find, rows };
	struct rn_words w;

	if (!a)
		return false;
	if (!number_pays(a, rn_team_threads(t), s, k->rows))
		return false;
	w = words_of(&f);
	if (!a->number(a, &w, of, &room) ||
	    !check_keys(t, s, r.buf[RN_ACCEL_FIRST]->data, k, k, of)) {
		free_room(&r);
		return false;
	}
	if (s->kind == RN_KEYSET_ARRAY)
		s->kind = RN_KEYSET_WORD;
	s->first = r.buf[RN_ACCEL_FIRST];
	s->n = s->first->size / sizeof(uint32_t);
	s->known = r.buf[RN_ACCEL_WORDS];
	if (rows) {
		rows->ptr = r.buf[RN_ACCEL_PTR];
		rows->at = r.buf[RN_ACCEL_AT];
	}
	rn_accel_count(a, RN_ACCEL_NUMBER, k->rows);
	return true;
}

/* ---- the search -------------------------------------------------------------------------- */

bool rn_keyset_find_accel(struct rn_team *t, const struct rn_keyset *s, const struct rn_key *own,
			  const struct rn_key *k, uint32_t *of)
{
	struct rn_accel *a = rn_team_accel(t);
	bool hash = s->kind == RN_KEYSET_HASH;
	struct source f = { .t = t, .s = s, .k = k };
	struct rn_accel_cost cost = {
		.cpu_ns = hash ? FIND_TEXT_NS : FIND_NS,
		.host_ns = hash ? TEXT_NS : WORD_NS,
		.words = 1,
		.bytes = s->n * sizeof(uint64_t) + k->rows * (sizeof(uint64_t) + sizeof(uint32_t)),
	};
	struct rn_words w;

	/* Of fewer rows than keys most of the work would be to send the set. */
	if (!a || (k->rows < s->n && !a->always) ||
	    !rn_accel_pays(a, rn_team_threads(t), k->rows, &cost))
		return false;
	w = words_of(&f);
	if (!a->find(a, s->known->data, s->n, &w, of))
		return false;
	(void)check_keys(t, s, s->first->data, own, k, of);
	rn_accel_count(a, RN_ACCEL_FIND, k->rows);
	return true;
}

/* The set is made anew, for its tables. */
static int make_tables(struct rn_team *t, struct rn_keyset *s, const struct rn_key *own,
		       struct rn_err *e)
{
	struct rn_keyset made = {
		.kind = s->kind, .nulls = s->nulls, .digits = s->digits, .words = s->words,
	};
	struct rn_buf *of;
	int rc;

	RN_TRY(rn_buf_new_raw(own->rows * sizeof(uint32_t), "a hash table", &of, e));
	rc = rn_keyset_build_tables(t, own, true, &made, of->data, NULL, e);
	rn_buf_unref(of);
	rn_buf_unref(made.first);
	if (rc) {
		rn_buf_unref(made.slots);
		free(made.tables);
		return rc;
	}
	s->first_bits = made.first_bits;
	s->slots = made.slots;
	s->tables = made.tables;
	return 0;
}

int rn_keyset_need_tables(struct rn_team *t, struct rn_keyset *s, const struct rn_key *own,
			  struct rn_err *e)
{
	int rc = 0;

	if (!s->known)
		return 0;
	pthread_mutex_lock(&s->lock);
	if (!s->tables)
		rc = make_tables(t, s, own, e);
	pthread_mutex_unlock(&s->lock);
	return rc;
}

/* ---- rows by number ---------------------------------------------------------------------- */

bool rn_rows_by_number_accel(struct rn_team *t, const uint32_t *of, uint64_t rows, uint64_t n,
			     struct rn_buf **ptr, struct rn_buf **at)
{
	struct rn_accel *a = rn_team_accel(t);
	struct room r = { 0 };
	struct rn_accel_room room = { get_room, &r, false, true };
	struct rn_accel_cost cost = {
		.cpu_ns = DEAL_NS, .host_ns = WORD_NS, .words = 1,
		.bytes = (2 * rows + n) * sizeof(uint32_t),
	};

	if (!a || !rn_accel_pays(a, rn_team_threads(t), rows, &cost))
		return false;
	if (!a->deal(a, of, rows, n, &room)) {
		free_room(&r);
		return false;
	}
	*ptr = r.buf[RN_ACCEL_PTR];
	*at = r.buf[RN_ACCEL_AT];
	rn_accel_count(a, RN_ACCEL_DEAL, rows);
	return true;
}
