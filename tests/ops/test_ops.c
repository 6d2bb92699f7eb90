/* SPDX-License-Identifier: Apache-2.0
 *
 * Every operator, every primitive, every property (ops.h).
 *
 *   test_ops                    fixed seeds (RN_LONG=1: also 50 random trials of each case)
 *   test_ops --long SEED COUNT  COUNT random trials of each case, from SEED
 */
#include "ops.h"

#include "../unit/t.h"

#include <unistd.h>

struct rn_ctx quiet = { .threads = 1, .seed = 1 };
struct rn_backend *backends[3];
const char *tmp_dir;

static bool said(bool ok, const char *fmt, const char *a, const char *b, const char *c)
{
	char name[300];

	snprintf(name, sizeof name, fmt, a, b, c);
	T_OK(ok, "%s", name);
	if (!ok)
		printf("# %s\n", why);
	return ok;
}

/* ---- operators --------------------------------------------------------------------------- */

struct property {
	const char *name;
	bool (*check)(struct trial *t);
};

static const struct property small[] = {
	{ "inferred schema = produced schema", check_schema },
	{ "naive reference", check_reference },
	{ "blocks of 1, 7 and 64 rows = all at once", check_blocks },
	{ "saved and loaded parameters", check_saved },
	{ "gradients by differences", check_gradients },
	{ "the same after the passes", check_passes },
};
static const struct property large[] = {
	{ "1 = 2 = 4 threads", check_threads },
	{ "blocks, many rows", check_blocks },
	{ "1 = 2 = 4 threads, training", check_train_threads },
};

/* One line per property: all seeds hold. */
static void walk(const struct op_case *c, const struct property *p, size_t n, const uint64_t *rows,
		 size_t nrows, uint64_t seed)
{
	bool ok[8];

	memset(ok, true, sizeof ok);
	for (size_t k = 0; k < nrows; k++) {
		struct trial t;

		trial_open(&t, c, seed + k, rows[k]);
		for (size_t i = 0; i < n; i++)
			if (ok[i] && !p[i].check(&t)) {
				ok[i] = false;
				printf("# seed %llu, %llu rows: %s\n",
				       (unsigned long long)(seed + k), (unsigned long long)rows[k],
				       why);
			}
		trial_close(&t);
	}
	for (size_t i = 0; i < n; i++)
		T_OK(ok[i], "%s (%s): %s", c->op, c->name, p[i].name);
}

static void test_operator(const struct rn_op *op)
{
	static const uint64_t rows[] = { 0, 1, 2, 3, 5, 8, 13, 20, 40, 70, 90 }, many[] = { 3000 };
	size_t n = 0;

	for (size_t i = 0; i < op_ncases; i++) {
		const struct op_case *c = &op_cases[i];
		struct trial t;

		if (strcmp(c->op, op->name))
			continue;
		n++;
		walk(c, small, sizeof small / sizeof *small, rows, sizeof rows / sizeof *rows, 1);
		if (strcmp(op->name, "join")) /* whose output would be millions of rows */
			walk(c, large, sizeof large / sizeof *large, many, 1, 1);
		trial_open(&t, c, 1, 5);
		said(check_alloc(&t), "%s (%s): %s", op->name, c->name, "every allocation fails");
		trial_close(&t);
	}
	if (op->flags & RN_OP_SOURCE) {
		said(check_scan(1, 0) && check_scan(2, 1) && check_scan(3, 70), "%s: %s%s",
		     op->name, "what is written is read", "");
		return;
	}
	if (op->flags & RN_OP_LATE) /* no row of it is made by the operator */
		return;
	T_OK(n > 0, "%s has cases in tests/ops/cases.c", op->name);
}

/* ---- primitives -------------------------------------------------------------------------- */

static void test_primitives(void)
{
	for (unsigned op = 0; op < RN_NPRIM; op++) {
		const char *none = NULL;
		bool ok = true;

		for (uint64_t seed = 1; seed <= 4 && ok && !none; seed++)
			ok = check_primitive((enum rn_prim)op, seed, &none);
		said(ok,
		     none ? "primitive %s has no derivative: %s%s"
			  : "primitive %s: gradients by differences%s%s",
		     rn_prim_name((enum rn_prim)op), none ? none : "", "");
	}
	for (unsigned fn = RN_EW_DROPMASK; fn < RN_NEW; fn++) {
		bool ok = true;

		for (uint64_t seed = 1; seed <= 3 && ok; seed++)
			ok = check_scalar_function((enum rn_ew)fn, seed);
		said(ok, "scalar function %s: gradients by differences%s%s", rn_ew_info[fn].name,
		     "", "");
	}
}

static void long_run(uint64_t seed, uint64_t count)
{
	for (uint64_t k = 0; k < count; k++)
		for (size_t i = 0; i < op_ncases; i++) {
			uint64_t s = seed + k * op_ncases + i, rows = s % 90;

			walk(&op_cases[i], small, sizeof small / sizeof *small, &rows, 1, s);
		}
}

int main(int argc, char **argv)
{
	/* In memory where that can be: what is published is synced. */
	char dir[] = "/dev/shm/rn-ops-XXXXXX", disk[] = "/tmp/rn-ops-XXXXXX";
	struct rn_err e;

	tmp_dir = access("/dev/shm", W_OK) ? mkdtemp(disk) : mkdtemp(dir);
	if (!tmp_dir) {
		perror("mkdtemp");
		return 1;
	}
	for (unsigned i = 0; i < 3; i++)
		must(rn_cpu_backend(1u << i, &backends[i], &e), &e, "a backend");
	scenario_files(true);
	if (alloc_live() < 0)
		alloc_runs = 1500; /* a sanitizer is slow */
	if (argc == 4 && !strcmp(argv[1], "--long")) {
		long_run(strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10));
	} else {
		for (size_t i = 0; i < rn_op_count; i++)
			test_operator(rn_op_table[i]);
		test_primitives();
		if (getenv("RN_LONG"))
			long_run(1000, 50);
		for (size_t i = 0; i < nscenarios; i++) {
			said(scenarios[i].run(), "%s: every allocation fails%s%s",
			     scenarios[i].name, "", "");
			printf("# %llu allocations\n", (unsigned long long)alloc_count);
		}
	}
	for (unsigned i = 0; i < 3; i++)
		backends[i]->close(backends[i]);
	scenario_files(false);
	if (rmdir(tmp_dir))
		T_OK(0, "%s is empty", tmp_dir);
	return t_done();
}
