/* SPDX-License-Identifier: Apache-2.0
 *
 * Sweep: remove what nothing needs, and number what is left without gaps, in
 * the order in which it stood.
 */
#include "pass_util.h"

#include <stdlib.h>
#include <string.h>

struct sweep {
	uint32_t *val, *idx; /* old number -> new, or RN_NONE */
};

static void mark_idx(void *arg, uint32_t *idx)
{
	struct sweep *s = arg;

	if (*idx != RN_NONE)
		s->idx[*idx] = 0;
}

static void move_idx(void *arg, uint32_t *idx)
{
	struct sweep *s = arg;

	if (*idx != RN_NONE)
		*idx = s->idx[*idx];
}

static void renumber_idx(struct rn_prog *p, struct sweep *s)
{
	uint32_t n = 0;

	memset(s->idx, 0xFF, p->nidx * sizeof *s->idx);
	for (uint32_t j = 0; j < p->ninsts; j++)
		rn_pass_each_idx(&p->insts[j], mark_idx, s);
	for (uint32_t i = 0; i < p->nidx; i++) {
		if (s->idx[i] == RN_NONE) {
			rn_buf_unref(p->idx[i].data);
			continue;
		}
		s->idx[i] = n;
		p->idx[n++] = p->idx[i];
	}
	p->nidx = n;
	for (uint32_t j = 0; j < p->ninsts; j++)
		rn_pass_each_idx(&p->insts[j], move_idx, s);
}

static void renumber_vals(struct rn_prog *p, struct sweep *s, const bool *live)
{
	uint32_t n = 0;

	for (uint32_t v = 0; v < p->nvals; v++) {
		s->val[v] = RN_NONE;
		if (!live[v]) {
			rn_buf_unref(p->vals[v].data);
			continue;
		}
		s->val[v] = n;
		p->vals[n++] = p->vals[v];
	}
	p->nvals = n;
	for (uint32_t j = 0; j < p->ninsts; j++) {
		struct rn_inst *i = &p->insts[j];

		i->out = s->val[i->out];
		for (uint32_t k = 0; k < i->nin; k++)
			if (i->in[k].val != RN_NONE)
				i->in[k].val = s->val[i->in[k].val];
	}
}

int rn_pass_sweep(struct rn_prog *p, uint32_t *const *live, size_t n, struct rn_err *e)
{
	struct sweep s = { 0 };
	uint32_t *also = NULL;
	bool *alive = NULL;
	int rc;

	RN_TRY(rn_calloc(n, sizeof *also, "a sweep", &also, e));
	for (size_t k = 0; k < n; k++)
		also[k] = *live[k];
	RN_GOTO(out, rn_calloc(p->nvals, sizeof *s.val, "a sweep", &s.val, e));
	RN_GOTO(out, rn_calloc(p->nidx, sizeof *s.idx, "a sweep", &s.idx, e));
	RN_GOTO(out, rn_pass_live(p, also, n, &alive, e));
	RN_GOTO(out, rn_pass_bury(p, alive, e));
	renumber_idx(p, &s);
	renumber_vals(p, &s, alive);
	for (size_t k = 0; k < n; k++)
		*live[k] = s.val[*live[k]];
out:
	free(alive);
	free(s.idx);
	free(s.val);
	free(also);
	return rc;
}
