/* SPDX-License-Identifier: Apache-2.0
 *
 * RN's kernels on one device: weighted segment sums over a power-law graph, and products.
 * bench/device_cuda.cu measures cuSPARSE, cuBLAS and copies on the same.
 *
 * usage: device DEVICE [NODES [EDGES [RUNS]]]      (1000000, 20000000, 20)
 *
 * One JSON line for each: {"work": "spmm", "width": W, "ms": …} for widths 64 and 256, and
 * {"work": "gemm", "n": rows, "k": …, "m": …, "ms": …} for x [n,k] times w [k,m].  ms is the mean
 * of RUNS runs that follow on each other without a wait.
 *
 * Built against a librn.a.
 */
#include "../lib/dev/machine.h"
#include "power_law.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static struct rn_err err;

static void must(int rc)
{
	if (!rc)
		return;
	fprintf(stderr, "device: %s\n", err.msg);
	exit(rc == RN_EDEV || rc == RN_ENOMEM ? 4 : 1);
}

static uint32_t need(uint32_t v)
{
	must(v == RN_NONE);
	return v;
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static struct rn_buf *buffer(size_t n, size_t size)
{
	struct rn_buf *b;

	must(rn_buf_new_raw(n * size, "a benchmark", &b, &err));
	return b;
}

static struct rn_buf *random_floats(size_t n)
{
	struct rn_buf *b = buffer(n, sizeof(float));
	float *x = b->data;

	for (size_t i = 0; i < n; i++)
		x[i] = (float)rnd(1000) / 1000;
	return b;
}

/* Milliseconds of the last instruction. */
static double measure(struct rn_backend *b, struct rn_prog *p, unsigned runs)
{
	uint32_t last = p->ninsts - 1;
	struct rn_machine *m;
	double t;

	p->vals[p->insts[last].out].keep = true;
	must(rn_machine_new(p, b, RN_F32, NULL, NULL, NULL, &m, &err));
	for (unsigned k = 0; k < 3; k++)
		must(rn_machine_run(m, last, last + 1, 0, &err));
	must(b->sync(b, &err));
	t = seconds();
	for (unsigned k = 0; k < runs; k++)
		must(rn_machine_run(m, last, last + 1, 0, &err));
	must(b->sync(b, &err));
	t = seconds() - t;
	rn_machine_free(m);
	return 1e3 * t / runs;
}

static void spmm(struct rn_backend *b, uint32_t n, uint32_t m, unsigned runs)
{
	static const uint32_t widths[] = { 64, 256 };
	struct rn_buf *ptr = buffer(n + 1ull, 4), *src = buffer(m, 4), *w;
	uint32_t *at = ptr->data, one = 1;

	for (uint32_t i = 0; i <= n; i++)
		at[i] = 0;
	for (uint32_t k = 0; k < m; k++)
		at[node_of(n) + 1]++;
	for (uint32_t i = 0; i < n; i++)
		at[i + 1] += at[i];
	for (uint32_t k = 0; k < m; k++)
		((uint32_t *)src->data)[k] = node_of(n);
	w = random_floats(m);
	for (unsigned k = 0; k < 2; k++) {
		struct rn_prog p;
		uint32_t x;

		rn_prog_init(&p);
		x = need(rn_prog_const(&p, n, 1, &widths[k], random_floats((size_t)n * widths[k]),
				       &err));
		need(rn_prog_spmm(&p, need(rn_prog_idx(&p, rn_buf_ref(ptr), n + 1, &err)), x,
				  need(rn_prog_idx(&p, rn_buf_ref(src), m, &err)),
				  need(rn_prog_const(&p, m, 1, &one, rn_buf_ref(w), &err)), RN_NONE,
				  &err));
		printf("{\"work\": \"spmm\", \"width\": %u, \"ms\": %.4f}\n", widths[k],
		       measure(b, &p, runs));
		fflush(stdout);
		rn_prog_fini(&p);
	}
	rn_buf_unref(ptr);
	rn_buf_unref(src);
	rn_buf_unref(w);
}

static void gemm(struct rn_backend *b, uint32_t n, unsigned runs)
{
	static const uint32_t dims[][2] = { { 128, 256 }, { 256, 256 }, { 256, 40 } };

	for (unsigned k = 0; k < 3; k++) {
		size_t size = (size_t)dims[k][0] * dims[k][1];
		struct rn_prog p;
		uint32_t x, w;

		rn_prog_init(&p);
		x = need(rn_prog_const(&p, n, 1, &dims[k][0], random_floats((size_t)n * dims[k][0]),
				       &err));
		w = need(rn_prog_const(&p, 1, 2, dims[k], random_floats(size), &err));
		need(rn_prog_gemm(&p, x, w, RN_NONE, false, &err));
		printf("{\"work\": \"gemm\", \"n\": %u, \"k\": %u, \"m\": %u, \"ms\": %.4f}\n", n,
		       dims[k][0], dims[k][1], measure(b, &p, runs));
		fflush(stdout);
		rn_prog_fini(&p);
	}
}

static uint32_t number(char **argv, int argc, int k, uint32_t dflt)
{
	unsigned long v = argc > k ? strtoul(argv[k], NULL, 10) : dflt;

	if (v && v < 1ul << 31)
		return (uint32_t)v;
	fprintf(stderr, "usage: device DEVICE [NODES [EDGES [RUNS]]]\n");
	exit(2);
}

int main(int argc, char **argv)
{
	uint32_t n = number(argv, argc, 2, 1000000), m = number(argv, argc, 3, 20000000);
	uint32_t runs = number(argv, argc, 4, 20);
	struct rn_backend *b;

	must(rn_backend_open(argc > 1 ? argv[1] : "cuda", 2, &b, NULL, &err));
	spmm(b, n, m, runs);
	gemm(b, n, runs);
	b->close(b);
	return 0;
}
