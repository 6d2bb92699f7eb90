/* SPDX-License-Identifier: Apache-2.0
 *
 * Training a plan: its runs in order.  A fit has the val run that follows it; an eval
 * or pred run sees the parameters as they are where it stands.  Predictions are
 * written at the end.
 *
 * An epoch is one step over all rows.  Epochs are counted from 1: epoch k has
 * the loss before its step, and the metric of the parameters after it.  With a
 * val run the parameters of the best validation are restored at the end (of equal
 * ones the latest epoch), without one the last are kept.
 *
 * With several runs, run i has seed + i.  Metrics are given per run with mean and
 * sample standard deviation (n - 1); model and predictions are those of the run
 * with the best last validation (of equal ones, or without validation, the first).
 */
#ifndef RN_TRAIN_H
#define RN_TRAIN_H

#include "../exec/exec.h"
#include "../../formats/container.h"

#include <signal.h>

enum rn_placement { RN_FUSED, RN_STAGED };

struct rn_progress {
	uint32_t run, runs;     /* 0 … runs-1 */
	const char *fit;        /* name of the loss */
	uint64_t epoch, epochs; /* 1 … epochs */
	double loss;
	const char *metric;     /* NULL: no val run */
	double val, best;       /* NaN: not validated yet */
	double rows_per_second; /* of the loss's rows */
	double seconds_left;    /* of this fit, at its mean pace */
};

struct rn_train_conf {
	const struct rn_ctx *ctx;      /* threads, device, memory, seed of run 0 */
	struct rn_plan *plan;          /* canonical, with runs; borrowed; encoders are fitted in it */
	struct rn_rel *const *carried; /* as for rn_binding_new; may be NULL */
	uint32_t runs;                 /* 0: 1 */
	uint64_t val_every;            /* validate every so many epochs; 0: what the val run says */
	enum rn_placement placement;
	uint32_t stages;               /* RN_STAGED: at most so many processes; 0: one per stage */
	const char *const *device_map; /* RN_STAGED: "STAGE=DEVICE" of stages that have another */
	size_t ndevice_map;
	double stage_timeout;          /* RN_STAGED: seconds until one that does nothing is given
				        * up; 0: never */
	uint32_t retries;              /* RN_STAGED: how often to go on from the last checkpoint
				        * when a stage process was lost */
	const char *exe;               /* RN_STAGED: program that is started as `exe --stage FD` */
	const char *weights;           /* initial values: model file or folder of .npy; or NULL */
	const char *model;             /* write the model here; NULL: nowhere */
	const json_t *history;         /* of the model: the commands that made it; or NULL */
	struct rn_writer_opt writer;   /* of model and checkpoint */
	const char *save_weights;      /* folder for .npy files; or NULL */
	const char *output_dir;        /* predictions are relative to it; NULL: as they are */
	const char *log;               /* a JSON line per epoch; NULL: none */
	uint64_t log_every;            /* only for each so many epochs, and the last; 0: 1 */
	const char *checkpoint;        /* written every so many epochs, and on stop; NULL: never */
	uint64_t checkpoint_every;     /* 0: only on stop */
	const char *resume;            /* checkpoint to go on from; or NULL */
	bool allow_changed;            /* --resume although plan, data, build or device differ */
	const json_t *tags;            /* object: further members of the result; or NULL */
	volatile sig_atomic_t *stop;   /* set (by a signal): stop after this epoch; or NULL */
	void (*progress)(void *arg, const struct rn_progress *p); /* after each epoch; or NULL */
	void *progress_arg;
};

struct rn_train_result {
	json_t *json; /* the object of --json; NULL if stopped */
	bool stopped; /* by conf.stop, after a checkpoint if one was asked for */
	json_t *stats; /* --stats: rows_in, rows_out, epochs, steps, seconds_…, peak_bytes, and of a
		        * staged placement stages: an object for each process of each fit */
};
void rn_train_result_fini(struct rn_train_result *r);

RN_MUST_CHECK int rn_train(const struct rn_train_conf *c, struct rn_train_result *out,
			   struct rn_err *e);

/* How c->stages would cut the fits for a staged placement, as text at the end of out: of each
 * process its stages, and what it hands to which others.  Of c it needs ctx, plan, carried and
 * stages. */
RN_MUST_CHECK int rn_train_explain(const struct rn_train_conf *c, struct rn_str *out,
				   struct rn_err *e);

/* The body of `exe --stage FD`: serve the coordinator at the other end until it
 * hangs up.  Returns the exit code.  It is the only user of fds 0-2 and FD. */
int rn_stage_main(int fd);

#endif
