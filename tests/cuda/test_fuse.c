/* SPDX-License-Identifier: Apache-2.0
 *
 * Kernels made for elementwise programs (cuda/fuse.h), without a device: those of random
 * programs and of every run of every example are compiled by NVRTC for each architecture, without
 * a warning; and on the emulated device they give the interpreter's numbers.
 *
 *   test_fuse [SEED [CASES]]
 */
#include "emulated.h"
#include "fuse_gen.h"

#include "../../lib/train/fit.h"
#include "../../lib/train/score.h"
#include "../unit/t.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <glob.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { HEAD = 40 }; /* bytes of a kept kernel before its image, the sum last (cuda/fuse_cache.c) */

static struct rn_err err;

/* What the test itself needs. */
static _Noreturn void die(int line)
{
	printf("Bail out! line %d\n", line);
	exit(1);
}

/* ---- the emulated library ---------------------------------------------------------------- */

static struct {
	__typeof__(&rn_cuda_fuse_source) source;
	__typeof__(&rn_cuda_fuse_new) make;
	__typeof__(&rn_cuda_fuse_add) add;
	__typeof__(&rn_cuda_fuse_build) build;
	__typeof__(&rn_cuda_fuse_note) note;
	__typeof__(&rn_cuda_fuse_launch) launch;
	__typeof__(&rn_cuda_fuse_free) free;
	__typeof__(&rn_cuda_elem) elem;
	__typeof__(&rn_cuda_segelem) segelem;
	__typeof__(&cudaMalloc) alloc;
	__typeof__(&cudaFree) release;
	__typeof__(&cudaMemcpy) copy;
	__typeof__(&cudaStreamCreateWithFlags) stream;
	__typeof__(&cudaDeviceSynchronize) sync;
	int (*op_elem)(const struct rn_kargs *a, const struct rn_cuda_live *live,
		       struct rn_cuda_elem **out, struct rn_err *e);
	const char *prelude;
} lib;
static cudaStream_t stream;

static bool open_library(void)
{
	void *h = dlopen("librn_cuda.so", RTLD_NOW | RTLD_LOCAL);
	const struct {
		void *to;
		const char *name;
	} names[] = {
		{ &lib.source, "rn_cuda_fuse_source" }, { &lib.make, "rn_cuda_fuse_new" },
		{ &lib.add, "rn_cuda_fuse_add" },	{ &lib.build, "rn_cuda_fuse_build" },
		{ &lib.note, "rn_cuda_fuse_note" },	{ &lib.launch, "rn_cuda_fuse_launch" },
		{ &lib.free, "rn_cuda_fuse_free" },	{ &lib.elem, "rn_cuda_elem" },
		{ &lib.segelem, "rn_cuda_segelem" },	{ &lib.alloc, "cudaMalloc" },
		{ &lib.release, "cudaFree" },		{ &lib.copy, "cudaMemcpy" },
		{ &lib.sync, "cudaDeviceSynchronize" }, { &lib.op_elem, "rn_cuda_op_elem" },
		{ &lib.prelude, "rn_cuda_fuse_prelude" },
		{ &lib.stream, "cudaStreamCreateWithFlags" },
	};

	if (!h) {
		T_OK(false, "the emulated library: %s", dlerror());
		return false;
	}
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		void *f = dlsym(h, names[i].name);

		if (!f) {
			T_OK(false, "the emulated library has '%s'", names[i].name);
			return false;
		}
		memcpy(names[i].to, &f, sizeof f);
	}
	if (lib.stream(&stream, cudaStreamNonBlocking))
		die(__LINE__);
	return true;
}

static void *put(struct fuse_case *c, const void *host, size_t n, size_t shift)
{
	void *mem;

	if (c->nmem == FUSE_ARRAYS || lib.alloc(&mem, n + shift + 16))
		die(__LINE__);
	c->mem[c->nmem++] = mem;
	if (host && lib.copy((char *)mem + shift, host, n, cudaMemcpyHostToDevice))
		die(__LINE__);
	return (char *)mem + shift;
}

/* Nowhere: for what is never run. */
static void *put_nothing(struct fuse_case *c, const void *host, size_t n, size_t shift)
{
	(void)c, (void)host, (void)n;
	return (char *)4096 + shift;
}

static void free_case(struct fuse_case *c)
{
	for (unsigned i = 0; i < c->nmem; i++)
		lib.release(c->mem[i]);
	free(c->ptr);
}

/* ---- NVRTC ------------------------------------------------------------------------------- */

/* The real one: where the emulation's stands first on the path, it has a path of its own. */
static struct {
	int (*create)(void **p, const char *text, const char *name, int n,
		      const char *const *headers, const char *const *names);
	int (*compile)(void *p, int n, const char *const *options);
	int (*log_size)(void *p, size_t *n);
	int (*log)(void *p, char *to);
	int (*destroy)(void **p);
} nvrtc;

static bool open_nvrtc(void)
{
	static const char *const files[] = {
		"/usr/local/cuda/lib64/libnvrtc.so", "/usr/lib/x86_64-linux-gnu/libnvrtc.so",
		"/usr/lib/cuda/lib64/libnvrtc.so", "/opt/cuda/lib64/libnvrtc.so",
	};
	const char *home = getenv("CUDA_HOME");
	char path[1000];
	void *h = NULL;

	snprintf(path, sizeof path, "%s/lib64/libnvrtc.so", home ? home : "");
	if (home)
		h = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	for (size_t i = 0; i < sizeof files / sizeof *files && !h; i++)
		h = dlopen(files[i], RTLD_NOW | RTLD_LOCAL);
	if (!h)
		return false;
	*(void **)&nvrtc.create = dlsym(h, "nvrtcCreateProgram");
	*(void **)&nvrtc.compile = dlsym(h, "nvrtcCompileProgram");
	*(void **)&nvrtc.log_size = dlsym(h, "nvrtcGetProgramLogSize");
	*(void **)&nvrtc.log = dlsym(h, "nvrtcGetProgramLog");
	*(void **)&nvrtc.destroy = dlsym(h, "nvrtcDestroyProgram");
	return nvrtc.create && nvrtc.compile && nvrtc.log_size && nvrtc.log && nvrtc.destroy;
}

/* Without an error, and without a word. */
static bool compiles(const char *text, unsigned arch)
{
	char target[40], *log;
	const char *const options[] = { RN_FUSE_OPTIONS, target };
	size_t n = 0;
	void *p;
	bool ok;

	snprintf(target, sizeof target, "--gpu-architecture=sm_%u", arch);
	if (nvrtc.create(&p, text, "kernels.cu", 0, NULL, NULL))
		return false;
	ok = !nvrtc.compile(p, sizeof options / sizeof *options, options);
	nvrtc.log_size(p, &n);
	log = calloc(n + 1, 1);
	nvrtc.log(p, log);
	nvrtc.destroy(&p);
	if (!ok || n > 1)
		printf("# %.3000s\n", log);
	ok &= n <= 1;
	free(log);
	return ok;
}

static void check_text(const struct rn_str *kernels, unsigned n, const char *whose)
{
	struct rn_str text = RN_STR_INIT;

	rn_str_add(&text, lib.prelude);
	rn_str_addn(&text, kernels->s, kernels->len);
	if (rn_str_check(&text, &err))
		die(__LINE__);
	for (unsigned arch = 80; arch <= 90; arch += 10)
		T_OK(compiles(text.s, arch), "%s: %u kernels compile for sm_%u, no warnings", whose,
		     n, arch);
	rn_str_fini(&text);
}

static void test_random_text(uint64_t seed, unsigned cases)
{
	struct rn_str text = RN_STR_INIT;
	struct rn_fuse_shape shape;
	unsigned n = 0;

	for (unsigned i = 0; i < cases; i++) {
		struct fuse_case c;

		fuse_case_make(&c, seed + i, i % 2, put_nothing);
		T_CALL(lib.source(&c.m, c.sums, n++, &shape, &text, &err), &err);
		free(c.ptr);
	}
	check_text(&text, n, "random programs");
	rn_str_fini(&text);
}

/* x * y, the rows of x by a map or not. */
static struct rn_fuse_shape shape_of(uint32_t width, bool mapped, size_t shift, bool sums,
				     const char *has)
{
	float *at = (float *)(4096 + shift);
	struct rn_cuda_elem m = { .out = (float *)4096, .rows = 100, .width = width, .nin = 2,
				  .nsteps = 3, .nregs = 3, .result = 2 };
	struct rn_str text = RN_STR_INIT;
	struct rn_fuse_shape shape;

	for (uint8_t k = 0; k < 2; k++) {
		m.in[k] = (struct rn_cuda_in){ .x = at, .stride = width, .one = width == 1 };
		m.steps[k] = (struct rn_cuda_step){ RN_EW_LOAD, k, k, 0, 0, 0, 0 };
	}
	m.in[0].rmap = mapped ? (uint32_t *)8192 : NULL;
	m.steps[2] = (struct rn_cuda_step){ RN_EW_MUL, 2, 0, 1, 0, 0, 0 };
	T_CALL(lib.source(&m, sums, 3, &shape, &text, &err), &err);
	T_OK(strstr(text.s, has), "the text has '%s'", has);
	rn_str_fini(&text);
	return shape;
}

static void test_shapes(void)
{
	struct rn_fuse_shape s = shape_of(64, true, 0, false, "rn_each_row<64, 4, rn_p3>");

	T_OK(s.vec == 4 && !s.flat && !s.lanes, "rows through a map: 4 columns a thread");
	s = shape_of(66, true, 0, false, "rn_each_row<66, 2, rn_p3>");
	T_OK(s.vec == 2, "66 columns: 2");
	s = shape_of(64, true, 4, false, "rn_each_row<64, 1, rn_p3>");
	T_OK(s.vec == 1, "rows that are not aligned: 1");
	s = shape_of(7, false, 0, false, "rn_each_flat<4, rn_p3>");
	T_OK(s.vec == 4 && s.flat, "operands of one shape: one array");
	s = shape_of(1, true, 0, false, "rn_load<V>(h.r0, a.rmap[0] + i)");
	T_OK(s.vec == 4 && s.flat, "one column through a map: one array");
	s = shape_of(64, true, 0, true, "rn_segsum<4, 4>(a.g, a.out, 64u, 16, a.terms, term)");
	T_OK(s.vec == 4 && s.lanes == 16 && s.at_once == 4, "a sum: 16 lanes, 4 terms at once");
	s = shape_of(64, true, 4, true, "rn_segsum<1, 4>(a.g, a.out, 64u, 16, a.terms, term)");
	T_OK(s.vec == 1 && s.lanes == 16, "not aligned: the same lanes, so the same order");
}

/* ---- the kernels of the examples ------------------------------------------------------------ */

struct seen {
	struct rn_str text;
	char **each; /* as number 0 */
	unsigned n;
};

static void add_kernel(struct seen *s, const struct rn_cuda_elem *m, bool segs)
{
	struct rn_str text = RN_STR_INIT;
	struct rn_fuse_shape shape;

	T_CALL(lib.source(m, segs, 0, &shape, &text, &err), &err);
	for (unsigned i = 0; i < s->n; i++)
		if (!strcmp(s->each[i], text.s)) {
			rn_str_fini(&text);
			return;
		}
	T_CALL(lib.source(m, segs, s->n, &shape, &s->text, &err), &err);
	s->each = realloc(s->each, (s->n + 1) * sizeof *s->each);
	s->each[s->n++] = rn_str_take(&text, &err);
}

static void add_program(struct seen *s, const struct rn_prog *p)
{
	const uint32_t **table = calloc(p->nidx + 1, sizeof *table);

	for (uint32_t i = 0; i < p->nidx; i++)
		table[i] = rn_prog_idx_data(p, i);
	for (uint32_t i = 0; i < p->ninsts; i++) {
		struct rn_kargs a = { .prog = p, .inst = &p->insts[i], .out = (void *)4096,
				      .idx_table = table };
		struct rn_cuda_elem *m = NULL;

		for (uint32_t k = 0; k < p->insts[i].nin; k++)
			a.in[k] = (void *)4096;
		T_CALL(lib.op_elem(&a, NULL, &m, &err), &err);
		if (m && m->width)
			add_kernel(s, m, p->insts[i].op == RN_P_SEGELEM);
		free(m);
	}
	free(table);
}

static char *read_file(const char *path, size_t *n)
{
	FILE *f = fopen(path, "r");
	char *text = calloc(1, 1 << 20);

	*n = f && text ? fread(text, 1, (1 << 20) - 1, f) : 0;
	if (f)
		fclose(f);
	return text;
}

/* A fit's program goes forward, backward and steps; that of a validation, an evaluation or a prediction goes
 * forward, without dropout. */
static int add_run(struct seen *s, struct rn_binding *x, struct rn_backend *b, const struct rn_plan *plan,
		   const struct rn_run *r, struct rn_params *params)
{
	struct rn_forward g;
	struct rn_fit f;

	if (r->kind == RN_RUN_FIT) {
		RN_TRY(rn_fit_build(x, b, plan, r, params, false, &f, &err));
		add_program(s, &f.prog);
		rn_fit_fini(&f);
		return 0;
	}
	RN_TRY(rn_forward_new(x, b, plan, r->node, params, &g, &err));
	add_program(s, &g.prog);
	rn_forward_fini(&g);
	return 0;
}

/* false: its data are not here. */
static bool add_example(struct seen *s, const char *file, struct rn_backend *b)
{
	struct rn_ctx ctx = { .threads = 1, .seed = 1 };
	struct rn_params params = { 0 };
	struct rn_binding *x = NULL;
	struct rn_plan *plan = NULL;
	bool there = false;
	size_t n;
	char *text = read_file(file, &n);

	if (rn_plan_from_spec(text, n, file, NULL, 0, NULL, 0, &plan, &err) ||
	    rn_plan_canonical(plan, NULL, &err) ||
	    rn_binding_new(&ctx, b, plan, NULL, &x, &err))
		goto out;
	there = true;
	for (uint32_t i = 0; i < plan->nruns && there; i++)
		there = !add_run(s, x, b, plan, &plan->runs[i], &params);
out:
	rn_params_fini(&params);
	rn_binding_free(x);
	rn_plan_free(plan);
	free(text);
	return there;
}

static void test_examples(void)
{
	struct seen s = { .text = RN_STR_INIT };
	struct rn_backend *b;
	unsigned found = 0;
	glob_t g;

	if (rn_cpu_backend(1, &b, &err) || glob("examples/*/model.json", 0, NULL, &g)) {
		T_SKIP("the examples are not here");
		return;
	}
	for (size_t i = 0; i < g.gl_pathc; i++) {
		bool there = add_example(&s, g.gl_pathv[i], b);

		found += there;
		if (!there && err.code != RN_EIO)
			T_OK(false, "%s: %s", g.gl_pathv[i], err.msg);
		else if (!there)
			T_SKIP(err.msg);
	}
	if (found)
		check_text(&s.text, s.n, "examples");
	for (unsigned i = 0; i < s.n; i++)
		free(s.each[i]);
	free(s.each);
	rn_str_fini(&s.text);
	globfree(&g);
	b->close(b);
}

/* ---- numbers ----------------------------------------------------------------------------- */

static float *take(const float *x, size_t n)
{
	float *host = calloc(n + 1, sizeof *host);

	if (lib.sync() || lib.copy(host, x, n * sizeof *host, cudaMemcpyDeviceToHost))
		die(__LINE__);
	return host;
}

/* The same bits, or both NaN. */
static bool same(float a, float b)
{
	return !memcmp(&a, &b, sizeof a) || (a != a && b != b);
}

/* The terms of a sum, one after the other in double. */
static bool sums_agree(struct fuse_case *c, const float *made)
{
	size_t w = c->m.width, total = (size_t)c->rows * w;
	struct fuse_case t = *c;
	float *term;
	bool ok = true;

	t.m.rows = c->rows;
	t.m.out = put(c, NULL, total * sizeof(float), 0);
	if (c->m.weighted) { /* as one more step, rounded: within what is allowed */
		uint8_t k = (uint8_t)t.m.nregs, n = (uint8_t)(c->m.nin - 1);

		t.m.steps[t.m.nsteps++] = (struct rn_cuda_step){ RN_EW_LOAD, k, n, 0, 0, 0, 0 };
		t.m.steps[t.m.nsteps++] = (struct rn_cuda_step){
			RN_EW_MUL, (uint8_t)(k + 1), k, (uint8_t)c->m.result, 0, 0, 0 };
		t.m.result = k + 1u;
		t.m.nregs += 2;
	}
	if (lib.elem(stream, &t.m))
		die(__LINE__);
	term = take(t.m.out, total);
	for (size_t i = 0; i < (size_t)c->segs.n * w && ok; i++) {
		uint32_t n = c->ptr[i / w + 1] - c->ptr[i / w];
		double sum = 0, size = 0, most;

		for (size_t k = c->ptr[i / w]; k < c->ptr[i / w + 1]; k++) {
			sum += term[k * w + i % w];
			size += fabs(term[k * w + i % w]);
		}
		/* Each term is rounded as often as it is added to: in its piece, then in the sum of
		 * pieces (Higham, Accuracy and Stability, 4.2); and once where it is weighted. */
		most = (fmin(n, RN_CUDA_LONG) + n / RN_CUDA_LONG + 2) * 0x1p-24;
		if (size < 1e37) /* else no number has to come out */
			ok = fabs(made[i] - sum) <= most * size;
	}
	free(term);
	return ok;
}

static bool numbers_agree(struct rn_cuda_fuse *f, uint32_t kernel, struct fuse_case *c)
{
	size_t n = (size_t)c->m.rows * c->m.width;
	const struct rn_cuda_segs *g = c->sums ? &c->segs : NULL;
	float *poison = malloc((n + 1) * sizeof *poison), *made, *interpreted;
	bool ok = true;

	for (size_t i = 0; i < n; i++)
		poison[i] = (float)NAN;
	if (lib.copy(c->m.out, poison, n * sizeof *poison, cudaMemcpyHostToDevice) ||
	    lib.launch(f, kernel, stream, &c->m, g))
		die(__LINE__);
	made = take(c->m.out, n);
	if (lib.copy(c->m.out, poison, n * sizeof *poison, cudaMemcpyHostToDevice) ||
	    (g ? lib.segelem(stream, &c->m, g) : lib.elem(stream, &c->m)))
		die(__LINE__);
	interpreted = take(c->m.out, n);
	for (size_t i = 0; i < n && ok; i++)
		ok = same(made[i], interpreted[i]);
	if (g && ok)
		ok = sums_agree(c, made);
	free(poison);
	free(made);
	free(interpreted);
	return ok;
}

static void test_numbers(uint64_t seed, unsigned cases)
{
	struct fuse_case *c = calloc(cases, sizeof *c);
	uint32_t *kernel = calloc(cases, sizeof *kernel);
	unsigned made = 0, right[2] = { 0, 0 };
	struct rn_cuda_fuse *f;
	const char *note;

	T_CALL(lib.make(&f, &err), &err);
	for (unsigned i = 0; i < cases; i++) {
		fuse_case_make(&c[i], seed + i, i % 2, put);
		T_CALL(lib.add(f, &c[i].m, c[i].sums, &kernel[i], &err), &err);
		made += kernel[i] != UINT32_MAX;
	}
	T_CALL(lib.build(f, &err), &err);
	note = lib.note(f);
	T_OK(made == cases && strstr(note, "compiled"), "%u kernels: %.300s", made, note);
	for (unsigned i = 0; i < cases; i++) {
		bool ok = numbers_agree(f, kernel[i], &c[i]);

		right[i % 2] += ok;
		if (!ok)
			printf("# case %u: seed %llu, width %u, %u rows, %u inputs\n", i,
			       (unsigned long long)(seed + i), c[i].m.width, c[i].rows, c[i].m.nin);
		free_case(&c[i]);
	}
	T_OK(right[0] == (cases + 1) / 2, "programs: the interpreter's bits (%u)", right[0]);
	T_OK(right[1] == cases / 2, "sums: the interpreter's bits, the sum of its terms (%u)",
	     right[1]);
	lib.free(f);
	free(c);
	free(kernel);
}

/* ---- the disk ---------------------------------------------------------------------------- */

/* Make n kernels anew, one after the other; what was said of them. */
static const char *build(unsigned n, char *note, size_t cap)
{
	struct rn_cuda_fuse *f;
	struct fuse_case c;
	bool right = true;
	uint32_t k;

	T_CALL(lib.make(&f, &err), &err);
	for (unsigned i = 0; i < n; i++) {
		fuse_case_make(&c, 4 + i, false, put);
		T_CALL(lib.add(f, &c.m, false, &k, &err), &err);
		T_CALL(lib.build(f, &err), &err);
		right &= numbers_agree(f, k, &c);
		free_case(&c);
	}
	snprintf(note, cap, "%s", lib.note(f));
	T_OK(right, "... and is right");
	lib.free(f);
	return note;
}

static const char *build_one(char *note, size_t cap)
{
	return build(1, note, cap);
}

enum damage { WRONG_BYTE, HALF, FOREIGN };

/* FOREIGN: whole, but nothing that can be loaded. */
static void damage_file(const char *path, enum damage how)
{
	static char image[1 << 20];
	XXH64_hash_t sum;
	int fd = open(path, O_RDWR);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) || st.st_size > (off_t)sizeof image)
		die(__LINE__);
	if (how == HALF && ftruncate(fd, st.st_size / 2))
		die(__LINE__);
	if (how == WRONG_BYTE && pwrite(fd, "?", 1, st.st_size / 2) != 1)
		die(__LINE__);
	if (how == FOREIGN) {
		size_t n = (size_t)st.st_size - HEAD;

		sum = XXH3_64bits(image, n);
		if (pwrite(fd, image, n, HEAD) != (ssize_t)n ||
		    pwrite(fd, &sum, sizeof sum, HEAD - sizeof sum) != sizeof sum)
			die(__LINE__);
	}
	close(fd);
}

static void damage(const char *dir, size_t files, enum damage how)
{
	char pattern[300];
	glob_t g;

	snprintf(pattern, sizeof pattern, "%s/rn/*.cubin", dir);
	T_OK(!glob(pattern, 0, NULL, &g) && g.gl_pathc == files, "%zu files are kept", files);
	for (size_t i = 0; i < g.gl_pathc; i++)
		damage_file(g.gl_pathv[i], how);
	globfree(&g);
}

static void test_cache(void)
{
	char dir[] = "/tmp/rn-fuse-XXXXXX", note[500], command[100], *path;

	if (!mkdtemp(dir))
		die(__LINE__);
	setenv("XDG_CACHE_HOME", dir, 1);
	T_OK(strstr(build_one(note, sizeof note), "compiled"), "no cache: %s", note);
	T_OK(strstr(build_one(note, sizeof note), "from the cache"), "again: %s", note);
	damage(dir, 1, WRONG_BYTE);
	T_OK(strstr(build_one(note, sizeof note), "compiled"), "a wrong byte: %s", note);
	damage(dir, 1, HALF);
	T_OK(strstr(build_one(note, sizeof note), "compiled"), "half a file: %s", note);
	T_OK(strstr(build_one(note, sizeof note), "from the cache"), "it was mended: %s", note);
	(void)build(2, note, sizeof note);
	T_OK(!strcmp(build(2, note, sizeof note), "1 kernels from the cache; 1 kernels from the cache"), "two: %s",
	     note);
	damage(dir, 2, FOREIGN);
	T_OK(!strcmp(build(2, note, sizeof note), "1 kernels compiled; 1 kernels compiled"),
	     "what cannot be loaded: %s", note);
	setenv("RN_CUDA_CACHE", "0", 1);
	T_OK(strstr(build_one(note, sizeof note), "compiled"), "RN_CUDA_CACHE=0: %s", note);
	unsetenv("RN_CUDA_CACHE");
	setenv("XDG_CACHE_HOME", "/dev/null", 1);
	T_OK(strstr(build_one(note, sizeof note), "compiled (and not kept in the cache: Not a directory)"),
	     "nowhere to write: %s", note);
	path = strdup(getenv("PATH"));
	setenv("PATH", "/nowhere", 1);
	T_OK(strstr(build_one(note, sizeof note), "are interpreted"), "no compiler: %.60s", note);
	setenv("PATH", path, 1);
	free(path);
	setenv("RN_CUDA_FUSE", "0", 1);
	T_OK(!*build_one(note, sizeof note), "RN_CUDA_FUSE=0: nothing is made");
	unsetenv("RN_CUDA_FUSE");
	snprintf(command, sizeof command, "rm -r '%s'", dir);
	T_OK(!system(command), "the cache can be removed");
}

/* ---- all --------------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	unsigned cases = argc > 2 ? (unsigned)atoi(argv[2]) : getenv("RN_LONG") ? 400 : 60;
	const char *what = getenv("RN_CUDA_TEST");

	if (what && !strcmp(what, "device")) {
		T_SKIP("kernels are run on a device by test_cuda");
		return t_done();
	}
	use_emulation(argv);
	printf("# seed %llu, %u cases\n", (unsigned long long)seed, cases);
	if (!open_library())
		return t_done();
	test_shapes();
	setenv("RN_CUDA_CACHE", "0", 1);
	test_numbers(seed, cases);
	unsetenv("RN_CUDA_CACHE");
	test_cache();
	if (open_nvrtc()) {
		test_random_text(seed, cases);
		test_examples();
	} else {
		T_SKIP("NVRTC is not here");
	}
	return t_done();
}
