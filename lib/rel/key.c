/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys: which types meet, their order, and keys as text.
 */
#include "keyset.h"
#include "part.h"

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

/* Rows of each part with a NULL in the key. */
struct null_count {
	const struct rn_key *k;
	uint64_t with; /* all of them */
};

static void count_part_nulls(void *arg, uint32_t part)
{
	struct null_count *n = arg;
	uint64_t to = rn_part_to(part, n->k->rows), count = 0;

	for (uint64_t i = rn_part_from(part); i < to; i++) {
		bool null = false;

		for (size_t c = 0; c < n->k->n; c++)
			null = null || rn_column_is_null(n->k->cols[c], i);
		count += null;
	}
	__atomic_fetch_add(&n->with, count, __ATOMIC_RELAXED);
}

uint64_t rn_key_count_nulls(struct rn_team *t, const struct rn_key *k)
{
	struct null_count n = { .k = k };
	uint64_t with = 0;

	for (size_t c = 0; c < k->n; c++)
		if (k->cols[c]->nulls) {
			n.with = k->cols[c]->nulls;
			with++;
		}
	if (with <= 1)
		return n.with;
	n.with = 0;
	rn_part_run(t, k->rows, count_part_nulls, &n);
	return n.with;
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
			return -rn_key_cmp_mixed(b->i64[j], a->f64[i]);
		return (a->f64[i] > b->f64[j]) - (a->f64[i] < b->f64[j]);
	case RN_BOOL:
		return a->b[i] - b->b[j];
	case RN_STRING:
		return compare_strings(a, i, b, j);
	default:
		if (b->type == RN_FLOAT64)
			return rn_key_cmp_mixed(a->i64[i], b->f64[j]);
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
