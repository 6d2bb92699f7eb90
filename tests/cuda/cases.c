/* SPDX-License-Identifier: Apache-2.0
 *
 * A builder for each primitive, on sizes that the trial gives.
 */
#include "cuda_test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_ROW UINT32_MAX

/* ---- random numbers ------------------------------------------------------------------------ */

static uint64_t next(struct gen *g)
{
	uint64_t z = g->state += 0x9E3779B97F4A7C15u;

	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	return z ^ z >> 31;
}

uint32_t gen_below(struct gen *g, uint32_t n)
{
	return n ? (uint32_t)(next(g) % n) : 0;
}

double gen_real(struct gen *g)
{
	return (double)(next(g) >> 11) * 0x1p-51 - 2;
}

void gen_must(int rc, const struct rn_err *e, const char *what)
{
	if (!rc)
		return;
	printf("Bail out! %s: %d: %s\n", what, rc, e->msg);
	exit(1);
}

uint32_t gen_need(uint32_t value, const struct rn_err *e)
{
	if (value == RN_NONE)
		gen_must(RN_EBUG, e, "building a program");
	return value;
}

/* ---- constants ---------------------------------------------------------------------------------- */

static uint32_t constant(struct gen *g, uint32_t rows, uint32_t rank, const uint32_t *dim,
			 double (*number)(struct gen *g))
{
	size_t n = rows;
	struct rn_buf *b;
	struct rn_err e;

	for (uint32_t i = 0; i < rank; i++)
		n *= dim[i];
	gen_must(rn_buf_new(n * sizeof(float), "a constant", &b, &e), &e, "a constant");
	for (size_t i = 0; i < n; i++) {
		double x = number(g);

		((float *)b->data)[i] = (float)(g->abs ? fabs(x) : x);
	}
	return gen_need(rn_prog_const(&g->p, rows, rank, dim, b, &e), &e);
}

static double some_real(struct gen *g)
{
	return gen_below(g, 20) ? gen_real(g) : 0;
}

uint32_t gen_value(struct gen *g, uint32_t rows, uint32_t rank, uint32_t d0, uint32_t d1)
{
	return constant(g, rows, rank, (uint32_t[]){ d0, d1 }, some_real);
}

static double whole(struct gen *g)
{
	return (double)gen_below(g, 7) - 3;
}

uint32_t gen_ties(struct gen *g, uint32_t rows, uint32_t width)
{
	return constant(g, rows, 1, &width, whole);
}

uint32_t gen_indices(struct gen *g, uint32_t n, uint32_t below, bool missing)
{
	uint32_t *x = calloc((size_t)n + 1, sizeof *x), v;
	struct rn_err e;

	for (uint32_t i = 0; i < n; i++)
		x[i] = !below || (missing && !gen_below(g, 5)) ? NO_ROW : gen_below(g, below);
	v = gen_need(rn_prog_idx_copy(&g->p, x, n, &e), &e);
	free(x);
	return v;
}

uint32_t gen_bounds(struct gen *g, uint32_t n, uint32_t terms)
{
	uint32_t *x = calloc((size_t)n + 1, sizeof *x), v, mode = gen_below(g, 3);
	struct rn_err e;

	for (uint32_t s = 1; s < n; s++) {
		uint32_t left = terms - x[s - 1], len;

		if (mode == 0) /* about equal */
			len = left / (n - s + 1);
		else if (mode == 1) /* short, a third of them empty */
			len = gen_below(g, 3) ? gen_below(g, left < 40 ? left + 1 : 40) : 0;
		else /* one that has nearly all */
			len = s == n / 2 ? left - left / 8 : gen_below(g, left / 8 + 1) / n;
		x[s] = x[s - 1] + len;
	}
	if (n)
		x[n] = terms;
	v = gen_need(rn_prog_idx_copy(&g->p, x, n + 1, &e), &e);
	free(x);
	return v;
}

static uint32_t add(struct gen *g, struct rn_inst *i, const uint32_t *in, uint32_t nin,
		    uint32_t rows, uint32_t rank, const uint32_t *dim)
{
	struct rn_err e;

	i->nin = nin;
	for (uint32_t k = 0; k < nin; k++)
		i->in[k].val = in[k];
	return gen_need(rn_prog_add(&g->p, i, rows, rank, dim, &e), &e);
}

static uint32_t add1(struct gen *g, enum rn_prim op, uint32_t x, uint32_t idx, uint32_t rows,
		     uint32_t width)
{
	struct rn_inst i = rn_inst_init(op);

	i.idx[0] = idx;
	return add(g, &i, &x, 1, rows, 1, &width);
}

/* ---- elementwise ------------------------------------------------------------------------------------ */

static uint32_t random_map(struct gen *g, uint32_t n, uint32_t below)
{
	return gen_indices(g, n, below, false);
}

static uint32_t dropmask(struct gen *g, double prob)
{
	struct rn_drop d = { .key = rn_rng_key("test", gen_below(g, 1000)),
			     .row = RN_NONE,
			     .col = RN_NONE };
	uint32_t width = gen_below(g, 2) ? g->width : 1;
	struct rn_err e;

	if (gen_below(g, 2))
		d.row = gen_indices(g, g->rows, 1 << 30, false);
	if (width == 1 && gen_below(g, 2))
		d.col = gen_indices(g, g->rows, 5000, false);
	return gen_need(rn_prog_dropmask(&g->p, g->rows, 1, &width, prob, &d, &e), &e);
}

static double above_zero(struct gen *g)
{
	return exp(4 * gen_real(g));
}

static double special(struct gen *g)
{
	static const double x[] = { 0, -0.0, 1, -1, 0.5, 2.5, -1.5, 1e-40, 1e30, -1e30,
				    INFINITY, -INFINITY, NAN };

	return x[gen_below(g, sizeof x / sizeof *x)];
}

/* Operands of every kind: by rows, one row for all, one number for a row, mapped features. */
static uint32_t function_of(struct gen *g, enum rn_ew fn, double (*number)(struct gen *g))
{
	struct rn_inst i = rn_inst_init(RN_P_EW);
	uint32_t in[3], n = rn_ew_info[fn].arity;

	if (fn == RN_EW_DROPMASK)
		return dropmask(g, 0.4);
	i.fn = fn;
	i.imm = gen_real(g);
	for (uint32_t k = 0; k < n; k++) {
		uint32_t kind = gen_below(g, 5), width = g->width, rows = g->rows;

		if (kind == 1)
			rows = 1;
		if (kind == 2)
			width = 1;
		if (kind == 3) {
			width = 1 + gen_below(g, g->width);
			i.in[k].fmap = random_map(g, g->width, width);
		}
		in[k] = constant(g, rows, 1, &width, number);
	}
	return add(g, &i, in, n, g->rows, 1, &g->width);
}

uint32_t build_function(struct gen *g, enum rn_ew fn)
{
	bool positive = fn == RN_EW_LOG || fn == RN_EW_LOG1P || fn == RN_EW_SQRT || fn == RN_EW_POW;
	bool equal = fn == RN_EW_EQ || fn == RN_EW_LE || fn == RN_EW_LT || fn == RN_EW_SELECT ||
		     fn == RN_EW_MAX || fn == RN_EW_MIN;

	return function_of(g, fn, positive ? above_zero : equal ? whole : some_real);
}

uint32_t build_special(struct gen *g, enum rn_ew fn)
{
	return function_of(g, fn, special);
}

/* A fused program that grows with its inputs, so that `abs` bounds its terms: sums,
 * products, maxima; it ends as a mask times what it computed. */
static void fused_steps(struct gen *g, struct rn_inst *i, uint32_t loads, bool mask)
{
	static const uint8_t fns[] = { RN_EW_ADD, RN_EW_MUL, RN_EW_FMA, RN_EW_MAX, RN_EW_RELU };
	struct rn_elem *m = &i->elem;
	struct rn_err e;
	uint8_t last;

	m->steps = rn_arena_alloc(&g->p.arena, RN_ELEM_STEPS * sizeof *m->steps, &e);
	m->drops = rn_arena_alloc(&g->p.arena, sizeof *m->drops, &e);
	gen_must(m->steps && m->drops ? 0 : RN_ENOMEM, &e, "a fused program");
	for (uint8_t k = 0; k < loads; k++)
		m->steps[m->nsteps++] =
			(struct rn_elem_step){ .fn = RN_EW_LOAD, .dst = k, .a = k };
	last = (uint8_t)(loads - 1);
	for (uint32_t k = 1 + gen_below(g, 8); k--;) {
		uint8_t dst = (uint8_t)(loads + gen_below(g, 3));

		m->steps[m->nsteps++] = (struct rn_elem_step){
			.fn = fns[gen_below(g, 5)], .dst = dst, .a = last,
			.b = (uint8_t)gen_below(g, loads), .c = (uint8_t)gen_below(g, loads),
		};
		last = dst;
	}
	if (mask) {
		m->ndrops = 1;
		m->drops[0] = (struct rn_drop){ rn_rng_key("fused", 3), RN_NONE, RN_NONE };
		m->steps[m->nsteps++] = (struct rn_elem_step){
			.fn = RN_EW_DROPMASK, .dst = 20, .imm = g->abs ? 0 : 0.3 }; /* abs: a bound */
		m->steps[m->nsteps++] = (struct rn_elem_step){
			.fn = RN_EW_MUL, .dst = 21, .a = last, .b = 20 };
		last = 21;
	}
	m->nregs = RN_ELEM_REGS;
	m->result = last;
}

/* Inputs of a fused program over `rows` rows, with row maps and feature maps. */
static uint32_t fused_inputs(struct gen *g, struct rn_inst *i, uint32_t rows, uint32_t *in)
{
	uint32_t n = 1 + gen_below(g, 5);

	for (uint32_t k = 0; k < n; k++) {
		uint32_t kind = gen_below(g, 6), own = rows, width = g->width;

		if (kind == 1)
			own = 1;
		if (kind == 2)
			width = 1;
		if (kind == 3 || kind == 4) {
			own = 1 + gen_below(g, 50);
			i->in[k].rmap = gen_indices(g, rows, own, true);
		}
		if (kind == 4 || kind == 5) {
			width = 1 + gen_below(g, g->width);
			i->in[k].fmap = random_map(g, g->width, width);
		}
		in[k] = gen_value(g, own, 1, width, 0);
	}
	return n;
}

static uint32_t build_elem(struct gen *g)
{
	struct rn_inst i = rn_inst_init(RN_P_ELEM);
	uint32_t in[RN_MAX_IN], n = fused_inputs(g, &i, g->rows, in);

	fused_steps(g, &i, n, gen_below(g, 2));
	return add(g, &i, in, n, g->rows, 1, &g->width);
}

/* Over an operand that nothing reads later: in place. */
static uint32_t build_elem_over(struct gen *g)
{
	struct rn_inst i = rn_inst_init(RN_P_ELEM);
	struct rn_err e;
	uint32_t in[2];

	in[0] = gen_need(rn_prog_ew_imm(&g->p, RN_EW_MUL, gen_value(g, g->rows, 1, g->width, 0),
					1.5, false, &e),
			 &e);
	in[1] = gen_value(g, gen_below(g, 2) ? 1 : g->rows, 1, gen_below(g, 2) ? 1 : g->width, 0);
	fused_steps(g, &i, 2, true);
	return add(g, &i, in, 2, g->rows, 1, &g->width);
}

static uint32_t build_ew(struct gen *g)
{
	static const enum rn_ew fns[] = { RN_EW_ADD, RN_EW_MUL, RN_EW_TANH, RN_EW_SIGMOID };

	return build_function(g, fns[gen_below(g, 4)]);
}

static uint32_t build_dropmask(struct gen *g)
{
	return dropmask(g, 0.1 + 0.8 * (gen_real(g) + 2) / 4);
}

static uint32_t build_segelem(struct gen *g)
{
	struct rn_inst i = rn_inst_init(RN_P_SEGELEM);
	uint32_t in[RN_MAX_IN], segs = 1 + gen_below(g, 60), n = fused_inputs(g, &i, g->rows, in);
	uint32_t loads = n;

	if (gen_below(g, 2)) {
		bool mapped = gen_below(g, 2);

		i.flags |= RN_F_WEIGHTED;
		in[n] = gen_value(g, mapped ? 9 : g->rows, 1, 1, 0);
		i.in[n].rmap = mapped ? gen_indices(g, g->rows, 9, false) : RN_NONE;
		n++;
	}
	fused_steps(g, &i, loads, gen_below(g, 2));
	i.idx[0] = gen_bounds(g, segs, g->rows);
	return add(g, &i, in, n, segs, 1, &g->width);
}

/* ---- rows --------------------------------------------------------------------------------------------- */

static uint32_t build_gather(struct gen *g)
{
	uint32_t from = 1 + gen_below(g, 300), x = gen_value(g, from, 1, g->width, 0);
	struct rn_err e;

	return gen_need(rn_prog_gather(&g->p, x, gen_indices(g, g->rows, from, true), &e), &e);
}

static uint32_t build_stack(struct gen *g)
{
	uint32_t xs[6], n = 2 + gen_below(g, 5); /* one is itself */
	struct rn_err e;

	for (uint32_t k = 0; k < n; k++)
		xs[k] = gen_value(g, gen_below(g, g->rows + 1), 1, g->width, 0);
	return gen_need(rn_prog_stack(&g->p, xs, n, &e), &e);
}

static uint32_t build_spmm(struct gen *g)
{
	bool xi = gen_below(g, 3), weights = gen_below(g, 3), wi = weights && gen_below(g, 2);
	uint32_t from = 1 + gen_below(g, 200), segs = 1 + gen_below(g, 90), ptr, x, w;
	struct rn_err e;

	ptr = gen_bounds(g, segs, g->rows);
	x = gen_value(g, xi ? from : g->rows, 1, g->width, 0);
	w = weights ? gen_value(g, wi ? 17 : g->rows, 1, 1, 0) : RN_NONE;
	return gen_need(rn_prog_spmm(&g->p, ptr, x, xi ? gen_indices(g, g->rows, from, true) : RN_NONE,
				     w, wi ? gen_indices(g, g->rows, 17, false) : RN_NONE, &e),
			&e);
}

static uint32_t build_sddmm(struct gen *g)
{
	bool ai = gen_below(g, 2), bi = gen_below(g, 2);
	uint32_t from = 1 + gen_below(g, 99);
	uint32_t a = gen_value(g, ai ? from : g->rows, 1, g->width, 0);
	uint32_t b = gen_value(g, bi ? from : g->rows, 1, g->width, 0);
	struct rn_err e;

	return gen_need(rn_prog_sddmm(&g->p, g->rows, a,
				      ai ? gen_indices(g, g->rows, from, true) : RN_NONE, b,
				      bi ? gen_indices(g, g->rows, from, true) : RN_NONE, &e),
			&e);
}

/* The largest or smallest of each segment, of the rows themselves or in another order. */
static uint32_t argument(struct gen *g, uint32_t x, uint32_t segs, bool listed)
{
	struct rn_inst i = rn_inst_init(RN_P_SEGARG);
	uint32_t rows = g->p.vals[x].rows;

	i.flags = gen_below(g, 2) ? RN_F_MIN : 0;
	i.idx[0] = gen_bounds(g, segs, rows);
	if (listed)
		i.idx[1] = gen_indices(g, rows, rows, false);
	return add(g, &i, &x, 1, segs, 1, &g->width);
}

static uint32_t build_segarg(struct gen *g)
{
	return argument(g, gen_ties(g, g->rows, g->width), 1 + gen_below(g, 70), gen_below(g, 2));
}

static uint32_t build_pick(struct gen *g)
{
	struct rn_inst i = rn_inst_init(RN_P_PICK);
	uint32_t in[2], segs = 1 + gen_below(g, 70);

	in[0] = gen_value(g, g->rows, 1, g->width, 0);
	in[1] = argument(g, in[0], segs, gen_below(g, 2));
	return add(g, &i, in, 2, segs, 1, &g->width);
}

static uint32_t build_unpick(struct gen *g)
{
	struct rn_inst i = rn_inst_init(RN_P_UNPICK);
	uint32_t in[2], segs = 1 + gen_below(g, 70);

	in[0] = gen_value(g, segs, 1, g->width, 0);
	in[1] = argument(g, gen_value(g, g->rows, 1, g->width, 0), segs, false);
	return add(g, &i, in, 2, g->rows, 1, &g->width);
}

/* ---- matrices --------------------------------------------------------------------------------------------- */

static uint32_t other_width(struct gen *g)
{
	static const uint32_t w[] = { 1, 2, 3, 7, 8, 16, 31, 33, 64, 65, 130 };

	return w[gen_below(g, sizeof w / sizeof *w)];
}

static uint32_t gemm(struct gen *g, uint32_t n, uint32_t k, uint32_t m)
{
	bool trans = gen_below(g, 2);
	uint32_t x = gen_value(g, n, 1, k, 0), w, b;
	struct rn_err e;

	w = gen_value(g, 1, 2, trans ? m : k, trans ? k : m);
	b = gen_below(g, 2) ? gen_value(g, 1, 1, m, 0) : RN_NONE;
	return gen_need(rn_prog_gemm(&g->p, x, w, b, trans, &e), &e);
}

static uint32_t build_gemm(struct gen *g)
{
	return gemm(g, g->rows, g->width, other_width(g));
}

/* Wide enough for cuBLAS. */
static uint32_t build_gemm_wide(struct gen *g)
{
	return gemm(g, 1024 + gen_below(g, 100), 128 + gen_below(g, 5), 128 + gen_below(g, 5));
}

static uint32_t gemm_tn(struct gen *g, uint32_t n, uint32_t k, uint32_t m)
{
	uint32_t x = gen_value(g, n, 1, k, 0), y = gen_value(g, n, 1, m, 0);
	struct rn_err e;

	return gen_need(rn_prog_gemm_tn(&g->p, x, y, &e), &e);
}

static uint32_t build_gemm_tn(struct gen *g)
{
	return gemm_tn(g, g->rows, g->width, other_width(g));
}

static uint32_t build_gemm_tn_wide(struct gen *g)
{
	return gemm_tn(g, 1024 + gen_below(g, 100), 128 + gen_below(g, 5), 128 + gen_below(g, 5));
}

static uint32_t build_ggemm(struct gen *g)
{
	bool trans = gen_below(g, 2);
	uint32_t segs = 1 + gen_below(g, 9), k = g->width, m = other_width(g);
	uint32_t x = gen_value(g, g->rows, 1, k, 0), w;
	struct rn_err e;

	w = gen_value(g, segs, 2, trans ? m : k, trans ? k : m);
	return gen_need(rn_prog_ggemm(&g->p, x, w, gen_bounds(g, segs, g->rows), trans, &e), &e);
}

static uint32_t build_ggemm_tn(struct gen *g)
{
	uint32_t segs = 1 + gen_below(g, 9), x = gen_value(g, g->rows, 1, g->width, 0), y;
	struct rn_err e;

	y = gen_value(g, g->rows, 1, other_width(g), 0);
	return gen_need(rn_prog_ggemm_tn(&g->p, x, y, gen_bounds(g, segs, g->rows), &e), &e);
}

static uint32_t build_matmul(struct gen *g)
{
	bool ta = gen_below(g, 2), tb = gen_below(g, 2);
	uint32_t p = 1 + gen_below(g, 9), q = 1 + gen_below(g, 20), r = 1 + gen_below(g, 9);
	uint32_t shared = gen_below(g, 3), rows = g->rows % 1000, a, b;
	struct rn_err e;

	a = gen_value(g, shared == 1 ? 1 : rows, 2, ta ? q : p, ta ? p : q);
	b = gen_value(g, shared == 2 ? 1 : rows, 2, tb ? r : q, tb ? q : r);
	return gen_need(rn_prog_matmul(&g->p, a, b, ta, tb, &e), &e);
}

/* ---- features ------------------------------------------------------------------------------------------------ */

static uint32_t build_colsum(struct gen *g)
{
	struct rn_err e;

	return gen_need(rn_prog_colsum(&g->p, gen_value(g, g->rows, 1, g->width, 0), &e), &e);
}

static uint32_t build_fsum(struct gen *g)
{
	bool whole_row = gen_below(g, 2);
	uint32_t to = 1 + gen_below(g, 20), map[300], x = gen_value(g, g->rows, 1, g->width, 0);
	struct rn_err e;

	for (uint32_t f = 0; f < g->width; f++)
		map[f] = gen_below(g, to);
	return gen_need(rn_prog_fsum(&g->p, x, whole_row ? NULL : map, whole_row ? 0 : 1, &to, &e),
			&e);
}

static uint32_t build_fmax(struct gen *g)
{
	return add1(g, RN_P_FMAX, gen_value(g, g->rows, 1, g->width, 0), RN_NONE, g->rows, 1);
}

static uint32_t build_argmax(struct gen *g)
{
	return add1(g, RN_P_ARGMAX, gen_ties(g, g->rows, g->width), RN_NONE, g->rows, 1);
}

static uint32_t build_concat(struct gen *g)
{
	uint32_t xs[6], n = 2 + gen_below(g, 4);
	struct rn_err e;

	xs[0] = gen_value(g, g->rows, 1, g->width, 0);
	for (uint32_t k = 1; k < n; k++)
		xs[k] = gen_value(g, gen_below(g, 3) ? g->rows : 1, 1, other_width(g), 0);
	return gen_need(rn_prog_concat(&g->p, xs, n, &e), &e);
}

static uint32_t build_view(struct gen *g)
{
	uint32_t x = gen_value(g, g->rows, 2, g->width, 2), width = 2 * g->width;
	struct rn_err e;

	x = gen_need(rn_prog_ew1(&g->p, RN_EW_NEG, x, &e), &e);
	return gen_need(rn_prog_view(&g->p, x, g->rows, 1, &width, &e), &e);
}

/* Sparse rows: some features of each, in order. */
static uint32_t pattern(struct gen *g, uint32_t *col)
{
	uint32_t *ptr = calloc((size_t)g->rows + 1, sizeof *ptr), n = 0, v;
	uint32_t *x = calloc((size_t)g->rows * g->width + 1, sizeof *x);
	uint32_t every = 1 + gen_below(g, 9);
	struct rn_err e;

	for (uint32_t i = 0; i < g->rows; i++) {
		for (uint32_t f = 0; f < g->width; f++)
			if (!gen_below(g, every))
				x[n++] = f;
		ptr[i + 1] = n;
	}
	v = gen_need(rn_prog_idx_copy(&g->p, ptr, g->rows + 1, &e), &e);
	*col = gen_need(rn_prog_idx_copy(&g->p, x, n, &e), &e);
	free(ptr);
	free(x);
	return v;
}

static uint32_t build_densify(struct gen *g)
{
	struct rn_inst i = rn_inst_init(RN_P_DENSIFY);
	uint32_t x;

	i.idx[0] = pattern(g, &i.idx[1]);
	x = gen_value(g, g->p.idx[i.idx[1]].n, 1, 1, 0);
	return add(g, &i, &x, 1, g->rows, 1, &g->width);
}

static uint32_t build_atcsr(struct gen *g)
{
	struct rn_inst i = rn_inst_init(RN_P_ATCSR);
	uint32_t x = gen_value(g, g->rows, 1, g->width, 0), one = 1;

	i.idx[0] = pattern(g, &i.idx[1]);
	return add(g, &i, &x, 1, g->p.idx[i.idx[1]].n, 1, &one);
}

static uint32_t build_ce(struct gen *g)
{
	uint32_t z = gen_value(g, g->rows, 1, g->width, 0);

	return add1(g, RN_P_CE, z, gen_indices(g, g->rows, g->width, true), g->rows, 1);
}

static uint32_t build_ce_grad(struct gen *g)
{
	struct rn_inst i = rn_inst_init(RN_P_CE_GRAD);
	uint32_t in[2] = { gen_value(g, g->rows, 1, g->width, 0), gen_value(g, g->rows, 1, 1, 0) };

	i.idx[0] = gen_indices(g, g->rows, g->width, true);
	return add(g, &i, in, 2, g->rows, 1, &g->width);
}

/* ---- many instructions --------------------------------------------------------------------------------------- */

uint32_t build_network(struct gen *g)
{
	uint32_t edges = 6 * g->rows, ptr = gen_bounds(g, g->rows, edges), x, mask, width = 16;
	uint32_t from = gen_indices(g, edges, g->rows, true), label;
	struct rn_drop d = { rn_rng_key("network", 1), RN_NONE, RN_NONE };
	struct rn_err e;

	x = gemm(g, g->rows, g->width, width);
	for (unsigned layer = 0; layer < 2; layer++) {
		mask = gen_need(rn_prog_dropmask(&g->p, g->rows, 1, &width, 0.5, &d, &e), &e);
		x = gen_need(rn_prog_ew2(&g->p, RN_EW_MUL, x, mask, &e), &e);
		x = gen_need(rn_prog_spmm(&g->p, ptr, x, from, RN_NONE, RN_NONE, &e), &e);
		x = gen_need(rn_prog_ew_imm(&g->p, RN_EW_MUL, x, 0.1, false, &e), &e);
		x = gen_need(rn_prog_ew1(&g->p, RN_EW_TANH, x, &e), &e);
	}
	label = gen_indices(g, g->rows, width, false);
	x = add1(g, RN_P_CE, x, label, g->rows, 1);
	return gen_need(rn_prog_colsum(&g->p, x, &e), &e);
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

const struct prim_case prim_cases[] = {
	{ RN_P_EW, "functions", build_ew, BY_VALUE },
	{ RN_P_EW, "dropout", build_dropmask, BY_VALUE },
	{ RN_P_ELEM, "a fused program", build_elem, BY_TERMS },
	{ RN_P_ELEM, "in place", build_elem_over, BY_TERMS },
	{ RN_P_GATHER, "rows", build_gather, EXACTLY },
	{ RN_P_STACK, "rows", build_stack, EXACTLY },
	{ RN_P_SPMM, "segments", build_spmm, BY_TERMS },
	{ RN_P_SEGELEM, "segments", build_segelem, BY_TERMS },
	{ RN_P_SDDMM, "pairs", build_sddmm, BY_TERMS },
	{ RN_P_SEGARG, "segments", build_segarg, EXACTLY },
	{ RN_P_PICK, "segments", build_pick, EXACTLY },
	{ RN_P_UNPICK, "segments", build_unpick, EXACTLY },
	{ RN_P_GEMM, "narrow", build_gemm, BY_TERMS },
	{ RN_P_GEMM, "wide", build_gemm_wide, BY_TERMS },
	{ RN_P_GEMM_TN, "narrow", build_gemm_tn, BY_TERMS },
	{ RN_P_GEMM_TN, "wide", build_gemm_tn_wide, BY_TERMS },
	{ RN_P_GGEMM, "groups", build_ggemm, BY_TERMS },
	{ RN_P_GGEMM_TN, "groups", build_ggemm_tn, BY_TERMS },
	{ RN_P_MATMUL, "by row", build_matmul, BY_TERMS },
	{ RN_P_COLSUM, "columns", build_colsum, BY_TERMS },
	{ RN_P_FSUM, "features", build_fsum, BY_TERMS },
	{ RN_P_FMAX, "features", build_fmax, EXACTLY },
	{ RN_P_ARGMAX, "features", build_argmax, EXACTLY },
	{ RN_P_CONCAT, "features", build_concat, EXACTLY },
	{ RN_P_VIEW, "of a result", build_view, EXACTLY },
	{ RN_P_DENSIFY, "sparse rows", build_densify, EXACTLY },
	{ RN_P_ATCSR, "sparse rows", build_atcsr, EXACTLY },
	{ RN_P_CE, "labels", build_ce, BY_ONE },
	{ RN_P_CE_GRAD, "labels", build_ce_grad, BY_ONE },
};
const size_t prim_ncases = sizeof prim_cases / sizeof *prim_cases;
