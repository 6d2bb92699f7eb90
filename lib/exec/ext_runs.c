/* SPDX-License-Identifier: Apache-2.0 */
#include "ext_runs.h"

#include <stdlib.h>

enum { ROW_BYTES = 40 }; /* that sorting takes beside the rows */

struct rn_runs {
	struct rn_ext *x;
	const struct rn_runs_conf *conf;
	struct rn_rel **blocks; /* rows that wait */
	size_t nblocks, blocks_cap;
	uint64_t bytes, rows;
	struct rn_pile **piles;
	size_t npiles, piles_cap;
};

int rn_runs_open(struct rn_ext *x, const struct rn_runs_conf *conf, struct rn_runs **out,
		 struct rn_err *e)
{
	RN_TRY(rn_calloc(1, sizeof **out, "a sort", out, e));
	(*out)->x = x;
	(*out)->conf = conf;
	return 0;
}

void rn_runs_close(struct rn_runs *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->nblocks; i++)
		rn_rel_unref(r->blocks[i]);
	for (size_t i = 0; i < r->npiles; i++)
		rn_pile_free(r->piles[i]);
	free(r->blocks);
	free(r->piles);
	free(r);
}

/* all in order, *out owned. */
static int sort_rows(const struct rn_runs *r, const struct rn_rel *all, struct rn_rel **out,
		     struct rn_err *e)
{
	const struct rn_merge *m = &r->conf->order;
	struct rn_column **cols;
	struct rn_order *by = NULL;
	struct rn_buf *map = NULL;
	uint64_t n = all->rows;
	int rc;

	RN_TRY(rn_calloc(m->n, sizeof(struct rn_column *), "a sort", &cols, e));
	RN_GOTO(out, rn_calloc(m->n, sizeof *by, "a sort", &by, e));
	RN_GOTO(out, m->keys(m->arg, all, cols, e));
	for (size_t i = 0; i < m->n; i++)
		by[i] = (struct rn_order){ .col = cols[i], .desc = m->desc && m->desc[i] };
	rc = rn_order_rows_team(r->x->ctx->team, by, m->n, n, &map, e);
	if (!rc && r->conf->trim)
		rc = r->conf->trim(m->arg, cols, map->data, &n, e);
	if (!rc)
		rc = rn_rel_gather(all, map->data, n, out, e);
	for (size_t i = 0; i < m->n; i++)
		rn_column_unref(cols[i]);
out:
	rn_buf_unref(map);
	free(by);
	free(cols);
	return rc;
}

/* The rows that wait become a run. */
static int put_run(struct rn_runs *r, struct rn_err *e)
{
	struct rn_rel *all, *sorted;
	struct rn_spool *done;
	struct rn_pile *p;
	size_t n = r->nblocks;
	int rc;

	if (!n)
		return 0;
	RN_TRY(rn_grow(&r->piles, &r->piles_cap, r->npiles + 1, sizeof(struct rn_pile *), "a sort", e));
	r->nblocks = 0;
	r->bytes = r->rows = 0;
	RN_TRY(rn_ext_stack(&r->blocks[0]->schema, r->blocks, n, &all, e));
	rc = sort_rows(r, all, &sorted, e);
	rn_rel_unref(all);
	RN_TRY(rc);
	rc = rn_pile_new(r->x, &sorted->schema, &p, e);
	if (!rc) {
		r->piles[r->npiles++] = p;
		rc = rn_pile_add(p, sorted, e);
	}
	if (!rc) /* what waits for a whole block would hold all of it */
		rc = rn_pile_end(p, &done, e);
	rn_rel_unref(sorted);
	return rc;
}

int rn_runs_add(struct rn_runs *r, const struct rn_rel *rel, struct rn_err *e)
{
	if (!rel->rows)
		return 0;
	RN_TRY(rn_grow(&r->blocks, &r->blocks_cap, r->nblocks + 1, sizeof(struct rn_rel *), "a sort", e));
	r->blocks[r->nblocks++] = rn_rel_ref((struct rn_rel *)rel);
	r->bytes += rn_rel_bytes(rel);
	r->rows += rel->rows;
	return 3 * r->bytes + ROW_BYTES * r->rows > r->conf->room ? put_run(r, e) : 0;
}

int rn_runs_end(struct rn_runs *r,
		int (*emit)(void *arg, const struct rn_rel *rel, struct rn_err *e), void *arg,
		struct rn_err *e)
{
	RN_TRY(put_run(r, e));
	return rn_ext_merge(r->x, &r->conf->order, r->piles, r->npiles, emit, arg, e);
}
