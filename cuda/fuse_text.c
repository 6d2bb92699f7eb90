/* SPDX-License-Identifier: Apache-2.0
 *
 * An elementwise program as CUDA C.  A kernel is a struct with the phases that the loops of
 * device.cuh go through: columns(f) reads what depends on the column alone, find() row maps,
 * load() numbers, compute() does the steps.  A value of the program is an immediate,
 * one number for all V of a thread, or V numbers, and its steps are unrolled.
 *
 * In rows, the V numbers of a thread are columns of one row; flat, they are neighbours of the
 * result as one array: where its width is 1, or all operands have its own shape.
 */
#include "fuse.h"

#include "../lib/dev/prog.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* device_text.h is args.h and device.cuh as a string (cuda.mk). */
const char rn_cuda_fuse_prelude[] =
#include "device_text.h"
	;

enum src_mode {
	SRC_NONE,   /* not read */
	SRC_ALL,    /* one number for everything */
	SRC_FIXED,  /* one row for all: a number a column */
	SRC_ROW,    /* one number a row */
	SRC_VECTOR, /* V neighbours */
	SRC_SPREAD, /* V numbers from anywhere */
};

/* An operand. */
struct src {
	enum src_mode mode;
	bool mapped;       /* rows by a map */
	unsigned rmap;     /* the first operand with the same map, which is read once */
	unsigned fmap;     /* likewise; RN_NONE: no map */
	uint32_t stride;
};

enum kind { IMM, SCALAR, VECTOR };

/* What a register holds. */
struct value {
	enum kind kind;
	char text[32]; /* without "[j]" */
};

struct gen {
	const struct rn_cuda_elem *m;
	struct rn_fuse_shape *shape;
	struct rn_str *out;
	struct src src[RN_CUDA_INS];
	bool live[RN_CUDA_STEPS];
	bool drops;            /* some mask is live */
	bool drop[RN_CUDA_INS]; /* and which */
	unsigned number;
	struct value reg[RN_CUDA_REGS];
	struct value mask[RN_CUDA_STEPS]; /* of each live mask */
};

/* ---- what is read, and how --------------------------------------------------------------- */

static unsigned arity_of(const struct rn_cuda_step *s)
{
	switch (s->fn) {
	case RN_EW_IMM:
	case RN_EW_LOAD:
	case RN_EW_DROPMASK:
		return 0;
	case RN_EW_SELECT:
	case RN_EW_FMA:
		return 3;
	default:
		return s->fn >= RN_EW_ADD ? 2 : 1;
	}
}

/* Steps that the result depends on. */
static void find_live(struct gen *g)
{
	const struct rn_cuda_elem *m = g->m;
	uint32_t want = 1u << m->result;

	for (uint32_t k = m->nsteps; k-- > 0;) {
		const struct rn_cuda_step *s = &m->steps[k];
		const uint8_t operand[3] = { s->a, s->b, s->c };

		if (!(want >> s->dst & 1))
			continue;
		g->live[k] = true;
		want &= ~(1u << s->dst);
		for (unsigned i = 0; i < arity_of(s); i++)
			want |= 1u << operand[i];
		if (s->fn == RN_EW_DROPMASK)
			g->drops = g->drop[s->drop] = true;
	}
}

static bool is_loaded(const struct gen *g, unsigned k)
{
	if (g->shape->lanes && g->m->weighted && k + 1 == g->m->nin)
		return true;
	for (uint32_t i = 0; i < g->m->nsteps; i++)
		if (g->live[i] && g->m->steps[i].fn == RN_EW_LOAD && g->m->steps[i].a == k)
			return true;
	return false;
}

/* One row for all, of the result's own width, is that row where there is but one. */
static uint32_t stride_of(const struct gen *g, const struct rn_cuda_in *in)
{
	if (!in->stride && !in->one && !in->fmap && !in->rmap && !g->shape->lanes &&
	    g->m->rows == 1)
		return g->m->width;
	return in->stride;
}

/* May the result be taken as one array? */
static bool is_flat(const struct gen *g)
{
	const struct rn_cuda_elem *m = g->m;

	if (g->shape->lanes)
		return false;
	if (m->width == 1)
		return true;
	for (uint32_t k = 0; k < m->nin; k++) {
		const struct rn_cuda_in *in = &m->in[k];
		uint32_t stride = stride_of(g, in);

		if (is_loaded(g, k) && (in->rmap || in->fmap || (stride && in->one) ||
					(!in->one && stride != m->width)))
			return false;
	}
	return !g->drops;
}

static struct src src_of(const struct gen *g, unsigned k)
{
	const struct rn_cuda_elem *m = g->m;
	const struct rn_cuda_in *in = &m->in[k];
	struct src s = { .rmap = k, .fmap = RN_NONE, .mapped = in->rmap != NULL,
			 .stride = stride_of(g, in) };

	for (unsigned i = 0; i < k && in->rmap; i++)
		if (m->in[i].rmap == in->rmap && g->src[i].mode != SRC_NONE) {
			s.rmap = i;
			break;
		}
	if (in->fmap)
		s.fmap = k;
	for (unsigned i = 0; i < k && in->fmap; i++)
		if (m->in[i].fmap == in->fmap && g->src[i].mode != SRC_NONE) {
			s.fmap = i;
			break;
		}
	if (!s.stride && !s.mapped)
		s.mode = (in->one && !in->fmap) || m->width == 1 ? SRC_ALL : SRC_FIXED;
	else if (g->shape->flat)
		s.mode = s.mapped || in->fmap || (m->width == 1 && s.stride != 1) ? SRC_SPREAD
										  : SRC_VECTOR;
	else if (in->fmap && m->width > 1)
		s.mode = SRC_SPREAD;
	else
		s.mode = in->one || in->fmap || m->width == 1 ? SRC_ROW : SRC_VECTOR;
	return s;
}

static bool fits(const void *x, unsigned v)
{
	return (uintptr_t)x % (v * sizeof(float)) == 0;
}

/* Can V numbers be moved at once, wherever they lie side by side? */
static bool vector_fits(const struct gen *g, unsigned v)
{
	const struct rn_cuda_elem *m = g->m;
	bool flat = g->shape->flat;

	if ((!flat && m->width % v) || !fits(m->out, v))
		return false;
	for (unsigned k = 0; k < m->nin; k++) {
		const struct src *s = &g->src[k];
		const struct rn_cuda_in *in = &m->in[k];

		if (s->mode == SRC_NONE || s->mode == SRC_ALL || s->mode == SRC_ROW)
			continue;
		if ((flat && s->mapped && !fits(in->rmap, v)) ||
		    (!flat && s->fmap != RN_NONE && !fits(in->fmap, v)))
			return false;
		if ((s->mode == SRC_VECTOR || (s->mode == SRC_FIXED && s->fmap == RN_NONE)) &&
		    (!fits(in->x, v) || (!flat && s->stride % v)))
			return false;
	}
	for (unsigned k = 0; flat && k < RN_CUDA_INS; k++)
		if (g->drop[k] && (!fits(m->drop[k].row, v) || !fits(m->drop[k].col, v)))
			return false;
	return true;
}

/* Registers that a lane's terms take decide how many it loads at once. */
static unsigned at_once(const struct gen *g)
{
	unsigned held = 0, steps = 0;

	for (unsigned k = 0; k < g->m->nin; k++)
		if (g->src[k].mode >= SRC_ROW)
			held += g->src[k].mapped + (g->src[k].mode == SRC_ROW ? 1 : g->shape->vec);
	for (uint32_t k = 0; k < g->m->nsteps; k++)
		steps += g->live[k] && g->m->steps[k].fn != RN_EW_LOAD;
	if (held * 4 <= 48 && steps * g->shape->vec <= 48)
		return 4;
	return held * 2 <= 48 && steps * g->shape->vec <= 96 ? 2 : 1;
}

static void choose_shape(struct gen *g, bool segs)
{
	struct rn_fuse_shape *s = g->shape;

	*s = (struct rn_fuse_shape){ .vec = 4, .lanes = segs };
	s->flat = is_flat(g);
	for (unsigned k = 0; k < g->m->nin; k++)
		if (is_loaded(g, k))
			g->src[k] = src_of(g, k);
	while (s->vec > 1 && !vector_fits(g, s->vec))
		s->vec /= 2;
	if (segs) {
		s->lanes = rn_seg_layout_of(&(struct rn_cuda_segs){ 0 }, g->m->width, s->vec).lanes;
		s->at_once = at_once(g);
	}
}

/* ---- declarations and loads -------------------------------------------------------------- */

static bool own_rmap(const struct gen *g, unsigned k)
{
	const struct src *s = &g->src[k];

	return s->mode != SRC_NONE && s->mapped && s->rmap == k;
}

static bool own_fmap(const struct gen *g, unsigned k)
{
	return g->src[k].mode != SRC_NONE && g->src[k].fmap == k;
}

static bool is_vector(const struct src *s)
{
	return s->mode == SRC_VECTOR || s->mode == SRC_SPREAD;
}

/* What is held of a term (rows) or of V numbers (flat). */
static void put_held(const struct gen *g)
{
	const char *one = g->shape->flat ? "[V]" : "";

	rn_str_add(g->out, "\tstruct held {\n");
	for (unsigned k = 0; k < g->m->nin; k++) {
		if (own_rmap(g, k))
			rn_str_addf(g->out, "\t\tunsigned r%u%s;\n", k, one);
		if (g->src[k].mode == SRC_ROW || is_vector(&g->src[k]))
			rn_str_addf(g->out, "\t\tfloat x%u%s;\n", k,
				    is_vector(&g->src[k]) ? "[V]" : "");
	}
	for (unsigned k = 0; k < RN_CUDA_INS; k++) {
		if (g->drop[k] && g->m->drop[k].row)
			rn_str_addf(g->out, "\t\tunsigned d%u%s;\n", k, one);
		if (g->drop[k] && g->m->drop[k].col)
			rn_str_addf(g->out, "\t\tunsigned e%u%s;\n", k, one);
	}
	rn_str_add(g->out, "\t};\n");
}

static void put_members(const struct gen *g)
{
	bool flat = g->shape->flat;

	rn_str_add(g->out, "\tconst rn_fused &a;\n");
	if (g->drops)
		rn_str_add(g->out, "\tunsigned epoch;\n");
	for (unsigned k = 0; k < g->m->nin; k++) {
		if (own_fmap(g, k))
			rn_str_addf(g->out, "\tunsigned m%u%s;\n", k,
				    flat || g->m->width == 1 ? "" : "[V]");
		if (g->src[k].mode == SRC_ALL)
			rn_str_addf(g->out, "\tfloat c%u;\n", k);
		if (g->src[k].mode == SRC_FIXED)
			rn_str_addf(g->out, "\tfloat c%u[V];\n", k);
	}
	rn_str_addf(g->out,
		    "\t__device__ __forceinline__ rn_p%u(const rn_fused &args) : a(args)%s\n"
		    "\t{\n\t}\n", g->number, g->drops ? ", epoch(*args.epoch)" : "");
}

#define EACH "\t\tRN_UNROLL for (unsigned j = 0; j < V; j++)\n\t\t\t"

/* What depends on the column alone. */
static void put_columns(const struct gen *g)
{
	bool single = g->m->width == 1;

	rn_str_add(g->out, "\t__device__ __forceinline__ void columns(unsigned f)\n\t{\n"
			   "\t\t(void)f;\n");
	for (unsigned k = 0; k < g->m->nin; k++) {
		const struct src *s = &g->src[k];

		if (own_fmap(g, k) && single)
			rn_str_addf(g->out, "\t\tm%u = *a.fmap[%u];\n", k, k);
		else if (own_fmap(g, k))
			rn_str_addf(g->out, "\t\trn_load<V>(m%u, a.fmap[%u] + f);\n", k, k);
		if (s->mode == SRC_ALL && s->fmap != RN_NONE)
			rn_str_addf(g->out, "\t\tc%u = a.x[%u][m%u];\n", k, k, s->fmap);
		else if (s->mode == SRC_ALL)
			rn_str_addf(g->out, "\t\tc%u = *a.x[%u];\n", k, k);
		if (s->mode == SRC_FIXED && s->fmap != RN_NONE)
			rn_str_addf(g->out, EACH "c%u[j] = a.x[%u][m%u[j]];\n", k, k, s->fmap);
		else if (s->mode == SRC_FIXED)
			rn_str_addf(g->out, "\t\trn_load<V>(c%u, a.x[%u] + f);\n", k, k);
	}
	rn_str_add(g->out, "\t}\n");
}

static const char *at_type(const struct gen *g)
{
	return g->shape->flat ? "rn_u64" : "unsigned";
}

/* An index array at i, or V of it. */
static void put_index(const struct gen *g, const char *name, unsigned k, const char *array)
{
	if (g->shape->flat)
		rn_str_addf(g->out, "\t\trn_load<V>(h.%s%u, a.%s[%u] + i);\n", name, k, array, k);
	else
		rn_str_addf(g->out, "\t\th.%s%u = a.%s[%u][i];\n", name, k, array, k);
}

static void put_find(const struct gen *g)
{
	rn_str_addf(g->out, "\t__device__ __forceinline__ void find(held &h, %s i) const\n\t{\n"
			    "\t\t(void)h, (void)i;\n",
		    at_type(g));
	for (unsigned k = 0; k < g->m->nin; k++)
		if (own_rmap(g, k))
			put_index(g, "r", k, "rmap");
	for (unsigned k = 0; k < RN_CUDA_INS; k++) {
		if (g->drop[k] && g->m->drop[k].row)
			put_index(g, "d", k, "drow");
		if (g->drop[k] && g->m->drop[k].col)
			put_index(g, "e", k, "dcol");
	}
	rn_str_add(g->out, "\t}\n");
}

/* Operand k in rows: of row r, columns f … */
static void load_row(const struct gen *g, unsigned k)
{
	const struct src *s = &g->src[k];
	char row[24] = "i", col[24] = "0";

	if (s->mapped)
		snprintf(row, sizeof row, "h.r%u", s->rmap);
	if (s->fmap != RN_NONE)
		snprintf(col, sizeof col, s->mode == SRC_SPREAD ? "m%u[j]" : "m%u", s->fmap);
	if (s->mode == SRC_VECTOR && s->mapped)
		rn_str_addf(g->out, "\t\trn_load_row<V>(h.x%u, a.x[%u], %s, %uu, f);\n", k, k, row,
			    s->stride);
	else if (s->mode == SRC_VECTOR)
		rn_str_addf(g->out, "\t\trn_load<V>(h.x%u, a.x[%u] + (rn_u64)%s * %uu + f);\n", k,
			    k, row, s->stride);
	else if (s->mapped)
		rn_str_addf(g->out, "%sh.x%u%s = rn_at_row(a.x[%u], %s, %uu, %s);\n",
			    s->mode == SRC_SPREAD ? EACH : "\t\t", k,
			    s->mode == SRC_SPREAD ? "[j]" : "", k, row, s->stride, col);
	else
		rn_str_addf(g->out, "%sh.x%u%s = a.x[%u][(rn_u64)%s * %uu + %s];\n",
			    s->mode == SRC_SPREAD ? EACH : "\t\t", k,
			    s->mode == SRC_SPREAD ? "[j]" : "", k, row, s->stride, col);
}

/* Operand k of numbers i … i+V-1 of the result as one array. */
static void load_flat(const struct gen *g, unsigned k)
{
	const struct src *s = &g->src[k];
	char col[24] = "0";

	if (s->fmap != RN_NONE)
		snprintf(col, sizeof col, "m%u", s->fmap);
	if (s->mode == SRC_VECTOR)
		rn_str_addf(g->out, "\t\trn_load<V>(h.x%u, a.x[%u] + i);\n", k, k);
	else if (s->mapped)
		rn_str_addf(g->out, EACH "h.x%u[j] = rn_at_row(a.x[%u], h.r%u[j], %uu, %s);\n", k,
			    k, s->rmap, s->stride, col);
	else
		rn_str_addf(g->out, EACH "h.x%u[j] = a.x[%u][(i + j) * %uu + %s];\n", k, k,
			    s->stride, col);
}

static void put_load(const struct gen *g)
{
	rn_str_addf(g->out,
		    "\t__device__ __forceinline__ void load(held &h, %s i, unsigned f) const\n"
		    "\t{\n\t\t(void)h, (void)i, (void)f;\n",
		    at_type(g));
	for (unsigned k = 0; k < g->m->nin; k++) {
		if (g->src[k].mode < SRC_ROW)
			continue;
		if (g->shape->flat)
			load_flat(g, k);
		else
			load_row(g, k);
	}
	rn_str_add(g->out, "\t}\n");
}

/* ---- steps ------------------------------------------------------------------------------- */

static const char *const texts[RN_NEW] = {
	[RN_EW_NEG] = "-%s",
	[RN_EW_EXP] = "expf(%s)",
	[RN_EW_LOG] = "logf(%s)",
	[RN_EW_LOG1P] = "log1pf(%s)",
	[RN_EW_SQRT] = "sqrtf(%s)",
	[RN_EW_ABS] = "fabsf(%s)",
	[RN_EW_SIGN] = "rn_sign(%s)",
	[RN_EW_ROUND] = "rintf(%s)",
	[RN_EW_TANH] = "tanhf(%s)",
	[RN_EW_SIGMOID] = "rn_sigmoid(%s)",
	[RN_EW_ERF] = "erff(%s)",
	[RN_EW_RELU] = "rn_relu(%s)",
	[RN_EW_POS] = "rn_if(%s > 0.0f)",
	[RN_EW_ADD] = "%s + %s",
	[RN_EW_SUB] = "%s - %s",
	[RN_EW_MUL] = "%s * %s",
	[RN_EW_DIV] = "%s / %s",
	[RN_EW_POW] = "powf(%s, %s)",
	[RN_EW_MAX] = "rn_max(%s, %s)",
	[RN_EW_MIN] = "rn_min(%s, %s)",
	[RN_EW_EQ] = "rn_if(%s == %s)",
	[RN_EW_LT] = "rn_if(%s < %s)",
	[RN_EW_LE] = "rn_if(%s <= %s)",
	[RN_EW_SELECT] = "%s != 0.0f ? %s : %s",
	[RN_EW_FMA] = "fmaf(%s, %s, %s)",
};

/* Exact, whatever the locale. */
static void imm_text(double imm, char out[32])
{
	float x = (float)imm;
	uint32_t bits;

	memcpy(&bits, &x, sizeof bits);
	if (isfinite(x) && x == rintf(x) && fabsf(x) < 1e6f && !(x == 0 && signbit(x)))
		snprintf(out, 32, x < 0 ? "(%d.0f)" : "%d.0f", (int)x);
	else
		snprintf(out, 32, "rn_bits(0x%08xu)", bits);
}

static void operand(const struct value *v, char out[40])
{
	snprintf(out, 40, "%s%s", v->text, v->kind == VECTOR ? "[j]" : "");
}

static struct value loaded(const struct gen *g, unsigned k)
{
	const struct src *s = &g->src[k];
	bool fixed = s->mode == SRC_ALL || s->mode == SRC_FIXED;
	struct value v = { .kind = is_vector(s) || s->mode == SRC_FIXED ? VECTOR : SCALAR };

	snprintf(v.text, sizeof v.text, fixed ? "c%u" : "h.x%u", k);
	return v;
}

/* The mask of step k: V of them, or in rows with columns of their own one. */
static struct value put_mask(struct gen *g, uint32_t k)
{
	const struct rn_cuda_step *s = &g->m->steps[k];
	const struct rn_cuda_drop *d = &g->m->drop[s->drop];
	char row[24], scale_text[32];
	float scale;
	uint32_t limit = rn_cuda_drop_limit(s->imm, &scale);
	struct value v = { .kind = VECTOR };

	snprintf(v.text, sizeof v.text, "v%u", k);
	imm_text((double)scale, scale_text);
	if (g->shape->flat) {
		snprintf(row, sizeof row, d->row ? "h.d%u[j]" : "(unsigned)(i + j)", s->drop);
		rn_str_addf(g->out, "\t\tfloat v%u[V];\n" EACH, k);
		if (d->col)
			rn_str_addf(g->out, "v%u[j] = rn_drop_at(a.key[%u], %s, h.e%u[j], epoch, "
					    "%uu, %s);\n",
				    k, s->drop, row, s->drop, limit, scale_text);
		else
			rn_str_addf(g->out, "v%u[j] = rn_drop_at(a.key[%u], %s, 0, epoch, "
					    "%uu, %s);\n", k, s->drop, row, limit, scale_text);
		return v;
	}
	snprintf(row, sizeof row, d->row ? "h.d%u" : "i", s->drop);
	if (d->col) {
		v.kind = SCALAR;
		rn_str_addf(g->out, "\t\tconst float v%u = rn_drop_at(a.key[%u], %s, h.e%u, epoch, "
				    "%uu, %s);\n",
			    k, s->drop, row, s->drop, limit, scale_text);
	} else {
		rn_str_addf(g->out, "\t\tfloat v%u[V];\n\t\trn_drop<V>(v%u, a.key[%u], %s, f, "
				    "epoch, %uu, %s);\n",
			    k, k, s->drop, row, limit, scale_text);
	}
	return v;
}

/* A mask that an earlier step made is that one. */
static struct value mask_of(struct gen *g, uint32_t k)
{
	const struct rn_cuda_step *s = &g->m->steps[k];

	for (uint32_t i = 0; i < k; i++) {
		const struct rn_cuda_step *t = &g->m->steps[i];

		if (g->live[i] && t->fn == RN_EW_DROPMASK && t->drop == s->drop &&
		    t->imm == s->imm)
			return g->mask[k] = g->mask[i];
	}
	return g->mask[k] = put_mask(g, k);
}

static struct value put_math(struct gen *g, uint32_t k)
{
	const struct rn_cuda_step *s = &g->m->steps[k];
	const uint8_t reg[3] = { s->a, s->b, s->c };
	struct value v = { .kind = SCALAR };
	char x[3][40] = { "", "", "" };

	for (unsigned i = 0; i < arity_of(s); i++) {
		operand(&g->reg[reg[i]], x[i]);
		if (g->reg[reg[i]].kind == VECTOR)
			v.kind = VECTOR;
	}
	if (s->fn == RN_EW_DIV && !strcmp(x[1], "0.0f"))
		strcpy(x[1], "rn_bits(0)"); /* compilers warn of what is meant here */
	snprintf(v.text, sizeof v.text, "v%u", k);
	if (v.kind == VECTOR)
		rn_str_addf(g->out, "\t\tfloat v%u[V];\n" EACH "v%u[j] = ", k, k);
	else
		rn_str_addf(g->out, "\t\tconst float v%u = ", k);
	rn_str_addf(g->out, texts[s->fn], x[0], x[1], x[2]);
	rn_str_add(g->out, ";\n");
	return v;
}

static void put_compute(struct gen *g)
{
	char result[40];

	rn_str_addf(g->out, "\t__device__ __forceinline__ void compute(const held &h, %s i, "
			    "unsigned f, float *y) const\n\t{\n\t\t(void)h, (void)i, (void)f;\n",
		    at_type(g));
	for (uint32_t k = 0; k < g->m->nsteps; k++) {
		const struct rn_cuda_step *s = &g->m->steps[k];
		struct value v = { .kind = IMM };

		if (!g->live[k])
			continue;
		if (s->fn == RN_EW_IMM)
			imm_text(s->imm, v.text);
		else if (s->fn == RN_EW_LOAD)
			v = loaded(g, s->a);
		else if (s->fn == RN_EW_DROPMASK)
			v = mask_of(g, k);
		else
			v = put_math(g, k);
		g->reg[s->dst] = v;
	}
	operand(&g->reg[g->m->result], result);
	rn_str_addf(g->out, EACH "y[j] = %s;\n\t}\n", result);
}

/* ---- the kernel -------------------------------------------------------------------------- */

/* How device.cuh's loops use it: a row, or a term of a segment. */
static void put_use(const struct gen *g)
{
	struct value w;

	if (!g->shape->lanes) {
		rn_str_addf(g->out,
			    "\t__device__ __forceinline__ void row(%s i, unsigned f, float *y) "
			    "const\n\t{\n\t\theld h;\n\t\tfind(h, i);\n\t\tload(h, i, f);\n"
			    "\t\tcompute(h, i, f, y);\n\t}\n",
			    at_type(g));
		return;
	}
	rn_str_add(g->out, "\t__device__ __forceinline__ void add(const held &h, unsigned i, "
			   "unsigned f, float *acc) const\n\t{\n\t\tfloat y[V];\n"
			   "\t\tcompute(h, i, f, y);\n" EACH);
	if (g->m->weighted) {
		w = loaded(g, g->m->nin - 1);
		rn_str_addf(g->out, "acc[j] = fmaf(%s%s, y[j], acc[j]);\n\t}\n", w.text,
			    w.kind == VECTOR ? "[j]" : "");
	} else {
		rn_str_add(g->out, "acc[j] += y[j];\n\t}\n");
	}
}

static void put_kernel(const struct gen *g)
{
	const struct rn_fuse_shape *s = g->shape;
	unsigned n = g->number;

	rn_str_addf(g->out, "};\nextern \"C\" __global__ void __launch_bounds__(%s)\n"
			    "rn_k%u(const rn_fused a)\n{\n",
		    s->lanes ? "RN_SEG_BLOCK" : "RN_EACH_BLOCK", n);
	if (s->lanes)
		rn_str_addf(g->out, "\trn_p%u<%u> term(a);\n\trn_segsum<%u, %u>(a.g, a.out, %uu, "
				    "%u, a.terms, term);\n}\n",
			    n, s->vec, s->vec, s->at_once, g->m->width, s->lanes);
	else if (s->flat)
		rn_str_addf(g->out, "\trn_each_flat<%u, rn_p%u>(a);\n}\n", s->vec, n);
	else
		rn_str_addf(g->out, "\trn_each_row<%u, %u, rn_p%u>(a);\n}\n", g->m->width, s->vec,
			    n);
}

static bool is_sound(const struct rn_cuda_elem *m)
{
	if (!m->nsteps || m->nsteps > RN_CUDA_STEPS || m->nregs > RN_CUDA_REGS ||
	    m->nin > RN_CUDA_INS || m->result >= m->nregs || !m->width)
		return false;
	for (uint32_t k = 0; k < m->nsteps; k++)
		if (m->steps[k].fn >= RN_NEW || m->steps[k].dst >= RN_CUDA_REGS ||
		    m->steps[k].drop >= RN_CUDA_INS)
			return false;
	return true;
}

int rn_cuda_fuse_source(const struct rn_cuda_elem *m, bool segs, unsigned number,
			struct rn_fuse_shape *shape, struct rn_str *out, struct rn_err *e)
{
	struct gen g = { .m = m, .shape = shape, .out = out, .number = number };

	if (!is_sound(m))
		return rn_err_set(e, RN_EBUG, "a fused program of %u steps and width %u has no "
				  "text", m->nsteps, m->width);
	*shape = (struct rn_fuse_shape){ .lanes = segs };
	find_live(&g);
	choose_shape(&g, segs);
	rn_str_addf(out, "\ntemplate <unsigned V> struct rn_p%u {\n", number);
	put_held(&g);
	put_members(&g);
	put_columns(&g);
	put_find(&g);
	put_load(&g);
	put_compute(&g);
	put_use(&g);
	put_kernel(&g);
	return rn_str_check(out, e);
}
