/* SPDX-License-Identifier: Apache-2.0
 *
 * Optimizers: Adam, AdamW and SGD with PyTorch's definitions.
 *
 * An optimizer is instructions: one RN_P_ADAM or RN_P_SGD per parameter, last
 * in the program, in the order of the parameters.  What does not change (betas,
 * epsilon, decay) stands in the instruction; what does (learning rate, bias
 * corrections) is set before each step from the number of the step alone, so
 * a resumed run needs the slots and that number, and nothing else.
 */
#ifndef RN_OPTIM_H
#define RN_OPTIM_H

#include "../dev/machine.h"
#include "../plan/plan.h"
#include "params.h"

enum rn_optim_kind { RN_OPTIM_ADAM, RN_OPTIM_ADAMW, RN_OPTIM_SGD };
/* The learning rate of epoch e = 0, 1, ..., times (e + 1) / warmup in the first epochs:
 * gamma^⌊e / period⌋, gamma^e, or (1 + cos(π e / period)) / 2 of it. */
enum rn_schedule { RN_SCHEDULE_CONSTANT, RN_SCHEDULE_STEP, RN_SCHEDULE_EXPONENTIAL,
		   RN_SCHEDULE_COSINE };

struct rn_optim {
	enum rn_optim_kind kind;
	double lr, momentum, beta1, beta2, eps;
	double weight_decay;
	enum rn_schedule schedule;
	double period, gamma, warmup;
	double clip, clip_value; /* of the norm of all gradients, of each number; 0: none */
	const json_t *decay; /* object: glob -> number as text; borrowed, or NULL */
};

/* From the options of a fit run (which o borrows). */
void rn_optim_from_run(const struct rn_run *fit, struct rn_optim *o);

/* The weight decay of a parameter: of the patterns that match its name the one
 * with most literal characters decides (of equal ones the last), else
 * weight_decay.  `h1*` matches h1.weight and h10.weight, `h1.*` the first alone. */
double rn_optim_decay(const struct rn_optim *o, const char *name);
/* RN_EUSAGE for a pattern that matches none of the parameters. */
RN_MUST_CHECK int rn_optim_check(const struct rn_optim *o, const struct rn_params *params,
				 struct rn_err *e);

/* Append the step of one parameter: `param` is its value in p, `grad` its gradient.
 * Slots are added to `states`. */
RN_MUST_CHECK int rn_optim_append(const struct rn_optim *o, struct rn_prog *p, uint32_t param,
				  uint32_t grad, const char *name, struct rn_store *states,
				  struct rn_err *e);

/* The step of a buffer (RN_F_BUFFER). */
RN_MUST_CHECK int rn_optim_append_update(struct rn_prog *p, const struct rn_update *u,
					 struct rn_err *e);
/* The gradients grad[0 … n-1] as the options say: bounded together, or each of their numbers.
 * stage[k]: whom the k-th belongs to. */
RN_MUST_CHECK int rn_optim_clip(const struct rn_optim *o, struct rn_prog *p, uint32_t n,
				uint32_t *grad, const uint32_t *stage, struct rn_err *e);

bool rn_optim_is_step(const struct rn_inst *i);
/* The scalars of instruction i at step t (1, 2, …). */
void rn_optim_scalars(const struct rn_inst *i, uint64_t t, double f[RN_STEP_F]);

#endif
