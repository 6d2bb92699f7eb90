/* SPDX-License-Identifier: Apache-2.0
 *
 * What the fuzz targets share.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* What must hold; the compiler merges calls of abort(), so it is said which one it was. */
#define require(ok) require_at((ok), #ok, __FILE__, __LINE__)
static inline void require_at(bool ok, const char *what, const char *file, int line)
{
	if (ok)
		return;
	fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
	abort();
}

/* The input as a text that ends, owned. */
static inline char *text_of(const uint8_t *data, size_t n)
{
	char *s = malloc(n + 1);

	require(s);
	if (n)
		memcpy(s, data, n);
	s[n] = '\0';
	return s;
}

#endif
