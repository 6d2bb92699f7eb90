/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows into a table of a database, all of them or none.
 */
#include "sqlite.h"

#include "../lib/base/mem.h"
#include "../lib/base/num.h"
#include "sqlite_api.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct writer {
	struct rn_db_writer w;
	struct rn_sqlite s;
	struct sqlite3_stmt *insert;
	bool made;           /* the file was not there before */
	struct rn_str value; /* scratch */
};

static const char *decl_of(enum rn_type t)
{
	static const char *const names[RN_NTYPES] = {
		[RN_INT64] = "INTEGER", [RN_FLOAT64] = "REAL", [RN_BOOL] = "BOOLEAN",
		[RN_STRING] = "TEXT",   [RN_TIMESTAMP] = "TIMESTAMP",
	};

	return names[t];
}

/* `each` of the table's columns: name and, where wanted, declaration. */
static void add_columns(const struct rn_schema *s, bool decl, struct rn_str *sql, size_t *n)
{
	struct rn_str name = RN_STR_INIT;

	*n = 0;
	for (size_t i = 0; i < s->ncols; i++) {
		rn_schema_col_name(s, i, &name);
		rn_str_add(sql, (*n)++ ? ", " : "");
		rn_sql_quote(sql, name.s);
		if (decl)
			rn_str_addf(sql, " %s", decl_of(s->cols[i].type));
	}
	for (size_t i = 0; i < s->nparts; i++) {
		const struct rn_part_info *p = &s->parts[i];
		uint32_t width = p->sparse ? 1 : rn_shape_width(&p->shape);

		for (uint32_t j = 0; j < width; j++) {
			rn_str_clear(&name);
			rn_str_add(&name, p->name);
			if (width > 1)
				rn_str_addf(&name, "%u", j);
			rn_str_add(sql, (*n)++ ? ", " : "");
			rn_sql_quote(sql, name.s);
			if (decl)
				rn_str_add(sql, p->sparse ? " TEXT" : " REAL");
		}
	}
	sql->failed |= name.failed;
	rn_str_fini(&name);
}

/* A declared key is UNIQUE and not the PRIMARY KEY, which would reorder the rows. */
static void add_key(const struct rn_schema *s, struct rn_str *sql)
{
	struct rn_str name = RN_STR_INIT;

	for (size_t i = 0; i < s->nkey; i++) {
		rn_schema_col_name(s, s->key[i], &name);
		rn_str_add(sql, i ? ", " : ", UNIQUE (");
		rn_sql_quote(sql, name.s);
	}
	rn_str_add(sql, s->nkey ? ")" : "");
	sql->failed |= name.failed;
	rn_str_fini(&name);
}

static int table_exists(const struct rn_sqlite *s, bool *yes, struct rn_err *e)
{
	struct sqlite3_stmt *q;
	int rc;

	RN_TRY(rn_sqlite_prepare(s, "SELECT 1 FROM sqlite_master WHERE name = ? COLLATE NOCASE", &q,
				 e));
	s->api.bind_text64(q, 1, s->table, strlen(s->table), NULL, 1);
	rc = s->api.step(q);
	*yes = rc == RN_SQLITE_ROW;
	rc = rc == RN_SQLITE_ROW || rc == RN_SQLITE_DONE ? 0 : rn_sqlite_fail(s, rc, e);
	s->api.finalize(q);
	return rc;
}

static int create_table(const struct rn_sqlite *s, const struct rn_schema *schema,
			struct rn_err *e)
{
	struct rn_str sql = RN_STR_INIT;
	size_t n;
	int rc;

	rn_str_add(&sql, "CREATE TABLE ");
	rn_sql_quote(&sql, s->table);
	rn_str_add(&sql, " (");
	add_columns(schema, true, &sql, &n);
	add_key(schema, &sql);
	rn_str_add(&sql, ")");
	rc = rn_str_check(&sql, e);
	if (!rc)
		rc = rn_sqlite_exec(s, sql.s, e);
	rn_str_fini(&sql);
	return rc;
}

static int prepare_insert(struct writer *w, const struct rn_schema *schema,
			  struct rn_err *e)
{
	struct rn_str sql = RN_STR_INIT;
	size_t n;
	int rc;

	rn_str_add(&sql, "INSERT INTO ");
	rn_sql_quote(&sql, w->s.table);
	rn_str_add(&sql, " (");
	add_columns(schema, false, &sql, &n);
	rn_str_add(&sql, ") VALUES (");
	for (size_t i = 0; i < n; i++)
		rn_str_add(&sql, i ? ", ?" : "?");
	rn_str_add(&sql, ")");
	rc = rn_str_check(&sql, e);
	if (!rc)
		rc = rn_sqlite_prepare(&w->s, sql.s, &w->insert, e);
	rn_str_fini(&sql);
	return rc;
}

/* Would SQLite take text for this declaration as it is, where it wants numbers?  By its rules of
 * affinity; dates are text. */
static bool wants_number(const char *decl)
{
	return strcasestr(decl, "INT") || strcasestr(decl, "REAL") || strcasestr(decl, "FLOA") ||
	       strcasestr(decl, "DOUB") || strcasestr(decl, "NUM") || strcasestr(decl, "DEC");
}

/* Text, as timestamps are, goes into no column of numbers of a table that was there. */
static int check_column(const struct writer *w, const struct rn_schema *schema, const char *name,
			const char *decl, struct rn_err *e)
{
	struct rn_str own = RN_STR_INIT;
	int rc = 0;

	for (size_t i = 0; i < schema->ncols && !rc; i++) {
		enum rn_type t = schema->cols[i].type;

		if ((t != RN_STRING && t != RN_TIMESTAMP) || !wants_number(decl))
			continue;
		rn_schema_col_name(schema, i, &own);
		rc = rn_str_check(&own, e);
		if (!rc && !strcasecmp(own.s, name))
			rc = rn_err_set(e, RN_EUSAGE,
					"'%s': column '%s' is %s, and the table '%s' declares it %s: "
					"cast it with rn-project", w->s.path, own.s, rn_type_name(t),
					w->s.table, decl);
	}
	rn_str_fini(&own);
	return rc;
}

static int check_columns(const struct writer *w, const struct rn_schema *schema, struct rn_err *e)
{
	const struct rn_sqlite_api *a = &w->s.api;
	struct rn_str sql = RN_STR_INIT;
	struct sqlite3_stmt *q = NULL;
	int rc, step = RN_SQLITE_DONE;

	rn_str_add(&sql, "PRAGMA table_info(");
	rn_sql_quote(&sql, w->s.table);
	rn_str_add(&sql, ")");
	rc = rn_str_check(&sql, e);
	if (!rc)
		rc = rn_sqlite_prepare(&w->s, sql.s, &q, e);
	while (!rc && (step = a->step(q)) == RN_SQLITE_ROW) {
		const char *name = (const char *)a->column_text(q, 1);
		const char *decl = (const char *)a->column_text(q, 2);

		if (name && decl)
			rc = check_column(w, schema, name, decl, e);
	}
	if (!rc && step != RN_SQLITE_DONE)
		rc = rn_sqlite_fail(&w->s, step, e);
	if (q)
		a->finalize(q);
	rn_str_fini(&sql);
	return rc;
}

static int begin(struct writer *w, const struct rn_schema *schema, bool append,
		 struct rn_err *e)
{
	bool exists;

	if (!w->s.table)
		return rn_err_set(e, RN_EUSAGE, "'%s': name the table (sqlite:FILE?table=NAME)",
				  w->s.path);
	if (!schema->ncols && !schema->nparts)
		return rn_err_set(e, RN_EUSAGE, "'%s': a table needs a column", w->s.path);
	RN_TRY(rn_sqlite_exec(&w->s, "BEGIN IMMEDIATE", e));
	RN_TRY(table_exists(&w->s, &exists, e));
	if (exists && !append)
		return rn_err_set(e, RN_EUSAGE, "'%s' has a table '%s' already (--append adds to it)",
				  w->s.path, w->s.table);
	RN_TRY(exists ? check_columns(w, schema, e) : create_table(&w->s, schema, e));
	return prepare_insert(w, schema, e);
}

/* ---- rows ---------------------------------------------------------------------- */

static int bind_text(struct writer *w, int at, const char *text, size_t n)
{
	enum { UTF8 = 1 };

	return w->s.api.bind_text64(w->insert, at, text, n, NULL, UTF8);
}

/* Value i; the text of a timestamp stays in w->value until the row is inserted, and
 * SQLite copies none: text64 with a NULL release is static. */
static int bind_value(struct writer *w, int at, const struct rn_column *c, uint64_t i)
{
	const struct rn_sqlite_api *a = &w->s.api;

	if (rn_column_is_null(c, i))
		return a->bind_null(w->insert, at);
	switch (c->type) {
	case RN_FLOAT64:
		return a->bind_double(w->insert, at, c->f64[i]);
	case RN_BOOL:
		return a->bind_int64(w->insert, at, c->b[i]);
	case RN_INT64:
		return a->bind_int64(w->insert, at, c->i64[i]);
	default:
		return bind_text(w, at, c->bytes + c->off[i], c->off[i + 1] - c->off[i]);
	}
}

static void print_sparse(const struct rn_tensor *z, uint64_t i, struct rn_str *out)
{
	for (uint64_t j = z->ptr[i]; j < z->ptr[i + 1]; j++) {
		rn_str_add(out, j > z->ptr[i] ? " " : "");
		rn_int64_print(z->col[j], out);
		rn_str_addc(out, ':');
		rn_float32_print(z->data[j], out);
	}
}

/* The texts of row i that have to be made: timestamps and sparse parts, in order, each
 * ended by a NUL. */
static int make_texts(struct writer *w, const struct rn_rel *r,
		      struct rn_tensor *const *parts, uint64_t i, struct rn_err *e)
{
	rn_str_clear(&w->value);
	for (size_t c = 0; c < r->schema.ncols; c++)
		if (r->cols[c]->type == RN_TIMESTAMP && !rn_column_is_null(r->cols[c], i)) {
			rn_column_print(r->cols[c], i, &w->value);
			rn_str_addc(&w->value, '\0');
		}
	for (size_t p = 0; p < r->schema.nparts; p++)
		if (parts[p]->sparse) {
			print_sparse(parts[p], i, &w->value);
			rn_str_addc(&w->value, '\0');
		}
	return rn_str_check(&w->value, e);
}

static int bind_row(struct writer *w, const struct rn_rel *r,
		    struct rn_tensor *const *parts, uint64_t i)
{
	const char *text = w->value.s;
	int at = 1, rc = RN_SQLITE_OK;

	for (size_t c = 0; c < r->schema.ncols && !rc; c++) {
		if (r->cols[c]->type == RN_TIMESTAMP && !rn_column_is_null(r->cols[c], i)) {
			rc = bind_text(w, at++, text, strlen(text));
			text += strlen(text) + 1;
		} else {
			rc = bind_value(w, at++, r->cols[c], i);
		}
	}
	for (size_t p = 0; p < r->schema.nparts && !rc; p++) {
		const struct rn_tensor *z = parts[p];
		uint32_t width = rn_shape_width(&z->shape);

		if (z->sparse) {
			rc = bind_text(w, at++, text, strlen(text));
			text += strlen(text) + 1;
		}
		for (uint32_t j = 0; j < width && !z->sparse && !rc; j++)
			rc = w->s.api.bind_double(w->insert, at++, z->data[i * width + j]);
	}
	return rc;
}

static int insert(struct writer *w, const struct rn_rel *r,
		  struct rn_tensor *const *parts, struct rn_err *e)
{
	for (uint64_t i = 0; i < r->rows; i++) {
		int rc;

		RN_TRY(make_texts(w, r, parts, i, e));
		rc = bind_row(w, r, parts, i);
		if (!rc)
			rc = w->s.api.step(w->insert);
		if (rc != RN_SQLITE_DONE)
			return rn_sqlite_fail(&w->s, rc, e);
		w->s.api.reset(w->insert);
	}
	return 0;
}

static int write_rows(struct rn_db_writer *db, const struct rn_rel *r, struct rn_err *e)
{
	struct writer *w = (struct writer *)db;
	struct rn_tensor **parts;
	size_t n = 0;
	int rc;

	RN_TRY(rn_calloc(r->schema.nparts, sizeof(struct rn_tensor *), "parts", &parts, e));
	for (; n < r->schema.nparts; n++)
		RN_GOTO(out, rn_rel_flat_part(r, n, &parts[n], e));
	rc = insert(w, r, parts, e);
out:
	while (n)
		rn_tensor_unref(parts[--n]);
	free(parts);
	return rc;
}

/* ---- the end ------------------------------------------------------------------- */

static void finish(struct writer *w)
{
	if (w->insert)
		w->s.api.finalize(w->insert);
	rn_str_fini(&w->value);
	rn_sqlite_db_close(&w->s);
	free(w);
}

/* A database that we made, and what SQLite keeps beside one while it writes: a
 * rollback for which the disk is too full leaves its journal. */
static void remove_files(const char *path)
{
	static const char *const ends[] = { "", "-journal", "-wal", "-shm" };
	struct rn_str name = RN_STR_INIT;

	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
		rn_str_clear(&name);
		rn_str_add(&name, path);
		rn_str_add(&name, ends[i]);
		if (!name.failed)
			unlink(name.s);
	}
	rn_str_fini(&name);
}

static void roll_back(struct rn_db_writer *db)
{
	struct writer *w = (struct writer *)db;
	char *path = w->s.path;
	bool made = w->made;

	if (w->insert)
		w->s.api.finalize(w->insert);
	w->insert = NULL;
	/* If there is no transaction any more, there is nothing to undo. */
	w->s.api.exec(w->s.db, "ROLLBACK", NULL, NULL, NULL);
	w->s.path = NULL; /* closing the database frees its name */
	finish(w);
	if (made)
		remove_files(path);
	free(path);
}

static int commit(struct rn_db_writer *db, struct rn_err *e)
{
	struct writer *w = (struct writer *)db;
	int rc;

	w->s.api.finalize(w->insert);
	w->insert = NULL;
	rc = rn_sqlite_exec(&w->s, "COMMIT", e);
	if (rc)
		roll_back(db);
	else
		finish(w);
	return rc;
}

int rn_sqlite_create(const char *name, const struct rn_schema *s, bool append,
		     struct rn_db_writer **out, struct rn_err *e)
{
	struct writer *w;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *w, "a database writer", &w, e));
	w->w = (struct rn_db_writer){ .write = write_rows, .commit = commit, .abort = roll_back };
	w->value = RN_STR_INIT;
	rc = rn_sqlite_db_open(&w->s, name, RN_SQLITE_READWRITE, NULL);
	if (rc) {
		w->made = true;
		rc = rn_sqlite_db_open(&w->s, name, RN_SQLITE_READWRITE | RN_SQLITE_CREATE, e);
	}
	if (rc) {
		free(w);
		return rc;
	}
	rc = begin(w, s, append, e);
	if (rc)
		roll_back(&w->w);
	else
		*out = &w->w;
	return rc;
}
