/* SPDX-License-Identifier: Apache-2.0 */
#include "arrays.h"
#include "work.h"

#include <stdlib.h>
#include <string.h>

#define SMALL 5e-6 /* seconds: about a wake-up on the same processor */

int rn_work_init(struct rn_work *w, const struct rn_prog *prog, const uint32_t ends[RN_NPASSES],
		 struct rn_cut *cut, struct rn_err *e)
{
	memset(w, 0, sizeof *w);
	w->prog = prog;
	memcpy(w->ends, ends, sizeof w->ends);
	w->cut = *cut;
	memset(cut, 0, sizeof *cut);
	RN_TRY(rn_calloc(w->cut.nparts, sizeof *w->images, "stages", &w->images, e));
	return rn_shared_new("rn-values", w->cut.size, &w->values, e);
}

void rn_work_fini(struct rn_work *w)
{
	for (uint32_t q = 0; w->images && q < w->cut.nparts; q++) {
		free(w->images[q].insts);
		free(w->images[q].states);
	}
	free(w->images);
	rn_cut_fini(&w->cut);
	rn_region_fini(&w->region);
	rn_region_fini(&w->constants);
	rn_shared_free(w->values);
	rn_buf_unref(w->arrays);
	rn_shared_free(w->shared_agenda);
	rn_shared_free(w->counts);
	memset(w, 0, sizeof *w);
}

/* ---- where it lies ------------------------------------------------------------------------- */

/* Where values are on a device that all have, large constants are, once for all. */
static int place_constants(struct rn_work *w, struct rn_err *e)
{
	struct rn_shared *file = rn_arrays_file(w->arrays);
	struct rn_backend *b = w->region.backend;

	if (w->region.by != RN_BY_DEVICE || w->constants.file || !file->size)
		return 0;
	RN_TRY(rn_region_new(file, b, &w->constants, e));
	if (w->constants.by != RN_BY_DEVICE) { /* each stage has copies then */
		rn_region_fini(&w->constants);
		return 0;
	}
	RN_TRY(b->copy_in(b, w->constants.base, file->base, file->size, e));
	return b->sync(b, e);
}

int rn_work_place(struct rn_work *w, const struct rn_region *params, struct rn_err *e)
{
	struct rn_backend *b = params->backend;

	if (!w->region.file)
		RN_TRY(params->by == RN_BY_DEVICE ? rn_region_new(w->values, b, &w->region, e)
						  : rn_region_take(w->values, b, NULL, &w->region, e));
	return place_constants(w, e);
}

int rn_work_to_file(struct rn_work *w, struct rn_err *e)
{
	struct rn_backend *b = w->region.backend;

	rn_region_fini(&w->constants);
	if (w->region.by != RN_BY_DEVICE)
		return 0;
	rn_region_fini(&w->region);
	return rn_region_take(w->values, b, NULL, &w->region, e);
}

/* No process makes a constant or a parameter, which a value may be when the program was rewritten. */
int rn_work_get(const struct rn_work *w, uint32_t val, struct rn_store *params, float *x, struct rn_err *e)
{
	uint32_t root = rn_cut_root(w->prog, val);
	const struct rn_val *v = &w->prog->vals[root];
	size_t bytes = (size_t)v->rows * v->width * sizeof *x;

	if (v->kind == RN_V_INST)
		return rn_region_get(&w->region, w->cut.place[root], x, bytes, e);
	if (v->kind == RN_V_PARAM)
		return rn_store_get_f32(params, v->param, x, e);
	memcpy(x, v->data->data, bytes);
	return 0;
}

/* ---- images -------------------------------------------------------------------------------- */

bool rn_work_has_part(const struct rn_work *w, uint32_t q)
{
	for (uint32_t i = 0; i < w->prog->ninsts; i++)
		if (w->cut.part_of[i] == q)
			return true;
	return false;
}

static int write_image(struct rn_work *w, uint32_t q, const struct rn_store *store, bool *mine,
		       size_t *counts, struct rn_shared **out, struct rn_err *e)
{
	struct rn_image_part part = {
		.prog = w->prog,
		.mine = mine,
		.shared = w->cut.place,
		.arrays = w->arrays ? rn_arrays_file(w->arrays) : NULL,
		.nparams = store->n,
		.counts = counts,
	};

	for (uint32_t i = 0; i < w->prog->ninsts; i++)
		mine[i] = w->cut.part_of[i] == q;
	for (uint32_t i = 0; i < store->n; i++)
		counts[i] = store->items[i].count;
	RN_TRY(rn_image_write(&part, out, e));
	free(w->images[q].insts);
	free(w->images[q].states);
	w->images[q] = (struct rn_work_image){ .ninsts = part.ninsts, .insts = part.insts,
					       .nstates = part.nstates, .states = part.states };
	return 0;
}

int rn_work_image(struct rn_work *w, uint32_t q, const struct rn_store *store,
		  struct rn_shared **out, struct rn_err *e)
{
	size_t *counts = NULL;
	bool *mine = NULL;
	int rc;

	RN_GOTO(out, rn_calloc(w->prog->ninsts, sizeof *mine, "stages", &mine, e));
	RN_GOTO(out, rn_calloc(store->n, sizeof *counts, "stages", &counts, e));
	rc = write_image(w, q, store, mine, counts, out, e);
out:
	free(mine);
	free(counts);
	return rc;
}

/* ---- order --------------------------------------------------------------------------------- */

/* The graph while it is made. */
struct graph {
	const struct rn_work *w;
	struct rn_segment *segments; /* first: 1 + the last edge that leaves it */
	size_t nsegments, cap_segments;
	struct edge {
		uint32_t to, before; /* 1 + the edge before it of the same segment */
	} *edges;
	size_t nedges, cap_edges;
	uint32_t pass[RN_NPASSES + 1];
	uint32_t *segment_of; /* [ninsts] */
	uint32_t *seen;       /* [nsegments] 1 + the last segment that got an edge from this one */
};

static void graph_fini(struct graph *g)
{
	free(g->segments);
	free(g->edges);
	free(g->segment_of);
	free(g->seen);
}

/* Extend the last segment of the pass by the part's next instructions, or begin one. */
static int add_segment(struct graph *g, size_t first, uint32_t part, uint32_t from, uint32_t to,
		       struct rn_err *e)
{
	if (g->nsegments > first && g->segments[g->nsegments - 1].part == part) {
		g->segments[g->nsegments - 1].to = to;
		return 0;
	}
	RN_TRY(rn_grow(&g->segments, &g->cap_segments, g->nsegments + 1, sizeof *g->segments,
		       "stages", e));
	memset(&g->segments[g->nsegments], 0, sizeof *g->segments);
	g->segments[g->nsegments].part = part;
	g->segments[g->nsegments].from = from;
	g->segments[g->nsegments++].to = to;
	return 0;
}

static int cut_segments(struct graph *g, struct rn_err *e)
{
	const struct rn_work *w = g->w;
	uint32_t *done, i = 0;
	int rc = 0;

	/* done[q]: instructions of part q that are in segments, views among them. */
	RN_TRY(rn_calloc(w->cut.nparts, sizeof *done, "stages", &done, e));
	for (enum rn_pass pass = 0; pass < RN_NPASSES; pass++) {
		g->pass[pass] = (uint32_t)g->nsegments;
		for (; i < w->ends[pass]; i++) {
			uint32_t q = w->cut.part_of[i], from;

			if (q == RN_NONE)
				continue;
			from = done[q];
			while (w->images[q].insts[done[q]] != i)
				done[q]++;
			done[q]++;
			RN_GOTO(out, add_segment(g, g->pass[pass], q, from, done[q], e));
			g->segment_of[i] = (uint32_t)g->nsegments - 1;
		}
	}
	g->pass[RN_NPASSES] = (uint32_t)g->nsegments;
out:
	free(done);
	return rc;
}

static int add_edge(struct graph *g, uint32_t from, uint32_t to, struct rn_err *e)
{
	if (from == to || g->seen[from] == to + 1)
		return 0;
	g->seen[from] = to + 1;
	RN_TRY(rn_grow(&g->edges, &g->cap_edges, g->nedges + 1, sizeof *g->edges, "stages", e));
	g->edges[g->nedges++] = (struct edge){ to, g->segments[from].first };
	g->segments[from].first = (uint32_t)g->nedges;
	g->segments[from].nnext++;
	g->segments[to].needs++;
	return 0;
}

/* A part runs its segments in order. */
static int order_segments(struct graph *g, struct rn_err *e)
{
	uint32_t *last; /* [nparts] 1 + segment */
	int rc = 0;

	RN_TRY(rn_calloc(g->w->cut.nparts, sizeof *last, "stages", &last, e));
	for (enum rn_pass pass = 0; pass < RN_NPASSES; pass++) {
		memset(last, 0, g->w->cut.nparts * sizeof *last);
		for (uint32_t i = g->pass[pass]; i < g->pass[pass + 1]; i++) {
			uint32_t *l = &last[g->segments[i].part];

			if (*l)
				RN_GOTO(out, add_edge(g, *l - 1, i, e));
			*l = i + 1;
		}
	}
out:
	free(last);
	return rc;
}

static enum rn_pass pass_of(const struct rn_work *w, uint32_t inst)
{
	enum rn_pass pass = RN_PASS_FORWARD;

	while (inst >= w->ends[pass])
		pass++;
	return pass;
}

/* Instruction `to` runs after `from`, where both run in one pass. */
static int link_insts(struct graph *g, uint32_t from, uint32_t to, struct rn_err *e)
{
	const struct rn_work *w = g->w;

	if (w->cut.part_of[from] == w->cut.part_of[to] || pass_of(w, from) != pass_of(w, to))
		return 0;
	return add_edge(g, g->segment_of[from], g->segment_of[to], e);
}

/* A segment needs those whose values it reads.  stepped[k]: the instruction that changes
 * parameter k in place, once all that stand before it have read it. */
static int link_segments(struct graph *g, const uint32_t *stepped, struct rn_err *e)
{
	const struct rn_prog *p = g->w->prog;

	for (uint32_t i = 0; i < p->ninsts; i++) {
		for (uint32_t k = 0; g->w->cut.part_of[i] != RN_NONE && k < p->insts[i].nin; k++) {
			uint32_t v = p->insts[i].in[k].val;
			const struct rn_val *val;

			if (v == RN_NONE)
				continue;
			val = &p->vals[rn_cut_root(p, v)];
			if (val->kind == RN_V_INST)
				RN_TRY(link_insts(g, val->inst, i, e));
			else if (val->kind == RN_V_PARAM && stepped[val->param] != RN_NONE)
				RN_TRY(i < stepped[val->param]
					       ? link_insts(g, i, stepped[val->param], e)
					       : link_insts(g, stepped[val->param], i, e));
		}
	}
	return 0;
}

static int link_all(struct graph *g, uint32_t nparams, struct rn_err *e)
{
	const struct rn_prog *p = g->w->prog;
	uint32_t *stepped;
	int rc;

	RN_TRY(rn_calloc(nparams, sizeof *stepped, "stages", &stepped, e));
	memset(stepped, 0xff, nparams * sizeof *stepped);
	for (uint32_t i = 0; i < p->ninsts; i++)
		if (g->w->cut.part_of[i] != RN_NONE && p->vals[p->insts[i].out].kind == RN_V_PARAM)
			stepped[p->vals[p->insts[i].out].param] = i;
	rc = link_segments(g, stepped, e);
	free(stepped);
	return rc;
}

static int make_graph(struct graph *g, uint32_t nparams, struct rn_err *e)
{
	RN_TRY(rn_calloc(g->w->prog->ninsts, sizeof *g->segment_of, "stages", &g->segment_of, e));
	RN_TRY(cut_segments(g, e));
	RN_TRY(rn_calloc(g->nsegments, sizeof *g->seen, "stages", &g->seen, e));
	RN_TRY(order_segments(g, e));
	memset(g->seen, 0, g->nsegments * sizeof *g->seen);
	return link_all(g, nparams, e);
}

/* Memory for an agenda, which only this process can write to, and for its counts. */
static int new_agenda(struct rn_work *w, uint32_t nsegments, uint32_t nedges, struct rn_err *e)
{
	rn_shared_free(w->shared_agenda);
	rn_shared_free(w->counts);
	w->shared_agenda = w->counts = NULL;
	RN_TRY(rn_shared_new("rn-agenda", rn_agenda_size(nsegments, nedges), &w->shared_agenda, e));
	RN_TRY(rn_shared_new("rn-counts", nsegments * sizeof *w->missing, &w->counts, e));
	w->agenda = w->shared_agenda->base;
	w->missing = w->counts->base;
	return rn_shared_seal(w->shared_agenda, e);
}

/* The graph into memory that is shared. */
static int share_graph(struct rn_work *w, const struct graph *g, struct rn_err *e)
{
	uint32_t nsegments = (uint32_t)g->nsegments, nedges = (uint32_t)g->nedges, n = 0, *next;
	struct rn_agenda *o;

	RN_TRY(new_agenda(w, nsegments, nedges, e));
	o = w->agenda;
	o->nsegments = nsegments;
	o->nnext = nedges;
	memcpy(o->pass, g->pass, sizeof o->pass);
	next = rn_agenda_next(o);
	for (uint32_t i = 0; i < nsegments; i++) {
		o->segments[i] = g->segments[i];
		o->segments[i].first = n;
		for (uint32_t k = g->segments[i].first; k; k = g->edges[k - 1].before)
			next[n++] = g->edges[k - 1].to;
	}
	return 0;
}

/* Seconds of a segment, roughly and on average. */
static double mean_work(const struct rn_work *w, size_t nsegments)
{
	double sum = 0;

	for (uint32_t i = 0; i < w->prog->ninsts; i++) {
		double flops, bytes;

		if (w->cut.part_of[i] == RN_NONE)
			continue;
		rn_inst_cost(w->prog, &w->prog->insts[i], &flops, &bytes);
		sum += flops / 2e10 + bytes / 1e10;
	}
	return nsegments ? sum / (double)nsegments : 0;
}

int rn_work_order(struct rn_work *w, uint32_t nparams, struct rn_err *e)
{
	struct graph g = { .w = w };
	int rc = make_graph(&g, nparams, e);

	w->small = mean_work(w, g.nsegments) < SMALL;
	if (!rc)
		rc = share_graph(w, &g, e);
	graph_fini(&g);
	return rc;
}
