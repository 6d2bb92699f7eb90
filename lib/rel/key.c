/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys: which types meet, keys as text, and rows sorted by a number that each
 * of them has (a group, a target), which groups, indexes and inverses share.
 */
#include "keyset.h"

#include <inttypes.h>
#include <string.h>

static bool types_meet(enum rn_type a, enum rn_type b)
{
	if (a == RN_INT64 || a == RN_FLOAT64)
		return b == RN_INT64 || b == RN_FLOAT64;
	return a == b;
}

int rn_key_types_meet(enum rn_type a, const char *an, enum rn_type b, const char *bn,
		      struct rn_err *e)
{
	if (types_meet(a, b))
		return 0;
	return rn_err_set(e, RN_EUSAGE,
			  "key columns '%s' (%s) and '%s' (%s) do not compare: cast one of them",
			  an, rn_type_name(a), bn, rn_type_name(b));
}

int rn_key_check(const struct rn_key *a, const struct rn_key *b, struct rn_err *e)
{
	if (a->n != b->n)
		return rn_err_set(e, RN_EBUG, "keys of %zu and %zu columns meet", a->n, b->n);
	for (size_t i = 0; i < a->n; i++)
		if (!types_meet(a->cols[i]->type, b->cols[i]->type))
			return rn_err_set(e, RN_EBUG, "keys of types %s and %s meet",
					  rn_type_name(a->cols[i]->type),
					  rn_type_name(b->cols[i]->type));
	return 0;
}

uint64_t rn_key_count_nulls(const struct rn_key *k)
{
	const struct rn_column *only = NULL;
	uint64_t with = 0, count = 0;

	for (size_t c = 0; c < k->n; c++)
		if (k->cols[c]->nulls) {
			only = k->cols[c];
			with++;
		}
	if (with <= 1)
		return with ? only->nulls : 0;
	for (uint64_t i = 0; i < k->rows; i++) {
		bool null = false;

		for (size_t c = 0; c < k->n; c++)
			null = null || rn_column_is_null(k->cols[c], i);
		count += null;
	}
	return count;
}

/* By the integer part of b, then by what b is beyond it; exact. */
static int compare_mixed(int64_t a, double b)
{
	int64_t t;
	double part;

	if (b >= 0x1p63)
		return -1;
	if (b < -0x1p63)
		return 1;
	t = (int64_t)b;
	part = b - (double)t;
	return a != t ? (a > t) - (a < t) : (part < 0) - (part > 0);
}

static int compare_strings(const struct rn_column *a, uint64_t i, const struct rn_column *b,
			   uint64_t j)
{
	uint64_t la = a->off[i + 1] - a->off[i], lb = b->off[j + 1] - b->off[j];
	uint64_t n = la < lb ? la : lb;
	int d = n ? memcmp(a->bytes + a->off[i], b->bytes + b->off[j], n) : 0;

	return d ? d : (la > lb) - (la < lb);
}

int rn_column_compare(const struct rn_column *a, uint64_t i, const struct rn_column *b,
		      uint64_t j)
{
	switch (a->type) {
	case RN_FLOAT64:
		if (b->type == RN_INT64)
			return -compare_mixed(b->i64[j], a->f64[i]);
		return (a->f64[i] > b->f64[j]) - (a->f64[i] < b->f64[j]);
	case RN_BOOL:
		return a->b[i] - b->b[j];
	case RN_STRING:
		return compare_strings(a, i, b, j);
	default:
		if (b->type == RN_FLOAT64)
			return compare_mixed(a->i64[i], b->f64[j]);
		return (a->i64[i] > b->i64[j]) - (a->i64[i] < b->i64[j]);
	}
}

void rn_key_print(const struct rn_key *k, uint64_t i, struct rn_str *out)
{
	for (size_t c = 0; c < k->n; c++) {
		const struct rn_column *col = k->cols[c];
		bool quoted = col->type == RN_STRING || col->type == RN_TIMESTAMP;

		rn_str_add(out, c ? ", " : "");
		if (k->names)
			rn_str_addf(out, "%s=", k->names[c]);
		if (rn_column_is_null(col, i)) {
			rn_str_add(out, "NULL");
			continue;
		}
		rn_str_add(out, quoted ? "'" : "");
		rn_column_print(col, i, out);
		rn_str_add(out, quoted ? "'" : "");
	}
}

/* Where numbers never fall, rows are in order already (RN_NO_ROW is the largest). */
static bool is_sorted(const uint32_t *of, uint64_t rows)
{
	for (uint64_t i = 1; i < rows; i++)
		if (of[i] < of[i - 1])
			return false;
	return true;
}

/* ptr[g] = the first place of number g: counts, then their running sum. */
static void count_rows(const uint32_t *of, uint64_t rows, uint64_t n, uint32_t *ptr)
{
	for (uint64_t i = 0; i < rows; i++)
		if (of[i] != RN_NO_ROW)
			ptr[of[i] + 1]++;
	for (uint64_t g = 0; g < n; g++)
		ptr[g + 1] += ptr[g];
}

int rn_rows_by_number(const uint32_t *of, uint64_t rows, uint64_t n, bool may_be_identity,
		      struct rn_buf **ptr, struct rn_buf **at, struct rn_err *e)
{
	struct rn_buf *p;
	uint32_t *first, *to;
	int rc;

	RN_TRY(rn_buf_new((n + 1) * sizeof *first, "row numbers", &p, e));
	first = p->data;
	count_rows(of, rows, n, first);
	if (may_be_identity && is_sorted(of, rows)) {
		*ptr = p;
		*at = NULL;
		return 0;
	}
	rc = rn_buf_new(first[n] * sizeof *to, "row numbers", at, e);
	if (rc) {
		rn_buf_unref(p);
		return rc;
	}
	/* While rows are dealt out first[g] runs to the end of g, which is the start of g + 1. */
	to = (*at)->data;
	for (uint64_t i = 0; i < rows; i++)
		if (of[i] != RN_NO_ROW)
			to[first[of[i]]++] = (uint32_t)i;
	memmove(first + 1, first, n * sizeof *first);
	first[0] = 0;
	*ptr = p;
	return 0;
}

int rn_invert_map(const uint32_t *map, uint64_t len, uint64_t n, struct rn_buf **ptr,
		  struct rn_buf **pos, struct rn_err *e)
{
	if (len > RN_MAX_ROWS || n > RN_MAX_ROWS)
		return rn_err_set(e, RN_EBUG, "a row map of more than %" PRIu64 " rows",
				  RN_MAX_ROWS);
	for (uint64_t i = 0; i < len; i++)
		if (map[i] >= n && map[i] != RN_NO_ROW)
			return rn_err_set(e, RN_EBUG,
					  "a row map leads to row %u of %" PRIu64 " rows", map[i],
					  n);
	return rn_rows_by_number(map, len, n, false, ptr, pos, e);
}
