/* SPDX-License-Identifier: Apache-2.0
 *
 * rn-head: the first rows of a stream, as a stream.  On a terminal, which
 * wants no stream, they are CSV.
 */
#include "rows.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

static const struct rn_opt opts[] = {
	{ .name = "rows", .letter = 'n', .type = RN_OPT_INT, .meta = "N", .dflt = "10",
	  .help = "how many" },
};

static const char *const examples[] = {
	"rn-scan paper.csv | rn-head -n 3 | rn-cat",
	"rn-head -n 100 papers.er -o sample.er",
	NULL,
};

static const struct rn_tool tool = {
	.name = "rn-head",
	.what = "keep the first rows of a stream; on a terminal, show them as CSV",
	.usage = "[FILE]",
	.examples = examples,
	.see_also = "rn-cat(1), rn-filter(1)",
	RN_CLI_OPTS(opts),
	.min_in = 1,
	.max_in = 1,
};

static int run(const struct rn_cli *c, struct rn_err *e)
{
	bool terminal = !strcmp(c->output, "-") && !c->force && isatty(STDOUT_FILENO);
	int64_t n = rn_cli_int(c, "rows");

	if (n < 0)
		return rn_err_set(e, RN_EUSAGE, "--rows must be 0 or more, not %" PRId64, n);
	return rn_rows_pump(c,
			    rn_form_of("auto", c->output, terminal ? RN_FORM_CSV : RN_FORM_STREAM),
			    NULL, (uint64_t)n, e);
}

int main(int argc, char **argv)
{
	struct rn_err e = { 0 };
	struct rn_cli c;

	rn_cli_begin(&c, &tool, argc, argv);
	return rn_cli_end(&c, run(&c, &e), &e);
}
