/* SPDX-License-Identifier: Apache-2.0
 *
 * What a fit needs in memory, told before it is taken.
 */
#ifndef RN_NEED_H
#define RN_NEED_H

#include "fit.h"

/* RN_ENOMEM where the program of a fit needs more than --mem, in a message that says how much,
 * what for, and for which stages of the plan (that of rn_binding_plan). */
RN_MUST_CHECK int rn_fit_check_mem(struct rn_fit *f, const struct rn_ctx *c,
				   const struct rn_plan *plan, struct rn_err *e);
/* The same of a fit whose results turned out to take so many bytes. */
RN_MUST_CHECK int rn_fit_refuse(struct rn_fit *f, const struct rn_ctx *c,
				const struct rn_plan *plan, uint64_t results, struct rn_err *e);

/* ---- on a device, which has ->memory ----------------------------------------------------- */

/* Whose need: "fit", "val" or "eval", its name, its program, and where its phases end. */
struct rn_need {
	const char *what, *name;
	struct rn_prog *prog;
	uint32_t nforward, nback;
};
struct rn_need rn_fit_need(struct rn_fit *f);
/* RN_ENOMEM where it does not fit on the device as it is now, before anything of it but the
 * parameters is placed there. */
RN_MUST_CHECK int rn_need_check(const struct rn_need *d, struct rn_backend *b, struct rn_err *e);
/* To the error rc of a device, in e.  RN_ENOMEM: what is needed there, by stages of the plan, and what
 * helps.  RN_EDEV: the stage whose instruction `inst` failed (RN_NONE: not known).  Returns rc. */
int rn_need_explain(const struct rn_need *d, uint32_t inst, int rc, const struct rn_ctx *c,
		    struct rn_backend *b, const struct rn_plan *plan, struct rn_err *e);

#endif
