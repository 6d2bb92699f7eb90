/* SPDX-License-Identifier: Apache-2.0
 *
 * The relational kernels in memory, in the shape of LIMITS.md §7: edges (src, dst int64,
 * w float64) and a tenth as many nodes (id int64, x float64, y int64).  `dense` ids are a
 * shuffle of 0 … N-1, `sparse` ones 63-bit hashes of those; `partial` joins with nodes of
 * which a tenth is missing, so that no column of the edges can be shared.
 *
 * usage: rel [ROWS [THREADS [RUNS [NAME...]]]]      (10000000, 2, 5, all)
 *
 * One JSON line per measurement, medians of RUNS runs: name, seconds, rows_per_s (of
 * input), threads, cpu_seconds, rows (of output), check (an exact sum over the output).
 * What is timed ends with all output columns; inputs stay, outputs are freed outside.
 * rel_duckdb.py makes the same data and prints the same lines: rows and check must agree.
 *
 * DEVICE=cuda: with what the device does of it, which is told at the end on standard error.
 *
 * Built against a librn.a:
 *   cc -O2 -D_GNU_SOURCE -o rel bench/rel.c BUILD/librn.a -lzstd -ljansson -lz -lm -ldl -pthread
 */
#include "../lib/base/accel.h"
#include "../lib/base/team.h"
#include "../lib/dev/backend.h"
#include "../lib/op/aggregate.h"
#include "../lib/rel/gather.h"
#include "../lib/rel/key.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct rn_err err;
static struct rn_ctx ctx = { .threads = 1 };

static void must(int rc)
{
	if (!rc)
		return;
	fprintf(stderr, "rel: %s\n", err.msg);
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Of all threads; it changes less than the time where other programs run, too. */
static double cpu_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- data ---------------------------------------------------------------------------- */

enum { EDGES, DENSE, SPARSE, PARTIAL };

static uint64_t splitmix(uint64_t x)
{
	x += 0x9E3779B97F4A7C15u;
	x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
	x = (x ^ x >> 27) * 0x94D049BB133111EBu;
	return x ^ x >> 31;
}

static int64_t node_id(uint64_t i, uint64_t nodes, bool sparse)
{
	uint64_t id = (i * 611953 + 12345) % nodes;

	return (int64_t)(sparse ? splitmix(id + ((uint64_t)3 << 40)) >> 1 : id);
}

/* 20 bits: sums of them are exact. */
static double value(uint64_t i, uint64_t stream)
{
	return (double)(splitmix(i + (stream << 40)) >> 44) / (1 << 20);
}

static struct rn_column *add(struct rn_rel *r, const char *name, enum rn_type t)
{
	struct rn_column *c;

	must(rn_column_new(t, r->rows, &c, &err));
	must(rn_rel_add_col(r, name, NULL, c, &err));
	return c;
}

static struct rn_rel *edges(uint64_t rows, uint64_t nodes, bool sparse)
{
	struct rn_column *src, *dst, *w;
	struct rn_rel *r;

	must(rn_rel_new("edges", rows, &r, &err));
	src = add(r, "src", RN_INT64);
	dst = add(r, "dst", RN_INT64);
	w = add(r, "w", RN_FLOAT64);
	for (uint64_t i = 0; i < rows; i++) {
		src->i64[i] = node_id(splitmix(i + ((uint64_t)1 << 40)) % nodes, nodes, sparse);
		dst->i64[i] = node_id(splitmix(i + ((uint64_t)2 << 40)) % nodes, nodes, sparse);
		w->f64[i] = value(i, 4);
	}
	return r;
}

static struct rn_rel *vertices(uint64_t rows, uint64_t nodes, bool sparse)
{
	struct rn_column *id, *x, *y;
	struct rn_rel *r;

	must(rn_rel_new("nodes", rows, &r, &err));
	id = add(r, "id", RN_INT64);
	x = add(r, "x", RN_FLOAT64);
	y = add(r, "y", RN_INT64);
	for (uint64_t i = 0; i < rows; i++) {
		id->i64[i] = node_id(i, nodes, sparse);
		x->f64[i] = value(i, 5);
		y->i64[i] = (int64_t)(i % 1000);
	}
	return r;
}

/* ---- what is measured ------------------------------------------------------------------ */

static struct rn_rel *edge[2], *node[2], *some; /* [sparse]; some: nine tenths of node[0] */

/* Edges with the first `cols` columns of the nodes. */
static struct rn_rel *join(const struct rn_rel *e, const struct rn_rel *n, size_t cols)
{
	struct rn_key left = { .n = 1, .cols = e->cols, .rows = e->rows };
	struct rn_key right = { .n = 1, .cols = n->cols, .rows = n->rows };
	struct rn_hash_index *x;
	struct rn_join_result j;
	struct rn_gather by;
	struct rn_column *c;
	struct rn_rel *out;

	must(rn_hash_index_new(&ctx, &right, &x, &err));
	must(rn_join(&ctx, &left, &right, x, RN_JOIN_INNER, &j, &err));
	rn_hash_index_free(x);
	must(rn_rel_new(NULL, j.rows, &out, &err));
	by = rn_gather_by(ctx.team, j.left->data, j.rows);
	for (size_t i = 0; i < e->schema.ncols; i++) {
		must(rn_gather_column(&by, e->cols[i], &c, &err));
		must(rn_rel_add_col(out, e->schema.cols[i].name, NULL, c, &err));
	}
	by = rn_gather_by(ctx.team, j.right->data, j.rows);
	for (size_t i = 1; i < cols; i++) {
		must(rn_gather_column(&by, n->cols[i], &c, &err));
		must(rn_rel_add_col(out, n->schema.cols[i].name, NULL, c, &err));
	}
	rn_join_result_fini(&j);
	return out;
}

static struct rn_rel *group(const struct rn_rel *e)
{
	static const char *const what[] = { "sum(w)", "avg(w)" };
	struct rn_key k = { .n = 1, .cols = e->cols + 1, .rows = e->rows };
	struct rn_column *c, *values[2];
	struct rn_buf *first;
	struct rn_rel *out;
	uint64_t n;

	must(rn_aggregates_by(&ctx, &k, what, 2, e, &n, &first, values, &err));
	must(rn_rel_new(NULL, n, &out, &err));
	must(rn_column_gather_team(ctx.team, e->cols[1], first->data, n, &c, &err));
	must(rn_rel_add_col(out, "dst", NULL, c, &err));
	for (size_t i = 0; i < 2; i++)
		must(rn_rel_add_col(out, what[i], NULL, values[i], &err));
	rn_buf_unref(first);
	return out;
}

static struct rn_rel *sort(const struct rn_rel *e, bool by_two)
{
	struct rn_order by[2] = { { .col = e->cols[0] }, { .col = e->cols[2] } };
	struct rn_buf *map;
	struct rn_rel *out;

	must(rn_order_rows_team(ctx.team, by, by_two ? 2 : 1, e->rows, &map, &err));
	must(rn_rel_gather_team(ctx.team, e, map->data, e->rows, &out, &err));
	rn_buf_unref(map);
	return out;
}

static struct rn_rel *distinct(const struct rn_rel *e)
{
	struct rn_key k = { .n = 1, .cols = e->cols, .rows = e->rows };
	struct rn_buf *first;
	struct rn_column *c;
	struct rn_rel *out;
	uint64_t n;

	must(rn_distinct(&ctx, &k, &n, &first, &err));
	must(rn_rel_new(NULL, n, &out, &err));
	must(rn_column_gather_team(ctx.team, e->cols[0], first->data, n, &c, &err));
	must(rn_rel_add_col(out, "src", NULL, c, &err));
	rn_buf_unref(first);
	return out;
}

static struct rn_rel *join_dense(void) { return join(edge[0], node[0], 2); }
static struct rn_rel *join_sparse(void) { return join(edge[1], node[1], 2); }
static struct rn_rel *join_partial(void) { return join(edge[0], some, 2); }
static struct rn_rel *join_wide(void) { return join(edge[1], node[1], 3); }
static struct rn_rel *group_dense(void) { return group(edge[0]); }
static struct rn_rel *group_sparse(void) { return group(edge[1]); }
static struct rn_rel *sort_dense(void) { return sort(edge[0], false); }
static struct rn_rel *sort_sparse(void) { return sort(edge[1], false); }
static struct rn_rel *sort_two(void) { return sort(edge[0], true); }
static struct rn_rel *distinct_dense(void) { return distinct(edge[0]); }
static struct rn_rel *distinct_sparse(void) { return distinct(edge[1]); }

static const struct {
	const char *name;
	struct rn_rel *(*run)(void);
	size_t check; /* the column that is summed; of an ordered output with its row's parity */
	bool ordered;
} works[] = {
	{ "join-dense", join_dense, 3, false },
	{ "join-sparse", join_sparse, 3, false },
	{ "join-partial", join_partial, 3, false },
	{ "join-wide", join_wide, 4, false },
	{ "group-dense", group_dense, 1, false },
	{ "group-sparse", group_sparse, 1, false },
	{ "sort-dense", sort_dense, 0, true },
	{ "sort-sparse", sort_sparse, 0, true },
	{ "sort-two", sort_two, 2, true },
	{ "distinct-dense", distinct_dense, 0, false },
	{ "distinct-sparse", distinct_sparse, 0, false },
};

/* Exact: float64 in units of 2^-20, integers modulo 2^32. */
static int64_t check(const struct rn_rel *r, size_t col, bool ordered)
{
	const struct rn_column *c = r->cols[col];
	int64_t sum = 0;

	for (uint64_t i = 0; i < r->rows; i++) {
		int64_t v = c->type == RN_FLOAT64 ? (int64_t)(c->f64[i] * (1 << 20)) :
						    c->i64[i] & UINT32_MAX;

		sum += ordered && i % 2 ? -v : v;
	}
	return sum;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void measure(size_t w, uint64_t rows, int runs)
{
	double *s = calloc(2 * (size_t)runs, sizeof *s), *cpu = s + runs;
	uint64_t got = 0;
	int64_t sum = 0;

	for (int i = 0; s && i < runs; i++) {
		double start = now(), cpu_start = cpu_now();
		struct rn_rel *r = works[w].run();

		s[i] = now() - start;
		cpu[i] = cpu_now() - cpu_start;
		got = r->rows;
		if (!i)
			sum = check(r, works[w].check, works[w].ordered);
		rn_rel_unref(r);
	}
	if (!s)
		must(rn_err_nomem(&err, (size_t)runs * sizeof *s, "the runs"));
	qsort(s, (size_t)runs, sizeof *s, by_value);
	qsort(cpu, (size_t)runs, sizeof *s, by_value);
	printf("{\"name\": \"%s\", \"seconds\": %.7f, \"rows_per_s\": %.0f, \"threads\": %u, "
	       "\"cpu_seconds\": %.7f, \"rows\": %" PRIu64 ", \"check\": %" PRId64 "}\n",
	       works[w].name, s[runs / 2], (double)rows / s[runs / 2], ctx.threads, cpu[runs / 2], got,
	       sum);
	fflush(stdout);
	free(s);
}

static bool wanted(const char *name, int n, char **names)
{
	for (int i = 0; i < n; i++)
		if (!strcmp(name, names[i]))
			return true;
	return !n;
}

static void tell(void *arg, enum rn_log_level level, const char *msg)
{
	(void)arg, (void)level;
	fprintf(stderr, "rel: %s\n", msg);
}

int main(int argc, char **argv)
{
	long rows = argc > 1 ? atol(argv[1]) : 10000000, threads = argc > 2 ? atol(argv[2]) : 2;
	long runs = argc > 3 ? atol(argv[3]) : 5;
	uint64_t nodes = (uint64_t)rows / 10;
	struct rn_backend *device;

	if (rows < 10 || threads < 1 || runs < 1) {
		fprintf(stderr, "usage: rel [ROWS [THREADS [RUNS [NAME...]]]]\n");
		return 2;
	}
	mallopt(M_MMAP_THRESHOLD, 32 << 20); /* as the programs do (cmd/limits.c) */
	mallopt(M_TRIM_THRESHOLD, 512 << 20);
	ctx.threads = (unsigned)threads;
	must(rn_team_new(ctx.threads, &ctx.team, &err));
	must(rn_backend_open(getenv("DEVICE"), 1, &device, NULL, &err));
	rn_accel_attach(&ctx, device->accel);
	for (int sparse = 0; sparse < 2; sparse++) {
		edge[sparse] = edges((uint64_t)rows, nodes, sparse);
		node[sparse] = vertices(nodes, nodes, sparse);
	}
	some = vertices(nodes - nodes / 10, nodes, false);
	for (size_t w = 0; w < sizeof works / sizeof *works; w++)
		if (wanted(works[w].name, argc - 4, argv + 4))
			measure(w, (uint64_t)rows, (int)runs);
	for (int sparse = 0; sparse < 2; sparse++) {
		rn_rel_unref(edge[sparse]);
		rn_rel_unref(node[sparse]);
	}
	rn_rel_unref(some);
	ctx.log = tell;
	rn_accel_log(&ctx);
	rn_accel_attach(&ctx, NULL);
	device->close(device);
	rn_team_free(ctx.team);
	return 0;
}
