/* SPDX-License-Identifier: Apache-2.0
 *
 * The epochs of one fit.
 */
#include "session.h"

#include "cut.h"
#include "need.h"
#include "staged.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_AHEAD = 1 << 20 };

/* One fit under way. */
struct loop {
	struct rn_session *s;
	struct rn_fit *fit;
	struct rn_runner *runner;
	struct rn_score *val;  /* NULL: no val run */
	uint64_t epochs, every, patience;
	uint64_t log_every;
	uint64_t ahead;        /* epochs that may run before anybody looks */
	struct rn_watching watch; /* validations that the device makes; score NULL: it makes none */
	bool warned;           /* of a metric that is not defined */
	bool scoring;          /* what runs is the validation */
	double begin;          /* of this process's share */
	uint64_t first;        /* epochs finished before it */
};

/* That of the try before, of which only what was lost has to be started again. */
static int take_kept(struct loop *l, struct rn_err *e)
{
	l->runner = l->s->kept;
	l->s->kept = NULL;
	return l->runner->ops->revive(l->runner, e);
}

static int open_runner(struct loop *l, struct rn_err *e)
{
	const struct rn_plan *plan = rn_binding_plan(l->s->binding);
	const struct rn_train_conf *c = l->s->conf;
	uint64_t bytes = 0;

	if (c->placement == RN_STAGED) {
		struct rn_staged_conf conf = {
			.ctx = &l->s->ctx,
			.exe = c->exe,
			.stages = c->stages,
			.timeout = c->stage_timeout,
			.stop = c->stop,
			.plan = plan,
			.map = { c->device_map, c->ndevice_map },
			.params = &l->s->region,
			.store = l->s->store,
			.moved = &l->s->moved,
		};

		RN_TRY(rn_staged_open(&conf, l->fit, &l->runner, e));
	} else {
		RN_TRY(rn_fused_open(l->fit, l->s->backend, l->s->store, &l->runner, e));
		bytes = l->s->room; /* which was there before */
	}
	bytes += l->runner->ops->bytes(l->runner);
	rn_log(&l->s->ctx, RN_LOG_INFO, "fit '%s': %u instructions, %llu bytes", l->fit->name,
	       l->fit->prog.ninsts, (unsigned long long)bytes);
	return 0;
}

/* A loss that is no number: which stage was it? */
static int diverged(struct loop *l, uint64_t epoch, struct rn_err *e)
{
	const struct rn_plan *p = rn_binding_plan(l->s->binding);
	const struct rn_node *n;
	uint32_t inst;

	RN_TRY(l->runner->ops->find(l->runner, (uint32_t)epoch, &inst, e));
	if (inst == RN_NONE)
		return rn_err_set(e, RN_EDIVERGED,
				  "training diverged at epoch %llu: the loss '%s' is not finite",
				  (unsigned long long)epoch + 1, l->fit->name);
	n = &p->nodes[l->fit->prog.insts[inst].stage];
	return rn_err_set(e, RN_EDIVERGED,
			  "training diverged at epoch %llu: stage '%s' (%s) gave a non-finite "
			  "value first",
			  (unsigned long long)epoch + 1, n->name, n->op->name);
}

/* Epoch number `epoch` (0, 1, …): forward, backward, step. */
static int train_step(struct loop *l, uint64_t epoch, double *loss, struct rn_err *e)
{
	const struct rn_runner_ops *ops = l->runner->ops;

	RN_TRY(ops->forward(l->runner, (uint32_t)epoch, loss, e));
	if (!isfinite(*loss))
		return diverged(l, epoch, e);
	return ops->learn(l->runner, (uint32_t)epoch, e);
}

static int copy_params(struct rn_session *s, struct rn_store *from, float *flat, struct rn_err *e)
{
	for (uint32_t i = 0; i < s->params.n; i++) {
		RN_TRY(rn_store_get_f32(from, i, flat, e));
		flat += s->params.items[i].count;
	}
	return 0;
}

static int restore_params(struct rn_session *s, const float *flat, struct rn_err *e)
{
	for (uint32_t i = 0; i < s->params.n; i++) {
		RN_TRY(rn_store_set_f32(s->store, i, flat, e));
		flat += s->params.items[i].count;
	}
	return 0;
}

/* How does x compare with the best so far: 1 better, 0 equal, -1 worse or undefined? */
static int compare_with_best(const struct loop *l, double x)
{
	double best = l->s->state.best_val;
	int more;

	if (isnan(x))
		return -1;
	if (isnan(best))
		return 1;
	more = (x > best) - (x < best);
	return rn_metric_higher_is_better(l->val->metric) ? more : -more;
}

/* Does the validation run where the fit does?  Not if nothing has to run. */
static bool runs_val(const struct loop *l)
{
	const struct rn_forward *f = &l->val->forward;

	return l->runner->ops->eval && f->prog.vals[rn_cut_root(&f->prog, f->val)].kind == RN_V_INST;
}

static int run_val(struct loop *l, double *val, const char **why, struct rn_err *e)
{
	if (!runs_val(l))
		return rn_score_run(l->val, l->s->backend, l->s->store, val, why, e);
	RN_TRY(l->runner->ops->eval(l->runner, &l->val->forward, e));
	*val = rn_score_value(l->val, why);
	return 0;
}

static int make_val_ready(struct loop *l, struct rn_err *e)
{
	const struct rn_runner_ops *ops = l->runner->ops;

	if (!l->val || !ops->ready || !runs_val(l))
		return 0;
	l->scoring = true;
	RN_TRY(ops->ready(l->runner, &l->val->forward, e));
	l->scoring = false;
	return 0;
}

/* After epoch state.epoch: is it the best so far?  Of equal epochs the latest is
 * kept, which was trained longest; patience counts from the first of them. */
static bool judge(struct loop *l, double val, const char *why, double seconds)
{
	struct rn_state *st = &l->s->state;
	struct rn_times *times = &l->s->validations;
	int order;

	times->seconds[times->n++] = seconds;
	if (isnan(val) && !l->warned) {
		l->warned = true;
		rn_log(&l->s->ctx, RN_LOG_WARN, "val of '%s': %s is not defined: %s", l->val->node,
		       l->val->metric_name, why);
	}
	order = compare_with_best(l, val);
	st->stale = order > 0 ? 0 : st->stale + 1;
	if (order < 0)
		return false;
	st->best_val = val;
	st->best_epoch = st->epoch;
	return true;
}

static int validate(struct loop *l, double *val, struct rn_err *e)
{
	double begin = rn_now();
	const char *why;

	l->scoring = true;
	RN_TRY(run_val(l, val, &why, e));
	l->scoring = false;
	if (!judge(l, *val, why, rn_now() - begin))
		return 0;
	return copy_params(l->s, l->s->store, l->s->state.best, e);
}

static bool finished(const struct loop *l)
{
	const struct rn_state *st = &l->s->state;

	return st->epoch >= l->epochs || (l->patience && st->stale >= l->patience);
}

static void tell(const struct loop *l, double loss, double val, double seconds)
{
	const struct rn_session *s = l->s;
	uint64_t done = s->state.epoch - l->first;
	struct rn_progress p = {
		.run = s->state.run,
		.runs = s->runs,
		.fit = l->fit->name,
		.epoch = s->state.epoch,
		.epochs = l->epochs,
		.loss = loss,
		.metric = l->val ? l->val->metric_name : NULL,
		.val = val,
		.best = s->state.best_val,
		.rows_per_second = seconds > 0 ? (double)l->fit->rows / seconds : 0,
	};

	if (!s->conf->progress)
		return;
	p.seconds_left = (rn_now() - l->begin) / (double)done * (double)(l->epochs - p.epoch);
	s->conf->progress(s->conf->progress_arg, &p);
}

/* With -v: what the device made ready. */
static void tell_made(const struct loop *l)
{
	struct rn_backend *b = l->s->backend;
	const char *note = b->note ? b->note(b) : "";

	if (*note)
		rn_log(&l->s->ctx, RN_LOG_INFO, "device '%s': %s", b->name, note);
}

static int save_checkpoint(struct loop *l, struct rn_err *e)
{
	RN_TRY(l->runner->ops->pull(l->runner, e));
	RN_TRY(rn_checkpoint_save(l->s, e));
	l->s->saved = true;
	return 0;
}

static bool is_validated(const struct loop *l)
{
	uint64_t epoch = l->s->state.epoch;

	return l->val && (epoch % l->every == 0 || epoch == l->epochs);
}

static int log_epoch(struct loop *l, double loss, double val, double t, struct rn_err *e)
{
	if (l->s->state.epoch % l->log_every && !finished(l))
		return 0;
	return rn_log_epoch(l->s, loss, val, t, e);
}

/* Between epochs: was a stop asked for, is a checkpoint due? */
static int look_up(struct loop *l, bool *stopped, struct rn_err *e)
{
	const struct rn_train_conf *c = l->s->conf;

	*stopped = c->stop && *c->stop;
	if (c->checkpoint && (*stopped || (c->checkpoint_every &&
					   l->s->state.epoch % c->checkpoint_every == 0)))
		return save_checkpoint(l, e);
	return 0;
}

static int one_epoch(struct loop *l, bool *stopped, struct rn_err *e)
{
	struct rn_backend *b = l->s->backend;
	struct rn_state *st = &l->s->state;
	double loss, val = NAN, t;
	int rc;

	if (b->enter)
		b->enter(b);
	t = rn_now();
	rc = train_step(l, st->epoch, &loss, e);
	t = rn_now() - t;
	if (!rc) {
		st->epoch++;
		st->curve[st->ncurve++] = loss;
		l->s->steps.seconds[l->s->steps.n++] = t;
		if (is_validated(l))
			rc = validate(l, &val, e);
	}
	if (b->leave)
		b->leave(b);
	RN_TRY(rc);
	RN_TRY(log_epoch(l, loss, val, t, e));
	tell(l, loss, val, t);
	return look_up(l, stopped, e);
}

/* ---- windows ------------------------------------------------------------------------------- */

/* Where a device can validate by itself: what it takes for that. */
static int begin_watching(struct loop *l, struct rn_err *e)
{
	struct rn_session *s = l->s;
	uint32_t k;

	if (!l->val || !l->runner->ops->epochs)
		return 0;
	l->scoring = true;
	if (!l->val->forward.machine)
		RN_TRY(rn_forward_start(&l->val->forward, s->backend, s->store, e));
	RN_TRY(rn_store_new(s->backend, RN_F32, &l->watch.kept, e));
	for (uint32_t i = 0; i < s->params.n; i++)
		RN_TRY(rn_store_add(l->watch.kept, s->params.items[i].count, &k, e));
	RN_TRY(rn_calloc(l->epochs, sizeof *l->watch.val, "values of a metric", &l->watch.val, e));
	l->scoring = false;
	rn_log(&s->ctx, RN_LOG_INFO, "val of '%s': %s is found on the device", l->val->node,
	       l->val->metric_name);
	l->watch.score = l->val;
	l->watch.every = (uint32_t)l->every;
	l->watch.last = (uint32_t)l->epochs;
	l->watch.patience = l->patience;
	return 0;
}

static void end_watching(struct loop *l)
{
	rn_store_free(l->watch.kept);
	free(l->watch.val);
}

/* Epochs until the next checkpoint, the end, or somebody who waits to see the progress or to stop. */
static uint32_t window_of(const struct loop *l)
{
	uint64_t every = l->s->conf->checkpoint ? l->s->conf->checkpoint_every : 0;
	uint64_t epoch = l->s->state.epoch, n = l->epochs - epoch;
	uint64_t left = every ? every - epoch % every : n;

	n = n < l->ahead ? n : l->ahead;
	return (uint32_t)(n < left ? n : left);
}

/* For a window of about 0.1 to 0.3 seconds. */
static void adapt(struct loop *l, uint32_t n, double seconds)
{
	if (n == l->ahead && seconds < 0.1 && l->ahead < MOST_AHEAD)
		l->ahead *= 2;
	else if (seconds > 0.3 && l->ahead > 1)
		l->ahead /= 2;
}

/* A window of n epochs, and what it gave for each. */
struct span {
	uint32_t n, done;
	const double *loss;
	double step, look;    /* mean seconds of a step, of a validation by the device */
	bool better;          /* which kept parameters */
};

/* The device has run epochs, and validated them where it does. */
static int run_window(struct loop *l, struct span *w, struct rn_err *e)
{
	struct rn_state *st = &l->s->state;
	struct rn_watching *watch = l->watch.score ? &l->watch : NULL;
	uint64_t looks = 0, last = st->epoch + w->n;
	double t = rn_now();

	l->watch.best = st->best_val;
	l->watch.stale = st->stale;
	RN_TRY(l->runner->ops->epochs(l->runner, (uint32_t)st->epoch, w->n, watch,
				      st->curve + st->ncurve, &w->done, e));
	t = rn_now() - t;
	adapt(l, w->n, t);
	if (watch) {
		looks = last / l->every - st->epoch / l->every;
		looks += last == l->epochs && last % l->every;
		w->look = looks ? watch->seconds / (double)looks : 0;
		t -= watch->seconds;
	}
	w->step = t > 0 ? t / w->n : 0;
	return 0;
}

/* The validation of the k-th epoch of a window, which is counted; NaN: there is none. */
static double see_val(struct loop *l, struct span *w, uint32_t k)
{
	double val = is_validated(l) ? l->watch.val[k] : (double)NAN;

	if (is_validated(l))
		w->better |= judge(l, val, rn_metric_why(&l->val->gauge, val), w->look);
	return val;
}

/* The next of the epochs that were run together: it is counted, validated, and logged. */
static int count_epoch(struct loop *l, struct span *w, uint32_t k, struct rn_err *e)
{
	struct rn_state *st = &l->s->state;
	double val, loss = w->loss[k];

	st->epoch++;
	st->curve[st->ncurve++] = loss;
	l->s->steps.seconds[l->s->steps.n++] = w->step;
	val = see_val(l, w, k);
	RN_TRY(log_epoch(l, loss, val, w->step, e));
	if (k + 1 == w->done)
		tell(l, loss, val, w->step);
	return 0;
}

/* Epochs without the host in between, as one_epoch to the bit. */
static int one_window(struct loop *l, bool *stopped, struct rn_err *e)
{
	struct rn_state *st = &l->s->state;
	struct span w = { .n = window_of(l), .loss = st->curve + st->ncurve };

	RN_TRY(run_window(l, &w, e));
	for (uint32_t k = 0; k < w.done; k++)
		RN_TRY(count_epoch(l, &w, k, e));
	if (w.better)
		RN_TRY(copy_params(l->s, l->watch.kept, st->best, e));
	tell_made(l);
	if (w.done < w.n && !finished(l))
		return diverged(l, st->epoch, e);
	return look_up(l, stopped, e);
}

/* Optimizer slots of a checkpoint, into the runner. */
static int put_slots(struct loop *l, const struct rn_slots *slots, struct rn_err *e)
{
	for (size_t i = 0; i < slots->n; i++)
		RN_TRY(rn_store_set_f32(l->fit->states, (uint32_t)i, slots->items[i].x, e));
	return l->runner->ops->push(l->runner, e);
}

/* As a fit begins. */
static int clear_slots(struct loop *l, struct rn_err *e)
{
	struct rn_store *states = l->fit->states;
	size_t most = 0;
	float *zeros;
	int rc = 0;

	for (uint32_t i = 0; i < states->n; i++)
		most = states->items[i].count > most ? states->items[i].count : most;
	RN_TRY(rn_calloc(most, sizeof *zeros, "optimizer slots", &zeros, e));
	for (uint32_t i = 0; i < states->n && !rc; i++)
		rc = rn_store_set_f32(states, i, zeros, e);
	free(zeros);
	return rc ? rc : l->runner->ops->push(l->runner, e);
}

/* The parameters lie elsewhere: machines that know where they were are made anew. */
static void forget_moved(struct rn_session *s)
{
	for (uint32_t i = 0; s->moved && i < s->nfits + s->nevals; i++) {
		struct rn_score *x = i < s->nfits ? &s->vals[i] : &s->evals[i - s->nfits];

		rn_machine_free(x->forward.machine);
		x->forward.machine = NULL;
	}
	s->moved = false;
}

static int begin(struct loop *l, const struct rn_slots *resume, struct rn_err *e)
{
	struct rn_session *s = l->s;
	bool again = s->kept && s->kept->fit == l->fit;
	int rc;

	if (!again)
		rn_fit_forget(s);
	rc = again ? take_kept(l, e) : open_runner(l, e);
	forget_moved(s);
	RN_TRY(rc);
	if (resume)
		RN_TRY(put_slots(l, resume, e));
	else if (again)
		RN_TRY(clear_slots(l, e));
	/* Until now a step that was under way may have gone on. */
	if (again)
		RN_TRY(rn_params_to_store(&s->params, s->store, e));
	return make_val_ready(l, e);
}

/* A gradient may leave the finite numbers in the very last step. */
static int check_params(struct loop *l, struct rn_err *e)
{
	const struct rn_params *p = &l->s->params;

	RN_TRY(rn_params_from_store(&l->s->params, l->s->store, e));
	for (uint32_t i = 0; i < p->n; i++)
		for (size_t k = 0; k < p->items[i].count; k++)
			if (!isfinite(p->items[i].value[k]))
				return rn_err_set(e, RN_EDIVERGED,
						  "training diverged at epoch %llu: parameter '%s' "
						  "is not finite",
						  (unsigned long long)l->s->state.epoch,
						  p->items[i].name);
	return 0;
}

static int finish(struct loop *l, struct rn_err *e)
{
	const struct rn_runner_ops *ops = l->runner->ops;
	struct rn_peaks *most = &l->s->stage_peaks, peak = { 0 };

	if (ops->finish)
		RN_TRY(ops->finish(l->runner, l->s->stages, &peak, e));
	most->host = peak.host > most->host ? peak.host : most->host;
	most->device = peak.device > most->device ? peak.device : most->device;
	return 0;
}

static int grow_times(struct rn_times *t, uint64_t more, struct rn_err *e)
{
	return rn_grow(&t->seconds, &t->cap, t->n + more, sizeof *t->seconds, "step times", e);
}

static int run_epochs(struct loop *l, const struct rn_slots *resume, bool *stopped,
		      struct rn_err *e)
{
	struct rn_state *st = &l->s->state;
	struct rn_session *s = l->s;

	RN_TRY(begin(l, resume, e));
	RN_TRY(rn_grow(&st->curve, &st->cap_curve, st->ncurve + l->epochs, sizeof *st->curve,
		       "losses", e));
	RN_TRY(grow_times(&s->steps, l->epochs, e));
	RN_TRY(grow_times(&s->validations, l->val ? l->epochs : 0, e));
	RN_TRY(begin_watching(l, e));
	*stopped = false;
	while (!finished(l) && !*stopped)
		RN_TRY(l->runner->ops->epochs ? one_window(l, stopped, e) :
						one_epoch(l, stopped, e));
	RN_TRY(finish(l, e));
	if (*stopped)
		return 0;
	if (st->best_epoch)
		RN_TRY(restore_params(s, st->best, e));
	return check_params(l, e);
}

/* Is it the validation that failed, rather than the fit? */
static bool val_failed(const struct loop *l)
{
	return l->scoring || l->watch.unready ||
	       (l->watch.score && rn_machine_failed(l->val->forward.machine) != RN_NONE);
}

/* An error of a device: say when, where, and what would help. */
static int explain(const struct loop *l, int rc, struct rn_err *e)
{
	struct rn_need need = rn_fit_need(l->fit);
	uint32_t inst = RN_NONE;

	if (rc != RN_ENOMEM && rc != RN_EDEV)
		return rc;
	if (l->runner && l->runner->ops->told && l->runner->ops->told(l->runner))
		return rc;
	if (rc == RN_EDEV)
		(void)rn_err_prefix(e, rc, "after epoch %llu",
				    (unsigned long long)l->s->state.epoch);
	if (val_failed(l))
		return rn_score_explain(l->val, "val", rc, l->s->binding, l->s->backend, e);
	if (l->runner && l->runner->ops->failed)
		inst = l->runner->ops->failed(l->runner);
	return rn_need_explain(&need, inst, rc, &l->s->ctx, l->s->backend,
			       rn_binding_plan(l->s->binding), e);
}

int rn_fit_run(struct rn_session *s, const struct rn_slots *resume, bool *stopped,
	       struct rn_err *e)
{
	const struct rn_run *val = s->val_runs[s->state.fit];
	struct loop l = {
		.s = s,
		.fit = &s->fits[s->state.fit],
		.val = val ? &s->vals[s->state.fit] : NULL,
		.epochs = (uint64_t)rn_run_int(s->fits[s->state.fit].run, "epochs"),
		.every = 1,
		.log_every = s->conf->log_every ? s->conf->log_every : 1,
		.ahead = 1,
		.begin = rn_now(),
		.first = s->state.epoch,
	};
	int rc;

	if (val) {
		l.every = s->conf->val_every ? s->conf->val_every
					     : (uint64_t)rn_run_int(val, "every");
		l.every = l.every < l.epochs ? l.every : l.epochs; /* the last epoch is validated */
		l.patience = (uint64_t)rn_run_int(val, "patience");
	}
	rc = run_epochs(&l, resume, stopped, e);
	if (rc)
		rc = explain(&l, rc, e);
	end_watching(&l);
	s->lost = rc && l.runner && l.runner->ops->lost && l.runner->ops->lost(l.runner);
	if (s->lost)
		s->kept = l.runner;
	else if (l.runner)
		l.runner->ops->close(l.runner);
	s->seconds_fit += rn_now() - l.begin;
	return rc;
}

void rn_fit_forget(struct rn_session *s)
{
	if (s->kept)
		s->kept->ops->close(s->kept);
	s->kept = NULL;
}
