/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables of PostgreSQL databases, in and out, as binary COPY in one transaction.
 *
 * A table is libpq's URI, "postgresql://USER@HOST/DB?table=NAME", with "schema=NAME"
 * where it is not in the search path.  A password may stand in the URI; ~/.pgpass and
 * PGPASSWORD keep it out of the process list.
 *
 *   bool                                    bool
 *   smallint, integer, bigint, oid          int64
 *   real, double precision                  float64; NaN is NULL
 *   numeric(P) of up to 18 digits           int64
 *   other numeric                           float64, the nearest one
 *   text, varchar, char, name, enums,       string
 *     uuid, json, jsonb, xml, citext
 *   date, timestamp, timestamptz            timestamp; without a zone: UTC
 *   real[], double precision[], vector      an embedding part, a NULL in it 0
 *
 * Anything else is an error that names the cast, and so is an infinite date.
 * Out: bigint, double precision, boolean, text, timestamptz, and real[] for a part
 * (sparse: text as in CSV).  An existing table (append) keeps its types: where they
 * differ, the server casts.
 */
#ifndef RN_POSTGRES_H
#define RN_POSTGRES_H

#include "database.h"

RN_MUST_CHECK int rn_pg_open(const struct rn_ctx *c, const char *name, const char *query,
			     struct rn_db_reader **out, struct rn_err *e);
RN_MUST_CHECK int rn_pg_create(const char *name, const struct rn_schema *s, bool append,
			       struct rn_db_writer **out, struct rn_err *e);

#endif
