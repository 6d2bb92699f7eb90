/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the values lie that cross a cut.
 *
 * Parts run at once where nothing orders them, so two values may lie in one place
 * only if everything that is done with the one is over, in every order that the passes
 * allow, before the other is made.
 */
#ifndef RN_PLACE_H
#define RN_PLACE_H

#include "cut.h"

/* Place the values v of `p` for which c->place[v] is not RN_UNSHARED, from c->size on.
 * Instructions below `forward` have all ended before any other begins; val: one that is read
 * when all have. */
RN_MUST_CHECK int rn_place_values(struct rn_cut *c, const struct rn_prog *p, uint32_t forward,
				  uint32_t val, struct rn_err *e);

#endif
