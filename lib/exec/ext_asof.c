/* SPDX-License-Identifier: Apache-2.0
 *
 * An as-of join of two piles of which the right one does not fit into memory, whatever keys
 * it has: both are put in order of key and time, and joined in one pass.
 *
 * The right rows come in chunks that fit.  The left rows of a chunk are those that are left
 * and to whom the first row of the next chunk is no candidate: to the others it is one, so
 * that no row before it can be their partner.  What comes out is put back into the order of
 * the left rows.  Equal rows stay in the order of the input in all of this, so the partner is
 * the one that a join of all rows finds.
 */
#include "ext_join.h"
#include "ext_runs.h"

#include <stdlib.h>

/* Rows of a pile, read in order. */
struct reader {
	struct rn_spool *spool;
	size_t next;          /* block */
	struct rn_rel *ahead; /* rows that were read, NULL: none */
};

struct asof {
	struct rn_ext *x;
	const struct rn_schema *const *schema;
	const struct rn_join_keys *keys;
	size_t time[2]; /* columns of the two sides */
	bool or_equal;
	struct reader left, right;
	struct rn_runs *out; /* by the numbers of the left rows */
	uint64_t unmatched;
};

/* ---- order --------------------------------------------------------------------------- */

/* By the keys, then by time. */
static int put_columns(const struct rn_rel *block, const size_t *keys, size_t nkeys, size_t time,
		       struct rn_column **cols)
{
	for (size_t k = 0; k < nkeys; k++)
		cols[k] = rn_column_ref(block->cols[keys[k]]);
	cols[nkeys] = rn_column_ref(block->cols[time]);
	return 0;
}

static int left_order(void *arg, const struct rn_rel *block, struct rn_column **cols,
		      struct rn_err *e)
{
	const struct asof *a = arg;

	(void)e;
	return put_columns(block, a->keys->left, a->keys->n, a->time[0], cols);
}

static int right_order(void *arg, const struct rn_rel *block, struct rn_column **cols,
		       struct rn_err *e)
{
	const struct asof *a = arg;

	(void)e;
	return put_columns(block, a->keys->right, a->keys->n, a->time[1], cols);
}

static int number_order(void *arg, const struct rn_rel *block, struct rn_column **cols,
			struct rn_err *e)
{
	const struct asof *a = arg;

	(void)e;
	cols[0] = rn_column_ref(block->cols[a->schema[0]->ncols - 1]);
	return 0;
}

/* The rows of a pile in order, on another in its place. */
static int sort_pile(struct asof *a, bool right, struct rn_pile **pile, struct rn_err *e)
{
	struct rn_runs_conf conf = { .order = { .keys = right ? right_order : left_order,
						.arg = a, .n = a->keys->n + 1 },
				     .room = rn_ext_mem(a->x->ctx) / 4 * 3 };
	struct rn_pile *sorted = NULL;
	struct rn_runs *runs = NULL;
	struct rn_spool *s;
	struct rn_rel *b;
	int rc;

	RN_GOTO(out, rn_pile_end(*pile, &s, e));
	RN_GOTO(out, rn_runs_open(a->x, &conf, &runs, e));
	for (size_t i = 0; i < rn_spool_blocks(s); i++) {
		RN_GOTO(out, rn_spool_take(s, i, &b, e));
		rc = rn_runs_add(runs, b, e);
		rn_rel_unref(b);
		if (rc)
			goto out;
	}
	RN_GOTO(out, rn_pile_new(a->x, a->schema[right], &sorted, e));
	rc = rn_runs_end(runs, rn_pile_emit, sorted, e);
out:
	rn_runs_close(runs);
	if (rc) {
		rn_pile_free(sorted);
		return rc;
	}
	rn_pile_free(*pile);
	*pile = sorted;
	return rn_pile_end(sorted, right ? &a->right.spool : &a->left.spool, e);
}

/* ---- chunks of right rows ----------------------------------------------------------------- */

/* The next right rows that fit, *out NULL at the end; and, to look at, those that come after. */
static int next_chunk(struct asof *a, struct rn_rel **out, struct rn_err *e)
{
	struct reader *r = &a->right;
	int rc;

	rn_rel_unref(r->ahead);
	r->ahead = NULL;
	RN_TRY(rn_probe_chunk(a->x->ctx, a->schema[1], r->spool, &r->next, out, e));
	if (r->next == rn_spool_blocks(r->spool))
		return 0;
	rc = rn_spool_get(r->spool, r->next, &r->ahead, e);
	if (rc)
		rn_rel_unref(*out);
	return rc;
}

/* ---- their left rows ------------------------------------------------------------------------- */

static int compare(const struct rn_column *a, uint64_t i, const struct rn_column *b, uint64_t j)
{
	bool an = rn_column_is_null(a, i), bn = rn_column_is_null(b, j);

	return an || bn ? bn - an : rn_column_compare(a, i, b, j);
}

/* Does left row i stand before the first row of `right`, so that it is no candidate? */
static bool stands_before(const struct asof *a, const struct rn_rel *left, uint64_t i,
			  const struct rn_rel *right)
{
	int d;

	for (size_t k = 0; k < a->keys->n; k++) {
		d = compare(left->cols[a->keys->left[k]], i, right->cols[a->keys->right[k]], 0);
		if (d)
			return d < 0;
	}
	d = compare(left->cols[a->time[0]], i, right->cols[a->time[1]], 0);
	return d < (a->or_equal ? 0 : 1);
}

/* How many of the rows of `left` do: those are its first ones. */
static uint64_t count_before(const struct asof *a, const struct rn_rel *left,
			     const struct rn_rel *right)
{
	uint64_t lo = 0, hi = left->rows;

	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;

		if (stands_before(a, left, mid, right))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* a->left.ahead, where it is NULL, becomes the next block; stays NULL at the end. */
static int look_ahead(struct asof *a, struct rn_err *e)
{
	struct reader *r = &a->left;

	if (r->ahead || r->next == rn_spool_blocks(r->spool))
		return 0;
	return rn_spool_take(r->spool, r->next++, &r->ahead, e);
}

/* The first n of the left rows that were read. */
static int probe_first(struct asof *a, struct rn_probe *p, uint64_t n, struct rn_err *e)
{
	struct rn_rel *all = a->left.ahead, *first;
	int rc;

	a->left.ahead = NULL;
	if (n == all->rows)
		return rn_probe_add(p, all, e);
	rc = rn_rel_slice(all, n, all->rows - n, &a->left.ahead, e);
	if (!rc)
		rc = rn_rel_slice(all, 0, n, &first, e);
	rn_rel_unref(all);
	return rc ? rc : rn_probe_add(p, first, e);
}

/* The next left rows, up to those that look further than the chunk. */
static int probe_left(struct asof *a, struct rn_probe *p, struct rn_err *e)
{
	const struct rn_rel *after = a->right.ahead;

	for (;;) {
		uint64_t n;

		RN_TRY(look_ahead(a, e));
		if (!a->left.ahead)
			return 0;
		n = after ? count_before(a, a->left.ahead, after) : a->left.ahead->rows;
		if (!n)
			return 0;
		RN_TRY(probe_first(a, p, n, e));
	}
}

/* Views would keep the chunk. */
static int put_flat(void *arg, const struct rn_rel *r, struct rn_err *e)
{
	struct asof *a = arg;
	struct rn_rel *flat;
	int rc;

	RN_TRY(rn_rel_flat(r, &flat, e));
	rc = rn_runs_add(a->out, flat, e);
	rn_rel_unref(flat);
	return rc;
}

static int join_chunk(struct asof *a, const struct rn_rel *chunk, struct rn_err *e)
{
	const struct rn_rel *in[2] = { NULL, chunk };
	struct rn_probe p;
	int rc;

	RN_GOTO(out, rn_probe_open(&p, a->x, a->x->node, a->schema, in, put_flat, a, e));
	p.part = true;
	RN_GOTO(out, probe_left(a, &p, e));
	RN_GOTO(out, rn_probe_end(&p, e));
	a->unmatched += p.run.count[1].left_unmatched;
out:
	rn_probe_close(&p);
	return rc;
}

static int join_chunks(struct asof *a, struct rn_err *e)
{
	struct rn_rel *chunk;
	int rc;

	for (;;) {
		RN_TRY(next_chunk(a, &chunk, e));
		if (!chunk)
			return 0;
		rc = join_chunk(a, chunk, e);
		rn_rel_unref(chunk);
		RN_TRY(rc);
	}
}

/* ---- the whole --------------------------------------------------------------------------------- */

int rn_ext_asof(struct rn_ext *x, const struct rn_schema *const *schema,
		const struct rn_join_keys *keys, struct rn_pile **left, struct rn_pile **right,
		int (*emit)(void *arg, const struct rn_rel *r, struct rn_err *e), void *arg,
		uint64_t *unmatched, struct rn_err *e)
{
	struct asof a = { .x = x, .schema = schema, .keys = keys,
			  .or_equal = rn_node_flag(x->node, "asof-equal") };
	struct rn_runs_conf conf = { .order = { .keys = number_order, .arg = &a, .n = 1 },
				     .room = rn_ext_mem(x->ctx) / 4 };
	int rc;

	RN_TRY(rn_join_asof_columns(x->node, schema[0], schema[1], &a.time[0], &a.time[1], e));
	RN_GOTO(out, sort_pile(&a, false, left, e));
	RN_GOTO(out, sort_pile(&a, true, right, e));
	RN_GOTO(out, rn_runs_open(x, &conf, &a.out, e));
	RN_GOTO(out, join_chunks(&a, e));
	RN_GOTO(out, rn_runs_end(a.out, emit, arg, e));
	*unmatched += a.unmatched;
out:
	rn_rel_unref(a.left.ahead);
	rn_rel_unref(a.right.ahead);
	rn_runs_close(a.out);
	return rc;
}
