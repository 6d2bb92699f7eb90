/* SPDX-License-Identifier: Apache-2.0
 *
 * Integers and floats to text (num_pow.h says by which arithmetic).
 */
#include "num.h"
#include "num_pow.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char pairs[] = "00010203040506070809101112131415161718192021222324"
			    "25262728293031323334353637383940414243444546474849"
			    "50515253545556575859606162636465666768697071727374"
			    "75767778798081828384858687888990919293949596979899";

/* Digits of v at p; returns how many. */
static size_t put_uint(uint64_t v, char *p)
{
	char tmp[20];
	size_t i = sizeof tmp;

	while (v >= 100) {
		i -= 2;
		memcpy(tmp + i, pairs + 2 * (v % 100), 2);
		v /= 100;
	}
	if (v >= 10) {
		i -= 2;
		memcpy(tmp + i, pairs + 2 * v, 2);
	} else {
		tmp[--i] = (char)('0' + v);
	}
	memcpy(p, tmp + i, sizeof tmp - i);
	return sizeof tmp - i;
}

size_t rn_int64_format(int64_t v, char *buf)
{
	if (v >= 0)
		return put_uint((uint64_t)v, buf);
	*buf = '-';
	return 1 + put_uint(0 - (uint64_t)v, buf + 1);
}

/* digits * 10^exp10 in positional notation for 1e-5 <= v < 1e16, else as 1.5e-7. */
static size_t put_decimal(uint64_t digits, int exp10, char *buf)
{
	char d[20];
	int n, point;
	char *p = buf;

	while (digits % 10 == 0 && digits) {
		digits /= 10;
		exp10++;
	}
	n = (int)put_uint(digits, d);
	point = n + exp10; /* the value is 0.ddd * 10^point */
	if (point > 16 || point < -4) {
		*p++ = d[0];
		if (n > 1) {
			*p++ = '.';
			memcpy(p, d + 1, (size_t)n - 1);
			p += n - 1;
		}
		*p++ = 'e';
		return (size_t)(p - buf) + rn_int64_format(point - 1, p);
	}
	if (point <= 0) {
		*p++ = '0';
		*p++ = '.';
		for (int i = point; i < 0; i++)
			*p++ = '0';
		memcpy(p, d, (size_t)n);
		p += n;
	} else if (point >= n) {
		memcpy(p, d, (size_t)n);
		p += n;
		for (int i = n; i < point; i++)
			*p++ = '0';
	} else {
		memcpy(p, d, (size_t)point);
		p += point;
		*p++ = '.';
		memcpy(p, d + point, (size_t)(n - point));
		p += n - point;
	}
	return (size_t)(p - buf);
}

/* The shortest decimal in the rounding interval of m * 2^e, and of those the
 * nearest: Ryu (Adams, PLDI 2018), whose tables the exact 128-bit product
 * replaces.  Only for exponents that it holds; false elsewhere.  `half_gap_below`: m is a
 * power of two, its lower neighbour is half as far. */
static bool shortest(uint64_t m, int e, bool half_gap_below, uint64_t *digits, int *exp10)
{
	int e2 = e - 2, q, i;
	bool accept = !(m & 1), vm_exact, vr_exact;
	unsigned __int128 r, hi, lo, mask;
	uint64_t vr, vp, vm;
	unsigned last = 0;

	if (e2 >= 0 || e2 < -128)
		return false;
	q = (int)((unsigned)-e2 * 732923u >> 20); /* floor(-e2 * log10(5)) */
	q -= q > 1;
	i = -e2 - q; /* now value * 10^i = (4m * 5^i) / 2^q */
	if (i > RN_MAX_POW5)
		return false;
	r = (unsigned __int128)(4 * m) * rn_pow5[i];
	hi = r + 2 * (unsigned __int128)rn_pow5[i];
	lo = r - (half_gap_below ? 1 : 2) * (unsigned __int128)rn_pow5[i];
	mask = ((unsigned __int128)1 << q) - 1;
	vr_exact = !(r & mask);
	vm_exact = accept && !(lo & mask);
	vr = (uint64_t)(r >> q);
	vp = (uint64_t)(hi >> q);
	vm = (uint64_t)(lo >> q);
	vp -= !accept && !(hi & mask);
	*exp10 = -i;
	while (vp / 10 > vm / 10) {
		vm_exact &= vm % 10 == 0;
		vr_exact &= last == 0;
		last = (unsigned)(vr % 10);
		vr /= 10;
		vp /= 10;
		vm /= 10;
		++*exp10;
	}
	while (vm_exact && vm && vm % 10 == 0) {
		vr_exact &= last == 0;
		last = (unsigned)(vr % 10);
		vr /= 10;
		vm /= 10;
		++*exp10;
	}
	if (vr_exact && last == 5 && vr % 2 == 0)
		last = 4; /* an exact tie goes to the even digit */
	*digits = vr + ((vr == vm && !vm_exact) || last >= 5);
	return true;
}

/* Ask snprintf for more and more digits until they read back.  Every decimal of 15
 * (single: 6) digits comes back from a normal float, so fewer need no trial:
 * put_decimal drops the zeros. */
static size_t format_slow(double v, bool single, char *buf)
{
	char text[64], back[64];
	bool subnormal = v < (single ? 0x1p-126 : 0x1p-1022);
	int top = single ? 9 : 17;

	for (int n = subnormal ? 1 : single ? 6 : 15;; n++) {
		char digits[24];
		int k = 0, exp10;

		snprintf(text, sizeof text, "%.*e", n - 1, v);
		for (const char *p = text; *p != 'e'; p++)
			if (rn_is_digit(*p))
				digits[k++] = *p;
		digits[k] = '\0';
		exp10 = atoi(strchr(text, 'e') + 1) - (k - 1);
		snprintf(back, sizeof back, "%se%d", digits, exp10);
		if (n == top || (single ? strtof(back, NULL) == (float)v : strtod(back, NULL) == v))
			return put_decimal(strtoull(digits, NULL, 10), exp10, buf);
	}
}

/* What both widths share: sign, words and small integers.  0: go on with *v > 0. */
static size_t format_easy(double *v, double exact_below, char *buf, size_t *sign)
{
	*sign = 0;
	if (isnan(*v)) {
		memcpy(buf, "nan", 3);
		return 3;
	}
	if (signbit(*v)) {
		buf[(*sign)++] = '-';
		*v = -*v;
	}
	if (isinf(*v)) {
		memcpy(buf + *sign, "inf", 3);
		return *sign + 3;
	}
	/* Below 2^(bits of the mantissa) the interval holds no other integer. */
	if (*v < exact_below && *v == (double)(uint64_t)*v)
		return *sign + put_uint((uint64_t)*v, buf + *sign);
	return 0;
}

size_t rn_float64_format(double v, char *buf)
{
	uint64_t bits, m, digits;
	size_t sign, n = format_easy(&v, 9007199254740992.0, buf, &sign);
	int e, exp10;

	if (n)
		return n;
	memcpy(&bits, &v, sizeof bits);
	m = bits & ((1ull << 52) - 1);
	e = (int)(bits >> 52 & 0x7FF);
	if (e && shortest(m | 1ull << 52, e - 1075, !m && e > 1, &digits, &exp10))
		return sign + put_decimal(digits, exp10, buf + sign);
	return sign + format_slow(v, false, buf + sign);
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
	e = (int)(bits >> 23 & 0xFF);
	if (e && shortest(m | 1u << 23, e - 150, !m && e > 1, &digits, &exp10))
		return sign + put_decimal(digits, exp10, buf + sign);
	return sign + format_slow(v, true, buf + sign);
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
