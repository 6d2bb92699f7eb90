/* SPDX-License-Identifier: Apache-2.0
 *
 * Separated text however it is cut into chunks and blocks, by however many threads,
 * compressed or not: rows, messages and warnings are the same.
 */
#include "csv_table.h"
#include "text_rows.h"

#include "../../lib/base/team.h"

#include <inttypes.h>
#include <zlib.h>
#include <zstd.h>

static struct rn_team *team;

/* What the reader says of the text: rows, or "!" and the message; then warnings; then the
 * rows of each block. */
struct outcome {
	struct rn_str text, log, blocks;
};

static void note(void *arg, enum rn_log_level level, const char *msg)
{
	rn_str_addf(arg, "%s;", level == RN_LOG_WARN ? msg : "?");
}

static void outcome_fini(struct outcome *o)
{
	rn_str_fini(&o->text);
	rn_str_fini(&o->log);
	rn_str_fini(&o->blocks);
}

static int print_blocks(struct rn_csv_reader *r, struct outcome *o, struct rn_err *e)
{
	const struct rn_schema *s = rn_csv_schema(r);
	struct rn_rel *b;

	for (size_t i = 0; i < s->ncols; i++)
		rn_str_addf(&o->text, "%s%s %s", i ? ", " : "", s->cols[i].name,
			    rn_type_name(s->cols[i].type));
	for (;;) {
		RN_TRY(rn_csv_block(r, &b, e));
		if (!b)
			return 0;
		rn_str_addf(&o->blocks, "%" PRIu64 " ", b->rows);
		for (uint64_t i = 0; i < b->rows; i++)
			for (size_t c = 0; c < b->schema.ncols; c++) {
				rn_str_add(&o->text, c ? "," : " | ");
				if (rn_column_is_null(b->cols[c], i))
					rn_str_add(&o->text, "<null>");
				else
					rn_column_print(b->cols[c], i, &o->text);
			}
		rn_rel_unref(b);
	}
}

static struct outcome look(const void *text, size_t n, bool again, bool threads, uint64_t mem,
			   struct rn_csv_opt opt)
{
	struct outcome o = { RN_STR_INIT, RN_STR_INIT, RN_STR_INIT };
	struct rn_ctx c = { .log = note, .log_arg = &o.log, .threads = threads ? 3 : 1,
			    .team = threads ? team : NULL, .mem_limit = mem };
	struct rn_csv_reader *r = NULL;
	struct rn_io *io = NULL;
	struct rn_err e = { 0 };
	int rc;

	T_CALL(rn_io_from_memory(text, n, "in.csv", &io, &e), &e);
	if (!again)
		as_pipe(io);
	rc = rn_csv_open(&c, io, &opt, &r, &e);
	if (!rc) {
		rc = print_blocks(r, &o, &e);
		rn_csv_close(r);
	}
	if (rc) { /* how far it came before is no matter */
		rn_str_clear(&o.text);
		rn_str_addf(&o.text, "!%d: %s", rc, e.msg);
	}
	return o;
}

/* The text as gzip or zstd has it; free() it. */
static void *packed(const void *text, size_t n, bool zstd, size_t *len)
{
	size_t cap = ZSTD_compressBound(n) + n / 100 + 1000;
	z_stream z = { 0 };
	void *p = malloc(cap);

	if (zstd) {
		*len = ZSTD_compress(p, cap, text, n, 1);
		return p;
	}
	if (deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		abort();
	z.next_in = (unsigned char *)text;
	z.avail_in = (unsigned)n;
	z.next_out = p;
	z.avail_out = (unsigned)cap;
	if (deflate(&z, Z_FINISH) != Z_STREAM_END)
		abort();
	*len = z.total_out;
	deflateEnd(&z);
	return p;
}

static const size_t chunks[] = { 4, 5, 8, 13, 64, 1000 };

/* Every way to read the text must give `want`, and every number of threads the same
 * blocks.  Returns how many ways do not, the first in `how`. */
static unsigned try_all(const char *text, size_t n, const struct outcome *want, bool again,
			struct rn_csv_opt opt, char how[100])
{
	unsigned wrong = 0;

	for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
		struct outcome first = { RN_STR_INIT, RN_STR_INIT, RN_STR_INIT };

		opt.chunk = chunks[i];
		for (unsigned k = 0; k < 4; k++) {
			bool threads = k & 1, small = k & 2;
			struct outcome o = look(text, n, again, threads, small ? 4 : 0, opt);
			bool same = !strcmp(o.text.s, want->text.s) &&
				    (o.text.s[0] == '!' || !strcmp(o.log.s, want->log.s));

			if (!k)
				rn_str_add(&first.blocks, o.blocks.s);
			if (!small && o.text.s[0] != '!')
				same = same && !strcmp(o.blocks.s, first.blocks.s);
			if (!same && !wrong++)
				snprintf(how, 100, "chunks of %zu, %s, %s%s: %.40s", chunks[i],
					 again ? "file" : "pipe", threads ? "3 threads" : "1 thread",
					 small ? ", little memory" : "", o.text.s);
			outcome_fini(&o);
		}
		outcome_fini(&first);
	}
	return wrong;
}

static void check_text(const char *text, size_t n, struct rn_csv_opt opt, const char *what)
{
	char how[100] = "";
	unsigned wrong = 0;

	for (int again = 0; again < 2; again++) {
		struct outcome want = look(text, n, again, false, 0, opt);

		wrong += try_all(text, n, &want, again, opt, how);
		for (int zstd = 0; zstd < 2; zstd++) {
			size_t len;
			void *p = packed(text, n, zstd, &len);
			struct rn_csv_opt cut = opt;
			struct outcome o;

			cut.chunk = 8;
			o = look(p, len, again, true, 0, cut);
			wrong += strcmp(o.text.s, want.text.s) != 0;
			outcome_fini(&o);
			free(p);
		}
		outcome_fini(&want);
	}
	T_OK(!wrong, "%s: %u ways are wrong %s", what, wrong, how);
}

static void test_cuts(void)
{
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		char what[100];

		show(table[i].text, table[i].len, what, sizeof what);
		check_text(table[i].text, table[i].len, (struct rn_csv_opt){ 0 }, what);
		check_text(table[i].text, table[i].len, (struct rn_csv_opt){ .skip_bad = true }, what);
	}
}

static void test_cut_dialects(void)
{
	static const char notes[] = "#\"\n#,\"x\na,b\n1,\"#\n#\"\n#\"\n2,x\n#";
	static const char bad[] = "s,i,t\nx,,1\n,2,\xFF\n\"a\"b,1,2\ny,3,z\n1\n,,\n5,\"\n\"x,6\n"
				  "\"q,1,1\nw,5,\n\"u\n,v\",7,\r\n";
	static const char bare[] = "\n\n\n5\n\n6\n";
	static const char *const null[] = { "NA", "7" };
	static const char *const names[] = { "i" };
	static const enum rn_type types[] = { RN_INT64 };

	check_text(notes, sizeof notes - 1, (struct rn_csv_opt){ .comment = '#' }, "comments with quotes");
	check_text(bad, sizeof bad - 1, (struct rn_csv_opt){ .skip_bad = true }, "bad rows");
	check_text(bad, sizeof bad - 1,
		   (struct rn_csv_opt){ .skip_bad = true, .ntypes = 1, .type_names = names,
					.types = types, .nnull = 2, .null = null },
		   "bad rows and values, texts of NULL");
	check_text(bare, sizeof bare - 1, (struct rn_csv_opt){ .no_header = true },
		   "one column without a header: blank lines are NULL");
}

/* Types that widen one after another, far behind the first rows. */
static void test_cut_types(void)
{
	static const char *const late[] = { "2.5,1,true", "x,9223372036854775808,1",
					    "1,1.5,\"u\nv\"", "9223372036854775808,,", "-5,7,8" };
	struct rn_str s = RN_STR_INIT;

	for (unsigned from = 0; from < 5; from++) {
		struct outcome o;

		rn_str_clear(&s);
		rn_str_add(&s, "a,b,c\n");
		for (unsigned i = 0; i < 1400; i++) {
			if (i > 1100 && i % 40 == 0)
				rn_str_addf(&s, "%s\n", late[(from + i / 40) % 5]);
			else
				rn_str_addf(&s, "%u,%u,\n", i, i);
		}
		o = look(s.s, s.len, true, false, 0, (struct rn_csv_opt){ 0 });
		T_OK(o.text.s[0] == 'a' && strstr(o.text.s, " | 1399,1399,"), "types widen: %.60s",
		     o.text.s);
		outcome_fini(&o);
		check_text(s.s, s.len, (struct rn_csv_opt){ 0 }, "the same in chunks");
	}
	rn_str_fini(&s);
}

/* What is larger than a chunk. */
static void test_cut_large(void)
{
	struct rn_str s = RN_STR_INIT;
	struct outcome o;

	rn_str_add(&s, "a,b\n1,\"");
	for (unsigned i = 0; i < 3000; i++)
		rn_str_add(&s, i % 50 == 49 ? "\n" : i % 7 ? "x" : "\"\"");
	rn_str_add(&s, "\"\n2,");
	for (unsigned i = 0; i < 3000; i++)
		rn_str_addc(&s, "y\"z"[i % 3]);
	rn_str_add(&s, "\n3,w");
	check_text(s.s, s.len, (struct rn_csv_opt){ 0 }, "fields larger than chunks");
	rn_str_add(&s, ",\n4,u\n");
	check_text(s.s, s.len, (struct rn_csv_opt){ .skip_bad = true }, "and a row that is too long");
	rn_str_add(&s, "5,\"open\n6,v\n");
	check_text(s.s, s.len, (struct rn_csv_opt){ 0 }, "a quote that is never closed");
	check_text(s.s, s.len, (struct rn_csv_opt){ .skip_bad = true }, "the same, passed over");
	rn_str_clear(&s);
	for (unsigned r = 0; r < 3; r++)
		for (unsigned i = 0; i < 10000; i++)
			rn_str_addf(&s, r ? "%u%c" : "c%u%c", i + r, i == 9999 ? '\n' : ',');
	o = look(s.s, s.len, false, true, 0, (struct rn_csv_opt){ .chunk = 64 });
	T_OK(strstr(o.text.s, " | 1,2,3,") && strstr(o.text.s, ",10001"), "10,000 columns in chunks");
	outcome_fini(&o);
	rn_str_fini(&s);
}

int main(void)
{
	struct rn_err e;

	T_CALL(rn_team_new(3, &team, &e), &e);
	test_cuts();
	test_cut_dialects();
	test_cut_types();
	test_cut_large();
	rn_team_free(team);
	return t_done();
}
