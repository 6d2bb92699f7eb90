/* SPDX-License-Identifier: Apache-2.0 */
#include "lanes.h"

void rn_lanes_init(struct rn_lanes *l, struct rn_team *team, bool helper)
{
	uint32_t threads = rn_team_threads(team);

	*l = (struct rn_lanes){
		.team = team,
		.n = threads < RN_MAX_LANES ? threads : RN_MAX_LANES,
	};
	if (threads > 1 || !helper)
		return;
	/* Without memory for it the work is done all the same. */
	if (rn_team_new(2, &l->own, NULL))
		return;
	l->team = l->own;
	l->n = 2;
	l->helper = true;
}

void rn_lanes_fini(struct rn_lanes *l)
{
	rn_team_free(l->own);
	*l = (struct rn_lanes){ 0 };
}

/* The next step, if nobody is at one and there is one left. */
static bool io_step(struct rn_turn *t)
{
	bool did;

	if (atomic_exchange(&t->io_busy, true))
		return false;
	did = t->io_next < t->nio;
	if (did)
		t->io(t->arg, t->io_next++);
	atomic_store(&t->io_busy, false);
	return did;
}

static void lane(void *arg, uint32_t number)
{
	struct rn_turn *t = arg;
	bool io = !t->helper || number, items = !t->helper || !number;
	size_t i;

	for (size_t k = 0; io && k < t->io_share && io_step(t); k++)
		;
	while (items && (i = atomic_fetch_add(&t->next, 1)) < t->n)
		t->item(t->arg, i, number);
	while (io_step(t)) /* the helper may have come late, or not at all */
		;
}

void rn_lanes_run(const struct rn_lanes *l, struct rn_turn *t)
{
	atomic_init(&t->next, 0);
	atomic_init(&t->io_busy, false);
	t->io_next = 0;
	t->helper = l->helper;
	t->io_share = l->helper ? t->nio : (t->nio + l->n - 1) / l->n;
	if (l->helper && (!t->nio || !t->n))
		lane(t, 0); /* nothing to do side by side: wake nobody */
	else if (l->helper)
		rn_team_run(l->team, l->n, lane, t); /* it is done long before: let it sleep */
	else
		rn_team_run_long(l->team, l->n, lane, t);
}
