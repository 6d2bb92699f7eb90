/* SPDX-License-Identifier: Apache-2.0
 *
 * Columns: one typed vector with its NULLs.  mem[0] holds the values (offsets,
 * for strings), mem[1] the bytes of strings, mem[2] the NULL flags.  A column
 * starts at offset 0 of its strings, also when it is a slice.
 */
#include "rel.h"

#include "../base/num.h"
#include "window.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static size_t type_width(enum rn_type t)
{
	return t == RN_BOOL ? 1 : 8;
}

static void set_values(struct rn_column *c, void *p)
{
	switch (c->type) {
	case RN_INT64:
	case RN_TIMESTAMP:
		c->i64 = p;
		break;
	case RN_FLOAT64:
		c->f64 = p;
		break;
	case RN_BOOL:
		c->b = p;
		break;
	default:
		c->off = p;
	}
}

static const void *values(const struct rn_column *c)
{
	switch (c->type) {
	case RN_INT64:
	case RN_TIMESTAMP:
		return c->i64;
	case RN_FLOAT64:
		return c->f64;
	case RN_BOOL:
		return c->b;
	default:
		return c->off;
	}
}

/* A column with no memory yet. */
static int new_bare(enum rn_type t, uint64_t rows, struct rn_column **out, struct rn_err *e)
{
	RN_TRY(rn_calloc(1, sizeof **out, "a column", out, e));
	(*out)->refs = 1;
	(*out)->type = t;
	(*out)->rows = rows;
	return 0;
}

/* What is written in full needs no zeros, but for the padding, which is always zero. */
static int new_buf(size_t bytes, bool raw, const char *what, struct rn_buf **out, struct rn_err *e)
{
	if (!raw)
		return rn_buf_new(bytes, what, out, e);
	RN_TRY(rn_buf_new_raw(bytes, what, out, e));
	memset((char *)(*out)->data + bytes, 0, -bytes % RN_ALIGN);
	return 0;
}

/* A column with its values (offsets), but not yet the bytes of strings. */
static int new_values(enum rn_type t, uint64_t rows, bool raw, struct rn_column **out,
		      struct rn_err *e)
{
	uint64_t n = rows;
	struct rn_column *c;
	size_t bytes;
	int rc;

	if ((t == RN_STRING && !rn_add_size(n, 1, &n)) || !rn_mul_size(n, type_width(t), &bytes))
		return rn_err_nomem(e, SIZE_MAX, "a column");
	RN_TRY(new_bare(t, rows, &c, e));
	rc = new_buf(bytes, raw, "a column", &c->mem[0], e);
	if (rc) {
		free(c);
		return rc;
	}
	set_values(c, c->mem[0]->data);
	*out = c;
	return 0;
}

static int new_string(uint64_t rows, uint64_t bytes, bool raw, struct rn_column **out,
		      struct rn_err *e)
{
	struct rn_column *c = NULL;
	int rc;

	RN_TRY(new_values(RN_STRING, rows, raw, &c, e));
	rc = new_buf(bytes, raw, "a string column", &c->mem[1], e);
	if (rc) {
		rn_column_unref(c);
		return rc;
	}
	c->bytes = c->mem[1]->data;
	*out = c;
	return 0;
}

int rn_column_new(enum rn_type t, uint64_t rows, struct rn_column **out, struct rn_err *e)
{
	return t == RN_STRING ? new_string(rows, 0, false, out, e) :
				new_values(t, rows, false, out, e);
}

int rn_column_new_raw(enum rn_type t, uint64_t rows, struct rn_column **out, struct rn_err *e)
{
	return t == RN_STRING ? new_string(rows, 0, true, out, e) :
				new_values(t, rows, true, out, e);
}

int rn_column_new_string(uint64_t rows, uint64_t bytes, struct rn_column **out, struct rn_err *e)
{
	return new_string(rows, bytes, false, out, e);
}

int rn_column_new_raw_string(uint64_t rows, uint64_t bytes, struct rn_column **out,
			     struct rn_err *e)
{
	return new_string(rows, bytes, true, out, e);
}

int rn_column_need_null(struct rn_column *c, struct rn_err *e)
{
	if (c->null)
		return 0;
	RN_TRY(rn_buf_new(c->rows, "a column's NULLs", &c->mem[2], e));
	c->null = c->mem[2]->data;
	return 0;
}

struct rn_column *rn_column_ref(struct rn_column *c)
{
	if (c)
		__atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
	return c;
}

void rn_column_unref(struct rn_column *c)
{
	if (!c || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (size_t i = 0; i < 3; i++)
		rn_buf_unref(c->mem[i]);
	free(c);
}

void rn_column_set_nulls(struct rn_column *c, uint64_t nulls)
{
	c->nulls = nulls;
	if (nulls)
		return;
	rn_buf_unref(c->mem[2]);
	c->mem[2] = NULL;
	c->null = NULL;
}

/* The NULL flags of c were written: count them, drop them if there are none. */
static void count_nulls(struct rn_column *c)
{
	uint64_t nulls = 0;

	for (uint64_t i = 0; c->null && i < c->rows; i++)
		nulls += c->null[i];
	rn_column_set_nulls(c, nulls);
}

static int slice_values(const struct rn_column *c, uint64_t from, struct rn_column *o,
			struct rn_err *e)
{
	uint64_t n = o->rows;
	size_t width = type_width(c->type);
	uint64_t base;
	void *at;

	if (c->type != RN_STRING) {
		RN_TRY(rn_buf_window(c->mem[0], (const char *)values(c) + from * width, n * width,
				     "a column", &o->mem[0], &at, e));
		set_values(o, at);
		return 0;
	}
	base = c->off[from];
	RN_TRY(rn_buf_window(c->mem[1], c->bytes + base, c->off[from + n] - base,
			     "a string column", &o->mem[1], &at, e));
	o->bytes = at;
	RN_TRY(rn_buf_new((n + 1) * sizeof *o->off, "a string column", &o->mem[0], e));
	o->off = o->mem[0]->data;
	for (uint64_t i = 0; i <= n; i++)
		o->off[i] = c->off[from + i] - base;
	return 0;
}

int rn_column_slice(const struct rn_column *c, uint64_t from, uint64_t n, struct rn_column **out,
		    struct rn_err *e)
{
	struct rn_column *o;
	void *at;
	int rc;

	if (from > c->rows || n > c->rows - from)
		return rn_err_set(e, RN_EBUG,
				  "slice of %" PRIu64 " rows from row %" PRIu64
				  " of a column of %" PRIu64 " rows",
				  n, from, c->rows);
	RN_TRY(new_bare(c->type, n, &o, e));
	RN_GOTO(fail, slice_values(c, from, o, e));
	if (c->null) {
		RN_GOTO(fail, rn_buf_window(c->mem[2], c->null + from, n, "a column's NULLs",
					    &o->mem[2], &at, e));
		o->null = at;
		count_nulls(o);
	}
	*out = o;
	return 0;
fail:
	rn_column_unref(o);
	return rc;
}

/* Append c to o, of which `row` rows and `byte` string bytes are filled. */
static void append(struct rn_column *o, const struct rn_column *c, uint64_t row, uint64_t byte)
{
	size_t width = type_width(o->type);

	if (o->type == RN_STRING) {
		for (uint64_t i = 0; i <= c->rows; i++)
			o->off[row + i] = byte + c->off[i];
		if (c->off[c->rows])
			memcpy(o->bytes + byte, c->bytes, c->off[c->rows]);
	} else if (c->rows) {
		memcpy((char *)o->mem[0]->data + row * width, values(c), c->rows * width);
	}
	if (c->null && c->rows)
		memcpy(o->null + row, c->null, c->rows);
	o->nulls += c->nulls;
}

int rn_column_concat(struct rn_column *const *cs, size_t n, struct rn_column **out,
		     struct rn_err *e)
{
	uint64_t rows = 0, bytes = 0, nulls = 0;
	struct rn_column *o;
	int rc;

	if (!n)
		return rn_err_set(e, RN_EBUG, "concatenation of no columns");
	if (n == 1) {
		*out = rn_column_ref(cs[0]);
		return 0;
	}
	for (size_t i = 0; i < n; i++) {
		if (cs[i]->type != cs[0]->type)
			return rn_err_set(e, RN_EBUG, "concatenation of %s with %s columns",
					  rn_type_name(cs[0]->type), rn_type_name(cs[i]->type));
		rows += cs[i]->rows;
		nulls += cs[i]->nulls;
		if (cs[i]->type == RN_STRING)
			bytes += cs[i]->off[cs[i]->rows];
	}
	if (cs[0]->type == RN_STRING)
		RN_TRY(rn_column_new_raw_string(rows, bytes, &o, e));
	else
		RN_TRY(rn_column_new_raw(cs[0]->type, rows, &o, e));
	rc = nulls ? rn_column_need_null(o, e) : 0;
	if (rc) {
		rn_column_unref(o);
		return rc;
	}
	rows = bytes = 0;
	for (size_t i = 0; i < n; i++) {
		append(o, cs[i], rows, bytes);
		rows += cs[i]->rows;
		if (cs[i]->type == RN_STRING)
			bytes += cs[i]->off[cs[i]->rows];
	}
	*out = o;
	return 0;
}

void rn_column_print(const struct rn_column *c, uint64_t i, struct rn_str *out)
{
	if (rn_column_is_null(c, i))
		return;
	switch (c->type) {
	case RN_INT64:
		rn_int64_print(c->i64[i], out);
		break;
	case RN_FLOAT64:
		rn_float64_print(c->f64[i], out);
		break;
	case RN_BOOL:
		rn_str_add(out, c->b[i] ? "true" : "false");
		break;
	case RN_TIMESTAMP:
		rn_timestamp_print(c->i64[i], out);
		break;
	default:
		rn_str_addn(out, c->bytes + c->off[i], c->off[i + 1] - c->off[i]);
	}
}
