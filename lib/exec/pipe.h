/* SPDX-License-Identifier: Apache-2.0
 *
 * One operator as a Unix program: streams in, a stream out.
 *
 * A stream is evaluated (one relation) or deferred (a plan whose leaves are
 * relations carried in the same stream).  A program whose operator learns and
 * has no model, or whose input is deferred, computes nothing: it adds its node
 * to the plan and forwards the carried relations, equal ones once.  Row-wise
 * operators work block by block, others in memory as far as --mem allows and in
 * temporary files beyond (ext.h).  Several inputs are drained at once, so that diamonds
 * through tee and fifos cannot deadlock.
 */
#ifndef RN_PIPE_H
#define RN_PIPE_H

#include "../../formats/container.h"
#include "exec.h"

struct rn_operand {
	const char *as;   /* NAME of NAME=FILE, or NULL */
	const char *file; /* "-": standard input */
	const char *opt;  /* the RN_OPT_NODE option that it came from, or NULL */
};

struct rn_pipe_conf {
	const struct rn_ctx *ctx;
	const struct rn_op *op;
	json_t *opt;      /* normal form, borrowed */
	const char *name; /* --name, or NULL */
	size_t nin;
	const struct rn_operand *in;
	const char *output; /* "-" or NULL: standard output */
	struct rn_writer_opt writer;
	struct rn_params *params; /* --model: what was learned; NULL: no model given */
	struct rn_fitted *fitted; /* --model: what an encode stage fitted, or NULL; borrowed */
	int argc;           /* for the history; NULL argv: --no-history */
	char *const *argv;
};
/* What --stats tells. */
struct rn_pipe_stats {
	uint64_t rows_in, rows_out;
	struct rn_writer_stats out;
	uint64_t spilled_bytes; /* of temporary data that were written */
	double seconds;
	bool deferred;
};

/* Run it.  On an error an ABORT frame with the message goes downstream. */
RN_MUST_CHECK int rn_pipe_run(const struct rn_pipe_conf *c, struct rn_pipe_stats *stats,
			      struct rn_err *e);

/* ---- streams for the programs at the tail -------------------------------------------- */

/* A whole input stream in memory. */
struct rn_stream {
	bool deferred;
	json_t *header;
	size_t nsections;
	struct rn_rel **sections;
};
/* Read several streams at once, each to its end (rn-train's sinks). */
RN_MUST_CHECK int rn_streams_read(const struct rn_ctx *c, const struct rn_operand *in, size_t n,
				  struct rn_stream *out, struct rn_err *e);
void rn_stream_fini(struct rn_stream *s);
/* Merge a stream's plan into p (nodes of equal ids are one); *node: its output;
 * *carried (grown to p->nnodes entries, owned references) gets its relations. */
RN_MUST_CHECK int rn_stream_merge(const struct rn_stream *s, struct rn_plan *p, uint32_t *node,
				  struct rn_rel ***carried, size_t *ncarried, struct rn_err *e);

#endif
