/* SPDX-License-Identifier: Apache-2.0 */
#include "postgres_value.h"

#include "../lib/base/num.h"
#include "../lib/base/utf8.h"

#include <endian.h>
#include <math.h>
#include <string.h>

enum { MAX_WIDTH = 1 << 24 }; /* of an embedding */

#define DAY INT64_C(86400000000) /* in microseconds */

uint16_t rn_pg_get16(const unsigned char *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof v);
	return be16toh(v);
}

uint32_t rn_pg_get32(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof v);
	return be32toh(v);
}

uint64_t rn_pg_get64(const unsigned char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof v);
	return be64toh(v);
}

void rn_pg_put16(struct rn_str *out, uint16_t v)
{
	v = htobe16(v);
	rn_str_addn(out, (const char *)&v, sizeof v);
}

void rn_pg_put32(struct rn_str *out, uint32_t v)
{
	v = htobe32(v);
	rn_str_addn(out, (const char *)&v, sizeof v);
}

void rn_pg_put64(struct rn_str *out, uint64_t v)
{
	v = htobe64(v);
	rn_str_addn(out, (const char *)&v, sizeof v);
}

/* ---- types --------------------------------------------------------------------------- */

enum rn_pg_kind rn_pg_kind_of(unsigned type, int modifier)
{
	static const struct {
		unsigned type;
		enum rn_pg_kind kind;
	} kinds[] = {
		{ RN_PG_BOOL, RN_PG_AS_BOOL },      { RN_PG_INT2, RN_PG_AS_INT },
		{ RN_PG_INT4, RN_PG_AS_INT },       { RN_PG_INT8, RN_PG_AS_INT },
		{ RN_PG_OID, RN_PG_AS_OID },        { RN_PG_FLOAT4, RN_PG_AS_FLOAT },
		{ RN_PG_FLOAT8, RN_PG_AS_FLOAT },   { RN_PG_CHAR, RN_PG_AS_TEXT },
		{ RN_PG_NAME, RN_PG_AS_TEXT },      { RN_PG_TEXT, RN_PG_AS_TEXT },
		{ RN_PG_BPCHAR, RN_PG_AS_TEXT },    { RN_PG_VARCHAR, RN_PG_AS_TEXT },
		{ RN_PG_UNKNOWN, RN_PG_AS_TEXT },   { RN_PG_JSON, RN_PG_AS_TEXT },
		{ RN_PG_XML, RN_PG_AS_TEXT },       { RN_PG_JSONB, RN_PG_AS_JSONB },
		{ RN_PG_UUID, RN_PG_AS_UUID },      { RN_PG_DATE, RN_PG_AS_DATE },
		{ RN_PG_TIMESTAMP, RN_PG_AS_TIME }, { RN_PG_TIMESTAMPTZ, RN_PG_AS_TIME },
		{ RN_PG_FLOAT4S, RN_PG_AS_ARRAY },  { RN_PG_FLOAT8S, RN_PG_AS_ARRAY },
	};
	/* A numeric's modifier is its precision and its scale, or -1. */
	int precision = (modifier - 4) >> 16, scale = (modifier - 4) & 0x7FF;

	if (type == RN_PG_NUMERIC)
		return modifier >= 4 && precision <= 18 && !scale ? RN_PG_AS_DECIMAL : RN_PG_AS_NUMERIC;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (kinds[i].type == type)
			return kinds[i].kind;
	return RN_PG_AS_NONE;
}

enum rn_pg_kind rn_pg_kind_named(const char *name, char sort)
{
	if (sort == 'e' || !strcmp(name, "citext"))
		return RN_PG_AS_TEXT;
	return strcmp(name, "vector") ? RN_PG_AS_NONE : RN_PG_AS_VECTOR;
}

void rn_pg_set_col(enum rn_pg_kind kind, struct rn_fill_col *k)
{
	static const enum rn_type types[] = {
		[RN_PG_AS_BOOL] = RN_BOOL,       [RN_PG_AS_INT] = RN_INT64,
		[RN_PG_AS_OID] = RN_INT64,       [RN_PG_AS_FLOAT] = RN_FLOAT64,
		[RN_PG_AS_NUMERIC] = RN_FLOAT64, [RN_PG_AS_DECIMAL] = RN_INT64,
		[RN_PG_AS_TEXT] = RN_STRING,     [RN_PG_AS_UUID] = RN_STRING,
		[RN_PG_AS_JSONB] = RN_STRING,    [RN_PG_AS_DATE] = RN_TIMESTAMP,
		[RN_PG_AS_TIME] = RN_TIMESTAMP,
	};

	k->part = kind == RN_PG_AS_ARRAY || kind == RN_PG_AS_VECTOR;
	if (!k->part)
		k->type = types[kind];
}

/* ---- numbers --------------------------------------------------------------------------- */

#define bad(why, text) (*(why) = (text), RN_EDATA)
#define malformed(why) bad(why, "is not of the form that its type has")

static int put_int(const unsigned char *p, size_t n, struct rn_fill *f, size_t i, const char **why)
{
	int64_t v;

	if (n == 8)
		v = (int64_t)rn_pg_get64(p);
	else if (n == 4)
		v = (int32_t)rn_pg_get32(p);
	else if (n == 2)
		v = (int16_t)rn_pg_get16(p);
	else
		return malformed(why);
	rn_fill_int(f, i, v);
	return 0;
}

static float float4_of(const unsigned char *p)
{
	uint32_t bits = rn_pg_get32(p);
	float v;

	memcpy(&v, &bits, sizeof v);
	return v;
}

static double float8_of(const unsigned char *p)
{
	uint64_t bits = rn_pg_get64(p);
	double v;

	memcpy(&v, &bits, sizeof v);
	return v;
}

/* A numeric: digits to the base of 10,000, the first of which counts 10000^weight. */
struct numeric {
	int count, weight;
	unsigned sign;
	const unsigned char *digits;
};

enum { PLUS = 0, MINUS = 0x4000, NOT_A_NUMBER = 0xC000, INFINITE = 0xD000, MINUS_INFINITE = 0xF000 };

static bool read_numeric(const unsigned char *p, size_t n, struct numeric *v)
{
	if (n < 8)
		return false;
	*v = (struct numeric){ rn_pg_get16(p), (int16_t)rn_pg_get16(p + 2), rn_pg_get16(p + 4),
			       p + 8 };
	if (n != 8 + 2 * (size_t)v->count)
		return false;
	for (int i = 0; i < v->count; i++)
		if (rn_pg_get16(v->digits + 2 * i) > 9999)
			return false;
	return true;
}

static char *add_digits(char *to, unsigned v)
{
	for (unsigned k = 1000; k; k /= 10)
		*to++ = (char)('0' + v / k % 10);
	return to;
}

/* The nearest float64.  What follows 800 digits counts only by being there: no double is
 * that near to the middle between two others. */
static double float_of(const struct numeric *v)
{
	enum { MOST = 200 };
	char text[4 * MOST + RN_NUM_MAX + 8], *to = text;
	int used = v->count < MOST ? v->count : MOST, power = 4 * (v->weight - used + 1);
	bool more = false;
	double d = 0;

	if (v->sign == NOT_A_NUMBER)
		return NAN;
	if (v->sign == INFINITE || v->sign == MINUS_INFINITE)
		return v->sign == INFINITE ? INFINITY : -INFINITY;
	if (v->sign == MINUS)
		*to++ = '-';
	*to++ = '0';
	for (int i = 0; i < used; i++)
		to = add_digits(to, rn_pg_get16(v->digits + 2 * i));
	for (int i = used; i < v->count; i++)
		more |= rn_pg_get16(v->digits + 2 * i) != 0;
	if (more) {
		*to++ = '1';
		power--;
	}
	*to++ = 'e';
	to += rn_int64_format(power, to);
	(void)rn_float64_parse(text, (size_t)(to - text), &d);
	return d;
}

/* Of a column without digits after the point. */
static int put_decimal(const struct numeric *v, struct rn_fill *f, size_t i, const char **why,
		       struct rn_err *e)
{
	int64_t sum = 0;

	if (v->sign == NOT_A_NUMBER)
		return rn_fill_null(f, i, e);
	if (v->sign == INFINITE || v->sign == MINUS_INFINITE || v->count > v->weight + 1 ||
	    v->weight > 4)
		return bad(why, "is no integer of 18 digits");
	for (int k = 0; k <= v->weight; k++)
		if (__builtin_mul_overflow(sum, 10000, &sum) ||
		    __builtin_add_overflow(sum, k < v->count ? rn_pg_get16(v->digits + 2 * k) : 0, &sum))
			return bad(why, "is no integer of 18 digits");
	rn_fill_int(f, i, v->sign == MINUS ? -sum : sum);
	return 0;
}

/* ---- times ------------------------------------------------------------------------------ */

static int put_time(int64_t since_2000, bool days, struct rn_fill *f, size_t i, const char **why)
{
	int64_t us = since_2000;

	if (days ? us == INT32_MAX || us == INT32_MIN : us == INT64_MAX || us == INT64_MIN)
		return bad(why, "is infinity, and a timestamp is not: nullif(…, 'infinity') in a "
			   "--query makes it NULL");
	if ((days && __builtin_mul_overflow(us, DAY, &us)) ||
	    __builtin_add_overflow(us, RN_PG_EPOCH, &us))
		return bad(why, "is later than any timestamp");
	rn_fill_int(f, i, us);
	return 0;
}

/* ---- texts ------------------------------------------------------------------------------ */

static int put_text(const unsigned char *p, size_t n, struct rn_fill *f, size_t i, const char **why,
		    struct rn_err *e)
{
	const char *s = (const char *)p;

	if (!rn_utf8_valid(s, n))
		return bad(why, "is not UTF-8");
	if (memchr(s, 0, n))
		return bad(why, "has a NUL character");
	return rn_fill_text(f, i, s, n, e);
}

static int put_uuid(const unsigned char *p, size_t n, struct rn_fill *f, size_t i, const char **why,
		    struct rn_err *e)
{
	static const char digits[] = "0123456789abcdef";
	char text[36], *to = text;

	if (n != 16)
		return malformed(why);
	for (int k = 0; k < 16; k++) {
		if (k == 4 || k == 6 || k == 8 || k == 10)
			*to++ = '-';
		*to++ = digits[p[k] >> 4];
		*to++ = digits[p[k] & 15];
	}
	return rn_fill_text(f, i, text, sizeof text, e);
}

/* ---- embeddings --------------------------------------------------------------------------- */

static void set_zero(float *to, size_t n)
{
	if (n)
		memset(to, 0, n * sizeof *to);
}

/* Room for an embedding of this shape, whose values take n bytes.  The first that there is
 * says what the shape is, and the rows before it were NULL. */
static int take_shape(struct rn_fill *f, size_t i, const struct rn_shape *s, size_t n, float **out,
		      const char **why, struct rn_err *e)
{
	struct rn_fill_col *k = &f->cols[i];
	float *before;
	size_t width = 1;

	for (uint32_t d = 0; d < s->rank; d++)
		width = width <= MAX_WIDTH && s->dim[d] <= MAX_WIDTH ? width * s->dim[d] : SIZE_MAX;
	if (!s->rank || !width || width > MAX_WIDTH)
		return bad(why, width > MAX_WIDTH ? "has more than 2^24 values" : "is an empty array");
	if (width > n / 4)
		return malformed(why);
	if (k->shape.rank && !rn_shape_equal(s, &k->shape))
		return bad(why, "is an array of another length than in the rows before");
	if (!k->shape.rank) {
		RN_TRY(rn_fill_floats(f, i, f->rows * width, &before, e));
		set_zero(before, f->rows * width);
		k->shape = *s;
	}
	return rn_fill_floats(f, i, width, out, e);
}

/* ndim, flags, type, then length and lower bound of each dimension, then the elements. */
static int put_array(const unsigned char *p, size_t n, struct rn_fill *f, size_t i,
		     const char **why, uint64_t *nulls, struct rn_err *e)
{
	uint32_t rank = n >= 12 ? rn_pg_get32(p) : UINT32_MAX, size;
	const unsigned char *end = p + n;
	struct rn_shape shape = { 0 };
	float *to;

	if (rank > RN_MAX_RANK || n < 12 + 8 * (size_t)rank)
		return rank <= 6 ? bad(why, "is an array of more than 4 dimensions") : malformed(why);
	shape.rank = rank;
	size = rn_pg_get32(p + 8) == RN_PG_FLOAT8 ? 8 : 4;
	for (uint32_t d = 0; d < rank; d++)
		shape.dim[d] = rn_pg_get32(p + 12 + 8 * d);
	p += 12 + 8 * (size_t)rank;
	RN_TRY(take_shape(f, i, &shape, (size_t)(end - p), &to, why, e));
	for (uint32_t k = rn_shape_width(&shape); k; k--) {
		uint32_t len;

		if (end - p < 4)
			return malformed(why);
		len = rn_pg_get32(p);
		p += 4;
		if (len == UINT32_MAX) {
			*to++ = 0;
			++*nulls;
			continue;
		}
		if (len != size || end - p < (ptrdiff_t)size)
			return malformed(why);
		*to++ = size == 8 ? (float)float8_of(p) : float4_of(p);
		p += size;
	}
	return p == end ? 0 : malformed(why);
}

static int put_vector(const unsigned char *p, size_t n, struct rn_fill *f, size_t i,
		      const char **why, struct rn_err *e)
{
	struct rn_shape shape = { 1, { n >= 4 ? rn_pg_get16(p) : 0 } };
	float *to;

	if (n != 4 + 4 * (size_t)shape.dim[0])
		return malformed(why);
	RN_TRY(take_shape(f, i, &shape, n - 4, &to, why, e));
	for (uint32_t k = 0; k < shape.dim[0]; k++)
		to[k] = float4_of(p + 4 + 4 * (size_t)k);
	return 0;
}

/* ---- any value ------------------------------------------------------------------------------ */

static int put_null(struct rn_fill *f, size_t i, uint64_t *nulls, struct rn_err *e)
{
	size_t width = rn_shape_width(&f->cols[i].shape);
	float *to;

	if (!f->cols[i].part)
		return rn_fill_null(f, i, e);
	++*nulls;
	if (!width)
		return 0; /* take_shape makes up for it */
	RN_TRY(rn_fill_floats(f, i, width, &to, e));
	set_zero(to, width);
	return 0;
}

int rn_pg_value(enum rn_pg_kind kind, const unsigned char *p, size_t n, struct rn_fill *f, size_t i,
		const char **why, uint64_t *nulls, struct rn_err *e)
{
	struct numeric v;

	if (!p)
		return put_null(f, i, nulls, e);
	switch (kind) {
	case RN_PG_AS_BOOL:
		if (n != 1 || *p > 1)
			return malformed(why);
		rn_fill_bool(f, i, *p);
		return 0;
	case RN_PG_AS_INT:
		return put_int(p, n, f, i, why);
	case RN_PG_AS_OID:
		if (n != 4)
			return malformed(why);
		rn_fill_int(f, i, rn_pg_get32(p));
		return 0;
	case RN_PG_AS_FLOAT:
		if (n != 4 && n != 8)
			return malformed(why);
		return rn_fill_float(f, i, n == 8 ? float8_of(p) : (double)float4_of(p), e);
	case RN_PG_AS_NUMERIC:
		if (!read_numeric(p, n, &v))
			return malformed(why);
		return rn_fill_float(f, i, float_of(&v), e);
	case RN_PG_AS_DECIMAL:
		if (!read_numeric(p, n, &v))
			return malformed(why);
		return put_decimal(&v, f, i, why, e);
	case RN_PG_AS_TEXT:
		return put_text(p, n, f, i, why, e);
	case RN_PG_AS_UUID:
		return put_uuid(p, n, f, i, why, e);
	case RN_PG_AS_JSONB: /* a version, then text */
		return n && *p == 1 ? put_text(p + 1, n - 1, f, i, why, e) : malformed(why);
	case RN_PG_AS_DATE:
		return n == 4 ? put_time((int32_t)rn_pg_get32(p), true, f, i, why) : malformed(why);
	case RN_PG_AS_TIME:
		return n == 8 ? put_time((int64_t)rn_pg_get64(p), false, f, i, why) : malformed(why);
	case RN_PG_AS_ARRAY:
		return put_array(p, n, f, i, why, nulls, e);
	case RN_PG_AS_VECTOR:
		return put_vector(p, n, f, i, why, e);
	default:
		return bad(why, "has a type that cannot be read");
	}
}
