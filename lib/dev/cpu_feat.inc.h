/* SPDX-License-Identifier: Apache-2.0
 *
 * Primitives over features, the losses that reduce a row, and optimizer steps.
 */

/* ---- column sums -------------------------------------------------------------- */

static uint64_t F(col_chunks)(const struct rn_kargs *a)
{
	return ((uint64_t)in_of(a, 0)->rows + CHUNK_ROWS - 1) / CHUNK_ROWS;
}

static size_t F(scratch_colsum)(const struct rn_kargs *a)
{
	return F(col_chunks)(a) * out_of(a)->width * sizeof(real);
}

static uint32_t F(parts_colsum0)(const struct rn_kargs *a)
{
	const struct rn_val *x = in_of(a, 0);

	return parts_for((double)x->rows * x->width * sizeof(real), F(col_chunks)(a));
}

VINLINE void F(colsum_tile)(const real *x, uint64_t rows, size_t w, real *out, const unsigned nv,
			    F(mask) m)
{
	F(vec) acc[8];

#pragma GCC unroll 8
	for (unsigned v = 0; v < nv; v++)
		acc[v] = F(set1)(0);
	for (uint64_t i = 0; i < rows; i++, x += w)
#pragma GCC unroll 8
		for (unsigned v = 0; v < nv; v++)
			acc[v] += v + 1 < nv ? F(load)(x + v * F(LANES))
					     : F(load_n)(x + v * F(LANES), m);
#pragma GCC unroll 8
	for (unsigned v = 0; v < nv; v++)
		if (v + 1 < nv)
			F(store)(out + v * F(LANES), acc[v]);
		else
			F(store_n)(out + v * F(LANES), m, acc[v]);
}

static void F(run_colsum0)(const struct rn_kargs *a, uint32_t part)
{
	const struct rn_val *x = in_of(a, 0);
	struct range r = part_range(F(col_chunks)(a), F(parts_colsum0)(a), part);
	size_t w = x->width;

	for (uint64_t c = r.from; c < r.to; c++) {
		uint64_t from = c * CHUNK_ROWS, rows = x->rows - from;
		const real *in = (const real *)a->in[0] + from * w;
		real *out = (real *)a->scratch + c * w;

		rows = rows < CHUNK_ROWS ? rows : CHUNK_ROWS;
		for (size_t f = 0; f < w;) {
			size_t left = w - f;

			if (left >= 8 * F(LANES)) {
				F(colsum_tile)(in + f, rows, w, out + f, 8, F(first)(F(LANES)));
				f += 8 * F(LANES);
			} else {
				unsigned n = left < F(LANES) ? (unsigned)left : (unsigned)F(LANES);

				F(colsum_tile)(in + f, rows, w, out + f, 1, F(first)(n));
				f += n;
			}
		}
	}
}

static uint32_t F(parts_colsum1)(const struct rn_kargs *a)
{
	uint32_t w = out_of(a)->width;

	return parts_for((double)F(col_chunks)(a) * w * sizeof(real),
			 w / 16 + (w > 0));
}

static void F(run_colsum1)(const struct rn_kargs *a, uint32_t part)
{
	uint32_t w = out_of(a)->width;

	F(add_tree)(a->scratch, F(col_chunks)(a), w, part_range(w, F(parts_colsum1)(a), part),
		    a->out);
}

/* ---- reductions over features --------------------------------------------------------- */

/* Parts of whole rows, by what operand 0 holds. */
static uint32_t F(parts_rows)(const struct rn_kargs *a)
{
	const struct rn_val *x = in_of(a, 0);

	return parts_for((double)x->rows * (2.0 * sizeof(real) * x->width + 16), x->rows);
}

/* Sums of whole rows, eight at a time: each is one chain of additions. */
static void F(row_sums)(const real *x, size_t w, struct range r, real *out)
{
	uint64_t i = r.from;

	for (; i + 8 <= r.to; i += 8) {
		real acc[8] = { 0 };

		for (size_t f = 0; f < w; f++)
#pragma GCC unroll 8
			for (unsigned k = 0; k < 8; k++)
				acc[k] += x[(i + k) * w + f];
		memcpy(out + i, acc, sizeof acc);
	}
	for (; i < r.to; i++) {
		real acc = 0;

		for (size_t f = 0; f < w; f++)
			acc += x[i * w + f];
		out[i] = acc;
	}
}

static void F(run_fsum)(const struct rn_kargs *a, uint32_t part)
{
	const struct rn_val *x = in_of(a, 0), *o = out_of(a);
	struct range r = part_range(x->rows, F(parts_rows)(a), part);
	const uint32_t *map = a->idx[0];

	if (!map) {
		F(row_sums)(a->in[0], x->width, r, a->out);
		return;
	}
	for (uint64_t i = r.from; i < r.to; i++) {
		const real *in = (const real *)a->in[0] + i * x->width;
		real *out = (real *)a->out + i * o->width;

		memset(out, 0, o->width * sizeof *out);
		for (uint32_t f = 0; f < x->width; f++)
			out[map[f]] += in[f];
	}
}

/* NaN counts as largest, and the first of equal ones is taken. */
static uint32_t F(largest)(const real *x, uint32_t n)
{
	uint32_t best = 0;

	for (uint32_t f = 1; f < n; f++)
		if (x[f] > x[best] || (x[f] != x[f] && x[best] == x[best]))
			best = f;
	return best;
}

static void F(run_fmax)(const struct rn_kargs *a, uint32_t part)
{
	const struct rn_val *x = in_of(a, 0);
	struct range r = part_range(x->rows, F(parts_rows)(a), part);
	real *out = a->out;

	for (uint64_t i = r.from; i < r.to; i++) {
		const real *in = (const real *)a->in[0] + i * x->width;

		out[i] = in[F(largest)(in, x->width)];
	}
}

static void F(run_argmax)(const struct rn_kargs *a, uint32_t part)
{
	const struct rn_val *x = in_of(a, 0);
	struct range r = part_range(x->rows, F(parts_rows)(a), part);
	real *out = a->out;

	for (uint64_t i = r.from; i < r.to; i++)
		out[i] = (real)F(largest)((const real *)a->in[0] + i * x->width, x->width);
}

/* ---- copies ------------------------------------------------------------------------------ */

static uint32_t F(parts_out)(const struct rn_kargs *a)
{
	const struct rn_val *o = out_of(a);

	return parts_for((double)o->rows * (2.0 * sizeof(real) * o->width + 16), o->rows);
}

static void F(run_concat)(const struct rn_kargs *a, uint32_t part)
{
	const struct rn_val *o = out_of(a);
	struct range r = part_range(o->rows, F(parts_out)(a), part);
	size_t at = 0;

	for (uint32_t k = 0; k < a->inst->nin; k++) {
		const struct rn_val *v = in_of(a, k);
		const real *x = a->in[k];
		size_t w = v->width, stride = v->rows == 1 ? 0 : w;

		for (uint64_t i = r.from; i < r.to; i++)
			memcpy((real *)a->out + i * o->width + at, x + i * stride, w * sizeof *x);
		at += w;
	}
}

/* A view is made where its operand lies, and then there is nothing to do. */
static uint32_t F(parts_view)(const struct rn_kargs *a)
{
	return a->out == a->in[0] || !out_of(a)->rows || !out_of(a)->width ? 0 : 1;
}

static void F(run_view)(const struct rn_kargs *a, uint32_t part)
{
	(void)part;
	memcpy(a->out, a->in[0], (size_t)out_of(a)->rows * out_of(a)->width * sizeof(real));
}

/* ---- cross-entropy -------------------------------------------------------------------------- */

enum { F(CE_TILE) = 512 };

/* exp(x - top) for n <= CE_TILE numbers; the tail of the last vector is computed too. */
static void F(exps)(const real *x, uint32_t n, real top, real *out)
{
	uint32_t padded = (n + 15) & ~15u;

	for (uint32_t f = 0; f < n; f++)
		out[f] = x[f] - top;
	for (uint32_t f = n; f < padded; f++)
		out[f] = 0;
	for (uint32_t f = 0; f < padded; f += 16)
		INDEPENDENT for (uint32_t k = 0; k < 16; k++) out[f + k] =
			F(exp)(out[f + k]);
}

static real F(sum_exps)(const real *x, uint32_t n, real top)
{
	_Alignas(64) real e[F(CE_TILE)];
	real sum = 0;

	for (uint32_t f = 0; f < n; f += F(CE_TILE)) {
		uint32_t m = n - f < F(CE_TILE) ? n - f : (uint32_t)F(CE_TILE);

		F(exps)(x + f, m, top, e);
		for (uint32_t k = 0; k < m; k++)
			sum += e[k];
	}
	return sum;
}

static uint32_t F(parts_ce)(const struct rn_kargs *a)
{
	const struct rn_val *x = in_of(a, 0);

	return parts_for((double)x->rows * (8.0 * sizeof(real) * x->width + 64), x->rows);
}

static void F(run_ce)(const struct rn_kargs *a, uint32_t part)
{
	const struct rn_val *x = in_of(a, 0);
	struct range r = part_range(x->rows, F(parts_ce)(a), part);
	real *out = a->out;

	for (uint64_t i = r.from; i < r.to; i++) {
		const real *z = (const real *)a->in[0] + i * x->width;
		uint32_t y = a->idx[0][i];

		if (y == NO_ROW) {
			out[i] = 0;
			continue;
		}
		real top = z[F(largest)(z, x->width)];

		out[i] = F(log)(F(sum_exps)(z, x->width, top)) + (top - z[y]);
	}
}

static void F(run_ce_grad)(const struct rn_kargs *a, uint32_t part)
{
	const struct rn_val *x = in_of(a, 0);
	struct range r = part_range(x->rows, F(parts_ce)(a), part);
	_Alignas(64) real e[F(CE_TILE)];

	for (uint64_t i = r.from; i < r.to; i++) {
		const real *z = (const real *)a->in[0] + i * x->width;
		real g = ((const real *)a->in[1])[i], *out = (real *)a->out + i * x->width;
		uint32_t y = a->idx[0][i];
		real top, sum;

		if (y == NO_ROW) {
			memset(out, 0, x->width * sizeof *out);
			continue;
		}
		top = z[F(largest)(z, x->width)];
		sum = F(sum_exps)(z, x->width, top);
		for (uint32_t f = 0; f < x->width; f += F(CE_TILE)) {
			uint32_t m =
			    x->width - f < F(CE_TILE) ? x->width - f : (uint32_t)F(CE_TILE);

			F(exps)(z + f, m, top, e);
			for (uint32_t k = 0; k < m; k++)
				out[f + k] = (e[k] / sum - (f + k == y ? 1 : 0)) * g;
		}
	}
}

/* ---- optimizer steps: PyTorch's formulas, in its order of operations ------------------------- */

static uint32_t F(parts_step)(const struct rn_kargs *a)
{
	uint32_t w = out_of(a)->width;

	return parts_for(7.0 * sizeof(real) * w, (w + 15) / 16);
}

static struct range F(step_range)(const struct rn_kargs *a, uint32_t part)
{
	uint32_t w = out_of(a)->width;
	struct range r = part_range((w + 15) / 16, F(parts_step)(a), part);

	return (struct range){ r.from * 16, r.to * 16 < w ? r.to * 16 : w };
}

static void F(run_adam)(const struct rn_kargs *a, uint32_t part)
{
	struct range r = F(step_range)(a, part);
	bool decoupled = a->inst->flags & RN_F_DECOUPLED;
	real b1 = (real)a->f[RN_A_BETA1], b2 = (real)a->f[RN_A_BETA2], eps = (real)a->f[RN_A_EPS];
	real c1 = (real)(1 - a->f[RN_A_BETA1]), c2 = (real)(1 - a->f[RN_A_BETA2]);
	real decay = decoupled ? 0 : (real)a->f[RN_A_DECAY];
	real keep = decoupled ? (real)(1 - a->f[RN_A_LR] * a->f[RN_A_DECAY]) : 1;
	real step = (real)(-a->f[RN_A_LR] / a->f[RN_A_BC1]), root = (real)sqrt(a->f[RN_A_BC2]);
	real *p = a->out, *m = (real *)(uintptr_t)a->in[2], *v = (real *)(uintptr_t)a->in[3];
	const real *grad = a->in[1];

	INDEPENDENT for (uint64_t k = r.from; k < r.to; k++)
	{
		real x = p[k] * keep, g = decay != 0 ? grad[k] + decay * x : grad[k];
		real m1 = m[k] * b1 + c1 * g, v1 = v[k] * b2 + c2 * g * g;

		m[k] = m1;
		v[k] = v1;
		p[k] = x + step * m1 / (F(root)(v1) / root + eps);
	}
}

static void F(run_sgd)(const struct rn_kargs *a, uint32_t part)
{
	struct range r = F(step_range)(a, part);
	real lr = (real)a->f[RN_S_LR], momentum = (real)a->f[RN_S_MOMENTUM];
	real decay = (real)a->f[RN_S_DECAY];
	bool first = a->f[RN_S_FIRST] != 0;
	real *p = a->out, *buf = (real *)(uintptr_t)a->in[2];
	const real *grad = a->in[1];

	INDEPENDENT for (uint64_t k = r.from; k < r.to; k++)
	{
		real g = decay != 0 ? grad[k] + decay * p[k] : grad[k];

		if (buf && momentum != 0) {
			g = first ? g : momentum * buf[k] + g;
			buf[k] = g;
		}
		p[k] -= lr * g;
	}
}
