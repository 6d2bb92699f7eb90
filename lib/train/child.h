/* SPDX-License-Identifier: Apache-2.0
 *
 * The processes of stages, as the coordinator sees them: started, asked, watched,
 * ended.
 *
 * One that is killed, crashes, or hangs up is *lost*: the error says which stage it
 * was, how it ended, what it was doing, and what it wrote to its standard error.  So
 * is one that neither answers nor uses a processor for as long as `timeout`: it is
 * stopped, or waits for something that does not come; once the training is to end,
 * 2 s are enough.  On a device it may wait for what another one has begun there: where one of
 * them is stopped, that one is lost.  So is one that answers in no known way, or has no memory.
 * A wait notices within a tick (board.h) whichever of them was lost.
 *
 * Where what they share says what cannot be, some process has written where it must not.  Which
 * one did cannot be told: that is RN_EBUG, and nobody is lost.
 *
 * A process that ignores SIGCHLD (rn-train does not) has one that ended noticed, too, but not how
 * it ended.
 */
#ifndef RN_CHILD_H
#define RN_CHILD_H

#include "../base/ctx.h"
#include "cut.h"
#include "link.h"

#include <signal.h>
#include <sys/types.h>

struct rn_children;
struct rn_child {
	struct rn_children *all;
	const struct rn_cut_part *part;
	struct rn_link *link;           /* NULL: none */
	struct rn_stage_status *status; /* on the board; NULL: none yet */
	pid_t pid, was;                 /* pid 0: not running; was: its number even then */
	int err;                        /* its standard error: a file in memory; -1: none */
	off_t told;                     /* bytes of it that the log has */
	struct rn_peaks peak;           /* once it stopped in good order */
	double begun, start;            /* when it was started; seconds until it was ready */
	bool talking;                   /* it was asked, and not all of its answer has come */
	bool ending;                    /* it was told to end, and is not lost when it does */
	bool fresh;                     /* no pass has begun since it was, or was to be, started */
	/* While it is asked: */
	uint64_t cpu_ns; /* that it had used at the last tick */
	double idle;     /* seconds since it used any */
	char state;      /* of its process, as in /proc; 0: not looked at */
	const char *doing;
	uint32_t epoch;
};

struct rn_children {
	const struct rn_ctx *ctx;    /* what they write is logged */
	const struct rn_plan *plan;  /* for the names of nodes */
	double timeout;              /* seconds; 0: none */
	const volatile sig_atomic_t *stop; /* set: the training is to end; NULL: it never is */
	bool devices;                /* they may wait for a device, and use no processor */
	bool lost;                   /* some child was */
	bool told;                   /* some child said what is wrong; both are for the caller to reset */
	double nobody;               /* seconds of the pass in which none had anything to do */
	uint32_t n;
	struct rn_child *items;
};
RN_MUST_CHECK int rn_children_init(struct rn_children *c, const struct rn_cut *cut,
				   struct rn_err *e);
/* Kill and reap those that still run. */
void rn_children_fini(struct rn_children *c);
/* Tell all of them to end, and reap them.  One that does not end soon is killed. */
void rn_children_stop(struct rn_children *c);
/* Reap those that have ended; how each did is logged. */
void rn_children_reap(struct rn_children *c);

/* Start `exe --stage FD`; what was there before is killed. */
RN_MUST_CHECK int rn_child_start(struct rn_child *c, const char *exe, struct rn_err *e);
/* `doing` (static) is for the message if it is lost over this. */
RN_MUST_CHECK int rn_child_ask(struct rn_child *c, const char *doing, const struct rn_msg *m,
			       const void *payload, const int *fds, struct rn_err *e);
/* Its answer, without the payload; one that says RN_MSG_FAILED is an error with its code. */
RN_MUST_CHECK int rn_child_hear(struct rn_child *c, struct rn_msg *answer, struct rn_err *e);
RN_MUST_CHECK int rn_child_read(struct rn_child *c, void *payload, size_t n, struct rn_err *e);

/* A pass on the board begins: all of them are `doing` this (static) from now on. */
void rn_children_begin(struct rn_children *c, const char *doing, uint32_t epoch);
/* A tick of the pass, which has not ended, has gone by: was one lost?  Somebody must have something
 * to do: that nobody has for 2 s cannot be. */
RN_MUST_CHECK int rn_children_watch(struct rn_children *c, struct rn_err *e);
/* The board says that stage q failed in the pass, and its link says why: the error. */
RN_MUST_CHECK int rn_children_failed(struct rn_children *c, uint32_t q, struct rn_err *e);

#endif
