/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside ext_accum: the state, its groups, and what --cols asks for as columns of runs.
 */
#ifndef RN_EXT_ACCUM_H
#define RN_EXT_ACCUM_H

#include "../expr/emb.h"
#include "../op/aggregate.h"
#include "ext_agg.h"
#include "ext_sparse.h"
#include "ext_values.h"

enum rn_accum_kind {
	ACC_COUNT, ACC_SUM_INT, ACC_SUM, ACC_AVG, ACC_VAR, ACC_STDDEV, ACC_MIN, ACC_MAX, ACC_FIRST,
	ACC_LAST,
	ACC_DISTINCT, ACC_QUANTILE, /* from all values, in order (ext_values.c) */
};

/* One of --cols, and the columns of a run's result that it is made of. */
struct rn_accum_item {
	const char *text;
	struct rn_cagg_text in; /* its pieces */
	struct rn_values *values; /* borrowed, of those that want them */
	enum rn_accum_kind kind;
	enum rn_type type;
	size_t at; /* the first of them */
	bool by;   /* first(x by t), last(x by t) */
	bool infinite; /* a run's sum was */
	/* By group. */
	int64_t *count;
	__int128 *isum;
	double *sum, *mean;
	struct rn_column *best, *best_by;
};

struct rn_accum {
	struct rn_ext *x;
	struct rn_schema schema;
	const size_t *by;
	size_t nby, number;
	char chunk[64], mean[64]; /* names of columns that are added */
	struct rn_node node;      /* the operator for runs */
	size_t nderived;
	struct rn_accum_item *items;
	size_t nitems;
	struct rn_values **values; /* one for each expression */
	size_t nvalues;
	enum rn_agg how; /* of the embedding */
	const char *whole; /* the embedding's expression, if it needs all rows of a group at once, or NULL */
	uint32_t width;    /* of a dense embedding; 0: there is none */
	struct rn_sparse_sums *sparse; /* NULL: it is not sparse */
	bool second;
	bool warned; /* a run's sum was infinite though its values were not */
	/* Groups so far; fixed: all, of --keys, and as many rows had one. */
	bool fixed;
	uint64_t kept;
	size_t n, cap;
	struct rn_rel *keys;   /* their key columns */
	int64_t *first;        /* the number of their first row */
	uint64_t *rows, *done; /* rows, and runs, that are added up */
	float *z;
	/* Rows that wait: those of runs that are not full, then those that are new. */
	struct rn_rel **pending;
	size_t npending, pending_cap;
	uint64_t bytes;
};

static inline bool rn_accum_is_variance(const struct rn_accum_item *it)
{
	return it->kind == ACC_VAR || it->kind == ACC_STDDEV;
}

/* The group of each row of r, of: uint32_t[r->rows]. */
RN_MUST_CHECK int rn_accum_find_groups(struct rn_accum *a, const struct rn_rel *r, uint32_t *of,
				       struct rn_err *e);
/* The groups are fixed: rows that have none leave *block, an owned reference. */
RN_MUST_CHECK int rn_accum_keep_known(struct rn_accum *a, struct rn_rel **block, struct rn_err *e);

/* What the items ask for, from their text. */
RN_MUST_CHECK int rn_accum_read_items(struct rn_accum *a, struct rn_err *e);
/* Make a->node, the operator for runs, and a->items; a->second: for the second pass. */
RN_MUST_CHECK int rn_accum_make_node(struct rn_accum *a, struct rn_err *e);

#endif
