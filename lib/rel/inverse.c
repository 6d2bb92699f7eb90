/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows sorted by a number that each of them has (a group, a target), which groups,
 * indexes and inverses of row maps share.  Few rows are counted and dealt out.  Of many
 * rows each part is first split by the high bits of the numbers; then every piece of the
 * output, one value of those bits, is dealt out by itself and stays in a cache.
 */
#include "keyset.h"
#include "part.h"

#include <inttypes.h>
#include <string.h>

enum {
	PIECES = 512,     /* as many as a part is well split into, */
	OFFSET_BITS = 15, /* … unless a number and an offset would not fit 32 bits then */
};
_Static_assert(RN_PART_ROWS == 1 << OFFSET_BITS, "an offset is that of a row in its part");

struct inverse {
	const uint32_t *of;
	uint64_t rows, n;
	uint32_t *ptr, *at;
	unsigned shift;  /* numbers of one piece have the same bits from here on */
	uint32_t pieces;
	struct rn_buf *word; /* uint32_t per row of the parts, split: its number in the piece, and
			      * in the low OFFSET_BITS which row of the part it is */
	struct rn_buf *from;   /* uint32_t[parts][pieces + 1] */
	struct rn_buf *base;   /* uint32_t[pieces + 1]: where pieces start in the output */
};

/* ---- numbers that never fall ------------------------------------------------------- */

struct look {
	const uint32_t *of;
	uint64_t rows;
	bool falls;
};

static void look_for_fall(void *arg, uint32_t part)
{
	struct look *l = arg;
	uint64_t from = rn_part_from(part), to = rn_part_to(part, l->rows);
	bool falls = false;

	if (__atomic_load_n(&l->falls, __ATOMIC_RELAXED))
		return; /* it is known by now */
	for (uint64_t i = from ? from : 1; i < to; i++)
		falls |= l->of[i] < l->of[i - 1];
	if (falls)
		__atomic_store_n(&l->falls, true, __ATOMIC_RELAXED);
}

bool rn_numbers_fall(struct rn_team *t, const uint32_t *of, uint64_t rows)
{
	struct look l = { .of = of, .rows = rows };

	rn_part_run(t, rows, look_for_fall, &l);
	return l.falls;
}

/* Row i is the first of its number, and of those without rows that come before it. */
static void point_to_first(void *arg, uint32_t part)
{
	const struct inverse *v = arg;
	uint64_t to = rn_part_to(part, v->rows);

	for (uint64_t i = rn_part_from(part); i < to; i++) {
		uint64_t g = v->of[i] < v->n ? v->of[i] : v->n, next;

		next = !i ? 0 : v->of[i - 1] < v->n ? (uint64_t)v->of[i - 1] + 1 : v->n + 1;
		for (; next <= g; next++)
			v->ptr[next] = (uint32_t)i;
	}
}

static void point_into_order(struct rn_team *t, struct inverse *v)
{
	uint64_t last = v->rows ? v->of[v->rows - 1] : 0;

	rn_part_run(t, v->rows, point_to_first, v);
	if (v->rows && last >= v->n)
		return;
	for (uint64_t g = v->rows ? last + 1 : 0; g <= v->n; g++)
		v->ptr[g] = (uint32_t)v->rows;
}

/* ---- few rows ---------------------------------------------------------------------- */

/* From counts in ptr[0 … n - 1] to starts, the first of which is `from`. */
static void sum_up(uint32_t *ptr, uint64_t n, uint32_t from)
{
	for (uint64_t g = 0; g < n; g++) {
		uint32_t count = ptr[g];

		ptr[g] = from;
		from += count;
	}
}

/* ptr[g] ran to the end of g, which is the start of g + 1; put it back. */
static void rewind_ptr(uint32_t *ptr, uint64_t n, uint32_t from)
{
	if (!n)
		return;
	memmove(ptr + 1, ptr, (n - 1) * sizeof *ptr);
	ptr[0] = from;
}

static void deal_out(struct inverse *v)
{
	for (uint64_t i = 0; i < v->rows; i++)
		if (v->of[i] != RN_NO_ROW)
			v->at[v->ptr[v->of[i]]++] = (uint32_t)i;
	rewind_ptr(v->ptr, v->n, 0);
}

/* ---- many rows --------------------------------------------------------------------- */

static void split_part(void *arg, uint32_t part)
{
	const struct inverse *v = arg;
	uint64_t base = rn_part_from(part), n = rn_part_to(part, v->rows) - base;
	uint32_t *word = (uint32_t *)v->word->data + base;
	uint32_t low = (uint32_t)(((uint64_t)1 << v->shift) - 1);
	uint32_t *from = (uint32_t *)v->from->data + (uint64_t)part * (v->pieces + 1);

	memset(from, 0, (v->pieces + 1) * sizeof *from);
	for (uint64_t i = 0; i < n; i++)
		if (v->of[base + i] != RN_NO_ROW)
			from[v->of[base + i] >> v->shift]++;
	sum_up(from, v->pieces + 1, 0);
	for (uint64_t i = 0; i < n; i++) {
		uint32_t of = v->of[base + i];

		if (of == RN_NO_ROW)
			continue;
		word[from[of >> v->shift]++] = (of & low) << OFFSET_BITS | (uint32_t)i;
	}
	rewind_ptr(from, v->pieces + 1, 0);
}

static const uint32_t *piece_of(const struct inverse *v, uint32_t part, uint32_t piece)
{
	return (const uint32_t *)v->from->data + (uint64_t)part * (v->pieces + 1) + piece;
}

/* One piece of the output: count its numbers, then deal its rows out. */
static void join_piece(void *arg, uint32_t piece)
{
	const struct inverse *v = arg;
	uint64_t g0 = (uint64_t)piece << v->shift, g1 = g0 + ((uint64_t)1 << v->shift);
	uint32_t base = ((const uint32_t *)v->base->data)[piece];
	uint32_t *ptr = v->ptr + g0, parts = rn_part_count(v->rows);

	g1 = g1 < v->n ? g1 : v->n;
	memset(ptr, 0, (g1 - g0) * sizeof *ptr);
	for (uint32_t part = 0; part < parts; part++) {
		const uint32_t *from = piece_of(v, part, piece);
		const uint32_t *word = (const uint32_t *)v->word->data + rn_part_from(part);

		for (uint32_t i = from[0]; i < from[1]; i++)
			ptr[word[i] >> OFFSET_BITS]++;
	}
	sum_up(ptr, g1 - g0, base);
	for (uint32_t part = 0; part < parts; part++) {
		const uint32_t *from = piece_of(v, part, piece);
		uint32_t row = (uint32_t)rn_part_from(part);
		const uint32_t *word = (const uint32_t *)v->word->data + row;

		for (uint32_t i = from[0]; i < from[1]; i++)
			v->at[ptr[word[i] >> OFFSET_BITS]++] = row + word[i] % RN_PART_ROWS;
	}
	rewind_ptr(ptr, g1 - g0, base);
}

static int new_pieces(struct inverse *v, struct rn_err *e)
{
	uint64_t parts = rn_part_count(v->rows);

	while (v->n && (v->n - 1) >> v->shift >= PIECES && v->shift < 32 - OFFSET_BITS)
		v->shift++;
	v->pieces = v->n ? (uint32_t)((v->n - 1) >> v->shift) + 1 : 0;
	RN_TRY(rn_buf_new_raw(v->rows * sizeof(uint32_t), "row numbers", &v->word, e));
	RN_TRY(rn_buf_new_raw(parts * (v->pieces + 1) * sizeof(uint32_t), "row numbers", &v->from, e));
	return rn_buf_new((v->pieces + 1) * sizeof(uint32_t), "row numbers", &v->base, e);
}

/* Where the pieces start, from their sizes in all parts; the sum is how many rows have a number. */
static uint32_t place_pieces(struct inverse *v)
{
	uint32_t *base = v->base->data;

	for (uint32_t part = 0; part < rn_part_count(v->rows); part++) {
		const uint32_t *from = piece_of(v, part, 0);

		for (uint32_t p = 0; p < v->pieces; p++)
			base[p] += from[p + 1] - from[p];
	}
	sum_up(base, v->pieces + 1, 0);
	return base[v->pieces];
}

static int sort_many(struct rn_team *t, struct inverse *v, struct rn_buf **at, struct rn_err *e)
{
	uint32_t total;
	int rc;

	RN_GOTO(out, new_pieces(v, e));
	rn_part_run(t, v->rows, split_part, v);
	total = place_pieces(v);
	RN_GOTO(out, rn_buf_new_raw(total * sizeof *v->at, "row numbers", at, e));
	v->at = (*at)->data;
	v->ptr[v->n] = total;
	rn_team_run(t, v->pieces, join_piece, v);
out:
	rn_buf_unref(v->word);
	rn_buf_unref(v->from);
	rn_buf_unref(v->base);
	return rc;
}

static int sort_few(struct inverse *v, struct rn_buf **at, struct rn_err *e)
{
	memset(v->ptr, 0, (v->n + 1) * sizeof *v->ptr);
	for (uint64_t i = 0; i < v->rows; i++)
		if (v->of[i] != RN_NO_ROW)
			v->ptr[v->of[i]]++;
	sum_up(v->ptr, v->n + 1, 0);
	RN_TRY(rn_buf_new_raw(v->ptr[v->n] * sizeof *v->at, "row numbers", at, e));
	v->at = (*at)->data;
	deal_out(v);
	return 0;
}

int rn_rows_by_number(struct rn_team *t, const uint32_t *of, uint64_t rows, uint64_t n,
		      bool may_be_identity, struct rn_buf **ptr, struct rn_buf **at,
		      struct rn_err *e)
{
	struct inverse v = { .of = of, .rows = rows, .n = n };
	bool in_order = may_be_identity && !rn_numbers_fall(t, of, rows);
	struct rn_buf *p;
	int rc;

	if (!in_order && rn_rows_by_number_accel(t, of, rows, n, ptr, at))
		return 0;
	RN_TRY(rn_buf_new_raw((n + 1) * sizeof *v.ptr, "row numbers", &p, e));
	v.ptr = p->data;
	*at = NULL;
	if (in_order) {
		point_into_order(t, &v);
		*ptr = p;
		return 0;
	}
	rc = rows < RN_TEAM_ROWS ? sort_few(&v, at, e) : sort_many(t, &v, at, e);
	if (rc)
		rn_buf_unref(p);
	else
		*ptr = p;
	return rc;
}

struct range_check {
	const uint32_t *map;
	uint64_t len, n;
	uint64_t bad; /* the first entry out of range, or len */
};

static void check_part(void *arg, uint32_t part)
{
	struct range_check *r = arg;
	uint64_t to = rn_part_to(part, r->len), i = rn_part_from(part), now;

	while (i < to && (r->map[i] < r->n || r->map[i] == RN_NO_ROW))
		i++;
	if (i == to)
		return;
	now = __atomic_load_n(&r->bad, __ATOMIC_RELAXED);
	while (i < now && !__atomic_compare_exchange_n(&r->bad, &now, i, true, __ATOMIC_RELAXED,
						       __ATOMIC_RELAXED))
		;
}

int rn_invert_map_team(struct rn_team *t, const uint32_t *map, uint64_t len, uint64_t n,
		       struct rn_buf **ptr, struct rn_buf **pos, struct rn_err *e)
{
	struct range_check r = { .map = map, .len = len, .n = n, .bad = len };

	if (len > RN_MAX_ROWS || n > RN_MAX_ROWS)
		return rn_err_set(e, RN_EBUG, "a row map of more than %" PRIu64 " rows",
				  RN_MAX_ROWS);
	rn_part_run(t, len, check_part, &r);
	if (r.bad < len)
		return rn_err_set(e, RN_EBUG, "a row map leads to row %u of %" PRIu64 " rows",
				  map[r.bad], n);
	return rn_rows_by_number(t, map, len, n, false, ptr, pos, e);
}

int rn_invert_map(const uint32_t *map, uint64_t len, uint64_t n, struct rn_buf **ptr,
		  struct rn_buf **pos, struct rn_err *e)
{
	return rn_invert_map_team(NULL, map, len, n, ptr, pos, e);
}
