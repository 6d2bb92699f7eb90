/* SPDX-License-Identifier: Apache-2.0
 *
 * A regular expression between its parser and its machine.  Private to regex*.c.
 */
#ifndef RN_REGEX_IMPL_H
#define RN_REGEX_IMPL_H

#include "regex.h"

#include <stdint.h>

enum rn_re_op {
	RN_RE_CHAR, /* x */
	RN_RE_ANY,
	RN_RE_SET,   /* number x */
	RN_RE_SPLIT, /* goes on at x, else at y */
	RN_RE_JUMP,  /* goes on at x */
	RN_RE_SAVE,  /* the place x is here */
	RN_RE_START, /* of the text; these four take no character */
	RN_RE_END,
	RN_RE_EDGE, /* of a word */
	RN_RE_NO_EDGE,
	RN_RE_MATCH,
};

struct rn_re_inst {
	enum rn_re_op op;
	uint32_t x, y;
};

/* Ranges of characters; in a negated set the others count. */
struct rn_re_set {
	bool negated;
	size_t n, cap;
	struct rn_re_range {
		uint32_t from, to;
	} *r;
};

struct rn_regex {
	struct rn_re_inst *prog;
	uint32_t n;
	struct rn_re_set *sets;
	size_t nsets;
	int first; /* the byte that every match starts with, or NO_BYTE */
};

/* ---- the pattern as a tree ---------------------------------------------------------------- */

struct rn_re_node {
	enum {
		RN_RE_T_EMPTY,
		RN_RE_T_ONE, /* an instruction: a character, a set, an edge */
		RN_RE_T_CAT, /* a, then b */
		RN_RE_T_OR,  /* a or b */
		RN_RE_T_REPEAT,
		RN_RE_T_GROUP,
	} kind;
	struct rn_re_inst one;
	struct rn_re_node *a, *b;
	uint32_t min, max; /* of a repeat; UINT32_MAX: any number */
	bool lazy;
	uint32_t group; /* UINT32_MAX: it is not kept */
};

struct rn_re_pattern {
	struct rn_arena *mem;
	struct rn_err *e;
	const char *s;
	size_t n, at;
	const char *why;
	bool fold; /* letters of any case */
	unsigned depth;
	uint32_t groups, steps; /* of making the program */
	struct rn_regex *x;
	size_t cap_sets;
};

/* The tree; NULL: `why` says what is wrong, or there is no memory. */
struct rn_re_node *rn_regex_parse(struct rn_re_pattern *p);
/* Nothing of it is right for the reason `why`, unless there is an earlier one. */
struct rn_re_node *rn_regex_wrong(struct rn_re_pattern *p, const char *why);

/* The character at s[*at], which moves past it; a stray byte is 0x110000 + byte. */
uint32_t rn_regex_take(const char *s, size_t n, size_t *at);

static inline bool rn_regex_is_word(uint32_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

#endif
