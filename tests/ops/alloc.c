/* SPDX-License-Identifier: Apache-2.0
 *
 * An allocator that fails on demand.  It stands in front of the C library's (or
 * the sanitizer's), so that jansson, zstd and the C library itself meet the
 * failure as well.  Needs no linker option.
 */
#include "ops.h"

#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifdef SANITIZED
#define REAL(fn) __interceptor_##fn
#else
#define REAL(fn) __libc_##fn
#endif

/* They run before a sanitizer is ready. */
#define PLAIN __attribute__((no_sanitize("address", "undefined", "thread")))

void *REAL(malloc)(size_t n);
void *REAL(calloc)(size_t n, size_t size);
void *REAL(realloc)(void *p, size_t n);
void *REAL(memalign)(size_t align, size_t n);
void REAL(free)(void *p);

static _Thread_local uint64_t countdown; /* 0: nothing fails */
static _Thread_local bool stay, failed;
static atomic_long live;

void alloc_fail(uint64_t k, bool on)
{
	failed = false;
	stay = on;
	countdown = k;
}

bool alloc_stop(void)
{
	countdown = 0;
	return failed;
}

long alloc_live(void)
{
#ifdef SANITIZED
	return -1;
#else
	return atomic_load(&live);
#endif
}

PLAIN static bool fails(void)
{
	if (!countdown || (countdown > 1 && countdown--))
		return false;
	failed = true;
	countdown = stay;
	errno = ENOMEM;
	return true;
}

PLAIN static void *counted(void *p)
{
	if (p)
		atomic_fetch_add(&live, 1);
	return p;
}

/* The C library calls them too. */
#pragma GCC visibility push(default)

PLAIN void *malloc(size_t n)
{
	return fails() ? NULL : counted(REAL(malloc)(n));
}

PLAIN void *calloc(size_t n, size_t size)
{
	return fails() ? NULL : counted(REAL(calloc)(n, size));
}

PLAIN void *realloc(void *p, size_t n)
{
	void *q;

	if (fails())
		return NULL;
	q = REAL(realloc)(p, n);
	return p ? q : counted(q);
}

PLAIN void *memalign(size_t align, size_t n)
{
	return fails() ? NULL : counted(REAL(memalign)(align, n));
}

PLAIN void *aligned_alloc(size_t align, size_t n)
{
	return fails() ? NULL : counted(REAL(memalign)(align, n));
}

PLAIN int posix_memalign(void **out, size_t align, size_t n)
{
	void *p = fails() ? NULL : counted(REAL(memalign)(align, n));

	if (!p)
		return ENOMEM;
	*out = p;
	return 0;
}

PLAIN void free(void *p)
{
	int saved = errno;

	if (p)
		atomic_fetch_sub(&live, 1);
	REAL(free)(p);
	errno = saved;
}

#pragma GCC visibility pop
