/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables of SQLite databases, in and out.
 *
 * A column's type is that of its values: int64, float64, string; bool and
 * timestamp where the column is declared so (BOOL…, …DATE…, …TIME…) and all values
 * fit.  BLOBs are refused.  A database is named "sqlite:FILE" or
 * "sqlite:FILE?table=NAME".
 */
#ifndef RN_SQLITE_H
#define RN_SQLITE_H

#include "database.h"

#define RN_SQLITE_SCHEME "sqlite:"

RN_MUST_CHECK int rn_sqlite_open(const struct rn_ctx *c, const char *name, const char *query,
				 struct rn_db_reader **out, struct rn_err *e);
/* Parts are columns as in CSV (csv.h). */
RN_MUST_CHECK int rn_sqlite_create(const char *name, const struct rn_schema *s, bool append,
				   struct rn_db_writer **out, struct rn_err *e);

#endif
