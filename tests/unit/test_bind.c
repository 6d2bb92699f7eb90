/* SPDX-License-Identifier: Apache-2.0
 *
 * Bindings: training and validation share what both fold, a fit does no work for constants and
 * for rows without a label, and what no later lowering needs can go.
 */
#include "alloc.h"
#include "t.h"

#include "../../lib/base/str.h"
#include "../../lib/exec/folded.h"
#include "../../lib/lang/lang.h"
#include "../../lib/train/fit.h"
#include "../../lib/train/score.h"

#include <unistd.h>

enum { NODES = 2000, EDGES = 9000, WIDTH = 16, LABELLED = 150 };

static const char program[] =
	"?source Node = \"node.csv\" <key=\"id\", emb=\"f*\"> .\n"
	"?source Cites = \"cites.csv\" .\n"
	"Degree(t, d: count(*)) :- Cites(s, t) .\n"
	"A(s, t; 1 / sqrt([d])) :- Cites(s, t), Degree(t, d) .\n"
	"L(v; Linear(16, 8)(z)) :- Node(v; z) .\n"
	"H(t; sum(a * h)) :- L(s; h), A(s, t; a) .\n"
	"L2(v; Linear(8, 3)(Dropout(0.5)(ReLU(z)))) :- H(v; z) .\n"
	"Out(t; sum(a * h)) :- L2(s; h), A(s, t; a) .\n"
	"?fit <epochs=2> Loss(; CrossEntropyLoss()(z, [y])) :- Out(v; z), Node(v, y, \"train\") .\n"
	"?val <metric=\"accuracy\", target=\"y\"> Val(v, y; z) :- Out(v; z), Node(v, y, \"val\") .\n"
	"?pred <to=\"pred.csv\"> All(v; z) :- Out(v; z) .\n";

static struct rn_err err;
static char dir[64];
static struct rn_ctx ctx = { .threads = 1, .seed = 1, .device = "cpu" };
static struct rn_backend *backend;

static uint32_t draw(uint32_t n)
{
	static uint32_t state = 7;

	state = state * 1664525u + 1013904223u;
	return (state >> 8) % n;
}

static void write_data(void)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof path, "%s/node.csv", dir);
	f = fopen(path, "w");
	fprintf(f, "id");
	for (int k = 0; k < WIDTH; k++)
		fprintf(f, ",f%d", k);
	fprintf(f, ",y,split\n");
	for (int i = 0; i < NODES; i++) {
		fprintf(f, "%d", i);
		for (int k = 0; k < WIDTH; k++)
			fprintf(f, ",%d", (int)draw(9));
		fprintf(f, ",%d,%s\n", i % 3, i < LABELLED ? "train" : "val");
	}
	fclose(f);
	snprintf(path, sizeof path, "%s/cites.csv", dir);
	f = fopen(path, "w");
	fprintf(f, "s,t\n");
	for (int i = 0; i < EDGES; i++) /* all nodes cite something that is labelled */
		fprintf(f, "%d,%d\n", i % NODES, (int)draw(i < NODES ? LABELLED : NODES));
	fclose(f);
}

static const struct rn_run *run_of(const struct rn_plan *p, enum rn_run_kind kind)
{
	uint32_t i = 0;

	while (p->runs[i].kind != kind)
		i++;
	return &p->runs[i];
}

/* The largest constant. */
static uint32_t largest(const struct rn_prog *p)
{
	uint32_t best = RN_NONE;

	for (uint32_t v = 0; v < p->nvals; v++)
		if (p->vals[v].kind == RN_V_CONST &&
		    (best == RN_NONE || p->vals[v].data->size > p->vals[best].data->size))
			best = v;
	return best;
}

static void test_programs(struct rn_binding *x, const struct rn_plan *plan,
			  struct rn_params *params)
{
	struct rn_forward val;
	struct rn_fit fit;
	uint32_t a, b, gemms = 0, rows = 0;

	T_CALL(rn_fit_build(x, backend, plan, run_of(plan, RN_RUN_FIT), params, false, &fit, &err),
	       &err);
	T_CALL(rn_forward_new(x, backend, plan, run_of(plan, RN_RUN_VAL)->node, params, &val, &err),
	       &err);
	if (err.code)
		return;
	a = largest(&fit.prog);
	b = largest(&val.prog);
	T_OK(fit.prog.vals[a].width == WIDTH && fit.prog.vals[a].rows > NODES / 2 &&
		     fit.prog.vals[a].data == val.prog.vals[b].data,
	     "training and validation have one product of adjacency and features: %u rows",
	     fit.prog.vals[a].rows);
	for (uint32_t j = 0; j < fit.prog.ninsts; j++) {
		const struct rn_inst *i = &fit.prog.insts[j];

		gemms += i->op == RN_P_GEMM && fit.prog.vals[i->out].width == WIDTH;
		rows = i->op == RN_P_CE ? fit.prog.vals[i->out].rows : rows;
		T_OK(i->op != RN_P_SPMM || fit.prog.vals[i->out].width < WIDTH,
		     "instruction %u is no sum of features", j);
	}
	T_OK(!gemms, "no gradient towards the features");
	T_OK(rows == LABELLED, "a loss of the labelled rows: %u", rows);
	rn_folded_trim(rn_binding_folded(x));
	T_OK(rn_binding_folded(x)->n > 0, "what programs have stays");
	rn_fit_fini(&fit);
	rn_forward_fini(&val);
	rn_folded_trim(rn_binding_folded(x));
	T_OK(rn_binding_folded(x)->n == 0, "and then it goes");
}

/* With and without the node that is predicted among what stays. */
static void test_release(struct rn_binding *x, const struct rn_plan *plan, struct rn_params *params)
{
	uint32_t all = run_of(plan, RN_RUN_PRED)->node, val = run_of(plan, RN_RUN_VAL)->node;
	struct rn_rel *before = NULL, *after = NULL;
	uint32_t gone = 0;

	T_CALL(rn_binding_predict(x, all, params, &before, &err), &err);
	T_CALL(rn_binding_release(x, &all, 1, &err), &err);
	T_CALL(rn_binding_predict(x, all, params, &after, &err), &err);
	T_OK(before && after && before->rows > NODES / 2 && after->rows == before->rows &&
		     !memcmp(before->parts[0].t->data, after->parts[0].t->data,
			     before->parts[0].t->nnz * sizeof(float)),
	     "what is predicted can be lowered after the rest is gone");
	rn_rel_unref(before);
	rn_rel_unref(after);
	T_CALL(rn_binding_release(x, NULL, 0, &err), &err);
	for (uint32_t i = 0; i < plan->nnodes; i++)
		gone += !rn_binding_rel(x, i) && rn_binding_node(x, i) != RN_NONE;
	T_OK(rn_binding_rel(x, val) && rn_binding_rel(x, val)->rows > NODES / 2 &&
		     rn_binding_state(x, run_of(plan, RN_RUN_FIT)->node) && gone > 8,
	     "the nodes of runs keep content and state; %u others are gone", gone);
}

int main(void)
{
	struct rn_lang_conf lang = { .ctx = &ctx, .file = "gcn", .dir = dir };
	struct rn_plan *plan = NULL;
	struct rn_rel **carried = NULL;
	struct rn_params params = { 0 };
	struct rn_binding *x = NULL;
	char cmd[96];

	snprintf(dir, sizeof dir, "%s/rn-bind-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (!mkdtemp(dir))
		return 1;
	write_data();
	T_CALL(rn_cpu_backend(1, &backend, &err), &err);
	T_CALL(rn_lang_compile(program, strlen(program), &lang, &plan, &carried, &err), &err);
	if (!err.code)
		T_CALL(rn_binding_new(&ctx, backend, plan, NULL, &x, &err), &err);
	if (!err.code) {
		test_programs(x, plan, &params);
		T_CALL(rn_params_init(&params, 1, &err), &err);
		test_release(x, plan, &params);
	}
	rn_params_fini(&params);
	rn_binding_free(x);
	free(carried);
	rn_plan_free(plan);
	backend->close(backend);
	snprintf(cmd, sizeof cmd, "rm -rf '%s'", dir);
	return system(cmd) ? 1 : t_done();
}
