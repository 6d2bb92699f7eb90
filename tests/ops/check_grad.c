/* SPDX-License-Identifier: Apache-2.0
 *
 * Properties of programs: gradients by central differences in double, what the
 * passes may not change, and threads.
 *
 * The operator is lowered with the parts of its inputs as parameters; the loss is
 * the sum of its output × fixed random weights.  Kinks (0 of relu, ties of max,
 * the bounds of clamp, where round jumps) are not looked for: values are random
 * reals, so that a step of 1e-5 practically never crosses one, and where it did the
 * smaller step decides.  Repeated rows are exact ties, and there both sides agree.
 */
#include "ops.h"

#include "../../lib/exec/pass.h"
#include "../../lib/expr/grad.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SPARSE = 1, RESTRICT = 2, FUSE = 4, FOLD = 8 };
enum { MAX_ENTRIES = 24 }; /* of a parameter that are perturbed */

/* ---- building ---------------------------------------------------------------------------- */

static uint32_t need(uint32_t v, const struct rn_err *e)
{
	if (v == RN_NONE)
		must(RN_EBUG, e, "building a program");
	return v;
}

uint32_t model_param(struct model *m, const char *name, uint32_t rows, uint32_t rank,
		     const uint32_t *dim, const float *value)
{
	struct rn_param_spec s = { .name = name, .rank = 1, .dim = { rows } };
	struct rn_buf *b;
	uint32_t number;
	struct rn_err e;

	for (uint32_t i = 0; i < rank; i++)
		s.dim[0] *= dim[i];
	if (!s.dim[0]) { /* nothing to differentiate by */
		must(rn_buf_new(0, "no rows", &b, &e), &e, "a constant");
		return need(rn_prog_const(&m->p, rows, rank, dim, b, &e), &e);
	}
	must(rn_params_get(&m->params, &s, &number, &e), &e, "a parameter");
	memcpy(m->params.items[number].value, value, s.dim[0] * sizeof *value);
	return need(rn_prog_view(&m->p,
				 need(rn_prog_param(&m->p, RN_V_PARAM, number, 1, s.dim, &e), &e),
				 rows, rank, dim, &e),
		    &e);
}

void model_add_loss(struct model *m, uint32_t val, struct rnd *r)
{
	struct rn_val v = m->p.vals[val];
	struct rn_buf *b;
	struct rn_err e;
	uint32_t x;

	must(rn_buf_new((size_t)v.rows * v.width * sizeof(float), "weights", &b, &e), &e,
	     "weights");
	for (size_t i = 0; i < (size_t)v.rows * v.width; i++)
		((float *)b->data)[i] = (float)rnd_real(r);
	x = need(rn_prog_const(&m->p, v.rows, v.rank, v.dim, b, &e), &e);
	x = need(rn_prog_ew2(&m->p, RN_EW_MUL, val, x, &e), &e);
	x = need(rn_prog_fsum(&m->p, x, NULL, 0, NULL, &e), &e);
	x = need(rn_prog_colsum(&m->p, x, &e), &e);
	m->loss = m->loss == RN_NONE ? x : need(rn_prog_ew2(&m->p, RN_EW_ADD, m->loss, x, &e), &e);
}

void model_differentiate(struct model *m)
{
	uint32_t *wrt = calloc(m->params.n + 1, sizeof *wrt);
	struct rn_err e;

	m->grad = calloc(m->params.n + 1, sizeof *m->grad);
	for (uint32_t k = 0; k < m->params.n; k++)
		for (uint32_t v = 0; v < m->p.nvals; v++)
			if (m->p.vals[v].kind == RN_V_PARAM && m->p.vals[v].param == k)
				wrt[k] = v;
	m->nforward = m->p.ninsts;
	must(rn_prog_grad(&m->p, m->loss, wrt, m->params.n, m->grad, &e), &e, "gradients");
	m->p.vals[m->loss].keep = true;
	for (uint32_t k = 0; k < m->params.n; k++)
		m->p.vals[m->grad[k]].keep = true;
	free(wrt);
}

void model_fini(struct model *m)
{
	rn_prog_fini(&m->p);
	rn_params_fini(&m->params);
	free(m->grad);
}

/* The output's parts into the loss; `subset`: only some of the rows, some of them twice. */
static bool add_parts(struct model *m, const struct rn_lrel *out, uint32_t rows, bool subset,
		      struct rnd *r)
{
	struct rn_err e;

	for (size_t i = 0; i < out->nparts; i++) {
		struct rn_lpart flat;
		uint32_t n = rows / 3, *map, val;

		must(rn_lpart_flatten(&m->p, &out->parts[i], rows, &flat, &e), &e, "flattening");
		if (flat.base_rows != rows || (!flat.sparse && m->p.vals[flat.val].rows != rows))
			return fail("part %zu has %u rows of %u", i, m->p.vals[flat.val].rows,
				    rows);
		val = flat.val;
		if (subset) {
			must(rn_lpart_dense(&m->p, &flat, &val, &e), &e, "a dense part");
			map = calloc(n + 1, sizeof *map);
			for (uint32_t k = 0; k < n; k++)
				map[k] = rnd_below(r, rows);
			val =
			    need(rn_prog_gather(&m->p, val,
						need(rn_prog_idx_copy(&m->p, map, n, &e), &e), &e),
				 &e);
			free(map);
		}
		model_add_loss(m, val, r);
	}
	return true;
}

static void lower(struct trial *t, struct model *m, void *state, const struct rn_rel *content,
		  struct rn_lrel *out)
{
	struct rn_param_source ps = { .prog = &m->p, .params = &m->params };
	struct rn_lower lw = { .ctx = &quiet,
			       .prog = &m->p,
			       .training = true,
			       .param = rn_param_source_get,
			       .param_arg = &ps };
	struct rn_lrel in[MAX_INPUTS] = { 0 };
	struct rn_err e;

	for (uint32_t i = 0; i < t->nin; i++) {
		must(rn_lrel_from_rel(&m->p, t->in[i], &in[i], &e), &e, "inputs of a program");
		for (size_t k = 0; k < in[i].nparts; k++) {
			const struct rn_val *v = &m->p.vals[in[i].parts[k].val];
			uint32_t dim[4];
			char name[64];

			memcpy(dim, v->dim, sizeof dim);
			snprintf(name, sizeof name, "input %u, part %s", i, in[i].parts[k].name);
			in[i].parts[k].val =
			    model_param(m, name, v->rows, v->rank, dim, t->in[i]->parts[k].t->data);
		}
	}
	out->rel = content;
	must(t->node.op->lower(&lw, &t->node, state, in, out, &e), &e, "lowering");
	for (uint32_t i = 0; i < t->params.n; i++) {
		long at = rn_params_find(&m->params, t->params.items[i].name);

		if (at >= 0)
			memcpy(m->params.items[at].value, t->params.items[i].value,
			       t->params.items[i].count * sizeof(float));
	}
	for (uint32_t i = 0; i < t->nin; i++)
		rn_lrel_fini(&in[i]);
	rn_param_source_fini(&ps);
}

static int sparsify(struct rn_prog *p, struct rn_err *e)
{
	uint32_t count = 0;

	RN_TRY(rn_pass_hoist(p, &count, e));
	RN_TRY(rn_pass_sparse(p, &count, e));
	RN_TRY(rn_pass_stack(p, &count, e));
	return rn_pass_sparse(p, &count, e);
}

static void run_passes(struct model *m, unsigned passes)
{
	struct rn_err e;

	if (passes & FOLD)
		must(rn_pass_fold(&m->p, backends[0], &e), &e, "rn_pass_fold");
	if (passes & SPARSE)
		must(sparsify(&m->p, &e), &e, "the passes for sparse products");
	if (passes & RESTRICT)
		must(rn_pass_restrict(&m->p, &m->loss, 1, &e), &e, "rn_pass_restrict");
}

static void after_passes(struct model *m, unsigned passes)
{
	uint32_t **live = calloc(m->params.n + 1, sizeof *live);
	struct rn_err e;

	live[0] = &m->loss;
	for (uint32_t k = 0; k < m->params.n; k++)
		live[k + 1] = &m->grad[k];
	if (passes & FUSE) {
		must(rn_pass_fuse(&m->p, false, &e), &e, "rn_pass_fuse");
		must(rn_pass_sweep(&m->p, live, m->params.n + 1, &e), &e, "rn_pass_sweep");
	}
	free(live);
}

/* The node as a model; false with `why`. */
static bool trial_model(struct trial *t, unsigned passes, bool subset, struct model *m)
{
	const struct rn_schema *schema[MAX_INPUTS];
	const struct rn_rel *in[MAX_INPUTS];
	struct rnd r = { t->seed ^ 0xBADC0DE };
	struct rn_lrel out = { 0 };
	struct rn_rel *content;
	struct rn_err e;
	void *state;
	bool ok;

	*m = (struct model){ .loss = RN_NONE };
	rn_prog_init(&m->p);
	for (uint32_t i = 0; i < t->nin; i++) {
		in[i] = t->in[i];
		schema[i] = &in[i]->schema;
	}
	must(rn_calloc(1, t->node.op->state_size, "a state", &state, &e), &e, "a state");
	must(rn_node_bind(&quiet, &t->node, schema, in, state, &content, &e), &e, "bind");
	lower(t, m, state, content, &out);
	ok = add_parts(m, &out, (uint32_t)content->rows, subset, &r);
	if (ok) {
		run_passes(m, passes);
		model_differentiate(m);
		after_passes(m, passes);
	}
	rn_lrel_fini(&out);
	if (t->node.op->close)
		t->node.op->close(state);
	free(state);
	rn_rel_unref(content);
	return ok;
}

/* ---- running ----------------------------------------------------------------------------- */

static size_t nvalues(const struct model *m)
{
	return (size_t)rn_params_count(&m->params);
}

static struct rn_store *make_store(const struct model *m, struct rn_backend *b, enum rn_dtype type)
{
	struct rn_store *s;
	struct rn_err e;

	must(rn_store_new(b, type, &s, &e), &e, "a store");
	for (uint32_t k = 0; k < m->params.n; k++) {
		uint32_t number;

		must(rn_store_add(s, m->params.items[k].count, &number, &e), &e, "a parameter");
		must(rn_store_set_f32(s, number, m->params.items[k].value, &e), &e, "a parameter");
	}
	return s;
}

/* Loss and all gradients: 1 + nvalues(m) numbers, owned. */
static double *run_model(struct model *m, struct rn_backend *b, enum rn_dtype type)
{
	double *x = calloc(1 + nvalues(m), sizeof *x), *at = x + 1;
	struct rn_store *s = make_store(m, b, type);
	struct rn_machine *mc;
	struct rn_err e;

	must(rn_machine_new(&m->p, b, type, s, NULL, NULL, &mc, &e), &e, "a machine");
	must(rn_machine_run(mc, 0, m->p.ninsts, 3, &e), &e, "a run");
	must(rn_machine_get_f64(mc, m->loss, x, &e), &e, "the loss");
	for (uint32_t k = 0; k < m->params.n; k++) {
		must(rn_machine_get_f64(mc, m->grad[k], at, &e), &e, "a gradient");
		at += m->params.items[k].count;
	}
	rn_machine_free(mc);
	rn_store_free(s);
	return x;
}

static double loss_at(struct model *m, struct rn_machine *mc, struct rn_store *s, uint32_t k,
		      double *x, size_t entry, double value)
{
	double kept = x[entry], loss;
	struct rn_err e;

	x[entry] = value;
	must(rn_store_set(s, k, x, &e), &e, "a parameter");
	must(rn_machine_run(mc, 0, m->nforward, 3, &e), &e, "a run");
	must(rn_machine_get_f64(mc, m->loss, &loss, &e), &e, "the loss");
	x[entry] = kept;
	return loss;
}

/* Central differences of one parameter. */
static bool check_param(struct model *m, struct rn_machine *mc, struct rn_store *s, uint32_t k,
			const double *grad, struct rnd *r)
{
	size_t count = m->params.items[k].count, n = count < MAX_ENTRIES ? count : MAX_ENTRIES;
	double *x = calloc(count, sizeof *x);
	struct rn_err e;
	bool ok = true;

	for (size_t i = 0; i < count; i++)
		x[i] = (double)m->params.items[k].value[i];
	for (size_t i = 0; i < n && ok; i++) {
		size_t entry = count > n ? rnd_below(r, (uint32_t)count) : i;
		double h = 1e-5, d = 0;

		for (ok = false; !ok && h > 1e-7; h /= 16) {
			d = (loss_at(m, mc, s, k, x, entry, x[entry] + h) -
			     loss_at(m, mc, s, k, x, entry, x[entry] - h)) /
			    (2 * h);
			ok = fabs(d - grad[entry]) <= 1e-7 * (1e-5 / h) * (1 + fabs(d));
		}
		if (!ok)
			fail("%s, entry %zu: gradient %.12g, by differences %.12g",
			     m->params.items[k].name, entry, grad[entry], d);
	}
	must(rn_store_set(s, k, x, &e), &e, "a parameter");
	free(x);
	return ok;
}

bool model_check(struct model *m, struct rnd *r)
{
	double *got = run_model(m, backends[0], RN_F64), *grad = got + 1;
	struct rn_store *s = make_store(m, backends[0], RN_F64);
	struct rn_machine *mc;
	struct rn_err e;
	bool ok = true;

	must(rn_machine_new(&m->p, backends[0], RN_F64, s, NULL, NULL, &mc, &e), &e, "a machine");
	for (uint32_t k = 0; k < m->params.n && ok; k++) {
		ok = check_param(m, mc, s, k, grad, r);
		grad += m->params.items[k].count;
	}
	rn_machine_free(mc);
	rn_store_free(s);
	free(got);
	return ok;
}

/* ---- properties -------------------------------------------------------------------------- */

bool check_gradients(struct trial *t)
{
	struct rnd r = { t->seed + 1 };
	struct model m;
	bool ok;

	if (!t->out->schema.nparts)
		return true;
	ok = trial_model(t, 0, false, &m) && model_check(&m, &r);
	model_fini(&m);
	return ok;
}

static bool same_numbers(const double *a, const double *b, size_t n, double tol, const char *what)
{
	double scale = 1;

	for (size_t i = 0; i < n; i++)
		scale = fmax(scale, fabs(a[i]));
	for (size_t i = 0; i < n; i++)
		if (!(fabs(a[i] - b[i]) <= tol * scale) && memcmp(&a[i], &b[i], sizeof *a))
			return fail("after %s number %zu is %.17g, before it was %.17g", what, i,
				    b[i], a[i]);
	return true;
}

static bool passes_keep(struct trial *t, bool subset)
{
	static const struct {
		const char *name;
		unsigned passes;
	} variants[] = {
		{ "sparse", SPARSE },
		{ "restrict", RESTRICT },
		{ "fuse", FUSE },
		{ "sparse, restrict and fuse", SPARSE | RESTRICT | FUSE },
	};
	struct model m;
	double *want;
	bool ok = trial_model(t, 0, subset, &m);
	size_t n = 1 + nvalues(&m);

	want = ok ? run_model(&m, backends[0], RN_F64) : NULL;
	model_fini(&m);
	for (size_t i = 0; ok && i < sizeof variants / sizeof *variants; i++) {
		ok = trial_model(t, variants[i].passes, subset, &m);
		if (ok) {
			double *got = run_model(&m, backends[0], RN_F64);

			ok = same_numbers(want, got, n, 1e-12, variants[i].name);
			free(got);
		}
		model_fini(&m);
	}
	free(want);
	return ok;
}

/* Loss and gradients are the same after the passes, for all rows and for some. */
bool check_passes(struct trial *t)
{
	if (!t->out->schema.nparts)
		return true;
	return passes_keep(t, false) && (t->out->rows < 1 || passes_keep(t, true));
}

/* Training programs as they are run: the same bits on 1, 2 and 4 threads; and fusing and
 * folding change no bit. */
bool check_train_threads(struct trial *t)
{
	double *want = NULL, *got;
	struct model m;
	bool ok = true;
	size_t n = 0;

	for (int i = 0; t->out->schema.nparts && ok && i < 4; i++) {
		unsigned passes = SPARSE | (i < 3 ? FUSE | FOLD : 0);

		ok = trial_model(t, passes, false, &m);
		if (ok) {
			n = 1 + nvalues(&m);
			got = run_model(&m, backends[i % 3], RN_F32);
			if (want && memcmp(want, got, n * sizeof *got))
				ok = fail(i < 3 ? "%d threads give other bits"
						: "fusing changes bits",
					  1 << i);
			if (want)
				free(got);
			else
				want = got;
		}
		model_fini(&m);
	}
	free(want);
	return ok;
}
