/* SPDX-License-Identifier: Apache-2.0
 *
 * A spool: the blocks of one relation in order, in memory while a budget that several
 * spools may share lasts, then in the program's temporary file.
 *
 * One thread may add while another reads and drops.  Reading is by number, so that a
 * spool can be read again; what was dropped is gone.
 */
#ifndef RN_SPOOL_H
#define RN_SPOOL_H

#include "spill.h"

/* Bytes of blocks in memory.  Taken and given back by any thread. */
struct rn_budget {
	uint64_t limit;
	uint64_t used; /* atomic */
};

struct rn_spool;
/* budget NULL: every block goes to the file.  Both are borrowed. */
RN_MUST_CHECK int rn_spool_new(struct rn_spill *f, struct rn_budget *budget,
			       const struct rn_schema *schema, struct rn_spool **out,
			       struct rn_err *e);
void rn_spool_free(struct rn_spool *s); /* NULL is fine; gives memory and disk back */
const struct rn_schema *rn_spool_schema(const struct rn_spool *s);

/* Add rows (kept by reference where they stay in memory). */
RN_MUST_CHECK int rn_spool_add(struct rn_spool *s, const struct rn_rel *r, struct rn_err *e);

/* A pause between additions: gives back the buffers that encoding keeps from one block
 * to the next; the next rn_spool_add makes them again. */
void rn_spool_rest(struct rn_spool *s);

size_t rn_spool_blocks(const struct rn_spool *s);
uint64_t rn_spool_rows(const struct rn_spool *s);
uint64_t rn_spool_bytes(const struct rn_spool *s); /* that all of it takes in memory */
/* Block i, *out owned. */
RN_MUST_CHECK int rn_spool_get(struct rn_spool *s, size_t i, struct rn_rel **out,
			       struct rn_err *e);
void rn_spool_drop(struct rn_spool *s, size_t i);
/* rn_spool_get, then rn_spool_drop. */
RN_MUST_CHECK int rn_spool_take(struct rn_spool *s, size_t i, struct rn_rel **out,
				struct rn_err *e);
/* All that is left as one relation, *out owned; the spool is dropped. */
RN_MUST_CHECK int rn_spool_all(struct rn_spool *s, struct rn_rel **out, struct rn_err *e);

#endif
