/* SPDX-License-Identifier: Apache-2.0
 *
 * A sum is found by its group and feature in a table of open addressing, at most half full.
 * Its terms are the stored values alone, and they are added as the kernels do: 256 of them
 * from 0 on, then the chunk to those before.
 */
#include "ext_sparse.h"

#include <inttypes.h>
#include <stdlib.h>

enum { CHUNK = 256, LEAST_SLOTS = 1024 };

struct sum {
	uint32_t group, col;
	float total, chunk;
	uint32_t rest; /* terms in the chunk */
	bool used, more; /* there was a chunk before */
};

struct rn_sparse_sums {
	struct rn_ext *x;
	size_t part;
	uint32_t width;
	struct sum *slot;
	uint64_t nslots, n;
};

/* ---- life ---------------------------------------------------------------------------------- */

int rn_sparse_sums_open(struct rn_ext *x, size_t part, uint32_t width,
			struct rn_sparse_sums **out, struct rn_err *e)
{
	struct rn_sparse_sums *s;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *s, "sparse sums", &s, e));
	s->x = x;
	s->part = part;
	s->width = width;
	s->nslots = LEAST_SLOTS;
	rc = rn_calloc(s->nslots, sizeof *s->slot, "sparse sums", &s->slot, e);
	if (rc)
		rn_sparse_sums_close(s);
	else
		*out = s;
	return rc;
}

void rn_sparse_sums_close(struct rn_sparse_sums *s)
{
	if (!s)
		return;
	free(s->slot);
	free(s);
}

/* ---- terms --------------------------------------------------------------------------------- */

static struct sum *find(struct sum *slot, uint64_t nslots, uint32_t group, uint32_t col)
{
	uint64_t h = ((uint64_t)group << 32 | col) * 0x9E3779B97F4A7C15;
	uint64_t i = (h ^ h >> 32) & (nslots - 1);

	while (slot[i].used && (slot[i].group != group || slot[i].col != col))
		i = (i + 1) & (nslots - 1);
	return &slot[i];
}

static int grow(struct rn_sparse_sums *s, struct rn_err *e)
{
	uint64_t nslots = 2 * s->nslots;
	char mem[RN_SIZE_TEXT];
	struct sum *slot;

	if (2 * (s->n + 1) <= s->nslots)
		return 0;
	if ((s->nslots + nslots) * sizeof *slot > rn_ext_mem(s->x->ctx) / 2)
		return rn_err_set(e, RN_ENOMEM, "the sums of sparse embeddings have some %" PRIu64 " values, more than "
				  "fit into --mem %s: raise it", s->n, rn_size_text(s->x->ctx->mem_limit, mem));
	RN_TRY(rn_calloc(nslots, sizeof *slot, "sparse sums", &slot, e));
	for (uint64_t i = 0; i < s->nslots; i++)
		if (s->slot[i].used)
			*find(slot, nslots, s->slot[i].group, s->slot[i].col) = s->slot[i];
	free(s->slot);
	s->slot = slot;
	s->nslots = nslots;
	return 0;
}

static void close_chunk(struct sum *t)
{
	if (!t->rest)
		return;
	t->total = t->more ? t->total + t->chunk : t->chunk;
	t->chunk = 0;
	t->rest = 0;
	t->more = true;
}

static int add_term(struct rn_sparse_sums *s, uint32_t group, uint32_t col, float v, struct rn_err *e)
{
	struct sum *t;

	RN_TRY(grow(s, e));
	t = find(s->slot, s->nslots, group, col);
	if (!t->used) {
		*t = (struct sum){ .group = group, .col = col, .used = true };
		s->n++;
	}
	t->chunk += v;
	if (++t->rest == CHUNK)
		close_chunk(t);
	return 0;
}

int rn_sparse_sums_add(struct rn_sparse_sums *s, const struct rn_rel *rows, const uint32_t *group,
		       struct rn_err *e)
{
	struct rn_tensor *t;
	int rc;

	RN_TRY(rn_rel_flat_part(rows, s->part, &t, e));
	rc = t->sparse ? 0 : rn_err_set(e, RN_EBUG, "a sparse embedding is dense");
	for (uint64_t i = 0; i < t->rows && !rc; i++)
		for (uint64_t k = t->ptr[i]; k < t->ptr[i + 1] && !rc; k++)
			rc = add_term(s, group[i], t->col[k], t->data[k], e);
	rn_tensor_unref(t);
	return rc;
}

/* ---- sums ---------------------------------------------------------------------------------- */

static int by_place(const void *a, const void *b)
{
	const struct sum *x = a, *y = b;

	if (x->group != y->group)
		return x->group < y->group ? -1 : 1;
	return (x->col > y->col) - (x->col < y->col);
}

/* The sums to the front of the table, in order. */
static void put_in_order(struct rn_sparse_sums *s)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < s->nslots; i++)
		if (s->slot[i].used) {
			close_chunk(&s->slot[i]);
			s->slot[n++] = s->slot[i]; /* n <= i */
		}
	if (n)
		qsort(s->slot, n, sizeof *s->slot, by_place);
}

int rn_sparse_sums_take(struct rn_sparse_sums *s, uint64_t n, const uint64_t *rows,
			struct rn_tensor **out, struct rn_err *e)
{
	uint64_t k = 0;

	put_in_order(s);
	RN_TRY(rn_tensor_new_sparse(s->width, n, s->n, out, e));
	for (uint64_t g = 0; g < n; g++) {
		float by = rows && rows[g] ? 1.0f / (float)rows[g] : 1.0f;

		(*out)->ptr[g] = k;
		for (; k < s->n && s->slot[k].group == g; k++) {
			(*out)->col[k] = s->slot[k].col;
			(*out)->data[k] = rows ? s->slot[k].total * by : s->slot[k].total;
		}
	}
	(*out)->ptr[n] = k;
	return 0;
}
