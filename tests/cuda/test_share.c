/* SPDX-License-Identifier: Apache-2.0
 *
 * What the CUDA backend shares with other processes: two of them write to each other's memory,
 * and the device alone keeps the order, by their events; and memory of the host that both
 * map.  The program is its own second process, which begins before the first one calls CUDA.
 *
 * On the emulated device, or with RN_CUDA_TEST=device on the one that is here.
 */
#include "emulated.h"
#include "../../lib/dev/backend.h"
#include "../unit/t.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N = 1 << 18, ROUNDS = 6, BYTES = N * (int)sizeof(uint32_t), SOCKET = 3, FILE_FD = 4 };

/* What the two tell each other: once, and then each round that it may go on. */
struct note {
	struct rn_handle mem, event, own;
	uint32_t good, shares;
};

static struct rn_err err;

static void must(int rc, const char *what)
{
	if (!rc)
		return;
	fprintf(stderr, "# %s: %s\n", what, err.msg);
	exit(1);
}

static void say(int sock, const struct note *n)
{
	must(write(sock, n, sizeof *n) != (ssize_t)sizeof *n, "a note");
}

static void hear(int sock, struct note *n)
{
	for (size_t at = 0; at < sizeof *n;) {
		ssize_t got = read(sock, (char *)n + at, sizeof *n - at);

		must(got <= 0, "the other process has ended");
		at += (size_t)got;
	}
}

static void fill(uint32_t *x, uint32_t round)
{
	for (uint32_t i = 0; i < N; i++)
		x[i] = i * 2654435761u + round;
}

static bool is_filled(const uint32_t *x, uint32_t round)
{
	for (uint32_t i = 0; i < N; i++)
		if (x[i] != i * 2654435761u + round)
			return false;
	return true;
}

/* Both have: the device, an event, shared memory of either kind. */
struct side {
	struct rn_backend *b;
	struct rn_event *mine, *other;
	void *mem, *host, *host_there;
	uint32_t *x;
};

static void begin(struct side *s, struct note *n)
{
	must(rn_backend_open("cuda", 1, &s->b, NULL, &err), "the device");
	s->x = malloc(BYTES);
	s->host = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, FILE_FD, 0);
	must(!s->x || s->host == MAP_FAILED, "memory");
	must(s->b->map_host(s->b, s->host, BYTES, &s->host_there, &err), "memory of the host");
	memset(n, 0, sizeof *n);
	n->shares = !s->b->event_new(s->b, &s->mine, &n->event, &err);
}

/* Round r is even for the first process, odd for the other. */
static void write_round(struct side *s, uint32_t r)
{
	fill(s->x, r);
	must(s->b->copy_in(s->b, s->mem, s->x, BYTES, &err), "a copy");
	must(s->b->event_record(s->b, s->mine, &err), "an event");
}

static bool read_round(struct side *s, uint32_t r)
{
	must(s->b->event_wait(s->b, s->other, &err), "a wait");
	must(s->b->copy_out(s->b, s->x, s->mem, BYTES, &err), "a copy");
	return is_filled(s->x, r);
}

static void write_host(struct side *s, uint32_t r)
{
	fill(s->x, r);
	must(s->b->copy_in(s->b, s->host_there, s->x, BYTES, &err), "a copy");
	must(s->b->sync(s->b, &err), "a wait");
}

static bool read_host(struct side *s, uint32_t r)
{
	memset(s->x, 0, BYTES);
	must(s->b->copy_out(s->b, s->x, s->host_there, BYTES, &err), "a copy");
	return is_filled(s->x, r) && is_filled(s->host, r);
}

static void end(struct side *s)
{
	if (s->mine)
		s->b->event_free(s->b, s->mine);
	if (s->other)
		s->b->event_free(s->b, s->other);
	s->b->unmap_host(s->b, s->host);
	s->b->close(s->b);
	munmap(s->host, BYTES);
	free(s->x);
}

static int second(void)
{
	struct side s = { 0 };
	struct note in, out;

	hear(SOCKET, &in); /* the first has opened it */
	begin(&s, &out);
	out.good = read_host(&s, 100);
	write_host(&s, 101);
	out.shares = out.shares && in.shares;
	if (out.shares)
		out.shares = !s.b->import_buf(s.b, &in.mem, &s.mem, &err) &&
			     !s.b->event_take(s.b, &in.event, &s.other, &err);
	say(SOCKET, &out);
	for (uint32_t r = 0; out.shares && r < ROUNDS; r += 2) {
		hear(SOCKET, &in);
		out.good = read_round(&s, r);
		write_round(&s, r + 1);
		say(SOCKET, &out);
	}
	hear(SOCKET, &in); /* that it may release what is not its own */
	if (s.mem)
		s.b->release_buf(s.b, s.mem);
	say(SOCKET, &out);
	end(&s);
	return 0;
}

static void test_rounds(struct side *s, int sock, const struct note *came)
{
	struct note n = { 0 };

	must(s->b->event_take(s->b, &came->event, &s->other, &err), "the other's event");
	for (uint32_t r = 0; r < ROUNDS; r += 2) {
		write_round(s, r);
		say(sock, &n);
		hear(sock, &n);
		T_OK(n.good, "round %u: the other process waits for what is written here", r);
		T_OK(read_round(s, r + 1), "round %u: and this one for what that writes", r + 1);
	}
}

static void first(int sock)
{
	struct side s = { 0 };
	struct note mine, came;
	void *own;

	begin(&s, &mine);
	must(s.b->alloc_shared(s.b, BYTES, &s.mem, &err), "shared memory");
	mine.shares = mine.shares && !s.b->export_buf(s.b, s.mem, &mine.mem, &err);
	fill(s.host, 100);
	say(sock, &mine);
	hear(sock, &came);
	T_OK(came.good, "the other's device reads memory of the host that is written here");
	T_OK(read_host(&s, 101), "and writes what is read here, by the host and the device");
	if (came.shares) {
		T_OK(s.b->import_buf(s.b, &mine.mem, &own, &err) == RN_EDEV,
		     "one's own handle is not for oneself");
		test_rounds(&s, sock, &came);
	} else {
		T_SKIP("this device shares no memory with other processes");
	}
	say(sock, &mine);
	hear(sock, &came);
	s.b->free_shared(s.b, s.mem, BYTES);
	end(&s);
}

/* The second process with its fds; CUDA has not been called yet. */
static pid_t spawn(int sock, int file)
{
	static char name[] = "test_share", arg[] = "second";
	char *argv[] = { name, arg, NULL };
	pid_t pid = fork();

	if (pid)
		return pid;
	if (dup2(sock, SOCKET) < 0 || dup2(file, FILE_FD) < 0)
		_exit(1);
	execv("/proc/self/exe", argv);
	_exit(1);
}

int main(int argc, char **argv)
{
	struct rn_backend *b;
	int pair[2], file, status = 0;
	pid_t child;

	if (argc > 1 && !strcmp(argv[1], "second"))
		return second();
	if (!getenv("RN_CUDA_TEST"))
		setenv("RN_EMULATE_LAG", "2000", 0);
	use_emulation(argv);
	/* Both see the file as FILE_FD, and none of these is where another goes. */
	file = memfd_create("test_share", MFD_CLOEXEC);
	must(file < 0 || ftruncate(file, BYTES) ||
		     socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) ||
		     dup3(file, 20, O_CLOEXEC) < 0 || dup3(pair[0], 21, O_CLOEXEC) < 0 ||
		     dup3(pair[1], 22, O_CLOEXEC) < 0, "a socket");
	child = spawn(22, 20);
	must(child < 0, "a process");
	close(pair[1]);
	close(22);
	must(dup2(20, FILE_FD) < 0, "a file");
	if (rn_backend_open("cuda", 1, &b, NULL, &err)) {
		if (strcmp(getenv("RN_CUDA_TEST"), "device"))
			T_OK(false, "the emulated device: %s", err.msg);
		else
			T_SKIP(err.msg);
		return t_done();
	}
	b->close(b);
	first(21);
	T_OK(waitpid(child, &status, 0) == child && !status, "the other one ends in good order");
	return t_done();
}
