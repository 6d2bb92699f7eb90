/* SPDX-License-Identifier: Apache-2.0
 *
 * The random numbers of the synthetic graphs, in C and CUDA C++: the same in every run, so that
 * RN and what it is measured beside have the same graph.
 */
#ifndef BENCH_POWER_LAW_H
#define BENCH_POWER_LAW_H

#include <math.h>
#include <stdint.h>

static uint64_t power_law_state = 88172645463325252u;

/* 0 ... n-1. */
static inline uint32_t rnd(uint32_t n)
{
	power_law_state ^= power_law_state << 13;
	power_law_state ^= power_law_state >> 7;
	power_law_state ^= power_law_state << 17;
	return (uint32_t)((power_law_state >> 32) * n >> 32);
}

/* A node of n: of low rank more often, ranks shuffled over the numbers. */
static inline uint32_t node_of(uint32_t n)
{
	double u = rnd(1 << 24) / 16777216.0;

	return (uint32_t)((uint64_t)(pow(u, 2.5) * n) * 2654435761u % n);
}

#endif
