/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs: what is done with a plan.  Each kind declares its options once, for
 * rn-train's command line and for the "run" list of a JSON spec.
 */
#include "plan_impl.h"

#include "../base/num.h"

#include <string.h>

static const struct rn_opt fit_opts[] = {
	{ .name = "loss", .type = RN_OPT_NODE, .flags = RN_OPT_REQUIRED, .meta = "STAGE",
	  .help = "the loss to minimise" },
	{ .name = "epochs", .type = RN_OPT_INT, .meta = "N", .dflt = "200",
	  .help = "passes over the training rows" },
	{ .name = "optimizer", .type = RN_OPT_CHOICE, .meta = "NAME", .dflt = "adam",
	  .choices = "adam|adamw|sgd", .help = "how gradients change the parameters" },
	{ .name = "lr", .type = RN_OPT_NUMBER, .meta = "X", .dflt = "0.01",
	  .help = "learning rate" },
	{ .name = "weight-decay", .type = RN_OPT_NUMBER, .meta = "X", .dflt = "0",
	  .help = "weight decay of all parameters" },
	{ .name = "decay", .type = RN_OPT_MAP, .flags = RN_OPT_MULTI, .meta = "PARAM=X,...",
	  .help = "weight decay of parameters by name; * stands for any text" },
	{ .name = "momentum", .type = RN_OPT_NUMBER, .meta = "X", .dflt = "0",
	  .help = "momentum of sgd" },
	{ .name = "beta1", .type = RN_OPT_NUMBER, .meta = "X", .dflt = "0.9",
	  .help = "decay of adam's first moment" },
	{ .name = "beta2", .type = RN_OPT_NUMBER, .meta = "X", .dflt = "0.999",
	  .help = "decay of adam's second moment" },
	{ .name = "eps", .type = RN_OPT_NUMBER, .meta = "X", .dflt = "1e-8",
	  .help = "added to adam's denominator" },
	{ .name = "schedule", .type = RN_OPT_CHOICE, .meta = "NAME", .dflt = "constant",
	  .choices = "constant|step|exponential|cosine", .help = "how the learning rate goes on" },
	{ .name = "period", .type = RN_OPT_INT, .meta = "N", .dflt = "0",
	  .help = "epochs of a step (0: 30) and of a half cosine (0: all)" },
	{ .name = "gamma", .type = RN_OPT_NUMBER, .meta = "X", .dflt = "0",
	  .help = "factor of a step (0: 0.1), of an epoch in exponential (0: 0.95)" },
	{ .name = "warmup", .type = RN_OPT_INT, .meta = "N", .dflt = "0",
	  .help = "epochs in which the learning rate rises to its value" },
	{ .name = "clip", .type = RN_OPT_NUMBER, .meta = "X", .dflt = "0",
	  .help = "largest norm of all gradients together; 0: any" },
	{ .name = "clip-value", .type = RN_OPT_NUMBER, .meta = "X", .dflt = "0",
	  .help = "largest absolute value in a gradient; 0: any" },
};

/* Beside hits@K and map@K. */
static const char *const metrics[] = {
	"accuracy", "f1", "f1_macro", "f1_micro", "f1_binary", "roc_auc", "average_precision", "mrr",
	"mae", "rmse", "r2",
};
enum { NMETRICS = sizeof metrics / sizeof *metrics };
#define GROUP                                                                                     \
	{ .name = "group", .type = RN_OPT_STRING, .meta = "COL",                                  \
	  .help = "column of the query that hits@K, mrr and map@K rank within; all rows are one" }

static const struct rn_opt val_opts[] = {
	{ .name = "in", .type = RN_OPT_NODE, .flags = RN_OPT_REQUIRED, .meta = "STAGE",
	  .help = "relation of predictions and targets" },
	{ .name = "metric", .type = RN_OPT_STRING, .flags = RN_OPT_REQUIRED, .meta = "METRIC",
	  .help = "what selects the epoch: accuracy, f1, roc_auc, hits@10, ..." },
	{ .name = "target", .type = RN_OPT_STRING, .flags = RN_OPT_REQUIRED, .meta = "COL",
	  .help = "column of the true values" },
	GROUP,
	{ .name = "patience", .type = RN_OPT_INT, .meta = "N", .dflt = "0",
	  .help = "stop after N validations without a better one; 0: never" },
	{ .name = "every", .type = RN_OPT_INT, .meta = "N", .dflt = "1",
	  .help = "validate every N epochs" },
};

static const struct rn_opt eval_opts[] = {
	{ .name = "name", .type = RN_OPT_STRING, .flags = RN_OPT_REQUIRED, .meta = "NAME",
	  .help = "what the report calls it" },
	{ .name = "in", .type = RN_OPT_NODE, .flags = RN_OPT_REQUIRED, .meta = "STAGE",
	  .help = "relation of predictions and targets" },
	{ .name = "metric", .type = RN_OPT_STRING, .flags = RN_OPT_REQUIRED, .meta = "METRIC",
	  .help = "what is reported: accuracy, f1, roc_auc, hits@10, ..." },
	{ .name = "target", .type = RN_OPT_STRING, .flags = RN_OPT_REQUIRED, .meta = "COL",
	  .help = "column of the true values" },
	GROUP,
};

static const struct rn_opt pred_opts[] = {
	{ .name = "name", .type = RN_OPT_STRING, .flags = RN_OPT_REQUIRED, .meta = "NAME",
	  .help = "what the prediction is called" },
	{ .name = "in", .type = RN_OPT_NODE, .flags = RN_OPT_REQUIRED, .meta = "STAGE",
	  .help = "relation to predict" },
	{ .name = "to", .type = RN_OPT_STRING, .meta = "FILE",
	  .help = "file that predictions are written to" },
	{ .name = "format", .type = RN_OPT_CHOICE, .meta = "FORMAT", .dflt = "auto",
	  .choices = "auto|csv|tsv|jsonl|er",
	  .help = "as text, or a stream; auto: as the file's name ends, else csv" },
	{ .name = "decode", .type = RN_OPT_CHOICE, .meta = "HOW", .dflt = "auto",
	  .choices = "auto|class|value|label|none",
	  .help = "the embedding as a column: what the loss says, the largest logit's class, "
		  "one number, the label of that class" },
	{ .name = "as", .type = RN_OPT_STRING, .meta = "NAME", .dflt = "prediction",
	  .help = "name of that column" },
	{ .name = "embedding", .type = RN_OPT_FLAG, .dflt = "true",
	  .help = "write the embedding, too" },
	{ .name = "first", .type = RN_OPT_INT, .meta = "N",
	  .help = "the embedding's first N numbers make that column, the others are written" },
};

#define ROWS(table) .opts = (table), .nopts = sizeof(table) / sizeof((table)[0])

const struct rn_run_type rn_run_types[RN_NRUNS] = {
	[RN_RUN_FIT] = { .name = "fit", ROWS(fit_opts) },
	[RN_RUN_VAL] = { .name = "val", ROWS(val_opts) },
	[RN_RUN_EVAL] = { .name = "eval", ROWS(eval_opts) },
	[RN_RUN_PRED] = { .name = "pred", ROWS(pred_opts) },
};
_Static_assert(sizeof rn_run_types / sizeof rn_run_types[0] == 4, "a row for every kind of run");

#define GET(fn) fn(r->opt, rn_run_types[r->kind].opts, rn_run_types[r->kind].nopts, name)

bool rn_run_flag(const struct rn_run *r, const char *name)
{
	return GET(rn_opt_flag);
}

int64_t rn_run_int(const struct rn_run *r, const char *name)
{
	return GET(rn_opt_int);
}

double rn_run_number(const struct rn_run *r, const char *name)
{
	return GET(rn_opt_number);
}

const char *rn_run_string(const struct rn_run *r, const char *name)
{
	return GET(rn_opt_string);
}

const json_t *rn_run_json(const struct rn_run *r, const char *name)
{
	return GET(rn_opt_json);
}

/* ---- limits ---------------------------------------------------------------------- */

/* A run under check: *setting is what is wrong with it. */
struct checked {
	const struct rn_run *run;
	const char **setting;
	struct rn_err *e;
};

/* Closed below unless `open`, always open above. */
static int check_number(const struct checked *c, const char *name, bool open, double max)
{
	double x = rn_run_number(c->run, name);

	if ((open ? x > 0 : x >= 0) && x < max)
		return 0;
	*c->setting = name;
	if (max < HUGE_VAL)
		return rn_err_set(c->e, RN_EUSAGE, "%s must be at least 0 and below %g, not %g", name,
				  max, x);
	return rn_err_set(c->e, RN_EUSAGE, "%s must %s, not %g", name,
			  open ? "be above 0" : "not be below 0", x);
}

static int check_int(const struct checked *c, const char *name, int64_t min)
{
	int64_t i = rn_run_int(c->run, name);

	if (i >= min && i <= INT32_MAX)
		return 0;
	*c->setting = name;
	return rn_err_set(c->e, RN_EUSAGE, "%s must be between %lld and %d, not %lld", name,
			  (long long)min, INT32_MAX, (long long)i);
}

static int check_decay(const struct checked *c)
{
	json_t *decay = (json_t *)(uintptr_t)rn_run_json(c->run, "decay"), *v;
	const char *key;
	double x;

	json_object_foreach(decay, key, v) {
		const char *s = json_string_value(v);

		if (s && rn_float64_parse(s, strlen(s), &x) && x >= 0 && x < HUGE_VAL)
			continue;
		*c->setting = "decay";
		return rn_err_set(c->e, RN_EUSAGE, "decay of '%s' must be a number not below 0, not '%s'",
				  key, s ? s : "");
	}
	return 0;
}

static int check_fit(const struct checked *c)
{
	RN_TRY(check_int(c, "epochs", 1));
	RN_TRY(check_number(c, "lr", true, HUGE_VAL));
	RN_TRY(check_number(c, "weight-decay", false, HUGE_VAL));
	RN_TRY(check_decay(c));
	RN_TRY(check_number(c, "momentum", false, 1));
	RN_TRY(check_number(c, "beta1", false, 1));
	RN_TRY(check_number(c, "beta2", false, 1));
	RN_TRY(check_number(c, "eps", true, HUGE_VAL));
	RN_TRY(check_int(c, "period", 0));
	RN_TRY(check_number(c, "gamma", false, HUGE_VAL));
	RN_TRY(check_int(c, "warmup", 0));
	RN_TRY(check_number(c, "clip", false, HUGE_VAL));
	return check_number(c, "clip-value", false, HUGE_VAL);
}

static int unknown_metric(const char *name, struct rn_err *e)
{
	static const char *const ranks[] = { "hits", "map" };
	struct rn_near near;
	char hint[64];

	for (int i = 0; i < 2; i++) {
		size_t n = strlen(ranks[i]);

		if (!strncmp(name, ranks[i], n) && (!name[n] || name[n] == '@'))
			return rn_err_set(e, RN_EUSAGE, "metric '%s' wants a rank: %s@K with K from 1 on, as in %s@10",
					  name, ranks[i], ranks[i]);
	}
	rn_near_init(&near, name);
	for (int i = 0; i < NMETRICS; i++)
		rn_near_add(&near, metrics[i]);
	if (*rn_near_hint(&near, hint, sizeof hint))
		return rn_err_set(e, RN_EUSAGE, "there is no metric '%s'%s", name, hint);
	return rn_err_set(e, RN_EUSAGE, "there is no metric '%s': there are accuracy, f1 (f1_macro), f1_micro, "
			  "f1_binary, roc_auc, average_precision, hits@K, mrr, map@K, mae, rmse and r2", name);
}

/* '-' and '_' the same. */
static bool same_name(const char *a, const char *b)
{
	while (*a && (*a == *b || (*a == '-' && *b == '_')))
		a++, b++;
	return !*a && !*b;
}

/* One of the list, or hits@K, map@K. */
static int check_metric(const struct checked *c)
{
	const char *name = rn_run_string(c->run, "metric"), *at = strchr(name, '@');
	int64_t k = 0;

	if (at && (!strncmp(name, "hits@", 5) || !strncmp(name, "map@", 4)) &&
	    rn_int64_parse(at + 1, strlen(at + 1), &k) && k >= 1 && k <= INT32_MAX)
		return 0;
	for (int i = 0; i < NMETRICS; i++)
		if (same_name(name, metrics[i]))
			return 0;
	*c->setting = "metric";
	return unknown_metric(name, c->e);
}

int rn_run_check(const struct rn_run *r, const char **setting, struct rn_err *e)
{
	const char *none;
	const struct checked c = { r, setting ? setting : &none, e };

	*c.setting = NULL;
	switch (r->kind) {
	case RN_RUN_FIT:
		return check_fit(&c);
	case RN_RUN_EVAL:
		return check_metric(&c);
	case RN_RUN_VAL:
		RN_TRY(check_metric(&c));
		RN_TRY(check_int(&c, "patience", 0));
		return check_int(&c, "every", 1);
	case RN_RUN_PRED:
		return json_object_get(r->opt, "first") ? check_int(&c, "first", 1) : 0;
	default:
		return 0;
	}
}

const char *rn_format_of(const char *to, const char *format)
{
	static const char *const names[] = { "tsv", "jsonl", "er" };
	const char *end = to ? strrchr(to, '.') : NULL;

	if (format && strcmp(format, "auto"))
		return format;
	for (size_t i = 0; i < sizeof names / sizeof *names && end; i++)
		if (!strcmp(end + 1, names[i]))
			return names[i];
	return "csv";
}

const char *rn_pred_format(const struct rn_run *r)
{
	return rn_format_of(rn_run_string(r, "to"), rn_run_string(r, "format"));
}
