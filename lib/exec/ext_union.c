/* SPDX-License-Identifier: Apache-2.0
 *
 * union: one input after the other, while the others spool.  And what no other file
 * knows how to do in pieces: with all inputs in memory.
 */
#include "../op/op_union.h"
#include "ext.h"

#include <inttypes.h>
#include <stdlib.h>

static int put_block(struct rn_ext *x, const struct rn_schema *out, size_t i,
		     const struct rn_rel *b, struct rn_err *e)
{
	struct rn_rel *r;
	int rc;

	RN_TRY(rn_union_block(x->node, x->schema, out, i, b, &r, e));
	rc = x->emit(x->emit_arg, r, e);
	rn_rel_unref(r);
	return rc;
}

int rn_ext_union(struct rn_ext *x, struct rn_err *e)
{
	struct rn_schema out = { 0 };
	struct rn_rel *b;
	int rc;

	RN_TRY(rn_node_infer(x->node, x->schema, &out, e));
	for (size_t i = 0; i < x->nin; i++) {
		rn_feed_set_pace(rn_feeds_get(x->feeds, i));
		for (;;) {
			RN_GOTO(out, rn_ext_next(x, i, &b, e));
			if (!b)
				break;
			rc = put_block(x, &out, i, b, e);
			rn_rel_unref(b);
			if (rc)
				goto out;
		}
	}
	rc = 0;
out:
	rn_schema_fini(&out);
	return rc;
}

/* ---- whole -------------------------------------------------------------------------- */

/* The inputs have come to so many bytes: do they fit? */
static int check_fits(const struct rn_ext *x, uint64_t bytes, struct rn_err *e)
{
	char mem[RN_SIZE_TEXT];
	int rc;

	if (bytes <= rn_ext_mem(x->ctx))
		return 0;
	rc = rn_err_set(e, RN_ENOMEM, "the input is needed as a whole, and its first %" PRIu64
			" rows take more than --mem %s: raise it", x->rows_in,
			rn_size_text(x->ctx->mem_limit, mem));
	return rn_node_error(x->node, rc, e);
}

/* All that is left of input i; *bytes: of all inputs so far. */
static int read_all(struct rn_ext *x, size_t i, uint64_t *bytes, struct rn_rel **out,
		    struct rn_err *e)
{
	struct rn_rel **blocks = NULL;
	size_t n = 0, cap = 0;
	int rc;

	for (;; n++) {
		RN_GOTO(fail, rn_grow(&blocks, &cap, n + 1, sizeof *blocks, "a relation", e));
		RN_GOTO(fail, rn_ext_next(x, i, &blocks[n], e));
		if (!blocks[n])
			break;
		*bytes += rn_rel_bytes(blocks[n]);
		rc = check_fits(x, *bytes, e);
		if (rc) {
			n++;
			goto fail;
		}
	}
	rc = rn_ext_stack(x->schema[i], blocks, n, out, e);
	n = 0;
fail:
	for (size_t k = 0; k < n; k++)
		rn_rel_unref(blocks[k]);
	free(blocks);
	return rc;
}

int rn_ext_whole(struct rn_ext *x, struct rn_err *e)
{
	struct rn_rel **in, *out;
	uint64_t bytes = 0;
	size_t n = 0;
	int rc;

	RN_TRY(rn_calloc(x->nin, sizeof *in, "inputs", &in, e));
	for (; n < x->nin; n++)
		RN_GOTO(out, read_all(x, n, &bytes, &in[n], e));
	RN_GOTO(out, rn_eval_node(x->ctx, x->backend, x->node, (const struct rn_rel *const *)in,
				  x->params, &out, e));
	rc = x->emit(x->emit_arg, out, e);
	rn_rel_unref(out);
out:
	for (size_t i = 0; i < n; i++)
		rn_rel_unref(in[i]);
	free(in);
	return rc;
}
