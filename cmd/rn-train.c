/* SPDX-License-Identifier: Apache-2.0
 *
 * rn-train: train the plan of a JSON spec, or of a deferred pipeline whose tail
 * this is.  Here: options into runs, progress, signals, the summary.  Training
 * itself is lib/train.
 */
#include "../lib/base/json.h"
#include "../lib/exec/stream.h"
#include "../lib/train/train.h"
#include "plans.h"
#include "settings.h"

#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OF_RUNS = RN_OPT_MULTI | RN_CLI_RAW }; /* settings.h */

static const struct rn_opt opts[] = {
	{ .name = "val", .type = RN_OPT_NODE, .meta = "STREAM",
	  .help = "select the epoch by the metric on this" },
	{ .name = "eval", .type = RN_OPT_NODE, .flags = RN_OPT_MULTI | RN_CLI_NAMED,
	  .meta = "NAME=STREAM", .help = "report the metric on this as NAME" },
	{ .name = "pred", .type = RN_OPT_NODE, .flags = RN_OPT_MULTI | RN_CLI_NAMED,
	  .meta = "NAME=STREAM", .help = "write predictions of this to NAME.csv" },
	{ .name = "metric", .type = RN_OPT_LIST, .flags = OF_RUNS, .meta = "[RUN=]NAME",
	  .help = "accuracy, f1_macro, roc_auc, mae, ...; RUN=: of that one" },
	{ .name = "target", .type = RN_OPT_LIST, .flags = OF_RUNS, .meta = "[RUN=]COL",
	  .help = "column of the true values" },
	{ .name = "group", .type = RN_OPT_LIST, .flags = OF_RUNS | RN_CLI_BRIEF, .meta = "[RUN=]COL",
	  .help = "column of the query that hits@k, mrr and map@k rank within" },
	{ .name = "to", .type = RN_OPT_LIST, .flags = OF_RUNS | RN_CLI_BRIEF, .meta = "[RUN=]FILE",
	  .help = "write a prediction there: .csv, .tsv, .jsonl or .er" },
	{ .name = "format", .type = RN_OPT_LIST, .flags = OF_RUNS | RN_CLI_BRIEF, .meta = "[RUN=]FORMAT",
	  .help = "write a prediction as csv, tsv, jsonl or er (a stream)" },
	{ .name = "decode", .type = RN_OPT_LIST, .flags = OF_RUNS | RN_CLI_BRIEF, .meta = "[RUN=]HOW",
	  .help = "column of a prediction: auto, class, value, label, none" },
	{ .name = "as", .type = RN_OPT_LIST, .flags = OF_RUNS | RN_CLI_BRIEF, .meta = "[RUN=]COL",
	  .help = "name of that column" },
	{ .name = "embedding", .type = RN_OPT_FLAG, .flags = RN_CLI_NAMED | RN_CLI_BRIEF, .dflt = "true",
	  .meta = "RUN", .help = "predictions have the embedding, too" },
	{ .name = "untrained", .type = RN_OPT_FLAG, .flags = RN_CLI_BRIEF | RN_CLI_ALONE,
	  .help = "without a loss: --pred, --eval of initial weights, or --weights-in" },
	{ .name = "patience", .type = RN_OPT_INT, .meta = "N",
	  .help = "stop after N validations without a better one" },
	{ .name = "val-every", .type = RN_OPT_INT, .meta = "N", .help = "validate every N epochs" },
	{ .name = "runs", .type = RN_OPT_INT, .meta = "N", .dflt = "1",
	  .help = "train N times, with seeds from --seed on" },
	{ .name = "source", .type = RN_OPT_LIST, .flags = RN_OPT_MULTI | RN_CLI_RAW,
	  .meta = "NAME=FILE", .help = "read source NAME from FILE" },
	{ .name = "set", .type = RN_OPT_LIST, .flags = RN_OPT_MULTI | RN_CLI_RAW,
	  .meta = "NAME=VALUE", .help = "constant NAME of the spec is VALUE" },
	{ .name = "max-instances", .type = RN_OPT_INT, .flags = RN_CLI_BRIEF, .meta = "N",
	  .dflt = "100000", .help = "instances that templates may come to" },
	{ .name = "checkpoint", .type = RN_OPT_STRING, .meta = "FILE",
	  .help = "write checkpoints there, one when stopped" },
	{ .name = "checkpoint-every", .type = RN_OPT_INT, .meta = "N",
	  .help = "write one every N epochs, too" },
	{ .name = "resume", .type = RN_OPT_STRING, .meta = "FILE",
	  .help = "go on from a checkpoint" },
	{ .name = "allow-changed", .type = RN_OPT_FLAG, .flags = RN_CLI_BRIEF,
	  .help = "resume even where data, plan or build differ" },
	{ .name = "weights-in", .type = RN_OPT_STRING, .meta = "DIR",
	  .help = "begin with these: a model, or a folder of .npy" },
	{ .name = "weights-out", .type = RN_OPT_STRING, .meta = "DIR",
	  .help = "write every parameter there as .npy" },
	{ .name = "output-dir", .type = RN_OPT_STRING, .meta = "DIR",
	  .help = "predictions go there" },
	{ .name = "placement", .type = RN_OPT_CHOICE, .meta = "KIND", .dflt = "fused",
	  .choices = "fused|staged", .help = "one process, or one for each stage" },
	{ .name = "stages", .type = RN_OPT_INT, .meta = "N", .help = "at most N stage processes" },
	{ .name = "device-map", .type = RN_OPT_LIST, .flags = RN_OPT_MULTI | RN_CLI_BRIEF,
	  .meta = "STAGE=DEVICE,...", .help = "put these stages on other devices" },
	{ .name = "stage-timeout", .type = RN_OPT_NUMBER, .flags = RN_CLI_BRIEF, .meta = "SECONDS",
	  .dflt = "60", .help = "give up a stage that does nothing for so long" },
	{ .name = "retry", .type = RN_OPT_INT, .flags = RN_CLI_BRIEF, .meta = "N",
	  .help = "when a stage is lost, go on from the last checkpoint" },
	{ .name = "log", .type = RN_OPT_STRING, .meta = "FILE",
	  .help = "a JSON line for each epoch" },
	{ .name = "log-every", .type = RN_OPT_INT, .flags = RN_CLI_BRIEF, .meta = "N",
	  .help = "only for every Nth, and the last" },
	{ .name = "json", .type = RN_OPT_FLAG, .help = "print the result as one JSON object" },
	{ .name = "tag", .type = RN_OPT_LIST, .flags = RN_CLI_BRIEF | RN_OPT_MULTI | RN_CLI_RAW,
	  .meta = "KEY=VALUE", .help = "add a member to that object" },
	{ .name = "schema", .type = RN_OPT_FLAG, .flags = RN_CLI_BRIEF | RN_CLI_ALONE,
	  .help = "print the JSON Schema of specs" },
	{ .name = "stage", .type = RN_OPT_INT, .flags = RN_OPT_HIDDEN | RN_CLI_ALONE, .meta = "FD",
	  .help = "serve as a stage of --placement staged" },
};

static const char *const examples[] = {
	"rn-train model.json --runs 10 --json -o model.rnm",
	"... | rn-loss cross-entropy --target label | rn-train --epochs 200 -o model.rnm",
	NULL,
};

/* ---- options into runs ----------------------------------------------------------------- */

/* Options of ours that runs of this kind have too replace the run's. */
static int override(const struct rn_cli *c, enum rn_run_kind kind, json_t *opt, struct rn_err *e)
{
	const char *key;
	json_t *v;

	RN_TRY(rn_settings_apply(c, kind, opt, e));
	v = json_object_get(c->opt, "patience");
	if (v && kind == RN_RUN_VAL)
		RN_TRY(rn_json_set(opt, "patience", json_incref(v), e));
	if (kind != RN_RUN_FIT)
		return 0;
	json_object_foreach(c->more, key, v)
		RN_TRY(rn_json_set(opt, key, json_incref(v), e));
	return 0;
}

/* Add a run with the options `opt` (taken), and with ours. */
static int add_run(const struct rn_cli *c, struct rn_plan *p, enum rn_run_kind kind, uint32_t node,
		   json_t *opt, struct rn_err *e)
{
	int rc = override(c, kind, opt, e);

	if (!rc)
		rc = rn_opt_finish(opt, rn_run_types[kind].opts, rn_run_types[kind].nopts, e);
	if (!rc)
		return rn_plan_add_run(p, kind, node, opt, e);
	json_decref(opt);
	return rc ? rn_err_prefix(e, rc, "%s", rn_run_types[kind].name) : 0;
}

/* An option that is about fits, or NULL. */
static const char *fit_option(const struct rn_cli *c)
{
	static const char *const names[] = { "runs", "checkpoint", "log", "log-every", "resume", "retry" };
	const char *fit = json_object_iter_key(json_object_iter(c->more));

	for (size_t i = 0; !fit && i < sizeof names / sizeof names[0]; i++)
		if (json_object_get(c->opt, names[i]))
			fit = names[i];
	return fit;
}

/* An option of fits would silently do nothing where there is none. */
static int check_fits(const struct rn_cli *c, const struct rn_plan *p, struct rn_err *e)
{
	const char *fit = fit_option(c);

	for (uint32_t i = 0; fit && i < p->nruns; i++)
		if (p->runs[i].kind == RN_RUN_FIT)
			return 0;
	return !fit ? 0 : rn_err_set(e, RN_EUSAGE, "--%s is about a fit, and '%s' has none", fit, c->in[0].file);
}

/* The runs of a spec once more, with what the command line says. */
static int override_runs(const struct rn_cli *c, struct rn_plan *p, struct rn_err *e)
{
	uint32_t n = p->nruns;
	struct rn_run *old;
	int rc = 0;

	RN_TRY(rn_calloc(n, sizeof *old, "runs", &old, e));
	if (n)
		memcpy(old, p->runs, n * sizeof *old);
	p->nruns = 0;
	for (uint32_t i = 0; i < n; i++) {
		if (!rc)
			rc = add_run(c, p, old[i].kind, old[i].node, json_incref(old[i].opt), e);
		json_decref(old[i].opt);
	}
	free(old);
	return rc;
}

static int add_sink(const struct rn_cli *c, struct rn_plan *p, const struct rn_operand *in,
		    uint32_t node, struct rn_err *e)
{
	enum rn_run_kind kind = rn_sink_kind(in);
	struct rn_str to = RN_STR_INIT;
	json_t *opt;
	int rc;

	if (kind == RN_RUN_FIT && !(p->nodes[node].op->flags & RN_OP_SINK))
		return rn_err_set(e, RN_EUSAGE, "'%s' is not a loss: end the pipeline with rn-loss",
				  strcmp(in->file, "-") ? in->file : "standard input");
	RN_TRY(rn_json_object(&opt, e));
	rc = in->as && rn_setting_row(kind, "name") ? rn_json_set_text(opt, "name", in->as, e) : 0;
	if (!rc && kind == RN_RUN_PRED) {
		rn_str_addf(&to, "%s.csv", in->as);
		rc = rn_str_check(&to, e);
		if (!rc)
			rc = rn_json_set_text(opt, "to", to.s, e);
	}
	rn_str_fini(&to);
	if (!rc)
		return add_run(c, p, kind, node, opt, e);
	json_decref(opt);
	return rc;
}

/* ---- the plan -------------------------------------------------------------------------- */

static int need_metric(const struct rn_cli *c, struct rn_err *e)
{
	static const char *const names[] = { "metric", "target" };

	for (size_t i = 0; i < c->nin; i++) {
		enum rn_run_kind kind = rn_sink_kind(&c->in[i]);

		for (int k = 0; k < 2 && (kind == RN_RUN_VAL || kind == RN_RUN_EVAL); k++)
			if (!rn_setting_find(c, names[k], c->in[i].as))
				return rn_err_set(e, RN_EUSAGE, "--%s wants --%s as well",
						  c->in[i].opt, names[k]);
	}
	return 0;
}

/* fit, then val, eval and pred runs in the order of the sinks. */
static int plan_streams(const struct rn_cli *c, const char *const *source, size_t nsource,
			struct rn_planned *p, struct rn_err *e)
{
	uint32_t *nodes;
	int rc;

	RN_TRY(rn_settings_check(c, NULL, e));
	RN_TRY(need_metric(c, e));
	RN_TRY(rn_calloc(c->nin, sizeof *nodes, "streams", &nodes, e));
	rc = rn_planned_streams(&c->ctx, c->in, c->nin, nodes, p, e);
	for (int kind = 0; kind < RN_NRUNS; kind++)
		for (size_t i = 0; i < c->nin && !rc; i++)
			if ((int)rn_sink_kind(&c->in[i]) == kind)
				rc = add_sink(c, p->plan, &c->in[i], nodes[i], e);
	free(nodes);
	if (!rc)
		rc = rn_planned_finish(p, NULL, source, nsource, e);
	return rc ? rc : rn_planned_check(p, RN_NONE, e);
}

static int plan_spec(const struct rn_cli *c, const struct rn_plan_set *s, struct rn_planned *p,
		     struct rn_err *e)
{
	if (c->nin > 1)
		return rn_err_set(e, RN_EUSAGE,
				  "--%s is for pipelines: the runs of a spec are in its \"run\" "
				  "list",
				  c->in[1].opt);
	RN_TRY(rn_planned_spec(&c->ctx, &c->in[0], s, p, e));
	RN_TRY(rn_settings_check(c, p->plan, e));
	RN_TRY(check_fits(c, p->plan, e));
	return override_runs(c, p->plan, e);
}

/* A pipeline that trains nothing has streams of --pred and --eval and no other. */
static int check_untrained(const struct rn_cli *c, struct rn_err *e)
{
	const char *fit = fit_option(c);

	if (fit)
		return rn_err_set(e, RN_EUSAGE, "--%s is about a fit, and --untrained has none", fit);
	for (size_t i = 0; i < c->nin; i++)
		if (rn_sink_kind(&c->in[i]) != RN_RUN_PRED && rn_sink_kind(&c->in[i]) != RN_RUN_EVAL)
			return rn_err_set(e, RN_EUSAGE, "--%s wants a fit, and --untrained has none",
					  c->in[i].opt);
	return c->nin ? 0 : rn_err_set(e, RN_EUSAGE, "--untrained wants --pred NAME=STREAM or --eval NAME=STREAM");
}

static int load_plan(const struct rn_cli *c, struct rn_planned *p, struct rn_err *e)
{
	struct rn_plan_set s = { 0 };
	enum rn_plan_kind kind;
	int rc;

	RN_TRY(rn_plan_set_most(c, &s, e));
	RN_GOTO(done, rn_cli_list(c, "set", &s.set, &s.nset, e));
	RN_GOTO(done, rn_cli_list(c, "source", &s.source, &s.nsource, e));
	kind = RN_PLAN_STREAM;
	if (rn_cli_flag(c, "untrained"))
		rc = check_untrained(c, e);
	else
		rc = rn_plan_kind(&c->in[0], &kind, e);
	if (rc)
		goto done;
	if (kind == RN_PLAN_MODEL)
		rc = rn_err_set(e, RN_EUSAGE,
				"'%s' is a trained model: train its plan anew with 'rn-explain "
				"--json', or begin with its weights by --weights-in",
				c->in[0].file);
	else if (kind == RN_PLAN_SPEC)
		rc = plan_spec(c, &s, p, e);
	else if (s.nset)
		rc = rn_err_set(e, RN_EUSAGE,
				"--set is for the constants of a spec or a program; a pipeline has none");
	else
		rc = plan_streams(c, s.source, s.nsource, p, e);
done:
	free((void *)(uintptr_t)s.set);
	free((void *)(uintptr_t)s.source);
	return rc;
}

/* ---- progress -------------------------------------------------------------------------- */

struct meter {
	double last; /* when it was drawn */
	bool drawn;
};

/* One line that is drawn over itself, ten times a second at most. */
static void draw(void *arg, const struct rn_progress *p)
{
	struct meter *m = arg;
	char line[256];
	int n;

	if (rn_now() - m->last < 0.1)
		return;
	m->last = rn_now();
	m->drawn = true;
	n = snprintf(line, sizeof line, "\r\033[K");
	if (p->runs > 1)
		n += snprintf(line + n, sizeof line - (size_t)n, "run %u/%u  ", p->run + 1,
			      p->runs);
	n += snprintf(line + n, sizeof line - (size_t)n, "epoch %llu/%llu  loss %.4f",
		      (unsigned long long)p->epoch, (unsigned long long)p->epochs, p->loss);
	if (p->metric && !isnan(p->val))
		n += snprintf(line + n, sizeof line - (size_t)n, "  %.20s %.4f (best %.4f)",
			      p->metric, p->val, p->best);
	n += snprintf(line + n, sizeof line - (size_t)n, "  %.3g rows/s  %.0f s left",
		      p->rows_per_second, p->seconds_left);
	(void)!write(STDERR_FILENO, line, (size_t)n);
}

static void erase(const struct meter *m)
{
	if (m->drawn)
		(void)!write(STDERR_FILENO, "\r\033[K", 4);
}

/* ---- signals --------------------------------------------------------------------------- */

static volatile sig_atomic_t stop_signal;

static void on_signal(int sig)
{
	stop_signal = sig;
}

/* With a checkpoint to write, the first signal stops at the epoch's end, and a second
 * one at once.  What the parent had us ignore stays ignored. */
static void catch_signals(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction act = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND }, old;

	for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
		if (!sigaction(signals[i], NULL, &old) && old.sa_handler != SIG_IGN)
			sigaction(signals[i], &act, NULL);
}

/* A parent may have left SIGCHLD ignored: then the system forgets of a stage that it ended. */
static void reset_sigchld(void)
{
	signal(SIGCHLD, SIG_DFL);
}

/* Each stage process takes some descriptors.  What the system allows at most does no harm, as
 * nobody here calls select(2). */
static void raise_open_files(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l))
		return;
	l.rlim_cur = l.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &l);
}

/* End as the signal would have ended us, for the shell to see. */
static void die_of_signal(void)
{
	signal(stop_signal, SIG_DFL);
	raise(stop_signal);
}

/* ---- results --------------------------------------------------------------------------- */

static void add_metric(const json_t *result, const char *name, struct rn_str *out)
{
	const json_t *spread = json_object_get(json_object_get(result, "spread"), name);
	const json_t *mean = json_object_get(spread, "mean");
	const json_t *std = json_object_get(spread, "std");
	const json_t *v = json_object_get(result, name);

	if (json_is_number(mean))
		rn_str_addf(out, "%s %.4f +- %.4f, ", name, json_number_value(mean),
			    json_number_value(std));
	else if (json_is_number(v))
		rn_str_addf(out, "%s %.4f, ", name, json_number_value(v));
	else
		rn_str_addf(out, "%s undefined, ", name);
}

/* "test 0.8150, val 0.7920, 200 epochs (best 143), 0.95 ms each, 0.4 s, bits …"; of what trains
 * nothing its metrics alone. */
static void summary(const struct rn_plan *p, const json_t *r, struct rn_str *out)
{
	long long runs = json_integer_value(json_object_get(r, "runs"));

	for (uint32_t i = 0; i < p->nruns; i++)
		if (p->runs[i].kind == RN_RUN_EVAL)
			add_metric(r, rn_run_string(&p->runs[i], "name"), out);
	if (!json_object_get(r, "epochs")) {
		if (out->len)
			rn_str_addf(out, "%.3g s\n", json_number_value(json_object_get(r, "seconds_total")));
		return;
	}
	if (json_object_get(r, "val"))
		add_metric(r, "val", out);
	if (runs > 1)
		rn_str_addf(out, "%lld runs of ", runs);
	rn_str_addf(out, "%lld epochs (best %lld), %.3g ms each, %.3g s, bits %s\n",
		    (long long)json_integer_value(json_object_get(r, "epochs")),
		    (long long)json_integer_value(json_object_get(r, "best_epoch")),
		    json_number_value(json_object_get(r, "ms_per_epoch")),
		    json_number_value(json_object_get(r, "seconds_total")),
		    json_string_value(json_object_get(r, "bits")));
}

/* The prediction on standard output, or NULL. */
static const struct rn_run *pred_there(const struct rn_plan *p)
{
	for (uint32_t i = 0; i < p->nruns; i++) {
		const char *to = p->runs[i].kind == RN_RUN_PRED ? rn_run_string(&p->runs[i], "to") : NULL;

		if (to && !strcmp(to, "-"))
			return &p->runs[i];
	}
	return NULL;
}

static int print_result(const struct rn_cli *c, const struct rn_plan *p, const json_t *result,
			struct rn_err *e)
{
	struct rn_str text = RN_STR_INIT;
	struct rn_cli standard = *c;
	bool model_there = json_object_get(c->common, "output") && !strcmp(c->output, "-");
	int rc;

	if ((model_there || pred_there(p)) && !rn_cli_flag(c, "json"))
		return 0;
	if (rn_cli_flag(c, "json")) {
		rn_json_print(result, 0, &text);
		rn_str_addc(&text, '\n');
	} else {
		summary(p, result, &text);
	}
	standard.output = "-"; /* -o is the model */
	rc = rn_cli_put(&standard, &text, e);
	rn_str_fini(&text);
	return rc;
}

static double stat_of(const json_t *o, const char *name)
{
	return json_number_value(json_object_get(o, name));
}

/* --stats: what every program tells, then what only training does; as text a line more for
 * each process of a staged placement. */
static void print_stats(const struct rn_cli *c, struct rn_pipe_stats *s, const json_t *stats)
{
	const json_t *more = json_object_get(stats, "stages"), *v;
	json_t *members = json_copy((json_t *)stats);
	char line[256];
	size_t i;

	s->rows_in = (uint64_t)json_integer_value(json_object_get(stats, "rows_in"));
	s->rows_out = (uint64_t)json_integer_value(json_object_get(stats, "rows_out"));
	json_object_del(members, "rows_in"); /* they are there already */
	json_object_del(members, "rows_out");
	snprintf(line, sizeof line,
		 "; %.0f epochs, %.0f steps of %.3g ms, %.0f validations of %.3g ms, "
		 "peak memory %.0f bytes",
		 stat_of(stats, "epochs"), stat_of(stats, "steps"),
		 1e3 * stat_of(stats, "seconds_per_step"), stat_of(stats, "validations"),
		 1e3 * stat_of(stats, "seconds_per_validation"), stat_of(stats, "peak_bytes"));
	rn_cli_print_more_stats(c, s, members, line);
	json_decref(members);
	if (rn_cli_stats(c) != RN_STATS_TEXT)
		return;
	json_array_foreach((json_t *)more, i, v) {
		snprintf(line, sizeof line,
			 "stage '%.63s' of '%.63s': %.0f steps, %.3f s busy of %.3f, %.0f bytes in, "
			 "%.0f out, peak memory %.0f bytes",
			 json_string_value(json_object_get(v, "stage")),
			 json_string_value(json_object_get(v, "fit")), stat_of(v, "steps"),
			 stat_of(v, "seconds_busy"), stat_of(v, "seconds"), stat_of(v, "bytes_in"),
			 stat_of(v, "bytes_out"), stat_of(v, "peak_bytes"));
		rn_cli_say(c->tool->name, line);
	}
}

/* KEY=VALUE: VALUE is a number where it reads as one, else a text. */
static int tags(const struct rn_cli *c, json_t **out, struct rn_err *e)
{
	const json_t *list = rn_cli_json(c, "tag");

	RN_TRY(rn_json_object(out, e));
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *text = json_string_value(json_array_get(list, i));
		const char *eq = strchr(text, '=');
		char *key = eq ? strndup(text, (size_t)(eq - text)) : NULL;
		json_t *v = eq ? json_loads(eq + 1, JSON_DECODE_ANY, NULL) : NULL;
		int rc;

		if (!json_is_number(v)) {
			json_decref(v);
			v = eq ? json_string(eq + 1) : NULL;
		}
		if (!key || !*key)
			rc = rn_err_set(e, RN_EUSAGE, "--tag wants KEY=VALUE, not '%s'", text);
		else if (json_object_get(*out, key))
			rc = rn_err_set(e, RN_EUSAGE, "--tag %s is given twice", key);
		else
			rc = rn_json_set(*out, key, json_incref(v), e);
		json_decref(v);
		free(key);
		RN_TRY(rc);
	}
	return 0;
}

/* ---- training ---------------------------------------------------------------------------- */

/* What the model says of how it was made: what came before, this command and its seed. */
static int history_of(const struct rn_cli *c, const struct rn_planned *p, json_t **out,
		      struct rn_err *e)
{
	json_t *last;
	int rc;

	if (!c->argv)
		return 0;
	RN_TRY(rn_stream_history(p->history, c->argc, c->argv, out, e));
	last = json_array_get(*out, json_array_size(*out) - 1);
	rc = rn_json_set(last, "seed", json_integer((json_int_t)c->ctx.seed), e);
	if (rc)
		json_decref(*out);
	return rc;
}

static int train(const struct rn_cli *c, const struct rn_planned *p, const json_t *tag,
		 struct rn_err *e)
{
	bool to_model = json_object_get(c->common, "output");
	struct rn_train_result result = { 0 };
	struct rn_pipe_stats stats = { 0 };
	struct meter meter = { 0 };
	double begin = rn_now();
	struct rn_train_conf conf = {
		.ctx = &c->ctx,
		.plan = p->plan,
		.carried = p->carried,
		.runs = (uint32_t)rn_cli_int(c, "runs"),
		.val_every = (uint64_t)rn_cli_int(c, "val-every"),
		.placement = strcmp(rn_cli_string(c, "placement"), "staged") ? RN_FUSED : RN_STAGED,
		.stages = (uint32_t)rn_cli_int(c, "stages"),
		.stage_timeout = rn_cli_number(c, "stage-timeout"),
		.retries = (uint32_t)rn_cli_int(c, "retry"),
		.exe = "/proc/self/exe",
		.weights = rn_cli_string(c, "weights-in"),
		.model = to_model ? c->output : NULL,
		.writer = c->writer,
		.save_weights = rn_cli_string(c, "weights-out"),
		.output_dir = rn_cli_string(c, "output-dir"),
		.log = rn_cli_string(c, "log"),
		.log_every = (uint64_t)rn_cli_int(c, "log-every"),
		.checkpoint = rn_cli_string(c, "checkpoint"),
		.checkpoint_every = (uint64_t)rn_cli_int(c, "checkpoint-every"),
		.resume = rn_cli_string(c, "resume"),
		.allow_changed = rn_cli_flag(c, "allow-changed"),
		.tags = tag,
	};
	json_t *history = NULL;
	int rc;

	RN_TRY(history_of(c, p, &history, e));
	conf.history = history;
	conf.writer.stats = &stats.out;
	if (conf.placement == RN_STAGED)
		raise_open_files();
	if (conf.checkpoint) {
		catch_signals();
		conf.stop = &stop_signal;
	}
	if (!c->quiet && isatty(STDERR_FILENO)) {
		conf.progress = draw;
		conf.progress_arg = &meter;
	}
	rc = rn_cli_list(c, "device-map", &conf.device_map, &conf.ndevice_map, e);
	if (!rc)
		rc = rn_train(&conf, &result, e);
	free((void *)(uintptr_t)conf.device_map);
	json_decref(history);
	erase(&meter);
	stats.seconds = rn_now() - begin;
	if (!rc)
		print_stats(c, &stats, result.stats);
	if (!rc && result.stopped) {
		rn_log(&c->ctx, RN_LOG_WARN, "stopped; go on with --resume '%s'", conf.checkpoint);
		rn_train_result_fini(&result);
		die_of_signal();
	}
	if (!rc)
		rc = print_result(c, p->plan, result.json, e);
	rn_train_result_fini(&result);
	return rc;
}

/* What is about processes would silently do nothing where there is one. */
static int check_staged(const struct rn_cli *c, struct rn_err *e)
{
	static const char *const names[] = { "stages", "device-map", "stage-timeout", "retry" };

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (json_object_get(c->opt, names[i]) &&
		    strcmp(rn_cli_string(c, "placement"), "staged"))
			return rn_err_set(e, RN_EUSAGE, "--%s wants --placement staged", names[i]);
	return 0;
}

/* Counts are from 1 on; where one was not given it is 0, and means what train.h says. */
static int check_counts(const struct rn_cli *c, struct rn_err *e)
{
	static const char *const names[] = { "runs", "val-every", "checkpoint-every", "stages",
					     "retry", "log-every" };

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		long long v = rn_cli_int(c, names[i]);

		if (json_object_get(c->opt, names[i]) && (v < 1 || v > 1000000000))
			return rn_err_set(e, RN_EUSAGE, "--%s must be 1 to 1000000000, not %lld",
					  names[i], v);
	}
	if (!(rn_cli_number(c, "stage-timeout") >= 0))
		return rn_err_set(e, RN_EUSAGE, "--stage-timeout must not be below 0");
	RN_TRY(check_staged(c, e));
	if (rn_cli_int(c, "checkpoint-every") && !rn_cli_string(c, "checkpoint"))
		return rn_err_set(e, RN_EUSAGE, "--checkpoint-every wants --checkpoint FILE");
	if (rn_cli_flag(c, "allow-changed") && !rn_cli_string(c, "resume"))
		return rn_err_set(e, RN_EUSAGE, "--allow-changed wants --resume FILE");
	if (json_object_get(c->common, "output") && !strcmp(c->output, "-")) {
		if (isatty(STDOUT_FILENO) && !c->force)
			return rn_err_set(e, RN_EUSAGE,
					  "the model is binary, and standard output is a "
					  "terminal: name a file with -o, or insist with -f");
		if (rn_cli_flag(c, "json"))
			return rn_err_set(e, RN_EUSAGE,
					  "-o - and --json both write to standard output");
	}
	return 0;
}

/* Options about a validation that is not there would silently do nothing. */
static int check_val(const struct rn_cli *c, const struct rn_plan *p, struct rn_err *e)
{
	static const char *const names[] = { "patience", "val-every" };

	for (uint32_t i = 0; i < p->nruns; i++)
		if (p->runs[i].kind == RN_RUN_VAL)
			return 0;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (json_object_get(c->opt, names[i]))
			return rn_err_set(e, RN_EUSAGE, "--%s wants a validation: --val STREAM, or a val run in the spec",
					  names[i]);
	return 0;
}

/* Standard output is for one thing. */
static int check_stdout(const struct rn_cli *c, const struct rn_plan *p, struct rn_err *e)
{
	const struct rn_run *pred = pred_there(p);

	if (!pred)
		return 0;
	if (!strcmp(rn_pred_format(pred), "er") && isatty(STDOUT_FILENO) && !c->force)
		return rn_err_set(e, RN_EUSAGE, "pred '%s' is binary, and standard output is a terminal: give it a "
				  "file (to), pipe it into rn-cat, or insist with -f", rn_run_string(pred, "name"));
	if (rn_cli_flag(c, "json"))
		return rn_err_set(e, RN_EUSAGE, "a prediction to \"-\" and --json both write to standard output");
	if (json_object_get(c->common, "output") && !strcmp(c->output, "-"))
		return rn_err_set(e, RN_EUSAGE, "a prediction to \"-\" and -o - both write to standard output");
	return 0;
}

static int print_schema(const struct rn_cli *c, struct rn_err *e)
{
	struct rn_str text = RN_STR_INIT;
	json_t *schema;
	int rc;

	RN_TRY(rn_plan_schema(&schema, e));
	rn_json_print(schema, 4, &text);
	rn_str_addc(&text, '\n');
	json_decref(schema);
	rc = rn_cli_put(c, &text, e);
	rn_str_fini(&text);
	return rc;
}

static int run(const struct rn_cli *c, struct rn_err *e)
{
	struct rn_planned p = { 0 };
	json_t *tag = NULL;
	int rc;

	if (rn_cli_flag(c, "schema"))
		return print_schema(c, e);
	RN_TRY(check_counts(c, e));
	RN_GOTO(done, tags(c, &tag, e));
	RN_GOTO(done, load_plan(c, &p, e));
	RN_GOTO(done, check_val(c, p.plan, e));
	RN_GOTO(done, check_stdout(c, p.plan, e));
	rc = train(c, &p, tag, e);
done:
	json_decref(tag);
	rn_planned_fini(&p);
	return rc;
}

/* Is this the descriptor of a link to a coordinator? */
static int check_link(long long fd, struct rn_err *e)
{
	struct stat st;

	if (fd >= 0 && fd <= INT_MAX && !fstat((int)fd, &st) && S_ISSOCK(st.st_mode))
		return 0;
	return rn_err_set(e, RN_EUSAGE, "--stage is for processes of --placement staged, which start "
			  "with a socket there: descriptor %lld is none", fd);
}

int main(int argc, char **argv)
{
	const struct rn_run_type *fit = &rn_run_types[RN_RUN_FIT];
	const struct rn_tool tool = {
		.name = "rn-train",
		.what = "train the network of a spec, or of a pipeline that ends in a loss",
		.usage = "[PROGRAM.relnn|SPEC.json|LOSS]",
		.examples = examples,
		.see_also = "rn-loss(1), rn-predict(1), rn-eval(1), rn-explain(1)",
		RN_CLI_OPTS(opts),
		.more = fit->opts,
		.nmore = fit->nopts,
		.more_title = "fit",
		.flags = RN_TOOL_CPUS,
		.min_in = 1,
		.max_in = 1,
	};
	struct rn_err e = { 0 };
	struct rn_cli c;
	int rc;

	rn_cli_begin(&c, &tool, argc, argv);
	reset_sigchld();
	if (!json_object_get(c.opt, "stage"))
		return rn_cli_end(&c, run(&c, &e), &e);
	rc = check_link(rn_cli_int(&c, "stage"), &e);
	if (rc)
		return rn_cli_end(&c, rc, &e);
	rc = rn_stage_main((int)rn_cli_int(&c, "stage"));
	(void)rn_cli_end(&c, 0, &e);
	return rc;
}
