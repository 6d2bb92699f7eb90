/* SPDX-License-Identifier: Apache-2.0
 *
 * Variable elimination: what choosing an order (eliminate.c) and writing it down as joins
 * and aggregates (eliminate_build.c) share.
 */
#ifndef RN_REWRITE_ELIMINATE_H
#define RN_REWRITE_ELIMINATE_H

#include "../../expr/emb_terms.h"
#include "pattern.h"

/* What things cost, in flops of 0.5 ns.  Measured (DHN's patterns over the CSL graphs, one core): a
 * row of a join takes 15 ns where it stays in the cache to 100 ns where it does not, once, and one
 * that is grouped four times as much; n factors of a row, forward and back, take 0.5 ns * n * n *
 * width in every epoch, as each factor's gradient has all others in it.  Epochs are not those of
 * the run, or a longer fit would have other bits. */
enum {
	RN_ELIM_ROW = 100,
	RN_ELIM_GROUP = 4,    /* rows of a join that one that is grouped counts for */
	RN_ELIM_EPOCHS = 100,
	RN_ELIM_STAGE = 400,  /* what a node costs beside its rows, in rows, */
	RN_ELIM_STEP = 4000,  /* … and in an epoch */
};

struct rn_elim_cost {
	double rows;  /* gone through once, before training */
	double flops; /* of an epoch */
};

static inline double rn_elim_total(struct rn_elim_cost c)
{
	return RN_ELIM_ROW * c.rows + RN_ELIM_EPOCHS * c.flops;
}

enum { RN_ELIM_TABLES = 4 * RN_PATTERN_ATOMS + RN_PATTERN_VARS };

/* A relation over some variables: an atom, or what is left of several. */
struct rn_elim_table {
	bool alive;
	bool emb;          /* it has a part: the product of the factors that it stands for */
	bool varies;       /* … one of which is not the same for all rows of its atom */
	bool unique;       /* no two rows have the same values */
	uint32_t count;    /* 1 + number of its column of multiplicities; 0: none, each row is one */
	uint64_t atoms;    /* that it stands for */
	struct rn_estimate est; /* its variables, too */
	uint32_t node;     /* RN_NONE where nothing is built */
	double joined;     /* rows of the join that it was made of, */
	unsigned parts;    /* … and how many of their parts are multiplied; 0: nothing is computed */
	uint32_t into;     /* the table that was made of it; RN_NONE: the result is */
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
	uint64_t fixed; /* atoms that have one embedding for all rows */

	uint32_t starts[RN_ETERMS_MAX]; /* by term: what goes first; RN_NONE: the cheapest */

	/* of one term, or of none */
	const struct rn_eterm *term;
	bool build;
	struct rn_elim_table tables[RN_ELIM_TABLES]; /* first the atoms' */
	uint32_t ntables;
	uint64_t tested; /* tests that were applied */
	uint64_t apart;  /* atoms whose factors are computed when several of them are joined */
	bool failed;     /* there is no such order */
	struct rn_elim_cost cost; /* of the terms so far */
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


/* ---- what it costs -------------------------------------------------------------------------- */

/* el->fixed */
RN_MUST_CHECK int rn_elim_find_fixed(struct rn_elim *el, struct rn_err *e);
/* Has atom a a factor that is not the same for all rows? */
bool rn_elim_varies(const struct rn_elim *el, uint32_t a);
/* How many parts of a chain's rows are multiplied. */
unsigned rn_elim_factors(const struct rn_elim *el, const struct rn_elim_chain *c);
/* Of an epoch, all tables having been made and joined to the last chain. */
double rn_elim_flops(const struct rn_elim *el, const struct rn_elim_chain *c);
/* Of the joins as they are written. */
struct rn_elim_cost rn_elim_enumeration(const struct rn_elim *el);
bool rn_elim_is_refused(const struct rn_elim *el);

#endif
