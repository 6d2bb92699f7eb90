/* SPDX-License-Identifier: Apache-2.0
 *
 * Training sessions on small data: convergence, the same bits for every number of
 * threads, placement and interruption, models and checkpoints, what is refused.
 *
 * The program is its own stage process: the staged tests start it as
 * `test_train --stage FD`.
 */
#include "alloc.h"
#include "t.h"

#include "../../lib/base/json.h"
#include "../../lib/train/model.h"
#include "../../lib/train/pack.h"
#include "../../lib/train/score.h"
#include "../../lib/train/train.h"

#include <math.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NODES = 60, EPOCHS = 12 };

static struct rn_err err;
static char dir[64];

static const char *in_dir(const char *name)
{
	static char buf[8][128];
	static unsigned n;
	char *s = buf[n++ % 8];

	snprintf(s, sizeof buf[0], "%s/%s", dir, name);
	return s;
}

/* ---- data ------------------------------------------------------------------------------- */

static uint32_t random_state = 12345;

static uint32_t draw(uint32_t n)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (random_state >> 8) % n;
}

/* Three classes with shifted features, edges mostly inside a class, self-loops. */
static void write_data(void)
{
	static const char *const splits[] = { "train", "val", "test" };
	FILE *f = fopen(in_dir("nodes.csv"), "w"), *g = fopen(in_dir("edges.csv"), "w");

	fprintf(f, "id,f0,f1,f2,f3,label,y,split\n");
	fprintf(g, "src,dst\n");
	for (int i = 0; i < NODES; i++) {
		int c = i % 3;

		fprintf(f, "%d", i);
		for (int k = 0; k < 4; k++)
			fprintf(f, ",%.3f", (k == c ? 1.0 : 0.0) + (draw(1000) / 1000.0 - 0.5));
		fprintf(f, ",%c,%d,%s\n", "abc"[c], c == 1, splits[i / 3 % 3]);
		fprintf(g, "%d,%d\n", i, i);
		for (int k = 0; k < 3; k++)
			fprintf(g, "%d,%d\n", (int)draw(NODES / 3) * 3 + (draw(10) ? c : (int)draw(3)), i);
	}
	fclose(f);
	fclose(g);
}

#define SOURCES                                                                                   \
	"\"sources\": {\"nodes\": {\"from\": \"nodes.csv\", \"emb\": \"f*\"},"                       \
	" \"labels\": {\"from\": \"nodes.csv\", \"key\": [\"id\"]}, \"edges\": {\"from\": \"edges.csv\"}},"
#define STAGES                                                                                    \
	"\"stages\": ["                                                                           \
	"{\"name\": \"d0\", \"op\": \"map\", \"in\": \"nodes\", \"expr\": \"Dropout(0.2)(z)\"},"     \
	"{\"name\": \"h1\", \"op\": \"linear\", \"in\": \"d0\", \"out\": 8},"                        \
	"{\"name\": \"j1\", \"op\": \"join\", \"in\": {\"h\": \"h1\", \"e\": \"edges\"}, \"on\": {\"id\": \"src\"}}," \
	"{\"name\": \"a1\", \"op\": \"agg\", \"in\": \"j1\", \"expr\": \"mean(z)\", \"by\": [\"dst\"]}," \
	"{\"name\": \"d1\", \"op\": \"map\", \"in\": \"a1\", \"expr\": \"Dropout(0.5)(ReLU(z))\"},"  \
	"{\"name\": \"h2\", \"op\": \"linear\", \"in\": \"d1\", \"out\": 3},"                        \
	"{\"name\": \"out\", \"op\": \"join\", \"in\": [\"h2\", \"labels\"], \"on\": {\"dst\": \"id\"}}," \
	"{\"name\": \"train\", \"op\": \"filter\", \"in\": \"out\", \"expr\": \"split = 'train'\"},"  \
	"{\"name\": \"val\", \"op\": \"filter\", \"in\": \"out\", \"expr\": \"split = 'val'\"},"      \
	"{\"name\": \"test\", \"op\": \"filter\", \"in\": \"out\", \"expr\": \"split = 'test'\"},"    \
	"{\"name\": \"none\", \"op\": \"filter\", \"in\": \"out\", \"expr\": \"split = 'none'\"},"    \
	"{\"name\": \"empty\", \"op\": \"loss\", \"in\": \"none\", \"kind\": \"cross-entropy\", \"target\": \"label\"}," \
	"{\"name\": \"loss\", \"op\": \"loss\", \"in\": \"train\", \"kind\": \"cross-entropy\", \"target\": \"label\"}],"
#define SPEC(runs) "{\"rn\": 1, " SOURCES STAGES "\"run\": [" runs "]}"
#define FIT(more) "{\"fit\": {\"loss\": \"loss\", \"epochs\": 12, \"lr\": 0.02" more "}}"
#define VAL(more) "{\"val\": {\"in\": \"val\", \"metric\": \"accuracy\", \"target\": \"label\"" more "}}"
#define EVAL "{\"eval\": {\"name\": \"test\", \"in\": \"test\", \"metric\": \"accuracy\", \"target\": \"label\"}}"

static struct rn_plan *plan_of(const char *spec)
{
	struct rn_plan *p = NULL;

	T_CALL(rn_plan_from_spec(spec, strlen(spec), in_dir("model.json"), NULL, 0, NULL, 0, &p, &err),
	       &err);
	T_CALL(rn_plan_canonical(p, NULL, &err), &err);
	return p;
}

/* ---- sessions ------------------------------------------------------------------------------ */

static struct rn_ctx ctx;
static char last_warning[512];

static void keep_warning(void *arg, enum rn_log_level level, const char *msg)
{
	(void)arg;
	if (level == RN_LOG_WARN)
		snprintf(last_warning, sizeof last_warning, "%s", msg);
}

static struct rn_train_conf conf_of(struct rn_plan *p)
{
	ctx = (struct rn_ctx){ .log = keep_warning, .threads = 1, .seed = 1, .device = "cpu" };
	err = (struct rn_err){ 0 };
	*last_warning = '\0';
	return (struct rn_train_conf){
		.ctx = &ctx,
		.plan = p,
		.exe = "/proc/self/exe",
		.output_dir = dir,
	};
}

/* The bits of a session, or its message (static buffer). */
static const char *bits_of(const struct rn_train_conf *c)
{
	static char buf[4][2200];
	static unsigned n;
	struct rn_train_result r;
	char *s = buf[n++ % 4];

	if (rn_train(c, &r, &err))
		snprintf(s, sizeof buf[0], "error %d: %s", err.code, err.msg);
	else if (r.stopped)
		strcpy(s, "stopped");
	else
		snprintf(s, sizeof buf[0], "%s",
			 json_string_value(json_object_get(r.json, "bits")));
	rn_train_result_fini(&r);
	return s;
}

static int same(const char *got, const char *want)
{
	if (!strcmp(got, want))
		return 1;
	printf("# got  %s\n# want %s\n", got, want);
	return 0;
}

static int has(const char *text, const char *part)
{
	if (strstr(text, part))
		return 1;
	printf("# '%s' is not in: %.300s\n", part, text);
	return 0;
}

static double member(const json_t *o, const char *key)
{
	return json_number_value(json_object_get(o, key));
}

/* ---- tests ------------------------------------------------------------------------------------ */

static void test_converges(void)
{
	struct rn_plan *p = plan_of(SPEC("{\"fit\": {\"loss\": \"loss\", \"epochs\": 60, \"lr\": 0.05}}, "
					 VAL("") ", " EVAL));
	struct rn_train_conf c = conf_of(p);
	struct rn_train_result r;

	c.tags = json_pack("{s:s}", "dataset", "toy");
	T_CALL(rn_train(&c, &r, &err), &err);
	T_OK(member(r.json, "test") > 0.8, "it learns: test accuracy %.3f", member(r.json, "test"));
	T_OK(member(r.json, "val") > 0.8 && member(r.json, "best_epoch") >= 1 &&
		     member(r.json, "best_epoch") <= 60 && member(r.json, "epochs") == 60,
	     "val %.3f at epoch %g", member(r.json, "val"), member(r.json, "best_epoch"));
	T_OK(member(r.json, "parameters") == 4 * 8 + 8 + 8 * 3 + 3 && member(r.json, "seed") == 1 &&
		     member(r.json, "peak_bytes") > 0 && json_object_get(r.json, "ms_per_epoch") &&
		     json_object_get(r.json, "seconds_bind") &&
		     json_object_get(r.json, "seconds_total"),
	     "the report has its members");
	T_OK(same(json_string_value(json_object_get(r.json, "device")), "cpu") &&
		     same(json_string_value(json_object_get(r.json, "dataset")), "toy"),
	     "device and tags");
	rn_train_result_fini(&r);
	json_decref((json_t *)c.tags);
	rn_plan_free(p);
}

static void test_threads(void)
{
	struct rn_plan *p = plan_of(SPEC(FIT(", \"decay\": {\"h1*\": 5e-4}") ", " VAL("") ", " EVAL));
	struct rn_train_conf c = conf_of(p);
	char first[64];

	snprintf(first, sizeof first, "%s", bits_of(&c));
	T_OK(strlen(first) == 16, "bits are 16 digits: %s", first);
	for (unsigned t = 2; t <= 4; t += 2) {
		c = conf_of(p);
		ctx.threads = t;
		T_OK(same(bits_of(&c), first), "%u threads: the same bits", t);
	}
	c = conf_of(p);
	ctx.seed = 2;
	T_OK(strcmp(bits_of(&c), first), "another seed: other bits");
	rn_plan_free(p);
}

static volatile sig_atomic_t stop_now;
static uint64_t stop_at;

static void stop_after(void *arg, const struct rn_progress *p)
{
	(void)arg;
	stop_now = p->run * EPOCHS + p->epoch == stop_at;
}

/* Stop at every epoch of two runs, go on, and end where an uninterrupted session ends. */
static void test_resume(enum rn_placement placement, uint64_t every)
{
	struct rn_plan *p = plan_of(SPEC(FIT("") ", " VAL(", \"patience\": 9, \"every\": 2") ", " EVAL));
	const char *path = in_dir("stop.rnm");
	struct rn_train_conf c = conf_of(p);
	char whole[64], got[2200];
	unsigned good = 0, n = 0;

	c.runs = 2;
	snprintf(whole, sizeof whole, "%s", bits_of(&c));
	for (stop_at = 1; stop_at < 2 * EPOCHS; stop_at += every) {
		c = conf_of(p);
		c.runs = 2;
		c.placement = placement;
		c.checkpoint = path;
		c.stop = &stop_now;
		c.progress = stop_after;
		stop_now = 0;
		snprintf(got, sizeof got, "%s", bits_of(&c));
		n++;
		if (!same(got, "stopped"))
			continue;
		c = conf_of(p);
		c.runs = 2;
		c.placement = placement;
		c.resume = path;
		good += same(bits_of(&c), whole);
	}
	T_OK(good == n, "%s: resumed at %u epochs, each time the bits of the whole",
	     placement == RN_STAGED ? "staged" : "fused", n);
	rn_plan_free(p);
}

static void test_resume_refuses(void)
{
	struct rn_plan *p = plan_of(SPEC(FIT("")));
	struct rn_plan *q = plan_of(SPEC(FIT(", \"beta1\": 0.8")));
	struct rn_train_conf c = conf_of(p);
	const char *path = in_dir("refuse.rnm");

	c.checkpoint = path;
	c.checkpoint_every = 5;
	T_OK(strlen(bits_of(&c)) == 16 && !access(path, F_OK), "a checkpoint every 5 epochs");
	c = conf_of(p);
	ctx.seed = 7;
	c.resume = path;
	T_OK(has(bits_of(&c), "the 'seed' is not that of the checkpoint"), "another seed is refused");
	c = conf_of(q);
	c.resume = path;
	T_OK(has(bits_of(&c), "the plan is not that of the checkpoint"), "another plan is refused");
	c.allow_changed = true;
	T_OK(strlen(bits_of(&c)) == 16, "--allow-changed goes on");
	write_data(); /* other random numbers */
	c = conf_of(p);
	c.resume = path;
	T_OK(has(bits_of(&c), "the data of 'nodes' is not that"), "changed data is refused");
	c = conf_of(p);
	c.resume = in_dir("nodes.csv");
	T_OK(rn_train(&c, &(struct rn_train_result){ 0 }, &err) == RN_EDATA, "a CSV is no checkpoint");
	random_state = 12345;
	write_data();
	rn_plan_free(p);
	rn_plan_free(q);
}

/* Every byte of a checkpoint, changed: an error, never a crash or another result. */
static void test_damage(void)
{
	struct rn_plan *p = plan_of(SPEC(FIT("")));
	struct rn_train_conf c = conf_of(p);
	const char *path = in_dir("damage.rnm"), *bad = in_dir("bad.rnm");
	static char data[1 << 18];
	unsigned caught = 0, tried = 0;
	size_t n;
	FILE *f;

	c.model = path;
	T_OK(strlen(bits_of(&c)) == 16, "a model is written");
	f = fopen(path, "rb");
	n = fread(data, 1, sizeof data, f);
	fclose(f);
	for (size_t i = 0; i <= n; i += i < 64 ? 1 : 37) {
		struct rn_model m;

		f = fopen(bad, "wb");
		if (i < n)
			data[i] ^= 0x20;
		fwrite(data, 1, i % 2 ? i : n, f); /* odd: cut off there */
		fclose(f);
		if (i < n)
			data[i] ^= 0x20;
		if (i == n && i % 2 == 0)
			break; /* whole and unchanged */
		tried++;
		err = (struct rn_err){ 0 };
		if (rn_model_load(bad, &m, &err))
			caught += err.code == RN_EDATA;
		else
			rn_model_fini(&m);
	}
	T_OK(caught == tried, "%u of %u damaged models are refused", caught, tried);
	rn_plan_free(p);
}

static void test_staged(void)
{
	struct rn_plan *p = plan_of(SPEC(FIT(", \"decay\": {\"h1*\": 5e-4}") ", " VAL("") ", " EVAL));
	struct rn_train_conf c = conf_of(p);
	char fused[64];

	snprintf(fused, sizeof fused, "%s", bits_of(&c));
	for (unsigned stages = 0; stages <= 3; stages++) {
		c = conf_of(p);
		c.placement = RN_STAGED;
		c.stages = stages;
		T_OK(same(bits_of(&c), fused), "%u stages: the bits of fused", stages);
	}
	c = conf_of(p);
	c.placement = RN_STAGED;
	ctx.threads = 2;
	T_OK(same(bits_of(&c), fused), "stages of two threads: the bits of fused");
	c = conf_of(p);
	c.placement = RN_STAGED;
	c.exe = "/nowhere/rn-train";
	T_OK(has(bits_of(&c), "cannot start '/nowhere/rn-train' for stage"), "no program to start");
	c.exe = "/bin/false";
	T_OK(has(bits_of(&c), "ended with exit code 1"), "a stage that ends is reported");
	rn_plan_free(p);
}

/* Kill one of our children that is a stage. */
static void kill_a_stage(void *arg, const struct rn_progress *p)
{
	char path[64], line[256];
	FILE *f;
	int pid = 0;

	(void)arg;
	if (p->epoch != 3)
		return;
	snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
	f = fopen(path, "r");
	if (f && fgets(line, sizeof line, f))
		pid = atoi(line);
	if (f)
		fclose(f);
	if (pid > 0)
		kill(pid, SIGKILL);
}

static void test_stage_dies(void)
{
	struct rn_plan *p = plan_of(SPEC(FIT("")));
	struct rn_train_conf c = conf_of(p);
	const char *got;

	c.placement = RN_STAGED;
	c.progress = kill_a_stage;
	got = bits_of(&c);
	T_OK(has(got, "error -1: stage '") && has(got, "was killed by signal 9"),
	     "a stage that is killed is reported by name");
	rn_plan_free(p);
}

static void test_diverges(void)
{
	struct rn_plan *p = plan_of(SPEC("{\"fit\": {\"loss\": \"loss\", \"epochs\": 40, "
					 "\"optimizer\": \"sgd\", \"lr\": 1e38}}"));
	struct rn_train_conf c = conf_of(p);
	char fused[2200];

	snprintf(fused, sizeof fused, "%s", bits_of(&c));
	T_OK(has(fused, "error -6: training diverged at epoch ") && has(fused, "stage '") &&
		     has(fused, "gave a non-finite value first"),
	     "divergence names the stage: %s", fused);
	c.placement = RN_STAGED;
	T_OK(same(bits_of(&c), fused), "staged says the same");
	rn_plan_free(p);
}

static void test_refused(void)
{
	static const struct {
		const char *spec, *want;
	} row[] = {
		{ SPEC("{\"fit\": {\"loss\": \"empty\"}}"), "error -2: the loss 'empty' has no rows" },
		{ SPEC(VAL("")), "nothing to train: the plan has no fit run, which a val run is of" },
		{ SPEC("{\"fit\": {\"loss\": \"train\"}}"), "cannot fit 'train': it is a filter, not a loss" },
		{ SPEC(FIT(", \"decay\": {\"h9*\": 1}")), "--decay 'h9*' matches no parameter" },
		{ SPEC(FIT("") ", " VAL("") ", " VAL("")), "a fit has two val runs" },
		{ SPEC(FIT("") ", {\"eval\": {\"name\": \"bits\", \"in\": \"test\", \"metric\": "
			       "\"accuracy\", \"target\": \"label\"}}"), "an eval cannot be called 'bits'" },
		{ SPEC(FIT("") ", {\"eval\": {\"name\": \"t\", \"in\": \"test\", \"metric\": "
			       "\"mae\", \"target\": \"y\"}}"), "'test': metric 'mae' wants predictions of width 1, not 3" },
	};

	for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
		struct rn_plan *p = plan_of(row[i].spec);
		struct rn_train_conf c = conf_of(p);

		T_OK(has(bits_of(&c), row[i].want), "refused: %s", row[i].want);
		rn_plan_free(p);
	}
}

static char *slurp(const char *path)
{
	static char buf[1 << 16];
	FILE *f = fopen(path, "r");
	size_t n = f ? fread(buf, 1, sizeof buf - 1, f) : 0;

	buf[n] = '\0';
	if (f)
		fclose(f);
	return buf;
}

static void test_outputs(void)
{
	struct rn_plan *p = plan_of(SPEC(FIT("") ", {\"pred\": {\"name\": \"all\", \"in\": \"out\", \"to\": "
					 "\"pred.csv\"}}, {\"pred\": {\"name\": \"er\", \"in\": \"out\", "
					 "\"to\": \"pred.er\"}}"));
	struct rn_train_conf c = conf_of(p);
	const char *text, *line;
	char first[64];
	unsigned lines = 0;
	struct rn_model m;

	c.model = in_dir("m.rnm");
	c.save_weights = in_dir("weights");
	c.log = in_dir("log.jsonl");
	snprintf(first, sizeof first, "%s", bits_of(&c));
	text = slurp(in_dir("pred.csv"));
	T_OK(has(text, "dst,") && has(text, ",split,prediction,h20,h21,h22\n"), "a header: %.40s", text);
	for (line = strchr(text, '\n'); line && line[1]; line = strchr(line + 1, '\n'))
		lines++;
	T_OK(lines == NODES, "%u rows of predictions", lines);
	T_OK(!access(in_dir("pred.er"), F_OK), "predictions as a stream");
	text = slurp(in_dir("log.jsonl"));
	lines = 0;
	for (line = text; *line; line++)
		lines += *line == '\n';
	line = "{\"run\":0,\"fit\":0,\"epoch\":1,\"loss\":";
	T_OK(lines == EPOCHS && !strncmp(text, line, strlen(line)),
	     "a log line per epoch: %.60s", text);
	T_CALL(rn_model_load(c.model, &m, &err), &err);
	T_OK(m.params.n == 4 && m.plan->nruns == 3 && m.nlosses == 1, "the model has its parts");
	T_OK(m.nlosses == 1 && m.losses[0].kind == RN_LOSS_CE && m.losses[0].classes.n == 3 &&
		     !m.losses[0].classes.own && m.losses[0].classes.values->rows == 3,
	     "and its class labels");
	rn_model_fini(&m);
	/* No step: the loaded weights come out again, to the last bit. */
	for (int k = 0; k < 2; k++) {
		struct rn_model a, b;
		struct rn_plan *q = plan_of(SPEC("{\"fit\": {\"loss\": \"loss\", \"epochs\": 1, "
						 "\"optimizer\": \"sgd\", \"lr\": 1e-45}}"));
		struct rn_train_conf d = conf_of(q);
		bool equal = true;

		d.weights = k ? in_dir("weights") : in_dir("m.rnm");
		d.model = in_dir("again.rnm");
		T_OK(strlen(bits_of(&d)) == 16, "initial weights from a %s", k ? "folder" : "model");
		T_CALL(rn_model_load(in_dir("m.rnm"), &a, &err), &err);
		T_CALL(rn_model_load(d.model, &b, &err), &err);
		for (uint32_t i = 0; i < a.params.n; i++)
			equal &= !memcmp(a.params.items[i].value, b.params.items[i].value,
					 a.params.items[i].count * sizeof(float));
		T_OK(equal, "the same weights");
		rn_model_fini(&a);
		rn_model_fini(&b);
		rn_plan_free(q);
	}
	rn_plan_free(p);
}

static void test_runs(void)
{
	struct rn_plan *p = plan_of(SPEC(FIT("") ", " VAL("") ", " EVAL));
	struct rn_train_conf c = conf_of(p);
	struct rn_train_result r;
	const json_t *runs;
	double mean = 0, std = 0;
	char bits[64];

	c.runs = 3;
	T_CALL(rn_train(&c, &r, &err), &err);
	runs = json_object_get(r.json, "results");
	T_OK(json_array_size(runs) == 3, "three runs");
	for (size_t i = 0; i < 3; i++) {
		mean += member(json_array_get(runs, i), "test") / 3;
		ctx.seed = i + 1;
		c.runs = 1;
		T_OK(same(bits_of(&c), json_string_value(json_object_get(json_array_get(runs, i),
									 "bits"))),
		     "run %zu is the session of its seed", i);
	}
	for (size_t i = 0; i < 3; i++)
		std += pow(member(json_array_get(runs, i), "test") - mean, 2) / 2;
	T_OK(fabs(member(r.json, "mean") - mean) < 1e-12 && fabs(member(r.json, "std") - sqrt(std)) < 1e-12 &&
		     same(json_string_value(json_object_get(r.json, "metric")), "accuracy") &&
		     json_integer_value(json_object_get(r.json, "runs")) == 3,
	     "mean %.4f and std %.4f", mean, sqrt(std));
	snprintf(bits, sizeof bits, "%s", json_string_value(json_object_get(r.json, "bits")));
	for (size_t i = 0; i < 3; i++)
		T_OK(strcmp(bits, json_string_value(json_object_get(json_array_get(runs, i), "bits"))),
		     "the bits are of all runs");
	rn_train_result_fini(&r);
	rn_plan_free(p);
}

static void test_undefined(void)
{
	static const char spec[] =
		"{\"rn\": 1, " SOURCES "\"stages\": ["
		"{\"name\": \"h\", \"op\": \"linear\", \"in\": \"nodes\", \"out\": 1},"
		"{\"name\": \"ones\", \"op\": \"filter\", \"in\": \"h\", \"expr\": \"y = 1\"},"
		"{\"name\": \"l\", \"op\": \"loss\", \"in\": \"h\", \"kind\": \"bce\", \"target\": \"y\"}],"
		"\"run\": [{\"fit\": {\"loss\": \"l\", \"epochs\": 3}},"
		"{\"val\": {\"in\": \"ones\", \"metric\": \"roc_auc\", \"target\": \"y\"}},"
		"{\"eval\": {\"name\": \"auc\", \"in\": \"ones\", \"metric\": \"roc_auc\", \"target\": \"y\"}},"
		"{\"pred\": {\"name\": \"p\", \"in\": \"h\", \"to\": \"binary.jsonl\"}}]}";
	struct rn_plan *p = plan_of(spec);
	struct rn_train_conf c = conf_of(p);
	struct rn_train_result r;

	T_CALL(rn_train(&c, &r, &err), &err);
	T_OK(json_is_null(json_object_get(r.json, "auc")) && json_is_null(json_object_get(r.json, "val")) &&
		     member(r.json, "best_epoch") == 3,
	     "a metric that is not defined is null, and selects no epoch");
	T_OK(has(last_warning, "eval of 'ones': roc_auc is not defined: all labels are of one class"),
	     "and warned of");
	T_OK(has(slurp(in_dir("binary.jsonl")), "\"prediction\": true, ") &&
		     has(slurp(in_dir("binary.jsonl")), "\"probability\": 0."),
	     "binary predictions have a probability");
	rn_train_result_fini(&r);
	rn_plan_free(p);
}

/* Two fits one after the other, the second of a regression over the first's features. */
static void test_two_fits(void)
{
	static const char spec[] =
		"{\"rn\": 1, " SOURCES "\"stages\": ["
		"{\"name\": \"h\", \"op\": \"linear\", \"in\": \"nodes\", \"out\": 1},"
		"{\"name\": \"k\", \"op\": \"linear\", \"in\": \"nodes\", \"out\": 1},"
		"{\"name\": \"l1\", \"op\": \"loss\", \"in\": \"h\", \"kind\": \"bce\", \"target\": \"y\"},"
		"{\"name\": \"l2\", \"op\": \"loss\", \"in\": \"k\", \"kind\": \"mse\", \"target\": \"y\"}],"
		"\"run\": [{\"fit\": {\"loss\": \"l1\", \"epochs\": 50, \"lr\": 0.1}},"
		"{\"val\": {\"in\": \"h\", \"metric\": \"roc_auc\", \"target\": \"y\"}},"
		"{\"fit\": {\"loss\": \"l2\", \"epochs\": 50, \"optimizer\": \"sgd\", \"lr\": 0.05, \"momentum\": 0.9}},"
		"{\"eval\": {\"name\": \"rmse\", \"in\": \"k\", \"metric\": \"rmse\", \"target\": \"y\"}}]}";
	struct rn_plan *p = plan_of(spec);
	struct rn_train_conf c = conf_of(p);
	struct rn_train_result r;
	char whole[64];

	T_CALL(rn_train(&c, &r, &err), &err);
	T_OK(member(r.json, "epochs") == 100 && member(r.json, "rmse") < 0.4,
	     "two fits: rmse %.3f", member(r.json, "rmse"));
	snprintf(whole, sizeof whole, "%s", json_string_value(json_object_get(r.json, "bits")));
	rn_train_result_fini(&r);
	c.checkpoint = in_dir("two.rnm");
	c.checkpoint_every = 40; /* the last one lies in the second fit */
	T_OK(same(bits_of(&c), whole), "checkpoints change nothing");
	c.resume = in_dir("two.rnm");
	T_OK(same(bits_of(&c), whole), "resumed in the second fit");
	c.resume = NULL;
	c.placement = RN_STAGED;
	T_OK(same(bits_of(&c), whole), "staged");
	rn_plan_free(p);
}

/* Let an allocation of a session fail, any of them: an error, no crash, no leak.
 * RN_LONG=1 tries every one. */
static void test_out_of_memory(enum rn_placement placement)
{
	struct rn_plan *p = plan_of(SPEC("{\"fit\": {\"loss\": \"loss\", \"epochs\": 2}}, " VAL("") ", " EVAL
					 ", {\"pred\": {\"name\": \"all\", \"in\": \"out\", \"to\": \"p.er\"}}"));
	long n, k, step, bad = 0, leaks = 0, tried = 0;

	for (n = k = 0, step = 1; k <= n; k += step) {
		struct rn_train_conf c = conf_of(p);
		struct rn_train_result r;
		long before;
		int rc;

		c.placement = placement;
		c.stages = 2;
		c.runs = 2;
		c.model = in_dir("oom.rnm");
		c.checkpoint = in_dir("oom-stop.rnm");
		c.checkpoint_every = 1;
		before = alloc_live();
		alloc_fail((uint64_t)k, false);
		rc = rn_train(&c, &r, &err);
		alloc_stop();
		if (!k) { /* nothing failed: this counts, and warms up what is made once */
			n = (long)alloc_calls();
			step = getenv("RN_LONG") ? 1 : n / (placement == RN_STAGED ? 12 : 400) + 1;
			k = 1 - step;
		} else {
			tried++;
			if (rc && rc != RN_ENOMEM && bad++ < 5)
				printf("# allocation %ld: %d: %s\n", k, rc, err.msg);
		}
		rn_train_result_fini(&r);
		leaks += k > 0 && alloc_live() != before;
	}
	T_OK(!bad && !leaks, "%s: %ld of %ld allocations failed in turn: %ld other errors, %ld leaks",
	     placement == RN_STAGED ? "staged" : "fused", tried, n, bad, leaks);
	rn_plan_free(p);
}

/* ---- what encoders fitted --------------------------------------------------------------- */

#define ENCODED                                                                                   \
	"{\"rn\": 1, \"sources\": {\"nodes\": {\"from\": \"nodes.csv\"}}, \"stages\": ["             \
	"{\"name\": \"x\", \"op\": \"encode\", \"in\": \"nodes\","                                  \
	" \"expr\": \"numeric(f0), onehot(split), category(label, 3), raw(f1)\"},"                  \
	"{\"name\": \"o\", \"op\": \"linear\", \"in\": \"x\", \"out\": 3},"                        \
	"{\"name\": \"train\", \"op\": \"filter\", \"in\": \"o\", \"expr\": \"split = 'train'\"},"   \
	"{\"name\": \"loss\", \"op\": \"loss\", \"in\": \"train\", \"kind\": \"cross-entropy\","      \
	" \"target\": \"label\"}], \"run\": [{\"fit\": {\"loss\": \"loss\", \"epochs\": 2}}]}"

/* A section that says that it is encoder `number` of `stage`, onto p. */
static int take(struct rn_plan *p, const char *stage, int number, const char *encoder,
		struct rn_rel *table, bool own)
{
	json_t *entry = json_pack("{s:s, s:i, s:s}", "name", stage, "number", number, "encoder",
				  encoder);
	struct rn_unpack u = { .path = "m.rnm" };
	int rc = rn_model_take_fitted(&u, entry, table, p, own, &err);

	json_decref(entry);
	return rc;
}

static int check(struct rn_plan *p, bool own)
{
	struct rn_unpack u = { .path = "m.rnm" };

	return rn_model_check_fitted(&u, p, own, &err);
}

static void test_fitted(void)
{
	struct rn_plan *p = plan_of(ENCODED), *q = plan_of(ENCODED);
	struct rn_train_conf c = conf_of(p);
	struct rn_rel *number, *words;
	struct rn_train_result r;
	struct rn_model m;
	struct rn_node *x;

	c.model = in_dir("x.rnm");
	T_CALL(rn_train(&c, &r, &err), &err);
	rn_train_result_fini(&r);
	x = &p->nodes[rn_plan_find(p, "x")];
	T_OK(x->fitted && x->fitted->n == 4 && !x->fitted->tables[3], "the plan's stage is fitted");
	number = x->fitted->tables[0];
	words = x->fitted->tables[1];
	T_OK(words->rows == 1 && words->cols[1]->i64[0] == 21 && number->cols[2]->i64[0] == 21,
	     "on the 21 training rows alone");
	T_CALL(rn_model_load(c.model, &m, &err), &err);
	x = &m.plan->nodes[rn_plan_find(m.plan, "x")];
	T_OK(x->fitted && x->fitted->n == 4 && x->fitted->tables[1]->rows == 1 &&
		     x->fitted->tables[0]->cols[0]->f64[0] == number->cols[0]->f64[0],
	     "and a model brings it along");
	T_OK(take(m.plan, "x", 0, "numeric(f0)", number, true) == RN_EDATA, "a table that is there twice");
	rn_model_fini(&m);
	T_OK(take(q, "y", 0, "numeric(f0)", number, true) == RN_EDATA, "a stage that there is not: %s", err.msg);
	T_OK(take(q, "y", 0, "numeric(f0)", number, false) == 0, "... of a checkpoint");
	T_OK(take(q, "o", 0, "numeric(f0)", number, true) == RN_EDATA, "a stage that encodes nothing");
	T_OK(take(q, "x", 0, "onehot(f0)", number, true) == RN_EDATA, "another encoder");
	T_OK(take(q, "x", 3, "raw(f1)", number, true) == RN_EDATA, "an encoder that fits nothing");
	T_OK(take(q, "x", 9, "", number, true) == RN_EDATA, "a number that there is not");
	T_OK(take(q, "x", 1, "onehot(split)", number, true) == RN_EDATA && strstr(err.msg, "damaged"),
	     "a table of another kind: %s", err.msg);
	T_OK(!q->nodes[rn_plan_find(q, "x")].fitted, "nothing was taken");
	T_OK(take(q, "x", 1, "onehot(split)", words, true) == 0, "the right one is");
	T_OK(check(q, true) == RN_EDATA, "a model with some of a stage's tables: %s", err.msg);
	T_OK(check(q, false) == 0 && !q->nodes[rn_plan_find(q, "x")].fitted,
	     "a checkpoint's are dropped, and the stage is fitted anew");
	rn_plan_free(p);
	rn_plan_free(q);
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--stage"))
		return rn_stage_main(atoi(argv[2]));
	snprintf(dir, sizeof dir, "/tmp/rn-test-train-XXXXXX");
	if (!mkdtemp(dir))
		return 1;
	write_data();
	test_converges();
	test_threads();
	test_runs();
	test_outputs();
	test_refused();
	test_diverges();
	test_resume(RN_FUSED, 1);
	test_resume_refuses();
	test_damage();
	test_fitted();
	test_two_fits();
	test_undefined();
	test_staged();
	test_stage_dies();
	test_resume(RN_STAGED, 7);
	test_out_of_memory(RN_FUSED);
	test_out_of_memory(RN_STAGED);
	{
		char cmd[128];

		snprintf(cmd, sizeof cmd, "rm -rf '%s'", dir);
		return system(cmd) ? 1 : t_done();
	}
}
