/* SPDX-License-Identifier: Apache-2.0 */
#include "board.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Nobody spins before sleeping: on two cores that delays who has just been woken, and costs
 * more than the wake-up (an empty epoch of 8 stages: 0.10 ms so, 0.14 ms with 100 pauses, 0.28
 * with 400, 0.7 with 2000).  Neither does it pay to wake who comes next ahead of time and have
 * it look for its work for 5 us (bench/ring.c). */

/* ---- bells --------------------------------------------------------------------------------- */

void rn_bell_ring(struct rn_bell *b)
{
	atomic_fetch_add(&b->rings, 1);
	if (atomic_load(&b->sleeps))
		(void)syscall(SYS_futex, &b->rings, FUTEX_WAKE, 1, NULL, NULL, 0);
}

bool rn_bell_wait(struct rn_bell *b, uint32_t seen)
{
	const struct timespec tick = { .tv_nsec = (long)(RN_TICK * 1e9) };

	atomic_store(&b->sleeps, 1);
	if (atomic_load(&b->rings) == seen)
		(void)syscall(SYS_futex, &b->rings, FUTEX_WAIT, seen, &tick, NULL, 0);
	atomic_store(&b->sleeps, 0);
	return atomic_load(&b->rings) != seen;
}

/* ---- agendas ------------------------------------------------------------------------------- */

uint64_t rn_agenda_size(uint32_t nsegments, uint32_t nnext)
{
	return sizeof(struct rn_agenda) + (uint64_t)nsegments * sizeof(struct rn_segment) +
	       (uint64_t)nnext * sizeof(uint32_t);
}

bool rn_agenda_check(const struct rn_agenda *o, uint64_t size, uint32_t nparts, uint32_t part,
		    uint32_t ninsts)
{
	if (size < sizeof *o || rn_agenda_size(o->nsegments, o->nnext) != size)
		return false;
	for (uint32_t i = 0; i < o->nsegments; i++) {
		const struct rn_segment *g = &o->segments[i];

		if (g->part >= nparts || g->from > g->to || g->nnext > o->nnext ||
		    g->first > o->nnext - g->nnext || (g->part == part && g->to > ninsts))
			return false;
	}
	for (uint32_t i = 0; i < o->nnext; i++)
		if (rn_agenda_next(o)[i] >= o->nsegments)
			return false;
	return true;
}

/* ---- passes -------------------------------------------------------------------------------- */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t ready_for(uint32_t segment, uint32_t call)
{
	return (uint64_t)call << 32 | (segment + 1);
}

static void give(struct rn_board *b, const struct rn_agenda *o, uint32_t segment, uint32_t call)
{
	struct rn_stage_status *s = &b->stages[o->segments[segment].part];

	atomic_store(&s->ready, ready_for(segment, call));
	rn_bell_ring(&s->bell);
}

static void count_running(struct rn_board *b, uint32_t more)
{
	uint32_t now = atomic_fetch_add(&b->running, more) + more, most = atomic_load(&b->most);

	while (now > most && !atomic_compare_exchange_weak(&b->most, &most, now))
		;
}

void rn_board_begin(struct rn_board *b, const struct rn_agenda *o, _Atomic uint32_t *missing,
		    enum rn_pass pass)
{
	uint32_t from = o->pass[pass], to = o->pass[pass + 1], first = 0, call;

	for (uint32_t i = from; i < to; i++) {
		atomic_store_explicit(&missing[i], o->segments[i].needs, memory_order_relaxed);
		first += !o->segments[i].needs;
	}
	atomic_store(&b->left, to - from);
	atomic_store(&b->running, 0);
	atomic_store(&b->active, 0);
	atomic_store(&b->since, now_ns());
	call = atomic_fetch_add(&b->call, 1) + 1;
	count_running(b, first); /* all at once: the first shall not take the others' threads */
	for (uint32_t i = from; i < to; i++)
		if (!o->segments[i].needs)
			give(b, o, i, call);
}

static void add_idle(struct rn_board *b, uint64_t now)
{
	uint64_t since = atomic_load(&b->since);

	if (now > since)
		atomic_fetch_add(&b->idle_ns, now - since);
}

void rn_board_finish(struct rn_board *b)
{
	add_idle(b, now_ns());
}

void rn_board_abort(struct rn_board *b)
{
	atomic_fetch_add(&b->call, 1);
	atomic_store(&b->failed, 0);
}

uint32_t rn_board_take(struct rn_board *b, uint32_t part, uint32_t *call)
{
	uint64_t ready = atomic_load(&b->stages[part].ready);

	if (!ready)
		return RN_BOARD_NOTHING;
	if ((uint32_t)(ready >> 32) != atomic_load(&b->call)) {
		atomic_compare_exchange_strong(&b->stages[part].ready, &ready, 0);
		return RN_BOARD_NOTHING;
	}
	*call = (uint32_t)(ready >> 32);
	return (uint32_t)ready - 1;
}

void rn_board_work(struct rn_board *b, uint32_t part)
{
	uint64_t now = now_ns();

	atomic_store(&b->stages[part].since, now);
	if (!atomic_fetch_add(&b->active, 1))
		add_idle(b, now);
}

void rn_board_rest(struct rn_board *b, uint32_t part)
{
	uint64_t now = now_ns();

	atomic_fetch_add(&b->stages[part].busy_ns, now - atomic_load(&b->stages[part].since));
	atomic_store(&b->since, now);
	atomic_fetch_sub(&b->active, 1);
}

void rn_board_end(struct rn_board *b, const struct rn_agenda *o, _Atomic uint32_t *missing,
		  uint32_t segment, uint32_t call)
{
	const struct rn_segment *g = &o->segments[segment];
	const uint32_t *next = rn_agenda_next(o) + g->first;
	uint64_t mine = ready_for(segment, call);

	atomic_fetch_sub(&b->running, 1);
	for (uint32_t i = 0; i < g->nnext; i++) {
		if (atomic_fetch_sub(&missing[next[i]], 1) != 1)
			continue;
		count_running(b, 1);
		give(b, o, next[i], call);
	}
	if (atomic_fetch_sub(&b->left, 1) == 1)
		rn_bell_ring(&b->bell);
	/* Not before: one that is stopped in here must be seen to owe something. */
	atomic_compare_exchange_strong(&b->stages[g->part].ready, &mine, 0);
}

void rn_board_fail(struct rn_board *b, uint32_t part)
{
	atomic_store(&b->stages[part].ready, 0);
	atomic_store(&b->failed, part + 1);
	rn_bell_ring(&b->bell);
}

/* ---- processors ---------------------------------------------------------------------------- */

void rn_stay_on(struct rn_stay *s, uint32_t cpu)
{
	cpu_set_t one;

	if (cpu == s->cpu || (!s->cpu && sched_getaffinity(0, sizeof s->any, &s->any)))
		return;
	CPU_ZERO(&one);
	if (cpu)
		CPU_SET(cpu - 1, &one);
	(void)sched_setaffinity(0, sizeof one, cpu ? &one : &s->any);
	s->cpu = cpu;
}
