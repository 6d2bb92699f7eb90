/* SPDX-License-Identifier: Apache-2.0
 *
 * What a session tells: a log line per epoch, one object at the end.
 */
#include "session.h"

#include "../base/num.h"
#include "../base/peak.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* ---- the log --------------------------------------------------------------------------- */

/* A resumed session goes on with the log of the one that stopped. */
int rn_log_open(struct rn_session *s, struct rn_err *e)
{
	const char *path = s->conf->log;

	if (!path)
		return 0;
	s->log = fopen(path, s->conf->resume ? "ae" : "we");
	if (!s->log)
		return rn_err_errno(e, "cannot open '%s'", path);
	return s->conf->resume ? rn_log_rewind(s, e) : 0;
}

/* Does this line of a log tell of an epoch that comes after the state? */
static bool is_later(const struct rn_state *st, const char *line)
{
	unsigned long long epoch;
	unsigned run, fit;

	if (sscanf(line, "{\"run\":%u,\"fit\":%u,\"epoch\":%llu", &run, &fit, &epoch) != 3)
		return false;
	if (run != st->run)
		return run > st->run;
	return fit != st->fit ? fit > st->fit : epoch > st->epoch;
}

/* Where the first such line begins, or one that was broken off. */
static int find_later(const struct rn_state *st, FILE *f, off_t *at, struct rn_err *e)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	*at = 0;
	while ((n = getline(&line, &cap, f)) > 0 && line[n - 1] == '\n' && !is_later(st, line))
		*at += n;
	free(line);
	return ferror(f) ? rn_err_errno(e, "cannot read the log of epochs") : 0;
}

int rn_log_rewind(struct rn_session *s, struct rn_err *e)
{
	struct stat st;
	off_t at;
	FILE *f;
	int rc;

	if (!s->log || fstat(fileno(s->log), &st) || !S_ISREG(st.st_mode))
		return 0;
	f = fopen(s->conf->log, "re");
	if (!f)
		return rn_err_errno(e, "cannot open '%s'", s->conf->log);
	rc = find_later(&s->state, f, &at, e);
	fclose(f);
	if (!rc && (ftruncate(fileno(s->log), at) || fseeko(s->log, at, SEEK_SET)))
		rc = rn_err_errno(e, "cannot write '%s'", s->conf->log);
	return rc;
}

static void add_number(struct rn_str *out, const char *key, double x)
{
	rn_str_addf(out, ",\"%s\":", key);
	if (isfinite(x))
		rn_float64_print(x, out);
	else
		rn_str_add(out, "null");
}

int rn_log_epoch(struct rn_session *s, double loss, double val, double seconds, struct rn_err *e)
{
	const struct rn_state *st = &s->state;
	struct rn_str line = RN_STR_INIT;
	int rc;

	if (!s->log)
		return 0;
	rn_str_addf(&line, "{\"run\":%u,\"fit\":%u,\"epoch\":%llu", st->run, st->fit,
		    (unsigned long long)st->epoch);
	add_number(&line, "loss", loss);
	if (s->val_runs[st->fit] && !isnan(val))
		add_number(&line, "val", val);
	add_number(&line, "ms", round(seconds * 1e6) / 1e3);
	rn_str_add(&line, "}\n");
	rc = rn_str_check(&line, e);
	if (!rc && (fwrite(line.s, 1, line.len, s->log) != line.len || fflush(s->log)))
		rc = rn_err_errno(e, "cannot write '%s'", s->conf->log);
	rn_str_fini(&line);
	return rc;
}

int rn_log_close(struct rn_session *s, struct rn_err *e)
{
	FILE *f = s->log;

	s->log = NULL;
	if (f && fclose(f))
		return rn_err_errno(e, "cannot write '%s'", s->conf->log);
	return 0;
}

/* ---- results ------------------------------------------------------------------------------- */

static const char *const members[] = {
	"seed", "epochs", "best_epoch", "val", "ms_per_epoch", "seconds_bind", "seconds_fit",
	"seconds_total", "parameters", "peak_bytes", "peak_device_bytes", "device", "math",
	"bits", "runs", "mean", "std",
	"metric", "spread", "results",
};

static bool is_member(const char *name)
{
	for (size_t k = 0; k < sizeof members / sizeof members[0]; k++)
		if (!strcmp(name, members[k]))
			return true;
	return false;
}

int rn_report_check_names(const struct rn_plan *p, const json_t *tags, struct rn_err *e)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)tags, key, v)
		if (is_member(key))
			return rn_err_set(e, RN_EUSAGE, "a tag cannot be called '%s': the report has that member "
					  "already", key);
	for (uint32_t i = 0; i < p->nruns; i++) {
		const char *name;

		if (p->runs[i].kind != RN_RUN_EVAL)
			continue;
		name = rn_run_string(&p->runs[i], "name");
		if (is_member(name) || json_object_get(tags, name))
			return rn_err_set(e, RN_EUSAGE, "an eval cannot be called '%s': the report has that "
					  "member already", name);
		for (uint32_t k = 0; k < i; k++)
			if (p->runs[k].kind == RN_RUN_EVAL &&
			    !strcmp(name, rn_run_string(&p->runs[k], "name")))
				return rn_err_set(e, RN_EUSAGE, "two evals are called '%s'", name);
	}
	return 0;
}

/* A metric as JSON: null where it is not defined. */
static json_t *real(double x)
{
	return isfinite(x) ? json_real(x) : json_null();
}

/* XXH64 over the parameters in order and the losses of the run. */
static void run_bits(const struct rn_session *s, char hex[17])
{
	XXH64_state_t h;

	XXH64_reset(&h, 0);
	for (uint32_t i = 0; i < s->params.n; i++)
		XXH64_update(&h, s->params.items[i].value,
			     s->params.items[i].count * sizeof *s->params.items[i].value);
	XXH64_update(&h, s->state.curve, s->state.ncurve * sizeof *s->state.curve);
	snprintf(hex, 17, "%016llx", (unsigned long long)XXH64_digest(&h));
}

/* Every eval under its name. */
static int add_evals(const struct rn_session *s, const double *evals, json_t *o, struct rn_err *e)
{
	for (uint32_t i = 0, k = 0; i < s->plan->nruns; i++)
		if (s->plan->runs[i].kind == RN_RUN_EVAL)
			RN_TRY(rn_json_set(o, rn_run_string(&s->plan->runs[i], "name"), real(evals[k++]), e));
	return 0;
}

static int add_tags(const struct rn_session *s, json_t *o, struct rn_err *e)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)s->conf->tags, key, v)
		RN_TRY(rn_json_set(o, key, json_incref(v), e));
	return 0;
}

int rn_report_query(const struct rn_session *s, json_t **out, struct rn_err *e)
{
	json_t *o;
	int rc;

	RN_TRY(rn_json_object(&o, e));
	RN_GOTO(fail, add_evals(s, s->state.marks.evals, o, e));
	RN_GOTO(fail, rn_json_set(o, "seconds_bind", json_real(rn_binding_seconds(s->binding)), e));
	RN_GOTO(fail, rn_json_set(o, "seconds_total", json_real(rn_now() - s->start), e));
	RN_GOTO(fail, add_tags(s, o, e));
	*out = o;
	return 0;
fail:
	json_decref(o);
	return rc;
}

int rn_report_run(struct rn_session *s, const double *evals, json_t **out, struct rn_err *e)
{
	const struct rn_state *st = &s->state;
	uint32_t last = s->nfits - 1;
	char bits[17];
	json_t *o;
	int rc;

	RN_TRY(rn_json_object(&o, e));
	RN_GOTO(fail, rn_json_set(o, "seed", json_integer((json_int_t)s->ctx.seed), e));
	RN_GOTO(fail, rn_json_set(o, "epochs", json_integer((json_int_t)st->ncurve), e));
	RN_GOTO(fail, rn_json_set(o, "best_epoch",
				  json_integer((json_int_t)(st->best_epoch ? st->best_epoch
									   : st->epoch)), e));
	if (s->val_runs[last])
		RN_GOTO(fail, rn_json_set(o, "val", real(st->best_val), e));
	RN_GOTO(fail, add_evals(s, evals, o, e));
	run_bits(s, bits);
	RN_GOTO(fail, rn_json_set_text(o, "bits", bits, e));
	*out = o;
	return 0;
fail:
	json_decref(o);
	return rc;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *x, size_t n)
{
	if (!n)
		return 0;
	qsort(x, n, sizeof *x, compare_doubles);
	return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

/* Peak resident memory of this process, and of the stages that it had. */
static uint64_t peak_bytes(const struct rn_session *s)
{
	return rn_peak_memory(NULL) + s->stage_peaks.host;
}

static uint64_t peak_device_bytes(const struct rn_session *s)
{
	return (s->backend->peak ? s->backend->peak(s->backend) : 0) + s->stage_peaks.device;
}

/* Mean and sample standard deviation (0 for one run) of a member over the runs, as
 * {"mean", "std"}; null where some run has no value. */
static int spread(const json_t *done, const char *name, json_t **out, struct rn_err *e)
{
	size_t n = json_array_size(done);
	double sum = 0, squares = 0, m;
	bool defined = true;

	for (size_t i = 0; i < n; i++) {
		const json_t *v = json_object_get(json_array_get(done, i), name);

		defined &= json_is_real(v);
		sum += json_real_value(v);
	}
	m = sum / (double)n;
	for (size_t i = 0; i < n; i++) {
		double d = json_real_value(json_object_get(json_array_get(done, i), name)) - m;

		squares += d * d;
	}
	RN_TRY(rn_json_object(out, e));
	RN_TRY(rn_json_set(*out, "mean", defined ? json_real(m) : json_null(), e));
	return rn_json_set(*out, "std",
			   defined ? json_real(n > 1 ? sqrt(squares / (double)(n - 1)) : 0) :
				     json_null(), e);
}

static int add_spread(json_t *all, const json_t *done, const char *name, struct rn_err *e)
{
	json_t *one = NULL;
	int rc = spread(done, name, &one, e);

	if (rc) {
		json_decref(one);
		return rc;
	}
	return rn_json_set(all, name, one, e);
}

/* "metric", "runs", "mean" and "std" of the first eval; with several runs also the
 * "spread" of every metric and the "results" of each run. */
static int add_runs(struct rn_session *s, json_t *o, struct rn_err *e)
{
	const struct rn_plan *p = s->plan;
	const struct rn_run *first = NULL;
	const json_t *head;
	json_t *all;
	int rc = 0;

	RN_TRY(rn_json_object(&all, e));
	if (s->val_runs[s->nfits - 1])
		RN_GOTO(out, add_spread(all, s->state.done, "val", e));
	for (uint32_t i = 0; i < p->nruns; i++) {
		if (p->runs[i].kind != RN_RUN_EVAL)
			continue;
		first = first ? first : &p->runs[i];
		RN_GOTO(out, add_spread(all, s->state.done, rn_run_string(&p->runs[i], "name"), e));
	}
	RN_GOTO(out, rn_json_set(o, "runs", json_integer((json_int_t)s->runs), e));
	if (first) {
		head = json_object_get(all, rn_run_string(first, "name"));
		RN_GOTO(out, rn_json_set_text(o, "metric", rn_run_string(first, "metric"), e));
		RN_GOTO(out, rn_json_set(o, "mean", json_incref(json_object_get(head, "mean")), e));
		RN_GOTO(out, rn_json_set(o, "std", json_incref(json_object_get(head, "std")), e));
	}
	if (s->runs > 1) {
		RN_GOTO(out, rn_json_set(o, "spread", json_incref(all), e));
		RN_GOTO(out, rn_json_set(o, "results", json_incref(s->state.done), e));
	}
out:
	json_decref(all);
	return rc;
}

/* The bits of all runs together: XXH64 over the bits of each, in order. */
static int all_bits(const struct rn_session *s, json_t *o, struct rn_err *e)
{
	size_t n = json_array_size(s->state.done);
	XXH64_state_t h;
	char hex[17];

	if (n == 1)
		return 0; /* already there */
	XXH64_reset(&h, 0);
	for (size_t i = 0; i < n; i++) {
		const char *bits = json_string_value(
			json_object_get(json_array_get(s->state.done, i), "bits"));

		XXH64_update(&h, bits, strlen(bits));
	}
	snprintf(hex, sizeof hex, "%016llx", (unsigned long long)XXH64_digest(&h));
	return rn_json_set_text(o, "bits", hex, e);
}

/* To the microsecond. */
static json_t *seconds(double t)
{
	return json_real(round(t * 1e6) / 1e6);
}

static int fill(struct rn_session *s, json_t *o, struct rn_err *e)
{
	double ms = round(median(s->steps.seconds, s->steps.n) * 1e6) / 1e3;

	RN_TRY(add_runs(s, o, e));
	RN_TRY(rn_json_set(o, "ms_per_epoch", json_real(ms), e));
	RN_TRY(rn_json_set(o, "seconds_bind", seconds(rn_binding_seconds(s->binding)), e));
	RN_TRY(rn_json_set(o, "seconds_fit", seconds(s->seconds_fit), e));
	RN_TRY(rn_json_set(o, "seconds_total", seconds(rn_now() - s->start), e));
	RN_TRY(rn_json_set(o, "parameters",
			   json_integer((json_int_t)rn_params_learned(&s->params)), e));
	RN_TRY(rn_json_set(o, "peak_bytes", json_integer((json_int_t)peak_bytes(s)), e));
	if (s->backend->peak || s->stage_peaks.device)
		RN_TRY(rn_json_set(o, "peak_device_bytes",
				   json_integer((json_int_t)peak_device_bytes(s)), e));
	RN_TRY(rn_json_set_text(o, "device", s->backend->name, e));
	RN_TRY(rn_json_set_text(o, "math", rn_math_name(rn_backend_math(s->backend, &s->ctx)), e));
	RN_TRY(all_bits(s, o, e));
	return add_tags(s, o, e);
}

/* The run whose model is kept gives the members that a single run has. */
int rn_report(struct rn_session *s, json_t **out, struct rn_err *e)
{
	json_t *o;
	int rc;

	RN_TRY(rn_json_copy(json_array_get(s->state.done, s->state.chosen_run), &o, e));
	rc = fill(s, o, e);
	if (rc)
		json_decref(o);
	else
		*out = o;
	return rc;
}

/* Epochs of all runs that this session finished or is in. */
static uint64_t epochs_done(const struct rn_session *s)
{
	uint64_t n = s->state.ncurve;

	for (size_t i = 0; i < json_array_size(s->state.done); i++)
		n += (uint64_t)json_integer_value(
			json_object_get(json_array_get(s->state.done, i), "epochs"));
	return n;
}

static uint64_t rows_read(const struct rn_session *s)
{
	uint64_t n = rn_binding_rows_read(s->binding);

	for (uint32_t i = 0; i < s->plan->nnodes; i++)
		if (s->conf->carried && s->conf->carried[i])
			n += s->conf->carried[i]->rows;
	return n;
}

static int fill_stats(struct rn_session *s, json_t *o, struct rn_err *e)
{
	struct rn_times *t = &s->steps, *v = &s->validations;

	RN_TRY(rn_json_set(o, "rows_in", json_integer((json_int_t)rows_read(s)), e));
	RN_TRY(rn_json_set(o, "rows_out", json_integer((json_int_t)s->rows_out), e));
	RN_TRY(rn_json_set(o, "epochs", json_integer((json_int_t)epochs_done(s)), e));
	RN_TRY(rn_json_set(o, "steps", json_integer((json_int_t)t->n), e));
	RN_TRY(rn_json_set(o, "validations", json_integer((json_int_t)v->n), e));
	RN_TRY(rn_json_set(o, "seconds_bind", seconds(rn_binding_seconds(s->binding)), e));
	RN_TRY(rn_json_set(o, "seconds_fit", seconds(s->seconds_fit), e));
	RN_TRY(rn_json_set(o, "seconds_per_step", seconds(median(t->seconds, t->n)), e));
	RN_TRY(rn_json_set(o, "seconds_per_validation", seconds(median(v->seconds, v->n)), e));
	RN_TRY(rn_json_set(o, "peak_bytes", json_integer((json_int_t)peak_bytes(s)), e));
	if (s->conf->placement != RN_STAGED)
		return 0;
	return rn_json_set(o, "stages", json_incref(s->stages), e);
}

int rn_report_stats(struct rn_session *s, json_t **out, struct rn_err *e)
{
	json_t *o;
	int rc;

	RN_TRY(rn_json_object(&o, e));
	rc = fill_stats(s, o, e);
	if (rc)
		json_decref(o);
	else
		*out = o;
	return rc;
}
