/* SPDX-License-Identifier: Apache-2.0
 *
 * Orders as options write them: a list of content expressions, each of which may
 * end in asc or desc.
 */
#ifndef RN_ORDER_H
#define RN_ORDER_H

#include "op.h"

/* Does the list (an array of strings) mean an order of rows of this schema? */
RN_MUST_CHECK int rn_order_check(const json_t *list, const struct rn_schema *s, struct rn_err *e);
/* The rows of r in this order: *map uint32_t[rows], owned.  NULL is the smallest value;
 * equal rows keep their order.  t may be NULL. */
RN_MUST_CHECK int rn_order_map(struct rn_team *t, const json_t *list, const struct rn_rel *r,
			       struct rn_buf **map, struct rn_err *e);
/* What decides, most important first: cols[i] (owned references) and desc[i] for each item of
 * the list. */
RN_MUST_CHECK int rn_order_keys(const json_t *list, const struct rn_rel *r,
				struct rn_column **cols, bool *desc, struct rn_err *e);

#endif
