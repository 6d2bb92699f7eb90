/* SPDX-License-Identifier: Apache-2.0
 *
 * Names of tables in databases: "sqlite:FILE?table=NAME" and PostgreSQL's URIs,
 * "postgresql://USER@HOST/DB?table=NAME" ("postgres://" alike).
 *
 * A URI may hold a password.  It is for the connection alone: whatever is stored or
 * shown goes through rn_uri_hide, and names the same table without it.
 */
#ifndef RN_URI_H
#define RN_URI_H

#include "str.h"

enum rn_uri_kind { RN_URI_NONE, RN_URI_SQLITE, RN_URI_POSTGRES };

/* By how the name of a source or sink begins; RN_URI_NONE: it is a file. */
enum rn_uri_kind rn_uri_kind(const char *name);

/* What a database's table is called: its "table=", else the database of a PostgreSQL URI.
 * Length of what *stem points to in `name`; 0 where there is neither. */
size_t rn_uri_stem(const char *name, const char **stem);

/* The value of a parameter, s[0 … n - 1], with %XX read as the byte; *out owned.  RN_EUSAGE: a %
 * that no two hexadecimal digits follow, and %00. */
RN_MUST_CHECK int rn_uri_decode(const char *s, size_t n, char **out, struct rn_err *e);

/* `text` without the passwords of the PostgreSQL URIs in it, at the end of out. */
void rn_uri_hide(const char *text, struct rn_str *out);
/* The same, owned; NULL + e on failure. */
char *rn_uri_hidden(const char *text, struct rn_err *e);

#endif
