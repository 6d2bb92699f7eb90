/* SPDX-License-Identifier: Apache-2.0
 *
 * Typed rows out of separated text.  A column's type is guessed from the first
 * rows and only ever widens: unknown (nothing but NULLs), then bool, int64,
 * float64 or timestamp, int64 to float64, and all to string.
 *
 * Where the input can be read again, its blocks are parsed with the guess and
 * kept; if every row fits, as nearly always, that was the only pass.  If one
 * does not, or what is kept gets too large, the rest only widens the types and
 * a second pass parses.  Where it cannot be read again, the first 65,536 rows
 * decide, and a later value that does not fit is an error.
 */
#include "csv.h"

#include "csv_scan.h"
#include "../lib/base/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	MAX_ROWS = 65536,          /* in a block */
	SAMPLE_ROWS = 65536,       /* that decide where the input cannot be read again */
	SAMPLE_TEXT = 256 << 20,   /* bytes of text at which they are enough */
	GUESS_ROWS = 1000,         /* that make the first guess elsewhere */
	MAX_KEPT = 256 << 20,      /* bytes of blocks kept while types are being found */
	BLOCK_BYTES = 64 << 20,    /* bytes at which a block of many columns is cut */
	TYPE_UNKNOWN = RN_NTYPES,  /* only NULLs so far */
};

struct column {
	char *name;
	unsigned type; /* enum rn_type, or TYPE_UNKNOWN */
	bool given;
	struct rn_column *values; /* of the block being filled: `capacity` rows */
	char *bytes;              /* of its strings */
	size_t nbytes, bytes_cap;
};

struct rn_csv_reader {
	struct rn_csv_scan *scan;
	struct rn_csv_opt opt;
	struct rn_schema schema;
	struct column *cols;
	size_t ncols;
	uint32_t capacity, rows; /* of the block being filled */
	uint64_t text;           /* bytes of strings in it */
	struct rn_rel **kept;
	size_t nkept, kept_cap, next_kept;
	bool ended;
};

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

static bool is_null(const struct rn_csv_field *f)
{
	return !f->len && !f->quoted;
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

/* The least type above `type` that the value fits as well. */
static unsigned widen(unsigned type, const struct rn_csv_field *f)
{
	static const unsigned order[] = { RN_BOOL, RN_INT64, RN_FLOAT64, RN_TIMESTAMP };

	if (is_null(f) || (type != TYPE_UNKNOWN && fits(f, type)))
		return type;
	if (type != RN_FLOAT64 && is_long_int(f))
		return RN_STRING;
	if (type == RN_INT64)
		return fits(f, RN_FLOAT64) ? RN_FLOAT64 : RN_STRING;
	for (size_t i = 0; type == TYPE_UNKNOWN && i < sizeof order / sizeof *order; i++)
		if (fits(f, order[i]))
			return order[i];
	return RN_STRING;
}

/* A blank line is a row only where there is one column. */
static bool is_blank(const struct rn_csv_reader *r, const struct rn_csv_field *f, size_t n)
{
	return n == 1 && r->ncols != 1 && is_null(f);
}

/* The next row that is none, of as many fields as there are columns; *n = 0: the end. */
static int next_row(struct rn_csv_reader *r, const struct rn_csv_field **f, size_t *n,
		    struct rn_err *e)
{
	do
		RN_TRY(rn_csv_scan_row(r->scan, f, n, e));
	while (*n && is_blank(r, *f, *n));
	if (*n && *n != r->ncols)
		return rn_csv_scan_bad(r->scan, 0, e, "%zu field%s where %s %zu", *n,
				       *n == 1 ? "" : "s",
				       r->opt.no_header ? "the first row has" : "the header has",
				       r->ncols);
	return 0;
}

static void widen_row(struct rn_csv_reader *r, const struct rn_csv_field *f)
{
	for (size_t i = 0; i < r->ncols; i++)
		if (!r->cols[i].given && r->cols[i].type != RN_STRING)
			r->cols[i].type = widen(r->cols[i].type, &f[i]);
}

/* Guess from at most `rows` rows, which stay to be read. */
static int guess_types(struct rn_csv_reader *r, uint64_t rows, struct rn_err *e)
{
	const struct rn_csv_field *f;
	size_t n = 1;
	int rc = 0;

	rn_csv_scan_mark(r->scan);
	while (!rc && rows-- && rn_csv_scan_kept(r->scan) < SAMPLE_TEXT) {
		rc = next_row(r, &f, &n, e);
		if (rc || !n)
			break;
		widen_row(r, f);
	}
	rn_csv_scan_back(r->scan);
	return rc;
}

/* ---- blocks ------------------------------------------------------------------ */

static enum rn_type final_type(const struct column *k)
{
	return k->type == TYPE_UNKNOWN ? RN_STRING : (enum rn_type)k->type;
}

static void drop_block(struct rn_csv_reader *r)
{
	for (size_t i = 0; i < r->ncols; i++) {
		rn_column_unref(r->cols[i].values);
		r->cols[i].values = NULL;
		r->cols[i].nbytes = 0;
	}
	r->rows = 0;
	r->text = 0;
}

static int start_block(struct rn_csv_reader *r, struct rn_err *e)
{
	drop_block(r);
	for (size_t i = 0; i < r->ncols; i++) {
		struct column *k = &r->cols[i];

		if (final_type(k) == RN_STRING)
			RN_TRY(rn_column_new_string(r->capacity, 0, &k->values, e));
		else
			RN_TRY(rn_column_new(final_type(k), r->capacity, &k->values, e));
	}
	return 0;
}

static int add_null(struct column *k, uint32_t row, struct rn_err *e)
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

/* Copy a field, "" becoming " where it is escaped. */
static int add_string(struct rn_csv_reader *r, size_t i, const struct rn_csv_field *f,
		      struct rn_err *e)
{
	struct column *k = &r->cols[i];
	size_t valid = rn_utf8_prefix(f->p, f->len);
	char *to;

	if (valid < f->len)
		return rn_csv_scan_bad(r->scan, i, e, "column '%s' is not UTF-8 (byte 0x%02X)",
				       k->name, (unsigned char)f->p[valid]);
	RN_TRY(rn_grow(&k->bytes, &k->bytes_cap, k->nbytes + f->len + 1, 1, "strings", e));
	k->values->off[r->rows] = k->nbytes;
	to = k->bytes + k->nbytes;
	if (!f->escaped) {
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

enum { MISFIT = 1 };

/* Field i of the row: 0, MISFIT, or an error. */
static int add_field(struct rn_csv_reader *r, size_t i, const struct rn_csv_field *f,
		     struct rn_err *e)
{
	struct column *k = &r->cols[i];
	struct rn_column *c = k->values;
	double d;

	if (is_null(f))
		return add_null(k, r->rows, e);
	if (k->type == TYPE_UNKNOWN)
		return MISFIT;
	switch (c->type) {
	case RN_INT64:
		return rn_int64_parse_padded(f->p, f->len, &c->i64[r->rows]) ? 0 : MISFIT;
	case RN_TIMESTAMP:
		return rn_timestamp_parse(f->p, f->len, &c->i64[r->rows]) ? 0 : MISFIT;
	case RN_BOOL:
		return parse_bool(f, &c->b[r->rows]) ? 0 : MISFIT;
	case RN_FLOAT64:
		if (!rn_float64_parse_padded(f->p, f->len, &d))
			return MISFIT;
		if (isnan(d))
			return add_null(k, r->rows, e);
		c->f64[r->rows] = d + 0.0; /* -0.0 becomes 0.0 */
		return 0;
	default:
		return add_string(r, i, f, e);
	}
}

/* The block so far as a relation; *out = NULL if it has no rows. */
static int finish_block(struct rn_csv_reader *r, struct rn_rel **out, struct rn_err *e)
{
	struct rn_rel *rel;
	int rc;

	*out = NULL;
	if (!r->rows)
		return 0;
	RN_TRY(rn_rel_new(NULL, r->rows, &rel, e));
	for (size_t i = 0; i < r->ncols; i++) {
		struct column *k = &r->cols[i];
		struct rn_column *c = k->values;

		k->values = NULL;
		c->rows = r->rows;
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

/* Rows into the block until it is full, the end (ended), or a value that does not
 * fit: then *misfit is its column + 1, and the row is at *f. */
static int fill_block(struct rn_csv_reader *r, const struct rn_csv_field **f, size_t *misfit,
		      struct rn_err *e)
{
	size_t n;

	*misfit = 0;
	RN_TRY(start_block(r, e));
	while (r->rows < r->capacity && r->text < BLOCK_BYTES) {
		RN_TRY(next_row(r, f, &n, e));
		if (!n) {
			r->ended = true;
			return 0;
		}
		for (size_t i = 0; i < n; i++) {
			int rc = add_field(r, i, &(*f)[i], e);

			if (rc == MISFIT) {
				*misfit = i + 1;
				return 0;
			}
			if (rc)
				return rc;
		}
		r->rows++;
	}
	return 0;
}

static int bad_value(const struct rn_csv_reader *r, size_t i, const struct rn_csv_field *f,
		     struct rn_err *e)
{
	const struct column *k = &r->cols[i];
	int n = f->len > 40 ? 40 : (int)f->len;
	const char *type = rn_type_name(final_type(k));

	if (k->given)
		return rn_csv_scan_bad(r->scan, i, e, "column '%s': '%.*s' is not of type %s",
				       k->name, n, f->p, type);
	if (k->type == TYPE_UNKNOWN)
		return rn_csv_scan_bad(r->scan, i, e,
				       "column '%s': '%.*s' after %d rows of NULLs (set its type "
				       "with --types)",
				       k->name, n, f->p, SAMPLE_ROWS);
	return rn_csv_scan_bad(r->scan, i, e,
			       "column '%s': '%.*s' is not of type %s, as the first rows are "
			       "(set its type with --types)",
			       k->name, n, f->p, type);
}

/* ---- finding the types of all rows -------------------------------------------- */

static void drop_kept(struct rn_csv_reader *r)
{
	while (r->nkept > r->next_kept)
		rn_rel_unref(r->kept[--r->nkept]);
	r->nkept = r->next_kept = 0;
}

/* The first row that is not blank. */
static int first_row(struct rn_csv_reader *r, const struct rn_csv_field **f, size_t *n,
		     struct rn_err *e)
{
	do
		RN_TRY(rn_csv_scan_row(r->scan, f, n, e));
	while (*n == 1 && is_null(*f));
	return 0;
}

static int skip_header(struct rn_csv_reader *r, struct rn_err *e)
{
	const struct rn_csv_field *f;
	size_t n;

	return r->opt.no_header ? 0 : first_row(r, &f, &n, e);
}

/* Widen by the row at f and by all that follow; then start again. */
static int widen_rest(struct rn_csv_reader *r, const struct rn_csv_field *f, struct rn_err *e)
{
	size_t n;

	drop_kept(r);
	drop_block(r);
	do {
		if (f)
			widen_row(r, f);
		RN_TRY(next_row(r, &f, &n, e));
	} while (n);
	r->ended = false;
	RN_TRY(rn_csv_scan_rewind(r->scan, e));
	return skip_header(r, e);
}

/* Parse into r->kept with the types guessed. */
static int find_types(struct rn_csv_reader *r, uint64_t limit, struct rn_err *e)
{
	const struct rn_csv_field *f = NULL;
	uint64_t kept = 0;

	while (!r->ended) {
		size_t misfit;

		if (kept > limit)
			return widen_rest(r, NULL, e);
		RN_TRY(fill_block(r, &f, &misfit, e));
		if (misfit && r->cols[misfit - 1].given)
			return bad_value(r, misfit - 1, &f[misfit - 1], e);
		if (misfit)
			return widen_rest(r, f, e);
		RN_TRY(rn_grow(&r->kept, &r->kept_cap, r->nkept + 1, sizeof(struct rn_rel *),
			       "text", e));
		RN_TRY(finish_block(r, &r->kept[r->nkept], e));
		if (r->kept[r->nkept])
			kept += rn_rel_bytes(r->kept[r->nkept++]);
	}
	return 0;
}

/* ---- header ------------------------------------------------------------------ */

/* The name of column i: its header cell, or c0, c1, … */
static int set_name(struct rn_csv_reader *r, size_t i, const struct rn_csv_field *f,
		    struct rn_err *e)
{
	char number[24];
	int n = snprintf(number, sizeof number, "c%zu", i);
	bool own = !r->opt.no_header && f->len;
	const char *from = own ? f->p : number;
	size_t len = own ? f->len : (size_t)n;
	char *to;

	if (own && rn_utf8_prefix(from, len) < len)
		return rn_csv_scan_bad(r->scan, i, e, "the name of column %zu is not UTF-8", i + 1);
	RN_TRY(rn_calloc(len + 1, 1, "a column name", &r->cols[i].name, e));
	to = r->cols[i].name;
	for (size_t j = 0; j < len; j++) {
		*to++ = from[j];
		j += own && f->escaped && from[j] == '"';
	}
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct column *const *x = a, *const *y = b;
	int c = strcmp((*x)->name, (*y)->name);

	return c ? c : (*x > *y) - (*x < *y);
}

static int check_names(struct rn_csv_reader *r, struct rn_err *e)
{
	struct column **sorted;
	int rc = 0;

	RN_TRY(rn_calloc(r->ncols, sizeof(struct column *), "a schema", &sorted, e));
	for (size_t i = 0; i < r->ncols; i++)
		sorted[i] = &r->cols[i];
	qsort(sorted, r->ncols, sizeof *sorted, by_name);
	for (size_t i = 1; i < r->ncols && !rc; i++)
		if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
			rc = rn_csv_scan_bad(r->scan, 0, e,
					     "columns %td and %td are both named '%s'",
					     sorted[i - 1] - r->cols + 1, sorted[i] - r->cols + 1,
					     sorted[i]->name);
	free(sorted);
	return rc;
}

static int read_names(struct rn_csv_reader *r, struct rn_err *e)
{
	const struct rn_csv_field *f;
	size_t n;

	rn_csv_scan_mark(r->scan);
	RN_TRY(first_row(r, &f, &n, e));
	if (!n)
		return rn_err_set(e, RN_EDATA, "'%s' is empty: it has no header",
				  rn_csv_scan_name(r->scan));
	RN_TRY(rn_calloc(n, sizeof *r->cols, "a schema", &r->cols, e));
	r->ncols = n;
	for (size_t i = 0; i < n; i++) {
		r->cols[i].type = TYPE_UNKNOWN;
		RN_TRY(set_name(r, i, &f[i], e));
	}
	RN_TRY(check_names(r, e));
	rn_csv_scan_back(r->scan);
	return skip_header(r, e);
}

static int set_given(struct rn_csv_reader *r, struct rn_err *e)
{
	for (size_t t = 0; t < r->opt.ntypes; t++) {
		size_t i = 0;

		while (i < r->ncols && strcmp(r->cols[i].name, r->opt.type_names[t]) != 0)
			i++;
		if (i == r->ncols)
			return rn_err_set(e, RN_EUSAGE,
					  "a type is given for '%s', which is no column of '%s'",
					  r->opt.type_names[t], rn_csv_scan_name(r->scan));
		r->cols[i].type = r->opt.types[t];
		r->cols[i].given = true;
	}
	return 0;
}

static bool all_given(const struct rn_csv_reader *r)
{
	for (size_t i = 0; i < r->ncols; i++)
		if (!r->cols[i].given)
			return false;
	return true;
}

static void set_capacity(struct rn_csv_reader *r)
{
	uint64_t most = BLOCK_BYTES / (9 * (uint64_t)r->ncols);
	uint32_t rows = r->opt.block_rows;

	uint64_t size = rn_csv_scan_size(r->scan);

	rows = rows && rows < MAX_ROWS ? rows : MAX_ROWS;
	/* Every row takes a byte per column: small files need only small blocks. */
	if (size && size / r->ncols < most)
		most = size / r->ncols + 1;
	r->capacity = most < rows ? (uint32_t)(most ? most : 1) : rows;
}

/* ---- interface --------------------------------------------------------------- */

static int find_schema(struct rn_csv_reader *r, const struct rn_ctx *c, struct rn_err *e)
{
	uint64_t limit = MAX_KEPT;

	RN_TRY(read_names(r, e));
	RN_TRY(set_given(r, e));
	set_capacity(r);
	if (!all_given(r)) {
		bool again = rn_csv_scan_can_rewind(r->scan);

		if (c && c->mem_limit && c->mem_limit / 4 < limit)
			limit = c->mem_limit / 4;
		RN_TRY(guess_types(r, again ? GUESS_ROWS : SAMPLE_ROWS, e));
		if (again)
			RN_TRY(find_types(r, limit, e));
	}
	for (size_t i = 0; i < r->ncols; i++)
		RN_TRY(rn_schema_add_col(&r->schema, r->cols[i].name, NULL,
					 final_type(&r->cols[i]), e));
	return 0;
}

int rn_csv_open(const struct rn_ctx *c, struct rn_io *io, const struct rn_csv_opt *opt,
		struct rn_csv_reader **out, struct rn_err *e)
{
	struct rn_csv_reader *r;
	int rc;

	rc = rn_calloc(1, sizeof *r, "a text reader", &r, e);
	if (rc) {
		io->ops->abort(io);
		return rc;
	}
	r->opt = *opt;
	rc = rn_csv_scan_open(io, opt->delimiter ? opt->delimiter : ',', &r->scan, e);
	if (!rc)
		rc = find_schema(r, c, e);
	/* The names and types are the caller's, and were used. */
	r->opt.type_names = NULL;
	r->opt.types = NULL;
	if (rc) {
		rn_csv_close(r);
		return rc;
	}
	*out = r;
	return 0;
}

const struct rn_schema *rn_csv_schema(const struct rn_csv_reader *r)
{
	return &r->schema;
}

int rn_csv_block(struct rn_csv_reader *r, struct rn_rel **out, struct rn_err *e)
{
	const struct rn_csv_field *f = NULL;
	size_t misfit;

	*out = NULL;
	if (r->next_kept < r->nkept) {
		*out = r->kept[r->next_kept++];
		return 0;
	}
	if (r->ended)
		return 0;
	RN_TRY(fill_block(r, &f, &misfit, e));
	if (misfit)
		return bad_value(r, misfit - 1, &f[misfit - 1], e);
	return finish_block(r, out, e);
}

uint64_t rn_csv_hash(const struct rn_csv_reader *r)
{
	return rn_csv_scan_hash(r->scan);
}

void rn_csv_close(struct rn_csv_reader *r)
{
	if (!r)
		return;
	drop_kept(r);
	drop_block(r);
	for (size_t i = 0; i < r->ncols; i++) {
		free(r->cols[i].name);
		free(r->cols[i].bytes);
	}
	free(r->cols);
	free(r->kept);
	rn_schema_fini(&r->schema);
	rn_csv_scan_close(r->scan);
	free(r);
}
