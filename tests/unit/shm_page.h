/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of shared memory beside a pipe share: the layout of an offer and of the
 * shared page as rn_er(5) gives them, written down a second time, and random numbers.
 */
#ifndef SHM_PAGE_H
#define SHM_PAGE_H

#include "../../formats/shm.h"

#include "t.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	PAGE = 4096,
	BYTES = PAGE + RN_SHM_RING,
	READER = 64,  /* where in the page, as rn_er(5) says */
	DONE = 128,
	HANG_S = 400, /* no test takes so long, also under valgrind */
};

/* As rn_er(5) lays it out. */
struct offer {
	uint8_t boot[16], cookie[16];
	uint64_t pid_ns, dev, ino, pid, fd, bytes;
};

static uint64_t state = 88172645463325252ull;

__attribute__((unused)) static uint64_t rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

__attribute__((unused)) static uint64_t below(uint64_t n)
{
	return rnd() % n;
}

__attribute__((unused)) static size_t open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

__attribute__((unused)) static void make_pipe(int p[2])
{
	if (pipe2(p, O_CLOEXEC) < 0)
		abort();
}

__attribute__((unused)) static void close_pipe(const int p[2])
{
	close(p[0]);
	close(p[1]);
}

/* The shared page, as a reader sees it. */
__attribute__((unused)) static uint8_t *open_page(const uint8_t offer[RN_SHM_OFFER])
{
	struct offer o;
	char path[64];
	uint8_t *p;
	int fd;

	memcpy(&o, offer, sizeof o);
	snprintf(path, sizeof path, "/proc/self/fd/%d", (int)o.fd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		abort();
	return p;
}

/* A writer looks after its reader by a pidfd, which old kernels lack, and valgrind. */
__attribute__((unused)) static bool has_pidfd(void)
{
	int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

struct liar {
	uint8_t *page;
	uint64_t seed;
	_Atomic bool stop;
};

#endif
