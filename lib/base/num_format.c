/* SPDX-License-Identifier: Apache-2.0
 *
 * Integers and floats to text.
 */
#include "num.h"
#include "num_pow10.h"

#include <math.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "digits are made eight to a word");

static const uint64_t pow10[] = {
	1ull, 10ull, 100ull, 1000ull, 10000ull, 100000ull, 1000000ull, 10000000ull, 100000000ull,
	1000000000ull, 10000000000ull, 100000000000ull, 1000000000000ull, 10000000000000ull,
	100000000000000ull, 1000000000000000ull, 10000000000000000ull, 100000000000000000ull,
	1000000000000000000ull, 10000000000000000000ull,
};

/* ---- digits, eight at a time ------------------------------------------------- */

#define ZEROS 0x3030303030303030u

/* The digits of v < 10^8, one to a byte, the first in the lowest: each step divides all
 * fields of the word at once, by a multiplication that is exact for what they can hold. */
static uint64_t eight_digits(uint32_t v)
{
	uint64_t x = (uint64_t)(v % 10000) << 32 | v / 10000, q;

	q = (x * 10486 >> 20) & 0x0000007F0000007Fu; /* fours into pairs, by 100 */
	x = (x << 16) - q * ((100 << 16) - 1);
	q = (x * 103 >> 10) & 0x000F000F000F000Fu; /* pairs into digits, by 10 */
	return (x << 8) - q * ((10 << 8) - 1);
}

static void put8(char *p, uint64_t digits)
{
	digits |= ZEROS;
	memcpy(p, &digits, sizeof digits);
}

/* Digits of v < 10^8 at p; returns how many.  Writes 8 bytes. */
static size_t put_small(uint32_t v, char *p)
{
	uint64_t d = eight_digits(v);
	unsigned zeros = (unsigned)__builtin_ctzll(d | 1ull << 56) / 8; /* 0 has a digit */

	d = (d | ZEROS) >> 8 * zeros;
	memcpy(p, &d, sizeof d);
	return 8 - zeros;
}

/* Digits of v at p; returns how many.  Writes up to 24 bytes. */
static size_t put_uint(uint64_t v, char *p)
{
	size_t n;

	if (v < pow10[8])
		return put_small((uint32_t)v, p);
	if (v < pow10[16]) {
		n = put_small((uint32_t)(v / pow10[8]), p);
	} else {
		n = put_small((uint32_t)(v / pow10[16]), p);
		v %= pow10[16];
		put8(p + n, eight_digits((uint32_t)(v / pow10[8])));
		n += 8;
	}
	put8(p + n, eight_digits((uint32_t)(v % pow10[8])));
	return n + 8;
}

size_t rn_int64_format(int64_t v, char *buf)
{
	if (v >= 0)
		return put_uint((uint64_t)v, buf);
	*buf = '-';
	return 1 + put_uint(0 - (uint64_t)v, buf + 1);
}

/* How many decimal digits v > 0 has. */
static int count_digits(uint64_t v)
{
	int n = (64 - __builtin_clzll(v)) * 1233 >> 12; /* times log10(2): exact, or one less */

	return n + (v >= pow10[n]);
}

/* d: n digits, at most 17, and zeros behind them; the value is 0.ddd * 10^point.  In positional
 * notation for 1e-5 <= v < 1e16, else as 1.5e-7.  Copies are of fixed sizes: buf has
 * RN_NUM_MAX bytes. */
static size_t put_decimal(const char d[41], int n, int point, char *buf)
{
	if (point > 16 || point < -4) {
		size_t len = n > 1 ? (size_t)n + 1 : 1;

		buf[0] = d[0];
		buf[1] = '.';
		memcpy(buf + 2, d + 1, 16);
		buf[len++] = 'e';
		return len + rn_int64_format(point - 1, buf + len);
	}
	if (point <= 0) {
		memcpy(buf, "0.000000", 8);
		memcpy(buf + 2 - point, d, 24);
		return (size_t)(2 - point + n);
	}
	memcpy(buf, d, 24);
	if (point >= n)
		return (size_t)point;
	memcpy(buf + point + 1, d + point, 17);
	buf[point] = '.';
	return (size_t)n + 1;
}

/* digits * 10^exp10, digits > 0 and of at most 17 digits. */
static size_t put_digits(uint64_t digits, int exp10, char *buf)
{
	int n = count_digits(digits), point = n + exp10;
	uint64_t rest, hi, lo;
	char d[41];

	digits *= pow10[17 - n];
	rest = digits % pow10[16];
	hi = eight_digits((uint32_t)(rest / pow10[8]));
	lo = eight_digits((uint32_t)(rest % pow10[8]));
	n = lo ? 17 - __builtin_clzll(lo) / 8 : hi ? 9 - __builtin_clzll(hi) / 8 : 1;
	d[0] = (char)('0' + digits / pow10[16]);
	put8(d + 1, hi);
	put8(d + 9, lo);
	memset(d + 17, '0', 24);
	return put_decimal(d, n, point, buf);
}

/* ---- floats -------------------------------------------------------------------- */

/* The integer part of g * cp / 2^127, of which bit 0 also stands for what was cut off. */
static uint64_t round_to_odd(const struct rn_pow10 *g, uint64_t cp)
{
	unsigned __int128 x = (unsigned __int128)g->lo * cp, y = (unsigned __int128)g->hi * cp;

	y += (uint64_t)(x >> 64);
	return (uint64_t)(y >> 64) | ((uint64_t)y > 1);
}

/* The shortest decimal in the rounding interval of c * 2^q, and of those the nearest, the
 * even one of two: Schubfach (Giulietti, 2020).  Ends of the interval belong to it where c is
 * even.  `closer`: c is the least of its binade, its lower neighbour is half as far.  *digits
 * may end in zeros. */
static void shortest(uint64_t c, int q, bool closer, uint64_t *digits, int *exp10)
{
	/* 10^k <= the length of the interval < 10^(k + 1) */
	int k = (q * 1262611 - (closer ? 524031 : 0)) >> 22;
	int h = q + (-k * 1741647 >> 19) + 1;
	const struct rn_pow10 *g = &rn_pow10_table[-k - RN_MIN_POW10];
	uint64_t odd = c & 1;
	uint64_t lower = round_to_odd(g, (4 * c - 2 + closer) << h) + odd;
	uint64_t v = round_to_odd(g, 4 * c << h); /* four times the value, in units of 10^k */
	uint64_t upper = round_to_odd(g, (4 * c + 2) << h) - odd;
	uint64_t s = v / 4, tens = s / 10;
	bool down = lower <= 40 * tens, up = 40 * tens + 40 <= upper;

	if (s >= 10 && down != up) {
		*digits = tens + up;
		*exp10 = k + 1;
		return;
	}
	down = lower <= 4 * s;
	up = 4 * s + 4 <= upper;
	if (down == up)
		up = v > 4 * s + 2 || (v == 4 * s + 2 && s & 1);
	*digits = s + up;
	*exp10 = k;
}

/* What both widths share: sign, words and small integers.  0: go on with *v > 0. */
static size_t format_easy(double *v, double exact_below, char *buf, size_t *sign)
{
	if (isnan(*v)) {
		*sign = 0;
		memcpy(buf, "nan", 3);
		return 3;
	}
	*buf = '-';
	*sign = signbit(*v) != 0; /* which no branch predictor knows */
	*v = fabs(*v);
	if (isinf(*v)) {
		memcpy(buf + *sign, "inf", 3);
		return *sign + 3;
	}
	/* Below 2^(bits of the mantissa) the interval holds no other integer. */
	if (*v < exact_below && *v == (double)(uint64_t)*v)
		return *sign + put_uint((uint64_t)*v, buf + *sign);
	return 0;
}

/* Behind the point stand `places` digits, of which the last may be zeros. */
static size_t put_fraction(uint64_t digits, int places, char *buf)
{
	char *p = buf;
	uint64_t hi, lo;

	if (places <= 8) {
		lo = eight_digits((uint32_t)(digits * pow10[8 - places]));
		put8(p, lo);
		return 8 - (size_t)__builtin_clzll(lo) / 8;
	}
	if (places <= 16) {
		digits *= pow10[16 - places];
	} else {
		memset(p, '0', 8); /* 17 digits, and zeros before them */
		p += places - 17;
		*p++ = (char)('0' + digits / pow10[16]);
		digits %= pow10[16];
	}
	hi = eight_digits((uint32_t)(digits / pow10[8]));
	lo = eight_digits((uint32_t)(digits % pow10[8]));
	put8(p, hi);
	put8(p + 8, lo);
	p += lo ? 16 - __builtin_clzll(lo) / 8 : hi ? 8 - __builtin_clzll(hi) / 8 : 0;
	return (size_t)(p - buf);
}

/* Decimals of at most 15 digits are different doubles, so one of them that reads back is the
 * only one; and reading is one exact division (Clinger).  What has six places or fewer, as
 * most decimals that people write, is soon found. */
static size_t put_six_places(double v, char *buf)
{
	uint64_t d, whole;
	size_t n;

	if (v < 1e-5 || v >= 1e9)
		return 0;
	d = (uint64_t)(v * 1e6 + 0.5);
	if ((double)d / 1e6 != v)
		return 0;
	whole = d / 1000000;
	n = put_uint(whole, buf);
	buf[n++] = '.';
	d = eight_digits((uint32_t)(d - whole * 1000000) * 100);
	put8(buf + n, d);
	return n + 8 - (size_t)__builtin_clzll(d) / 8;
}

/* Where v is no integer and all integers below `exact_below` are floats of its width, the
 * decimal has the integer part of v: none of another is in v's interval. */
static size_t put_float(double v, double least, double exact_below, uint64_t digits, int exp10,
			char *buf)
{
	uint64_t whole;
	size_t n;

	if (v < least || v >= exact_below)
		return put_digits(digits, exp10, buf);
	whole = (uint64_t)v;
	if (whole)
		digits -= whole * pow10[-exp10];
	n = put_uint(whole, buf);
	buf[n++] = '.';
	return n + put_fraction(digits, -exp10, buf + n);
}

size_t rn_float64_format(double v, char *buf)
{
	uint64_t bits, m, digits;
	size_t sign, n = format_easy(&v, 9007199254740992.0, buf, &sign);
	int e, exp10;

	if (n)
		return n;
	n = put_six_places(v, buf + sign);
	if (n)
		return sign + n;
	memcpy(&bits, &v, sizeof bits);
	m = bits & ((1ull << 52) - 1);
	e = (int)(bits >> 52);
	shortest(e ? m | 1ull << 52 : m, (e ? e : 1) - 1075, !m && e > 1, &digits, &exp10);
	return sign + put_float(v, 1e-5, 9007199254740992.0, digits, exp10, buf + sign);
}

size_t rn_float32_format(float f, char *buf)
{
	double v = (double)f;
	size_t sign, n = format_easy(&v, 16777216.0, buf, &sign);
	uint32_t bits, m;
	uint64_t digits;
	int e, exp10;

	if (n)
		return n;
	f = (float)v;
	memcpy(&bits, &f, sizeof bits);
	m = bits & ((1u << 23) - 1);
	e = (int)(bits >> 23);
	shortest(e ? m | 1u << 23 : m, (e ? e : 1) - 150, !m && e > 1, &digits, &exp10);
	return sign + put_float(v, (double)1e-5f, 16777216.0, digits, exp10, buf + sign);
}

void rn_int64_print(int64_t v, struct rn_str *out)
{
	char buf[RN_NUM_MAX];

	rn_str_addn(out, buf, rn_int64_format(v, buf));
}

void rn_float64_print(double v, struct rn_str *out)
{
	char buf[RN_NUM_MAX];

	rn_str_addn(out, buf, rn_float64_format(v, buf));
}

void rn_float32_print(float v, struct rn_str *out)
{
	char buf[RN_NUM_MAX];

	rn_str_addn(out, buf, rn_float32_format(v, buf));
}

void rn_timestamp_print(int64_t us, struct rn_str *out)
{
	char buf[RN_NUM_MAX];

	rn_str_addn(out, buf, rn_timestamp_format(us, buf));
}
