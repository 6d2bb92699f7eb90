/* SPDX-License-Identifier: Apache-2.0
 *
 * How fast do blocks pass from one process to another?  A relation of float32 in blocks of
 * 256 KiB is written into a pipe again and again and read from it in another process, this one's
 * fork, where all values are added up: with shared memory beside the pipe, all inline, and, as
 * what a pipe can do, the same bytes by write(2) and read(2) alone.  In turn, in one run.
 *
 *   make && cc -O3 -march=native -D_GNU_SOURCE -o pipe bench/pipe.c build/release/librn.a \
 *       -lzstd -ljansson -lz -lm -ldl -pthread && \
 *       ./pipe [-n RUNS] [-g GIGABYTES] [-k KIBYTES] [-m MEBIBYTES] [-w WAY]
 *
 * One JSON line per way: what ("shared", "inline", "bare"), gbs (10^9 bytes of values per
 * second: the median of RUNS, 9 unless given), min and max.  -w measures one way only, -k
 * blocks of another size, -m a relation of another size: 1 MiB is what a program has just made,
 * and has in its cache, 256 have to come from memory first.
 */
#include "../formats/container.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WIDTH = 64, ROWS = 4096, MAX_RUNS = 101, MAX_MEBIBYTES = 4096 }; /* ROWS: of 1 MiB */
enum way { SHARED, INLINE, BARE, NWAYS };

static int runs = 9;
static double gigabytes = 2;
static int kibytes = 256, mebibytes = 1;

static void check(int rc, const struct rn_err *e)
{
	if (rc) {
		fprintf(stderr, "pipe: %s\n", e->msg);
		exit(1);
	}
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static struct rn_rel *make_rel(void)
{
	uint64_t rows = (uint64_t)mebibytes * ROWS;
	struct rn_shape shape = { .rank = 1, .dim = { WIDTH } };
	struct rn_tensor *t;
	struct rn_rel *r;
	struct rn_err e;

	check(rn_rel_new("x", rows, &r, &e), &e);
	check(rn_tensor_new(&shape, rows, &t, &e), &e);
	for (uint64_t i = 0; i < t->nnz; i++)
		t->data[i] = (float)(i * 7919 % 10007) / 997;
	check(rn_rel_add_part(r, "z", t, NULL, &e), &e);
	return r;
}

static struct rn_io *open_fd(int fd, bool write)
{
	char path[32];
	struct rn_io *io;
	struct rn_err e;

	snprintf(path, sizeof path, "/dev/fd/%d", fd);
	check(write ? rn_io_open_write(path, &io, &e) : rn_io_open_read(path, &io, &e), &e);
	close(fd);
	return io;
}

static void write_rows(int fd, struct rn_rel *r, uint64_t times, enum way way)
{
	struct rn_writer_opt opt = { .block_rows = (uint32_t)kibytes * 1024 / (4 * WIDTH),
				     .inline_only = way != SHARED };
	struct rn_io *io = open_fd(fd, true);
	struct rn_writer *w;
	struct rn_err e;

	if (way == BARE) {
		for (uint64_t i = 0; i < times; i++)
			for (size_t at = 0; at < 4ul * r->rows * WIDTH; at += 1024u * (size_t)kibytes)
				check(io->ops->write(io, (char *)r->parts[0].t->data + at,
						     1024u * (size_t)kibytes, &e), &e);
		check(io->ops->close(io, &e), &e);
		return;
	}
	check(rn_writer_open(io, "{}", &opt, &w, &e), &e);
	check(rn_writer_section(w, &r->schema, &e), &e);
	for (uint64_t i = 0; i < times; i++)
		check(rn_writer_rows(w, r, &e), &e);
	check(rn_writer_close(w, &e), &e);
}

/* What a reader does at least. */
static void add_up(const float *x, size_t n)
{
	static volatile float sink;
	float sum[16] = { 0 };
	size_t i = 0;

	for (; i + 16 <= n; i += 16)
		for (int k = 0; k < 16; k++)
			sum[k] += x[i + k];
	for (; i < n; i++)
		sum[0] += x[i];
	for (int k = 0; k < 16; k++)
		sink = sum[k];
}

/* Bytes of values. */
static uint64_t read_rows(int fd, enum way way)
{
	struct rn_io *io = open_fd(fd, false);
	const struct rn_schema *s;
	struct rn_reader *r;
	uint64_t bytes = 0;
	struct rn_rel *b;
	struct rn_err e;

	if (way == BARE) {
		char *buf = malloc(1024u * (size_t)kibytes);
		size_t got;

		do {
			check(io->ops->read(io, buf, 1024u * (size_t)kibytes, &got, &e), &e);
			add_up((float *)buf, got / sizeof(float));
			bytes += got;
		} while (got);
		io->ops->abort(io);
		free(buf);
		return bytes;
	}
	check(rn_reader_open(io, &r, &e), &e);
	check(rn_reader_section(r, &s, &e), &e);
	for (;;) {
		check(rn_reader_block(r, &b, &e), &e);
		if (!b)
			break;
		add_up(b->parts[0].t->data, b->parts[0].t->nnz);
		bytes += 4 * b->parts[0].t->nnz;
		rn_rel_unref(b);
	}
	check(rn_reader_section(r, &s, &e), &e);
	rn_reader_close(r);
	return bytes;
}

static double measure(struct rn_rel *r, enum way way)
{
	uint64_t size = 4 * r->rows * WIDTH, bytes;
	uint64_t times = (uint64_t)(gigabytes * 1e9 / (double)size) + 1;
	double start = now();
	int p[2], status;
	pid_t pid;

	if (pipe(p) < 0 || (pid = fork()) < 0)
		exit(1);
	if (!pid) {
		close(p[0]);
		write_rows(p[1], r, times, way);
		_exit(0);
	}
	close(p[1]);
	bytes = read_rows(p[0], way);
	waitpid(pid, &status, 0);
	if (status || bytes != times * size) {
		fprintf(stderr, "pipe: the writer failed\n");
		exit(1);
	}
	return (double)bytes / (now() - start) / 1e9;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "shared", "inline", "bare" };
	static double gbs[NWAYS][MAX_RUNS];
	const char *only = NULL;
	struct rn_rel *r;
	int c;

	while ((c = getopt(argc, argv, "n:g:k:m:w:")) != -1) {
		if (c == 'n')
			runs = atoi(optarg);
		else if (c == 'g')
			gigabytes = atof(optarg);
		else if (c == 'k')
			kibytes = atoi(optarg);
		else if (c == 'm')
			mebibytes = atoi(optarg);
		else if (c == 'w')
			only = optarg;
		else
			return 2;
	}
	if (runs < 1 || runs > MAX_RUNS || kibytes < 1 || kibytes > 1024 || 1024 % kibytes ||
	    mebibytes < 1 || mebibytes > MAX_MEBIBYTES)
		return 2;
	r = make_rel();
	for (int i = 0; i < runs; i++)
		for (enum way w = 0; w < NWAYS; w++)
			if (!only || !strcmp(only, names[w]))
				gbs[w][i] = measure(r, w);
	for (enum way w = 0; w < NWAYS; w++) {
		if (only && strcmp(only, names[w]))
			continue;
		qsort(gbs[w], (size_t)runs, sizeof gbs[w][0], compare);
		printf("{\"what\": \"%s\", \"gbs\": %.3f, \"min\": %.3f, \"max\": %.3f}\n", names[w],
		       gbs[w][runs / 2], gbs[w][0], gbs[w][runs - 1]);
	}
	rn_rel_unref(r);
	return 0;
}
