/* SPDX-License-Identifier: Apache-2.0
 *
 * The state of an expansion.  Private to expand.c (relations), expand_set.c (bounded sets),
 * expand_const.c (constants), expand_term.c (transforms, expressions), expand_bracket.c (columns in
 * brackets), expand_match.c (which definition fits) and expand_table.c.
 *
 * Functions give 0, RN_EUSAGE when the diag was told, or another code with e.
 */
#ifndef RN_LANG_EXPANDER_H
#define RN_LANG_EXPANDER_H

#include "expand.h"
#include "parse.h"

enum {
	RN_EXPAND_DEPTH = 200,       /* templates inside each other */
	RN_EXPAND_TERMS = 2000000,   /* terms that expressions may come to */
	RN_EXPAND_WORK = 4000000,    /* names, constants and transforms that are looked at */
	RN_EXPAND_COLUMNS = 4096,    /* of one head */
	RN_EXPAND_LOOKUPS = 128,     /* names that are looked through for what a term costs */
	RN_EXPAND_NAME = 200,        /* bytes of a call's relations in its name */
};

/* A relation that a name was found to mean. */
struct rn_target {
	enum rn_rel_kind kind;
	uint32_t rule;
	const char *source;
	const struct rn_stmt *stage;
};

/* Inside a call of a function; NULL: the program itself. */
struct rn_scope {
	const char *prefix;       /* "F<16,7>(Papers,Citation)" */
	const struct rn_stmt *fn;
	const struct rn_local *local;
	const struct rn_env *env; /* its template arguments */
	struct rn_target *params; /* what its relations are */
};

struct rn_named { /* a definition, under its name */
	const char *name;
	uint32_t order;           /* of the statement */
	const struct rn_stmt *stmt;
	struct rn_group *group;   /* the definitions of that name */
	const struct rn_local *local; /* of a function: what it defines */
};

struct rn_local { /* by name, as those of the program */
	uint32_t nrules, ndefs;
	struct rn_named *rules, *defs;
};

struct rn_memo;

struct rn_expander {
	struct rn_expand_conf conf;
	struct rn_diag *d;
	struct rn_arena arena;
	struct rn_err *e;         /* of the call that is under way */
	/* By name, equal ones in the order of the program. */
	uint32_t nrules, ndefs, nfuncs, nothers; /* others: sources, stages, results of ?pred */
	struct rn_named *rules, *defs, *funcs, *others; /* rules: functions without relations, too */
	uint32_t ngroups;
	struct rn_memo *memo;
	uint32_t n;
	size_t cap;
	struct rn_rule_inst **insts;
	unsigned depth;
	uint64_t nterms, work;
	uint32_t nvalues;         /* of constants, which the memo has the numbers of */
	size_t cap_values;
	const struct rn_term **values;
	const struct rn_stmt *under_way; /* the rule that is being made */
	uint32_t made;            /* atoms and instances so far */
};

/* What names mean inside a rule. */
struct rn_names {
	const struct rn_env *env;
	const struct rn_scope *scope;
	/* Embeddings and content variables of the body. */
	uint32_t nembs, nvars;
	const char **embs, **vars;
	uint32_t nsplat;          /* embeddings z_1 … of a bounded join, which *z stands for */
	const char **splat;
	const char *splat_base;   /* "z" */
	const struct rn_term *root; /* the head's embedding, in which calls may be aggregates; or NULL */
};

/* A transform under way: its one free variable stands for `arg`. */
struct rn_within {
	const struct rn_names *names;
	const struct rn_env *env;     /* of the transform, or of the rule */
	const struct rn_scope *scope;
	const char *free;             /* the transform's variable; NULL: in the rule itself */
	struct rn_term *arg;          /* already expanded */
	const char *own;              /* "Mu<C2,0>": names its modules */
	uint32_t nmodules, module;    /* modules with parameters in its body, and so far */
	uint32_t element;             /* behind a *: z is z_element; 0: elsewhere */
};

/* ---- expand_table.c ------------------------------------------------------------------------- */

/* Zeroed; NULL with x->e. */
void *rn_expand_alloc(struct rn_expander *x, size_t size);
int rn_expand_nomem(const struct rn_expander *x); /* what such a NULL means as a code */
char *rn_expand_printf(struct rn_expander *x, const char *fmt, ...) RN_PRINTF(2, 3);
const struct rn_env *rn_env_bind(struct rn_expander *x, const struct rn_env *up, const char *name,
				 const struct rn_term *value);
const struct rn_term *rn_env_find(const struct rn_env *env, const char *name);
/* The first of `n` definitions called `name`, and how many there are. */
const struct rn_named *rn_named_find(const struct rn_named *all, uint32_t n, const char *name,
				     uint32_t *count);
bool rn_literal_equal(const struct rn_term *a, const struct rn_term *b);
/* "<Author,1>" at the end of out. */
void rn_targs_print(const struct rn_term *const *args, uint32_t n, struct rn_str *out);
void rn_stmt_tparams(const struct rn_stmt *s, struct rn_term ***params, uint32_t *n);

/* The entry of `name`, made with `value` where there was none (*fresh).  *out holds until
 * the next call. */
int rn_memo_get(struct rn_expander *x, const char *name, uint32_t value, uint32_t **out,
		bool *fresh);

/* A rule that names a source of its own name in its body? */
bool rn_rule_of_source(const struct rn_stmt *s);

/* ---- expand_match.c ------------------------------------------------------------------------- */

/* The n definitions of one name; among_rules: functions without relations are told there. */
int rn_group_new(struct rn_expander *x, struct rn_named *defs, uint32_t n, bool among_rules);
/* Its patterns; RN_EUSAGE: one is none, which was told.  Equal ones are told, too. */
int rn_group_ready(struct rn_expander *x, struct rn_group *g);
void rn_tell_twice(struct rn_expander *x, const struct rn_stmt *first, const struct rn_stmt *s);
/* The most specific of the definitions in defs' group that take these arguments; RN_EUSAGE
 * where none does, or several that no one of is as specific as all others. */
int rn_best_match(struct rn_expander *x, const struct rn_named *defs,
		  const struct rn_term *const *args, uint32_t nargs, uint32_t at, uint32_t end,
		  const struct rn_named **out);
/* The environment in which def's parameters are args. */
int rn_bind_params(struct rn_expander *x, const struct rn_env *up, const struct rn_stmt *def,
		   const struct rn_term *const *args, const struct rn_env **out);

/* ---- expand_const.c ------------------------------------------------------------------------- */

bool rn_is_literal(const struct rn_term *t);
/* The literal as one that is written at the place of t. */
int rn_literal_at(struct rn_expander *x, const struct rn_term *c, const struct rn_term *t,
		  struct rn_term **out);
/* A copy with room for n arguments; where the original stands in the text, it stands. */
int rn_term_copy(struct rn_expander *x, const struct rn_term *t, uint32_t n, struct rn_term **out);
int rn_expand_too_many(struct rn_expander *x, const struct rn_term *t); /* terms: RN_EUSAGE */
/* So many steps more; RN_EUSAGE where they come to too many. */
int rn_expand_work(struct rn_expander *x, uint32_t steps, uint32_t at, uint32_t end);
/* n attributes, or places, each of which is looked for among the others, count as terms, too. */
int rn_expand_count(struct rn_expander *x, uint32_t n, uint32_t at, uint32_t end);
/* Definitions called `name`: those of the function that we are in (*local), which hide those of
 * the program. */
const struct rn_named *rn_find_defs(const struct rn_expander *x, const struct rn_scope *scope,
				    const char *name, uint32_t *n, bool *local);
/* The definition of `name` for these arguments; *out NULL where there is none of the name. */
int rn_find_def(struct rn_expander *x, const struct rn_scope *scope, const struct rn_term *t,
		const char *name, const struct rn_term *const *args, uint32_t nargs,
		const struct rn_stmt **out, bool *local);

/* A literal, or RN_EUSAGE.  bare_names: a name that nothing binds is a string (a relation). */
int rn_constant(struct rn_expander *x, const struct rn_env *env, const struct rn_scope *scope,
		const struct rn_term *t, bool bare_names, const struct rn_term **out);
/* Is `name` a constant of the program here? */
bool rn_is_constant(const struct rn_expander *x, const struct rn_scope *scope, const char *name);
/* Is it one?  Without a message: *out is NULL where it is none. */
int rn_try_constant(struct rn_expander *x, const struct rn_env *env, const struct rn_scope *scope,
		    const struct rn_term *t, const struct rn_term **out);
int rn_constants(struct rn_expander *x, const struct rn_env *env, const struct rn_scope *scope,
		 struct rn_term *const *t, uint32_t n, bool bare_names,
		 const struct rn_term ***out);
/* ---- expand_term.c -------------------------------------------------------------------------- */

/* The one name in an expression that is no constant and no transform: *name, which stays what it
 * is where there is none; RN_EUSAGE for another than the one that comes in there.
 * `of`: "a transform". */
int rn_find_free(struct rn_expander *x, const struct rn_env *env, const struct rn_scope *scope,
		 const struct rn_term *t, const char *of, const char **name);
/* An embedding expression with constants, transforms and *z put in: of a rule, or of what is
 * under way in w. */
int rn_expand_emb(struct rn_expander *x, const struct rn_names *names, const struct rn_term *t,
		  struct rn_term **out);
int rn_expand_within(struct rn_expander *x, struct rn_within *w, const struct rn_term *t,
		     struct rn_term **out);
bool rn_has_name(const char *const *names, uint32_t n, const char *name);
/* A content expression (head, comparison): constants and template arguments put in. */
int rn_expand_content(struct rn_expander *x, const struct rn_names *names,
		      const struct rn_term *t, struct rn_term **out);

/* ---- expand_bracket.c ------------------------------------------------------------------------ */

bool rn_is_hash_bucket(const struct rn_term *t); /* a call of HashBucketTextEncoder? */
/* A RN_T_BRACKET: not its depth and size. */
int rn_expand_bracket(struct rn_expander *x, struct rn_within *w, const struct rn_term *t,
		      struct rn_term **out);

/* ---- what expand_check.c shares with the others ----------------------------------------------- */

/* No such relation, function, module: RN_EUSAGE, with what is near. */
int rn_unknown_relation(struct rn_expander *x, const struct rn_scope *scope, const struct rn_ref *r,
			const char *name);
int rn_unknown_function(struct rn_expander *x, const struct rn_ref *r, const char *name);
int rn_unknown_module(struct rn_expander *x, const struct rn_term *f);
/* The function that is called so, and how it is spelt. */
struct rn_emb_fn;
bool rn_find_function(const char *name, const char **as, struct rn_emb_fn *fn);
/* Aggregates of a head that expressions do not know by that name. */
bool rn_is_aggregate(const char *name);
/* z0, z1, …: what the reference takes for the inputs by their numbers. */
bool rn_is_input(const char *name);

/* ---- expand_set.c --------------------------------------------------------------------------- */

/* fn for every element of a bounded set, with its variables bound. */
int rn_expand_set(struct rn_expander *x, const struct rn_env *env, const struct rn_scope *scope,
		  const struct rn_item *set,
		  int (*fn)(void *arg, const struct rn_env *env, uint32_t i), void *arg,
		  uint32_t *count);

/* ---- expand.c --------------------------------------------------------------------------------- */

/* The source that an atom of a guard means; RN_EUSAGE where it is another relation. */
int rn_guard_source(struct rn_expander *x, const struct rn_env *env, const struct rn_scope *scope,
		    const struct rn_atom *a, const char **source);

#endif
