/* SPDX-License-Identifier: Apache-2.0
 *
 * The differential test: random relations (relation.c), queries written for RN and
 * for SQLite (generate.c), single operators (single.c) and chains of them
 * (chain.c), and the comparison of what comes out (compare.c).
 *
 * Where the two languages differ by design the generator writes what means the
 * same: / of integers is a cast in SQLite, booleans are integers there, timestamps
 * microseconds.  It makes no int64 that overflows (an error here, a float there),
 * no text of a float64 and no text that is no number.
 */
#ifndef DIFF_H
#define DIFF_H

#include "../../lib/exec/exec.h"

#include <sqlite3.h>

extern struct rn_err err;
extern struct rn_ctx ctx;
extern sqlite3 *db;

/* ---- chance (test_sqlite.c) -------------------------------------------------------------- */

unsigned rnd(unsigned n); /* 0 … n - 1 */

/* What the test cannot do without. */
void die(const char *what);
void must(int rc);
void sql(const char *text);

/* ---- relations (relation.c) -------------------------------------------------------------- */

enum { A, B, K, F, G, S, U, P, Q, T, NCOLS };

struct base_column {
	const char *name;
	enum rn_type type;
};
extern const struct base_column columns[NCOLS];
extern const char *const strings[];
enum { NSTRINGS = 10 };

/* A random relation, and the same as a table; its key `i` is the row's number. */
struct rn_rel *make_relation(const char *name, uint64_t rows);

/* ---- texts in two languages (generate.c) ------------------------------------------------- */

/* The columns that an expression may call.  Small ones can be computed with: their
 * sums and products fit, and floats of them are exact. */
enum { MAX_COLS = 40 };
struct scope {
	size_t n;
	bool bare; /* of one relation: "a" will do for "l.a" */
	struct column {
		char name[8];
		enum rn_type type;
		bool small;
	} col[MAX_COLS];
};
void add_column(struct scope *s, const char *name, enum rn_type t, bool small);
/* The base columns as those of each relation that has a letter in `sides`. */
struct scope base_scope(const char *sides);
/* A column of s; of type t, unless that is RN_NTYPES; NULL: there is none. */
const struct column *pick_column(const struct scope *s, enum rn_type t, bool small);

/* The same expression for RN and for SQLite. */
struct text {
	struct rn_str rn, lite;
	const struct scope *scope;
};
struct text text_new(const struct scope *s);
void text_free(struct text *x);
void put(struct text *x, const char *s);
void put2(struct text *x, const char *rn, const char *lite);

/* A random expression of type t.  `prec`: the loosest operator that it may be made of
 * without parentheses, loosest first; the two languages agree wherever the types do. */
enum { ANY, OR, AND, NOT, TEST, CONCAT, SUM, PRODUCT, UNARY, PRIMARY };
void gen(struct text *x, enum rn_type t, int depth, int prec);

/* An aggregate of columns of s, which is the table `from`; `same` says that its row m is in
 * the group; *exact: bit for bit. */
void gen_aggregate(struct text *x, const char *from, const char *same, enum rn_type *type,
		   bool *exact);

/* ---- comparison (compare.c) -------------------------------------------------------------- */

/* Shows the first few that differ. */
bool report(bool ok, int pair, const char *rn, const char *lite);
/* Do the answers of `text` have just these numbers?  at[k] has column k; RN_NO_ROW is NULL. */
bool numbers_are(const char *text, const uint32_t *const *at, int cols, uint64_t rows);
/* Are they the values of these columns? about[k]: up to rounding; NULL: none is. */
bool columns_are(const char *text, struct rn_column *const *cols, size_t n, const bool *about);

/* ---- what is compared -------------------------------------------------------------------- */

/* Each makes a query of relations l and r of any size; false where SQLite differs. */
typedef bool check(int pair, const struct rn_rel *l, const struct rn_rel *r);
check check_join, check_group, check_group_keys, check_filter, check_expression; /* single.c */
check check_residual, check_asof, check_order, check_aggregate;
check check_chain; /* chain.c */

#endif
