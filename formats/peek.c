/* SPDX-License-Identifier: Apache-2.0
 *
 * An input in front of another: the bytes that were looked at, then all that follows.
 */
#include "peek.h"

#include "../lib/base/mem.h"

#include <stdlib.h>
#include <string.h>

struct peek_io {
	struct rn_io io;
	struct rn_io *from;
	char first[RN_PEEK_MAX];
	size_t at, len; /* what is left of `first` */
};

static int peek_read(struct rn_io *io, void *buf, size_t n, size_t *got, struct rn_err *e)
{
	struct peek_io *p = (struct peek_io *)io;
	size_t had = p->len - p->at < n ? p->len - p->at : n;

	memcpy(buf, p->first + p->at, had);
	p->at += had;
	*got = 0;
	if (had < n)
		RN_TRY(p->from->ops->read(p->from, (char *)buf + had, n - had, got, e));
	*got += had;
	return 0;
}

static int peek_read_at(struct rn_io *io, void *buf, size_t n, uint64_t at, size_t *got,
			struct rn_err *e)
{
	struct rn_io *from = ((struct peek_io *)io)->from;

	return from->ops->read_at(from, buf, n, at, got, e);
}

static void peek_abort(struct rn_io *io)
{
	struct peek_io *p = (struct peek_io *)io;

	p->from->ops->abort(p->from);
	free(p);
}

static int peek_rewind(struct rn_io *io, struct rn_err *e)
{
	struct peek_io *p = (struct peek_io *)io;

	p->at = p->len; /* they are read again as well */
	if (!p->from->ops->rewind)
		return rn_err_set(e, RN_EIO, "cannot rewind '%s'", io->name);
	return p->from->ops->rewind(p->from, e);
}

static int peek_fd(const struct rn_io *io)
{
	const struct rn_io *from = ((const struct peek_io *)io)->from;

	return from->ops->fd ? from->ops->fd(from) : -1;
}

static const struct rn_io_ops peek_ops = {
	.fd = peek_fd,
	.read = peek_read,
	.abort = peek_abort,
	.rewind = peek_rewind,
};

/* Of what can be read anywhere. */
static const struct rn_io_ops peek_at_ops = {
	.fd = peek_fd,
	.read = peek_read,
	.read_at = peek_read_at,
	.abort = peek_abort,
	.rewind = peek_rewind,
};

int rn_io_peek(struct rn_io **io, void *bytes, size_t *n, struct rn_err *e)
{
	struct peek_io *p = NULL;
	int rc;

	rc = rn_calloc(1, sizeof *p, "an input", &p, e);
	if (!rc)
		rc = (*io)->ops->read(*io, p->first, *n < RN_PEEK_MAX ? *n : RN_PEEK_MAX, &p->len, e);
	if (rc) {
		(*io)->ops->abort(*io);
		free(p);
		return rc;
	}
	p->from = *io;
	p->io = (struct rn_io){ .ops = p->from->ops->read_at ? &peek_at_ops : &peek_ops,
				.kind = p->from->kind, .name = p->from->name,
				.size = p->from->size };
	memcpy(bytes, p->first, p->len);
	*n = p->len;
	*io = &p->io;
	return 0;
}
