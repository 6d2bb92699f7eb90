/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables of databases, in and out, whichever database it is: the name's scheme says
 * (uri.h).  Each is a library that is loaded when a database is first opened, so that
 * programs that open none neither need it nor pay for it.
 */
#ifndef RN_DATABASE_H
#define RN_DATABASE_H

#include "../lib/base/ctx.h"
#include "../lib/rel/rel.h"

/* How names are written, for messages and help. */
#define RN_DB_NAMES "sqlite:FILE?table=NAME or postgresql://HOST/DB?table=NAME"

bool rn_db_is_name(const char *name);

struct rn_db_reader {
	struct rn_schema schema;
	/* The next block, *out owned; NULL at the end. */
	int (*block)(struct rn_db_reader *r, struct rn_rel **out, struct rn_err *e);
	bool (*untyped)(const struct rn_db_reader *r, size_t col); /* NULL: types are known */
	uint64_t (*hash)(const struct rn_db_reader *r);            /* of what was read so far */
	void (*close)(struct rn_db_reader *r);                     /* all but the schema */
};
/* The table that `name` names, else the rows of `query` (NULL: of the only table).
 * c is borrowed until rn_db_close. */
RN_MUST_CHECK int rn_db_open(const struct rn_ctx *c, const char *name, const char *query,
			     struct rn_db_reader **out, struct rn_err *e);
void rn_db_close(struct rn_db_reader *r); /* NULL is fine */

struct rn_db_writer {
	int (*write)(struct rn_db_writer *w, const struct rn_rel *r, struct rn_err *e);
	/* Commit, or (abort) leave the database as it was.  Both free w. */
	int (*commit)(struct rn_db_writer *w, struct rn_err *e);
	void (*abort)(struct rn_db_writer *w);
};
/* Create the table (`append`: or add to it) and begin a transaction. */
RN_MUST_CHECK int rn_db_create(const char *name, const struct rn_schema *s, bool append,
			       struct rn_db_writer **out, struct rn_err *e);

/* A name in double quotes, as SQL has it. */
void rn_sql_quote(struct rn_str *out, const char *name);

#endif
