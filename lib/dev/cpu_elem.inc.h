/* SPDX-License-Identifier: Apache-2.0
 *
 * Elementwise programs.  The output is one flat array of rows * width numbers; a
 * part is a run of them, worked off in blocks that keep all registers in the L1
 * cache.  A register is a pointer: loading an operand of the output's own
 * shape costs nothing, and the last step writes to the output itself.
 */

enum { F(BLOCK) = 2048 / sizeof(real) };

/* How an operand is read. */
enum F(mode) {
	F(FULL),   /* the output's own shape */
	F(SCALAR), /* one number */
	F(ROW),    /* one row, for all */
	F(COL),    /* a number a row */
	F(MAPPED), /* through a feature map */
	F(ROWS),   /* through a row map, and perhaps a feature map, too */
	F(ROWS_COL), /* a number a row, through a row map */
};

struct F(src) {
	enum F(mode) mode;
	const real *x;
	const uint32_t *map;
	const uint32_t *rows; /* row map; NULL: none */
	uint32_t nrows;       /* its entries */
	uint32_t ahead;       /* rows between a fetch and its use; 0: x is in the cache */
	uint32_t stride; /* numbers from row to row; 0: one row */
};

/* Where a block begins. */
struct F(pos) {
	uint64_t t; /* = row * width + col */
	uint32_t row, col, n, width;
};

static struct F(src) F(src_of)(const struct rn_kargs *a, const struct rn_in *in, const void *x)
{
	const struct rn_val *v = &a->prog->vals[in->val], *o = &a->prog->vals[a->inst->out];
	bool segmented = a->inst->op == RN_P_SEGELEM;
	struct F(src) s = { .x = x, .stride = v->rows == 1 && (o->rows != 1 || segmented)
						      ? 0 : v->width };

	if (in->fmap != RN_NONE)
		s.map = a->idx_table[in->fmap];
	if (in->rmap != RN_NONE) {
		s.rows = a->idx_table[in->rmap];
		s.nrows = a->prog->idx[in->rmap].n;
		s.ahead = (size_t)v->rows * v->width * sizeof(real) > 256 << 10 ? 8 : 0;
		s.stride = v->width;
		s.mode = v->width == 1 && !s.map ? F(ROWS_COL) : F(ROWS);
	} else if (s.map) {
		s.mode = F(MAPPED);
	} else if (v->width == o->width) {
		s.mode = s.stride || (o->rows == 1 && !segmented) ? F(FULL) : o->width == 1 ? F(SCALAR) : F(ROW);
	} else {
		s.mode = s.stride ? F(COL) : F(SCALAR);
	}
	return s;
}

static void F(fill)(real *d, real x, uint32_t n)
{
	for (uint32_t k = 0; k < n; k++)
		d[k] = x;
}

/* Row r of a block is x[map[f]]; map NULL: x[f]. */
static void F(copy_run)(real *d, const real *x, const uint32_t *map, uint32_t n)
{
	if (!map)
		memcpy(d, x, n * sizeof *d);
	else
		for (uint32_t k = 0; k < n; k++)
			d[k] = x[map[k]];
}

/* One row, repeated: the first width numbers are made, then copied in doubling steps. */
static void F(load_row)(real *d, const struct F(src) *s, const struct F(pos) *p)
{
	uint32_t head = p->width - p->col < p->n ? p->width - p->col : p->n, have;

	F(copy_run)(d, s->map ? s->x : s->x + p->col, s->map ? s->map + p->col : NULL, head);
	have = head;
	if (have < p->n) {
		uint32_t rest = p->n - have < p->col ? p->n - have : p->col;

		F(copy_run)(d + have, s->x, s->map, rest);
		have += rest;
	}
	while (have < p->n) { /* d[0 … have) is a whole number of rows */
		uint32_t rest = p->n - have < have ? p->n - have : have;

		memcpy(d + have, d, rest * sizeof *d);
		have += rest;
	}
}

static void F(load_mapped)(real *d, const struct F(src) *s, const struct F(pos) *p)
{
	const real *x = s->x + (size_t)p->row * s->stride;
	uint32_t k = 0, f = p->col;

	while (k < p->n) {
		uint32_t run = p->width - f < p->n - k ? p->width - f : p->n - k;

		F(copy_run)(d + k, x, s->map + f, run);
		k += run;
		f = 0;
		x += s->stride;
	}
}

/* Fetch a row that will be read some rows later. */
VINLINE void F(fetch)(const struct F(src) *s, uint32_t row, uint32_t f, uint32_t n)
{
	uintptr_t at;

	if (!s->ahead || row + s->ahead >= s->nrows)
		return;
	at = (uintptr_t)s->x + ((size_t)s->rows[row + s->ahead] * s->stride + f) * sizeof *s->x;
	for (uint32_t b = 0; b < n && b < 512 / sizeof(real); b += 64 / sizeof(real))
		__builtin_prefetch((const void *)(at + b * sizeof *s->x));
}

/* Numbers f … f+run-1 of rows from anywhere. */
static void F(load_rows)(real *d, const struct F(src) *s, const struct F(pos) *p)
{
	uint32_t k = 0, f = p->col, row = p->row;

	while (k < p->n) {
		uint32_t run = p->width - f < p->n - k ? p->width - f : p->n - k, r = s->rows[row];

		F(fetch)(s, row, s->map ? 0 : f, run);
		if (r == NO_ROW)
			memset(d + k, 0, run * sizeof *d);
		else if (s->map)
			F(copy_run)(d + k, s->x + (size_t)r * s->stride, s->map + f, run);
		else
			F(copy_run)(d + k, s->x + (size_t)r * s->stride + f, NULL, run);
		k += run;
		f = 0;
		row++;
	}
}

/* The same for whole rows, in vectors: the last vector of a row is stored whole, and the next
 * rows cover what it wrote too much, but for the last rows: behind them is another register's
 * block.  w: the width, where it is known. */
VINLINE void F(load_whole)(real *d, const struct F(src) *s, const struct F(pos) *p,
			   const uint32_t w)
{
	uint32_t rows = p->n / w, full = (w - 1) / F(LANES) * F(LANES);
	F(mask) m = F(first)(w - full), none = F(first)(0);
	const real *end = d + (size_t)rows * w;

	for (uint32_t i = 0; i < rows; i++, d += w) {
		uint32_t r = s->rows[p->row + i];
		bool there = r != NO_ROW;
		const real *x = s->x + (size_t)(there ? r : 0) * w;

		F(fetch)(s, p->row + i, 0, w);
		for (uint32_t f = 0; f < full; f += F(LANES))
			F(store)(d + f, there ? F(load)(x + f) : F(set1)(0));
		if (end - d >= (ptrdiff_t)(full + F(LANES)))
			F(store)(d + full, F(load_n)(x + full, there ? m : none));
		else
			F(store_n)(d + full, m, F(load_n)(x + full, there ? m : none));
	}
}

static void F(load_whole_rows)(real *d, const struct F(src) *s, const struct F(pos) *p)
{
	switch (p->width) {
	case 16:
		F(load_whole)(d, s, p, 16);
		break;
	case 32:
		F(load_whole)(d, s, p, 32);
		break;
	case 64:
		F(load_whole)(d, s, p, 64);
		break;
	default:
		F(load_whole)(d, s, p, p->width);
		break;
	}
}

/* A number for each row, through a map or not, in vectors that cover too much likewise. */
static void F(spread)(real *d, const struct F(src) *s, const struct F(pos) *p)
{
	uint32_t k = 0, end = p->width - p->col, row = p->row;

	while (k < p->n) {
		uint32_t r = s->rows ? s->rows[row] : row;
		real v = r == NO_ROW && s->rows ? 0 : s->x[r];

		row++;
		end = end < p->n ? end : p->n;
		for (; k < end && k + F(LANES) <= p->n; k += F(LANES))
			F(store)(d + k, F(set1)(v));
		for (; k < end; k++)
			d[k] = v;
		k = end;
		end = k + p->width;
	}
}

static const real *F(load_src)(real *d, const struct F(src) *s, const struct F(pos) *p)
{
	switch (s->mode) {
	case F(FULL):
		return s->x + p->t;
	case F(SCALAR):
		F(fill)(d, *s->x, p->n);
		break;
	case F(ROW):
		F(load_row)(d, s, p);
		break;
	case F(COL):
	case F(ROWS_COL):
		F(spread)(d, s, p);
		break;
	case F(MAPPED):
		if (s->stride)
			F(load_mapped)(d, s, p);
		else
			F(load_row)(d, s, p);
		break;
	case F(ROWS):
		if (s->map || p->col || p->n % p->width)
			F(load_rows)(d, s, p);
		else
			F(load_whole_rows)(d, s, p);
		break;
	}
	return d;
}

/* Dropout: from the generator's words to 0 or 1 / (1 - p). */
static void F(load_drop)(real *d, const struct rn_kargs *a, const struct rn_drop *drop, double prob,
			 const struct F(pos) *p)
{
	uint32_t words[2048 / sizeof(real)];
	int32_t limit = (int32_t)(prob <= 0 ? 0 : prob >= 1 ? 1 << 24 : ceil(prob * 0x1p24));
	real scale = prob >= 1 ? 0 : (real)(1 / (1 - prob));
	const uint32_t *row = drop->row == RN_NONE ? NULL : a->idx_table[drop->row];

	if (drop->col != RN_NONE)
		philox_sparse(words, drop->key.k, a->epoch, row ? row + p->t : NULL,
			      (uint32_t)p->t, a->idx_table[drop->col] + p->t, p->n);
	else
		philox_dense(words, drop->key.k, a->epoch, row, p->row, p->col, p->width, p->n);
	for (uint32_t k = 0; k < p->n; k++)
		d[k] = (int32_t)(words[k] >> 8) >= limit ? scale : 0;
}

#define EACH(expr)                                                                                \
	INDEPENDENT for (uint32_t k = 0; k < n; k++)                                     \
	{                                                                                         \
		real x = a[k];                                                                    \
		d[k] = (expr);                                                                    \
	}                                                                                         \
	break
#define EACH2(expr)                                                                               \
	INDEPENDENT for (uint32_t k = 0; k < n; k++)                                     \
	{                                                                                         \
		real x = a[k], y = b[k];                                                          \
		d[k] = (expr);                                                                    \
	}                                                                                         \
	break

static void F(step1)(enum rn_ew fn, real *d, const real *a, uint32_t n)
{
	switch (fn) {
	case RN_EW_NEG:
		EACH(-x);
	case RN_EW_EXP:
		EACH(F(exp)(x));
	case RN_EW_LOG:
		EACH(F(log)(x));
	case RN_EW_LOG1P:
		EACH(F(log1p)(x));
	case RN_EW_SQRT:
		EACH(F(root)(x));
	case RN_EW_ABS:
		EACH(F(abs)(x));
	case RN_EW_SIGN:
		EACH(x > 0 ? 1 : x < 0 ? -1 : x);
	case RN_EW_ROUND:
		EACH(F(round)(x));
	case RN_EW_TANH:
		EACH(F(tanh)(x));
	case RN_EW_SIGMOID:
		EACH(F(sigmoid)(x));
	case RN_EW_ERF:
		EACH(F(erf)(x));
	case RN_EW_RELU:
		EACH(x <= 0 ? 0 : x);
	case RN_EW_POS:
		EACH(x > 0 ? 1 : 0);
	default:
		break;
	}
}

static void F(step2)(enum rn_ew fn, real *d, const real *a, const real *b, uint32_t n)
{
	switch (fn) {
	case RN_EW_ADD:
		EACH2(x + y);
	case RN_EW_SUB:
		EACH2(x - y);
	case RN_EW_MUL:
		EACH2(x * y);
	case RN_EW_DIV:
		EACH2(x / y);
	case RN_EW_POW:
		EACH2(F(pow)(x, y));
	case RN_EW_MAX:
		EACH2(x >= y || x != x ? x : y);
	case RN_EW_MIN:
		EACH2(x <= y || x != x ? x : y);
	case RN_EW_EQ:
		EACH2(x == y ? 1 : 0);
	case RN_EW_LT:
		EACH2(x < y ? 1 : 0);
	case RN_EW_LE:
		EACH2(x <= y ? 1 : 0);
	default:
		break;
	}
}

static void F(step3)(enum rn_ew fn, real *d, const real *a, const real *b, const real *c,
		     uint32_t n)
{
	if (fn == RN_EW_SELECT) {
		INDEPENDENT for (uint32_t k = 0; k < n; k++)
		{
			real x = b[k], y = c[k];

			d[k] = a[k] != 0 ? x : y;
		}
	} else {
		INDEPENDENT for (uint32_t k = 0; k < n; k++) d[k] = F(fused)(a[k], b[k], c[k]);
	}
}

/* One block of one step; returns where the register's numbers are. */
static const real *F(step)(const struct rn_kargs *a, const struct rn_elem *m,
			   const struct rn_elem_step *s, const struct F(src) *src,
			   const real *const *reg, real *d, const struct F(pos) *p)
{
	switch (s->fn) {
	case RN_EW_LOAD:
		return F(load_src)(d, &src[s->a], p);
	case RN_EW_IMM:
		F(fill)(d, (real)s->imm, p->n);
		return d;
	case RN_EW_DROPMASK:
		F(load_drop)(d, a, &m->drops[s->drop], s->imm, p);
		return d;
	default:
		break;
	}
	if (rn_ew_info[s->fn].arity == 1)
		F(step1)(s->fn, d, reg[s->a], p->n);
	else if (rn_ew_info[s->fn].arity == 2)
		F(step2)(s->fn, d, reg[s->a], reg[s->b], p->n);
	else
		F(step3)(s->fn, d, reg[s->a], reg[s->b], reg[s->c], p->n);
	return d;
}

static void F(elem_part)(const struct rn_kargs *a, const struct rn_elem *m, uint32_t part)
{
	_Alignas(64) real store[RN_ELEM_REGS][F(BLOCK)];
	const real *reg[RN_ELEM_REGS];
	struct F(src) src[RN_MAX_IN];
	const struct rn_val *o = &a->prog->vals[a->inst->out];
	uint64_t size = elem_part_size(m), total = (uint64_t)o->rows * o->width;
	uint64_t t = part * size, end = total - t < size ? total : t + size;
	real *out = a->out;
	uint32_t last = 0;

	for (uint32_t k = 0; k < a->inst->nin; k++)
		src[k] = F(src_of)(a, &a->inst->in[k], a->in[k]);
	for (uint32_t k = 0; k < m->nsteps; k++)
		last = m->steps[k].dst == m->result ? k : last;
	for (; t < end; t += F(BLOCK)) {
		struct F(pos) p = { .t = t, .width = o->width };

		p.row = (uint32_t)(t / o->width);
		p.col = (uint32_t)(t % o->width);
		p.n = end - t < F(BLOCK) ? (uint32_t)(end - t) : (uint32_t)F(BLOCK);
		for (uint32_t k = 0; k < m->nsteps; k++) {
			const struct rn_elem_step *s = &m->steps[k];

			reg[s->dst] =
			    F(step)(a, m, s, src, reg, k == last ? out + t : store[s->dst], &p);
		}
		if (reg[m->result] != out + t)
			memcpy(out + t, reg[m->result], p.n * sizeof *out);
	}
}

static void F(run_elem)(const struct rn_kargs *a, uint32_t part)
{
	F(elem_part)(a, &a->inst->elem, part);
}

/* A single function is a program of loads and one step. */
static void F(run_ew)(const struct rn_kargs *a, uint32_t part)
{
	struct rn_elem_step steps[4];
	struct rn_drop drop = a->inst->drop;
	struct rn_elem m = { .steps = steps, .drops = &drop, .ndrops = 1 };

	single_step(a->inst, &m);
	F(elem_part)(a, &m, part);
}

/* ---- sums over segments of a program's rows -------------------------------------------- */

/* What a row costs, in bytes that could be copied instead. */
static uint32_t F(parts_segelem)(const struct rn_kargs *a)
{
	const struct rn_val *o = out_of(a);
	double terms = o->rows ? (double)(a->idx[0][o->rows] - a->idx[0][0]) : 0;
	uint32_t cost = 1 + a->inst->nin;

	for (uint32_t k = 0; k < a->inst->elem.nsteps; k++)
		cost += ew_cost(a->inst->elem.steps[k].fn) / 4;
	return parts_for((terms * cost + o->rows) * ((double)sizeof(real) * o->width + 16), o->rows);
}

/* A run of features of segments that are summed one after the other. */
struct F(segsum) {
	const uint32_t *ptr;
	real *out;
	uint32_t seg, stop;  /* the segment that the next row belongs to, and the end of its chunk */
	uint32_t width, col, n; /* of the result; the features of this run */
	const real *w;          /* weights, or NULL; of term k: w[wi[k]], w[k] */
	const uint32_t *wi;
	bool first;             /* no chunk of this segment was stored yet */
	_Alignas(64) real acc[F(BLOCK) + F(LANES)];
};

/* The chunk's sum goes to the result. */
static void F(segsum_store)(struct F(segsum) *s)
{
	real *out = s->out + (size_t)s->seg * s->width + s->col;

	if (s->first)
		memcpy(out, s->acc, s->n * sizeof *out);
	else
		for (uint32_t f = 0; f < s->n; f++)
			out[f] += s->acc[f];
	memset(s->acc, 0, s->n * sizeof *s->acc);
	s->first = false;
}

/* Term k begins: chunks and segments that end before it are stored. */
static void F(segsum_open)(struct F(segsum) *s, uint32_t k, uint32_t nsegs)
{
	while (k == s->stop) {
		F(segsum_store)(s);
		if (k == s->ptr[s->seg + 1]) {
			s->first = true;
			if (++s->seg == nsegs)
				return;
		}
		s->stop = s->ptr[s->seg + 1] - k > CHUNK_TERMS ? k + CHUNK_TERMS
							       : s->ptr[s->seg + 1];
	}
}

/* Rows k … to-1 of the program, n numbers each, from x on: features f … of all of them. */
VINLINE void F(segsum_cols)(struct F(segsum) *s, const real *x, uint32_t k, uint32_t to, uint32_t f,
			    const unsigned nv, F(mask) m, const bool weighted)
{
	F(vec) acc[4];

#pragma GCC unroll 4
	for (unsigned v = 0; v < nv; v++)
		acc[v] = F(load)(s->acc + f + v * F(LANES));
	for (x += f; k < to; k++, x += s->n) {
		F(vec) w = F(set1)(weighted ? s->w[s->wi ? s->wi[k] : k] : 0);

#pragma GCC unroll 4
		for (unsigned v = 0; v < nv; v++) {
			F(vec) y = v + 1 < nv ? F(load)(x + v * F(LANES))
					      : F(load_n)(x + v * F(LANES), m);

			acc[v] = weighted ? F(madd)(w, y, acc[v]) : F(plus)(acc[v], y);
		}
	}
#pragma GCC unroll 4
	for (unsigned v = 0; v < nv; v++)
		F(store)(s->acc + f + v * F(LANES), acc[v]);
}

VINLINE void F(segsum_add)(struct F(segsum) *s, const real *x, uint32_t k, uint32_t to,
			   const bool weighted)
{
	uint32_t f = 0;

	for (; f + 4 * F(LANES) <= s->n; f += 4 * F(LANES))
		F(segsum_cols)(s, x, k, to, f, 4, F(first)(F(LANES)), weighted);
	for (; f + F(LANES) <= s->n; f += F(LANES))
		F(segsum_cols)(s, x, k, to, f, 1, F(first)(F(LANES)), weighted);
	if (f < s->n)
		F(segsum_cols)(s, x, k, to, f, 1, F(first)(s->n - f), weighted);
}

/* Width 1: one sum after the other. */
static void F(segsum_narrow)(struct F(segsum) *s, const real *x, uint32_t k, uint32_t to)
{
	real acc = s->acc[0];

	for (; k < to; k++, x++)
		acc = s->w ? F(fma)(s->w[s->wi ? s->wi[k] : k], *x, acc) : acc + *x;
	s->acc[0] = acc;
}

/* Rows k … k+rows-1 of the program lie in x. */
static void F(segsum_rows)(struct F(segsum) *s, const real *x, uint32_t k, uint32_t rows,
			   uint32_t nsegs)
{
	for (uint32_t end = k + rows, to; k < end; x += (size_t)(to - k) * s->n, k = to) {
		F(segsum_open)(s, k, nsegs);
		to = s->stop < end ? s->stop : end;
		if (s->width == 1)
			F(segsum_narrow)(s, x, k, to);
		else if (s->w)
			F(segsum_add)(s, x, k, to, true);
		else
			F(segsum_add)(s, x, k, to, false);
	}
}

/* Features col … col+n-1 of the segments of a part; whole rows where the result is narrow. */
static void F(segelem_tile)(const struct rn_kargs *a, const struct F(src) *src, struct range r,
			    struct F(segsum) *s)
{
	_Alignas(64) real store[RN_ELEM_REGS][F(BLOCK)];
	const struct rn_elem *m = &a->inst->elem;
	uint32_t k = a->idx[0][r.from], end = a->idx[0][r.to];
	uint32_t step = s->n == s->width ? (uint32_t)F(BLOCK) / s->n : 1;
	const real *reg[RN_ELEM_REGS];

	s->seg = (uint32_t)r.from;
	s->first = true;
	memset(s->acc, 0, s->n * sizeof *s->acc);
	s->stop = a->idx[0][r.from + 1] - k > CHUNK_TERMS ? k + CHUNK_TERMS : a->idx[0][r.from + 1];
	for (; k < end; k += step) {
		uint32_t rows = end - k < step ? end - k : step;
		struct F(pos) p = { .t = (uint64_t)k * s->width + s->col, .row = k, .col = s->col,
				    .n = rows * s->n, .width = s->width };

		for (uint32_t i = 0; i < m->nsteps; i++) {
			const struct rn_elem_step *t = &m->steps[i];

			reg[t->dst] = F(step)(a, m, t, src, reg, store[t->dst], &p);
		}
		F(segsum_rows)(s, reg[m->result], k, rows, (uint32_t)r.to);
	}
	F(segsum_open)(s, end, (uint32_t)r.to);
}

/* A product (sum, difference) of two rows needs no block: each row is read once, into
 * registers.  By far the most frequent program: a join of two relations under a sum. */
struct F(pair) {
	const struct F(src) *x, *y;
	const uint32_t *ptr;
	real *out;
	uint32_t width;
	uint8_t fn;
};

VINLINE F(vec) F(pair_load)(const struct F(src) *s, uint32_t row, uint32_t f, F(mask) m)
{
	bool there = !s->rows || row != NO_ROW;

	return F(load_n)(s->x + (size_t)(there ? row : 0) * s->stride + f, there ? m : F(first)(0));
}

VINLINE void F(pair_terms)(const struct F(pair) *s, uint32_t k, uint32_t to, uint32_t f,
			   const unsigned nv, F(mask) m, const uint8_t fn, F(vec) acc[4])
{
	F(mask) all = F(first)(F(LANES));

	for (; k < to; k++) {
		uint32_t i = s->x->rows ? s->x->rows[k] : k, j = s->y->rows ? s->y->rows[k] : k;

		F(fetch)(s->x, k, f, nv * F(LANES));
		F(fetch)(s->y, k, f, nv * F(LANES));
#pragma GCC unroll 4
		for (unsigned v = 0; v < nv; v++) {
			uint32_t at = f + v * F(LANES);
			F(vec) x = F(pair_load)(s->x, i, at, v + 1 < nv ? all : m);
			F(vec) y = F(pair_load)(s->y, j, at, v + 1 < nv ? all : m);

			acc[v] = F(plus)(acc[v], fn == RN_EW_MUL   ? x * y
						 : fn == RN_EW_ADD ? x + y : x - y);
		}
	}
}

VINLINE void F(pair_tile)(const struct F(pair) *s, uint32_t seg, uint32_t f, const unsigned nv,
			  F(mask) m, const uint8_t fn)
{
	uint32_t k = s->ptr[seg], end = s->ptr[seg + 1];
	real *out = s->out + (size_t)seg * s->width + f;
	bool first = true;

	do {
		uint32_t stop = end - k > CHUNK_TERMS ? k + CHUNK_TERMS : end;
		F(vec) acc[4] = { F(set1)(0), F(set1)(0), F(set1)(0), F(set1)(0) };

		F(pair_terms)(s, k, stop, f, nv, m, fn, acc);
#pragma GCC unroll 4
		for (unsigned v = 0; v < nv; v++) {
			F(mask) w = v + 1 < nv ? F(first)(F(LANES)) : m;
			real *o = out + v * F(LANES);

			F(store_n)(o, w, first ? acc[v] : F(plus)(F(load_n)(o, w), acc[v]));
		}
		k = stop;
		first = false;
	} while (k < end);
}

VINLINE void F(pair_cols)(const struct F(pair) *s, struct range r, uint32_t f, const unsigned nv,
			  F(mask) m)
{
	for (uint64_t seg = r.from; seg < r.to; seg++)
		if (s->fn == RN_EW_MUL)
			F(pair_tile)(s, (uint32_t)seg, f, nv, m, RN_EW_MUL);
		else if (s->fn == RN_EW_ADD)
			F(pair_tile)(s, (uint32_t)seg, f, nv, m, RN_EW_ADD);
		else
			F(pair_tile)(s, (uint32_t)seg, f, nv, m, RN_EW_SUB);
}

/* Is the program fn(load, load) of whole rows? */
static bool F(is_pair)(const struct rn_kargs *a, const struct F(src) *src, struct F(pair) *out)
{
	const struct rn_elem *m = &a->inst->elem;
	const struct rn_elem_step *t = m->steps;

	if (m->nsteps != 3 || a->inst->nin != 2 || a->inst->flags & RN_F_WEIGHTED ||
	    t[0].fn != RN_EW_LOAD || t[1].fn != RN_EW_LOAD || out_of(a)->width == 1 ||
	    (t[2].fn != RN_EW_MUL && t[2].fn != RN_EW_ADD && t[2].fn != RN_EW_SUB) ||
	    t[2].a == t[2].b)
		return false;
	for (unsigned k = 0; k < 2; k++)
		if ((src[k].mode != F(FULL) && src[k].mode != F(ROWS)) || src[k].map)
			return false;
	*out = (struct F(pair)){ .fn = t[2].fn, .ptr = a->idx[0], .out = a->out,
				 .width = out_of(a)->width };
	out->x = &src[t[2].a == t[0].dst ? t[0].a : t[1].a];
	out->y = &src[t[2].b == t[0].dst ? t[0].a : t[1].a];
	return true;
}

static void F(run_pair)(const struct F(pair) *s, struct range r)
{
	uint32_t f = 0, w = s->width;

	for (; f + 4 * F(LANES) <= w; f += 4 * F(LANES))
		F(pair_cols)(s, r, f, 4, F(first)(F(LANES)));
	for (; f + 2 * F(LANES) <= w; f += 2 * F(LANES))
		F(pair_cols)(s, r, f, 2, F(first)(F(LANES)));
	for (; f < w; f += F(LANES))
		F(pair_cols)(s, r, f, 1, F(first)(w - f < F(LANES) ? w - f : (uint32_t)F(LANES)));
}

static void F(run_segelem)(const struct rn_kargs *a, uint32_t part)
{
	const struct rn_val *o = out_of(a);
	struct range r = segment_range(a->idx[0], o->rows, F(parts_segelem)(a), part);
	struct F(src) src[RN_MAX_IN];
	struct F(segsum) s = { .ptr = a->idx[0], .out = a->out, .width = o->width };
	struct F(pair) pair;

	if (r.from >= r.to)
		return;
	for (uint32_t k = 0; k < a->inst->nin; k++)
		src[k] = F(src_of)(a, &a->inst->in[k], a->in[k]);
	if (F(is_pair)(a, src, &pair)) {
		F(run_pair)(&pair, r);
		return;
	}
	if (a->inst->flags & RN_F_WEIGHTED) {
		s.w = src[a->inst->nin - 1].x;
		s.wi = src[a->inst->nin - 1].rows;
	}
	for (s.col = 0; s.col < o->width; s.col += s.n) {
		s.n = o->width - s.col < F(BLOCK) ? o->width - s.col : (uint32_t)F(BLOCK);
		F(segelem_tile)(a, src, r, &s);
	}
}
#undef EACH
#undef EACH2
