/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the program of a fit is cut: which stage process runs which instructions,
 * and where the values lie that one makes and another reads.
 *
 * A part is what one process runs: the instructions of some nodes of the plan, that
 * follow each other in order of first appearance.  Values that cross the cut lie in
 * memory that all processes share (place.h).  Nothing here starts a process: rn-explain
 * draws the same cut.
 */
#ifndef RN_CUT_H
#define RN_CUT_H

#include "fit.h"
#include "image.h"

enum rn_phase { RN_FORWARD, RN_BACKWARD, RN_STEP, RN_NPHASES };

struct rn_cut_part {
	uint32_t nnodes;
	const uint32_t *nodes;    /* of the plan */
	char name[64];            /* theirs, cut where there are many */
	uint32_t ninsts;          /* without views */
	uint32_t rows;            /* the most of a value that it makes */
	double flops, bytes;      /* of an epoch, at least */
	uint64_t in, out;         /* bytes that cross the cut, of an epoch */
};

struct rn_cut {
	uint32_t nparts, nnodes;
	struct rn_cut_part *parts;
	uint32_t *nodes;   /* [nnodes] that have instructions, in order of first appearance */
	uint32_t *part_of; /* [ninsts] RN_NONE for a view */
	uint64_t *place;   /* [nvals] offset in shared memory, or RN_UNSHARED */
	uint64_t size;     /* of that memory; `reserve` bytes for each part come first */
};
/* parts 0: one for each node; else at most so many, of about equal cost. */
RN_MUST_CHECK int rn_cut_make(const struct rn_fit *f, const struct rn_plan *plan, uint32_t parts,
			      uint64_t reserve, struct rn_cut *out, struct rn_err *e);
/* Another program of the same plan, which computes `val`: nodes that `like` has are where they
 * are there, others where what they read first is made. */
RN_MUST_CHECK int rn_cut_like(const struct rn_cut *like, const struct rn_prog *p, uint32_t val,
			      struct rn_cut *out, struct rn_err *e);
void rn_cut_fini(struct rn_cut *c);

/* The phase that instruction i belongs to. */
enum rn_phase rn_cut_phase(const struct rn_fit *f, uint32_t i);
/* The value behind views. */
uint32_t rn_cut_root(const struct rn_prog *p, uint32_t v);

#endif
