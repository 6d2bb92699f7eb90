/* SPDX-License-Identifier: Apache-2.0 */
#include "channel.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

union control {
	struct cmsghdr align;
	char space[CMSG_SPACE(RN_MSG_FDS * sizeof(int))];
};

/* All bytes; those of the first call may carry fds. */
static int send_all(int sock, const void *data, size_t n, const int *fds, struct rn_err *e)
{
	const char *p = data;
	union control c;

	while (n > 0) {
		struct iovec io = { (void *)(uintptr_t)p, n };
		struct msghdr h = { .msg_iov = &io, .msg_iovlen = 1 };
		ssize_t got;

		if (fds) {
			struct cmsghdr *m;

			memset(&c, 0, sizeof c);
			h.msg_control = &c;
			h.msg_controllen = sizeof c;
			m = CMSG_FIRSTHDR(&h);
			m->cmsg_level = SOL_SOCKET;
			m->cmsg_type = SCM_RIGHTS;
			m->cmsg_len = CMSG_LEN(RN_MSG_FDS * sizeof(int));
			memcpy(CMSG_DATA(m), fds, RN_MSG_FDS * sizeof(int));
		}
		got = sendmsg(sock, &h, MSG_NOSIGNAL);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return rn_err_errno(e, "cannot send to the other process");
		fds = NULL;
		p += got;
		n -= (size_t)got;
	}
	return 0;
}

int rn_msg_send(int sock, const struct rn_msg *m, const void *payload, const int *fds,
		struct rn_err *e)
{
	struct rn_msg copy = *m;

	copy.magic = RN_MSG_MAGIC;
	RN_TRY(send_all(sock, &copy, sizeof copy, fds, e));
	return send_all(sock, payload, m->payload, NULL, e);
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
static int recv_all(int sock, void *data, size_t n, int *fds, size_t *got, struct rn_err *e)
{
	union control c;

	for (*got = 0; *got < n;) {
		struct iovec io = { (char *)data + *got, n - *got };
		struct msghdr h = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = &c,
				    .msg_controllen = sizeof c };
		ssize_t r = recvmsg(sock, &h, MSG_CMSG_CLOEXEC);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0 && errno != ECONNRESET)
			return rn_err_errno(e, "cannot receive from the other process");
		if (r <= 0)
			return 0;
		take_fds(&h, fds);
		*got += (size_t)r;
	}
	return 0;
}

int rn_msg_recv(int sock, struct rn_msg *m, int *fds, int *end, struct rn_err *e)
{
	size_t got;

	for (int i = 0; fds && i < RN_MSG_FDS; i++)
		fds[i] = -1;
	RN_TRY(recv_all(sock, m, sizeof *m, fds, &got, e));
	*end = got < sizeof *m;
	if (!*end && m->magic != RN_MSG_MAGIC)
		return rn_err_set(e, RN_EIO, "the other process does not speak this protocol");
	return 0;
}

int rn_msg_read(int sock, void *payload, size_t n, struct rn_err *e)
{
	size_t got;

	RN_TRY(recv_all(sock, payload, n, NULL, &got, e));
	if (got < n)
		return rn_err_set(e, RN_EIO, "the other process broke off");
	return 0;
}
