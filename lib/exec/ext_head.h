/* SPDX-License-Identifier: Apache-2.0
 *
 * The first rows (head.h), any number of them, in the memory of --mem.  Where those to be kept
 * do not fit, all rows are sorted in temporary files by group and by what they are chosen by,
 * the first of each group are taken, and sorted into the order in which they go out.
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
/* The next rows of the input. */
RN_MUST_CHECK int rn_ext_head_add(struct rn_ext_head *h, struct rn_rel *r, struct rn_err *e);
/* So many rows were read, `done` of the input's `total` bytes: for the message of a full disk. */
void rn_ext_head_expect(struct rn_ext_head *h, uint64_t rows, uint64_t done, uint64_t total);
/* After the last, once: the rows in pieces, of which there is one at least. */
RN_MUST_CHECK int rn_ext_head_end(struct rn_ext_head *h,
				  int (*emit)(void *arg, const struct rn_rel *r, struct rn_err *e),
				  void *arg, struct rn_err *e);
uint64_t rn_ext_head_spilled(const struct rn_ext_head *h); /* bytes of temporary data */

#endif
