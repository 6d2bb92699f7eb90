/* SPDX-License-Identifier: Apache-2.0
 *
 * The arithmetic of gauges, one text for the CPU and for a device (gauge.c, cuda/gauge.cu).
 */
#ifndef RN_GAUGE_TERMS_H
#define RN_GAUGE_TERMS_H

#include "gauge.h"

#include <math.h>
#include <string.h>

#ifdef __CUDACC__
#define RN_GAUGE_FN static __host__ __device__ __forceinline__
#else
#define RN_GAUGE_FN static inline
#endif

RN_GAUGE_FN bool rn_gauge_is_by_class(enum rn_gauge_kind kind)
{
	return kind == RN_GAUGE_F1 || kind == RN_GAUGE_F1_ONE;
}

/* Of places or queries. */
RN_GAUGE_FN bool rn_gauge_is_by_rank(enum rn_gauge_kind kind)
{
	return kind >= RN_GAUGE_AREA;
}

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

RN_GAUGE_FN double rn_gauge_score(uint32_t width, const float *row)
{
	return width == 1 ? row[0] : (double)row[1] - (double)row[0];
}

/* A number that falls where a score rises, by which rows are ranked.  What is no number ranks first:
 * there the gauge is not defined. */
#define RN_GAUGE_NAN_KEY 0
RN_GAUGE_FN uint64_t rn_gauge_key(double score)
{
	const uint64_t sign = (uint64_t)1 << 63;
	uint64_t bits;

	if (score != score)
		return RN_GAUGE_NAN_KEY;
	score = score == 0 ? 0 : score; /* the zeros are equal */
	memcpy(&bits, &score, sizeof bits);
	return bits & sign ? bits : ~(bits | sign);
}

/* The rows of one score, by their labels, and those above them in their query. */
struct rn_gauge_score_rows {
	uint32_t ones, zeros, ones_above, zeros_above;
};

/* Of the first place of these rows. */
RN_GAUGE_FN double rn_gauge_place_term(enum rn_gauge_kind kind, uint32_t k, const struct rn_gauge_score_rows *r)
{
	const double up_to = (double)r->ones + (double)r->ones_above;
	const double rank = 1 + (double)r->zeros_above + 0.5 * (double)r->zeros;

	if (kind == RN_GAUGE_AREA) /* its rows of label 0 end the pairs, whose number is below 2^63 */
		return (double)(r->zeros * (2 * (uint64_t)r->ones_above + r->ones));
	if (kind == RN_GAUGE_PRECISION)
		return (double)r->ones * (up_to / (up_to + (double)r->zeros + (double)r->zeros_above));
	return (double)r->ones * (kind == RN_GAUGE_HITS ? rank <= k : 1 / rank);
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
