/* SPDX-License-Identifier: Apache-2.0
 *
 * A plan while it is rewritten: what the rewrites of this folder share.
 *
 * The canonical plan stays as it was written; a copy is rewritten and bound.  Numbers of
 * nodes hold until the end: what a rewrite adds stands behind all others under a name
 * derived from the node that it works for, and a node that is rewritten keeps number,
 * name, schema and users.  Nodes that nothing needs any more are dropped at the end, when
 * the rest is put in order: nodes of the canonical plan as they were, each behind the
 * added ones that it reads.
 *
 * Rewrites may ask for the content of any node: it is made then and kept, so that
 * numbers of rows and distinct keys are exact, and nothing is made twice.  (Content does
 * not depend on embeddings; a node whose content was made is not rewritten after that.)
 */
#ifndef RN_REWRITING_H
#define RN_REWRITING_H

#include "../../base/str.h"
#include "../rewrite.h"

struct rn_rewriting {
	const struct rn_ctx *ctx;
	struct rn_plan *plan;
	uint32_t ncanonical; /* nodes 0 … ncanonical - 1 are those of the canonical plan */
	struct rn_rewrite_facts {
		bool leaf;     /* a source, or rows that a stream brought: never rewritten */
		bool deferred; /* it learns, or depends on what does */
		bool made;     /* its content was made */
		uint32_t users, runs; /* see rn_rewriting_count */
		struct rn_schema schema;
	} *facts;
	size_t cap_facts;
	/* Content of a node, made now if it is not there (borrowed; set by the binding). */
	int (*content)(void *arg, uint32_t node, const struct rn_rel **out, struct rn_err *e);
	void *arg;
	bool always;        /* whatever is sound is done, without asking the cost model (tests) */
	const char *doing;  /* name of the rewrite that runs */
	struct rn_str *log; /* what was done, a line each; borrowed */
};

/* Bit of rn_ctx.no_rewrite beside those of the rewrites: sets `always`. */
#define RN_RW_ALWAYS (UINT32_C(1) << 31)

/* Copy `plan`; carried[i]: node i is a leaf whatever it is (NULL: none).  content, arg and log are
 * the caller's to set before it runs. */
RN_MUST_CHECK int rn_rewriting_init(struct rn_rewriting *r, const struct rn_ctx *c,
				    const struct rn_plan *plan, struct rn_rel *const *carried,
				    struct rn_err *e);
void rn_rewriting_fini(struct rn_rewriting *r);
/* All rewrites that are on, in order. */
RN_MUST_CHECK int rn_rewriting_run(struct rn_rewriting *r, struct rn_err *e);
/* Drop what is not needed, and order the rest.  (*now)[i]: the number that node i has then, or
 * RN_NONE; as many as there were nodes (*n), owned.  The plan is the caller's (rn_plan_free). */
RN_MUST_CHECK int rn_rewriting_finish(struct rn_rewriting *r, struct rn_plan **plan,
				      uint32_t **now, uint32_t *n, struct rn_err *e);

/* ---- for rewrites ------------------------------------------------------------------------ */

static inline const struct rn_node *rn_rewriting_node(const struct rn_rewriting *r, uint32_t i)
{
	return &r->plan->nodes[i];
}
static inline const struct rn_schema *rn_rewriting_schema(const struct rn_rewriting *r, uint32_t i)
{
	return &r->facts[i].schema;
}

/* How many inputs of needed nodes, and how many runs, read each node: facts[].users, runs. */
RN_MUST_CHECK int rn_rewriting_count(struct rn_rewriting *r, struct rn_err *e);

/* The needed nodes that `root` depends on and itself, inputs first; RN_NONE: of all runs.
 * *order owned, *n of them. */
RN_MUST_CHECK int rn_rewriting_order(const struct rn_rewriting *r, uint32_t root, uint32_t **order,
				     uint32_t *n, struct rn_err *e);

/* An input of a node that is added. */
struct rn_rewriting_in {
	uint32_t node;
	const char *as; /* or NULL */
};
/* Add a node that works for node `of`; takes opt, also on failure.  *out: its number. */
RN_MUST_CHECK int rn_rewriting_add(struct rn_rewriting *r, uint32_t of, const char *op,
				   json_t *opt, const struct rn_rewriting_in *in, uint32_t nin,
				   uint32_t *out, struct rn_err *e);
/* The schema of a node, anew: an input of it changed. */
RN_MUST_CHECK int rn_rewriting_infer(struct rn_rewriting *r, uint32_t i, struct rn_err *e);
/* Node i becomes what node `like`, which was added and has no user, is, but for its name.  Its
 * schema must not change (RN_EBUG). */
RN_MUST_CHECK int rn_rewriting_become(struct rn_rewriting *r, uint32_t i, uint32_t like,
				      struct rn_err *e);
/* Would rn_rewriting_become be in order: the same columns, parts and key? */
bool rn_rewriting_same_schema(const struct rn_schema *a, const struct rn_schema *b);

/* A line of the log: "NODE: …". */
void rn_rewriting_say(struct rn_rewriting *r, uint32_t node, const char *fmt, ...) RN_PRINTF(3, 4);

enum { RN_REWRITING_COLS = 64 };
/* Distinct values of at most so many columns of a relation. */
RN_MUST_CHECK int rn_rewriting_distinct(const struct rn_rewriting *r, const struct rn_rel *rel,
					const size_t *cols, size_t n, uint64_t *out,
					struct rn_err *e);

/* ---- the rewrites, a file each -------------------------------------------------------------- */

RN_MUST_CHECK int rn_rewrite_merge(struct rn_rewriting *r, struct rn_err *e);
RN_MUST_CHECK int rn_rewrite_push(struct rn_rewriting *r, struct rn_err *e);
RN_MUST_CHECK int rn_rewrite_single(struct rn_rewriting *r, struct rn_err *e);
RN_MUST_CHECK int rn_rewrite_prune(struct rn_rewriting *r, struct rn_err *e);
RN_MUST_CHECK int rn_rewrite_eliminate(struct rn_rewriting *r, struct rn_err *e);

#endif
