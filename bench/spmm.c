/* SPDX-License-Identifier: Apache-2.0
 *
 * Segment aggregation, out[s] = sum of w[k] * x[src[k]] over the edges k of s, by RN's kernels
 * and by hand (CSR, prefetch, huge pages; one sum per segment, for one width each), over a
 * power-law graph.
 *
 * usage: spmm [NODES [EDGES [THREADS [RUNS]]]]      (1000000, 20000000, 2, 5)
 *
 * One JSON line per width (16, 64, 256): medians of RUNS runs of both, one after the other in
 * turn: ms, hand_ms, ratio (hand_ms / ms), gb_per_s (gathered by RN: edges x (4 width + 8)
 * + rows), check (the largest difference, relative to the sum of magnitudes).
 *
 * Built against a librn.a, with -O3 -march=native -mprefer-vector-width=512 for the other side.
 */
#include "../lib/dev/machine.h"
#include "power_law.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { AHEAD = 8, MAX_RUNS = 101, MAX_THREADS = 64 };

static struct graph {
	uint32_t n, m, *ptr, *src;
	float *w;
} g;
static unsigned threads = 2;
static struct rn_err err;

static void must(int rc)
{
	if (!rc)
		return;
	fprintf(stderr, "spmm: %s\n", err.msg);
	exit(1);
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

static void *memory(size_t bytes)
{
	size_t size = (bytes + (2 << 20) - 1) & ~(size_t)((2 << 20) - 1);
	void *p = aligned_alloc(2 << 20, size);

	if (!p) {
		fprintf(stderr, "spmm: no memory\n");
		exit(4);
	}
	madvise(p, size, MADV_HUGEPAGE);
	memset(p, 0, size);
	return p;
}

/* ---- a graph: degrees and sources follow a power law ------------------------------------- */

static void make_graph(void)
{
	uint32_t *dst = memory(g.m * sizeof *dst);

	g.ptr = memory((g.n + 1ull) * sizeof *g.ptr);
	g.src = memory((g.m + (size_t)AHEAD) * sizeof *g.src);
	g.w = memory(g.m * sizeof *g.w);
	for (uint32_t k = 0; k < g.m; k++) {
		dst[k] = node_of(g.n);
		g.ptr[dst[k] + 1]++;
	}
	for (uint32_t i = 0; i < g.n; i++)
		g.ptr[i + 1] += g.ptr[i];
	for (uint32_t k = 0; k < g.m; k++) {
		g.src[k] = node_of(g.n);
		g.w[k] = (float)rnd(1000) / 1000;
	}
	free(dst);
}

/* ---- by hand ----------------------------------------------------------------------------- */

struct work {
	const float *x;
	float *y;
	uint32_t width, from, to;
};

#define SPMM(W)                                                                                   \
	static void spmm_##W(const struct work *q)                                                \
	{                                                                                         \
		for (uint32_t i = q->from; i < q->to; i++) {                                      \
			float acc[W] = { 0 };                                                     \
                                                                                                  \
			for (uint32_t k = g.ptr[i]; k < g.ptr[i + 1]; k++) {                      \
				const float *x = q->x + (size_t)g.src[k] * W;                     \
				const float *next = q->x + (size_t)g.src[k + AHEAD] * W;          \
				float w = g.w[k];                                                 \
                                                                                                  \
				for (int f = 0; f < W; f += 16)                                   \
					__builtin_prefetch(next + f);                             \
				for (int f = 0; f < W; f++)                                       \
					acc[f] = __builtin_fmaf(w, x[f], acc[f]);                 \
			}                                                                         \
			memcpy(q->y + (size_t)i * W, acc, sizeof acc);                            \
		}                                                                                 \
	}
SPMM(16)
SPMM(64)
SPMM(256)

static void *run_part(void *arg)
{
	const struct work *q = arg;

	if (q->width == 16)
		spmm_16(q);
	else if (q->width == 64)
		spmm_64(q);
	else
		spmm_256(q);
	return NULL;
}

/* Every thread has as many edges. */
static void by_hand(const float *x, float *y, uint32_t width)
{
	struct work work[MAX_THREADS];
	pthread_t t[MAX_THREADS];
	uint32_t i = 0;

	for (unsigned k = 0; k < threads; k++) {
		uint64_t end = (uint64_t)g.m * (k + 1) / threads;

		work[k] = (struct work){ x, y, width, i, i };
		while (i < g.n && (g.ptr[i + 1] <= end || k + 1 == threads))
			i++;
		work[k].to = i;
		if (k && pthread_create(&t[k], NULL, run_part, &work[k]))
			exit(1);
	}
	run_part(&work[0]);
	for (unsigned k = 1; k < threads; k++)
		pthread_join(t[k], NULL);
}

/* ---- both -------------------------------------------------------------------------------- */

static struct rn_buf *buffer(void *data, size_t size)
{
	struct rn_buf *b = calloc(1, sizeof *b);

	b->data = data;
	b->size = size;
	b->refs = 1;
	return b;
}

static int by_value(const void *a, const void *b)
{
	return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

static double median(double *x, unsigned n)
{
	qsort(x, n, sizeof *x, by_value);
	return x[n / 2];
}

static double difference(const float *a, const float *b, uint32_t width)
{
	double worst = 0;

	for (uint32_t i = 0; i < g.n; i++)
		for (uint32_t f = 0; f < width; f++) {
			size_t k = (size_t)i * width + f;
			double d = fabs((double)a[k] - b[k]) / (1 + g.ptr[i + 1] - g.ptr[i]);

			worst = d > worst ? d : worst;
		}
	return worst;
}

static void measure(struct rn_backend *b, uint32_t width, unsigned runs)
{
	size_t bytes = (size_t)g.n * width * sizeof(float);
	double ours[MAX_RUNS], theirs[MAX_RUNS], mine, hand;
	float *x = memory(bytes), *y = memory(bytes);
	struct rn_machine *m;
	struct rn_prog p;
	uint32_t v, ptr, src, w, one = 1;

	for (size_t k = 0; k < (size_t)g.n * width; k++)
		x[k] = (float)rnd(2001) / 1000 - 1;
	rn_prog_init(&p);
	ptr = need(rn_prog_idx(&p, buffer(g.ptr, (g.n + 1ull) * 4), g.n + 1, &err));
	src = need(rn_prog_idx(&p, buffer(g.src, g.m * 4ull), g.m, &err));
	w = need(rn_prog_const(&p, g.m, 1, &one, buffer(g.w, g.m * 4ull), &err));
	v = need(rn_prog_const(&p, g.n, 1, &width, buffer(x, bytes), &err));
	v = need(rn_prog_spmm(&p, ptr, v, src, w, RN_NONE, &err));
	p.vals[v].keep = true;
	must(rn_machine_new(&p, b, RN_F32, NULL, NULL, NULL, &m, &err));
	for (unsigned r = 0; r < runs + 1; r++) { /* the first run of both is not counted */
		double t0 = seconds(), t1;

		must(rn_machine_run(m, 0, p.ninsts, 0, &err));
		t1 = seconds();
		by_hand(x, y, width);
		if (r) {
			ours[r - 1] = t1 - t0;
			theirs[r - 1] = seconds() - t1;
		}
	}
	mine = median(ours, runs);
	hand = median(theirs, runs);
	printf("{\"width\": %u, \"nodes\": %u, \"edges\": %u, \"threads\": %u, \"ms\": %.2f, "
	       "\"hand_ms\": %.2f, \"ratio\": %.3f, \"gb_per_s\": %.2f, \"check\": %.2g}\n",
	       width, g.n, g.m, threads, 1e3 * mine, 1e3 * hand, hand / mine,
	       (g.m * (4.0 * width + 8) + 4.0 * g.n * width) / mine / 1e9,
	       difference(rn_machine_ptr(m, v, NULL), y, width));
	fflush(stdout);
	rn_machine_free(m);
	rn_prog_fini(&p);
	free(x);
	free(y);
}

int main(int argc, char **argv)
{
	static const uint32_t widths[] = { 16, 64, 256 };
	unsigned runs = argc > 4 ? (unsigned)atoi(argv[4]) : 5;
	struct rn_backend *b;

	g.n = argc > 1 ? (uint32_t)atol(argv[1]) : 1000000;
	g.m = argc > 2 ? (uint32_t)atol(argv[2]) : 20000000;
	threads = argc > 3 ? (unsigned)atoi(argv[3]) : 2;
	if (!g.n || !g.m || !threads || threads > MAX_THREADS || !runs || runs >= MAX_RUNS) {
		fprintf(stderr, "usage: spmm [NODES [EDGES [THREADS [RUNS]]]]\n");
		return 2;
	}
	make_graph();
	must(rn_cpu_backend(threads, &b, &err));
	for (unsigned k = 0; k < 3; k++)
		measure(b, widths[k], runs);
	b->close(b);
	return 0;
}
