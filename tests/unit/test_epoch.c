/* SPDX-License-Identifier: Apache-2.0
 *
 * An epoch allocates nothing: from the second on no thread of a fit in the fused placement calls
 * the allocator, neither for its steps nor for validation.
 */
#define ALLOC_ANY_THREAD
#define ALLOC_OWN
#include "alloc.h"
#include "t.h"

#include "../../lib/base/str.h"
#include "../../lib/lang/lang.h"
#include "../../lib/train/train.h"

#include <unistd.h>

enum { NODES = 600, EDGES = 5000, EPOCHS = 6 };

static struct rn_err err;
static char dir[64];

static uint32_t draw(uint32_t n)
{
	static uint32_t state = 99;

	state = state * 1664525u + 1013904223u;
	return (state >> 8) % n;
}

static FILE *create(const char *name, const char *head)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	f = fopen(path, "w");
	fprintf(f, "%s\n", head);
	return f;
}

static void write_data(void)
{
	static const char *const splits[] = { "train", "train", "val", "test" };
	static const char *const nodes[] = { "author.csv", "paper.csv" };

	for (unsigned k = 0; k < 2; k++) {
		FILE *f = create(nodes[k], "id,f0,f1,f2,f3,label,split");

		for (int i = 0; i < NODES; i++)
			fprintf(f, "%d,%d,%d,%d,%d,%d,%s\n", i, (int)draw(5), (int)draw(7),
				(int)draw(3), (int)draw(9), i % 3, splits[draw(4)]);
		fclose(f);
	}
	for (unsigned k = 0; k < 2; k++) {
		FILE *f = create(k ? "cites.csv" : "writes.csv", "s,t");

		for (int i = 0; i < EDGES; i++)
			fprintf(f, "%d,%d\n", (int)draw(NODES), (int)draw(NODES));
		fclose(f);
	}
}

#define HEAD                                                                                      \
	"?source Author = \"author.csv\" <key=\"id\", emb=\"f*\"> .\n"                            \
	"?source Paper = \"paper.csv\" <key=\"id\", emb=\"f*\"> .\n"                              \
	"?source Writes = \"writes.csv\" .\n?source Cites = \"cites.csv\" .\n"
#define RUNS                                                                                      \
	"?fit <epochs=6, lr=0.01> Loss(; CrossEntropyLoss()(z, [y])) :- Out(v; z), "              \
	"Author(v, y, \"train\") .\n"                                                             \
	"?val <metric=\"accuracy\", target=\"y\"> Val(v, y; z) :- Out(v; z), Author(v, y, \"val\") .\n"

static const char gcn[] = HEAD
	"Degree(t, d: count(*)) :- Cites(s, t) .\n"
	"A(s, t; 1 / sqrt([d])) :- Cites(s, t), Degree(t, d) .\n"
	"H(t; sum(a * h)) :- L(s; h), A(s, t; a) .\n"
	"L(v; Linear(4, 300)(z)) :- Author(v; z) .\n"
	"L2(v; Linear(300, 3)(Dropout(0.5)(ReLU(z)))) :- H(v; z) .\n"
	"Out(t; sum(a * h)) :- L2(s; h), A(s, t; a) .\n" RUNS;

/* Two types, two relations each way, two heads: scores, softmax by target, gated. */
static const char hgt[] = HEAD
	"d = 16 .\nh = 2 .\n"
	"AP(a, p) :- Writes(a, p) .\nPA(p, a) :- Writes(a, p) .\nPP(p, q) :- Cites(p, q) .\n"
	"H<'A', 0>(v; ReLU()(Linear(4, d)(z))) :- Author(v; z) .\n"
	"H<'P', 0>(v; ReLU()(Linear(4, d)(z))) :- Paper(v; z) .\n"
	"Query<l, tt, i>(t; Linear(d, d / h)(z)) :- H<tt, l-1>(t; z) .\n"
	"Key<l, ts, r, i>(s; Linear(d, d / h)(z) * Tensor(1, 1, 1.0)) :- H<ts, l-1>(s; z) .\n"
	"Value<l, ts, r, i>(s; Linear(d, d / h)(z)) :- H<ts, l-1>(s; z) .\n"
	"S<l, ts, r, tt, i>('r', s, t; dot(q, k)) :- r(s, t), Key<l, ts, r, i>(s; k), "
	"Query<l, tt, i>(t; q) .\n"
	"M<l, ts, r, tt, i>('r', s, t; v) :- r(s, t), Value<l, ts, r, i>(s; v) .\n"
	"Scores<l, 'P', i>(r, s, t; a) :- S<l, 'A', AP, 'P', i>(r, s, t; a) | S<l, 'P', PP, 'P', i>(r, s, t; a) .\n"
	"Msgs<l, 'P', i>(r, s, t; a) :- M<l, 'A', AP, 'P', i>(r, s, t; a) | M<l, 'P', PP, 'P', i>(r, s, t; a) .\n"
	"Scores<l, 'A', i>(r, s, t; a) :- S<l, 'P', PA, 'A', i>(r, s, t; a) .\n"
	"Msgs<l, 'A', i>(r, s, t; a) :- M<l, 'P', PA, 'A', i>(r, s, t; a) .\n"
	"Head<l, tt, i>(t; sum(softmax(a; t) * m)) :- Scores<l, tt, i>(r, s, t; a), "
	"Msgs<l, tt, i>(r, s, t; m) .\n"
	"Agg<l, tt>(t; Concat(x, y)) :- Head<l, tt, 1>(t; x), Head<l, tt, 2>(t; y) .\n"
	"H<tt, l>(t; sigmoid(Tensor(1, 1, 1.0)) * Dropout(0.2)(Linear(d, d)(GELU()(m))) + z) :- "
	"H<tt, l-1>(t; z), ?Agg<l, tt>(t; m) .\n"
	"Out(v; Linear(d, 3)(z)) :- H<'A', 2>(v; z) .\n" RUNS;

static uint64_t calls, epochs;

static void count(void *arg, const struct rn_progress *p)
{
	(void)arg;
	if (p->epoch > 1)
		calls += alloc_calls();
	epochs = p->epoch;
	alloc_fail(0, false);
}

static void test(const char *name, const char *text, unsigned threads)
{
	struct rn_ctx ctx = { .threads = threads, .seed = 1, .device = "cpu" };
	struct rn_lang_conf lang = { .ctx = &ctx, .file = name, .dir = dir };
	struct rn_train_conf conf = { .ctx = &ctx, .output_dir = dir, .progress = count };
	struct rn_train_result r = { 0 };
	struct rn_rel **carried = NULL;

	calls = epochs = 0;
	err = (struct rn_err){ 0 };
	T_CALL(rn_lang_compile(text, strlen(text), &lang, &conf.plan, &carried, &err), &err);
	if (!err.code)
		T_CALL(rn_train(&conf, &r, &err), &err);
	T_OK(!err.code && epochs == EPOCHS && !calls, "%s on %u: %llu allocations in epochs 2 to %llu",
	     name, threads, (unsigned long long)calls, (unsigned long long)epochs);
	rn_train_result_fini(&r);
	free(carried);
	rn_plan_free(conf.plan);
}

int main(void)
{
	char cmd[96];

	snprintf(dir, sizeof dir, "%s/rn-epoch-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (!mkdtemp(dir))
		return 1;
	write_data();
	for (unsigned threads = 1; threads <= 2; threads++) {
		test("a GCN", gcn, threads);
		test("an HGT", hgt, threads);
	}
	snprintf(cmd, sizeof cmd, "rm -rf '%s'", dir);
	return system(cmd) ? 1 : t_done();
}
