/* SPDX-License-Identifier: Apache-2.0
 *
 * Statements that stand in a program twice, word for word.
 */
#include "lex.h"
#include "parse.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

struct table {
	const struct rn_diag *d;
	size_t cap;                /* a power of two */
	struct rn_stmt **slots;
};

static uint32_t end_of(const struct rn_stmt *s)
{
	return s->rule ? s->rule->end : s->end;
}

/* Blanks and comments do not count. */
static uint64_t hash_words(const struct rn_diag *d, const struct rn_stmt *s)
{
	uint64_t h = s->kind;

	for (struct rn_tok t = rn_lex(d->text, d->len, s->at); t.kind != RN_TOK_END && t.at < end_of(s);
	     t = rn_lex(d->text, d->len, t.end))
		h = XXH3_64bits_withSeed(d->text + t.at, t.end - t.at, h);
	return h;
}

static bool same_words(const struct rn_diag *d, const struct rn_stmt *a, const struct rn_stmt *b)
{
	struct rn_tok s = rn_lex(d->text, d->len, a->at), t = rn_lex(d->text, d->len, b->at);

	while (s.at < end_of(a) && t.at < end_of(b) && s.kind != RN_TOK_END && t.kind != RN_TOK_END) {
		if (s.end - s.at != t.end - t.at || memcmp(d->text + s.at, d->text + t.at, s.end - s.at))
			return false;
		s = rn_lex(d->text, d->len, s.end);
		t = rn_lex(d->text, d->len, t.end);
	}
	return a->kind == b->kind && s.at >= end_of(a) && t.at >= end_of(b);
}

static struct rn_stmt **find(const struct table *t, const struct rn_stmt *s)
{
	size_t i = hash_words(t->d, s) & (t->cap - 1);

	while (t->slots[i] && !same_words(t->d, t->slots[i], s))
		i = (i + 1) & (t->cap - 1);
	return &t->slots[i];
}

static int drop(const struct rn_diag *d, struct rn_stmt *stmts, uint32_t n, struct rn_err *e)
{
	struct table t = { .d = d, .cap = 16 };
	struct rn_stmt **slot;
	int rc;

	while (t.cap < 2 * (size_t)n)
		t.cap *= 2;
	RN_TRY(rn_calloc(t.cap, sizeof(struct rn_stmt *), "statements", &t.slots, e));
	for (uint32_t i = 0; i < n; i++) {
		struct rn_stmt *s = &stmts[i];

		if (s->kind == RN_S_FUNCTION)
			RN_GOTO(out, drop(d, s->body, s->nbody, e));
		if (s->kind == RN_S_FIT || s->kind == RN_S_VAL || s->kind == RN_S_EVAL || !s->name)
			continue;
		slot = find(&t, s);
		/* A prediction is made at its last place, with the weights that there are by then. */
		if (*slot && s->kind == RN_S_PRED)
			(*slot)->kind = RN_S_REPEATED;
		if (!*slot || s->kind == RN_S_PRED)
			*slot = s;
		else
			s->kind = RN_S_REPEATED;
	}
	rc = 0;
out:
	free(t.slots);
	return rc;
}

int rn_program_drop_repeated(const struct rn_diag *d, struct rn_program *p, struct rn_err *e)
{
	return drop(d, p->stmts, p->nstmts, e);
}
