/* SPDX-License-Identifier: Apache-2.0
 *
 * The random numbers: Random123's known answers, the frozen first draws (written by
 * another implementation, tests/golden/gen-rng.py), and their statistics.  That the kernels
 * draw the same is tested in test_kernels.c.
 */
#include "../../lib/base/rng.h"
#include "t.h"

#include <math.h>
#include <stdbool.h>

/* kat_vectors of Random123 1.14, philox4x32 with 10 rounds: counter, key, result. */
static void test_known_answers(void)
{
	static const uint32_t kat[3][10] = {
		{ 0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 },
		{ 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff,
		  0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd },
		{ 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0,
		  0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 },
	};

	for (unsigned i = 0; i < 3; i++) {
		uint32_t out[4];

		rn_philox4x32(kat[i], kat[i] + 4, out);
		T_OK(!memcmp(out, kat[i] + 6, sizeof out), "known answer %u", i);
	}
}

static void test_golden(void)
{
	struct rn_rng_key key = rn_rng_key("dropout_1.mask", 42);
	char path[512] = __FILE__, line[256];
	unsigned n = 0, wrong = 0;
	char *dir = strstr(path, "unit/test_rng.c");
	FILE *f;

	snprintf(dir, sizeof path - (size_t)(dir - path), "golden/rng.txt");
	f = fopen(path, "r");
	if (!T_OK(f, "%s can be opened", path))
		return;
	for (uint32_t row = 0; fgets(line, sizeof line, f);) {
		char *s = line;

		if (*line == '#')
			continue;
		for (uint32_t col = 0; col < 10; col++, n++) {
			uint32_t ctr[4] = { row, 0, col / 4, 1 }, out[4];
			uint32_t word = (uint32_t)strtoul(s, &s, 16);

			rn_philox4x32(ctr, key.k, out);
			wrong += out[col % 4] != word ||
				 rn_rng_uniform(key, row, col, 1) != (float)(word >> 8) * 0x1p-24f;
		}
		row++;
	}
	fclose(f);
	T_OK(n == 1000 && !wrong, "the first 1,000 draws are frozen: %u read, %u differ", n, wrong);
}

static void test_streams(void)
{
	struct rn_rng_key a = rn_rng_key("a", 1), b = rn_rng_key("b", 1), c = rn_rng_key("a", 2);
	uint64_t far = 1ull << 32;

	T_OK(memcmp(&a, &b, sizeof a) && memcmp(&a, &c, sizeof a), "name and seed make the key");
	T_OK(rn_rng_uniform(a, 5, 3, 1) == rn_rng_uniform(a, 5, 3, 1), "a draw can be repeated");
	T_OK(rn_rng_uniform(a, 5, 3, 1) != rn_rng_uniform(a, 5, 3, 2) &&
		     rn_rng_uniform(a, 5, 3, 1) != rn_rng_uniform(a, 6, 3, 1) &&
		     rn_rng_uniform(a, 5, 3, 1) != rn_rng_uniform(a, 5, 4, 1) &&
		     rn_rng_uniform(a, 5, 3, 1) != rn_rng_uniform(a, 5 + far, 3, 1),
	     "epoch, row and column count");
}

static void test_moments(void)
{
	enum { N = 200000 };
	struct rn_rng_key key = rn_rng_key("moments", 1);
	double u = 0, u2 = 0, z = 0, z2 = 0, z4 = 0, cross = 0, last = 0;
	bool inside = true;

	for (uint32_t i = 0; i < N; i++) {
		double x = rn_rng_uniform(key, i / 8, i % 8, 0),
		       y = rn_rng_normal(key, i / 8, i % 8, 0);

		inside &= x >= 0 && x < 1 && isfinite(y);
		u += x;
		u2 += x * x;
		z += y;
		z2 += y * y;
		z4 += y * y * y * y;
		cross += y * last;
		last = y;
	}
	T_OK(inside, "uniforms are in [0, 1), normals are finite");
	T_OK(fabs(u / N - 0.5) < 0.003 && fabs(u2 / N - 1.0 / 3) < 0.003, "moments of uniforms");
	T_OK(fabs(z / N) < 0.01 && fabs(z2 / N - 1) < 0.015 && fabs(z4 / N - 3) < 0.12 &&
		     fabs(cross / N) < 0.01,
	     "moments of normals");
}

int main(void)
{
	test_known_answers();
	test_golden();
	test_streams();
	test_moments();
	return t_done();
}
