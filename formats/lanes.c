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

size_t rn_lanes_depth(const struct rn_lanes *l)
{
	return l->helper ? 2 : l->n > 1 ? 2 * (size_t)l->n : 1;
}

static void do_io(struct rn_turn *t)
{
	if (t->io && !atomic_exchange(&t->io_taken, true))
		t->io(t->arg);
}

static void lane(void *arg, uint32_t number)
{
	struct rn_turn *t = arg;
	size_t i;

	if (!t->helper || number)
		do_io(t);
	if (t->helper && number)
		return;
	while ((i = atomic_fetch_add(&t->next, 1)) < t->n)
		t->item(t->arg, i, number);
	do_io(t); /* the helper may have come late, or not at all */
}

void rn_lanes_run(const struct rn_lanes *l, struct rn_turn *t)
{
	atomic_init(&t->next, 0);
	atomic_init(&t->io_taken, false);
	t->helper = l->helper;
	if (l->helper && (!t->io || !t->n))
		lane(t, 0); /* nothing to do side by side: wake nobody */
	else
		rn_team_run(l->team, l->n, lane, t);
}
