/* SPDX-License-Identifier: Apache-2.0
 *
 * Timestamps: ISO 8601 from text and to text.
 */
#include "num.h"
#include "num_pow.h"

#include <string.h>

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
		if (*s == end || !rn_is_digit(**s))
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

			for (; *s < end && rn_is_digit(**s) && n < 9; n++, (*s)++)
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
