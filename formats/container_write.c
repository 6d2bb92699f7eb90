/* SPDX-License-Identifier: Apache-2.0
 *
 * The writer: relations of any size in, blocks of block_rows rows out.  Rows that
 * do not fill a block wait, as slices of the relations that they came in, until
 * it is full or its section ends.
 */
#include "container.h"

#include "block_write.h"
#include "hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	TARGET_RAW = 1 << 20, /* bytes in memory at which a block is cut */
	DEFAULT_LEVEL = 1,
	MAX_LEVEL = 19,
};

struct section_count {
	uint64_t rows, blocks;
};

struct rn_writer {
	struct rn_io *io;
	bool broken; /* part of a frame may be missing: no ABORT can follow */
	bool in_section;
	uint32_t block_rows;
	struct rn_schema schema;
	uint64_t offset, running;
	struct section_count *sections;
	size_t nsections, sections_cap;
	struct rn_rel **pending;
	size_t npending, pending_cap;
	uint64_t pending_rows, pending_raw;
	struct rn_block_writer block;
	struct rn_writer_stats stats;
	struct rn_writer_stats *told; /* rn_writer_opt.stats */
};

int rn_compress_parse(const char *s, struct rn_writer_opt *opt, struct rn_err *e)
{
	char *end;
	long level;

	opt->level = 0;
	if (strcmp(s, "auto") == 0) {
		opt->compress = RN_COMPRESS_AUTO;
		return 0;
	}
	if (strcmp(s, "none") == 0) {
		opt->compress = RN_COMPRESS_NONE;
		return 0;
	}
	if (strncmp(s, "zstd", 4) != 0 || (s[4] && s[4] != ':'))
		return rn_err_set(e, RN_EUSAGE,
				  "unknown compression '%s' (auto, none, zstd, zstd:N)", s);
	level = s[4] ? strtol(s + 5, &end, 10) : DEFAULT_LEVEL;
	if (s[4] && (s[5] < '0' || s[5] > '9' || *end || level < 1 || level > MAX_LEVEL))
		return rn_err_set(e, RN_EUSAGE, "wrong level in '%s' (zstd:1 to zstd:%d)", s,
				  MAX_LEVEL);
	opt->compress = RN_COMPRESS_ZSTD;
	opt->level = (int)level;
	return 0;
}

static int put(struct rn_writer *w, const void *p, size_t n, struct rn_err *e)
{
	int rc = w->io->ops->write(w->io, p, n, e);

	if (rc) {
		w->broken = true;
		return rc;
	}
	w->offset += n;
	w->stats.written_bytes += n;
	return 0;
}

/* ---- frames ------------------------------------------------------------------ */

/* The running checksum takes up a frame header. */
static void add_running(struct rn_writer *w, const uint8_t *header)
{
	uint8_t both[8 + RN_ER_FIXED];

	rn_put64(both, w->running);
	memcpy(both + 8, header, RN_ER_FIXED);
	w->running = rn_hash64(both, sizeof both);
}

/* A frame whose payload is n bytes of text or of a table. */
static int put_frame(struct rn_writer *w, enum rn_frame_type type, uint32_t section,
		     const void *payload, size_t n, struct rn_err *e)
{
	size_t length = rn_er_pad(n);
	struct rn_frame f = {
		.type = type,
		.length = length,
		.raw = n,
		.section = section,
		.offset = w->offset,
		.payload_sum = rn_hash64(payload, n),
	};
	uint8_t *buf;
	int rc;

	RN_TRY(rn_calloc(1, RN_ER_FIXED + length, "a frame", &buf, e));
	rn_frame_put(&f, buf);
	if (n)
		memcpy(buf + RN_ER_FIXED, payload, n);
	add_running(w, buf);
	rc = put(w, buf, RN_ER_FIXED + length, e);
	free(buf);
	return rc;
}

static int put_header(struct rn_writer *w, const char *text, struct rn_err *e)
{
	size_t n = strlen(text), padded = rn_er_pad(n);
	uint8_t *buf;
	int rc;

	if (n > RN_ER_MAX_HEADER)
		return rn_err_set(e, RN_EUSAGE,
				  "'%s': a header of %zu bytes does not fit (at most %d)",
				  w->io->name, n, RN_ER_MAX_HEADER);
	RN_TRY(rn_calloc(1, RN_ER_FIXED + padded, "a header", &buf, e));
	rn_er_header_put((uint32_t)n, rn_hash64(text, n), buf);
	memcpy(buf + RN_ER_FIXED, text, n);
	w->running = rn_hash64(buf, RN_ER_FIXED);
	rc = put(w, buf, RN_ER_FIXED + padded, e);
	free(buf);
	return rc;
}

/* Frame header and chunk table in front of the chunks, which end where they do. */
static uint8_t *put_table(struct rn_writer *w, uint32_t rows)
{
	struct rn_block_writer *b = &w->block;
	struct section_count *s = &w->sections[w->nsections - 1];
	uint8_t *table = b->enc.p + b->front - RN_ER_FIXED * b->nchunks;
	struct rn_frame f = {
		.type = RN_FRAME_BLOCK,
		.length = b->length,
		.raw = b->raw,
		.rows = rows,
		.chunks = (uint32_t)b->nchunks,
		.section = (uint32_t)(w->nsections - 1),
		.block = (uint32_t)s->blocks,
		.offset = w->offset,
	};

	for (size_t i = 0; i < b->nchunks; i++)
		rn_chunk_put(&b->chunks[i], table + RN_ER_FIXED * i);
	f.payload_sum = rn_hash64(table, RN_ER_FIXED * b->nchunks);
	rn_frame_put(&f, table - RN_ER_FIXED);
	add_running(w, table - RN_ER_FIXED);
	s->rows += rows;
	s->blocks++;
	w->stats.rows += rows;
	w->stats.blocks++;
	w->stats.raw_bytes += b->raw;
	return table - RN_ER_FIXED;
}

static int put_block(struct rn_writer *w, const struct rn_rel *r, struct rn_err *e)
{
	struct rn_block_writer *b = &w->block;
	const uint8_t *from;
	int rc = rn_block_encode(b, r, e);

	if (rc)
		goto out;
	if (b->raw > RN_ER_MAX_RAW || w->sections[w->nsections - 1].blocks == UINT32_MAX) {
		rc = rn_err_set(e, RN_EUSAGE,
				"'%s': a block of %" PRIu64 " rows takes %" PRIu64
				" bytes, more than the %d that fit: write narrower rows",
				w->io->name, r->rows, b->raw, RN_ER_MAX_RAW);
		goto out;
	}
	from = put_table(w, (uint32_t)r->rows);
	for (size_t i = 0; i < b->npieces; i++) {
		const uint8_t *at = b->enc.p + b->pieces[i].at;

		if (at > from)
			RN_GOTO(out, put(w, from, (size_t)(at - from), e));
		RN_GOTO(out, put(w, b->pieces[i].p, b->pieces[i].n, e));
		from = at;
	}
	if (b->enc.p + b->enc.len > from)
		rc = put(w, from, (size_t)(b->enc.p + b->enc.len - from), e);
out:
	rn_block_clear(b);
	return rc;
}

/* ---- rows -------------------------------------------------------------------- */

static void drop_pending(struct rn_writer *w)
{
	for (size_t i = 0; i < w->npending; i++)
		rn_rel_unref(w->pending[i]);
	w->npending = 0;
	w->pending_rows = w->pending_raw = 0;
}

/* What waits becomes a block. */
static int flush_pending(struct rn_writer *w, struct rn_err *e)
{
	struct rn_rel *r;
	int rc;

	if (!w->npending)
		return 0;
	if (w->npending == 1) {
		rc = put_block(w, w->pending[0], e);
	} else {
		rc = rn_rel_concat(&w->schema, w->pending, w->npending, &r, e);
		if (!rc) {
			rc = put_block(w, r, e);
			rn_rel_unref(r);
		}
	}
	drop_pending(w);
	return rc;
}

static int add_pending(struct rn_writer *w, const struct rn_rel *r, uint64_t from, uint64_t n,
		       uint64_t raw, struct rn_err *e)
{
	RN_TRY(rn_grow(&w->pending, &w->pending_cap, w->npending + 1, sizeof(struct rn_rel *),
		       "a block", e));
	if (from == 0 && n == r->rows)
		w->pending[w->npending] = rn_rel_ref((struct rn_rel *)r);
	else
		RN_TRY(rn_rel_slice(r, from, n, &w->pending[w->npending], e));
	w->npending++;
	w->pending_rows += n;
	w->pending_raw += raw;
	return 0;
}

int rn_writer_rows(struct rn_writer *w, const struct rn_rel *r, struct rn_err *e)
{
	uint64_t from = 0;

	if (!w->in_section)
		return rn_err_set(e, RN_EBUG, "'%s': rows outside a section", w->io->name);
	if (!rn_schema_equal(&r->schema, &w->schema))
		return rn_err_set(e, RN_EBUG, "'%s': rows of another schema than their section's",
				  w->io->name);
	while (from < r->rows) {
		uint64_t n = w->block_rows - w->pending_rows, raw;

		n = r->rows - from < n ? r->rows - from : n;
		raw = rn_block_raw(r, from, n);
		while (n > 1 && w->pending_raw + raw > TARGET_RAW) {
			n /= 2;
			raw = rn_block_raw(r, from, n);
		}
		if (w->npending && w->pending_raw + raw > TARGET_RAW) {
			RN_TRY(flush_pending(w, e));
			continue;
		}
		RN_TRY(add_pending(w, r, from, n, raw, e));
		from += n;
		if (w->pending_rows == w->block_rows || w->pending_raw >= TARGET_RAW)
			RN_TRY(flush_pending(w, e));
	}
	return 0;
}

/* ---- life -------------------------------------------------------------------- */

static void writer_free(struct rn_writer *w)
{
	drop_pending(w);
	rn_block_fini(&w->block);
	rn_schema_fini(&w->schema);
	free(w->sections);
	free(w->pending);
	free(w);
}

static int codec_level(const struct rn_writer_opt *opt, enum rn_io_kind kind)
{
	bool far = kind == RN_IO_FILE || kind == RN_IO_SOCKET;

	if (opt->compress == RN_COMPRESS_NONE || (opt->compress == RN_COMPRESS_AUTO && !far))
		return 0;
	return opt->compress == RN_COMPRESS_ZSTD && opt->level ? opt->level : DEFAULT_LEVEL;
}

int rn_writer_open(struct rn_io *io, const char *header, const struct rn_writer_opt *opt,
		   struct rn_writer **out, struct rn_err *e)
{
	struct rn_writer *w;
	int rc;

	rc = rn_calloc(1, sizeof *w, "a writer", &w, e);
	if (rc) {
		io->ops->abort(io);
		return rc;
	}
	w->io = io;
	w->block.level = codec_level(opt, io->kind);
	w->told = opt->stats;
	w->block_rows = opt->block_rows && opt->block_rows < RN_ER_MAX_ROWS ? opt->block_rows :
									      RN_ER_MAX_ROWS;
	rc = put_header(w, header, e);
	if (rc) {
		io->ops->abort(io);
		writer_free(w);
		return rc;
	}
	*out = w;
	return 0;
}

int rn_writer_section(struct rn_writer *w, const struct rn_schema *s, struct rn_err *e)
{
	struct rn_str text = RN_STR_INIT;
	struct rn_schema copy;
	int rc;

	RN_TRY(flush_pending(w, e));
	if (w->nsections == RN_ER_MAX_SECTIONS)
		return rn_err_set(e, RN_EUSAGE, "'%s': more than %d sections", w->io->name,
				  RN_ER_MAX_SECTIONS);
	RN_TRY(rn_grow(&w->sections, &w->sections_cap, w->nsections + 1, sizeof *w->sections,
		       "a writer", e));
	RN_TRY(rn_schema_copy(s, &copy, e));
	rn_schema_fini(&w->schema);
	w->schema = copy;
	rc = rn_schema_to_json(s, &text, e);
	if (!rc)
		rc = put_frame(w, RN_FRAME_SECTION, (uint32_t)w->nsections, text.s, text.len, e);
	rn_str_fini(&text);
	if (rc) {
		w->in_section = false;
		return rc;
	}
	w->sections[w->nsections++] = (struct section_count){ 0 };
	w->in_section = true;
	return 0;
}

static int put_end(struct rn_writer *w, struct rn_err *e)
{
	size_t n = 16 + 16 * w->nsections;
	uint8_t *p;
	int rc;

	RN_TRY(rn_calloc(1, n, "a frame", &p, e));
	rn_put64(p, w->running);
	rn_put64(p + 8, w->nsections);
	for (size_t i = 0; i < w->nsections; i++) {
		rn_put64(p + 16 + 16 * i, w->sections[i].rows);
		rn_put64(p + 24 + 16 * i, w->sections[i].blocks);
	}
	rc = put_frame(w, RN_FRAME_END, (uint32_t)w->nsections, p, n, e);
	free(p);
	return rc;
}

int rn_writer_close(struct rn_writer *w, struct rn_err *e)
{
	int rc;

	RN_GOTO(fail, flush_pending(w, e));
	RN_GOTO(fail, put_end(w, e));
	RN_GOTO(fail, w->io->ops->flush(w->io, e));
	if (w->told)
		*w->told = w->stats;
	rc = w->io->ops->close(w->io, e);
	writer_free(w);
	return rc;
fail:
	rn_writer_abort(w, e ? e->msg : "");
	return rc;
}

/* The message cut to what fits, at a character. */
static size_t message_length(const char *s)
{
	size_t n = strlen(s);

	if (n <= RN_ER_MAX_MESSAGE)
		return n;
	n = RN_ER_MAX_MESSAGE;
	while (n && ((unsigned char)s[n] & 0xC0) == 0x80)
		n--;
	return n;
}

void rn_writer_abort(struct rn_writer *w, const char *message)
{
	if (!w)
		return;
	/* The cause is what counts: that this may fail too is not reported. */
	if (!w->broken)
		(void)!put_frame(w, RN_FRAME_ABORT, (uint32_t)w->nsections, message,
				 message_length(message), NULL);
	w->io->ops->abort(w->io);
	writer_free(w);
}
