/* SPDX-License-Identifier: Apache-2.0
 *
 * Random relations with NULLs and duplicates, and the same as tables of SQLite.
 * Columns a, b and f are small numbers; k and g reach where doubles are coarse.
 */
#include "diff.h"

#include <stdio.h>
#include <string.h>

const struct base_column columns[NCOLS] = {
	[A] = { "a", RN_INT64 },   [B] = { "b", RN_INT64 },  [K] = { "k", RN_INT64 },
	[F] = { "f", RN_FLOAT64 }, [G] = { "g", RN_FLOAT64 }, [S] = { "s", RN_STRING },
	[U] = { "u", RN_STRING },  [P] = { "p", RN_BOOL },   [Q] = { "q", RN_BOOL },
	[T] = { "t", RN_TIMESTAMP },
};

const char *const strings[NSTRINGS] = { "",  "a",  "b",  "ab",	    "aab",
				       "A", "a%", "_b", "\xc3\xa4", "ba" };

static int64_t random_int(int col)
{
	static const int64_t big[] = { 1ll << 53, (1ll << 53) + 1, (1ll << 53) + 2, INT64_MAX,
				       INT64_MIN, INT64_MAX - 1, 0, 1, -2 };

	if (col == T)
		return ((int64_t)rnd(2000000000) - 1000000000) * 1000000;
	return col == K ? big[rnd(9)] : (int64_t)rnd(9) - (col == A ? 4 : 1);
}

static double random_float(int col)
{
	static const double big[] = { 0x1p53, 0x1p53 + 2, 0x1p63, -0x1p63, 0, 1, -2, 0.5 };

	return col == G ? big[rnd(8)] : ((int)rnd(17) - 8) / 4.0;
}

static void set_value(struct rn_column *c, int col, uint64_t i, uint64_t *bytes)
{
	bool null = rnd(5) == 0;
	const char *s;

	if (null) {
		must(rn_column_need_null(c, &err));
		c->null[i] = 1;
		c->nulls++;
	}
	switch (c->type) {
	case RN_STRING:
		s = null ? "" : strings[rnd(NSTRINGS)];
		memcpy(c->bytes + *bytes, s, strlen(s));
		*bytes += strlen(s);
		c->off[i + 1] = *bytes;
		break;
	case RN_FLOAT64:
		c->f64[i] = null ? 0 : random_float(col);
		break;
	case RN_BOOL:
		c->b[i] = !null && rnd(2);
		break;
	default:
		c->i64[i] = null ? 0 : random_int(col);
	}
}

static void bind_value(sqlite3_stmt *st, int at, const struct rn_column *c, uint64_t i)
{
	if (rn_column_is_null(c, i))
		sqlite3_bind_null(st, at);
	else if (c->type == RN_STRING)
		sqlite3_bind_text(st, at, c->bytes + c->off[i], (int)(c->off[i + 1] - c->off[i]),
				  SQLITE_TRANSIENT);
	else if (c->type == RN_FLOAT64)
		sqlite3_bind_double(st, at, c->f64[i]);
	else
		sqlite3_bind_int64(st, at, c->type == RN_BOOL ? c->b[i] : c->i64[i]);
}

struct rn_rel *make_relation(const char *name, uint64_t rows)
{
	struct rn_rel *r = NULL;
	sqlite3_stmt *st;
	char text[256];

	must(rn_rel_new(name, rows, &r, &err));
	for (int col = 0; col < NCOLS; col++) {
		struct rn_column *c = NULL;
		uint64_t bytes = 0;

		if (columns[col].type == RN_STRING)
			must(rn_column_new_string(rows, 4 * rows, &c, &err));
		else
			must(rn_column_new(columns[col].type, rows, &c, &err));
		for (uint64_t i = 0; i < rows; i++)
			set_value(c, col, i, &bytes);
		must(rn_rel_add_col(r, columns[col].name, name, c, &err));
	}
	snprintf(text, sizeof text,
		 "drop table if exists %s; create table %s(i integer primary key, a integer, "
		 "b integer, k integer, f real, g real, s text, u text, p integer, q integer, "
		 "t integer)",
		 name, name);
	sql(text);
	snprintf(text, sizeof text, "insert into %s values (?,?,?,?,?,?,?,?,?,?,?)", name);
	if (sqlite3_prepare_v2(db, text, -1, &st, NULL) != SQLITE_OK)
		die(text);
	sql("begin");
	for (uint64_t i = 0; i < rows; i++) {
		sqlite3_bind_int64(st, 1, (sqlite3_int64)i);
		for (int col = 0; col < NCOLS; col++)
			bind_value(st, col + 2, r->cols[col], i);
		if (sqlite3_step(st) != SQLITE_DONE)
			die(text);
		sqlite3_reset(st);
	}
	sql("commit");
	sqlite3_finalize(st);
	return r;
}
