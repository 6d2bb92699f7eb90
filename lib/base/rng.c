/* SPDX-License-Identifier: Apache-2.0 */
#include "rng.h"

#include <math.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

struct rn_rng_key rn_rng_key(const char *name, uint64_t seed)
{
	uint64_t h = XXH64(name, strlen(name), seed);

	return (struct rn_rng_key){ { (uint32_t)h, (uint32_t)(h >> 32) } };
}

void rn_philox4x32(const uint32_t ctr[4], const uint32_t key[2], uint32_t out[4])
{
	uint32_t c0 = ctr[0], c1 = ctr[1], c2 = ctr[2], c3 = ctr[3];
	uint32_t k0 = key[0], k1 = key[1];

	for (int r = 0; r < 10; r++) {
		uint64_t p0 = (uint64_t)0xD2511F53u * c0;
		uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;

		c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
		c1 = (uint32_t)p1;
		c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
		c3 = (uint32_t)p0;
		k0 += 0x9E3779B9u;
		k1 += 0xBB67AE85u;
	}
	out[0] = c0;
	out[1] = c1;
	out[2] = c2;
	out[3] = c3;
}

float rn_rng_uniform(struct rn_rng_key key, uint64_t row, uint32_t column, uint32_t epoch)
{
	uint32_t ctr[4] = { (uint32_t)row, (uint32_t)(row >> 32), column / 4, epoch };
	uint32_t w[4];

	rn_philox4x32(ctr, key.k, w);
	return (float)(w[column % 4] >> 8) * 0x1p-24f;
}

double rn_rng_normal(struct rn_rng_key key, uint64_t row, uint32_t column, uint32_t epoch)
{
	uint32_t pair = column / 2;
	uint32_t ctr[4] = { (uint32_t)row, (uint32_t)(row >> 32), pair, epoch | 0x80000000u };
	uint32_t w[4];
	double u1, u2, r;

	rn_philox4x32(ctr, key.k, w);
	u1 = ((double)w[0] + (double)w[1] * 0x1p-32 + 0x1p-33) * 0x1p-32; /* (0, 1) */
	u2 = ((double)w[2] + (double)w[3] * 0x1p-32) * 0x1p-32;
	r = sqrt(-2.0 * log(u1));
	return column % 2 ? r * sin(2.0 * M_PI * u2) : r * cos(2.0 * M_PI * u2);
}
