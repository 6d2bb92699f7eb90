/* SPDX-License-Identifier: Apache-2.0
 *
 * The few calls of SQLite's C interface that are used, from the library that is
 * loaded at run time.  The interface is stable: libsqlite3.so.0 since 2004.
 */
#ifndef RN_SQLITE_API_H
#define RN_SQLITE_API_H

#include "../lib/base/str.h"

#include <stdint.h>

struct sqlite3;
struct sqlite3_stmt;

enum {
	RN_SQLITE_OK = 0,
	RN_SQLITE_ERROR = 1,
	RN_SQLITE_NOMEM = 7,
	RN_SQLITE_CORRUPT = 11,
	RN_SQLITE_NOTADB = 26,
	RN_SQLITE_ROW = 100,
	RN_SQLITE_DONE = 101,
	/* storage classes */
	RN_SQLITE_INTEGER = 1,
	RN_SQLITE_FLOAT = 2,
	RN_SQLITE_TEXT = 3,
	RN_SQLITE_BLOB = 4,
	RN_SQLITE_NULL = 5,
	/* flags of open_v2 */
	RN_SQLITE_READONLY = 1,
	RN_SQLITE_READWRITE = 2,
	RN_SQLITE_CREATE = 4,
};

struct rn_sqlite_api {
	int (*open_v2)(const char *path, struct sqlite3 **db, int flags, const char *vfs);
	int (*close)(struct sqlite3 *db);
	const char *(*errmsg)(struct sqlite3 *db);
	int (*busy_timeout)(struct sqlite3 *db, int ms);
	int (*exec)(struct sqlite3 *db, const char *sql, int (*row)(void *, int, char **, char **),
		    void *arg, char **error);
	int (*prepare_v2)(struct sqlite3 *db, const char *sql, int n, struct sqlite3_stmt **s,
			  const char **tail);
	int (*step)(struct sqlite3_stmt *s);
	int (*reset)(struct sqlite3_stmt *s);
	int (*finalize)(struct sqlite3_stmt *s);
	int (*column_count)(struct sqlite3_stmt *s);
	const char *(*column_name)(struct sqlite3_stmt *s, int i);
	const char *(*column_decltype)(struct sqlite3_stmt *s, int i);
	int (*column_type)(struct sqlite3_stmt *s, int i);
	int64_t (*column_int64)(struct sqlite3_stmt *s, int i);
	double (*column_double)(struct sqlite3_stmt *s, int i);
	const unsigned char *(*column_text)(struct sqlite3_stmt *s, int i);
	int (*column_bytes)(struct sqlite3_stmt *s, int i);
	int (*bind_null)(struct sqlite3_stmt *s, int i);
	int (*bind_int64)(struct sqlite3_stmt *s, int i, int64_t v);
	int (*bind_double)(struct sqlite3_stmt *s, int i, double v);
	int (*bind_text64)(struct sqlite3_stmt *s, int i, const char *text, uint64_t n,
			   void (*release)(void *), unsigned char encoding);
};

/* An open database. */
struct rn_sqlite {
	void *lib;
	struct rn_sqlite_api api;
	struct sqlite3 *db;
	char *path, *table; /* table: NULL where the name has none */
};

/* Load the library and open what `name` ("sqlite:FILE?table=NAME") names; on failure all
 * is closed again. */
RN_MUST_CHECK int rn_sqlite_db_open(struct rn_sqlite *s, const char *name, int flags,
				    struct rn_err *e);
void rn_sqlite_db_close(struct rn_sqlite *s);
/* The last error of the database; the code by what it was. */
int rn_sqlite_fail(const struct rn_sqlite *s, int rc, struct rn_err *e);
RN_MUST_CHECK int rn_sqlite_exec(const struct rn_sqlite *s, const char *sql, struct rn_err *e);
RN_MUST_CHECK int rn_sqlite_prepare(const struct rn_sqlite *s, const char *sql,
				    struct sqlite3_stmt **out, struct rn_err *e);

#endif
