/* SPDX-License-Identifier: Apache-2.0
 *
 * A stage process: `rn-train --stage FD`.  It runs the instructions of its
 * image when the coordinator says so, and ends when the coordinator does.
 */
#include "channel.h"
#include "image.h"
#include "train.h"

#include "../learn/optim.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

struct stage {
	int sock;
	struct rn_backend *backend;
	struct rn_image image;
	struct rn_shared *values, *params;
	struct rn_store *store, *states;
	struct rn_machine *machine;
};

/* Optimizer slots are the stage's own; values that others read are shared. */
static int make_machine(struct stage *s, struct rn_err *e)
{
	struct rn_image *im = &s->image;
	uint32_t number;
	void **mem;
	int rc;

	RN_TRY(rn_shared_store(s->params, s->backend, im->nparams, im->counts, &s->store, e));
	RN_TRY(rn_store_new(s->backend, RN_F32, &s->states, e));
	for (uint32_t i = 0; i < im->nstates; i++)
		RN_TRY(rn_store_add(s->states, im->counts[im->nparams + i], &number, e));
	RN_TRY(rn_calloc(im->prog.nvals, sizeof *mem, "a stage", &mem, e));
	for (uint32_t i = 0; i < im->prog.nvals; i++)
		if (im->shared[i] != RN_UNSHARED)
			mem[i] = (char *)s->values->base + im->shared[i];
	rc = rn_machine_new(&im->prog, s->backend, RN_F32, s->store, s->states, mem, &s->machine,
			    e);
	free(mem);
	return rc;
}

/* Takes the fds. */
static int hello(struct stage *s, const struct rn_msg *m, int *fds, struct rn_err *e)
{
	struct rn_shared *image;
	int rc;

	if (s->machine || fds[0] < 0 || fds[1] < 0 || fds[2] < 0) {
		for (int i = 0; i < RN_MSG_FDS; i++)
			if (fds[i] >= 0)
				close(fds[i]);
		return rn_err_set(e, RN_EBUG, "a greeting without image and memory");
	}
	rc = rn_shared_map(fds[2], true, &s->values, e);
	if (rc) {
		close(fds[0]);
		close(fds[1]);
		return rc;
	}
	rc = rn_shared_map(fds[1], true, &s->params, e);
	if (rc) {
		close(fds[0]);
		return rc;
	}
	RN_TRY(rn_shared_map(fds[0], false, &image, e));
	RN_TRY(rn_image_read(image, s->values, &s->image, e));
	RN_TRY(rn_cpu_backend(m->from, &s->backend, e));
	return make_machine(s, e);
}

static int check_range(const struct stage *s, const struct rn_msg *m, struct rn_err *e)
{
	if (!s->machine || m->from > m->to || m->to > s->image.prog.ninsts)
		return rn_err_set(e, RN_EBUG, "told to run instructions %u to %u of %u", m->from,
				  m->to, s->image.prog.ninsts);
	return 0;
}

static int run(struct stage *s, const struct rn_msg *m, struct rn_err *e)
{
	double f[RN_STEP_F];

	RN_TRY(check_range(s, m, e));
	for (uint32_t i = m->from; m->t && i < m->to; i++) {
		if (!rn_optim_is_step(&s->image.prog.insts[i]))
			continue;
		rn_optim_scalars(&s->image.prog.insts[i], m->t, f);
		rn_machine_set_f(s->machine, i, f);
	}
	return rn_machine_run(s->machine, m->from, m->to, m->epoch, e);
}

/* Slots in the order of the image: into a payload, or out of one. */
static int save(struct stage *s, struct rn_msg *answer, float **payload, struct rn_err *e)
{
	size_t n = 0;
	float *x;

	for (uint32_t i = 0; i < s->states->n; i++)
		n += s->states->items[i].count;
	RN_TRY(rn_calloc(n, sizeof *x, "optimizer slots", payload, e));
	answer->payload = n * sizeof *x;
	x = *payload;
	for (uint32_t i = 0; i < s->states->n; i++) {
		RN_TRY(rn_store_get_f32(s->states, i, x, e));
		x += s->states->items[i].count;
	}
	return 0;
}

static int load(struct stage *s, const struct rn_msg *m, struct rn_err *e)
{
	float *payload, *x;
	size_t n = 0;
	int rc;

	for (uint32_t i = 0; i < s->states->n; i++)
		n += s->states->items[i].count;
	if (m->payload != n * sizeof *x)
		return rn_err_set(e, RN_EBUG, "optimizer slots of another size");
	RN_TRY(rn_calloc(n, sizeof *x, "optimizer slots", &payload, e));
	rc = rn_msg_read(s->sock, payload, n * sizeof *x, e);
	x = payload;
	for (uint32_t i = 0; !rc && i < s->states->n; i++) {
		rc = rn_store_set_f32(s->states, i, x, e);
		x += s->states->items[i].count;
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
	if (m->type != RN_MSG_HELLO && !s->machine)
		return rn_err_set(e, RN_EBUG, "told to work before the greeting");
	switch (m->type) {
	case RN_MSG_HELLO:
		RN_TRY(hello(s, m, fds, e));
		answer->t = rn_machine_bytes(s->machine);
		return 0;
	case RN_MSG_RUN:
		return run(s, m, e);
	case RN_MSG_FIND:
		RN_TRY(check_range(s, m, e));
		return rn_machine_find_nonfinite(s->machine, m->from, m->to, m->epoch,
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

/* One message and its answer; false: it was the last. */
static bool serve(struct stage *s)
{
	struct rn_msg m, answer = { .type = RN_MSG_DONE };
	struct rn_err e = { 0 };
	float *payload = NULL;
	int fds[RN_MSG_FDS], end, rc;
	const void *text = NULL;

	if (rn_msg_recv(s->sock, &m, fds, &end, &e) || end)
		return false;
	rc = obey(s, &m, fds, &answer, &payload, &e);
	if (rc) {
		answer = (struct rn_msg){ .type = RN_MSG_FAILED, .from = (uint32_t)-rc };
		answer.payload = strlen(e.msg);
		text = e.msg;
	}
	rc = rn_msg_send(s->sock, &answer, text ? text : payload, NULL, &e);
	free(payload);
	return !rc && m.type != RN_MSG_STOP;
}

int rn_stage_main(int fd)
{
	struct stage s = { .sock = fd };

	/* The coordinator may die without hanging up first, e.g. while this process computes. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)prctl(PR_SET_NAME, "rn-stage");
	while (serve(&s))
		;
	rn_machine_free(s.machine);
	rn_store_free(s.states);
	rn_shared_store_free(s.store);
	rn_image_fini(&s.image);
	rn_shared_free(s.values);
	rn_shared_free(s.params);
	if (s.backend)
		s.backend->close(s.backend);
	close(fd);
	return 0;
}
