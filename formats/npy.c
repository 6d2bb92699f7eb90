/* SPDX-License-Identifier: Apache-2.0
 *
 * NumPy arrays.  The header is a Python literal; only the form that numpy itself
 * writes is read: a dict of 'descr', 'fortran_order' and 'shape'.
 */
#include "npy.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC "\x93NUMPY"

enum {
	MAX_HEADER = 1 << 20,
	ALIGN = 64,
	PIECE = 1 << 20, /* bytes converted at once */
	MOST_DIGITS = 20, /* of a number of rows */
};

/* ---- element types ----------------------------------------------------------- */

static float half_to_float(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16, exp = h >> 10 & 31, m = h & 0x3FF, bits;
	float f;

	if (exp == 31)
		bits = sign | 0x7F800000 | m << 13;
	else if (exp)
		bits = sign | (exp + 112) << 23 | m << 13;
	else { /* subnormal: m * 2^-24 */
		f = (float)m * 0x1p-24f;
		return sign ? -f : f;
	}
	memcpy(&f, &bits, sizeof f);
	return f;
}

#define DEFINE_CONVERT(name, type, expr)                                                 \
	static void name(const uint8_t *p, size_t n, float *out)                         \
	{                                                                                \
		for (size_t i = 0; i < n; i++) {                                         \
			type x;                                                          \
                                                                                         \
			memcpy(&x, p + i * sizeof x, sizeof x);                          \
			out[i] = (expr);                                                 \
		}                                                                        \
	}
DEFINE_CONVERT(from_f2, uint16_t, half_to_float(x))
DEFINE_CONVERT(from_f4, float, x)
DEFINE_CONVERT(from_f8, double, (float)x)
DEFINE_CONVERT(from_i1, int8_t, (float)x)
DEFINE_CONVERT(from_i2, int16_t, (float)x)
DEFINE_CONVERT(from_i4, int32_t, (float)x)
DEFINE_CONVERT(from_i8, int64_t, (float)x)
DEFINE_CONVERT(from_u1, uint8_t, (float)x)
DEFINE_CONVERT(from_u2, uint16_t, (float)x)
DEFINE_CONVERT(from_u4, uint32_t, (float)x)
DEFINE_CONVERT(from_b1, uint8_t, x ? 1.0f : 0.0f)

struct element {
	const char *name;
	size_t size;
	void (*convert)(const uint8_t *p, size_t n, float *out);
};

static const struct element elements[] = {
	{ "f2", 2, from_f2 }, { "f4", 4, from_f4 }, { "f8", 8, from_f8 }, { "i1", 1, from_i1 },
	{ "i2", 2, from_i2 }, { "i4", 4, from_i4 }, { "i8", 8, from_i8 }, { "u1", 1, from_u1 },
	{ "u2", 2, from_u2 }, { "u4", 4, from_u4 }, { "b1", 1, from_b1 },
};

/* ---- header ------------------------------------------------------------------ */

struct header {
	const struct element *type;
	bool fortran;
	size_t rank;
	uint64_t dim[1 + RN_MAX_RANK];
	bool have_type, have_order, have_shape;
};

static int bad(const struct rn_io *io, struct rn_err *e, const char *what)
{
	return rn_err_set(e, RN_EDATA, "'%s' is no .npy file that can be read: %s", io->name, what);
}

static void skip_space(const char **p)
{
	while (**p == ' ' || **p == '\n' || **p == '\t')
		(*p)++;
}

static bool next_is(const char **p, char c)
{
	skip_space(p);
	return **p == c;
}

static bool take(const char **p, char c)
{
	if (!next_is(p, c))
		return false;
	(*p)++;
	return true;
}

/* A quoted word of letters, digits and <>|= into out. */
static bool take_word(const char **p, char *out, size_t cap)
{
	size_t n = 0;
	char quote;

	skip_space(p);
	quote = **p;
	if (quote != '\'' && quote != '"')
		return false;
	for ((*p)++; **p && **p != quote && n + 1 < cap; (*p)++)
		out[n++] = **p;
	out[n] = '\0';
	return take(p, quote);
}

static const char *take_descr(const char **p, struct header *h)
{
	char word[16];

	if (!take_word(p, word, sizeof word))
		return "its elements have no simple type";
	if (word[0] == '>')
		return "it is big-endian";
	for (size_t i = 0; i < sizeof elements / sizeof *elements; i++)
		if (strchr("<|=", word[0]) && strcmp(word + 1, elements[i].name) == 0)
			h->type = &elements[i];
	h->have_type = true;
	return h->type ? NULL : "its element type is not one of f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 b1";
}

static const char *take_order(const char **p, struct header *h)
{
	skip_space(p);
	h->fortran = strncmp(*p, "True", 4) == 0;
	if (!h->fortran && strncmp(*p, "False", 5) != 0)
		return "its header is malformed";
	*p += h->fortran ? 4 : 5;
	h->have_order = true;
	return NULL;
}

static const char *take_shape(const char **p, struct header *h)
{
	if (!take(p, '('))
		return "its header is malformed";
	while (!take(p, ')')) {
		uint64_t d = 0;
		bool digits = false;

		for (; **p >= '0' && **p <= '9'; (*p)++) {
			if (d > UINT32_MAX)
				return "a dimension is too large";
			d = d * 10 + (uint64_t)(**p - '0');
			digits = true;
		}
		if (!digits)
			return "its header is malformed";
		if (h->rank == 1 + RN_MAX_RANK)
			return "it has more than 5 dimensions";
		h->dim[h->rank++] = d;
		if (!take(p, ',') && !next_is(p, ')'))
			return "its header is malformed";
	}
	h->have_shape = true;
	return NULL;
}

static const char *parse_header(const char *p, struct header *h)
{
	char key[16];

	if (!take(&p, '{'))
		return "its header is malformed";
	while (!take(&p, '}')) {
		const char *fault = "its header is malformed";

		if (!take_word(&p, key, sizeof key) || !take(&p, ':'))
			return fault;
		if (strcmp(key, "descr") == 0 && !h->have_type)
			fault = take_descr(&p, h);
		else if (strcmp(key, "fortran_order") == 0 && !h->have_order)
			fault = take_order(&p, h);
		else if (strcmp(key, "shape") == 0 && !h->have_shape)
			fault = take_shape(&p, h);
		if (fault)
			return fault;
		if (!take(&p, ',') && !next_is(&p, '}'))
			return "its header is malformed";
	}
	skip_space(&p);
	if (*p || !h->have_type || !h->have_order || !h->have_shape)
		return "its header is malformed";
	return NULL;
}

static int read_exactly(struct rn_io *io, void *p, size_t n, struct rn_err *e)
{
	size_t got;

	RN_TRY(io->ops->read(io, p, n, &got, e));
	return got == n ? 0 : bad(io, e, "it is truncated");
}

static int read_header(struct rn_io *io, struct header *h, struct rn_err *e)
{
	uint8_t fixed[12];
	const char *fault;
	uint32_t n;
	char *text;
	int rc;

	RN_TRY(read_exactly(io, fixed, 10, e));
	if (memcmp(fixed, MAGIC, 6) != 0)
		return bad(io, e, "it does not begin as one");
	if (fixed[6] < 1 || fixed[6] > 3)
		return rn_err_set(e, RN_EDATA, "'%s' is of .npy version %d, which is not known",
				  io->name, fixed[6]);
	n = (uint32_t)fixed[8] | (uint32_t)fixed[9] << 8;
	if (fixed[6] > 1) {
		RN_TRY(read_exactly(io, fixed + 10, 2, e));
		n |= (uint32_t)fixed[10] << 16 | (uint32_t)fixed[11] << 24;
	}
	if (n > MAX_HEADER)
		return bad(io, e, "its header is too long");
	RN_TRY(rn_calloc((size_t)n + 1, 1, "a header", &text, e));
	rc = read_exactly(io, text, n, e);
	if (!rc) {
		fault = parse_header(text, h);
		rc = fault ? bad(io, e, fault) : 0;
	}
	free(text);
	if (!rc && h->fortran && h->rank > 1)
		rc = bad(io, e, "it is in Fortran order (save it with numpy.ascontiguousarray)");
	return rc;
}

/* ---- reading ----------------------------------------------------------------- */

/* Rows and the shape of one, with their product in range. */
static int set_shape(const struct rn_io *io, const struct header *h, uint64_t *rows,
		     struct rn_shape *shape, struct rn_err *e)
{
	uint64_t width = 1, total;

	if (!h->rank)
		return bad(io, e, "it has no dimensions");
	*rows = h->dim[0];
	if (*rows > RN_MAX_ROWS)
		return bad(io, e, "it has too many rows");
	*shape = (struct rn_shape){ .rank = h->rank > 1 ? (uint32_t)h->rank - 1 : 1, .dim = { 1 } };
	for (size_t i = 1; i < h->rank; i++) {
		if (!h->dim[i])
			return bad(io, e, "a row of it has no values");
		if (__builtin_mul_overflow(width, h->dim[i], &width) || width > UINT32_MAX / 4)
			return bad(io, e, "a row of it is too large");
		shape->dim[i - 1] = (uint32_t)h->dim[i];
	}
	if (__builtin_mul_overflow(*rows, width * 8, &total))
		return bad(io, e, "it is too large");
	return 0;
}

/* n doubles that begin with number `at`, and what became of them: one that is finite stays so. */
static int check_range(struct rn_io *io, const uint8_t *from, const float *to, size_t n, uint64_t at,
		       struct rn_err *e)
{
	for (size_t i = 0; i < n; i++) {
		double x;

		memcpy(&x, from + i * sizeof x, sizeof x);
		if (isinf(to[i]) && !isinf(x))
			return rn_err_set(e, RN_EDATA,
					  "'%s': value %" PRIu64 " is %g, more than a float32 holds",
					  io->name, at + i, x);
	}
	return 0;
}

struct rn_npy {
	struct rn_io *io;
	struct header h;
	struct rn_shape shape;
	uint64_t rows, at; /* at: the next */
	uint8_t *piece;
};

int rn_npy_open(struct rn_io *io, struct rn_npy **out, struct rn_err *e)
{
	struct rn_npy *r;
	int rc = rn_calloc(1, sizeof *r, "an array", &r, e);

	if (rc) {
		io->ops->abort(io);
		return rc;
	}
	r->io = io;
	RN_GOTO(fail, read_header(io, &r->h, e));
	RN_GOTO(fail, set_shape(io, &r->h, &r->rows, &r->shape, e));
	if (io->size && r->rows * rn_shape_width(&r->shape) * r->h.type->size > io->size) {
		rc = bad(io, e, "it is truncated");
		goto fail;
	}
	RN_GOTO(fail, rn_calloc(PIECE, 1, "an array", &r->piece, e));
	*out = r;
	return 0;
fail:
	rn_npy_close(r);
	return rc;
}

void rn_npy_close(struct rn_npy *r)
{
	if (!r)
		return;
	r->io->ops->abort(r->io);
	free(r->piece);
	free(r);
}

uint64_t rn_npy_rows(const struct rn_npy *r)
{
	return r->rows;
}

const struct rn_shape *rn_npy_shape(const struct rn_npy *r)
{
	return &r->shape;
}

/* The next n values, of which the first is number `from`, into memory that grows as they
 * arrive. */
static int read_values(struct rn_npy *r, uint64_t from, uint64_t n, float **out, struct rn_err *e)
{
	const struct element *type = r->h.type;
	size_t per = PIECE / type->size, cap = 0;
	float *v = NULL;
	uint64_t at = 0;
	int rc = 0;

	while (at < n && !rc) {
		size_t k = n - at < per ? (size_t)(n - at) : per;

		rc = rn_grow(&v, &cap, at + k, sizeof *v, "an array", e);
		if (!rc)
			rc = read_exactly(r->io, r->piece, k * type->size, e);
		if (!rc)
			type->convert(r->piece, k, v + at);
		if (!rc && type->convert == from_f8)
			rc = check_range(r->io, r->piece, v + at, k, from + at, e);
		at += k;
	}
	*out = v;
	return rc;
}

/* What the size of the file says is there goes straight into the tensor. */
int rn_npy_next(struct rn_npy *r, uint64_t rows, struct rn_tensor **out, struct rn_err *e)
{
	uint64_t width = rn_shape_width(&r->shape), n = rows * width;
	struct rn_tensor *t = NULL;
	float *v = NULL;
	int rc;

	if (r->io->size && r->h.type->convert == from_f4) {
		RN_TRY(rn_tensor_new(&r->shape, rows, &t, e));
		RN_GOTO(out, read_exactly(r->io, t->data, n * sizeof *t->data, e));
	} else {
		RN_GOTO(out, read_values(r, r->at * width, n, &v, e));
		RN_GOTO(out, rn_tensor_new(&r->shape, rows, &t, e));
		if (n)
			memcpy(t->data, v, n * sizeof *v);
	}
	r->at += rows;
out:
	free(v);
	if (rc) {
		rn_tensor_unref(t);
		return rc;
	}
	*out = t;
	return 0;
}

int rn_npy_end(struct rn_npy *r, struct rn_err *e)
{
	uint8_t extra;
	size_t got;

	RN_TRY(r->io->ops->read(r->io, &extra, 1, &got, e));
	return got ? bad(r->io, e, "there is more after its last value") : 0;
}

bool rn_npy_magic(const void *p, size_t n)
{
	return (n >= sizeof MAGIC - 1 && !memcmp(p, MAGIC, sizeof MAGIC - 1)) ||
	       (n >= 4 && !memcmp(p, "PK\3\4", 4));
}

int rn_npy_read(struct rn_io *io, struct rn_tensor **out, struct rn_err *e)
{
	struct rn_tensor *t = NULL;
	struct rn_npy *r;
	int rc;

	RN_TRY(rn_npy_open(io, &r, e));
	rc = rn_npy_next(r, r->rows, &t, e);
	if (!rc)
		rc = rn_npy_end(r, e);
	rn_npy_close(r);
	if (rc)
		rn_tensor_unref(t);
	else
		*out = t;
	return rc;
}

/* ---- writing ----------------------------------------------------------------- */

int rn_npy_write_header(struct rn_io *io, uint64_t rows, const struct rn_shape *shape,
			struct rn_err *e)
{
	char text[512] = MAGIC "\1"; /* version 1.0 */
	size_t n = 10, digits, padded;

	digits = (size_t)snprintf(NULL, 0, "%" PRIu64, rows);
	n += (size_t)snprintf(text + n, sizeof text - n,
			      "{'descr': '<f4', 'fortran_order': False, 'shape': (%" PRIu64 ",",
			      rows);
	for (uint32_t i = 0; i < shape->rank; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, "%s%u", i ? ", " : " ",
				      shape->dim[i]);
	n += (size_t)snprintf(text + n, sizeof text - n, "), }");
	padded = (n + MOST_DIGITS - digits + 1 + ALIGN - 1) / ALIGN * ALIGN;
	memset(text + n, ' ', padded - 1 - n);
	text[padded - 1] = '\n';
	text[8] = (char)((padded - 10) & 0xFF);
	text[9] = (char)((padded - 10) >> 8);
	return io->ops->write(io, text, padded, e);
}

/* Some rows at a time, dense. */
static int write_sparse(struct rn_io *io, const struct rn_tensor *t, struct rn_err *e)
{
	uint32_t width = rn_shape_width(&t->shape);
	uint64_t rows = PIECE / 4 / width, n;
	float *v;
	int rc = 0;

	rows = rows ? rows : 1;
	RN_TRY(rn_calloc(rows * width, sizeof *v, "an array", &v, e));
	for (uint64_t at = 0; at < t->rows && !rc; at += n) {
		n = t->rows - at < rows ? t->rows - at : rows;
		memset(v, 0, n * width * sizeof *v);
		for (uint64_t i = 0; i < n; i++)
			for (uint64_t j = t->ptr[at + i]; j < t->ptr[at + i + 1]; j++)
				v[i * width + t->col[j]] = t->data[j];
		rc = io->ops->write(io, v, n * width * sizeof *v, e);
	}
	free(v);
	return rc;
}

int rn_npy_write_rows(struct rn_io *io, const struct rn_tensor *t, struct rn_err *e)
{
	if (t->sparse)
		return write_sparse(io, t, e);
	return t->nnz ? io->ops->write(io, t->data, t->nnz * sizeof *t->data, e) : 0;
}
