/* SPDX-License-Identifier: Apache-2.0
 *
 * Plans: names and merging, headers and their round trips, damaged ones, inference,
 * sources given on the command line.  Specs: test_spec.c.
 */
#include "plan_text.h"

#define NONE UINT32_MAX

/* ---- names ----------------------------------------------------------------------------- */

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

/* ---- headers --------------------------------------------------------------------------- */

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

/* ---- the rest -------------------------------------------------------------------------- */

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

/* p, decoded and filtered, beside what does not rest on it. */
static void test_late(void)
{
	static const struct row rows[] = {
		{ "scan", "p", NULL, SCAN("p.csv"), { 0 } },
		{ "linear", "out", NULL, LINEAR(4), { 1 } },
		{ "scan", "q", NULL, SCAN("q.csv"), { 0 } },
		{ "decode", "d", NULL, "{\"how\": \"class\"}", { 2 } },
		{ "join", "j", NULL, "{\"on\": [\"id\"]}", { 4, 3 } },
	};
	struct rn_rel *carried[5] = { NULL }, *rel;
	struct rn_plan *p = build(rows, 5), early;
	bool late[5];

	T_CALL(rn_plan_add_run(p, RN_RUN_PRED, 1, json_pack("{s:s}", "name", "a"), &err), &err);
	T_CALL(rn_plan_add_run(p, RN_RUN_PRED, 4, json_pack("{s:s}", "name", "b"), &err), &err);
	T_OK(rn_plan_late(p, NULL, late) && !late[0] && !late[1] && !late[2] && late[3] && late[4],
	     "a decode stage is late, and what rests on it");
	T_CALL(rn_plan_early(p, NULL, &early, &err), &err);
	T_OK(early.nruns == 3 && early.runs[0].node == 1 && early.runs[1].node == 1 &&
		     early.runs[2].node == 2 && early.nodes == p->nodes,
	     "before it what it reads is bound");
	rn_plan_early_fini(&early);
	T_CALL(rn_rel_new("d", 0, &rel, &err), &err);
	carried[3] = rel;
	T_OK(!rn_plan_late(p, carried, late), "rows that are there wait for nothing");
	T_CALL(rn_plan_early(p, carried, &early, &err), &err);
	T_OK(early.nruns == 2 && early.runs[1].node == 4, "and the run is as it was");
	rn_plan_early_fini(&early);
	rn_rel_unref(rel);
	T_CALL(rn_plan_add_run(p, RN_RUN_EVAL, 4, json_pack("{s:s,s:s,s:s}", "name", "e", "metric",
							    "accuracy", "target", "id"), &err), &err);
	T_OK(rn_plan_early(p, NULL, &early, &err) == RN_EUSAGE &&
		     same(err.msg, "eval of 'j': it rests on a decoded column, which is known when all fits are over"),
	     "another run than a prediction does not wait");
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
	test_names();
	test_inputs();
	test_header();
	test_diamond();
	test_damaged();
	test_infer();
	test_late();
	test_rebind();
	test_ids();
	test_stems();
	return t_done();
}
