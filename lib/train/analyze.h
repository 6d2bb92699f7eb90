/* SPDX-License-Identifier: Apache-2.0
 *
 * What a plan becomes and what that costs: the rewritten plan with its rows, and of each fit
 * the instructions, operations, bytes and, where epochs are run, the time of every stage.
 */
#ifndef RN_ANALYZE_H
#define RN_ANALYZE_H

#include "train.h"

struct rn_analyze_conf {
	struct rn_train_conf train; /* ctx, plan and carried; the plan has runs */
	uint32_t epochs;            /* run so many of each fit; 0: none */
	bool program;               /* the tensor programs, as lowered and as run */
};

/* *out: {"rewrites": ["eliminate: …"], "nodes": [{"name", "op", "rows", "added"}], "fits": [{"loss",
 * "instructions", "bytes", "flops", "epochs", "ms", "stages": [{"stage", "op", "instructions",
 * "rows", "flops", "bytes", "ms"}], "passes": {"hoist": 3}, "lowered", "program"}]}; ms are of an
 * epoch, the least of all.
 * `text` (or NULL): the rewritten plan as text at its end. */
RN_MUST_CHECK int rn_analyze(const struct rn_analyze_conf *c, struct rn_str *text, json_t **out,
			     struct rn_err *e);

/* The fits of that object as tables. */
RN_MUST_CHECK int rn_analyze_print(const json_t *o, struct rn_str *out, struct rn_err *e);

#endif
