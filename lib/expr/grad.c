/* SPDX-License-Identifier: Apache-2.0
 *
 * Gradients: a table of rules for the primitives, and one of formulas for the
 * scalar functions.  Everything that a rule emits is an ordinary instruction, so
 * passes and backends know nothing of gradients.
 *
 * In a rule, g is the gradient of the instruction's result; it has the result's
 * rows and shape.  `give` adds a contribution to an operand's gradient, which
 * must have that operand's rows and width.
 */
#include "grad.h"

#include "../rel/key.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Index arrays that a transposed SPMM needs, made once for equal ones. */
struct transposed {
	uint32_t ptr, xi, wi, rows; /* of what */
	uint32_t tptr, txi, twi;
};

struct grad {
	struct rn_prog *p;
	struct rn_err *e;
	bool *dep;    /* depends on a wanted value in a way that has a derivative */
	uint32_t *of; /* gradient of each value, or RN_NONE */
	uint32_t nvals;
	struct transposed *memo;
	size_t nmemo, cap_memo;
	uint32_t seg_ptr, seg_rows, seg; /* the last array of segments of terms */
};

#define VAL(out, expr)                                                                            \
	do {                                                                                      \
		*(out) = (expr);                                                                  \
		if (*(out) == RN_NONE)                                                            \
			return q->e->code;                                                        \
	} while (0)

static bool wanted(const struct grad *q, uint32_t val)
{
	return val != RN_NONE && q->dep[val];
}

static bool same_shape(const struct rn_val *a, const struct rn_val *b)
{
	return a->rank == b->rank && !memcmp(a->dim, b->dim, a->rank * sizeof *a->dim);
}

/* Add x to the gradient of `val`. */
static int give(struct grad *q, uint32_t val, uint32_t x)
{
	struct rn_val v;

	if (!wanted(q, val))
		return 0;
	v = q->p->vals[val];
	if (!same_shape(&q->p->vals[x], &v))
		VAL(&x, rn_prog_view(q->p, x, v.rows, v.rank, v.dim, q->e));
	if (q->of[val] != RN_NONE)
		VAL(&x, rn_prog_ew2(q->p, RN_EW_ADD, q->of[val], x, q->e));
	q->of[val] = x;
	return 0;
}

/* ---- elementwise -------------------------------------------------------------------- */

/* Derivatives by operand, in postfix: g is the gradient, y the result, a, b and
 * c the operands, the rest numbers and scalar functions.  NULL: none. */
static const char *const formulas[RN_NEW][3] = {
	[RN_EW_NEG] = { "g neg" },
	[RN_EW_EXP] = { "g y mul" },
	[RN_EW_LOG] = { "g a div" },
	[RN_EW_LOG1P] = { "g 1 a add div" },
	[RN_EW_SQRT] = { "g 0.5 mul y div" },
	[RN_EW_ABS] = { "g a sign mul" },
	[RN_EW_SIGN] = { NULL },
	[RN_EW_ROUND] = { NULL },
	[RN_EW_TANH] = { "g 1 y y mul sub mul" },
	[RN_EW_SIGMOID] = { "g y mul 1 y sub mul" },
	[RN_EW_ERF] = { "g 1.1283791670955126 mul a a mul neg exp mul" }, /* 2 / sqrt pi */
	[RN_EW_RELU] = { "y pos g 0 select" },
	[RN_EW_POS] = { NULL },
	[RN_EW_ADD] = { "g", "g" },
	[RN_EW_SUB] = { "g", "g neg" },
	[RN_EW_MUL] = { "g b mul", "g a mul" },
	[RN_EW_DIV] = { "g b div", "g b div y mul neg" },
	[RN_EW_POW] = { "b 0 eq 0 g b a b 1 sub pow mul mul select",
			"a 0 eq 0 g y mul a log mul select" },
	[RN_EW_MAX] = { "b a le g 0 select", "a b lt g 0 select" }, /* a tie: the first */
	[RN_EW_MIN] = { "a b le g 0 select", "b a lt g 0 select" },
	[RN_EW_EQ] = { NULL },
	[RN_EW_LT] = { NULL },
	[RN_EW_LE] = { NULL },
	[RN_EW_SELECT] = { NULL, "a g 0 select", "a 0 g select" },
	[RN_EW_FMA] = { "g b mul", "g a mul", "g" },
};

/* An operand in the feature space of the instruction; number: known now. */
struct term {
	struct rn_in in;
	bool number;
	double x;
};

/* A function of terms in the given shape; `small`: in one number if all of them are that. */
static int emit_ew(struct grad *q, const struct rn_val *shape, bool small, enum rn_ew fn,
		   const struct term *t, uint32_t n, struct term *out)
{
	struct rn_inst i = rn_inst_init(RN_P_EW);
	bool scalar = small;

	i.fn = fn;
	i.nin = n;
	for (uint32_t k = 0; k < n; k++) {
		i.in[k] = t[k].in;
		if (t[k].number) {
			struct rn_inst imm = rn_inst_init(RN_P_EW);

			imm.fn = RN_EW_IMM;
			imm.imm = t[k].x;
			i.in[k].fmap = RN_NONE;
			VAL(&i.in[k].val, rn_prog_add(q->p, &imm, 1, 0, NULL, q->e));
		}
		scalar = scalar && i.in[k].fmap == RN_NONE &&
			 q->p->vals[i.in[k].val].width == 1 && q->p->vals[i.in[k].val].rows == 1;
	}
	*out = (struct term){ .in = { RN_NONE, RN_NONE } };
	VAL(&out->in.val, scalar ? rn_prog_add(q->p, &i, 1, 0, NULL, q->e)
				 : rn_prog_add(q->p, &i, shape->rows, shape->rank, shape->dim,
					       q->e));
	return 0;
}

/* fn of terms, evaluated now where all are numbers and it is plain arithmetic. */
static int combine(struct grad *q, const struct rn_val *shape, enum rn_ew fn, const struct term *t,
		   uint32_t n, struct term *out)
{
	bool numbers = n == 2 && t[0].number && t[1].number;

	if (fn == RN_EW_SELECT && t[0].number) {
		*out = t[0].x != 0 ? t[1] : t[2];
		return 0;
	}
	if (numbers && (fn == RN_EW_SUB || fn == RN_EW_EQ || fn == RN_EW_MUL)) {
		*out = (struct term){ .in = { RN_NONE, RN_NONE }, .number = true };
		out->x = fn == RN_EW_SUB  ? t[0].x - t[1].x
			 : fn == RN_EW_EQ ? t[0].x == t[1].x
					  : t[0].x * t[1].x;
		return 0;
	}
	return emit_ew(q, shape, true, fn, t, n, out);
}

static struct term operand(const struct grad *q, struct rn_in in)
{
	const struct rn_val *v = &q->p->vals[in.val];
	const struct rn_inst *i = v->kind == RN_V_INST ? &q->p->insts[v->inst] : NULL;
	struct term t = { .in = in };

	if (i && i->op == RN_P_EW && i->fn == RN_EW_IMM) {
		t.number = true;
		t.x = i->imm;
	}
	return t;
}

static enum rn_ew function_named(const char *s, size_t n)
{
	unsigned f = RN_EW_NEG;

	while (f < RN_NEW && (strlen(rn_ew_info[f].name) != n || memcmp(rn_ew_info[f].name, s, n)))
		f++;
	return (enum rn_ew)f;
}

/* Emit a formula; the result has the shape of the instruction's. */
static int formula(struct grad *q, const struct rn_inst *i, uint32_t g, const char *s,
		   struct term *out)
{
	const struct rn_val shape = q->p->vals[i->out];
	struct term stack[8];
	uint32_t top = 0;

	for (size_t n; *s; s += n + (s[n] == ' ')) {
		struct term t = { .in = { RN_NONE, RN_NONE } };

		n = strcspn(s, " ");
		if (n == 1 && (*s == 'g' || *s == 'y')) {
			t.in.val = *s == 'g' ? g : i->out;
		} else if (n == 1 && *s >= 'a' && *s <= 'c') {
			t = operand(q, i->in[*s - 'a']);
		} else if (*s >= '0' && *s <= '9') {
			t.number = true;
			t.x = strtod(s, NULL);
		} else {
			enum rn_ew fn = function_named(s, n);

			top -= rn_ew_info[fn].arity;
			RN_TRY(combine(q, &shape, fn, stack + top, rn_ew_info[fn].arity, &t));
		}
		stack[top++] = t;
	}
	*out = stack[0];
	return 0;
}

static bool permutation(const uint32_t *map, uint32_t n)
{
	uint64_t seen[16] = { 0 };

	if (n > 1024)
		return false;
	for (uint32_t f = 0; f < n; f++) {
		if (seen[map[f] / 64] >> map[f] % 64 & 1)
			return false;
		seen[map[f] / 64] |= 1ull << map[f] % 64;
	}
	return true;
}

/* Features that an operand of lower width was read into: back, by sums. */
static int reduce(struct grad *q, struct rn_in in, uint32_t *x)
{
	struct rn_val v = q->p->vals[in.val], o = q->p->vals[*x];
	const uint32_t *map = in.fmap == RN_NONE ? NULL : rn_prog_idx_data(q->p, in.fmap);

	if (map && v.width == o.width && permutation(map, v.width)) { /* no sums: fuses */
		uint32_t *inv;

		RN_TRY(rn_calloc(v.width, sizeof *inv, "a feature map", &inv, q->e));
		for (uint32_t f = 0; f < v.width; f++)
			inv[map[f]] = f;
		*x = rn_prog_features(q->p, *x, inv, v.rank, v.dim, q->e);
		free(inv);
		VAL(x, *x);
	} else if (map) {
		VAL(x, rn_prog_fsum(q->p, *x, map, v.rank, v.dim, q->e));
	} else if (v.width != o.width) {
		VAL(x, rn_prog_fsum(q->p, *x, NULL, 0, NULL, q->e));
	}
	if (v.rows == 1 && o.rows != 1)
		VAL(x, rn_prog_colsum(q->p, *x, q->e));
	return 0;
}

static int grad_ew(struct grad *q, const struct rn_inst *i, uint32_t g)
{
	const struct rn_val shape = q->p->vals[i->out];
	struct term t;

	for (uint32_t k = 0; k < i->nin; k++) {
		uint32_t x;

		if (!wanted(q, i->in[k].val) || !formulas[i->fn][k])
			continue;
		RN_TRY(formula(q, i, g, formulas[i->fn][k], &t));
		if (t.number) { /* a power of 0 */
			struct term sum[2] = { t, { .number = true, .x = -0.0 } };

			RN_TRY(emit_ew(q, &shape, false, RN_EW_ADD, sum, 2, &t));
		}
		x = t.in.val;
		RN_TRY(reduce(q, i->in[k], &x));
		RN_TRY(give(q, i->in[k].val, x));
	}
	return 0;
}

/* g read through a feature map (RN_NONE: as it is), on `rows` rows, in v's shape. */
static int spread(struct grad *q, uint32_t g, uint32_t fmap, const struct rn_val *v, uint32_t *out)
{
	struct term t[2] = { { .in = { g, fmap } }, { .number = true, .x = -0.0 } }, res;
	struct rn_val shape = *v;

	if (shape.rows == 1 && shape.width == 1)
		*out = g;
	else {
		RN_TRY(emit_ew(q, &shape, false, RN_EW_ADD, t, 2, &res));
		*out = res.in.val;
	}
	return 0;
}

/* ---- rows --------------------------------------------------------------------------- */

static int add_idx(struct grad *q, struct rn_buf *b, uint32_t *out)
{
	VAL(out, rn_prog_idx(q->p, b, (uint32_t)(b->size / sizeof(uint32_t)), q->e));
	return 0;
}

static int inverse(struct grad *q, uint32_t map, uint32_t n, uint32_t rows, uint32_t *tptr,
		   uint32_t *tpos)
{
	struct rn_buf *ptr, *pos;

	RN_TRY(rn_invert_map(rn_prog_idx_data(q->p, map), n, rows, &ptr, &pos, q->e));
	*tptr = rn_prog_idx(q->p, ptr, rows + 1, q->e);
	if (*tptr == RN_NONE) {
		rn_buf_unref(pos);
		return q->e->code;
	}
	VAL(tpos, rn_prog_idx(q->p, pos, rn_prog_idx_data(q->p, *tptr)[rows], q->e));
	return 0;
}

/* The segment of each of `rows` terms; RN_NO_ROW for those of none. */
static int segments(struct grad *q, uint32_t ptr, uint32_t rows, uint32_t *out)
{
	const uint32_t *x = rn_prog_idx_data(q->p, ptr);
	uint32_t n = q->p->idx[ptr].n - 1, *seg;
	struct rn_buf *b;

	if (q->seg_ptr != ptr || q->seg_rows != rows) {
		RN_TRY(rn_buf_new((size_t)rows * sizeof *seg, "segments", &b, q->e));
		seg = b->data;
		memset(seg, 0xFF, (size_t)rows * sizeof *seg);
		for (uint32_t s = 0; s < n; s++)
			for (uint32_t k = x[s]; k < x[s + 1]; k++)
				seg[k] = s;
		RN_TRY(add_idx(q, b, &q->seg));
		q->seg_ptr = ptr;
		q->seg_rows = rows;
	}
	*out = q->seg;
	return 0;
}

/* b[i] = a[pos[i]]; a RN_NONE is the identity. */
static int compose(struct grad *q, uint32_t a, uint32_t pos, uint32_t *out)
{
	const uint32_t *x = rn_prog_idx_data(q->p, a), *at = rn_prog_idx_data(q->p, pos);
	uint32_t n = q->p->idx[pos].n, *y;
	struct rn_buf *b;

	*out = pos;
	if (a == RN_NONE)
		return 0;
	RN_TRY(rn_buf_new((size_t)n * sizeof *y, "a composed map", &b, q->e));
	y = b->data;
	for (uint32_t i = 0; i < n; i++)
		y[i] = x[at[i]];
	return add_idx(q, b, out);
}

static bool reads_row(const struct rn_prog *p, uint32_t map)
{
	const uint32_t *x = rn_prog_idx_data(p, map);

	for (uint32_t k = 0; k < p->idx[map].n; k++)
		if (x[k] == RN_NO_ROW)
			return false;
	return true;
}

/* Were these transposed before?  Then *t is complete. */
static bool known(const struct grad *q, struct transposed *t)
{
	for (size_t k = 0; k < q->nmemo; k++)
		if (!memcmp(t, &q->memo[k], offsetof(struct transposed, tptr))) {
			*t = q->memo[k];
			return true;
		}
	return false;
}

static int remember(struct grad *q, const struct transposed *t)
{
	RN_TRY(rn_grow(&q->memo, &q->cap_memo, q->nmemo + 1, sizeof *q->memo, "gradients", q->e));
	q->memo[q->nmemo++] = *t;
	return 0;
}

static int grad_gather(struct grad *q, const struct rn_inst *i, uint32_t g)
{
	uint32_t map = i->idx[0], rows = q->p->vals[i->in[0].val].rows, x;
	struct transposed t = { RN_NONE, map, RN_NONE, rows, RN_NONE, RN_NONE, RN_NONE };

	if (rows == 1 && reads_row(q->p, map)) { /* a value that all rows share */
		VAL(&x, rn_prog_colsum(q->p, g, q->e));
		return give(q, i->in[0].val, x);
	}
	if (!known(q, &t)) {
		RN_TRY(inverse(q, map, q->p->idx[map].n, rows, &t.tptr, &t.txi));
		RN_TRY(remember(q, &t));
	}
	VAL(&x, rn_prog_spmm(q->p, t.tptr, g, t.txi, RN_NONE, RN_NONE, q->e));
	return give(q, i->in[0].val, x);
}

/* The arrays of the transposed product of i, towards x. */
static int transpose(struct grad *q, const struct rn_inst *i, struct transposed *out)
{
	uint32_t rows = q->p->vals[i->in[0].val].rows, pos, seg, terms;
	const uint32_t *ptr = rn_prog_idx_data(q->p, i->idx[0]);

	*out = (struct transposed){ i->idx[0], i->idx[1], i->idx[2], rows, 0, 0, RN_NONE };
	if (known(q, out))
		return 0;
	terms = ptr[q->p->idx[i->idx[0]].n - 1];
	RN_TRY(inverse(q, i->idx[1], terms, rows, &out->tptr, &pos));
	RN_TRY(segments(q, i->idx[0], terms, &seg));
	RN_TRY(compose(q, seg, pos, &out->txi));
	if (i->in[1].val != RN_NONE)
		RN_TRY(compose(q, i->idx[2], pos, &out->twi));
	return remember(q, out);
}

/* An index array (RN_NONE: the identity) of n entries: RN_NO_ROW behind the terms. */
static int extend(struct grad *q, uint32_t x, uint32_t terms, uint32_t n, uint32_t *out)
{
	const uint32_t *from = rn_prog_idx_data(q->p, x);
	struct rn_buf *b;
	uint32_t *y;

	*out = x;
	if (from && q->p->idx[x].n == n)
		return 0;
	RN_TRY(rn_buf_new((size_t)n * sizeof *y, "an index array", &b, q->e));
	y = b->data;
	for (uint32_t i = 0; i < n; i++)
		y[i] = i >= terms ? RN_NO_ROW : from ? from[i] : i;
	return add_idx(q, b, out);
}

/* towards x without index: dx[k] = w[k] * g[segment of k] */
static int grad_spmm_plain(struct grad *q, const struct rn_inst *i, uint32_t g, uint32_t terms)
{
	uint32_t x = i->in[0].val, w = i->in[1].val, rows = q->p->vals[x].rows, seg, wi, dx;

	RN_TRY(segments(q, i->idx[0], rows, &seg));
	VAL(&dx, rn_prog_gather(q->p, g, seg, q->e));
	if (w != RN_NONE) {
		if (i->idx[2] != RN_NONE || q->p->vals[w].rows != rows) {
			RN_TRY(extend(q, i->idx[2], terms, rows, &wi));
			VAL(&w, rn_prog_gather(q->p, w, wi, q->e));
		}
		VAL(&dx, rn_prog_ew2(q->p, RN_EW_MUL, dx, w, q->e));
	}
	return give(q, x, dx);
}

/* out[s] = sum of w[wi[k]] * x[xi[k]]:  dx by the transposed product, dw by dot products */
static int grad_spmm(struct grad *q, const struct rn_inst *i, uint32_t g)
{
	uint32_t x = i->in[0].val, w = i->in[1].val, terms, seg, xi, dx, dw, n, ptr, pos;
	struct transposed t;

	terms = rn_prog_idx_data(q->p, i->idx[0])[q->p->idx[i->idx[0]].n - 1];
	if (wanted(q, x) && i->idx[1] == RN_NONE) {
		RN_TRY(grad_spmm_plain(q, i, g, terms));
	} else if (wanted(q, x)) {
		RN_TRY(transpose(q, i, &t));
		VAL(&dx, rn_prog_spmm(q->p, t.tptr, g, t.txi, w, t.twi, q->e));
		RN_TRY(give(q, x, dx));
	}
	if (!wanted(q, w))
		return 0;
	n = i->idx[2] == RN_NONE ? q->p->vals[w].rows : terms;
	RN_TRY(segments(q, i->idx[0], n, &seg));
	xi = i->idx[1];
	if (xi != RN_NONE || q->p->vals[x].rows != n)
		RN_TRY(extend(q, xi, terms, n, &xi));
	VAL(&dw, rn_prog_sddmm(q->p, n, x, xi, g, seg, q->e));
	if (i->idx[2] != RN_NONE) {
		RN_TRY(inverse(q, i->idx[2], terms, q->p->vals[w].rows, &ptr, &pos));
		VAL(&dw, rn_prog_spmm(q->p, ptr, dw, pos, RN_NONE, RN_NONE, q->e));
	}
	return give(q, w, dw);
}

/* out[k] = dot(a[ai[k]], b[bi[k]]):  da[r] = sum over k with ai[k] = r of g[k] * b[bi[k]] */
static int grad_sddmm(struct grad *q, const struct rn_inst *i, uint32_t g)
{
	for (unsigned k = 0; k < 2; k++) {
		uint32_t a = i->in[k].val, b = i->in[!k].val, ai = i->idx[k], bi = i->idx[!k];
		uint32_t ptr, pos, x;

		if (!wanted(q, a))
			continue;
		if (ai == RN_NONE) {
			VAL(&x, rn_prog_gather(q->p, b, bi, q->e));
			VAL(&x, rn_prog_ew2(q->p, RN_EW_MUL, x, g, q->e));
		} else {
			RN_TRY(inverse(q, ai, q->p->idx[ai].n, q->p->vals[a].rows, &ptr, &pos));
			RN_TRY(compose(q, bi, pos, &bi));
			VAL(&x, rn_prog_spmm(q->p, ptr, b, bi, g, pos, q->e));
		}
		RN_TRY(give(q, a, x));
	}
	return 0;
}

/* Primitives whose gradient is one primitive on the same arrays, mostly their transpose. */
static int grad_dual(struct grad *q, const struct rn_inst *i, uint32_t g)
{
	static const enum rn_prim dual[RN_NPRIM] = {
		[RN_P_PICK] = RN_P_UNPICK,   [RN_P_UNPICK] = RN_P_PICK,
		[RN_P_DENSIFY] = RN_P_ATCSR, [RN_P_ATCSR] = RN_P_DENSIFY,
		[RN_P_CE] = RN_P_CE_GRAD,
	};
	struct rn_val v = q->p->vals[i->in[0].val];
	struct rn_inst n = rn_inst_init(dual[i->op]);
	bool ce = i->op == RN_P_CE; /* of the logits, scaled by g */
	uint32_t x;

	n.nin = ce ? 2 : i->nin;
	n.in[0].val = ce ? i->in[0].val : g;
	n.in[1].val = ce ? g : i->in[1].val;
	memcpy(n.idx, i->idx, sizeof n.idx);
	VAL(&x, rn_prog_add(q->p, &n, v.rows, v.rank, v.dim, q->e));
	return give(q, i->in[0].val, x);
}

/* ---- matrices ----------------------------------------------------------------------- */

/* y = x·W + b:  dx = g·Wᵀ, dW = xᵀ·g, db = column sums of g */
static int grad_gemm(struct grad *q, const struct rn_inst *i, uint32_t g)
{
	uint32_t x = i->in[0].val, w = i->in[1].val, b = i->nin > 2 ? i->in[2].val : RN_NONE, d;
	bool trans = i->flags & RN_F_TRANS;

	if (wanted(q, x)) {
		VAL(&d, rn_prog_gemm(q->p, g, w, RN_NONE, !trans, q->e));
		RN_TRY(give(q, x, d));
	}
	if (wanted(q, w)) {
		VAL(&d, rn_prog_gemm_tn(q->p, trans ? g : x, trans ? x : g, q->e));
		RN_TRY(give(q, w, d));
	}
	if (wanted(q, b)) {
		VAL(&d, rn_prog_colsum(q->p, g, q->e));
		RN_TRY(give(q, b, d));
	}
	return 0;
}

/* out = xᵀ·y:  dx = y·gᵀ, dy = x·g */
static int grad_gemm_tn(struct grad *q, const struct rn_inst *i, uint32_t g)
{
	uint32_t x = i->in[0].val, y = i->in[1].val, d;

	if (wanted(q, x)) {
		VAL(&d, rn_prog_gemm(q->p, y, g, RN_NONE, true, q->e));
		RN_TRY(give(q, x, d));
	}
	if (wanted(q, y)) {
		VAL(&d, rn_prog_gemm(q->p, x, g, RN_NONE, false, q->e));
		RN_TRY(give(q, y, d));
	}
	return 0;
}

/* y[i] = x[i]·W[s]:  dx[i] = g[i]·W[s]ᵀ, dW[s] = xᵀ·g over the segment */
static int grad_ggemm(struct grad *q, const struct rn_inst *i, uint32_t g)
{
	uint32_t x = i->in[0].val, w = i->in[1].val, d;
	bool trans = i->flags & RN_F_TRANS;

	if (wanted(q, x)) {
		VAL(&d, rn_prog_ggemm(q->p, g, w, i->idx[0], !trans, q->e));
		RN_TRY(give(q, x, d));
	}
	if (!wanted(q, w))
		return 0;
	VAL(&d, rn_prog_ggemm_tn(q->p, trans ? g : x, trans ? x : g, i->idx[0], q->e));
	return give(q, w, d);
}

/* out[s] = xᵀ·y:  dx[i] = y[i]·g[s]ᵀ, dy[i] = x[i]·g[s] */
static int grad_ggemm_tn(struct grad *q, const struct rn_inst *i, uint32_t g)
{
	uint32_t x = i->in[0].val, y = i->in[1].val, d;

	if (wanted(q, x)) {
		VAL(&d, rn_prog_ggemm(q->p, y, g, i->idx[0], true, q->e));
		RN_TRY(give(q, x, d));
	}
	if (wanted(q, y)) {
		VAL(&d, rn_prog_ggemm(q->p, x, g, i->idx[0], false, q->e));
		RN_TRY(give(q, y, d));
	}
	return 0;
}

/* Towards a right operand that all rows share: one product over rows times p. */
static int grad_shared(struct grad *q, const struct rn_inst *i, uint32_t g, bool *done)
{
	struct rn_val a = q->p->vals[i->in[0].val], o = q->p->vals[i->out];
	uint32_t x, y, d, r = o.rank > 1 ? o.dim[1] : 1, p = o.width / (r ? r : 1);
	bool tb = i->flags & RN_F_TRANS_B;

	*done = false;
	if (q->p->vals[i->in[1].val].rows != 1 || o.rows == 1 || a.rows == 1 ||
	    i->flags & RN_F_TRANS_A || !p || !r || (uint64_t)o.rows * p >= RN_NONE)
		return 0;
	a.dim[0] = a.width / p;
	VAL(&x, rn_prog_view(q->p, i->in[0].val, a.rows * p, 1, a.dim, q->e));
	VAL(&y, rn_prog_view(q->p, g, o.rows * p, 1, &r, q->e));
	VAL(&d, rn_prog_gemm_tn(q->p, tb ? y : x, tb ? x : y, q->e));
	*done = true;
	return give(q, i->in[1].val, d);
}

/* out = A·B, A = a or aᵀ, B = b or bᵀ:  dA = g·Bᵀ, dB = Aᵀ·g */
static int grad_matmul(struct grad *q, const struct rn_inst *i, uint32_t g)
{
	uint32_t a = i->in[0].val, b = i->in[1].val, d;
	bool ta = i->flags & RN_F_TRANS_A, tb = i->flags & RN_F_TRANS_B, done = false;

	if (wanted(q, a)) {
		VAL(&d, ta ? rn_prog_matmul(q->p, b, g, tb, true, q->e)
			   : rn_prog_matmul(q->p, g, b, false, !tb, q->e));
		RN_TRY(reduce(q, i->in[0], &d));
		RN_TRY(give(q, a, d));
	}
	if (!wanted(q, b))
		return 0;
	RN_TRY(grad_shared(q, i, g, &done));
	if (done)
		return 0;
	VAL(&d, tb ? rn_prog_matmul(q->p, g, a, true, ta, q->e)
		   : rn_prog_matmul(q->p, a, g, !ta, false, q->e));
	RN_TRY(reduce(q, i->in[1], &d));
	return give(q, b, d);
}

/* ---- features ----------------------------------------------------------------------- */

static int grad_sum(struct grad *q, const struct rn_inst *i, uint32_t g)
{
	struct rn_val v = q->p->vals[i->in[0].val];
	uint32_t x;

	RN_TRY(spread(q, g, i->op == RN_P_FSUM ? i->idx[0] : RN_NONE, &v, &x));
	return give(q, i->in[0].val, x);
}

/* To the first largest feature: where its number is the argmax. */
static int grad_fmax(struct grad *q, const struct rn_inst *i, uint32_t g)
{
	struct rn_val v = q->p->vals[i->in[0].val], o = q->p->vals[i->out];
	struct rn_inst n = rn_inst_init(RN_P_ARGMAX);
	uint32_t arg, at, x;
	struct rn_buf *b;

	n.nin = 1;
	n.in[0].val = i->in[0].val;
	VAL(&arg, rn_prog_add(q->p, &n, o.rows, o.rank, o.dim, q->e));
	RN_TRY(rn_buf_new((size_t)v.width * sizeof(float), "feature numbers", &b, q->e));
	for (uint32_t f = 0; f < v.width; f++)
		((float *)b->data)[f] = (float)f;
	VAL(&at, rn_prog_const(q->p, 1, 1, &v.width, b, q->e));
	VAL(&x, rn_prog_ew2(q->p, RN_EW_EQ, arg, at, q->e));
	VAL(&x, rn_prog_ew2(q->p, RN_EW_MUL, x, g, q->e));
	return give(q, i->in[0].val, x);
}

static int grad_concat(struct grad *q, const struct rn_inst *i, uint32_t g)
{
	uint32_t from = 0;

	for (uint32_t k = 0; k < i->nin; k++) {
		struct rn_val v = q->p->vals[i->in[k].val];
		uint32_t *map, x;

		if (wanted(q, i->in[k].val)) {
			RN_TRY(rn_calloc(v.width, sizeof *map, "a slice", &map, q->e));
			for (uint32_t f = 0; f < v.width; f++)
				map[f] = from + f;
			x = rn_prog_features(q->p, g, map, v.rank, v.dim, q->e);
			free(map);
			VAL(&x, x);
			RN_TRY(reduce(q, i->in[k], &x));
			RN_TRY(give(q, i->in[k].val, x));
		}
		from += v.width;
	}
	return 0;
}

static int grad_view(struct grad *q, const struct rn_inst *i, uint32_t g)
{
	struct rn_val v = q->p->vals[i->in[0].val];
	uint32_t x;

	VAL(&x, rn_prog_view(q->p, g, v.rows, v.rank, v.dim, q->e));
	return give(q, i->in[0].val, x);
}

/* ---- the table ---------------------------------------------------------------------- */

/* NULL: nothing flows through. */
static int (*const rules[])(struct grad *q, const struct rn_inst *i, uint32_t g) = {
	[RN_P_EW] = grad_ew,
	[RN_P_ELEM] = NULL,
	[RN_P_GATHER] = grad_gather,
	[RN_P_SPMM] = grad_spmm,
	[RN_P_SDDMM] = grad_sddmm,
	[RN_P_SEGARG] = NULL,
	[RN_P_PICK] = grad_dual,
	[RN_P_UNPICK] = grad_dual,
	[RN_P_GEMM] = grad_gemm,
	[RN_P_GEMM_TN] = grad_gemm_tn,
	[RN_P_GGEMM] = grad_ggemm,
	[RN_P_GGEMM_TN] = grad_ggemm_tn,
	[RN_P_MATMUL] = grad_matmul,
	[RN_P_COLSUM] = grad_sum,
	[RN_P_FSUM] = grad_sum,
	[RN_P_FMAX] = grad_fmax,
	[RN_P_ARGMAX] = NULL,
	[RN_P_CONCAT] = grad_concat,
	[RN_P_VIEW] = grad_view,
	[RN_P_DENSIFY] = grad_dual,
	[RN_P_ATCSR] = grad_dual,
	[RN_P_CE] = grad_dual,
	[RN_P_CE_GRAD] = NULL,
	[RN_P_ADAM] = NULL,
	[RN_P_SGD] = NULL,
};
_Static_assert(sizeof rules / sizeof *rules == RN_NPRIM, "a rule for every primitive");

bool rn_prim_differentiable(enum rn_prim op)
{
	return (unsigned)op < RN_NPRIM && rules[op];
}

/* Does something flow from this result back to operand k? */
static bool flows(const struct rn_inst *i, uint32_t k)
{
	if (i->op == RN_P_EW)
		return formulas[i->fn][k] != NULL;
	if (i->op == RN_P_PICK || i->op == RN_P_UNPICK)
		return k == 0;
	return rules[i->op] != NULL;
}

/* Which values depend on a wanted one.  A result whose `diff` was cleared
 * although an operand has it was declared a constant. */
static int find_dependent(struct grad *q, const uint32_t *wrt, size_t n)
{
	for (size_t k = 0; k < n; k++)
		q->dep[wrt[k]] = true;
	for (uint32_t j = 0; j < q->p->ninsts; j++) {
		const struct rn_inst *i = &q->p->insts[j];
		bool dep = false, diff = false;

		if (i->op == RN_P_ADAM || i->op == RN_P_SGD)
			continue;
		for (uint32_t k = 0; k < i->nin; k++) {
			if (i->in[k].val == RN_NONE)
				continue;
			diff |= q->p->vals[i->in[k].val].diff;
			dep |= q->dep[i->in[k].val] && flows(i, k);
			if (q->dep[i->in[k].val] &&
			    (i->op == RN_P_ELEM || i->op == RN_P_CE_GRAD))
				return rn_err_set(q->e, RN_EBUG, "the gradient of %s is not known",
						  rn_prim_name(i->op));
		}
		if (dep && (q->p->vals[i->out].diff || !diff))
			q->dep[i->out] = true;
	}
	return 0;
}

static int walk_back(struct grad *q, uint32_t loss)
{
	struct rn_val v = q->p->vals[loss];
	struct rn_buf *b;

	if (!q->dep[loss])
		return 0;
	RN_TRY(rn_buf_new(sizeof(float), "the gradient of the loss", &b, q->e));
	*(float *)b->data = 1;
	VAL(&q->of[loss], rn_prog_const(q->p, 1, v.rank, v.dim, b, q->e));
	if (v.kind != RN_V_INST)
		return 0;
	for (uint32_t j = v.inst + 1; j-- > 0;) {
		struct rn_inst i = q->p->insts[j];

		if (!rules[i.op] || !q->dep[i.out] || q->of[i.out] == RN_NONE)
			continue;
		q->p->stage = i.stage;
		RN_TRY(rules[i.op](q, &i, q->of[i.out]));
	}
	return 0;
}

static int gradients(struct grad *q, uint32_t loss, const uint32_t *wrt, size_t n, uint32_t *grad)
{
	RN_TRY(find_dependent(q, wrt, n));
	RN_TRY(walk_back(q, loss));
	for (size_t k = 0; k < n; k++) {
		struct rn_val v = q->p->vals[wrt[k]];
		struct rn_buf *zero;

		grad[k] = q->of[wrt[k]];
		if (grad[k] != RN_NONE)
			continue;
		RN_TRY(rn_buf_new((size_t)v.rows * v.width * sizeof(float), "a gradient of 0",
				  &zero, q->e));
		VAL(&grad[k], rn_prog_const(q->p, v.rows, v.rank, v.dim, zero, q->e));
	}
	return 0;
}

int rn_prog_grad(struct rn_prog *p, uint32_t loss, const uint32_t *wrt, size_t n, uint32_t *grad,
		 struct rn_err *e)
{
	struct rn_err local;
	struct grad q = { .p = p, .e = e ? e : &local, .nvals = p->nvals, .seg_ptr = RN_NONE };
	uint32_t stage = p->stage;
	int rc;

	if (loss >= p->nvals || p->vals[loss].rows != 1 || p->vals[loss].width != 1)
		return rn_err_set(e, RN_EBUG, "gradients of a value that is not one number");
	RN_TRY(rn_calloc(q.nvals, sizeof *q.dep, "gradients", &q.dep, q.e));
	rc = rn_calloc(q.nvals, sizeof *q.of, "gradients", &q.of, q.e);
	if (!rc) {
		memset(q.of, 0xFF, q.nvals * sizeof *q.of);
		rc = gradients(&q, loss, wrt, n, grad);
	}
	p->stage = stage;
	free(q.memo);
	free(q.of);
	free(q.dep);
	return rc;
}
