/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory: checked allocation, reference-counted buffers, arenas.
 *
 * Nothing here aborts: an allocation that fails is RN_ENOMEM with the size and
 * what it was for.  All heap memory of the library comes from malloc, calloc,
 * realloc and aligned_alloc, which the allocation-failure test interposes.
 */
#ifndef RN_MEM_H
#define RN_MEM_H

#include "err.h"

#include <stdbool.h>
#include <stdint.h>

#define RN_ALIGN 64 /* bytes: a cache line, and the alignment of every chunk and buffer */

/* a * b, or a + b, into *out; false on overflow. */
static inline bool rn_mul_size(size_t a, size_t b, size_t *out)
{
	return !__builtin_mul_overflow(a, b, out);
}
static inline bool rn_add_size(size_t a, size_t b, size_t *out)
{
	return !__builtin_add_overflow(a, b, out);
}

/* Zeroed array of n items of `size` bytes each into *out (owned by the caller,
 * free()); n = 0 gives a valid pointer.  `what` names it in the message. */
RN_MUST_CHECK int rn_calloc(size_t n, size_t size, const char *what, void *out,
			    struct rn_err *e);

/* Make room for at least `need` items in *ptr (capacity *cap items, doubled as
 * needed).  On failure *ptr and *cap are as before. */
RN_MUST_CHECK int rn_grow(void *ptr, size_t *cap, size_t need, size_t size, const char *what,
			  struct rn_err *e);

/* ---- reference-counted buffers ------------------------------------------ */

/* Immutable once shared.  Reference counts are atomic. */
struct rn_buf {
	void *data;  /* RN_ALIGN-aligned; size bytes rounded up to RN_ALIGN are readable */
	size_t size; /* bytes */
	int refs;
	void (*release)(struct rn_buf *b); /* frees data; NULL when nothing is owned */
	void *owner;                       /* for release */
};

/* A zeroed buffer of `size` bytes (large ones on huge pages); *out owned. */
RN_MUST_CHECK int rn_buf_new(size_t size, const char *what, struct rn_buf **out, struct rn_err *e);
/* The same with arbitrary contents, for what is overwritten at once. */
RN_MUST_CHECK int rn_buf_new_raw(size_t size, const char *what, struct rn_buf **out,
				 struct rn_err *e);
struct rn_buf *rn_buf_ref(struct rn_buf *b); /* NULL is fine */
void rn_buf_unref(struct rn_buf *b);         /* NULL is fine */

/* ---- arenas --------------------------------------------------------------- */

/* Objects that die together.  Single objects are never freed. */
struct rn_arena {
	struct rn_arena_block *head;
};

void *rn_arena_alloc(struct rn_arena *a, size_t size, struct rn_err *e); /* zeroed, 16-aligned; NULL + e */
char *rn_arena_strdup(struct rn_arena *a, const char *s, struct rn_err *e);
char *rn_arena_strndup(struct rn_arena *a, const char *s, size_t n, struct rn_err *e);
/* As vsprintf(3). */
char *rn_arena_vprintf(struct rn_arena *a, struct rn_err *e, const char *fmt, va_list ap)
	RN_PRINTF(3, 0);
/* Room for one more of the *n items of `size` bytes that *(T **)items points to: where it is.  It
 * takes that nobody else adds to them, and moves them when *n is a power of two. */
void *rn_arena_push(struct rn_arena *a, void *items, uint32_t *n, size_t size, struct rn_err *e);
void rn_arena_fini(struct rn_arena *a); /* frees all; the arena is empty and usable again */

#endif
