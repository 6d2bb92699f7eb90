/* SPDX-License-Identifier: Apache-2.0
 *
 * Split: gemm(concat(gather(a, m), gather(b, n), c), W, b)
 *   -> gemm(gather(a, m), W_a) + gemm(gather(b, n), W_b) + gemm(c, W_c) + b
 *
 * where the tables that are gathered have fewer rows than the result: pass_hoist then moves
 * each product to them.  Rows of a parameter are copied, once in an epoch.  The last bits of
 * results change.
 */
#include "pass_util.h"

#include <stdlib.h>
#include <string.h>

struct split {
	struct rn_prog *p;
	struct rn_err *e;
	uint32_t *uses;
	uint32_t nuses;
	uint32_t count;
};

/* Rows on which the product of an input could be computed. */
static uint32_t rows_behind(const struct rn_prog *p, uint32_t val)
{
	const struct rn_inst *g = rn_pass_maker(p, val, RN_P_GATHER);

	return g ? p->vals[g->in[0].val].rows : p->vals[val].rows;
}

/* Inputs that stay together are those that are no gathers: parts[k] is the part of input k. */
static uint32_t find_parts(const struct rn_prog *p, const struct rn_inst *c, uint32_t *part)
{
	uint32_t n = 0, rest = RN_NONE, rows = p->vals[c->out].rows;
	double now = 0, then = 0;

	for (uint32_t k = 0; k < c->nin; k++) {
		uint32_t from = rows_behind(p, c->in[k].val), width = p->vals[c->in[k].val].width;

		now += (double)rows * width;
		then += (double)from * width;
		if (from < rows)
			part[k] = n++;
		else if (rest == RN_NONE)
			part[k] = rest = n++;
		else
			part[k] = rest;
	}
	return then < 0.7 * now ? n : 1;
}

/* The rows of W that belong to the inputs of a part, as a matrix. */
static int slice(struct split *s, const struct rn_inst *c, const uint32_t *part, uint32_t which,
		 uint32_t w, uint32_t *out)
{
	uint32_t m = s->p->vals[w].dim[1], from = 0, at = 0, *map, dim[2];
	int rc = 0;

	RN_TRY(rn_calloc(s->p->vals[w].width, sizeof *map, "a feature map", &map, s->e));
	for (uint32_t k = 0; k < c->nin; k++) {
		uint32_t n = s->p->vals[c->in[k].val].width * m;

		for (uint32_t f = 0; f < n && part[k] == which; f++)
			map[at++] = from + f;
		from += n;
	}
	dim[0] = at / m;
	dim[1] = m;
	*out = rn_prog_features(s->p, w, map, 2, dim, s->e);
	if (*out == RN_NONE)
		rc = s->e->code;
	free(map);
	return rc;
}

static int product(struct split *s, const struct rn_inst *c, const uint32_t *part, uint32_t which,
		   uint32_t w, uint32_t *out)
{
	uint32_t in[RN_MAX_IN], n = 0, x;

	for (uint32_t k = 0; k < c->nin; k++)
		if (part[k] == which)
			in[n++] = c->in[k].val;
	RN_TRY(slice(s, c, part, which, w, &w));
	x = rn_prog_concat(s->p, in, n, s->e);
	if (x == RN_NONE)
		return s->e->code;
	*out = rn_prog_gemm(s->p, x, w, RN_NONE, false, s->e);
	return *out == RN_NONE ? s->e->code : 0;
}

/* The sum of the products (at least two numbers), the last addition as an instruction. */
static int sum_up(struct split *s, const uint32_t *y, uint32_t n, const struct rn_val *shape,
		  struct rn_inst *out)
{
	uint32_t sum = y[0];

	for (uint32_t k = 1; k < n; k++) {
		*out = rn_inst_init(RN_P_EW);
		out->fn = RN_EW_ADD;
		out->nin = 2;
		out->in[0].val = sum;
		out->in[1].val = y[k];
		if (k + 1 == n)
			return 0;
		sum = rn_prog_add(s->p, out, shape->rows, shape->rank, shape->dim, s->e);
		if (sum == RN_NONE)
			return s->e->code;
	}
	return 0;
}

static int split(struct split *s, struct rn_inst *i)
{
	const struct rn_inst *made = rn_pass_maker(s->p, i->in[0].val, RN_P_CONCAT);
	struct rn_val shape = s->p->vals[i->out];
	uint32_t part[RN_MAX_IN], y[RN_MAX_IN + 1], n;
	struct rn_inst c, sum;

	if (!made || i->flags & RN_F_TRANS || shape.rows <= 1 || s->p->vals[i->in[1].val].rank != 2 ||
	    s->p->vals[i->in[0].val].keep ||
	    (i->in[0].val < s->nuses && s->uses[i->in[0].val] > 1))
		return 0;
	c = *made;
	n = find_parts(s->p, &c, part);
	if (n < 2)
		return 0;
	for (uint32_t k = 0; k < n; k++)
		RN_TRY(product(s, &c, part, k, i->in[1].val, &y[k]));
	if (i->nin > 2 && i->in[2].val != RN_NONE)
		y[n++] = i->in[2].val;
	RN_TRY(sum_up(s, y, n, &shape, &sum));
	sum.out = i->out;
	sum.stage = i->stage;
	*i = sum;
	s->count++;
	return 0;
}

static int visit(void *arg, struct rn_inst i)
{
	struct split *s = arg;
	if (i.op == RN_P_GEMM)
		RN_TRY(split(s, &i));
	return rn_pass_append(s->p, &i, s->e);
}

int rn_pass_split(struct rn_prog *p, uint32_t *count, struct rn_err *e)
{
	struct rn_err local;
	struct split s = { .p = p, .e = e ? e : &local, .nuses = p->nvals };
	int rc;

	RN_TRY(rn_pass_uses(p, &s.uses, s.e));
	rc = rn_pass_visit(p, visit, &s, s.e);
	*count += s.count;
	free(s.uses);
	return rc;
}
