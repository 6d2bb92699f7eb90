/* SPDX-License-Identifier: Apache-2.0 */
#include "folded.h"

#include "pass_util.h"

#include "../../formats/hash.h"

#include <stdlib.h>
#include <string.h>

struct keys {
	const struct rn_prog *p;
	uint64_t *val; /* 0: not known */
	uint64_t *idx; /* likewise */
};

static bool is_large(const struct rn_val *v)
{
	return (uint64_t)v->rows * v->width * sizeof(float) >= RN_FOLDED_BYTES;
}

static uint64_t key_of_idx(struct keys *k, uint32_t i)
{
	const struct rn_idx *x;

	if (i == RN_NONE)
		return 0;
	x = &k->p->idx[i];
	if (!k->idx[i])
		k->idx[i] = (x->n ? rn_hash64(x->data->data, x->n * sizeof(uint32_t)) : x->n) | 1;
	return k->idx[i];
}

static uint64_t key_of_const(const struct rn_val *v)
{
	size_t bytes = (size_t)v->rows * v->width * sizeof(float);
	const uint64_t words[] = { v->rows, v->width, bytes ? rn_hash64(v->data->data, bytes) : 0 };

	return rn_hash64(words, sizeof words) | 1;
}

/* All that the numbers of its result depend on; 0: not known. */
static uint64_t key_of_inst(struct keys *k, const struct rn_inst *i)
{
	const struct rn_val *o = &k->p->vals[i->out];
	uint64_t words[16 + 3 * RN_MAX_IN] = { i->op, i->flags, i->fn, o->rows, o->width, o->rank };
	size_t n = 6;

	if (rn_prim_is_fused(i->op))
		return 0;
	for (uint32_t d = 0; d < o->rank; d++)
		words[n++] = o->dim[d];
	memcpy(&words[n++], &i->imm, sizeof i->imm);
	for (unsigned x = 0; x < 3; x++)
		words[n++] = key_of_idx(k, i->idx[x]);
	for (uint32_t x = 0; x < i->nin; x++) {
		uint32_t v = i->in[x].val;

		if (v != RN_NONE && !k->val[v])
			return 0;
		words[n++] = v == RN_NONE ? 0 : k->val[v];
		words[n++] = key_of_idx(k, i->in[x].fmap);
		words[n++] = v == RN_NONE ? 0 : (uint64_t)k->p->vals[v].rank << 32 |
							k->p->vals[v].dim[0];
	}
	return rn_hash64(words, n * sizeof *words) | 1;
}

/* What large wanted values are made of. */
static void mark_cone(const struct rn_prog *p, const bool *fixed, const bool *wanted, bool *cone,
		      bool *any)
{
	for (uint32_t v = 0; v < p->nvals; v++)
		if (wanted[v] && is_large(&p->vals[v]))
			cone[v] = *any = true;
	for (uint32_t j = p->ninsts; j-- > 0;) {
		const struct rn_inst *i = &p->insts[j];

		if (!rn_pass_present(p, j) || rn_pass_is_step(i) || !cone[i->out])
			continue;
		for (uint32_t k = 0; k < i->nin; k++)
			if (i->in[k].val != RN_NONE && fixed[i->in[k].val])
				cone[i->in[k].val] = true;
	}
}

int rn_folded_keys(const struct rn_prog *p, const bool *fixed, const bool *wanted, uint64_t **keys,
		   bool *any, struct rn_err *e)
{
	struct keys k = { .p = p };
	bool *cone;
	int rc;

	*any = false;
	RN_TRY(rn_calloc(p->nvals, sizeof *cone, "fingerprints", &cone, e));
	RN_GOTO(out, rn_calloc(p->nvals, sizeof *k.val, "fingerprints", &k.val, e));
	RN_GOTO(out, rn_calloc(p->nidx, sizeof *k.idx, "fingerprints", &k.idx, e));
	mark_cone(p, fixed, wanted, cone, any);
	for (uint32_t v = 0; v < p->nvals; v++)
		if (cone[v] && p->vals[v].kind == RN_V_CONST)
			k.val[v] = key_of_const(&p->vals[v]);
	for (uint32_t j = 0; j < p->ninsts; j++)
		if (rn_pass_present(p, j) && !rn_pass_is_step(&p->insts[j]) && cone[p->insts[j].out])
			k.val[p->insts[j].out] = key_of_inst(&k, &p->insts[j]);
out:
	free(cone);
	free(k.idx);
	if (rc)
		free(k.val);
	else
		*keys = k.val;
	return rc;
}

struct rn_buf *rn_folded_find(const struct rn_folded *f, uint64_t key, const struct rn_val *v)
{
	for (size_t k = 0; key && k < f->n; k++)
		if (f->items[k].key == key && f->items[k].rows == v->rows &&
		    f->items[k].width == v->width)
			return f->items[k].data;
	return NULL;
}

int rn_folded_add(struct rn_folded *f, uint64_t key, const struct rn_val *v, struct rn_buf *data,
		  struct rn_err *e)
{
	if (!key || !is_large(v) || rn_folded_find(f, key, v))
		return 0;
	RN_TRY(rn_grow(&f->items, &f->cap, f->n + 1, sizeof *f->items, "folded values", e));
	f->items[f->n++] = (struct rn_folded_item){ key, v->rows, v->width, rn_buf_ref(data) };
	return 0;
}

void rn_folded_trim(struct rn_folded *f)
{
	size_t n = 0;

	for (size_t k = 0; k < f->n; k++) {
		if (f->items[k].data->refs == 1)
			rn_buf_unref(f->items[k].data);
		else
			f->items[n++] = f->items[k];
	}
	f->n = n;
}

void rn_folded_fini(struct rn_folded *f)
{
	for (size_t k = 0; k < f->n; k++)
		rn_buf_unref(f->items[k].data);
	free(f->items);
	memset(f, 0, sizeof *f);
}
