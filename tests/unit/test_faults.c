/* SPDX-License-Identifier: Apache-2.0
 *
 * Faults of a staged training: a stage, or the coordinator, is killed, crashes or is
 * stopped at a random moment.  Whatever happens the session ends (within 5 s with the stage's
 * name if it was lost, with the right bits if it is tried again), no process is left, and the
 * checkpoint is still there and goes on to the bits of a run that nobody disturbed.
 *
 * Each trial follows from its seed, but for the moment's exact place: RN_FAULTS_SEED=N
 * repeats trial N alone, RN_LONG=1 makes 2,000 of them.  The program is its own stage process, and
 * forks the coordinators; as their subreaper it sees every orphan.
 */
#include "t.h"

#include "../../lib/base/json.h"
#include "../../lib/train/train.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROWS = 240, EPOCHS = 50, EVERY = 4, HANG_S = 30, PROMISED_S = 5, MOST_STAGES = 8 };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const bool is_slow = true;
#else
static const bool is_slow = false;
#endif

static char dir[64];

static const char *in_dir(const char *name)
{
	static char buf[4][128];
	static unsigned n;
	char *s = buf[n++ % 4];

	snprintf(s, sizeof buf[0], "%s/%s", dir, name);
	return s;
}

/* ---- chance ---------------------------------------------------------------------------------- */

static uint64_t state;

static uint32_t draw(uint32_t n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33) % n;
}

static void seed_with(uint32_t seed)
{
	state = seed * 0x9E3779B97F4A7C15u + 1;
	draw(1);
	draw(1);
}

/* ---- what is trained ------------------------------------------------------------------------- */

static void write_data(void)
{
	FILE *f = fopen(in_dir("points.csv"), "w");

	seed_with(7);
	fprintf(f, "id,a,b,y,split\n");
	for (int i = 0; i < ROWS; i++) {
		int a = (int)draw(2000) - 1000, b = (int)draw(2000) - 1000;

		fprintf(f, "%d,%.3f,%.3f,%d,%s\n", i, a / 1000.0, b / 1000.0, a + b > 0,
			i % 3 ? "train" : "val");
	}
	fclose(f);
}

static const char spec[] =
	"{\"rn\": 1, \"sources\": {\"points\": {\"from\": \"points.csv\", \"key\": [\"id\"]}},"
	" \"stages\": ["
	"{\"name\": \"x\", \"op\": \"encode\", \"in\": \"points\", \"expr\": \"raw(a, b)\"},"
	"{\"name\": \"h\", \"op\": \"linear\", \"in\": \"x\", \"out\": 16},"
	"{\"name\": \"norm\", \"op\": \"map\", \"in\": \"h\", \"expr\": \"BatchNorm1d(16)(z)\"},"
	"{\"name\": \"drop\", \"op\": \"map\", \"in\": \"norm\", \"expr\": \"Dropout(0.2)(ReLU(z))\"},"
	"{\"name\": \"out\", \"op\": \"linear\", \"in\": \"drop\", \"out\": 2},"
	"{\"name\": \"train\", \"op\": \"filter\", \"in\": \"out\", \"expr\": \"split = 'train'\"},"
	"{\"name\": \"val\", \"op\": \"filter\", \"in\": \"out\", \"expr\": \"split = 'val'\"},"
	"{\"name\": \"loss\", \"op\": \"loss\", \"in\": \"train\", \"kind\": \"cross-entropy\", "
	"\"target\": \"y\"}],"
	" \"run\": [{\"fit\": {\"loss\": \"loss\", \"epochs\": 50, \"lr\": 0.02}},"
	" {\"val\": {\"in\": \"val\", \"metric\": \"accuracy\", \"target\": \"y\"}}]}";

struct session {
	bool staged, resume;
	bool deaf; /* it ignores SIGCHLD */
	uint32_t stages, threads, retries;
	const char *exe; /* NULL: this program */
};

/* Of the sessions in this process: warnings, and the names of stages. */
static char warnings[2048];
static char names[4][MOST_STAGES][64]; /* by --stages */
static bool existed; /* the checkpoint, since the trial began */

static void keep(void *arg, enum rn_log_level level, const char *msg)
{
	const struct session *s = arg;
	size_t n = strlen(warnings);
	char name[64];
	unsigned q;

	if (level == RN_LOG_WARN)
		snprintf(warnings + n, sizeof warnings - n, "%s\n", msg);
	else if (sscanf(msg, "stage %u of %*u, '%63[^']'", &q, name) == 2 && q <= MOST_STAGES)
		strcpy(names[s->stages][q - 1], name);
}

static void look_for_checkpoint(void)
{
	existed = existed || !access(in_dir("c.rnm"), F_OK);
}

/* One session in this process: its bits, or its message. */
static int train(const struct session *s, char *out, size_t size)
{
	struct rn_ctx ctx = { .log = keep, .log_arg = (void *)(uintptr_t)s, .threads = s->threads,
			      .seed = 1, .device = "cpu" };
	struct rn_train_conf c = {
		.ctx = &ctx,
		.placement = s->staged ? RN_STAGED : RN_FUSED,
		.stages = s->stages,
		.stage_timeout = 0.5,
		.retries = s->retries,
		.exe = s->exe ? s->exe : "/proc/self/exe",
		.checkpoint = in_dir("c.rnm"),
		.checkpoint_every = EVERY,
		.resume = s->resume && existed ? in_dir("c.rnm") : NULL,
	};
	struct rn_train_result r = { 0 };
	struct rn_plan *p = NULL;
	struct rn_err e = { 0 };
	int rc;

	rc = rn_plan_from_spec(spec, sizeof spec - 1, in_dir("model.json"), NULL, 0, NULL, 0, &p, &e);
	if (!rc)
		rc = rn_plan_canonical(p, NULL, &e);
	c.plan = p;
	if (!rc)
		rc = rn_train(&c, &r, &e);
	snprintf(out, size, "%.500s",
		 rc ? e.msg : json_string_value(json_object_get(r.json, "bits")));
	rn_train_result_fini(&r);
	rn_plan_free(p);
	return rc;
}

/* ---- processes ------------------------------------------------------------------------------- */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void wait_s(double s)
{
	struct timespec t = { .tv_sec = (time_t)s, .tv_nsec = (long)((s - (double)(time_t)s) * 1e9) };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

/* A coordinator; what it ends with can be read from *result. */
static pid_t start(const struct session *s, int *result)
{
	char text[600];
	int pair[2], rc;
	pid_t pid;

	if (pipe2(pair, O_CLOEXEC))
		exit(1);
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		exit(1);
	if (!pid) {
		if (s->deaf)
			(void)signal(SIGCHLD, SIG_IGN);
		rc = train(s, text, sizeof text);
		(void)!write(pair[1], text, strlen(text));
		_exit(rc ? 1 : 0);
	}
	close(pair[1]);
	*result = pair[0];
	return pid;
}

/* Wait for a process until `limit`; false: it still runs. */
static bool ends(pid_t pid, double limit, int *status)
{
	for (;; wait_s(0.001)) {
		pid_t got = waitpid(pid, status, WNOHANG);

		look_for_checkpoint();
		if (got == pid || (got < 0 && errno == ECHILD))
			return true;
		if (now() > limit)
			return false;
	}
}

/* What the coordinator said; false where it was killed before it could. */
static bool heard(int result, char *text, size_t size)
{
	ssize_t n = read(result, text, size - 1);

	close(result);
	text[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* The stages of a coordinator that run now. */
static unsigned stages_of(pid_t pid, pid_t *out, unsigned cap)
{
	char path[64], line[1024];
	unsigned n = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
	f = fopen(path, "re");
	if (f && fgets(line, sizeof line, f))
		for (char *s = strtok(line, " \n"); s && n < cap; s = strtok(NULL, " \n"))
			out[n++] = (pid_t)atoi(s);
	if (f)
		fclose(f);
	return n;
}

/* Children of this process that are left, and are ended. */
static unsigned orphans(double limit)
{
	unsigned n = 0;
	pid_t left[64];

	for (;; wait_s(0.001)) {
		pid_t got = waitpid(-1, NULL, WNOHANG);

		if (got < 0 && errno == ECHILD)
			return 0;
		if (now() > limit)
			break;
	}
	n = stages_of(getpid(), left, 64);
	for (unsigned i = 0; i < n; i++) {
		kill(left[i], SIGKILL);
		waitpid(left[i], NULL, 0);
	}
	return n;
}

/* Names in a folder that begin so; not those of folders, which are other tests'. */
static unsigned entries(const char *path, const char *begin)
{
	DIR *d = opendir(path);
	struct dirent *entry;
	unsigned n = 0;

	while (d && (entry = readdir(d)))
		n += entry->d_type != DT_DIR && !strncmp(entry->d_name, begin, strlen(begin));
	if (d)
		closedir(d);
	return n;
}

/* ---- a trial --------------------------------------------------------------------------------- */

static char whole[64];   /* the bits of an undisturbed session */
static double length;    /* of a staged one, in seconds */
static double slowest;   /* from a fault to the session's end */
static double took;      /* the same in this trial, of what is not tried again */
static unsigned shm, kinds[4];

struct fault {
	bool coordinator;
	int sig; /* 0: there was nobody left */
	pid_t pid;
	unsigned stage; /* the first is 0 */
};

static int wrong(uint32_t seed, const char *what, const char *text)
{
	printf("# seed %u: %s: %s\n", seed, what, text);
	return 1;
}

/* Hurt one process of the session at a random moment. */
static void hurt(pid_t pid, struct fault *f)
{
	static const int signals[] = { SIGKILL, SIGKILL, SIGSTOP, SIGABRT };
	uint32_t kind = draw(4), who = draw(100), moment = draw(10000);
	pid_t victims[64];
	unsigned n;

	wait_s(length * 0.8 * moment / 10000);
	n = stages_of(pid, victims, 64);
	look_for_checkpoint();
	f->coordinator = who < 20;
	f->sig = f->coordinator ? SIGKILL : signals[kind];
	f->stage = n ? who % n : 0; /* they are listed as they were started */
	f->pid = f->coordinator ? pid : n ? victims[f->stage] : 0;
	if (!f->pid || kill(f->pid, f->sig))
		f->sig = 0;
	kinds[!f->sig ? 3 : f->coordinator ? 0 : f->sig == SIGSTOP ? 2 : 1]++;
}

/* Is this how a session may end that lost this stage by this signal? */
static bool says_lost(const char *text, const struct session *s, const struct fault *f)
{
	char name[80], process[40];

	snprintf(name, sizeof name, "stage '%s' (", names[s->stages][f->stage % MOST_STAGES]);
	snprintf(process, sizeof process, ", process %d) ", (int)f->pid);
	if (strncmp(text, name, strlen(name)) || !strstr(text, process))
		return false;
	if (f->sig == SIGSTOP)
		return strstr(text, "has been stopped for") != NULL;
	return strstr(text, "was killed by signal") || strstr(text, "ended with exit code") ||
	       strstr(text, "hung up");
}

/* A session that is disturbed; 0: it ended as it may. */
static int disturbed(uint32_t seed, const struct session *s)
{
	struct fault f;
	char text[600];
	int result, status = 0;
	double begin, end;
	bool spoke;
	pid_t pid = start(s, &result);

	hurt(pid, &f);
	begin = now();
	if (!ends(pid, begin + HANG_S, &status)) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		close(result);
		return wrong(seed, "it hangs", s->retries ? "with --retry" : "without --retry");
	}
	end = now() - begin;
	spoke = heard(result, text, sizeof text);
	if (f.sig && !f.coordinator && end > slowest)
		slowest = end;
	if (f.sig && !f.coordinator && !s->retries && end > took)
		took = end;
	if (orphans(now() + 5))
		return wrong(seed, "processes are left", text);
	if (existed && access(in_dir("c.rnm"), F_OK))
		return wrong(seed, "the checkpoint is gone", text);
	if (f.coordinator && !spoke)
		return 0;
	if (!spoke)
		return wrong(seed, "the coordinator crashed", text);
	if (!strcmp(text, whole) && WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	if (s->retries)
		return wrong(seed, "it was not tried again", text);
	if (f.sig && says_lost(text, s, &f))
		return 0;
	printf("# signal %d to process %d, '%s'\n", f.sig, (int)f.pid,
	       names[s->stages][f.stage % MOST_STAGES]);
	return wrong(seed, "it ended wrongly", text);
}

/* Up to three sessions that are disturbed, each going on from the one before; then one that
 * is not. */
static int trial(uint32_t seed)
{
	struct session s = { .staged = true };
	char text[600];
	int rc, status, result;
	pid_t pid;

	seed_with(seed);
	unlink(in_dir("c.rnm"));
	existed = false;
	took = 0;
	for (uint32_t i = 0, n = draw(3) ? 1 : 2; i < n; i++) {
		s.stages = draw(4); /* 0: one for each */
		s.threads = 1 + draw(2);
		s.retries = draw(3) ? 0 : 2;
		s.resume = i > 0;
		rc = disturbed(seed, &s);
		if (rc)
			return rc;
	}
	s = (struct session){ .staged = draw(2), .stages = draw(3), .threads = 1 + draw(2),
			      .resume = true };
	pid = start(&s, &result);
	if (!ends(pid, now() + HANG_S, &status)) {
		kill(pid, SIGKILL);
		return wrong(seed, "the session that goes on hangs", "");
	}
	heard(result, text, sizeof text);
	if (strcmp(text, whole))
		return wrong(seed, "it does not go on to the same bits", text);
	if (entries("/dev/shm", "rn") > shm)
		return wrong(seed, "something is left", "in /dev/shm");
	return 0;
}

/* One that is slow to end may have been kept from the processor: then it is made once more. */
static int timely_trial(uint32_t seed)
{
	int rc = trial(seed);

	if (rc || is_slow || took <= PROMISED_S)
		return rc;
	printf("# seed %u: it took %.2f s to end\n", seed, took);
	rc = trial(seed);
	return rc || took <= PROMISED_S ? rc : wrong(seed, "it does not end within 5 s", "");
}

static void test_trials(void)
{
	const char *only = getenv("RN_FAULTS_SEED"), *more = getenv("RN_LONG");
	struct session fused = { .threads = 1 };
	char whole_again[64];
	unsigned n = more && *more && strcmp(more, "0") ? 2000 : 50, bad = 0, files;
	uint32_t first = only ? (uint32_t)strtoul(only, NULL, 10) : 1;

	n = only ? 1 : n;
	unlink(in_dir("c.rnm"));
	files = entries(dir, "") + 1; /* and the checkpoint */
	for (uint32_t i = 0; i < n; i++)
		bad += (unsigned)timely_trial(first + i);
	T_OK(!bad, "%u trials from seed %u: no hang, no orphan, the right message, the same bits",
	     n, first);
	printf("# killed: %u coordinators, %u stages; stopped: %u stages; too late: %u; "
	       "slowest end %.2f s\n", kinds[0], kinds[1], kinds[2], kinds[3], slowest);
	/* A coordinator that is killed between link(2) and rename(2) leaves a temporary name, which
	 * the next one removes. */
	T_OK(entries(dir, ".c.rnm.") <= 1, "at most one temporary name is left");
	T_OK(!train(&fused, whole_again, sizeof whole_again) && !strcmp(whole_again, whole) &&
		     entries(dir, "") == files,
	     "nothing is left beside the checkpoint");
	T_OK(only || (kinds[0] && kinds[1] && kinds[2]), "of each kind there were some");
}

/* A session whose stages are hit by one event once it has a checkpoint: all of them are killed, or
 * one is, and another one is stopped.  marker: a file to make before, or NULL.  False: it was over
 * before. */
static bool hit_several(const struct session *s, bool stop, const char *marker, char *text,
			size_t size, int *status)
{
	double limit = now() + HANG_S;
	siginfo_t over = { 0 };
	pid_t stages[64], pid;
	unsigned n = 0;
	int result;

	unlink(in_dir("c.rnm"));
	pid = start(s, &result);
	while (access(in_dir("c.rnm"), F_OK) && now() < limit && !over.si_pid) {
		wait_s(0.0005);
		(void)waitid(P_PID, (id_t)pid, &over, WEXITED | WNOHANG | WNOWAIT);
	}
	n = stages_of(pid, stages, 64);
	if (marker)
		fclose(fopen(marker, "w"));
	if (stop && n > 1)
		kill(stages[n - 1], SIGSTOP);
	for (unsigned i = 0; i < (stop && n ? 1 : n); i++)
		kill(stages[i], SIGKILL);
	if (!ends(pid, now() + HANG_S, status)) {
		kill(pid, SIGKILL);
		waitpid(pid, status, 0);
	}
	heard(result, text, size);
	(void)orphans(now() + 5);
	return n > 1;
}

/* One event is one loss, whatever it hits. */
static void test_several(void)
{
	struct session s = { .staged = true, .threads = 1, .retries = 1 };

	for (int stop = 0; stop < 2; stop++) {
		unsigned hits = 0, bad = 0;
		char text[600];
		int status;

		for (int i = 0; i < 20 && hits < 4; i++) {
			bool hit = hit_several(&s, stop, NULL, text, sizeof text, &status);

			hits += hit;
			if (strcmp(text, whole))
				bad += (unsigned)wrong((uint32_t)i, "not the bits", text);
		}
		T_OK(hits && !bad, "one retry survives %u times that %s", hits,
		     stop ? "one stage is killed and another one stopped" : "all stages are killed");
	}
}

/* All are killed, and those that are started again end at once: that is another loss. */
static void test_no_second_start(void)
{
	struct session s = { .staged = true, .threads = 1, .retries = 1 };
	FILE *f;
	char text[600], self[256] = "", once[128], marker[128];
	bool hit = false;
	double begin;
	int status;

	(void)!readlink("/proc/self/exe", self, sizeof self - 1);
	snprintf(once, sizeof once, "%s/once", dir);
	snprintf(marker, sizeof marker, "%s/marker", dir);
	f = fopen(once, "w");
	fprintf(f, "#!/bin/sh\n[ -e %s ] && exit 3\nexec %s \"$@\"\n", marker, self);
	fclose(f);
	chmod(once, 0700);
	s.exe = once;
	begin = now();
	for (int i = 0; i < 20 && !hit; i++) {
		unlink(marker);
		hit = hit_several(&s, false, marker, text, sizeof text, &status) &&
		      strcmp(text, whole);
	}
	T_OK(hit && strstr(text, ") ended with exit code 3 during the start") && now() - begin < HANG_S,
	     "one that cannot be started again is lost: %s", text);
	unlink(marker);
	unlink(once);
}

/* Who ignores SIGCHLD has no status of its children. */
static void test_deaf(void)
{
	struct session s = { .staged = true, .threads = 1, .deaf = true };
	bool hit = false;
	char text[600];
	int status;

	for (int i = 0; i < 20 && !hit; i++)
		hit = hit_several(&s, false, NULL, text, sizeof text, &status) && strcmp(text, whole);
	T_OK(hit && !strncmp(text, "stage '", 7) && strstr(text, ") has ended"),
	     "with SIGCHLD ignored, too: %s", text);
}

/* What a stage wrote to its standard error is told, line by line, and how often it was tried. */
static void test_words(void)
{
	struct session s = { .staged = true, .stages = 1, .threads = 1, .retries = 1 };
	unsigned fds = entries("/proc/self/fd", "");
	FILE *f = fopen(in_dir("noisy"), "w");
	char text[600];

	fprintf(f, "#!/bin/sh\necho 'first line' >&2\necho 'last line' >&2\nexit 3\n");
	fclose(f);
	chmod(in_dir("noisy"), 0700);
	s.exe = in_dir("noisy");
	unlink(in_dir("c.rnm"));
	*warnings = '\0';
	T_OK(train(&s, text, sizeof text) == RN_EIO &&
		     strstr(text, "(several, process ") &&
		     strstr(text, ") ended with exit code 3 during the start (it wrote: last line)"),
	     "it says how a stage ended: %s", text);
	T_OK(strstr(warnings, " says: first line\n") && strstr(warnings, " says: last line\n"),
	     "and all that it wrote");
	T_OK(strstr(warnings, "trying again after epoch 0 (1 of 1)\n"), "it was tried again, once");
	T_OK(entries("/proc/self/fd", "") == fds, "nothing of either try is left open");
	s.exe = in_dir("nothing");
	s.retries = 0;
	T_OK(train(&s, text, sizeof text) == RN_EIO && strstr(text, "cannot start '"),
	     "a program that is not there");
	unlink(in_dir("noisy"));
}

/* A program for stages of which the first one lies; what it leaves to say that it did is of this
 * try alone, as the shell of a stage that was ended may still be at its mkdir. */
static void write_liar(const char *liar, const char *lied)
{
	char self[256] = "";
	FILE *f;

	(void)!readlink("/proc/self/exe", self, sizeof self - 1);
	unlink(liar);
	f = fopen(liar, "w");
	fprintf(f, "#!/bin/sh\nmkdir %s 2>/dev/null || exec %s \"$@\"\n", lied, self);
	fprintf(f, "printf %%064d 0 >&3\nexec sleep 60\n");
	fclose(f);
	chmod(liar, 0700);
}

/* One stage's first answer is no message; with another try that changes nothing. */
static void test_noise(void)
{
	struct session s = { .staged = true, .threads = 1 };
	static const char want[] = "does not answer properly during the start: the other process does "
				   "not speak this protocol";
	char text[600], liar[128], lied[128];

	snprintf(liar, sizeof liar, "%s/liar", dir);
	s.exe = liar;
	for (s.retries = 0; s.retries < 2; s.retries++) {
		snprintf(lied, sizeof lied, "%s/lied%u", dir, s.retries);
		write_liar(liar, lied);
		unlink(in_dir("c.rnm"));
		*warnings = '\0';
		if (s.retries)
			T_OK(!train(&s, text, sizeof text) && !strcmp(text, whole) &&
				     strstr(warnings, want),
			     "and with another try it has the same bits: %s; %s", text, warnings);
		else
			T_OK(train(&s, text, sizeof text) == RN_EIO && !strncmp(text, "stage '", 7) &&
				     strstr(text, want),
			     "an answer that is no message: %s", text);
	}
	for (unsigned i = 0; i < 2; i++) {
		snprintf(lied, sizeof lied, "%s/lied%u", dir, i);
		rmdir(lied);
	}
	unlink(liar);
}

/* One for each number of them. */
static void find_names(void)
{
	struct session s = { .staged = true, .threads = 1 };
	char text[600];

	for (s.stages = 0; s.stages < 4; s.stages++) {
		unlink(in_dir("c.rnm"));
		T_OK(!train(&s, text, sizeof text) && !strcmp(text, whole) &&
			     *names[s.stages][s.stages ? s.stages - 1 : 4],
		     "--stages %u: '%s' is the first", s.stages, names[s.stages][0]);
	}
}

int main(int argc, char **argv)
{
	struct session fused = { .threads = 1 }, staged = { .staged = true, .threads = 1 };
	char text[600];
	unsigned fds;
	double begin;

	if (argc == 3 && !strcmp(argv[1], "--stage"))
		return rn_stage_main(atoi(argv[2]));
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	snprintf(dir, sizeof dir, "/tmp/test_faults.%d", (int)getpid());
	snprintf(text, sizeof text, "mkdir -p %s", dir);
	if (system(text))
		return 1;
	write_data();
	shm = entries("/dev/shm", "rn");
	T_OK(!train(&fused, whole, sizeof whole) && strlen(whole) == 16, "a session: bits %s", whole);
	length = HANG_S;
	fds = entries("/proc/self/fd", "");
	for (int i = 0; i < 3; i++) {
		unlink(in_dir("c.rnm"));
		begin = now();
		T_OK(!train(&staged, text, sizeof text) && !strcmp(text, whole), "staged has the same");
		length = now() - begin < length ? now() - begin : length;
	}
	T_OK(entries("/proc/self/fd", "") == fds, "no memory and no link of theirs is left open");
	/* A sanitizer in a stage would have said so. */
	T_OK(!*warnings, "and nothing to complain of: %s", warnings);
	printf("# a staged session takes %.3f s\n", length);
	find_names();
	test_words();
	test_noise();
	test_several();
	test_no_second_start();
	test_deaf();
	test_trials();
	snprintf(text, sizeof text, "rm -rf %s", dir);
	if (system(text))
		return 1;
	return t_done();
}
