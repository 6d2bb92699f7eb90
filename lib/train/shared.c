/* SPDX-License-Identifier: Apache-2.0 */
#include "shared.h"

#include "../base/memfd.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

enum { HUGE_PAGE = 2 << 20, AT_ONCE = 16 * HUGE_PAGE };

static bool is_large(const struct rn_shared *s)
{
	return s->size >= 2 * HUGE_PAGE;
}

/* Where a mapping's huge pages are those of the file; NULL: anywhere. */
static void *find_room(const struct rn_shared *s)
{
	const uintptr_t mask = HUGE_PAGE - 1;
	size_t bytes = s->size + HUGE_PAGE;
	void *p = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	munmap(p, bytes);
	return (void *)(((uintptr_t)p + mask) & ~mask);
}

static int map(struct rn_shared *s, bool writable, struct rn_err *e)
{
	int prot = writable ? PROT_READ | PROT_WRITE : PROT_READ;

	if (!s->size)
		return 0;
	s->base = mmap(is_large(s) ? find_room(s) : NULL, s->size, prot, MAP_SHARED, s->fd, 0);
	if (s->base == MAP_FAILED) {
		s->base = NULL;
		return rn_err_errno(e, "cannot map %zu bytes of shared memory", s->size);
	}
	return 0;
}

/* `bytes` from `at` on: of each huge page one small page has to be there, and none is left mapped. */
static bool make_huge(char *at, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += HUGE_PAGE)
		if (madvise(at + i, 1, MADV_POPULATE_WRITE))
			return false;
	return !madvise(at, bytes, MADV_COLLAPSE) && !madvise(at, bytes, MADV_DONTNEED);
}

/* The kernel gives files in memory no huge pages by itself unless it was told to (shmem_enabled), but
 * where they are asked for. */
void rn_shared_use_huge(const struct rn_shared *s)
{
	size_t end = s->size / HUGE_PAGE * HUGE_PAGE, n;

	if (!is_large(s))
		return;
	(void)madvise(s->base, s->size, MADV_HUGEPAGE);
	for (size_t at = 0; at < end; at += n) {
		n = end - at < AT_ONCE ? end - at : AT_ONCE;
		if (!make_huge((char *)s->base + at, n))
			return;
	}
}

/* Memory that has a descriptor is a file to the limit on these, which may end who goes beyond. */
static int check_limit(size_t size, struct rn_err *e)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_FSIZE, &l) || l.rlim_cur == RLIM_INFINITY || size <= l.rlim_cur)
		return 0;
	return rn_err_set(e, RN_ENOMEM,
			  "cannot make %zu bytes of memory that stages share: files may have %llu "
			  "bytes (ulimit -f); raise that limit, or train with --placement fused",
			  size, (unsigned long long)l.rlim_cur);
}

int rn_shared_new(const char *name, size_t size, struct rn_shared **out, struct rn_err *e)
{
	struct rn_shared *s;
	int rc;

	RN_TRY(check_limit(size, e));
	RN_TRY(rn_calloc(1, sizeof *s, "shared memory", &s, e));
	s->size = size;
	s->fd = rn_memfd(name);
	/* Sealed: nobody can take away what others have mapped. */
	if (s->fd < 0 || ftruncate(s->fd, (off_t)size) ||
	    fcntl(s->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW)) {
		rc = rn_err_errno(e, "cannot make %zu bytes of shared memory", size);
		goto fail;
	}
	RN_GOTO(fail, map(s, true, e));
	*out = s;
	return 0;
fail:
	rn_shared_free(s);
	return rc;
}

int rn_shared_map(int fd, bool writable, struct rn_shared **out, struct rn_err *e)
{
	struct rn_shared *s;
	struct stat st;
	int rc;

	rc = rn_calloc(1, sizeof *s, "shared memory", &s, e);
	if (rc) {
		close(fd);
		return rc;
	}
	s->fd = fd;
	if (fstat(fd, &st)) {
		rc = rn_err_errno(e, "cannot tell the size of shared memory");
		goto fail;
	}
	s->size = (size_t)st.st_size;
	RN_GOTO(fail, map(s, writable, e));
	*out = s;
	return 0;
fail:
	rn_shared_free(s);
	return rc;
}

int rn_shared_seal(struct rn_shared *s, struct rn_err *e)
{
	if (fcntl(s->fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL))
		return rn_err_errno(e, "cannot seal shared memory");
	return 0;
}

void rn_shared_free(struct rn_shared *s)
{
	if (!s)
		return;
	if (s->base)
		munmap(s->base, s->size);
	if (s->fd >= 0)
		close(s->fd);
	free(s);
}

int rn_shared_layout(uint32_t n, const size_t *counts, uint64_t *offsets, uint64_t *size,
		     struct rn_err *e)
{
	uint64_t at = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (counts[i] > (SIZE_MAX / 2 - at) / sizeof(float))
			return rn_err_nomem(e, SIZE_MAX, "shared memory");
		offsets[i] = at;
		at += (counts[i] * sizeof(float) + RN_ALIGN - 1) & ~(uint64_t)(RN_ALIGN - 1);
	}
	*size = at;
	return 0;
}

/* ---- regions ------------------------------------------------------------------------------ */

const char *rn_transport_name(enum rn_transport t)
{
	static const char *const names[] = {
		[RN_BY_FILE] = "shared memory",
		[RN_BY_PINNED] = "pinned memory",
		[RN_BY_DEVICE] = "cuda ipc",
	};

	return names[t];
}

/* The file, as the backend sees it. */
static int use_file(struct rn_region *r, struct rn_err *e)
{
	struct rn_backend *b = r->backend;

	r->by = b->host ? RN_BY_FILE : RN_BY_PINNED;
	r->base = r->file->base;
	if (b->host && !r->imported)
		rn_shared_use_huge(r->file);
	if (b->host || !r->file->size)
		return 0;
	if (!b->map_host)
		return rn_err_set(e, RN_EDEV, "device '%s' cannot use memory that processes share",
				  b->name);
	return b->map_host(b, r->file->base, r->file->size, &r->base, e);
}

/* Out of memory is no reason to do without the device's: that would be slow for no word. */
static int use_device(struct rn_region *r, struct rn_err *e)
{
	struct rn_backend *b = r->backend;

	RN_TRY(b->alloc_shared(b, r->file->size, &r->base, e));
	if (!b->export_buf(b, r->base, &r->handle, NULL)) {
		r->by = RN_BY_DEVICE;
		return 0;
	}
	b->free_shared(b, r->base, r->file->size);
	return use_file(r, e);
}

int rn_region_new(struct rn_shared *file, struct rn_backend *b, struct rn_region *out,
		  struct rn_err *e)
{
	int rc;

	*out = (struct rn_region){ .file = file, .backend = b };
	rc = b->alloc_shared ? use_device(out, e) : use_file(out, e);
	if (rc)
		memset(out, 0, sizeof *out);
	return rc;
}

int rn_region_take(struct rn_shared *file, struct rn_backend *b, const struct rn_handle *h,
		   struct rn_region *out, struct rn_err *e)
{
	int rc;

	*out = (struct rn_region){ .file = file, .backend = b, .imported = true };
	if (h && !b->import_buf)
		rc = rn_err_set(e, RN_EDEV, "device '%s' shares no memory", b->name);
	else
		rc = h ? b->import_buf(b, h, &out->base, e) : use_file(out, e);
	if (!rc && h)
		out->by = RN_BY_DEVICE;
	if (rc)
		memset(out, 0, sizeof *out);
	return rc;
}

int rn_region_to_file(struct rn_region *r, struct rn_err *e)
{
	struct rn_region new = { .file = r->file, .backend = r->backend };

	if (r->by != RN_BY_DEVICE)
		return 0;
	RN_TRY(rn_region_get(r, 0, r->file->base, r->file->size, e));
	RN_TRY(use_file(&new, e));
	rn_region_fini(r);
	*r = new;
	return 0;
}

int rn_region_get(const struct rn_region *r, uint64_t offset, void *x, size_t n, struct rn_err *e)
{
	const char *at = (const char *)(r->by == RN_BY_DEVICE ? r->base : r->file->base) + offset;

	if (r->by == RN_BY_DEVICE)
		return r->backend->copy_out(r->backend, x, at, n, e);
	memcpy(x, at, n);
	return 0;
}

void rn_region_fini(struct rn_region *r)
{
	struct rn_backend *b = r->backend;

	if (r->by == RN_BY_DEVICE && r->imported)
		b->release_buf(b, r->base);
	else if (r->by == RN_BY_DEVICE)
		b->free_shared(b, r->base, r->file->size);
	else if (r->by == RN_BY_PINNED && r->file->size)
		b->unmap_host(b, r->file->base);
	memset(r, 0, sizeof *r);
}

int rn_shared_store(const struct rn_region *r, uint32_t n, const size_t *counts,
		    struct rn_store **out, struct rn_err *e)
{
	struct rn_store *s;
	uint64_t *offsets = NULL, size;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *s, "parameters", &s, e));
	RN_GOTO(fail, rn_calloc(n, sizeof *s->items, "parameters", &s->items, e));
	RN_GOTO(fail, rn_calloc(n, sizeof *offsets, "parameters", &offsets, e));
	RN_GOTO(fail, rn_shared_layout(n, counts, offsets, &size, e));
	if (size > r->file->size) {
		rc = rn_err_set(e, RN_EDATA, "%llu bytes of parameters in %zu of shared memory",
				(unsigned long long)size, r->file->size);
		goto fail;
	}
	s->backend = r->backend;
	s->type = RN_F32;
	s->n = n;
	for (uint32_t i = 0; i < n; i++) {
		s->items[i].count = counts[i];
		s->items[i].data = (char *)r->base + offsets[i];
	}
	free(offsets);
	*out = s;
	return 0;
fail:
	free(offsets);
	rn_shared_store_free(s);
	return rc;
}

void rn_shared_store_free(struct rn_store *s)
{
	if (!s)
		return;
	rn_room_unref(s->room);
	free(s->items);
	free(s);
}
