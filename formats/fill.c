/* SPDX-License-Identifier: Apache-2.0 */
#include "fill.h"

#include "../lib/base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	MAX_ROWS = 65536,       /* in a block */
	BLOCK_BYTES = 64 << 20, /* of strings and embeddings at which a block ends */
	BLOCK_CELLS = 1 << 23,
};

int rn_fill_init(struct rn_fill *f, const struct rn_ctx *c, size_t n, struct rn_err *e)
{
	uint32_t rows = c && c->block_rows ? c->block_rows : MAX_ROWS;
	uint32_t most = n ? (uint32_t)(BLOCK_CELLS / n) : MAX_ROWS;

	*f = (struct rn_fill){ 0 };
	rows = rows < MAX_ROWS ? rows : MAX_ROWS;
	f->capacity = most && most < rows ? most : rows;
	RN_TRY(rn_calloc(n, sizeof *f->cols, "columns", &f->cols, e));
	f->ncols = n;
	return 0;
}

static void drop_block(struct rn_fill *f)
{
	for (size_t i = 0; i < f->ncols; i++) {
		rn_column_unref(f->cols[i].values);
		f->cols[i].values = NULL;
		f->cols[i].nbytes = f->cols[i].nfloats = 0;
	}
	f->rows = 0;
	f->bytes = 0;
}

void rn_fill_fini(struct rn_fill *f)
{
	drop_block(f);
	for (size_t i = 0; i < f->ncols; i++) {
		free(f->cols[i].name);
		free(f->cols[i].bytes);
		free(f->cols[i].floats);
	}
	free(f->cols);
	*f = (struct rn_fill){ 0 };
}

int rn_fill_name(struct rn_fill *f, size_t i, const char *name, const char *source,
		 struct rn_err *e)
{
	for (size_t k = 0; k < i; k++)
		if (!strcmp(f->cols[k].name, name))
			return rn_err_set(e, RN_EUSAGE,
					  "'%s': two columns are called '%s' (name them with AS)", source,
					  name);
	f->cols[i].name = strdup(name);
	return f->cols[i].name ? 0 : rn_err_nomem(e, strlen(name) + 1, "a column name");
}

int rn_fill_schema(const struct rn_fill *f, struct rn_schema *out, struct rn_err *e)
{
	for (size_t i = 0; i < f->ncols; i++)
		if (!f->cols[i].part)
			RN_TRY(rn_schema_add_col(out, f->cols[i].name, NULL, f->cols[i].type, e));
	for (size_t i = 0; i < f->ncols; i++)
		if (f->cols[i].part)
			RN_TRY(rn_schema_add_part(out, f->cols[i].name, &f->cols[i].shape, false, e));
	return 0;
}

/* ---- values -------------------------------------------------------------------- */

int rn_fill_null(struct rn_fill *f, size_t i, struct rn_err *e)
{
	struct rn_fill_col *k = &f->cols[i];
	struct rn_column *c = k->values;

	RN_TRY(rn_column_need_null(c, e));
	c->null[f->rows] = 1;
	c->nulls++;
	if (c->type == RN_STRING)
		c->off[f->rows] = k->nbytes;
	else if (c->type == RN_BOOL)
		c->b[f->rows] = 0;
	else if (c->type == RN_FLOAT64)
		c->f64[f->rows] = 0;
	else
		c->i64[f->rows] = 0;
	return 0;
}

int rn_fill_float(struct rn_fill *f, size_t i, double v, struct rn_err *e)
{
	if (isnan(v))
		return rn_fill_null(f, i, e);
	f->cols[i].values->f64[f->rows] = v + 0.0; /* -0.0 becomes 0.0 */
	return 0;
}

int rn_fill_text(struct rn_fill *f, size_t i, const char *s, size_t n, struct rn_err *e)
{
	struct rn_fill_col *k = &f->cols[i];

	RN_TRY(rn_grow(&k->bytes, &k->cap, k->nbytes + n + 1, 1, "strings", e));
	memcpy(k->bytes + k->nbytes, s, n);
	k->values->off[f->rows] = k->nbytes;
	k->nbytes += n;
	f->bytes += n;
	return 0;
}

int rn_fill_floats(struct rn_fill *f, size_t i, size_t n, float **out, struct rn_err *e)
{
	struct rn_fill_col *k = &f->cols[i];

	RN_TRY(rn_grow(&k->floats, &k->cap, k->nfloats + n, sizeof(float), "an embedding", e));
	*out = k->floats ? k->floats + k->nfloats : NULL; /* none were asked for yet */
	k->nfloats += n;
	f->bytes += n * sizeof(float);
	return 0;
}

/* ---- blocks -------------------------------------------------------------------- */

int rn_fill_begin(struct rn_fill *f, struct rn_err *e)
{
	drop_block(f);
	for (size_t i = 0; i < f->ncols; i++) {
		struct rn_fill_col *k = &f->cols[i];

		if (k->part)
			continue;
		if (k->type == RN_STRING)
			RN_TRY(rn_column_new_string(f->capacity, 0, &k->values, e));
		else
			RN_TRY(rn_column_new(k->type, f->capacity, &k->values, e));
	}
	return 0;
}

bool rn_fill_is_full(const struct rn_fill *f)
{
	return f->rows >= f->capacity || f->bytes >= BLOCK_BYTES;
}

static int take_column(struct rn_fill *f, struct rn_fill_col *k, struct rn_rel *rel,
		       struct rn_err *e)
{
	struct rn_column *c = k->values;
	struct rn_buf *mem;

	c->rows = f->rows;
	if (c->type == RN_STRING) {
		c->off[f->rows] = k->nbytes;
		RN_TRY(rn_buf_new(k->nbytes, "a string column", &mem, e));
		if (k->nbytes)
			memcpy(mem->data, k->bytes, k->nbytes);
		rn_buf_unref(c->mem[1]);
		c->mem[1] = mem;
		c->bytes = mem->data;
	}
	k->values = NULL;
	return rn_rel_add_col(rel, k->name, NULL, c, e);
}

static int take_part(struct rn_fill *f, struct rn_fill_col *k, struct rn_rel *rel, struct rn_err *e)
{
	struct rn_tensor *t;

	RN_TRY(rn_tensor_new(&k->shape, f->rows, &t, e));
	if (k->nfloats)
		memcpy(t->data, k->floats, k->nfloats * sizeof(float));
	return rn_rel_add_part(rel, k->name, t, NULL, e);
}

int rn_fill_take(struct rn_fill *f, struct rn_rel **out, struct rn_err *e)
{
	struct rn_rel *rel;
	int rc = 0;

	RN_TRY(rn_rel_new(NULL, f->rows, &rel, e));
	for (size_t i = 0; i < f->ncols && !rc; i++)
		if (!f->cols[i].part)
			rc = take_column(f, &f->cols[i], rel, e);
	for (size_t i = 0; i < f->ncols && !rc; i++)
		if (f->cols[i].part)
			rc = take_part(f, &f->cols[i], rel, e);
	if (rc)
		rn_rel_unref(rel);
	else
		*out = rel;
	drop_block(f);
	return rc;
}
