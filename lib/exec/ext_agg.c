/* SPDX-License-Identifier: Apache-2.0
 *
 * agg above --mem: the rows, numbered, go to partitions by the hash of what they are
 * grouped by; each partition is grouped in memory, and the groups of all are put into
 * order by the number of their first row.  What is one group, or a partition that no
 * hash divides, is added up in pieces (ext_accum.c).
 */
#include "ext_agg.h"

#include "../base/json.h"
#include "../expr/emb.h"
#include "../op/op_agg.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { ROW_BYTES = 48, COL_BYTES = 17 }; /* that grouping takes beside the rows, and an aggregate */

enum { MOST_TOLD = 64 };

struct agg {
	struct rn_ext *x;
	long keys; /* number of the input of --keys, or -1 */
	size_t *by, *keys_by, nby;
	/* Those of them by which rows may be divided: what a softmax normalises over stays
	 * together, too. */
	size_t *cut, *keys_cut, ncut;
	uint64_t row_bytes;
	char number[64]; /* name of the column that is added */
	struct rn_schema in, keys_in; /* with the numbers */
	struct rn_node node;          /* the operator, with a column of first numbers, or of counts */
	uint64_t rows, keys_rows, kept;
	struct rn_rel **blocks; /* before anything was written */
	size_t nblocks, blocks_cap;
	uint64_t bytes;
	struct rn_pile **out; /* groups with the number of their first row, in order */
	size_t nout, out_cap, parts;
	uint64_t told[MOST_TOLD]; /* hashes of the operator's warnings so far */
	size_t ntold;
};

/* ---- what may be divided ------------------------------------------------------------- */

static int cut_softmax(void *arg, size_t nby, const char *const *by, struct rn_err *e)
{
	struct agg *a = arg;
	size_t n = 0;

	if (!nby)
		return 0; /* over the rows of a group */
	for (size_t k = 0; k < a->ncut; k++) {
		bool found = false;

		for (size_t i = 0; i < nby; i++) {
			size_t at;

			RN_TRY(rn_schema_find(a->x->schema[0], by[i], &at, e));
			found = found || at == a->cut[k];
		}
		if (!found)
			continue;
		a->keys_cut[n] = a->keys_cut[k];
		a->cut[n++] = a->cut[k];
	}
	a->ncut = n;
	return 0;
}

/* The columns to divide by, and what a row takes. */
static int open_columns(struct agg *a, struct rn_err *e)
{
	const char *expr = rn_node_string(a->x->node, "expr");
	struct rn_einfo info;
	struct rn_eexpr *x;
	enum rn_agg how;
	int rc;

	RN_TRY(rn_agg_find_by(a->x->node, a->x->schema[0], a->keys >= 0 ? a->x->schema[a->keys] : NULL,
			      &a->by, &a->keys_by, &a->nby, e));
	RN_TRY(rn_calloc(a->nby, sizeof *a->cut, "columns", &a->cut, e));
	RN_TRY(rn_calloc(a->nby, sizeof *a->cut, "columns", &a->keys_cut, e));
	a->ncut = a->nby;
	if (a->nby) {
		memcpy(a->cut, a->by, a->nby * sizeof *a->cut);
		memcpy(a->keys_cut, a->keys_by, a->nby * sizeof *a->cut);
	}
	a->row_bytes = ROW_BYTES + COL_BYTES * json_object_size(rn_node_json(a->x->node, "cols"));
	if (!expr)
		return 0;
	RN_TRY(rn_eexpr_parse(expr, &x, e));
	how = rn_eexpr_take_agg(x);
	rc = rn_eexpr_infer(x, a->x->schema[0], &info, e);
	if (!rc) /* a maximum makes it dense */
		a->row_bytes += info.sparse && (how == RN_AGG_SUM || how == RN_AGG_MEAN) ?
					8 : 8 * (uint64_t)rn_shape_width(&info.shape);
	if (!rc)
		rc = rn_eexpr_softmaxes(x, cut_softmax, a, e);
	rn_eexpr_free(x);
	return rc;
}

/* What rows of so many bytes take with all that grouping them takes. */
static uint64_t needs(const struct agg *a, uint64_t bytes, uint64_t rows)
{
	return 2 * bytes + a->row_bytes * rows;
}

static uint64_t room(const struct agg *a)
{
	return rn_ext_mem(a->x->ctx) / 8 * 5;
}

static bool fits(const struct agg *a, uint64_t bytes, uint64_t rows)
{
	return needs(a, bytes, rows) <= room(a);
}

/* ---- a group that is too large ----------------------------------------------------------- */

/* The key that most rows of r have, for a message. */
static int print_largest(const struct agg *a, const struct rn_key *k, struct rn_str *s,
			 struct rn_err *e)
{
	struct rn_groups g = { 0 };
	const uint32_t *ptr;
	uint64_t best = 0;

	RN_TRY(rn_group(a->x->ctx, k, &g, e));
	ptr = g.ptr->data;
	for (uint64_t i = 1; i < g.n; i++)
		if (ptr[i + 1] - ptr[i] > ptr[best + 1] - ptr[best])
			best = i;
	rn_str_add(s, "the group of ");
	rn_key_print(k, ((const uint32_t *)g.first->data)[best], s);
	rn_groups_fini(&g);
	return rn_str_check(s, e);
}

static int key_text(const struct agg *a, const struct rn_rel *r, struct rn_str *s, struct rn_err *e)
{
	struct rn_column **cols = NULL;
	const char **names = NULL;
	int rc;

	if (!a->nby) {
		rn_str_add(s, "the only group");
		return rn_str_check(s, e);
	}
	RN_GOTO(out, rn_calloc(a->nby, sizeof(struct rn_column *), "a key", &cols, e));
	RN_GOTO(out, rn_calloc(a->nby, sizeof *names, "a key", &names, e));
	for (size_t i = 0; i < a->nby; i++) {
		cols[i] = r->cols[a->by[i]];
		names[i] = r->schema.cols[a->by[i]].name;
	}
	rc = print_largest(a, &(struct rn_key){ .n = a->nby, .cols = cols, .rows = r->rows, .names = names },
			   s, e);
out:
	free(cols);
	free(names);
	return rc;
}

static int check_accum(const struct agg *a, const struct rn_accum *acc, const struct rn_rel *first,
		       uint64_t rows, struct rn_err *e)
{
	struct rn_str key = RN_STR_INIT;
	int rc = key_text(a, first, &key, e);

	if (!rc)
		rc = rn_accum_check(acc, key.s, a->nby ? "some" : "at least", rows, e);
	rn_str_fini(&key);
	return rc ? rn_node_error(a->x->node, rc, e) : 0;
}

static int add_spool(struct rn_accum *acc, struct rn_spool *s, bool again, struct rn_err *e)
{
	struct rn_rel *b;

	for (size_t i = 0; i < rn_spool_blocks(s); i++) {
		RN_TRY(again ? rn_spool_get(s, i, &b, e) : rn_spool_take(s, i, &b, e));
		RN_TRY(rn_accum_add(acc, b, e));
	}
	return 0;
}

/* All of a spool; its groups are *out. */
static int accumulate(struct rn_accum *acc, struct rn_spool *s, struct rn_rel **out,
		      struct rn_column **first, struct rn_err *e)
{
	bool twice = rn_accum_twice(acc);

	RN_TRY(add_spool(acc, s, twice, e));
	if (twice) {
		RN_TRY(rn_accum_again(acc, e));
		RN_TRY(add_spool(acc, s, false, e));
	}
	return rn_accum_end(acc, out, first, e);
}

/* No --by: the rows pass once, or are kept where they are needed twice. */
static int one_group(struct agg *a, struct rn_err *e)
{
	struct rn_accum *acc = NULL;
	struct rn_pile *pile = NULL;
	struct rn_column *first = NULL;
	struct rn_spool *spool;
	struct rn_rel *b, *out = NULL;
	size_t done = 0;
	int rc;

	RN_GOTO(out, rn_accum_open(a->x, a->x->schema[0], NULL, 0, SIZE_MAX, &acc, e));
	RN_GOTO(out, check_accum(a, acc, a->blocks[0], a->rows, e));
	if (rn_accum_twice(acc))
		RN_GOTO(out, rn_pile_new(a->x, a->x->schema[0], &pile, e));
	for (;;) {
		if (done < a->nblocks) {
			b = a->blocks[done];
			a->blocks[done++] = NULL;
		} else {
			RN_GOTO(out, rn_ext_next(a->x, 0, &b, e));
		}
		if (!b)
			break;
		if (pile) {
			rc = rn_pile_add(pile, b, e);
			rn_rel_unref(b);
		} else {
			rc = rn_accum_add(acc, b, e);
		}
		if (rc)
			goto out;
	}
	if (pile) {
		RN_GOTO(out, rn_pile_end(pile, &spool, e));
		RN_GOTO(out, accumulate(acc, spool, &out, &first, e));
	} else {
		RN_GOTO(out, rn_accum_end(acc, &out, &first, e));
	}
	rc = a->x->emit(a->x->emit_arg, out, e);
out:
	rn_rel_unref(out);
	rn_column_unref(first);
	rn_accum_close(acc);
	rn_pile_free(pile);
	return rc;
}

/* ---- one partition ------------------------------------------------------------------------ */

static int put_out(struct agg *a, const struct rn_rel *r, struct rn_err *e)
{
	struct rn_spool *done;
	struct rn_pile *p;

	RN_TRY(rn_grow(&a->out, &a->out_cap, a->nout + 1, sizeof(struct rn_pile *), "groups", e));
	RN_TRY(rn_pile_new(a->x, &r->schema, &p, e));
	a->out[a->nout++] = p;
	RN_TRY(rn_pile_add(p, r, e));
	return rn_pile_end(p, &done, e);
}

/* The groups r with column `c` (taken) of numbers in place of the last column. */
static int put_numbered(struct agg *a, const struct rn_rel *r, bool replace, struct rn_column *c,
			struct rn_err *e)
{
	struct rn_rel *less, *more;
	int rc = replace ? rn_ext_drop_col(r, r->schema.ncols - 1, NULL, &less, e) : 0;

	if (rc) {
		rn_column_unref(c);
		return rc;
	}
	rc = rn_ext_add_col(replace ? less : r, a->number, c, &more, e);
	if (replace)
		rn_rel_unref(less);
	RN_TRY(rc);
	rc = put_out(a, more, e);
	rn_rel_unref(more);
	return rc;
}

/* The numbers of the first rows of the distinct keys of `keys`. */
static int key_numbers(struct agg *a, const struct rn_rel *keys, struct rn_column **out,
		       struct rn_err *e)
{
	struct rn_column **cols;
	struct rn_key k = { .n = a->nby, .rows = keys->rows };
	struct rn_groups g = { 0 };
	int rc;

	RN_TRY(rn_calloc(a->nby, sizeof(struct rn_column *), "columns", &cols, e));
	for (size_t i = 0; i < a->nby; i++)
		cols[i] = keys->cols[a->keys_by[i]];
	k.cols = cols;
	rc = rn_group(a->x->ctx, &k, &g, e);
	if (!rc)
		rc = rn_column_gather(keys->cols[keys->schema.ncols - 1], g.first->data, g.n, out, e);
	rn_groups_fini(&g);
	free(cols);
	return rc;
}

/* Partitions go through the operator one by one; what it warns of in each is said once. */
static void warn_once(void *arg, enum rn_log_level level, const char *msg)
{
	struct agg *a = arg;
	uint64_t h = XXH3_64bits(msg, strlen(msg));

	if (level != RN_LOG_WARN)
		return;
	for (size_t i = 0; i < a->ntold; i++)
		if (a->told[i] == h)
			return;
	if (a->ntold < MOST_TOLD)
		a->told[a->ntold++] = h;
	rn_log(a->x->ctx, level, "%s", msg);
}

static struct rn_ctx warning_once(struct agg *a)
{
	struct rn_ctx c = *a->x->ctx;

	c.log = warn_once;
	c.log_arg = a;
	return c;
}

static int group_keys(struct agg *a, const struct rn_rel *rows, struct rn_pile *keys, struct rn_err *e)
{
	struct rn_ctx quiet = warning_once(a); /* what is dropped is told at the end */
	struct rn_column *numbers, *count;
	struct rn_rel *all, *out = NULL;
	const struct rn_rel *in[2];
	struct rn_spool *s;
	int rc;

	quiet.strict = false;
	RN_TRY(rn_pile_end(keys, &s, e));
	RN_TRY(rn_spool_all(s, &all, e));
	in[0] = rows;
	in[1] = all;
	RN_GOTO(out, rn_eval_node(&quiet, a->x->backend, &a->node, in, a->x->params, &out, e));
	count = out->cols[out->schema.ncols - 1];
	for (uint64_t i = 0; i < out->rows; i++)
		a->kept += (uint64_t)count->i64[i];
	RN_GOTO(out, key_numbers(a, all, &numbers, e));
	rc = put_numbered(a, out, true, numbers, e);
out:
	rn_rel_unref(all);
	rn_rel_unref(out);
	return rc;
}

static int group_whole(struct agg *a, struct rn_spool *s, struct rn_pile *keys, struct rn_err *e)
{
	struct rn_ctx once = warning_once(a);
	struct rn_rel *rows, *out;
	const struct rn_rel *in[1];
	int rc;

	RN_TRY(rn_spool_all(s, &rows, e));
	in[0] = rows;
	if (keys) {
		rc = group_keys(a, rows, keys, e);
	} else {
		rc = rn_eval_node(&once, a->x->backend, &a->node, in, a->x->params, &out, e);
		if (!rc) {
			rc = put_out(a, out, e);
			rn_rel_unref(out);
		}
	}
	rn_rel_unref(rows);
	return rc;
}

/* The groups are those of the keys, and no others. */
static int take_keys(const struct agg *a, struct rn_accum *acc, struct rn_pile *keys,
		     struct rn_err *e)
{
	struct rn_spool *s;
	struct rn_rel *b;
	int rc;

	RN_TRY(rn_pile_end(keys, &s, e));
	for (size_t i = 0; i < rn_spool_blocks(s); i++) {
		RN_TRY(rn_spool_take(s, i, &b, e));
		rc = rn_accum_keys(acc, b, a->keys_by, a->keys_in.ncols - 1, e);
		rn_rel_unref(b);
		RN_TRY(rc);
	}
	return 0;
}

/* A partition that cannot be divided. */
static int group_pieces(struct agg *a, struct rn_spool *s, struct rn_pile *keys, struct rn_err *e)
{
	struct rn_accum *acc = NULL;
	struct rn_column *first = NULL;
	struct rn_rel *some = NULL, *out = NULL;
	int rc;

	RN_GOTO(out, rn_accum_open(a->x, &a->in, a->by, a->nby, a->in.ncols - 1, &acc, e));
	if (rn_spool_rows(s)) { /* else the keys alone are so many */
		RN_GOTO(out, rn_spool_get(s, 0, &some, e));
		RN_GOTO(out, check_accum(a, acc, some, rn_spool_rows(s), e));
	}
	if (keys)
		RN_GOTO(out, take_keys(a, acc, keys, e));
	RN_GOTO(out, accumulate(acc, s, &out, &first, e));
	a->kept += rn_accum_kept(acc);
	rc = put_numbered(a, out, false, first, e);
	first = NULL;
out:
	rn_rel_unref(some);
	rn_rel_unref(out);
	rn_column_unref(first);
	rn_accum_close(acc);
	return rc;
}

/* ---- partitions ---------------------------------------------------------------------------- */

/* What was divided: its rows, and the partitions that they came into. */
struct above {
	uint64_t rows;
	size_t parts;
};

static int group_pile(struct agg *a, struct rn_pile **pile, struct rn_pile **keys, unsigned level,
		      const struct above *above, struct rn_err *e);

static int split(struct agg *a, struct rn_pile **pile, bool is_keys, unsigned level,
		 struct rn_parts *p, struct rn_err *e)
{
	p->nkeys = a->ncut;
	p->keys = is_keys ? a->keys_cut : a->cut;
	p->level = level;
	return rn_parts_divide(a->x, is_keys ? &a->keys_in : &a->in, pile, p, e);
}

static int group_parts(struct agg *a, struct rn_parts *rows, struct rn_parts *keys, unsigned level,
		       uint64_t above, struct rn_err *e)
{
	for (size_t i = 0; i < rows->n; i++)
		RN_TRY(group_pile(a, &rows->piles[i], keys ? &keys->piles[i] : NULL, level,
				  &(struct above){ .rows = above, .parts = rows->n }, e));
	return 0;
}

static int group_again(struct agg *a, struct rn_pile **pile, struct rn_pile **keys, unsigned level,
		       uint64_t rows, size_t parts, struct rn_err *e)
{
	struct rn_parts p = { .n = parts }, k = { .n = parts };
	int rc = split(a, pile, false, level, &p, e);

	if (!rc && keys)
		rc = split(a, keys, true, level, &k, e);
	if (!rc)
		rc = group_parts(a, &p, keys ? &k : NULL, level + 1, rows, e);
	rn_parts_close(&p);
	rn_parts_close(&k);
	return rc;
}

/* Group and free a partition.  Where it got all rows of `above`, though the most partitions
 * were made, they have one key, or as good as. */
static int group_pile(struct agg *a, struct rn_pile **pile, struct rn_pile **keys, unsigned level,
		      const struct above *above, struct rn_err *e)
{
	struct rn_spool *s, *k = NULL;
	uint64_t bytes, rows;

	RN_TRY(rn_pile_end(*pile, &s, e));
	if (keys)
		RN_TRY(rn_pile_end(*keys, &k, e));
	rows = rn_spool_rows(s) + (k ? rn_spool_rows(k) : 0);
	bytes = rn_spool_bytes(s) + (k ? rn_spool_bytes(k) : 0);
	if (k ? rn_spool_rows(k) : rows) {
		a->parts++;
		if (fits(a, bytes, rows))
			RN_TRY(group_whole(a, s, keys ? *keys : NULL, e));
		else if (level == RN_EXT_LEVELS ||
			 (rows == above->rows && above->parts == RN_EXT_PARTS))
			RN_TRY(group_pieces(a, s, keys ? *keys : NULL, e));
		else
			RN_TRY(group_again(a, pile, keys, level, rows,
					   rows > above->rows / 4 * 3 ? RN_EXT_PARTS :
					   rn_parts_count(needs(a, bytes, rows), room(a)), e));
	}
	rn_pile_free(*pile);
	*pile = NULL;
	if (keys) {
		rn_pile_free(*keys);
		*keys = NULL;
	}
	return 0;
}

/* ---- the operator --------------------------------------------------------------------------- */

/* The operator with one more column, and the schemas of what it is given. */
static int open_parts(struct agg *a, struct rn_err *e)
{
	struct rn_str s = RN_STR_INIT;
	json_t *cols;
	int rc;

	/* A name that the result does not have either. */
	rn_ext_free_name(a->x->schema[0], a->keys >= 0 ? a->x->schema[a->keys] : NULL,
			 rn_node_json(a->x->node, "cols"), "row", a->number);
	RN_TRY(rn_schema_copy(a->x->schema[0], &a->in, e));
	RN_TRY(rn_schema_add_col(&a->in, a->number, NULL, RN_INT64, e));
	if (a->keys >= 0) {
		RN_TRY(rn_schema_copy(a->x->schema[a->keys], &a->keys_in, e));
		RN_TRY(rn_schema_add_col(&a->keys_in, a->number, NULL, RN_INT64, e));
	}
	a->node = *a->x->node;
	a->node.opt = NULL;
	RN_TRY(rn_json_copy(a->x->node->opt, &a->node.opt, e));
	cols = json_object_get(a->node.opt, "cols");
	if (!cols) {
		RN_TRY(rn_json_object(&cols, e));
		RN_TRY(rn_json_set(a->node.opt, "cols", cols, e));
	}
	rn_str_addf(&s, a->keys >= 0 ? "count(*)" : "min(`%s`)", a->number);
	rc = rn_str_check(&s, e);
	if (!rc)
		rc = rn_json_set_text(cols, a->number, s.s, e);
	rn_str_fini(&s);
	return rc;
}

static int add_numbered(struct agg *a, struct rn_parts *p, const struct rn_rel *b, uint64_t *rows,
			struct rn_err *e)
{
	struct rn_rel *r;
	int rc;

	RN_TRY(rn_ext_number(b, a->number, *rows, &r, e));
	*rows += b->rows;
	rc = rn_parts_add(p, r, e);
	rn_rel_unref(r);
	return rc;
}

/* All rows to partitions: those that were read already, then the others. */
static int divide_rows(struct agg *a, struct rn_parts *p, struct rn_err *e)
{
	struct rn_rel *b;
	int rc;

	a->rows = 0;
	for (size_t i = 0;; i++) {
		if (i < a->nblocks) {
			b = a->blocks[i];
			a->blocks[i] = NULL;
		} else {
			RN_TRY(rn_ext_next(a->x, 0, &b, e));
		}
		if (!b)
			return 0;
		rc = add_numbered(a, p, b, &a->rows, e);
		rn_rel_unref(b);
		RN_TRY(rc);
	}
}

/* The rows of r that show a key for the first time. */
static int distinct_keys(const struct agg *a, const struct rn_rel *r, struct rn_rel **out,
			 struct rn_err *e)
{
	struct rn_column **cols;
	struct rn_key k = { .n = a->nby, .rows = r->rows };
	struct rn_groups g = { 0 };
	int rc;

	RN_TRY(rn_calloc(a->nby, sizeof(struct rn_column *), "columns", &cols, e));
	for (size_t i = 0; i < a->nby; i++)
		cols[i] = r->cols[a->keys_by[i]];
	k.cols = cols;
	rc = rn_group(a->x->ctx, &k, &g, e);
	if (!rc)
		rc = rn_rel_gather(r, g.first->data, g.n, out, e);
	rn_groups_fini(&g);
	free(cols);
	return rc;
}

static int divide_keys(struct agg *a, struct rn_spool *s, struct rn_parts *p, struct rn_err *e)
{
	struct rn_rel *b, *r;
	int rc;

	for (size_t i = 0; i < rn_spool_blocks(s); i++) {
		RN_TRY(rn_spool_take(s, i, &b, e));
		rc = distinct_keys(a, b, &r, e);
		rn_rel_unref(b);
		RN_TRY(rc);
		rc = add_numbered(a, p, r, &a->keys_rows, e);
		rn_rel_unref(r);
		RN_TRY(rc);
	}
	return 0;
}

static int order_keys(void *arg, const struct rn_rel *block, struct rn_column **cols,
		      struct rn_err *e)
{
	(void)arg, (void)e;
	cols[0] = rn_column_ref(block->cols[block->schema.ncols - 1]);
	return 0;
}

static int strip(void *arg, const struct rn_rel *r, struct rn_err *e)
{
	struct agg *a = arg;
	struct rn_rel *less;
	int rc;

	RN_TRY(rn_ext_drop_col(r, r->schema.ncols - 1, NULL, &less, e));
	rc = a->x->emit(a->x->emit_arg, less, e);
	rn_rel_unref(less);
	return rc;
}

static int in_parts(struct agg *a, struct rn_spool *keys, struct rn_err *e)
{
	struct rn_merge m = { .keys = order_keys, .arg = a, .n = 1 };
	struct rn_parts p = { .n = RN_EXT_PARTS, .nkeys = a->ncut, .keys = a->cut };
	struct rn_parts k = { .n = RN_EXT_PARTS, .nkeys = a->ncut, .keys = a->keys_cut };
	char mem[RN_SIZE_TEXT];
	int rc;

	if (!a->ncut)
		return rn_err_set(e, RN_ENOMEM,
				  "a softmax over other columns than those of --by needs all rows at once, "
				  "and they do not fit into --mem %s: raise it",
				  rn_size_text(a->x->ctx->mem_limit, mem));
	RN_TRY(open_parts(a, e));
	RN_GOTO(out, rn_parts_open(a->x, &a->in, &p, e));
	RN_GOTO(out, divide_rows(a, &p, e));
	RN_GOTO(out, rn_parts_end(&p, e));
	if (keys) {
		RN_GOTO(out, rn_parts_open(a->x, &a->keys_in, &k, e));
		RN_GOTO(out, divide_keys(a, keys, &k, e));
		RN_GOTO(out, rn_parts_end(&k, e));
	}
	RN_GOTO(out, group_parts(a, &p, keys ? &k : NULL, 1, a->rows + a->keys_rows, e));
	rn_log(a->x->ctx, RN_LOG_INFO, "grouped in %zu partitions, %" PRIu64 " bytes of temporary data",
	       a->parts, rn_spill_bytes(a->x->file));
	RN_GOTO(out, rn_ext_merge(a->x, &m, a->out, a->nout, strip, a, e));
	if (keys)
		rc = rn_agg_report(a->x->ctx, a->x->node, a->rows - a->kept, e);
out:
	rn_parts_close(&p);
	rn_parts_close(&k);
	return rc;
}

static int in_memory(struct agg *a, struct rn_spool *keys, struct rn_err *e)
{
	struct rn_rel *in[2] = { NULL, NULL }, *out;
	size_t n = a->nblocks;
	int rc;

	a->nblocks = 0;
	RN_TRY(rn_ext_stack(a->x->schema[0], a->blocks, n, &in[0], e));
	rc = keys ? rn_spool_all(keys, &in[a->keys], e) : 0;
	if (!rc)
		rc = rn_eval_node(a->x->ctx, a->x->backend, a->x->node, (const struct rn_rel *const *)in,
				  a->x->params, &out, e);
	if (!rc) {
		rc = a->x->emit(a->x->emit_arg, out, e);
		rn_rel_unref(out);
	}
	rn_rel_unref(in[0]);
	rn_rel_unref(in[1]);
	return rc;
}

/* Read rows while they fit; *all: that were all. */
static int read_rows(struct agg *a, uint64_t bytes, uint64_t rows, bool *all, struct rn_err *e)
{
	struct rn_rel *b;
	int rc;

	*all = false;
	for (;;) {
		RN_TRY(rn_ext_next(a->x, 0, &b, e));
		*all = !b;
		if (!b)
			return 0;
		rc = rn_grow(&a->blocks, &a->blocks_cap, a->nblocks + 1, sizeof(struct rn_rel *),
			     "groups", e);
		if (rc) {
			rn_rel_unref(b);
			return rc;
		}
		a->blocks[a->nblocks++] = b;
		a->bytes += rn_rel_bytes(b);
		a->rows += b->rows;
		if (!fits(a, bytes + a->bytes, rows + a->rows))
			return 0;
	}
}

static int agg(struct agg *a, struct rn_err *e)
{
	struct rn_spool *keys = NULL;
	bool all;

	if (a->keys >= 0) {
		RN_TRY(rn_feed_spool(rn_feeds_get(a->x->feeds, (size_t)a->keys), &keys, e));
		a->x->rows_in += rn_spool_rows(keys);
	}
	RN_TRY(open_columns(a, e));
	rn_feed_set_pace(rn_feeds_get(a->x->feeds, 0));
	RN_TRY(read_rows(a, keys ? rn_spool_bytes(keys) : 0, keys ? rn_spool_rows(keys) : 0, &all, e));
	if (all && fits(a, a->bytes + (keys ? rn_spool_bytes(keys) : 0),
			a->rows + (keys ? rn_spool_rows(keys) : 0)))
		return in_memory(a, keys, e);
	return a->nby ? in_parts(a, keys, e) : one_group(a, e);
}

int rn_ext_agg(struct rn_ext *x, struct rn_err *e)
{
	struct agg a = { .x = x, .keys = rn_node_input(x->node, "keys") };
	int rc = agg(&a, e);

	for (size_t i = 0; i < a.nblocks; i++)
		rn_rel_unref(a.blocks[i]);
	for (size_t i = 0; i < a.nout; i++)
		rn_pile_free(a.out[i]);
	free(a.blocks);
	free(a.out);
	free(a.by);
	free(a.keys_by);
	free(a.cut);
	free(a.keys_cut);
	json_decref(a.node.opt);
	rn_schema_fini(&a.in);
	rn_schema_fini(&a.keys_in);
	return rc;
}
