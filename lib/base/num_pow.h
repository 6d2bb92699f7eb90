/* SPDX-License-Identifier: Apache-2.0
 *
 * Powers for parsing numbers.  Integer arithmetic of 128 bits decides exactly for
 * decimal exponents of -27 to 27 (5^27 < 2^63), which is nearly all of what real
 * tables hold; the rest goes through strtod, with digits that carry no decimal
 * point, so that no locale can change them.  Private to this folder.
 */
#ifndef RN_NUM_POW_H
#define RN_NUM_POW_H

#include <stdbool.h>
#include <stdint.h>

enum { RN_MAX_POW5 = 27 };
extern const uint64_t rn_pow5[RN_MAX_POW5 + 1];

static inline bool rn_is_digit(char c)
{
	return (unsigned char)(c - '0') < 10;
}

#endif
