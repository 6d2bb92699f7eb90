/* SPDX-License-Identifier: Apache-2.0
 *
 * Epochs without the host.  The scalars of all steps are sent before them, k_turn puts those of the
 * next epoch where the steps read them, and k_gate keeps the loss.  Where epochs are watched, the
 * other list, a gauge of its result, and what that decides are behind the steps.  Either kind of
 * epoch is launched piece by piece the first time, then captured, and from then on replayed.
 */
#include "gauge.h"
#include "list.h"

#include "weave.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD = offsetof(struct rn_cuda_window, loss) };

/* Arrays of a gauge. */
enum { KNOWN = 6 };

/* What a watch needs on the device, made at the first window that has one. */
struct watched {
	struct rn_list *list; /* NULL: none yet */
	struct rn_cuda_gauge gauge;
	struct rn_cuda_copy *copies; /* device */
	uint32_t ncopies;
	uint64_t most; /* numbers in one of them */
	void *known[KNOWN];
};

struct window {
	uint32_t gate;
	double *table;               /* device: [RN_WINDOW][steps * RN_LIST_SCALARS] */
	struct rn_cuda_window *live; /* device */
	struct watched watched;
	/* By kind of epoch: [1] is looked at. */
	struct {
		bool ran;
		cudaGraphExec_t graph;
	} kind[2];
};

_Static_assert((int)RN_CUDA_WINDOW == (int)RN_WINDOW, "kernels.h includes no header of lib");

/* ---- making ----------------------------------------------------------------------------------- */

/* A copy of an array of the host; of nothing it is NULL. */
static int send_array(struct rn_backend *b, const void *host, size_t n, void **out, struct rn_err *e)
{
	if (!host || !n)
		return 0;
	RN_TRY(b->alloc(b, n, out, e));
	return b->copy_in(b, *out, host, n, e);
}

struct known {
	const void *host; /* NULL: there is none */
	size_t bytes;
};

static void list_known(const struct rn_gauge *g, struct known out[KNOWN])
{
	const struct rn_gauge_ranks *r = &g->ranks;
	const struct known list[KNOWN] = {
		{ g->label, g->rows * sizeof *g->label },
		{ g->truth, g->rows * sizeof *g->truth },
		{ g->labelled, g->classes * sizeof *g->labelled },
		{ r->row, r->n * sizeof *r->row },
		{ r->query, r->n * sizeof *r->query },
		{ r->ptr, (r->queries + (size_t)1) * sizeof *r->ptr },
	};

	memcpy(out, list, sizeof list);
}

/* With the arrays that are there; those and scratch are on the device. */
static struct rn_cuda_gauge gauge_there(const struct rn_gauge *g, const void *pred,
					void *const known[KNOWN])
{
	return (struct rn_cuda_gauge){
		.kind = g->kind,
		.rows = g->rows,
		.width = g->width,
		.sign = g->sign,
		.classes = g->classes,
		.k = g->ranks.k,
		.ranked = g->ranks.n,
		.queries = g->ranks.queries,
		.terms = g->why ? 0 : g->terms,
		.pred = pred,
		.label = known[0],
		.truth = known[1],
		.labelled = known[2],
		.row = known[3],
		.query = known[4],
		.ptr = known[5],
		.counted = g->counted,
		.total = g->total,
	};
}

static int prepare_gauge(struct rn_backend *b, const struct rn_watch *v, struct watched *w,
			 struct rn_err *e)
{
	struct known known[KNOWN];
	size_t scratch;

	list_known(v->gauge, known);
	for (unsigned k = 0; k < KNOWN; k++)
		RN_TRY(send_array(b, known[k].host, known[k].bytes, &w->known[k], e));
	w->gauge = gauge_there(v->gauge, v->pred, w->known);
	RN_CUDA(e, rn_cuda_gauge_scratch(&w->gauge, &scratch));
	return b->alloc(b, scratch, &w->gauge.scratch, e);
}

size_t rn_cuda_watch_bytes(struct rn_backend *b, const struct rn_gauge *g)
{
	void *nowhere[KNOWN] = { 0 };
	struct rn_cuda_gauge there = gauge_there(g, NULL, nowhere);
	struct known known[KNOWN];
	struct rn_err e;
	size_t n = 0;

	/* What fails here fails again, and says so, where it is allocated. */
	if (!rn_cuda_use(rn_cuda_of(b), &e))
		(void)rn_cuda_gauge_scratch(&there, &n);
	list_known(g, known);
	for (unsigned k = 0; k < KNOWN; k++)
		n += known[k].host ? known[k].bytes : 0;
	return n;
}

static int prepare_copies(struct rn_backend *b, const struct rn_watch *v, struct watched *w,
			  struct rn_err *e)
{
	struct rn_cuda_copy *host;
	int rc;

	RN_TRY(rn_calloc(v->nkeep, sizeof *host, "what is kept of an epoch", &host, e));
	for (uint32_t i = 0; i < v->nkeep; i++) {
		host[i] = (struct rn_cuda_copy){ v->keep[i].to, v->keep[i].from, v->keep[i].n };
		w->most = v->keep[i].n > w->most ? v->keep[i].n : w->most;
	}
	w->ncopies = v->nkeep;
	rc = send_array(b, host, v->nkeep * sizeof *host, (void **)&w->copies, e);
	free(host);
	return rc;
}

static int prepare_watch(struct rn_list *l, const struct rn_watch *v, struct rn_err *e)
{
	struct rn_backend *b = &l->c->backend;
	struct watched *w = &l->window->watched;

	if (w->list && (w->list != v->list || w->gauge.pred != v->pred || w->ncopies != v->nkeep))
		return rn_err_set(e, RN_EBUG, "a list that is watched in two ways");
	if (!w->list) {
		RN_TRY(prepare_gauge(b, v, w, e));
		RN_TRY(prepare_copies(b, v, w, e));
		w->list = v->list;
	}
	v->list->failed = RN_NONE;
	return rn_cuda_list_send(v->list, 0, e);
}

static int prepare(struct rn_list *l, const struct rn_window *w, struct rn_err *e)
{
	struct rn_backend *b = &l->c->backend;
	struct window *to = l->window;

	if (w->gate >= l->n || !w->n || w->n > RN_WINDOW || (to && w->gate != to->gate))
		return rn_err_set(e, RN_EBUG, "%u epochs with a gate at instruction %u of %u", w->n,
				  w->gate, l->n);
	if (!to) {
		RN_TRY(rn_calloc(1, sizeof *to, "epochs without the host", &to, e));
		l->window = to;
		to->gate = w->gate;
	}
	if (!to->table)
		RN_TRY(b->alloc(b, (size_t)RN_WINDOW * l->nscalars * sizeof *to->table,
				(void **)&to->table, e));
	if (!to->live) {
		RN_TRY(rn_cuda_ring_grow(l->c, HEAD, e));
		RN_TRY(b->alloc(b, sizeof *to->live, (void **)&to->live, e));
	}
	if (!w->watch)
		return 0;
	w->watch->unready = true;
	RN_TRY(prepare_watch(l, w->watch, e));
	w->watch->unready = false;
	return 0;
}

void rn_cuda_window_free(struct rn_list *l)
{
	struct rn_backend *b = &l->c->backend;
	struct window *w = l->window;

	if (!w)
		return;
	for (unsigned k = 0; k < 2; k++)
		if (w->kind[k].graph)
			(void)cudaGraphExecDestroy(w->kind[k].graph);
	for (unsigned k = 0; k < KNOWN; k++)
		b->free(b, w->watched.known[k]);
	b->free(b, w->watched.gauge.scratch);
	b->free(b, w->watched.copies);
	b->free(b, w->table);
	b->free(b, w->live);
	free(w);
}

/* ---- an epoch ----------------------------------------------------------------------------------- */

/* A kernel of a window's own; with RN_CUDA_GRAPH=0 it is waited for like those of instructions. */
#define LAUNCH(l, e, call)                                                      \
	do {                                                                    \
		RN_CUDA(e, call);                                               \
		if ((l)->c->waiting)                                            \
			RN_CUDA(e, cudaStreamSynchronize((l)->c->stream));      \
	} while (0)

/* Steps read what it writes: they stand behind it, and nothing else has to. */
static int launch_gate(struct rn_list *l, struct rn_err *e)
{
	const float *loss = l->ops[l->window->gate].a->out;
	struct rn_cuda *c = l->c;
	cudaError_t err;

	rn_cuda_weave_reads(c, loss, sizeof *loss);
	rn_cuda_weave_writes(c, l->live, sizeof *l->live);
	RN_TRY(rn_cuda_weave_enter(c, e));
	err = rn_cuda_gate(c->stream, l->live, loss, l->window->live);
	RN_TRY(rn_cuda_weave_leave(c, e));
	if (err != cudaSuccess)
		return rn_cuda_fail(e, err, "rn_cuda_gate");
	if (c->waiting)
		RN_CUDA(e, cudaStreamSynchronize(c->stream));
	return 0;
}

/* The instructions between the kernels that stand for the host. */
static int launch_steps(struct rn_list *l, struct rn_err *e)
{
	struct window *w = l->window;

	LAUNCH(l, e, rn_cuda_turn(l->c->stream, l->live, rn_cuda_list_scalars(l), l->nscalars, w->table));
	RN_TRY(rn_cuda_weave_begin(l->c, e));
	RN_TRY(rn_cuda_list_launch(l, 0, w->gate + 1, e));
	RN_TRY(launch_gate(l, e));
	RN_TRY(rn_cuda_list_launch(l, w->gate + 1, l->n, e));
	return rn_cuda_weave_end(l->c, e);
}

static int launch_look(struct rn_list *l, struct rn_err *e)
{
	struct window *w = l->window;
	struct watched *v = &w->watched;

	LAUNCH(l, e, rn_cuda_look(l->c->stream, w->live, 0));
	RN_TRY(rn_cuda_weave_begin(l->c, e));
	RN_TRY(rn_cuda_list_launch(v->list, 0, v->list->n, e));
	RN_TRY(rn_cuda_weave_end(l->c, e));
	LAUNCH(l, e, rn_cuda_judge(l->c->stream, l->live, w->live, &v->gauge));
	LAUNCH(l, e, rn_cuda_keep(l->c->stream, w->live, v->copies, v->ncopies, v->most));
	LAUNCH(l, e, rn_cuda_look(l->c->stream, w->live, 1));
	return 0;
}

static int launch_plain(void *arg, struct rn_err *e)
{
	return launch_steps(arg, e);
}

static int launch_watched(void *arg, struct rn_err *e)
{
	RN_TRY(launch_steps(arg, e));
	return launch_look(arg, e);
}

/* Of instructions, the gate, and what stands before either list: at most. */
static uint32_t launches_of(const struct rn_list *l, bool look)
{
	return l->n + 2 + (look ? l->window->watched.list->n + 1 : 0);
}

static int fuse(struct rn_list *l, bool look, struct rn_err *e)
{
	RN_TRY(rn_cuda_list_fuse(l, e));
	return look ? rn_cuda_list_fuse(l->window->watched.list, e) : 0;
}

/* The first epoch of a kind is launched, so that all is loaded that a capture must not load. */
static int run_epoch(struct rn_list *l, bool look, struct rn_err *e)
{
	int (*launch)(void *, struct rn_err *) = look ? launch_watched : launch_plain;
	bool first = !l->window->kind[look].ran;
	cudaGraphExec_t *graph = &l->window->kind[look].graph;

	l->window->kind[look].ran = true;
	if (!first && !*graph)
		RN_TRY(fuse(l, look, e));
	if (first || l->c->waiting)
		return launch(l, e);
	if (!*graph)
		RN_TRY(rn_cuda_capture(l->c, launches_of(l, look), launch, l, graph, e));
	return rn_cuda_replay(l->c, *graph, e);
}

/* ---- a window ------------------------------------------------------------------------------------ */

static int send(struct rn_list *l, const struct rn_window *w, struct rn_err *e)
{
	const struct rn_cuda_live live = { .first = w->first };
	struct rn_cuda_window head = { .best = NAN };
	struct rn_backend *b = &l->c->backend;

	if (w->watch) {
		head.best = w->watch->best;
		head.stale = w->watch->stale;
		head.patience = w->watch->patience;
		head.higher = w->watch->higher;
	}
	l->sent = false; /* the device writes there */
	RN_TRY(b->copy_in(b, l->window->table, w->f, (size_t)w->n * l->nscalars * sizeof *w->f, e));
	RN_TRY(rn_cuda_ring_send(l->c, l->window->live, &head, HEAD, e));
	return rn_cuda_ring_send(l->c, l->live, &live, sizeof live, e);
}

static bool is_watched(const struct rn_window *w, uint32_t k)
{
	uint32_t epoch = w->first + k + 1;

	return w->watch && (epoch % w->watch->every == 0 || epoch == w->watch->last);
}

/* Did the list halt for a loss that is not finite?  Else by patience, or not at all. */
static bool diverged(const struct rn_window *w, const struct rn_cuda_window *now)
{
	const struct rn_watch *v = w->watch;

	return now->made < w->n && !(v && v->patience && now->stale >= v->patience);
}

static int receive(struct rn_list *l, struct rn_window *w, struct rn_err *e)
{
	struct rn_backend *b = &l->c->backend;
	struct rn_cuda_window now;

	RN_TRY(b->copy_out(b, &now, l->window->live, sizeof now, e));
	for (uint32_t k = 0; k < now.made + diverged(w, &now); k++)
		w->loss[k] = now.loss[k];
	for (uint32_t k = 0; w->watch && k < w->n; k++)
		w->watch->val[k] = is_watched(w, k) && k < now.made ? now.val[k] : (double)NAN;
	w->done = now.made;
	if (w->watch) {
		w->watch->best = now.best;
		w->watch->stale = now.stale;
		w->watch->seconds += 1e-9 * (double)now.ns;
	}
	return 0;
}

int rn_cuda_list_epochs(struct rn_list *l, struct rn_window *w, struct rn_err *e)
{
	w->done = 0;
	l->failed = RN_NONE;
	RN_TRY(rn_cuda_use(l->c, e));
	RN_TRY(prepare(l, w, e));
	RN_TRY(send(l, w, e));
	for (uint32_t k = 0; k < w->n; k++)
		RN_TRY(run_epoch(l, is_watched(w, k), e));
	return receive(l, w, e);
}
