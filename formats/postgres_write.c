/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows into a table of a PostgreSQL database, all of them or none: COPY … FROM STDIN
 * (FORMAT binary) in one transaction.
 *
 * Binary COPY wants the very types of the table.  Where a table that is there has
 * others, the rows go into a temporary one, and from there into it: the server casts.
 */
#include "postgres.h"

#include "../lib/base/mem.h"
#include "../lib/base/num.h"
#include "postgres_api.h"
#include "postgres_value.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEND = 1 << 18 }; /* bytes that go to the server at once */

static const char shelf[] = "pg_temp.rn_rows"; /* the temporary table */

struct writer {
	struct rn_db_writer w;
	struct rn_pg pg;
	struct rn_str out;  /* encoded, not sent yet */
	struct rn_str cast; /* "INSERT … SELECT" from the temporary table; empty: none is needed */
	uint64_t row;
};

/* ---- the table ------------------------------------------------------------------------ */

static unsigned type_of(enum rn_type t)
{
	static const unsigned types[RN_NTYPES] = {
		[RN_INT64] = RN_PG_INT8,   [RN_FLOAT64] = RN_PG_FLOAT8, [RN_BOOL] = RN_PG_BOOL,
		[RN_STRING] = RN_PG_TEXT, [RN_TIMESTAMP] = RN_PG_TIMESTAMPTZ,
	};

	return types[t];
}

static const char *name_of(unsigned type)
{
	switch (type) {
	case RN_PG_INT8:
		return "bigint";
	case RN_PG_FLOAT8:
		return "double precision";
	case RN_PG_BOOL:
		return "boolean";
	case RN_PG_TIMESTAMPTZ:
		return "timestamptz";
	case RN_PG_FLOAT4S:
		return "real[]";
	default:
		return "text";
	}
}

static size_t count_columns(const struct rn_schema *s)
{
	return s->ncols + s->nparts;
}

static unsigned column_type(const struct rn_schema *s, size_t i)
{
	if (i < s->ncols)
		return type_of(s->cols[i].type);
	return s->parts[i - s->ncols].sparse ? RN_PG_TEXT : RN_PG_FLOAT4S;
}

static void print_column(const struct rn_schema *s, size_t i, struct rn_str *out)
{
	struct rn_str name = RN_STR_INIT;

	if (i < s->ncols)
		rn_schema_col_name(s, i, &name);
	else
		rn_str_add(&name, s->parts[i - s->ncols].name);
	rn_sql_quote(out, name.s);
	out->failed |= name.failed;
	rn_str_fini(&name);
}

static void print_columns(const struct rn_schema *s, bool types, struct rn_str *out)
{
	for (size_t i = 0; i < count_columns(s); i++) {
		rn_str_add(out, i ? ", " : "");
		print_column(s, i, out);
		if (types)
			rn_str_addf(out, " %s", name_of(column_type(s, i)));
	}
}

static void print_key(const struct rn_schema *s, struct rn_str *out)
{
	for (size_t i = 0; i < s->nkey; i++) {
		rn_str_add(out, i ? ", " : ", UNIQUE (");
		print_column(s, s->key[i], out);
	}
	rn_str_add(out, s->nkey ? ")" : "");
}

static int exec_text(struct writer *w, struct rn_str *sql, int want, struct rn_err *e)
{
	int rc = rn_str_check(sql, e);

	if (!rc)
		rc = rn_pg_exec(&w->pg, sql->s, want, NULL, e);
	rn_str_fini(sql);
	return rc;
}

static int table_exists(struct writer *w, bool *yes, struct rn_err *e)
{
	struct rn_str name = RN_STR_INIT;
	const char *values[1];
	struct pg_result *r;
	int rc;

	rn_pg_print_table(&w->pg, &name);
	values[0] = name.s;
	rc = rn_str_check(&name, e);
	if (!rc)
		rc = rn_pg_query(&w->pg, "SELECT to_regclass($1) IS NOT NULL", 1, values, &r, e);
	if (!rc) {
		*yes = *w->pg.api.value(r, 0, 0) == 't';
		w->pg.api.clear(r);
	}
	rn_str_fini(&name);
	return rc;
}

static int create_table(struct writer *w, const struct rn_schema *s, struct rn_err *e)
{
	struct rn_str sql = RN_STR_INIT;

	rn_str_add(&sql, "CREATE TABLE ");
	rn_pg_print_table(&w->pg, &sql);
	rn_str_add(&sql, " (");
	print_columns(s, true, &sql);
	print_key(s, &sql);
	rn_str_addc(&sql, ')');
	return exec_text(w, &sql, RN_PG_COMMAND_OK, e);
}

static int start_copy(struct writer *w, const struct rn_schema *s, const char *into, struct rn_err *e)
{
	static const char header[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0";
	struct rn_str sql = RN_STR_INIT;

	rn_str_add(&sql, "COPY ");
	if (into)
		rn_str_add(&sql, into);
	else
		rn_pg_print_table(&w->pg, &sql);
	rn_str_add(&sql, " (");
	print_columns(s, false, &sql);
	rn_str_add(&sql, ") FROM STDIN (FORMAT binary)");
	rn_str_addn(&w->out, header, sizeof header);
	return exec_text(w, &sql, RN_PG_COPY_IN, e);
}

/* ---- a table that is there ---------------------------------------------------------------- */

static bool is_integer(unsigned type)
{
	return type == RN_PG_INT2 || type == RN_PG_INT4 || type == RN_PG_INT8;
}

/* The table's column i has another type: how it is cast.  By the type without its length, so
 * that a text that is too long is refused and not cut. */
static int add_cast(struct writer *w, const struct rn_schema *s, size_t i, unsigned type,
		    struct rn_err *e)
{
	char oid[16];
	const char *values[] = { oid };
	struct pg_result *r;

	snprintf(oid, sizeof oid, "%u", type);
	RN_TRY(rn_pg_query(&w->pg, "SELECT format_type($1::oid, NULL)", 1, values, &r, e));
	if (column_type(s, i) == RN_PG_FLOAT8 && is_integer(type)) {
		int rc = rn_err_set(e, RN_EUSAGE,
				    "'%s': column '%s' is %s in table '%s', which does not hold a float64 "
				    "(rn-project can cast it)", w->pg.label, s->cols[i].name,
				    w->pg.api.value(r, 0, 0), w->pg.table);

		w->pg.api.clear(r);
		return rc;
	}
	print_column(s, i, &w->cast);
	rn_str_addf(&w->cast, "::%s", w->pg.api.value(r, 0, 0));
	w->pg.api.clear(r);
	return 0;
}

/* The types of the columns where they are to go. */
static int describe_table(struct writer *w, const struct rn_schema *s, struct pg_result **out,
			  struct rn_err *e)
{
	struct rn_str sql = RN_STR_INIT;
	int rc;

	rn_str_add(&sql, "SELECT ");
	print_columns(s, false, &sql);
	rn_str_add(&sql, " FROM ");
	rn_pg_print_table(&w->pg, &sql);
	rc = rn_str_check(&sql, e);
	if (!rc)
		rc = rn_pg_describe(&w->pg, sql.s, out, e);
	rn_str_fini(&sql);
	return rc;
}

static int plan_cast(struct writer *w, const struct rn_schema *s, const struct pg_result *have,
		     bool *same, struct rn_err *e)
{
	const struct rn_pg_api *a = &w->pg.api;

	*same = true;
	rn_str_add(&w->cast, "INSERT INTO ");
	rn_pg_print_table(&w->pg, &w->cast);
	rn_str_add(&w->cast, " (");
	print_columns(s, false, &w->cast);
	rn_str_add(&w->cast, ") SELECT ");
	for (size_t i = 0; i < count_columns(s); i++) {
		rn_str_add(&w->cast, i ? ", " : "");
		if (a->ftype(have, (int)i) == column_type(s, i)) {
			print_column(s, i, &w->cast);
			continue;
		}
		*same = false;
		RN_TRY(add_cast(w, s, i, a->ftype(have, (int)i), e));
	}
	rn_str_addf(&w->cast, " FROM %s", shelf);
	return rn_str_check(&w->cast, e);
}

static int join_table(struct writer *w, const struct rn_schema *s, struct rn_err *e)
{
	struct rn_str sql = RN_STR_INIT;
	struct pg_result *have;
	bool same;
	int rc;

	RN_TRY(describe_table(w, s, &have, e));
	rc = plan_cast(w, s, have, &same, e);
	w->pg.api.clear(have);
	RN_TRY(rc);
	if (same) {
		rn_str_clear(&w->cast);
		return start_copy(w, s, NULL, e);
	}
	rn_str_addf(&sql, "CREATE TEMPORARY TABLE %s (", strchr(shelf, '.') + 1);
	print_columns(s, true, &sql);
	rn_str_add(&sql, ") ON COMMIT DROP");
	RN_TRY(exec_text(w, &sql, RN_PG_COMMAND_OK, e));
	return start_copy(w, s, shelf, e);
}

static int begin(struct writer *w, const struct rn_schema *s, bool append, struct rn_err *e)
{
	bool exists;

	if (!w->pg.table)
		return rn_err_set(e, RN_EUSAGE, "'%s': name the table (…?table=NAME)", w->pg.label);
	if (!count_columns(s))
		return rn_err_set(e, RN_EUSAGE, "'%s': a table needs a column", w->pg.label);
	if (count_columns(s) > INT16_MAX)
		return rn_err_set(e, RN_EUSAGE, "'%s': a table has at most 1,600 columns", w->pg.label);
	RN_TRY(rn_pg_exec(&w->pg, "BEGIN", RN_PG_COMMAND_OK, NULL, e));
	RN_TRY(table_exists(w, &exists, e));
	if (exists && !append)
		return rn_err_set(e, RN_EUSAGE, "'%s' has a table '%s' already (--append adds to it)",
				  w->pg.label, w->pg.table);
	if (exists)
		return join_table(w, s, e);
	RN_TRY(create_table(w, s, e));
	return start_copy(w, s, NULL, e);
}

/* ---- rows --------------------------------------------------------------------------------- */

static int put_time(struct writer *w, int64_t us, struct rn_err *e)
{
	/* The ends of the range mean infinity. */
	if (__builtin_sub_overflow(us, RN_PG_EPOCH, &us) || us == INT64_MIN)
		return rn_err_set(e, RN_EDATA, "'%s': row %" PRIu64 ": a timestamp is earlier than "
				  "PostgreSQL's", w->pg.label, w->row);
	rn_pg_put32(&w->out, 8);
	rn_pg_put64(&w->out, (uint64_t)us);
	return 0;
}

static int put_value(struct writer *w, const struct rn_column *c, uint64_t i, struct rn_err *e)
{
	uint64_t bits, n;

	if (rn_column_is_null(c, i)) {
		rn_pg_put32(&w->out, UINT32_MAX);
		return 0;
	}
	switch (c->type) {
	case RN_BOOL:
		rn_pg_put32(&w->out, 1);
		rn_str_addc(&w->out, (char)c->b[i]);
		return 0;
	case RN_INT64:
		rn_pg_put32(&w->out, 8);
		rn_pg_put64(&w->out, (uint64_t)c->i64[i]);
		return 0;
	case RN_FLOAT64:
		memcpy(&bits, &c->f64[i], sizeof bits);
		rn_pg_put32(&w->out, 8);
		rn_pg_put64(&w->out, bits);
		return 0;
	case RN_TIMESTAMP:
		return put_time(w, c->i64[i], e);
	default:
		n = c->off[i + 1] - c->off[i];
		if (n > INT32_MAX)
			return rn_err_set(e, RN_EDATA, "'%s': row %" PRIu64 ": a string is longer than "
					  "2 GB", w->pg.label, w->row);
		rn_pg_put32(&w->out, (uint32_t)n);
		rn_str_addn(&w->out, c->bytes + c->off[i], n);
		return 0;
	}
}

static void put_float(struct rn_str *out, float v)
{
	uint32_t bits;

	memcpy(&bits, &v, sizeof bits);
	rn_pg_put32(out, 4);
	rn_pg_put32(out, bits);
}

/* An array of real, of as many dimensions as the part. */
static void put_dense(struct writer *w, const struct rn_tensor *z, uint64_t i)
{
	uint32_t width = rn_shape_width(&z->shape), rank = z->shape.rank;

	rn_pg_put32(&w->out, 12 + 8 * rank + 8 * width);
	rn_pg_put32(&w->out, rank);
	rn_pg_put32(&w->out, 0); /* no NULL in it */
	rn_pg_put32(&w->out, RN_PG_FLOAT4);
	for (uint32_t d = 0; d < rank; d++) {
		rn_pg_put32(&w->out, z->shape.dim[d]);
		rn_pg_put32(&w->out, 1); /* where it counts from */
	}
	for (uint32_t k = 0; k < width; k++)
		put_float(&w->out, z->data[i * width + k]);
}

/* "column:value" pairs, as in CSV. */
static void put_sparse(struct writer *w, const struct rn_tensor *z, uint64_t i)
{
	size_t at = w->out.len;
	uint32_t n;

	rn_pg_put32(&w->out, 0); /* the length, to be filled in */
	for (uint64_t k = z->ptr[i]; k < z->ptr[i + 1]; k++) {
		rn_str_add(&w->out, k > z->ptr[i] ? " " : "");
		rn_int64_print(z->col[k], &w->out);
		rn_str_addc(&w->out, ':');
		rn_float32_print(z->data[k], &w->out);
	}
	if (w->out.failed)
		return;
	n = htobe32((uint32_t)(w->out.len - at - 4));
	memcpy(w->out.s + at, &n, sizeof n);
}

static int send(struct writer *w, struct rn_err *e)
{
	RN_TRY(rn_str_check(&w->out, e));
	if (w->pg.api.put_copy(w->pg.conn, w->out.s, (int)w->out.len) != 1)
		return rn_pg_fail(&w->pg, NULL, e);
	rn_str_clear(&w->out);
	return 0;
}

static int put_rows(struct writer *w, const struct rn_rel *r, struct rn_tensor *const *parts,
		    struct rn_err *e)
{
	for (uint64_t i = 0; i < r->rows; i++) {
		w->row++;
		rn_pg_put16(&w->out, (uint16_t)count_columns(&r->schema));
		for (size_t c = 0; c < r->schema.ncols; c++)
			RN_TRY(put_value(w, r->cols[c], i, e));
		for (size_t p = 0; p < r->schema.nparts; p++)
			if (parts[p]->sparse)
				put_sparse(w, parts[p], i);
			else
				put_dense(w, parts[p], i);
		if (w->out.len >= SEND)
			RN_TRY(send(w, e));
	}
	return 0;
}

static int write_rows(struct rn_db_writer *db, const struct rn_rel *r, struct rn_err *e)
{
	struct rn_tensor **parts;
	size_t n = 0;
	int rc;

	RN_TRY(rn_calloc(r->schema.nparts, sizeof(struct rn_tensor *), "parts", &parts, e));
	for (; n < r->schema.nparts; n++)
		RN_GOTO(out, rn_rel_flat_part(r, n, &parts[n], e));
	rc = put_rows((struct writer *)db, r, parts, e);
out:
	while (n)
		rn_tensor_unref(parts[--n]);
	free(parts);
	return rc;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void release(struct writer *w)
{
	rn_str_fini(&w->out);
	rn_str_fini(&w->cast);
	rn_pg_disconnect(&w->pg);
	free(w);
}

/* What is not committed is undone by the server; it has done so when this returns. */
static void roll_back(struct rn_db_writer *db)
{
	struct writer *w = (struct writer *)db;

	if (w->pg.conn) {
		w->pg.api.put_end(w->pg.conn, "the rows ended early"); /* where there is a COPY */
		(void)!rn_pg_drain(&w->pg, NULL);
		(void)!rn_pg_exec(&w->pg, "ROLLBACK", RN_PG_COMMAND_OK, NULL, NULL);
	}
	release(w);
}

static int finish(struct writer *w, struct rn_err *e)
{
	rn_pg_put16(&w->out, UINT16_MAX);
	RN_TRY(send(w, e));
	if (w->pg.api.put_end(w->pg.conn, NULL) != 1)
		return rn_pg_fail(&w->pg, NULL, e);
	RN_TRY(rn_pg_drain(&w->pg, e));
	if (w->cast.len)
		RN_TRY(rn_pg_exec(&w->pg, w->cast.s, RN_PG_COMMAND_OK, NULL, e));
	return rn_pg_exec(&w->pg, "COMMIT", RN_PG_COMMAND_OK, NULL, e);
}

static int commit(struct rn_db_writer *db, struct rn_err *e)
{
	int rc = finish((struct writer *)db, e);

	if (rc)
		roll_back(db);
	else
		release((struct writer *)db);
	return rc;
}

int rn_pg_create(const char *name, const struct rn_schema *s, bool append,
		 struct rn_db_writer **out, struct rn_err *e)
{
	struct writer *w;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *w, "a database writer", &w, e));
	w->w = (struct rn_db_writer){ .write = write_rows, .commit = commit, .abort = roll_back };
	w->out = w->cast = RN_STR_INIT;
	rc = rn_pg_connect(&w->pg, NULL, name, e);
	if (!rc)
		rc = begin(w, s, append, e);
	if (rc)
		roll_back(&w->w);
	else
		*out = &w->w;
	return rc;
}
