/* SPDX-License-Identifier: Apache-2.0
 *
 * Groups: rows of equal keys, in order of first appearance or in the order of
 * a given relation of keys.
 */
#include "keyset.h"
#include "part.h"

#include <inttypes.h>

void rn_groups_fini(struct rn_groups *g)
{
	rn_buf_unref(g->of);
	rn_buf_unref(g->first);
	rn_buf_unref(g->ptr);
	rn_buf_unref(g->rows);
	*g = (struct rn_groups){ 0 };
}

/* Groups are numbered as the keys of a set are. */
static void take_first(const struct rn_keyset *s, struct rn_groups *g)
{
	g->n = s->n;
	g->first = rn_buf_ref(s->first);
}

/* One group of all rows. */
static int one_group(uint64_t rows, struct rn_groups *g, struct rn_err *e)
{
	uint32_t *ptr;

	g->n = 1;
	RN_TRY(rn_buf_new(rows * sizeof(uint32_t), "groups", &g->of, e));
	RN_TRY(rn_buf_new(sizeof(uint32_t), "groups", &g->first, e));
	RN_TRY(rn_buf_new(2 * sizeof(uint32_t), "groups", &g->ptr, e));
	*(uint32_t *)g->first->data = rows ? 0 : RN_NO_ROW;
	ptr = g->ptr->data;
	ptr[1] = (uint32_t)rows;
	return 0;
}

static int group(struct rn_team *t, const struct rn_key *k, struct rn_groups *g, struct rn_err *e)
{
	struct rn_keyset_rows rows = { 0 };
	struct rn_keyset *s;
	int rc;

	RN_TRY(rn_buf_new_raw(k->rows * sizeof(uint32_t), "groups", &g->of, e));
	rc = rn_keyset_new_rows(t, k, true, false, g->of->data, &s, &rows, e);
	g->ptr = rows.ptr;
	g->rows = rows.at;
	RN_TRY(rc);
	take_first(s, g);
	rn_keyset_free(s);
	if (g->rows)
		return 0;
	return rn_rows_by_number(t, g->of->data, k->rows, g->n, true, &g->ptr, &g->rows, e);
}

static int check_rows(const struct rn_key *k, struct rn_err *e)
{
	if (k->rows > RN_MAX_ROWS)
		return rn_err_set(e, RN_EBUG, "a key of more than %" PRIu64 " rows", RN_MAX_ROWS);
	return 0;
}

int rn_group(const struct rn_ctx *c, const struct rn_key *k, struct rn_groups *out,
	     struct rn_err *e)
{
	int rc;

	*out = (struct rn_groups){ 0 };
	RN_TRY(check_rows(k, e));
	rc = k->n ? group(rn_part_team(c), k, out, e) : one_group(k->rows, out, e);
	if (rc)
		rn_groups_fini(out);
	return rc;
}

static int group_by_set(struct rn_team *t, struct rn_keyset *s, const struct rn_key *k,
			const struct rn_key *keys, struct rn_groups *g, struct rn_err *e)
{
	const uint32_t *ptr;

	take_first(s, g);
	RN_TRY(rn_buf_new_raw(k->rows * sizeof(uint32_t), "groups", &g->of, e));
	RN_TRY(rn_keyset_find(t, s, keys, k, g->of->data, e));
	RN_TRY(rn_rows_by_number(t, g->of->data, k->rows, g->n, true, &g->ptr, &g->rows, e));
	ptr = g->ptr->data;
	g->dropped = k->rows - ptr[g->n];
	return 0;
}

int rn_group_keys(const struct rn_ctx *c, const struct rn_key *k, const struct rn_key *keys,
		  struct rn_groups *out, struct rn_err *e)
{
	struct rn_buf *of;
	struct rn_keyset *s;
	int rc;

	*out = (struct rn_groups){ 0 };
	RN_TRY(check_rows(k, e));
	RN_TRY(check_rows(keys, e));
	RN_TRY(rn_key_check(k, keys, e));
	RN_TRY(rn_buf_new_raw(keys->rows * sizeof(uint32_t), "groups", &of, e));
	rc = rn_keyset_new(rn_part_team(c), keys, true, true, of->data, &s, e);
	rn_buf_unref(of);
	RN_TRY(rc);
	rc = group_by_set(rn_part_team(c), s, k, keys, out, e);
	rn_keyset_free(s);
	if (rc)
		rn_groups_fini(out);
	return rc;
}

int rn_distinct(const struct rn_ctx *c, const struct rn_key *k, uint64_t *n, struct rn_buf **first,
		struct rn_err *e)
{
	struct rn_keyset *s;
	struct rn_buf *of;
	int rc;

	RN_TRY(check_rows(k, e));
	RN_TRY(rn_buf_new_raw(k->rows * sizeof(uint32_t), "a key", &of, e));
	rc = rn_keyset_new(rn_part_team(c), k, true, false, of->data, &s, e);
	rn_buf_unref(of);
	RN_TRY(rc);
	*n = s->n;
	*first = rn_buf_ref(s->first);
	rn_keyset_free(s);
	return 0;
}

int rn_key_unique(const struct rn_ctx *c, const struct rn_key *k, uint32_t *dup, struct rn_err *e)
{
	struct rn_buf *buf;
	const uint32_t *first;
	uint64_t n, i = 0;

	RN_TRY(rn_distinct(c, k, &n, &buf, e));
	/* The first rows of keys leave out the rows that repeat one. */
	first = buf->data;
	while (i < n && first[i] == i)
		i++;
	*dup = i < k->rows ? (uint32_t)i : RN_NO_ROW;
	rn_buf_unref(buf);
	return 0;
}
