/* SPDX-License-Identifier: Apache-2.0
 *
 * The CPU kernels against a naive reference in double, on random shapes: no rows,
 * one row, odd widths, empty segments, missing rows, repeated rows.  For every
 * level of instruction set that this machine has: float and double, one, two
 * and four threads bit for bit, and results that start out as NaN.
 */
#include "../../lib/dev/machine.h"
#include "t.h"

#include <float.h>
#include <math.h>

#define NO_ROW UINT32_MAX

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
				gain(r, k, v->xa[ai * v->a->width + f] * v->xb[bi * v->a->width + f]);
			}
		break;
	case RN_P_SEGARG:
		for (size_t s = 0; s < n; s++)
			for (size_t f = 0; f < w; f++) {
				double best = NO_ROW;

				for (size_t k = v->i0[s]; k < v->i0[s + 1]; k++) {
					size_t row = v->i1 ? v->i1[k] : k;
					double x = v->xa[row * w + f];
					double y = best == NO_ROW ? NAN : v->xa[(size_t)best * w + f];

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
					gain(r, i * w + j, v->xa[i * k + l] *
						v->xb[v->i->flags & RN_F_TRANS ? j * k + l : l * w + j]);
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
	default: { /* RN_P_MATMUL */
		size_t p = v->o->dim[0], q, t = v->o->dim[1];
		bool ta = v->i->flags & RN_F_TRANS_A, tb = v->i->flags & RN_F_TRANS_B;

		q = v->a->dim[ta ? 0 : 1];
		for (size_t i = 0; i < n * w; i++) {
			size_t row = i / w, y = i % w / t, x = i % t;
			const double *a = v->xa + (v->a->rows == 1 ? 0 : row) * p * q;
			const double *b = v->xb + (v->b->rows == 1 ? 0 : row) * q * t;

			for (size_t l = 0; l < q; l++)
				gain(r, i, a[ta ? l * p + y : y * q + l] * b[tb ? x * q + l : l * t + x]);
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
				put(r, i * w + f, (exp(x[f] - top) / sum - (f == v->i0[i])) * v->xb[i],
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

		*(k == 0 ? &v.xa : k == 1 ? &v.xb : &v.xc) = x;
		if (k < 2 && in != RN_NONE)
			*(k == 0 ? &v.a : &v.b) = &p->vals[in];
	}
	v.i0 = rn_prog_idx_data(p, i->idx[0]);
	v.i1 = rn_prog_idx_data(p, i->idx[1]);
	v.i2 = rn_prog_idx_data(p, i->idx[2]);
	if (i->op == RN_P_EW)
		ref_ews(&v, r);
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

/* ---- primitives -------------------------------------------------------------------------- */

static const uint32_t shapes[][2] = {
	{ 0, 5 },   { 1, 1 },	 { 1, 16 }, { 2, 3 },	 { 17, 1 },  { 17, 7 },	   { 33, 16 },
	{ 33, 17 }, { 100, 31 }, { 64, 40 }, { 50, 64 }, { 40, 65 }, { 21, 100 }, { 30, 128 },
	{ 9, 256 }, { 9, 300 },	 { 3, 700 }, { 5000, 16 }, { 3000, 33 }, { 9000, 1 },
};
enum { NSHAPES = sizeof shapes / sizeof *shapes };

static void test_rows(void)
{
	bool gather = true, spmm = true, sddmm = true, seg = true, csr = true;

	for (unsigned s = 0; s < NSHAPES; s++) {
		uint32_t n = shapes[s][0], w = shapes[s][1], terms, x, arg, ptr, col;
		struct rn_prog p;

		rn_prog_init(&p);
		x = flat(&p, n, w);
		need(rn_prog_gather(&p, x, indices(&p, n + n / 3, n, true), &e));
		gather &= check(&p, 0);

		rn_prog_init(&p);
		ptr = segments(&p, n, &terms, s % 2);
		x = flat(&p, n + 3, w);
		col = indices(&p, terms, n + 3, true);
		need(rn_prog_spmm(&p, ptr, x, col, RN_NONE, RN_NONE, &e));
		need(rn_prog_spmm(&p, ptr, x, col, flat(&p, terms, 1), RN_NONE, &e));
		need(rn_prog_spmm(&p, ptr, x, col, flat(&p, 10, 1), indices(&p, terms, 10, false),
				  &e));
		need(rn_prog_spmm(&p, ptr, flat(&p, terms, w), RN_NONE, flat(&p, terms, 1), RN_NONE,
				  &e));
		spmm &= check(&p, 1e-6);

		rn_prog_init(&p);
		x = flat(&p, n, w);
		need(rn_prog_sddmm(&p, n, x, RN_NONE, flat(&p, n + 1, w),
				   indices(&p, n, n + 1, true), &e));
		need(rn_prog_sddmm(&p, n, x, indices(&p, n, n, true), x, RN_NONE, &e));
		sddmm &= check(&p, 1e-6);

		rn_prog_init(&p);
		ptr = segments(&p, n, &terms, s % 2);
		x = flat(&p, terms, w);
		for (unsigned k = 0; k < 2; k++) {
			struct rn_inst i = inst(RN_P_SEGARG, x, RN_NONE);

			i.idx[0] = ptr;
			i.flags = k ? RN_F_MIN : 0;
			arg = add(&p, i, n, w);
			add(&p, inst(RN_P_PICK, x, arg), n, w);
			add(&p, inst(RN_P_UNPICK, flat(&p, n, w), arg), terms, w);
			i.idx[1] = indices(&p, terms, terms, false);
			add(&p, i, n, w);
		}
		seg &= check(&p, 0);

		rn_prog_init(&p);
		ptr = segments(&p, n, &terms, false);
		col = indices(&p, terms, w, false);
		struct rn_inst i = inst(RN_P_DENSIFY, flat(&p, terms, 1), RN_NONE);

		i.idx[0] = ptr;
		i.idx[1] = col;
		x = add(&p, i, n, w);
		i.op = RN_P_ATCSR;
		i.in[0].val = flat(&p, n, w);
		add(&p, i, terms, 1);
		csr &= check(&p, 1e-6);
	}
	T_OK(gather, "gather");
	T_OK(spmm, "spmm, with and without weights, rows and an index of weights");
	T_OK(sddmm, "sddmm");
	T_OK(seg, "segarg, pick, unpick");
	T_OK(csr, "densify, atcsr");
}

static void test_products(void)
{
	static const uint32_t sizes[][3] = {
		{ 0, 4, 3 },	{ 3, 0, 4 },	{ 1, 1, 1 },   { 5, 7, 3 },    { 8, 16, 16 },
		{ 13, 33, 7 },	{ 30, 20, 40 }, { 25, 9, 64 }, { 31, 10, 65 }, { 1500, 300, 7 },
		{ 2000, 16, 33 }, { 300, 70, 90 }, { 1030, 65, 129 }, { 9000, 5, 6 }, { 4100, 80, 70 }, { 1030, 70, 260 },
		{ 4100, 257, 66 },
	};
	bool gemm = true, tn = true, mm = true;

	for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++) {
		uint32_t n = sizes[s][0], k = sizes[s][1], m = sizes[s][2], x;
		struct rn_prog p;

		rn_prog_init(&p);
		x = flat(&p, n, k);
		need(rn_prog_gemm(&p, x, constant(&p, 1, 2, (uint32_t[]){ k, m }), RN_NONE, false, &e));
		need(rn_prog_gemm(&p, x, constant(&p, 1, 2, (uint32_t[]){ m, k }), flat(&p, 1, m),
				  true, &e));
		gemm &= check(&p, 2e-6);

		rn_prog_init(&p);
		need(rn_prog_gemm_tn(&p, flat(&p, n, k), flat(&p, n, m), &e));
		tn &= check(&p, 2e-6);

		for (unsigned f = 0; f < 4; f++) {
			uint32_t q = k % 40, r = m % 40, a, b;

			rn_prog_init(&p);
			a = constant(&p, f == 3 ? 1 : n % 50, 2,
				     f & 1 ? (uint32_t[]){ q, 5 } : (uint32_t[]){ 5, q });
			b = constant(&p, f == 2 ? 1 : n % 50, 2,
				     f & 2 ? (uint32_t[]){ r, q } : (uint32_t[]){ q, r });
			need(rn_prog_matmul(&p, a, b, f & 1, f & 2, &e));
			mm &= check(&p, 1e-6);
		}
	}
	T_OK(gemm, "gemm, narrow and wide, transposed, with and without bias");
	T_OK(tn, "gemm_tn");
	T_OK(mm, "matmul, transposed and broadcast");
}

static void test_features(void)
{
	bool colsum = true, fsum = true, fmax_ = true, concat = true, view = true, ce = true;

	for (unsigned s = 0; s < NSHAPES; s++) {
		uint32_t n = shapes[s][0], w = shapes[s][1], x, *map = malloc((w + 1) * sizeof *map);
		struct rn_prog p;
		struct rn_inst i;

		rn_prog_init(&p);
		need(rn_prog_colsum(&p, flat(&p, n, w), &e));
		colsum &= check(&p, 1e-6);

		rn_prog_init(&p);
		x = flat(&p, n, w);
		for (uint32_t f = 0; f < w; f++)
			map[f] = rnd(3);
		need(rn_prog_fsum(&p, x, map, 1, (uint32_t[]){ 4 }, &e));
		need(rn_prog_fsum(&p, x, NULL, 0, NULL, &e));
		fsum &= check(&p, 1e-6);

		rn_prog_init(&p);
		x = flat(&p, n, w);
		add(&p, inst(RN_P_FMAX, x, RN_NONE), n, 1);
		add(&p, inst(RN_P_ARGMAX, x, RN_NONE), n, 1);
		fmax_ &= check(&p, 0);

		rn_prog_init(&p);
		x = flat(&p, n, w);
		need(rn_prog_concat(&p, (uint32_t[]){ x, flat(&p, 1, 3), flat(&p, n, 2), x }, 4, &e));
		concat &= check(&p, 0);

		rn_prog_init(&p);
		x = need(rn_prog_view(&p, flat(&p, n, w), 1, 1, (uint32_t[]){ n * w }, &e));
		x = need(rn_prog_view(&p, x, n, 1, &w, &e));
		need(rn_prog_ew2(&p, RN_EW_ADD, x, x, &e));
		view &= check(&p, 0);

		rn_prog_init(&p);
		x = flat(&p, n, w);
		i = inst(RN_P_CE, x, RN_NONE);
		i.idx[0] = indices(&p, n, w, true);
		add(&p, i, n, 1);
		i.op = RN_P_CE_GRAD;
		i.nin = 2;
		i.in[1].val = flat(&p, n, 1);
		add(&p, i, n, w);
		ce &= check(&p, 2e-6);
		free(map);
	}
	T_OK(colsum, "colsum");
	T_OK(fsum, "fsum");
	T_OK(fmax_, "fmax, argmax");
	T_OK(concat, "concat");
	T_OK(view, "view");
	T_OK(ce, "ce, ce_grad");
}

/* ---- elementwise ---------------------------------------------------------------------------- */

static void test_ew(void)
{
	bool ok = true;

	for (unsigned fn = RN_EW_NEG; fn < RN_NEW; fn++) {
		bool log_like = fn == RN_EW_LOG || fn == RN_EW_LOG1P || fn == RN_EW_SQRT;

		for (unsigned s = 0; s < NSHAPES; s++) {
			uint32_t n = shapes[s][0], w = shapes[s][1], x[3];
			struct rn_prog p;

			rn_prog_init(&p);
			x[0] = flat(&p, n, w);
			x[1] = s % 3 == 0 ? flat(&p, 1, w) : s % 3 == 1 ? flat(&p, n, 1) : flat(&p, n, w);
			x[2] = flat(&p, 1, 1);
			if (log_like || fn == RN_EW_POW)
				x[0] = need(rn_prog_ew1(&p, RN_EW_ABS, x[0], &e));
			if (fn == RN_EW_DIV)
				x[1] = need(rn_prog_ew1(&p, RN_EW_EXP, x[1], &e));
			if (rn_ew_info[fn].arity == 1)
				need(rn_prog_ew1(&p, fn, x[0], &e));
			else if (rn_ew_info[fn].arity == 2)
				need(rn_prog_ew2(&p, fn, x[0], x[1], &e));
			else
				need(rn_prog_ew3(&p, fn, x[0], x[1], x[2], &e));
			ok &= check(&p, 1e-6);
		}
	}
	T_OK(ok, "every scalar function, operands of all kinds");
}

/* Shapes that broadcast inside a row go through feature maps. */
static void test_broadcast(void)
{
	static const uint32_t dims[][4] = { { 4, 3, 2, 1 }, { 1, 3, 1, 1 }, { 4, 1, 2, 1 }, { 4, 1, 1, 1 },
					    { 1, 1, 1, 1 }, { 1, 3, 2, 1 } };
	bool ok = true;

	for (unsigned a = 0; a < 6; a++)
		for (unsigned b = 0; b < 6; b++)
			for (uint32_t n = 0; n < 500; n = n * 7 + 1) {
				struct rn_prog p;
				uint32_t x, y;

				rn_prog_init(&p);
				x = constant(&p, rnd(2) ? n : 1, 3, dims[a]);
				y = constant(&p, n, 3, dims[b]);
				need(rn_prog_ew2(&p, RN_EW_SUB, x, y, &e));
				ok &= check(&p, 1e-7);
			}
	T_OK(ok, "broadcast of features and rows");
}

/* A random chain as one fused program gives the bits of its single steps. */
static bool fused_equals_steps(uint32_t n, uint32_t w, unsigned level)
{
	static const uint8_t fns[] = { RN_EW_NEG, RN_EW_EXP, RN_EW_TANH, RN_EW_SIGMOID, RN_EW_RELU,
				       RN_EW_ADD, RN_EW_SUB, RN_EW_MUL, RN_EW_MAX, RN_EW_LT,
				       RN_EW_SELECT, RN_EW_FMA };
	struct rn_elem_step steps[24];
	uint32_t val[RN_ELEM_REGS], in[4], nsteps = 0;
	struct rn_inst i = rn_inst_init(RN_P_ELEM);
	struct rn_machine *m;
	struct rn_prog p;
	uint8_t last;
	bool same;

	rn_prog_init(&p);
	in[0] = flat(&p, n, w);
	in[1] = flat(&p, 1, w);
	in[2] = flat(&p, n, 1);
	in[3] = flat(&p, 1, 1);
	for (uint32_t k = 0; k < 4; k++) {
		i.in[k].val = val[k] = in[k];
		steps[nsteps++] = (struct rn_elem_step){ .fn = RN_EW_LOAD, .dst = (uint8_t)k,
							 .a = (uint8_t)k };
	}
	for (uint32_t k = 0; k < 16; k++) {
		uint8_t fn = fns[rnd(sizeof fns)], dst = (uint8_t)rnd(10);
		struct rn_elem_step *t = &steps[nsteps++];

		if (dst >= k + 4)
			dst = (uint8_t)(k + 4);
		*t = (struct rn_elem_step){ .fn = fn, .dst = dst, .a = (uint8_t)rnd(4),
					    .b = (uint8_t)rnd(4), .c = (uint8_t)rnd(4) };
		val[dst] = rn_ew_info[fn].arity == 1
				   ? rn_prog_ew1(&p, fn, val[t->a], &e)
				   : rn_ew_info[fn].arity == 2
				   ? rn_prog_ew2(&p, fn, val[t->a], val[t->b], &e)
				   : rn_prog_ew3(&p, fn, val[t->a], val[t->b], val[t->c], &e);
		need(val[dst]);
	}
	/* The last step brings all to the full shape. */
	last = steps[nsteps - 1].dst;
	steps[nsteps++] = (struct rn_elem_step){ .fn = RN_EW_LOAD, .dst = 10, .a = 0 };
	steps[nsteps++] = (struct rn_elem_step){ .fn = RN_EW_ADD, .dst = 10, .a = last, .b = 10 };
	val[10] = need(rn_prog_ew2(&p, RN_EW_ADD, val[last], in[0], &e));
	i.nin = 4;
	i.elem = (struct rn_elem){ .nsteps = nsteps, .nregs = 11, .result = 10, .steps = steps };
	val[11] = add(&p, i, n, w);
	p.vals[val[10]].keep = p.vals[val[11]].keep = true;
	m = machine(&p, backends[level][0], RN_F32);
	same = !memcmp(rn_machine_ptr(m, val[10], NULL), rn_machine_ptr(m, val[11], NULL),
		       (size_t)n * w * sizeof(float));
	rn_machine_free(m);
	rn_prog_fini(&p);
	return same;
}

static void test_elem(void)
{
	bool ok = true;

	for (unsigned l = 0; l < nlevels; l++)
		for (unsigned s = 0; s < NSHAPES; s++)
			for (unsigned k = 0; k < 6; k++)
				ok &= fused_equals_steps(shapes[s][0], shapes[s][1], l);
	T_OK(ok, "a fused program gives the bits of its steps");
}

/* ---- accuracy ---------------------------------------------------------------------------------- */

/* Distance in units of the last place of the true value in float. */
static double ulps32(double got, double want)
{
	int ex;

	if (got == want || (got != got && want != want))
		return 0;
	if (fabs(want) > FLT_MAX || fabs(got) > FLT_MAX) /* overflow may round either way */
		return fabs((double)(float)want - got) > 0 ? INFINITY : 0;
	frexp(want, &ex);
	return fabs(got - want) / ldexp(1, (ex < -125 ? -125 : ex) - 24);
}

static double ulps64(double got, long double want)
{
	int ex;

	if (got == want || (got != got && want != want))
		return 0;
	if (fabsl(want) > DBL_MAX || fabs(got) > DBL_MAX)
		return (double)want == got ? 0 : INFINITY;
	frexpl(want, &ex);
	return (double)(fabsl(got - want) / ldexpl(1, (ex < -1021 ? -1021 : ex) - 53));
}

static double true32(enum rn_ew fn, double x)
{
	return fn == RN_EW_SIGMOID ? (x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x)))
				   : ref_ew(fn, x, 0, 0);
}

static long double true64(enum rn_ew fn, long double x)
{
	switch (fn) {
	case RN_EW_EXP: return expl(x);
	case RN_EW_LOG: return logl(x);
	case RN_EW_LOG1P: return log1pl(x);
	case RN_EW_TANH: return tanhl(x);
	case RN_EW_ERF: return erfl(x);
	default: return x < 0 ? expl(x) / (1 + expl(x)) : 1 / (1 + expl(-x));
	}
}

static const float special[] = {
	0, -0.0f, INFINITY, -INFINITY, NAN, 1, -1, FLT_MAX, -FLT_MAX, FLT_MIN, -FLT_MIN,
	1e-45f, -1e-45f, 88.7f, 88.73f, 89, -87.3f, -88, -103, -103.9f, -104, -105, 0.5f,
	-0.9999999f, 16777216, 0.625f, -0.625f, 0.92773437f, 4, 0.41421357f, -0.29289323f, 0.70710677f,
};

/* The worst error of a function on this level; n numbers spread over all floats. */
static double worst(enum rn_ew fn, unsigned level, enum rn_dtype t)
{
	enum { N = 200000, S = sizeof special / sizeof *special };
	struct rn_prog p;
	struct rn_machine *m;
	struct rn_buf *b;
	double *got = malloc(N * sizeof *got), bad = 0;
	uint32_t v;

	rn_prog_init(&p);
	if (rn_buf_new(N * sizeof(float), "test", &b, &e))
		die("constant");
	for (uint32_t k = 0; k < N; k++) {
		float *x = (float *)b->data + k;
		uint32_t u = k * 21467u;

		if (k % 2)
			*x = ((float)rnd(2000001) - 1e6f) / (k % 4 == 1 ? 1e4f : 1e5f);
		else
			memcpy(x, &u, sizeof u);
	}
	memcpy(b->data, special, sizeof special);
	v = need(rn_prog_const(&p, N, 1, (uint32_t[]){ 1 }, b, &e));
	v = need(rn_prog_ew1(&p, fn, v, &e));
	m = machine(&p, backends[level][0], t);
	if (rn_machine_get_f64(m, v, got, &e))
		die("get");
	for (uint32_t k = 0; k < N; k++) {
		float x = ((const float *)b->data)[k];
		double u = t == RN_F32 ? ulps32(got[k], true32(fn, x)) : ulps64(got[k], true64(fn, x));

		if (u > bad) {
			bad = u;
			if (u > 4)
				printf("# %s(%.9g) = %.17g\n", rn_ew_info[fn].name, x, got[k]);
		}
	}
	rn_machine_free(m);
	rn_prog_fini(&p);
	free(got);
	return bad;
}

static void test_accuracy(void)
{
	static const enum rn_ew fns[] = { RN_EW_EXP, RN_EW_LOG, RN_EW_LOG1P, RN_EW_TANH,
					  RN_EW_SIGMOID, RN_EW_ERF };

	for (unsigned k = 0; k < sizeof fns / sizeof *fns; k++) {
		double f = 0, d = 0;

		for (unsigned l = 0; l < nlevels; l++) {
			f = fmax(f, worst(fns[k], l, RN_F32));
			d = fmax(d, worst(fns[k], l, RN_F64));
		}
		T_OK(f <= 2 && d <= 4, "%s: %.2f ulp in float, %.2f in double",
		     rn_ew_info[fns[k]].name, f, d);
	}
}

/* pow of all pairs of special numbers, and of random ones. */
static void test_pow(void)
{
	enum { S = sizeof special / sizeof *special, R = 3000, N = S * S + R };
	double bad = 0;

	for (unsigned l = 0; l < nlevels; l++) {
		struct rn_buf *b[2];
		struct rn_machine *m;
		struct rn_prog p;
		double *got = malloc(N * sizeof *got);
		uint32_t v[2];

		rn_prog_init(&p);
		for (unsigned k = 0; k < 2; k++) {
			if (rn_buf_new(N * sizeof(float), "test", &b[k], &e))
				die("constant");
			for (uint32_t i = 0; i < N; i++)
				((float *)b[k]->data)[i] = i < S * S ? special[k ? i / S : i % S]
						: i % 2 && k ? (float)rnd(9) - 4
						: rnd_real() * 10;
			v[k] = need(rn_prog_const(&p, N, 1, (uint32_t[]){ 1 }, b[k], &e));
		}
		v[0] = need(rn_prog_ew2(&p, RN_EW_POW, v[0], v[1], &e));
		m = machine(&p, backends[l][0], RN_F32);
		if (rn_machine_get_f64(m, v[0], got, &e))
			die("get");
		for (uint32_t i = 0; i < N; i++) {
			float x = ((float *)b[0]->data)[i], y = ((float *)b[1]->data)[i];
			double u = ulps32(got[i], pow(x, y));

			if (u > 1)
				printf("# pow(%.9g, %.9g) = %.9g, not %.9g\n", x, y, got[i], pow(x, y));
			bad = fmax(bad, u);
		}
		rn_machine_free(m);
		rn_prog_fini(&p);
		free(got);
	}
	T_OK(bad <= 1, "pow, special and random pairs: %.2f ulp", bad);
}

/* Values of a sum too: max and min keep NaN and the first of equal zeros. */
static void test_special(void)
{
	static const float x[] = { NAN, 1, -0.0f, 0.0f, NAN, -0.0f, 2.5f, -0.4f, 5e6f };
	static const float y[] = { 1, NAN, 0.0f, -0.0f, NAN, -0.0f, -2, -0.5f, 8388609 };
	enum { N = sizeof x / sizeof *x };
	bool ok = true;

	for (unsigned l = 0; l < nlevels; l++) {
		static const enum rn_ew fns[] = { RN_EW_MAX, RN_EW_MIN, RN_EW_ROUND, RN_EW_RELU, RN_EW_SIGN };
		struct rn_buf *b[2];
		struct rn_prog p;
		struct rn_machine *m;
		uint32_t v[2], r[5];
		float got[N];

		rn_prog_init(&p);
		for (unsigned k = 0; k < 2; k++) {
			if (rn_buf_new(sizeof x, "test", &b[k], &e))
				die("constant");
			memcpy(b[k]->data, k ? y : x, sizeof x);
			v[k] = need(rn_prog_const(&p, N, 1, (uint32_t[]){ 1 }, b[k], &e));
		}
		for (unsigned k = 0; k < 5; k++) {
			r[k] = need(k < 2 ? rn_prog_ew2(&p, fns[k], v[0], v[1], &e)
					  : rn_prog_ew1(&p, fns[k], v[1], &e));
			p.vals[r[k]].keep = true;
		}
		m = machine(&p, backends[l][0], RN_F32);
		for (unsigned k = 0; k < 5; k++) {
			if (rn_machine_get_f32(m, r[k], got, &e))
				die("get");
			for (unsigned i = 0; i < N; i++) {
				float a = k < 2 ? x[i] : y[i], want = (float)ref_ew(fns[k], a, y[i], 0);

				ok &= got[i] == want || (got[i] != got[i] && want != want);
				if (k < 2 && a == y[i])
					ok &= signbit(got[i]) == signbit(a);
			}
		}
		rn_machine_free(m);
		rn_prog_fini(&p);
	}
	T_OK(ok, "NaN, zeros and ties of max, min, round, relu, sign");
}

/* ---- dropout -------------------------------------------------------------------------------------- */

static bool dropout_is_scalar(uint32_t n, uint32_t w, unsigned kind, unsigned level, enum rn_dtype t)
{
	struct rn_drop d = { rn_rng_key("test.dropout", 7), RN_NONE, RN_NONE };
	double prob = kind == 3 ? 0.7 : 0.5, *got = malloc(((size_t)n * w + 1) * sizeof *got);
	const uint32_t *row, *col;
	struct rn_machine *m;
	struct rn_prog p;
	bool ok = true;
	uint32_t v;

	rn_prog_init(&p);
	if (kind % 2)
		d.row = indices(&p, n, 4000000000u, false);
	if (kind >= 2 && w == 1)
		d.col = indices(&p, n, 5000, false);
	v = need(rn_prog_dropmask(&p, n, 1, &w, prob, &d, &e));
	m = machine(&p, backends[level][n % 3], t);
	if (rn_machine_get_f64(m, v, got, &e))
		die("get");
	row = rn_prog_idx_data(&p, d.row);
	col = rn_prog_idx_data(&p, d.col);
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t f = 0; f < w; f++) {
			float u = rn_rng_uniform(d.key, row ? row[i] : i, col ? col[i] : f, 3);
			double want = u >= prob ? 1 / (1 - prob) : 0;

			ok &= got[(size_t)i * w + f] == (t == RN_F32 ? (float)want : want);
		}
	rn_machine_free(m);
	rn_prog_fini(&p);
	free(got);
	return ok;
}

static void test_dropout(void)
{
	bool ok = true;

	for (unsigned l = 0; l < nlevels; l++)
		for (unsigned s = 0; s < NSHAPES; s++)
			for (unsigned kind = 0; kind < 4; kind++)
				ok &= dropout_is_scalar(shapes[s][0], shapes[s][1], kind, l, RN_F32) &&
				      dropout_is_scalar(shapes[s][0], shapes[s][1], kind, l, RN_F64);
	T_OK(ok, "dropout draws what rn_rng_uniform draws, dense and sparse");
}

/* ---- optimizer steps --------------------------------------------------------------------------------- */

static void ref_adam(double *x, double *m, double *v, double g, const double *f, bool decoupled)
{
	if (decoupled)
		*x *= 1 - f[RN_A_LR] * f[RN_A_DECAY];
	else
		g += f[RN_A_DECAY] * *x;
	*m = f[RN_A_BETA1] * *m + (1 - f[RN_A_BETA1]) * g;
	*v = f[RN_A_BETA2] * *v + (1 - f[RN_A_BETA2]) * g * g;
	*x -= f[RN_A_LR] / f[RN_A_BC1] * *m / (sqrt(*v) / sqrt(f[RN_A_BC2]) + f[RN_A_EPS]);
}

static void ref_sgd(double *x, double *buf, double g, const double *f, bool has_buf)
{
	g += f[RN_S_DECAY] * *x;
	if (has_buf)
		g = *buf = f[RN_S_FIRST] ? g : f[RN_S_MOMENTUM] * *buf + g;
	*x -= f[RN_S_LR] * g;
}

/* kind: 0 Adam, 1 AdamW, 2 SGD, 3 SGD with momentum; five steps on n numbers. */
static bool steps_agree(unsigned kind, uint32_t n, unsigned level, enum rn_dtype t)
{
	double *x = calloc(4 * n, sizeof *x), *m = x + n, *v = m + n, *got = v + n, tol = 1e-5;
	struct rn_backend *b = backends[level][1];
	struct rn_store *params, *states;
	struct rn_inst i = rn_inst_init(kind < 2 ? RN_P_ADAM : RN_P_SGD);
	struct rn_machine *mach;
	uint32_t number, g;
	struct rn_prog p;
	bool ok = true;

	rn_prog_init(&p);
	if (rn_store_new(b, t, &params, &e) || rn_store_new(b, t, &states, &e) ||
	    rn_store_add(params, n, &number, &e) || rn_store_add(states, n, &number, &e) ||
	    rn_store_add(states, n, &number, &e))
		die("store");
	for (uint32_t k = 0; k < n; k++)
		x[k] = rnd_real();
	if (rn_store_set(params, 0, x, &e))
		die("set");
	g = flat(&p, 1, n);
	for (uint32_t k = 0; k < n; k++) { /* not near 0, where Adam's step is ill-conditioned */
		float *x0 = (float *)p.vals[g].data->data + k;

		*x0 = fabsf(*x0) < 0.3f ? 0.5f : *x0;
	}
	i.in[0].val = need(rn_prog_param(&p, RN_V_PARAM, 0, 1, &n, &e));
	i.in[1].val = g;
	i.nin = kind < 2 ? 4 : kind == 2 ? 2 : 3;
	if (kind != 2)
		i.in[2].val = need(rn_prog_param(&p, RN_V_STATE, 0, 1, &n, &e));
	if (kind < 2)
		i.in[3].val = need(rn_prog_param(&p, RN_V_STATE, 1, 1, &n, &e));
	i.flags = kind == 1 ? RN_F_DECOUPLED : 0;
	if (rn_prog_add(&p, &i, 0, 0, NULL, &e) != i.in[0].val)
		die("step");
	if (rn_machine_new(&p, b, t, params, states, NULL, &mach, &e))
		die("machine");
	for (unsigned s = 1; s <= 5; s++) {
		double f[8] = { 0.01, 0.9, 0.999, 1e-8, 0.05, 1 - pow(0.9, s), 1 - pow(0.999, s) };

		if (kind >= 2) {
			f[RN_S_DECAY] = 0.05;
			f[RN_S_FIRST] = s == 1;
		}
		rn_machine_set_f(mach, 0, f);
		if (rn_machine_run(mach, 0, 1, s, &e))
			die("run");
		for (uint32_t k = 0; k < n; k++) {
			double grad = ((const float *)p.vals[g].data->data)[k];

			if (kind < 2)
				ref_adam(&x[k], &m[k], &v[k], grad, f, kind == 1);
			else
				ref_sgd(&x[k], &m[k], grad, f, kind == 3);
		}
	}
	if (rn_store_get(params, 0, got, &e))
		die("get");
	tol = t == RN_F32 ? 1e-5 : 1e-13;
	for (uint32_t k = 0; k < n; k++)
		ok &= fabs(got[k] - x[k]) <= tol * (1 + fabs(x[k]));
	rn_machine_free(mach);
	rn_store_free(params);
	rn_store_free(states);
	rn_prog_fini(&p);
	free(x);
	return ok;
}

static void test_steps(void)
{
	static const char *const names[] = { "adam", "adamw", "sgd", "sgd with momentum" };

	for (unsigned kind = 0; kind < 4; kind++) {
		bool ok = true;

		for (unsigned l = 0; l < nlevels; l++)
			for (uint32_t n = 1; n < 30000; n = n * 13 + 4)
				ok &= steps_agree(kind, n, l, RN_F32) && steps_agree(kind, n, l, RN_F64);
		T_OK(ok, "%s follows PyTorch's formula", names[kind]);
	}
}

/* ---- machines ------------------------------------------------------------------------------------------- */

/* A chain of values of mixed sizes in one slab: the same numbers as when all are kept. */
static void test_slab(void)
{
	bool ok = true;

	for (unsigned round = 0; round < 20; round++) {
		uint32_t vals[40], n = 0;
		struct rn_machine *m[2];
		struct rn_prog p;

		rn_prog_init(&p);
		vals[n++] = flat(&p, 50, 20);
		while (n < 40) {
			uint32_t a = vals[n - 1 - rnd(n < 5 ? n : 5)], b = vals[n - 1];

			vals[n++] = need(rnd(3) == 0 ? rn_prog_view(&p, a, 50, 2, (uint32_t[]){ 4, 5 }, &e)
					 : rnd(2) ? rn_prog_ew1(&p, RN_EW_TANH, a, &e)
						  : rn_prog_gather(&p, b, indices(&p, 50, 50, true), &e));
			vals[n - 1] = need(rn_prog_view(&p, vals[n - 1], 50, 1, (uint32_t[]){ 20 }, &e));
		}
		p.vals[vals[n - 1]].keep = true;
		m[0] = machine(&p, backends[0][0], RN_F32);
		for (uint32_t v = 0; v < p.nvals; v++)
			p.vals[v].keep = true;
		m[1] = machine(&p, backends[0][0], RN_F32);
		ok &= !memcmp(rn_machine_ptr(m[0], vals[n - 1], NULL),
			      rn_machine_ptr(m[1], vals[n - 1], NULL), 50 * 20 * sizeof(float));
		ok &= rn_machine_bytes(m[0]) < rn_machine_bytes(m[1]);
		rn_machine_free(m[0]);
		rn_machine_free(m[1]);
		rn_prog_fini(&p);
	}
	T_OK(ok, "values that share a slab do not overwrite each other");
}

static void test_machine(void)
{
	double x[3] = { 1, 2, 3 }, y[3], shared[8];
	void *mem[8] = { NULL };
	struct rn_machine *m;
	struct rn_prog p;
	uint32_t a, b, c, i;

	rn_prog_init(&p);
	a = need(rn_prog_const_fill(&p, 1, 3, 0, &e));
	b = need(rn_prog_view(&p, a, 3, 1, (uint32_t[]){ 1 }, &e));
	c = need(rn_prog_ew1(&p, RN_EW_EXP, b, &e));
	b = need(rn_prog_ew2(&p, RN_EW_DIV, b, b, &e));
	mem[c] = shared;
	if (rn_machine_new(&p, backends[0][0], RN_F64, NULL, NULL, mem, &m, &e))
		die("machine");
	T_OK(rn_machine_ptr(m, c, NULL) == (void *)shared, "a value lies in the memory given");
	T_CALL(rn_machine_find_nonfinite(m, 0, p.ninsts, 0, &i, &e), &e);
	T_OK(i == p.ninsts - 1, "0 / 0 is found");
	T_CALL(rn_machine_set_f64(m, a, x, &e), &e);
	T_CALL(rn_machine_find_nonfinite(m, 0, p.ninsts, 0, &i, &e), &e);
	T_CALL(rn_machine_get_f64(m, c, y, &e), &e);
	T_OK(i == RN_NONE && fabs(y[2] - exp(3)) < 1e-13, "a constant that is set is used, through its view");
	rn_machine_free(m);
	if (rn_machine_new(&p, backends[0][0], RN_F32, NULL, NULL, NULL, &m, &e))
		die("machine");
	T_CALL(rn_machine_set_f64(m, a, x, &e), &e);
	T_CALL(rn_machine_run(m, 0, p.ninsts, 0, &e), &e);
	T_CALL(rn_machine_get_f64(m, b, y, &e), &e);
	T_OK(y[0] == 1 && *(float *)p.vals[a].data->data == 0,
	     "setting a constant in float leaves the shared one alone");
	rn_machine_free(m);
	p.insts[p.ninsts - 1].in[0].val = p.nvals;
	T_OK(rn_machine_new(&p, backends[0][0], RN_F32, NULL, NULL, NULL, &m, &e) == RN_EBUG,
	     "a broken program is refused");
	rn_prog_fini(&p);
}

int main(void)
{
	open_backends();
	T_OK(nlevels >= 1, "%u levels of instruction set", nlevels);
	test_rows();
	test_products();
	test_features();
	test_ew();
	test_broadcast();
	test_elem();
	test_accuracy();
	test_pow();
	test_special();
	test_dropout();
	test_steps();
	test_slab();
	test_machine();
	for (unsigned l = 0; l < nlevels; l++)
		for (unsigned t = 0; t < 3; t++)
			backends[l][t]->close(backends[l][t]);
	return t_done();
}
