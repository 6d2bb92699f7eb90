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
};

struct F(src) {
	enum F(mode) mode;
	const real *x;
	const uint32_t *map;
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
	struct F(src) s = { .x = x, .stride = v->rows == 1 && o->rows != 1 ? 0 : v->width };

	if (in->fmap != RN_NONE) {
		s.mode = F(MAPPED);
		s.map = a->idx_table[in->fmap];
	} else if (v->width == o->width) {
		s.mode = s.stride || o->rows == 1 ? F(FULL) : o->width == 1 ? F(SCALAR) : F(ROW);
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

static void F(load_col)(real *d, const struct F(src) *s, const struct F(pos) *p)
{
	const real *x = s->x + p->row;
	uint32_t k = 0, end = p->width - p->col;

	while (k < p->n) {
		real v = *x++;

		end = end < p->n ? end : p->n;
		for (; k < end; k++)
			d[k] = v;
		end = k + p->width;
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
		F(load_col)(d, s, p);
		break;
	case F(MAPPED):
		if (s->stride)
			F(load_mapped)(d, s, p);
		else
			F(load_row)(d, s, p);
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
#undef EACH
#undef EACH2
