/* SPDX-License-Identifier: Apache-2.0
 *
 * The state of a lowering.  Private to lower.c (program, sources), lower_run.c (runs),
 * lower_decode.c (what they decode), lower_body.c and lower_rule.c (rules) and lower_text.c
 * (expressions as text).
 */
#ifndef RN_LANG_LOWERING_H
#define RN_LANG_LOWERING_H

#include "lower.h"

#include "../exec/exec.h"

enum {
	RN_LOWER_FAILED = UINT32_MAX - 1, /* what was wrong was told */
	RN_LOWER_BUSY = UINT32_MAX - 2,   /* under way */
	RN_LOWER_ATOMS = 500,             /* that one body joins */
	RN_LOWER_FIELDS = 1000000,        /* columns and embeddings of all stages */
	RN_LOWER_NESTED = 100,            /* stages of rules of stages of rules … */
};

struct rn_lang_source {
	const char *name;           /* borrowed from the program, or owned by --source */
	const struct rn_stmt *stmt; /* ?source; NULL: bound from outside only */
	const char *file;           /* --source, or NULL */
	uint32_t node;              /* RN_NONE: not needed yet */
	bool used;                  /* something names it */
	int failed;                 /* it could not be opened: why, as a code */
	struct rn_rel *rows;        /* read at once: a guard, or what can be read only once */
};

struct rn_lowering {
	const struct rn_lang_conf *conf;
	struct rn_diag *d;
	struct rn_expander *x;
	struct rn_arena arena;
	struct rn_plan *plan;
	uint32_t place, line;       /* a place in the program, and its line: lines count from there */
	size_t cap_names;           /* a power of two, or 0 */
	uint32_t *names;            /* node + 1 by hash of its name; 0: free */
	struct rn_schema *schemas;  /* by node */
	size_t cap_schemas;
	uint64_t nfields;           /* columns and embeddings of all stages so far */
	uint32_t nsources;
	size_t cap_sources;
	struct rn_lang_source *sources;
	uint32_t *inst_node;        /* by instance; RN_NONE: not lowered; RN_LOWER_FAILED */
	size_t ninst;
	/* Stages that wait for their inputs: no recursion, however long a chain of them is. */
	uint32_t npending, nested;
	size_t cap_pending;
	const struct rn_stmt **pending;
	struct rn_lowered_pred *preds; /* in the arena */
	struct rn_made {
		const char *rule; /* whose stages are counted here */
		struct { const char *what; unsigned n; } kinds[8];
	} made;
	struct rn_err *e;
};

/* A ?pred that is written as a rule, once its run is in the plan. */
struct rn_lowered_pred {
	struct rn_lowered_pred *next;
	uint32_t inst, run;  /* its rule; number of its run */
	uint32_t decode;     /* its stage `decode`, RN_NONE: nothing has asked for it */
};

/* One relation under construction: a node, and which of its columns and parts the rule's
 * variables are. */
struct rn_view {
	uint32_t node;
	const struct rn_schema *schema; /* of a join's pairs, for its condition; NULL: the node's */
	uint32_t nvars;
	struct rn_view_var {
		const char *name;
		size_t col;          /* of that schema */
	} *vars;
	uint32_t nembs;
	struct rn_view_emb {
		const char *name;    /* as the rule's expression knows it */
		const char *part;    /* of the node */
	} *embs;
	uint32_t nencs;
	struct rn_view_enc {
		const struct rn_term *bracket; /* of fitted encoders */
		const char *part;    /* of the node: their stage's */
	} *encs;
};

const struct rn_schema *rn_lowering_schema(const struct rn_lowering *l, uint32_t node);
const struct rn_schema *rn_view_schema(const struct rn_lowering *l, const struct rn_view *v);
void *rn_lowering_alloc(struct rn_lowering *l, size_t size); /* zeroed; NULL with l->e */
char *rn_lowering_printf(struct rn_lowering *l, const char *fmt, ...) RN_PRINTF(2, 3);
int rn_lowering_nomem(const struct rn_lowering *l);

/* Add a node and infer its schema.  Takes opt (NULL: out of memory).  What is wrong with
 * it is told at text[at … end); where it is an expression of `map`, at its own place. */
struct rn_text_map;
int rn_lowering_node(struct rn_lowering *l, const char *op, const char *name, json_t *opt,
		     uint32_t nin, const uint32_t *in, const char *const *as,
		     const struct rn_rule_inst *inst, uint32_t at, uint32_t end,
		     const struct rn_text_map *map, uint32_t *out);

/* Infer a node's schema anew (an option was added). */
int rn_lowering_infer(struct rn_lowering *l, uint32_t node, const struct rn_rule_inst *inst,
		      uint32_t at, uint32_t end, const struct rn_text_map *map);

/* Settings of a statement as options of `rows` into opt; what is wrong with one is told. */
int rn_lower_settings(struct rn_lowering *l, const struct rn_stmt *s, const struct rn_opt *rows,
		      size_t nrows, const char *what, json_t *opt);

/* Then: options into table order, the required ones there. */
int rn_lower_settings_end(struct rn_lowering *l, const struct rn_stmt *s, const struct rn_opt *rows,
			  size_t nrows, json_t *opt);

/* Room in inst_node for instance `upto`. */
int rn_lower_reserve(struct rn_lowering *l, uint32_t upto);
/* All instances below n.  They are numbered after what they rest on, so this takes no recursion;
 * what is wrong with one is told, and stops none of the others. */
int rn_lower_before(struct rn_lowering *l, uint32_t n);

/* The node of a source, of an instance, of what an atom names. */
int rn_lower_source(struct rn_lowering *l, const char *name, uint32_t at, uint32_t end,
		    uint32_t *out);
int rn_lower_stage(struct rn_lowering *l, const struct rn_stmt *s, uint32_t *out);
int rn_lower_instance(struct rn_lowering *l, uint32_t i, uint32_t *out);
int rn_lower_target(struct rn_lowering *l, const struct rn_inst_atom *a, uint32_t *out);

/* ---- lower_check.c ----------------------------------------------------------------------------- */

/* A --source of a name that nothing has, or that a rule has: RN_EUSAGE. */
int rn_lower_check_sources(struct rn_lowering *l, const struct rn_program *p);
/* What is wrong with rules, definitions and stages that no run reaches is told. */
int rn_lower_unused(struct rn_lowering *l, const struct rn_program *prog);

/* ---- lower_body.c ------------------------------------------------------------------------------ */

/* The rule's body: joined or stacked, conditions applied. */
int rn_lower_body(struct rn_lowering *l, const struct rn_rule_inst *r, struct rn_view *out);

/* ---- lower_run.c ------------------------------------------------------------------------------- */

bool rn_terms_equal(const struct rn_term *a, const struct rn_term *b);
/* What a fit takes one value of, its name for rn-agg, or NULL: the mean over the rows. */
const char *rn_loss_agg(const struct rn_term *t, const struct rn_term **of);
/* What the losses of the plan's fits say, by number of the fit; *out owned. */
struct rn_loss_facts;
int rn_lowering_losses(const struct rn_lowering *l, struct rn_loss_facts **out);

/* ---- lower_decode.c ---------------------------------------------------------------------------- */

/* ?pred P(x, [F(z)]; z): a relation with F(z), which is `of`, before z, which the run takes apart
 * again: *first numbers and the others.  F is of the rule's result where all that it reads is
 * there; else it is grouped as z is.  *node: the rule's result; then that relation. */
int rn_lower_both(struct rn_lowering *l, const struct rn_rule_inst *r, const struct rn_term *of,
		  uint32_t *node, uint32_t *first);
/* Is what the stage p->decode says so still, now that all fits are known? */
int rn_lower_still_decoded(struct rn_lowering *l, const struct rn_lowered_pred *p, bool *right);
/* The relation of the ?pred that the atom names, with the column that its run makes: a stage
 * `decode`.  RN_EUSAGE where it makes none, or comes later. */
int rn_lower_decoded(struct rn_lowering *l, const struct rn_inst_atom *a, uint32_t *out);

/* ---- lower_rule.c ------------------------------------------------------------------------------ */

/* The whole rule; its last stage is called r->name. */
int rn_lower_rule(struct rn_lowering *l, const struct rn_rule_inst *r, uint32_t *out);
/* The expression `t` as the view's sole part, by a map where one is needed.  name NULL:
 * a stage of the rule, whose parameters are the rule's all the same. */
int rn_lower_map(struct rn_lowering *l, const struct rn_rule_inst *r, struct rn_view *v,
		 const struct rn_term *t, const char *name);
/* The columns `names` of `terms`, and no others, by a project where one is needed; the
 * embedding is dropped where the view has none. */
int rn_lower_keep(struct rn_lowering *l, const struct rn_rule_inst *r, struct rn_view *v,
		  uint32_t n, const char *const *names, const struct rn_term *const *terms,
		  const char *name);

/* "H1/join", "H1/join2", ...: a stage of a rule beside its last; NULL with l->e. */
const char *rn_stage_name(struct rn_lowering *l, const struct rn_rule_inst *r, const char *what);
/* A node over the view with one text option; its parameters are called `param` unless NULL. */
int rn_text_node(struct rn_lowering *l, const struct rn_rule_inst *r, const char *op,
		 const char *key, const char *text, const char *name, uint32_t at, uint32_t end,
		 const struct rn_text_map *map, const char *param, struct rn_view *v);
int rn_new_options(struct rn_lowering *l, json_t **out);
int rn_set_option(struct rn_lowering *l, json_t *opt, const char *key, json_t *v); /* takes v */
int rn_add_view_var(struct rn_lowering *l, struct rn_view *v, const char *name, size_t col);
int rn_add_view_emb(struct rn_lowering *l, struct rn_view *v, const char *name, const char *part);
uint32_t rn_rule_name_end(const struct rn_rule_inst *r); /* of the name in the text */

/* ---- lower_text.c ------------------------------------------------------------------------------ */

/* Which piece of an expression's text came from where in the program. */
struct rn_text_map {
	uint32_t n, cap;
	struct rn_text_piece {
		uint32_t text;    /* offset in the expression */
		uint32_t at, end; /* in the program */
	} *pieces;
};

/* An embedding expression in the spelling of rn-map, over the view's parts and columns. */
int rn_text_emb(struct rn_lowering *l, const struct rn_view *v, const struct rn_term *t,
		struct rn_str *out, struct rn_text_map *map);
/* What stands in a bracket in the spelling of rn-encode. */
int rn_text_encoders(struct rn_lowering *l, const struct rn_view *v, const struct rn_term *bracket,
		     struct rn_str *out);
/* A content expression in the spelling of rn-filter, over the view's columns. */
int rn_text_content(struct rn_lowering *l, const struct rn_view *v, const struct rn_term *t,
		    struct rn_str *out);
/* An aggregate of content (rn_is_content_agg), for rn-agg. */
int rn_text_aggregate(struct rn_lowering *l, const struct rn_view *v, const struct rn_term *t,
		      struct rn_str *out);
/* A column as both spellings write it. */
void rn_text_column(const struct rn_schema *s, size_t col, struct rn_str *out);
/* The column of a variable, or -1; the part of an embedding, or NULL. */
long rn_view_var(const struct rn_view *v, const char *name);
const char *rn_view_part(const struct rn_view *v, const char *name);
/* Add the variables that a term reads (content, brackets, softmax) to names[*n]. */
int rn_text_vars(struct rn_lowering *l, const struct rn_term *t, bool emb, uint32_t *n,
		 uint32_t *cap, const char ***names);
/* A literal as JSON (new reference), NULL out of memory. */
json_t *rn_term_json(const struct rn_term *t);

/* ---- lower_encode.c ---------------------------------------------------------------------------- */

/* A stage of its own for each bracket of `t` that holds a fitted encoder; its part is the
 * bracket's value for rn_text_emb. */
int rn_lower_encoders(struct rn_lowering *l, const struct rn_rule_inst *r, struct rn_view *v,
		      const struct rn_term *t);

/* ---- lower_attr.c ------------------------------------------------------------------------------ */

/* A call that aggregates content: count(*), sum(amount). */
bool rn_is_content_agg(const struct rn_term *t);
/* How many are in t, the outermost. */
uint32_t rn_count_content_aggs(const struct rn_term *t);
/* None within an aggregate, or an error. */
int rn_check_content_agg(struct rn_lowering *l, const struct rn_term *agg);
/* sum(w) / count(*) as an expression over the columns behind the grouping: attributes by[i], which
 * are called names[i] there, and what agg(arg, t) calls the column of an aggregate (NULL: out of
 * memory).  Any other variable is an error. */
struct rn_attr_split {
	struct rn_lowering *l;
	uint32_t nby;
	const struct rn_term *const *by;
	const char *const *names;
	const char *(*agg)(void *arg, const struct rn_term *t);
	void *arg;
};
int rn_split_attr(struct rn_attr_split *s, const struct rn_term *t, struct rn_term **out);

/* ---- lower_agg.c ------------------------------------------------------------------------------- */

/* The aggregate that t is, its name for rn-agg ("count": the number of rows), and what it is of;
 * NULL: none, *of is t. */
const char *rn_take_aggregate(const struct rn_term *t, const struct rn_term **of);
/* Is a loss in it whose rows count differently, CrossEntropyLoss(weight=[1, 5])?  Its mean is one of a
 * group then, also where that is one row. */
bool rn_weighs_rows(const struct rn_term *t);
/* Does an expression, or an aggregate, stand around aggregates? */
bool rn_nests_aggregates(const struct rn_term *t);

/* Such an expression in two: what is reduced, and what is made of that. */
struct rn_nested {
	const char *expr;       /* "sum(…)", for the stage; NULL: the number of rows is all */
	struct rn_text_map map;
	bool counts;            /* the stage has the number of rows as a column */
	struct rn_term *rest;   /* over these names: */
	const char *part, *rows; /* of the stage's embedding, of that column */
};
/* by: the attributes that are grouped by; row: every group is one row, and rest has the operands
 * in place of their aggregates (nothing else is set).  What is wrong is told. */
int rn_nested_split(struct rn_lowering *l, const struct rn_view *v, uint32_t nby,
		    const struct rn_term *const *by, const struct rn_term *t, bool row,
		    struct rn_nested *out);

#endif
