/* SPDX-License-Identifier: Apache-2.0
 *
 * Regular expressions: the pattern becomes a program for a machine with many
 * threads in order of preference, which step from character to character
 * together (R. Pike; R. Cox, "Regular Expression Matching: the Virtual Machine
 * Approach").  An instruction is in a list of threads once at most.
 */
#include "regex_impl.h"

#include <stdlib.h>
#include <string.h>

enum {
	MAX_PROG = 10000, /* instructions */
	NO_BYTE = 256,
};

/* ---- the program --------------------------------------------------------------------- */

static const char too_large[] = "too many repeats in repeats";

/* The number of a new instruction.  Where there is no room, the last one: `why` is set. */
static uint32_t emit(struct rn_re_pattern *p, enum rn_re_op op, uint32_t x, uint32_t y)
{
	struct rn_regex *r = p->x;

	if (r->n == MAX_PROG) {
		rn_regex_wrong(p, too_large);
		return MAX_PROG - 1;
	}
	r->prog[r->n] = (struct rn_re_inst){ op, x, y };
	return r->n++;
}

static void emit_node(struct rn_re_pattern *p, const struct rn_re_node *t);

/* Either way first, by preference. */
static void aim(struct rn_re_pattern *p, uint32_t split, bool lazy, uint32_t in, uint32_t out)
{
	p->x->prog[split].x = lazy ? out : in;
	p->x->prog[split].y = lazy ? in : out;
}

static void emit_repeat(struct rn_re_pattern *p, const struct rn_re_node *t)
{
	uint32_t split, first = p->x->n;

	for (uint32_t i = 0; i < t->min && !p->why; i++) {
		first = p->x->n;
		emit_node(p, t->a);
	}
	if (t->max == UINT32_MAX && t->min) { /* the last one again */
		split = emit(p, RN_RE_SPLIT, 0, 0);
		aim(p, split, t->lazy, first, p->x->n);
	} else if (t->max == UINT32_MAX) {
		split = emit(p, RN_RE_SPLIT, 0, 0);
		emit_node(p, t->a);
		emit(p, RN_RE_JUMP, split, 0);
		aim(p, split, t->lazy, split + 1, p->x->n);
	} else {
		uint32_t end = UINT32_MAX, next; /* a chain of splits that all lead to the end */

		for (uint32_t i = t->min; i < t->max && !p->why; i++) {
			split = emit(p, RN_RE_SPLIT, end, 0);
			end = split;
			emit_node(p, t->a);
		}
		for (split = end; split != UINT32_MAX && !p->why; split = next) {
			next = p->x->prog[split].x;
			aim(p, split, t->lazy, split + 1, p->x->n);
		}
	}
}

static void emit_or(struct rn_re_pattern *p, const struct rn_re_node *t)
{
	uint32_t split = emit(p, RN_RE_SPLIT, 0, 0), jump;

	emit_node(p, t->a);
	jump = emit(p, RN_RE_JUMP, 0, 0);
	aim(p, split, false, split + 1, p->x->n);
	emit_node(p, t->b);
	p->x->prog[jump].x = p->x->n;
}

static void emit_node(struct rn_re_pattern *p, const struct rn_re_node *t)
{
	if (p->why)
		return;
	if (++p->steps > 20 * MAX_PROG) /* repeats of nothing leave no instructions */
		rn_regex_wrong(p, too_large);
	switch (t->kind) {
	case RN_RE_T_ONE:
		emit(p, t->one.op, t->one.x, 0);
		return;
	case RN_RE_T_CAT:
		emit_node(p, t->a);
		emit_node(p, t->b);
		return;
	case RN_RE_T_OR:
		emit_or(p, t);
		return;
	case RN_RE_T_REPEAT:
		emit_repeat(p, t);
		return;
	case RN_RE_T_GROUP:
		if (t->group != UINT32_MAX)
			emit(p, RN_RE_SAVE, 2 * t->group, 0);
		emit_node(p, t->a);
		if (t->group != UINT32_MAX)
			emit(p, RN_RE_SAVE, 2 * t->group + 1, 0);
		return;
	default:
		return;
	}
}

static int first_byte(const struct rn_regex *x)
{
	uint32_t pc = 0;

	while (x->prog[pc].op == RN_RE_SAVE)
		pc++;
	return x->prog[pc].op == RN_RE_CHAR && x->prog[pc].x < 0x80 ? (int)x->prog[pc].x : NO_BYTE;
}

enum { MAX_PATTERN = 2000 }; /* bytes: bounds the depth of a chain, too */

struct rn_regex *rn_regex_new(struct rn_arena *a, const char *s, size_t n, const char **why,
			      struct rn_err *e)
{
	struct rn_re_pattern p = { .mem = a, .e = e, .s = s, .n = n, .groups = 1 };
	struct rn_re_node *t;

	*why = NULL;
	if (n > MAX_PATTERN) {
		*why = "more than 2000 bytes";
		return NULL;
	}
	p.x = rn_arena_alloc(a, sizeof *p.x, e);
	if (!p.x)
		return NULL;
	p.x->prog = rn_arena_alloc(a, MAX_PROG * sizeof *p.x->prog, e);
	if (!p.x->prog)
		return NULL;
	t = rn_regex_parse(&p);
	if (t) {
		emit(&p, RN_RE_SAVE, 0, 0);
		emit_node(&p, t);
		emit(&p, RN_RE_SAVE, 1, 0);
		emit(&p, RN_RE_MATCH, 0, 0);
	}
	*why = p.why;
	if (!t || p.why)
		return NULL;
	p.x->first = first_byte(p.x);
	return p.x;
}

/* ---- the machine --------------------------------------------------------------------- */

enum { PLACES = 2 * RN_REGEX_GROUPS };

/* Threads in order of preference: where they are, and where their groups were. */
struct list {
	uint32_t n, *pc, *at; /* at[pc]: its place in the list, if pc[at[pc]] == pc */
	size_t (*places)[PLACES];
};

/* Instructions to follow, and places to put back as they were. */
struct todo {
	uint32_t pc; /* UINT32_MAX: put back */
	uint32_t place;
	size_t was;
};

struct rn_regex_run {
	const struct rn_regex *x;
	struct list lists[2];
	struct todo *todo;
	const char *s;
	size_t n;
	bool keeps; /* somebody asks for the places */
};

int rn_regex_open(const struct rn_regex *x, struct rn_regex_run **out, struct rn_err *e)
{
	struct rn_regex_run *r;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *r, "a pattern", &r, e));
	r->x = x;
	rc = rn_calloc(2 * (size_t)x->n + 2, sizeof *r->todo, "a pattern", &r->todo, e);
	for (int i = 0; i < 2 && !rc; i++) {
		struct list *l = &r->lists[i];

		rc = rn_calloc(x->n, sizeof *l->pc, "a pattern", &l->pc, e);
		if (!rc)
			rc = rn_calloc(x->n, sizeof *l->at, "a pattern", &l->at, e);
		if (!rc)
			rc = rn_calloc(x->n, sizeof *l->places, "a pattern", &l->places, e);
	}
	if (rc)
		rn_regex_close(r);
	else
		*out = r;
	return rc;
}

void rn_regex_close(struct rn_regex_run *r)
{
	if (!r)
		return;
	for (int i = 0; i < 2; i++) {
		free(r->lists[i].pc);
		free(r->lists[i].at);
		free(r->lists[i].places);
	}
	free(r->todo);
	free(r);
}

static bool at_edge(const struct rn_regex_run *r, size_t at)
{
	bool before = at > 0 && rn_regex_is_word((unsigned char)r->s[at - 1]);
	bool after = at < r->n && rn_regex_is_word((unsigned char)r->s[at]);

	return before != after;
}

/* Does an instruction that takes no character let a thread pass? */
static bool passes(const struct rn_regex_run *r, enum rn_re_op op, size_t at)
{
	switch (op) {
	case RN_RE_START:
		return at == 0;
	case RN_RE_END:
		return at == r->n;
	case RN_RE_EDGE:
		return at_edge(r, at);
	default:
		return !at_edge(r, at);
	}
}

/* Add the thread at pc, and what it leads to without a character, to l.  Each
 * instruction is followed once, and leaves two things to do at most. */
static void add(struct rn_regex_run *r, struct list *l, uint32_t pc, size_t at, size_t *places)
{
	uint32_t n = 0;

	r->todo[n++] = (struct todo){ pc, 0, 0 };
	while (n) {
		struct todo t = r->todo[--n];
		const struct rn_re_inst *i;

		if (t.pc == UINT32_MAX) {
			places[t.place] = t.was;
			continue;
		}
		if (l->at[t.pc] < l->n && l->pc[l->at[t.pc]] == t.pc)
			continue;
		l->at[t.pc] = l->n;
		l->pc[l->n++] = t.pc;
		i = &r->x->prog[t.pc];
		switch (i->op) {
		case RN_RE_JUMP:
			r->todo[n++] = (struct todo){ i->x, 0, 0 };
			break;
		case RN_RE_SPLIT:
			r->todo[n++] = (struct todo){ i->y, 0, 0 };
			r->todo[n++] = (struct todo){ i->x, 0, 0 };
			break;
		case RN_RE_SAVE:
			r->todo[n++] = (struct todo){ UINT32_MAX, i->x, places[i->x] };
			r->todo[n++] = (struct todo){ t.pc + 1, 0, 0 };
			places[i->x] = at;
			break;
		case RN_RE_START:
		case RN_RE_END:
		case RN_RE_EDGE:
		case RN_RE_NO_EDGE:
			if (passes(r, i->op, at))
				r->todo[n++] = (struct todo){ t.pc + 1, 0, 0 };
			break;
		default:
			if (r->keeps)
				memcpy(l->places[l->n - 1], places, sizeof *l->places);
		}
	}
}

static bool in_set(const struct rn_re_set *t, uint32_t c)
{
	for (size_t i = 0; i < t->n; i++)
		if (c >= t->r[i].from && c <= t->r[i].to)
			return !t->negated;
	return t->negated;
}

static bool takes(const struct rn_regex *x, const struct rn_re_inst *i, uint32_t c)
{
	switch (i->op) {
	case RN_RE_CHAR:
		return c == i->x;
	case RN_RE_ANY:
		return c != '\n';
	case RN_RE_SET:
		return in_set(&x->sets[i->x], c);
	default:
		return false;
	}
}

/* Move the threads of l over the character c to `to`, where the text is at `at`; true if
 * one of them had matched before, which those after it cannot better. */
static bool step(struct rn_regex_run *r, struct list *l, struct list *to, uint32_t c, bool ended,
		 size_t at, size_t *found)
{
	for (uint32_t k = 0; k < l->n; k++) {
		const struct rn_re_inst *i = &r->x->prog[l->pc[k]];

		if (i->op == RN_RE_MATCH) {
			memcpy(found, l->places[k], sizeof *l->places);
			return true;
		}
		if (!ended && takes(r->x, i, c))
			add(r, to, l->pc[k] + 1, at, l->places[k]);
	}
	return false;
}

bool rn_regex_find(struct rn_regex_run *r, const char *s, size_t n, size_t from, size_t *groups)
{
	struct list *l = &r->lists[0], *to = &r->lists[1], *swap;
	size_t start[PLACES], found[PLACES], at = from, next;
	bool matched = false;

	r->s = s;
	r->n = n;
	r->keeps = groups;
	l->n = 0;
	for (;; at = next) {
		uint32_t c = 0;

		if (!l->n && matched)
			break;
		if (!l->n && at < n && r->x->first != NO_BYTE) {
			const char *hit = memchr(s + at, r->x->first, n - at);

			if (!hit)
				break;
			at = (size_t)(hit - s);
		}
		if (!matched) {
			memset(start, 0xFF, sizeof start);
			add(r, l, 0, at, start);
		}
		next = at;
		if (at < n)
			c = rn_regex_take(s, n, &next);
		to->n = 0;
		matched |= step(r, l, to, c, at == n, next, found);
		if (matched && !groups)
			return true;
		if (at == n)
			break;
		swap = l;
		l = to;
		to = swap;
	}
	if (matched && groups)
		memcpy(groups, found, sizeof found);
	return matched;
}
