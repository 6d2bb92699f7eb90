/* SPDX-License-Identifier: Apache-2.0
 *
 * Recompute: a large value that is cheap to make and lies idle between the forward and
 * the backward phase is made again where it is next read, so that its memory is free in
 * between.  What it is made of must be there at that time anyway.  No bit changes: the
 * second run is the first one's instruction, and draws depend on nothing but the epoch.
 *
 * Done value by value, largest first, for as long as there is one at the instruction
 * that needs most memory.
 */
#include "pass_util.h"

#include <stdlib.h>
#include <string.h>

struct life {
	uint64_t bytes;
	uint32_t from, to; /* first and last instruction that need it */
	bool over;         /* the last one writes its result in its place (machine.h) */
};

struct recompute {
	struct rn_prog *p;
	struct life *life; /* by value; of a view: of what it shows */
	size_t cap;
	uint32_t steps;    /* the first optimizer step, which changes what is read */
};

static void note_use(struct recompute *r, uint32_t val, uint32_t j)
{
	uint32_t v = val == RN_NONE ? RN_NONE : rn_prog_root(r->p, val);

	if (v != RN_NONE && r->life[v].to < j)
		r->life[v].to = j;
}

/* May instruction j, elementwise, write its result over operand k?  That dies then, and no other
 * operand lies there and is read in another order. */
static bool is_overwritten(const struct recompute *r, uint32_t j, uint32_t k)
{
	const struct rn_prog *p = r->p;
	const struct rn_inst *i = &p->insts[j];
	const struct rn_val *o = &p->vals[i->out], *v;
	uint32_t at;

	if (i->in[k].val == RN_NONE || i->in[k].fmap != RN_NONE || i->in[k].rmap != RN_NONE)
		return false;
	v = &p->vals[i->in[k].val];
	at = rn_prog_root(p, i->in[k].val);
	if (v->kind != RN_V_INST || p->vals[at].kind != RN_V_INST || v->index ||
	    v->rows != o->rows || v->width != o->width || r->life[at].to != j)
		return false;
	for (uint32_t x = 0; x < i->nin; x++)
		if (x != k && i->in[x].val != RN_NONE && rn_prog_root(p, i->in[x].val) == at &&
		    (i->in[x].fmap != RN_NONE || i->in[x].rmap != RN_NONE))
			return false;
	return true;
}

static void find_overwritten(struct recompute *r)
{
	for (uint32_t j = 0; j < r->p->ninsts; j++) {
		const struct rn_inst *i = &r->p->insts[j];

		if ((i->op != RN_P_EW && i->op != RN_P_ELEM) || !rn_pass_present(r->p, j))
			continue;
		for (uint32_t k = 0; k < i->nin; k++)
			if (is_overwritten(r, j, k)) {
				r->life[rn_prog_root(r->p, i->in[k].val)].over = true;
				break;
			}
	}
}

static int find_lives(struct recompute *r, struct rn_err *e)
{
	const struct rn_prog *p = r->p;

	RN_TRY(rn_grow(&r->life, &r->cap, p->nvals, sizeof *r->life, "the lives of values", e));
	memset(r->life, 0, p->nvals * sizeof *r->life);
	r->steps = p->ninsts;
	for (uint32_t j = 0; j < p->ninsts; j++) {
		const struct rn_inst *i = &p->insts[j];
		const struct rn_val *v = &p->vals[i->out];

		if (!rn_pass_present(p, j))
			continue;
		if (rn_pass_is_step(i))
			r->steps = j < r->steps ? j : r->steps;
		else if (i->op != RN_P_VIEW)
			r->life[i->out] =
				(struct life){ (uint64_t)v->rows * v->width * sizeof(float), j,
					       v->keep ? p->ninsts : j, false };
		else if (v->keep)
			r->life[rn_prog_root(p, i->out)].to = p->ninsts;
		for (uint32_t k = 0; k < i->nin; k++)
			note_use(r, i->in[k].val, j);
	}
	find_overwritten(r);
	return 0;
}

/* The instruction at which the most bytes are live. */
static uint32_t find_peak(const struct recompute *r, uint64_t *bytes, int64_t *change)
{
	const struct rn_prog *p = r->p;
	int64_t now = 0, most = 0;
	uint32_t at = 0;

	memset(change, 0, ((size_t)p->ninsts + 2) * sizeof *change);
	for (uint32_t v = 0; v < p->nvals; v++) {
		change[r->life[v].from] += (int64_t)r->life[v].bytes;
		change[r->life[v].to + !r->life[v].over] -= (int64_t)r->life[v].bytes;
	}
	for (uint32_t j = 0; j < p->ninsts; j++) {
		now += change[j];
		if (now > most) {
			most = now;
			at = j;
		}
	}
	*bytes = (uint64_t)most;
	return at;
}

static int peak_of(struct recompute *r, uint64_t *bytes, uint32_t *at, struct rn_err *e)
{
	int64_t *change;

	RN_TRY(find_lives(r, e));
	RN_TRY(rn_calloc((size_t)r->p->ninsts + 2, sizeof *change, "the lives of values", &change, e));
	*at = find_peak(r, bytes, change);
	free(change);
	return 0;
}

static bool is_cheap(const struct rn_inst *i)
{
	switch (i->op) {
	case RN_P_EW:
	case RN_P_ELEM:
	case RN_P_GATHER:
	case RN_P_CONCAT:
		return true;
	default:
		return false;
	}
}

/* The uses of v around instruction `at`: is there one before (or v is made before), and
 * where is the next?  False: one of them is at it, or through a view, or the next is so near
 * that there would be no less to hold. */
static bool find_gap(const struct recompute *r, uint32_t v, uint32_t at, uint32_t *next)
{
	const struct rn_prog *p = r->p;

	*next = RN_NONE;
	for (uint32_t j = r->life[v].from + 1; j <= r->life[v].to && j < p->ninsts; j++) {
		const struct rn_inst *i = &p->insts[j];

		for (uint32_t k = 0; rn_pass_present(p, j) && k < i->nin; k++) {
			if (i->in[k].val == RN_NONE || rn_prog_root(p, i->in[k].val) != v)
				continue;
			if (j == at || (j > at && (i->in[k].val != v || i->op == RN_P_VIEW)))
				return false;
			if (j > at && *next == RN_NONE)
				*next = j;
		}
	}
	return *next != RN_NONE && *next > at + 1;
}

/* Is all that v is made of there when instruction `at` runs? */
static bool inputs_live(const struct recompute *r, uint32_t v, uint32_t at)
{
	const struct rn_inst *i = &r->p->insts[r->p->vals[v].inst];

	for (uint32_t k = 0; k < i->nin; k++) {
		uint32_t in = i->in[k].val == RN_NONE ? RN_NONE : rn_prog_root(r->p, i->in[k].val);

		if (in != RN_NONE && r->p->vals[in].kind == RN_V_INST && r->life[in].to < at)
			return false;
	}
	return at < r->steps;
}

/* The largest value that can be made again behind `at`. */
static uint32_t choose(const struct recompute *r, uint32_t at, uint64_t min, uint32_t *next)
{
	uint32_t best = RN_NONE;

	for (uint32_t v = 0; v < r->p->nvals; v++) {
		const struct life *l = &r->life[v];
		uint32_t use;

		if (l->bytes < min || l->from >= at || l->to <= at || r->p->vals[v].keep ||
		    r->p->vals[v].kind != RN_V_INST ||
		    (best != RN_NONE && l->bytes <= r->life[best].bytes) ||
		    !is_cheap(&r->p->insts[r->p->vals[v].inst]))
			continue;
		if (!find_gap(r, v, at, &use) || !inputs_live(r, v, use))
			continue;
		best = v;
		*next = use;
	}
	return best;
}

/* A second instruction for v before instruction `at`, for what reads it from there on. */
static int make_again(struct rn_prog *p, uint32_t v, uint32_t at, struct rn_err *e)
{
	struct rn_inst i = p->insts[p->vals[v].inst];
	uint32_t stage = p->stage, again;
	struct rn_drop *drops;

	if (rn_prim_is_fused(i.op) && i.elem.ndrops) { /* sweeping numbers each one's arrays anew */
		drops = rn_arena_alloc(&p->arena, i.elem.ndrops * sizeof *drops, e);
		if (!drops)
			return RN_ENOMEM;
		memcpy(drops, i.elem.drops, i.elem.ndrops * sizeof *drops);
		i.elem.drops = drops;
	}
	p->stage = i.stage;
	again = rn_prog_add(p, &i, p->vals[v].rows, p->vals[v].rank, p->vals[v].dim, e);
	p->stage = stage;
	if (again == RN_NONE)
		return e->code;
	p->vals[again].diff = p->vals[v].diff;
	p->vals[again].random = p->vals[v].random;
	i = p->insts[p->ninsts - 1];
	memmove(&p->insts[at + 1], &p->insts[at], (p->ninsts - 1 - at) * sizeof i);
	p->insts[at] = i;
	for (uint32_t j = p->ninsts; j-- > at;) {
		struct rn_val *out = &p->vals[p->insts[j].out];

		/* holes stay holes: their value's instruction is elsewhere */
		if (j == at || (out->kind == RN_V_INST && out->inst == j - 1))
			out->inst = j;
		for (uint32_t k = 0; j > at && k < p->insts[j].nin; k++)
			if (p->insts[j].in[k].val == v)
				p->insts[j].in[k].val = again;
	}
	return 0;
}

int rn_prog_peak(struct rn_prog *p, uint64_t *bytes, uint32_t *at, struct rn_err *e)
{
	struct recompute r = { .p = p };
	int rc = peak_of(&r, bytes, at, e);

	free(r.life);
	return rc;
}

int rn_prog_largest(struct rn_prog *p, uint32_t at, uint32_t *vals, uint32_t most, uint32_t *n,
		    struct rn_err *e)
{
	struct recompute r = { .p = p };
	int rc = find_lives(&r, e);

	*n = 0;
	for (uint32_t v = 0; v < p->nvals && !rc; v++) {
		const struct life *l = &r.life[v];
		uint32_t k;

		if (!l->bytes || l->from > at || l->to < at || (l->over && l->to == at))
			continue;
		for (k = *n; k > 0 && r.life[vals[k - 1]].bytes < l->bytes; k--)
			if (k < most)
				vals[k] = vals[k - 1];
		if (k < most)
			vals[k] = v;
		*n += *n < most;
	}
	free(r.life);
	return rc;
}

int rn_pass_recompute(struct rn_prog *p, uint64_t min, uint32_t *count, struct rn_err *e)
{
	struct recompute r = { .p = p };
	struct rn_err local;
	uint32_t most = p->ninsts; /* it ends anyway */
	int rc = 0;

	e = e ? e : &local;
	while (most--) {
		uint32_t at, next, v;
		uint64_t bytes;

		rc = peak_of(&r, &bytes, &at, e);
		v = rc ? RN_NONE : choose(&r, at, min, &next);
		if (v == RN_NONE)
			break;
		rc = make_again(p, v, next, e);
		if (rc)
			break;
		++*count;
	}
	free(r.life);
	return rc;
}
