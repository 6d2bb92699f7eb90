/* SPDX-License-Identifier: Apache-2.0
 *
 * Specs of plans in JSON: refused ones, each with its message; canonical text, overrides
 * of constants and sources, a model's runs in a header and back, the JSON Schema.
 */
#include "plan_text.h"

static struct rn_plan *read_with(const char *text, const char *file, const char *set,
				 const char *source)
{
	struct rn_plan *p = NULL;

	err = (struct rn_err){ 0 };
	if (rn_plan_from_spec(text, strlen(text), file, &set, set != NULL, &source, source != NULL,
			      &p, &err))
		return NULL;
	return p;
}

static struct rn_plan *read_spec(const char *text)
{
	return read_with(text, "m.json", NULL, NULL);
}

/* The plan as a spec, or the message. */
static const char *spec_text(const struct rn_plan *p)
{
	const char *s;
	json_t *j;

	if (rn_plan_to_spec(p, &j, &err))
		return err.msg;
	s = json_text(j);
	json_decref(j);
	return s;
}

/* ---- specs that are refused ------------------------------------------------------------- */

#define S "\"sources\": {\"p\": {\"from\": \"p.csv\"}}, "
#define STAGE(text) "{\"rn\": 1, " S "\"stages\": [" text "]}"
#define RUN(text)                                                                                  \
	"{\"rn\": 1, " S "\"stages\": [{\"name\": \"l\", \"op\": \"loss\", \"in\": \"p\", "        \
	"\"kind\": \"mse\", \"target\": \"y\"}], \"run\": [" text "]}"

static const struct {
	const char *text, *want;
} refused[] = {
	{ "[]", "m.json: a spec is an object, not an array" },
	{ "{}", "m.json: no \"rn\": 1: this is not a spec" },
	{ "{\"rn\": 2}", "m.json: /rn: version 2 of the spec format is unknown; this rn reads 1" },
	{ "{\"rn\": \"1\"}",
	  "m.json: /rn: version \"1\" of the spec format is unknown; this rn reads 1" },
	{ "{\"rn\": 1, \"rn\": 1}", "m.json:1:14: duplicate object key near '\"rn\"'" },
	{ "{\"rn\": 1} {}", "m.json:1:11: end of file expected near '{'" },
	{ "{\"rn\": 1,\n \"stages\": [\xfe]}", "m.json:2:12: unable to decode byte 0xfe" },
	{ "{\"rn\": 1, \"stage\": []}", "m.json: /stage: unknown key; did you mean 'stages'?" },
	{ "{\"rn\": 1, \"stages\": {}}", "m.json: /stages: must be an array" },
	{ "{\"rn\": 1, \"sources\": []}", "m.json: /sources: must be an object" },
	{ "{\"rn\": 1, \"run\": {}}", "m.json: /run: must be an array" },
	{ "{\"rn\": 1, \"constants\": []}", "m.json: /constants: must be an object" },
	{ "{\"rn\": 1, \"constants\": {\"a/b\": [1]}}",
	  "m.json: /constants/a~1b: a constant is a text, a number, true or false" },
	{ "{\"rn\": 1, \"constants\": {\"a\": \"${b}\", \"b\": 1}}",
	  "m.json: /constants/a: no constant 'b' (there is none)" },
	{ "{\"rn\": 1, \"sources\": {\"p\": \"p.csv\"}}",
	  "m.json: /sources/p: must be an object like {\"from\": \"FILE\"}" },
	{ "{\"rn\": 1, \"sources\": {\"p\": {}}}",
	  "m.json: /sources/p: \"from\" is missing: table file, folder, or pattern; - is standard "
	  "input" },
	{ "{\"rn\": 1, \"sources\": {\"a=b\": {\"from\": \"p.csv\"}}}",
	  "m.json: /sources/a=b: the name 'a=b' of a stage holds '=', '`' or a control character" },
	{ "{\"rn\": 1, \"sources\": {\"p\": {\"from\": \"p.csv\", \"in\": \"q\"}}}",
	  "m.json: /sources/p/in: scan takes no input" },
	{ "{\"rn\": 1, \"sources\": {\"p\": {\"from\": \"p.csv\", \"keys\": \"q\"}}}",
	  "m.json: /sources/p/keys: unknown key; did you mean 'key'?" },
	{ "{\"rn\": 1, \"sources\": {\"p\": {\"from\": \"${d}/p\"}}}",
	  "m.json: /sources/p/from: no constant 'd' (there is none)" },
	{ "{\"rn\": 1, \"constants\": {\"data\": 1}, \"sources\": {\"p\": {\"key\": [\"x\", "
	  "\"${dta}\"]}}}",
	  "m.json: /sources/p/key/1: no constant 'dta'; did you mean 'data'?" },
	{ "{\"rn\": 1, \"sources\": {\"p\": {\"from\": \"${d\"}}}",
	  "m.json: /sources/p/from: '${d' has no '}' (write $${ for a plain ${)" },

	{ STAGE("7"), "m.json: /stages/0: must be an object" },
	{ STAGE("{\"op\": \"map\"}"), "m.json: /stages/0: a stage needs a \"name\"" },
	{ STAGE("{\"name\": 1, \"op\": \"map\"}"), "m.json: /stages/0/name: must be a text" },
	{ STAGE("{\"name\": \"x\"}"), "m.json: /stages/0: a stage needs an \"op\"" },
	{ STAGE("{\"name\": \"x\", \"op\": \"liner\"}"),
	  "m.json: /stages/0/op: no operator 'liner'; did you mean 'linear'?" },
	{ STAGE("{\"name\": \"p\", \"op\": \"map\", \"in\": \"p\", \"expr\": \"z\"}"),
	  "m.json: /stages/0/name: two sources or stages are called 'p'" },
	{ STAGE("{\"name\": \"\", \"op\": \"map\", \"in\": \"p\", \"expr\": \"z\"}"),
	  "m.json: /stages/0: the name of a stage has 0 bytes; 1 to 255 are allowed" },
	{ STAGE("{\"name\": \"x\", \"op\": \"map\", \"expr\": \"z\"}"),
	  "m.json: /stages/0: map needs \"in\", the stage that it reads" },
	{ STAGE("{\"name\": \"x\", \"op\": \"map\", \"in\": 5, \"expr\": \"z\"}"),
	  "m.json: /stages/0/in: must be the name of a stage, not 5" },
	{ STAGE("{\"name\": \"x\", \"op\": \"map\", \"in\": \"paper\", \"expr\": \"z\"}"),
	  "m.json: /stages/0/in: no source or stage 'paper' (there are p, x)" },
	{ STAGE("{\"name\": \"hidden\", \"op\": \"map\", \"in\": \"hiden\", \"expr\": \"z\"}"),
	  "m.json: /stages/0/in: no source or stage 'hiden'; did you mean 'hidden'?" },
	{ STAGE("{\"name\": \"x\", \"op\": \"map\", \"in\": \"p\", \"exp\": \"z\"}"),
	  "m.json: /stages/0/exp: unknown key; did you mean 'expr'?" },
	{ STAGE("{\"name\": \"x\", \"op\": \"map\", \"in\": \"p\"}"),
	  "m.json: /stages/0: \"expr\" is missing: embedding expression over the parts and "
	  "[columns]" },
	{ STAGE("{\"name\": \"x\", \"op\": \"map\", \"in\": \"p\", \"expr\": false}"),
	  "m.json: /stages/0/expr: wants a text, not false" },
	{ STAGE("{\"name\": \"x\", \"op\": \"linear\", \"in\": \"p\", \"out\": \"7x\"}"),
	  "m.json: /stages/0/out: wants an integer, not \"7x\"" },
	{ STAGE("{\"name\": \"x\", \"op\": \"linear\", \"in\": \"p\", \"out\": 0}"),
	  "m.json: /stages/0: linear 'x': out must be between 1 and 16777216, not 0" },
	{ STAGE(
	      "{\"name\": \"x\", \"op\": \"join\", \"in\": [\"p\", \"p\"], \"on\": \"a\", \"how\": "
	      "\"outer\"}"),
	  "m.json: /stages/0/how: wants inner, left, full, semi or anti, not 'outer'" },
	{ STAGE("{\"name\": \"x\", \"op\": \"join\", \"in\": [\"p\"], \"on\": \"a\"}"),
	  "m.json: /stages/0: join takes 2 to 1024 inputs, not 1" },
	{ STAGE("{\"name\": \"x\", \"op\": \"map\", \"in\": [\"p\", \"p\"], \"expr\": \"z\"}"),
	  "m.json: /stages/0: map takes 1 input, not 2" },
	{ STAGE("{\"name\": \"x\", \"op\": \"scan\", \"in\": \"p\", \"from\": \"q.csv\"}"),
	  "m.json: /stages/0/in: scan takes no input" },
	{ STAGE(
	      "{\"name\": \"x\", \"op\": \"agg\", \"in\": \"p\", \"by\": \"a\", \"keys\": \"q\"}"),
	  "m.json: /stages/0/keys: no source or stage 'q' (there are p, x)" },
	{ STAGE("{\"name\": \"x\", \"op\": \"agg\", \"in\": \"p\", \"cols\": [\"a\", \"a=1\"]}"),
	  "m.json: /stages/0/cols: names 'a' twice" },
	{ STAGE("{\"name\": \"a\", \"op\": \"union\", \"in\": [\"p\", \"b\"]},"
		"{\"name\": \"b\", \"op\": \"union\", \"in\": [\"c\"]},"
		"{\"name\": \"c\", \"op\": \"union\", \"in\": [\"p\", \"b\"]}"),
	  "m.json: /stages/1: stages form a cycle: 'b' reads 'c' reads 'b'" },
	{ STAGE("{\"name\": \"a\", \"op\": \"union\", \"in\": [\"a\"]}"),
	  "m.json: /stages/0: stages form a cycle: 'a' reads 'a'" },

	{ RUN("7"), "m.json: /run/0: must be an object with one key, fit, val, eval or pred" },
	{ RUN("{\"fit\": {\"loss\": \"l\"}, \"val\": {}}"),
	  "m.json: /run/0: must be an object with one key, fit, val, eval or pred" },
	{ RUN("{\"train\": {}}"),
	  "m.json: /run/0/train: no run 'train' (there are fit, val, eval, pred)" },
	{ RUN("{\"fit\": 1}"), "m.json: /run/0/fit: must be an object" },
	{ RUN("{\"fit\": {}}"), "m.json: /run/0/fit: \"loss\" is missing: the loss to minimise" },
	{ RUN("{\"fit\": {\"loss\": \"loss\"}}"),
	  "m.json: /run/0/fit/loss: no source or stage 'loss' (there are p, l)" },
	{ RUN("{\"fit\": {\"loss\": \"l\", \"epoch\": 3}}"),
	  "m.json: /run/0/fit/epoch: unknown key; did you mean 'epochs'?" },
	{ RUN("{\"fit\": {\"loss\": \"l\", \"epochs\": 0}}"),
	  "m.json: /run/0/fit: epochs must be between 1 and 2147483647, not 0" },
	{ RUN("{\"fit\": {\"loss\": \"l\", \"lr\": 0}}"),
	  "m.json: /run/0/fit: lr must be above 0, not 0" },
	{ RUN("{\"fit\": {\"loss\": \"l\", \"beta1\": 1}}"),
	  "m.json: /run/0/fit: beta1 must be at least 0 and below 1, not 1" },
	{ RUN("{\"fit\": {\"loss\": \"l\", \"weight_decay\": -1}}"),
	  "m.json: /run/0/fit: weight-decay must not be below 0, not -1" },
	{ RUN("{\"fit\": {\"loss\": \"l\", \"weight_decay\": 1, \"weight-decay\": 1}}"),
	  "m.json: /run/0/fit/weight-decay: given twice, with - and with _" },
	{ RUN("{\"fit\": {\"loss\": \"l\", \"decay\": {\"h1*\": \"much\"}}}"),
	  "m.json: /run/0/fit: decay of 'h1*' must be a number not below 0, not 'much'" },
	{ RUN("{\"val\": {\"in\": \"p\", \"metric\": \"acuracy\", \"target\": \"y\"}}"),
	  "m.json: /run/0/val: there is no metric 'acuracy'; did you mean 'accuracy'?" },
	{ RUN("{\"val\": {\"in\": \"p\", \"metric\": \"hits@0\", \"target\": \"y\"}}"),
	  "m.json: /run/0/val: metric 'hits@0' wants a rank: hits@K with K from 1 on, as in hits@10" },
	{ RUN("{\"val\": {\"in\": \"p\", \"metric\": \"map\", \"target\": \"y\"}}"),
	  "m.json: /run/0/val: metric 'map' wants a rank: map@K with K from 1 on, as in map@10" },
	{ RUN("{\"val\": {\"in\": \"p\", \"metric\": \"mapped\", \"target\": \"y\"}}"),
	  "m.json: /run/0/val: there is no metric 'mapped': there are accuracy, f1 (f1_macro), "
	  "f1_micro, f1_binary, roc_auc, average_precision, hits@K, mrr, map@K, mae, rmse and r2" },
	{ RUN("{\"val\": {\"in\": \"p\", \"metric\": \"mae\"}}"),
	  "m.json: /run/0/val: \"target\" is missing: column of the true values" },
	{ RUN("{\"pred\": {\"name\": \"a\", \"in\": \"p\"}}, {\"pred\": {\"name\": \"a\", \"in\": "
	      "\"p\"}}"),
	  "m.json: /run/1/pred: two runs 'pred' are called 'a'" },
};

static void test_refused(void)
{
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		struct rn_plan *p = read_spec(refused[i].text);

		T_OK(!p && err.code == RN_EUSAGE && same(err.msg, refused[i].want), "%s",
		     refused[i].want);
		rn_plan_free(p);
	}
}

static void test_depth(void)
{
	char text[4096] = "{\"rn\": 1, \"sources\": {\"p\": {\"from\": ";
	size_t n = strlen(text);
	struct rn_plan *p;

	memset(text + n, '[', 1000);
	memset(text + n + 1000, ']', 1000);
	strcpy(text + n + 2000, "}}}");
	p = read_spec(text);
	T_OK(!p && strstr(err.msg, ": nested more than 32 deep"), "nested too deep");
	rn_plan_free(p);
}

/* ---- specs that are read ------------------------------------------------------------------- */

static const char model[] =
    "{\"rn\": 1, \"constants\": {\"base\": \"in\", \"data\": \"${base}/cora\", \"hidden\": 16, "
    "\"on\": false},\n"
    " \"sources\": {\"paper\": {\"from\": \"${data}/paper.csv\", \"key\": \"id\"},\n"
    "             \"cites\": {\"from\": \"/abs/cites.csv.zst\"}},\n"
    " \"stages\": [\n"
    "  {\"name\": \"h1\", \"op\": \"linear\", \"in\": \"x\", \"out\": \"${hidden}\", \"bias\": "
    "\"${on}\"},\n"
    "  {\"name\": \"x\", \"op\": \"encode\", \"in\": \"paper\", \"expr\": \"index(id, "
    "${hidden}0)\"},\n"
    "  {\"name\": \"s\", \"op\": \"agg\", \"keys\": \"paper\", \"in\": \"h1\", \"by\": [\"id\"], "
    "\"expr\": \"sum(z)\"},\n"
    "  {\"name\": \"e\", \"op\": \"join\", \"in\": [\"s\", {\"t\": \"cites\"}], \"on\": {\"id\": "
    "\"src\"}},\n"
    "  {\"name\": \"f\", \"op\": \"join\", \"in\": {\"l\": \"e\", \"r\": \"paper\"}, \"on\": "
    "[\"id\"]},\n"
    "  {\"name\": \"g\", \"op\": \"filter\", \"in\": [\"f\"], \"expr\": \"a = '$${x}'\"},\n"
    "  {\"name\": \"unused\", \"op\": \"union\", \"in\": [\"cites\"]},\n"
    "  {\"name\": \"loss\", \"op\": \"loss\", \"in\": \"g\", \"kind\": \"cross-entropy\", "
    "\"target\": \"y\"}],\n"
    " \"run\": [{\"fit\": {\"loss\": \"loss\", \"weight_decay\": 1, \"decay\": {\"h1*\": 5e-4}}},\n"
    "  {\"eval\": {\"name\": \"test\", \"in\": \"g\", \"metric\": \"accuracy\", \"target\": "
    "\"y\"}},\n"
    "  {\"pred\": {\"name\": \"all\", \"in\": \"g\", \"to\": \"p.csv\"}}]}";

static const char canonical[] =
    "{\"rn\":1,\"sources\":{\"paper\":{\"from\":\"dir/in/cora/paper.csv\",\"key\":[\"id\"]},"
    "\"cites\":{\"from\":\"/abs/cites.csv.zst\"}},\"stages\":["
    "{\"name\":\"x\",\"op\":\"encode\",\"in\":\"paper\",\"expr\":\"index(id, 160)\"},"
    "{\"name\":\"h1\",\"op\":\"linear\",\"in\":\"x\",\"out\":16,\"bias\":false},"
    "{\"name\":\"s\",\"op\":\"agg\",\"in\":\"h1\",\"expr\":\"sum(z)\",\"by\":[\"id\"],\"keys\":"
    "\"paper\"},"
    "{\"name\":\"e\",\"op\":\"join\",\"in\":[\"s\",{\"t\":\"cites\"}],\"on\":{\"id\":\"src\"}},"
    "{\"name\":\"f\",\"op\":\"join\",\"in\":{\"l\":\"e\",\"r\":\"paper\"},\"on\":[\"id\"]},"
    "{\"name\":\"g\",\"op\":\"filter\",\"in\":\"f\",\"expr\":\"a = '$${x}'\"},"
    "{\"name\":\"loss\",\"op\":\"loss\",\"in\":\"g\",\"kind\":\"cross-entropy\",\"target\":\"y\"}],"
    "\"run\":[{\"fit\":{\"loss\":\"loss\",\"weight-decay\":1.0,\"decay\":{\"h1*\":0.0005}}},"
    "{\"eval\":{\"name\":\"test\",\"in\":\"g\",\"metric\":\"accuracy\",\"target\":\"y\"}},"
    "{\"pred\":{\"name\":\"all\",\"in\":\"g\",\"to\":\"p.csv\"}}]}";

static const char explained[] = "paper = scan dir/in/cora/paper.csv --key id\n"
				"x     = encode(paper) 'index(id, 160)'\n"
				"h1    = linear(x) 16 --no-bias\n"
				"s     = agg(h1, keys: paper) 'sum(z)' --by id\n"
				"cites = scan /abs/cites.csv.zst\n"
				"e     = join(s, t=cites) --on id=src\n"
				"f     = join(l=e, r=paper) --on id\n"
				"g     = filter(f) 'a = '\\''${x}'\\'''\n"
				"loss  = loss(g) cross-entropy --target y  7 rows\n"
				"fit(loss) --weight-decay 1 --decay 'h1*=0.0005'\n"
				"eval(g) --name test --metric accuracy --target y\n"
				"pred(g) --name all --to p.csv\n";

static void test_model(void)
{
	struct rn_plan *p = read_with(model, "dir/m.json", NULL, NULL), *again;
	struct rn_str s = RN_STR_INIT;
	uint64_t rows[9];
	char *text;

	if (!T_OK(p, "the model is read: %s", err.msg))
		return;
	T_OK(p->dir && !strcmp(p->dir, "dir") && p->nnodes == 10, "ten stages, folder of the file");
	T_OK(json_integer_value(json_object_get(p->constants, "hidden")) == 16,
	     "constants are kept");
	T_CALL(rn_plan_canonical(p, NULL, &err), &err);
	T_OK(p->nnodes == 9 && rn_plan_find(p, "unused") < 0, "what no run needs is dropped");
	T_OK(same(spec_text(p), canonical), "canonical spec");
	T_OK(rn_run_int(&p->runs[0], "epochs") == 200 &&
		 rn_run_number(&p->runs[0], "weight-decay") == 1 &&
		 !strcmp(rn_run_string(&p->runs[0], "optimizer"), "adam") &&
		 json_object_size(rn_run_json(&p->runs[0], "decay")) == 1,
	     "options of a run");

	text = strdup(canonical);
	again = read_spec(text);
	if (T_OK(again, "it is read again: %s", err.msg)) {
		T_CALL(rn_plan_canonical(again, NULL, &err), &err);
		T_OK(same(spec_text(again), canonical), "and is the same");
	}
	rn_plan_free(again);
	free(text);

	for (int i = 0; i < 9; i++)
		rows[i] = i == 8 ? 7 : UINT64_MAX;
	T_CALL(rn_plan_explain(p, NULL, rows, &s, &err), &err);
	T_OK(same(s.s, explained), "explained");
	rn_str_fini(&s);
	rn_plan_free(p);
}

/* The canonical text with overrides, or the message. */
static const char *with(const char *set, const char *source)
{
	struct rn_plan *p = read_with("{\"rn\": 1, \"constants\": {\"d\": \"in\", \"n\": 2, \"e\": "
				      "\"${d}/${n}\"}, \"sources\": {\"a\": {\"from\": "
				      "\"${e}.csv\"}, \"b\": {\"from\": \"b.csv\"}}, \"stages\": "
				      "[{\"name\": \"l\", \"op\": \"linear\", \"in\": \"a\", "
				      "\"out\": \"${n}\"}, {\"name\": \"u\", \"op\": \"union\", "
				      "\"in\": [\"l\", \"b\"]}]}",
				      "m.json", set, source);
	const char *s;

	if (!p)
		return err.msg;
	s = rn_plan_canonical(p, NULL, &err) ? err.msg : spec_text(p);
	rn_plan_free(p);
	return s;
}

static void test_overrides(void)
{
#define WANT(a, b, n)                                                                              \
	"{\"rn\":1,\"sources\":{\"a\":{\"from\":\"" a "\"},\"b\":{\"from\":\"" b                   \
	"\"}},\"stages\":["                                                                        \
	"{\"name\":\"l\",\"op\":\"linear\",\"in\":\"a\",\"out\":" n "},"                           \
	"{\"name\":\"u\",\"op\":\"union\",\"in\":[\"l\",\"b\"]}],\"run\":[]}"
	static const struct {
		const char *set, *source, *want;
	} rows[] = {
		{ NULL, NULL, WANT("in/2.csv", "b.csv", "2") },
		{ "n=5", NULL, WANT("in/5.csv", "b.csv", "5") },
		{ "d=/x y", NULL, WANT("/x y/2.csv", "b.csv", "2") },
		{ "n=five", NULL, "m.json: /stages/0/out: wants an integer, not \"five\"" },
		{ "n=1.5", NULL, "m.json: /stages/0/out: wants an integer, not 1.5" },
		{ "e=${d}", NULL, WANT("${d}.csv", "b.csv", "2") },
		{ "m=5", NULL, "--set m=5: no constant 'm' (there are d, n, e)" },
		{ "5", NULL, "--set wants NAME=VALUE, not '5'" },
		{ "=5", NULL, "--set wants NAME=VALUE, not '=5'" },
		{ NULL, "b=-", WANT("in/2.csv", "-", "2") },
		{ NULL, "a=x=1.csv", WANT("x=1.csv", "b.csv", "2") },
		{ NULL, "c=x", "--source c: the plan has no such source (there are a, b)" },
		{ NULL, "l=x", "--source l: the plan has no such source (there are a, b)" },
		{ NULL, "b=", "--source wants NAME=FILE, not 'b='" },
		{ NULL, "b", "--source wants NAME=FILE, not 'b'" },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		T_OK(i == 5 ? strstr(with(rows[i].set, NULL), "\"$${d}.csv\"") != NULL
			    : same(with(rows[i].set, rows[i].source), rows[i].want),
		     "%s %s", rows[i].set ? rows[i].set : "", rows[i].source ? rows[i].source : "");
}

static void test_absolute_source(void)
{
	struct rn_plan *p = read_with("{\"rn\": 1, \"sources\": {\"a\": {\"from\": \"a.csv\"}}}",
				      "sub/m.json", NULL, "a=here.csv");
	const char *from = p ? rn_node_string(&p->nodes[0], "from") : "";
	size_t n = strlen(from);

	T_OK(from[0] == '/' && n > 9 && !strcmp(from + n - 9, "/here.csv"),
	     "a source given on the command line is relative to the cwd: %s", from);
	rn_plan_free(p);
}

/* Runs travel too: a model file keeps the whole plan. */
static void test_header_runs(void)
{
	struct rn_plan *p = read_with(model, "dir/m.json", NULL, NULL), *q;
	uint32_t out = 0;
	json_t *j = NULL;

	T_CALL(rn_plan_canonical(p, &out, &err), &err);
	T_CALL(rn_plan_to_header(p, out, NULL, &j, &err), &err);
	T_CALL(rn_plan_new(&q, &err), &err);
	T_CALL(rn_plan_from_header(q, j, &out, NULL, 0, &err), &err);
	T_OK(same(spec_text(q), canonical), "a header with runs is the same plan");
	rn_plan_free(q);
	rn_plan_free(p);
	json_decref(j);
}

static void test_schema(void)
{
	json_t *s = NULL, *stages;
	bool all = true;

	T_CALL(rn_plan_schema(&s, &err), &err);
	stages = json_object_get(json_object_get(json_object_get(s, "$defs"), "stage"), "oneOf");
	T_OK(json_array_size(stages) == rn_op_count, "every operator is in the schema");
	for (size_t i = 0; i < rn_op_count; i++) {
		const json_t *t = json_array_get(stages, i);
		size_t rows = json_object_size(json_object_get(t, "properties")) +
			      json_object_size(json_object_get(t, "patternProperties"));

		all &= rows == rn_op_table[i]->nopts + 2 + (rn_op_table[i]->max_in > 0);
	}
	T_OK(all, "with every option");
	json_decref(s);
}

int main(void)
{
	test_refused();
	test_depth();
	test_model();
	test_overrides();
	test_absolute_source();
	test_header_runs();
	test_schema();
	return t_done();
}
