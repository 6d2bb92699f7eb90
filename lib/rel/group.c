/* SPDX-License-Identifier: Apache-2.0
 *
 * Groups: rows of equal keys, in order of first appearance or in the order of
 * a given relation of keys.
 */
#include "keyset.h"

#include <inttypes.h>
#include <string.h>

void rn_groups_fini(struct rn_groups *g)
{
	rn_buf_unref(g->of);
	rn_buf_unref(g->first);
	rn_buf_unref(g->ptr);
	rn_buf_unref(g->rows);
	*g = (struct rn_groups){ 0 };
}

static int copy_first(const struct rn_keyset *s, struct rn_groups *g, struct rn_err *e)
{
	g->n = s->n;
	RN_TRY(rn_buf_new(s->n * sizeof *s->first, "groups", &g->first, e));
	if (s->n)
		memcpy(g->first->data, s->first, s->n * sizeof *s->first);
	return 0;
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

static int group(const struct rn_key *k, struct rn_groups *g, struct rn_err *e)
{
	struct rn_keyset *s;
	int rc;

	RN_TRY(rn_buf_new(k->rows * sizeof(uint32_t), "groups", &g->of, e));
	RN_TRY(rn_keyset_new(k, true, g->of->data, NULL, &s, e));
	rc = copy_first(s, g, e);
	rn_keyset_free(s);
	RN_TRY(rc);
	return rn_rows_by_number(g->of->data, k->rows, g->n, true, &g->ptr, &g->rows, e);
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

	(void)c;
	*out = (struct rn_groups){ 0 };
	RN_TRY(check_rows(k, e));
	rc = k->n ? group(k, out, e) : one_group(k->rows, out, e);
	if (rc)
		rn_groups_fini(out);
	return rc;
}

static int group_by_set(const struct rn_keyset *s, const struct rn_key *k,
			const struct rn_key *keys, struct rn_groups *g, struct rn_err *e)
{
	const uint32_t *ptr;

	RN_TRY(copy_first(s, g, e));
	RN_TRY(rn_buf_new(k->rows * sizeof(uint32_t), "groups", &g->of, e));
	rn_keyset_find(s, keys, k, 0, k->rows, g->of->data);
	RN_TRY(rn_rows_by_number(g->of->data, k->rows, g->n, true, &g->ptr, &g->rows, e));
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

	(void)c;
	*out = (struct rn_groups){ 0 };
	RN_TRY(check_rows(k, e));
	RN_TRY(check_rows(keys, e));
	RN_TRY(rn_key_check(k, keys, e));
	RN_TRY(rn_buf_new(keys->rows * sizeof(uint32_t), "groups", &of, e));
	rc = rn_keyset_new(keys, true, of->data, NULL, &s, e);
	rn_buf_unref(of);
	RN_TRY(rc);
	rc = group_by_set(s, k, keys, out, e);
	rn_keyset_free(s);
	if (rc)
		rn_groups_fini(out);
	return rc;
}

int rn_key_unique(const struct rn_ctx *c, const struct rn_key *k, uint32_t *dup, struct rn_err *e)
{
	struct rn_keyset *s;
	struct rn_buf *of;
	int rc;

	(void)c;
	*dup = RN_NO_ROW;
	RN_TRY(check_rows(k, e));
	RN_TRY(rn_buf_new(k->rows * sizeof(uint32_t), "a key", &of, e));
	rc = rn_keyset_new(k, true, of->data, dup, &s, e);
	rn_buf_unref(of);
	RN_TRY(rc);
	rn_keyset_free(s);
	return 0;
}
