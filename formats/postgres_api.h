/* SPDX-License-Identifier: Apache-2.0
 *
 * The calls of libpq, PostgreSQL's C interface, that are used, from the library that is
 * loaded at run time (libpq.so.5 since 2006), and connections.
 */
#ifndef RN_POSTGRES_API_H
#define RN_POSTGRES_API_H

#include "../lib/base/ctx.h"
#include "../lib/base/str.h"

#include <stdint.h>

struct pg_conn;
struct pg_result;
struct pg_cancel;

enum {
	/* of status */
	RN_PG_CONNECTED = 0,
	/* of result_status */
	RN_PG_COMMAND_OK = 1,
	RN_PG_TUPLES_OK = 2,
	RN_PG_COPY_OUT = 3,
	RN_PG_COPY_IN = 4,
	/* of error_field */
	RN_PG_SQLSTATE = 'C',
	RN_PG_PRIMARY = 'M',
	RN_PG_DETAIL = 'D',
	RN_PG_HINT = 'H',
};

struct rn_pg_api {
	struct pg_conn *(*connect)(const char *const *keys, const char *const *values, int expand);
	int (*status)(const struct pg_conn *c);
	char *(*error)(const struct pg_conn *c);
	void (*finish)(struct pg_conn *c);
	void (*(*set_notice)(struct pg_conn *c, void (*say)(void *, const char *), void *arg))(void *,
											   const char *);
	struct pg_result *(*exec)(struct pg_conn *c, const char *sql);
	struct pg_result *(*exec_params)(struct pg_conn *c, const char *sql, int n,
					 const unsigned *types, const char *const *values,
					 const int *lengths, const int *formats, int result_format);
	struct pg_result *(*prepare)(struct pg_conn *c, const char *name, const char *sql, int n,
				     const unsigned *types);
	struct pg_result *(*describe)(struct pg_conn *c, const char *name);
	int (*result_status)(const struct pg_result *r);
	char *(*error_field)(const struct pg_result *r, int field);
	char *(*result_error)(const struct pg_result *r);
	void (*clear)(struct pg_result *r);
	int (*nfields)(const struct pg_result *r);
	char *(*fname)(const struct pg_result *r, int i);
	unsigned (*ftype)(const struct pg_result *r, int i);
	int (*fmod)(const struct pg_result *r, int i);
	int (*ntuples)(const struct pg_result *r);
	char *(*value)(const struct pg_result *r, int row, int i);
	struct pg_result *(*get_result)(struct pg_conn *c);
	int (*get_copy)(struct pg_conn *c, char **data, int async);
	int (*put_copy)(struct pg_conn *c, const char *data, int n);
	int (*put_end)(struct pg_conn *c, const char *error);
	void (*free)(void *p);
	struct pg_cancel *(*get_cancel)(struct pg_conn *c);
	int (*cancel)(struct pg_cancel *c, char *why, int n);
	void (*free_cancel)(struct pg_cancel *c);
};

/* An open connection. */
struct rn_pg {
	struct rn_pg_api api;
	const struct rn_ctx *ctx; /* for the server's notices; may be NULL */
	struct pg_conn *conn;
	char *uri;            /* as libpq has it */
	char *label;          /* the same without a password, for messages */
	char *schema, *table; /* NULL where the name has none */
};

/* Load the library and connect to what `name` names.  rn_pg_disconnect also after an
 * error. */
RN_MUST_CHECK int rn_pg_connect(struct rn_pg *p, const struct rn_ctx *c, const char *name,
				struct rn_err *e);
void rn_pg_disconnect(struct rn_pg *p);

/* What went wrong: the server's words and its code for them, or the connection's.  The
 * code of the error goes by the class of the server's.  r (NULL is fine) is cleared. */
int rn_pg_fail(const struct rn_pg *p, struct pg_result *r, struct rn_err *e);
/* Is r, the server's answer, an error of this SQLSTATE? */
bool rn_pg_is_state(const struct rn_pg *p, const struct pg_result *r, const char *state);

/* Run one command; its answer must have the status `want`.  *out (may be NULL) owned. */
RN_MUST_CHECK int rn_pg_exec(const struct rn_pg *p, const char *sql, int want,
			     struct pg_result **out, struct rn_err *e);
/* The same with parameters, which are texts, for rows of text. */
RN_MUST_CHECK int rn_pg_query(const struct rn_pg *p, const char *sql, int n,
			      const char *const *values, struct pg_result **out, struct rn_err *e);
/* The columns that a statement would give, in *out (owned). */
RN_MUST_CHECK int rn_pg_describe(const struct rn_pg *p, const char *sql, struct pg_result **out,
				 struct rn_err *e);
/* The answer to what was sent, to its end: an error where there is one. */
RN_MUST_CHECK int rn_pg_drain(const struct rn_pg *p, struct rn_err *e);

/* "schema"."table", or "table". */
void rn_pg_print_table(const struct rn_pg *p, struct rn_str *out);

#endif
