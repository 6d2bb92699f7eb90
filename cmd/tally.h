/* SPDX-License-Identifier: Apache-2.0
 *
 * Counting the values of a column in bounded memory.  Up to `limit` distinct values all are
 * counted.  Beyond that the number of distinct ones is estimated (HyperLogLog, about one
 * percent), and only those that were frequent so far are counted on, which misses none but
 * a value that comes late: every count that is told is exact.
 */
#ifndef RN_TALLY_H
#define RN_TALLY_H

#include "../lib/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct rn_tally_slot {
	uint64_t hash, count; /* count 0: empty */
	uint64_t value;       /* the bits of a number; of a string, where it lies in `bytes` */
	uint32_t len;         /* of a string */
};

struct rn_tally {
	struct rn_tally_slot *slots;
	unsigned bits; /* of the number of slots */
	uint64_t used, limit;
	char *bytes; /* of strings */
	size_t nbytes, bytes_cap, bytes_limit;
	uint8_t *registers; /* of the estimate; NULL: counts are complete */
};

/* A tally of a column when there are `columns` of them in all, which share the memory. */
RN_MUST_CHECK int rn_tally_init(struct rn_tally *t, size_t columns, struct rn_err *e);
void rn_tally_fini(struct rn_tally *t);

/* One number more, by its bits, or one string. */
RN_MUST_CHECK int rn_tally_number(struct rn_tally *t, uint64_t bits, struct rn_err *e);
RN_MUST_CHECK int rn_tally_string(struct rn_tally *t, const char *s, size_t n, struct rn_err *e);

/* How many distinct values; *exact: or about so many. */
uint64_t rn_tally_distinct(const struct rn_tally *t, bool *exact);
/* The most frequent values that occur more than once, the most frequent first (of equally
 * frequent ones, in order of their bits or bytes), at most `most`; returns how many.  Where
 * not all were counted, only those that are at least a hundredth of `rows`. */
size_t rn_tally_top(const struct rn_tally *t, uint64_t rows, const struct rn_tally_slot **top,
		    size_t most);

#endif
