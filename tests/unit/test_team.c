/* SPDX-License-Identifier: Apache-2.0
 *
 * Teams of threads: every part of every job runs exactly once, whatever the
 * number of threads and parts, in and out of an epoch.
 */
#include "../../lib/base/team.h"
#include "t.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

enum { MAX = 5000 };

struct job {
	_Atomic unsigned char runs[MAX];
	_Atomic uint32_t sum;
	uint32_t parts;
	bool slow;
};

static void part(void *arg, uint32_t i)
{
	struct job *j = arg;

	if (i < MAX)
		atomic_fetch_add(&j->runs[i], 1);
	atomic_fetch_add(&j->sum, i + 1);
	if (j->slow && i == 0)
		nanosleep(&(struct timespec){ 0, 2000000 }, NULL);
}

static bool job_is_right(struct rn_team *t, struct job *j, uint32_t parts)
{
	bool ok;

	memset(j->runs, 0, sizeof j->runs);
	atomic_store(&j->sum, 0);
	j->parts = parts;
	rn_team_run(t, parts, part, j);
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
	rn_team_free(t);
}

int main(void)
{
	test_threads(1);
	test_threads(2);
	test_threads(4);
	test_threads(9);
	rn_team_free(NULL);
	return t_done();
}
