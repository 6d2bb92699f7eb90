/* SPDX-License-Identifier: Apache-2.0
 *
 * The parts of encoding.c that are compiled for AVX2.  They treat as many values
 * as fill their registers, and return how many; the caller does the rest.
 */
#ifndef RN_ENCODING_AVX2_H
#define RN_ENCODING_AVX2_H

#include <stdbool.h>
#include <stdint.h>

#if defined(__x86_64__) && defined(__GNUC__)
#define RN_ENCODING_AVX2 1
#endif

/* Ranges of the values and of their differences (modulo 2^64, as signed). */
struct rn_int_range {
	int64_t min, max, dmin, dmax;
};

/* As rn_shuffle and rn_unshuffle; size is 4 or 8. */
uint64_t rn_shuffle_avx2(const void *v, uint64_t n, unsigned size, uint8_t *dst);
uint64_t rn_unshuffle_avx2(const uint8_t *src, uint64_t n, unsigned size, void *v);
/* Extend *r, which holds v[0] already, by v[1] …, to but not including what is returned. */
uint64_t rn_int_range_avx2(const int64_t *v, uint64_t n, struct rn_int_range *r);
/* Is there a NaN?  _clean also turns -0.0 into 0.0. */
uint64_t rn_f64_nan_avx2(const double *v, uint64_t n, bool *nan);
uint64_t rn_f64_clean_avx2(double *v, uint64_t n, bool *nan);

#endif
