/* SPDX-License-Identifier: Apache-2.0
 *
 * The tree of a content expression, between its parser, its type rules and its
 * evaluator.  Private to content*.c.
 */
#ifndef RN_CONTENT_NODE_H
#define RN_CONTENT_NODE_H

#include "content.h"

/* The type of a NULL that nothing has given a type yet. */
#define RN_CX_UNTYPED RN_NTYPES

enum rn_cx_op {
	RN_CX_LITERAL,
	RN_CX_COLUMN,
	RN_CX_NEG,
	RN_CX_ADD,
	RN_CX_SUB,
	RN_CX_MUL,
	RN_CX_DIV,
	RN_CX_MOD,
	RN_CX_CONCAT,
	RN_CX_EQ, /* the six comparisons stand together */
	RN_CX_NE,
	RN_CX_LT,
	RN_CX_LE,
	RN_CX_GT,
	RN_CX_GE,
	RN_CX_DISTINCT, /* is distinct from: NULL is a value like another */
	RN_CX_AND,
	RN_CX_OR,
	RN_CX_NOT,
	RN_CX_IS_NULL,
	RN_CX_IN,      /* kid 0 in the others */
	RN_CX_LIKE,    /* kid 0 like kid 1, the escape character in lit.i */
	RN_CX_CASE,    /* when, then, when, then, …, [else] */
	RN_CX_CASE_OF, /* the same after kid 0, to which the whens refer */
	RN_CX_OPERAND, /* the value of the node `of`, which was computed before */
	RN_CX_CAST,    /* lit.b: what cannot be is NULL */
	RN_CX_BETWEEN, /* kid 0 between kids 1 and 2 */
	RN_CX_YEAR, /* functions, from here on: first the parts of a timestamp */
	RN_CX_QUARTER,
	RN_CX_MONTH,
	RN_CX_WEEK,
	RN_CX_DAY,
	RN_CX_HOUR,
	RN_CX_MINUTE,
	RN_CX_SECOND,
	RN_CX_MICROSECOND,
	RN_CX_WEEKDAY,
	RN_CX_YEARDAY,
	RN_CX_EPOCH, /* of timestamps */
	RN_CX_TO_TIMESTAMP,
	RN_CX_DATE_TRUNC,
	RN_CX_STRFTIME,
	RN_CX_STRPTIME,
	RN_CX_TRY_STRPTIME,
	RN_CX_LENGTH, /* of strings: first those that give a number or a bool, */
	RN_CX_STRPOS,
	RN_CX_CONTAINS,
	RN_CX_STARTS_WITH,
	RN_CX_ENDS_WITH,
	RN_CX_SUBSTR, /* those that give a piece of what they take, */
	RN_CX_LEFT,
	RN_CX_RIGHT,
	RN_CX_SPLIT_PART,
	RN_CX_TRIM,
	RN_CX_LTRIM,
	RN_CX_RTRIM,
	RN_CX_LOWER, /* and those that write a new string */
	RN_CX_UPPER,
	RN_CX_REPLACE,
	RN_CX_REVERSE,
	RN_CX_REPEAT,
	RN_CX_LPAD,
	RN_CX_RPAD,
	RN_CX_REGEXP_MATCHES, /* the pattern is compiled in `regex` */
	RN_CX_REGEXP_EXTRACT,
	RN_CX_REGEXP_REPLACE,
	RN_CX_ABS, /* of numbers, an int64 or a float64 */
	RN_CX_SIGN,
	RN_CX_FLOOR,
	RN_CX_CEIL,
	RN_CX_TRUNC,
	RN_CX_ROUND, /* kid 1, if any: to so many digits */
	RN_CX_SQRT,  /* of float64 */
	RN_CX_LN,
	RN_CX_LOG2,
	RN_CX_LOG10,
	RN_CX_EXP,
	RN_CX_POW,
	RN_CX_SIN,
	RN_CX_COS,
	RN_CX_TAN,
	RN_CX_ASIN,
	RN_CX_ACOS,
	RN_CX_ATAN,
	RN_CX_ATAN2,
	RN_CX_COALESCE, /* of any type, the same for all kids */
	RN_CX_GREATEST,
	RN_CX_LEAST,
	RN_CX_NULLIF,
	RN_CX_HASH, /* of all kids together, each of any type */
	RN_CX_NOPS
};

enum { RN_CX_NO_ESCAPE = 256 }; /* no byte is equal to it */

struct rn_cx_text {
	const char *s;
	size_t n;
};

struct rn_cx_node {
	enum rn_cx_op op;
	enum rn_type type; /* or RN_CX_UNTYPED */
	size_t pos;        /* in the text, of the operator or the first token */
	size_t index;      /* of its scratch memory */
	unsigned height;
	bool fails; /* it or a part of it may be an error for some row */
	size_t nkids;
	struct rn_cx_node **kids;
	size_t col; /* RN_CX_COLUMN */
	const struct rn_cx_node *of; /* RN_CX_OPERAND */
	const struct rn_regex *regex;
	struct {    /* RN_CX_LITERAL; int64 and timestamp in i */
		bool null;
		int64_t i;
		double f;
		bool b;
		struct rn_cx_text s;
	} lit;
};

struct rn_cx_state;
struct rn_cx_vec;
struct rn_regex; /* regex.h */

struct rn_cexpr {
	struct rn_arena mem;
	const char *text;
	struct rn_cx_node *root;
	size_t nodes;
	size_t ncols;              /* of the schema, … */
	const enum rn_type *types; /* … and their types */
};

/* ---- tokens (content_lex.c) -------------------------------------------------------- */

enum rn_cx_token_kind {
	RN_CX_T_END,
	RN_CX_T_WORD,
	RN_CX_T_QUOTED, /* `name` */
	RN_CX_T_STRING,
	RN_CX_T_NUMBER,
	RN_CX_T_SYMBOL,
	RN_CX_T_BAD, /* another character, or a quote that nothing closes */
};

struct rn_cx_token {
	enum rn_cx_token_kind kind;
	size_t pos, end; /* in the text */
};

/* The token after t. */
void rn_cx_next(const char *text, struct rn_cx_token *t);

/* The error `fmt` about the place `pos` of text: the message, the text and a caret. */
int rn_cx_fail(struct rn_err *e, int code, const char *text, size_t pos, const char *fmt, ...)
	RN_PRINTF(5, 6);

/* ---- operators (content_table.c) and type rules (content_type.c) ------------------ */

/* How an operator is written, what it takes and gives, and the loop that does it. */
struct rn_cx_info {
	const char *symbol;
	/* Of a function, a letter per argument: t timestamp, s string, i int64, f float64,
	 * n an int64 or a float64; behind '|' those that need not be there.  NULL: it has
	 * rules of its own. */
	const char *args;
	char result;  /* the same letters, and b bool; n: as argument 1 */
	bool fails;   /* some values are errors */
	int (*run)(struct rn_cx_state *s, const struct rn_cx_node *n, const struct rn_cx_vec *kids,
		   const uint8_t *active, struct rn_cx_vec *out, struct rn_err *e);
};
extern const struct rn_cx_info rn_cx_table[RN_CX_NOPS]; /* content_table.c */
/* The function called `name`, RN_CX_NOPS: none. */
enum rn_cx_op rn_cx_find(const char *name);
/* How many arguments a function takes. */
void rn_cx_arity(enum rn_cx_op op, size_t *min, size_t *max);

/* A node of `n` kids, which are taken over as an array of the arena; *out. */
RN_MUST_CHECK int rn_cx_node(struct rn_cexpr *x, enum rn_cx_op op, size_t pos, size_t n,
			     struct rn_cx_node *const *kids, struct rn_cx_node **out,
			     struct rn_err *e);
/* Check the kids of a node, insert conversions, and set its type. */
RN_MUST_CHECK int rn_cx_check(struct rn_cexpr *x, struct rn_cx_node *n, struct rn_err *e);
/* cast(kid as t), or try_cast. */
RN_MUST_CHECK int rn_cx_cast(struct rn_cexpr *x, struct rn_cx_node *kid, enum rn_type t, bool try,
			     size_t pos, struct rn_cx_node **out, struct rn_err *e);
/* The whens of a RN_CX_CASE_OF, which are values, become comparisons with kid 0. */
RN_MUST_CHECK int rn_cx_compare_whens(struct rn_cexpr *x, size_t n, struct rn_cx_node **kids,
				      struct rn_err *e);

/* ---- vectors (content_eval.c, content_kernel.c) ------------------------------------ */

enum { RN_CX_BATCH = 1024 };

/* The values of a node for the rows of a batch.  What stands under a NULL is
 * anything that can be read. */
struct rn_cx_vec {
	union {
		const int64_t *i; /* int64, timestamp */
		const double *f;
		const uint8_t *b;
		const struct rn_cx_text *s;
	};
	const uint8_t *null; /* NULL: no row is */
};

/* What one node may write to. */
struct rn_cx_scratch {
	union {
		int64_t i[RN_CX_BATCH];
		uint64_t u[RN_CX_BATCH];
		double f[RN_CX_BATCH];
		uint8_t b[RN_CX_BATCH];
		struct rn_cx_text s[RN_CX_BATCH];
	};
	uint8_t null[RN_CX_BATCH];
	uint8_t mask[2][RN_CX_BATCH];
	struct rn_str bytes; /* of strings that it made */
	struct rn_cx_vec value; /* of what a RN_CX_CASE_OF compares, for its whens */
};

struct rn_cx_state {
	const struct rn_cexpr *x;
	const struct rn_rel *r;
	uint64_t from; /* the batch: rows from … from + n - 1 */
	size_t n;
	struct rn_cx_scratch *scratch; /* one per node */
};

/* Errors count in rows with active[i] only (NULL: in all). */
typedef int rn_cx_kernel(struct rn_cx_state *s, const struct rn_cx_node *n,
			 const struct rn_cx_vec *kids, const uint8_t *active,
			 struct rn_cx_vec *out, struct rn_err *e);
rn_cx_kernel rn_cx_arithmetic, rn_cx_compare, rn_cx_distinct, rn_cx_between, rn_cx_nullif;
rn_cx_kernel rn_cx_concat, rn_cx_like, rn_cx_convert;
rn_cx_kernel rn_cx_time_part, rn_cx_epoch, rn_cx_to_timestamp, rn_cx_date_trunc;
rn_cx_kernel rn_cx_strftime, rn_cx_strptime;
/* Are the constant unit or format of date_trunc, strftime, strptime, try_strptime right? */
RN_MUST_CHECK int rn_cx_check_time(const struct rn_cexpr *x, const struct rn_cx_node *n,
				   struct rn_err *e);
rn_cx_kernel rn_cx_text_facts, rn_cx_text_pieces, rn_cx_text_copies, rn_cx_regexp;
rn_cx_kernel rn_cx_number_function;
enum { RN_CX_KERNEL_KIDS = 3 }; /* at most */
/* Functions that make a string longer than what they take refuse above this. */
enum { RN_CX_MAX_STRING = 16 << 20 };

/* The bytes of all strings of a node were written to t->bytes, their lengths to t->s:
 * point to them. */
RN_MUST_CHECK int rn_cx_finish_strings(struct rn_cx_scratch *t, size_t n, struct rn_cx_vec *out,
				       struct rn_err *e);
/* The values in t->f as v, whose NULLs are set: NaN becomes NULL, -0.0 becomes 0.0. */
void rn_cx_tidy_floats(struct rn_cx_scratch *t, size_t n, struct rn_cx_vec *v);

/* NULL where a or b is: one of them, or written to `to`. */
const uint8_t *rn_cx_merge_nulls(const uint8_t *a, const uint8_t *b, size_t n, uint8_t *to);
/* NULL where any of the kids is; may be written to the node's scratch. */
const uint8_t *rn_cx_any_null(const struct rn_cx_state *s, const struct rn_cx_node *x,
			      const struct rn_cx_vec *kids);
/* Is row i asked for, and not NULL? */
static inline bool rn_cx_counts(const uint8_t *null, const uint8_t *active, size_t i)
{
	return (!null || !null[i]) && (!active || active[i]);
}
/* The error "row N: …" about a row of the batch. */
int rn_cx_row_fail(const struct rn_cx_state *s, const struct rn_cx_node *x, size_t i,
		   struct rn_err *e, const char *fmt, ...) RN_PRINTF(5, 6);

/* Below 0, 0, above 0. */
int rn_cx_cmp_text(const struct rn_cx_text *a, const struct rn_cx_text *b);

/* Go on with h[i] by the values of v: see content_hash.c. */
void rn_cx_hash(enum rn_type type, const struct rn_cx_vec *v, size_t n, uint64_t *h);

/* The equality of two vectors, whatever it is where one is NULL, into eq. */
void rn_cx_equal(enum rn_type ta, const struct rn_cx_vec *a, enum rn_type tb,
		 const struct rn_cx_vec *b, size_t n, uint8_t *eq);

#endif
