/* SPDX-License-Identifier: Apache-2.0
 *
 * The link between the coordinator and a stage: messages of 64 bytes, each with a
 * payload.  The coordinator asks, the stage answers RN_MSG_DONE or RN_MSG_FAILED;
 * whoever sees the other hang up stops.
 *
 * How messages travel is behind rn_link_ops.  They are for what happens now and then:
 * the start, checkpoints, the end.  What stages compute for each other does not travel at all,
 * it lies in memory that they share (cut.h); there, too, they hand each other the work of
 * a pass (board.h).
 */
#ifndef RN_LINK_H
#define RN_LINK_H

#include "../dev/backend.h"
#include "board.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RN_MSG_MAGIC 0x36474d53u /* "SMG6" */

enum rn_msg_type {
	/* coordinator -> stage */
	RN_MSG_DEVICE, /* where any stage has a device, first of all: threads in `from`; payload:
			* struct rn_msg_device.  That of the answer: struct rn_msg_opened */
	RN_MSG_HELLO, /* threads in `from`, the stage's number in `to`, how many there are in `inst`;
		       * with it the fds of image, parameters, values, agenda, arrays, counts.
		       * epoch 1: what was imported is used, and not the files.  Payload: nothing, or a
		       * struct rn_msg_peer for each stage.  Answer: `inst` 1: it has their events */
	RN_MSG_MEMORY, /* memory of the program that comes next; payload: struct rn_msg_memory.  Answer:
			* `inst` 1: all of it was imported.  No payload: what was imported for it is to be
			* closed, as it will be freed */
	RN_MSG_PROGRAM, /* another program, number `inst`, with fds and epoch likewise */
	RN_MSG_FIND,  /* run instructions from … to-1 of the first program, of epoch, one by one:
		       * `inst` that gave a value that is not finite */
	RN_MSG_SAVE,  /* payload of the answer: all optimizer slots */
	RN_MSG_LOAD,  /* payload: all optimizer slots */
	RN_MSG_STOP,  /* answer, then exit */
	/* stage -> coordinator */
	RN_MSG_DONE,   /* HELLO, PROGRAM: bytes of its machine in t; STOP: its peak memory in t and
			* device */
	RN_MSG_FAILED, /* code in `from`; payload: the message */
};
enum { RN_MSG_FDS = 6 };

struct rn_msg {
	uint32_t magic, type;
	uint32_t from, to;
	uint32_t epoch, inst;
	uint64_t t;
	uint64_t payload; /* bytes that follow */
	uint64_t device;
	uint64_t zero[2];
};
_Static_assert(sizeof(struct rn_msg) == 64, "a message has 64 bytes");

/* Memory of a program on a device: its values, and its large constants and index arrays, if it has any. */
struct rn_msg_memory {
	struct rn_handle values, arrays;
	uint32_t has_arrays, zero;
};
/* The device to open, and memory there to import: the parameters', and that of the first program. */
struct rn_msg_device {
	char device[16];  /* "cpu", "cuda:0" */
	char sharing[16]; /* the device that the memory is of; "": there is none */
	uint32_t math, zero;
	struct rn_handle params;
	struct rn_msg_memory fit;
};
/* What became of that. */
struct rn_msg_opened {
	char device[16];             /* as it calls itself */
	uint32_t host, imported;     /* its memory is the host's; all of it was imported */
	uint32_t has_event, zero;
	struct rn_handle event;      /* that it records */
};
struct rn_msg_peer {
	uint32_t group, has_event; /* stages of one group are on one device */
	struct rn_handle event;
};

struct rn_link;
struct rn_link_ops {
	const char *transport; /* "socket" */
	/* The message with its payload.  fds NULL: none, else RN_MSG_FDS of them. */
	int (*send)(struct rn_link *l, const struct rn_msg *m, const void *payload,
		    const int *fds, struct rn_err *e);
	/* The next message without its payload.  *end: the other end hung up, in good order or
	 * not; then nothing was read.  fds NULL: none are expected; else those that came are
	 * the caller's, -1 where none did. */
	int (*recv)(struct rn_link *l, struct rn_msg *m, int *fds, bool *end, struct rn_err *e);
	/* The payload of the message that was received last, or its next n bytes. */
	int (*read)(struct rn_link *l, void *payload, size_t n, struct rn_err *e);
	/* Is there a message to receive, or nobody any more who could send one? */
	bool (*waits)(struct rn_link *l);
	void (*close)(struct rn_link *l); /* frees l */
};

struct rn_link {
	const struct rn_link_ops *ops;
	/* Called every RN_TICK seconds that a call waits for the other end; an error ends
	 * the wait.  NULL: wait as long as it takes. */
	int (*patience)(void *arg, struct rn_err *e);
	void *patience_arg;
};

/* Over a Unix stream socket; takes sock, also on failure.  patience may be NULL. */
RN_MUST_CHECK int rn_link_socket(int sock, int (*patience)(void *arg, struct rn_err *e),
				 void *arg, struct rn_link **out, struct rn_err *e);

static inline void rn_link_close(struct rn_link *l) /* NULL is fine */
{
	if (l)
		l->ops->close(l);
}

#endif
