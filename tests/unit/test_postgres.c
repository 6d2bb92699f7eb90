/* SPDX-License-Identifier: Apache-2.0
 *
 * PostgreSQL without a server (tests/cli/postgres.bats has one): values of binary COPY,
 * good, cut and changed; names and passwords; and the reader on a libpq made up here, which
 * cuts what it sends anywhere, stops anywhere, and runs out of memory at every allocation.
 */
#include "../../formats/postgres.h"
#include "../../formats/postgres_api.h"
#include "../../formats/postgres_value.h"
#include "../../lib/base/uri.h"

#include "alloc.h"
#include "t.h"

static struct rn_err err;

/* ---- passwords ------------------------------------------------------------------------ */

static const struct {
	const char *text, *hidden;
} uris[] = {
	{ "", "" },
	{ "postgres", "postgres" },
	{ "x.csv", "x.csv" },
	{ "postgresql://", "postgresql://" },
	{ "postgresql://u@h/db?table=t", "postgresql://u@h/db?table=t" },
	{ "postgresql://u:p@h/db?table=t", "postgresql://u@h/db?table=t" },
	{ "postgresql://u:@h", "postgresql://u@h" },
	{ "postgresql://:p@h", "postgresql://@h" },
	{ "postgresql://u:p:q@h:5432/db", "postgresql://u@h:5432/db" },
	{ "postgresql://u:p?q@h/db", "postgresql://u@h/db" },
	{ "postgresql://h:5432/db", "postgresql://h:5432/db" },
	{ "postgresql://[::1]:5432/db?user=me", "postgresql://[::1]:5432/db?user=me" },
	{ "postgresql://u:p/q@h/db", "postgresql://u@h/db" },
	{ "postgresql://u:p@q@h/db", "postgresql://u@q@h/db" },
	{ "postgres://u@h?password=p", "postgres://u@h" },
	{ "postgres://u@h?password=p&table=t", "postgres://u@h?table=t" },
	{ "postgres://u@h?a=b&password=p&sslpassword=q&c=d", "postgres://u@h?a=b&c=d" },
	{ "--from=postgres://u:p@h and 'postgresql://v:q@i': x",
	  "--from=postgres://u@h and 'postgresql://v@i': x" },
	{ "postgrespostgres://u:p@h", "postgrespostgres://u@h" },
	{ "sqlite:u:p@h?password=x", "sqlite:u:p@h?password=x" },
};

static const struct {
	const char *name, *stem;
} stems[] = {
	{ "sqlite:a/x.db?table=t", "t" },
	{ "sqlite:x.db", "" },
	{ "postgresql://u:p@h/db?table=t&a=b", "t" },
	{ "postgresql://u:p@h/db?a=b&table=t", "t" },
	{ "postgresql://u:p@h/db?notable=t", "db" },
	{ "postgresql://u:p@h", "" },
	{ "postgresql:///db", "db" },
	{ "postgresql://h?host=/tmp/x", "" },
};

static void test_uris(void)
{
	for (size_t i = 0; i < sizeof uris / sizeof *uris; i++) {
		char *s = rn_uri_hidden(uris[i].text, &err);

		T_OK(s && !strcmp(s, uris[i].hidden), "hidden: %s: %s", uris[i].text, s);
		free(s);
	}
	for (size_t i = 0; i < sizeof stems / sizeof *stems; i++) {
		const char *s;
		size_t n = rn_uri_stem(stems[i].name, &s);

		T_OK(n == strlen(stems[i].stem) && !memcmp(s, stems[i].stem, n), "stem: %s: %.*s",
		     stems[i].name, (int)n, s);
	}
}

/* ---- values ---------------------------------------------------------------------------- */

#define BYTES(s) (const unsigned char *)(s), sizeof(s) - 1

static const struct {
	enum rn_pg_kind kind;
	const unsigned char *bytes;
	size_t n;
	const char *want; /* the value, or "! " and why there is none */
} values[] = {
	{ RN_PG_AS_BOOL, BYTES("\1"), "true" },
	{ RN_PG_AS_BOOL, BYTES("\2"), "! is not of the form that its type has" },
	{ RN_PG_AS_INT, BYTES("\xFF\xFE"), "-2" },
	{ RN_PG_AS_INT, BYTES("\x80\0\0\0"), "-2147483648" },
	{ RN_PG_AS_INT, BYTES("\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"), "9223372036854775807" },
	{ RN_PG_AS_OID, BYTES("\xFF\xFF\xFF\xFF"), "4294967295" },
	{ RN_PG_AS_FLOAT, BYTES("\x3F\0\0\0"), "0.5" },
	{ RN_PG_AS_FLOAT, BYTES("\x7F\xC0\0\0"), "" },
	{ RN_PG_AS_FLOAT, BYTES("\x80\0\0\0\0\0\0\0"), "0" },
	{ RN_PG_AS_FLOAT, BYTES("\xFF\xF0\0\0\0\0\0\0"), "-inf" },
	/* digits, weight, sign, scale, then digits to the base of 10,000 */
	{ RN_PG_AS_NUMERIC, BYTES("\0\0\0\0\0\0\0\0"), "0" },
	{ RN_PG_AS_NUMERIC, BYTES("\0\2\0\0\x40\0\0\2\0\x0C\x0D\x48"), "-12.34" },
	{ RN_PG_AS_NUMERIC, BYTES("\0\1\xFF\xFF\0\0\0\1\x03\xE8"), "0.1" },
	{ RN_PG_AS_NUMERIC, BYTES("\0\1\0\x4D\0\0\0\0\0\1"), "1e308" },
	{ RN_PG_AS_NUMERIC, BYTES("\0\1\0\x4E\0\0\0\0\0\1"), "inf" },
	{ RN_PG_AS_NUMERIC, BYTES("\0\0\0\0\xC0\0\0\0"), "" },
	{ RN_PG_AS_NUMERIC, BYTES("\0\0\0\0\xD0\0\0\x20"), "inf" },
	{ RN_PG_AS_NUMERIC, BYTES("\0\0\0\0\xF0\0\0\x20"), "-inf" },
	{ RN_PG_AS_NUMERIC, BYTES("\0\1\0\0\0\0\0\0\x27\x10"), "! is not of the form that its type has" },
	{ RN_PG_AS_NUMERIC, BYTES("\0\2\0\0\0\0\0\0\0\1"), "! is not of the form that its type has" },
	{ RN_PG_AS_DECIMAL, BYTES("\0\1\0\1\x40\0\0\0\0\3"), "-30000" },
	{ RN_PG_AS_DECIMAL, BYTES("\0\0\0\0\xC0\0\0\0"), "" },
	{ RN_PG_AS_DECIMAL, BYTES("\0\1\xFF\xFF\0\0\0\1\x03\xE8"), "! is no integer of 18 digits" },
	{ RN_PG_AS_DECIMAL, BYTES("\0\1\0\4\0\0\0\0\x27\x0F"), "! is no integer of 18 digits" },
	{ RN_PG_AS_DECIMAL, BYTES("\0\1\0\x7F\0\0\0\0\0\1"), "! is no integer of 18 digits" },
	{ RN_PG_AS_TEXT, BYTES("h\xC3\xA9"), "h\xC3\xA9" },
	{ RN_PG_AS_TEXT, BYTES(""), "" },
	{ RN_PG_AS_TEXT, BYTES("h\xC3"), "! is not UTF-8" },
	{ RN_PG_AS_TEXT, BYTES("h\0"), "! has a NUL character" },
	{ RN_PG_AS_JSONB, BYTES("\1{}"), "{}" },
	{ RN_PG_AS_JSONB, BYTES("\2{}"), "! is not of the form that its type has" },
	{ RN_PG_AS_UUID, BYTES("\0\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff"),
	  "00112233-4455-6677-8899-aabbccddeeff" },
	{ RN_PG_AS_DATE, BYTES("\0\0\0\1"), "2000-01-02T00:00:00Z" },
	{ RN_PG_AS_DATE, BYTES("\xFF\xFF\xFF\xFF"), "1999-12-31T00:00:00Z" },
	{ RN_PG_AS_DATE, BYTES("\x7F\xFF\xFF\xFE"), "! is later than any timestamp" },
	{ RN_PG_AS_TIME, BYTES("\0\0\0\0\0\0\0\1"), "2000-01-01T00:00:00.000001Z" },
	{ RN_PG_AS_TIME, BYTES("\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFE"), "! is later than any timestamp" },
	{ RN_PG_AS_NONE, BYTES("x"), "! has a type that cannot be read" },
};

static const unsigned char array[] = "\0\0\0\2\0\0\0\1\0\0\2\xBC" /* rank, with a NULL, float4 */
				     "\0\0\0\1\0\0\0\1\0\0\0\2\0\0\0\1"
				     "\0\0\0\4\x3F\x80\0\0\xFF\xFF\xFF\xFF";
static const unsigned char doubles[] = "\0\0\0\1\0\0\0\0\0\0\2\xBD\0\0\0\1\0\0\0\1"
				       "\0\0\0\x08\x3F\xE0\0\0\0\0\0\0";
static const unsigned char vector[] = "\0\2\0\0\x3F\x80\0\0\xC0\0\0\0";

/* Value and embedding of a row of one column, "! " and why, or "E" and an error. */
static int put(enum rn_pg_kind kind, const unsigned char *p, size_t n, struct rn_str *out)
{
	struct rn_rel *r = NULL;
	const char *why = NULL;
	uint64_t nulls = 0;
	struct rn_fill f;
	/* A copy of just this size, so that ASan sees a read past the end. */
	unsigned char *copy = malloc(n ? n : 1);
	int rc;

	memcpy(copy, p, n);
	rn_str_clear(out);
	rc = rn_fill_init(&f, NULL, 1, &err);
	if (!rc)
		rc = rn_fill_name(&f, 0, "c", "s", &err);
	if (!rc && kind)
		rn_pg_set_col(kind, &f.cols[0]);
	if (!rc)
		rc = rn_fill_begin(&f, &err);
	if (!rc)
		rc = rn_pg_value(kind, copy, n, &f, 0, &why, &nulls, &err);
	if (!rc) {
		rn_fill_next(&f);
		rc = rn_fill_take(&f, &r, &err);
	}
	free(copy);
	if (why)
		rn_str_addf(out, "! %s", why);
	else if (r && r->schema.ncols)
		rn_column_print(r->cols[0], 0, out);
	for (uint64_t i = 0; r && r->schema.nparts && i < r->parts[0].t->nnz; i++)
		rn_str_addf(out, "%g ", r->parts[0].t->data[i]);
	if (nulls)
		rn_str_addf(out, "%d NULL", (int)nulls);
	rn_rel_unref(r);
	rn_fill_fini(&f);
	return why || !rc ? 0 : rc;
}

static void test_values(void)
{
	struct rn_str s = RN_STR_INIT;

	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		T_CALL(put(values[i].kind, values[i].bytes, values[i].n, &s), &err);
		T_OK(!strcmp(s.s, values[i].want), "value %zu: %s", i, s.s);
	}
	T_CALL(put(RN_PG_AS_ARRAY, array, sizeof array - 1, &s), &err);
	T_OK(!strcmp(s.s, "1 0 1 NULL"), "an array: %s", s.s);
	T_CALL(put(RN_PG_AS_ARRAY, doubles, sizeof doubles - 1, &s), &err);
	T_OK(!strcmp(s.s, "0.5 "), "an array of doubles: %s", s.s);
	T_CALL(put(RN_PG_AS_VECTOR, vector, sizeof vector - 1, &s), &err);
	T_OK(!strcmp(s.s, "1 -2 "), "a vector: %s", s.s);
	rn_str_fini(&s);
}

/* Whatever the bytes, there is a value or a reason. */
static void test_damage(void)
{
	const struct {
		enum rn_pg_kind kind;
		const unsigned char *p;
		size_t n;
	} from[] = { { RN_PG_AS_ARRAY, array, sizeof array - 1 },
		     { RN_PG_AS_ARRAY, doubles, sizeof doubles - 1 },
		     { RN_PG_AS_VECTOR, vector, sizeof vector - 1 },
		     { RN_PG_AS_NUMERIC, values[11].bytes, values[11].n } };
	unsigned long long state = 1, bad = 0;
	struct rn_str s = RN_STR_INIT;
	unsigned char bytes[64];

	for (size_t k = 0; k < sizeof from / sizeof *from; k++) {
		for (size_t n = 0; n < from[k].n; n++) {
			bad += put(from[k].kind, from[k].p, n, &s) != 0;
			bad += s.s[0] != '!';
		}
		for (int i = 0; i < 3000; i++) {
			memcpy(bytes, from[k].p, from[k].n);
			for (int j = 0; j < 3; j++) {
				state = state * 6364136223846793005u + 1442695040888963407u;
				bytes[(state >> 33) % from[k].n] = (unsigned char)(state >> 56);
			}
			bad += put(from[k].kind, bytes, from[k].n, &s) != 0;
		}
	}
	T_OK(!bad, "cut and changed values: %llu without a reason", bad);
	rn_str_fini(&s);
}

/* Digits far behind decide which of two doubles is nearer. */
static void test_long_numeric(void)
{
	/* 2^53 + 1, the middle of two doubles, and then 0.000…1 with 1,200 digits */
	static const unsigned char start[] = "\1\x30\0\3\0\0\0\0\x23\x2F\x07\xC8\x15\x62\x03\xE1";
	unsigned char bytes[8 + 2 * 304] = { 0 };
	struct rn_str s = RN_STR_INIT;

	memcpy(bytes, start, sizeof start - 1);
	T_CALL(put(RN_PG_AS_NUMERIC, bytes, sizeof bytes, &s), &err);
	T_OK(!strcmp(s.s, "9007199254740992"), "in the middle, to even: %s", s.s);
	bytes[sizeof bytes - 1] = 1;
	T_CALL(put(RN_PG_AS_NUMERIC, bytes, sizeof bytes, &s), &err);
	T_OK(!strcmp(s.s, "9007199254740994"), "a little more, up: %s", s.s);
	rn_str_fini(&s);
}

/* ---- a libpq made up here ----------------------------------------------------------------- */

#ifndef ALLOC_SANITIZED /* which needs the dlsym that stands below */
/* Two columns, of text and of real[], and what COPY sends of them: two rows. */
static const unsigned char copy[] =
	"PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\2hi" /* an extension of two bytes */
	"\0\2\0\0\0\3abc\0\0\0\x1C\0\0\0\1\0\0\0\0\0\0\2\xBC\0\0\0\1\0\0\0\1\0\0\0\4\x3F\x80\0\0"
	"\0\2\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"
	"\xFF\xFF";
static size_t copy_size, copy_at, copy_step;

struct pg_conn {
	bool copying, said; /* said: the answer after COPY was read */
};
struct pg_result {
	int status;
};

static struct pg_conn *fake_connect(const char *const *keys, const char *const *vals, int expand)
{
	(void)keys, (void)vals, (void)expand;
	return calloc(1, sizeof(struct pg_conn));
}

static int fake_status(const struct pg_conn *c)
{
	(void)c;
	return RN_PG_CONNECTED;
}

static char *fake_error(const struct pg_conn *c)
{
	static char text[] = "out of memory\n";

	(void)c;
	return text;
}

static struct pg_result *result(int status)
{
	struct pg_result *r = malloc(sizeof *r);

	if (r)
		r->status = status;
	return r;
}

static struct pg_result *fake_exec(struct pg_conn *c, const char *sql)
{
	c->copying = !strncmp(sql, "COPY", 4);
	return result(c->copying ? RN_PG_COPY_OUT : RN_PG_COMMAND_OK);
}

static struct pg_result *fake_prepare(struct pg_conn *c, const char *name, const char *sql, int n,
				      const unsigned *types)
{
	(void)c, (void)name, (void)sql, (void)n, (void)types;
	return result(RN_PG_COMMAND_OK);
}

static struct pg_result *fake_describe(struct pg_conn *c, const char *name)
{
	(void)c, (void)name;
	return result(RN_PG_COMMAND_OK);
}

static int fake_result_status(const struct pg_result *r)
{
	return r->status;
}

static char *fake_field(const struct pg_result *r, int field)
{
	(void)r, (void)field;
	return NULL;
}

static char *fake_result_error(const struct pg_result *r)
{
	(void)r;
	return fake_error(NULL);
}

static int fake_nfields(const struct pg_result *r)
{
	(void)r;
	return 2;
}

static char *fake_fname(const struct pg_result *r, int i)
{
	static char names[2][2] = { "s", "v" };

	(void)r;
	return names[i];
}

static unsigned fake_ftype(const struct pg_result *r, int i)
{
	(void)r;
	return i ? RN_PG_FLOAT4S : RN_PG_TEXT;
}

static int fake_fmod(const struct pg_result *r, int i)
{
	(void)r, (void)i;
	return -1;
}

static struct pg_result *fake_get_result(struct pg_conn *c)
{
	if (c->said)
		return NULL;
	c->said = true;
	return result(RN_PG_COMMAND_OK);
}

static int fake_get_copy(struct pg_conn *c, char **data, int async)
{
	size_t n = copy_size - copy_at < copy_step ? copy_size - copy_at : copy_step;

	(void)c, (void)async;
	if (!n)
		return -1;
	*data = malloc(n);
	if (!*data)
		return -2;
	memcpy(*data, copy + copy_at, n);
	copy_at += n;
	return (int)n;
}

static void fake_free(void *p)
{
	free(p);
}

static void *fake_get_cancel(struct pg_conn *c)
{
	(void)c;
	return NULL;
}

static void fake_nothing(void)
{
}

void *dlopen(const char *name, int flags);
void *dlsym(void *lib, const char *name);
int dlclose(void *lib);

void *dlopen(const char *name, int flags)
{
	(void)name, (void)flags;
	return &copy_at;
}

int dlclose(void *lib)
{
	(void)lib;
	return 0;
}

void *dlsym(void *lib, const char *name)
{
	static const struct {
		const char *name;
		void (*f)(void);
	} calls[] = {
#define FAKE(pq, f) { pq, (void (*)(void))f }
		FAKE("PQconnectdbParams", fake_connect), FAKE("PQstatus", fake_status),
		FAKE("PQerrorMessage", fake_error),	 FAKE("PQfinish", fake_free),
		FAKE("PQexec", fake_exec),		 FAKE("PQprepare", fake_prepare),
		FAKE("PQdescribePrepared", fake_describe),
		FAKE("PQresultStatus", fake_result_status), FAKE("PQresultErrorField", fake_field),
		FAKE("PQresultErrorMessage", fake_result_error), FAKE("PQclear", fake_free),
		FAKE("PQnfields", fake_nfields),	 FAKE("PQfname", fake_fname),
		FAKE("PQftype", fake_ftype),		 FAKE("PQfmod", fake_fmod),
		FAKE("PQgetResult", fake_get_result),	 FAKE("PQgetCopyData", fake_get_copy),
		FAKE("PQfreemem", fake_free),		 FAKE("PQgetCancel", fake_get_cancel),
	};
	void (*f)(void) = fake_nothing;
	void *p;

	(void)lib;
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
		if (!strcmp(calls[i].name, name))
			f = calls[i].f;
	memcpy(&p, &f, sizeof p);
	return p;
}

/* All rows as text: "s 1 |", "… 0 |". */
static int read_all(size_t size, size_t step, struct rn_str *out)
{
	struct rn_ctx ctx = { .threads = 1 };
	struct rn_db_reader *r;
	struct rn_rel *b;
	int rc;

	err = (struct rn_err){ 0 };
	copy_size = size;
	copy_at = 0;
	copy_step = step;
	rn_str_clear(out);
	RN_TRY(rn_pg_open(&ctx, "postgresql://u@h/d?table=t", NULL, &r, &err));
	while (!(rc = r->block(r, &b, &err)) && b) {
		for (uint64_t i = 0; i < b->rows; i++) {
			rn_column_print(b->cols[0], i, out);
			rn_str_addf(out, " %g|", b->parts[0].t->data[i]);
		}
		rn_rel_unref(b);
	}
	rn_db_close(r);
	return rc;
}

static void test_reader(void)
{
	static const char want[] = "abc 1| 0|";
	struct rn_str s = RN_STR_INIT;
	size_t all = sizeof copy - 1, bad = 0, k;
	bool more = true;
	int rc;

	T_CALL(read_all(all, all, &s), &err);
	T_OK(!strcmp(s.s, want), "in one message: %s", s.s);
	for (size_t step = 1; step < all; step++)
		bad += read_all(all, step, &s) || strcmp(s.s, want);
	T_OK(!bad, "in messages of any size: %zu differ", bad);
	for (size_t n = 0; n < all; n++)
		bad += read_all(n, 7, &s) != RN_EDATA;
	T_OK(!bad, "a server that stops anywhere: %zu are no error", bad);
	for (k = 1; more && k < 1000; k++) {
		long before;

		rn_str_fini(&s);
		s = RN_STR_INIT;
		before = alloc_live();
		alloc_fail(k, false);
		rc = read_all(all, 7, &s);
		more = alloc_stop();
		/* Some that fail can be done without; a failed text is no wrong one. */
		bad += rc ? rc != RN_ENOMEM && rc != RN_EIO : !s.failed && strcmp(s.s, want) != 0;
		rn_str_fini(&s);
		s = RN_STR_INIT;
		bad += alloc_live() != before;
	}
	T_OK(!bad && k > 20 && k < 1000, "allocation 1 to %zu fails: %zu leaks and other errors", k, bad);
}
#else
static void test_reader(void)
{
	T_SKIP("a sanitizer needs the dlsym that the libpq made up here replaces");
}
#endif

int main(void)
{
	test_uris();
	test_values();
	test_damage();
	test_long_numeric();
	test_reader();
	return t_done();
}
