/* SPDX-License-Identifier: Apache-2.0 */
#include "ext_head.h"

#include "../op/order.h"
#include "ext_runs.h"

#include <stdlib.h>
#include <string.h>

enum { ROW_BYTES = 60, GROUP_BYTES = 60 }; /* that choosing takes beside the rows; with groups */

struct rn_ext_head {
	struct rn_ext x;
	const struct rn_head_conf *conf;
	const struct rn_schema *schema;
	struct rn_head *head; /* NULL: not all fits */
	/* Rows that do not fit, with their numbers in the input: by group and what is chosen by;
	 * those that are chosen, as they go out (NULL: that is the same order). */
	size_t nby, *by;
	char number[64]; /* name of the column */
	uint64_t rows;   /* of the input so far */
	struct rn_runs_conf by_group, by_place;
	struct rn_runs *all, *chosen;
	bool *group_desc, *place_desc;
	struct rn_rel *last; /* the row before, and how many of its group are chosen */
	uint64_t of_group;
	int (*emit)(void *arg, const struct rn_rel *r, struct rn_err *e);
	void *arg;
};

/* ---- what decides ------------------------------------------------------------------------- */

static struct rn_column *number_column(const struct rn_rel *r)
{
	return r->cols[r->schema.ncols - 1];
}

/* The choice after the groups: cols has room for it. */
static int choice(const struct rn_ext_head *h, const struct rn_rel *r, struct rn_column **cols,
		  bool *desc, struct rn_err *e)
{
	if (h->conf->random)
		return rn_head_draws(h->conf->seed, (const uint64_t *)number_column(r)->i64, r->rows, cols, e);
	return rn_order_keys(h->conf->order, r, cols, desc, e);
}

static int group_keys(void *arg, const struct rn_rel *block, struct rn_column **cols,
		      struct rn_err *e)
{
	const struct rn_ext_head *h = arg;

	RN_TRY(choice(h, block, cols + h->nby, h->group_desc + h->nby, e));
	for (size_t i = 0; i < h->nby; i++)
		cols[i] = rn_column_ref(block->cols[h->by[i]]);
	return 0;
}

static int place_keys(void *arg, const struct rn_rel *block, struct rn_column **cols,
		      struct rn_err *e)
{
	const struct rn_ext_head *h = arg;

	RN_TRY(rn_order_keys(h->conf->order, block, cols, h->place_desc, e));
	cols[json_array_size(h->conf->order)] = rn_column_ref(number_column(block));
	return 0;
}

static bool same_group(const struct rn_ext_head *h, const struct rn_column *const *a, uint64_t i,
		       const struct rn_column *const *b, uint64_t j)
{
	for (size_t k = 0; k < h->nby; k++) {
		bool null = rn_column_is_null(a[k], i);

		if (null != rn_column_is_null(b[k], j) || (!null && rn_column_compare(a[k], i, b[k], j)))
			return false;
	}
	return true;
}

/* What is not among the first of its group in a run is not among the first of all. */
static int trim(void *arg, struct rn_column *const *cols, uint32_t *map, uint64_t *n,
		struct rn_err *e)
{
	const struct rn_column *const *c = (const struct rn_column *const *)cols;
	const struct rn_ext_head *h = arg;
	uint64_t kept = 0, of_group = 0;
	uint32_t last = 0;

	(void)e;
	for (uint64_t i = 0; i < *n; i++) {
		if (!i || !same_group(h, c, last, c, map[i]))
			of_group = 0;
		last = map[i];
		if (of_group++ < h->conf->rows)
			map[kept++] = last;
	}
	*n = kept;
	return 0;
}

/* ---- life ----------------------------------------------------------------------------------- */

static int open_orders(struct rn_ext_head *h, struct rn_err *e)
{
	size_t norder = json_array_size(h->conf->order), n = h->nby + norder + 1;
	uint64_t room = rn_ext_mem(h->x.ctx) / 2;

	RN_TRY(rn_calloc(n, sizeof *h->group_desc, "an order", &h->group_desc, e));
	RN_TRY(rn_calloc(n, sizeof *h->place_desc, "an order", &h->place_desc, e));
	h->by_group = (struct rn_runs_conf){
		.order = { .keys = group_keys, .arg = h, .desc = h->group_desc,
			   .n = h->nby + (h->conf->random ? 1 : norder) },
		.room = room, .trim = trim,
	};
	h->by_place = (struct rn_runs_conf){
		.order = { .keys = place_keys, .arg = h, .desc = h->place_desc, .n = norder + 1 },
		.room = room,
	};
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
	h->x.ctx = c;
	h->nby = json_array_size(conf->by);
	rn_ext_free_name(s, NULL, NULL, "row", h->number);
	RN_GOTO(fail, rn_spill_new(c, &h->x.file, e));
	RN_GOTO(fail, rn_head_new(c, conf, s, &h->head, e));
	RN_GOTO(fail, rn_calloc(h->nby, sizeof *h->by, "columns", &h->by, e));
	for (size_t i = 0; i < h->nby; i++)
		RN_GOTO(fail, rn_schema_find(s, json_string_value(json_array_get(conf->by, i)), &h->by[i],
					     e));
	RN_GOTO(fail, open_orders(h, e));
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
	rn_runs_close(h->all);
	rn_runs_close(h->chosen);
	rn_rel_unref(h->last);
	rn_spill_free(h->x.file);
	free(h->by);
	free(h->group_desc);
	free(h->place_desc);
	free(h);
}

void rn_ext_head_expect(struct rn_ext_head *h, uint64_t rows, uint64_t done, uint64_t total)
{
	rn_spill_expect_rows(h->x.file, rows, done, total);
}

uint64_t rn_ext_head_spilled(const struct rn_ext_head *h)
{
	return rn_spill_bytes(h->x.file);
}

/* ---- rows in -------------------------------------------------------------------------------- */

/* The rows as they lie, as one, and those of them that stay. */
static uint64_t needs(const struct rn_ext_head *h)
{
	uint64_t row = ROW_BYTES + (h->nby ? GROUP_BYTES : 0);

	return 3 * rn_head_bytes(h->head) + row * rn_head_rows(h->head);
}

/* Rows with these numbers. */
static int add_held(struct rn_ext_head *h, const struct rn_rel *r, const uint64_t *number,
		    struct rn_err *e)
{
	struct rn_column *c;
	struct rn_rel *numbered;
	int rc;

	RN_TRY(rn_column_new(RN_INT64, r->rows, &c, e));
	memcpy(c->i64, number, r->rows * sizeof *number);
	RN_TRY(rn_ext_add_col(r, h->number, c, &numbered, e));
	rc = rn_runs_add(h->all, numbered, e);
	rn_rel_unref(numbered);
	return rc;
}

static int go_out(struct rn_ext_head *h, struct rn_err *e)
{
	const uint64_t *number = rn_head_numbers(h->head);
	const struct rn_rel *r;

	RN_TRY(rn_runs_open(&h->x, &h->by_group, &h->all, e));
	for (size_t i = 0; (r = rn_head_held(h->head, i)); i++) {
		RN_TRY(add_held(h, r, number, e));
		number += r->rows;
	}
	rn_head_free(h->head);
	h->head = NULL;
	return 0;
}

static int add_out(struct rn_ext_head *h, const struct rn_rel *r, struct rn_err *e)
{
	struct rn_rel *numbered;
	int rc;

	RN_TRY(rn_ext_number(r, h->number, h->rows, &numbered, e));
	rc = rn_runs_add(h->all, numbered, e);
	rn_rel_unref(numbered);
	return rc;
}

int rn_ext_head_add(struct rn_ext_head *h, struct rn_rel *r, struct rn_err *e)
{
	uint64_t room = rn_ext_mem(h->x.ctx) / 8 * 5;

	RN_TRY(h->head ? rn_head_add(h->head, r, e) : add_out(h, r, e));
	h->rows += r->rows;
	if (!h->head || needs(h) <= room)
		return 0;
	RN_TRY(rn_head_drop(h->head, e));
	return needs(h) <= room / 2 ? 0 : go_out(h, e);
}

/* ---- rows out ------------------------------------------------------------------------------- */

/* Rows in the order in which they go out. */
static int give(void *arg, const struct rn_rel *r, struct rn_err *e)
{
	struct rn_ext_head *h = arg;
	struct rn_rel *plain;
	int rc;

	RN_TRY(rn_ext_drop_col(r, r->schema.ncols - 1, h->conf->order ? NULL : h->schema, &plain, e));
	rc = h->emit(h->arg, plain, e);
	rn_rel_unref(plain);
	return rc;
}

/* Of rows by group, map: those that are chosen; *n. */
static int choose(struct rn_ext_head *h, const struct rn_rel *r, uint32_t *map, uint64_t *n,
		  struct rn_err *e)
{
	const struct rn_column **cols, **last;

	RN_TRY(rn_calloc(2 * h->nby, sizeof *cols, "columns", &cols, e));
	last = cols + h->nby;
	for (size_t k = 0; k < h->nby; k++) {
		cols[k] = r->cols[h->by[k]];
		last[k] = h->last ? h->last->cols[h->by[k]] : NULL;
	}
	*n = 0;
	for (uint64_t i = 0; i < r->rows; i++) {
		if (i ? !same_group(h, cols, i - 1, cols, i) : h->last && !same_group(h, last, 0, cols, 0))
			h->of_group = 0;
		if (h->of_group++ < h->conf->rows)
			map[(*n)++] = (uint32_t)i;
	}
	free(cols);
	rn_rel_unref(h->last);
	h->last = NULL;
	return rn_rel_slice(r, r->rows - 1, 1, &h->last, e);
}

/* Rows of r alone, *out owned. */
static int take(const struct rn_rel *r, const uint32_t *map, uint64_t n, struct rn_rel **out,
		struct rn_err *e)
{
	struct rn_rel *view;
	int rc;

	RN_TRY(rn_rel_gather(r, map, n, &view, e));
	rc = rn_rel_flat(view, out, e);
	rn_rel_unref(view);
	return rc;
}

static int choose_block(void *arg, const struct rn_rel *r, struct rn_err *e)
{
	struct rn_ext_head *h = arg;
	struct rn_rel *some = NULL;
	uint32_t *map;
	uint64_t n;
	int rc;

	if (!r->rows)
		return 0;
	RN_TRY(rn_calloc(r->rows, sizeof *map, "a row map", &map, e));
	RN_GOTO(out, choose(h, r, map, &n, e));
	if (n && n < r->rows)
		RN_GOTO(out, take(r, map, n, &some, e));
	if (n)
		rc = h->chosen ? rn_runs_add(h->chosen, some ? some : r, e) : give(h, some ? some : r, e);
out:
	free(map);
	rn_rel_unref(some);
	return rc;
}

/* Rows were written, so that at least one is chosen. */
static int end_out(struct rn_ext_head *h, struct rn_err *e)
{
	if (h->nby || !h->conf->order)
		RN_TRY(rn_runs_open(&h->x, &h->by_place, &h->chosen, e));
	RN_TRY(rn_runs_end(h->all, choose_block, h, e));
	return h->chosen ? rn_runs_end(h->chosen, give, h, e) : 0;
}

int rn_ext_head_end(struct rn_ext_head *h,
		    int (*emit)(void *arg, const struct rn_rel *r, struct rn_err *e), void *arg,
		    struct rn_err *e)
{
	struct rn_rel *all;
	int rc;

	h->emit = emit;
	h->arg = arg;
	if (!h->head)
		return end_out(h, e);
	RN_TRY(rn_head_take(h->head, &all, e));
	rc = emit(arg, all, e);
	rn_rel_unref(all);
	return rc;
}
