/* SPDX-License-Identifier: Apache-2.0
 *
 * The channel between the coordinator and a stage: a Unix stream socket with
 * messages of 64 bytes and a payload.  The coordinator asks, the stage answers
 * RN_MSG_DONE or RN_MSG_FAILED; whoever sees the other hang up stops.
 */
#ifndef RN_CHANNEL_H
#define RN_CHANNEL_H

#include "../base/err.h"

#include <stddef.h>
#include <stdint.h>

#define RN_MSG_MAGIC 0x31474d53u /* "SMG1" */

enum rn_msg_type {
	/* coordinator -> stage */
	RN_MSG_HELLO, /* threads in `from`; with it the fds of image, parameters, values */
	RN_MSG_RUN,   /* instructions from … to-1 of epoch; t > 0: as optimizer step t */
	RN_MSG_FIND,  /* the same one by one: `inst` that gave a value that is not finite */
	RN_MSG_SAVE,  /* payload of the answer: all optimizer slots */
	RN_MSG_LOAD,  /* payload: all optimizer slots */
	RN_MSG_STOP,  /* answer, then exit */
	/* stage -> coordinator */
	RN_MSG_DONE,   /* HELLO: bytes of its machine in t; STOP: its peak memory in t */
	RN_MSG_FAILED, /* code in `from`; payload: the message */
};
enum { RN_MSG_FDS = 3 };

struct rn_msg {
	uint32_t magic, type;
	uint32_t from, to;
	uint32_t epoch, inst;
	uint64_t t;
	uint64_t payload; /* bytes that follow */
	uint64_t zero[3];
};
_Static_assert(sizeof(struct rn_msg) == 64, "a message has 64 bytes");

/* fds NULL: none, else RN_MSG_FDS of them.  RN_EIO: also when the other end is gone. */
RN_MUST_CHECK int rn_msg_send(int sock, const struct rn_msg *m, const void *payload,
			      const int *fds, struct rn_err *e);
/* The message without its payload.  *end: the other end hung up in good order, or broke
 * off (then nothing was read).  fds NULL: none are expected; else those that came are the
 * caller's, -1 where none did. */
RN_MUST_CHECK int rn_msg_recv(int sock, struct rn_msg *m, int *fds, int *end, struct rn_err *e);
RN_MUST_CHECK int rn_msg_read(int sock, void *payload, size_t n, struct rn_err *e);

#endif
