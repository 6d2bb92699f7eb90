/* SPDX-License-Identifier: Apache-2.0
 *
 * A job is published as one 64-bit ticket: its generation and the number of
 * parts that nobody has taken yet.  Taking a part is a compare-and-swap of the
 * ticket, so a worker that comes late can never take a part of a later job, and
 * the job's function cannot change under a worker that holds one of its parts.
 * Where the team is limited a worker takes a seat before it takes parts.  Part 0 is
 * the caller's: what is kept for it is in the caller's cache, job after job.
 *
 * Nobody spins for long: two processes on the same cores, each with a team,
 * must not starve each other (measured: unbounded spinning costs a factor of
 * 50).  Outside rn_team_enter … rn_team_leave workers spin after long jobs only: to put
 * one to sleep and wake it took 60 to 90 µs in a virtual machine, half of it the caller's.
 */
#include "team.h"

#include "mem.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
	SPIN_WORKER = 300, /* pauses before an idle worker sleeps: about 10 to 20 µs */
	SPIN_CALLER = 200, /* … before the caller sleeps that waits for the last parts */
	/* Nanoseconds where jobs are long.  A caller that sleeps comes back 60 µs late: then the
	 * worker sleeps as well, begins the next job late and ends it late, and so on. */
	LONG_WORKER = 50000,
	LONG_CALLER = 100000,
	CLOCK_PAUSES = 64, /* after which the clock is read again */
	ALL_SEATS = INT_MAX / 2, /* more than ever are taken: nobody is turned away */
};

struct rn_team {
	_Alignas(64) _Atomic uint64_t ticket; /* generation << 32 | parts not yet taken */
	_Atomic(void (*)(void *, uint32_t)) fn;
	_Atomic(void *) arg;
	_Atomic uint32_t parts;
	_Alignas(64) _Atomic uint32_t done; /* parts that ended; futex of the caller */
	_Atomic uint32_t caller_sleeps;
	_Alignas(64) _Atomic uint32_t gen; /* futex of the workers */
	_Atomic uint32_t sleepers;
	_Atomic int seats; /* for workers, in this job */
	_Atomic uint32_t awake; /* how often it was entered and not yet left */
	_Atomic bool is_long;   /* the last job */
	_Atomic bool stop;
	_Atomic bool busy;         /* somebody runs a job */
	unsigned threads, started; /* started: workers, without the caller */
	unsigned limit;            /* 0: none */
	bool tried;                /* to start the workers */
	struct rn_accel *accel;
	pthread_t *workers;
};

static void relax(void)
{
#if defined __x86_64__ || defined __i386__
	__builtin_ia32_pause();
#elif defined __aarch64__
	__asm__ volatile("isb");
#endif
}

static void futex_wait(_Atomic uint32_t *word, uint32_t seen)
{
	(void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, int n)
{
	(void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

static void end_part(struct rn_team *t, uint32_t parts)
{
	if (atomic_fetch_add(&t->done, 1) + 1 == parts && atomic_load(&t->caller_sleeps))
		futex_wake(&t->done, 1);
}

/* Take and run parts of job `gen` until none is left. */
static void take_parts(struct rn_team *t, uint32_t gen)
{
	uint64_t ticket = atomic_load(&t->ticket);

	while ((uint32_t)(ticket >> 32) == gen && (uint32_t)ticket) {
		void (*fn)(void *, uint32_t) = atomic_load_explicit(&t->fn, memory_order_relaxed);
		void *arg = atomic_load_explicit(&t->arg, memory_order_relaxed);
		uint32_t parts = atomic_load_explicit(&t->parts, memory_order_relaxed);

		if (!atomic_compare_exchange_weak(&t->ticket, &ticket, ticket - 1))
			continue;
		fn(arg, parts - (uint32_t)ticket);
		end_part(t, parts);
		ticket = atomic_load(&t->ticket);
	}
}

static int64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* After pause i of those that began at `start`: are they longer than `ns`, as far as one knows? */
static bool is_spent(int64_t start, unsigned i, int64_t ns)
{
	return i % CLOCK_PAUSES == CLOCK_PAUSES - 1 && clock_ns() - start > ns;
}

/* Wait for a while for a job after job `seen`. */
static void spin_worker(struct rn_team *t, uint32_t seen)
{
	bool is_long = atomic_load(&t->is_long), spent = false;
	int64_t start = is_long ? clock_ns() : 0;

	for (unsigned i = 0; atomic_load(&t->gen) == seen && !spent; i++) {
		relax();
		spent = is_long ? is_spent(start, i, LONG_WORKER) :
				  i >= SPIN_WORKER || !atomic_load(&t->awake);
	}
}

/* Wait for a while for the parts of others. */
static void spin_caller(struct rn_team *t, uint32_t parts, bool is_long)
{
	int64_t start = is_long ? clock_ns() : 0;
	bool spent = false;

	for (unsigned i = 0; atomic_load(&t->done) != parts && !spent; i++) {
		relax();
		spent = is_long ? is_spent(start, i, LONG_CALLER) : i >= SPIN_CALLER;
	}
}

static void *work(void *arg)
{
	struct rn_team *t = arg;
	uint32_t seen = 0;

	for (;;) {
		uint32_t gen;

		spin_worker(t, seen);
		gen = atomic_load(&t->gen);
		while (gen == seen) {
			atomic_fetch_add(&t->sleepers, 1);
			if (atomic_load(&t->gen) == seen)
				futex_wait(&t->gen, seen);
			atomic_fetch_sub(&t->sleepers, 1);
			gen = atomic_load(&t->gen);
		}
		if (atomic_load(&t->stop))
			return NULL;
		if (atomic_fetch_sub(&t->seats, 1) > 0)
			take_parts(t, gen);
		seen = gen;
	}
}

static void wake_workers(struct rn_team *t, uint32_t wanted)
{
	if (atomic_load(&t->sleepers))
		futex_wake(&t->gen, wanted < INT_MAX ? (int)wanted : INT_MAX);
}

int rn_team_new(unsigned threads, struct rn_team **out, struct rn_err *e)
{
	struct rn_team *t = aligned_alloc(RN_ALIGN, sizeof *t);
	int rc;

	if (!t)
		return rn_err_nomem(e, sizeof *t, "a team of threads");
	memset(t, 0, sizeof *t);
	t->threads = threads ? threads : 1;
	rc = rn_calloc(t->threads - 1, sizeof *t->workers, "a team of threads", &t->workers, e);
	if (rc) {
		free(t);
		return rc;
	}
	*out = t;
	return 0;
}

/* With fewer threads than asked for, or none, the work is done all the same. */
static void start_workers(struct rn_team *t)
{
	sigset_t all, old;

	t->tried = true;
	sigfillset(&all); /* signals are the caller's business */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (t->started + 1 < t->threads &&
	       !pthread_create(&t->workers[t->started], NULL, work, t))
		t->started++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void rn_team_free(struct rn_team *t)
{
	if (!t)
		return;
	atomic_store(&t->stop, true);
	atomic_fetch_add(&t->gen, 1);
	futex_wake(&t->gen, INT_MAX);
	for (unsigned i = 0; i < t->started; i++)
		pthread_join(t->workers[i], NULL);
	free(t->workers);
	free(t);
}

unsigned rn_team_threads(const struct rn_team *t)
{
	return t ? t->threads : 1;
}

void rn_team_accelerate(struct rn_team *t, struct rn_accel *a)
{
	t->accel = a;
}

struct rn_accel *rn_team_accel(const struct rn_team *t)
{
	return t ? t->accel : NULL;
}

void rn_team_enter(struct rn_team *t)
{
	atomic_fetch_add(&t->awake, 1);
}

void rn_team_leave(struct rn_team *t)
{
	atomic_fetch_sub(&t->awake, 1);
}

void rn_team_limit(struct rn_team *t, unsigned threads)
{
	t->limit = threads < t->threads ? threads : 0;
}

static void run_alone(uint32_t parts, void (*fn)(void *arg, uint32_t part), void *arg)
{
	for (uint32_t i = 0; i < parts; i++)
		fn(arg, i);
}

static void run_job(struct rn_team *t, uint32_t parts, void (*fn)(void *arg, uint32_t part),
		    void *arg, bool is_long)
{
	uint32_t gen = atomic_load(&t->gen) + 1, done, wanted = parts - 1;

	if (t->limit && t->limit - 1 < wanted)
		wanted = t->limit - 1;
	atomic_store(&t->seats, t->limit ? (int)t->limit - 1 : ALL_SEATS);
	atomic_store_explicit(&t->fn, fn, memory_order_relaxed);
	atomic_store_explicit(&t->arg, arg, memory_order_relaxed);
	atomic_store_explicit(&t->parts, parts, memory_order_relaxed);
	atomic_store(&t->done, 0);
	atomic_store(&t->is_long, is_long);
	atomic_store(&t->ticket, (uint64_t)gen << 32 | (parts - 1));
	atomic_store(&t->gen, gen);
	wake_workers(t, wanted);
	fn(arg, 0);
	end_part(t, parts);
	take_parts(t, gen);
	spin_caller(t, parts, is_long);
	if (atomic_load(&t->done) == parts)
		return;
	atomic_store(&t->caller_sleeps, 1);
	while ((done = atomic_load(&t->done)) != parts)
		futex_wait(&t->done, done);
	atomic_store(&t->caller_sleeps, 0);
}

static void run(struct rn_team *t, uint32_t parts, void (*fn)(void *arg, uint32_t part), void *arg,
		bool is_long)
{
	if (parts <= 1 || !t || t->threads == 1 || t->limit == 1 || atomic_exchange(&t->busy, true)) {
		run_alone(parts, fn, arg);
		return;
	}
	if (!t->tried)
		start_workers(t);
	if (t->started)
		run_job(t, parts, fn, arg, is_long);
	else
		run_alone(parts, fn, arg);
	atomic_store(&t->busy, false);
}

void rn_team_run(struct rn_team *t, uint32_t parts, void (*fn)(void *arg, uint32_t part), void *arg)
{
	run(t, parts, fn, arg, false);
}

void rn_team_run_long(struct rn_team *t, uint32_t parts, void (*fn)(void *arg, uint32_t part),
		      void *arg)
{
	run(t, parts, fn, arg, true);
}
