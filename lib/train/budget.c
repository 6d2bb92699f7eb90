/* SPDX-License-Identifier: Apache-2.0
 *
 * What the runs of a session need in memory at the same time.
 *
 * Programs of fits, validations and evaluations are made before the first epoch and kept to the end, and
 * with them their constants and index arrays (each counts once), the parameters with their copies,
 * optimizer slots and what is evaluated.  Their results are not: those of all that are run in this
 * process lie in one room (machine.h).  The processes of a staged fit and of its validation have
 * results of their own, and copies of arrays.  Predictions are made when no program is there any
 * more.  What rests on predictions (late.h) has no rows before, and is not counted; neither are relations.
 *
 * On a device constants and index arrays are copies of each machine, which is made when it is
 * first run.  Processes of a staged placement look after their own devices.
 */
#include "session.h"

#include "../exec/folded.h"
#include "cut.h"
#include "need.h"

#include <malloc.h>
#include <stdlib.h>

/* A program, and when it has a machine: from so many fits that are done to so many. */
struct claim {
	struct rn_need need;
	uint32_t from, to;
	bool here;        /* in this process, where results share a room */
	bool pred;        /* a prediction, made when no program is there */
	uint64_t results; /* bytes; of processes: all that they have of their own */
	uint64_t scratch; /* here */
	struct rn_prog_fixed fixed;
};

struct budget {
	struct rn_session *s;
	struct claim *items;
	uint32_t n;
	/* What a claim takes if it is the only one: of the host's memory, or of a device's. */
	uint64_t (*alone)(const struct budget *b, const struct claim *c);
	uint64_t limit, most; /* bytes; most: at once */
	const struct claim *blamed; /* NULL: nobody yet */
};

/* ---- sizes ------------------------------------------------------------------------------- */

static uint64_t slots_of(const struct rn_fit *f)
{
	uint64_t n = 0;

	for (uint32_t i = 0; f->states && i < f->states->n; i++)
		n += f->states->items[i].count;
	return n * sizeof(float);
}

/* All copies of the parameters: in the table and the store, of the best epoch, of the best run, and
 * between fits. */
static uint64_t params_of(const struct rn_session *s)
{
	uint64_t copies = 2 + (s->runs > 1) + rn_marks_copies(s), val = 0;

	for (uint32_t i = 0; i < s->nfits; i++)
		val |= s->val_runs[i] != NULL;
	return (copies + val) * rn_params_count(&s->params) * sizeof(float);
}

static int claim_here(struct budget *b, struct claim *c, struct rn_err *e)
{
	c->here = true;
	c->scratch = rn_need_scratch(c->need.prog, b->s->backend, NULL, 0);
	RN_TRY(rn_prog_fixed(c->need.prog, &c->fixed, e));
	return rn_machine_slab(c->need.prog, RN_F32, NULL, &c->results, e);
}

/* Values that cross the cut lie in memory that all processes share, others in a slab of their part. */
static int claim_cut(struct budget *b, struct claim *c, const struct rn_cut *cut, struct rn_err *e)
{
	const struct rn_prog *p = c->need.prog;
	bool *elsewhere;
	uint64_t slab;
	int rc;

	c->results = cut->size;
	RN_TRY(rn_prog_fixed(p, &c->fixed, e));
	RN_TRY(rn_calloc(p->nvals, sizeof *elsewhere, "stages", &elsewhere, e));
	for (uint32_t q = 0; q < cut->nparts; q++) {
		for (uint32_t v = 0; v < p->nvals; v++) {
			uint32_t root = rn_cut_root(p, v);

			elsewhere[v] = p->vals[root].kind == RN_V_INST &&
				       (cut->place[root] != RN_UNSHARED ||
					cut->part_of[p->vals[root].inst] != q);
		}
		RN_GOTO(out, rn_machine_slab(p, RN_F32, elsewhere, &slab, e));
		c->results += slab + rn_need_scratch(p, b->s->backend, cut->part_of, q);
	}
	rc = 0;
out:
	free(elsewhere);
	return rc;
}

/* A fit in processes of its own, which also keep its optimizer slots, and its validation. */
static int claim_staged(struct budget *b, uint32_t k, struct claim *fit, struct claim *val,
			struct rn_err *e)
{
	struct rn_session *s = b->s;
	struct rn_forward *f = &s->vals[k].forward;
	struct rn_cut cut, like = { 0 };
	int rc;

	RN_TRY(rn_cut_make(&s->fits[k], rn_binding_plan(s->binding), s->conf->stages, 0, &cut, e));
	RN_GOTO(out, claim_cut(b, fit, &cut, e));
	fit->results += slots_of(&s->fits[k]);
	if (!val)
		goto out;
	if (f->prog.vals[rn_cut_root(&f->prog, f->val)].kind != RN_V_INST) {
		rc = claim_here(b, val, e);
		goto out;
	}
	val->to = k;
	RN_GOTO(out, rn_cut_like(&cut, &f->prog, f->val, &like, e));
	rc = claim_cut(b, val, &like, e);
out:
	rn_cut_fini(&like);
	rn_cut_fini(&cut);
	return rc;
}

static int claim_fit(struct budget *b, uint32_t k, struct rn_err *e)
{
	struct rn_session *s = b->s;
	struct claim *fit = &b->items[b->n++], *val = s->val_runs[k] ? &b->items[b->n++] : NULL;

	*fit = (struct claim){ .need = rn_fit_need(&s->fits[k]), .from = k, .to = k };
	if (val && s->backend->watch_bytes && s->conf->placement != RN_STAGED)
		s->vals[k].watch = s->backend->watch_bytes(s->backend, &s->vals[k].gauge) +
				   rn_params_count(&s->params) * sizeof(float);
	if (val)
		*val = (struct claim){ .need = rn_score_need(&s->vals[k], "val"), .from = k,
				       .to = s->nfits };
	if (s->conf->placement == RN_STAGED) /* of its own devices each process sees itself */
		return s->backend->host && b->limit ? claim_staged(b, k, fit, val, e) : 0;
	RN_TRY(claim_here(b, fit, e));
	return val ? claim_here(b, val, e) : 0;
}

static int claim_all(struct budget *b, struct rn_err *e)
{
	struct rn_session *s = b->s;

	b->n = 0;
	for (uint32_t k = 0; k < s->nfits; k++)
		RN_TRY(claim_fit(b, k, e));
	for (uint32_t i = 0, k = 0; i < s->plan->nruns; i++) {
		const struct rn_run *r = &s->plan->runs[i];
		struct claim *c = &b->items[b->n];

		if (r->kind != RN_RUN_EVAL)
			continue;
		*c = (struct claim){ .need = rn_score_need(&s->evals[k++], "eval"),
				     .from = rn_fits_before(s->plan, r), .to = s->nfits };
		b->n++;
		RN_TRY(claim_here(b, c, e));
	}
	s->room = 0;
	for (uint32_t i = 0; i < b->n; i++)
		if (b->items[i].here && b->items[i].results > s->room)
			s->room = b->items[i].results;
	return 0;
}

/* A prediction whose rows are known, once what was trained is all that is left. */
static int claim_pred(struct budget *b, uint32_t node, struct rn_prog *p, struct claim *c,
		      struct rn_err *e)
{
	struct rn_session *s = b->s;

	*c = (struct claim){ .need = { "pred", s->plan->nodes[node].name, p, 0, 0, 0 }, .here = true,
			     .pred = true };
	RN_TRY(rn_binding_predict_size(s->binding, node, &s->params, p, &c->results, e));
	c->need.nforward = c->need.nback = p->ninsts;
	c->scratch = rn_need_scratch(p, s->backend, NULL, 0);
	return rn_prog_fixed(p, &c->fixed, e);
}

/* The claim that is told of: the first that does not fit by itself, else the largest. */
static void blame(struct budget *b)
{
	uint64_t most = 0;

	for (uint32_t i = 0; i < b->n && most <= b->limit; i++) {
		uint64_t n = b->alone(b, &b->items[i]);

		if (n > most || !i)
			b->blamed = &b->items[i];
		most = n > most ? n : most;
	}
}

/* Predictions, too.  Where nobody else is blamed the first that does not fit is, as *worst, whose
 * program is *prog. */
static int add_preds(struct budget *b, struct claim *worst, struct rn_prog *prog, struct rn_err *e)
{
	struct rn_session *s = b->s;

	/* Where a store is, a repetition before this one has asked. */
	for (uint32_t i = 0; !s->store && i < s->early.nruns; i++) {
		struct rn_prog p;
		struct claim c;
		uint64_t n;
		int rc;

		if (s->early.runs[i].kind != RN_RUN_PRED)
			continue;
		rn_prog_init(&p);
		rc = claim_pred(b, s->early.runs[i].node, &p, &c, e);
		n = rc ? 0 : b->alone(b, &c);
		b->most = n > b->most ? n : b->most;
		if (n > b->limit && !b->blamed) {
			*prog = p;
			*worst = c;
			worst->need.prog = prog;
			b->blamed = worst;
		} else {
			rn_prog_fini(&p);
		}
		if (rc)
			return rn_err_prefix(e, rc, "pred of '%s'",
					     s->plan->nodes[s->early.runs[i].node].name);
	}
	return 0;
}

/* ---- the host ------------------------------------------------------------------------------ */

static uint64_t stored_with(const struct budget *b, const struct claim *c)
{
	uint64_t n = params_of(b->s);

	for (uint32_t k = 0; !c->pred && k < b->s->nfits; k++)
		n += slots_of(&b->s->fits[k]);
	return n;
}

static uint64_t alone_here(const struct budget *b, const struct claim *c)
{
	return c->results + c->scratch + c->fixed.constants + c->fixed.indices + stored_with(b, c);
}

/* What is there from the first epoch to the last: everything but results. */
static int standing(const struct budget *b, uint64_t *bytes, struct rn_err *e)
{
	struct rn_session *s = b->s;
	const struct rn_prog **progs;
	struct rn_prog_fixed x;
	size_t n = 0;
	int rc;

	*bytes = stored_with(b, b->items);
	for (uint32_t i = 0; i < s->nfits + s->nevals; i++) {
		const struct rn_score *v = i < s->nfits ? &s->vals[i] : &s->evals[i - s->nfits];
		const struct rn_forward *f = &v->forward;

		*bytes += f->rows * f->width * sizeof *f->out + rn_gauge_bytes(&v->gauge);
	}
	RN_TRY(rn_calloc(b->n, sizeof *progs, "the size of programs", &progs, e));
	for (uint32_t i = 0; i < b->n; i++) {
		const struct claim *c = &b->items[i];

		*bytes += c->scratch;
		if (c->here)
			progs[n++] = c->need.prog;
		else /* arrays that processes share with nobody else */
			*bytes += c->fixed.constants + c->fixed.indices;
	}
	rc = rn_progs_fixed(progs, n, &x, e);
	*bytes += x.constants + x.indices;
	free(progs);
	return rc;
}

/* The most results at once; t: while so many fits are done. */
static uint64_t results_at_once(const struct budget *b)
{
	uint64_t room = 0, most = 0;

	for (uint32_t t = 0; t <= b->s->nfits; t++) {
		uint64_t apart = 0;

		for (uint32_t i = 0; i < b->n; i++) {
			const struct claim *c = &b->items[i];

			if (c->from > t)
				continue;
			if (!c->here)
				apart += c->to >= t ? c->results : 0;
			else if (c->results)
				room = b->s->room;
		}
		most = room + apart > most ? room + apart : most;
	}
	return most;
}

static int sum_here(struct budget *b, struct rn_err *e)
{
	RN_TRY(claim_all(b, e));
	RN_TRY(standing(b, &b->most, e));
	b->most += results_at_once(b);
	return 0;
}

static int shorten(struct budget *b, struct rn_err *e)
{
	struct rn_session *s = b->s;

	for (uint32_t k = 0; k < s->nfits; k++)
		RN_TRY(rn_fit_shorten(&s->fits[k], &s->ctx, e));
	return 0;
}

static bool can_shorten(const struct rn_session *s)
{
	bool apart = s->conf->placement == RN_STAGED && s->conf->ndevice_map;

	return !apart && rn_rewrite_on(&s->ctx, RN_RW_RECOMPUTE);
}

static int check_here(struct budget *b, struct rn_err *e)
{
	struct rn_session *s = b->s;
	struct rn_prog prog;
	struct claim pred;
	int rc;

	RN_TRY(sum_here(b, e));
	if (!b->limit)
		return 0;
	rn_prog_init(&prog);
	if (b->most > b->limit && can_shorten(s)) {
		RN_TRY(shorten(b, e));
		RN_TRY(sum_here(b, e));
	}
	if (b->most > b->limit)
		blame(b);
	rc = add_preds(b, &pred, &prog, e);
	if (!rc && b->blamed) {
		const struct claim *c = b->blamed;
		struct rn_need_here n = { c->results + c->scratch, c->fixed.constants,
					  c->fixed.indices, stored_with(b, c), 0 };

		n.others = b->most - alone_here(b, c);
		rc = rn_need_refuse(&c->need, &n, s->conf->ctx, rn_binding_plan(s->binding), e);
	}
	rn_prog_fini(&prog);
	return rc;
}

/* ---- a device ------------------------------------------------------------------------------ */

static uint64_t arrays_there(const struct claim *c)
{
	const struct rn_prog *p = c->need.prog;
	uint64_t n = c->scratch + c->need.watch;

	for (uint32_t v = 0; v < p->nvals; v++)
		if (p->vals[v].kind == RN_V_CONST)
			n += (uint64_t)p->vals[v].rows * p->vals[v].width * sizeof(float);
	for (uint32_t i = 0; i < p->nidx; i++)
		n += p->idx[i].n * sizeof(uint32_t);
	return n;
}

static uint64_t alone_there(const struct budget *b, const struct claim *c)
{
	(void)b;
	return c->here ? c->results + arrays_there(c) : 0;
}

/* Beside the parameters, and the room that is there already. */
static int sum_there(struct budget *b, struct rn_err *e)
{
	uint64_t room = 0;

	RN_TRY(claim_all(b, e));
	b->most = 0;
	for (uint32_t t = 0; t <= b->s->nfits; t++) {
		uint64_t arrays = 0;

		for (uint32_t i = 0; i < b->n; i++) {
			const struct claim *c = &b->items[i];

			if (!c->here || c->from > t)
				continue;
			room = c->results ? b->s->room : room;
			arrays += c->to >= t ? arrays_there(c) : 0;
		}
		b->most = room + arrays > b->most ? room + arrays : b->most;
	}
	return 0;
}

/* Bytes that this run can have: the parameters may not be there yet, a room of the run before may. */
static int find_left(const struct rn_session *s, uint64_t *left, uint64_t *total, struct rn_err *e)
{
	uint64_t params = rn_params_count(&s->params) * sizeof(float);

	RN_TRY(s->backend->memory(s->backend, left, total, e));
	if (s->store && s->store->room)
		*left += s->store->room->size;
	else if (!s->store)
		*left -= params < *left ? params : *left;
	return 0;
}

static int check_there(struct budget *b, struct rn_err *e)
{
	struct rn_session *s = b->s;
	struct rn_prog prog;
	struct claim pred;
	uint64_t total;
	int rc;

	rn_prog_init(&prog);
	RN_TRY(find_left(s, &b->limit, &total, e));
	RN_TRY(sum_there(b, e));
	if (b->most > b->limit && can_shorten(s)) {
		RN_TRY(shorten(b, e));
		RN_TRY(sum_there(b, e));
	}
	if (b->most > b->limit)
		blame(b);
	rc = add_preds(b, &pred, &prog, e);
	if (!rc && b->blamed)
		rc = rn_need_lack(&b->blamed->need, b->most, b->limit, total, &s->ctx, s->backend,
				  rn_binding_plan(s->binding), e);
	rn_prog_fini(&prog);
	return rc;
}

int rn_budget_check(struct rn_session *s, struct rn_err *e)
{
	bool there = s->backend->memory;
	struct budget b = { .s = s, .alone = there ? alone_there : alone_here,
			    .limit = s->conf->ctx->mem_limit };
	int rc;

	RN_TRY(rn_calloc(2 * (size_t)s->nfits + s->nevals, sizeof *b.items, "the size of programs",
			 &b.items, e));
	rc = there ? check_there(&b, e) : check_here(&b, e);
	free(b.items);
	return rc;
}

/* ---- the room ------------------------------------------------------------------------------ */

void rn_budget_reserve(struct rn_session *s)
{
	struct rn_room *room;
	uint64_t bytes = 0;

	/* Without it each machine takes what it lacks, and tells if there is none. */
	if (s->room && !rn_room_take(s->store, s->backend, s->room, &room, &bytes, NULL))
		rn_room_unref(room);
}

void rn_budget_release(struct rn_session *s)
{
	if (s->store) {
		rn_room_unref(s->store->room);
		s->store->room = NULL;
	}
	rn_folded_trim(rn_binding_folded(s->binding));
	malloc_trim(0);
}
