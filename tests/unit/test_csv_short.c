/* SPDX-License-Identifier: Apache-2.0
 *
 * What the text reader does with several bytes or fields at once, against one after the
 * other: positions of the bytes that matter, and columns of short numbers.
 */
#include "t.h"

#include "../../formats/csv_short.h"

enum { COLS = 3, ROWS = 67, FIELD = 32 };

static uint64_t state = 1;

static uint32_t draw(uint32_t n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((state >> 33) % n);
}

/* ---- positions --------------------------------------------------------------------------- */

static bool matters(const char *p, char delimiter, bool all)
{
	return *p == delimiter || *p == '\n' || (all && (*p == '"' || *p == '\r' || !*p));
}

/* `dense` in 64 bytes or so matter; the last one is a line feed. */
static void draw_text(char *text, size_t len, uint32_t dense)
{
	static const char some[] = ",\n\"\r\0x\xC3";

	for (size_t i = 0; i < len; i++)
		text[i] = draw(64) < dense ? some[draw(sizeof some - 1)] : (char)('0' + draw(10));
	text[len - 1] = '\n';
	memset(text + len, 0, RN_CSV_PAD);
}

/* Which byte is not as it should be?  0: all are. */
static size_t check_index(struct rn_csv_chunk *k, char delimiter, bool all)
{
	uint64_t lines = 0;
	bool high = false, crlf = false, broken = false;
	size_t n = 0;

	for (size_t i = k->from; i < k->len; i++) {
		const char *p = k->text + i;

		if (matters(p, delimiter, all) && (n == k->nmarks || k->marks[++n] != i))
			return i + 1;
		lines += *p == '\n';
		high |= *p < 0;
		crlf |= *p == '\r';
		broken |= !*p || (*p == '\r' && p[1] != '\n');
	}
	if (n != k->nmarks || k->marks[0] != (uint32_t)k->from - 1 || lines != k->lines)
		return k->len;
	return crlf != k->crlf || broken != k->broken || (!all && high != k->high) ? k->len : 0;
}

static void test_index(void)
{
	static const size_t lens[] = { 1, 63, 64, 65, 200, 8191, 8192, 8193, 20000 };
	struct rn_err e = { 0 };

	for (size_t i = 0; i < sizeof lens / sizeof *lens; i++)
		for (uint32_t dense = 1; dense <= 64; dense *= 4) {
			struct rn_csv_chunk k = { .len = lens[i], .from = lens[i] > 70 ? 3 : 0 };
			size_t some, all;

			k.text = malloc(lens[i] + RN_CSV_PAD);
			if (!k.text)
				abort();
			draw_text(k.text, k.len, dense);
			T_CALL(rn_csv_index(&k, ',', false, &e), &e);
			some = check_index(&k, ',', false);
			T_CALL(rn_csv_index(&k, '\t', true, &e), &e);
			all = check_index(&k, '\t', true);
			T_OK(!some && !all, "positions in %zu bytes, %u of 64 matter (%zu, %zu)", lens[i],
			     dense, some, all);
			rn_csv_chunk_clear(&k, true);
		}
}

/* ---- numbers ----------------------------------------------------------------------------- */

static const char *const odd[] = {
	"", "-", ".", "-.", "5.", ".5", "-.5", "-5.", "0", "-0", "-0.", "1.2.3", "1..2", "12345678",
	"123456789", "-1234567", "-12345678", "1234567.", ".1234567", "-123.45", "-1234.567", "1e5",
	"+5", "--5", "5-", "1 ", " 1", "/", ":", "99999999", "00000000", "nan", "inf", "0x10",
	"1-2.3", "1.-2", "\xB0", "12\xB0", "1.234567", "9007199254740993", "12345678.9", "-99999.9",
};

static void draw_field(char *to, bool whole, uint32_t oddities)
{
	uint32_t n = 1 + draw(8), point = whole ? n : draw(n + 4);

	if (draw(1000) < oddities) {
		strcpy(to, odd[draw(sizeof odd / sizeof *odd)]);
		return;
	}
	if (n < 8 && draw(3) == 0)
		*to++ = '-', n--;
	for (uint32_t i = 0; i < n; i++)
		*to++ = n > 1 && i == point ? '.' : (char)('0' + draw(10));
	*to = 0;
	if (!n)
		strcpy(to, "7");
}

/* A chunk of ROWS rows of COLS fields, and where these are. */
struct table {
	char text[ROWS * COLS * FIELD + RN_CSV_PAD];
	uint32_t at[ROWS * COLS + 1];
};

static void draw_table(struct table *t, bool whole, uint32_t oddities)
{
	size_t n = 0;

	memset(t->text, '3', sizeof t->text);
	t->at[0] = UINT32_MAX;
	for (size_t i = 0; i < ROWS * COLS; i++) {
		draw_field(t->text + n, whole, oddities);
		n += strlen(t->text + n);
		t->at[i + 1] = (uint32_t)n;
		t->text[n++] = i % COLS == COLS - 1 ? '\n' : ',';
	}
}

/* Of a field: is it one that is taken at once?  *value: its bits. */
static bool is_plain(const struct rn_csv_field *f, bool ints, uint64_t *value)
{
	int64_t i = 0;
	double d = 0;
	bool good = f->len <= 8 && f->len && !memchr(f->p, 'e', f->len) && !memchr(f->p, 'n', f->len) &&
		    !memchr(f->p, '+', f->len);

	if (ints)
		good = good && rn_int64_parse(f->p, f->len, &i);
	else
		good = good && rn_float64_parse(f->p, f->len, &d);
	d += 0.0;
	memcpy(value, ints ? (void *)&i : (void *)&d, sizeof *value);
	return good;
}

/* Takes a column as the reader does; false: something is not as it should be. */
static bool check_column(const struct rn_csv_span *s, bool ints, size_t *taken)
{
	bool can = false;

#ifdef __x86_64__
	can = __builtin_cpu_supports("avx2");
#endif
	for (size_t i = 0; i < ROWS;) {
		uint64_t got[ROWS], value;
		int64_t whole[ROWS];
		double real[ROWS];
		size_t n = ints ? rn_csv_short_ints(s, i, ROWS - i, whole) :
				  rn_csv_short_floats(s, i, ROWS - i, real);
		bool plain = can && n + 8 <= ROWS - i;

		if (n % 8 || n > ROWS - i)
			return false;
		memcpy(got, ints ? (void *)whole : (void *)real, n * sizeof *got);
		for (size_t k = 0; k < n + 8 && i + k < ROWS; k++) {
			struct rn_csv_field f = rn_csv_field_in(s, i + k, true);
			bool good = is_plain(&f, ints, &value);

			if (k < n && (!good || value != got[k]))
				return false;
			plain = plain && (k < n || good);
		}
		if (plain) /* all of the eight that were left */
			return false;
		*taken += n;
		i += n ? n : 8;
	}
	return true;
}

static void test_numbers(bool ints)
{
	struct table *t = malloc(sizeof *t);
	size_t wrong = 0, taken = 0;

	if (!t)
		abort();
	for (int i = 0; i < 3000; i++) {
		draw_table(t, ints, i % 50);
		for (size_t c = 0; c < COLS; c++) {
			struct rn_csv_span s = { t->text, t->at + c, COLS, false };

			if (!check_column(&s, ints, &taken) && !wrong++)
				printf("# table %d, column %zu\n", i, c);
		}
	}
	T_OK(!wrong, "%s: as one by one, %zu at once, %zu tables wrong", ints ? "integers" : "floats",
	     taken, wrong);
	free(t);
}

/* Eight times the same field, which must be taken or left as it alone would be. */
static void test_odd(void)
{
	struct table *t = malloc(sizeof *t);
	size_t taken = 0;

	if (!t)
		abort();
	for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
		struct rn_csv_span s = { t->text, t->at, 1, false };
		size_t n = 0;

		memset(t->text, '9', sizeof t->text);
		t->at[0] = UINT32_MAX;
		for (size_t k = 0; k < ROWS; k++) {
			strcpy(t->text + n, odd[i]);
			n += strlen(odd[i]);
			t->at[k + 1] = (uint32_t)n;
			t->text[n++] = '\n';
		}
		T_OK(check_column(&s, true, &taken) && check_column(&s, false, &taken), "'%s'", odd[i]);
	}
	free(t);
}

int main(void)
{
	test_index();
	test_numbers(true);
	test_numbers(false);
	test_odd();
	return t_done();
}
