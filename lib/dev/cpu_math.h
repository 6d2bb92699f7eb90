/* SPDX-License-Identifier: Apache-2.0
 *
 * Elementary functions for the CPU kernels: branch-free, so that the compiler
 * turns a loop over them into vector code, with the same bits in the vector
 * body and in the tail.  Without branches every case is computed and one is
 * chosen; the selects keep NaN.
 *
 * Errors against the true value (tests/unit/test_kernels.c measures them): float at
 * most 2 ulp, double at most 4.  exp and tanh follow Cody and Waite, log and
 * log1p fdlibm (Sun Microsystems 1993), tanh's polynomials Cephes (S. Moshier),
 * erf in float a published minimax fit of -log(1 - erf).
 */
#ifndef RN_CPU_MATH_H
#define RN_CPU_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef __FMA__
#define MADD32(a, b, c) __builtin_fmaf(a, b, c)
#define MADD64(a, b, c) __builtin_fma(a, b, c)
#else
#define MADD32(a, b, c) ((a) * (b) + (c))
#define MADD64(a, b, c) ((a) * (b) + (c))
#endif

static inline uint32_t bits_f32(float x)
{
	uint32_t u;

	memcpy(&u, &x, sizeof u);
	return u;
}

static inline float from_bits_f32(uint32_t u)
{
	float x;

	memcpy(&x, &u, sizeof x);
	return x;
}

static inline uint64_t bits_f64(double x)
{
	uint64_t u;

	memcpy(&u, &x, sizeof u);
	return u;
}

static inline double from_bits_f64(uint64_t u)
{
	double x;

	memcpy(&x, &u, sizeof x);
	return x;
}

static inline float abs_f32(float x)
{
	return from_bits_f32(bits_f32(x) & 0x7FFFFFFF);
}

static inline double abs_f64(double x)
{
	return from_bits_f64(bits_f64(x) & INT64_MAX);
}

static inline float sign_of_f32(float x, float s)
{
	return from_bits_f32(bits_f32(x) | (bits_f32(s) & 0x80000000));
}

static inline double sign_of_f64(double x, double s)
{
	return from_bits_f64(bits_f64(x) | (bits_f64(s) & 1ull << 63));
}

/* Half to even: adding 2^23 (2^52) leaves no bits for a fraction. */
static inline float round_f32(float x)
{
	float a = abs_f32(x), r = (a + 0x1p23f) - 0x1p23f;

	return sign_of_f32(a < 0x1p23f ? r : a, x);
}

static inline double round_f64(double x)
{
	double a = abs_f64(x), r = (a + 0x1p52) - 0x1p52;

	return sign_of_f64(a < 0x1p52 ? r : a, x);
}

/* ---- exp ------------------------------------------------------------------- */

/* x = n ln 2 + r; the low bits of t = n + 1.5·2^23 hold n.  2^n is applied in two
 * halves, so that results below the smallest normal are rounded once. */
static inline float exp_f32(float x)
{
	float c = x > 89.0f ? 89.0f : x, t, n, r, p, s1, s2;
	uint32_t i, h;

	c = c < -104.0f ? -104.0f : c;
	t = MADD32(c, 1.44269504f, 0x1.8p23f);
	n = t - 0x1.8p23f;
	r = MADD32(n, -0.693359375f, c);
	r = MADD32(n, 2.12194440e-4f, r);
	p = MADD32(1.98412698e-4f, r, 1.38888889e-3f);
	p = MADD32(p, r, 8.33333333e-3f);
	p = MADD32(p, r, 4.16666667e-2f);
	p = MADD32(p, r, 1.66666667e-1f);
	p = MADD32(p, r, 0.5f);
	p = MADD32(p, r * r, r);
	i = bits_f32(t) - (0x4B400000u - 512); /* n + 512 */
	h = i >> 1;
	s1 = from_bits_f32((h + (127 - 256)) << 23);
	s2 = from_bits_f32((i - h + (127 - 256)) << 23);
	return (1.0f + p) * s1 * s2;
}

static inline double exp_f64(double x)
{
	double c = x > 710.0 ? 710.0 : x, t, n, r, p, s1, s2;
	uint64_t i, h;

	c = c < -746.0 ? -746.0 : c;
	t = MADD64(c, 1.4426950408889634, 0x1.8p52);
	n = t - 0x1.8p52;
	r = MADD64(n, -6.93147180369123816490e-01, c);
	r = MADD64(n, -1.90821492927058770002e-10, r);
	p = MADD64(1.6059043836821613e-10, r, 2.0876756987868099e-09);
	p = MADD64(p, r, 2.5052108385441719e-08);
	p = MADD64(p, r, 2.7557319223985893e-07);
	p = MADD64(p, r, 2.7557319223985891e-06);
	p = MADD64(p, r, 2.4801587301587302e-05);
	p = MADD64(p, r, 1.9841269841269841e-04);
	p = MADD64(p, r, 1.3888888888888889e-03);
	p = MADD64(p, r, 8.3333333333333332e-03);
	p = MADD64(p, r, 4.1666666666666664e-02);
	p = MADD64(p, r, 1.6666666666666666e-01);
	p = MADD64(p, r, 0.5);
	p = MADD64(p, r * r, r);
	i = bits_f64(t) - (0x4338000000000000u - 4096); /* n + 4096 */
	h = i >> 1;
	s1 = from_bits_f64((h + (1023 - 2048)) << 52);
	s2 = from_bits_f64((i - h + (1023 - 2048)) << 52);
	return (1.0 + p) * s1 * s2;
}

/* ---- log ------------------------------------------------------------------- */

/* log(2^k (1 + f)) + c, |f| small: s = f / (2 + f), log(1 + f) = f - f²/2 + s (f²/2 + R(s²)). */
static inline float log_core_f32(float f, float k, float c)
{
	float s = f / (2.0f + f), z = s * s, w = z * z;
	float t1 = w * MADD32(w, 0xf89e26.0p-26f, 0xccce13.0p-25f);
	float t2 = z * MADD32(w, 0x91e9ee.0p-25f, 0xaaaaaa.0p-24f);
	float half = 0.5f * f * f;

	return s * (half + (t1 + t2)) + MADD32(k, 9.0580006145e-06f, c) - half + f +
	       k * 6.9313812256e-01f;
}

static inline double log_core_f64(double f, double k, double c)
{
	double s = f / (2.0 + f), z = s * s, w = z * z, t1, t2, half = 0.5 * f * f;

	t1 = MADD64(w, 1.531383769920937332e-01, 2.222219843214978396e-01);
	t1 = w * MADD64(w, t1, 3.999999999940941908e-01);
	t2 = MADD64(w, 1.479819860511658591e-01, 1.818357216161805012e-01);
	t2 = MADD64(w, t2, 2.857142874366239149e-01);
	t2 = z * MADD64(w, t2, 6.666666666666735130e-01);
	return s * (half + (t1 + t2)) + MADD64(k, 1.90821492927058770002e-10, c) - half + f +
	       k * 6.93147180369123816490e-01;
}

/* A small integer, as an integer of the same width, to a number. */
static inline float small_f32(uint32_t k)
{
	return from_bits_f32(0x4B400000u + k) - 0x1.8p23f;
}

static inline double small_f64(uint64_t k)
{
	return from_bits_f64(0x4338000000000000u + k) - 0x1.8p52;
}

static inline float log_f32(float x)
{
	float y = x < 0x1p-126f ? x * 0x1p23f : x, r;
	uint32_t i = bits_f32(y) + (0x3f800000u - 0x3f3504f3u);
	float k = small_f32((i >> 23) - 127) - (x < 0x1p-126f ? 23.0f : 0.0f);

	r = log_core_f32(from_bits_f32((i & 0x007fffff) + 0x3f3504f3) - 1.0f, k, 0);
	r = x == INFINITY ? x : r;
	r = x == 0 ? -INFINITY : r;
	return x >= 0 ? r : NAN;
}

static inline double log_f64(double x)
{
	double y = x < 0x1p-1022 ? x * 0x1p52 : x, r;
	uint64_t i = bits_f64(y) + ((0x3ff00000ull - 0x3fe6a09eull) << 32);
	double k = small_f64((i >> 52) - 1023) - (x < 0x1p-1022 ? 52.0 : 0.0);

	r = log_core_f64(from_bits_f64((i & 0x000fffffffffffff) + (0x3fe6a09eull << 32)) - 1.0, k,
			 0);
	r = x == (double)INFINITY ? x : r;
	r = x == 0 ? -(double)INFINITY : r;
	return x >= 0 ? r : (double)NAN;
}

/* u = 1 + x loses low bits of x; c gives them back.  Near 0 x itself is f. */
static inline float log1p_f32(float x)
{
	float u = 1.0f + x, c, f, k, r;
	uint32_t i = bits_f32(u) + (0x3f800000u - 0x3f3504f3u);

	k = small_f32((i >> 23) - 127);
	c = (k >= 2 ? 1.0f - (u - x) : x - (u - 1.0f)) / u;
	f = from_bits_f32((i & 0x007fffff) + 0x3f3504f3) - 1.0f;
	f = k == 0 ? x : f;
	c = k == 0 ? 0.0f : c;
	r = log_core_f32(f, k, c);
	r = x == INFINITY || x == 0 ? x : r;
	r = x == -1 ? -INFINITY : r;
	return x >= -1 ? r : NAN;
}

static inline double log1p_f64(double x)
{
	double u = 1.0 + x, c, f, k, r;
	uint64_t i = bits_f64(u) + ((0x3ff00000ull - 0x3fe6a09eull) << 32);

	k = small_f64((i >> 52) - 1023);
	c = (k >= 2 ? 1.0 - (u - x) : x - (u - 1.0)) / u;
	f = from_bits_f64((i & 0x000fffffffffffff) + (0x3fe6a09eull << 32)) - 1.0;
	f = k == 0 ? x : f;
	c = k == 0 ? 0.0 : c;
	r = log_core_f64(f, k, c);
	r = x == (double)INFINITY || x == 0 ? x : r;
	r = x == -1 ? -(double)INFINITY : r;
	return x >= -1 ? r : (double)NAN;
}

/* ---- sigmoid, tanh, erf ------------------------------------------------------- */

/* What 1 + t loses to rounding is put back to first order; 1 / s is 1 - q or q. */
static inline float sigmoid_f32(float x)
{
	float t = exp_f32(-abs_f32(x)), s = 1.0f + t, lost = t - (s - 1.0f);
	float q = (x < 0 ? t : 1.0f) / s;

	return q - q * lost * (x < 0 ? 1.0f - q : q);
}

static inline double sigmoid_f64(double x)
{
	double t = exp_f64(-abs_f64(x)), s = 1.0 + t, lost = t - (s - 1.0);
	double q = (x < 0 ? t : 1.0) / s;

	return q - q * lost * (x < 0 ? 1.0 - q : q);
}

static inline float tanh_f32(float x)
{
	float a = abs_f32(x), z = x * x, p, big;

	p = MADD32(-5.70498872745e-3f, z, 2.06390887954e-2f);
	p = MADD32(p, z, -5.37397155531e-2f);
	p = MADD32(p, z, 1.33314422036e-1f);
	p = MADD32(p, z, -3.33332819422e-1f);
	p = MADD32(p * z, x, x);
	big = 1.0f - 2.0f / (exp_f32(2.0f * a) + 1.0f);
	return a < 0.625f ? p : sign_of_f32(big, x);
}

static inline double tanh_f64(double x)
{
	double a = abs_f64(x), z = x * x, p, q, big;

	p = MADD64(-9.64399179425052238628e-1, z, -9.92877231001918586564e1);
	p = MADD64(p, z, -1.61468768441708447952e3);
	q = MADD64(z + 1.12811678491632931402e2, z, 2.23548839060100448583e3);
	q = MADD64(q, z, 4.84406305325125486048e3);
	p = MADD64(z * (p / q), x, x);
	big = 1.0 - 2.0 / (exp_f64(2.0 * a) + 1.0);
	return a < 0.625 ? p : sign_of_f64(big, x);
}

static inline float erf_f32(float x)
{
	float t = abs_f32(x), s = x * x, r, u, small;

	r = MADD32(-1.72853470e-5f, t, 3.83197126e-4f);
	u = MADD32(-3.88396438e-3f, t, 2.42546219e-2f);
	r = MADD32(r, s, u);
	r = MADD32(r, t, -1.06777877e-1f);
	r = MADD32(r, t, -6.34846687e-1f);
	r = MADD32(r, t, -1.28717512e-1f);
	r = MADD32(r, t, -t);
	r = t > 4.0f ? -104.0f : r; /* the fit ends there; erf is 1 */
	r = 1.0f - exp_f32(r);
	small = MADD32(-5.96761703e-4f, s, 4.99119423e-3f);
	small = MADD32(small, s, -2.67681349e-2f);
	small = MADD32(small, s, 1.12819925e-1f);
	small = MADD32(small, s, -3.76125336e-1f);
	small = MADD32(small, s, 1.28379166e-1f);
	small = MADD32(small, x, x);
	return t > 0.927734375f ? sign_of_f32(r, x) : small;
}

/* In double only for checks of gradients: the C library's. */
static inline double erf_f64(double x)
{
	return erf(x);
}

/* ---- pow ------------------------------------------------------------------------ */

/* exp(y log |x|) in double is right to a float's last bit; then the special cases. */
static inline float pow_f32(float xf, float yf)
{
	double x = xf, y = yf, a = abs_f64(x), r, half = y * 0.5;
	int whole = round_f64(y) == y, odd = whole && round_f64(half) != half;

	r = exp_f64(y * log_f64(a));
	r = x < 0 && a < (double)INFINITY && !whole ? (double)NAN : r;
	r = odd ? sign_of_f64(r, x) : r;
	return y == 0 || x == 1 || (x == -1 && abs_f64(y) == (double)INFINITY) ? 1.0f : (float)r;
}

static inline double pow_f64(double x, double y)
{
	return pow(x, y);
}

#endif
