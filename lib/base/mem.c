/* SPDX-License-Identifier: Apache-2.0 */
#include "mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20, ARENA_BLOCK = 16 << 10 };

int rn_calloc(size_t n, size_t size, const char *what, void *out, struct rn_err *e)
{
	void *p = calloc(n ? n : 1, size ? size : 1);
	size_t bytes;

	if (!p)
		return rn_err_nomem(e, rn_mul_size(n, size, &bytes) ? bytes : SIZE_MAX, what);
	memcpy(out, &p, sizeof p);
	return 0;
}

int rn_grow(void *ptr, size_t *cap, size_t need, size_t size, const char *what, struct rn_err *e)
{
	size_t n = *cap ? *cap : 8, bytes;
	void *p;

	if (need <= *cap)
		return 0;
	while (n < need)
		if (!rn_mul_size(n, 2, &n))
			return rn_err_nomem(e, SIZE_MAX, what);
	if (!rn_mul_size(n, size, &bytes))
		return rn_err_nomem(e, SIZE_MAX, what);
	memcpy(&p, ptr, sizeof p);
	p = realloc(p, bytes);
	if (!p)
		return rn_err_nomem(e, bytes, what);
	memcpy(ptr, &p, sizeof p);
	*cap = n;
	return 0;
}

static void release_heap(struct rn_buf *b)
{
	free(b->data);
}

int rn_buf_new_raw(size_t size, const char *what, struct rn_buf **out, struct rn_err *e)
{
	size_t align = size >= 2 * HUGE_PAGE ? HUGE_PAGE : RN_ALIGN;
	size_t bytes;
	struct rn_buf *b;

	RN_TRY(rn_calloc(1, sizeof *b, what, &b, e));
	if (!rn_add_size(size ? size : 1, align - 1, &bytes)) {
		free(b);
		return rn_err_nomem(e, size, what);
	}
	bytes &= ~(align - 1);
	b->data = aligned_alloc(align, bytes);
	if (!b->data) {
		free(b);
		return rn_err_nomem(e, size, what);
	}
	if (align == HUGE_PAGE)
		(void)madvise(b->data, bytes, MADV_HUGEPAGE); /* only an optimisation */
	b->size = size;
	b->refs = 1;
	b->release = release_heap;
	*out = b;
	return 0;
}

int rn_buf_new(size_t size, const char *what, struct rn_buf **out, struct rn_err *e)
{
	RN_TRY(rn_buf_new_raw(size, what, out, e));
	memset((*out)->data, 0, (size + RN_ALIGN - 1) & ~(size_t)(RN_ALIGN - 1));
	return 0;
}

struct rn_buf *rn_buf_ref(struct rn_buf *b)
{
	if (b)
		__atomic_add_fetch(&b->refs, 1, __ATOMIC_RELAXED);
	return b;
}

void rn_buf_unref(struct rn_buf *b)
{
	if (!b || __atomic_sub_fetch(&b->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	if (b->release)
		b->release(b);
	free(b);
}

struct rn_arena_block {
	struct rn_arena_block *next;
	size_t used, cap;
	_Alignas(16) unsigned char data[];
};

void *rn_arena_alloc(struct rn_arena *a, size_t size, struct rn_err *e)
{
	struct rn_arena_block *b = a->head;
	size_t n = (size + 15) & ~(size_t)15;
	void *p;

	if (n < size || n > SIZE_MAX / 2) {
		rn_err_nomem(e, size, "an arena");
		return NULL;
	}
	if (!b || b->cap - b->used < n) {
		size_t cap = n > ARENA_BLOCK ? n : ARENA_BLOCK;

		b = calloc(1, sizeof *b + cap);
		if (!b) {
			rn_err_nomem(e, cap, "an arena");
			return NULL;
		}
		b->cap = cap;
		b->next = a->head;
		a->head = b;
	}
	p = b->data + b->used;
	b->used += n;
	return p;
}

char *rn_arena_strndup(struct rn_arena *a, const char *s, size_t n, struct rn_err *e)
{
	char *p = rn_arena_alloc(a, n + 1, e);

	if (p)
		memcpy(p, s, n);
	return p;
}

char *rn_arena_strdup(struct rn_arena *a, const char *s, struct rn_err *e)
{
	return rn_arena_strndup(a, s, strlen(s), e);
}

char *rn_arena_vprintf(struct rn_arena *a, struct rn_err *e, const char *fmt, va_list ap)
{
	va_list again;
	char *s = NULL;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	if (n >= 0 && (s = rn_arena_alloc(a, (size_t)n + 1, e)))
		vsnprintf(s, (size_t)n + 1, fmt, again);
	va_end(again);
	return s;
}

void *rn_arena_push(struct rn_arena *a, void *items, uint32_t *n, size_t size, struct rn_err *e)
{
	char *old, *new;

	memcpy(&old, items, sizeof old);
	if (!(*n & (*n - 1))) { /* 0, 1, 2, 4, …: full */
		new = rn_arena_alloc(a, (*n ? 2 * (size_t)*n : 1) * size, e);
		if (!new)
			return NULL;
		if (*n)
			memcpy(new, old, *n * size);
		memcpy(items, &new, sizeof new);
		old = new;
	}
	return old + size * (*n)++;
}

void rn_arena_fini(struct rn_arena *a)
{
	while (a->head) {
		struct rn_arena_block *b = a->head;

		a->head = b->next;
		free(b);
	}
}
