/* SPDX-License-Identifier: Apache-2.0
 *
 * Gradients of composed expressions, and of layers as passes leave them, against central
 * differences in double.
 */
#include "grad_trial.h"

#include "../../lib/base/str.h"
#include "../../lib/expr/emb.h"

static int as_input(void *arg, const struct rn_param_spec *s, uint32_t *val, struct rn_err *e)
{
	struct trial *t = arg;

	(void)e;
	*val = input(t, 1, s->rank, s->dim, -1, 1);
	return 0;
}

struct groups {
	struct trial *t;
	uint32_t ptr, pos, of;
};

static int group_softmax(void *arg, uint32_t val, size_t nby, const char *const *by, uint32_t *out,
			 struct rn_err *e)
{
	struct groups *g = arg;

	(void)by;
	T_OK(nby == 1, "softmax names its columns");
	return rn_lower_softmax(&g->t->p, val, g->ptr, g->pos, g->of, out, e);
}

/* Over 4 rows: h [3], a [1], m [2,2], s sparse [5], k [2] through a map with a hole. */
static uint32_t expression(struct trial *t, const char *text, bool dropped)
{
	struct rn_ctx ctx = { .threads = 1, .seed = 1 };
	struct groups g = { t, 0, 0, 0 };
	struct rn_lower_env env = { .ctx = &ctx, .prog = &t->p, .training = true, .stage = "st",
				    .rows = 4, .nparts = 5, .param = as_input, .param_arg = t,
				    .softmax = group_softmax, .rows_arg = &g };
	char names[5][2] = { "h", "a", "m", "s", "k" };
	struct rn_lpart part[5], out;
	struct rn_eexpr *x;
	uint32_t v = RN_NONE;

	g.ptr = IDX(0, 2, 3);
	g.pos = dropped ? IDX(3, 0, 2) : RN_NONE;
	g.of = dropped ? IDX(0, NO, 1, 0) : IDX(0, 0, 1, 1);
	if (!dropped)
		g.ptr = IDX(0, 2, 4);
	for (unsigned k = 0; k < 5; k++)
		part[k] = (struct rn_lpart){ .name = names[k], .base_rows = k == 4 ? 3 : 4,
					     .ptr = RN_NONE, .col = RN_NONE, .map = RN_NONE };
	part[0].val = IN(4, 3);
	part[0].shape = (struct rn_shape){ 1, { 3 } };
	part[1].val = IN(4, 1);
	part[1].shape = (struct rn_shape){ 1, { 1 } };
	part[2].val = IN(4, 2, 2);
	part[2].shape = (struct rn_shape){ 2, { 2, 2 } };
	part[3].val = IN(5, 1);
	part[3].shape = (struct rn_shape){ 1, { 5 } };
	part[3].sparse = true;
	part[3].ptr = IDX(0, 2, 2, 3, 5);
	part[3].col = IDX(0, 4, 2, 1, 2);
	part[4].val = IN(3, 2);
	part[4].shape = (struct rn_shape){ 1, { 2 } };
	part[4].map = IDX(2, NO, 2, 0);
	env.parts = part;
	T_CALL(rn_eexpr_parse(text, &x, &t->e), &t->e);
	if (!rn_eexpr_lower(x, &env, &out, &t->e))
		T_CALL(rn_lpart_dense(&t->p, &out, &v, &t->e), &t->e);
	rn_eexpr_free(x);
	return v;
}

static void test_expressions(void)
{
	static const char *const texts[] = {
		"Linear(3, 2)(Dropout(0.3)(h))",
		"ReLU(Linear(3, 2)(h)) * a + k",
		"Linear(2, 3)(m) @ h",
		"view(3)(k @ Linear(2, 3, False)(transpose(m))) * h + 0 * a",
		"LayerNorm(3)(h)",
		"LayerNorm(2)(m)",
		"Softmax()(h)",
		"Softmax(1)(m)",
		"LogSoftmax(-1)(m)",
		"GELU()(h) + SiLU()(h)",
		"GELU(approximate=\"tanh\")(h)",
		"ELU(0.7)(h) * LeakyReLU(0.3)(h)",
		"Softplus(1.5, 1)(h)",
		"sqrt(rowsum(h * h)) / (1 + exp(a))",
		"(abs(h) + 0.1) ** a",
		"clamp(h, -0.5, 0.7) + rowmax(h)",
		"Concat(h, a, view(4)(m), Tensor(1, 2))",
		"slice(1, 3)(h) * k",
		"Bilinear(3, 2, 2)(h, k)",
		"Tensor(1, 3, 0.5) * h + Tensor(1, 1.5)",
		"h @ Tensor(3, 2) @ Tensor(2, 1)",
		"dot(h, h) * rowmean(m)",
		"Dropout(0.3)(ReLU(h)) * a",
		"Linear(2, 2, False)(Dropout(0.5)(ReLU(Linear(3, 2)(h))))",
		"Dropout(0.4)(ReLU(h)) * ReLU(h)",
		"Dropout(1)(ReLU(h)) + h",
		/* sparse */
		"s",
		"Linear(5, 2)(s)",
		"Linear(5, 2)(Dropout(0.4)(s))",
		"s / clamp(rowsum(abs(s)), 0.1, 1e9)",
		"relu(s) * a + s",
		"s * Linear(3, 5)(h)",
		"s * Tensor(1, 5) @ Tensor(5, 2)",
		"exp(s)",
		"rowsum(s * s) + dot(s, Linear(3, 5)(h))",
		"tanh(s) @ Linear(3, 5)(h)",
		/* over rows */
		"softmax(h; t)",
		"softmax(a; t) * k",
		"softmax(Linear(3, 2)(h) * 3; t)",
	};

	for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
		for (unsigned dropped = 0; dropped < (strstr(texts[k], "softmax(") ? 2 : 1); dropped++) {
			struct trial trial, *t = &trial;

			begin(t, 1000 + k);
			check(t, texts[k], expression(t, texts[k], dropped));
		}
}

/* A GCN layer: sparse input, dropout, weighted neighbours, a left join, cross-entropy over some
 * rows; with the passes that run before gradients, or without. */
static void gcn(struct trial *t, unsigned passes, const char *name)
{
	uint32_t moved = 0;
	static const uint32_t src[] = { 0, 1, 2, 3, 3, 1, 0 };
	uint32_t x = expression(t, "Linear(5, 3, False)(Dropout(0.4)(s))", false), w = IN(7, 1);
	uint32_t w2 = IN(1, 3, 2), rows, h, loss;

	h = rn_prog_gather(&t->p, x, rn_prog_idx_copy(&t->p, src, 7, &t->e), &t->e);
	h = rn_prog_ew2(&t->p, RN_EW_MUL, w, h, &t->e);
	h = rn_prog_spmm(&t->p, IDX(0, 3, 3, 5, 7), h, IDX(6, 0, 2, 1, 5, 3, 4), RN_NONE, RN_NONE,
			 &t->e);
	h = rn_prog_ew1(&t->p, RN_EW_TANH, h, &t->e);
	h = rn_prog_gemm(&t->p, h, w2, RN_NONE, false, &t->e);
	rows = IDX(3, NO, 0);
	h = rn_prog_gather(&t->p, h, rows, &t->e);
	h = make(t, RN_P_CE, 0, h, RN_NONE, IDX(1, 0, 1), RN_NONE, (struct shape){ 3, 1, { 1 } });
	loss = rn_prog_ew_imm(&t->p, RN_EW_MUL, rn_prog_colsum(&t->p, h, &t->e), 1.0 / 3, false,
			      &t->e);
	for (uint32_t k = 0; k < t->nin; k++)
		t->p.vals[t->in[k]].keep = true;
	if (passes & 1) {
		T_CALL(rn_pass_hoist(&t->p, &moved, &t->e), &t->e);
		T_CALL(rn_pass_sparse(&t->p, &moved, &t->e), &t->e);
	}
	if (passes & 2)
		T_CALL(rn_pass_restrict(&t->p, &loss, 1, &t->e), &t->e);
	check_loss(t, name, loss);
}

int main(void)
{
	struct trial t;

	test_expressions();
	begin(&t, 7);
	gcn(&t, 0, "a GCN layer");
	begin(&t, 7);
	gcn(&t, 1, "a GCN layer through spmm");
	begin(&t, 7);
	gcn(&t, 3, "a GCN layer of some rows");
	return t_done();
}
