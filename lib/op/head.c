/* SPDX-License-Identifier: Apache-2.0
 *
 * What is kept of a part of the input is enough to know what is kept of the
 * whole, so that rows can be dropped on the way.
 */
#include "head.h"

#include "../base/rng.h"
#include "../rel/key.h"
#include "order.h"

#include <stdlib.h>
#include <string.h>

enum { SLACK = 1 << 16 }; /* rows beyond twice those kept before rows are dropped */

struct rn_head {
	const struct rn_ctx *ctx;
	const struct rn_head_conf *conf;
	const struct rn_schema *schema;
	size_t nby, *by; /* columns */
	struct rn_rel **rels; /* rows so far, in the order of the input */
	size_t n, cap;
	uint64_t rows, kept; /* in rels; after the last time that rows were dropped */
	uint64_t bytes;      /* of rels */
	uint64_t next;       /* number of the next row of the input */
	uint64_t *number;    /* numbers of the rows in rels */
	size_t number_cap;
};

int rn_head_new(const struct rn_ctx *c, const struct rn_head_conf *conf, const struct rn_schema *s,
		struct rn_head **out, struct rn_err *e)
{
	struct rn_head *h;
	int rc = 0;

	RN_TRY(rn_calloc(1, sizeof *h, "rows", &h, e));
	h->ctx = c;
	h->conf = conf;
	h->schema = s;
	h->nby = json_array_size(conf->by);
	RN_GOTO(fail, rn_calloc(h->nby, sizeof *h->by, "columns", &h->by, e));
	for (size_t i = 0; i < h->nby; i++)
		RN_GOTO(fail, rn_schema_find(s, json_string_value(json_array_get(conf->by, i)), &h->by[i],
					     e));
	if (conf->order)
		RN_GOTO(fail, rn_order_check(conf->order, s, e));
	*out = h;
	return 0;
fail:
	rn_head_free(h);
	return rc;
}

void rn_head_free(struct rn_head *h)
{
	if (!h)
		return;
	for (size_t i = 0; i < h->n; i++)
		rn_rel_unref(h->rels[i]);
	free(h->rels);
	free(h->number);
	free(h->by);
	free(h);
}

/* All rows that are held as one relation, *out owned; h holds none then. */
static int stack(struct rn_head *h, struct rn_rel **out, struct rn_err *e)
{
	RN_TRY(rn_rel_concat(h->schema, h->rels, h->n, out, e));
	for (size_t i = 0; i < h->n; i++)
		rn_rel_unref(h->rels[i]);
	h->n = 0;
	return 0;
}

int rn_head_draws(uint64_t seed, const uint64_t *number, uint64_t n, struct rn_column **out,
		  struct rn_err *e)
{
	struct rn_rng_key key = rn_rng_key("head", seed);

	RN_TRY(rn_column_new(RN_INT64, n, out, e));
	for (uint64_t i = 0; i < n; i++) {
		uint32_t ctr[4] = { (uint32_t)number[i], (uint32_t)(number[i] >> 32) }, word[4];

		rn_philox4x32(ctr, key.k, word);
		(*out)->i64[i] = (int64_t)((uint64_t)word[1] << 32 | word[0]);
	}
	return 0;
}

static int random_order(const struct rn_head *h, struct rn_buf **order, struct rn_err *e)
{
	struct rn_column *draw;
	int rc;

	RN_TRY(rn_head_draws(h->conf->seed, h->number, h->rows, &draw, e));
	rc = rn_order_rows(&(struct rn_order){ .col = draw }, 1, h->rows, order, e);
	rn_column_unref(draw);
	return rc;
}

static int order_of(const struct rn_head *h, const struct rn_rel *r, struct rn_buf **order,
		    struct rn_err *e)
{
	if (h->conf->random)
		return random_order(h, order, e);
	if (h->conf->order)
		return rn_order_map(NULL, h->conf->order, r, order, e);
	return rn_order_rows(NULL, 0, r->rows, order, e);
}

/* Of the rows in this order keep[i] = 1 for the first ones of each group. */
static int first_of_groups(const struct rn_head *h, const struct rn_rel *r, const uint32_t *order,
			   uint8_t *keep, struct rn_err *e)
{
	struct rn_column **cols;
	struct rn_key k = { .n = h->nby, .rows = r->rows };
	struct rn_groups g;
	uint64_t *count;
	int rc;

	RN_TRY(rn_calloc(h->nby, sizeof(struct rn_column *), "columns", &cols, e));
	for (size_t i = 0; i < h->nby; i++)
		cols[i] = r->cols[h->by[i]];
	k.cols = cols;
	rc = rn_group(h->ctx, &k, &g, e);
	free(cols);
	RN_TRY(rc);
	rc = rn_calloc(g.n, sizeof *count, "groups", &count, e);
	for (uint64_t i = 0; !rc && i < r->rows; i++)
		keep[order[i]] = count[((uint32_t *)g.of->data)[order[i]]]++ < h->conf->rows;
	if (!rc)
		free(count);
	rn_groups_fini(&g);
	return rc;
}

/* The rows of r that are kept: *map, in the order given if `ordered`, else ascending. */
static int choose(const struct rn_head *h, const struct rn_rel *r, bool ordered,
		  struct rn_buf **map, uint64_t *n, struct rn_err *e)
{
	struct rn_buf *order = NULL, *keep = NULL;
	const uint8_t *k;
	uint32_t *m;
	int rc;

	RN_GOTO(out, order_of(h, r, &order, e));
	RN_GOTO(out, rn_buf_new(r->rows, "rows", &keep, e));
	RN_GOTO(out, first_of_groups(h, r, order->data, keep->data, e));
	RN_GOTO(out, rn_buf_new(r->rows * sizeof *m, "a row map", map, e));
	m = (*map)->data;
	k = keep->data;
	*n = 0;
	for (uint64_t i = 0; i < r->rows; i++) {
		uint32_t row = ordered ? ((uint32_t *)order->data)[i] : (uint32_t)i;

		if (k[row])
			m[(*n)++] = row;
	}
out:
	rn_buf_unref(order);
	rn_buf_unref(keep);
	return rc;
}

int rn_head_drop(struct rn_head *h, struct rn_err *e)
{
	struct rn_rel *all, *kept, *flat;
	struct rn_buf *map = NULL;
	const uint32_t *m;
	uint64_t n;
	int rc;

	RN_TRY(stack(h, &all, e));
	RN_GOTO(out, choose(h, all, false, &map, &n, e));
	m = map->data;
	RN_GOTO(out, rn_rel_gather(all, m, n, &kept, e));
	rc = rn_rel_flat(kept, &flat, e);
	rn_rel_unref(kept);
	if (rc)
		goto out;
	for (uint64_t i = 0; i < n; i++)
		h->number[i] = h->number[m[i]]; /* m ascends */
	h->rels[h->n++] = flat;
	h->rows = h->kept = n;
	h->bytes = rn_rel_bytes(flat);
out:
	rn_buf_unref(map);
	rn_rel_unref(all);
	return rc;
}

int rn_head_add(struct rn_head *h, struct rn_rel *r, struct rn_err *e)
{
	RN_TRY(rn_grow(&h->rels, &h->cap, h->n + 1, sizeof(struct rn_rel *), "rows", e));
	RN_TRY(rn_grow(&h->number, &h->number_cap, h->rows + r->rows, sizeof *h->number, "rows", e));
	h->rels[h->n++] = rn_rel_ref(r);
	h->bytes += rn_rel_bytes(r);
	for (uint64_t i = 0; i < r->rows; i++)
		h->number[h->rows++] = h->next++;
	return h->rows > 2 * h->kept + SLACK ? rn_head_drop(h, e) : 0;
}

uint64_t rn_head_rows(const struct rn_head *h)
{
	return h->rows;
}

uint64_t rn_head_bytes(const struct rn_head *h)
{
	return h->bytes;
}

const struct rn_rel *rn_head_held(const struct rn_head *h, size_t i)
{
	return i < h->n ? h->rels[i] : NULL;
}

const uint64_t *rn_head_numbers(const struct rn_head *h)
{
	return h->number;
}

int rn_head_take(struct rn_head *h, struct rn_rel **out, struct rn_err *e)
{
	struct rn_buf *map = NULL;
	struct rn_rel *all;
	uint64_t n;
	int rc;

	RN_TRY(stack(h, &all, e));
	RN_GOTO(out, choose(h, all, h->conf->order, &map, &n, e));
	rc = rn_rel_gather(all, map->data, n, out, e);
	if (!rc && h->conf->order) { /* whether or not the rows came in it */
		free((*out)->schema.key);
		(*out)->schema.key = NULL;
		(*out)->schema.nkey = 0;
	}
out:
	rn_buf_unref(map);
	rn_rel_unref(all);
	return rc;
}
