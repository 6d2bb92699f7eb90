/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of a database.  SQLite's values have types and its columns only tend to
 * have: a first pass over the rows finds what a column holds, a second makes the
 * blocks, both in one transaction, so that they see the same.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "sqlite.h"

#include "../lib/base/mem.h"
#include "../lib/base/num.h"
#include "../lib/base/utf8.h"
#include "fill.h"
#include "sqlite_api.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What the first pass found in a column. */
struct column {
	bool ints, floats, texts;     /* values that there are */
	bool no_bool, no_timestamp;   /* some value is none, or the column is not declared so */
};

struct reader {
	struct rn_db_reader r;
	struct rn_sqlite s;
	struct sqlite3_stmt *rows;
	struct column *cols;
	struct rn_fill fill;
	uint64_t row; /* the last one read, from 1 */
	XXH3_state_t *hash;
	bool ended;
};

/* ---- which rows ---------------------------------------------------------------- */

/* The table that there is, if it is the only one. */
static int only_table(struct reader *r, struct rn_err *e)
{
	static const char sql[] = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') "
				  "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
	const struct rn_sqlite_api *a = &r->s.api;
	struct rn_str names = RN_STR_INIT;
	struct sqlite3_stmt *s = NULL;
	size_t n = 0;
	int rc, step;

	RN_GOTO(out, rn_sqlite_prepare(&r->s, sql, &s, e));
	while ((step = a->step(s)) == RN_SQLITE_ROW) {
		const char *name = (const char *)a->column_text(s, 0);

		rn_str_addf(&names, "%s%s", n++ ? ", " : "", name ? name : "?");
	}
	if (step != RN_SQLITE_DONE)
		rc = rn_sqlite_fail(&r->s, step, e);
	else if (n != 1)
		rc = rn_err_set(e, RN_EUSAGE, "'%s' has %zu tables: name one (sqlite:FILE?table=NAME)%s%s",
				r->s.path, n, n ? ": " : "", names.s);
	else if (!(r->s.table = rn_str_take(&names, e)))
		rc = RN_ENOMEM;
out:
	a->finalize(s);
	rn_str_fini(&names);
	return rc;
}

static int prepare(struct reader *r, const char *query, struct rn_err *e)
{
	struct rn_str sql = RN_STR_INIT;
	int rc;

	if (query && r->s.table)
		return rn_err_set(e, RN_EUSAGE, "--query and table=%s: give one of them", r->s.table);
	if (query)
		return rn_sqlite_prepare(&r->s, query, &r->rows, e);
	if (!r->s.table)
		RN_TRY(only_table(r, e));
	rn_str_add(&sql, "SELECT * FROM ");
	rn_sql_quote(&sql, r->s.table);
	rc = rn_str_check(&sql, e);
	if (!rc)
		rc = rn_sqlite_prepare(&r->s, sql.s, &r->rows, e);
	rn_str_fini(&sql);
	return rc;
}

/* ---- columns ------------------------------------------------------------------- */

static bool declared(const char *decl, const char *word)
{
	return decl && strcasestr(decl, word);
}

static int make_columns(struct reader *r, const struct rn_ctx *c, struct rn_err *e)
{
	const struct rn_sqlite_api *a = &r->s.api;
	int n = a->column_count(r->rows);

	if (n <= 0)
		return rn_err_set(e, RN_EUSAGE, "'%s': the query gives no rows", r->s.path);
	RN_TRY(rn_calloc((size_t)n, sizeof *r->cols, "columns", &r->cols, e));
	RN_TRY(rn_fill_init(&r->fill, c, (size_t)n, e));
	for (int i = 0; i < n; i++) {
		const char *name = a->column_name(r->rows, i);
		const char *decl = a->column_decltype(r->rows, i);

		if (!name)
			return rn_err_nomem(e, 1, "a column name");
		RN_TRY(rn_fill_name(&r->fill, (size_t)i, name, r->s.path, e));
		r->cols[i].no_bool = !declared(decl, "bool");
		r->cols[i].no_timestamp = !declared(decl, "date") && !declared(decl, "time");
	}
	return 0;
}

static int bad_value(const struct reader *r, int i, struct rn_err *e, const char *what)
{
	return rn_err_set(e, RN_EDATA, "'%s': row %" PRIu64 ": column '%s' %s", r->s.path, r->row,
			  r->fill.cols[i].name, what);
}

/* What does column i of the row hold? */
static int look(struct reader *r, int i, struct rn_err *e)
{
	const struct rn_sqlite_api *a = &r->s.api;
	struct column *k = &r->cols[i];
	int64_t v;

	switch (a->column_type(r->rows, i)) {
	case RN_SQLITE_NULL:
		return 0;
	case RN_SQLITE_INTEGER:
		v = a->column_int64(r->rows, i);
		k->ints = true;
		k->no_bool |= v != 0 && v != 1;
		k->no_timestamp = true;
		return 0;
	case RN_SQLITE_FLOAT:
		k->floats = k->no_bool = k->no_timestamp = true;
		return 0;
	case RN_SQLITE_TEXT:
		k->texts = k->no_bool = true;
		if (!k->no_timestamp) {
			const char *text = (const char *)a->column_text(r->rows, i);

			if (!text)
				return rn_err_nomem(e, 1, "a value of SQLite");
			k->no_timestamp = !rn_timestamp_parse(
				text, (size_t)a->column_bytes(r->rows, i), &v);
		}
		return 0;
	default:
		return bad_value(r, i, e, "is a BLOB (hex() in a --query makes it text)");
	}
}

/* The next row; *there = false at the end. */
static int step(struct reader *r, bool *there, struct rn_err *e)
{
	int rc = r->s.api.step(r->rows);

	*there = rc == RN_SQLITE_ROW;
	r->row++;
	return *there || rc == RN_SQLITE_DONE ? 0 : rn_sqlite_fail(&r->s, rc, e);
}

static enum rn_type type_of(const struct column *k)
{
	if (k->texts)
		return k->no_timestamp ? RN_STRING : RN_TIMESTAMP;
	if (k->floats)
		return RN_FLOAT64;
	if (k->ints)
		return k->no_bool ? RN_INT64 : RN_BOOL;
	return RN_STRING;
}

/* A column without a value has the type that it is declared with. */
static enum rn_type declared_type(const char *decl)
{
	static const struct {
		const char *word;
		enum rn_type type;
	} types[] = { { "bool", RN_BOOL },    { "date", RN_TIMESTAMP }, { "time", RN_TIMESTAMP },
		      { "int", RN_INT64 },    { "real", RN_FLOAT64 },   { "floa", RN_FLOAT64 },
		      { "doub", RN_FLOAT64 } };

	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (declared(decl, types[i].word))
			return types[i].type;
	return RN_STRING;
}

static bool untyped(const struct rn_db_reader *r, size_t i)
{
	const struct column *k = &((const struct reader *)r)->cols[i];

	return !k->ints && !k->floats && !k->texts;
}

static int find_types(struct reader *r, struct rn_err *e)
{
	bool there;

	for (;;) {
		RN_TRY(step(r, &there, e));
		if (!there)
			break;
		for (size_t i = 0; i < r->fill.ncols; i++)
			RN_TRY(look(r, (int)i, e));
	}
	r->s.api.reset(r->rows);
	r->row = 0;
	for (size_t i = 0; i < r->fill.ncols; i++) {
		r->fill.cols[i].type = untyped(&r->r, i) ?
			declared_type(r->s.api.column_decltype(r->rows, (int)i)) :
			type_of(&r->cols[i]);
	}
	return rn_fill_schema(&r->fill, &r->r.schema, e);
}

/* ---- blocks -------------------------------------------------------------------- */

static int add_text(struct reader *r, int i, struct rn_err *e)
{
	const char *text = (const char *)r->s.api.column_text(r->rows, i);
	size_t n = (size_t)r->s.api.column_bytes(r->rows, i);
	int64_t us;

	if (!text)
		return rn_err_nomem(e, n, "a value of SQLite");
	if (r->fill.cols[i].type == RN_TIMESTAMP) {
		if (!rn_timestamp_parse(text, n, &us))
			return bad_value(r, i, e, "is no timestamp any more");
		rn_fill_int(&r->fill, (size_t)i, us);
		return 0;
	}
	if (!rn_utf8_valid(text, n))
		return bad_value(r, i, e, "is not UTF-8");
	if (memchr(text, 0, n))
		return bad_value(r, i, e, "has a NUL character");
	XXH3_64bits_update(r->hash, text, n);
	return rn_fill_text(&r->fill, (size_t)i, text, n, e);
}

static int add_value(struct reader *r, int i, struct rn_err *e)
{
	const struct rn_sqlite_api *a = &r->s.api;
	enum rn_type type = r->fill.cols[i].type;
	int64_t v;
	double d;

	if (a->column_type(r->rows, i) == RN_SQLITE_NULL)
		return rn_fill_null(&r->fill, (size_t)i, e);
	if (type == RN_STRING || type == RN_TIMESTAMP)
		return add_text(r, i, e);
	if (type == RN_FLOAT64) {
		d = a->column_double(r->rows, i) + 0.0;
		if (!isnan(d))
			XXH3_64bits_update(r->hash, &d, sizeof d);
		return rn_fill_float(&r->fill, (size_t)i, d, e);
	}
	v = a->column_int64(r->rows, i);
	if (type == RN_BOOL)
		rn_fill_bool(&r->fill, (size_t)i, v != 0);
	else
		rn_fill_int(&r->fill, (size_t)i, v);
	XXH3_64bits_update(r->hash, &v, sizeof v);
	return 0;
}

static int add_row(struct reader *r, struct rn_err *e)
{
	for (size_t i = 0; i < r->fill.ncols; i++) {
		RN_TRY(add_value(r, (int)i, e));
		XXH3_64bits_update(r->hash, "", 1); /* NULL is not "", "ab" not "a", "b" */
	}
	rn_fill_next(&r->fill);
	return 0;
}

static int block(struct rn_db_reader *db, struct rn_rel **out, struct rn_err *e)
{
	struct reader *r = (struct reader *)db;
	bool there;

	*out = NULL;
	if (r->ended)
		return 0;
	RN_TRY(rn_fill_begin(&r->fill, e));
	while (!rn_fill_is_full(&r->fill)) {
		RN_TRY(step(r, &there, e));
		if (!there) {
			r->ended = true;
			break;
		}
		RN_TRY(add_row(r, e));
	}
	return r->fill.rows ? rn_fill_take(&r->fill, out, e) : 0;
}

/* ---- life ---------------------------------------------------------------------- */

static uint64_t hash(const struct rn_db_reader *r)
{
	return XXH3_64bits_digest(((const struct reader *)r)->hash);
}

static void close_reader(struct rn_db_reader *db)
{
	struct reader *r = (struct reader *)db;

	if (r->rows)
		r->s.api.finalize(r->rows);
	rn_sqlite_db_close(&r->s);
	rn_fill_fini(&r->fill);
	free(r->cols);
	XXH3_freeState(r->hash);
	free(r);
}

int rn_sqlite_open(const struct rn_ctx *c, const char *name, const char *query,
		   struct rn_db_reader **out, struct rn_err *e)
{
	struct reader *r;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *r, "a database reader", &r, e));
	r->r = (struct rn_db_reader){ .block = block, .untyped = untyped, .hash = hash,
				      .close = close_reader };
	rc = rn_sqlite_db_open(&r->s, name, RN_SQLITE_READONLY, e);
	if (rc) {
		free(r);
		return rc;
	}
	r->hash = XXH3_createState();
	rc = r->hash ? 0 : rn_err_nomem(e, sizeof *r->hash, "a database reader");
	if (!rc) {
		XXH3_64bits_reset(r->hash);
		rc = rn_sqlite_exec(&r->s, "BEGIN", e);
	}
	if (!rc)
		rc = prepare(r, query, e);
	if (!rc)
		rc = make_columns(r, c, e);
	if (!rc)
		rc = find_types(r, e);
	if (rc)
		rn_db_close(&r->r);
	else
		*out = &r->r;
	return rc;
}
