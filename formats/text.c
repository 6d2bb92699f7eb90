/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows as CSV, TSV and JSON lines (csv.h).  JSON knows no infinities and no NaN:
 * they are null there; bytes that are not UTF-8 become U+FFFD.
 */
#include "csv.h"

#include "../lib/base/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FLUSH = 256 << 10 };

/* Output that is checked once per row: an allocation that failed is kept. */
struct text {
	struct rn_io *io;
	const struct rn_schema *schema;
	struct rn_text_opt opt;
	struct rn_str out;
	struct rn_tensor **parts; /* flat; none when there are no rows to write */
	size_t nparts;
};

static char delimiter(const struct text *t)
{
	if (t->opt.delimiter)
		return t->opt.delimiter;
	return t->opt.kind == RN_TEXT_TSV ? '\t' : ',';
}

static int flush_text(struct text *t, struct rn_err *e)
{
	RN_TRY(rn_str_check(&t->out, e));
	if (t->out.len)
		RN_TRY(t->io->ops->write(t->io, t->out.s, t->out.len, e));
	rn_str_clear(&t->out);
	return 0;
}

/* ---- separated --------------------------------------------------------------- */

static bool needs_quotes(const char *s, size_t n, char delim)
{
	for (size_t i = 0; i < n; i++)
		if (s[i] == delim || s[i] == '"' || s[i] == '\n' || s[i] == '\r')
			return true;
	/* Without quotes it would be NULL, or a byte order mark where it comes first. */
	return !n || (n >= 3 && memcmp(s, "\xEF\xBB\xBF", 3) == 0);
}

static void add_quoted(struct text *t, const char *s, size_t n)
{
	const char *quote;

	if (!needs_quotes(s, n, delimiter(t))) {
		rn_str_addn(&t->out, s, n);
		return;
	}
	rn_str_addc(&t->out, '"');
	while (n && (quote = memchr(s, '"', n))) {
		size_t k = (size_t)(quote - s) + 1;

		rn_str_addn(&t->out, s, k);
		rn_str_addc(&t->out, '"');
		s += k;
		n -= k;
	}
	rn_str_addn(&t->out, s, n);
	rn_str_addc(&t->out, '"');
}

static void add_value(struct text *t, const struct rn_column *c, uint64_t i)
{
	if (rn_column_is_null(c, i))
		return;
	if (c->type == RN_STRING)
		add_quoted(t, c->bytes + c->off[i], c->off[i + 1] - c->off[i]);
	else
		rn_column_print(c, i, &t->out);
}

static void add_dense(struct text *t, const struct rn_tensor *z, uint64_t i, bool *first)
{
	uint32_t width = rn_shape_width(&z->shape);

	for (uint32_t j = 0; j < width; j++) {
		if (!*first)
			rn_str_addc(&t->out, delimiter(t));
		*first = false;
		rn_float32_print(z->data[i * width + j], &t->out);
	}
}

static void add_sparse(struct text *t, const struct rn_tensor *z, uint64_t i)
{
	for (uint64_t j = z->ptr[i]; j < z->ptr[i + 1]; j++) {
		if (j > z->ptr[i])
			rn_str_addc(&t->out, ' ');
		rn_int64_print(z->col[j], &t->out);
		rn_str_addc(&t->out, ':');
		rn_float32_print(z->data[j], &t->out);
	}
}

static void add_row(struct text *t, const struct rn_rel *r, uint64_t i)
{
	bool first = true;

	for (size_t c = 0; c < r->schema.ncols; c++) {
		if (!first)
			rn_str_addc(&t->out, delimiter(t));
		first = false;
		add_value(t, r->cols[c], i);
	}
	for (size_t p = 0; p < t->nparts; p++) {
		if (!t->parts[p]->sparse) {
			add_dense(t, t->parts[p], i, &first);
			continue;
		}
		if (!first)
			rn_str_addc(&t->out, delimiter(t));
		first = false;
		add_sparse(t, t->parts[p], i);
	}
	rn_str_addc(&t->out, '\n');
}

/* Column i's name: rn_schema_col_name, which looks at all columns, only where it must. */
static void col_name(const struct rn_schema *s, size_t i, struct rn_str *name)
{
	rn_str_clear(name);
	if (s->cols[i].qual)
		rn_schema_col_name(s, i, name);
	else
		rn_str_add(name, s->cols[i].name);
}

static void add_part_header(struct text *t, const struct rn_part_info *p, bool *first)
{
	uint32_t width = p->sparse ? 1 : rn_shape_width(&p->shape);
	struct rn_str name = RN_STR_INIT;

	for (uint32_t j = 0; j < width; j++) {
		rn_str_clear(&name);
		rn_str_add(&name, p->name);
		if (width > 1)
			rn_str_addf(&name, "%u", j);
		if (!*first)
			rn_str_addc(&t->out, delimiter(t));
		*first = false;
		add_quoted(t, name.s, name.len);
	}
	t->out.failed |= name.failed;
	rn_str_fini(&name);
}

int rn_text_write_header(struct rn_io *io, const struct rn_schema *s,
			 const struct rn_text_opt *opt, struct rn_err *e)
{
	struct text t = { .io = io, .schema = s, .opt = *opt, .out = RN_STR_INIT };
	struct rn_str name = RN_STR_INIT;
	bool first = true;
	int rc;

	if (opt->no_header || opt->kind == RN_TEXT_JSONL)
		return 0;
	for (size_t i = 0; i < s->ncols; i++) {
		col_name(s, i, &name);
		if (!first)
			rn_str_addc(&t.out, delimiter(&t));
		first = false;
		add_quoted(&t, name.s, name.len);
	}
	for (size_t i = 0; !opt->no_embedding && i < s->nparts; i++)
		add_part_header(&t, &s->parts[i], &first);
	rn_str_addc(&t.out, '\n');
	t.out.failed |= name.failed;
	rc = flush_text(&t, e);
	rn_str_fini(&name);
	rn_str_fini(&t.out);
	return rc;
}

/* ---- JSON lines --------------------------------------------------------------- */

static void add_json_string(struct rn_str *out, const char *s, size_t n)
{
	size_t valid = rn_utf8_prefix(s, n);

	rn_str_addc(out, '"');
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];

		if (i == valid) {
			rn_str_add(out, "\xEF\xBF\xBD");
			valid = i + 1 + rn_utf8_prefix(s + i + 1, n - i - 1);
		} else if (c == '"' || c == '\\') {
			rn_str_addc(out, '\\');
			rn_str_addc(out, (char)c);
		} else if (c < 0x20) {
			rn_str_addf(out, "\\u%04x", c);
		} else {
			rn_str_addc(out, (char)c);
		}
	}
	rn_str_addc(out, '"');
}

static void add_json_float(struct rn_str *out, float v)
{
	if (isfinite(v))
		rn_float32_print(v, out);
	else
		rn_str_add(out, "null");
}

static void add_json_value(struct rn_str *out, const struct rn_column *c, uint64_t i)
{
	bool no_number = c->type == RN_FLOAT64 && !isfinite(c->f64[i]);

	if (rn_column_is_null(c, i) || no_number) {
		rn_str_add(out, "null");
	} else if (c->type == RN_STRING) {
		add_json_string(out, c->bytes + c->off[i], c->off[i + 1] - c->off[i]);
	} else if (c->type == RN_TIMESTAMP) {
		rn_str_addc(out, '"');
		rn_column_print(c, i, out);
		rn_str_addc(out, '"');
	} else {
		rn_column_print(c, i, out);
	}
}

/* Nested arrays by the dimensions from `axis` on; returns what follows v. */
static const float *add_json_dense(struct rn_str *out, const struct rn_shape *shape,
				   uint32_t axis, const float *v)
{
	rn_str_addc(out, '[');
	for (uint32_t j = 0; j < shape->dim[axis]; j++) {
		rn_str_add(out, j ? ", " : "");
		if (axis + 1 < shape->rank)
			v = add_json_dense(out, shape, axis + 1, v);
		else
			add_json_float(out, *v++);
	}
	rn_str_addc(out, ']');
	return v;
}

static void add_json_sparse(struct rn_str *out, const struct rn_tensor *z, uint64_t i)
{
	rn_str_addc(out, '{');
	for (uint64_t j = z->ptr[i]; j < z->ptr[i + 1]; j++) {
		rn_str_add(out, j > z->ptr[i] ? ", \"" : "\"");
		rn_int64_print(z->col[j], out);
		rn_str_add(out, "\": ");
		add_json_float(out, z->data[j]);
	}
	rn_str_addc(out, '}');
}

/* keys: the members' names, as ", \"NAME\": " one after another; ends: where each ends. */
static void add_json_row(struct text *t, const struct rn_rel *r, uint64_t i,
			 const struct rn_str *keys, const size_t *ends)
{
	size_t ncols = r->schema.ncols, from = 0;

	rn_str_addc(&t->out, '{');
	for (size_t m = 0; m < ncols + t->nparts; m++) {
		size_t skip = m ? 0 : 2; /* no comma before the first */

		rn_str_addn(&t->out, keys->s + from + skip, ends[m] - from - skip);
		from = ends[m];
		if (m < ncols) {
			add_json_value(&t->out, r->cols[m], i);
		} else {
			const struct rn_tensor *z = t->parts[m - ncols];

			if (z->sparse)
				add_json_sparse(&t->out, z, i);
			else
				add_json_dense(&t->out, &z->shape, 0,
					       z->data + i * rn_shape_width(&z->shape));
		}
	}
	rn_str_add(&t->out, "}\n");
}

static int json_keys(const struct text *t, struct rn_str *keys, size_t **ends, struct rn_err *e)
{
	const struct rn_schema *s = t->schema;
	struct rn_str name = RN_STR_INIT;

	RN_TRY(rn_calloc(s->ncols + t->nparts, sizeof **ends, "column names", ends, e));
	for (size_t m = 0; m < s->ncols + t->nparts; m++) {
		if (m < s->ncols) {
			col_name(s, m, &name);
		} else {
			rn_str_clear(&name);
			rn_str_add(&name, s->parts[m - s->ncols].name);
		}
		rn_str_add(keys, ", ");
		add_json_string(keys, name.s, name.len);
		rn_str_add(keys, ": ");
		(*ends)[m] = keys->len;
	}
	keys->failed |= name.failed;
	rn_str_fini(&name);
	return rn_str_check(keys, e);
}

/* ---- rows -------------------------------------------------------------------- */

static int write_json(struct text *t, const struct rn_rel *r, struct rn_err *e)
{
	struct rn_str keys = RN_STR_INIT;
	size_t *ends = NULL;
	int rc;

	RN_GOTO(out, json_keys(t, &keys, &ends, e));
	for (uint64_t i = 0; i < r->rows; i++) {
		add_json_row(t, r, i, &keys, ends);
		if (t->out.len >= FLUSH || t->out.failed)
			RN_GOTO(out, flush_text(t, e));
	}
	rc = flush_text(t, e);
out:
	rn_str_fini(&keys);
	free(ends);
	return rc;
}

static int write_separated(struct text *t, const struct rn_rel *r, struct rn_err *e)
{
	for (uint64_t i = 0; i < r->rows; i++) {
		add_row(t, r, i);
		if (t->out.len >= FLUSH || t->out.failed)
			RN_TRY(flush_text(t, e));
	}
	return flush_text(t, e);
}

int rn_text_write_rows(struct rn_io *io, const struct rn_rel *r, const struct rn_text_opt *opt,
		       struct rn_err *e)
{
	struct text t = { .io = io, .schema = &r->schema, .opt = *opt, .out = RN_STR_INIT };
	size_t nparts = opt->no_embedding ? 0 : r->schema.nparts;
	int rc;

	RN_TRY(rn_calloc(nparts, sizeof(struct rn_tensor *), "parts", &t.parts, e));
	for (; t.nparts < nparts; t.nparts++)
		RN_GOTO(out, rn_rel_flat_part(r, t.nparts, &t.parts[t.nparts], e));
	rc = opt->kind == RN_TEXT_JSONL ? write_json(&t, r, e) : write_separated(&t, r, e);
out:
	while (t.nparts)
		rn_tensor_unref(t.parts[--t.nparts]);
	free(t.parts);
	rn_str_fini(&t.out);
	return rc;
}
