/* SPDX-License-Identifier: Apache-2.0 */
#include "grid.h"

#include "term.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	SAMPLE = 1000, /* rows that say how wide a column is */
	SHOWN = 3,     /* values of an embedding */
	NARROW = 8,    /* a column is cut no shorter to make room for others */
	FLUSH = 64 << 10,
};

struct column {
	unsigned width;
	bool right; /* numbers */
	bool cut;   /* may be shown in part to make room: strings and embeddings */
	bool part;
};

struct rn_grid {
	const struct rn_schema *schema;
	struct rn_grid_opt opt;
	struct rn_term term;
	struct rn_io *io;
	struct rn_writer_stats *stats;
	struct column *cols;
	size_t ncols, shown; /* all, and those that fit */
	struct rn_rel **held; /* until widths are known */
	size_t nheld, cap;
	bool laid_out;
	uint64_t rows;
	struct rn_str cell, out;
	struct rn_tensor **parts; /* of the block at hand */
};

/* ---- cells ------------------------------------------------------------------------------ */

enum mark { TEXT, MARK }; /* MARK: no value but a sign, shown dim */

/* A string that could be taken for a mark is in quotes. */
static enum mark string_cell(const char *s, size_t n, struct rn_str *out)
{
	bool quote = !n || (n == 4 && !memcmp(s, "NULL", 4));

	rn_str_add(out, quote ? "\"" : "");
	rn_str_addn(out, s, n);
	rn_str_add(out, quote ? "\"" : "");
	return n ? TEXT : MARK;
}

static enum mark value_cell(const struct rn_column *c, uint64_t i, struct rn_str *out)
{
	if (rn_column_is_null(c, i)) {
		rn_str_add(out, "NULL");
		return MARK;
	}
	if (c->type == RN_STRING)
		return string_cell(c->bytes + c->off[i], c->off[i + 1] - c->off[i], out);
	rn_column_print(c, i, out);
	return TEXT;
}

/* [0.12 -0.5 3 … ×64], {3:1 17:0.5 … 12 of 1433} */
static void part_cell(const struct rn_tensor *z, uint64_t i, struct rn_str *out)
{
	uint32_t width = rn_shape_width(&z->shape);
	uint64_t from = z->sparse ? z->ptr[i] : i * width;
	uint64_t n = z->sparse ? z->ptr[i + 1] - from : width, shown = n > SHOWN + 1 ? SHOWN : n;

	rn_str_addc(out, z->sparse ? '{' : '[');
	for (uint64_t k = from; k < from + shown; k++) {
		rn_str_add(out, k > from ? " " : "");
		if (z->sparse)
			rn_str_addf(out, "%" PRIu32 ":", z->col[k]);
		rn_str_addf(out, "%.3g", (double)z->data[k]);
	}
	if (z->sparse) {
		rn_str_add(out, shown < n ? " … " : n ? "; " : "");
		rn_str_addf(out, "%" PRIu64 " of %" PRIu32, n, width);
	} else if (shown < n || z->shape.rank > 1) {
		rn_str_add(out, shown < n ? " … " : " ");
		for (uint32_t k = 0; k < z->shape.rank; k++)
			rn_str_addf(out, "×%" PRIu32, z->shape.dim[k]);
	}
	rn_str_addc(out, z->sparse ? '}' : ']');
}

/* Cell k of row i of a block into g->cell. */
static enum mark fill_cell(struct rn_grid *g, const struct rn_rel *r, size_t k, uint64_t i)
{
	rn_str_clear(&g->cell);
	if (!g->cols[k].part)
		return value_cell(r->cols[k], i, &g->cell);
	part_cell(g->parts[k - r->schema.ncols], i, &g->cell);
	return TEXT;
}

static void drop_parts(struct rn_grid *g)
{
	for (size_t k = 0; k < g->schema->nparts; k++) {
		rn_tensor_unref(g->parts[k]);
		g->parts[k] = NULL;
	}
}

static int take_parts(struct rn_grid *g, const struct rn_rel *r, struct rn_err *e)
{
	for (size_t k = 0; k < r->schema.nparts && !g->opt.no_embedding; k++)
		RN_TRY(rn_rel_flat_part(r, k, &g->parts[k], e));
	return 0;
}

/* ---- widths ----------------------------------------------------------------------------- */

static unsigned limit_of(const struct rn_grid *g)
{
	return g->term.width ? g->term.width : UINT_MAX;
}

static void widen(struct rn_grid *g, size_t k, const struct rn_str *text)
{
	unsigned w = rn_term_width(text->s, text->len, limit_of(g));

	if (w > limit_of(g))
		w = limit_of(g);
	if (w > g->cols[k].width)
		g->cols[k].width = w;
}

static void name_of(const struct rn_grid *g, size_t k, struct rn_str *out)
{
	rn_str_clear(out);
	if (k < g->schema->ncols)
		rn_schema_col_name(g->schema, k, out);
	else
		rn_str_add(out, g->schema->parts[k - g->schema->ncols].name);
}

static unsigned total_width(const struct rn_grid *g, size_t n)
{
	unsigned w = 0;

	for (size_t k = 0; k < n; k++)
		w = w > UINT_MAX / 2 ? w : w + g->cols[k].width + (k ? 2 : 0);
	return w;
}

/* Make the widest columns of those that may be cut narrower, then leave out the last ones. */
static void fit(struct rn_grid *g)
{
	g->shown = g->ncols;
	if (!g->term.width)
		return;
	while (total_width(g, g->ncols) > g->term.width) {
		struct column *widest = NULL;

		for (size_t k = 0; k < g->ncols; k++)
			if (g->cols[k].cut && g->cols[k].width > NARROW &&
			    (!widest || g->cols[k].width > widest->width))
				widest = &g->cols[k];
		if (!widest)
			break;
		widest->width--;
	}
	while (g->shown > 1 && total_width(g, g->shown) > g->term.width)
		g->shown--;
}

static int measure(struct rn_grid *g, struct rn_err *e)
{
	uint64_t left = SAMPLE;

	for (size_t k = 0; k < g->ncols; k++) {
		name_of(g, k, &g->cell);
		if (!g->opt.no_header)
			widen(g, k, &g->cell);
	}
	for (size_t b = 0; b < g->nheld; b++) {
		const struct rn_rel *r = g->held[b];
		uint64_t n = r->rows < left ? r->rows : left;

		RN_TRY(take_parts(g, r, e));
		for (size_t k = 0; k < g->ncols; k++)
			for (uint64_t i = 0; i < n; i++) {
				fill_cell(g, r, k, i);
				widen(g, k, &g->cell);
			}
		left -= n;
		drop_parts(g);
	}
	fit(g);
	return rn_str_check(&g->cell, e);
}

/* ---- lines ------------------------------------------------------------------------------ */

static int flush(struct rn_grid *g, struct rn_err *e)
{
	RN_TRY(rn_str_check(&g->cell, e));
	RN_TRY(rn_str_check(&g->out, e));
	if (g->out.len)
		RN_TRY(g->io->ops->write(g->io, g->out.s, g->out.len, e));
	rn_str_clear(&g->out);
	return 0;
}

/* g->cell as column k of a line; in a pipe what is too long is not cut. */
static void put_cell(struct rn_grid *g, size_t k, enum rn_term_style style)
{
	const struct column *c = &g->cols[k];
	unsigned most = g->term.width ? c->width : UINT_MAX;
	unsigned width = rn_term_width(g->cell.s, g->cell.len, most);
	unsigned pad = width < c->width ? c->width - width : 0;

	rn_str_add(&g->out, k ? "  " : "");
	if (c->right)
		rn_term_fill(&g->out, " ", pad);
	if (style != RN_TERM_PLAIN)
		rn_term_style(&g->term, style, &g->out);
	width = rn_term_put(&g->out, g->cell.s, g->cell.len, most);
	if (style != RN_TERM_PLAIN)
		rn_term_style(&g->term, RN_TERM_PLAIN, &g->out);
	if (!c->right && k + 1 < g->shown && width < c->width)
		rn_term_fill(&g->out, " ", c->width - width);
}

static void put_header(struct rn_grid *g)
{
	if (g->opt.no_header)
		return;
	for (size_t k = 0; k < g->shown; k++) {
		name_of(g, k, &g->cell);
		put_cell(g, k, RN_TERM_BOLD);
	}
	rn_str_addc(&g->out, '\n');
	rn_term_style(&g->term, RN_TERM_DIM, &g->out);
	for (size_t k = 0; k < g->shown; k++) {
		rn_str_add(&g->out, k ? "  " : "");
		rn_term_fill(&g->out, "─", g->cols[k].width);
	}
	rn_term_style(&g->term, RN_TERM_PLAIN, &g->out);
	rn_str_addc(&g->out, '\n');
}

static int put_rows(struct rn_grid *g, const struct rn_rel *r, struct rn_err *e)
{
	RN_TRY(take_parts(g, r, e));
	for (uint64_t i = 0; i < r->rows; i++) {
		for (size_t k = 0; k < g->shown; k++) {
			enum mark m = fill_cell(g, r, k, i);

			put_cell(g, k, m == MARK ? RN_TERM_DIM : RN_TERM_PLAIN);
		}
		rn_str_addc(&g->out, '\n');
		if (g->out.len >= FLUSH || g->out.failed)
			RN_TRY(flush(g, e));
	}
	drop_parts(g);
	return flush(g, e);
}

static int lay_out(struct rn_grid *g, struct rn_err *e)
{
	g->laid_out = true;
	RN_TRY(measure(g, e));
	put_header(g);
	for (size_t b = 0; b < g->nheld; b++) {
		int rc = put_rows(g, g->held[b], e);

		rn_rel_unref(g->held[b]);
		g->held[b] = NULL;
		RN_TRY(rc);
	}
	g->nheld = 0;
	return flush(g, e);
}

static int put_footer(struct rn_grid *g, struct rn_err *e)
{
	rn_term_style(&g->term, RN_TERM_DIM, &g->out);
	rn_str_addf(&g->out, "%" PRIu64 " row%s", g->rows, g->rows == 1 ? "" : "s");
	if (g->shown < g->ncols) {
		rn_str_addf(&g->out, "; not shown: ");
		for (size_t k = g->shown; k < g->ncols; k++) {
			name_of(g, k, &g->cell);
			rn_str_add(&g->out, k > g->shown ? ", " : "");
			rn_term_put(&g->out, g->cell.s, g->cell.len, g->term.width);
		}
	}
	rn_term_style(&g->term, RN_TERM_PLAIN, &g->out);
	rn_str_addc(&g->out, '\n');
	return flush(g, e);
}

/* ---- open, rows, close -------------------------------------------------------------------- */

int rn_grid_open(const struct rn_cli *c, const struct rn_schema *schema,
		 const struct rn_grid_opt *opt, struct rn_writer_stats *stats,
		 struct rn_grid **out, struct rn_err *e)
{
	struct rn_grid *g;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *g, "a table", &g, e));
	g->schema = schema;
	g->stats = stats;
	g->opt = *opt;
	g->cell = g->out = RN_STR_INIT;
	g->ncols = schema->ncols + (opt->no_embedding ? 0 : schema->nparts);
	if (!strcmp(c->output, "-"))
		g->term = rn_term_of(STDOUT_FILENO);
	rc = rn_calloc(g->ncols, sizeof *g->cols, "columns", &g->cols, e);
	if (!rc)
		rc = rn_calloc(schema->nparts, sizeof *g->parts, "parts", &g->parts, e);
	if (!rc)
		rc = rn_io_open_write(c->output, &g->io, e);
	if (!rc)
		g->io->count = &stats->written_bytes;
	for (size_t k = 0; !rc && k < g->ncols; k++) {
		g->cols[k].part = k >= schema->ncols;
		g->cols[k].cut = g->cols[k].part || schema->cols[k].type == RN_STRING;
		g->cols[k].right = !g->cols[k].cut && (schema->cols[k].type == RN_INT64 ||
						       schema->cols[k].type == RN_FLOAT64);
	}
	*out = g;
	return rc ? rn_grid_close(g, rc, e) : 0;
}

int rn_grid_rows(struct rn_grid *g, const struct rn_rel *r, struct rn_err *e)
{
	g->rows += r->rows;
	if (g->laid_out)
		return put_rows(g, r, e);
	RN_TRY(rn_grow(&g->held, &g->cap, g->nheld + 1, sizeof *g->held, "rows", e));
	RN_TRY(rn_rel_slice(r, 0, r->rows, &g->held[g->nheld], e));
	g->nheld++;
	return g->rows >= SAMPLE ? lay_out(g, e) : 0;
}

int rn_grid_close(struct rn_grid *g, int rc, struct rn_err *e)
{
	if (!rc && !g->laid_out)
		rc = lay_out(g, e);
	if (!rc)
		rc = put_footer(g, e);
	for (size_t b = 0; b < g->nheld; b++)
		rn_rel_unref(g->held[b]);
	if (g->parts)
		drop_parts(g);
	if (rc && g->io)
		g->io->ops->abort(g->io);
	else if (g->io)
		rc = g->io->ops->close(g->io, e);
	g->stats->raw_bytes = g->stats->written_bytes;
	rn_str_fini(&g->cell);
	rn_str_fini(&g->out);
	free(g->held);
	free(g->parts);
	free(g->cols);
	free(g);
	return rc;
}

/* ---- from the operand ------------------------------------------------------------------------ */

static int pump(struct rn_rows *r, struct rn_grid *g, uint64_t left, struct rn_err *e)
{
	struct rn_rel *b;
	int rc = 0;

	while (!rc) {
		RN_TRY(rn_rows_block_of(r, &left, &b, e));
		if (!b)
			return 0;
		rc = rn_grid_rows(g, b, e);
		rn_rel_unref(b);
	}
	return rc;
}

int rn_grid_pump(const struct rn_cli *c, const struct rn_grid_opt *opt, uint64_t limit,
		 struct rn_err *e)
{
	struct rn_pipe_stats stats = { 0 };
	double start = rn_now();
	struct rn_grid *g;
	struct rn_rows r;
	int rc;

	RN_TRY(rn_rows_open_first(&c->ctx, &c->in[0], limit, &r, e));
	rc = rn_grid_open(c, r.schema, opt, &stats.out, &g, e);
	if (!rc) {
		rc = pump(&r, g, limit, e);
		stats.rows_in = stats.rows_out = g->rows;
		rc = rn_grid_close(g, rc, e);
	}
	rn_rows_close(&r);
	stats.seconds = rn_now() - start;
	if (!rc)
		rn_cli_print_stats(c, &stats);
	return rc;
}
