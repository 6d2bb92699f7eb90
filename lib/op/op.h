/* SPDX-License-Identifier: Apache-2.0
 *
 * Operators: one file and one row of rn_op_table each.
 *
 *   infer  option values + input schemas -> output schema; no row is read
 *   bind   input contents -> output content and index arrays (state); once
 *   reach  which input rows some output rows depend on, by those index arrays
 *   fit    training rows -> vocabularies, means, ... (encode)
 *   settle what of the state depends on widths, once all of them are known
 *   lower  input values -> instructions of a tensor program; once per program
 *   close  frees the state
 *
 * bind and lower do the same work for an evaluated pipeline (block by block for
 * row-wise operators), for training and for prediction: there is one
 * implementation.  A state holds no pointer into another operator's state.
 */
#ifndef RN_OP_H
#define RN_OP_H

#include "../base/ctx.h"
#include "../base/opt.h"
#include "../expr/emb.h"
#include "../expr/encode.h"
#include "../rel/rel.h"

struct rn_op;

/* One node of a plan, as an operator sees it. */
struct rn_node {
	char *name;          /* unique in a finished plan; NULL before names are given */
	char *id;            /* instance id inside streams, else NULL */
	char *where;         /* "FILE:LINE" of the program that it was lowered from, or NULL */
	const struct rn_op *op;
	json_t *opt;         /* option values in normal form (base/opt.h), owned */
	bool learns;         /* as op->check found */
	struct rn_fitted *fitted; /* op->fit: what it fitted, or a model brought; NULL: not yet */
	uint32_t nin;
	struct rn_input {
		char *as;          /* the name that expressions know it by, or NULL */
		const char *opt;   /* the RN_OPT_NODE option that it came from, or NULL */
		uint32_t node;     /* number in the plan */
	} *in;
};

/* Typed access to a node's options (the name must be in the operator's table). */
bool rn_node_flag(const struct rn_node *n, const char *name);
int64_t rn_node_int(const struct rn_node *n, const char *name);
double rn_node_number(const struct rn_node *n, const char *name);
const char *rn_node_string(const struct rn_node *n, const char *name);
const json_t *rn_node_json(const struct rn_node *n, const char *name);
/* Number of the input that came from option `name`, or -1. */
long rn_node_input(const struct rn_node *n, const char *name);
/* What messages call it: "join 'j1'". Into a static-size buffer of the caller's. */
const char *rn_node_label(const struct rn_node *n, char *buf, size_t size);
/* Put the node, and where it comes from, in front of an error's message and return rc.  A
 * node without a name is the program's own ("rn-map: …" says enough) and adds nothing. */
int rn_node_error(const struct rn_node *n, int rc, struct rn_err *e);

/* A relation inside a tensor program: content, and parts as values. */
struct rn_lrel {
	const struct rn_rel *rel; /* content (columns, rows) */
	size_t nparts;
	struct rn_lpart *parts;   /* names owned */
};
void rn_lrel_fini(struct rn_lrel *r);

/* What lower is given beside the node. */
struct rn_lower {
	const struct rn_ctx *ctx;
	struct rn_prog *prog;
	bool training;
	int (*param)(void *arg, const struct rn_param_spec *s, uint32_t *val, struct rn_err *e);
	void *param_arg;
};

enum rn_op_flag {
	RN_OP_ROWWISE = 1, /* output row i depends on input row i alone: streams block by block */
	RN_OP_SOURCE = 2,  /* no inputs */
	RN_OP_SINK = 4,    /* loss */
	RN_OP_LEARNS = 8,  /* some of its nodes learn (its program takes --model) */
	RN_OP_LATE = 16,   /* its rows are made between runs (rn_plan_late): it has no program */
};

struct rn_op {
	const char *name;   /* "join"; the program is "rn-join" */
	const char *what;   /* one sentence for --help: "join relations on equal keys" */
	const char *usage;  /* operands: "[NAME=]FILE…" */
	const char *const *examples; /* two or so command lines, NULL-terminated */
	const char *see_also;
	unsigned flags;
	unsigned min_in, max_in; /* max_in RN_MANY: any number */
	const struct rn_opt *opts;
	size_t nopts;
	size_t state_size;
	/* When a node is made: check what its options' types do not say (expressions parse here),
	 * and say whether it *learns*: holds parameters, fitted statistics or randomness.
	 * *learns comes in false.  NULL: nothing to check, and it does not. */
	int (*check)(const struct rn_node *n, bool *learns, struct rn_err *e);
	int (*infer)(const struct rn_node *n, const struct rn_schema *const *in,
		     struct rn_schema *out, struct rn_err *e);
	/* in: contents of the inputs (their parts may be there but are not used); schema: what
	 * was inferred for them, parts included (widths may be unknown).  *out: content only,
	 * owned by the caller.
	 * state: state_size zeroed bytes, or NULL.  NULL for sources (exec/source.c). */
	int (*bind)(const struct rn_ctx *c, const struct rn_node *n,
		    const struct rn_schema *const *schema, const struct rn_rel *const *in,
		    void *state, struct rn_rel **out, struct rn_err *e);
	/* Mark the rows of input k that the rows marked in `out` (of the bound output) depend on
	 * by their embedding; `mark` may have marks already.  NULL: row i on row i of input 0. */
	int (*reach)(const struct rn_ctx *c, const struct rn_node *n, const void *state,
		     const struct rn_rel *const *in, uint32_t k, const uint8_t *out, uint64_t rows,
		     uint8_t *mark, struct rn_err *e);
	/* Statistics of the marked rows of input 0; `rows` NULL: no loss reaches the stage. *out
	 * owned.  infer then knows all widths.  Only for nodes that learn. */
	int (*fit)(const struct rn_ctx *c, const struct rn_node *n, const struct rn_rel *in,
		   const uint8_t *rows, struct rn_fitted **out, struct rn_err *e);
	/* After bind: `schema` as inferred now, when all widths are known; out: what bind made.
	 * NULL: nothing to do. */
	int (*settle)(const struct rn_ctx *c, const struct rn_node *n,
		      const struct rn_schema *const *schema, const struct rn_rel *const *in,
		      const struct rn_rel *out, void *state, struct rn_err *e);
	/* out->rel is the bound content; fills out->parts. */
	int (*lower)(const struct rn_lower *lw, const struct rn_node *n, const void *state,
		     const struct rn_lrel *in, struct rn_lrel *out, struct rn_err *e);
	void (*close)(void *state);
};

enum { RN_MANY = 1024 };

extern const struct rn_op *const rn_op_table[];
extern const size_t rn_op_count;
const struct rn_op *rn_op_find(const char *name); /* NULL: no such operator */

/* The class labels of a loss: codes <-> values (op_loss.c). */
struct rn_classes {
	uint32_t n;             /* width of the logits */
	bool own;               /* integer labels that are their own code; values is NULL */
	struct rn_column *values; /* code -> label, in order of value */
};
void rn_classes_fini(struct rn_classes *c);
/* Code of row i of a label column, or RN_NONE (NULL, or a value that is no class). */
uint32_t rn_classes_code(const struct rn_classes *c, const struct rn_column *labels, uint64_t i);
/* The labels of `n` codes as a column, *out owned. */
RN_MUST_CHECK int rn_classes_column(const struct rn_classes *c, const uint32_t *codes, uint64_t n,
				    struct rn_column **out, struct rn_err *e);
/* Facts of a bound loss node. */
enum rn_loss_kind { RN_LOSS_CE, RN_LOSS_BCE, RN_LOSS_MSE, RN_LOSS_L1, RN_LOSS_VALUE };
enum rn_loss_kind rn_loss_kind_of(const struct rn_node *n);
const struct rn_classes *rn_loss_classes(const void *state); /* NULL unless RN_LOSS_CE */

#endif
