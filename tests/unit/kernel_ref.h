/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of the CPU kernels share: random programs, a naive reference in
 * double, and the check of a program against it.  For every level of instruction
 * set that this machine has: float and double, one, two and four threads bit for
 * bit, and results that start out as NaN.
 */
#ifndef KERNEL_REF_H
#define KERNEL_REF_H

#include "../../lib/dev/machine.h"
#include "t.h"

#include <float.h>
#include <math.h>

#define NO_ROW UINT32_MAX

#pragma GCC diagnostic ignored "-Wunused-function" /* each test uses some of these */

static struct rn_err e;

/* ---- random programs ------------------------------------------------------------ */

static uint64_t seed = 88172645463325252u;

static uint32_t rnd(uint32_t n) /* 0 … n-1 */
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return n ? (uint32_t)((seed >> 11) % n) : 0;
}

static float rnd_real(void) /* often equal, often 0 */
{
	return rnd(8) ? ((float)rnd(2001) - 1000) / 500 : 0;
}

static void die(const char *what)
{
	printf("Bail out! %s: %s\n", what, e.msg);
	exit(1);
}

static uint32_t need(uint32_t v)
{
	if (v == RN_NONE)
		die("building a program");
	return v;
}

static uint32_t constant(struct rn_prog *p, uint32_t rows, uint32_t rank, const uint32_t *dim)
{
	size_t n = rows;
	struct rn_buf *b;

	for (uint32_t i = 0; i < rank; i++)
		n *= dim[i];
	if (rn_buf_new(n * sizeof(float), "test", &b, &e))
		die("constant");
	for (size_t i = 0; i < n; i++)
		((float *)b->data)[i] = rnd_real();
	return need(rn_prog_const(p, rows, rank, dim, b, &e));
}

static uint32_t flat(struct rn_prog *p, uint32_t rows, uint32_t width)
{
	return constant(p, rows, 1, &width);
}

static uint32_t indices(struct rn_prog *p, uint32_t n, uint32_t limit, bool no_row)
{
	uint32_t *x = malloc((n + 1) * sizeof *x), i;

	for (uint32_t k = 0; k < n; k++)
		x[k] = !limit || (no_row && !rnd(7)) ? NO_ROW : rnd(limit);
	i = need(rn_prog_idx_copy(p, x, n, &e));
	free(x);
	return i;
}

/* Segments over *terms terms: many empty, one of more than two chunks where there is room. */
static uint32_t segments(struct rn_prog *p, uint32_t n, uint32_t *terms, bool longest)
{
	uint32_t *x = calloc(n + 1, sizeof *x), i, big = rnd(n);

	for (uint32_t k = 0; k < n; k++)
		x[k + 1] = x[k] + (longest && k == big ? 700 : rnd(3) ? rnd(9) : 0);
	*terms = x[n];
	i = need(rn_prog_idx_copy(p, x, n + 1, &e));
	free(x);
	return i;
}

static struct rn_inst inst(enum rn_prim op, uint32_t a, uint32_t b)
{
	struct rn_inst i = rn_inst_init(op);

	i.nin = b == RN_NONE && op != RN_P_SPMM ? 1 : 2;
	i.in[0].val = a;
	i.in[1].val = b;
	return i;
}

static uint32_t add(struct rn_prog *p, struct rn_inst i, uint32_t rows, uint32_t width)
{
	return need(rn_prog_add(p, &i, rows, 1, &width, &e));
}

/* ---- reference -------------------------------------------------------------------- */

/* Result and the sum of the absolute values of its terms. */
struct ref {
	double *x, *mag;
};

static double ref_ew(enum rn_ew fn, double a, double b, double c)
{
	switch (fn) {
	case RN_EW_NEG: return -a;
	case RN_EW_EXP: return exp(a);
	case RN_EW_LOG: return log(a);
	case RN_EW_LOG1P: return log1p(a);
	case RN_EW_SQRT: return sqrt(a);
	case RN_EW_ABS: return fabs(a);
	case RN_EW_SIGN: return a > 0 ? 1 : a < 0 ? -1 : a;
	case RN_EW_ROUND: return rint(a);
	case RN_EW_TANH: return tanh(a);
	case RN_EW_SIGMOID: return 1 / (1 + exp(-a));
	case RN_EW_ERF: return erf(a);
	case RN_EW_RELU: return a > 0 ? a : a == a ? 0 : a;
	case RN_EW_POS: return a > 0;
	case RN_EW_ADD: return a + b;
	case RN_EW_SUB: return a - b;
	case RN_EW_MUL: return a * b;
	case RN_EW_DIV: return a / b;
	case RN_EW_POW: return pow(a, b);
	case RN_EW_MAX: return a != a || b != b ? NAN : a >= b ? a : b;
	case RN_EW_MIN: return a != a || b != b ? NAN : a <= b ? a : b;
	case RN_EW_EQ: return a == b;
	case RN_EW_LT: return a < b;
	case RN_EW_LE: return a <= b;
	case RN_EW_SELECT: return a != 0 ? b : c;
	case RN_EW_FMA: return fma(a, b, c);
	default: return NAN;
	}
}

struct view { /* operands of an instruction, as the reference sees them */
	const struct rn_prog *p;
	const struct rn_inst *i;
	const struct rn_val *o, *a, *b;
	const double *xa, *xb, *xc;
	const uint32_t *i0, *i1, *i2;
};

static double at(const struct view *v, unsigned k, size_t row, size_t f)
{
	const struct rn_val *x = &v->p->vals[v->i->in[k].val];
	const uint32_t *map = rn_prog_idx_data(v->p, v->i->in[k].fmap);
	const double *data = k == 0 ? v->xa : k == 1 ? v->xb : v->xc;

	f = map ? map[f] : x->width == 1 ? 0 : f;
	return data[(x->rows == 1 ? 0 : row) * x->width + f];
}

static void put(struct ref *r, size_t k, double x, double mag)
{
	r->x[k] = x;
	r->mag[k] = mag;
}

static void gain(struct ref *r, size_t k, double x)
{
	r->x[k] += x;
	r->mag[k] += fabs(x);
}

static void ref_ews(const struct view *v, struct ref *r)
{
	unsigned n = rn_ew_info[v->i->fn].arity;

	for (size_t i = 0; i < v->o->rows; i++)
		for (size_t f = 0; f < v->o->width; f++) {
			double a = n > 0 ? at(v, 0, i, f) : 0, b = n > 1 ? at(v, 1, i, f) : 0;
			double c = n > 2 ? at(v, 2, i, f) : 0;
			double y = v->i->fn == RN_EW_IMM ? v->i->imm : ref_ew(v->i->fn, a, b, c);

			put(r, i * v->o->width + f, y, fabs(y) + fabs(a * b) * (n == 3));
		}
}

static void ref_rows(const struct view *v, struct ref *r)
{
	size_t w = v->o->width, n = v->o->rows;

	switch (v->i->op) {
	case RN_P_GATHER:
		for (size_t k = 0; k < n * w; k++)
			gain(r, k, v->i0[k / w] == NO_ROW ? 0 : v->xa[v->i0[k / w] * w + k % w]);
		break;
	case RN_P_SPMM:
		for (size_t s = 0; s < n; s++)
			for (size_t k = v->i0[s]; k < v->i0[s + 1]; k++)
				for (size_t f = 0; f < w; f++) {
					size_t row = v->i1 ? v->i1[k] : k;

					if (v->i1 && v->i1[k] == NO_ROW)
						continue;
					gain(r, s * w + f, v->xa[row * w + f] *
						(v->xb ? v->xb[v->i2 ? v->i2[k] : k] : 1));
				}
		break;
	case RN_P_SDDMM:
		for (size_t k = 0; k < n; k++)
			for (size_t f = 0; f < v->a->width; f++) {
				size_t ai = v->i0 ? v->i0[k] : k, bi = v->i1 ? v->i1[k] : k;

				if ((v->i0 && ai == NO_ROW) || (v->i1 && bi == NO_ROW))
					continue;
				gain(r, k,
				     v->xa[ai * v->a->width + f] * v->xb[bi * v->a->width + f]);
			}
		break;
	case RN_P_SEGARG:
		for (size_t s = 0; s < n; s++)
			for (size_t f = 0; f < w; f++) {
				double best = NO_ROW;

				for (size_t k = v->i0[s]; k < v->i0[s + 1]; k++) {
					size_t row = v->i1 ? v->i1[k] : k;
					double x = v->xa[row * w + f];
					double y =
					    best == NO_ROW ? NAN : v->xa[(size_t)best * w + f];

					if (best == NO_ROW || (y != y && x == x) ||
					    (v->i->flags & RN_F_MIN ? x < y : x > y))
						best = (double)row;
				}
				put(r, s * w + f, best, 0);
			}
		break;
	case RN_P_PICK:
		for (size_t k = 0; k < n * w; k++)
			gain(r, k, v->xb[k] == NO_ROW ? 0 : v->xa[(size_t)v->xb[k] * w + k % w]);
		break;
	case RN_P_UNPICK:
		for (size_t k = 0; k < v->a->rows * w; k++)
			if (v->xb[k] != NO_ROW)
				put(r, (size_t)v->xb[k] * w + k % w, v->xa[k], fabs(v->xa[k]));
		break;
	case RN_P_DENSIFY:
		for (size_t i = 0; i < n; i++)
			for (size_t k = v->i0[i]; k < v->i0[i + 1]; k++)
				gain(r, i * w + v->i1[k], v->xa[k]);
		break;
	case RN_P_ATCSR:
		for (size_t i = 0; i < v->a->rows; i++)
			for (size_t k = v->i0[i]; k < v->i0[i + 1]; k++)
				gain(r, k, v->xa[i * v->a->width + v->i1[k]]);
		break;
	default:
		die("no reference");
	}
}

static void ref_products(const struct view *v, struct ref *r)
{
	size_t n = v->o->rows, w = v->o->width, k = v->a->width;

	switch (v->i->op) {
	case RN_P_GEMM:
		for (size_t i = 0; i < n; i++)
			for (size_t j = 0; j < w; j++) {
				for (size_t l = 0; l < k; l++)
					gain(r, i * w + j,
					     v->xa[i * k + l] *
						 v->xb[v->i->flags & RN_F_TRANS ? j * k + l
										: l * w + j]);
				if (v->xc)
					gain(r, i * w + j, v->xc[j]);
			}
		break;
	case RN_P_GEMM_TN:
		for (size_t i = 0; i < v->a->rows; i++)
			for (size_t l = 0; l < k; l++)
				for (size_t j = 0; j < v->b->width; j++)
					gain(r, l * v->b->width + j,
					     v->xa[i * k + l] * v->xb[i * v->b->width + j]);
		break;
	case RN_P_GGEMM:
		for (size_t s = 0; s < v->b->rows; s++)
			for (size_t i = v->i0[s]; i < v->i0[s + 1]; i++)
				for (size_t j = 0; j < w; j++)
					for (size_t l = 0; l < k; l++)
						gain(r, i * w + j,
						     v->xa[i * k + l] *
							 v->xb[s * k * w + (v->i->flags & RN_F_TRANS
										? j * k + l
										: l * w + j)]);
		break;
	case RN_P_GGEMM_TN:
		for (size_t s = 0; s < n; s++)
			for (size_t i = v->i0[s]; i < v->i0[s + 1]; i++)
				for (size_t l = 0; l < k; l++)
					for (size_t j = 0; j < v->b->width; j++)
						gain(r, s * w + l * v->b->width + j,
						     v->xa[i * k + l] * v->xb[i * v->b->width + j]);
		break;
	default: { /* RN_P_MATMUL */
		size_t p = v->o->dim[0], q, t = v->o->dim[1];
		bool ta = v->i->flags & RN_F_TRANS_A, tb = v->i->flags & RN_F_TRANS_B;

		q = v->a->dim[ta ? 0 : 1];
		for (size_t i = 0; i < n * w; i++) {
			size_t row = i / w, y = i % w / t, x = i % t;
			const double *a = v->xa + (v->a->rows == 1 ? 0 : row) * p * q;
			const double *b = v->xb + (v->b->rows == 1 ? 0 : row) * q * t;

			for (size_t l = 0; l < q; l++)
				gain(r, i,
				     a[ta ? l * p + y : y * q + l] * b[tb ? x * q + l : l * t + x]);
		}
	}
	}
}

static void ref_features(const struct view *v, struct ref *r)
{
	size_t n = v->a->rows, w = v->a->width, ow = v->o->width;

	for (size_t i = 0; i < n; i++) {
		const double *x = v->xa + i * w;
		double top = x[0], sum = 0;
		size_t best = 0;

		for (size_t f = 0; f < w; f++) {
			if (x[f] > top) {
				top = x[f];
				best = f;
			}
		}
		for (size_t f = 0; f < w; f++)
			sum += exp(x[f] - top);
		switch (v->i->op) {
		case RN_P_COLSUM:
			for (size_t f = 0; f < w; f++)
				gain(r, f, x[f]);
			break;
		case RN_P_FSUM:
			for (size_t f = 0; f < w; f++)
				gain(r, i * ow + (v->i0 ? v->i0[f] : 0), x[f]);
			break;
		case RN_P_FMAX:
			put(r, i, top, fabs(top));
			break;
		case RN_P_ARGMAX:
			put(r, i, (double)best, 0);
			break;
		case RN_P_VIEW:
			for (size_t f = 0; f < w; f++)
				put(r, i * w + f, x[f], 0);
			break;
		case RN_P_CE:
			if (v->i0[i] != NO_ROW)
				put(r, i, top + log(sum) - x[v->i0[i]], 4 + fabs(top));
			break;
		case RN_P_CE_GRAD:
			for (size_t f = 0; v->i0[i] != NO_ROW && f < w; f++)
				put(r, i * w + f,
				    (exp(x[f] - top) / sum - (f == v->i0[i])) * v->xb[i],
				    fabs(v->xb[i]));
			break;
		default:
			die("no reference");
		}
	}
}

static void reference(const struct rn_prog *p, const struct rn_inst *i, struct ref *vals)
{
	struct view v = { .p = p, .i = i, .o = &p->vals[i->out] };
	struct ref *r = &vals[i->out];

	for (uint32_t k = 0; k < i->nin; k++) {
		uint32_t in = i->in[k].val;
		const double *x = in == RN_NONE ? NULL : vals[in].x;

		if (k < 3)
			*(k == 0 ? &v.xa : k == 1 ? &v.xb : &v.xc) = x;
		if (k < 2 && in != RN_NONE)
			*(k == 0 ? &v.a : &v.b) = &p->vals[in];
	}
	v.i0 = rn_prog_idx_data(p, i->idx[0]);
	v.i1 = rn_prog_idx_data(p, i->idx[1]);
	v.i2 = rn_prog_idx_data(p, i->idx[2]);
	if (i->op == RN_P_EW)
		ref_ews(&v, r);
	else if (i->op == RN_P_STACK)
		for (size_t k = 0, to = 0; k < i->nin; k++)
			for (size_t f = 0; f < (size_t)p->vals[i->in[k].val].rows * v.o->width; f++)
				put(r, to++, vals[i->in[k].val].x[f], 0);
	else if (i->op <= RN_P_UNPICK || i->op == RN_P_DENSIFY || i->op == RN_P_ATCSR)
		ref_rows(&v, r);
	else if (i->op <= RN_P_MATMUL)
		ref_products(&v, r);
	else if (i->op == RN_P_CONCAT)
		for (size_t n = 0; n < v.o->rows; n++)
			for (size_t k = 0, to = n * v.o->width; k < i->nin; k++) {
				const struct rn_val *x = &p->vals[i->in[k].val];

				for (size_t f = 0; f < x->width; f++)
					put(r, to++, vals[i->in[k].val].x[(x->rows == 1 ? 0 : n) *
						x->width + f], 0);
			}
	else
		ref_features(&v, r);
}

/* ---- running ------------------------------------------------------------------------ */

static const char *const levels[] = { "baseline", "x86-64-v3", "x86-64-v4" };
static struct rn_backend *backends[3][3]; /* 1, 2, 4 threads */
static unsigned nlevels;

static void open_backends(void)
{
	static const char *const names[] = { "baseline", "v3", "v4" };

	for (unsigned l = 0; l < 3; l++) {
		setenv("RN_ISA", levels[l], 1);
		if (strcmp(rn_cpu_isa(), names[l]))
			continue;
		for (unsigned t = 0; t < 3; t++)
			if (rn_cpu_backend(1u << t, &backends[nlevels][t], &e))
				die("backend");
		nlevels++;
	}
}

static struct rn_machine *machine(const struct rn_prog *p, struct rn_backend *b, enum rn_dtype t)
{
	struct rn_machine *m;

	if (rn_machine_new(p, b, t, NULL, NULL, NULL, &m, &e))
		die("machine");
	for (uint32_t v = 0; v < p->nvals; v++) {
		size_t n;
		void *x = rn_machine_ptr(m, v, &n);

		if (p->vals[v].kind == RN_V_INST && p->insts[p->vals[v].inst].op != RN_P_VIEW)
			memset(x, 0xFF, n); /* NaN */
	}
	if (rn_machine_run(m, 0, p->ninsts, 3, &e))
		die("run");
	return m;
}

static size_t count(const struct rn_prog *p, uint32_t v)
{
	return (size_t)p->vals[v].rows * p->vals[v].width;
}

/* Does the machine hold the reference's numbers, within tol of the sum of |terms|? */
static bool close_to(const struct rn_prog *p, struct rn_machine *m, const struct ref *want,
		     double tol, const char *what)
{
	for (uint32_t k = 0; k < p->ninsts; k++) {
		uint32_t v = p->insts[k].out;
		size_t n = count(p, v);
		double *x = malloc((n + 1) * sizeof *x);

		if (rn_machine_get_f64(m, v, x, &e))
			die("get");
		for (size_t i = 0; i < n; i++) {
			double y = want[v].x[i], d = fabs(x[i] - y);

			if (x[i] == y || (x[i] != x[i] && y != y) ||
			    d <= tol * (want[v].mag[i] + fabs(y)) + tol)
				continue;
			printf("# %s of %s: number %zu of %zu is %.9g, not %.9g\n", what,
			       rn_prim_name(p->insts[k].op), i, n, x[i], y);
			free(x);
			return false;
		}
		free(x);
	}
	return true;
}

static bool same_bits(const struct rn_prog *p, struct rn_machine *a, struct rn_machine *b)
{
	for (uint32_t k = 0; k < p->ninsts; k++) {
		size_t n;
		const void *x = rn_machine_ptr(a, p->insts[k].out, &n);

		if (memcmp(x, rn_machine_ptr(b, p->insts[k].out, NULL), n))
			return false;
	}
	return true;
}

/* The whole check of one program, which it frees. */
static bool check(struct rn_prog *p, double tol32)
{
	struct ref *vals = calloc(p->nvals, sizeof *vals);
	bool ok = true;

	for (uint32_t v = 0; v < p->nvals; v++) {
		vals[v].x = calloc(count(p, v) + 1, sizeof(double));
		vals[v].mag = calloc(count(p, v) + 1, sizeof(double));
		for (size_t i = 0; p->vals[v].kind == RN_V_CONST && i < count(p, v); i++)
			vals[v].x[i] = ((const float *)p->vals[v].data->data)[i];
	}
	for (uint32_t k = 0; k < p->ninsts; k++) {
		p->vals[p->insts[k].out].keep = true;
		reference(p, &p->insts[k], vals);
	}
	for (unsigned l = 0; l < nlevels; l++) {
		struct rn_machine *m[5];

		for (unsigned t = 0; t < 3; t++)
			m[t] = machine(p, backends[l][t], RN_F32);
		m[3] = machine(p, backends[l][0], RN_F64);
		m[4] = machine(p, backends[l][1], RN_F64);
		ok &= close_to(p, m[0], vals, tol32, levels[l]);
		ok &= close_to(p, m[3], vals, 1e-13, "double");
		ok &= same_bits(p, m[0], m[1]) && same_bits(p, m[0], m[2]);
		ok &= same_bits(p, m[3], m[4]);
		for (unsigned k = 0; k < 5; k++)
			rn_machine_free(m[k]);
	}
	for (uint32_t v = 0; v < p->nvals; v++) {
		free(vals[v].x);
		free(vals[v].mag);
	}
	free(vals);
	rn_prog_fini(p);
	return ok;
}

static void close_backends(void)
{
	for (unsigned l = 0; l < nlevels; l++)
		for (unsigned t = 0; t < 3; t++)
			backends[l][t]->close(backends[l][t]);
}

/* Shapes that primitives are tried on: rows, width. */
static const uint32_t shapes[][2] = {
	{ 0, 5 },   { 1, 1 },	 { 1, 16 }, { 2, 3 },	 { 17, 1 },  { 17, 7 },	   { 33, 16 },
	{ 33, 17 }, { 100, 31 }, { 64, 40 }, { 50, 64 }, { 40, 65 }, { 21, 100 }, { 30, 128 },
	{ 9, 256 }, { 9, 300 },	 { 3, 700 }, { 5000, 16 }, { 3000, 33 }, { 9000, 1 },
};
enum { NSHAPES = sizeof shapes / sizeof *shapes };

#endif
