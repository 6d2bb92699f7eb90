/* SPDX-License-Identifier: Apache-2.0 */
#include "waits.h"

#include <stdlib.h>
#include <string.h>

static bool is_near(const struct rn_peers *p, uint32_t part)
{
	return p->items[part].group == p->items[p->part].group;
}

int rn_peers_init(struct rn_peers *p, struct rn_backend *b, struct rn_event *own,
		  const struct rn_msg_peer *came, uint32_t part, uint32_t n, bool *all,
		  struct rn_err *e)
{
	*p = (struct rn_peers){ .backend = b, .own = own, .part = part, .n = n };
	*all = true;
	if (b->host)
		return 0;
	RN_TRY(rn_calloc(n, sizeof *p->items, "stages", &p->items, e));
	for (uint32_t q = 0; q < n; q++)
		p->items[q].group = came[q].group;
	for (uint32_t q = 0; q < n; q++) {
		struct rn_event **ev = &p->items[q].event;

		if (q != part && is_near(p, q) &&
		    (!came[q].has_event || b->event_take(b, &came[q].event, ev, NULL)))
			*all = false;
	}
	*all = *all && own;
	return 0;
}

void rn_peers_fini(struct rn_peers *p)
{
	for (uint32_t q = 0; p->items && q < p->n; q++)
		if (p->items[q].event)
			p->backend->event_free(p->backend, p->items[q].event);
	free(p->items);
	memset(p, 0, sizeof *p);
}

/* Is segment `to` of this stage, and `from` of another one of its device? */
static bool waits(const struct rn_peers *p, const struct rn_agenda *o, uint32_t from, uint32_t to)
{
	uint32_t part = o->segments[from].part;

	return o->segments[to].part == p->part && part != p->part && is_near(p, part);
}

/* Must what comes after segment i not begin before it was computed? */
static bool is_last(const struct rn_peers *p, const struct rn_agenda *o, uint32_t i)
{
	const struct rn_segment *g = &o->segments[i];

	for (uint32_t k = 0; k < g->nnext; k++)
		if (!is_near(p, o->segments[rn_agenda_next(o)[g->first + k]].part))
			return true;
	return !g->nnext;
}

int rn_waits_make(const struct rn_peers *p, const struct rn_agenda *o, struct rn_waits *out,
		  struct rn_err *e)
{
	const uint32_t *next = rn_agenda_next(o);

	memset(out, 0, sizeof *out);
	if (!p->items)
		return 0;
	RN_TRY(rn_calloc((size_t)o->nsegments + 2, sizeof *out->first, "stages", &out->first, e));
	RN_TRY(rn_calloc(o->nsegments, sizeof *out->last, "stages", &out->last, e));
	/* first[i + 2] counts; then first[i + 1] is where the next of i goes, at last its end. */
	for (uint32_t i = 0; i < o->nsegments; i++) {
		const struct rn_segment *g = &o->segments[i];

		out->last[i] = g->part == p->part && is_last(p, o, i);
		for (uint32_t k = g->first; k < g->first + g->nnext; k++)
			out->first[next[k] + 2] += waits(p, o, i, next[k]);
	}
	for (uint32_t i = 0; i < o->nsegments; i++)
		out->first[i + 2] += out->first[i + 1];
	RN_TRY(rn_calloc(out->first[o->nsegments + 1], sizeof *out->before, "stages", &out->before,
			 e));
	for (uint32_t i = 0; i < o->nsegments; i++) {
		const struct rn_segment *g = &o->segments[i];

		for (uint32_t k = g->first; k < g->first + g->nnext; k++)
			if (waits(p, o, i, next[k]))
				out->before[out->first[next[k] + 1]++] = g->part;
	}
	return 0;
}

void rn_waits_fini(struct rn_waits *r)
{
	free(r->first);
	free(r->before);
	free(r->last);
	memset(r, 0, sizeof *r);
}

int rn_wait_begin(const struct rn_peers *p, const struct rn_waits *r, const struct rn_agenda *o,
		   uint32_t segment, struct rn_err *e)
{
	if (!p->items || !atomic_load(&o->events))
		return 0;
	for (uint32_t k = r->first[segment]; k < r->first[segment + 1]; k++) {
		struct rn_event *ev = p->items[r->before[k]].event;

		if (ev)
			RN_TRY(p->backend->event_wait(p->backend, ev, e));
	}
	return 0;
}

int rn_wait_end(const struct rn_peers *p, const struct rn_waits *r, const struct rn_agenda *o,
		 uint32_t segment, bool *behind, struct rn_err *e)
{
	bool events = p->own && atomic_load(&o->events);

	if (!p->items)
		return 0;
	if (events)
		RN_TRY(p->backend->event_record(p->backend, p->own, e));
	*behind = events && !r->last[segment];
	return *behind ? 0 : p->backend->sync(p->backend, e);
}
