/* SPDX-License-Identifier: Apache-2.0
 *
 * Words of columns to sort by: 64 bits whose unsigned order is that of the values, or of
 * seven bytes of a string.  Private to lib/rel.
 */
#ifndef RN_ORDER_WORD_H
#define RN_ORDER_WORD_H

#include "key.h"

#include <string.h>

enum { RN_ORDER_TEXT = 7 }; /* bytes of a string in a word; the last byte says how many follow */

static inline uint64_t rn_order_text(const struct rn_column *c, uint64_t row, uint64_t from)
{
	const unsigned char *s = (const unsigned char *)c->bytes + c->off[row];
	uint64_t n = c->off[row + 1] - c->off[row], w = 0;

	s += from;
	n = n > from ? n - from : 0;
	for (unsigned k = 0; k < RN_ORDER_TEXT; k++)
		w = w << 8 | (k < n ? s[k] : 0);
	return w << 8 | (n < RN_ORDER_TEXT + 1 ? n : RN_ORDER_TEXT + 1);
}

/* At 0 whether the row is not NULL (of a column with NULLs), at 1 its value, or its bytes
 * from at - 1 on. */
static inline uint64_t rn_order_word(const struct rn_column *c, uint64_t row, uint64_t at)
{
	uint64_t w;
	double f;

	if (!at)
		return !c->null[row];
	switch (c->type) {
	case RN_FLOAT64:
		f = c->f64[row] + 0.0; /* -0.0 is 0.0 */
		memcpy(&w, &f, 8);
		return w >> 63 ? ~w : w | (uint64_t)1 << 63;
	case RN_BOOL:
		return c->b[row];
	case RN_STRING:
		return rn_order_text(c, row, at - 1);
	default:
		return (uint64_t)c->i64[row] ^ (uint64_t)1 << 63;
	}
}

/* What turns the order of by's words round. */
static inline uint64_t rn_order_flip(const struct rn_order *by)
{
	return by->desc ? UINT64_MAX : 0;
}

/* The order of rows 0 … rows - 1 into map, on the team's accelerator (order_accel.c).  False:
 * there is none, or it does not pay, or it declines. */
bool rn_order_accel(struct rn_team *t, const struct rn_order *by, size_t n, uint64_t rows,
		    uint32_t *map);

#endif
