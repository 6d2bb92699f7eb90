/* SPDX-License-Identifier: Apache-2.0
 *
 * Aggregates of content in a head: count(*), and expressions around them, sum(w) / count(*),
 * which are computed of the columns that the stage `agg` gives.
 */
#include "lowering.h"

#include "../expr/content.h"

#include <string.h>

bool rn_is_content_agg(const struct rn_term *t)
{
	return t->kind == RN_T_CALL && t->arg[0]->kind == RN_T_NAME && rn_cexpr_is_aggregate(t->arg[0]->str);
}

/* The first aggregate in t, or NULL. */
static const struct rn_term *find_agg(const struct rn_term *t)
{
	const struct rn_term *found = rn_is_content_agg(t) ? t : NULL;

	for (uint32_t i = 0; i < t->n && !found && t->kind != RN_T_NAME; i++)
		found = find_agg(t->arg[i]);
	return found;
}

uint32_t rn_count_content_aggs(const struct rn_term *t)
{
	uint32_t n = 0;

	if (rn_is_content_agg(t))
		return 1;
	for (uint32_t i = 0; i < t->n && t->kind != RN_T_NAME; i++)
		n += rn_count_content_aggs(t->arg[i]);
	return n;
}

int rn_check_content_agg(struct rn_lowering *l, const struct rn_term *agg)
{
	for (uint32_t i = 1; i < agg->n; i++) {
		const struct rn_term *inner = find_agg(agg->arg[i]);

		if (inner)
			return rn_diag_error(l->d, inner->at, inner->end, "an aggregate within another one: compute it in "
					     "a rule of its own");
	}
	return 0;
}

static int column(struct rn_attr_split *s, const struct rn_term *t, const char *name, struct rn_term **out)
{
	*out = rn_lowering_alloc(s->l, sizeof **out);
	if (!*out || !name)
		return rn_lowering_nomem(s->l);
	**out = (struct rn_term){ .kind = RN_T_NAME, .str = name, .at = t->at, .end = t->end };
	return 0;
}

int rn_split_attr(struct rn_attr_split *s, const struct rn_term *t, struct rn_term **out)
{
	if (rn_is_content_agg(t)) {
		RN_TRY(rn_check_content_agg(s->l, t));
		return column(s, t, s->agg(s->arg, t), out);
	}
	if (t->kind == RN_T_NAME) {
		for (uint32_t i = 0; i < s->nby; i++)
			if (s->by[i]->kind == RN_T_NAME && !strcmp(s->by[i]->str, t->str))
				return column(s, t, s->names[i], out);
		return rn_diag_error(s->l->d, t->at, t->end, "'%s' stands outside the aggregates and is no attribute of "
				     "the head: a group has several of it", t->str);
	}
	*out = (struct rn_term *)(uintptr_t)t;
	if (!t->n)
		return 0;
	*out = rn_lowering_alloc(s->l, sizeof **out);
	if (!*out)
		return rn_lowering_nomem(s->l);
	**out = *t;
	(*out)->arg = rn_lowering_alloc(s->l, t->n * sizeof(struct rn_term *));
	if (!(*out)->arg)
		return rn_lowering_nomem(s->l);
	memcpy((*out)->arg, t->arg, t->n * sizeof *t->arg);
	for (uint32_t i = t->kind == RN_T_CALL; i < t->n; i++)
		RN_TRY(rn_split_attr(s, t->arg[i], &(*out)->arg[i]));
	return 0;
}
