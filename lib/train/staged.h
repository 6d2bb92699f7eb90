/* SPDX-License-Identifier: Apache-2.0
 *
 * The staged placement: one process per stage of the plan.
 *
 * The coordinator owns the program.  Each stage gets its instructions as an
 * image (image.h), steps the parameters that it owns, and keeps their optimizer
 * slots.  Parameters, and values that one stage makes and another reads, lie in
 * memory that all of them share.  The coordinator tells each stage to run its next
 * instructions, in the order of the program, or as soon as what they read is there:
 * the bits are those of the fused placement (devices.h: where stages are on one device).
 * Relations that the fit validates on are computed by the same stages.
 */
#ifndef RN_STAGED_H
#define RN_STAGED_H

#include "devices.h"
#include "fit.h"
#include "shared.h"

struct rn_staged_conf {
	const struct rn_ctx *ctx; /* threads: of each stage, as one runs at a time if they are many */
	const char *exe;          /* started as `exe --stage FD` */
	uint32_t stages;          /* at most so many processes; 0: one per stage */
	double timeout;           /* of a stage that does nothing, in seconds; 0: none */
	const volatile sig_atomic_t *stop; /* set: the training is to end (child.h); or NULL */
	const struct rn_plan *plan;
	struct rn_device_map map; /* which stages have a device of their own */
	struct rn_region *params; /* where the parameters lie; moved to where all have them */
	struct rn_store *store;   /* and they themselves */
	bool *moved;              /* set: they lie elsewhere now, for who knows where they were */
};
/* *out is there, and to be closed, also where this fails; but for a lack of memory (NULL). */
RN_MUST_CHECK int rn_staged_open(const struct rn_staged_conf *c, struct rn_fit *f,
				 struct rn_runner **out, struct rn_err *e);

#endif
