/* SPDX-License-Identifier: Apache-2.0
 *
 * UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, at most U+10FFFF.
 */
#ifndef RN_UTF8_H
#define RN_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* How many bytes from the start are valid: n if all are. */
size_t rn_utf8_prefix(const char *s, size_t n);

static inline bool rn_utf8_valid(const char *s, size_t n)
{
	return rn_utf8_prefix(s, n) == n;
}

#endif
