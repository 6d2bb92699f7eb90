/* SPDX-License-Identifier: Apache-2.0
 *
 * How fast is the container beside the codec alone?  For each kind of data: a
 * tight loop of the codec over blocks of 1 MiB, then the container's writer into
 * a sink that drops what it gets and its reader from memory, in turn, in one run.
 *
 *   make && cc -O2 -o codec bench/codec.c build/release/librn.a \
 *       -lzstd -ljansson -lz -lm -ldl -lpthread && ./codec [-n RUNS] [-d DIR] [NAME...]
 *
 * One JSON line per measurement: name (of the data), what, threads, gbs (10^9 bytes of
 * values in memory per second: the median of RUNS, 9 unless given), min, max, and ratio
 * (of raw to stored bytes).  `what` is codec-compress or codec-decompress, the loop;
 * write or read, the container in memory; with -d also file-write and file-read, through
 * a file in DIR that is removed, and codec-file-write and codec-file-read, the loop that
 * writes each block to a file there (with one fsync, as the container has) and reads it
 * from there.  A file of compressed blocks has a helper that waits for it, also at 1
 * thread; the loop has none.  NAMEs choose data by a part of their name; "packed" and "plain"
 * ones have no codec in the container, and the same loop beside it.
 */
#include "../formats/container.h"
#include "../formats/encoding.h"
#include "../lib/base/team.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

enum { RAW = 64 << 20, BLOCK = 1 << 20, BLOCKS = RAW / BLOCK, WIDTH = 64, MAX_RUNS = 101 };
enum { PLACE = ZSTD_COMPRESSBOUND(BLOCK) }; /* what a block may take when compressed */

static int runs = 9;
static const char *dir;

static void *must(void *p)
{
	if (!p)
		exit(1);
	return p;
}

static void check(int rc, const struct rn_err *e)
{
	if (rc) {
		fprintf(stderr, "codec: %s\n", e->msg);
		exit(1);
	}
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- data -------------------------------------------------------------------- */

static uint64_t state = 88172645463325252ull;

static uint64_t rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static double uniform(void)
{
	return ((double)(rnd() >> 11) + 0.5) * 0x1p-53;
}

static double normal(void)
{
	return sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform());
}

enum kind { F32_NORMAL, F32_BF16, F32_ZEROS, SORTED, RANDOM, GROUPED, F64, STRINGS, NAMES };

/* How the reference treats the bytes before zstd. */
enum transform { NOTHING, SHUFFLE4, SHUFFLE8, DELTA };

static const struct data {
	const char *name;
	enum kind kind;
	enum transform transform;
	enum rn_compress compress;
} datas[] = {
	{ "f32-normal", F32_NORMAL, SHUFFLE4, RN_COMPRESS_ZSTD },
	{ "f32-bf16", F32_BF16, SHUFFLE4, RN_COMPRESS_ZSTD },
	{ "f32-75%-zeros", F32_ZEROS, NOTHING, RN_COMPRESS_ZSTD },
	{ "f64-normal", F64, SHUFFLE8, RN_COMPRESS_ZSTD },
	{ "ids-sorted", SORTED, DELTA, RN_COMPRESS_ZSTD },
	{ "ids-random", RANDOM, SHUFFLE8, RN_COMPRESS_ZSTD },
	{ "ids-grouped", GROUPED, NOTHING, RN_COMPRESS_ZSTD },
	{ "strings", STRINGS, NOTHING, RN_COMPRESS_ZSTD },
	{ "names", NAMES, NOTHING, RN_COMPRESS_ZSTD },
	{ "packed-sorted", SORTED, DELTA, RN_COMPRESS_NONE },
	{ "packed-random", RANDOM, SHUFFLE8, RN_COMPRESS_NONE },
	{ "packed-grouped", GROUPED, NOTHING, RN_COMPRESS_NONE },
	{ "plain-f32", F32_NORMAL, SHUFFLE4, RN_COMPRESS_NONE },
	{ "plain-names", NAMES, NOTHING, RN_COMPRESS_NONE },
};

static float f32_value(enum kind k)
{
	union {
		float f;
		uint32_t u;
	} x = { .f = (float)normal() };

	if (k == F32_ZEROS)
		return rnd() % 4 ? 0 : fabsf(x.f);
	if (k == F32_BF16)
		x.u = (x.u + 0x8000) & 0xFFFF0000;
	return x.f;
}

static struct rn_tensor *make_tensor(enum kind k)
{
	struct rn_shape shape = { .rank = 1, .dim = { WIDTH } };
	struct rn_tensor *t;
	struct rn_err e;

	check(rn_tensor_new(&shape, RAW / 4 / WIDTH, &t, &e), &e);
	for (uint64_t i = 0; i < t->nnz; i++)
		t->data[i] = f32_value(k);
	return t;
}

static struct rn_column *make_strings(enum kind k)
{
	uint64_t rows = k == NAMES ? 3 << 20 : 2 << 20, at = 0;
	struct rn_column *c;
	struct rn_err e;

	check(rn_column_new_string(rows, rows * 32, &c, &e), &e);
	for (uint64_t i = 0; i < rows; i++) {
		c->off[i] = at;
		if (k == NAMES)
			at += (uint64_t)sprintf(c->bytes + at, "class %d", (int)(rnd() % 40));
		else
			at += (uint64_t)sprintf(c->bytes + at, "paper-%d of %x", (int)i,
						(unsigned)rnd() >> (rnd() % 16));
	}
	c->off[rows] = at;
	return c;
}

static struct rn_column *make_column(enum kind k)
{
	struct rn_column *c;
	struct rn_err e;
	int64_t id = 0;

	if (k == STRINGS || k == NAMES)
		return make_strings(k);
	check(rn_column_new(k == F64 ? RN_FLOAT64 : RN_INT64, RAW / 8, &c, &e), &e);
	for (uint64_t i = 0; i < c->rows; i++) {
		if (k == F64)
			c->f64[i] = normal();
		else if (k == RANDOM)
			c->i64[i] = (int64_t)(rnd() % 170000);
		else
			c->i64[i] = id += k == SORTED ? 1 + (int64_t)(rnd() % 15) : rnd() % 14 == 0;
	}
	return c;
}

/* The relation, and its values as bytes for the reference. */
static struct rn_rel *make_rel(enum kind k, const uint8_t **bytes, uint64_t *n)
{
	bool floats = k <= F32_ZEROS;
	struct rn_tensor *t = floats ? make_tensor(k) : NULL;
	struct rn_column *c = floats ? NULL : make_column(k);
	struct rn_rel *r;
	struct rn_err e;

	check(rn_rel_new("r", t ? t->rows : c->rows, &r, &e), &e);
	if (t) {
		*bytes = (const uint8_t *)t->data;
		*n = RAW;
		check(rn_rel_add_part(r, "z", t, NULL, &e), &e);
		return r;
	}
	*bytes = c->type == RN_STRING  ? (const uint8_t *)c->bytes :
		 c->type == RN_FLOAT64 ? (const uint8_t *)c->f64 : (const uint8_t *)c->i64;
	*n = c->type == RN_STRING ? c->off[c->rows] : 8 * c->rows;
	check(rn_rel_add_col(r, "c", NULL, c, &e), &e);
	return r;
}

/* ---- the codec alone --------------------------------------------------------- */

struct loop {
	const uint8_t *bytes;
	uint64_t n;
	enum transform transform;
	bool back;
	uint8_t *packed[BLOCKS]; /* per block */
	size_t len[BLOCKS];
	int fd; /* of a file with a place for each block, or -1 */
	/* Per thread's turn: blocks are dealt out in as many lanes as there are threads. */
	uint32_t lanes;
	struct {
		ZSTD_CCtx *c;
		ZSTD_DCtx *d;
		uint8_t *plain, *out, *window;
	} lane[8];
};

static void delta(const uint64_t *v, uint64_t n, uint64_t *d)
{
	d[0] = v[0];
	for (uint64_t i = 1; i < n; i++)
		d[i] = v[i] - v[i - 1];
}

static void undelta(uint64_t *v, uint64_t n)
{
	for (uint64_t i = 1; i < n; i++)
		v[i] += v[i - 1];
}

static void pack_block(struct loop *l, uint32_t lane, uint64_t b)
{
	const uint8_t *p = l->bytes + b * BLOCK;
	uint64_t n = l->n - b * BLOCK < BLOCK ? l->n - b * BLOCK : BLOCK;
	uint8_t *plain = l->lane[lane].plain;

	if (l->transform == DELTA) {
		delta((const uint64_t *)p, n / 8, (uint64_t *)l->lane[lane].out);
		rn_shuffle(l->lane[lane].out, n / 8, 8, plain);
	} else if (l->transform) {
		unsigned size = l->transform == SHUFFLE4 ? 4 : 8;

		rn_shuffle(p, n / size, size, plain);
	}
	l->len[b] = ZSTD_compressCCtx(l->lane[lane].c, l->packed[b], ZSTD_compressBound(BLOCK),
				      l->transform ? plain : p, n, 1);
	if (l->fd >= 0 &&
	    pwrite(l->fd, l->packed[b], l->len[b], (off_t)(b * PLACE)) != (ssize_t)l->len[b])
		exit(1);
}

static void unpack_block(struct loop *l, uint32_t lane, uint64_t b)
{
	uint64_t n = l->n - b * BLOCK < BLOCK ? l->n - b * BLOCK : BLOCK;
	uint8_t *plain = l->lane[lane].plain, *out = l->lane[lane].out;
	const uint8_t *packed = l->fd < 0 ? l->packed[b] : l->lane[lane].window;

	if (l->fd >= 0 && pread(l->fd, l->lane[lane].window, l->len[b], (off_t)(b * PLACE)) !=
				  (ssize_t)l->len[b])
		exit(1);
	if (ZSTD_decompressDCtx(l->lane[lane].d, plain, n, packed, l->len[b]) != n)
		exit(1);
	if (l->transform == SHUFFLE4)
		rn_unshuffle(plain, n / 4, 4, out);
	else if (l->transform)
		rn_unshuffle(plain, n / 8, 8, out);
	if (l->transform == DELTA)
		undelta((uint64_t *)out, n / 8);
}

static void one_lane(void *arg, uint32_t lane)
{
	struct loop *l = arg;

	for (uint64_t b = lane; b * BLOCK < l->n; b += l->lanes)
		if (l->back)
			unpack_block(l, lane, b);
		else
			pack_block(l, lane, b);
}

static void loop_init(struct loop *l, const struct data *d, const uint8_t *bytes, uint64_t n)
{
	*l = (struct loop){ .bytes = bytes, .n = n < RAW ? n : RAW, .transform = d->transform, .fd = -1 };
	for (int i = 0; i < BLOCKS; i++)
		l->packed[i] = must(malloc(ZSTD_compressBound(BLOCK)));
	for (int i = 0; i < 8; i++) {
		l->lane[i].c = must(ZSTD_createCCtx());
		l->lane[i].d = must(ZSTD_createDCtx());
		l->lane[i].plain = must(malloc(BLOCK));
		l->lane[i].out = must(malloc(BLOCK));
		l->lane[i].window = must(malloc(PLACE));
	}
}

static void loop_fini(struct loop *l)
{
	for (int i = 0; i < BLOCKS; i++)
		free(l->packed[i]);
	for (int i = 0; i < 8; i++) {
		ZSTD_freeCCtx(l->lane[i].c);
		ZSTD_freeDCtx(l->lane[i].d);
		free(l->lane[i].plain);
		free(l->lane[i].out);
		free(l->lane[i].window);
	}
}

static double run_loop(struct loop *l, struct rn_team *team, bool back)
{
	double start = now();

	l->back = back;
	l->lanes = rn_team_threads(team);
	rn_team_run(team, l->lanes, one_lane, l);
	if (l->fd >= 0 && !back && fsync(l->fd))
		exit(1);
	return (double)l->n / (now() - start) / 1e9;
}

/* The loop through a file of its own. */
static void run_file_loop(struct loop *l, struct rn_team *team, double *wrote, double *read)
{
	char path[4096];

	snprintf(path, sizeof path, "%s/codec.XXXXXX", dir);
	l->fd = mkstemp(path);
	if (l->fd < 0) {
		perror(path);
		exit(1);
	}
	unlink(path);
	*wrote = run_loop(l, team, false);
	*read = run_loop(l, team, true);
	close(l->fd);
	l->fd = -1;
}

/* ---- the container ----------------------------------------------------------- */

static int drop(struct rn_io *io, const void *buf, size_t n, struct rn_err *e)
{
	(void)io, (void)buf, (void)n, (void)e;
	return 0;
}

static int sink_flush(struct rn_io *io, struct rn_err *e)
{
	(void)io, (void)e;
	return 0;
}

static void sink_abort(struct rn_io *io)
{
	free(io->name);
	free(io);
}

static int sink_close(struct rn_io *io, struct rn_err *e)
{
	(void)e;
	sink_abort(io);
	return 0;
}

static const struct rn_io_ops sink_ops = {
	.write = drop, .flush = sink_flush, .close = sink_close, .abort = sink_abort,
};

static struct rn_io *sink_new(void)
{
	struct rn_io *io = must(calloc(1, sizeof *io));

	io->ops = &sink_ops;
	io->kind = RN_IO_OTHER;
	io->name = must(strdup("sink"));
	return io;
}

/* Seconds to write r to io; *raw and *stored from the writer's statistics. */
static double write_rel(const struct rn_rel *r, enum rn_compress compress, struct rn_team *team,
			struct rn_io *io, struct rn_writer_stats *st)
{
	struct rn_writer_opt opt = { .compress = compress, .stats = st, .team = team };
	struct rn_writer *w;
	struct rn_err e;
	double start = now();

	check(rn_writer_open(io, "{}", &opt, &w, &e), &e);
	check(rn_writer_section(w, &r->schema, &e), &e);
	check(rn_writer_rows(w, r, &e), &e);
	check(rn_writer_close(w, &e), &e);
	return now() - start;
}

static double read_rel(struct rn_io *io, struct rn_team *team)
{
	const struct rn_schema *s;
	struct rn_reader *r;
	struct rn_rel *b;
	struct rn_err e;
	double start = now();

	check(rn_reader_open(io, &r, &e), &e);
	rn_reader_set_team(r, team);
	check(rn_reader_section(r, &s, &e), &e);
	do {
		check(rn_reader_block(r, &b, &e), &e);
		rn_rel_unref(b);
	} while (b);
	check(rn_reader_section(r, &s, &e), &e);
	rn_reader_close(r);
	return now() - start;
}

/* ---- measuring --------------------------------------------------------------- */

enum what {
	COMPRESS,
	DECOMPRESS,
	WRITE,
	READ,
	FILE_WRITE,
	FILE_READ,
	FILE_COMPRESS,
	FILE_DECOMPRESS,
	NWHAT
};

/* Is it the codec's loop? */
static bool is_loop(enum what w)
{
	return w < WRITE || w >= FILE_COMPRESS;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void report(const struct data *d, enum what what, unsigned threads, double *gbs,
		   double ratio)
{
	static const char *const names[] = { "codec-compress", "codec-decompress", "write", "read",
					     "file-write", "file-read", "codec-file-write",
					     "codec-file-read" };

	qsort(gbs, (size_t)runs, sizeof *gbs, compare);
	printf("{\"name\": \"%s\", \"what\": \"%s\", \"threads\": %u, \"gbs\": %.3f, "
	       "\"min\": %.3f, \"max\": %.3f, \"ratio\": %.2f}\n",
	       d->name, names[what], threads, gbs[runs / 2], gbs[0], gbs[runs - 1], ratio);
	fflush(stdout);
}

static void through_file(const struct data *d, const struct rn_rel *r, struct rn_team *team,
			 double *wrote, double *read)
{
	struct rn_writer_stats st;
	char path[4096];
	struct rn_err e;
	struct rn_io *io;

	snprintf(path, sizeof path, "%s/codec.%ld.er", dir, (long)getpid());
	check(rn_io_open_write(path, &io, &e), &e);
	*wrote = write_rel(r, d->compress, team, io, &st);
	*wrote = (double)st.raw_bytes / *wrote / 1e9;
	check(rn_io_open_read(path, &io, &e), &e);
	*read = (double)st.raw_bytes / read_rel(io, team) / 1e9;
	unlink(path);
}

static void measure(const struct data *d, struct rn_team *team)
{
	unsigned threads = rn_team_threads(team);
	static double gbs[NWHAT][MAX_RUNS];
	struct rn_writer_stats st;
	uint64_t n, packed = 0;
	const uint8_t *bytes;
	struct rn_rel *r = make_rel(d->kind, &bytes, &n);
	struct rn_err e;
	struct rn_io *io;
	struct loop l;
	void *stream;
	size_t len;

	loop_init(&l, d, bytes, n);
	check(rn_io_to_memory(&stream, &len, &io, &e), &e);
	write_rel(r, d->compress, team, io, &st);
	for (int i = -1; i < runs; i++) { /* the first is to warm up */
		int k = i < 0 ? 0 : i;
		double seconds;

		gbs[COMPRESS][k] = run_loop(&l, team, false);
		gbs[DECOMPRESS][k] = run_loop(&l, team, true);
		seconds = write_rel(r, d->compress, team, sink_new(), &st);
		gbs[WRITE][k] = (double)st.raw_bytes / seconds / 1e9;
		check(rn_io_from_memory(stream, len, "stream", &io, &e), &e);
		gbs[READ][k] = (double)st.raw_bytes / read_rel(io, team) / 1e9;
		if (!dir)
			continue;
		through_file(d, r, team, &gbs[FILE_WRITE][k], &gbs[FILE_READ][k]);
		run_file_loop(&l, team, &gbs[FILE_COMPRESS][k], &gbs[FILE_DECOMPRESS][k]);
	}
	for (uint64_t b = 0; b * BLOCK < l.n; b++)
		packed += l.len[b];
	for (enum what w = 0; w < (dir ? NWHAT : FILE_WRITE); w++)
		report(d, w, threads, gbs[w],
		       is_loop(w) ? (double)l.n / (double)packed :
				    (double)st.raw_bytes / (double)st.written_bytes);
	loop_fini(&l);
	free(stream);
	rn_rel_unref(r);
}

static bool chosen(const char *name, char **names)
{
	if (!*names)
		return true;
	for (; *names; names++)
		if (strstr(name, *names))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "n:d:")) != -1) {
		if (c == 'n')
			runs = atoi(optarg);
		else if (c == 'd')
			dir = optarg;
		else
			return 2;
	}
	if (runs < 1 || runs > MAX_RUNS)
		return 2;
	for (size_t i = 0; i < sizeof datas / sizeof *datas; i++) {
		if (!chosen(datas[i].name, argv + optind))
			continue;
		for (unsigned threads = 1; threads <= 2; threads++) {
			struct rn_team *team;
			struct rn_err e;

			check(rn_team_new(threads, &team, &e), &e);
			measure(&datas[i], team);
			rn_team_free(team);
		}
	}
	return 0;
}
