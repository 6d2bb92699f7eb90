/* SPDX-License-Identifier: Apache-2.0
 *
 * The arithmetic of gauges, one text for the CPU and for a device (gauge.c, cuda/gauge.cu).
 */
#ifndef RN_GAUGE_TERMS_H
#define RN_GAUGE_TERMS_H

#include "gauge.h"

#include <math.h>

#ifdef __CUDACC__
#define RN_GAUGE_FN static __device__ __forceinline__
#else
#define RN_GAUGE_FN static inline
#endif

/* The class of a row: see rn_gauge's sign. */
RN_GAUGE_FN uint32_t rn_gauge_class(bool sign, uint32_t width, const float *row)
{
	uint32_t best = 0;

	if (sign)
		return row[0] >= 0;
	for (uint32_t f = 1; f < width; f++)
		if (row[f] > row[best])
			best = f;
	return best;
}

/* Of a value; d: its distance from the truth. */
RN_GAUGE_FN double rn_gauge_miss(enum rn_gauge_kind kind, double d)
{
	return kind == RN_GAUGE_MEAN ? d : kind == RN_GAUGE_ABS ? fabs(d) : d * d;
}

/* Of a class: 2 TP / (2 TP + FP + FN), and how often it was predicted or the label is that denominator. */
RN_GAUGE_FN double rn_gauge_f1(uint32_t right, uint32_t predicted, uint32_t labelled)
{
	const double d = (double)predicted + (double)labelled;

	return d > 0 ? 2.0 * (double)right / d : 0;
}

/* What the sum becomes, where anything counts; present, of RN_GAUGE_F1: classes that there are. */
RN_GAUGE_FN double rn_gauge_meaning(enum rn_gauge_kind kind, double sum, double counted, double total,
				    uint32_t present)
{
	if (kind == RN_GAUGE_REST)
		return 1 - sum / total;
	if (kind == RN_GAUGE_F1_ONE)
		return sum;
	sum /= kind == RN_GAUGE_F1 ? (double)present : counted;
	return kind == RN_GAUGE_ROOT ? sqrt(sum) : sum;
}

#endif
