/* SPDX-License-Identifier: Apache-2.0 */
#include "spool.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct entry {
	struct rn_rel *rel; /* NULL: in the file, or dropped */
	struct rn_extent x; /* length 0: not in the file */
	uint64_t bytes;     /* in memory, of the budget */
};

struct rn_spool {
	struct rn_spill *file;
	struct rn_budget *budget;
	struct rn_schema schema;
	pthread_mutex_t lock; /* of what follows */
	struct entry *entries;
	size_t n, cap;
	uint64_t rows, bytes;
	struct rn_spill_io *out, *in; /* of the thread that adds, and of the one that reads */
};

int rn_spool_new(struct rn_spill *f, struct rn_budget *budget, const struct rn_schema *schema,
		 struct rn_spool **out, struct rn_err *e)
{
	struct rn_spool *s;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *s, "a spool", &s, e));
	s->file = f;
	s->budget = budget;
	pthread_mutex_init(&s->lock, NULL);
	rc = rn_schema_copy(schema, &s->schema, e);
	if (rc)
		rn_spool_free(s);
	else
		*out = s;
	return rc;
}

static void drop_entry(struct rn_spool *s, struct entry *x)
{
	if (x->rel) {
		rn_rel_unref(x->rel);
		__atomic_sub_fetch(&s->budget->used, x->bytes, __ATOMIC_RELAXED);
	}
	if (x->x.length)
		rn_spill_drop(s->file, &x->x);
	*x = (struct entry){ 0 };
}

void rn_spool_free(struct rn_spool *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++)
		drop_entry(s, &s->entries[i]);
	free(s->entries);
	rn_schema_fini(&s->schema);
	rn_spill_io_free(s->out);
	rn_spill_io_free(s->in);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

const struct rn_schema *rn_spool_schema(const struct rn_spool *s)
{
	return &s->schema;
}

/* ---- in -------------------------------------------------------------------------- */

static bool take_budget(struct rn_budget *b, uint64_t bytes)
{
	if (!b)
		return false;
	if (__atomic_add_fetch(&b->used, bytes, __ATOMIC_RELAXED) <=
	    __atomic_load_n(&b->limit, __ATOMIC_RELAXED))
		return true;
	__atomic_sub_fetch(&b->used, bytes, __ATOMIC_RELAXED);
	return false;
}

static int add_entry(struct rn_spool *s, const struct entry *x, uint64_t rows, uint64_t bytes,
		     struct rn_err *e)
{
	int rc;

	pthread_mutex_lock(&s->lock);
	rc = rn_grow(&s->entries, &s->cap, s->n + 1, sizeof *s->entries, "a spool", e);
	if (!rc) {
		s->entries[s->n++] = *x;
		s->rows += rows;
		s->bytes += bytes;
	}
	pthread_mutex_unlock(&s->lock);
	if (rc)
		drop_entry(s, &(struct entry){ .rel = x->rel, .x = x->x, .bytes = x->bytes });
	return rc;
}

static int add_to_file(struct rn_spool *s, const struct rn_rel *r, struct rn_err *e)
{
	struct entry x = { 0 };

	RN_TRY(rn_spill_put(s->file, &s->out, r, &x.x, e));
	return add_entry(s, &x, r->rows, rn_rel_bytes(r), e);
}

int rn_spool_add(struct rn_spool *s, const struct rn_rel *r, struct rn_err *e)
{
	uint64_t bytes = rn_rel_bytes(r), most;

	if (!r->rows)
		return 0;
	if (!rn_schema_equal(&r->schema, &s->schema))
		return rn_err_set(e, RN_EBUG, "rows of another schema than their spool's");
	if (take_budget(s->budget, bytes)) {
		struct entry x = { .rel = rn_rel_ref((struct rn_rel *)r), .bytes = bytes };

		return add_entry(s, &x, r->rows, bytes, e);
	}
	most = rn_spill_rows(r);
	if (r->rows <= most)
		return add_to_file(s, r, e);
	for (uint64_t from = 0; from < r->rows; from += most) {
		struct rn_rel *piece;
		int rc;

		RN_TRY(rn_rel_slice(r, from, r->rows - from < most ? r->rows - from : most, &piece, e));
		rc = add_to_file(s, piece, e);
		rn_rel_unref(piece);
		RN_TRY(rc);
	}
	return 0;
}

void rn_spool_rest(struct rn_spool *s)
{
	rn_spill_io_free(s->out);
	s->out = NULL;
}

/* ---- out ------------------------------------------------------------------------- */

/* A number that the adding thread may be changing. */
#define GET(s, field)                                                                             \
	do {                                                                                      \
		struct rn_spool *s_ = (struct rn_spool *)(s);                                     \
		uint64_t v_;                                                                      \
		pthread_mutex_lock(&s_->lock);                                                    \
		v_ = s_->field;                                                                   \
		pthread_mutex_unlock(&s_->lock);                                                  \
		return v_;                                                                        \
	} while (0)

size_t rn_spool_blocks(const struct rn_spool *s)
{
	GET(s, n);
}

uint64_t rn_spool_rows(const struct rn_spool *s)
{
	GET(s, rows);
}

uint64_t rn_spool_bytes(const struct rn_spool *s)
{
	GET(s, bytes);
}

int rn_spool_get(struct rn_spool *s, size_t i, struct rn_rel **out, struct rn_err *e)
{
	struct rn_extent x;

	pthread_mutex_lock(&s->lock);
	x = s->entries[i].x;
	*out = rn_rel_ref(s->entries[i].rel);
	pthread_mutex_unlock(&s->lock);
	if (*out)
		return 0;
	if (!x.length)
		return rn_err_set(e, RN_EBUG, "a block of a spool is read after it was dropped");
	return rn_spill_get(s->file, &s->in, &x, &s->schema, out, e);
}

void rn_spool_drop(struct rn_spool *s, size_t i)
{
	struct entry x;

	pthread_mutex_lock(&s->lock);
	x = s->entries[i];
	s->entries[i] = (struct entry){ 0 };
	pthread_mutex_unlock(&s->lock);
	drop_entry(s, &x);
}

int rn_spool_take(struct rn_spool *s, size_t i, struct rn_rel **out, struct rn_err *e)
{
	RN_TRY(rn_spool_get(s, i, out, e));
	rn_spool_drop(s, i);
	return 0;
}

int rn_spool_all(struct rn_spool *s, struct rn_rel **out, struct rn_err *e)
{
	size_t n = rn_spool_blocks(s), have = 0;
	struct rn_rel **blocks;
	int rc = 0;

	RN_TRY(rn_calloc(n, sizeof *blocks, "a relation", &blocks, e));
	for (; have < n; have++)
		RN_GOTO(out, rn_spool_take(s, have, &blocks[have], e));
	if (n == 1)
		*out = rn_rel_ref(blocks[0]);
	else
		rc = rn_rel_concat(&s->schema, blocks, n, out, e);
out:
	for (size_t i = 0; i < have; i++)
		rn_rel_unref(blocks[i]);
	free(blocks);
	return rc;
}
