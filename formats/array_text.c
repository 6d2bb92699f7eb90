/* SPDX-License-Identifier: Apache-2.0 */
#include "array_text.h"

#include "../lib/base/mem.h"
#include "../lib/base/num.h"
#include "../lib/base/str.h"
#include "../lib/base/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 60 }; /* bytes of a text in a message */

/* A text that is being read: from p on. */
struct reading {
	const char *p, *end;
	struct rn_shape *shape; /* a dimension that is 0 is not known yet */
	float *to;              /* NULL: nowhere */
	uint64_t nulls, large;
};

void rn_array_reader_fini(struct rn_array_reader *r)
{
	free(r->value);
	*r = (struct rn_array_reader){ 0 };
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_space(struct reading *r)
{
	while (r->p < r->end && is_space(*r->p))
		r->p++;
}

static bool take(struct reading *r, char c)
{
	skip_space(r);
	if (r->p == r->end || *r->p != c)
		return false;
	r->p++;
	skip_space(r);
	return true;
}

static const char *digits(const char *p, const char *end)
{
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p;
}

/* A number with digits and a point alone, as nearly all are, is passed over: what it is need
 * not be known. */
static bool pass_number(struct reading *r)
{
	const char *p = r->p + (r->p < r->end && *r->p == '-'), *from = p;

	p = digits(p, r->end);
	if (p == from)
		return false;
	if (p + 1 < r->end && *p == '.' && p[1] >= '0' && p[1] <= '9')
		p = digits(p + 1, r->end);
	if (p == r->end || (*p != ',' && *p != ']'))
		return false;
	r->p = p;
	return true;
}

/* A number, or null, which counts as 0. */
static bool read_number(struct reading *r, float *out)
{
	const char *from = r->p;
	double v = 0;
	size_t n;

	while (r->p < r->end && *r->p != ',' && *r->p != ']' && *r->p != '}' && !is_space(*r->p))
		r->p++;
	n = (size_t)(r->p - from);
	if (n == 4 && !memcmp(from, "null", 4))
		v = NAN;
	else if (!rn_float64_parse(from, n, &v))
		return false;
	if (isnan(v)) {
		r->nulls++;
		v = 0;
	}
	*out = (float)v;
	r->large += isinf(*out) && !isinf(v);
	return true;
}

/* ---- dense ------------------------------------------------------------------------------- */

static bool read_array(struct reading *r, uint32_t axis)
{
	uint32_t n = 0;
	float v;

	if (axis == RN_MAX_RANK || !take(r, '['))
		return false;
	do {
		skip_space(r);
		n++;
		if (r->shape->dim[axis] && n > r->shape->dim[axis])
			return false;
		if (axis + 1 < r->shape->rank) {
			if (!read_array(r, axis + 1))
				return false;
		} else if (r->to) {
			if (!read_number(r, &v))
				return false;
			*r->to++ = v;
		} else if (!pass_number(r) && !read_number(r, &v)) {
			return false;
		}
	} while (take(r, ','));
	if (!r->shape->dim[axis])
		r->shape->dim[axis] = n;
	return n == r->shape->dim[axis] && take(r, ']');
}

/* All of the text as an array of r->shape. */
static bool read_text(struct reading *r)
{
	skip_space(r);
	return read_array(r, 0) && r->p == r->end;
}

/* How deep the brackets are that the text begins with. */
static uint32_t depth(const char *s, size_t n)
{
	uint32_t d = 0;

	for (size_t i = 0; i < n && (s[i] == '[' || is_space(s[i])); i++)
		d += s[i] == '[';
	return d;
}

bool rn_array_shape(const char *s, size_t n, struct rn_shape *out)
{
	struct reading r = { .p = s, .end = s + n, .shape = out };

	*out = (struct rn_shape){ .rank = depth(s, n) };
	return out->rank && out->rank <= RN_MAX_RANK && read_text(&r);
}

bool rn_array_dense(struct rn_array_reader *r, const struct rn_shape *shape, const char *s, size_t n,
		    float *to)
{
	struct rn_shape known = *shape;
	struct reading x = { .p = s, .end = s + n, .shape = &known, .to = to };

	r->fault[0] = '\0';
	if (!read_text(&x))
		return false;
	r->nulls += x.nulls;
	r->large += x.large;
	return true;
}

/* ---- sparse ------------------------------------------------------------------------------ */

static bool fail(struct rn_array_reader *r, const char *what)
{
	snprintf(r->fault, sizeof r->fault, "%s", what);
	return false;
}

/* "INDEX": digits without a zero before them. */
static bool read_index(struct rn_array_reader *r, struct reading *x, uint32_t width, uint32_t *out)
{
	const char *from = x->p + 1;
	int64_t i = -1;
	size_t n = 0;

	if (x->p == x->end || *x->p != '"')
		return fail(r, "an index wants quotes");
	while (from + n < x->end && from[n] != '"')
		n++;
	if (from + n == x->end)
		return fail(r, "a quote is not closed");
	if (!n || strspn(from, "0123456789") < n || (n > 1 && *from == '0') || !rn_int64_parse(from, n, &i) ||
	    i >= width) {
		snprintf(r->fault, sizeof r->fault, "the index '%.*s' is none of 0 to %" PRIu32,
			 (int)rn_utf8_prefix(from, n < 20 ? n : 20), from, width - 1);
		return false;
	}
	*out = (uint32_t)i;
	x->p = from + n + 1;
	return true;
}

static int by_index(const void *a, const void *b)
{
	const struct rn_array_value *x = a, *y = b;

	return (x->col > y->col) - (x->col < y->col);
}

/* Rows that rn-cat wrote are in order. */
static bool put_in_order(struct rn_array_reader *r)
{
	size_t i = 1;

	while (i < r->n && r->value[i - 1].col < r->value[i].col)
		i++;
	if (i >= r->n)
		return true;
	qsort(r->value, r->n, sizeof *r->value, by_index);
	for (i = 1; i < r->n; i++)
		if (r->value[i - 1].col == r->value[i].col) {
			snprintf(r->fault, sizeof r->fault, "the index %" PRIu32 " is there twice", r->value[i].col);
			return false;
		}
	return true;
}

/* One member after the other; *good at the closing brace. */
static int read_members(struct rn_array_reader *r, struct reading *x, uint32_t width, bool *good,
			struct rn_err *e)
{
	do {
		struct rn_array_value v;

		if (!read_index(r, x, width, &v.col))
			return 0;
		if (!take(x, ':') || !read_number(x, &v.v)) {
			fail(r, "an index wants a number behind it");
			return 0;
		}
		RN_TRY(rn_grow(&r->value, &r->cap, r->n + 1, sizeof *r->value, "sparse rows", e));
		r->value[r->n++] = v;
	} while (take(x, ','));
	*good = take(x, '}') || fail(r, "expected ',' or '}'");
	return 0;
}

int rn_array_sparse(struct rn_array_reader *r, uint32_t width, const char *s, size_t n, bool *good,
		    struct rn_err *e)
{
	struct reading x = { .p = s, .end = s + n };

	*good = false;
	r->n = 0;
	r->fault[0] = '\0';
	if (!take(&x, '{'))
		return 0;
	*good = take(&x, '}');
	if (!*good)
		RN_TRY(read_members(r, &x, width, good, e));
	*good = *good && (x.p == x.end || fail(r, "there is more after it")) && put_in_order(r);
	if (*good) {
		r->nulls += x.nulls;
		r->large += x.large;
	}
	return 0;
}

/* ---- columns ----------------------------------------------------------------------------- */

int rn_array_check(struct rn_array_reader *r, const struct rn_array_column *c, const char *s,
		   size_t n, bool *good, struct rn_err *e)
{
	if (c->sparse)
		return rn_array_sparse(r, c->shape.dim[0], s, n, good, e);
	*good = rn_array_dense(r, &c->shape, s, n, NULL);
	return 0;
}

void rn_array_tell(const struct rn_array_column *c, const char *fault, const char *s, size_t n,
		   struct rn_str *out)
{
	if (c->sparse) {
		rn_str_addf(out, "wants an object of numbers by index, such as {\"0\": 0.5}");
	} else {
		rn_str_add(out, "wants an array of numbers of shape ");
		rn_shape_print(&c->shape, out);
		rn_str_add(out, ", as the first one");
	}
	rn_str_addf(out, ", not '%.*s'", (int)rn_utf8_prefix(s, n < SHOWN ? n : SHOWN), s);
	if (*fault)
		rn_str_addf(out, ": %s", fault);
}

static int dense_rows(struct rn_array_reader *r, const struct rn_array_column *a,
		      const struct rn_column *c, uint64_t *bad, struct rn_tensor **out,
		      struct rn_err *e)
{
	uint32_t width = rn_shape_width(&a->shape);

	RN_TRY(rn_tensor_new(&a->shape, c->rows, out, e)); /* of zeros */
	for (uint64_t i = 0; i < c->rows && *bad == RN_NO_ROW; i++)
		if (rn_column_is_null(c, i))
			r->nulls++;
		else if (!rn_array_dense(r, &a->shape, c->bytes + c->off[i], c->off[i + 1] - c->off[i],
					 (*out)->data + i * width))
			*bad = i;
	return 0;
}

/* The rows' values, one row after the other. */
struct rows {
	struct rn_array_value *value;
	size_t n, cap;
	uint64_t *ptr;
};

static int add_row(struct rn_array_reader *r, uint32_t width, const struct rn_column *c, uint64_t i,
		   struct rows *to, bool *good, struct rn_err *e)
{
	*good = true;
	r->n = 0;
	if (rn_column_is_null(c, i))
		r->nulls++;
	else
		RN_TRY(rn_array_sparse(r, width, c->bytes + c->off[i], c->off[i + 1] - c->off[i], good, e));
	if (!*good)
		return 0;
	RN_TRY(rn_grow(&to->value, &to->cap, to->n + r->n, sizeof *to->value, "sparse rows", e));
	if (r->n)
		memcpy(to->value + to->n, r->value, r->n * sizeof *r->value);
	to->n += r->n;
	to->ptr[i + 1] = to->n;
	return 0;
}

static int sparse_rows(struct rn_array_reader *r, const struct rn_array_column *a,
		       const struct rn_column *c, uint64_t *bad, struct rn_tensor **out,
		       struct rn_err *e)
{
	struct rows to = { 0 };
	bool good = true;
	int rc;

	RN_TRY(rn_calloc(c->rows + 1, sizeof *to.ptr, "sparse rows", &to.ptr, e));
	for (uint64_t i = 0; i < c->rows; i++) {
		RN_GOTO(out, add_row(r, a->shape.dim[0], c, i, &to, &good, e));
		if (!good) {
			*bad = i;
			goto out;
		}
	}
	RN_GOTO(out, rn_tensor_new_sparse(a->shape.dim[0], c->rows, to.n, out, e));
	memcpy((*out)->ptr, to.ptr, (c->rows + 1) * sizeof *to.ptr);
	for (size_t k = 0; k < to.n; k++) {
		(*out)->col[k] = to.value[k].col;
		(*out)->data[k] = to.value[k].v;
	}
out:
	free(to.value);
	free(to.ptr);
	return rc;
}

int rn_array_rows(struct rn_array_reader *r, const struct rn_array_column *a,
		  const struct rn_column *c, uint64_t *bad, struct rn_tensor **out,
		  struct rn_err *e)
{
	*out = NULL;
	*bad = RN_NO_ROW;
	RN_TRY(a->sparse ? sparse_rows(r, a, c, bad, out, e) : dense_rows(r, a, c, bad, out, e));
	if (*bad == RN_NO_ROW)
		return 0;
	rn_tensor_unref(*out);
	*out = NULL;
	return 0;
}
