/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens of a query program.  Reading is on demand and a position is one number, so
 * that the parser may look ahead as far as it likes.  Private to lib/lang.
 */
#ifndef RN_LANG_LEX_H
#define RN_LANG_LEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum rn_tok_kind {
	RN_TOK_END,
	RN_TOK_BAD,    /* a character that no token begins with, or a string without an end */
	RN_TOK_NAME,   /* letters, digits, _; also between backquotes (then without them) */
	RN_TOK_NUM,
	RN_TOK_STR,
	RN_TOK_PUNCT,  /* one of ( ) [ ] { } < > , ; : | ? ! + - * / % @ = . and the pairs below */
	RN_TOK_IF,     /* :- */
	RN_TOK_ARROW,  /* -> */
	RN_TOK_POW,    /* ** */
	RN_TOK_EQ,     /* == */
	RN_TOK_NE,     /* != <> */
	RN_TOK_LE,     /* <= */
	RN_TOK_GE,     /* >= */
};

struct rn_tok {
	enum rn_tok_kind kind;
	char ch;          /* RN_TOK_PUNCT */
	uint32_t at, end; /* of its text, quotes and backquotes included */
};

/* The token at or behind `at`, blanks and comments passed over. */
struct rn_tok rn_lex(const char *text, size_t len, uint32_t at);

/* How messages call it: "'Citse'", "the end of the program"; into buf. */
const char *rn_tok_label(const char *text, const struct rn_tok *t, char *buf, size_t size);

#endif
