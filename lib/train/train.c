/* SPDX-License-Identifier: Apache-2.0
 *
 * A training session: bind once, then per run build the programs, fit, and
 * evaluate; at the end model and predictions of the chosen run.
 *
 * Programs are built anew for every run, as the keys of random draws hold the seed.
 */
#include "session.h"

#include "../base/accel.h"
#include "../exec/folded.h"
#include "devices.h"
#include "model.h"

#include <malloc.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the plan's runs -------------------------------------------------------------------- */

/* The val run of each fit: those behind it and before the next; one before all fits is
 * the first one's. */
static void assign_vals(struct rn_session *s)
{
	const struct rn_plan *p = s->plan;
	uint32_t fit = 0, seen = 0;

	for (uint32_t i = 0; i < p->nruns; i++)
		if (p->runs[i].kind == RN_RUN_FIT)
			fit = seen++;
		else if (p->runs[i].kind == RN_RUN_VAL)
			s->val_runs[fit] = &p->runs[i];
}

static int count_runs(struct rn_session *s, struct rn_err *e)
{
	const struct rn_plan *p = s->plan;
	const char *setting;
	int rc;

	if (!p->nruns)
		return rn_err_set(e, RN_EUSAGE, "there is nothing to train: the plan has no fit run");
	s->check.plan = p;
	RN_TRY(rn_checking_open(&s->check, e));
	for (uint32_t i = 0; i < p->nruns; i++) {
		s->nfits += p->runs[i].kind == RN_RUN_FIT;
		s->nevals += p->runs[i].kind == RN_RUN_EVAL;
		rc = rn_check_run(&s->check, i, &setting, e);
		if (rc && (p->runs[i].kind == RN_RUN_VAL || p->runs[i].kind == RN_RUN_EVAL))
			rn_err_prefix(e, rc, "%s of '%s'", rn_run_types[p->runs[i].kind].name,
				      p->nodes[p->runs[i].node].name);
		RN_TRY(rc);
	}
	RN_TRY(rn_report_check_names(p, s->conf->tags, e));
	RN_TRY(rn_calloc(s->nfits, sizeof *s->fits, "fits", &s->fits, e));
	RN_TRY(rn_calloc(s->nfits, sizeof *s->tasks, "fits", &s->tasks, e));
	RN_TRY(rn_calloc(s->nfits, sizeof *s->losses, "fits", &s->losses, e));
	RN_TRY(rn_calloc(s->nfits, sizeof *s->vals, "fits", &s->vals, e));
	RN_TRY(rn_calloc(s->nfits, sizeof *s->val_runs, "fits", &s->val_runs, e));
	RN_TRY(rn_calloc(s->nevals, sizeof *s->evals, "evals", &s->evals, e));
	RN_TRY(rn_calloc(p->nruns, sizeof *s->schemas, "runs", &s->schemas, e));
	assign_vals(s);
	return 0;
}

/* ---- programs of a run --------------------------------------------------------------------- */

static void free_programs(struct rn_session *s)
{
	for (uint32_t i = 0; s->fits && i < s->nfits; i++)
		rn_fit_fini(&s->fits[i]);
	for (uint32_t i = 0; s->vals && i < s->nfits; i++)
		rn_score_fini(&s->vals[i]);
	for (uint32_t i = 0; s->evals && i < s->nevals; i++)
		rn_score_fini(&s->evals[i]);
}

/* What predictions of a run mean; NULL: no loss says it. */
static const struct rn_task *task_of(const struct rn_session *s, const struct rn_run *r)
{
	uint32_t loss = rn_run_loss(&s->check, (uint32_t)(r - s->plan->runs));

	return loss == RN_NONE ? NULL : &s->tasks[loss];
}

static int build_evals(struct rn_session *s, struct rn_err *e)
{
	const struct rn_task none = { .kind = RN_LOSS_VALUE };

	for (uint32_t i = 0, k = 0; i < s->plan->nruns; i++) {
		const struct rn_run *r = &s->plan->runs[i];
		const struct rn_task *task;

		if (r->kind != RN_RUN_EVAL)
			continue;
		task = task_of(s, r);
		RN_TRY(rn_score_new(s->binding, s->backend, s->plan, r, task ? task : &none, &s->params,
				    &s->evals[k++], e));
	}
	return 0;
}

static int build_fits(struct rn_session *s, struct rn_err *e)
{
	struct rn_device_map map = { s->conf->device_map, s->conf->ndevice_map };
	bool apart = s->conf->placement == RN_STAGED && map.n;

	s->params.frozen = false;
	for (uint32_t i = 0, k = 0; i < s->plan->nruns; i++) {
		if (s->plan->runs[i].kind != RN_RUN_FIT)
			continue;
		RN_TRY(rn_fit_build(s->binding, s->backend, s->plan, &s->plan->runs[i], &s->params,
				    apart, &s->fits[k], e));
		RN_TRY(rn_optim_check(&s->fits[k].optim, &s->params, e));
		s->tasks[k] = s->fits[k].task;
		rn_task_facts(&s->tasks[k], &s->losses[k]);
		k++;
	}
	RN_TRY(rn_device_map_check(&map, rn_binding_plan(s->binding), s->fits, s->nfits, e));
	s->params.frozen = true; /* what is evaluated must have been trained */
	return 0;
}

static int build_scores(struct rn_session *s, struct rn_err *e)
{
	for (uint32_t i = 0; i < s->nfits; i++)
		if (s->val_runs[i])
			RN_TRY(rn_score_new(s->binding, s->backend, s->plan, s->val_runs[i],
					    &s->tasks[i], &s->params, &s->vals[i], e));
	return build_evals(s, e);
}

/* Ask for the parameters of a prediction: those that are not there are added, or refused. */
static int ask_params(struct rn_session *s, struct rn_binding *x, uint32_t node, struct rn_err *e)
{
	struct rn_lrel rel = { 0 };
	struct rn_prog prog;
	int rc;

	rn_prog_init(&prog);
	rc = rn_binding_lower(x, node, false, &s->params, &prog, &rel, e);
	rn_lrel_fini(&rel);
	rn_prog_fini(&prog);
	return rc;
}

/* What else would be found when the fits are over.  By names alone it cannot be told
 * whether all parameters are trained, where a stage has some that is under no fit. */
static int check_preds(struct rn_session *s, struct rn_err *e)
{
	const struct rn_plan *p = s->plan;
	const char *setting;

	for (uint32_t i = 0; i < p->nruns; i++) {
		const struct rn_run *r = &p->runs[i];
		int rc = 0;

		if (r->kind != RN_RUN_PRED)
			continue;
		RN_TRY(rn_check_run(&s->check, i, &setting, e));
		if (s->check.untrained[r->node] != RN_NONE && !s->check.late[r->node])
			rc = ask_params(s, s->binding, r->node, e);
		if (rc)
			return rn_err_prefix(e, rc, "pred '%s'", rn_run_string(r, "name"));
	}
	for (uint32_t i = 0; i < s->early.nruns; i++) { /* and what late ones read */
		const struct rn_run *r = &s->early.runs[i];

		if (r->kind == RN_RUN_PRED && s->check.untrained[r->node] != RN_NONE)
			RN_TRY(ask_params(s, s->binding, r->node, e));
	}
	return 0;
}

/* The schemas of the runs' relations, as they are bound; of late ones not yet. */
static void find_schemas(struct rn_session *s)
{
	for (uint32_t i = 0; i < s->plan->nruns; i++)
		if (!s->check.late[s->plan->runs[i].node])
			s->schemas[i] = rn_binding_schema(s->binding, s->plan->runs[i].node);
	s->check.schemas = s->schemas;
	s->check.losses = s->losses;
}

/* The parameters in the backend's memory; in a staged placement where processes share it. */
static int make_store(struct rn_session *s, struct rn_err *e)
{
	struct rn_device_map map = { s->conf->device_map, s->conf->ndevice_map };
	uint64_t *offsets = NULL, size;
	size_t *counts = NULL;
	int rc;

	if (s->store)
		return 0;
	if (s->conf->placement != RN_STAGED)
		return rn_store_new(s->backend, RN_F32, &s->store, e);
	RN_GOTO(out, rn_calloc(s->params.n, sizeof *counts, "parameters", &counts, e));
	RN_GOTO(out, rn_calloc(s->params.n, sizeof *offsets, "parameters", &offsets, e));
	for (uint32_t i = 0; i < s->params.n; i++)
		counts[i] = s->params.items[i].count;
	RN_GOTO(out, rn_shared_layout(s->params.n, counts, offsets, &size, e));
	RN_GOTO(out, rn_shared_new("rn-parameters", size, &s->shared, e));
	RN_GOTO(out, rn_device_map_differs(&map, s->backend)
			     ? rn_region_take(s->shared, s->backend, NULL, &s->region, e)
			     : rn_region_new(s->shared, s->backend, &s->region, e));
	rc = rn_shared_store(&s->region, s->params.n, counts, &s->store, e);
out:
	free(counts);
	free(offsets);
	return rc;
}

/* ---- one run ------------------------------------------------------------------------------- */

static int grow_copies(struct rn_session *s, struct rn_err *e)
{
	size_t n = rn_params_count(&s->params);

	if (s->state.best)
		return 0;
	RN_TRY(rn_calloc(n, sizeof(float), "the best parameters", &s->state.best, e));
	return rn_calloc(s->runs > 1 ? n : 0, sizeof(float), "the parameters of the best run",
			 &s->state.chosen, e);
}

/* Initial values from elsewhere; what they lack keeps its own, and is told. */
static int load_weights(struct rn_session *s, struct rn_err *e)
{
	RN_TRY(rn_params_load(&s->params, s->conf->weights, e));
	for (uint32_t i = 0; i < s->params.n && !s->state.run; i++)
		if (!s->params.items[i].loaded)
			rn_log(&s->ctx, RN_LOG_WARN,
			       "'%s' has no parameter '%s': it begins with an initial value of its own",
			       s->conf->weights, s->params.items[i].name);
	return 0;
}

/* The programs hold what they need: with the last run's made, only predictions are lowered yet. */
static int release_rows(struct rn_session *s, struct rn_err *e)
{
	uint32_t *preds, n = 0;
	int rc;

	if (s->state.run + 1 < s->runs)
		return 0;
	RN_TRY(rn_calloc(s->early.nruns, sizeof *preds, "predictions", &preds, e));
	for (uint32_t i = 0; i < s->early.nruns; i++)
		if (s->early.runs[i].kind == RN_RUN_PRED)
			preds[n++] = s->early.runs[i].node;
	rc = rn_binding_release(s->binding, preds, n, e);
	free(preds);
	return rc;
}

static int build(struct rn_session *s, struct rn_err *e)
{
	free_programs(s);
	RN_TRY(build_fits(s, e));
	RN_TRY(build_scores(s, e));
	RN_TRY(check_preds(s, e));
	RN_TRY(rn_budget_check(s, e));
	rn_folded_trim(rn_binding_folded(s->binding)); /* of the run before */
	RN_TRY(release_rows(s, e));
	malloc_trim(0); /* what was needed to get here makes room for the results */
	return 0;
}

/* Where the run is tried again its programs, and the processes that are left of it, are there. */
static int start_run(struct rn_session *s, const struct rn_checkpoint *resume, struct rn_err *e)
{
	s->ctx.seed = s->conf->ctx->seed + s->state.run;
	if (!s->kept)
		RN_TRY(build(s, e));
	RN_TRY(rn_params_init(&s->params, s->ctx.seed, e));
	if (s->conf->weights)
		RN_TRY(load_weights(s, e));
	RN_TRY(grow_copies(s, e));
	RN_TRY(rn_marks_new(s, e));
	if (resume)
		RN_TRY(rn_checkpoint_apply(s, resume, e));
	RN_TRY(make_store(s, e));
	RN_TRY(rn_params_to_store(&s->params, s->store, e));
	if (s->conf->placement != RN_STAGED)
		rn_budget_reserve(s);
	return resume ? 0 : rn_marks_reach(s, 0, e);
}

static void begin_fit(struct rn_state *st)
{
	st->epoch = st->stale = st->best_epoch = 0;
	st->best_val = NAN;
}

static int run_fits(struct rn_session *s, const struct rn_checkpoint *resume, bool *stopped,
		    struct rn_err *e)
{
	for (; s->state.fit < s->nfits; s->state.fit++) {
		RN_TRY(rn_fit_run(s, resume ? &resume->slots : NULL, stopped, e));
		resume = NULL;
		if (*stopped)
			return 0;
		RN_TRY(rn_marks_reach(s, s->state.fit + 1, e));
		if (s->state.fit + 1 == s->nfits)
			break; /* state tells of the last fit */
		begin_fit(&s->state);
	}
	return 0;
}

/* Is this run better than the one that was chosen so far? */
static bool better_run(const struct rn_session *s)
{
	const struct rn_score *v = &s->vals[s->nfits - 1];
	double val = s->state.best_val, old = s->state.chosen_val;

	if (s->state.chosen_run == RN_NONE)
		return true;
	if (isnan(val))
		return false;
	return isnan(old) || (rn_metric_higher_is_better(v->metric) ? val > old : val < old);
}

static int finish_run(struct rn_session *s, struct rn_err *e)
{
	struct rn_state *st = &s->state;
	float *flat = st->chosen;
	json_t *o;

	RN_TRY(rn_report_run(s, st->marks.evals, &o, e));
	RN_TRY(rn_json_append(st->done, o, e));
	if (!better_run(s))
		return 0;
	rn_marks_choose(s);
	st->chosen_run = st->run;
	st->chosen_val = st->best_val;
	for (uint32_t i = 0; s->runs > 1 && i < s->params.n; i++) {
		memcpy(flat, s->params.items[i].value, s->params.items[i].count * sizeof *flat);
		flat += s->params.items[i].count;
	}
	return 0;
}

static int run_all(struct rn_session *s, const struct rn_checkpoint *resume, bool *stopped,
		   struct rn_err *e)
{
	struct rn_state *st = &s->state;

	for (; st->run < s->runs; st->run++) {
		RN_TRY(start_run(s, resume, e));
		RN_TRY(run_fits(s, resume, stopped, e));
		if (*stopped)
			return 0;
		RN_TRY(finish_run(s, e));
		resume = NULL;
		st->fit = 0;
		st->ncurve = 0;
		begin_fit(st);
	}
	return 0;
}

/* ---- outputs ------------------------------------------------------------------------------- */

/* Of which loss?  (rn_late_conf) */
static const struct rn_task *late_task(void *arg, const char *loss)
{
	const struct rn_session *s = arg;
	uint32_t fit = 0;

	for (uint32_t i = 0; i < s->plan->nruns; i++) {
		if (s->plan->runs[i].kind != RN_RUN_FIT)
			continue;
		if (!strcmp(s->plan->nodes[s->plan->runs[i].node].name, loss))
			return &s->tasks[fit];
		fit++;
	}
	return NULL;
}

static void late_swap(void *arg, uint32_t fits)
{
	rn_marks_swap(arg, fits);
}

/* Where nothing is trained a late stage may have parameters that nobody has asked for. */
static int late_ready(void *arg, struct rn_binding *x, uint32_t node, struct rn_err *e)
{
	struct rn_session *s = arg;
	uint32_t before = s->params.n;

	if (s->nfits || !s->check.learns[node])
		return 0;
	s->params.frozen = false;
	RN_TRY(ask_params(s, x, node, e));
	s->params.frozen = true;
	if (s->params.n == before)
		return 0;
	RN_TRY(rn_params_init(&s->params, s->ctx.seed, e));
	return s->conf->weights ? rn_params_load(&s->params, s->conf->weights, e) : 0;
}

static int open_late(struct rn_session *s, struct rn_err *e)
{
	const struct rn_late_conf c = {
		.ctx = &s->ctx,
		.backend = s->backend,
		.plan = s->plan,
		.binding = s->binding,
		.params = &s->params,
		.task = late_task,
		.swap = late_swap,
		.ready = late_ready,
		.arg = s,
	};

	return rn_late_init(&s->late, &c, e);
}

/* The rows of a prediction with the parameters of its place. */
static int predict(struct rn_session *s, const struct rn_run *r, struct rn_binding *x,
		   struct rn_rel **out, struct rn_err *e)
{
	uint32_t fits = rn_fits_before(s->plan, r);
	int rc;

	rn_marks_swap(s, fits);
	rc = rn_predict_run(x, s->plan, r, &s->params, task_of(s, r), out, e);
	rn_marks_swap(s, fits);
	return rc;
}

/* What is wrong with its columns is known now. */
static int predict_late(struct rn_session *s, const struct rn_run *r, struct rn_rel **out,
			struct rn_err *e)
{
	uint32_t i = (uint32_t)(r - s->plan->runs);
	struct rn_late_bound b;
	const char *setting;
	int rc;

	rc = rn_late_bind(&s->late, r, rn_fits_before(s->plan, r), &b, e);
	if (!rc) {
		s->schemas[i] = rn_binding_schema(b.binding, r->node);
		rc = rn_check_run(&s->check, i, &setting, e);
	}
	if (!rc)
		rc = predict(s, r, b.binding, out, e);
	s->schemas[i] = NULL;
	rn_late_unbind(&s->late, &b);
	return rc ? rn_err_prefix(e, rc, "pred '%s'", rn_run_string(r, "name")) : 0;
}

static int write_prediction(struct rn_session *s, const struct rn_run *r, struct rn_err *e)
{
	struct rn_str path = RN_STR_INIT;
	struct rn_rel *rel;
	int rc;

	RN_TRY(s->check.late[r->node] ? predict_late(s, r, &rel, e) : predict(s, r, s->binding, &rel, e));
	s->rows_out += rel->rows;
	rc = rn_outputs_path(s, r, &path, e);
	if (!rc)
		rc = rn_rel_save(&s->ctx, rel, path.s, rn_pred_format(r), e);
	rn_rel_unref(rel);
	rn_str_fini(&path);
	return rc;
}

/* Model and parameters as they are. */
static int write_parameters(struct rn_session *s, struct rn_err *e)
{
	const struct rn_train_conf *c = s->conf;

	if (c->model)
		RN_TRY(rn_model_save(c->model, s->plan, s->binding, &s->params, s->tasks, c->history,
				     &c->writer, e));
	return c->save_weights ? rn_params_save_npy(&s->params, c->save_weights, e) : 0;
}

static int write_predictions(struct rn_session *s, struct rn_err *e)
{
	for (uint32_t i = 0; i < s->plan->nruns; i++)
		if (s->plan->runs[i].kind == RN_RUN_PRED)
			RN_TRY(write_prediction(s, &s->plan->runs[i], e));
	return 0;
}

/* What was trained is kept whatever becomes of the predictions. */
static int write_outputs(struct rn_session *s, struct rn_err *e)
{
	if (!s->nfits) /* late stages may have asked for more */
		RN_TRY(write_predictions(s, e));
	RN_TRY(write_parameters(s, e));
	return s->nfits ? write_predictions(s, e) : 0;
}

/* Everything that the chosen run leaves behind. */
static int write_chosen(struct rn_session *s, struct rn_err *e)
{
	const float *flat = s->state.chosen;

	free_programs(s);
	rn_budget_release(s);
	for (uint32_t i = 0; s->runs > 1 && i < s->params.n; i++) {
		memcpy(s->params.items[i].value, flat, s->params.items[i].count * sizeof *flat);
		flat += s->params.items[i].count;
	}
	return write_outputs(s, e);
}

/* ---- the session --------------------------------------------------------------------------- */

static int open_session(struct rn_session *s, struct rn_err *e)
{
	const struct rn_train_conf *c = s->conf;

	RN_TRY(count_runs(s, e));
	RN_TRY(rn_outputs_check(s, e));
	if (c->placement == RN_STAGED && !c->exe)
		return rn_err_set(e, RN_EBUG, "a staged placement without a program to start");
	RN_TRY(rn_backend_of(&s->ctx, RN_LOG_WARN, &s->backend, e));
	rn_accel_attach(&s->ctx, s->backend->accel);
	RN_TRY(rn_binding_new(&s->ctx, s->backend, s->plan, c->carried, &s->binding, e));
	find_schemas(s);
	RN_TRY(rn_plan_early(s->plan, NULL, &s->early, e));
	RN_TRY(open_late(s, e));
	rn_log(&s->ctx, RN_LOG_INFO, "bound %u stages in %.3f s", s->plan->nnodes,
	       rn_binding_seconds(s->binding));
	rn_accel_log(&s->ctx);
	RN_TRY(rn_json_array(&s->stages, e));
	return rn_json_array(&s->state.done, e);
}

static void close_session(struct rn_session *s)
{
	rn_fit_forget(s);
	free_programs(s);
	free(s->fits);
	free(s->tasks);
	free(s->vals);
	free(s->val_runs);
	free(s->evals);
	free(s->losses);
	free(s->schemas);
	rn_checking_close(&s->check);
	if (s->shared)
		rn_shared_store_free(s->store);
	else
		rn_store_free(s->store);
	rn_region_fini(&s->region);
	rn_shared_free(s->shared);
	rn_params_fini(&s->params);
	rn_plan_early_fini(&s->early);
	rn_late_fini(&s->late);
	rn_binding_free(s->binding);
	rn_accel_attach(&s->ctx, NULL);
	if (s->backend)
		s->backend->close(s->backend);
	free(s->state.best);
	free(s->state.curve);
	free(s->state.chosen);
	rn_marks_free(s);
	json_decref(s->state.done);
	json_decref(s->stages);
	free(s->steps.seconds);
	free(s->validations.seconds);
	if (s->log)
		fclose(s->log);
}

/* The parameters of a plan that trains none: from a model or files, else initial values. */
static int make_params(struct rn_session *s, struct rn_err *e)
{
	for (uint32_t i = 0; i < s->early.nruns; i++)
		if (s->check.learns[s->early.runs[i].node])
			RN_TRY(ask_params(s, s->binding, s->early.runs[i].node, e));
	s->params.frozen = true;
	RN_TRY(rn_params_init(&s->params, s->ctx.seed, e));
	if (s->conf->weights)
		return load_weights(s, e);
	if (s->params.n)
		rn_log(&s->ctx, RN_LOG_WARN, "nothing trains '%s'%s: %s with initial values (--weights-in has others)",
		       s->params.items[0].name, s->params.n > 1 ? " and the other parameters" : "",
		       !s->nevals		   ? "predictions are made" :
		       s->nevals < s->plan->nruns ? "predictions and metrics are made" :
						     "metrics are computed");
	return 0;
}

/* The metrics of a plan that trains nothing. */
static int evaluate(struct rn_session *s, struct rn_err *e)
{
	if (!s->nevals)
		return 0;
	RN_TRY(build_evals(s, e));
	RN_TRY(rn_budget_check(s, e));
	RN_TRY(make_store(s, e));
	RN_TRY(rn_params_to_store(&s->params, s->store, e));
	RN_TRY(rn_marks_new(s, e));
	RN_TRY(rn_marks_reach(s, 0, e));
	free_programs(s);
	rn_budget_release(s);
	return 0;
}

/* A plan that only predicts and evaluates: a query, or a network as it is before training. */
static int run_query(struct rn_session *s, struct rn_train_result *out, struct rn_err *e)
{
	RN_TRY(make_params(s, e));
	RN_TRY(evaluate(s, e));
	RN_TRY(write_outputs(s, e));
	return rn_report_query(s, &out->json, e);
}

/* Back to where this run can go on from: the last checkpoint of it, else the one that the
 * session began with, else its start.  *from: which. */
static int go_back(struct rn_session *s, const struct rn_checkpoint *resume,
		   struct rn_checkpoint *last, const struct rn_checkpoint **from,
		   struct rn_err *e)
{
	*from = NULL;
	if (s->saved) {
		rn_checkpoint_fini(last);
		RN_TRY(rn_checkpoint_load(s->conf->checkpoint, NULL, last, e));
		resume = last;
	}
	if (resume && rn_checkpoint_run(resume) == s->state.run) {
		*from = resume;
		RN_TRY(rn_checkpoint_again(s, resume, e));
	} else {
		s->state.fit = 0;
		s->state.ncurve = 0;
		begin_fit(&s->state);
	}
	return rn_log_rewind(s, e);
}

/* All runs; what a lost process ended is tried again. */
static int run_again(struct rn_session *s, const struct rn_checkpoint *resume, bool *stopped,
		     struct rn_err *e)
{
	const struct rn_checkpoint *from = resume;
	struct rn_checkpoint last = { 0 };
	struct rn_err why = { 0 };
	uint32_t retries = s->conf->retries;
	int rc;

	for (uint32_t i = 0;; i++) {
		rc = run_all(s, from, stopped, &why);
		if (!rc || !s->lost || i == retries)
			break;
		RN_GOTO(out, go_back(s, resume, &last, &from, &why));
		rn_log(&s->ctx, RN_LOG_WARN, "%s; trying again after epoch %llu (%u of %u)",
		       why.msg, (unsigned long long)s->state.epoch, i + 1, retries);
	}
out:
	rn_checkpoint_fini(&last);
	return rc ? rn_err_set(e, rc, "%s", why.msg) : 0;
}

static int run_session(struct rn_session *s, struct rn_train_result *out, struct rn_err *e)
{
	struct rn_checkpoint checkpoint = { 0 };
	bool resume = s->conf->resume != NULL;
	int rc;

	if (resume) /* before anything is bound: it holds what encoders fitted */
		RN_TRY(rn_checkpoint_load(s->conf->resume, s->plan, &checkpoint, e));
	RN_GOTO(out, open_session(s, e));
	if (resume && s->nfits)
		RN_GOTO(out, rn_checkpoint_begin(s, &checkpoint, e));
	RN_GOTO(out, rn_log_open(s, e));
	if (!s->nfits) {
		RN_GOTO(out, run_query(s, out, e));
		rc = rn_report_stats(s, &out->stats, e);
		goto out;
	}
	RN_GOTO(out, run_again(s, resume ? &checkpoint : NULL, &out->stopped, e));
	RN_GOTO(out, rn_log_close(s, e));
	if (!out->stopped) {
		RN_GOTO(out, write_chosen(s, e));
		RN_GOTO(out, rn_report(s, &out->json, e));
	}
	rc = rn_report_stats(s, &out->stats, e);
out:
	rn_checkpoint_fini(&checkpoint);
	return rc;
}

int rn_train(const struct rn_train_conf *c, struct rn_train_result *out, struct rn_err *e)
{
	struct rn_session s = {
		.conf = c,
		.plan = c->plan,
		.ctx = *c->ctx,
		.runs = c->runs ? c->runs : 1,
		.start = rn_now(),
		.state = { .chosen_run = RN_NONE, .chosen_val = NAN, .best_val = NAN },
	};
	int rc;

	memset(out, 0, sizeof *out);
	rc = run_session(&s, out, e);
	close_session(&s);
	return rc;
}

void rn_train_result_fini(struct rn_train_result *r)
{
	json_decref(r->json);
	json_decref(r->stats);
	memset(r, 0, sizeof *r);
}
