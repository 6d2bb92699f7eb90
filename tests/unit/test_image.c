/* SPDX-License-Identifier: Apache-2.0
 *
 * Images of program parts: what goes in comes out, and nothing that is damaged
 * gets through, also where the checksum was made to fit.
 */
#include "t.h"

#include "../../lib/train/arrays.h"
#include "../../lib/train/image.h"
#include "../../lib/train/image_format.h"
#include "../../lib/dev/prog_check.h"

#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

static struct rn_err err;

/* Stage 7: relu(x·W) and a step; stage 8: a gather, a fused program with dropout, a sum, a view. */
static void build(struct rn_prog *p)
{
	static const uint32_t map[] = { 2, RN_NO_ROW, 0 };
	uint32_t dim2[2] = { 4, 2 }, x, w, z, g, sum, m, v;
	static struct rn_drop drop; /* the program keeps the address */
	struct rn_inst step = rn_inst_init(RN_P_ADAM), elem = rn_inst_init(RN_P_ELEM);
	static struct rn_elem_step steps[] = {
		{ .fn = RN_EW_LOAD, .dst = 0, .a = 0 },
		{ .fn = RN_EW_DROPMASK, .dst = 1, .imm = 0.5 },
		{ .fn = RN_EW_MUL, .dst = 2, .a = 0, .b = 1 },
	};

	rn_prog_init(p);
	drop = (struct rn_drop){ rn_rng_key("d", 1), RN_NONE, RN_NONE };
	x = rn_prog_const_fill(p, 3, 4, 0.5f, &err);
	w = rn_prog_param(p, RN_V_PARAM, 1, 2, dim2, &err);
	p->stage = 7;
	z = rn_prog_ew1(p, RN_EW_RELU, rn_prog_gemm(p, x, w, RN_NONE, false, &err), &err);
	p->stage = 8;
	g = rn_prog_gather(p, z, rn_prog_idx_copy(p, map, 3, &err), &err);
	drop.row = rn_prog_idx_copy(p, map, 3, &err);
	elem.nin = 1;
	elem.in[0].val = g;
	elem.in[0].rmap = rn_prog_idx_copy(p, (uint32_t[]){ 1, RN_NO_ROW, 2 }, 3, &err);
	elem.elem = (struct rn_elem){ .nsteps = 3, .nregs = 3, .result = 2, .steps = steps,
				      .ndrops = 1, .drops = &drop };
	dim2[0] = 2;
	v = rn_prog_add(p, &elem, 3, 1, dim2, &err);
	sum = rn_prog_colsum(p, v, &err);
	v = rn_prog_view(p, sum, 1, 2, (uint32_t[]){ 1, 2 }, &err);
	rn_prog_ew1(p, RN_EW_NEG, v, &err);
	p->stage = 7;
	dim2[0] = 4;
	dim2[1] = 2;
	step.nin = 4;
	step.in[0].val = w;
	step.in[1].val = rn_prog_gemm_tn(p, x, z, &err);
	m = rn_prog_param(p, RN_V_STATE, 4, 2, dim2, &err);
	step.in[2].val = m;
	step.in[3].val = rn_prog_param(p, RN_V_STATE, 6, 2, dim2, &err);
	step.f[RN_A_LR] = 0.25;
	if (rn_prog_add(p, &step, 1, 2, dim2, &err) == RN_NONE)
		T_OK(0, "a program: %s", err.msg);
}

static void text_of(const struct rn_prog *p, char *buf, size_t size)
{
	struct rn_str s = RN_STR_INIT;

	rn_prog_print(p, &s);
	snprintf(buf, size, "%s", s.s);
	rn_str_fini(&s);
}

static const size_t counts[] = { 3, 8 };
static const struct rn_shared *arrays; /* NULL: all are in the image */

/* The instructions of `stage`; values that cross lie at multiples of 64. */
static struct rn_shared *write_part(const struct rn_prog *p, uint32_t stage,
				    struct rn_image_part *part)
{
	static bool mine[32];
	static uint64_t shared[64];
	struct rn_shared *file = NULL;

	for (uint32_t i = 0; i < p->ninsts; i++)
		mine[i] = stage == RN_NONE || p->insts[i].stage == stage;
	for (uint32_t i = 0; i < p->nvals; i++)
		shared[i] = stage == RN_NONE ? RN_UNSHARED : (uint64_t)i * 64;
	*part = (struct rn_image_part){ .prog = p, .mine = mine, .shared = shared, .nparams = 2,
					.arrays = arrays, .counts = counts };
	T_CALL(rn_image_write(part, &file, &err), &err);
	return file;
}

static void part_fini(struct rn_image_part *part)
{
	free(part->insts);
	free(part->states);
}

static void test_round_trip(const struct rn_prog *p, const struct rn_shared *values)
{
	struct rn_image_part part;
	struct rn_image im;
	char want[4096], got[4096];

	T_CALL(rn_image_read(write_part(p, RN_NONE, &part), values, arrays, &im, &err), &err);
	T_OK(im.prog.ninsts == p->ninsts && part.ninsts == p->ninsts && part.nstates == 2 &&
		     part.states[0] == 4 && part.states[1] == 6,
	     "all instructions, two slots");
	T_OK(im.nparams == 2 && im.nstates == 2 && im.counts[1] == 8 && im.counts[2] == 8,
	     "counts of parameters and slots");
	/* Values are numbered anew: compare the second generation with the first. */
	text_of(&im.prog, want, sizeof want);
	part_fini(&part);
	{
		struct rn_image again;

		T_CALL(rn_image_read(write_part(&im.prog, RN_NONE, &part), values, arrays, &again, &err), &err);
		text_of(&again.prog, got, sizeof got);
		T_OK(!strcmp(got, want) && strlen(got) > 100, "an image of an image is the same program");
		T_OK(again.prog.insts[again.prog.ninsts - 1].f[RN_A_LR] == 0.25, "scalars are kept");
		rn_image_fini(&again);
		part_fini(&part);
	}
	rn_image_fini(&im);
}

static void test_part(const struct rn_prog *p, const struct rn_shared *values)
{
	struct rn_image_part part;
	struct rn_image im;
	bool external = false;

	T_CALL(rn_image_read(write_part(p, 8, &part), values, arrays, &im, &err), &err);
	for (uint32_t i = 0; i < im.prog.nvals; i++)
		if (im.prog.vals[i].kind == RN_V_CONST)
			external |= (char *)im.prog.vals[i].data->data >= (char *)values->base &&
				    (char *)im.prog.vals[i].data->data < (char *)values->base + values->size;
	T_OK(external, "what another stage makes is a constant in shared memory");
	T_OK(part.nstates == 0 && im.prog.ninsts == 5, "%u instructions, with the view", im.prog.ninsts);
	rn_image_fini(&im);
	part_fini(&part);
}

/* Flip bytes.  `mend`: make the checksum fit again; then an image may be right by chance, but
 * reading and checking it must not go astray (ASan looks on). */
static void test_damage(const struct rn_prog *p, const struct rn_shared *values, bool mend)
{
	struct rn_image_part part;
	struct rn_shared *whole = write_part(p, RN_NONE, &part);
	unsigned refused = 0, n = 0;

	for (size_t i = 0; i < whole->size; i++) {
		for (unsigned bit = 0; bit < 8; bit += mend ? 1 : 5) {
			struct rn_shared *copy = NULL;
			struct rn_image_header *h;
			struct rn_image im;

			T_CALL(rn_shared_new("t", whole->size, &copy, &err), &err);
			memcpy(copy->base, whole->base, whole->size);
			((unsigned char *)copy->base)[i] ^= (unsigned char)(1u << bit);
			h = copy->base;
			if (mend)
				h->sum = h->size == copy->size ? rn_image_sum(h, h + 1) : 0;
			n++;
			if (rn_image_read(copy, values, arrays, &im, &err)) {
				refused += err.code == RN_EDATA;
				continue;
			}
			if (rn_prog_check(&im.prog, &err))
				refused++;
			rn_image_fini(&im);
		}
	}
	if (mend)
		T_OK(refused > n / 4, "%u of %u images with a sum that fits are refused", refused, n);
	else
		T_OK(refused == n, "%u of %u damaged images are refused", refused, n);
	rn_shared_free(whole);
	part_fini(&part);
}

/* Large arrays lie in the program's memory, each once, and nobody can write them. */
static void test_arrays(const struct rn_shared *values)
{
	enum { N = 20000 };
	struct rn_shared *whole, *mapped = NULL;
	struct rn_image_part part;
	struct rn_buf *keep = NULL, *map;
	struct rn_image im, again;
	struct rn_prog p;
	uint32_t x, y, i;

	rn_prog_init(&p);
	T_CALL(rn_buf_new(N * sizeof(uint32_t), "a map", &map, &err), &err);
	for (i = 0; i < N; i++)
		((uint32_t *)map->data)[i] = N - 1 - i;
	x = rn_prog_const_fill(&p, N, 2, 0.25f, &err);
	y = rn_prog_const_fill(&p, 16, 2, 0.5f, &err);
	i = rn_prog_idx(&p, rn_buf_ref(map), N, &err);
	rn_prog_gather(&p, x, i, &err);
	rn_prog_gather(&p, x, rn_prog_idx(&p, rn_buf_ref(map), N, &err), &err);
	rn_prog_ew1(&p, RN_EW_EXP, y, &err);
	T_CALL(rn_arrays_move(&p, &keep, &err), &err);
	arrays = rn_arrays_file(keep);
	T_OK(arrays->size == N * 3 * 4 && rn_arrays_find(arrays, map->data) == RN_UNSHARED && map->refs == 1,
	     "each large array once: %zu bytes; the program refers to none of the old ones", arrays->size);
	rn_buf_unref(map);
	T_OK(p.idx[0].data->data == p.idx[1].data->data && rn_prog_idx_data(&p, i)[1] == N - 2 &&
		     ((float *)p.vals[x].data->data)[2 * N - 1] == 0.25f &&
		     rn_arrays_find(arrays, p.vals[y].data->data) == RN_UNSHARED, "the small ones stay");
	T_OK(write(arrays->fd, "x", 1) < 0 && mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, arrays->fd, 0) == MAP_FAILED &&
		     ftruncate(arrays->fd, 0) < 0, "nobody can write them, or take them away");
	T_CALL(rn_shared_map(dup(arrays->fd), false, &mapped, &err), &err);
	whole = write_part(&p, RN_NONE, &part);
	T_OK(whole->size < 8192, "an image of %zu bytes", whole->size);
	T_CALL(rn_image_read(whole, values, mapped, &im, &err), &err);
	T_OK(im.prog.nidx == 2 && im.prog.idx[1].data->data == (char *)mapped->base + rn_arrays_find(arrays, p.idx[1].data->data) &&
		     rn_prog_idx_data(&im.prog, 0)[N - 1] == 0 && !rn_prog_check(&im.prog, &err),
	     "another process reads them where they are");
	part_fini(&part);
	whole = write_part(&p, RN_NONE, &part);
	T_OK(rn_image_read(whole, values, NULL, &again, &err) == RN_EDATA, "without them: %s", err.msg);
	part_fini(&part);
	test_damage(&p, values, true);
	rn_image_fini(&im);
	rn_shared_free(mapped);
	rn_buf_unref(keep);
	T_OK(rn_prog_idx_data(&p, i)[0] == N - 1, "the program keeps them");
	rn_prog_fini(&p);
}

int main(void)
{
	struct rn_shared *values = NULL;
	struct rn_prog p;

	build(&p);
	T_CALL(rn_shared_new("values", 64 * 64, &values, &err), &err);
	test_round_trip(&p, values);
	test_part(&p, values);
	test_damage(&p, values, false);
	test_damage(&p, values, true);
	test_arrays(values);
	rn_shared_free(values);
	rn_prog_fini(&p);
	return t_done();
}
