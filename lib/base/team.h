/* SPDX-License-Identifier: Apache-2.0
 *
 * A team of threads that lives as long as a run.  Its threads start with the first
 * job that has several parts.  Between rn_team_enter and rn_team_leave (an epoch; they
 * may be nested) and after a long job idle workers spin for a bounded time, then wait on a
 * futex; else they sleep.  No kernel opens a parallel region of its own.
 */
#ifndef RN_TEAM_H
#define RN_TEAM_H

#include "err.h"

#include <stdint.h>

struct rn_team;
RN_MUST_CHECK int rn_team_new(unsigned threads, struct rn_team **out, struct rn_err *e);
void rn_team_free(struct rn_team *t); /* NULL is fine */
unsigned rn_team_threads(const struct rn_team *t); /* NULL: 1 */
void rn_team_enter(struct rn_team *t);
void rn_team_leave(struct rn_team *t);
/* At most so many threads, the caller's among them, take part in the jobs that follow; 0, and
 * more than there are: all of them.  Between jobs only, by who runs them. */
void rn_team_limit(struct rn_team *t, unsigned threads);
/* fn(arg, 0) … fn(arg, parts - 1), each once, in any order, part 0 by the caller; returns when
 * all ended.  t may be NULL.  From any thread: a team that is at work already leaves all parts
 * to the caller, so that a part may itself call what uses the team. */
void rn_team_run(struct rn_team *t, uint32_t parts, void (*fn)(void *arg, uint32_t part),
		 void *arg);
/* The same for parts of 0.3 ms and more, where such a job soon follows another: who waits spins
 * for up to 0.1 ms, about as long as it would take to sleep and be woken. */
void rn_team_run_long(struct rn_team *t, uint32_t parts, void (*fn)(void *arg, uint32_t part),
		      void *arg);

/* A device that helps with relational work (accel.h), borrowed; NULL, as at first: none.  It is
 * given and taken while nobody uses the team. */
struct rn_accel;
void rn_team_accelerate(struct rn_team *t, struct rn_accel *a);
struct rn_accel *rn_team_accel(const struct rn_team *t); /* of NULL: none */

#endif
