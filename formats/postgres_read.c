/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of a PostgreSQL database: COPY (query) TO STDOUT (FORMAT binary), in a read-only
 * transaction, a block at a time.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "postgres.h"

#include "../lib/base/mem.h"
#include "postgres_api.h"
#include "postgres_value.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reader {
	struct rn_db_reader r;
	struct rn_pg pg;
	char *sql; /* of the rows */
	struct rn_fill fill;
	enum rn_pg_kind *kinds; /* by column */
	/* What the server sent and is not read yet: data[at] … data[end - 1]. */
	char *message;          /* libpq's, or NULL */
	unsigned char *joined;  /* where a value goes over the end of a message */
	const unsigned char *data;
	size_t at, end, cap;
	XXH3_state_t *hash;
	uint64_t row;   /* the one being read, from 1 */
	uint64_t nulls; /* embedded as 0 */
	bool copying, ended, filled; /* filled: the first block is, for its embeddings' widths */
};

/* ---- which rows ---------------------------------------------------------------------- */

/* The names of the tables that need no schema, in *out, and how many there are. */
static int find_tables(struct reader *r, struct pg_result **out, int *n, struct rn_err *e)
{
	static const char sql[] =
		"SELECT DISTINCT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
		"WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND n.nspname = ANY (current_schemas(false)) "
		"ORDER BY 1";

	RN_TRY(rn_pg_query(&r->pg, sql, 0, NULL, out, e));
	*n = r->pg.api.ntuples(*out);
	return 0;
}

static void print_tables(const struct reader *r, const struct pg_result *tables, int n,
			 struct rn_str *out)
{
	enum { MOST = 12 };

	rn_str_addf(out, n ? "there %s " : "there is none", n == 1 ? "is" : "are");
	for (int i = 0; i < n && i < MOST; i++)
		rn_str_addf(out, "%s'%s'", i ? ", " : "", r->pg.api.value(tables, i, 0));
	if (n > MOST)
		rn_str_addf(out, " and %d more", n - MOST);
}

/* The table that there is, if it is the only one. */
static int only_table(struct reader *r, struct rn_err *e)
{
	struct rn_str names = RN_STR_INIT;
	struct pg_result *tables;
	int n, rc = 0;

	RN_TRY(find_tables(r, &tables, &n, e));
	if (n == 1) {
		r->pg.table = strdup(r->pg.api.value(tables, 0, 0));
		rc = r->pg.table ? 0 : rn_err_nomem(e, 1, "a table's name");
	} else {
		print_tables(r, tables, n, &names);
		rc = rn_err_set(e, RN_EUSAGE, "'%s': name a table (…?table=NAME) or give a --query: %s",
				r->pg.label, names.s);
	}
	rn_str_fini(&names);
	r->pg.api.clear(tables);
	return rc;
}

/* The query without what ends it, so that it can stand in brackets. */
static int trim_query(const char *query, char **out, struct rn_err *e)
{
	size_t n = strlen(query);

	while (n && strchr(" \t\r\n;", query[n - 1]))
		n--;
	if (!n)
		return rn_err_set(e, RN_EUSAGE, "--query is empty");
	*out = strndup(query, n);
	return *out ? 0 : rn_err_nomem(e, n + 1, "a query");
}

static int choose_rows(struct reader *r, const char *query, struct rn_err *e)
{
	struct rn_str sql = RN_STR_INIT;

	if (query && r->pg.table)
		return rn_err_set(e, RN_EUSAGE, "--query and table=%s: give one of them", r->pg.table);
	if (query)
		return trim_query(query, &r->sql, e);
	if (!r->pg.table)
		RN_TRY(only_table(r, e));
	/* Rows come in the order in which the table has them, on every run. */
	RN_TRY(rn_pg_exec(&r->pg, "SET LOCAL max_parallel_workers_per_gather = 0", RN_PG_COMMAND_OK,
			  NULL, e));
	rn_str_add(&sql, "SELECT * FROM ");
	rn_pg_print_table(&r->pg, &sql);
	r->sql = rn_str_take(&sql, e);
	return r->sql ? 0 : RN_ENOMEM;
}

/* The table is not there: say which are. */
static int no_table(struct reader *r, struct rn_err *e)
{
	struct rn_str names = RN_STR_INIT;
	struct pg_result *tables;
	int n, rc;

	RN_TRY(rn_pg_exec(&r->pg, "ROLLBACK", RN_PG_COMMAND_OK, NULL, e));
	RN_TRY(find_tables(r, &tables, &n, e));
	print_tables(r, tables, n, &names);
	if (!r->pg.schema && strchr(r->pg.table, '.'))
		rn_str_add(&names, "; a schema is named by &schema=NAME");
	rc = rn_err_set(e, RN_EUSAGE, "'%s' has no table '%s%s%s': %s", r->pg.label,
			r->pg.schema ? r->pg.schema : "", r->pg.schema ? "." : "", r->pg.table, names.s);
	rn_str_fini(&names);
	r->pg.api.clear(tables);
	return rc;
}

/* ---- columns -------------------------------------------------------------------------- */

/* A type that is not built in, or that has no place here: what is it called? */
static int look_up(struct reader *r, size_t i, unsigned type, int modifier, struct rn_err *e)
{
	static const char sql[] = "SELECT typname, typtype, format_type(oid, $2::int) FROM pg_type "
				  "WHERE oid = $1::oid";
	const struct rn_pg_api *a = &r->pg.api;
	const char *name = r->fill.cols[i].name;
	char oid[16], mod[16];
	const char *values[] = { oid, mod };
	struct pg_result *t;
	int rc = 0;

	snprintf(oid, sizeof oid, "%u", type);
	snprintf(mod, sizeof mod, "%d", modifier);
	RN_TRY(rn_pg_query(&r->pg, sql, 2, values, &t, e));
	if (a->ntuples(t))
		r->kinds[i] = rn_pg_kind_named(a->value(t, 0, 0), *a->value(t, 0, 1));
	if (r->kinds[i] == RN_PG_AS_NONE)
		rc = rn_err_set(e, RN_EUSAGE,
				type == RN_PG_BYTEA ?
					"'%s': column '%s' is %s, which is no text: encode(%s, 'hex') in a "
					"--query makes it one" :
					"'%s': column '%s' is %s, which has no place here: %s::text in a "
					"--query makes it a string",
				r->pg.label, name, a->ntuples(t) ? a->value(t, 0, 2) : "of no known type",
				name);
	else if (r->kinds[i] == RN_PG_AS_VECTOR && modifier > 0) /* vector(N) */
		r->fill.cols[i].shape = (struct rn_shape){ 1, { (uint32_t)modifier } };
	a->clear(t);
	return rc;
}

static int add_columns(struct reader *r, const struct pg_result *d, struct rn_err *e)
{
	const struct rn_pg_api *a = &r->pg.api;
	int n = a->nfields(d);

	if (n <= 0)
		return rn_err_set(e, RN_EUSAGE, "'%s': the query gives no columns", r->pg.label);
	RN_TRY(rn_fill_init(&r->fill, r->pg.ctx, (size_t)n, e));
	RN_TRY(rn_calloc((size_t)n, sizeof *r->kinds, "columns", &r->kinds, e));
	for (int i = 0; i < n; i++) {
		unsigned type = a->ftype(d, i);

		RN_TRY(rn_fill_name(&r->fill, (size_t)i, a->fname(d, i), r->pg.label, e));
		r->kinds[i] = rn_pg_kind_of(type, a->fmod(d, i));
		if (r->kinds[i] == RN_PG_AS_NONE)
			RN_TRY(look_up(r, (size_t)i, type, a->fmod(d, i), e));
		rn_pg_set_col(r->kinds[i], &r->fill.cols[i]);
	}
	return 0;
}

static int make_columns(struct reader *r, struct rn_err *e)
{
	const struct rn_pg_api *a = &r->pg.api;
	struct pg_result *d = a->prepare(r->pg.conn, "", r->sql, 0, NULL);
	int rc;

	if (d && r->pg.table && rn_pg_is_state(&r->pg, d, "42P01")) {
		a->clear(d);
		return no_table(r, e);
	}
	if (!d || a->result_status(d) != RN_PG_COMMAND_OK)
		return rn_pg_fail(&r->pg, d, e);
	a->clear(d);
	d = a->describe(r->pg.conn, "");
	if (!d || a->result_status(d) != RN_PG_COMMAND_OK)
		return rn_pg_fail(&r->pg, d, e);
	rc = add_columns(r, d, e);
	a->clear(d);
	return rc;
}

static int start_copy(struct reader *r, struct rn_err *e)
{
	struct rn_str sql = RN_STR_INIT;
	int rc;

	/* The query may end in a comment. */
	rn_str_addf(&sql, "COPY (%s\n) TO STDOUT (FORMAT binary)", r->sql);
	rc = rn_str_check(&sql, e);
	if (!rc)
		rc = rn_pg_exec(&r->pg, sql.s, RN_PG_COPY_OUT, NULL, e);
	rn_str_fini(&sql);
	r->copying = !rc;
	return rc;
}

/* ---- what the server sends --------------------------------------------------------------- */

static int damaged(const struct reader *r, const char *what, struct rn_err *e)
{
	return rn_err_set(e, RN_EDATA, "'%s': row %" PRIu64 ": the server sent %s", r->pg.label, r->row,
			  what);
}

/* One more message, behind what is left of the last; *end at the end of the rows. */
static int receive(struct reader *r, bool *end, struct rn_err *e)
{
	size_t left = r->end - r->at;
	char *message = NULL;
	int n = r->pg.api.get_copy(r->pg.conn, &message, 0);

	*end = n == -1;
	if (n < 0) {
		r->copying = false;
		return n == -1 ? rn_pg_drain(&r->pg, e) : rn_pg_fail(&r->pg, NULL, e);
	}
	XXH3_64bits_update(r->hash, message, (size_t)n);
	if (left) {
		int rc;

		if (r->data == r->joined)
			memmove(r->joined, r->joined + r->at, left);
		rc = rn_grow(&r->joined, &r->cap, left + (size_t)n, 1, "a row", e);
		if (!rc && r->message)
			memcpy(r->joined, r->data + r->at, left);
		if (!rc)
			memcpy(r->joined + left, message, (size_t)n);
		r->pg.api.free(message);
		message = NULL;
		RN_TRY(rc);
	}
	if (r->message)
		r->pg.api.free(r->message);
	r->message = message;
	r->data = message ? (unsigned char *)message : r->joined;
	r->at = 0;
	r->end = left + (size_t)n;
	return 0;
}

/* The next n bytes, valid until the next call. */
static int take(struct reader *r, size_t n, const unsigned char **out, struct rn_err *e)
{
	bool end;

	while (r->end - r->at < n) {
		RN_TRY(receive(r, &end, e));
		if (end)
			return damaged(r, "less than a row", e);
	}
	*out = r->data + r->at;
	r->at += n;
	return 0;
}

static int take_header(struct reader *r, struct rn_err *e)
{
	static const unsigned char magic[] = "PGCOPY\n\377\r\n";
	const unsigned char *p;

	RN_TRY(take(r, sizeof magic + 8, &p, e)); /* with its NUL */
	if (memcmp(p, magic, sizeof magic) || rn_pg_get32(p + sizeof magic))
		return damaged(r, "no binary COPY that is known here", e);
	return take(r, rn_pg_get32(p + sizeof magic + 4), &p, e);
}

static int take_value(struct reader *r, size_t i, struct rn_err *e)
{
	const unsigned char *p;
	const char *why = NULL;
	uint32_t n;
	int rc;

	RN_TRY(take(r, 4, &p, e));
	n = rn_pg_get32(p);
	p = NULL;
	if (n != UINT32_MAX)
		RN_TRY(take(r, n, &p, e));
	rc = rn_pg_value(r->kinds[i], p, n, &r->fill, i, &why, &r->nulls, e);
	return why ? rn_err_set(e, rc, "'%s': row %" PRIu64 ": column '%s' %s", r->pg.label, r->row,
				r->fill.cols[i].name, why) : rc;
}

static int take_end(struct reader *r, struct rn_err *e)
{
	bool end = false;

	r->ended = true;
	while (!end) {
		if (r->at < r->end)
			return damaged(r, "more than its rows", e);
		RN_TRY(receive(r, &end, e));
	}
	return 0;
}

static int fill_block(struct reader *r, struct rn_err *e)
{
	const unsigned char *p;

	RN_TRY(rn_fill_begin(&r->fill, e));
	while (!r->ended && !rn_fill_is_full(&r->fill)) {
		r->row++;
		RN_TRY(take(r, 2, &p, e));
		if (rn_pg_get16(p) == UINT16_MAX) {
			RN_TRY(take_end(r, e));
			break;
		}
		if (rn_pg_get16(p) != r->fill.ncols)
			return damaged(r, "another number of columns than it promised", e);
		for (size_t i = 0; i < r->fill.ncols; i++)
			RN_TRY(take_value(r, i, e));
		rn_fill_next(&r->fill);
	}
	return 0;
}

static int block(struct rn_db_reader *db, struct rn_rel **out, struct rn_err *e)
{
	struct reader *r = (struct reader *)db;

	*out = NULL;
	if (!r->filled)
		RN_TRY(r->ended ? 0 : fill_block(r, e));
	r->filled = false;
	if (r->fill.rows)
		return rn_fill_take(&r->fill, out, e);
	if (r->nulls)
		rn_log(r->pg.ctx, RN_LOG_WARN, "'%s': %" PRIu64 " NULLs are embedded as 0", r->pg.label,
		       r->nulls);
	r->nulls = 0;
	return 0;
}

/* The width of an array is that of the first one. */
static int find_widths(struct reader *r, struct rn_err *e)
{
	for (size_t i = 0; i < r->fill.ncols; i++) {
		const struct rn_fill_col *k = &r->fill.cols[i];

		if (!k->part || k->shape.rank)
			continue;
		if (!r->filled)
			RN_TRY(fill_block(r, e));
		r->filled = true;
		if (!k->shape.rank)
			return rn_err_set(e, RN_EUSAGE,
					  "'%s': column '%s' is an array, and none of its first %u rows says "
					  "of what length: leave it out of a --query", r->pg.label, k->name,
					  r->fill.rows);
	}
	return 0;
}

/* ---- life --------------------------------------------------------------------------------- */

static uint64_t hash(const struct rn_db_reader *r)
{
	return XXH3_64bits_digest(((const struct reader *)r)->hash);
}

/* Whoever reads us has enough: the server need not go on. */
static void stop(struct reader *r)
{
	struct pg_cancel *c = r->pg.api.get_cancel(r->pg.conn);
	char why[256];

	if (c)
		r->pg.api.cancel(c, why, sizeof why);
	r->pg.api.free_cancel(c);
}

static void close_reader(struct rn_db_reader *db)
{
	struct reader *r = (struct reader *)db;

	if (r->copying)
		stop(r);
	if (r->message)
		r->pg.api.free(r->message);
	rn_pg_disconnect(&r->pg);
	rn_fill_fini(&r->fill);
	free(r->joined);
	free(r->kinds);
	free(r->sql);
	XXH3_freeState(r->hash);
	free(r);
}

static int begin(struct reader *r, const char *query, struct rn_err *e)
{
	RN_TRY(rn_pg_exec(&r->pg, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", RN_PG_COMMAND_OK,
			  NULL, e));
	RN_TRY(rn_pg_exec(&r->pg, "SET LOCAL synchronize_seqscans = off", RN_PG_COMMAND_OK, NULL, e));
	RN_TRY(choose_rows(r, query, e));
	RN_TRY(make_columns(r, e));
	RN_TRY(start_copy(r, e));
	RN_TRY(take_header(r, e));
	RN_TRY(find_widths(r, e));
	return rn_fill_schema(&r->fill, &r->r.schema, e);
}

int rn_pg_open(const struct rn_ctx *c, const char *name, const char *query,
	       struct rn_db_reader **out, struct rn_err *e)
{
	struct reader *r;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *r, "a database reader", &r, e));
	r->r = (struct rn_db_reader){ .block = block, .hash = hash, .close = close_reader };
	r->hash = XXH3_createState();
	rc = r->hash ? 0 : rn_err_nomem(e, sizeof *r->hash, "a database reader");
	if (!rc) {
		XXH3_64bits_reset(r->hash);
		rc = rn_pg_connect(&r->pg, c, name, e);
	}
	if (!rc)
		rc = begin(r, query, e);
	if (rc)
		rn_db_close(&r->r);
	else
		*out = &r->r;
	return rc;
}
