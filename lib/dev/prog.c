/* SPDX-License-Identifier: Apache-2.0
 *
 * Building tensor programs: values, index arrays, instructions, and the short
 * forms that find out shapes and broadcasts.  Whether an instruction is well
 * formed is decided in one place, rn_inst_check (prog_check.c).
 */
#include "prog.h"
#include "prog_check.h"

#include "../base/str.h"

#include <stdlib.h>
#include <string.h>

const struct rn_ew_info rn_ew_info[RN_NEW] = {
	[RN_EW_IMM] = { "imm", 0, false },
	[RN_EW_LOAD] = { "load", 0, false },
	[RN_EW_DROPMASK] = { "dropmask", 0, false },
	[RN_EW_NEG] = { "neg", 1, true },
	[RN_EW_EXP] = { "exp", 1, false },
	[RN_EW_LOG] = { "log", 1, false },
	[RN_EW_LOG1P] = { "log1p", 1, true },
	[RN_EW_SQRT] = { "sqrt", 1, true },
	[RN_EW_ABS] = { "abs", 1, true },
	[RN_EW_SIGN] = { "sign", 1, true },
	[RN_EW_ROUND] = { "round", 1, true },
	[RN_EW_TANH] = { "tanh", 1, true },
	[RN_EW_SIGMOID] = { "sigmoid", 1, false },
	[RN_EW_ERF] = { "erf", 1, true },
	[RN_EW_RELU] = { "relu", 1, true },
	[RN_EW_POS] = { "pos", 1, true },
	[RN_EW_ADD] = { "add", 2, false },
	[RN_EW_SUB] = { "sub", 2, false },
	[RN_EW_MUL] = { "mul", 2, false },
	[RN_EW_DIV] = { "div", 2, false },
	[RN_EW_POW] = { "pow", 2, false },
	[RN_EW_MAX] = { "max", 2, false },
	[RN_EW_MIN] = { "min", 2, false },
	[RN_EW_EQ] = { "eq", 2, false },
	[RN_EW_LT] = { "lt", 2, false },
	[RN_EW_LE] = { "le", 2, false },
	[RN_EW_SELECT] = { "select", 3, false },
	[RN_EW_FMA] = { "fma", 3, false },
};

void rn_prog_init(struct rn_prog *p)
{
	memset(p, 0, sizeof *p);
}

void rn_prog_fini(struct rn_prog *p)
{
	for (uint32_t i = 0; i < p->nvals; i++)
		rn_buf_unref(p->vals[i].data);
	for (uint32_t i = 0; i < p->nidx; i++)
		rn_buf_unref(p->idx[i].data);
	free(p->vals);
	free(p->updates);
	free(p->insts);
	free(p->idx);
	rn_arena_fini(&p->arena);
	memset(p, 0, sizeof *p);
}

/* ---- values ----------------------------------------------------------------- */

static uint32_t add_val(struct rn_prog *p, enum rn_vkind kind, uint32_t rows, uint32_t rank,
			const uint32_t *dim, struct rn_err *e)
{
	struct rn_val v = { .kind = kind, .rows = rows, .rank = rank, .inst = RN_NONE };
	uint64_t width = 1;

	if (rank > 4) {
		rn_err_set(e, RN_EBUG, "a value of rank %u: at most 4 are possible", rank);
		return RN_NONE;
	}
	for (uint32_t i = 0; i < rank; i++) {
		v.dim[i] = dim[i];
		if (__builtin_mul_overflow(width, (uint64_t)dim[i], &width))
			width = UINT64_MAX;
	}
	if (width >= RN_NONE) {
		rn_err_set(e, RN_EUSAGE, "a row of more than %u numbers is too wide", RN_NONE - 1);
		return RN_NONE;
	}
	v.width = (uint32_t)width;
	if (p->nvals == RN_NONE - 1 ||
	    rn_grow(&p->vals, &p->cap_vals, (size_t)p->nvals + 1, sizeof v, "values", e))
		return RN_NONE;
	p->vals[p->nvals] = v;
	return p->nvals++;
}

uint32_t rn_prog_const(struct rn_prog *p, uint32_t rows, uint32_t rank, const uint32_t *dim,
		       struct rn_buf *data, struct rn_err *e)
{
	uint32_t v = add_val(p, RN_V_CONST, rows, rank, dim, e);
	uint64_t need;

	if (v == RN_NONE) {
		rn_buf_unref(data);
		return RN_NONE;
	}
	need = (uint64_t)rows * p->vals[v].width * sizeof(float);
	if (!data || data->size < need) {
		rn_err_set(e, RN_EBUG, "a constant of %zu bytes where %llu are needed",
			   data ? data->size : 0, (unsigned long long)need);
		rn_buf_unref(data);
		p->nvals--;
		return RN_NONE;
	}
	p->vals[v].data = data;
	return v;
}

uint32_t rn_prog_const_fill(struct rn_prog *p, uint32_t rows, uint32_t width, float fill,
			    struct rn_err *e)
{
	size_t n = (size_t)rows * width;
	struct rn_buf *b;
	float *x;

	if (n > SIZE_MAX / sizeof *x) {
		rn_err_nomem(e, SIZE_MAX, "a constant");
		return RN_NONE;
	}
	if (rn_buf_new(n * sizeof *x, "a constant", &b, e))
		return RN_NONE;
	x = b->data;
	for (size_t i = 0; i < n; i++)
		x[i] = fill;
	return rn_prog_const(p, rows, 1, &width, b, e);
}

uint32_t rn_prog_param(struct rn_prog *p, enum rn_vkind kind, uint32_t number, uint32_t rank,
		       const uint32_t *dim, struct rn_err *e)
{
	uint32_t v = add_val(p, kind, 1, rank, dim, e);

	if (v != RN_NONE) {
		p->vals[v].param = number;
		p->vals[v].diff = kind == RN_V_PARAM;
	}
	return v;
}

/* ---- index arrays ------------------------------------------------------------- */

uint32_t rn_prog_idx(struct rn_prog *p, struct rn_buf *data, uint32_t n, struct rn_err *e)
{
	if (!data)
		return RN_NONE;
	if (data->size / sizeof(uint32_t) < n) {
		rn_err_set(e, RN_EBUG, "an index array of %zu bytes for %u entries", data->size, n);
		rn_buf_unref(data);
		return RN_NONE;
	}
	if (rn_grow(&p->idx, &p->cap_idx, (size_t)p->nidx + 1, sizeof *p->idx, "index arrays", e)) {
		rn_buf_unref(data);
		return RN_NONE;
	}
	p->idx[p->nidx] = (struct rn_idx){ .data = data, .n = n };
	return p->nidx++;
}

uint32_t rn_prog_idx_copy(struct rn_prog *p, const uint32_t *data, uint32_t n, struct rn_err *e)
{
	struct rn_buf *b;

	if (rn_buf_new((size_t)n * sizeof *data, "an index array", &b, e))
		return RN_NONE;
	if (n)
		memcpy(b->data, data, (size_t)n * sizeof *data);
	return rn_prog_idx(p, b, n, e);
}

/* A feature map.  Equal ones are one array: programs broadcast the same shapes
 * again and again. */
static uint32_t feature_map(struct rn_prog *p, const uint32_t *map, uint32_t n, struct rn_err *e)
{
	uint32_t i;

	for (i = 0; i < p->nidx; i++)
		if (p->idx[i].fmap && p->idx[i].n == n &&
		    !memcmp(p->idx[i].data->data, map, (size_t)n * sizeof *map))
			return i;
	i = rn_prog_idx_copy(p, map, n, e);
	if (i != RN_NONE)
		p->idx[i].fmap = true;
	return i;
}

/* ---- instructions --------------------------------------------------------------- */

struct rn_inst rn_inst_init(enum rn_prim op)
{
	struct rn_inst i = { .op = op, .out = RN_NONE };

	for (unsigned k = 0; k < RN_MAX_IN; k++)
		i.in[k] = RN_NO_IN;
	for (unsigned k = 0; k < 3; k++)
		i.idx[k] = RN_NONE;
	i.drop.row = i.drop.col = RN_NONE;
	return i;
}

/* Does a size that is not known yet take part?  Then sizes cannot be compared. */
static bool is_open(const struct rn_prog *p, const struct rn_inst *i)
{
	if (!p->open)
		return false;
	for (uint32_t k = 0; k < i->nin; k++)
		if (i->in[k].val < p->nvals && !p->vals[i->in[k].val].width)
			return true;
	return !p->vals[i->out].width;
}

static bool is_step(enum rn_prim op)
{
	return op == RN_P_ADAM || op == RN_P_SGD;
}

uint32_t rn_prog_add(struct rn_prog *p, const struct rn_inst *inst, uint32_t rows, uint32_t rank,
		     const uint32_t *dim, struct rn_err *e)
{
	bool step = is_step(inst->op);
	struct rn_inst *n;
	struct rn_val *v;
	uint32_t out;

	if (rn_grow(&p->insts, &p->cap_insts, (size_t)p->ninsts + 1, sizeof *n, "instructions", e))
		return RN_NONE;
	n = &p->insts[p->ninsts];
	*n = *inst;
	n->stage = p->stage;
	out = step ? inst->in[0].val : add_val(p, RN_V_INST, rows, rank, dim, e);
	if (out == RN_NONE)
		return step ? (rn_err_set(e, RN_EBUG, "an optimizer step without a parameter"), out)
			    : out;
	n->out = out;
	if (!is_open(p, n) && rn_inst_check(p, n, e)) {
		p->nvals -= !step;
		return RN_NONE;
	}
	if (!step) {
		v = &p->vals[out];
		v->inst = p->ninsts;
		v->index = n->op == RN_P_SEGARG;
		v->random = (n->op == RN_P_EW && n->fn == RN_EW_DROPMASK) ||
			    (rn_prim_is_fused(n->op) && n->elem.ndrops > 0);
		for (uint32_t k = 0; k < n->nin; k++) {
			if (n->in[k].val == RN_NONE)
				continue;
			v->diff |= p->vals[n->in[k].val].diff;
			v->random |= p->vals[n->in[k].val].random;
		}
	}
	p->ninsts++;
	return out;
}

/* ---- elementwise ------------------------------------------------------------------ */

/* Dims of a value, padded with 1 to rank 4. */
static void padded_dims(const struct rn_val *v, uint32_t dim[4])
{
	for (uint32_t i = 0; i < 4; i++)
		dim[i] = i < v->rank ? v->dim[i] : 1;
}

static void shape_text(const struct rn_val *v, char *out, size_t cap)
{
	rn_shape_text(v->rank, v->dim, out, cap);
}

/* The shape that n operands broadcast to. */
static int broadcast(const struct rn_prog *p, const char *what, const uint32_t *x, uint32_t n,
		     uint32_t *rows, uint32_t *rank, uint32_t dim[4], struct rn_err *e)
{
	uint32_t first = 0;

	*rows = 1;
	*rank = 0;
	for (uint32_t i = 0; i < 4; i++)
		dim[i] = 1;
	for (uint32_t k = 0; k < n; k++) {
		const struct rn_val *v;
		uint32_t d[4];

		if (x[k] >= p->nvals)
			return rn_err_set(e, RN_EBUG, "%s: no value %u", what, x[k]);
		v = &p->vals[x[k]];
		if (v->rows != 1 && *rows != 1 && v->rows != *rows)
			return rn_err_set(e, RN_EBUG, "%s: operands of %u and %u rows", what, *rows,
					  v->rows);
		*rows = v->rows != 1 ? v->rows : *rows;
		*rank = v->rank > *rank ? v->rank : *rank;
		padded_dims(v, d);
		for (uint32_t i = 0; i < 4; i++) {
			bool open = p->open && (!d[i] || !dim[i]);

			if (d[i] != 1 && dim[i] != 1 && d[i] != dim[i] && !open) {
				char a[64], b[64];

				shape_text(&p->vals[x[first]], a, sizeof a);
				shape_text(v, b, sizeof b);
				return rn_err_set(e, RN_EUSAGE,
						  "%s: shapes %s and %s do not fit together", what,
						  a, b);
			}
			if (d[i] != 1 && (dim[i] == 1 || (open && d[i]))) {
				dim[i] = d[i];
				first = k;
			}
		}
	}
	return 0;
}

/* The feature map that reads `v` as an operand of shape `dim`: RN_NONE where v
 * has that shape or is of width 1. */
static int broadcast_map(struct rn_prog *p, uint32_t val, const uint32_t dim[4], uint32_t *fmap,
			 struct rn_err *e)
{
	uint32_t d[4], width = dim[0] * dim[1] * dim[2] * dim[3], f = 0;
	uint32_t *map;

	*fmap = RN_NONE;
	padded_dims(&p->vals[val], d);
	if (p->vals[val].width == 1 || !memcmp(d, dim, sizeof d) || !width)
		return 0;
	RN_TRY(rn_calloc(width, sizeof *map, "a feature map", &map, e));
	for (uint32_t i = 0; i < dim[0]; i++)
		for (uint32_t j = 0; j < dim[1]; j++)
			for (uint32_t k = 0; k < dim[2]; k++)
				for (uint32_t l = 0; l < dim[3]; l++)
					map[f++] =
					    (((d[0] == 1 ? 0 : i) * d[1] + (d[1] == 1 ? 0 : j)) *
						 d[2] +
					     (d[2] == 1 ? 0 : k)) *
						d[3] +
					    (d[3] == 1 ? 0 : l);
	*fmap = feature_map(p, map, width, e);
	free(map);
	return *fmap == RN_NONE ? RN_ENOMEM : 0;
}

static uint32_t add_ew(struct rn_prog *p, enum rn_ew fn, const uint32_t *x, uint32_t n,
		       struct rn_err *e)
{
	struct rn_inst i = rn_inst_init(RN_P_EW);
	uint32_t rows, rank, dim[4];
	uint64_t width = 1;

	if ((unsigned)fn >= RN_NEW || rn_ew_info[fn].arity != n) {
		rn_err_set(e, RN_EBUG, "scalar function %d does not take %u operands", (int)fn, n);
		return RN_NONE;
	}
	if (broadcast(p, rn_ew_info[fn].name, x, n, &rows, &rank, dim, e))
		return RN_NONE;
	for (uint32_t k = 0; k < 4; k++)
		if (__builtin_mul_overflow(width, (uint64_t)dim[k], &width) || width >= RN_NONE) {
			rn_err_set(e, RN_EUSAGE, "%s: the result has more than %u numbers in a row",
				   rn_ew_info[fn].name, RN_NONE - 1);
			return RN_NONE;
		}
	i.fn = fn;
	i.nin = n;
	for (uint32_t k = 0; k < n; k++) {
		i.in[k].val = x[k];
		if (broadcast_map(p, x[k], dim, &i.in[k].fmap, e))
			return RN_NONE;
	}
	return rn_prog_add(p, &i, rows, rank, dim, e);
}

uint32_t rn_prog_ew1(struct rn_prog *p, enum rn_ew fn, uint32_t a, struct rn_err *e)
{
	return add_ew(p, fn, &a, 1, e);
}

uint32_t rn_prog_ew2(struct rn_prog *p, enum rn_ew fn, uint32_t a, uint32_t b, struct rn_err *e)
{
	return add_ew(p, fn, (uint32_t[]){ a, b }, 2, e);
}

uint32_t rn_prog_ew3(struct rn_prog *p, enum rn_ew fn, uint32_t a, uint32_t b, uint32_t c,
		     struct rn_err *e)
{
	return add_ew(p, fn, (uint32_t[]){ a, b, c }, 3, e);
}

static uint32_t add_imm(struct rn_prog *p, double imm, struct rn_err *e)
{
	struct rn_inst i = rn_inst_init(RN_P_EW);

	i.fn = RN_EW_IMM;
	i.imm = imm;
	return rn_prog_add(p, &i, 1, 0, NULL, e);
}

uint32_t rn_prog_ew_imm(struct rn_prog *p, enum rn_ew fn, uint32_t a, double imm, bool imm_first,
			struct rn_err *e)
{
	uint32_t b;

	if (fn == RN_EW_POW && !imm_first && imm == 2)
		return rn_prog_ew2(p, RN_EW_MUL, a, a, e); /* exact, and far cheaper */
	b = add_imm(p, imm, e);
	if (b == RN_NONE)
		return RN_NONE;
	return imm_first ? rn_prog_ew2(p, fn, b, a, e) : rn_prog_ew2(p, fn, a, b, e);
}

uint32_t rn_prog_dropmask(struct rn_prog *p, uint32_t rows, uint32_t rank, const uint32_t *dim,
			  double prob, const struct rn_drop *d, struct rn_err *e)
{
	struct rn_inst i = rn_inst_init(RN_P_EW);

	i.fn = RN_EW_DROPMASK;
	i.imm = prob;
	i.drop = *d;
	return rn_prog_add(p, &i, rows, rank, dim, e);
}

uint32_t rn_prog_features(struct rn_prog *p, uint32_t x, const uint32_t *fmap, uint32_t rank,
			  const uint32_t *dim, struct rn_err *e)
{
	struct rn_inst i = rn_inst_init(RN_P_EW);
	uint64_t width = 1;
	bool same;

	if (x >= p->nvals || rank > 4) {
		rn_err_set(e, RN_EBUG, "features: no value %u, or rank %u", x, rank);
		return RN_NONE;
	}
	for (uint32_t k = 0; k < rank; k++)
		if (__builtin_mul_overflow(width, (uint64_t)dim[k], &width) || width >= RN_NONE)
			width = RN_NONE;
	same = width == p->vals[x].width;
	for (uint32_t f = 0; same && f < width; f++)
		same = fmap[f] == f;
	if (same && rank == p->vals[x].rank && !memcmp(dim, p->vals[x].dim, rank * sizeof *dim))
		return x;
	/* Adding -0 is the identity on every float, NaN and both zeros too. */
	i.fn = RN_EW_ADD;
	i.nin = 2;
	i.in[0].val = x;
	if (!same && width != RN_NONE) {
		i.in[0].fmap = feature_map(p, fmap, (uint32_t)width, e);
		if (i.in[0].fmap == RN_NONE)
			return RN_NONE;
	}
	i.in[1].val = add_imm(p, -0.0, e);
	if (i.in[1].val == RN_NONE)
		return RN_NONE;
	return rn_prog_add(p, &i, p->vals[x].rows, rank, dim, e);
}

/* ---- short forms of the rest -------------------------------------------------------- */

/* All values exist; RN_NONE is allowed for those in `optional` (a bit each). */
static bool have(const struct rn_prog *p, enum rn_prim op, const uint32_t *x, uint32_t n,
		 unsigned optional, struct rn_err *e)
{
	for (uint32_t i = 0; i < n; i++) {
		if (x[i] < p->nvals || (x[i] == RN_NONE && optional >> i & 1))
			continue;
		rn_err_set(e, RN_EBUG, "%s: no value %u", rn_prim_name(op), x[i]);
		return false;
	}
	return true;
}

static struct rn_inst inst_of(enum rn_prim op, const uint32_t *x, uint32_t n)
{
	struct rn_inst i = rn_inst_init(op);

	i.nin = n;
	for (uint32_t k = 0; k < n; k++)
		i.in[k].val = x[k];
	return i;
}

uint32_t rn_prog_gather(struct rn_prog *p, uint32_t x, uint32_t map, struct rn_err *e)
{
	struct rn_inst i = inst_of(RN_P_GATHER, &x, 1);
	struct rn_val v;

	if (!have(p, i.op, &x, 1, 0, e))
		return RN_NONE;
	if (map == RN_NONE)
		return x;
	if (map >= p->nidx) {
		rn_err_set(e, RN_EBUG, "gather: no index array %u", map);
		return RN_NONE;
	}
	v = p->vals[x];
	i.idx[0] = map;
	return rn_prog_add(p, &i, p->idx[map].n, v.rank, v.dim, e);
}

uint32_t rn_prog_spmm(struct rn_prog *p, uint32_t ptr, uint32_t x, uint32_t xi, uint32_t w,
		      uint32_t wi, struct rn_err *e)
{
	struct rn_inst i = inst_of(RN_P_SPMM, (uint32_t[]){ x, w }, 2);
	struct rn_val v;

	if (!have(p, i.op, (uint32_t[]){ x, w }, 2, 2, e))
		return RN_NONE;
	if (ptr >= p->nidx || !p->idx[ptr].n) {
		rn_err_set(e, RN_EBUG, "spmm: no segments");
		return RN_NONE;
	}
	v = p->vals[x];
	i.idx[0] = ptr;
	i.idx[1] = xi;
	i.idx[2] = wi;
	return rn_prog_add(p, &i, p->idx[ptr].n - 1, v.rank, v.dim, e);
}

uint32_t rn_prog_sddmm(struct rn_prog *p, uint32_t n, uint32_t a, uint32_t ai, uint32_t b,
		       uint32_t bi, struct rn_err *e)
{
	struct rn_inst i = inst_of(RN_P_SDDMM, (uint32_t[]){ a, b }, 2);

	i.idx[0] = ai;
	i.idx[1] = bi;
	return rn_prog_add(p, &i, n, 1, (uint32_t[]){ 1 }, e);
}

uint32_t rn_prog_gemm(struct rn_prog *p, uint32_t x, uint32_t w, uint32_t b, bool trans,
		      struct rn_err *e)
{
	struct rn_inst i = inst_of(RN_P_GEMM, (uint32_t[]){ x, w, b }, 3);
	uint32_t d[4];

	if (!have(p, i.op, (uint32_t[]){ x, w, b }, 3, 4, e))
		return RN_NONE;
	i.flags = trans ? RN_F_TRANS : 0;
	padded_dims(&p->vals[w], d);
	return rn_prog_add(p, &i, p->vals[x].rows, 1, (uint32_t[]){ trans ? d[0] : d[1] }, e);
}

uint32_t rn_prog_gemm_tn(struct rn_prog *p, uint32_t x, uint32_t y, struct rn_err *e)
{
	struct rn_inst i = inst_of(RN_P_GEMM_TN, (uint32_t[]){ x, y }, 2);

	if (!have(p, i.op, (uint32_t[]){ x, y }, 2, 0, e))
		return RN_NONE;
	return rn_prog_add(p, &i, 1, 2, (uint32_t[]){ p->vals[x].width, p->vals[y].width }, e);
}

int rn_prog_update(struct rn_prog *p, uint32_t param, uint32_t delta, double rate,
		   struct rn_err *e)
{
	RN_TRY(rn_grow(&p->updates, &p->cap_updates, p->nupdates + 1, sizeof *p->updates, "buffers",
		       e));
	p->updates[p->nupdates++] = (struct rn_update){ param, delta, rate };
	p->vals[delta].keep = true;
	return 0;
}

uint32_t rn_prog_ggemm(struct rn_prog *p, uint32_t x, uint32_t w, uint32_t ptr, bool trans,
		       struct rn_err *e)
{
	struct rn_inst i = inst_of(RN_P_GGEMM, (uint32_t[]){ x, w }, 2);
	uint32_t d[4];

	if (!have(p, i.op, (uint32_t[]){ x, w }, 2, 0, e))
		return RN_NONE;
	i.idx[0] = ptr;
	i.flags = trans ? RN_F_TRANS : 0;
	padded_dims(&p->vals[w], d);
	return rn_prog_add(p, &i, p->vals[x].rows, 1, (uint32_t[]){ trans ? d[0] : d[1] }, e);
}

uint32_t rn_prog_ggemm_tn(struct rn_prog *p, uint32_t x, uint32_t y, uint32_t ptr,
			  struct rn_err *e)
{
	struct rn_inst i = inst_of(RN_P_GGEMM_TN, (uint32_t[]){ x, y }, 2);

	if (!have(p, i.op, (uint32_t[]){ x, y }, 2, 0, e))
		return RN_NONE;
	i.idx[0] = ptr;
	return rn_prog_add(p, &i, p->idx[ptr].n - 1, 2,
			   (uint32_t[]){ p->vals[x].width, p->vals[y].width }, e);
}

uint32_t rn_prog_matmul(struct rn_prog *p, uint32_t a, uint32_t b, bool ta, bool tb,
			struct rn_err *e)
{
	struct rn_inst i = inst_of(RN_P_MATMUL, (uint32_t[]){ a, b }, 2);
	uint32_t da[4], db[4], rows;

	if (!have(p, i.op, (uint32_t[]){ a, b }, 2, 0, e))
		return RN_NONE;
	i.flags = (ta ? RN_F_TRANS_A : 0) | (tb ? RN_F_TRANS_B : 0);
	padded_dims(&p->vals[a], da);
	padded_dims(&p->vals[b], db);
	rows = p->vals[a].rows != 1 ? p->vals[a].rows : p->vals[b].rows;
	return rn_prog_add(p, &i, rows, 2, (uint32_t[]){ ta ? da[1] : da[0], tb ? db[0] : db[1] },
			   e);
}

uint32_t rn_prog_colsum(struct rn_prog *p, uint32_t x, struct rn_err *e)
{
	struct rn_inst i = inst_of(RN_P_COLSUM, &x, 1);
	struct rn_val v;

	if (!have(p, i.op, &x, 1, 0, e))
		return RN_NONE;
	v = p->vals[x];
	return rn_prog_add(p, &i, 1, v.rank, v.dim, e);
}

uint32_t rn_prog_fsum(struct rn_prog *p, uint32_t x, const uint32_t *fmap, uint32_t rank,
		      const uint32_t *dim, struct rn_err *e)
{
	struct rn_inst i = inst_of(RN_P_FSUM, &x, 1);
	uint32_t one = 1;

	if (!have(p, i.op, &x, 1, 0, e))
		return RN_NONE;
	if (fmap) {
		i.idx[0] = feature_map(p, fmap, p->vals[x].width, e);
		if (i.idx[0] == RN_NONE)
			return RN_NONE;
	} else {
		rank = 1;
		dim = &one;
	}
	return rn_prog_add(p, &i, p->vals[x].rows, rank, dim, e);
}

uint32_t rn_prog_view(struct rn_prog *p, uint32_t x, uint32_t rows, uint32_t rank,
		      const uint32_t *dim, struct rn_err *e)
{
	struct rn_inst i = inst_of(RN_P_VIEW, &x, 1);

	return rn_prog_add(p, &i, rows, rank, dim, e);
}

/* Concatenation is along the first dim where the others agree, else flat. */
static void concat_shape(const struct rn_prog *p, const uint32_t *xs, uint32_t n, uint32_t *rows,
			 uint32_t *rank, uint32_t dim[4])
{
	const struct rn_val *a = &p->vals[xs[0]];
	uint64_t width = 0, first = 0;
	bool same = a->rank > 0, open = false;

	*rows = 1;
	for (uint32_t k = 0; k < n; k++) {
		const struct rn_val *v = &p->vals[xs[k]];

		*rows = v->rows != 1 ? v->rows : *rows;
		open = open || (p->open && !v->width);
		width += v->width;
		first += v->rank ? v->dim[0] : 1;
		same = same && v->rank == a->rank &&
		       !memcmp(v->dim + 1, a->dim + 1, 3 * sizeof *a->dim);
	}
	*rank = same ? a->rank : 1;
	memcpy(dim, a->dim, sizeof a->dim);
	width = same ? first : width;
	dim[0] = open ? 0 : width < RN_NONE ? (uint32_t)width : RN_NONE;
}

uint32_t rn_prog_concat(struct rn_prog *p, const uint32_t *xs, uint32_t n, struct rn_err *e)
{
	uint32_t rows, rank, dim[4], all[RN_MAX_IN];
	struct rn_inst i;

	if (!n) {
		rn_err_set(e, RN_EBUG, "concat: no values");
		return RN_NONE;
	}
	if (!have(p, RN_P_CONCAT, xs, n, 0, e))
		return RN_NONE;
	if (n == 1)
		return xs[0];
	if (n > RN_MAX_IN) { /* the first ones become one */
		uint32_t *rest, out;

		if (rn_calloc(n, sizeof *rest, "a list of values", &rest, e))
			return RN_NONE;
		rest[0] = rn_prog_concat(p, xs, RN_MAX_IN, e);
		memcpy(rest + 1, xs + RN_MAX_IN, (n - RN_MAX_IN) * sizeof *xs);
		out = rest[0] == RN_NONE ? RN_NONE
					 : rn_prog_concat(p, rest, n - RN_MAX_IN + 1, e);
		free(rest);
		return out;
	}
	memcpy(all, xs, n * sizeof *xs);
	i = inst_of(RN_P_CONCAT, all, n);
	concat_shape(p, xs, n, &rows, &rank, dim);
	return rn_prog_add(p, &i, rows, rank, dim, e);
}

uint32_t rn_prog_stack(struct rn_prog *p, const uint32_t *xs, uint32_t n, struct rn_err *e)
{
	uint32_t all[RN_MAX_IN], m = n < RN_MAX_IN ? n : RN_MAX_IN, step = (n + m - 1) / (m ? m : 1);
	uint64_t rows = 0;
	struct rn_inst i;
	struct rn_val v;

	if (!n) {
		rn_err_set(e, RN_EBUG, "stack: no values");
		return RN_NONE;
	}
	if (!have(p, RN_P_STACK, xs, n, 0, e))
		return RN_NONE;
	if (n == 1)
		return xs[0];
	m = (n + step - 1) / step;
	for (uint32_t k = 0; k < m; k++) { /* runs of inputs, each a stack of its own */
		uint32_t from = k * step, len = n - from < step ? n - from : step;

		all[k] = rn_prog_stack(p, xs + from, len, e);
		if (all[k] == RN_NONE)
			return RN_NONE;
		rows += p->vals[all[k]].rows;
	}
	if (rows >= RN_NONE) {
		rn_err_set(e, RN_EUSAGE, "a stack of more than %u rows", RN_NONE - 1);
		return RN_NONE;
	}
	i = inst_of(RN_P_STACK, all, m);
	v = p->vals[xs[0]];
	return rn_prog_add(p, &i, (uint32_t)rows, v.rank, v.dim, e);
}

uint32_t rn_prog_rows(struct rn_prog *p, uint32_t x, uint32_t from, uint32_t n, struct rn_err *e)
{
	uint32_t k = 0, *map;
	struct rn_buf *b;

	for (; k < p->nidx; k++) { /* equal ranges are one array */
		const uint32_t *y = p->idx[k].data->data;
		uint32_t r = 0;

		if (p->idx[k].n != n || p->idx[k].fmap)
			continue;
		while (r < n && y[r] == from + r)
			r++;
		if (r == n)
			return rn_prog_gather(p, x, k, e);
	}
	if (rn_buf_new((size_t)n * sizeof *map, "a range of rows", &b, e))
		return RN_NONE;
	map = b->data;
	for (uint32_t r = 0; r < n; r++)
		map[r] = from + r;
	k = rn_prog_idx(p, b, n, e);
	return k == RN_NONE ? k : rn_prog_gather(p, x, k, e);
}
