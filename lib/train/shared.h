/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory that processes share: an unnamed file in memory, mapped.
 */
#ifndef RN_SHARED_H
#define RN_SHARED_H

#include "../dev/machine.h"
#include "../learn/params.h"

struct rn_shared {
	int fd;
	size_t size;
	void *base;
};
/* `name` shows up in /proc.  *out owned. */
RN_MUST_CHECK int rn_shared_new(const char *name, size_t size, struct rn_shared **out,
				struct rn_err *e);
/* Map another process's; takes fd, also on failure. */
RN_MUST_CHECK int rn_shared_map(int fd, bool writable, struct rn_shared **out, struct rn_err *e);
void rn_shared_free(struct rn_shared *s); /* NULL is fine */

/* Offsets of n items of counts[i] floats, each aligned; *size: of all of them. */
RN_MUST_CHECK int rn_shared_layout(uint32_t n, const size_t *counts, uint64_t *offsets,
				   uint64_t *size, struct rn_err *e);

/* A store (CPU) whose items lie in shared memory, in the layout of counts.  Not to be
 * given to rn_store_free. */
RN_MUST_CHECK int rn_shared_store(struct rn_shared *m, struct rn_backend *b, uint32_t n,
				  const size_t *counts, struct rn_store **out, struct rn_err *e);
void rn_shared_store_free(struct rn_store *s); /* NULL is fine */

#endif
