/* SPDX-License-Identifier: Apache-2.0
 *
 * Primitives over rows: gathers, segmented sums and extrema, dot products,
 * sparse rows.  They are bound by memory: rows that are read through an index
 * are prefetched some terms ahead.
 */

/* ---- gather ------------------------------------------------------------------ */

static uint32_t F(parts_gather)(const struct rn_kargs *a)
{
	const struct rn_val *o = out_of(a);

	return parts_for((double)o->rows * (2.0 * sizeof(real) * o->width + 4), o->rows);
}

static void F(run_gather)(const struct rn_kargs *a, uint32_t part)
{
	const struct rn_val *o = out_of(a);
	struct range r = part_range(o->rows, F(parts_gather)(a), part);
	const uint32_t *map = a->idx[0];
	const real *x = a->in[0];
	size_t w = o->width;
	real *out = a->out;

	if (w == 1) {
		for (uint64_t i = r.from; i < r.to; i++)
			out[i] = map[i] == NO_ROW ? 0 : x[map[i]];
		return;
	}
	for (uint64_t i = r.from; i < r.to; i++) {
		size_t next = map[i + 12 < r.to ? i + 12 : i] * w;

		for (size_t f = 0; f < w && f < 512 / sizeof(real); f += 64 / sizeof(real))
			__builtin_prefetch((const void *)((uintptr_t)x + (next + f) * sizeof *x));
		if (map[i] == NO_ROW)
			memset(out + i * w, 0, w * sizeof *out);
		else
			memcpy(out + i * w, x + map[i] * w, w * sizeof *out);
	}
}

/* ---- stack --------------------------------------------------------------------- */

static uint32_t F(parts_stack)(const struct rn_kargs *a)
{
	const struct rn_val *o = out_of(a);

	return parts_for((double)o->rows * (2.0 * sizeof(real) * o->width + 4), o->rows);
}

static void F(run_stack)(const struct rn_kargs *a, uint32_t part)
{
	const struct rn_val *o = out_of(a);
	struct range r = part_range(o->rows, F(parts_stack)(a), part);
	uint64_t at = 0;

	for (uint32_t k = 0; k < a->inst->nin && at < r.to; k++) {
		uint64_t rows = in_of(a, k)->rows, from = r.from > at ? r.from : at;
		uint64_t to = r.to < at + rows ? r.to : at + rows;

		if (from < to)
			memcpy((real *)a->out + from * o->width,
			       (const real *)a->in[k] + (from - at) * o->width,
			       (to - from) * o->width * sizeof(real));
		at += rows;
	}
}

/* ---- spmm ---------------------------------------------------------------------- */

struct F(spmm) {
	const uint32_t *ptr, *xi, *wi;
	const real *x, *w;
	real *out;
	uint32_t width, end; /* end: of the last segment */
	uint32_t ahead;      /* terms between a prefetch and its use; 0: x is in the cache */
};

static uint32_t F(parts_spmm)(const struct rn_kargs *a)
{
	const struct rn_val *o = out_of(a);
	double terms = o->rows ? (double)(a->idx[0][o->rows] - a->idx[0][0]) : 0;
	double row = (double)sizeof(real) * o->width;

	return parts_for(terms * (row + 16) + o->rows * (row + 16), o->rows);
}

/* How the terms of a sum are weighted: not, by the k-th weight, or through an index. */
enum F(weights) { F(PLAIN), F(BY_TERM), F(BY_INDEX) };

/* Term k is added, and the row of a later one fetched. */
VINLINE void F(spmm_term)(const struct F(spmm) *s, uint32_t k, uint32_t f, const unsigned nv,
			  F(mask) m, const enum F(weights) how, const bool fetch, F(vec) *acc)
{
	uint32_t row = s->xi ? s->xi[k] : k;
	const real *x = s->x + f + row * (size_t)s->width;
	F(vec) w = F(set1)(0);

	if (fetch) {
		uintptr_t next = (uintptr_t)(s->x + f) +
				 s->xi[k + s->ahead] * (size_t)s->width * sizeof *x;

#pragma GCC unroll 16
		for (unsigned v = 0; v < nv; v += 64 / sizeof(F(vec)))
			__builtin_prefetch((const void *)(next + v * sizeof(F(vec))));
	}
	if (row == NO_ROW && s->xi)
		return;
	if (how != F(PLAIN))
		w = F(set1)(s->w[how == F(BY_INDEX) ? s->wi[k] : k]);
#pragma GCC unroll 16
	for (unsigned v = 0; v < nv; v++) {
		F(vec) y = v + 1 < nv ? F(load)(x + v * F(LANES)) : F(load_n)(x + v * F(LANES), m);

		acc[v] = how != F(PLAIN) ? F(madd)(w, y, acc[v]) : F(plus)(acc[v], y);
	}
}

/* The sums of the segments from … to-1: nv vectors of features from f on, the last one masked.
 * A segment's first chunk of terms is stored, later ones are added. */
VINLINE void F(spmm_segments)(const struct F(spmm) *shared, uint32_t from, uint32_t to, uint32_t f,
			      const unsigned nv, F(mask) m, const enum F(weights) how,
			      const bool fetch)
{
	const struct F(spmm) s = *shared; /* what stores to the result cannot change */
	real *out = s.out + (size_t)from * s.width + f;
	uint32_t k = s.ptr[from];

	for (uint32_t seg = from; seg < to; seg++, out += s.width) {
		uint32_t end = s.ptr[seg + 1];
		bool first = true;

		do {
			uint32_t stop = end - k > CHUNK_TERMS ? k + CHUNK_TERMS : end;
			F(vec) acc[16];

#pragma GCC unroll 16
			for (unsigned v = 0; v < nv; v++)
				acc[v] = F(set1)(0);
			for (; k < stop; k++)
				F(spmm_term)(&s, k, f, nv, m, how, fetch, acc);
#pragma GCC unroll 16
			for (unsigned v = 0; v < nv; v++)
				if (!first)
					acc[v] = F(plus)(v + 1 < nv ? F(load)(out + v * F(LANES))
							    : F(load_n)(out + v * F(LANES), m),
						 acc[v]);
#pragma GCC unroll 16
			for (unsigned v = 0; v < nv; v++)
				if (v + 1 < nv)
					F(store)(out + v * F(LANES), acc[v]);
				else
					F(store_n)(out + v * F(LANES), m, acc[v]);
			first = false;
		} while (k < end);
	}
}

/* Rows are fetched some terms ahead, but for the last ones of all. */
VINLINE void F(spmm_weighted)(const struct F(spmm) *s, struct range r, uint32_t f,
			      const unsigned nv, F(mask) m, const enum F(weights) how)
{
	uint32_t mid = (uint32_t)r.to, to = (uint32_t)r.to;

	if (!s->xi || !s->ahead)
		mid = (uint32_t)r.from;
	while (mid > r.from && s->ptr[mid] + s->ahead > s->end)
		mid--;
	F(spmm_segments)(s, (uint32_t)r.from, mid, f, nv, m, how, true);
	F(spmm_segments)(s, mid, to, f, nv, m, how, false);
}

VINLINE void F(spmm_range)(const struct F(spmm) *s, struct range r, uint32_t f, const unsigned nv,
			   F(mask) m)
{
	if (!s->w)
		F(spmm_weighted)(s, r, f, nv, m, F(PLAIN));
	else if (s->wi)
		F(spmm_weighted)(s, r, f, nv, m, F(BY_INDEX));
	else
		F(spmm_weighted)(s, r, f, nv, m, F(BY_TERM));
}

/* Vectors of a tile: what fits into registers beside an operand and a weight. */
enum { F(SPMM_TILE) = sizeof(F(vec)) == 64 ? 16 : 8 };

static void F(spmm_cols)(const struct F(spmm) * s, struct range r, uint32_t f, unsigned nv,
			 F(mask) m)
{
	switch (nv) {
	case 1:
		F(spmm_range)(s, r, f, 1, m);
		break;
	case 2:
		F(spmm_range)(s, r, f, 2, m);
		break;
	case 3:
		F(spmm_range)(s, r, f, 3, m);
		break;
	case 4:
		F(spmm_range)(s, r, f, 4, m);
		break;
	case 6:
		F(spmm_range)(s, r, f, 6, m);
		break;
	case 8:
		F(spmm_range)(s, r, f, 8, m);
		break;
	default:
		F(spmm_range)(s, r, f, 16, m);
		break;
	}
}

/* The largest tile with a kernel that is not wider than nv vectors. */
static unsigned F(spmm_fit)(unsigned nv)
{
	static const uint8_t fit[17] = { 0, 1, 2, 3, 4, 4, 6, 6, 8, 8, 8, 8, 8, 8, 8, 8, 16 };

	return fit[nv < F(SPMM_TILE) ? nv : F(SPMM_TILE)];
}

/* Width 1: no vector; one sum after the other. */
static void F(spmm_narrow)(const struct F(spmm) *s, struct range r)
{
	for (uint64_t seg = r.from; seg < r.to; seg++) {
		uint32_t k = s->ptr[seg], end = s->ptr[seg + 1];
		real total = 0;

		for (bool first = true; k < end; first = false) {
			uint32_t stop = end - k > CHUNK_TERMS ? k + CHUNK_TERMS : end;
			real acc = 0;

			for (; k < stop; k++) {
				uint32_t row = s->xi ? s->xi[k] : k;

				if (row == NO_ROW)
					continue;
				if (s->w)
					acc = F(fma)(s->w[s->wi ? s->wi[k] : k], s->x[row], acc);
				else
					acc += s->x[row];
			}
			total = first ? acc : total + acc;
		}
		s->out[seg] = total;
	}
}

static void F(run_spmm)(const struct rn_kargs *a, uint32_t part)
{
	const struct rn_val *o = out_of(a), *x = in_of(a, 0);
	struct range r = segment_range(a->idx[0], o->rows, F(parts_spmm)(a), part);
	struct F(spmm) s = { .ptr = a->idx[0], .xi = a->idx[1], .wi = a->idx[2], .x = a->in[0],
			     .w = a->in[1], .out = a->out, .width = o->width };
	size_t bytes = (size_t)x->rows * x->width * sizeof(real);

	if (o->width == 1) {
		F(spmm_narrow)(&s, r);
		return;
	}
	s.end = a->idx[0][o->rows];
	s.ahead = bytes <= 256 << 10 ? 0 : o->width * sizeof(real) > 64 ? 8 : 16;
	for (uint32_t f = 0; f < o->width;) {
		unsigned nv = (o->width - f + F(LANES) - 1) / F(LANES), last;

		nv = F(spmm_fit)(nv);
		last = o->width - f < nv * F(LANES) ? o->width - f - (nv - 1) * F(LANES) : F(LANES);
		F(spmm_cols)(&s, r, f, nv, F(first)(last));
		f += nv * F(LANES);
	}
}

/* ---- sddmm ------------------------------------------------------------------------ */

static uint32_t F(parts_sddmm)(const struct rn_kargs *a)
{
	const struct rn_val *o = out_of(a);

	return parts_for((double)o->rows * (2.0 * sizeof(real) * in_of(a, 0)->width + 16), o->rows);
}

VINLINE real F(dot)(const real *x, const real *y, uint32_t w)
{
	F(vec) acc = F(set1)(0);
	uint32_t f = 0;

	for (; f + F(LANES) <= w; f += F(LANES))
		acc = F(madd)(F(load)(x + f), F(load)(y + f), acc);
	if (f < w) {
		F(mask) m = F(first)(w - f);

		acc = F(madd)(F(load_n)(x + f, m), F(load_n)(y + f, m), acc);
	}
	return F(hsum)(acc);
}

static void F(run_sddmm)(const struct rn_kargs *a, uint32_t part)
{
	const struct rn_val *o = out_of(a);
	struct range r = part_range(o->rows, F(parts_sddmm)(a), part);
	const uint32_t *ai = a->idx[0], *bi = a->idx[1];
	uint32_t w = in_of(a, 0)->width;
	const real *x = a->in[0], *y = a->in[1];
	real *out = a->out;

	for (uint64_t k = r.from; k < r.to; k++) {
		uint64_t ahead = k + 6 < r.to ? k + 6 : k;
		size_t i = ai ? ai[k] : k, j = bi ? bi[k] : k;
		size_t in = ai ? ai[ahead] : ahead, jn = bi ? bi[ahead] : ahead;

		for (uint32_t f = 0; f < w && f < 512 / sizeof(real); f += 64 / sizeof(real)) {
			__builtin_prefetch((const void *)((uintptr_t)x + (in * w + f) * sizeof *x));
			__builtin_prefetch((const void *)((uintptr_t)y + (jn * w + f) * sizeof *y));
		}
		if ((ai && i == NO_ROW) || (bi && j == NO_ROW))
			out[k] = 0;
		else
			out[k] = F(dot)(x + i * w, y + j * w, w);
	}
}

/* ---- extrema of segments ------------------------------------------------------------ */

static uint32_t F(parts_segarg)(const struct rn_kargs *a)
{
	const struct rn_val *o = out_of(a);
	double terms = o->rows ? (double)(a->idx[0][o->rows] - a->idx[0][0]) : 0;

	return parts_for((terms + o->rows) * (sizeof(real) * o->width + 8.0), o->rows);
}

enum { F(ARG_TILE) = 64 };

/* Features f … f+n-1 of one segment.  A number beats NaN, the first beats its equals. */
static void F(segarg_tile)(const struct rn_kargs *a, uint32_t seg, uint32_t f, uint32_t n, bool min)
{
	const uint32_t *ptr = a->idx[0], *rows = a->idx[1];
	uint32_t w = out_of(a)->width, *out = (uint32_t *)a->out + (size_t)seg * w + f;
	real best[F(ARG_TILE)];
	uint32_t arg[F(ARG_TILE)];

	for (uint32_t j = 0; j < n; j++) {
		best[j] = F(nan);
		arg[j] = NO_ROW;
	}
	for (uint32_t k = ptr[seg]; k < ptr[seg + 1]; k++) {
		uint32_t row = rows ? rows[k] : k;
		const real *x = (const real *)a->in[0] + (size_t)row * w + f;

		for (uint32_t j = 0; j < n; j++) {
			bool better = min ? x[j] < best[j] : x[j] > best[j];

			better |= (best[j] != best[j]) & ((x[j] == x[j]) | (arg[j] == NO_ROW));
			best[j] = better ? x[j] : best[j];
			arg[j] = better ? row : arg[j];
		}
	}
	memcpy(out, arg, n * sizeof *out);
}

static void F(run_segarg)(const struct rn_kargs *a, uint32_t part)
{
	const struct rn_val *o = out_of(a);
	struct range r = segment_range(a->idx[0], o->rows, F(parts_segarg)(a), part);

	for (uint64_t seg = r.from; seg < r.to; seg++)
		for (uint32_t f = 0; f < o->width; f += F(ARG_TILE)) {
			uint32_t left = o->width - f;

			F(segarg_tile)(a, (uint32_t)seg, f,
				       left < F(ARG_TILE) ? left : (uint32_t)F(ARG_TILE),
				       a->inst->flags & RN_F_MIN);
		}
}

static uint32_t F(parts_pick)(const struct rn_kargs *a)
{
	const struct rn_val *o = out_of(a);

	return parts_for((double)o->rows * o->width * (2.0 * sizeof(real) + 4), o->rows);
}

static void F(run_pick)(const struct rn_kargs *a, uint32_t part)
{
	const struct rn_val *o = out_of(a);
	struct range r = part_range(o->rows, F(parts_pick)(a), part);
	const uint32_t *arg = a->in[1];
	const real *x = a->in[0];
	real *out = a->out;

	for (uint64_t s = r.from; s < r.to; s++)
		for (uint32_t f = 0; f < o->width; f++) {
			uint32_t row = arg[s * o->width + f];

			out[s * o->width + f] = row == NO_ROW ? 0 : x[(size_t)row * o->width + f];
		}
}

static uint32_t F(parts_zero)(const struct rn_kargs *a)
{
	const struct rn_val *o = out_of(a);

	return parts_for((double)o->rows * o->width * sizeof(real), o->rows);
}

static void F(run_zero)(const struct rn_kargs *a, uint32_t part)
{
	const struct rn_val *o = out_of(a);
	struct range r = part_range(o->rows, F(parts_zero)(a), part);
	real *out = a->out;

	memset(out + r.from * o->width, 0, (r.to - r.from) * o->width * sizeof *out);
}

static uint32_t F(parts_unpick)(const struct rn_kargs *a)
{
	const struct rn_val *g = in_of(a, 0);

	return parts_for((double)g->rows * g->width * (2.0 * sizeof(real) + 4), g->rows);
}

static void F(run_unpick)(const struct rn_kargs *a, uint32_t part)
{
	const struct rn_val *g = in_of(a, 0);
	struct range r = part_range(g->rows, F(parts_unpick)(a), part);
	const uint32_t *arg = a->in[1];
	const real *x = a->in[0];
	real *out = a->out;

	for (uint64_t s = r.from; s < r.to; s++)
		for (uint32_t f = 0; f < g->width; f++) {
			uint32_t row = arg[s * g->width + f];

			if (row != NO_ROW)
				out[(size_t)row * g->width + f] = x[s * g->width + f];
		}
}

/* ---- sparse rows ----------------------------------------------------------------------- */

static uint32_t F(parts_densify)(const struct rn_kargs *a)
{
	const struct rn_val *o = out_of(a);

	return parts_for((double)o->rows * o->width * sizeof(real) + in_of(a, 0)->rows * 8.0,
			 o->rows);
}

static void F(run_densify)(const struct rn_kargs *a, uint32_t part)
{
	const struct rn_val *o = out_of(a);
	struct range r = part_range(o->rows, F(parts_densify)(a), part);
	const uint32_t *ptr = a->idx[0], *col = a->idx[1];
	const real *x = a->in[0];

	for (uint64_t i = r.from; i < r.to; i++) {
		real *out = (real *)a->out + i * o->width;

		memset(out, 0, o->width * sizeof *out);
		for (uint32_t k = ptr[i]; k < ptr[i + 1]; k++)
			out[col[k]] += x[k];
	}
}

static uint32_t F(parts_atcsr)(const struct rn_kargs *a)
{
	return parts_for(out_of(a)->rows * (64.0 + sizeof(real)), in_of(a, 0)->rows);
}

static void F(run_atcsr)(const struct rn_kargs *a, uint32_t part)
{
	const struct rn_val *x = in_of(a, 0);
	const uint32_t *ptr = a->idx[0], *col = a->idx[1];
	struct range r = segment_range(ptr, x->rows, F(parts_atcsr)(a), part);
	real *out = a->out;

	for (uint64_t i = r.from; i < r.to; i++) {
		const real *row = (const real *)a->in[0] + i * x->width;

		for (uint32_t k = ptr[i]; k < ptr[i + 1]; k++)
			out[k] = row[col[k]];
	}
}
