/* SPDX-License-Identifier: Apache-2.0
 *
 * Transports over file descriptors and over memory.  An output that is a
 * regular file appears under its name whole or not at all: it is written without
 * a name in the same folder, and gets one when all of it is on disk.  To take the
 * place of another file it must have a temporary name first, since link(2) replaces
 * nothing; one that a killed process leaves is removed when the file is next written.
 * Nothing is buffered here; whoever writes hands over large pieces.
 */
#include "io.h"

#include "../lib/base/mem.h"
#include "../lib/base/uri.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	PIPE_BYTES = 1 << 20,      /* what is asked of the kernel for a pipe */
	MAX_TRANSFER = 1 << 30,    /* per system call, below SSIZE_MAX and the kernel's limit */
	BEHIND = 8 << 20,          /* bytes written after which the disk is to begin with them */
	TEMP_TRIES = 100,
	TEMP_BASE = NAME_MAX - 40, /* bytes of the name kept in the temporary name */
	TEMP_MORE = 32,            /* and those that it has more */
};

/* ---- file descriptors -------------------------------------------------------- */

struct fd_io {
	struct rn_io io;
	int fd;
	bool borrowed; /* standard input and output stay open */
	off_t start;   /* of an input: where reading began */
	off_t written, begun; /* of an output that is synced: bytes, and those sent to the disk */
	char *temp;    /* room for the temporary name, or NULL: written in place */
	bool unnamed;  /* it has no temporary name, or none any more */
	char *target;  /* what it becomes */
};

static void fd_free(struct fd_io *f)
{
	free(f->io.name);
	free(f->temp);
	free(f->target);
	free(f);
}

/* A descriptor that someone made non-blocking is waited for. */
static int wait_ready(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, -1) < 0 && errno != EINTR ? -1 : 0;
}

static bool try_again(int fd, short events)
{
	if (errno == EINTR)
		return true;
	return (errno == EAGAIN || errno == EWOULDBLOCK) && wait_ready(fd, events) == 0;
}

/* Wait until there is something to read, or until reading is to end. */
static int wait_or_stop(const struct fd_io *f, struct rn_err *e)
{
	struct pollfd p[2] = { { .fd = f->fd, .events = POLLIN }, { .fd = *f->io.stop, .events = POLLIN } };

	while (poll(p, 2, -1) < 0)
		if (errno != EINTR)
			return rn_err_errno(e, "cannot read '%s'", f->io.name);
	return p[1].revents ? rn_err_set(e, RN_EIO, "'%s' is not needed any more", f->io.name) : 0;
}

/* At the end of an input: is it that of the file that was opened?  Rows that went while it was
 * read would be missed without a word. */
static int check_end(const struct fd_io *f, struct rn_err *e)
{
	struct stat st;

	if (!f->io.size || fstat(f->fd, &st) < 0 || (uint64_t)st.st_size >= f->io.size)
		return 0;
	return rn_err_set(e, RN_EIO, "'%s' became shorter while it was read: from %" PRIu64 " bytes to %" PRIu64,
			  f->io.name, f->io.size, (uint64_t)st.st_size);
}

static int fd_read(struct rn_io *io, void *buf, size_t n, size_t *got, struct rn_err *e)
{
	struct fd_io *f = (struct fd_io *)io;

	*got = 0;
	while (*got < n) {
		size_t want = n - *got < MAX_TRANSFER ? n - *got : MAX_TRANSFER;
		bool waits = io->stop && io->kind != RN_IO_FILE;
		ssize_t k;

		if (waits)
			RN_TRY(wait_or_stop(f, e));
		k = read(f->fd, (char *)buf + *got, want);
		if (k == 0)
			return check_end(f, e);
		if (k > 0)
			*got += (size_t)k;
		else if (!(waits && errno == EAGAIN) && !try_again(f->fd, POLLIN)) /* another took it */
			return rn_err_errno(e, "cannot read '%s'", io->name);
	}
	return 0;
}

static int fd_read_at(struct rn_io *io, void *buf, size_t n, uint64_t at, size_t *got,
		      struct rn_err *e)
{
	struct fd_io *f = (struct fd_io *)io;

	*got = 0;
	while (*got < n) {
		size_t want = n - *got < MAX_TRANSFER ? n - *got : MAX_TRANSFER;
		ssize_t k = pread(f->fd, (char *)buf + *got, want, f->start + (off_t)(at + *got));

		if (k == 0)
			return check_end(f, e);
		if (k > 0)
			*got += (size_t)k;
		else if (errno != EINTR)
			return rn_err_errno(e, "cannot read '%s'", io->name);
	}
	return 0;
}

/* What is written is to be on disk when the file gets its name: the disk begins now, while the
 * rest is made, and fsync finds little left to wait for. */
static void write_behind(struct fd_io *f, size_t n)
{
	f->written += (off_t)n;
	if (f->written - f->begun < BEHIND)
		return;
	/* Errors come again, from fsync. */
	(void)sync_file_range(f->fd, f->begun, f->written - f->begun, SYNC_FILE_RANGE_WRITE);
	f->begun = f->written;
}

static int fd_write(struct rn_io *io, const void *buf, size_t n, struct rn_err *e)
{
	struct fd_io *f = (struct fd_io *)io;
	const char *p = buf;

	while (n) {
		ssize_t k = write(f->fd, p, n < MAX_TRANSFER ? n : MAX_TRANSFER);

		if (k >= 0) {
			p += k;
			n -= (size_t)k;
			if (f->temp)
				write_behind(f, (size_t)k);
			if (io->count)
				*io->count += (size_t)k;
		} else if (!try_again(f->fd, POLLOUT)) {
			return rn_err_errno(e, "cannot write '%s'", io->name);
		}
	}
	return 0;
}

static int fd_flush(struct rn_io *io, struct rn_err *e)
{
	(void)io;
	(void)e;
	return 0;
}

/* Standard output is closed through a copy, which reports the same errors. */
static int close_fd(struct fd_io *f)
{
	int fd = f->borrowed ? dup(f->fd) : f->fd;

	f->fd = -1;
	return fd < 0 || close(fd) == 0 || errno == EINTR ? 0 : -1;
}

static void fd_abort(struct rn_io *io)
{
	struct fd_io *f = (struct fd_io *)io;

	if (f->temp && !f->unnamed)
		unlink(f->temp);
	if (f->fd >= 0)
		close_fd(f);
	fd_free(f);
}

/* ---- temporary names ----------------------------------------------------------- */

/* DIR/.BASE.rn-TRY.tmp: a name that is nobody else's, as it may be removed. */
static void name_temp(struct fd_io *f, int n)
{
	const char *slash = strrchr(f->target, '/'), *base = slash ? slash + 1 : f->target;

	snprintf(f->temp, strlen(f->target) + TEMP_MORE, "%.*s.%.*s.rn-%d.tmp", (int)(base - f->target),
		 f->target, TEMP_BASE, base, n);
}

/* Is the temporary name that of the open file? */
static bool is_named(const struct fd_io *f, int fd)
{
	struct stat file, name;

	return !fstat(fd, &file) && !lstat(f->temp, &name) && S_ISREG(name.st_mode) &&
	       file.st_ino == name.st_ino && file.st_dev == name.st_dev;
}

/* Remove the temporary name if nobody writes that file any more: who does has locked it. */
static void drop_stale(const struct fd_io *f)
{
	int fd = open(f->temp, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return;
	/* Under the lock nobody else removes or renames it. */
	if (!flock(fd, LOCK_EX | LOCK_NB) && is_named(f, fd))
		(void)unlink(f->temp);
	close(fd);
}

/* A free temporary name. */
static bool find_name(struct fd_io *f, int n)
{
	name_temp(f, n);
	if (access(f->temp, F_OK) < 0)
		return true;
	drop_stale(f);
	return access(f->temp, F_OK) < 0;
}

/* Give a file that is whole its name, or a temporary one where there is a file of its name. */
static int link_unnamed(struct fd_io *f, bool *done)
{
	char self[40];

	snprintf(self, sizeof self, "/proc/self/fd/%d", f->fd);
	*done = !linkat(AT_FDCWD, self, AT_FDCWD, f->target, AT_SYMLINK_FOLLOW);
	if (*done || errno != EEXIST)
		return *done ? 0 : -1;
	(void)flock(f->fd, LOCK_EX | LOCK_NB); /* nobody else has it */
	for (int i = 0; i < TEMP_TRIES; i++) {
		if (!find_name(f, i))
			continue;
		f->unnamed = linkat(AT_FDCWD, self, AT_FDCWD, f->temp, AT_SYMLINK_FOLLOW) < 0;
		if (!f->unnamed || errno != EEXIST)
			return f->unnamed ? -1 : 0;
	}
	errno = EEXIST;
	return -1;
}

static int fd_close(struct rn_io *io, struct rn_err *e)
{
	struct fd_io *f = (struct fd_io *)io;
	bool done = !f->temp;
	int rc = 0;

	if (!done && fsync(f->fd) < 0)
		rc = rn_err_errno(e, "cannot write '%s'", io->name);
	if (f->unnamed && !rc && link_unnamed(f, &done) < 0)
		rc = rn_err_errno(e, "cannot create '%s'", f->target);
	/* Before it is closed, which ends the lock. */
	if (!done && !rc && rename(f->temp, f->target) < 0)
		rc = rn_err_errno(e, "cannot rename '%s' to '%s'", f->temp, f->target);
	f->unnamed = f->unnamed || !rc;
	if (close_fd(f) < 0 && !rc)
		rc = rn_err_errno(e, "cannot close '%s'", io->name);
	if (rc) {
		fd_abort(io);
		return rc;
	}
	fd_free(f);
	return 0;
}

static int fd_rewind(struct rn_io *io, struct rn_err *e)
{
	struct fd_io *f = (struct fd_io *)io;

	if (lseek(f->fd, f->start, SEEK_SET) < 0)
		return rn_err_errno(e, "cannot rewind '%s'", io->name);
	return 0;
}

static int fd_number(const struct rn_io *io)
{
	return ((const struct fd_io *)io)->fd;
}

static const struct rn_io_ops fd_ops = {
	.fd = fd_number,
	.read = fd_read,
	.read_at = fd_read_at,
	.write = fd_write,
	.flush = fd_flush,
	.close = fd_close,
	.abort = fd_abort,
	.rewind = fd_rewind,
};

static int copy_text(const char *s, char **out, struct rn_err *e)
{
	*out = strdup(s);
	return *out ? 0 : rn_err_nomem(e, strlen(s) + 1, "a file name");
}

static enum rn_io_kind kind_of(int fd, const struct stat *st)
{
	if (S_ISREG(st->st_mode))
		return RN_IO_FILE;
	if (S_ISFIFO(st->st_mode))
		return RN_IO_PIPE;
	if (S_ISSOCK(st->st_mode))
		return RN_IO_SOCKET;
	return isatty(fd) ? RN_IO_TTY : RN_IO_OTHER;
}

/* An io over fd (-1: none yet). */
static int fd_new(const char *name, int fd, struct fd_io **out, struct rn_err *e)
{
	struct fd_io *f;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *f, "a file", &f, e));
	f->io.ops = &fd_ops;
	f->fd = fd;
	rc = copy_text(name, &f->io.name, e);
	if (rc) {
		free(f);
		return rc;
	}
	*out = f;
	return 0;
}

/* What is behind f->fd?  A pipe gets a larger buffer, as far as it is allowed. */
static int inspect(struct fd_io *f, struct rn_err *e)
{
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return rn_err_errno(e, "cannot open '%s'", f->io.name);
	f->io.kind = kind_of(f->fd, &st);
	if (f->io.kind == RN_IO_FILE)
		f->io.size = st.st_size > 0 ? (uint64_t)st.st_size : 0;
	if (f->io.kind == RN_IO_PIPE && fcntl(f->fd, F_GETPIPE_SZ) < PIPE_BYTES)
		(void)fcntl(f->fd, F_SETPIPE_SZ, PIPE_BYTES);
	return 0;
}

/* With `stop` a FIFO is not waited for here, but where it is read: until somebody has opened it to
 * write poll(2) says nothing of it. */
static int open_input(const char *path, const int *stop)
{
	int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY;
	struct stat st;

	if (stop && stat(path, &st) == 0 && S_ISFIFO(st.st_mode))
		flags |= O_NONBLOCK;
	return open(path, flags);
}

int rn_io_open_read(const char *path, struct rn_io **out, struct rn_err *e)
{
	return rn_io_open_until(path, NULL, out, e);
}

int rn_io_open_until(const char *path, const int *stop, struct rn_io **out, struct rn_err *e)
{
	bool standard = strcmp(path, "-") == 0;
	struct fd_io *f;
	int rc;

	RN_TRY(fd_new(standard ? "standard input" : path, -1, &f, e));
	f->borrowed = standard;
	f->io.stop = stop;
	f->fd = standard ? STDIN_FILENO : open_input(path, stop);
	if (f->fd < 0)
		rc = rn_err_errno(e, "cannot open '%s'", path);
	else
		rc = inspect(f, e);
	if (rc) {
		fd_abort(&f->io);
		return rc;
	}
	if (f->io.kind == RN_IO_FILE) {
		f->start = lseek(f->fd, 0, SEEK_CUR);
		(void)posix_fadvise(f->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	}
	*out = &f->io;
	return 0;
}

/* ---- output files ------------------------------------------------------------ */

/* The file has no name until it is whole: a process that is killed leaves nothing. */
static bool open_unnamed(struct fd_io *f, size_t dir_len)
{
	char *dir = strndup(dir_len ? f->target : ".", dir_len ? dir_len : 1);

	if (!dir)
		return false; /* a named one then, which needs no memory */
	f->fd = open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
	f->unnamed = f->fd >= 0;
	free(dir);
	return f->unnamed;
}

/* A named one.  It is locked before anyone is told of it, but not before others may see it. */
static bool open_named(struct fd_io *f)
{
	for (int i = 0; i < TEMP_TRIES; i++) {
		if (!find_name(f, i))
			continue;
		f->fd = open(f->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (f->fd < 0 && errno != EEXIST)
			return false;
		if (f->fd < 0)
			continue;
		if ((!flock(f->fd, LOCK_EX | LOCK_NB) || errno != EWOULDBLOCK) && is_named(f, f->fd))
			return true;
		close(f->fd); /* taken for a stale one, and removed */
		f->fd = -1;
	}
	errno = EEXIST;
	return false;
}

/* A new file in the target's folder: without a name where the file system has that.  open(2)
 * applies the umask to its mode. */
static int open_temp(struct fd_io *f, struct rn_err *e)
{
	const char *slash = strrchr(f->target, '/');

	RN_TRY(rn_calloc(strlen(f->target) + TEMP_MORE, 1, "a file name", &f->temp, e));
	(void)find_name(f, 0); /* what was left before is removed now */
	if (open_unnamed(f, slash ? (size_t)(slash + 1 - f->target) : 0) || open_named(f))
		return 0;
	rn_err_errno(e, "cannot create '%s'", f->temp);
	free(f->temp); /* it is not ours to remove */
	f->temp = NULL;
	return e ? e->code : RN_EIO;
}

/* A link is followed: what it points to is replaced, not the link. */
static int find_target(const char *path, char **out, struct rn_err *e)
{
	struct stat st;

	if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode)) {
		*out = realpath(path, NULL);
		return *out ? 0 : rn_err_errno(e, "cannot open '%s'", path);
	}
	return copy_text(path, out, e);
}

static int open_file(struct fd_io *f, const char *path, struct rn_err *e)
{
	struct stat st, link;
	bool exists = stat(path, &st) == 0;
	bool dangling = !exists && lstat(path, &link) == 0;

	if ((exists && !S_ISREG(st.st_mode)) || dangling) {
		int flags = O_WRONLY | O_CLOEXEC | O_NOCTTY | (dangling ? O_CREAT : 0);

		f->fd = open(path, flags, 0666);
		return f->fd < 0 ? rn_err_errno(e, "cannot open '%s'", path) : 0;
	}
	if (exists && access(path, W_OK) < 0)
		return rn_err_errno(e, "cannot open '%s'", path);
	RN_TRY(find_target(path, &f->target, e));
	RN_TRY(open_temp(f, e));
	if (exists && fchmod(f->fd, st.st_mode & 07777) < 0)
		return rn_err_errno(e, "cannot set the mode of '%s'", f->io.name);
	return 0;
}

/* A name that a reader takes for a table would make a file that is called so. */
static int refuse_database(const char *name, struct rn_err *e)
{
	char *shown = rn_uri_hidden(name, e);
	int rc;

	if (!shown)
		return RN_ENOMEM;
	rc = rn_err_set(e, RN_EUSAGE, "'%s' is a table of a database and no file: rn-cat --to writes it", shown);
	free(shown);
	return rc;
}

int rn_io_check_write(const char *path, struct rn_err *e)
{
	const char *slash = strrchr(path, '/');
	bool exists;
	char *dir;
	int rc = 0;

	if (!strcmp(path, "-"))
		return 0;
	if (rn_uri_kind(path))
		return refuse_database(path, e);
	exists = access(path, F_OK) == 0;
	if (exists ? access(path, W_OK) < 0 : errno != ENOENT)
		return rn_err_errno(e, "cannot write '%s'", path);
	dir = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
	if (!dir)
		return rn_err_nomem(e, strlen(path), "a file name");
	if (!exists && access(dir, W_OK | X_OK) < 0)
		rc = rn_err_errno(e, "cannot write '%s'", path);
	free(dir);
	return rc;
}

int rn_io_open_write(const char *path, struct rn_io **out, struct rn_err *e)
{
	bool standard = !path || strcmp(path, "-") == 0;
	struct fd_io *f;
	int rc;

	if (path && rn_uri_kind(path))
		return refuse_database(path, e);
	RN_TRY(fd_new(standard ? "standard output" : path, standard ? STDOUT_FILENO : -1, &f, e));
	f->borrowed = standard;
	if (!standard)
		RN_GOTO(fail, open_file(f, path, e));
	RN_GOTO(fail, inspect(f, e));
	f->io.size = 0;
	*out = &f->io;
	return 0;
fail:
	fd_abort(&f->io);
	return rc;
}

/* ---- memory ------------------------------------------------------------------ */

struct mem_io {
	struct rn_io io;
	const char *from; /* reading: what is left */
	size_t left, size;
	char *to; /* writing */
	size_t len, cap;
	void **out;
	size_t *out_len;
};

static int mem_read(struct rn_io *io, void *buf, size_t n, size_t *got, struct rn_err *e)
{
	struct mem_io *m = (struct mem_io *)io;

	(void)e;
	*got = n < m->left ? n : m->left;
	if (*got)
		memcpy(buf, m->from, *got);
	m->from += *got;
	m->left -= *got;
	return 0;
}

static const void *mem_view(struct rn_io *io, size_t n, size_t *got)
{
	struct mem_io *m = (struct mem_io *)io;
	const void *p = m->from;

	*got = n < m->left ? n : m->left;
	m->from += *got;
	m->left -= *got;
	return p;
}

static int mem_write(struct rn_io *io, const void *buf, size_t n, struct rn_err *e)
{
	struct mem_io *m = (struct mem_io *)io;
	size_t need;

	if (!rn_add_size(m->len, n, &need))
		return rn_err_nomem(e, SIZE_MAX, "output in memory");
	RN_TRY(rn_grow(&m->to, &m->cap, need ? need : 1, 1, "output in memory", e));
	if (n)
		memcpy(m->to + m->len, buf, n);
	m->len = need;
	return 0;
}

static void mem_abort(struct rn_io *io)
{
	struct mem_io *m = (struct mem_io *)io;

	free(m->to);
	free(io->name);
	free(m);
}

static int mem_close(struct rn_io *io, struct rn_err *e)
{
	struct mem_io *m = (struct mem_io *)io;

	(void)e;
	if (m->out) {
		*m->out = m->to;
		*m->out_len = m->len;
		m->to = NULL;
	}
	mem_abort(io);
	return 0;
}

static int mem_rewind(struct rn_io *io, struct rn_err *e)
{
	struct mem_io *m = (struct mem_io *)io;

	(void)e;
	m->from -= m->size - m->left;
	m->left = m->size;
	return 0;
}

static const struct rn_io_ops mem_ops = {
	.read = mem_read,
	.write = mem_write,
	.flush = fd_flush,
	.close = mem_close,
	.abort = mem_abort,
	.rewind = mem_rewind,
	.view = mem_view,
};

static int mem_new(const char *name, struct mem_io **out, struct rn_err *e)
{
	struct mem_io *m;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *m, "a memory file", &m, e));
	m->io.ops = &mem_ops;
	m->io.kind = RN_IO_OTHER;
	rc = copy_text(name, &m->io.name, e);
	if (rc) {
		free(m);
		return rc;
	}
	*out = m;
	return 0;
}

int rn_io_from_memory(const void *data, size_t n, const char *name, struct rn_io **out,
		      struct rn_err *e)
{
	struct mem_io *m;

	RN_TRY(mem_new(name, &m, e));
	m->from = data;
	m->left = n;
	m->size = n;
	m->io.size = n;
	*out = &m->io;
	return 0;
}

int rn_io_to_memory(void **data, size_t *n, struct rn_io **out, struct rn_err *e)
{
	struct mem_io *m;

	*data = NULL;
	*n = 0;
	RN_TRY(mem_new("memory", &m, e));
	m->out = data;
	m->out_len = n;
	*out = &m->io;
	return 0;
}
