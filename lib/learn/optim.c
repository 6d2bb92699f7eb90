/* SPDX-License-Identifier: Apache-2.0
 *
 * Optimizer steps as instructions.
 */
#include "optim.h"

#include "../base/num.h"

#include <fnmatch.h>
#include <math.h>
#include <string.h>

/* A value of the decay map, which is text in normal form; rn_plan_add_run checked it. */
static bool decay_value(const json_t *v, double *out)
{
	const char *s = json_string_value(v);

	return s && rn_float64_parse(s, strlen(s), out);
}

void rn_optim_from_run(const struct rn_run *fit, struct rn_optim *o)
{
	const char *name = rn_run_string(fit, "optimizer");

	*o = (struct rn_optim){
		.kind = !strcmp(name, "adam")    ? RN_OPTIM_ADAM
			: !strcmp(name, "adamw") ? RN_OPTIM_ADAMW
						 : RN_OPTIM_SGD,
		.lr = rn_run_number(fit, "lr"),
		.momentum = rn_run_number(fit, "momentum"),
		.beta1 = rn_run_number(fit, "beta1"),
		.beta2 = rn_run_number(fit, "beta2"),
		.eps = rn_run_number(fit, "eps"),
		.weight_decay = rn_run_number(fit, "weight-decay"),
		.decay = rn_run_json(fit, "decay"),
		.period = (double)rn_run_int(fit, "period"),
		.gamma = rn_run_number(fit, "gamma"),
		.warmup = (double)rn_run_int(fit, "warmup"),
		.clip = rn_run_number(fit, "clip"),
		.clip_value = rn_run_number(fit, "clip-value"),
	};
	name = rn_run_string(fit, "schedule");
	o->schedule = !strcmp(name, "step")	     ? RN_SCHEDULE_STEP
		      : !strcmp(name, "exponential") ? RN_SCHEDULE_EXPONENTIAL
		      : !strcmp(name, "cosine")	     ? RN_SCHEDULE_COSINE
						     : RN_SCHEDULE_CONSTANT;
	if (o->period == 0)
		o->period = o->schedule == RN_SCHEDULE_STEP ? 30 : (double)rn_run_int(fit, "epochs");
	if (o->gamma == 0)
		o->gamma = o->schedule == RN_SCHEDULE_STEP ? 0.1 : 0.95;
}

/* Characters of a glob that stand for themselves. */
static size_t literal_length(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += *s != '*' && *s != '?' && *s != '[' && *s != ']' && *s != '\\';
	return n;
}

double rn_optim_decay(const struct rn_optim *o, const char *name)
{
	double decay = o->weight_decay;
	const char *pattern;
	size_t best = 0;
	json_t *v;

	json_object_foreach((json_t *)o->decay, pattern, v) {
		size_t n = literal_length(pattern);

		if (n < best || fnmatch(pattern, name, 0))
			continue;
		if (decay_value(v, &decay))
			best = n;
	}
	return decay;
}

int rn_optim_check(const struct rn_optim *o, const struct rn_params *params, struct rn_err *e)
{
	const char *pattern;
	json_t *v;

	json_object_foreach((json_t *)o->decay, pattern, v) {
		uint32_t i = 0;

		while (i < params->n && fnmatch(pattern, params->items[i].name, 0))
			i++;
		if (i == params->n)
			return rn_err_set(e, RN_EUSAGE,
					  "--decay '%s' matches no parameter (the first is '%s')",
					  pattern, params->n ? params->items[0].name : "none");
	}
	return 0;
}

/* A zeroed slot of the parameter's shape. */
static uint32_t slot(struct rn_prog *p, uint32_t param, struct rn_store *states, struct rn_err *e)
{
	const struct rn_val *v = &p->vals[param];
	uint32_t dim[4], rank = v->rank, number;

	memcpy(dim, v->dim, sizeof dim);
	if (rn_store_add(states, v->width, &number, e))
		return RN_NONE;
	return rn_prog_param(p, RN_V_STATE, number, rank, dim, e);
}

int rn_optim_append(const struct rn_optim *o, struct rn_prog *p, uint32_t param, uint32_t grad,
		    const char *name, struct rn_store *states, struct rn_err *e)
{
	bool sgd = o->kind == RN_OPTIM_SGD;
	struct rn_inst i = rn_inst_init(sgd ? RN_P_SGD : RN_P_ADAM);
	uint32_t nslots = sgd ? o->momentum > 0 : 2;
	const struct rn_val *v = &p->vals[param];
	uint32_t dim[4], rank = v->rank, out;
	struct rn_err why = { 0 };

	memcpy(dim, v->dim, sizeof dim);
	i.nin = sgd ? 3 : 4;
	i.in[0].val = param;
	i.in[1].val = grad;
	for (uint32_t k = 0; k < nslots; k++) {
		i.in[2 + k].val = slot(p, param, states, &why);
		if (i.in[2 + k].val == RN_NONE)
			goto fail;
	}
	if (sgd) {
		i.f[RN_S_LR] = o->lr;
		i.f[RN_S_MOMENTUM] = o->momentum;
		i.f[RN_S_DECAY] = rn_optim_decay(o, name);
	} else {
		i.flags = o->kind == RN_OPTIM_ADAMW ? RN_F_DECOUPLED : 0;
		i.f[RN_A_LR] = o->lr;
		i.f[RN_A_BETA1] = o->beta1;
		i.f[RN_A_BETA2] = o->beta2;
		i.f[RN_A_EPS] = o->eps;
		i.f[RN_A_DECAY] = rn_optim_decay(o, name);
	}
	i.f[RN_F_SCHEDULE] = o->schedule;
	i.f[RN_F_PERIOD] = o->period;
	i.f[RN_F_GAMMA] = o->gamma;
	i.f[RN_F_WARMUP] = o->warmup;
	out = rn_prog_add(p, &i, 1, rank, dim, &why);
	if (out != RN_NONE)
		return 0;
fail:
	return rn_err_set(e, why.code, "%s", why.msg);
}

int rn_optim_append_update(struct rn_prog *p, const struct rn_update *u, struct rn_err *e)
{
	struct rn_inst i = rn_inst_init(RN_P_SGD);
	struct rn_val v = p->vals[u->param];
	struct rn_err why = { 0 };

	i.flags = RN_F_BUFFER;
	i.nin = 3;
	i.in[0].val = u->param;
	i.in[1].val = u->delta;
	i.in[2].val = RN_NONE;
	i.f[RN_S_LR] = u->rate;
	if (rn_prog_add(p, &i, 1, v.rank, v.dim, &why) != RN_NONE)
		return 0;
	return rn_err_set(e, why.code, "%s", why.msg);
}

/* ---- clipping ----------------------------------------------------------------------------- */

/* The sum of the squares of a gradient. */
static uint32_t square_sum(struct rn_prog *p, uint32_t g, struct rn_err *e)
{
	uint32_t one = 1, x = rn_prog_ew2(p, RN_EW_MUL, g, g, e);

	if (x != RN_NONE)
		x = rn_prog_view(p, x, p->vals[x].width, 1, &one, e);
	return x == RN_NONE ? x : rn_prog_colsum(p, x, e);
}

/* min(1, clip / (norm + 1e-6)), as clip_grad_norm_ */
static uint32_t norm_factor(const struct rn_optim *o, struct rn_prog *p, uint32_t n,
			    const uint32_t *grad, const uint32_t *stage, struct rn_err *e)
{
	uint32_t sum = RN_NONE, x;

	for (uint32_t k = 0; k < n; k++) {
		p->stage = stage[k];
		x = square_sum(p, grad[k], e);
		if (x != RN_NONE && k)
			x = rn_prog_ew2(p, RN_EW_ADD, sum, x, e);
		if (x == RN_NONE)
			return x;
		sum = x;
	}
	x = rn_prog_ew1(p, RN_EW_SQRT, sum, e);
	if (x != RN_NONE)
		x = rn_prog_ew_imm(p, RN_EW_ADD, x, 1e-6, false, e);
	if (x != RN_NONE)
		x = rn_prog_ew_imm(p, RN_EW_DIV, x, o->clip, true, e);
	return x == RN_NONE ? x : rn_prog_ew_imm(p, RN_EW_MIN, x, 1, false, e);
}

int rn_optim_clip(const struct rn_optim *o, struct rn_prog *p, uint32_t n, uint32_t *grad,
		  const uint32_t *stage, struct rn_err *e)
{
	struct rn_err why = { 0 };
	uint32_t by = RN_NONE;

	if (o->clip > 0 && n) {
		by = norm_factor(o, p, n, grad, stage, &why);
		if (by == RN_NONE)
			return rn_err_set(e, why.code, "%s", why.msg);
	}
	for (uint32_t k = 0; k < n && (o->clip > 0 || o->clip_value > 0); k++) {
		uint32_t x = grad[k];

		p->stage = stage[k];
		if (o->clip > 0)
			x = rn_prog_ew2(p, RN_EW_MUL, x, by, &why);
		if (o->clip_value > 0 && x != RN_NONE)
			x = rn_prog_ew_imm(p, RN_EW_MIN, x, o->clip_value, false, &why);
		if (o->clip_value > 0 && x != RN_NONE)
			x = rn_prog_ew_imm(p, RN_EW_MAX, x, -o->clip_value, false, &why);
		if (x == RN_NONE)
			return rn_err_set(e, why.code, "%s", why.msg);
		grad[k] = x;
	}
	return 0;
}

bool rn_optim_is_step(const struct rn_inst *i)
{
	return i->op == RN_P_ADAM || i->op == RN_P_SGD;
}

/* PyTorch's StepLR, ExponentialLR, CosineAnnealingLR. */
static double factor(const double f[RN_STEP_F], double epoch)
{
	double warm = f[RN_F_WARMUP] > epoch ? (epoch + 1) / f[RN_F_WARMUP] : 1;

	switch ((enum rn_schedule)f[RN_F_SCHEDULE]) {
	case RN_SCHEDULE_STEP:
		return warm * pow(f[RN_F_GAMMA], floor(epoch / f[RN_F_PERIOD]));
	case RN_SCHEDULE_EXPONENTIAL:
		return warm * pow(f[RN_F_GAMMA], epoch);
	case RN_SCHEDULE_COSINE:
		return warm * (1 + cos(M_PI * epoch / f[RN_F_PERIOD])) / 2;
	case RN_SCHEDULE_CONSTANT:
		break;
	}
	return warm;
}

void rn_optim_scalars(const struct rn_inst *i, uint64_t t, double f[RN_STEP_F])
{
	memcpy(f, i->f, sizeof i->f);
	if (i->flags & RN_F_BUFFER)
		return;
	f[i->op == RN_P_SGD ? RN_S_LR : RN_A_LR] *= factor(f, (double)t - 1);
	if (i->op == RN_P_SGD) {
		f[RN_S_FIRST] = t == 1;
	} else {
		f[RN_A_BC1] = 1 - pow(f[RN_A_BETA1], (double)t);
		f[RN_A_BC2] = 1 - pow(f[RN_A_BETA2], (double)t);
	}
}
