/* SPDX-License-Identifier: Apache-2.0
 *
 * Tensor programs as text, and what their instructions cost at least.
 *
 *   v7 [2708,16] = spmm(v5, v3; i0, i1, i1)  # stage 2, diff
 */
#include "prog.h"
#include "prog_check.h"

#include "../base/str.h"

static void add_ref(struct rn_str *s, char kind, uint32_t n)
{
	if (n == RN_NONE)
		rn_str_addc(s, '-');
	else
		rn_str_addf(s, "%c%u", kind, n);
}

static void add_val(struct rn_str *s, const struct rn_prog *p, uint32_t v)
{
	const struct rn_val *x = &p->vals[v];

	rn_str_addf(s, "v%u [%u", v, x->rows);
	for (uint32_t i = 0; i < x->rank; i++)
		rn_str_addf(s, i ? ",%u" : ";%u", x->dim[i]);
	rn_str_addc(s, ']');
}

static void add_drop(struct rn_str *s, const struct rn_drop *d)
{
	rn_str_addf(s, "key %08x%08x, row ", d->key.k[1], d->key.k[0]);
	add_ref(s, 'i', d->row);
	rn_str_add(s, ", col ");
	add_ref(s, 'i', d->col);
}

static void add_step(struct rn_str *s, const struct rn_inst *i, const struct rn_elem_step *t)
{
	const uint8_t reg[3] = { t->a, t->b, t->c };

	rn_str_addf(s, " r%u=%s(", t->dst, rn_ew_info[t->fn].name);
	if (t->fn == RN_EW_IMM)
		rn_str_addf(s, "%.9g", t->imm);
	else if (t->fn == RN_EW_LOAD)
		rn_str_addf(s, "%u", t->a);
	else if (t->fn == RN_EW_DROPMASK) {
		rn_str_addf(s, "%.9g, ", t->imm);
		add_drop(s, &i->elem.drops[t->drop]);
	}
	for (unsigned k = 0; k < rn_ew_info[t->fn].arity; k++)
		rn_str_addf(s, k ? ", r%u" : "r%u", reg[k]);
	rn_str_addc(s, ')');
}

static void add_inst(struct rn_str *s, const struct rn_inst *i)
{
	unsigned nidx = 0;

	rn_str_addf(s, "%s(", i->op == RN_P_EW ? rn_ew_info[i->fn].name : rn_prim_name(i->op));
	for (uint32_t k = 0; k < i->nin; k++) {
		if (k)
			rn_str_add(s, ", ");
		add_ref(s, 'v', i->in[k].val);
		if (i->in[k].fmap != RN_NONE)
			rn_str_addf(s, "[i%u]", i->in[k].fmap);
		if (i->in[k].rmap != RN_NONE)
			rn_str_addf(s, "@i%u", i->in[k].rmap);
	}
	if (i->op == RN_P_EW && i->fn == RN_EW_IMM)
		rn_str_addf(s, "%.9g", i->imm);
	if (i->op == RN_P_EW && i->fn == RN_EW_DROPMASK) {
		rn_str_addf(s, "%.9g, ", i->imm);
		add_drop(s, &i->drop);
	}
	for (unsigned k = 0; k < 3; k++)
		nidx = i->idx[k] != RN_NONE ? k + 1 : nidx;
	for (unsigned k = 0; k < nidx; k++) {
		rn_str_add(s, k ? ", " : "; ");
		add_ref(s, 'i', i->idx[k]);
	}
	rn_str_addc(s, ')');
	if (i->flags & RN_F_TRANS)
		rn_str_add(s, " trans");
	if (i->flags & RN_F_TRANS_A)
		rn_str_add(s, " trans-a");
	if (i->flags & RN_F_TRANS_B)
		rn_str_add(s, " trans-b");
	if (i->flags & RN_F_MIN)
		rn_str_add(s, " min");
	if (i->flags & RN_F_DECOUPLED)
		rn_str_add(s, " decoupled");
	if (i->flags & RN_F_WEIGHTED)
		rn_str_add(s, " weighted");
	if (!rn_prim_is_fused(i->op))
		return;
	rn_str_add(s, " {");
	for (uint32_t k = 0; k < i->elem.nsteps; k++)
		add_step(s, i, &i->elem.steps[k]);
	rn_str_addf(s, "; r%u }", i->elem.result);
}

void rn_prog_print(const struct rn_prog *p, struct rn_str *out)
{
	static const char *const kind[] = {
		[RN_V_CONST] = "const", [RN_V_PARAM] = "param", [RN_V_STATE] = "state"
	};

	for (uint32_t v = 0; v < p->nvals; v++) {
		if (p->vals[v].kind == RN_V_INST)
			continue;
		add_val(out, p, v);
		rn_str_addf(out, " = %s", kind[p->vals[v].kind]);
		if (p->vals[v].kind != RN_V_CONST)
			rn_str_addf(out, " %u", p->vals[v].param);
		rn_str_add(out, p->vals[v].keep ? "  # keep\n" : "\n");
	}
	for (uint32_t k = 0; k < p->nidx; k++)
		rn_str_addf(out, "i%u [%u]%s\n", k, p->idx[k].n, p->idx[k].fmap ? " features" : "");
	for (uint32_t k = 0; k < p->ninsts; k++) {
		const struct rn_inst *i = &p->insts[k];
		const struct rn_val *v = &p->vals[i->out];

		add_val(out, p, i->out);
		rn_str_add(out, " = ");
		add_inst(out, i);
		rn_str_addf(out, "  # stage %u%s%s%s\n", i->stage, v->diff ? ", diff" : "",
			    v->random ? ", random" : "", v->keep ? ", keep" : "");
	}
}

/* ---- cost -------------------------------------------------------------------------- */

/* Terms of a segmented instruction: where its last segment ends. */
static double nterms(const struct rn_prog *p, uint32_t ptr)
{
	const uint32_t *x = rn_prog_idx_data(p, ptr);

	return x && p->idx[ptr].n ? (double)x[p->idx[ptr].n - 1] - x[0] : 0;
}

static double elem_flops(const struct rn_inst *i)
{
	double n = 0;

	for (uint32_t k = 0; k < i->elem.nsteps; k++)
		n += rn_ew_info[i->elem.steps[k].fn].arity > 0;
	return n;
}

void rn_inst_cost(const struct rn_prog *p, const struct rn_inst *i, double *flops, double *bytes)
{
	const struct rn_val *o = &p->vals[i->out];
	double n = (double)o->rows * o->width, terms = 0, per = 0;

	*bytes = i->op == RN_P_VIEW ? 0 : 4 * n;
	for (uint32_t k = 0; k < i->nin && i->op != RN_P_VIEW; k++) {
		double rows, width;

		if (i->in[k].val == RN_NONE || (k == 0 && (i->op == RN_P_GATHER ||
							   i->op == RN_P_SPMM ||
							   i->op == RN_P_PICK)))
			continue;
		width = p->vals[i->in[k].val].width;
		rows = i->in[k].rmap == RN_NONE ? p->vals[i->in[k].val].rows
						: p->idx[i->in[k].rmap].n;
		*bytes += 4 * rows * (i->in[k].rmap == RN_NONE ? width : width + 1);
	}
	for (unsigned k = 0; k < 3; k++)
		*bytes += i->idx[k] == RN_NONE ? 0 : 4.0 * p->idx[i->idx[k]].n;
	switch (i->op) {
	case RN_P_EW:
		per = rn_ew_info[i->fn].arity > 0;
		break;
	case RN_P_ELEM:
		per = elem_flops(i);
		break;
	case RN_P_GATHER:
	case RN_P_PICK:
		*bytes += 4 * n; /* the rows that are read */
		break;
	case RN_P_SPMM:
		terms = nterms(p, i->idx[0]) * o->width;
		*bytes += 4 * terms;
		terms *= i->in[1].val == RN_NONE ? 1 : 2;
		break;
	case RN_P_SEGELEM:
		terms = nterms(p, i->idx[0]) * o->width * (elem_flops(i) + 1);
		break;
	case RN_P_SEGARG:
		terms = nterms(p, i->idx[0]) * o->width;
		break;
	case RN_P_SDDMM:
	case RN_P_GEMM:
	case RN_P_GGEMM:
		per = 2.0 * p->vals[i->in[0].val].width;
		break;
	case RN_P_GEMM_TN:
		per = 2.0 * p->vals[i->in[0].val].rows;
		break;
	case RN_P_GGEMM_TN:
		terms = 2.0 * p->vals[i->in[0].val].rows * p->vals[i->in[0].val].width *
			p->vals[i->in[1].val].width;
		break;
	case RN_P_MATMUL: {
		const struct rn_val *a = &p->vals[i->in[0].val];
		uint32_t q = i->flags & RN_F_TRANS_A ? 0 : 1;

		per = 2.0 * (q < a->rank ? a->dim[q] : 1);
		break;
	}
	case RN_P_COLSUM:
	case RN_P_FSUM:
	case RN_P_FMAX:
	case RN_P_ARGMAX:
		terms = (double)p->vals[i->in[0].val].rows * p->vals[i->in[0].val].width;
		break;
	case RN_P_CE:
	case RN_P_CE_GRAD:
		terms = 4.0 * p->vals[i->in[0].val].rows * p->vals[i->in[0].val].width;
		break;
	case RN_P_ADAM:
		per = 12;
		break;
	case RN_P_SGD:
		per = 4;
		break;
	default:
		break;
	}
	*flops = n * per + terms;
}
