/* SPDX-License-Identifier: Apache-2.0
 *
 * What a kernel sees: the words of CUDA C++, and how it is launched (cuda/launch.h).
 * The threads of a block are fibres; see fibre.cc.
 */
#ifndef RN_EMULATE_DEVICE_H
#define RN_EMULATE_DEVICE_H

#include <functional>
#include <math.h>
#include <string.h>
#include <tuple>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __shared__ static /* blocks run one after the other */
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __CUDA_EMULATED__ 1

static constexpr int warpSize = 32;
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

/* ---- launching ---------------------------------------------------------------------------- */

cudaError_t rn_emulate_launch(const char *name, dim3 grid, dim3 block, cudaStream_t s,
			      std::function<void()> thread);

/* The arguments are taken now, as a launch does, and the kernel runs later. */
template <class... P, class... A>
cudaError_t rn_emulate(const char *name, void (*kernel)(P...), dim3 grid, dim3 block,
		       cudaStream_t s, A... arg)
{
	static_assert(sizeof...(P) == sizeof...(A), "a kernel gets as many arguments as it takes");
	std::tuple<std::remove_cv_t<P>...> args(static_cast<P>(arg)...);

	return rn_emulate_launch(name, grid, block, s, [=] { std::apply(kernel, args); });
}

/* The same of arguments by address, as cudaLaunchKernel takes them. */
template <class... P, size_t... I>
std::function<void()> *rn_emulate_bind_each(void (*kernel)(P...), void **args,
					    std::index_sequence<I...>)
{
	std::tuple<std::remove_cv_t<P>...> taken(*(std::remove_cv_t<P> *)args[I]...);

	return new std::function<void()>([=] { std::apply(kernel, taken); });
}
template <class... P> std::function<void()> *rn_emulate_bind(void (*kernel)(P...), void **args)
{
	return rn_emulate_bind_each(kernel, args, std::index_sequence_for<P...>());
}

/* ---- threads together ------------------------------------------------------------------------ */

enum rn_warp_op { RN_WARP_SYNC, RN_WARP_READ, RN_WARP_BALLOT, RN_WARP_ADD, RN_WARP_MIN, RN_WARP_MAX };

/* Of all lanes of `mask`: READ gives the value of lane `src`, BALLOT the lanes of other than 0. */
uint64_t rn_emulate_warp(enum rn_warp_op op, unsigned mask, uint64_t value, int src);
/* Waits for the block; the number of threads with a predicate other than 0. */
int rn_emulate_barrier(int predicate);
int rn_emulate_lane(void);
unsigned rn_emulate_alive(void);

static inline void __syncthreads(void)
{
	rn_emulate_barrier(0);
}
static inline int __syncthreads_count(int p)
{
	return rn_emulate_barrier(p);
}
static inline int __syncthreads_or(int p)
{
	return rn_emulate_barrier(p) != 0;
}
static inline int __syncthreads_and(int p)
{
	return rn_emulate_barrier(!p) == 0;
}
static inline void __syncwarp(unsigned mask = ~0u)
{
	rn_emulate_warp(RN_WARP_SYNC, mask, 0, 0);
}
static inline unsigned __activemask(void)
{
	return rn_emulate_alive();
}
static inline unsigned __ballot_sync(unsigned mask, int p)
{
	return (unsigned)rn_emulate_warp(RN_WARP_BALLOT, mask, p != 0, 0);
}
static inline int __any_sync(unsigned mask, int p)
{
	return __ballot_sync(mask, p) != 0;
}
static inline int __all_sync(unsigned mask, int p)
{
	return __ballot_sync(mask, !p) == 0;
}
static inline unsigned __reduce_add_sync(unsigned mask, unsigned x)
{
	return (unsigned)rn_emulate_warp(RN_WARP_ADD, mask, x, 0);
}
static inline unsigned __reduce_min_sync(unsigned mask, unsigned x)
{
	return (unsigned)rn_emulate_warp(RN_WARP_MIN, mask, x, 0);
}
static inline unsigned __reduce_max_sync(unsigned mask, unsigned x)
{
	return (unsigned)rn_emulate_warp(RN_WARP_MAX, mask, x, 0);
}

template <class T> static inline T rn_emulate_read(unsigned mask, T x, int src)
{
	uint64_t bits = 0;

	static_assert(sizeof x <= sizeof bits, "a shuffle moves up to 8 bytes");
	memcpy(&bits, &x, sizeof x);
	bits = rn_emulate_warp(RN_WARP_READ, mask, bits, src);
	memcpy(&x, &bits, sizeof x);
	return x;
}
/* Within groups of `width` lanes; who would read outside of its group reads itself. */
template <class T> static inline T __shfl_sync(unsigned mask, T x, int src, int width = 32)
{
	return rn_emulate_read(mask, x, (rn_emulate_lane() & ~(width - 1)) | (src & (width - 1)));
}
template <class T> static inline T __shfl_down_sync(unsigned mask, T x, unsigned by, int width = 32)
{
	int lane = rn_emulate_lane(), to = (lane & (width - 1)) + (int)by;

	return rn_emulate_read(mask, x, to < width ? lane + (int)by : lane);
}
template <class T> static inline T __shfl_up_sync(unsigned mask, T x, unsigned by, int width = 32)
{
	int lane = rn_emulate_lane(), to = (lane & (width - 1)) - (int)by;

	return rn_emulate_read(mask, x, to >= 0 ? lane - (int)by : lane);
}
template <class T> static inline T __shfl_xor_sync(unsigned mask, T x, int with, int width = 32)
{
	int lane = rn_emulate_lane(), to = lane ^ with;

	return rn_emulate_read(mask, x, (to & ~(width - 1)) <= (lane & ~(width - 1)) ? to : lane);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static inline void __threadfence(void)
{
}
static inline void __threadfence_block(void)
{
}
template <class T> static inline T __ldg(const T *p)
{
	return *p;
}
template <class T> static inline T __ldcs(const T *p)
{
	return *p;
}
template <class T> static inline T __ldcg(const T *p)
{
	return *p;
}
template <class T> static inline void __stcs(T *p, T x)
{
	*p = x;
}
template <class T> static inline void __stcg(T *p, T x)
{
	*p = x;
}
/* Of integers alone: a sum of floats would have no order. */
#define RN_EMULATE_ATOMIC(name, expr)                                              \
	template <class T> static inline T name(T *p, std::common_type_t<T> x)     \
	{                                                                          \
		static_assert(std::is_integral<T>::value, "no atomics on floats"); \
		T old = *p;                                                        \
		*p = (expr);                                                       \
		return old;                                                        \
	}
RN_EMULATE_ATOMIC(atomicAdd, old + x)
RN_EMULATE_ATOMIC(atomicSub, old - x)
RN_EMULATE_ATOMIC(atomicMax, old > x ? old : x)
RN_EMULATE_ATOMIC(atomicMin, old < x ? old : x)
RN_EMULATE_ATOMIC(atomicOr, old | x)
RN_EMULATE_ATOMIC(atomicAnd, old & x)
RN_EMULATE_ATOMIC(atomicExch, x)
#undef RN_EMULATE_ATOMIC
static inline unsigned atomicCAS(unsigned *p, unsigned want, unsigned x)
{
	unsigned old = *p;

	if (old == want)
		*p = x;
	return old;
}
static inline unsigned atomicInc(unsigned *p, unsigned limit)
{
	unsigned old = *p;

	*p = old >= limit ? 0 : old + 1;
	return old;
}

/* ---- vectors ---------------------------------------------------------------------------------- */

#define RN_EMULATE_VECTOR(T, name)                                                    \
	struct alignas(2 * sizeof(T)) name##2 {                                       \
		T x, y;                                                               \
	};                                                                            \
	struct alignas(4 * sizeof(T)) name##4 {                                       \
		T x, y, z, w;                                                         \
	};                                                                            \
	static inline name##2 make_##name##2(T x, T y)                                \
	{                                                                             \
		return name##2 { x, y };                                              \
	}                                                                             \
	static inline name##4 make_##name##4(T x, T y, T z, T w)                      \
	{                                                                             \
		return name##4 { x, y, z, w };                                        \
	}
RN_EMULATE_VECTOR(float, float)
RN_EMULATE_VECTOR(int, int)
RN_EMULATE_VECTOR(unsigned, uint)
#undef RN_EMULATE_VECTOR

/* ---- arithmetic ---------------------------------------------------------------------------------- */

#define RN_EMULATE_MINMAX(T)                 \
	static inline T min(T a, T b)        \
	{                                    \
		return b < a ? b : a;        \
	}                                    \
	static inline T max(T a, T b)        \
	{                                    \
		return a < b ? b : a;        \
	}
RN_EMULATE_MINMAX(int)
RN_EMULATE_MINMAX(unsigned)
RN_EMULATE_MINMAX(long)
RN_EMULATE_MINMAX(unsigned long)
RN_EMULATE_MINMAX(long long)
RN_EMULATE_MINMAX(unsigned long long)
#undef RN_EMULATE_MINMAX
static inline float min(float a, float b)
{
	return fminf(a, b);
}
static inline float max(float a, float b)
{
	return fmaxf(a, b);
}

template <class To, class From> static inline To rn_emulate_bits(From x)
{
	To y;

	static_assert(sizeof x == sizeof y, "the same bits");
	memcpy(&y, &x, sizeof y);
	return y;
}
static inline unsigned __float_as_uint(float x)
{
	return rn_emulate_bits<unsigned>(x);
}
static inline int __float_as_int(float x)
{
	return rn_emulate_bits<int>(x);
}
static inline float __uint_as_float(unsigned x)
{
	return rn_emulate_bits<float>(x);
}
static inline float __int_as_float(int x)
{
	return rn_emulate_bits<float>(x);
}
static inline unsigned __umulhi(unsigned a, unsigned b)
{
	return (unsigned)((uint64_t)a * b >> 32);
}
static inline int __popc(unsigned x)
{
	return __builtin_popcount(x);
}
static inline int __clz(int x)
{
	return x ? __builtin_clz((unsigned)x) : 32;
}
static inline int __ffs(int x)
{
	return __builtin_ffs(x);
}
static inline float __fadd_rn(float a, float b)
{
	return a + b;
}
static inline float __fsub_rn(float a, float b)
{
	return a - b;
}
static inline float __fmul_rn(float a, float b)
{
	return a * b;
}
static inline float __fdiv_rn(float a, float b)
{
	return a / b;
}
static inline float __fmaf_rn(float a, float b, float c)
{
	return fmaf(a, b, c);
}
static inline float __fsqrt_rn(float a)
{
	return sqrtf(a);
}
static inline float rsqrtf(float a)
{
	return 1 / sqrtf(a);
}

#endif
