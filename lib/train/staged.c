/* SPDX-License-Identifier: Apache-2.0
 *
 * The coordinator of a staged placement: cut the program into parts (cut.h), start a
 * process for each (child.h), and drive them.
 */
#include "staged.h"

#include "arrays.h"
#include "devices.h"
#include "session.h"
#include "work.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct staged {
	struct rn_runner base;
	struct rn_staged_conf conf;
	struct rn_children children;
	struct rn_devices devices;
	bool events; /* stages of one device wait for each other there */
	/* The program of the fit, with the board in front of its values; and one more for each
	 * relation that is validated on. */
	struct rn_work fit;
	struct rn_board *board;
	struct validation {
		const struct rn_forward *forward; /* NULL: it was not got ready */
		struct rn_work work;
		uint64_t runs;
	} *validations;
	uint32_t nvalidations;
	struct rn_stay stay;
	bool started;
	uint32_t epoch; /* of the last pass of the fit */
	uint64_t steps;
	double opened, begun; /* begun: its first pass; 0: none has */
};

static struct staged *self(struct rn_runner *r)
{
	return (struct staged *)r;
}

/* ---- starting ------------------------------------------------------------------------------ */

/* What a process maps of a program. */
static void list_fds(const struct staged *s, const struct rn_work *w, const struct rn_shared *image,
		     int fds[RN_MSG_FDS])
{
	fds[0] = image->fd;
	fds[1] = s->conf.params->file->fd;
	fds[2] = w->values->fd;
	fds[3] = w->shared_agenda->fd;
	fds[4] = rn_arrays_file(w->arrays)->fd;
	fds[5] = w->counts->fd;
}

static const char *transport(const struct staged *s, uint32_t q)
{
	return rn_transport_name(rn_devices_transport(&s->devices, q));
}

/* peers: what is told of them, or NULL. */
static int ask_hello(struct staged *s, uint32_t q, struct rn_shared *image,
		     const struct rn_msg_peer *peers, struct rn_err *e)
{
	struct rn_msg m = { .type = RN_MSG_HELLO, .from = s->conf.ctx->threads, .to = q,
			    .inst = s->children.n, .epoch = s->devices.imported,
			    .payload = peers ? s->children.n * sizeof *peers : 0 };
	struct rn_child *c = &s->children.items[q];
	int fds[RN_MSG_FDS];

	list_fds(s, &s->fit, image, fds);
	RN_TRY(rn_child_ask(c, "the start", &m, peers, fds, e));
	c->status = &s->board->stages[q]; /* from now on it looks there */
	return 0;
}

static int hear_hello(struct staged *s, uint32_t q, struct rn_err *e)
{
	const struct rn_cut_part *part = &s->fit.cut.parts[q];
	struct rn_child *c = &s->children.items[q];
	struct rn_msg answer;

	RN_TRY(rn_child_hear(c, &answer, e));
	s->fit.images[q].bytes = answer.t;
	s->events = s->events && answer.inst;
	c->start = rn_now() - (s->started ? c->begun : s->opened);
	rn_log(s->conf.ctx, RN_LOG_INFO,
	       "stage %u of %u, '%s': process %d%s%s, %u instructions, %llu bytes, linked by %s",
	       q + 1, s->children.n, part->name, (int)c->was, s->devices.any ? " on " : "",
	       s->devices.any ? s->devices.items[q].opened.device : "", part->ninsts,
	       (unsigned long long)answer.t, transport(s, q));
	return 0;
}

/* The parameters to where all stages can have them. */
static int move_params(struct staged *s, struct rn_err *e)
{
	struct rn_region *r = s->conf.params;
	const char *before = r->base;

	if (r->by != RN_BY_DEVICE)
		return 0;
	RN_TRY(rn_region_to_file(r, e));
	*s->conf.moved = true;
	for (uint32_t i = 0; i < s->conf.store->n; i++) {
		struct rn_store_item *it = &s->conf.store->items[i];

		it->data = (char *)r->base + ((const char *)it->data - before);
	}
	return 0;
}

/* All processes open their devices; then it is known where what they share can lie. */
static int open_devices(struct staged *s, struct rn_err *e)
{
	RN_TRY(rn_devices_open(&s->devices, &s->children, s->conf.params, &s->fit.region, &s->fit.constants,
			       e));
	if (s->devices.imported)
		return 0;
	for (uint32_t q = 0; q < s->children.n; q++)
		if (s->devices.items[q].opened.imported)
			RN_TRY(rn_devices_close(&s->children.items[q], e));
	RN_TRY(move_params(s, e));
	return rn_work_to_file(&s->fit, e);
}

static int greet_all(struct staged *s, struct rn_shared **images, const struct rn_msg_peer *peers,
		     struct rn_err *e)
{
	s->events = peers != NULL;
	for (uint32_t q = 0; q < s->children.n; q++)
		RN_TRY(ask_hello(s, q, images[q], peers, e));
	for (uint32_t q = 0; q < s->children.n; q++)
		RN_TRY(hear_hello(s, q, e));
	return 0;
}

static void tell_memory(const struct staged *s, const struct rn_work *w, const char *of)
{
	char text[80] = "";
	size_t constants;

	if (!s->devices.any)
		return;
	constants = rn_arrays_file(w->arrays)->size;
	if (constants)
		snprintf(text, sizeof text, ", %zu of constants %s", constants,
			 w->constants.file ? "shared on the device" : "for each stage to copy");
	rn_log(s->conf.ctx, RN_LOG_INFO, "%s: %zu bytes of values by %s%s", of, w->values->size,
	       rn_transport_name(w->region.by), text);
}

static int meet_all(struct staged *s, struct rn_shared **images, struct rn_err *e)
{
	struct rn_msg_peer *peers;
	int rc;

	RN_TRY(rn_work_place(&s->fit, s->conf.params, e));
	if (!s->devices.any)
		return greet_all(s, images, NULL, e);
	RN_TRY(open_devices(s, e));
	tell_memory(s, &s->fit, "fit");
	RN_TRY(rn_calloc(s->children.n, sizeof *peers, "stages", &peers, e));
	rn_devices_peers(&s->devices, peers);
	rc = greet_all(s, images, peers, e);
	free(peers);
	return rc;
}

/* A device is waited for by its own host: no processor is then to be shared. */
static int order_work(const struct staged *s, struct rn_work *w, struct rn_err *e)
{
	RN_TRY(rn_work_order(w, s->conf.store->n, e));
	w->small = w->small && !s->devices.any;
	atomic_store(&w->agenda->events, s->events);
	return 0;
}

/* All processes start at once, while their images are written. */
static int start_all(struct staged *s, struct rn_shared **images, struct rn_err *e)
{
	uint32_t n = s->children.n;

	for (uint32_t q = 0; q < n; q++)
		RN_TRY(rn_child_start(&s->children.items[q], s->conf.exe, e));
	rn_board_abort(s->board); /* and who might still say that it failed is gone */
	if (!s->fit.arrays)
		RN_TRY(rn_arrays_move(&s->base.fit->prog, &s->fit.arrays, e));
	for (uint32_t q = 0; q < n; q++)
		RN_TRY(rn_work_image(&s->fit, q, s->conf.store, &images[q], e));
	RN_TRY(order_work(s, &s->fit, e));
	RN_TRY(meet_all(s, images, e));
	atomic_store(&s->fit.agenda->events, s->events);
	return 0;
}

static void free_images(const struct staged *s, struct rn_shared **images)
{
	for (uint32_t q = 0; q < s->children.n; q++)
		rn_shared_free(images[q]);
	free(images);
}

static int start(struct staged *s, struct rn_err *e)
{
	struct rn_shared **images;
	int rc;

	RN_TRY(rn_calloc(s->children.n, sizeof *images, "stages", &images, e));
	rc = start_all(s, images, e);
	free_images(s, images);
	s->started = !rc;
	return rc;
}

/* ---- driving ------------------------------------------------------------------------------- */

/* The pass that has begun ends, or a stage says that it failed, or was lost. */
static int wait_pass(struct staged *s, struct rn_err *e)
{
	struct rn_board *b = s->board;

	for (;;) {
		uint32_t seen = atomic_load(&b->bell.rings), failed = atomic_load(&b->failed);

		if (failed)
			return rn_children_failed(&s->children, failed - 1, e);
		if (!atomic_load(&b->left))
			return 0;
		if (rn_bell_wait(&b->bell, seen))
			continue;
		rn_stay_on(&s->stay, 0); /* others may need that processor */
		RN_TRY(rn_children_watch(&s->children, e));
	}
}

/* Program `number` runs a pass, of which the coordinator sees the end. */
static int run_pass(struct staged *s, struct rn_work *w, uint32_t number, enum rn_pass pass,
		    const char *doing, uint32_t epoch, struct rn_err *e)
{
	struct rn_backend *dev = s->conf.store->backend;
	struct rn_board *b = s->board;
	int rc;

	if (w->agenda->pass[pass] == w->agenda->pass[pass + 1])
		return 0;
	if (!dev->host) /* parameters that were written may be on their way */
		RN_TRY(dev->sync(dev, e));
	s->epoch = number ? s->epoch : epoch + 1;
	s->begun = s->begun > 0 ? s->begun : rn_now();
	rn_children_begin(&s->children, doing, s->epoch);
	b->program = number;
	b->epoch = epoch;
	b->t = pass == RN_PASS_LEARN ? (uint64_t)epoch + 1 : 0;
	/* Where this thread is.  It stays there until the fit is over, or all of it takes long. */
	atomic_store(&w->agenda->cpu, w->small ? (uint32_t)sched_getcpu() + 1 : 0);
	rn_stay_on(&s->stay, atomic_load(&w->agenda->cpu));
	rn_board_begin(b, w->agenda, w->missing, pass);
	rc = wait_pass(s, e);
	if (rc)
		rn_stay_on(&s->stay, 0);
	RN_TRY(rc);
	rn_board_finish(b);
	rn_children_begin(&s->children, NULL, 0);
	return 0;
}

static int forward(struct rn_runner *r, uint32_t epoch, double *loss, struct rn_err *e)
{
	struct staged *s = self(r);
	float x;

	RN_TRY(run_pass(s, &s->fit, 0, RN_PASS_FORWARD, "the forward pass", epoch, e));
	RN_TRY(rn_work_get(&s->fit, r->fit->loss, s->conf.store, &x, e));
	*loss = x;
	return 0;
}

/* In one pass: a parameter is stepped as soon as its gradient is there, and read no more. */
static int learn(struct rn_runner *r, uint32_t epoch, struct rn_err *e)
{
	RN_TRY(run_pass(self(r), &self(r)->fit, 0, RN_PASS_LEARN, "the backward pass", epoch, e));
	self(r)->steps++;
	return 0;
}

static int find(struct rn_runner *r, uint32_t epoch, uint32_t *inst, struct rn_err *e)
{
	struct staged *s = self(r);
	const struct rn_agenda *o = s->fit.agenda;

	*inst = RN_NONE;
	for (uint32_t i = o->pass[RN_PASS_FORWARD]; i < o->pass[RN_PASS_FORWARD + 1]; i++) {
		const struct rn_segment *g = &o->segments[i];
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

static const char validating[] = "the start of a validation";

/* *all: those that have a part in it imported its memory; else nobody has it. */
static int offer_memory(struct staged *s, const struct rn_work *w, bool *all, struct rn_err *e)
{
	struct rn_msg_memory memory = rn_devices_memory(&w->region, &w->constants);
	struct rn_msg answer, m = { .type = RN_MSG_MEMORY, .payload = sizeof memory };
	uint32_t q = 0;

	*all = true;
	for (; *all && q < s->children.n; q++) {
		if (!rn_work_has_part(w, q))
			continue;
		RN_TRY(rn_child_ask(&s->children.items[q], validating, &m, &memory, NULL, e));
		RN_TRY(rn_child_hear(&s->children.items[q], &answer, e));
		*all = answer.inst;
	}
	while (!*all && q-- > 0)
		RN_TRY(rn_devices_close(&s->children.items[q], e));
	return 0;
}

/* Memory of the device where all can have it; parameters that are there need not go with it. */
static int place_memory(struct staged *s, struct rn_work *w, struct rn_err *e)
{
	bool all = true;

	RN_TRY(rn_work_place(w, s->conf.params, e));
	if (w->region.by == RN_BY_DEVICE)
		RN_TRY(offer_memory(s, w, &all, e));
	if (!all)
		RN_TRY(rn_work_to_file(w, e));
	tell_memory(s, w, "validation");
	return 0;
}

/* Program `number` to process q. */
static int give_program(struct staged *s, uint32_t number, uint32_t q, struct rn_shared *image,
			struct rn_err *e)
{
	struct rn_work *w = &s->validations[number - 1].work;
	struct rn_msg answer, m = { .type = RN_MSG_PROGRAM, .inst = number,
				    .epoch = w->region.by == RN_BY_DEVICE };
	struct rn_child *c = &s->children.items[q];
	int fds[RN_MSG_FDS];

	list_fds(s, w, image, fds);
	RN_TRY(rn_child_ask(c, validating, &m, NULL, fds, e));
	RN_TRY(rn_child_hear(c, &answer, e));
	w->images[q].bytes = answer.t;
	return 0;
}

static int give_images(struct staged *s, uint32_t number, struct rn_shared **images, struct rn_err *e)
{
	struct rn_work *w = &s->validations[number - 1].work;

	for (uint32_t q = 0; q < s->children.n; q++)
		if (rn_work_has_part(w, q))
			RN_TRY(rn_work_image(w, q, s->conf.store, &images[q], e));
	if (!w->agenda)
		RN_TRY(order_work(s, w, e));
	atomic_store(&w->agenda->events, s->events);
	RN_TRY(place_memory(s, w, e));
	for (uint32_t q = 0; q < s->children.n; q++)
		if (images[q])
			RN_TRY(give_program(s, number, q, images[q], e));
	return 0;
}

/* Program `number` to each process that has a part in it. */
static int hand_out(struct staged *s, uint32_t number, struct rn_err *e)
{
	struct rn_shared **images;
	int rc;

	RN_TRY(rn_calloc(s->children.n, sizeof *images, "stages", &images, e));
	rc = give_images(s, number, images, e);
	free_images(s, images);
	return rc;
}

static int add_validation(struct staged *s, struct rn_forward *f, struct rn_err *e)
{
	const uint32_t ends[RN_NPASSES] = { f->prog.ninsts, f->prog.ninsts };
	struct validation *all = realloc(s->validations, (s->nvalidations + 1) * sizeof *all);
	struct rn_cut cut;

	if (!all)
		return rn_err_nomem(e, sizeof *all, "a validation");
	s->validations = all;
	RN_TRY(rn_cut_like(&s->fit.cut, &f->prog, f->val, &cut, e));
	all += s->nvalidations++;
	memset(all, 0, sizeof *all);
	RN_TRY(rn_work_init(&all->work, &f->prog, ends, &cut, e));
	rn_machine_free(f->machine); /* the caller's, which knows its constants where they were */
	f->machine = NULL;
	RN_TRY(rn_arrays_move(&f->prog, &all->work.arrays, e));
	RN_TRY(hand_out(s, s->nvalidations, e));
	all->forward = f;
	return 0;
}

/* Number of f's validation; if there is none, that of the next one. */
static uint32_t number_of(const struct staged *s, const struct rn_forward *f)
{
	uint32_t i = 0;

	while (i < s->nvalidations && s->validations[i].forward != f)
		i++;
	return i;
}

static int ready(struct rn_runner *r, struct rn_forward *f, struct rn_err *e)
{
	struct staged *s = self(r);

	return number_of(s, f) < s->nvalidations ? 0 : add_validation(s, f, e);
}

static int eval(struct rn_runner *r, struct rn_forward *f, struct rn_err *e)
{
	struct staged *s = self(r);
	uint32_t i = number_of(s, f);
	struct rn_work *w = &s->validations[i].work;

	RN_TRY(run_pass(s, w, i + 1, RN_PASS_FORWARD, "a validation", 0, e));
	s->validations[i].runs++;
	return rn_work_get(w, f->val, s->conf.store, f->out, e);
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

	rn_stay_on(&s->stay, 0); /* who writes a checkpoint may start threads */
	for (uint32_t q = 0; q < s->fit.cut.nparts; q++)
		RN_TRY(move_slots(s, q, true, e));
	return 0;
}

static uint64_t bytes(const struct rn_runner *r)
{
	const struct staged *s = (const struct staged *)r;
	uint64_t n = s->fit.values->size + s->conf.params->file->size +
		     rn_arrays_file(s->fit.arrays)->size;

	for (uint32_t q = 0; q < s->fit.cut.nparts; q++)
		n += s->fit.images[q].bytes;
	return n;
}

/* ---- ending -------------------------------------------------------------------------------- */

static double rounded(double seconds)
{
	return round(seconds * 1e6) / 1e6;
}

/* What process q did in all steps and validations. */
struct done {
	double elapsed, busy; /* seconds since the first pass began, and at work */
	double rows;          /* of the longest relation of each */
	uint64_t in, out;     /* bytes that crossed the cut */
};

static void add_done(struct done *d, const struct rn_cut_part *part, uint64_t times)
{
	d->rows += (double)part->rows * (double)times;
	d->in += part->in * times;
	d->out += part->out * times;
}

static struct done done_by(const struct staged *s, uint32_t q, double elapsed)
{
	struct done d = { .elapsed = elapsed };

	d.busy = (double)atomic_load(&s->board->stages[q].busy_ns) * 1e-9;
	add_done(&d, &s->fit.cut.parts[q], s->steps);
	for (uint32_t i = 0; i < s->nvalidations; i++)
		add_done(&d, &s->validations[i].work.cut.parts[q], s->validations[i].runs);
	return d;
}

/* A share of the time; nothing where no pass was run. */
static double per_second(const struct done *d, double x)
{
	return d->elapsed > 0 ? x / d->elapsed : 0;
}

/* For --stats. */
static json_t *stage_object(const struct staged *s, uint32_t q, const struct done *d)
{
	const struct rn_cut_part *part = &s->fit.cut.parts[q];
	const struct rn_child *c = &s->children.items[q];
	double idle = (double)atomic_load(&s->board->idle_ns) * 1e-9;

	return json_pack(
		"{s:s, s:s, s:i, s:I, s:f, s:f, s:f, s:f, s:f, s:I, s:I, s:I, s:s, s:I, s:o*}",
		"fit", s->base.fit->name, "stage", part->name, "pid", (int)c->was, "steps",
		(json_int_t)s->steps, "seconds_start", rounded(c->start), "seconds",
		rounded(d->elapsed), "seconds_busy", rounded(d->busy), "seconds_hand_over",
		rounded(idle), "rows_per_second", round(per_second(d, d->rows)),
		"bytes_in", (json_int_t)d->in, "bytes_out", (json_int_t)d->out,
		"peak_bytes", (json_int_t)c->peak.host, "data", transport(s, q),
		"at_once", (json_int_t)atomic_load(&s->board->most), "peak_device_bytes",
		s->devices.any ? json_integer((json_int_t)c->peak.device) : NULL);
}

/* And in words, for -v. */
static int tell_stage(struct staged *s, uint32_t q, double elapsed, json_t *into, struct rn_err *e)
{
	const struct rn_cut_part *part = &s->fit.cut.parts[q];
	struct done d = done_by(s, q, elapsed);
	double busy = 100 * per_second(&d, d.busy);
	json_t *o = stage_object(s, q, &d);

	if (!o)
		return rn_err_nomem(e, 0, "the result");
	rn_log(s->conf.ctx, RN_LOG_INFO,
	       "stage %u of %u, '%s': process %d, %.3g rows/s, busy %.0f %%, waiting %.0f %%, "
	       "%.3g bytes in, %.3g bytes out, %s",
	       q + 1, s->children.n, part->name, (int)s->children.items[q].was,
	       per_second(&d, d.rows), busy, 100 - busy, (double)d.in, (double)d.out,
	       transport(s, q));
	return rn_json_append(into, o, e);
}

/* What they share counts once. */
static int finish(struct rn_runner *r, json_t *stages, struct rn_peaks *peak, struct rn_err *e)
{
	struct staged *s = self(r);
	double elapsed = s->begun > 0 ? rn_now() - s->begun : 0;

	rn_stay_on(&s->stay, 0);
	rn_children_stop(&s->children);
	if (!s->devices.imported) /* else it is memory of the device, and the coordinator's */
		peak->host = s->fit.values->size + s->conf.params->file->size;
	for (uint32_t i = 0; i < s->nvalidations; i++)
		if (s->validations[i].work.region.by != RN_BY_DEVICE)
			peak->host += s->validations[i].work.cut.size;
	for (uint32_t q = 0; q < s->children.n; q++) {
		peak->host += s->children.items[q].peak.host;
		peak->device += s->children.items[q].peak.device;
		RN_TRY(tell_stage(s, q, elapsed, stages, e));
	}
	return 0;
}

/* ---- another try --------------------------------------------------------------------------- */

/* Validation `number` for a process that has begun anew. */
static int give_again(struct staged *s, uint32_t number, uint32_t q, struct rn_err *e)
{
	struct rn_work *w = &s->validations[number - 1].work;
	struct rn_shared *image;
	int rc;

	RN_TRY(rn_work_image(w, q, s->conf.store, &image, e));
	rc = give_program(s, number, q, image, e);
	rn_shared_free(image);
	return rc;
}

static int give_all_again(struct staged *s, uint32_t q, struct rn_err *e)
{
	for (uint32_t i = 0; i < s->nvalidations; i++)
		if (s->validations[i].forward && rn_work_has_part(&s->validations[i].work, q))
			RN_TRY(give_again(s, i + 1, q, e));
	return 0;
}

/* On a device all of them: what was lost may have left work there for which others wait. */
static int restart_all(struct staged *s, struct rn_err *e)
{
	RN_TRY(start(s, e));
	for (uint32_t i = 0; i < s->nvalidations; i++)
		if (s->validations[i].forward)
			RN_TRY(hand_out(s, i + 1, e));
	return 0;
}

/* Process q with all its programs. */
static int restart(struct staged *s, uint32_t q, struct rn_err *e)
{
	struct rn_shared *image;
	int rc;

	RN_TRY(rn_child_start(&s->children.items[q], s->conf.exe, e));
	RN_TRY(rn_work_image(&s->fit, q, s->conf.store, &image, e));
	rc = ask_hello(s, q, image, NULL, e);
	rn_shared_free(image);
	RN_TRY(rc);
	RN_TRY(hear_hello(s, q, e));
	return give_all_again(s, q, e);
}

static int restart_lost(struct staged *s, struct rn_err *e)
{
	for (uint32_t q = 0; q < s->children.n; q++) /* whether or not it comes to all of them */
		s->children.items[q].fresh |= !s->children.items[q].pid;
	for (uint32_t q = 0; q < s->children.n; q++)
		if (!s->children.items[q].pid || s->children.items[q].talking)
			RN_TRY(restart(s, q, e));
	return 0;
}

/* What ends one process may take others, too, that are missed a moment later.  Those that were
 * at work when it came (there are ever fewer of them) are its doing; one that has just been
 * started again is not. */
static bool lost_another(const struct staged *s, const struct rn_err *why)
{
	bool another = false;

	for (uint32_t q = 0; q < s->children.n && s->children.lost; q++)
		another = another || (!s->children.items[q].pid && !s->children.items[q].fresh);
	if (another)
		rn_log(s->conf.ctx, RN_LOG_WARN, "%s; it is started again, too", why->msg);
	return another;
}

/* Those that were lost, or were being talked to, are started again; the others keep what they
 * hold, and get optimizer slots, which they answer when they have ended what they were at.
 * Parameters are shared, and values are computed anew in the next forward pass. */
static int revive(struct rn_runner *r, struct rn_err *e)
{
	struct staged *s = self(r);
	struct rn_err why = { 0 };
	int rc;

	s->children.lost = s->children.told = false;
	if (!s->started)
		return start(s, e);
	rn_board_abort(s->board);
	if (s->devices.any)
		return restart_all(s, e);
	do {
		rn_children_reap(&s->children);
		s->children.lost = false;
		rc = restart_lost(s, &why);
	} while (rc && lost_another(s, &why));
	return rc ? rn_err_set(e, rc, "%s", why.msg) : 0;
}

static int push_all(struct staged *s, struct rn_err *e)
{
	for (uint32_t q = 0; q < s->fit.cut.nparts; q++)
		RN_TRY(move_slots(s, q, false, e));
	return 0;
}

static int push(struct rn_runner *r, struct rn_err *e)
{
	struct rn_err why = { 0 };
	int rc;

	while ((rc = push_all(self(r), &why)) && lost_another(self(r), &why))
		RN_TRY(revive(r, e));
	return rc ? rn_err_set(e, rc, "%s", why.msg) : 0;
}

static bool lost(const struct rn_runner *r)
{
	return ((const struct staged *)r)->children.lost;
}

static bool told(const struct rn_runner *r)
{
	return ((const struct staged *)r)->children.told;
}

static void close_staged(struct rn_runner *r)
{
	struct staged *s = self(r);

	rn_stay_on(&s->stay, 0);
	rn_children_fini(&s->children);
	for (uint32_t i = 0; i < s->nvalidations; i++)
		rn_work_fini(&s->validations[i].work);
	free(s->validations);
	rn_work_fini(&s->fit);
	rn_devices_fini(&s->devices);
	free(s);
}

static const struct rn_runner_ops ops = {
	.forward = forward,
	.learn = learn,
	.find = find,
	.eval = eval,
	.ready = ready,
	.pull = pull,
	.push = push,
	.bytes = bytes,
	.finish = finish,
	.lost = lost,
	.told = told,
	.revive = revive,
	.close = close_staged,
};

/* The cut, with the board in front of the values that cross it. */
static int make_cut(struct staged *s, struct rn_err *e)
{
	const struct rn_fit *f = s->base.fit;
	const uint32_t ends[RN_NPASSES] = { f->nforward, f->prog.ninsts };
	struct rn_cut cut;

	/* A line for each process, and one for all. */
	RN_TRY(rn_cut_make(f, s->conf.plan, s->conf.stages, 2 * sizeof(struct rn_stage_status), &cut,
			   e));
	RN_TRY(rn_work_init(&s->fit, &f->prog, ends, &cut, e));
	s->board = s->fit.values->base;
	RN_TRY(rn_devices_choose(&s->devices, &s->conf.map, s->conf.plan, &s->fit.cut,
				 s->conf.store->backend, e));
	s->children.devices = s->devices.any;
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
	s->children = (struct rn_children){ .ctx = c->ctx, .plan = c->plan, .timeout = c->timeout,
					    .stop = c->stop };
	*out = &s->base; /* also on failure: it knows whether a process was lost */
	RN_TRY(make_cut(s, e));
	return start(s, e);
}
