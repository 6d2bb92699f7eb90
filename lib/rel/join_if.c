/* SPDX-License-Identifier: Apache-2.0
 *
 * Joins whose partners must pass a test beside the key.
 *
 * A test sees candidates in batches, in the order of the output; only what
 * passes is kept.  Whether a left row found a partner is known when the first
 * candidate of a later one is seen, which is also where its miss belongs.
 *
 * A semi or anti join asks for one partner only.  There the left rows of a window are
 * tested in rounds, with a few candidates each and then ever more, until each has found one
 * or has no more.  Which pairs are tested depends on the row alone.
 *
 * Where the test has bounds, and testing all pairs would be more work than sorting, the right rows
 * of each key are put in order, and a left row's candidates are found by bisection.  Those of a join
 * that keeps their order are sorted by row again, unless they are most of the key's.
 *
 * A test that threads may share is run by parts of the left rows.  What fails so is done
 * again in order, so that it always fails at the same pair.
 */
#include "join.h"
#include "part.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
	BATCH = 1 << 14,
	WINDOW = 1 << 12,  /* left rows that look for a partner at once */
	FIRST_ROUND = 8,   /* candidates of each; a later round has four times as many */
	PAIRS_A_ROW = 4,   /* testing so many pairs takes as long as sorting one row */
};

/* Pairs that take about a second to test, and about a minute. */
static const uint64_t told_pairs = 100000000, warned_pairs = 10000000000;

/* The candidates of a left row: n right rows; NULL: base, base + 1, … */
struct candidates {
	const uint32_t *rows;
	uint32_t base, n;
};

/* A left row without a partner so far, and which of its candidates comes next. */
struct seeker {
	uint32_t row, next;
	struct candidates c;
};

struct pairs {
	const struct rn_ctx *ctx;
	const struct rn_key *left, *right;
	const struct rn_pair_test *test;
	const struct rn_hash_index *x;
	const struct rn_join_range *range; /* or NULL */
	enum rn_join_kind kind;
	uint32_t *sorted; /* the candidates of a left row */
	size_t csorted;
	size_t n; /* candidates in the batch */
	uint32_t *l, *r;
	uint8_t *keep;
	struct seeker *seeker; /* of a window */
	uint8_t *found;        /* … does the row have a partner? */
	uint64_t open; /* the left row whose partners may not all have been seen */
	bool any;      /* … has one already */
	uint8_t *met;  /* full join: right rows that have a partner */
	bool shared;   /* the test, by threads */
	uint64_t rows, limit, misses;
	uint64_t *all;    /* by threads: the rows of all parts, atomic; else NULL */
	uint64_t counted; /* … those of this one among them */
	size_t lcap, rcap;
	uint32_t *ol, *or; /* the output */
};

static int refuse(const struct pairs *p, uint32_t l, struct rn_err *e)
{
	uint64_t bytes = (p->rows + 1) * (rn_join_pairs(p->kind) ? 8 : 4);
	struct rn_str b = RN_STR_INIT;

	rn_join_add_refusal(p->ctx, p->left->rows, p->right->rows, "gives at least", p->rows + 1,
			    bytes, &b);
	if (l != RN_NO_ROW && p->left->n) {
		rn_str_add(&b, "; it comes to ");
		rn_key_print(p->left, l, &b);
	}
	return rn_join_refuse(&b, e);
}

static int emit(struct pairs *p, uint32_t l, uint32_t r, struct rn_err *e)
{
	bool both = rn_join_pairs(p->kind);

	if (p->rows == p->limit)
		return refuse(p, l, e);
	RN_TRY(rn_grow(&p->ol, &p->lcap, p->rows + 1, sizeof *p->ol, "a join", e));
	if (both)
		RN_TRY(rn_grow(&p->or, &p->rcap, p->rows + 1, sizeof *p->or, "a join", e));
	p->ol[p->rows] = l;
	if (both)
		p->or[p->rows] = r;
	p->rows++;
	return 0;
}

/* All partners of the left rows before `l` are known. */
static int settle(struct pairs *p, uint64_t l, struct rn_err *e)
{
	for (; p->open < l; p->open++, p->any = false) {
		p->misses += !p->any;
		if (!p->any && p->kind != RN_JOIN_INNER)
			RN_TRY(emit(p, (uint32_t)p->open, RN_NO_ROW, e));
	}
	return 0;
}

/* The limit is that of all parts together. */
static int count_rows(struct pairs *p)
{
	uint64_t more = p->rows - p->counted;

	p->counted = p->rows;
	if (!p->all || !more)
		return 0;
	return __atomic_add_fetch(p->all, more, __ATOMIC_RELAXED) > p->limit ? RN_ENOMEM : 0;
}

static int test_batch(struct pairs *p, struct rn_err *e)
{
	RN_TRY(p->test->keep(p->test->arg, p->l, p->r, p->n, p->keep, e));
	for (size_t i = 0; i < p->n; i++) {
		if (!p->keep[i])
			continue;
		RN_TRY(settle(p, p->l[i], e));
		p->any = true;
		if (p->met)
			__atomic_store_n(&p->met[p->r[i]], 1, __ATOMIC_RELAXED);
		RN_TRY(emit(p, p->l[i], p->r[i], e));
	}
	p->n = 0;
	return count_rows(p);
}

static int find_batch(struct pairs *p, uint64_t from, struct rn_err *e)
{
	RN_TRY(p->test->keep(p->test->arg, p->l, p->r, p->n, p->keep, e));
	for (size_t i = 0; i < p->n; i++)
		p->found[p->l[i] - from] |= p->keep[i];
	p->n = 0;
	return 0;
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static inline uint32_t candidate(const struct candidates *c, uint32_t k)
{
	return c->rows ? c->rows[k] : c->base + k;
}

/* All right rows with the key. */
static struct candidates all_with_key(const struct pairs *p, uint32_t key)
{
	const uint32_t *ptr = p->x->ptr->data, *rows = p->x->rows ? p->x->rows->data : NULL;

	return (struct candidates){ rows ? rows + ptr[key] : NULL, ptr[key], ptr[key + 1] - ptr[key] };
}

/* The candidates of left row i, in any order. */
static struct candidates candidates_of(const struct pairs *p, uint64_t i, uint32_t key)
{
	struct candidates c = { 0 };

	if (!p->range)
		return all_with_key(p, key);
	c.rows = rn_join_range_find(p->range, i, key, &c.n);
	return c;
}

/* … ascending; valid until the next call. */
static int in_order(struct pairs *p, uint64_t i, uint32_t key, struct candidates *c, struct rn_err *e)
{
	struct candidates all = all_with_key(p, key);

	*c = candidates_of(p, i, key);
	if (!p->range || c->n < 2)
		return 0;
	if (c->n > all.n / 2) {
		*c = all;
		return 0;
	}
	RN_TRY(rn_grow(&p->sorted, &p->csorted, c->n, sizeof *p->sorted, "a join", e));
	memcpy(p->sorted, c->rows, c->n * sizeof *p->sorted);
	qsort(p->sorted, c->n, sizeof *p->sorted, by_number);
	c->rows = p->sorted;
	return 0;
}

/* A round: up to `step` candidates of each of n seekers; returns those that go on in *n. */
static int seek_round(struct pairs *p, uint64_t from, uint32_t step, size_t *n, struct rn_err *e)
{
	size_t on = 0;

	for (size_t k = 0; k < *n; k++) {
		struct seeker *s = &p->seeker[k];
		uint32_t end = s->c.n - s->next < step ? s->c.n : s->next + step;

		for (; s->next < end; s->next++) {
			p->l[p->n] = s->row;
			p->r[p->n++] = candidate(&s->c, s->next);
			if (p->n == BATCH)
				RN_TRY(find_batch(p, from, e));
		}
	}
	RN_TRY(find_batch(p, from, e));
	for (size_t k = 0; k < *n; k++)
		if (!p->found[p->seeker[k].row - from] && p->seeker[k].next < p->seeker[k].c.n)
			p->seeker[on++] = p->seeker[k];
	*n = on;
	return 0;
}

/* Which of the left rows from … to - 1, a window, have a partner? */
static int seek_window(struct pairs *p, const uint32_t *of, uint64_t from, uint64_t to,
		       struct rn_err *e)
{
	size_t n = 0;

	memset(p->found, 0, to - from);
	for (uint64_t i = from; i < to; i++)
		if (of[i] != RN_NO_ROW)
			p->seeker[n++] = (struct seeker){ (uint32_t)i, 0, candidates_of(p, i, of[i]) };
	for (uint32_t step = FIRST_ROUND; n; step = step < BATCH ? 4 * step : step)
		RN_TRY(seek_round(p, from, step, &n, e));
	for (uint64_t i = from; i < to; i++) {
		p->misses += !p->found[i - from];
		if (p->found[i - from] == (p->kind == RN_JOIN_SEMI))
			RN_TRY(emit(p, (uint32_t)i, RN_NO_ROW, e));
	}
	return count_rows(p);
}

static int seek_rows(struct pairs *p, const uint32_t *of, uint64_t from, uint64_t to,
		     struct rn_err *e)
{
	RN_TRY(rn_calloc(WINDOW, sizeof *p->seeker, "a join", &p->seeker, e));
	RN_TRY(rn_calloc(WINDOW, 1, "a join", &p->found, e));
	for (uint64_t end; from < to; from = end) {
		end = to - from < WINDOW ? to : from + WINDOW;
		RN_TRY(seek_window(p, of, from, end, e));
	}
	return 0;
}

/* The candidates of left rows from … to - 1. */
static int test_rows(struct pairs *p, const uint32_t *of, uint64_t from, uint64_t to,
		     struct rn_err *e)
{
	struct candidates c;

	RN_TRY(rn_calloc(BATCH, sizeof *p->l, "a join", &p->l, e));
	RN_TRY(rn_calloc(BATCH, sizeof *p->r, "a join", &p->r, e));
	RN_TRY(rn_calloc(BATCH, 1, "a join", &p->keep, e));
	if (!rn_join_pairs(p->kind))
		return seek_rows(p, of, from, to, e);
	p->open = from;
	for (uint64_t i = from; i < to; i++) {
		if (of[i] == RN_NO_ROW)
			continue;
		RN_TRY(in_order(p, i, of[i], &c, e));
		for (uint32_t k = 0; k < c.n; k++) {
			p->l[p->n] = (uint32_t)i;
			p->r[p->n++] = candidate(&c, k);
			if (p->n == BATCH)
				RN_TRY(test_batch(p, e));
		}
	}
	RN_TRY(test_batch(p, e));
	RN_TRY(settle(p, to, e));
	return count_rows(p);
}

static int add_rest(struct pairs *p, struct rn_join_result *o, struct rn_err *e)
{
	for (uint64_t j = 0; p->met && j < p->right->rows; j++)
		if (!p->met[j]) {
			o->right_unmatched++;
			RN_TRY(emit(p, RN_NO_ROW, (uint32_t)j, e));
		}
	return 0;
}

static void free_batch(struct pairs *p)
{
	free(p->l);
	free(p->r);
	free(p->keep);
	free(p->seeker);
	free(p->found);
	free(p->sorted);
	p->l = p->r = p->sorted = NULL;
	p->keep = p->found = NULL;
	p->seeker = NULL;
}

/* ---- by parts -------------------------------------------------------------------------- */

struct parts {
	const struct pairs *like; /* without memory of its own, but for met */
	const uint32_t *of;
	struct pairs *part;
	uint64_t *at;  /* where the rows of each part go */
	uint64_t rows; /* of all parts so far */
	bool failed;
	uint32_t *left, *right; /* the output */
};

static void test_part(void *arg, uint32_t part)
{
	struct parts *j = arg;
	struct pairs *p = &j->part[part];

	*p = *j->like;
	p->all = &j->rows;
	if (__atomic_load_n(&j->failed, __ATOMIC_RELAXED))
		return;
	if (test_rows(p, j->of, rn_part_from(part), rn_part_to(part, p->left->rows), NULL))
		__atomic_store_n(&j->failed, true, __ATOMIC_RELAXED);
	free_batch(p);
}

static void copy_part(void *arg, uint32_t part)
{
	const struct parts *j = arg;
	const struct pairs *p = &j->part[part];

	if (!p->rows)
		return;
	memcpy(j->left + j->at[part], p->ol, p->rows * sizeof *p->ol);
	if (j->right)
		memcpy(j->right + j->at[part], p->or, p->rows * sizeof *p->or);
}

/* The output of all parts as that of p; j->failed: there is none, and no error. */
static int take_parts(struct rn_team *t, struct parts *j, struct pairs *p, struct rn_err *e)
{
	uint32_t parts = rn_part_count(p->left->rows);
	bool both = rn_join_pairs(p->kind);

	if (j->failed)
		return 0;
	RN_TRY(rn_calloc(parts, sizeof *j->at, "a join", &j->at, e));
	RN_TRY(rn_grow(&p->ol, &p->lcap, j->rows, sizeof *p->ol, "a join", e));
	if (both)
		RN_TRY(rn_grow(&p->or, &p->rcap, j->rows, sizeof *p->or, "a join", e));
	for (uint32_t i = 0; i < parts; i++) {
		j->at[i] = p->rows;
		p->rows += j->part[i].rows;
		p->misses += j->part[i].misses;
	}
	j->left = p->ol;
	j->right = both ? p->or : NULL;
	rn_team_run(t, parts, copy_part, j);
	return 0;
}

static int test_parts(struct rn_team *t, struct pairs *p, const uint32_t *of, bool *done,
		      struct rn_err *e)
{
	struct parts j = { .like = &(const struct pairs){ .ctx = p->ctx, .left = p->left,
							  .right = p->right, .test = p->test,
							  .x = p->x, .range = p->range,
							  .kind = p->kind, .met = p->met,
							  .limit = p->limit },
			   .of = of };
	uint32_t parts = rn_part_count(p->left->rows);
	int rc;

	RN_TRY(rn_calloc(parts, sizeof *j.part, "a join", &j.part, e));
	rn_team_run(t, parts, test_part, &j);
	rc = take_parts(t, &j, p, e);
	for (uint32_t i = 0; i < parts; i++) {
		free(j.part[i].ol);
		free(j.part[i].or);
	}
	free(j.part);
	free(j.at);
	*done = !j.failed;
	if (j.failed && p->met)
		memset(p->met, 0, p->right->rows);
	return rc;
}

/* ---- the whole --------------------------------------------------------------------------- */

static int test_all(struct pairs *p, const uint32_t *of, struct rn_err *e)
{
	struct rn_team *t = rn_part_team(p->ctx);
	bool done = false;

	if (p->shared && rn_team_threads(t) > 1 && p->left->rows >= RN_TEAM_ROWS)
		RN_TRY(test_parts(t, p, of, &done, e));
	return done ? 0 : test_rows(p, of, 0, p->left->rows, e);
}

/* Pairs with the same key; within the bounds, if `range`. */
static uint64_t count_pairs(const struct pairs *p, const uint32_t *of, bool range)
{
	uint64_t pairs = 0;

	for (uint64_t i = 0; i < p->left->rows; i++)
		if (of[i] != RN_NO_ROW)
			pairs += (range ? candidates_of(p, i, of[i]) : all_with_key(p, of[i])).n;
	return pairs;
}

/* A key with many rows on both sides takes long, even where little comes of it. */
static void tell_pairs(const struct pairs *p, const uint32_t *of, uint64_t pairs)
{
	struct rn_str b = RN_STR_INIT;

	if (pairs >= told_pairs && p->range)
		pairs = count_pairs(p, of, true);
	if (pairs < told_pairs)
		return;
	rn_str_addf(&b, "the condition is tested on %s%" PRIu64 " pairs of rows",
		    rn_join_pairs(p->kind) ? "" : "up to ", pairs);
	if (!p->range)
		rn_join_add_worst_key(p->x, of, p->left, &b);
	if (!b.failed)
		rn_log(p->ctx, pairs < warned_pairs ? RN_LOG_INFO : RN_LOG_WARN, "%s", b.s);
	rn_str_fini(&b);
}

static int copy_rows(const uint32_t *rows, uint64_t n, struct rn_buf **out, struct rn_err *e)
{
	RN_TRY(rn_buf_new_raw(n * sizeof *rows, "a join", out, e));
	if (n)
		memcpy((*out)->data, rows, n * sizeof *rows);
	return 0;
}

static int join_if(const struct rn_ctx *c, const struct rn_key *left, const struct rn_key *right,
		   const struct rn_hash_index *x, enum rn_join_kind kind,
		   const struct rn_pair_test *test, bool shared, struct rn_join_result *out,
		   struct rn_err *e)
{
	struct pairs p = { .ctx = c, .left = left, .right = right, .test = test, .kind = kind,
			   .x = x, .shared = shared };
	struct rn_join_range range = { 0 };
	struct rn_buf *of = NULL;
	uint64_t pairs;
	int rc;

	p.limit = rn_join_most_rows(c, rn_join_pairs(kind) ? 2 : 1);
	RN_TRY(rn_join_find(rn_part_team(c), left, right, x, &of, out, e));
	if (kind == RN_JOIN_FULL)
		RN_GOTO(out, rn_calloc(right->rows, 1, "a join", &p.met, e));
	pairs = count_pairs(&p, of->data, false);
	if (test->nbounds && pairs / PAIRS_A_ROW > left->rows + right->rows) {
		RN_GOTO(out, rn_join_range_open(c, x, test, &range, e));
		p.range = &range;
	}
	tell_pairs(&p, of->data, pairs);
	RN_GOTO(out, test_all(&p, of->data, e));
	RN_GOTO(out, add_rest(&p, out, e));
	out->left_unmatched = p.misses;
	out->rows = p.rows;
	RN_GOTO(out, copy_rows(p.ol, p.rows, &out->left, e));
	if (rn_join_pairs(kind))
		rc = copy_rows(p.or, p.rows, &out->right, e);
out:
	rn_buf_unref(of);
	rn_join_range_fini(&range);
	free_batch(&p);
	free(p.met);
	free(p.ol);
	free(p.or);
	if (rc)
		rn_join_result_fini(out);
	return rc;
}

int rn_join_if(const struct rn_ctx *c, const struct rn_key *left, const struct rn_key *right,
	       const struct rn_hash_index *x, enum rn_join_kind kind,
	       const struct rn_pair_test *test, struct rn_join_result *out, struct rn_err *e)
{
	return join_if(c, left, right, x, kind, test, false, out, e);
}

int rn_join_if_shared(const struct rn_ctx *c, const struct rn_key *left, const struct rn_key *right,
		      const struct rn_hash_index *x, enum rn_join_kind kind,
		      const struct rn_pair_test *test, struct rn_join_result *out,
		      struct rn_err *e)
{
	return join_if(c, left, right, x, kind, test, true, out, e);
}
