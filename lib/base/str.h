/* SPDX-License-Identifier: Apache-2.0
 *
 * A growable string.  `s` is always terminated once anything was added and ""
 * before.  The first allocation that fails is kept in `failed`, so a sequence
 * of additions is checked once, at its end, by rn_str_check.
 */
#ifndef RN_STR_H
#define RN_STR_H

#include "err.h"

#include <stdbool.h>

struct rn_str {
	char *s;
	size_t len, cap;
	bool failed;
};

extern const char rn_str_empty[1];
#define RN_STR_INIT ((struct rn_str){ .s = (char *)rn_str_empty })

void rn_str_add(struct rn_str *b, const char *s);
void rn_str_addn(struct rn_str *b, const char *s, size_t n);
void rn_str_addc(struct rn_str *b, char c);
void rn_str_addf(struct rn_str *b, const char *fmt, ...) RN_PRINTF(2, 3);
void rn_str_clear(struct rn_str *b); /* length 0, memory kept */
void rn_str_fini(struct rn_str *b);

/* RN_ENOMEM if any addition failed. */
RN_MUST_CHECK int rn_str_check(const struct rn_str *b, struct rn_err *e);

/* Hand the text over to the caller (owned, free()); b is empty again, also on failure. */
char *rn_str_take(struct rn_str *b, struct rn_err *e); /* NULL + e on failure */

#endif
