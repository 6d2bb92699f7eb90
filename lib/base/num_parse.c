/* SPDX-License-Identifier: Apache-2.0
 *
 * Integers and floats from text (num_pow.h says by which arithmetic).
 */
#include "num_fast.h"
#include "num_pow.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DIGITS = 800 }; /* no double needs more significant digits to be rounded */

const uint64_t rn_pow5[RN_MAX_POW5 + 1] = {
	1ull, 5ull, 25ull, 125ull, 625ull, 3125ull, 15625ull, 78125ull, 390625ull, 1953125ull,
	9765625ull, 48828125ull, 244140625ull, 1220703125ull, 6103515625ull, 30517578125ull,
	152587890625ull, 762939453125ull, 3814697265625ull, 19073486328125ull,
	95367431640625ull, 476837158203125ull, 2384185791015625ull, 11920928955078125ull,
	59604644775390625ull, 298023223876953125ull, 1490116119384765625ull,
	7450580596923828125ull,
};
const double rn_pow10[23] = {
	1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
};

/* n of 1 to 8 digits, with 8 readable bytes, as eight with zeros before them. */
static inline bool few_digits(const char *s, size_t n, uint64_t *v)
{
	uint64_t x = rn_align_digits(rn_load8(s), n);

	if (rn_no_digits(x))
		return false;
	*v = rn_eight_value(x);
	return true;
}

static inline bool eight_digits(const char *s, uint64_t *v)
{
	return few_digits(s, 8, v);
}

bool rn_int64_parse(const char *s, size_t n, int64_t *out)
{
	const char *end = s + n;
	bool neg = n && *s == '-';
	uint64_t v = 0, chunk;

	s += neg;
	if (s == end)
		return false;
	while (end - s > 18 && *s == '0')
		s++;
	if (end - s > 19)
		return false;
	while (end - s >= 8) {
		if (!eight_digits(s, &chunk))
			return false;
		v = v * 100000000 + chunk;
		s += 8;
	}
	for (; s < end; s++) {
		if (!rn_is_digit(*s))
			return false;
		v = v * 10 + (uint64_t)(*s - '0');
	}
	if (v > (uint64_t)INT64_MAX + neg)
		return false;
	*out = neg ? (int64_t)(0 - v) : (int64_t)v;
	return true;
}

bool rn_int64_parse_padded(const char *s, size_t n, int64_t *out)
{
	bool neg = n && *s == '-';
	size_t digits = n - neg;
	const char *p = s + neg;
	uint64_t high = 0, low;

	if (!digits || digits > 16)
		return rn_int64_parse(s, n, out);
	if (digits > 8) {
		if (!few_digits(p, digits - 8, &high))
			return false;
		p += digits - 8;
		digits = 8;
	}
	if (!few_digits(p, digits, &low))
		return false;
	low += high * 100000000;
	*out = neg ? -(int64_t)low : (int64_t)low;
	return true;
}

/* m * 2^e2 rounded to nearest even, sticky: the exact value is a little more. */
static double scale_round(unsigned __int128 m, bool sticky, int e2)
{
	int bits = m >> 64 ? 128 - __builtin_clzll((uint64_t)(m >> 64)) :
			     64 - __builtin_clzll((uint64_t)m);
	int drop = bits - 53;
	uint64_t r;

	if (drop <= 0)
		return ldexp((double)(uint64_t)m, e2);
	r = (uint64_t)(m >> drop);
	m &= ((unsigned __int128)1 << drop) - 1;
	if (m > (unsigned __int128)1 << (drop - 1) ||
	    (m == (unsigned __int128)1 << (drop - 1) && (sticky || (r & 1))))
		r++;
	return ldexp((double)r, e2 + drop);
}

/* m * 10^exp10 for m > 0 and |exp10| <= RN_MAX_POW5. */
static double exact_scale(uint64_t m, int exp10)
{
	unsigned __int128 a, quot;
	int lead;

	if (m <= (1ull << 53) && exp10 >= -22 && exp10 <= 22)
		return exp10 < 0 ? (double)m / rn_pow10[-exp10] : (double)m * rn_pow10[exp10];
	if (exp10 >= 0)
		return scale_round((unsigned __int128)m * rn_pow5[exp10], false, exp10);
	/* At least 64 bits of quotient, and the remainder as the sticky bit. */
	lead = __builtin_clzll(m);
	a = (unsigned __int128)(m << lead) << 64;
	quot = a / rn_pow5[-exp10];
	return scale_round(quot, quot * rn_pow5[-exp10] != a, exp10 - 64 - lead);
}

/* The digits of s (signs and points passed over) times 10^exp10, by strtod. */
static double slow_scale(const char *s, const char *end, long exp10)
{
	char buf[MAX_DIGITS + 40];
	size_t n = 0;
	bool any = false;

	for (; s < end; s++) {
		if (!rn_is_digit(*s) || (!any && *s == '0'))
			continue;
		any = true;
		if (n < MAX_DIGITS)
			buf[n++] = *s;
		else {
			/* What is left only matters as not being zero. */
			if (*s != '0')
				buf[MAX_DIGITS - 1] = '1';
			exp10++;
		}
	}
	if (!n)
		return 0;
	snprintf(buf + n, sizeof buf - n, "e%ld", exp10);
	return strtod(buf, NULL);
}

static bool parse_word(const char *s, size_t n, double *out)
{
	static const struct {
		const char *word;
		double value;
	} words[] = { { "nan", NAN }, { "inf", INFINITY }, { "infinity", INFINITY } };

	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		const char *w = words[i].word;
		size_t k = 0;

		while (k < n && w[k] && (s[k] | 0x20) == w[k])
			k++;
		if (k == n && !w[k]) {
			*out = words[i].value;
			return true;
		}
	}
	return false;
}

/* An exponent of at most a few digits; far values are cut, they mean 0 or inf. */
static bool parse_exponent(const char *s, const char *end, long *out)
{
	bool neg = s < end && *s == '-';
	long v = 0;

	if (s < end && (*s == '-' || *s == '+'))
		s++;
	if (s == end)
		return false;
	for (; s < end; s++) {
		if (!rn_is_digit(*s))
			return false;
		if (v < 100000000)
			v = v * 10 + (*s - '0');
	}
	*out = neg ? -v : v;
	return true;
}

/* Digits from s into m (at most 19 significant ones); returns where they end. */
static inline const char *scan_digits(const char *s, const char *end, uint64_t *m)
{
	uint64_t chunk;

	while (end - s >= 8 && eight_digits(s, &chunk)) {
		*m = *m * 100000000 + chunk;
		s += 8;
	}
	while (s < end && rn_is_digit(*s))
		*m = *m * 10 + (uint64_t)(*s++ - '0');
	return s;
}

bool rn_float64_parse(const char *s, size_t n, double *out)
{
	const char *end = s + n, *digits, *p, *frac = NULL, *sig;
	bool neg = n && *s == '-';
	uint64_t m = 0;
	long exp10 = 0, nfrac = 0;
	double v;

	s += neg;
	digits = s;
	p = scan_digits(s, end, &m);
	if (p < end && *p == '.') {
		frac = p + 1;
		p = scan_digits(frac, end, &m);
		nfrac = p - frac;
	}
	if (p == digits + (frac != NULL)) { /* no digit at all */
		if (frac || !parse_word(s, (size_t)(end - s), &v))
			return false;
		*out = neg ? -v : v;
		return true;
	}
	s = p;
	if (p < end) {
		if ((*p | 0x20) != 'e' || !parse_exponent(p + 1, end, &exp10))
			return false;
	}
	exp10 -= nfrac;
	for (sig = digits; sig < s && (*sig == '0' || *sig == '.'); sig++)
		;
	if (sig == s)
		v = 0;
	else if (s - sig - (frac && sig < frac) <= 19 && exp10 >= -RN_MAX_POW5 && exp10 <= RN_MAX_POW5)
		v = exact_scale(m, (int)exp10);
	else
		v = slow_scale(sig, s, exp10);
	*out = neg ? -v : v;
	return true;
}

/* One to seven digits, a point, one to eight digits: at most 2^53 by a power of ten. */
bool rn_float64_parse_padded(const char *s, size_t n, double *out)
{
	bool neg = n && *s == '-';
	const char *p = s + neg;
	size_t len = n - neg, point, after;
	uint64_t other, whole, frac;
	double v;

	if (len < 3 || len > 16)
		return rn_float64_parse(s, n, out);
	other = rn_no_digits(rn_load8(p));
	point = other ? (size_t)__builtin_ctzll(other) / 8 : 0;
	after = len - point - 1;
	if (!point || point + 2 > len || p[point] != '.' || after > 8 ||
	    !few_digits(p, point, &whole) || !few_digits(p + point + 1, after, &frac))
		return rn_float64_parse(s, n, out);
	v = (double)(whole * (uint64_t)rn_pow10[after] + frac) / rn_pow10[after];
	*out = neg ? -v : v;
	return true;
}
