/* SPDX-License-Identifier: Apache-2.0 */
#include "utf8.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Bytes of the character at s, 0 if there is none within n. */
static size_t one(const unsigned char *s, size_t n)
{
	static const struct {
		unsigned char lead_lo, lead_hi, next_lo, next_hi, len;
	} forms[] = {
		{ 0x00, 0x7F, 0x80, 0xBF, 1 }, { 0xC2, 0xDF, 0x80, 0xBF, 2 },
		{ 0xE0, 0xE0, 0xA0, 0xBF, 3 }, { 0xE1, 0xEC, 0x80, 0xBF, 3 },
		{ 0xED, 0xED, 0x80, 0x9F, 3 }, { 0xEE, 0xEF, 0x80, 0xBF, 3 },
		{ 0xF0, 0xF0, 0x90, 0xBF, 4 }, { 0xF1, 0xF3, 0x80, 0xBF, 4 },
		{ 0xF4, 0xF4, 0x80, 0x8F, 4 },
	};

	for (size_t f = 0; f < sizeof forms / sizeof *forms; f++) {
		if (*s < forms[f].lead_lo || *s > forms[f].lead_hi)
			continue;
		if (forms[f].len > n)
			return 0;
		if (forms[f].len > 1 && (s[1] < forms[f].next_lo || s[1] > forms[f].next_hi))
			return 0;
		for (size_t i = 2; i < forms[f].len; i++)
			if ((s[i] & 0xC0) != 0x80)
				return 0;
		return forms[f].len;
	}
	return 0;
}

size_t rn_utf8_prefix(const char *s, size_t n)
{
	size_t i = 0, len;
	uint64_t w;

	while (i < n) {
		while (n - i >= 8) { /* ASCII goes by words */
			memcpy(&w, s + i, 8);
			if (w & 0x8080808080808080ull)
				break;
			i += 8;
		}
		if (i == n)
			break;
		len = one((const unsigned char *)s + i, n - i);
		if (!len)
			return i;
		i += len;
	}
	return n;
}
