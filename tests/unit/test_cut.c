/* SPDX-License-Identifier: Apache-2.0
 *
 * What a staged placement is made of: where a program is cut, the links to stages, the
 * board on which they hand each other their work, and the memory that they share.
 */
#include "t.h"

#include "../../lib/train/cut.h"
#include "../../lib/train/link.h"
#include "../../lib/train/work.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static struct rn_err err;

/* ---- cutting --------------------------------------------------------------------------------- */

enum { NODES = 7, ROWS = 600 };

static const uint32_t widths[NODES + 1] = { 32, 300, 16, 16, 200, 200, 8, 1 };

/* A chain of products, a node each; the last but one is read by two nodes. */
static void make_fit(struct rn_fit *f, struct rn_plan *plan, struct rn_node *nodes)
{
	static char names[NODES][8];
	struct rn_prog *p = &f->prog;
	uint32_t v, early = RN_NONE;

	memset(f, 0, sizeof *f);
	memset(plan, 0, sizeof *plan);
	memset(nodes, 0, NODES * sizeof *nodes);
	plan->nodes = nodes;
	plan->nnodes = NODES;
	rn_prog_init(p);
	v = rn_prog_const_fill(p, ROWS, widths[0], 1, &err);
	for (uint32_t i = 0; i < NODES; i++) {
		uint32_t dim[2] = { widths[i], widths[i + 1] };
		uint32_t w = rn_prog_param(p, RN_V_PARAM, i, 2, dim, &err);

		snprintf(names[i], sizeof names[i], "n%u", i);
		nodes[i].name = names[i];
		p->stage = i;
		v = rn_prog_gemm(p, v, w, RN_NONE, false, &err);
		if (i == 1)
			early = v;
		if (i == 2)
			v = rn_prog_ew2(p, RN_EW_ADD, v, early, &err);
	}
	f->loss = rn_prog_colsum(p, v, &err);
	f->nforward = f->nback = p->ninsts;
}

/* Flops of the dearest part of the best cut into n parts of nodes from `first` on. */
static double best(const double *flops, uint32_t first, uint32_t n)
{
	double sum = 0, least = 1e300;

	for (uint32_t i = first; i < NODES; i++) {
		double rest;

		sum += flops[i];
		if (n == 1 && i + 1 < NODES)
			continue;
		rest = n == 1 ? 0 : i + 1 < NODES ? best(flops, i + 1, n - 1) : 1e300;
		least = (sum > rest ? sum : rest) < least ? (sum > rest ? sum : rest) : least;
	}
	return least;
}

static bool is_partition(const struct rn_cut *c)
{
	uint32_t next = 0;

	for (uint32_t q = 0; q < c->nparts; q++) {
		if (!c->parts[q].nnodes)
			return false;
		for (uint32_t i = 0; i < c->parts[q].nnodes; i++)
			if (c->parts[q].nodes[i] != next++)
				return false;
	}
	return next == NODES;
}

/* Every value that crosses has a place, behind what is reserved. */
static bool places_fit(const struct rn_cut *c, const struct rn_fit *f, uint64_t reserve)
{
	const struct rn_prog *p = &f->prog;

	for (uint32_t i = 0; i < p->ninsts; i++)
		for (uint32_t k = 0; k < p->insts[i].nin; k++) {
			uint32_t v = p->insts[i].in[k].val;

			if (v != RN_NONE && p->vals[v].kind == RN_V_INST &&
			    c->part_of[p->vals[v].inst] != c->part_of[i] && c->place[v] == RN_UNSHARED)
				return false;
		}
	for (uint32_t a = 0; a < p->nvals; a++) {
		uint64_t from = c->place[a], end = from + (uint64_t)p->vals[a].rows * p->vals[a].width * 4;

		if (from != RN_UNSHARED &&
		    (from % RN_ALIGN || from < reserve * c->nparts || end > c->size))
			return false;
	}
	return c->place[f->loss] != RN_UNSHARED;
}

static void test_cut(void)
{
	struct rn_node nodes[NODES];
	struct rn_plan plan;
	struct rn_fit f;
	double flops[NODES];
	bool whole = true, balanced = true, placed = true;
	struct rn_cut c;

	make_fit(&f, &plan, nodes);
	T_CALL(rn_cut_make(&f, &plan, 0, 64, &c, &err), &err);
	T_OK(c.nparts == NODES && is_partition(&c) && !strcmp(c.parts[2].name, "n2"),
	     "a part for each node");
	T_OK(c.parts[1].out == (uint64_t)ROWS * 16 * 4 && c.parts[2].in == c.parts[1].out &&
		     c.parts[0].in == 0 && c.parts[0].out == (uint64_t)ROWS * 300 * 4,
	     "bytes in and out: a value that is read twice crosses once");
	for (uint32_t i = 0; i < NODES; i++)
		flops[i] = c.parts[i].flops;
	rn_cut_fini(&c);
	for (uint32_t n = 1; n <= NODES + 2; n++) {
		uint32_t want = n < NODES ? n : NODES;
		double most = 0;

		T_CALL(rn_cut_make(&f, &plan, n, 64, &c, &err), &err);
		for (uint32_t q = 0; q < c.nparts; q++)
			most = c.parts[q].flops > most ? c.parts[q].flops : most;
		whole &= c.nparts == want && is_partition(&c);
		balanced &= most <= 1.1 * best(flops, 0, want);
		placed &= places_fit(&c, &f, 64);
		rn_cut_fini(&c);
	}
	T_OK(whole, "N parts: each node in one of them, in order, none empty");
	T_OK(balanced, "the dearest is about as cheap as can be");
	T_OK(placed, "what crosses the cut has a place");
	rn_prog_fini(&f.prog);
}

/* A validation: some of the nodes, and one that the fit has not. */
static void test_like(void)
{
	uint32_t dim[2] = { widths[0], 4 }, v, w;
	struct rn_node nodes[NODES];
	struct rn_cut c, like;
	struct rn_plan plan;
	struct rn_prog p;
	struct rn_fit f;

	make_fit(&f, &plan, nodes);
	T_CALL(rn_cut_make(&f, &plan, 3, 0, &c, &err), &err);
	rn_prog_init(&p);
	v = rn_prog_const_fill(&p, 10, widths[0], 1, &err);
	w = rn_prog_param(&p, RN_V_PARAM, 0, 2, dim, &err);
	p.stage = NODES - 1;
	v = rn_prog_gemm(&p, v, w, RN_NONE, false, &err);
	p.stage = NODES; /* behind it */
	v = rn_prog_ew1(&p, RN_EW_EXP, v, &err);
	p.stage = 0;
	v = rn_prog_ew1(&p, RN_EW_NEG, v, &err);
	T_CALL(rn_cut_like(&c, &p, v, &like, &err), &err);
	T_OK(like.nparts == c.nparts && like.part_of[0] == c.nparts - 1 &&
		     like.part_of[1] == c.nparts - 1 && like.part_of[2] == 0,
	     "another program: nodes where they are, others where their input is made");
	T_OK(like.place[p.insts[0].out] == RN_UNSHARED && like.place[p.insts[1].out] == 0 &&
		     like.place[v] != RN_UNSHARED && like.parts[0].in == 10 * 4 * 4,
	     "what crosses, and the result, have places");
	rn_cut_fini(&like);
	rn_cut_fini(&c);
	rn_prog_fini(&p);
	rn_prog_fini(&f.prog);
}

/* ---- links ----------------------------------------------------------------------------------- */

static int ticks;

static int wait_two(void *arg, struct rn_err *e)
{
	(void)arg;
	return ++ticks < 2 ? 0 : rn_err_set(e, RN_EIO, "enough");
}

static void open_pair(struct rn_link **a, struct rn_link **b)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		exit(1);
	T_CALL(rn_link_socket(pair[0], wait_two, NULL, a, &err), &err);
	T_CALL(rn_link_socket(pair[1], NULL, NULL, b, &err), &err);
	ticks = 0;
}

static void test_messages(void)
{
	struct rn_msg m = { .type = RN_MSG_HELLO, .t = 7, .payload = 5 }, got;
	int fds[RN_MSG_FDS], came[RN_MSG_FDS];
	struct rn_link *a, *b;
	char text[8] = "";
	bool end = true;

	open_pair(&a, &b);
	for (int i = 0; i < RN_MSG_FDS; i++)
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	T_CALL(a->ops->send(a, &m, "hello", fds, &err), &err);
	T_CALL(b->ops->recv(b, &got, came, &end, &err), &err);
	T_CALL(b->ops->read(b, text, 5, &err), &err);
	T_OK(!end && got.type == RN_MSG_HELLO && got.t == 7 && !strcmp(text, "hello"),
	     "a message and its payload");
	T_OK(came[0] >= 0 && came[2] >= 0 && came[0] != fds[0] &&
		     fcntl(came[1], F_GETFD) == FD_CLOEXEC, "its descriptors");
	for (int i = 0; i < RN_MSG_FDS; i++) {
		close(fds[i]);
		close(came[i]);
	}
	m.payload = 0;
	T_CALL(b->ops->send(b, &m, NULL, NULL, &err), &err);
	T_CALL(a->ops->recv(a, &got, came, &end, &err), &err);
	T_OK(!end && came[0] == -1 && came[2] == -1, "none where none were sent");
	rn_link_close(b);
	T_CALL(a->ops->recv(a, &got, NULL, &end, &err), &err);
	T_OK(end, "the other end hung up");
	T_OK(a->ops->send(a, &m, NULL, NULL, &err) == RN_EIO, "and cannot be sent to: %s", err.msg);
	rn_link_close(a);
	rn_link_close(NULL);
}

static void test_waiting(void)
{
	struct rn_msg m = { .type = RN_MSG_LOAD, .payload = 16 << 20 }, got;
	struct rn_link *a, *b;
	char *big;
	bool end;

	open_pair(&a, &b);
	T_OK(a->ops->recv(a, &got, NULL, &end, &err) == RN_EIO && ticks == 2 &&
		     !strcmp(err.msg, "enough"), "who waits for an answer is asked for patience");
	ticks = 0;
	big = calloc(1, m.payload);
	T_OK(a->ops->send(a, &m, big, NULL, &err) == RN_EIO && ticks == 2,
	     "and who waits to get rid of something");
	free(big);
	rn_link_close(a);
	T_CALL(b->ops->recv(b, &got, NULL, &end, &err), &err);
	T_OK(!end && b->ops->read(b, &(char[64]){ 0 }, 64, &err) == 0, "some of it came");
	rn_link_close(b);
}

enum { CROWD = 24 }; /* descriptors that may be on their way, or open */

/* The other end takes one message. */
static int take_one(void *arg, struct rn_err *e)
{
	struct rn_link *b = arg;
	int came[RN_MSG_FDS];
	struct rn_msg got;
	bool end;

	ticks++;
	RN_TRY(b->ops->recv(b, &got, came, &end, e));
	for (int i = 0; i < RN_MSG_FDS; i++)
		close(came[i]);
	return 0;
}

/* More descriptors than that are sent before any is taken, by a user whom the system limits; returns
 * 0 where they arrive, 2 where nobody had to wait. */
static int send_crowd(void)
{
	const struct rlimit few = { CROWD, CROWD };
	struct rn_msg m = { .type = RN_MSG_HELLO };
	struct rn_link *a, *b;
	int fds[RN_MSG_FDS] = { 2, 2, 2, 2, 2, 2 };

	if ((!geteuid() && (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))) ||
	    setrlimit(RLIMIT_NOFILE, &few))
		return 2;
	open_pair(&a, &b);
	a->patience = take_one;
	a->patience_arg = b;
	for (int i = 0; i < CROWD; i++)
		if (a->ops->send(a, &m, NULL, fds, &err)) {
			printf("# %s\n", err.msg);
			return 1;
		}
	return ticks ? 0 : 2;
}

static void test_crowd(void)
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		status = send_crowd();
		fflush(stdout);
		_exit(status);
	}
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
		T_SKIP("nobody limits the descriptors that are sent here");
	else
		T_OK(!status, "who sends too many descriptors at once waits until some were taken");
}

static void test_wrong(void)
{
	struct rn_link *link;
	struct rn_msg m;
	bool end = false;
	int pair[2];

	for (int half = 0; half < 2; half++) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
			exit(1);
		T_CALL(rn_link_socket(pair[0], NULL, NULL, &link, &err), &err);
		memset(&m, 0, sizeof m);
		(void)!write(pair[1], &m, half ? sizeof m / 2 : sizeof m);
		close(pair[1]);
		if (half)
			T_OK(!link->ops->recv(link, &m, NULL, &end, &err) && end, "half a message is none");
		else
			T_OK(link->ops->recv(link, &m, NULL, &end, &err) == RN_EIO, "%s", err.msg);
		rn_link_close(link);
	}
}

/* ---- passes ---------------------------------------------------------------------------------- */

/* Two branches between a node and another, and a step: n0, n1 and n2 of it, n3 of both; n1
 * steps the parameter that n2 reads, too. */
static void make_diamond(struct rn_fit *f, struct rn_plan *plan, struct rn_node *nodes)
{
	static char names[4][8];
	uint32_t dim[2] = { 8, 8 }, w, x, a, b;
	struct rn_prog *p = &f->prog;

	memset(f, 0, sizeof *f);
	memset(plan, 0, sizeof *plan);
	memset(nodes, 0, 4 * sizeof *nodes);
	plan->nodes = nodes;
	plan->nnodes = 4;
	for (uint32_t i = 0; i < 4; i++) {
		snprintf(names[i], sizeof names[i], "n%u", i);
		nodes[i].name = names[i];
	}
	rn_prog_init(p);
	x = rn_prog_const_fill(p, 16, 8, 1, &err);
	w = rn_prog_param(p, RN_V_PARAM, 0, 2, dim, &err);
	x = rn_prog_ew1(p, RN_EW_EXP, x, &err);
	p->stage = 1;
	a = rn_prog_gemm(p, x, w, RN_NONE, false, &err);
	p->stage = 2;
	b = rn_prog_gemm(p, x, w, RN_NONE, false, &err);
	p->stage = 3;
	f->loss = rn_prog_colsum(p, rn_prog_ew2(p, RN_EW_MUL, a, b, &err), &err);
	f->nforward = f->nback = p->ninsts;
}

static void make_work(struct rn_fit *f, struct rn_plan *plan, struct rn_work *w,
		      const uint32_t ends[RN_NPASSES])
{
	struct rn_store_item item = { .count = 64 };
	struct rn_store store = { .n = 1, .items = &item };
	struct rn_shared *image;
	struct rn_cut cut;

	T_CALL(rn_cut_make(f, plan, 0, 2 * sizeof(struct rn_stage_status), &cut, &err), &err);
	T_CALL(rn_work_init(w, &f->prog, ends, &cut, &err), &err);
	for (uint32_t q = 0; q < w->cut.nparts; q++) {
		T_CALL(rn_work_image(w, q, &store, &image, &err), &err);
		rn_shared_free(image);
	}
	T_CALL(rn_work_order(w, 1, &err), &err);
}

static void test_pass(void)
{
	uint32_t ends[RN_NPASSES], got[4], call = 0, stale;
	struct rn_node nodes[4];
	_Atomic uint32_t *missing;
	struct rn_agenda *o;
	struct rn_board *b;
	struct rn_plan plan;
	struct rn_work w;
	struct rn_fit f;

	make_diamond(&f, &plan, nodes);
	ends[0] = ends[1] = f.prog.ninsts;
	make_work(&f, &plan, &w, ends);
	o = w.agenda;
	missing = w.missing;
	b = w.values->base;
	T_OK(o->nsegments == 4 && o->pass[1] == 4 && o->pass[2] == 4, "a segment of each node");
	T_OK(w.small, "with next to nothing to do");
	T_OK(rn_agenda_check(o, w.shared_agenda->size, 4, 0, 2) &&
		     !rn_agenda_check(o, w.shared_agenda->size - 4, 4, 0, 2) &&
		     !rn_agenda_check(o, w.shared_agenda->size, 3, 0, 2) &&
		     !rn_agenda_check(o, w.shared_agenda->size, 4, 3, 1),
	     "an agenda that does not fit is found out");
	for (int round = 0; round < 2; round++) {
		rn_board_begin(b, o, missing, RN_PASS_FORWARD);
		for (uint32_t q = 1; q < 4; q++)
			got[q] = rn_board_take(b, q, &call);
		got[0] = rn_board_take(b, 0, &call);
		T_OK(got[0] == 0 && got[1] == RN_BOARD_NOTHING && got[2] == RN_BOARD_NOTHING &&
			     got[3] == RN_BOARD_NOTHING && b->running == 1, "the first node alone");
		rn_board_end(b, o, missing, got[0], call);
		got[1] = rn_board_take(b, 1, &call);
		got[2] = rn_board_take(b, 2, &call);
		T_OK(got[1] == 1 && got[2] == 2 && b->running == 2 && b->most == 2,
		     "then both branches at once");
		rn_board_end(b, o, missing, got[2], call);
		T_OK(rn_board_take(b, 3, &call) == RN_BOARD_NOTHING && b->running == 1,
		     "the last waits for both");
		rn_board_end(b, o, missing, got[1], call);
		T_OK(b->left == 1 && (int)b->bell.rings == round, "the coordinator is not rung yet");
		got[3] = rn_board_take(b, 3, &call);
		rn_board_end(b, o, missing, got[3], call);
		T_OK(!b->left && !b->running && (int)b->bell.rings == round + 1, "it is at the end");
	}
	rn_board_begin(b, o, missing, RN_PASS_FORWARD);
	got[0] = rn_board_take(b, 0, &stale);
	rn_board_abort(b);
	rn_board_end(b, o, missing, got[0], stale);
	T_OK(rn_board_take(b, 1, &call) == RN_BOARD_NOTHING &&
		     rn_board_take(b, 2, &call) == RN_BOARD_NOTHING,
	     "what an aborted pass hands out is not run");
	rn_board_begin(b, o, missing, RN_PASS_FORWARD);
	T_OK(rn_board_take(b, 0, &call) == 0 && call == stale + 2, "the next pass begins anew");
	T_OK(b->stages[0].ready, "who has taken something owes it until it ended");
	rn_board_fail(b, 0);
	T_OK(b->failed == 1 && (int)b->bell.rings == 3 && !b->stages[0].ready &&
		     rn_board_take(b, 0, &call) == RN_BOARD_NOTHING,
	     "who fails tells the coordinator, and does not try again");
	rn_work_fini(&w);
	rn_prog_fini(&f.prog);
}

static bool can_map(const struct rn_shared *s, bool writable)
{
	struct rn_shared *other;

	if (rn_shared_map(fcntl(s->fd, F_DUPFD_CLOEXEC, 3), writable, &other, &err))
		return false;
	rn_shared_free(other);
	return true;
}

/* What stages can write to is no matter to the coordinator, whatever is there. */
static void test_wild(void)
{
	uint32_t ends[RN_NPASSES], call = 0;
	struct rn_node nodes[4];
	struct rn_board *b;
	struct rn_plan plan;
	struct rn_work w;
	struct rn_fit f;

	make_diamond(&f, &plan, nodes);
	ends[0] = ends[1] = f.prog.ninsts;
	make_work(&f, &plan, &w, ends);
	T_OK(can_map(w.shared_agenda, false) && !can_map(w.shared_agenda, true) &&
		     can_map(w.counts, true) && can_map(w.values, true),
	     "stages can write to the board and the counts, and not to the agenda");
	memset(w.values->base, 0xa5, w.values->size);
	memset(w.counts->base, 0xa5, w.counts->size);
	b = w.values->base;
	atomic_store(&w.agenda->cpu, 1);
	rn_board_begin(b, w.agenda, w.missing, RN_PASS_FORWARD);
	T_OK(w.agenda->cpu == 1 && b->left == 4 && rn_board_take(b, 0, &call) == 0,
	     "a pass begins over anything that was written there");
	rn_board_end(b, w.agenda, w.missing, 0, call);
	T_OK(rn_board_take(b, 1, &call) == 1 && rn_board_take(b, 2, &call) == 2, "and goes on");
	rn_work_fini(&w);
	rn_prog_fini(&f.prog);
}

/* The parameter is stepped when both branches have read it. */
static void test_step(void)
{
	const struct rn_segment *step = NULL;
	uint32_t ends[RN_NPASSES], dim[2] = { 8, 8 };
	struct rn_node nodes[4];
	struct rn_plan plan;
	struct rn_work w;
	struct rn_inst i;
	struct rn_fit f;

	make_diamond(&f, &plan, nodes);
	f.prog.stage = 1;
	i = rn_inst_init(RN_P_SGD);
	i.nin = 3;
	i.in[0].val = f.prog.insts[1].in[1].val;
	i.in[1].val = rn_prog_const_fill(&f.prog, 1, 64, 1, &err);
	i.in[1].val = rn_prog_view(&f.prog, i.in[1].val, 1, 2, dim, &err);
	T_OK(rn_prog_add(&f.prog, &i, 1, 2, dim, &err) != RN_NONE, "a step");
	ends[0] = 0;
	ends[1] = f.prog.ninsts;
	make_work(&f, &plan, &w, ends);
	for (uint32_t k = 0; k < w.agenda->nsegments; k++)
		if (w.agenda->segments[k].part == 1)
			step = &w.agenda->segments[k];
	T_OK(step && step->needs == 2, "a step needs those that read its parameter, too");
	rn_work_fini(&w);
	rn_prog_fini(&f.prog);
}

/* ---- places ---------------------------------------------------------------------------------- */

enum { RANDOM_NODES = 5, RANDOM_INSTS = 40, WIDTHS = 5 };

static uint32_t draw(uint32_t *state, uint32_t n)
{
	*state = *state * 1664525u + 1013904223u;
	return (*state >> 8) % n;
}

/* Sums of two earlier values of the same width, by any node; a third of them in the second pass. */
static void make_random(struct rn_fit *f, struct rn_plan *plan, struct rn_node *nodes, uint32_t seed)
{
	uint32_t list[WIDTHS][RANDOM_INSTS + 1], n[WIDTHS];
	static char name[] = "n";
	struct rn_prog *p = &f->prog;

	memset(f, 0, sizeof *f);
	memset(plan, 0, sizeof *plan);
	memset(nodes, 0, RANDOM_NODES * sizeof *nodes);
	plan->nodes = nodes;
	plan->nnodes = RANDOM_NODES;
	for (uint32_t i = 0; i < RANDOM_NODES; i++)
		nodes[i].name = name;
	rn_prog_init(p);
	for (uint32_t w = 0; w < WIDTHS; w++) {
		list[w][0] = rn_prog_const_fill(p, 16, w + 1, 1, &err);
		n[w] = 1;
	}
	for (uint32_t i = 0; i < RANDOM_INSTS; i++) {
		uint32_t w = draw(&seed, WIDTHS), back = draw(&seed, 2), a, b;

		/* Near ones rather than far ones, or all live long. */
		a = list[w][back < n[w] ? n[w] - 1 - back : 0];
		b = draw(&seed, 3) ? a : list[w][draw(&seed, n[w])];
		p->stage = draw(&seed, RANDOM_NODES);
		list[w][n[w]++] = rn_prog_ew2(p, RN_EW_ADD, a, b, &err);
	}
	f->nforward = RANDOM_INSTS * 2 / 3;
	f->nback = p->ninsts;
	f->loss = p->insts[f->nforward - 1].out;
}

/* Has segment a ended when b begins, whatever the others do? */
static bool reaches(const struct rn_agenda *o, uint32_t a, uint32_t b)
{
	if (a < o->pass[1] && b >= o->pass[1])
		return true;
	for (uint32_t i = 0; i < o->segments[a].nnext; i++) {
		uint32_t next = rn_agenda_next(o)[o->segments[a].first + i];

		if (next == b || reaches(o, next, b))
			return true;
	}
	return false;
}

static uint32_t segment_of(const struct rn_work *w, uint32_t inst)
{
	const struct rn_agenda *o = w->agenda;

	for (uint32_t i = 0; i < o->nsegments; i++)
		for (uint32_t k = o->segments[i].from; k < o->segments[i].to; k++)
			if (w->images[o->segments[i].part].insts[k] == inst)
				return i;
	return RN_NONE;
}

/* Is everything that is done with value a over before b is made? */
static bool is_over(const struct rn_work *w, uint32_t a, uint32_t b)
{
	const struct rn_prog *p = w->prog;
	uint32_t made = segment_of(w, p->vals[b].inst);

	for (uint32_t i = 0; i < p->ninsts; i++) {
		const struct rn_inst *x = &p->insts[i];
		uint32_t segment = segment_of(w, i);

		if (x->out != a && x->in[0].val != a && x->in[1].val != a)
			continue;
		/* Read number by number, where b's are written. */
		if (x->out == b && w->cut.place[a] == w->cut.place[b] && p->vals[a].width == p->vals[b].width)
			continue;
		if (segment == made ? i >= p->vals[b].inst : !reaches(w->agenda, segment, made))
			return false;
	}
	return true;
}

static bool overlap(const struct rn_work *w, uint32_t a, uint32_t b)
{
	uint64_t from = w->cut.place[a], other = w->cut.place[b];

	return from != RN_UNSHARED && other != RN_UNSHARED &&
	       from < other + 16 * 4 * w->prog->vals[b].width &&
	       other < from + 16 * 4 * w->prog->vals[a].width;
}

/* Pairs of values that lie in one place; *wrong: of which both may be needed at once. */
static uint32_t count_shared(const struct rn_work *w, uint32_t loss, uint32_t *wrong)
{
	const struct rn_prog *p = w->prog;
	uint32_t n = 0;

	for (uint32_t a = 0; a < p->nvals; a++)
		for (uint32_t b = 0; b < a; b++) {
			if (!overlap(w, a, b))
				continue;
			n++;
			*wrong += !((a != loss && is_over(w, a, b)) || (b != loss && is_over(w, b, a)));
		}
	return n;
}

/* Values share places, but never two of them at once. */
static void test_places(void)
{
	struct rn_node nodes[RANDOM_NODES];
	uint32_t shared = 0, wrong = 0;
	struct rn_plan plan;
	struct rn_work w;
	struct rn_fit f;

	for (uint32_t seed = 1; seed <= 60; seed++) {
		uint32_t ends[RN_NPASSES];

		make_random(&f, &plan, nodes, seed);
		ends[0] = f.nforward;
		ends[1] = f.prog.ninsts;
		make_work(&f, &plan, &w, ends);
		shared += count_shared(&w, f.loss, &wrong);
		rn_work_fini(&w);
		rn_prog_fini(&f.prog);
	}
	T_OK(shared > 100 && !wrong, "%u pairs of values share a place, %u that may not", shared, wrong);
}

static void test_bell(void)
{
	struct rn_bell b = { 0 };

	rn_bell_ring(&b);
	T_OK(rn_bell_wait(&b, 0), "a ring that came first is heard");
	T_OK(!rn_bell_wait(&b, 1) && !b.sleeps, "without one the wait ends after a tick");
}

static void test_stay(void)
{
	struct rn_stay stay = { 0 };
	cpu_set_t before, now;

	sched_getaffinity(0, sizeof before, &before);
	rn_stay_on(&stay, (uint32_t)sched_getcpu() + 1);
	sched_getaffinity(0, sizeof now, &now);
	T_OK(CPU_COUNT(&now) == 1 && CPU_ISSET(sched_getcpu(), &now), "on one processor");
	rn_stay_on(&stay, CPU_SETSIZE + 1);
	rn_stay_on(&stay, 0);
	sched_getaffinity(0, sizeof now, &now);
	T_OK(CPU_EQUAL(&now, &before), "and where it was allowed to run before");
}

/* ---- memory that is shared ----------------------------------------------------------------- */

enum { HUGE_PAGE = 2 << 20 };

/* Bytes of the mapping at `base` that are in huge pages here. */
static uint64_t huge_bytes(const void *base)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	uint64_t from, end, kib, huge = 0;
	bool here = false;
	char line[512];

	while (f && fgets(line, sizeof line, f)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &from, &end) == 2)
			here = from <= (uintptr_t)base && (uintptr_t)base < end;
		else if (here && sscanf(line, "ShmemPmdMapped: %" SCNu64, &kib) == 1)
			huge += kib * 1024;
	}
	if (f)
		fclose(f);
	return huge;
}

/* Can this kernel make a huge page of shared memory that is asked for? */
static bool has_huge_pages(void)
{
	char *all = mmap(NULL, 2 * HUGE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *at = (char *)(((uintptr_t)all + HUGE_PAGE - 1) & ~((uintptr_t)HUGE_PAGE - 1));
	bool can;

	at = mmap(at, HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	T_OK(all != MAP_FAILED && at != MAP_FAILED, "there is memory");
	*at = 1;
	can = !madvise(at, HUGE_PAGE, MADV_COLLAPSE);
	munmap(all, 2 * HUGE_PAGE);
	return can;
}

/* Bytes of the file that are there. */
static uint64_t resident(const struct rn_shared *s)
{
	struct stat st;

	T_OK(!fstat(s->fd, &st), "it is a file");
	return (uint64_t)st.st_blocks * 512;
}

static int map_host(struct rn_backend *b, void *at, size_t n, void **out, struct rn_err *e)
{
	(void)b, (void)n, (void)e;
	*out = at;
	return 0;
}

static void unmap_host(struct rn_backend *b, void *at)
{
	(void)b, (void)at;
}

/* Large memory is mapped by huge pages in each process that computes there, zeroed, and not there where
 * only a device might have come to it. */
static void test_huge(void)
{
	const size_t size = 4 * HUGE_PAGE + 5000;
	struct rn_backend host = { .name = "host", .host = true };
	struct rn_backend device = { .name = "device", .map_host = map_host, .unmap_host = unmap_host };
	struct rn_shared *s, *other;
	struct rn_region region;
	bool can = has_huge_pages();
	size_t bad = 0;

	T_CALL(rn_shared_new("t", size, &s, &err), &err);
	T_OK(!resident(s), "nothing of it is there before it is used");
	T_CALL(rn_region_new(s, &device, &region, &err), &err);
	T_OK(!resident(s), "nor where a device could come to it: %" PRIu64 " bytes", resident(s));
	rn_region_fini(&region);
	T_CALL(rn_region_take(s, &host, NULL, &region, &err), &err);
	T_OK(!resident(s), "nor where another process has made it");
	rn_region_fini(&region);
	T_CALL(rn_region_new(s, &host, &region, &err), &err);
	T_CALL(rn_shared_map(dup(s->fd), false, &other, &err), &err);
	T_OK((uintptr_t)s->base % HUGE_PAGE == 0 && (uintptr_t)other->base % HUGE_PAGE == 0,
	     "it begins with a huge page");
	for (size_t i = 0; i < size; i++)
		bad += ((char *)s->base)[i] != 0;
	T_OK(!bad, "it is zeroed");
	for (size_t i = 0; i < size; i++)
		((char *)s->base)[i] = (char)(i * 7 + i / 4096);
	rn_shared_use_huge(s);
	for (size_t i = 0; i < size; i++)
		bad += ((char *)other->base)[i] != (char)(i * 7 + i / 4096) ||
		       ((char *)s->base)[i] != ((char *)other->base)[i];
	T_OK(!bad, "what was written stays, and another mapping has it");
	if (can) {
		T_OK(huge_bytes(s->base) > 0, "it is in huge pages: %" PRIu64 " bytes",
		     huge_bytes(s->base));
		T_OK(huge_bytes(other->base) > 0, "also where it is mapped again");
	}
	rn_region_fini(&region);
	rn_shared_free(other);
	rn_shared_free(s);
	T_CALL(rn_shared_new("t", 5000, &s, &err), &err);
	rn_shared_use_huge(s);
	T_OK(!huge_bytes(s->base) && !resident(s), "what is small has small pages");
	rn_shared_free(s);
}

int main(void)
{
	test_pass();
	test_wild();
	test_step();
	test_places();
	test_bell();
	test_stay();
	test_cut();
	test_like();
	test_messages();
	test_waiting();
	test_crowd();
	test_wrong();
	test_huge();
	return t_done();
}
