/* SPDX-License-Identifier: Apache-2.0
 *
 * Fields to typed columns.  A column's type only ever widens: unknown (nothing but
 * NULLs), then bool, int64, float64 or timestamp, int64 to float64, and all to
 * string.
 */
#include "csv_reader.h"

#include "json_scan.h"
#include "../lib/base/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- types ------------------------------------------------------------------- */

static bool parse_bool(const struct rn_csv_field *f, uint8_t *out)
{
	static const char *const words[] = { "false", "False", "FALSE", "true", "True", "TRUE" };

	for (unsigned i = 0; i < 6; i++)
		if (f->len == strlen(words[i]) && memcmp(f->p, words[i], f->len) == 0) {
			*out = i >= 3;
			return true;
		}
	return false;
}

static bool is_named_null(const struct rn_csv_reader *r, const struct rn_csv_field *f)
{
	for (size_t i = 0; i < r->nnull; i++)
		if (f->len == r->null[i].len && memcmp(f->p, r->null[i].text, f->len) == 0)
			return true;
	return false;
}

static inline bool is_null(const struct rn_csv_reader *r, const struct rn_csv_field *f)
{
	return !f->quoted && (!f->len || (r->nnull && is_named_null(r, f)));
}

bool rn_csv_is_null(const struct rn_csv_reader *r, const struct rn_csv_field *f)
{
	return is_null(r, f);
}

static bool fits(const struct rn_csv_field *f, unsigned type)
{
	int64_t i;
	double d;
	uint8_t b;

	switch (type) {
	case RN_INT64:
		return rn_int64_parse_padded(f->p, f->len, &i);
	case RN_FLOAT64:
		return rn_float64_parse_padded(f->p, f->len, &d);
	case RN_BOOL:
		return parse_bool(f, &b);
	case RN_TIMESTAMP:
		return rn_timestamp_parse(f->p, f->len, &i);
	default:
		return true;
	}
}

/* An integer that int64 does not hold: as float64 it would lose digits, and it may
 * be an identifier. */
static bool is_long_int(const struct rn_csv_field *f)
{
	uint32_t i = f->len && f->p[0] == '-';

	if (f->len - i < 19)
		return false;
	while (i < f->len && f->p[i] >= '0' && f->p[i] <= '9')
		i++;
	return i == f->len && !fits(f, RN_INT64);
}

unsigned rn_csv_widen(const struct rn_csv_reader *r, unsigned type, const struct rn_csv_field *f)
{
	static const unsigned order[] = { RN_BOOL, RN_INT64, RN_FLOAT64, RN_TIMESTAMP };
	bool text = r->json && f->quoted;

	if (is_null(r, f))
		return type;
	if (text && type != RN_CSV_UNKNOWN && type != RN_TIMESTAMP)
		return RN_STRING;
	if (type != RN_CSV_UNKNOWN && fits(f, type))
		return type;
	if (!text && type != RN_FLOAT64 && is_long_int(f))
		return RN_STRING;
	if (type == RN_INT64)
		return fits(f, RN_FLOAT64) ? RN_FLOAT64 : RN_STRING;
	for (size_t i = text ? 3 : 0; type == RN_CSV_UNKNOWN && i < sizeof order / sizeof *order;
	     i++)
		if (fits(f, order[i]))
			return order[i];
	return RN_STRING;
}

/* ---- blocks ------------------------------------------------------------------ */

enum rn_type rn_csv_final_type(const struct rn_csv_column *k)
{
	return k->type == RN_CSV_UNKNOWN ? RN_STRING : (enum rn_type)k->type;
}

void rn_csv_block_drop(struct rn_csv_reader *r)
{
	for (size_t i = 0; i < r->ncols; i++) {
		rn_column_unref(r->cols[i].values);
		r->cols[i].values = NULL;
		r->cols[i].nbytes = 0;
	}
	r->rows = 0;
	r->text = 0;
}

int rn_csv_block_start(struct rn_csv_reader *r, struct rn_err *e)
{
	rn_csv_block_drop(r);
	for (size_t i = 0; i < r->ncols; i++) {
		struct rn_csv_column *k = &r->cols[i];

		if (rn_csv_final_type(k) == RN_STRING)
			RN_TRY(rn_column_new_string(r->capacity, 0, &k->values, e));
		else
			RN_TRY(rn_column_new(rn_csv_final_type(k), r->capacity, &k->values, e));
	}
	return 0;
}

static int add_null(struct rn_csv_column *k, uint32_t row, struct rn_err *e)
{
	struct rn_column *c = k->values;

	RN_TRY(rn_column_need_null(c, e));
	c->null[row] = 1;
	c->nulls++;
	if (c->type == RN_STRING)
		c->off[row] = k->nbytes;
	else if (c->type == RN_BOOL)
		c->b[row] = 0;
	else if (c->type == RN_FLOAT64)
		c->f64[row] = 0;
	else
		c->i64[row] = 0;
	return 0;
}

/* Copy a field, without its escapes. */
static int add_string(struct rn_csv_reader *r, size_t i, const struct rn_csv_field *f,
		      struct rn_err *e)
{
	struct rn_csv_column *k = &r->cols[i];
	size_t valid = rn_utf8_prefix(f->p, f->len);
	char *to;

	if (valid < f->len)
		return rn_csv_scan_bad(r->scan, i, e, "column '%s' is not UTF-8 (byte 0x%02X)",
				       k->name, (unsigned char)f->p[valid]);
	RN_TRY(rn_grow(&k->bytes, &k->bytes_cap, k->nbytes + f->len + 1, 1, "strings", e));
	k->values->off[r->rows] = k->nbytes;
	to = k->bytes + k->nbytes;
	if (f->escaped && r->json) {
		to += rn_json_unescape(f->p, f->len, to);
	} else if (!f->escaped) {
		memcpy(to, f->p, f->len);
		to += f->len;
	} else {
		for (uint32_t j = 0; j < f->len; j++) {
			*to++ = f->p[j];
			j += f->p[j] == '"';
		}
	}
	r->text += (size_t)(to - (k->bytes + k->nbytes));
	k->nbytes = (size_t)(to - k->bytes);
	return 0;
}

/* Field i of the row: 0, RN_CSV_MISFIT, or an error. */
static int add_field(struct rn_csv_reader *r, size_t i, const struct rn_csv_field *f,
		     struct rn_err *e)
{
	struct rn_csv_column *k = &r->cols[i];
	struct rn_column *c = k->values;
	double d;

	if (is_null(r, f))
		return add_null(k, r->rows, e);
	if (k->type == RN_CSV_UNKNOWN)
		return RN_CSV_MISFIT;
	/* A JSON string is a number only where that is asked for. */
	if (r->json && f->quoted && !k->given && c->type != RN_STRING && c->type != RN_TIMESTAMP)
		return RN_CSV_MISFIT;
	switch (c->type) {
	case RN_INT64:
		return rn_int64_parse_padded(f->p, f->len, &c->i64[r->rows]) ? 0 : RN_CSV_MISFIT;
	case RN_TIMESTAMP:
		return rn_timestamp_parse(f->p, f->len, &c->i64[r->rows]) ? 0 : RN_CSV_MISFIT;
	case RN_BOOL:
		return parse_bool(f, &c->b[r->rows]) ? 0 : RN_CSV_MISFIT;
	case RN_FLOAT64:
		if (!rn_float64_parse_padded(f->p, f->len, &d))
			return RN_CSV_MISFIT;
		if (isnan(d))
			return add_null(k, r->rows, e);
		c->f64[r->rows] = d + 0.0; /* -0.0 becomes 0.0 */
		return 0;
	default:
		return add_string(r, i, f, e);
	}
}

/* Field i of the row that is being added was, and shall not be. */
static void undo_field(struct rn_csv_reader *r, size_t i)
{
	struct rn_csv_column *k = &r->cols[i];
	struct rn_column *c = k->values;

	if (c->null && c->null[r->rows]) {
		c->null[r->rows] = 0;
		c->nulls--;
	}
	if (c->type == RN_STRING) {
		r->text -= k->nbytes - c->off[r->rows];
		k->nbytes = c->off[r->rows];
	}
}

int rn_csv_block_add(struct rn_csv_reader *r, const struct rn_csv_field *f, size_t *misfit,
		     struct rn_err *e)
{
	*misfit = 0;
	for (size_t i = 0; i < r->ncols; i++) {
		int rc = add_field(r, i, &f[i], e);

		if (!rc)
			continue;
		for (size_t j = 0; j < i; j++)
			undo_field(r, j);
		if (rc != RN_CSV_MISFIT)
			return rc;
		*misfit = i + 1;
		return 0;
	}
	r->rows++;
	return 0;
}

int rn_csv_block_finish(struct rn_csv_reader *r, struct rn_rel **out, struct rn_err *e)
{
	struct rn_rel *rel;
	int rc;

	*out = NULL;
	if (!r->rows)
		return 0;
	RN_TRY(rn_rel_new(NULL, r->rows, &rel, e));
	for (size_t i = 0; i < r->ncols; i++) {
		struct rn_csv_column *k = &r->cols[i];
		struct rn_column *c = k->values;

		k->values = NULL;
		c->rows = r->rows;
		if (c->null && !c->nulls) { /* all of them stood in rows passed over */
			rn_buf_unref(c->mem[2]);
			c->mem[2] = NULL;
			c->null = NULL;
		}
		if (c->type == RN_STRING) {
			/* The bytes' final number is known only now. */
			struct rn_buf *mem;

			c->off[r->rows] = k->nbytes;
			rc = rn_buf_new(k->nbytes, "a string column", &mem, e);
			if (rc) {
				rn_column_unref(c);
				goto fail;
			}
			if (k->nbytes)
				memcpy(mem->data, k->bytes, k->nbytes);
			rn_buf_unref(c->mem[1]);
			c->mem[1] = mem;
			c->bytes = mem->data;
		}
		RN_GOTO(fail, rn_rel_add_col(rel, k->name, NULL, c, e));
	}
	*out = rel;
	return 0;
fail:
	rn_rel_unref(rel);
	return rc;
}

/* ---- messages ----------------------------------------------------------------- */

int rn_csv_bad_value(const struct rn_csv_reader *r, size_t i, const struct rn_csv_field *f,
		     struct rn_err *e)
{
	const struct rn_csv_column *k = &r->cols[i];
	int n = (int)rn_utf8_prefix(f->p, f->len > 40 ? 40 : f->len);
	const char *type = rn_type_name(rn_csv_final_type(k));

	if (k->given)
		return rn_csv_scan_bad(r->scan, i, e, "column '%s': '%.*s' is not of type %s",
				       k->name, n, f->p, type);
	if (k->type == RN_CSV_UNKNOWN)
		return rn_csv_scan_bad(r->scan, i, e,
				       "column '%s': '%.*s' after %d rows of NULLs (set its type "
				       "with --types)",
				       k->name, n, f->p, RN_CSV_SAMPLE);
	return rn_csv_scan_bad(r->scan, i, e,
			       "column '%s': '%.*s' is not of type %s, as the first rows are "
			       "(set its type with --types)",
			       k->name, n, f->p, type);
}

