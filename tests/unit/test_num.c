/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers and timestamps as text: against strtod on random values of all sizes,
 * shortest output by trying every shorter one, and the limits by hand.
 */
#include "../../lib/base/num_fast.h"

#include "t.h"

#include <inttypes.h>
#include <math.h>

static uint64_t state = 88172645463325252ull;

static uint64_t rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static double random_double(unsigned kind)
{
	uint64_t bits = rnd();
	double v;

	switch (kind % 5) {
	case 0: /* any bits at all */
		memcpy(&v, &bits, sizeof v);
		return isnan(v) ? 0 : v;
	case 1:
		return (double)(bits >> 11) * 0x1p-53;
	case 2:
		return (double)(int64_t)bits * 1e-15;
	case 3:
		return (double)(bits % 1000000) / 1000;
	default: /* powers of two: the gap below is half as wide */
		return ldexp(1, (int)(bits % 300) - 150);
	}
}

/* Digits that count: those of %.{n-1}e for the least n that reads back. */
static int least_digits(double v, bool single)
{
	char text[64];

	for (int n = 1;; n++) {
		snprintf(text, sizeof text, "%.*e", n - 1, v);
		if (single ? strtof(text, NULL) == (float)v : strtod(text, NULL) == v)
			return n;
	}
}

static int count_digits(const char *s)
{
	int n = 0, zeros = 0;

	while (*s == '-' || *s == '0' || *s == '.')
		s++;
	for (; *s && *s != 'e'; s++)
		if (*s != '.') {
			n++;
			zeros = *s == '0' ? zeros + 1 : 0;
		}
	return n - zeros;
}

static void test_print(void)
{
	unsigned bad64 = 0, bad32 = 0, longer = 0;

	for (unsigned k = 0; k < 100000; k++) {
		double v = random_double(k), back;
		float f = (float)v;
		char text[RN_NUM_MAX + 1];
		size_t n = rn_float64_format(v, text);

		text[n] = '\0';
		bad64 += !rn_float64_parse(text, n, &back) || memcmp(&back, &v, sizeof v) != 0;
		longer += isfinite(v) && v != 0 && count_digits(text) > least_digits(v, false);
		n = rn_float32_format(f, text);
		text[n] = '\0';
		bad32 += strtof(text, NULL) != f;
		longer += isfinite(f) && f != 0 &&
			  count_digits(text) > least_digits((double)f, true);
	}
	T_OK(!bad64, "float64 comes back");
	T_OK(!bad32, "float32 comes back");
	T_OK(!longer, "no shorter decimal does");
}

static void test_parse(void)
{
	unsigned bad = 0, padded = 0;

	for (unsigned k = 0; k < 100000; k++) {
		char text[400], full[400];
		double got = 0, same = 0, v = random_double(k);
		size_t n;

		snprintf(text, sizeof text, k % 2 ? "%.*e" : "%.*f", (int)(rnd() % 25), v);
		n = strlen(text);
		if (!isfinite(v))
			continue;
		bad += !rn_float64_parse(text, n, &got) || got != strtod(text, NULL);
		memset(full, '7', sizeof full);
		memcpy(full, text, n);
		padded += !rn_float64_parse_padded(full, n, &same) || memcmp(&got, &same, 8) != 0;
	}
	T_OK(!bad, "parsing rounds as strtod");
	T_OK(!padded, "the padded parser agrees");
}

/* Short texts of digits, points, signs and what else: the inline parsers say what the
 * others do, whatever stands behind the text. */
static void test_fast(void)
{
	static const char letters[] = "0123456789012345678901234567890.-.-e+x ";
	unsigned ints = 0, floats = 0;

	for (unsigned k = 0; k < 300000; k++) {
		char text[12], full[40];
		size_t n = rnd() % (sizeof text + 1);
		int64_t i = 0, j = 0;
		double x = 0, y = 0;
		bool a, b;

		for (size_t c = 0; c < n; c++)
			text[c] = letters[rnd() % (k % 2 ? 34 : sizeof letters - 1)];
		memset(full, "7.-e"[k % 4], sizeof full);
		memcpy(full, text, n);
		a = rn_int64_parse(text, n, &i);
		b = rn_int64_fast(full, n, &j);
		ints += a != b || (a && i != j);
		a = rn_float64_parse(text, n, &x);
		b = rn_float64_fast(full, n, &y);
		floats += a != b || (a && memcmp(&x, &y, sizeof x) != 0);
	}
	T_OK(!ints, "inline integers: %u differ", ints);
	T_OK(!floats, "inline floats: %u differ", floats);
}

static void test_halfway(void)
{
	/* 1 + 2^-53 lies between two doubles: even wins, unless a digit far behind tips it. */
	static const char half[] = "1.00000000000000011102230246251565404236316680908203125";
	char text[900];
	double v;

	T_OK(rn_float64_parse(half, strlen(half), &v) && v == 1, "a tie goes to even");
	memset(text, '0', sizeof text);
	memcpy(text, half, strlen(half));
	text[899] = '1';
	T_OK(rn_float64_parse(text, 900, &v) && v == 1 + 0x1p-52, "digit 900 tips the balance");
	text[899] = '0';
	T_OK(rn_float64_parse(text, 900, &v) && v == 1, "900 digits, still a tie");
}

static const struct {
	double v;
	const char *want;
} printed[] = {
	{ 0, "0" },		{ -0.0, "-0" },		  { 1, "1" },
	{ 0.1, "0.1" },		{ 1e-7, "1e-7" },	  { 1e22, "1e22" },
	{ 1e15, "1000000000000000" }, { 0.00001234, "0.00001234" },
	{ 0.000001234, "1.234e-6" }, { 0.0001234, "0.0001234" },
	{ 5e-324, "5e-324" },	{ 1.7976931348623157e308, "1.7976931348623157e308" },
	{ INFINITY, "inf" },	{ -INFINITY, "-inf" },	  { NAN, "nan" },
	{ 9007199254740993.0, "9007199254740992" }, { -123.456, "-123.456" },
};

static void test_tables(void)
{
	static const char *const no_int[] = { "", "-", "+1", "1 ", " 1", "1x", "0x1", "1.0", "1e3",
					      "9223372036854775808", "-9223372036854775809",
					      "99999999999999999999", "--1" };
	static const char *const no_float[] = { "", "-", "+1", "1 ", " 1", "0x1", "1e", "1e+", ".",
						"-.", "..1", "1.2.3", "nanx", "in", "1_0", "e5" };
	struct rn_str s = RN_STR_INIT;
	int64_t i;
	double d;

	for (size_t k = 0; k < sizeof printed / sizeof *printed; k++) {
		rn_str_clear(&s);
		rn_float64_print(printed[k].v, &s);
		T_OK(strcmp(s.s, printed[k].want) == 0, "%s is %s", printed[k].want, s.s);
	}
	rn_str_fini(&s);
	for (size_t k = 0; k < sizeof no_int / sizeof *no_int; k++)
		T_OK(!rn_int64_parse(no_int[k], strlen(no_int[k]), &i), "'%s' is no int64",
		     no_int[k]);
	for (size_t k = 0; k < sizeof no_float / sizeof *no_float; k++)
		T_OK(!rn_float64_parse(no_float[k], strlen(no_float[k]), &d), "'%s' is no float64",
		     no_float[k]);
	T_OK(rn_int64_parse("0000000000000000000000012", 25, &i) && i == 12, "leading zeros");
	T_OK(rn_float64_parse("Infinity", 8, &d) && isinf(d) && rn_float64_parse("-INF", 4, &d) &&
		     d < 0 && rn_float64_parse("NaN", 3, &d) && isnan(d), "words");
	T_OK(rn_float64_parse("1e999999999999", 14, &d) && isinf(d), "too large is inf");
	T_OK(rn_float64_parse("1e-999999999999", 15, &d) && d == 0, "too small is 0");
}

static void test_ints(void)
{
	unsigned bad = 0;

	for (unsigned k = 0; k < 100000; k++) {
		int64_t v = (int64_t)rnd() >> rnd() % 64, back = 0;
		char text[64];
		size_t n = rn_int64_format(v, text);

		bad += !rn_int64_parse(text, n, &back) || back != v;
		memset(text + n, '5', sizeof text - n);
		bad += !rn_int64_parse_padded(text, n, &back) || back != v;
		text[rnd() % n] = 'x';
		bad += rn_int64_parse(text, n, &back) || rn_int64_parse_padded(text, n, &back);
	}
	T_OK(!bad, "int64 comes back, and a letter in it is an error");
}

static const struct {
	const char *text, *want; /* NULL: no timestamp */
} stamps[] = {
	{ "2020-02-29", "2020-02-29T00:00:00Z" },
	{ "2020-02-29 12:34", "2020-02-29T12:34:00Z" },
	{ "2020-02-29T12:34:56.5", "2020-02-29T12:34:56.5Z" },
	{ "2020-02-29T12:34:56.123456789Z", "2020-02-29T12:34:56.123456Z" },
	{ "2020-02-29t12:34:56z", "2020-02-29T12:34:56Z" },
	{ "2020-03-01T00:30:00+01:00", "2020-02-29T23:30:00Z" },
	{ "2020-03-01T00:30:00-0130", "2020-03-01T02:00:00Z" },
	{ "1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z" },
	{ "0000-01-01", "0000-01-01T00:00:00Z" },
	{ "-000001-12-31", "-000001-12-31T00:00:00Z" },
	{ "+010000-01-01", "+010000-01-01T00:00:00Z" },
	{ "2021-02-29", NULL }, { "1900-02-29", NULL }, { "2020-13-01", NULL },
	{ "2020-1-01", NULL },	{ "20200101", NULL },	{ "2020-01-01T24:00", NULL },
	{ "2020-01-01T12", NULL }, { "2020-01-01T12:00:60", NULL },
	{ "2020-01-01T12:00:00.", NULL },
	{ "2020-01-01Z", NULL }, { "2020-01-01T12:00 +1", NULL }, { "+300000-01-01", NULL },
	{ "-300000-01-01", NULL }, { "", NULL }, { "2020-01-01T12:00:00.1234567890", NULL },
};

static void test_timestamps(void)
{
	static const int64_t limits[] = { INT64_MIN, INT64_MIN + 1, INT64_MAX, 0, -1 };
	unsigned bad = 0;
	int64_t us;
	char text[RN_NUM_MAX];

	for (size_t k = 0; k < sizeof stamps / sizeof *stamps; k++) {
		struct rn_str s = RN_STR_INIT;
		bool ok = rn_timestamp_parse(stamps[k].text, strlen(stamps[k].text), &us);

		if (ok)
			rn_timestamp_print(us, &s);
		T_OK(stamps[k].want ? ok && !strcmp(s.s, stamps[k].want) : !ok, "'%s' is %s",
		     stamps[k].text, ok ? s.s : "no timestamp");
		rn_str_fini(&s);
	}
	for (unsigned k = 0; k < 100000; k++) {
		int64_t v = k < 5 ? limits[k] : (int64_t)rnd() >> rnd() % 60;
		size_t n = rn_timestamp_format(v, text);

		bad += !rn_timestamp_parse(text, n, &us) || us != v;
	}
	T_OK(!bad, "every timestamp comes back");
}

int main(void)
{
	test_tables();
	test_ints();
	test_print();
	test_parse();
	test_fast();
	test_halfway();
	test_timestamps();
	return t_done();
}
