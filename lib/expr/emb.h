/* SPDX-License-Identifier: Apache-2.0
 *
 * Embedding expressions: the one language of rn-map, rn-agg, JSON and rules
 * (LANGUAGE in docs/language.md, "Embedding expressions").
 *
 *   sum(adj * h1)    z / clamp(rowsum(z), 1, 1e9)    Dropout(0.5)(ReLU(z))
 *   1 / sqrt([s.d] * [t.d])    Linear(1433, 16, False, init="glorot")(z)
 *
 * parse  text -> tree; errors carry the text and a caret
 * infer  tree + schema -> shape and facts, before any row is read
 * lower  tree + values -> instructions of a tensor program
 */
#ifndef RN_EMB_H
#define RN_EMB_H

#include "../base/ctx.h"
#include "../dev/prog.h"
#include "../rel/rel.h"

struct rn_eexpr;

RN_MUST_CHECK int rn_eexpr_parse(const char *text, struct rn_eexpr **out, struct rn_err *e);
void rn_eexpr_free(struct rn_eexpr *x);

/* The aggregate that the outermost call names, which is then not part of the
 * expression itself (rn-agg): sum (add), mean (avg), max, min; else RN_AGG_NONE. */
enum rn_agg { RN_AGG_NONE, RN_AGG_SUM, RN_AGG_MEAN, RN_AGG_MAX, RN_AGG_MIN };
enum rn_agg rn_eexpr_take_agg(struct rn_eexpr *x);

/* Facts known from the text alone: does it hold parameters (Linear, Tensor, …)
 * or randomness (Dropout)?  Does it name part or column `name`? */
bool rn_eexpr_has_params(const struct rn_eexpr *x);
bool rn_eexpr_has_random(const struct rn_eexpr *x);
/* Is the value of a row made of other rows, too: softmax(a; t), or the mean (taken from around it or not)
 * of a loss whose rows count differently? */
bool rn_eexpr_spans_rows(const struct rn_eexpr *x);
/* Call fn for the columns of every softmax(a; t...); stops at the first code but 0. */
RN_MUST_CHECK int rn_eexpr_softmaxes(const struct rn_eexpr *x,
				     int (*fn)(void *arg, size_t nby, const char *const *by,
					       struct rn_err *e),
				     void *arg, struct rn_err *e);
/* May a row, a class or a feature of a loss count so much: 0, or a positive number that a float32 holds? */
bool rn_is_weight(double w);
/* Call fn for every content column that it reads. */
void rn_eexpr_columns(const struct rn_eexpr *x, void (*fn)(void *arg, const char *col), void *arg);

struct rn_einfo {
	struct rn_shape shape;
	bool sparse;
	bool densifies; /* a sparse operand is made dense on the way */
};
/* Check names, types and shapes against the input's schema (RN_EUSAGE, caret). */
RN_MUST_CHECK int rn_eexpr_infer(const struct rn_eexpr *x, const struct rn_schema *s,
				 struct rn_einfo *out, struct rn_err *e);

/* ---- lowering ----------------------------------------------------------------------- */

/* A part of a bound relation inside a tensor program. */
struct rn_lpart {
	char *name;
	struct rn_shape shape;
	uint32_t base_rows; /* rows of the value (dense), or of the CSR (sparse) */
	uint32_t val;       /* dense: [base_rows, width]; sparse: the stored values, [nnz, 1] */
	bool sparse;
	uint32_t ptr, col;  /* sparse: index arrays, base_rows + 1 and nnz */
	uint32_t map;       /* index array [rows of the relation], or RN_NONE: row i is base row i */
};

/* Parameters are asked for by full name, e.g. "h1.weight". */
enum rn_init {
	RN_INIT_DEFAULT,        /* what the module says (Linear: kaiming-uniform, a = sqrt 5) */
	RN_INIT_FILL,           /* constant: arg */
	RN_INIT_UNIT,           /* U(0, 1): "uniform", torch.nn.init.uniform_ */
	RN_INIT_UNIFORM,        /* U(-arg, arg): "uniform(arg)" */
	RN_INIT_NORMAL,         /* N(0, arg²) */
	RN_INIT_XAVIER_UNIFORM, /* = glorot */
	RN_INIT_XAVIER_NORMAL,
	RN_INIT_KAIMING_UNIFORM, /* gain of ReLU, fan in */
	RN_INIT_KAIMING_NORMAL,
	RN_INIT_TRUNC_NORMAL,   /* N(0, arg²) within [-2, 2] */
	RN_INIT_ORTHOGONAL,     /* rows, or columns if they are fewer, at right angles; length arg */
	RN_INIT_EYE,            /* 1 where row and column are equal, else 0 */
};
/* "glorot", "xavier_uniform", "zeros", "ones", "uniform", "normal", … as PyTorch names them. */
RN_MUST_CHECK int rn_init_parse(const char *name, enum rn_init *kind, double *arg, struct rn_err *e);

struct rn_param_spec {
	const char *name;
	uint32_t rank, dim[4]; /* a Linear's weight is [in, out] */
	enum rn_init init;
	double arg;
	uint32_t fan_in, fan_out;
	bool buffer; /* moved by rn_prog_update, and no parameter to gradients */
	/* A table with a row per key (rn-embed): the key columns of the rows asked for, dim[0] of
	 * them, distinct.  Where the table exists already (a model, another stage of that
	 * name), rows[i] is set to the table's row of key i, or RN_NO_ROW for a key that it lacks. */
	const struct rn_rel *keys; /* NULL: a parameter like another */
	uint32_t *rows;            /* dim[0] entries, the caller's */
};

struct rn_lower_env {
	const struct rn_ctx *ctx;
	struct rn_prog *prog;
	bool training;            /* else modules are in evaluation mode */
	const char *stage;        /* name: parameters and random draws are named by it */
	const char *param_prefix; /* --param NAME: replaces the stage's name; NULL: stage */
	const struct rn_rel *rel; /* content of the relation (its parts are not used) */
	uint32_t rows;
	size_t nparts;
	const struct rn_lpart *parts;
	/* The program's value for a parameter (an error if shapes disagree). */
	int (*param)(void *arg, const struct rn_param_spec *s, uint32_t *val, struct rn_err *e);
	void *param_arg;
	/* softmax(a; t…) inside an aggregate: normalise val [rows,·] over the rows of a group
	 * that agree on the columns `by` (none: over the group's rows), as rn_lower_softmax
	 * does.  NULL: the expression may not call it. */
	int (*softmax)(void *arg, uint32_t val, size_t nby, const char *const *by, uint32_t *out,
		       struct rn_err *e);
	/* Inside mean(…): the number of the group's rows by the sum of their weights val [rows,1],
	 * for each row.  NULL: there is no mean around the expression. */
	int (*shares)(void *arg, uint32_t val, uint32_t *out, struct rn_err *e);
	void *rows_arg; /* of both */
};

/* Lower the expression over the relation's rows; *out describes one part
 * without a map (name NULL).  Maps of the parts are gathered as needed. */
RN_MUST_CHECK int rn_eexpr_lower(const struct rn_eexpr *x, const struct rn_lower_env *env,
				 struct rn_lpart *out, struct rn_err *e);

/* Pieces that operators use as well. ------------------------------------------- */

/* A part without its map (dense: a gather; sparse: gathered pattern and values). */
RN_MUST_CHECK int rn_lpart_flatten(struct rn_prog *p, const struct rn_lpart *in, uint32_t rows,
				   struct rn_lpart *out, struct rn_err *e);
/* A dense value of a part without map. */
RN_MUST_CHECK int rn_lpart_dense(struct rn_prog *p, const struct rn_lpart *in, uint32_t *val,
				 struct rn_err *e);
/* x·W + b for a flattened part, dense or sparse: "STAGE.weight", "STAGE.bias". */
RN_MUST_CHECK int rn_lower_linear(const struct rn_lower_env *env, const struct rn_lpart *x,
				  uint32_t out_features, bool bias, enum rn_init init, double arg,
				  const char *prefix, struct rn_lpart *out, struct rn_err *e);
/* x·W[value of `col`] + b, W combined of `bases` matrices or (0) one per value:
 * "STAGE.weight" or "STAGE.basis" and "STAGE.coef", by value; "STAGE.bias". */
RN_MUST_CHECK int rn_lower_linear_per(const struct rn_lower_env *env, const struct rn_lpart *x,
				      const char *col, uint32_t bases, uint32_t out_features,
				      bool bias, enum rn_init init, double arg,
				      struct rn_lpart *out, struct rn_err *e);
/* softmax of each feature over the rows of each segment, stabilised by its maximum, which
 * gradients take as a constant.  ptr, pos: the segments as in struct rn_groups (pos
 * RN_NONE: k itself); of: each row's segment (RN_NO_ROW: 0 there). */
RN_MUST_CHECK int rn_lower_softmax(struct rn_prog *p, uint32_t val, uint32_t ptr, uint32_t pos,
				   uint32_t of, uint32_t *out, struct rn_err *e);
/* A content column as [rows,1]: numbers, bool, timestamps in seconds; NULL is 0 and counted. */
RN_MUST_CHECK int rn_lower_column(const struct rn_lower_env *env, size_t col, uint32_t *val,
				  struct rn_err *e);

#endif
