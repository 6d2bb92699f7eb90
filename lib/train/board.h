/* SPDX-License-Identifier: Apache-2.0
 *
 * Who runs what next, in memory that the coordinator and its stages share.
 *
 * A pass (forward; gradients and steps) is a graph of segments: instructions of one stage
 * that follow each other.  The coordinator begins it with the segments that need no other.
 * Whoever ends a segment hands out those that waited for it alone, straight to their
 * stages, which find their operands where they were computed; who ends the last one tells
 * the coordinator.  So a hand-over is one wake-up and copies nothing, and branches that do
 * not depend on each other run at once.
 *
 * Where the work of a segment is less than a wake-up, all processes stay on one processor.
 * Else each would be woken on another, idle one, whose way out of its sleep costs more than
 * both; on one, who hands over makes room for who comes next.
 *
 * There are no locks, so nobody can die with one.  Waits end after a tick, in which who
 * waits sees whether the others are still there.
 *
 * A stage that has gone wild may spoil the results, and no more.  Who comes after whom, and what
 * each is to run, is in agendas, which are sealed: stages cannot write to them.  What they can
 * write, the board and the counts beside an agenda, is checked where it is an index; where it says
 * what cannot be, so that a pass would never end, that is told (child.h).
 */
#ifndef RN_BOARD_H
#define RN_BOARD_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum rn_pass { RN_PASS_FORWARD, RN_PASS_LEARN, RN_NPASSES };
#define RN_TICK 0.025 /* seconds until who waits looks around */

/* For one who waits and many who ring. */
struct rn_bell {
	_Atomic uint32_t rings; /* futex */
	_Atomic uint32_t sleeps;
};
void rn_bell_ring(struct rn_bell *b);
/* Wait for a ring after the `seen`th, a tick at most; false: there was none. */
bool rn_bell_wait(struct rn_bell *b, uint32_t seen);

/* A stage's line. */
struct rn_stage_status {
	struct rn_bell bell;
	_Atomic uint64_t ready;   /* what it is to run, or runs: call << 32 | 1 + segment; 0: nothing */
	_Atomic uint64_t busy_ns; /* that it has been at work, without what began at `since` */
	_Atomic uint64_t since;
	_Atomic uint32_t mail;    /* there is, or will be at once, a message on its link */
	_Atomic uint32_t at;      /* 1 + node of the plan that it works, or failed, for; 0: idle */
	uint64_t zero[3];
};
_Static_assert(sizeof(struct rn_stage_status) == 64, "a status is a cache line");

struct rn_board {
	struct rn_bell bell;      /* of the coordinator */
	_Atomic uint32_t call;    /* number of the pass; what is ready for another is stale */
	_Atomic uint32_t left;    /* segments that have not ended */
	_Atomic uint32_t running; /* segments that are handed out and have not ended */
	_Atomic uint32_t most;    /* the most of them at once, ever */
	_Atomic uint32_t failed;  /* 1 + stage that could not do its part; its link says why */
	_Atomic uint32_t active;  /* stages that are at work */
	/* Of the pass; written between passes only, unless somebody has gone wild. */
	_Atomic uint32_t program, epoch;
	_Atomic uint64_t t; /* t > 0: optimizer steps are number t */
	/* Hand-over: how long in all a pass was under way and nobody was at work, and since when. */
	_Atomic uint64_t idle_ns, since;
	struct rn_stage_status stages[];
};
_Static_assert(sizeof(struct rn_board) == 64, "a board's head is a cache line");

struct rn_segment {
	uint32_t part, from, to;  /* instructions of the part's image */
	uint32_t needs;           /* how many segments of its pass must end first */
	uint32_t first, nnext;    /* those that need it: next[first …] */
	uint32_t zero[2];
};

/* The segments of a program, in its order.  The coordinator made it, and alone can write to it.
 * Beside it is missing[nsegments]: how many of those that a segment needs have not ended in this
 * pass. */
struct rn_agenda {
	uint32_t nsegments, nnext;
	uint32_t pass[RN_NPASSES + 1]; /* segments of pass p: pass[p] … pass[p + 1] - 1 */
	_Atomic uint32_t cpu; /* 1 + the processor that all of them stay on; 0: any */
	_Atomic uint32_t events; /* stages of one device wait for each other there (waits.h) */
	uint32_t zero[9];
	struct rn_segment segments[]; /* and behind them next[] */
};
_Static_assert(sizeof(struct rn_agenda) == 64, "an agenda's head is a cache line");

uint64_t rn_agenda_size(uint32_t nsegments, uint32_t nnext);
static inline uint32_t *rn_agenda_next(const struct rn_agenda *o)
{
	return (uint32_t *)(uintptr_t)&o->segments[o->nsegments];
}
/* Does an agenda of `size` bytes fit together, for so many stages, and for instructions of
 * stage `part` below ninsts? */
bool rn_agenda_check(const struct rn_agenda *o, uint64_t size, uint32_t nparts, uint32_t part,
		    uint32_t ninsts);

/* Begin a pass, whose program, epoch and t are set.  It has some segments. */
void rn_board_begin(struct rn_board *b, const struct rn_agenda *o, _Atomic uint32_t *missing,
		    enum rn_pass pass);
/* The coordinator has seen its end. */
void rn_board_finish(struct rn_board *b);
/* Forget the pass: whoever is still at work for it hands out nothing more that is run. */
void rn_board_abort(struct rn_board *b);
/* What stage `part` is to run now, or RN_BOARD_NOTHING; *call: for which pass. */
uint32_t rn_board_take(struct rn_board *b, uint32_t part, uint32_t *call);
#define RN_BOARD_NOTHING UINT32_MAX
/* Stage `part` is at work from here to there. */
void rn_board_work(struct rn_board *b, uint32_t part);
void rn_board_rest(struct rn_board *b, uint32_t part);
/* It ended: hand out those that needed it. */
void rn_board_end(struct rn_board *b, const struct rn_agenda *o, _Atomic uint32_t *missing,
		  uint32_t segment, uint32_t call);
/* It failed, and the link says so. */
void rn_board_fail(struct rn_board *b, uint32_t part);

/* A thread that stays on a processor for a while.  Zeroed: it does not. */
struct rn_stay {
	uint32_t cpu;  /* 1 + its number; 0: none */
	cpu_set_t any; /* where it was allowed to run before */
};
void rn_stay_on(struct rn_stay *s, uint32_t cpu); /* cpu: as above; as far as that is allowed */

#endif
