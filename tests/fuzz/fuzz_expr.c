/* SPDX-License-Identifier: Apache-2.0
 *
 * Content expressions: the first byte chooses the values of a small relation, the
 * rest is the text.  What it gives for all rows at once it must give row by row,
 * and what is an error for one must be one for all.
 */
#include "../../lib/expr/content.h"
#include "fuzz.h"

#include <math.h>
#include <strings.h>

enum { ROWS = 4 };

static const char *const texts[] = { "",	"a",	"abc",	"A%_", "12", "-1.5e3", "true",
				     "2020-02-29T12:34:56Z", "\xc3\xa4\xff\xe2\x82\xac", "a,b,,c" };
static const int64_t ints[] = { 0, 1, -1, 7, INT64_MAX, INT64_MIN, 1ll << 53, 1582979696000000 };
static const double reals[] = { 0, 1, -0.5, 1e300, -1e-300, INFINITY, 0x1p63, 3.25 };

static struct rn_column *column(enum rn_type t, unsigned seed)
{
	struct rn_column *c;
	uint64_t at = 0;
	struct rn_err e;

	require(!(t == RN_STRING ? rn_column_new_string(ROWS, 200, &c, &e) :
				   rn_column_new(t, ROWS, &c, &e)));
	for (unsigned i = 0; i < ROWS; i++) {
		unsigned k = seed * 7 + i * 3 + (unsigned)t * 5;
		bool null = k % 4 == 3;
		const char *s = texts[k % 10];

		if (null) {
			require(!rn_column_need_null(c, &e));
			c->null[i] = 1;
			c->nulls++;
		}
		if (t == RN_FLOAT64) {
			c->f64[i] = null ? 0 : reals[k % 8];
		} else if (t == RN_BOOL) {
			c->b[i] = !null && k % 2;
		} else if (t == RN_STRING) {
			memcpy(c->bytes + at, s, null ? 0 : strlen(s));
			at += null ? 0 : strlen(s);
			c->off[i + 1] = at;
		} else {
			c->i64[i] = null ? 0 : ints[k % 8];
		}
	}
	return c;
}

static struct rn_rel *relation(unsigned seed)
{
	static const struct {
		const char *name, *qual;
		enum rn_type type;
	} cols[] = { { "i", NULL, RN_INT64 },  { "j", NULL, RN_INT64 }, { "f", NULL, RN_FLOAT64 },
		     { "s", NULL, RN_STRING }, { "u", NULL, RN_STRING }, { "b", NULL, RN_BOOL },
		     { "t", NULL, RN_TIMESTAMP }, { "d", "l", RN_INT64 }, { "d", "r", RN_STRING } };
	struct rn_rel *r;
	struct rn_err e;

	require(!rn_rel_new("r", ROWS, &r, &e));
	for (unsigned k = 0; k < sizeof cols / sizeof *cols; k++)
		require(!rn_rel_add_col(r, cols[k].name, cols[k].qual,
					column(cols[k].type, seed + k), &e));
	return r;
}

/* Nothing under a NULL, no NaN, no -0.0, no third truth value. */
static void check_column(const struct rn_column *c)
{
	uint64_t nulls = 0;

	for (uint64_t i = 0; i < c->rows; i++) {
		bool null = rn_column_is_null(c, i);

		nulls += null;
		if (c->type == RN_FLOAT64)
			require(c->f64[i] == c->f64[i] && (c->f64[i] != 0 || !signbit(c->f64[i])) &&
				(!null || c->f64[i] == 0));
		else if (c->type == RN_BOOL)
			require(c->b[i] <= !null);
		else if (c->type == RN_STRING)
			require(c->off[i] <= c->off[i + 1] && (!null || c->off[i] == c->off[i + 1]));
		else
			require(!null || c->i64[i] == 0);
	}
	require(nulls == c->nulls && !c->null == !nulls);
}

static bool same(const struct rn_column *a, uint64_t i, const struct rn_column *b)
{
	if (rn_column_is_null(a, i) || rn_column_is_null(b, 0))
		return rn_column_is_null(a, i) && rn_column_is_null(b, 0);
	switch (a->type) {
	case RN_FLOAT64:
		return a->f64[i] == b->f64[0];
	case RN_BOOL:
		return a->b[i] == b->b[0];
	case RN_STRING:
		return a->off[i + 1] - a->off[i] == b->off[1] &&
		       (!b->off[1] || !memcmp(a->bytes + a->off[i], b->bytes, b->off[1]));
	default:
		return a->i64[i] == b->i64[0];
	}
}

static int eval(const char *text, const struct rn_rel *r, struct rn_column **out)
{
	struct rn_cexpr *x;
	struct rn_err e;
	int rc = rn_cexpr_parse(text, &r->schema, &x, &e);

	require(rc == 0 || rc == RN_EUSAGE || rc == RN_ENOMEM);
	if (rc)
		return rc;
	rc = rn_cexpr_eval(x, r, out, &e);
	require(rc == 0 || rc == RN_EDATA || rc == RN_ENOMEM);
	if (!rc) {
		require((*out)->rows == r->rows && (*out)->type == rn_cexpr_type(x));
		check_column(*out);
	}
	rn_cexpr_free(x);
	return rc;
}

/* What makes long strings of short ones is slow, not wrong: twice is enough. */
static bool is_cheap(const char *s)
{
	unsigned n = 0;

	for (; *s; s++)
		n += !strncasecmp(s, "repeat", 6) || !strncasecmp(s, "pad", 3) ||
		     !strncasecmp(s, "replace", 7);
	return n <= 2;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct rn_column *whole = NULL;
	bool failed = false, no_memory = false;
	struct rn_rel *r;
	char *text;
	int rc;

	if (!n || n > 4096)
		return 0;
	r = relation(*data);
	text = text_of(data + 1, n - 1);
	rc = is_cheap(text) ? eval(text, r, &whole) : RN_EUSAGE;
	for (uint64_t i = 0; i < ROWS && (!rc || rc == RN_EDATA); i++) {
		struct rn_column *one = NULL;
		struct rn_rel *row;
		struct rn_err e;
		int rc1;

		require(!rn_rel_slice(r, i, 1, &row, &e));
		rc1 = eval(text, row, &one);
		failed = failed || rc1;
		no_memory = no_memory || rc1 == RN_ENOMEM;
		require(rc || rc1 || same(whole, i, one));
		rn_column_unref(one);
		rn_rel_unref(row);
	}
	if (!no_memory && (!rc || rc == RN_EDATA))
		require(failed == (rc == RN_EDATA));
	rn_column_unref(whole);
	rn_rel_unref(r);
	free(text);
	return 0;
}
