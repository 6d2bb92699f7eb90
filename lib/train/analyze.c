/* SPDX-License-Identifier: Apache-2.0 */
#include "analyze.h"

#include "../base/json.h"
#include "fit.h"
#include "score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What the instructions of one stage cost. */
struct cost {
	uint32_t insts, rows;
	double flops, bytes, seconds;
};

struct analysis {
	const struct rn_analyze_conf *conf;
	struct rn_backend *backend;
	struct rn_binding *binding;
	const struct rn_plan *plan; /* rewritten */
	struct rn_params params;
	struct rn_store *store;
};

/* ---- the plan ------------------------------------------------------------------------------- */

/* Is node i of the rewritten plan one of the canonical plan? */
static bool is_added(const struct analysis *a, uint32_t i)
{
	for (uint32_t k = 0; k < a->conf->train.plan->nnodes; k++)
		if (rn_binding_node(a->binding, k) == i)
			return false;
	return true;
}

static int add_nodes(const struct analysis *a, json_t *o, struct rn_err *e)
{
	json_t *list;
	int rc = 0;

	RN_TRY(rn_json_array(&list, e));
	for (uint32_t i = 0; i < a->plan->nnodes && !rc; i++) {
		const struct rn_node *n = &a->plan->nodes[i];
		json_int_t rows = (json_int_t)rn_binding_count(a->binding, i);

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
	for (const char *s = rn_binding_log(a->binding), *end; *s && !rc;
	     s = *end ? end + 1 : end) {
		end = strchrnul(s, '\n');
		rc = rn_json_append(list, json_stringn(s, (size_t)(end - s)), e);
	}
	if (rc)
		json_decref(list);
	return rc ? rc : rn_json_set(o, "rewrites", list, e);
}

static int print_plan(const struct analysis *a, struct rn_str *out, struct rn_err *e)
{
	struct rn_schema *schemas;
	uint64_t *rows;
	int rc;

	RN_TRY(rn_calloc(a->plan->nnodes, sizeof *rows, "a plan", &rows, e));
	rc = rn_calloc(a->plan->nnodes, sizeof *schemas, "a plan", &schemas, e);
	if (rc) {
		free(rows);
		return rc;
	}
	for (uint32_t i = 0; i < a->plan->nnodes; i++) {
		rows[i] = rn_binding_count(a->binding, i);
		schemas[i] = *rn_binding_made_schema(a->binding, i); /* borrowed */
	}
	rc = rn_plan_explain(a->plan, schemas, rows, out, e);
	free(schemas);
	free(rows);
	return rc;
}

/* ---- fits ----------------------------------------------------------------------------------- */

static void add_costs(const struct rn_prog *p, struct cost *cost)
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
static int measure(struct analysis *a, const struct rn_fit *f, struct rn_machine *m,
		   struct cost *cost, double *all, struct rn_err *e)
{
	double *took;
	int rc = 0;

	*all = INFINITY;
	RN_TRY(rn_calloc(a->plan->nnodes, sizeof *took, "stages", &took, e));
	for (uint32_t k = 0; k < a->conf->epochs && !rc; k++) {
		double start;

		memset(took, 0, a->plan->nnodes * sizeof *took);
		rc = run_epoch(f, m, 2 * k, took, e);
		for (uint32_t i = 0; i < a->plan->nnodes; i++)
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

static int add_stages(const struct analysis *a, const struct cost *cost, json_t *o,
		      struct rn_err *e)
{
	json_t *list;
	int rc = 0;

	RN_TRY(rn_json_array(&list, e));
	for (uint32_t i = 0; i < a->plan->nnodes && !rc; i++) {
		const struct rn_node *n = &a->plan->nodes[i];
		json_t *s;

		if (!cost[i].insts)
			continue;
		s = json_pack("{s:s, s:s, s:I, s:I, s:f, s:f}", "stage", n->name, "op", n->op->name,
			      "instructions", (json_int_t)cost[i].insts, "rows",
			      (json_int_t)cost[i].rows, "flops", cost[i].flops, "bytes",
			      cost[i].bytes);
		rc = s ? 0 : rn_err_nomem(e, 0, "a report");
		if (!rc && a->conf->epochs)
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
	rc = rn_binding_lower(a->binding, run->node, true, &a->params, &p, &rel, e);
	if (!rc)
		rc = set_text(o, "lowered", &p, e);
	rn_lrel_fini(&rel);
	rn_prog_fini(&p);
	return rc;
}

static int add_totals(const struct analysis *a, const struct rn_fit *f, const struct cost *cost,
		      uint64_t bytes, double seconds, json_t *o, struct rn_err *e)
{
	double flops = 0;

	for (uint32_t i = 0; i < a->plan->nnodes; i++)
		flops += cost[i].flops;
	RN_TRY(rn_json_set_text(o, "loss", f->name, e));
	RN_TRY(rn_json_set(o, "instructions", json_integer(f->prog.ninsts), e));
	RN_TRY(rn_json_set(o, "bytes", json_integer((json_int_t)bytes), e));
	RN_TRY(rn_json_set(o, "flops", json_real(flops), e));
	if (!a->conf->epochs)
		return 0;
	RN_TRY(rn_json_set(o, "epochs", json_integer(2 * (json_int_t)a->conf->epochs), e));
	return rn_json_set(o, "ms", json_real(seconds * 1e3), e);
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

static int analyze_program(struct analysis *a, const struct rn_fit *f, json_t *o, struct rn_err *e)
{
	struct rn_machine *m = NULL;
	struct cost *cost;
	double seconds = 0;
	int rc;

	RN_TRY(rn_calloc(a->plan->nnodes, sizeof *cost, "stages", &cost, e));
	add_costs(&f->prog, cost);
	RN_GOTO(out,
		rn_machine_new(&f->prog, a->backend, RN_F32, a->store, f->states, NULL, &m, e));
	if (a->conf->epochs)
		RN_GOTO(out, measure(a, f, m, cost, &seconds, e));
	RN_GOTO(out, add_totals(a, f, cost, rn_machine_bytes(m), seconds, o, e));
	RN_GOTO(out, add_passes(f, o, e));
	RN_GOTO(out, add_stages(a, cost, o, e));
	rc = a->conf->program ? set_text(o, "program", &f->prog, e) : 0;
out:
	rn_machine_free(m);
	free(cost);
	return rc;
}

static int analyze_fit(struct analysis *a, const struct rn_run *run, json_t *list, struct rn_err *e)
{
	const struct rn_analyze_conf *c = a->conf;
	struct rn_fit f;
	json_t *o;
	int rc;

	RN_TRY(rn_json_object(&o, e));
	rc = rn_fit_build(a->binding, a->backend, c->train.plan, run, &a->params, false, &f, e);
	if (rc) {
		json_decref(o);
		return rc;
	}
	RN_GOTO(out, rn_params_init(&a->params, c->train.ctx->seed, e));
	RN_GOTO(out, rn_params_to_store(&a->params, a->store, e));
	RN_GOTO(out, analyze_program(a, &f, o, e));
	RN_GOTO(out, c->program ? add_lowered(a, run, o, e) : 0);
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

int rn_analyze(const struct rn_analyze_conf *c, struct rn_str *text, json_t **out, struct rn_err *e)
{
	const struct rn_train_conf *t = &c->train;
	struct analysis a = { .conf = c };
	json_t *o = NULL;
	int rc;

	RN_TRY(rn_backend_open("cpu", t->ctx->threads, &a.backend, NULL, e));
	RN_GOTO(out, rn_store_new(a.backend, RN_F32, &a.store, e));
	RN_GOTO(out, rn_binding_new(t->ctx, a.backend, t->plan, t->carried, &a.binding, e));
	a.plan = rn_binding_plan(a.binding);
	RN_GOTO(out, rn_json_object(&o, e));
	RN_GOTO(out, add_rewrites(&a, o, e));
	RN_GOTO(out, add_nodes(&a, o, e));
	RN_GOTO(out, text ? print_plan(&a, text, e) : 0);
	RN_GOTO(out, add_fits(&a, o, e));
	*out = json_incref(o);
out:
	json_decref(o);
	rn_params_fini(&a.params);
	rn_binding_free(a.binding);
	rn_store_free(a.store);
	a.backend->close(a.backend);
	return rc;
}

/* ---- text -------------------------------------------------------------------------------------
 */

/* "1.5M" of so many operations or bytes. */
static void print_size(double x, struct rn_str *out)
{
	static const char units[] = " KMGTP";
	size_t k = 0;

	for (; x >= 1000 && k + 2 < sizeof units; k++)
		x /= 1000;
	rn_str_addf(out, k ? "%8.3g%c" : "%9.0f", x, units[k]);
}

static double number(const json_t *o, const char *key)
{
	return json_number_value(json_object_get(o, key));
}

static void print_stage(const json_t *s, size_t width, struct rn_str *out)
{
	const json_t *ms = json_object_get(s, "ms");

	rn_str_addf(out, "%-*s %6.0f ", (int)width, json_string_value(json_object_get(s, "stage")),
		    number(s, "instructions"));
	print_size(number(s, "rows"), out);
	rn_str_addc(out, ' ');
	print_size(number(s, "flops"), out);
	rn_str_addc(out, ' ');
	print_size(number(s, "bytes"), out);
	if (ms)
		rn_str_addf(out, " %9.3f", json_number_value(ms));
	rn_str_addc(out, '\n');
}

static void print_fit(const json_t *f, struct rn_str *out)
{
	const json_t *stages = json_object_get(f, "stages"), *ms = json_object_get(f, "ms");
	json_t *times;
	const char *lowered = json_string_value(json_object_get(f, "lowered"));
	const char *pass;
	size_t width = 5;

	rn_str_addf(out, "\nfit(%s): %.0f instructions, %.3g flops an epoch, %.0f bytes of memory",
		    json_string_value(json_object_get(f, "loss")), number(f, "instructions"),
		    number(f, "flops"), number(f, "bytes"));
	if (ms)
		rn_str_addf(out, ", %.3f ms (the least of %.0f epochs)", json_number_value(ms),
			    number(f, "epochs") / 2);
	for (size_t i = 0; i < json_array_size(stages); i++) {
		size_t n = json_string_length(json_object_get(json_array_get(stages, i), "stage"));

		width = n > width ? n : width;
	}
	rn_str_addc(out, '\n');
	json_object_foreach(json_object_get(f, "passes"), pass, times)
		rn_str_addf(out, "%s: in %" JSON_INTEGER_FORMAT " place%s\n", pass,
			    json_integer_value(times), json_integer_value(times) == 1 ? "" : "s");
	rn_str_addf(out, "%-*s %6s %9s %9s %9s%s\n", (int)width, "stage", "instr.", "rows", "flops",
		    "bytes", ms ? "        ms" : "");
	for (size_t i = 0; i < json_array_size(stages); i++)
		print_stage(json_array_get(stages, i), width, out);
	if (lowered)
		rn_str_addf(out, "\nlowered:\n%s\nrun:\n%s", lowered,
			    json_string_value(json_object_get(f, "program")));
}

int rn_analyze_print(const json_t *o, struct rn_str *out, struct rn_err *e)
{
	const json_t *fits = json_object_get(o, "fits");

	for (size_t i = 0; i < json_array_size(fits); i++)
		print_fit(json_array_get(fits, i), out);
	return rn_str_check(out, e);
}
