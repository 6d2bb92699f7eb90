/* SPDX-License-Identifier: Apache-2.0
 *
 * A stage process: `rn-train --stage FD`.  It runs the instructions of its
 * image when the coordinator says so, and ends when the coordinator does.
 */
#include "child.h"
#include "session.h"

#include "../learn/optim.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* A program: the fit's is number 0, others are those that it validates by. */
struct program {
	struct rn_image image;
	struct rn_shared *values;
	struct rn_store *store, *states;
	struct rn_machine *machine; /* NULL: this stage has no part in it */
};

struct stage {
	struct rn_link *link;
	struct rn_stage_status *status;
	struct rn_backend *backend;
	struct rn_shared *params;
	struct program **programs; /* each stays where it is: its machine refers to it */
	uint32_t nprograms;
};
enum { MAX_PROGRAMS = 1 << 20 };

/* Optimizer slots are the stage's own; values that others read are shared. */
static int make_machine(struct stage *s, struct program *p, struct rn_err *e)
{
	struct rn_image *im = &p->image;
	uint32_t number;
	void **mem;
	int rc;

	RN_TRY(rn_shared_store(s->params, s->backend, im->nparams, im->counts, &p->store, e));
	RN_TRY(rn_store_new(s->backend, RN_F32, &p->states, e));
	for (uint32_t i = 0; i < im->nstates; i++)
		RN_TRY(rn_store_add(p->states, im->counts[im->nparams + i], &number, e));
	RN_TRY(rn_calloc(im->prog.nvals, sizeof *mem, "a stage", &mem, e));
	for (uint32_t i = 0; i < im->prog.nvals; i++)
		if (im->shared[i] != RN_UNSHARED)
			mem[i] = (char *)p->values->base + im->shared[i];
	rc = rn_machine_new(&im->prog, s->backend, RN_F32, p->store, p->states, mem, &p->machine,
			    e);
	free(mem);
	return rc;
}

static void program_free(struct program *p)
{
	if (!p)
		return;
	rn_machine_free(p->machine);
	rn_store_free(p->states);
	rn_shared_store_free(p->store);
	rn_image_fini(&p->image);
	rn_shared_free(p->values);
	free(p);
}

/* Program `number`; those before it that did not come have no part for this stage. */
static int new_program(struct stage *s, uint32_t number, struct program **out, struct rn_err *e)
{
	struct program **all;

	if (number < s->nprograms || number >= MAX_PROGRAMS)
		return rn_err_set(e, RN_EBUG, "program %u of %u", number, s->nprograms);
	all = realloc(s->programs, (number + 1) * sizeof *all);
	if (!all)
		return rn_err_nomem(e, (number + 1) * sizeof *all, "programs");
	memset(all + s->nprograms, 0, (number + 1 - s->nprograms) * sizeof *all);
	s->programs = all;
	s->nprograms = number + 1;
	RN_TRY(rn_calloc(1, sizeof **all, "a program", &all[number], e));
	*out = all[number];
	return 0;
}

static void close_fds(int *fds)
{
	for (int i = 0; i < RN_MSG_FDS; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* Map what came: each fd that was taken is -1 then.  The parameters come again with each
 * program. */
static int map_all(struct stage *s, struct program *p, int *fds, struct rn_shared **image,
		   struct rn_err *e)
{
	int fd;

	fd = fds[2];
	fds[2] = -1;
	RN_TRY(rn_shared_map(fd, true, &p->values, e));
	if (!s->params) {
		fd = fds[1];
		fds[1] = -1;
		RN_TRY(rn_shared_map(fd, true, &s->params, e));
	}
	fd = fds[0];
	fds[0] = -1;
	return rn_shared_map(fd, false, image, e);
}

/* Takes the fds. */
static int add_program(struct stage *s, uint32_t number, int *fds, struct rn_err *e)
{
	struct rn_shared *image;
	struct program *p;
	int rc;

	if (fds[0] < 0 || fds[1] < 0 || fds[2] < 0)
		rc = rn_err_set(e, RN_EBUG, "a program without image and memory");
	else
		rc = new_program(s, number, &p, e);
	if (!rc)
		rc = map_all(s, p, fds, &image, e);
	close_fds(fds);
	if (rc)
		return rc;
	RN_TRY(rn_image_read(image, p->values, &p->image, e));
	return make_machine(s, p, e);
}

static int hello(struct stage *s, const struct rn_msg *m, int *fds, struct rn_err *e)
{
	int rc = s->backend ? rn_err_set(e, RN_EBUG, "a second greeting")
			    : rn_cpu_backend(m->from, &s->backend, e);

	if (rc) {
		close_fds(fds);
		return rc;
	}
	RN_TRY(add_program(s, 0, fds, e));
	if (s->programs[0]->values->size / sizeof *s->status <= m->to)
		return rn_err_set(e, RN_EBUG, "there is no memory for the status of stage %u", m->to);
	s->status = (struct rn_stage_status *)s->programs[0]->values->base + m->to;
	return 0;
}

/* The program that a message is about, which has these instructions. */
static int find_program(struct stage *s, const struct rn_msg *m, struct program **out,
			struct rn_err *e)
{
	struct program *p = m->inst < s->nprograms ? s->programs[m->inst] : NULL;

	if (!p || !p->machine || m->from > m->to || m->to > p->image.prog.ninsts)
		return rn_err_set(e, RN_EBUG, "told to run instructions %u to %u of program %u",
				  m->from, m->to, m->inst);
	*out = p;
	return 0;
}

/* The coordinator looks at it when this process is gone. */
static void work_for(struct stage *s, uint32_t at)
{
	if (s->status)
		__atomic_store_n(&s->status->at, at, __ATOMIC_RELAXED);
}

static int run(struct stage *s, const struct rn_msg *m, struct rn_err *e)
{
	const struct rn_inst *insts;
	double f[RN_STEP_F];
	struct program *p;

	RN_TRY(find_program(s, m, &p, e));
	insts = p->image.prog.insts;
	for (uint32_t i = m->from; m->t && i < m->to; i++) {
		if (!rn_optim_is_step(&insts[i]))
			continue;
		rn_optim_scalars(&insts[i], m->t, f);
		rn_machine_set_f(p->machine, i, f);
	}
	for (uint32_t i = m->from, end; i < m->to; i = end) {
		for (end = i + 1; end < m->to && insts[end].stage == insts[i].stage;)
			end++;
		work_for(s, insts[i].stage + 1);
		RN_TRY(rn_machine_run(p->machine, i, end, m->epoch, e));
	}
	return 0;
}

/* Slots in the order of the image: into a payload, or out of one. */
static int save(struct stage *s, struct rn_msg *answer, float **payload, struct rn_err *e)
{
	struct rn_store *states = s->programs[0]->states;
	size_t n = 0;
	float *x;

	for (uint32_t i = 0; i < states->n; i++)
		n += states->items[i].count;
	RN_TRY(rn_calloc(n, sizeof *x, "optimizer slots", payload, e));
	answer->payload = n * sizeof *x;
	x = *payload;
	for (uint32_t i = 0; i < states->n; i++) {
		RN_TRY(rn_store_get_f32(states, i, x, e));
		x += states->items[i].count;
	}
	return 0;
}

static int load(struct stage *s, const struct rn_msg *m, struct rn_err *e)
{
	struct rn_store *states = s->programs[0]->states;
	float *payload, *x;
	size_t n = 0;
	int rc;

	for (uint32_t i = 0; i < states->n; i++)
		n += states->items[i].count;
	if (m->payload != n * sizeof *x)
		return rn_err_set(e, RN_EBUG, "optimizer slots of another size");
	RN_TRY(rn_calloc(n, sizeof *x, "optimizer slots", &payload, e));
	rc = s->link->ops->read(s->link, payload, n * sizeof *x, e);
	x = payload;
	for (uint32_t i = 0; !rc && i < states->n; i++) {
		rc = rn_store_set_f32(states, i, x, e);
		x += states->items[i].count;
	}
	free(payload);
	return rc;
}

static uint64_t peak_bytes(void)
{
	struct rusage u = { 0 };

	getrusage(RUSAGE_SELF, &u);
	return (uint64_t)u.ru_maxrss * 1024;
}

static int obey(struct stage *s, const struct rn_msg *m, int *fds, struct rn_msg *answer,
		float **payload, struct rn_err *e)
{
	struct program *p;

	if (m->type != RN_MSG_HELLO && !s->status)
		return rn_err_set(e, RN_EBUG, "told to work before the greeting");
	switch (m->type) {
	case RN_MSG_HELLO:
		RN_TRY(hello(s, m, fds, e));
		answer->t = rn_machine_bytes(s->programs[0]->machine);
		return 0;
	case RN_MSG_PROGRAM:
		RN_TRY(add_program(s, m->inst, fds, e));
		answer->t = rn_machine_bytes(s->programs[m->inst]->machine);
		return 0;
	case RN_MSG_RUN:
		return run(s, m, e);
	case RN_MSG_FIND:
		RN_TRY(find_program(s, m, &p, e));
		return rn_machine_find_nonfinite(p->machine, m->from, m->to, m->epoch,
						 &answer->inst, e);
	case RN_MSG_SAVE:
		return save(s, answer, payload, e);
	case RN_MSG_LOAD:
		return load(s, m, e);
	case RN_MSG_STOP:
		answer->t = peak_bytes();
		return 0;
	}
	return rn_err_set(e, RN_EBUG, "there is no message %u", m->type);
}

/* The answer to a message, whose work has taken since `begin`. */
static int answer_with(struct stage *s, const struct rn_msg *answer, const void *payload,
		       double begin, struct rn_err *e)
{
	work_for(s, 0);
	if (s->status)
		__atomic_fetch_add(&s->status->busy_ns, (uint64_t)((rn_now() - begin) * 1e9),
				   __ATOMIC_RELAXED);
	return s->link->ops->send(s->link, answer, payload, NULL, e);
}

/* One message and its answer; false: it was the last. */
static bool serve(struct stage *s)
{
	struct rn_msg m, answer = { .type = RN_MSG_DONE };
	struct rn_err e = { 0 };
	float *payload = NULL;
	const void *text = NULL;
	int fds[RN_MSG_FDS], rc;
	double begin;
	bool end;

	if (s->link->ops->recv(s->link, &m, fds, &end, &e) || end)
		return false;
	begin = rn_now();
	rc = obey(s, &m, fds, &answer, &payload, &e);
	if (rc) {
		answer = (struct rn_msg){ .type = RN_MSG_FAILED, .from = (uint32_t)-rc };
		answer.payload = strlen(e.msg);
		text = e.msg;
	}
	rc = answer_with(s, &answer, text ? text : payload, begin, &e);
	free(payload);
	return !rc && m.type != RN_MSG_STOP;
}

int rn_stage_main(int fd)
{
	struct rn_err e = { 0 };
	struct stage s = { 0 };

	/* The coordinator may die without hanging up first, e.g. while this process computes. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)prctl(PR_SET_NAME, "rn-stage");
	if (rn_link_socket(fd, NULL, NULL, &s.link, &e))
		return 1;
	while (serve(&s))
		;
	for (uint32_t i = 0; i < s.nprograms; i++)
		program_free(s.programs[i]);
	free(s.programs);
	rn_shared_free(s.params);
	if (s.backend)
		s.backend->close(s.backend);
	rn_link_close(s.link);
	return 0;
}
