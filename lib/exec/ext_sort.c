/* SPDX-License-Identifier: Apache-2.0
 *
 * sort: what fits into --mem is put in order slice by slice, so that all rows are there
 * once.  Above that, pieces of the input that fit are sorted in memory and put on piles,
 * which are merged.
 */
#include "../op/order.h"
#include "ext.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
	ROW_BYTES = 40,  /* that sorting takes beside the rows: two items and a map */
	SLICE = 1 << 17, /* rows that are put in order at once */
};

struct sort {
	struct rn_ext *x;
	uint64_t done; /* rows of the pieces before */
	struct rn_rel **blocks; /* the piece so far */
	size_t nblocks, blocks_cap;
	uint64_t bytes, rows;
	struct rn_pile **piles;
	size_t npiles, piles_cap;
	bool *desc;
};

/* The piece in order; *out owned. */
static int sort_piece(struct sort *s, struct rn_rel **out, struct rn_err *e)
{
	struct rn_rel *all;
	const struct rn_rel *in[1];
	size_t n = s->nblocks;
	int rc;

	s->nblocks = 0;
	s->bytes = s->rows = 0;
	RN_TRY(rn_ext_stack(s->x->schema[0], s->blocks, n, &all, e));
	in[0] = all;
	rc = rn_eval_node(s->x->ctx, s->x->backend, s->x->node, in, NULL, out, e);
	/* An operator counts the rows that it is given: say where they begin. */
	if (rc == RN_EDATA && s->done)
		rn_err_prefix(e, rc, "counting rows from %" PRIu64, s->done);
	s->done += all->rows;
	rn_rel_unref(all);
	return rc;
}

static int put_piece(struct sort *s, struct rn_err *e)
{
	struct rn_spool *done;
	struct rn_pile *p;
	struct rn_rel *r;
	int rc;

	RN_TRY(rn_grow(&s->piles, &s->piles_cap, s->npiles + 1, sizeof(struct rn_pile *), "a sort", e));
	RN_TRY(sort_piece(s, &r, e));
	rc = rn_pile_new(s->x, &r->schema, &p, e);
	if (!rc) {
		s->piles[s->npiles++] = p;
		rc = rn_pile_add(p, r, e);
	}
	if (!rc) /* what waits for a whole block would hold all of r */
		rc = rn_pile_end(p, &done, e);
	rn_rel_unref(r);
	return rc;
}

static int keys(void *arg, const struct rn_rel *block, struct rn_column **cols, struct rn_err *e)
{
	struct sort *s = arg;

	return rn_order_keys(rn_node_json(s->x->node, "by"), block, cols, s->desc, e);
}

static int read_all(struct sort *s, struct rn_err *e)
{
	uint64_t most = rn_ext_mem(s->x->ctx) / 4 * 3;
	struct rn_rel *b;

	for (;;) {
		RN_TRY(rn_ext_next(s->x, 0, &b, e));
		if (!b)
			return 0;
		uint64_t bytes = rn_rel_bytes(b);

		/* The blocks, they as one, and that in order. */
		int rc = s->nblocks && 3 * (s->bytes + bytes) + ROW_BYTES * (s->rows + b->rows) > most ?
				 put_piece(s, e) : 0;

		if (!rc)
			rc = rn_grow(&s->blocks, &s->blocks_cap, s->nblocks + 1, sizeof(struct rn_rel *),
				     "a sort", e);
		if (rc) {
			rn_rel_unref(b);
			return rc;
		}
		s->blocks[s->nblocks++] = b;
		s->bytes += bytes;
		s->rows += b->rows;
	}
}

static int emit_slices(struct sort *s, const struct rn_rel *all, const uint32_t *map, struct rn_err *e)
{
	for (uint64_t from = 0, n; from < all->rows; from += n) {
		struct rn_rel *slice;
		int rc;

		n = all->rows - from < SLICE ? all->rows - from : SLICE;
		RN_TRY(rn_rel_gather_team(s->x->ctx->team, all, map + from, n, &slice, e));
		rc = s->x->emit(s->x->emit_arg, slice, e);
		rn_rel_unref(slice);
		RN_TRY(rc);
	}
	return 0;
}

/* The only piece. */
static int emit_piece(struct sort *s, struct rn_err *e)
{
	struct rn_rel *all;
	struct rn_buf *map;
	size_t n = s->nblocks;
	int rc;

	s->nblocks = 0;
	RN_TRY(rn_ext_stack(s->x->schema[0], s->blocks, n, &all, e));
	rc = rn_order_map(s->x->ctx->team, rn_node_json(s->x->node, "by"), all, &map, e);
	if (rc) {
		rn_node_error(s->x->node, rc, e);
	} else {
		rc = emit_slices(s, all, map->data, e);
		rn_buf_unref(map);
	}
	rn_rel_unref(all);
	return rc;
}

static int sort(struct sort *s, struct rn_err *e)
{
	const json_t *by = rn_node_json(s->x->node, "by");
	struct rn_merge m = { .keys = keys, .arg = s, .n = json_array_size(by) };

	RN_TRY(rn_calloc(m.n, sizeof *s->desc, "a sort", &s->desc, e));
	m.desc = s->desc;
	RN_TRY(read_all(s, e));
	if (!s->npiles)
		return emit_piece(s, e);
	if (s->nblocks)
		RN_TRY(put_piece(s, e));
	rn_log(s->x->ctx, RN_LOG_INFO, "sorted in %zu pieces, %" PRIu64 " bytes of temporary data",
	       s->npiles, rn_spill_bytes(s->x->file));
	return rn_ext_merge(s->x, &m, s->piles, s->npiles, s->x->emit, s->x->emit_arg, e);
}

int rn_ext_sort(struct rn_ext *x, struct rn_err *e)
{
	struct sort s = { .x = x };
	int rc;

	rc = sort(&s, e);
	for (size_t i = 0; i < s.nblocks; i++)
		rn_rel_unref(s.blocks[i]);
	for (size_t i = 0; i < s.npiles; i++)
		rn_pile_free(s.piles[i]);
	free(s.blocks);
	free(s.piles);
	free(s.desc);
	return rc;
}
