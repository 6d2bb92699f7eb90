/* SPDX-License-Identifier: Apache-2.0
 *
 * Pieces of streams that this folder shares (the public part is pipe.h).
 *
 * The header of a stream is {"rn": 1, "kind": "evaluated" | "deferred", "plan":
 * {…}, "history": [{"argv": […]}, …]}: plan as rn_plan_to_header makes it.
 */
#ifndef RN_STREAM_H
#define RN_STREAM_H

#include "pipe.h"

/* Is it a table that rn-scan reads, by its name? */
bool rn_is_text_table(const char *path);
/* Is it what a shell hands over, standard input or as of <(…)?  It names nothing in another
 * process. */
bool rn_is_descriptor(const char *path);
/* Can all be read, as far as their names tell?  That is to be said before anybody waits for one of
 * them, whose writer may never come. */
RN_MUST_CHECK int rn_streams_check(const struct rn_operand *in, size_t n, struct rn_err *e);
/* "dir/paper.csv.zst" -> "paper", a descriptor -> ""; an absolute path ("-" stays; what is no
 * file and no folder, as a pipe, is not resolved).  Owned; NULL + e. */
char *rn_path_stem(const char *path, struct rn_err *e);
char *rn_absolute_path(const char *path, struct rn_err *e);

/* A plan of one scan node for `file`, called `name` or by the file's stem. */
RN_MUST_CHECK int rn_scan_node(const char *file, const char *name, struct rn_plan **plan,
			       struct rn_err *e);

/* Header of an open stream of rows (new reference), and whether it is deferred. */
RN_MUST_CHECK int rn_stream_header(struct rn_reader *r, const char *file, json_t **header,
				   bool *deferred, struct rn_err *e);
/* All its sections. */
RN_MUST_CHECK int rn_stream_sections(struct rn_reader *r, const char *file, struct rn_stream *s,
				     struct rn_err *e);

/* The history `before` (may be NULL), and after it this command. */
RN_MUST_CHECK int rn_stream_history(const json_t *before, int argc, char *const *argv, json_t **out,
				    struct rn_err *e);
/* A new header; takes plan; argv NULL: without history. */
RN_MUST_CHECK int rn_stream_make_header(const char *kind, json_t *plan, const json_t *history,
					int argc, char *const *argv, json_t **out,
					struct rn_err *e);

#endif
