/* SPDX-License-Identifier: Apache-2.0
 *
 * Separated text: a table of inputs with the rows or the message that they must
 * give, read at several block sizes and both from input that can be read again
 * and from input that cannot; then writing, .zst, and what is large.  Where it is cut is
 * test_csv_cut's.
 */
#include "csv_table.h"
#include "text_rows.h"

#include <inttypes.h>
#include <math.h>
#include <zlib.h>
#include <zstd.h>

/* ---- reading ----------------------------------------------------------------- */

static int read_text(const char *text, size_t n, const char *name, bool again,
		     const struct rn_csv_opt *opt, struct rn_str *out, struct rn_err *e)
{
	struct rn_io *io = NULL;

	T_CALL(rn_io_from_memory(text, n, name, &io, e), e);
	if (!again)
		as_pipe(io);
	return read_rows(NULL, io, opt, out, e);
}

static void check_row(const struct row *w, bool again, uint32_t block_rows)
{
	struct rn_csv_opt opt = { .block_rows = block_rows };
	struct rn_str out = RN_STR_INIT;
	struct rn_err e = { 0 };
	char text[200], got[300];
	bool error = w->want[0] == '!', good;
	int rc = read_text(w->text, w->len, "in.csv", again, &opt, &out, &e);

	good = error ? rc == RN_EDATA && strstr(e.msg, w->want + 1) != NULL :
		       !rc && strcmp(out.s, w->want) == 0;
	show(w->text, w->len, text, sizeof text);
	show(rc ? e.msg : out.s, strlen(rc ? e.msg : out.s), got, sizeof got);
	T_OK(good, "%s, blocks of %u: '%s' gives '%s'", again ? "file" : "pipe", block_rows, text,
	     got);
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

/* ---- options ----------------------------------------------------------------- */

static void test_options(void)
{
	static const char *const names[] = { "b", "a" };
	static const enum rn_type types[] = { RN_STRING, RN_FLOAT64 };
	struct rn_csv_opt tsv = { .delimiter = '\t' };
	struct rn_csv_opt bare = { .no_header = true };
	struct rn_csv_opt given = { .ntypes = 2, .type_names = names, .types = types };
	struct rn_str out = RN_STR_INIT;
	struct rn_err e = { 0 };

	T_OK(!read_text("a\tb\n1,5\t\"x\ty\"\n", 14, "t", true, &tsv, &out, &e) &&
		     !strcmp(out.s, "a string, b string | 1,5,x\ty"), "tabs: %s%s", out.s, e.msg);
	rn_str_clear(&out);
	T_OK(!read_text("1,x\n2,y\n", 8, "t", true, &bare, &out, &e) &&
		     !strcmp(out.s, "c0 int64, c1 string | 1,x | 2,y"), "no header: %s", out.s);
	rn_str_clear(&out);
	T_OK(!read_text("\xEF\xBB\xBF" "1\n2\n", 7, "t", true, &bare, &out, &e) &&
		     !strcmp(out.s, "c0 int64 | 1 | 2"), "no header, a byte order mark: %s", out.s);
	rn_str_clear(&out);
	T_OK(read_text("1,x\n2\n", 6, "t", true, &bare, &out, &e) == RN_EDATA &&
		     strstr(e.msg, "t:2:2: 1 field where the first row has 2"), "ragged: %s", e.msg);
	rn_str_clear(&out);
	T_OK(!read_text("a,b\n1,2\n", 8, "t", true, &given, &out, &e) &&
		     !strcmp(out.s, "a float64, b string | 1,2"), "types: %s", out.s);
	T_OK(read_text("a,b\nx,2\n", 8, "t", true, &given, &out, &e) == RN_EDATA &&
		     strstr(e.msg, "t:2: column 'a': 'x' is not of type float64"), "%s", e.msg);
	T_OK(read_text("a,c\n1,2\n", 8, "t", true, &given, &out, &e) == RN_EUSAGE &&
		     strstr(e.msg, "'b', which is no column of 't'"), "%s", e.msg);
	rn_str_fini(&out);
}

static void test_dialect(void)
{
	static const char *const names[] = { "u", "v" }, *const null[] = { "NA", "-" };
	static const char text[] = "#x\na;b\n1;NA\n#\"\n\"NA\";-\n";
	struct rn_csv_opt opt = { .delimiter = ';', .comment = '#', .nnull = 2, .null = null };
	struct rn_str out = RN_STR_INIT;
	struct rn_err e = { 0 };

	T_OK(!read_text(text, sizeof text - 1, "t", true, &opt, &out, &e) &&
		     !strcmp(out.s, "a string, b string | 1,<null> | NA,<null>"),
	     "comments and texts of NULL: %s%s", out.s, e.msg);
	rn_str_clear(&out);
	opt.nnames = 2;
	opt.names = names;
	T_OK(!read_text(text, sizeof text - 1, "t", false, &opt, &out, &e) &&
		     !strcmp(out.s, "u string, v string | 1,<null> | NA,<null>"),
	     "names instead of the header's: %s%s", out.s, e.msg);
	rn_str_clear(&out);
	opt.no_header = true;
	T_OK(!read_text(text, sizeof text - 1, "t", true, &opt, &out, &e) &&
		     !strcmp(out.s, "u string, v string | a,b | 1,<null> | NA,<null>"),
	     "and without one: %s%s", out.s, e.msg);
	opt.nnames = 1;
	T_OK(read_text(text, sizeof text - 1, "t", true, &opt, &out, &e) == RN_EDATA &&
		     strstr(e.msg, "t:2: 2 fields where --columns names 1"), "%s", e.msg);
	rn_str_fini(&out);
}

/* Whatever the block size and wherever they are: the good rows, with their NULLs. */
static void test_skip_bad(void)
{
	static const char text[] = "s,i,t\nx,,1\n,2,\xFF\n\"a\"b,1,2\ny,3,z\n1\n,,\n\"q,1,1\nw,5,\n";
	struct rn_str out = RN_STR_INIT;
	struct rn_err e = { 0 };

	for (uint32_t rows = 0; rows < 4; rows++)
		for (int again = 0; again < 2; again++) {
			struct rn_csv_opt opt = { .skip_bad = true, .block_rows = rows };

			rn_str_clear(&out);
			T_OK(!read_text(text, sizeof text - 1, "t", again, &opt, &out, &e) &&
				     !strcmp(out.s, "s string, i int64, t string | x,<null>,1 | y,3,z | "
						    "<null>,<null>,<null> | w,5,<null>"),
			     "bad rows are passed over, blocks of %u: %s%s", rows, out.s, e.msg);
		}
	rn_str_fini(&out);
}

/* ---- what is large ----------------------------------------------------------- */

/* n rows of "i,v", of which row `odd` has the text given. */
static void long_text(struct rn_str *s, unsigned n, unsigned odd, const char *text)
{
	rn_str_add(s, "i,v\n");
	for (unsigned i = 0; i < n; i++) {
		rn_str_addf(s, "%u,", i);
		rn_str_add(s, i == odd ? text : "7");
		rn_str_addc(s, '\n');
	}
}

static int read_long(const struct rn_str *s, bool again, struct rn_str *out, struct rn_err *e)
{
	struct rn_csv_opt opt = { 0 };

	rn_str_clear(out);
	*e = (struct rn_err){ 0 };
	return read_text(s->s, s->len, "in.csv", again, &opt, out, e);
}

static void test_late_types(void)
{
	struct rn_str s = RN_STR_INIT, out = RN_STR_INIT;
	struct rn_err e;

	long_text(&s, 150000, 140000, "1.5");
	T_OK(!read_long(&s, true, &out, &e) && !strncmp(out.s, "i int64, v float64 | 0,7 |", 26) &&
		     strstr(out.s, "| 140000,1.5 |"), "a file: row 140,000 makes it float64");
	T_OK(read_long(&s, false, &out, &e) == RN_EDATA &&
		     strstr(e.msg, "in.csv:140002: column 'v': '1.5' is not of type int64") &&
		     strstr(e.msg, "--types"), "a pipe: %s", e.msg);
	rn_str_clear(&s);
	long_text(&s, 150000, 500, "9223372036854775808");
	T_OK(!read_long(&s, true, &out, &e) && !strncmp(out.s, "i int64, v string | 0,7 |", 25),
	     "a file: a long integer keeps the digits of all");
	rn_str_add(&s, "150000,1.5\n");
	T_OK(!read_long(&s, true, &out, &e) && !strncmp(out.s, "i int64, v float64 | 0,7 |", 26) &&
		     strstr(out.s, "| 500,9.223372036854776e18 |") && strstr(out.s, "| 150000,1.5"),
	     "until row 150,000 makes it float64");
	rn_str_clear(&s);
	long_text(&s, 150000, 60000, "x");
	T_OK(!read_long(&s, false, &out, &e) && !strncmp(out.s, "i int64, v string |", 19),
	     "a pipe: row 60,000 still counts");
	rn_str_clear(&s);
	rn_str_add(&s, "i,v\n");
	for (unsigned i = 0; i < 100000; i++)
		rn_str_addf(&s, i == 99000 ? "%u,2020-01-01\n" : "%u,\n", i);
	T_OK(!read_long(&s, true, &out, &e) && !strncmp(out.s, "i int64, v timestamp |", 22),
	     "a file: NULLs, then a timestamp");
	T_OK(read_long(&s, false, &out, &e) == RN_EDATA && strstr(e.msg, "rows of NULLs"),
	     "a pipe: %s", e.msg);
	rn_str_fini(&s);
	rn_str_fini(&out);
}

static void test_large(void)
{
	struct rn_str s = RN_STR_INIT, out = RN_STR_INIT;
	struct rn_err e;
	char *want;

	rn_str_add(&s, "a,b\n1,\"");
	for (unsigned i = 0; i < 1 << 20; i++)
		rn_str_addc(&s, i % 100 == 99 ? '\n' : 'x');
	rn_str_add(&s, "\"\n2,y\n3\n");
	T_OK(read_long(&s, true, &out, &e) == RN_EDATA && strstr(e.msg, "in.csv:10489:2: 1 field"),
	     "lines within a field of 1 MB count: %s", e.msg);
	s.len -= 2;
	T_OK(!read_long(&s, true, &out, &e) && out.len > (1 << 20) + 10 &&
		     !strcmp(out.s + out.len - 6, " | 2,y"), "a field of 1 MB");
	rn_str_clear(&s);
	for (unsigned r = 0; r < 100; r++)
		for (unsigned i = 0; i < 10000; i++)
			rn_str_addf(&s, r ? "%u%c" : "c%u%c", i + r, i == 9999 ? '\n' : ',');
	T_OK(!read_long(&s, true, &out, &e) && (want = strstr(out.s, " | ")) &&
		     !strncmp(want, " | 1,2,3,", 9), "10,000 columns: %s", e.msg);
	rn_str_fini(&s);
	rn_str_fini(&out);
}

/* A row may be as long as a quarter of the memory, but 2 MiB in any case. */
static void test_long_rows(void)
{
	struct rn_ctx ctx = { .mem_limit = 1 << 20 };
	struct rn_str s = RN_STR_INIT, out = RN_STR_INIT;

	for (unsigned k = 0; k < 16; k++) {
		bool again = k & 1, quote = k & 2, longer = k & 4;
		struct rn_csv_opt opt = { .skip_bad = k & 8 };
		size_t row = (2 << 20) + (longer ? 1 : -1); /* before its line feed */
		struct rn_err e = { 0 };
		struct rn_io *io;
		int rc;

		rn_str_clear(&s);
		rn_str_clear(&out);
		rn_str_add(&s, quote ? "a\nx\n\"" : "a\nx\n");
		for (size_t i = 2 * quote; i < row; i++)
			rn_str_addc(&s, quote && i % 10 == 2 ? '\n' : 'y');
		rn_str_add(&s, quote ? "\"\nz\n" : "\nz\n");
		T_CALL(rn_io_from_memory(s.s, s.len, "in.csv", &io, &e), &e);
		if (!again)
			as_pipe(io);
		rc = read_rows(&ctx, io, &opt, &out, &e);
		T_OK(longer ? rc == RN_EDATA && strstr(e.msg, quote ? "in.csv:3:1: a quote is not closed: the row would be "
							      "longer than 2 MiB" :
							      "in.csv:3:1: the row is longer than 2 MiB") :
			      !rc && out.len > row && !strcmp(out.s + out.len - 4, " | z"),
		     "a row of 2 MiB and %s (%u): %s", longer ? "more" : "less", k, rc ? e.msg : "");
	}
	rn_str_fini(&s);
	rn_str_fini(&out);
}

/* A line of JSON has the same limit as a row of separated text. */
static void test_long_lines(void)
{
	struct rn_ctx ctx = { .mem_limit = 1 << 20 };
	struct rn_str s = RN_STR_INIT, out = RN_STR_INIT;

	for (unsigned k = 0; k < 8; k++) {
		bool again = k & 1, longer = k & 2;
		struct rn_csv_opt opt = { .kind = RN_TEXT_JSONL, .skip_bad = k & 4 };
		size_t row = (2 << 20) + (longer ? 1 : -1);
		struct rn_err e = { 0 };
		struct rn_io *io;
		int rc;

		rn_str_clear(&s);
		rn_str_clear(&out);
		rn_str_add(&s, "{\"a\":\"x\"}\n{\"a\":\"");
		for (size_t i = 8; i < row; i++)
			rn_str_addc(&s, 'y');
		rn_str_add(&s, "\"}\n{\"a\":\"z\"}\n");
		T_CALL(rn_io_from_memory(s.s, s.len, "in.jsonl", &io, &e), &e);
		if (!again)
			as_pipe(io);
		rc = read_rows(&ctx, io, &opt, &out, &e);
		T_OK(longer ? rc == RN_EDATA && strstr(e.msg, "in.jsonl:2:1: the row is longer than 2 MiB") :
			      !rc && out.len > row - 10 && !strcmp(out.s + out.len - 4, " | z"),
		     "a line of 2 MiB and %s (%u): %s", longer ? "more" : "less", k, rc ? e.msg : "");
	}
	rn_str_fini(&s);
	rn_str_fini(&out);
}

/* Types are set after what was read found others. */
static void check_retype(bool again, bool json, const enum rn_type *types, const char *want)
{
	static const char csv[] = "a,b,c\n1,,7\n2,,8\n",
			  lines[] = "{\"a\":1,\"b\":null,\"c\":\"7\"}\n{\"a\":2,\"c\":\"8\"}\n";
	struct rn_csv_opt opt = { .kind = json ? RN_TEXT_JSONL : RN_TEXT_CSV };
	struct rn_str out = RN_STR_INIT;
	struct rn_csv_reader *r = NULL;
	struct rn_rel *b = NULL;
	struct rn_io *io = NULL;
	struct rn_err e = { 0 };

	T_CALL(json ? rn_io_from_memory(lines, sizeof lines - 1, "in", &io, &e) :
		      rn_io_from_memory(csv, sizeof csv - 1, "in", &io, &e), &e);
	if (!again)
		as_pipe(io);
	T_CALL(rn_csv_open(NULL, io, &opt, &r, &e), &e);
	T_CALL(rn_csv_retype(r, types, &e), &e);
	T_CALL(rn_csv_block(r, &b, &e), &e);
	for (size_t i = 0; b && i < 3; i++) {
		rn_str_addf(&out, "%s %s", i ? "," : "", rn_type_name(rn_csv_schema(r)->cols[i].type));
		for (uint64_t k = 0; k < b->rows && b->cols[i]->type == rn_csv_schema(r)->cols[i].type; k++) {
			rn_str_addc(&out, ' ');
			rn_column_print(b->cols[i], k, &out);
		}
	}
	T_OK(b && !strcmp(out.s, want), "types that are set, %s of %s:%s", again ? "a file" : "a pipe",
	     json ? "JSON lines" : "CSV", out.s);
	rn_rel_unref(b);
	T_CALL(rn_csv_block(r, &b, &e), &e);
	T_OK(!b, "and no row comes twice");
	rn_csv_close(r);
	rn_str_fini(&out);
}

static void test_retype(void)
{
	static const enum rn_type as_found[] = { RN_NTYPES, RN_NTYPES, RN_NTYPES },
				  set[] = { RN_STRING, RN_INT64, RN_FLOAT64 };

	for (unsigned k = 0; k < 4; k++) {
		check_retype(k & 1, k & 2, as_found, k & 2 ? " int64 1 2, string  , string 7 8" :
							     " int64 1 2, string  , int64 7 8");
		check_retype(k & 1, k & 2, set, " string 1 2, int64  , float64 7 8");
	}
}

static void test_zstd(void)
{
	static const char first[] = "\xEF\xBB\xBF" "a,b\n1,2\n3,", second[] = "4\n5,6\n";
	struct rn_csv_opt opt = { 0 };
	struct rn_str out = RN_STR_INIT;
	struct rn_err e = { 0 };
	char buf[500];
	size_t n, missed = 0, all;

	n = ZSTD_compress(buf, sizeof buf, first, sizeof first - 1, 3);
	all = n + ZSTD_compress(buf + n, sizeof buf - n, second, sizeof second - 1, 3);
	T_OK(!read_text(buf, all, "x.csv.zst", true, &opt, &out, &e) &&
		     !strcmp(out.s, "a int64, b int64 | 1,2 | 3,4 | 5,6"), 
	     "two frames: %s%s", out.s, e.msg);
	for (size_t i = 1; i < all; i++)
		if (i != n && (read_text(buf, i, "x.csv.zst", true, &opt, &out, &e) != RN_EDATA ||
			       !strstr(e.msg, "truncated")))
			missed++;
	T_OK(!missed, "truncated zstd is found: %s", e.msg);
	buf[5] ^= 0x55;
	T_OK(read_text(buf, all, "x.csv.zst", true, &opt, &out, &e) == RN_EDATA,
	     "damaged: %s", e.msg);
	rn_str_fini(&out);
}

static void test_hash(void)
{
	struct rn_csv_opt opt = { .block_rows = 2 };
	uint64_t hash[3];

	for (int k = 0; k < 3; k++) {
		const char *text = k < 2 ? "a\n1\n2\n3\n4.5\n5\n" : "a\n1\n2\n3\n4.5\n6\n";
		struct rn_csv_reader *r = NULL;
		struct rn_io *io = NULL;
		struct rn_rel *b;
		struct rn_err e;

		T_CALL(rn_io_from_memory(text, strlen(text), "t", &io, &e), &e);
		if (k == 1)
			io->size = 0; /* one pass instead of two */
		T_CALL(rn_csv_open(NULL, io, &opt, &r, &e), &e);
		do {
			T_CALL(rn_csv_block(r, &b, &e), &e);
			rn_rel_unref(b);
		} while (b);
		hash[k] = rn_csv_hash(r);
		rn_csv_close(r);
	}
	T_OK(hash[0] == hash[1] && hash[0] != hash[2], "the hash is that of the bytes");
}

/* Only the first rows decide, and no more is read than these need. */
static void test_first(void)
{
	struct rn_csv_opt opt = { .first = true, .chunk = 4096 };
	struct rn_csv_reader *r = NULL;
	struct rn_str s = RN_STR_INIT;
	struct rn_io *io = NULL;
	struct rn_rel *b = NULL;
	uint64_t done, total;
	struct rn_err e;

	long_text(&s, 150000, 140000, "x");
	T_CALL(rn_io_from_memory(s.s, s.len, "in.csv", &io, &e), &e);
	T_CALL(rn_csv_open(NULL, io, &opt, &r, &e), &e);
	T_CALL(rn_csv_block(r, &b, &e), &e);
	rn_csv_progress(r, &done, &total);
	T_OK(rn_csv_schema(r)->cols[1].type == RN_INT64 && b && b->rows && total == s.len &&
		     done < total / 2 && done > total / 4,
	     "the first rows: %" PRIu64 " of %" PRIu64 " bytes were read", done, total);
	rn_rel_unref(b);
	rn_csv_close(r);
	rn_str_fini(&s);
}

/* ---- writing ----------------------------------------------------------------- */

static struct rn_rel *sample(void)
{
	struct rn_shape shape = { .rank = 2, .dim = { 2, 2 } };
	struct rn_column *c;
	struct rn_tensor *t;
	struct rn_rel *r = NULL;
	struct rn_err e;

	T_CALL(rn_rel_new("t", 2, &r, &e), &e);
	T_CALL(rn_column_new(RN_INT64, 2, &c, &e), &e);
	c->i64[0] = -5;
	T_CALL(rn_column_need_null(c, &e), &e);
	c->null[1] = 1;
	c->nulls = 1;
	T_CALL(rn_rel_add_col(r, "i", NULL, c, &e), &e);
	T_CALL(rn_column_new_string(2, 10, &c, &e), &e);
	memcpy(c->bytes, "a\"b,\n\xFF", 6);
	c->off[1] = 0;
	c->off[2] = 6;
	T_CALL(rn_rel_add_col(r, "s,", NULL, c, &e), &e);
	T_CALL(rn_column_new(RN_FLOAT64, 2, &c, &e), &e);
	c->f64[0] = 0.1;
	c->f64[1] = INFINITY;
	T_CALL(rn_rel_add_col(r, "f", "q", c, &e), &e);
	T_CALL(rn_column_new(RN_TIMESTAMP, 2, &c, &e), &e);
	c->i64[0] = 0;
	c->i64[1] = 1500000;
	T_CALL(rn_rel_add_col(r, "t", NULL, c, &e), &e);
	T_CALL(rn_column_new(RN_BOOL, 2, &c, &e), &e);
	c->b[0] = 1;
	T_CALL(rn_rel_add_col(r, "b", NULL, c, &e), &e);
	T_CALL(rn_tensor_new(&shape, 2, &t, &e), &e);
	for (int i = 0; i < 8; i++)
		t->data[i] = (float)i / 10;
	T_CALL(rn_rel_add_part(r, "z", t, NULL, &e), &e);
	T_CALL(rn_tensor_new_sparse(9, 2, 2, &t, &e), &e);
	t->ptr[1] = 2;
	t->ptr[2] = 2;
	t->col[1] = 8;
	t->data[0] = 1;
	t->data[1] = 2.5f;
	T_CALL(rn_rel_add_part(r, "x", t, NULL, &e), &e);
	return r;
}

static char *write_text(const struct rn_rel *r, struct rn_text_opt opt)
{
	struct rn_io *io = NULL;
	struct rn_err e;
	void *data;
	char *text;
	size_t n;

	T_CALL(rn_io_to_memory(&data, &n, &io, &e), &e);
	T_CALL(rn_text_write_header(io, &r->schema, &opt, &e), &e);
	T_CALL(rn_text_write_rows(io, r, &opt, &e), &e);
	T_CALL(io->ops->close(io, &e), &e);
	text = calloc(n + 1, 1);
	memcpy(text, data, n);
	free(data);
	return text;
}

static void check_written(const struct rn_rel *r, struct rn_text_opt opt, const char *want,
			  const char *what)
{
	char *got = write_text(r, opt);

	if (!T_OK(strcmp(got, want) == 0, "%s", what))
		printf("# got:  %s\n# want: %s\n", got, want);
	free(got);
}

static void test_writing(void)
{
	struct rn_rel *r = sample();

	check_written(r, (struct rn_text_opt){ .kind = RN_TEXT_CSV },
		      "i,\"s,\",f,t,b,z0,z1,z2,z3,x\n"
		      "-5,\"\",0.1,1970-01-01T00:00:00Z,true,0,0.1,0.2,0.3,0:1 8:2.5\n"
		      ",\"a\"\"b,\n\xFF\",inf,1970-01-01T00:00:01.5Z,false,0.4,0.5,0.6,0.7,\n",
		      "CSV");
	check_written(r, (struct rn_text_opt){ .kind = RN_TEXT_TSV, .no_embedding = true,
					       .no_header = true },
		      "-5\t\"\"\t0.1\t1970-01-01T00:00:00Z\ttrue\n"
		      "\t\"a\"\"b,\n\xFF\"\tinf\t1970-01-01T00:00:01.5Z\tfalse\n",
		      "TSV");
	check_written(r, (struct rn_text_opt){ .kind = RN_TEXT_JSONL },
		      "{\"i\": -5, \"s,\": \"\", \"f\": 0.1, \"t\": \"1970-01-01T00:00:00Z\", "
		      "\"b\": true, \"z\": [[0, 0.1], [0.2, 0.3]], \"x\": {\"0\": 1, \"8\": 2.5}}\n"
		      "{\"i\": null, \"s,\": \"a\\\"b,\\u000a\xEF\xBF\xBD\", \"f\": null, "
		      "\"t\": \"1970-01-01T00:00:01.5Z\", \"b\": false, \"z\": [[0.4, 0.5], "
		      "[0.6, 0.7]], \"x\": {}}\n",
		      "JSON lines");
	rn_rel_unref(r);
}

int main(void)
{
	test_table();
	test_options();
	test_dialect();
	test_skip_bad();
	test_late_types();
	test_large();
	test_long_rows();
	test_long_lines();
	test_retype();
	test_zstd();
	test_hash();
	test_first();
	test_writing();
	return t_done();
}
