/* SPDX-License-Identifier: Apache-2.0
 *
 * The CPU backend: the kernels of the best instruction set that the machine has,
 * run on a team of threads.  OpenBLAS is loaded at the first wide product, as
 * loading it costs milliseconds that most programs need not pay; it always
 * runs on one thread, inside the backend's own parts.
 */
#include "cpu.h"
#include "../base/team.h"

#include "../base/mem.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20 };

struct cpu {
	struct rn_backend backend; /* first: a backend is cast back to its struct cpu */
	const struct rn_cpu_kernels *kernels;
	struct rn_team *team;
	struct rn_blas blas; /* handle NULL: not loaded */
	bool blas_tried;
};

static struct cpu *cpu_of(struct rn_backend *b)
{
	return (struct cpu *)b;
}

/* ---- kernels ------------------------------------------------------------------ */

/* The best level that this machine has, or a lower one that RN_ISA names: levels differ in
 * the last bits of results, so machines of different age agree at the lower one's. */
static const struct rn_cpu_kernels *choose_kernels(void)
{
#ifdef __x86_64__
	const char *cap = getenv("RN_ISA");
	bool v3, v4;

	__builtin_cpu_init();
	v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
	     __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
	v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	     __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
	     __builtin_cpu_supports("avx512vl");
	if (cap && !strcmp(cap, "baseline"))
		v3 = v4 = false;
	if (cap && !strcmp(cap, "x86-64-v3"))
		v4 = false;
	if (v4)
		return &rn_cpu_kernels_v4;
	if (v3)
		return &rn_cpu_kernels_v3;
#endif
	return &rn_cpu_kernels_baseline;
}

const char *rn_cpu_isa(void)
{
	return choose_kernels()->isa;
}

static const struct rn_kernel *kernel_of(const struct rn_cpu_kernels *k, enum rn_prim op,
					 enum rn_dtype t)
{
	return (t == RN_F64 ? k->f64 : k->f32) + op;
}

/* ---- BLAS ----------------------------------------------------------------------- */

/* NULL where there is none: the kernels then do the product themselves. */
static const struct rn_blas *load_blas(struct cpu *c)
{
	void (*set_threads)(int);
	void *h, *f;

	if (c->blas_tried)
		return c->blas.handle ? &c->blas : NULL;
	c->blas_tried = true;
	h = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL); /* never closed: it has threads */
	if (!h)
		return NULL;
	f = dlsym(h, "openblas_set_num_threads");
	memcpy(&set_threads, &f, sizeof f);
	f = dlsym(h, "cblas_sgemm");
	memcpy(&c->blas.sgemm, &f, sizeof f);
	f = dlsym(h, "cblas_dgemm");
	memcpy(&c->blas.dgemm, &f, sizeof f);
	if (!set_threads || !c->blas.sgemm || !c->blas.dgemm)
		return NULL;
	set_threads(1);
	c->blas.handle = h;
	return &c->blas;
}

/* ---- running ---------------------------------------------------------------------- */

struct job {
	const struct rn_kargs *args;
	void (*run)(const struct rn_kargs *a, uint32_t part);
};

static void run_part(void *arg, uint32_t part)
{
	const struct job *j = arg;

	j->run(j->args, part);
}

static int cpu_run(struct rn_backend *b, const struct rn_kargs *a, enum rn_dtype t,
		   struct rn_err *e)
{
	struct cpu *c = cpu_of(b);
	const struct rn_kernel *k = kernel_of(c->kernels, a->inst->op, t);
	struct rn_kargs wide;

	(void)e;
	if (rn_cpu_wide(a->prog, a->inst)) {
		wide = *a;
		wide.blas = load_blas(c);
		a = &wide;
	}
	for (unsigned phase = 0; phase < 2 && k->parts[phase]; phase++) {
		struct job j = { a, k->run[phase] };

		rn_team_run(c->team, k->parts[phase](a), run_part, &j);
	}
	return 0;
}

static size_t cpu_scratch(struct rn_backend *b, const struct rn_kargs *a, enum rn_dtype t)
{
	const struct rn_kernel *k = kernel_of(cpu_of(b)->kernels, a->inst->op, t);

	return k->scratch ? k->scratch(a) : 0;
}

static bool cpu_supports(const struct rn_backend *b, const struct rn_prog *p,
			 const struct rn_inst *i, enum rn_dtype t)
{
	(void)b, (void)p, (void)t;
	return (unsigned)i->op < RN_NPRIM;
}

static void cpu_enter(struct rn_backend *b)
{
	rn_team_enter(cpu_of(b)->team);
}

static void cpu_leave(struct rn_backend *b)
{
	rn_team_leave(cpu_of(b)->team);
}

static void cpu_grant(struct rn_backend *b, unsigned threads)
{
	rn_team_limit(cpu_of(b)->team, threads);
}

/* ---- memory -------------------------------------------------------------------------- */

static int cpu_alloc(struct rn_backend *b, size_t size, void **out, struct rn_err *e)
{
	size_t align = size >= 2 * HUGE_PAGE ? HUGE_PAGE : RN_ALIGN, bytes;
	void *p;

	(void)b;
	if (!rn_add_size(size ? size : 1, align - 1, &bytes))
		return rn_err_nomem(e, size, "a tensor program");
	bytes &= ~(align - 1);
	p = aligned_alloc(align, bytes);
	if (!p)
		return rn_err_nomem(e, size, "a tensor program");
	if (align == HUGE_PAGE)
		(void)madvise(p, bytes, MADV_HUGEPAGE); /* only an optimisation */
	memset(p, 0, bytes);
	*out = p;
	return 0;
}

static void cpu_free(struct rn_backend *b, void *p)
{
	(void)b;
	free(p);
}

static int cpu_copy(struct rn_backend *b, void *dst, const void *src, size_t n, struct rn_err *e)
{
	(void)b, (void)e;
	if (n)
		memcpy(dst, src, n);
	return 0;
}

static int cpu_sync(struct rn_backend *b, struct rn_err *e)
{
	(void)b, (void)e;
	return 0;
}

static void cpu_close(struct rn_backend *b)
{
	if (!b)
		return;
	rn_team_free(cpu_of(b)->team);
	free(b);
}

int rn_cpu_backend(unsigned threads, struct rn_backend **out, struct rn_err *e)
{
	struct cpu *c;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *c, "the CPU backend", &c, e));
	c->kernels = choose_kernels();
	c->backend = (struct rn_backend){
		.size = sizeof(struct rn_backend),
		.abi = RN_BACKEND_ABI,
		.name = "cpu",
		.alloc = cpu_alloc,
		.free = cpu_free,
		.copy_in = cpu_copy,
		.copy_out = cpu_copy,
		.sync = cpu_sync,
		.supports = cpu_supports,
		.run = cpu_run,
		.enter = cpu_enter,
		.leave = cpu_leave,
		.scratch = cpu_scratch,
		.close = cpu_close,
		.host = true,
		.grant = cpu_grant,
	};
	rc = rn_team_new(threads, &c->team, e);
	if (rc)
		free(c);
	else
		*out = &c->backend;
	return rc;
}
