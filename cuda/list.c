/* SPDX-License-Identifier: Apache-2.0
 *
 * Programs made ready.  Instructions become structs of device pointers once; what
 * changes from run to run (the epoch, the scalars of optimizer steps) goes to the
 * device in one small copy before them.  A range that is run a second time is
 * captured as a CUDA graph, and from then on replayed.  window.c runs many epochs of one.
 */
#include "list.h"

#include "weave.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_RANGES = 64 };

/* The pieces of the long segments of one index array. */
struct table {
	uint32_t idx; /* number of the array */
	struct rn_cuda_segs segs;
	void *mem; /* device: pieces, then long segments; NULL: there are none */
};

struct range {
	uint32_t from, to;
	cudaGraphExec_t graph; /* NULL: not yet */
};

/* ---- segments ----------------------------------------------------------------------------- */

static void count_pieces(const uint32_t *ptr, struct rn_cuda_segs *g)
{
	for (uint32_t s = 0; s < g->n; s++) {
		uint32_t n = ptr[s + 1] - ptr[s];

		g->longest = n > g->longest ? n : g->longest;
		if (n <= RN_CUDA_LONG)
			continue;
		g->nlong++;
		g->npieces += (n + RN_CUDA_LONG - 1) / RN_CUDA_LONG;
	}
	g->terms = g->n ? ptr[g->n] - ptr[0] : 0;
}

static void fill_pieces(const uint32_t *ptr, const struct rn_cuda_segs *g, uint32_t *piece,
			uint32_t *longs)
{
	uint32_t at = 0;

	for (uint32_t s = 0; s < g->n; s++) {
		uint32_t n = ptr[s + 1] - ptr[s];

		if (n <= RN_CUDA_LONG)
			continue;
		*longs++ = s;
		*longs++ = at;
		for (uint32_t k = 0; (uint64_t)k * RN_CUDA_LONG < n; k++, at++) {
			*piece++ = s;
			*piece++ = k;
		}
	}
}

static int send_pieces(struct rn_list *l, const uint32_t *ptr, struct table *t, struct rn_err *e)
{
	struct rn_backend *b = &l->c->backend;
	size_t n = 2 * ((size_t)t->segs.npieces + t->segs.nlong);
	uint32_t *host;
	int rc;

	if (!n)
		return 0;
	RN_TRY(rn_calloc(n, sizeof *host, "segments for the device", &host, e));
	fill_pieces(ptr, &t->segs, host, host + 2 * (size_t)t->segs.npieces);
	RN_GOTO(out, b->alloc(b, n * sizeof *host, &t->mem, e));
	rc = b->copy_in(b, t->mem, host, n * sizeof *host, e);
	t->segs.piece = t->mem;
	t->segs.longs = (uint32_t *)t->mem + 2 * (size_t)t->segs.npieces;
out:
	free(host);
	return rc;
}

/* Instructions that sum over the same segments share a table. */
static int prepare_sums(struct rn_list *l, struct rn_cuda_op *o, struct rn_err *e)
{
	const struct rn_kargs *a = o->a;
	uint32_t idx = a->inst->idx[0];
	struct table *t = l->tables;

	while (t < l->tables + l->ntables && t->idx != idx)
		t++;
	if (t == l->tables + l->ntables) {
		const uint32_t *ptr = rn_prog_idx_data(a->prog, idx);

		l->ntables++;
		t->idx = idx;
		t->segs.n = a->prog->idx[idx].n - 1;
		t->segs.ptr = a->idx[0];
		count_pieces(ptr, &t->segs);
		RN_TRY(send_pieces(l, ptr, t, e));
	}
	o->segs = t->segs;
	o->segs.scratch = a->scratch;
	return 0;
}

/* ---- making ----------------------------------------------------------------------------------- */

static int prepare_live(struct rn_list *l, const struct rn_kargs *args, struct rn_err *e)
{
	struct rn_backend *b = &l->c->backend;
	size_t steps = 0;

	for (uint32_t i = 0; i < l->n; i++)
		steps += rn_cuda_op_steps(args[i].inst);
	l->nscalars = (uint32_t)(steps * RN_LIST_SCALARS);
	l->live_bytes = RN_LIST_LIVE + steps * RN_LIST_SCALARS * sizeof(double);
	RN_TRY(rn_calloc(1, l->live_bytes, "scalars for the device", &l->now, e));
	RN_TRY(rn_calloc(1, l->live_bytes, "scalars for the device", &l->before, e));
	RN_TRY(b->alloc(b, l->live_bytes, (void **)&l->live, e));
	return rn_cuda_ring_grow(l->c, l->live_bytes, e);
}

double *rn_cuda_list_scalars(const struct rn_list *l)
{
	return (double *)((char *)l->live + RN_LIST_LIVE);
}

static int prepare_ops(struct rn_list *l, const struct rn_kargs *args, struct rn_err *e)
{
	const double *f = rn_cuda_list_scalars(l);

	for (uint32_t i = 0; i < l->n; i++) {
		struct rn_cuda_op *o = &l->ops[i];

		o->a = &args[i];
		o->kernel = RN_NONE;
		o->live = l->live;
		RN_TRY(rn_cuda_op_elem(o->a, l->live, &o->elem, e));
		if (rn_cuda_op_sums(args[i].inst))
			RN_TRY(prepare_sums(l, o, e));
		if (rn_cuda_op_steps(args[i].inst)) {
			o->f = f;
			f += RN_LIST_SCALARS;
		}
	}
	return 0;
}

int rn_cuda_list_new(struct rn_backend *b, const struct rn_kargs *args, uint32_t n,
		     enum rn_dtype t, struct rn_list **out, struct rn_err *e)
{
	static const char what[] = "a program for the device";
	struct rn_list *l;
	int rc;

	if (t != RN_F32)
		return rn_err_set(e, RN_EDEV, "device '%s' computes in float only", b->name);
	RN_TRY(rn_cuda_use(rn_cuda_of(b), e));
	RN_TRY(rn_calloc(1, sizeof *l, what, &l, e));
	l->c = rn_cuda_of(b);
	l->n = n;
	l->failed = RN_NONE;
	RN_GOTO(fail, rn_calloc(n, sizeof *l->ops, what, &l->ops, e));
	RN_GOTO(fail, rn_calloc(n, sizeof *l->tables, what, &l->tables, e));
	RN_GOTO(fail, rn_calloc(MAX_RANGES, sizeof *l->ranges, what, &l->ranges, e));
	RN_GOTO(fail, prepare_live(l, args, e));
	RN_GOTO(fail, prepare_ops(l, args, e));
	*out = l;
	return 0;
fail:
	rn_cuda_list_free(l);
	return rc;
}

void rn_cuda_list_free(struct rn_list *l)
{
	struct rn_backend *b;

	if (!l)
		return;
	b = &l->c->backend;
	(void)cudaSetDevice(l->c->ordinal);
	if (l->nranges || l->window)
		(void)cudaStreamSynchronize(l->c->stream); /* graphs may be in flight */
	rn_cuda_window_free(l);
	for (size_t i = 0; i < l->nranges; i++)
		if (l->ranges[i].graph)
			(void)cudaGraphExecDestroy(l->ranges[i].graph);
	for (size_t i = 0; i < l->ntables; i++)
		b->free(b, l->tables[i].mem);
	for (uint32_t i = 0; l->ops && i < l->n; i++)
		free(l->ops[i].elem);
	b->free(b, l->live);
	free(l->now);
	free(l->before);
	free(l->ops);
	free(l->tables);
	free(l->ranges);
	free(l);
}

/* ---- running -------------------------------------------------------------------------------------- */

int rn_cuda_list_send(struct rn_list *l, uint32_t epoch, struct rn_err *e)
{
	const struct rn_cuda_live live = { .epoch = epoch };
	char *at = l->now + RN_LIST_LIVE;

	memcpy(l->now, &live, sizeof live);
	for (uint32_t i = 0; i < l->n; i++)
		if (l->ops[i].f) {
			memcpy(at, l->ops[i].a->f, RN_LIST_SCALARS * sizeof(double));
			at += RN_LIST_SCALARS * sizeof(double);
		}
	if (l->sent && !memcmp(l->now, l->before, l->live_bytes))
		return 0;
	l->sent = false;
	RN_TRY(rn_cuda_ring_send(l->c, l->live, l->now, l->live_bytes, e));
	memcpy(l->before, l->now, l->live_bytes);
	l->sent = true;
	return 0;
}

static int launch_some(struct rn_list *l, uint32_t i, uint32_t n, struct rn_err *e)
{
	int rc;

	for (uint32_t k = i; k < i + n; k++)
		rn_cuda_weave_op(l->c, &l->ops[k]);
	RN_TRY(rn_cuda_weave_enter(l->c, e));
	rc = rn_cuda_op_launch(l->c, &l->ops[i], n, e);
	RN_TRY(rn_cuda_weave_leave(l->c, rc ? NULL : e));
	RN_TRY(rc);
	if (l->c->waiting)
		RN_CUDA(e, cudaStreamSynchronize(l->c->stream));
	return 0;
}

int rn_cuda_list_launch(struct rn_list *l, uint32_t from, uint32_t to, struct rn_err *e)
{
	for (uint32_t i = from, n; i < to; i += n) {
		int rc;

		/* who waits for each learns which one failed */
		n = l->c->waiting ? 1 : rn_cuda_op_together(&l->ops[i], to - i);
		rc = launch_some(l, i, n, e);
		if (!rc)
			continue;
		l->failed = i;
		return rn_err_prefix(e, rc, "%s", rn_prim_name(l->ops[i].a->inst->op));
	}
	return 0;
}

int rn_cuda_list_fuse(struct rn_list *l, struct rn_err *e)
{
	if (l->fused)
		return 0;
	l->fused = true;
	for (uint32_t i = 0; i < l->n; i++)
		if (l->ops[i].elem)
			RN_TRY(rn_cuda_fuse_add(l->c->fuse, l->ops[i].elem,
						l->ops[i].a->inst->op == RN_P_SEGELEM,
						&l->ops[i].kernel, e));
	return rn_cuda_fuse_build(l->c->fuse, e);
}

static int capture_as(struct rn_cuda *c, int (*enqueue)(void *arg, struct rn_err *e), void *arg,
		      cudaGraphExec_t *exec, struct rn_err *e)
{
	cudaGraph_t graph = NULL;
	cudaError_t err;
	int rc;

	RN_CUDA(e, cudaStreamBeginCapture(c->stream, cudaStreamCaptureModeThreadLocal));
	rc = enqueue(arg, e);
	err = cudaStreamEndCapture(c->stream, &graph); /* also where it failed */
	if (!rc && err != cudaSuccess)
		rc = rn_cuda_fail(e, err, "cudaStreamEndCapture");
	if (!rc) {
		err = cudaGraphInstantiate(exec, graph, 0);
		if (err != cudaSuccess)
			rc = rn_cuda_fail(e, err, "cudaGraphInstantiate");
	}
	if (graph)
		(void)cudaGraphDestroy(graph);
	return rc;
}

int rn_cuda_capture(struct rn_cuda *c, uint32_t most, int (*enqueue)(void *arg, struct rn_err *e),
		    void *arg, cudaGraphExec_t *exec, struct rn_err *e)
{
	int rc;

	RN_TRY(rn_cuda_weave_new(c, most, &c->weave, e));
	rc = capture_as(c, enqueue, arg, exec, e);
	rn_cuda_weave_free(c->weave);
	c->weave = NULL;
	return rc;
}

int rn_cuda_replay(struct rn_cuda *c, cudaGraphExec_t graph, struct rn_err *e)
{
	cudaError_t err = cudaGraphLaunch(graph, c->stream);

	return err == cudaSuccess ? 0 : rn_cuda_late(c, rn_cuda_fail(e, err, "cudaGraphLaunch"), e);
}

/* A range of a list, for a capture. */
struct piece {
	struct rn_list *l;
	const struct range *r;
};

static int launch_range(void *arg, struct rn_err *e)
{
	const struct piece *p = arg;

	RN_TRY(rn_cuda_weave_begin(p->l->c, e));
	RN_TRY(rn_cuda_list_launch(p->l, p->r->from, p->r->to, e));
	return rn_cuda_weave_end(p->l->c, e);
}

static int capture(struct rn_list *l, struct range *r, struct rn_err *e)
{
	struct piece p = { l, r };

	RN_TRY(rn_cuda_list_fuse(l, e));
	return rn_cuda_capture(l->c, r->to - r->from + 1, launch_range, &p, &r->graph, e);
}

/* NULL: a range that was never run, which is noted. */
static struct range *find_range(struct rn_list *l, uint32_t from, uint32_t to)
{
	for (size_t i = 0; i < l->nranges; i++)
		if (l->ranges[i].from == from && l->ranges[i].to == to)
			return &l->ranges[i];
	if (to - from > 1 && l->nranges < MAX_RANGES)
		l->ranges[l->nranges++] = (struct range){ from, to, NULL };
	return NULL;
}

int rn_cuda_list_run(struct rn_list *l, uint32_t from, uint32_t to, uint32_t epoch,
		     struct rn_err *e)
{
	struct range *r;

	l->failed = RN_NONE;
	if (from >= to)
		return 0;
	if (to > l->n)
		return rn_err_set(e, RN_EBUG, "instructions %u to %u of %u", from, to, l->n);
	RN_TRY(rn_cuda_use(l->c, e));
	RN_TRY(rn_cuda_list_send(l, epoch, e));
	r = find_range(l, from, to);
	if (r && l->c->waiting)
		RN_TRY(rn_cuda_list_fuse(l, e));
	if (!r || l->c->waiting)
		return rn_cuda_list_launch(l, from, to, e);
	if (!r->graph)
		RN_TRY(capture(l, r, e));
	return rn_cuda_replay(l->c, r->graph, e);
}

uint32_t rn_cuda_list_failed(const struct rn_list *l)
{
	return l->failed;
}
