/* SPDX-License-Identifier: Apache-2.0
 *
 * rn-compile: a plan from one of its three spellings into another.
 */
#include "cli.h"
#include "plans.h"
#include "rows.h"

#include "../lib/base/json.h"
#include "../lib/lang/lang.h"

#include <stdlib.h>
#include <string.h>

static const struct rn_opt opts[] = {
	{ .name = "to", .type = RN_OPT_CHOICE, .meta = "SPELLING", .dflt = "json",
	  .choices = "json|relnn|sh", .help = "a JSON spec, a query program, or a pipeline" },
	{ .name = "source", .type = RN_OPT_LIST, .flags = RN_OPT_MULTI | RN_CLI_RAW,
	  .meta = "NAME=FILE", .help = "read source NAME from FILE" },
	{ .name = "set", .type = RN_OPT_LIST, .flags = RN_OPT_MULTI | RN_CLI_RAW,
	  .meta = "NAME=VALUE", .help = "constant NAME of the spec or program is VALUE" },
	RN_PLANS_MAX_INSTANCES,
};

static const char *const examples[] = {
	"rn-compile model.relnn --source Paper=paper.csv -o model.json",
	"rn-compile model.json --to sh -o pipeline.sh",
	NULL,
};

static const struct rn_tool tool = {
	.name = "rn-compile",
	.what = "turn a query program, a JSON spec or a model's plan into another spelling",
	.usage = "[FILE]",
	.examples = examples,
	.see_also = "rn-explain(1), rn-train(1)",
	RN_CLI_OPTS(opts),
	.min_in = 1,
	.max_in = 1,
};

/* A plan that works alone: its sources are files. */
static int load(const struct rn_cli *c, struct rn_planned *p, struct rn_err *e)
{
	struct rn_plan_set s = { .define_only = true };
	enum rn_plan_kind kind;
	struct rn_model m = { 0 };
	int rc;

	RN_TRY(rn_plan_set_most(c, &s, e));
	RN_GOTO(out, rn_cli_list(c, "set", &s.set, &s.nset, e));
	RN_GOTO(out, rn_cli_list(c, "source", &s.source, &s.nsource, e));
	RN_GOTO(out, rn_plan_kind(&c->in[0], &kind, e));
	if (kind == RN_PLAN_SPEC) {
		rc = rn_planned_spec(&c->ctx, &c->in[0], &s, p, e);
	} else if (kind == RN_PLAN_MODEL) {
		RN_GOTO(out, rn_model_load(c->in[0].file, &m, e));
		rc = rn_planned_model(&m, s.source, s.nsource, p, e);
		rn_model_fini(&m);
	} else {
		rc = rn_err_set(e, RN_EUSAGE, "'%s' is a stream and no spec, program or model: 'rn-explain --json' "
				"shows the plan that it carries", rn_operand_label(&c->in[0]));
	}
out:
	free((void *)(uintptr_t)s.set);
	free((void *)(uintptr_t)s.source);
	return rc;
}

static int print(const struct rn_cli *c, const struct rn_plan *p, struct rn_str *text,
		 struct rn_err *e)
{
	const char *to = rn_cli_string(c, "to");
	json_t *spec;

	if (!strcmp(to, "relnn"))
		return rn_lang_print(p, text, e);
	if (!strcmp(to, "sh"))
		return rn_lang_print_shell(p, text, e);
	RN_TRY(rn_plan_to_spec(p, &spec, e));
	rn_json_print(spec, 2, text);
	rn_str_addc(text, '\n');
	json_decref(spec);
	return rn_str_check(text, e);
}

static int run(const struct rn_cli *c, struct rn_err *e)
{
	struct rn_str text = RN_STR_INIT;
	struct rn_planned p = { 0 };
	int rc = load(c, &p, e);

	if (!rc)
		rc = print(c, p.plan, &text, e);
	if (!rc)
		rc = rn_cli_put(c, &text, e);
	rn_str_fini(&text);
	rn_planned_fini(&p);
	return rc;
}

int main(int argc, char **argv)
{
	struct rn_err e = { 0 };
	struct rn_cli c;

	rn_cli_begin(&c, &tool, argc, argv);
	return rn_cli_end(&c, run(&c, &e), &e);
}
