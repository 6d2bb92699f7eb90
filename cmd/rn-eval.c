/* SPDX-License-Identifier: Apache-2.0
 *
 * rn-eval: the metrics of a trained model, on the data that it was trained on
 * or on other data.
 */
#include "../lib/base/json.h"
#include "../lib/train/score.h"
#include "apply.h"

#include <math.h>
#include <stdlib.h>

static const struct rn_opt opts[] = {
	{ .name = "source", .type = RN_OPT_LIST, .flags = RN_OPT_MULTI | RN_CLI_RAW,
	  .meta = "NAME=FILE", .help = "read source NAME from FILE" },
	{ .name = "json", .type = RN_OPT_FLAG, .help = "print one JSON object" },
};

static const char *const examples[] = {
	"rn-eval gcn.rnm",
	"rn-eval gcn.rnm --source paper=new.csv --json",
	NULL,
};

static const struct rn_tool tool = {
	.name = "rn-eval",
	.what = "compute the metrics of a trained model",
	.usage = "MODEL.rnm",
	.examples = examples,
	.see_also = "rn-train(1), rn-predict(1)",
	RN_CLI_OPTS(opts),
	.flags = RN_TOOL_CPUS,
	.min_in = 1,
	.max_in = 1,
};

/* Keep the eval runs; where there are none, the val runs. */
static int keep_runs(struct rn_applied *a, struct rn_err *e)
{
	struct rn_plan *p = a->planned.plan;
	enum rn_run_kind keep = RN_RUN_VAL;
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->nruns; i++)
		if (p->runs[i].kind == RN_RUN_EVAL)
			keep = RN_RUN_EVAL;
	for (uint32_t i = 0; i < p->nruns; i++) {
		if (p->runs[i].kind == keep) {
			a->before[n] = a->before[i];
			p->runs[n++] = p->runs[i];
		} else {
			json_decref(p->runs[i].opt);
		}
	}
	p->nruns = n;
	return n ? 0 : rn_err_set(e, RN_EUSAGE, "the model has no eval and no val run");
}

static int score(const struct rn_applied *a, uint32_t run, struct rn_store *store, double *value,
		 const char **why, struct rn_err *e)
{
	const struct rn_run *r = &a->planned.plan->runs[run];
	const char *what = rn_run_types[r->kind].name;
	struct rn_params *params = (struct rn_params *)(uintptr_t)&a->model.params;
	struct rn_score s;
	struct rn_task task;
	bool knows;
	int rc;

	RN_TRY(rn_applied_task(a, r, rn_binding_schema(a->binding, r->node), a->before[run], &task, &knows, e));
	if (!knows) /* nothing was trained */
		task = (struct rn_task){ .kind = RN_LOSS_VALUE };
	rc = rn_score_new(a->binding, a->backend, a->planned.plan, r, &task, params, &s, e);
	if (!rc)
		rc = rn_score_check_mem(&s, what, a->binding, a->backend, e);
	if (!rc) {
		rc = rn_score_run(&s, a->backend, store, value, why, e);
		rc = rc ? rn_score_explain(&s, what, rc, a->binding, a->backend, e) : 0;
	}
	rn_score_fini(&s);
	return rc;
}

static const char *name_of(const struct rn_run *r)
{
	return r->kind == RN_RUN_EVAL ? rn_run_string(r, "name") : "val";
}

static int scores(const struct rn_applied *a, struct rn_store *store, json_t *json,
		  struct rn_str *text, struct rn_err *e)
{
	const struct rn_plan *p = a->planned.plan;

	for (uint32_t i = 0; i < p->nruns; i++) {
		const char *metric = rn_run_string(&p->runs[i], "metric"), *why = NULL;
		double v;

		RN_TRY(score(a, i, store, &v, &why, e));
		if (isfinite(v))
			rn_str_addf(text, "%s %s %.4f\n", name_of(&p->runs[i]), metric, v);
		else
			rn_str_addf(text, "%s %s undefined (%s)\n", name_of(&p->runs[i]), metric,
				    why ? why : "it is not finite");
		RN_TRY(rn_json_set(json, name_of(&p->runs[i]),
				   isfinite(v) ? json_real(v) : json_null(), e));
	}
	return 0;
}

static int evaluate(const struct rn_cli *c, struct rn_applied *a, struct rn_str *text,
		    struct rn_err *e)
{
	struct rn_store *store = NULL;
	json_t *json = NULL;
	int rc;

	RN_TRY(keep_runs(a, e));
	RN_TRY(rn_applied_bind(c, a, e));
	RN_GOTO(out, rn_store_new(a->backend, RN_F32, &store, e));
	RN_GOTO(out, rn_params_to_store(&a->model.params, store, e));
	RN_GOTO(out, rn_json_object(&json, e));
	RN_GOTO(out, scores(a, store, json, text, e));
	if (rn_cli_flag(c, "json")) {
		rn_str_clear(text);
		rn_json_print(json, 0, text);
		rn_str_addc(text, '\n');
	}
out:
	json_decref(json);
	rn_store_free(store);
	return rc;
}

static int run(const struct rn_cli *c, struct rn_err *e)
{
	struct rn_str text = RN_STR_INIT;
	struct rn_applied a = { 0 };
	int rc;

	rc = rn_applied_load(c, &a, e);
	if (!rc)
		rc = evaluate(c, &a, &text, e);
	if (!rc)
		rc = rn_cli_put(c, &text, e);
	rn_str_fini(&text);
	rn_applied_fini(&a);
	return rc;
}

int main(int argc, char **argv)
{
	struct rn_err e = { 0 };
	struct rn_cli c;

	rn_cli_begin(&c, &tool, argc, argv);
	return rn_cli_end(&c, run(&c, &e), &e);
}
