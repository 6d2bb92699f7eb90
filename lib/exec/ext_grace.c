/* SPDX-License-Identifier: Apache-2.0
 *
 * A join of two inputs of which the right one does not fit into memory.
 *
 * Both are cut into partitions by the hash of the key, their rows numbered; partitions
 * that are still too large are cut again, by other bits of the hash.  Partition by
 * partition the right rows are indexed and the left ones stream past them.  One key whose
 * right rows alone are too many is joined in chunks of them: the left rows pass once for
 * each chunk, and those that met none once more; but as of a time one pass will do
 * (ext_asof.c).  Each output is in the order of the row numbers, by which all are merged at
 * last.
 */
#include "ext_join.h"

#include "../base/json.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_BYTES = 9 }; /* that the number of a row takes */

struct grace {
	struct rn_ext *x;
	enum rn_join_kind kind;
	char lname[64], rname[64];     /* of the columns with the row numbers */
	struct rn_schema left, right;  /* with them */
	const struct rn_schema *schema[2];
	struct rn_join_keys keys;
	uint64_t nleft, nright;
	struct rn_join_count count[2]; /* [1] */
	struct rn_pile **out;          /* each in order */
	size_t nout, out_cap;
	size_t parts;                  /* that were joined */
};

/* ---- numbers ------------------------------------------------------------------------ */

static int number_schema(const struct rn_schema *s, const char *name, struct rn_schema *out,
			 struct rn_err *e)
{
	RN_TRY(rn_schema_copy(s, out, e));
	return rn_schema_add_col(out, name, NULL, RN_INT64, e);
}

static uint64_t count_nulls(const struct rn_rel *r, const size_t *cols, size_t n)
{
	uint64_t nulls = 0;

	for (uint64_t i = 0; i < r->rows; i++) {
		bool null = false;

		for (size_t k = 0; k < n; k++)
			null = null || rn_column_is_null(r->cols[cols[k]], i);
		nulls += null;
	}
	return nulls;
}

/* The output's columns that decide its order: the left row, then the right one. */
static int order_keys(void *arg, const struct rn_rel *block, struct rn_column **cols,
		      struct rn_err *e)
{
	const struct grace *g = arg;

	(void)e;
	cols[0] = rn_column_ref(block->cols[g->left.ncols - 1]);
	if (rn_join_pairs(g->kind))
		cols[1] = rn_column_ref(block->cols[block->schema.ncols - 1]);
	return 0;
}

static int strip(void *arg, const struct rn_rel *r, struct rn_err *e)
{
	struct grace *g = arg;
	struct rn_rel *a, *b;
	int rc;

	RN_TRY(rn_ext_drop_col(r, r->schema.ncols - 1, NULL, &a, e));
	if (rn_join_pairs(g->kind)) {
		rc = rn_ext_drop_col(a, g->left.ncols - 1, NULL, &b, e);
		rn_rel_unref(a);
		RN_TRY(rc);
		a = b;
	}
	rc = g->x->emit(g->x->emit_arg, a, e);
	rn_rel_unref(a);
	return rc;
}

/* ---- one partition --------------------------------------------------------------------- */

static int add_out(struct grace *g, struct rn_pile **out, const struct rn_schema *s,
		   struct rn_err *e)
{
	RN_TRY(rn_grow(&g->out, &g->out_cap, g->nout + 1, sizeof(struct rn_pile *), "a join", e));
	RN_TRY(rn_pile_new(g->x, s, out, e));
	g->out[g->nout++] = *out;
	return 0;
}

/* Where the rows of one join go. */
struct sink {
	struct grace *g;
	struct rn_pile *pile;      /* made with the first rows */
	bool keep;                 /* else only marks are wanted */
	uint8_t *left, *right;     /* by row number, a bit: it has a partner; NULL: not asked */
};

static void mark(uint8_t *bits, const struct rn_column *c)
{
	for (uint64_t i = 0; bits && i < c->rows; i++)
		if (!rn_column_is_null(c, i))
			bits[c->i64[i] / 8] |= (uint8_t)(1 << c->i64[i] % 8);
}

static bool marked(const uint8_t *bits, int64_t i)
{
	return bits[i / 8] >> i % 8 & 1;
}

static uint64_t count_bits(const uint8_t *bits, uint64_t bytes)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < bytes; i++)
		n += (uint64_t)__builtin_popcount(bits[i]);
	return n;
}

static int put(void *arg, const struct rn_rel *r, struct rn_err *e)
{
	struct sink *s = arg;

	mark(s->left, r->cols[s->g->left.ncols - 1]);
	mark(s->right, r->cols[r->schema.ncols - 1]);
	if (!s->keep)
		return 0;
	if (!s->pile)
		RN_TRY(add_out(s->g, &s->pile, &r->schema, e));
	return rn_pile_add(s->pile, r, e);
}

/* Left rows of a spool joined with `right`; what is counted is added to *count. */
static int probe(struct grace *g, const struct rn_node *node, struct rn_spool *left, bool again,
		 const struct rn_rel *right, struct sink *s, struct rn_join_count *count,
		 struct rn_err *e)
{
	const struct rn_rel *in[2] = { NULL, right };
	struct rn_spool *done;
	struct rn_probe p;
	struct rn_rel *b;
	int rc;

	RN_GOTO(out, rn_probe_open(&p, g->x, node, g->schema, in, put, s, e));
	p.part = true;
	for (size_t i = 0; left && i < rn_spool_blocks(left); i++) {
		RN_GOTO(out, again ? rn_spool_get(left, i, &b, e) : rn_spool_take(left, i, &b, e));
		RN_GOTO(out, rn_probe_add(&p, b, e));
	}
	RN_GOTO(out, rn_probe_end(&p, e));
	count->left_unmatched += p.run.count[1].left_unmatched;
	count->right_unmatched += p.run.count[1].right_unmatched;
	if (s->pile)
		rc = rn_pile_end(s->pile, &done, e);
out:
	rn_probe_close(&p);
	return rc;
}

/* The right rows are indexed whole. */
static int join_whole(struct grace *g, struct rn_pile *left, struct rn_pile *right, struct rn_err *e)
{
	struct sink s = { .g = g, .keep = true };
	struct rn_spool *l, *r;
	struct rn_rel *all;
	int rc;

	RN_TRY(rn_pile_end(left, &l, e));
	RN_TRY(rn_pile_end(right, &r, e));
	RN_TRY(rn_spool_all(r, &all, e));
	rc = probe(g, g->x->node, l, false, all, &s, &g->count[1], e);
	rn_rel_unref(all);
	return rc;
}

/* ---- a key whose rows do not fit ----------------------------------------------------------- */

/* The node with another --how. */
static int other_kind(const struct rn_node *n, const char *how, struct rn_node *out, struct rn_err *e)
{
	*out = *n;
	RN_TRY(rn_json_copy(n->opt, &out->opt, e));
	return rn_json_set_text(out->opt, "how", how, e);
}

/* The rows of r that are marked in column `col` (or not). */
static int select_rows(const struct rn_rel *r, size_t col, const uint8_t *bits, bool want,
		       struct rn_rel **out, struct rn_err *e)
{
	const int64_t *v = r->cols[col]->i64;
	uint32_t *map;
	uint64_t n = 0;
	int rc;

	RN_TRY(rn_calloc(r->rows, sizeof *map, "a row map", &map, e));
	for (uint64_t i = 0; i < r->rows; i++)
		if (marked(bits, v[i]) == want)
			map[n++] = (uint32_t)i;
	rc = rn_rel_gather(r, map, n, out, e);
	free(map);
	return rc;
}

/* The right rows of a chunk that no left row met. */
static int put_unmet(struct grace *g, const struct rn_rel *chunk, const uint8_t *bits,
		     struct rn_err *e)
{
	struct sink s = { .g = g, .keep = true };
	struct rn_rel *rest;
	int rc;

	RN_TRY(select_rows(chunk, g->right.ncols - 1, bits, false, &rest, e));
	rc = probe(g, g->x->node, NULL, false, rest, &s, &g->count[1], e);
	rn_rel_unref(rest);
	return rc;
}

/* The left rows that no chunk decided: alone, against no right rows. */
static int put_alone(struct grace *g, const struct rn_node *node, struct rn_spool *left,
		     const uint8_t *bits, bool want, struct rn_err *e)
{
	struct sink s = { .g = g, .keep = true };
	const struct rn_rel *in[2] = { NULL, NULL };
	struct rn_rel *none, *b, *some;
	struct rn_spool *done;
	struct rn_probe p = { 0 };
	int rc;

	RN_TRY(rn_rel_concat(&g->right, NULL, 0, &none, e));
	in[1] = none;
	RN_GOTO(out, rn_probe_open(&p, g->x, node, g->schema, in, put, &s, e));
	for (size_t i = 0; i < rn_spool_blocks(left); i++) {
		RN_GOTO(out, rn_spool_take(left, i, &b, e));
		rc = select_rows(b, g->left.ncols - 1, bits, want, &some, e);
		rn_rel_unref(b);
		if (rc)
			goto out;
		RN_GOTO(out, rn_probe_add(&p, some, e));
	}
	RN_GOTO(out, rn_probe_end(&p, e));
	if (s.pile)
		rc = rn_pile_end(s.pile, &done, e);
out:
	rn_probe_close(&p);
	rn_rel_unref(none);
	return rc;
}

/* ---- the chunks ------------------------------------------------------------------------------ */

static int join_chunk(struct grace *g, const struct rn_node *node, struct rn_spool *left,
		      const struct rn_rel *chunk, uint8_t *lbits, uint8_t *rbits, struct rn_err *e)
{
	struct sink s = { .g = g, .keep = rn_join_pairs(g->kind), .left = lbits, .right = rbits };
	struct rn_join_count unused = { 0 };

	RN_TRY(probe(g, node, left, true, chunk, &s, &unused, e));
	return g->kind == RN_JOIN_FULL ? put_unmet(g, chunk, rbits, e) : 0;
}

static int join_chunks(struct grace *g, struct rn_pile *left, struct rn_pile *right, struct rn_err *e)
{
	bool pairs = rn_join_pairs(g->kind);
	uint8_t *lbits = NULL, *rbits = NULL;
	struct rn_node inner = { 0 }, alone = { 0 };
	struct rn_spool *l, *r;
	struct rn_rel *chunk;
	size_t at = 0;
	int rc;

	RN_GOTO(out, other_kind(g->x->node, pairs ? "inner" : "semi", &inner, e));
	/* Against no right rows a left join keeps every left row, and an anti join, too. */
	RN_GOTO(out, other_kind(g->x->node, pairs ? "left" : "anti", &alone, e));
	RN_GOTO(out, rn_calloc(g->nleft / 8 + 1, 1, "a join", &lbits, e));
	if (g->kind == RN_JOIN_FULL)
		RN_GOTO(out, rn_calloc(g->nright / 8 + 1, 1, "a join", &rbits, e));
	RN_GOTO(out, rn_pile_end(left, &l, e));
	RN_GOTO(out, rn_pile_end(right, &r, e));
	for (;;) {
		RN_GOTO(out, rn_probe_chunk(g->x->ctx, &g->right, r, &at, &chunk, e));
		if (!chunk)
			break;
		rc = join_chunk(g, &inner, l, chunk, lbits, rbits, e);
		rn_rel_unref(chunk);
		if (rc)
			goto out;
	}
	g->count[1].left_unmatched += rn_spool_rows(l) - count_bits(lbits, g->nleft / 8 + 1);
	if (g->kind != RN_JOIN_INNER)
		rc = put_alone(g, &alone, l, lbits, g->kind == RN_JOIN_SEMI, e);
out:
	json_decref(inner.opt);
	json_decref(alone.opt);
	free(lbits);
	free(rbits);
	return rc;
}

static bool is_asof(const struct grace *g)
{
	return json_object_size(rn_node_json(g->x->node, "asof")) > 0;
}

/* Also where few of the rows have one key: dividing them again is faster only where --mem is a
 * hundredth of them. */
static int join_asof(struct grace *g, struct rn_pile **left, struct rn_pile **right,
		     struct rn_err *e)
{
	struct sink s = { .g = g, .keep = true };
	struct rn_spool *done;

	RN_TRY(rn_ext_asof(g->x, g->schema, &g->keys, left, right, put, &s,
			   &g->count[1].left_unmatched, e));
	return s.pile ? rn_pile_end(s.pile, &done, e) : 0;
}

/* ---- partitions ------------------------------------------------------------------------------ */

/* What was divided: its right rows, and the partitions that they came into. */
struct above {
	uint64_t rows;
	size_t parts;
};

static int join_pair(struct grace *g, struct rn_pile **left, struct rn_pile **right, unsigned level,
		     const struct above *above, struct rn_err *e);

/* All rows of a pile to partitions of the next level. */
static int split(struct grace *g, struct rn_pile **pile, const struct rn_schema *s,
		 const size_t *keys, unsigned level, struct rn_parts *p, struct rn_err *e)
{
	p->nkeys = g->keys.n;
	p->keys = keys;
	p->spread_nulls = true;
	p->level = level;
	return rn_parts_divide(g->x, s, pile, p, e);
}

static int join_parts(struct grace *g, struct rn_parts *l, struct rn_parts *r, unsigned level,
		      uint64_t above, struct rn_err *e)
{
	for (size_t i = 0; i < l->n; i++)
		RN_TRY(join_pair(g, &l->piles[i], &r->piles[i], level,
				 &(struct above){ .rows = above, .parts = l->n }, e));
	return 0;
}

/* Is it no use to divide a partition of `rows` again?  Where it got seven eighths of what
 * was divided into many, most of them have one key: chunks of them pass the left rows no
 * more often than dividing would. */
static bool stuck(const struct grace *g, unsigned level, uint64_t rows, const struct above *above)
{
	if (!g->keys.n || level == RN_EXT_LEVELS)
		return true;
	return above->parts == RN_EXT_PARTS && rows >= above->rows - above->rows / 8;
}

/* Join and free a partition of both sides. */
static int join_pair(struct grace *g, struct rn_pile **left, struct rn_pile **right, unsigned level,
		     const struct above *above, struct rn_err *e)
{
	struct rn_parts l = { 0 }, r = { 0 };
	uint64_t need;
	struct rn_spool *ls, *rs;
	uint64_t rows;
	int rc;

	RN_TRY(rn_pile_end(*left, &ls, e));
	RN_TRY(rn_pile_end(*right, &rs, e));
	rows = rn_spool_rows(rs);
	if (rn_spool_rows(ls) || (g->kind == RN_JOIN_FULL && rows)) {
		g->parts++;
		need = rn_probe_bytes(rn_spool_bytes(rs), rows);
		if (need <= rn_probe_room(g->x->ctx)) {
			RN_TRY(join_whole(g, *left, *right, e));
		} else if (is_asof(g)) {
			RN_TRY(join_asof(g, left, right, e));
		} else if (stuck(g, level, rows, above)) {
			RN_TRY(join_chunks(g, *left, *right, e));
		} else {
			l.n = r.n = rows > above->rows / 4 * 3 ? RN_EXT_PARTS :
				    rn_parts_count(need, rn_probe_room(g->x->ctx));
			rc = split(g, left, &g->left, g->keys.left, level, &l, e);
			if (!rc)
				rc = split(g, right, &g->right, g->keys.right, level, &r, e);
			if (!rc)
				rc = join_parts(g, &l, &r, level + 1, rows, e);
			rn_parts_close(&l);
			rn_parts_close(&r);
			RN_TRY(rc);
		}
	}
	rn_pile_free(*left);
	rn_pile_free(*right);
	*left = *right = NULL;
	return 0;
}

/* ---- the operator -------------------------------------------------------------------------- */

static int add_numbered(struct grace *g, struct rn_parts *p, struct rn_pile *all, bool right,
			const struct rn_rel *b, struct rn_err *e)
{
	uint64_t *rows = right ? &g->nright : &g->nleft;
	struct rn_rel *r;
	int rc;

	RN_TRY(rn_ext_number(b, right ? g->rname : g->lname, *rows, &r, e));
	*rows += b->rows;
	if (right)
		g->count[1].right_null += count_nulls(b, g->keys.right, g->keys.n);
	else
		g->count[1].left_null += count_nulls(b, g->keys.left, g->keys.n);
	rc = all ? rn_pile_add(all, r, e) : rn_parts_add(p, r, e);
	rn_rel_unref(r);
	return rc;
}

/* Both inputs into l and r; without keys onto a pile each. */
static int read_inputs(struct grace *g, struct rn_spool *right, struct rn_parts *l,
		       struct rn_parts *r, struct rn_pile *lpile, struct rn_pile *rpile,
		       struct rn_err *e)
{
	struct rn_rel *b;
	int rc;

	for (size_t i = 0; i < rn_spool_blocks(right); i++) {
		RN_TRY(rn_spool_take(right, i, &b, e));
		rc = add_numbered(g, r, rpile, true, b, e);
		rn_rel_unref(b);
		RN_TRY(rc);
	}
	rn_feed_set_pace(rn_feeds_get(g->x->feeds, 0));
	for (;;) {
		RN_TRY(rn_ext_next(g->x, 0, &b, e));
		if (!b)
			return 0;
		rc = add_numbered(g, l, lpile, false, b, e);
		rn_rel_unref(b);
		RN_TRY(rc);
	}
}

static int by_keys(struct grace *g, struct rn_spool *right, struct rn_err *e)
{
	struct rn_parts l = { .nkeys = g->keys.n, .keys = g->keys.left, .spread_nulls = true };
	struct rn_parts r = { .nkeys = g->keys.n, .keys = g->keys.right, .spread_nulls = true };
	uint64_t rows = rn_spool_rows(right), bytes = rn_spool_bytes(right) + NUMBER_BYTES * rows;
	int rc;

	l.n = r.n = rn_parts_count(rn_probe_bytes(bytes, rows), rn_probe_room(g->x->ctx));

	RN_GOTO(out, rn_parts_open(g->x, &g->left, &l, e));
	RN_GOTO(out, rn_parts_open(g->x, &g->right, &r, e));
	RN_GOTO(out, read_inputs(g, right, &l, &r, NULL, NULL, e));
	RN_GOTO(out, rn_parts_end(&l, e));
	RN_GOTO(out, rn_parts_end(&r, e));
	rc = join_parts(g, &l, &r, 1, g->nright, e);
out:
	rn_parts_close(&l);
	rn_parts_close(&r);
	return rc;
}

static int without_keys(struct grace *g, struct rn_spool *right, struct rn_err *e)
{
	struct rn_pile *l = NULL, *r = NULL;
	int rc;

	RN_GOTO(out, rn_pile_new(g->x, &g->left, &l, e));
	RN_GOTO(out, rn_pile_new(g->x, &g->right, &r, e));
	RN_GOTO(out, read_inputs(g, right, NULL, NULL, l, r, e));
	rc = join_pair(g, &l, &r, 0, &(struct above){ .rows = g->nright, .parts = 1 }, e);
out:
	rn_pile_free(l);
	rn_pile_free(r);
	return rc;
}

static int merge_out(struct grace *g, struct rn_err *e)
{
	struct rn_merge m = { .keys = order_keys, .arg = g, .n = rn_join_pairs(g->kind) ? 2 : 1,
			      .nulls_last = true };
	struct rn_join_run r = { .ctx = g->x->ctx, .n = g->x->node, .schema = g->x->schema,
				 .count = g->count };
	int rc;

	rn_log(g->x->ctx, RN_LOG_INFO, "joined in %zu partitions, %" PRIu64 " bytes of temporary data",
	       g->parts, rn_spill_bytes(g->x->file));
	RN_TRY(rn_ext_merge(g->x, &m, g->out, g->nout, strip, g, e));
	rc = rn_join_run_report(&r, e);
	return rc ? rn_node_error(g->x->node, rc, e) : 0;
}

int rn_ext_grace(struct rn_ext *x, struct rn_spool *right, struct rn_err *e)
{
	struct grace g = { .x = x, .kind = rn_join_kind_of(x->node) };
	struct rn_schema out = { 0 };
	int rc;

	rn_ext_free_name(x->schema[0], x->schema[1], NULL, "left row", g.lname);
	rn_ext_free_name(x->schema[0], x->schema[1], NULL, "right row", g.rname);
	RN_GOTO(out, number_schema(x->schema[0], g.lname, &g.left, e));
	RN_GOTO(out, number_schema(x->schema[1], g.rname, &g.right, e));
	g.schema[0] = &g.left;
	g.schema[1] = &g.right;
	RN_GOTO(out, rn_join_schema(x->node, g.schema, &g.keys, NULL, &out, e));
	rc = g.keys.n ? by_keys(&g, right, e) : without_keys(&g, right, e);
	if (!rc)
		rc = merge_out(&g, e);
out:
	for (size_t i = 0; i < g.nout; i++)
		rn_pile_free(g.out[i]);
	free(g.out);
	rn_schema_fini(&out);
	rn_schema_fini(&g.left);
	rn_schema_fini(&g.right);
	return rc;
}
