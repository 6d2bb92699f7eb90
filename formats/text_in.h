/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes of a text format, decompressed where they are compressed: zstd and
 * gzip, also of several frames or members, by the name's end or by the magic
 * number, so that standard input works alike.
 */
#ifndef RN_TEXT_IN_H
#define RN_TEXT_IN_H

#include "io.h"

struct rn_text_in;
/* Takes io, also on failure. */
RN_MUST_CHECK int rn_text_in_open(struct rn_io *io, struct rn_text_in **out, struct rn_err *e);
/* n bytes of text, fewer only at the end. */
RN_MUST_CHECK int rn_text_in_read(struct rn_text_in *t, void *p, size_t n, size_t *got,
				  struct rn_err *e);

/* Can all of it be read again?  Then do so, from the first byte. */
bool rn_text_in_can_rewind(const struct rn_text_in *t);
RN_MUST_CHECK int rn_text_in_rewind(struct rn_text_in *t, struct rn_err *e);

/* Bytes read so far, as they are stored, and how many there are (0: that is not known). */
void rn_text_in_progress(const struct rn_text_in *t, uint64_t *done, uint64_t *total);
/* Bytes of text that there are, 0 where that is not known. */
uint64_t rn_text_in_size(const struct rn_text_in *t);
const char *rn_text_in_name(const struct rn_text_in *t);
/* XXH3-64 of the bytes read so far, as they are stored. */
uint64_t rn_text_in_hash(const struct rn_text_in *t);
void rn_text_in_close(struct rn_text_in *t); /* NULL is fine */

#endif
