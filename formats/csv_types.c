/* SPDX-License-Identifier: Apache-2.0
 *
 * Types of columns.  A type only ever widens: unknown (nothing but NULLs), then bool,
 * int64, float64 or timestamp, int64 to float64, and all to string.  Between int64 and
 * float64 are integers of which int64 does not hold one: they may be identifiers, so they
 * stay strings, until another value says that it is a column of floats.  So the type is
 * the same in whatever order the rows come.
 */
#include "csv_reader.h"

#include "../lib/base/num_fast.h"

#include <string.h>

bool rn_csv_parse_bool(const struct rn_csv_field *f, uint8_t *out)
{
	static const char *const words[] = { "false", "False", "FALSE", "true", "True", "TRUE" };

	if (f->len != 4 && f->len != 5)
		return false;
	*out = f->len == 4;
	for (unsigned i = *out ? 3 : 0; i < (*out ? 6u : 3u); i++)
		if (memcmp(f->p, words[i], f->len) == 0)
			return true;
	return false;
}

bool rn_csv_is_named_null(const struct rn_csv_reader *r, const struct rn_csv_field *f)
{
	for (size_t i = 0; i < r->nnull; i++)
		if (f->len == r->null[i].len && memcmp(f->p, r->null[i].text, f->len) == 0)
			return true;
	return false;
}

enum rn_type rn_csv_final_type(const struct rn_csv_column *c)
{
	return c->type < RN_NTYPES ? (enum rn_type)c->type : RN_STRING;
}

bool rn_csv_is_integer(const struct rn_csv_field *f)
{
	size_t first = f->len && f->p[0] == '-', i = first;

	while (i < f->len && f->p[i] >= '0' && f->p[i] <= '9')
		i++;
	return i == f->len && i > first;
}

static bool fits(const struct rn_csv_field *f, unsigned type)
{
	int64_t i;
	double d;
	uint8_t b;

	switch (type) {
	case RN_INT64:
		return rn_int64_parse_padded(f->p, f->len, &i);
	case RN_CSV_LONG:
		return rn_csv_is_integer(f);
	case RN_FLOAT64:
		return rn_float64_parse_padded(f->p, f->len, &d);
	case RN_BOOL:
		return rn_csv_parse_bool(f, &b);
	case RN_TIMESTAMP:
		return rn_timestamp_parse(f->p, f->len, &i);
	default:
		return true;
	}
}

/* The least type above `type` that the value fits as well. */
static unsigned widen(const struct rn_csv_reader *r, unsigned type, const struct rn_csv_field *f)
{
	static const unsigned order[] = { RN_BOOL, RN_INT64, RN_CSV_LONG, RN_FLOAT64,
					  RN_TIMESTAMP };
	bool text = r->rules.json && f->quoted;

	if (rn_csv_is_null(r, f))
		return type;
	if (text && type != RN_CSV_UNKNOWN && type != RN_TIMESTAMP)
		return RN_STRING;
	if (type != RN_CSV_UNKNOWN && fits(f, type))
		return type;
	if (type == RN_INT64 && fits(f, RN_CSV_LONG))
		return RN_CSV_LONG;
	if (type == RN_INT64 || type == RN_CSV_LONG)
		return fits(f, RN_FLOAT64) ? RN_FLOAT64 : RN_STRING;
	for (size_t i = text ? 4 : 0; type == RN_CSV_UNKNOWN && i < sizeof order / sizeof *order;
	     i++)
		if (fits(f, order[i]))
			return order[i];
	return RN_STRING;
}

/* From row i on, the first whose value is no number of the type as nearly all are
 * written; NULLs are passed over. */
static size_t pass_numbers(const struct rn_csv_chunk *k, size_t i, size_t c, size_t ncols,
			   unsigned type)
{
	struct rn_csv_span s = rn_csv_span_of(k, c, ncols);
	struct rn_csv_field f;
	int64_t v;
	double d;

	for (; type == RN_INT64 && i < k->rows; i++) {
		f = rn_csv_field_in(&s, i, true);
		if (f.len && !rn_int64_fast(f.p, f.len, &v))
			return i;
	}
	for (; type == RN_FLOAT64 && i < k->rows; i++) {
		f = rn_csv_field_in(&s, i, true);
		if (f.len && !rn_float64_fast(f.p, f.len, &d))
			return i;
	}
	return i;
}

static unsigned widen_column(const struct rn_csv_reader *r, const struct rn_csv_chunk *k, size_t c,
			     unsigned type)
{
	for (size_t i = 0; i < k->rows && type != RN_STRING; i++) {
		struct rn_csv_field f;

		if (!k->quotes)
			i = pass_numbers(k, i, c, r->ncols, type);
		if (i == k->rows)
			break;
		f = rn_csv_field_at(k, i, c, r->ncols, !k->quotes);
		type = widen(r, type, &f);
	}
	return type;
}

/* Are there only numbers, with no text that means NULL and no comment among them? */
static bool numbers_only(const struct rn_csv_reader *r, struct rn_csv_chunk *k)
{
	if (k->quotes || r->nnull || r->rules.comment)
		return false;
	for (size_t i = 0; i < r->ncols; i++)
		if (k->types[i] != RN_INT64 && k->types[i] != RN_FLOAT64)
			return false;
	return rn_csv_all_numbers(k, r->rules.delimiter, r->ncols, k->types);
}

static int grow_types(struct rn_csv_chunk *k, size_t had, size_t n, struct rn_err *e)
{
	RN_TRY(rn_grow(&k->types, &k->types_cap, n, sizeof *k->types, "types", e));
	for (size_t i = had; i < n; i++)
		k->types[i] = RN_CSV_UNKNOWN;
	return 0;
}

/* A number of that type, as nearly all are written? */
static bool is_usual(const struct rn_csv_field *f, unsigned type)
{
	int64_t v;
	double d;

	if (type == RN_INT64)
		return !f->quoted && f->len && rn_int64_fast(f->p, f->len, &v);
	return type == RN_FLOAT64 && !f->quoted && f->len && rn_float64_fast(f->p, f->len, &d);
}

static int learn_line(struct rn_csv_reader *r, const struct rn_csv_chunk *k, struct rn_err *e)
{
	for (size_t i = 0; i < r->keys.n; i++)
		if (rn_csv_is_array(r, r->keys.key[i].name))
			RN_TRY(rn_csv_learn_array(r, &k->line[i], e));
	return 0;
}

static int learn_rows(struct rn_csv_reader *r, const struct rn_csv_chunk *k, struct rn_err *e)
{
	for (size_t c = 0; c < r->ncols; c++)
		for (size_t i = 0; i < k->rows && rn_csv_is_array(r, r->cols[c].name); i++) {
			struct rn_csv_field f = rn_csv_field_at(k, i, c, r->ncols, !k->quotes);

			RN_TRY(rn_csv_learn_array(r, &f, e));
		}
	return 0;
}

static int widen_lines(struct rn_csv_reader *r, struct rn_csv_chunk *k, size_t most, bool add,
		       struct rn_err *e)
{
	size_t at = k->from, n = r->ncols;
	bool there;

	while (k->rows < most) {
		RN_TRY(rn_csv_next_line(&r->rules, k, &r->keys,
					add ? RN_CSV_KEY_ADD : RN_CSV_KEY_STOP, &at, &there, e));
		if (r->keys.n > n) { /* also by a line that is malformed */
			RN_TRY(grow_types(k, n, r->keys.n, e));
			n = r->keys.n;
		}
		if (!there)
			break;
		if (r->learning)
			RN_TRY(learn_line(r, k, e));
		for (size_t i = 0; i < n; i++)
			if (k->types[i] != RN_STRING && !(i < r->ncols && r->cols[i].given) &&
			    !is_usual(&k->line[i], k->types[i]))
				k->types[i] = widen(r, k->types[i], &k->line[i]);
		k->rows++;
	}
	return 0;
}

int rn_csv_widen(struct rn_csv_reader *r, struct rn_csv_chunk *k, size_t most, bool add,
		 struct rn_err *e)
{
	rn_csv_restart(k);
	if (k->fatal)
		return 0;
	RN_TRY(grow_types(k, 0, r->ncols, e));
	for (size_t i = 0; i < r->ncols; i++)
		k->types[i] = r->cols[i].type;
	if (r->rules.json)
		return widen_lines(r, k, most, add, e);
	if (most == SIZE_MAX && numbers_only(r, k))
		return 0;
	RN_TRY(rn_csv_find_rows(&r->rules, k, r->ncols, most, e));
	if (r->learning)
		RN_TRY(learn_rows(r, k, e));
	for (size_t i = 0; i < r->ncols; i++)
		if (!r->cols[i].given)
			k->types[i] = widen_column(r, k, i, k->types[i]);
	return 0;
}
