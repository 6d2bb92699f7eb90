/* SPDX-License-Identifier: Apache-2.0
 *
 * Option declarations.  An option is declared once, in the table of the
 * operator (or run, or program) that has it; argv, JSON keys, --help, the JSON
 * Schema, completion and the man page's option list all come from the row.
 *
 * A set of option values is a JSON object in *normal form*: one key per option
 * that was given, in table order, each value as below.  An option that was not
 * given has no key; the accessors give its default.
 *
 *   type            argv                      JSON                   normal form
 *   RN_OPT_FLAG     --x, --no-x               true                   boolean
 *   RN_OPT_INT      --n 16                    16                     integer
 *   RN_OPT_NUMBER   --lr 1e-2                 0.01                   real
 *   RN_OPT_STRING   --expr 'z * 2'            "z * 2"                string
 *   RN_OPT_CHOICE   --how left                "left"                 string
 *   RN_OPT_SIZE     --mem 2G                  "2G" or 2147483648     integer
 *   RN_OPT_LIST     --by a,b                  ["a","b"] or "a",      array of strings
 *                                             [1, 2.5]
 *   RN_OPT_MAP      --cols id,d=count(*)      {"id":"id","d":…},     object, value = key
 *                                             ["id", "d=count(*)"]   where none was written;
 *                                                                    texts, numbers shortest
 *   RN_OPT_NODE     --keys FILE               "stage"                not stored: an input
 */
#ifndef RN_OPT_H
#define RN_OPT_H

#include "err.h"
#include "num.h"
#include "str.h"

#include <jansson.h>
#include <stdint.h>

enum rn_opt_type {
	RN_OPT_FLAG,
	RN_OPT_INT,
	RN_OPT_NUMBER,
	RN_OPT_STRING,
	RN_OPT_CHOICE,
	RN_OPT_SIZE,
	RN_OPT_LIST,
	RN_OPT_MAP,
	RN_OPT_NODE,
};

enum rn_opt_flag {
	RN_OPT_POSITIONAL = 1, /* a leading operand on the command line (rn-filter 'p') */
	RN_OPT_REQUIRED = 2,
	RN_OPT_MULTI = 4,  /* LIST, MAP: may be repeated, the values add up */
	RN_OPT_HIDDEN = 8, /* not in --help */
	RN_OPT_UNIQUE = 16, /* LIST: no item stands in it twice */
};

struct rn_opt {
	const char *name; /* long name, with '-'; JSON takes '_' as well */
	char letter;      /* short name, or 0 */
	enum rn_opt_type type;
	unsigned flags;
	const char *meta;  /* "EXPR", "N", …; NULL for RN_OPT_FLAG */
	const char *dflt;  /* as argv text; NULL: none */
	const char *choices; /* RN_OPT_CHOICE: "inner|left|semi|anti" */
	const char *help;  /* one line, lower case, no full stop */
};

/* The row called `name` ('-' and '_' the same, "no-" not looked through); or NULL. */
const struct rn_opt *rn_opt_find(const struct rn_opt *opts, size_t n, const char *name);

/* The name of the row that `name` was probably meant to be, or NULL. */
const char *rn_opt_suggest(const struct rn_opt *opts, size_t n, const char *name);

/* The same for any set of names: init with the wrong one, add each candidate (which
 * must live on), then ask for "; did you mean 'x'?", or "" where none is near. */
enum { RN_NEAR_MAX = 63 };
struct rn_near {
	const char *word, *best;
	unsigned dist; /* a candidate must be nearer */
};
void rn_near_init(struct rn_near *n, const char *word);
void rn_near_add(struct rn_near *n, const char *candidate);
const char *rn_near_hint(const struct rn_near *n, char *buf, size_t size);

/* One value from argv text, or from a JSON value, into normal form: *out is a new
 * reference.  RN_EUSAGE says what the option wants: "--out wants an integer, not '12x'".
 * For RN_OPT_FLAG the text is "true" or "false".  from_json leaves the name out ("wants
 * an integer, not \"12x\""): a JSON pointer is to stand before it. */
RN_MUST_CHECK int rn_opt_from_text(const struct rn_opt *o, const char *text, json_t **out,
				   struct rn_err *e);
RN_MUST_CHECK int rn_opt_from_json(const struct rn_opt *o, const json_t *v, json_t **out,
				   struct rn_err *e);

/* Put a value into a set; a RN_OPT_MULTI option that is there already adds up,
 * another one is RN_EUSAGE ("--by is given twice").  Steals v. */
RN_MUST_CHECK int rn_opt_put(json_t *set, const struct rn_opt *o, json_t *v, struct rn_err *e);

/* All required options there (inputs, RN_OPT_NODE, are the caller's to check), and no
 * item twice in a RN_OPT_UNIQUE list?  Keys into table order. */
RN_MUST_CHECK int rn_opt_finish(json_t *set, const struct rn_opt *opts, size_t n, struct rn_err *e);

/* Values by name, the row's default where the key is absent (a name that the
 * table lacks is a bug: assert). */
bool rn_opt_flag(const json_t *set, const struct rn_opt *opts, size_t n, const char *name);
int64_t rn_opt_int(const json_t *set, const struct rn_opt *opts, size_t n, const char *name);
double rn_opt_number(const json_t *set, const struct rn_opt *opts, size_t n, const char *name);
const char *rn_opt_string(const json_t *set, const struct rn_opt *opts, size_t n, const char *name);
/* LIST or MAP as stored (borrowed), NULL where absent: rows of these types have no default. */
const json_t *rn_opt_json(const json_t *set, const struct rn_opt *opts, size_t n, const char *name);

/* "512", "64K", "2M", "1.5G" (powers of 1024). */
RN_MUST_CHECK int rn_size_parse(const char *s, uint64_t *out, struct rn_err *e);
/* The same number as a user would write it: in the largest unit of which it is so many
 * quarters.  Returns buf. */
#define RN_SIZE_TEXT (RN_NUM_MAX + 2)
const char *rn_size_text(uint64_t size, char buf[RN_SIZE_TEXT]);

/* The canonical argv text of a value ("a,b", "id,d=count(*)"), for rn-explain. */
void rn_opt_print(const struct rn_opt *o, const json_t *v, struct rn_str *out);
/* The option's part of a JSON Schema (new reference, NULL out of memory). */
json_t *rn_opt_schema(const struct rn_opt *o);

#endif
