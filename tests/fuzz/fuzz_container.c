/* SPDX-License-Identifier: Apache-2.0
 *
 * The container reader.  Each input is read as it is, then once more with all its
 * checksums, offsets and padding put right, so that damage gets past them to
 * the decoders.  What is read without an error must be sound and must survive
 * being written and read again.  Several threads must find the same.
 */
#include "../../formats/container.h"
#include "../../formats/container_format.h"
#include "../../formats/hash.h"
#include "../../lib/base/team.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool ok)
{
	if (!ok)
		abort();
}

/* ---- putting checksums right ------------------------------------------------- */

static void seal(uint8_t *p)
{
	rn_put64(p + 56, rn_hash64(p, 56));
}

/* Clear the padding behind p[0 … n-1]; returns the padded length, at most `left`. */
static size_t pad(uint8_t *p, uint64_t n, size_t left)
{
	size_t end = n < left ? (size_t)n : left;
	size_t padded = rn_er_pad(end) < left ? (size_t)rn_er_pad(end) : left;

	memset(p + end, 0, padded - end);
	return padded;
}

static void seal_block(uint8_t *frame, size_t left)
{
	size_t table = (size_t)rn_get32(frame + 28) * RN_ER_FIXED;
	uint8_t *payload = frame + RN_ER_FIXED, *p;

	left -= RN_ER_FIXED;
	if (table > left)
		return;
	p = payload + table;
	left -= table;
	for (uint8_t *c = payload; c < payload + table; c += RN_ER_FIXED) {
		uint64_t stored = rn_get64(c + 16);
		size_t padded;

		if (stored > left)
			break;
		padded = pad(p, stored, left);
		rn_put64(c + 56, rn_hash64(p, (size_t)stored));
		p += padded;
		left -= padded;
	}
	rn_put64(frame + 48, rn_hash64(payload, table));
}

static void repair(uint8_t *p, size_t n)
{
	uint64_t running, at;
	uint8_t both[8 + RN_ER_FIXED];

	if (n < RN_ER_FIXED || rn_get32(p + 20) > n - RN_ER_FIXED)
		return;
	memcpy(p, RN_ER_MAGIC, 8);
	at = RN_ER_FIXED + pad(p + RN_ER_FIXED, rn_get32(p + 20), n - RN_ER_FIXED);
	rn_put64(p + 24, rn_hash64(p + RN_ER_FIXED, rn_get32(p + 20)));
	seal(p);
	running = rn_hash64(p, RN_ER_FIXED);
	while (at + RN_ER_FIXED <= n) {
		uint8_t *f = p + at;
		uint64_t length = rn_get64(f + 8), raw = rn_get64(f + 16);
		size_t left = n - at;

		if (length > left - RN_ER_FIXED)
			return;
		rn_put64(f + 40, at);
		if (rn_get32(f) == RN_FRAME_BLOCK) {
			seal_block(f, RN_ER_FIXED + (size_t)length);
		} else if (raw <= length) {
			pad(f + RN_ER_FIXED, raw, (size_t)length);
			if (rn_get32(f) == RN_FRAME_END && length >= 16)
				rn_put64(f + RN_ER_FIXED, running);
			rn_put64(f + 48, rn_hash64(f + RN_ER_FIXED, (size_t)raw));
		}
		seal(f);
		rn_put64(both, running);
		memcpy(both + 8, f, RN_ER_FIXED);
		running = rn_hash64(both, sizeof both);
		at += RN_ER_FIXED + length;
	}
}

/* ---- reading ----------------------------------------------------------------- */

static void check_column(const struct rn_column *c)
{
	uint64_t nulls = 0;

	for (uint64_t i = 0; i < c->rows; i++) {
		nulls += rn_column_is_null(c, i);
		if (c->type == RN_FLOAT64)
			require(c->f64[i] == c->f64[i]);
		if (c->type == RN_BOOL)
			require(c->b[i] <= 1);
		if (c->type == RN_STRING)
			require(c->off[i] <= c->off[i + 1]);
	}
	require(nulls == c->nulls && !c->null == !nulls);
}

static void check_tensor(const struct rn_tensor *t)
{
	require(!t->sparse || t->ptr[t->rows] == t->nnz);
	for (uint64_t r = 0; t->sparse && r < t->rows; r++)
		for (uint64_t i = t->ptr[r]; i < t->ptr[r + 1]; i++)
			require(t->col[i] < t->shape.dim[0] &&
				(i == t->ptr[r] || t->col[i] > t->col[i - 1]));
}

static void check_rel(const struct rn_rel *r)
{
	for (size_t i = 0; i < r->schema.ncols; i++)
		check_column(r->cols[i]);
	for (size_t i = 0; i < r->schema.nparts; i++)
		check_tensor(r->parts[i].t);
}

/* Read all of it; into w too, if that is not NULL. */
static int read_stream(const void *data, size_t n, struct rn_team *team, struct rn_writer *w,
		       struct rn_err *e)
{
	const struct rn_schema *s;
	struct rn_reader *r;
	struct rn_io *io;
	int rc;

	RN_TRY(rn_io_from_memory(data, n, "fuzz", &io, e));
	RN_TRY(rn_reader_open(io, &r, e));
	rn_reader_set_team(r, team);
	while (!(rc = rn_reader_section(r, &s, e)) && s) {
		struct rn_rel *b;

		if (w)
			RN_GOTO(out, rn_writer_section(w, s, e));
		while (!(rc = rn_reader_block(r, &b, e)) && b) {
			check_rel(b);
			if (w)
				rc = rn_writer_rows(w, b, e);
			rn_rel_unref(b);
			if (rc)
				goto out;
		}
		if (rc)
			break;
	}
out:
	rn_reader_close(r);
	return rc;
}

static void rewrite(const void *data, size_t n, struct rn_team *team)
{
	struct rn_writer_opt opt = { .compress = n % 2 ? RN_COMPRESS_ZSTD : RN_COMPRESS_NONE,
				     .block_rows = (uint32_t)(n % 7) * 10,
				     .team = team };
	struct rn_writer *w;
	struct rn_io *io;
	struct rn_err e;
	void *copy;
	size_t len;

	if (rn_io_to_memory(&copy, &len, &io, &e) || rn_writer_open(io, "", &opt, &w, &e))
		return;
	if (read_stream(data, n, team, w, &e)) {
		rn_writer_abort(w, e.msg);
		require(e.code == RN_ENOMEM);
		return;
	}
	require(!rn_writer_close(w, &e));
	require(!read_stream(copy, len, team, NULL, &e));
	free(copy);
}

/* Alone and on a team; the results must be the same. */
static int read_twice(const void *data, size_t n, struct rn_team *team)
{
	struct rn_err e = { 0 }, te = { 0 };
	int rc = read_stream(data, n, NULL, NULL, &e);
	int trc = read_stream(data, n, team, NULL, &te);

	require(rc == 0 || rc == RN_EDATA || rc == RN_ENOMEM);
	require(rc == RN_ENOMEM || trc == RN_ENOMEM || (rc == trc && !strcmp(e.msg, te.msg)));
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct rn_team *team; /* lives as long as the process */
	uint8_t *copy = malloc(n ? n : 1);

	if (!team)
		require(!rn_team_new(2, &team, NULL));
	read_twice(data, n, team);
	if (!copy)
		return 0;
	if (n)
		memcpy(copy, data, n);
	repair(copy, n);
	if (!read_twice(copy, n, team))
		rewrite(copy, n, team);
	free(copy);
	return 0;
}
