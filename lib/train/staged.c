/* SPDX-License-Identifier: Apache-2.0
 *
 * The coordinator of a staged placement: cut the program into parts, lay out
 * what they share, start the processes, and drive them.
 */
#include "staged.h"

#include "channel.h"
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

struct process {
	char name[64];   /* stages that it runs */
	pid_t pid;       /* 0: not running */
	int sock;        /* -1: none */
	int err;         /* its standard error: a file in memory */
	uint32_t ninsts, *insts;   /* its instructions -> the program's */
	uint32_t nstates, *states; /* its optimizer slots -> the fit's */
	uint64_t bytes;  /* of its machine */
};

/* Instructions of one process that follow each other in the program. */
struct segment {
	uint32_t process, from, to;
};
enum phase { FORWARD, BACKWARD, STEP, NPHASES };

struct staged {
	struct rn_runner base;
	struct rn_staged_conf conf;
	uint32_t nprocesses;
	struct process *processes;
	uint32_t *process_of; /* [ninsts] RN_NONE for a view */
	uint64_t *shared;     /* [nvals] offset in values, or RN_UNSHARED */
	struct rn_shared *values;
	struct segment *segments;
	size_t nsegments, cap_segments;
	size_t phase[NPHASES + 1]; /* segments of phase p: phase[p] … phase[p+1]-1 */
};

static struct staged *self(struct rn_runner *r)
{
	return (struct staged *)r;
}

/* ---- cutting ----------------------------------------------------------------------------- */

static void add_name(struct process *p, const char *stage)
{
	size_t n = strlen(p->name);

	if (n + strlen(stage) + 3 <= sizeof p->name)
		snprintf(p->name + n, sizeof p->name - n, n ? ", %s" : "%s", stage);
	else if (n + 5 < sizeof p->name && (n < 3 || strcmp(p->name + n - 3, "...")))
		strcpy(p->name + n, n ? " ..." : "...");
}

/* Stages in order of first appearance, at most conf->stages processes of as many
 * stages each. */
static int choose_processes(struct staged *s, struct rn_err *e)
{
	const struct rn_prog *p = &s->base.fit->prog;
	uint32_t nnodes = s->conf.plan->nnodes, n = 0;
	uint32_t *order, *rank;
	int rc;

	RN_TRY(rn_calloc((size_t)nnodes * 2, sizeof *order, "stages", &order, e));
	rank = order + nnodes;
	memset(rank, 0xff, nnodes * sizeof *rank);
	for (uint32_t i = 0; i < p->ninsts; i++) {
		uint32_t stage = p->insts[i].stage;

		if (p->insts[i].op == RN_P_VIEW || rank[stage] != RN_NONE)
			continue;
		rank[stage] = n;
		order[n++] = stage;
	}
	s->nprocesses = s->conf.stages && s->conf.stages < n ? s->conf.stages : n;
	RN_GOTO(out, rn_calloc(s->nprocesses, sizeof *s->processes, "stages", &s->processes, e));
	for (uint32_t i = 0; i < s->nprocesses; i++)
		s->processes[i].sock = s->processes[i].err = -1;
	for (uint32_t i = 0; i < n; i++)
		add_name(&s->processes[(uint64_t)i * s->nprocesses / n],
			 s->conf.plan->nodes[order[i]].name);
	RN_GOTO(out, rn_calloc(p->ninsts, sizeof *s->process_of, "stages", &s->process_of, e));
	for (uint32_t i = 0; i < p->ninsts; i++)
		s->process_of[i] = p->insts[i].op == RN_P_VIEW ? RN_NONE
				   : (uint32_t)((uint64_t)rank[p->insts[i].stage] *
						s->nprocesses / n);
out:
	free(order);
	return rc;
}

/* The value behind views. */
static uint32_t root_of(const struct rn_prog *p, uint32_t v)
{
	while (p->vals[v].kind == RN_V_INST && p->insts[p->vals[v].inst].op == RN_P_VIEW)
		v = p->insts[p->vals[v].inst].in[0].val;
	return v;
}

/* Values that one process makes and another reads, and the loss: no two of them share a
 * place, as a stage may run at any time. */
static int place_values(struct staged *s, struct rn_err *e)
{
	const struct rn_prog *p = &s->base.fit->prog;
	uint64_t at = 0;

	RN_TRY(rn_calloc(p->nvals, sizeof *s->shared, "stages", &s->shared, e));
	for (uint32_t i = 0; i < p->nvals; i++)
		s->shared[i] = RN_UNSHARED;
	for (uint32_t i = 0; i <= p->ninsts; i++) {
		uint32_t nin = i < p->ninsts ? p->insts[i].nin : 1;

		if (i < p->ninsts && p->insts[i].op == RN_P_VIEW)
			continue;
		for (uint32_t k = 0; k < nin; k++) {
			uint32_t v = i < p->ninsts ? p->insts[i].in[k].val : s->base.fit->loss;

			if (v == RN_NONE)
				continue;
			v = root_of(p, v);
			if (p->vals[v].kind != RN_V_INST || s->shared[v] != RN_UNSHARED ||
			    (i < p->ninsts &&
			     s->process_of[p->vals[v].inst] == s->process_of[i]))
				continue;
			s->shared[v] = at;
			at += ((uint64_t)p->vals[v].rows * p->vals[v].width * sizeof(float) +
			       RN_ALIGN - 1) & ~(uint64_t)(RN_ALIGN - 1);
		}
	}
	return rn_shared_new("rn-values", at, &s->values, e);
}

/* Extend the last segment of the phase by the process's next instructions, or begin one. */
static int add_segment(struct staged *s, size_t first, uint32_t process, uint32_t from,
		       uint32_t to, struct rn_err *e)
{
	if (s->nsegments > first && s->segments[s->nsegments - 1].process == process) {
		s->segments[s->nsegments - 1].to = to;
		return 0;
	}
	RN_TRY(rn_grow(&s->segments, &s->cap_segments, s->nsegments + 1, sizeof *s->segments,
		       "stages", e));
	s->segments[s->nsegments++] = (struct segment){ process, from, to };
	return 0;
}

static int cut(struct staged *s, struct rn_err *e)
{
	const struct rn_fit *f = s->base.fit;
	uint32_t ends[NPHASES] = { f->nforward, f->nback, f->prog.ninsts };
	uint32_t *done, i = 0;
	int rc = 0;

	/* done[p]: instructions of process p that are in segments, views among them. */
	RN_TRY(rn_calloc(s->nprocesses, sizeof *done, "stages", &done, e));
	for (unsigned phase = 0; phase < NPHASES; phase++) {
		s->phase[phase] = s->nsegments;
		for (; i < ends[phase]; i++) {
			uint32_t q = s->process_of[i], from;

			if (q == RN_NONE)
				continue;
			from = done[q];
			while (s->processes[q].insts[done[q]] != i)
				done[q]++;
			done[q]++;
			RN_GOTO(out, add_segment(s, s->phase[phase], q, from, done[q], e));
		}
	}
	s->phase[NPHASES] = s->nsegments;
out:
	free(done);
	return rc;
}

/* ---- processes ----------------------------------------------------------------------------- */

/* What a process wrote to its standard error, on one line. */
static void last_words(const struct process *p, char *buf, size_t size)
{
	off_t end = p->err < 0 ? 0 : lseek(p->err, 0, SEEK_END);
	ssize_t n = 0;

	if (end > 0)
		n = pread(p->err, buf, size - 1, end > (off_t)size - 1 ? end - (off_t)size + 1 : 0);
	if (n < 0)
		n = 0;
	while (n > 0 && (buf[n - 1] == '\n' || buf[n - 1] == ' '))
		n--;
	buf[n] = '\0';
	for (char *c = buf; *c; c++)
		if ((unsigned char)*c < ' ')
			*c = ' ';
}

/* It hung up: why? */
static int dead(struct process *p, struct rn_err *e)
{
	char words[512];
	int status = 0, code = RN_EIO;
	const char *sep;

	if (p->pid)
		while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
			;
	last_words(p, words, sizeof words);
	sep = *words ? ": " : "";
	if (WIFSIGNALED(status))
		rn_err_set(e, code, "stage '%s' (process %d) was killed by signal %d (%s)%s%s",
			   p->name, (int)p->pid, WTERMSIG(status), strsignal(WTERMSIG(status)), sep,
			   words);
	else
		rn_err_set(e, code, "stage '%s' (process %d) ended with exit code %d%s%s", p->name,
			   (int)p->pid, WEXITSTATUS(status), sep, words);
	p->pid = 0;
	return code;
}

static int failed(struct process *p, const struct rn_msg *m, struct rn_err *e)
{
	struct rn_err text = { 0 };
	size_t n = m->payload < sizeof text.msg ? m->payload : sizeof text.msg - 1;

	RN_TRY(rn_msg_read(p->sock, text.msg, n, e));
	return rn_err_set(e, -(int)m->from, "stage '%s': %s", p->name, text.msg);
}

static int ask(struct process *p, const struct rn_msg *m, const void *payload, const int *fds,
	       struct rn_err *e)
{
	struct rn_err why = { 0 };

	/* A process that is gone says more by its exit than send(2) does. */
	return rn_msg_send(p->sock, m, payload, fds, &why) ? dead(p, e) : 0;
}

static int hear(struct process *p, struct rn_msg *answer, struct rn_err *e)
{
	int end;

	RN_TRY(rn_msg_recv(p->sock, answer, NULL, &end, e));
	if (end)
		return dead(p, e);
	return answer->type == RN_MSG_DONE ? 0 : failed(p, answer, e);
}

static int spawn_with(struct process *p, const char *exe, int sock,
		      posix_spawn_file_actions_t *fa, posix_spawnattr_t *at, struct rn_err *e)
{
	char arg0[] = "rn-train", arg1[] = "--stage", arg2[] = "3";
	char *argv[] = { arg0, arg1, arg2, NULL };
	sigset_t none, dflt;
	int rc;

	/* A group of its own: the terminal's ^C is for the coordinator, which then says stop. */
	sigemptyset(&none);
	sigemptyset(&dflt);
	sigaddset(&dflt, SIGINT);
	sigaddset(&dflt, SIGTERM);
	sigaddset(&dflt, SIGPIPE);
	rc = posix_spawnattr_setflags(at, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
						  POSIX_SPAWN_SETSIGDEF);
	rc = rc ? rc : posix_spawnattr_setpgroup(at, 0);
	rc = rc ? rc : posix_spawnattr_setsigmask(at, &none);
	rc = rc ? rc : posix_spawnattr_setsigdefault(at, &dflt);
	rc = rc ? rc : posix_spawn_file_actions_adddup2(fa, p->err, 2);
	rc = rc ? rc : posix_spawn_file_actions_addopen(fa, 0, "/dev/null", O_RDONLY, 0);
	rc = rc ? rc : posix_spawn_file_actions_addopen(fa, 1, "/dev/null", O_WRONLY, 0);
	rc = rc ? rc : posix_spawn_file_actions_adddup2(fa, sock, 3);
	rc = rc ? rc : posix_spawn_file_actions_addclosefrom_np(fa, 4);
	rc = rc ? rc : posix_spawn(&p->pid, exe, fa, at, argv, environ);
	if (rc) {
		p->pid = 0;
		errno = rc;
		return rn_err_errno(e, "cannot start '%s' for stage '%s'", exe, p->name);
	}
	return 0;
}

static int spawn(struct process *p, const char *exe, struct rn_err *e)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	int pair[2], rc;

	p->err = memfd_create("rn-stage-stderr", MFD_CLOEXEC);
	if (p->err < 0)
		return rn_err_errno(e, "cannot make a file for stage '%s'", p->name);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return rn_err_errno(e, "cannot make a socket for stage '%s'", p->name);
	p->sock = pair[0];
	rc = posix_spawn_file_actions_init(&fa);
	if (!rc) {
		rc = posix_spawnattr_init(&at);
		if (!rc) {
			rc = spawn_with(p, exe, pair[1], &fa, &at, e);
			posix_spawnattr_destroy(&at);
		}
		posix_spawn_file_actions_destroy(&fa);
	}
	close(pair[1]);
	return rc > 0 ? rn_err_nomem(e, 0, "a process") : rc;
}

/* Its image, a process, and the first answer. */
static int start(struct staged *s, uint32_t q, bool *mine, const size_t *counts,
		 struct rn_err *e)
{
	const struct rn_prog *prog = &s->base.fit->prog;
	struct process *p = &s->processes[q];
	struct rn_msg m = { .type = RN_MSG_HELLO, .from = s->conf.threads };
	struct rn_image_part part = {
		.prog = prog,
		.mine = mine,
		.shared = s->shared,
		.nparams = s->conf.store->n,
		.counts = counts,
	};
	struct rn_shared *image;
	int rc;

	for (uint32_t i = 0; i < prog->ninsts; i++)
		mine[i] = s->process_of[i] == q;
	RN_TRY(rn_image_write(&part, &image, e));
	p->ninsts = part.ninsts;
	p->insts = part.insts;
	p->nstates = part.nstates;
	p->states = part.states;
	rc = spawn(p, s->conf.exe, e);
	if (!rc) {
		int fds[RN_MSG_FDS] = { image->fd, s->conf.params->fd, s->values->fd };

		rc = ask(p, &m, NULL, fds, e);
	}
	rn_shared_free(image);
	return rc;
}

static int start_all(struct staged *s, struct rn_err *e)
{
	uint32_t nparams = s->conf.store->n;
	struct rn_msg answer;
	size_t *counts;
	bool *mine;
	int rc;

	RN_TRY(rn_calloc(nparams, sizeof *counts, "stages", &counts, e));
	for (uint32_t i = 0; i < nparams; i++)
		counts[i] = s->conf.store->items[i].count;
	RN_GOTO(out, rn_calloc(s->base.fit->prog.ninsts, sizeof *mine, "stages", &mine, e));
	for (uint32_t q = 0; q < s->nprocesses && !rc; q++)
		rc = start(s, q, mine, counts, e);
	free(mine);
	for (uint32_t q = 0; q < s->nprocesses && !rc; q++) {
		rc = hear(&s->processes[q], &answer, e);
		s->processes[q].bytes = answer.t;
	}
out:
	free(counts);
	return rc;
}

/* ---- driving ------------------------------------------------------------------------------- */

static int run_phase(struct staged *s, enum phase phase, uint32_t epoch, uint64_t t,
		     struct rn_err *e)
{
	for (size_t i = s->phase[phase]; i < s->phase[phase + 1]; i++) {
		const struct segment *g = &s->segments[i];
		struct rn_msg answer, m = { .type = RN_MSG_RUN, .from = g->from, .to = g->to,
					    .epoch = epoch, .t = t };

		RN_TRY(ask(&s->processes[g->process], &m, NULL, NULL, e));
		RN_TRY(hear(&s->processes[g->process], &answer, e));
	}
	return 0;
}

static int forward(struct rn_runner *r, uint32_t epoch, double *loss, struct rn_err *e)
{
	struct staged *s = self(r);
	float x;

	RN_TRY(run_phase(s, FORWARD, epoch, 0, e));
	memcpy(&x, (char *)s->values->base + s->shared[root_of(&r->fit->prog, r->fit->loss)],
	       sizeof x);
	*loss = x;
	return 0;
}

static int backward(struct rn_runner *r, uint32_t epoch, struct rn_err *e)
{
	return run_phase(self(r), BACKWARD, epoch, 0, e);
}

/* Each process steps its own parameters: they do not depend on each other. */
static int step(struct rn_runner *r, uint64_t t, struct rn_err *e)
{
	return run_phase(self(r), STEP, 0, t, e);
}

static int find(struct rn_runner *r, uint32_t epoch, uint32_t *inst, struct rn_err *e)
{
	struct staged *s = self(r);

	*inst = RN_NONE;
	for (size_t i = s->phase[FORWARD]; i < s->phase[FORWARD + 1]; i++) {
		const struct segment *g = &s->segments[i];
		struct process *p = &s->processes[g->process];
		struct rn_msg answer, m = { .type = RN_MSG_FIND, .from = g->from, .to = g->to,
					    .epoch = epoch };

		RN_TRY(ask(p, &m, NULL, NULL, e));
		RN_TRY(hear(p, &answer, e));
		if (answer.inst < p->ninsts) {
			*inst = p->insts[answer.inst];
			return 0;
		}
	}
	return 0;
}

static size_t slot_count(const struct staged *s, const struct process *p)
{
	size_t n = 0;

	for (uint32_t i = 0; i < p->nstates; i++)
		n += s->base.fit->states->items[p->states[i]].count;
	return n;
}

/* The slots of one process, between it and fit->states. */
static int move_slots(struct staged *s, struct process *p, bool out, struct rn_err *e)
{
	size_t n = slot_count(s, p);
	struct rn_store *states = s->base.fit->states;
	struct rn_msg answer, m = { .type = out ? RN_MSG_SAVE : RN_MSG_LOAD,
				    .payload = out ? 0 : n * sizeof(float) };
	float *payload, *x;
	int rc = 0;

	RN_TRY(rn_calloc(n, sizeof *x, "optimizer slots", &payload, e));
	x = payload;
	for (uint32_t i = 0; !out && i < p->nstates; i++) {
		RN_GOTO(out, rn_store_get_f32(states, p->states[i], x, e));
		x += states->items[p->states[i]].count;
	}
	RN_GOTO(out, ask(p, &m, payload, NULL, e));
	RN_GOTO(out, hear(p, &answer, e));
	if (!out)
		goto out;
	if (answer.payload != n * sizeof *x) {
		rc = rn_err_set(e, RN_EBUG, "stage '%s' hands over other optimizer slots", p->name);
		goto out;
	}
	RN_GOTO(out, rn_msg_read(p->sock, payload, n * sizeof *x, e));
	for (uint32_t i = 0; i < p->nstates; i++) {
		RN_GOTO(out, rn_store_set_f32(states, p->states[i], x, e));
		x += states->items[p->states[i]].count;
	}
out:
	free(payload);
	return rc;
}

static int pull(struct rn_runner *r, struct rn_err *e)
{
	struct staged *s = self(r);

	for (uint32_t q = 0; q < s->nprocesses; q++)
		RN_TRY(move_slots(s, &s->processes[q], true, e));
	return 0;
}

static int push(struct rn_runner *r, struct rn_err *e)
{
	struct staged *s = self(r);

	for (uint32_t q = 0; q < s->nprocesses; q++)
		RN_TRY(move_slots(s, &s->processes[q], false, e));
	return 0;
}

static uint64_t bytes(const struct rn_runner *r)
{
	const struct staged *s = (const struct staged *)r;
	uint64_t n = s->values->size + s->conf.params->size;

	for (uint32_t q = 0; q < s->nprocesses; q++)
		n += s->processes[q].bytes;
	return n;
}

/* ---- ending -------------------------------------------------------------------------------- */

/* A process that does not answer is killed: it holds nothing that others need. */
static void end_process(struct staged *s, struct process *p)
{
	struct rn_msg answer, m = { .type = RN_MSG_STOP };
	int status;

	if (p->pid) {
		if (p->sock < 0 || ask(p, &m, NULL, NULL, NULL) || hear(p, &answer, NULL)) {
			if (p->pid)
				kill(p->pid, SIGKILL);
		} else if (s->conf.peak) {
			*s->conf.peak += answer.t;
		}
		while (p->pid && waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	if (p->sock >= 0)
		close(p->sock);
	if (p->err >= 0)
		close(p->err);
	free(p->insts);
	free(p->states);
}

static void close_staged(struct rn_runner *r)
{
	struct staged *s = self(r);

	for (uint32_t q = 0; s->processes && q < s->nprocesses; q++)
		end_process(s, &s->processes[q]);
	free(s->processes);
	free(s->process_of);
	free(s->shared);
	free(s->segments);
	rn_shared_free(s->values);
	free(s);
}

static const struct rn_runner_ops ops = {
	.forward = forward,
	.backward = backward,
	.step = step,
	.find = find,
	.pull = pull,
	.push = push,
	.bytes = bytes,
	.close = close_staged,
};

int rn_staged_open(const struct rn_staged_conf *c, struct rn_fit *f, struct rn_runner **out,
		   struct rn_err *e)
{
	struct staged *s;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *s, "a runner", &s, e));
	s->base = (struct rn_runner){ .ops = &ops, .fit = f };
	s->conf = *c;
	RN_GOTO(fail, choose_processes(s, e));
	RN_GOTO(fail, place_values(s, e));
	RN_GOTO(fail, start_all(s, e));
	RN_GOTO(fail, cut(s, e));
	*out = &s->base;
	return 0;
fail:
	close_staged(&s->base);
	return rc;
}
