/* SPDX-License-Identifier: Apache-2.0
 *
 * Who waits for whom on a device, and where: by a backend that only writes down what it is told.
 */
#include "t.h"

#include "../../lib/train/waits.h"

static struct rn_err err;
static char told[64]; /* "w2" waits for stage 2, "r" records, "s" waits on the host */
static bool taken[8]; /* events that can be taken */

static int event_take(struct rn_backend *b, const struct rn_handle *h, struct rn_event **out,
		      struct rn_err *e)
{
	static char events[8]; /* their addresses alone are of use */

	(void)b;
	if (!taken[h->bytes[0]])
		return rn_err_set(e, RN_EDEV, "no such event");
	*out = (struct rn_event *)(void *)&events[h->bytes[0]];
	return 0;
}

static struct rn_event *event_of(struct rn_backend *b, uint8_t stage)
{
	struct rn_handle h = { .bytes = { stage } };
	struct rn_event *ev = NULL;

	T_CALL(event_take(b, &h, &ev, &err), &err);
	return ev;
}

static int event_record(struct rn_backend *b, struct rn_event *ev, struct rn_err *e)
{
	(void)b, (void)ev, (void)e;
	strcat(told, "r");
	return 0;
}

static int event_wait(struct rn_backend *b, struct rn_event *ev, struct rn_err *e)
{
	char text[4] = "w?";

	(void)e;
	for (uint8_t q = 0; q < 8; q++)
		if (taken[q] && event_of(b, q) == ev)
			text[1] = (char)('0' + q);
	strcat(told, text);
	return 0;
}

static void event_free(struct rn_backend *b, struct rn_event *ev)
{
	(void)b, (void)ev;
}

static int wait_on_host(struct rn_backend *b, struct rn_err *e)
{
	(void)b, (void)e;
	strcat(told, "s");
	return 0;
}

static struct rn_backend device = { .name = "cuda:0", .event_take = event_take,
				    .event_record = event_record, .event_wait = event_wait,
				    .event_free = event_free, .sync = wait_on_host };

/* Segment 0 of stage 0, then 1 of stage 1 and 2 of stage 2, then 3 of stage 3, which also needs 0,
 * then 4 of stage 1. */
static struct rn_agenda *make_agenda(void)
{
	static const uint32_t parts[] = { 0, 1, 2, 3, 1 };
	static const uint32_t edges[][2] = { { 0, 1 }, { 0, 2 }, { 0, 3 }, { 1, 3 },
					     { 2, 3 }, { 3, 4 }, { 1, 4 } };
	const uint32_t n = 5, nnext = sizeof edges / sizeof edges[0];
	struct rn_agenda *o = calloc(1, rn_agenda_size(n, nnext));
	uint32_t at = 0;

	o->nsegments = n;
	o->nnext = nnext;
	for (uint32_t i = 0; i < n; i++) {
		o->segments[i].part = parts[i];
		o->segments[i].first = at;
		for (uint32_t k = 0; k < nnext; k++)
			if (edges[k][0] == i)
				rn_agenda_next(o)[at++] = edges[k][1];
		o->segments[i].nnext = at - o->segments[i].first;
	}
	return o;
}

/* What stage `part` tells the device around the segment, stages 0 … 3 being of these groups. */
static const char *around(uint32_t part, uint32_t segment, const char *groups, bool events)
{
	struct rn_agenda *o = make_agenda();
	struct rn_msg_peer peers[4];
	struct rn_waits waits;
	struct rn_peers p;
	bool all, behind = false;

	memset(peers, 0, sizeof peers);
	for (uint8_t q = 0; q < 4; q++) {
		peers[q].group = (uint32_t)groups[q];
		peers[q].has_event = 1;
		peers[q].event.bytes[0] = q;
		taken[q] = true;
	}
	T_CALL(rn_peers_init(&p, &device, event_of(&device, (uint8_t)part), peers, part, 4, &all,
			     &err), &err);
	T_OK(all, "all events of its group are there");
	T_CALL(rn_waits_make(&p, o, &waits, &err), &err);
	atomic_store(&o->events, events);
	*told = '\0';
	T_CALL(rn_wait_begin(&p, &waits, o, segment, &err), &err);
	strcat(told, ".");
	T_CALL(rn_wait_end(&p, &waits, o, segment, &behind, &err), &err);
	strcat(told, behind ? "..." : "");
	rn_waits_fini(&waits);
	rn_peers_fini(&p);
	free(o);
	return told;
}

#define T_TELLS(part, segment, groups, events, want)                                        \
	T_OK(!strcmp(around(part, segment, groups, events), want),                          \
	     "segment %d of stage %d, groups %s, %s: %s is told %s", segment, part, groups,     \
	     events ? "with events" : "without", want, told)

static void test_around(void)
{
	/* All on one device: nobody but the last waits on the host. */
	T_TELLS(0, 0, "aaaa", true, ".r...");
	T_TELLS(1, 1, "aaaa", true, "w0.r...");
	T_TELLS(2, 2, "aaaa", true, "w0.r...");
	T_TELLS(3, 3, "aaaa", true, "w0w1w2.r...");
	T_TELLS(1, 4, "aaaa", true, "w3.rs");
	/* Stage 2 is elsewhere: what it reads must have been computed, and what it makes is. */
	T_TELLS(0, 0, "aaba", true, ".rs");
	T_TELLS(1, 1, "aaba", true, "w0.r...");
	T_TELLS(3, 3, "aaba", true, "w0w1.r...");
	T_TELLS(2, 2, "aaba", true, ".rs");
	for (int q = 0; q < 4; q++)
		T_TELLS(q, q, "aaaa", false, ".s");
}

static void test_missing(void)
{
	struct rn_msg_peer peers[2] = { { .has_event = 1 }, { .has_event = 1 } };
	struct rn_backend host = { .host = true };
	struct rn_peers p;
	bool all = true;

	peers[1].event.bytes[0] = 1;
	taken[0] = true;
	taken[1] = false;
	T_CALL(rn_peers_init(&p, &device, event_of(&device, 0), peers, 0, 2, &all, &err), &err);
	T_OK(!all, "an event that cannot be taken");
	rn_peers_fini(&p);
	taken[1] = true;
	T_CALL(rn_peers_init(&p, &device, NULL, peers, 0, 2, &all, &err), &err);
	T_OK(!all, "no event of its own");
	rn_peers_fini(&p);
	peers[1].has_event = 0;
	T_CALL(rn_peers_init(&p, &device, event_of(&device, 0), peers, 0, 2, &all, &err), &err);
	T_OK(!all, "an event that was not made");
	rn_peers_fini(&p);
	peers[1].group = 1;
	T_CALL(rn_peers_init(&p, &device, event_of(&device, 0), peers, 0, 2, &all, &err), &err);
	T_OK(all, "that of another device is not wanted");
	rn_peers_fini(&p);
	T_CALL(rn_peers_init(&p, &host, NULL, peers, 0, 2, &all, &err), &err);
	T_OK(all && !p.items, "on the host there is nothing to wait for");
	rn_peers_fini(&p);
}

int main(void)
{
	test_around();
	test_missing();
	return t_done();
}
