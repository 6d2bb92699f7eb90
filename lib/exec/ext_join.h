/* SPDX-License-Identifier: Apache-2.0
 *
 * Left rows in pieces, joined with later inputs that are in memory.
 */
#ifndef RN_EXT_JOIN_H
#define RN_EXT_JOIN_H

#include "../op/join_run.h"
#include "ext.h"

struct rn_probe {
	struct rn_ext *x;
	const struct rn_node *node;
	struct rn_join_run run;
	struct rn_join_state st;
	int (*emit)(void *arg, const struct rn_rel *r, struct rn_err *e);
	void *arg;
	uint64_t slice; /* output rows that are made at once */
	uint64_t piece; /* bytes of left rows that are joined at once */
	struct rn_rel **blocks; /* of the piece so far */
	size_t nblocks, cap;
	uint64_t bytes, rows;
	uint64_t seen; /* left rows so far */
	bool ended;    /* no more will come */
	bool refused;  /* too many rows came of some */
	bool part;     /* set by who opens it: there are rows elsewhere */
};
/* in[1] …: borrowed, as node and schema.  rn_probe_close also after a failure. */
RN_MUST_CHECK int rn_probe_open(struct rn_probe *p, struct rn_ext *x, const struct rn_node *node,
				const struct rn_schema *const *schema,
				const struct rn_rel *const *in,
				int (*emit)(void *arg, const struct rn_rel *r, struct rn_err *e),
				void *arg, struct rn_err *e);
/* A block of left rows (takes the reference). */
RN_MUST_CHECK int rn_probe_add(struct rn_probe *p, struct rn_rel *block, struct rn_err *e);
/* After the last: what is left of the piece, and the right rows that a full join keeps. */
RN_MUST_CHECK int rn_probe_end(struct rn_probe *p, struct rn_err *e);
void rn_probe_close(struct rn_probe *p);

/* Bytes that the later inputs and their indexes may take, and those that these would. */
uint64_t rn_probe_room(const struct rn_ctx *c);
uint64_t rn_probe_bytes(uint64_t bytes, uint64_t rows);
/* The next rows of a later input that fit, from block *at on; *out owned, NULL at the end. */
RN_MUST_CHECK int rn_probe_chunk(const struct rn_ctx *c, const struct rn_schema *schema,
				 struct rn_spool *right, size_t *at, struct rn_rel **out,
				 struct rn_err *e);

/* Two inputs, the right one too large for memory (ext_grace.c). */
RN_MUST_CHECK int rn_ext_grace(struct rn_ext *x, struct rn_spool *right, struct rn_err *e);

/* Join rows as of a time, however many one key has (ext_asof.c): two piles, which are replaced
 * by ones in order.  The last column of schema[0] is the number of the left row; what is
 * emitted is in its order.  Left rows without a partner are added to *unmatched. */
RN_MUST_CHECK int rn_ext_asof(struct rn_ext *x, const struct rn_schema *const *schema,
			      const struct rn_join_keys *keys, struct rn_pile **left,
			      struct rn_pile **right,
			      int (*emit)(void *arg, const struct rn_rel *r, struct rn_err *e),
			      void *arg, uint64_t *unmatched, struct rn_err *e);

#endif
