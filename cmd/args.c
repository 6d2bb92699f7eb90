/* SPDX-License-Identifier: Apache-2.0
 *
 * Options and operands from argv, by the rows of three tables: the common
 * options, the program's own, and further ones (rn-train's fit options).
 *
 * Long names are written in full, values stand after '=' or in the next
 * argument, "--" ends the options.  Options and operands may be mixed.  Leading
 * operands that a row declares positional come first, all others are inputs.
 */
#include "cli.h"

#include "../lib/base/json.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the common options ---------------------------------------------------------------- */

const struct rn_opt rn_cli_common[] = {
	{ .name = "help", .letter = 'h', .type = RN_OPT_FLAG, .help = "print this text" },
	{ .name = "version", .letter = 'V', .type = RN_OPT_FLAG,
	  .help = "print the versions of RN and of what it uses" },
	{ .name = "output", .letter = 'o', .type = RN_OPT_STRING, .meta = "FILE", .dflt = "-",
	  .help = "write there; - is standard output" },
	{ .name = "force", .letter = 'f', .type = RN_OPT_FLAG,
	  .help = "allow a stream to and from a terminal" },
	{ .name = "quiet", .letter = 'q', .type = RN_OPT_FLAG, .help = "no warnings" },
	{ .name = "verbose", .letter = 'v', .type = RN_OPT_FLAG, .flags = RN_OPT_MULTI,
	  .help = "say more on standard error; -vv more still" },
	{ .name = "threads", .letter = 't', .type = RN_OPT_INT, .meta = "N",
	  .help = "threads to compute with; no bit depends on it" },
	{ .name = "device", .letter = 'd', .type = RN_OPT_STRING, .meta = "DEVICE", .dflt = "cpu",
	  .choices = "auto|cpu|cuda", .help = "auto, cpu, cuda or cuda:N" },
	{ .name = "math", .type = RN_OPT_CHOICE, .meta = "HOW", .dflt = "f32", .choices = "f32|tf32|bf16",
	  .help = "how cuda multiplies; f32: exactly" },
	{ .name = "compress", .letter = 'z', .type = RN_OPT_STRING, .meta = "HOW", .dflt = "auto",
	  .choices = "auto|none|zstd", .help = "auto, none, zstd or zstd:LEVEL" },
	{ .name = "block-rows", .type = RN_OPT_INT, .meta = "N", .dflt = "65536",
	  .help = "rows in a block of the output" },
	{ .name = "seed", .type = RN_OPT_INT, .meta = "N", .dflt = "1",
	  .help = "seed of everything random" },
	{ .name = "mem", .type = RN_OPT_SIZE, .meta = "SIZE",
	  .help = "memory for data (K, M, G); 3/4 of all" },
	{ .name = "stats", .type = RN_OPT_CHOICE, .flags = RN_CLI_BARE, .meta = "json",
	  .choices = "text|json", .help = "rows, bytes and seconds, at the end" },
	{ .name = "history", .type = RN_OPT_FLAG, .dflt = "true",
	  .help = "keep command lines in the output" },
	{ .name = "strict", .type = RN_OPT_FLAG,
	  .help = "unmatched and NULL keys are errors" },
	{ .name = "name", .type = RN_OPT_STRING, .meta = "NAME",
	  .help = "name of this stage and of its relation" },
	{ .name = "model", .type = RN_OPT_STRING, .meta = "FILE",
	  .help = "apply what this model learned" },
	{ .name = "no-rewrite", .type = RN_OPT_LIST, .flags = RN_OPT_MULTI, .meta = "NAME,...",
	  .help = "leave rewrites of the plan out; all: all" },
	{ .name = "no-optimize", .type = RN_OPT_FLAG, .help = "run the plan as it is written" },
	{ .name = "dump-options", .type = RN_OPT_FLAG, .flags = RN_OPT_HIDDEN,
	  .help = "list the options, for completion" },
};
const size_t rn_cli_ncommon = sizeof rn_cli_common / sizeof rn_cli_common[0];

bool rn_cli_takes(const struct rn_tool *t, const struct rn_opt *o)
{
	if (!strcmp(o->name, "name"))
		return t->flags & RN_TOOL_NAMED;
	if (!strcmp(o->name, "model"))
		return t->flags & RN_TOOL_MODEL;
	return true;
}

/* ---- finding a row --------------------------------------------------------------------- */

struct table {
	const struct rn_opt *opts;
	size_t n;
	json_t *set;
	bool common, further;
};

static void tables(const struct rn_cli *c, struct table t[3])
{
	const struct rn_tool *tool = c->tool;

	t[0] = (struct table){ rn_cli_common, rn_cli_ncommon, c->common, .common = true };
	t[1] = (struct table){ tool->opts, tool->nopts, c->opt, .common = false };
	t[2] = (struct table){ tool->more, tool->nmore, c->more, .further = true };
}

static bool usable(const struct rn_cli *c, const struct table *t, const struct rn_opt *o)
{
	return !(t->common && !rn_cli_takes(c->tool, o)) && !(t->further && o->type == RN_OPT_NODE);
}

/* The row of a long name, or of a letter where name is NULL. */
static const struct rn_opt *find(const struct rn_cli *c, const char *name, char letter,
				 json_t **set)
{
	struct table t[3];

	tables(c, t);
	for (int k = 0; k < 3; k++)
		for (size_t i = 0; i < t[k].n; i++) {
			const struct rn_opt *o = &t[k].opts[i];

			if (!usable(c, &t[k], o) ||
			    (name ? strcmp(o->name, name) : o->letter != letter))
				continue;
			*set = t[k].set;
			return o;
		}
	return NULL;
}

static int unknown_long(const struct rn_cli *c, const char *name, struct rn_err *e)
{
	const char *no = strncmp(name, "no-", 3) ? "" : "no-";
	struct rn_near near, near_bare;
	struct table t[3];

	rn_near_init(&near, name);
	rn_near_init(&near_bare, name + strlen(no));
	tables(c, t);
	for (int k = 0; k < 3; k++)
		for (size_t i = 0; i < t[k].n; i++) {
			const struct rn_opt *o = &t[k].opts[i];

			if (!usable(c, &t[k], o) || (o->flags & RN_OPT_HIDDEN))
				continue;
			rn_near_add(&near, o->name);
			if (*no && o->type == RN_OPT_FLAG)
				rn_near_add(&near_bare, o->name);
		}
	if (*no && near_bare.best)
		return rn_err_set(e, RN_EUSAGE, "unknown option '--%s'; did you mean '--no-%s'?",
				  name, near_bare.best);
	if (near.best)
		return rn_err_set(e, RN_EUSAGE, "unknown option '--%s'; did you mean '--%s'?",
				  name, near.best);
	return rn_err_set(e, RN_EUSAGE, "unknown option '--%s'; see '%s --help'", name,
			  c->tool->name);
}

/* ---- inputs ---------------------------------------------------------------------------- */

/* Length of NAME in NAME=FILE, or 0: only an identifier is a name. */
static size_t name_length(const char *s)
{
	size_t n = 0;

	while (isalnum((unsigned char)s[n]) || s[n] == '_')
		n++;
	return s[n] == '=' && n && !isdigit((unsigned char)s[0]) ? n : 0;
}

/* The same where a name must stand: all that is no path is one. */
static size_t label_length(const char *s)
{
	size_t n = strcspn(s, "=/");

	return s[n] == '=' ? n : 0;
}

/* n: the length of the name that text begins with, or 0. */
static int add_input(struct rn_cli *c, const char *text, size_t n, const char *opt, struct rn_err *e)
{
	size_t cap = c->nin;
	struct rn_operand in = { .file = n ? text + n + 1 : text, .opt = opt };
	char *name;

	if (!*in.file)
		return rn_err_set(e, RN_EUSAGE, "'%s' names no file", text);
	RN_TRY(rn_grow(&c->in, &cap, c->nin + 1, sizeof *c->in, "inputs", e));
	if (n) {
		name = strndup(text, n);
		if (!name)
			return rn_err_nomem(e, n + 1, "a name");
		in.as = name;
	}
	c->in[c->nin++] = in;
	return 0;
}

/* ---- options --------------------------------------------------------------------------- */

/* One item of a list, commas and all. */
static int put_item(const struct rn_opt *o, json_t *set, const char *text, struct rn_err *e)
{
	json_t *v;

	RN_TRY(rn_json_array(&v, e));
	if (json_array_append_new(v, json_string(text))) {
		json_decref(v);
		return rn_err_set(e, RN_EUSAGE, "--%s is not valid UTF-8", o->name);
	}
	return rn_opt_put(set, o, v, e);
}

static int put(struct rn_cli *c, const struct rn_opt *o, json_t *set, const char *text,
	       struct rn_err *e)
{
	json_t *v;

	if (o->type == RN_OPT_NODE) {
		for (size_t i = 0; i < c->nin && !(o->flags & RN_OPT_MULTI); i++)
			if (c->in[i].opt == o->name)
				return rn_err_set(e, RN_EUSAGE, "--%s is given twice", o->name);
		if ((o->flags & RN_CLI_NAMED) && !label_length(text))
			return rn_err_set(e, RN_EUSAGE, "--%s wants %s, not '%s'", o->name, o->meta,
					  text);
		return add_input(c, text, o->flags & RN_CLI_NAMED ? label_length(text) : name_length(text),
				 o->name, e);
	}
	if (o->flags & RN_CLI_RAW)
		return put_item(o, set, text, e);
	RN_TRY(rn_opt_from_text(o, text, &v, e));
	return rn_opt_put(set, o, v, e);
}

/* --x=NAME, or --x (of NULL), as an item of the list [NAME=]true. */
static int put_named_flag(const struct rn_opt *o, json_t *set, const char *of, bool on,
			  struct rn_err *e)
{
	json_t *list = json_object_get(set, o->name);
	struct rn_str text = RN_STR_INIT;
	int rc;

	if (!list) {
		RN_TRY(rn_json_array(&list, e));
		RN_TRY(rn_json_set(set, o->name, list, e));
	}
	rn_str_addf(&text, "%s%s%s", of ? of : "", of ? "=" : "", on ? "true" : "false");
	rc = rn_str_check(&text, e);
	if (!rc && of && (!*of || strchr(of, '=')))
		rc = rn_err_set(e, RN_EUSAGE, "--%s%s wants %s, not '%s'", on ? "" : "no-", o->name, o->meta, of);
	if (!rc && json_array_append_new(list, json_string(text.s)))
		rc = rn_err_set(e, RN_EUSAGE, "--%s is not valid UTF-8", o->name);
	rn_str_fini(&text);
	return rc;
}

/* A flag; -v adds up. */
static int put_flag(struct rn_cli *c, const struct rn_opt *o, json_t *set, bool on,
		    struct rn_err *e)
{
	if (o->flags & RN_CLI_NAMED)
		return put_named_flag(o, set, NULL, on, e);
	if (o->flags & RN_OPT_MULTI) {
		c->verbose = on ? c->verbose + 1 : 0;
		return 0;
	}
	return put(c, o, set, on ? "true" : "false", e);
}

/* --help and its like, which end the parse. */
static int information(const struct rn_opt *o)
{
	static const struct {
		const char *name;
		int info;
	} rows[] = { { "help", 'h' }, { "version", 'V' }, { "dump-options", 'D' } };

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		if (o >= rn_cli_common && o < rn_cli_common + rn_cli_ncommon &&
		    !strcmp(o->name, rows[i].name))
			return rows[i].info;
	return 0;
}

static int long_option(struct rn_cli *c, const char *text, char **argv, int *at, int *info,
		       struct rn_err *e)
{
	const char *eq = strchr(text, '='), *value = eq ? eq + 1 : NULL;
	char *name = strndup(text, eq ? (size_t)(eq - text) : strlen(text));
	const struct rn_opt *o;
	bool on = true;
	json_t *set;
	int rc;

	if (!name)
		return rn_err_nomem(e, strlen(text) + 1, "an option");
	o = find(c, name, 0, &set);
	if (!o && !strncmp(name, "no-", 3)) {
		o = find(c, name + 3, 0, &set);
		on = false;
		if (o && (o->type != RN_OPT_FLAG || information(o)))
			o = NULL;
	}
	if (!o)
		rc = unknown_long(c, name, e);
	else if (o->type == RN_OPT_FLAG && value && (o->flags & RN_CLI_NAMED))
		rc = put_named_flag(o, set, value, on, e);
	else if (o->type == RN_OPT_FLAG && value)
		rc = rn_err_set(e, RN_EUSAGE, "--%s takes no value", name);
	else if ((*info = information(o)))
		rc = 0;
	else if (o->type == RN_OPT_FLAG)
		rc = put_flag(c, o, set, on, e);
	else if (value || (o->flags & RN_CLI_BARE))
		rc = put(c, o, set, value ? value : "text", e);
	else if (argv[*at])
		rc = put(c, o, set, argv[(*at)++], e);
	else
		rc = rn_err_set(e, RN_EUSAGE, "--%s wants %s", name, o->meta);
	free(name);
	return rc;
}

/* A cluster of letters; the first that takes a value takes what is left of it. */
static int short_options(struct rn_cli *c, const char *text, char **argv, int *at, int *info,
			 struct rn_err *e)
{
	for (const char *p = text; *p && !*info; p++) {
		json_t *set;
		const struct rn_opt *o = find(c, NULL, *p, &set);

		if (!o)
			return rn_err_set(e, RN_EUSAGE, "unknown option '-%c'; see '%s --help'", *p,
					  c->tool->name);
		*info = information(o);
		if (*info)
			return 0;
		if (o->type == RN_OPT_FLAG) {
			RN_TRY(put_flag(c, o, set, true, e));
			continue;
		}
		if (p[1])
			return put(c, o, set, p + 1, e);
		if (argv[*at])
			return put(c, o, set, argv[(*at)++], e);
		return rn_err_set(e, RN_EUSAGE, "-%c wants %s", *p, o->meta);
	}
	return 0;
}

/* ---- operands -------------------------------------------------------------------------- */

/* Is an option given that asks for something else than the program's work? */
static bool given_alone(const struct rn_cli *c)
{
	for (size_t i = 0; i < c->tool->nopts; i++)
		if ((c->tool->opts[i].flags & RN_CLI_ALONE) &&
		    json_object_get(c->opt, c->tool->opts[i].name))
			return true;
	return false;
}

/* An expression, and not a file?  A file with a bracket is reached by ./FILE. */
static bool is_call(const char *s)
{
	return isalpha((unsigned char)*s) && strchr(s, '(');
}

/* Give leading operands to the positional rows that no option has set.  One that may be
 * left out is an expression, and has a bracket. */
static int positionals(struct rn_cli *c, char **operands, size_t n, size_t *used, bool *standard,
		       struct rn_err *e)
{
	*used = 0;
	*standard = false;
	for (size_t i = 0; i < c->tool->nopts; i++) {
		const struct rn_opt *o = &c->tool->opts[i];

		if (!(o->flags & RN_OPT_POSITIONAL) ||
		    (o->type != RN_OPT_LIST && json_object_get(c->opt, o->name)))
			continue;
		if (o->type == RN_OPT_LIST) { /* all that are left, each one item */
			while (*used < n)
				RN_TRY(put_item(o, c->opt, operands[(*used)++], e));
			continue;
		}
		if (*used == n && (c->tool->flags & RN_TOOL_SOURCE)) {
			*standard = true;
			RN_TRY(put(c, o, c->opt, "-", e));
		} else if (*used < n &&
			   ((o->flags & RN_OPT_REQUIRED) || is_call(operands[*used]))) {
			RN_TRY(put(c, o, c->opt, operands[(*used)++], e));
		}
	}
	return 0;
}

/* Inputs from options were met first: turn them behind the operands. */
static void operands_first(struct rn_cli *c, size_t nopt)
{
	for (size_t i = 0; i < nopt; i++) {
		struct rn_operand first = c->in[0];

		memmove(c->in, c->in + 1, (c->nin - 1) * sizeof *c->in);
		c->in[c->nin - 1] = first;
	}
}

/* Where an input's option stands in the table; options that may be repeated keep their order. */
static size_t option_place(const struct rn_tool *t, const char *opt)
{
	for (size_t i = 0; i < t->nopts; i++)
		if (t->opts[i].name == opt)
			return t->opts[i].flags & RN_OPT_MULTI ? 0 : i;
	return 0;
}

/* The last n inputs, which are options', in the order in which a plan has them. */
static void options_in_order(struct rn_cli *c, size_t n)
{
	struct rn_operand *in = c->in + c->nin - n, x;

	for (size_t i = 1; i < n; i++) {
		size_t k = i;

		for (x = in[i]; k && option_place(c->tool, in[k - 1].opt) > option_place(c->tool, x.opt); k--)
			in[k] = in[k - 1];
		in[k] = x;
	}
}

static int check_inputs(const struct rn_cli *c, struct rn_err *e)
{
	const struct rn_tool *t = c->tool;
	size_t standard = 0;

	for (size_t i = 0; i < c->nin; i++)
		standard += !strcmp(c->in[i].file, "-");
	if (standard > 1)
		return rn_err_set(e, RN_EUSAGE, "standard input ('-') is given twice as an input");
	if (c->noperands < t->min_in && !given_alone(c))
		return rn_err_set(e, RN_EUSAGE, "too few inputs: %s %s", t->name, t->usage);
	for (size_t i = 0; i < t->nopts; i++) {
		const struct rn_opt *o = &t->opts[i];
		bool there = o->type != RN_OPT_NODE || !(o->flags & RN_OPT_REQUIRED);

		for (size_t k = 0; k < c->nin; k++)
			there |= c->in[k].opt == o->name;
		if (!there)
			return rn_err_set(e, RN_EUSAGE, "--%s %s is missing: %s", o->name, o->meta,
					  o->help);
	}
	return 0;
}

/* No operand is standard input, unless that is a terminal; an operator of two or more
 * inputs that is given one fewer reads its first there. */
static int inputs(struct rn_cli *c, char **operands, size_t n, struct rn_err *e)
{
	const struct rn_tool *t = c->tool;
	size_t nopt = c->nin, used, max;
	bool standard;

	RN_TRY(positionals(c, operands, n, &used, &standard, e));
	if (t->max_in && !given_alone(c))
		standard = n - used + 1 == (t->min_in > 1 ? t->min_in : 1);
	if (standard && !c->force && isatty(STDIN_FILENO))
		return rn_err_set(e, RN_EUSAGE,
				  "no input, and standard input is a terminal: name a FILE, or '-' "
				  "to type it in; usage: %s [OPTION]... %s",
				  t->name, t->usage);
	if (standard && t->max_in)
		RN_TRY(add_input(c, "-", 0, NULL, e));
	max = given_alone(c) ? 0 : t->max_in;
	if (max == RN_MANY && c->nin - nopt + (n - used) > max)
		return rn_err_set(e, RN_EUSAGE, "more than %zu inputs", (size_t)max);
	if (c->nin - nopt + (n - used) > max)
		return rn_err_set(e, RN_EUSAGE, "unexpected operand '%s'; usage: %s [OPTION]... %s",
				  operands[used + max - (c->nin - nopt)], t->name, t->usage);
	for (size_t i = used; i < n; i++)
		RN_TRY(add_input(c, operands[i], name_length(operands[i]), NULL, e));
	c->noperands = c->nin - nopt;
	if (c->nin > c->noperands && c->noperands)
		operands_first(c, nopt);
	if (c->tool->max_in == 1)
		options_in_order(c, nopt);
	return check_inputs(c, e);
}

/* ---- all of it ------------------------------------------------------------------------- */

static int parse_args(struct rn_cli *c, int argc, char **argv, char **operands, size_t *n,
		      int *info, struct rn_err *e)
{
	bool options = true;

	for (int i = 1; i < argc && !*info;) {
		char *a = argv[i++];

		if (!options || a[0] != '-' || !a[1])
			operands[(*n)++] = a;
		else if (!strcmp(a, "--"))
			options = false;
		else if (a[1] == '-')
			RN_TRY(long_option(c, a + 2, argv, &i, info, e));
		else
			RN_TRY(short_options(c, a + 1, argv, &i, info, e));
	}
	return 0;
}

int rn_cli_parse(struct rn_cli *c, int argc, char **argv, int *info, struct rn_err *e)
{
	char **operands;
	size_t n = 0;
	int rc;

	*info = 0;
	RN_TRY(rn_calloc((size_t)argc + 1, sizeof *operands, "operands", &operands, e));
	rc = parse_args(c, argc, argv, operands, &n, info, e);
	if (!rc && !*info)
		rc = inputs(c, operands, n, e);
	free(operands);
	if (rc || *info)
		return rc;
	RN_TRY(rn_opt_finish(c->opt, c->tool->opts, c->tool->nopts, e));
	RN_TRY(rn_opt_finish(c->more, c->tool->more, c->tool->nmore, e));
	return rn_opt_finish(c->common, rn_cli_common, rn_cli_ncommon, e);
}
