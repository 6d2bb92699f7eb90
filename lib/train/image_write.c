/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing images: choose instructions, number what they refer to, lay it out,
 * and fill it in.
 */
#include "arrays.h"
#include "image.h"
#include "image_format.h"

#include "../../formats/hash.h"

#include <stdlib.h>
#include <string.h>

static uint64_t align_up(uint64_t n)
{
	return (n + RN_ALIGN - 1) & ~(uint64_t)(RN_ALIGN - 1);
}

struct rn_image_layout rn_image_layout(const struct rn_image_header *h)
{
	struct rn_image_layout l;

	l.counts = sizeof *h;
	l.vals = align_up(l.counts + ((uint64_t)h->nparams + h->nstates) * sizeof(uint64_t));
	l.idx = align_up(l.vals + (uint64_t)h->nvals * sizeof(struct rn_image_val));
	l.insts = align_up(l.idx + (uint64_t)h->nidx * sizeof(struct rn_image_idx));
	l.steps = align_up(l.insts + (uint64_t)h->ninsts * sizeof(struct rn_image_inst));
	l.drops = align_up(l.steps + (uint64_t)h->nsteps * sizeof(struct rn_elem_step));
	l.arrays = align_up(l.drops + (uint64_t)h->ndrops * sizeof(struct rn_drop));
	return l;
}

uint64_t rn_image_sum(const struct rn_image_header *h, const void *rest)
{
	struct rn_image_header copy = *h;
	uint64_t part[2];

	copy.sum = 0;
	part[0] = rn_hash64(&copy, sizeof copy);
	part[1] = rn_hash64(rest, h->size - sizeof *h);
	return rn_hash64(part, sizeof part);
}

/* Numbers of the program -> numbers of the image, and back in order. */
struct numbering {
	uint32_t *to, *from;
	uint32_t n;
};

struct writer {
	struct rn_image_part *part;
	const struct rn_prog *prog;
	struct numbering insts, vals, idx, states;
	struct rn_image_header header;
	struct rn_image_layout at;
	uint64_t *arrays; /* offsets of arrays: [nvals] then [nidx] of the image */
	char *base;
};

static int numbering_new(struct numbering *m, size_t n, struct rn_err *e)
{
	RN_TRY(rn_calloc(n, sizeof *m->to, "an image", &m->to, e));
	RN_TRY(rn_calloc(n, sizeof *m->from, "an image", &m->from, e));
	memset(m->to, 0xff, n * sizeof *m->to);
	return 0;
}

static void numbering_free(struct numbering *m)
{
	free(m->to);
	free(m->from);
}

static void give(struct numbering *m, uint32_t what)
{
	if (what == RN_NONE || m->to[what] != RN_NONE)
		return;
	m->to[what] = m->n;
	m->from[m->n++] = what;
}

static uint32_t renumber(const struct numbering *m, uint32_t what)
{
	return what == RN_NONE ? RN_NONE : m->to[what];
}

/* ---- choosing ------------------------------------------------------------------------- */

/* The process's own instructions, and views that they read through. */
static void choose(struct writer *w)
{
	const struct rn_prog *p = w->prog;
	uint32_t *chosen = w->insts.to; /* marks first, numbers in the second pass */

	for (uint32_t i = p->ninsts; i-- > 0;) {
		const struct rn_inst *in = &p->insts[i];

		if (w->part->mine[i] && in->op != RN_P_VIEW)
			chosen[i] = 0;
		for (uint32_t k = 0; k < in->nin && chosen[i] != RN_NONE; k++) {
			const struct rn_val *v;

			if (in->in[k].val == RN_NONE)
				continue;
			v = &p->vals[in->in[k].val];
			if (v->kind == RN_V_INST && p->insts[v->inst].op == RN_P_VIEW)
				chosen[v->inst] = 0;
		}
	}
	for (uint32_t i = 0; i < p->ninsts; i++) {
		if (chosen[i] == RN_NONE)
			continue;
		chosen[i] = w->insts.n;
		w->insts.from[w->insts.n++] = i;
	}
}

/* Number everything that the chosen instructions refer to. */
static void number(struct writer *w)
{
	for (uint32_t k = 0; k < w->insts.n; k++) {
		const struct rn_inst *i = &w->prog->insts[w->insts.from[k]];

		for (uint32_t n = 0; n < i->nin; n++) {
			give(&w->vals, i->in[n].val);
			give(&w->idx, i->in[n].fmap);
			give(&w->idx, i->in[n].rmap);
			if (i->in[n].val != RN_NONE &&
			    w->prog->vals[i->in[n].val].kind == RN_V_STATE)
				give(&w->states, w->prog->vals[i->in[n].val].param);
		}
		give(&w->vals, i->out);
		for (unsigned n = 0; n < 3; n++)
			give(&w->idx, i->idx[n]);
		give(&w->idx, i->drop.row);
		give(&w->idx, i->drop.col);
		for (uint32_t n = 0; rn_prim_is_fused(i->op) && n < i->elem.ndrops; n++) {
			give(&w->idx, i->elem.drops[n].row);
			give(&w->idx, i->elem.drops[n].col);
		}
		if (rn_prim_is_fused(i->op)) {
			w->header.nsteps += i->elem.nsteps;
			w->header.ndrops += i->elem.ndrops;
		}
	}
}

static uint64_t const_bytes(const struct rn_val *v)
{
	return (uint64_t)v->rows * v->width * sizeof(float);
}

static uint64_t array_of(const struct writer *w, const struct rn_buf *b)
{
	return rn_arrays_find(w->part->arrays, b->data);
}

/* Sizes and offsets of everything. */
static int lay_out(struct writer *w, struct rn_err *e)
{
	struct rn_image_header *h = &w->header;
	uint64_t at;

	memcpy(h->magic, RN_IMAGE_MAGIC, sizeof h->magic);
	h->nparams = w->part->nparams;
	h->nstates = w->states.n;
	h->nvals = w->vals.n;
	h->nidx = w->idx.n;
	h->ninsts = w->insts.n;
	w->at = rn_image_layout(h);
	RN_TRY(rn_calloc((size_t)h->nvals + h->nidx, sizeof *w->arrays, "an image", &w->arrays, e));
	at = w->at.arrays;
	for (uint32_t i = 0; i < h->nvals; i++) {
		const struct rn_val *v = &w->prog->vals[w->vals.from[i]];

		w->arrays[i] = at;
		if (v->kind == RN_V_CONST && array_of(w, v->data) == RN_UNSHARED)
			at = align_up(at + const_bytes(v));
	}
	for (uint32_t i = 0; i < h->nidx; i++) {
		const struct rn_idx *x = &w->prog->idx[w->idx.from[i]];

		w->arrays[h->nvals + i] = at;
		if (array_of(w, x->data) == RN_UNSHARED)
			at = align_up(at + (uint64_t)x->n * sizeof(uint32_t));
	}
	h->size = at;
	return 0;
}

/* ---- filling in --------------------------------------------------------------------------- */

static void fill_counts(struct writer *w, const size_t *state_counts)
{
	uint64_t *out = (uint64_t *)(w->base + w->at.counts);

	for (uint32_t i = 0; i < w->header.nparams; i++)
		*out++ = w->part->counts[i];
	for (uint32_t i = 0; i < w->header.nstates; i++)
		*out++ = state_counts[i];
}

static void fill_const(struct writer *w, const struct rn_val *v, uint64_t offset,
		       struct rn_image_val *out)
{
	uint64_t shared = array_of(w, v->data);

	out->kind = shared == RN_UNSHARED ? (uint32_t)RN_V_CONST : (uint32_t)RN_IMAGE_ARRAY;
	out->offset = shared == RN_UNSHARED ? offset : shared;
	if (shared == RN_UNSHARED && const_bytes(v))
		memcpy(w->base + offset, v->data->data, const_bytes(v));
}

static void fill_vals(struct writer *w)
{
	struct rn_image_val *out = (struct rn_image_val *)(w->base + w->at.vals);

	for (uint32_t i = 0; i < w->header.nvals; i++, out++) {
		uint32_t from = w->vals.from[i];
		const struct rn_val *v = &w->prog->vals[from];

		out->kind = v->kind;
		out->rows = v->rows;
		out->rank = v->rank;
		memcpy(out->dim, v->dim, sizeof out->dim);
		out->index = v->index;
		out->inst = RN_NONE;
		out->offset = RN_UNSHARED;
		if (v->kind == RN_V_CONST) {
			fill_const(w, v, w->arrays[i], out);
		} else if (v->kind == RN_V_INST) {
			out->inst = w->insts.to[v->inst];
			out->offset = w->part->shared[from];
			out->kind = out->inst == RN_NONE ? (uint32_t)RN_IMAGE_EXTERN : out->kind;
		} else {
			out->number = v->kind == RN_V_STATE ? w->states.to[v->param] : v->param;
		}
	}
}

static void fill_idx(struct writer *w)
{
	struct rn_image_idx *out = (struct rn_image_idx *)(w->base + w->at.idx);

	for (uint32_t i = 0; i < w->header.nidx; i++, out++) {
		const struct rn_idx *x = &w->prog->idx[w->idx.from[i]];
		uint64_t shared = array_of(w, x->data);

		out->offset = shared == RN_UNSHARED ? w->arrays[w->header.nvals + i] : shared;
		out->n = x->n;
		out->flags = (x->fmap ? RN_IMAGE_FMAP : 0) |
			     (shared == RN_UNSHARED ? 0 : RN_IMAGE_SHARED);
		if (x->n && shared == RN_UNSHARED)
			memcpy(w->base + out->offset, x->data->data,
			       (size_t)x->n * sizeof(uint32_t));
	}
}

static struct rn_drop move_drop(const struct writer *w, const struct rn_drop *d)
{
	struct rn_drop out = *d;

	out.row = renumber(&w->idx, d->row);
	out.col = renumber(&w->idx, d->col);
	return out;
}

static void fill_elem(struct writer *w, const struct rn_elem *x, struct rn_image_inst *out,
		      uint32_t *step, uint32_t *drop)
{
	struct rn_elem_step *steps = (struct rn_elem_step *)(w->base + w->at.steps) + *step;
	struct rn_drop *drops = (struct rn_drop *)(w->base + w->at.drops) + *drop;

	out->nregs = x->nregs;
	out->result = x->result;
	out->first_step = *step;
	out->nsteps = x->nsteps;
	out->first_drop = *drop;
	out->ndrops = x->ndrops;
	memcpy(steps, x->steps, x->nsteps * sizeof *steps);
	for (uint32_t i = 0; i < x->ndrops; i++)
		drops[i] = move_drop(w, &x->drops[i]);
	*step += x->nsteps;
	*drop += x->ndrops;
}

static void fill_insts(struct writer *w)
{
	struct rn_image_inst *out = (struct rn_image_inst *)(w->base + w->at.insts);
	uint32_t step = 0, drop = 0;

	for (uint32_t k = 0; k < w->header.ninsts; k++, out++) {
		const struct rn_inst *i = &w->prog->insts[w->insts.from[k]];

		out->op = i->op;
		out->flags = i->flags;
		out->out = w->vals.to[i->out];
		out->nin = i->nin;
		out->fn = i->fn;
		out->stage = i->stage;
		for (unsigned n = 0; n < RN_MAX_IN; n++)
			out->in[n] = RN_NO_IN;
		for (uint32_t n = 0; n < i->nin; n++)
			out->in[n] = (struct rn_in){ renumber(&w->vals, i->in[n].val),
						     renumber(&w->idx, i->in[n].fmap),
						     renumber(&w->idx, i->in[n].rmap) };
		for (unsigned n = 0; n < 3; n++)
			out->idx[n] = renumber(&w->idx, i->idx[n]);
		out->imm = i->imm;
		out->drop = move_drop(w, &i->drop);
		memcpy(out->f, i->f, sizeof out->f);
		if (rn_prim_is_fused(i->op))
			fill_elem(w, &i->elem, out, &step, &drop);
	}
}

/* How many values each slot has: those of the parameter that it belongs to. */
static int state_counts(const struct writer *w, size_t **out, struct rn_err *e)
{
	RN_TRY(rn_calloc(w->states.n, sizeof **out, "an image", out, e));
	for (uint32_t i = 0; i < w->vals.n; i++) {
		const struct rn_val *v = &w->prog->vals[w->vals.from[i]];

		if (v->kind == RN_V_STATE)
			(*out)[w->states.to[v->param]] = v->width;
	}
	return 0;
}

static int write_image(struct writer *w, struct rn_shared **out, struct rn_err *e)
{
	struct rn_image_header *h = &w->header;
	struct rn_shared *file;
	size_t *counts;
	int rc;

	choose(w);
	number(w);
	RN_TRY(lay_out(w, e));
	RN_TRY(state_counts(w, &counts, e));
	rc = rn_shared_new("rn-image", h->size, &file, e);
	if (!rc) {
		w->base = file->base;
		fill_counts(w, counts);
		fill_vals(w);
		fill_idx(w);
		fill_insts(w);
		h->sum = rn_image_sum(h, w->base + sizeof *h);
		memcpy(w->base, h, sizeof *h);
		*out = file;
	}
	free(counts);
	return rc;
}

int rn_image_write(struct rn_image_part *part, struct rn_shared **out, struct rn_err *e)
{
	const struct rn_prog *p = part->prog;
	struct writer w = { .part = part, .prog = p };
	uint32_t nstates = 0;
	int rc;

	for (uint32_t i = 0; i < p->nvals; i++)
		if (p->vals[i].kind == RN_V_STATE && p->vals[i].param >= nstates)
			nstates = p->vals[i].param + 1;
	RN_GOTO(out, numbering_new(&w.insts, p->ninsts, e));
	RN_GOTO(out, numbering_new(&w.vals, p->nvals, e));
	RN_GOTO(out, numbering_new(&w.idx, p->nidx, e));
	RN_GOTO(out, numbering_new(&w.states, nstates, e));
	RN_GOTO(out, write_image(&w, out, e));
	part->ninsts = w.insts.n;
	part->insts = w.insts.from;
	part->nstates = w.states.n;
	part->states = w.states.from;
	w.insts.from = w.states.from = NULL;
out:
	free(w.arrays);
	numbering_free(&w.insts);
	numbering_free(&w.vals);
	numbering_free(&w.idx);
	numbering_free(&w.states);
	return rc;
}
