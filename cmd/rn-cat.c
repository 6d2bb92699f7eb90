/* SPDX-License-Identifier: Apache-2.0
 *
 * rn-cat: a stream as CSV, TSV, JSON lines or .npy, or as a table for people.
 */
#include "../formats/database.h"
#include "../formats/text_out.h"
#include "grid.h"

#include <string.h>
#include <unistd.h>

static const struct rn_opt opts[] = {
	{ .name = "format", .type = RN_OPT_CHOICE, .meta = "FORMAT", .dflt = "auto",
	  .choices = "auto|csv|tsv|jsonl|npy|table",
	  .help = "by the output's name unless given; else table on a terminal, and csv" },
	{ .name = "header", .type = RN_OPT_FLAG, .dflt = "true",
	  .help = "begin CSV, TSV and a table with the names of the columns" },
	{ .name = "delimiter", .type = RN_OPT_STRING, .meta = "C",
	  .help = "one character between fields, or \\t (CSV: a comma)" },
	{ .name = "embedding", .type = RN_OPT_FLAG, .dflt = "true",
	  .help = "write the embedding after the columns" },
	{ .name = "to", .type = RN_OPT_STRING, .meta = "DATABASE",
	  .help = "write a table: sqlite:FILE?table=T, postgresql://HOST/DB?table=T" },
	{ .name = "append", .type = RN_OPT_FLAG,
	  .help = "with --to: add to the table if it is there" },
};

static const char *const examples[] = {
	"rn-scan paper.csv | rn-filter 'label = 3' | rn-cat",
	"rn-cat h1.er --format npy -o h1.npy",
	NULL,
};

static const struct rn_tool tool = {
	.name = "rn-cat",
	.what = "print a stream as a table, as text, or as an .npy matrix",
	.usage = "[FILE]",
	.examples = examples,
	.see_also = "rn-scan(1), rn-head(1), rn-info(1)",
	RN_CLI_OPTS(opts),
	.min_in = 1,
	.max_in = 1,
};

static int write_table(const struct rn_cli *c, const char *to, struct rn_err *e)
{
	static const char *const text[] = { "format", "header", "delimiter", "embedding" };

	for (size_t i = 0; i < sizeof text / sizeof *text; i++)
		if (json_object_get(c->opt, text[i]))
			return rn_err_set(e, RN_EUSAGE, "--%s is not for --to", text[i]);
	if (strcmp(c->output, "-"))
		return rn_err_set(e, RN_EUSAGE, "--output and --to: give one of them");
	if (!rn_db_is_name(to))
		return rn_err_set(e, RN_EUSAGE, "--to wants " RN_DB_NAMES ", not '%s'", to);
	return rn_rows_to_table(c, to, rn_cli_flag(c, "append"), e);
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);

	return n > k && !strcmp(s + n - k, end);
}

/* Looks through what compresses: x.json.gz promises JSON. */
static bool promises(const char *path, const char *end)
{
	size_t n, k = strlen(end);

	rn_codec_of(path, &n);
	return n > k && !memcmp(path + n - k, end, k);
}

/* Does --format, or a terminal, ask for a table? */
static bool wants_grid(const struct rn_cli *c)
{
	const char *format = rn_cli_string(c, "format");

	if (strcmp(format, "auto"))
		return !strcmp(format, "table");
	return !strcmp(c->output, "-") && !rn_cli_string(c, "delimiter") && isatty(STDOUT_FILENO);
}

/* Options of CSV for what is none, and names that promise what is not written. */
static int check_form(const struct rn_cli *c, enum rn_form form, const char *delimiter, bool no_header,
		      struct rn_err *e)
{
	static const char *const others[] = { ".json", ".parquet", ".arrow", ".xlsx", ".bz2", ".xz", ".lz4", ".zip" };
	bool separated = form == RN_FORM_CSV || form == RN_FORM_TSV || wants_grid(c);

	if (!separated && (delimiter || no_header))
		return rn_err_set(e, RN_EUSAGE, "--%s is for CSV and TSV", delimiter ? "delimiter" : "no-header");
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (!strcmp(rn_cli_string(c, "format"), "auto") && promises(c->output, others[i]))
			return rn_err_set(e, RN_EUSAGE, "'%s' would be plain CSV, which no %s is: name another file "
					  "(.jsonl and .csv.gz are written), or say --format csv", c->output,
					  others[i]);
	return 0;
}

static int run(const struct rn_cli *c, struct rn_err *e)
{
	const char *delimiter = rn_cli_string(c, "delimiter"), *to = rn_cli_string(c, "to");
	struct rn_text_opt text = {
		.no_header = !rn_cli_flag(c, "header"),
		.no_embedding = !rn_cli_flag(c, "embedding"),
		.team = c->ctx.team,
	};
	enum rn_form form = rn_form_of(rn_cli_string(c, "format"), c->output, RN_FORM_CSV);

	if (to)
		return write_table(c, to, e);
	if (rn_cli_flag(c, "append"))
		return rn_err_set(e, RN_EUSAGE, "--append is for --to");
	if (delimiter && !rn_csv_delimiter(delimiter, &text.delimiter))
		return rn_err_set(e, RN_EUSAGE,
				  "--delimiter wants one character that is neither a quote nor a "
				  "line end, not '%s'",
				  delimiter);
	if (wants_grid(c)) {
		const struct rn_grid_opt grid = { text.no_header, text.no_embedding };

		if (delimiter)
			return rn_err_set(e, RN_EUSAGE, "--delimiter is not for a table");
		return rn_grid_pump(c, &grid, UINT64_MAX, e);
	}
	if (form == RN_FORM_STREAM)
		return rn_err_set(e, RN_EUSAGE,
				  "'%s' would be a stream, and rn-cat writes text: name a "
				  "--format, or use rn-head",
				  c->output);
	if (ends_with(c->output, ".npz"))
		return rn_err_set(e, RN_EUSAGE,
				  "'%s' would be an archive of matrices, which is not written: name "
				  "an .npy file",
				  c->output);
	RN_TRY(check_form(c, form, delimiter, text.no_header, e));
	if (form == RN_FORM_NPY && text.no_embedding)
		return rn_err_set(e, RN_EUSAGE,
				  "an .npy file holds the embedding and nothing else: "
				  "leave out --no-embedding");
	return rn_rows_pump(c, form, &text, UINT64_MAX, e);
}

int main(int argc, char **argv)
{
	struct rn_err e = { 0 };
	struct rn_cli c;

	rn_cli_begin(&c, &tool, argc, argv);
	return rn_cli_end(&c, run(&c, &e), &e);
}
