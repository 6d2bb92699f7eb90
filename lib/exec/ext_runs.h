/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows in order, however many there are: what fits is sorted and written as a run, and the
 * runs are merged.
 */
#ifndef RN_EXT_RUNS_H
#define RN_EXT_RUNS_H

#include "ext.h"

struct rn_runs_conf {
	struct rn_merge order; /* nulls_last is not asked for */
	uint64_t room;         /* bytes of memory for rows that wait, with all that sorting takes */
	/* Of a run's rows, map[0 … *n - 1] in order, those that are wanted: map is made shorter.
	 * NULL: all. */
	int (*trim)(void *arg, struct rn_column *const *cols, uint32_t *map, uint64_t *n,
		    struct rn_err *e);
};

struct rn_runs;
/* conf is borrowed until the end. */
RN_MUST_CHECK int rn_runs_open(struct rn_ext *x, const struct rn_runs_conf *conf,
			       struct rn_runs **out, struct rn_err *e);
void rn_runs_close(struct rn_runs *r); /* NULL is fine */
/* Rows, of which a reference may be kept; all of one schema. */
RN_MUST_CHECK int rn_runs_add(struct rn_runs *r, const struct rn_rel *rel, struct rn_err *e);
/* After the last, once: all in order; equal ones as they were added. */
RN_MUST_CHECK int rn_runs_end(struct rn_runs *r,
			      int (*emit)(void *arg, const struct rn_rel *rel, struct rn_err *e),
			      void *arg, struct rn_err *e);

#endif
