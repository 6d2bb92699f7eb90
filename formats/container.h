/* SPDX-License-Identifier: Apache-2.0
 *
 * The container (.er, .rnm): rn_er(5) is its specification.
 *
 * A stream is a header (JSON text of bounded length, opaque here), numbered
 * sections, each one relation (a schema, then blocks of at most 65,536 rows),
 * and an END frame with row counts and a running checksum, or an ABORT frame
 * with the producer's message.  The end of the file without END is an error,
 * always.  Every malformed input is RN_EDATA with the byte offset.
 *
 * Use:
 *   rn_writer_open(io, header, &opt, &w, e)
 *     { rn_writer_section(w, schema, e) { rn_writer_rows(w, rel, e) }* }*
 *   rn_writer_close(w, e)            or rn_writer_abort(w, "message")
 *
 *   rn_reader_open(io, &r, e); rn_reader_header(r)
 *     { rn_reader_section(r, &schema, e) until *schema is NULL
 *        { rn_reader_block(r, &block, e) until *block is NULL } }
 *   rn_reader_close(r)
 */
#ifndef RN_CONTAINER_H
#define RN_CONTAINER_H

#include "../lib/rel/rel.h"
#include "io.h"

struct rn_team;

enum rn_compress {
	RN_COMPRESS_AUTO, /* zstd:1 to a file or a socket, none to a pipe; with zstd, a chunk
			     that it does not make 3 % smaller is stored as it is */
	RN_COMPRESS_NONE,
	RN_COMPRESS_ZSTD,
};

/* What was written; complete once the writer is closed. */
struct rn_writer_stats {
	uint64_t rows, blocks, raw_bytes, written_bytes;
	uint64_t shared_blocks, shared_bytes; /* of these, through shared memory */
	uint64_t zstd_from, zstd_to; /* bytes of the chunks that zstd made smaller, and then */
	/* Words that stay, or NULL: what it was written to ("pipe"); why blocks to a pipe
	 * went inline. */
	const char *transport, *why_inline;
	int level; /* of zstd; 0: not compressed */
};

struct rn_writer_opt {
	enum rn_compress compress;
	int level;           /* zstd level 1 to 19; 0: 1 */
	uint32_t block_rows; /* 1 to 65536; 0: 65536; past 1 MiB a block is cut earlier */
	struct rn_team *team; /* encodes several blocks at a time (borrowed until close).
				 NULL: alone, but for a helper that writes a file of
				 compressed blocks.  The bytes are the same. */
	bool inline_only; /* offer no shared memory to the reader of a pipe: an offer names this
			     process, so that the same stream is not the same bytes twice */
	struct rn_writer_stats *stats; /* filled by rn_writer_close; NULL: nobody asks */
};

/* "auto", "none", "zstd", "zstd:N" (RN_EUSAGE otherwise). */
RN_MUST_CHECK int rn_compress_parse(const char *s, struct rn_writer_opt *opt, struct rn_err *e);

struct rn_writer;
/* Takes io, also on failure (aborted then). */
RN_MUST_CHECK int rn_writer_open(struct rn_io *io, const char *header,
				 const struct rn_writer_opt *opt, struct rn_writer **out,
				 struct rn_err *e);
RN_MUST_CHECK int rn_writer_section(struct rn_writer *w, const struct rn_schema *s,
				    struct rn_err *e);
/* Rows of the open section.  Any number of rows: cut and joined to block_rows;
 * parts with maps are flattened.  The schema must equal the section's.  r may be kept
 * until later rows, a section or close; an error may be that of earlier rows, and stays. */
RN_MUST_CHECK int rn_writer_rows(struct rn_writer *w, const struct rn_rel *r, struct rn_err *e);
/* END frame, flush, publish.  Frees w. */
RN_MUST_CHECK int rn_writer_close(struct rn_writer *w, struct rn_err *e);
/* ABORT frame with the message, close; a temporary file is removed.  Frees w.
 * NULL is fine. */
void rn_writer_abort(struct rn_writer *w, const char *message);

struct rn_reader;
/* Takes io, also on failure. */
RN_MUST_CHECK int rn_reader_open(struct rn_io *io, struct rn_reader **out, struct rn_err *e);
const char *rn_reader_header(const struct rn_reader *r); /* borrowed until close */
/* Decode on this team (borrowed until close) what is read ahead of a file or of memory:
 * a few blocks of 1 MiB.  A pipe is read as before: what has arrived is handed on at
 * once.  NULL, or one thread: alone, but for a helper that waits for a file. */
void rn_reader_set_team(struct rn_reader *r, struct rn_team *team);
/* The next section's schema (borrowed until the next call), or *out = NULL after
 * END; rows of the section before that were not read are skipped (and checked). */
RN_MUST_CHECK int rn_reader_section(struct rn_reader *r, const struct rn_schema **out,
				    struct rn_err *e);
/* The next block of the section, *out owned; NULL at the section's end. */
RN_MUST_CHECK int rn_reader_block(struct rn_reader *r, struct rn_rel **out, struct rn_err *e);
/* All that is left of the section as one relation, *out owned. */
RN_MUST_CHECK int rn_reader_all(struct rn_reader *r, struct rn_rel **out, struct rn_err *e);
void rn_reader_close(struct rn_reader *r); /* NULL is fine */

/* Does a file that begins with these n bytes (at least 8) claim to be one? */
bool rn_container_magic(const void *p, size_t n);

/* Per-section facts for rn-info: rows, blocks, raw and stored bytes, and how
 * many chunks used each encoding, filled as blocks are read. */
struct rn_section_stats {
	uint64_t rows, blocks, raw_bytes, stored_bytes;
	uint64_t encodings[16]; /* by encoding number, names from rn_encoding_name */
	uint64_t offset;        /* in the stream, where the last block ends */
};
const struct rn_section_stats *rn_reader_section_stats(const struct rn_reader *r);
/* How far the blocks that were handed out reach, and the bytes in all (0: not known). */
void rn_reader_progress(const struct rn_reader *r, uint64_t *done, uint64_t *total);
const char *rn_encoding_name(unsigned encoding); /* NULL past the last */

#endif
