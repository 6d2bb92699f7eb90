/* SPDX-License-Identifier: Apache-2.0
 *
 * A program that stage processes run together: the image of each part, and in which
 * order the parts run.
 *
 * A segment is instructions of one part that follow each other in the program, within
 * one pass.  It needs the segments of its pass whose values it reads, and the one before
 * it of its own part; a pass begins when the one before has ended.  Values have places of
 * their own, so nothing is written that is still read.
 */
#ifndef RN_WORK_H
#define RN_WORK_H

#include "cut.h"

/* What the image of a part has. */
struct rn_work_image {
	uint32_t ninsts, *insts;   /* its instructions -> the program's; none: it has no part in it */
	uint32_t nstates, *states; /* its optimizer slots -> the fit's */
	uint64_t bytes;            /* of its machine */
};

struct rn_segment {
	uint32_t part, from, to; /* instructions of the image */
	uint32_t needs;   /* how many segments of its pass must end first */
	uint32_t missing; /* of these, while the pass runs */
	size_t edges;     /* the first of those to segments that need it; SIZE_MAX: none */
};

struct rn_work {
	const struct rn_prog *prog; /* borrowed */
	uint32_t ends[RN_NPHASES];  /* where its passes end */
	struct rn_cut cut;
	struct rn_shared *values; /* in which its values cross the cut */
	struct rn_work_image *images; /* [cut.nparts] */
	struct rn_segment *segments;
	size_t nsegments, cap_segments;
	struct rn_edge {
		size_t to, next;
	} *edges;
	size_t nedges, cap_edges;
	size_t *queue; /* [nsegments] of a pass, in the order in which they are asked */
	size_t phase[RN_NPHASES + 1]; /* segments of phase p: phase[p] … phase[p+1]-1 */
};
/* Takes the cut, also on failure; what fails is to be ended with rn_work_fini. */
RN_MUST_CHECK int rn_work_init(struct rn_work *w, const struct rn_prog *prog,
			       const uint32_t ends[RN_NPHASES], struct rn_cut *cut,
			       struct rn_err *e);
/* The image of part q, for store's parameters; *out owned. */
RN_MUST_CHECK int rn_work_image(struct rn_work *w, uint32_t q, const struct rn_store *store,
				struct rn_shared **out, struct rn_err *e);
/* The order, once all images are made. */
RN_MUST_CHECK int rn_work_order(struct rn_work *w, struct rn_err *e);
void rn_work_fini(struct rn_work *w);

#endif
