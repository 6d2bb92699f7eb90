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
 *   spmm(spmm(x, w), xi)               -> spmm(x, w), a sum of sums that nothing else reads
 *   spmm(x, w), w all 1                -> spmm(x)
 *   spmm(x, xi), no segment of two     -> gather(x, xi)
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
	bool through; /* only read through gathers */
	bool same_stage; /* …, those of the same stage */
	struct rn_err *e;
	struct composed {
		uint32_t first, then, out;
	} *memo;
	size_t nmemo, cap_memo;
};

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

static void replace(struct sparse *s, struct rn_in *in, uint32_t val)
{
	s->uses[in->val]--;
	s->uses[val]++;
	in->val = val;
}

/* Operand k of instruction j is a gather: read its source, through index array `slot`. */
static int read_through(struct sparse *s, uint32_t j, unsigned k, unsigned slot, bool *changed)
{
	const struct rn_inst *g = rn_pass_maker(s->p, s->p->insts[j].in[k].val, RN_P_GATHER);
	uint32_t map, src;

	if (!g || (s->same_stage && g->stage != s->p->insts[j].stage))
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
	const struct rn_inst *inner = rn_pass_maker(s->p, m->in[k].val, RN_P_EW);
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
	const struct rn_inst *m = rn_pass_maker(s->p, i->in[0].val, RN_P_EW);
	unsigned x;

	if (!m || m->fn != RN_EW_MUL || !may_merge(s, i, m) || i->in[1].val != RN_NONE)
		return;
	/* Of two columns the gathered one is the embedding. */
	x = !(is_whole(s->p, m, m->in[0]) && is_weight(s->p, m, m->in[1])) ||
	    (is_whole(s->p, m, m->in[1]) && is_weight(s->p, m, m->in[0]) &&
	     !rn_pass_maker(s->p, m->in[0].val, RN_P_GATHER));
	if (!is_whole(s->p, m, m->in[x]) || !is_weight(s->p, m, m->in[!x]))
		return;
	if (s->uses[m->out] > 1 && !rn_pass_maker(s->p, m->in[x].val, RN_P_GATHER))
		return; /* the product is made anyway */
	if (i->idx[1] != RN_NONE && rn_pass_has_no_row(s->p, i->idx[1]))
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

/* Terms of a sum of sums: those of each inner segment that an outer term names. */
static uint32_t count_terms(const struct rn_prog *p, const struct rn_inst *i,
			    const struct rn_inst *m, uint64_t *total)
{
	const uint32_t *ptr = rn_prog_idx_data(p, i->idx[0]), *xi = rn_prog_idx_data(p, i->idx[1]);
	const uint32_t *in = rn_prog_idx_data(p, m->idx[0]);
	uint32_t n = p->idx[i->idx[0]].n - 1;

	*total = 0;
	for (uint32_t k = ptr[0]; k < ptr[n]; k++) {
		uint32_t seg = xi ? xi[k] : k;

		*total += seg == RN_NO_ROW ? 0 : in[seg + 1] - in[seg];
	}
	return n;
}

/* The arrays of the merged sum; w: of the inner weights, or NULL. */
static void merge_terms(const struct rn_prog *p, const struct rn_inst *i, const struct rn_inst *m,
			uint32_t *bound, uint32_t *x, uint32_t *w)
{
	const uint32_t *ptr = rn_prog_idx_data(p, i->idx[0]), *xi = rn_prog_idx_data(p, i->idx[1]);
	const uint32_t *in = rn_prog_idx_data(p, m->idx[0]), *mx = rn_prog_idx_data(p, m->idx[1]);
	const uint32_t *mw = rn_prog_idx_data(p, m->idx[2]);
	uint32_t n = p->idx[i->idx[0]].n - 1, at = 0;

	for (uint32_t s = 0; s < n; s++) {
		for (uint32_t k = ptr[s]; k < ptr[s + 1]; k++) {
			uint32_t seg = xi ? xi[k] : k;

			for (uint32_t t = seg == RN_NO_ROW ? 0 : in[seg];
			     seg != RN_NO_ROW && t < in[seg + 1]; t++, at++) {
				x[at] = mx ? mx[t] : t;
				if (w)
					w[at] = mw ? mw[t] : t;
			}
		}
		bound[s + 1] = at;
	}
}

static int add_array(struct sparse *s, struct rn_buf *b, uint32_t n, uint32_t *out)
{
	*out = rn_prog_idx(s->p, b, n, s->e);
	return *out == RN_NONE ? s->e->code : 0;
}

/* spmm(spmm(x, w)) -> spmm(x, w), where no term is then added more often than before. */
static int merge_sums(struct sparse *s, uint32_t j, bool *changed)
{
	struct rn_inst i = s->p->insts[j], m;
	const struct rn_inst *inner = rn_pass_maker(s->p, i.in[0].val, RN_P_SPMM);
	struct rn_buf *buf[3] = { NULL, NULL, NULL };
	const uint32_t *in;
	uint64_t total;
	uint32_t n;
	int rc;

	if (s->within || !inner || i.in[1].val != RN_NONE || s->uses[inner->out] > 1 ||
	    s->p->vals[inner->out].keep)
		return 0;
	m = *inner;
	in = rn_prog_idx_data(s->p, m.idx[0]);
	n = count_terms(s->p, &i, &m, &total);
	if (total > in[s->p->idx[m.idx[0]].n - 1])
		return 0;
	RN_GOTO(out, rn_buf_new(((size_t)n + 1) * sizeof *in, "segments", &buf[0], s->e));
	RN_GOTO(out, rn_buf_new((size_t)total * sizeof *in, "a row map", &buf[1], s->e));
	if (m.in[1].val != RN_NONE)
		RN_GOTO(out, rn_buf_new((size_t)total * sizeof *in, "a row map", &buf[2], s->e));
	merge_terms(s->p, &i, &m, buf[0]->data, buf[1]->data, buf[2] ? buf[2]->data : NULL);
	i.idx[2] = RN_NONE;
	for (unsigned k = 0; k < 3; k++) {
		struct rn_buf *b = buf[k];

		buf[k] = NULL; /* taken also on failure */
		if (b)
			RN_GOTO(out, add_array(s, b, k ? (uint32_t)total : n + 1, &i.idx[k]));
	}
	s->uses[i.in[0].val]--;
	for (unsigned k = 0; k < 2; k++) {
		i.in[k].val = m.in[k].val;
		if (i.in[k].val != RN_NONE)
			s->uses[i.in[k].val]++;
	}
	s->p->insts[j] = i;
	*changed = true;
out:
	for (unsigned k = 0; k < 3; k++)
		rn_buf_unref(buf[k]);
	return rc;
}

/* Weights that are all 1 need not be read. */
static void drop_ones(struct sparse *s, uint32_t j, bool *changed)
{
	struct rn_inst *i = &s->p->insts[j];
	const struct rn_val *w;
	const float *x;
	uint32_t k = 0;

	if (s->within || i->in[1].val == RN_NONE || i->idx[1] == RN_NONE)
		return;
	w = &s->p->vals[i->in[1].val];
	if (w->kind != RN_V_CONST)
		return;
	x = w->data->data;
	while (k < w->rows && x[k] == 1)
		k++;
	if (k < w->rows)
		return;
	s->uses[i->in[1].val]--;
	i->in[1].val = RN_NONE;
	i->idx[2] = RN_NONE;
	*changed = true;
}

/* A sum of at most one term in each segment is that term. */
static int drop_sum(struct sparse *s, uint32_t j, bool *changed)
{
	struct rn_inst *i = &s->p->insts[j];
	const uint32_t *ptr = rn_prog_idx_data(s->p, i->idx[0]), *x;
	uint32_t n = s->p->idx[i->idx[0]].n - 1, map;
	struct rn_buf *b;
	uint32_t *y;

	if (s->within || i->in[1].val != RN_NONE)
		return 0;
	for (uint32_t k = 0; k < n; k++)
		if (ptr[k + 1] - ptr[k] > 1)
			return 0;
	RN_TRY(rn_buf_new((size_t)n * sizeof *y, "a row map", &b, s->e));
	x = rn_prog_idx_data(s->p, i->idx[1]);
	y = b->data;
	for (uint32_t k = 0; k < n; k++)
		y[k] = ptr[k + 1] == ptr[k] ? RN_NO_ROW : x ? x[ptr[k]] : ptr[k];
	RN_TRY(add_array(s, b, n, &map));
	i->op = RN_P_GATHER;
	i->nin = 1;
	i->idx[0] = map;
	i->idx[1] = RN_NONE;
	*changed = true;
	return 0;
}

static int rewrite_spmm(struct sparse *s, uint32_t j, bool *changed)
{
	struct rn_inst *i = &s->p->insts[j];
	const struct rn_inst *g;

	if (!s->through) {
		split_product(s, j, changed);
		drop_ones(s, j, changed);
		RN_TRY(merge_sums(s, j, changed));
		if (!*changed)
			RN_TRY(drop_sum(s, j, changed));
		if (*changed)
			return 0;
	}
	i = &s->p->insts[j];
	/* Terms without a row are left out of the sum, but a weight must be there. */
	if (i->idx[2] == RN_NONE || !rn_pass_has_no_row(s->p, i->idx[2])) {
		g = rn_pass_maker(s->p, i->in[1].val, RN_P_GATHER);
		if (g && !rn_pass_has_no_row(s->p, g->idx[0]))
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
	const struct rn_inst *m = rn_pass_maker(s->p, i->in[0].val, RN_P_EW);
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
		if (!s->through)
			dot_product(s, j, changed);
		return 0;
	case RN_P_SDDMM:
		RN_TRY(read_through(s, j, 0, 0, changed));
		return read_through(s, j, 1, 1, changed);
	default:
		return 0;
	}
}

static int run(struct sparse mode, uint32_t *count)
{
	struct sparse s = mode;
	struct rn_prog *p = s.p;
	int rc;

	RN_TRY(rn_pass_uses(p, &s.uses, s.e));
	rc = 0;
	for (uint32_t j = 0; j < p->ninsts && !rc; j++)
		for (bool changed = rn_pass_present(p, j); changed && !rc;) {
			changed = false;
			rc = rewrite(&s, j, &changed);
			*count += changed;
		}
	free(s.memo);
	free(s.uses);
	return rc;
}

int rn_pass_sparse(struct rn_prog *p, uint32_t *count, struct rn_err *e)
{
	struct rn_err local;

	return run((struct sparse){ .p = p, .e = e ? e : &local }, count);
}

int rn_pass_sparse_within(struct rn_prog *p, struct rn_err *e)
{
	struct rn_err local;
	uint32_t count = 0;

	return run((struct sparse){ .p = p, .within = true, .e = e ? e : &local }, &count);
}

int rn_pass_through(struct rn_prog *p, bool same_stage, uint32_t *count, struct rn_err *e)
{
	struct rn_err local;

	return run((struct sparse){ .p = p, .through = true, .same_stage = same_stage,
				    .e = e ? e : &local }, count);
}
