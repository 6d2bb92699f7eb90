/* SPDX-License-Identifier: Apache-2.0
 *
 * As-of joins.  The right rows of each key are in order of time; every left row looks for its
 * partner by bisection, by parts.
 */
#include "join.h"
#include "part.h"

#include <stdlib.h>

struct asof {
	const struct rn_column *lt;
	const struct rn_join_order *times; /* right rows by key and time */
	bool or_equal, outer;
	uint64_t nleft;
	uint32_t *of;    /* the key of each left row, then its partner */
	uint64_t *count; /* of each part: rows with a partner, then where its output starts */
	uint32_t *left, *right;
};

/* The last right row of key g that is before lt[i]. */
static uint32_t latest(const struct asof *a, uint64_t i, uint32_t g)
{
	const uint32_t *ptr = a->times->ptr->data, *at = a->times->at->data;
	uint32_t place;

	if (rn_column_is_null(a->lt, i))
		return RN_NO_ROW;
	place = rn_join_order_place(a->times, a->lt, i, a->or_equal, ptr[g], ptr[g + 1]);
	return place == ptr[g] ? RN_NO_ROW : at[place - 1];
}

static void find_partners(void *arg, uint32_t part)
{
	const struct asof *a = arg;
	uint64_t to = rn_part_to(part, a->nleft), n = 0;

	for (uint64_t i = rn_part_from(part); i < to; i++) {
		uint32_t g = a->of[i];

		if (g == RN_NO_ROW)
			continue;
		a->of[i] = latest(a, i, g);
		n += a->of[i] != RN_NO_ROW;
	}
	a->count[part] = n;
}

/* The left rows with their partners; those without one are left out, or kept. */
static void write_part(void *arg, uint32_t part)
{
	const struct asof *a = arg;
	uint64_t to = rn_part_to(part, a->nleft), at = a->count[part];

	for (uint64_t i = rn_part_from(part); i < to; i++) {
		if (a->of[i] == RN_NO_ROW && !a->outer)
			continue;
		a->left[at] = (uint32_t)i;
		a->right[at++] = a->of[i];
	}
}

static int write_output(struct rn_team *t, struct asof *a, struct rn_join_result *o,
			struct rn_err *e)
{
	uint64_t hits = 0, rows = 0;

	for (uint32_t p = 0; p < rn_part_count(a->nleft); p++) {
		uint64_t n = a->count[p];

		a->count[p] = rows;
		rows += a->outer ? rn_part_to(p, a->nleft) - rn_part_from(p) : n;
		hits += n;
	}
	o->rows = rows;
	o->left_unmatched = a->nleft - hits;
	RN_TRY(rn_buf_new_raw(rows * sizeof *a->left, "a join", &o->left, e));
	RN_TRY(rn_buf_new_raw(rows * sizeof *a->right, "a join", &o->right, e));
	a->left = o->left->data;
	a->right = o->right->data;
	rn_part_run(t, a->nleft, write_part, a);
	return 0;
}

int rn_join_asof(const struct rn_ctx *c, const struct rn_key *left, const struct rn_key *right,
		 const struct rn_hash_index *x, const struct rn_column *lt,
		 const struct rn_join_order *times, bool or_equal, enum rn_join_kind kind,
		 struct rn_join_result *out, struct rn_err *e)
{
	struct asof a = { .lt = lt, .times = times, .or_equal = or_equal, .outer = kind == RN_JOIN_LEFT,
			  .nleft = left->rows };
	struct rn_buf *of;
	struct rn_team *t = rn_part_team(c);
	int rc;

	/* There is one row or none for each left one: nothing to count, nothing to refuse. */
	RN_TRY(rn_join_find(t, left, right, x, &of, out, e));
	RN_GOTO(out, rn_calloc(rn_part_count(left->rows), sizeof *a.count, "a join", &a.count, e));
	a.of = of->data;
	rn_part_run(t, left->rows, find_partners, &a);
	rc = write_output(t, &a, out, e);
out:
	rn_buf_unref(of);
	free(a.count);
	if (rc)
		rn_join_result_fini(out);
	return rc;
}
