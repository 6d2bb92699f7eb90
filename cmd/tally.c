/* SPDX-License-Identifier: Apache-2.0 */
#include "tally.h"

#include "../formats/hash.h"
#include "../lib/base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	DISTINCT = 64 << 10,       /* values that are counted of a column, */
	DISTINCT_ALL = 2 << 20,    /* … of all columns together, */
	DISTINCT_LEAST = 256,      /* … and of each at least */
	STRINGS_ALL = 256 << 20,   /* bytes of their strings */
	KEPT = 64,                 /* values that are counted on */
	KEPT_BITS = 8,
	HLL_BITS = 13,
	REGISTERS = 1 << HLL_BITS,
};

int rn_tally_init(struct rn_tally *t, size_t columns, struct rn_err *e)
{
	uint64_t share = DISTINCT_ALL / columns;

	*t = (struct rn_tally){ .bits = 6 };
	t->limit = share > DISTINCT ? DISTINCT : share < DISTINCT_LEAST ? DISTINCT_LEAST : share;
	t->bytes_limit = STRINGS_ALL / columns;
	return rn_calloc((size_t)1 << t->bits, sizeof *t->slots, "counts", &t->slots, e);
}

void rn_tally_fini(struct rn_tally *t)
{
	free(t->slots);
	free(t->bytes);
	free(t->registers);
	*t = (struct rn_tally){ 0 };
}

/* ---- the estimate ------------------------------------------------------------------------ */

static void estimate_add(struct rn_tally *t, uint64_t hash)
{
	uint8_t *r = &t->registers[hash >> (64 - HLL_BITS)];
	uint8_t rank = (uint8_t)(__builtin_clzll(hash << HLL_BITS | 1ull << (HLL_BITS - 1)) + 1);

	if (rank > *r)
		*r = rank;
}

/* Flajolet, Fusy, Gandouet and Meunier, 2007; few values are counted by empty registers. */
static uint64_t estimate(const struct rn_tally *t)
{
	double m = REGISTERS, sum = 0, raw;
	unsigned empty = 0;

	for (unsigned i = 0; i < REGISTERS; i++) {
		sum += ldexp(1, -t->registers[i]);
		empty += !t->registers[i];
	}
	raw = 0.7213 / (1 + 1.079 / m) * m * m / sum;
	if (raw <= 2.5 * m && empty)
		raw = m * log(m / empty);
	return (uint64_t)(raw + 0.5);
}

/* ---- the table --------------------------------------------------------------------------- */

static struct rn_tally_slot *free_slot(struct rn_tally *t, uint64_t hash)
{
	size_t mask = ((size_t)1 << t->bits) - 1, i = hash & mask;

	while (t->slots[i].count)
		i = (i + 1) & mask;
	return &t->slots[i];
}

static int rehash(struct rn_tally *t, unsigned bits, struct rn_tally_slot *from, size_t n,
		  struct rn_err *e)
{
	struct rn_tally_slot *slots;

	RN_TRY(rn_calloc((size_t)1 << bits, sizeof *slots, "counts", &slots, e));
	t->slots = slots;
	t->bits = bits;
	for (size_t i = 0; i < n; i++)
		if (from[i].count)
			*free_slot(t, from[i].hash) = from[i];
	return 0;
}

/* The hash decides between equally frequent values: any rule will do. */
static int by_count(const void *a, const void *b)
{
	const struct rn_tally_slot *x = a, *y = b;

	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	return x->hash < y->hash ? -1 : x->hash > y->hash;
}

/* Too many values: go over to the estimate, and keep the most frequent ones. */
static int give_up(struct rn_tally *t, struct rn_err *e)
{
	struct rn_tally_slot *all = t->slots;
	size_t n = (size_t)1 << t->bits;
	int rc;

	RN_TRY(rn_calloc(REGISTERS, 1, "counts", &t->registers, e));
	for (size_t i = 0; i < n; i++)
		if (all[i].count)
			estimate_add(t, all[i].hash);
	qsort(all, n, sizeof *all, by_count);
	t->used = KEPT;
	rc = rehash(t, KEPT_BITS, all, KEPT, e);
	if (!rc)
		free(all);
	return rc;
}

static bool matches(const struct rn_tally *t, const struct rn_tally_slot *s, uint64_t bits,
		    const char *text, size_t n)
{
	return text ? s->len == n && !memcmp(t->bytes + s->value, text, n) : s->value == bits;
}

static int keep_string(struct rn_tally *t, const char *s, size_t n, uint64_t *at, struct rn_err *e)
{
	RN_TRY(rn_grow(&t->bytes, &t->bytes_cap, t->nbytes + n + 1, 1, "strings", e));
	memcpy(t->bytes + t->nbytes, s, n);
	*at = t->nbytes;
	t->nbytes += n;
	return 0;
}

static int add(struct rn_tally *t, uint64_t hash, uint64_t bits, const char *text, size_t n,
	       struct rn_err *e)
{
	size_t mask = ((size_t)1 << t->bits) - 1, i = hash & mask;

	if (t->registers)
		estimate_add(t, hash);
	for (; t->slots[i].count; i = (i + 1) & mask)
		if (t->slots[i].hash == hash && matches(t, &t->slots[i], bits, text, n)) {
			t->slots[i].count++;
			return 0;
		}
	if (t->registers)
		return 0;
	if (t->used == t->limit || (text && n > t->bytes_limit - t->nbytes)) {
		RN_TRY(give_up(t, e));
		estimate_add(t, hash);
		return 0;
	}
	if (text)
		RN_TRY(keep_string(t, text, n, &bits, e));
	t->slots[i] = (struct rn_tally_slot){ hash, 1, bits, (uint32_t)n };
	if (++t->used * 2 > mask) {
		struct rn_tally_slot *old = t->slots;

		RN_TRY(rehash(t, t->bits + 1, old, mask + 1, e));
		free(old);
	}
	return 0;
}

int rn_tally_number(struct rn_tally *t, uint64_t bits, struct rn_err *e)
{
	uint64_t h = bits;

	/* The finalizer of SplitMix64: a bijection, in which every bit depends on every one. */
	h = (h ^ h >> 30) * 0xBF58476D1CE4E5B9u;
	h = (h ^ h >> 27) * 0x94D049BB133111EBu;
	return add(t, h ^ h >> 31, bits, NULL, 0, e);
}

int rn_tally_string(struct rn_tally *t, const char *s, size_t n, struct rn_err *e)
{
	return add(t, rn_hash64(s, n), 0, s, n, e);
}

/* ---- results ------------------------------------------------------------------------------ */

uint64_t rn_tally_distinct(const struct rn_tally *t, bool *exact)
{
	*exact = !t->registers;
	return *exact ? t->used : estimate(t);
}

/* Is a before b? */
static bool precedes(const struct rn_tally *t, const struct rn_tally_slot *a,
		     const struct rn_tally_slot *b)
{
	uint32_t n = a->len < b->len ? a->len : b->len;
	int c;

	if (a->count != b->count)
		return a->count > b->count;
	if (!t->bytes)
		return a->value < b->value;
	c = memcmp(t->bytes + a->value, t->bytes + b->value, n);
	return c ? c < 0 : a->len < b->len;
}

size_t rn_tally_top(const struct rn_tally *t, uint64_t rows, const struct rn_tally_slot **top,
		    size_t most)
{
	uint64_t least = t->registers && rows / 100 > 2 ? rows / 100 : 2;
	size_t n = 0;

	for (size_t i = 0; i < (size_t)1 << t->bits; i++) {
		const struct rn_tally_slot *s = &t->slots[i];
		size_t k;

		if (s->count < least || (n == most && !precedes(t, s, top[n - 1])))
			continue;
		k = n < most ? n++ : n - 1;
		for (; k && precedes(t, s, top[k - 1]); k--)
			top[k] = top[k - 1];
		top[k] = s;
	}
	return n;
}
