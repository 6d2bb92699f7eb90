/* SPDX-License-Identifier: Apache-2.0
 *
 * What a plan becomes and what that costs: the plan as it is written and as it is run, with their
 * rows, and of each fit the instructions, operations, bytes, memory and, where epochs are run, the
 * time of every stage.  Rows, operations, bytes and memory are those that an epoch has: they follow from
 * the instructions, and are neither estimated nor measured.
 */
#ifndef RN_ANALYZE_H
#define RN_ANALYZE_H

#include "train.h"

struct rn_analyze_conf {
	struct rn_train_conf train; /* ctx, plan and carried; the plan has runs */
	uint32_t epochs;            /* run so many of each fit; 0: none */
	bool program;               /* the tensor programs, as lowered and as run */
	uint64_t written_mem;       /* what the plan as it is written may take; 0: 64 MiB */
	bool dot;                   /* the plans as graphs, with what their stages cost */
};

/* The plans, a node a line, or a cluster each.  written: empty where all rewrites are off, and where binding it as it
 * is written would take too much. */
struct rn_analyze_text {
	struct rn_str written, run;
};

/* *out: {"rewrites": ["eliminate: …"], "refused": why nothing is "written", "nodes": [{"name", "op",
 * "rows", "added"}], "fits": [{"loss", "instructions", "bytes", "flops", "epochs", "ms",
 * "stages": [{"stage", "op", "instructions", "rows", "flops", "bytes", "memory", "ms"}],
 * "passes": {"hoist": 3}, "lowered", "program",
 * "written": {"instructions", "bytes", "flops", "epochs", "ms", "untimed": why there are none of
 * these, "stages"}}], "peak_bytes": of this process, where epochs are run}.
 * ms are of an epoch, the least of all; "bytes" of a fit are its memory, those of a stage what it
 * reads and writes, and "memory" what is live meanwhile.  Texts are added to `text`. */
RN_MUST_CHECK int rn_analyze(const struct rn_analyze_conf *c, struct rn_analyze_text *text,
			     json_t **out, struct rn_err *e);

/* The fits of that object as tables. */
RN_MUST_CHECK int rn_analyze_print(const json_t *o, struct rn_str *out, struct rn_err *e);

/* "1.97M flops, 11.3M bytes, 0.442 ms" for each stage of p, over all fits of the object, as they are
 * run or `written`; NULL where nothing is known.  *notes: [p->nnodes], owned, as each note. */
RN_MUST_CHECK int rn_analyze_notes(const json_t *o, bool written, const struct rn_plan *p,
				   char ***notes, struct rn_err *e);
void rn_analyze_notes_free(char **notes, const struct rn_plan *p);

#endif
