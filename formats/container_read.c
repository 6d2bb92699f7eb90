/* SPDX-License-Identifier: Apache-2.0
 *
 * The reader: header, frames and their order.  A frame header is read when it is
 * asked for and not before, so that what has arrived is handed on at once.  The
 * first error stays: every later call returns it again.
 *
 * Where nobody has to be waited for, compressed blocks are read ahead of their time.  On
 * several threads each takes the next block, reads and decodes it: its bytes, the codec's
 * output and the values stay in one core's cache.  On one thread a bank of blocks is decoded
 * while a helper loads the next bank.  Blocks are handed on, and errors are met, in the
 * order of the stream all the same.
 */
#include "container.h"

#include "block_read.h"
#include "hash.h"
#include "lanes.h"
#include "npy.h"
#include "shm.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct section_count {
	uint64_t rows, blocks;
};

enum {
	BANK_BYTES = 16 << 20, /* payload after which a bank takes no more */
	POOL_BYTES = 64 << 20, /* of values that nobody uses any more, of all threads */
	NBANKS = 2,
};

/* A block that was read ahead. */
struct slot {
	struct rn_frame frame;
	struct rn_input in; /* all of its payload, where a helper loads it */
	uint32_t encodings[RN_NENC];
	struct rn_rel *rel; /* decoded; owned */
	struct rn_err err;  /* or why it could not be */
};

struct bank {
	struct slot *slots; /* room for reader.lanes.n */
	size_t n, next;     /* claimed; the next to hand on */
	uint64_t bytes;     /* of their payloads */
	struct rn_err err;  /* what ended it: met after its blocks.  Code 0: nothing */
};

/* Payloads that lie in shared memory, as an input: each read copies. */
struct ring_io {
	struct rn_io io;
	const uint8_t *p;
	size_t left;
};

struct rn_reader {
	struct rn_input in;
	struct rn_shm_reader *shm; /* or NULL: no payload is shared */
	struct ring_io ring;
	struct rn_input shared; /* of ring */
	char *header;
	uint64_t running, before; /* the running checksum with and without `next` */
	struct rn_frame next;     /* if have_next */
	bool have_next, ended, offered;
	struct rn_schema schema;
	struct section_count *sections;
	size_t nsections, sections_cap;
	struct rn_section_stats stats;
	struct rn_block_reader block[RN_MAX_LANES];
	struct rn_err failed; /* code 0: nothing failed */
	/* bank[take] is decoded and handed on; with a helper the other one is loaded. */
	struct rn_lanes lanes;
	bool ahead; /* blocks are read ahead */
	struct bank bank[NBANKS];
	unsigned take;
	pthread_mutex_t claiming; /* over all that claim() uses */
	struct rn_input lane_in[RN_MAX_LANES]; /* what a thread decodes; a helper fills the slots' */
};

/* ---- header ------------------------------------------------------------------ */

static int bad_magic(struct rn_reader *r, const uint8_t *p, struct rn_err *e)
{
	if (memcmp(p, RN_ER_MAGIC, 4) == 0)
		return rn_input_bad(&r->in, 4, e,
				    "line ends were converted: copy the stream as binary");
	if (rn_npy_magic(p, RN_ER_FIXED))
		return rn_err_set(e, RN_EDATA,
				  "'%s' is a matrix and no RN stream: give it to a table, as in "
				  "rn-scan TABLE --emb FILE",
				  r->in.io->name);
	return rn_err_set(e, RN_EDATA,
			  "'%s' is not an RN stream: it has no magic at offset 0 (rn-scan reads "
			  "text)",
			  r->in.io->name);
}

static int check_fixed(struct rn_reader *r, const uint8_t *p, struct rn_err *e)
{
	uint32_t required = rn_get32(p + 12);

	if (!rn_container_magic(p, RN_ER_FIXED))
		return bad_magic(r, p, e);
	if (rn_get16(p + 8) != RN_ER_MAJOR)
		return rn_input_bad(&r->in, 8, e, "version %u.%u is not supported, only %d.x is",
				    rn_get16(p + 8), rn_get16(p + 10), RN_ER_MAJOR);
	if (!rn_sum_good(p))
		return rn_input_bad(&r->in, 0, e, "the checksum of the header is wrong");
	if (required)
		return rn_input_bad(&r->in, 12, e, "the stream needs unknown feature %d",
				    __builtin_ctz(required));
	if (!rn_all_zero(p + 32, 24))
		return rn_input_bad(&r->in, 32, e, "a reserved field is not zero");
	if (rn_get32(p + 20) > RN_ER_MAX_HEADER)
		return rn_input_bad(&r->in, 20, e, "the header is too long");
	return 0;
}

/* The first 8 bytes.  Of what ends before, only a stream's beginning is a stream cut off. */
static int read_magic(struct rn_reader *r, uint8_t *fixed, struct rn_err *e)
{
	int rc = rn_input_read(&r->in, fixed, 8, e);

	if (rc == RN_EDATA && memcmp(fixed, RN_ER_MAGIC, r->in.offset) != 0)
		return bad_magic(r, fixed, e);
	RN_TRY(rc);
	return rn_container_magic(fixed, 8) ? 0 : bad_magic(r, fixed, e);
}

static int read_header(struct rn_reader *r, struct rn_err *e)
{
	uint8_t fixed[RN_ER_FIXED] = { 0 };
	const uint8_t *text;
	uint32_t n;

	RN_TRY(read_magic(r, fixed, e));
	RN_TRY(rn_input_read(&r->in, fixed + 8, RN_ER_FIXED - 8, e));
	RN_TRY(check_fixed(r, fixed, e));
	r->running = rn_hash64(fixed, RN_ER_FIXED);
	n = rn_get32(fixed + 20);
	rn_input_payload(&r->in, rn_er_pad(n));
	RN_TRY(rn_input_take(&r->in, rn_er_pad(n), &text, e));
	if (rn_hash64(text, n) != rn_get64(fixed + 24))
		return rn_input_bad(&r->in, RN_ER_FIXED, e,
				    "the checksum of the header text is wrong");
	if (!rn_all_zero(text + n, rn_er_pad(n) - n))
		return rn_input_bad(&r->in, RN_ER_FIXED + n, e, "padding is not zero");
	if (memchr(text, '\0', n))
		return rn_input_bad(&r->in, RN_ER_FIXED, e, "the header text holds a NUL");
	RN_TRY(rn_calloc(n + 1, 1, "a header", &r->header, e));
	memcpy(r->header, text, n);
	return 0;
}

/* ---- frames ------------------------------------------------------------------ */

static const char *check_frame(const struct rn_reader *r, const struct rn_frame *f)
{
	bool block = f->type == RN_FRAME_BLOCK;
	bool section = f->type == RN_FRAME_SECTION;
	size_t last = r->nsections - 1;

	if (!block && !section && f->type != RN_FRAME_END && f->type != RN_FRAME_ABORT &&
	    f->type != RN_FRAME_OFFER)
		return "a frame of unknown type";
	if (f->type == RN_FRAME_OFFER && (r->offered || r->nsections || f->raw != RN_SHM_OFFER))
		return "an offer of shared memory is out of place";
	if (f->flags & ~(uint32_t)RN_FLAG_SHARED || (f->flags && !block))
		return "the flags of a frame are not zero";
	if (f->flags && !r->shm)
		return "a block lies in shared memory that belonged to another reader";
	if (f->length % RN_ER_ALIGN)
		return "the length of a frame is not a multiple of 64";
	if (block ? !r->nsections || f->section != last || f->block != r->sections[last].blocks :
		    f->section != r->nsections || f->block)
		return "a frame is out of order";
	if (block ? !f->rows || f->rows > RN_ER_MAX_ROWS : f->rows || f->chunks)
		return "a frame has a wrong number of rows";
	if (block)
		return f->raw > RN_ER_MAX_RAW || f->length > 4ull * RN_ER_MAX_RAW ?
			       "a block is too large" : NULL;
	if (f->length != rn_er_pad(f->raw) || f->raw < (f->type == RN_FRAME_END ? 16 : 0))
		return "the lengths of a frame differ";
	if (f->raw > (section ? RN_ER_MAX_SCHEMA :
		      f->type == RN_FRAME_ABORT ? RN_ER_MAX_MESSAGE :
						  16 + 16 * RN_ER_MAX_SECTIONS))
		return "a frame is too long";
	return NULL;
}

static int read_frame(struct rn_reader *r, struct rn_err *e)
{
	uint64_t at = r->in.offset;
	uint8_t p[RN_ER_FIXED], both[8 + RN_ER_FIXED];
	const char *fault;

	RN_TRY(rn_input_read(&r->in, p, sizeof p, e));
	if (!rn_sum_good(p))
		return rn_input_bad(&r->in, at, e, "the checksum of a frame header is wrong");
	rn_frame_get(p, &r->next);
	fault = check_frame(r, &r->next);
	if (fault)
		return rn_input_bad(&r->in, at, e, "%s", fault);
	if (r->next.offset != at)
		return rn_input_bad(&r->in, at, e, "the frame belongs at offset %" PRIu64,
				    r->next.offset);
	r->before = r->running;
	rn_put64(both, r->running);
	memcpy(both + 8, p, sizeof p);
	r->running = rn_hash64(both, sizeof both);
	rn_input_payload(&r->in, r->next.flags & RN_FLAG_SHARED ? RN_ER_FIXED : r->next.length);
	r->have_next = true;
	return 0;
}

/* The payload of a frame that is no block, checked. */
static int read_payload(struct rn_reader *r, const uint8_t **p, struct rn_err *e)
{
	const struct rn_frame *f = &r->next;
	uint64_t at = r->in.offset;

	RN_TRY(rn_input_take(&r->in, f->length, p, e));
	if (rn_hash64(*p, f->raw) != f->payload_sum)
		return rn_input_bad(&r->in, at, e, "the checksum of a frame is wrong");
	if (!rn_all_zero(*p + f->raw, f->length - f->raw))
		return rn_input_bad(&r->in, at + f->raw, e, "padding is not zero");
	return 0;
}

static int take_offer(struct rn_reader *r, struct rn_err *e)
{
	const struct rn_io *io = r->in.io;
	const uint8_t *p;

	RN_TRY(read_payload(r, &p, e));
	r->offered = true;
	r->have_next = false;
	if (io->kind == RN_IO_PIPE && io->ops->fd)
		r->shm = rn_shm_reader_new(io->ops->fd(io), p);
	return 0;
}

/* Make sure that r->next is the next frame's header. */
static int need_frame(struct rn_reader *r, struct rn_err *e)
{
	while (!r->have_next) {
		RN_TRY(read_frame(r, e));
		if (r->next.type == RN_FRAME_OFFER)
			RN_TRY(take_offer(r, e));
	}
	return 0;
}

/* The producer's message, with the input's name in front of it once. */
static int read_abort(struct rn_reader *r, struct rn_err *e)
{
	const char *name = r->in.io->name;
	size_t len = strlen(name);
	uint64_t at = r->in.offset;
	const uint8_t *p;
	int n;

	RN_TRY(read_payload(r, &p, e));
	n = (int)r->next.raw;
	if (memchr(p, '\0', (size_t)n))
		return rn_input_bad(&r->in, at, e, "the message holds a NUL");
	if (!n)
		return rn_err_set(e, RN_EDATA, "%s: its producer failed", name);
	if ((size_t)n > len + 1 && memcmp(p, name, len) == 0 && p[len] == ':')
		return rn_err_set(e, RN_EDATA, "%.*s", n, (const char *)p);
	return rn_err_set(e, RN_EDATA, "%s: %.*s", name, n, (const char *)p);
}

static int read_end(struct rn_reader *r, struct rn_err *e)
{
	uint64_t at = r->in.offset;
	const uint8_t *p;
	bool ended;

	RN_TRY(read_payload(r, &p, e));
	if (rn_get64(p) != r->before)
		return rn_input_bad(&r->in, at, e, "the running checksum is wrong");
	if (rn_get64(p + 8) != r->nsections || r->next.raw != 16 + 16 * r->nsections)
		return rn_input_bad(&r->in, at, e, "the number of sections is wrong");
	for (size_t i = 0; i < r->nsections; i++)
		if (rn_get64(p + 16 + 16 * i) != r->sections[i].rows ||
		    rn_get64(p + 24 + 16 * i) != r->sections[i].blocks)
			return rn_input_bad(&r->in, at, e,
					    "section %zu has another number of rows", i);
	at = r->in.offset;
	RN_TRY(rn_input_ended(&r->in, &ended, e));
	if (!ended)
		return rn_input_bad(&r->in, at, e, "there is more after the end of the stream");
	r->ended = true;
	return 0;
}

static int read_section(struct rn_reader *r, struct rn_err *e)
{
	uint64_t at = r->in.offset;
	struct rn_schema schema;
	const uint8_t *p;
	int rc;

	if (r->nsections == RN_ER_MAX_SECTIONS)
		return rn_input_bad(&r->in, at, e, "too many sections");
	RN_TRY(read_payload(r, &p, e));
	RN_TRY(rn_grow(&r->sections, &r->sections_cap, r->nsections + 1, sizeof *r->sections,
		       "a reader", e));
	rc = rn_schema_from_json((const char *)p, r->next.raw, &schema, e);
	if (rc == RN_EDATA) {
		rn_err_prefix(e, rc, "'%s': at offset %" PRIu64, r->in.io->name, at);
		return RN_EDATA;
	}
	if (rc)
		return rc;
	rn_schema_fini(&r->schema);
	r->schema = schema;
	r->sections[r->nsections++] = (struct section_count){ 0 };
	r->stats = (struct rn_section_stats){ 0 };
	r->have_next = false;
	return 0;
}

/* A block counts once its frame is past. */
static void pass_block(struct rn_reader *r)
{
	struct section_count *s = &r->sections[r->nsections - 1];

	s->rows += r->next.rows;
	s->blocks++;
	r->have_next = false;
}

static void add_stats(struct rn_section_stats *st, const struct rn_frame *f,
		      const uint32_t *encodings)
{
	st->rows += f->rows;
	st->blocks++;
	st->raw_bytes += f->raw;
	st->stored_bytes += RN_ER_FIXED + f->length;
	st->offset = f->offset + RN_ER_FIXED + f->length;
	for (unsigned i = 0; i < RN_NENC; i++)
		st->encodings[i] += encodings[i];
}

static int ring_read(struct rn_io *io, void *buf, size_t n, size_t *got, struct rn_err *e)
{
	struct ring_io *ring = (struct ring_io *)io;

	(void)e;
	*got = n < ring->left ? n : ring->left;
	memcpy(buf, ring->p, *got);
	ring->p += *got;
	ring->left -= *got;
	return 0;
}

static const struct rn_io_ops ring_ops = { .read = ring_read };

/* The input that holds the payload of r->next, a block in shared memory. */
static int find_shared(struct rn_reader *r, struct rn_err *e)
{
	uint64_t at = r->in.offset;
	const uint8_t *p;

	RN_TRY(rn_input_take(&r->in, RN_ER_FIXED, &p, e));
	if (!rn_sum_good(p))
		return rn_input_bad(&r->in, at, e, "the checksum of a place in shared memory is wrong");
	if (!rn_all_zero(p + 8, 48))
		return rn_input_bad(&r->in, at + 8, e, "a reserved field is not zero");
	r->ring.p = rn_shm_reader_at(r->shm, rn_get64(p), r->next.length);
	if (!r->ring.p)
		return rn_input_bad(&r->in, at, e, "a place in shared memory is out of range");
	r->ring.left = r->next.length;
	r->ring.io = (struct rn_io){ .ops = &ring_ops, .kind = RN_IO_OTHER, .name = r->in.io->name };
	r->shared.io = &r->ring.io;
	r->shared.exact = true;
	r->shared.offset = r->in.offset;
	rn_input_payload(&r->shared, r->next.length);
	return 0;
}

static int read_block(struct rn_reader *r, struct rn_rel **out, struct rn_err *e)
{
	uint32_t encodings[RN_NENC] = { 0 };
	bool shared = r->next.flags & RN_FLAG_SHARED;

	if (shared)
		RN_TRY(find_shared(r, e));
	RN_TRY(rn_block_decode(&r->block[0], shared ? &r->shared : &r->in, &r->next, &r->schema,
			       encodings, out, e));
	if (shared)
		rn_shm_reader_done(r->shm);
	pass_block(r);
	add_stats(&r->stats, &r->next, encodings);
	return 0;
}

/* ---- reading ahead ----------------------------------------------------------- */

/* Is it to be read ahead?  Values that are merely copied are best read where they belong, by
 * read_block. */
static bool is_ahead(const struct rn_frame *f)
{
	return f->type == RN_FRAME_BLOCK && f->length <= f->raw / 16 * 15;
}

/* The next block of the section becomes the bank's next slot, its payload that of `in` (NULL:
 * the slot's own).  NULL: the bank is full, the section ends or something is wrong. */
static struct slot *claim(struct rn_reader *r, struct bank *b, struct rn_input *in)
{
	struct slot *s;

	if (b->err.code || b->n == r->lanes.n || b->bytes >= BANK_BYTES)
		return NULL;
	b->err.code = need_frame(r, &b->err);
	if (b->err.code || !is_ahead(&r->next))
		return NULL;
	s = &b->slots[b->n];
	b->err.code = rn_input_split(&r->in, in ? in : &s->in, &b->err);
	if (b->err.code)
		return NULL;
	b->n++;
	s->frame = r->next;
	memset(s->encodings, 0, sizeof s->encodings);
	s->err.code = 0;
	b->bytes += s->frame.length;
	pass_block(r);
	return s;
}

static void decode_slot(struct rn_reader *r, struct slot *s, struct rn_input *in, uint32_t lane)
{
	s->err.code = rn_block_decode(&r->block[lane], in, &s->frame, &r->schema, s->encodings,
				      &s->rel, &s->err);
}

/* Threads of a team: each takes a block, reads it and decodes it, while it is in its cache. */
static void block_item(void *arg, size_t i, uint32_t lane)
{
	struct rn_reader *r = arg;
	struct rn_input *in = &r->lane_in[lane];
	struct slot *s;

	(void)i;
	pthread_mutex_lock(&r->claiming);
	s = claim(r, &r->bank[0], in);
	pthread_mutex_unlock(&r->claiming);
	if (!s)
		return;
	s->err.code = rn_input_load(in, &s->err);
	if (!s->err.code)
		decode_slot(r, s, in, lane);
}

/* A helper: it loads one bank while the other one is decoded. */
static void load_step(void *arg, size_t i)
{
	struct rn_reader *r = arg;
	struct bank *b = &r->bank[!r->take];
	struct slot *s = claim(r, b, NULL);

	(void)i;
	if (s)
		s->err.code = rn_input_load(&s->in, &s->err);
}

static void decode_item(void *arg, size_t i, uint32_t lane)
{
	struct rn_reader *r = arg;
	struct slot *s = &r->bank[r->take].slots[i];

	if (!s->err.code)
		decode_slot(r, s, &s->in, lane);
}

static void bank_clear(struct bank *b)
{
	b->n = b->next = 0;
	b->bytes = 0;
	b->err.code = 0;
}

/* bank[take] is used up.  Threads: the next blocks to it. */
static void turn_lanes(struct rn_reader *r)
{
	struct bank *b = &r->bank[r->take];
	struct rn_turn t = { .item = block_item, .arg = r, .n = r->lanes.n };

	bank_clear(b);
	b->err.code = need_frame(r, &b->err);
	if (!b->err.code && is_ahead(&r->next))
		rn_lanes_run(&r->lanes, &t);
}

/* A helper: decode the other one while it is loaded again. */
static void turn_helper(struct rn_reader *r)
{
	struct bank *next = &r->bank[!r->take];
	struct rn_turn t = { .io = load_step, .item = decode_item, .arg = r };
	bool empty = !next->n;

	for (size_t i = 0; empty && i < r->lanes.n; i++)
		load_step(r, i);
	bank_clear(&r->bank[r->take]);
	r->take = !r->take;
	t.n = next->n;
	t.nio = next->err.code || r->have_next ? 0 : r->lanes.n;
	rn_lanes_run(&r->lanes, &t);
}

/* The next block that was read ahead, *out = NULL if there is none: then r->next is
 * the frame that follows. */
static int ahead_block(struct rn_reader *r, struct rn_rel **out, struct rn_err *e)
{
	struct bank *b = &r->bank[r->take];
	struct slot *s;

	if (b->next == b->n && !b->err.code) {
		if (r->lanes.helper)
			turn_helper(r);
		else
			turn_lanes(r);
		b = &r->bank[r->take];
	}
	if (b->next == b->n)
		return b->err.code ? rn_err_set(e, b->err.code, "%s", b->err.msg) : 0;
	s = &b->slots[b->next++];
	if (s->err.code)
		return rn_err_set(e, s->err.code, "%s", s->err.msg);
	*out = s->rel;
	s->rel = NULL;
	add_stats(&r->stats, &s->frame, s->encodings);
	return 0;
}

static void free_banks(struct rn_reader *r)
{
	for (unsigned i = 0; i < NBANKS; i++) {
		for (size_t k = 0; r->bank[i].slots && k < r->lanes.n; k++) {
			rn_rel_unref(r->bank[i].slots[k].rel);
			free(r->bank[i].slots[k].in.p);
		}
		free(r->bank[i].slots);
	}
}

/* Room to read ahead; without it blocks are read one by one, which is no error. */
static bool need_banks(struct rn_reader *r)
{
	if (r->bank[1].slots || !r->ahead)
		return r->ahead;
	for (unsigned i = 0; i < NBANKS; i++)
		if (rn_calloc(r->lanes.n, sizeof *r->bank[i].slots, "a reader", &r->bank[i].slots,
			      NULL)) {
			free(r->bank[0].slots);
			r->bank[0].slots = NULL;
			r->ahead = false;
			break;
		}
	return r->ahead;
}

/* ---- interface --------------------------------------------------------------- */

/* Keep the first error, and return it again ever after. */
static int keep(struct rn_reader *r, int rc, const struct rn_err *e)
{
	if (rc && !r->failed.code) {
		r->failed = *e;
		r->failed.code = rc;
	}
	return rc;
}

static int failed_before(const struct rn_reader *r, struct rn_err *e)
{
	return rn_err_set(e, r->failed.code, "%s", r->failed.msg);
}

int rn_reader_open(struct rn_io *io, struct rn_reader **out, struct rn_err *e)
{
	struct rn_reader *r;
	int rc;

	rc = rn_calloc(1, sizeof *r, "a reader", &r, e);
	if (rc) {
		io->ops->abort(io);
		return rc;
	}
	r->in.io = io;
	pthread_mutex_init(&r->claiming, NULL);
	rc = read_header(r, e);
	if (rc) {
		rn_reader_close(r);
		return rc;
	}
	rn_reader_set_team(r, NULL);
	*out = r;
	return 0;
}

const char *rn_reader_header(const struct rn_reader *r)
{
	return r->header;
}

void rn_reader_set_team(struct rn_reader *r, struct rn_team *team)
{
	if (r->bank[1].slots || !r->in.io->size)
		return;
	rn_lanes_fini(&r->lanes);
	rn_lanes_init(&r->lanes, team, r->in.io->kind == RN_IO_FILE);
	r->in.anywhere = r->in.io->kind == RN_IO_FILE && r->in.io->ops->read_at;
	r->ahead = r->lanes.n > 1 && (r->in.anywhere || r->in.io->ops->view);
	for (unsigned i = 0; i < RN_MAX_LANES; i++)
		r->block[i].pool_bytes = r->lanes.helper ? POOL_BYTES : POOL_BYTES / r->lanes.n;
}

/* The next block of the section, or NULL at its end; END is checked when it is met. */
static int next_block(struct rn_reader *r, struct rn_rel **out, struct rn_err *e)
{
	*out = NULL;
	if (r->ended)
		return 0;
	if (r->nsections && need_banks(r)) {
		RN_TRY(ahead_block(r, out, e));
		if (*out)
			return 0;
	}
	RN_TRY(need_frame(r, e));
	switch (r->next.type) {
	case RN_FRAME_BLOCK:
		return read_block(r, out, e);
	case RN_FRAME_ABORT:
		return read_abort(r, e);
	case RN_FRAME_END:
		return read_end(r, e);
	default:
		return 0;
	}
}

static int next_section(struct rn_reader *r, const struct rn_schema **out, struct rn_err *e)
{
	bool more = r->nsections > 0;

	while (more) {
		struct rn_rel *skipped;

		RN_TRY(next_block(r, &skipped, e));
		more = skipped != NULL;
		rn_rel_unref(skipped);
	}
	RN_TRY(need_frame(r, e));
	if (r->next.type == RN_FRAME_ABORT)
		return read_abort(r, e);
	if (r->next.type == RN_FRAME_END && !r->ended)
		RN_TRY(read_end(r, e));
	if (r->ended)
		return 0;
	RN_TRY(read_section(r, e));
	*out = &r->schema;
	return 0;
}

int rn_reader_section(struct rn_reader *r, const struct rn_schema **out, struct rn_err *e)
{
	struct rn_err own;

	e = e ? e : &own;
	*out = NULL;
	if (r->failed.code)
		return failed_before(r, e);
	return keep(r, next_section(r, out, e), e);
}

int rn_reader_block(struct rn_reader *r, struct rn_rel **out, struct rn_err *e)
{
	struct rn_err own;

	e = e ? e : &own;
	*out = NULL;
	if (r->failed.code)
		return failed_before(r, e);
	return keep(r, next_block(r, out, e), e);
}

int rn_reader_all(struct rn_reader *r, struct rn_rel **out, struct rn_err *e)
{
	struct rn_rel **blocks = NULL;
	size_t n = 0, cap = 0;
	int rc;

	for (;;) {
		RN_GOTO(out, rn_grow(&blocks, &cap, n + 1, sizeof *blocks, "a relation", e));
		RN_GOTO(out, rn_reader_block(r, &blocks[n], e));
		if (!blocks[n])
			break;
		n++;
	}
	if (n == 1)
		*out = rn_rel_ref(blocks[0]);
	else
		rc = rn_rel_concat(&r->schema, blocks, n, out, e);
out:
	for (size_t i = 0; i < n; i++)
		rn_rel_unref(blocks[i]);
	free(blocks);
	return rc;
}

void rn_reader_close(struct rn_reader *r)
{
	if (!r)
		return;
	r->in.io->ops->abort(r->in.io);
	for (unsigned i = 0; i < RN_MAX_LANES; i++) {
		rn_block_reader_fini(&r->block[i]);
		free(r->lane_in[i].p);
	}
	free_banks(r);
	rn_lanes_fini(&r->lanes);
	pthread_mutex_destroy(&r->claiming);
	rn_schema_fini(&r->schema);
	rn_shm_reader_free(r->shm);
	free(r->shared.p);
	free(r->in.p);
	free(r->header);
	free(r->sections);
	free(r);
}

const struct rn_section_stats *rn_reader_section_stats(const struct rn_reader *r)
{
	return &r->stats;
}

void rn_reader_progress(const struct rn_reader *r, uint64_t *done, uint64_t *total)
{
	*done = r->stats.offset;
	*total = r->in.io->size;
}
