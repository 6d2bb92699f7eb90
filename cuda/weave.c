/* SPDX-License-Identifier: Apache-2.0
 *
 * Each launch is a unit: the ranges that it touches, the units that stand before it (a bit each), and
 * the event behind it.  A unit takes the stream of the last unit that it needs, where that is the
 * last there, and waits for the events of the others.  What needs nothing but the beginning takes a
 * stream of its own while there is one.
 */
#include "weave.h"

#include <stdlib.h>
#include <string.h>

enum { MOST = 1024 /* launches; who finds the order looks at each pair of them */ };

struct span {
	uintptr_t from, to;
	bool written;
};

struct unit {
	struct span *span;
	size_t nspans, cap;
	unsigned lane;
	cudaEvent_t done;
};

struct rn_cuda_weave {
	struct rn_cuda *c;
	cudaStream_t lane[RN_CUDA_LANES]; /* the first is the device's own */
	uint32_t last[RN_CUDA_LANES];     /* unit; RN_NONE: it was not used yet */
	struct unit *units;               /* the first of each begin: all before it */
	uint32_t n, most, first;          /* units; of this begin */
	uint64_t *before;                 /* [most][words]: units that stand before each */
	size_t words;
	uint32_t *need; /* [most], for the unit that is placed: units that it waits for, the last first */
	uint32_t nneed;
	bool on, failed;
};

/* ---- sets of units ------------------------------------------------------------------------ */

static uint64_t *before(const struct rn_cuda_weave *w, uint32_t unit)
{
	return w->before + unit * w->words;
}

static bool stands_before(const struct rn_cuda_weave *w, uint32_t unit, uint32_t other)
{
	return before(w, unit)[other / 64] >> other % 64 & 1;
}

/* `other`, and what stands before it, stand before `unit`. */
static void put_before(struct rn_cuda_weave *w, uint32_t unit, uint32_t other)
{
	uint64_t *to = before(w, unit);
	const uint64_t *from = before(w, other);

	for (size_t k = 0; k < w->words; k++)
		to[k] |= from[k];
	to[other / 64] |= (uint64_t)1 << other % 64;
}

/* ---- making -------------------------------------------------------------------------------- */

int rn_cuda_weave_new(struct rn_cuda *c, uint32_t most, struct rn_cuda_weave **out, struct rn_err *e)
{
	static const char what[] = "the order of a graph";
	struct rn_cuda_weave *w;
	int rc;

	*out = NULL;
	if (c->line || most > MOST)
		return 0;
	RN_TRY(rn_calloc(1, sizeof *w, what, &w, e));
	w->c = c;
	w->most = most;
	w->words = (most + 63) / 64;
	w->lane[0] = c->stream;
	RN_GOTO(fail, rn_calloc(most, sizeof *w->units, what, &w->units, e));
	RN_GOTO(fail, rn_calloc(most, sizeof *w->need, what, &w->need, e));
	RN_GOTO(fail, rn_calloc(most * w->words, sizeof *w->before, what, &w->before, e));
	for (unsigned k = 1; k < RN_CUDA_LANES; k++) {
		cudaError_t err = cudaStreamCreateWithFlags(&w->lane[k], cudaStreamNonBlocking);

		if (err != cudaSuccess)
			RN_GOTO(fail, rn_cuda_fail(e, err, "cudaStreamCreateWithFlags"));
	}
	for (uint32_t k = 0; k < most; k++) {
		cudaError_t err = cudaEventCreateWithFlags(&w->units[k].done, cudaEventDisableTiming);

		if (err != cudaSuccess)
			RN_GOTO(fail, rn_cuda_fail(e, err, "cudaEventCreateWithFlags"));
	}
	*out = w;
	return 0;
fail:
	rn_cuda_weave_free(w);
	return rc;
}

void rn_cuda_weave_free(struct rn_cuda_weave *w)
{
	if (!w)
		return;
	for (uint32_t k = 0; w->units && k < w->most; k++) {
		if (w->units[k].done)
			(void)cudaEventDestroy(w->units[k].done);
		free(w->units[k].span);
	}
	for (unsigned k = 1; k < RN_CUDA_LANES; k++)
		if (w->lane[k])
			(void)cudaStreamDestroy(w->lane[k]);
	free(w->units);
	free(w->need);
	free(w->before);
	free(w);
}

/* ---- what a unit touches -------------------------------------------------------------------- */

static void touch(struct rn_cuda *c, const void *p, size_t n, bool written)
{
	struct rn_cuda_weave *w = c->weave;
	struct unit *u;

	if (!w || !w->on || w->n == w->most || !p || !n)
		return;
	u = &w->units[w->n];
	if (rn_grow(&u->span, &u->cap, u->nspans + 1, sizeof *u->span, "a graph", NULL)) {
		w->failed = true; /* enter says so */
		return;
	}
	u->span[u->nspans++] = (struct span){ (uintptr_t)p, (uintptr_t)p + n, written };
}

void rn_cuda_weave_reads(struct rn_cuda *c, const void *p, size_t n)
{
	touch(c, p, n, false);
}

void rn_cuda_weave_writes(struct rn_cuda *c, const void *p, size_t n)
{
	touch(c, p, n, true);
}

static size_t bytes_of(const struct rn_val *v)
{
	return (size_t)v->rows * v->width * sizeof(float);
}

void rn_cuda_weave_op(struct rn_cuda *c, const struct rn_cuda_op *o)
{
	const struct rn_kargs *a = o->a;
	const struct rn_val *vals = a->prog->vals, *out = &vals[a->inst->out];
	bool step = rn_cuda_op_steps(a->inst); /* writes its slots, which are operands */

	for (uint32_t k = 0; k < a->inst->nin; k++)
		if (a->inst->in[k].val != RN_NONE)
			touch(c, a->in[k], bytes_of(&vals[a->inst->in[k].val]), step);
	rn_cuda_weave_writes(c, a->out, bytes_of(out));
	if (rn_cuda_op_sums(a->inst))
		rn_cuda_weave_writes(c, a->scratch,
				     (size_t)o->segs.npieces * out->width * sizeof(float));
	else
		rn_cuda_weave_writes(c, a->scratch, rn_cuda_op_scratch(a));
	if (step)
		rn_cuda_weave_reads(c, o->live, sizeof *o->live); /* halt */
	if (rn_cuda_op_wide(a->prog, a->inst)) /* cuBLAS has one stream, and one workspace */
		rn_cuda_weave_writes(c, c, 1);
}

/* ---- order ------------------------------------------------------------------------------------ */

/* Do they touch the same memory, and one of them writes there? */
static bool meet(const struct unit *a, const struct unit *b)
{
	for (size_t i = 0; i < a->nspans; i++)
		for (size_t k = 0; k < b->nspans; k++)
			if ((a->span[i].written || b->span[k].written) &&
			    a->span[i].from < b->span[k].to && b->span[k].from < a->span[i].to)
				return true;
	return false;
}

/* Is it one for the device's own stream? */
static bool is_bound(const struct rn_cuda_weave *w, const struct unit *u)
{
	for (size_t i = 0; i < u->nspans; i++)
		if (u->span[i].from == (uintptr_t)w->c)
			return true;
	return false;
}

/* Where one that it needs is the last, one that was not used, or the one that was used longest ago. */
static unsigned lane_of(const struct rn_cuda_weave *w, uint32_t unit)
{
	unsigned oldest = 0;

	if (is_bound(w, &w->units[unit]))
		return 0;
	for (uint32_t k = 0; k < w->nneed; k++)
		if (w->last[w->units[w->need[k]].lane] == w->need[k])
			return w->units[w->need[k]].lane;
	for (unsigned k = 0; k < RN_CUDA_LANES; k++) {
		if (w->last[k] == RN_NONE)
			return k;
		if (w->last[k] < w->last[oldest])
			oldest = k;
	}
	return oldest;
}

static int wait_for(struct rn_cuda_weave *w, unsigned lane, uint32_t unit, struct rn_err *e)
{
	if (w->units[unit].lane != lane)
		RN_CUDA(e, cudaStreamWaitEvent(w->lane[lane], w->units[unit].done, 0));
	return 0;
}

/* What it needs, from the last unit on: what stands before one of them needs no wait of its own. */
static void find_needs(struct rn_cuda_weave *w, uint32_t unit)
{
	w->nneed = 0;
	for (uint32_t k = unit; k-- > w->first;) {
		bool needed = k == w->first ? !w->nneed : meet(&w->units[unit], &w->units[k]);

		if (!needed || stands_before(w, unit, k))
			continue;
		put_before(w, unit, k);
		w->need[w->nneed++] = k;
	}
}

static int place(struct rn_cuda_weave *w, uint32_t unit, struct rn_err *e)
{
	unsigned lane;

	find_needs(w, unit);
	lane = w->units[unit].lane = lane_of(w, unit);
	if (w->last[lane] != RN_NONE)
		put_before(w, unit, w->last[lane]);
	for (uint32_t k = 0; k < w->nneed; k++)
		RN_TRY(wait_for(w, lane, w->need[k], e));
	return 0;
}

/* ---- a launch --------------------------------------------------------------------------------- */

/* What was launched so far is a unit: the first of those that follow. */
int rn_cuda_weave_begin(struct rn_cuda *c, struct rn_err *e)
{
	struct rn_cuda_weave *w = c->weave;

	if (!w)
		return 0;
	if (w->n == w->most)
		return rn_err_set(e, RN_EBUG, "more than %u launches", w->most);
	for (unsigned k = 0; k < RN_CUDA_LANES; k++)
		w->last[k] = RN_NONE;
	w->first = w->n++;
	w->units[w->first].lane = 0;
	w->last[0] = w->first;
	RN_CUDA(e, cudaEventRecord(w->units[w->first].done, w->lane[0]));
	w->on = true;
	return 0;
}

int rn_cuda_weave_enter(struct rn_cuda *c, struct rn_err *e)
{
	struct rn_cuda_weave *w = c->weave;

	if (!w || !w->on)
		return 0;
	if (w->n == w->most)
		return rn_err_set(e, RN_EBUG, "more than %u launches", w->most);
	if (w->failed)
		return rn_err_nomem(e, sizeof(struct span), "a graph");
	RN_TRY(place(w, w->n, e));
	c->stream = w->lane[w->units[w->n].lane];
	return 0;
}

int rn_cuda_weave_leave(struct rn_cuda *c, struct rn_err *e)
{
	struct rn_cuda_weave *w = c->weave;
	struct unit *u;

	if (!w || !w->on)
		return 0;
	c->stream = w->lane[0];
	u = &w->units[w->n];
	w->last[u->lane] = w->n++;
	RN_CUDA(e, cudaEventRecord(u->done, w->lane[u->lane]));
	return 0;
}

int rn_cuda_weave_end(struct rn_cuda *c, struct rn_err *e)
{
	struct rn_cuda_weave *w = c->weave;

	if (!w || !w->on)
		return 0;
	w->on = false;
	for (unsigned k = 1; k < RN_CUDA_LANES; k++)
		if (w->last[k] != RN_NONE)
			RN_TRY(wait_for(w, 0, w->last[k], e));
	return 0;
}
