/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory that processes share: an unnamed file in memory, mapped.  What runs on a device has it
 * as a region: the same offsets, in memory of the device where all of them can have that, else in
 * the file by its address on the device.
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
/* Zeroed, and not there before somebody writes to it.  `name` shows up in /proc.  *out owned.
 * RN_ENOMEM: more than the limit on the size of files. */
RN_MUST_CHECK int rn_shared_new(const char *name, size_t size, struct rn_shared **out,
				struct rn_err *e);
/* Map another process's; takes fd, also on failure. */
RN_MUST_CHECK int rn_shared_map(int fd, bool writable, struct rn_shared **out, struct rn_err *e);
/* Nobody can map it for writing from now on; who made it can still write to its own mapping. */
RN_MUST_CHECK int rn_shared_seal(struct rn_shared *s, struct rn_err *e);
void rn_shared_free(struct rn_shared *s); /* NULL is fine */
/* The host is about to use it: where it is large, of huge pages, as far as they can be had.  All of it
 * is there then; what was in it stays. */
void rn_shared_use_huge(const struct rn_shared *s);

/* Offsets of n items of counts[i] floats, each aligned; *size: of all of them. */
RN_MUST_CHECK int rn_shared_layout(uint32_t n, const size_t *counts, uint64_t *offsets,
				   uint64_t *size, struct rn_err *e);

/* ---- regions ------------------------------------------------------------------------------ */

enum rn_transport { RN_BY_FILE, RN_BY_PINNED, RN_BY_DEVICE };
/* "shared memory", "pinned memory", "cuda ipc" */
const char *rn_transport_name(enum rn_transport t);

/* Zeroed: none. */
struct rn_region {
	struct rn_shared *file; /* borrowed */
	struct rn_backend *backend;
	enum rn_transport by;
	void *base; /* as programs of the backend see it */
	bool imported;
	struct rn_handle handle; /* RN_BY_DEVICE, where it was made here */
};
/* The best that can be had: memory of the device if it can be exported, else the file. */
RN_MUST_CHECK int rn_region_new(struct rn_shared *file, struct rn_backend *b,
				struct rn_region *out, struct rn_err *e);
/* What rn_region_new made in another process, by its handle; NULL: the file. */
RN_MUST_CHECK int rn_region_take(struct rn_shared *file, struct rn_backend *b,
				 const struct rn_handle *h, struct rn_region *out,
				 struct rn_err *e);
/* From memory of the device into the file, with what is there; where it is there, nothing. */
RN_MUST_CHECK int rn_region_to_file(struct rn_region *r, struct rn_err *e);
/* n bytes from `offset`, after what the backend was told to do before. */
RN_MUST_CHECK int rn_region_get(const struct rn_region *r, uint64_t offset, void *x, size_t n,
				struct rn_err *e);
void rn_region_fini(struct rn_region *r);

/* A store whose items lie in a region, in the layout of counts.  Not to be given to
 * rn_store_free. */
RN_MUST_CHECK int rn_shared_store(const struct rn_region *r, uint32_t n, const size_t *counts,
				  struct rn_store **out, struct rn_err *e);
void rn_shared_store_free(struct rn_store *s); /* NULL is fine */

#endif
