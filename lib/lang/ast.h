/* SPDX-License-Identifier: Apache-2.0
 *
 * The syntax tree of a query program (docs/language.md has the grammar).
 *
 * parse.c makes it, expand.c makes instances without templates of it, lower.c
 * makes plan nodes of those.  Everything lies in one arena and is freed with it;
 * names and strings are terminated.  `at` is always the byte offset in the
 * program's text where a caret points.
 */
#ifndef RN_LANG_AST_H
#define RN_LANG_AST_H

#include "../base/mem.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- terms: constants, embedding expressions, content expressions --------------- */

enum rn_term_kind {
	RN_T_NUM,     /* 16, 0.5 */
	RN_T_STR,     /* "train", 'Author' */
	RN_T_BOOL,    /* True, False: num is 1 or 0 */
	RN_T_NONE,    /* None */
	RN_T_NAME,    /* z, hidden, K<i>, Linear: str, and its template arguments in arg[] */
	RN_T_CALL,    /* f(args): f is arg[0] (a name or again a call), arg[1…] what stands in ( ),
			 key[i] the keyword of arg[i] or NULL; ";" for what stands behind the
			 semicolon of softmax(a; s, t); "distinct" and "by" for count(distinct x)
			 and first(x by t) */
	RN_T_NEG,     /* -x */
	RN_T_BIN,     /* x op y */
	RN_T_BRACKET, /* [a, Enc()(b)]: columns into an embedding; in a ?pred head the other way */
	RN_T_SPLAT,   /* *z, *ReLU(z): arg[0] for all embeddings z_1 … z_n of a bounded join */
	RN_T_STAR,    /* the * of count(*) */
	RN_T_MAP,     /* {"d": "count(*)"}, in settings: key[i] and arg[i] */
};

enum rn_term_op {
	RN_TOP_ADD, RN_TOP_SUB, RN_TOP_MUL, RN_TOP_DIV, RN_TOP_MOD, RN_TOP_MATMUL, RN_TOP_POW,
	RN_TOP_EQ, RN_TOP_NE, RN_TOP_LT, RN_TOP_LE, RN_TOP_GT, RN_TOP_GE,
};

enum { RN_TERM_DEPTH = 1000 };

struct rn_term {
	enum rn_term_kind kind;
	enum rn_term_op op;   /* RN_T_BIN */
	uint32_t at, end;     /* of its text */
	uint32_t depth;       /* of the tree below; at most RN_TERM_DEPTH */
	uint32_t size;        /* expanded: terms of the tree, which shares branches; 0 is 1 */
	double num;
	bool is_float;        /* RN_T_NUM: written with a point or an exponent */
	const char *str;      /* RN_T_STR, RN_T_NAME */
	uint32_t n;
	struct rn_term **arg;
	const char **key;     /* RN_T_CALL (entries may be NULL), RN_T_MAP: n entries, or NULL: none */
	bool templated;       /* RN_T_NAME: there was a < > */
};

/* ---- rules ------------------------------------------------------------------------- */

/* A reference to a relation: R, H<"Author", L-1>, F<16, 7>(Papers, Citation). */
struct rn_ref {
	uint32_t at, end;
	const char *name;
	uint32_t ntargs;
	struct rn_term **targs;
	bool call;            /* a function: its relations, which are references themselves */
	uint32_t nrels;
	struct rn_ref *rels;
};

/* One place of an atom: `x`, `driver: driver_id`, `"train"`, `5`, `_`. */
struct rn_place {
	uint32_t at;
	const char *col;      /* a column's name where places are named, else NULL */
	struct rn_term *term; /* a variable (RN_T_NAME), a constant, or a name `_` */
};

enum rn_atom_mark { RN_ATOM_PLAIN, RN_ATOM_OPTIONAL /* ?R */, RN_ATOM_ANTI /* !R */ };

struct rn_atom {
	uint32_t at, end;
	enum rn_atom_mark mark;
	struct rn_ref ref;
	uint32_t nplaces;
	struct rn_place *places;
	bool has_emb;         /* there was a `; z` */
	uint32_t emb_at;
	const char *emb;      /* the variable; NULL for `; 0` (rows with a zero embedding) */
	struct rn_term *emb_index; /* z<k>: the variable z_k */
};

enum rn_item_kind {
	RN_ITEM_ATOM,
	RN_ITEM_COMPARE, /* comparisons over the variables: conds; 1 < x < 4 is two */
	RN_ITEM_JOIN,    /* Join(Set(atom | guard)) */
	RN_ITEM_UNION,   /* Union(Set(atom | guard)) */
};

struct rn_item {
	enum rn_item_kind kind;
	uint32_t at, end;
	struct rn_atom atom;      /* RN_ITEM_ATOM, and the template of a set */
	/* The guard of a set: atoms over relations, or bounds of an integer; further conditions. */
	uint32_t nguards;         /* relations, joined; none: bounds of an integer */
	struct rn_atom *guards;
	uint32_t nconds;
	struct rn_term **conds;
};

/* One place of a head: a variable, a constant, an expression, an aggregate. */
struct rn_attr {
	uint32_t at;
	const char *name;     /* `total: sum(amount)`; NULL: the variable's, the function's, or cN */
	struct rn_term *term; /* RN_T_BRACKET: decoded (heads of ?pred) */
};

struct rn_rule {
	uint32_t at, end;         /* of the whole rule */
	const char *name;
	uint32_t name_at;
	uint32_t ntparams;
	struct rn_term **tparams; /* literals, or names: its parameters */
	uint32_t nattrs;
	struct rn_attr *attrs;
	struct rn_term *emb;      /* NULL: none */
	bool by_union;            /* items are separated by | */
	uint32_t nitems;
	struct rn_item *items;
};

/* ---- statements ------------------------------------------------------------------------ */

/* name=value of < > behind a ? word. */
struct rn_setting {
	uint32_t at;
	const char *name;
	struct rn_term *value;
};

struct rn_param_decl { /* In: (int, int; T) of a function; the schema is checked, not needed */
	uint32_t at;
	const char *name;
	bool typed;
	uint32_t ntypes;
	const char **types;   /* "int", "str", "float", …; NULL entry: anything */
	struct rn_term *shape;
};

enum rn_stmt_kind {
	RN_S_DEFINE,   /* hidden = 16 .   Mu<k> = L3<k>(ReLU()(inp)) . */
	RN_S_RULE,
	RN_S_FUNCTION, /* def … enddef */
	RN_S_FIT, RN_S_VAL, RN_S_EVAL, RN_S_PRED,
	RN_S_SOURCE,   /* ?source Paper = "paper.csv" <key="pid"> . */
	RN_S_STAGE,    /* ?stage h1 = linear <out=16> (x, g=other) . : any operator, as in a spec */
	RN_S_REPEATED, /* what stands in the program twice, word for word: left out */
};

struct rn_stmt {
	enum rn_stmt_kind kind;
	uint32_t at, end;
	const char *name;         /* what is defined; RN_S_FIT … RN_S_PRED: that of the rule */
	uint32_t name_at;
	uint32_t ntparams;
	struct rn_term **tparams; /* RN_S_DEFINE, RN_S_FUNCTION */
	struct rn_term *value;    /* RN_S_DEFINE: the body; RN_S_SOURCE: the path */
	struct rn_rule *rule;     /* RN_S_RULE, and the runs */
	uint32_t nsettings;
	struct rn_setting *settings;
	/* RN_S_FUNCTION */
	uint32_t nparams;
	struct rn_param_decl *params;
	uint32_t nbody;
	struct rn_stmt *body;     /* definitions and rules; the last rule is the value */
	/* RN_S_STAGE; a run over a relation that is there, `?fit <epochs=9> (Loss) .`, has one input
	 * and no rule */
	const char *op;
	uint32_t ninputs;
	struct rn_stage_input {
		uint32_t at;
		const char *as, *opt; /* as=R, or option: `keys=R` of an operator that has it */
		struct rn_ref ref;
	} *inputs;
};

struct rn_program {
	struct rn_arena arena;
	uint32_t nstmts;
	struct rn_stmt *stmts;
};

#endif
