/* SPDX-License-Identifier: Apache-2.0 */
#include "block_write.h"

#include "bitpack.h"
#include "hash.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
	MIN_CODEC = 128,        /* bytes below which no codec is tried */
	MIN_PIECE = 64 << 10,   /* bytes from which a copy costs more than a system call */
	DICT_PROBE = 4096,      /* rows after which a dictionary must look worthwhile */
	ZERO_PROBE = 512,       /* floats that are looked at before they are shuffled */
};

/* ---- chunks ------------------------------------------------------------------ */

static int new_chunk(struct rn_block *b, enum rn_role role, struct rn_chunk **out,
		     struct rn_err *e)
{
	RN_TRY(rn_grow(&b->chunks, &b->chunks_cap, b->nchunks + 1, sizeof *b->chunks, "a block",
		       e));
	*out = &b->chunks[b->nchunks++];
	**out = (struct rn_chunk){ .role = (uint8_t)role };
	return 0;
}

/* The chunk's n stored bytes are at enc.p + enc.len: sum, pad, account for them. */
static void commit(struct rn_block *b, struct rn_chunk *c, size_t n)
{
	uint8_t *p = b->enc.p + b->enc.len;
	size_t padded = rn_er_pad(n);

	memset(p + n, 0, padded - n);
	c->stored = n;
	c->sum = b->unsummed ? 0 : rn_hash64(p, n);
	b->enc.len += padded;
	b->length += padded;
}

/* Try the codec on the chunk's encoded bytes; false: it does not win 3 %. */
static int compress(struct rn_block *b, struct rn_chunk *c, const void *data, bool *won,
		    struct rn_err *e)
{
	size_t bound = ZSTD_compressBound(c->encoded), n;

	*won = false;
	if (!b->level || c->encoded < MIN_CODEC)
		return 0;
	if (!b->scratch->zstd)
		b->scratch->zstd = ZSTD_createCCtx();
	if (!b->scratch->zstd)
		return rn_err_nomem(e, c->encoded, "the zstd codec");
	RN_TRY(rn_bytes_reserve(&b->enc, bound + RN_ER_ALIGN, e));
	n = ZSTD_compressCCtx(b->scratch->zstd, b->enc.p + b->enc.len, bound, data, c->encoded,
			      b->level);
	if (ZSTD_isError(n))
		return rn_err_set(e, RN_ENOMEM, "cannot compress a block: %s",
				  ZSTD_getErrorName(n));
	if (n * 100 > c->encoded * 97)
		return 0;
	c->codec = RN_CODEC_ZSTD;
	commit(b, c, n);
	*won = true;
	return 0;
}

/* Store the encoded bytes as they are: by reference where they stay valid. */
static int store(struct rn_block *b, struct rn_chunk *c, const void *data, bool borrowed,
		 struct rn_err *e)
{
	size_t n = c->encoded, padded = rn_er_pad(n);

	if (!borrowed || n < MIN_PIECE) {
		RN_TRY(rn_bytes_reserve(&b->enc, padded, e));
		if (n)
			memcpy(b->enc.p + b->enc.len, data, n);
		commit(b, c, n);
		return 0;
	}
	RN_TRY(rn_grow(&b->pieces, &b->pieces_cap, b->npieces + 1, sizeof *b->pieces, "a block",
		       e));
	RN_TRY(rn_bytes_reserve(&b->enc, RN_ER_ALIGN, e));
	b->pieces[b->npieces++] = (struct rn_piece){ .p = data, .n = n, .at = b->enc.len };
	memset(b->enc.p + b->enc.len, 0, padded - n);
	b->enc.len += padded - n;
	b->length += padded;
	c->stored = n;
	c->sum = b->unsummed ? 0 : rn_hash64(data, n);
	return 0;
}

/* Is the chunk encoded in its place, or where the codec will read?  (No pointer tells: what
 * lies behind b->enc may be the scratch.) */
static bool is_direct(const struct rn_block *b, const struct rn_chunk *c)
{
	return !b->level || c->encoded < MIN_CODEC;
}

/* Where its encoder writes. */
static int target(struct rn_block *b, const struct rn_chunk *c, uint8_t **dst,
		  struct rn_err *e)
{
	struct rn_bytes *to = is_direct(b, c) ? &b->enc : &b->scratch->tmp;

	RN_TRY(rn_bytes_reserve(to, c->encoded + RN_ER_ALIGN, e));
	*dst = to->p + to->len;
	return 0;
}

static int finish(struct rn_block *b, struct rn_chunk *c, const uint8_t *dst,
		  struct rn_err *e)
{
	bool won;

	if (is_direct(b, c)) {
		commit(b, c, c->encoded);
		return 0;
	}
	RN_TRY(compress(b, c, dst, &won, e));
	return won ? 0 : store(b, c, dst, false, e);
}

static int add_ints(struct rn_block *b, enum rn_role role, const int64_t *v, uint64_t n,
		    struct rn_err *e)
{
	struct rn_chunk *c;
	uint8_t *dst;

	RN_TRY(new_chunk(b, role, &c, e));
	rn_int_choose(v, n, c);
	RN_TRY(target(b, c, &dst, e));
	rn_int_encode(v, c, dst);
	return finish(b, c, dst, e);
}

static int add_bools(struct rn_block *b, enum rn_role role, const uint8_t *v, uint64_t n,
		     struct rn_err *e)
{
	struct rn_chunk *c;
	uint8_t *dst;

	RN_TRY(new_chunk(b, role, &c, e));
	rn_bool_choose(v, n, c);
	RN_TRY(target(b, c, &dst, e));
	rn_bool_encode(v, c, dst);
	return finish(b, c, dst, e);
}

/* Does a shuffle help the codec?  Not where most values are zero, as behind a ReLU with
 * dropout: there it takes longer both ways, and finds less (from 55 % zeros on; at 80 %
 * the ratio is 3.0 instead of 4.0).  A sample tells. */
static bool shuffle_helps(const void *v, uint64_t n, unsigned size)
{
	static const char zero[8];
	uint64_t step = n > ZERO_PROBE ? n / ZERO_PROBE : 1, probes = 0, zeros = 0;

	/* An odd step, so that not always the same feature of a row is looked at. */
	for (uint64_t i = 0; i < n; i += step | 1, probes++)
		zeros += memcmp((const char *)v + i * size, zero, size) == 0;
	return zeros * 5 < probes * 3;
}

/* `stays`: v is valid until the block is written. */
static int add_floats(struct rn_block *b, const void *v, uint64_t n, unsigned size,
		      bool stays, struct rn_err *e)
{
	struct rn_chunk *c;
	bool won = false;

	RN_TRY(new_chunk(b, RN_ROLE_VALUES, &c, e));
	rn_float_choose(v, n, size, c);
	if (b->level && c->encoded >= MIN_CODEC) {
		bool shuffle = shuffle_helps(v, n, size);

		if (shuffle) {
			RN_TRY(rn_bytes_reserve(&b->scratch->tmp, c->encoded, e));
			rn_shuffle(v, n, size, b->scratch->tmp.p);
		}
		RN_TRY(compress(b, c, shuffle ? b->scratch->tmp.p : v, &won, e));
		if (won && shuffle)
			c->encoding = RN_ENC_SHUFFLE;
	}
	return won ? 0 : store(b, c, v, stays, e);
}

static int add_bytes(struct rn_block *b, const void *v, uint64_t n, bool stays,
		     struct rn_err *e)
{
	struct rn_chunk *c;
	bool won;

	RN_TRY(new_chunk(b, RN_ROLE_BYTES, &c, e));
	c->count = c->encoded = n;
	RN_TRY(compress(b, c, v, &won, e));
	return won ? 0 : store(b, c, v, stays, e);
}

/* ---- strings ----------------------------------------------------------------- */

/* int64 scratch of n values. */
static int need_ints(struct rn_bytes *b, uint64_t n, int64_t **out, struct rn_err *e)
{
	b->len = 0;
	RN_TRY(rn_bytes_reserve(b, n * sizeof **out, e));
	*out = (int64_t *)(void *)b->p;
	return 0;
}

struct dict {
	uint32_t *slots; /* entry + 1, or 0 */
	uint32_t mask;
	uint32_t *first; /* the first row of each entry */
	int64_t *codes;  /* per row */
	uint64_t n, bytes;
};

static bool same_string(const struct rn_column *c, uint64_t i, uint64_t j)
{
	uint64_t n = c->off[i + 1] - c->off[i];

	return n == c->off[j + 1] - c->off[j] &&
	       (!n || memcmp(c->bytes + c->off[i], c->bytes + c->off[j], n) == 0);
}

/* Number the distinct strings; false if it does not look worthwhile. */
static bool dict_build(const struct rn_column *c, struct dict *d)
{
	for (uint64_t i = 0; i < c->rows; i++) {
		uint64_t n = c->off[i + 1] - c->off[i];
		uint32_t at = (uint32_t)rn_hash64(c->bytes + c->off[i], n) & d->mask;

		while (d->slots[at] && !same_string(c, d->first[d->slots[at] - 1], i))
			at = (at + 1) & d->mask;
		if (!d->slots[at]) {
			d->first[d->n] = (uint32_t)i;
			d->bytes += n;
			d->slots[at] = (uint32_t)++d->n;
		}
		d->codes[i] = d->slots[at] - 1;
		if (i == DICT_PROBE && d->n > DICT_PROBE / 4 * 3)
			return false;
	}
	return true;
}

static int dict_new(struct rn_block *b, uint64_t rows, struct dict *d, struct rn_err *e)
{
	uint64_t slots = 16;

	while (slots < 2 * rows)
		slots *= 2;
	b->scratch->words.len = 0;
	RN_TRY(rn_bytes_reserve(&b->scratch->words, (slots + rows) * sizeof *d->slots, e));
	d->slots = (uint32_t *)(void *)b->scratch->words.p;
	memset(d->slots, 0, slots * sizeof *d->slots);
	d->first = d->slots + slots;
	d->mask = (uint32_t)(slots - 1);
	return 0;
}

/* CODES, LENGTHS and BYTES of the entries. */
static int add_dict(struct rn_block *b, const struct rn_column *c, struct dict *d,
		    struct rn_err *e)
{
	struct rn_chunk *k;
	int64_t *lengths = d->codes; /* once the codes are packed */
	uint8_t *dst;
	size_t at = 0;

	RN_TRY(new_chunk(b, RN_ROLE_CODES, &k, e));
	k->count = c->rows;
	k->encoding = RN_ENC_DICT;
	k->width = (uint8_t)rn_bits(d->n - 1);
	k->encoded = rn_packed_bytes(c->rows, k->width);
	RN_TRY(target(b, k, &dst, e));
	rn_pack((const uint64_t *)d->codes, c->rows, 0, k->width, dst);
	RN_TRY(finish(b, k, dst, e));
	b->scratch->copy.len = 0;
	RN_TRY(rn_bytes_reserve(&b->scratch->copy, d->bytes, e));
	for (uint64_t i = 0; i < d->n; i++) {
		uint64_t from = c->off[d->first[i]], n = c->off[d->first[i] + 1] - from;

		if (n)
			memcpy(b->scratch->copy.p + at, c->bytes + from, n);
		at += n;
		lengths[i] = (int64_t)n;
	}
	RN_TRY(add_ints(b, RN_ROLE_LENGTHS, lengths, d->n, e));
	return add_bytes(b, b->scratch->copy.p, d->bytes, false, e);
}

static uint64_t int_bytes(const int64_t *v, uint64_t n)
{
	struct rn_chunk c = { 0 };

	rn_int_choose(v, n, &c);
	return c.encoded;
}

static bool dict_wins(const struct rn_column *c, const struct dict *d, const int64_t *lengths)
{
	uint64_t codes = rn_packed_bytes(c->rows, rn_bits(d->n - 1));

	/* An entry's length takes at most what a row's takes: leave it at that. */
	return codes + d->bytes + int_bytes(lengths, c->rows) * d->n / c->rows + RN_ER_ALIGN <
	       c->off[c->rows] + int_bytes(lengths, c->rows);
}

static int add_strings(struct rn_block *b, const struct rn_column *c, const char *name,
		       struct rn_err *e)
{
	struct dict d = { 0 };
	int64_t *lengths;

	RN_TRY(need_ints(&b->scratch->ints, 2 * c->rows, &lengths, e));
	d.codes = lengths + c->rows;
	for (uint64_t i = 0; i < c->rows; i++) {
		lengths[i] = (int64_t)(c->off[i + 1] - c->off[i]);
		if (lengths[i] && rn_column_is_null(c, i))
			return rn_err_set(e, RN_EBUG,
					  "column '%s' has a string under a NULL, in row %" PRIu64
					  " of a block", name, i);
	}
	b->raw += 8 * c->rows + c->off[c->rows];
	RN_TRY(dict_new(b, c->rows, &d, e));
	if (dict_build(c, &d) && dict_wins(c, &d, lengths))
		return add_dict(b, c, &d, e);
	RN_TRY(add_ints(b, RN_ROLE_LENGTHS, lengths, c->rows, e));
	return add_bytes(b, c->bytes, c->off[c->rows], true, e);
}

/* ---- columns and parts ------------------------------------------------------- */

/* *v, or a copy of it with zeros under the NULLs where there is something else. */
static int clear_nulls(struct rn_block *b, const struct rn_column *c, unsigned size,
		       const void **v, bool *copied, struct rn_err *e)
{
	static const char zero[8];
	const char *p = *v;
	uint64_t i = 0;

	while (i < c->rows && (!c->null[i] || memcmp(p + i * size, zero, size) == 0))
		i++;
	*copied = i < c->rows;
	if (!*copied)
		return 0;
	b->scratch->copy.len = 0;
	RN_TRY(rn_bytes_reserve(&b->scratch->copy, c->rows * size, e));
	memcpy(b->scratch->copy.p, p, c->rows * size);
	for (; i < c->rows; i++)
		if (c->null[i])
			memset(b->scratch->copy.p + i * size, 0, size);
	*v = b->scratch->copy.p;
	return 0;
}

static int check_nan(const struct rn_column *c, const double *v, const char *name,
		     struct rn_err *e)
{
	return rn_f64_has_nan(v, c->rows) ?
		       rn_err_set(e, RN_EBUG, "column '%s' holds NaN", name) : 0;
}

static int add_column(struct rn_block *b, const struct rn_column *c, const char *name,
		      struct rn_err *e)
{
	bool copied = false;
	const void *v;

	if (c->nulls) {
		RN_TRY(add_bools(b, RN_ROLE_NULLS, c->null, c->rows, e));
		b->raw += c->rows;
	}
	if (c->type == RN_STRING)
		return add_strings(b, c, name, e);
	v = c->type == RN_BOOL ? (const void *)c->b :
	    c->type == RN_FLOAT64 ? (const void *)c->f64 : c->i64;
	if (c->nulls)
		RN_TRY(clear_nulls(b, c, c->type == RN_BOOL ? 1 : 8, &v, &copied, e));
	if (c->type == RN_BOOL) {
		b->raw += c->rows;
		return add_bools(b, RN_ROLE_VALUES, v, c->rows, e);
	}
	b->raw += 8 * c->rows;
	if (c->type != RN_FLOAT64)
		return add_ints(b, RN_ROLE_VALUES, v, c->rows, e);
	RN_TRY(check_nan(c, v, name, e));
	return add_floats(b, v, c->rows, 8, !copied, e);
}

static int add_sparse(struct rn_block *b, const struct rn_tensor *t, struct rn_err *e)
{
	int64_t *v;

	RN_TRY(need_ints(&b->scratch->ints, t->rows > t->nnz ? t->rows : t->nnz, &v, e));
	for (uint64_t i = 0; i < t->rows; i++)
		v[i] = (int64_t)(t->ptr[i + 1] - t->ptr[i]);
	RN_TRY(add_ints(b, RN_ROLE_COUNTS, v, t->rows, e));
	for (uint64_t i = 0; i < t->nnz; i++)
		v[i] = t->col[i];
	RN_TRY(add_ints(b, RN_ROLE_COLS, v, t->nnz, e));
	b->raw += 8 * (t->rows + t->nnz);
	return add_floats(b, t->data, t->nnz, 4, true, e);
}

static int add_part(struct rn_block *b, const struct rn_rel *r, size_t i, struct rn_err *e)
{
	const struct rn_tensor *t = r->parts[i].t;

	if (r->parts[i].map) {
		RN_TRY(rn_grow(&b->flat, &b->flat_cap, b->nflat + 1, sizeof(struct rn_tensor *),
			       "a block", e));
		RN_TRY(rn_rel_flat_part(r, i, &b->flat[b->nflat], e));
		t = b->flat[b->nflat++];
	}
	if (t->sparse)
		return add_sparse(b, t, e);
	b->raw += 4 * t->nnz;
	return add_floats(b, t->data, t->nnz, 4, true, e);
}

void rn_block_clear(struct rn_block *b)
{
	while (b->nflat)
		rn_tensor_unref(b->flat[--b->nflat]);
	b->enc.len = b->npieces = b->nchunks = 0;
	b->raw = b->length = 0;
}

int rn_block_encode(struct rn_block *b, struct rn_block_scratch *scratch, const struct rn_rel *r,
		    struct rn_err *e)
{
	const struct rn_schema *s = &r->schema;

	rn_block_clear(b);
	b->scratch = scratch;
	/* At most four chunks of a column, three of a part. */
	b->front = RN_ER_FIXED * (1 + 4 * s->ncols + 3 * s->nparts);
	RN_TRY(rn_bytes_reserve(&b->enc, b->front, e));
	b->enc.len = b->front;
	for (size_t i = 0; i < s->ncols; i++)
		RN_TRY(add_column(b, r->cols[i], s->cols[i].name, e));
	for (size_t i = 0; i < s->nparts; i++)
		RN_TRY(add_part(b, r, i, e));
	b->length += RN_ER_FIXED * b->nchunks;
	return 0;
}

void rn_block_sum(struct rn_block *b)
{
	size_t at = b->front, piece = 0;

	for (size_t i = 0; i < b->nchunks; i++) {
		struct rn_chunk *c = &b->chunks[i];
		const struct rn_piece *p = piece < b->npieces ? &b->pieces[piece] : NULL;
		bool apart = p && p->at == at && p->n == c->stored;

		c->sum = rn_hash64(apart ? p->p : b->enc.p + at, c->stored);
		at += rn_er_pad(c->stored) - (apart ? c->stored : 0);
		piece += apart;
	}
	b->unsummed = false;
}

void rn_block_fini(struct rn_block *b)
{
	rn_block_clear(b);
	free(b->enc.p);
	free(b->pieces);
	free(b->chunks);
	free(b->flat);
	*b = (struct rn_block){ 0 };
}

void rn_block_scratch_fini(struct rn_block_scratch *s)
{
	ZSTD_freeCCtx(s->zstd);
	free(s->tmp.p);
	free(s->ints.p);
	free(s->words.p);
	free(s->copy.p);
	*s = (struct rn_block_scratch){ 0 };
}

static uint64_t part_raw(const struct rn_part *p, uint64_t from, uint64_t n)
{
	const uint32_t *map = p->map ? p->map->data : NULL;
	uint64_t nnz = 0;

	if (!p->t->sparse)
		return 4 * n * rn_shape_width(&p->t->shape);
	if (!map)
		nnz = p->t->ptr[from + n] - p->t->ptr[from];
	for (uint64_t i = from; map && i < from + n; i++)
		if (map[i] != RN_NO_ROW)
			nnz += p->t->ptr[map[i] + 1] - p->t->ptr[map[i]];
	return 8 * (n + nnz);
}

uint64_t rn_block_raw(const struct rn_rel *r, uint64_t from, uint64_t n)
{
	uint64_t raw = 0;

	for (size_t i = 0; i < r->schema.ncols; i++) {
		const struct rn_column *c = r->cols[i];

		raw += c->type == RN_BOOL ? n : 8 * n;
		if (c->type == RN_STRING)
			raw += c->off[from + n] - c->off[from];
	}
	for (size_t i = 0; i < r->schema.nparts; i++)
		raw += part_raw(&r->parts[i], from, n);
	return raw;
}

uint64_t rn_block_least_raw(const struct rn_schema *s)
{
	uint64_t raw = 0;

	for (size_t i = 0; i < s->ncols; i++)
		raw += s->cols[i].type == RN_BOOL ? 1 : 8;
	for (size_t i = 0; i < s->nparts; i++)
		raw += s->parts[i].sparse ? 8 : 4 * rn_shape_width(&s->parts[i].shape);
	return raw;
}
