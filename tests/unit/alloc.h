/* SPDX-License-Identifier: Apache-2.0
 *
 * An allocator that fails on demand, and counts what it gave.  It stands in front of the C
 * library's (or the sanitizer's), so that jansson, zstd and the C library itself meet the
 * failure as well; it needs no linker option.
 *
 * To be included by one file of a test program.  The calls of each thread are counted and
 * fail on their own; where ALLOC_ANY_THREAD is defined before, those of all together.
 * Where ALLOC_OWN is defined, those of shared libraries neither count nor fail.
 * ALLOC_FN defined as nothing shows alloc_fail, alloc_stop and alloc_live to other files.
 */
#ifndef ALLOC_H
#define ALLOC_H

#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ALLOC_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define ALLOC_SANITIZED 1
#endif
#endif

#ifdef ALLOC_SANITIZED
#define ALLOC_REAL(fn) __interceptor_##fn
enum { ALLOC_COUNTS = 0 }; /* the sanitizer finds leaks */
#else
#define ALLOC_REAL(fn) __libc_##fn
enum { ALLOC_COUNTS = 1 };
#endif

#ifdef ALLOC_ANY_THREAD
#define ALLOC_SCOPE static
#else
#define ALLOC_SCOPE static _Thread_local
#endif

#ifndef ALLOC_FN
#define ALLOC_FN __attribute__((unused)) static
#endif

/* They run before a sanitizer is ready. */
#define ALLOC_PLAIN __attribute__((no_sanitize("address", "undefined", "thread")))

void *ALLOC_REAL(malloc)(size_t n);
void *ALLOC_REAL(calloc)(size_t n, size_t size);
void *ALLOC_REAL(realloc)(void *p, size_t n);
void *ALLOC_REAL(memalign)(size_t align, size_t n);
void ALLOC_REAL(free)(void *p);

ALLOC_SCOPE _Atomic uint64_t alloc_n, alloc_at; /* at 0: none fails */
ALLOC_SCOPE _Atomic bool alloc_stays, alloc_failed;
static atomic_long alloc_blocks, alloc_bytes, alloc_high;

/* From now on the k-th allocation fails (0: none), and where `on` all after it. */
ALLOC_FN void alloc_fail(uint64_t k, bool on)
{
	alloc_at = 0;
	alloc_failed = false;
	alloc_stays = on;
	alloc_n = 0;
	alloc_at = k;
}

/* No allocation fails any more.  Did one? */
ALLOC_FN bool alloc_stop(void)
{
	alloc_at = 0;
	return alloc_failed;
}

/* Allocations since alloc_fail. */
__attribute__((unused)) static uint64_t alloc_calls(void)
{
	return alloc_n;
}

/* Blocks that were not freed; -1 where a sanitizer counts them. */
ALLOC_FN long alloc_live(void)
{
	return ALLOC_COUNTS ? alloc_blocks : -1;
}

/* The most bytes in use since the last call, beyond those in use at that call; 0 likewise. */
__attribute__((unused)) static long alloc_peak(void)
{
	static long from;
	long most = alloc_high - from;

	from = alloc_bytes;
	alloc_high = from;
	return most;
}

static ALLOC_PLAIN bool alloc_fails(void)
{
	uint64_t call = ++alloc_n, at = alloc_at;

	if (!at || call < at || (call > at && !alloc_stays))
		return false;
	alloc_failed = true;
	errno = ENOMEM;
	return true;
}

static ALLOC_PLAIN void *alloc_counted(void *p)
{
	long n, now, high;

	if (!ALLOC_COUNTS || !p)
		return p;
	alloc_blocks++;
	n = (long)malloc_usable_size(p);
	now = atomic_fetch_add(&alloc_bytes, n) + n;
	high = alloc_high;
	while (now > high && !atomic_compare_exchange_weak(&alloc_high, &high, now))
		;
	return p;
}

static ALLOC_PLAIN void alloc_uncounted(void *p)
{
	if (!ALLOC_COUNTS || !p)
		return;
	alloc_blocks--;
	alloc_bytes -= (long)malloc_usable_size(p);
}

/* Shared libraries are to use these, too. */
#ifndef ALLOC_OWN
#pragma GCC visibility push(default)
#endif

ALLOC_PLAIN void *malloc(size_t n)
{
	return alloc_fails() ? NULL : alloc_counted(ALLOC_REAL(malloc)(n));
}

ALLOC_PLAIN void *calloc(size_t n, size_t size)
{
	return alloc_fails() ? NULL : alloc_counted(ALLOC_REAL(calloc)(n, size));
}

ALLOC_PLAIN void *realloc(void *p, size_t n)
{
	void *q;

	if (alloc_fails())
		return NULL;
	alloc_uncounted(p);
	q = ALLOC_REAL(realloc)(p, n);
	alloc_counted(!q && n ? p : q);
	return q;
}

ALLOC_PLAIN void *memalign(size_t align, size_t n)
{
	return alloc_fails() ? NULL : alloc_counted(ALLOC_REAL(memalign)(align, n));
}

ALLOC_PLAIN void *aligned_alloc(size_t align, size_t n)
{
	return alloc_fails() ? NULL : alloc_counted(ALLOC_REAL(memalign)(align, n));
}

ALLOC_PLAIN int posix_memalign(void **out, size_t align, size_t n)
{
	void *p = alloc_fails() ? NULL : alloc_counted(ALLOC_REAL(memalign)(align, n));

	if (!p)
		return ENOMEM;
	*out = p;
	return 0;
}

ALLOC_PLAIN void free(void *p)
{
	int saved = errno;

	alloc_uncounted(p);
	ALLOC_REAL(free)(p);
	errno = saved;
}

#ifndef ALLOC_OWN
#pragma GCC visibility pop
#endif

#endif
