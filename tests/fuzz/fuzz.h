/* SPDX-License-Identifier: Apache-2.0
 *
 * What the fuzz targets share.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static inline void require(bool ok)
{
	if (!ok)
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
