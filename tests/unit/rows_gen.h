/* SPDX-License-Identifier: Apache-2.0
 *
 * Columns of every kind, more rows of them than one thread works on alone, and teams: for
 * the tests of keys, joins, orders and gathers.
 */
#ifndef ROWS_GEN_H
#define ROWS_GEN_H

#include "t.h"

#include "../../lib/base/team.h"
#include "../../lib/rel/key.h"
#include "../../lib/rel/part.h"

enum { MANY = RN_TEAM_ROWS + 4321, SMALL = 20011, TEAMS = 4 };

static struct rn_err err;
static struct rn_ctx ctxs[TEAMS]; /* of 1, 2, 3 and 7 threads */

static uint64_t state = 5;

static uint32_t rnd(uint32_t n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(((state >> 33) * n) >> 31);
}

/* To be called first, and last. */
static void teams_open(void)
{
	static const unsigned threads[TEAMS] = { 1, 2, 3, 7 };

	for (int t = 0; t < TEAMS; t++) {
		ctxs[t].threads = threads[t];
		T_CALL(rn_team_new(threads[t], &ctxs[t].team, &err), &err);
	}
}

static void teams_close(void)
{
	for (int t = 0; t < TEAMS; t++)
		rn_team_free(ctxs[t].team);
}

enum kind {
	DENSE,   /* a tenth as many integers as rows */
	FAR,     /* the same all over the range */
	SAME,    /* one value */
	MOST,    /* nine rows of ten have one value, the others a few */
	UNIQUE,  /* all differ */
	REAL,    /* float64 in [0, 1), and integers of DENSE */
	FLAG,    /* bool */
	TEXT,    /* strings of 0 to 12 bytes */
	PREFIX,  /* strings that share their first 300 bytes, some all */
	SORTED,  /* ascending, three rows each */
	KINDS
};
static const char *const kind_names[KINDS] = { "dense", "far", "same", "most", "unique", "real",
					       "flag", "text", "prefix", "sorted" };

static int64_t integer(enum kind k, uint64_t i)
{
	switch (k) {
	case DENSE:
		return (int64_t)rnd(MANY / 10) - 50;
	case FAR:
		return (int64_t)((rnd(MANY / 10) + 1) * 0x9E3779B97F4A7C15u);
	case MOST:
		return rnd(10) ? 77 : (int64_t)rnd(40) << 40;
	case UNIQUE:
		return (int64_t)(i * 0x9E3779B97F4A7C15u);
	case SORTED:
		return (int64_t)i / 3;
	default:
		return 4;
	}
}

static uint64_t text(enum kind k, char *to)
{
	uint64_t n = 0;

	if (k == PREFIX && rnd(3)) {
		memset(to, 'p', 300);
		for (n = 300; n < 302 && rnd(3); n++)
			to[n] = (char)('a' + rnd(2));
		return n;
	}
	for (unsigned len = rnd(13); n < len; n++)
		to[n] = "\0ab\xff"[rnd(4)];
	return n;
}

static struct rn_column *column(enum kind k, uint64_t rows, unsigned nulls)
{
	bool string = k == TEXT || k == PREFIX;
	enum rn_type t = string ? RN_STRING : k == REAL ? RN_FLOAT64 : k == FLAG ? RN_BOOL : RN_INT64;
	struct rn_column *c = NULL;
	uint64_t at = 0;

	if (string)
		T_CALL(rn_column_new_string(rows, rows * (k == TEXT ? 12 : 302), &c, &err), &err);
	else
		T_CALL(rn_column_new(t, rows, &c, &err), &err);
	if (nulls)
		T_CALL(rn_column_need_null(c, &err), &err);
	for (uint64_t i = 0; i < rows; i++) {
		bool null = nulls && rnd(100) < nulls;

		if (null) {
			c->null[i] = 1;
			c->nulls++;
		} else if (k == REAL) {
			c->f64[i] = rnd(2) ? rnd(1 << 20) / 1048576.0 : (double)integer(DENSE, i);
		} else if (k == FLAG) {
			c->b[i] = (uint8_t)rnd(2);
		} else if (string) {
			at += text(k, c->bytes + at);
		} else {
			c->i64[i] = integer(k, i);
		}
		if (string)
			c->off[i + 1] = at;
	}
	if (!c->nulls)
		rn_column_set_nulls(c, 0);
	return c;
}

#endif
