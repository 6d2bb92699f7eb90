/* SPDX-License-Identifier: Apache-2.0
 *
 * Products.  The kernels hold a tile of the result in registers and add up one
 * term after the other, so a number depends on its own row and column only, not
 * on where it stands or how work is cut.  Wide products go to BLAS where that is
 * loaded, in panels of a fixed size.
 */

enum {
	F(TILE_V) = sizeof(F(vec)) == 64 ? 4 : 2, /* vectors of columns in a tile */
	F(TILE_R) = sizeof(F(vec)) > 16 ? 6 : 4, /* rows in a tile of so many vectors */
	F(BLOCK_K) = 256,			  /* terms between a tile's load and store */
};

/* A block of a product: rows i of c gain the sum over l of a[i*as + l*al] * b[l*ldb + …].
 * a is read as rows of x (RN_P_GEMM: al = 1) or as its columns (RN_P_GEMM_TN: as = 1). */
struct F(mul) {
	const real *a, *b;
	real *c;
	size_t as, al, ldb, ldc;
	uint32_t terms;
	bool add; /* to what c holds */
};

VINLINE void F(mul_tile)(const struct F(mul) *g, uint32_t i, uint32_t j, const unsigned nr,
			 const unsigned nv, F(mask) m)
{
	const real *a = g->a + i * g->as, *b = g->b + j;
	real *c = g->c + i * g->ldc + j;
	F(vec) acc[8][4];

#pragma GCC unroll 8
	for (unsigned r = 0; r < nr; r++)
#pragma GCC unroll 4
		for (unsigned v = 0; v < nv; v++)
			acc[r][v] = !g->add       ? F(set1)(0)
				    : v + 1 < nv ? F(load)(c + r * g->ldc + v * F(LANES))
						 : F(load_n)(c + r * g->ldc + v * F(LANES), m);
	for (uint32_t l = 0; l < g->terms; l++, a += g->al, b += g->ldb) {
		F(vec) y[4];

#pragma GCC unroll 4
		for (unsigned v = 0; v < nv; v++)
			y[v] =
			    v + 1 < nv ? F(load)(b + v * F(LANES)) : F(load_n)(b + v * F(LANES), m);
#pragma GCC unroll 8
		for (unsigned r = 0; r < nr; r++) {
			F(vec) x = F(set1)(a[r * g->as]);

#pragma GCC unroll 4
			for (unsigned v = 0; v < nv; v++)
				acc[r][v] = F(madd)(x, y[v], acc[r][v]);
		}
	}
#pragma GCC unroll 8
	for (unsigned r = 0; r < nr; r++)
#pragma GCC unroll 4
		for (unsigned v = 0; v < nv; v++) {
			real *o = c + r * g->ldc + v * F(LANES);

			if (v + 1 < nv)
				F(store)(o, acc[r][v]);
			else
				F(store_n)(o, m, acc[r][v]);
		}
}

/* All rows of one tile of columns: as many rows at a time as registers hold. */
VINLINE void F(mul_cols)(const struct F(mul) *g, uint32_t rows, uint32_t j, const unsigned nv,
			 F(mask) m)
{
	const unsigned nr = nv * 2 > F(TILE_V) ? F(TILE_R) : 8;
	uint32_t i = 0;

	for (; i + nr <= rows; i += nr)
		F(mul_tile)(g, i, j, nr, nv, m);
	for (; i + 2 <= rows; i += 2)
		F(mul_tile)(g, i, j, 2, nv, m);
	if (i < rows)
		F(mul_tile)(g, i, j, 1, nv, m);
}

static void F(mul_block)(const struct F(mul) *g, uint32_t rows, uint32_t cols)
{
	for (uint32_t j = 0; j < cols;) {
		unsigned nv = (cols - j + F(LANES) - 1) / F(LANES), last;

		nv = nv < F(TILE_V) ? nv : F(TILE_V);
		last = cols - j < nv * F(LANES) ? cols - j - (nv - 1) * F(LANES) : F(LANES);
		switch (nv) {
		case 1:
			F(mul_cols)(g, rows, j, 1, F(first)(last));
			break;
		case 2:
			F(mul_cols)(g, rows, j, 2, F(first)(last));
			break;
#ifdef __AVX512F__
		case 3:
			F(mul_cols)(g, rows, j, 3, F(first)(last));
			break;
		case 4:
			F(mul_cols)(g, rows, j, 4, F(first)(last));
			break;
#endif
		default:
			break;
		}
		j += nv * F(LANES);
	}
}

/* ---- out = x·W + b -------------------------------------------------------------- */

/* Rows of a part: about 2 Mflop, so tens of µs. */
static uint32_t F(gemm_rows)(const struct rn_kargs *a)
{
	double flops = 2.0 * in_of(a, 0)->width * out_of(a)->width + 64, n = 2e6 / flops;

	if (a->blas && rn_cpu_wide(a->prog, a->inst))
		return PANEL_ROWS;
	return n >= PANEL_ROWS ? PANEL_ROWS : n < 24 ? 24 : (uint32_t)n / 24 * 24;
}

static size_t F(scratch_gemm)(const struct rn_kargs *a)
{
	return a->inst->flags & RN_F_TRANS ? (size_t)in_of(a, 1)->width * sizeof(real) : 0;
}

static uint32_t F(parts_gemm0)(const struct rn_kargs *a)
{
	if (!(a->inst->flags & RN_F_TRANS) || (a->blas && rn_cpu_wide(a->prog, a->inst)))
		return 0;
	return parts_for(4.0 * in_of(a, 1)->width * sizeof(real), in_of(a, 0)->width);
}

/* Wᵀ into the scratch: W is [m, k]. */
static void F(run_gemm0)(const struct rn_kargs *a, uint32_t part)
{
	uint32_t k = in_of(a, 0)->width, m = out_of(a)->width;
	struct range r = part_range(k, F(parts_gemm0)(a), part);
	const real *w = a->in[1];
	real *t = a->scratch;

	for (uint64_t j0 = 0; j0 < m; j0 += 16)
		for (uint64_t l = r.from; l < r.to; l++)
			for (uint64_t j = j0; j < m && j < j0 + 16; j++)
				t[l * m + j] = w[j * k + l];
}

static uint32_t F(parts_gemm)(const struct rn_kargs *a)
{
	uint32_t n = out_of(a)->rows, step = F(gemm_rows)(a);

	return out_of(a)->width ? n / step + (n % step != 0) : 0;
}

static void F(run_gemm)(const struct rn_kargs *a, uint32_t part)
{
	uint32_t n = out_of(a)->rows, k = in_of(a, 0)->width, m = out_of(a)->width;
	uint32_t step = F(gemm_rows)(a), from = part * step,
		 rows = n - from < step ? n - from : step;
	bool trans = a->inst->flags & RN_F_TRANS;
	const real *x = (const real *)a->in[0] + (size_t)from * k, *bias = a->in[2];
	real *out = (real *)a->out + (size_t)from * m;

	if (a->blas && rn_cpu_wide(a->prog, a->inst)) {
		a->blas->BLAS_GEMM(101, 111, trans ? 112 : 111, (int)rows, (int)m, (int)k, 1, x,
				   (int)k, a->in[1], trans ? (int)k : (int)m, 0, out, (int)m);
	} else {
		struct F(mul) g = { .b = trans ? a->scratch : a->in[1], .c = out, .as = k, .al = 1,
				    .ldb = m, .ldc = m };

		for (uint32_t l = 0; l == 0 || l < k; l += F(BLOCK_K)) {
			g.a = x + l;
			g.add = l > 0;
			g.terms = k - l < F(BLOCK_K) ? k - l : (uint32_t)F(BLOCK_K);
			F(mul_block)(&g, rows, m);
			g.b += (size_t)F(BLOCK_K) * m;
		}
	}
	for (uint32_t i = 0; bias && i < rows; i++)
		for (uint32_t j = 0; j < m; j++)
			out[(size_t)i * m + j] += bias[j];
}

/* ---- sums of chunks, in a fixed tree ------------------------------------------------ */

/* parts[c * width …] for c < n are added in pairs, pairs of pairs, …; the columns
 * from … to-1 of the sum go to out. */
static void F(add_tree)(real *parts, uint64_t n, uint64_t width, struct range r, real *out)
{
	for (uint64_t s = 1; s < n; s *= 2)
		for (uint64_t c = 0; c + s < n; c += 2 * s) {
			real *x = parts + c * width, *y = parts + (c + s) * width;

			INDEPENDENT for (uint64_t j = r.from; j < r.to; j++) x[j] += y[j];
		}
	if (n)
		memcpy(out + r.from, parts + r.from, (r.to - r.from) * sizeof *out);
	else
		memset(out + r.from, 0, (r.to - r.from) * sizeof *out);
}

/* ---- out = xᵀ·y --------------------------------------------------------------------- */

static uint64_t F(tn_chunks)(const struct rn_kargs *a)
{
	return ((uint64_t)in_of(a, 0)->rows + CHUNK_OUTER - 1) / CHUNK_OUTER;
}

/* Columns of x, so rows of the result, in a part. */
static uint32_t F(tn_step)(const struct rn_kargs *a)
{
	uint32_t n = in_of(a, 0)->rows, m = in_of(a, 1)->width;
	double flops = 2.0 * (n < CHUNK_OUTER ? n : CHUNK_OUTER) * m + 1, k = 2e6 / flops;

	if (a->blas && rn_cpu_wide(a->prog, a->inst))
		return F(tn_chunks)(a) >= 8 ? UINT32_MAX : 64;
	return k < 8 ? 8 : k > 1 << 20 ? 1 << 20 : (uint32_t)k / 8 * 8;
}

static uint32_t F(tn_groups)(const struct rn_kargs *a)
{
	uint32_t k = in_of(a, 0)->width, step = F(tn_step)(a);

	return k / step + (k % step != 0);
}

static size_t F(scratch_gemm_tn)(const struct rn_kargs *a)
{
	return F(tn_chunks)(a) > 1 ? F(tn_chunks)(a) * out_of(a)->width * sizeof(real) : 0;
}

static uint32_t F(parts_gemm_tn0)(const struct rn_kargs *a)
{
	return out_of(a)->width ? (uint32_t)(F(tn_chunks)(a) * F(tn_groups)(a)) : 0;
}

static void F(run_gemm_tn0)(const struct rn_kargs *a, uint32_t part)
{
	uint32_t n = in_of(a, 0)->rows, k = in_of(a, 0)->width, m = in_of(a, 1)->width;
	uint32_t groups = F(tn_groups)(a), step = F(tn_step)(a);
	uint32_t chunk = part / groups, i0 = part % groups * step, row = chunk * CHUNK_OUTER;
	uint32_t cols = k - i0 < step ? k - i0 : step;
	uint32_t rows = n - row < CHUNK_OUTER ? n - row : CHUNK_OUTER;
	real *c = F(tn_chunks)(a) > 1 ? (real *)a->scratch + (size_t)chunk * k * m : a->out;
	const real *x = (const real *)a->in[0] + (size_t)row * k + i0;
	const real *y = (const real *)a->in[1] + (size_t)row * m;
	struct F(mul) g = { .c = c + (size_t)i0 * m, .as = 1, .al = k, .ldb = m, .ldc = m };

	if (a->blas && rn_cpu_wide(a->prog, a->inst)) {
		a->blas->BLAS_GEMM(101, 112, 111, (int)cols, (int)m, (int)rows, 1, x, (int)k, y,
				   (int)m, 0, g.c, (int)m);
		return;
	}
	for (uint32_t l = 0; l < rows; l += F(BLOCK_K)) {
		g.a = x + (size_t)l * k;
		g.b = y + (size_t)l * m;
		g.add = l > 0;
		g.terms = rows - l < F(BLOCK_K) ? rows - l : (uint32_t)F(BLOCK_K);
		F(mul_block)(&g, cols, m);
	}
}

static uint32_t F(parts_gemm_tn1)(const struct rn_kargs *a)
{
	uint32_t w = out_of(a)->width;

	if (F(tn_chunks)(a) == 1)
		return 0; /* the only partial product is the result */
	return parts_for((double)F(tn_chunks)(a) * w * sizeof(real), w / 16 + (w > 0));
}

static void F(run_gemm_tn1)(const struct rn_kargs *a, uint32_t part)
{
	uint32_t w = out_of(a)->width;

	F(add_tree)(a->scratch, F(tn_chunks)(a), w, part_range(w, F(parts_gemm_tn1)(a), part),
		    a->out);
}

/* ---- a product per segment: out[i] = x[i]·W[segment of i] ---------------------------------- */

static uint32_t F(ggemm_rows)(const struct rn_kargs *a)
{
	double n = 2e6 / (2.0 * in_of(a, 0)->width * out_of(a)->width + 64);

	return n >= PANEL_ROWS ? PANEL_ROWS : n < 24 ? 24 : (uint32_t)n / 24 * 24;
}

static size_t F(scratch_ggemm)(const struct rn_kargs *a)
{
	const struct rn_val *w = in_of(a, 1);

	return a->inst->flags & RN_F_TRANS ? (size_t)w->rows * w->width * sizeof(real) : 0;
}

static uint32_t F(parts_ggemm0)(const struct rn_kargs *a)
{
	const struct rn_val *w = in_of(a, 1);

	if (!(a->inst->flags & RN_F_TRANS))
		return 0;
	return parts_for(4.0 * w->rows * w->width * sizeof(real), w->rows);
}

/* Each Wᵀ that has rows into the scratch: W is [m, k]. */
static void F(run_ggemm0)(const struct rn_kargs *a, uint32_t part)
{
	uint32_t k = in_of(a, 0)->width, m = out_of(a)->width;
	struct range r = part_range(in_of(a, 1)->rows, F(parts_ggemm0)(a), part);
	const uint32_t *ptr = a->idx[0];

	for (uint64_t s = r.from; s < r.to; s++) {
		const real *w = (const real *)a->in[1] + s * k * m;
		real *t = (real *)a->scratch + s * k * m;

		if (ptr[s] == ptr[s + 1])
			continue;
		for (uint64_t l = 0; l < k; l++)
			for (uint64_t j = 0; j < m; j++)
				t[l * m + j] = w[j * k + l];
	}
}

static uint32_t F(parts_ggemm)(const struct rn_kargs *a)
{
	uint32_t n = out_of(a)->rows, step = F(ggemm_rows)(a);

	return out_of(a)->width ? n / step + (n % step != 0) : 0;
}

/* The segment that holds row i. */
static uint32_t F(segment_of)(const uint32_t *ptr, uint32_t n, uint32_t i)
{
	uint32_t lo = 0, hi = n - 1;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo + 1) / 2;

		if (ptr[mid] <= i)
			lo = mid;
		else
			hi = mid - 1;
	}
	return lo;
}

static void F(run_ggemm)(const struct rn_kargs *a, uint32_t part)
{
	uint32_t n = out_of(a)->rows, k = in_of(a, 0)->width, m = out_of(a)->width;
	uint32_t step = F(ggemm_rows)(a), i = part * step, end = n - i < step ? n : i + step;
	const real *w = a->inst->flags & RN_F_TRANS ? a->scratch : a->in[1];
	const uint32_t *ptr = a->idx[0];
	uint32_t s = F(segment_of)(ptr, in_of(a, 1)->rows, i);

	for (; i < end; s++) {
		uint32_t stop = ptr[s + 1] < end ? ptr[s + 1] : end;
		struct F(mul) g = { .b = w + (size_t)s * k * m, .c = (real *)a->out + (size_t)i * m,
				    .as = k, .al = 1, .ldb = m, .ldc = m };

		if (stop <= i)
			continue;
		for (uint32_t l = 0; l == 0 || l < k; l += F(BLOCK_K)) {
			g.a = (const real *)a->in[0] + (size_t)i * k + l;
			g.add = l > 0;
			g.terms = k - l < F(BLOCK_K) ? k - l : (uint32_t)F(BLOCK_K);
			F(mul_block)(&g, stop - i, m);
			g.b += (size_t)F(BLOCK_K) * m;
		}
		i = stop;
	}
}

/* out[s] = xᵀ·y over the rows of a segment */
static uint32_t F(parts_ggemm_tn)(const struct rn_kargs *a)
{
	const struct rn_val *x = in_of(a, 0), *o = out_of(a);

	return parts_for(((double)x->rows + o->rows) * o->width * sizeof(real),
			 o->width ? o->rows : 0);
}

static void F(run_ggemm_tn)(const struct rn_kargs *a, uint32_t part)
{
	uint32_t k = in_of(a, 0)->width, m = in_of(a, 1)->width;
	const uint32_t *ptr = a->idx[0];
	struct range r = segment_range(ptr, out_of(a)->rows, F(parts_ggemm_tn)(a), part);

	for (uint64_t s = r.from; s < r.to; s++) {
		struct F(mul) g = { .c = (real *)a->out + s * k * m, .as = 1, .al = k, .ldb = m,
				    .ldc = m };

		if (ptr[s] == ptr[s + 1])
			memset(g.c, 0, (size_t)k * m * sizeof(real));
		for (uint32_t i = ptr[s]; i < ptr[s + 1]; i += F(BLOCK_K)) {
			uint32_t left = ptr[s + 1] - i;

			g.a = (const real *)a->in[0] + (size_t)i * k;
			g.b = (const real *)a->in[1] + (size_t)i * m;
			g.add = i > ptr[s];
			g.terms = left < F(BLOCK_K) ? left : (uint32_t)F(BLOCK_K);
			F(mul_block)(&g, k, m);
		}
	}
}

/* ---- a product per row ----------------------------------------------------------------- */

static uint32_t F(parts_matmul)(const struct rn_kargs *a)
{
	const struct rn_val *o = out_of(a), *x = in_of(a, 0);
	uint32_t q = a->inst->flags & RN_F_TRANS_A ? 0 : 1;
	double n = (double)o->rows * o->width * (q < x->rank ? x->dim[q] : 1);

	return parts_for(n + (double)o->rows * 64, o->width ? o->rows : 0);
}

static void F(run_matmul)(const struct rn_kargs *a, uint32_t part)
{
	const struct rn_val *o = out_of(a), *x = in_of(a, 0), *y = in_of(a, 1);
	struct range range = part_range(o->rows, F(parts_matmul)(a), part);
	bool ta = a->inst->flags & RN_F_TRANS_A, tb = a->inst->flags & RN_F_TRANS_B;
	size_t p = o->rank > 0 ? o->dim[0] : 1, r = o->width / p, q = p ? x->width / p : 0;
	size_t xi = ta ? 1 : q, xl = ta ? p : 1, yl = tb ? 1 : r, yj = tb ? q : 1;

	for (uint64_t n = range.from; n < range.to; n++) {
		const real *u = (const real *)a->in[0] + (x->rows == 1 ? 0 : n) * x->width;
		const real *v = (const real *)a->in[1] + (y->rows == 1 ? 0 : n) * y->width;
		real *out = (real *)a->out + n * o->width;

		memset(out, 0, o->width * sizeof *out);
		for (size_t i = 0; i < p; i++)
			for (size_t l = 0; l < q; l++) {
				real s = u[i * xi + l * xl];

				if (yj == 1)
					for (size_t j = 0; j < r; j++)
						out[i * r + j] = F(fma)(s, v[l * yl + j],
									out[i * r + j]);
				else
					for (size_t j = 0; j < r; j++)
						out[i * r + j] = F(fma)(s, v[l * yl + j * yj],
									out[i * r + j]);
			}
	}
}
