/* SPDX-License-Identifier: Apache-2.0
 *
 * Equi-joins of two inputs by an index of the right one.  First every left row
 * gets the number of its key on the right, which gives the number of output
 * rows; then the output is allocated and written once, in the order of the left
 * rows.
 */
#include "join.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int rn_hash_index_new(const struct rn_ctx *c, const struct rn_key *k, struct rn_hash_index **out,
		      struct rn_err *e)
{
	struct rn_hash_index *x;
	struct rn_buf *of = NULL;
	int rc;

	(void)c;
	RN_TRY(rn_calloc(1, sizeof *x, "an index", &x, e));
	RN_GOTO(fail, rn_buf_new(k->rows * sizeof(uint32_t), "an index", &of, e));
	RN_GOTO(fail, rn_keyset_new(k, false, of->data, NULL, &x->set, e));
	RN_GOTO(fail, rn_rows_by_number(of->data, k->rows, x->set->n, true, &x->ptr, &x->rows, e));
	rn_buf_unref(of);
	x->nulls = rn_key_count_nulls(k);
	*out = x;
	return 0;
fail:
	rn_buf_unref(of);
	rn_hash_index_free(x);
	return rc;
}

void rn_hash_index_free(struct rn_hash_index *x)
{
	if (!x)
		return;
	rn_keyset_free(x->set);
	rn_buf_unref(x->ptr);
	rn_buf_unref(x->rows);
	free(x);
}

void rn_join_result_fini(struct rn_join_result *r)
{
	rn_buf_unref(r->left);
	rn_buf_unref(r->right);
	*r = (struct rn_join_result){ 0 };
}

/* Pairs of left and right rows that match, and left rows that match none. */
static void count_matches(const struct rn_hash_index *x, const uint32_t *of, uint64_t nleft,
			  uint64_t *pairs, uint64_t *misses)
{
	const uint32_t *ptr = x->ptr->data;
	bool unique = x->set->n == ptr[x->set->n];
	uint64_t p = 0, m = 0;

	for (uint64_t i = 0; i < nleft; i++)
		m += of[i] == RN_NO_ROW;
	p = nleft - m;
	for (uint64_t i = 0; !unique && i < nleft; i++)
		if (of[i] != RN_NO_ROW)
			p += ptr[of[i] + 1] - ptr[of[i]] - 1;
	*pairs = p;
	*misses = m;
}

/* ---- refusal ------------------------------------------------------------------- */

/* ": src=5 gives 12 of them (3 rows with 4)", for the key that gives most. */
static void add_worst_key(const struct rn_hash_index *x, const uint32_t *of,
			  const struct rn_key *left, struct rn_str *b)
{
	const uint32_t *ptr = x->ptr->data;
	uint64_t n = x->set->n, worst = 0, most = 0, row = 0;
	uint32_t *count = calloc(n + 1, sizeof *count);

	if (!count)
		return;
	for (uint64_t i = 0; i < left->rows; i++)
		if (of[i] != RN_NO_ROW)
			count[of[i]]++;
	for (uint64_t g = 0; g < n; g++) {
		uint64_t rows = (uint64_t)count[g] * (ptr[g + 1] - ptr[g]);

		if (rows > most) {
			most = rows;
			worst = g;
		}
	}
	while (row < left->rows && of[row] != worst)
		row++;
	if (most && left->n) {
		rn_str_add(b, "; ");
		rn_key_print(left, row, b);
		rn_str_addf(b, " alone gives %" PRIu64 " (%u left with %u right rows)", most,
			    count[worst], ptr[worst + 1] - ptr[worst]);
	}
	free(count);
}

uint64_t rn_join_most_rows(const struct rn_ctx *c, unsigned maps)
{
	uint64_t rows = c && c->mem_limit ? c->mem_limit / (maps * sizeof(uint32_t)) : RN_MAX_ROWS;

	return rows < RN_MAX_ROWS ? rows : RN_MAX_ROWS;
}

void rn_join_add_refusal(const struct rn_ctx *c, uint64_t nleft, uint64_t nright,
			 const char *gives, uint64_t rows, uint64_t bytes, struct rn_str *b)
{
	rn_str_addf(b, "joining %" PRIu64 " with %" PRIu64 " rows %s %" PRIu64 " rows", nleft, nright,
		    gives, rows);
	if (rows > RN_MAX_ROWS)
		rn_str_addf(b, ", more than %" PRIu64, RN_MAX_ROWS);
	else
		rn_str_addf(b,
			    ", whose row numbers take %" PRIu64
			    " bytes, more than the memory limit of %" PRIu64,
			    bytes, c->mem_limit);
}

int rn_join_refuse(struct rn_str *b, struct rn_err *e)
{
	int rc = rn_str_check(b, e);

	if (!rc)
		rc = rn_err_set(e, RN_ENOMEM, "%s", b->s);
	rn_str_fini(b);
	return rc;
}

/* ---- full joins ---------------------------------------------------------------- */

/* *met: uint8_t[nright], 1 for the right rows that have a partner; *misses: the others. */
static int find_met(const struct rn_hash_index *x, const uint32_t *of, uint64_t nleft,
		    uint64_t nright, struct rn_buf **met, uint64_t *misses, struct rn_err *e)
{
	const uint32_t *ptr = x->ptr->data;
	uint8_t *hit, *m;
	int rc;

	RN_TRY(rn_calloc(x->set->n, 1, "a join", &hit, e));
	rc = rn_buf_new(nright, "a join", met, e);
	if (rc) {
		free(hit);
		return rc;
	}
	m = (*met)->data;
	*misses = nright;
	for (uint64_t i = 0; i < nleft; i++)
		if (of[i] != RN_NO_ROW)
			hit[of[i]] = 1;
	for (uint64_t g = 0; g < x->set->n; g++) {
		for (uint32_t j = ptr[g]; hit[g] && j < ptr[g + 1]; j++)
			m[rn_hash_index_row(x, j)] = 1;
		*misses -= hit[g] ? ptr[g + 1] - ptr[g] : 0;
	}
	free(hit);
	return 0;
}

/* The right rows that were not met, as the last of the output. */
static void write_rest(const uint8_t *met, uint64_t nright, struct rn_join_result *o)
{
	uint32_t *left = o->left->data, *right = o->right->data;
	uint64_t at = o->rows - o->right_unmatched;

	for (uint64_t j = 0; j < nright; j++)
		if (!met[j]) {
			left[at] = RN_NO_ROW;
			right[at++] = (uint32_t)j;
		}
}

/* ---- output -------------------------------------------------------------------- */

static int new_map(uint64_t rows, struct rn_buf **out, struct rn_err *e)
{
	return rn_buf_new(rows * sizeof(uint32_t), "a join", out, e);
}

/* Rows with (semi) or without (anti) a partner. */
static int write_semi(const uint32_t *of, uint64_t nleft, bool anti, struct rn_join_result *o,
		      struct rn_err *e)
{
	uint64_t at = 0;
	uint32_t *left;

	RN_TRY(new_map(o->rows, &o->left, e));
	left = o->left->data;
	for (uint64_t i = 0; i < nleft; i++)
		if ((of[i] == RN_NO_ROW) == anti)
			left[at++] = (uint32_t)i;
	return 0;
}

/* Each left row has one output row: the numbers become right rows in place. */
static int write_one_to_one(const struct rn_hash_index *x, struct rn_buf *of, uint64_t nleft,
			    struct rn_join_result *o, struct rn_err *e)
{
	const uint32_t *rows = x->rows ? x->rows->data : NULL;
	uint32_t *left, *right = of->data;

	RN_TRY(new_map(nleft, &o->left, e));
	left = o->left->data;
	for (uint64_t i = 0; i < nleft; i++)
		left[i] = (uint32_t)i;
	/* Keys are unique, so key g has the one place g of the index. */
	for (uint64_t i = 0; rows && i < nleft; i++)
		right[i] = right[i] == RN_NO_ROW ? RN_NO_ROW : rows[right[i]];
	o->right = rn_buf_ref(of);
	return 0;
}

static int write_pairs(const struct rn_hash_index *x, const uint32_t *of, uint64_t nleft,
		       bool outer, struct rn_join_result *o, struct rn_err *e)
{
	const uint32_t *ptr = x->ptr->data, *rows = x->rows ? x->rows->data : NULL;
	uint32_t *left, *right;
	uint64_t at = 0;

	RN_TRY(new_map(o->rows, &o->left, e));
	RN_TRY(new_map(o->rows, &o->right, e));
	left = o->left->data;
	right = o->right->data;
	for (uint64_t i = 0; i < nleft; i++) {
		if (of[i] == RN_NO_ROW) {
			if (outer) {
				left[at] = (uint32_t)i;
				right[at++] = RN_NO_ROW;
			}
			continue;
		}
		for (uint32_t j = ptr[of[i]]; j < ptr[of[i] + 1]; j++) {
			left[at] = (uint32_t)i;
			right[at++] = rows ? rows[j] : j;
		}
	}
	return 0;
}

static int write_output(const struct rn_hash_index *x, struct rn_buf *of, uint64_t nleft,
			enum rn_join_kind kind, struct rn_join_result *o, struct rn_err *e)
{
	const uint32_t *ptr = x->ptr->data;
	bool unique = x->set->n == ptr[x->set->n];

	if (kind == RN_JOIN_SEMI || kind == RN_JOIN_ANTI)
		return write_semi(of->data, nleft, kind == RN_JOIN_ANTI, o, e);
	if (unique && o->rows == nleft && kind != RN_JOIN_FULL)
		return write_one_to_one(x, of, nleft, o, e);
	return write_pairs(x, of->data, nleft, kind != RN_JOIN_INNER, o, e);
}

static uint64_t output_rows(enum rn_join_kind kind, uint64_t nleft, uint64_t pairs,
			    const struct rn_join_result *o)
{
	uint64_t misses = o->left_unmatched;

	switch (kind) {
	case RN_JOIN_INNER:
		return pairs;
	case RN_JOIN_LEFT:
	case RN_JOIN_FULL:
		return pairs + misses + o->right_unmatched;
	case RN_JOIN_SEMI:
		return nleft - misses;
	default:
		return misses;
	}
}

int rn_join_find(const struct rn_key *left, const struct rn_key *right,
		 const struct rn_hash_index *x, struct rn_buf **of, struct rn_join_result *o,
		 struct rn_err *e)
{
	*o = (struct rn_join_result){ 0 };
	RN_TRY(rn_key_check(left, right, e));
	if (left->rows > RN_MAX_ROWS)
		return rn_err_set(e, RN_EBUG, "a join of %" PRIu64 " rows", left->rows);
	RN_TRY(new_map(left->rows, of, e));
	rn_keyset_find(x->set, right, left, 0, left->rows, (*of)->data);
	o->left_null = rn_key_count_nulls(left);
	o->right_null = x->nulls;
	return 0;
}

int rn_join(const struct rn_ctx *c, const struct rn_key *left, const struct rn_key *right,
	    const struct rn_hash_index *x, enum rn_join_kind kind, struct rn_join_result *out,
	    struct rn_err *e)
{
	struct rn_str b = RN_STR_INIT;
	struct rn_buf *of, *met = NULL;
	unsigned maps = rn_join_pairs(kind) ? 2 : 1;
	uint64_t pairs;
	int rc;

	RN_TRY(rn_join_find(left, right, x, &of, out, e));
	count_matches(x, of->data, left->rows, &pairs, &out->left_unmatched);
	if (kind == RN_JOIN_FULL)
		RN_GOTO(out, find_met(x, of->data, left->rows, right->rows, &met,
				      &out->right_unmatched, e));
	out->rows = output_rows(kind, left->rows, pairs, out);
	if (out->rows > rn_join_most_rows(c, maps)) {
		rn_join_add_refusal(c, left->rows, right->rows, "gives", out->rows,
				    out->rows * maps * sizeof(uint32_t), &b);
		add_worst_key(x, of->data, left, &b);
		rc = rn_join_refuse(&b, e);
	} else {
		rc = write_output(x, of, left->rows, kind, out, e);
	}
	if (!rc && met)
		write_rest(met->data, right->rows, out);
out:
	rn_buf_unref(of);
	rn_buf_unref(met);
	if (rc)
		rn_join_result_fini(out);
	return rc;
}

int rn_join_cross(const struct rn_ctx *c, uint64_t nleft, uint64_t nright,
		  struct rn_join_result *out, struct rn_err *e)
{
	struct rn_str b = RN_STR_INIT;
	uint32_t *left, *right;
	uint64_t at = 0;
	int rc;

	*out = (struct rn_join_result){ 0 };
	if (nleft > RN_MAX_ROWS || nright > RN_MAX_ROWS)
		return rn_err_set(e, RN_EBUG, "a join of %" PRIu64 " with %" PRIu64 " rows", nleft,
				  nright);
	out->rows = nleft * nright; /* below 2^64, as both are below 2^32 */
	if (out->rows > rn_join_most_rows(c, 2)) {
		rn_join_add_refusal(c, nleft, nright, "gives", out->rows,
				    out->rows * 2 * sizeof(uint32_t), &b);
		out->rows = 0;
		return rn_join_refuse(&b, e);
	}
	RN_GOTO(fail, new_map(out->rows, &out->left, e));
	RN_GOTO(fail, new_map(out->rows, &out->right, e));
	left = out->left->data;
	right = out->right->data;
	for (uint64_t i = 0; i < nleft; i++)
		for (uint64_t j = 0; j < nright; j++) {
			left[at] = (uint32_t)i;
			right[at++] = (uint32_t)j;
		}
	out->left_unmatched = nright ? 0 : nleft;
	return 0;
fail:
	rn_join_result_fini(out);
	return rc;
}
