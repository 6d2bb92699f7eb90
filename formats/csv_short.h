/* SPDX-License-Identifier: Apache-2.0
 *
 * Columns of short numbers, several fields at once, where the processor has AVX2.  What is
 * not plain (a NULL, a field of more than eight bytes, a value that does not fit) is left
 * to the loops that look at one field after the other, whose results these are.
 */
#ifndef RN_CSV_SHORT_H
#define RN_CSV_SHORT_H

#include "csv_scan.h"

enum { RN_CSV_SHORT = 8 }; /* fields that are taken at once */

/* Fields of a column from the first on, n at most, in text without quotes: eight at a time
 * to out, up to eight that are not all plain.  Gives how many were: a multiple of 8. */
size_t rn_csv_short_ints(const struct rn_csv_span *s, size_t from, size_t n, int64_t *out);
size_t rn_csv_short_floats(const struct rn_csv_span *s, size_t from, size_t n, double *out);

#endif
