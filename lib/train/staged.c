/* SPDX-License-Identifier: Apache-2.0
 *
 * The coordinator of a staged placement: cut the program into parts (cut.h), start a
 * process for each (child.h), and drive them.
 */
#include "staged.h"

#include "child.h"
#include "session.h"
#include "work.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct staged {
	struct rn_runner base;
	struct rn_staged_conf conf;
	struct rn_children children;
	/* The program of the fit, with the children's status in front of its values; and one more
	 * for each relation that is validated on. */
	struct rn_work fit;
	struct validation {
		const struct rn_forward *forward;
		struct rn_work work;
	} *validations;
	uint32_t nvalidations;
	uint64_t steps;
	double opened;
};

static struct staged *self(struct rn_runner *r)
{
	return (struct staged *)r;
}

/* ---- starting ------------------------------------------------------------------------------ */

/* Its image, a process, and the greeting. */
static int start(struct staged *s, uint32_t q, struct rn_err *e)
{
	struct rn_msg m = { .type = RN_MSG_HELLO, .from = s->conf.ctx->threads, .to = q };
	struct rn_child *c = &s->children.items[q];
	struct rn_shared *image;
	int rc;

	RN_TRY(rn_work_image(&s->fit, q, s->conf.store, &image, e));
	rc = rn_child_start(c, s->conf.exe, e);
	if (!rc) {
		int fds[RN_MSG_FDS] = { image->fd, s->conf.params->fd, s->fit.values->fd };

		c->status = (struct rn_stage_status *)s->fit.values->base + q;
		rc = rn_child_ask(c, "the start", &m, NULL, fds, e);
	}
	rn_shared_free(image);
	return rc;
}

/* All of them start at once. */
static int start_all(struct staged *s, struct rn_err *e)
{
	uint32_t n = s->fit.cut.nparts;
	struct rn_msg answer;

	for (uint32_t q = 0; q < n; q++)
		RN_TRY(start(s, q, e));
	for (uint32_t q = 0; q < n; q++) {
		const struct rn_cut_part *part = &s->fit.cut.parts[q];
		const struct rn_child *c = &s->children.items[q];

		RN_TRY(rn_child_hear(&s->children.items[q], &answer, e));
		s->fit.images[q].bytes = answer.t;
		rn_log(s->conf.ctx, RN_LOG_INFO,
		       "stage %u of %u, '%s': process %d, %u instructions, %llu bytes, linked by %s",
		       q + 1, n, part->name, (int)c->was, part->ninsts,
		       (unsigned long long)answer.t, c->link->ops->transport);
	}
	return 0;
}

/* ---- driving ------------------------------------------------------------------------------- */

/* One process after the other, in the order of the program. */
static int run_in_turn(struct staged *s, const struct rn_work *w, enum rn_phase phase,
		       const char *doing, struct rn_msg m, struct rn_err *e)
{
	struct rn_msg answer;

	for (size_t i = w->phase[phase]; i < w->phase[phase + 1]; i++) {
		struct rn_child *c = &s->children.items[w->segments[i].part];

		m.from = w->segments[i].from;
		m.to = w->segments[i].to;
		RN_TRY(rn_child_ask(c, doing, &m, NULL, NULL, e));
		RN_TRY(rn_child_hear(c, &answer, e));
	}
	return 0;
}

/* Each segment as soon as those that it needs have ended, which the coordinator learns in the
 * order in which it asked. */
static int run_at_once(struct staged *s, struct rn_work *w, enum rn_phase phase,
		       const char *doing, struct rn_msg m, struct rn_err *e)
{
	size_t begin = w->phase[phase], n = w->phase[phase + 1] - begin;
	size_t ready = 0, asked = 0;
	struct rn_msg answer;

	for (size_t i = begin; i < begin + n; i++) {
		w->segments[i].missing = w->segments[i].needs;
		if (!w->segments[i].needs)
			w->queue[ready++] = i;
	}
	for (size_t heard = 0; heard < n; heard++) {
		const struct rn_segment *g;

		for (; asked < ready; asked++) {
			g = &w->segments[w->queue[asked]];
			m.from = g->from;
			m.to = g->to;
			RN_TRY(rn_child_ask(&s->children.items[g->part], doing, &m, NULL, NULL, e));
		}
		g = &w->segments[w->queue[heard]];
		RN_TRY(rn_child_hear(&s->children.items[g->part], &answer, e));
		for (size_t k = g->edges; k != SIZE_MAX; k = w->edges[k].next)
			if (!--w->segments[w->edges[k].to].missing)
				w->queue[ready++] = w->edges[k].to;
	}
	return 0;
}

/* A stage that runs alone has all threads; where each has one, those that can run at once.
 * Steps are short, and do not depend on each other. */
static int run_pass(struct staged *s, struct rn_work *w, enum rn_phase phase, const char *doing,
		    struct rn_msg m, struct rn_err *e)
{
	m.type = RN_MSG_RUN;
	if (phase == RN_STEP || s->conf.ctx->threads == 1)
		return run_at_once(s, w, phase, doing, m, e);
	return run_in_turn(s, w, phase, doing, m, e);
}

static int forward(struct rn_runner *r, uint32_t epoch, double *loss, struct rn_err *e)
{
	uint32_t v = rn_cut_root(&r->fit->prog, r->fit->loss);
	struct staged *s = self(r);
	float x;

	RN_TRY(run_pass(s, &s->fit, RN_FORWARD, "the forward pass",
			(struct rn_msg){ .epoch = epoch }, e));
	memcpy(&x, (char *)s->fit.values->base + s->fit.cut.place[v], sizeof x);
	*loss = x;
	return 0;
}

static int backward(struct rn_runner *r, uint32_t epoch, struct rn_err *e)
{
	return run_pass(self(r), &self(r)->fit, RN_BACKWARD, "the backward pass",
			(struct rn_msg){ .epoch = epoch }, e);
}

static int step(struct rn_runner *r, uint64_t t, struct rn_err *e)
{
	self(r)->steps++;
	return run_pass(self(r), &self(r)->fit, RN_STEP, "the step",
			(struct rn_msg){ .epoch = (uint32_t)(t - 1), .t = t }, e);
}

static int find(struct rn_runner *r, uint32_t epoch, uint32_t *inst, struct rn_err *e)
{
	struct staged *s = self(r);

	*inst = RN_NONE;
	for (size_t i = s->fit.phase[RN_FORWARD]; i < s->fit.phase[RN_FORWARD + 1]; i++) {
		const struct rn_segment *g = &s->fit.segments[i];
		struct rn_child *c = &s->children.items[g->part];
		struct rn_msg answer, m = { .type = RN_MSG_FIND, .from = g->from, .to = g->to,
					    .epoch = epoch };

		RN_TRY(rn_child_ask(c, "the search for a value that is not finite", &m, NULL, NULL,
				    e));
		RN_TRY(rn_child_hear(c, &answer, e));
		if (answer.inst < s->fit.images[g->part].ninsts) {
			*inst = s->fit.images[g->part].insts[answer.inst];
			return 0;
		}
	}
	return 0;
}

/* ---- validation ---------------------------------------------------------------------------- */

static bool has_part(const struct rn_work *w, uint32_t q)
{
	for (uint32_t i = 0; i < w->prog->ninsts; i++)
		if (w->cut.part_of[i] == q)
			return true;
	return false;
}

/* Another program to each process that has a part in it. */
static int hand_out(struct staged *s, uint32_t number, struct rn_work *w, struct rn_err *e)
{
	struct rn_msg answer, m = { .type = RN_MSG_PROGRAM, .inst = number };
	struct rn_shared *image;

	for (uint32_t q = 0; q < w->cut.nparts; q++) {
		struct rn_child *c = &s->children.items[q];
		int rc;

		if (!has_part(w, q))
			continue;
		RN_TRY(rn_work_image(w, q, s->conf.store, &image, e));
		int fds[RN_MSG_FDS] = { image->fd, s->conf.params->fd, w->values->fd };

		rc = rn_child_ask(c, "the start of a validation", &m, NULL, fds, e);
		rn_shared_free(image);
		RN_TRY(rc);
		RN_TRY(rn_child_hear(c, &answer, e));
		w->images[q].bytes = answer.t;
	}
	return rn_work_order(w, e);
}

static int add_validation(struct staged *s, const struct rn_forward *f, struct rn_err *e)
{
	const uint32_t ends[RN_NPHASES] = { f->prog.ninsts, f->prog.ninsts, f->prog.ninsts };
	struct validation *all = realloc(s->validations, (s->nvalidations + 1) * sizeof *all);
	struct rn_cut cut;

	if (!all)
		return rn_err_nomem(e, sizeof *all, "a validation");
	s->validations = all;
	RN_TRY(rn_cut_like(&s->fit.cut, &f->prog, f->val, &cut, e));
	all += s->nvalidations++;
	all->forward = f;
	RN_TRY(rn_work_init(&all->work, &f->prog, ends, &cut, e));
	return hand_out(s, s->nvalidations, &all->work, e);
}

static int eval(struct rn_runner *r, struct rn_forward *f, struct rn_err *e)
{
	uint32_t v = rn_cut_root(&f->prog, f->val), i = 0;
	struct staged *s = self(r);
	struct rn_work *w;

	while (i < s->nvalidations && s->validations[i].forward != f)
		i++;
	if (i == s->nvalidations)
		RN_TRY(add_validation(s, f, e));
	w = &s->validations[i].work;
	RN_TRY(run_pass(s, w, RN_FORWARD, "a validation", (struct rn_msg){ .inst = i + 1 }, e));
	memcpy(f->out, (char *)w->values->base + w->cut.place[v],
	       (size_t)f->rows * f->width * sizeof *f->out);
	return 0;
}

/* ---- optimizer slots ----------------------------------------------------------------------- */

/* The slots of one process, between it and fit->states. */
static int move_slots(struct staged *s, uint32_t q, bool out, struct rn_err *e)
{
	struct rn_child *c = &s->children.items[q];
	struct rn_store *states = s->base.fit->states;
	const struct rn_work_image *im = &s->fit.images[q];
	struct rn_msg answer, m = { .type = out ? RN_MSG_SAVE : RN_MSG_LOAD };
	float *payload, *x;
	size_t n = 0;
	int rc = 0;

	for (uint32_t i = 0; i < im->nstates; i++)
		n += states->items[im->states[i]].count;
	m.payload = out ? 0 : n * sizeof *x;
	RN_TRY(rn_calloc(n, sizeof *x, "optimizer slots", &payload, e));
	x = payload;
	for (uint32_t i = 0; !out && i < im->nstates; i++) {
		RN_GOTO(out, rn_store_get_f32(states, im->states[i], x, e));
		x += states->items[im->states[i]].count;
	}
	RN_GOTO(out, rn_child_ask(c, out ? "a checkpoint" : "resuming", &m, payload, NULL, e));
	RN_GOTO(out, rn_child_hear(c, &answer, e));
	if (!out)
		goto out;
	if (answer.payload != n * sizeof *x) {
		rc = rn_err_set(e, RN_EBUG, "stage '%s' hands over other optimizer slots",
				c->part->name);
		goto out;
	}
	RN_GOTO(out, rn_child_read(c, payload, n * sizeof *x, e));
	for (uint32_t i = 0; i < im->nstates; i++) {
		RN_GOTO(out, rn_store_set_f32(states, im->states[i], x, e));
		x += states->items[im->states[i]].count;
	}
out:
	free(payload);
	return rc;
}

static int pull(struct rn_runner *r, struct rn_err *e)
{
	struct staged *s = self(r);

	for (uint32_t q = 0; q < s->fit.cut.nparts; q++)
		RN_TRY(move_slots(s, q, true, e));
	return 0;
}

static int push(struct rn_runner *r, struct rn_err *e)
{
	struct staged *s = self(r);

	for (uint32_t q = 0; q < s->fit.cut.nparts; q++)
		RN_TRY(move_slots(s, q, false, e));
	return 0;
}

static uint64_t bytes(const struct rn_runner *r)
{
	const struct staged *s = (const struct staged *)r;
	uint64_t n = s->fit.values->size + s->conf.params->size;

	for (uint32_t q = 0; q < s->fit.cut.nparts; q++)
		n += s->fit.images[q].bytes;
	return n;
}

/* ---- ending -------------------------------------------------------------------------------- */

/* What stage q did in all: a line for -v, an object for --stats. */
static int tell_stage(struct staged *s, uint32_t q, double elapsed, json_t *into, struct rn_err *e)
{
	const struct rn_cut_part *part = &s->fit.cut.parts[q];
	const struct rn_child *c = &s->children.items[q];
	double busy = (double)c->status->busy_ns * 1e-9, steps = (double)s->steps;
	double rate = elapsed > 0 ? part->rows * steps / elapsed : 0;
	json_t *o;

	rn_log(s->conf.ctx, RN_LOG_INFO,
	       "stage %u of %u, '%s': process %d, %.3g rows/s, busy %.0f %%, waiting %.0f %%, "
	       "%.3g bytes in, %.3g bytes out, shared memory",
	       q + 1, s->fit.cut.nparts, part->name, (int)c->was, rate, 100 * busy / elapsed,
	       100 - 100 * busy / elapsed, (double)part->in * steps, (double)part->out * steps);
	o = json_pack("{s:s, s:s, s:i, s:I, s:f, s:f, s:f, s:I, s:I, s:I, s:s, s:s}", "fit",
		      s->base.fit->name, "stage", part->name, "pid", (int)c->was, "steps",
		      (json_int_t)s->steps, "seconds", round(elapsed * 1e6) / 1e6, "seconds_busy",
		      round(busy * 1e6) / 1e6, "rows_per_second", round(rate), "bytes_in",
		      (json_int_t)(part->in * s->steps), "bytes_out",
		      (json_int_t)(part->out * s->steps), "peak_bytes", (json_int_t)c->peak, "data",
		      "shared memory", "commands", c->link->ops->transport);
	if (!o)
		return rn_err_nomem(e, 0, "the result");
	return rn_json_append(into, o, e);
}

static int finish(struct rn_runner *r, json_t *stages, uint64_t *peak, struct rn_err *e)
{
	struct staged *s = self(r);
	double elapsed = rn_now() - s->opened;

	rn_children_stop(&s->children);
	*peak = 0;
	for (uint32_t q = 0; q < s->fit.cut.nparts; q++) {
		*peak += s->children.items[q].peak;
		RN_TRY(tell_stage(s, q, elapsed, stages, e));
	}
	return 0;
}

static bool lost(const struct rn_runner *r)
{
	return ((const struct staged *)r)->children.lost;
}

static void close_staged(struct rn_runner *r)
{
	struct staged *s = self(r);

	rn_children_fini(&s->children);
	for (uint32_t i = 0; i < s->nvalidations; i++)
		rn_work_fini(&s->validations[i].work);
	free(s->validations);
	rn_work_fini(&s->fit);
	free(s);
}

static const struct rn_runner_ops ops = {
	.forward = forward,
	.backward = backward,
	.step = step,
	.find = find,
	.eval = eval,
	.pull = pull,
	.push = push,
	.bytes = bytes,
	.finish = finish,
	.lost = lost,
	.close = close_staged,
};

/* The cut, with a status of each process in front of what they share. */
static int make_cut(struct staged *s, struct rn_err *e)
{
	const struct rn_fit *f = s->base.fit;
	uint32_t ends[RN_NPHASES] = { f->nforward, f->nback, f->prog.ninsts };
	struct rn_cut cut;

	RN_TRY(rn_cut_make(f, s->conf.plan, s->conf.stages, sizeof(struct rn_stage_status), &cut,
			   e));
	RN_TRY(rn_work_init(&s->fit, &f->prog, ends, &cut, e));
	return rn_children_init(&s->children, &s->fit.cut, e);
}

int rn_staged_open(const struct rn_staged_conf *c, struct rn_fit *f, struct rn_runner **out,
		   struct rn_err *e)
{
	struct staged *s;

	RN_TRY(rn_calloc(1, sizeof *s, "a runner", &s, e));
	s->base = (struct rn_runner){ .ops = &ops, .fit = f };
	s->conf = *c;
	s->opened = rn_now();
	s->children = (struct rn_children){ .ctx = c->ctx, .plan = c->plan, .timeout = c->timeout };
	*out = &s->base; /* also on failure: it knows whether a process was lost */
	RN_TRY(make_cut(s, e));
	RN_TRY(start_all(s, e));
	return rn_work_order(&s->fit, e);
}
