/* SPDX-License-Identifier: Apache-2.0
 *
 * join: the later inputs are indexed in memory, and the left one streams past them.
 *
 * A piece of left rows whose output has too many row numbers is halved, down to 65,536
 * rows; what is then still above --mem is refused, with the key that makes it explode.
 */
#include "ext_join.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
	INDEX_BYTES = 72, /* a row of an index, at most (rn_hash_index_kept) */
	PIECE_BYTES = 16 << 20,
	PIECE_ROWS = 1 << 19,
	LEAST_PIECE = 65536, /* rows; smaller pieces are not halved */
	SLICE_BYTES = 32 << 20,
	SLICE_ROWS = 1 << 19,
};

uint64_t rn_probe_room(const struct rn_ctx *c)
{
	return rn_ext_mem(c) / 8 * 3;
}

uint64_t rn_probe_bytes(uint64_t bytes, uint64_t rows)
{
	return bytes + INDEX_BYTES * rows;
}

int rn_probe_chunk(const struct rn_ctx *c, const struct rn_schema *schema, struct rn_spool *right,
		   size_t *at, struct rn_rel **out, struct rn_err *e)
{
	struct rn_rel **blocks = NULL;
	size_t n = 0, cap = 0;
	uint64_t bytes = 0;
	int rc = 0;

	*out = NULL;
	while (*at < rn_spool_blocks(right) && (!n || bytes < rn_probe_room(c))) {
		RN_GOTO(fail, rn_grow(&blocks, &cap, n + 1, sizeof *blocks, "a join", e));
		RN_GOTO(fail, rn_spool_take(right, (*at)++, &blocks[n], e));
		bytes += rn_probe_bytes(rn_rel_bytes(blocks[n]), blocks[n]->rows);
		n++;
	}
	if (n)
		rc = rn_ext_stack(schema, blocks, n, out, e);
	n = 0;
fail:
	for (size_t i = 0; i < n; i++)
		rn_rel_unref(blocks[i]);
	free(blocks);
	return rc;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* ---- pieces ---------------------------------------------------------------------- */

/* What an output row takes, roughly. */
static uint64_t row_bytes(const struct rn_schema *s, bool expr)
{
	uint64_t n = 16;

	for (size_t i = 0; i < s->ncols; i++)
		n += s->cols[i].type == RN_STRING ? 32 : 9;
	for (size_t i = 0; i < s->nparts; i++)
		n += expr ? 12 * (uint64_t)rn_shape_width(&s->parts[i].shape) : 4;
	return n;
}

int rn_probe_open(struct rn_probe *p, struct rn_ext *x, const struct rn_node *node,
		  const struct rn_schema *const *schema, const struct rn_rel *const *in,
		  int (*emit)(void *arg, const struct rn_rel *r, struct rn_err *e), void *arg,
		  struct rn_err *e)
{
	uint64_t mem = rn_ext_mem(x->ctx), right = 0;
	struct rn_schema out = { 0 };

	*p = (struct rn_probe){ .x = x, .node = node, .emit = emit, .arg = arg };
	RN_TRY(rn_join_run_open(&p->run, x->ctx, node, schema, in, true, &p->st, e));
	RN_TRY(rn_node_infer(node, schema, &out, e));
	p->slice = least(mem / 32, SLICE_BYTES) / row_bytes(&out, rn_node_string(node, "expr")) + 1;
	p->slice = least(p->slice, SLICE_ROWS);
	rn_schema_fini(&out);
	p->piece = least(mem / 32, PIECE_BYTES);
	if (json_object_size(rn_node_json(node, "asof"))) {
		/* Each piece orders the right rows by time: let that be little of the work. */
		for (size_t i = 1; i < node->nin; i++)
			right += rn_rel_bytes(in[i]);
		p->piece += least(4 * right, mem / 8);
	}
	return 0;
}

void rn_probe_close(struct rn_probe *p)
{
	rn_join_run_close(&p->run);
	rn_join_state_fini(&p->st);
	for (size_t i = 0; i < p->nblocks; i++)
		rn_rel_unref(p->blocks[i]);
	free(p->blocks);
	*p = (struct rn_probe){ 0 };
}

/* Rows from … from + n - 1 of what the run has matched. */
static int put_slice(struct rn_probe *p, uint64_t from, uint64_t n, struct rn_err *e)
{
	struct rn_join_state part = { 0 };
	struct rn_rel *r = NULL;
	int rc;

	RN_GOTO(out, rn_join_run_content(&p->run, from, n, &part, &r, e));
	if (rn_node_string(p->node, "expr"))
		rc = rn_eval_parts(p->x->ctx, p->x->backend, p->node, &part, p->run.in, p->x->params, r, e);
	else
		rc = rn_join_run_views(&p->run, &part, r, e);
	if (rc)
		rn_node_error(p->node, rc, e);
	else
		rc = p->emit(p->arg, r, e);
out:
	part.schema = (struct rn_schema){ 0 }; /* it is p->st's */
	rn_join_state_fini(&part);
	rn_rel_unref(r);
	return rc;
}

static int put_matches(struct rn_probe *p, struct rn_err *e)
{
	for (uint64_t from = 0; from < p->run.rows; from += p->slice)
		RN_TRY(put_slice(p, from, least(p->slice, p->run.rows - from), e));
	return 0;
}

/* Join rows of the left input, in halves where they give too much at once. */
static int join_rows(struct rn_probe *p, const struct rn_rel *left, struct rn_err *e)
{
	struct rn_ctx c = *p->x->ctx;
	struct rn_rel *half;
	int rc;

	if (c.mem_limit && left->rows > LEAST_PIECE)
		c.mem_limit = c.mem_limit / 8 + 1;
	rc = rn_join_run_piece(&p->run, &c, left, e);
	if (!rc)
		return put_matches(p, e);
	if (rc == RN_ENOMEM && (!c.mem_limit || left->rows <= LEAST_PIECE)) {
		p->refused = true;
		return rc;
	}
	if (rc != RN_ENOMEM)
		return rn_node_error(p->node, rc, e);
	for (uint64_t from = 0, n = left->rows / 2; from < left->rows; from += n, n = left->rows - n) {
		RN_TRY(rn_rel_slice(left, from, n, &half, e));
		rc = join_rows(p, half, e);
		rn_rel_unref(half);
		RN_TRY(rc);
	}
	return 0;
}

/* Too many rows come of some of `left`: tell of all of it, and whether there are more. */
static int refuse(struct rn_probe *p, const struct rn_rel *left, struct rn_err *e)
{
	struct rn_ctx quiet = *p->x->ctx; /* what it has to tell was told */
	struct rn_err all = { 0 };

	quiet.log = NULL;
	if (e && left->rows > LEAST_PIECE && rn_join_run_piece(&p->run, &quiet, left, &all) == RN_ENOMEM)
		*e = all;
	if (p->part || !p->ended || left->rows < p->seen)
		rn_err_prefix(e, RN_ENOMEM, "a part of the rows alone is too much");
	return rn_node_error(p->node, RN_ENOMEM, e);
}

static int flush(struct rn_probe *p, struct rn_err *e)
{
	size_t n = p->nblocks;
	struct rn_rel *left;
	int rc;

	if (!n)
		return 0;
	p->nblocks = 0;
	p->bytes = p->rows = 0;
	RN_TRY(rn_ext_stack(p->run.schema[0], p->blocks, n, &left, e));
	rc = join_rows(p, left, e);
	if (p->refused)
		rc = refuse(p, left, e);
	rn_rel_unref(left);
	return rc;
}

int rn_probe_add(struct rn_probe *p, struct rn_rel *block, struct rn_err *e)
{
	int rc = rn_grow(&p->blocks, &p->cap, p->nblocks + 1, sizeof(struct rn_rel *), "a join", e);

	if (rc) {
		rn_rel_unref(block);
		return rc;
	}
	p->blocks[p->nblocks++] = block;
	p->bytes += rn_rel_bytes(block);
	p->rows += block->rows;
	p->seen += block->rows;
	return p->bytes >= p->piece || p->rows >= PIECE_ROWS ? flush(p, e) : 0;
}

int rn_probe_end(struct rn_probe *p, struct rn_err *e)
{
	struct rn_rel *none;
	int rc;

	p->ended = true;
	RN_TRY(flush(p, e));
	if (!p->run.met)
		return 0;
	RN_TRY(rn_rel_concat(p->run.schema[0], NULL, 0, &none, e));
	rc = rn_join_run_rest(&p->run, none, e);
	if (!rc)
		rc = put_matches(p, e);
	rn_rel_unref(none);
	return rc;
}

/* ---- the operator ------------------------------------------------------------------ */

static int stream(struct rn_ext *x, const struct rn_rel *const *in, struct rn_err *e)
{
	struct rn_probe p;
	struct rn_rel *b;
	int rc;

	RN_GOTO(out, rn_probe_open(&p, x, x->node, x->schema, in, x->emit, x->emit_arg, e));
	rn_feed_set_pace(rn_feeds_get(x->feeds, 0));
	for (;;) {
		RN_GOTO(out, rn_ext_next(x, 0, &b, e));
		if (!b)
			break;
		RN_GOTO(out, rn_probe_add(&p, b, e));
	}
	RN_GOTO(out, rn_probe_end(&p, e));
	rc = rn_join_run_report(&p.run, e);
	if (rc)
		rn_node_error(x->node, rc, e);
out:
	rn_probe_close(&p);
	return rc;
}

static int too_large(struct rn_ext *x, uint64_t bytes, struct rn_err *e)
{
	char mem[RN_SIZE_TEXT];

	return rn_err_set(e, RN_ENOMEM,
			  "the inputs after the first take %" PRIu64 " bytes with their indexes, and "
			  "--mem %s leaves %" PRIu64 " for them: join two inputs, and the result with the "
			  "next, or raise --mem", bytes, rn_size_text(x->ctx->mem_limit, mem),
			  rn_probe_room(x->ctx));
}

int rn_ext_join(struct rn_ext *x, struct rn_err *e)
{
	struct rn_spool **spools;
	struct rn_rel **in = NULL;
	uint64_t bytes = 0;
	int rc;

	RN_TRY(rn_calloc(x->nin, sizeof(struct rn_spool *), "inputs", &spools, e));
	RN_GOTO(out, rn_calloc(x->nin, sizeof *in, "inputs", &in, e));
	for (size_t i = 1; i < x->nin; i++) {
		RN_GOTO(out, rn_feed_spool(rn_feeds_get(x->feeds, i), &spools[i], e));
		bytes += rn_probe_bytes(rn_spool_bytes(spools[i]), rn_spool_rows(spools[i]));
		x->rows_in += rn_spool_rows(spools[i]);
	}
	if (bytes > rn_probe_room(x->ctx)) {
		rc = x->nin > 2 ? too_large(x, bytes, e) : rn_ext_grace(x, spools[1], e);
		goto out;
	}
	for (size_t i = 1; i < x->nin; i++)
		RN_GOTO(out, rn_spool_all(spools[i], &in[i], e));
	rc = stream(x, (const struct rn_rel *const *)in, e);
out:
	for (size_t i = 1; in && i < x->nin; i++)
		rn_rel_unref(in[i]);
	free(in);
	free(spools);
	return rc;
}
