/* SPDX-License-Identifier: Apache-2.0
 *
 * Buffers that are used again.  A reader hands out a new vector of 1 MiB several
 * thousand times a second, which its user drops soon after: where one thread
 * allocates and another frees, malloc gives the pages back to the system each time,
 * and their return costs more than to decode them.
 */
#ifndef RN_POOL_H
#define RN_POOL_H

#include "../lib/base/mem.h"

struct rn_pool;

/* Keeps at most `bytes` bytes that nobody uses.  Owned: rn_pool_unref. */
RN_MUST_CHECK int rn_pool_new(size_t bytes, struct rn_pool **out, struct rn_err *e);
/* Buffers may outlive this, and are then freed as others are.  NULL is fine. */
void rn_pool_unref(struct rn_pool *p);
/* As rn_buf_new_raw.  From any thread. */
RN_MUST_CHECK int rn_pool_buf(struct rn_pool *p, size_t size, const char *what,
			      struct rn_buf **out, struct rn_err *e);

#endif
