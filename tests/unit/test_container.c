/* SPDX-License-Identifier: Apache-2.0
 *
 * The container: what is written is read back, in any cut; every truncation and
 * every flipped bit is an error that names an offset; ABORT names the cause.
 */
#include "../../formats/container.h"
#include "../../lib/base/team.h"

#include "container_gen.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <unistd.h>

/* ---- comparison -------------------------------------------------------------- */

static bool same_column(const struct rn_column *a, const struct rn_column *b)
{
	uint64_t n = a->rows;

	if (a->type != b->type || n != b->rows || a->nulls != b->nulls || !a->null != !b->null)
		return false;
	if (n && a->null && memcmp(a->null, b->null, n) != 0)
		return false;
	if (a->type == RN_STRING)
		return memcmp(a->off, b->off, (n + 1) * 8) == 0 &&
		       memcmp(a->bytes, b->bytes, a->off[n]) == 0;
	if (!n)
		return true;
	if (a->type == RN_BOOL)
		return memcmp(a->b, b->b, n) == 0;
	return a->type == RN_FLOAT64 ? memcmp(a->f64, b->f64, n * 8) == 0 :
				       memcmp(a->i64, b->i64, n * 8) == 0;
}

static bool same_part(const struct rn_rel *x, const struct rn_rel *y, size_t i)
{
	struct rn_tensor *a = NULL, *b = NULL;
	struct rn_err e;
	bool same;

	T_CALL(rn_rel_flat_part(x, i, &a, &e), &e);
	T_CALL(rn_rel_flat_part(y, i, &b, &e), &e);
	same = a->sparse == b->sparse && a->rows == b->rows && a->nnz == b->nnz &&
	       rn_shape_equal(&a->shape, &b->shape) && memcmp(a->data, b->data, a->nnz * 4) == 0;
	if (same && a->sparse)
		same = memcmp(a->ptr, b->ptr, (a->rows + 1) * 8) == 0 &&
		       memcmp(a->col, b->col, a->nnz * 4) == 0;
	rn_tensor_unref(a);
	rn_tensor_unref(b);
	return same;
}

static bool same_rel(const struct rn_rel *a, const struct rn_rel *b)
{
	bool same = rn_schema_equal(&a->schema, &b->schema) && a->rows == b->rows &&
		    a->schema.nkey == b->schema.nkey &&
		    !a->schema.name == !b->schema.name;

	for (size_t i = 0; same && i < a->schema.ncols; i++)
		same = same_column(a->cols[i], b->cols[i]);
	for (size_t i = 0; same && i < a->schema.nparts; i++)
		same = same_part(a, b, i);
	return same;
}

/* ---- round trips ------------------------------------------------------------- */

/* Sections rs[0 … n-1] in pieces of at most `piece` rows. */
static void write_to(struct rn_io *io, struct rn_rel *const *rs, size_t n, uint64_t piece,
		     const struct rn_writer_opt *opt)
{
	struct rn_writer *w = NULL;
	struct rn_err e;

	T_CALL(rn_writer_open(io, "{\"plan\": 1}", opt, &w, &e), &e);
	for (size_t i = 0; i < n; i++) {
		T_CALL(rn_writer_section(w, &rs[i]->schema, &e), &e);
		for (uint64_t at = 0; at < rs[i]->rows; at += piece) {
			uint64_t k = rs[i]->rows - at < piece ? rs[i]->rows - at : piece;
			struct rn_rel *part = NULL;

			T_CALL(rn_rel_slice(rs[i], at, k, &part, &e), &e);
			T_CALL(rn_writer_rows(w, part, &e), &e);
			rn_rel_unref(part);
		}
	}
	T_CALL(rn_writer_close(w, &e), &e);
}

static void write_all(struct rn_rel *const *rs, size_t n, uint64_t piece,
		      const struct rn_writer_opt *opt, void **data, size_t *len)
{
	struct rn_io *io = NULL;
	struct rn_err e;

	T_CALL(rn_io_to_memory(data, len, &io, &e), &e);
	write_to(io, rs, n, piece, opt);
}

/* Read everything; 0 if it is all there and equal to rs (which may be NULL). */
static int read_from(struct rn_io *io, struct rn_team *team, struct rn_rel *const *rs, size_t n,
		     bool *same, uint32_t block_rows, struct rn_err *e)
{
	const struct rn_schema *s;
	struct rn_reader *r = NULL;
	size_t i = 0;
	int rc;

	*same = true;
	RN_TRY(rn_reader_open(io, &r, e));
	rn_reader_set_team(r, team);
	*same = strcmp(rn_reader_header(r), "{\"plan\": 1}") == 0;
	while (!(rc = rn_reader_section(r, &s, e)) && s) {
		struct rn_rel *all = NULL;

		rc = rn_reader_all(r, &all, e);
		if (rc)
			break;
		if (rs)
			*same = *same && i < n && same_rel(all, rs[i]);
		if (rs && block_rows)
			*same = *same && rn_reader_section_stats(r)->blocks >=
						 (all->rows + block_rows - 1) / block_rows;
		rn_rel_unref(all);
		i++;
	}
	rn_reader_close(r);
	*same = *same && i == n;
	return rc;
}

static int read_back(const void *data, size_t len, struct rn_rel *const *rs, size_t n, bool *same,
		     uint32_t block_rows, struct rn_err *e)
{
	struct rn_io *io = NULL;

	T_CALL(rn_io_from_memory(data, len, "input", &io, e), e);
	return read_from(io, NULL, rs, n, same, block_rows, e);
}

static void test_round_trips(void)
{
	static const uint32_t block_rows[] = { 1, 2, 7, 64, 100, 1000, 65536 };

	for (uint64_t seed = 1; seed <= 150; seed++) {
		struct rn_rel *rs[3];
		struct rn_writer_opt opt = { .compress = seed % 2 ? RN_COMPRESS_NONE :
								    RN_COMPRESS_ZSTD };
		struct rn_err e = { 0 };
		void *data;
		size_t n, len;
		uint64_t piece;
		bool same;
		int rc;

		state = seed * 0x9E3779B97F4A7C15ull;
		n = below(4);
		for (size_t i = 0; i < n; i++)
			rs[i] = random_rel(below(4) ? below(300) : below(3));
		opt.block_rows = block_rows[below(7)];
		piece = 1 + below(400);
		write_all(rs, n, piece, &opt, &data, &len);
		rc = read_back(data, len, rs, n, &same, opt.block_rows, &e);
		T_OK(!rc && same && len % 64 == 0,
		     "seed %" PRIu64 ": %zu sections, pieces of %" PRIu64 ", blocks of %u, %s: %s",
		     seed, n, piece, opt.block_rows,
		     opt.compress == RN_COMPRESS_ZSTD ? "zstd" : "none",
		     rc ? e.msg : same ? "equal" : "differs");
		free(data);
		for (size_t i = 0; i < n; i++)
			rn_rel_unref(rs[i]);
	}
}

static void test_large(void)
{
	struct rn_writer_opt opt = { .compress = RN_COMPRESS_NONE };
	struct rn_rel *r;
	struct rn_err e = { 0 };
	void *data;
	size_t len;
	bool same;

	state = 99;
	do {
		r = random_rel(200000);
		if (r->schema.ncols > 5 && r->schema.nparts > 1)
			break;
		rn_rel_unref(r);
	} while (true);
	write_all(&r, 1, 1 << 30, &opt, &data, &len);
	T_OK(!read_back(data, len, &r, 1, &same, 65536, &e) && same, "200,000 rows: %s", e.msg);
	free(data);
	opt.compress = RN_COMPRESS_ZSTD;
	write_all(&r, 1, 50000, &opt, &data, &len);
	T_OK(!read_back(data, len, &r, 1, &same, 65536, &e) && same, "with zstd: %s", e.msg);
	free(data);
	rn_rel_unref(r);
}

/* Rows of 1 MB: blocks are cut by size too. */
static void test_wide(void)
{
	struct rn_writer_opt opt = { 0 };
	struct rn_shape shape = { .rank = 2, .dim = { 512, 512 } };
	struct rn_tensor *t = NULL;
	struct rn_rel *r = NULL;
	struct rn_err e = { 0 };
	void *data;
	size_t len;
	bool same;

	T_CALL(rn_tensor_new(&shape, 100, &t, &e), &e);
	for (uint64_t i = 0; i < t->nnz; i++)
		t->data[i] = (float)(i % 1009);
	T_CALL(rn_rel_new("wide", 100, &r, &e), &e);
	T_CALL(rn_rel_add_part(r, "z", t, NULL, &e), &e);
	write_all(&r, 1, 1000, &opt, &data, &len);
	T_OK(!read_back(data, len, &r, 1, &same, 0, &e) && same, "100 rows of 1 MB: %s", e.msg);
	free(data);
	rn_rel_unref(r);
}

/* ---- threads ----------------------------------------------------------------- */

enum { NTEAMS = 3 };

static void teams_new(struct rn_team **teams)
{
	struct rn_err e;

	for (unsigned i = 0; i < NTEAMS; i++)
		T_CALL(rn_team_new(i + 1, &teams[i], &e), &e);
}

static void teams_free(struct rn_team **teams)
{
	for (unsigned i = 0; i < NTEAMS; i++)
		rn_team_free(teams[i]);
}

/* The same bytes from every team, and the same relations to it. */
static bool same_by_teams(struct rn_team **teams, struct rn_rel *const *rs, size_t n,
			  uint64_t piece, const struct rn_writer_opt *opt, struct rn_err *e)
{
	void *first, *data;
	bool same = true;
	size_t len, k;

	write_all(rs, n, piece, opt, &first, &len);
	for (unsigned i = 0; i < NTEAMS && same; i++) {
		struct rn_writer_opt o = *opt;
		struct rn_io *io = NULL;
		bool equal;

		o.team = teams[i];
		write_all(rs, n, piece, &o, &data, &k);
		same = k == len && memcmp(data, first, len) == 0;
		free(data);
		T_CALL(rn_io_from_memory(first, len, "input", &io, e), e);
		same = !read_from(io, teams[i], rs, n, &equal, 0, e) && equal && same;
	}
	free(first);
	return same;
}

static void test_teams(void)
{
	static const uint32_t block_rows[] = { 0, 3, 50, 1000 };
	struct rn_team *teams[NTEAMS];

	teams_new(teams);
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct rn_writer_opt opt = { .compress = seed % 2 ? RN_COMPRESS_ZSTD :
								    RN_COMPRESS_NONE };
		struct rn_rel *rs[3];
		struct rn_err e = { 0 };
		size_t n;

		state = seed * 0x9E3779B97F4A7C15ull;
		n = 1 + below(3);
		for (size_t i = 0; i < n; i++)
			rs[i] = random_rel(below(1500));
		opt.block_rows = block_rows[seed / 2 % 4];
		T_OK(same_by_teams(teams, rs, n, 1 + below(900), &opt, &e),
		     "seed %" PRIu64 ": 1, 2 and 3 threads agree: %s", seed, e.msg);
		for (size_t i = 0; i < n; i++)
			rn_rel_unref(rs[i]);
	}
	teams_free(teams);
}

/* What is told of how far a file was read: ever more, and in the end all but its END. */
static bool shares_grow(const char *path, struct rn_team *team)
{
	uint64_t before = 0, done = 0, total = 0;
	const struct rn_schema *s;
	struct rn_reader *r = NULL;
	struct rn_io *io = NULL;
	bool grow = true;
	struct rn_err e;

	T_CALL(rn_io_open_read(path, &io, &e), &e);
	T_CALL(rn_reader_open(io, &r, &e), &e);
	rn_reader_set_team(r, team);
	while (!rn_reader_section(r, &s, &e) && s) {
		struct rn_rel *b;

		while (!rn_reader_block(r, &b, &e) && b) {
			rn_rel_unref(b);
			rn_reader_progress(r, &done, &total);
			grow = grow && done > before && done < total;
			before = done;
		}
	}
	rn_reader_close(r);
	return grow && done && total - done <= 256;
}

/* A file, where a helper reads and writes beside a lone thread. */
static void test_file(void)
{
	static const enum rn_compress compress[] = { RN_COMPRESS_ZSTD, RN_COMPRESS_NONE };
	const char *tmp = getenv("TMPDIR");
	struct rn_team *teams[NTEAMS];
	struct rn_rel *rs[2];
	char path[4096];

	snprintf(path, sizeof path, "%s/test_container.%ld.er", tmp ? tmp : "/tmp", (long)getpid());
	teams_new(teams);
	state = 77;
	rs[0] = random_rel(150000);
	rs[1] = random_rel(90000);
	for (unsigned k = 0; k < 2; k++)
		for (unsigned i = 0; i < NTEAMS; i++) {
			struct rn_writer_opt opt = { .compress = compress[k], .team = teams[i] };
			struct rn_err e = { 0 };
			struct rn_io *io = NULL;
			bool same;

			T_CALL(rn_io_open_write(path, &io, &e), &e);
			write_to(io, rs, 2, 40000, &opt);
			T_OK(shares_grow(path, teams[i]), "how far it was read, %u threads", i + 1);
			T_CALL(rn_io_open_read(path, &io, &e), &e);
			T_OK(!read_from(io, teams[i], rs, 2, &same, 0, &e) && same,
			     "a file, %u threads: %s", i + 1, e.msg);
		}
	unlink(path);
	for (unsigned i = 0; i < 2; i++)
		rn_rel_unref(rs[i]);
	teams_free(teams);
}

/* What is read before the end is used, and a reader that is closed early frees the rest. */
static void test_early_close(void)
{
	struct rn_writer_opt opt = { .compress = RN_COMPRESS_ZSTD, .block_rows = 100 };
	const struct rn_schema *s;
	struct rn_team *teams[NTEAMS];
	struct rn_reader *r = NULL;
	struct rn_rel *rel, *b[3];
	struct rn_io *io = NULL;
	struct rn_err e = { 0 };
	uint64_t rows = 0;
	void *data;
	size_t len;

	teams_new(teams);
	state = 5;
	rel = random_rel(5000);
	write_all(&rel, 1, 5000, &opt, &data, &len);
	T_CALL(rn_io_from_memory(data, len, "input", &io, &e), &e);
	T_CALL(rn_reader_open(io, &r, &e), &e);
	rn_reader_set_team(r, teams[2]);
	T_CALL(rn_reader_section(r, &s, &e), &e);
	for (int i = 0; i < 3; i++) {
		T_CALL(rn_reader_block(r, &b[i], &e), &e);
		rows += b[i]->rows;
	}
	T_OK(rn_reader_section_stats(r)->rows == rows && rn_reader_section_stats(r)->blocks == 3,
	     "blocks count once they are handed on");
	rn_reader_close(r);
	for (int i = 0; i < 3; i++) /* they outlive the reader, and its buffers */
		rn_rel_unref(b[i]);
	free(data);
	rn_rel_unref(rel);
	teams_free(teams);
}

/* ---- damage ------------------------------------------------------------------ */

static struct rn_rel *small_rel(const char *name, uint64_t rows, unsigned from, unsigned to)
{
	struct rn_rel *r = NULL;
	struct rn_err e;

	T_CALL(rn_rel_new(name, rows, &r, &e), &e);
	for (unsigned t = from; t < to; t++) {
		char col[2] = { (char)('a' + t), 0 };

		T_CALL(rn_rel_add_col(r, col, NULL, random_column((enum rn_type)t, rows), &e), &e);
	}
	T_CALL(rn_rel_add_part(r, "z", random_tensor(rows, false), NULL, &e), &e);
	T_CALL(rn_rel_add_part(r, "x", random_tensor(rows, true), NULL, &e), &e);
	return r;
}

/* A stream with every type, NULLs, dense, sparse, an empty section. */
static void small_stream(enum rn_compress compress, void **data, size_t *len)
{
	struct rn_writer_opt opt = { .compress = compress, .block_rows = 40 };
	struct rn_rel *rs[3];

	state = 4711;
	rs[0] = small_rel("first", 70, 0, RN_NTYPES);
	rs[1] = small_rel(NULL, 0, 1, 2);
	rs[2] = small_rel("third", 5, 3, 4);
	write_all(rs, 3, 1000, &opt, data, len);
	for (int i = 0; i < 3; i++)
		rn_rel_unref(rs[i]);
}

/* A fault is the same one for a team and for a helper, in memory and in a file: the first in
 * the order of the stream. */
struct elsewhere {
	struct rn_team *team;
	char path[4096];
	int fd; /* of the file at `path` */
	unsigned n; /* faults so far: each eighth is looked for in a file as well */
};

static void elsewhere_init(struct elsewhere *w)
{
	const char *tmp = getenv("TMPDIR");
	struct rn_err e;

	snprintf(w->path, sizeof w->path, "%s/test_damage.%ld.er", tmp ? tmp : "/tmp", (long)getpid());
	w->fd = open(w->path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	w->n = 0;
	T_CALL(rn_team_new(3, &w->team, &e), &e);
}

static void elsewhere_fini(struct elsewhere *w)
{
	unlink(w->path);
	close(w->fd);
	rn_team_free(w->team);
}

static bool is_error(struct rn_io *io, struct rn_team *team, const struct rn_err *want)
{
	struct rn_err e = { 0 };
	bool same;

	return read_from(io, team, NULL, 3, &same, 0, &e) == RN_EDATA &&
	       strcmp(e.msg, want->msg) == 0;
}

static bool is_same_error(struct elsewhere *w, const void *data, size_t len,
			  const struct rn_err *want)
{
	struct rn_io *io = NULL;
	struct rn_err e;
	bool same;

	T_CALL(rn_io_from_memory(data, len, "input", &io, &e), &e);
	same = is_error(io, w->team, want);
	if (w->n++ % 8)
		return same;
	same &= !ftruncate(w->fd, 0) && pwrite(w->fd, data, len, 0) == (ssize_t)len;
	for (unsigned i = 0; i < 2; i++) {
		T_CALL(rn_io_open_read(w->path, &io, &e), &e);
		free(io->name);
		io->name = strdup("input");
		same &= is_error(io, i ? w->team : NULL, want);
	}
	return same;
}

static bool is_found(const void *data, size_t len, struct rn_err *e)
{
	bool same;
	int rc;

	*e = (struct rn_err){ 0 };
	rc = read_back(data, len, NULL, 3, &same, 0, e);
	return rc == RN_EDATA && e->code == RN_EDATA && strstr(e->msg, "offset");
}

static void test_damage(enum rn_compress compress)
{
	const char *name = compress == RN_COMPRESS_ZSTD ? "zstd" : "none";
	size_t len, missed = 0, other = 0;
	struct elsewhere there;
	struct rn_err e;
	uint8_t *p, *cut;
	void *data;
	bool same;

	elsewhere_init(&there);
	small_stream(compress, &data, &len);
	p = data;
	T_OK(!read_back(p, len, NULL, 3, &same, 0, &e), "the small stream (%s, %zu bytes) is good",
	     name, len);
	for (size_t i = 0; i < len; i++) {
		cut = malloc(i ? i : 1); /* a copy, so that ASan sees a read past the end */
		memcpy(cut, p, i);
		if (!is_found(cut, i, &e) && missed++ < 5)
			printf("# cut at %zu: %d %s\n", i, e.code, e.msg);
		other += i % 3 == 0 && !is_same_error(&there, cut, i, &e);
		free(cut);
	}
	T_OK(!missed, "%s: every truncation is found", name);
	missed = 0;
	for (size_t i = 0; i < 8 * len; i++) {
		p[i / 8] ^= (uint8_t)(1 << i % 8);
		if (!is_found(p, len, &e) && missed++ < 5)
			printf("# bit %zu of byte %zu: %d %s\n", i % 8, i / 8, e.code, e.msg);
		other += i % 7 == 0 && !is_same_error(&there, p, len, &e);
		p[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	T_OK(!missed, "%s: every flipped bit is found", name);
	T_OK(!other, "%s: a team and a helper report the same faults, of memory and of a file", name);
	elsewhere_fini(&there);
	p = realloc(p, len + 1);
	p[len] = 0;
	T_OK(is_found(p, len + 1, &e) && strstr(e.msg, "after the end"), "%s: trailing byte: %s",
	     name, e.msg);
	free(p);
}

static void test_foreign(void)
{
	static const char crlf[] = "\xABRNE\n\x1A\n\1\0\0\0";
	struct rn_err e;

	T_OK(is_found("id,name\n1,x\n", 12, &e) && strstr(e.msg, "rn-scan"), "text: %s", e.msg);
	T_OK(is_found("a,b\n", 4, &e) && strstr(e.msg, "rn-scan"), "short text: %s", e.msg);
	T_OK(is_found("\xABRN", 3, &e) && strstr(e.msg, "truncated at offset 3"), "short: %s", e.msg);
	T_OK(is_found(crlf, sizeof crlf, &e) && strstr(e.msg, "line ends"), "CR-LF: %s", e.msg);
	T_OK(is_found("", 0, &e) && strstr(e.msg, "truncated at offset 0"), "empty: %s", e.msg);
}

/* ---- abort ------------------------------------------------------------------- */

static int abort_through_pipe(const char *message, bool with_rows, struct rn_err *e)
{
	const struct rn_schema *s;
	struct rn_writer *w = NULL;
	struct rn_reader *r = NULL;
	struct rn_rel *rel = NULL;
	struct rn_io *out = NULL, *in = NULL;
	char path[32];
	int fd[2], rc;

	if (pipe(fd))
		return -1;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd[1]);
	T_CALL(rn_io_open_write(path, &out, e), e);
	close(fd[1]);
	T_OK(out->kind == RN_IO_PIPE, "a pipe is known as one");
	T_CALL(rn_writer_open(out, "{}", &(struct rn_writer_opt){ 0 }, &w, e), e);
	if (with_rows) {
		state = 5;
		rel = small_rel("r", 10, 0, 2);
		T_CALL(rn_writer_section(w, &rel->schema, e), e);
		T_CALL(rn_writer_rows(w, rel, e), e);
		rn_rel_unref(rel);
	}
	rn_writer_abort(w, message);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd[0]);
	T_CALL(rn_io_open_read(path, &in, e), e);
	close(fd[0]);
	free(in->name);
	in->name = strdup("upstream");
	RN_TRY(rn_reader_open(in, &r, e));
	rc = rn_reader_section(r, &s, e);
	if (!rc && s)
		rc = rn_reader_section(r, &s, e);
	T_OK(rn_reader_section(r, &s, NULL) == rc, "an error stays");
	rn_reader_close(r);
	return rc;
}

static void test_abort(void)
{
	struct rn_err e = { 0 };

	rn_writer_abort(NULL, "nothing");
	T_OK(abort_through_pipe("rn-scan: cannot open 'x'", false, &e) == RN_EDATA &&
		     !strcmp(e.msg, "upstream: rn-scan: cannot open 'x'"),
	     "abort: %s", e.msg);
	T_OK(abort_through_pipe("upstream: rn-scan: bad", true, &e) == RN_EDATA &&
		     !strcmp(e.msg, "upstream: rn-scan: bad"),
	     "the name comes once: %s", e.msg);
	T_OK(abort_through_pipe("", true, &e) == RN_EDATA && strstr(e.msg, "failed"),
	     "no message: %s", e.msg);
}

/* ---- misuse and options ------------------------------------------------------ */

static void test_misuse(void)
{
	struct rn_schema s = { 0 }, wide = { 0 };
	struct rn_shape shape = { .rank = 2, .dim = { 1 << 20, 1 << 20 } };
	struct rn_writer *w = NULL;
	struct rn_io *io = NULL;
	struct rn_rel *r;
	struct rn_err e = { 0 };
	void *data;
	size_t len;

	state = 3;
	do { /* of which one value at least is not NULL */
		r = small_rel("r", 4, 1, 2);
		if (r->cols[0]->nulls < 4)
			break;
		rn_rel_unref(r);
	} while (true);
	T_CALL(rn_io_to_memory(&data, &len, &io, &e), &e);
	T_CALL(rn_writer_open(io, "{}", &(struct rn_writer_opt){ 0 }, &w, &e), &e);
	T_OK(rn_writer_rows(w, r, &e) == RN_EBUG, "rows outside a section: %s", e.msg);
	T_CALL(rn_writer_section(w, &s, &e), &e);
	T_OK(rn_writer_rows(w, r, &e) == RN_EBUG, "rows of another schema: %s", e.msg);
	T_CALL(rn_schema_add_col(&s, "\xFF", NULL, RN_BOOL, &e), &e);
	T_OK(rn_writer_section(w, &s, &e) == RN_EUSAGE, "a name that is not UTF-8: %s", e.msg);
	T_CALL(rn_schema_add_part(&wide, "z", &shape, false, &e), &e);
	T_OK(rn_writer_section(w, &wide, &e) == RN_EUSAGE, "a row that is too wide: %s", e.msg);
	T_CALL(rn_writer_section(w, &r->schema, &e), &e);
	for (uint64_t i = 0; i < r->rows; i++)
		r->cols[0]->f64[i] = NAN;
	T_CALL(rn_writer_rows(w, r, &e), &e);
	T_OK(rn_writer_close(w, &e) == RN_EBUG && !data, "NaN in content: %s", e.msg);
	rn_schema_fini(&s);
	rn_schema_fini(&wide);
	rn_rel_unref(r);
}

/* The example of rn_er(5), word by word: what version 1.0 is stays what it is. */
static void test_smallest(void)
{
	static const uint64_t want[32] = {
		[0] = 0x0a1a0a0d454e52abull,
		[1] = 0x0000000000000001ull,
		[2] = 0x0000000200000000ull,
		[3] = 0x1349cde127705c16ull,
		[7] = 0x90624c338368ecaaull,
		[8] = 0x0000000000007d7bull,
		[16] = 0x000000005f444e45ull,
		[17] = 0x0000000000000040ull,
		[18] = 0x0000000000000010ull,
		[21] = 0x0000000000000080ull,
		[22] = 0xe0fe3563f43891c2ull,
		[23] = 0x8c200efe130566dcull,
		[24] = 0x940eca7a8396defaull,
	};
	bool same;
	struct rn_err e;
	struct rn_writer *w = NULL;
	struct rn_io *io = NULL;
	void *data;
	size_t len;

	T_CALL(rn_io_to_memory(&data, &len, &io, &e), &e);
	T_CALL(rn_writer_open(io, "{}", &(struct rn_writer_opt){ 0 }, &w, &e), &e);
	T_CALL(rn_writer_close(w, &e), &e);
	same = len == sizeof want && memcmp(data, want, len) == 0;
	T_OK(same, "the smallest stream is that of the specification");
	free(data);
}

static void test_options(void)
{
	static const char *const wrong[] = { "", "gzip", "zstd:", "zstd:0", "zstd:20", "zstd:3x",
					     "zstd-3", "zstd: 3" };
	struct rn_writer_opt o;
	struct rn_err e;

	T_OK(!rn_compress_parse("auto", &o, &e) && o.compress == RN_COMPRESS_AUTO, "auto");
	T_OK(!rn_compress_parse("none", &o, &e) && o.compress == RN_COMPRESS_NONE, "none");
	T_OK(!rn_compress_parse("zstd", &o, &e) && o.compress == RN_COMPRESS_ZSTD && o.level == 1,
	     "zstd");
	T_OK(!rn_compress_parse("zstd:19", &o, &e) && o.level == 19, "zstd:19");
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		T_OK(rn_compress_parse(wrong[i], &o, &e) == RN_EUSAGE, "'%s': %s", wrong[i], e.msg);
	for (unsigned i = 0; i < 6; i++)
		T_OK(rn_encoding_name(i), "encoding %u is %s", i, rn_encoding_name(i));
	T_OK(!rn_encoding_name(6), "there is no encoding 6");
}

int main(void)
{
	test_options();
	test_smallest();
	test_round_trips();
	test_large();
	test_wide();
	test_teams();
	test_file();
	test_early_close();
	test_damage(RN_COMPRESS_NONE);
	test_damage(RN_COMPRESS_ZSTD);
	test_foreign();
	test_abort();
	test_misuse();
	return t_done();
}
