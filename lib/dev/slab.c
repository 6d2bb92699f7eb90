/* SPDX-License-Identifier: Apache-2.0
 *
 * Greedy by size: the largest first, each into the lowest gap between those that
 * live at the same time.  Within a few percent of the best on programs of
 * layers, and the same on every machine.
 */
#include "slab.h"

#include <stdlib.h>

static int by_size(const void *a, const void *b)
{
	const struct rn_slab_item *x = *(struct rn_slab_item *const *)a;
	const struct rn_slab_item *y = *(struct rn_slab_item *const *)b;

	if (x->size != y->size)
		return x->size < y->size ? 1 : -1;
	return x < y ? -1 : x > y;
}

/* placed: ordered by offset. */
static size_t lowest_gap(struct rn_slab_item *const *placed, size_t n, const struct rn_slab_item *x)
{
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		const struct rn_slab_item *p = placed[i];

		if (p->to < x->from || p->from > x->to)
			continue;
		if (p->offset >= at && p->offset - at >= x->size)
			break;
		at = p->offset + p->size > at ? p->offset + p->size : at;
	}
	return at;
}

int rn_slab_plan(struct rn_slab_item *items, size_t n, size_t *total, struct rn_err *e)
{
	struct rn_slab_item **order, **placed = NULL;
	size_t end = 0;
	int rc;

	*total = 0;
	RN_TRY(rn_calloc(n, sizeof *order, "the plan of a slab", &order, e));
	rc = rn_calloc(n, sizeof *placed, "the plan of a slab", &placed, e);
	if (rc)
		goto out;
	for (size_t i = 0; i < n; i++) {
		order[i] = &items[i];
		if (items[i].size > SIZE_MAX / 2) {
			rc = rn_err_nomem(e, items[i].size, "a value");
			goto out;
		}
		items[i].size = (items[i].size + RN_ALIGN - 1) & ~(size_t)(RN_ALIGN - 1);
	}
	qsort(order, n, sizeof *order, by_size);
	for (size_t i = 0; i < n; i++) {
		struct rn_slab_item *x = order[i];
		size_t k = i;

		x->offset = lowest_gap(placed, i, x);
		if (!rn_add_size(x->offset, x->size, &end)) {
			rc = rn_err_nomem(e, SIZE_MAX, "a slab");
			goto out;
		}
		*total = end > *total ? end : *total;
		for (; k > 0 && placed[k - 1]->offset > x->offset; k--)
			placed[k] = placed[k - 1];
		placed[k] = x;
	}
out:
	free(order);
	free(placed);
	return rc;
}
