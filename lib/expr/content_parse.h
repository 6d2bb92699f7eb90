/* SPDX-License-Identifier: Apache-2.0
 *
 * What the two halves of the parser of content expressions share: operators
 * (content_parse.c) and what stands between them (content_primary.c).
 */
#ifndef RN_CONTENT_PARSE_H
#define RN_CONTENT_PARSE_H

#include "content_node.h"

struct rn_cx_parser {
	struct rn_cexpr *x;
	const struct rn_schema *schema;
	const char *text;
	struct rn_cx_token t; /* the next one */
	unsigned depth;
	struct rn_err *e;
};

/* A list of nodes under construction. */
struct rn_cx_list {
	struct rn_cx_node **at;
	size_t n, cap;
};

/* The error that something else is expected in place of the next token. */
int rn_cx_expected(struct rn_cx_parser *p, const char *what);

void rn_cx_advance(struct rn_cx_parser *p);
bool rn_cx_is_word(const struct rn_cx_parser *p, const char *w);
bool rn_cx_is_symbol(const struct rn_cx_parser *p, const char *w);
bool rn_cx_take_word(struct rn_cx_parser *p, const char *w);
bool rn_cx_take_symbol(struct rn_cx_parser *p, const char *w);
RN_MUST_CHECK int rn_cx_need_symbol(struct rn_cx_parser *p, const char *w);
RN_MUST_CHECK int rn_cx_need_word(struct rn_cx_parser *p, const char *w);

/* A checked node. */
RN_MUST_CHECK int rn_cx_make(struct rn_cx_parser *p, enum rn_cx_op op, size_t pos, size_t n,
			     struct rn_cx_node *const *kids, struct rn_cx_node **out);
RN_MUST_CHECK int rn_cx_push(struct rn_cx_parser *p, struct rn_cx_list *l, struct rn_cx_node *n);
/* The text between the quotes of the token, doubled ones single; of the arena. */
RN_MUST_CHECK int rn_cx_unquote(struct rn_cx_parser *p, char **out, size_t *len);

RN_MUST_CHECK int rn_cx_parse_or(struct rn_cx_parser *p, struct rn_cx_node **out);
RN_MUST_CHECK int rn_cx_parse_primary(struct rn_cx_parser *p, struct rn_cx_node **out);
/* A number, from `pos`, where its minus may stand. */
RN_MUST_CHECK int rn_cx_parse_number(struct rn_cx_parser *p, size_t pos, struct rn_cx_node **out);

#endif
