/* SPDX-License-Identifier: Apache-2.0
 *
 * Random relations for tests of the container: any columns with any kinds of values, parts
 * dense and sparse, as they are or seen through a map.
 */
#ifndef CONTAINER_GEN_H
#define CONTAINER_GEN_H

#include "../../formats/container.h"

#include "t.h"

#include <inttypes.h>
#include <math.h>

static uint64_t state;

static uint64_t rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static uint64_t below(uint64_t n)
{
	return rnd() % n;
}

/* ---- random relations -------------------------------------------------------- */

static int64_t random_int(unsigned kind, uint64_t i)
{
	switch (kind) {
	case 0:
		return 42;
	case 1:
		return (int64_t)(i * 3 + below(2)); /* delta */
	case 2:
		return (int64_t)rnd(); /* all 64 bits */
	case 3:
		return (int64_t)below(1000) - 500;
	case 4:
		return i % 2 ? INT64_MIN : INT64_MAX;
	default:
		return (int64_t)(rnd() >> below(64));
	}
}

static double random_double(unsigned kind)
{
	switch (kind) {
	case 0:
		return 0.0;
	case 1:
		return (double)below(100) / 4;
	case 2:
		return INFINITY;
	default:
		return ((double)(rnd() >> 11) + 1) * 0x1p-53;
	}
}

static struct rn_column *random_strings(uint64_t rows, unsigned kind, const uint8_t *null)
{
	struct rn_err e;
	struct rn_column *c = NULL;
	uint64_t at = 0;

	T_CALL(rn_column_new_string(rows, rows * 20, &c, &e), &e);
	for (uint64_t i = 0; i < rows; i++) {
		c->off[i] = at;
		if (null && null[i])
			continue;
		if (kind == 0)
			at += (uint64_t)snprintf(c->bytes + at, 20, "class %d", (int)below(5));
		else if (kind == 1)
			at += (uint64_t)snprintf(c->bytes + at, 20, "%" PRIx64, rnd());
		else
			for (uint64_t n = below(12); n; n--)
				c->bytes[at++] = (char)rnd();
	}
	c->off[rows] = at;
	return c;
}

static struct rn_column *random_column(enum rn_type t, uint64_t rows)
{
	unsigned kind = (unsigned)below(6), nulls = (unsigned)below(4);
	uint8_t *null = calloc(rows + 1, 1);
	struct rn_column *c = NULL;
	struct rn_err e;

	for (uint64_t i = 0; i < rows; i++)
		null[i] = nulls == 1 ? below(3) == 0 : nulls == 2;
	if (t == RN_STRING)
		c = random_strings(rows, kind, null);
	else
		T_CALL(rn_column_new(t, rows, &c, &e), &e);
	for (uint64_t i = 0; i < rows; i++) {
		c->nulls += null[i];
		if (t == RN_BOOL)
			c->b[i] = !null[i] && (kind == 0 || below(2));
		else if (t == RN_FLOAT64)
			c->f64[i] = null[i] ? 0 : random_double(kind);
		else if (t != RN_STRING)
			c->i64[i] = null[i] ? 0 : random_int(kind, i);
	}
	if (c->nulls) {
		T_CALL(rn_column_need_null(c, &e), &e);
		memcpy(c->null, null, rows);
	}
	free(null);
	return c;
}

static struct rn_tensor *random_tensor(uint64_t rows, bool sparse)
{
	struct rn_shape shape = { .rank = 1 + (uint32_t)below(2),
				  .dim = { 1 + (uint32_t)below(7), 1 + (uint32_t)below(3) } };
	unsigned kind = (unsigned)below(3);
	struct rn_tensor *t = NULL;
	struct rn_err e;
	uint64_t nnz = 0;

	if (!sparse) {
		T_CALL(rn_tensor_new(&shape, rows, &t, &e), &e);
		for (uint64_t i = 0; i < t->nnz; i++)
			t->data[i] = kind ? (float)below(kind == 1 ? 3 : 1 << 20) : 0.5f;
		return t;
	}
	T_CALL(rn_tensor_new_sparse(50, rows, rows * 10, &t, &e), &e);
	for (uint64_t i = 0; i < rows; i++) {
		t->ptr[i] = nnz;
		for (uint32_t col = (uint32_t)below(50); col < 50 && nnz < t->ptr[i] + 10;
		     col += 1 + (uint32_t)below(9)) {
			t->col[nnz] = col;
			t->data[nnz++] = kind ? (float)rnd() : 1.0f;
		}
	}
	t->ptr[rows] = nnz;
	t->nnz = nnz;
	return t;
}

static struct rn_rel *random_rel(uint64_t rows)
{
	static const char *const names[] = { "a", "b", "c", "d", "e", "f", "g",
					     "\"\\\x01\xC3\xA4" };
	struct rn_rel *r = NULL;
	struct rn_err e;
	size_t ncols = below(8), nparts = below(3);

	T_CALL(rn_rel_new(below(2) ? "papers" : NULL, rows, &r, &e), &e);
	for (size_t i = 0; i < ncols; i++)
		T_CALL(rn_rel_add_col(r, names[i], below(3) ? NULL : "s",
				      random_column((enum rn_type)below(RN_NTYPES), rows), &e), &e);
	for (size_t i = 0; i < nparts; i++) {
		bool sparse = below(2);
		struct rn_tensor *t = random_tensor(rows, sparse);
		struct rn_buf *map = NULL;

		if (rows && below(3) == 0) {
			T_CALL(rn_buf_new(rows * sizeof(uint32_t), "a map", &map, &e), &e);
			for (uint64_t k = 0; k < rows; k++)
				((uint32_t *)map->data)[k] =
					below(9) ? (uint32_t)below(rows) : RN_NO_ROW;
		}
		T_CALL(rn_rel_add_part(r, names[i], t, map, &e), &e);
	}
	if (ncols && below(2)) {
		r->schema.key = calloc(1, sizeof *r->schema.key);
		r->schema.key[0] = (uint32_t)below(ncols);
		r->schema.nkey = 1;
	}
	return r;
}

#endif
