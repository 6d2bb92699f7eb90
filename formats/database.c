/* SPDX-License-Identifier: Apache-2.0 */
#include "database.h"

#include "../lib/base/uri.h"
#include "postgres.h"
#include "sqlite.h"

#include <stdlib.h>

bool rn_db_is_name(const char *name)
{
	return rn_uri_kind(name) != RN_URI_NONE;
}

int rn_db_open(const struct rn_ctx *c, const char *name, const char *query,
	       struct rn_db_reader **out, struct rn_err *e)
{
	switch (rn_uri_kind(name)) {
	case RN_URI_SQLITE:
		return rn_sqlite_open(c, name, query, out, e);
	case RN_URI_POSTGRES:
		return rn_pg_open(c, name, query, out, e);
	default:
		return rn_err_set(e, RN_EUSAGE, "a database is " RN_DB_NAMES ", not '%s'", name);
	}
}

void rn_db_close(struct rn_db_reader *r)
{
	struct rn_schema s;

	if (!r)
		return;
	s = r->schema;
	r->close(r);
	rn_schema_fini(&s);
}

int rn_db_create(const char *name, const struct rn_schema *s, bool append,
		 struct rn_db_writer **out, struct rn_err *e)
{
	switch (rn_uri_kind(name)) {
	case RN_URI_SQLITE:
		return rn_sqlite_create(name, s, append, out, e);
	case RN_URI_POSTGRES:
		return rn_pg_create(name, s, append, out, e);
	default:
		return rn_err_set(e, RN_EUSAGE, "a database is " RN_DB_NAMES ", not '%s'", name);
	}
}

void rn_sql_quote(struct rn_str *out, const char *name)
{
	rn_str_addc(out, '"');
	for (; *name; name++) {
		if (*name == '"')
			rn_str_addc(out, '"');
		rn_str_addc(out, *name);
	}
	rn_str_addc(out, '"');
}
