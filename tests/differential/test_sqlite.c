/* SPDX-License-Identifier: Apache-2.0
 *
 * Queries of RN against SQLite, on random relations: test_sqlite [SEED [PAIRS]].
 * RN_LONG=1 runs 20,000 pairs of relations and queries.
 */
#include "diff.h"

#include "../unit/t.h"

struct rn_err err;
struct rn_ctx ctx = { .threads = 1 };
sqlite3 *db;

static unsigned long long state;

unsigned rnd(unsigned n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(state >> 33) % n;
}

void die(const char *what)
{
	printf("Bail out! %s: %s\n", what, sqlite3_errmsg(db));
	exit(1);
}

void must(int rc)
{
	if (rc) {
		printf("Bail out! %s\n", err.msg);
		exit(1);
	}
}

void sql(const char *text)
{
	if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
		die(text);
}

static const struct {
	const char *name;
	check *run;
	bool many; /* now and then with more rows than a batch has */
} kinds[] = {
	{ "chains of operators", check_chain, false },
	{ "joins", check_join, false },
	{ "groups", check_group, true },
	{ "groups by given keys", check_group_keys, false },
	{ "filters", check_filter, true },
	{ "chains of operators, again", check_chain, false },
	{ "expressions", check_expression, true },
	{ "joins with a condition", check_residual, false },
	{ "as-of joins", check_asof, false },
	{ "orders", check_order, true },
	{ "aggregates", check_aggregate, false },
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static bool check_pair(int pair, int kind)
{
	bool large = kinds[kind].many && rnd(20) == 0, ok;
	struct rn_rel *l = make_relation("l", rnd(large ? 3000 : 40));
	struct rn_rel *r = make_relation("r", rnd(40));

	err.msg[0] = '\0';
	ok = kinds[kind].run(pair, l, r);
	rn_rel_unref(l);
	rn_rel_unref(r);
	return ok;
}

int main(int argc, char **argv)
{
	unsigned long long seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	const char *more = getenv("RN_LONG");
	int pairs = argc > 2 ? atoi(argv[2]) : more && !strcmp(more, "1") ? 20000 : 1650;
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
		T_OK(!bad[kind], "%d %s are SQLite's", n[kind], kinds[kind].name);
	return t_done();
}
