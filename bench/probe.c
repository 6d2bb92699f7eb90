/* SPDX-License-Identifier: Apache-2.0
 *
 * What can this machine do?  Memory bandwidth, as STREAM measures it, over arrays far beyond the
 * caches, and single-precision products by OpenBLAS, on one thread and on two: what RN's kernels
 * are compared with.  OpenBLAS has one thread in each of ours, which take as many rows each, as
 * RN does it.
 *
 * usage: probe RUNS [M K N]...
 *
 * One JSON line per measurement, the median of RUNS:
 *   what ("copy": a = b, "triad": a = b + s c), threads, gb_per_s: 4-byte floats that are read
 *   and written, 8 and 12 bytes an element; what a write reads first is not counted
 *   m, k, n, threads, gflop_per_s: a product of m by k with k by n, 2 m k n FLOPs
 */
#include <cblas.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { ELEMENTS = 64 << 20, MAX_RUNS = 101, MAX_THREADS = 2 }; /* 256 MiB each */

extern void openblas_set_num_threads(int n);

static float *a, *b, *c;
static int m, k, n;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float *floats(size_t count)
{
	size_t size = (count * sizeof(float) + (2 << 20) - 1) & ~(size_t)((2 << 20) - 1);
	float *p = aligned_alloc(2 << 20, size);

	if (!p) {
		fprintf(stderr, "probe: no memory\n");
		exit(4);
	}
	madvise(p, size, MADV_HUGEPAGE);
	for (size_t i = 0; i < count; i++)
		p[i] = (float)(i % 1000) / 1000;
	return p;
}

/* ---- works: the share from / of of each ----------------------------------------------------- */

static void copy(size_t from, size_t to)
{
	memcpy(a + from, b + from, (to - from) * sizeof *a);
}

static void triad(size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		a[i] = b[i] + 3 * c[i];
}

static void product(size_t from, size_t to)
{
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)(to - from), n, k, 1,
		    a + from * (size_t)k, k, b, n, 0, c + from * (size_t)n, n);
}

/* ---- threads -------------------------------------------------------------------------------- */

struct part {
	void (*work)(size_t from, size_t to);
	size_t from, to;
};

static void *run_part(void *arg)
{
	struct part *p = arg;

	p->work(p->from, p->to);
	return NULL;
}

/* Seconds; threads are started and joined within, some 50 us of them. */
static double run(void (*work)(size_t, size_t), size_t size, unsigned threads)
{
	struct part part[MAX_THREADS];
	pthread_t t[MAX_THREADS];
	double start = now();

	for (unsigned i = 0; i < threads; i++) {
		part[i] = (struct part){ work, size * i / threads, size * (i + 1) / threads };
		if (i && pthread_create(&t[i], NULL, run_part, &part[i]))
			exit(1);
	}
	run_part(&part[0]);
	for (unsigned i = 1; i < threads; i++)
		pthread_join(t[i], NULL);
	return now() - start;
}

static int compare(const void *x, const void *y)
{
	double p = *(const double *)x, q = *(const double *)y;

	return (p > q) - (p < q);
}

/* The median; the first run is not counted. */
static double measure(void (*work)(size_t, size_t), size_t size, unsigned threads, int runs)
{
	double seconds[MAX_RUNS];

	for (int i = -1; i < runs; i++)
		seconds[i < 0 ? 0 : i] = run(work, size, threads);
	qsort(seconds, (size_t)runs, sizeof *seconds, compare);
	return seconds[runs / 2];
}

static void bandwidth(int runs)
{
	static const struct {
		const char *what;
		void (*work)(size_t, size_t);
		double bytes;
	} works[] = { { "copy", copy, 8 }, { "triad", triad, 12 } };

	a = floats(ELEMENTS), b = floats(ELEMENTS), c = floats(ELEMENTS);
	for (size_t w = 0; w < sizeof works / sizeof *works; w++)
		for (unsigned t = 1; t <= MAX_THREADS; t++)
			printf("{\"what\": \"%s\", \"threads\": %u, \"gb_per_s\": %.2f}\n",
			       works[w].what, t,
			       works[w].bytes * ELEMENTS /
				   measure(works[w].work, ELEMENTS, t, runs) / 1e9);
	free(a), free(b), free(c);
}

static void products(int runs)
{
	a = floats((size_t)m * (size_t)k), b = floats((size_t)k * (size_t)n),
	c = floats((size_t)m * (size_t)n);
	for (unsigned t = 1; t <= MAX_THREADS; t++)
		printf(
		    "{\"m\": %d, \"k\": %d, \"n\": %d, \"threads\": %u, \"gflop_per_s\": %.1f}\n",
		    m, k, n, t, 2.0 * m * k * n / measure(product, (size_t)m, t, runs) / 1e9);
	free(a), free(b), free(c);
}

int main(int argc, char **argv)
{
	int runs = argc > 1 ? atoi(argv[1]) : 0;

	if (runs < 1 || runs > MAX_RUNS || argc % 3 != 2) {
		fprintf(stderr, "usage: probe RUNS [M K N]...\n");
		return 2;
	}
	openblas_set_num_threads(1);
	bandwidth(runs);
	for (int i = 2; i < argc; i += 3) {
		m = atoi(argv[i]), k = atoi(argv[i + 1]), n = atoi(argv[i + 2]);
		if (m < 1 || k < 1 || n < 1)
			return 2;
		products(runs);
	}
	return 0;
}
