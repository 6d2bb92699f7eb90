/* SPDX-License-Identifier: Apache-2.0
 *
 * Loading libpq, connections, and what the server says.
 */
#include "postgres.h"

#include "../lib/base/mem.h"
#include "../lib/base/uri.h"
#include "postgres_api.h"

#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int load(struct rn_pg_api *a, struct rn_err *e)
{
	const struct {
		const char *name;
		void *to; /* a pointer to a function */
	} calls[] = {
		{ "PQconnectdbParams", &a->connect },
		{ "PQstatus", &a->status },
		{ "PQerrorMessage", &a->error },
		{ "PQfinish", &a->finish },
		{ "PQsetNoticeProcessor", &a->set_notice },
		{ "PQexec", &a->exec },
		{ "PQexecParams", &a->exec_params },
		{ "PQprepare", &a->prepare },
		{ "PQdescribePrepared", &a->describe },
		{ "PQresultStatus", &a->result_status },
		{ "PQresultErrorField", &a->error_field },
		{ "PQresultErrorMessage", &a->result_error },
		{ "PQclear", &a->clear },
		{ "PQnfields", &a->nfields },
		{ "PQfname", &a->fname },
		{ "PQftype", &a->ftype },
		{ "PQfmod", &a->fmod },
		{ "PQntuples", &a->ntuples },
		{ "PQgetvalue", &a->value },
		{ "PQgetResult", &a->get_result },
		{ "PQgetCopyData", &a->get_copy },
		{ "PQputCopyData", &a->put_copy },
		{ "PQputCopyEnd", &a->put_end },
		{ "PQfreemem", &a->free },
		{ "PQgetCancel", &a->get_cancel },
		{ "PQcancel", &a->cancel },
		{ "PQfreeCancel", &a->free_cancel },
	};
	/* The libraries under it (TLS, Kerberos) do not like to be unloaded. */
	void *lib = dlopen("libpq.so.5", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);

	if (!lib)
		return rn_err_set(e, RN_EIO,
				  "PostgreSQL's client library is not installed (libpq.so.5, of the "
				  "package libpq5)");
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		void *f = dlsym(lib, calls[i].name);

		if (!f) {
			dlclose(lib);
			return rn_err_set(e, RN_EIO, "the libpq that is installed has no %s",
					  calls[i].name);
		}
		memcpy(calls[i].to, &f, sizeof f);
	}
	dlclose(lib);
	return 0;
}

/* ---- names ----------------------------------------------------------------------- */

static int hex(char c)
{
	return isdigit((unsigned char)c) ? c - '0' :
	       isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10 : -1;
}

/* The value of a parameter in place of *out. */
static int decode(const char *s, size_t n, char **out, struct rn_err *e)
{
	char *t;

	RN_TRY(rn_uri_decode(s, n, &t, e));
	free(*out);
	*out = t;
	return 0;
}

/* What a URI may not hold as it is.  libpq would take some of it; but where a password
 * ends must not be in doubt, for none is ever stored. */
static int check_uri(const char *name, struct rn_err *e)
{
	const char *rest = strstr(name, "://") + 3, *query;

	if (name[strcspn(name, " \t\r\n\"'")])
		return rn_err_set(e, RN_EUSAGE, "a PostgreSQL URI has no spaces and quotes: write %%20, "
				  "%%27, %%22");
	for (const char *at = name; (at = strchr(at, '%')); at++)
		if (hex(at[1]) < 0 || hex(at[2]) < 0 || !strncmp(at, "%00", 3))
			return rn_err_set(e, RN_EUSAGE, "in a PostgreSQL URI %% stands before two "
					  "hexadecimal digits (%%25 is a %%)");
	rest += strcspn(rest, "@/");
	rest += *rest == '@';
	query = rest + strcspn(rest, "?");
	if (memchr(rest, '@', (size_t)(query - rest)))
		return rn_err_set(e, RN_EUSAGE, "a PostgreSQL URI has one @, before the host: in a "
				  "user, password or database write %%40, and %%2F for a slash");
	for (; *query; query += strcspn(query, "&")) {
		size_t n = strcspn(++query, "=&");

		if (memchr(query, '%', n))
			return rn_err_set(e, RN_EUSAGE, "a PostgreSQL URI has plain names of parameters");
	}
	return 0;
}

/* Table and schema out of the parameters, the others into `uri`. */
static int take_params(struct rn_pg *p, const char *query, struct rn_str *uri, struct rn_err *e)
{
	char mark = '?';

	while (*query) {
		size_t n = strcspn(++query, "&");

		if (!strncmp(query, "table=", 6)) {
			RN_TRY(decode(query + 6, n - 6, &p->table, e));
		} else if (!strncmp(query, "schema=", 7)) {
			RN_TRY(decode(query + 7, n - 7, &p->schema, e));
		} else {
			rn_str_addc(uri, mark);
			rn_str_addn(uri, query, n);
			mark = '&';
		}
		query += n;
	}
	return 0;
}

static int parse_name(struct rn_pg *p, const char *name, struct rn_err *e)
{
	struct rn_str uri = RN_STR_INIT;
	size_t n;
	int rc;

	RN_TRY(check_uri(name, e));
	n = strcspn(name, "@");
	n = name[n] ? n : 0; /* a password may have a '?' */
	n += strcspn(name + n, "?");
	rn_str_addn(&uri, name, n);
	rc = take_params(p, name + n, &uri, e);
	if (!rc) {
		p->uri = rn_str_take(&uri, e);
		p->label = p->uri ? rn_uri_hidden(p->uri, e) : NULL;
		rc = p->label ? 0 : RN_ENOMEM;
	}
	rn_str_fini(&uri);
	if (rc)
		return rc;
	if ((p->table && !*p->table) || (p->schema && !*p->schema) || (p->schema && !p->table))
		return rn_err_set(e, RN_EUSAGE, "a table is postgresql://HOST/DB?table=NAME, with "
				  "&schema=NAME where it wants one, not '%s'", name);
	return 0;
}

void rn_pg_print_table(const struct rn_pg *p, struct rn_str *out)
{
	if (p->schema) {
		rn_sql_quote(out, p->schema);
		rn_str_addc(out, '.');
	}
	rn_sql_quote(out, p->table);
}

/* ---- errors ------------------------------------------------------------------------- */

/* One line of libpq's text, which ends with a newline and may have several. */
static void add_line(struct rn_str *out, const char *s)
{
	while (*s) {
		size_t n = strcspn(s, "\n\t"), gap = strspn(s + n, "\n\t");

		rn_str_addn(out, s, n);
		rn_str_add(out, gap && s[n + gap] ? "; " : "");
		s += n + gap;
	}
}

/* By the class of the SQLSTATE, https://www.postgresql.org/docs/current/errcodes-appendix.html */
static int code_of(const char *state)
{
	static const struct {
		const char *start;
		int code;
	} classes[] = {
		{ "22", RN_EDATA },  /* a value that an expression cannot take */
		{ "25006", RN_EUSAGE }, /* the query writes */
		{ "26", RN_EUSAGE }, { "34", RN_EUSAGE }, { "0A", RN_EUSAGE },
		{ "3D", RN_EUSAGE }, /* no such database */
		{ "3F", RN_EUSAGE }, /* no such schema */
		{ "42501", RN_EIO }, /* not permitted */
		{ "42", RN_EUSAGE }, /* syntax, names, types */
	};

	for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
		if (!strncmp(state, classes[i].start, strlen(classes[i].start)))
			return classes[i].code;
	return RN_EIO;
}

int rn_pg_fail(const struct rn_pg *p, struct pg_result *r, struct rn_err *e)
{
	const struct rn_pg_api *a = &p->api;
	const char *state = r ? a->error_field(r, RN_PG_SQLSTATE) : NULL;
	const char *main = r ? a->error_field(r, RN_PG_PRIMARY) : NULL;
	const char *detail = r ? a->error_field(r, RN_PG_DETAIL) : NULL;
	const char *hint = r ? a->error_field(r, RN_PG_HINT) : NULL;
	const char *broken = strerror(EPIPE);
	struct rn_str text = RN_STR_INIT;
	size_t n = strlen(broken);
	int rc;

	if (state && main) {
		add_line(&text, main);
		rn_str_addf(&text, " (%s)", state);
		if (detail) {
			rn_str_add(&text, "; ");
			add_line(&text, detail);
		}
		if (hint) {
			rn_str_add(&text, "; ");
			add_line(&text, hint);
		}
	} else {
		const char *why = r ? a->result_error(r) : "";

		add_line(&text, *why ? why : a->error(p->conn));
		if (!text.len)
			rn_str_add(&text, "an answer that was not expected");
		/* Where a program's own output is broken it says nothing: this is not that. */
		rn_str_add(&text, !strcmp(text.s + text.len - (text.len < n ? 0 : n), broken) ?
			   " (the connection)" : "");
	}
	rc = text.failed ? rn_err_nomem(e, 1, "a message") :
			   rn_err_set(e, state ? code_of(state) : RN_EIO, "'%s': PostgreSQL: %s",
				      p->label, text.s);
	rn_str_fini(&text);
	if (r)
		a->clear(r);
	return rc;
}

bool rn_pg_is_state(const struct rn_pg *p, const struct pg_result *r, const char *state)
{
	const char *s = p->api.error_field(r, RN_PG_SQLSTATE);

	return s && !strcmp(s, state);
}

/* ---- commands ------------------------------------------------------------------------ */

/* Is the answer r what was wanted?  Then it is *out's, or cleared. */
static int expect(const struct rn_pg *p, struct pg_result *r, int want, struct pg_result **out,
		  struct rn_err *e)
{
	if (!r || p->api.result_status(r) != want)
		return rn_pg_fail(p, r, e);
	if (out)
		*out = r;
	else
		p->api.clear(r);
	return 0;
}

int rn_pg_exec(const struct rn_pg *p, const char *sql, int want, struct pg_result **out,
	       struct rn_err *e)
{
	return expect(p, p->api.exec(p->conn, sql), want, out, e);
}

int rn_pg_query(const struct rn_pg *p, const char *sql, int n, const char *const *values,
		struct pg_result **out, struct rn_err *e)
{
	return expect(p, p->api.exec_params(p->conn, sql, n, NULL, values, NULL, NULL, 0),
		      RN_PG_TUPLES_OK, out, e);
}

int rn_pg_describe(const struct rn_pg *p, const char *sql, struct pg_result **out, struct rn_err *e)
{
	RN_TRY(expect(p, p->api.prepare(p->conn, "", sql, 0, NULL), RN_PG_COMMAND_OK, NULL, e));
	return expect(p, p->api.describe(p->conn, ""), RN_PG_COMMAND_OK, out, e);
}

int rn_pg_drain(const struct rn_pg *p, struct rn_err *e)
{
	struct pg_result *r;
	int rc = 0;

	while ((r = p->api.get_result(p->conn))) {
		if (!rc && p->api.result_status(r) != RN_PG_COMMAND_OK)
			rc = rn_pg_fail(p, r, e);
		else
			p->api.clear(r);
	}
	return rc;
}

/* ---- connections --------------------------------------------------------------------- */

static void say_notice(void *arg, const char *text)
{
	const struct rn_pg *p = arg;
	struct rn_str line = RN_STR_INIT;

	add_line(&line, text);
	if (p->ctx)
		rn_log(p->ctx, RN_LOG_INFO, "'%s': PostgreSQL: %s", p->label, line.s);
	rn_str_fini(&line);
}

int rn_pg_connect(struct rn_pg *p, const struct rn_ctx *c, const char *name, struct rn_err *e)
{
	static const char *const keys[] = { "dbname", "client_encoding", "fallback_application_name",
					    NULL };
	const char *values[] = { NULL, "UTF8", "rn", NULL };

	*p = (struct rn_pg){ .ctx = c };
	RN_TRY(parse_name(p, name, e));
	RN_TRY(load(&p->api, e));
	values[0] = p->uri;
	p->conn = p->api.connect(keys, values, 1);
	if (!p->conn)
		return rn_err_nomem(e, 1, "a connection to PostgreSQL");
	if (p->api.status(p->conn) != RN_PG_CONNECTED)
		return rn_pg_fail(p, NULL, e);
	p->api.set_notice(p->conn, say_notice, p);
	/* Should this program be killed, the server is to notice before it has rows to
	 * send.  One that cannot do so does without. */
	p->api.clear(p->api.exec(p->conn, "SET client_connection_check_interval = 1000"));
	return 0;
}

void rn_pg_disconnect(struct rn_pg *p)
{
	if (p->conn)
		p->api.finish(p->conn);
	free(p->uri);
	free(p->label);
	free(p->schema);
	free(p->table);
	*p = (struct rn_pg){ 0 };
}
