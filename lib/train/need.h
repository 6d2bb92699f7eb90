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

#endif
