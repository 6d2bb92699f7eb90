/* SPDX-License-Identifier: Apache-2.0
 *
 * A tree of inner equi-joins, renaming projections and comparisons, flattened: its leaves
 * are *atoms*, and columns that joins make equal are one *variable*.  Rows of the tree are
 * the rows of the atoms that agree on all variables, with multiplicities, in lexicographic
 * order of the atoms' row numbers.
 */
#ifndef RN_REWRITE_PATTERN_H
#define RN_REWRITE_PATTERN_H

#include "rewriting.h"

enum { RN_PATTERN_ATOMS = 64, RN_PATTERN_VARS = 64, RN_PATTERN_TESTS = 64 };

struct rn_pattern_atom {
	uint32_t node;
	uint32_t first;  /* number of its first column in the pattern */
	uint32_t ncols;
	uint32_t part, nparts; /* the parts of the tree are those of the atoms, in order */
	uint64_t vars;   /* live variables that it has */
	double rows;     /* rn_pattern_measure: exact, */
	double unique;   /* … and how many distinct values the live variables have together */
	double *distinct; /* … and each: [RN_PATTERN_VARS] */
};

/* Two variables compared: a OP b. */
struct rn_pattern_test {
	char op[3];
	uint32_t a, b;   /* columns, then variables */
};

struct rn_pattern {
	struct rn_arena arena;
	uint32_t top; /* the node that is flattened */
	uint32_t natoms, ncols, ntests, nvars;
	struct rn_pattern_atom atoms[RN_PATTERN_ATOMS];
	struct rn_pattern_test tests[RN_PATTERN_TESTS];
	uint32_t *of;    /* by column: the smallest column that it equals */
	uint32_t *atom;  /* by column: its atom */
	uint32_t *var;   /* by column: its live variable, or RN_NONE */
	uint32_t cap_cols;
	uint32_t *cols;  /* of the top: the column of the pattern that each is */
	double components; /* rn_pattern_measure: parts into which the atoms' rows fall that share no
			    * value, as many as there would be if they were of one size */
	double joined[RN_PATTERN_ATOMS]; /* rn_pattern_measure: rows when the atoms are joined as they
					  * stand, up to each, estimated; tests are left out */
	bool mixed;      /* columns of different types meet, or two of one atom: leave it alone */
};

/* Flatten node `top`, down to what is no such tree or is read from elsewhere, too. */
RN_MUST_CHECK int rn_pattern_init(struct rn_pattern *p, const struct rn_rewriting *r, uint32_t top,
				  struct rn_err *e);
void rn_pattern_fini(struct rn_pattern *p);

/* Number the live variables: those that two atoms share, that tests read, and those of the
 * top's columns in use[].  False: too many. */
bool rn_pattern_number(struct rn_pattern *p, const bool *use);
/* Rows and distinct values of the atoms: their content is made. */
RN_MUST_CHECK int rn_pattern_measure(struct rn_pattern *p, struct rn_rewriting *r,
				     struct rn_err *e);
/* The column of atom a that is variable v, or RN_NONE. */
uint32_t rn_pattern_column(const struct rn_pattern *p, uint32_t a, uint32_t v);

/* ---- estimates ------------------------------------------------------------------------ */

/* Rows of a relation, and distinct values of its variables. */
struct rn_estimate {
	uint64_t vars;
	double rows, components;
	double distinct[RN_PATTERN_VARS];
};
void rn_estimate_atom(const struct rn_pattern *p, uint32_t a, struct rn_estimate *out);
/* x joined with y on all variables that they share; the usual assumptions of containment
 * and, inside a component, of independence. */
void rn_estimate_join(struct rn_estimate *x, const struct rn_estimate *y);
/* x grouped by some of its variables. */
void rn_estimate_group(struct rn_estimate *x, uint64_t vars);

#endif
