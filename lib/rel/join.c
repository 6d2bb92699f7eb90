/* SPDX-License-Identifier: Apache-2.0
 *
 * Equi-joins of two inputs by an index of the right one.  First every left row
 * gets the number of its key on the right, which gives the number of output
 * rows of each part; then the output is allocated and written once, the parts
 * side by side, in the order of the left rows.
 */
#include "join.h"

#include "../base/opt.h"
#include "part.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int rn_hash_index_new(const struct rn_ctx *c, const struct rn_key *k, struct rn_hash_index **out,
		      struct rn_err *e)
{
	struct rn_team *t = rn_part_team(c);
	struct rn_hash_index *x;
	struct rn_buf *of = NULL;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *x, "an index", &x, e));
	RN_GOTO(fail, rn_buf_new_raw(k->rows * sizeof(uint32_t), "an index", &of, e));
	RN_GOTO(fail, rn_keyset_new(t, k, false, true, of->data, &x->set, e));
	RN_GOTO(fail, rn_rows_by_number(t, of->data, k->rows, x->set->n, true, &x->ptr, &x->rows, e));
	rn_buf_unref(of);
	x->nulls = rn_key_count_nulls(t, k);
	*out = x;
	return 0;
fail:
	rn_buf_unref(of);
	rn_hash_index_free(x);
	return rc;
}

void rn_hash_index_free(struct rn_hash_index *x)
{
	if (!x)
		return;
	rn_keyset_free(x->set);
	rn_buf_unref(x->ptr);
	rn_buf_unref(x->rows);
	free(x);
}

void rn_join_result_fini(struct rn_join_result *r)
{
	rn_buf_unref(r->left);
	rn_buf_unref(r->right);
	*r = (struct rn_join_result){ 0 };
}

/* ---- counts -------------------------------------------------------------------- */

/* A join by parts of the left rows: of each first how many rows it gives, then those. */
struct parts {
	const struct rn_hash_index *x;
	const uint32_t *of;
	uint64_t nleft;
	enum rn_join_kind kind;
	bool unique; /* no key has two right rows */
	struct part_count {
		uint64_t pairs, misses; /* pairs of matching rows; left rows without a match */
		uint64_t at;            /* the part's first row in the output */
	} *count;
	uint32_t *left, *right; /* the output */
};

static void count_part(void *arg, uint32_t part)
{
	const struct parts *p = arg;
	const uint32_t *ptr = p->x->ptr->data, *of = p->of;
	uint64_t from = rn_part_from(part), to = rn_part_to(part, p->nleft), pairs = 0, misses = 0;

	for (uint64_t i = from; i < to; i++)
		misses += of[i] == RN_NO_ROW;
	pairs = to - from - misses;
	for (uint64_t i = from; !p->unique && i < to; i++)
		if (of[i] != RN_NO_ROW)
			pairs += ptr[of[i] + 1] - ptr[of[i]] - 1;
	p->count[part] = (struct part_count){ .pairs = pairs, .misses = misses };
}

static uint64_t rows_of(enum rn_join_kind kind, uint64_t nleft, uint64_t pairs, uint64_t misses)
{
	switch (kind) {
	case RN_JOIN_INNER:
		return pairs;
	case RN_JOIN_LEFT:
	case RN_JOIN_FULL:
		return pairs + misses;
	case RN_JOIN_SEMI:
		return nleft - misses;
	default:
		return misses;
	}
}

/* The output rows of left rows, and the misses, of which o keeps the number. */
static void count_matches(struct rn_team *t, struct parts *p, struct rn_join_result *o)
{
	o->left_unmatched = 0;
	o->rows = 0;
	rn_part_run(t, p->nleft, count_part, p);
	for (uint32_t i = 0; i < rn_part_count(p->nleft); i++) {
		uint64_t n = rn_part_to(i, p->nleft) - rn_part_from(i);

		p->count[i].at = o->rows;
		o->rows += rows_of(p->kind, n, p->count[i].pairs, p->count[i].misses);
		o->left_unmatched += p->count[i].misses;
	}
}

/* ---- refusal ------------------------------------------------------------------- */

void rn_join_add_worst_key(const struct rn_hash_index *x, const uint32_t *of,
			   const struct rn_key *left, struct rn_str *b)
{
	const uint32_t *ptr = x->ptr->data;
	uint64_t n = x->set->n, worst = 0, most = 0, row = 0;
	uint32_t *count = calloc(n + 1, sizeof *count);

	if (!count)
		return;
	for (uint64_t i = 0; i < left->rows; i++)
		if (of[i] != RN_NO_ROW)
			count[of[i]]++;
	for (uint64_t g = 0; g < n; g++) {
		uint64_t rows = (uint64_t)count[g] * (ptr[g + 1] - ptr[g]);

		if (rows > most) {
			most = rows;
			worst = g;
		}
	}
	while (row < left->rows && of[row] != worst)
		row++;
	if (most && left->n) {
		rn_str_add(b, "; ");
		rn_key_print(left, row, b);
		rn_str_addf(b, " alone gives %" PRIu64 " (%u left with %u right rows)", most,
			    count[worst], ptr[worst + 1] - ptr[worst]);
	}
	free(count);
}

uint64_t rn_join_most_rows(const struct rn_ctx *c, unsigned maps)
{
	uint64_t rows = c && c->mem_limit ? c->mem_limit / (maps * sizeof(uint32_t)) : RN_MAX_ROWS;

	return rows < RN_MAX_ROWS ? rows : RN_MAX_ROWS;
}

void rn_join_add_refusal(const struct rn_ctx *c, uint64_t nleft, uint64_t nright,
			 const char *gives, uint64_t rows, uint64_t bytes, struct rn_str *b)
{
	char limit[RN_SIZE_TEXT];

	rn_str_addf(b, "joining %" PRIu64 " with %" PRIu64 " rows %s %" PRIu64 " rows", nleft, nright,
		    gives, rows);
	if (rows > RN_MAX_ROWS)
		rn_str_addf(b, ", more than %" PRIu64, RN_MAX_ROWS);
	else
		rn_str_addf(b,
			    ", whose row numbers take %" PRIu64
			    " bytes, more than the memory limit of %s",
			    bytes, rn_size_text(c->mem_limit, limit));
}

int rn_join_refuse(struct rn_str *b, struct rn_err *e)
{
	int rc = rn_str_check(b, e);

	if (!rc)
		rc = rn_err_set(e, RN_ENOMEM, "%s", b->s);
	rn_str_fini(b);
	return rc;
}

/* ---- full joins ---------------------------------------------------------------- */

/* Which keys a left row has, and so which right rows have a partner. */
struct meetings {
	const struct rn_hash_index *x;
	const uint32_t *of;
	uint64_t nleft, nright;
	struct rn_buf *hit;  /* uint8_t[keys] */
	struct rn_buf *met;  /* uint8_t[nright] */
	struct rn_buf *rest; /* uint64_t[parts]: right rows without a partner, then where they go */
	struct rn_join_result *out;
};

static void hit_part(void *arg, uint32_t part)
{
	const struct meetings *m = arg;
	uint64_t to = rn_part_to(part, m->nleft);
	uint8_t *hit = m->hit->data;

	for (uint64_t i = rn_part_from(part); i < to; i++)
		if (m->of[i] != RN_NO_ROW)
			__atomic_store_n(&hit[m->of[i]], 1, __ATOMIC_RELAXED);
}

static void meet_part(void *arg, uint32_t part)
{
	const struct meetings *m = arg;
	const uint32_t *ptr = m->x->ptr->data;
	uint64_t to = rn_part_to(part, m->x->set->n);
	const uint8_t *hit = m->hit->data;
	uint8_t *met = m->met->data;

	for (uint64_t g = rn_part_from(part); g < to; g++)
		for (uint32_t j = ptr[g]; hit[g] && j < ptr[g + 1]; j++)
			met[rn_hash_index_row(m->x, j)] = 1;
}

static void count_rest(void *arg, uint32_t part)
{
	const struct meetings *m = arg;
	uint64_t to = rn_part_to(part, m->nright), n = 0;
	const uint8_t *met = m->met->data;

	for (uint64_t j = rn_part_from(part); j < to; j++)
		n += !met[j];
	((uint64_t *)m->rest->data)[part] = n;
}

/* The right rows that were not met, behind the rows of the left ones. */
static void write_rest(void *arg, uint32_t part)
{
	const struct meetings *m = arg;
	uint32_t *left = m->out->left->data, *right = m->out->right->data;
	uint64_t at = ((uint64_t *)m->rest->data)[part], to = rn_part_to(part, m->nright);
	const uint8_t *met = m->met->data;

	for (uint64_t j = rn_part_from(part); j < to; j++)
		if (!met[j]) {
			left[at] = RN_NO_ROW;
			right[at++] = (uint32_t)j;
		}
}

static int find_rest(struct rn_team *t, struct meetings *m, struct rn_err *e)
{
	uint32_t parts = rn_part_count(m->nright);
	uint64_t *rest, at = m->out->rows;

	RN_TRY(rn_buf_new(m->x->set->n, "a join", &m->hit, e));
	RN_TRY(rn_buf_new(m->nright, "a join", &m->met, e));
	RN_TRY(rn_buf_new(parts * sizeof *rest, "a join", &m->rest, e));
	rn_part_run(t, m->nleft, hit_part, m);
	rn_part_run(t, m->x->set->n, meet_part, m);
	rn_part_run(t, m->nright, count_rest, m);
	rest = m->rest->data;
	for (uint32_t i = 0; i < parts; i++) {
		uint64_t n = rest[i];

		rest[i] = at;
		at += n;
	}
	m->out->right_unmatched = at - m->out->rows;
	m->out->rows = at;
	return 0;
}

static void free_meetings(struct meetings *m)
{
	rn_buf_unref(m->hit);
	rn_buf_unref(m->met);
	rn_buf_unref(m->rest);
}

/* ---- output -------------------------------------------------------------------- */

static int new_map(uint64_t rows, struct rn_buf **out, struct rn_err *e)
{
	return rn_buf_new_raw(rows * sizeof(uint32_t), "a join", out, e);
}

/* Each left row has one output row: the numbers become right rows in place. */
static void write_one_to_one(void *arg, uint32_t part)
{
	const struct parts *p = arg;
	const uint32_t *rows = p->x->rows ? p->x->rows->data : NULL;
	uint64_t from = rn_part_from(part), to = rn_part_to(part, p->nleft);

	for (uint64_t i = from; i < to; i++)
		p->left[i] = (uint32_t)i;
	for (uint64_t i = from; rows && i < to; i++)
		p->right[i] = p->right[i] == RN_NO_ROW ? RN_NO_ROW : rows[p->right[i]];
}

/* Rows with (semi) or without (anti) a partner. */
static void write_semi(const struct parts *p, uint32_t part)
{
	uint64_t at = p->count[part].at, to = rn_part_to(part, p->nleft);

	for (uint64_t i = rn_part_from(part); i < to; i++)
		if ((p->of[i] == RN_NO_ROW) == (p->kind == RN_JOIN_ANTI))
			p->left[at++] = (uint32_t)i;
}

static void write_pairs(const struct parts *p, uint32_t part)
{
	const uint32_t *ptr = p->x->ptr->data, *rows = p->x->rows ? p->x->rows->data : NULL;
	uint64_t at = p->count[part].at, to = rn_part_to(part, p->nleft);
	uint32_t *left = p->left, *right = p->right;

	for (uint64_t i = rn_part_from(part); i < to; i++) {
		uint32_t of = p->of[i];

		if (of == RN_NO_ROW) {
			if (p->kind != RN_JOIN_INNER) {
				left[at] = (uint32_t)i;
				right[at++] = RN_NO_ROW;
			}
			continue;
		}
		if (p->unique) { /* key g has the one place g */
			left[at] = (uint32_t)i;
			right[at++] = rows ? rows[of] : of;
			continue;
		}
		for (uint32_t j = ptr[of]; j < ptr[of + 1]; j++) {
			left[at] = (uint32_t)i;
			right[at++] = rows ? rows[j] : j;
		}
	}
}

static void write_part(void *arg, uint32_t part)
{
	const struct parts *p = arg;

	if (rn_join_pairs(p->kind))
		write_pairs(p, part);
	else
		write_semi(p, part);
}

static int write_output(struct rn_team *t, struct parts *p, struct rn_buf *of,
			struct rn_join_result *o, struct rn_err *e)
{
	bool pairs = rn_join_pairs(p->kind);
	bool in_place = pairs && p->unique && o->rows == p->nleft && p->kind != RN_JOIN_FULL;

	RN_TRY(new_map(o->rows, &o->left, e));
	if (in_place)
		o->right = rn_buf_ref(of);
	else if (pairs)
		RN_TRY(new_map(o->rows, &o->right, e));
	p->left = o->left->data;
	p->right = pairs ? o->right->data : NULL;
	rn_part_run(t, p->nleft, in_place ? write_one_to_one : write_part, p);
	return 0;
}

int rn_join_find(struct rn_team *t, const struct rn_key *left, const struct rn_key *right,
		 const struct rn_hash_index *x, struct rn_buf **of, struct rn_join_result *o,
		 struct rn_err *e)
{
	int rc;

	*o = (struct rn_join_result){ 0 };
	RN_TRY(rn_key_check(left, right, e));
	if (left->rows > RN_MAX_ROWS)
		return rn_err_set(e, RN_EBUG, "a join of %" PRIu64 " rows", left->rows);
	RN_TRY(new_map(left->rows, of, e));
	rc = rn_keyset_find(t, x->set, right, left, (*of)->data, e);
	if (rc) {
		rn_buf_unref(*of);
		return rc;
	}
	o->left_null = rn_key_count_nulls(t, left);
	o->right_null = x->nulls;
	return 0;
}

static int refuse(const struct rn_ctx *c, const struct rn_key *left, const struct rn_key *right,
		  const struct parts *p, uint64_t rows, struct rn_err *e)
{
	unsigned maps = rn_join_pairs(p->kind) ? 2 : 1;
	struct rn_str b = RN_STR_INIT;

	rn_join_add_refusal(c, left->rows, right->rows, "gives", rows, rows * maps * sizeof(uint32_t),
			    &b);
	rn_join_add_worst_key(p->x, p->of, left, &b);
	return rn_join_refuse(&b, e);
}

int rn_join(const struct rn_ctx *c, const struct rn_key *left, const struct rn_key *right,
	    const struct rn_hash_index *x, enum rn_join_kind kind, struct rn_join_result *out,
	    struct rn_err *e)
{
	struct parts p = { .x = x, .nleft = left->rows, .kind = kind };
	struct meetings m = { .x = x, .nleft = left->rows, .nright = right->rows, .out = out };
	struct rn_team *t = rn_part_team(c);
	struct rn_buf *of;
	int rc;

	RN_TRY(rn_join_find(t, left, right, x, &of, out, e));
	p.of = m.of = of->data;
	p.unique = x->set->n == ((const uint32_t *)x->ptr->data)[x->set->n];
	RN_GOTO(out, rn_calloc(rn_part_count(left->rows), sizeof *p.count, "a join", &p.count, e));
	count_matches(t, &p, out);
	if (kind == RN_JOIN_FULL)
		RN_GOTO(out, find_rest(t, &m, e));
	if (out->rows > rn_join_most_rows(c, rn_join_pairs(kind) ? 2 : 1)) {
		rc = refuse(c, left, right, &p, out->rows, e);
		goto out;
	}
	RN_GOTO(out, write_output(t, &p, of, out, e));
	if (m.rest)
		rn_part_run(t, right->rows, write_rest, &m);
out:
	rn_buf_unref(of);
	free_meetings(&m);
	free(p.count);
	if (rc)
		rn_join_result_fini(out);
	return rc;
}
