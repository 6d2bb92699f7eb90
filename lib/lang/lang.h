/* SPDX-License-Identifier: Apache-2.0
 *
 * Query programs (.relnn) to plans and back.
 *
 *   text -> parse -> expand -> lower -> canonical plan with runs
 *
 * All of a program's names, arities, types, shapes and templates are checked before
 * a row is read, but for the guards of bounded sets, whose rows expand the program.
 */
#ifndef RN_LANG_H
#define RN_LANG_H

#include "../plan/plan.h"

struct rn_lang_conf {
	const struct rn_ctx *ctx;
	const char *file;           /* as messages call the program */
	const char *dir;            /* of the program: relative sources start there; NULL: the cwd */
	const char *const *set;     /* NAME=VALUE: constants */
	size_t nset;
	const char *const *source;  /* NAME=FILE: sources, relative to the cwd */
	size_t nsource;
	uint32_t max_instances;     /* --max-instances; 0: 100,000 */
	bool strict_sources;        /* a --source that the program does not name is an error */
	bool define_only;           /* a program that runs nothing is one, too */
};

/* Compile.  *out owned, canonical; *carried (plan->nnodes entries, owned, its relations too):
 * rows of the sources that can be read only once, as pipes; NULL for others.  Warnings go to
 * ctx->log.  RN_EUSAGE has all that is wrong with the program, at most RN_DIAG_MAX messages; a source that cannot be read is
 * RN_EIO or RN_EDATA as rn_source_open has it. */
RN_MUST_CHECK int rn_lang_compile(const char *text, size_t len, const struct rn_lang_conf *c,
				  struct rn_plan **out, struct rn_rel ***carried,
				  struct rn_err *e);

/* A canonical plan as a program, at the end of out: sources, stages as `?stage`
 * statements, runs.  Compiling it gives the same plan. */
RN_MUST_CHECK int rn_lang_print(const struct rn_plan *p, struct rn_str *out, struct rn_err *e);

/* A canonical plan as a bash script of rn-* commands, at the end of out: streams used
 * once are pipes, others are files in a temporary folder. */
RN_MUST_CHECK int rn_lang_print_shell(const struct rn_plan *p, struct rn_str *out,
				      struct rn_err *e);

#endif
