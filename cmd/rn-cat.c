/* SPDX-License-Identifier: Apache-2.0
 *
 * rn-cat: a stream as CSV, TSV, JSON lines or .npy.
 */
#include "rows.h"

static const struct rn_opt opts[] = {
	{ .name = "format", .type = RN_OPT_CHOICE, .meta = "FORMAT", .dflt = "auto",
	  .choices = "auto|csv|tsv|jsonl|npy", .help = "by the output's name unless given, else csv" },
	{ .name = "header", .type = RN_OPT_FLAG, .dflt = "true",
	  .help = "begin CSV and TSV with the names of the columns" },
	{ .name = "embedding", .type = RN_OPT_FLAG, .dflt = "true",
	  .help = "write the embedding after the columns" },
};

static const char *const examples[] = {
	"rn-scan paper.csv | rn-filter 'label = 3' | rn-cat",
	"rn-cat h1.er --format npy -o h1.npy",
	NULL,
};

static const struct rn_tool tool = {
	.name = "rn-cat",
	.what = "print a stream as text, or as an .npy matrix",
	.usage = "[FILE]",
	.examples = examples,
	.see_also = "rn-scan(1), rn-head(1), rn-info(1)",
	RN_CLI_OPTS(opts),
	.min_in = 1,
	.max_in = 1,
};

static int run(const struct rn_cli *c, struct rn_err *e)
{
	const struct rn_text_opt text = {
		.no_header = !rn_cli_flag(c, "header"),
		.no_embedding = !rn_cli_flag(c, "embedding"),
	};
	enum rn_form form = rn_form_of(rn_cli_string(c, "format"), c->output, RN_FORM_CSV);

	if (form == RN_FORM_STREAM)
		return rn_err_set(e, RN_EUSAGE,
				  "'%s' would be a stream, and rn-cat writes text: name a --format, or "
				  "use rn-head",
				  c->output);
	if (form == RN_FORM_NPY && text.no_embedding)
		return rn_err_set(e, RN_EUSAGE, "an .npy file holds the embedding and nothing else: "
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
