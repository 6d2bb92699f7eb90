/* SPDX-License-Identifier: Apache-2.0
 *
 * The tensor program: what operators lower to and backends run.
 *
 * A program is a flat list of instructions in the order in which they run.
 * Each makes one value, [rows, width] reals (rn_real: float, or double for
 * finite differences) with a feature shape.  Values are constants (made at
 * bind), parameters (one row, no row dimension), or results.  Index arrays
 * (row maps, segments, feature maps) are constants of the program.  Everything
 * refers to everything by number, never by pointer, so that a part of a
 * program can be written down and run by another process.
 *
 * Lowering emits scalar elementwise nodes (RN_P_EW); lib/exec fuses chains of
 * them into RN_P_ELEM and RN_P_SEGELEM, whose bytecode runs over blocks.  Gradients
 * (lib/expr/grad.h) are more instructions of the same kinds.
 */
#ifndef RN_PROG_H
#define RN_PROG_H

#include "../base/mem.h"
#include "../base/rng.h"

#define RN_NONE UINT32_MAX /* no value, no index array */
#define RN_MAX_IN 16       /* inputs of an instruction */

enum rn_prim {
	/* elementwise */
	RN_P_EW,   /* one scalar function of its inputs: ew.fn, in[].fmap */
	RN_P_ELEM, /* a fused elementwise program: elem */

	/* rows */
	RN_P_GATHER, /* out[i] = x[idx0[i]], 0 where idx0[i] is RN_NO_ROW */
	RN_P_STACK,  /* the rows of the inputs, one under the other */
	RN_P_SPMM,   /* out[s] = sum over k in idx0[s] … idx0[s+1]-1 of w[idx2[k]] * x[idx1[k]];
	              * in: x, w [·,1] or RN_NONE (1); idx1, idx2 RN_NONE: k itself;
	              * idx1[k] = RN_NO_ROW is left out.  Chunks of 256 terms from the
	              * segment's start, the chunk sums added in order. */
	RN_P_SEGELEM, /* RN_P_SPMM of a fused elementwise program that is never stored: out[s] =
	               * sum over k in idx0[s] … idx0[s+1]-1 of elem at row k of the inputs, added
	               * in the same order; flag RN_F_WEIGHTED: times the last input, [·,1] */
	RN_P_SDDMM,  /* out[k] = dot(a[idx0[k]], b[idx1[k]]), [n,1]; idx RN_NONE: k */
	RN_P_SEGARG, /* out[s,f] (uint32) = the first row r of segment s with the largest
	              * x[r,f] (smallest if flag RN_F_MIN); idx0 ptr, idx1 rows or RN_NONE;
	              * RN_NO_ROW for an empty segment.  NaN is never chosen over a number. */
	RN_P_PICK,   /* out[s,f] = x[arg[s,f], f], 0 for RN_NO_ROW; in: x, arg */
	RN_P_UNPICK, /* its gradient: zeros, then out[arg[s,f], f] = g[s,f]; in: g, arg.
	              * No two s name the same (row, f). */

	/* matrices */
	RN_P_GEMM,    /* out = x·W (+ b): x [n,k], W one row of shape [k,m], b one row [m] or
	               * RN_NONE; flag RN_F_TRANS: W is [m,k] and out = x·Wᵀ */
	RN_P_GEMM_TN, /* out (one row, shape [k,m]) = xᵀ·y: partial products of 4,096 rows added
	               * in a fixed tree */
	RN_P_GGEMM,   /* out[i] = x[i]·W[s], s the segment of idx0 that holds row i: x [n,k], W
	               * [segments, of shape [k,m]]; flag RN_F_TRANS: W is [m,k] and out = x·Wᵀ.
	               * idx0 begins with 0 and ends with n. */
	RN_P_GGEMM_TN, /* out[s] (shape [k,m]) = sum over the rows i of segment s of x[i]ᵀ·y[i], one
	                * after the other; idx0 likewise */
	RN_P_MATMUL,  /* per row: a [p,q] · b [q,r] -> [p,r]; flags RN_F_TRANS_A, RN_F_TRANS_B:
	               * the operand is stored transposed; an operand of one row is broadcast */

	/* features */
	RN_P_COLSUM, /* [n,w] -> [1,w]: chunks of 256 rows, chunk sums added in a fixed tree */
	RN_P_FSUM,   /* out[i,j] = sum over f with idx0[f] = j of x[i,f], f ascending;
	              * idx0 RN_NONE: all into width 1 */
	RN_P_FMAX,   /* [n,w] -> [n,1] */
	RN_P_ARGMAX, /* [n,w] -> [n,1]: index of the first largest, as a real */
	RN_P_CONCAT, /* features of the inputs side by side; one-row inputs are broadcast */
	RN_P_VIEW,   /* the same numbers as [rows', width'] (no copy); of one-row values */

	/* sparse rows: idx0 ptr, idx1 column */
	RN_P_DENSIFY, /* vals [nnz,1] -> [n,w] */
	RN_P_ATCSR,   /* x [n,w] -> [nnz,1]: out[k] = x[row of k, idx1[k]] */

	/* losses with a row-wise reduction; the others are elementwise */
	RN_P_CE,      /* logits [n,c] -> [n,1]: logsumexp(z) - z[idx0[i]]; 0 for RN_NO_ROW */
	RN_P_CE_GRAD, /* in: logits, g [n,1] -> [n,c]: (softmax(z) - onehot(idx0[i])) * g; 0 for
	               * RN_NO_ROW */

	/* optimizer steps: in[0] is a parameter, updated in place; out is in[0] */
	RN_P_ADAM, /* in: param, grad, m, v; f as enum rn_adam_f */
	RN_P_SGD,  /* in: param, grad, momentum buffer or RN_NONE; f as enum rn_sgd_f */

	RN_NPRIM
};

enum rn_inst_flag {
	RN_F_TRANS = 1,
	RN_F_TRANS_A = 2,
	RN_F_TRANS_B = 4,
	RN_F_MIN = 8,
	RN_F_DECOUPLED = 16, /* RN_P_ADAM: AdamW */
	RN_F_BUFFER = 32,    /* RN_P_SGD: of a struct rn_update, no parameter's */
	RN_F_WEIGHTED = 64,  /* RN_P_SEGELEM */
};

/* Scalars of an optimizer step; those marked * are set before each step. */
enum rn_adam_f { RN_A_LR, RN_A_BETA1, RN_A_BETA2, RN_A_EPS, RN_A_DECAY, RN_A_BC1, RN_A_BC2 };
/*               *                                               *1-β1^t  *1-β2^t          */
enum rn_sgd_f { RN_S_LR, RN_S_MOMENTUM, RN_S_DECAY, RN_S_FIRST /* * 1: buffer = gradient */ };

/* Both: how the learning rate goes with the number of the step (lib/learn/optim.h). */
enum rn_step_f { RN_F_SCHEDULE = 8, RN_F_PERIOD, RN_F_GAMMA, RN_F_WARMUP, RN_STEP_F };

/* Scalar functions of RN_P_EW and RN_P_ELEM. */
enum rn_ew {
	RN_EW_IMM,      /* imm */
	RN_EW_LOAD,     /* RN_P_ELEM, RN_P_SEGELEM: block of input number `a` */
	RN_EW_DROPMASK, /* Philox: 0 with probability imm, else 1/(1-imm); see rn_inst.drop */
	/* one operand */
	RN_EW_NEG, RN_EW_EXP, RN_EW_LOG, RN_EW_LOG1P, RN_EW_SQRT, RN_EW_ABS, RN_EW_SIGN,
	RN_EW_ROUND, /* half to even */
	RN_EW_TANH, RN_EW_SIGMOID, RN_EW_ERF, RN_EW_RELU,
	RN_EW_POS,   /* 1 if x > 0 else 0 */
	/* two */
	RN_EW_ADD, RN_EW_SUB, RN_EW_MUL, RN_EW_DIV, RN_EW_POW,
	RN_EW_MAX, RN_EW_MIN, /* NaN if either is NaN; of equal ones the first */
	RN_EW_EQ, RN_EW_LT, RN_EW_LE,
	/* three */
	RN_EW_SELECT, /* a != 0 ? b : c */
	RN_EW_FMA,    /* a * b + c, rounded once */
	RN_NEW
};
extern const struct rn_ew_info {
	const char *name;
	unsigned arity;
	bool zero_keeping; /* one operand: f(0) = 0 */
} rn_ew_info[RN_NEW];

/* An input of an instruction.  fmap (RN_P_EW, RN_P_ELEM, RN_P_SEGELEM): output feature f
 * reads input feature idx[fmap][f]; RN_NONE: f itself, or 0 where the input's width is
 * 1.  rmap (RN_P_ELEM, RN_P_SEGELEM): row i reads input row idx[rmap][i], and is 0 where
 * that is RN_NO_ROW; RN_NONE: i itself, and an input of one row is broadcast. */
struct rn_in {
	uint32_t val;
	uint32_t fmap;
	uint32_t rmap;
};
#define RN_NO_IN ((struct rn_in){ RN_NONE, RN_NONE, RN_NONE })

/* One step of a fused program: reg[dst] = fn(reg[a], reg[b], reg[c]). */
struct rn_elem_step {
	uint8_t fn; /* enum rn_ew */
	uint8_t dst;
	uint8_t a, b, c; /* registers; RN_EW_LOAD: a is the input's number */
	uint8_t drop;    /* RN_EW_DROPMASK: which of elem.drops */
	double imm;
};
enum { RN_ELEM_REGS = 24, RN_ELEM_STEPS = 64 };

/* Where a dropout mask takes its counters from. */
struct rn_drop {
	struct rn_rng_key key;
	uint32_t
	    row; /* index array: ordinal of each row in the unrestricted relation; RN_NONE: i */
	uint32_t col; /* index array, for the stored values of sparse rows; RN_NONE: the feature */
};

struct rn_elem {
	uint32_t nsteps, nregs, result; /* result: register */
	struct rn_elem_step *steps;     /* in the program's arena */
	uint32_t ndrops;
	struct rn_drop *drops;
};

struct rn_inst {
	enum rn_prim op;
	uint32_t flags; /* enum rn_inst_flag */
	uint32_t out;   /* value */
	uint32_t nin;
	struct rn_in in[RN_MAX_IN];
	uint32_t idx[3];
	enum rn_ew fn; /* RN_P_EW */
	double imm;    /* RN_P_EW: RN_EW_IMM, RN_EW_DROPMASK */
	struct rn_drop drop;
	struct rn_elem elem;
	double f[RN_STEP_F]; /* optimizer scalars */
	uint32_t stage; /* number of the plan node that it works for */
};

enum rn_vkind {
	RN_V_CONST, /* data, filled at bind */
	RN_V_PARAM, /* one row; number `param` in the session's table */
	RN_V_STATE, /* one row; optimizer slot, number `param` */
	RN_V_INST,  /* the result of an instruction */
};

struct rn_val {
	enum rn_vkind kind;
	uint32_t rows;
	uint32_t rank, dim[4]; /* feature shape; width is their product */
	uint32_t width;
	struct rn_buf *data;   /* RN_V_CONST: float[rows * width] */
	uint32_t param;
	uint32_t inst;         /* RN_V_INST: which */
	bool diff;             /* depends on a parameter */
	bool random;           /* depends on a random draw */
	bool keep;             /* an output: must outlive the program's last instruction */
	bool index;            /* the numbers are uint32_t (RN_P_SEGARG), as a constant too */
};

struct rn_idx {
	struct rn_buf *data; /* uint32_t[n] */
	uint32_t n;
	bool fmap; /* a feature map; equal ones are one array */
};

/* A buffer, which training moves without a gradient: param -= rate * delta after each epoch.
 * The trainer makes a step of it (BatchNorm1d's running statistics). */
struct rn_update {
	uint32_t param, delta; /* values; delta is kept */
	double rate;
};

struct rn_prog {
	struct rn_arena arena;
	uint32_t nvals, ninsts, nidx;
	size_t cap_vals, cap_insts, cap_idx;
	struct rn_val *vals;
	struct rn_inst *insts;
	struct rn_idx *idx;
	size_t nupdates, cap_updates;
	struct rn_update *updates;
	uint32_t stage; /* given to instructions that are added */
	bool open;      /* only shapes are wanted, and a dim of 0 is one that is not known yet */
};

void rn_prog_init(struct rn_prog *p);
void rn_prog_fini(struct rn_prog *p);

/* ---- building: each returns the new value's (array's) number, or RN_NONE + e */

/* Takes the reference to `data` (also on failure). */
uint32_t rn_prog_const(struct rn_prog *p, uint32_t rows, uint32_t rank, const uint32_t *dim,
		       struct rn_buf *data, struct rn_err *e);
uint32_t rn_prog_const_fill(struct rn_prog *p, uint32_t rows, uint32_t width, float fill,
			    struct rn_err *e);
uint32_t rn_prog_param(struct rn_prog *p, enum rn_vkind kind, uint32_t number, uint32_t rank,
		       const uint32_t *dim, struct rn_err *e);
/* An index array; takes the reference (also on failure).  NULL gives RN_NONE. */
uint32_t rn_prog_idx(struct rn_prog *p, struct rn_buf *data, uint32_t n, struct rn_err *e);
uint32_t rn_prog_idx_copy(struct rn_prog *p, const uint32_t *data, uint32_t n, struct rn_err *e);
static inline const uint32_t *rn_prog_idx_data(const struct rn_prog *p, uint32_t i)
{
	return i == RN_NONE ? NULL : (const uint32_t *)p->idx[i].data->data;
}
/* The value behind views. */
static inline uint32_t rn_prog_root(const struct rn_prog *p, uint32_t v)
{
	while (p->vals[v].kind == RN_V_INST && p->insts[p->vals[v].inst].op == RN_P_VIEW)
		v = p->insts[p->vals[v].inst].in[0].val;
	return v;
}

/* Add an instruction of which the caller filled op, in, nin, idx, flags, …; the
 * value has the given rows and shape.  Checks what can be checked (RN_EBUG). */
uint32_t rn_prog_add(struct rn_prog *p, const struct rn_inst *i, uint32_t rows, uint32_t rank,
		     const uint32_t *dim, struct rn_err *e);
/* An instruction zeroed, with RN_NONE wherever that means nothing. */
struct rn_inst rn_inst_init(enum rn_prim op);

/* Short forms.  Shapes of elementwise operands align from the left, missing
 * trailing dims are 1, and dims of 1 broadcast: [d]*[d,k], [1]*[d]
 * (RN_EUSAGE names both shapes where they do not fit). */
uint32_t rn_prog_ew1(struct rn_prog *p, enum rn_ew fn, uint32_t a, struct rn_err *e);
uint32_t rn_prog_ew2(struct rn_prog *p, enum rn_ew fn, uint32_t a, uint32_t b, struct rn_err *e);
uint32_t rn_prog_ew3(struct rn_prog *p, enum rn_ew fn, uint32_t a, uint32_t b, uint32_t c,
		     struct rn_err *e);
/* fn of a and an immediate (imm_first: fn(imm, a)). */
uint32_t rn_prog_ew_imm(struct rn_prog *p, enum rn_ew fn, uint32_t a, double imm, bool imm_first,
			struct rn_err *e);
uint32_t rn_prog_dropmask(struct rn_prog *p, uint32_t rows, uint32_t rank, const uint32_t *dim,
			  double prob, const struct rn_drop *d, struct rn_err *e);
/* out[i, f] = x[i, fmap[f]] with a new shape: views, slices, transposes. */
uint32_t rn_prog_features(struct rn_prog *p, uint32_t x, const uint32_t *fmap, uint32_t rank,
			  const uint32_t *dim, struct rn_err *e);
uint32_t rn_prog_gather(struct rn_prog *p, uint32_t x, uint32_t map, struct rn_err *e);
uint32_t rn_prog_spmm(struct rn_prog *p, uint32_t ptr, uint32_t x, uint32_t xi, uint32_t w,
		      uint32_t wi, struct rn_err *e); /* rows = len(ptr) - 1 */
uint32_t rn_prog_sddmm(struct rn_prog *p, uint32_t n, uint32_t a, uint32_t ai, uint32_t b,
		       uint32_t bi, struct rn_err *e);
uint32_t rn_prog_gemm(struct rn_prog *p, uint32_t x, uint32_t w, uint32_t b, bool trans,
		      struct rn_err *e);
uint32_t rn_prog_gemm_tn(struct rn_prog *p, uint32_t x, uint32_t y, struct rn_err *e);
uint32_t rn_prog_ggemm(struct rn_prog *p, uint32_t x, uint32_t w, uint32_t ptr, bool trans,
		       struct rn_err *e);
uint32_t rn_prog_ggemm_tn(struct rn_prog *p, uint32_t x, uint32_t y, uint32_t ptr,
			  struct rn_err *e);
uint32_t rn_prog_matmul(struct rn_prog *p, uint32_t a, uint32_t b, bool ta, bool tb,
			struct rn_err *e);
uint32_t rn_prog_colsum(struct rn_prog *p, uint32_t x, struct rn_err *e);
/* fmap NULL: sum all features into width 1. */
uint32_t rn_prog_fsum(struct rn_prog *p, uint32_t x, const uint32_t *fmap, uint32_t rank,
		      const uint32_t *dim, struct rn_err *e);
uint32_t rn_prog_view(struct rn_prog *p, uint32_t x, uint32_t rows, uint32_t rank,
		      const uint32_t *dim, struct rn_err *e);
uint32_t rn_prog_concat(struct rn_prog *p, const uint32_t *xs, uint32_t n, struct rn_err *e);
/* Any number of values of one shape, one under the other. */
uint32_t rn_prog_stack(struct rn_prog *p, const uint32_t *xs, uint32_t n, struct rn_err *e);
/* Rows from … from+n-1 of x. */
uint32_t rn_prog_rows(struct rn_prog *p, uint32_t x, uint32_t from, uint32_t n, struct rn_err *e);

RN_MUST_CHECK int rn_prog_update(struct rn_prog *p, uint32_t param, uint32_t delta, double rate,
				 struct rn_err *e);

/* The program as text, an instruction a line (rn-explain --program, tests). */
struct rn_str;
void rn_prog_print(const struct rn_prog *p, struct rn_str *out);
const char *rn_prim_name(enum rn_prim op);
/* Does it have a fused elementwise program? */
static inline bool rn_prim_is_fused(enum rn_prim op)
{
	return op == RN_P_ELEM || op == RN_P_SEGELEM;
}

/* Flops and bytes that an instruction needs at least (for rn-explain). */
void rn_inst_cost(const struct rn_prog *p, const struct rn_inst *i, double *flops, double *bytes);

#endif
