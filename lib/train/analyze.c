/* SPDX-License-Identifier: Apache-2.0 */
#include "analyze.h"

#include "../base/json.h"
#include "../base/peak.h"
#include "cut.h"
#include "fit.h"
#include "score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What the instructions of one stage cost. */
struct cost {
	uint32_t insts, rows;
	double flops, bytes, seconds;
	uint64_t memory; /* the most that is live while one of them runs */
};

/* A plan that is bound: as it is run, or as it is written. */
struct side {
	struct rn_binding *binding;
	const struct rn_plan *plan; /* of the binding */
	struct rn_params params;
	struct rn_store *store;     /* of them */
};

struct analysis {
	const struct rn_analyze_conf *conf;
	struct rn_backend *backend;
	struct side run, written; /* written.binding: NULL where it is not bound */
	struct rn_ctx plain;      /* of written */
};

/* Of rows in one join, or of one result: binding a plan as it is written then takes a second or so. */
enum { WRITTEN_MEM = 64 << 20 };
/* And where epochs of it are run: of its program, unless --mem is given, and of an epoch (some
 * seconds of one processor). */
enum { TIMED_MEM = 1 << 30 };
#define TIMED_FLOPS 1e11

/* ---- the plan ------------------------------------------------------------------------------- */

/* Is node i of the rewritten plan one of the canonical plan? */
static bool is_added(const struct analysis *a, uint32_t i)
{
	for (uint32_t k = 0; k < a->conf->train.plan->nnodes; k++)
		if (rn_binding_node(a->run.binding, k) == i)
			return false;
	return true;
}

static int add_nodes(const struct analysis *a, json_t *o, struct rn_err *e)
{
	json_t *list;
	int rc = 0;

	RN_TRY(rn_json_array(&list, e));
	for (uint32_t i = 0; i < a->run.plan->nnodes && !rc; i++) {
		const struct rn_node *n = &a->run.plan->nodes[i];
		json_int_t rows = (json_int_t)rn_binding_count(a->run.binding, i);

		rc = rn_json_append(list,
				    json_pack("{s:s, s:s, s:b, s:I}", "name", n->name, "op",
					      n->op->name, "added", is_added(a, i), "rows", rows),
				    e);
	}
	if (rc)
		json_decref(list);
	return rc ? rc : rn_json_set(o, "nodes", list, e);
}

static int add_rewrites(const struct analysis *a, json_t *o, struct rn_err *e)
{
	json_t *list;
	int rc = 0;

	RN_TRY(rn_json_array(&list, e));
	for (const char *s = rn_binding_log(a->run.binding), *end; *s && !rc;
	     s = *end ? end + 1 : end) {
		end = strchrnul(s, '\n');
		rc = rn_json_append(list, json_stringn(s, (size_t)(end - s)), e);
	}
	if (rc)
		json_decref(list);
	return rc ? rc : rn_json_set(o, "rewrites", list, e);
}

/* Plan p of a side, whose node i is node of[i] of its binding (NULL: i); RN_NONE: nobody needs it.
 * o: what is known of its stages. */
static int print_plan(const struct analysis *a, const struct side *x, const struct rn_plan *p,
		      const uint32_t *of, const json_t *o, struct rn_str *out, struct rn_err *e)
{
	bool written = x == &a->written;
	struct rn_plan_dot dot = { .id = written ? "w" : "r",
				   .label = written ? "as it is written" : "as it is run" };
	struct rn_schema *schemas = NULL;
	uint64_t *rows = NULL;
	char **notes = NULL;
	int rc;

	RN_GOTO(out, rn_calloc(p->nnodes, sizeof *rows, "a plan", &rows, e));
	RN_GOTO(out, rn_calloc(p->nnodes, sizeof *schemas, "a plan", &schemas, e));
	for (uint32_t i = 0; i < p->nnodes; i++) {
		uint32_t k = of ? of[i] : i;

		rows[i] = k == RN_NONE ? UINT64_MAX : rn_binding_count(x->binding, k);
		if (k != RN_NONE)
			schemas[i] = *rn_binding_made_schema(x->binding, k); /* borrowed */
	}
	if (!a->conf->dot) {
		rc = rn_plan_explain(p, schemas, rows, out, e);
		goto out;
	}
	RN_GOTO(out, rn_analyze_notes(o, written, p, &notes, e));
	dot.schemas = schemas;
	dot.rows = rows;
	dot.notes = notes;
	rc = rn_plan_dot(p, &dot, out, e);
out:
	rn_analyze_notes_free(notes, p);
	free(schemas);
	free(rows);
	return rc;
}

static int print_written(const struct analysis *a, const json_t *o, struct rn_str *out,
			 struct rn_err *e)
{
	const struct rn_plan *p = a->conf->train.plan;
	uint32_t *of;
	int rc;

	RN_TRY(rn_calloc(p->nnodes, sizeof *of, "a plan", &of, e));
	for (uint32_t i = 0; i < p->nnodes; i++)
		of[i] = rn_binding_node(a->written.binding, i);
	rc = print_plan(a, &a->written, p, of, o, out, e);
	free(of);
	return rc;
}

/* ---- fits ----------------------------------------------------------------------------------- */

/* The bytes that are live while a stage's instructions run: results from where they are made to where they
 * are last read. */
static int add_memory(const struct rn_prog *p, struct cost *cost, struct rn_err *e)
{
	uint32_t *last; /* by value: 1 + the last instruction that reads it */
	int64_t *change, live = 0;
	int rc;

	RN_TRY(rn_calloc(p->nvals, sizeof *last, "a report", &last, e));
	rc = rn_calloc((size_t)p->ninsts + 1, sizeof *change, "a report", &change, e);
	if (rc) {
		free(last);
		return rc;
	}
	for (uint32_t i = 0; i < p->ninsts; i++) {
		last[rn_cut_root(p, p->insts[i].out)] = i + 1;
		for (uint32_t k = 0; k < p->insts[i].nin; k++)
			if (p->insts[i].in[k].val != RN_NONE)
				last[rn_cut_root(p, p->insts[i].in[k].val)] = i + 1;
	}
	for (uint32_t v = 0; v < p->nvals; v++) {
		const struct rn_val *x = &p->vals[v];
		int64_t size = (int64_t)x->rows * x->width * (int64_t)sizeof(float);

		if (x->kind != RN_V_INST || p->insts[x->inst].op == RN_P_VIEW)
			continue;
		change[x->inst] += size;
		change[x->keep ? p->ninsts : last[v]] -= size;
	}
	for (uint32_t i = 0; i < p->ninsts; i++) {
		struct cost *c = &cost[p->insts[i].stage];

		live += change[i];
		if ((uint64_t)live > c->memory)
			c->memory = (uint64_t)live;
	}
	free(change);
	free(last);
	return 0;
}

static int add_costs(const struct rn_prog *p, struct cost *cost, struct rn_err *e)
{
	for (uint32_t i = 0; i < p->ninsts; i++) {
		struct cost *c = &cost[p->insts[i].stage];
		double flops, bytes;

		if (p->insts[i].op == RN_P_VIEW)
			continue;
		rn_inst_cost(p, &p->insts[i], &flops, &bytes);
		c->insts++;
		c->flops += flops;
		c->bytes += bytes;
		if (p->vals[p->insts[i].out].rows > c->rows)
			c->rows = p->vals[p->insts[i].out].rows;
	}
	return add_memory(p, cost, e);
}

/* One epoch; seconds of each stage's instructions are added to took[]. */
static int run_epoch(const struct rn_fit *f, struct rn_machine *m, uint32_t epoch, double *took,
		     struct rn_err *e)
{
	const struct rn_prog *p = &f->prog;

	for (uint32_t i = 0, to; i < p->ninsts; i = to) {
		double start, scalars[RN_STEP_F];

		for (to = i; to < p->ninsts && p->insts[to].stage == p->insts[i].stage; to++) {
			if (to < f->nback)
				continue;
			rn_optim_scalars(&p->insts[to], (uint64_t)epoch + 1, scalars);
			rn_machine_set_f(m, to, scalars);
		}
		start = rn_now();
		RN_TRY(rn_machine_run(m, i, to, epoch, e));
		took[p->insts[i].stage] += rn_now() - start;
	}
	return 0;
}

/* The least of all epochs, stage by stage: the machine may do other things, too.  *all: of a whole
 * epoch, run at once. */
static int measure(const struct analysis *a, const struct side *x, const struct rn_fit *f,
		   struct rn_machine *m, struct cost *cost, double *all, struct rn_err *e)
{
	uint32_t n = x->plan->nnodes;
	double *took;
	int rc = 0;

	*all = INFINITY;
	RN_TRY(rn_calloc(n, sizeof *took, "stages", &took, e));
	for (uint32_t k = 0; k < a->conf->epochs && !rc; k++) {
		double start;

		memset(took, 0, n * sizeof *took);
		rc = run_epoch(f, m, 2 * k, took, e);
		for (uint32_t i = 0; i < n; i++)
			if (!k || took[i] < cost[i].seconds)
				cost[i].seconds = took[i];
		start = rn_now();
		if (!rc)
			rc = rn_machine_run(m, 0, f->prog.ninsts, 2 * k + 1, e);
		*all = fmin(*all, rn_now() - start);
	}
	free(took);
	return rc;
}

/* timed: their ms, too. */
static int add_stages(const struct rn_plan *p, const struct cost *cost, bool timed, json_t *o,
		      struct rn_err *e)
{
	json_t *list;
	int rc = 0;

	RN_TRY(rn_json_array(&list, e));
	for (uint32_t i = 0; i < p->nnodes && !rc; i++) {
		const struct rn_node *n = &p->nodes[i];
		json_t *s;

		if (!cost[i].insts)
			continue;
		s = json_pack("{s:s, s:s, s:I, s:I, s:f, s:f, s:I}", "stage", n->name, "op",
			      n->op->name, "instructions", (json_int_t)cost[i].insts, "rows",
			      (json_int_t)cost[i].rows, "flops", cost[i].flops, "bytes",
			      cost[i].bytes, "memory", (json_int_t)cost[i].memory);
		rc = s ? 0 : rn_err_nomem(e, 0, "a report");
		if (!rc && timed)
			rc = rn_json_set(s, "ms", json_real(cost[i].seconds * 1e3), e);
		if (rc)
			json_decref(s);
		else
			rc = rn_json_append(list, s, e);
	}
	if (rc)
		json_decref(list);
	return rc ? rc : rn_json_set(o, "stages", list, e);
}

static int set_text(json_t *o, const char *key, const struct rn_prog *p, struct rn_err *e)
{
	struct rn_str s = RN_STR_INIT;
	int rc;

	rn_prog_print(p, &s);
	rc = rn_str_check(&s, e);
	if (!rc)
		rc = rn_json_set_text(o, key, s.s, e);
	rn_str_fini(&s);
	return rc;
}

/* The loss as it is lowered, before anything is done to it. */
static int add_lowered(struct analysis *a, const struct rn_run *run, json_t *o, struct rn_err *e)
{
	struct rn_lrel rel = { 0 };
	struct rn_prog p;
	int rc;

	rn_prog_init(&p);
	rc = rn_binding_lower(a->run.binding, run->node, true, &a->run.params, &p, &rel, e);
	if (!rc)
		rc = set_text(o, "lowered", &p, e);
	rn_lrel_fini(&rel);
	rn_prog_fini(&p);
	return rc;
}

static int add_totals(const struct rn_plan *p, const struct rn_fit *f, const struct cost *cost,
		      uint64_t bytes, json_t *o, struct rn_err *e)
{
	double flops = 0;

	for (uint32_t i = 0; i < p->nnodes; i++)
		flops += cost[i].flops;
	RN_TRY(rn_json_set(o, "instructions", json_integer(f->prog.ninsts), e));
	RN_TRY(rn_json_set(o, "bytes", json_integer((json_int_t)bytes), e));
	return rn_json_set(o, "flops", json_real(flops), e);
}

/* {"hoist": 3, …}: in how many places each pass applied. */
static int add_passes(const struct rn_fit *f, json_t *o, struct rn_err *e)
{
	json_t *list;
	int rc = 0;

	RN_TRY(rn_json_object(&list, e));
	for (int i = 0; i < RN_NREWRITES && !rc; i++)
		if (f->log.did[i].times)
			rc = rn_json_set(list, rn_rewrite_info[i].name,
					 json_integer(f->log.did[i].times), e);
	if (rc)
		json_decref(list);
	return rc ? rc : rn_json_set(o, "passes", list, e);
}

/* A machine of the fit with the initial parameters. */
static int start_fit(struct analysis *a, struct side *x, struct rn_fit *f, struct rn_machine **m,
		     struct rn_err *e)
{
	if (!x->store)
		RN_TRY(rn_store_new(a->backend, RN_F32, &x->store, e));
	RN_TRY(rn_params_init(&x->params, a->conf->train.ctx->seed, e));
	RN_TRY(rn_params_to_store(&x->params, x->store, e));
	return rn_machine_new(&f->prog, a->backend, RN_F32, x->store, f->states, NULL, m, e);
}

/* "epochs" and "ms" of a fit, and cost[].seconds. */
static int add_times(const struct analysis *a, const struct side *x, const struct rn_fit *f,
		     struct rn_machine *m, struct cost *cost, json_t *o, struct rn_err *e)
{
	double seconds;

	RN_TRY(measure(a, x, f, m, cost, &seconds, e));
	RN_TRY(rn_json_set(o, "epochs", json_integer(2 * (json_int_t)a->conf->epochs), e));
	return rn_json_set(o, "ms", json_real(seconds * 1e3), e);
}

static int analyze_program(struct analysis *a, struct rn_fit *f, json_t *o, struct rn_err *e)
{
	struct rn_machine *m = NULL;
	bool timed = a->conf->epochs;
	struct cost *cost;
	int rc;

	RN_TRY(rn_calloc(a->run.plan->nnodes, sizeof *cost, "stages", &cost, e));
	RN_GOTO(out, add_costs(&f->prog, cost, e));
	RN_GOTO(out, start_fit(a, &a->run, f, &m, e));
	RN_GOTO(out, rn_json_set_text(o, "loss", f->name, e));
	RN_GOTO(out, add_totals(a->run.plan, f, cost, rn_machine_bytes(m), o, e));
	RN_GOTO(out, timed ? add_times(a, &a->run, f, m, cost, o, e) : 0);
	RN_GOTO(out, add_passes(f, o, e));
	RN_GOTO(out, add_stages(a->run.plan, cost, timed, o, e));
	rc = a->conf->program ? set_text(o, "program", &f->prog, e) : 0;
out:
	rn_machine_free(m);
	free(cost);
	return rc;
}

/* Why the plan as it is written is not run; NULL: it can be. */
static const char *untimed(uint64_t limit, uint64_t bytes, double flops)
{
	if (bytes > limit)
		return "it takes more memory than --mem, or 1 GB";
	return flops > TIMED_FLOPS ? "an epoch has more than 1e+11 flops" : NULL;
}

/* The times of the plan as it is written. */
static int time_written(struct analysis *a, struct rn_fit *f, struct cost *cost, json_t *o,
			struct rn_err *e)
{
	struct rn_machine *m = NULL;
	int rc = start_fit(a, &a->written, f, &m, e);

	if (!rc)
		rc = add_times(a, &a->written, f, m, cost, o, e);
	rn_machine_free(m);
	return rc;
}

/* "written": the same fit without rewrites. */
static int add_written(struct analysis *a, const struct rn_run *run, json_t *o, struct rn_err *e)
{
	uint64_t limit = a->conf->train.ctx->mem_limit, bytes;
	bool timed = a->conf->epochs;
	struct side *w = &a->written;
	struct rn_prog_fixed fixed;
	const char *why;
	struct cost *cost = NULL;
	json_t *part = NULL;
	struct rn_fit f;
	int rc;

	RN_TRY(rn_fit_build(w->binding, a->backend, a->conf->train.plan, run, &w->params, false, &f,
			    e));
	RN_GOTO(out, rn_calloc(w->plan->nnodes, sizeof *cost, "stages", &cost, e));
	RN_GOTO(out, add_costs(&f.prog, cost, e));
	RN_GOTO(out, rn_machine_slab(&f.prog, RN_F32, NULL, &bytes, e));
	RN_GOTO(out, rn_prog_fixed(&f.prog, &fixed, e));
	bytes += fixed.constants + fixed.indices;
	RN_GOTO(out, rn_json_object(&part, e));
	RN_GOTO(out, add_totals(w->plan, &f, cost, bytes, part, e));
	why = untimed(limit ? limit : TIMED_MEM, bytes,
		      json_real_value(json_object_get(part, "flops")));
	if (timed && why)
		RN_GOTO(out, rn_json_set_text(part, "untimed", why, e));
	timed = timed && !why;
	RN_GOTO(out, timed ? time_written(a, &f, cost, part, e) : 0);
	RN_GOTO(out, add_stages(w->plan, cost, timed, part, e));
	rc = rn_json_set(o, "written", json_incref(part), e);
out:
	json_decref(part);
	free(cost);
	rn_fit_fini(&f);
	return rc;
}

static int analyze_fit(struct analysis *a, const struct rn_run *run, json_t *list, struct rn_err *e)
{
	const struct rn_analyze_conf *c = a->conf;
	struct rn_params *params = &a->run.params;
	struct rn_fit f;
	json_t *o;
	int rc;

	RN_TRY(rn_json_object(&o, e));
	rc = rn_fit_build(a->run.binding, a->backend, c->train.plan, run, params, false, &f, e);
	if (rc) {
		json_decref(o);
		return rc;
	}
	RN_GOTO(out, analyze_program(a, &f, o, e));
	RN_GOTO(out, c->program ? add_lowered(a, run, o, e) : 0);
	RN_GOTO(out, a->written.binding ? add_written(a, run, o, e) : 0);
	rc = rn_json_append(list, json_incref(o), e);
out:
	json_decref(o);
	rn_fit_fini(&f);
	return rc;
}

static int add_fits(struct analysis *a, json_t *o, struct rn_err *e)
{
	const struct rn_plan *p = a->conf->train.plan;
	json_t *list;
	int rc = 0;

	RN_TRY(rn_json_array(&list, e));
	for (uint32_t i = 0; i < p->nruns && !rc; i++)
		if (p->runs[i].kind == RN_RUN_FIT)
			rc = analyze_fit(a, &p->runs[i], list, e);
	if (rc)
		json_decref(list);
	return rc ? rc : rn_json_set(o, "fits", list, e);
}

static int open_side(struct analysis *a, const struct rn_ctx *c, struct side *s, struct rn_err *e)
{
	const struct rn_train_conf *t = &a->conf->train;

	RN_TRY(rn_binding_new(c, a->backend, t->plan, t->carried, &s->binding, e));
	s->plan = rn_binding_plan(s->binding);
	return 0;
}

static void close_side(struct side *s)
{
	rn_store_free(s->store);
	rn_params_fini(&s->params);
	rn_binding_free(s->binding);
}

/* The plan as it is written, where that is no larger than we may look at: "refused" says why not. */
static int open_written(struct analysis *a, json_t *o, struct rn_err *e)
{
	const struct rn_ctx *c = a->conf->train.ctx;
	struct rn_err why = { 0 };
	int rc;

	if ((c->no_rewrite & RN_RW_ALL) == RN_RW_ALL)
		return 0;
	a->plain = *c;
	a->plain.no_rewrite = RN_RW_ALL;
	a->plain.log = NULL; /* it has said it once */
	a->plain.mem_limit = a->conf->written_mem ? a->conf->written_mem : WRITTEN_MEM;
	rc = open_side(a, &a->plain, &a->written, &why);
	if (rc == RN_ENOMEM)
		return rn_json_set_text(o, "refused", why.msg, e);
	return rc ? rn_err_set(e, rc, "%s", why.msg) : 0;
}

int rn_analyze(const struct rn_analyze_conf *c, struct rn_analyze_text *text, json_t **out,
	       struct rn_err *e)
{
	const struct rn_train_conf *t = &c->train;
	struct analysis a = { .conf = c };
	json_t *o = NULL;
	int rc;

	RN_TRY(rn_backend_open("cpu", t->ctx->threads, &a.backend, NULL, e));
	RN_GOTO(out, open_side(&a, t->ctx, &a.run, e));
	RN_GOTO(out, rn_json_object(&o, e));
	RN_GOTO(out, open_written(&a, o, e));
	RN_GOTO(out, add_rewrites(&a, o, e));
	RN_GOTO(out, add_nodes(&a, o, e));
	RN_GOTO(out, add_fits(&a, o, e));
	RN_GOTO(out, c->epochs ? rn_json_set(o, "peak_bytes",
					     json_integer((json_int_t)rn_peak_memory(NULL)), e) : 0);
	RN_GOTO(out, a.written.binding ? print_written(&a, o, &text->written, e) : 0);
	RN_GOTO(out, print_plan(&a, &a.run, a.run.plan, NULL, o, &text->run, e));
	*out = json_incref(o);
out:
	json_decref(o);
	close_side(&a.written);
	close_side(&a.run);
	a.backend->close(a.backend);
	return rc;
}
