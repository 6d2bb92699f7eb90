/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers of SQLite against columns of RN.
 */
#include "diff.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static unsigned failures;

bool report(bool ok, int pair, const char *rn, const char *lite)
{
	if (!ok && ++failures <= 5)
		printf("# pair %d differs\n#   rn     %s\n#   sqlite %s\n#   (%s)\n", pair, rn, lite,
		       err.msg);
	return ok;
}

bool numbers_are(const char *text, const uint32_t *const *at, int cols, uint64_t rows)
{
	sqlite3_stmt *st;
	bool ok = true;
	uint64_t i = 0;

	if (sqlite3_prepare_v2(db, text, -1, &st, NULL) != SQLITE_OK)
		die(text);
	for (; sqlite3_step(st) == SQLITE_ROW; i++)
		for (int k = 0; k < cols; k++) {
			bool null = sqlite3_column_type(st, k) == SQLITE_NULL;

			ok = ok && i < rows &&
			     at[k][i] == (null ? RN_NO_ROW : (uint32_t)sqlite3_column_int64(st, k));
		}
	sqlite3_finalize(st);
	return ok && i == rows;
}

static bool same_value(sqlite3_stmt *st, int k, const struct rn_column *c, uint64_t i, bool about)
{
	bool null = sqlite3_column_type(st, k) == SQLITE_NULL;
	double x;
	size_t n;

	if (rn_column_is_null(c, i) || null)
		return rn_column_is_null(c, i) && null;
	switch (c->type) {
	case RN_STRING:
		n = c->off[i + 1] - c->off[i];
		return sqlite3_column_type(st, k) == SQLITE_TEXT &&
		       (size_t)sqlite3_column_bytes(st, k) == n &&
		       memcmp(sqlite3_column_text(st, k), c->bytes + c->off[i], n) == 0;
	case RN_FLOAT64:
		x = sqlite3_column_double(st, k);
		return x == c->f64[i] || (about && fabs(x - c->f64[i]) <= 1e-6 * (1 + fabs(x)));
	default:
		return sqlite3_column_type(st, k) == SQLITE_INTEGER &&
		       sqlite3_column_int64(st, k) == (c->type == RN_BOOL ? c->b[i] : c->i64[i]);
	}
}

bool columns_are(const char *text, struct rn_column *const *cols, size_t n, const bool *about)
{
	sqlite3_stmt *st;
	uint64_t i = 0;
	bool ok = true;

	if (sqlite3_prepare_v2(db, text, -1, &st, NULL) != SQLITE_OK)
		die(text);
	ok = sqlite3_column_count(st) == (int)n;
	for (; sqlite3_step(st) == SQLITE_ROW; i++)
		for (size_t k = 0; k < n && ok; k++)
			ok = i < cols[k]->rows &&
			     same_value(st, (int)k, cols[k], i, about && about[k]);
	sqlite3_finalize(st);
	return ok && (!n || i == cols[0]->rows);
}
