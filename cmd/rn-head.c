/* SPDX-License-Identifier: Apache-2.0
 *
 * rn-head: the first rows of a stream, of all or of each group, in its order or
 * another, or some at random; as a stream.  On a terminal, which wants no stream,
 * they are a table for people.
 */
#include "../lib/exec/ext_head.h"
#include "grid.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

static const struct rn_opt opts[] = {
	{ .name = "rows", .letter = 'n', .type = RN_OPT_INT, .meta = "N", .dflt = "10",
	  .help = "how many" },
	{ .name = "by", .letter = 'b', .type = RN_OPT_LIST,
	  .flags = RN_OPT_MULTI | RN_OPT_UNIQUE, .meta = "COL,...",
	  .help = "so many of each group, by these columns" },
	{ .name = "order", .type = RN_OPT_LIST, .flags = RN_OPT_MULTI, .meta = "EXPR[ desc],...",
	  .help = "the first of this order, and in it" },
	{ .name = "random", .type = RN_OPT_INT, .meta = "N", .help = "N rows drawn by --seed" },
};

static const char *const examples[] = {
	"rn-scan paper.csv | rn-head -n 3 | rn-cat",
	"rn-head --random 100 papers.er -o sample.er",
	NULL,
};

static const struct rn_tool tool = {
	.name = "rn-head",
	.what = "keep the first rows of a stream; on a terminal, show them as a table",
	.usage = "[FILE]",
	.examples = examples,
	.see_also = "rn-cat(1), rn-filter(1)",
	RN_CLI_OPTS(opts),
	.flags = RN_TOOL_PIPED,
	.min_in = 1,
	.max_in = 1,
};

/* All rows from r to h. */
static int read_rows(struct rn_rows *r, struct rn_ext_head *h, struct rn_pipe_stats *stats,
		     struct rn_err *e)
{
	uint64_t done, total;
	struct rn_rel *b;
	int rc = 0;

	while (!rc) {
		RN_TRY(rn_rows_block(r, &b, e));
		if (!b)
			return 0;
		stats->rows_in += b->rows;
		rn_rows_progress(r, &done, &total);
		rn_ext_head_expect(h, stats->rows_in, done, total);
		rc = rn_ext_head_add(h, b, e);
		rn_rel_unref(b);
	}
	return rc;
}

static const struct rn_grid_opt whole = { false, false };

/* Where the rows go, opened with the first of them: a terminal's grid, or a file. */
struct out {
	const struct rn_cli *cli;
	enum rn_form form;
	const json_t *history;
	bool terminal, open;
	struct rn_grid *grid;
	struct rn_sink sink;
	uint64_t rows;
};

static int put(void *arg, const struct rn_rel *r, struct rn_err *e)
{
	struct out *o = arg;

	if (!o->open && o->terminal)
		RN_TRY(rn_grid_open(o->cli, &r->schema, &whole, &o->sink.stats, &o->grid, e));
	else if (!o->open)
		RN_TRY(rn_sink_open(o->cli, o->form, NULL, &r->schema, o->history, &o->sink, e));
	o->open = true;
	o->rows += r->rows;
	return o->terminal ? rn_grid_rows(o->grid, r, e) : rn_sink_rows(&o->sink, r, e);
}

/* Rows that are known only when all have been read. */
static int choose(const struct rn_cli *c, bool terminal, enum rn_form form,
		  const struct rn_head_conf *conf, struct rn_err *e)
{
	struct out o = { .cli = c, .form = form, .terminal = terminal };
	struct rn_pipe_stats stats = { 0 };
	double start = rn_now();
	struct rn_ext_head *h = NULL;
	struct rn_rows r = { 0 };
	int rc;

	RN_GOTO(out, rn_rows_open(&c->ctx, &c->in[0], &r, e));
	o.history = json_object_get(r.header, "history");
	RN_GOTO(out, rn_ext_head_open(&c->ctx, conf, r.schema, &h, e));
	RN_GOTO(out, read_rows(&r, h, &stats, e));
	rc = rn_ext_head_end(h, put, &o, e);
	stats.spilled_bytes = rn_ext_head_spilled(h);
	if (o.open)
		rc = terminal ? rn_grid_close(o.grid, rc, e) : rn_sink_close(&o.sink, rc, e);
	stats.out = o.sink.stats;
	stats.rows_out = o.rows;
	stats.seconds = rn_now() - start;
	if (!rc)
		rn_cli_print_stats(c, &stats);
out:
	if (rc && !o.open && !terminal && form == RN_FORM_STREAM)
		rn_sink_refuse(c, e->msg);
	rn_ext_head_close(h);
	rn_rows_close(&r);
	return rc;
}

static int check(bool random, int64_t n, const struct rn_cli *c, struct rn_err *e)
{
	if (n < 0)
		return rn_err_set(e, RN_EUSAGE, "--%s must be 0 or more, not %" PRId64,
				  random ? "random" : "rows", n);
	if (random && (rn_cli_json(c, "order") || json_object_get(c->opt, "rows")))
		return rn_err_set(e, RN_EUSAGE, "give --random N alone, or --rows N and --order");
	return 0;
}

static int run(const struct rn_cli *c, struct rn_err *e)
{
	bool terminal = !strcmp(c->output, "-") && !c->force && isatty(STDOUT_FILENO);
	enum rn_form form = rn_form_of("auto", c->output, RN_FORM_STREAM);
	bool random = json_object_get(c->opt, "random");
	int64_t n = rn_cli_int(c, random ? "random" : "rows");
	int rc;
	struct rn_head_conf conf = { .rows = (uint64_t)n, .by = rn_cli_json(c, "by"),
				     .order = rn_cli_json(c, "order"), .random = random,
				     .seed = c->ctx.seed };

	rc = check(random, n, c, e);
	if (rc) {
		if (!terminal && form == RN_FORM_STREAM)
			rn_sink_refuse(c, e->msg);
		return rc;
	}
	if (random || conf.order || conf.by)
		return choose(c, terminal, form, &conf, e);
	if (terminal)
		return rn_grid_pump(c, &whole, (uint64_t)n, e);
	return rn_rows_pump(c, form, NULL, (uint64_t)n, e);
}

int main(int argc, char **argv)
{
	struct rn_err e = { 0 };
	struct rn_cli c;

	rn_cli_begin(&c, &tool, argc, argv);
	return rn_cli_end(&c, run(&c, &e), &e);
}
