/* SPDX-License-Identifier: Apache-2.0
 *
 * How the segments of a stage on a device keep the order of the board (board.h).
 *
 * A device runs what it was told some time later, so a segment that has ended on the board may
 * still have to be computed.  Where a stage of the same device runs next, that one has the device
 * wait for it, by an event; the host goes on.  Where the next one is elsewhere, and where nothing
 * in the pass needs it, its own stage waits, so that a pass that is over has been computed
 * (and the coordinator never waits for work of a process that may be gone).  Without events
 * every segment is waited for.
 */
#ifndef RN_WAITS_H
#define RN_WAITS_H

#include "../dev/backend.h"
#include "board.h"
#include "link.h"

/* The stages as one of them sees them. */
struct rn_peers {
	struct rn_backend *backend; /* borrowed, as own */
	struct rn_event *own;       /* NULL: none */
	uint32_t part, n;
	struct rn_peer {
		uint32_t group;
		struct rn_event *event; /* of another of its group; NULL: none */
	} *items; /* NULL: all stages are the host's, where nothing is to be done */
};
/* For stage `part` of n, of what came: came[n].  *all: it has the events of all of its group, and
 * one of its own. */
RN_MUST_CHECK int rn_peers_init(struct rn_peers *p, struct rn_backend *b, struct rn_event *own,
				const struct rn_msg_peer *came, uint32_t part, uint32_t n,
				bool *all, struct rn_err *e);
void rn_peers_fini(struct rn_peers *p);

/* Of the segments of a program that are this stage's. */
struct rn_waits {
	uint32_t *first, *before; /* before[first[i] … first[i + 1] - 1]: stages that i waits for */
	bool *last;               /* [nsegments] it must have been computed when it ends */
};
RN_MUST_CHECK int rn_waits_make(const struct rn_peers *p, const struct rn_agenda *o,
				struct rn_waits *out, struct rn_err *e);
void rn_waits_fini(struct rn_waits *r);
/* Around the work of a segment.  *behind: it may still have to be computed. */
RN_MUST_CHECK int rn_wait_begin(const struct rn_peers *p, const struct rn_waits *r,
				 const struct rn_agenda *o, uint32_t segment, struct rn_err *e);
RN_MUST_CHECK int rn_wait_end(const struct rn_peers *p, const struct rn_waits *r,
			       const struct rn_agenda *o, uint32_t segment, bool *behind,
			       struct rn_err *e);

#endif
