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
	};
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
	out = rn_prog_add(p, &i, 1, rank, dim, &why);
	if (out != RN_NONE)
		return 0;
fail:
	return rn_err_set(e, why.code, "%s", why.msg);
}

bool rn_optim_is_step(const struct rn_inst *i)
{
	return i->op == RN_P_ADAM || i->op == RN_P_SGD;
}

void rn_optim_scalars(const struct rn_inst *i, uint64_t t, double f[8])
{
	memcpy(f, i->f, sizeof i->f);
	if (i->op == RN_P_SGD) {
		f[RN_S_FIRST] = t == 1;
	} else {
		f[RN_A_BC1] = 1 - pow(f[RN_A_BETA1], (double)t);
		f[RN_A_BC2] = 1 - pow(f[RN_A_BETA2], (double)t);
	}
}
