/* SPDX-License-Identifier: Apache-2.0
 *
 * Checks of tensor programs: one table says which operands and index arrays a
 * primitive takes, one function per group which sizes must agree.
 */
#include "prog_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bits: operand (index array) number k is bit k. */
static const struct prim {
	const char *name;
	uint8_t nin_min, nin_max;
	uint8_t optional_in;
	uint8_t need_idx, may_idx;
} prims[] = {
	[RN_P_EW] = { "ew", 0, 3, 0, 0, 0 },
	[RN_P_ELEM] = { "elem", 0, RN_MAX_IN, 0, 0, 0 },
	[RN_P_GATHER] = { "gather", 1, 1, 0, 1, 0 },
	[RN_P_STACK] = { "stack", 1, RN_MAX_IN, 0, 0, 0 },
	[RN_P_SPMM] = { "spmm", 2, 2, 2, 1, 6 },
	[RN_P_SEGELEM] = { "segelem", 0, RN_MAX_IN, 0, 1, 0 },
	[RN_P_SDDMM] = { "sddmm", 2, 2, 0, 0, 3 },
	[RN_P_SEGARG] = { "segarg", 1, 1, 0, 1, 2 },
	[RN_P_PICK] = { "pick", 2, 2, 0, 0, 0 },
	[RN_P_UNPICK] = { "unpick", 2, 2, 0, 0, 0 },
	[RN_P_GEMM] = { "gemm", 2, 3, 4, 0, 0 },
	[RN_P_GEMM_TN] = { "gemm_tn", 2, 2, 0, 0, 0 },
	[RN_P_GGEMM] = { "ggemm", 2, 2, 0, 1, 0 },
	[RN_P_GGEMM_TN] = { "ggemm_tn", 2, 2, 0, 1, 0 },
	[RN_P_MATMUL] = { "matmul", 2, 2, 0, 0, 0 },
	[RN_P_COLSUM] = { "colsum", 1, 1, 0, 0, 0 },
	[RN_P_FSUM] = { "fsum", 1, 1, 0, 0, 1 },
	[RN_P_FMAX] = { "fmax", 1, 1, 0, 0, 0 },
	[RN_P_ARGMAX] = { "argmax", 1, 1, 0, 0, 0 },
	[RN_P_CONCAT] = { "concat", 1, RN_MAX_IN, 0, 0, 0 },
	[RN_P_VIEW] = { "view", 1, 1, 0, 0, 0 },
	[RN_P_DENSIFY] = { "densify", 1, 1, 0, 3, 0 },
	[RN_P_ATCSR] = { "atcsr", 1, 1, 0, 3, 0 },
	[RN_P_CE] = { "ce", 1, 1, 0, 1, 0 },
	[RN_P_CE_GRAD] = { "ce_grad", 2, 2, 0, 1, 0 },
	[RN_P_ADAM] = { "adam", 4, 4, 0, 0, 0 },
	[RN_P_SGD] = { "sgd", 2, 3, 4, 0, 0 },
};
_Static_assert(sizeof prims / sizeof *prims == RN_NPRIM, "a row for every primitive");

const char *rn_prim_name(enum rn_prim op)
{
	return (unsigned)op < RN_NPRIM ? prims[op].name : "?";
}

void rn_shape_text(uint32_t rank, const uint32_t *dim, char *out, size_t cap)
{
	size_t n = 0;

	n += (size_t)snprintf(out, cap, "[");
	for (uint32_t i = 0; i < rank && n < cap; i++)
		n += (size_t)(dim[i] ? snprintf(out + n, cap - n, i ? ",%u" : "%u", dim[i])
				     : snprintf(out + n, cap - n, i ? ",?" : "?"));
	if (n < cap)
		snprintf(out + n, cap - n, "]");
}

static int bad(const struct rn_prog *p, const struct rn_inst *i, const char *why, struct rn_err *e)
{
	const struct rn_val *o = i->out < p->nvals ? &p->vals[i->out] : NULL;
	char shapes[256] = "";
	size_t n = 0;

	for (uint32_t k = 0; k < i->nin && k < RN_MAX_IN && n < sizeof shapes; k++)
		if (i->in[k].val < p->nvals)
			n += (size_t)snprintf(shapes + n, sizeof shapes - n, " %u x %u",
					      p->vals[i->in[k].val].rows,
					      p->vals[i->in[k].val].width);
	return rn_err_set(e, RN_EBUG, "%s of%s giving %u x %u: %s", rn_prim_name(i->op), shapes,
			  o ? o->rows : 0, o ? o->width : 0, why);
}

/* Everything that is named exists. */
static int check_operands(const struct rn_prog *p, const struct rn_inst *i, struct rn_err *e)
{
	const struct prim *t;

	if ((unsigned)i->op >= RN_NPRIM)
		return rn_err_set(e, RN_EBUG, "no primitive %d", (int)i->op);
	t = &prims[i->op];
	if (i->out >= p->nvals)
		return rn_err_set(e, RN_EBUG, "%s: no value %u", t->name, i->out);
	if (i->nin < t->nin_min || i->nin > t->nin_max)
		return bad(p, i, "wrong number of operands", e);
	for (uint32_t k = 0; k < i->nin; k++) {
		if (i->in[k].val == RN_NONE && t->optional_in >> k & 1)
			continue;
		if (i->in[k].val >= p->nvals)
			return bad(p, i, "an operand is missing", e);
		if (i->in[k].fmap != RN_NONE && i->in[k].fmap >= p->nidx)
			return bad(p, i, "a feature map is missing", e);
		if (i->in[k].rmap != RN_NONE &&
		    (i->in[k].rmap >= p->nidx || !rn_prim_is_fused(i->op)))
			return bad(p, i, "a row map is missing, or there may be none", e);
	}
	for (unsigned k = 0; k < 3; k++) {
		if (i->idx[k] == RN_NONE && !(t->need_idx >> k & 1))
			continue;
		if (!((t->need_idx | t->may_idx) >> k & 1))
			return bad(p, i, "it takes no such index array", e);
		if (i->idx[k] >= p->nidx)
			return bad(p, i, "an index array is missing", e);
	}
	return 0;
}

static uint32_t idx_len(const struct rn_prog *p, uint32_t i, uint32_t dflt)
{
	return i == RN_NONE ? dflt : p->idx[i].n;
}

/* Rows that an elementwise program runs over: of a segmented one, the terms. */
static uint32_t elem_rows(const struct rn_prog *p, const struct rn_inst *i)
{
	const struct rn_idx *x;

	if (i->op != RN_P_SEGELEM)
		return p->vals[i->out].rows;
	x = &p->idx[i->idx[0]];
	return x->n ? ((const uint32_t *)x->data->data)[x->n - 1] : 0;
}

static int check_drop(const struct rn_prog *p, const struct rn_inst *i, const struct rn_drop *d,
		      struct rn_err *e)
{
	const struct rn_val *o = &p->vals[i->out];
	uint32_t rows = elem_rows(p, i);

	if ((d->row != RN_NONE && (d->row >= p->nidx || p->idx[d->row].n != rows)) ||
	    (d->col != RN_NONE && (d->col >= p->nidx || p->idx[d->col].n != rows)))
		return bad(p, i, "dropout rows or columns do not fit", e);
	if (d->col != RN_NONE && o->width != 1)
		return bad(p, i, "dropout columns are for values of width 1", e);
	return 0;
}

static int check_elem(const struct rn_prog *p, const struct rn_inst *i, struct rn_err *e)
{
	const struct rn_elem *m = &i->elem;
	uint32_t made = 0;

	if (!m->nsteps || m->nsteps > RN_ELEM_STEPS || m->nregs > RN_ELEM_REGS ||
	    m->result >= m->nregs)
		return bad(p, i, "its program is too long", e);
	for (uint32_t k = 0; k < m->nsteps; k++) {
		const struct rn_elem_step *s = &m->steps[k];
		unsigned arity = s->fn < RN_NEW ? rn_ew_info[s->fn].arity : 4;
		const uint8_t reg[3] = { s->a, s->b, s->c };

		if (arity > 3 || s->dst >= m->nregs || (s->fn == RN_EW_LOAD && s->a >= i->nin) ||
		    (s->fn == RN_EW_DROPMASK && s->drop >= m->ndrops))
			return bad(p, i, "a step of its program is wrong", e);
		for (unsigned r = 0; r < arity; r++)
			if (reg[r] >= m->nregs || !(made >> reg[r] & 1))
				return bad(p, i, "a step reads a register that was not set", e);
		made |= 1u << s->dst;
	}
	if (!(made >> m->result & 1))
		return bad(p, i, "its program sets no result", e);
	for (uint32_t k = 0; k < m->ndrops; k++)
		RN_TRY(check_drop(p, i, &m->drops[k], e));
	return 0;
}

static int check_elementwise(const struct rn_prog *p, const struct rn_inst *i, struct rn_err *e)
{
	const struct rn_val *o = &p->vals[i->out];
	bool weighted = i->flags & RN_F_WEIGHTED;
	uint32_t rows = elem_rows(p, i);

	if (i->op == RN_P_SEGELEM && (p->idx[i->idx[0]].n != o->rows + 1ull || (weighted && !i->nin)))
		return bad(p, i, "segments or weights are missing", e);
	for (uint32_t k = 0; k < i->nin; k++) {
		const struct rn_val *v = &p->vals[i->in[k].val];

		if (i->in[k].rmap != RN_NONE ? p->idx[i->in[k].rmap].n != rows
					     : v->rows != 1 && v->rows != rows &&
					       !(i->op == RN_P_SEGELEM && v->rows > rows))
			return bad(p, i, "rows do not fit", e);
		if (i->in[k].fmap == RN_NONE ? v->width != 1 && v->width != o->width
					     : p->idx[i->in[k].fmap].n != o->width)
			return bad(p, i, "features do not fit", e);
		if (weighted && k + 1 == i->nin &&
		    (v->width != 1 || i->in[k].fmap != RN_NONE ||
		     (i->in[k].rmap == RN_NONE && v->rows < rows)))
			return bad(p, i, "weights are not a number for each term", e);
	}
	if (rn_prim_is_fused(i->op))
		return check_elem(p, i, e);
	if ((unsigned)i->fn >= RN_NEW || i->fn == RN_EW_LOAD || rn_ew_info[i->fn].arity != i->nin)
		return bad(p, i, "not a function of so many operands", e);
	return i->fn == RN_EW_DROPMASK ? check_drop(p, i, &i->drop, e) : 0;
}

static bool check_rows(const struct rn_prog *p, const struct rn_inst *i, const struct rn_val *o,
		       const struct rn_val *a, const struct rn_val *b)
{
	switch (i->op) {
	case RN_P_GATHER:
		return idx_len(p, i->idx[0], 0) == o->rows && a->width == o->width;
	case RN_P_SPMM:
		return idx_len(p, i->idx[0], 0) == (uint64_t)o->rows + 1 && a->width == o->width &&
		       (b ? b->width == 1 : i->idx[2] == RN_NONE);
	case RN_P_SDDMM:
		return idx_len(p, i->idx[0], a->rows) == o->rows &&
		       idx_len(p, i->idx[1], b->rows) == o->rows && a->width == b->width &&
		       o->width == 1;
	case RN_P_SEGARG:
		return idx_len(p, i->idx[0], 0) == (uint64_t)o->rows + 1 && a->width == o->width;
	case RN_P_PICK:
		return b->index && a->width == o->width && b->width == o->width &&
		       b->rows == o->rows;
	case RN_P_UNPICK:
		return b->index && a->width == o->width && b->width == o->width &&
		       b->rows == a->rows;
	case RN_P_DENSIFY:
		return idx_len(p, i->idx[0], 0) == (uint64_t)o->rows + 1 && a->width == 1 &&
		       a->rows == p->idx[i->idx[1]].n;
	case RN_P_ATCSR:
		return idx_len(p, i->idx[0], 0) == (uint64_t)a->rows + 1 && o->width == 1 &&
		       o->rows == p->idx[i->idx[1]].n;
	default:
		return false;
	}
}

static bool check_gemm(const struct rn_prog *p, const struct rn_inst *i)
{
	const struct rn_val *o = &p->vals[i->out], *x = &p->vals[i->in[0].val];
	const struct rn_val *w = &p->vals[i->in[1].val];
	uint32_t d0 = w->rank > 0 ? w->dim[0] : 1, d1 = w->rank > 1 ? w->dim[1] : 1;
	bool t = i->flags & RN_F_TRANS;

	if (i->nin == 3 && i->in[2].val != RN_NONE &&
	    (p->vals[i->in[2].val].rows != 1 || p->vals[i->in[2].val].width != o->width))
		return false;
	return w->rows == 1 && (uint64_t)d0 * d1 == w->width && x->rows == o->rows &&
	       x->width == (t ? d1 : d0) && o->width == (t ? d0 : d1);
}

static bool check_ggemm(const struct rn_prog *p, const struct rn_inst *i)
{
	const struct rn_val *o = &p->vals[i->out], *x = &p->vals[i->in[0].val];
	const struct rn_val *y = &p->vals[i->in[1].val];
	uint32_t d0 = y->rank > 0 ? y->dim[0] : 1, d1 = y->rank > 1 ? y->dim[1] : 1;
	uint64_t segments = (uint64_t)p->idx[i->idx[0]].n;
	bool t = i->flags & RN_F_TRANS;

	if (i->op == RN_P_GGEMM_TN)
		return x->rows == y->rows && o->rows + 1ull == segments &&
		       (uint64_t)x->width * y->width == o->width;
	return y->rows + 1ull == segments && (uint64_t)d0 * d1 == y->width && x->rows == o->rows &&
	       x->width == (t ? d1 : d0) && o->width == (t ? d0 : d1);
}

static bool check_matmul(const struct rn_prog *p, const struct rn_inst *i)
{
	const struct rn_val *v[3] = { &p->vals[i->in[0].val], &p->vals[i->in[1].val],
				      &p->vals[i->out] };
	uint32_t d[3][2];

	for (unsigned k = 0; k < 3; k++) {
		bool t = (k == 0 && i->flags & RN_F_TRANS_A) || (k == 1 && i->flags & RN_F_TRANS_B);

		d[k][t] = v[k]->rank > 0 ? v[k]->dim[0] : 1;
		d[k][!t] = v[k]->rank > 1 ? v[k]->dim[1] : 1;
		if ((uint64_t)d[k][0] * d[k][1] != v[k]->width)
			return false;
	}
	return d[0][1] == d[1][0] && d[0][0] == d[2][0] && d[1][1] == d[2][1] &&
	       (v[0]->rows == v[2]->rows || v[0]->rows == 1) &&
	       (v[1]->rows == v[2]->rows || v[1]->rows == 1);
}

static bool check_concat(const struct rn_prog *p, const struct rn_inst *i)
{
	uint64_t width = 0;

	for (uint32_t k = 0; k < i->nin; k++) {
		const struct rn_val *v = &p->vals[i->in[k].val];

		if (v->rows != 1 && v->rows != p->vals[i->out].rows)
			return false;
		width += v->width;
	}
	return width == p->vals[i->out].width;
}

static bool check_stack(const struct rn_prog *p, const struct rn_inst *i)
{
	uint64_t rows = 0;

	for (uint32_t k = 0; k < i->nin; k++) {
		if (p->vals[i->in[k].val].width != p->vals[i->out].width)
			return false;
		rows += p->vals[i->in[k].val].rows;
	}
	return rows == p->vals[i->out].rows;
}

static bool check_step(const struct rn_prog *p, const struct rn_inst *i)
{
	for (uint32_t k = 0; k < i->nin; k++) {
		const struct rn_val *v;

		if (i->in[k].val == RN_NONE)
			continue;
		v = &p->vals[i->in[k].val];
		if (v->rows != 1 || v->width != p->vals[i->out].width)
			return false;
		if (k != 1 && v->kind != (k ? RN_V_STATE : RN_V_PARAM))
			return false;
	}
	return i->out == i->in[0].val;
}

int rn_inst_check(const struct rn_prog *p, const struct rn_inst *i, struct rn_err *e)
{
	const struct rn_val *o, *a, *b;
	bool ok;

	RN_TRY(check_operands(p, i, e));
	o = &p->vals[i->out];
	a = i->nin > 0 && i->in[0].val != RN_NONE ? &p->vals[i->in[0].val] : NULL;
	b = i->nin > 1 && i->in[1].val != RN_NONE ? &p->vals[i->in[1].val] : NULL;
	switch (i->op) {
	case RN_P_EW:
	case RN_P_ELEM:
	case RN_P_SEGELEM:
		return check_elementwise(p, i, e);
	case RN_P_STACK:
		ok = check_stack(p, i);
		break;
	case RN_P_GEMM:
		ok = check_gemm(p, i);
		break;
	case RN_P_GEMM_TN:
		ok = a->rows == b->rows && o->rows == 1 &&
		     (uint64_t)a->width * b->width == o->width;
		break;
	case RN_P_GGEMM:
	case RN_P_GGEMM_TN:
		ok = check_ggemm(p, i);
		break;
	case RN_P_MATMUL:
		ok = check_matmul(p, i);
		break;
	case RN_P_COLSUM:
		ok = o->rows == 1 && o->width == a->width;
		break;
	case RN_P_FSUM:
		ok = o->rows == a->rows && (i->idx[0] == RN_NONE ? o->width == 1
								 : p->idx[i->idx[0]].n == a->width);
		break;
	case RN_P_FMAX:
	case RN_P_ARGMAX:
		ok = o->rows == a->rows && o->width == 1 && a->width > 0;
		break;
	case RN_P_CONCAT:
		ok = check_concat(p, i);
		break;
	case RN_P_VIEW:
		ok = (uint64_t)o->rows * o->width == (uint64_t)a->rows * a->width;
		break;
	case RN_P_CE:
		ok = o->rows == a->rows && o->width == 1 && p->idx[i->idx[0]].n == a->rows;
		break;
	case RN_P_CE_GRAD:
		ok = o->rows == a->rows && o->width == a->width && b->rows == a->rows &&
		     b->width == 1 && p->idx[i->idx[0]].n == a->rows;
		break;
	case RN_P_ADAM:
	case RN_P_SGD:
		ok = check_step(p, i);
		break;
	default:
		ok = check_rows(p, i, o, a, b);
		break;
	}
	return ok ? 0 : bad(p, i, "sizes do not fit", e);
}

/* ---- the whole program -------------------------------------------------------- */

/* What is known of an index array's contents, found out once. */
struct fact {
	bool known, ascending;
	bool none;      /* RN_NO_ROW occurs */
	uint32_t limit; /* 1 + the largest other entry */
	uint32_t last;
};

static const struct fact *find_fact(const struct rn_prog *p, struct fact *facts, uint32_t i)
{
	struct fact *f = &facts[i];
	const uint32_t *x = p->idx[i].data->data;
	uint32_t limit = 0, none = 0, down = 0;

	if (f->known)
		return f;
	for (uint32_t k = 0; k < p->idx[i].n; k++) {
		uint32_t next = x[k] + 1; /* RN_NO_ROW becomes 0 */

		limit = next > limit ? next : limit;
		none |= !next;
	}
	for (uint32_t k = 1; k < p->idx[i].n; k++)
		down |= x[k] < x[k - 1];
	*f = (struct fact){ true, !down, none, limit, p->idx[i].n ? x[p->idx[i].n - 1] : 0 };
	return f;
}

/* Entries of index array i (RN_NONE: 0 … n-1) are below limit, or RN_NO_ROW where allowed. */
static bool within(const struct rn_prog *p, struct fact *facts, uint32_t i, uint32_t n,
		   uint32_t limit, bool no_row)
{
	const struct fact *f;

	if (i == RN_NONE)
		return n <= limit;
	f = find_fact(p, facts, i);
	return f->limit <= limit && (no_row || !f->none);
}

/* Segment bounds ascend and end within n terms; *terms is where they end. */
static bool segments(const struct rn_prog *p, struct fact *facts, uint32_t i, uint32_t n,
		     uint32_t *terms)
{
	const struct fact *f = find_fact(p, facts, i);

	*terms = f->last;
	return f->ascending && f->last <= n;
}

static bool check_contents(const struct rn_prog *p, struct fact *facts, const struct rn_inst *i)
{
	const struct rn_val *o = &p->vals[i->out];
	const struct rn_val *a = i->nin && i->in[0].val != RN_NONE ? &p->vals[i->in[0].val] : NULL;
	const struct rn_val *b = i->nin > 1 && i->in[1].val != RN_NONE ? &p->vals[i->in[1].val]
								       : NULL;
	uint32_t n;

	for (uint32_t k = 0; k < i->nin; k++)
		if ((i->in[k].fmap != RN_NONE &&
		     !within(p, facts, i->in[k].fmap, 0, p->vals[i->in[k].val].width, false)) ||
		    (i->in[k].rmap != RN_NONE &&
		     !within(p, facts, i->in[k].rmap, 0, p->vals[i->in[k].val].rows,
			     !(i->flags & RN_F_WEIGHTED && k + 1 == i->nin))))
			return false;
	switch (i->op) {
	case RN_P_GATHER:
		return within(p, facts, i->idx[0], 0, a->rows, true);
	case RN_P_SPMM:
		return segments(p, facts, i->idx[0], idx_len(p, i->idx[1], a->rows), &n) &&
		       within(p, facts, i->idx[1], n, a->rows, true) &&
		       (!b || (n <= idx_len(p, i->idx[2], b->rows) &&
			       within(p, facts, i->idx[2], n, b->rows, false)));
	case RN_P_SEGELEM:
		return segments(p, facts, i->idx[0], UINT32_MAX, &n);
	case RN_P_SDDMM:
		return within(p, facts, i->idx[0], o->rows, a->rows, true) &&
		       within(p, facts, i->idx[1], o->rows, b->rows, true);
	case RN_P_SEGARG:
		return segments(p, facts, i->idx[0], idx_len(p, i->idx[1], a->rows), &n) &&
		       within(p, facts, i->idx[1], n, a->rows, false);
	case RN_P_FSUM:
		return i->idx[0] == RN_NONE || within(p, facts, i->idx[0], 0, o->width, false);
	case RN_P_DENSIFY:
		return segments(p, facts, i->idx[0], a->rows, &n) && n == a->rows &&
		       within(p, facts, i->idx[1], n, o->width, false);
	case RN_P_ATCSR:
		return segments(p, facts, i->idx[0], o->rows, &n) && n == o->rows &&
		       within(p, facts, i->idx[1], n, a->width, false);
	case RN_P_GGEMM:
	case RN_P_GGEMM_TN:
		return segments(p, facts, i->idx[0], a->rows, &n) && n == a->rows &&
		       !rn_prog_idx_data(p, i->idx[0])[0];
	case RN_P_CE:
	case RN_P_CE_GRAD:
		return within(p, facts, i->idx[0], 0, a->width, true);
	default:
		return true;
	}
}

static int check_all(const struct rn_prog *p, struct fact *facts, struct rn_err *e)
{
	for (uint32_t k = 0; k < p->ninsts; k++) {
		const struct rn_inst *i = &p->insts[k];

		RN_TRY(rn_inst_check(p, i, e));
		for (uint32_t n = 0; n < i->nin; n++)
			if (i->in[n].val != RN_NONE && p->vals[i->in[n].val].kind == RN_V_INST &&
			    p->vals[i->in[n].val].inst >= k)
				return bad(p, i, "an operand is used before it is made", e);
		if (!check_contents(p, facts, i))
			return bad(p, i, "an index is out of bounds", e);
	}
	return 0;
}

int rn_prog_check(const struct rn_prog *p, struct rn_err *e)
{
	struct fact *facts;
	int rc;

	for (uint32_t i = 0; i < p->nidx; i++)
		if (!p->idx[i].data || p->idx[i].data->size / sizeof(uint32_t) < p->idx[i].n)
			return rn_err_set(e, RN_EBUG, "index array %u has no data", i);
	RN_TRY(rn_calloc(p->nidx, sizeof *facts, "checks of index arrays", &facts, e));
	rc = check_all(p, facts, e);
	free(facts);
	return rc;
}
