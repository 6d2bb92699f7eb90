/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON lines: a table of inputs with the rows or the message that they must give,
 * at several block sizes, from input that can be read again and from input that
 * cannot; types and keys that come late; rows that are passed over.
 */
#include "text_rows.h"

#include "../../lib/base/team.h"

#include <inttypes.h>

static int read_text(const struct rn_ctx *c, const char *text, size_t n, bool again,
		     struct rn_csv_opt opt, struct rn_str *out, struct rn_err *e)
{
	struct rn_io *io = NULL;

	*e = (struct rn_err){ 0 };
	rn_str_clear(out);
	opt.kind = RN_TEXT_JSONL;
	T_CALL(rn_io_from_memory(text, n, "in", &io, e), e);
	if (!again)
		as_pipe(io);
	return read_rows(c, io, &opt, out, e);
}

struct row {
	const char *text, *want; /* rows, or what the message holds after "!" */
	size_t len;
};

#define R(text, want) { text, want, sizeof(text) - 1 }
static const struct row table[] = {
	R("{\"a\": 1, \"b\": \"x\"}\n{\"a\": 2, \"b\": \"y\"}\n", "a int64, b string | 1,x | 2,y"),
	R("{\"a\":1}\r\n\r\n \t{ \"a\" : 2 } \n{\"a\":3}", "a int64 | 1 | 2 | 3"),
	R("\xEF\xBB\xBF{\"a\":1}\n", "a int64 | 1"),
	R("{\"a\":1}\n{}\n{\"b\":true,\"a\":null}\n",
	  "a int64, b bool | 1,<null> | <null>,<null> | <null>,true"),
	R("{}\n{\"a\":1}\n", "a int64 | <null> | 1"),
	R("{\"a\":null}\n", "a string | <null>"),
	R("{\"b\":1,\"a\":2}\n{\"a\":3,\"b\":4}\n", "b int64, a int64 | 1,2 | 4,3"),
	R("{\"a\":1}\n{\"a\":2.5}\n", "a float64 | 1 | 2.5"),
	R("{\"a\":-0.0}\n{\"a\":1e3}\n", "a float64 | 0 | 1000"),
	R("{\"a\":1}\n{\"a\":\"2\"}\n", "a string | 1 | 2"),
	R("{\"a\":\"1\"}\n{\"a\":\"2\"}\n", "a string | 1 | 2"),
	R("{\"a\":\"true\"}\n", "a string | true"),
	R("{\"a\":true}\n{\"a\":1}\n", "a string | true | 1"),
	R("{\"a\":\"2020-01-02\"}\n{\"a\":null}\n", "a timestamp | 2020-01-02T00:00:00Z | <null>"),
	R("{\"a\":\"2020-01-02\"}\n{\"a\":\"x\"}\n", "a string | 2020-01-02 | x"),
	R("{\"a\":\"\"}\n", "a string | "),
	R("{\"a\":9223372036854775808}\n", "a string | 9223372036854775808"),
	R("{\"a\":9223372036854775808}\n{\"a\":1.5}\n", "a float64 | 9.223372036854776e18 | 1.5"),
	R("{\"a\":1.5}\n{\"a\":9223372036854775808}\n", "a float64 | 1.5 | 9.223372036854776e18"),
	R("{\"a\":9223372036854775808}\n{\"a\":\"1\"}\n", "a string | 9223372036854775808 | 1"),
	R("{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20AC\\ud83d\\ude00\"}\n",
	  "a string | \"\\/\b\f\n\r\tA\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"),
	R("{\"\\u0061\":1}\n{\"a\":2}\n", "a int64 | 1 | 2"),
	R("{\"a\":[1,{\"b\":\"]}\"},[]],\"c\":{}}\n",
	  "a string, c string | [1,{\"b\":\"]}\"},[]],{}"),
	R("{\"a\":[1]}\n{\"a\":2}\n", "a string | [1] | 2"),
	R("", "!'in' is empty: it has no keys"),
	R("{}\n{}\n", "!'in' is empty: it has no keys"),
	R("{\"a\":1}\n\n{\"a\":}\n", "!in:3:6: expected a value"),
	R("[1]\n", "!in:1:1: a line is an object, {…} (of an array"),
	R("5\n", "!in:1:1: a line is an object, {…}"),
	R("{\"a\":1} x\n", "!in:1:9: there is more after the object"),
	R("{\"a\":1,}\n", "!in:1:8: expected a key in quotes"),
	R("{a:1}\n", "!in:1:2: expected a key in quotes"),
	R("{\"a\" 1}\n", "!in:1:6: expected ':'"),
	R("{\"a\":1 \"b\":2}\n", "!in:1:8: expected ',' or '}'"),
	R("{\"a\":1,\"a\":2}\n", "!in:1:8: the key is there twice"),
	R("{\"a\":null,\"a\":2}\n", "!the key is there twice"),
	R("{\"\":1}\n", "!the key is empty"),
	R("{\"a\":\"x\n\"}\n", "!in:1:8: a string is not closed"),
	R("{\"a\":\"\t\"}\n", "!in:1:7: there is a control character in a string"),
	R("{\"a\":\"x\0\"}\n", "!in:1:8: there is a control character in a string"),
	R("{\"a\":\"\\u0000\"}\n", "!in:1:7: there is a NUL character"),
	R("{\"a\":\"\\ud800\"}\n", "!in:1:7: half of a surrogate pair"),
	R("{\"a\":\"\\udc00\"}\n", "!in:1:7: half of a surrogate pair"),
	R("{\"a\":\"\\u12\"}\n", "!in:1:7: \\u wants four hexadecimal digits"),
	R("{\"a\":\"\\x\"}\n", "!in:1:7: there is no such escape"),
	R("{\"a\":01}\n", "!in:1:7: expected ',' or '}'"),
	R("{\"a\":1.}\n", "!in:1:8: expected a digit"),
	R("{\"a\":.5}\n", "!in:1:6: expected a value"),
	R("{\"a\":1e}\n", "!in:1:8: expected a digit"),
	R("{\"a\":+1}\n", "!in:1:6: expected a value"),
	R("{\"a\":NaN}\n", "!in:1:6: expected a value"),
	R("{\"a\":[1,]}\n", "!in:1:9: expected a value"),
	R("{\"a\":[1}\n", "!in:1:8: expected ',' or ']'"),
	R("{\"a\":{\"b\"}}\n", "!in:1:10: expected ':'"),
	R("{\"a\":1\n}\n", "!in:1:7: expected ',' or '}'"),
	R("{\"a\":\"\xFF\"}\n", "!in:1: column 'a' is not UTF-8 (byte 0xFF)"),
	R("{\"\xFF\":1}\n", "!in:1:3: the key is not UTF-8"),
	R("{\"a\0\":1}\n", "!in:1:4: there is a control character in a string"),
};

static void check_row(const struct row *w, bool again, uint32_t block_rows)
{
	struct rn_str out = RN_STR_INIT;
	struct rn_err e;
	int rc = read_text(NULL, w->text, w->len, again, (struct rn_csv_opt){ .block_rows = block_rows },
			   &out, &e);
	bool good = w->want[0] == '!' ? rc == RN_EDATA && strstr(e.msg, w->want + 1) != NULL :
					!rc && strcmp(out.s, w->want) == 0;

	if (!T_OK(good, "%s, blocks of %u, row %td", again ? "file" : "pipe", block_rows, w - table))
		printf("# '%s' gives '%s'\n", w->text, rc ? e.msg : out.s);
	rn_str_fini(&out);
}

static void test_table(void)
{
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		check_row(&table[i], true, 0);
		check_row(&table[i], true, 1);
		check_row(&table[i], false, 2);
	}
}

/* However it is cut, by however many threads, with room for all blocks or for none. */
static void test_cuts(struct rn_team *team)
{
	static const size_t chunks[] = { 4, 16, 40, 1000 };

	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		const struct row *w = &table[i];
		unsigned wrong = 0;

		for (unsigned k = 0; k < 32; k++) {
			struct rn_ctx c = { .threads = k & 1 ? 3 : 1, .team = k & 1 ? team : NULL,
					    .mem_limit = k & 2 ? 4 : 0 };
			struct rn_csv_opt opt = { .chunk = chunks[k >> 3] };
			struct rn_str out = RN_STR_INIT;
			struct rn_err e;
			int rc = read_text(&c, w->text, w->len, k & 4, opt, &out, &e);

			if (w->want[0] == '!')
				wrong += rc != RN_EDATA || !strstr(e.msg, w->want + 1);
			else
				wrong += rc || strcmp(out.s, w->want) != 0;
			rn_str_fini(&out);
		}
		T_OK(!wrong, "row %zu in chunks: %u ways are wrong", i, wrong);
	}
}

/* Keys and types that come late, in many chunks. */
static void test_late_cuts(struct rn_team *team)
{
	struct rn_str s = RN_STR_INIT, want = RN_STR_INIT, out = RN_STR_INIT;
	struct rn_csv_opt opt = { .skip_bad = true };
	struct rn_err e;

	for (unsigned i = 0; i < 3000; i++) {
		rn_str_addf(&s, "{\"i\":%u,\"s\":%s", i, i < 2000 ? "null" : "\"x\"");
		rn_str_addf(&s, i > 1200 && i % 100 == 0 ? ",\"k%u\":%u.5}\n" : "}\n", i, i);
		rn_str_add(&s, i == 1500 ? "bad\n" : "");
	}
	T_OK(!read_text(NULL, s.s, s.len, true, opt, &want, &e) &&
		     !strncmp(want.s, "i int64, s string, k1300 float64, k1400 float64, ", 48),
	     "late keys: %.60s%s", want.s, e.msg);
	for (unsigned k = 0; k < 4; k++) {
		struct rn_ctx c = { .threads = k & 1 ? 3 : 1, .team = k & 1 ? team : NULL,
				    .mem_limit = k & 2 ? 4 : 0 };

		opt.chunk = 256;
		T_OK(!read_text(&c, s.s, s.len, true, opt, &out, &e) && !strcmp(out.s, want.s),
		     "the same in chunks, way %u", k);
	}
	rn_str_fini(&s);
	rn_str_fini(&want);
	rn_str_fini(&out);
}

static void test_given(void)
{
	static const char *const names[] = { "b", "a" };
	static const enum rn_type types[] = { RN_FLOAT64, RN_INT64 };
	struct rn_csv_opt opt = { .ntypes = 2, .type_names = names, .types = types };
	struct rn_str out = RN_STR_INIT;
	struct rn_err e;

	T_OK(!read_text(NULL, "{\"a\":\"7\"}\n", 10, false, opt, &out, &e) &&
		     !strcmp(out.s, "a int64, b float64 | 7,<null>"),
	     "given types: strings are read as numbers, a key may be missing: %s%s", out.s, e.msg);
	T_OK(read_text(NULL, "{\"a\":1.5}\n", 10, true, opt, &out, &e) == RN_EDATA &&
		     strstr(e.msg, "in:1: column 'a': '1.5' is not of type int64"),
	     "a value that does not fit: %s", e.msg);
	rn_str_fini(&out);
}

static void test_late(void)
{
	struct rn_str s = RN_STR_INIT, out = RN_STR_INIT;
	struct rn_csv_opt opt = { 0 };
	struct rn_err e;

	for (unsigned i = 0; i < 70000; i++)
		rn_str_addf(&s, i == 69000 ? "{\"i\":%u,\"late\":1}\n" : "{\"i\":%u}\n", i);
	T_OK(!read_text(NULL, s.s, s.len, true, opt, &out, &e) &&
		     !strncmp(out.s, "i int64, late int64 | 0,<null> |", 32) &&
		     strstr(out.s, "| 69000,1 |"), "a file: a key that comes late is a column");
	T_OK(read_text(NULL, s.s, s.len, false, opt, &out, &e) == RN_EDATA &&
		     strstr(e.msg, "in:69001: the key 'late' is new after 65536 rows"),
	     "a pipe: %s", e.msg);
	rn_str_clear(&s);
	for (unsigned i = 0; i < 5000; i++)
		rn_str_addf(&s, "{\"i\":%s}\n", i == 4999 ? "0.5" : "1");
	T_OK(!read_text(NULL, s.s, s.len, true, opt, &out, &e) &&
		     !strncmp(out.s, "i float64 | 1 |", 15), "a file: the last row decides");
	rn_str_clear(&s);
	rn_str_add(&s, "{\"a\":");
	for (unsigned i = 0; i < 100000; i++)
		rn_str_addc(&s, '[');
	T_OK(read_text(NULL, s.s, s.len, true, opt, &out, &e) == RN_EDATA &&
		     strstr(e.msg, "nested too deeply"), "depth: %s", e.msg);
	rn_str_fini(&s);
	rn_str_fini(&out);
}

static void note(void *arg, enum rn_log_level level, const char *msg)
{
	rn_str_addf(arg, "%s;", level == RN_LOG_WARN ? msg : "?");
}

static void test_skip(void)
{
	static const char text[] = "{\"a\":1,\"b\":\"\xFF\"}\n{\"a\":2}\nx\n{\"a\":3}\n[]\n1\n";
	struct rn_str log = RN_STR_INIT, out = RN_STR_INIT;
	struct rn_ctx c = { .log = note, .log_arg = &log };
	struct rn_err e;

	T_OK(!read_text(&c, text, sizeof text - 1, true, (struct rn_csv_opt){ .skip_bad = true },
			&out, &e) && !strcmp(out.s, "a int64, b string | 2,<null> | 3,<null>"),
	     "bad lines are passed over: %s%s", out.s, e.msg);
	T_OK(strstr(log.s, "in:1: column 'b' is not UTF-8") && strstr(log.s, "in:3:1: a line is") &&
		     strstr(log.s, "'in': 4 of 6 rows passed over;") && !strstr(log.s, "in:6"),
	     "and told: %s", log.s);
	rn_str_fini(&log);
	rn_str_fini(&out);
}

int main(void)
{
	struct rn_team *team = NULL;
	struct rn_err e;

	T_CALL(rn_team_new(3, &team, &e), &e);
	test_table();
	test_given();
	test_late();
	test_skip();
	test_cuts(team);
	test_late_cuts(team);
	rn_team_free(team);
	return t_done();
}
