/* SPDX-License-Identifier: Apache-2.0
 *
 * A stage process: `rn-train --stage FD`.  It runs the instructions of its
 * image when the coordinator says so, and ends when the coordinator does.
 */
#include "arrays.h"
#include "child.h"
#include "waits.h"
#include "session.h"

#include "../base/peak.h"
#include "../learn/optim.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* A program: the fit's is number 0, others are those that it validates by. */
struct program {
	struct rn_image image;
	struct rn_shared *values, *agenda, *arrays, *counts;
	struct rn_region region; /* of the values */
	struct rn_region constants; /* of what is in arrays, if it is on the device; else zeroed */
	struct rn_waits waits;
	struct rn_store *store, *states;
	struct rn_machine *machine; /* NULL: this stage has no part in it */
};

struct stage {
	struct rn_link *link;
	struct rn_board *board; /* NULL before the greeting */
	uint32_t part, nparts, threads;
	struct rn_stay stay;
	struct rn_backend *backend;
	struct rn_shared *params;
	struct rn_region region; /* of the parameters */
	struct rn_region early, early_constants; /* of the program that comes next */
	struct rn_event *event;  /* NULL: none */
	struct rn_peers peers;
	bool behind; /* segments have ended that may still have to be computed */
	struct program **programs; /* each stays where it is: its machine refers to it */
	uint32_t nprograms;
};
enum { MAX_PROGRAMS = 1 << 20 };

/* Where data that came in the arrays is for the device; NULL: nowhere, it is to be copied. */
static void *constant_at(const struct program *p, void *data)
{
	uint64_t at = rn_arrays_find(p->arrays, data);

	if (at == RN_UNSHARED)
		return NULL;
	if (p->constants.base)
		return (char *)p->constants.base + at;
	return p->region.backend->host ? data : NULL;
}

/* What is shared of the values, made here or elsewhere, and of constants, as the machine is given it. */
static void find_shared(const struct program *p, void **mem, const uint32_t **idx)
{
	const struct rn_image *im = &p->image;
	const char *file = p->values->base;

	for (uint32_t i = 0; i < im->prog.nvals; i++) {
		const struct rn_val *v = &im->prog.vals[i];
		uintptr_t at = v->kind == RN_V_CONST ? (uintptr_t)v->data->data - (uintptr_t)file
						     : UINTPTR_MAX;

		if (im->shared[i] != RN_UNSHARED)
			mem[i] = (char *)p->region.base + im->shared[i];
		else if (at < p->values->size)
			mem[i] = (char *)p->region.base + at;
		else if (v->kind == RN_V_CONST)
			mem[i] = constant_at(p, v->data->data);
	}
	for (uint32_t i = 0; i < im->prog.nidx; i++)
		idx[i] = constant_at(p, im->prog.idx[i].data->data);
}

/* Optimizer slots are the stage's own; values that others read are shared. */
static int make_machine(struct stage *s, struct program *p, struct rn_err *e)
{
	struct rn_image *im = &p->image;
	const uint32_t **idx = NULL;
	void **mem = NULL;
	uint32_t number;
	int rc;

	RN_TRY(rn_shared_store(&s->region, im->nparams, im->counts, &p->store, e));
	RN_TRY(rn_store_new(s->backend, RN_F32, &p->states, e));
	for (uint32_t i = 0; i < im->nstates; i++)
		RN_TRY(rn_store_add(p->states, im->counts[im->nparams + i], &number, e));
	RN_GOTO(out, rn_calloc(im->prog.nvals, sizeof *mem, "a stage", &mem, e));
	RN_GOTO(out, rn_calloc(im->prog.nidx, sizeof *idx, "a stage", &idx, e));
	find_shared(p, mem, idx);
	rc = rn_machine_new_over(&im->prog, s->backend, RN_F32, p->store, p->states, mem, idx,
				 &p->machine, e);
out:
	free(mem);
	free(idx);
	return rc;
}

static void program_free(struct program *p)
{
	if (!p)
		return;
	rn_machine_free(p->machine);
	rn_store_free(p->states);
	rn_shared_store_free(p->store);
	rn_waits_fini(&p->waits);
	rn_image_fini(&p->image);
	rn_region_fini(&p->region);
	rn_region_fini(&p->constants);
	rn_shared_free(p->values);
	rn_shared_free(p->agenda);
	rn_shared_free(p->arrays);
	rn_shared_free(p->counts);
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

static bool came_all(const int *fds)
{
	for (int i = 0; i < RN_MSG_FDS; i++)
		if (fds[i] < 0)
			return false;
	return true;
}

/* An fd that came; it is taken. */
static int map_fd(int *fd, bool writable, struct rn_shared **out, struct rn_err *e)
{
	int taken = *fd;

	*fd = -1;
	return rn_shared_map(taken, writable, out, e);
}

/* Map what came.  The parameters come again with each program. */
static int map_all(struct stage *s, struct program *p, int *fds, struct rn_shared **image,
		   struct rn_err *e)
{
	RN_TRY(map_fd(&fds[2], true, &p->values, e));
	RN_TRY(map_fd(&fds[3], false, &p->agenda, e));
	RN_TRY(map_fd(&fds[4], false, &p->arrays, e));
	RN_TRY(map_fd(&fds[5], true, &p->counts, e));
	if (!s->params)
		RN_TRY(map_fd(&fds[1], true, &s->params, e));
	return map_fd(&fds[0], false, image, e);
}

/* Memory of a program on the device, by its handles; files are told later. */
static int take_memory(struct stage *s, const struct rn_msg_memory *m, struct rn_region *values,
		       struct rn_region *constants, struct rn_err *e)
{
	int rc;

	RN_TRY(rn_region_take(NULL, s->backend, &m->values, values, e));
	rc = m->has_arrays ? rn_region_take(NULL, s->backend, &m->arrays, constants, e) : 0;
	if (rc)
		rn_region_fini(values);
	return rc;
}

/* What was imported before the program came. */
static int take_early(struct stage *s, struct program *p, struct rn_err *e)
{
	if (s->region.by != RN_BY_DEVICE || s->early.by != RN_BY_DEVICE)
		return rn_err_set(e, RN_EBUG, "told to use memory that was not imported");
	s->region.file = s->params;
	p->region = s->early;
	p->region.file = p->values;
	p->constants = s->early_constants;
	p->constants.file = p->arrays;
	memset(&s->early, 0, sizeof s->early);
	memset(&s->early_constants, 0, sizeof s->early_constants);
	return 0;
}

static void drop_early(struct stage *s)
{
	rn_region_fini(&s->early);
	rn_region_fini(&s->early_constants);
}

/* Memory as this stage's device sees it.  imported: what is there already, also of the parameters for
 * program 0. */
static int take_regions(struct stage *s, struct program *p, uint32_t number, bool imported,
			struct rn_err *e)
{
	if (imported)
		return take_early(s, p, e);
	drop_early(s);
	if (!number) {
		rn_region_fini(&s->region);
		RN_TRY(rn_region_take(s->params, s->backend, NULL, &s->region, e));
	}
	return rn_region_take(p->values, s->backend, NULL, &p->region, e);
}

static bool fits(const struct program *p, uint32_t nparts, uint32_t part)
{
	const struct rn_agenda *o = p->agenda->base;

	return rn_agenda_check(o, p->agenda->size, nparts, part, p->image.prog.ninsts) &&
	       p->counts->size == o->nsegments * sizeof(uint32_t);
}

/* Takes the fds. */
static int add_program(struct stage *s, uint32_t number, uint32_t nparts, bool imported, int *fds,
		       struct rn_err *e)
{
	struct rn_shared *image;
	struct program *p;
	int rc;

	if (!came_all(fds))
		rc = rn_err_set(e, RN_EBUG, "a program without image and memory");
	else
		rc = new_program(s, number, &p, e);
	if (!rc)
		rc = map_all(s, p, fds, &image, e);
	close_fds(fds);
	if (!rc) {
		rc = take_regions(s, p, number, imported, e);
		if (rc)
			rn_shared_free(image);
	}
	if (rc)
		return rc;
	RN_TRY(rn_image_read(image, p->values, p->arrays, &p->image, e));
	if (!fits(p, nparts, s->part))
		return rn_err_set(e, RN_EBUG, "the agenda of program %u does not fit", number);
	RN_TRY(rn_waits_make(&s->peers, p->agenda->base, &p->waits, e));
	return make_machine(s, p, e);
}

/* What others have on the same device, if all of it can be had. */
static bool import(struct stage *s, const struct rn_msg_device *m)
{
	if (strncmp(m->sharing, s->backend->name, sizeof m->sharing))
		return false;
	if (rn_region_take(NULL, s->backend, &m->params, &s->region, NULL))
		return false;
	if (!take_memory(s, &m->fit, &s->early, &s->early_constants, NULL))
		return true;
	rn_region_fini(&s->region);
	return false;
}

/* What others of the device have of the program that comes next; *all: it can be had. */
static int import_memory(struct stage *s, const struct rn_msg *m, bool *all, struct rn_err *e)
{
	struct rn_msg_memory want;

	drop_early(s);
	*all = false;
	if (!m->payload && !s->nprograms)
		rn_region_fini(&s->region);
	if (!m->payload)
		return 0;
	if (m->payload != sizeof want || s->region.by != RN_BY_DEVICE)
		return rn_err_set(e, RN_EBUG, "told of memory that cannot be imported");
	RN_TRY(s->link->ops->read(s->link, &want, sizeof want, e));
	*all = !take_memory(s, &want, &s->early, &s->early_constants, NULL);
	return 0;
}

static int open_device(struct stage *s, const struct rn_msg *m, struct rn_msg_opened *out,
		       struct rn_err *e)
{
	struct rn_msg_device want;
	struct rn_ctx ctx = { .threads = m->from, .device = want.device };

	if (m->payload != sizeof want)
		return rn_err_set(e, RN_EBUG, "told of no device");
	RN_TRY(s->link->ops->read(s->link, &want, sizeof want, e));
	if (s->backend || want.math > RN_MATH_BF16 || want.device[sizeof want.device - 1])
		return rn_err_set(e, RN_EBUG, "told of a device that cannot be opened");
	ctx.math = (enum rn_math)want.math;
	RN_TRY(rn_backend_of(&ctx, RN_LOG_WARN, &s->backend, e));
	memset(out, 0, sizeof *out);
	snprintf(out->device, sizeof out->device, "%s", s->backend->name);
	out->host = s->backend->host;
	out->imported = import(s, &want);
	out->has_event = s->backend->event_new &&
			 !s->backend->event_new(s->backend, &s->event, &out->event, NULL);
	return 0;
}

/* The others, of whose work this stage's may have to wait; *all: it has their events. */
static int meet(struct stage *s, const struct rn_msg *m, bool *all, struct rn_err *e)
{
	struct rn_msg_peer *came = NULL;
	int rc;

	*all = true;
	if (!m->payload && s->backend->host)
		return 0;
	if (m->payload != (uint64_t)m->inst * sizeof *came || m->to >= m->inst)
		return rn_err_set(e, RN_EBUG, "told of %llu bytes of other stages",
				  (unsigned long long)m->payload);
	RN_TRY(rn_calloc(m->inst, sizeof *came, "stages", &came, e));
	rc = s->link->ops->read(s->link, came, m->payload, e);
	if (!rc)
		rc = rn_peers_init(&s->peers, s->backend, s->event, came, m->to, m->inst, all, e);
	free(came);
	return rc;
}

static int hello(struct stage *s, const struct rn_msg *m, int *fds, bool *met, struct rn_err *e)
{
	const uint64_t line = sizeof(struct rn_stage_status);
	const struct rn_shared *values;
	int rc = s->nprograms ? rn_err_set(e, RN_EBUG, "a second greeting")
		 : s->backend ? 0 : rn_cpu_backend(m->from, &s->backend, e);

	if (!rc)
		rc = meet(s, m, met, e);
	if (rc) {
		close_fds(fds);
		return rc;
	}
	s->threads = m->from;
	s->part = m->to;
	RN_TRY(add_program(s, 0, m->inst, m->epoch, fds, e));
	values = s->programs[0]->values;
	if (m->to >= m->inst || values->size < sizeof *s->board + m->inst * line)
		return rn_err_set(e, RN_EBUG, "there is no board for stage %u of %u", m->to, m->inst);
	s->board = values->base;
	s->nparts = m->inst;
	return 0;
}

/* ---- passes -------------------------------------------------------------------------------- */

static struct rn_stage_status *status(struct stage *s)
{
	return &s->board->stages[s->part];
}

/* All threads are this stage's while it runs alone; stages that run at the same time share
 * them, and on one processor none needs more than its own.  This may change with every
 * instruction, and changes no bit. */
static void share_threads(struct stage *s)
{
	uint32_t running = atomic_load_explicit(&s->board->running, memory_order_relaxed);

	if (s->threads > 1 && s->backend->grant)
		s->backend->grant(s->backend, s->stay.cpu ? 1 : running < 2 ? 0 :
				  running < s->threads ? s->threads / running : 1);
}

/* A device is told all of them at once. */
static int run_on_device(struct stage *s, struct program *p, uint32_t number, struct rn_err *e)
{
	const struct rn_agenda *o = p->agenda->base;
	const struct rn_segment *g = &o->segments[number];
	const struct rn_inst *insts = p->image.prog.insts;
	uint32_t i = g->from;

	while (i + 1 < g->to && insts[i].op == RN_P_VIEW)
		i++;
	atomic_store_explicit(&status(s)->at, insts[i].stage + 1, memory_order_relaxed);
	RN_TRY(rn_wait_begin(&s->peers, &p->waits, o, number, e));
	RN_TRY(rn_machine_run(p->machine, g->from, g->to, s->board->epoch, e));
	return rn_wait_end(&s->peers, &p->waits, o, number, &s->behind, e);
}

/* Instructions from … to-1.  The coordinator looks at status->at when this process is gone, or
 * failed. */
static int run_insts(struct stage *s, struct program *p, uint32_t from, uint32_t to,
		     struct rn_err *e)
{
	const struct rn_inst *insts = p->image.prog.insts;
	uint32_t epoch = s->board->epoch;

	for (uint32_t i = from; i < to; i++) {
		if (insts[i].op == RN_P_VIEW)
			continue;
		atomic_store_explicit(&status(s)->at, insts[i].stage + 1, memory_order_relaxed);
		share_threads(s);
		RN_TRY(rn_machine_run(p->machine, i, i + 1, epoch, e));
	}
	return 0;
}

static int run_segment(struct stage *s, uint32_t number, uint32_t call, struct rn_err *e)
{
	uint32_t program = atomic_load(&s->board->program); /* once: a stage gone wild may change it */
	struct program *p = program < s->nprograms ? s->programs[program] : NULL;
	const struct rn_agenda *o = p ? p->agenda->base : NULL;
	uint64_t t = s->board->t;
	double f[RN_STEP_F];
	int rc;

	if (!p || !p->machine || number >= o->nsegments || o->segments[number].part != s->part)
		return rn_err_set(e, RN_EBUG, "told to run segment %u of program %u", number, program);
	for (uint32_t i = o->segments[number].from; t && i < o->segments[number].to; i++) {
		if (!rn_optim_is_step(&p->image.prog.insts[i]))
			continue;
		rn_optim_scalars(&p->image.prog.insts[i], t, f);
		rn_machine_set_f(p->machine, i, f);
	}
	rn_stay_on(&s->stay, atomic_load(&o->cpu));
	rn_board_work(s->board, s->part);
	if (!s->stay.cpu && s->backend->enter)
		s->backend->enter(s->backend);
	rc = s->backend->host ? run_insts(s, p, o->segments[number].from, o->segments[number].to, e)
			      : run_on_device(s, p, number, e);
	if (!s->stay.cpu && s->backend->leave)
		s->backend->leave(s->backend);
	if (!rc)
		atomic_store(&status(s)->at, 0);
	rn_board_rest(s->board, s->part);
	if (!rc)
		rn_board_end(s->board, o, p->counts->base, number, call);
	return rc;
}

/* ---- messages ------------------------------------------------------------------------------ */

static int find(struct stage *s, const struct rn_msg *m, uint32_t *inst, struct rn_err *e)
{
	struct program *p = s->programs[0];

	if (m->from > m->to || m->to > p->image.prog.ninsts)
		return rn_err_set(e, RN_EBUG, "told to search instructions %u to %u", m->from, m->to);
	return rn_machine_find_nonfinite(p->machine, m->from, m->to, m->epoch, inst, e);
}

/* Slots in the order of the image: into a payload, or out of one. */
static int save(struct stage *s, struct rn_msg *answer, void **payload, struct rn_err *e)
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

/* The most that was this process's own: its image is, what it shares with others and the pages
 * of programs and libraries are not. */
static uint64_t peak_bytes(const struct stage *s)
{
	uint64_t others, peak = rn_peak_memory(&others);

	peak -= others < peak ? others : peak;
	for (uint32_t i = 0; i < s->nprograms; i++)
		peak += s->programs[i] ? s->programs[i]->image.file->size : 0;
	return peak;
}

static int obey(struct stage *s, const struct rn_msg *m, int *fds, struct rn_msg *answer,
		void **payload, struct rn_err *e)
{
	bool all;

	if (m->type != RN_MSG_HELLO && m->type != RN_MSG_DEVICE && m->type != RN_MSG_MEMORY && !s->board)
		return rn_err_set(e, RN_EBUG, "told to work before the greeting");
	switch (m->type) {
	case RN_MSG_DEVICE:
		RN_TRY(rn_calloc(1, sizeof(struct rn_msg_opened), "a device", payload, e));
		answer->payload = sizeof(struct rn_msg_opened);
		return open_device(s, m, *payload, e);
	case RN_MSG_HELLO:
		RN_TRY(hello(s, m, fds, &all, e));
		answer->inst = all;
		answer->t = rn_machine_bytes(s->programs[0]->machine);
		return 0;
	case RN_MSG_MEMORY:
		RN_TRY(import_memory(s, m, &all, e));
		answer->inst = all;
		return 0;
	case RN_MSG_PROGRAM:
		RN_TRY(add_program(s, m->inst, s->nparts, m->epoch, fds, e));
		answer->t = rn_machine_bytes(s->programs[m->inst]->machine);
		return 0;
	case RN_MSG_FIND:
		return find(s, m, &answer->inst, e);
	case RN_MSG_SAVE:
		return save(s, answer, payload, e);
	case RN_MSG_LOAD:
		return load(s, m, e);
	case RN_MSG_STOP:
		answer->t = peak_bytes(s);
		answer->device = s->backend->peak ? s->backend->peak(s->backend) : 0;
		return 0;
	}
	return rn_err_set(e, RN_EBUG, "there is no message %u", m->type);
}

static void set_failed(struct rn_msg *answer, int rc, const struct rn_err *why)
{
	*answer = (struct rn_msg){ .type = RN_MSG_FAILED, .from = (uint32_t)-rc };
	answer->payload = strlen(why->msg);
}

/* One message and its answer; false: it was the last. */
static bool serve(struct stage *s)
{
	struct rn_msg m, answer = { .type = RN_MSG_DONE };
	struct rn_err e = { 0 };
	void *payload = NULL;
	int fds[RN_MSG_FDS], rc;
	bool end;

	if (s->link->ops->recv(s->link, &m, fds, &end, &e) || end)
		return false;
	rc = obey(s, &m, fds, &answer, &payload, &e);
	if (rc)
		set_failed(&answer, rc, &e);
	rc = s->link->ops->send(s->link, &answer, rc ? e.msg : payload, NULL, &e);
	free(payload);
	return !rc && m.type != RN_MSG_STOP;
}

/* ---- the process --------------------------------------------------------------------------- */

/* What it was at has failed; false: nobody wants to know why. */
static bool tell_failed(struct stage *s, int rc, const struct rn_err *why)
{
	struct rn_err e = { 0 };
	struct rn_msg m;

	set_failed(&m, rc, why);
	rc = s->link->ops->send(s->link, &m, why->msg, NULL, &e);
	rn_board_fail(s->board, s->part);
	return !rc;
}

static bool work(struct stage *s, uint32_t segment, uint32_t call)
{
	struct rn_err e = { 0 };
	int rc = run_segment(s, segment, call, &e);

	return !rc || tell_failed(s, rc, &e);
}

/* A tick without anything to do.  Others may wait for what it ended, and that may have failed. */
static bool look_behind(struct stage *s)
{
	struct rn_err e = { 0 };
	int rc;

	if (!s->behind)
		return true;
	s->behind = false;
	rc = s->backend->sync(s->backend, &e);
	return !rc || tell_failed(s, rc, &e);
}

/* What comes next: a segment, a message, or the end (false). */
static bool go_on(struct stage *s)
{
	struct rn_stage_status *st;
	uint32_t seen, segment, call;

	if (!s->board)
		return serve(s);
	st = status(s);
	seen = atomic_load(&st->bell.rings);
	segment = rn_board_take(s->board, s->part, &call);
	if (segment != RN_BOARD_NOTHING)
		return work(s, segment, call);
	if (atomic_exchange(&st->mail, 0))
		return serve(s);
	if (rn_bell_wait(&st->bell, seen))
		return true;
	if (!s->link->ops->waits(s->link))
		return look_behind(s);
	/* Nobody rang: the coordinator is gone, or its message is faster than its bell. */
	atomic_store(&st->mail, 0);
	return serve(s);
}

/* Where memory runs out the system shall end a stage, and not the coordinator, which can say so and
 * try again.  Much of what each counts for is what all of them share. */
static void go_before_coordinator(void)
{
	const int more = 100, most = 1000; /* proc(5) */
	FILE *f = fopen("/proc/self/oom_score_adj", "r+e");
	int adj;

	if (f && fscanf(f, "%d", &adj) == 1) {
		rewind(f);
		fprintf(f, "%d", adj + more < most ? adj + more : most);
	}
	if (f)
		fclose(f);
}

int rn_stage_main(int fd)
{
	struct rn_err e = { 0 };
	struct stage s = { 0 };

	/* The coordinator may die without hanging up first, e.g. while this process computes. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)prctl(PR_SET_NAME, "rn-stage");
	go_before_coordinator();
	if (rn_link_socket(fd, NULL, NULL, &s.link, &e))
		return 1;
	while (go_on(&s))
		;
	for (uint32_t i = 0; i < s.nprograms; i++)
		program_free(s.programs[i]);
	free(s.programs);
	rn_peers_fini(&s.peers);
	drop_early(&s);
	rn_region_fini(&s.region);
	rn_shared_free(s.params);
	if (s.event)
		s.backend->event_free(s.backend, s.event);
	if (s.backend)
		s.backend->close(s.backend);
	rn_link_close(s.link);
	return 0;
}
