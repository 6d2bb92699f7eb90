/* SPDX-License-Identifier: Apache-2.0
 *
 * The tensor program of one fit, and the runners that execute it.
 *
 * A fit's program has three phases: the forward instructions up to the loss
 * (the mean over the rows of the loss relation), the gradients, and one
 * optimizer step per parameter.  A step is only run when the loss was finite.
 * Every runner executes the instructions in the order of the program, so all
 * of them compute the same bits.
 */
#ifndef RN_FIT_H
#define RN_FIT_H

#include "../exec/exec.h"
#include "../exec/pass.h"
#include "../learn/metric.h"
#include "../learn/optim.h"

struct rn_fit {
	const struct rn_run *run;
	const char *name; /* of the loss node, borrowed from the plan */
	struct rn_task task;
	struct rn_optim optim;
	struct rn_prog prog;
	struct rn_store *states; /* optimizer slots; NULL: none */
	uint32_t loss;           /* value: [1,1] */
	uint32_t nforward;       /* instructions 0 … nforward-1 compute the loss */
	uint32_t nback;          /* … nback-1 the gradients, the rest are steps */
	uint64_t rows;           /* of the loss relation */
	struct rn_pass_log log;  /* what the passes did */
};
/* Lower, differentiate, append the optimizer, and simplify.  `apart`: fuse within stages only, and
 * make nothing again, as each stage may have a device of its own. */
RN_MUST_CHECK int rn_fit_build(struct rn_binding *x, struct rn_backend *b,
			       const struct rn_plan *plan, const struct rn_run *run,
			       struct rn_params *params, bool apart, struct rn_fit *f,
			       struct rn_err *e);
/* Make again instead of keeping what is worth it only where memory is short.  Not where stages
 * were kept apart. */
RN_MUST_CHECK int rn_fit_shorten(struct rn_fit *f, const struct rn_ctx *c, struct rn_err *e);
void rn_fit_fini(struct rn_fit *f);

/* ---- runners ------------------------------------------------------------------------- */

/* The most memory at once, in bytes. */
struct rn_peaks {
	uint64_t host, device;
};

struct rn_runner;
struct rn_forward; /* score.h */
struct rn_score;

/* Validations within a window of epochs, made and judged on the device. */
struct rn_watching {
	struct rn_score *score; /* its machine is made */
	uint32_t every, last;   /* after epochs (from 1) that `every` divides, and after that one */
	uint64_t patience;      /* 0: for ever */
	double best;            /* before the window; NaN: none yet */
	uint64_t stale;
	struct rn_store *kept;  /* gets the parameters of the best, of equal ones of the latest */
	double *val;            /* [n], filled; NaN: none, or not defined */
	double seconds;         /* spent on all of them, of the window */
	bool unready;           /* what failed is taking what they need on the device */
};
struct rn_runner_ops {
	/* Forward; *loss may be anything, also not finite. */
	int (*forward)(struct rn_runner *r, uint32_t epoch, double *loss, struct rn_err *e);
	/* The gradients of that, and step number epoch + 1. */
	int (*learn)(struct rn_runner *r, uint32_t epoch, struct rn_err *e);
	/* Replay the forward phase: the first instruction with a value that is not finite. */
	int (*find)(struct rn_runner *r, uint32_t epoch, uint32_t *inst, struct rn_err *e);
	/* The values of a node with the parameters as they are, into f->out.  NULL, and where no
	 * instruction makes them: by a machine of the caller. */
	int (*eval)(struct rn_runner *r, struct rn_forward *f, struct rn_err *e);
	/* Before the first of these: take what they need, so that what cannot be had is told before the first
	 * epoch.  NULL: nothing. */
	int (*ready)(struct rn_runner *r, struct rn_forward *f, struct rn_err *e);
	/* Optimizer slots out of the runner into fit->states, and back. */
	int (*pull)(struct rn_runner *r, struct rn_err *e);
	int (*push)(struct rn_runner *r, struct rn_err *e);
	uint64_t (*bytes)(const struct rn_runner *r);
	/* The fit is over in good order: append what each process did to an array, and add up
	 * their peak memory.  NULL: there are none. */
	int (*finish)(struct rn_runner *r, json_t *stages, struct rn_peaks *peak,
		      struct rn_err *e);
	/* Did it fail for a process that was lost, so that to try again may help?  NULL: no. */
	bool (*lost)(const struct rn_runner *r);
	/* Then: as it was when it was opened, but for the optimizer slots, which are to be pushed. */
	int (*revive)(struct rn_runner *r, struct rn_err *e);
	void (*close)(struct rn_runner *r);
	/* Epochs first … first+n-1 as forward and learn would run them, without the host in between,
	 * and their losses.  w (may be NULL): with validations of that kind, the same in each window.
	 * *done is n, or loss[*done] is not finite and its step was not made, or patience ended.  NULL:
	 * there is no such thing. */
	int (*epochs)(struct rn_runner *r, uint32_t first, uint32_t n, struct rn_watching *w,
		      double *loss, uint32_t *done, struct rn_err *e);
	/* The instruction at which a device failed last; RN_NONE: not known.  NULL: never known. */
	uint32_t (*failed)(const struct rn_runner *r);
	/* Was it another process that failed, so that the error names its stage?  NULL: no. */
	bool (*told)(const struct rn_runner *r);
};
struct rn_runner {
	const struct rn_runner_ops *ops;
	struct rn_fit *fit; /* borrowed */
};

/* All in this process, on backend b; `params` in its memory. */
RN_MUST_CHECK int rn_fused_open(struct rn_fit *f, struct rn_backend *b, struct rn_store *params,
				struct rn_runner **out, struct rn_err *e);

#endif
