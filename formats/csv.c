/* SPDX-License-Identifier: Apache-2.0
 *
 * Typed rows out of text.  A column's type is guessed from the first rows and only
 * ever widens.
 *
 * Where the input can be read again, its blocks are parsed with the guess and
 * kept; if every row fits, as nearly always, that was the only pass.  If one
 * does not, or what is kept gets too large, the rest only widens the types and
 * a second pass parses.  Where it cannot be read again, the first 65,536 rows
 * decide, and a later value that does not fit is an error.  A key of JSON lines that
 * was not met before is like a value that does not fit.
 */
#include "csv_reader.h"

#include "../lib/base/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	MAX_ROWS = 65536,        /* in a block */
	SAMPLE_TEXT = 256 << 20, /* bytes of text at which a sample is large enough */
	GUESS_ROWS = 1000,       /* that make the first guess where the input can be read again */
	MAX_KEPT = 256 << 20,    /* bytes of blocks kept while types are being found */
	BLOCK_BYTES = 64 << 20,  /* bytes at which a block of many columns is cut */
	MAX_SHOWN = 3,           /* malformed rows that are told one by one */
};

/* ---- rows -------------------------------------------------------------------- */

/* A blank line is a row only where there is one column. */
static bool is_blank(const struct rn_csv_reader *r, const struct rn_csv_field *f, size_t n)
{
	return n == 1 && r->ncols != 1 && !r->json && !f->len && !f->quoted;
}

/* The row that r->err is about is passed over. */
static int reject(struct rn_csv_reader *r, struct rn_err *e)
{
	if (r->counting && r->bad < MAX_SHOWN) {
		r->bad_text[r->bad] = strdup(r->err.msg);
		if (!r->bad_text[r->bad])
			return rn_err_nomem(e, strlen(r->err.msg), "a message");
	}
	r->bad += r->counting;
	return 0;
}

static void forget_rejects(struct rn_csv_reader *r)
{
	for (size_t i = 0; i < MAX_SHOWN; i++) {
		free(r->bad_text[i]);
		r->bad_text[i] = NULL;
	}
	r->good = r->bad = 0;
}

/* The next row of text, well formed. */
static int next_fields(struct rn_csv_reader *r, const struct rn_csv_field **f, size_t *n,
		       struct rn_err *e)
{
	for (;;) {
		bool could;
		int rc = rn_csv_scan_row(r->scan, f, n, r->opt.skip_bad ? &r->err : e);

		if (!rc || !r->opt.skip_bad)
			return rc;
		could = false;
		if (rc == RN_EDATA)
			RN_TRY(rn_csv_scan_skip(r->scan, &could, e));
		if (!could) {
			if (e)
				*e = r->err;
			return rc;
		}
		RN_TRY(reject(r, e));
	}
}

/* A row of n fields is passed over, or is an error. */
static int bad_length(struct rn_csv_reader *r, size_t n, struct rn_err *e)
{
	const char *whose = !r->opt.no_header ? "the header has" :
			    r->opt.nnames     ? "--columns names" :
						"the first row has";
	int rc = rn_csv_scan_bad(r->scan, 0, r->opt.skip_bad ? &r->err : e,
				 "%zu field%s where %s %zu", n, n == 1 ? "" : "s", whose, r->ncols);

	return r->opt.skip_bad ? reject(r, e) : rc;
}

/* The next row that is none, of as many fields as there are columns (JSON lines: at
 * least); *f = NULL: the end. */
static int next_row(struct rn_csv_reader *r, const struct rn_csv_field **f, size_t *n,
		    struct rn_err *e)
{
	for (;;) {
		RN_TRY(next_fields(r, f, n, e));
		if (!*f || r->json || *n == r->ncols)
			return 0;
		if (is_blank(r, *f, *n))
			continue;
		RN_TRY(bad_length(r, *n, e));
	}
}

/* Columns for the keys that are new. */
static int add_columns(struct rn_csv_reader *r, struct rn_err *e)
{
	size_t n = rn_csv_scan_nkeys(r->scan);

	RN_TRY(rn_grow(&r->cols, &r->cols_cap, n, sizeof *r->cols, "a schema", e));
	for (; r->ncols < n; r->ncols++) {
		char *name = strdup(rn_csv_scan_key(r->scan, r->ncols));

		if (!name)
			return rn_err_nomem(e, 1, "a column name");
		r->cols[r->ncols] = (struct rn_csv_column){ .name = name, .type = RN_CSV_UNKNOWN };
	}
	return 0;
}

static int widen_row(struct rn_csv_reader *r, const struct rn_csv_field *f, size_t n,
		     struct rn_err *e)
{
	if (n > r->ncols)
		RN_TRY(add_columns(r, e));
	for (size_t i = 0; i < r->ncols; i++)
		if (!r->cols[i].given && r->cols[i].type != RN_STRING)
			r->cols[i].type = rn_csv_widen(r, r->cols[i].type, &f[i]);
	return 0;
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
		if (rc || !f)
			break;
		rc = widen_row(r, f, n, e);
	}
	rn_csv_scan_back(r->scan);
	return rc;
}

/* ---- blocks ------------------------------------------------------------------ */

/* The row at f is passed over, or is an error: its value `misfit` - 1 is not of its
 * column's type, or (0) it has a new key. */
static int bad_row(struct rn_csv_reader *r, size_t misfit, const struct rn_csv_field *f,
		   struct rn_err *e)
{
	struct rn_err *err = r->opt.skip_bad ? &r->err : e;
	int rc;

	if (misfit)
		rc = rn_csv_bad_value(r, misfit - 1, &f[misfit - 1], err);
	else
		rc = rn_csv_scan_bad(r->scan, 0, err,
				     "the key '%s' is new after %d rows (name it with --types)",
				     rn_csv_scan_key(r->scan, r->ncols), RN_CSV_SAMPLE);
	return r->opt.skip_bad ? reject(r, e) : rc;
}

/* Rows into the block until it is full, the end (ended), or a value or a key that does
 * not fit and decides on types (`finding`): then *misfit, and the row is *n fields at *f. */
static int fill_block(struct rn_csv_reader *r, bool finding, const struct rn_csv_field **f,
		      size_t *n, bool *misfit, struct rn_err *e)
{
	*misfit = false;
	RN_TRY(rn_csv_block_start(r, e));
	while (r->rows < r->capacity && r->text < BLOCK_BYTES) {
		size_t at = 0;
		int rc = 0;

		RN_TRY(next_row(r, f, n, e));
		if (!*f) {
			r->ended = true;
			return 0;
		}
		if (*n <= r->ncols)
			rc = rn_csv_block_add(r, *f, &at, r->opt.skip_bad ? &r->err : e);
		if (rc == RN_EDATA && r->opt.skip_bad) { /* not UTF-8 */
			RN_TRY(reject(r, e));
			continue;
		}
		if (rc) {
			if (r->opt.skip_bad && e)
				*e = r->err;
			return rc;
		}
		if (!at && *n <= r->ncols) {
			r->good++;
			continue;
		}
		if (finding && !(at && r->cols[at - 1].given)) {
			*misfit = true;
			return 0;
		}
		RN_TRY(bad_row(r, at, *f, e));
	}
	return 0;
}

/* At the end: how many rows were passed over. */
static int tell_rejects(struct rn_csv_reader *r, struct rn_err *e)
{
	const char *name = rn_csv_scan_name(r->scan);

	if (!r->bad)
		return 0;
	if (!r->good)
		return rn_err_set(e, RN_EDATA,
				  "'%s': none of its %" PRIu64 " rows can be read; the first: %s", name,
				  r->bad, r->bad_text[0]);
	for (uint64_t i = 0; i < r->bad && i < MAX_SHOWN; i++)
		rn_log(r->ctx, RN_LOG_WARN, "%s", r->bad_text[i]);
	rn_log(r->ctx, RN_LOG_WARN, "'%s': %" PRIu64 " of %" PRIu64 " rows passed over", name, r->bad,
	       r->good + r->bad);
	return 0;
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
		RN_TRY(next_fields(r, f, n, e));
	while (*n == 1 && !(*f)->len && !(*f)->quoted);
	return 0;
}

static int skip_header(struct rn_csv_reader *r, struct rn_err *e)
{
	const struct rn_csv_field *f;
	size_t n;

	return r->opt.no_header || r->json ? 0 : first_row(r, &f, &n, e);
}

static void set_capacity(struct rn_csv_reader *r)
{
	uint64_t most = BLOCK_BYTES / (9 * (uint64_t)(r->ncols ? r->ncols : 1));
	uint64_t size = rn_csv_scan_size(r->scan);
	uint32_t rows = r->opt.block_rows;

	rows = rows && rows < MAX_ROWS ? rows : MAX_ROWS;
	/* Every row takes a byte per column: small files need only small blocks. */
	if (size && !r->json && size / r->ncols < most)
		most = size / r->ncols + 1;
	r->capacity = most < rows ? (uint32_t)(most ? most : 1) : rows;
}

/* Widen by the row of n fields at f and by all that follow; then start again. */
static int widen_rest(struct rn_csv_reader *r, const struct rn_csv_field *f, size_t n,
		      struct rn_err *e)
{
	drop_kept(r);
	rn_csv_block_drop(r);
	forget_rejects(r);
	r->counting = false;
	do {
		if (f)
			RN_TRY(widen_row(r, f, n, e));
		RN_TRY(next_row(r, &f, &n, e));
	} while (f);
	r->ended = false;
	RN_TRY(rn_csv_scan_rewind(r->scan, e));
	RN_TRY(skip_header(r, e));
	r->counting = true;
	set_capacity(r);
	return 0;
}

/* Parse into r->kept with the types guessed. */
static int find_types(struct rn_csv_reader *r, uint64_t limit, struct rn_err *e)
{
	const struct rn_csv_field *f = NULL;
	uint64_t kept = 0;

	while (!r->ended) {
		bool misfit;
		size_t n;

		if (kept > limit)
			return widen_rest(r, NULL, 0, e);
		RN_TRY(fill_block(r, true, &f, &n, &misfit, e));
		if (misfit)
			return widen_rest(r, f, n, e);
		RN_TRY(rn_grow(&r->kept, &r->kept_cap, r->nkept + 1, sizeof(struct rn_rel *),
			       "text", e));
		RN_TRY(rn_csv_block_finish(r, &r->kept[r->nkept], e));
		if (r->kept[r->nkept])
			kept += rn_rel_bytes(r->kept[r->nkept++]);
	}
	return 0;
}

/* ---- header ------------------------------------------------------------------ */

/* The name of column i: what --columns says, its header cell, or c0, c1, … */
static int set_name(struct rn_csv_reader *r, size_t i, const struct rn_csv_field *f,
		    struct rn_err *e)
{
	const char *given = r->opt.nnames ? r->opt.names[i] : NULL;
	char number[24];
	int n = snprintf(number, sizeof number, "c%zu", i);
	bool own = !given && !r->opt.no_header && f->len;
	const char *from = given ? given : own ? f->p : number;
	size_t len = given ? strlen(given) : own ? f->len : (size_t)n;
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
	const struct rn_csv_column *const *x = a, *const *y = b;
	int c = strcmp((*x)->name, (*y)->name);

	return c ? c : (*x > *y) - (*x < *y);
}

static int check_names(struct rn_csv_reader *r, struct rn_err *e)
{
	struct rn_csv_column **sorted;
	int rc = 0;

	RN_TRY(rn_calloc(r->ncols, sizeof(struct rn_csv_column *), "a schema", &sorted, e));
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
	if (!n && !(r->opt.no_header && r->opt.nnames))
		return rn_err_set(e, RN_EDATA, "'%s' is empty: it has no header",
				  rn_csv_scan_name(r->scan));
	if (r->opt.nnames && n && n != r->opt.nnames)
		return rn_csv_scan_bad(r->scan, 0, e, "%zu field%s where --columns names %zu", n,
				       n == 1 ? "" : "s", r->opt.nnames);
	n = r->opt.nnames ? r->opt.nnames : n;
	RN_TRY(rn_grow(&r->cols, &r->cols_cap, n, sizeof *r->cols, "a schema", e));
	memset(r->cols, 0, n * sizeof *r->cols);
	r->ncols = n;
	for (size_t i = 0; i < n; i++) {
		r->cols[i].type = RN_CSV_UNKNOWN;
		RN_TRY(set_name(r, i, f ? &f[i] : NULL, e));
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
		if (i == r->ncols && r->json) {
			RN_TRY(rn_csv_scan_add_key(r->scan, r->opt.type_names[t], e));
			RN_TRY(add_columns(r, e));
		}
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

bool rn_csv_delimiter(const char *text, char *out)
{
	if (!strcmp(text, "\\t"))
		text = "\t";
	*out = text[0];
	return text[0] > 0 && !text[1] && !strchr("\"\r\n", text[0]);
}

/* ---- interface --------------------------------------------------------------- */

/* Columns and first types of JSON lines. */
static int guess_json(struct rn_csv_reader *r, uint64_t rows, struct rn_err *e)
{
	RN_TRY(guess_types(r, rows, e));
	RN_TRY(set_given(r, e));
	set_capacity(r);
	return 0;
}

static int guess_separated(struct rn_csv_reader *r, uint64_t rows, struct rn_err *e)
{
	RN_TRY(read_names(r, e));
	RN_TRY(set_given(r, e));
	set_capacity(r);
	return all_given(r) ? 0 : guess_types(r, rows, e);
}

static int find_schema(struct rn_csv_reader *r, struct rn_err *e)
{
	bool again = rn_csv_scan_can_rewind(r->scan);
	uint64_t rows = again ? GUESS_ROWS : RN_CSV_SAMPLE, limit = MAX_KEPT;

	RN_TRY(r->json ? guess_json(r, rows, e) : guess_separated(r, rows, e));
	r->counting = true;
	if (r->ctx && r->ctx->mem_limit && r->ctx->mem_limit / 4 < limit)
		limit = r->ctx->mem_limit / 4;
	/* All keys of JSON lines are known only when all rows were seen. */
	if (again && (r->json || !all_given(r)))
		RN_TRY(find_types(r, limit, e));
	if (!r->ncols)
		return rn_err_set(e, RN_EDATA, "'%s' is empty: it has no keys",
				  rn_csv_scan_name(r->scan));
	for (size_t i = 0; i < r->ncols; i++)
		RN_TRY(rn_schema_add_col(&r->schema, r->cols[i].name, NULL,
					 rn_csv_final_type(&r->cols[i]), e));
	return 0;
}

static int copy_nulls(struct rn_csv_reader *r, struct rn_err *e)
{
	RN_TRY(rn_calloc(r->opt.nnull, sizeof *r->null, "texts of NULL", &r->null, e));
	for (; r->nnull < r->opt.nnull; r->nnull++) {
		const char *text = r->opt.null[r->nnull];

		r->null[r->nnull].len = strlen(text);
		r->null[r->nnull].text = strdup(text);
		if (!r->null[r->nnull].text)
			return rn_err_nomem(e, strlen(text) + 1, "a text of NULL");
	}
	return 0;
}

int rn_csv_open(const struct rn_ctx *c, struct rn_io *io, const struct rn_csv_opt *opt,
		struct rn_csv_reader **out, struct rn_err *e)
{
	struct rn_csv_scan_opt scan = { .comment = opt->comment, .json = opt->kind == RN_TEXT_JSONL };
	struct rn_csv_reader *r;
	int rc;

	rc = rn_calloc(1, sizeof *r, "a text reader", &r, e);
	if (rc) {
		io->ops->abort(io);
		return rc;
	}
	scan.delimiter = opt->delimiter ? opt->delimiter : opt->kind == RN_TEXT_TSV ? '\t' : ',';
	r->ctx = c;
	r->opt = *opt;
	r->json = scan.json;
	rc = rn_csv_scan_open(io, &scan, &r->scan, e);
	if (!rc)
		rc = copy_nulls(r, e);
	if (!rc)
		rc = find_schema(r, e);
	/* These are the caller's, and were used. */
	r->opt.names = r->opt.null = r->opt.type_names = NULL;
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

bool rn_csv_untyped(const struct rn_csv_reader *r, size_t i)
{
	return r->cols[i].type == RN_CSV_UNKNOWN;
}

int rn_csv_block(struct rn_csv_reader *r, struct rn_rel **out, struct rn_err *e)
{
	const struct rn_csv_field *f;
	bool misfit;
	size_t n;

	*out = NULL;
	if (r->next_kept < r->nkept) {
		*out = r->kept[r->next_kept++];
		return 0;
	}
	if (!r->ended) {
		RN_TRY(fill_block(r, false, &f, &n, &misfit, e));
		RN_TRY(rn_csv_block_finish(r, out, e));
	}
	if (*out)
		return 0;
	RN_TRY(tell_rejects(r, e));
	forget_rejects(r); /* told once */
	return 0;
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
	rn_csv_block_drop(r);
	forget_rejects(r);
	for (size_t i = 0; i < r->nnull; i++)
		free(r->null[i].text);
	free(r->null);
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
