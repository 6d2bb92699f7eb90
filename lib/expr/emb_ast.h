/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the embedding-expression language share: the tree, the
 * table of functions, and the state of a lowering.  Not for others.
 */
#ifndef RN_EMB_AST_H
#define RN_EMB_AST_H

#include "emb.h"

/* ---- the tree ----------------------------------------------------------------------- */

enum rn_ekind {
	RN_E_NUM,
	RN_E_STR,
	RN_E_BOOL, /* num is 0 or 1 */
	RN_E_NONE,
	RN_E_NAME, /* an embedding part */
	RN_E_COLS, /* [a, s.b]: content columns, or encoders of them: str */
	RN_E_LIST, /* [1, 2.5]: numbers, among what configures a function */
	RN_E_NEG,
	RN_E_BIN,
	RN_E_CALL,
};

enum rn_ebin {
	RN_B_ADD, RN_B_SUB, RN_B_MUL, RN_B_DIV, RN_B_MATMUL, RN_B_POW,
	RN_B_EQ, RN_B_NE, RN_B_LT, RN_B_LE, RN_B_GT, RN_B_GE,
};

struct rn_efunc;

struct rn_enode {
	enum rn_ekind kind;
	enum rn_ebin op;
	uint32_t pos;     /* offset in the text: where the caret points */
	uint32_t depth;   /* of the tree below */
	double num;
	bool is_float;    /* a number written with a point or an exponent */
	const char *str;  /* name or string */
	/* RN_E_BIN: two operands; RN_E_NEG: one; RN_E_LIST: the numbers; RN_E_CALL:
	 * what the function is applied to. */
	uint32_t nargs;
	struct rn_enode **args;
	/* RN_E_CALL */
	const struct rn_efunc *fn;
	uint32_t ordinal; /* 1, 2, … among the calls of this function, in order of evaluation */
	uint32_t ncfg;    /* configuration: Linear(16, 7, bias=False) */
	struct rn_enode **cfg;
	const char **kw;  /* keyword of each cfg, or NULL */
	const char *own;  /* name="…" of a parameterised module */
	uint32_t nby;     /* RN_E_COLS: the columns; softmax(a; s, t); Linear(per=s) */
	const char **by;
};

struct rn_eexpr {
	struct rn_arena arena;
	const char *text;
	struct rn_enode *root;
	uint32_t nparams;  /* parameterised modules without a name of their own */
	uint32_t nnamed;   /* those with one */
	uint32_t nrandom;
	bool mean; /* rn_eexpr_take_agg took a mean(…) from around it */
};

/* Put the text and a caret under the message that e holds; returns e's code. */
int rn_eexpr_caret(const char *text, size_t pos, int code, struct rn_err *e);
/* An error at a node. */
int rn_eexpr_fail(const struct rn_eexpr *x, const struct rn_enode *n, struct rn_err *e,
		  const char *fmt, ...) RN_PRINTF(4, 5);
/* The value of a node that must be known from the text: numbers and + - * / ** of them. */
bool rn_enode_number(const struct rn_enode *n, double *out);
/* A loss whose rows count differently (CrossEntropyLoss(weight=[1, 5])), itself or below. */
bool rn_enode_weighs(const struct rn_enode *n);

/* ---- lowering ----------------------------------------------------------------------- */

/* The value of a subexpression. */
struct rn_elv {
	enum { RN_LV_NUM, RN_LV_DENSE, RN_LV_SPARSE } kind;
	bool one;           /* has no row dimension */
	double num;
	uint32_t val;       /* dense: the value; sparse: the stored values, [nnz,1] */
	uint32_t ptr, col;  /* sparse */
	uint32_t width;
};

struct rn_elower {
	const struct rn_eexpr *x;
	const struct rn_lower_env *env;
	struct rn_prog *p;
	struct rn_elv *parts;   /* each part as flattened at its first use … */
	bool *have;             /* … and whether it was */
	size_t ncols, cap_cols; /* content columns used so far */
	struct { size_t col; uint32_t val; } *cols;
	uint32_t rowof_ptr, rowof; /* the last array of rows of stored values, and its CSR's ptr */
	bool densifies;
	bool scratch;              /* inference: values mean nothing */
};

/* One declared argument of a function and what a call gives for it. */
enum rn_eargtype {
	RN_A_END, RN_A_SIZE, RN_A_INT, RN_A_NUM, RN_A_FLAG, RN_A_STR, RN_A_SIZES,
	RN_A_COL, /* a content column: a name, or a string */
	RN_A_NUMS, /* a number, or [1, 2.5]: rn_earg_nums */
};
enum { RN_A_MAX = 8 };
struct rn_eargdecl {
	const char *name;
	enum rn_eargtype type;
	bool required;
	double def;
};
struct rn_earg {
	bool given;
	double num;
	const char *str;
	uint32_t n, size[RN_MAX_RANK + 1]; /* RN_A_SIZES: all that follow */
	const struct rn_enode *node;
};

enum rn_eform {
	RN_FORM_PLAIN,   /* sqrt(z) */
	RN_FORM_CURRIED, /* Linear(16, 7)(z) */
	RN_FORM_EITHER,  /* ReLU(z), ReLU()(z) */
	RN_FORM_SOURCE,  /* Tensor(1, 16) */
	RN_FORM_AGG,     /* sum(z) */
};

enum {
	RN_FN_EW = 1,      /* one operand, elementwise */
	RN_FN_ZERO = 2,    /* … and 0 where that is 0: stays sparse */
	RN_FN_PARAMS = 4,
	RN_FN_RANDOM = 8,
	RN_FN_TORCH = 16,  /* curried, also view(z, 2, 3) */
	RN_FN_SPARSE = 32, /* takes sparse operands itself; else they are made dense */
	RN_FN_ROWS = 64,   /* softmax(a; t) */
	RN_FN_NUM = 128,   /* takes numbers as they are; else they become values of rank 0 */
	RN_FN_WEIGHS = 256, /* arguments 0 and 1 say how much a row counts: rn_enode_weighs */
};

struct rn_efunc {
	const char *name;
	enum rn_eform form;
	uint32_t min_args, max_args; /* what it is applied to */
	unsigned flags;
	const struct rn_eargdecl *cfg; /* ends with RN_A_END; NULL: none */
	int how;                       /* for `lower`: enum rn_ew, enum rn_ebin, enum rn_agg */
	int (*lower)(struct rn_elower *l, const struct rn_enode *n, const struct rn_earg *cfg,
		     const struct rn_elv *a, struct rn_elv *out, struct rn_err *e);
};

const struct rn_efunc *rn_efunc_find(const char *name);
/* Names like `name`, for a message: "; did you mean …?" or "". */
void rn_efunc_suggest(const char *name, struct rn_str *out);
/* Check the configuration of a call against the declaration. */
RN_MUST_CHECK int rn_efunc_bind(const struct rn_eexpr *x, const struct rn_enode *n,
				struct rn_earg cfg[RN_A_MAX], struct rn_err *e);

/* How many numbers a RN_A_NUMS has, 0: it is not given; and number i of them. */
uint32_t rn_earg_count(const struct rn_earg *a);
double rn_earg_num(const struct rn_earg *a, uint32_t i);

/* Forward a failed emission: values are numbers, RN_NONE is failure. */
#define RN_VAL(out, expr)                                                                         \
	do {                                                                                      \
		*(out) = (expr);                                                                  \
		if (*(out) == RN_NONE)                                                            \
			return e ? e->code : RN_EBUG;                                             \
	} while (0)

/* Evaluate the whole, as a part without a map. */
RN_MUST_CHECK int rn_elower_run(struct rn_elower *l, struct rn_lpart *out, struct rn_err *e);
/* Evaluate a subexpression. */
RN_MUST_CHECK int rn_elower_node(struct rn_elower *l, const struct rn_enode *n, struct rn_elv *out,
				 struct rn_err *e);
/* A dense value for an operand; a number becomes one of rank 0. */
RN_MUST_CHECK int rn_elower_dense(struct rn_elower *l, struct rn_elv *v, struct rn_err *e);
/* fn(a, b), sparse where that can be. */
RN_MUST_CHECK int rn_elower_ew2(struct rn_elower *l, enum rn_ew fn, const struct rn_elv *a,
				const struct rn_elv *b, struct rn_elv *out, struct rn_err *e);
RN_MUST_CHECK int rn_elower_matmul(struct rn_elower *l, const struct rn_enode *n,
				   const struct rn_elv *a, const struct rn_elv *b,
				   struct rn_elv *out, struct rn_err *e);
/* rowsum: of all features of a row. */
RN_MUST_CHECK int rn_elower_rowsum(struct rn_elower *l, const struct rn_elv *a, struct rn_elv *out,
				   struct rn_err *e);
/* The row of each stored value of a sparse operand, as an index array. */
RN_MUST_CHECK int rn_elower_rowof(struct rn_elower *l, uint32_t ptr, uint32_t *out,
				  struct rn_err *e);
/* Number i of a value [rows, 1] if it is known before anything runs. */
bool rn_elower_known(const struct rn_prog *p, uint32_t val, uint32_t i, float *out);
/* The same numbers with another feature shape. */
RN_MUST_CHECK int rn_elower_reshape(struct rn_elower *l, uint32_t x, uint32_t rank,
				    const uint32_t *dim, uint32_t *out, struct rn_err *e);
/* x·W + b for a flat operand, dense or sparse; names PREFIX.weight, PREFIX.bias. */
RN_MUST_CHECK int rn_elower_linear(const struct rn_lower_env *env, const struct rn_elv *x,
				   uint32_t out_features, bool bias, enum rn_init init, double arg,
				   const char *prefix, struct rn_elv *out, struct rn_err *e);
/* The same with a matrix per value of a content column (module_per.c). */
struct rn_per {
	const char *col;
	uint32_t bases; /* of which the matrices are combinations; 0: each on its own */
};
RN_MUST_CHECK int rn_elower_linear_per(const struct rn_lower_env *env, const struct rn_elv *x,
				       const struct rn_per *per, uint32_t in, uint32_t out_features,
				       bool bias, enum rn_init init, double arg, bool scratch,
				       const char *prefix, struct rn_elv *out, struct rn_err *e);
/* A parameter PREFIX.WHAT; its first and last dims are the fans. */
RN_MUST_CHECK int rn_elower_param(const struct rn_lower_env *env, const char *prefix,
				  const char *what, uint32_t rank, const uint32_t *dim,
				  enum rn_init init, double arg, uint32_t *val, struct rn_err *e);
/* The prefix of a module's parameters (owned), the name of its random draws (owned). */
RN_MUST_CHECK int rn_elower_prefix(struct rn_elower *l, const struct rn_enode *n, char **out,
				   struct rn_err *e);
RN_MUST_CHECK int rn_elower_random(struct rn_elower *l, const struct rn_enode *n, char **out,
				   struct rn_err *e);

static inline struct rn_elv rn_elv_dense(uint32_t val, bool one)
{
	return (struct rn_elv){ .kind = RN_LV_DENSE, .one = one, .val = val, .ptr = RN_NONE,
				.col = RN_NONE };
}
static inline struct rn_elv rn_elv_num(double x)
{
	return (struct rn_elv){ .kind = RN_LV_NUM, .one = true, .num = x, .val = RN_NONE,
				.ptr = RN_NONE, .col = RN_NONE };
}

/* The head of a function's `lower`. */
#define RN_LOWER(name)                                                                            \
	static int name(__attribute__((unused)) struct rn_elower *l,                              \
			__attribute__((unused)) const struct rn_enode *n,                         \
			__attribute__((unused)) const struct rn_earg *cfg,                        \
			const struct rn_elv *a, struct rn_elv *out,                               \
			__attribute__((unused)) struct rn_err *e)

/* The rows of the function table (module.c, module_net.c, module_loss.c). */
extern const struct rn_efunc rn_efuncs_plain[], rn_efuncs_net[], rn_efuncs_loss[];
extern const size_t rn_nefuncs_plain, rn_nefuncs_net, rn_nefuncs_loss;

#endif
