/* SPDX-License-Identifier: Apache-2.0
 *
 * Piles that are in order become one.  A tournament tree says which pile has the next
 * row; the first deciding column is compared as a word whose order is the value's (of a
 * string: its first eight bytes), and all columns only where words are equal.  Where
 * there are more piles than blocks fit into memory, neighbours are merged first.
 */
#include "ext.h"

#include <stdlib.h>
#include <string.h>

enum { OUT_ROWS = 65536, LEAST_FAN = 64, MOST_FAN = 512 };

/* A pile that is being read. */
struct cursor {
	struct rn_spool *spool;
	size_t next; /* block */
	struct rn_rel *block; /* NULL: at its end */
	struct rn_column **cols; /* the deciding columns of the block */
	uint64_t row, from;      /* of the block; where the rows begin that wait for output */
	uint32_t piece;          /* of those rows, RN_NO_ROW: none wait */
	uint64_t word;
	bool null;
};

struct merger {
	const struct rn_merge *m;
	size_t n;
	struct cursor *c;
	uint32_t *tree; /* losers; tree[0]: the winner */
	/* Rows that wait: row i is row at[i] of piece of[i]. */
	uint64_t waiting, most;
	uint32_t *of, *at;
	struct rn_rel **pieces;
	size_t npieces, cap;
	const struct rn_schema *schema;
	int (*emit)(void *arg, const struct rn_rel *r, struct rn_err *e);
	void *arg;
};

/* ---- cursors ---------------------------------------------------------------------- */

static uint64_t word_of(const struct rn_column *c, uint64_t i)
{
	uint64_t w = 0, n;
	double f;

	switch (c->type) {
	case RN_FLOAT64:
		f = c->f64[i] + 0.0;
		memcpy(&w, &f, 8);
		return w >> 63 ? ~w : w | (uint64_t)1 << 63;
	case RN_BOOL:
		return c->b[i];
	case RN_STRING:
		n = c->off[i + 1] - c->off[i];
		for (uint64_t k = 0; k < 8; k++)
			w = w << 8 | (k < n ? (unsigned char)c->bytes[c->off[i] + k] : 0);
		return w;
	default:
		return (uint64_t)c->i64[i] ^ (uint64_t)1 << 63;
	}
}

static void set_word(const struct merger *g, struct cursor *c)
{
	if (!g->m->n)
		return;
	c->null = rn_column_is_null(c->cols[0], c->row);
	c->word = c->null ? 0 : word_of(c->cols[0], c->row);
	if (g->m->desc && g->m->desc[0])
		c->word = ~c->word;
}

static void drop_block(const struct merger *g, struct cursor *c)
{
	for (size_t k = 0; c->block && k < g->m->n; k++)
		rn_column_unref(c->cols[k]);
	rn_rel_unref(c->block);
	c->block = NULL;
}

/* The rows of the block that wait become a piece of their own. */
static int close_piece(struct merger *g, struct cursor *c, struct rn_err *e)
{
	if (c->piece == RN_NO_ROW)
		return 0;
	RN_TRY(rn_rel_slice(c->block, c->from, c->row - c->from, &g->pieces[c->piece], e));
	c->piece = RN_NO_ROW;
	return 0;
}

static int next_block(struct merger *g, struct cursor *c, struct rn_err *e)
{
	int rc;

	drop_block(g, c);
	if (c->next == rn_spool_blocks(c->spool))
		return 0;
	RN_TRY(rn_spool_take(c->spool, c->next++, &c->block, e));
	rc = g->m->keys(g->m->arg, c->block, c->cols, e);
	if (rc) {
		rn_rel_unref(c->block);
		c->block = NULL;
		return rc;
	}
	c->row = 0;
	set_word(g, c);
	return 0;
}

/* ---- order -------------------------------------------------------------------------- */

static int compare_rows(const struct rn_merge *m, const struct cursor *a, const struct cursor *b)
{
	for (size_t k = 0; k < m->n; k++) {
		bool an = rn_column_is_null(a->cols[k], a->row), bn = rn_column_is_null(b->cols[k], b->row);
		int d = an || bn ? (m->nulls_last ? an - bn : bn - an) :
				   rn_column_compare(a->cols[k], a->row, b->cols[k], b->row);

		if (d)
			return m->desc && m->desc[k] ? -d : d;
	}
	return 0;
}

/* Does the row of cursor i come before that of cursor j? */
static bool before(const struct merger *g, uint32_t i, uint32_t j)
{
	const struct cursor *a = &g->c[i], *b = &g->c[j];
	int d;

	if (!a->block || !b->block)
		return a->block ? true : b->block ? false : i < j;
	if (g->m->n && !a->null && !b->null && a->word != b->word)
		return a->word < b->word;
	d = compare_rows(g->m, a, b);
	return d ? d < 0 : i < j;
}

static void replay(struct merger *g, uint32_t i)
{
	for (size_t t = (i + g->n) / 2; t > 0; t /= 2)
		if (before(g, g->tree[t], i)) {
			uint32_t loser = i;

			i = g->tree[t];
			g->tree[t] = loser;
		}
	g->tree[0] = i;
}

/* The tournament of all cursors. */
static int build(struct merger *g, struct rn_err *e)
{
	uint32_t *winner;

	RN_TRY(rn_calloc(2 * g->n, sizeof *winner, "a merge", &winner, e));
	for (size_t i = 0; i < g->n; i++)
		winner[g->n + i] = (uint32_t)i;
	for (size_t t = g->n - 1; t > 0; t--) {
		uint32_t a = winner[2 * t], b = winner[2 * t + 1];
		bool first = before(g, a, b);

		winner[t] = first ? a : b;
		g->tree[t] = first ? b : a;
	}
	g->tree[0] = winner[1];
	free(winner);
	return 0;
}

/* ---- output -------------------------------------------------------------------------- */

static int flush(struct merger *g, struct rn_err *e)
{
	struct rn_rel *all = NULL, *out;
	uint32_t *base = NULL;
	int rc;

	if (!g->waiting)
		return 0;
	for (size_t i = 0; i < g->n; i++)
		RN_TRY(close_piece(g, &g->c[i], e));
	RN_TRY(rn_calloc(g->npieces, sizeof *base, "a merge", &base, e));
	for (size_t i = 1; i < g->npieces; i++)
		base[i] = base[i - 1] + (uint32_t)g->pieces[i - 1]->rows;
	for (uint64_t i = 0; i < g->waiting; i++)
		g->at[i] += base[g->of[i]];
	free(base);
	rc = rn_ext_stack(g->schema, g->pieces, g->npieces, &all, e);
	g->npieces = 0;
	RN_TRY(rc);
	rc = rn_rel_gather(all, g->at, g->waiting, &out, e);
	g->waiting = 0;
	rn_rel_unref(all);
	RN_TRY(rc);
	rc = g->emit(g->arg, out, e);
	rn_rel_unref(out);
	return rc;
}

static int take_row(struct merger *g, struct cursor *c, struct rn_err *e)
{
	if (c->piece == RN_NO_ROW) {
		RN_TRY(rn_grow(&g->pieces, &g->cap, g->npieces + 1, sizeof(struct rn_rel *), "a merge", e));
		c->from = c->row;
		c->piece = (uint32_t)g->npieces;
		g->pieces[g->npieces++] = NULL;
	}
	g->of[g->waiting] = c->piece;
	g->at[g->waiting++] = (uint32_t)(c->row++ - c->from);
	if (c->row < c->block->rows) {
		set_word(g, c);
	} else {
		RN_TRY(close_piece(g, c, e));
		RN_TRY(next_block(g, c, e));
	}
	return g->waiting == g->most ? flush(g, e) : 0;
}

static int merge(struct merger *g, struct rn_err *e)
{
	for (size_t i = 0; i < g->n; i++) {
		g->c[i].piece = RN_NO_ROW;
		RN_TRY(rn_calloc(g->m->n, sizeof(struct rn_column *), "a merge", &g->c[i].cols, e));
		RN_TRY(next_block(g, &g->c[i], e));
	}
	RN_TRY(build(g, e));
	while (g->c[g->tree[0]].block) {
		uint32_t i = g->tree[0];

		RN_TRY(take_row(g, &g->c[i], e));
		replay(g, i);
	}
	return flush(g, e);
}

/* ---- one merge, and as many as it takes ------------------------------------------------- */

static int pass_through(struct rn_pile *p, int (*emit)(void *, const struct rn_rel *, struct rn_err *),
			void *arg, struct rn_err *e)
{
	struct rn_spool *s;

	RN_TRY(rn_pile_end(p, &s, e));
	for (size_t i = 0; i < rn_spool_blocks(s); i++) {
		struct rn_rel *b;
		int rc;

		RN_TRY(rn_spool_take(s, i, &b, e));
		rc = emit(arg, b, e);
		rn_rel_unref(b);
		RN_TRY(rc);
	}
	return 0;
}

/* Rows of an output block: as many as a block of temporary data has, of mean size. */
static uint64_t output_rows(struct rn_ext *x, const struct merger *g)
{
	uint64_t rows = 0, bytes = 0, most;

	for (size_t i = 0; i < g->n; i++) {
		rows += rn_spool_rows(g->c[i].spool);
		bytes += rn_spool_bytes(g->c[i].spool);
	}
	most = rows ? rn_ext_block(x->ctx) * 2 / (bytes / rows + 1) + 1 : 1;
	return most < OUT_ROWS ? most : OUT_ROWS;
}

static int merge_once(struct rn_ext *x, const struct rn_merge *m, struct rn_pile **piles, size_t n,
		      int (*emit)(void *, const struct rn_rel *, struct rn_err *), void *arg,
		      struct rn_err *e)
{
	struct merger g = { .m = m, .n = n, .emit = emit, .arg = arg };
	int rc;

	if (n == 1)
		return pass_through(piles[0], emit, arg, e);
	RN_GOTO(out, rn_calloc(n, sizeof *g.c, "a merge", &g.c, e));
	RN_GOTO(out, rn_calloc(n, sizeof *g.tree, "a merge", &g.tree, e));
	for (size_t i = 0; i < n; i++)
		RN_GOTO(out, rn_pile_end(piles[i], &g.c[i].spool, e));
	g.schema = rn_spool_schema(g.c[0].spool);
	g.most = output_rows(x, &g);
	RN_GOTO(out, rn_calloc(g.most, sizeof *g.of, "a merge", &g.of, e));
	RN_GOTO(out, rn_calloc(g.most, sizeof *g.at, "a merge", &g.at, e));
	rc = merge(&g, e);
out:
	for (size_t i = 0; g.c && i < n; i++) {
		drop_block(&g, &g.c[i]);
		free(g.c[i].cols);
	}
	for (size_t i = 0; i < g.npieces; i++)
		rn_rel_unref(g.pieces[i]);
	free(g.pieces);
	free(g.c);
	free(g.tree);
	free(g.of);
	free(g.at);
	return rc;
}

/* n neighbours become the first of them. */
static int merge_neighbours(struct rn_ext *x, const struct rn_merge *m, struct rn_pile **piles,
			    size_t n, struct rn_err *e)
{
	struct rn_pile *one;
	struct rn_spool *s;
	int rc;

	RN_TRY(rn_pile_end(piles[0], &s, e));
	RN_TRY(rn_pile_new(x, rn_spool_schema(s), &one, e));
	rc = merge_once(x, m, piles, n, rn_pile_emit, one, e);
	for (size_t i = 0; i < n; i++) {
		rn_pile_free(piles[i]);
		piles[i] = NULL;
	}
	piles[0] = one;
	return rc;
}

int rn_ext_merge(struct rn_ext *x, const struct rn_merge *m, struct rn_pile **piles, size_t n,
		 int (*emit)(void *arg, const struct rn_rel *r, struct rn_err *e), void *arg,
		 struct rn_err *e)
{
	uint64_t fan = rn_ext_mem(x->ctx) / 4 / (2 * rn_ext_block(x->ctx));
	int rc = 0;

	fan = fan < LEAST_FAN ? LEAST_FAN : fan > MOST_FAN ? MOST_FAN : fan;
	while (n > fan) {
		size_t made = 0;

		for (size_t from = 0, k; from < n; from += k) {
			k = n - from < fan ? n - from : (size_t)fan;
			if (k > 1)
				RN_TRY(merge_neighbours(x, m, piles + from, k, e));
			if (made != from) {
				piles[made] = piles[from];
				piles[from] = NULL;
			}
			made++;
		}
		n = made;
	}
	if (n)
		rc = merge_once(x, m, piles, n, emit, arg, e);
	for (size_t i = 0; i < n; i++) {
		rn_pile_free(piles[i]);
		piles[i] = NULL;
	}
	return rc;
}
