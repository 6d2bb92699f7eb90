/* SPDX-License-Identifier: Apache-2.0
 *
 * What all programs share: one option parser over declared rows, one help text,
 * one way to print a message, one table of exit codes.  Only this folder prints
 * and exits; the library returns errors.
 *
 *   struct rn_cli c;
 *   rn_cli_begin(&c, &tool, argc, argv);   (may exit 0 for --help, 2 for wrong usage)
 *   rc = …;
 *   return rn_cli_end(&c, rc, &e);
 */
#ifndef RN_CLI_H
#define RN_CLI_H

#include "../lib/exec/pipe.h"

#define RN_VERSION "0.1.0"

/* Flags of option rows that only programs have, beside enum rn_opt_flag. */
enum rn_cli_opt_flag {
	RN_CLI_BARE = 0x100,  /* the value is optional, and attached: --stats, --stats=json */
	RN_CLI_RAW = 0x200,   /* LIST: each argument is one item, commas and all */
	RN_CLI_NAMED = 0x400, /* NODE: NAME=FILE, and the name is required; FLAG: --x=NAME, too, and
			       * the value is a list of [NAME=]true and [NAME=]false */
	RN_CLI_BRIEF = 0x1000, /* --help names it, and leaves the rest to the man page */
	RN_CLI_ALONE = 0x800, /* without an input (rn-train --schema) */
};

enum rn_tool_flag {
	RN_TOOL_STREAM = 1, /* writes a stream, which a terminal does not want */
	RN_TOOL_NAMED = 2,  /* takes --name */
	RN_TOOL_MODEL = 4,  /* takes --model */
	RN_TOOL_SOURCE = 8, /* its first positional operand is the input, a FILE */
	RN_TOOL_CPUS = 16,  /* uses all processors unless told otherwise */
	RN_TOOL_PIPED = 32, /* writes a stream to a pipe, and text to a terminal */
};

struct rn_tool {
	const char *name;  /* "rn-join" */
	const char *what;  /* one sentence, lower case, no full stop */
	const char *usage; /* operands */
	const char *const *examples;
	const char *see_also;
	const struct rn_opt *opts; /* its own options */
	size_t nopts;
	const struct rn_opt *more; /* further rows (RN_OPT_NODE ones are skipped); */
	size_t nmore;              /* --help shows them in short under this title: */
	const char *more_title;
	unsigned flags;
	unsigned min_in, max_in;
};

struct rn_cli {
	const struct rn_tool *tool;
	struct rn_ctx ctx;
	json_t *opt, *more, *common; /* option values in normal form */
	size_t nin;
	struct rn_operand *in; /* the operands, then the inputs that options name */
	size_t noperands;      /* how many of them are operands (stdin included) */
	const char *output;    /* "-": standard output */
	const char *name, *model;
	struct rn_writer_opt writer;
	int verbose;
	bool quiet, force;
	uint64_t rows_skipped; /* malformed ones that --skip-bad passed over */
	int argc; /* argv[0] is the tool's bare name; argv is NULL for --no-history */
	char **argv;
};

#define RN_CLI_OPTS(table) .opts = (table), .nopts = sizeof(table) / sizeof((table)[0])

/* Descriptors 0 to 2 open, SIGPIPE deadly, options parsed.  Exits itself for
 * --help and --version (0) and for wrong usage (2). */
void rn_cli_begin(struct rn_cli *c, const struct rn_tool *tool, int argc, char **argv);
/* Print the message if rc is not 0; free c; the exit code of the process. */
int rn_cli_end(struct rn_cli *c, int rc, const struct rn_err *e);
/* The whole of an operator's program. */
int rn_cli_operator(int argc, char **argv, const struct rn_op *op);

/* Values of the program's own options. */
bool rn_cli_flag(const struct rn_cli *c, const char *name);
int64_t rn_cli_int(const struct rn_cli *c, const char *name);
double rn_cli_number(const struct rn_cli *c, const char *name);
const char *rn_cli_string(const struct rn_cli *c, const char *name);
const json_t *rn_cli_json(const struct rn_cli *c, const char *name);

/* A RN_CLI_RAW list as strings: *out owned (the strings are borrowed), *n its length. */
RN_MUST_CHECK int rn_cli_list(const struct rn_cli *c, const char *name, const char *const **out,
			      size_t *n, struct rn_err *e);

/* "rn-join: TEXT" on standard error, each line of it in one write(2), control
 * characters replaced. */
void rn_cli_say(const char *tool, const char *text);
/* Text to -o or standard output, all of it or an error. */
RN_MUST_CHECK int rn_cli_put(const struct rn_cli *c, const struct rn_str *text, struct rn_err *e);

enum rn_cli_stats { RN_STATS_NONE, RN_STATS_TEXT, RN_STATS_JSON };
enum rn_cli_stats rn_cli_stats(const struct rn_cli *c);
/* What --stats asks for, on standard error. */
void rn_cli_print_stats(const struct rn_cli *c, const struct rn_pipe_stats *s);
/* The same with what only this program counts: further members of the object (borrowed), or
 * further text. */
void rn_cli_print_more_stats(const struct rn_cli *c, const struct rn_pipe_stats *s,
			     const json_t *members, const char *text);

/* ---- args.c, help.c: used by rn_cli_begin ---------------------------------------------- */

extern const struct rn_opt rn_cli_common[];
extern const size_t rn_cli_ncommon;

/* Does the program take this common option? */
bool rn_cli_takes(const struct rn_tool *t, const struct rn_opt *o);
/* Options and operands into c.  *info: 'h', 'V' or 'D' where --help, --version or
 * --dump-options was met, which ends the parse. */
RN_MUST_CHECK int rn_cli_parse(struct rn_cli *c, int argc, char **argv, int *info,
			       struct rn_err *e);

/* The texts. */
RN_MUST_CHECK int rn_cli_help(const struct rn_tool *t, struct rn_str *out, struct rn_err *e);
RN_MUST_CHECK int rn_cli_version(const struct rn_tool *t, struct rn_str *out, struct rn_err *e);
/* A line per option: name, letter, value, whose it is, default, help, values to choose from
 * (where others are allowed too, the usual ones); tabs between. */
RN_MUST_CHECK int rn_cli_dump(const struct rn_tool *t, struct rn_str *out, struct rn_err *e);

#endif
