/* SPDX-License-Identifier: Apache-2.0 */
#include "shared.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HUGE_PAGE = 2 << 20 };

static int map(struct rn_shared *s, bool writable, struct rn_err *e)
{
	int prot = writable ? PROT_READ | PROT_WRITE : PROT_READ;

	if (!s->size)
		return 0;
	s->base = mmap(NULL, s->size, prot, MAP_SHARED, s->fd, 0);
	if (s->base == MAP_FAILED) {
		s->base = NULL;
		return rn_err_errno(e, "cannot map %zu bytes of shared memory", s->size);
	}
	if (s->size >= 2 * HUGE_PAGE)
		(void)madvise(s->base, s->size, MADV_HUGEPAGE); /* where shmem_enabled allows it */
	return 0;
}

int rn_shared_new(const char *name, size_t size, struct rn_shared **out, struct rn_err *e)
{
	struct rn_shared *s;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *s, "shared memory", &s, e));
	s->size = size;
	s->fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
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

int rn_shared_store(struct rn_shared *m, struct rn_backend *b, uint32_t n, const size_t *counts,
		    struct rn_store **out, struct rn_err *e)
{
	struct rn_store *s;
	uint64_t *offsets = NULL, size;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *s, "parameters", &s, e));
	RN_GOTO(fail, rn_calloc(n, sizeof *s->items, "parameters", &s->items, e));
	RN_GOTO(fail, rn_calloc(n, sizeof *offsets, "parameters", &offsets, e));
	RN_GOTO(fail, rn_shared_layout(n, counts, offsets, &size, e));
	if (size > m->size) {
		rc = rn_err_set(e, RN_EDATA, "%llu bytes of parameters in %zu of shared memory",
				(unsigned long long)size, m->size);
		goto fail;
	}
	s->backend = b;
	s->type = RN_F32;
	s->n = n;
	for (uint32_t i = 0; i < n; i++) {
		s->items[i].count = counts[i];
		s->items[i].data = (char *)m->base + offsets[i];
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
