/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables of SQLite databases, in and out.  The library is loaded when a database
 * is first opened, so that programs that open none do not pay for it.
 *
 * A column's type is that of its values: int64, float64, string; bool and
 * timestamp where the column is declared so (BOOL…, …DATE…, …TIME…) and all values
 * fit.  BLOBs are refused.  A database is named "sqlite:FILE" or
 * "sqlite:FILE?table=NAME".
 */
#ifndef RN_SQLITE_H
#define RN_SQLITE_H

#include "../lib/base/ctx.h"
#include "../lib/rel/rel.h"

#define RN_SQLITE_SCHEME "sqlite:"

struct rn_sqlite_reader;
/* The table that `name` names, else the rows of `query` (NULL: of the only table). */
RN_MUST_CHECK int rn_sqlite_open(const struct rn_ctx *c, const char *name, const char *query,
				 struct rn_sqlite_reader **out, struct rn_err *e);
const struct rn_schema *rn_sqlite_schema(const struct rn_sqlite_reader *r);
bool rn_sqlite_untyped(const struct rn_sqlite_reader *r, size_t i); /* only NULLs */
/* The next block, *out owned; NULL at the end. */
RN_MUST_CHECK int rn_sqlite_block(struct rn_sqlite_reader *r, struct rn_rel **out,
				  struct rn_err *e);
uint64_t rn_sqlite_hash(const struct rn_sqlite_reader *r); /* of the values read so far */
void rn_sqlite_close(struct rn_sqlite_reader *r);          /* NULL is fine */

struct rn_sqlite_writer;
/* Create the table (`append`: or add to it) and begin a transaction.  Parts are
 * columns as in CSV (csv.h). */
RN_MUST_CHECK int rn_sqlite_create(const char *name, const struct rn_schema *s, bool append,
				   struct rn_sqlite_writer **out, struct rn_err *e);
RN_MUST_CHECK int rn_sqlite_write(struct rn_sqlite_writer *w, const struct rn_rel *r,
				  struct rn_err *e);
/* Commit, or (abort) leave the database as it was.  Frees w. */
RN_MUST_CHECK int rn_sqlite_commit(struct rn_sqlite_writer *w, struct rn_err *e);
void rn_sqlite_abort(struct rn_sqlite_writer *w); /* NULL is fine */

#endif
