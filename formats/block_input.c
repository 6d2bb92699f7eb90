/* SPDX-License-Identifier: Apache-2.0
 *
 * The input of a reader: a window on the payload of one frame that knows its offset
 * in the stream.  Memory grows as data arrives, whatever a length says.
 */
#include "block_read.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	AHEAD = 16 << 10,     /* bytes read at once where chunks are small: what is copied twice */
	GROW_STEP = 1 << 20,  /* bytes allocated before the first data are there */
};

int rn_input_bad(const struct rn_input *in, uint64_t offset, struct rn_err *e, const char *fmt,
		 ...)
{
	char what[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	return rn_err_set(e, RN_EDATA, "'%s': malformed at offset %" PRIu64 ": %s", in->io->name,
			  offset, what);
}

static int truncated(const struct rn_input *in, struct rn_err *e)
{
	return rn_err_set(e, RN_EDATA,
			  "'%s': truncated at offset %" PRIu64
			  ": the stream has no end, its producer may have failed",
			  in->io->name, in->offset);
}

static int some(struct rn_input *in, void *p, size_t n, size_t *got, struct rn_err *e)
{
	return in->anywhere ? in->io->ops->read_at(in->io, p, n, in->offset, got, e) :
			      in->io->ops->read(in->io, p, n, got, e);
}

int rn_input_read(struct rn_input *in, void *p, size_t n, struct rn_err *e)
{
	size_t got;

	RN_TRY(some(in, p, n, &got, e));
	in->offset += got;
	return got < n ? truncated(in, e) : 0;
}

int rn_input_ended(struct rn_input *in, bool *ended, struct rn_err *e)
{
	uint8_t extra;
	size_t got;

	RN_TRY(some(in, &extra, 1, &got, e));
	*ended = !got;
	return 0;
}

void rn_input_payload(struct rn_input *in, uint64_t n)
{
	in->from = in->len = 0;
	in->left = n;
}

uint64_t rn_input_offset(const struct rn_input *in)
{
	return in->offset - (in->len - in->from);
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static int too_short(const struct rn_input *in, struct rn_err *e)
{
	return rn_input_bad(in, rn_input_offset(in), e, "the payload of a frame is too short");
}

/* The window is the rest of the payload, where io has it. */
static int look(struct rn_input *in, struct rn_err *e)
{
	in->w = in->io->ops->view(in->io, in->left, &in->len);
	in->from = 0;
	in->offset += in->len;
	in->left -= in->len;
	return in->left ? truncated(in, e) : 0;
}

/* `want` more bytes of the payload behind those of the window that are not taken. */
static int fill(struct rn_input *in, uint64_t want, struct rn_err *e)
{
	size_t have = in->len - in->from;

	if (have && in->from)
		memmove(in->p, in->p + in->from, have);
	in->from = 0;
	in->len = have;
	while (want) {
		size_t step = in->len > GROW_STEP ? in->len : GROW_STEP;

		step = want < step ? (size_t)want : step;
		RN_TRY(rn_grow(&in->p, &in->cap, in->len + step, 1, "a block", e));
		in->w = in->p;
		RN_TRY(rn_input_read(in, in->p + in->len, step, e));
		in->len += step;
		in->left -= step;
		want -= step;
	}
	return 0;
}

int rn_input_take(struct rn_input *in, uint64_t n, const uint8_t **p, struct rn_err *e)
{
	size_t have = in->len - in->from;
	uint64_t ahead = in->exact ? 0 : AHEAD;

	if (n > have + in->left)
		return too_short(in, e);
	if (n > have && in->io->ops->view)
		RN_TRY(look(in, e));
	else if (n > have)
		RN_TRY(fill(in, n - have > ahead ? n - have : least(in->left, ahead), e));
	*p = n ? in->w + in->from : (const uint8_t *)"";
	in->from += n;
	return 0;
}

int rn_input_copy(struct rn_input *in, size_t n, void *to, struct rn_err *e)
{
	size_t have = in->len - in->from;

	if (n > have + in->left)
		return too_short(in, e);
	if (n > have && in->io->ops->view) {
		RN_TRY(look(in, e));
		have = n;
	}
	have = n < have ? n : have;
	if (have)
		memcpy(to, in->w + in->from, have);
	in->from += have;
	if (have == n)
		return 0;
	RN_TRY(rn_input_read(in, (uint8_t *)to + have, n - have, e));
	in->left -= n - have;
	return 0;
}

int rn_input_load(struct rn_input *in, struct rn_err *e)
{
	return !in->left ? 0 : in->io->ops->view ? look(in, e) : fill(in, in->left, e);
}

int rn_input_split(struct rn_input *in, struct rn_input *part, struct rn_err *e)
{
	uint64_t n = in->left;

	part->io = in->io;
	part->offset = in->offset;
	part->anywhere = in->anywhere;
	rn_input_payload(part, n);
	if (in->io->ops->view)
		RN_TRY(look(part, e));
	in->offset += n;
	rn_input_payload(in, 0);
	return 0;
}
