/* SPDX-License-Identifier: Apache-2.0
 *
 * Parameters (initial values, names, .npy) and optimizers (PyTorch's formulas,
 * weight decay by name).
 */
#include "t.h"

#include "../../lib/learn/optim.h"
#include "../../lib/learn/params.h"

#include <math.h>
#include <stdbool.h>
#include <unistd.h>

static struct rn_err err;

static uint32_t get(struct rn_params *p, const char *name, uint32_t in, uint32_t out,
		    enum rn_init init, double arg)
{
	struct rn_param_spec s = { .name = name, .rank = out ? 2 : 1, .dim = { in, out },
				   .init = init, .arg = arg, .fan_in = in, .fan_out = out };
	uint32_t number = RN_NONE;

	err = (struct rn_err){ 0 };
	if (rn_params_get(p, &s, &number, &err))
		return RN_NONE;
	return number;
}

struct moments {
	double min, max, mean, std;
};

static struct moments moments_of(const struct rn_param *p)
{
	struct moments m = { INFINITY, -INFINITY, 0, 0 };

	for (size_t i = 0; i < p->count; i++) {
		m.min = fmin(m.min, p->value[i]);
		m.max = fmax(m.max, p->value[i]);
		m.mean += p->value[i] / (double)p->count;
	}
	for (size_t i = 0; i < p->count; i++)
		m.std += pow(p->value[i] - m.mean, 2) / (double)p->count;
	m.std = sqrt(m.std);
	return m;
}

/* The largest |v_i . v_j - (i == j) g²| of the rows, or of the columns, of a parameter. */
static double off_right_angles(const struct rn_param *p, bool columns, double g)
{
	size_t rows = p->dim[0], cols = p->dim[1], n = columns ? cols : rows;
	double worst = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++) {
			double dot = i == j ? -g * g : 0;

			for (size_t k = 0; k < p->count / n; k++)
				dot += (double)p->value[columns ? k * cols + i : i * cols + k] *
				       (double)p->value[columns ? k * cols + j : j * cols + k];
			worst = fmax(worst, fabs(dot));
		}
	return worst;
}

/* Initial values whose form says more than their moments. */
static void check_shaped(void)
{
	struct rn_params p = { 0 };
	struct moments m;
	bool eye = true;

	get(&p, "wide", 7, 12, RN_INIT_ORTHOGONAL, 1);
	get(&p, "tall", 12, 7, RN_INIT_ORTHOGONAL, 3);
	get(&p, "eye", 3, 5, RN_INIT_EYE, 0);
	get(&p, "narrow", 200, 150, RN_INIT_TRUNC_NORMAL, 0.5);
	get(&p, "cut", 200, 150, RN_INIT_TRUNC_NORMAL, 1);
	get(&p, "flat", 200, 150, RN_INIT_TRUNC_NORMAL, 50);
	T_CALL(rn_params_init(&p, 1, &err), &err);
	T_OK(off_right_angles(&p.items[0], false, 1) < 1e-6 &&
		     off_right_angles(&p.items[1], true, 3) < 1e-5, "orthogonal rows, or columns");
	for (size_t i = 0; i < 15; i++)
		eye = eye && p.items[2].value[i] == (i / 5 == i % 5 ? 1 : 0);
	T_OK(eye, "eye");
	/* Deviations of N(0, s²) between -2 and 2; at 50 that is nearly U(-2, 2). */
	for (uint32_t i = 3; i < 6; i++) {
		const double std[] = { 0.4997, 0.8796, 1.1545 };

		m = moments_of(&p.items[i]);
		T_OK(m.min >= -2 && m.max <= 2 && fabs(m.mean) < 0.03 && fabs(m.std / std[i - 3] - 1) < 0.02,
		     "%s: mean %.5f, deviation %.5f", p.items[i].name, m.mean, m.std);
	}
	rn_params_fini(&p);
}

static void test_init(void)
{
	enum { IN = 200, OUT = 150 };
	static const struct {
		const char *name;
		enum rn_init init;
		double arg, bound, std; /* bound 0: normal */
	} row[] = {
		{ "default", RN_INIT_DEFAULT, 0, 0.07071067811865475, 0 }, /* 1 / sqrt 200 */
		{ "uniform", RN_INIT_UNIFORM, 0.5, 0.5, 0 },
		{ "normal", RN_INIT_NORMAL, 0.5, 0, 0.5 },
		{ "xavier_uniform", RN_INIT_XAVIER_UNIFORM, 0, 0.13093073414159542, 0 }, /* sqrt(6/350) */
		{ "xavier_normal", RN_INIT_XAVIER_NORMAL, 0, 0, 0.0755928946018454 },    /* sqrt(2/350) */
		{ "kaiming_uniform", RN_INIT_KAIMING_UNIFORM, 0, 0.17320508075688773, 0 }, /* sqrt(6/200) */
		{ "kaiming_normal", RN_INIT_KAIMING_NORMAL, 0, 0, 0.1 },                   /* sqrt(2/200) */
	};
	struct rn_params p = { 0 };

	for (size_t i = 0; i < sizeof row / sizeof row[0]; i++)
		get(&p, row[i].name, IN, OUT, row[i].init, row[i].arg);
	get(&p, "fill", 3, 0, RN_INIT_FILL, -2.5);
	check_shaped();
	T_CALL(rn_params_init(&p, 1, &err), &err);
	for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
		struct moments m = moments_of(&p.items[i]);
		double b = row[i].bound, std = b > 0 ? b / sqrt(3) : row[i].std;

		T_OK((b == 0 || (m.min >= -b && m.max <= b && m.max > 0.99 * b && m.min < -0.99 * b)) &&
			     fabs(m.mean) < 4 * std / sqrt(IN * OUT) && fabs(m.std / std - 1) < 0.02,
		     "%s: mean %.5f, deviation %.5f", row[i].name, m.mean, m.std);
	}
	T_OK(p.items[7].value[0] == -2.5f && p.items[7].value[2] == -2.5f, "fill");
	rn_params_fini(&p);
}

/* A value is the draw at its row and column, whatever else there is. */
static void test_draws(void)
{
	struct rn_params p = { 0 }, q = { 0 };
	struct rn_rng_key key = rn_rng_key("h1.weight", 42);
	uint32_t at;
	bool same = true;

	get(&q, "h1.weight", 5, 7, RN_INIT_UNIFORM, 2);
	get(&p, "other", 3, 3, RN_INIT_DEFAULT, 0);
	at = get(&p, "h1.weight", 5, 7, RN_INIT_UNIFORM, 2);
	T_CALL(rn_params_init(&p, 42, &err), &err);
	T_CALL(rn_params_init(&q, 42, &err), &err);
	for (uint32_t i = 0; i < 5; i++)
		for (uint32_t j = 0; j < 7; j++)
			same &= p.items[at].value[i * 7 + j] ==
				(float)(2 * (2 * (double)rn_rng_uniform(key, i, j, 0) - 1));
	T_OK(same, "value (i, j) is draw (i, j) of its name");
	T_OK(!memcmp(p.items[at].value, q.items[0].value, 35 * sizeof(float)),
	     "other parameters do not matter");
	T_CALL(rn_params_init(&q, 43, &err), &err);
	T_OK(memcmp(p.items[at].value, q.items[0].value, 35 * sizeof(float)), "another seed does");
	q.items[0].loaded = true;
	T_CALL(rn_params_init(&q, 42, &err), &err);
	T_OK(memcmp(p.items[at].value, q.items[0].value, 35 * sizeof(float)), "loaded values stay");
	rn_params_fini(&p);
	rn_params_fini(&q);
}

static void test_names(void)
{
	struct rn_params p = { 0 };

	T_OK(get(&p, "a", 2, 3, RN_INIT_DEFAULT, 0) == 0 && get(&p, "b", 2, 0, RN_INIT_DEFAULT, 0) == 1 &&
		     get(&p, "a", 2, 3, RN_INIT_DEFAULT, 0) == 0 && p.n == 2,
	     "equal names are one parameter");
	T_OK(rn_params_count(&p) == 8 && rn_params_find(&p, "b") == 1 && rn_params_find(&p, "c") < 0,
	     "count and find");
	T_OK(get(&p, "a", 3, 2, RN_INIT_DEFAULT, 0) == RN_NONE && err.code == RN_EUSAGE &&
		     strstr(err.msg, "parameter 'a' is [2,3] where it was asked for first and [3,2] here"),
	     "shapes must agree: %s", err.msg);
	p.frozen = true;
	T_OK(get(&p, "b", 2, 0, RN_INIT_DEFAULT, 0) == 1, "a frozen table has what it has");
	T_OK(get(&p, "c", 2, 0, RN_INIT_DEFAULT, 0) == RN_NONE &&
		     !strcmp(err.msg, "parameter 'c' was never trained (there are a, b)"),
	     "and nothing else: %s", err.msg);
	rn_params_fini(&p);
}

static void test_npy(void)
{
	char dir[] = "/tmp/rn-test-learn-XXXXXX", cmd[64];
	struct rn_params p = { 0 }, q = { 0 };

	if (!mkdtemp(dir))
		exit(1);
	get(&p, "w", 4, 3, RN_INIT_NORMAL, 1);
	get(&p, "b", 3, 0, RN_INIT_NORMAL, 1);
	T_CALL(rn_params_init(&p, 1, &err), &err);
	p.items[0].value[5] = -0.0f;
	T_CALL(rn_params_save_npy(&p, dir, &err), &err);
	get(&q, "b", 3, 0, RN_INIT_DEFAULT, 0);
	get(&q, "new", 9, 9, RN_INIT_FILL, 7);
	get(&q, "w", 4, 3, RN_INIT_DEFAULT, 0);
	T_CALL(rn_params_load_npy(&q, dir, &err), &err);
	T_CALL(rn_params_init(&q, 1, &err), &err);
	T_OK(!memcmp(q.items[2].value, p.items[0].value, 12 * sizeof(float)) &&
		     !memcmp(q.items[0].value, p.items[1].value, 3 * sizeof(float)),
	     "values come back by name, to the bit");
	T_OK(q.items[1].value[80] == 7 && !q.items[1].loaded, "one without a file is initialised");
	rn_params_fini(&q);
	get(&q, "w", 3, 4, RN_INIT_DEFAULT, 0);
	T_OK(rn_params_load_npy(&q, dir, &err) == RN_EDATA &&
		     strstr(err.msg, "w.npy' is [4,3], but parameter 'w' is [3,4]"), "%s", err.msg);
	rn_params_fini(&q);
	get(&q, "x", 3, 4, RN_INIT_DEFAULT, 0);
	T_OK(rn_params_load_npy(&q, dir, &err) == RN_EUSAGE, "%s", err.msg);
	get(&q, "a/b", 3, 4, RN_INIT_DEFAULT, 0);
	T_OK(rn_params_save_npy(&q, dir, &err) == RN_EUSAGE, "%s", err.msg);
	rn_params_fini(&q);
	rn_params_fini(&p);
	snprintf(cmd, sizeof cmd, "rm -rf '%s'", dir);
	if (system(cmd))
		exit(1);
}

/* ---- optimizers --------------------------------------------------------------------------- */

enum { N = 5, STEPS = 6 };
static const double start[N] = { 0.5, -1.25, 2, 0, 1e-3 };

static double gradient(int step, int i)
{
	return sin(1.7 * step + i) * (i == 3 ? 1e-4 : 1);
}

/* torch.optim, as its documentation writes it, in double. */
static void reference(const struct rn_optim *o, double decay, double w[N])
{
	double m[N] = { 0 }, v[N] = { 0 };

	memcpy(w, start, sizeof start);
	for (int t = 1; t <= STEPS; t++) {
		for (int i = 0; i < N; i++) {
			double g = gradient(t, i);

			if (o->kind == RN_OPTIM_ADAMW)
				w[i] -= o->lr * decay * w[i];
			else
				g += decay * w[i];
			if (o->kind == RN_OPTIM_SGD) {
				m[i] = t == 1 || o->momentum == 0 ? g : o->momentum * m[i] + g;
				w[i] -= o->lr * m[i];
				continue;
			}
			m[i] = o->beta1 * m[i] + (1 - o->beta1) * g;
			v[i] = o->beta2 * v[i] + (1 - o->beta2) * g * g;
			w[i] -= o->lr * (m[i] / (1 - pow(o->beta1, t))) /
				(sqrt(v[i] / (1 - pow(o->beta2, t))) + o->eps);
		}
	}
}

/* The same steps by a machine, in double. */
static void by_machine(const struct rn_optim *o, double w[N])
{
	struct rn_store *params = NULL, *states = NULL;
	struct rn_backend *b = NULL;
	struct rn_machine *m = NULL;
	struct rn_prog p;
	uint32_t dim = N, val, grad, number;
	double g[N], f[RN_STEP_F];

	T_CALL(rn_cpu_backend(1, &b, &err), &err);
	T_CALL(rn_store_new(b, RN_F64, &params, &err), &err);
	T_CALL(rn_store_new(b, RN_F64, &states, &err), &err);
	T_CALL(rn_store_add(params, N, &number, &err), &err);
	T_CALL(rn_store_set(params, 0, start, &err), &err);
	rn_prog_init(&p);
	val = rn_prog_param(&p, RN_V_PARAM, 0, 1, &dim, &err);
	grad = rn_prog_const_fill(&p, 1, N, 0, &err);
	T_CALL(rn_optim_append(o, &p, val, grad, "h1.weight", states, &err), &err);
	T_CALL(rn_machine_new(&p, b, RN_F64, params, states, NULL, &m, &err), &err);
	for (int t = 1; t <= STEPS; t++) {
		for (int i = 0; i < N; i++)
			g[i] = gradient(t, i);
		T_CALL(rn_machine_set_f64(m, grad, g, &err), &err);
		rn_optim_scalars(&p.insts[0], (uint64_t)t, f);
		rn_machine_set_f(m, 0, f);
		T_CALL(rn_machine_run(m, 0, 1, 0, &err), &err);
	}
	T_CALL(rn_store_get(params, 0, w, &err), &err);
	T_OK(rn_optim_is_step(&p.insts[0]), "it is a step");
	rn_machine_free(m);
	rn_prog_fini(&p);
	rn_store_free(params);
	rn_store_free(states);
	b->close(b);
}

static void test_steps(void)
{
	static const struct rn_optim row[] = {
		{ .kind = RN_OPTIM_ADAM, .lr = 0.01, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8 },
		{ .kind = RN_OPTIM_ADAM, .lr = 0.05, .beta1 = 0.8, .beta2 = 0.99, .eps = 1e-6,
		  .weight_decay = 0.1 },
		{ .kind = RN_OPTIM_ADAMW, .lr = 0.01, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8,
		  .weight_decay = 0.3 },
		{ .kind = RN_OPTIM_SGD, .lr = 0.1 },
		{ .kind = RN_OPTIM_SGD, .lr = 0.1, .momentum = 0.9, .weight_decay = 0.01 },
	};

	for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
		double want[N], got[N], worst = 0;

		reference(&row[i], row[i].weight_decay, want);
		by_machine(&row[i], got);
		for (int k = 0; k < N; k++)
			worst = fmax(worst, fabs(got[k] - want[k]) / fmax(fabs(want[k]), 1e-3));
		T_OK(worst < 1e-12, "optimizer %zu: %d steps as PyTorch's, worst %.2g", i, STEPS, worst);
	}
}

static void test_decay(void)
{
	struct rn_params p = { 0 };
	struct rn_optim o = { .weight_decay = 0.25 };
	json_t *decay = json_pack("{s:s, s:s, s:s, s:s}", "h1*", "5e-4", "*.bias", "0", "h1.bias", "2",
				  "h?.weight", "3");

	T_OK(rn_optim_decay(&o, "h1.weight") == 0.25, "without patterns: weight_decay");
	o.decay = decay;
	T_OK(rn_optim_decay(&o, "h10.w") == 5e-4, "h1* matches h10");
	T_OK(rn_optim_decay(&o, "h2.bias") == 0, "*.bias");
	T_OK(rn_optim_decay(&o, "h1.bias") == 2, "the most literal pattern decides");
	T_OK(rn_optim_decay(&o, "h1.weight") == 3, "so does h?.weight over h1*");
	T_OK(rn_optim_decay(&o, "k.weight") == 0.25, "no pattern: weight_decay");
	get(&p, "h1.weight", 2, 2, RN_INIT_DEFAULT, 0);
	get(&p, "h1.bias", 2, 0, RN_INIT_DEFAULT, 0);
	T_CALL(rn_optim_check(&o, &p, &err), &err);
	json_object_set_new(decay, "typo*", json_string("1"));
	T_OK(rn_optim_check(&o, &p, &err) == RN_EUSAGE &&
		     strstr(err.msg, "--decay 'typo*' matches no parameter"), "%s", err.msg);
	json_decref(decay);
	rn_params_fini(&p);
}

int main(void)
{
	test_init();
	test_draws();
	test_names();
	test_npy();
	test_steps();
	test_decay();
	return t_done();
}
