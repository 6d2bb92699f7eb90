/* SPDX-License-Identifier: Apache-2.0
 *
 * The state of a parse.  Private to parse.c (statements, rules) and parse_term.c.
 *
 * A function that fails has told the diag, or left RN_ENOMEM in rc, and returns NULL
 * or false; parse.c then goes on at the next statement.
 */
#ifndef RN_LANG_PARSER_H
#define RN_LANG_PARSER_H

#include "lex.h"
#include "parse.h"

struct rn_parser {
	struct rn_diag *d;
	struct rn_arena *arena;
	struct rn_tok t;    /* the next token */
	uint32_t last_end;  /* of the token before it */
	unsigned depth;     /* of the nesting */
	uint32_t cond;      /* where a condition begins, behind its parentheses */
	/* The chain of comparisons in these parentheses, and where its second sign is; or NULL. */
	const struct rn_term *chain;
	uint32_t chain_at, chain_end;
	int rc;             /* 0, or RN_ENOMEM */
	struct rn_err *e;
};

static inline bool rn_at(const struct rn_parser *p, char ch)
{
	return p->t.kind == RN_TOK_PUNCT && p->t.ch == ch;
}
/* Is the next token this word? */
static inline bool rn_at_word(const struct rn_parser *p, const char *word)
{
	uint32_t i = 0;

	if (p->t.kind != RN_TOK_NAME)
		return false;
	for (; word[i] && p->t.at + i < p->t.end; i++)
		if (p->d->text[p->t.at + i] != word[i])
			return false;
	return !word[i] && p->t.at + i == p->t.end;
}

void rn_next(struct rn_parser *p);
struct rn_tok rn_peek(const struct rn_parser *p); /* the token behind the next one */
bool rn_take(struct rn_parser *p, char ch);       /* if it is next */
/* It must be next; `where` completes "expected ')' …". */
bool rn_expect(struct rn_parser *p, char ch, const char *where);
/* The end of < >: takes the first character of >= too. */
bool rn_expect_close(struct rn_parser *p);
void *rn_fail(struct rn_parser *p, const char *want); /* "expected WANT, not 'x'"; NULL */

/* What is written in place of the next token, where that is a word or sign of another language:
 * "; …", behind an error; else "". */
const char *rn_foreign(const struct rn_parser *p);

void *rn_parser_alloc(struct rn_parser *p, size_t size); /* zeroed; NULL */
char *rn_parser_text(struct rn_parser *p, struct rn_tok t); /* of a name or a string, decoded */
char *rn_take_name(struct rn_parser *p, const char *want, uint32_t *at);
/* Room for one more of *n items; the new one, zeroed, or NULL. */
void *rn_parser_push(struct rn_parser *p, void *items, uint32_t *n, size_t size);

struct rn_term *rn_parse_term(struct rn_parser *p);     /* with a comparison */
/* A condition: with a comparison or more of them, 1 < x <= 4, also all of it in parentheses. */
struct rn_term *rn_parse_condition(struct rn_parser *p);
struct rn_term *rn_parse_additive(struct rn_parser *p); /* without: + - and below */
/* [ < additive, … > ]: template arguments, if they follow; false: an error was told. */
bool rn_parse_targs(struct rn_parser *p, struct rn_term ***args, uint32_t *n, bool *there);

/* Does `<` here open template arguments?  They hold no comparison, and what follows
 * the closing > begins no operand. */
bool rn_targs_follow(const struct rn_parser *p);
/* Is it the <> of K<>(z)?  `a <> (b)` compares: blanks tell them apart. */
bool rn_empty_targs(const struct rn_parser *p);

#endif
