/* SPDX-License-Identifier: Apache-2.0
 *
 * Liveness, use counts and the removal of dead instructions.
 */
#include "pass_util.h"

#include "../rel/rel.h"

#include <stdlib.h>
#include <string.h>

int rn_pass_live(const struct rn_prog *p, const uint32_t *also, size_t n, bool **live,
		 struct rn_err *e)
{
	bool *x;

	RN_TRY(rn_calloc(p->nvals, sizeof *x, "liveness", &x, e));
	for (uint32_t v = 0; v < p->nvals; v++)
		x[v] = p->vals[v].keep;
	for (size_t k = 0; k < n; k++)
		x[also[k]] = true;
	for (uint32_t j = p->ninsts; j-- > 0;) {
		const struct rn_inst *i = &p->insts[j];

		if (!rn_pass_present(p, j) || (!rn_pass_is_step(i) && !x[i->out]))
			continue;
		for (uint32_t k = 0; k < i->nin; k++)
			if (i->in[k].val != RN_NONE)
				x[i->in[k].val] = true;
	}
	*live = x;
	return 0;
}

int rn_pass_bury(struct rn_prog *p, const bool *live, struct rn_err *e)
{
	struct rn_buf *nothing = NULL;
	uint32_t n = 0;

	for (uint32_t v = 0; v < p->nvals; v++) {
		struct rn_val *x = &p->vals[v];

		if (live[v] || (x->kind != RN_V_INST && x->kind != RN_V_CONST))
			continue;
		if (!nothing)
			RN_TRY(rn_buf_new(0, "a dead value", &nothing, e));
		rn_buf_unref(x->data);
		x->data = rn_buf_ref(nothing);
		x->kind = RN_V_CONST;
		x->rows = 0;
		x->inst = RN_NONE;
		x->diff = x->random = false;
	}
	rn_buf_unref(nothing);
	for (uint32_t j = 0; j < p->ninsts; j++) {
		bool there = rn_pass_present(p, j);

		p->insts[n] = p->insts[j];
		if (there && !rn_pass_is_step(&p->insts[n]))
			p->vals[p->insts[n].out].inst = n;
		n += there;
	}
	p->ninsts = n;
	return 0;
}

static int by_address(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t)*(struct rn_buf *const *)a, y = (uintptr_t)*(struct rn_buf *const *)b;

	return (x > y) - (x < y);
}

/* The bytes of buffers, each once. */
static uint64_t sum_once(const struct rn_buf **list, size_t n)
{
	uint64_t sum = 0;

	if (n > 1)
		qsort(list, n, sizeof *list, by_address);
	for (size_t k = 0; k < n; k++)
		sum += k && list[k] == list[k - 1] ? 0 : list[k]->size;
	return sum;
}

int rn_progs_fixed(const struct rn_prog *const *p, size_t n, struct rn_prog_fixed *out,
		   struct rn_err *e)
{
	const struct rn_buf **list;
	size_t most = 0, k = 0;

	*out = (struct rn_prog_fixed){ 0 };
	for (size_t i = 0; i < n; i++)
		most += p[i]->nvals > p[i]->nidx ? p[i]->nvals : p[i]->nidx;
	RN_TRY(rn_calloc(most, sizeof *list, "a program's size", &list, e));
	for (size_t i = 0; i < n; i++)
		for (uint32_t v = 0; v < p[i]->nvals; v++) {
			const struct rn_val *x = &p[i]->vals[v];

			if (x->kind == RN_V_CONST)
				list[k++] = x->data;
			else if (x->kind != RN_V_INST)
				out->stored += (uint64_t)x->width * sizeof(float);
		}
	out->constants = sum_once(list, k);
	k = 0;
	for (size_t i = 0; i < n; i++)
		for (uint32_t x = 0; x < p[i]->nidx; x++)
			list[k++] = p[i]->idx[x].data;
	out->indices = sum_once(list, k);
	free(list);
	return 0;
}

int rn_prog_fixed(const struct rn_prog *p, struct rn_prog_fixed *out, struct rn_err *e)
{
	return rn_progs_fixed(&p, 1, out, e);
}

int rn_pass_uses(const struct rn_prog *p, uint32_t **uses, struct rn_err *e)
{
	RN_TRY(rn_calloc(p->nvals, sizeof **uses, "use counts", uses, e));
	for (uint32_t j = 0; j < p->ninsts; j++)
		for (uint32_t k = 0; k < p->insts[j].nin; k++)
			if (rn_pass_present(p, j) && p->insts[j].in[k].val != RN_NONE)
				(*uses)[p->insts[j].in[k].val]++;
	return 0;
}

bool rn_pass_has_no_row(const struct rn_prog *p, uint32_t idx)
{
	const uint32_t *x = rn_prog_idx_data(p, idx);

	for (uint32_t k = 0; x && k < p->idx[idx].n; k++)
		if (x[k] == RN_NO_ROW)
			return true;
	return false;
}

const struct rn_inst *rn_pass_maker(const struct rn_prog *p, uint32_t val, enum rn_prim op)
{
	const struct rn_val *v = val == RN_NONE ? NULL : &p->vals[val];
	const struct rn_inst *i = v && v->kind == RN_V_INST ? &p->insts[v->inst] : NULL;
	bool diff = false;

	for (uint32_t k = 0; i && k < i->nin; k++)
		diff |= i->in[k].val != RN_NONE && p->vals[i->in[k].val].diff;
	return i && i->op == op && diff == v->diff ? i : NULL;
}

int rn_pass_visit(struct rn_prog *p, int (*visit)(void *arg, struct rn_inst i), void *arg,
		  struct rn_err *e)
{
	uint32_t n, stage = p->stage;
	struct rn_inst *old;
	bool *live;
	int rc;

	RN_TRY(rn_calloc(p->nvals, sizeof *live, "rewriting", &live, e));
	memset(live, true, p->nvals * sizeof *live);
	rc = rn_pass_bury(p, live, e); /* no holes from here on */
	free(live);
	RN_TRY(rc);
	old = p->insts;
	n = p->ninsts;
	p->insts = NULL;
	p->cap_insts = 0;
	p->ninsts = 0;
	for (uint32_t j = 0; j < n && !rc; j++) {
		p->stage = old[j].stage;
		rc = visit(arg, old[j]);
	}
	p->stage = stage;
	free(old);
	return rc;
}

int rn_pass_append(struct rn_prog *p, const struct rn_inst *i, struct rn_err *e)
{
	RN_TRY(rn_grow(&p->insts, &p->cap_insts, (size_t)p->ninsts + 1, sizeof *i, "instructions",
		       e));
	if (!rn_pass_is_step(i))
		p->vals[i->out].inst = p->ninsts;
	p->insts[p->ninsts++] = *i;
	return 0;
}

void rn_pass_each_idx(struct rn_inst *i, void (*fn)(void *arg, uint32_t *idx), void *arg)
{
	for (uint32_t k = 0; k < i->nin; k++)
		fn(arg, &i->in[k].fmap), fn(arg, &i->in[k].rmap);
	for (unsigned k = 0; k < 3; k++)
		fn(arg, &i->idx[k]);
	fn(arg, &i->drop.row);
	fn(arg, &i->drop.col);
	for (uint32_t k = 0; k < i->elem.ndrops; k++) {
		fn(arg, &i->elem.drops[k].row);
		fn(arg, &i->elem.drops[k].col);
	}
}
