/* SPDX-License-Identifier: Apache-2.0
 *
 * Instructions get the clocks of their parts (vector clocks): clock[q] is 1 + the last
 * instruction of part q that has ended when this one begins, whatever the order in which
 * the parts run.  A part runs its instructions one after the other, and one that reads what
 * another part makes begins after it.  (Segments, which follow from images, order more.)
 */
#include "place.h"

#include <stdlib.h>
#include <string.h>

/* The last instruction of a part that makes or reads a value. */
struct use {
	uint32_t part, last, before; /* before: 1 + another part's use of the same value */
};

struct crossing {
	uint32_t val, uses; /* uses: 1 + its last */
	uint64_t bytes;
	const uint32_t *clock; /* of the instruction that makes it */
	bool kept;
};

struct placing {
	struct rn_cut *cut;
	const struct rn_prog *prog;
	uint32_t forward, n, *number; /* number[val]: in crossings, or RN_NONE */
	struct crossing *crossings;
	uint32_t *clocks; /* [n][nparts], then [nparts][nparts]: of each part's last instruction */
	struct use *uses;
	size_t nuses, cap_uses;
};

static uint32_t root(const struct placing *s, uint32_t v)
{
	return v == RN_NONE ? v : rn_cut_root(s->prog, v);
}

static uint32_t *part_clock(const struct placing *s, uint32_t part)
{
	return s->clocks + ((size_t)s->n + part) * s->cut->nparts;
}

static uint32_t *clock_of(const struct placing *s, const struct crossing *x)
{
	return s->clocks + (size_t)(x - s->crossings) * s->cut->nparts;
}

static int add_use(struct placing *s, uint32_t v, uint32_t inst, struct rn_err *e)
{
	uint32_t part = s->cut->part_of[inst], u;
	struct crossing *x;

	if (v == RN_NONE || s->number[v] == RN_NONE)
		return 0;
	x = &s->crossings[s->number[v]];
	for (u = x->uses; u && s->uses[u - 1].part != part; u = s->uses[u - 1].before)
		;
	if (u) {
		s->uses[u - 1].last = inst;
		return 0;
	}
	RN_TRY(rn_grow(&s->uses, &s->cap_uses, s->nuses + 1, sizeof *s->uses, "stages", e));
	s->uses[s->nuses++] = (struct use){ part, inst, x->uses };
	x->uses = (uint32_t)s->nuses;
	return 0;
}

static void join(uint32_t *clock, const uint32_t *other, uint32_t n)
{
	for (uint32_t q = 0; q < n; q++)
		clock[q] = clock[q] < other[q] ? other[q] : clock[q];
}

/* Instruction k begins after what it reads was made, and ends. */
static int run(struct placing *s, uint32_t k, struct rn_err *e)
{
	const struct rn_inst *i = &s->prog->insts[k];
	uint32_t part = s->cut->part_of[k], nparts = s->cut->nparts, *clock = part_clock(s, part);

	for (uint32_t n = 0; n < i->nin; n++) {
		uint32_t v = root(s, i->in[n].val);

		RN_TRY(add_use(s, v, k, e));
		if (v != RN_NONE && s->number[v] != RN_NONE)
			join(clock, clock_of(s, &s->crossings[s->number[v]]), nparts);
	}
	clock[part] = k + 1;
	RN_TRY(add_use(s, i->out, k, e));
	/* A parameter's step is no value that crosses, and makes none. */
	if (s->number[i->out] != RN_NONE)
		memcpy(clock_of(s, &s->crossings[s->number[i->out]]), clock, nparts * sizeof *clock);
	return 0;
}

static int run_all(struct placing *s, struct rn_err *e)
{
	uint32_t nparts = s->cut->nparts;

	for (uint32_t k = 0; k < s->prog->ninsts; k++) {
		for (size_t i = 0; k == s->forward && i < (size_t)nparts * nparts; i++)
			part_clock(s, 0)[i] = k;
		if (s->cut->part_of[k] != RN_NONE)
			RN_TRY(run(s, k, e));
	}
	return 0;
}

/* Does the instruction read value v, if it does, number by number as it writes its result? */
static bool is_overwritten(const struct placing *s, const struct rn_inst *i, uint32_t v)
{
	const struct rn_val *o = &s->prog->vals[i->out];

	if (i->op != RN_P_EW && i->op != RN_P_ELEM)
		return false;
	for (uint32_t n = 0; n < i->nin; n++) {
		const struct rn_val *x = i->in[n].val == RN_NONE ? NULL : &s->prog->vals[i->in[n].val];

		if (x && root(s, i->in[n].val) == v &&
		    (i->in[n].fmap != RN_NONE || i->in[n].rmap != RN_NONE || x->rows != o->rows ||
		     x->width != o->width || x->index))
			return false;
	}
	return true;
}

/* Is all that is done with a over before b is made?  over: it may be read last where b is
 * written over it. */
static bool is_before(const struct placing *s, const struct crossing *a, const struct crossing *b,
		      bool over)
{
	uint32_t made = s->prog->vals[b->val].inst, part = s->cut->part_of[made];

	if (a->kept)
		return false;
	for (uint32_t u = a->uses; u; u = s->uses[u - 1].before) {
		const struct use *x = &s->uses[u - 1];

		if (over && x->last == made && is_overwritten(s, &s->prog->insts[made], a->val))
			continue;
		if (x->part == part ? x->last >= made : x->last >= b->clock[x->part])
			return false;
	}
	return true;
}

static int compare_sizes(const void *a, const void *b)
{
	const struct crossing *x = *(const struct crossing *const *)a;
	const struct crossing *y = *(const struct crossing *const *)b;

	if (x->bytes != y->bytes)
		return x->bytes < y->bytes ? 1 : -1;
	return (x->val > y->val) - (x->val < y->val);
}

static bool is_apart(const struct placing *s, const struct crossing *a, const struct crossing *b,
		     bool over)
{
	return is_before(s, a, b, over) || is_before(s, b, a, over);
}

/* The lowest place from `at` on for b, beside those of list[0 … n-1] that need theirs at the same
 * time, which are in order of place.  What is written over another lies just where that does. */
static uint64_t find_gap(const struct placing *s, struct crossing *const *list, uint32_t n,
			 const struct crossing *b, uint64_t at)
{
	uint64_t behind = 0; /* where it can lie if not over the one that was found for that */

	for (uint32_t i = 0; i < n; i++) {
		const struct crossing *a = list[i];
		uint64_t from = s->cut->place[a->val], end = from + a->bytes;

		if (end <= at || is_apart(s, a, b, false))
			continue;
		if (from >= at + b->bytes)
			break;
		if (from >= at && (from == at || from >= behind) && a->bytes == b->bytes &&
		    is_apart(s, a, b, true)) {
			at = from;
			behind = end;
		} else {
			at = end > behind ? end : behind;
		}
	}
	return at;
}

/* The large ones first, each as low as it can be. */
static int place_all(struct placing *s, struct rn_err *e)
{
	struct crossing **by_size = NULL, **placed = NULL;
	uint64_t from = s->cut->size;
	int rc;

	RN_GOTO(out, rn_calloc(s->n, sizeof *by_size, "stages", &by_size, e));
	RN_GOTO(out, rn_calloc(s->n, sizeof *placed, "stages", &placed, e));
	for (uint32_t i = 0; i < s->n; i++)
		by_size[i] = &s->crossings[i];
	qsort(by_size, s->n, sizeof *by_size, compare_sizes);
	for (uint32_t i = 0; i < s->n; i++) {
		uint64_t at = find_gap(s, placed, i, by_size[i], from);
		uint32_t k = i;

		for (; k > 0 && s->cut->place[placed[k - 1]->val] > at; k--)
			placed[k] = placed[k - 1];
		placed[k] = by_size[i];
		s->cut->place[by_size[i]->val] = at;
		if (at + by_size[i]->bytes > s->cut->size)
			s->cut->size = at + by_size[i]->bytes;
	}
out:
	free(by_size);
	free(placed);
	return rc;
}

static int list_crossings(struct placing *s, uint32_t val, struct rn_err *e)
{
	uint32_t nparts = s->cut->nparts;

	RN_TRY(rn_calloc(s->prog->nvals, sizeof *s->number, "stages", &s->number, e));
	RN_TRY(rn_calloc(s->prog->nvals, sizeof *s->crossings, "stages", &s->crossings, e));
	for (uint32_t v = 0; v < s->prog->nvals; v++) {
		const struct rn_val *x = &s->prog->vals[v];
		uint64_t bytes = (uint64_t)x->rows * x->width * sizeof(float);

		s->number[v] = RN_NONE;
		if (s->cut->place[v] == RN_UNSHARED)
			continue;
		s->number[v] = s->n;
		bytes = (bytes + RN_ALIGN - 1) & ~(uint64_t)(RN_ALIGN - 1);
		s->crossings[s->n++] = (struct crossing){ .val = v, .bytes = bytes,
							  .kept = x->keep || v == root(s, val) };
	}
	RN_TRY(rn_calloc(((size_t)s->n + nparts) * nparts, sizeof *s->clocks, "stages", &s->clocks,
			 e));
	for (uint32_t i = 0; i < s->n; i++)
		s->crossings[i].clock = clock_of(s, &s->crossings[i]);
	return 0;
}

int rn_place_values(struct rn_cut *c, const struct rn_prog *p, uint32_t forward, uint32_t val,
		    struct rn_err *e)
{
	struct placing s = { .cut = c, .prog = p, .forward = forward };
	int rc;

	RN_GOTO(out, list_crossings(&s, val, e));
	RN_GOTO(out, run_all(&s, e));
	rc = place_all(&s, e);
out:
	free(s.number);
	free(s.crossings);
	free(s.clocks);
	free(s.uses);
	return rc;
}
