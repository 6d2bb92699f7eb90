/* SPDX-License-Identifier: Apache-2.0
 *
 * Option values: text and JSON into one normal form, what is refused and how,
 * sets of values, printing, suggestions; the JSON helpers below them.
 */
#include "t.h"

#include "../../lib/base/json.h"
#include "../../lib/base/opt.h"

static const struct rn_opt opts[] = {
	{ .name = "out",
	  .type = RN_OPT_INT,
	  .flags = RN_OPT_POSITIONAL | RN_OPT_REQUIRED,
	  .meta = "N",
	  .help = "output features" },
	{ .name = "bias", .type = RN_OPT_FLAG, .dflt = "true", .help = "add a bias" },
	{ .name = "weight-decay", .type = RN_OPT_NUMBER, .meta = "X", .dflt = "0.5" },
	{ .name = "expr", .type = RN_OPT_STRING, .meta = "EXPR" },
	{ .name = "how",
	  .type = RN_OPT_CHOICE,
	  .meta = "HOW",
	  .dflt = "inner",
	  .choices = "inner|left|anti" },
	{ .name = "mem", .type = RN_OPT_SIZE, .meta = "SIZE", .dflt = "1K" },
	{ .name = "by", .type = RN_OPT_LIST, .flags = RN_OPT_MULTI, .meta = "COL,..." },
	{ .name = "cols", .type = RN_OPT_MAP, .flags = RN_OPT_MULTI, .meta = "NAME[=EXPR],..." },
	{ .name = "keys", .type = RN_OPT_NODE, .flags = RN_OPT_REQUIRED, .meta = "FILE" },
};
enum { N = sizeof opts / sizeof *opts };

static const struct rn_opt *find(const char *name)
{
	return rn_opt_find(opts, N, name);
}

/* The compact normal form, or the message. */
static const char *show(int rc, json_t *v, const struct rn_err *e)
{
	static char buf[4096];
	struct rn_str s = RN_STR_INIT;

	if (rc) {
		snprintf(buf, sizeof buf, "%s", e->msg);
		return buf;
	}
	rn_json_print(v, RN_JSON_COMPACT, &s);
	snprintf(buf, sizeof buf, "%s", s.s);
	rn_str_fini(&s);
	json_decref(v);
	return buf;
}

static const struct {
	const char *opt, *text, *want;
} texts[] = {
	{ "out", "16", "16" },
	{ "out", "-3", "-3" },
	{ "out", "12x", "--out wants an integer, not '12x'" },
	{ "out", "", "--out wants an integer, not ''" },
	{ "out", "1.0", "--out wants an integer, not '1.0'" },
	{ "out", "99999999999999999999", "--out wants an integer, not '99999999999999999999'" },
	{ "weight_decay", "5e-4", "0.0005" },
	{ "weight-decay", "1", "1.0" },
	{ "weight-decay", "0.1", "0.1" },
	{ "weight-decay", "nan", "--weight-decay wants a number, not 'nan'" },
	{ "weight-decay", "1e999", "--weight-decay wants a number, not '1e999'" },
	{ "weight-decay", " 1", "--weight-decay wants a number, not ' 1'" },
	{ "bias", "true", "true" },
	{ "bias", "false", "false" },
	{ "bias", "yes", "--bias wants true or false, not 'yes'" },
	{ "expr", "z * 'a,b'", "\"z * 'a,b'\"" },
	{ "expr", "", "\"\"" },
	{ "expr", "a\xff", "--expr 'a\xff' is not valid UTF-8" },
	{ "how", "left", "\"left\"" },
	{ "how", "inne", "--how wants inner, left or anti, not 'inne'" },
	{ "how", "inner|left", "--how wants inner, left or anti, not 'inner|left'" },
	{ "how", "", "--how wants inner, left or anti, not ''" },
	{ "mem", "512", "512" },
	{ "mem", "64K", "65536" },
	{ "mem", "1.5G", "1610612736" },
	{ "mem", "2m", "2097152" },
	{ "mem", "1.5", "--mem wants a size like 512, 64K, 2M or 1.5G, not '1.5'" },
	{ "mem", "-1K", "--mem wants a size like 512, 64K, 2M or 1.5G, not '-1K'" },
	{ "mem", "K", "--mem wants a size like 512, 64K, 2M or 1.5G, not 'K'" },
	{ "mem", "9999999999G", "--mem wants a size like 512, 64K, 2M or 1.5G, not '9999999999G'" },
	{ "by", "a, s.b ,c", "[\"a\",\"s.b\",\"c\"]" },
	{ "by", "", "[]" },
	{ "by", "a,,b", "--by has an empty item" },
	{ "by", "a,", "--by has an empty item" },
	{ "by", "`a,b`,c", "[\"a,b\",\"c\"]" },
	{ "by", "f(a,b),'x,y'", "[\"f(a,b)\",\"'x,y'\"]" },
	{ "cols", "id,d=count(*)", "{\"id\":\"id\",\"d\":\"count(*)\"}" },
	{ "cols", "t = a + b , x = f(1, 2)", "{\"t\":\"a + b\",\"x\":\"f(1, 2)\"}" },
	{ "cols", "count(*)", "{\"count(*)\":\"count(*)\"}" },
	{ "cols", "a>=b", "{\"a>=b\":\"a>=b\"}" },
	{ "cols", "a==b", "{\"a==b\":\"a==b\"}" },
	{ "cols", "x=a==b", "{\"x\":\"a==b\"}" },
	{ "cols", "a!=b,a<=b", "{\"a!=b\":\"a!=b\",\"a<=b\":\"a<=b\"}" },
	{ "cols", "`odd, name`=x", "{\"odd, name\":\"x\"}" },
	{ "cols", "`odd name`", "{\"odd name\":\"odd name\"}" },
	{ "cols", "x=`odd name`", "{\"x\":\"`odd name`\"}" },
	{ "cols", "x='=,)'", "{\"x\":\"'=,)'\"}" },
	{ "cols", "h1*=5e-4", "{\"h1*\":\"0.0005\"}" },
	{ "cols", "a=1,b=1.0,c=1e22,d=.5",
	  "{\"a\":\"1\",\"b\":\"1.0\",\"c\":\"1e22\",\"d\":\"0.5\"}" },
	{ "cols", "x=inf,y=nan", "{\"x\":\"inf\",\"y\":\"nan\"}" },
	{ "cols", "x=99999999999999999999", "{\"x\":\"99999999999999999999\"}" },
	{ "cols",
	  "Gr\xc3\xb6\xc3\x9f"
	  "e=x",
	  "{\"Gr\xc3\xb6\xc3\x9f"
	  "e\":\"x\"}" },
	{ "cols", "x=", "--cols has no value in 'x='" },
	{ "cols", "x=1,x=2", "--cols names 'x' twice" },
	{ "cols", "x=f(1", "--cols has '(' without its partner in 'x=f(1'" },
	{ "cols", "x=f)1", "--cols has ')' without its partner in 'x=f)1'" },
	{ "cols", "x=f(1]", "--cols has ']' without its partner in 'x=f(1]'" },
	{ "cols", "a,x='b", "--cols has ''' without its partner in 'x='b'" },
};

static void test_text(void)
{
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct rn_err e = { 0 };
		json_t *v = NULL;
		int rc = rn_opt_from_text(find(texts[i].opt), texts[i].text, &v, &e);
		const char *got = show(rc, v, &e);

		if (!T_OK(!strcmp(got, texts[i].want), "--%s %s", texts[i].opt, texts[i].text))
			printf("# got  %s\n# want %s\n", got, texts[i].want);
		if (rc)
			T_OK(rc == RN_EUSAGE && e.code == rc, "  is a usage error");
	}
}

static const struct {
	const char *opt, *json, *want;
} jsons[] = {
	{ "out", "16", "16" },
	{ "out", "16.0", "wants an integer, not 16.0" },
	{ "out", "\"12x\"", "wants an integer, not \"12x\"" },
	{ "out", "null", "wants an integer, not null" },
	{ "weight-decay", "1", "1.0" },
	{ "weight-decay", "5e-4", "0.0005" },
	{ "weight-decay", "true", "wants a number, not true" },
	{ "bias", "false", "false" },
	{ "bias", "0", "wants true or false, not 0" },
	{ "expr", "\"z\"", "\"z\"" },
	{ "expr", "5", "\"5\"" },
	{ "expr", "[1]", "wants a text, not an array" },
	{ "how", "\"left\"", "\"left\"" },
	{ "how", "\"lift\"", "wants inner, left or anti, not 'lift'" },
	{ "how", "{}", "wants a text, not an object" },
	{ "mem", "\"2G\"", "2147483648" },
	{ "mem", "2147483648", "2147483648" },
	{ "mem", "-1", "wants a size like 512, 64K, 2M or 1.5G, not -1" },
	{ "by", "[\"a\", \"b\"]", "[\"a\",\"b\"]" },
	{ "by", "\"a\"", "[\"a\"]" },
	{ "by", "\"a,b\"", "[\"a\",\"b\"]" },
	{ "by", "[\"a,b\"]", "[\"a,b\"]" },
	{ "by", "[]", "[]" },
	{ "by", "[1, 2.5, \"c\"]", "[\"1\",\"2.5\",\"c\"]" },
	{ "by", "[true]", "wants a list of names, not true" },
	{ "by", "[\"\"]", "has an empty item" },
	{ "by", "{}", "wants a list of names, not an object" },
	{ "cols", "{\"id\": \"id\", \"d\": \"count(*)\"}", "{\"id\":\"id\",\"d\":\"count(*)\"}" },
	{ "cols", "[\"id\", \"d=count(*)\"]", "{\"id\":\"id\",\"d\":\"count(*)\"}" },
	{ "cols", "\"id,d=count(*)\"", "{\"id\":\"id\",\"d\":\"count(*)\"}" },
	{ "cols", "{\"h1*\": 5e-4, \"b\": 1, \"c\": \"5e-4\", \"d\": 1.0}",
	  "{\"h1*\":\"0.0005\",\"b\":\"1\",\"c\":\"0.0005\",\"d\":\"1.0\"}" },
	{ "cols", "{\"a\": true}", "wants a text or a number for 'a'" },
	{ "cols", "{\"a\": \"\"}", "has no value in 'a='" },
	{ "cols", "{\"\": \"a\"}", "has no name in '='" },
	{ "cols", "[\"a\", \"a=1\"]", "names 'a' twice" },
	{ "cols", "[\"a\", 1]", "wants an object, or a list of NAME=VALUE, not 1" },
	{ "cols", "7", "wants an object, or a list of NAME=VALUE, not 7" },
};

static void test_json(void)
{
	for (size_t i = 0; i < sizeof jsons / sizeof *jsons; i++) {
		struct rn_err e = { 0 };
		json_t *in = json_loads(jsons[i].json, JSON_DECODE_ANY, NULL), *v = NULL;
		int rc = rn_opt_from_json(find(jsons[i].opt), in, &v, &e);
		const char *got = show(rc, v, &e);

		if (!T_OK(!strcmp(got, jsons[i].want), "\"%s\": %s", jsons[i].opt, jsons[i].json))
			printf("# got  %s\n# want %s\n", got, jsons[i].want);
		json_decref(in);
	}
}

/* Normal form -> text -> normal form. */
static void test_print(void)
{
	static const char *const values[] = {
		"cols {\"id\":\"id\",\"d\":\"count(*)\"}",
		"cols {\"odd name\":\"odd name\"}",
		"cols {\"a,b\":\"a,b\",\"c d\":\"x\"}",
		"cols {\"a=b\":\"a=b\"}",
		"cols {\"x\":\"`odd`\"}",
		"by [\"a\",\"b,c\",\" d\",\"f(x,y)\"]",
		"by []",
		"how \"left\"",
		"mem 65536",
		"bias false",
		"weight-decay 0.1",
		"out -5",
		"cols {\"h*\":\"0.0005\",\"g\":\"2.0\"}",
	};

	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		const char *json = strchr(values[i], ' ') + 1;
		struct rn_str text = RN_STR_INIT;
		struct rn_err e = { 0 };
		char name[32];
		json_t *v, *again = NULL;
		int rc;

		snprintf(name, sizeof name, "%.*s", (int)(json - values[i] - 1), values[i]);
		v = json_loads(json, JSON_DECODE_ANY, NULL);
		rn_opt_print(find(name), v, &text);
		rc = rn_opt_from_text(find(name), text.s, &again, &e);
		if (!T_OK(!rc && rn_json_equal(v, again), "%s is --%s %s", json, name, text.s))
			printf("# %s\n", e.msg);
		rn_str_fini(&text);
		json_decref(v);
		json_decref(again);
	}
}

static int put(json_t *set, const char *name, const char *text, struct rn_err *e)
{
	json_t *v;

	RN_TRY(rn_opt_from_text(find(name), text, &v, e));
	return rn_opt_put(set, find(name), v, e);
}

static void test_sets(void)
{
	struct rn_err e = { 0 };
	json_t *set = json_object();
	struct rn_str s = RN_STR_INIT;

	T_OK(rn_opt_int(set, opts, N, "mem") == 1024, "default of a size");
	T_OK(rn_opt_flag(set, opts, N, "bias"), "default of a flag");
	T_OK(rn_opt_number(set, opts, N, "weight_decay") == 0.5, "default of a number, by _");
	T_OK(!strcmp(rn_opt_string(set, opts, N, "how"), "inner"), "default of a choice");
	T_OK(!rn_opt_string(set, opts, N, "expr"), "no default");
	T_OK(!rn_opt_json(set, opts, N, "by"), "no list");
	T_OK(rn_opt_finish(set, opts, N, &e) == RN_EUSAGE &&
		 !strcmp(e.msg, "N is missing: output features (the first operand, or --out N)"),
	     "a required option is missing: %s", e.msg);

	T_CALL(put(set, "cols", "a,b=1", &e), &e);
	T_CALL(put(set, "by", "x", &e), &e);
	T_CALL(put(set, "cols", "c", &e), &e);
	T_CALL(put(set, "by", "y,x", &e), &e);
	T_CALL(put(set, "out", "7", &e), &e);
	T_CALL(put(set, "bias", "false", &e), &e);
	T_OK(put(set, "out", "8", &e) == RN_EUSAGE && !strcmp(e.msg, "--out is given twice"),
	     "twice: %s", e.msg);
	T_OK(put(set, "cols", "d,b", &e) == RN_EUSAGE && !strcmp(e.msg, "--cols names 'b' twice"),
	     "a map's name twice: %s", e.msg);
	T_CALL(rn_opt_finish(set, opts, N, &e), &e);
	rn_json_print(set, RN_JSON_COMPACT, &s);
	T_OK(!strcmp(s.s, "{\"out\":7,\"bias\":false,\"by\":[\"x\",\"y\",\"x\"],"
			  "\"cols\":{\"a\":\"a\",\"b\":\"1\",\"c\":\"c\",\"d\":\"d\"}}"),
	     "in table order: %s", s.s);
	T_OK(rn_opt_int(set, opts, N, "out") == 7 && !rn_opt_flag(set, opts, N, "bias") &&
		 json_array_size(rn_opt_json(set, opts, N, "by")) == 3,
	     "values by name");
	rn_str_fini(&s);
	json_decref(set);
}

static void test_suggest(void)
{
	static const struct {
		const char *word, *want;
	} rows[] = {
		{ "exp", "expr" },
		{ "colls", "cols" },
		{ "wieght-decay", "weight-decay" },
		{ "weight_dcay", "weight-decay" },
		{ "BIAS", "bias" },
		{ "x", NULL },
		{ "frobnicate", NULL },
		{ "weight", "weight-decay" },
		{ "ot", "out" },
		{ "", NULL },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const char *got = rn_opt_suggest(opts, N, rows[i].word);

		T_OK(rows[i].want ? got && !strcmp(got, rows[i].want) : !got, "'%s' -> %s",
		     rows[i].word, got ? got : "nothing");
	}
}

static void test_schema(void)
{
	static const char *const want[N] = {
		"{\"type\":[\"integer\",\"string\"],\"pattern\":\"^[$][{][^}]+[}]$\","
		"\"description\":\"output features\"}",
		"{\"type\":[\"boolean\",\"string\"],\"pattern\":\"^[$][{][^}]+[}]$\","
		"\"description\":\"add a bias\",\"default\":true}",
		"{\"type\":[\"number\",\"string\"],\"pattern\":\"^[$][{][^}]+[}]$\",\"default\":0."
		"5}",
		"{\"type\":[\"string\",\"number\"]}",
		"{\"anyOf\":[{\"enum\":[\"inner\",\"left\",\"anti\"]},"
		"{\"type\":\"string\",\"pattern\":\"^[$][{][^}]+[}]$\"}],\"default\":\"inner\"}",
		"{\"type\":[\"integer\",\"string\"],\"minimum\":0,\"pattern\":"
		"\"^([0-9]+([.][0-9]*)?[KMGTkmgt]?|[$][{][^}]+[}])$\",\"default\":1024}",
		"{\"type\":[\"array\",\"string\"],\"items\":{\"type\":[\"string\",\"number\"]}}",
		"{\"type\":[\"object\",\"array\",\"string\"],\"items\":{\"type\":\"string\"},"
		"\"additionalProperties\":{\"type\":[\"string\",\"number\"]}}",
		"{\"type\":\"string\"}",
	};

	for (size_t i = 0; i < N; i++) {
		struct rn_err e = { .msg = "out of memory" };
		json_t *s = rn_opt_schema(&opts[i]);
		const char *got = show(!s, s, &e);

		if (!T_OK(!strcmp(got, want[i]), "schema of --%s", opts[i].name))
			printf("# got  %s\n# want %s\n", got, want[i]);
	}
}

static void test_json_text(void)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "{\"a\": 1,\n \"a\": 2}", "f:2:4: duplicate object key near '\"a\"'" },
		{ "{} x", "f:1:4: end of file expected near 'x'" },
		{ "{\"a\": \xff}", "f:1:6: unable to decode byte 0xff" },
		{ "[1, 2", "f:1:5: ']' expected near end of file" },
		{ "", "f:1:0: '[' or '{' expected near end of file" },
		{ "[\"\\u0000\"]", "f:1:9: a text holds the character \\u0000" },
	};
	static const char values[] = "[1, 0.1, 12.0, 1e300, \"\\n\\u0001\\\"\u00e4\", "
				     "{\"a\": [true, null]}, {}, []]";
	struct rn_str s = RN_STR_INIT;
	struct rn_err e = { 0 };
	json_t *v;
	char buf[16];

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		int rc = rn_json_load(rows[i].text, strlen(rows[i].text), "f", RN_EDATA, &v, &e);

		T_OK(rc == RN_EDATA && !strcmp(e.msg, rows[i].want), "%s", e.msg);
	}
	T_CALL(rn_json_load(values, strlen(values), "f", RN_EDATA, &v, &e), &e);
	rn_json_print(v, 0, &s);
	T_OK(!strcmp(s.s, values), "on one line: %s", s.s);
	json_decref(v);
	rn_str_clear(&s);
	v = json_pack("{s[{si}{}]s{}}", "x", "y", 1, "z");
	rn_json_print(v, 2, &s);
	T_OK(!strcmp(s.s, "{\n  \"x\": [\n    {\"y\": 1},\n    {}\n  ],\n  \"z\": {}\n}"),
	     "two levels on lines of their own");
	json_decref(v);
	rn_str_clear(&s);
	rn_json_pointer_add(&s, "a/b~c");
	T_OK(!strcmp(s.s, "/a~1b~0c"), "pointer %s", s.s);
	rn_str_fini(&s);
	v = json_string("a text that is too long for the buffer");
	T_OK(!strcmp(rn_json_brief(v, buf, sizeof buf), "a long text"), "brief");
	json_decref(v);
	T_OK(rn_utf8_valid("\xf0\x9f\x98\x80\xc3\xa4", 6) && !rn_utf8_valid("\xc0\x80", 2) &&
		 !rn_utf8_valid("\xed\xa0\x80", 3) && !rn_utf8_valid("\xe2\x82", 2) &&
		 !rn_utf8_valid("\xf4\x90\x80\x80", 4),
	     "UTF-8 is checked strictly");
}

/* A size is written as it may be read, and shorter where that says the same. */
static void test_size_text(void)
{
	static const struct {
		uint64_t size;
		const char *text;
	} sizes[] = {
		{ 0, "0" }, { 1, "1" }, { 1000, "1000" }, { 1024, "1K" }, { 1100, "1100" }, { 65536, "64K" },
		{ 1310720, "1.25M" }, { 1000000, "1000000" }, { 8 << 20, "8M" }, { 1610612736, "1.5G" },
		{ (uint64_t)1 << 40, "1T" }, { ((uint64_t)1 << 40) + 1, "1099511627777" },
	};

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		char buf[RN_SIZE_TEXT];
		uint64_t back = 1;
		struct rn_err e;

		rn_size_text(sizes[i].size, buf);
		T_CALL(rn_size_parse(buf, &back, &e), &e);
		T_OK(!strcmp(buf, sizes[i].text) && back == sizes[i].size, "%s", buf);
	}
}

int main(void)
{
	test_size_text();
	test_text();
	test_json();
	test_print();
	test_sets();
	test_suggest();
	test_schema();
	test_json_text();
	return t_done();
}
