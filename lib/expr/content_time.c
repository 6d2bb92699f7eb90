/* SPDX-License-Identifier: Apache-2.0
 *
 * Content expressions: functions of timestamps, which are microseconds since
 * 1970-01-01 UTC.
 */
#include "content_node.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#define US   1000000ll
#define HOUR (3600 * US)
#define DAY  (24 * HOUR)

/* ---- calendar -------------------------------------------------------------------------- */

/* a / b and a % b, rounded down. */
static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static int64_t floor_mod(int64_t a, int64_t b)
{
	return a % b + (a % b < 0 ? b : 0);
}

struct date {
	int64_t year;
	int month, day, yearday; /* from 1 */
	int64_t days;		 /* since 1970-01-01 */
};

static bool is_leap(int64_t y)
{
	return y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
}

/* Years that start in March, in eras of 400 of them. */
static struct date date_of(int64_t days)
{
	int64_t z = days + 719468, era = floor_div(z, 146097), d = floor_mod(z, 146097);
	int64_t y = (d - d / 1460 + d / 36524 - d / 146096) / 365;
	int64_t day = d - (365 * y + y / 4 - y / 100), m = (5 * day + 2) / 153;
	struct date t = { .days = days };

	t.day = (int)(day - (153 * m + 2) / 5 + 1);
	t.month = (int)(m < 10 ? m + 3 : m - 9);
	t.year = y + era * 400 + (t.month <= 2);
	/* 1 March is day 60 or 61; 1 January is 306 days after it */
	t.yearday = (int)(day < 306 ? day + 60 + is_leap(y) : day - 305);
	return t;
}

static int64_t days_of(int64_t y, int64_t m, int64_t d)
{
	int64_t era, of_era;

	y -= m <= 2;
	era = floor_div(y, 400);
	of_era = floor_mod(y, 400);
	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 +
	       (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1 - 719468;
}

static int month_days(int64_t y, int m)
{
	static const unsigned char days[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return days[m - 1] + (m == 2 && is_leap(y));
}

/* 1 is Monday; 1970-01-01 was a Thursday. */
static int weekday(int64_t days)
{
	return (int)floor_mod(days + 3, 7) + 1;
}

/* Weeks start on Monday; the first of a year is the one with its first Thursday. */
static int week(int64_t days)
{
	return (date_of(days - weekday(days) + 4).yearday - 1) / 7 + 1;
}

/* ---- parts ----------------------------------------------------------------------------- */

static int64_t time_part(enum rn_cx_op op, int64_t us)
{
	int64_t days = floor_div(us, DAY);

	switch (op) {
	case RN_CX_HOUR:
		return floor_mod(us, DAY) / HOUR;
	case RN_CX_MINUTE:
		return floor_mod(us, HOUR) / (60 * US);
	case RN_CX_SECOND:
		return floor_mod(us, 60 * US) / US;
	case RN_CX_MICROSECOND:
		return floor_mod(us, US);
	case RN_CX_WEEKDAY:
		return weekday(days);
	case RN_CX_WEEK:
		return week(days);
	case RN_CX_YEARDAY:
		return date_of(days).yearday;
	case RN_CX_DAY:
		return date_of(days).day;
	case RN_CX_MONTH:
		return date_of(days).month;
	case RN_CX_QUARTER:
		return (date_of(days).month + 2) / 3;
	default:
		return date_of(days).year;
	}
}

int rn_cx_time_part(struct rn_cx_state *s, const struct rn_cx_node *x,
		    const struct rn_cx_vec *kids, const uint8_t *active, struct rn_cx_vec *out,
		    struct rn_err *e)
{
	int64_t *to = s->scratch[x->index].i;

	(void)active;
	(void)e;
	for (size_t i = 0; i < s->n; i++)
		to[i] = time_part(x->op, kids[0].i[i]);
	out->i = to;
	out->null = kids[0].null;
	return 0;
}

int rn_cx_epoch(struct rn_cx_state *s, const struct rn_cx_node *x, const struct rn_cx_vec *kids,
		const uint8_t *active, struct rn_cx_vec *out, struct rn_err *e)
{
	double *to = s->scratch[x->index].f;

	(void)active;
	(void)e;
	for (size_t i = 0; i < s->n; i++)
		to[i] = (double)kids[0].i[i] / 1e6;
	out->f = to;
	out->null = kids[0].null;
	return 0;
}

int rn_cx_to_timestamp(struct rn_cx_state *s, const struct rn_cx_node *x,
		       const struct rn_cx_vec *kids, const uint8_t *active, struct rn_cx_vec *out,
		       struct rn_err *e)
{
	int64_t *to = s->scratch[x->index].i;

	for (size_t i = 0; i < s->n; i++) {
		double us = round(kids[0].f[i] * 1e6);
		bool fits = us >= -0x1p63 && us < 0x1p63;

		to[i] = fits ? (int64_t)us : 0;
		if (!fits && rn_cx_counts(kids[0].null, active, i))
			return rn_cx_row_fail(s, x, i, e, "%.17g seconds are no timestamp",
					      kids[0].f[i]);
	}
	out->i = to;
	out->null = kids[0].null;
	return 0;
}

/* ---- date_trunc ------------------------------------------------------------------------ */

static const struct {
	const char *name;
	enum rn_cx_op op;
} units[] = {
	{ "year", RN_CX_YEAR }, { "quarter", RN_CX_QUARTER }, { "month", RN_CX_MONTH },
	{ "week", RN_CX_WEEK }, { "day", RN_CX_DAY },	      { "hour", RN_CX_HOUR },
	{ "minute", RN_CX_MINUTE }, { "second", RN_CX_SECOND },
};

#define NO_UNIT "'%.*s' is no year, quarter, month, week, day, hour, minute or second"

static bool find_unit(const struct rn_cx_text *s, enum rn_cx_op *out)
{
	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		if (strlen(units[i].name) == s->n && !strncasecmp(units[i].name, s->s, s->n)) {
			*out = units[i].op;
			return true;
		}
	return false;
}

/* The day on which the year, quarter, month, week or day of `days` starts. */
static int64_t first_day(enum rn_cx_op unit, int64_t days)
{
	struct date d = date_of(days);

	switch (unit) {
	case RN_CX_YEAR:
		return days - d.yearday + 1;
	case RN_CX_QUARTER:
		return days_of(d.year, d.month - (d.month - 1) % 3, 1);
	case RN_CX_MONTH:
		return days - d.day + 1;
	case RN_CX_WEEK:
		return days - weekday(days) + 1;
	default:
		return days;
	}
}

/* False where there is no such timestamp: before the first of all. */
static bool truncate_time(enum rn_cx_op unit, int64_t us, int64_t *out)
{
	int64_t step = unit == RN_CX_HOUR ? HOUR : unit == RN_CX_MINUTE ? 60 * US : US;

	if (unit >= RN_CX_HOUR)
		return !__builtin_sub_overflow(us, floor_mod(us, step), out);
	return !__builtin_mul_overflow(first_day(unit, floor_div(us, DAY)), DAY, out);
}

int rn_cx_date_trunc(struct rn_cx_state *s, const struct rn_cx_node *x,
		     const struct rn_cx_vec *kids, const uint8_t *active, struct rn_cx_vec *out,
		     struct rn_err *e)
{
	int64_t *to = s->scratch[x->index].i;

	out->null = rn_cx_any_null(s, x, kids);
	out->i = to;
	for (size_t i = 0; i < s->n; i++) {
		const struct rn_cx_text *name = &kids[0].s[i];
		enum rn_cx_op unit;

		to[i] = 0;
		if (!rn_cx_counts(out->null, active, i))
			continue;
		if (!find_unit(name, &unit))
			return rn_cx_row_fail(s, x, i, e, NO_UNIT,
					      name->n > 30 ? 30 : (int)name->n, name->s);
		if (!truncate_time(unit, kids[1].i[i], &to[i]))
			return rn_cx_row_fail(s, x, i, e, "its %.*s starts before the first timestamp",
					      (int)name->n, name->s);
	}
	return 0;
}

/* ---- as text --------------------------------------------------------------------------- */

static const char *const months[] = { "January", "February", "March",	  "April",
				      "May",	 "June",     "July",	  "August",
				      "September", "October", "November", "December" };
static const char *const weekdays[] = { "Monday", "Tuesday",  "Wednesday", "Thursday",
					"Friday", "Saturday", "Sunday" };

/* One %c of a format; false if there is no such. */
static bool print_part(char c, int64_t us, struct rn_str *b)
{
	struct date d = date_of(floor_div(us, DAY));
	int64_t rest = floor_mod(us, DAY);
	int hour = (int)(rest / HOUR), minute = (int)(rest / (60 * US) % 60);
	int second = (int)(rest / US % 60);

	switch (c) {
	case 'Y': rn_str_addf(b, "%04" PRId64, d.year); break;
	case 'y': rn_str_addf(b, "%02d", (int)floor_mod(d.year, 100)); break;
	case 'm': rn_str_addf(b, "%02d", d.month); break;
	case 'd': rn_str_addf(b, "%02d", d.day); break;
	case 'j': rn_str_addf(b, "%03d", d.yearday); break;
	case 'H': rn_str_addf(b, "%02d", hour); break;
	case 'I': rn_str_addf(b, "%02d", (hour + 11) % 12 + 1); break;
	case 'p': rn_str_add(b, hour < 12 ? "AM" : "PM"); break;
	case 'M': rn_str_addf(b, "%02d", minute); break;
	case 'S': rn_str_addf(b, "%02d", second); break;
	case 'f': rn_str_addf(b, "%06d", (int)(rest % US)); break;
	case 'z': rn_str_add(b, "+0000"); break;
	case 'B': rn_str_add(b, months[d.month - 1]); break;
	case 'b': rn_str_addn(b, months[d.month - 1], 3); break;
	case 'A': rn_str_add(b, weekdays[weekday(d.days) - 1]); break;
	case 'a': rn_str_addn(b, weekdays[weekday(d.days) - 1], 3); break;
	case 'u': rn_str_addf(b, "%d", weekday(d.days)); break;
	case 'w': rn_str_addf(b, "%d", weekday(d.days) % 7); break;
	case 'V': rn_str_addf(b, "%02d", week(d.days)); break;
	case 'F': rn_str_addf(b, "%04" PRId64 "-%02d-%02d", d.year, d.month, d.day); break;
	case 'T': rn_str_addf(b, "%02d:%02d:%02d", hour, minute, second); break;
	case 's': rn_str_addf(b, "%" PRId64, floor_div(us, US)); break;
	case '%': rn_str_addc(b, '%'); break;
	default: return false;
	}
	return true;
}

/* Returns what is no part of a format, or 0. */
static char print_time(const struct rn_cx_text *format, int64_t us, struct rn_str *b)
{
	for (size_t i = 0; i < format->n; i++) {
		if (format->s[i] != '%') {
			rn_str_addc(b, format->s[i]);
			continue;
		}
		if (++i == format->n)
			return '%';
		if (!print_part(format->s[i], us, b))
			return format->s[i];
	}
	return 0;
}

int rn_cx_strftime(struct rn_cx_state *s, const struct rn_cx_node *x, const struct rn_cx_vec *kids,
		   const uint8_t *active, struct rn_cx_vec *out, struct rn_err *e)
{
	struct rn_cx_scratch *t = &s->scratch[x->index];

	rn_str_clear(&t->bytes);
	out->null = rn_cx_any_null(s, x, kids);
	for (size_t i = 0; i < s->n; i++) {
		size_t before = t->bytes.len;
		char bad = 0;

		if (rn_cx_counts(out->null, active, i))
			bad = print_time(&kids[1].s[i], kids[0].i[i], &t->bytes);
		if (bad)
			return rn_cx_row_fail(s, x, i, e, "there is no %%%c in a format",
					      bad > ' ' && bad < 127 ? bad : '?');
		t->s[i].n = t->bytes.len - before;
	}
	return rn_cx_finish_strings(t, s->n, out, e);
}

/* ---- from text --------------------------------------------------------------------------- */

/* What a format has collected. */
struct parts {
	int64_t year, epoch;
	int month, day, yearday, hour, minute, second, us, zone; /* zone in minutes */
	bool has_epoch, hour12, pm;
};

/* Digits, at least 1, at most n. */
static bool take_digits(struct rn_cx_text *s, size_t n, int *out)
{
	size_t i = 0;

	for (*out = 0; i < n && i < s->n && s->s[i] >= '0' && s->s[i] <= '9'; i++)
		*out = *out * 10 + (s->s[i] - '0');
	s->s += i;
	s->n -= i;
	return i > 0;
}

/* A number of at most n digits, from low to high. */
static bool take_number(struct rn_cx_text *s, size_t n, int low, int high, int *out)
{
	return take_digits(s, n, out) && *out >= low && *out <= high;
}

/* One of the names, or its first three letters; its number from 1. */
static bool take_name(struct rn_cx_text *s, const char *const *names, int n, int *out)
{
	for (int i = 0; i < n; i++)
		for (size_t len = strlen(names[i]);; len = 3) {
			if (s->n >= len && !strncasecmp(s->s, names[i], len)) {
				s->s += len;
				s->n -= len;
				*out = i + 1;
				return true;
			}
			if (len == 3)
				break;
		}
	return false;
}

static bool take_char(struct rn_cx_text *s, char c)
{
	if (!s->n || *s->s != c)
		return false;
	s->s++;
	s->n--;
	return true;
}

static bool take_year(struct rn_cx_text *s, int64_t *out)
{
	bool negative = take_char(s, '-');
	int y;

	if (!take_digits(s, 6, &y))
		return false;
	*out = negative ? -y : y;
	return true;
}

/* As many digits as there are after a point, to the microsecond. */
static bool take_fraction(struct rn_cx_text *s, int *us)
{
	size_t n = s->n;
	int more;

	if (!take_digits(s, 6, us))
		return false;
	for (n -= s->n; n < 6; n++)
		*us *= 10;
	take_digits(s, 3, &more); /* nanoseconds are cut */
	return true;
}

/* Z, +hh, +hhmm, +hh:mm. */
static bool take_zone(struct rn_cx_text *s, int *out)
{
	bool negative;
	int h, m = 0;

	*out = 0;
	if (take_char(s, 'Z'))
		return true;
	negative = take_char(s, '-');
	if (!negative && !take_char(s, '+'))
		return false;
	if (!take_number(s, 2, 0, 23, &h))
		return false;
	if ((take_char(s, ':') || (s->n && *s->s >= '0' && *s->s <= '9')) &&
	    !take_number(s, 2, 0, 59, &m))
		return false;
	*out = (h * 60 + m) * (negative ? -1 : 1);
	return true;
}

static bool take_epoch(struct rn_cx_text *s, struct parts *p)
{
	bool negative = take_char(s, '-');
	size_t n = 0;

	for (p->epoch = 0; n < 15 && s->n && *s->s >= '0' && *s->s <= '9'; n++, s->s++, s->n--)
		p->epoch = p->epoch * 10 + (*s->s - '0');
	p->epoch = negative ? -p->epoch : p->epoch;
	p->has_epoch = true;
	return n > 0;
}

static bool take_part(struct rn_cx_text *s, char c, struct parts *p)
{
	int n;

	switch (c) {
	case 'Y': return take_year(s, &p->year);
	case 'y':
		if (!take_number(s, 2, 0, 99, &n))
			return false;
		p->year = n < 69 ? 2000 + n : 1900 + n;
		return true;
	case 'm': return take_number(s, 2, 1, 12, &p->month);
	case 'b':
	case 'B': return take_name(s, months, 12, &p->month);
	case 'd': return take_number(s, 2, 1, 31, &p->day);
	case 'j': return take_number(s, 3, 1, 366, &p->yearday);
	case 'a':
	case 'A': return take_name(s, weekdays, 7, &n); /* the date says it anyway */
	case 'H': return take_number(s, 2, 0, 23, &p->hour);
	case 'I':
		p->hour12 = true;
		return take_number(s, 2, 1, 12, &p->hour);
	case 'p':
		if (s->n < 2 || (strncasecmp(s->s, "am", 2) && strncasecmp(s->s, "pm", 2)))
			return false;
		p->pm = (*s->s | 0x20) == 'p';
		s->s += 2;
		s->n -= 2;
		return true;
	case 'M': return take_number(s, 2, 0, 59, &p->minute);
	case 'S': return take_number(s, 2, 0, 59, &p->second);
	case 'f': return take_fraction(s, &p->us);
	case 'z': return take_zone(s, &p->zone);
	case 's': return take_epoch(s, p);
	case 'F':
		return take_year(s, &p->year) && take_char(s, '-') &&
		       take_number(s, 2, 1, 12, &p->month) && take_char(s, '-') &&
		       take_number(s, 2, 1, 31, &p->day);
	case 'T':
		return take_number(s, 2, 0, 23, &p->hour) && take_char(s, ':') &&
		       take_number(s, 2, 0, 59, &p->minute) && take_char(s, ':') &&
		       take_number(s, 2, 0, 59, &p->second);
	default: return take_char(s, c); /* %% */
	}
}

static bool put_together(const struct parts *p, int64_t *out)
{
	int64_t days, us, hour = p->hour;

	if (p->hour12)
		hour = hour % 12 + (p->pm ? 12 : 0);
	if (p->day > month_days(p->year, p->month) || p->yearday > 365 + is_leap(p->year))
		return false;
	days = p->yearday ? days_of(p->year, 1, 1) + p->yearday - 1 :
			    days_of(p->year, p->month, p->day);
	us = hour * HOUR + (p->minute - p->zone) * 60 * US + p->second * US;
	if (p->has_epoch) {
		days = 0;
		us = p->epoch * US;
	}
	us += p->us;
	/* In two steps: days * DAY alone may pass INT64_MIN where the sum does not. */
	if (days < 0) {
		days++;
		us -= DAY;
	}
	return !__builtin_mul_overflow(days, DAY, out) && !__builtin_add_overflow(*out, us, out);
}

static bool parse_time(struct rn_cx_text s, const struct rn_cx_text *format, int64_t *out)
{
	struct parts p = { .year = 1970, .month = 1, .day = 1 };

	for (size_t i = 0; i < format->n; i++) {
		char c = format->s[i];

		if (c == '%' && i + 1 < format->n ? !take_part(&s, format->s[++i], &p) :
						    !take_char(&s, c))
			return false;
	}
	return !s.n && put_together(&p, out);
}

/* The parts of a format that is read, and of one that is written. */
static const char scanned[] = "YymbBdjaAHIpMSfzsFT%", printed[] = "YymbBdjaAHIpMSfzsFT%uwV";

/* What stands behind the first % that is none of these parts of a format, or 0. */
static char bad_part(const struct rn_cx_text *format, const char *parts)
{
	for (size_t i = 0; i < format->n; i++) {
		if (format->s[i] != '%')
			continue;
		if (++i == format->n)
			return '%';
		if (!format->s[i] || !strchr(parts, format->s[i]))
			return format->s[i] ? format->s[i] : '?';
	}
	return 0;
}

int rn_cx_strptime(struct rn_cx_state *s, const struct rn_cx_node *x, const struct rn_cx_vec *kids,
		   const uint8_t *active, struct rn_cx_vec *out, struct rn_err *e)
{
	struct rn_cx_scratch *t = &s->scratch[x->index];
	const uint8_t *null = rn_cx_any_null(s, x, kids);

	for (size_t i = 0; i < s->n; i++) {
		const struct rn_cx_text *text = &kids[0].s[i], *format = &kids[1].s[i];
		char bad;

		t->i[i] = 0;
		if (!rn_cx_counts(null, active, i)) {
			t->null[i] = 1;
			continue;
		}
		t->null[i] = !parse_time(*text, format, &t->i[i]);
		bad = t->null[i] ? bad_part(format, scanned) : 0;
		if (bad)
			return rn_cx_row_fail(s, x, i, e, "there is no %%%c in a format that is read",
					      bad > ' ' && bad < 127 ? bad : '?');
		if (t->null[i] && x->op == RN_CX_STRPTIME)
			return rn_cx_row_fail(s, x, i, e, "'%.*s' is not as '%.*s'",
					      text->n > 60 ? 60 : (int)text->n, text->s,
					      format->n > 60 ? 60 : (int)format->n, format->s);
	}
	out->i = t->i;
	out->null = t->null;
	return 0;
}

/* ---- constants --------------------------------------------------------------------------- */

/* A constant that would fail in every row is wrong in the expression. */
int rn_cx_check_time(const struct rn_cexpr *x, const struct rn_cx_node *n, struct rn_err *e)
{
	bool truncates = n->op == RN_CX_DATE_TRUNC;
	const struct rn_cx_node *k = n->kids[truncates ? 0 : 1];
	const struct rn_cx_text *s = &k->lit.s;
	enum rn_cx_op unit;
	char bad;

	if (k->op != RN_CX_LITERAL || k->lit.null)
		return 0;
	if (truncates)
		return find_unit(s, &unit) ? 0 : rn_cx_fail(e, RN_EUSAGE, x->text, k->pos, NO_UNIT,
							    s->n > 30 ? 30 : (int)s->n, s->s);
	bad = bad_part(s, n->op == RN_CX_STRFTIME ? printed : scanned);
	return !bad ? 0 : rn_cx_fail(e, RN_EUSAGE, x->text, k->pos, "there is no %%%c in a format%s",
				     bad > ' ' && bad < 127 ? bad : '?',
				     n->op == RN_CX_STRFTIME ? "" : " that is read");
}
