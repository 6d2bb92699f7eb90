/* SPDX-License-Identifier: Apache-2.0
 *
 * Sparse: segment sums and dot products over gathered rows read the rows where
 * they are, so that no embedding per edge is ever made.  Rewrites, tried on
 * every instruction until none applies:
 *
 *   gather(gather(x, m), n)            -> gather(x, n then m)
 *   gather(x, 0 … n-1)                 -> x, as a view
 *   spmm(gather(x, m), xi)             -> spmm(x, xi then m)
 *   spmm(x * w, xi), w of width 1      -> spmm(x, xi, w, xi)
 *   spmm((x * v) * w, xi)              -> spmm(x, xi, v * w, xi)
 *   spmm(…, w = gather(v, m), wi)      -> spmm(…, v, wi then m)
 *   fsum(a * b)                        -> sddmm(a, b)
 *   fsum(a * w), w of one row          -> gemm(a, w)
 *   sddmm(gather(x, m), …)             -> sddmm(x, …) through m
 *
 * An instruction is changed in place; those that it no longer needs die.
 * Products inside sums are rounded once here, and dot products add in another
 * order, so the last bits of a result may change.
 */
#include "pass_util.h"

#include "../rel/rel.h"

#include <stdlib.h>
#include <string.h>

struct sparse {
	struct rn_prog *p;
	uint32_t *uses;
	bool within; /* change bits only inside a stage */
	struct rn_err *e;
	struct composed {
		uint32_t first, then, out;
	} *memo;
	size_t nmemo, cap_memo;
};

/* The instruction that makes a value of this kind; NULL: something else does, or the
 * result was declared a constant to gradients, which must not get lost. */
static const struct rn_inst *maker(const struct sparse *s, uint32_t val, enum rn_prim op)
{
	const struct rn_val *v = &s->p->vals[val];
	const struct rn_inst *i;
	bool diff = false;

	if (val == RN_NONE || v->kind != RN_V_INST)
		return NULL;
	i = &s->p->insts[v->inst];
	for (uint32_t k = 0; k < i->nin; k++)
		diff |= i->in[k].val != RN_NONE && s->p->vals[i->in[k].val].diff;
	return i->op == op && diff == v->diff ? i : NULL;
}

/* out[i] = then[first[i]]; first RN_NONE: `then` itself. */
static int compose(struct sparse *s, uint32_t first, uint32_t then, uint32_t *out)
{
	const uint32_t *a, *b = rn_prog_idx_data(s->p, then);
	uint32_t n, *x, made;
	struct rn_buf *buf;

	*out = then;
	if (first == RN_NONE)
		return 0;
	for (size_t i = 0; i < s->nmemo; i++)
		if (s->memo[i].first == first && s->memo[i].then == then) {
			*out = s->memo[i].out;
			return 0;
		}
	RN_TRY(rn_grow(&s->memo, &s->cap_memo, s->nmemo + 1, sizeof *s->memo, "row maps", s->e));
	a = rn_prog_idx_data(s->p, first);
	n = s->p->idx[first].n;
	RN_TRY(rn_buf_new((size_t)n * sizeof *x, "a row map", &buf, s->e));
	x = buf->data;
	for (uint32_t i = 0; i < n; i++)
		x[i] = a[i] == RN_NO_ROW ? RN_NO_ROW : b[a[i]];
	made = rn_prog_idx(s->p, buf, n, s->e);
	if (made == RN_NONE)
		return s->e->code;
	s->memo[s->nmemo++] = (struct composed){ first, then, made };
	*out = made;
	return 0;
}

/* May the bits of what i makes from m's result change? */
static bool may_merge(const struct sparse *s, const struct rn_inst *i, const struct rn_inst *m)
{
	return !s->within || i->stage == m->stage;
}

static bool has_no_row(const struct rn_prog *p, uint32_t idx)
{
	const uint32_t *x = rn_prog_idx_data(p, idx);

	for (uint32_t i = 0; i < p->idx[idx].n; i++)
		if (x[i] == RN_NO_ROW)
			return true;
	return false;
}

static void replace(struct sparse *s, struct rn_in *in, uint32_t val)
{
	s->uses[in->val]--;
	s->uses[val]++;
	in->val = val;
}

/* Operand k of instruction j is a gather: read its source, through index array `slot`. */
static int read_through(struct sparse *s, uint32_t j, unsigned k, unsigned slot, bool *changed)
{
	const struct rn_inst *g = maker(s, s->p->insts[j].in[k].val, RN_P_GATHER);
	uint32_t map, src;

	if (!g)
		return 0;
	src = g->in[0].val;
	RN_TRY(compose(s, s->p->insts[j].idx[slot], g->idx[0], &map));
	s->p->insts[j].idx[slot] = map;
	replace(s, &s->p->insts[j].in[k], src);
	*changed = true;
	return 0;
}

/* Is `in` a column of weights, one for each row of m's result? */
static bool is_weight(const struct rn_prog *p, const struct rn_inst *m, struct rn_in in)
{
	const struct rn_val *v = &p->vals[in.val], *o = &p->vals[m->out];

	return v->width == 1 && v->rows == o->rows && (in.fmap == RN_NONE || o->width == 1);
}

/* Does `in` have the rows and features of m's result as they are? */
static bool is_whole(const struct rn_prog *p, const struct rn_inst *m, struct rn_in in)
{
	const struct rn_val *v = &p->vals[in.val], *o = &p->vals[m->out];

	return in.fmap == RN_NONE && v->rows == o->rows && v->width == o->width;
}

/* spmm((x * v) * w) -> spmm(x, v * w), where the outer product is made for this alone.
 * m: the outer product, of which operand `k` is the inner one. */
static bool join_weights(struct sparse *s, uint32_t j, uint32_t val, unsigned k)
{
	struct rn_inst *i = &s->p->insts[j], *m = &s->p->insts[s->p->vals[val].inst];
	const struct rn_inst *inner = maker(s, m->in[k].val, RN_P_EW);
	struct rn_val *v = &s->p->vals[val];
	unsigned x;

	if (!inner || inner->fn != RN_EW_MUL || !may_merge(s, i, inner) || s->uses[val] > 1 ||
	    v->keep || v->width == 1)
		return false;
	x = !is_whole(s->p, inner, inner->in[0]);
	if (!is_whole(s->p, inner, inner->in[x]) || !is_weight(s->p, inner, inner->in[!x]))
		return false;
	s->uses[inner->out]--;
	s->uses[inner->in[x].val]++;
	s->uses[inner->in[!x].val]++;
	m->in[k] = inner->in[!x];
	v->rank = v->dim[0] = v->width = 1;
	v->diff = s->p->vals[m->in[0].val].diff || s->p->vals[m->in[1].val].diff;
	v->random = s->p->vals[m->in[0].val].random || s->p->vals[m->in[1].val].random;
	i->in[0].val = inner->in[x].val;
	i->in[1].val = val;
	i->idx[2] = i->idx[1];
	return true;
}

/* spmm(x * w) -> spmm(x, w) */
static void split_product(struct sparse *s, uint32_t j, bool *changed)
{
	struct rn_inst *i = &s->p->insts[j];
	const struct rn_inst *m = maker(s, i->in[0].val, RN_P_EW);
	unsigned x;

	if (!m || m->fn != RN_EW_MUL || !may_merge(s, i, m) || i->in[1].val != RN_NONE)
		return;
	/* Of two columns the gathered one is the embedding. */
	x = !(is_whole(s->p, m, m->in[0]) && is_weight(s->p, m, m->in[1])) ||
	    (is_whole(s->p, m, m->in[1]) && is_weight(s->p, m, m->in[0]) &&
	     !maker(s, m->in[0].val, RN_P_GATHER));
	if (!is_whole(s->p, m, m->in[x]) || !is_weight(s->p, m, m->in[!x]))
		return;
	if (s->uses[m->out] > 1 && !maker(s, m->in[x].val, RN_P_GATHER))
		return; /* the product is made anyway */
	if (i->idx[1] != RN_NONE && has_no_row(s->p, i->idx[1]))
		return; /* a weight must be there */
	if (join_weights(s, j, m->out, x)) {
		*changed = true;
		return;
	}
	i->in[1].val = m->in[!x].val;
	s->uses[i->in[1].val]++;
	i->idx[2] = i->idx[1];
	replace(s, &i->in[0], m->in[x].val);
	*changed = true;
}

static int rewrite_spmm(struct sparse *s, uint32_t j, bool *changed)
{
	struct rn_inst *i = &s->p->insts[j];
	const struct rn_inst *g;

	split_product(s, j, changed);
	/* Terms without a row are left out of the sum, but a weight must be there. */
	if (i->idx[2] == RN_NONE || !has_no_row(s->p, i->idx[2])) {
		g = maker(s, i->in[1].val, RN_P_GATHER);
		if (g && !has_no_row(s->p, g->idx[0]))
			RN_TRY(read_through(s, j, 1, 2, changed));
	}
	return read_through(s, j, 0, 1, changed);
}

/* A parameter or such, as a matrix of one column (or, transposed, of one row)? */
static bool is_vector(const struct sparse *s, const struct rn_inst *m, struct rn_in in,
		      unsigned *flags)
{
	const struct rn_val *v = &s->p->vals[in.val], *o = &s->p->vals[m->out];

	*flags = v->rank == 2 && v->dim[0] == 1 ? RN_F_TRANS : 0;
	return !s->within && in.fmap == RN_NONE && v->rows == 1 && o->rows > 1 &&
	       v->width == o->width && v->width > 1 &&
	       (v->rank == 1 || (v->rank == 2 && (v->dim[0] == 1 || v->dim[1] == 1)));
}

/* fsum(a * b) -> sddmm(a, b), or a product with a vector */
static void dot_product(struct sparse *s, uint32_t j, bool *changed)
{
	struct rn_inst *i = &s->p->insts[j];
	const struct rn_inst *m = maker(s, i->in[0].val, RN_P_EW);
	struct rn_inst n = rn_inst_init(RN_P_SDDMM);
	unsigned a;

	if (!m || m->fn != RN_EW_MUL || !may_merge(s, i, m) || i->idx[0] != RN_NONE ||
	    s->uses[m->out] > 1 || s->p->vals[m->out].keep)
		return;
	a = !is_whole(s->p, m, m->in[0]);
	if (is_vector(s, m, m->in[!a], &n.flags))
		n.op = RN_P_GEMM;
	else if (!is_whole(s->p, m, m->in[!a]))
		return;
	if (!is_whole(s->p, m, m->in[a]))
		return;
	n.out = i->out;
	n.stage = i->stage;
	n.nin = 2;
	n.in[0].val = m->in[a].val;
	n.in[1].val = m->in[!a].val;
	s->uses[m->out]--;
	s->uses[n.in[0].val]++;
	s->uses[n.in[1].val]++;
	*i = n;
	*changed = true;
}

/* A map that moves nothing. */
static void drop_identity(struct sparse *s, uint32_t j)
{
	struct rn_inst *i = &s->p->insts[j];
	const uint32_t *x = rn_prog_idx_data(s->p, i->idx[0]);
	uint32_t n = s->p->idx[i->idx[0]].n, k = 0;

	while (k < n && x[k] == k)
		k++;
	if (k == n && n == s->p->vals[i->in[0].val].rows) {
		i->op = RN_P_VIEW;
		i->idx[0] = RN_NONE;
	}
}

static int rewrite(struct sparse *s, uint32_t j, bool *changed)
{
	switch (s->p->insts[j].op) {
	case RN_P_GATHER:
		RN_TRY(read_through(s, j, 0, 0, changed));
		if (!*changed)
			drop_identity(s, j);
		return 0;
	case RN_P_SPMM:
		return rewrite_spmm(s, j, changed);
	case RN_P_FSUM:
		dot_product(s, j, changed);
		return 0;
	case RN_P_SDDMM:
		RN_TRY(read_through(s, j, 0, 0, changed));
		return read_through(s, j, 1, 1, changed);
	default:
		return 0;
	}
}

static int run(struct rn_prog *p, bool within, struct rn_err *e)
{
	struct sparse s = { .p = p, .within = within, .e = e };
	int rc;

	RN_TRY(rn_pass_uses(p, &s.uses, s.e));
	rc = 0;
	for (uint32_t j = 0; j < p->ninsts && !rc; j++)
		for (bool changed = rn_pass_present(p, j); changed && !rc;) {
			changed = false;
			rc = rewrite(&s, j, &changed);
		}
	free(s.memo);
	free(s.uses);
	return rc;
}

int rn_pass_sparse(struct rn_prog *p, struct rn_err *e)
{
	struct rn_err local;

	e = e ? e : &local;
	RN_TRY(rn_pass_hoist(p, e));
	return run(p, false, e);
}

int rn_pass_sparse_within(struct rn_prog *p, struct rn_err *e)
{
	struct rn_err local;

	return run(p, true, e ? e : &local);
}
