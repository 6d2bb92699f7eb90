/* SPDX-License-Identifier: Apache-2.0 */
#include "ext.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { LEAST_MEM = 64 << 10, LEAST_BLOCK = 32 << 10, MOST_BLOCK = 1 << 20 };

uint64_t rn_ext_mem(const struct rn_ctx *c)
{
	if (!c->mem_limit)
		return (uint64_t)1 << 60;
	return c->mem_limit > LEAST_MEM ? c->mem_limit : LEAST_MEM;
}

uint64_t rn_ext_block(const struct rn_ctx *c)
{
	uint64_t n = rn_ext_mem(c) / 512;

	return n < LEAST_BLOCK ? LEAST_BLOCK : n > MOST_BLOCK ? MOST_BLOCK : n;
}

/* ---- pieces ---------------------------------------------------------------------- */

int rn_ext_next(struct rn_ext *x, size_t i, struct rn_rel **out, struct rn_err *e)
{
	const struct rn_schema *more;

	RN_TRY(rn_feed_next(rn_feeds_get(x->feeds, i), out, e));
	if (!*out)
		return rn_feed_section(rn_feeds_get(x->feeds, i), &more, e); /* END, and its checksum */
	x->rows_in += (*out)->rows;
	return 0;
}

int rn_ext_stack(const struct rn_schema *s, struct rn_rel **rs, size_t n, struct rn_rel **out,
		 struct rn_err *e)
{
	int rc = 0;

	if (n == 1)
		*out = rn_rel_ref(rs[0]);
	else
		rc = rn_rel_concat(s, rs, n, out, e);
	for (size_t i = 0; i < n; i++)
		rn_rel_unref(rs[i]);
	return rc;
}

/* The columns of r but `skip`, and its parts. */
static int copy_rel(const struct rn_rel *r, size_t skip, struct rn_rel **out, struct rn_err *e)
{
	const struct rn_schema *s = &r->schema;
	struct rn_rel *o;
	int rc;

	RN_TRY(rn_rel_new(s->name, r->rows, &o, e));
	for (size_t i = 0; i < s->ncols; i++)
		if (i != skip)
			RN_GOTO(fail, rn_rel_add_col(o, s->cols[i].name, s->cols[i].qual,
						     rn_column_ref(r->cols[i]), e));
	for (size_t i = 0; i < s->nparts; i++)
		RN_GOTO(fail, rn_rel_add_part(o, s->parts[i].name, rn_tensor_ref(r->parts[i].t),
					      rn_buf_ref(r->parts[i].map), e));
	*out = o;
	return 0;
fail:
	rn_rel_unref(o);
	return rc;
}

static int set_key(const struct rn_schema *from, struct rn_rel *r, struct rn_err *e)
{
	if (!from->nkey)
		return 0;
	RN_TRY(rn_calloc(from->nkey, sizeof *from->key, "a key", &r->schema.key, e));
	memcpy(r->schema.key, from->key, from->nkey * sizeof *from->key);
	r->schema.nkey = from->nkey;
	return 0;
}

int rn_ext_add_col(const struct rn_rel *r, const char *name, struct rn_column *c,
		   struct rn_rel **out, struct rn_err *e)
{
	int rc = copy_rel(r, SIZE_MAX, out, e);

	if (rc) {
		rn_column_unref(c);
		return rc;
	}
	rc = rn_rel_add_col(*out, name, NULL, c, e);
	if (!rc)
		rc = set_key(&r->schema, *out, e);
	if (rc)
		rn_rel_unref(*out);
	return rc;
}

int rn_ext_number(const struct rn_rel *r, const char *name, uint64_t first, struct rn_rel **out,
		  struct rn_err *e)
{
	struct rn_column *c;

	RN_TRY(rn_column_new(RN_INT64, r->rows, &c, e));
	for (uint64_t i = 0; i < r->rows; i++)
		c->i64[i] = (int64_t)(first + i);
	return rn_ext_add_col(r, name, c, out, e);
}

int rn_ext_drop_col(const struct rn_rel *r, size_t col, const struct rn_schema *key,
		    struct rn_rel **out, struct rn_err *e)
{
	int rc;

	RN_TRY(copy_rel(r, col, out, e));
	rc = key ? set_key(key, *out, e) : 0;
	if (rc)
		rn_rel_unref(*out);
	return rc;
}

static bool has_name(const struct rn_schema *s, const char *name)
{
	for (size_t i = 0; s && i < s->ncols; i++)
		if (!strcmp(s->cols[i].name, name))
			return true;
	return false;
}

void rn_ext_free_name(const struct rn_schema *s, const struct rn_schema *t, const json_t *taken,
		      const char *like, char buf[64])
{
	unsigned k = 0;

	do
		snprintf(buf, 64, "%s %u", like, k++);
	while (has_name(s, buf) || has_name(t, buf) || json_object_get(taken, buf));
}

/* ---- piles ----------------------------------------------------------------------- */

struct rn_pile {
	struct rn_spool *spool;
	struct rn_schema schema;
	struct rn_rel **pending;
	size_t npending, cap;
	uint64_t bytes, block;
};

int rn_pile_new(struct rn_ext *x, const struct rn_schema *s, struct rn_pile **out, struct rn_err *e)
{
	struct rn_pile *r;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *r, "temporary data", &r, e));
	r->block = rn_ext_block(x->ctx);
	rc = rn_schema_copy(s, &r->schema, e);
	if (!rc)
		rc = rn_spool_new(x->file, NULL, s, &r->spool, e);
	if (rc)
		rn_pile_free(r);
	else
		*out = r;
	return rc;
}

void rn_pile_free(struct rn_pile *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->npending; i++)
		rn_rel_unref(r->pending[i]);
	free(r->pending);
	rn_spool_free(r->spool);
	rn_schema_fini(&r->schema);
	free(r);
}

static int flush_pile(struct rn_pile *r, struct rn_err *e)
{
	struct rn_rel *all;
	size_t n = r->npending;
	int rc;

	if (!n)
		return 0;
	r->npending = 0;
	r->bytes = 0;
	RN_TRY(rn_ext_stack(&r->schema, r->pending, n, &all, e));
	rc = rn_spool_add(r->spool, all, e);
	rn_rel_unref(all);
	return rc;
}

static int add_piece(struct rn_pile *r, struct rn_rel *piece, uint64_t bytes, struct rn_err *e)
{
	int rc;

	if (bytes >= r->block && !r->npending) {
		rc = rn_spool_add(r->spool, piece, e);
		rn_rel_unref(piece);
		return rc;
	}
	rc = rn_grow(&r->pending, &r->cap, r->npending + 1, sizeof(struct rn_rel *), "temporary data", e);
	if (rc) {
		rn_rel_unref(piece);
		return rc;
	}
	r->pending[r->npending++] = piece;
	r->bytes += bytes;
	return r->bytes >= r->block ? flush_pile(r, e) : 0;
}

int rn_pile_add(struct rn_pile *r, const struct rn_rel *rel, struct rn_err *e)
{
	uint64_t bytes = rn_rel_bytes(rel), most;

	if (!rel->rows)
		return 0;
	if (bytes < 2 * r->block && rel->rows <= rn_spill_rows(rel))
		return add_piece(r, rn_rel_ref((struct rn_rel *)rel), bytes, e);
	most = rel->rows / (bytes / r->block + 1) + 1;
	if (most > rn_spill_rows(rel))
		most = rn_spill_rows(rel);
	for (uint64_t from = 0, n; from < rel->rows; from += n) {
		struct rn_rel *piece;

		n = rel->rows - from < most ? rel->rows - from : most;
		RN_TRY(rn_rel_slice(rel, from, n, &piece, e));
		RN_TRY(add_piece(r, piece, bytes / rel->rows * n + 1, e));
	}
	return 0;
}

int rn_pile_emit(void *arg, const struct rn_rel *rel, struct rn_err *e)
{
	return rn_pile_add(arg, rel, e);
}

int rn_pile_end(struct rn_pile *r, struct rn_spool **out, struct rn_err *e)
{
	RN_TRY(flush_pile(r, e));
	free(r->pending);
	r->pending = NULL;
	r->cap = 0;
	rn_spool_rest(r->spool);
	*out = r->spool;
	return 0;
}

/* ---- partitions ------------------------------------------------------------------- */

/* Equal keys have equal hashes: an int64 as a float64 of the same value. */
static uint64_t hash_value(const struct rn_column *c, uint64_t i)
{
	uint64_t v;

	switch (c->type) {
	case RN_STRING:
		return XXH3_64bits(c->bytes + c->off[i], c->off[i + 1] - c->off[i]);
	case RN_BOOL:
		v = c->b[i];
		break;
	case RN_FLOAT64:
		if (c->f64[i] >= -0x1p63 && c->f64[i] < 0x1p63 && (double)(int64_t)c->f64[i] == c->f64[i])
			v = (uint64_t)(int64_t)c->f64[i];
		else
			memcpy(&v, &c->f64[i], 8);
		break;
	default:
		v = (uint64_t)c->i64[i];
	}
	v *= 0x9E3779B97F4A7C15;
	return v ^ v >> 32;
}

static void hash_rows(const struct rn_parts *p, const struct rn_rel *r, uint64_t *h)
{
	memset(h, 0, r->rows * sizeof *h);
	for (size_t k = 0; k < p->nkeys; k++) {
		const struct rn_column *c = r->cols[p->keys[k]];

		for (uint64_t i = 0; i < r->rows; i++) {
			uint64_t v = !rn_column_is_null(c, i) ? hash_value(c, i) :
				     p->spread_nulls	      ? i * 0x9E3779B97F4A7C15 :
								0x5bd1e995;

			h[i] = (h[i] ^ v) * 0xD6E8FEB86659FD93;
			h[i] ^= h[i] >> 32;
		}
	}
}

size_t rn_parts_count(uint64_t bytes, uint64_t room)
{
	/* A quarter more than by size alone: hashes do not divide evenly. */
	uint64_t n = bytes / 4 * 5 / (room + 1) + 2;

	return n < RN_EXT_PARTS ? (size_t)n : RN_EXT_PARTS;
}

int rn_parts_open(struct rn_ext *x, const struct rn_schema *s, struct rn_parts *p, struct rn_err *e)
{
	RN_TRY(rn_calloc(p->n, sizeof(struct rn_pile *), "partitions", &p->piles, e));
	for (size_t i = 0; i < p->n; i++)
		RN_TRY(rn_pile_new(x, s, &p->piles[i], e));
	return 0;
}

int rn_parts_end(struct rn_parts *p, struct rn_err *e)
{
	struct rn_spool *done;

	for (size_t i = 0; i < p->n; i++)
		RN_TRY(rn_pile_end(p->piles[i], &done, e));
	return 0;
}

void rn_parts_close(struct rn_parts *p)
{
	for (size_t i = 0; p->piles && i < p->n; i++)
		rn_pile_free(p->piles[i]);
	free(p->piles);
	p->piles = NULL;
}

/* The partition, of p->n, of a row; each level hashes anew, so that any number divides what
 * any number before it left together. */
static uint64_t part_of(const struct rn_parts *p, uint64_t h)
{
	h = (h ^ (p->level + 1) * 0x9E3779B97F4A7C15) * 0xBF58476D1CE4E5B9;
	h = (h ^ h >> 31) * 0x94D049BB133111EB;
	return (h >> 32) * p->n >> 32;
}

int rn_parts_add(struct rn_parts *p, const struct rn_rel *r, struct rn_err *e)
{
	uint64_t *h, count[RN_EXT_PARTS + 1] = { 0 }, at[RN_EXT_PARTS];
	uint32_t *map = NULL;
	int rc;

	RN_TRY(rn_calloc(r->rows, sizeof *h, "partitions", &h, e));
	RN_GOTO(out, rn_calloc(r->rows, sizeof *map, "partitions", &map, e));
	hash_rows(p, r, h);
	for (uint64_t i = 0; i < r->rows; i++) {
		h[i] = part_of(p, h[i]);
		count[h[i] + 1]++;
	}
	for (size_t k = 0; k < p->n; k++) {
		at[k] = count[k];
		count[k + 1] += count[k];
	}
	for (uint64_t i = 0; i < r->rows; i++)
		map[at[h[i]]++] = (uint32_t)i;
	for (size_t k = 0; k < p->n; k++) {
		struct rn_rel *piece;

		if (count[k + 1] == count[k])
			continue;
		RN_GOTO(out, rn_rel_gather(r, map + count[k], count[k + 1] - count[k], &piece, e));
		rc = rn_pile_add(p->piles[k], piece, e);
		rn_rel_unref(piece);
		if (rc)
			goto out;
	}
out:
	free(h);
	free(map);
	return rc;
}

int rn_parts_divide(struct rn_ext *x, const struct rn_schema *s, struct rn_pile **pile,
		    struct rn_parts *p, struct rn_err *e)
{
	struct rn_spool *from;
	struct rn_rel *b;
	int rc;

	RN_TRY(rn_parts_open(x, s, p, e));
	RN_TRY(rn_pile_end(*pile, &from, e));
	for (size_t i = 0; i < rn_spool_blocks(from); i++) {
		RN_TRY(rn_spool_take(from, i, &b, e));
		rc = rn_parts_add(p, b, e);
		rn_rel_unref(b);
		RN_TRY(rc);
	}
	rn_pile_free(*pile);
	*pile = NULL;
	return rn_parts_end(p, e);
}
