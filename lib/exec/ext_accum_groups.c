/* SPDX-License-Identifier: Apache-2.0
 *
 * The groups of ext_accum: by their keys as rows show them, or as --keys has them.
 */
#include "ext_accum.h"

#include <stdlib.h>
#include <string.h>

/* Room for n groups. */
static int grow_groups(struct rn_accum *a, size_t n, struct rn_err *e)
{
	size_t cap = a->cap, had = a->cap, c;

	if (n <= cap)
		return 0;
	cap = cap ? cap : 16;
	while (cap < n)
		cap *= 2;
#define GROW(p, width)                                                                            \
	do {                                                                                      \
		c = had * (width);                                                                \
		RN_TRY(rn_grow(&(p), &c, cap * (width), sizeof *(p), "groups", e));               \
		memset((p) + had * (width), 0, (cap - had) * (width) * sizeof *(p));              \
	} while (0)
	GROW(a->first, 1);
	GROW(a->rows, 1);
	GROW(a->done, 1);
	if (a->width)
		GROW(a->z, a->width);
	for (size_t i = 0; i < a->nitems; i++) {
		GROW(a->items[i].count, 1);
		GROW(a->items[i].isum, 1);
		GROW(a->items[i].sum, 1);
		GROW(a->items[i].mean, 1);
	}
#undef GROW
	a->cap = cap;
	return 0;
}

/* The key columns of r, after those of the groups so far. */
static int key_columns(const struct rn_accum *a, const struct rn_rel *r, const size_t *by,
		       struct rn_column **cols, struct rn_err *e)
{
	for (size_t k = 0; k < a->nby; k++) {
		struct rn_column *both[2] = { a->keys ? a->keys->cols[k] : NULL, r->cols[by[k]] };

		if (a->keys)
			RN_TRY(rn_column_concat(both, 2, &cols[k], e));
		else
			cols[k] = rn_column_ref(both[1]);
	}
	return 0;
}

/* The groups that rows of r show for the first time; in g and cols they stand behind the
 * groups so far. */
static int add_groups(struct rn_accum *a, const struct rn_rel *r, const size_t *by, size_t number,
		      const struct rn_groups *g, struct rn_column *const *cols, struct rn_err *e)
{
	const uint32_t *first = g->first->data;
	struct rn_rel *keys;
	size_t had = a->n;

	RN_TRY(grow_groups(a, g->n, e));
	for (size_t i = had; i < g->n; i++)
		a->first[i] = number == SIZE_MAX ? 0 : r->cols[number]->i64[first[i] - had];
	if (a->keys && g->n == had)
		return 0;
	RN_TRY(rn_rel_new(NULL, g->n, &keys, e));
	for (size_t k = 0; k < a->nby; k++) {
		const struct rn_field *f = &r->schema.cols[by[k]];
		struct rn_column *c;
		int rc = rn_column_gather(cols[k], first, g->n, &c, e);

		if (!rc)
			rc = rn_rel_add_col(keys, f->name, f->qual, c, e);
		if (rc) {
			rn_rel_unref(keys);
			return rc;
		}
	}
	rn_rel_unref(a->keys);
	a->keys = keys;
	a->n = g->n;
	return 0;
}

/* The group of each row of r (of: NULL, or uint32_t[r->rows]), a new one where there is none. */
static int meet_groups(struct rn_accum *a, const struct rn_rel *r, const size_t *by, size_t number,
		       uint32_t *of, struct rn_err *e)
{
	struct rn_column **cols;
	struct rn_groups g = { 0 };
	struct rn_key k = { .n = a->nby, .rows = r->rows + a->n };
	int rc;

	RN_TRY(rn_calloc(a->nby, sizeof(struct rn_column *), "columns", &cols, e));
	k.cols = cols;
	RN_GOTO(out, key_columns(a, r, by, cols, e));
	RN_GOTO(out, rn_group(a->x->ctx, &k, &g, e));
	/* The groups so far are distinct and come first: their numbers are as they were. */
	if (of && r->rows)
		memcpy(of, (uint32_t *)g.of->data + a->n, r->rows * sizeof *of);
	rc = add_groups(a, r, by, number, &g, cols, e);
out:
	for (size_t i = 0; i < a->nby; i++)
		rn_column_unref(cols[i]);
	free(cols);
	rn_groups_fini(&g);
	return rc;
}

/* The group of each row of r, or RN_NO_ROW. */
static int look_up(const struct rn_accum *a, const struct rn_rel *r, uint32_t *of, struct rn_err *e)
{
	struct rn_key rows = { .n = a->nby, .rows = r->rows };
	struct rn_key keys = { .n = a->nby, .cols = a->keys->cols, .rows = a->n };
	struct rn_groups g = { 0 };
	struct rn_column **cols;
	int rc;

	RN_TRY(rn_calloc(a->nby, sizeof(struct rn_column *), "columns", &cols, e));
	for (size_t i = 0; i < a->nby; i++)
		cols[i] = r->cols[a->by[i]];
	rows.cols = cols;
	rc = rn_group_keys(a->x->ctx, &rows, &keys, &g, e);
	if (!rc && r->rows)
		memcpy(of, g.of->data, r->rows * sizeof *of);
	rn_groups_fini(&g);
	free(cols);
	return rc;
}

int rn_accum_find_groups(struct rn_accum *a, const struct rn_rel *r, uint32_t *of, struct rn_err *e)
{
	if (a->fixed)
		return look_up(a, r, of, e);
	if (a->nby)
		return meet_groups(a, r, a->by, a->number, of, e);
	a->n = 1;
	memset(of, 0, r->rows * sizeof *of);
	return grow_groups(a, 1, e);
}

int rn_accum_keys(struct rn_accum *a, const struct rn_rel *keys, const size_t *at, size_t number,
		  struct rn_err *e)
{
	a->fixed = true;
	return meet_groups(a, keys, at, number, NULL, e);
}

uint64_t rn_accum_kept(const struct rn_accum *a)
{
	return a->kept;
}

int rn_accum_keep_known(struct rn_accum *a, struct rn_rel **block, struct rn_err *e)
{
	struct rn_rel *known;
	uint64_t n = 0, rows = (*block)->rows;
	uint32_t *of;
	int rc;

	RN_TRY(rn_calloc(rows, sizeof *of, "groups", &of, e));
	RN_GOTO(out, look_up(a, *block, of, e));
	for (uint64_t i = 0; i < rows; i++)
		if (of[i] != RN_NO_ROW)
			of[n++] = (uint32_t)i; /* n <= i */
	a->kept += a->second ? 0 : n;
	if (n == rows)
		goto out;
	RN_GOTO(out, rn_rel_gather(*block, of, n, &known, e));
	rn_rel_unref(*block);
	*block = known;
out:
	free(of);
	return rc;
}
