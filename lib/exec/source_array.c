/* SPDX-License-Identifier: Apache-2.0
 *
 * Embeddings as text: in each row a JSON array of numbers, nested by dimension, as
 * rn-cat writes them to JSON lines and pgvector prints them.
 */
#include "../base/num.h"
#include "source.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* An array that is being read: from p on, numbers to `to` (NULL: nowhere). */
struct reading {
	const char *p, *end;
	struct rn_shape *shape; /* a dimension that is 0 is not known yet */
	float *to;
	uint64_t nulls, large;
};

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

/* A number, or null, which counts as 0. */
static bool read_number(struct reading *r)
{
	const char *from = r->p;
	double v = 0;
	size_t n;

	while (r->p < r->end && *r->p != ',' && *r->p != ']' && !is_space(*r->p))
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
	r->large += isinf((float)v) && !isinf(v);
	if (r->to)
		*r->to++ = (float)v;
	return true;
}

static bool read_array(struct reading *r, uint32_t axis)
{
	uint32_t n = 0;

	if (axis == RN_MAX_RANK || !take(r, '['))
		return false;
	do {
		skip_space(r);
		n++;
		if (r->shape->dim[axis] && n > r->shape->dim[axis])
			return false;
		if (axis + 1 < r->shape->rank ? !read_array(r, axis + 1) : !read_number(r))
			return false;
	} while (take(r, ','));
	if (!r->shape->dim[axis])
		r->shape->dim[axis] = n;
	return n == r->shape->dim[axis] && take(r, ']');
}

/* Text n bytes long at s, all of it, as an array of r->shape. */
static bool read_text(struct reading *r, const char *s, size_t n)
{
	r->p = s;
	r->end = s + n;
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

bool rn_arrays_shape(const struct rn_column *c, struct rn_shape *out)
{
	for (uint64_t i = 0; i < c->rows; i++) {
		const char *s = c->bytes + c->off[i];
		size_t n = c->off[i + 1] - c->off[i];
		struct reading r = { .shape = out };

		if (rn_column_is_null(c, i))
			continue;
		*out = (struct rn_shape){ .rank = depth(s, n) };
		return out->rank && out->rank <= RN_MAX_RANK && read_text(&r, s, n);
	}
	*out = (struct rn_shape){ 0 };
	return true;
}

bool rn_arrays_read(const struct rn_column *c, const struct rn_shape *shape, float *to, uint64_t *bad,
		    uint64_t *nulls, uint64_t *large)
{
	uint32_t width = rn_shape_width(shape);
	struct rn_shape known = *shape;
	struct reading r = { .shape = &known };

	for (uint64_t i = 0; i < c->rows; i++) {
		r.to = to + i * width;
		if (rn_column_is_null(c, i)) {
			memset(r.to, 0, width * sizeof *to);
			r.nulls++;
		} else if (!read_text(&r, c->bytes + c->off[i], c->off[i + 1] - c->off[i])) {
			*bad = i;
			return false;
		}
	}
	*nulls += r.nulls;
	*large += r.large;
	return true;
}
