/* SPDX-License-Identifier: Apache-2.0
 *
 * Gradients of the scalar functions: a table of formulas, a row a function, emitted as
 * ordinary instructions that read the operands where they are; and the way back from
 * features that were read into a wider shape.
 */
#include "grad_impl.h"

#include <stdlib.h>
#include <string.h>

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
static int emit_ew(struct rn_grad *q, const struct rn_val *shape, bool small, enum rn_ew fn,
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
			i.in[k].fmap = i.in[k].rmap = RN_NONE;
			VAL(&i.in[k].val, rn_prog_add(q->p, &imm, 1, 0, NULL, q->e));
		}
		scalar = scalar && i.in[k].fmap == RN_NONE &&
			 q->p->vals[i.in[k].val].width == 1 && q->p->vals[i.in[k].val].rows == 1;
	}
	*out = (struct term){ .in = RN_NO_IN };
	VAL(&out->in.val, scalar ? rn_prog_add(q->p, &i, 1, 0, NULL, q->e)
				 : rn_prog_add(q->p, &i, shape->rows, shape->rank, shape->dim,
					       q->e));
	return 0;
}

/* fn of terms, evaluated now where all are numbers and it is plain arithmetic. */
static int combine(struct rn_grad *q, const struct rn_val *shape, enum rn_ew fn,
		   const struct term *t, uint32_t n, struct term *out)
{
	bool numbers = n == 2 && t[0].number && t[1].number;

	if (fn == RN_EW_SELECT && t[0].number) {
		*out = t[0].x != 0 ? t[1] : t[2];
		return 0;
	}
	if (numbers && (fn == RN_EW_SUB || fn == RN_EW_EQ || fn == RN_EW_MUL)) {
		*out = (struct term){ .in = RN_NO_IN, .number = true };
		out->x = fn == RN_EW_SUB  ? t[0].x - t[1].x
			 : fn == RN_EW_EQ ? t[0].x == t[1].x
					  : t[0].x * t[1].x;
		return 0;
	}
	return emit_ew(q, shape, true, fn, t, n, out);
}

static struct term operand(const struct rn_grad *q, struct rn_in in)
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
static int formula(struct rn_grad *q, const struct rn_inst *i, uint32_t g, const char *s,
		   struct term *out)
{
	const struct rn_val shape = q->p->vals[i->out];
	struct term stack[8];
	uint32_t top = 0;

	for (size_t n; *s; s += n + (s[n] == ' ')) {
		struct term t = { .in = RN_NO_IN };

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

int rn_grad_reduce(struct rn_grad *q, struct rn_in in, uint32_t *x)
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

/* Is operand k of a product a row, and the other a column?  Its gradient is then a product of
 * matrices, aᵀ·g, and g times a need not be stored to be summed. */
static bool is_outer(const struct rn_grad *q, const struct rn_inst *i, uint32_t k)
{
	const struct rn_val *o = &q->p->vals[i->out], *row, *col;

	if (i->fn != RN_EW_MUL)
		return false;
	row = &q->p->vals[i->in[k].val];
	col = &q->p->vals[i->in[!k].val];
	return o->rows > 1 && o->width > 1 && row->rows == 1 && row->width == o->width &&
	       col->rows == o->rows && col->width == 1 && i->in[k].fmap == RN_NONE &&
	       i->in[!k].fmap == RN_NONE;
}

static const struct rn_inst *scalar_maker(const struct rn_prog *p, uint32_t val, enum rn_ew fn)
{
	const struct rn_val *v = &p->vals[val];
	const struct rn_inst *i = v->kind == RN_V_INST ? &p->insts[v->inst] : NULL;

	return i && i->op == RN_P_EW && i->fn == fn ? i : NULL;
}

/* Operand k of a product of values of one shape, none of them read through a map? */
static bool is_factor(const struct rn_prog *p, const struct rn_inst *mul, unsigned k)
{
	const struct rn_val *o = &p->vals[mul->out], *v = &p->vals[mul->in[k].val];

	return mul->in[k].fmap == RN_NONE && v->rows == o->rows && v->width == o->width;
}

/* The product of y and this mask, by the stage that made y; RN_NONE: there is none. */
static uint32_t find_masked(const struct rn_grad *q, const struct rn_inst *y, uint32_t mask)
{
	const struct rn_prog *p = q->p;

	for (uint32_t j = p->vals[y->out].inst + 1; j < p->ninsts; j++) {
		const struct rn_inst *i = &p->insts[j];

		if (i->out >= q->nvals)
			break;
		if (i->op != RN_P_EW || i->fn != RN_EW_MUL || i->stage != y->stage)
			continue;
		for (unsigned k = 0; k < 2; k++)
			if (i->in[k].val == y->out && i->in[!k].val == mask && is_factor(p, i, 0) &&
			    is_factor(p, i, 1))
				return i->out;
	}
	return RN_NONE;
}

/* A dropout behind a ReLU: y = relu(x), d = y * mask, and y's gradient is g = h * mask.  Then d
 * is positive where both have let the number through: dx = d > 0 ? h / (1 - p) : 0, for which
 * neither y nor the mask has to be there.  Where the mask is 0, dx is 0 and not h * 0, which
 * matters only for a zero's sign and where h is not finite. */
static int grad_dropped(struct rn_grad *q, const struct rn_inst *i, uint32_t g, bool *done,
			struct term *out)
{
	const struct rn_inst *mul = scalar_maker(q->p, g, RN_EW_MUL), *mask = NULL;
	struct rn_inst pair = *i, scale = rn_inst_init(RN_P_EW);
	uint32_t h = RN_NONE;

	*done = false;
	for (unsigned k = 0; mul && k < 2; k++) {
		const struct rn_inst *m = scalar_maker(q->p, mul->in[k].val, RN_EW_DROPMASK);

		if (!m || !is_factor(q->p, mul, 0) || !is_factor(q->p, mul, 1))
			continue;
		mask = m;
		h = mul->in[!k].val;
	}
	pair.in[0].val = mask ? find_masked(q, i, mask->out) : RN_NONE;
	if (pair.in[0].val == RN_NONE)
		return 0;
	scale.fn = RN_EW_IMM;
	scale.imm = mask->imm >= 1 ? 0 : 1 / (1 - mask->imm); /* as the mask has it */
	pair.nin = 2;
	pair.in[0].fmap = pair.in[0].rmap = RN_NONE;
	pair.in[1] = pair.in[0];
	VAL(&pair.in[1].val, rn_prog_add(q->p, &scale, 1, 0, NULL, q->e));
	*done = true;
	return formula(q, &pair, h, "a pos g b mul 0 select", out);
}

int rn_grad_ew(struct rn_grad *q, const struct rn_inst *i, uint32_t g)
{
	const struct rn_val shape = q->p->vals[i->out];
	bool done = false;
	struct term t;

	for (uint32_t k = 0; k < i->nin; k++) {
		uint32_t x;

		if (!rn_grad_wanted(q, i->in[k].val) || !formulas[i->fn][k])
			continue;
		if (is_outer(q, i, k)) {
			VAL(&x, rn_prog_gemm_tn(q->p, i->in[!k].val, g, q->e));
			RN_TRY(rn_grad_give(q, i->in[k].val, x));
			continue;
		}
		if (i->fn == RN_EW_RELU)
			RN_TRY(grad_dropped(q, i, g, &done, &t));
		if (!done)
			RN_TRY(formula(q, i, g, formulas[i->fn][k], &t));
		if (t.number) { /* a power of 0 */
			struct term sum[2] = { t, { .number = true, .x = -0.0 } };

			RN_TRY(emit_ew(q, &shape, false, RN_EW_ADD, sum, 2, &t));
		}
		x = t.in.val;
		RN_TRY(rn_grad_reduce(q, i->in[k], &x));
		RN_TRY(rn_grad_give(q, i->in[k].val, x));
	}
	return 0;
}

int rn_grad_spread(struct rn_grad *q, uint32_t g, uint32_t fmap, const struct rn_val *v,
		   uint32_t *out)
{
	struct term t[2] = { { .in = { g, fmap, RN_NONE } }, { .number = true, .x = -0.0 } }, res;
	struct rn_val shape = *v;

	if (shape.rows == 1 && shape.width == 1)
		*out = g;
	else {
		RN_TRY(emit_ew(q, &shape, false, RN_EW_ADD, t, 2, &res));
		*out = res.in.val;
	}
	return 0;
}

bool rn_grad_ew_flows(enum rn_ew fn, uint32_t k)
{
	return formulas[fn][k] != NULL;
}
