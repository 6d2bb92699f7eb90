/* SPDX-License-Identifier: Apache-2.0
 *
 * --help, --version and --dump-options, from the tables.  A help text has at
 * most 40 lines: where the rows of one program do not fit, first the common
 * options and then its further ones are shown in short.
 */
#include "cli.h"

#include "../formats/container_format.h"

#include <ctype.h>
#include <dlfcn.h>
#include <string.h>
#include <zstd.h>

enum { MAX_LINES = 40, HELP_COLUMN = 27, WIDTH = 90 };

/* ---- one row --------------------------------------------------------------------------- */

/* "--[no-]bias", "--stats[=json]", "--lr X" */
static void print_long(const struct rn_opt *o, struct rn_str *out)
{
	bool on = o->type == RN_OPT_FLAG && o->dflt && !strcmp(o->dflt, "true");

	rn_str_addf(out, "--%s%s", on ? "[no-]" : "", o->name);
	if (o->type != RN_OPT_FLAG)
		rn_str_addf(out, o->flags & RN_CLI_BARE ? "[=%s]" : " %s",
			    o->meta ? o->meta : "VALUE");
	else if (o->flags & RN_CLI_NAMED)
		rn_str_addf(out, "[=%s]", o->meta);
}

static void print_row(const struct rn_opt *o, struct rn_str *out)
{
	struct rn_str left = RN_STR_INIT;

	if (o->flags & RN_OPT_POSITIONAL) {
		rn_str_addf(&left, "  %s", o->meta ? o->meta : "VALUE");
	} else {
		if (o->letter)
			rn_str_addf(&left, "  -%c, ", o->letter);
		else
			rn_str_add(&left, "      ");
		print_long(o, &left);
	}
	rn_str_addf(out, "%-*s", HELP_COLUMN - 2, left.s);
	rn_str_addf(out, "  %s", o->help);
	out->failed |= left.failed;
	rn_str_fini(&left);
	if (o->type == RN_OPT_CHOICE && !(o->flags & RN_CLI_BARE))
		rn_str_addf(out, "; %s", o->choices);
	if (o->dflt && o->type != RN_OPT_FLAG && strcmp(o->dflt, "-"))
		rn_str_addf(out, " (%s)", o->dflt);
	rn_str_addc(out, '\n');
}

/* ---- groups of rows -------------------------------------------------------------------- */

struct group {
	const struct rn_tool *tool;
	const struct rn_opt *opts;
	size_t n;
	const char *title; /* NULL: none */
	bool common, further;
	bool brief; /* those that are told by name alone */
};

static bool shown(const struct group *g, const struct rn_opt *o)
{
	return !(o->flags & RN_OPT_HIDDEN) && !(o->flags & RN_CLI_BRIEF) == !g->brief && !(g->common && !rn_cli_takes(g->tool, o)) &&
	       !(g->further && o->type == RN_OPT_NODE);
}

static size_t group_lines(const struct group *g)
{
	size_t lines = 0;

	for (size_t i = 0; i < g->n; i++)
		lines += shown(g, &g->opts[i]);
	return lines ? lines + (g->title != NULL) : 0;
}

static void print_rows(const struct group *g, struct rn_str *out)
{
	if (!group_lines(g))
		return;
	if (g->title)
		rn_str_addf(out, "%s:\n", g->title);
	for (size_t i = 0; i < g->n; i++)
		if (shown(g, &g->opts[i]))
			print_row(&g->opts[i], out);
}

/* The names alone, filled into lines. */
static void print_short(const struct group *g, struct rn_str *out)
{
	size_t column, pad = strlen(g->title) + 2;

	if (!group_lines(g))
		return;
	rn_str_addf(out, "%s:", g->title);
	column = pad - 1;
	for (size_t i = 0; i < g->n; i++) {
		const struct rn_opt *o = &g->opts[i];
		struct rn_str item = RN_STR_INIT;

		if (!shown(g, o))
			continue;
		if (o->letter)
			rn_str_addf(&item, "-%c ", o->letter);
		print_long(o, &item);
		if (column + item.len + 2 > WIDTH) {
			rn_str_add(out, "\n ");
			column = 1;
		}
		rn_str_addf(out, " %s%s", item.s, i + 1 < g->n && shown(g, o + 1) ? "," : "");
		column += item.len + 2;
		out->failed |= item.failed;
		rn_str_fini(&item);
	}
	rn_str_addc(out, '\n');
}

/* ---- the text -------------------------------------------------------------------------- */

static void print_tail(const struct rn_tool *t, struct rn_str *out)
{
	rn_str_add(out, "exit status: 0 done, 1 I/O, 2 usage or schema, 3 bad input, 4 memory or "
			"device,\n  5 diverged, 70 a bug in RN\nexamples:\n");
	for (const char *const *x = t->examples; x && *x; x++)
		rn_str_addf(out, "  %s\n", *x);
	rn_str_addf(out, "see also: %s%srn(7)\n", t->see_also ? t->see_also : "",
		    t->see_also ? ", " : "");
}

static size_t count_lines(const struct rn_str *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->len; i++)
		n += s->s[i] == '\n';
	return n;
}

/* brevity 0: all rows in full, 1: common options in short, 2: further ones too. */
static void print_help(const struct rn_tool *t, int brevity, struct rn_str *out)
{
	const struct group own = { .tool = t, .opts = t->opts, .n = t->nopts };
	const struct group further = { .tool = t, .opts = t->more, .n = t->nmore,
				       .title = t->more_title, .further = true };
	const struct group common = { .tool = t, .opts = rn_cli_common, .n = rn_cli_ncommon,
				      .title = "common options", .common = true };

	const struct group brief = { .tool = t, .opts = t->opts, .n = t->nopts, .title = "also",
				     .brief = true };

	rn_str_addf(out, "usage: %s [OPTION]... %s\n", t->name, t->usage);
	rn_str_addf(out, "%c%s.\n\n", toupper((unsigned char)t->what[0]), t->what + 1);
	print_rows(&own, out);
	print_short(&brief, out);
	if (brevity < 2)
		print_rows(&further, out);
	else
		print_short(&further, out);
	if (brevity < 1)
		print_rows(&common, out);
	else
		print_short(&common, out);
	print_tail(t, out);
}

int rn_cli_help(const struct rn_tool *t, struct rn_str *out, struct rn_err *e)
{
	for (int brevity = 0; brevity <= 2; brevity++) {
		rn_str_clear(out);
		print_help(t, brevity, out);
		if (count_lines(out) <= MAX_LINES)
			break;
	}
	return rn_str_check(out, e);
}

/* ---- versions ---------------------------------------------------------------------------- */

/* OpenBLAS is loaded when it is first needed; ask it what it is. */
static void print_blas(struct rn_str *out)
{
	void *lib = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
	char *(*config)(void) = NULL;

	if (lib)
		*(void **)&config = dlsym(lib, "openblas_get_config");
	rn_str_addf(out, "blas: %s\n",
		    config ? config() : lib ? "libopenblas.so.0" : "none, RN's own kernels");
	if (lib)
		dlclose(lib);
}

int rn_cli_version(const struct rn_tool *t, struct rn_str *out, struct rn_err *e)
{
	struct rn_backend *cuda;
	struct rn_err why = { 0 };

	rn_str_addf(out, "%s (RN) %s\n", t->name, RN_VERSION);
	rn_str_addf(out, "stream format: %d.%d\n", RN_ER_MAJOR, RN_ER_MINOR);
	rn_str_addf(out, "zstd: %s\n", ZSTD_versionString());
	print_blas(out);
	rn_str_addf(out, "cpu kernels: %s\n", rn_cpu_isa());
	if (rn_backend_open("cuda", 1, &cuda, NULL, &why)) {
		rn_str_addf(out, "cuda: no (%s)\n", why.msg);
	} else {
		rn_str_addf(out, "cuda: %s\n", cuda->name);
		cuda->close(cuda);
	}
	return rn_str_check(out, e);
}

/* ---- for completion -------------------------------------------------------------------- */

static void dump(const struct group *g, const char *whose, struct rn_str *out)
{
	for (size_t i = 0; i < g->n; i++) {
		const struct rn_opt *o = &g->opts[i];
		const char *meta = o->type == RN_OPT_FLAG ? "" : o->meta ? o->meta : "VALUE";

		if (!shown(g, o))
			continue;
		rn_str_addf(out, "--%s\t", o->name);
		if (o->letter)
			rn_str_addf(out, "-%c", o->letter);
		rn_str_addf(out, "\t%s\t%s%s\t%s\t%s\t%s\n", meta, whose,
			    o->flags & RN_OPT_POSITIONAL ? " positional" : "",
			    o->dflt ? o->dflt : "", o->help, o->choices ? o->choices : "");
	}
}

int rn_cli_dump(const struct rn_tool *t, struct rn_str *out, struct rn_err *e)
{
	const struct group own = { .tool = t, .opts = t->opts, .n = t->nopts };
	const struct group brief = { .tool = t, .opts = t->opts, .n = t->nopts, .brief = true };
	const struct group further = { .tool = t, .opts = t->more, .n = t->nmore, .further = true };
	const struct group common = { .tool = t, .opts = rn_cli_common, .n = rn_cli_ncommon,
				      .common = true };

	dump(&own, "own", out);
	dump(&brief, "own", out);
	dump(&further, "own", out);
	dump(&common, "common", out);
	return rn_str_check(out, e);
}
