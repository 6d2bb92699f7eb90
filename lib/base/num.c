/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers as text.  Integer arithmetic of 128 bits decides both directions
 * exactly for decimal exponents of -27 to 27 (5^27 < 2^63), which is nearly all
 * of what real tables hold; the rest goes through strtod and snprintf, with
 * digits that carry no decimal point, so that no locale can change them.
 */
#include "num.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	MAX_POW5 = 27,
	MAX_DIGITS = 800, /* no double needs more significant digits to be rounded */
};

static const uint64_t pow5[MAX_POW5 + 1] = {
	1ull, 5ull, 25ull, 125ull, 625ull, 3125ull, 15625ull, 78125ull, 390625ull, 1953125ull,
	9765625ull, 48828125ull, 244140625ull, 1220703125ull, 6103515625ull, 30517578125ull,
	152587890625ull, 762939453125ull, 3814697265625ull, 19073486328125ull,
	95367431640625ull, 476837158203125ull, 2384185791015625ull, 11920928955078125ull,
	59604644775390625ull, 298023223876953125ull, 1490116119384765625ull,
	7450580596923828125ull,
};

static const double pow10d[23] = {
	1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
};

static bool is_digit(char c)
{
	return (unsigned char)(c - '0') < 10;
}

/* ---- parsing ----------------------------------------------------------------- */

/* Eight digits in x, the first in the lowest byte, as a number (D. Lemire,
 * "Number parsing at a gigabyte per second", 2021). */
static inline uint64_t eight_value(uint64_t x)
{
	x -= 0x3030303030303030ull;
	x = x * 10 + (x >> 8);
	return ((x & 0x000000FF000000FFull) * 0x000F424000000064ull +
		((x >> 16) & 0x000000FF000000FFull) * 0x0000271000000001ull) >>
	       32;
}

static inline uint64_t load8(const char *s)
{
	uint64_t x;

	memcpy(&x, s, 8);
	return x;
}

/* Nonzero bytes where x has no digit (above the first of them not exact). */
static inline uint64_t no_digits(uint64_t x)
{
	return ((x & 0xF0F0F0F0F0F0F0F0ull) ^ 0x3030303030303030ull) |
	       (((x + 0x0606060606060606ull) & 0xF0F0F0F0F0F0F0F0ull) ^ 0x3030303030303030ull);
}

/* n of 1 to 8 digits, with 8 readable bytes, as eight with zeros before them. */
static inline bool few_digits(const char *s, size_t n, uint64_t *v)
{
	uint64_t x = load8(s) << (64 - 8 * n) | 0x3030303030303030ull >> 1 >> (8 * n - 1);

	if (no_digits(x))
		return false;
	*v = eight_value(x);
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
		if (!is_digit(*s))
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

/* m * 10^exp10 for m > 0 and |exp10| <= MAX_POW5. */
static double exact_scale(uint64_t m, int exp10)
{
	unsigned __int128 a, quot;
	int lead;

	if (m <= (1ull << 53) && exp10 >= -22 && exp10 <= 22)
		return exp10 < 0 ? (double)m / pow10d[-exp10] : (double)m * pow10d[exp10];
	if (exp10 >= 0)
		return scale_round((unsigned __int128)m * pow5[exp10], false, exp10);
	/* At least 64 bits of quotient, and the remainder as the sticky bit. */
	lead = __builtin_clzll(m);
	a = (unsigned __int128)(m << lead) << 64;
	quot = a / pow5[-exp10];
	return scale_round(quot, quot * pow5[-exp10] != a, exp10 - 64 - lead);
}

/* The digits of s (signs and points passed over) times 10^exp10, by strtod. */
static double slow_scale(const char *s, const char *end, long exp10)
{
	char buf[MAX_DIGITS + 40];
	size_t n = 0;
	bool any = false;

	for (; s < end; s++) {
		if (!is_digit(*s) || (!any && *s == '0'))
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
		if (!is_digit(*s))
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
	while (s < end && is_digit(*s))
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
	else if (s - sig - (frac && sig < frac) <= 19 && exp10 >= -MAX_POW5 && exp10 <= MAX_POW5)
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
	other = no_digits(load8(p));
	point = other ? (size_t)__builtin_ctzll(other) / 8 : 0;
	after = len - point - 1;
	if (!point || point + 2 > len || p[point] != '.' || after > 8 ||
	    !few_digits(p, point, &whole) || !few_digits(p + point + 1, after, &frac))
		return rn_float64_parse(s, n, out);
	v = (double)(whole * (uint64_t)pow10d[after] + frac) / pow10d[after];
	*out = neg ? -v : v;
	return true;
}

/* ---- timestamps -------------------------------------------------------------- */

#define US_PER_SECOND 1000000ll
#define US_PER_DAY    (86400 * US_PER_SECOND)

/* Days since 1970-01-01 of a date of the proleptic Gregorian calendar, and back
 * (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms"): years start in
 * March, eras have 400 of them. */
static int64_t days_from_civil(int64_t y, unsigned m, unsigned d)
{
	int64_t era;
	unsigned yoe, doy, doe;

	y -= m <= 2;
	era = (y >= 0 ? y : y - 399) / 400;
	yoe = (unsigned)(y - era * 400);
	doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
	doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
	return era * 146097 + (int64_t)doe - 719468;
}

static void civil_from_days(int64_t z, int64_t *y, unsigned *m, unsigned *d)
{
	int64_t era;
	unsigned doe, yoe, doy, mp;

	z += 719468;
	era = (z >= 0 ? z : z - 146096) / 146097;
	doe = (unsigned)(z - era * 146097);
	yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	mp = (5 * doy + 2) / 153;
	*d = doy - (153 * mp + 2) / 5 + 1;
	*m = mp < 10 ? mp + 3 : mp - 9;
	*y = (int64_t)yoe + era * 400 + (*m <= 2);
}

static unsigned month_days(int64_t y, unsigned m)
{
	static const unsigned char days[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;

	return days[m - 1] + (m == 2 && leap);
}

/* Exactly n digits at *s, moved past; false leaves *s anywhere. */
static bool take_digits(const char **s, const char *end, int n, unsigned *out)
{
	*out = 0;
	for (int i = 0; i < n; i++, (*s)++) {
		if (*s == end || !is_digit(**s))
			return false;
		*out = *out * 10 + (unsigned)(**s - '0');
	}
	return true;
}

static bool take_char(const char **s, const char *end, char c)
{
	if (*s == end || **s != c)
		return false;
	(*s)++;
	return true;
}

static bool take_date(const char **s, const char *end, int64_t *days)
{
	bool neg = take_char(s, end, '-');
	bool expanded = neg || take_char(s, end, '+');
	unsigned y, m, d;
	int64_t year;

	if (!take_digits(s, end, expanded ? 6 : 4, &y) || !take_char(s, end, '-') ||
	    !take_digits(s, end, 2, &m) || !take_char(s, end, '-') ||
	    !take_digits(s, end, 2, &d))
		return false;
	year = neg ? -(int64_t)y : (int64_t)y;
	if (m < 1 || m > 12 || d < 1 || d > month_days(year, m))
		return false;
	*days = days_from_civil(year, m, d);
	return true;
}

/* HH:MM[:SS[.fraction]] */
static bool take_time(const char **s, const char *end, int64_t *us)
{
	unsigned h, m, sec = 0, frac = 0;

	if (!take_digits(s, end, 2, &h) || !take_char(s, end, ':') ||
	    !take_digits(s, end, 2, &m) || h > 23 || m > 59)
		return false;
	if (take_char(s, end, ':')) {
		if (!take_digits(s, end, 2, &sec) || sec > 59)
			return false;
		if (take_char(s, end, '.')) {
			int n = 0;

			for (; *s < end && is_digit(**s) && n < 9; n++, (*s)++)
				if (n < 6)
					frac = frac * 10 + (unsigned)(**s - '0');
			if (!n)
				return false;
			for (; n < 6; n++)
				frac *= 10;
		}
	}
	*us = (int64_t)(h * 3600 + m * 60 + sec) * US_PER_SECOND + frac;
	return true;
}

/* Z, ±hh, ±hhmm, ±hh:mm; nothing: UTC. */
static bool take_zone(const char **s, const char *end, int64_t *us)
{
	unsigned h, m = 0;
	bool neg;

	*us = 0;
	if (*s == end || take_char(s, end, 'Z') || take_char(s, end, 'z'))
		return true;
	neg = take_char(s, end, '-');
	if (!neg && !take_char(s, end, '+'))
		return false;
	if (!take_digits(s, end, 2, &h) || h > 23)
		return false;
	if (*s < end) {
		take_char(s, end, ':');
		if (!take_digits(s, end, 2, &m) || m > 59)
			return false;
	}
	*us = (int64_t)(h * 3600 + m * 60) * US_PER_SECOND * (neg ? -1 : 1);
	return true;
}

bool rn_timestamp_parse(const char *s, size_t n, int64_t *us)
{
	const char *end = s + n;
	int64_t days, time = 0, zone = 0, v;

	if (!take_date(&s, end, &days))
		return false;
	if (s < end) {
		if (!take_char(&s, end, 'T') && !take_char(&s, end, ' ') &&
		    !take_char(&s, end, 't'))
			return false;
		if (!take_time(&s, end, &time) || !take_zone(&s, end, &zone) || s != end)
			return false;
	}
	/* days * US_PER_DAY alone may pass INT64_MIN where the sum does not. */
	if (days < 0) {
		days++;
		time -= US_PER_DAY;
	}
	if (__builtin_mul_overflow(days, US_PER_DAY, &v) ||
	    __builtin_add_overflow(v, time - zone, us))
		return false;
	return true;
}

static char *put_digits(char *p, unsigned v, int n)
{
	for (int i = n; i-- > 0; v /= 10)
		p[i] = (char)('0' + v % 10);
	return p + n;
}

size_t rn_timestamp_format(int64_t us, char *buf)
{
	int64_t days = us / US_PER_DAY, rest = us % US_PER_DAY, y;
	unsigned m, d, sec, frac;
	char *p = buf;

	if (rest < 0) {
		rest += US_PER_DAY;
		days--;
	}
	civil_from_days(days, &y, &m, &d);
	sec = (unsigned)(rest / US_PER_SECOND);
	frac = (unsigned)(rest % US_PER_SECOND);
	if (y < 0 || y > 9999) {
		*p++ = y < 0 ? '-' : '+';
		p = put_digits(p, (unsigned)(y < 0 ? -y : y), 6);
	} else {
		p = put_digits(p, (unsigned)y, 4);
	}
	*p++ = '-';
	p = put_digits(p, m, 2);
	*p++ = '-';
	p = put_digits(p, d, 2);
	*p++ = 'T';
	p = put_digits(p, sec / 3600, 2);
	*p++ = ':';
	p = put_digits(p, sec / 60 % 60, 2);
	*p++ = ':';
	p = put_digits(p, sec % 60, 2);
	if (frac) {
		*p++ = '.';
		p = put_digits(p, frac, 6);
		while (p[-1] == '0')
			p--;
	}
	*p++ = 'Z';
	return (size_t)(p - buf);
}

/* ---- printing ---------------------------------------------------------------- */

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
	if (i > MAX_POW5)
		return false;
	r = (unsigned __int128)(4 * m) * pow5[i];
	hi = r + 2 * (unsigned __int128)pow5[i];
	lo = r - (half_gap_below ? 1 : 2) * (unsigned __int128)pow5[i];
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
			if (is_digit(*p))
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
