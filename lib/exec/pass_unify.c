/* SPDX-License-Identifier: Apache-2.0
 *
 * Unify: index arrays of equal contents become one, so that what is computed with them is
 * seen to be equal, and is transposed once.
 */
#include "pass_util.h"

#include "../../formats/hash.h"

#include <stdlib.h>
#include <string.h>

struct unify {
	const struct rn_prog *p;
	struct item {
		uint64_t hash;
		uint32_t idx;
	} *items; /* by hash, then by number */
	uint32_t *same; /* the first array of the same contents */
};

static int by_hash(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return x->idx < y->idx ? -1 : x->idx > y->idx;
}

static bool equal(const struct rn_idx *a, const struct rn_idx *b)
{
	return a->n == b->n && a->fmap == b->fmap &&
	       (a->data == b->data || !a->n ||
		!memcmp(a->data->data, b->data->data, a->n * sizeof(uint32_t)));
}

static void replace(void *arg, uint32_t *idx)
{
	const struct unify *u = arg;

	if (*idx != RN_NONE)
		*idx = u->same[*idx];
}

static void find(struct unify *u)
{
	const struct rn_prog *p = u->p;

	for (uint32_t i = 0; i < p->nidx; i++) {
		const struct rn_idx *x = &p->idx[i];

		u->items[i].hash = x->n ? rn_hash64(x->data->data, x->n * sizeof(uint32_t)) : 0;
		u->items[i].idx = i;
	}
	if (p->nidx > 1)
		qsort(u->items, p->nidx, sizeof *u->items, by_hash);
	for (uint32_t i = 0; i < p->nidx; i++) {
		uint32_t x = u->items[i].idx;

		u->same[x] = x;
		for (uint32_t k = i; k-- > 0 && u->items[k].hash == u->items[i].hash;)
			if (equal(&p->idx[x], &p->idx[u->items[k].idx]))
				u->same[x] = u->same[u->items[k].idx];
	}
}

int rn_pass_unify(struct rn_prog *p, struct rn_err *e)
{
	struct unify u = { .p = p };
	int rc;

	RN_GOTO(out, rn_calloc(p->nidx, sizeof *u.items, "index arrays", &u.items, e));
	RN_GOTO(out, rn_calloc(p->nidx, sizeof *u.same, "index arrays", &u.same, e));
	find(&u);
	for (uint32_t j = 0; j < p->ninsts; j++)
		rn_pass_each_idx(&p->insts[j], replace, &u);
out:
	free(u.items);
	free(u.same);
	return rc;
}
