/* SPDX-License-Identifier: Apache-2.0
 *
 * Where values lie in a slab: offsets such that no two that live at the same
 * time overlap.
 */
#ifndef RN_SLAB_H
#define RN_SLAB_H

#include "../base/mem.h"

struct rn_slab_item {
	size_t size;       /* bytes */
	uint32_t from, to; /* the first and the last instruction that need it */
	size_t offset;     /* the answer; a multiple of RN_ALIGN */
};

/* Place n items; *total is the size of the slab. */
RN_MUST_CHECK int rn_slab_plan(struct rn_slab_item *items, size_t n, size_t *total,
			       struct rn_err *e);

#endif
