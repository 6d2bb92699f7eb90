/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs against the plan that they are of: against each other, and against the schemas of
 * their relations.  A query program asks when it is compiled, before a row is read; a
 * training session of any plan before it binds (without schemas), and again with its real
 * labels before the first epoch.  So what is wrong is found before it costs a fit.
 */
#ifndef RN_TRAIN_CHECK_H
#define RN_TRAIN_CHECK_H

#include "../learn/metric.h"
#include "../plan/plan.h"

/* What a loss says of predictions. */
struct rn_loss_facts {
	enum rn_loss_kind kind;
	uint32_t classes;    /* cross-entropy: width of its logits; RN_DIM_UNKNOWN: not known yet */
	enum rn_type labels; /* cross-entropy: the type of its labels */
	bool own;            /* they are their own numbers; before a row is read: all integers */
};
/* By a loss node and the schema of its input. */
void rn_loss_facts(const struct rn_node *loss, const struct rn_schema *in, struct rn_loss_facts *out);
/* By the loss as it is bound. */
void rn_task_facts(const struct rn_task *task, struct rn_loss_facts *out);

struct rn_checking {
	const struct rn_plan *plan;
	/* Of each run's relation; NULL, all or one of them: not known yet, and nothing is said of it. */
	const struct rn_schema *const *schemas;
	const struct rn_loss_facts *losses; /* of each fit run, in order; NULL as schemas is */
	/* Made by rn_checking_open. */
	uint32_t *before;    /* fits before each run, and of all of them; [nruns + 1] */
	uint32_t *same_file; /* a pred run before it that is written to the same file, or RN_NONE */
	bool *learns;        /* does a stage, or what it rests on, hold parameters?  [nnodes] */
	bool *late;          /* does it rest on a decoded column (rn_plan_late)?  [nnodes] */
	uint32_t *untrained; /* the first stage under it that holds some, and that no fit rests on,
			      * or RN_NONE: equal names may be trained elsewhere */
};
/* Of c->plan, which stays as it is; what it fills in is freed by rn_checking_close, also after
 * a failure.  schemas and losses may be given later. */
RN_MUST_CHECK int rn_checking_open(struct rn_checking *c, struct rn_err *e);
void rn_checking_close(struct rn_checking *c);
/* Can this run be done?  RN_EUSAGE, and *setting: the option that is wrong (a static text), or
 * NULL. */
RN_MUST_CHECK int rn_check_run(const struct rn_checking *c, uint32_t run,
				   const char **setting, struct rn_err *e);

/* The fit (number among the fits) that says what a val, eval or pred run's predictions mean: a
 * val run's own; else the last before it whose width is the relation's, else the last of those
 * behind it; RN_NONE: no fit does.  For an eval run that is the last of all, and
 * RN_NONE only where there is no fit at all. */
uint32_t rn_run_loss(const struct rn_checking *c, uint32_t run);
/* The same of a run that has left its plan: s is its relation's, losses are those of all fits,
 * and `before` of them stood before it. */
uint32_t rn_loss_of_run(const struct rn_run *r, const struct rn_schema *s, const struct rn_loss_facts *losses,
			uint32_t before, uint32_t all);

/* The column that a pred run, or a stage `decode`, makes of the sole embedding of a relation. */
enum rn_decoded {
	RN_DECODED_NONE,
	RN_DECODED_LABEL,  /* the label of the largest logit */
	RN_DECODED_CLASS,  /* its number, as no loss says what it is called */
	RN_DECODED_NUMBER, /* the label of the class whose number the embedding is */
	RN_DECODED_BINARY, /* true or false, and `probability` */
	RN_DECODED_VALUE,  /* the embedding's one number */
};
/* task: what the predictions mean, or NULL.  RN_EUSAGE where the run asks for what there is not,
 * and for a name that a column has already; `node` is what the relation is called. */
RN_MUST_CHECK int rn_run_decoded(const struct rn_run *r, const char *node,
				 const struct rn_schema *s, const struct rn_loss_facts *task,
				 enum rn_decoded *out, const char **setting, struct rn_err *e);
/* How many numbers of the embedding make the column; 0: all of them. */
uint32_t rn_run_first(const struct rn_run *r);
/* As the operator `decode` calls it, and back; NONE has no name. */
const char *rn_decoded_name(enum rn_decoded d);
enum rn_decoded rn_decoded_find(const char *name);

#endif
