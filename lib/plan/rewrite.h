/* SPDX-License-Identifier: Apache-2.0
 *
 * The optimiser's rewrites, by name.  Those of the plan (lib/plan/rewrite/, a file
 * each) change nodes before they are bound; those of the tensor program
 * (lib/exec/pass_*.c) change instructions.  Each can be switched off, and each says
 * what it did.  A rewrite never creates, renames, splits or merges a parameter or a
 * random stage, and what is bound before training keeps every bit.
 */
#ifndef RN_REWRITE_H
#define RN_REWRITE_H

#include "plan.h"

enum rn_rewrite {
	/* of the plan */
	RN_RW_MERGE,     /* equal sub-plans are one */
	RN_RW_PUSH,      /* filters move towards the sources */
	RN_RW_SINGLE,    /* an aggregate by a unique key is its expression */
	RN_RW_PRUNE,     /* columns that nothing reads go */
	RN_RW_ELIMINATE, /* sums of products over patterns by variable elimination */
	/* of the tensor program; lib/exec/pass.c has the order */
	RN_RW_STACK,     /* unions of gathered rows are gathers of stacked tables */
	RN_RW_HOIST,     /* row by row work on the rows of the one atom that it reads */
	RN_RW_SPLIT,     /* a linear map of a concat is a sum of linear maps */
	RN_RW_COMMUTE,   /* a linear map and a sum in the cheaper order */
	RN_RW_SPARSE,    /* SpMM and SDDMM instead of a product per edge */
	RN_RW_FOLD,      /* what no parameter reaches is computed once, before training */
	RN_RW_RESTRICT,  /* rows that the loss does not need go */
	RN_RW_FUSE,      /* chains of elementwise steps, with their gathers and sums, in one pass */
	RN_RW_RECOMPUTE, /* large values that are cheap to make are made again, not kept */
	RN_NREWRITES
};

extern const struct rn_rewrite_info {
	const char *name; /* of --no-rewrite */
	const char *help; /* one line */
	bool plan;        /* of the plan; else of the tensor program */
} rn_rewrite_info[RN_NREWRITES];

/* The bit of a rewrite in rn_ctx.no_rewrite. */
#define RN_RW_BIT(rw) (UINT32_C(1) << (rw))
#define RN_RW_ALL ((UINT32_C(1) << RN_NREWRITES) - 1)

static inline bool rn_rewrite_on(const struct rn_ctx *c, enum rn_rewrite rw)
{
	return !(c->no_rewrite & RN_RW_BIT(rw));
}

/* Names of --no-rewrite, comma-separated, as bits; "all" is all.  RN_EUSAGE names
 * the known ones. */
RN_MUST_CHECK int rn_rewrite_parse(const char *names, uint32_t *bits, struct rn_err *e);

#endif
