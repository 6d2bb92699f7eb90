/* SPDX-License-Identifier: Apache-2.0
 *
 * Plans: a flat list of named nodes (a DAG, inputs before users) and an ordered
 * list of runs.  A shell pipeline, a JSON spec and a query program all make the
 * same canonical plan, and identity is by name only.
 */
#ifndef RN_PLAN_H
#define RN_PLAN_H

#include "../op/op.h"

enum rn_run_kind { RN_RUN_FIT, RN_RUN_VAL, RN_RUN_EVAL, RN_RUN_PRED, RN_NRUNS };

/* The option rows of a run kind ("epochs", "metric", "target", …; its node
 * operand "loss" or "in" is a row of type RN_OPT_NODE). */
struct rn_run_type {
	const char *name; /* "fit" */
	const struct rn_opt *opts;
	size_t nopts;
};
extern const struct rn_run_type rn_run_types[RN_NRUNS];

struct rn_run {
	enum rn_run_kind kind;
	uint32_t node;
	json_t *opt; /* normal form, owned */
};
bool rn_run_flag(const struct rn_run *r, const char *name);
int64_t rn_run_int(const struct rn_run *r, const char *name);
double rn_run_number(const struct rn_run *r, const char *name);
const char *rn_run_string(const struct rn_run *r, const char *name);
/* What a pred with these settings is written as: "csv", "tsv", "jsonl" or "er".  NULL: it has no such
 * setting. */
const char *rn_format_of(const char *to, const char *format);
/* … and by this run. */
const char *rn_pred_format(const struct rn_run *r);
const json_t *rn_run_json(const struct rn_run *r, const char *name);

struct rn_plan {
	uint32_t nnodes, nruns;
	size_t cap_nodes, cap_runs;
	struct rn_node *nodes; /* topological order */
	struct rn_run *runs;
	json_t *constants;     /* object, or NULL */
	char *dir;             /* relative paths of sources are relative to it; NULL: to the cwd */
};

/* The file that a source names, as seen from the cwd: relative ones are relative to `dir`
 * (NULL: the cwd); "-", absolute paths and "scheme:…" are as they are.  At the end of
 * out.  (What a run writes, "to" of a pred, is the writer's matter.) */
void rn_path_print(const char *dir, const char *path, struct rn_str *out);

RN_MUST_CHECK int rn_plan_new(struct rn_plan **out, struct rn_err *e);
void rn_plan_free(struct rn_plan *p); /* NULL is fine */

/* Add a node; takes opt; name, id may be NULL.  Runs op->check.  Inputs are
 * added by rn_plan_add_input (the node must be the last one added). */
RN_MUST_CHECK int rn_plan_add(struct rn_plan *p, const struct rn_op *op, const char *name,
			      const char *id, json_t *opt, uint32_t *out, struct rn_err *e);
RN_MUST_CHECK int rn_plan_add_input(struct rn_plan *p, uint32_t node, const char *as,
				    const char *opt, uint32_t from, struct rn_err *e);
RN_MUST_CHECK int rn_plan_add_run(struct rn_plan *p, enum rn_run_kind kind, uint32_t node,
				  json_t *opt, struct rn_err *e);
long rn_plan_find(const struct rn_plan *p, const char *name); /* -1: none */

/* The name of a source without --name: its file's stem, "has_word" for
 * data/has_word.csv.zst.  Length of what *stem points to in `path`; 0 for "-". */
size_t rn_plan_stem(const char *path, const char **stem);

/* ---- names ------------------------------------------------------------------ */

/* Give names; order nodes depth-first in post-order from the runs, then from `out`
 * (neither there: from all nodes without a user); drop ids and nodes that nothing
 * needs.  A source without a name has its file's stem, another node its op and its
 * ordinal among the nodes of that op ("linear2").  Nodes of one name that are equal
 * and hold nothing learned or random are one.  RN_EUSAGE for other nodes of one
 * name, and for two unnamed nodes with parameters that are equal but for their ids
 * (asks for --name).  An input's `as` that is the input's name anyway becomes NULL.
 * *out is renumbered; out may be NULL.  On failure p is as before. */
RN_MUST_CHECK int rn_plan_canonical(struct rn_plan *p, uint32_t *out, struct rn_err *e);

/* Output schemas of all nodes, in node order.  leaf[i]: schema of node i where
 * it is already known (sources, carried relations), else empty (ncols = nparts = 0)
 * and inferred; known[i] says which.  An inferred relation has its node's name, or none.
 * Errors are prefixed with the node. */
RN_MUST_CHECK int rn_plan_infer(const struct rn_plan *p, struct rn_schema *schemas,
				const bool *known, struct rn_err *e);

/* Does node i, or any node it depends on, learn?  deferred[nnodes]. */
void rn_plan_deferred(const struct rn_plan *p, bool *deferred);

/* ---- decoded columns --------------------------------------------------------- */

/* What waits for a prediction: stages of RN_OP_LATE, and what rests on them, but for what is
 * carried (may be NULL).  late[nnodes]; is there any? */
bool rn_plan_late(const struct rn_plan *p, struct rn_rel *const *carried, bool *late);
/* The plan that is bound before any prediction: p's nodes (borrowed), its runs that do not wait,
 * and a pred run of each stage that does not wait and that a run which does reads.  RN_EUSAGE
 * where another run than a prediction waits. */
RN_MUST_CHECK int rn_plan_early(const struct rn_plan *p, struct rn_rel *const *carried,
				struct rn_plan *early, struct rn_err *e);
void rn_plan_early_fini(struct rn_plan *early);

/* ---- JSON spec ---------------------------------------------------------------- */

/* Read a spec ({"rn": 1, "constants", "sources", "stages", "run"}).  `set`:
 * NAME=VALUE overrides of constants, `source`: NAME=FILE overrides of sources.
 * Errors begin with the file and the JSON pointer: "model.json: /stages/3/in: …". */
RN_MUST_CHECK int rn_plan_from_spec(const char *text, size_t len, const char *file,
				    const char *const *set, size_t nset,
				    const char *const *source, size_t nsource,
				    struct rn_plan **out, struct rn_err *e);
/* The canonical plan as a spec (new reference); constants are expanded.  Files are
 * written as seen from the cwd: the text works where it is printed and stored. */
RN_MUST_CHECK int rn_plan_to_spec(const struct rn_plan *p, json_t **out, struct rn_err *e);
/* NAME=FILE on a plan that is there already (pipelines, models); relative to the cwd. */
RN_MUST_CHECK int rn_plan_rebind(struct rn_plan *p, const char *const *source, size_t n,
				 struct rn_err *e);
/* The JSON Schema of specs, from the option tables. */
RN_MUST_CHECK int rn_plan_schema(json_t **out, struct rn_err *e);

/* ---- plans inside streams ------------------------------------------------------- */

/* The "plan" member of a stream's header: the nodes that `out`, the runs or a section
 * need, with ids, their inputs by position, and which section carries a node's rows
 * (section[i], UINT32_MAX: none).  section may be NULL. */
RN_MUST_CHECK int rn_plan_to_header(const struct rn_plan *p, uint32_t out, const uint32_t *section,
				    json_t **j, struct rn_err *e);
/* Add the nodes and runs of a header's plan to p; nodes whose id p has already are those.
 * node_of[k]: plan node carried by section k (cap entries, UINT32_MAX where none); *out: its
 * output node.  What is wrong with j is RN_EDATA; p may then have some of its nodes. */
RN_MUST_CHECK int rn_plan_from_header(struct rn_plan *p, const json_t *j, uint32_t *out,
				      uint32_t *node_of, size_t cap, struct rn_err *e);
/* A random instance id: 16 hex digits. */
RN_MUST_CHECK int rn_plan_new_id(char id[17], struct rn_err *e);

/* ---- explain ---------------------------------------------------------------------- */

/* The plan for Graphviz: its nodes, edges and runs as a cluster, to be put between "digraph {" and
 * "}".  Several clusters may stand in one graph under different ids. */
struct rn_plan_dot {
	const char *id, *label;          /* id: letters and digits; label: NULL or a title */
	const struct rn_schema *schemas; /* these as in rn_plan_explain */
	const uint64_t *rows;
	char *const *notes;              /* a last line for each node; NULL: none */
};
RN_MUST_CHECK int rn_plan_dot(const struct rn_plan *p, const struct rn_plan_dot *d,
			      struct rn_str *out, struct rn_err *e);

/* The plan as text, a node a line: name, op and options, inputs, schema, and (where
 * known; rows[i] != UINT64_MAX) rows; "late" where rn_plan_late says so. */
RN_MUST_CHECK int rn_plan_explain(const struct rn_plan *p, const struct rn_schema *schemas,
				  const uint64_t *rows, struct rn_str *out, struct rn_err *e);

#endif
