/* SPDX-License-Identifier: Apache-2.0
 *
 * rn-explain: the canonical plan of a spec, a stream or a model, as text, as a
 * spec again or as a graph; what it becomes when it is optimised, and what that costs; and
 * where a staged placement cuts it.
 */
#include "../lib/base/json.h"
#include "../lib/train/analyze.h"
#include "plans.h"

#include <stdlib.h>
#include <string.h>

static const struct rn_opt opts[] = {
	{ .name = "json", .type = RN_OPT_FLAG, .help = "print a spec, which rn-train accepts" },
	{ .name = "dot", .type = RN_OPT_FLAG, .help = "print a graph for Graphviz's dot" },
	{ .name = "optimized", .type = RN_OPT_FLAG,
	  .help = "the plan after its rewrites, too, and what each stage costs" },
	{ .name = "analyze", .type = RN_OPT_FLAG, .help = "... and takes: some epochs are run" },
	{ .name = "epochs", .type = RN_OPT_INT, .meta = "N", .dflt = "5", .help = "so many" },
	{ .name = "program", .type = RN_OPT_FLAG,
	  .help = "the instructions of each fit, as lowered and as run" },
	{ .name = "placement", .type = RN_OPT_CHOICE, .meta = "KIND", .dflt = "fused",
	  .choices = "fused|staged", .help = "staged: show the cut into processes, too" },
	{ .name = "stages", .type = RN_OPT_INT, .meta = "N", .help = "into at most N processes" },
	{ .name = "source", .type = RN_OPT_LIST, .flags = RN_OPT_MULTI | RN_CLI_RAW,
	  .meta = "NAME=FILE", .help = "read source NAME from FILE" },
	{ .name = "set", .type = RN_OPT_LIST, .flags = RN_OPT_MULTI | RN_CLI_RAW,
	  .meta = "NAME=VALUE", .help = "constant NAME of a spec is VALUE" },
	RN_PLANS_MAX_INSTANCES,
};

static const char *const examples[] = {
	"rn-explain model.json",
	"rn-explain model.json --analyze",
	"rn-explain gcn.rnm --json > model.json",
	NULL,
};

static const struct rn_tool tool = {
	.name = "rn-explain",
	.what = "show the plan of a spec, a stream or a model",
	.usage = "[PROGRAM.relnn|SPEC.json|STREAM|MODEL.rnm]",
	.examples = examples,
	.see_also = "rn-train(1), rn-info(1)",
	RN_CLI_OPTS(opts),
	.min_in = 1,
	.max_in = 1,
};

/* ---- the plan -------------------------------------------------------------------------- */

/* A loss that no run names is there to be minimised. */
static int add_fit(struct rn_plan *p, uint32_t node, struct rn_err *e)
{
	json_t *opt;

	if (p->nruns || !(p->nodes[node].op->flags & RN_OP_SINK))
		return 0;
	RN_TRY(rn_json_object(&opt, e));
	return rn_plan_add_run(p, RN_RUN_FIT, node, opt, e);
}

static int load_model(const struct rn_cli *c, const char *const *source, size_t n,
		      struct rn_planned *p, struct rn_err *e)
{
	struct rn_model m;
	int rc;

	RN_TRY(rn_model_load(c->in[0].file, &m, e));
	rc = rn_planned_model(&m, source, n, p, e);
	rn_model_fini(&m);
	return rc;
}

static int load_stream(const struct rn_cli *c, const char *const *source, size_t n,
		       struct rn_planned *p, uint32_t *out, struct rn_err *e)
{
	RN_TRY(rn_planned_streams(&c->ctx, c->in, 1, out, p, e));
	RN_TRY(add_fit(p->plan, *out, e));
	return rn_planned_finish(p, out, source, n, e);
}

static int load(const struct rn_cli *c, struct rn_planned *p, uint32_t *out, struct rn_err *e)
{
	struct rn_plan_set s = { .define_only = true };
	enum rn_plan_kind kind;
	int rc;

	*out = RN_NONE;
	RN_TRY(rn_plan_set_most(c, &s, e));
	RN_GOTO(done, rn_cli_list(c, "set", &s.set, &s.nset, e));
	RN_GOTO(done, rn_cli_list(c, "source", &s.source, &s.nsource, e));
	RN_GOTO(done, rn_plan_kind(&c->in[0], &kind, e));
	if (kind == RN_PLAN_SPEC)
		rc = rn_planned_spec(&c->ctx, &c->in[0], &s, p, e);
	else if (s.nset)
		rc = rn_err_set(e, RN_EUSAGE,
				"--set is for the constants of a spec or a program, and '%s' is none",
				c->in[0].file);
	else if (kind == RN_PLAN_MODEL)
		rc = load_model(c, s.source, s.nsource, p, e);
	else
		rc = load_stream(c, s.source, s.nsource, p, out, e);
done:
	free((void *)(uintptr_t)s.set);
	free((void *)(uintptr_t)s.source);
	return rc;
}

/* ---- schemas --------------------------------------------------------------------------- */

/* Schema of node i where it is not inferred: of rows that are there, or of a source's file.
 * What lies behind such rows stays without. */
static int known_schema(const struct rn_cli *c, const struct rn_planned *p, uint32_t i, bool need,
			struct rn_schema *schema, bool *known, struct rn_err *e)
{
	const struct rn_node *n = &p->plan->nodes[i];
	bool there = i < p->ncarried && p->carried[i];
	struct rn_source *s;
	int rc;

	*known = there || !need || (n->op->flags & RN_OP_SOURCE);
	if (there)
		return rn_schema_copy(&p->carried[i]->schema, schema, e);
	if (!need || !(n->op->flags & RN_OP_SOURCE))
		return 0;
	RN_TRY(rn_source_open(&c->ctx, n, p->plan->dir, &s, e));
	rc = rn_schema_copy(rn_source_schema(s), schema, e);
	rn_source_close(s);
	return rc ? rc : rn_schema_set_name(schema, n->name, e);
}

static int infer(const struct rn_cli *c, const struct rn_planned *p, uint32_t out,
		 struct rn_schema *schemas, struct rn_err *e)
{
	uint32_t n = p->plan->nnodes;
	bool *need = NULL, *known = NULL;
	int rc;

	RN_GOTO(done, rn_planned_check(p, out, e));
	RN_GOTO(done, rn_calloc(n, sizeof *need, "a plan", &need, e));
	RN_GOTO(done, rn_calloc(n, sizeof *known, "a plan", &known, e));
	rn_planned_needs(p, p->plan->nruns || out != RN_NONE ? out : n - 1, need);
	for (uint32_t i = 0; i < n && !p->piped; i++)
		need[i] = true;
	for (uint32_t i = 0; i < n; i++)
		RN_GOTO(done, known_schema(c, p, i, need[i], &schemas[i], &known[i], e));
	rc = rn_plan_infer(p->plan, schemas, known, e);
done:
	free(need);
	free(known);
	return rc;
}

/* ---- output ------------------------------------------------------------------------------ */

static int print_json(const struct rn_planned *p, struct rn_str *text, struct rn_err *e)
{
	json_t *spec;

	RN_TRY(rn_plan_to_spec(p->plan, &spec, e));
	rn_json_print(spec, 2, text);
	rn_str_addc(text, '\n');
	json_decref(spec);
	return rn_str_check(text, e);
}

/* Without its data a plan can still be shown, without schemas. */
static int print_text(const struct rn_cli *c, const struct rn_planned *p, uint32_t out,
		      struct rn_str *text, struct rn_err *e)
{
	uint32_t n = p->plan->nnodes;
	struct rn_schema *schemas = NULL;
	struct rn_err why = { 0 };
	uint64_t *rows = NULL;
	int rc;

	RN_GOTO(done, rn_calloc(n, sizeof *schemas, "a plan", &schemas, e));
	RN_GOTO(done, rn_calloc(n, sizeof *rows, "a plan", &rows, e));
	for (uint32_t i = 0; i < n; i++)
		rows[i] = i < p->ncarried && p->carried[i] ? p->carried[i]->rows : UINT64_MAX;
	rc = infer(c, p, out, schemas, &why);
	if (rc && rc != RN_EIO) {
		rn_err_set(e, rc, "%s", why.msg);
		goto done;
	}
	if (rc)
		rn_log(&c->ctx, RN_LOG_WARN, "no schemas: %s", why.msg);
	if (rn_cli_flag(c, "dot"))
		rc = rn_plan_dot(p->plan,
				 &(struct rn_plan_dot){ .id = "n", .schemas = rc ? NULL : schemas,
							.rows = rows }, text, e);
	else
		rc = rn_plan_explain(p->plan, rc ? NULL : schemas, rows, text, e);
done:
	for (uint32_t i = 0; schemas && i < n; i++)
		rn_schema_fini(&schemas[i]);
	free(schemas);
	free(rows);
	return rc;
}

/* The processes of a staged placement: this reads the data, as training would. */
static int print_cut(const struct rn_cli *c, const struct rn_planned *p, struct rn_str *text,
		     struct rn_err *e)
{
	struct rn_train_conf conf = {
		.ctx = &c->ctx,
		.plan = p->plan,
		.carried = p->carried,
		.stages = (uint32_t)rn_cli_int(c, "stages"),
	};

	return rn_train_explain(&conf, text, e);
}

static bool analyzes(const struct rn_cli *c)
{
	return rn_cli_flag(c, "optimized") || rn_cli_flag(c, "analyze") || rn_cli_flag(c, "program");
}

static int print_both(const struct rn_cli *c, const struct rn_planned *p, uint32_t out,
		      const struct rn_analyze_text *plans, const json_t *o, struct rn_str *text,
		      struct rn_err *e)
{
	const json_t *did = json_object_get(o, "rewrites");

	if (plans->written.len)
		rn_str_add(text, plans->written.s);
	else
		RN_TRY(print_text(c, p, out, text, e));
	rn_str_add(text, "\nrewritten:\n");
	for (size_t i = 0; i < json_array_size(did); i++)
		rn_str_addf(text, "%s\n", json_string_value(json_array_get(did, i)));
	rn_str_addf(text, "%s%s", json_array_size(did) ? "\n" : "", plans->run.s);
	return rn_analyze_print(o, text, e);
}

/* The plan, what the rewrites did, what they made, and what its fits cost: this reads the data. */
static int print_analysis(const struct rn_cli *c, const struct rn_planned *p, uint32_t out,
			  struct rn_str *text, struct rn_err *e)
{
	struct rn_analyze_conf conf = {
		.train = { .ctx = &c->ctx, .plan = p->plan, .carried = p->carried },
		.epochs = rn_cli_flag(c, "analyze") ? (uint32_t)rn_cli_int(c, "epochs") : 0,
		.program = rn_cli_flag(c, "program"),
		.written_mem = json_object_get(c->opt, "mem") ? c->ctx.mem_limit : 0,
		.dot = rn_cli_flag(c, "dot"),
	};
	struct rn_analyze_text plans = { RN_STR_INIT, RN_STR_INIT };
	json_t *o = NULL;
	int rc = rn_analyze(&conf, &plans, &o, e);

	if (!rc && rn_cli_flag(c, "json")) {
		rn_json_print(o, 4, text);
		rn_str_addc(text, '\n');
	} else if (!rc && conf.dot) {
		rn_str_addf(text, "%s%s", plans.written.len ? plans.written.s : "", plans.run.s);
	} else if (!rc) {
		rc = print_both(c, p, out, &plans, o, text, e);
	}
	if (!rc)
		rc = rn_str_check(text, e);
	rn_str_fini(&plans.written);
	rn_str_fini(&plans.run);
	json_decref(o);
	return rc;
}

static int check_options(const struct rn_cli *c, struct rn_err *e)
{
	bool staged = !strcmp(rn_cli_string(c, "placement"), "staged");
	long long n = rn_cli_int(c, "stages");

	if (json_object_get(c->opt, "stages") && !staged)
		return rn_err_set(e, RN_EUSAGE, "--stages wants --placement staged");
	if (json_object_get(c->opt, "stages") && (n < 1 || n > 1000000000))
		return rn_err_set(e, RN_EUSAGE, "--stages must be 1 to 1000000000, not %lld", n);
	if (rn_cli_int(c, "epochs") < 1 || rn_cli_int(c, "epochs") > 1000000)
		return rn_err_set(e, RN_EUSAGE, "--epochs must be 1 to 1000000, not %lld",
				  (long long)rn_cli_int(c, "epochs"));
	if (json_object_get(c->opt, "epochs") && !rn_cli_flag(c, "analyze"))
		return rn_err_set(e, RN_EUSAGE, "--epochs wants --analyze");
	if (rn_cli_flag(c, "dot") &&
	    (staged || rn_cli_flag(c, "json") || rn_cli_flag(c, "program")))
		return rn_err_set(e, RN_EUSAGE, "--dot is a graph of the plan alone, without %s",
				  staged ? "a placement" : rn_cli_flag(c, "json") ? "--json"
										  : "--program");
	if (staged && rn_cli_flag(c, "json"))
		return rn_err_set(e, RN_EUSAGE, "--json is the plan alone, without a placement");
	return 0;
}

static int run(const struct rn_cli *c, struct rn_err *e)
{
	struct rn_str text = RN_STR_INIT;
	struct rn_planned p = { 0 };
	uint32_t out;
	int rc;

	RN_TRY(check_options(c, e));
	rc = load(c, &p, &out, e);
	if (rn_cli_flag(c, "dot"))
		rn_str_add(&text, "digraph plan {\n"
				  "\tnode [shape=box, fontname=\"monospace\", fontsize=10];\n"
				  "\tedge [fontname=\"monospace\", fontsize=9];\n");
	if (!rc && analyzes(c))
		rc = print_analysis(c, &p, out, &text, e);
	else if (!rc && rn_cli_flag(c, "json"))
		rc = print_json(&p, &text, e);
	else if (!rc)
		rc = print_text(c, &p, out, &text, e);
	if (!rc && !strcmp(rn_cli_string(c, "placement"), "staged"))
		rc = print_cut(c, &p, &text, e);
	rn_str_add(&text, rn_cli_flag(c, "dot") ? "}\n" : "");
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
