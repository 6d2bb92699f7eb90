/* SPDX-License-Identifier: Apache-2.0
 *
 * rn-predict: what a trained model says of the data that it was trained on, or
 * of other data.
 */
#include "../lib/base/json.h"
#include "../lib/train/late.h"
#include "../lib/train/score.h"
#include "apply.h"
#include "rows.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct rn_opt opts[] = {
	{ .name = "source", .type = RN_OPT_LIST, .flags = RN_OPT_MULTI | RN_CLI_RAW,
	  .meta = "NAME=FILE", .help = "read source NAME from FILE" },
	{ .name = "stage", .type = RN_OPT_STRING, .meta = "NAME",
	  .help = "the pred run of this name, or this stage" },
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

/* What of a pred run says what becomes of a stage. */
static const char *const kept[] = { "decode", "as", "embedding", "first" };

/* Do both say the same of a stage, be it by a default? */
static bool same_options(const struct rn_run *a, const struct rn_run *b)
{
	return !strcmp(rn_run_string(a, "decode"), rn_run_string(b, "decode")) &&
	       !strcmp(rn_run_string(a, "as"), rn_run_string(b, "as")) &&
	       rn_run_flag(a, "embedding") == rn_run_flag(b, "embedding") &&
	       rn_run_int(a, "first") == rn_run_int(b, "first");
}

/* The pred run of a stage; of several that make the same of it the last. */
static int find_run(const struct rn_plan *p, uint32_t node, uint32_t *run, struct rn_err *e)
{
	for (uint32_t i = 0; i < p->nruns; i++) {
		const struct rn_run *r = &p->runs[i];

		if (r->kind != RN_RUN_PRED || r->node != node)
			continue;
		if (*run != RN_NONE && !same_options(&p->runs[*run], r))
			return rn_err_set(e, RN_EUSAGE, "stage '%s' is predicted by the runs '%s' and '%s', whose options "
					  "differ: name one of these with --stage", p->nodes[node].name,
					  rn_run_string(&p->runs[*run], "name"), rn_run_string(r, "name"));
		*run = i;
	}
	return 0;
}

/* What --stage names: a pred run, else a stage. */
static int find_stage(const struct rn_cli *c, const struct rn_plan *p, const char *name,
		      uint32_t *node, uint32_t *run, struct rn_err *e)
{
	long at;

	for (uint32_t i = 0; i < p->nruns; i++)
		if (p->runs[i].kind == RN_RUN_PRED && !strcmp(rn_run_string(&p->runs[i], "name"), name)) {
			*run = i;
			*node = p->runs[i].node;
			return 0;
		}
	at = rn_plan_find(p, name);
	if (at < 0)
		return rn_err_set(e, RN_EUSAGE, "the model has no stage '%s'; see 'rn-explain %s'",
				  name, c->in[0].file);
	*node = (uint32_t)at;
	return find_run(p, *node, run, e);
}

/* The stage to predict: --stage, else the only pred run's, else what the loss saw; *run: the pred
 * run that says what becomes of it, or RN_NONE. */
static int choose(const struct rn_cli *c, const struct rn_plan *p, uint32_t *node, uint32_t *run,
		  struct rn_err *e)
{
	const char *name = rn_cli_string(c, "stage");
	uint32_t preds = 0, fit = RN_NONE;

	*run = RN_NONE;
	if (name)
		return find_stage(c, p, name, node, run, e);
	for (uint32_t i = 0; i < p->nruns; i++) {
		if (p->runs[i].kind == RN_RUN_FIT)
			fit = p->runs[i].node;
		if (p->runs[i].kind != RN_RUN_PRED)
			continue;
		*run = i;
		*node = p->runs[i].node;
		preds++;
	}
	if (preds > 1)
		return rn_err_set(e, RN_EUSAGE,
				  "the model has %u pred runs: choose with --stage NAME", preds);
	if (preds)
		return 0;
	if (fit == RN_NONE || !p->nodes[fit].nin)
		return rn_err_set(e, RN_EUSAGE,
				  "the model has no pred run: choose with --stage NAME");
	*node = p->nodes[fit].in[0].node;
	return 0;
}

/* Options of our run: what the model's says of its columns; run: its number, or RN_NONE. */
static int run_options(const struct rn_plan *p, uint32_t run, json_t **out, struct rn_err *e)
{
	RN_TRY(rn_json_object(out, e));
	for (size_t k = 0; k < sizeof kept / sizeof *kept && run != RN_NONE; k++) {
		json_t *v = json_object_get(p->runs[run].opt, kept[k]);

		if (v && rn_json_set(*out, kept[k], json_incref(v), e))
			return e->code;
	}
	return rn_json_set_text(*out, "name", "prediction", e);
}

/* The losses of a model, as decoded columns know them. */
struct losses {
	const struct rn_model *model;
	struct rn_task task; /* that was asked for last */
};

static const struct rn_task *task_of(void *arg, const char *loss)
{
	struct losses *l = arg;

	for (size_t i = 0; i < l->model->nlosses; i++) {
		const struct rn_model_loss *m = &l->model->losses[i];

		if (strcmp(m->name, loss))
			continue;
		l->task = (struct rn_task){ .kind = m->kind };
		if (m->kind == RN_LOSS_CE)
			l->task.classes = &m->classes;
		return &l->task;
	}
	return NULL;
}

/* The plan's only run as x has bound it; so many fits stood before it. */
static int predict_bound(struct rn_applied *a, struct rn_binding *x, uint32_t before, struct rn_rel **out,
			 struct rn_err *e)
{
	struct rn_plan *plan = a->planned.plan;
	const struct rn_run *r = &plan->runs[0];
	struct rn_task task;
	bool knows;

	RN_TRY(rn_applied_task(a, r, rn_binding_schema(x, r->node), before, &task, &knows, e));
	return rn_predict_run(x, plan, r, &a->model.params, knows ? &task : NULL, out, e);
}

/* The same, where it rests on a decoded column. */
static int predict_late(const struct rn_cli *c, struct rn_applied *a, uint32_t before, struct rn_rel **out,
			struct rn_err *e)
{
	struct losses losses = { .model = &a->model };
	struct rn_plan *plan = a->planned.plan;
	const struct rn_late_conf conf = {
		.ctx = &c->ctx,
		.backend = a->backend,
		.plan = plan,
		.binding = a->binding,
		.params = &a->model.params,
		.task = task_of,
		.arg = &losses,
	};
	struct rn_late_bound b = { 0 };
	struct rn_late late;
	int rc;

	rc = rn_late_init(&late, &conf, e);
	if (!rc)
		rc = rn_late_bind(&late, &plan->runs[0], UINT32_MAX, &b, e);
	if (!rc)
		rc = predict_bound(a, b.binding, before, out, e);
	rn_late_unbind(&late, &b);
	rn_late_fini(&late);
	return rc;
}

static int is_late(const struct rn_plan *p, uint32_t node, bool *out, struct rn_err *e)
{
	bool *late;

	RN_TRY(rn_calloc(p->nnodes, sizeof *late, "a plan", &late, e));
	rn_plan_late(p, NULL, late);
	*out = late[node];
	free(late);
	return 0;
}

static int predict(const struct rn_cli *c, struct rn_applied *a, struct rn_rel **out,
		   struct rn_err *e)
{
	struct rn_plan *plan = a->planned.plan;
	uint32_t node, run, before;
	json_t *opt = NULL;
	bool late;

	RN_TRY(choose(c, plan, &node, &run, e));
	if (run_options(plan, run, &opt, e)) {
		json_decref(opt);
		return e->code;
	}
	before = a->before[run == RN_NONE ? plan->nruns : run];
	rn_applied_clear_runs(a);
	RN_TRY(rn_plan_add_run(plan, RN_RUN_PRED, node, opt, e));
	RN_TRY(rn_applied_bind(c, a, e));
	RN_TRY(is_late(plan, plan->runs[0].node, &late, e));
	if (late)
		return predict_late(c, a, before, out, e);
	return predict_bound(a, a->binding, before, out, e);
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
