/* SPDX-License-Identifier: Apache-2.0 */
#include "work.h"

#include <stdlib.h>
#include <string.h>

int rn_work_init(struct rn_work *w, const struct rn_prog *prog, const uint32_t ends[RN_NPHASES],
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
	free(w->segments);
	free(w->edges);
	free(w->queue);
	rn_shared_free(w->values);
	memset(w, 0, sizeof *w);
}

static int write_image(struct rn_work *w, uint32_t q, const struct rn_store *store, bool *mine,
		       size_t *counts, struct rn_shared **out, struct rn_err *e)
{
	struct rn_image_part part = {
		.prog = w->prog,
		.mine = mine,
		.shared = w->cut.place,
		.nparams = store->n,
		.counts = counts,
	};

	for (uint32_t i = 0; i < w->prog->ninsts; i++)
		mine[i] = w->cut.part_of[i] == q;
	for (uint32_t i = 0; i < store->n; i++)
		counts[i] = store->items[i].count;
	RN_TRY(rn_image_write(&part, out, e));
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

/* Extend the last segment of the phase by the part's next instructions, or begin one. */
static int add_segment(struct rn_work *w, size_t first, uint32_t part, uint32_t from,
		       uint32_t to, struct rn_err *e)
{
	if (w->nsegments > first && w->segments[w->nsegments - 1].part == part) {
		w->segments[w->nsegments - 1].to = to;
		return 0;
	}
	RN_TRY(rn_grow(&w->segments, &w->cap_segments, w->nsegments + 1, sizeof *w->segments,
		       "stages", e));
	w->segments[w->nsegments++] =
		(struct rn_segment){ .part = part, .from = from, .to = to, .edges = SIZE_MAX };
	return 0;
}

/* seg[i]: the segment of instruction i. */
static int cut_segments(struct rn_work *w, size_t *seg, struct rn_err *e)
{
	uint32_t *done, i = 0;
	int rc = 0;

	/* done[q]: instructions of part q that are in segments, views among them. */
	RN_TRY(rn_calloc(w->cut.nparts, sizeof *done, "stages", &done, e));
	for (enum rn_phase phase = 0; phase < RN_NPHASES; phase++) {
		w->phase[phase] = w->nsegments;
		for (; i < w->ends[phase]; i++) {
			uint32_t q = w->cut.part_of[i], from;

			if (q == RN_NONE)
				continue;
			from = done[q];
			while (w->images[q].insts[done[q]] != i)
				done[q]++;
			done[q]++;
			RN_GOTO(out, add_segment(w, w->phase[phase], q, from, done[q], e));
			seg[i] = w->nsegments - 1;
		}
	}
	w->phase[RN_NPHASES] = w->nsegments;
out:
	free(done);
	return rc;
}

static int add_edge(struct rn_work *w, size_t from, size_t to, struct rn_err *e)
{
	RN_TRY(rn_grow(&w->edges, &w->cap_edges, w->nedges + 1, sizeof *w->edges, "stages", e));
	w->edges[w->nedges] = (struct rn_edge){ to, w->segments[from].edges };
	w->segments[from].edges = w->nedges++;
	w->segments[to].needs++;
	return 0;
}

/* A part runs its segments in order. */
static int order_segments(struct rn_work *w, struct rn_err *e)
{
	size_t *last;
	int rc = 0;

	RN_TRY(rn_calloc(w->cut.nparts, sizeof *last, "stages", &last, e));
	for (enum rn_phase phase = 0; phase < RN_NPHASES; phase++) {
		memset(last, 0, w->cut.nparts * sizeof *last);
		for (size_t i = w->phase[phase]; i < w->phase[phase + 1]; i++) {
			size_t *l = &last[w->segments[i].part];

			if (*l)
				RN_GOTO(out, add_edge(w, *l - 1, i, e));
			*l = i + 1;
		}
	}
out:
	free(last);
	return rc;
}

static enum rn_phase phase_of(const struct rn_work *w, uint32_t inst)
{
	enum rn_phase phase = RN_FORWARD;

	while (inst >= w->ends[phase])
		phase++;
	return phase;
}

/* A segment needs those of its pass whose values it reads. */
static int link_segments(struct rn_work *w, const size_t *seg, struct rn_err *e)
{
	const struct rn_prog *p = w->prog;
	size_t *seen; /* [nsegments] 1 + the last segment that got an edge from this one */
	int rc = 0;

	RN_TRY(rn_calloc(w->nsegments, sizeof *seen, "stages", &seen, e));
	for (uint32_t i = 0; i < p->ninsts; i++) {
		for (uint32_t k = 0; w->cut.part_of[i] != RN_NONE && k < p->insts[i].nin; k++) {
			uint32_t v = p->insts[i].in[k].val, by;

			v = v == RN_NONE ? v : rn_cut_root(p, v);
			if (v == RN_NONE || p->vals[v].kind != RN_V_INST)
				continue;
			by = p->vals[v].inst;
			if (w->cut.part_of[by] == w->cut.part_of[i] ||
			    phase_of(w, by) != phase_of(w, i) || seen[seg[by]] == seg[i] + 1)
				continue;
			seen[seg[by]] = seg[i] + 1;
			RN_GOTO(out, add_edge(w, seg[by], seg[i], e));
		}
	}
out:
	free(seen);
	return rc;
}

int rn_work_order(struct rn_work *w, struct rn_err *e)
{
	size_t *seg;
	int rc;

	RN_TRY(rn_calloc(w->prog->ninsts, sizeof *seg, "stages", &seg, e));
	rc = cut_segments(w, seg, e);
	if (!rc)
		rc = order_segments(w, e);
	if (!rc)
		rc = link_segments(w, seg, e);
	if (!rc)
		rc = rn_calloc(w->nsegments, sizeof *w->queue, "stages", &w->queue, e);
	free(seg);
	return rc;
}
