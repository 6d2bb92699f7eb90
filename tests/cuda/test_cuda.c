/* SPDX-License-Identifier: Apache-2.0
 *
 * The CUDA backend against the CPU's: every primitive and every scalar function on random
 * inputs of many sizes, lists that are run again as graphs, steps, and copies.
 *
 *   test_cuda [SEED [TRIALS]]   on the emulated device, for `make check`: once more with
 *                               blocks and threads in the other order, for the same bits
 *   RN_CUDA_TEST=device         on a real one, with larger inputs; SKIP where there is none
 *
 * A number of the device may differ from the CPU's in double by 1e-4 of the sum of |terms|,
 * NaN never passes for a number, nor the NaN that results are poisoned with for one that is to be NaN;
 * results are poisoned before each run, and two runs give the same bits.
 */
#include "emulated.h"
#include "cuda_test.h"

#include "../unit/t.h"

#include <float.h>
#include <math.h>
#include <sys/wait.h>
#include <unistd.h>

static struct rn_backend *cpu, *cuda;
static bool real_device;
static uint64_t bits_seen = 14695981039346656037u; /* a hash of every result */
static char why[2400];

/* ---- one program on both --------------------------------------------------------------------- */

struct result {
	double *x;
	size_t n;
};

static size_t numbers(const struct gen *g, uint32_t val)
{
	return (size_t)g->p.vals[val].rows * g->p.vals[val].width;
}

static void note_bits(const void *data, size_t n)
{
	const unsigned char *x = data;

	for (size_t i = 0; i < n; i++)
		bits_seen = (bits_seen ^ x[i]) * 1099511628211u;
}

/* On the CPU, in double. */
static struct result reference(struct gen *g, uint32_t val, uint32_t epoch)
{
	struct result r = { .n = numbers(g, val) };
	struct rn_machine *m;
	struct rn_err e;

	g->p.vals[val].keep = true;
	r.x = calloc(r.n + 1, sizeof *r.x);
	gen_must(rn_machine_new(&g->p, cpu, RN_F64, NULL, NULL, NULL, &m, &e), &e, "a machine");
	gen_must(rn_machine_run(m, 0, g->p.ninsts, epoch, &e), &e, "a run");
	gen_must(rn_machine_get_f64(m, val, r.x, &e), &e, "a result");
	rn_machine_free(m);
	return r;
}

static const uint32_t POISON = 0x7FD5A5A5; /* NaN, and as a row number far outside */

static void poison(struct rn_machine *m, uint32_t val)
{
	size_t n;
	void *at = rn_machine_ptr(m, val, &n);
	uint32_t *x = malloc(n + 4);
	struct rn_err e;

	for (size_t i = 0; i < n / 4; i++)
		x[i] = POISON;
	gen_must(cuda->copy_in(cuda, at, x, n / 4 * 4, &e), &e, "poison");
	free(x);
}

static void take(struct rn_machine *m, uint32_t val, float *out)
{
	struct rn_err e;

	gen_must(rn_machine_get_f32(m, val, out, &e), &e, "a result");
}

static bool is_within(double got, double want, double scale)
{
	want = fabs(want) > FLT_MAX ? (want > 0 ? INFINITY : -INFINITY) : want;
	if (isnan(want))
		return isnan(got);
	if (isinf(want) || isinf(got))
		return got == want;
	return fabs(got - want) <= 1e-4 * scale + 1e-37;
}

static bool same(const struct gen *g, uint32_t val, const float *got, const struct result *want,
		 const struct result *terms, enum scale scale)
{
	bool index = g->p.vals[val].index;

	for (size_t i = 0; i < want->n; i++) {
		uint32_t u;
		double x = got[i], w = want->x[i], s = fabs(w);

		memcpy(&u, &got[i], sizeof u);
		if (index)
			x = u;
		if (scale == BY_TERMS)
			s = terms->x[i];
		else if (scale == BY_ONE)
			s += 1;
		else if (scale == EXACTLY)
			s = 0;
		if (!is_within(x, w, s) || u == POISON) {
			snprintf(why, sizeof why,
				 "row %zu, feature %zu: %.9g instead of %.9g (scale %.3g)",
				 i / g->p.vals[val].width, i % g->p.vals[val].width, x, w, s);
			return false;
		}
	}
	return true;
}

/* Runs of one list: the first one by one, then as a graph, with other epochs. */
static bool on_device(struct gen *g, uint32_t val, const struct result *terms, enum scale scale)
{
	static const uint32_t epochs[] = { 3, 3, 4, 3 };
	size_t n = numbers(g, val);
	float *got = calloc(n + 1, sizeof *got), *first = calloc(n + 1, sizeof *first);
	struct rn_machine *m;
	struct rn_err e;
	bool ok = true;

	g->p.vals[val].keep = true;
	gen_must(rn_machine_new(&g->p, cuda, RN_F32, NULL, NULL, NULL, &m, &e), &e, "a machine");
	for (unsigned k = 0; k < 4 && ok; k++) {
		struct result want = reference(g, val, epochs[k]);

		poison(m, val);
		gen_must(rn_machine_run(m, 0, g->p.ninsts, epochs[k], &e), &e, "a run");
		take(m, val, got);
		ok = same(g, val, got, &want, terms, scale);
		if (ok && k && epochs[k] == 3 && memcmp(got, first, n * sizeof *got)) {
			snprintf(why, sizeof why, "run %u gives other bits than the first", k);
			ok = false;
		}
		if (!k)
			memcpy(first, got, n * sizeof *got);
		note_bits(got, n * sizeof *got);
		free(want.x);
	}
	rn_machine_free(m);
	free(got);
	free(first);
	return ok;
}

/* ---- primitives ---------------------------------------------------------------------------------- */

/* Of a trial: sizes at which kernels change their ways, and others. */
static void choose_size(struct gen *g, unsigned trial)
{
	static const uint32_t rows[] = { 0, 1, 2, 5, 31, 33, 100, 257, 1025, 4099 };
	static const uint32_t widths[] = { 1, 2, 3, 4, 7, 8, 16, 31, 32, 33, 64, 100, 128, 200, 300 };
	uint32_t most = real_device ? 4000000 : 40000;

	g->rows = rows[trial % 10];
	if (trial > 9)
		g->rows = gen_below(g, real_device ? 100000 : 3000);
	g->width = widths[gen_below(g, sizeof widths / sizeof *widths)];
	if (trial == 9) /* a very long segment is not left out for its width */
		g->width = widths[gen_below(g, 6)];
	if ((uint64_t)g->rows * g->width > most)
		g->rows = most / g->width;
}

static void begin(struct gen *g, uint64_t seed, unsigned trial, bool absolute)
{
	*g = (struct gen){ .state = seed * 1000 + trial, .abs = absolute };
	rn_prog_init(&g->p);
	choose_size(g, trial);
}

/* One instruction is no range: only with a second one it is replayed as a graph. */
static void add_another(struct gen *g)
{
	struct rn_err e;
	uint32_t v = gen_need(rn_prog_const_fill(&g->p, 1, 1, 1, &e), &e);

	v = gen_need(rn_prog_ew1(&g->p, RN_EW_NEG, v, &e), &e);
	g->p.vals[v].keep = true;
}

typedef uint32_t builder(struct gen *g, const void *arg);

static bool try_one(builder *build, const void *arg, enum scale scale, uint64_t seed,
		    unsigned trial)
{
	struct result terms = { 0 };
	struct gen g;
	uint32_t val;
	bool ok;

	if (scale == BY_TERMS) {
		begin(&g, seed, trial, true);
		val = build(&g, arg);
		terms = reference(&g, val, 3);
		for (size_t i = 0; i < terms.n; i++)
			terms.x[i] *= 2; /* what a mask multiplies by */
		rn_prog_fini(&g.p);
	}
	begin(&g, seed, trial, false);
	val = build(&g, arg);
	add_another(&g);
	ok = on_device(&g, val, &terms, scale);
	if (!ok) {
		size_t n = strlen(why);

		snprintf(why + n, sizeof why - n, "; trial %u: %u rows of %u", trial, g.rows,
			 g.width);
	}
	free(terms.x);
	rn_prog_fini(&g.p);
	return ok;
}

static bool try_all(builder *build, const void *arg, enum scale scale, uint64_t seed,
		    unsigned trials)
{
	for (unsigned k = 0; k < trials; k++)
		if (!try_one(build, arg, scale, seed, k))
			return false;
	return true;
}

static uint32_t by_case(struct gen *g, const void *arg)
{
	return ((const struct prim_case *)arg)->build(g);
}

static void said(bool ok, const char *what, const char *name)
{
	T_OK(ok, "%s: %s", what, name);
	if (!ok)
		printf("# %s\n", why);
}

static void test_prims(uint64_t seed, unsigned trials)
{
	for (int op = 0; op < RN_NPRIM; op++) {
		bool any = op == RN_P_ADAM || op == RN_P_SGD; /* test_steps */

		for (size_t i = 0; i < prim_ncases; i++) {
			const struct prim_case *c = &prim_cases[i];

			if ((int)c->op != op)
				continue;
			any = true;
			said(try_all(by_case, c, c->scale, seed, trials), rn_prim_name(c->op),
			     c->name);
		}
		T_OK(any, "%s has a case in tests/cuda/cases.c", rn_prim_name((enum rn_prim)op));
	}
}

static uint32_t by_function(struct gen *g, const void *arg)
{
	return build_function(g, *(const enum rn_ew *)arg);
}

static uint32_t by_special(struct gen *g, const void *arg)
{
	return build_special(g, *(const enum rn_ew *)arg);
}

static void test_functions(uint64_t seed)
{
	for (enum rn_ew fn = 0; fn < RN_NEW; fn++) {
		if (fn == RN_EW_LOAD)
			continue; /* a step of a fused program, no function */
		said(try_all(by_function, &fn, BY_VALUE, seed, 6), rn_ew_info[fn].name,
		     "random numbers");
		if (fn != RN_EW_DROPMASK)
			said(try_all(by_special, &fn, BY_VALUE, seed, 6), rn_ew_info[fn].name,
			     "NaN, infinities, zeros");
	}
}

/* ---- lists ------------------------------------------------------------------------------------------ */

static uint32_t network(struct gen *g, const void *arg)
{
	(void)arg;
	return build_network(g);
}

/* Ranges that are replayed, cut anywhere, give what single instructions give. */
static bool ranges_agree(uint64_t seed)
{
	struct gen g;
	struct rn_machine *whole, *single;
	uint32_t val, cut;
	struct rn_err e;
	bool ok = true;

	begin(&g, seed, 6, false);
	val = build_network(&g);
	g.p.vals[val].keep = true;
	cut = g.p.ninsts / 2;
	gen_must(rn_machine_new(&g.p, cuda, RN_F32, NULL, NULL, NULL, &whole, &e), &e, "a machine");
	gen_must(rn_machine_new(&g.p, cuda, RN_F32, NULL, NULL, NULL, &single, &e), &e, "a machine");
	for (uint32_t epoch = 0; epoch < 12 && ok; epoch++) {
		float a, b;

		poison(whole, val);
		poison(single, val);
		gen_must(rn_machine_run(whole, 0, cut, epoch, &e), &e, "a range");
		gen_must(rn_machine_run(whole, cut, g.p.ninsts, epoch, &e), &e, "a range");
		for (uint32_t i = 0; i < g.p.ninsts; i++)
			gen_must(rn_machine_run(single, i, i + 1, epoch, &e), &e, "an instruction");
		take(whole, val, &a);
		take(single, val, &b);
		note_bits(&a, sizeof a);
		ok = isfinite(a) && !memcmp(&a, &b, sizeof a);
		if (!ok)
			snprintf(why, sizeof why, "epoch %u: %.9g and %.9g", epoch, a, b);
	}
	rn_machine_free(whole);
	rn_machine_free(single);
	rn_prog_fini(&g.p);
	return ok;
}

/* Epochs that nobody waits for: what the device reads is not overwritten under way. */
static bool runs_ahead(uint64_t seed)
{
	enum { AHEAD = 30 };
	struct rn_machine *m;
	uint32_t val;
	struct gen g;
	struct rn_err e;
	float last, again;

	begin(&g, seed, 5, false);
	val = build_network(&g);
	g.p.vals[val].keep = true;
	gen_must(rn_machine_new(&g.p, cuda, RN_F32, NULL, NULL, NULL, &m, &e), &e, "a machine");
	for (uint32_t epoch = 0; epoch <= AHEAD; epoch++)
		gen_must(rn_machine_run(m, 0, g.p.ninsts, epoch, &e), &e, "an epoch");
	take(m, val, &last);
	gen_must(rn_machine_run(m, 0, g.p.ninsts, AHEAD, &e), &e, "an epoch");
	take(m, val, &again);
	rn_machine_free(m);
	rn_prog_fini(&g.p);
	return last == again;
}

static void test_lists(uint64_t seed)
{
	said(try_all(network, NULL, BY_ONE, seed, 8), "a network", "is what it is on the CPU");
	said(ranges_agree(seed), "a network", "replayed ranges = single instructions");
	said(runs_ahead(seed), "a network", "epochs that nobody waits for");
}

/* ---- steps ------------------------------------------------------------------------------------------- */

struct step_case {
	const char *name;
	enum rn_prim op;
	uint32_t flags;
	bool slots;
	double f[8];
};

static const struct step_case step_cases[] = {
	{ "adam", RN_P_ADAM, 0, true, { 0.01, 0.9, 0.999, 1e-8, 0.01, 0.1, 0.001 } },
	{ "adamw", RN_P_ADAM, RN_F_DECOUPLED, true, { 0.02, 0.8, 0.99, 1e-6, 0.1, 0.2, 0.01 } },
	{ "sgd", RN_P_SGD, 0, false, { 0.1, 0, 0.01, 1 } },
	{ "sgd with momentum", RN_P_SGD, 0, true, { 0.1, 0.9, 0.001, 1 } },
};

struct stepped {
	struct rn_store *params, *states;
	struct rn_machine *m;
};

static void open_stepped(struct stepped *s, struct rn_backend *b, enum rn_dtype t,
			 const struct rn_prog *p, uint32_t width, const double *start)
{
	struct rn_err e;
	uint32_t k;

	gen_must(rn_store_new(b, t, &s->params, &e), &e, "a store");
	gen_must(rn_store_new(b, t, &s->states, &e), &e, "a store");
	gen_must(rn_store_add(s->params, width, &k, &e), &e, "a parameter");
	gen_must(rn_store_set(s->params, 0, start, &e), &e, "a parameter");
	for (unsigned i = 0; i < 2; i++)
		gen_must(rn_store_add(s->states, width, &k, &e), &e, "a slot");
	gen_must(rn_machine_new(p, b, t, s->params, s->states, NULL, &s->m, &e), &e, "a machine");
}

static void close_stepped(struct stepped *s)
{
	rn_machine_free(s->m);
	rn_store_free(s->params);
	rn_store_free(s->states);
}

static bool steps_agree(const struct step_case *c, uint32_t width, uint64_t seed)
{
	struct gen g = { .state = seed };
	struct rn_inst i = rn_inst_init(c->op);
	double *start = calloc(width, sizeof *start), *a = calloc(width, sizeof *a),
	       *b = calloc(width, sizeof *b), f[8];
	struct stepped on[2];
	struct rn_err e;
	bool ok = true;

	rn_prog_init(&g.p);
	for (uint32_t k = 0; k < width; k++)
		start[k] = (float)gen_real(&g);
	i.flags = c->flags;
	i.nin = c->op == RN_P_ADAM ? 4 : c->slots ? 3 : 2;
	i.in[0].val = gen_need(rn_prog_param(&g.p, RN_V_PARAM, 0, 1, &width, &e), &e);
	i.in[1].val = gen_value(&g, 1, 1, width, 0);
	for (uint32_t k = 2; k < i.nin; k++)
		i.in[k].val = gen_need(rn_prog_param(&g.p, RN_V_STATE, k - 2, 1, &width, &e), &e);
	memcpy(i.f, c->f, sizeof c->f);
	gen_need(rn_prog_add(&g.p, &i, 1, 1, &width, &e), &e);
	gen_need(rn_prog_ew1(&g.p, RN_EW_NEG, i.in[1].val, &e), &e); /* so that it is a range */
	open_stepped(&on[0], cpu, RN_F64, &g.p, width, start);
	open_stepped(&on[1], cuda, RN_F32, &g.p, width, start);
	for (unsigned t = 0; t < 5 && ok; t++) {
		memcpy(f, c->f, sizeof f);
		f[0] /= t + 1;
		if (c->op == RN_P_SGD)
			f[RN_S_FIRST] = t == 0;
		else
			f[RN_A_BC1] = 1 - pow(f[RN_A_BETA1], t + 1);
		for (unsigned k = 0; k < 2; k++) {
			rn_machine_set_f(on[k].m, 0, f);
			gen_must(rn_machine_run(on[k].m, 0, 2, t, &e), &e, "a step");
		}
		gen_must(rn_store_get(on[0].params, 0, a, &e), &e, "a parameter");
		gen_must(rn_store_get(on[1].params, 0, b, &e), &e, "a parameter");
		note_bits(b, width * sizeof *b);
		for (uint32_t k = 0; k < width && ok; k++)
			ok = is_within(b[k], a[k], fabs(start[k]) + 1);
		if (!ok)
			snprintf(why, sizeof why, "step %u of %u numbers", t, width);
	}
	close_stepped(&on[0]);
	close_stepped(&on[1]);
	rn_prog_fini(&g.p);
	free(start);
	free(a);
	free(b);
	return ok;
}

static void test_steps(uint64_t seed)
{
	static const uint32_t widths[] = { 1, 5, 33, 257, 5000 };
	const char *wrong = steps_check(cuda);

	snprintf(why, sizeof why, "%s", wrong ? wrong : "");
	said(!wrong, "steps", "many at once");

	for (size_t i = 0; i < sizeof step_cases / sizeof *step_cases; i++) {
		bool ok = true;

		for (size_t k = 0; k < sizeof widths / sizeof *widths && ok; k++)
			ok = steps_agree(&step_cases[i], widths[k], seed + k);
		said(ok, "steps", step_cases[i].name);
	}
}

/* ---- windows, math --------------------------------------------------------------------------------------- */

#define STEPS RN_P_ADAM, 0, false, { 0.05, 0.9, 0.999, 1e-8, 0.01 }

static void test_windows(void)
{
	static const struct window_case cases[] = {
		{ "adam", RN_P_ADAM, 0, false, .f = { 0.01, 0.9, 0.999, 1e-8, 0.01 } },
		{ "adamw", RN_P_ADAM, RN_F_DECOUPLED, false, .f = { 0.02, 0.8, 0.99, 1e-6, 0.1 } },
		{ "sgd with momentum", RN_P_SGD, 0, false, .f = { 0.1, 0.9, 0.001 } },
		{ "adam that diverges", RN_P_ADAM, 0, true, .f = { 25, 0.9, 0.999, 1e-8, 0 } },
		{ "sgd that diverges", RN_P_SGD, 0, true, .f = { 0.12, 0.5, 0 } },
		{ "classes", STEPS, 1000, 1, 0, { RN_GAUGE_RIGHT, .width = 5, .higher = true } },
		{ "classes of 70000 rows", STEPS, 70000, 1, 0,
		  { RN_GAUGE_RIGHT, .width = 3, .nulls = true, .higher = true } },
		{ "classes by sign", STEPS, 256, 1, 0,
		  { RN_GAUGE_RIGHT, .width = 1, .sign = true, .nulls = true } },
		{ "classes, one not a number", STEPS, 3, 1, 0,
		  { RN_GAUGE_RIGHT, .width = 4, .nan = true, .higher = true } },
		{ "F1 by class", STEPS, 5000, 1, 0,
		  { RN_GAUGE_F1, .width = 5, .nulls = true, .higher = true } },
		{ "F1 of more classes than a block counts", STEPS, 900, 1, 0,
		  { RN_GAUGE_F1, .width = 700, .higher = true } },
		{ "F1 of one class", STEPS, 300, 1, 0,
		  { RN_GAUGE_F1_ONE, .width = 2, .nulls = true, .higher = true } },
		{ "F1 of one class by sign", STEPS, 257, 1, 0,
		  { RN_GAUGE_F1_ONE, .width = 1, .sign = true, .higher = true } },
		{ "area under ROC", STEPS, 5000, 1, 0,
		  { RN_GAUGE_AREA, .width = 2, .nulls = true, .queries = 1, .higher = true } },
		{ "area under ROC of one score", STEPS, 300, 1, 0,
		  { RN_GAUGE_AREA, .width = 1, .queries = 1, .higher = true } },
		{ "area under ROC, one not a number", STEPS, 300, 1, 0,
		  { RN_GAUGE_AREA, .width = 1, .nan = true, .queries = 1 } },
		{ "average precision of 70000 rows", STEPS, 70000, 1, 0,
		  { RN_GAUGE_PRECISION, .width = 2, .queries = 1, .higher = true } },
		{ "hits of one query", STEPS, 300, 1, 0,
		  { RN_GAUGE_HITS, .width = 2, .queries = 1, .k = 40, .higher = true } },
		{ "hits", STEPS, 3000, 1, 0,
		  { RN_GAUGE_HITS, .width = 2, .nulls = true, .queries = 90, .k = 5, .higher = true } },
		{ "reciprocal ranks", STEPS, 3000, 1, 0,
		  { RN_GAUGE_RECIPROCAL, .width = 2, .nulls = true, .queries = 300, .higher = true } },
		{ "average precision by query", STEPS, 3000, 1, 0,
		  { RN_GAUGE_MAP, .width = 2, .nulls = true, .queries = 300, .k = 7, .higher = true } },
		{ "average precision by query, of one score", STEPS, 3000, 1, 0,
		  { RN_GAUGE_MAP, .width = 1, .queries = 2, .k = 2000 } },
		{ "average precision by query, one not a number", STEPS, 300, 1, 0,
		  { RN_GAUGE_MAP, .width = 2, .nan = true, .queries = 30, .k = 3 } },
		{ "a mean", STEPS, 257, 1, 0, { RN_GAUGE_MEAN, .width = 1 } },
		{ "absolute errors", STEPS, 5000, 1, 0,
		  { RN_GAUGE_ABS, .width = 1, .truth = true, .nulls = true } },
		{ "squared errors", STEPS, 65537, 1, 0, { RN_GAUGE_ROOT, .width = 1, .truth = true } },
		{ "what is explained", STEPS, 300, 1, 0,
		  { RN_GAUGE_REST, .width = 1, .truth = true, .higher = true } },
		{ "nothing is a number", STEPS, 300, 1, 0,
		  { RN_GAUGE_ROOT, .width = 1, .truth = true, .nan = true } },
		{ "every fifth epoch", STEPS, 300, 5, 0,
		  { RN_GAUGE_REST, .width = 1, .truth = true, .higher = true } },
		{ "with patience", STEPS, 5000, 1, 3, { RN_GAUGE_ABS, .width = 1, .truth = true } },
		{ "looked at, and it diverges", RN_P_SGD, 0, true, { 0.12, 0.5, 0 }, 300, 1, 0,
		  { RN_GAUGE_MEAN, .width = 1, .higher = true } },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const char *wrong = window_check(cuda, &cases[i]);

		snprintf(why, sizeof why, "%s", wrong ? wrong : "");
		said(!wrong, "windows of epochs", cases[i].name);
	}
}

static void test_math(void)
{
	const char *wrong = math_check(cpu, cuda);

	snprintf(why, sizeof why, "%s", wrong ? wrong : "");
	said(!wrong, "math", "tf32 and bf16 round wide products, f32 none");
}

/* ---- memory --------------------------------------------------------------------------------------------- */

/* Buffers of all sizes come and go; what was copied in comes out. */
static bool buffers_hold(uint64_t seed)
{
	enum { SLOTS = 40, SMALL = 300000, LARGE = 20 << 20 };
	struct {
		void *mem;
		size_t n;
		unsigned char fill;
	} slot[SLOTS] = { 0 };
	unsigned char *host = malloc(LARGE);
	struct gen g = { .state = seed };
	struct rn_err e;
	bool ok = true;

	for (unsigned turn = 0; turn < 400 && ok; turn++) {
		unsigned s = gen_below(&g, SLOTS);

		if (!slot[s].mem) {
			slot[s].n = turn % 50 ? gen_below(&g, SMALL) : LARGE - gen_below(&g, 9);
			slot[s].fill = (unsigned char)turn;
			gen_must(cuda->alloc(cuda, slot[s].n, &slot[s].mem, &e), &e, "a buffer");
			memset(host, slot[s].fill, slot[s].n);
			gen_must(cuda->copy_in(cuda, slot[s].mem, host, slot[s].n, &e), &e, "in");
			continue;
		}
		memset(host, ~slot[s].fill, slot[s].n);
		gen_must(cuda->copy_out(cuda, host, slot[s].mem, slot[s].n, &e), &e, "out");
		for (size_t k = 0; k < slot[s].n && ok; k++)
			ok = host[k] == slot[s].fill;
		cuda->free(cuda, slot[s].mem);
		slot[s].mem = NULL;
	}
	for (unsigned s = 0; s < SLOTS; s++)
		if (slot[s].mem)
			cuda->free(cuda, slot[s].mem);
	free(host);
	return ok;
}

/* More than there is: how much was wanted, and the backend works on. */
static bool survives_want(void)
{
	struct rn_err e = { 0 };
	void *p;
	int rc = cuda->alloc(cuda, (size_t)1 << 50, &p, &e);

	if (rc != RN_ENOMEM || !strstr(e.msg, "1024.0 TiB are wanted")) {
		snprintf(why, sizeof why, "%d: %s", rc, e.msg);
		return false;
	}
	if (cuda->alloc(cuda, 1000, &p, &e))
		return false;
	cuda->free(cuda, p);
	return true;
}

/* Three results, of which each is read but by the next: places that are used again would be an order
 * that a graph has to keep. */
static bool results_lie_apart(void)
{
	struct gen g = { .state = 1 };
	struct rn_machine *m;
	struct rn_err e;
	uint32_t v[4];
	size_t n;
	bool ok;

	rn_prog_init(&g.p);
	v[0] = gen_value(&g, 100, 1, 16, 0);
	for (unsigned k = 1; k < 4; k++)
		v[k] = gen_need(rn_prog_ew1(&g.p, RN_EW_NEG, v[k - 1], &e), &e);
	gen_must(rn_machine_new(&g.p, cuda, RN_F32, NULL, NULL, NULL, &m, &e), &e, "a machine");
	ok = rn_machine_ptr(m, v[1], &n) != rn_machine_ptr(m, v[2], &n) &&
	     rn_machine_ptr(m, v[1], &n) != rn_machine_ptr(m, v[3], &n) &&
	     rn_machine_ptr(m, v[2], &n) != rn_machine_ptr(m, v[3], &n);
	rn_machine_free(m);
	rn_prog_fini(&g.p);
	return ok;
}

/* ---- all ------------------------------------------------------------------------------------------------------ */

static void test_all(uint64_t seed, unsigned trials)
{
	struct rn_err e = { 0 };
	const struct rn_backend *b = cuda;

	T_OK(!b->supports(b, NULL, &(struct rn_inst){ .op = RN_P_EW }, RN_F64), "float only");
	said(buffers_hold(seed), "memory", "buffers hold what was put there");
	said(survives_want(), "memory", "more than there is");
	said(results_lie_apart(), "memory", "small results have places of their own");
	test_prims(seed, trials);
	test_functions(seed);
	test_steps(seed);
	test_lists(seed);
	test_windows();
	test_math();
	T_CALL(cuda->sync(cuda, &e), &e);
}

/* In a process of its own, whose results come by a pipe: as a hash of every bit. */
static uint64_t in_other_order(uint64_t seed, unsigned trials)
{
	uint64_t bits = 0;
	int fd[2];
	pid_t child;

	if (pipe(fd))
		return 0;
	fflush(stdout);
	child = fork();
	if (!child) {
		struct rn_err e;

		setenv("RN_EMULATE_ORDER", "down", 1);
		if (!freopen("/dev/null", "w", stdout) || rn_cpu_backend(1, &cpu, &e) ||
		    rn_backend_open("cuda", 1, &cuda, NULL, &e))
			_exit(1);
		test_all(seed, trials);
		_exit(write(fd[1], &bits_seen, sizeof bits_seen) != sizeof bits_seen);
	}
	close(fd[1]);
	if (read(fd[0], &bits, sizeof bits) != sizeof bits)
		bits = 0;
	close(fd[0]);
	waitpid(child, NULL, 0);
	return bits;
}

int main(int argc, char **argv)
{
	const char *what = getenv("RN_CUDA_TEST");
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1, other = 0;
	unsigned trials = argc > 2 ? (unsigned)atoi(argv[2]) : getenv("RN_LONG") ? 60 : 11;
	struct rn_err e = { 0 };

	if (!what) /* thousands of kernels to compile: test_fuse has some */
		setenv("RN_CUDA_FUSE", "0", 0);
	use_emulation(argv);
	real_device = what && !strcmp(what, "device");
	printf("# seed %llu, %u trials of each case\n", (unsigned long long)seed, trials);
	if (!real_device)
		other = in_other_order(seed, trials);
	gen_must(rn_cpu_backend(1, &cpu, &e), &e, "the CPU");
	if (rn_backend_open("cuda", 1, &cuda, NULL, &e)) {
		if (real_device)
			T_SKIP(e.msg);
		else
			T_OK(false, "the emulated device: %s", e.msg);
		cpu->close(cpu);
		return t_done();
	}
	test_all(seed, trials);
	if (!real_device)
		T_OK(other == bits_seen, "blocks and threads in the other order give the same bits");
	cuda->close(cuda);
	cpu->close(cpu);
	return t_done();
}
