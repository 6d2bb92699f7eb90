/* SPDX-License-Identifier: Apache-2.0
 *
 * Transports: an output file appears whole or not at all, keeps the mode of what
 * it replaces, and every failure of the system is reported with its name.
 */
#include "../../formats/io.h"

#include "t.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/rn-test-io-XXXXXX";
static char path[64];

static const char *in_dir(const char *name)
{
	snprintf(path, sizeof path, "%s/%s", dir, name);
	return path;
}

static size_t files(void)
{
	DIR *d = opendir(dir);
	size_t n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void put_file(const char *name, const char *text, mode_t mode)
{
	int fd = open(in_dir(name), O_WRONLY | O_CREAT | O_TRUNC, mode);

	if (fd < 0 || write(fd, text, strlen(text)) < 0 || fchmod(fd, mode))
		T_OK(0, "cannot write %s", path);
	close(fd);
}

static bool holds(const char *name, const char *text)
{
	char buf[100] = "";
	int fd = open(in_dir(name), O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof buf - 1);

	if (fd >= 0)
		close(fd);
	return n >= 0 && strcmp(buf, text) == 0;
}

static mode_t mode_of(const char *name)
{
	struct stat st;

	return stat(in_dir(name), &st) == 0 ? st.st_mode & 07777 : 0;
}

static void test_files(void)
{
	struct rn_io *io = NULL;
	struct rn_err e;
	char buf[20];
	size_t got;

	umask(027);
	T_CALL(rn_io_open_write(in_dir("new"), &io, &e), &e);
	T_OK(io->kind == RN_IO_FILE, "a new output is a file");
	T_CALL(io->ops->write(io, "one", 3, &e), &e);
	T_OK(access(in_dir("new"), F_OK) != 0, "it is not there before close");
	T_CALL(io->ops->close(io, &e), &e);
	T_OK(holds("new", "one") && mode_of("new") == 0640 && files() == 1,
	     "close publishes it, with the mode of the umask");
	put_file("new", "old", 0604);
	T_CALL(rn_io_open_write(in_dir("new"), &io, &e), &e);
	T_CALL(io->ops->write(io, "two", 3, &e), &e);
	T_OK(holds("new", "old"), "what was there stays until close");
	io->ops->abort(io);
	T_OK(holds("new", "old") && files() == 1, "abort leaves it as it was");
	T_CALL(rn_io_open_write(in_dir("new"), &io, &e), &e);
	T_CALL(io->ops->write(io, "three", 5, &e), &e);
	T_CALL(io->ops->close(io, &e), &e);
	T_OK(holds("new", "three") && mode_of("new") == 0604, "its mode is kept");
	T_CALL(rn_io_open_read(in_dir("new"), &io, &e), &e);
	T_OK(io->kind == RN_IO_FILE && io->size == 5, "an input file knows its size");
	T_OK(!io->ops->read(io, buf, 3, &got, &e) && got == 3 && !memcmp(buf, "thr", 3), "read 3");
	T_OK(!io->ops->read(io, buf, 9, &got, &e) && got == 2, "read up to the end");
	T_OK(!io->ops->rewind(io, &e) && !io->ops->read(io, buf, 9, &got, &e) && got == 5,
	     "rewind");
	T_OK(!truncate(in_dir("new"), 4) && !io->ops->rewind(io, &e) &&
		     io->ops->read(io, buf, 9, &got, &e) == RN_EIO &&
		     strstr(e.msg, "became shorter while it was read: from 5 bytes to 4"),
	     "a file that became shorter is an error: %s", e.msg);
	put_file("new", "three and more", 0604);
	T_OK(!io->ops->rewind(io, &e) && !io->ops->read(io, buf, 9, &got, &e) && got == 9,
	     "one that became longer is none");
	T_CALL(io->ops->close(io, &e), &e);
}

/* What is read at a place is counted from where reading began, and moves nothing. */
static void test_read_at(void)
{
	int in = dup(STDIN_FILENO), fd;
	struct rn_io *io = NULL;
	struct rn_err e;
	char buf[20];
	size_t got;

	put_file("digits", "0123456789", 0600);
	T_CALL(rn_io_open_read(in_dir("digits"), &io, &e), &e);
	T_OK(!io->ops->read(io, buf, 3, &got, &e) && got == 3, "read 3");
	T_OK(!io->ops->read_at(io, buf, 4, 5, &got, &e) && got == 4 && !memcmp(buf, "5678", 4), "4 at 5");
	T_OK(!io->ops->read_at(io, buf, 4, 8, &got, &e) && got == 2 && !memcmp(buf, "89", 2),
	     "at 8, up to the end");
	T_OK(!io->ops->read_at(io, buf, 4, 80, &got, &e) && !got, "past the end there is nothing");
	T_OK(!io->ops->read(io, buf, 2, &got, &e) && !memcmp(buf, "34", 2), "read goes on");
	T_OK(!truncate(in_dir("digits"), 7) && io->ops->read_at(io, buf, 4, 5, &got, &e) == RN_EIO &&
		     strstr(e.msg, "became shorter while it was read: from 10 bytes to 7"),
	     "nor is what is not there any more: %s", e.msg);
	put_file("digits", "0123456789", 0600);
	io->ops->abort(io);
	fd = open(in_dir("digits"), O_RDONLY);
	(void)!lseek(fd, 2, SEEK_SET);
	dup2(fd, STDIN_FILENO);
	T_CALL(rn_io_open_read("-", &io, &e), &e);
	T_OK(!io->ops->read_at(io, buf, 4, 5, &got, &e) && got == 3 && !memcmp(buf, "789", 3),
	     "standard input begins where it stands");
	io->ops->abort(io);
	close(fd);
	dup2(in, STDIN_FILENO);
	close(in);
}

/* The disk begins before all is written. */
static void test_large(void)
{
	enum { N = 3 << 20, TIMES = 7 };
	char *p = malloc(N), *q = malloc(N);
	struct rn_io *io = NULL;
	struct rn_err e;
	bool same = true;
	size_t got;

	for (size_t i = 0; i < N; i++)
		p[i] = (char)(i % 251);
	T_CALL(rn_io_open_write(in_dir("large"), &io, &e), &e);
	for (int i = 0; i < TIMES; i++)
		T_CALL(io->ops->write(io, p, N, &e), &e);
	T_CALL(io->ops->close(io, &e), &e);
	T_CALL(rn_io_open_read(in_dir("large"), &io, &e), &e);
	for (int i = 0; i < TIMES; i++)
		same &= !io->ops->read(io, q, N, &got, &e) && got == N && !memcmp(p, q, N);
	T_OK(same && io->size == (uint64_t)N * TIMES, "a large file is written whole");
	io->ops->abort(io);
	free(p);
	free(q);
}

static void test_links(void)
{
	struct rn_io *io = NULL;
	struct rn_err e;
	char link[80];
	struct stat st;

	put_file("real", "old", 0600);
	snprintf(link, sizeof link, "%s/link", dir);
	T_OK(symlink("real", link) == 0, "a link to a file");
	T_CALL(rn_io_open_write(link, &io, &e), &e);
	T_CALL(io->ops->write(io, "new", 3, &e), &e);
	T_CALL(io->ops->close(io, &e), &e);
	T_OK(holds("real", "new") && !lstat(link, &st) && S_ISLNK(st.st_mode),
	     "is followed and stays a link");
	unlink(in_dir("real"));
	T_CALL(rn_io_open_write(link, &io, &e), &e);
	T_CALL(io->ops->write(io, "x", 1, &e), &e);
	T_CALL(io->ops->close(io, &e), &e);
	T_OK(holds("real", "x"), "a link to nothing creates what it points to");
}

/* What a killed writer leaves goes away with the next one; what another one writes does not. */
static void test_stale(void)
{
	struct rn_io *io = NULL, *other = NULL;
	struct rn_err e;
	int fd;

	put_file("x", "old", 0600);
	put_file(".x.rn-0.tmp", "left", 0600);
	put_file(".y.rn-0.tmp", "of another", 0600);
	T_CALL(rn_io_open_write(in_dir("x"), &io, &e), &e);
	T_OK(access(in_dir(".x.rn-0.tmp"), F_OK) && holds(".y.rn-0.tmp", "of another"), "it is removed");
	T_CALL(io->ops->close(io, &e), &e);
	T_OK(holds("x", ""), "and the file written");
	put_file(".x.rn-0.tmp", "being written", 0600);
	fd = open(in_dir(".x.rn-0.tmp"), O_RDONLY);
	T_OK(fd >= 0 && !flock(fd, LOCK_EX), "one that is locked");
	T_CALL(rn_io_open_write(in_dir("x"), &io, &e), &e);
	T_CALL(rn_io_open_write(in_dir("x"), &other, &e), &e);
	T_CALL(io->ops->write(io, "1", 1, &e), &e);
	T_CALL(other->ops->write(other, "2", 1, &e), &e);
	T_CALL(io->ops->close(io, &e), &e);
	T_OK(holds("x", "1"), "is passed by");
	T_CALL(other->ops->close(other, &e), &e);
	T_OK(holds("x", "2") && holds(".x.rn-0.tmp", "being written"), "also by two writers at once");
	close(fd);
	T_CALL(rn_io_open_write(in_dir("x"), &io, &e), &e);
	io->ops->abort(io);
	T_OK(access(in_dir(".x.rn-0.tmp"), F_OK) && holds("x", "2"), "until it is not locked any more");
	unlink(in_dir("x"));
	T_CALL(rn_io_open_write(in_dir("x"), &io, &e), &e);
	put_file("x", "made meanwhile", 0600);
	T_CALL(io->ops->close(io, &e), &e);
	T_OK(holds("x", ""), "a file that is made meanwhile is replaced");
	unlink(in_dir("x"));
	unlink(in_dir(".y.rn-0.tmp"));
}

static void test_failures(void)
{
	struct rn_io *io = NULL;
	struct rn_err e;
	struct rlimit old, small = { 10, 10 };
	char buf[64] = "";

	T_OK(rn_io_open_read(in_dir("missing"), &io, &e) == RN_EIO &&
		     strstr(e.msg, "cannot open '") && strstr(e.msg, "missing': No such file"),
	     "%s", e.msg);
	T_OK(rn_io_open_write(in_dir("no/such"), &io, &e) == RN_EIO &&
		     strstr(e.msg, "No such file"), "%s", e.msg);
	T_CALL(rn_io_open_write("/dev/full", &io, &e), &e);
	T_OK(io->kind == RN_IO_OTHER, "a device is written in place");
	T_OK(io->ops->write(io, "x", 1, &e) == RN_EIO && strstr(e.msg, "No space left"),
	     "%s", e.msg);
	io->ops->abort(io);
	T_CALL(rn_io_open_read(dir, &io, &e), &e);
	T_OK(io->ops->read(io, buf, 1, &(size_t){ 0 }, &e) == RN_EIO && strstr(e.msg, "directory"),
	     "%s", e.msg);
	io->ops->abort(io);
	/* A file that may not grow stands for a full disk. */
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small.rlim_max = old.rlim_max;
	T_CALL(rn_io_open_write(in_dir("big"), &io, &e), &e);
	setrlimit(RLIMIT_FSIZE, &small);
	T_OK(io->ops->write(io, buf, sizeof buf, &e) == RN_EIO && strstr(e.msg, "big'"),
	     "%s", e.msg);
	setrlimit(RLIMIT_FSIZE, &old);
	io->ops->abort(io);
	T_OK(access(in_dir("big"), F_OK) != 0, "no half file stays");
}

struct feed {
	int fd;
	size_t n;
};

/* Many short writes with pauses of other threads' making. */
static void *feed(void *arg)
{
	struct feed *f = arg;
	char byte = 'x';

	for (size_t i = 0; i < f->n; i++)
		while (write(f->fd, &byte, 1) < 0)
			;
	close(f->fd);
	return NULL;
}

static void test_pipes(void)
{
	char name[40], buf[600];
	struct rn_io *io = NULL;
	struct rn_err e;
	struct feed f;
	pthread_t th;
	size_t got;
	int fd[2];

	signal(SIGPIPE, SIG_IGN);
	T_OK(pipe(fd) == 0, "a pipe");
	snprintf(name, sizeof name, "/proc/self/fd/%d", fd[1]);
	T_CALL(rn_io_open_write(name, &io, &e), &e);
	T_OK(io->kind == RN_IO_PIPE, "is known as one");
	close(fd[1]);
	close(fd[0]);
	T_OK(io->ops->write(io, "x", 1, &e) == RN_EIO && strstr(e.msg, ": Broken pipe"),
	     "%s", e.msg);
	io->ops->abort(io);
	T_OK(pipe(fd) == 0 && fcntl(fd[0], F_SETFL, O_NONBLOCK) == 0, "a pipe that does not block");
	f = (struct feed){ fd[1], 500 };
	snprintf(name, sizeof name, "/dev/fd/%d", fd[0]);
	/* Through standard input, which shares the descriptor and its flags. */
	T_OK(dup2(fd[0], STDIN_FILENO) == 0, "as standard input");
	close(fd[0]);
	T_CALL(rn_io_open_read("-", &io, &e), &e);
	T_OK(strcmp(io->name, "standard input") == 0 && io->kind == RN_IO_PIPE, "it is named");
	T_OK(pthread_create(&th, NULL, feed, &f) == 0, "a slow writer");
	T_OK(!io->ops->read(io, buf, 400, &got, &e) && got == 400, "400 bytes are waited for");
	T_OK(!io->ops->read(io, buf, 400, &got, &e) && got == 100, "then what is left");
	pthread_join(th, NULL);
	T_CALL(io->ops->close(io, &e), &e);
	T_OK(fcntl(STDIN_FILENO, F_GETFD) >= 0, "standard input stays open");
	T_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0 && dup2(fd[0], STDIN_FILENO) == 0,
	     "a socket");
	T_CALL(rn_io_open_read("-", &io, &e), &e);
	T_OK(io->kind == RN_IO_SOCKET, "a socket is known as one");
	io->ops->abort(io);
	close(fd[0]);
	close(fd[1]);
}

struct reader {
	struct rn_io *io;
	struct rn_err err;
	int rc;
};

static void *read_one(void *arg)
{
	struct reader *r = arg;
	char byte;
	size_t got;

	r->rc = r->io->ops->read(r->io, &byte, 1, &got, &r->err);
	return NULL;
}

/* A read that waits for a producer ends when it is told to. */
static void test_stop(void)
{
	int fd[2], stop[2];
	struct reader r;
	struct rn_err e;
	char name[40];
	pthread_t th;

	T_OK(pipe(fd) == 0 && pipe(stop) == 0, "a pipe, and one to end its reading");
	snprintf(name, sizeof name, "/dev/fd/%d", fd[0]);
	T_CALL(rn_io_open_read(name, &r.io, &e), &e);
	r.io->stop = &stop[0];
	T_OK(write(fd[1], "x", 1) == 1, "what has come");
	read_one(&r);
	T_OK(!r.rc, "is read");
	T_OK(pthread_create(&th, NULL, read_one, &r) == 0 && write(stop[1], "x", 1) == 1, "told to end");
	pthread_join(th, NULL);
	T_OK(r.rc == RN_EIO && strstr(r.err.msg, "is not needed any more"), "%s", r.err.msg);
	r.io->ops->abort(r.io);
	for (int i = 0; i < 2; i++) {
		close(fd[i]);
		close(stop[i]);
	}
}

static void test_memory(void)
{
	struct rn_io *io = NULL;
	struct rn_err e;
	char buf[8];
	void *data;
	size_t n;

	T_CALL(rn_io_to_memory(&data, &n, &io, &e), &e);
	T_CALL(io->ops->write(io, "", 0, &e), &e);
	for (int i = 0; i < 1000; i++)
		T_CALL(io->ops->write(io, "0123456789", 10, &e), &e);
	T_CALL(io->ops->flush(io, &e), &e);
	T_CALL(io->ops->close(io, &e), &e);
	T_OK(n == 10000 && !memcmp((char *)data + 9990, "0123456789", 10), "10,000 bytes");
	T_CALL(rn_io_from_memory(data, n, "m", &io, &e), &e);
	T_OK(!io->ops->read(io, buf, 5, &n, &e) && n == 5 && !memcmp(buf, "01234", 5), "read 5");
	T_OK(!io->ops->rewind(io, &e) && !io->ops->read(io, buf, 2, &n, &e) &&
		     !memcmp(buf, "01", 2), "rewind");
	io->ops->abort(io);
	free(data);
	T_CALL(rn_io_to_memory(&data, &n, &io, &e), &e);
	T_CALL(io->ops->write(io, "x", 1, &e), &e);
	io->ops->abort(io);
	T_OK(!data && !n, "abort leaves nothing");
}

int main(void)
{
	char command[80];

	if (!mkdtemp(dir))
		return 1;
	test_memory();
	test_files();
	test_read_at();
	test_large();
	test_links();
	test_stale();
	test_failures();
	test_pipes();
	test_stop();
	snprintf(command, sizeof command, "rm -r %s", dir);
	T_OK(system(command) == 0, "cleaned up");
	return t_done();
}
