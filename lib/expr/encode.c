/* SPDX-License-Identifier: Apache-2.0
 *
 * Encoders on rows: widths and types, then values.  Each encoder puts the cells of a
 * row that are not 0 into a list, which becomes a row of a dense block or of a sparse
 * one.  A category has no values here but codes: its vectors are learned.
 */
#include "content.h"
#include "encode_impl.h"

#include "../base/team.h"
#include "../rel/key.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WIDTH = 1 << 28 };

/* ---- cells -------------------------------------------------------------------------------- */

int rn_enc_put(struct rn_enc_cells *c, uint32_t col, double val, struct rn_err *e)
{
	RN_TRY(rn_grow(&c->col, &c->cap, c->n + 1, sizeof *c->col, "an encoding", e));
	RN_TRY(rn_grow(&c->val, &c->cap_val, c->n + 1, sizeof *c->val, "an encoding", e));
	c->col[c->n] = col;
	c->val[c->n++] = (float)val;
	return 0;
}

void rn_enc_cells_fini(struct rn_enc_cells *c)
{
	free(c->col);
	free(c->val);
}

/* ---- values of columns -------------------------------------------------------------------- */

static double number_at(const struct rn_column *c, uint64_t i)
{
	switch (c->type) {
	case RN_FLOAT64:
		return c->f64[i];
	case RN_BOOL:
		return c->b[i];
	case RN_TIMESTAMP:
		return (double)c->i64[i] * 1e-6;
	default:
		return (double)c->i64[i];
	}
}

bool rn_enc_number(const struct rn_enc_number *x, uint64_t row, double *out)
{
	if (rn_column_is_null(x->col, row) || (x->ref && rn_column_is_null(x->ref, row)))
		return false;
	if (x->ref)
		*out = ((double)x->ref->i64[row] - (double)x->col->i64[row]) * 1e-6;
	else
		*out = number_at(x->col, row);
	if (x->en->log)
		*out = copysign(log1p(fabs(*out)), *out);
	return true;
}

uint32_t rn_enc_code(const struct rn_rel *table, const struct rn_column *c, uint64_t row)
{
	const struct rn_column *v = table->cols[0];
	uint64_t lo = 0, hi = table->rows;

	if (rn_column_is_null(c, row))
		return 0;
	while (lo < hi) {
		uint64_t mid = (lo + hi) / 2;
		int d = rn_column_compare(v, mid, c, row);

		if (!d)
			return (uint32_t)mid + 1;
		if (d < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return 0;
}

/* ---- inference ---------------------------------------------------------------------------- */

/* 0: not known yet. */
static uint64_t width_of(const struct rn_encoder *en, const struct rn_rel *table)
{
	switch (en->kind) {
	case RN_ENC_NUMERIC:
	case RN_ENC_TIME:
	case RN_ENC_SINCE:
		return en->null ? 2 : 1;
	case RN_ENC_ONEHOT:
		return table ? table->rows + 1 : RN_DIM_UNKNOWN;
	case RN_ENC_INDEX:
	case RN_ENC_CATEGORY:
	case RN_ENC_TEXT:
		return en->n;
	case RN_ENC_CYCLIC:
		return en->period > 0 ? 2 : 2 * (unsigned)__builtin_popcount(en->parts);
	default:
		return 1;
	}
}

static bool is_sparse_kind(const struct rn_encoder *en)
{
	return en->kind == RN_ENC_INDEX || en->kind == RN_ENC_ONEHOT || en->kind == RN_ENC_TEXT;
}

/* What a column must be, or NULL where it is that. */
static const char *wanted(const struct rn_encoder *en, enum rn_type t)
{
	bool number = t == RN_INT64 || t == RN_FLOAT64;

	switch (en->kind) {
	case RN_ENC_RAW:
		return t != RN_STRING ? NULL : "numbers";
	case RN_ENC_INDEX:
		return t == RN_INT64 ? NULL : "an int64";
	case RN_ENC_NUMERIC:
		return number || t == RN_BOOL ? NULL : "numbers (time(col) is for timestamps, "
						       "onehot(col) for strings)";
	case RN_ENC_TEXT:
		return t == RN_STRING ? NULL : "strings";
	case RN_ENC_CYCLIC:
		if (en->period > 0)
			return number ? NULL : "numbers where a period is given";
		return t == RN_TIMESTAMP ? NULL : "timestamps (cyclic(col, period=P) is for "
						  "numbers)";
	case RN_ENC_TIME:
	case RN_ENC_SINCE:
		return t == RN_TIMESTAMP ? NULL : "timestamps";
	default:
		return NULL;
	}
}

static int check_column(const struct rn_encoder *en, const char *name, const struct rn_rel *table,
			const struct rn_schema *s, struct rn_err *e)
{
	const char *want;
	enum rn_type t;
	size_t at;

	RN_TRY(rn_schema_find(s, name, &at, e));
	t = s->cols[at].type;
	want = wanted(en, t);
	if (want)
		return rn_err_set(e, RN_EUSAGE, "%s wants %s, and column '%s' is %s",
				  rn_encoder_kind(en), want, name, rn_type_name(t));
	if (table && (en->kind == RN_ENC_ONEHOT || en->kind == RN_ENC_CATEGORY) &&
	    rn_key_types_meet(t, name, table->cols[0]->type, name, NULL))
		return rn_err_set(e, RN_EUSAGE, "column '%s' is %s here and was %s in training",
				  name, rn_type_name(t), rn_type_name(table->cols[0]->type));
	return 0;
}

int rn_encoders_infer(const struct rn_encoders *es, const struct rn_fitted *fitted,
		      const struct rn_schema *s, struct rn_einfo *out, struct rn_err *e)
{
	bool sparse = false, learned = false, known = true;
	uint64_t width = 0;

	if (fitted && fitted->n != es->n)
		return rn_err_set(e, RN_EBUG, "%zu encoders and %zu fitted tables", es->n,
				  fitted->n);
	for (size_t i = 0; i < es->n; i++) {
		const struct rn_encoder *en = &es->at[i];
		const struct rn_rel *table = fitted ? fitted->tables[i] : NULL;
		uint64_t w = width_of(en, table);

		RN_TRY(check_column(en, en->col, table, s, e));
		if (en->ref)
			RN_TRY(check_column(en, en->ref, NULL, s, e));
		known = known && w != RN_DIM_UNKNOWN;
		width += w;
		sparse = sparse || is_sparse_kind(en);
		learned = learned || en->kind == RN_ENC_CATEGORY;
	}
	if (width > MAX_WIDTH)
		return rn_err_set(e, RN_EUSAGE,
				  "the encoders are %" PRIu64 " wide together; the limit is %d "
				  "(onehot takes min=K and top=N)", width, MAX_WIDTH);
	*out = (struct rn_einfo){ .sparse = sparse && !learned };
	out->shape.rank = 1;
	out->shape.dim[0] = known ? (uint32_t)width : RN_DIM_UNKNOWN;
	return 0;
}

/* ---- one encoder on rows ------------------------------------------------------------------ */

struct source {
	struct rn_enc_number x;
	const struct rn_rel *table;
	uint32_t from, width; /* in its block */
	double center, scale;
	struct rn_enc_text text; /* of a piece, see below */
	double *idf;
	struct rn_column *part[RN_NPARTS], *year; /* but the hour */
	uint64_t unknown; /* values that the vocabulary lacks */
};

/* A part of a timestamp as the content language has it. */
static int time_part(struct rn_column *c, const char *name, struct rn_column **out,
		     struct rn_err *e)
{
	struct rn_cexpr *x = NULL;
	struct rn_rel *r;
	char text[32];
	int rc;

	snprintf(text, sizeof text, "%s(t)", name);
	RN_TRY(rn_rel_new(NULL, c->rows, &r, e));
	rc = rn_rel_add_col(r, "t", NULL, rn_column_ref(c), e);
	if (!rc)
		rc = rn_cexpr_parse(text, &r->schema, &x, e);
	if (!rc)
		rc = rn_cexpr_eval(x, r, out, e);
	rn_cexpr_free(x);
	rn_rel_unref(r);
	return rc;
}

static int open_parts(struct source *s, struct rn_column *c, struct rn_err *e)
{
	for (unsigned k = 0; k < RN_NPARTS; k++)
		if (s->x.en->parts >> k & 1 && k != RN_PART_HOUR)
			RN_TRY(time_part(c, rn_enc_parts[k], &s->part[k], e));
	if (s->x.en->parts >> RN_PART_YEARDAY & 1)
		RN_TRY(time_part(c, "year", &s->year, e));
	return 0;
}

static int open_source(struct source *s, const struct rn_encoder *en, const struct rn_rel *table,
		       const struct rn_rel *r, struct rn_err *e)
{
	size_t at;

	*s = (struct source){ .x = { .en = en }, .table = table, .scale = 1 };
	if (rn_encoder_fits(en) && !table)
		return rn_err_set(e, RN_EUSAGE,
				  "nothing was fitted for column '%s': apply the stage of a model "
				  "with --model, or train it", en->col);
	RN_TRY(rn_schema_find(&r->schema, en->col, &at, e));
	s->x.col = r->cols[at];
	s->width = (uint32_t)width_of(en, table);
	if (en->ref) {
		RN_TRY(rn_schema_find(&r->schema, en->ref, &at, e));
		s->x.ref = r->cols[at];
	}
	if (table && en->kind != RN_ENC_ONEHOT && en->kind != RN_ENC_CATEGORY && !en->idf) {
		s->center = table->cols[0]->f64[0];
		s->scale = table->cols[1]->f64[0];
	}
	if (en->idf)
		RN_TRY(rn_enc_idf(en, table, &s->idf, e));
	return en->kind == RN_ENC_CYCLIC && !(en->period > 0) ?
		       open_parts(s, (struct rn_column *)s->x.col, e) :
		       0;
}

static void close_source(struct source *s)
{
	free(s->idf);
	for (unsigned k = 0; k < RN_NPARTS; k++)
		rn_column_unref(s->part[k]);
	rn_column_unref(s->year);
}

static bool leap(int64_t y)
{
	return (y % 4 == 0 && y % 100) || y % 400 == 0;
}

/* Where in its circle part k is, 0 to 1.  The hour has its minutes as a fraction. */
static double phase(const struct source *s, unsigned k, uint64_t row)
{
	static const int64_t day = INT64_C(86400000000);
	double v = s->part[k] ? (double)s->part[k]->i64[row] : 0;
	int64_t us;

	switch ((enum rn_enc_part)k) {
	case RN_PART_HOUR:
		us = s->x.col->i64[row] % day;
		return (double)(us < 0 ? us + day : us) / (double)day;
	case RN_PART_DAY:
		return (v - 1) / 31;
	case RN_PART_WEEKDAY:
		return (v - 1) / 7;
	case RN_PART_YEARDAY:
		return (v - 1) / (leap(s->year->i64[row]) ? 366 : 365);
	case RN_PART_MONTH:
		return (v - 1) / 12;
	default:
		return v / 60;
	}
}

static int put_circle(struct rn_enc_cells *out, uint32_t at, double turn, struct rn_err *e)
{
	RN_TRY(rn_enc_put(out, at, sin(2 * M_PI * turn), e));
	return rn_enc_put(out, at + 1, cos(2 * M_PI * turn), e);
}

static int put_cyclic(const struct source *s, uint64_t row, struct rn_enc_cells *out,
		      struct rn_err *e)
{
	uint32_t at = s->from;
	double x;

	if (s->x.en->period > 0) {
		x = number_at(s->x.col, row) / s->x.en->period;
		return put_circle(out, at, x - floor(x), e);
	}
	for (unsigned k = 0; k < RN_NPARTS; k++) {
		if (!(s->x.en->parts >> k & 1))
			continue;
		RN_TRY(put_circle(out, at, phase(s, k, row), e));
		at += 2;
	}
	return 0;
}

static int put_number(const struct source *s, uint64_t row, struct rn_enc_cells *out,
		      struct rn_err *e)
{
	double x;

	if (rn_enc_number(&s->x, row, &x))
		return rn_enc_put(out, s->from, (x - s->center) / s->scale, e);
	return s->x.en->null ? rn_enc_put(out, s->from + 1, 1, e) : 0;
}

static int put_index(const struct source *s, uint64_t row, struct rn_enc_cells *out,
		     struct rn_err *e)
{
	int64_t v = s->x.col->i64[row];

	if (v < 0 || v >= s->x.en->n)
		return rn_err_set(e, RN_EDATA,
				  "column '%s', row %" PRIu64 ": %" PRId64 " is not in 0 ... %u",
				  s->x.en->col, row, v, s->x.en->n - 1);
	return rn_enc_put(out, s->from + (uint32_t)v, 1, e);
}

/* The cells of a row that are not 0. */
static int put(struct source *s, uint64_t row, struct rn_enc_cells *out, struct rn_err *e)
{
	const struct rn_column *c = s->x.col;
	bool null = rn_column_is_null(c, row);
	uint32_t code;

	switch (s->x.en->kind) {
	case RN_ENC_NULL:
		return null ? rn_enc_put(out, s->from, 1, e) : 0;
	case RN_ENC_NUMERIC:
	case RN_ENC_TIME:
	case RN_ENC_SINCE:
		return put_number(s, row, out, e);
	case RN_ENC_ONEHOT:
		code = rn_enc_code(s->table, c, row);
		s->unknown += !code && !null;
		return rn_enc_put(out, s->from + code, 1, e);
	default:
		break;
	}
	if (null)
		return s->x.en->empty ? rn_enc_text_cells(&s->text, "", 0, s->from, out, e) : 0;
	if (s->x.en->kind == RN_ENC_RAW)
		return rn_enc_put(out, s->from, number_at(c, row), e);
	if (s->x.en->kind == RN_ENC_INDEX)
		return put_index(s, row, out, e);
	if (s->x.en->kind == RN_ENC_CYCLIC)
		return put_cyclic(s, row, out, e);
	return rn_enc_text_cells(&s->text, c->bytes + c->off[row], c->off[row + 1] - c->off[row],
				 s->from, out, e);
}

/* ---- blocks ------------------------------------------------------------------------------- */

/* Rows of a block are filled piece by piece, each by one thread. */
enum { PIECE_ROWS = 1 << 14 };

struct piece {
	struct rn_enc_cells cells; /* sparse: all of its rows; dense: of one */
	struct source *s;          /* the block's encoders, with buffers and counts of its own */
	struct rn_err err;
	int rc;
};

struct filling {
	const struct source *s; /* of the block */
	uint64_t rows;
	struct rn_enc_block *b;
	struct piece *pieces;
};

static int fill_dense(struct filling *f, struct piece *p, uint64_t from, uint64_t to,
		      struct rn_err *e)
{
	float *x = (float *)f->b->val->data + from * f->b->width;

	for (uint64_t r = from; r < to; r++, x += f->b->width) {
		p->cells.n = 0;
		for (size_t i = 0; i < f->b->n; i++)
			RN_TRY(put(&p->s[i], r, &p->cells, e));
		for (size_t k = 0; k < p->cells.n; k++)
			x[p->cells.col[k]] = p->cells.val[k];
	}
	return 0;
}

/* ptr[r + 1] becomes the number of values up to row r in this piece alone: what the pieces
 * before it have is added when all are filled. */
static int fill_sparse(struct filling *f, struct piece *p, uint64_t from, uint64_t to,
		       struct rn_err *e)
{
	struct rn_enc_cells *c = &p->cells;
	uint32_t *ptr = f->b->ptr->data;

	for (uint64_t r = from; r < to; r++) {
		size_t at = c->n, k = at;

		for (size_t i = 0; i < f->b->n; i++)
			RN_TRY(put(&p->s[i], r, c, e));
		for (; at < c->n; at++) {
			if (c->val[at] == 0)
				continue;
			c->col[k] = c->col[at];
			c->val[k++] = c->val[at];
		}
		c->n = k;
		ptr[r + 1] = (uint32_t)k;
	}
	return c->n < UINT32_MAX ? 0 :
				   rn_err_set(e, RN_ENOMEM, "%zu stored values in %d rows", c->n,
					      PIECE_ROWS);
}

static int fill_codes(struct filling *f, struct piece *p, uint64_t from, uint64_t to)
{
	uint32_t *codes = f->b->codes->data;

	for (uint64_t r = from; r < to; r++) {
		codes[r] = rn_enc_code(p->s->table, p->s->x.col, r);
		p->s->unknown += !codes[r] && !rn_column_is_null(p->s->x.col, r);
	}
	return 0;
}

static int fill_rows(struct filling *f, struct piece *p, uint64_t from, struct rn_err *e)
{
	uint64_t to = f->rows - from < PIECE_ROWS ? f->rows : from + PIECE_ROWS;

	RN_TRY(rn_calloc(f->b->n, sizeof *p->s, "encoders", &p->s, e));
	for (size_t i = 0; i < f->b->n; i++) {
		p->s[i] = f->s[i];
		rn_enc_text_init(&p->s[i].text, f->s[i].x.en, f->s[i].idf);
	}
	if (f->b->codes)
		return fill_codes(f, p, from, to);
	return f->b->sparse ? fill_sparse(f, p, from, to, e) : fill_dense(f, p, from, to, e);
}

static void fill_piece(void *arg, uint32_t part)
{
	struct filling *f = arg;
	struct piece *p = &f->pieces[part];

	p->rc = fill_rows(f, p, (uint64_t)part * PIECE_ROWS, &p->err);
}

/* What a block of so many rows needs before it is filled. */
static int make_block(struct rn_enc_block *b, bool category, uint64_t rows, struct rn_err *e)
{
	size_t bytes;

	if (category)
		return rn_buf_new(rows * sizeof(uint32_t), "category codes", &b->codes, e);
	if (b->sparse)
		return rn_buf_new((rows + 1) * sizeof(uint32_t), "an encoding", &b->ptr, e);
	if (!rn_mul_size(rows, b->width, &bytes) || !rn_mul_size(bytes, sizeof(float), &bytes))
		return rn_err_nomem(e, SIZE_MAX, "an encoding");
	return rn_buf_new(bytes, "an encoding", &b->val, e);
}

/* Stored values of the pieces behind each other. */
static int join_sparse(struct filling *f, uint32_t parts, struct rn_err *e)
{
	struct rn_enc_block *b = f->b;
	uint32_t *ptr = b->ptr->data;

	for (uint32_t k = 0; k < parts; k++)
		b->nnz += f->pieces[k].cells.n;
	if (b->nnz >= UINT32_MAX)
		return rn_err_set(e, RN_ENOMEM,
				  "%" PRIu64 " stored values are too many for one relation",
				  b->nnz);
	RN_TRY(rn_buf_new_raw(b->nnz * sizeof(float), "an encoding", &b->val, e));
	RN_TRY(rn_buf_new_raw(b->nnz * sizeof(uint32_t), "an encoding", &b->col, e));
	for (uint32_t k = 0, at = 0; k < parts; k++) {
		const struct rn_enc_cells *c = &f->pieces[k].cells;
		uint64_t from = (uint64_t)k * PIECE_ROWS;

		for (uint64_t r = from; at && r < f->rows && r < from + PIECE_ROWS; r++)
			ptr[r + 1] += at;
		if (c->n) {
			memcpy((float *)b->val->data + at, c->val, c->n * sizeof *c->val);
			memcpy((uint32_t *)b->col->data + at, c->col, c->n * sizeof *c->col);
		}
		at += (uint32_t)c->n;
	}
	return 0;
}

static int fill_block(const struct rn_ctx *c, struct source *s, uint64_t rows,
		      struct rn_enc_block *b, struct rn_err *e)
{
	uint32_t parts = (uint32_t)((rows + PIECE_ROWS - 1) / PIECE_ROWS);
	struct filling f = { .s = s, .rows = rows, .b = b };
	int rc;

	RN_TRY(make_block(b, s->x.en->kind == RN_ENC_CATEGORY, rows, e));
	RN_TRY(rn_calloc(parts, sizeof *f.pieces, "an encoding", &f.pieces, e));
	rn_team_run(c->team, parts, fill_piece, &f);
	rc = 0;
	for (uint32_t k = 0; k < parts && !rc; k++) { /* the first error of all */
		rc = f.pieces[k].rc;
		if (rc && e)
			*e = f.pieces[k].err;
		for (size_t i = 0; i < b->n && !rc; i++)
			s[i].unknown += f.pieces[k].s[i].unknown;
	}
	if (!rc && b->sparse)
		rc = join_sparse(&f, parts, e);
	for (uint32_t k = 0; k < parts; k++) {
		for (size_t i = 0; f.pieces[k].s && i < b->n; i++)
			rn_enc_text_fini(&f.pieces[k].s[i].text);
		free(f.pieces[k].s);
		rn_enc_cells_fini(&f.pieces[k].cells);
	}
	free(f.pieces);
	return rc;
}

/* Which encoders stand in which block. */
static int make_blocks(const struct rn_encoders *es, struct source *s, struct rn_encoded *out,
		       struct rn_err *e)
{
	bool learned = false;

	RN_TRY(rn_calloc(es->n, sizeof *out->blocks, "an encoding", &out->blocks, e));
	for (size_t i = 0; i < es->n; i++) {
		bool category = es->at[i].kind == RN_ENC_CATEGORY;
		struct rn_enc_block *b = &out->blocks[out->n ? out->n - 1 : 0];

		if (!out->n || category || es->at[i - 1].kind == RN_ENC_CATEGORY) {
			b = &out->blocks[out->n++];
			b->first = i;
		}
		s[i].from = b->width;
		b->width += s[i].width;
		b->n++;
		b->sparse = b->sparse || is_sparse_kind(&es->at[i]);
		learned = learned || category;
	}
	for (size_t k = 0; k < out->n && learned; k++)
		out->blocks[k].sparse = false;
	return 0;
}

/* Is the column told of already, by an encoder before? */
static bool told(const struct source *s, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (s[k].unknown == s[i].unknown && !strcmp(s[k].x.en->col, s[i].x.en->col))
			return true;
	return false;
}

/* NULLs that are just 0, and values that training did not see. */
static void report(const struct rn_ctx *c, const char *stage, const struct source *s, size_t n,
		   uint64_t rows)
{
	uint64_t nulls = 0;

	for (size_t i = 0; i < n; i++) {
		const struct rn_encoder *en = s[i].x.en;

		if (en->kind == RN_ENC_RAW || en->kind == RN_ENC_INDEX)
			nulls += s[i].x.col->nulls;
		if (s[i].unknown && !told(s, i))
			rn_log(c, en->min || en->top ? RN_LOG_INFO : RN_LOG_WARN,
			       "%s: %" PRIu64 " of %" PRIu64 " rows have a value of '%s' that is not "
			       "in its vocabulary; it is coded as unknown", stage, s[i].unknown, rows,
			       en->col);
	}
	if (nulls)
		rn_log(c, RN_LOG_WARN, "%s: %" PRIu64 " NULLs are encoded as 0", stage, nulls);
}

int rn_encoders_apply(const struct rn_ctx *c, const struct rn_encoders *es,
		      const struct rn_fitted *fitted, const struct rn_rel *r, const char *stage,
		      struct rn_encoded *out, struct rn_err *e)
{
	struct source *s;
	size_t n = 0;
	int rc = 0;

	*out = (struct rn_encoded){ 0 };
	RN_TRY(rn_calloc(es->n, sizeof *s, "encoders", &s, e));
	for (; n < es->n && !rc; n++)
		rc = open_source(&s[n], &es->at[n], fitted ? fitted->tables[n] : NULL, r, e);
	if (!rc)
		rc = make_blocks(es, s, out, e);
	for (size_t k = 0; k < out->n && !rc; k++)
		rc = fill_block(c, s + out->blocks[k].first, r->rows, &out->blocks[k], e);
	if (!rc)
		report(c, stage, s, es->n, r->rows);
	for (size_t i = 0; i < n; i++)
		close_source(&s[i]);
	free(s);
	if (rc)
		rn_encoded_fini(out);
	return rc;
}

void rn_encoded_fini(struct rn_encoded *x)
{
	for (size_t k = 0; k < x->n; k++) {
		rn_buf_unref(x->blocks[k].val);
		rn_buf_unref(x->blocks[k].ptr);
		rn_buf_unref(x->blocks[k].col);
		rn_buf_unref(x->blocks[k].codes);
	}
	free(x->blocks);
	*x = (struct rn_encoded){ 0 };
}

int rn_category_keys(const struct rn_encoder *en, const struct rn_rel *table, struct rn_rel **out,
		     struct rn_err *e)
{
	struct rn_column *c;
	struct rn_rel *r;
	uint32_t *map;
	int rc;

	RN_TRY(rn_calloc(table->rows + 1, sizeof *map, "a vocabulary", &map, e));
	map[0] = RN_NO_ROW;
	for (uint32_t i = 0; i < table->rows; i++)
		map[i + 1] = i;
	rc = rn_column_gather(table->cols[0], map, table->rows + 1, &c, e);
	free(map);
	RN_TRY(rc);
	rc = rn_rel_new(NULL, c->rows, &r, e);
	if (rc) {
		rn_column_unref(c);
		return rc;
	}
	rc = rn_rel_add_col(r, en->col, NULL, c, e);
	if (rc)
		rn_rel_unref(r);
	else
		*out = r;
	return rc;
}
