/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading images.  Arrays are used where they lie: the mapping lives as long as
 * the image.
 */
#include "image.h"
#include "image_format.h"

#include <stdlib.h>
#include <string.h>

struct reader {
	const char *base;
	struct rn_image_header h;
	struct rn_image_layout at;
	const struct rn_shared *values, *arrays; /* arrays: NULL if there are none */
	struct rn_image *out;
};

static int bad(const char *what, uint32_t i, struct rn_err *e)
{
	return rn_err_set(e, RN_EDATA, "the image of a stage is damaged: %s %u", what, i);
}

static int read_header(struct reader *r, struct rn_err *e)
{
	const struct rn_shared *f = r->out->file;

	if (f->size < sizeof r->h)
		return bad("its bytes are", (uint32_t)f->size, e);
	r->base = f->base;
	memcpy(&r->h, f->base, sizeof r->h);
	if (memcmp(r->h.magic, RN_IMAGE_MAGIC, sizeof r->h.magic) || r->h.size != f->size)
		return bad("it has no header of size", (uint32_t)sizeof r->h, e);
	r->at = rn_image_layout(&r->h);
	if (r->at.arrays > f->size)
		return bad("its tables end behind byte", (uint32_t)f->size, e);
	if (rn_image_sum(&r->h, r->base + sizeof r->h) != r->h.sum)
		return bad("its checksum is not that of the bytes from", 0, e);
	return 0;
}

static int read_counts(struct reader *r, struct rn_err *e)
{
	const uint64_t *in = (const uint64_t *)(r->base + r->at.counts);
	size_t n = (size_t)r->h.nparams + r->h.nstates;

	RN_TRY(rn_calloc(n, sizeof *r->out->counts, "an image", &r->out->counts, e));
	for (size_t i = 0; i < n; i++)
		r->out->counts[i] = in[i];
	r->out->nparams = r->h.nparams;
	r->out->nstates = r->h.nstates;
	return 0;
}

/* A buffer that owns nothing. */
static struct rn_buf *borrow(const void *data, size_t size, struct rn_err *e)
{
	struct rn_buf *b;

	if (rn_calloc(1, sizeof *b, "an image", &b, e))
		return NULL;
	b->data = (void *)(uintptr_t)data;
	b->size = size;
	b->refs = 1;
	return b;
}

static bool within(uint64_t offset, uint64_t bytes, uint64_t from, uint64_t size)
{
	return offset % RN_ALIGN == 0 && offset >= from && offset <= size && bytes <= size - offset;
}

/* Where an array lies, of the program's or the image's own; NULL: nowhere. */
static const char *array_at(const struct reader *r, bool shared, uint64_t offset, uint64_t bytes)
{
	if (!shared)
		return within(offset, bytes, r->at.arrays, r->h.size) ? r->base + offset : NULL;
	return r->arrays && within(offset, bytes, 0, r->arrays->size)
		       ? (const char *)r->arrays->base + offset : NULL;
}

/* Width and bytes of a value; false where they do not fit into 32 and 62 bits. */
static bool extent(const struct rn_image_val *v, uint32_t *width, uint64_t *bytes)
{
	uint64_t w = 1;

	if (v->rank > 4)
		return false;
	for (uint32_t i = 0; i < v->rank; i++)
		if (__builtin_mul_overflow(w, v->dim[i], &w) || w >= RN_NONE)
			return false;
	*width = (uint32_t)w;
	*bytes = (uint64_t)v->rows * w * sizeof(float);
	return *bytes < UINT64_MAX / 4;
}

static int read_val(struct reader *r, uint32_t i, const struct rn_image_val *in,
		    struct rn_err *e)
{
	struct rn_val *v = &r->out->prog.vals[i];
	const char *at;
	uint64_t bytes;

	if (!extent(in, &v->width, &bytes) || in->index > 1)
		return bad("the shape of value", i, e);
	v->kind = in->kind >= RN_IMAGE_EXTERN ? RN_V_CONST : (enum rn_vkind)in->kind;
	v->rows = in->rows;
	v->rank = in->rank;
	memcpy(v->dim, in->dim, sizeof v->dim);
	v->index = in->index;
	v->inst = RN_NONE;
	v->param = in->number;
	r->out->shared[i] = RN_UNSHARED;
	switch (in->kind) {
	case RN_V_CONST:
	case RN_IMAGE_ARRAY:
		at = array_at(r, in->kind == RN_IMAGE_ARRAY, in->offset, bytes);
		if (!at)
			return bad("the array of value", i, e);
		v->data = borrow(at, bytes, e);
		return v->data ? 0 : RN_ENOMEM;
	case RN_IMAGE_EXTERN:
		if (!within(in->offset, bytes, 0, r->values->size))
			return bad("the place of value", i, e);
		v->data = borrow((const char *)r->values->base + in->offset, bytes, e);
		return v->data ? 0 : RN_ENOMEM;
	case RN_V_INST:
		if (in->offset != RN_UNSHARED && !within(in->offset, bytes, 0, r->values->size))
			return bad("the place of value", i, e);
		v->inst = in->inst;
		r->out->shared[i] = in->offset;
		return in->inst < r->h.ninsts ? 0 : bad("the instruction of value", i, e);
	case RN_V_PARAM:
		return in->number < r->h.nparams ? 0 : bad("the parameter of value", i, e);
	case RN_V_STATE:
		return in->number < r->h.nstates ? 0 : bad("the slot of value", i, e);
	}
	return bad("the kind of value", i, e);
}

static int read_vals(struct reader *r, struct rn_err *e)
{
	const struct rn_image_val *in = (const struct rn_image_val *)(r->base + r->at.vals);
	struct rn_prog *p = &r->out->prog;

	RN_TRY(rn_calloc(r->h.nvals, sizeof *p->vals, "an image", &p->vals, e));
	p->cap_vals = r->h.nvals;
	RN_TRY(rn_calloc(r->h.nvals, sizeof *r->out->shared, "an image", &r->out->shared, e));
	for (uint32_t i = 0; i < r->h.nvals; i++) {
		p->nvals = i + 1;
		RN_TRY(read_val(r, i, &in[i], e));
	}
	return 0;
}

static int read_idx(struct reader *r, struct rn_err *e)
{
	const struct rn_image_idx *in = (const struct rn_image_idx *)(r->base + r->at.idx);

	for (uint32_t i = 0; i < r->h.nidx; i++) {
		uint64_t bytes = (uint64_t)in[i].n * sizeof(uint32_t);
		const char *at = array_at(r, in[i].flags & RN_IMAGE_SHARED, in[i].offset, bytes);
		struct rn_buf *b;

		if (!at || in[i].flags > (RN_IMAGE_FMAP | RN_IMAGE_SHARED))
			return bad("index array", i, e);
		b = borrow(at, bytes, e);
		if (!b || rn_prog_idx(&r->out->prog, b, in[i].n, e) == RN_NONE)
			return RN_ENOMEM;
		r->out->prog.idx[i].fmap = in[i].flags & RN_IMAGE_FMAP;
	}
	return 0;
}

static bool is_idx(const struct reader *r, uint32_t i)
{
	return i == RN_NONE || i < r->h.nidx;
}

static bool is_drop(const struct reader *r, const struct rn_drop *d)
{
	return is_idx(r, d->row) && is_idx(r, d->col);
}

static int read_elem(struct reader *r, const struct rn_image_inst *in, struct rn_elem *x,
		     struct rn_err *e)
{
	const struct rn_elem_step *steps = (const struct rn_elem_step *)(r->base + r->at.steps);
	const struct rn_drop *drops = (const struct rn_drop *)(r->base + r->at.drops);

	if (in->nsteps > r->h.nsteps || in->first_step > r->h.nsteps - in->nsteps ||
	    in->ndrops > r->h.ndrops || in->first_drop > r->h.ndrops - in->ndrops)
		return bad("the steps from", in->first_step, e);
	x->nsteps = in->nsteps;
	x->nregs = in->nregs;
	x->result = in->result;
	x->ndrops = in->ndrops;
	x->steps = rn_arena_alloc(&r->out->prog.arena, x->nsteps * sizeof *x->steps + 1, e);
	x->drops = rn_arena_alloc(&r->out->prog.arena, x->ndrops * sizeof *x->drops + 1, e);
	if (!x->steps || !x->drops)
		return RN_ENOMEM;
	memcpy(x->steps, steps + in->first_step, x->nsteps * sizeof *x->steps);
	memcpy(x->drops, drops + in->first_drop, x->ndrops * sizeof *x->drops);
	for (uint32_t i = 0; i < x->ndrops; i++)
		if (!is_drop(r, &x->drops[i]))
			return bad("drop", i, e);
	return 0;
}

static int read_inst(struct reader *r, uint32_t k, const struct rn_image_inst *in,
		     struct rn_err *e)
{
	struct rn_inst *i = &r->out->prog.insts[k];
	bool good = in->op < RN_NPRIM && in->fn < RN_NEW && in->out < r->h.nvals &&
		    in->nin <= RN_MAX_IN && is_drop(r, &in->drop);

	for (uint32_t n = 0; good && n < RN_MAX_IN; n++)
		good = (in->in[n].val == RN_NONE || in->in[n].val < r->h.nvals) &&
		       is_idx(r, in->in[n].fmap) && is_idx(r, in->in[n].rmap);
	for (unsigned n = 0; good && n < 3; n++)
		good = is_idx(r, in->idx[n]);
	/* A result is of the instruction that makes it; a step works on a parameter in place. */
	good = good && (r->out->prog.vals[in->out].kind == RN_V_PARAM ||
			r->out->prog.vals[in->out].inst == k);
	if (!good)
		return bad("instruction", k, e);
	*i = rn_inst_init((enum rn_prim)in->op);
	i->flags = in->flags;
	i->out = in->out;
	i->nin = in->nin;
	memcpy(i->in, in->in, sizeof i->in);
	memcpy(i->idx, in->idx, sizeof i->idx);
	i->fn = (enum rn_ew)in->fn;
	i->imm = in->imm;
	i->drop = in->drop;
	memcpy(i->f, in->f, sizeof i->f);
	i->stage = in->stage;
	return rn_prim_is_fused(i->op) ? read_elem(r, in, &i->elem, e) : 0;
}

static int read_insts(struct reader *r, struct rn_err *e)
{
	const struct rn_image_inst *in = (const struct rn_image_inst *)(r->base + r->at.insts);
	struct rn_prog *p = &r->out->prog;

	RN_TRY(rn_calloc(r->h.ninsts, sizeof *p->insts, "an image", &p->insts, e));
	p->cap_insts = p->ninsts = r->h.ninsts;
	for (uint32_t k = 0; k < r->h.ninsts; k++)
		RN_TRY(read_inst(r, k, &in[k], e));
	for (uint32_t i = 0; i < p->nvals; i++)
		if (p->vals[i].kind == RN_V_INST && p->insts[p->vals[i].inst].out != i)
			return bad("the instruction of value", i, e);
	return 0;
}

int rn_image_read(struct rn_shared *file, const struct rn_shared *values,
		  const struct rn_shared *arrays, struct rn_image *out, struct rn_err *e)
{
	struct reader r = { .values = values, .arrays = arrays, .out = out };
	int rc;

	memset(out, 0, sizeof *out);
	rn_prog_init(&out->prog);
	out->file = file;
	RN_GOTO(fail, read_header(&r, e));
	RN_GOTO(fail, read_counts(&r, e));
	RN_GOTO(fail, read_vals(&r, e));
	RN_GOTO(fail, read_idx(&r, e));
	RN_GOTO(fail, read_insts(&r, e));
	return 0;
fail:
	rn_image_fini(out);
	return rc;
}

void rn_image_fini(struct rn_image *i)
{
	rn_prog_fini(&i->prog);
	free(i->shared);
	free(i->counts);
	rn_shared_free(i->file);
	memset(i, 0, sizeof *i);
}
