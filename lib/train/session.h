/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of a training session share; private to lib/train.
 */
#ifndef RN_SESSION_H
#define RN_SESSION_H

#include "../base/json.h"
#include "fit.h"
#include "late.h"
#include "score.h"
#include "shared.h"
#include "train.h"

#include <stdio.h>

/* Where training stands at the end of an epoch: with the parameters and the
 * optimizer's slots, all that a checkpoint has to hold. */
struct rn_state {
	uint32_t run, fit;
	uint64_t epoch;      /* finished in this fit */
	uint64_t stale;      /* validations since the best one */
	uint64_t best_epoch; /* of this fit; 0: none yet */
	double best_val;     /* NaN: none yet */
	float *best;         /* parameters then, flat; [rn_params_count] */
	size_t ncurve, cap_curve;
	double *curve;       /* losses of this run, fit after fit */
	json_t *done;        /* results of the runs before */
	uint32_t chosen_run; /* RN_NONE: none yet */
	double chosen_val;   /* NaN: it had no validation */
	float *chosen;       /* its parameters, flat */
	struct rn_marks {
		/* By number of fits before: the parameters there, flat, where a pred run stands there
		 * and a fit follows; else NULL.  [nfits] */
		float **now, **chosen; /* of this run; of the best one, where there are several */
		double *evals;         /* metrics of this run so far; [nevals] */
	} marks;
};

struct rn_session {
	const struct rn_train_conf *conf;
	struct rn_plan *plan;
	struct rn_ctx ctx; /* the caller's, with the seed of the run */
	uint32_t runs, nfits;
	struct rn_backend *backend;
	struct rn_binding *binding;
	struct rn_plan early;     /* what is bound before any prediction (rn_plan_early) */
	struct rn_late late;      /* what rests on decoded columns */
	struct rn_params params;
	struct rn_store *store;   /* the parameters in the backend's memory */
	struct rn_shared *shared; /* RN_STAGED: the memory that they are in */
	struct rn_region region;  /* and where that is for the backend */
	bool moved;               /* it has changed, and who knew it has not been told */
	uint64_t room;            /* bytes of results of the largest program that is run here */
	/* One per fit run, in order. */
	struct rn_fit *fits;
	struct rn_task *tasks;
	struct rn_score *vals;
	const struct rn_run **val_runs; /* NULL: none */
	struct rn_loss_facts *losses;
	/* Of each run of the plan, once it is bound. */
	const struct rn_schema **schemas;
	struct rn_checking check;
	/* One per eval run. */
	uint32_t nevals;
	struct rn_score *evals;
	struct rn_state state;
	FILE *log;
	/* Measurements, of this process. */
	double start, seconds_fit;
	struct rn_times {
		double *seconds;
		size_t n, cap;
	} steps, validations; /* how long each took */
	uint64_t rows_out;    /* of predictions */
	struct rn_peaks stage_peaks; /* of all stage processes of a fit */
	json_t *stages;       /* what each of them did */
	bool lost;            /* the last fit failed for the loss of one */
	struct rn_runner *kept; /* and this is its runner, to be revived; else NULL */
	bool saved;           /* a checkpoint was written */
};

/* Optimizer slots of a fit, as a checkpoint has them. */
struct rn_slots {
	size_t n;
	struct rn_slot {
		float *x;
		size_t count;
	} *items;
};

/* ---- budget.c: memory of a run, before its first epoch -------------------------------- */

/* The programs of a run are made, and its predictions can still be lowered: RN_ENOMEM where what
 * is there at the same time is more than --mem, or than a device has left, whichever run it
 * is for.  Where that helps fits are shortened first (rn_fit_shorten). */
RN_MUST_CHECK int rn_budget_check(struct rn_session *s, struct rn_err *e);
/* The store is made, and a program is to be run here: one room for all of them (machine.h). */
void rn_budget_reserve(struct rn_session *s);
/* No program is run any more: their memory is free for predictions. */
void rn_budget_release(struct rn_session *s);

/* ---- loop.c: the epochs of one fit --------------------------------------------------- */

/* Go on with fit state.fit at epoch state.epoch until it is done or stopped (*stopped). */
RN_MUST_CHECK int rn_fit_run(struct rn_session *s, const struct rn_slots *resume, bool *stopped,
			     struct rn_err *e);

/* Close the runner that was kept for another try. */
void rn_fit_forget(struct rn_session *s);

/* ---- marks.c: what evals and predictions between fits see ------------------------------ */

/* How many fits stand before this run of the plan? */
uint32_t rn_fits_before(const struct rn_plan *p, const struct rn_run *r);
RN_MUST_CHECK int rn_marks_new(struct rn_session *s, struct rn_err *e);
uint32_t rn_marks_copies(const struct rn_session *s); /* of all parameters that it keeps */
void rn_marks_free(struct rn_session *s);
/* So many fits are done: keep the parameters for predictions that stand here, and compute the
 * metrics. */
RN_MUST_CHECK int rn_marks_reach(struct rn_session *s, uint32_t fits, struct rn_err *e);
/* This run is the best so far. */
void rn_marks_choose(struct rn_session *s);
/* Exchange the parameters with those kept there; a second time: back. */
void rn_marks_swap(struct rn_session *s, uint32_t fits);

/* ---- outputs.c: files that are written at the end -------------------------------------- */

/* Where a prediction is written to. */
RN_MUST_CHECK int rn_outputs_path(const struct rn_session *s, const struct rn_run *r, struct rn_str *path,
				  struct rn_err *e);
/* What is written at the end must not fail for want of a folder then (they are made), and no two
 * outputs may be one file. */
RN_MUST_CHECK int rn_outputs_check(const struct rn_session *s, struct rn_err *e);

/* ---- checkpoint.c ---------------------------------------------------------------------- */

struct rn_checkpoint {
	const char *path; /* borrowed */
	json_t *header;
	struct rn_params params, best, chosen;
	struct rn_slots slots;
	size_t ncurve;
	double *curve;
	uint32_t nmarks;
	struct rn_params *marks, *chosen_marks; /* by number of fits before */
};
/* What encoders fitted goes to their stages in `plan`: a run goes on with it.  NULL: they have
 * it already. */
RN_MUST_CHECK int rn_checkpoint_load(const char *path, struct rn_plan *plan,
				     struct rn_checkpoint *c, struct rn_err *e);
void rn_checkpoint_fini(struct rn_checkpoint *c);
/* Does it belong to this plan, data, build, device and seed?  Also sets state's counters. */
RN_MUST_CHECK int rn_checkpoint_begin(struct rn_session *s, const struct rn_checkpoint *c,
				      struct rn_err *e);
/* The same of a checkpoint that this very session wrote, or began with: nothing to compare. */
RN_MUST_CHECK int rn_checkpoint_again(struct rn_session *s, const struct rn_checkpoint *c,
				      struct rn_err *e);
/* Which run was it in? */
uint32_t rn_checkpoint_run(const struct rn_checkpoint *c);
/* Values into the parameters and the state, once the programs of the run are made. */
RN_MUST_CHECK int rn_checkpoint_apply(struct rn_session *s, const struct rn_checkpoint *c,
				      struct rn_err *e);
/* Write conf.checkpoint.  The runner's slots must have been pulled into the fit's states. */
RN_MUST_CHECK int rn_checkpoint_save(struct rn_session *s, struct rn_err *e);

/* ---- report.c ------------------------------------------------------------------------------ */

RN_MUST_CHECK int rn_log_open(struct rn_session *s, struct rn_err *e);
/* Drop the lines of epochs that come after the state: they are run again. */
RN_MUST_CHECK int rn_log_rewind(struct rn_session *s, struct rn_err *e);
RN_MUST_CHECK int rn_log_epoch(struct rn_session *s, double loss, double val, double seconds,
			       struct rn_err *e);
RN_MUST_CHECK int rn_log_close(struct rn_session *s, struct rn_err *e);
/* The finished run as an object: seed, epochs, best_epoch, val, its evals, bits. */
RN_MUST_CHECK int rn_report_run(struct rn_session *s, const double *evals, json_t **out,
				struct rn_err *e);
/* The object of --json from the results of all runs. */
RN_MUST_CHECK int rn_report(struct rn_session *s, json_t **out, struct rn_err *e);
/* The same of a session without a fit: its metrics, seconds and tags. */
RN_MUST_CHECK int rn_report_query(const struct rn_session *s, json_t **out, struct rn_err *e);
/* What --stats tells. */
RN_MUST_CHECK int rn_report_stats(struct rn_session *s, json_t **out, struct rn_err *e);
/* No eval and no tag may be called like a member of the report. */
RN_MUST_CHECK int rn_report_check_names(const struct rn_plan *p, const json_t *tags,
					struct rn_err *e);

#endif
