/* SPDX-License-Identifier: Apache-2.0
 *
 * The front end of query programs: terms printed and read again, programs that are made
 * to be large, deep or endless (each is compiled or refused by the limit that it meets),
 * and the failure of every allocation.
 */
#include "alloc.h"
#include "t.h"

#include "../../lib/lang/lang.h"
#include "../../lib/lang/parse.h"

#include <unistd.h>

static struct rn_err err;
static char dir[64];

/* ---- programs --------------------------------------------------------------------------- */

static void write_file(const char *name, const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	f = fopen(path, "w");
	if (!f || fputs(text, f) < 0 || fclose(f)) {
		perror(path);
		exit(1);
	}
}

static void remove_files(void)
{
	static const char *const names[] = { "N.csv", "E.csv", "Meta.csv" };
	char path[128];

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s/%s", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
}

static int compile_text(const char *text, struct rn_plan **plan)
{
	char n[128], e[128], meta[128];
	const char *sources[] = { n, e, meta };
	struct rn_ctx ctx = { .threads = 1, .seed = 1 };
	struct rn_lang_conf conf = { .ctx = &ctx, .file = "p.relnn", .dir = dir, .source = sources,
				     .nsource = 3 };
	struct rn_rel **carried = NULL;
	int rc;

	snprintf(n, sizeof n, "N=%s/N.csv", dir);
	snprintf(e, sizeof e, "E=%s/E.csv", dir);
	snprintf(meta, sizeof meta, "Meta=%s/Meta.csv", dir);
	*plan = NULL;
	err = (struct rn_err){ 0 };
	rc = rn_lang_compile(text, strlen(text), &conf, plan, &carried, &err);
	for (uint32_t i = 0; !rc && i < (*plan)->nnodes; i++)
		rn_rel_unref(carried[i]);
	free(carried);
	return rc;
}

/* ---- terms ------------------------------------------------------------------------------ */

static void term_is(const char *text, const char *want)
{
	struct rn_str program = RN_STR_INIT, out = RN_STR_INIT;
	struct rn_program *p = NULL;
	struct rn_diag d;
	int rc;

	rn_str_addf(&program, "k = %s .", text);
	rn_diag_init(&d, "p.relnn", program.s, program.len);
	rc = rn_parse_program(&d, &p, &err);
	if (!rc && p->nstmts == 1)
		rn_term_print(p->stmts[0].value, &out);
	T_OK(!rc && !d.errors && out.s && !strcmp(out.s, want), "%s is %s", text, out.s ? out.s : d.out.s);
	rn_program_free(p);
	rn_diag_fini(&d);
	rn_str_fini(&program);
	rn_str_fini(&out);
}

static void test_terms(void)
{
	static const char *const as_they_are[] = {
		"1", "0.5", "1.0", "\"a\"", "True", "None", "x", "K<1>", "K<i + 1, \"a\">(z)",
		"a + b * c", "(a + b) * c", "a - (b - c)", "a - b - c", "-a ** b", "(-a) ** b", "a ** -b",
		"a ** b ** c", "(a ** b) ** c", "a / b / c", "a @ b", "a == b", "(a == b) * 1.0",
		"f()(x)", "f(a, b=2)(x)", "softmax(a; s, t)", "Concat(*z)", "count(*)", "[a, E(8)(b)]",
		"{\"a\": 1, \"b\": [2, 3]}", "`a b`", "--a", "a * -b", "1e300", "a <= b",
	};

	for (size_t i = 0; i < sizeof as_they_are / sizeof *as_they_are; i++)
		term_is(as_they_are[i], as_they_are[i]);
	term_is("'a\"b'", "\"a\\\"b\"");
	term_is("true", "True");
	term_is("((((a))))", "a");
	term_is("a = b", "a == b");
	term_is("a <> b", "a != b");
	term_is("(a ** b)", "a ** b");
	term_is(".5", "0.5");
	term_is("`a`", "a");
	term_is("`True`", "`True`");
	term_is("f(a, b,)", "f(a, b)");
}

/* ---- large, deep, endless --------------------------------------------------------------- */

static void repeat(struct rn_str *s, const char *text, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		rn_str_add(s, text);
}

/* Compiled where want is NULL, else refused with a message that has this in it. */
static void outcome(const char *what, struct rn_str *text, const char *want)
{
	struct rn_plan *p;
	int rc = compile_text(text->s, &p);

	T_OK(want ? rc == RN_EUSAGE && strstr(err.msg, want) : !rc, "%s: %.*s", what,
	     rc ? (int)strcspn(err.msg, "\n") : 8, rc ? err.msg : "compiled");
	rn_plan_free(p);
	rn_str_clear(text);
}

static void test_nesting(void)
{
	struct rn_str s = RN_STR_INIT;

	rn_str_add(&s, "?pred P(n; ");
	repeat(&s, "(", 20000);
	outcome("parentheses", &s, "nested more than 200 deep");
	rn_str_add(&s, "?pred P(n; ");
	repeat(&s, "-", 30000);
	outcome("minus", &s, "nested more than 200 deep");
	rn_str_add(&s, "?pred P(n; [n]");
	repeat(&s, "+1", 30000);
	rn_str_add(&s, ") :- N(n, _) .");
	outcome("a long sum", &s, "more than 1000 operators in one expression");
	rn_str_add(&s, "?pred P(n; f");
	repeat(&s, "()", 30000);
	rn_str_add(&s, ") :- N(n, _) .");
	outcome("calls of calls", &s, "more than 1000 operators in one expression");
	rn_str_add(&s, "?pred P(n) :- N(n, _), ");
	repeat(&s, "a<", 30000);
	rn_str_add(&s, "a .");
	outcome("a<a<a", &s, "more than 1000 operators in one expression");
	rn_str_add(&s, "def F(A): B(n) :- A(n) . enddef ?pred P(n) :- ");
	repeat(&s, "F(", 15000);
	outcome("calls of functions", &s, "nested more than 200 deep");
	rn_str_add(&s, "def F(A): B(n) :- A(n) . enddef ?pred P(n) :- ");
	repeat(&s, "F(", 150);
	rn_str_add(&s, "N");
	repeat(&s, ")", 150);
	rn_str_add(&s, "(n) .");
	outcome("150 calls of functions", &s, NULL);
	rn_str_fini(&s);
}

static void test_growth(void)
{
	struct rn_str s = RN_STR_INIT;

	rn_str_add(&s, "T0 = x + x .\n");
	for (int i = 1; i < 60; i++)
		rn_str_addf(&s, "T%d = T%d(T%d(x)) .\n", i, i - 1, i - 1);
	rn_str_add(&s, "?pred P(n; T59([n])) :- N(n, _) .");
	outcome("transforms that double", &s, "expand to more than 2000000 terms");
	rn_str_add(&s, "F = x + x . ?pred P(n; ");
	repeat(&s, "F(", 100);
	rn_str_add(&s, "[n]");
	repeat(&s, ")", 100);
	rn_str_add(&s, ") :- N(n, _) .");
	outcome("a transform of itself", &s, "expand to more than 2000000 terms");
	rn_str_add(&s, "k0 = 1 .\n");
	for (int i = 1; i < 100; i++)
		rn_str_addf(&s, "k%d = k%d + k%d .\n", i, i - 1, i - 1);
	rn_str_add(&s, "?pred P(n; [n] * k99) :- N(n, _) .");
	outcome("constants that double", &s, NULL);
	rn_str_add(&s, "F<0, i> = i . F<d, i> = F<d - 1, 2 * i> + F<d - 1, 2 * i + 1> . "
		       "?pred P(n; [n] * F<99, 1>) :- N(n, _) .");
	outcome("other constants that double", &s, "more than 4000000 steps to expand");
	rn_str_add(&s, "T0 = x .\n");
	for (int i = 1; i < 100; i++)
		rn_str_addf(&s, "T%d = T%d(T%d(x)) .\n", i, i - 1, i - 1);
	rn_str_add(&s, "?pred P(n; T99([n])) :- N(n, _) .");
	outcome("transforms of transforms", &s, "more than 4000000 steps to expand");
	rn_str_add(&s, "def F(A, B): D(n) :- A(n), B(n) . C(n) :- F(D, D)(n) . enddef ?pred P(n) :- F(N, N)(n) .");
	outcome("names of calls that double", &s, "more than 200 templates rest on each other");
	rn_str_add(&s, "H<0>(n; [n]) :- N(n, _) . H<1>(n; [n]) :- N(n, _) . "
		       "H<i>(n; y + z) :- H<i-1>(n; y), H<i-2>(n; z) . ?pred P(n; z) :- H<150>(n; z) .");
	outcome("Fibonacci's recursion", &s, NULL);
	rn_str_fini(&s);
}

static void test_many(void)
{
	struct rn_str s = RN_STR_INIT;

	rn_str_add(&s, "W<i>(n; [n] * i) :- N(n, _) . "
		       "?pred P(n; sum(z)) :- Union(Set(W<i>(n; z) | 1 <= i, i <= 10000)) .");
	outcome("10,000 instances", &s, NULL);
	rn_str_add(&s, "W<i>(n; [n] * i) :- N(n, _) . "
		       "?pred P(n; sum(z)) :- Union(Set(W<i>(n; z) | 1 <= i, i <= 99999)) .");
	outcome("99,999 instances", &s, "expands to more than 100000 instances");
	rn_str_add(&s, "W<i>(n; [n] * i) :- N(n, _) . "
		       "?pred P(n; Concat(*z)) :- Join(Set(W<i>(n; z) | 1 <= i, i <= 501)) .");
	outcome("a join of 501", &s, "joins at most 500 relations");
	rn_str_add(&s, "H0(n; [n]) :- N(n, _) .\n");
	for (int i = 1; i < 3000; i++)
		rn_str_addf(&s, "H%d(n; z) :- H%d(n; z) .\n", i, i - 1);
	rn_str_add(&s, "?pred P(n; z) :- H900(n; z) .");
	outcome("a chain of 900 rules", &s, NULL);
	rn_str_add(&s, "H0(n; [n]) :- N(n, _) .\n");
	for (int i = 1; i < 3000; i++)
		rn_str_addf(&s, "H%d(n; z) :- H%d(n; z) .\n", i, i - 1);
	rn_str_add(&s, "?pred P(n; z) :- H2999(n; z) .");
	outcome("a chain of 3,000 rules", &s, "more than 1000 rules rest on each other");
	rn_str_add(&s, "?pred P(");
	repeat(&s, "n, ", 20000);
	rn_str_add(&s, "n) :- N(n, _) .");
	outcome("20,001 columns", &s, "at most 4096 columns");
	rn_str_add(&s, "?pred P(a0) :- N(a0)");
	for (int i = 1; i < 3000; i++)
		rn_str_addf(&s, ", N(a%d)", i);
	rn_str_add(&s, " .");
	outcome("3,000 atoms", &s, "joins at most 500 relations");
	for (int i = 0; i < 2000; i++)
		rn_str_addf(&s, "?pred P%d(n) :- Q(n) .\n", i);
	outcome("2,000 errors", &s, "(the first 20 errors)");
	rn_str_fini(&s);
}

/* ---- memory ------------------------------------------------------------------------------- */

static const char *const programs[] = {
	"h = 2 . K<i> = Linear(1, h)(ReLU()(x)) . X(n; [n, m]) :- N(n, _), m == n .",
	"h = 2 . d = h * 2 . K<i> = Linear(1, d / h) . W<i>(n; K<i>([n])) :- N(n, \"x\") .\n"
	"def F<k>(In): A(n; z * k) :- In(n; z) . enddef\n"
	"B(n; Concat(*z)) :- Join(Set(W<i>(n; z) | 1 <= i, i <= h)) .\n"
	"U(r, n; sum(z)) :- Union(Set(R<r>(n; z) | Meta(_, r, _))) .\n"
	"R<r>(a; [b]) :- r(a, b), b > 0 .\n"
	"?stage S = sort <by=\"n\"> (N) .\n"
	"C(n, c: count(*); mean(z)) :- S(n, _), F<2>(B)(n; z), ?U(_, n; y), !E(n, n, _), n < 4 .\n"
	"?fit <epochs=3, lr=0.1> L(; MSELoss()(rowsum(z), [n])) :- C(n, _; z) .\n"
	"?eval <metric=\"mae\", target=\"n\"> V(n; rowsum(z)) :- C(n, _; z) .\n"
	"?pred P(n, [rowsum(z)]) :- C(n, _; z) .",
	"h = 8 . T(i, l; [HashBucket(2 * h, dim=2, name=\"T\")(l), i, index(i, h + 1)]) :- N(i, l) .\n"
	"?fit <epochs=3> L(; MSELoss()(rowsum(z), [u])) :- T(i, l; z), D(i, u) .\n"
	"D(i, u: hash(i, l, h)) :- N(i, l) .",
	"?pred P(x) :- Nn(x) . ?pred Q(x; z) :- N(x, _; z) . H<a>(x) :- H<a + 1>(x) . ?pred R(x) :- H<1>(x) .",
};

static void test_failing(void)
{
	for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
		bool clean = true, told = true, failed;
		struct rn_plan *p;
		int want = compile_text(programs[i], &p), rc;
		struct rn_str text = RN_STR_INIT;
		long k;

		rn_plan_free(p);
		T_OK(want == (i == 1 || i == 2 ? 0 : RN_EUSAGE), "program %zu: %.*s", i, want ? (int)strcspn(err.msg, "\n") : 8,
		     want ? err.msg : "compiles");
		for (k = 1, rc = -1; k < 200000; k++) {
			long before = alloc_live();

			alloc_fail((uint64_t)k, false);
			rc = compile_text(programs[i], &p);
			if (!rc)
				rc = rn_lang_print(p, &text, &err);
			if (!rc)
				rc = rn_lang_print_shell(p, &text, &err);
			failed = alloc_stop();
			rn_plan_free(p);
			rn_str_fini(&text);
			clean = clean && alloc_live() == before;
			told = told && (rc == 0 || rc == want || rc == RN_ENOMEM);
			if (!failed)
				break;
		}
		T_OK(clean, "program %zu: no leak where the k-th allocation fails", i);
		T_OK(told && k > 10 && k < 200000, "program %zu: %ld allocations, each told", i, k);
	}
}

int main(void)
{
	snprintf(dir, sizeof dir, "/tmp/test_lang.XXXXXX");
	if (!mkdtemp(dir))
		return 1;
	write_file("N.csv", "n,label\n1,x\n2,y\n3,x\n4,z\n");
	write_file("E.csv", "a,b,w\n1,2,0.5\n1,3,1.5\n2,3,2\n");
	write_file("Meta.csv", "ts,rel,tt\nA,E,B\nB,E,A\n");
	test_terms();
	test_nesting();
	test_growth();
	test_many();
	test_failing();
	remove_files();
	return t_done();
}
