/* SPDX-License-Identifier: Apache-2.0
 *
 * What the values of a relation are like, in one pass over its blocks and in bounded
 * memory: of a column NULLs, distinct values, the least and the greatest, the mean and the
 * most frequent; of an embedding how much of it is stored, and the lengths of its rows.
 */
#ifndef RN_PROFILE_H
#define RN_PROFILE_H

#include "../lib/base/ctx.h"
#include "../lib/rel/rel.h"

#include <jansson.h>

struct rn_profile;
/* s is borrowed. */
RN_MUST_CHECK int rn_profile_new(const struct rn_ctx *c, const struct rn_schema *s,
				 struct rn_profile **out, struct rn_err *e);
RN_MUST_CHECK int rn_profile_rows(struct rn_profile *p, const struct rn_rel *r, struct rn_err *e);
/* Members of column i, or of part i, into o. */
RN_MUST_CHECK int rn_profile_column(const struct rn_profile *p, size_t i, json_t *o,
				    struct rn_err *e);
RN_MUST_CHECK int rn_profile_part(const struct rn_profile *p, size_t i, json_t *o,
				  struct rn_err *e);
void rn_profile_free(struct rn_profile *p); /* NULL is fine */

#endif
