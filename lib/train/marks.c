/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs happen in the order written: an eval or a pred run that stands before a fit sees the
 * parameters as they are there.  A metric is computed at once.  A prediction is written at the
 * end, when it is known which repetition is kept, so its parameters are kept until then.
 */
#include "session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

uint32_t rn_fits_before(const struct rn_plan *p, const struct rn_run *r)
{
	uint32_t n = 0;

	for (const struct rn_run *q = p->runs; q < r; q++)
		n += q->kind == RN_RUN_FIT;
	return n;
}

static bool is_wanted(const struct rn_session *s, uint32_t fits)
{
	const struct rn_plan *p = s->plan;

	for (uint32_t i = 0; i < p->nruns; i++)
		if (p->runs[i].kind == RN_RUN_PRED && rn_fits_before(p, &p->runs[i]) == fits)
			return true;
	for (uint32_t i = 0; i < p->nnodes; i++) {
		const struct rn_node *n = &p->nodes[i];

		if ((n->op->flags & RN_OP_LATE) && json_object_get(n->opt, "fits") &&
		    rn_node_int(n, "fits") == fits)
			return true;
	}
	return false;
}

uint32_t rn_marks_copies(const struct rn_session *s)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->nfits; i++)
		n += is_wanted(s, i) ? 1 + (s->runs > 1) : 0;
	return n;
}

int rn_marks_new(struct rn_session *s, struct rn_err *e)
{
	struct rn_marks *m = &s->state.marks;
	size_t n = rn_params_count(&s->params);

	if (m->now)
		return 0;
	RN_TRY(rn_calloc(s->nfits, sizeof *m->now, "parameters between fits", &m->now, e));
	RN_TRY(rn_calloc(s->nfits, sizeof *m->chosen, "parameters between fits", &m->chosen, e));
	RN_TRY(rn_calloc(s->nevals, sizeof *m->evals, "metrics", &m->evals, e));
	for (uint32_t i = 0; i < s->nevals; i++)
		m->evals[i] = NAN;
	for (uint32_t i = 0; i < s->nfits; i++) {
		if (!is_wanted(s, i))
			continue;
		RN_TRY(rn_calloc(n, sizeof **m->now, "parameters between fits", &m->now[i], e));
		if (s->runs > 1)
			RN_TRY(rn_calloc(n, sizeof **m->chosen, "parameters between fits", &m->chosen[i], e));
	}
	return 0;
}

void rn_marks_free(struct rn_session *s)
{
	struct rn_marks *m = &s->state.marks;

	for (uint32_t i = 0; m->now && m->chosen && i < s->nfits; i++) {
		free(m->now[i]);
		free(m->chosen[i]);
	}
	free(m->now);
	free(m->chosen);
	free(m->evals);
}

int rn_marks_reach(struct rn_session *s, uint32_t fits, struct rn_err *e)
{
	struct rn_marks *m = &s->state.marks;
	float *flat = fits < s->nfits ? m->now[fits] : NULL;

	for (uint32_t i = 0; flat && i < s->params.n; i++) {
		memcpy(flat, s->params.items[i].value, s->params.items[i].count * sizeof *flat);
		flat += s->params.items[i].count;
	}
	for (uint32_t i = 0, k = 0; i < s->plan->nruns; i++) {
		const struct rn_run *r = &s->plan->runs[i];
		struct rn_score *v = &s->evals[k];
		const char *why;
		int rc;

		if (r->kind != RN_RUN_EVAL)
			continue;
		k++;
		if (rn_fits_before(s->plan, r) != fits)
			continue;
		rn_budget_reserve(s);
		rc = rn_score_run(v, s->backend, s->store, &m->evals[k - 1], &why, e);
		if (rc)
			return rn_score_explain(v, "eval", rc, s->binding, s->backend, e);
		if (isnan(m->evals[k - 1]))
			rn_log(&s->ctx, RN_LOG_WARN, "eval of '%s': %s is not defined: %s", v->node,
			       v->metric_name, why);
	}
	return 0;
}

void rn_marks_choose(struct rn_session *s)
{
	struct rn_marks *m = &s->state.marks;

	for (uint32_t i = 0; i < s->nfits; i++)
		if (m->chosen[i])
			memcpy(m->chosen[i], m->now[i], rn_params_count(&s->params) * sizeof **m->now);
}

void rn_marks_swap(struct rn_session *s, uint32_t fits)
{
	struct rn_marks *m = &s->state.marks;
	float *flat = fits >= s->nfits ? NULL : s->runs > 1 ? m->chosen[fits] : m->now[fits];

	for (uint32_t i = 0; flat && i < s->params.n; i++)
		for (size_t k = 0; k < s->params.items[i].count; k++, flat++) {
			float x = *flat;

			*flat = s->params.items[i].value[k];
			s->params.items[i].value[k] = x;
		}
}
