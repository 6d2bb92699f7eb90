/* SPDX-License-Identifier: Apache-2.0
 *
 * The staged placement: one process per stage of the plan.
 *
 * The coordinator owns the program.  Each stage gets its instructions as an
 * image (image.h), steps the parameters that it owns, and keeps their optimizer
 * slots.  Parameters, and values that one stage makes and another reads, lie in
 * memory that all of them share.  The coordinator tells one stage at a time to
 * run its next instructions, in the order of the program: the bits are those
 * of the fused placement.
 */
#ifndef RN_STAGED_H
#define RN_STAGED_H

#include "fit.h"
#include "shared.h"

struct rn_staged_conf {
	const char *exe;  /* started as `exe --stage FD` */
	uint32_t stages;  /* at most so many processes; 0: one per stage */
	unsigned threads; /* of each stage: only one runs at a time */
	const struct rn_plan *plan;
	struct rn_shared *params; /* where the parameters lie */
	struct rn_store *store;   /* and they themselves */
	uint64_t *peak;           /* peak memory of the processes is added when they end; or NULL */
};
RN_MUST_CHECK int rn_staged_open(const struct rn_staged_conf *c, struct rn_fit *f,
				 struct rn_runner **out, struct rn_err *e);

#endif
