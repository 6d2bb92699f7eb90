/* SPDX-License-Identifier: Apache-2.0
 *
 * Device memory.  An allocation of LARGE bytes or more is a chunk of its own; smaller
 * ones are cut from shared chunks, first fit.  Chunks that hold nothing are kept: a large
 * allocation takes one whose size suits it, and all are given back before RN says that
 * memory is out.
 */
#include "host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN ((size_t)256)
#define LARGE ((size_t)16 << 20)
#define CHUNK ((size_t)64 << 20)

/* The pieces of a chunk, in order, without gaps. */
struct block {
	struct block *next;
	size_t at, size;
	bool used;
};

struct rn_cuda_chunk {
	struct rn_cuda_chunk *next;
	char *mem;
	size_t size;
	bool whole; /* for one allocation */
	struct block *blocks;
};

static bool is_empty(const struct rn_cuda_chunk *k)
{
	return !k->blocks->used && !k->blocks->next;
}

static void free_chunk(struct rn_cuda_chunk *k)
{
	while (k->blocks) {
		struct block *b = k->blocks;

		k->blocks = b->next;
		free(b);
	}
	if (k->mem)
		(void)cudaFree(k->mem); /* a device that is lost has been told of elsewhere */
	free(k);
}

bool rn_cuda_pool_trim(struct rn_cuda_pool *p)
{
	bool any = false;

	for (struct rn_cuda_chunk **at = &p->chunks; *at;) {
		struct rn_cuda_chunk *k = *at;

		if (!is_empty(k)) {
			at = &k->next;
			continue;
		}
		*at = k->next;
		free_chunk(k);
		any = true;
	}
	return any;
}

/* The sizes of the largest buffers, as text. */
static void largest_text(const struct rn_cuda_pool *p, char *out, size_t cap)
{
	size_t top[4] = { 0 }, len = 0;

	for (const struct rn_cuda_chunk *k = p->chunks; k; k = k->next)
		for (const struct block *b = k->blocks; b; b = b->next)
			for (size_t i = 0, n = b->used ? b->size : 0; i < 4; i++)
				if (n > top[i]) {
					size_t t = top[i];

					top[i] = n;
					n = t;
				}
	*out = 0;
	for (size_t i = 0; i < 4 && top[i] && len < cap; i++) {
		char one[32];

		rn_cuda_size_text(top[i], one, sizeof one);
		len += (size_t)snprintf(out + len, cap - len, "%s%s", i ? ", " : "", one);
	}
}

static int out_of_memory(const struct rn_cuda_pool *p, size_t size, struct rn_err *e)
{
	char want[32], left[32], all[32], used[32], largest[160];
	size_t free_bytes = 0, total = 0;

	(void)cudaGetLastError();
	(void)cudaMemGetInfo(&free_bytes, &total);
	rn_cuda_size_text(size, want, sizeof want);
	rn_cuda_size_text(free_bytes, left, sizeof left);
	rn_cuda_size_text(total, all, sizeof all);
	rn_cuda_size_text(p->used, used, sizeof used);
	largest_text(p, largest, sizeof largest);
	return rn_err_set(e, RN_ENOMEM,
			  "device 'cuda': out of memory: %s are wanted, %s of %s are free; %s are "
			  "in use here%s%s%s; fewer rows, narrower embeddings, or --device cpu, would "
			  "help",
			  want, left, all, used, *largest ? " (the largest buffers: " : "", largest,
			  *largest ? ")" : "");
}

static int add_chunk(struct rn_cuda_pool *p, size_t size, bool whole, struct rn_cuda_chunk **out,
		     struct rn_err *e)
{
	struct rn_cuda_chunk *k;
	cudaError_t err;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *k, "device memory", &k, e));
	rc = rn_calloc(1, sizeof *k->blocks, "device memory", &k->blocks, e);
	if (rc) {
		free(k);
		return rc;
	}
	do
		err = cudaMalloc((void **)&k->mem, size);
	while (err == cudaErrorMemoryAllocation && rn_cuda_pool_trim(p));
	if (err != cudaSuccess) {
		k->mem = NULL;
		free_chunk(k);
		if (err == cudaErrorMemoryAllocation)
			return out_of_memory(p, size, e);
		return rn_cuda_fail(e, err, "cudaMalloc");
	}
	k->size = k->blocks->size = size;
	k->whole = whole;
	k->next = p->chunks;
	p->chunks = k;
	*out = k;
	return 0;
}

/* A free piece of a shared chunk, or an empty chunk that is not half as large again. */
static struct block *find(const struct rn_cuda_pool *p, size_t size, bool whole,
			  struct rn_cuda_chunk **chunk)
{
	for (struct rn_cuda_chunk *k = p->chunks; k; k = k->next) {
		if (k->whole != whole || (whole && k->size > size + size / 2))
			continue;
		for (struct block *b = k->blocks; b; b = b->next)
			if (!b->used && b->size >= size) {
				*chunk = k;
				return b;
			}
	}
	return NULL;
}

/* Cut what is not needed off a block of a shared chunk. */
static int cut(struct block *b, size_t size, struct rn_err *e)
{
	struct block *rest;

	if (b->size == size)
		return 0;
	RN_TRY(rn_calloc(1, sizeof *rest, "device memory", &rest, e));
	*rest = (struct block){ b->next, b->at + size, b->size - size, false };
	b->next = rest;
	b->size = size;
	return 0;
}

int rn_cuda_pool_alloc(struct rn_cuda_pool *p, size_t size, void **out, struct rn_err *e)
{
	bool whole = size >= LARGE || p->single;
	struct rn_cuda_chunk *k = NULL;
	struct block *b;

	if (!rn_add_size(size ? size : 1, ALIGN - 1, &size))
		return out_of_memory(p, SIZE_MAX, e);
	size &= ~(ALIGN - 1);
	b = find(p, size, whole, &k);
	if (!b) {
		/* A whole shared chunk, or, where memory is short, only what is wanted. */
		int rc = whole ? 1 : add_chunk(p, CHUNK, false, &k, NULL);

		if (rc)
			RN_TRY(add_chunk(p, size, whole, &k, e));
		b = k->blocks;
	}
	if (!whole)
		RN_TRY(cut(b, size, e));
	b->used = true;
	p->used += b->size;
	p->peak = p->used > p->peak ? p->used : p->peak;
	*out = k->mem + b->at;
	return 0;
}

size_t rn_cuda_pool_kept(const struct rn_cuda_pool *p)
{
	size_t n = 0;

	for (const struct rn_cuda_chunk *k = p->chunks; k; k = k->next)
		for (const struct block *b = k->blocks; b; b = b->next)
			n += b->used ? 0 : b->size;
	return n;
}

static void join_next(struct block *b)
{
	struct block *n = b->next;

	if (b->used || !n || n->used)
		return;
	b->size += n->size;
	b->next = n->next;
	free(n);
}

static void release(struct rn_cuda_pool *p, struct rn_cuda_chunk *k, size_t at)
{
	struct block *before = NULL, *b = k->blocks;

	for (; b && b->at != at; b = b->next)
		before = b;
	if (!b || !b->used)
		return;
	b->used = false;
	p->used -= b->size;
	join_next(b);
	if (before)
		join_next(before);
	if (p->single)
		(void)rn_cuda_pool_trim(p);
}

void rn_cuda_pool_free(struct rn_cuda_pool *p, void *mem)
{
	uintptr_t at = (uintptr_t)mem;

	if (!mem)
		return;
	for (struct rn_cuda_chunk *k = p->chunks; k; k = k->next)
		if (at - (uintptr_t)k->mem < k->size) {
			release(p, k, at - (uintptr_t)k->mem);
			return;
		}
}

void rn_cuda_pool_fini(struct rn_cuda_pool *p)
{
	while (p->chunks) {
		struct rn_cuda_chunk *k = p->chunks;

		p->chunks = k->next;
		free_chunk(k);
	}
}
