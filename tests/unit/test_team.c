/* SPDX-License-Identifier: Apache-2.0
 *
 * Teams of threads: every part of every job runs exactly once, whatever the
 * number of threads and parts, in and out of an epoch.
 */
#include "../../lib/base/team.h"
#include "t.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

enum { MAX = 5000 };

struct job {
	_Atomic unsigned char runs[MAX];
	_Atomic uint32_t sum;
	uint32_t parts;
	bool slow;
	pthread_t caller;
	bool strayed; /* part 0 was another thread's */
};

static void part(void *arg, uint32_t i)
{
	struct job *j = arg;

	if (i < MAX)
		atomic_fetch_add(&j->runs[i], 1);
	atomic_fetch_add(&j->sum, i + 1);
	if (i == 0)
		j->strayed |= !pthread_equal(j->caller, pthread_self());
	if (j->slow && i < 2) /* the caller's own part, and another that ends later */
		nanosleep(&(struct timespec){ 0, i ? 4000000 : 1000000 }, NULL);
}

static bool job_is_right(struct rn_team *t, struct job *j, uint32_t parts)
{
	bool ok;

	memset(j->runs, 0, sizeof j->runs);
	atomic_store(&j->sum, 0);
	j->parts = parts;
	j->caller = pthread_self();
	if (parts % 2)
		rn_team_run(t, parts, part, j);
	else
		rn_team_run_long(t, parts, part, j);
	ok = atomic_load(&j->sum) == parts * (parts + 1) / 2;
	for (uint32_t i = 0; i < MAX; i++)
		ok &= atomic_load(&j->runs[i]) == (i < parts);
	return ok;
}

static void test_threads(unsigned threads)
{
	static const uint32_t sizes[] = { 0, 1, 2, 3, 7, 64, 1000, MAX };
	static struct job job;
	struct rn_err e;
	struct rn_team *t;
	bool ok = true;

	if (rn_team_new(threads, &t, &e)) {
		T_OK(false, "%s", e.msg);
		return;
	}
	T_OK(rn_team_threads(t) == threads, "%u threads", threads);
	for (unsigned round = 0; round < 40; round++)
		for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++) {
			if (round % 3 == 0)
				rn_team_enter(t);
			ok &= job_is_right(t, &job, sizes[s]);
			if (round % 3 == 1)
				rn_team_leave(t);
		}
	T_OK(ok, "every part of every job runs once");
	ok = true;
	job.slow = true;
	for (unsigned round = 0; round < 5; round++)
		ok &= job_is_right(t, &job, 3);
	job.slow = false;
	T_OK(ok, "a caller that must wait long is woken");
	ok = true;
	rn_team_enter(t);
	for (unsigned round = 0; round < 3000 && ok; round++) {
		atomic_store(&job.sum, 0);
		rn_team_run(t, 2 + round % 5, part, &job);
		ok = atomic_load(&job.sum) == (2 + round % 5) * (3 + round % 5) / 2;
	}
	rn_team_leave(t);
	T_OK(ok, "thousands of small jobs, one after the other");
	T_OK(!job.strayed, "part 0 is the caller's, always");
	rn_team_free(t);
}

static _Atomic uint32_t inside, most;

static void part_counted(void *arg, uint32_t i)
{
	uint32_t now = atomic_fetch_add(&inside, 1) + 1, before = atomic_load(&most);

	(void)arg, (void)i;
	while (now > before && !atomic_compare_exchange_weak(&most, &before, now))
		;
	nanosleep(&(struct timespec){ 0, 200000 }, NULL);
	atomic_fetch_sub(&inside, 1);
}

/* A limit holds from the next job on, and is lifted again. */
static void test_limit(void)
{
	static const unsigned limits[] = { 1, 2, 3, 2, 1, 7, 0 };
	static struct job job;
	struct rn_team *t;
	struct rn_err e;
	bool kept = true, right = true;

	if (rn_team_new(4, &t, &e)) {
		T_OK(false, "%s", e.msg);
		return;
	}
	rn_team_enter(t);
	for (unsigned i = 0; i < sizeof limits / sizeof *limits; i++) {
		rn_team_limit(t, limits[i]);
		for (unsigned round = 0; round < 20; round++)
			right &= job_is_right(t, &job, 1 + round);
		atomic_store(&most, 0);
		rn_team_run(t, 40, part_counted, NULL);
		kept &= atomic_load(&most) <= (limits[i] && limits[i] < 4 ? limits[i] : 4);
		kept &= limits[i] != 1 || atomic_load(&most) == 1;
	}
	rn_team_leave(t);
	T_OK(right, "limited or not, every part runs once");
	T_OK(kept, "no more threads than allowed are at work");
	T_OK(rn_team_threads(t) == 4, "the team is as large as before");
	rn_team_free(t);
}

int main(void)
{
	test_limit();
	test_threads(1);
	test_threads(2);
	test_threads(4);
	test_threads(9);
	rn_team_free(NULL);
	return t_done();
}
