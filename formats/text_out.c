/* SPDX-License-Identifier: Apache-2.0
 *
 * Outputs that compress, with zlib and libzstd (text_out.h).  One gzip member or one
 * Zstandard frame with a checksum; the same bytes for the same text, however it is
 * cut into writes.
 */
#include "text_out.h"

#include "../lib/base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

enum {
	OUT_BYTES = 256 << 10, /* compressed, before it is handed on */
	ZSTD_LEVEL = 3,
	GZ_LEVEL = 6,
	GZ_WINDOW = 15 + 16, /* zlib: + 16 is the gzip format */
	GZ_MEMORY = 8,
};

struct packer {
	struct rn_io io;
	struct rn_io *to;
	ZSTD_CCtx *zstd;
	z_stream z;
	bool gz; /* z is open */
	unsigned char out[OUT_BYTES];
};

static void count(const struct rn_io *io, size_t n)
{
	if (io->count)
		*io->count += n;
}

/* ---- zlib ------------------------------------------------------------------------------ */

/* Z_NO_FLUSH: all of the input is taken; Z_FINISH: all that is left comes out. */
static int run_gz(struct packer *p, int flush, struct rn_err *e)
{
	do {
		p->z.next_out = p->out;
		p->z.avail_out = OUT_BYTES;
		if (deflate(&p->z, flush) == Z_STREAM_ERROR)
			return rn_err_set(e, RN_EIO, "cannot compress '%s'", p->io.name);
		RN_TRY(p->to->ops->write(p->to, p->out, OUT_BYTES - p->z.avail_out, e));
	} while (!p->z.avail_out);
	return 0;
}

static int gz_write(struct rn_io *io, const void *buf, size_t n, struct rn_err *e)
{
	struct packer *p = (struct packer *)io;
	const unsigned char *at = buf;

	count(io, n);
	while (n) {
		uInt k = n < 1u << 30 ? (uInt)n : 1u << 30;

		p->z.next_in = (unsigned char *)(uintptr_t)at; /* zlib only reads it */
		p->z.avail_in = k;
		RN_TRY(run_gz(p, Z_NO_FLUSH, e));
		at += k;
		n -= k;
	}
	return 0;
}

/* ---- Zstandard ------------------------------------------------------------------------- */

static int run_zstd(struct packer *p, ZSTD_EndDirective end, const void *buf, size_t n,
		    struct rn_err *e)
{
	ZSTD_inBuffer in = { buf, n, 0 };
	size_t left;

	do {
		ZSTD_outBuffer out = { p->out, OUT_BYTES, 0 };

		left = ZSTD_compressStream2(p->zstd, &out, &in, end);
		if (ZSTD_isError(left))
			return rn_err_set(e, RN_EIO, "cannot compress '%s': %s", p->io.name,
					  ZSTD_getErrorName(left));
		if (out.pos)
			RN_TRY(p->to->ops->write(p->to, p->out, out.pos, e));
	} while (end == ZSTD_e_end ? left > 0 : in.pos < in.size);
	return 0;
}

static int zstd_write(struct rn_io *io, const void *buf, size_t n, struct rn_err *e)
{
	count(io, n);
	return run_zstd((struct packer *)io, ZSTD_e_continue, buf, n, e);
}

/* ---- both ------------------------------------------------------------------------------ */

static int pack_flush(struct rn_io *io, struct rn_err *e)
{
	struct packer *p = (struct packer *)io;

	return p->to->ops->flush(p->to, e);
}

static void free_packer(struct packer *p)
{
	if (p->gz)
		deflateEnd(&p->z);
	ZSTD_freeCCtx(p->zstd);
	free(p);
}

static void pack_abort(struct rn_io *io)
{
	struct packer *p = (struct packer *)io;

	p->to->ops->abort(p->to);
	free_packer(p);
}

static int pack_close(struct rn_io *io, struct rn_err *e)
{
	struct packer *p = (struct packer *)io;
	int rc = p->gz ? run_gz(p, Z_FINISH, e) : run_zstd(p, ZSTD_e_end, NULL, 0, e);

	if (rc)
		p->to->ops->abort(p->to);
	else
		rc = p->to->ops->close(p->to, e);
	free_packer(p);
	return rc;
}

static const struct rn_io_ops gz_ops = {
	.write = gz_write, .flush = pack_flush, .close = pack_close, .abort = pack_abort,
};
static const struct rn_io_ops zstd_ops = {
	.write = zstd_write, .flush = pack_flush, .close = pack_close, .abort = pack_abort,
};

enum rn_codec rn_codec_of(const char *path, size_t *n)
{
	*n = strlen(path);
	if (*n > 3 && !strcmp(path + *n - 3, ".gz")) {
		*n -= 3;
		return RN_CODEC_GZ;
	}
	if (*n > 4 && !strcmp(path + *n - 4, ".zst")) {
		*n -= 4;
		return RN_CODEC_ZST;
	}
	return RN_CODEC_PLAIN;
}

static int start(struct packer *p, enum rn_codec codec)
{
	if (codec == RN_CODEC_GZ) {
		p->gz = deflateInit2(&p->z, GZ_LEVEL, Z_DEFLATED, GZ_WINDOW, GZ_MEMORY,
				     Z_DEFAULT_STRATEGY) == Z_OK;
		return p->gz ? 0 : -1;
	}
	p->zstd = ZSTD_createCCtx();
	if (!p->zstd)
		return -1;
	ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL);
	ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_checksumFlag, 1);
	return 0;
}

int rn_io_compress(enum rn_codec codec, struct rn_io **io, struct rn_err *e)
{
	struct packer *p;
	int rc;

	if (codec == RN_CODEC_PLAIN)
		return 0;
	rc = rn_calloc(1, sizeof *p, "a compressor", &p, e);
	if (rc) {
		(*io)->ops->abort(*io);
		return rc;
	}
	p->to = *io;
	p->io = (struct rn_io){ .ops = codec == RN_CODEC_GZ ? &gz_ops : &zstd_ops,
				.kind = p->to->kind, .name = p->to->name };
	if (start(p, codec)) {
		pack_abort(&p->io);
		return rn_err_nomem(e, sizeof *p, "a compressor");
	}
	*io = &p->io;
	return 0;
}
