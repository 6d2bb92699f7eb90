/* SPDX-License-Identifier: Apache-2.0
 *
 * Stack: rows one under the other (a union) are read where they are.  Tried on every
 * stack, and on the stacks that a rewrite makes:
 *
 *   stack(gather(x, m), gather(x, n))    -> gather(x, m then n)
 *   stack(gather(x, m), gather(y, n), z) -> gather(stack(x, y, z), …), where the tables have
 *                                           fewer rows than the result
 *   stack(sddmm(a, b), sddmm(c, d))      -> sddmm(stack(a, c), stack(b, d)) through one array
 *   stack(spmm(x, v), spmm(y, w))        -> spmm(stack(x, y), stack(v, w)), likewise
 *   stack(f(a, c), f(b, c))              -> f(stack(a, b), c) for a scalar function of gathers
 *
 * So what a union of joins makes for each pair is, behind rn_pass_sparse, one product over
 * one table.  No bit changes.
 */
#include "pass_util.h"

#include "../rel/rel.h"

#include <stdlib.h>
#include <string.h>

struct stacking {
	struct rn_prog *p;
	struct rn_err *e;
	uint32_t *uses;
	uint32_t nuses;  /* values when they were counted; later ones have one use */
	uint32_t *made;  /* values of instructions that were added */
	size_t nmade, cap_made;
	uint32_t count;  /* stacks that were rewritten */
};

/* What is stacked: tables, each once, and where the rows of input k are among theirs. */
struct tables {
	uint32_t n, rows, val[RN_MAX_IN];
	uint32_t of[RN_MAX_IN], from[RN_MAX_IN]; /* input -> table; its first row in the stack */
};

static int stack_values(struct stacking *s, const uint32_t *val, uint32_t n, uint32_t *out);

/* May what makes the value be made otherwise, as nothing else reads it? */
static bool is_own(const struct stacking *s, uint32_t val)
{
	return !s->p->vals[val].keep && (val >= s->nuses || s->uses[val] == 1);
}

static void add_table(const struct rn_prog *p, struct tables *t, uint32_t k, uint32_t val)
{
	uint32_t at = 0, rows = 0;

	for (; at < t->n && t->val[at] != val; at++)
		rows += p->vals[t->val[at]].rows;
	if (at == t->n) {
		t->val[t->n++] = val;
		t->rows += p->vals[val].rows;
	}
	t->of[k] = at;
	t->from[k] = rows;
}

/* Is one value of these shapes a stack of them?  Sizes below 2^32 - 1. */
static bool can_stack(const struct rn_prog *p, const struct tables *t)
{
	uint64_t rows = 0;

	for (uint32_t k = 0; k < t->n; k++) {
		if (p->vals[t->val[k]].width != p->vals[t->val[0]].width)
			return false;
		rows += p->vals[t->val[k]].rows;
	}
	return rows < RN_NONE;
}

/* ---- adding instructions --------------------------------------------------------------- */

static bool same_inst(const struct rn_inst *a, const struct rn_inst *b)
{
	return a->op == b->op && a->nin == b->nin && a->fn == b->fn && a->flags == b->flags &&
	       !memcmp(a->in, b->in, a->nin * sizeof *a->in) &&
	       !memcmp(a->idx, b->idx, sizeof a->idx);
}

/* The value of an instruction: made before, or now. */
static int compute(struct stacking *s, const struct rn_inst *i, uint32_t rows,
		   const struct rn_val *shape, uint32_t *out)
{
	struct rn_prog *p = s->p;
	struct rn_val v = *shape;

	for (size_t k = 0; k < s->nmade; k++) {
		const struct rn_val *m = &p->vals[s->made[k]];

		if (same_inst(&p->insts[m->inst], i) && m->rank == v.rank &&
		    !memcmp(m->dim, v.dim, v.rank * sizeof *v.dim)) {
			*out = s->made[k];
			return 0;
		}
	}
	RN_TRY(rn_grow(&s->made, &s->cap_made, s->nmade + 1, sizeof *s->made, "values", s->e));
	*out = rn_prog_add(p, i, rows, v.rank, v.dim, s->e);
	if (*out == RN_NONE)
		return s->e->code;
	s->made[s->nmade++] = *out;
	return 0;
}

static int stack_tables(struct stacking *s, const struct tables *t, uint32_t *out)
{
	return stack_values(s, t->val, t->n, out);
}

/* ---- index arrays ---------------------------------------------------------------------- */

/* A piece of an index array: `n` entries of idx (RN_NONE: 0, 1, …), each plus `add`. */
struct piece {
	uint32_t idx, n, add;
};

static int join_pieces(struct stacking *s, const struct piece *x, uint32_t n, uint32_t *out)
{
	uint32_t total = 0, at = 0, *y;
	struct rn_buf *b;

	for (uint32_t k = 0; k < n; k++)
		total += x[k].n;
	RN_TRY(rn_buf_new((size_t)total * sizeof *y, "a row map", &b, s->e));
	y = b->data;
	for (uint32_t k = 0; k < n; k++) {
		const uint32_t *from = rn_prog_idx_data(s->p, x[k].idx);

		for (uint32_t r = 0; r < x[k].n; r++) {
			uint32_t row = from ? from[r] : r;

			y[at++] = row == RN_NO_ROW ? row : row + x[k].add;
		}
	}
	*out = rn_prog_idx(s->p, b, total, s->e);
	return *out == RN_NONE ? s->e->code : 0;
}

/* ---- the rewrites: each gives the instruction that makes the stack, or leaves it --------- */

static int of_gathers(struct stacking *s, const uint32_t *val, uint32_t n, struct rn_inst *out,
		      bool *done)
{
	struct tables t = { 0 };
	struct piece x[RN_MAX_IN];
	bool any = false;
	uint64_t rows = 0;

	for (uint32_t k = 0; k < n; k++) {
		const struct rn_inst *g = rn_pass_maker(s->p, val[k], RN_P_GATHER);

		any |= g != NULL;
		rows += s->p->vals[val[k]].rows;
		x[k] = (struct piece){ g ? g->idx[0] : RN_NONE, s->p->vals[val[k]].rows, 0 };
		add_table(s->p, &t, k, g ? g->in[0].val : val[k]);
	}
	if (!any || (t.n > 1 && t.rows >= rows) || !can_stack(s->p, &t))
		return 0;
	for (uint32_t k = 0; k < n; k++)
		x[k].add = t.from[k];
	*out = rn_inst_init(RN_P_GATHER);
	out->nin = 1;
	RN_TRY(stack_tables(s, &t, &out->in[0].val));
	RN_TRY(join_pieces(s, x, n, &out->idx[0]));
	*done = true;
	return 0;
}

static int of_dots(struct stacking *s, const uint32_t *val, uint32_t n, struct rn_inst *out,
		   bool *done)
{
	struct tables t[2] = { 0 };
	struct piece x[2][RN_MAX_IN];
	uint64_t rows = 0;

	for (uint32_t k = 0; k < n; k++) {
		const struct rn_inst *d = rn_pass_maker(s->p, val[k], RN_P_SDDMM);

		if (!d || !is_own(s, val[k]))
			return 0;
		rows += s->p->vals[val[k]].rows;
		for (unsigned o = 0; o < 2; o++) {
			x[o][k] = (struct piece){ d->idx[o], s->p->vals[val[k]].rows, 0 };
			add_table(s->p, &t[o], k, d->in[o].val);
		}
	}
	for (unsigned o = 0; o < 2; o++)
		if ((t[o].n > 1 && t[o].rows > rows) || !can_stack(s->p, &t[o]))
			return 0;
	*out = rn_inst_init(RN_P_SDDMM);
	out->nin = 2;
	for (unsigned o = 0; o < 2; o++) {
		for (uint32_t k = 0; k < n; k++)
			x[o][k].add = t[o].from[k];
		RN_TRY(stack_tables(s, &t[o], &out->in[o].val));
		RN_TRY(join_pieces(s, x[o], n, &out->idx[o]));
	}
	*done = true;
	return 0;
}

/* Segment bounds one behind the other. */
static int join_bounds(struct stacking *s, const struct rn_inst *const *m, uint32_t n,
		       uint32_t *out)
{
	uint32_t total = 1, at = 0, add = 0, *y;
	struct rn_buf *b;

	for (uint32_t k = 0; k < n; k++)
		total += s->p->idx[m[k]->idx[0]].n - 1;
	RN_TRY(rn_buf_new((size_t)total * sizeof *y, "segments", &b, s->e));
	y = b->data;
	for (uint32_t k = 0; k < n; k++) {
		const uint32_t *ptr = rn_prog_idx_data(s->p, m[k]->idx[0]);
		uint32_t segs = s->p->idx[m[k]->idx[0]].n - 1;

		for (uint32_t r = 0; r < segs; r++)
			y[++at] = add + ptr[r + 1];
		add += ptr[segs];
	}
	*out = rn_prog_idx(s->p, b, total, s->e);
	return *out == RN_NONE ? s->e->code : 0;
}

/* m are copies: what they are of moves when instructions are added. */
static int join_sums(struct stacking *s, const struct rn_inst *const *m, uint32_t n,
		     struct tables *t, struct rn_inst *out)
{
	bool weighted = m[0]->in[1].val != RN_NONE;
	struct piece x[RN_MAX_IN];

	*out = rn_inst_init(RN_P_SPMM);
	out->nin = 2;
	RN_TRY(join_bounds(s, m, n, &out->idx[0]));
	for (unsigned o = 0; o < 1u + weighted; o++) {
		for (uint32_t k = 0; k < n; k++) {
			uint32_t ptr = m[k]->idx[0];

			x[k] = (struct piece){ m[k]->idx[1 + o],
					       rn_prog_idx_data(s->p, ptr)[s->p->idx[ptr].n - 1],
					       t[o].from[k] };
		}
		RN_TRY(stack_tables(s, &t[o], &out->in[o].val));
		RN_TRY(join_pieces(s, x, n, &out->idx[1 + o]));
	}
	return 0;
}

static int of_sums(struct stacking *s, const uint32_t *val, uint32_t n, struct rn_inst *out,
		   bool *done)
{
	struct rn_inst copy[RN_MAX_IN];
	const struct rn_inst *m[RN_MAX_IN];
	struct tables t[2] = { 0 };
	uint64_t terms = 0;

	for (uint32_t k = 0; k < n; k++) {
		const struct rn_inst *i = rn_pass_maker(s->p, val[k], RN_P_SPMM);
		const uint32_t *ptr;

		if (!i || !is_own(s, val[k]))
			return 0;
		copy[k] = *i;
		m[k] = &copy[k];
		if ((i->in[1].val == RN_NONE) != (copy[0].in[1].val == RN_NONE))
			return 0;
		ptr = rn_prog_idx_data(s->p, i->idx[0]);
		if (ptr[0])
			return 0;
		terms += ptr[s->p->idx[i->idx[0]].n - 1];
		for (unsigned o = 0; o < 2 && i->in[o].val != RN_NONE; o++)
			add_table(s->p, &t[o], k, i->in[o].val);
	}
	for (unsigned o = 0; o < 2; o++)
		if ((t[o].n > 1 && t[o].rows > terms) || !can_stack(s->p, &t[o]))
			return 0;
	if (terms >= RN_NONE)
		return 0;
	RN_TRY(join_sums(s, m, n, t, out));
	*done = true;
	return 0;
}

/* Operand o of all inputs: one value that all rows share, or rows of gathers. */
static bool same_operand(const struct stacking *s, const struct rn_inst *const *m,
			 const uint32_t *val, uint32_t n, uint32_t o, bool *shared)
{
	const struct rn_prog *p = s->p;
	bool gathers = true;

	*shared = true;
	for (uint32_t k = 0; k < n; k++) {
		const struct rn_in *in = &m[k]->in[o];

		if (in->fmap != m[0]->in[o].fmap ||
		    p->vals[in->val].width != p->vals[m[0]->in[o].val].width)
			return false;
		*shared = *shared && in->val == m[0]->in[o].val && p->vals[in->val].rows == 1;
		gathers = gathers && rn_pass_maker(p, in->val, RN_P_GATHER) &&
			  p->vals[in->val].rows == p->vals[val[k]].rows;
	}
	return *shared || gathers;
}

static int of_functions(struct stacking *s, const uint32_t *val, uint32_t n, struct rn_inst *out,
			bool *done)
{
	const struct rn_inst *m[RN_MAX_IN];
	bool shared[3], any = false;
	uint32_t in[RN_MAX_IN];

	for (uint32_t k = 0; k < n; k++) {
		m[k] = rn_pass_maker(s->p, val[k], RN_P_EW);
		if (!m[k] || !is_own(s, val[k]) || m[k]->fn != m[0]->fn || !m[k]->nin ||
		    s->p->vals[val[k]].rows == 1)
			return 0;
	}
	*out = rn_inst_init(RN_P_EW);
	out->fn = m[0]->fn;
	out->nin = m[0]->nin;
	for (uint32_t o = 0; o < out->nin; o++) {
		if (!same_operand(s, m, val, n, o, &shared[o]))
			return 0;
		any |= !shared[o];
		out->in[o] = m[0]->in[o];
	}
	if (!any)
		return 0;
	for (uint32_t o = 0; o < out->nin; o++) {
		if (shared[o])
			continue;
		for (uint32_t k = 0; k < n; k++)
			in[k] = s->p->insts[s->p->vals[val[k]].inst].in[o].val;
		RN_TRY(stack_values(s, in, n, &out->in[o].val));
	}
	*done = true;
	return 0;
}

/* The instruction that makes the stack of these values. */
static int rewrite(struct stacking *s, const uint32_t *val, uint32_t n, struct rn_inst *out)
{
	static int (*const rules[])(struct stacking *, const uint32_t *, uint32_t, struct rn_inst *,
				    bool *) = { of_gathers, of_dots, of_sums, of_functions };
	bool done = false;

	for (unsigned r = 0; r < sizeof rules / sizeof *rules; r++) {
		RN_TRY(rules[r](s, val, n, out, &done));
		if (done) {
			s->count++;
			return 0;
		}
	}
	*out = rn_inst_init(RN_P_STACK);
	out->nin = n;
	for (uint32_t k = 0; k < n; k++)
		out->in[k].val = val[k];
	return 0;
}

static int stack_values(struct stacking *s, const uint32_t *val, uint32_t n, uint32_t *out)
{
	uint64_t rows = 0;
	struct rn_val shape = s->p->vals[val[0]];
	struct rn_inst i;

	if (n == 1) {
		*out = val[0];
		return 0;
	}
	for (uint32_t k = 0; k < n; k++)
		rows += s->p->vals[val[k]].rows;
	RN_TRY(rewrite(s, val, n, &i));
	return compute(s, &i, (uint32_t)rows, &shape, out);
}

static int visit(void *arg, struct rn_inst i)
{
	struct stacking *s = arg;
	struct rn_prog *p = s->p;
	uint32_t val[RN_MAX_IN];

	if (i.op == RN_P_STACK) {
		struct rn_inst n;

		for (uint32_t k = 0; k < i.nin; k++)
			val[k] = i.in[k].val;
		RN_TRY(rewrite(s, val, i.nin, &n));
		n.out = i.out;
		n.stage = i.stage;
		i = n;
	}
	return rn_pass_append(p, &i, s->e);
}

int rn_pass_stack(struct rn_prog *p, uint32_t *count, struct rn_err *e)
{
	struct rn_err local;
	struct stacking s = { .p = p, .e = e ? e : &local, .nuses = p->nvals };
	int rc;

	RN_TRY(rn_pass_uses(p, &s.uses, s.e));
	rc = rn_pass_visit(p, visit, &s, s.e);
	free(s.made);
	free(s.uses);
	*count += s.count;
	return rc;
}
