/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows in parts, for the team of threads.  A part is a fixed number of rows, so that
 * what is done with it does not depend on how many threads there are.  Private to
 * lib/rel and lib/op.
 */
#ifndef RN_PART_H
#define RN_PART_H

#include "../base/ctx.h"
#include "../base/team.h"

enum {
	RN_PART_ROWS = 1 << 15,  /* an offset in a part fits 16 bits, 8 bytes a row into the L2 cache */
	RN_TEAM_ROWS = 1 << 17,  /* below, waking threads costs more than they bring */
};

static inline struct rn_team *rn_part_team(const struct rn_ctx *c) /* c may be NULL */
{
	return c ? c->team : NULL;
}

static inline uint32_t rn_part_count(uint64_t rows)
{
	return (uint32_t)((rows + RN_PART_ROWS - 1) / RN_PART_ROWS);
}

static inline uint64_t rn_part_from(uint32_t part)
{
	return (uint64_t)part * RN_PART_ROWS;
}

static inline uint64_t rn_part_to(uint32_t part, uint64_t rows)
{
	uint64_t to = rn_part_from(part) + RN_PART_ROWS;

	return to < rows ? to : rows;
}

/* fn(arg, part) for every part of `rows` rows. */
static inline void rn_part_run(struct rn_team *t, uint64_t rows,
			       void (*fn)(void *arg, uint32_t part), void *arg)
{
	rn_team_run(rows < RN_TEAM_ROWS ? NULL : t, rn_part_count(rows), fn, arg);
}

#endif
