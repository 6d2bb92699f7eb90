/* SPDX-License-Identifier: Apache-2.0
 *
 * Part of a buffer: shared where that keeps the 64-byte alignment which chunks
 * and kernels rely on (so for every block of a relation), copied elsewhere.
 */
#ifndef RN_WINDOW_H
#define RN_WINDOW_H

#include "../base/mem.h"

/* `bytes` bytes from `from`, which lies in b: *mem (owned) keeps *at alive. */
RN_MUST_CHECK int rn_buf_window(struct rn_buf *b, const void *from, size_t bytes, const char *what,
				struct rn_buf **mem, void **at, struct rn_err *e);

#endif
