/* SPDX-License-Identifier: Apache-2.0
 *
 * Text to syntax tree: a hand-written recursive descent.  It goes on after an error at
 * the next statement (behind a ` .`), so that several errors show in one run.  Input
 * is bounded: nesting (RN_PARSE_DEPTH), a program's length (RN_PARSE_MAX bytes).
 */
#ifndef RN_LANG_PARSE_H
#define RN_LANG_PARSE_H

#include "ast.h"
#include "diag.h"

enum { RN_PARSE_DEPTH = 200, RN_PARSE_MAX = 16 << 20 };

/* d has the text.  *out owned (rn_program_free), also when there were errors: then it
 * holds the statements that were right.  The return value is 0 unless memory ran out. */
RN_MUST_CHECK int rn_parse_program(struct rn_diag *d, struct rn_program **out, struct rn_err *e);
void rn_program_free(struct rn_program *p); /* NULL is fine */
/* All but one of the statements that are equal word for word become RN_S_REPEATED: the first one
 * of definitions stays, the last one of equal ?pred.  Other runs may be repeated. */
RN_MUST_CHECK int rn_program_drop_repeated(const struct rn_diag *d, struct rn_program *p,
					   struct rn_err *e);

/* How tight a term binds: 0 comparisons, 1 sums, 2 products, 3 minus, 4 powers, 5 the rest. */
int rn_term_level(const struct rn_term *t);
/* Is it a comparison with the word None? */
bool rn_tests_null(const struct rn_term *t);
/* An operator with blanks around it, as both languages write it. */
const char *rn_term_sign(enum rn_term_op op);
/* A term as text in the language, at the end of out: what a parse of it gives is equal. */
void rn_term_print(const struct rn_term *t, struct rn_str *out);
/* The key of count(distinct x), of t in first(x by t)? */
bool rn_is_agg_word(const char *key);

#endif
