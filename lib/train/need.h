/* SPDX-License-Identifier: Apache-2.0
 *
 * What a program needs in memory, told before it is taken (budget.c: all of a run).
 */
#ifndef RN_NEED_H
#define RN_NEED_H

#include "fit.h"

/* Whose need: "fit", "val", "eval" or "pred", its name, its program, and where its phases end. */
struct rn_need {
	const char *what, *name;
	struct rn_prog *prog;
	uint32_t nforward, nback;
	uint64_t watch; /* bytes on a device that validates by itself: of the metric and what is best */
};
struct rn_need rn_fit_need(struct rn_fit *f);
struct rn_score;
struct rn_need rn_score_need(struct rn_score *s, const char *what);

/* Bytes of the host's memory.  others: what else is there at the same time. */
struct rn_need_here {
	uint64_t results, constants, indices, stored, others;
};
/* RN_ENOMEM: that is more than --mem, how much, what for, and for which stages of the plan (that
 * of rn_binding_plan). */
RN_MUST_CHECK int rn_need_refuse(const struct rn_need *d, const struct rn_need_here *n,
				 const struct rn_ctx *c, const struct rn_plan *plan,
				 struct rn_err *e);
/* The most scratch of an instruction; part_of: of those of part q alone, else NULL. */
uint64_t rn_need_scratch(const struct rn_prog *p, struct rn_backend *b, const uint32_t *part_of,
			 uint32_t q);

/* ---- on a device, which has ->memory ----------------------------------------------------- */

/* Bytes by what they are for.  A device has a copy of its own of each value and each array. */
struct rn_need_there {
	uint64_t results, constants, indices, scratch, stored;
};
RN_MUST_CHECK int rn_need_there(struct rn_prog *p, struct rn_backend *b, struct rn_need_there *t,
				struct rn_err *e);
/* RN_ENOMEM: so many bytes are wanted there, and so many are left of all; with what d needs, and what
 * helps. */
RN_MUST_CHECK int rn_need_lack(const struct rn_need *d, uint64_t want, uint64_t left, uint64_t total,
			       const struct rn_ctx *c, struct rn_backend *b,
			       const struct rn_plan *plan, struct rn_err *e);
/* To the error rc of a device, in e.  RN_ENOMEM: what is needed there, by stages of the plan, and what
 * helps.  RN_EDEV: the stage whose instruction `inst` failed (RN_NONE: not known).  Returns rc. */
int rn_need_explain(const struct rn_need *d, uint32_t inst, int rc, const struct rn_ctx *c,
		    struct rn_backend *b, const struct rn_plan *plan, struct rn_err *e);

#endif
