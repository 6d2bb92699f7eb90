/* SPDX-License-Identifier: Apache-2.0 */
#include "ext_head.h"

#include "../op/order.h"
#include "ext_runs.h"

#include <inttypes.h>
#include <stdlib.h>

enum { ROW_BYTES = 60, GROUP_BYTES = 60 }; /* that choosing takes beside the rows; with groups */

struct rn_ext_head {
	struct rn_ext x;
	const struct rn_head_conf *conf;
	const struct rn_schema *schema;
	struct rn_head *head;
	struct rn_runs_conf order;
	struct rn_runs *runs; /* NULL: all fits so far */
	bool *desc;
	uint64_t left; /* rows to give */
	int (*emit)(void *arg, const struct rn_rel *r, struct rn_err *e);
	void *arg;
};

static int keys(void *arg, const struct rn_rel *block, struct rn_column **cols, struct rn_err *e)
{
	struct rn_ext_head *h = arg;

	return rn_order_keys(h->conf->order, block, cols, h->desc, e);
}

static int trim(void *arg, struct rn_column *const *cols, uint32_t *map, uint64_t *n,
		struct rn_err *e)
{
	const struct rn_ext_head *h = arg;

	(void)cols, (void)map, (void)e;
	*n = *n < h->conf->rows ? *n : h->conf->rows;
	return 0;
}

int rn_ext_head_open(const struct rn_ctx *c, const struct rn_head_conf *conf,
		     const struct rn_schema *s, struct rn_ext_head **out, struct rn_err *e)
{
	struct rn_ext_head *h;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *h, "rows", &h, e));
	h->conf = conf;
	h->schema = s;
	h->left = conf->rows;
	h->x.ctx = c;
	h->order = (struct rn_runs_conf){ .order = { .keys = keys, .arg = h,
						     .n = json_array_size(conf->order) },
					  .room = rn_ext_mem(c) / 2, .trim = trim };
	RN_GOTO(fail, rn_calloc(h->order.order.n, sizeof *h->desc, "an order", &h->desc, e));
	h->order.order.desc = h->desc;
	RN_GOTO(fail, rn_spill_new(c, &h->x.file, e));
	RN_GOTO(fail, rn_head_new(c, conf, s, &h->head, e));
	*out = h;
	return 0;
fail:
	rn_ext_head_close(h);
	return rc;
}

void rn_ext_head_close(struct rn_ext_head *h)
{
	if (!h)
		return;
	rn_head_free(h->head);
	rn_runs_close(h->runs);
	rn_spill_free(h->x.file);
	free(h->desc);
	free(h);
}

uint64_t rn_ext_head_spilled(const struct rn_ext_head *h)
{
	return rn_spill_bytes(h->x.file);
}

/* The rows as they lie, as one, and those of them that stay. */
static uint64_t needs(const struct rn_ext_head *h)
{
	uint64_t row = ROW_BYTES + (json_array_size(h->conf->by) ? GROUP_BYTES : 0);

	return 3 * rn_head_bytes(h->head) + row * rn_head_rows(h->head);
}

static int go_out(struct rn_ext_head *h, struct rn_err *e)
{
	RN_TRY(rn_runs_open(&h->x, &h->order, &h->runs, e));
	for (size_t i = 0; rn_head_held(h->head, i); i++)
		RN_TRY(rn_runs_add(h->runs, rn_head_held(h->head, i), e));
	rn_head_free(h->head);
	h->head = NULL;
	return 0;
}

int rn_ext_head_add(struct rn_ext_head *h, struct rn_rel *r, struct rn_err *e)
{
	uint64_t room = rn_ext_mem(h->x.ctx) / 8 * 5;
	char mem[RN_SIZE_TEXT];

	if (h->runs)
		return rn_runs_add(h->runs, r, e);
	RN_TRY(rn_head_add(h->head, r, e));
	if (needs(h) <= room)
		return 0;
	RN_TRY(rn_head_drop(h->head, e));
	if (needs(h) <= room / 2)
		return 0;
	if (h->conf->order && !json_array_size(h->conf->by))
		return go_out(h, e);
	return rn_err_set(e, RN_ENOMEM, "%" PRIu64 " rows are to be kept so far, and they take more than "
			  "--mem %s leaves for them: raise it, or ask for fewer", rn_head_rows(h->head),
			  rn_size_text(h->x.ctx->mem_limit, mem));
}

static int emit_rows(struct rn_ext_head *h, struct rn_rel *r, struct rn_err *e)
{
	int rc;

	free(r->schema.key);
	r->schema.key = NULL;
	r->schema.nkey = 0;
	rc = h->emit(h->arg, r, e);
	rn_rel_unref(r);
	return rc;
}

static int give(void *arg, const struct rn_rel *r, struct rn_err *e)
{
	struct rn_ext_head *h = arg;
	struct rn_rel *some;

	if (!h->left)
		return 0;
	RN_TRY(rn_rel_slice(r, 0, r->rows < h->left ? r->rows : h->left, &some, e));
	h->left -= some->rows;
	return emit_rows(h, some, e);
}

int rn_ext_head_end(struct rn_ext_head *h,
		    int (*emit)(void *arg, const struct rn_rel *r, struct rn_err *e), void *arg,
		    struct rn_err *e)
{
	struct rn_rel *all;
	int rc;

	h->emit = emit;
	h->arg = arg;
	if (h->runs && h->left) {
		RN_TRY(rn_runs_end(h->runs, give, h, e));
		if (h->left < h->conf->rows)
			return 0;
	}
	if (h->runs) {
		RN_TRY(rn_rel_concat(h->schema, NULL, 0, &all, e));
		return emit_rows(h, all, e);
	}
	RN_TRY(rn_head_take(h->head, &all, e));
	rc = emit(arg, all, e);
	rn_rel_unref(all);
	return rc;
}
