/* SPDX-License-Identifier: Apache-2.0
 *
 * Plans: specs that are read and refused, round trips of specs and headers, names
 * and merging, sources and constants from the command line, inference, text.
 */
#include "t.h"

#include "../../lib/base/json.h"
#include "../../lib/plan/plan.h"

#define NONE UINT32_MAX

static struct rn_err err;

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

/* The plan as a spec on one line (static buffer), or the message. */
static const char *spec_text(const struct rn_plan *p)
{
	static char buf[1 << 14];
	struct rn_str s = RN_STR_INIT;
	json_t *j;

	if (rn_plan_to_spec(p, &j, &err))
		return err.msg;
	rn_json_print(j, RN_JSON_COMPACT, &s);
	snprintf(buf, sizeof buf, "%s", s.s);
	rn_str_fini(&s);
	json_decref(j);
	return buf;
}

static const char *json_text(const json_t *j)
{
	static char buf[1 << 14];
	struct rn_str s = RN_STR_INIT;

	rn_json_print(j, RN_JSON_COMPACT, &s);
	snprintf(buf, sizeof buf, "%s", s.s);
	rn_str_fini(&s);
	return buf;
}

static int same(const char *got, const char *want)
{
	if (!strcmp(got, want))
		return 1;
	printf("# got  %s\n# want %s\n", got, want);
	return 0;
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
	{ RUN("{\"val\": {\"in\": \"p\", \"metric\": \"acc\", \"target\": \"y\"}}"),
	  "m.json: /run/0/val: there is no metric 'acc': there are accuracy, f1 (f1_macro), f1_micro, "
	  "f1_binary, roc_auc, average_precision, hits@K, mrr, map@K, mae and rmse" },
	{ RUN("{\"val\": {\"in\": \"p\", \"metric\": \"hits@0\", \"target\": \"y\"}}"),
	  "m.json: /run/0/val: there is no metric 'hits@0': there are accuracy, f1 (f1_macro), "
	  "f1_micro, f1_binary, roc_auc, average_precision, hits@K, mrr, map@K, mae and rmse" },
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

/* ---- names ------------------------------------------------------------------------------------
 */

/* "op NAME in,in opts" in a table of nodes: what a pipeline would make. */
struct row {
	const char *op, *name, *id, *opt;
	int in[3]; /* 1-based; 0 ends */
};

static struct rn_plan *build(const struct row *rows, size_t n)
{
	struct rn_plan *p = NULL;

	T_CALL(rn_plan_new(&p, &err), &err);
	for (size_t i = 0; i < n && rows[i].op; i++) {
		json_t *opt = json_loads(rows[i].opt ? rows[i].opt : "{}", 0, NULL);
		uint32_t node;

		if (rn_plan_add(p, rn_op_find(rows[i].op), rows[i].name, rows[i].id, opt, &node,
				&err)) {
			T_OK(0, "build: %s", err.msg);
			break;
		}
		for (int k = 0; k < 3 && rows[i].in[k]; k++)
			T_CALL(rn_plan_add_input(p, node, NULL, NULL, (uint32_t)rows[i].in[k] - 1,
						 &err),
			       &err);
	}
	return p;
}

#define SCAN(file) "{\"from\": \"" file "\"}"
#define LINEAR(n) "{\"out\": " #n "}"

static const struct {
	const char *what;
	struct row rows[8];
	const char *want; /* names in order, or the message */
} namings[] = {
	{ "stems, ops and ordinals",
	  { { "scan", NULL, NULL, SCAN("d/has_word.v2.csv.zst"), { 0 } },
	    { "linear", NULL, NULL, LINEAR(4), { 1 } },
	    { "map", "m", NULL, "{\"expr\": \"z\"}", { 2 } },
	    { "linear", NULL, NULL, LINEAR(5), { 3 } },
	    { "scan", NULL, NULL, SCAN("-"), { 0 } },
	    { "union", NULL, NULL, NULL, { 4, 5 } } },
	  "has_word.v2 linear1 m linear2 scan2 union1" },
	{ "what nothing needs is dropped, the order is post-order",
	  { { "scan", "b", NULL, SCAN("b"), { 0 } },
	    { "scan", "a", NULL, SCAN("a"), { 0 } },
	    { "scan", "c", NULL, SCAN("c"), { 0 } },
	    { "union", "u", NULL, NULL, { 2, 1 } } },
	  "a b u" },
	{ "equal sources are one",
	  { { "scan", NULL, "00000000000000aa", SCAN("x/p.csv"), { 0 } },
	    { "scan", NULL, "00000000000000bb", SCAN("x/p.csv"), { 0 } },
	    { "filter", "f", NULL, "{\"expr\": \"a\"}", { 1 } },
	    { "filter", "f", NULL, "{\"expr\": \"a\"}", { 2 } },
	    { "union", NULL, NULL, NULL, { 3, 4 } } },
	  "p f union1" },
	{ "sources of one stem",
	  { { "scan", NULL, NULL, SCAN("x/p.csv"), { 0 } },
	    { "scan", NULL, NULL, SCAN("y/p.csv"), { 0 } },
	    { "union", NULL, NULL, NULL, { 1, 2 } } },
	  "two stages are called 'p' (scan x/p.csv, and scan y/p.csv): give one another --name" },
	{ "one name, other inputs",
	  { { "scan", "a", NULL, SCAN("a"), { 0 } },
	    { "scan", "b", NULL, SCAN("b"), { 0 } },
	    { "filter", "f", NULL, "{\"expr\": \"x\"}", { 1 } },
	    { "filter", "f", NULL, "{\"expr\": \"x\"}", { 2 } },
	    { "union", NULL, NULL, NULL, { 3, 4 } } },
	  "two stages are called 'f' (filter x, and filter x of another input): give one another "
	  "--name" },
	{ "one name, parameters",
	  { { "scan", "a", NULL, SCAN("a"), { 0 } },
	    { "linear", "h", NULL, LINEAR(4), { 1 } },
	    { "linear", "h", NULL, LINEAR(4), { 1 } },
	    { "union", NULL, NULL, NULL, { 2, 3 } } },
	  "two stages 'h' are equal but separate (linear 4): give each a name of its own" },
	{ "no name, parameters",
	  { { "scan", "a", NULL, SCAN("a"), { 0 } },
	    { "linear", NULL, "00000000000000aa", LINEAR(4), { 1 } },
	    { "linear", NULL, "00000000000000bb", LINEAR(4), { 1 } },
	    { "union", NULL, NULL, NULL, { 2, 3 } } },
	  "two stages 'linear' are equal but separate: give each a --name, or use one for both "
	  "(tee, "
	  "or a file read twice)" },
	{ "no name, randomness",
	  { { "scan", "a", NULL, SCAN("a"), { 0 } },
	    { "map", NULL, NULL, "{\"expr\": \"Dropout(0.5)(z)\"}", { 1 } },
	    { "map", NULL, NULL, "{\"expr\": \"Dropout(0.5)(z)\"}", { 1 } },
	    { "union", NULL, NULL, NULL, { 2, 3 } } },
	  "two stages 'map' are equal but separate: give each a --name, or use one for both (tee, "
	  "or a file read twice)" },
	{ "no name, nothing learned",
	  { { "scan", "a", NULL, SCAN("a"), { 0 } },
	    { "map", NULL, NULL, "{\"expr\": \"z\"}", { 1 } },
	    { "map", NULL, NULL, "{\"expr\": \"z\"}", { 1 } },
	    { "union", NULL, NULL, NULL, { 2, 3 } } },
	  "a map1 map2 union1" },
	{ "a name that an ordinal would take",
	  { { "scan", "a", NULL, SCAN("a"), { 0 } },
	    { "linear", "linear2", NULL, LINEAR(4), { 1 } },
	    { "linear", NULL, NULL, LINEAR(5), { 2 } } },
	  "a stage without a name would be 'linear2', which another is called: give it a --name" },
};

static const char *names(const struct rn_plan *p)
{
	static char buf[1024];
	size_t n = 0;

	buf[0] = '\0';
	for (uint32_t i = 0; i < p->nnodes; i++)
		n += (size_t)snprintf(buf + n, sizeof buf - n, "%s%s", i ? " " : "",
				      p->nodes[i].name ? p->nodes[i].name : "?");
	return buf;
}

static void test_names(void)
{
	for (size_t i = 0; i < sizeof namings / sizeof *namings; i++) {
		struct rn_plan *p = build(namings[i].rows, 8);
		uint32_t out = p->nnodes - 1, before = p->nnodes;
		int rc = rn_plan_canonical(p, &out, &err);

		T_OK(same(rc ? err.msg : names(p), namings[i].want), "%s", namings[i].what);
		if (rc)
			T_OK(rc == RN_EUSAGE && p->nnodes == before && p->nodes[0].op,
			     "  and the plan is as before");
		else
			T_OK(out == p->nnodes - 1 && !p->nodes[0].id, "  output and ids");
		rn_plan_free(p);
	}
}

static void test_inputs(void)
{
	static const struct row rows[] = {
		{ "scan", "a", NULL, SCAN("a"), { 0 } },
		{ "agg", "g", NULL, "{\"by\": [\"x\"]}", { 0 } },
	};
	struct rn_plan *p = build(rows, 2);
	bool deferred[2];

	T_CALL(rn_plan_add_input(p, 1, NULL, "keys", 0, &err), &err);
	T_CALL(rn_plan_add_input(p, 1, "a", NULL, 0, &err), &err);
	T_OK(!p->nodes[1].in[0].opt && p->nodes[1].in[1].opt &&
		 rn_node_input(&p->nodes[1], "keys") == 1,
	     "operands stand before inputs that are options");
	T_OK(rn_plan_add_input(p, 1, NULL, "keys", 0, &err) == RN_EUSAGE &&
		 same(err.msg, "--keys is given twice"),
	     "an input option twice");
	T_OK(rn_plan_add_input(p, 1, NULL, "by", 0, &err) == RN_EUSAGE &&
		 same(err.msg, "agg has no input option 'by'"),
	     "no input option");
	T_OK(rn_plan_add_input(p, 0, NULL, NULL, 0, &err) == RN_EBUG, "not the last node");
	T_CALL(rn_plan_canonical(p, NULL, &err), &err);
	T_OK(!p->nodes[1].in[0].as, "a name that is the input's own is dropped");
	rn_plan_deferred(p, deferred);
	T_OK(!deferred[0] && !deferred[1], "nothing is deferred");
	rn_plan_free(p);
}

/* ---- headers
 * ------------------------------------------------------------------------------------- */

static void test_header(void)
{
	static const struct row rows[] = {
		{ "scan", NULL, "00000000000000aa", SCAN("a.csv"), { 0 } },
		{ "scan", "unused", NULL, SCAN("b.csv"), { 0 } },
		{ "linear", NULL, "00000000000000bb", LINEAR(4), { 1 } },
		{ "join", "j", "00000000000000cc", "{\"on\": {\"x\": \"x\"}}", { 3 } },
	};
	static const char want[] =
	    "{\"nodes\":[{\"op\":\"scan\",\"id\":\"00000000000000aa\",\"opt\":{\"from\":"
	    "\"dir/a.csv\"},\"section\":1},"
	    "{\"op\":\"linear\",\"id\":\"00000000000000bb\",\"opt\":{\"out\":4},\"in\":[0]},"
	    "{\"op\":\"join\",\"name\":\"j\",\"id\":\"00000000000000cc\",\"opt\":{\"on\":{\"x\":"
	    "\"x\"}},\"in\":[1,{\"node\":0,\"as\":\"t\"}]}],\"out\":2}";
	struct rn_plan *p = build(rows, 4), *q;
	uint32_t section[4] = { 1, NONE, NONE, NONE }, node_of[3], out;
	json_t *j = NULL, *again;

	T_CALL(rn_plan_add_input(p, 3, "t", NULL, 0, &err), &err);
	p->dir = strdup("dir");
	T_CALL(rn_plan_to_header(p, 3, section, &j, &err), &err);
	T_OK(same(json_text(j), want), "header");

	T_CALL(rn_plan_new(&q, &err), &err);
	T_CALL(rn_plan_from_header(q, j, &out, node_of, 3, &err), &err);
	T_OK(out == 2 && q->nnodes == 3 && node_of[0] == NONE && node_of[1] == 0 &&
		 node_of[2] == NONE,
	     "nodes, output and sections");
	T_CALL(rn_plan_to_header(q, 2, (uint32_t[]){ 1, NONE, NONE }, &again, &err), &err);
	T_OK(rn_json_equal(j, again), "read and written it is the same");
	json_decref(again);

	T_CALL(rn_plan_from_header(q, j, &out, node_of, 3, &err), &err);
	T_OK(out == 2 && q->nnodes == 3, "equal ids are one node");
	rn_plan_free(q);
	json_decref(j);
	rn_plan_free(p);
}

/* Two branches of one stage, as two streams of a diamond bring them. */
static void test_diamond(void)
{
#define ROOT                                                                                       \
	"{\"op\":\"scan\",\"id\":\"00000000000000aa\",\"opt\":{\"from\":\"a.csv\"}},"              \
	"{\"op\":\"linear\",\"id\":\"00000000000000bb\",\"opt\":{\"out\":4},\"in\":[0]}"
	static const char *const streams[] = {
		"{\"nodes\":[" ROOT
		",{\"op\":\"filter\",\"id\":\"00000000000000cc\",\"opt\":{\"expr\":"
		"\"x\"},\"in\":[1]}],\"out\":2}",
		"{\"nodes\":[" ROOT
		",{\"op\":\"filter\",\"id\":\"00000000000000dd\",\"opt\":{\"expr\":"
		"\"y\"},\"in\":[1]}],\"out\":2}",
	};
	struct rn_plan *p;
	uint32_t out[2], join;

	T_CALL(rn_plan_new(&p, &err), &err);
	for (int i = 0; i < 2; i++) {
		json_t *j = json_loads(streams[i], 0, NULL);

		T_CALL(rn_plan_from_header(p, j, &out[i], NULL, 0, &err), &err);
		json_decref(j);
	}
	T_CALL(rn_plan_add(p, rn_op_find("union"), NULL, NULL, NULL, &join, &err), &err);
	T_CALL(rn_plan_add_input(p, join, NULL, NULL, out[0], &err), &err);
	T_CALL(rn_plan_add_input(p, join, NULL, NULL, out[1], &err), &err);
	T_CALL(rn_plan_canonical(p, &join, &err), &err);
	T_OK(same(names(p), "a linear1 filter1 filter2 union1"), "a diamond has one linear");
	rn_plan_free(p);
}

static const struct {
	const char *json, *want;
} damaged[] = {
	{ "[]", "it is no object of nodes and runs" },
	{ "{\"out\": 0}", "it is no object of nodes and runs" },
	{ "{\"nodes\": [], \"out\": 0}", "it has 0 stages; 1 to 65536 are allowed" },
	{ "{\"nodes\": [7], \"out\": 0}", "stage 0: it must be an object" },
	{ "{\"nodes\": [{\"op\": \"frob\"}], \"out\": 0}",
	  "stage 0: this rn has no operator 'frob'" },
	{ "{\"nodes\": [{}], \"out\": 0}", "stage 0: this rn has no operator ''" },
	{ "{\"nodes\": [{\"op\": 1}], \"out\": 0}", "stage 0: \"op\" must be a text" },
	{ "{\"nodes\": [{\"op\": \"union\", \"x\": 1}], \"out\": 0}", "stage 0: unknown key 'x'" },
	{ "{\"nodes\": [" ROOT "], \"out\": 2}", "\"out\" must be a number below 2, not 2" },
	{ "{\"nodes\": [" ROOT "]}", "\"out\" must be a number below 2, not missing" },
	{ "{\"nodes\": [" ROOT "], \"out\": -1}", "\"out\" must be a number below 2, not -1" },
	{ "{\"nodes\": [" ROOT ", {\"op\": \"union\", \"in\": [2]}], \"out\": 0}",
	  "stage 2: \"in\" must be a number below 2, not 2" },
	{ "{\"nodes\": [" ROOT ", {\"op\": \"union\", \"in\": [{\"as\": \"x\"}]}], \"out\": 0}",
	  "stage 2: \"in\" must be a number below 2, not missing" },
	{ "{\"nodes\": [" ROOT ", {\"op\": \"union\", \"in\": 0}], \"out\": 0}",
	  "stage 2: \"in\" must be an array" },
	{ "{\"nodes\": [" ROOT ", {\"op\": \"union\", \"in\": [{\"node\": 0, \"opt\": \"q\"}]}]}",
	  "stage 2: union has no input option 'q'" },
	{ "{\"nodes\": [" ROOT ", {\"op\": \"union\"}], \"out\": 0}",
	  "stage 2: union takes 1 to 1024 inputs, not 0" },
	{ "{\"nodes\": [{\"op\": \"scan\", \"opt\": {\"frm\": \"x\"}}], \"out\": 0}",
	  "stage 0: unknown option 'frm'" },
	{ "{\"nodes\": [{\"op\": \"scan\", \"opt\": []}], \"out\": 0}",
	  "stage 0: \"opt\" must be an object" },
	{ "{\"nodes\": [{\"op\": \"scan\"}], \"out\": 0}",
	  "stage 0: FILE is missing: table file, folder, or pattern; - is standard input (the "
	  "first "
	  "operand, or --from FILE)" },
	{ "{\"nodes\": [" ROOT ", {\"op\": \"linear\", \"opt\": {\"out\": \"x\"}, \"in\": [0]}]}",
	  "stage 2: out: wants an integer, not \"x\"" },
	{ "{\"nodes\": [" ROOT ", {\"op\": \"linear\", \"opt\": {\"out\": 0}, \"in\": [0]}]}",
	  "stage 2: out must be between 1 and 16777216, not 0" },
	{ "{\"nodes\": [" ROOT ", {\"op\": \"scan\", \"id\": \"1\", \"opt\": {\"from\": \"x\"}}]}",
	  "stage 2: '1' is no stage id (16 hexadecimal digits)" },
	{ "{\"nodes\": [" ROOT
	  ", {\"op\": \"scan\", \"id\": \"00000000000000aa\", \"opt\": {\"from\": "
	  "\"x\"}}]}",
	  "stage 2: two different stages have the id 00000000000000aa" },
	{ "{\"nodes\": [" ROOT ", {\"op\": \"scan\", \"name\": \"\", \"opt\": {\"from\": \"x\"}}]}",
	  "stage 2: the name of a stage has 0 bytes; 1 to 255 are allowed" },
	{ "{\"nodes\": [" ROOT ", {\"op\": \"scan\", \"opt\": {\"from\": \"x\"}, \"section\": 2}]}",
	  "stage 2: \"section\" must be a number below 2, not 2" },
	{ "{\"nodes\": [{\"op\": \"scan\", \"opt\": {\"from\": \"x\"}, \"section\": 1}, {\"op\": "
	  "\"scan\", "
	  "\"opt\": {\"from\": \"x\"}, \"section\": 1}]}",
	  "stage 1: section 1 carries two stages" },
	{ "{\"nodes\": [" ROOT "], \"out\": 0, \"runs\": [{\"kind\": \"fly\", \"node\": 0}]}",
	  "run 0: no run 'fly'" },
	{ "{\"nodes\": [" ROOT "], \"out\": 0, \"runs\": [{\"kind\": \"fit\", \"node\": 5}]}",
	  "run 0: \"node\" must be a number below 2, not 5" },
	{ "{\"nodes\": [" ROOT
	  "], \"out\": 0, \"runs\": [{\"kind\": \"fit\", \"node\": 1, \"opt\": "
	  "{\"lr\": -1}}]}",
	  "run 0: lr must be above 0, not -1" },
};

static void test_damaged(void)
{
	for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
		json_t *j = json_loads(damaged[i].json, 0, NULL);
		uint32_t out, node_of[2];
		struct rn_plan *p;
		char want[512];
		int rc;

		T_CALL(rn_plan_new(&p, &err), &err);
		snprintf(want, sizeof want, "the stream's plan is damaged: %s", damaged[i].want);
		rc = rn_plan_from_header(p, j, &out, node_of, 2, &err);
		T_OK(rc == RN_EDATA && same(err.msg, want), "%s", damaged[i].want);
		rn_plan_free(p);
		json_decref(j);
	}
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

/* ---- the rest
 * ---------------------------------------------------------------------------------------- */

static void test_infer(void)
{
	static const struct row rows[] = {
		{ "scan", "p", NULL, SCAN("p.csv"), { 0 } },
		{ "filter", "f", NULL, "{\"expr\": \"id > 3\"}", { 1 } },
		{ "filter", "g", NULL, "{\"expr\": \"nosuch > 3\"}", { 2 } },
	};
	struct rn_plan *p = build(rows, 3);
	struct rn_schema s[3] = { { 0 } };
	bool known[3] = { true, false, false };

	T_CALL(rn_schema_set_name(&s[0], "p", &err), &err);
	T_CALL(rn_schema_add_col(&s[0], "id", NULL, RN_INT64, &err), &err);
	T_OK(rn_plan_infer(p, s, known, &err) == RN_EUSAGE &&
		 !strncmp(err.msg, "filter 'g': ", 12) && strstr(err.msg, "nosuch"),
	     "an error names the node");
	T_OK(s[1].name && !strcmp(s[1].name, "f") && s[1].ncols == 1,
	     "a relation has its node's name, and a schema");
	for (int i = 0; i < 3; i++)
		rn_schema_fini(&s[i]);
	rn_plan_free(p);
}

static void test_rebind(void)
{
	static const struct row rows[] = {
		{ "scan", NULL, NULL, SCAN("in/paper.csv.zst"), { 0 } },
		{ "linear", NULL, NULL, LINEAR(4), { 1 } },
	};
	struct rn_plan *p = build(rows, 2);
	const char *source = "paper=other.csv", *wrong = "papers=other.csv";

	T_CALL(rn_plan_rebind(p, &source, 1, &err), &err);
	T_OK(rn_plan_rebind(p, &wrong, 1, &err) == RN_EUSAGE &&
		 same(err.msg, "--source papers: the plan has no such source (there are paper)"),
	     "a source that is not there");
	T_CALL(rn_plan_canonical(p, NULL, &err), &err);
	T_OK(same(names(p), "paper linear1") &&
		 !strcmp(rn_node_string(&p->nodes[0], "from"), "other.csv"),
	     "another file, the same name");
	rn_plan_free(p);
}

static void test_ids(void)
{
	char a[17], b[17];

	T_CALL(rn_plan_new_id(a, &err), &err);
	T_CALL(rn_plan_new_id(b, &err), &err);
	T_OK(strlen(a) == 16 && strspn(a, "0123456789abcdef") == 16 && strcmp(a, b), "ids: %s %s",
	     a, b);
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

static void test_stems(void)
{
	static const char *const rows[][2] = {
		{ "data/has_word.csv.zst", "has_word" },
		{ "p.csv", "p" },
		{ "/a.b/p", "p" },
		{ "v1.2.csv", "v1.2" },
		{ ".hidden", ".hidden" },
		{ "-", "" },
		{ "d/", "" },
		{ "x.zst", "x" },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const char *s;
		size_t n = rn_plan_stem(rows[i][0], &s);

		T_OK(n == strlen(rows[i][1]) && !memcmp(s, rows[i][1], n), "stem of %s: %.*s",
		     rows[i][0], (int)n, s);
	}
}

int main(void)
{
	test_refused();
	test_depth();
	test_model();
	test_overrides();
	test_absolute_source();
	test_names();
	test_inputs();
	test_header();
	test_diamond();
	test_damaged();
	test_header_runs();
	test_infer();
	test_rebind();
	test_ids();
	test_schema();
	test_stems();
	return t_done();
}
