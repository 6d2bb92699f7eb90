/* SPDX-License-Identifier: Apache-2.0
 *
 * What the encodings rest on, for every number of values, so that no tail behind
 * the vectors is missed; and the buffers that readers use again.
 */
#include "../../formats/bitpack.h"
#include "../../formats/encoding.h"
#include "../../formats/pool.h"

#include "t.h"

#include <math.h>

static uint64_t state;

static uint64_t rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* By the definition in rn_er(5), bit by bit. */
static void test_pack(void)
{
	uint64_t v[77], back[77 + 8];
	uint8_t packed[77 * 8 + 8];
	size_t wrong = 0;

	state = 31;
	for (unsigned w = 0; w <= 64; w++)
		for (uint64_t n = 1; n <= 77; n++) {
			uint64_t base = rnd(), mask = w == 64 ? ~0ull : (1ull << w) - 1;

			for (uint64_t i = 0; i < n; i++)
				v[i] = base + (rnd() & mask);
			memset(packed, 0xA5, sizeof packed);
			rn_pack(v, n, base, w, packed);
			for (uint64_t bit = 0; bit < rn_packed_bytes(n, w) * 8; bit++) {
				bool want = bit < n * w && (v[bit / w] - base) >> bit % w & 1;

				wrong += (packed[bit / 8] >> bit % 8 & 1) != want;
			}
			wrong += packed[rn_packed_bytes(n, w)] != 0xA5;
			rn_unpack(packed, 0, n, base, w, back);
			wrong += memcmp(back, v, n * sizeof *v) != 0;
		}
	T_OK(!wrong, "packed values of each width are where they belong");
}

static void test_shuffle(void)
{
	static const unsigned sizes[] = { 4, 8 };
	uint8_t v[8 * 300], planes[8 * 300], back[8 * 300];
	size_t wrong = 0;

	state = 12;
	for (size_t i = 0; i < sizeof v; i++)
		v[i] = (uint8_t)rnd();
	for (unsigned k = 0; k < 2; k++)
		for (uint64_t n = 0; n <= 300; n++) {
			unsigned size = sizes[k];

			rn_shuffle(v, n, size, planes);
			for (uint64_t i = 0; i < n * size; i++)
				wrong += planes[i % size * n + i / size] != v[i];
			memset(back, 0, sizeof back);
			rn_unshuffle(planes, n, size, back);
			wrong += memcmp(back, v, n * size) != 0;
		}
	T_OK(!wrong, "byte k of value i is at k * n + i, for every n");
}

static bool survives(const int64_t *v, uint64_t n)
{
	struct rn_chunk c = { 0 };
	uint8_t packed[1024];
	int64_t back[128];

	rn_int_choose(v, n, &c);
	rn_int_encode(v, &c, packed);
	return !rn_int_decode(&c, packed, back) && memcmp(back, v, n * sizeof *v) == 0;
}

/* The one value that is out of line is found wherever it is. */
static void test_extremes(void)
{
	static const int64_t odd[] = { INT64_MAX, INT64_MIN, 1000, -1 };
	int64_t v[41] = { 0 };
	double f[41] = { 0 };
	size_t wrong = 0;

	for (int i = 0; i < 41; i++) {
		for (int k = 0; k < 4; k++) {
			v[i] = odd[k];
			wrong += !survives(v, 41);
			for (int j = 0; j < 41; j++) /* as a difference */
				v[j] = j < i ? 5 * j : 5 * j + odd[k] / 2;
			wrong += !survives(v, 41);
			memset(v, 0, sizeof v);
		}
		f[i] = NAN;
		wrong += !rn_f64_has_nan(f, 41);
		f[i] = INFINITY;
		wrong += rn_f64_has_nan(f, 41);
		f[i] = 0;
	}
	T_OK(!wrong, "no value is missed by its place");
}

static void test_pool(void)
{
	struct rn_pool *p = NULL;
	struct rn_buf *a = NULL, *b = NULL;
	struct rn_err e = { 0 };
	void *at;

	T_CALL(rn_pool_new(1 << 20, &p, &e), &e);
	T_CALL(rn_pool_buf(p, 100000, "a test", &a, &e), &e);
	at = a->data;
	T_OK(a->size == 100000 && (uintptr_t)at % RN_ALIGN == 0, "a buffer of the size asked for");
	rn_buf_unref(a);
	T_CALL(rn_pool_buf(p, 99000, "a test", &a, &e), &e);
	T_OK(a->data == at && a->size == 99000, "it is used again");
	T_CALL(rn_pool_buf(p, 99000, "a test", &b, &e), &e);
	T_OK(b->data != at, "but not twice at a time");
	rn_buf_unref(b);
	rn_pool_unref(p);
	memset(a->data, 1, a->size);
	rn_buf_unref(a);
}

int main(void)
{
	test_pack();
	test_shuffle();
	test_extremes();
	test_pool();
	return t_done();
}
