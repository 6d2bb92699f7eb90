/* SPDX-License-Identifier: Apache-2.0
 *
 * Loading the library, and databases.
 */
#include "sqlite.h"

#include "../lib/base/mem.h"
#include "../lib/base/uri.h"
#include "sqlite_api.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

enum { BUSY_MS = 5000 }; /* how long another program may hold the database */

static int load(struct rn_sqlite *s, struct rn_err *e)
{
	struct rn_sqlite_api *a = &s->api;
	const struct {
		const char *name;
		void *to; /* a pointer to a function */
	} calls[] = {
		{ "sqlite3_open_v2", &a->open_v2 },
		{ "sqlite3_close", &a->close },
		{ "sqlite3_errmsg", &a->errmsg },
		{ "sqlite3_busy_timeout", &a->busy_timeout },
		{ "sqlite3_exec", &a->exec },
		{ "sqlite3_prepare_v2", &a->prepare_v2 },
		{ "sqlite3_step", &a->step },
		{ "sqlite3_reset", &a->reset },
		{ "sqlite3_finalize", &a->finalize },
		{ "sqlite3_column_count", &a->column_count },
		{ "sqlite3_column_name", &a->column_name },
		{ "sqlite3_column_decltype", &a->column_decltype },
		{ "sqlite3_column_type", &a->column_type },
		{ "sqlite3_column_int64", &a->column_int64 },
		{ "sqlite3_column_double", &a->column_double },
		{ "sqlite3_column_text", &a->column_text },
		{ "sqlite3_column_bytes", &a->column_bytes },
		{ "sqlite3_bind_null", &a->bind_null },
		{ "sqlite3_bind_int64", &a->bind_int64 },
		{ "sqlite3_bind_double", &a->bind_double },
		{ "sqlite3_bind_text64", &a->bind_text64 },
	};

	s->lib = dlopen("libsqlite3.so.0", RTLD_NOW | RTLD_LOCAL);
	if (!s->lib)
		return rn_err_set(e, RN_EIO,
				  "SQLite is not installed (libsqlite3.so.0, of the package "
				  "libsqlite3-0)");
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		void *f = dlsym(s->lib, calls[i].name);

		if (!f)
			return rn_err_set(e, RN_EIO, "the SQLite that is installed has no %s",
					  calls[i].name);
		memcpy(calls[i].to, &f, sizeof f);
	}
	return 0;
}

static int parse_name(struct rn_sqlite *s, const char *name, struct rn_err *e)
{
	static const char mark[] = "?table=";
	const char *path = name + strlen(RN_SQLITE_SCHEME), *at = strstr(path, mark), *query;

	s->path = strndup(path, at ? (size_t)(at - path) : strlen(path));
	if (!s->path)
		return rn_err_nomem(e, strlen(path), "a file name");
	if (!*s->path || (at && !at[sizeof mark - 1]))
		return rn_err_set(e, RN_EUSAGE, "a database is sqlite:FILE?table=NAME, not '%s'", name);
	if (!at && (query = strrchr(path, '?')) && strchr(query, '='))
		return rn_err_set(e, RN_EUSAGE, "'%s' has a parameter '%.*s', and there is only table",
				  name, (int)strcspn(query + 1, "="), query + 1);
	if (!at)
		return 0;
	at += sizeof mark - 1;
	return rn_uri_decode(at, strlen(at), &s->table, e);
}

int rn_sqlite_db_open(struct rn_sqlite *s, const char *name, int flags, struct rn_err *e)
{
	int rc;

	*s = (struct rn_sqlite){ 0 };
	RN_GOTO(fail, parse_name(s, name, e));
	RN_GOTO(fail, load(s, e));
	if (s->api.open_v2(s->path, &s->db, flags, NULL) != RN_SQLITE_OK) {
		rc = rn_err_set(e, RN_EIO, "cannot open '%s': %s", s->path,
				s->db ? s->api.errmsg(s->db) : "out of memory");
		goto fail;
	}
	s->api.busy_timeout(s->db, BUSY_MS);
	return 0;
fail:
	rn_sqlite_db_close(s);
	return rc;
}

void rn_sqlite_db_close(struct rn_sqlite *s)
{
	if (s->db)
		s->api.close(s->db);
	if (s->lib)
		dlclose(s->lib);
	free(s->path);
	free(s->table);
	*s = (struct rn_sqlite){ 0 };
}

int rn_sqlite_fail(const struct rn_sqlite *s, int rc, struct rn_err *e)
{
	int code = rc == RN_SQLITE_ERROR				 ? RN_EUSAGE :
		   rc == RN_SQLITE_NOMEM				 ? RN_ENOMEM :
		   rc == RN_SQLITE_CORRUPT || rc == RN_SQLITE_NOTADB	 ? RN_EDATA :
									   RN_EIO;

	return rn_err_set(e, code, "'%s': SQLite: %s", s->path, s->api.errmsg(s->db));
}

int rn_sqlite_exec(const struct rn_sqlite *s, const char *sql, struct rn_err *e)
{
	int rc = s->api.exec(s->db, sql, NULL, NULL, NULL);

	return rc == RN_SQLITE_OK ? 0 : rn_sqlite_fail(s, rc, e);
}

int rn_sqlite_prepare(const struct rn_sqlite *s, const char *sql, struct sqlite3_stmt **out,
		      struct rn_err *e)
{
	const char *tail;
	int rc = s->api.prepare_v2(s->db, sql, -1, out, &tail);

	if (rc != RN_SQLITE_OK)
		return rn_sqlite_fail(s, rc, e);
	if (*out && !tail[strspn(tail, " \t\r\n;")])
		return 0;
	s->api.finalize(*out);
	*out = NULL;
	return rn_err_set(e, RN_EUSAGE, "'%s' wants one SQL statement", s->path);
}
