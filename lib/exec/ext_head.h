/* SPDX-License-Identifier: Apache-2.0
 *
 * The first rows (head.h) in the memory of --mem.  Of an order without groups any number can
 * be kept: what is more than fits is sorted in temporary files.  Others that do not fit are
 * refused.
 */
#ifndef RN_EXT_HEAD_H
#define RN_EXT_HEAD_H

#include "../op/head.h"
#include "ext.h"

struct rn_ext_head;
/* All is borrowed until the end. */
RN_MUST_CHECK int rn_ext_head_open(const struct rn_ctx *c, const struct rn_head_conf *conf,
				   const struct rn_schema *s, struct rn_ext_head **out,
				   struct rn_err *e);
void rn_ext_head_close(struct rn_ext_head *h); /* NULL is fine */
/* The next rows of the input.  RN_ENOMEM: those to be kept do not fit. */
RN_MUST_CHECK int rn_ext_head_add(struct rn_ext_head *h, struct rn_rel *r, struct rn_err *e);
/* After the last, once: the rows in pieces, of which there is one at least. */
RN_MUST_CHECK int rn_ext_head_end(struct rn_ext_head *h,
				  int (*emit)(void *arg, const struct rn_rel *r, struct rn_err *e),
				  void *arg, struct rn_err *e);
uint64_t rn_ext_head_spilled(const struct rn_ext_head *h); /* bytes of temporary data */

#endif
