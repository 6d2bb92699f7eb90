/* SPDX-License-Identifier: Apache-2.0
 *
 * Query programs over four small tables, which are in a folder of their own.  What
 * compiles is printed as a program and compiled again: the same plan; and as a pipeline.
 * What does not compile says so in messages that begin with the program's name.
 *
 * A program may name files: one that names others than ours is not run.
 */
#include "../../lib/base/json.h"
#include "../../lib/lang/lang.h"
#include "../../lib/lang/parse.h"
#include "fuzz.h"

#include <stdio.h>
#include <unistd.h>

enum { MAX_INPUT = 1 << 16, INSTANCES = 300 };

static const char *const tables[][2] = {
	{ "N", "n,label\n1,x\n2,y\n3,x\n4,z\n" },
	{ "E", "a,b,w\n1,2,0.5\n1,3,1.5\n2,3,2\n3,3,4\n4,,1\n" },
	{ "Meta", "ts,rel,tt\nA,N,B\nB,N,A\nA,E,A\n" },
	{ "X", "id,f0,f1,y,split\n1,0.5,2,0,train\n2,1,3,1,val\n3,2,1,1,test\n" },
};
enum { TABLES = sizeof tables / sizeof *tables };

static char dir[64];
static char sources[TABLES][192];

static void remove_tables(void)
{
	char path[128];

	for (size_t i = 0; i < TABLES; i++) {
		snprintf(path, sizeof path, "%s/%s.csv", dir, tables[i][0]);
		unlink(path);
	}
	rmdir(dir);
}

static void write_tables(void)
{
	snprintf(dir, sizeof dir, "/tmp/fuzz_lang.XXXXXX");
	require(mkdtemp(dir));
	for (size_t i = 0; i < TABLES; i++) {
		char path[128];
		FILE *f;

		snprintf(path, sizeof path, "%s/%s.csv", dir, tables[i][0]);
		snprintf(sources[i], sizeof sources[i], "%s=%s", tables[i][0], path);
		f = fopen(path, "w");
		require(f && fputs(tables[i][1], f) >= 0 && !fclose(f));
	}
	atexit(remove_tables);
}

static bool is_ours(const struct rn_term *file)
{
	if (!file)
		return true;
	for (size_t i = 0; i < TABLES && file->kind == RN_T_STR; i++) {
		size_t n = strlen(tables[i][0]);

		if (!strncmp(file->str, tables[i][0], n) && !strcmp(file->str + n, ".csv"))
			return true;
	}
	return false;
}

/* Does it keep to our files? */
static bool is_harmless(const char *text, size_t n)
{
	struct rn_program *p = NULL;
	struct rn_diag d;
	struct rn_err e;
	bool ok = true;

	rn_diag_init(&d, "fuzz", text, n);
	require(!rn_parse_program(&d, &p, &e));
	for (uint32_t i = 0; i < p->nstmts; i++)
		ok = ok && (p->stmts[i].kind != RN_S_SOURCE || is_ours(p->stmts[i].value));
	rn_program_free(p);
	rn_diag_fini(&d);
	return ok;
}

static int compile(const char *text, size_t n, struct rn_plan **plan, struct rn_err *e)
{
	const char *list[TABLES];
	struct rn_ctx ctx = { .threads = 1, .seed = 1 };
	struct rn_lang_conf conf = { .ctx = &ctx, .file = "fuzz.relnn", .dir = dir, .source = list,
				     .nsource = TABLES, .max_instances = INSTANCES };
	struct rn_rel **carried = NULL;
	int rc;

	for (size_t i = 0; i < TABLES; i++)
		list[i] = sources[i];
	*plan = NULL;
	rc = rn_lang_compile(text, n, &conf, plan, &carried, e);
	for (uint32_t i = 0; !rc && i < (*plan)->nnodes; i++)
		rn_rel_unref(carried[i]);
	free(carried);
	return rc;
}

static char *spec_of(const struct rn_plan *p)
{
	struct rn_err e;
	json_t *j;
	char *text;

	require(!rn_plan_to_spec(p, &j, &e));
	text = json_dumps(j, 0);
	require(text);
	json_decref(j);
	return text;
}

/* Printed and compiled again it is the same plan. */
static void reread(const struct rn_plan *p)
{
	struct rn_str text = RN_STR_INIT;
	char *want = spec_of(p), *got;
	struct rn_plan *again;
	struct rn_err e = { 0 };

	require(!rn_lang_print(p, &text, &e));
	require(!compile(text.s, text.len, &again, &e));
	got = spec_of(again);
	require(!strcmp(want, got));
	rn_plan_free(again);
	rn_str_fini(&text);
	free(want);
	free(got);
}

static void to_shell(const struct rn_plan *p)
{
	struct rn_str text = RN_STR_INIT;
	struct rn_err e = { 0 };
	int rc = rn_lang_print_shell(p, &text, &e);

	require(rc == 0 || rc == RN_EUSAGE);
	rn_str_fini(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct rn_plan *p;
	struct rn_err e = { 0 };
	char *text;
	int rc;

	if (!*dir)
		write_tables();
	if (n > MAX_INPUT)
		return 0;
	text = text_of(data, n);
	if (is_harmless(text, n)) {
		rc = compile(text, n, &p, &e);
		require(rc == 0 || rc == RN_EUSAGE || rc == RN_EDATA || rc == RN_EIO);
		require(!rc || *e.msg);
		if (!rc) {
			reread(p);
			to_shell(p);
		}
		rn_plan_free(p);
	}
	free(text);
	return 0;
}
