/* SPDX-License-Identifier: Apache-2.0
 *
 * Compiled kernels on the disk: a file for each key, named after it.
 *
 *	8 bytes   magic
 *	16        the key
 *	8         size of the image, little-endian
 *	8         XXH3-64 of the image
 *	          the image, to the end
 *
 * A file is written under a temporary name and renamed, so that readers see it whole or not
 * at all; one that is damaged all the same is as if it were not there, and written anew.
 */
#include "fuse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { MAX_IMAGE = 64 << 20, MAX_PATH = 1024 };

struct head {
	char magic[8];
	uint64_t key[2];
	uint64_t size, sum;
};
_Static_assert(sizeof(struct head) == 40, "no padding");
static const char magic[8] = "RNCUBIN\x01";

struct rn_fuse_key rn_fuse_key_of(const char *text, unsigned arch)
{
	static const char *const options[] = { RN_FUSE_OPTIONS };
	const int version = CUDART_VERSION;
	XXH3_state_t s;
	XXH128_hash_t h;

	XXH3_128bits_reset(&s);
	for (size_t i = 0; i < sizeof options / sizeof *options; i++)
		(void)XXH3_128bits_update(&s, options[i], strlen(options[i]) + 1);
	(void)XXH3_128bits_update(&s, &version, sizeof version);
	(void)XXH3_128bits_update(&s, &arch, sizeof arch);
	(void)XXH3_128bits_update(&s, rn_cuda_fuse_prelude, strlen(rn_cuda_fuse_prelude));
	(void)XXH3_128bits_update(&s, text, strlen(text));
	h = XXH3_128bits_digest(&s);
	return (struct rn_fuse_key){ { h.low64, h.high64 } };
}

/* The folder; false: there is to be none. */
static bool cache_dir(char *out, size_t cap)
{
	const char *on = getenv("RN_CUDA_CACHE"), *dir = getenv("XDG_CACHE_HOME");
	int n;

	if (on && !strcmp(on, "0"))
		return false;
	if (dir && *dir == '/') {
		n = snprintf(out, cap, "%s/rn", dir);
	} else {
		dir = getenv("HOME");
		if (!dir || *dir != '/')
			return false;
		n = snprintf(out, cap, "%s/.cache/rn", dir);
	}
	return n > 0 && (size_t)n < cap;
}

static bool path_of(const struct rn_fuse_key *key, char *out, size_t cap)
{
	char dir[MAX_PATH];
	int n;

	if (!cache_dir(dir, sizeof dir))
		return false;
	n = snprintf(out, cap, "%s/%016llx%016llx.cubin", dir, (unsigned long long)key->hash[1],
		     (unsigned long long)key->hash[0]);
	return n > 0 && (size_t)n < cap;
}

static bool read_all(int fd, void *to, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t got = read(fd, (char *)to + at, n - at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		at += (size_t)got;
	}
	return true;
}

static bool write_all(int fd, const void *from, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t put = write(fd, (const char *)from + at, n - at);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return false;
		at += (size_t)put;
	}
	return true;
}

bool rn_fuse_cache_read(const struct rn_fuse_key *key, void **image, size_t *size)
{
	char path[MAX_PATH + 64];
	struct head h;
	struct stat st;
	bool ok = false;
	int fd;

	*image = NULL;
	if (!path_of(key, path, sizeof path))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return false;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && read_all(fd, &h, sizeof h) &&
	    !memcmp(h.magic, magic, sizeof magic) && !memcmp(h.key, key->hash, sizeof h.key) &&
	    h.size && h.size <= MAX_IMAGE && (uint64_t)st.st_size == sizeof h + h.size) {
		*size = h.size;
		*image = malloc(h.size);
		ok = *image && read_all(fd, *image, h.size) &&
		     XXH3_64bits(*image, h.size) == h.sum;
	}
	close(fd);
	if (!ok) {
		free(*image);
		*image = NULL;
	}
	return ok;
}

/* mkdir -p, of the part after the first '/'. */
static void make_dirs(char *dir)
{
	for (char *p = dir + 1; *p; p++)
		if (*p == '/') {
			*p = '\0';
			(void)mkdir(dir, 0777);
			*p = '/';
		}
	(void)mkdir(dir, 0777);
}

int rn_fuse_cache_write(const struct rn_fuse_key *key, const void *image, size_t size)
{
	char dir[MAX_PATH], path[MAX_PATH + 64], temp[MAX_PATH + 64];
	struct head h = { .key = { key->hash[0], key->hash[1] }, .size = size };
	int fd, why;
	bool ok;

	if (size > MAX_IMAGE || !cache_dir(dir, sizeof dir) || !path_of(key, path, sizeof path))
		return 0;
	make_dirs(dir);
	snprintf(temp, sizeof temp, "%s/tmp.XXXXXX", dir);
	fd = mkostemp(temp, O_CLOEXEC);
	if (fd < 0)
		return errno;
	memcpy(h.magic, magic, sizeof magic);
	h.sum = XXH3_64bits(image, size);
	errno = EIO; /* of a write of no bytes */
	ok = write_all(fd, &h, sizeof h) && write_all(fd, image, size) && !fchmod(fd, 0644);
	why = errno;
	if (close(fd) && ok) {
		ok = false;
		why = errno;
	}
	if (ok && !rename(temp, path))
		return 0;
	why = ok ? errno : why;
	(void)unlink(temp);
	return why;
}
