/* SPDX-License-Identifier: Apache-2.0
 *
 * Segelem: spmm(elem(…)) -> segelem(…).  The inputs of the program are read through the sum's
 * row map, and its draws are those of the rows that it had.
 */
#include "pass_util.h"

#include "../rel/rel.h"

#include <stdlib.h>
#include <string.h>

struct making {
	struct rn_segelem *s;
	struct rn_prog *p;
	struct rn_err *e;
	uint32_t by, n; /* the sum's row map and its terms */
	uint32_t rows;  /* of what it adds */
};

/* out[k] = map[by[k]] for k < n; RN_NONE is the identity, of `rows` entries. */
static int compose(struct making *q, uint32_t map, uint32_t by, uint32_t rows, uint32_t *out)
{
	const uint32_t *a = rn_prog_idx_data(q->p, map), *b = rn_prog_idx_data(q->p, by);
	struct rn_segelem *s = q->s;
	struct rn_buf *buf;
	uint32_t *x;

	*out = map;
	if (by == RN_NONE && (map == RN_NONE ? rows >= q->n : q->p->idx[map].n == q->n))
		return 0;
	*out = by;
	if (map == RN_NONE && by != RN_NONE && q->p->idx[by].n == q->n)
		return 0;
	for (size_t k = 0; k < s->nmemo; k++)
		if (s->memo[k].map == map && s->memo[k].by == by && s->memo[k].n == q->n) {
			*out = s->memo[k].out;
			return 0;
		}
	RN_TRY(rn_grow(&s->memo, &s->cap_memo, s->nmemo + 1, sizeof *s->memo, "row maps", q->e));
	RN_TRY(rn_buf_new((size_t)q->n * sizeof *x, "a row map", &buf, q->e));
	x = buf->data;
	for (uint32_t k = 0; k < q->n; k++) {
		uint32_t r = b ? b[k] : k;

		x[k] = a ? a[r] : r;
	}
	*out = rn_prog_idx(q->p, buf, q->n, q->e);
	if (*out == RN_NONE)
		return q->e->code;
	s->memo[s->nmemo++] = (struct rn_segelem_map){ map, by, q->n, *out };
	return 0;
}

/* m->drops are copied: another sum may use the program, too. */
static int map_drops(struct making *q, struct rn_elem *m)
{
	struct rn_drop *d;

	if (!m->ndrops)
		return 0;
	d = rn_arena_alloc(&q->p->arena, m->ndrops * sizeof *d, q->e);
	if (!d)
		return RN_ENOMEM;
	memcpy(d, m->drops, m->ndrops * sizeof *d);
	m->drops = d;
	for (uint32_t k = 0; k < m->ndrops; k++) {
		RN_TRY(compose(q, d[k].row, q->by, q->rows, &d[k].row));
		if (d[k].col != RN_NONE)
			RN_TRY(compose(q, d[k].col, q->by, q->rows, &d[k].col));
	}
	return 0;
}

int rn_segelem_make(struct rn_segelem *s, struct rn_prog *p, const struct rn_inst *sum,
		    struct rn_inst *i, struct rn_err *e)
{
	struct making q = { s, p, e, sum->idx[1], rn_pass_terms(p, sum), p->vals[sum->in[0].val].rows };
	struct rn_inst out = rn_inst_init(RN_P_SEGELEM);

	out.out = sum->out;
	out.stage = sum->stage;
	out.idx[0] = sum->idx[0];
	out.nin = i->nin;
	out.elem = i->elem;
	for (uint32_t k = 0; k < i->nin; k++) {
		out.in[k] = i->in[k];
		if (i->in[k].rmap != RN_NONE || p->vals[i->in[k].val].rows != 1)
			RN_TRY(compose(&q, i->in[k].rmap, q.by, q.rows, &out.in[k].rmap));
	}
	RN_TRY(map_drops(&q, &out.elem));
	if (sum->in[1].val != RN_NONE) {
		struct rn_in *w = &out.in[out.nin++];

		out.flags = RN_F_WEIGHTED;
		w->val = sum->in[1].val;
		RN_TRY(compose(&q, RN_NONE, sum->idx[2], p->vals[w->val].rows, &w->rmap));
	}
	*i = out;
	return 0;
}

void rn_segelem_fini(struct rn_segelem *s)
{
	free(s->memo);
}
