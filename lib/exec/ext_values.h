/* SPDX-License-Identifier: Apache-2.0
 *
 * The values of an expression by group and in order of value, however many there are:
 * what counts distinct values and finds quantiles of groups that do not fit into memory.
 */
#ifndef RN_EXT_VALUES_H
#define RN_EXT_VALUES_H

#include "ext.h"

struct rn_values;
/* Of the expression s[0 … n - 1] over rows of `schema`, in `room` bytes of memory and beyond
 * that in temporary data. */
RN_MUST_CHECK int rn_values_open(struct rn_ext *x, const struct rn_schema *schema, const char *s,
				 size_t n, uint64_t room, struct rn_values **out,
				 struct rn_err *e);
void rn_values_close(struct rn_values *v); /* NULL is fine */
/* Equal values of a group are wanted each; before the first rn_values_add. */
void rn_values_want_all(struct rn_values *v);
/* The values at r's rows, of which row i is of group of[i].  NULLs are left out. */
RN_MUST_CHECK int rn_values_add(struct rn_values *v, const struct rn_rel *r, const uint32_t *of,
				struct rn_err *e);
/* Values of group g so far, equal ones counted each. */
uint64_t rn_values_count(const struct rn_values *v, uint32_t g);
/* After the last, once: `see` gets row `row` of column c for each value, by group and then
 * ascending; place: how many of the group came before it; first: none of them was equal. */
RN_MUST_CHECK int rn_values_walk(struct rn_values *v,
				 void (*see)(void *arg, uint32_t g, uint64_t place, bool first,
					     const struct rn_column *c, uint64_t row),
				 void *arg, struct rn_err *e);

#endif
