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
#include "sqlite_api.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
	MAX_ROWS = 65536,       /* in a block */
	BLOCK_TEXT = 64 << 20,  /* bytes of strings at which a block ends */
	BLOCK_CELLS = 1 << 23,
};

struct column {
	char *name;
	enum rn_type type;
	bool ints, floats, texts;     /* values that there are */
	bool no_bool, no_timestamp;   /* some value is none, or the column is not declared so */
	struct rn_column *values;     /* of the block being filled */
	char *bytes;                  /* of its strings */
	size_t nbytes, cap;
};

struct rn_sqlite_reader {
	struct rn_sqlite s;
	struct sqlite3_stmt *rows;
	struct rn_schema schema;
	struct column *cols;
	size_t ncols;
	uint32_t capacity;
	uint64_t row; /* the last one read, from 1 */
	XXH3_state_t *hash;
	bool ended;
};

/* ---- which rows ---------------------------------------------------------------- */

/* The table that there is, if it is the only one. */
static int only_table(struct rn_sqlite_reader *r, struct rn_err *e)
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

static int prepare(struct rn_sqlite_reader *r, const char *query, struct rn_err *e)
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
	rn_sqlite_quote(&sql, r->s.table);
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

static int make_columns(struct rn_sqlite_reader *r, struct rn_err *e)
{
	const struct rn_sqlite_api *a = &r->s.api;
	int n = a->column_count(r->rows);

	if (n <= 0)
		return rn_err_set(e, RN_EUSAGE, "'%s': the query gives no rows", r->s.path);
	RN_TRY(rn_calloc((size_t)n, sizeof *r->cols, "columns", &r->cols, e));
	for (; r->ncols < (size_t)n; r->ncols++) {
		const char *name = a->column_name(r->rows, (int)r->ncols);
		const char *decl = a->column_decltype(r->rows, (int)r->ncols);
		struct column *k = &r->cols[r->ncols];

		for (size_t i = 0; name && i < r->ncols; i++)
			if (!strcmp(r->cols[i].name, name))
				return rn_err_set(e, RN_EUSAGE,
						  "'%s': two columns are called '%s' (name them with AS)",
						  r->s.path, name);
		k->name = name ? strdup(name) : NULL;
		if (!k->name)
			return rn_err_nomem(e, 1, "a column name");
		k->no_bool = !declared(decl, "bool");
		k->no_timestamp = !declared(decl, "date") && !declared(decl, "time");
	}
	return 0;
}

static int bad_value(const struct rn_sqlite_reader *r, const struct column *k, struct rn_err *e,
		     const char *what)
{
	return rn_err_set(e, RN_EDATA, "'%s': row %" PRIu64 ": column '%s' %s", r->s.path, r->row,
			  k->name, what);
}

/* What does column i of the row hold? */
static int look(struct rn_sqlite_reader *r, int i, struct rn_err *e)
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
		return bad_value(r, k, e, "is a BLOB (hex() in a --query makes it text)");
	}
}

/* The next row; *there = false at the end. */
static int step(struct rn_sqlite_reader *r, bool *there, struct rn_err *e)
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

static int find_types(struct rn_sqlite_reader *r, struct rn_err *e)
{
	bool there;

	for (;;) {
		RN_TRY(step(r, &there, e));
		if (!there)
			break;
		for (size_t i = 0; i < r->ncols; i++)
			RN_TRY(look(r, (int)i, e));
	}
	r->s.api.reset(r->rows);
	r->row = 0;
	for (size_t i = 0; i < r->ncols; i++) {
		r->cols[i].type = rn_sqlite_untyped(r, i) ?
					  declared_type(r->s.api.column_decltype(r->rows, (int)i)) :
					  type_of(&r->cols[i]);
		RN_TRY(rn_schema_add_col(&r->schema, r->cols[i].name, NULL, r->cols[i].type, e));
	}
	return 0;
}

/* ---- blocks -------------------------------------------------------------------- */

static int add_null(struct column *k, uint32_t row, struct rn_err *e)
{
	struct rn_column *c = k->values;

	RN_TRY(rn_column_need_null(c, e));
	c->null[row] = 1;
	c->nulls++;
	if (c->type == RN_STRING)
		c->off[row] = k->nbytes;
	else if (c->type == RN_BOOL)
		c->b[row] = 0;
	else if (c->type == RN_FLOAT64)
		c->f64[row] = 0;
	else
		c->i64[row] = 0;
	return 0;
}

static int add_text(struct rn_sqlite_reader *r, int i, uint32_t row, struct rn_err *e)
{
	struct column *k = &r->cols[i];
	const char *text = (const char *)r->s.api.column_text(r->rows, i);
	size_t n = (size_t)r->s.api.column_bytes(r->rows, i);

	if (!text)
		return rn_err_nomem(e, n, "a value of SQLite");
	if (k->type == RN_TIMESTAMP)
		return rn_timestamp_parse(text, n, &k->values->i64[row]) ?
			       0 : bad_value(r, k, e, "is no timestamp any more");
	if (!rn_utf8_valid(text, n))
		return bad_value(r, k, e, "is not UTF-8");
	if (memchr(text, 0, n))
		return bad_value(r, k, e, "has a NUL character");
	RN_TRY(rn_grow(&k->bytes, &k->cap, k->nbytes + n + 1, 1, "strings", e));
	memcpy(k->bytes + k->nbytes, text, n);
	k->values->off[row] = k->nbytes;
	k->nbytes += n;
	XXH3_64bits_update(r->hash, text, n);
	return 0;
}

static int add_value(struct rn_sqlite_reader *r, int i, uint32_t row, struct rn_err *e)
{
	const struct rn_sqlite_api *a = &r->s.api;
	struct column *k = &r->cols[i];
	int class = a->column_type(r->rows, i);
	struct rn_column *c = k->values;
	int64_t v;
	double d;

	if (class == RN_SQLITE_NULL)
		return add_null(k, row, e);
	if (k->type == RN_STRING || k->type == RN_TIMESTAMP)
		return add_text(r, i, row, e);
	if (k->type == RN_FLOAT64) {
		d = a->column_double(r->rows, i);
		if (isnan(d))
			return add_null(k, row, e);
		c->f64[row] = d + 0.0; /* -0.0 becomes 0.0 */
		XXH3_64bits_update(r->hash, &c->f64[row], sizeof d);
		return 0;
	}
	v = a->column_int64(r->rows, i);
	if (k->type == RN_BOOL)
		c->b[row] = v != 0;
	else
		c->i64[row] = v;
	XXH3_64bits_update(r->hash, &v, sizeof v);
	return 0;
}

static int add_row(struct rn_sqlite_reader *r, uint32_t row, uint64_t *text, struct rn_err *e)
{
	*text = 0;
	for (size_t i = 0; i < r->ncols; i++) {
		RN_TRY(add_value(r, (int)i, row, e));
		XXH3_64bits_update(r->hash, "", 1); /* NULL is not "", "ab" not "a", "b" */
		*text += r->cols[i].nbytes;
	}
	return 0;
}

static void drop_block(struct rn_sqlite_reader *r)
{
	for (size_t i = 0; i < r->ncols; i++) {
		rn_column_unref(r->cols[i].values);
		r->cols[i].values = NULL;
		r->cols[i].nbytes = 0;
	}
}

static int start_block(struct rn_sqlite_reader *r, struct rn_err *e)
{
	drop_block(r);
	for (size_t i = 0; i < r->ncols; i++) {
		struct column *k = &r->cols[i];

		if (k->type == RN_STRING)
			RN_TRY(rn_column_new_string(r->capacity, 0, &k->values, e));
		else
			RN_TRY(rn_column_new(k->type, r->capacity, &k->values, e));
	}
	return 0;
}

static int finish_block(struct rn_sqlite_reader *r, uint32_t rows, struct rn_rel **out,
			struct rn_err *e)
{
	struct rn_rel *rel;
	int rc;

	RN_TRY(rn_rel_new(NULL, rows, &rel, e));
	for (size_t i = 0; i < r->ncols; i++) {
		struct column *k = &r->cols[i];
		struct rn_column *c = k->values;
		struct rn_buf *mem;

		c->rows = rows;
		if (c->type == RN_STRING) {
			c->off[rows] = k->nbytes;
			RN_GOTO(fail, rn_buf_new(k->nbytes, "a string column", &mem, e));
			if (k->nbytes)
				memcpy(mem->data, k->bytes, k->nbytes);
			rn_buf_unref(c->mem[1]);
			c->mem[1] = mem;
			c->bytes = mem->data;
		}
		k->values = NULL;
		RN_GOTO(fail, rn_rel_add_col(rel, k->name, NULL, c, e));
	}
	*out = rel;
	return 0;
fail:
	rn_rel_unref(rel);
	return rc;
}

int rn_sqlite_block(struct rn_sqlite_reader *r, struct rn_rel **out, struct rn_err *e)
{
	uint64_t text = 0;
	uint32_t rows = 0;
	bool there;

	*out = NULL;
	if (r->ended)
		return 0;
	RN_TRY(start_block(r, e));
	while (rows < r->capacity && text < BLOCK_TEXT) {
		RN_TRY(step(r, &there, e));
		if (!there) {
			r->ended = true;
			break;
		}
		RN_TRY(add_row(r, rows++, &text, e));
	}
	return rows ? finish_block(r, rows, out, e) : 0;
}

/* ---- life ---------------------------------------------------------------------- */

static void set_capacity(struct rn_sqlite_reader *r, const struct rn_ctx *c)
{
	uint32_t rows = c && c->block_rows ? c->block_rows : MAX_ROWS;
	uint32_t most = (uint32_t)(BLOCK_CELLS / r->ncols);

	rows = rows < MAX_ROWS ? rows : MAX_ROWS;
	r->capacity = most && most < rows ? most : rows;
}

int rn_sqlite_open(const struct rn_ctx *c, const char *name, const char *query,
		   struct rn_sqlite_reader **out, struct rn_err *e)
{
	struct rn_sqlite_reader *r;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *r, "a database reader", &r, e));
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
		rc = make_columns(r, e);
	if (!rc)
		rc = find_types(r, e);
	if (rc) {
		rn_sqlite_close(r);
		return rc;
	}
	set_capacity(r, c);
	*out = r;
	return 0;
}

const struct rn_schema *rn_sqlite_schema(const struct rn_sqlite_reader *r)
{
	return &r->schema;
}

bool rn_sqlite_untyped(const struct rn_sqlite_reader *r, size_t i)
{
	return !r->cols[i].ints && !r->cols[i].floats && !r->cols[i].texts;
}

uint64_t rn_sqlite_hash(const struct rn_sqlite_reader *r)
{
	return XXH3_64bits_digest(r->hash);
}

void rn_sqlite_close(struct rn_sqlite_reader *r)
{
	if (!r)
		return;
	drop_block(r);
	if (r->rows)
		r->s.api.finalize(r->rows);
	rn_sqlite_db_close(&r->s);
	for (size_t i = 0; i < r->ncols; i++) {
		free(r->cols[i].name);
		free(r->cols[i].bytes);
	}
	free(r->cols);
	rn_schema_fini(&r->schema);
	XXH3_freeState(r->hash);
	free(r);
}
