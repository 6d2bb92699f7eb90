/* SPDX-License-Identifier: Apache-2.0
 *
 * What can a round over 8 processes cost at least?  A token goes round among them, twice: 16
 * hand-overs by futex in memory that they share, as an epoch of 8 stages has, and nothing else.
 *
 *   cc -O2 -D_GNU_SOURCE -o ring bench/ring.c && ./ring [-n ROUNDS] [-w WAY]
 *
 * One JSON line per way, with us, the microseconds of a round of 16 (the mean of ROUNDS, 2,000
 * unless told):
 *   futex    who gets the token sleeps until it comes
 *   pinned   the same, all on one processor
 *   ahead    who gets the token wakes the next one at once, which then looks for it for some
 *            microseconds before it sleeps again
 */
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PROCESSES = 8, HOPS = 16, SPIN_NS = 5000 };
enum way { FUTEX, PINNED, AHEAD, NWAYS };

struct bell {
	_Alignas(64) _Atomic uint32_t rings; /* futex: tokens, and wake-ups ahead of one */
	_Atomic uint32_t tokens, sleeps;
};
static struct bell *bells;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void ring(struct bell *b, bool token)
{
	if (token)
		atomic_fetch_add(&b->tokens, 1);
	atomic_fetch_add(&b->rings, 1);
	if (atomic_load(&b->sleeps))
		(void)syscall(SYS_futex, &b->rings, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* A look at the token for some microseconds; false: it does not come. */
static bool spin(struct bell *b, uint32_t seen)
{
	double end = now() + 1e-9 * SPIN_NS;

	do {
		for (int i = 0; i < 20; i++) {
			if (atomic_load(&b->tokens) != seen)
				return true;
#ifdef __x86_64__
			__builtin_ia32_pause();
#endif
		}
	} while (now() < end);
	return false;
}

static void wait_token(struct bell *b, uint32_t seen, bool ahead)
{
	for (uint32_t rings = atomic_load(&b->rings); atomic_load(&b->tokens) == seen;
	     rings = atomic_load(&b->rings)) {
		atomic_store(&b->sleeps, 1);
		if (atomic_load(&b->tokens) == seen)
			(void)syscall(SYS_futex, &b->rings, FUTEX_WAIT, rings, NULL, NULL, 0);
		atomic_store(&b->sleeps, 0);
		if (ahead && spin(b, seen))
			return;
	}
}

/* Process q, for ever: the token comes, and goes. */
static void pass_on(unsigned q, enum way way)
{
	struct bell *next = &bells[(q + 1) % PROCESSES];

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (uint32_t seen = 0;; seen++) {
		wait_token(&bells[q], seen, way == AHEAD);
		if (way == AHEAD)
			ring(next, false);
		ring(next, true);
	}
}

static double measure(enum way way, int rounds)
{
	pid_t pids[PROCESSES];
	cpu_set_t one, all;
	double begin;

	memset(bells, 0, PROCESSES * sizeof *bells);
	sched_getaffinity(0, sizeof all, &all);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	if (way == PINNED)
		sched_setaffinity(0, sizeof one, &one);
	for (unsigned q = 1; q < PROCESSES; q++) {
		pids[q] = fork();
		if (pids[q] < 0)
			exit(1);
		if (!pids[q])
			pass_on(q, way);
	}
	usleep(20000);
	begin = now();
	for (uint32_t i = 0; i < (uint32_t)rounds * HOPS / PROCESSES; i++) {
		ring(&bells[1], true);
		wait_token(&bells[0], i, way == AHEAD);
	}
	begin = (now() - begin) / rounds;
	for (unsigned q = 1; q < PROCESSES; q++) {
		kill(pids[q], SIGKILL);
		waitpid(pids[q], NULL, 0);
	}
	sched_setaffinity(0, sizeof all, &all);
	return 1e6 * begin;
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "futex", "pinned", "ahead" };
	const char *only = NULL;
	int rounds = 2000, c;

	while ((c = getopt(argc, argv, "n:w:")) != -1) {
		if (c == 'n')
			rounds = atoi(optarg);
		else if (c == 'w')
			only = optarg;
		else
			return 2;
	}
	if (rounds < 1)
		return 2;
	bells = mmap(NULL, PROCESSES * sizeof *bells, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (bells == MAP_FAILED)
		return 1;
	for (enum way w = 0; w < NWAYS; w++)
		if (!only || !strcmp(only, names[w]))
			printf("{\"what\": \"%s\", \"us\": %.1f}\n", names[w], measure(w, rounds));
	return 0;
}
