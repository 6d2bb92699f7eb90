/* SPDX-License-Identifier: Apache-2.0 */
#include "child.h"

#include "../base/memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum {
	WORDS = 16 << 10, /* bytes of a standard error that are told, the last ones */
	END_MS = 2000,    /* for a process to end that has hung up, or was told to stop */
	UNKNOWN = -1,     /* a status: nobody kept it */
};

/* ---- how one ended ------------------------------------------------------------------------- */

/* Also where somebody else has reaped it: then its number may be another process's. */
static bool has_ended(const struct rn_child *c)
{
	siginfo_t info = { 0 };

	if (waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT))
		return errno == ECHILD;
	return info.si_pid != 0;
}

/* Wait for it at most END_MS; false: it still runs.  Reaped, its pid is 0. */
static bool reap(struct rn_child *c, int *status)
{
	struct timespec pause = { .tv_nsec = 1000000 };

	for (int ms = 0;; ms++) {
		pid_t got = waitpid(c->pid, status, WNOHANG);

		if (got == c->pid || (got < 0 && errno == ECHILD)) {
			*status = got < 0 ? UNKNOWN : *status;
			c->pid = 0;
			return true;
		}
		if (ms == END_MS)
			return false;
		nanosleep(&pause, NULL);
	}
}

static void kill_child(struct rn_child *c)
{
	if (!c->pid)
		return;
	if (!has_ended(c))
		kill(c->pid, SIGKILL); /* also one that is stopped */
	while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
		;
	c->pid = 0;
}

/* What it wrote to its standard error since it was last told goes to the log, line by line;
 * *last: the last line. */
static void tell_words(struct rn_child *c, char *last, size_t size)
{
	off_t end = c->err < 0 ? 0 : lseek(c->err, 0, SEEK_END);
	off_t from = end - c->told > WORDS ? end - WORDS : c->told;
	char *text = end > from ? malloc(WORDS + 1) : NULL, *line, *rest;
	ssize_t n = 0;

	*last = '\0';
	if (text)
		n = pread(c->err, text, WORDS, from);
	if (n <= 0) {
		free(text);
		return;
	}
	c->told = from + n;
	text[n] = '\0';
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		rn_log(c->all->ctx, RN_LOG_WARN, "stage '%s' says: %s", c->part->name, line);
		snprintf(last, size, "%s", line);
	}
	free(text);
}

/* " in 'h' (linear), the backward pass of epoch 12", as far as it is known. */
static void tell_place(const struct rn_child *c, char *buf, size_t size)
{
	const struct rn_plan *p = c->all->plan;
	uint32_t at = c->status ? atomic_load(&c->status->at) : 0;
	size_t n = 0;

	*buf = '\0';
	if (at && at <= p->nnodes)
		n = (size_t)snprintf(buf, size, " in '%.200s' (%s)", p->nodes[at - 1].name,
				     p->nodes[at - 1].op->name);
	if (c->doing && n < size)
		n += (size_t)snprintf(buf + n, size - n, "%s %s", n ? "," : " during", c->doing);
	if (c->doing && c->epoch && n < size)
		snprintf(buf + n, size - n, " of epoch %u", c->epoch);
}

static const char *kind_of(const struct rn_child *c)
{
	return c->part->nnodes == 1 ? c->all->plan->nodes[c->part->nodes[0]].op->name : "several";
}

/* End it, and say so: which one, `how` it was lost, where it was, `more`, and what it wrote (never
 * last: a message that ends as one of a closed pipe is none, cli.c). */
static int give_up(struct rn_child *c, const char *how, const char *more, struct rn_err *e)
{
	char words[512], place[400];

	c->all->lost = true;
	kill_child(c);
	tell_place(c, place, sizeof place);
	tell_words(c, words, sizeof words);
	return rn_err_set(e, RN_EIO, "stage '%s' (%s, process %d) %s%s%s%s%s%s", c->part->name,
			  kind_of(c), (int)c->was, how, place, more, *words ? " (it wrote: " : "",
			  words, *words ? ")" : "");
}

/* It hung up, or is no more.  why: what the call says that found it so, for one that still runs. */
static int lost(struct rn_child *c, const char *why, struct rn_err *e)
{
	int status = 0;
	bool ended = c->pid && reap(c, &status);
	char how[128] = "hung up", more[400] = "";

	if (!ended) {
		if (*why)
			snprintf(more, sizeof more, " (%.300s)", why);
	} else if (status == UNKNOWN) {
		snprintf(how, sizeof how, "has ended");
	} else if (WIFSIGNALED(status)) {
		snprintf(how, sizeof how, "was killed by signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	} else {
		snprintf(how, sizeof how, "ended with exit code %d", WEXITSTATUS(status));
	}
	return give_up(c, how, more, e);
}

/* What came is no answer. */
static int wrong(struct rn_child *c, const char *why, struct rn_err *e)
{
	char more[400];

	snprintf(more, sizeof more, ": %.300s", why);
	return give_up(c, "does not answer properly", more, e);
}

/* ---- watching ------------------------------------------------------------------------------ */

/* Processor time of a process; UINT64_MAX where it cannot be told. */
static uint64_t cpu_of(pid_t pid)
{
	struct timespec t;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &t))
		return UINT64_MAX;
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* 'R' running or ready to run, 'T' stopped, ...; '?' where it cannot be told. */
static char state_of(pid_t pid)
{
	char path[32], text[256], *state;
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, text, sizeof text - 1);
		close(fd);
	}
	if (n <= 0)
		return '?';
	text[n] = '\0';
	state = strrchr(text, ')'); /* "PID (NAME) STATE ..." */
	return state && state[1] == ' ' ? state[2] : '?';
}

static int find_lost(struct rn_children *all, struct rn_err *e)
{
	for (uint32_t i = 0; i < all->n; i++) {
		struct rn_child *c = &all->items[i];

		if (c->pid && !c->ending && has_ended(c))
			return lost(c, "", e);
	}
	return 0;
}

void rn_children_reap(struct rn_children *c)
{
	struct rn_err why = { 0 };

	while (find_lost(c, &why))
		rn_log(c->ctx, RN_LOG_WARN, "%s", why.msg);
}

static bool is_stopped(char st)
{
	return st == 'T' || st == 't';
}

/* A tick has gone by.  owes: it had something to do. */
static void look(struct rn_child *c, bool owes)
{
	uint64_t cpu;

	/* On a device others may wait for what one has begun there that owes nothing any more. */
	c->state = c->pid && (owes || c->all->devices) ? state_of(c->pid) : 0;
	if (!owes && !is_stopped(c->state)) {
		c->idle = 0;
		return;
	}
	cpu = cpu_of(c->pid);
	/* One that is ready to run is not to blame for a machine that is too busy. */
	c->idle = cpu == c->cpu_ns && c->state != 'R' ? c->idle + RN_TICK : 0;
	c->cpu_ns = cpu;
}

/* Of these two the one that has been idle for longer; either may be NULL. */
static struct rn_child *longer(struct rn_child *a, struct rn_child *b)
{
	return !a || (b && b->idle > a->idle) ? b : a;
}

/* Who is to be given up when `most` seconds are over; NULL: nobody yet.  Who is late may wait for the
 * one that is stopped (and use a processor for it, or some library in it does), but may also have
 * been late for a while when the other was stopped: so it has twice as long. */
static struct rn_child *to_blame(struct rn_child *late, struct rn_child *stopped, double most)
{
	if (stopped && stopped->idle >= most)
		return stopped;
	return late->idle >= (stopped ? 2 * most : most) ? late : NULL;
}

/* One owes something, and another may be stopped.  What waits for a device looks like one that
 * hangs: so nobody hurries it when the training is to end. */
static int watch_late(struct rn_child *late, struct rn_child *stopped, struct rn_err *e)
{
	const struct rn_children *all = late->all;
	const double end = END_MS * 1e-3;
	bool hurried = all->stop && *all->stop && (!all->devices || stopped) &&
		       (!all->timeout || all->timeout > end);
	double most = hurried ? end : all->timeout;
	struct rn_child *c = most ? to_blame(late, stopped, most) : NULL;
	char how[64];

	if (!c)
		return 0;
	snprintf(how, sizeof how, "%s for %g s", c == stopped ? "has been stopped" : "has not answered",
		 c == stopped || !stopped ? most : 2 * most);
	return give_up(c, how, hurried ? " (the training is to end)" : " (--stage-timeout)", e);
}

/* The board says `what`, which cannot be. */
static int spoiled(const struct rn_children *c, const char *what, struct rn_err *e)
{
	char epoch[32] = "";

	if (c->items[0].epoch)
		snprintf(epoch, sizeof epoch, " of epoch %u", c->items[0].epoch);
	return rn_err_set(e, RN_EBUG,
			  "%s%s: %s: some stage has written over the board that all of them share; "
			  "train with --placement fused", c->items[0].doing, epoch, what);
}

/* Nobody owes anything.  Work that was handed over while this looked at one after the other may have
 * been missed, but not tick after tick. */
static int watch_nobody(struct rn_children *all, struct rn_err *e)
{
	all->nobody += RN_TICK;
	if (all->nobody < END_MS * 1e-3)
		return 0;
	return spoiled(all, "it has not ended, and no stage has work", e);
}

/* A tick has gone by.  asked: who is to answer; NULL: those that the board has work for. */
static int watch(struct rn_children *all, const struct rn_child *asked, struct rn_err *e)
{
	struct rn_child *late = NULL, *stopped = NULL;

	RN_TRY(find_lost(all, e));
	for (uint32_t i = 0; i < all->n; i++) {
		struct rn_child *c = &all->items[i];
		bool owes = asked ? c == asked : c->pid && atomic_load(&c->status->ready);

		look(c, owes);
		if (owes)
			late = longer(late, c);
		if (is_stopped(c->state))
			stopped = longer(stopped, c);
	}
	if (!late)
		return watch_nobody(all, e);
	all->nobody = 0;
	return watch_late(late, stopped, e);
}

/* A tick has passed without an answer of this one. */
static int patience(void *arg, struct rn_err *e)
{
	struct rn_child *c = arg;

	return watch(c->all, c, e);
}

void rn_children_begin(struct rn_children *c, const char *doing, uint32_t epoch)
{
	c->nobody = 0;
	for (uint32_t i = 0; i < c->n; i++) {
		c->items[i].doing = doing;
		c->items[i].epoch = epoch;
		c->items[i].idle = 0;
		c->items[i].fresh = c->items[i].fresh && !doing;
	}
}

int rn_children_watch(struct rn_children *c, struct rn_err *e)
{
	return watch(c, NULL, e);
}

/* ---- talking ------------------------------------------------------------------------------- */

int rn_child_ask(struct rn_child *c, const char *doing, const struct rn_msg *m,
		 const void *payload, const int *fds, struct rn_err *e)
{
	struct rn_err why = { 0 };
	int rc;

	c->doing = doing;
	c->epoch = 0;
	c->idle = 0;
	c->talking = true;
	if (c->status) { /* before it is sent: what is large waits to be read */
		atomic_store(&c->status->mail, 1);
		rn_bell_ring(&c->status->bell);
	}
	rc = c->link->ops->send(c->link, m, payload, fds, &why);
	if (!rc)
		return 0;
	/* A process that is gone says more by its exit than send(2) does. */
	return c->all->lost ? rn_err_set(e, rc, "%s", why.msg) : lost(c, why.msg, e);
}

/* It says itself what is wrong.  One that has no memory is lost: that may be another's doing,
 * as it is where the system kills it for want of some. */
static int failed(struct rn_child *c, const struct rn_msg *m, struct rn_err *e)
{
	struct rn_err text = { 0 };
	char words[512], place[400];
	int rc = -(int)(m->from & 0xff);

	if (!m->from || m->from > -RN_EBUG || m->payload >= sizeof text.msg)
		return wrong(c, "it says that it failed, and not why", e);
	RN_TRY(rn_child_read(c, text.msg, m->payload, e));
	c->all->told = true;
	if (rc == RN_ENOMEM) {
		c->all->lost = true;
		kill_child(c);
	}
	tell_place(c, place, sizeof place);
	tell_words(c, words, sizeof words);
	c->doing = NULL;
	return rn_err_set(e, rc, "stage '%s' (%s, process %d) failed%s: %s%s%s%s", c->part->name,
			  kind_of(c), (int)c->was, place, text.msg, *words ? " (it wrote: " : "",
			  words, *words ? ")" : "");
}

int rn_child_hear(struct rn_child *c, struct rn_msg *answer, struct rn_err *e)
{
	struct rn_err why = { 0 };
	bool end;
	int rc = c->link->ops->recv(c->link, answer, NULL, &end, &why);

	if (rc && c->all->lost)
		return rn_err_set(e, rc, "%s", why.msg);
	if (rc)
		return wrong(c, why.msg, e);
	if (end)
		return lost(c, "it closed its link", e);
	if (answer->type == RN_MSG_FAILED)
		return failed(c, answer, e);
	if (answer->type != RN_MSG_DONE)
		return wrong(c, "there is no such answer", e);
	c->doing = NULL;
	c->talking = answer->payload != 0;
	return 0;
}

/* What is on its link was sent before the board was told. */
int rn_children_failed(struct rn_children *c, uint32_t q, struct rn_err *e)
{
	struct rn_child *p = q < c->n ? &c->items[q] : NULL;
	const char *doing = p ? p->doing : NULL;
	struct rn_msg answer;

	if (!p)
		return spoiled(c, "a stage is said to have failed that there is not", e);
	if (p->link->ops->waits(p->link))
		RN_TRY(rn_child_hear(p, &answer, e));
	p->doing = doing;
	return spoiled(c, "a stage is said to have failed that has not", e);
}

int rn_child_read(struct rn_child *c, void *payload, size_t n, struct rn_err *e)
{
	struct rn_err why = { 0 };
	int rc = c->link->ops->read(c->link, payload, n, &why);

	c->talking = rc != 0;
	if (!rc)
		return 0;
	return c->all->lost ? rn_err_set(e, rc, "%s", why.msg) : lost(c, why.msg, e);
}

/* ---- starting ------------------------------------------------------------------------------ */

/* In the new process, which has but one thread and may be stopped or orphaned at any place:
 * only calls that are safe after fork(2). */
static _Noreturn void become_stage(const char *exe, int sock, int err, pid_t coordinator)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGCHLD };
	char arg0[] = "rn-train", arg1[] = "--stage", arg2[] = "3";
	char *argv[] = { arg0, arg1, arg2, NULL };
	sigset_t none;
	int null;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* exec keeps it */
	if (getppid() != coordinator)
		_exit(127);
	/* A group of its own: the terminal's ^C is for the coordinator, which then says stop. */
	(void)setpgid(0, 0);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
		(void)signal(signals[i], SIG_DFL);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(err, 2) < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0)
		_exit(127);
	if (sock == 3 ? fcntl(sock, F_SETFD, 0) < 0 : dup2(sock, 3) < 0)
		_exit(127);
	(void)close_range(4, ~0u, 0);
	execve(exe, argv, environ);
	_exit(127);
}

/* fork(2) and not posix_spawn(3), for which a child that is stopped before it executes stops
 * its parent, too, and which cannot have it end with its parent. */
static int spawn(struct rn_child *c, const char *exe, int sock, struct rn_err *e)
{
	pid_t self = getpid();

	if (access(exe, X_OK))
		return rn_err_errno(e, "cannot start '%s' for stage '%s'", exe, c->part->name);
	c->pid = fork();
	if (c->pid < 0) {
		c->pid = 0;
		if (errno == EAGAIN)
			return rn_err_set(e, RN_EIO,
					  "cannot start a process for stage '%s': no more are allowed (ulimit -u, "
					  "or pids.max of a container): allow more, or have fewer of them (--stages N)",
					  c->part->name);
		return rn_err_errno(e, "cannot start a process for stage '%s'", c->part->name);
	}
	if (!c->pid)
		become_stage(exe, sock, c->err, self);
	c->was = c->pid;
	return 0;
}

/* As if it had never been. */
static void forget(struct rn_child *c)
{
	char words[512];

	kill_child(c);
	tell_words(c, words, sizeof words);
	rn_link_close(c->link);
	c->link = NULL;
	if (c->err >= 0)
		close(c->err);
	c->err = -1;
	c->told = 0;
	c->talking = c->ending = false;
	if (!c->status)
		return;
	atomic_store(&c->status->ready, 0);
	atomic_store(&c->status->mail, 0);
	atomic_store(&c->status->at, 0);
	atomic_store(&c->status->bell.sleeps, 0);
	c->status = NULL;
}

int rn_child_start(struct rn_child *c, const char *exe, struct rn_err *e)
{
	int pair[2], rc;

	forget(c);
	c->begun = rn_now();
	c->fresh = true;
	c->err = rn_memfd("rn-stage-stderr");
	if (c->err < 0)
		return rn_err_errno(e, "cannot make a file for stage '%s'", c->part->name);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return rn_err_errno(e, "cannot make a socket for stage '%s'", c->part->name);
	rc = rn_link_socket(pair[0], patience, c, &c->link, e);
	if (!rc)
		rc = spawn(c, exe, pair[1], e);
	close(pair[1]);
	return rc;
}

/* ---- ending -------------------------------------------------------------------------------- */

/* While they start, each has a link, a standard error and an image here. */
static int check_files(uint32_t n, struct rn_err *e)
{
	const uint64_t need = 3 * (uint64_t)n;
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) || need <= l.rlim_cur)
		return 0;
	return rn_err_set(e, RN_EIO,
			  "%u stage processes take %llu open files, and there may be %llu (ulimit -n): "
			  "raise that limit, or have fewer of them (--stages N)", n,
			  (unsigned long long)need, (unsigned long long)l.rlim_cur);
}

int rn_children_init(struct rn_children *c, const struct rn_cut *cut, struct rn_err *e)
{
	RN_TRY(check_files(cut->nparts, e));
	RN_TRY(rn_calloc(cut->nparts, sizeof *c->items, "stages", &c->items, e));
	c->n = cut->nparts;
	for (uint32_t i = 0; i < c->n; i++)
		c->items[i] = (struct rn_child){ .all = c, .part = &cut->parts[i], .err = -1 };
	return 0;
}

void rn_children_stop(struct rn_children *c)
{
	double timeout = c->timeout;

	/* Idle processes: they answer at once, or have been stopped. */
	c->timeout = timeout && timeout < END_MS * 1e-3 ? timeout : END_MS * 1e-3;
	for (uint32_t i = 0; i < c->n; i++) {
		struct rn_child *p = &c->items[i];
		struct rn_msg m = { .type = RN_MSG_STOP };

		p->ending = true;
		if (p->pid && rn_child_ask(p, "the end", &m, NULL, NULL, NULL))
			kill_child(p);
	}
	for (uint32_t i = 0; i < c->n; i++) {
		struct rn_child *p = &c->items[i];
		struct rn_msg answer;
		char words[512];

		if (!p->pid)
			continue;
		if (!rn_child_hear(p, &answer, NULL))
			p->peak = (struct rn_peaks){ answer.t, answer.device };
		if (p->pid && !reap(p, &(int){ 0 }))
			kill_child(p);
		tell_words(p, words, sizeof words);
	}
	c->timeout = timeout;
	c->lost = false; /* their work is done */
}

void rn_children_fini(struct rn_children *c)
{
	for (uint32_t i = 0; i < c->n; i++)
		if (c->items[i].pid && !has_ended(&c->items[i]))
			kill(c->items[i].pid, SIGKILL);
	for (uint32_t i = 0; i < c->n; i++)
		forget(&c->items[i]);
	free(c->items);
	c->items = NULL;
	c->n = 0;
}
