/* SPDX-License-Identifier: Apache-2.0
 *
 * The writer: relations of any size in, blocks of block_rows rows out.  Rows that
 * do not fill a block wait, as slices of the relations that they came in, until
 * it is full or its section ends.
 *
 * With lanes, blocks wait in a bank until there are enough; while one bank is encoded
 * the bank before it is written, in order, by whoever is free.  What a block becomes depends
 * on its rows alone, so that the bytes are the same for every number of threads.
 */
#include "container.h"

#include "../lib/base/uri.h"
#include "block_write.h"
#include "hash.h"
#include "lanes.h"
#include "shm.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	TARGET_RAW = 1 << 20, /* bytes in memory at which a block is cut */
	CUT_ROWS = 64,        /* rows after which every vector is at a multiple of 64 bytes again */
	MIN_SHARED = 4 << 10, /* bytes of a payload below which a pipe is cheaper */
	NBANKS = 2,
	DEFAULT_LEVEL = 1,
	MAX_LEVEL = 19,
};

struct section_count {
	uint64_t rows, blocks;
};

/* A block on its way: the relations that it stacks, then what they became. */
struct slot {
	struct rn_rel **rels; /* 1 or more, owned */
	size_t nrels, rels_cap;
	struct rn_rel *whole; /* they as one, owned */
	struct rn_block block;
	struct rn_err err; /* code 0: encoded */
};

struct bank {
	struct slot *slots; /* room for w->lanes.n */
	size_t n;
};

struct rn_writer {
	struct rn_io *io;
	struct rn_shm_writer *shm; /* or NULL: everything goes inline, */
	const char *why_inline;    /* as this says, or, NULL, because it is no pipe */
	atomic_bool shared;        /* the last payload went through it */
	bool broken; /* part of a frame may be missing: no ABORT can follow */
	bool in_section;
	uint32_t block_rows;
	int level;
	struct rn_schema schema;
	uint64_t offset, running;
	struct section_count *sections;
	size_t nsections, sections_cap;
	struct rn_rel **pending;
	size_t npending, pending_cap;
	uint64_t pending_rows, pending_raw;
	uint64_t least_raw; /* bytes that every row of the section takes */
	/* bank[fill] takes blocks; the other one is empty, or encoded and to be written (which
	 * is done at once where there is one lane only). */
	struct rn_lanes lanes;
	struct bank bank[NBANKS];
	unsigned fill;
	struct rn_block_scratch scratch[RN_MAX_LANES];
	struct rn_err failed; /* of a block; code 0: none */
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
	int rc = w->shm ? rn_shm_writer_put(w->shm, p, n, w->io->name, e) :
			  w->io->ops->write(w->io, p, n, e);

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

/* Offer shared memory to who reads this pipe. */
static int put_offer(struct rn_writer *w, bool inline_only, struct rn_err *e)
{
	uint8_t offer[RN_SHM_OFFER];

	if (w->io->kind != RN_IO_PIPE || !w->io->ops->fd)
		return 0;
	if (w->level || inline_only) {
		w->why_inline = w->level ? "it is compressed" : "--no-history";
		return 0;
	}
	w->shm = rn_shm_writer_new(w->io->ops->fd(w->io), offer);
	if (w->shm)
		return put_frame(w, RN_FRAME_OFFER, 0, offer, sizeof offer, e);
	w->why_inline = rn_shm_writer_why(NULL);
	return 0;
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
static uint8_t *put_table(struct rn_writer *w, struct rn_block *b, uint32_t rows, uint32_t flags)
{
	struct section_count *s = &w->sections[w->nsections - 1];
	uint8_t *table = b->enc.p + b->front - RN_ER_FIXED * b->nchunks;
	struct rn_frame f = {
		.type = RN_FRAME_BLOCK,
		.flags = flags,
		.length = b->length,
		.raw = b->raw,
		.rows = rows,
		.chunks = (uint32_t)b->nchunks,
		.section = (uint32_t)(w->nsections - 1),
		.block = (uint32_t)s->blocks,
		.offset = w->offset,
	};

	for (size_t i = 0; i < b->nchunks; i++) {
		const struct rn_chunk *c = &b->chunks[i];

		rn_chunk_put(c, table + RN_ER_FIXED * i);
		if (c->codec == RN_CODEC_ZSTD) {
			w->stats.zstd_from += c->encoded;
			w->stats.zstd_to += c->stored;
		}
	}
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

/* All from `from` on to `to`: what put_inline writes. */
static void copy_payload(const struct rn_block *b, const uint8_t *from, uint8_t *to)
{
	for (size_t i = 0; i < b->npieces; i++) {
		const uint8_t *at = b->enc.p + b->pieces[i].at;

		memcpy(to, from, (size_t)(at - from));
		to += at - from;
		memcpy(to, b->pieces[i].p, b->pieces[i].n);
		to += b->pieces[i].n;
		from = at;
	}
	memcpy(to, from, (size_t)(b->enc.p + b->enc.len - from));
}

/* The payload to `room` in shared memory, where it is at `place`; the frame to the pipe. */
static int put_shared(struct rn_writer *w, struct rn_block *b, uint32_t rows, uint8_t *room,
		      uint64_t place, struct rn_err *e)
{
	uint8_t frame[2 * RN_ER_FIXED];
	const uint8_t *from;

	for (size_t i = 0; !b->unsummed && i < b->nchunks; i++)
		b->chunks[i].sum = 0;
	from = put_table(w, b, rows, RN_FLAG_SHARED);
	copy_payload(b, from + RN_ER_FIXED, room);
	memcpy(frame, from, RN_ER_FIXED);
	rn_place_put(place, frame + RN_ER_FIXED);
	w->stats.shared_blocks++;
	w->stats.shared_bytes += b->length;
	return put(w, frame, sizeof frame, e);
}

static int put_inline(struct rn_writer *w, struct rn_block *b, uint32_t rows, struct rn_err *e)
{
	const uint8_t *from;

	if (b->unsummed)
		rn_block_sum(b);
	from = put_table(w, b, rows, 0);
	for (size_t i = 0; i < b->npieces; i++) {
		const uint8_t *at = b->enc.p + b->pieces[i].at;

		if (at > from)
			RN_TRY(put(w, from, (size_t)(at - from), e));
		RN_TRY(put(w, b->pieces[i].p, b->pieces[i].n, e));
		from = at;
	}
	return b->enc.p + b->enc.len > from ?
		       put(w, from, (size_t)(b->enc.p + b->enc.len - from), e) : 0;
}

static int put_block(struct rn_writer *w, struct rn_block *b, uint64_t rows, struct rn_err *e)
{
	uint8_t *room = NULL;
	uint64_t place = 0;

	if (b->raw > RN_ER_MAX_RAW || w->sections[w->nsections - 1].blocks == UINT32_MAX)
		return rn_err_set(e, RN_EUSAGE,
				  "'%s': a block of %" PRIu64 " rows takes %" PRIu64
				  " bytes, more than the %d that fit: write narrower rows",
				  w->io->name, rows, b->raw, RN_ER_MAX_RAW);
	if (w->shm && b->length >= MIN_SHARED) {
		w->broken = true; /* without a reader, no ABORT either */
		RN_TRY(rn_shm_writer_room(w->shm, b->length, w->io->name, &room, &place, e));
		w->broken = false;
	}
	w->shared = room != NULL;
	return room ? put_shared(w, b, (uint32_t)rows, room, place, e) :
		      put_inline(w, b, (uint32_t)rows, e);
}

/* ---- blocks on their way ----------------------------------------------------- */

static void drop_rels(struct slot *s)
{
	for (size_t i = 0; i < s->nrels; i++)
		rn_rel_unref(s->rels[i]);
	s->nrels = 0;
}

static void slot_clear(struct slot *s)
{
	rn_block_clear(&s->block);
	drop_rels(s);
	rn_rel_unref(s->whole);
	s->whole = NULL;
	s->err.code = 0;
}

static void bank_clear(struct bank *b)
{
	for (size_t i = 0; i < b->n; i++)
		slot_clear(&b->slots[i]);
	b->n = 0;
}

static int slot_encode(const struct rn_writer *w, struct slot *s, struct rn_block_scratch *scratch,
		       struct rn_err *e)
{
	if (s->nrels == 1)
		s->whole = rn_rel_ref(s->rels[0]);
	else
		RN_TRY(rn_rel_concat(&w->schema, s->rels, s->nrels, &s->whole, e));
	drop_rels(s); /* their memory is used again soonest so */
	s->block.level = w->level;
	s->block.unsummed = w->shared;
	return rn_block_encode(&s->block, scratch, s->whole, e);
}

/* Write an encoded block; the first error, in the order of the blocks, stays. */
static void slot_write(struct rn_writer *w, struct slot *s)
{
	if (!w->failed.code && s->err.code)
		w->failed = s->err;
	else if (!w->failed.code)
		w->failed.code = put_block(w, &s->block, s->whole->rows, &w->failed);
	slot_clear(s);
}

static void encode_item(void *arg, size_t i, uint32_t lane)
{
	struct rn_writer *w = arg;
	struct slot *s = &w->bank[w->fill].slots[i];

	s->err.code = slot_encode(w, s, &w->scratch[lane], &s->err);
}

static void write_step(void *arg, size_t i)
{
	struct rn_writer *w = arg;

	slot_write(w, &w->bank[!w->fill].slots[i]);
}

/* Encode what has gathered, and write what was encoded before. */
static int turn(struct rn_writer *w, struct rn_err *e)
{
	struct bank *b = &w->bank[w->fill], *other = &w->bank[!w->fill];
	struct rn_turn t = {
		.io = write_step,
		.item = encode_item,
		.arg = w,
		.nio = other->n,
		.n = b->n,
	};

	rn_lanes_run(&w->lanes, &t);
	other->n = 0;
	if (w->lanes.n > 1)
		w->fill = !w->fill;
	else if (b->n)
		slot_write(w, &b->slots[--b->n]);
	return w->failed.code ? rn_err_set(e, w->failed.code, "%s", w->failed.msg) : 0;
}

static int drain(struct rn_writer *w, struct rn_err *e)
{
	for (unsigned i = 0; i < NBANKS; i++)
		if (w->bank[0].n || w->bank[1].n || w->failed.code)
			RN_TRY(turn(w, e));
	return 0;
}

/* ---- rows -------------------------------------------------------------------- */

static void drop_pending(struct rn_writer *w)
{
	for (size_t i = 0; i < w->npending; i++)
		rn_rel_unref(w->pending[i]);
	w->npending = 0;
	w->pending_rows = w->pending_raw = 0;
}

/* The first `rows` of those that wait become a block; the others wait on. */
static int cut_block(struct rn_writer *w, uint64_t rows, struct rn_err *e)
{
	struct bank *b = &w->bank[w->fill];
	struct slot *s = b->slots + b->n;
	struct rn_rel *head = NULL, *tail = NULL;
	uint64_t left = rows;
	size_t n = 0;
	int rc = 0;

	if (w->failed.code)
		return turn(w, e);
	while (n < w->npending && w->pending[n]->rows <= left)
		left -= w->pending[n++]->rows;
	RN_TRY(rn_grow(&s->rels, &s->rels_cap, n + 1, sizeof *s->rels, "a block", e));
	if (left) {
		rc = rn_rel_slice(w->pending[n], 0, left, &head, e);
		if (!rc)
			rc = rn_rel_slice(w->pending[n], left, w->pending[n]->rows - left, &tail, e);
		if (rc) {
			rn_rel_unref(head);
			return rc;
		}
	}
	memcpy(s->rels, w->pending, n * sizeof *s->rels);
	s->nrels = n;
	if (head) {
		s->rels[s->nrels++] = head;
		rn_rel_unref(w->pending[n]);
		w->pending[n] = tail;
	}
	w->npending -= n;
	memmove(w->pending, w->pending + n, w->npending * sizeof *w->pending);
	w->pending_rows -= rows;
	w->pending_raw = 0;
	for (size_t i = 0; i < w->npending; i++)
		w->pending_raw += rn_block_raw(w->pending[i], 0, w->pending[i]->rows);
	b->n++;
	return b->n == w->lanes.n ? turn(w, e) : 0;
}

static int flush_pending(struct rn_writer *w, struct rn_err *e)
{
	return w->npending || w->failed.code ? cut_block(w, w->pending_rows, e) : 0;
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

/* The most of n rows of r that take at most `left` bytes; all n take more. */
static uint64_t rows_that_fit(const struct rn_rel *r, uint64_t from, uint64_t n, uint64_t left)
{
	uint64_t low = 0, high = n; /* low fit, high do not */

	while (high - low > 1) {
		uint64_t mid = low + (high - low) / 2;

		if (rn_block_raw(r, from, mid) <= left)
			low = mid;
		else
			high = mid;
	}
	return low;
}

/* The rows of a block of which n would fit and n + 1 would not: a slice of a multiple of
 * CUT_ROWS shares memory with what it is cut from. */
static uint64_t rows_to_cut(uint64_t n)
{
	if (n > CUT_ROWS)
		return n - n % CUT_ROWS;
	return n ? n : 1;
}

/* Is what waits a whole block, whether or not another row comes?  Not where it would be the
 * block only because of what comes: at the end of a section, what fits stays together. */
static bool is_full(const struct rn_writer *w)
{
	return w->pending_rows == w->block_rows ||
	       (rows_to_cut(w->pending_rows) == w->pending_rows &&
		w->pending_raw + w->least_raw > TARGET_RAW);
}

/* A block has as many rows as fit into TARGET_RAW: where it is cut depends on the rows alone,
 * not on the relations in which they come, so that equal rows are equal bytes. */
int rn_writer_rows(struct rn_writer *w, const struct rn_rel *r, struct rn_err *e)
{
	uint64_t from = 0;

	if (!w->in_section)
		return rn_err_set(e, RN_EBUG, "'%s': rows outside a section", w->io->name);
	if (!rn_schema_equal(&r->schema, &w->schema))
		return rn_err_set(e, RN_EBUG, "'%s': rows of another schema than their section's",
				  w->io->name);
	while (from < r->rows) {
		uint64_t left = r->rows - from, room = w->block_rows - w->pending_rows;
		uint64_t n = left < room ? left : room, raw = rn_block_raw(r, from, n), cut = 0;

		if (w->pending_raw + raw > TARGET_RAW) {
			n = w->pending_raw > TARGET_RAW ? 0 :
			    rows_that_fit(r, from, n, TARGET_RAW - w->pending_raw);
			cut = rows_to_cut(w->pending_rows + n);
			n = cut > w->pending_rows ? cut - w->pending_rows : 0;
			raw = rn_block_raw(r, from, n);
		}
		if (n)
			RN_TRY(add_pending(w, r, from, n, raw, e));
		from += n;
		if (cut || is_full(w))
			RN_TRY(cut_block(w, cut ? cut : w->pending_rows, e));
	}
	return 0;
}

/* ---- life -------------------------------------------------------------------- */

static void writer_free(struct rn_writer *w)
{
	drop_pending(w);
	for (unsigned i = 0; i < NBANKS; i++) {
		bank_clear(&w->bank[i]);
		for (size_t k = 0; w->bank[i].slots && k < w->lanes.n; k++) {
			rn_block_fini(&w->bank[i].slots[k].block);
			free(w->bank[i].slots[k].rels);
		}
		free(w->bank[i].slots);
	}
	for (unsigned i = 0; i < RN_MAX_LANES; i++)
		rn_block_scratch_fini(&w->scratch[i]);
	rn_lanes_fini(&w->lanes);
	rn_shm_writer_free(w->shm);
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

static int writer_init(struct rn_writer *w, const struct rn_writer_opt *opt, struct rn_err *e)
{
	w->level = codec_level(opt, w->io->kind);
	w->told = opt->stats;
	w->block_rows = opt->block_rows && opt->block_rows < RN_ER_MAX_ROWS ? opt->block_rows :
									      RN_ER_MAX_ROWS;
	rn_lanes_init(&w->lanes, opt->team, w->level && w->io->kind == RN_IO_FILE);
	for (unsigned i = 0; i < NBANKS; i++)
		RN_TRY(rn_calloc(w->lanes.n, sizeof *w->bank[i].slots, "a writer",
				 &w->bank[i].slots, e));
	return 0;
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
	rc = writer_init(w, opt, e);
	if (!rc)
		rc = put_header(w, header, e);
	if (!rc)
		rc = put_offer(w, opt->inline_only, e);
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
	RN_TRY(drain(w, e));
	if (w->nsections == RN_ER_MAX_SECTIONS)
		return rn_err_set(e, RN_EUSAGE, "'%s': more than %d sections", w->io->name,
				  RN_ER_MAX_SECTIONS);
	RN_TRY(rn_grow(&w->sections, &w->sections_cap, w->nsections + 1, sizeof *w->sections,
		       "a writer", e));
	RN_TRY(rn_schema_copy(s, &copy, e));
	rn_schema_fini(&w->schema);
	w->schema = copy;
	w->least_raw = rn_block_least_raw(&copy);
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

static void tell_stats(struct rn_writer *w)
{
	static const char *const names[] = {
		[RN_IO_FILE] = "file", [RN_IO_PIPE] = "pipe",   [RN_IO_SOCKET] = "socket",
		[RN_IO_TTY] = "terminal", [RN_IO_OTHER] = "device",
	};

	if (!w->told)
		return;
	w->stats.transport = names[w->io->kind];
	w->stats.why_inline = w->shm ? rn_shm_writer_why(w->shm) : w->why_inline;
	w->stats.level = w->level;
	*w->told = w->stats;
}

int rn_writer_close(struct rn_writer *w, struct rn_err *e)
{
	int rc;

	RN_GOTO(fail, flush_pending(w, e));
	RN_GOTO(fail, drain(w, e));
	RN_GOTO(fail, put_end(w, e));
	RN_GOTO(fail, w->io->ops->flush(w->io, e));
	tell_stats(w);
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
	struct rn_str shown = RN_STR_INIT;

	if (!w)
		return;
	rn_uri_hide(message, &shown);
	/* The cause is what counts: that this may fail too is not reported. */
	if (!w->broken)
		(void)!put_frame(w, RN_FRAME_ABORT, (uint32_t)w->nsections, shown.s,
				 message_length(shown.s), NULL);
	rn_str_fini(&shown);
	w->io->ops->abort(w->io);
	writer_free(w);
}
