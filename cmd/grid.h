/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows as a table of aligned columns, for people: numbers to the right, strings cut where
 * the terminal ends, embeddings in short.  Widths come from the first thousand rows, which
 * are held until then; a longer value later is cut on a terminal, and elsewhere stands out.
 */
#ifndef RN_GRID_H
#define RN_GRID_H

#include "rows.h"

struct rn_grid_opt {
	bool no_header;
	bool no_embedding;
};

struct rn_grid;
/* A table of rows of this schema, borrowed, on the output of c.  *stats, which must live as long:
 * what is written counts there. */
RN_MUST_CHECK int rn_grid_open(const struct rn_cli *c, const struct rn_schema *schema,
			       const struct rn_grid_opt *opt, struct rn_writer_stats *stats,
			       struct rn_grid **out, struct rn_err *e);
RN_MUST_CHECK int rn_grid_rows(struct rn_grid *g, const struct rn_rel *r, struct rn_err *e);
/* What is held, and the number of rows; or where rc is not 0 give up.  Returns the code. */
RN_MUST_CHECK int rn_grid_close(struct rn_grid *g, int rc, struct rn_err *e);

/* At most `limit` rows of the operand. */
RN_MUST_CHECK int rn_grid_pump(const struct rn_cli *c, const struct rn_grid_opt *opt,
			       uint64_t limit, struct rn_err *e);

#endif
