/* SPDX-License-Identifier: Apache-2.0
 *
 * Vectors of `real` at the level of instruction set that this file is compiled
 * for: F(vec) of LANES numbers, loads and stores of whole and of the first n lanes.
 * A vector's multiply-add is fused exactly where the level has it.
 */

#define VINLINE static inline __attribute__((always_inline, unused))

#if defined __AVX512F__
#if REAL_BITS == 32
enum { F(LANES) = 16 };
typedef __m512 F(vec);
typedef __mmask16 F(mask);
#define X512(op) _mm512_##op##_ps
#else
enum { F(LANES) = 8 };
typedef __m512d F(vec);
typedef __mmask8 F(mask);
#define X512(op) _mm512_##op##_pd
#endif
VINLINE F(mask) F(first)(unsigned n) { return (F(mask))((1u << n) - 1); }
VINLINE F(vec) F(set1)(real x) { return X512(set1)(x); }
VINLINE F(vec) F(load)(const real *p) { return X512(loadu)(p); }
VINLINE F(vec) F(load_n)(const real *p, F(mask) m) { return X512(maskz_loadu)(m, p); }
VINLINE void F(store)(real *p, F(vec) v) { X512(storeu)(p, v); }
VINLINE void F(store_n)(real *p, F(mask) m, F(vec) v) { X512(mask_storeu)(p, m, v); }
VINLINE F(vec) F(madd)(F(vec) a, F(vec) b, F(vec) c) { return X512(fmadd)(a, b, c); }
#undef X512

#elif defined __AVX2__ && defined __FMA__
#if REAL_BITS == 32
enum { F(LANES) = 8 };
typedef __m256 F(vec);
#define X256(op) _mm256_##op##_ps
#else
enum { F(LANES) = 4 };
typedef __m256d F(vec);
#define X256(op) _mm256_##op##_pd
#endif
typedef __m256i F(mask);
VINLINE F(mask) F(first)(unsigned n)
{
	static const int32_t on[16] = { -1, -1, -1, -1, -1, -1, -1, -1 };

	return _mm256_loadu_si256((const __m256i *)(const void *)(on + 8 - n * (REAL_BITS / 32)));
}
VINLINE F(vec) F(set1)(real x) { return X256(set1)(x); }
VINLINE F(vec) F(load)(const real *p) { return X256(loadu)(p); }
VINLINE F(vec) F(load_n)(const real *p, F(mask) m) { return X256(maskload)(p, m); }
VINLINE void F(store)(real *p, F(vec) v) { X256(storeu)(p, v); }
VINLINE void F(store_n)(real *p, F(mask) m, F(vec) v) { X256(maskstore)(p, m, v); }
VINLINE F(vec) F(madd)(F(vec) a, F(vec) b, F(vec) c) { return X256(fmadd)(a, b, c); }
#undef X256

#else
enum { F(LANES) = 16 / sizeof(real) };
typedef real F(vec) __attribute__((vector_size(16)));
typedef unsigned F(mask);
VINLINE F(mask) F(first)(unsigned n) { return n; }
VINLINE F(vec) F(set1)(real x) { return x - (F(vec)){ 0 }; }
VINLINE F(vec) F(load)(const real *p)
{
	F(vec) v;

	memcpy(&v, p, sizeof v);
	return v;
}
VINLINE F(vec) F(load_n)(const real *p, F(mask) m)
{
	F(vec) v = { 0 };

	if (m == F(LANES))
		return F(load)(p);
	for (unsigned i = 0; i < m; i++)
		v[i] = p[i];
	return v;
}
VINLINE void F(store)(real *p, F(vec) v) { memcpy(p, &v, sizeof v); }
VINLINE void F(store_n)(real *p, F(mask) m, F(vec) v)
{
	if (m == F(LANES))
		F(store)(p, v);
	else
		for (unsigned i = 0; i < m; i++)
			p[i] = v[i];
}
VINLINE F(vec) F(madd)(F(vec) a, F(vec) b, F(vec) c) { return a * b + c; }
#endif

VINLINE F(vec) F(plus)(F(vec) a, F(vec) b) { return a + b; }

/* The sum of the lanes, halves upon halves. */
VINLINE real F(hsum)(F(vec) v)
{
	real t[F(LANES)];

	F(store)(t, v);
	for (unsigned s = F(LANES) / 2; s; s /= 2)
		for (unsigned i = 0; i < s; i++)
			t[i] += t[i + s];
	return t[0];
}
