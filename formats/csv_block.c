/* SPDX-License-Identifier: Apache-2.0
 *
 * Fields to typed columns, column by column.  A value that does not fit ends the rows of
 * the chunk there (the columns after it look no further); with --skip-bad its row is
 * noted, and what is left of the rows is made into columns once more.
 */
#include "csv_reader.h"
#include "csv_short.h"

#include "../lib/base/num_fast.h"
#include "../lib/base/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Where fields are: in text without quotes, in text with some, in lines of JSON. */
enum source { PLAIN, QUOTED, JSON };

/* A column being filled. */
struct fill {
	struct rn_csv_reader *r;
	struct rn_csv_chunk *k;
	size_t col;
	struct rn_column *c;
	size_t rows;    /* to look at; fewer after a misfit that ends them */
	size_t bad_col; /* 1 + the column of the value that ended them */
	bool array;     /* the column is one of embeddings of a known form */
	struct rn_array_reader reader;
	int rc;
	struct rn_err *e;
};

#define INLINE static inline __attribute__((always_inline))

/* What a loop over a column's fields reads, where no store of it can reach. */
struct view {
	struct rn_csv_span span;
	const struct rn_csv_field *fields;
	size_t ncols;
	const struct rn_csv_reader *names; /* that has texts of NULL, or NULL */
};

static struct view view_of(const struct fill *x)
{
	struct view v = { .ncols = x->r->ncols, .names = x->r->nnull ? x->r : NULL };

	if (x->r->rules.json)
		v.fields = x->k->fields + x->col;
	else
		v.span = rn_csv_span_of(x->k, x->col, v.ncols);
	return v;
}

INLINE struct rn_csv_field field(const struct view *v, size_t i, enum source s)
{
	return s == JSON ? v->fields[i * v->ncols] : rn_csv_field_in(&v->span, i, s == PLAIN);
}

INLINE bool is_null(const struct view *v, const struct rn_csv_field *f)
{
	return !f->quoted && (!f->len || (v->names && rn_csv_is_named_null(v->names, f)));
}

static void fail(struct fill *x, int rc)
{
	x->rc = rc;
	x->rows = 0;
}

/* Both return the rows that are to be looked at from then on. */
static __attribute__((noinline)) size_t put_null(struct fill *x, size_t i)
{
	int rc = rn_column_need_null(x->c, x->e);

	if (rc) {
		fail(x, rc);
		return 0;
	}
	x->c->null[i] = 1;
	x->c->nulls++;
	return x->rows;
}

static __attribute__((noinline)) size_t misfit(struct fill *x, size_t i)
{
	struct rn_csv_chunk *k = x->k;
	bool guessed = x->r->task == RN_CSV_FIND_TYPES && !x->r->cols[x->col].given &&
		       x->r->cols[x->col].type != RN_STRING;

	if (!guessed && x->r->opt.skip_bad) {
		if (!k->bad_col[i])
			k->bad_col[i] = (uint32_t)x->col + 1;
		return x->rows;
	}
	k->misfit = guessed;
	x->rows = i;
	x->bad_col = x->col + 1;
	return i;
}

/* A JSON string is a number only where that is asked for. */
INLINE bool refused(const struct fill *x, const struct rn_csv_field *f, enum source s)
{
	return s == JSON && f->quoted && !x->r->cols[x->col].given;
}

/* Rows from i on that are made at once; what comes after is looked at field by field, up to
 * *stop. */
INLINE size_t take_ints(const struct view *v, enum source s, size_t i, size_t n, int64_t *out,
			size_t *stop)
{
	if (s == PLAIN && !v->names)
		i += rn_csv_short_ints(&v->span, i, n - i, out + i);
	*stop = n - i < RN_CSV_SHORT ? n : i + RN_CSV_SHORT;
	return i;
}

INLINE void fill_ints(struct fill *x, enum source s)
{
	int64_t *out = x->c->i64;
	struct view v = view_of(x);
	size_t n = x->rows, stop;

	for (size_t i = 0; i < n;) {
		for (i = take_ints(&v, s, i, n, out, &stop); i < n && i < stop; i++) {
			struct rn_csv_field f = field(&v, i, s);

			if (is_null(&v, &f)) {
				out[i] = 0;
				n = put_null(x, i);
			} else if (refused(x, &f, s) || !rn_int64_fast(f.p, f.len, &out[i])) {
				out[i] = 0;
				n = misfit(x, i);
			}
		}
	}
}

INLINE size_t take_floats(const struct view *v, enum source s, size_t i, size_t n, double *out,
			  size_t *stop)
{
	if (s == PLAIN && !v->names)
		i += rn_csv_short_floats(&v->span, i, n - i, out + i);
	*stop = n - i < RN_CSV_SHORT ? n : i + RN_CSV_SHORT;
	return i;
}

INLINE void fill_floats(struct fill *x, enum source s)
{
	double *out = x->c->f64;
	struct view v = view_of(x);
	size_t n = x->rows, stop;

	for (size_t i = 0; i < n;) {
		for (i = take_floats(&v, s, i, n, out, &stop); i < n && i < stop; i++) {
			struct rn_csv_field f = field(&v, i, s);
			double d = 0;

			if (is_null(&v, &f)) {
				n = put_null(x, i);
			} else if (refused(x, &f, s) || !rn_float64_fast(f.p, f.len, &d)) {
				d = 0;
				n = misfit(x, i);
			} else if (__builtin_expect(isnan(d), 0)) {
				d = 0;
				n = put_null(x, i);
			}
			out[i] = d + 0.0; /* -0.0 becomes 0.0 */
		}
	}
}

INLINE void fill_times(struct fill *x, enum source s)
{
	int64_t *out = x->c->i64;
	struct view v = view_of(x);
	size_t n = x->rows;

	for (size_t i = 0; i < n; i++) {
		struct rn_csv_field f = field(&v, i, s);

		out[i] = 0;
		if (is_null(&v, &f))
			n = put_null(x, i);
		else if (!rn_timestamp_parse(f.p, f.len, &out[i]))
			n = misfit(x, i);
	}
}

INLINE void fill_bools(struct fill *x, enum source s)
{
	uint8_t *out = x->c->b;
	struct view v = view_of(x);
	size_t n = x->rows;

	for (size_t i = 0; i < n; i++) {
		struct rn_csv_field f = field(&v, i, s);

		out[i] = 0;
		if (is_null(&v, &f))
			n = put_null(x, i);
		else if (refused(x, &f, s) || !rn_csv_parse_bool(&f, &out[i]))
			n = misfit(x, i);
	}
}

/* Is the value an embedding as the column's others are? */
static __attribute__((noinline)) bool fits_array(struct fill *x, const struct rn_csv_field *f)
{
	bool good = false;
	int rc = rn_csv_fits_array(x->r, &x->reader, f, &good, x->e);

	if (rc)
		fail(x, rc);
	return good;
}

/* Whether strings are UTF-8, where the NULLs are, and where each string begins if none has
 * escapes; *total: the bytes they have then. */
INLINE void look_at_strings(struct fill *x, enum source s, uint64_t *total)
{
	struct view v = view_of(x);
	size_t n = x->rows;

	*total = 0;
	for (size_t i = 0; i < n; i++) {
		struct rn_csv_field f = field(&v, i, s);

		x->c->off[i] = *total;
		if (is_null(&v, &f))
			n = put_null(x, i);
		else if (x->k->high && !rn_utf8_valid(f.p, f.len))
			n = misfit(x, i);
		else if (x->r->cols[x->col].type == RN_CSV_UNKNOWN)
			n = misfit(x, i);
		else if (x->r->cols[x->col].type == RN_CSV_LONG &&
			 (refused(x, &f, s) || !rn_csv_is_integer(&f)))
			n = misfit(x, i);
		else if (x->array && !fits_array(x, &f))
			n = x->rc ? 0 : misfit(x, i);
		else
			*total += f.len;
	}
}

/* There are 16 bytes more behind the room for the strings than they need. */
INLINE void copy_strings(struct fill *x, enum source s)
{
	struct view v = view_of(x);
	size_t n = x->rows;
	char *to = x->c->bytes;

	for (size_t i = 0; i < n; i++) {
		struct rn_csv_field f = field(&v, i, s);

		x->c->off[i] = (uint64_t)(to - x->c->bytes);
		if (rn_column_is_null(x->c, i) || (x->r->opt.skip_bad && x->k->bad_col[i]))
			continue;
		if (s != PLAIN && f.escaped) {
			to = rn_csv_unescape(x->r, &f, to);
			continue;
		}
		if (f.len <= 16)
			memcpy(to, f.p, 16);
		else
			memcpy(to, f.p, f.len);
		to += f.len;
	}
	x->c->off[n] = (uint64_t)(to - x->c->bytes);
	x->c->mem[1]->size = (size_t)(to - x->c->bytes);
}

INLINE void fill_strings(struct fill *x, enum source s)
{
	uint64_t total;
	int rc;

	look_at_strings(x, s, &total);
	if (x->rc || x->bad_col)
		return;
	rc = rn_buf_new_raw(total + 16, "a string column", &x->c->mem[1], x->e);
	if (rc) {
		fail(x, rc);
		return;
	}
	x->c->bytes = x->c->mem[1]->data;
	copy_strings(x, s);
}

INLINE void fill_column(struct fill *x, enum source s)
{
	switch (x->c->type) {
	case RN_INT64:
		fill_ints(x, s);
		break;
	case RN_FLOAT64:
		fill_floats(x, s);
		break;
	case RN_TIMESTAMP:
		fill_times(x, s);
		break;
	case RN_BOOL:
		fill_bools(x, s);
		break;
	default:
		fill_strings(x, s);
	}
}

/* ---- relations -------------------------------------------------------------------------- */

/* A column whose values are all written at once: nothing is zeroed. */
static int new_column(enum rn_type t, size_t rows, struct rn_column **out, struct rn_err *e)
{
	size_t bytes = t == RN_BOOL ? rows : 8 * (rows + (t == RN_STRING));
	struct rn_column *c;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *c, "a column", &c, e));
	rc = rn_buf_new_raw(bytes, "a column", &c->mem[0], e);
	if (rc) {
		free(c);
		return rc;
	}
	c->refs = 1;
	c->type = t;
	c->rows = rows;
	if (t == RN_BOOL)
		c->b = c->mem[0]->data;
	else if (t == RN_FLOAT64)
		c->f64 = c->mem[0]->data;
	else if (t == RN_STRING)
		c->off = c->mem[0]->data;
	else
		c->i64 = c->mem[0]->data;
	*out = c;
	return 0;
}

static int add_column(struct fill *x, struct rn_rel *rel, struct rn_err *e)
{
	const struct rn_csv_column *col = &x->r->cols[x->col];

	RN_TRY(new_column(rn_csv_final_type(col), x->k->rows, &x->c, e));
	x->array = col->type == RN_STRING && rn_csv_is_array(x->r, col->name) && x->r->opt.array->known;
	if (x->r->rules.json)
		fill_column(x, JSON);
	else if (x->k->quotes)
		fill_column(x, QUOTED);
	else
		fill_column(x, PLAIN);
	if (x->rc || x->bad_col) {
		rn_column_unref(x->c);
		return x->rc;
	}
	return rn_rel_add_col(rel, col->name, NULL, x->c, e);
}

/* ---- misfits ---------------------------------------------------------------------------- */

static struct rn_csv_field any_field(const struct rn_csv_reader *r, const struct rn_csv_chunk *k,
				     size_t row, size_t col)
{
	return r->rules.json ? k->fields[row * r->ncols + col] :
			       rn_csv_field_at(k, row, col, r->ncols, !k->quotes);
}

/* An embedding does not fit, in a row that begins at `begin`. */
static int bad_array(const struct rn_csv_reader *r, struct rn_csv_chunk *k, size_t col,
		     const struct rn_csv_field *f, size_t begin, struct rn_err *e)
{
	struct rn_str what = RN_STR_INIT;
	int rc = rn_csv_tell_array(r, f, &what, e);

	if (!rc)
		rc = rn_csv_add_bad(&r->rules, k, begin, (size_t)(f->p - k->text), 0, e, "column '%s' %s",
				    r->cols[col].name, what.s);
	rn_str_fini(&what);
	return rc;
}

/* Row `row` is none: its value in column `col` does not fit. */
static int bad_value(const struct rn_csv_reader *r, struct rn_csv_chunk *k, size_t row, size_t col,
		     struct rn_err *e)
{
	const struct rn_csv_column *c = &r->cols[col];
	struct rn_csv_field f = any_field(r, k, row, col);
	int n = (int)rn_utf8_prefix(f.p, f.len > 40 ? 40 : f.len);
	const char *type = rn_type_name(rn_csv_final_type(c));
	size_t at = (size_t)(f.p - k->text);
	size_t begin = r->rules.json ? at : (size_t)(k->at[row * k->stride] + 1);

	if (c->type == RN_STRING && rn_utf8_valid(f.p, f.len))
		return bad_array(r, k, col, &f, begin, e);
	if (c->type == RN_STRING)
		return rn_csv_add_bad(&r->rules, k, begin, at, 0, e,
				      "column '%s' is not UTF-8 (byte 0x%02X)", c->name,
				      (unsigned char)f.p[rn_utf8_prefix(f.p, f.len)]);
	if (c->given)
		return rn_csv_add_bad(&r->rules, k, begin, at, 0, e,
				      "column '%s': '%.*s' is not of type %s", c->name, n, f.p,
				      type);
	if (c->type == RN_CSV_UNKNOWN)
		return rn_csv_add_bad(&r->rules, k, begin, at, 0, e,
				      "column '%s': '%.*s' after %d rows of NULLs (set its type "
				      "with --types)",
				      c->name, n, f.p, RN_CSV_SAMPLE);
	return rn_csv_add_bad(&r->rules, k, begin, at, 0, e,
			      "column '%s': '%.*s' is not of type %s, as the first rows are "
			      "(set its type with --types)",
			      c->name, n, f.p, type);
}

/* Take the rows out that have a misfit; *any: there were some. */
static int drop_bad_rows(const struct rn_csv_reader *r, struct rn_csv_chunk *k, bool *any,
			 struct rn_err *e)
{
	size_t wide = r->ncols + 1, n = 0;

	*any = false;
	for (size_t i = 0; i < k->rows; i++)
		if (k->bad_col[i]) {
			*any = true;
			RN_TRY(bad_value(r, k, i, k->bad_col[i] - 1, e));
		}
	if (!*any)
		return 0;
	if (!r->rules.json)
		RN_TRY(rn_grow(&k->pos, &k->pos_cap, k->rows * wide, sizeof *k->pos, "positions",
			       e));
	for (size_t i = 0; i < k->rows; i++) {
		if (k->bad_col[i])
			continue;
		if (r->rules.json)
			memmove(k->fields + n * r->ncols, k->fields + i * r->ncols,
				r->ncols * sizeof *k->fields);
		else
			memmove(k->pos + n * wide, (k->stride == wide ? k->pos : k->at) + i * k->stride,
				wide * sizeof *k->pos);
		n++;
	}
	k->rows = n;
	if (!r->rules.json) {
		k->at = k->pos;
		k->stride = wide;
	}
	return 0;
}

/* ---- a chunk ---------------------------------------------------------------------------- */

/* All columns of the k->rows rows.  *x says what did not fit. */
static int make_columns(struct rn_csv_reader *r, struct rn_csv_chunk *k, struct fill *x,
			struct rn_err *e)
{
	struct rn_rel *rel;
	int rc = 0;

	*x = (struct fill){ .r = r, .k = k, .rows = k->rows, .e = e };
	if (r->opt.skip_bad) {
		RN_TRY(rn_grow(&k->bad_col, &k->bad_cap, k->rows, sizeof *k->bad_col, "rows", e));
		memset(k->bad_col, 0, k->rows * sizeof *k->bad_col);
	}
	RN_TRY(rn_rel_new(NULL, k->rows, &rel, e));
	for (x->col = 0; x->col < r->ncols && !rc; x->col++)
		rc = add_column(x, rel, e);
	rn_array_reader_fini(&x->reader);
	if (rc) {
		rn_rel_unref(rel);
		return rc;
	}
	if (x->bad_col)
		rn_rel_unref(rel);
	else
		k->rel = rel;
	return 0;
}

int rn_csv_parse(struct rn_csv_reader *r, struct rn_csv_chunk *k, struct rn_err *e)
{
	struct fill x;
	bool any;

	if (r->rules.json)
		RN_TRY(rn_csv_find_lines(&r->rules, k, &r->keys,
					 r->task == RN_CSV_FIND_TYPES ? RN_CSV_KEY_STOP :
									RN_CSV_KEY_BAD, e));
	else
		RN_TRY(rn_csv_find_rows(&r->rules, k, r->ncols, SIZE_MAX, e));
	if (!k->rows || k->new_key)
		return 0;
	if (r->rules.json)
		k->high = true;
	RN_TRY(make_columns(r, k, &x, e));
	if (x.bad_col && !k->misfit)
		return bad_value(r, k, x.rows, x.bad_col - 1, e);
	if (x.bad_col || !r->opt.skip_bad)
		return 0;
	RN_TRY(drop_bad_rows(r, k, &any, e));
	if (!any)
		return 0;
	rn_rel_unref(k->rel);
	k->rel = NULL;
	return k->rows ? make_columns(r, k, &x, e) : 0;
}
