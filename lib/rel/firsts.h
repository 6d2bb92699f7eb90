/* SPDX-License-Identifier: Apache-2.0
 *
 * First rows of keys that are found in any order: a set of rows, as a bitmap.  The number
 * of a key is how many first rows come before its own.  Private to lib/rel.
 */
#ifndef RN_FIRSTS_H
#define RN_FIRSTS_H

#include "../base/mem.h"
#include "../base/team.h"

struct rn_firsts {
	uint64_t rows;
	struct rn_buf *bits;   /* uint64_t per 64 rows: the first rows */
	struct rn_buf *before; /* uint32_t per 64 rows: first rows before those */
	struct rn_buf *first;  /* uint32_t[n]: them, ascending */
	uint32_t n;
};

/* Of as many rows none yet; *f is zeroed before, and freed also on failure. */
RN_MUST_CHECK int rn_firsts_new(uint64_t rows, struct rn_firsts *f, struct rn_err *e);
void rn_firsts_free(struct rn_firsts *f);

/* From any thread. */
static inline void rn_firsts_mark(const struct rn_firsts *f, uint32_t row)
{
	uint64_t *bits = f->bits->data;

	__atomic_fetch_or(&bits[row / 64], (uint64_t)1 << row % 64, __ATOMIC_RELAXED);
}

/* All are marked: count and list them. */
RN_MUST_CHECK int rn_firsts_list(struct rn_team *t, struct rn_firsts *f, struct rn_err *e);

/* After that: the number of the key whose first row this is. */
static inline uint32_t rn_firsts_rank(const struct rn_firsts *f, uint32_t row)
{
	const uint64_t *bits = f->bits->data;
	const uint32_t *before = f->before->data;
	uint64_t mask = ((uint64_t)1 << row % 64) - 1;

	return before[row / 64] + (uint32_t)__builtin_popcountll(bits[row / 64] & mask);
}

#endif
