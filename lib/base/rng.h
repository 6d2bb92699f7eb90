/* SPDX-License-Identifier: Apache-2.0
 *
 * Counter-based randomness: Philox4x32-10 (Salmon et al., "Parallel Random
 * Numbers: As Easy as 1, 2, 3", SC'11).  A draw depends on nothing but
 * (name, seed, row, column, epoch), so it is the same on every thread, block
 * size, placement and spelling.  tests/golden/rng.txt freezes the first 1,000.
 *
 *   key     = XXH64(name, seed), low and high half
 *   counter = { row low, row high, column / 4, epoch }
 *   word    = output word column % 4
 *   uniform = (word >> 8) * 2^-24, in [0, 1)
 */
#ifndef RN_RNG_H
#define RN_RNG_H

#include <stdint.h>

struct rn_rng_key {
	uint32_t k[2];
};

struct rn_rng_key rn_rng_key(const char *name, uint64_t seed);

/* One block: out[0..3] from counter and key. */
void rn_philox4x32(const uint32_t ctr[4], const uint32_t key[2], uint32_t out[4]);

/* The uniform float in [0, 1) at (row, column, epoch). */
float rn_rng_uniform(struct rn_rng_key key, uint64_t row, uint32_t column, uint32_t epoch);

/* A standard normal at (row, column, epoch): Box-Muller on the pair of columns
 * 2c and 2c+1 of its own counter space (epoch with the top bit set), in double. */
double rn_rng_normal(struct rn_rng_key key, uint64_t row, uint32_t column, uint32_t epoch);

#endif
