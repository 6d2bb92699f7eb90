/* SPDX-License-Identifier: Apache-2.0
 *
 * Decoding of blocks.  Nothing that the stream says is used before it is checked:
 * the chunk table against the frame header, each chunk against the schema, the
 * values against their ranges.  What the decoded values take is counted down from
 * the raw length of the frame, which is bounded, before it is allocated.
 */
#include "block_read.h"

#include "bitpack.h"
#include "hash.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zstd_errors.h>

enum { MIN_DIRECT = 64 << 10 }; /* bytes from which it pays to read them where they belong */

/* ---- the chunk table --------------------------------------------------------- */

static int read_table(struct rn_block_reader *b, struct rn_input *in, const struct rn_frame *f,
		      const struct rn_schema *s, struct rn_err *e)
{
	uint64_t bytes = (uint64_t)f->chunks * RN_ER_FIXED, total = bytes;
	const uint8_t *p;

	b->table = rn_input_offset(in);
	b->nchunks = b->next = 0;
	if (f->chunks > 4 * s->ncols + 3 * s->nparts)
		return rn_input_bad(in, b->table, e, "a block has too many chunks");
	RN_TRY(rn_input_take(in, bytes, &p, e));
	if (rn_hash64(p, bytes) != f->payload_sum)
		return rn_input_bad(in, b->table, e, "the checksum of a chunk table is wrong");
	RN_TRY(rn_grow(&b->chunks, &b->chunks_cap, f->chunks, sizeof *b->chunks, "a block", e));
	for (; b->nchunks < f->chunks; b->nchunks++) {
		struct rn_chunk *c = &b->chunks[b->nchunks];
		uint64_t at = b->table + b->nchunks * RN_ER_FIXED;

		if (!rn_chunk_get(p + b->nchunks * RN_ER_FIXED, c))
			return rn_input_bad(in, at, e, "a field of a chunk is out of range");
		if (c->stored > f->length || c->encoded > RN_ER_MAX_RAW || c->count > RN_ER_MAX_RAW)
			return rn_input_bad(in, at, e, "a chunk is too large");
		if (c->codec == RN_CODEC_NONE && c->stored != c->encoded)
			return rn_input_bad(in, at, e, "the lengths of a chunk differ");
		total += rn_er_pad(c->stored);
	}
	if (total != f->length)
		return rn_input_bad(in, b->table, e, "chunks and payload differ in length");
	return 0;
}

static int bad_chunk(const struct rn_block_reader *b, const struct rn_input *in, const char *what,
		     struct rn_err *e)
{
	return rn_input_bad(in, b->at, e, "%s", what);
}

/* The next chunk must be this role's, of `count` values. */
static int next_chunk(struct rn_block_reader *b, const struct rn_input *in, enum rn_role role,
		      uint64_t count, unsigned size, struct rn_chunk **out, struct rn_err *e)
{
	uint64_t at = b->table + b->next * RN_ER_FIXED;
	const char *fault;

	if (b->next == b->nchunks || b->chunks[b->next].role != role)
		return rn_input_bad(in, at, e, "the chunks do not follow the schema");
	*out = &b->chunks[b->next++];
	if ((*out)->count != count)
		return rn_input_bad(in, at, e, "a chunk has %" PRIu64 " values instead of %" PRIu64,
				    (*out)->count, count);
	fault = rn_chunk_check(*out, size);
	if (fault)
		return rn_input_bad(in, at, e, "%s", fault);
	b->at = rn_input_offset(in);
	return 0;
}

static bool next_is(const struct rn_block_reader *b, enum rn_role role)
{
	return b->next < b->nchunks && b->chunks[b->next].role == role;
}

/* Take n bytes off the raw length. */
static int spend(struct rn_block_reader *b, const struct rn_input *in, uint64_t n,
		 struct rn_err *e)
{
	if (n > b->raw_left)
		return rn_input_bad(in, b->table, e, "a block is larger than its raw length");
	b->raw_left -= n;
	return 0;
}

static int decompress(struct rn_block_reader *b, const struct rn_input *in,
		      const struct rn_chunk *c, const uint8_t **p, struct rn_err *e)
{
	size_t n;

	if (!b->zstd)
		b->zstd = ZSTD_createDCtx();
	if (!b->zstd)
		return rn_err_nomem(e, c->encoded, "the zstd codec");
	b->plain.len = 0;
	RN_TRY(rn_bytes_reserve(&b->plain, c->encoded, e));
	if (ZSTD_findFrameCompressedSize(*p, c->stored) != c->stored)
		return bad_chunk(b, in, "a chunk is not one zstd frame", e);
	n = ZSTD_decompressDCtx(b->zstd, b->plain.p, c->encoded, *p, c->stored);
	if (ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation)
		return rn_err_nomem(e, c->encoded, "the zstd codec");
	if (ZSTD_isError(n))
		return rn_input_bad(in, b->at, e, "zstd: %s", ZSTD_getErrorName(n));
	if (n != c->encoded)
		return bad_chunk(b, in, "a chunk decompresses to another length", e);
	*p = b->plain.p;
	return 0;
}

static int check_sums(const struct rn_block_reader *b, const struct rn_input *in,
		      const struct rn_chunk *c, const void *p, const uint8_t *pad,
		      struct rn_err *e)
{
	if (b->unsummed ? c->sum != 0 : rn_hash64(p, c->stored) != c->sum)
		return bad_chunk(b, in, "the checksum of a chunk is wrong", e);
	if (!rn_all_zero(pad, rn_er_pad(c->stored) - c->stored))
		return bad_chunk(b, in, "the padding of a chunk is not zero", e);
	return 0;
}

/* The chunk's encoded bytes, checked. */
static int chunk_bytes(struct rn_block_reader *b, struct rn_input *in, const struct rn_chunk *c,
		       const uint8_t **p, struct rn_err *e)
{
	RN_TRY(rn_input_take(in, rn_er_pad(c->stored), p, e));
	RN_TRY(check_sums(b, in, c, *p, *p + c->stored, e));
	b->encodings[c->encoding]++;
	return c->codec == RN_CODEC_NONE ? 0 : decompress(b, in, c, p, e);
}

/* ---- memory for values ------------------------------------------------------- */

/* Columns and tensors as rn_column_new and rn_tensor_new give them, but not zeroed: each
 * value is overwritten at once, and clearing 1 MiB takes half as long as decoding it. */
static int new_column(struct rn_block_reader *b, enum rn_type type, uint64_t rows,
		      struct rn_column **out, struct rn_err *e)
{
	struct rn_column *c;
	void *p;

	RN_TRY(rn_calloc(1, sizeof *c, "a column", &c, e));
	c->refs = 1;
	c->type = type;
	c->rows = rows;
	*out = c; /* the caller frees it, also half made */
	RN_TRY(rn_pool_buf(b->pool,
			   type == RN_BOOL ? rows : type == RN_STRING ? 8 * rows + 8 : 8 * rows,
			   "a column", &c->mem[0], e));
	p = c->mem[0]->data;
	if (type == RN_BOOL)
		c->b = p;
	else if (type == RN_FLOAT64)
		c->f64 = p;
	else if (type == RN_STRING)
		c->off = p;
	else
		c->i64 = p;
	return 0;
}

static int new_strings(struct rn_block_reader *b, uint64_t rows, uint64_t bytes,
		       struct rn_column **out, struct rn_err *e)
{
	RN_TRY(new_column(b, RN_STRING, rows, out, e));
	RN_TRY(rn_pool_buf(b->pool, bytes, "a string column", &(*out)->mem[1], e));
	(*out)->bytes = (*out)->mem[1]->data;
	return 0;
}

static int new_tensor(struct rn_block_reader *b, const struct rn_shape *shape, uint64_t rows,
		      struct rn_tensor **out, struct rn_err *e)
{
	struct rn_tensor *t;

	RN_TRY(rn_calloc(1, sizeof *t, "a tensor", &t, e));
	t->refs = 1;
	t->shape = *shape;
	t->rows = rows;
	t->nnz = rows * rn_shape_width(shape);
	*out = t;
	RN_TRY(rn_pool_buf(b->pool, 4 * t->nnz, "a tensor", &t->mem[0], e));
	t->data = t->mem[0]->data;
	return 0;
}

/* ---- values ------------------------------------------------------------------ */

static int read_ints(struct rn_block_reader *b, struct rn_input *in, enum rn_role role,
		     uint64_t count, int64_t *v, struct rn_err *e)
{
	struct rn_chunk *c;
	const uint8_t *p;
	const char *fault;

	RN_TRY(next_chunk(b, in, role, count, 0, &c, e));
	RN_TRY(chunk_bytes(b, in, c, &p, e));
	fault = rn_int_decode(c, p, v);
	return fault ? bad_chunk(b, in, fault, e) : 0;
}

static int scratch_ints(struct rn_bytes *b, uint64_t n, int64_t **out, struct rn_err *e)
{
	b->len = 0;
	RN_TRY(rn_bytes_reserve(b, n * sizeof **out, e));
	*out = (int64_t *)(void *)b->p;
	return 0;
}

static int read_bools(struct rn_block_reader *b, struct rn_input *in, enum rn_role role,
		      uint8_t *v, struct rn_err *e)
{
	struct rn_chunk *c;
	const uint8_t *p;
	const char *fault;

	RN_TRY(next_chunk(b, in, role, b->rows, 1, &c, e));
	RN_TRY(chunk_bytes(b, in, c, &p, e));
	fault = rn_bool_decode(c, p, v);
	return fault ? bad_chunk(b, in, fault, e) : 0;
}

/* Is the chunk nothing but the values, and so many that a copy less is felt? */
static bool is_direct(const struct rn_chunk *c)
{
	return c->encoding == RN_ENC_PLAIN && c->codec == RN_CODEC_NONE && c->stored >= MIN_DIRECT;
}

/* Such a chunk to v, checked. */
static int read_direct(struct rn_block_reader *b, struct rn_input *in, const struct rn_chunk *c,
		       void *v, struct rn_err *e)
{
	const uint8_t *pad;

	RN_TRY(rn_input_copy(in, c->stored, v, e));
	RN_TRY(rn_input_take(in, rn_er_pad(c->stored) - c->stored, &pad, e));
	b->encodings[c->encoding]++;
	return check_sums(b, in, c, v, pad, e);
}

static int read_f32(struct rn_block_reader *b, struct rn_input *in, uint64_t count, float *v,
		    struct rn_err *e)
{
	struct rn_chunk *c;
	const uint8_t *p;
	const char *fault;

	RN_TRY(next_chunk(b, in, RN_ROLE_VALUES, count, 4, &c, e));
	if (is_direct(c))
		return read_direct(b, in, c, v, e);
	RN_TRY(chunk_bytes(b, in, c, &p, e));
	fault = rn_f32_decode(c, p, v);
	return fault ? bad_chunk(b, in, fault, e) : 0;
}

static int read_f64(struct rn_block_reader *b, struct rn_input *in, double *v, struct rn_err *e)
{
	struct rn_chunk *c;
	const uint8_t *p;
	const char *fault;

	RN_TRY(next_chunk(b, in, RN_ROLE_VALUES, b->rows, 8, &c, e));
	RN_TRY(chunk_bytes(b, in, c, &p, e));
	fault = rn_f64_decode(c, p, v);
	return fault ? bad_chunk(b, in, fault, e) : 0;
}

/* The NULL flags, into a buffer; *out stays NULL where there are none. */
static int read_nulls(struct rn_block_reader *b, struct rn_input *in, struct rn_buf **out,
		      uint64_t *nulls, struct rn_err *e)
{
	struct rn_buf *mem;
	uint8_t *flags;
	int rc;

	*out = NULL;
	*nulls = 0;
	if (!next_is(b, RN_ROLE_NULLS))
		return 0;
	RN_TRY(spend(b, in, b->rows, e));
	RN_TRY(rn_buf_new_raw(b->rows, "a column's NULLs", &mem, e));
	flags = mem->data;
	rc = read_bools(b, in, RN_ROLE_NULLS, flags, e);
	for (uint32_t i = 0; !rc && i < b->rows; i++)
		*nulls += flags[i];
	if (!rc && !*nulls)
		rc = bad_chunk(b, in, "the NULLs of a column have none", e);
	if (rc) {
		rn_buf_unref(mem);
		return rc;
	}
	*out = mem;
	return 0;
}

/* ---- strings ----------------------------------------------------------------- */

/* Lengths to offsets 0 … n; false if one is negative or the sum passes `limit`. */
static bool to_offsets(const int64_t *lengths, uint64_t n, uint64_t limit, uint64_t *off)
{
	uint64_t at = 0;

	for (uint64_t i = 0; i < n; i++) {
		off[i] = at;
		if (lengths[i] < 0 || (uint64_t)lengths[i] > limit - at)
			return false;
		at += (uint64_t)lengths[i];
	}
	off[n] = at;
	return true;
}

static int read_bytes(struct rn_block_reader *b, struct rn_input *in, uint64_t count,
		      const uint8_t **p, struct rn_err *e)
{
	struct rn_chunk *c;

	RN_TRY(next_chunk(b, in, RN_ROLE_BYTES, count, 0, &c, e));
	return chunk_bytes(b, in, c, p, e);
}

static int read_plain_strings(struct rn_block_reader *b, struct rn_input *in,
			      struct rn_column **out, struct rn_err *e)
{
	int64_t *lengths;
	const uint8_t *p;
	uint64_t total = 0;

	RN_TRY(scratch_ints(&b->ints, b->rows, &lengths, e));
	RN_TRY(read_ints(b, in, RN_ROLE_LENGTHS, b->rows, lengths, e));
	for (uint32_t i = 0; i < b->rows; i++) {
		if (lengths[i] < 0 || lengths[i] > RN_ER_MAX_RAW)
			return bad_chunk(b, in, "the length of a string is out of range", e);
		total += (uint64_t)lengths[i];
	}
	RN_TRY(spend(b, in, total, e));
	RN_TRY(read_bytes(b, in, total, &p, e));
	RN_TRY(new_strings(b, b->rows, total, out, e));
	(void)!to_offsets(lengths, b->rows, total, (*out)->off);
	if (total)
		memcpy((*out)->bytes, p, total);
	return 0;
}

struct dict_view {
	uint64_t n;
	const int64_t *codes; /* per row, below n */
	uint64_t *off;        /* n + 1 */
	const uint8_t *bytes;
};

static int read_codes(struct rn_block_reader *b, struct rn_input *in, int64_t *codes,
		      struct rn_err *e)
{
	struct rn_chunk *c;
	const uint8_t *p;
	const char *fault;

	RN_TRY(next_chunk(b, in, RN_ROLE_CODES, b->rows, 0, &c, e));
	RN_TRY(chunk_bytes(b, in, c, &p, e));
	fault = rn_int_decode(c, p, codes);
	return fault ? bad_chunk(b, in, fault, e) : 0;
}

static int read_dict(struct rn_block_reader *b, struct rn_input *in, struct dict_view *d,
		     struct rn_err *e)
{
	int64_t *codes, *lengths;
	uint64_t *off;

	RN_TRY(scratch_ints(&b->codes, b->rows, &codes, e));
	RN_TRY(read_codes(b, in, codes, e));
	d->n = b->next < b->nchunks ? b->chunks[b->next].count : 0;
	if (d->n < 1 || d->n > b->rows)
		return bad_chunk(b, in, "a dictionary has no entries, or too many", e);
	for (uint32_t i = 0; i < b->rows; i++)
		if ((uint64_t)codes[i] >= d->n)
			return bad_chunk(b, in, "a code is past the dictionary", e);
	RN_TRY(scratch_ints(&b->ints, 2 * d->n + 1, &lengths, e));
	RN_TRY(read_ints(b, in, RN_ROLE_LENGTHS, d->n, lengths, e));
	off = (uint64_t *)(void *)(lengths + d->n);
	if (!to_offsets(lengths, d->n, b->raw_left, off))
		return bad_chunk(b, in, "the length of a string is out of range", e);
	RN_TRY(read_bytes(b, in, off[d->n], &d->bytes, e));
	d->codes = codes;
	d->off = off;
	return 0;
}

static int read_dict_strings(struct rn_block_reader *b, struct rn_input *in,
			     struct rn_column **out, struct rn_err *e)
{
	struct dict_view d;
	uint64_t total = 0;

	RN_TRY(read_dict(b, in, &d, e));
	/* At most 65,536 lengths below 2^30: no overflow. */
	for (uint32_t i = 0; i < b->rows; i++)
		total += d.off[d.codes[i] + 1] - d.off[d.codes[i]];
	RN_TRY(spend(b, in, total, e));
	RN_TRY(new_strings(b, b->rows, total, out, e));
	total = 0;
	for (uint32_t i = 0; i < b->rows; i++) {
		uint64_t from = d.off[d.codes[i]], n = d.off[d.codes[i] + 1] - from;

		(*out)->off[i] = total;
		if (n)
			memcpy((*out)->bytes + total, d.bytes + from, n);
		total += n;
	}
	(*out)->off[b->rows] = total;
	return 0;
}

/* ---- columns ----------------------------------------------------------------- */

static int read_values(struct rn_block_reader *b, struct rn_input *in, enum rn_type type,
		       struct rn_column **out, struct rn_err *e)
{
	RN_TRY(spend(b, in, (type == RN_BOOL ? 1 : 8) * (uint64_t)b->rows, e));
	if (type == RN_STRING)
		return next_is(b, RN_ROLE_CODES) ? read_dict_strings(b, in, out, e) :
						   read_plain_strings(b, in, out, e);
	RN_TRY(new_column(b, type, b->rows, out, e));
	if (type == RN_BOOL)
		return read_bools(b, in, RN_ROLE_VALUES, (*out)->b, e);
	if (type == RN_FLOAT64)
		return read_f64(b, in, (*out)->f64, e);
	return read_ints(b, in, RN_ROLE_VALUES, b->rows, (*out)->i64, e);
}

/* What stands under a NULL is zero or "". */
static bool clear_under_nulls(const struct rn_column *c)
{
	for (uint64_t i = 0; i < c->rows; i++) {
		if (!c->null[i])
			continue;
		if (c->type == RN_BOOL ? c->b[i] != 0 :
		    c->type == RN_FLOAT64 ? c->f64[i] != 0 :
		    c->type == RN_STRING ? c->off[i + 1] != c->off[i] : c->i64[i] != 0)
			return false;
	}
	return true;
}

static int read_column(struct rn_block_reader *b, struct rn_input *in, const struct rn_field *f,
		       struct rn_column **out, struct rn_err *e)
{
	struct rn_column *c = NULL;
	struct rn_buf *flags;
	uint64_t nulls;
	int rc;

	RN_TRY(read_nulls(b, in, &flags, &nulls, e));
	rc = read_values(b, in, f->type, &c, e);
	if (rc) {
		rn_buf_unref(flags);
		rn_column_unref(c);
		return rc;
	}
	if (flags) {
		c->mem[2] = flags;
		c->null = flags->data;
		c->nulls = nulls;
		if (!clear_under_nulls(c)) {
			rn_column_unref(c);
			return bad_chunk(b, in, "there is a value under a NULL", e);
		}
	}
	*out = c;
	return 0;
}

/* ---- parts ------------------------------------------------------------------- */

static int read_dense(struct rn_block_reader *b, struct rn_input *in, const struct rn_shape *shape,
		      struct rn_tensor **out, struct rn_err *e)
{
	uint64_t n = (uint64_t)b->rows * rn_shape_width(shape);

	RN_TRY(spend(b, in, 4 * n, e));
	RN_TRY(new_tensor(b, shape, b->rows, out, e));
	return read_f32(b, in, n, (*out)->data, e);
}

/* Columns within the width and ascending within each row, into t. */
static bool set_cols(const int64_t *v, uint32_t width, struct rn_tensor *t)
{
	for (uint64_t r = 0; r < t->rows; r++)
		for (uint64_t i = t->ptr[r]; i < t->ptr[r + 1]; i++) {
			if ((uint64_t)v[i] >= width || (i > t->ptr[r] && v[i] <= v[i - 1]))
				return false;
			t->col[i] = (uint32_t)v[i];
		}
	return true;
}

static int read_sparse(struct rn_block_reader *b, struct rn_input *in, uint32_t width,
		       struct rn_tensor **out, struct rn_err *e)
{
	uint64_t nnz = 0;
	int64_t *v;

	RN_TRY(spend(b, in, 8 * (uint64_t)b->rows, e));
	RN_TRY(scratch_ints(&b->codes, b->rows, &v, e));
	RN_TRY(read_ints(b, in, RN_ROLE_COUNTS, b->rows, v, e));
	for (uint32_t i = 0; i < b->rows; i++) {
		if ((uint64_t)v[i] > width)
			return bad_chunk(b, in, "a sparse row has too many values", e);
		nnz += (uint64_t)v[i];
	}
	RN_TRY(spend(b, in, 8 * nnz, e));
	RN_TRY(rn_tensor_new_sparse(width, b->rows, nnz, out, e));
	(void)!to_offsets(v, b->rows, nnz, (*out)->ptr);
	RN_TRY(scratch_ints(&b->ints, nnz, &v, e));
	RN_TRY(read_ints(b, in, RN_ROLE_COLS, nnz, v, e));
	if (!set_cols(v, width, *out))
		return bad_chunk(b, in, "the columns of a sparse row are out of range or order", e);
	return read_f32(b, in, nnz, (*out)->data, e);
}

static int read_part(struct rn_block_reader *b, struct rn_input *in, const struct rn_part_info *p,
		     struct rn_tensor **out, struct rn_err *e)
{
	int rc;

	*out = NULL;
	rc = p->sparse ? read_sparse(b, in, p->shape.dim[0], out, e) :
			 read_dense(b, in, &p->shape, out, e);
	if (rc)
		rn_tensor_unref(*out);
	return rc;
}

/* ---- blocks ------------------------------------------------------------------ */

static int add_key(const struct rn_schema *s, struct rn_rel *r, struct rn_err *e)
{
	if (!s->nkey)
		return 0;
	RN_TRY(rn_calloc(s->nkey, sizeof *s->key, "a schema", &r->schema.key, e));
	memcpy(r->schema.key, s->key, s->nkey * sizeof *s->key);
	r->schema.nkey = s->nkey;
	return 0;
}

static int decode_all(struct rn_block_reader *b, struct rn_input *in, const struct rn_schema *s,
		      struct rn_rel *r, struct rn_err *e)
{
	for (size_t i = 0; i < s->ncols; i++) {
		struct rn_column *c = NULL;

		RN_TRY(read_column(b, in, &s->cols[i], &c, e));
		RN_TRY(rn_rel_add_col(r, s->cols[i].name, s->cols[i].qual, c, e));
	}
	for (size_t i = 0; i < s->nparts; i++) {
		struct rn_tensor *t;

		RN_TRY(read_part(b, in, &s->parts[i], &t, e));
		RN_TRY(rn_rel_add_part(r, s->parts[i].name, t, NULL, e));
	}
	if (b->next != b->nchunks || b->raw_left)
		return rn_input_bad(in, b->table, e, "a block has more than its schema says");
	return add_key(s, r, e);
}

int rn_block_decode(struct rn_block_reader *b, struct rn_input *in, const struct rn_frame *f,
		    const struct rn_schema *s, uint32_t *encodings, struct rn_rel **out,
		    struct rn_err *e)
{
	struct rn_rel *r;
	int rc;

	if (b->pool_bytes && !b->pool && rn_pool_new(b->pool_bytes, &b->pool, NULL))
		b->pool = NULL; /* the memory is malloc's then */
	b->encodings = encodings;
	b->rows = f->rows;
	b->raw_left = f->raw;
	b->unsummed = f->flags & RN_FLAG_SHARED;
	RN_TRY(read_table(b, in, f, s, e));
	RN_TRY(rn_rel_new(s->name, f->rows, &r, e));
	rc = decode_all(b, in, s, r, e);
	if (rc) {
		rn_rel_unref(r);
		return rc;
	}
	*out = r;
	return 0;
}

void rn_block_reader_fini(struct rn_block_reader *b)
{
	ZSTD_freeDCtx(b->zstd);
	rn_pool_unref(b->pool);
	free(b->chunks);
	free(b->plain.p);
	free(b->ints.p);
	free(b->codes.p);
}
