/* SPDX-License-Identifier: Apache-2.0
 *
 * Rewrites, those of plans and those of the tensor programs that plans become, each alone and all
 * together, on random plans: the same rows in the same order, the same values and gradients up to
 * rounding (in double), the same bits where nothing learns.  And what they say of plans that are
 * known.
 */
#include "alloc.h"
#include "rewrite_gen.h"

#include "../../lib/exec/exec.h"
#include "../../lib/exec/pass.h"
#include "../../lib/expr/grad.h"
#include "../../lib/plan/rewrite/rewriting.h"

#include <math.h>

static struct rn_backend *backend;

/* What a plan computes. */
struct result {
	int rc;
	char *message, *log;
	struct rn_pass_log passes;
	struct rn_rel *rows, *counts;
	double *z, *grad;
	size_t nz, ngrad;
};

static void result_fini(struct result *x)
{
	free(x->message);
	free(x->log);
	rn_rel_unref(x->rows);
	rn_rel_unref(x->counts);
	free(x->z);
	free(x->grad);
}

/* A weight for each value, so that the gradient tells one from the other. */
static uint32_t weigh(struct rn_prog *p, uint32_t z)
{
	const struct rn_val *v = &p->vals[z];
	struct rn_buf *b = NULL;
	float *w;

	T_CALL(rn_buf_new((size_t)v->rows * v->width * sizeof *w + 1, "weights", &b, &err), &err);
	w = b->data;
	for (size_t i = 0; i < (size_t)v->rows * v->width; i++)
		w[i] = (float)(i % 7) / 4 - 0.6f;
	z = rn_prog_ew2(p, RN_EW_MUL, z, rn_prog_const(p, v->rows, v->rank, v->dim, b, &err), &err);
	return rn_prog_colsum(p, rn_prog_fsum(p, z, NULL, 0, NULL, &err), &err);
}

static void fill_store(struct rn_params *params, struct rn_store *store)
{
	for (uint32_t i = 0; i < params->n; i++) {
		double *x = calloc(params->items[i].count, sizeof *x);
		uint32_t k;

		for (size_t j = 0; j < params->items[i].count; j++)
			x[j] = params->items[i].value[j];
		T_CALL(rn_store_add(store, params->items[i].count, &k, &err), &err);
		T_CALL(rn_store_set(store, k, x, &err), &err);
		free(x);
	}
}

static const struct rn_params *sorted;

static int by_name(const void *a, const void *b)
{
	return strcmp(sorted->items[*(const uint32_t *)a].name,
		      sorted->items[*(const uint32_t *)b].name);
}

/* Gradients by name of the parameter. */
static void read_grads(struct rn_machine *m, const struct rn_prog *p, const struct rn_params *params,
		       const uint32_t *grad, struct result *out)
{
	uint32_t order[64];

	sorted = params;
	for (uint32_t i = 0; i < params->n; i++) {
		out->ngrad += params->items[i].count;
		order[i] = i;
	}
	qsort(order, params->n, sizeof *order, by_name);
	out->grad = calloc(out->ngrad + 1, sizeof *out->grad);
	for (uint32_t k = 0, n = 0; k < params->n; n += (uint32_t)params->items[order[k++]].count)
		if (p->vals[grad[order[k]]].rows)
			T_CALL(rn_machine_get_f64(m, grad[order[k]], out->grad + n, &err), &err);
}

/* z and, behind the passes that are on, the gradients of its weighted sum. */
static void differentiate(struct rn_prog *p, const struct rn_params *params,
			  const struct rn_optimize *o, uint32_t *z, uint32_t *grad)
{
	uint32_t wrt[64], loss = weigh(p, *z), *live[65] = { z };
	bool optimize = (o->ctx->no_rewrite & RN_RW_ALL) != RN_RW_ALL;

	for (uint32_t i = 0; i < params->n; i++)
		for (uint32_t v = 0; v < p->nvals; v++)
			if (p->vals[v].kind == RN_V_PARAM && p->vals[v].param == i)
				wrt[i] = v;
	p->vals[*z].keep = p->vals[loss].keep = true;
	if (optimize)
		T_CALL(rn_prog_optimize(o, p, &loss, 1, &err), &err);
	T_CALL(rn_prog_grad(p, loss, wrt, params->n, grad, &err), &err);
	for (uint32_t i = 0; i < params->n; i++) {
		p->vals[grad[i]].keep = true;
		live[1 + i] = &grad[i];
	}
	if (optimize)
		T_CALL(rn_prog_finish(o, p, live, 1 + params->n, &err), &err);
}

static void run_program(struct rn_prog *p, struct rn_params *params, uint32_t z,
			const struct rn_optimize *o, struct result *out)
{
	struct rn_store *store = NULL;
	struct rn_machine *m = NULL;
	uint32_t grad[64];

	T_CALL(rn_params_init(params, 5, &err), &err);
	differentiate(p, params, o, &z, grad);
	T_CALL(rn_store_new(backend, RN_F64, &store, &err), &err);
	fill_store(params, store);
	T_CALL(rn_machine_new(p, backend, RN_F64, store, NULL, NULL, &m, &err), &err);
	if (m) {
		out->nz = (size_t)p->vals[z].rows * p->vals[z].width;
		out->z = calloc(out->nz + 1, sizeof *out->z);
		T_CALL(rn_machine_run(m, 0, p->ninsts, 0, &err), &err);
		if (out->nz)
			T_CALL(rn_machine_get_f64(m, z, out->z, &err), &err);
		read_grads(m, p, params, grad, out);
	}
	rn_machine_free(m);
	rn_store_free(store);
}

static void run_learned(struct rn_binding *x, uint32_t node, struct result *out)
{
	struct rn_optimize o = { .ctx = rn_binding_ctx(x), .backend = backend, .log = &out->passes };
	struct rn_params params = { 0 };
	struct rn_lrel rel = { 0 };
	struct rn_lpart flat;
	struct rn_prog p;
	uint32_t z;

	rn_prog_init(&p);
	out->rc = rn_binding_lower(x, node, true, &params, &p, &rel, &err);
	if (!out->rc) {
		T_CALL(rn_lpart_flatten(&p, &rel.parts[0], (uint32_t)rel.rel->rows, &flat, &err), &err);
		T_CALL(rn_lpart_dense(&p, &flat, &z, &err), &err);
		run_program(&p, &params, z, &o, out);
	}
	rn_lrel_fini(&rel);
	rn_prog_fini(&p);
	rn_params_fini(&params);
}

static void run_plan(struct gen *g, uint32_t no_rewrite, struct result *out)
{
	struct rn_ctx c = { .threads = 1, .mem_limit = 1 << 22, .no_rewrite = no_rewrite };
	struct rn_binding *x = NULL;

	*out = (struct result){ 0 };
	out->rc = rn_binding_new(&c, backend, g->plan, g->carried, &x, &err);
	if (!out->rc) {
		out->log = strdup(rn_binding_log(x));
		out->rows = rn_rel_ref((struct rn_rel *)rn_binding_rel(x, g->plan->runs[0].node));
		out->counts = rn_rel_ref((struct rn_rel *)rn_binding_rel(x, g->plan->runs[1].node));
		run_learned(x, g->plan->runs[0].node, out);
	}
	out->message = strdup(out->rc ? err.msg : "");
	rn_binding_free(x);
}

/* ---- the same? ------------------------------------------------------------------------------ */

static void print_rel(const struct rn_rel *r, struct rn_str *out)
{
	rn_schema_print(&r->schema, out);
	for (size_t k = 0; k < r->schema.nkey; k++)
		rn_str_addf(out, " key %u", r->schema.key[k]);
	for (uint64_t i = 0; i < r->rows; i++) {
		rn_str_add(out, " |");
		for (size_t k = 0; k < r->schema.ncols; k++) {
			rn_str_addc(out, ' ');
			rn_column_print(r->cols[k], i, out);
		}
	}
}

static bool same_rows(const struct rn_rel *a, const struct rn_rel *b)
{
	struct rn_str x = RN_STR_INIT, y = RN_STR_INIT;
	bool same;

	print_rel(a, &x);
	print_rel(b, &y);
	same = !strcmp(x.s, y.s);
	if (!same)
		printf("# %s\n# instead of\n# %s\n", y.s, x.s);
	rn_str_fini(&x);
	rn_str_fini(&y);
	return same;
}

static bool near(const double *a, const double *b, size_t n, size_t m, const char *what)
{
	double most = 1;

	for (size_t i = 0; i < n && n == m; i++)
		most = fabs(a[i]) > most ? fabs(a[i]) : most;
	for (size_t i = 0; i < n && n == m; i++)
		if (!(fabs(a[i] - b[i]) <= 1e-6 * most)) { /* sizes of groups are float */
			printf("# %s %zu is %.17g instead of %.17g\n", what, i, b[i], a[i]);
			return false;
		}
	if (n != m)
		printf("# %zu %s instead of %zu\n", m, what, n);
	return n == m;
}

static bool same(const struct result *a, const struct result *b)
{
	if (a->rc != b->rc) {
		printf("# %d %s instead of %d %s\n", b->rc, b->message, a->rc, a->message);
		return false;
	}
	return a->rc || (same_rows(a->rows, b->rows) && same_rows(a->counts, b->counts) &&
			 near(a->z, b->z, a->nz, b->nz, "values") &&
			 near(a->grad, b->grad, a->ngrad, b->ngrad, "gradients"));
}

static void explain(const struct gen *g, const struct result *x)
{
	struct rn_str s = RN_STR_INIT;

	if (!rn_plan_explain(g->plan, NULL, NULL, &s, &err))
		printf("# %s# %s\n", s.s, x->log ? x->log : "");
	rn_str_fini(&s);
}

/* Counts of plans for which something was done. */
static unsigned done[RN_NREWRITES], failed, skipped;

static void note(const struct result *x, uint32_t bit)
{
	done[bit] += !rn_rewrite_info[bit].plan && x->passes.did[bit].times;
	if (x->log && strstr(x->log, ", order "))
		done[RN_RW_ELIMINATE]++;
	else if (x->log && *x->log)
		done[bit]++;
}

static void check_plan(unsigned number)
{
	struct result want, got;
	struct gen g;
	bool ok = true;

	seed = number * 7919 + 17;
	gen_plan(&g);
	run_plan(&g, RN_RW_ALL, &want);
	skipped += want.rc == RN_ENOMEM; /* too many rows to enumerate */
	for (uint32_t rw = 0; rw <= RN_NREWRITES && ok && want.rc != RN_ENOMEM; rw++) {
		bool plan = rw == RN_NREWRITES || rn_rewrite_info[rw].plan;

		for (int always = !plan; always < 2 && ok; always++) {
			run_plan(&g, (rw < RN_NREWRITES ? RN_RW_ALL & ~RN_RW_BIT(rw) : 0) |
					     (always ? RN_RW_ALWAYS : 0), &got);
			ok = same(&want, &got);
			if (!ok)
				printf("# plan %u, %s%s\n", number,
				       rw < RN_NREWRITES ? rn_rewrite_info[rw].name : "all",
				       always ? ", always" : "");
			if (!ok)
				explain(&g, &got);
			if (rw < RN_NREWRITES && always)
				note(&got, rw);
			result_fini(&got);
		}
	}
	failed += !ok;
	result_fini(&want);
	gen_fini(&g);
}

/* ---- no memory --------------------------------------------------------------------------------- */

/* Bind a plan while the k-th allocation fails: an error and no leak, or the same as ever. */
static bool bind_without(struct gen *g, uint64_t k, bool *all)
{
	struct rn_ctx c = { .threads = 1, .no_rewrite = RN_RW_ALWAYS };
	struct rn_binding *x = NULL;
	long before = alloc_live();
	bool hit;
	int rc;

	alloc_fail(k, false);
	rc = rn_binding_new(&c, backend, g->plan, g->carried, &x, &err);
	hit = alloc_stop();
	*all = !hit;
	if (!rc)
		rn_binding_free(x);
	if (alloc_live() != before)
		printf("# allocation %llu: %ld blocks are left\n", (unsigned long long)k,
		       alloc_live() - before);
	if (rc && (rc != RN_ENOMEM || !hit))
		printf("# allocation %llu: %d %s\n", (unsigned long long)k, rc, err.msg);
	return alloc_live() == before && (!rc || (hit && rc == RN_ENOMEM));
}

static void check_memory(unsigned number)
{
	bool ok = true, all = false;
	uint64_t k = 0;
	struct gen g;

	seed = number * 7919 + 17;
	gen_plan(&g);
	ok = bind_without(&g, 0, &all) && ok; /* what is made once is made */
	for (k = 1, all = false; ok && !all; k++)
		ok = bind_without(&g, k, &all);
	T_OK(ok, "plan %u: each of %llu allocations may fail", number, (unsigned long long)k);
	gen_fini(&g);
}

/* ---- what is said ------------------------------------------------------------------------------ */

/* A cycle of n edges with a factor at each corner, over `nodes` nodes that are all linked. */
static void cycle(struct gen *g, unsigned n, unsigned nodes, const char *agg)
{
	struct rn_column *a = NULL, *b = NULL;
	uint32_t e, m, top = RN_NONE, i;
	struct rn_rel *r = NULL;
	char expr[256] = "";

	*g = (struct gen){ .nlearned = 1 };
	T_CALL(rn_plan_new(&g->plan, &err), &err);
	e = add(g, "scan", "E", RN_NONE, NULL, RN_NONE, NULL, "{'from': 'e'}");
	m = add(g, "scan", "M", RN_NONE, NULL, RN_NONE, NULL, "{'from': 'm'}");
	T_CALL(rn_column_new(RN_INT64, nodes * nodes, &a, &err), &err);
	T_CALL(rn_column_new(RN_INT64, nodes * nodes, &b, &err), &err);
	for (i = 0; i < nodes * nodes; i++) {
		a->i64[i] = i / nodes;
		b->i64[i] = i % nodes;
	}
	T_CALL(rn_rel_new("E", nodes * nodes, &r, &err), &err);
	T_CALL(rn_rel_add_col(r, "a", NULL, a, &err), &err);
	T_CALL(rn_rel_add_col(r, "b", NULL, b, &err), &err);
	g->carried[e] = r;
	T_CALL(rn_rel_new("M", nodes, &r, &err), &err);
	T_CALL(rn_column_new(RN_INT64, nodes, &a, &err), &err);
	for (i = 0; i < nodes; i++)
		a->i64[i] = i;
	T_CALL(rn_rel_add_col(r, "a", NULL, a, &err), &err);
	g->carried[m] = r;
	m = add(g, "map", "F", m, NULL, RN_NONE, NULL, "{'expr': 'Linear(1, 2)([a])'}");
	for (i = 0; i < n; i++) {
		uint32_t x = add(g, "project", NULL, e, NULL, RN_NONE, NULL,
				 "{'cols': {'a%u': 'a', 'b%u': 'b'}}", i, i);

		if (!i)
			top = x;
		else if (i + 1 < n)
			top = add(g, "join", NULL, top, NULL, x, NULL, "{'on': {'b%u': 'a%u'}}", i - 1, i);
		else
			top = add(g, "join", NULL, top, NULL, x, NULL,
				  "{'on': {'b%u': 'a%u', 'a0': 'b%u'}}", i - 1, i, i);
	}
	for (i = 0; i < n; i++) {
		char as[16], key[16];

		snprintf(as, sizeof as, "m%u", i);
		snprintf(key, sizeof key, i ? "b%u" : "a0", i - 1);
		snprintf(expr + strlen(expr), sizeof expr - strlen(expr), "%sm%u", i ? " * " : "", i);
		top = add(g, "join", NULL, top, i == 1 ? "m0" : "j", m, as, "{'on': {'%s': 'a'}}", key);
	}
	top = add(g, "project", NULL, top, NULL, RN_NONE, NULL, "{'cols': {'u': 'a0'}}");
	top = add(g, "agg", "A", top, NULL, RN_NONE, NULL, "{'expr': '%s(%s)', 'by': ['u']}", agg, expr);
	T_CALL(rn_plan_add_run(g->plan, RN_RUN_PRED, top, NULL, &err), &err);
}

static void check_said(unsigned n, unsigned nodes, const char *agg, const char *want)
{
	struct rn_ctx c = { .threads = 1, .mem_limit = 1 << 22 };
	struct rn_binding *x = NULL;
	struct gen g;
	const char *got;
	int rc;

	cycle(&g, n, nodes, agg);
	rc = rn_binding_new(&c, backend, g.plan, g.carried, &x, &err);
	got = rc ? err.msg : rn_binding_log(x);
	if (!T_OK(strstr(got, want) != NULL, "%s over cycles of %u edges, %u nodes: %s", agg, n,
		  nodes, want))
		printf("# %s\n", got);
	rn_binding_free(x);
	gen_fini(&g);
}

int main(int argc, char **argv)
{
	unsigned from = argc > 1 ? (unsigned)atoi(argv[1]) : 0;
	unsigned n = argc > 2 ? (unsigned)atoi(argv[2]) : 200;

	T_CALL(rn_backend_open("cpu", 1, &backend, NULL, &err), &err);
	for (unsigned i = from; i < from + n && failed < 3; i++)
		check_plan(i);
	T_OK(!failed, "%u random plans: rewritten, the same rows, values and gradients", n);
	T_OK(skipped < n / 2, "%u of them have too many rows", skipped);
	for (int rw = 0; rw < RN_NREWRITES && argc == 1; rw++)
		if (rw != RN_RW_RECOMPUTE) /* these values are too small: test_pass */
			T_OK(done[rw] > (rn_rewrite_info[rw].plan ? n / 10 : 0),
			     "%s: rewrote %u of them", rn_rewrite_info[rw].name, done[rw]);
	for (unsigned i = T_TSAN; i < (T_TSAN ? 2 : 3); i++)
		check_memory(i);
	check_said(3, 2, "sum", "the join is made");
	check_said(6, 12, "sum", "width 2");
	check_said(10, 12, "mean", "width 2");
	check_said(8, 12, "max", "more than the memory limit"); /* no sum: it is enumerated */
	backend->close(backend);
	return t_done();
}
