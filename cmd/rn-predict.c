/* SPDX-License-Identifier: Apache-2.0
 *
 * rn-predict: what a trained model says of the data that it was trained on, or
 * of other data.
 */
#include "../lib/base/json.h"
#include "../lib/train/score.h"
#include "apply.h"
#include "rows.h"

#include <string.h>
#include <unistd.h>

static const struct rn_opt opts[] = {
	{ .name = "source", .type = RN_OPT_LIST, .flags = RN_OPT_MULTI | RN_CLI_RAW,
	  .meta = "NAME=FILE", .help = "read source NAME from FILE" },
	{ .name = "stage", .type = RN_OPT_STRING, .meta = "NAME",
	  .help = "predict this stage, not the model's pred run" },
};

static const char *const examples[] = {
	"rn-predict gcn.rnm -o pred.csv",
	"rn-predict gcn.rnm --source paper=new.csv | rn-join - names.csv --on paper_id | rn-cat",
	NULL,
};

static const struct rn_tool tool = {
	.name = "rn-predict",
	.what = "apply a trained model and write its predictions",
	.usage = "MODEL.rnm",
	.examples = examples,
	.see_also = "rn-train(1), rn-eval(1), rn-cat(1)",
	RN_CLI_OPTS(opts),
	.flags = RN_TOOL_CPUS,
	.min_in = 1,
	.max_in = 1,
};

/* The stage to predict: --stage, else the only pred run's, else what the loss saw. */
static int choose(const struct rn_cli *c, const struct rn_plan *p, uint32_t *node,
		  struct rn_err *e)
{
	const char *name = rn_cli_string(c, "stage");
	long at = name ? rn_plan_find(p, name) : -1;
	uint32_t preds = 0, fit = RN_NONE;

	if (name && at < 0)
		return rn_err_set(e, RN_EUSAGE, "the model has no stage '%s'; see 'rn-explain %s'",
				  name, c->in[0].file);
	for (uint32_t i = 0; i < p->nruns && !name; i++) {
		if (p->runs[i].kind == RN_RUN_FIT)
			fit = p->runs[i].node;
		if (p->runs[i].kind != RN_RUN_PRED)
			continue;
		at = p->runs[i].node;
		preds++;
	}
	if (preds > 1)
		return rn_err_set(e, RN_EUSAGE,
				  "the model has %u pred runs: choose with --stage NAME", preds);
	if (at < 0 && fit != RN_NONE && p->nodes[fit].nin)
		at = p->nodes[fit].in[0].node;
	if (at < 0)
		return rn_err_set(e, RN_EUSAGE,
				  "the model has no pred run: choose with --stage NAME");
	*node = (uint32_t)at;
	return 0;
}

/* Options of our run: what the model's pred run of the node says of its columns. */
static int run_options(const struct rn_plan *p, uint32_t node, json_t **out, struct rn_err *e)
{
	static const char *const kept[] = { "decode", "as", "embedding" };

	RN_TRY(rn_json_object(out, e));
	for (uint32_t i = 0; i < p->nruns; i++)
		for (size_t k = 0; k < 3 && p->runs[i].kind == RN_RUN_PRED && p->runs[i].node == node; k++) {
			json_t *v = json_object_get(p->runs[i].opt, kept[k]);

			if (v && rn_json_set(*out, kept[k], json_incref(v), e))
				return e->code;
		}
	return rn_json_set_text(*out, "name", "prediction", e);
}

static int predict(const struct rn_cli *c, struct rn_applied *a, struct rn_rel **out,
		   struct rn_err *e)
{
	struct rn_plan *plan = a->planned.plan;
	struct rn_task task;
	uint32_t node;
	json_t *opt = NULL;

	RN_TRY(choose(c, plan, &node, e));
	if (run_options(plan, node, &opt, e)) {
		json_decref(opt);
		return e->code;
	}
	rn_applied_clear_runs(a);
	RN_TRY(rn_plan_add_run(plan, RN_RUN_PRED, node, opt, e));
	RN_TRY(rn_applied_bind(c, a, e));
	return rn_predict_run(a->binding, plan, &plan->runs[0], &a->model.params,
			      rn_applied_task(a, &task) ? &task : NULL, out, e);
}

static int write_out(const struct rn_cli *c, enum rn_form form, const struct rn_rel *rel,
		     struct rn_err *e)
{
	struct rn_sink s;
	int rc;

	RN_TRY(rn_sink_open(c, form, NULL, &rel->schema, NULL, &s, e));
	rc = rn_sink_rows(&s, rel, e);
	return rn_sink_close(&s, rc, e);
}

static int run(const struct rn_cli *c, struct rn_err *e)
{
	struct rn_applied a = { 0 };
	struct rn_rel *rel = NULL;
	enum rn_form form = rn_form_of("auto", c->output, RN_FORM_STREAM);
	int rc;

	if (!strcmp(c->output, "-") && !c->force && isatty(STDOUT_FILENO))
		return rn_err_set(e, RN_EUSAGE,
				  "the output is a binary stream, and standard output is a "
				  "terminal: name a file with -o, pipe it into rn-cat, or insist "
				  "with -f");
	rc = rn_applied_load(c, &a, e);
	if (!rc)
		rc = predict(c, &a, &rel, e);
	if (!rc)
		rc = write_out(c, form, rel, e);
	else if (form == RN_FORM_STREAM)
		rn_sink_refuse(c, e->msg);
	rn_rel_unref(rel);
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
