/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows as CSV, TSV and JSON lines (csv.h).  JSON knows no infinities and no NaN:
 * they are null there; bytes that are not UTF-8 become U+FFFD.
 */
#include "csv.h"

#include "../lib/base/team.h"
#include "../lib/base/utf8.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_COLUMNS = 1 << 20 }; /* of a text; more is a mistake, and would take long to name */

/* Rows become text in pieces whose longest possible text is known before, so that nothing
 * is checked while it is made.  A batch of pieces is made by all threads; whoever has
 * made the next one in order writes it, and what else is ready behind it. */
enum {
	PIECE = 256 << 10, /* bytes of text that a piece may have, unless a row is longer */
	BATCH = 8 << 20,   /* … that the pieces of a batch may have */
	PIECES = 64,
	SLACK = 64,    /* digits and short strings are copied as words */
	NUMBER = 24,   /* the longest int64, float64 and float32 */
};

struct text {
	struct rn_io *io;
	struct rn_text_opt opt;
	const struct rn_rel *rel;
	struct rn_tensor **parts; /* flat; none when there are no rows to write */
	size_t nparts;
	struct rn_str keys; /* JSON: the members' names, as ", \"NAME\": " one after another; */
	size_t *ends;       /* where each ends */
	char delimiter;
	bool inside;        /* it may stand in a number, a time or a sparse row: quote_plain */
	uint64_t fixed;     /* bytes of a row at most, without strings and sparse values */
};

static char delimiter(const struct rn_text_opt *o)
{
	if (o->delimiter)
		return o->delimiter;
	return o->kind == RN_TEXT_TSV ? '\t' : ',';
}

static char *put(char *p, const char *s, size_t n)
{
	memcpy(p, s, n);
	return p + n;
}

/* ---- strings, eight bytes at a time -------------------------------------------------- */

#define EACH(byte) (0x0101010101010101u * (unsigned char)(byte))

/* Is there a byte 0 in x? */
static bool has_zero(uint64_t x)
{
	return (x - EACH(1)) & ~x & EACH(0x80);
}

/* The n < 8 bytes at s, and zeros. */
static uint64_t load_tail(const char *s, size_t n, const char *end)
{
	uint64_t x = 0;

	if ((size_t)(end - s) < sizeof x) {
		memcpy(&x, s, n);
		return x;
	}
	memcpy(&x, s, sizeof x);
	return n ? x << (64 - 8 * n) >> (64 - 8 * n) : 0;
}

/* Does a byte of x want quotes?  Zeros do not. */
static bool wants_quotes(uint64_t x, uint64_t delim)
{
	return has_zero(x ^ delim) || has_zero(x ^ EACH('"')) || has_zero(x ^ EACH('\n')) ||
	       has_zero(x ^ EACH('\r'));
}

static char *put_in_quotes(char *p, const char *s, size_t n)
{
	*p++ = '"';
	for (size_t i = 0; i < n; i++) {
		*p++ = s[i];
		if (s[i] == '"')
			*p++ = '"';
	}
	*p++ = '"';
	return p;
}

/* A field.  Up to `end` may be read.  Without quotes an empty one would be NULL, and a
 * byte order mark would vanish where it comes first. */
static char *put_field(char *p, const char *s, size_t n, const char *end, char delim)
{
	char *start = p;
	const char *from = s;
	size_t left = n;
	uint64_t x;

	if (!n || (n >= 3 && !memcmp(s, "\xEF\xBB\xBF", 3)))
		return put_in_quotes(p, s, n);
	for (; left >= sizeof x; left -= sizeof x, p += sizeof x, from += sizeof x) {
		memcpy(&x, from, sizeof x);
		if (wants_quotes(x, EACH(delim)))
			return put_in_quotes(start, s, n);
		memcpy(p, &x, sizeof x);
	}
	x = load_tail(from, left, end);
	if (wants_quotes(x, EACH(delim)))
		return put_in_quotes(start, s, n);
	memcpy(p, &x, sizeof x);
	return p + left;
}

/* Is a byte of x below 0x20, above 0x7F, a quote or a backslash? */
static bool wants_escape(uint64_t x)
{
	return ((x - EACH(0x20)) & EACH(0x80)) || (x & EACH(0x80)) || has_zero(x ^ EACH('"')) ||
	       has_zero(x ^ EACH('\\'));
}

static char *put_escaped(char *p, const char *s, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	size_t valid = rn_utf8_prefix(s, n);

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];

		if (i == valid) {
			p = put(p, "\xEF\xBF\xBD", 3);
			valid = i + 1 + rn_utf8_prefix(s + i + 1, n - i - 1);
		} else if (c == '"' || c == '\\') {
			*p++ = '\\';
			*p++ = (char)c;
		} else if (c < 0x20) {
			p = put(p, "\\u00", 4);
			*p++ = hex[c >> 4];
			*p++ = hex[c & 15];
		} else {
			*p++ = (char)c;
		}
	}
	return p;
}

static char *put_json_string(char *p, const char *s, size_t n, const char *end)
{
	uint64_t x;

	*p++ = '"';
	for (; n >= sizeof x; n -= sizeof x, p += sizeof x, s += sizeof x) {
		memcpy(&x, s, sizeof x);
		if (wants_escape(x))
			break;
		memcpy(p, &x, sizeof x);
	}
	if (n < sizeof x) {
		x = load_tail(s, n, end);
		memcpy(p, &x, sizeof x);
		if (!wants_escape(n ? x | EACH(' ') << 8 * n : EACH(' '))) {
			p[n] = '"';
			return p + n + 1;
		}
	}
	p = put_escaped(p, s, n); /* what came before is whole characters of ASCII */
	*p++ = '"';
	return p;
}

/* ---- values that are no strings ------------------------------------------------------- */

static char *put_plain(char *p, const struct rn_column *c, uint64_t i)
{
	switch (c->type) {
	case RN_INT64:
		return p + rn_int64_format(c->i64[i], p);
	case RN_FLOAT64:
		return p + rn_float64_format(c->f64[i], p);
	case RN_BOOL:
		return c->b[i] ? put(p, "true", 4) : put(p, "false", 5);
	case RN_TIMESTAMP:
		return p + rn_timestamp_format(c->i64[i], p);
	default:
		return p;
	}
}

/* The longest text of a value; of a string, without its bytes. */
static uint64_t longest(enum rn_type t)
{
	return t == RN_TIMESTAMP ? RN_NUM_MAX : NUMBER;
}

static const char *string_end(const struct rn_column *c)
{
	return c->bytes + c->off[c->rows];
}

/* ---- separated ------------------------------------------------------------------------ */

/* A field, not of a string, that was written from `from` to p: quotes around it where the
 * delimiter stands in it.  It has no quotes of its own. */
static char *quote_plain(char *from, char *p, char delim)
{
	size_t n = (size_t)(p - from);

	if (!memchr(from, delim, n))
		return p;
	memmove(from + 1, from, n);
	*from = p[1] = '"';
	return p + 2;
}

static char *put_value(char *p, const struct rn_column *c, uint64_t i, char delim, bool inside)
{
	char *from = p;

	if (rn_column_is_null(c, i))
		return p;
	if (c->type == RN_STRING)
		return put_field(p, c->bytes + c->off[i], c->off[i + 1] - c->off[i], string_end(c),
				 delim);
	p = put_plain(p, c, i);
	return inside ? quote_plain(from, p, delim) : p;
}

/* Both end with a delimiter. */
static char *put_dense(char *p, const struct rn_tensor *z, uint64_t i, char delim, bool inside)
{
	uint32_t width = rn_shape_width(&z->shape);

	for (uint32_t j = 0; j < width; j++) {
		char *from = p;

		p += rn_float32_format(z->data[i * width + j], p);
		if (inside)
			p = quote_plain(from, p, delim);
		*p++ = delim;
	}
	return p;
}

static char *put_sparse(char *p, const struct rn_tensor *z, uint64_t i, char delim, bool inside)
{
	char *from = p;

	for (uint64_t j = z->ptr[i]; j < z->ptr[i + 1]; j++) {
		if (j > z->ptr[i])
			*p++ = ' ';
		p += rn_int64_format(z->col[j], p);
		*p++ = ':';
		p += rn_float32_format(z->data[j], p);
	}
	if (inside)
		p = quote_plain(from, p, delim);
	*p++ = delim;
	return p;
}

static char *put_row(const struct text *t, char *p, uint64_t i)
{
	const char *start = p, delim = t->delimiter;
	const bool inside = t->inside;

	for (size_t c = 0; c < t->rel->schema.ncols; c++) {
		p = put_value(p, t->rel->cols[c], i, delim, inside);
		*p++ = delim;
	}
	for (size_t k = 0; k < t->nparts; k++)
		p = t->parts[k]->sparse ? put_sparse(p, t->parts[k], i, delim, inside)
					: put_dense(p, t->parts[k], i, delim, inside);
	p -= p > start; /* the last delimiter */
	*p++ = '\n';
	return p;
}

/* ---- JSON lines ------------------------------------------------------------------------ */

static char *put_json_float(char *p, float v)
{
	return isfinite(v) ? p + rn_float32_format(v, p) : put(p, "null", 4);
}

static char *put_json_value(char *p, const struct rn_column *c, uint64_t i)
{
	bool no_number = c->type == RN_FLOAT64 && !isfinite(c->f64[i]);

	if (rn_column_is_null(c, i) || no_number)
		return put(p, "null", 4);
	if (c->type == RN_STRING)
		return put_json_string(p, c->bytes + c->off[i], c->off[i + 1] - c->off[i],
				       string_end(c));
	if (c->type != RN_TIMESTAMP)
		return put_plain(p, c, i);
	*p++ = '"';
	p = put_plain(p, c, i);
	*p++ = '"';
	return p;
}

/* Nested arrays by the dimensions from `axis` on; *v: goes on to what follows. */
static char *put_json_dense(char *p, const struct rn_shape *shape, uint32_t axis, const float **v)
{
	*p++ = '[';
	for (uint32_t j = 0; j < shape->dim[axis]; j++) {
		p = put(p, ", ", j ? 2 : 0);
		p = axis + 1 < shape->rank ? put_json_dense(p, shape, axis + 1, v)
					   : put_json_float(p, *(*v)++);
	}
	*p++ = ']';
	return p;
}

static char *put_json_sparse(char *p, const struct rn_tensor *z, uint64_t i)
{
	*p++ = '{';
	for (uint64_t j = z->ptr[i]; j < z->ptr[i + 1]; j++) {
		p = put(p, j > z->ptr[i] ? ", \"" : "\"", j > z->ptr[i] ? 3 : 1);
		p += rn_int64_format(z->col[j], p);
		p = put(p, "\": ", 3);
		p = put_json_float(p, z->data[j]);
	}
	*p++ = '}';
	return p;
}

static char *put_json_part(char *p, const struct rn_tensor *z, uint64_t i)
{
	const float *v;

	if (z->sparse)
		return put_json_sparse(p, z, i);
	v = z->data + i * rn_shape_width(&z->shape);
	return put_json_dense(p, &z->shape, 0, &v);
}

static char *put_json_row(const struct text *t, char *p, uint64_t i)
{
	size_t ncols = t->rel->schema.ncols, from = 2; /* no comma before the first */

	*p++ = '{';
	for (size_t m = 0; m < ncols + t->nparts; m++) {
		p = put(p, t->keys.s + from, t->ends[m] - from);
		from = t->ends[m];
		p = m < ncols ? put_json_value(p, t->rel->cols[m], i)
			      : put_json_part(p, t->parts[m - ncols], i);
	}
	return put(p, "}\n", 2);
}

/* ---- names ------------------------------------------------------------------------------ */

/* Column i's name: rn_schema_col_name, which looks at all columns, only where it must. */
static void col_name(const struct rn_schema *s, size_t i, struct rn_str *name)
{
	rn_str_clear(name);
	if (s->cols[i].qual)
		rn_schema_col_name(s, i, name);
	else
		rn_str_add(name, s->cols[i].name);
}

/* What a name may grow to, as a field or as a JSON string. */
static int name_room(const struct rn_str *name, char **out, struct rn_err *e)
{
	RN_TRY(rn_str_check(name, e));
	return rn_calloc(6 * name->len + SLACK, 1, "a column's name", out, e);
}

static int add_field(struct rn_str *out, const struct rn_str *name, char delim, struct rn_err *e)
{
	char *buf;

	RN_TRY(name_room(name, &buf, e));
	if (out->len)
		rn_str_addc(out, delim);
	rn_str_addn(out, buf,
		    (size_t)(put_field(buf, name->s, name->len, name->s + name->len, delim) - buf));
	free(buf);
	return rn_str_check(out, e);
}

/* What number j of the width numbers of part p is called. */
static void name_field(struct rn_str *name, const struct rn_part_info *p, uint32_t width, uint32_t j)
{
	rn_str_clear(name);
	rn_str_add(name, p->name);
	if (width > 1)
		rn_str_addf(name, "%u", j);
}

static int add_part_header(struct rn_str *out, const struct rn_part_info *p, char delim,
			   struct rn_err *e)
{
	uint32_t width = p->sparse ? 1 : rn_shape_width(&p->shape);
	struct rn_str name = RN_STR_INIT;
	int rc = 0;

	for (uint32_t j = 0; j < width && !rc; j++) {
		name_field(&name, p, width, j);
		rc = add_field(out, &name, delim, e);
	}
	rn_str_fini(&name);
	return rc;
}

struct named {
	char *name;
	const char *part; /* that it comes from; NULL: a column's */
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

static int add_name(struct named *all, size_t *n, const char *name, const char *part,
		    struct rn_err *e)
{
	all[*n] = (struct named){ strdup(name), part };
	if (!all[*n].name)
		return rn_err_nomem(e, strlen(name) + 1, "a column's name");
	++*n;
	return 0;
}

/* What part p is called in the text, once per field that it has there. */
static int add_part_names(struct named *all, size_t *n, const struct rn_part_info *p, bool json,
			  struct rn_err *e)
{
	uint32_t width = p->sparse || json ? 1 : rn_shape_width(&p->shape);
	struct rn_str name = RN_STR_INIT;
	int rc = 0;

	for (uint32_t j = 0; j < width && !rc; j++) {
		name_field(&name, p, width, j);
		rc = rn_str_check(&name, e);
		if (!rc)
			rc = add_name(all, n, name.s, p->name, e);
	}
	rn_str_fini(&name);
	return rc;
}

static int same_name(const struct named *a, const struct named *b, const char *by,
		     struct rn_err *e)
{
	if (a->part && b->part)
		return rn_err_set(e, RN_EUSAGE, "the embedding parts '%s' and '%s' would both write '%s': make "
				  "one of them with rn-map, or leave them out (%s)", a->part, b->part, a->name, by);
	return rn_err_set(e, RN_EUSAGE, "column '%s' and the embedding '%s' would have one name in the text: "
			  "rename the column, or leave the embedding out (%s)", a->name,
			  a->part ? a->part : b->part, by);
}

/* Columns among themselves have different names. */
int rn_text_check_names(const struct rn_schema *s, bool json, const char *by, struct rn_err *e)
{
	struct rn_str name = RN_STR_INIT;
	struct named *all;
	size_t n = s->ncols;
	int rc = 0;

	for (size_t i = 0; i < s->nparts; i++)
		n += s->parts[i].sparse || json ? 1 : rn_shape_width(&s->parts[i].shape);
	if (n > MAX_COLUMNS)
		return rn_err_set(e, RN_EUSAGE, "%zu columns are too many for text, which may have %d: write a stream, "
				  "'.npy' or '.jsonl', or leave the embedding out (%s)", n, MAX_COLUMNS, by);
	RN_TRY(rn_calloc(n, sizeof *all, "column names", &all, e));
	n = 0;
	for (size_t i = 0; i < s->ncols && !rc; i++) {
		col_name(s, i, &name);
		rc = rn_str_check(&name, e);
		if (!rc)
			rc = add_name(all, &n, name.s, NULL, e);
	}
	for (size_t i = 0; i < s->nparts && !rc; i++)
		rc = add_part_names(all, &n, &s->parts[i], json, e);
	if (!rc)
		qsort(all, n, sizeof *all, by_name);
	for (size_t i = 1; i < n && !rc; i++)
		if (!strcmp(all[i - 1].name, all[i].name))
			rc = same_name(&all[i - 1], &all[i], by, e);
	for (size_t i = 0; i < n; i++)
		free(all[i].name);
	free(all);
	rn_str_fini(&name);
	return rc;
}

int rn_text_write_header(struct rn_io *io, const struct rn_schema *s,
			 const struct rn_text_opt *opt, struct rn_err *e)
{
	struct rn_str name = RN_STR_INIT, out = RN_STR_INIT;
	bool json = opt->kind == RN_TEXT_JSONL;
	int rc;

	if (opt->no_header && !json)
		return 0;
	if (!opt->no_embedding && s->nparts)
		RN_TRY(rn_text_check_names(s, json, "rn-cat --no-embedding", e));
	if (json)
		return 0;
	for (size_t i = 0; i < s->ncols; i++) {
		col_name(s, i, &name);
		RN_GOTO(out, add_field(&out, &name, delimiter(opt), e));
	}
	for (size_t i = 0; !opt->no_embedding && i < s->nparts; i++)
		RN_GOTO(out, add_part_header(&out, &s->parts[i], delimiter(opt), e));
	rn_str_addc(&out, '\n');
	RN_GOTO(out, rn_str_check(&out, e));
	rc = io->ops->write(io, out.s, out.len, e);
out:
	rn_str_fini(&name);
	rn_str_fini(&out);
	return rc;
}

static int json_key(struct rn_str *keys, const struct rn_str *name, struct rn_err *e)
{
	char *buf;

	RN_TRY(name_room(name, &buf, e));
	rn_str_add(keys, ", ");
	rn_str_addn(keys, buf,
		    (size_t)(put_json_string(buf, name->s, name->len, name->s + name->len) - buf));
	rn_str_add(keys, ": ");
	free(buf);
	return rn_str_check(keys, e);
}

static int json_keys(struct text *t, struct rn_err *e)
{
	const struct rn_schema *s = &t->rel->schema;
	struct rn_str name = RN_STR_INIT;
	int rc = 0;

	RN_TRY(rn_calloc(s->ncols + t->nparts, sizeof *t->ends, "column names", &t->ends, e));
	for (size_t m = 0; m < s->ncols + t->nparts && !rc; m++) {
		if (m < s->ncols) {
			col_name(s, m, &name);
		} else {
			rn_str_clear(&name);
			rn_str_add(&name, s->parts[m - s->ncols].name);
		}
		rc = json_key(&t->keys, &name, e);
		t->ends[m] = t->keys.len;
	}
	rn_str_fini(&name);
	return rc;
}

/* ---- pieces ----------------------------------------------------------------------------- */

/* Brackets, of which an array has two at each of its dimensions. */
static uint64_t brackets(const struct rn_shape *shape)
{
	uint64_t n = 0, arrays = 1;

	for (uint32_t i = 0; i < shape->rank; i++) {
		n += 2 * arrays;
		arrays *= shape->dim[i];
	}
	return n;
}

static uint64_t fixed_bytes(const struct text *t)
{
	const struct rn_schema *s = &t->rel->schema;
	uint64_t n = t->keys.len + 4;

	for (size_t c = 0; c < s->ncols; c++)
		n += longest(s->cols[c].type) + 3; /* quotes, delimiter */
	for (size_t k = 0; k < t->nparts; k++)
		n += t->parts[k]->sparse ? 3 :
					   rn_shape_width(&t->parts[k]->shape) * (NUMBER + 3ull) +
						   brackets(&t->parts[k]->shape);
	return n;
}

/* The longest text that n rows from `from` on may have, SLACK included. */
static uint64_t bound(const struct text *t, uint64_t from, uint64_t n)
{
	uint64_t bytes = 0, values = 0;

	for (size_t c = 0; c < t->rel->schema.ncols; c++) {
		const uint64_t *off = t->rel->cols[c]->off;

		if (t->rel->cols[c]->type == RN_STRING)
			bytes += off[from + n] - off[from];
	}
	for (size_t k = 0; k < t->nparts; k++)
		if (t->parts[k]->sparse)
			values += t->parts[k]->ptr[from + n] - t->parts[k]->ptr[from];
	return n * t->fixed + bytes * (t->opt.kind == RN_TEXT_JSONL ? 6 : 2) +
	       values * (2 * NUMBER) + SLACK;
}

struct piece {
	uint64_t from, rows;
	char *at;
	size_t len;
	bool made;
};

struct batch {
	const struct text *text;
	struct piece pieces[PIECES];
	uint32_t n;
	pthread_mutex_t lock; /* of what follows, and of `made` */
	uint32_t next;        /* the first piece that is not written */
	bool writing;         /* somebody is */
	int rc;
	struct rn_err *e; /* whoever writes */
};

/* Write what is made, in order, unless another thread is at it. */
static void write_made(struct batch *b)
{
	struct rn_io *io = b->text->io;

	if (b->writing)
		return;
	b->writing = true;
	for (; b->next < b->n && b->pieces[b->next].made; b->next++) {
		const struct piece *p = &b->pieces[b->next];
		int rc = b->rc;

		if (rc)
			continue;
		pthread_mutex_unlock(&b->lock);
		rc = io->ops->write(io, p->at, p->len, b->e);
		pthread_mutex_lock(&b->lock);
		b->rc = rc;
	}
	b->writing = false;
}

static void make_piece(void *arg, uint32_t part)
{
	struct batch *b = arg;
	struct piece *p = &b->pieces[part];
	const struct text *t = b->text;
	char *at = p->at;

	for (uint64_t i = p->from; i < p->from + p->rows; i++)
		at = t->ends ? put_json_row(t, at, i) : put_row(t, at, i);
	p->len = (size_t)(at - p->at);
	pthread_mutex_lock(&b->lock);
	p->made = true;
	write_made(b);
	pthread_mutex_unlock(&b->lock);
}

/* As many rows as have their text in a piece, and one at least. */
static uint64_t piece_rows(const struct text *t, uint64_t from)
{
	uint64_t n = PIECE / t->fixed + 1;

	if (n > t->rel->rows - from)
		n = t->rel->rows - from;
	while (n > 1 && bound(t, from, n) > PIECE)
		n = (n + 1) / 2;
	return n;
}

/* Rows from *row on, as many as a batch holds. */
static int write_batch(const struct text *t, uint64_t *row, struct rn_err *e)
{
	struct batch b = { .text = t, .lock = PTHREAD_MUTEX_INITIALIZER, .e = e };
	uint64_t need = 0;
	struct rn_buf *buf;

	while (b.n < PIECES && *row < t->rel->rows) {
		uint64_t rows = piece_rows(t, *row), more = bound(t, *row, rows);

		if (b.n && need + more > BATCH)
			break;
		b.pieces[b.n++] = (struct piece){ .from = *row, .rows = rows, .len = need };
		need += more;
		*row += rows;
	}
	RN_TRY(rn_buf_new_raw(need, "text", &buf, e));
	for (uint32_t k = 0; k < b.n; k++)
		b.pieces[k].at = (char *)buf->data + b.pieces[k].len;
	rn_team_run(t->opt.team, b.n, make_piece, &b);
	rn_buf_unref(buf);
	pthread_mutex_destroy(&b.lock);
	return b.rc;
}

/* ---- what JSON cannot hold -------------------------------------------------------------- */

/* Infinities and NaNs, which are written as null. */
static uint64_t count_no_number(const struct text *t)
{
	uint64_t n = 0;

	for (size_t c = 0; c < t->rel->schema.ncols; c++) {
		const struct rn_column *col = t->rel->cols[c];

		for (uint64_t i = 0; col->type == RN_FLOAT64 && i < t->rel->rows; i++)
			n += !isfinite(col->f64[i]) && !rn_column_is_null(col, i);
	}
	for (size_t k = 0; k < t->nparts; k++) {
		const struct rn_tensor *z = t->parts[k];
		uint64_t from = z->sparse ? z->ptr[0] : 0;
		uint64_t to = z->sparse ? z->ptr[z->rows] : z->rows * rn_shape_width(&z->shape);

		for (uint64_t i = from; i < to; i++)
			n += !isfinite(z->data[i]);
	}
	return n;
}

int rn_text_write_rows(struct rn_io *io, const struct rn_rel *r, const struct rn_text_opt *opt,
		       struct rn_err *e)
{
	struct text t = { .io = io, .rel = r, .opt = *opt, .keys = RN_STR_INIT,
			  .delimiter = delimiter(opt) };
	const char *inside = "+-.0123456789:TZaefilnrstu "; /* what is no string is made of */
	size_t nparts = opt->no_embedding ? 0 : r->schema.nparts;
	int rc;

	RN_TRY(rn_calloc(nparts, sizeof *t.parts, "parts", &t.parts, e));
	for (; t.nparts < nparts; t.nparts++)
		RN_GOTO(out, rn_rel_flat_part(r, t.nparts, &t.parts[t.nparts], e));
	if (opt->kind == RN_TEXT_JSONL)
		RN_GOTO(out, json_keys(&t, e));
	if (opt->kind == RN_TEXT_JSONL && opt->no_number && r->rows)
		*opt->no_number += count_no_number(&t);
	t.inside = strchr(inside, t.delimiter);
	t.fixed = fixed_bytes(&t);
	rc = 0;
	for (uint64_t row = 0; row < r->rows && !rc;)
		rc = write_batch(&t, &row, e);
out:
	while (t.nparts)
		rn_tensor_unref(t.parts[--t.nparts]);
	free(t.parts);
	free(t.ends);
	rn_str_fini(&t.keys);
	return rc;
}
