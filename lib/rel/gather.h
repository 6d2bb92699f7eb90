/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows by a row map, for columns and tensors: what there is to know of the map is found
 * once and serves all that is gathered by it.  Private to lib/rel and lib/op.
 */
#ifndef RN_GATHER_H
#define RN_GATHER_H

#include "rel.h"

struct rn_gather {
	struct rn_team *team;
	const uint32_t *map;
	uint64_t n;
	bool holes;    /* some entries are RN_NO_ROW */
	bool identity; /* map[i] == i for all i */
	bool ascends;  /* strictly, and no RN_NO_ROW: no row is repeated */
};

struct rn_gather rn_gather_by(struct rn_team *t, const uint32_t *map, uint64_t n);

RN_MUST_CHECK int rn_gather_column(const struct rn_gather *g, const struct rn_column *c,
				   struct rn_column **out, struct rn_err *e);
RN_MUST_CHECK int rn_gather_tensor(const struct rn_gather *g, const struct rn_tensor *t,
				   struct rn_tensor **out, struct rn_err *e);
/* from[map[i]] (RN_NO_ROW where map[i] is that), or the map itself if from is NULL. */
RN_MUST_CHECK int rn_gather_map(const struct rn_gather *g, const uint32_t *from,
				struct rn_buf **out, struct rn_err *e);

#endif
