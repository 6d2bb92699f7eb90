/* SPDX-License-Identifier: Apache-2.0
 *
 * Variable elimination: what choosing an order (eliminate.c) and writing it down as joins
 * and aggregates (eliminate_build.c) share.
 */
#ifndef RN_REWRITE_ELIMINATE_H
#define RN_REWRITE_ELIMINATE_H

#include "../../expr/emb_terms.h"
#include "pattern.h"

enum {
	/* What a factor of a row, read in every epoch, costs where a row of a join, made once,
	 * costs 1. */
	RN_ELIM_SUM = 4,
	RN_ELIM_STAGE = 400, /* what a node costs beside its rows */
};

enum { RN_ELIM_TABLES = 4 * RN_PATTERN_ATOMS + RN_PATTERN_VARS };

/* A relation over some variables: an atom, or what is left of several. */
struct rn_elim_table {
	bool alive;
	bool emb;          /* it has a part: the product of the factors that it stands for */
	bool unique;       /* no two rows have the same values */
	uint32_t count;    /* 1 + number of its column of multiplicities; 0: none, each row is one */
	uint64_t atoms;    /* that it stands for */
	struct rn_estimate est; /* its variables, too */
	uint32_t node;     /* RN_NONE where nothing is built */
};

struct rn_elim {
	struct rn_rewriting *r;
	uint32_t agg; /* the aggregate that is rewritten */
	struct rn_pattern p;
	struct rn_eexpr *x; /* NULL: content alone */
	struct rn_eterms terms;
	enum rn_agg how;
	uint32_t ngroup, *group; /* columns of the pattern, by which rows are grouped */
	bool counts;   /* multiplicities are wanted as content, exactly */
	uint64_t roots; /* atoms that stay rows, joined last and in order: they have the groups */
	uint64_t rootvars;

	uint32_t starts[RN_ETERMS_MAX]; /* by term: what goes first; RN_NONE: the cheapest */

	/* of one term, or of none */
	const struct rn_eterm *term;
	bool build;
	struct rn_elim_table tables[RN_ELIM_TABLES]; /* first the atoms' */
	uint32_t ntables;
	uint64_t tested; /* tests that were applied */
	uint64_t apart;  /* atoms whose factors are computed when several of them are joined */
	bool failed;     /* there is no such order */
	double cost;     /* rows that are gone through; see RN_ELIM_SUM */
	unsigned ngroups; /* tables that were grouped */
	unsigned width;  /* most variables of a join, without one */
	struct rn_str order; /* of elimination, as text */
};

/* A join of tables, one after the other, with the tests that can be applied. */
struct rn_elim_chain {
	uint32_t n, tables[RN_ELIM_TABLES];
	uint32_t node;
	struct rn_estimate est;
};

/* The table of an atom.  Made from its node by a projection, and a map of its factors. */
RN_MUST_CHECK int rn_elim_atom(struct rn_elim *el, uint32_t a, struct rn_err *e);
/* Join; el->failed where a table shares no variable with those before it. */
RN_MUST_CHECK int rn_elim_join(struct rn_elim *el, struct rn_elim_chain *c, struct rn_err *e);
/* A new table: the chain's rows, grouped by some of its variables. */
RN_MUST_CHECK int rn_elim_group(struct rn_elim *el, const struct rn_elim_chain *c, uint64_t vars,
				struct rn_err *e);
/* A new table: the chain's rows, with the product of its parts, or (`apart`) of the factors that
 * read its atoms alone. */
RN_MUST_CHECK int rn_elim_map(struct rn_elim *el, const struct rn_elim_chain *c, bool apart,
			      struct rn_err *e);
/* The last join grouped as the aggregate is: *out is its node. */
RN_MUST_CHECK int rn_elim_final(struct rn_elim *el, const struct rn_elim_chain *c, uint32_t *out,
				struct rn_err *e);
/* The terms' results made into one; the aggregate becomes it.  *done: its schema is the same. */
RN_MUST_CHECK int rn_elim_combine(struct rn_elim *el, const uint32_t *results, size_t n, bool *done,
				  struct rn_err *e);

#endif
