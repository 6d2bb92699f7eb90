/* SPDX-License-Identifier: Apache-2.0
 *
 * Instances: rules without templates, sets and function calls, made on demand from the
 * runs.  An instance is a definition under an environment of template arguments; equal
 * ones are one.  A relation inside a function call has its own name per call.
 *
 *   constants      evaluated (numbers, strings)
 *   transforms     expanded to calls of modules that carry name="K<1>"
 *   templates      the most specific definition that matches (a tie, or none: an error)
 *   bounded sets   atoms, one per row of the guard, or per integer
 *   functions      rules under the name F<16,7>(Papers,Citation)
 *
 * Everything made lies in the expander's arena.
 */
#ifndef RN_LANG_EXPAND_H
#define RN_LANG_EXPAND_H

#include "ast.h"
#include "diag.h"

#include "../rel/rel.h"

struct rn_expander;

/* A name bound to a literal: an argument of a template, a variable of a guard. */
struct rn_env {
	const struct rn_env *up;
	const char *name;
	const struct rn_term *value;
};

/* An atom's relation once it is resolved. */
enum rn_rel_kind { RN_REL_SOURCE, RN_REL_RULE, RN_REL_STAGE, RN_REL_PRED };

struct rn_inst_atom {
	const struct rn_atom *atom; /* places evaluated: constants are literals */
	enum rn_rel_kind kind;
	uint32_t rule;        /* RN_REL_RULE, RN_REL_PRED: number of the instance */
	const struct rn_stmt *stage; /* RN_REL_STAGE */
	const char *source;   /* RN_REL_SOURCE: its name */
	const char *emb;      /* the embedding's variable as the expression knows it ("z", "z_3"),
				 NULL: none */
	bool zero;            /* `; 0` */
	const struct rn_env *set; /* an element of a set: what its variables are, up to `env` */
	const struct rn_env *env;
};

/* A rule instance: what lower.c works on. */
struct rn_rule_inst {
	const char *name;     /* "H1", "H<Author,1>", "F<16,7>(Papers,Citation).Out": stage name */
	const char *prefix;   /* of the parameters of its anonymous modules: the name, but "Loss" for
				 the second run of that name, which is "Loss/2" */
	const struct rn_rule *rule; /* for positions and the text of messages */
	const struct rn_diag_frame *frames; /* the template stack that led here; NULL: none */
	uint32_t nattrs;
	struct rn_attr *attrs;      /* terms with constants and parameters put in */
	struct rn_term *emb;        /* expanded; NULL: none */
	bool by_union;
	uint32_t natoms;
	struct rn_inst_atom *atoms; /* sets expanded, in written order */
	uint32_t nconds;
	struct rn_term **conds;
};

struct rn_expand_conf {
	struct rn_diag *diag;
	const struct rn_program *program;
	uint32_t max_instances;    /* 0: 100,000 */
	const char *const *set;    /* NAME=VALUE */
	size_t nset;
	/* Rows of a source that a guard names (content only; owned by the callee). */
	int (*rows)(void *arg, const char *source, const struct rn_rel **out, struct rn_err *e);
	/* Does a source of this name exist (declared, or bound from outside)? */
	bool (*is_source)(void *arg, const char *name);
	void *arg;
};

RN_MUST_CHECK int rn_expander_new(const struct rn_expand_conf *c, struct rn_expander **out,
				  struct rn_err *e);
void rn_expander_free(struct rn_expander *x); /* NULL is fine */

/* The instance of a run's rule, or what a ?stage names as its input, with all that it
 * rests on (numbers below it); RN_EUSAGE: the diag says why. */
RN_MUST_CHECK int rn_expand_run(struct rn_expander *x, const struct rn_stmt *s, uint32_t *out,
				struct rn_err *e);
RN_MUST_CHECK int rn_expand_ref(struct rn_expander *x, const struct rn_ref *r,
				struct rn_inst_atom *out, struct rn_err *e);
const struct rn_rule_inst *rn_expander_inst(const struct rn_expander *x, uint32_t i);

/* The instance of a rule without parameters, whether or not a run asks for it. */
RN_MUST_CHECK int rn_expand_rule(struct rn_expander *x, const struct rn_stmt *s, uint32_t *out,
				 struct rn_err *e);
/* What is wrong with any definition of the program, its templates and functions too, is told. */
RN_MUST_CHECK int rn_expand_check(struct rn_expander *x, struct rn_err *e);

/* Is argument i of an encoder's call a word or a value, rather than a column?  The hour of
 * Cyclic(t, hour), the none of Numeric(x, scale=none). */
bool rn_is_setting(const struct rn_term *call, uint32_t i);

/* A term that must be a constant: settings of runs and sources.  Numbers, strings,
 * booleans; constants of the program are put in. */
RN_MUST_CHECK int rn_expand_constant(struct rn_expander *x, const struct rn_term *t,
				     struct rn_term **out, struct rn_err *e);

#endif
