/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the container's writer cuts blocks: by the rows alone.  Equal rows are equal bytes,
 * in whatever pieces they come and whoever encodes them.
 */
#include "../../formats/container.h"
#include "../../lib/base/team.h"

#include "container_gen.h"

#include <unistd.h>

enum { NTEAMS = 3 };

/* A relation with strings of very different lengths, so that a block ends at a row that
 * only their bytes tell: a few rows of it may be more than a block takes, or thousands. */
static struct rn_rel *uneven_rel(uint64_t rows, uint64_t longest)
{
	struct rn_rel *r = random_rel(rows);
	struct rn_column *c = NULL;
	struct rn_err e;
	uint64_t at = 0;

	T_CALL(rn_column_new_string(rows, rows * longest, &c, &e), &e);
	for (uint64_t i = 0; i < rows; i++) {
		uint64_t n = below(4) ? below(longest / 20 + 1) : below(longest + 1);

		c->off[i] = at;
		memset(c->bytes + at, (int)('a' + below(26)), n);
		at += n;
	}
	c->off[rows] = at;
	T_CALL(rn_rel_add_col(r, "text", NULL, c, &e), &e);
	if (rows < 150) { /* every row takes some KB, whatever it holds */
		struct rn_shape shape = { .rank = 1, .dim = { 1 + (uint32_t)below(4000) } };
		struct rn_tensor *t = NULL;

		T_CALL(rn_tensor_new(&shape, rows, &t, &e), &e);
		for (uint64_t i = 0; i < t->nnz; i++)
			t->data[i] = (float)(i % 7);
		T_CALL(rn_rel_add_part(r, "wide", t, NULL, &e), &e);
	}
	return r;
}

/* Rows at … at + n - 1: as a slice, as a copy, or as its halves stacked, which is how
 * operators hand them on. */
static struct rn_rel *piece_of(const struct rn_rel *r, uint64_t at, uint64_t n)
{
	struct rn_rel *out = NULL, *half[2] = { NULL, NULL };
	struct rn_err e;
	uint32_t *map;

	switch (below(3)) {
	case 0:
		T_CALL(rn_rel_slice(r, at, n, &out, &e), &e);
		break;
	case 1:
		map = malloc((n + 1) * sizeof *map);
		for (uint64_t i = 0; i < n; i++)
			map[i] = (uint32_t)(at + i);
		T_CALL(rn_rel_gather(r, map, n, &out, &e), &e);
		free(map);
		break;
	default:
		T_CALL(rn_rel_slice(r, at, n / 2, &half[0], &e), &e);
		T_CALL(rn_rel_slice(r, at + n / 2, n - n / 2, &half[1], &e), &e);
		T_CALL(rn_rel_concat(&r->schema, half, 2, &out, &e), &e);
		rn_rel_unref(half[0]);
		rn_rel_unref(half[1]);
	}
	return out;
}

/* r in pieces of 0 to `most` rows; 0: whole.  To a file, whose bytes are *data then. */
static void write_cut(const char *path, const struct rn_rel *r, uint64_t most,
		      const struct rn_writer_opt *opt, char **data, size_t *len)
{
	struct rn_writer *w = NULL;
	struct rn_io *io = NULL;
	struct rn_err e;
	FILE *f;

	T_CALL(rn_io_open_write(path, &io, &e), &e);
	T_CALL(rn_writer_open(io, "{\"plan\": 1}", opt, &w, &e), &e);
	T_CALL(rn_writer_section(w, &r->schema, &e), &e);
	for (uint64_t at = 0, n; at < r->rows; at += n) {
		struct rn_rel *piece;

		n = most ? below(most + 1) : r->rows;
		if (n > r->rows - at)
			n = r->rows - at;
		piece = piece_of(r, at, n);
		T_CALL(rn_writer_rows(w, piece, &e), &e);
		rn_rel_unref(piece);
	}
	T_CALL(rn_writer_close(w, &e), &e);
	f = fopen(path, "rb");
	fseek(f, 0, SEEK_END);
	*len = (size_t)ftell(f);
	rewind(f);
	*data = malloc(*len);
	if (fread(*data, 1, *len, f) != *len)
		T_OK(0, "%zu bytes are read back", *len);
	fclose(f);
}

/* Equal rows are equal bytes, however they come and whoever encodes them. */
static void test_cuts(void)
{
	static const enum rn_compress compress[] = { RN_COMPRESS_NONE, RN_COMPRESS_AUTO, RN_COMPRESS_ZSTD };
	static const uint32_t block_rows[] = { 0, 0, 0, 1, 50, 64, 100, 120, 1000 };
	static const uint64_t longest[] = { 20, 300, 9000, 120000 }, most[] = { 1, 70, 700, 1 << 20 };
	const char *tmp = getenv("TMPDIR");
	struct rn_team *teams[NTEAMS];
	struct rn_err e;
	char path[4096];

	snprintf(path, sizeof path, "%s/test_container_cuts.%ld.er", tmp ? tmp : "/tmp", (long)getpid());
	for (unsigned i = 0; i < NTEAMS; i++)
		T_CALL(rn_team_new(i + 1, &teams[i], &e), &e);
	for (uint64_t seed = 1; seed <= 36; seed++) {
		struct rn_writer_opt opt = { .compress = compress[seed % 3] };
		char *whole, *data;
		struct rn_rel *r;
		size_t k, n, len;
		bool same = true;

		state = seed * 0x9E3779B97F4A7C15ull;
		k = below(4);
		r = uneven_rel(below(k == 3 ? 120 : k == 2 ? 700 : seed % 4 ? 9000 : 150), longest[k]);
		opt.block_rows = block_rows[below(sizeof block_rows / sizeof *block_rows)];
		write_cut(path, r, 0, &opt, &whole, &len);
		for (unsigned i = 0; i < 4 && same; i++) {
			opt.team = below(4) ? teams[below(NTEAMS)] : NULL;
			write_cut(path, r, most[i], &opt, &data, &n);
			same = n == len && memcmp(data, whole, n) == 0;
			T_OK(same, "seed %" PRIu64 ": %" PRIu64 " rows in pieces of up to %" PRIu64
				   ", blocks of %u", seed, r->rows, most[i], opt.block_rows);
			free(data);
		}
		free(whole);
		rn_rel_unref(r);
	}
	unlink(path);
	for (unsigned i = 0; i < NTEAMS; i++)
		rn_team_free(teams[i]);
}

int main(void)
{
	test_cuts();
	return t_done();
}
