/* SPDX-License-Identifier: Apache-2.0
 *
 * Passes over tensor programs, in the order in which bind applies them.  None
 * changes a bit of what a program computes, except where it says so.
 */
#ifndef RN_PASS_H
#define RN_PASS_H

#include "../base/ctx.h"
#include "../dev/backend.h"
#include "../plan/rewrite.h"

struct rn_folded;

/* What the passes did to a program, by rewrite. */
struct rn_pass_log {
	struct rn_pass_did {
		uint32_t runs;             /* times that it ran; 0: switched off */
		uint32_t times;            /* places where it applied */
		uint32_t insts[2];         /* instructions of the program before and after it */
		double flops[2], bytes[2]; /* what they cost (rn_inst_cost) */
	} did[RN_NREWRITES];
};

struct rn_optimize {
	const struct rn_ctx *ctx;   /* which are off (no_rewrite); NULL: none */
	struct rn_backend *backend; /* for constants */
	bool apart;                 /* stages stay apart: each may have a device of its own */
	struct rn_pass_log *log;    /* zeroed, to be added to; or NULL */
	struct rn_folded *folded;   /* what other programs folded, to be shared; or NULL */
	const struct rn_plan *plan; /* whose nodes the stages are, for errors; or NULL */
};

/* All passes before gradients.  roots: the values that are wanted, with those to keep. */
RN_MUST_CHECK int rn_prog_optimize(const struct rn_optimize *o, struct rn_prog *p,
				   const uint32_t *roots, size_t n, struct rn_err *e);
/* All passes behind gradients and steps; live as in rn_pass_sweep. */
RN_MUST_CHECK int rn_prog_finish(const struct rn_optimize *o, struct rn_prog *p,
				 uint32_t *const *live, size_t n, struct rn_err *e);

/* The last of them, by itself: what is cheap is made again instead of kept; `few`: also what is
 * worth it only where memory is short.  Not where stages stay apart. */
RN_MUST_CHECK int rn_prog_shorten(const struct rn_optimize *o, struct rn_prog *p, bool few,
				  uint32_t *const *live, size_t n, struct rn_err *e);

/* ---- the passes; *count gains the number of places where one applied ------------------- */

/* Run what depends on no parameter and no randomness, once; those values become
 * constants and their instructions go.  Segment sums of products inside a stage are
 * recognised as by rn_pass_sparse, whatever other stages are in the program. */
RN_MUST_CHECK int rn_pass_fold(struct rn_prog *p, struct rn_backend *b, struct rn_err *e);
/* The bytes of results that it would have at once, those that are kept among them.  Runs nothing;
 * p is only good to look at afterwards. */
RN_MUST_CHECK int rn_pass_fold_size(struct rn_prog *p, uint64_t *bytes, struct rn_err *e);
/* The same on o's backend, but for what is in o->folded already (folded.h); what is new is added to it.
 * Where the backend knows at which instruction it failed, the error names that one's stage. */
RN_MUST_CHECK int rn_pass_fold_shared(const struct rn_optimize *o, struct rn_prog *p,
				      struct rn_err *e);

/* Row-wise functions of gathered rows -> gathers of their results. */
RN_MUST_CHECK int rn_pass_hoist(struct rn_prog *p, uint32_t *count, struct rn_err *e);

/* sum(w * x[src]) over segments -> RN_P_SPMM without the per-edge product, dot
 * products of gathered rows -> RN_P_SDDMM, sums of sums -> sums.  The last bits of
 * results may change. */
RN_MUST_CHECK int rn_pass_sparse(struct rn_prog *p, uint32_t *count, struct rn_err *e);

/* What reads gathered rows by an index array reads them where they are: behind gradients, too
 * (`same_stage`: those that the same stage gathers).  No bit changes. */
RN_MUST_CHECK int rn_pass_through(struct rn_prog *p, bool same_stage, uint32_t *count,
				  struct rn_err *e);

/* Unions of gathered rows, of products and of sums -> gathers, products and sums over
 * stacked tables. */
RN_MUST_CHECK int rn_pass_stack(struct rn_prog *p, uint32_t *count, struct rn_err *e);

/* Linear maps of concatenated gathers -> sums of linear maps of each.  Bits change. */
RN_MUST_CHECK int rn_pass_split(struct rn_prog *p, uint32_t *count, struct rn_err *e);

/* Linear maps and sums in the cheaper order.  Bits change. */
RN_MUST_CHECK int rn_pass_commute(struct rn_prog *p, uint32_t *count, struct rn_err *e);

/* Equal index arrays become one. */
RN_MUST_CHECK int rn_pass_unify(struct rn_prog *p, struct rn_err *e);

/* Keep only the rows that `roots` depend on: constants, index arrays and
 * results are compacted; dropout keeps the ordinals of the unrestricted rows.
 * What neither roots nor kept values depend on is dropped.  Runs before gradients. */
RN_MUST_CHECK int rn_pass_restrict(struct rn_prog *p, const uint32_t *roots, size_t n,
				   struct rn_err *e);

/* Fuse chains of RN_P_EW into RN_P_ELEM.  Also drops instructions that no kept
 * value (so the loss must be one) and no optimizer step depends on.
 * `same_stage`: fuse only within a stage (the bits are the same). */
RN_MUST_CHECK int rn_pass_fuse(struct rn_prog *p, bool same_stage, struct rn_err *e);

/* Values of at least `min` bytes that lie idle when most memory is needed, and are cheap to
 * make, are made again where they are next read.  Behind gradients and steps. */
RN_MUST_CHECK int rn_pass_recompute(struct rn_prog *p, uint64_t min, uint32_t *count,
				    struct rn_err *e);
/* The most bytes of results that are live at once, and at which instruction. */
RN_MUST_CHECK int rn_prog_peak(struct rn_prog *p, uint64_t *bytes, uint32_t *at, struct rn_err *e);
/* The largest results that are live there, in order of size; up to `most` of them. */
RN_MUST_CHECK int rn_prog_largest(struct rn_prog *p, uint32_t at, uint32_t *vals, uint32_t most,
				  uint32_t *n, struct rn_err *e);
/* Bytes that a program needs besides its results.  What values share counts once. */
struct rn_prog_fixed {
	uint64_t constants, indices, stored; /* stored: parameters and optimizer slots */
};
RN_MUST_CHECK int rn_prog_fixed(const struct rn_prog *p, struct rn_prog_fixed *out,
				struct rn_err *e);
/* Of n programs that are there at the same time. */
RN_MUST_CHECK int rn_progs_fixed(const struct rn_prog *const *p, size_t n,
				 struct rn_prog_fixed *out, struct rn_err *e);

/* Renumber after passes that left holes: drop dead instructions, values, arrays.
 * `live`: values to keep beside those with `keep`; renumbered in place. */
RN_MUST_CHECK int rn_pass_sweep(struct rn_prog *p, uint32_t *const *live, size_t n,
				struct rn_err *e);

#endif
