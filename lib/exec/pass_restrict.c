/* SPDX-License-Identifier: Apache-2.0
 *
 * Restrict: keep only the rows that the roots depend on.
 *
 * One walk backward finds the set of rows that is needed of every value; equal
 * sets are one class.  A second walk, forward, rewrites the instructions:
 * index arrays are composed with the classes, constants are compacted, and
 * where a value has more rows than one of its readers wants, that reader gets
 * a gather.  Values keep their numbers.  Dropout draws keep the ordinals that
 * the rows had.  Values of one row (parameters) stay as they are, and so does what is long
 * and nearly all needed: then programs of other roots share constants and index arrays with
 * this one, and nothing is copied.  Every row that is left has the bits that it had.
 */
#include "pass_util.h"

#include "../rel/rel.h"

#include <stdlib.h>
#include <string.h>

/* A set of rows. */
struct class {
	uint32_t rows, n;
	uint64_t *bits;
	uint32_t *list; /* n: those rows, ascending */
	uint32_t *pos;  /* rows: where each is in the list */
};
#define ALL RN_NONE /* the class of all rows */

/* The terms of the segments of a class. */
struct terms {
	uint32_t ptr, cls;
	uint32_t out;  /* new bounds */
	uint32_t n;
	uint32_t *list; /* the old numbers of the terms; NULL: 0 … n-1 */
};

struct restr {
	struct rn_prog *p;
	struct rn_err *e;
	uint32_t nvals;   /* before any gather was added */
	uint64_t **need;  /* rows needed of each value; NULL: none, or all */
	bool *all, *touched;
	uint32_t *rows;   /* as they were */
	uint32_t *uses;
	uint32_t *cls;
	struct class *classes;
	size_t nclasses, cap_classes;
	struct terms *terms;
	size_t nterms, cap_terms;
	struct mapped {
		uint32_t idx, ptr, from, to, out;
	} *maps;
	size_t nmaps, cap_maps;
	struct aligned {
		uint32_t val, cls, out;
	} *aligned;
	size_t naligned, cap_aligned;
};

static size_t words(uint32_t rows)
{
	return ((size_t)rows + 63) / 64;
}

static bool has(const uint64_t *bits, uint32_t r)
{
	return bits[r / 64] >> r % 64 & 1;
}

/* ---- what is needed ----------------------------------------------------------------- */

static void need_all(struct restr *q, uint32_t v)
{
	q->touched[v] = q->all[v] = true;
}

/* Make sure that v has a set; one row is all rows. */
static int touch(struct restr *q, uint32_t v)
{
	q->touched[v] = true;
	if (q->rows[v] == 1)
		q->all[v] = true;
	if (q->all[v] || q->need[v])
		return 0;
	return rn_calloc(words(q->rows[v]), sizeof **q->need, "a set of rows", &q->need[v], q->e);
}

static void need_row(struct restr *q, uint32_t v, uint32_t r)
{
	if (!q->all[v] && r != RN_NO_ROW)
		q->need[v][r / 64] |= 1ull << r % 64;
}

/* The rows of v that are needed of o. */
static int need_same(struct restr *q, uint32_t v, uint32_t o)
{
	RN_TRY(touch(q, v));
	if (q->all[o])
		q->all[v] = true;
	for (size_t w = 0; !q->all[v] && w < words(q->rows[v]); w++)
		q->need[v][w] |= q->need[o][w];
	return 0;
}

static bool needed(const struct restr *q, uint32_t v, uint32_t r)
{
	return q->all[v] || has(q->need[v], r);
}

/* Of v the rows idx[r] (RN_NONE: r) for each needed row r of o. */
static int need_mapped(struct restr *q, uint32_t v, uint32_t idx, uint32_t o)
{
	const uint32_t *x = rn_prog_idx_data(q->p, idx);

	RN_TRY(touch(q, v));
	for (uint32_t r = 0; r < q->rows[o]; r++)
		if (needed(q, o, r))
			need_row(q, v, x ? x[r] : r);
	return 0;
}

/* Of v the rows idx[k] (RN_NONE: k) for the terms k of each needed segment of o. */
static int need_terms(struct restr *q, uint32_t v, uint32_t ptr, uint32_t idx, uint32_t o)
{
	const uint32_t *x = rn_prog_idx_data(q->p, idx), *b = rn_prog_idx_data(q->p, ptr);

	RN_TRY(touch(q, v));
	for (uint32_t s = 0; s < q->rows[o]; s++)
		if (needed(q, o, s))
			for (uint32_t k = b[s]; k < b[s + 1]; k++)
				need_row(q, v, x ? x[k] : k);
	return 0;
}

/* Of x the rows that hold a needed stored value. */
static int need_holders(struct restr *q, uint32_t x, uint32_t ptr, uint32_t o)
{
	const uint32_t *b = rn_prog_idx_data(q->p, ptr);

	RN_TRY(touch(q, x));
	for (uint32_t r = 0; r < q->rows[x]; r++)
		for (uint32_t k = b[r]; k < b[r + 1]; k++)
			if (needed(q, o, k))
				need_row(q, x, r);
	return 0;
}

/* A picked row is a number of x's rows, which stay in step with the SEGARG's. */
static int need_picked(struct restr *q, const struct rn_inst *i)
{
	uint32_t x = i->in[0].val, arg = i->in[1].val;
	const struct rn_val *a = &q->p->vals[arg];
	const struct rn_inst *m = a->kind == RN_V_INST ? &q->p->insts[a->inst] : NULL;

	if (!m || m->op != RN_P_SEGARG || m->in[0].val != x || q->uses[arg] > 1) {
		need_all(q, x);
		need_all(q, arg);
		need_all(q, i->out);
		if (m)
			need_all(q, m->in[0].val);
		return 0;
	}
	RN_TRY(touch(q, x));
	return need_same(q, arg, i->out);
}

/* Of each input the needed rows among those that it gives. */
static int need_stacked(struct restr *q, const struct rn_inst *i)
{
	uint32_t from = 0;

	for (uint32_t k = 0; k < i->nin; k++) {
		uint32_t v = i->in[k].val;

		RN_TRY(touch(q, v));
		for (uint32_t r = 0; r < q->rows[v]; r++)
			if (needed(q, i->out, from + r))
				need_row(q, v, r);
		from += q->rows[v];
	}
	return 0;
}

static int need_of(struct restr *q, const struct rn_inst *i)
{
	uint32_t a = i->nin ? i->in[0].val : RN_NONE, o = i->out;

	switch (i->op) {
	case RN_P_GATHER:
		return need_mapped(q, a, i->idx[0], o);
	case RN_P_SPMM:
		if (i->in[1].val != RN_NONE)
			RN_TRY(need_terms(q, i->in[1].val, i->idx[0], i->idx[2], o));
		return need_terms(q, a, i->idx[0], i->idx[1], o);
	case RN_P_SDDMM:
		RN_TRY(need_mapped(q, a, i->idx[0], o));
		return need_mapped(q, i->in[1].val, i->idx[1], o);
	case RN_P_SEGARG:
		return need_terms(q, a, i->idx[0], i->idx[1], o);
	case RN_P_PICK:
		return need_picked(q, i);
	case RN_P_DENSIFY:
		return need_terms(q, a, i->idx[0], RN_NONE, o);
	case RN_P_ATCSR:
		return need_holders(q, a, i->idx[0], o);
	case RN_P_STACK:
		return need_stacked(q, i);
	case RN_P_EW:
	case RN_P_GEMM:
	case RN_P_MATMUL:
	case RN_P_FSUM:
	case RN_P_FMAX:
	case RN_P_ARGMAX:
	case RN_P_CONCAT:
	case RN_P_CE:
		for (uint32_t k = 0; k < i->nin; k++)
			if (i->in[k].val != RN_NONE)
				RN_TRY(q->rows[i->in[k].val] == q->rows[o]
					       ? need_same(q, i->in[k].val, o)
					       : touch(q, i->in[k].val));
		return 0;
	case RN_P_GGEMM:
		RN_TRY(need_same(q, a, o));
		need_all(q, i->in[1].val);
		return 0;
	case RN_P_VIEW:
		if (q->rows[a] == q->rows[o])
			return need_same(q, a, o);
		break;
	default:
		break;
	}
	/* Everything of everything. */
	for (uint32_t k = 0; k < i->nin; k++)
		if (i->in[k].val != RN_NONE)
			need_all(q, i->in[k].val);
	need_all(q, o);
	return 0;
}

/* Not worth leaving rows out of: so many, and at most one of so many is not needed. */
enum { LONG_ROWS = 1 << 15, SPARED = 64 };

static void keep_whole(struct restr *q, uint32_t v)
{
	uint32_t n = 0;

	if (!q->touched[v] || q->all[v] || q->rows[v] < LONG_ROWS)
		return;
	for (size_t w = 0; w < words(q->rows[v]); w++)
		n += (uint32_t)__builtin_popcountll(q->need[v][w]);
	if (q->rows[v] - n <= q->rows[v] / SPARED)
		q->all[v] = true;
}

static int find_needs(struct restr *q, const uint32_t *roots, size_t n)
{
	struct rn_prog *p = q->p;

	for (uint32_t v = 0; v < p->nvals; v++) {
		q->rows[v] = p->vals[v].rows;
		q->cls[v] = ALL;
		if (p->vals[v].keep || p->vals[v].kind == RN_V_PARAM ||
		    p->vals[v].kind == RN_V_STATE)
			need_all(q, v);
	}
	for (size_t k = 0; k < n; k++)
		need_all(q, roots[k]);
	for (uint32_t j = p->ninsts; j-- > 0;) {
		if (!rn_pass_present(p, j) ||
		    (!q->touched[p->insts[j].out] && !rn_pass_is_step(&p->insts[j])))
			continue;
		keep_whole(q, p->insts[j].out);
		RN_TRY(need_of(q, &p->insts[j]));
	}
	for (uint32_t v = 0; v < p->nvals; v++)
		if (p->vals[v].kind == RN_V_CONST)
			keep_whole(q, v);
	return 0;
}

/* ---- classes ------------------------------------------------------------------------ */

/* The class of a set of rows (taken: freed, or kept in the class). */
static int classify(struct restr *q, uint64_t *bits, uint32_t rows, uint32_t *out)
{
	struct class c = { .rows = rows, .bits = bits };
	uint32_t at = 0;
	int rc;

	for (size_t w = 0; w < words(rows); w++)
		c.n += (uint32_t)__builtin_popcountll(bits[w]);
	*out = ALL;
	if (c.n == rows) {
		free(bits);
		return 0;
	}
	for (size_t k = 0; k < q->nclasses; k++)
		if (q->classes[k].rows == rows && q->classes[k].n == c.n &&
		    !memcmp(q->classes[k].bits, bits, words(rows) * sizeof *bits)) {
			free(bits);
			*out = (uint32_t)k;
			return 0;
		}
	rc = rn_grow(&q->classes, &q->cap_classes, q->nclasses + 1, sizeof c, "sets of rows", q->e);
	if (!rc)
		rc = rn_calloc(c.n, sizeof *c.list, "a set of rows", &c.list, q->e);
	if (!rc)
		rc = rn_calloc(rows, sizeof *c.pos, "a set of rows", &c.pos, q->e);
	if (rc) {
		free(c.list);
		free(bits);
		return rc;
	}
	for (uint32_t r = 0; r < rows; r++) {
		c.pos[r] = at;
		if (has(bits, r))
			c.list[at++] = r;
	}
	*out = (uint32_t)q->nclasses;
	q->classes[q->nclasses++] = c;
	return 0;
}

/* The kept rows of a constant. */
static int compact(struct restr *q, struct rn_val *v, const struct class *c)
{
	size_t size = (size_t)v->width * sizeof(float);
	struct rn_buf *b;

	RN_TRY(rn_buf_new(c->n * size, "a compacted constant", &b, q->e));
	for (uint32_t k = 0; k < c->n; k++)
		memcpy((char *)b->data + k * size, (char *)v->data->data + c->list[k] * size, size);
	rn_buf_unref(v->data);
	v->data = b;
	return 0;
}

static int classify_values(struct restr *q)
{
	for (uint32_t v = 0; v < q->nvals; v++) {
		struct rn_val *x = &q->p->vals[v];
		uint64_t *bits = q->need[v];

		if (!q->touched[v] || q->all[v])
			continue;
		q->need[v] = NULL;
		RN_TRY(classify(q, bits, q->rows[v], &q->cls[v]));
		if (q->cls[v] == ALL)
			continue;
		if (x->kind == RN_V_CONST)
			RN_TRY(compact(q, x, &q->classes[q->cls[v]]));
		x->rows = q->classes[q->cls[v]].n;
	}
	return 0;
}

/* ---- index arrays ------------------------------------------------------------------- */

static int find_map(const struct restr *q, uint32_t idx, uint32_t ptr, uint32_t from, uint32_t to,
		    uint32_t *out)
{
	for (size_t k = 0; k < q->nmaps; k++)
		if (q->maps[k].idx == idx && q->maps[k].ptr == ptr && q->maps[k].from == from &&
		    q->maps[k].to == to) {
			*out = q->maps[k].out;
			return 1;
		}
	return 0;
}

/* Write down a new index array and what it stands for; the identity is RN_NONE
 * where `plain` allows.  Takes x. */
static int keep_map(struct restr *q, struct mapped m, struct rn_buf *b, uint32_t n, bool plain,
		    uint32_t *out)
{
	const uint32_t *x = b->data;
	uint32_t k = 0;
	int rc = rn_grow(&q->maps, &q->cap_maps, q->nmaps + 1, sizeof m, "index arrays", q->e);

	while (k < n && x[k] == k)
		k++;
	*out = RN_NONE;
	if (!rc && plain && k == n) {
		rn_buf_unref(b);
	} else if (!rc) {
		*out = rn_prog_idx(q->p, b, n, q->e);
		rc = *out == RN_NONE ? q->e->code : 0;
	} else {
		rn_buf_unref(b);
	}
	if (rc)
		return rc;
	m.out = *out;
	q->maps[q->nmaps++] = m;
	return 0;
}

static uint32_t position(const struct restr *q, uint32_t cls, uint32_t r)
{
	return r == RN_NO_ROW || cls == ALL ? r : q->classes[cls].pos[r];
}

/* idx (RN_NONE: the identity) over the rows of class `from`, into class `to`.
 * `plain`: the identity may be RN_NONE, where as many rows are read as there are. */
static int remap(struct restr *q, uint32_t idx, uint32_t n, uint32_t from, uint32_t to, bool plain,
		 uint32_t *out)
{
	struct mapped m = { idx, RN_NONE, from, to, RN_NONE };
	const uint32_t *x;
	struct rn_buf *b;

	*out = idx;
	if ((from == ALL && to == ALL) || (idx == RN_NONE && from == to && plain) ||
	    find_map(q, idx, RN_NONE, from, to, out))
		return 0;
	x = rn_prog_idx_data(q->p, idx);
	n = from == ALL ? n : q->classes[from].n;
	RN_TRY(rn_buf_new((size_t)n * sizeof *x, "an index array", &b, q->e));
	for (uint32_t k = 0; k < n; k++) {
		uint32_t r = from == ALL ? k : q->classes[from].list[k];

		((uint32_t *)b->data)[k] = position(q, to, x ? x[r] : r);
	}
	return keep_map(q, m, b, n, false, out);
}

/* The terms of the segments of a class, and their new bounds. */
static int segment_terms(struct restr *q, uint32_t ptr, uint32_t cls, const struct terms **out)
{
	const uint32_t *b = rn_prog_idx_data(q->p, ptr);
	struct terms t = { .ptr = ptr, .cls = cls, .out = ptr };
	const struct class *c;
	struct rn_buf *buf;
	uint32_t *x;
	int rc;

	for (size_t k = 0; k < q->nterms; k++)
		if (q->terms[k].ptr == ptr && q->terms[k].cls == cls) {
			*out = &q->terms[k];
			return 0;
		}
	RN_TRY(rn_grow(&q->terms, &q->cap_terms, q->nterms + 1, sizeof t, "segments", q->e));
	t.n = b[q->p->idx[ptr].n - 1];
	if (cls != ALL) {
		c = &q->classes[cls];
		RN_TRY(rn_calloc(t.n, sizeof *t.list, "segments", &t.list, q->e));
		rc = rn_buf_new(((size_t)c->n + 1) * sizeof *x, "segments", &buf, q->e);
		if (rc) {
			free(t.list);
			return rc;
		}
		x = buf->data;
		t.n = 0;
		for (uint32_t s = 0; s < c->n; s++) {
			for (uint32_t k = b[c->list[s]]; k < b[c->list[s] + 1]; k++)
				t.list[t.n++] = k;
			x[s + 1] = t.n;
		}
		t.out = rn_prog_idx(q->p, buf, c->n + 1, q->e);
		if (t.out == RN_NONE) {
			free(t.list);
			return q->e->code;
		}
	}
	*out = &q->terms[q->nterms];
	q->terms[q->nterms++] = t;
	return 0;
}

/* idx (RN_NONE: the identity) over the terms t, into class `to`. */
static int remap_terms(struct restr *q, uint32_t idx, const struct terms *t, uint32_t to,
		       uint32_t *out)
{
	struct mapped m = { idx, t->ptr, t->cls, to, RN_NONE };
	const uint32_t *x = rn_prog_idx_data(q->p, idx);
	struct rn_buf *b;

	*out = idx;
	if ((t->cls == ALL && to == ALL) || find_map(q, idx, t->ptr, t->cls, to, out))
		return 0;
	RN_TRY(rn_buf_new((size_t)t->n * sizeof *x, "an index array", &b, q->e));
	for (uint32_t k = 0; k < t->n; k++) {
		uint32_t r = t->list ? t->list[k] : k;

		((uint32_t *)b->data)[k] = position(q, to, x ? x[r] : r);
	}
	return keep_map(q, m, b, t->n, true, out);
}

/* ---- rewriting ---------------------------------------------------------------------- */

/* Operand `in` with exactly the rows of class `cls`: itself, or a gather. */
static int align(struct restr *q, struct rn_in *in, uint32_t cls)
{
	uint32_t map, v = in->val, out;

	if (q->cls[v] == cls)
		return 0;
	for (size_t k = 0; k < q->naligned; k++)
		if (q->aligned[k].val == v && q->aligned[k].cls == cls) {
			in->val = q->aligned[k].out;
			return 0;
		}
	RN_TRY(rn_grow(&q->aligned, &q->cap_aligned, q->naligned + 1, sizeof *q->aligned, "gathers",
		       q->e));
	RN_TRY(remap(q, RN_NONE, q->rows[v], cls, q->cls[v], false, &map));
	out = rn_prog_gather(q->p, v, map, q->e);
	if (out == RN_NONE)
		return q->e->code;
	q->p->vals[out].diff = q->p->vals[v].diff;
	q->aligned[q->naligned++] = (struct aligned){ v, cls, out };
	in->val = out;
	return 0;
}

/* The counters of a dropout mask over the rows of a class. */
static int restrict_drop(struct restr *q, struct rn_drop *d, uint32_t cls, uint32_t rows)
{
	RN_TRY(remap(q, d->row, rows, cls, ALL, false, &d->row));
	if (d->col != RN_NONE)
		RN_TRY(remap(q, d->col, rows, cls, ALL, false, &d->col));
	return 0;
}

static int restrict_elementwise(struct restr *q, struct rn_inst *i)
{
	uint32_t cls = q->cls[i->out], rows = q->rows[i->out];

	for (uint32_t k = 0; k < i->nin; k++)
		if (i->in[k].val != RN_NONE && q->rows[i->in[k].val] == rows)
			RN_TRY(align(q, &i->in[k], cls));
	if (i->op == RN_P_CE)
		RN_TRY(remap(q, i->idx[0], rows, cls, ALL, false, &i->idx[0]));
	if (i->op == RN_P_EW && i->fn == RN_EW_DROPMASK)
		RN_TRY(restrict_drop(q, &i->drop, cls, rows));
	for (uint32_t k = 0; k < i->elem.ndrops; k++)
		RN_TRY(restrict_drop(q, &i->elem.drops[k], cls, rows));
	return 0;
}

/* SPMM and SEGARG. */
static int restrict_segments(struct restr *q, struct rn_inst *i)
{
	const struct terms *t;

	RN_TRY(segment_terms(q, i->idx[0], q->cls[i->out], &t));
	for (uint32_t k = 0; k < i->nin; k++)
		if (i->in[k].val != RN_NONE)
			RN_TRY(remap_terms(q, i->idx[k + 1], t, q->cls[i->in[k].val],
					   &i->idx[k + 1]));
	i->idx[0] = t->out;
	return 0;
}

/* Stored values -> dense rows: the values of just these rows. */
static int restrict_densify(struct restr *q, struct rn_inst *i)
{
	const struct terms *t;
	uint32_t cls, rows = q->rows[i->in[0].val];
	uint64_t *bits;

	RN_TRY(segment_terms(q, i->idx[0], q->cls[i->out], &t));
	RN_TRY(rn_calloc(words(rows), sizeof *bits, "a set of rows", &bits, q->e));
	for (uint32_t k = 0; k < t->n; k++) {
		uint32_t r = t->list ? t->list[k] : k;

		bits[r / 64] |= 1ull << r % 64;
	}
	RN_TRY(classify(q, bits, rows, &cls));
	RN_TRY(align(q, &i->in[0], cls));
	RN_TRY(remap(q, i->idx[1], rows, cls, ALL, false, &i->idx[1]));
	i->idx[0] = t->out;
	return 0;
}

/* Dense rows -> stored values: of the rows that there are, those that are needed. */
static int restrict_atcsr(struct restr *q, struct rn_inst *i)
{
	uint32_t xc = q->cls[i->in[0].val], oc = q->cls[i->out], at = 0, *x;
	uint32_t rows = q->rows[i->in[0].val], terms = q->rows[i->out];
	const uint32_t *b = rn_prog_idx_data(q->p, i->idx[0]);
	uint32_t n = xc == ALL ? rows : q->classes[xc].n;
	struct rn_buf *buf;

	RN_TRY(remap(q, i->idx[1], terms, oc, ALL, false, &i->idx[1]));
	if (xc == ALL && oc == ALL)
		return 0;
	RN_TRY(rn_buf_new(((size_t)n + 1) * sizeof *x, "segments", &buf, q->e));
	x = buf->data;
	for (uint32_t s = 0; s < n; s++) {
		uint32_t r = xc == ALL ? s : q->classes[xc].list[s];

		for (uint32_t k = b[r]; k < b[r + 1]; k++)
			at += oc == ALL || has(q->classes[oc].bits, k);
		x[s + 1] = at;
	}
	i->idx[0] = rn_prog_idx(q->p, buf, n + 1, q->e);
	return i->idx[0] == RN_NONE ? q->e->code : 0;
}

/* One that moves nothing any more becomes a view. */
static int restrict_gather(struct restr *q, struct rn_inst *i)
{
	const uint32_t *x;
	uint32_t n, k = 0;

	RN_TRY(remap(q, i->idx[0], q->rows[i->out], q->cls[i->out], q->cls[i->in[0].val], false,
		     &i->idx[0]));
	x = rn_prog_idx_data(q->p, i->idx[0]);
	n = q->p->idx[i->idx[0]].n;
	while (k < n && x[k] == k)
		k++;
	if (k == n && n == q->p->vals[i->in[0].val].rows) {
		i->op = RN_P_VIEW;
		i->idx[0] = RN_NONE;
	}
	return 0;
}

/* The bounds of the segments over the rows that are left. */
static int restrict_ggemm(struct restr *q, struct rn_inst *i)
{
	uint32_t cls = q->cls[i->out], n = q->p->idx[i->idx[0]].n, at = 0, *x;
	const uint32_t *b = rn_prog_idx_data(q->p, i->idx[0]);
	struct rn_buf *buf;

	RN_TRY(align(q, &i->in[0], cls));
	if (cls == ALL)
		return 0;
	RN_TRY(rn_buf_new((size_t)n * sizeof *x, "segments", &buf, q->e));
	x = buf->data;
	for (uint32_t s = 0; s + 1 < n; s++) {
		for (uint32_t k = b[s]; k < b[s + 1]; k++)
			at += has(q->classes[cls].bits, k);
		x[s + 1] = at;
	}
	i->idx[0] = rn_prog_idx(q->p, buf, n, q->e);
	return i->idx[0] == RN_NONE ? q->e->code : 0;
}

/* Each input with just the rows that are left of it; an input of none goes. */
static int restrict_stack(struct restr *q, struct rn_inst *i)
{
	uint32_t cls = q->cls[i->out], from = 0, n = 0;

	for (uint32_t k = 0; k < i->nin; k++) {
		struct rn_in in = i->in[k];
		uint32_t rows = q->rows[in.val], part = ALL;

		if (cls != ALL) {
			uint64_t *bits;

			RN_TRY(rn_calloc(words(rows), sizeof *bits, "a set of rows", &bits, q->e));
			for (uint32_t r = 0; r < rows; r++)
				bits[r / 64] |= (uint64_t)has(q->classes[cls].bits, from + r) << r % 64;
			RN_TRY(classify(q, bits, rows, &part));
		}
		from += rows;
		if (part != ALL && !q->classes[part].n && (n || k + 1 < i->nin))
			continue;
		RN_TRY(align(q, &in, part));
		i->in[n++] = in;
	}
	i->nin = n;
	return 0;
}

static int restrict_inst(struct restr *q, struct rn_inst *i)
{
	uint32_t cls = q->cls[i->out];

	switch (i->op) {
	case RN_P_GATHER:
		return restrict_gather(q, i);
	case RN_P_SPMM:
	case RN_P_SEGARG:
		return restrict_segments(q, i);
	case RN_P_SDDMM:
		for (unsigned k = 0; k < 2; k++)
			RN_TRY(remap(q, i->idx[k], q->rows[i->out], cls, q->cls[i->in[k].val], true,
				     &i->idx[k]));
		return 0;
	case RN_P_DENSIFY:
		return restrict_densify(q, i);
	case RN_P_ATCSR:
		return restrict_atcsr(q, i);
	case RN_P_GGEMM:
		return restrict_ggemm(q, i);
	case RN_P_STACK:
		return restrict_stack(q, i);
	case RN_P_PICK: /* its rows are the SEGARG's */
		return 0;
	default:
		return restrict_elementwise(q, i);
	}
}

static int rewrite(struct restr *q)
{
	struct rn_prog *p = q->p;
	struct rn_inst *old = p->insts;
	uint32_t n = p->ninsts, stage = p->stage;
	bool *there;
	int rc;

	RN_TRY(rn_calloc(n, sizeof *there, "restriction", &there, q->e));
	for (uint32_t j = 0; j < n; j++)
		there[j] = rn_pass_present(p, j);
	p->insts = NULL;
	p->cap_insts = 0;
	p->ninsts = 0;
	rc = 0;
	for (uint32_t j = 0; j < n && !rc; j++) {
		struct rn_inst i = old[j];

		if (!there[j])
			continue;
		p->stage = i.stage;
		if (!rn_pass_is_step(&i))
			rc = restrict_inst(q, &i);
		if (!rc)
			rc = rn_grow(&p->insts, &p->cap_insts, (size_t)p->ninsts + 1, sizeof i,
				     "instructions", q->e);
		if (rc)
			break;
		if (!rn_pass_is_step(&i))
			p->vals[i.out].inst = p->ninsts;
		p->insts[p->ninsts++] = i;
	}
	p->stage = stage;
	free(there);
	free(old);
	return rc;
}

static int run(struct restr *q, const uint32_t *roots, size_t n)
{
	struct rn_prog *p = q->p;

	q->nvals = p->nvals;
	RN_TRY(rn_calloc(p->nvals, sizeof *q->need, "restriction", &q->need, q->e));
	RN_TRY(rn_calloc(p->nvals, sizeof *q->all, "restriction", &q->all, q->e));
	RN_TRY(rn_calloc(p->nvals, sizeof *q->touched, "restriction", &q->touched, q->e));
	RN_TRY(rn_calloc(p->nvals, sizeof *q->rows, "restriction", &q->rows, q->e));
	RN_TRY(rn_calloc(p->nvals, sizeof *q->cls, "restriction", &q->cls, q->e));
	RN_TRY(rn_pass_uses(p, &q->uses, q->e));
	RN_TRY(find_needs(q, roots, n));
	RN_TRY(rn_pass_bury(p, q->touched, q->e));
	RN_TRY(classify_values(q));
	return rewrite(q);
}

int rn_pass_restrict(struct rn_prog *p, const uint32_t *roots, size_t n, struct rn_err *e)
{
	struct rn_err local;
	struct restr q = { .p = p, .e = e ? e : &local };
	int rc = run(&q, roots, n);

	for (size_t k = 0; k < q.nclasses; k++) {
		free(q.classes[k].bits);
		free(q.classes[k].list);
		free(q.classes[k].pos);
	}
	for (size_t k = 0; k < q.nterms; k++)
		free(q.terms[k].list);
	for (uint32_t v = 0; q.need && v < q.nvals; v++)
		free(q.need[v]);
	free(q.classes);
	free(q.terms);
	free(q.maps);
	free(q.aligned);
	free(q.need);
	free(q.all);
	free(q.touched);
	free(q.rows);
	free(q.uses);
	free(q.cls);
	return rc;
}
