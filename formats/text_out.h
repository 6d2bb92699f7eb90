/* SPDX-License-Identifier: Apache-2.0
 *
 * An output that compresses what is written to it and hands it on to another, as
 * the name of a text file asks for; text_in.h reads it back.
 */
#ifndef RN_TEXT_OUT_H
#define RN_TEXT_OUT_H

#include "io.h"

enum rn_codec { RN_CODEC_PLAIN, RN_CODEC_GZ, RN_CODEC_ZST };

/* By the end of the name: .gz, .zst.  *n: the length of the name without it. */
enum rn_codec rn_codec_of(const char *path, size_t *n);

/* *io: an output in front of the one that it was, which is closed and aborted with it;
 * that is taken on failure. */
RN_MUST_CHECK int rn_io_compress(enum rn_codec codec, struct rn_io **io, struct rn_err *e);

#endif
