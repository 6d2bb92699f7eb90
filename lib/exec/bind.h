/* SPDX-License-Identifier: Apache-2.0
 *
 * A binding from inside.  Private to bind.c.
 */
#ifndef RN_EXEC_BIND_H
#define RN_EXEC_BIND_H

#include "../plan/rewrite/rewriting.h"
#include "folded.h"
#include "lower.h"

struct rn_bound {
	bool made, evaluated;
	bool deferred; /* it learns, or depends on what does */
	struct rn_rel *carried; /* rows that a stream brought (borrowed), or NULL */
	struct rn_rel *rel; /* content, and parts if evaluated; NULL once nobody needs it */
	const struct rn_op *op; /* which made … */
	void *state;            /* … this, if not evaluated */
	struct rn_schema schema;
	uint64_t count;      /* rows of rel */
	uint64_t hash, rows; /* of a source */
};

struct rn_binding {
	const struct rn_ctx *ctx;
	struct rn_backend *backend;
	struct rn_plan *canonical; /* borrowed */
	struct rn_plan *plan;      /* rewritten: what the runs need */
	uint32_t *now;             /* by number in the canonical plan: number in it, or RN_NONE */
	struct rn_bound *nodes;    /* of plan */
	size_t cap;
	struct rn_str log; /* what rewrites did */
	struct rn_folded folded;   /* shared by the programs that are lowered from it */
	double seconds;
};

#endif
