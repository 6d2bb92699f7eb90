/* SPDX-License-Identifier: Apache-2.0
 *
 * Plans as programs at the tail of a pipeline get them: from a JSON spec, from
 * deferred streams, from a model.  All end as one canonical plan, with the rows
 * that came along.
 */
#ifndef RN_PLANS_H
#define RN_PLANS_H

#include "../lib/train/model.h"
#include "cli.h"

enum rn_plan_kind { RN_PLAN_SPEC, RN_PLAN_STREAM, RN_PLAN_MODEL };

/* What an operand holds, without consuming anything of it.  What cannot be looked
 * into (a named fifo) is a spec if it is called *.json, else a stream. */
RN_MUST_CHECK int rn_plan_kind(const struct rn_operand *in, enum rn_plan_kind *out,
			       struct rn_err *e);

struct rn_planned {
	struct rn_plan *plan;
	struct rn_rel **carried; /* rows by node, NULL where none came along; or NULL */
	size_t ncarried;
	json_t *history; /* of the first stream; or NULL */
	bool piped; /* "-" as a source means that the rows came through a pipe */
};
void rn_planned_fini(struct rn_planned *p);

/* What the command line changes in a spec or a program. */
struct rn_plan_set {
	const char *const *set;    /* NAME=VALUE */
	size_t nset;
	const char *const *source; /* NAME=FILE */
	size_t nsource;
	uint32_t max_instances;    /* 0: the default */
	bool define_only;          /* a program that runs nothing is one, too */
};
/* The option --max-instances, which is RN_PLANS_MAX_INSTANCES in a table, into s. */
#define RN_PLANS_MAX_INSTANCES \
	{ .name = "max-instances", .type = RN_OPT_INT, .meta = "N", .dflt = "100000", \
	  .help = "instances that templates may come to" }
RN_MUST_CHECK int rn_plan_set_most(const struct rn_cli *c, struct rn_plan_set *s,
				   struct rn_err *e);
/* A spec or a query program, canonical. */
RN_MUST_CHECK int rn_planned_spec(const struct rn_ctx *c, const struct rn_operand *in,
				  const struct rn_plan_set *s, struct rn_planned *p,
				  struct rn_err *e);
/* Streams, read at once; nodes[i]: the output node of stream i.  Not canonical yet. */
RN_MUST_CHECK int rn_planned_streams(const struct rn_ctx *c, const struct rn_operand *in, size_t n,
				     uint32_t *nodes, struct rn_planned *p, struct rn_err *e);
/* A model's plan (copied out of it; the model can go). */
RN_MUST_CHECK int rn_planned_model(struct rn_model *m, const char *const *source, size_t nsource,
				   struct rn_planned *p, struct rn_err *e);

/* Make it canonical (out may be NULL), then give sources other files.  Rows that
 * depend on such a source are dropped, to be computed anew. */
RN_MUST_CHECK int rn_planned_finish(struct rn_planned *p, uint32_t *out, const char *const *source,
				    size_t nsource, struct rn_err *e);
/* Can every source that is needed be read? */
RN_MUST_CHECK int rn_planned_check(const struct rn_planned *p, uint32_t out, struct rn_err *e);
/* need[i]: node i is needed by the runs or by `out` (RN_NONE: none), and is not behind
 * rows that came along. */
void rn_planned_needs(const struct rn_planned *p, uint32_t out, bool *need);

#endif
