/* SPDX-License-Identifier: Apache-2.0
 *
 * A link over a Unix stream socket.  For who is not to wait for ever the socket has
 * timeouts of a tick, so that a wait costs no more than the one call that waits.
 */
#include "link.h"

#include "../base/mem.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct socket_link {
	struct rn_link base;
	int sock;
};

union control {
	struct cmsghdr align;
	char space[CMSG_SPACE(RN_MSG_FDS * sizeof(int))];
};

/* A call that came back without having done anything: go on waiting? */
static int wait_on(struct rn_link *l, struct rn_err *e)
{
	if (errno == EINTR || !l->patience)
		return 0;
	return l->patience(l->patience_arg, e);
}

/* So many descriptors are on their way to processes that the system lets no more follow
 * (unix(7)): they will be taken, and nobody says when. */
static bool is_crowded(int error)
{
	const struct timespec tick = { .tv_nsec = (long)(RN_TICK * 1e9) };

	if (error != ETOOMANYREFS)
		return false;
	nanosleep(&tick, NULL);
	return true;
}

static bool is_wait(int error)
{
	return error == EINTR || error == EAGAIN || error == EWOULDBLOCK;
}

static void attach(struct msghdr *h, union control *c, const int *fds)
{
	struct cmsghdr *m;

	memset(c, 0, sizeof *c);
	h->msg_control = c;
	h->msg_controllen = sizeof *c;
	m = CMSG_FIRSTHDR(h);
	m->cmsg_level = SOL_SOCKET;
	m->cmsg_type = SCM_RIGHTS;
	m->cmsg_len = CMSG_LEN(RN_MSG_FDS * sizeof(int));
	memcpy(CMSG_DATA(m), fds, RN_MSG_FDS * sizeof(int));
}

/* All bytes; those of the first call may carry fds. */
static int send_all(struct rn_link *l, const void *data, size_t n, const int *fds,
		    struct rn_err *e)
{
	int sock = ((struct socket_link *)l)->sock;
	const char *p = data;
	union control c;

	while (n > 0) {
		struct iovec io = { (void *)(uintptr_t)p, n };
		struct msghdr h = { .msg_iov = &io, .msg_iovlen = 1 };
		ssize_t got;

		if (fds)
			attach(&h, &c, fds);
		got = sendmsg(sock, &h, MSG_NOSIGNAL);
		if (got < 0 && (is_wait(errno) || is_crowded(errno))) {
			RN_TRY(wait_on(l, e));
			continue;
		}
		if (got < 0)
			return rn_err_errno(e, "cannot send to the other process");
		fds = NULL;
		p += got;
		n -= (size_t)got;
	}
	return 0;
}

static int send_msg(struct rn_link *l, const struct rn_msg *m, const void *payload,
		    const int *fds, struct rn_err *e)
{
	struct rn_msg copy = *m;

	copy.magic = RN_MSG_MAGIC;
	RN_TRY(send_all(l, &copy, sizeof copy, fds, e));
	return send_all(l, payload, m->payload, NULL, e);
}

static void take_fds(struct msghdr *h, int *fds)
{
	for (struct cmsghdr *m = CMSG_FIRSTHDR(h); m; m = CMSG_NXTHDR(h, m)) {
		size_t n = (m->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (m->cmsg_level != SOL_SOCKET || m->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(m) + i * sizeof fd, sizeof fd);
			if (fds && i < RN_MSG_FDS)
				fds[i] = fd;
			else
				close(fd);
		}
	}
}

/* Up to n bytes: *got is less where the other end is gone. */
static int recv_all(struct rn_link *l, void *data, size_t n, int *fds, size_t *got,
		    struct rn_err *e)
{
	int sock = ((struct socket_link *)l)->sock;
	union control c;

	for (*got = 0; *got < n;) {
		struct iovec io = { (char *)data + *got, n - *got };
		struct msghdr h = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = &c,
				    .msg_controllen = sizeof c };
		ssize_t r = recvmsg(sock, &h, MSG_CMSG_CLOEXEC);

		if (r < 0 && is_wait(errno)) {
			RN_TRY(wait_on(l, e));
			continue;
		}
		if (r < 0 && errno != ECONNRESET)
			return rn_err_errno(e, "cannot receive from the other process");
		if (r <= 0)
			return 0;
		take_fds(&h, fds);
		*got += (size_t)r;
	}
	return 0;
}

static int recv_msg(struct rn_link *l, struct rn_msg *m, int *fds, bool *end, struct rn_err *e)
{
	size_t got;

	for (int i = 0; fds && i < RN_MSG_FDS; i++)
		fds[i] = -1;
	RN_TRY(recv_all(l, m, sizeof *m, fds, &got, e));
	*end = got < sizeof *m;
	if (!*end && m->magic != RN_MSG_MAGIC)
		return rn_err_set(e, RN_EIO, "the other process does not speak this protocol");
	return 0;
}

static int read_payload(struct rn_link *l, void *payload, size_t n, struct rn_err *e)
{
	size_t got;

	RN_TRY(recv_all(l, payload, n, NULL, &got, e));
	if (got < n)
		return rn_err_set(e, RN_EIO, "the other process broke off");
	return 0;
}

static bool waits(struct rn_link *l)
{
	struct pollfd p = { .fd = ((struct socket_link *)l)->sock, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

static void close_link(struct rn_link *l)
{
	close(((struct socket_link *)l)->sock);
	free(l);
}

static const struct rn_link_ops ops = {
	.transport = "socket",
	.send = send_msg,
	.recv = recv_msg,
	.read = read_payload,
	.waits = waits,
	.close = close_link,
};

/* Calls that return after a tick, for who must not wait for ever. */
static int set_tick(int sock, struct rn_err *e)
{
	struct timeval tick = { .tv_usec = (suseconds_t)(RN_TICK * 1e6) };

	if (setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &tick, sizeof tick) ||
	    setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &tick, sizeof tick))
		return rn_err_errno(e, "cannot set up a link");
	return 0;
}

int rn_link_socket(int sock, int (*patience)(void *arg, struct rn_err *e), void *arg,
		   struct rn_link **out, struct rn_err *e)
{
	struct socket_link *l;
	int rc = rn_calloc(1, sizeof *l, "a link", &l, e);

	if (rc) {
		close(sock);
		return rc;
	}
	l->base.ops = &ops;
	l->base.patience = patience;
	l->base.patience_arg = arg;
	l->sock = sock;
	if (patience)
		rc = set_tick(sock, e);
	if (rc)
		close_link(&l->base);
	else
		*out = &l->base;
	return rc;
}
