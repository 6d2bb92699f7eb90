/* SPDX-License-Identifier: Apache-2.0
 *
 * Transports: where the bytes of a stream go to and come from.  A few calls,
 * each defined by its POSIX twin; nothing above sees what is beneath.
 */
#ifndef RN_IO_H
#define RN_IO_H

#include "../lib/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct rn_io;

struct rn_io_ops {
	/* read(2) until `n` bytes or the end of input; *got says how many.  A regular file that
	 * ends before the size that it had is an error. */
	int (*read)(struct rn_io *io, void *buf, size_t n, size_t *got, struct rn_err *e);
	/* write(2) until all n bytes are taken. */
	int (*write)(struct rn_io *io, const void *buf, size_t n, struct rn_err *e);
	int (*flush)(struct rn_io *io, struct rn_err *e);
	/* Publish: fsync and rename a regular file, report what close(2) reports.  Frees io. */
	int (*close)(struct rn_io *io, struct rn_err *e);
	/* Give up: remove a temporary file, close what is open.  Frees io. */
	void (*abort)(struct rn_io *io);
	/* lseek(2) back to where reading began.  NULL, or RN_EIO, where that cannot be:
	 * only for inputs of kind RN_IO_FILE and from memory is it of use to ask. */
	int (*rewind)(struct rn_io *io, struct rn_err *e);
	/* What read would copy, where it lies: the next bytes, at most n, valid until close.
	 * NULL where the input is not in memory. */
	const void *(*view)(struct rn_io *io, size_t n, size_t *got);
	/* pread(2): as read, from `at` bytes behind where reading began on, and moving nothing.  From
	 * any thread.  It works for inputs of kind RN_IO_FILE; NULL where there are none. */
	int (*read_at)(struct rn_io *io, void *buf, size_t n, uint64_t at, size_t *got,
		       struct rn_err *e);
	/* The descriptor beneath, to look at; writes to a pipe may go around the io (shm.h).  NULL
	 * where there is none. */
	int (*fd)(const struct rn_io *io);
};

enum rn_io_kind { RN_IO_FILE, RN_IO_PIPE, RN_IO_SOCKET, RN_IO_TTY, RN_IO_OTHER };

struct rn_io {
	const struct rn_io_ops *ops;
	enum rn_io_kind kind;
	char *name;    /* for messages: the path, or "standard input" */
	uint64_t size; /* of a regular input file, else 0 */
	const int *stop; /* of rn_io_open_until, or NULL */
	uint64_t *count; /* of an output: bytes that write took are added here; NULL: nobody asks */
};

/* Open `path` to read ("-" is standard input).  A file is mapped or read with
 * large reads; names ending in .zst are decompressed by the text formats, not
 * here.  Errors name the path. */
RN_MUST_CHECK int rn_io_open_read(const char *path, struct rn_io **out, struct rn_err *e);
/* The same, for another thread to read: when the descriptor *stop becomes readable, reading ends
 * with an error, also where it waits for somebody to write to a FIFO. */
RN_MUST_CHECK int rn_io_open_until(const char *path, const int *stop, struct rn_io **out,
				   struct rn_err *e);

/* Open `path` to write ("-" or NULL is standard output).  What is a regular
 * file, or not there yet, is written without a name, or under a temporary one, in its folder
 * (mode as open(2) with 0666 would give, or that of the file it replaces) and
 * renamed by close; anything else is written in place.  The name of a database's table is
 * RN_EUSAGE. */
RN_MUST_CHECK int rn_io_open_write(const char *path, struct rn_io **out, struct rn_err *e);

/* Could a file be written at `path`, as far as can be known without writing?  For
 * what is written only after hours of work. */
RN_MUST_CHECK int rn_io_check_write(const char *path, struct rn_err *e);

/* From memory (borrowed until close), and into memory (*data, owned by the
 * caller, free(); valid after close). */
RN_MUST_CHECK int rn_io_from_memory(const void *data, size_t n, const char *name,
				    struct rn_io **out, struct rn_err *e);
RN_MUST_CHECK int rn_io_to_memory(void **data, size_t *n, struct rn_io **out, struct rn_err *e);

#endif
