/* SPDX-License-Identifier: Apache-2.0
 *
 * Hoist: f(gather(x, m)) -> gather(f(x), m) for everything that works row by row,
 * where x has fewer rows than the map.  A linear layer in a rule over edges is
 * so computed once per node, and what then reads the gather (a segment sum, a
 * dot product) reads through it.  Equal results of this are computed once.
 * Missing rows are 0 behind a gather, so where there are some, f(0) must be 0.
 */
#include "pass_util.h"

#include "../rel/rel.h"

#include <stdlib.h>
#include <string.h>

struct hoist {
	struct rn_prog *p;
	struct rn_err *e;
	uint32_t *made; /* values that were hoisted */
	size_t nmade, cap_made;
	uint32_t count; /* instructions that moved */
};

/* The gather that makes operand `val`, or NULL. */
static const struct rn_inst *gather_of(const struct rn_prog *p, uint32_t val)
{
	const struct rn_val *v = &p->vals[val];
	const struct rn_inst *i = v->kind == RN_V_INST ? &p->insts[v->inst] : NULL;

	return i && i->op == RN_P_GATHER && p->vals[i->in[0].val].diff == v->diff ? i : NULL;
}

static bool is_rowwise(const struct rn_inst *i)
{
	switch (i->op) {
	case RN_P_EW:
		return i->fn != RN_EW_DROPMASK && i->fn != RN_EW_IMM;
	case RN_P_GEMM:
	case RN_P_MATMUL:
	case RN_P_FSUM:
	case RN_P_FMAX:
	case RN_P_ARGMAX:
	case RN_P_CONCAT:
	case RN_P_VIEW:
		return true;
	default:
		return false;
	}
}

/* Is the result 0 in a row whose operands (those behind the gather) are 0? */
static bool keeps_zero(const struct rn_prog *p, const struct rn_inst *i)
{
	uint32_t rows = p->vals[i->out].rows;
	bool all = true;

	for (uint32_t k = 0; k < i->nin; k++)
		all = all && i->in[k].val != RN_NONE && p->vals[i->in[k].val].rows == rows;
	switch (i->op) {
	case RN_P_EW:
		return rn_ew_info[i->fn].zero_keeping || i->fn == RN_EW_NEG ||
		       (all && (i->fn == RN_EW_ADD || i->fn == RN_EW_SUB || i->fn == RN_EW_MUL));
	case RN_P_GEMM:
		return i->nin < 3 || i->in[2].val == RN_NONE;
	case RN_P_CONCAT:
		return all;
	case RN_P_MATMUL:
	case RN_P_FSUM:
	case RN_P_VIEW:
		return true;
	default:
		return false;
	}
}

/* All operands with rows are gathers by one map, of values of equally many rows: replace
 * them by what is gathered. */
static bool look_through(const struct rn_prog *p, struct rn_inst *i, uint32_t *map, uint32_t *src)
{
	uint32_t rows = p->vals[i->out].rows;

	*map = RN_NONE;
	if (rows <= 1 || !is_rowwise(i))
		return false;
	for (uint32_t k = 0; k < i->nin; k++) {
		const struct rn_inst *g;

		if (i->in[k].val == RN_NONE)
			continue;
		if (p->vals[i->in[k].val].rows != rows) {
			if (p->vals[i->in[k].val].rows != 1)
				return false; /* a view of other rows */
			continue;
		}
		g = gather_of(p, i->in[k].val);
		if (!g || (*map != RN_NONE && (g->idx[0] != *map ||
					       p->vals[g->in[0].val].rows != *src)))
			return false;
		*map = g->idx[0];
		*src = p->vals[g->in[0].val].rows;
		i->in[k].val = g->in[0].val;
	}
	return *map != RN_NONE;
}

static bool same_inst(const struct rn_inst *a, const struct rn_inst *b)
{
	for (uint32_t k = 0; k < a->nin && a->nin == b->nin; k++)
		if (a->in[k].val != b->in[k].val || a->in[k].fmap != b->in[k].fmap ||
		    a->in[k].rmap != b->in[k].rmap)
			return false;
	return a->nin == b->nin && a->op == b->op && a->fn == b->fn && a->flags == b->flags &&
	       !memcmp(a->idx, b->idx, sizeof a->idx);
}

/* The value of instruction `i` over `rows` rows: made before, or now. */
static int compute(struct hoist *h, const struct rn_inst *i, const struct rn_val *shape,
		   uint32_t rows, uint32_t *out)
{
	struct rn_prog *p = h->p;

	for (size_t k = 0; k < h->nmade; k++) {
		const struct rn_val *v = &p->vals[h->made[k]];

		if (same_inst(&p->insts[v->inst], i) && v->rank == shape->rank &&
		    !memcmp(v->dim, shape->dim, shape->rank * sizeof *shape->dim)) {
			*out = h->made[k];
			return 0;
		}
	}
	RN_TRY(rn_grow(&h->made, &h->cap_made, h->nmade + 1, sizeof *h->made, "values", h->e));
	*out = rn_prog_add(p, i, rows, shape->rank, shape->dim, h->e);
	if (*out == RN_NONE)
		return h->e->code;
	h->made[h->nmade++] = *out;
	return 0;
}

static int visit(void *arg, struct rn_inst i)
{
	struct hoist *h = arg;
	struct rn_prog *p = h->p;
	struct rn_inst f = i;
	uint32_t map, src = 0, v;
	bool diff = false;

	for (uint32_t k = 0; k < i.nin; k++)
		diff |= i.in[k].val != RN_NONE && p->vals[i.in[k].val].diff;
	if (!rn_pass_is_step(&i) && p->vals[i.out].diff == diff &&
	    look_through(p, &f, &map, &src) && src < p->vals[i.out].rows &&
	    (keeps_zero(p, &i) || !rn_pass_has_no_row(p, map))) {
		struct rn_val shape = p->vals[i.out];

		RN_TRY(compute(h, &f, &shape, src, &v));
		h->count++;
		f = rn_inst_init(RN_P_GATHER);
		f.stage = i.stage;
		f.out = i.out;
		f.nin = 1;
		f.in[0].val = v;
		f.idx[0] = map;
		i = f;
	}
	return rn_pass_append(p, &i, h->e);
}

int rn_pass_hoist(struct rn_prog *p, uint32_t *count, struct rn_err *e)
{
	struct hoist h = { .p = p, .e = e };
	int rc = rn_pass_visit(p, visit, &h, e);

	*count += h.count;
	free(h.made);
	return rc;
}
