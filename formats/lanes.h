/* SPDX-License-Identifier: Apache-2.0
 *
 * How a reader and a writer of blocks use threads.  A turn is the codec's work on some
 * blocks and the input or output of some others, which go on side by side: on a team,
 * or, where there is none, with one helper that only waits for the file.
 */
#ifndef RN_LANES_H
#define RN_LANES_H

#include "../lib/base/team.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum { RN_MAX_LANES = 8 };

struct rn_lanes {
	struct rn_team *team; /* borrowed, or own */
	struct rn_team *own;
	/* Threads, and the blocks of a turn: enough for all to have work, and no more than their
	 * caches hold.  1: everything is done in turn. */
	uint32_t n;
	bool helper;          /* of two threads one does nothing but input or output */
};

/* team NULL or of one thread: a helper if that is wanted, else alone. */
void rn_lanes_init(struct rn_lanes *l, struct rn_team *team, bool helper);
void rn_lanes_fini(struct rn_lanes *l);
/* io(arg, i) for i = 0 … nio - 1, in this order and one at a time; and item(arg, i, lane) for
 * all i below n, in any order and on several threads: at most one item of a lane (below
 * RN_MAX_LANES) at a time, and lane 0 is the caller's. */
struct rn_turn {
	void (*io)(void *arg, size_t i);
	void (*item)(void *arg, size_t i, uint32_t lane);
	void *arg;
	size_t nio, n;
	/* The rest is rn_lanes_run's. */
	atomic_size_t next;
	atomic_bool io_busy;
	size_t io_next, io_share; /* under io_busy; steps that a lane takes before its items */
	bool helper;
};

void rn_lanes_run(const struct rn_lanes *l, struct rn_turn *t);

#endif
