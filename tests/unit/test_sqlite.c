/* SPDX-License-Identifier: Apache-2.0
 *
 * Joins, groups, orders, filters and content expressions against SQLite, on random
 * relations and queries: test_sqlite [SEED [PAIRS]].
 *
 * Where the two languages differ by design the generator writes what means the
 * same: / of integers is a cast in SQLite, booleans are integers there,
 * timestamps microseconds.  It makes no int64 that overflows (an error here, a
 * float there), no text of a float64 and no text that is no number.
 */
#include "../../lib/expr/content.h"
#include "../../lib/op/aggregate.h"
#include "../../lib/rel/key.h"
#include "t.h"

#include <math.h>
#include <sqlite3.h>

static struct rn_err err;
static struct rn_ctx ctx = { .threads = 1 };
static sqlite3 *db;

static unsigned long long state;

static unsigned rnd(unsigned n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(state >> 33) % n;
}

static void die(const char *what)
{
	printf("Bail out! %s: %s\n", what, sqlite3_errmsg(db));
	exit(1);
}

static void must(int rc)
{
	if (rc) {
		printf("Bail out! %s\n", err.msg);
		exit(1);
	}
}

static void sql(const char *text)
{
	if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
		die(text);
}

/* ---- relations -------------------------------------------------------------------- */

enum { A, B, K, F, G, S, U, P, Q, T, NCOLS };

static const struct {
	const char *name;
	enum rn_type type;
} columns[NCOLS] = {
	[A] = { "a", RN_INT64 },   [B] = { "b", RN_INT64 },  [K] = { "k", RN_INT64 },
	[F] = { "f", RN_FLOAT64 }, [G] = { "g", RN_FLOAT64 }, [S] = { "s", RN_STRING },
	[U] = { "u", RN_STRING },  [P] = { "p", RN_BOOL },   [Q] = { "q", RN_BOOL },
	[T] = { "t", RN_TIMESTAMP },
};

static const char *const strings[] = { "",  "a",  "b",  "ab",	    "aab",
				       "A", "a%", "_b", "\xc3\xa4", "ba" };

static int64_t random_int(int col)
{
	static const int64_t big[] = { 1ll << 53, (1ll << 53) + 1, (1ll << 53) + 2, INT64_MAX,
				       INT64_MIN, INT64_MAX - 1, 0, 1, -2 };

	if (col == T)
		return ((int64_t)rnd(2000000000) - 1000000000) * 1000000;
	return col == K ? big[rnd(9)] : (int64_t)rnd(9) - (col == A ? 4 : 1);
}

static double random_float(int col)
{
	static const double big[] = { 0x1p53, 0x1p53 + 2, 0x1p63, -0x1p63, 0, 1, -2, 0.5 };

	return col == G ? big[rnd(8)] : ((int)rnd(17) - 8) / 4.0;
}

static void set_value(struct rn_column *c, int col, uint64_t i, uint64_t *bytes)
{
	bool null = rnd(5) == 0;
	const char *s;

	if (null) {
		must(rn_column_need_null(c, &err));
		c->null[i] = 1;
		c->nulls++;
	}
	switch (c->type) {
	case RN_STRING:
		s = null ? "" : strings[rnd(sizeof strings / sizeof *strings)];
		memcpy(c->bytes + *bytes, s, strlen(s));
		*bytes += strlen(s);
		c->off[i + 1] = *bytes;
		break;
	case RN_FLOAT64:
		c->f64[i] = null ? 0 : random_float(col);
		break;
	case RN_BOOL:
		c->b[i] = !null && rnd(2);
		break;
	default:
		c->i64[i] = null ? 0 : random_int(col);
	}
}

static void bind_value(sqlite3_stmt *st, int at, const struct rn_column *c, uint64_t i)
{
	if (rn_column_is_null(c, i))
		sqlite3_bind_null(st, at);
	else if (c->type == RN_STRING)
		sqlite3_bind_text(st, at, c->bytes + c->off[i], (int)(c->off[i + 1] - c->off[i]),
				  SQLITE_TRANSIENT);
	else if (c->type == RN_FLOAT64)
		sqlite3_bind_double(st, at, c->f64[i]);
	else
		sqlite3_bind_int64(st, at, c->type == RN_BOOL ? c->b[i] : c->i64[i]);
}

/* A random relation, and the same as a table; its key `i` is the row's number. */
static struct rn_rel *make_relation(const char *name, uint64_t rows)
{
	struct rn_rel *r = NULL;
	sqlite3_stmt *st;
	char text[256];

	must(rn_rel_new(name, rows, &r, &err));
	for (int col = 0; col < NCOLS; col++) {
		struct rn_column *c = NULL;
		uint64_t bytes = 0;

		if (columns[col].type == RN_STRING)
			must(rn_column_new_string(rows, 4 * rows, &c, &err));
		else
			must(rn_column_new(columns[col].type, rows, &c, &err));
		for (uint64_t i = 0; i < rows; i++)
			set_value(c, col, i, &bytes);
		must(rn_rel_add_col(r, columns[col].name, name, c, &err));
	}
	snprintf(text, sizeof text,
		 "drop table if exists %s; create table %s(i integer primary key, a integer, "
		 "b integer, k integer, f real, g real, s text, u text, p integer, q integer, "
		 "t integer)",
		 name, name);
	sql(text);
	snprintf(text, sizeof text, "insert into %s values (?,?,?,?,?,?,?,?,?,?,?)", name);
	if (sqlite3_prepare_v2(db, text, -1, &st, NULL) != SQLITE_OK)
		die(text);
	sql("begin");
	for (uint64_t i = 0; i < rows; i++) {
		sqlite3_bind_int64(st, 1, (sqlite3_int64)i);
		for (int col = 0; col < NCOLS; col++)
			bind_value(st, col + 2, r->cols[col], i);
		if (sqlite3_step(st) != SQLITE_DONE)
			die(text);
		sqlite3_reset(st);
	}
	sql("commit");
	sqlite3_finalize(st);
	return r;
}

/* ---- expressions --------------------------------------------------------------------- */

/* The same expression for RN and for SQLite.  `sides` has a letter per relation. */
struct text {
	struct rn_str rn, lite;
	const char *sides;
};

static void put(struct text *x, const char *s)
{
	rn_str_add(&x->rn, s);
	rn_str_add(&x->lite, s);
}

static void put2(struct text *x, const char *rn, const char *lite)
{
	rn_str_add(&x->rn, rn);
	rn_str_add(&x->lite, lite);
}

/* Precedence, loosest first; the two languages agree wherever the types do. */
enum { ANY, OR, AND, NOT, TEST, CONCAT, SUM, PRODUCT, UNARY, PRIMARY };

static void gen(struct text *x, enum rn_type t, int depth, int prec);

static void gen_column(struct text *x, enum rn_type t)
{
	char side = x->sides[rnd((unsigned)strlen(x->sides))];
	char name[4] = { side, '.' };
	int col;

	do
		col = (int)rnd(NCOLS);
	while (columns[col].type != t || col == K || col == G);
	name[2] = columns[col].name[0];
	/* Bare names only where one relation is there. */
	put(x, x->sides[1] || rnd(2) ? name : name + 2);
}

static void gen_literal(struct text *x, enum rn_type t)
{
	char s[40];

	switch (t) {
	case RN_INT64:
		snprintf(s, sizeof s, "%d", (int)rnd(6));
		put(x, s);
		break;
	case RN_FLOAT64:
		snprintf(s, sizeof s, "%d.%s", (int)rnd(3), rnd(2) ? "25" : "0");
		put(x, s);
		break;
	case RN_BOOL:
		put(x, rnd(2) ? "true" : "FALSE");
		break;
	case RN_STRING:
		snprintf(s, sizeof s, "'%s'", strings[rnd(sizeof strings / sizeof *strings)]);
		put(x, s);
		break;
	default:
		put2(x, "cast('2000-01-02T03:04:05Z' as timestamp)", "946782245000000");
	}
}

static void gen_case(struct text *x, enum rn_type t, int depth)
{
	put(x, "case ");
	if (rnd(3) == 0) {
		enum rn_type k = (enum rn_type)rnd(RN_NTYPES);

		gen(x, k, depth - 1, ANY);
		put(x, " when ");
		gen(x, k, depth - 1, ANY);
	} else {
		put(x, "when ");
		gen(x, RN_BOOL, depth - 1, ANY);
	}
	put(x, " then ");
	gen(x, t, depth - 1, ANY);
	if (rnd(3)) {
		put(x, " else ");
		/* An int64 branch beside a float64 one becomes float64. */
		gen(x, t == RN_FLOAT64 && rnd(3) == 0 ? RN_INT64 : t, depth - 1, ANY);
	}
	put(x, " end");
}

static void binary(struct text *x, enum rn_type t, int depth, const char *op, int prec)
{
	gen(x, t, depth - 1, prec);
	put(x, op);
	gen(x, t, depth - 1, prec + 1);
}

/* A function of one name in RN and another in SQLite. */
static void call(struct text *x, const char *rn, const char *lite, const enum rn_type *args, int depth)
{
	put2(x, rn, lite);
	for (int k = 0; args[k] != RN_NTYPES; k++) {
		put(x, k ? ", " : "(");
		gen(x, args[k], depth - 1, ANY);
	}
	put(x, ")");
}
#define CALL(rn, lite, ...) call(x, rn, lite, (const enum rn_type[]){ __VA_ARGS__, RN_NTYPES }, depth)

/* A function that gives what it takes. */
static void gen_choice(struct text *x, enum rn_type t, int depth)
{
	switch (rnd(4)) {
	case 0:
		CALL("coalesce", "coalesce", t, t, t);
		return;
	case 1:
		CALL("nullif", "nullif", t, t);
		return;
	case 2:
		CALL("greatest", "max", t, t, t);
		return;
	default:
		CALL("least", "min", t, t);
	}
}

static void gen_string_function(struct text *x, int depth)
{
	switch (rnd(8)) {
	case 0:
		CALL("lower", "lower", RN_STRING);
		return;
	case 1:
		CALL("upper", "upper", RN_STRING);
		return;
	case 2:
		CALL("trim", "trim", RN_STRING, RN_STRING);
		return;
	case 3:
		CALL("ltrim", "ltrim", RN_STRING);
		return;
	case 4:
		CALL("rtrim", "rtrim", RN_STRING, RN_STRING);
		return;
	case 5:
		CALL("substr", "substr", RN_STRING, RN_INT64);
		return;
	case 6:
		CALL("substr", "substr", RN_STRING, RN_INT64, RN_INT64);
		return;
	default:
		/* SQLite does not look at a NULL replacement of the empty string. */
		put(x, "replace(");
		gen(x, RN_STRING, depth - 1, ANY);
		put(x, ", ");
		gen(x, RN_STRING, depth - 1, ANY);
		put(x, ", coalesce(");
		gen(x, RN_STRING, depth - 1, ANY);
		put(x, ", 'q'))");
	}
}

/* SQLite's floor(), ceil() and round() of what is surely a float64. */
static void gen_rounding(struct text *x, int depth)
{
	switch (rnd(4)) {
	case 0:
		CALL("abs", "abs", RN_FLOAT64);
		return;
	case 1:
		CALL("floor", "floor", RN_FLOAT64);
		return;
	case 2:
		CALL("ceil", "ceil", RN_FLOAT64);
		return;
	default:
		CALL("round", "round", RN_FLOAT64);
	}
}

static void gen_int(struct text *x, int depth)
{
	static const struct {
		const char *name, *format;
	} parts[] = { { "year", "%Y" }, { "month", "%m" }, { "day", "%d" }, { "hour", "%H" },
		      { "minute", "%M" }, { "second", "%S" }, { "yearday", "%j" }, { "weekday", NULL } };
	unsigned k = rnd(12);

	if (k < 2)
		binary(x, RN_INT64, depth, k ? " + " : " - ", SUM);
	else if (k < 4)
		binary(x, RN_INT64, depth, k == 2 ? " * " : " % ", PRODUCT);
	else if (k == 4) {
		put(x, "- ");
		gen(x, RN_INT64, depth - 1, UNARY);
	} else if (k == 5) {
		unsigned p = rnd(8);

		rn_str_addf(&x->rn, "%s(", parts[p].name);
		if (parts[p].format)
			rn_str_addf(&x->lite, "cast(strftime('%s', (", parts[p].format);
		else
			rn_str_add(&x->lite, "((strftime('%w', (");
		gen(x, RN_TIMESTAMP, depth - 1, ANY);
		put2(x, ")", parts[p].format ? ") / 1000000, 'unixepoch') as integer)" :
					       ") / 1000000, 'unixepoch') + 6) % 7 + 1)");
	} else if (k == 6) {
		enum rn_type from = rnd(2) ? RN_BOOL : RN_FLOAT64;

		put(x, "cast(");
		gen(x, from, depth - 1, ANY);
		put2(x, " as int64)", " as integer)");
	} else if (k == 7) {
		put(x, "cast(cast(");
		gen(x, RN_INT64, depth - 1, ANY);
		put2(x, " as string) as int64)", " as text) as integer)");
	} else if (k == 8) {
		CALL("length", "length", RN_STRING);
	} else if (k == 9) {
		CALL("abs", "abs", RN_INT64);
	} else if (k == 10) {
		gen_choice(x, RN_INT64, depth);
	} else {
		gen_case(x, RN_INT64, depth);
	}
}

static void gen_float(struct text *x, int depth)
{
	enum rn_type a = rnd(2) ? RN_FLOAT64 : RN_INT64;
	unsigned k = rnd(9);

	if (k < 3) {
		gen(x, RN_FLOAT64, depth - 1, k == 2 ? PRODUCT : SUM);
		put(x, k == 0 ? " + " : k == 1 ? " - " : " * ");
		gen(x, a, depth - 1, k == 2 ? UNARY : PRODUCT);
	} else if (k == 3) {
		rn_str_add(&x->lite, "cast(");
		gen(x, a, depth - 1, PRODUCT);
		put2(x, " / ", " as real) / ");
		gen(x, RN_INT64, depth - 1, UNARY);
	} else if (k == 4) {
		rn_str_add(&x->lite, "cast(");
		gen(x, RN_TIMESTAMP, depth - 1, SUM);
		put(x, " - ");
		gen(x, RN_TIMESTAMP, depth - 1, PRODUCT);
		rn_str_add(&x->lite, " as real) / 1e6");
	} else if (k == 5) {
		put(x, "cast(");
		gen(x, rnd(2) ? RN_INT64 : RN_BOOL, depth - 1, ANY);
		put2(x, " as float64)", " as real)");
	} else if (k == 6) {
		gen_rounding(x, depth);
	} else if (k == 7) {
		gen_choice(x, RN_FLOAT64, depth);
	} else {
		gen_case(x, RN_FLOAT64, depth);
	}
}

/* k and g reach where doubles are coarse: they are compared, not computed with. */
static void gen_comparison(struct text *x, int depth)
{
	static const char *const ops[] = { " = ", " == ", " <> ", " != ",
					   " < ", " <= ", " > ",  " >= " };
	const char *op = ops[rnd(8)];
	enum rn_type t = (enum rn_type)rnd(RN_NTYPES);

	if (rnd(4) == 0) {
		char side[3] = { x->sides[0], '.' };

		put(x, side);
		put(x, rnd(2) ? "k" : "g");
		put(x, op);
		put(x, side);
		put(x, rnd(2) ? "k" : "g");
		return;
	}
	gen(x, t, depth - 1, CONCAT);
	put(x, op);
	if (rnd(12) == 0)
		put(x, "null");
	else
		gen(x, t == RN_INT64 && rnd(3) == 0 ? RN_FLOAT64 : t, depth - 1, CONCAT);
}

static void gen_test(struct text *x, int depth)
{
	enum rn_type t = (enum rn_type)rnd(RN_NTYPES);
	unsigned k = rnd(5);

	if (k == 3) {
		gen(x, t, depth - 1, CONCAT);
		put(x, rnd(2) ? " between " : " not between ");
		gen(x, t, depth - 1, CONCAT);
		put(x, " and ");
		gen(x, t, depth - 1, CONCAT);
	} else if (k == 4) {
		put2(x, "contains(", "(instr(");
		gen(x, RN_STRING, depth - 1, ANY);
		put(x, ", ");
		gen(x, RN_STRING, depth - 1, ANY);
		put2(x, ")", ") > 0)");
	} else if (k == 0) {
		gen(x, t, depth - 1, TEST);
		put(x, rnd(2) ? " is null" : " is not null");
	} else if (k == 1) {
		gen(x, t, depth - 1, TEST);
		put(x, rnd(2) ? " in (" : " not in (");
		for (unsigned n = rnd(3);; n--) {
			gen(x, t, depth - 1, ANY);
			if (!n)
				break;
			put(x, ", ");
		}
		put(x, rnd(6) ? ")" : ", null)");
	} else {
		static const char *const patterns[] = { "'a%'", "'%b'", "'_'", "'%a_'", "'%'", "''",
							"'a!%' escape '!'", "'%!_%' escape '!'" };
		gen(x, RN_STRING, depth - 1, CONCAT);
		put(x, rnd(2) ? " like " : " not like ");
		put(x, patterns[rnd(8)]);
	}
}

static void gen_bool(struct text *x, int depth, unsigned k)
{
	if (k < 3) {
		gen_comparison(x, depth);
	} else if (k < 5) {
		gen_test(x, depth);
	} else if (k == 5) {
		binary(x, RN_BOOL, depth, " and ", AND);
	} else if (k == 6) {
		binary(x, RN_BOOL, depth, " or ", OR);
	} else if (k == 7) {
		put(x, "not ");
		gen(x, RN_BOOL, depth - 1, NOT);
	} else if (k == 8) {
		gen_case(x, RN_BOOL, depth);
	} else {
		put2(x, "cast(", "((");
		gen(x, RN_INT64, depth - 1, ANY);
		put2(x, " as bool)", ") <> 0)");
	}
}

/* The loosest operator that the next expression of type t may be made of. */
static void gen(struct text *x, enum rn_type t, int depth, int prec)
{
	static const int bool_prec[] = { TEST, TEST, TEST, TEST,    TEST,
					 AND,  OR,   NOT,  PRIMARY, PRIMARY };
	unsigned k = rnd(10);
	bool paren;

	if (depth <= 0 || rnd(6) == 0) {
		if (rnd(3))
			gen_column(x, t);
		else
			gen_literal(x, t);
		return;
	}
	/* Numbers and strings get parentheses more often than they need them. */
	paren = t == RN_BOOL ? prec > bool_prec[k] || rnd(8) == 0 :
		t == RN_STRING ? prec > CONCAT : t != RN_TIMESTAMP && prec > SUM;
	if (paren)
		put(x, "(");
	if (t == RN_INT64) {
		gen_int(x, depth);
	} else if (t == RN_FLOAT64) {
		gen_float(x, depth);
	} else if (t == RN_BOOL) {
		gen_bool(x, depth, k);
	} else if (t == RN_STRING && k < 3) {
		binary(x, t, depth, " || ", CONCAT);
	} else if (t == RN_STRING && k < 6) {
		gen_string_function(x, depth);
	} else if (k == 6) {
		gen_choice(x, t, depth);
	} else if (t == RN_STRING && k == 7) {
		put(x, "cast(");
		gen(x, RN_INT64, depth - 1, ANY);
		put2(x, " as string)", " as text)");
	} else {
		gen_case(x, t, depth);
	}
	if (paren)
		put(x, ")");
}

/* ---- comparison of answers -------------------------------------------------------------- */

static unsigned failures;

static bool report(bool ok, int pair, const char *rn, const char *lite)
{
	if (!ok && ++failures <= 5)
		printf("# pair %d differs\n#   rn     %s\n#   sqlite %s\n#   (%s)\n", pair, rn,
		       lite, err.msg);
	return ok;
}

/* Do the answers of `text` have just these numbers?  at[k] has column k; RN_NO_ROW is NULL. */
static bool numbers_are(const char *text, const uint32_t *const *at, int cols, uint64_t rows)
{
	sqlite3_stmt *st;
	bool ok = true;
	uint64_t i = 0;

	if (sqlite3_prepare_v2(db, text, -1, &st, NULL) != SQLITE_OK)
		die(text);
	for (; sqlite3_step(st) == SQLITE_ROW; i++)
		for (int k = 0; k < cols; k++) {
			bool null = sqlite3_column_type(st, k) == SQLITE_NULL;

			ok = ok && i < rows &&
			     at[k][i] == (null ? RN_NO_ROW : (uint32_t)sqlite3_column_int64(st, k));
		}
	sqlite3_finalize(st);
	return ok && i == rows;
}

static bool same_value(sqlite3_stmt *st, const struct rn_column *c, uint64_t i)
{
	size_t n;

	if (rn_column_is_null(c, i) || sqlite3_column_type(st, 0) == SQLITE_NULL)
		return rn_column_is_null(c, i) && sqlite3_column_type(st, 0) == SQLITE_NULL;
	switch (c->type) {
	case RN_STRING:
		n = c->off[i + 1] - c->off[i];
		return sqlite3_column_type(st, 0) == SQLITE_TEXT &&
		       (size_t)sqlite3_column_bytes(st, 0) == n &&
		       memcmp(sqlite3_column_text(st, 0), c->bytes + c->off[i], n) == 0;
	case RN_FLOAT64:
		return sqlite3_column_double(st, 0) == c->f64[i];
	default:
		return sqlite3_column_type(st, 0) == SQLITE_INTEGER &&
		       sqlite3_column_int64(st, 0) == (c->type == RN_BOOL ? c->b[i] : c->i64[i]);
	}
}

static bool column_is(const char *text, const struct rn_column *c)
{
	sqlite3_stmt *st;
	bool ok = true;
	uint64_t i = 0;

	if (sqlite3_prepare_v2(db, text, -1, &st, NULL) != SQLITE_OK)
		die(text);
	for (; sqlite3_step(st) == SQLITE_ROW; i++)
		ok = ok && i < c->rows && same_value(st, c, i);
	sqlite3_finalize(st);
	return ok && i == c->rows;
}

/* ---- queries ------------------------------------------------------------------------------- */

/* Key columns of both sides that may meet. */
struct keys {
	struct rn_column *l[2], *r[2];
	struct rn_key kl, kr;
	char on[64], names[16], rnames[16]; /* condition, columns of l, columns of r */
};

static void random_keys(const struct rn_rel *l, const struct rn_rel *r, const char *op,
			struct keys *k)
{
	size_t n = 1 + rnd(2);

	k->on[0] = k->names[0] = k->rnames[0] = '\0';
	for (size_t c = 0; c < n; c++) {
		size_t a = rnd(NCOLS), b = rnd(NCOLS), len = strlen(k->on);

		while (rn_key_types_meet(columns[a].type, "", columns[b].type, "", NULL))
			b = rnd(NCOLS);
		k->l[c] = l->cols[a];
		k->r[c] = r->cols[b];
		snprintf(k->on + len, sizeof k->on - len, "%sl.%s %s r.%s", c ? " and " : "",
			 columns[a].name, op, columns[b].name);
		strcat(strcat(k->names, c ? ", " : ""), columns[a].name);
		strcat(strcat(k->rnames, c ? ", r." : "r."), columns[b].name);
	}
	k->kl = (struct rn_key){ .n = n, .cols = k->l, .rows = l->rows };
	k->kr = (struct rn_key){ .n = n, .cols = k->r, .rows = r->rows };
}

static void join(const struct keys *k, enum rn_join_kind kind, struct rn_join_result *out)
{
	struct rn_hash_index *x = NULL;

	must(rn_hash_index_new(&ctx, &k->kr, &x, &err));
	must(rn_join(&ctx, &k->kl, &k->kr, x, kind, out, &err));
	rn_hash_index_free(x);
}

/* By enum rn_join_kind; the gap is the condition. */
static const char *const join_forms[] = {
	"select l.i, r.i from l join r on %s order by l.i, r.i",
	"select l.i, r.i from l left join r on %s order by l.i, r.i",
	"select l.i from l where exists (select 1 from r where %s) order by l.i",
	"select l.i from l where not exists (select 1 from r where %s) order by l.i",
	"select l.i, r.i from l full join r on %s order by l.i is null, l.i, r.i",
};

static bool check_join(int pair, const struct rn_rel *l, const struct rn_rel *r)
{
	enum rn_join_kind kind = (enum rn_join_kind)rnd(5);
	struct rn_join_result o;
	struct keys k;
	char text[256];
	bool ok;

	random_keys(l, r, "=", &k);
	join(&k, kind, &o);
	snprintf(text, sizeof text, join_forms[kind], k.on);
	ok = numbers_are(text, (const uint32_t *[]){ o.left->data, o.right ? o.right->data : NULL },
			 o.right ? 2 : 1, o.rows);
	rn_join_result_fini(&o);
	return report(ok, pair, "join", text);
}

/* First row, number of rows and sum of row numbers of each group. */
static bool check_group(int pair, const struct rn_rel *l, const struct rn_rel *r)
{
	struct rn_groups g;
	struct keys k;
	uint32_t *count, *sum;
	char text[256];
	bool ok;

	random_keys(l, r, "=", &k);
	must(rn_group(&ctx, &k.kl, &g, &err));
	count = calloc(2 * g.n + 1, sizeof *count);
	sum = count + g.n;
	for (uint64_t i = 0; i < g.n; i++) {
		const uint32_t *ptr = g.ptr->data, *rows = g.rows ? g.rows->data : NULL;

		count[i] = ptr[i + 1] - ptr[i];
		for (uint32_t j = ptr[i]; j < ptr[i + 1]; j++)
			sum[i] += rows ? rows[j] : j;
	}
	snprintf(text, sizeof text,
		 "select min(i), count(*), sum(i) from l group by %s order by min(i)", k.names);
	ok = numbers_are(text, (const uint32_t *[]){ g.first->data, count, sum }, 3, g.n);
	free(count);
	rn_groups_fini(&g);
	return report(ok, pair, "group", text);
}

/* Rows of l for each key of r, where NULL is a key like another. */
static bool check_group_keys(int pair, const struct rn_rel *l, const struct rn_rel *r)
{
	struct rn_groups g;
	struct keys k;
	uint32_t *count;
	char text[320];
	bool ok;

	random_keys(l, r, "is", &k);
	must(rn_group_keys(&ctx, &k.kl, &k.kr, &g, &err));
	count = calloc(g.n + 1, sizeof *count);
	for (uint64_t i = 0; i < g.n; i++)
		count[i] = ((uint32_t *)g.ptr->data)[i + 1] - ((uint32_t *)g.ptr->data)[i];
	/* Beside min(i), SQLite takes the other columns from the row that has it. */
	snprintf(text, sizeof text,
		 "select min(r.i), (select count(*) from l where %s) from r group by %s "
		 "order by min(r.i)",
		 k.on, k.rnames);
	ok = numbers_are(text, (const uint32_t *[]){ g.first->data, count }, 2, g.n);
	report(ok, pair, "group by given keys", text);
	snprintf(text, sizeof text,
		 "select count(*) from l where not exists (select 1 from r where %s)", k.on);
	count[0] = (uint32_t)g.dropped;
	ok = numbers_are(text, (const uint32_t *[]){ count }, 1, 1) && ok;
	free(count);
	rn_groups_fini(&g);
	return report(ok, pair, "group by given keys", text);
}

static bool check_filter(int pair, const struct rn_rel *l)
{
	struct text x = { RN_STR_INIT, RN_STR_INIT, "l" };
	struct rn_str text = RN_STR_INIT;
	struct rn_cexpr *c = NULL;
	struct rn_buf *map = NULL;
	uint64_t n = 0;
	bool ok;

	gen(&x, RN_BOOL, 4, ANY);
	rn_str_addf(&text, "select i from l where %s order by i", x.lite.s);
	ok = !rn_cexpr_parse(x.rn.s, &l->schema, &c, &err) &&
	     !rn_cexpr_filter(c, l, &map, &n, &err) &&
	     numbers_are(text.s, (const uint32_t *[]){ map->data }, 1, n);
	report(ok, pair, x.rn.s, text.s);
	rn_buf_unref(map);
	rn_cexpr_free(c);
	rn_str_fini(&text);
	rn_str_fini(&x.rn);
	rn_str_fini(&x.lite);
	return ok;
}

static bool check_expression(int pair, const struct rn_rel *l)
{
	struct text x = { RN_STR_INIT, RN_STR_INIT, "l" };
	struct rn_str text = RN_STR_INIT;
	struct rn_column *out = NULL;
	struct rn_cexpr *c = NULL;
	bool ok;

	gen(&x, (enum rn_type)rnd(RN_NTYPES), 4, ANY);
	rn_str_addf(&text, "select %s from l order by i", x.lite.s);
	ok = !rn_cexpr_parse(x.rn.s, &l->schema, &c, &err) && !rn_cexpr_eval(c, l, &out, &err) &&
	     column_is(text.s, out);
	report(ok, pair, x.rn.s, text.s);
	rn_column_unref(out);
	rn_cexpr_free(c);
	rn_str_fini(&text);
	rn_str_fini(&x.rn);
	rn_str_fini(&x.lite);
	return ok;
}

/* Pairs of rows as a relation, l's columns before r's. */
static struct rn_rel *joined(const struct rn_rel *l, const struct rn_rel *r, const uint32_t *left,
			     const uint32_t *right, uint64_t n)
{
	struct rn_rel *gl = NULL, *gr = NULL, *out = NULL;

	must(rn_rel_gather(l, left, n, &gl, &err));
	must(rn_rel_gather(r, right, n, &gr, &err));
	must(rn_rel_new(NULL, n, &out, &err));
	for (int side = 0; side < 2; side++)
		for (int c = 0; c < NCOLS; c++)
			must(rn_rel_add_col(out, columns[c].name, side ? "r" : "l",
					    rn_column_ref((side ? gr : gl)->cols[c]), &err));
	rn_rel_unref(gl);
	rn_rel_unref(gr);
	return out;
}

struct condition {
	const struct rn_rel *l, *r;
	const char *text;
};

static int keep_pairs(void *arg, const uint32_t *left, const uint32_t *right, size_t n,
		      uint8_t *keep, struct rn_err *e)
{
	const struct condition *c = arg;
	struct rn_rel *j = joined(c->l, c->r, left, right, n);
	struct rn_cexpr *x = NULL;
	struct rn_buf *map = NULL;
	uint64_t kept = 0;
	int rc = rn_cexpr_parse(c->text, &j->schema, &x, e);

	memset(keep, 0, n);
	if (!rc)
		rc = rn_cexpr_filter(x, j, &map, &kept, e);
	for (uint64_t i = 0; i < kept; i++)
		keep[((uint32_t *)map->data)[i]] = 1;
	rn_buf_unref(map);
	rn_cexpr_free(x);
	rn_rel_unref(j);
	return rc;
}

/* A join of any kind with a condition beside its keys, as in SQL's ON. */
static bool check_residual(int pair, const struct rn_rel *l, const struct rn_rel *r)
{
	enum rn_join_kind kind = (enum rn_join_kind)rnd(5);
	struct text x = { RN_STR_INIT, RN_STR_INIT, "lr" };
	struct rn_str on = RN_STR_INIT, text = RN_STR_INIT;
	struct condition c = { .l = l, .r = r };
	struct rn_pair_test test = { keep_pairs, &c };
	struct rn_join_result o = { 0 };
	struct rn_hash_index *h = NULL;
	struct keys k;
	bool ok;

	random_keys(l, r, "=", &k);
	gen(&x, RN_BOOL, 3, ANY);
	c.text = x.rn.s;
	must(rn_hash_index_new(&ctx, &k.kr, &h, &err));
	ok = !rn_join_if(&ctx, &k.kl, &k.kr, h, kind, &test, &o, &err);
	rn_hash_index_free(h);
	rn_str_addf(&on, "%s and (%s)", k.on, x.lite.s);
	rn_str_addf(&text, join_forms[kind], on.s);
	ok = ok && numbers_are(text.s,
			       (const uint32_t *[]){ o.left->data, o.right ? o.right->data : NULL },
			       o.right ? 2 : 1, o.rows);
	report(ok, pair, x.rn.s, text.s);
	rn_join_result_fini(&o);
	rn_str_fini(&on);
	rn_str_fini(&text);
	rn_str_fini(&x.rn);
	rn_str_fini(&x.lite);
	return ok;
}

/* The latest row before, by a subquery per row. */
static bool check_asof(int pair, const struct rn_rel *l, const struct rn_rel *r)
{
	static const int times[] = { A, B, K, F, G, T };
	bool inner = rnd(2), or_equal = rnd(2);
	int lt = times[rnd(6)], rt = lt == T ? T : times[rnd(5)];
	struct rn_join_result o = { 0 };
	struct rn_hash_index *h = NULL;
	struct keys k;
	char text[512];
	bool ok;

	random_keys(l, r, "=", &k);
	must(rn_hash_index_new(&ctx, &k.kr, &h, &err));
	must(rn_join_asof(&ctx, &k.kl, &k.kr, h, l->cols[lt], r->cols[rt], or_equal,
			  inner ? RN_JOIN_INNER : RN_JOIN_LEFT, &o, &err));
	rn_hash_index_free(h);
	snprintf(text, sizeof text,
		 "select * from (select l.i as a, (select r.i from r where %s and r.%s %s l.%s "
		 "order by r.%s desc, r.i desc limit 1) as b from l) %s order by a",
		 k.on, columns[rt].name, or_equal ? "<=" : "<", columns[lt].name, columns[rt].name,
		 inner ? "where b is not null" : "");
	ok = numbers_are(text, (const uint32_t *[]){ o.left->data, o.right->data }, 2, o.rows);
	rn_join_result_fini(&o);
	return report(ok, pair, "as-of join", text);
}

static bool check_order(int pair, const struct rn_rel *l)
{
	struct rn_order by[3];
	struct rn_buf *map = NULL;
	char text[128] = "select i from l order by ";
	size_t n = 1 + rnd(3);
	bool ok;

	for (size_t c = 0; c < n; c++) {
		int col = (int)rnd(NCOLS);

		by[c] = (struct rn_order){ l->cols[col], rnd(2) };
		strcat(strcat(text, columns[col].name), by[c].desc ? " desc, " : ", ");
	}
	strcat(text, "i");
	must(rn_order_rows(by, n, l->rows, &map, &err));
	ok = numbers_are(text, (const uint32_t *[]){ map->data }, 1, l->rows);
	rn_buf_unref(map);
	return report(ok, pair, "order", text);
}

/* Values of a group's column that are not NULL, as SQL; `order` may end it. */
static void add_values(struct rn_str *b, const char *what, const char *x, const char *same,
		       const char *order)
{
	rn_str_addf(b, "(select %s from l m where %s and m.%s is not null %s)", what, same, x, order);
}

/* A random aggregate as RN and as SQLite write it; *exact: their values are the same bits. */
static void gen_aggregate(struct text *x, const char *same, bool *exact)
{
	static const int numbers[] = { A, B, F }, any[] = { A, B, K, F, G, S, U, P, Q, T };
	static const char *const plain[] = { "count", "sum", "avg", "min", "max" };
	static const char *const qs[] = { "0", "0.25", "0.9", "1.0" };
	char c[2] = { columns[numbers[rnd(3)]].name[0] }, a[2] = { columns[any[rnd(10)]].name[0] };
	char t[2] = { columns[any[rnd(10)]].name[0] }, what[64], order[96];
	unsigned k = rnd(9);
	bool last = rnd(2);
	const char *q = qs[rnd(4)];

	*exact = k != 2 && k < 7;
	if (k < 3) {
		const char *f = plain[k == 0 ? 0 : k == 1 ? 1 : 2], *arg = k ? c : a;

		rn_str_addf(&x->rn, "%s(%s)", f, arg);
		rn_str_addf(&x->lite, "%s(%s)", f, arg);
	} else if (k == 3) {
		rn_str_addf(&x->rn, "%s(%s)", plain[3 + last], a);
		rn_str_addf(&x->lite, "%s(%s)", plain[3 + last], a);
	} else if (k == 4) {
		rn_str_addf(&x->rn, "count(distinct %s)", a);
		rn_str_addf(&x->lite, "count(distinct %s)", a);
	} else if (k == 5) {
		rn_str_addf(&x->rn, "%s(%s)", last ? "last" : "first", a);
		snprintf(what, sizeof what, "m.%s", a);
		add_values(&x->lite, what, a, same, last ? "order by i desc limit 1" : "order by i limit 1");
	} else if (k == 6) {
		rn_str_addf(&x->rn, "%s(%s by %s)", last ? "last" : "first", a, t);
		snprintf(what, sizeof what, "m.%s", a);
		snprintf(order, sizeof order, "and m.%s is not null order by m.%s %s, i %s limit 1", t, t,
			 last ? "desc" : "", last ? "desc" : "");
		add_values(&x->lite, what, a, same, order);
	} else if (k == 7) {
		rn_str_addf(&x->rn, "%s(%s)", last ? "var" : "stddev", c);
		rn_str_add(&x->lite, last ? "(" : "sqrt(");
		rn_str_addf(&x->lite, "max(0, (select (sum(1.0 * m.%s * m.%s) - count(*) * avg(m.%s) * "
			    "avg(m.%s)) / (count(*) - 1) from l m where %s and m.%s is not null)))",
			    c, c, c, c, same, c);
	} else {
		bool median = rnd(2);

		q = median ? "0.5" : q;
		rn_str_addf(&x->rn, median ? "median(%s)" : "quantile(%s, %s)", c, q);
		snprintf(what, sizeof what, "m.%s", c);
		/* (1 - d) times the value at the place below, d times the one above. */
		rn_str_addf(&x->lite, "(select sum(case r - lo when 0 then v * (1 - d) when 1 then v * d end) "
			    "from (select v, r, cast(%s * (n - 1) as integer) as lo, "
			    "%s * (n - 1) - cast(%s * (n - 1) as integer) as d from "
			    "(select 1.0 * m.%s as v, row_number() over (order by m.%s) - 1 as r, "
			    "count(*) over () as n from l m where %s and m.%s is not null)))",
			    q, q, q, c, c, same, c);
	}
}

/* As column_is, up to rounding. */
static bool column_is_about(const char *text, const struct rn_column *c)
{
	sqlite3_stmt *st;
	bool ok = true;
	uint64_t i = 0;

	if (sqlite3_prepare_v2(db, text, -1, &st, NULL) != SQLITE_OK)
		die(text);
	for (; sqlite3_step(st) == SQLITE_ROW; i++) {
		bool null = sqlite3_column_type(st, 0) == SQLITE_NULL;
		double x = sqlite3_column_double(st, 0);

		ok = ok && i < c->rows && null == rn_column_is_null(c, i) &&
		     (null || fabs(x - c->f64[i]) <= 1e-6 * (1 + fabs(x)));
	}
	sqlite3_finalize(st);
	return ok && i == c->rows;
}

static bool check_aggregate(int pair, const struct rn_rel *l)
{
	struct text x = { RN_STR_INIT, RN_STR_INIT, "l" };
	struct rn_str text = RN_STR_INIT;
	struct rn_column *cols[2], *out = NULL;
	struct rn_key key = { .n = rnd(3), .cols = cols, .rows = l->rows };
	char same[64] = "true", by[16] = "";
	struct rn_groups g;
	bool ok, exact;

	for (size_t k = 0; k < key.n; k++) {
		int col = (int)rnd(NCOLS);
		size_t at = strlen(same), to = strlen(by);

		cols[k] = l->cols[col];
		snprintf(same + at, sizeof same - at, " and m.%s is l.%s", columns[col].name,
			 columns[col].name);
		snprintf(by + to, sizeof by - to, "%s%s", k ? ", " : "", columns[col].name);
	}
	must(rn_group(&ctx, &key, &g, &err));
	gen_aggregate(&x, same, &exact);
	if (key.n)
		rn_str_addf(&text, "select %s from l group by %s order by min(l.i)", x.lite.s, by);
	else
		rn_str_addf(&text, "select %s%s", x.lite.s, strstr(x.lite.s, "from l m") ? "" : " from l");
	ok = !rn_aggregate(x.rn.s, l, &g, &out, &err) &&
	     (exact ? column_is(text.s, out) : column_is_about(text.s, out));
	report(ok, pair, x.rn.s, text.s);
	rn_column_unref(out);
	rn_groups_fini(&g);
	rn_str_fini(&text);
	rn_str_fini(&x.rn);
	rn_str_fini(&x.lite);
	return ok;
}

enum { KINDS = 9 };

static bool check_pair(int pair, int kind)
{
	/* Now and then more rows than a batch has. */
	bool large = rnd(20) == 0 && (kind == 1 || kind == 3 || kind == 4 || kind == 7);
	struct rn_rel *l = make_relation("l", rnd(large ? 3000 : 40));
	struct rn_rel *r = make_relation("r", rnd(40));
	bool ok;

	err.msg[0] = '\0';
	switch (kind) {
	case 0:
		ok = check_join(pair, l, r);
		break;
	case 1:
		ok = check_group(pair, l, r);
		break;
	case 2:
		ok = check_group_keys(pair, l, r);
		break;
	case 3:
		ok = check_filter(pair, l);
		break;
	case 4:
		ok = check_expression(pair, l);
		break;
	case 5:
		ok = check_residual(pair, l, r);
		break;
	case 6:
		ok = check_asof(pair, l, r);
		break;
	case 7:
		ok = check_order(pair, l);
		break;
	default:
		ok = check_aggregate(pair, l);
	}
	rn_rel_unref(l);
	rn_rel_unref(r);
	return ok;
}

int main(int argc, char **argv)
{
	static const char *const names[KINDS] = {
		"joins", "groups", "groups by given keys", "filters", "expressions",
		"joins with a condition", "as-of joins", "orders", "aggregates",
	};
	unsigned long long seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	int pairs = argc > 2 ? atoi(argv[2]) : 1350;
	int n[KINDS] = { 0 }, bad[KINDS] = { 0 };

	printf("# seed %llu, %d pairs, SQLite %s\n", seed, pairs, sqlite3_libversion());
	if (sqlite3_open(":memory:", &db) != SQLITE_OK)
		die("open");
	sql("pragma case_sensitive_like = on");
	for (int pair = 0; pair < pairs; pair++) {
		int kind = pair % KINDS;

		state = seed * 1000003 + (unsigned)pair;
		for (int i = 0; i < 4; i++)
			rnd(2);
		n[kind]++;
		bad[kind] += !check_pair(pair, kind);
	}
	sqlite3_close(db);
	for (int kind = 0; kind < KINDS; kind++)
		T_OK(!bad[kind], "%d %s are SQLite's", n[kind], names[kind]);
	return t_done();
}
