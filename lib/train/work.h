/* SPDX-License-Identifier: Apache-2.0
 *
 * A program that stage processes run together: the image of each part, and the order of
 * its segments (board.h).
 *
 * A segment is instructions of one part that follow each other in the program, within
 * one pass.  It needs the segments of its pass whose values it reads, and the one before
 * it of its own part; one that steps a parameter needs those that read it, too.  Values
 * share a place only where this order keeps them apart (place.h), so nothing else is
 * written that is still read.
 *
 * Rows are not handed on block by block.  A stage that runs alone has all threads, so two that
 * overlap on the same rows are no faster than one after the other; what blocks that are still in
 * the cache would save was measured where it is most, a map in front of a product (169,343 by
 * 256, 1,024 rows at a time): 2 to 7 % of the two, in one process and without any hand-over.
 */
#ifndef RN_WORK_H
#define RN_WORK_H

#include "board.h"
#include "cut.h"

/* What the image of a part has. */
struct rn_work_image {
	uint32_t ninsts, *insts;   /* its instructions -> the program's; none: it has no part in it */
	uint32_t nstates, *states; /* its optimizer slots -> the fit's */
	uint64_t bytes;            /* of its machine */
};

struct rn_work {
	const struct rn_prog *prog; /* borrowed */
	uint32_t ends[RN_NPASSES];  /* where its passes end */
	struct rn_cut cut;
	struct rn_shared *values; /* in which its values cross the cut */
	struct rn_region region;  /* and where they are for the coordinator; rn_work_place */
	struct rn_buf *arrays;    /* its large constants (arrays.h); NULL: they are in the images */
	struct rn_region constants; /* their copy on a device that all processes have; zeroed: there
				     * is none */
	struct rn_shared *shared_agenda, *counts;
	struct rn_agenda *agenda; /* in them; NULL until rn_work_order */
	_Atomic uint32_t *missing;
	bool small; /* the work of a segment is less than to hand it over */
	struct rn_work_image *images; /* [cut.nparts] */
};
/* Takes the cut, also on failure; what fails is to be ended with rn_work_fini. */
RN_MUST_CHECK int rn_work_init(struct rn_work *w, const struct rn_prog *prog,
			       const uint32_t ends[RN_NPASSES], struct rn_cut *cut,
			       struct rn_err *e);
bool rn_work_has_part(const struct rn_work *w, uint32_t q);
/* The image of part q, for store's parameters; *out owned.  Made again it is the same. */
RN_MUST_CHECK int rn_work_image(struct rn_work *w, uint32_t q, const struct rn_store *store,
				struct rn_shared **out, struct rn_err *e);
/* The order, once all images are made. */
RN_MUST_CHECK int rn_work_order(struct rn_work *w, uint32_t nparams, struct rn_err *e);
/* Where its values and large constants lie for the coordinator, unless that is known: where the parameters
 * are in memory of the device, there, too, each as far as it can be exported. */
RN_MUST_CHECK int rn_work_place(struct rn_work *w, const struct rn_region *params, struct rn_err *e);
/* Where they are there and processes cannot have that: to the file, before anything is computed. */
RN_MUST_CHECK int rn_work_to_file(struct rn_work *w, struct rn_err *e);
/* What the last pass made of value `val`; params: of the coordinator. */
RN_MUST_CHECK int rn_work_get(const struct rn_work *w, uint32_t val, struct rn_store *params, float *x,
			      struct rn_err *e);
void rn_work_fini(struct rn_work *w);

#endif
