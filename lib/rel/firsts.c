/* SPDX-License-Identifier: Apache-2.0
 *
 * First rows of keys, counted and listed; see firsts.h.
 */
#include "firsts.h"

#include "part.h"

enum { PART_WORDS = RN_PART_ROWS / 64 };

int rn_firsts_new(uint64_t rows, struct rn_firsts *f, struct rn_err *e)
{
	uint64_t words = (uint64_t)rn_part_count(rows) * PART_WORDS;

	f->rows = rows;
	RN_TRY(rn_buf_new(words * sizeof(uint64_t), "first rows", &f->bits, e));
	return rn_buf_new_raw(words * sizeof(uint32_t), "first rows", &f->before, e);
}

void rn_firsts_free(struct rn_firsts *f)
{
	rn_buf_unref(f->bits);
	rn_buf_unref(f->before);
	rn_buf_unref(f->first);
}

static void list_part(void *arg, uint32_t part)
{
	const struct rn_firsts *f = arg;
	const uint64_t *bits = f->bits->data;
	const uint32_t *before = f->before->data;
	uint32_t *first = f->first->data;

	for (uint64_t w = (uint64_t)part * PART_WORDS; w < ((uint64_t)part + 1) * PART_WORDS; w++) {
		uint32_t at = before[w];

		for (uint64_t b = bits[w]; b; b &= b - 1)
			first[at++] = (uint32_t)(64 * w + (unsigned)__builtin_ctzll(b));
	}
}

int rn_firsts_list(struct rn_team *t, struct rn_firsts *f, struct rn_err *e)
{
	const uint64_t *bits = f->bits->data;
	uint32_t *before = f->before->data;

	for (uint64_t w = 0; w < (uint64_t)rn_part_count(f->rows) * PART_WORDS; w++) {
		before[w] = f->n;
		f->n += (uint32_t)__builtin_popcountll(bits[w]);
	}
	RN_TRY(rn_buf_new_raw(f->n * sizeof(uint32_t), "distinct keys", &f->first, e));
	rn_part_run(t, f->rows, list_part, f);
	return 0;
}
