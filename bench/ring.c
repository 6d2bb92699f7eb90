/* SPDX-License-Identifier: Apache-2.0
 *
 * What can a round over 8 processes cost at least?  A token goes round among them, twice: 16
 * hand-overs by futex in memory that they share, as an epoch of 8 stages has, and nothing else.
 *
 *   cc -O3 -march=native -D_GNU_SOURCE -o ring bench/ring.c && ./ring [-n ROUNDS] [-m MEBIBYTES] [-w WAY]
 *
 * One JSON line per way, with us, the microseconds of a round of 16 (the mean of ROUNDS, 2,000
 * unless told):
 *   futex    who gets the token sleeps until it comes
 *   pinned   the same, all on one processor
 *   ahead    who gets the token wakes the next one at once, which then looks for it for some
 *            microseconds before it sleeps again
 *
 * And what can two processes hand over at most?  With gbs, 10^9 bytes per second (the median of
 * ROUNDS, 9 unless told, of 2 GB each):
 *   slots    floats of an array of MEBIBYTES (1 unless told) are copied into a ring of four slots
 *            of 256 KiB, and added up there by the other process
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
enum { SLOTS = 4, SLOT = 256 << 10, BLOCKS = 8192, MAX_RUNS = 101 };
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

/* ---- slots ---------------------------------------------------------------------------------- */

static float add_up(const float *x, size_t n)
{
	float sum[16] = { 0 };

	for (size_t i = 0; i < n; i += 16)
		for (int k = 0; k < 16; k++)
			sum[k] += x[i + k];
	for (int k = 1; k < 16; k++)
		sum[0] += sum[k];
	return sum[0];
}

/* Both sides count blocks in tokens of a bell: [0] those that are full, [1] those that are free
 * again. */
static void wait_tokens(struct bell *b, uint32_t least)
{
	for (uint32_t seen = atomic_load(&b->tokens); (int32_t)(seen - least) < 0;
	     seen = atomic_load(&b->tokens))
		wait_token(b, seen, false);
}

static double hand_over(float *slots, const float *from, size_t blocks_from)
{
	volatile float sink;
	double begin;
	pid_t pid;

	memset(bells, 0, PROCESSES * sizeof *bells);
	begin = now();
	pid = fork();
	if (pid < 0)
		exit(1);
	if (!pid) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (uint32_t i = 0; i < BLOCKS; i++) {
			wait_tokens(&bells[1], i < SLOTS ? 0 : i - SLOTS + 1);
			memcpy((char *)slots + i % SLOTS * SLOT,
			       (const char *)from + i % blocks_from * SLOT, SLOT);
			ring(&bells[0], true);
		}
		_exit(0);
	}
	for (uint32_t i = 0; i < BLOCKS; i++) {
		wait_tokens(&bells[0], i + 1);
		sink = add_up(slots + i % SLOTS * (SLOT / sizeof(float)), SLOT / sizeof(float));
		ring(&bells[1], true);
	}
	(void)sink;
	waitpid(pid, NULL, 0);
	return (double)BLOCKS * SLOT / (now() - begin) / 1e9;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int measure_slots(int runs, int mebibytes)
{
	size_t size = (size_t)mebibytes << 20;
	float *from = malloc(size), *slots;
	double gbs[MAX_RUNS];

	slots = mmap(NULL, SLOTS * SLOT, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!from || slots == MAP_FAILED)
		return 1;
	for (size_t i = 0; i < size / sizeof *from; i++)
		from[i] = (float)(i * 7919 % 10007) / 997;
	for (int i = 0; i < runs; i++)
		gbs[i] = hand_over(slots, from, size / SLOT);
	qsort(gbs, (size_t)runs, sizeof *gbs, compare);
	printf("{\"what\": \"slots\", \"gbs\": %.3f, \"min\": %.3f, \"max\": %.3f}\n",
	       gbs[runs / 2], gbs[0], gbs[runs - 1]);
	munmap(slots, SLOTS * SLOT);
	free(from);
	return 0;
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "futex", "pinned", "ahead" };
	int rounds = 0, mebibytes = 1, c;
	const char *only = NULL;

	while ((c = getopt(argc, argv, "n:m:w:")) != -1) {
		if (c == 'n')
			rounds = atoi(optarg);
		else if (c == 'm')
			mebibytes = atoi(optarg);
		else if (c == 'w')
			only = optarg;
		else
			return 2;
	}
	if (rounds < 0 || mebibytes < 1 || mebibytes > 4096)
		return 2;
	bells = mmap(NULL, PROCESSES * sizeof *bells, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (bells == MAP_FAILED)
		return 1;
	for (enum way w = 0; w < NWAYS; w++)
		if (!only || !strcmp(only, names[w]))
			printf("{\"what\": \"%s\", \"us\": %.1f}\n", names[w],
			       measure(w, rounds ? rounds : 2000));
	if (only && strcmp(only, "slots"))
		return 0;
	return rounds > MAX_RUNS ? 2 : measure_slots(rounds ? rounds : 9, mebibytes);
}
