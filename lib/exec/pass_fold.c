/* SPDX-License-Identifier: Apache-2.0
 *
 * Fold: what depends on no parameter and no random draw is run once, in
 * float32, and its results become constants.  Segment sums of gathered rows are
 * recognised first (pass_sparse.c), so that no product per edge is kept as a
 * constant; within a stage only, so that a plan gives the same bits when other
 * processes ran a part of it.  Numbers (RN_EW_IMM) stay instructions: gradients and fusion read
 * them.  A view of a constant shares its data, and programs share what they fold alike.
 */
#include "folded.h"
#include "pass_util.h"

#include "../dev/machine.h"

#include <stdlib.h>
#include <string.h>

struct fold {
	struct rn_prog *p;
	const struct rn_plan *plan; /* NULL: errors name no stage */
	bool *fixed;  /* needs no parameter and no draw */
	bool *wanted; /* … and something that is not fixed reads it */
	struct rn_prog q; /* the instructions that make them */
	uint32_t *at;     /* value of p -> value of q */
	struct rn_folded *folded; /* NULL: nothing is shared */
	uint64_t *keys;           /* … by these; NULL: nothing is large enough */
	struct rn_buf **made;     /* memory for wanted values of p, where the backend works in ours */
	void **mem;               /* the same by value of q */
};

static bool is_fixed(const struct fold *f, const struct rn_inst *i)
{
	if (rn_pass_is_step(i) || i->elem.ndrops ||
	    (i->op == RN_P_EW && i->fn == RN_EW_DROPMASK))
		return false;
	for (uint32_t k = 0; k < i->nin; k++)
		if (i->in[k].val != RN_NONE && !f->fixed[i->in[k].val])
			return false;
	return true;
}

/* A value that must be there after folding: of a view, what it is a view of. */
static void want(struct fold *f, uint32_t v)
{
	const struct rn_val *x;

	for (x = &f->p->vals[v]; x->kind == RN_V_INST; x = &f->p->vals[v]) {
		if (rn_pass_is_imm(f->p, v) && !x->keep)
			return;
		f->wanted[v] = true;
		if (f->p->insts[x->inst].op != RN_P_VIEW)
			return;
		v = f->p->insts[x->inst].in[0].val;
	}
}

static uint32_t find(struct fold *f)
{
	uint32_t n = 0;

	memset(f->wanted, 0, f->p->nvals * sizeof *f->wanted);
	for (uint32_t v = 0; v < f->p->nvals; v++)
		f->fixed[v] = f->p->vals[v].kind == RN_V_CONST;
	for (uint32_t j = 0; j < f->p->ninsts; j++)
		if (rn_pass_present(f->p, j) && !rn_pass_is_step(&f->p->insts[j]))
			f->fixed[f->p->insts[j].out] = is_fixed(f, &f->p->insts[j]);
	for (uint32_t j = 0; j < f->p->ninsts; j++) {
		const struct rn_inst *i = &f->p->insts[j];

		if (!rn_pass_present(f->p, j) || (!rn_pass_is_step(i) && f->fixed[i->out]))
			continue;
		for (uint32_t k = 0; k < i->nin; k++)
			if (i->in[k].val != RN_NONE && f->fixed[i->in[k].val])
				want(f, i->in[k].val);
	}
	for (uint32_t v = 0; v < f->p->nvals; v++) {
		if (f->p->vals[v].keep && f->fixed[v])
			want(f, v);
		n += f->wanted[v];
	}
	return n;
}

/* A program of the fixed instructions alone; it shares data and arrays with p. */
static int extract(struct fold *f, struct rn_err *e)
{
	struct rn_prog *q = &f->q, *p = f->p;
	uint32_t **live, n = 0;
	int rc;

	RN_TRY(rn_grow(&q->vals, &q->cap_vals, p->nvals, sizeof *q->vals, "folding", e));
	RN_TRY(rn_grow(&q->insts, &q->cap_insts, p->ninsts, sizeof *q->insts, "folding", e));
	RN_TRY(rn_grow(&q->idx, &q->cap_idx, p->nidx, sizeof *q->idx, "folding", e));
	RN_TRY(rn_calloc(p->nvals, sizeof *live, "folding", &live, e));
	for (; q->nidx < p->nidx; q->nidx++) {
		q->idx[q->nidx] = p->idx[q->nidx];
		rn_buf_ref(q->idx[q->nidx].data);
	}
	for (; q->nvals < p->nvals; q->nvals++) {
		struct rn_val *v = &q->vals[q->nvals];

		*v = p->vals[q->nvals];
		rn_buf_ref(v->data);
		v->keep = f->wanted[q->nvals];
		f->at[q->nvals] = q->nvals;
		if (v->keep)
			live[n++] = &f->at[q->nvals];
	}
	for (uint32_t j = 0; j < p->ninsts; j++)
		if (rn_pass_present(p, j) && !rn_pass_is_step(&p->insts[j]) &&
		    f->fixed[p->insts[j].out]) {
			q->insts[q->ninsts] = p->insts[j];
			q->vals[p->insts[j].out].inst = q->ninsts++;
		}
	RN_GOTO(out, rn_pass_sweep(q, live, n, e));
	RN_GOTO(out, rn_pass_fuse(q, false, e)); /* no value per edge here either */
	rc = rn_pass_sweep(q, live, n, e);
out:
	free(live);
	return rc;
}

static void become(struct rn_val *x, struct rn_buf *data)
{
	x->kind = RN_V_CONST;
	x->data = data;
	x->inst = RN_NONE;
	x->diff = x->random = false;
}

/* What another program folded already is not run again; *any: there was something. */
static void take_folded(struct fold *f, bool *any)
{
	*any = false;
	for (uint32_t v = 0; f->keys && v < f->p->nvals; v++) {
		struct rn_val *x = &f->p->vals[v];
		struct rn_buf *data;

		if (!f->wanted[v] || x->kind != RN_V_INST)
			continue;
		data = rn_folded_find(f->folded, f->keys[v], x);
		if (!data)
			continue;
		become(x, rn_buf_ref(data));
		*any = true;
	}
}

static bool is_view_of_const(const struct fold *f, const struct rn_inst *i)
{
	return i->op == RN_P_VIEW && f->p->vals[i->in[0].val].kind == RN_V_CONST;
}

static bool is_taken(const struct fold *f, uint32_t j)
{
	return rn_pass_present(f->p, j) && f->wanted[f->p->insts[j].out] &&
	       f->p->vals[f->p->insts[j].out].kind == RN_V_INST;
}

/* Where the wanted values are made: in buffers that they keep. */
static int make_room(struct fold *f, struct rn_err *e)
{
	RN_TRY(rn_calloc(f->p->nvals, sizeof *f->made, "folding", &f->made, e));
	RN_TRY(rn_calloc(f->q.nvals, sizeof *f->mem, "folding", &f->mem, e));
	for (uint32_t j = 0; j < f->p->ninsts; j++) {
		const struct rn_inst *i = &f->p->insts[j];
		const struct rn_val *x = &f->p->vals[i->out];

		if (!is_taken(f, j) || i->op == RN_P_VIEW)
			continue;
		RN_TRY(rn_buf_new_raw((size_t)x->rows * x->width * sizeof(float),
				      "a folded value", &f->made[i->out], e));
		f->mem[f->at[i->out]] = f->made[i->out]->data;
	}
	return 0;
}

static int take(struct fold *f, struct rn_backend *b, struct rn_machine *m, uint32_t v,
		struct rn_err *e)
{
	struct rn_val *x = &f->p->vals[v];
	size_t bytes, need = (size_t)x->rows * x->width * sizeof(float);
	const struct rn_inst *i = &f->p->insts[x->inst];
	struct rn_buf *buf;
	void *mem;
	int rc = 0;

	if (is_view_of_const(f, i)) {
		become(x, rn_buf_ref(f->p->vals[i->in[0].val].data));
		return 0;
	}
	if (f->made && f->made[v]) {
		buf = f->made[v];
		f->made[v] = NULL;
	} else {
		RN_TRY(rn_buf_new_raw(need, "a folded value", &buf, e));
		mem = rn_machine_ptr(m, f->at[v], &bytes);
		if (need)
			rc = b->copy_out(b, buf->data, mem, need, e);
	}
	if (!rc && f->keys)
		rc = rn_folded_add(f->folded, f->keys[v], x, buf, e);
	if (rc) {
		rn_buf_unref(buf);
		return rc;
	}
	become(x, buf);
	return 0;
}

/* Whose instruction it was, if that is known. */
static int name_stage(const struct fold *f, const struct rn_machine *m, int rc, struct rn_err *e)
{
	uint32_t i = rc == RN_EDEV && f->plan ? rn_machine_failed(m) : RN_NONE;
	const struct rn_node *n;

	if (i == RN_NONE)
		return rc;
	n = &f->plan->nodes[f->q.insts[i].stage];
	return rn_err_prefix(e, rc, "stage '%s' (%s)", n->name, n->op->name);
}

static int run(struct fold *f, struct rn_backend *b, struct rn_err *e)
{
	struct rn_machine *m = NULL;
	int rc;

	RN_TRY(extract(f, e));
	if (b->host)
		RN_GOTO(out, make_room(f, e));
	RN_GOTO(out, rn_machine_new(&f->q, b, RN_F32, NULL, NULL, f->mem, &m, e));
	rc = name_stage(f, m, rn_machine_run(m, 0, f->q.ninsts, 0, e), e);
	/* In order of the instructions: views come behind what they show. */
	for (uint32_t j = 0; j < f->p->ninsts && !rc; j++)
		if (is_taken(f, j))
			rc = take(f, b, m, f->p->insts[j].out, e);
out:
	rn_machine_free(m);
	for (uint32_t v = 0; f->made && v < f->p->nvals; v++)
		rn_buf_unref(f->made[v]);
	free(f->made);
	free(f->mem);
	return rc;
}

/* Find what to fold, less what is there already; *any: there is something. */
static int find_new(struct fold *f, bool *any, struct rn_err *e)
{
	bool large;

	*any = find(f);
	if (!*any || !f->folded)
		return 0;
	RN_TRY(rn_folded_keys(f->p, f->fixed, f->wanted, &f->keys, &large, e));
	if (!large) {
		free(f->keys);
		f->keys = NULL;
		return 0;
	}
	take_folded(f, &large);
	if (large) /* what it was made of may be wanted no more; holes stay to be buried */
		(void)find(f);
	return 0;
}

static int open_fold(struct fold *f, struct rn_err *e)
{
	uint32_t n = f->p->nvals;

	rn_prog_init(&f->q);
	RN_TRY(rn_calloc(n, sizeof *f->fixed, "folding", &f->fixed, e));
	RN_TRY(rn_calloc(n, sizeof *f->wanted, "folding", &f->wanted, e));
	return rn_calloc(n, sizeof *f->at, "folding", &f->at, e);
}

static void close_fold(struct fold *f)
{
	rn_prog_fini(&f->q);
	free(f->keys);
	free(f->at);
	free(f->wanted);
	free(f->fixed);
}

int rn_pass_fold_shared(const struct rn_optimize *o, struct rn_prog *p, struct rn_err *e)
{
	struct fold f = { .p = p, .plan = o->plan, .folded = o->folded };
	bool *live = NULL, any;
	int rc;

	RN_TRY(rn_pass_sparse_within(p, e));
	RN_GOTO(out, open_fold(&f, e));
	RN_GOTO(out, find_new(&f, &any, e));
	if (any) {
		RN_GOTO(out, run(&f, o->backend, e));
		RN_GOTO(out, rn_calloc(p->nvals, sizeof *live, "folding", &live, e));
		memset(live, true, p->nvals * sizeof *live);
		rc = rn_pass_bury(p, live, e); /* the holes only */
	}
out:
	free(live);
	close_fold(&f);
	return rc;
}

int rn_pass_fold_size(struct rn_prog *p, uint64_t *bytes, struct rn_err *e)
{
	struct fold f = { .p = p };
	int rc;

	*bytes = 0;
	RN_TRY(rn_pass_sparse_within(p, e));
	RN_GOTO(out, open_fold(&f, e));
	if (!find(&f))
		goto out;
	RN_GOTO(out, extract(&f, e));
	rc = rn_machine_slab(&f.q, RN_F32, NULL, bytes, e);
out:
	close_fold(&f);
	return rc;
}

int rn_pass_fold(struct rn_prog *p, struct rn_backend *b, struct rn_err *e)
{
	const struct rn_optimize o = { .backend = b };

	return rn_pass_fold_shared(&o, p, e);
}
