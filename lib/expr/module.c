/* SPDX-License-Identifier: Apache-2.0
 *
 * Functions of the embedding language: looking them up, checking what
 * configures them, and the language's own ones.  Layers with PyTorch's names
 * are in module_net.c.
 */
#include "emb_ast.h"

#include "../base/num.h"
#include "../base/str.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the table ---------------------------------------------------------------------- */

/* Function i of the whole table; NULL behind the last. */
static const struct rn_efunc *nth(size_t i)
{
	if (i < rn_nefuncs_plain)
		return &rn_efuncs_plain[i];
	i -= rn_nefuncs_plain;
	if (i < rn_nefuncs_net)
		return &rn_efuncs_net[i];
	i -= rn_nefuncs_net;
	return i < rn_nefuncs_loss ? &rn_efuncs_loss[i] : NULL;
}

const struct rn_efunc *rn_efunc_find(const char *name)
{
	const struct rn_efunc *f;

	for (size_t i = 0; (f = nth(i)); i++)
		if (!strcmp(f->name, name))
			return f;
	return NULL;
}

/* Edit distance without regard to case; names here are short. */
static unsigned distance(const char *a, const char *b)
{
	enum { MAX = 32 };
	unsigned row[MAX + 1];
	size_t na = strlen(a), nb = strlen(b);

	if (na > MAX || nb > MAX)
		return UINT32_MAX;
	for (size_t j = 0; j <= nb; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= na; i++) {
		unsigned diag = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= nb; j++) {
			unsigned sub = diag + (tolower((unsigned char)a[i - 1]) !=
					       tolower((unsigned char)b[j - 1]));

			diag = row[j];
			row[j] = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
			row[j] = sub < row[j] ? sub : row[j];
		}
	}
	return row[nb];
}

void rn_efunc_suggest(const char *name, struct rn_str *out)
{
	unsigned best = strlen(name) > 4 ? 2 : 1, n = 0;
	const struct rn_efunc *f;

	for (size_t i = 0; (f = nth(i)); i++)
		if (distance(name, f->name) < best)
			best = distance(name, f->name);
	for (size_t i = 0; (f = nth(i)); i++)
		if (distance(name, f->name) == best)
			rn_str_addf(out, "%s'%s'", n++ ? " or " : "; did you mean ", f->name);
	rn_str_add(out, n ? "?" : "");
}

/* ---- configuration ------------------------------------------------------------------ */

static bool is_float_literal(const struct rn_enode *n)
{
	if (n->kind == RN_E_NEG)
		return is_float_literal(n->args[0]);
	return n->kind == RN_E_NUM && n->is_float;
}

static int bad_arg(const struct rn_eexpr *x, const struct rn_enode *call,
		   const struct rn_enode *arg, const struct rn_eargdecl *d, struct rn_err *e)
{
	static const char *const what[] = {
		[RN_A_SIZE] = "a whole number, 1 or more",
		[RN_A_INT] = "a whole number",
		[RN_A_NUM] = "a number",
		[RN_A_FLAG] = "True or False",
		[RN_A_STR] = "a string",
		[RN_A_SIZES] = "whole numbers, 1 or more",
		[RN_A_COL] = "the name of a content column",
		[RN_A_NUMS] = "numbers: 2, or [1, 2.5]",
	};

	char value[RN_NUM_MAX + 8] = "";
	double v;

	if ((d->type == RN_A_SIZE || d->type == RN_A_INT || d->type == RN_A_SIZES) &&
	    rn_enode_number(arg, &v)) {
		memcpy(value, ", not ", 6);
		value[6 + rn_float64_format(v, value + 6)] = '\0';
		if (fabs(v) >= 0x1p31)
			return rn_eexpr_fail(x, arg, e, "'%s' of %s must be %s, and less than 2147483648%s",
					     d->name, call->fn->name, what[d->type], value);
	}
	if (arg->kind == RN_E_STR)
		return rn_eexpr_fail(x, arg, e, "'%s' of %s must be %s, not '%s'", d->name, call->fn->name,
				     what[d->type], arg->str);
	return rn_eexpr_fail(x, arg, e, "'%s' of %s must be %s%s", d->name, call->fn->name,
			     what[d->type], value);
}

static int bind_one(const struct rn_eexpr *x, const struct rn_enode *call,
		    const struct rn_enode *n, const struct rn_eargdecl *d, struct rn_earg *a,
		    struct rn_err *e)
{
	bool number = rn_enode_number(n, &a->num), whole;

	whole = number && fabs(a->num) < 0x1p31 && rint(a->num) == a->num;
	a->node = n;
	if (n->kind == RN_E_NONE && !d->required)
		return 0;
	a->given = true;
	a->str = n->kind == RN_E_STR ? n->str : NULL;
	switch (d->type) {
	case RN_A_SIZE:
		number = whole && a->num >= 1;
		break;
	case RN_A_INT:
		number = whole;
		break;
	case RN_A_FLAG:
		number = number && (a->num == 0 || a->num == 1);
		break;
	case RN_A_COL:
		if (n->kind == RN_E_NAME)
			a->str = n->str;
		number = a->str != NULL;
		break;
	case RN_A_STR:
		number = a->str != NULL;
		break;
	case RN_A_SIZES: /* view(-1): that size is found out */
		number = whole && (a->num >= 1 || a->num == -1) && a->n <= RN_MAX_RANK;
		if (number)
			a->size[a->n++] = a->num < 0 ? 0 : (uint32_t)a->num;
		break;
	case RN_A_NUMS:
		number = number || n->kind == RN_E_LIST;
		break;
	case RN_A_NUM:
	case RN_A_END:
		break;
	}
	return number ? 0 : bad_arg(x, call, n, d, e);
}

uint32_t rn_earg_count(const struct rn_earg *a)
{
	return !a->given ? 0 : a->node->kind == RN_E_LIST ? a->node->nargs : 1;
}

double rn_earg_num(const struct rn_earg *a, uint32_t i)
{
	double x = a->num;

	if (a->node->kind == RN_E_LIST && !rn_enode_number(a->node->args[i], &x))
		return NAN; /* the parser has seen to it */
	return x;
}

/* The declared argument that a keyword means. */
static int find_keyword(const struct rn_eexpr *x, const struct rn_enode *n, uint32_t i,
			uint32_t ndecl, uint32_t *out, struct rn_err *e)
{
	const struct rn_eargdecl *decl = n->fn->cfg;
	struct rn_str s = RN_STR_INIT;
	int rc;

	for (*out = 0; *out < ndecl; ++*out)
		if (!strcmp(decl[*out].name, n->kw[i]))
			return 0;
	for (uint32_t k = 0; k < ndecl; k++)
		rn_str_addf(&s, "%s%s", k ? ", " : " (it has ", decl[k].name);
	rc = rn_eexpr_fail(x, n->cfg[i], e, "%s has no argument '%s'%s%s", n->fn->name, n->kw[i],
			   s.s, ndecl ? ")" : "");
	rn_str_fini(&s);
	return rc;
}

int rn_efunc_bind(const struct rn_eexpr *x, const struct rn_enode *n,
		  struct rn_earg cfg[RN_A_MAX], struct rn_err *e)
{
	const struct rn_eargdecl *decl = n->fn->cfg;
	uint32_t ndecl = 0, at = 0, d;
	bool keyword = false;

	memset(cfg, 0, RN_A_MAX * sizeof *cfg);
	for (; decl && decl[ndecl].type != RN_A_END; ndecl++)
		cfg[ndecl].num = decl[ndecl].def;
	for (uint32_t i = 0; i < n->ncfg; i++) {
		if (n->kw[i]) {
			keyword = true;
			RN_TRY(find_keyword(x, n, i, ndecl, &d, e));
			if (cfg[d].node && decl[d].type != RN_A_SIZES)
				return rn_eexpr_fail(x, n->cfg[i], e, "'%s' is given twice",
						     decl[d].name);
		} else {
			if (keyword)
				return rn_eexpr_fail(x, n->cfg[i], e,
						     "an argument without a name after one with");
			if (at < ndecl && decl[at].type == RN_A_SIZES &&
			    is_float_literal(n->cfg[i]))
				at++;
			d = at;
			if (at >= ndecl)
				return rn_eexpr_fail(x, n->cfg[i], e, "%s takes at most %u "
						     "argument%s", n->fn->name, ndecl,
						     ndecl == 1 ? "" : "s");
			at += decl[at].type != RN_A_SIZES;
		}
		RN_TRY(bind_one(x, n, n->cfg[i], &decl[d], &cfg[d], e));
	}
	for (d = 0; d < ndecl; d++)
		if (decl[d].required && !cfg[d].given)
			return rn_eexpr_fail(x, n, e, "%s needs '%s'", n->fn->name, decl[d].name);
	return 0;
}

/* ---- elementwise functions ---------------------------------------------------------- */

static double fold1(enum rn_ew fn, double x)
{
	switch (fn) {
	case RN_EW_EXP: return exp(x);
	case RN_EW_LOG: return log(x);
	case RN_EW_LOG1P: return log1p(x);
	case RN_EW_SQRT: return sqrt(x);
	case RN_EW_ABS: return fabs(x);
	case RN_EW_SIGN: return (x > 0) - (x < 0);
	case RN_EW_ROUND: return rint(x);
	case RN_EW_TANH: return tanh(x);
	case RN_EW_SIGMOID: return 1 / (1 + exp(-x));
	case RN_EW_ERF: return erf(x);
	case RN_EW_RELU: return x > 0 ? x : 0;
	default: return NAN;
	}
}

RN_LOWER(lower_ew1)
{
	enum rn_ew fn = (enum rn_ew)n->fn->how;
	uint32_t v;

	if (a[0].kind == RN_LV_NUM) {
		*out = rn_elv_num(fold1(fn, a[0].num));
		return 0;
	}
	RN_VAL(&v, rn_prog_ew1(l->p, fn, a[0].val, e));
	*out = rn_elv_dense(v, a[0].one);
	return 0;
}

RN_LOWER(lower_ew2)
{
	return rn_elower_ew2(l, (enum rn_ew)n->fn->how, &a[0], &a[1], out, e);
}

/* clamp(z, lo, hi) = min(max(z, lo), hi) */
RN_LOWER(lower_clamp)
{
	struct rn_elv x;

	RN_TRY(rn_elower_ew2(l, RN_EW_MAX, &a[0], &a[1], &x, e));
	return rn_elower_ew2(l, RN_EW_MIN, &x, &a[2], out, e);
}

/* ---- sums over features ------------------------------------------------------------- */

static uint32_t width_of(const struct rn_elower *l, const struct rn_elv *a)
{
	return a->kind == RN_LV_SPARSE ? a->width : l->p->vals[a->val].width;
}

RN_LOWER(lower_rowsum)
{
	return rn_elower_rowsum(l, a, out, e);
}

RN_LOWER(lower_rowmean)
{
	uint32_t width = width_of(l, a);

	RN_TRY(rn_elower_rowsum(l, a, out, e));
	RN_VAL(&out->val, rn_prog_ew_imm(l->p, RN_EW_DIV, out->val, width, false, e));
	return 0;
}

/* rowmax, argmax: one number of a row. */
RN_LOWER(lower_rowmax)
{
	struct rn_inst i = rn_inst_init((enum rn_prim)n->fn->how);
	uint32_t one = 1, v;

	i.nin = 1;
	i.in[0].val = a[0].val;
	RN_VAL(&v, rn_prog_add(l->p, &i, l->p->vals[a[0].val].rows, 1, &one, e));
	*out = rn_elv_dense(v, a[0].one);
	return 0;
}

RN_LOWER(lower_dot)
{
	struct rn_elv x;

	if (width_of(l, &a[0]) != width_of(l, &a[1]) && width_of(l, &a[0]) != RN_DIM_UNKNOWN &&
	    width_of(l, &a[1]) != RN_DIM_UNKNOWN)
		return rn_err_set(e, RN_EUSAGE,
				  "dot takes two embeddings of the same width, not %u and %u",
				  width_of(l, &a[0]), width_of(l, &a[1]));
	RN_TRY(rn_elower_ew2(l, RN_EW_MUL, &a[0], &a[1], &x, e));
	return rn_elower_rowsum(l, &x, out, e);
}

/* ---- shapes ------------------------------------------------------------------------- */

RN_LOWER(lower_view)
{
	struct rn_earg s = cfg[0];
	uint64_t width = 1;
	uint32_t have = l->p->vals[a[0].val].width, v;
	int open = -1;

	if (s.n > RN_MAX_RANK)
		return rn_err_set(e, RN_EUSAGE, "view: at most %d sizes", RN_MAX_RANK);
	for (uint32_t i = 0; i < s.n; i++)
		if (!s.size[i] && open >= 0)
			return rn_err_set(e, RN_EUSAGE, "view: only one size may be -1");
		else if (!s.size[i])
			open = (int)i;
		else if (width <= have)
			width *= s.size[i];
	if (have == RN_DIM_UNKNOWN) {
		; /* it will be seen when it is known; an open size stays unknown */
	} else if (open >= 0 && width && have % width == 0) {
		s.size[open] = have / (uint32_t)width;
		width = have;
	}
	if (width != have && have != RN_DIM_UNKNOWN)
		return rn_err_set(e, RN_EUSAGE, "view: an embedding of %u numbers cannot be seen "
						"in the given shape", have);
	RN_TRY(rn_elower_reshape(l, a[0].val, s.n, s.size, &v, e));
	*out = rn_elv_dense(v, a[0].one);
	return 0;
}

/* out feature f reads map[f]. */
static int take_features(struct rn_elower *l, const struct rn_elv *a, const uint32_t *map,
			 uint32_t rank, const uint32_t *dim, struct rn_elv *out, struct rn_err *e)
{
	uint32_t v;

	RN_VAL(&v, rn_prog_features(l->p, a->val, map, rank, dim, e));
	*out = rn_elv_dense(v, a->one);
	return 0;
}

/* [d] -> [d,1]; else the last two dimensions change places. */
RN_LOWER(lower_transpose)
{
	struct rn_val v = l->p->vals[a[0].val];
	uint32_t rows, cols, *map, x;
	int rc;

	if (v.rank < 2) {
		RN_TRY(rn_elower_reshape(l, a[0].val, 2, (uint32_t[]){ v.width, 1 }, &x, e));
		*out = rn_elv_dense(x, a[0].one);
		return 0;
	}
	rows = v.dim[v.rank - 2];
	cols = v.dim[v.rank - 1];
	RN_TRY(rn_calloc(v.width, sizeof *map, "a transpose", &map, e));
	for (uint32_t f = 0; f < v.width; f++) {
		uint32_t block = f / (rows * cols), in = f % (rows * cols);

		map[f] = block * rows * cols + in % rows * cols + in / rows;
	}
	v.dim[v.rank - 2] = cols;
	v.dim[v.rank - 1] = rows;
	rc = take_features(l, a, map, v.rank, v.dim, out, e);
	free(map);
	return rc;
}

/* unsqueeze(z, dim): as PyTorch, the row is dimension 0. */
RN_LOWER(lower_unsqueeze)
{
	struct rn_val v = l->p->vals[a[0].val];
	uint32_t dim[RN_MAX_RANK + 1], rank = 0, x;
	double d = cfg[0].num;

	if (d < 0)
		d += v.rank + 2;
	if (d < 1 || d > v.rank + 1 || v.rank == RN_MAX_RANK)
		return rn_err_set(e, RN_EUSAGE, "unsqueeze: a new dimension can stand at 1 to %u "
						"(the row is 0) of at most %d",
				  v.rank + 1, RN_MAX_RANK);
	for (uint32_t i = 0; i <= v.rank; i++) {
		if (i == (uint32_t)d - 1)
			dim[rank++] = 1;
		if (i < v.rank)
			dim[rank++] = v.dim[i];
	}
	RN_TRY(rn_elower_reshape(l, a[0].val, rank, dim, &x, e));
	*out = rn_elv_dense(x, a[0].one);
	return 0;
}

/* slice(from, to)(z): along the first feature dimension. */
RN_LOWER(lower_slice)
{
	struct rn_val v = l->p->vals[a[0].val];
	uint32_t first = v.rank ? v.dim[0] : 1, from, inner, *map;
	double lo = cfg[0].num, hi = cfg[1].num;
	int rc;

	if (first == RN_DIM_UNKNOWN || v.width == RN_DIM_UNKNOWN) {
		v.rank = v.rank ? v.rank : 1;
		v.dim[0] = (lo < 0) == (hi < 0) && hi > lo ? (uint32_t)(hi - lo) : RN_DIM_UNKNOWN;
		RN_TRY(rn_elower_reshape(l, a[0].val, v.rank, v.dim, &from, e));
		*out = rn_elv_dense(from, a[0].one);
		return 0;
	}
	lo += lo < 0 ? first : 0;
	hi += hi < 0 ? first : 0;
	if (lo < 0 || hi <= lo || hi > first)
		return rn_err_set(e, RN_EUSAGE, "slice(%g, %g) of a dimension of %u", cfg[0].num,
				  cfg[1].num, first);
	inner = v.width / first;
	from = (uint32_t)lo * inner;
	v.dim[0] = (uint32_t)(hi - lo);
	RN_TRY(rn_calloc((size_t)v.dim[0] * inner, sizeof *map, "a slice", &map, e));
	for (uint32_t f = 0; f < v.dim[0] * inner; f++)
		map[f] = from + f;
	rc = take_features(l, a, map, v.rank ? v.rank : 1, v.dim, out, e);
	free(map);
	return rc;
}

/* softmax(a; t): over rows; the aggregate that it stands in knows them. */
RN_LOWER(lower_softmax_rows)
{
	uint32_t v;

	if (!l->env->softmax)
		return rn_err_set(e, RN_EUSAGE, "softmax normalises over rows, which needs an "
						"aggregate around it (Softmax normalises the "
						"features of a row)");
	if (a[0].one)
		return rn_err_set(e, RN_EUSAGE,
				  "softmax of something that is the same for all rows");
	RN_TRY(l->env->softmax(l->env->rows_arg, a[0].val, n->nby, n->by, &v, e));
	*out = rn_elv_dense(v, false);
	return 0;
}

static const struct rn_eargdecl view_cfg[] = { { "sizes", RN_A_SIZES, true, 0 }, { 0 } };
static const struct rn_eargdecl dim_cfg[] = { { "dim", RN_A_INT, true, 0 }, { 0 } };
static const struct rn_eargdecl slice_cfg[] = { { "start", RN_A_INT, true, 0 },
						{ "end", RN_A_INT, true, 0 },
						{ 0 } };

#define EW1(name, fn)                                                                             \
	{ name, RN_FORM_PLAIN, 1, 1, RN_FN_EW | RN_FN_NUM, NULL, fn, lower_ew1 }
#define EW1Z(name, fn) /* 0 where its operand is */                                               \
	{ name, RN_FORM_PLAIN, 1, 1, RN_FN_EW | RN_FN_NUM | RN_FN_ZERO, NULL, fn, lower_ew1 }
#define AGG(name, agg)                                                                            \
	{ name, RN_FORM_AGG, 1, 1, 0, NULL, agg, NULL }

const struct rn_efunc rn_efuncs_plain[] = {
	EW1Z("sqrt", RN_EW_SQRT),
	EW1("exp", RN_EW_EXP),
	EW1("log", RN_EW_LOG),
	EW1Z("log1p", RN_EW_LOG1P),
	EW1Z("abs", RN_EW_ABS),
	EW1Z("round", RN_EW_ROUND),
	EW1Z("sign", RN_EW_SIGN),
	EW1Z("tanh", RN_EW_TANH),
	EW1("sigmoid", RN_EW_SIGMOID),
	EW1Z("erf", RN_EW_ERF),
	EW1Z("relu", RN_EW_RELU),
	{ "pow", RN_FORM_PLAIN, 2, 2, RN_FN_NUM | RN_FN_SPARSE, NULL, RN_EW_POW, lower_ew2 },
	{ "minimum", RN_FORM_PLAIN, 2, 2, RN_FN_NUM | RN_FN_SPARSE, NULL, RN_EW_MIN, lower_ew2 },
	{ "maximum", RN_FORM_PLAIN, 2, 2, RN_FN_NUM | RN_FN_SPARSE, NULL, RN_EW_MAX, lower_ew2 },
	{ "clamp", RN_FORM_PLAIN, 3, 3, RN_FN_NUM | RN_FN_SPARSE, NULL, 0, lower_clamp },
	{ "rowsum", RN_FORM_PLAIN, 1, 1, RN_FN_SPARSE, NULL, 0, lower_rowsum },
	{ "rowmean", RN_FORM_PLAIN, 1, 1, RN_FN_SPARSE, NULL, 0, lower_rowmean },
	{ "rowmax", RN_FORM_PLAIN, 1, 1, 0, NULL, RN_P_FMAX, lower_rowmax },
	{ "ArgMax", RN_FORM_EITHER, 1, 1, 0, NULL, RN_P_ARGMAX, lower_rowmax },
	{ "argmax", RN_FORM_PLAIN, 1, 1, 0, NULL, RN_P_ARGMAX, lower_rowmax },
	{ "dot", RN_FORM_PLAIN, 2, 2, RN_FN_SPARSE, NULL, 0, lower_dot },
	{ "view", RN_FORM_CURRIED, 1, 1, RN_FN_TORCH, view_cfg, 0, lower_view },
	{ "transpose", RN_FORM_PLAIN, 1, 1, 0, NULL, 0, lower_transpose },
	{ "unsqueeze", RN_FORM_CURRIED, 1, 1, RN_FN_TORCH, dim_cfg, 0, lower_unsqueeze },
	{ "slice", RN_FORM_CURRIED, 1, 1, RN_FN_TORCH, slice_cfg, 0, lower_slice },
	{ "softmax", RN_FORM_PLAIN, 1, 1, RN_FN_ROWS, NULL, 0, lower_softmax_rows },
	AGG("sum", RN_AGG_SUM),
	AGG("add", RN_AGG_SUM),
	AGG("mean", RN_AGG_MEAN),
	AGG("avg", RN_AGG_MEAN),
	AGG("max", RN_AGG_MAX),
	AGG("min", RN_AGG_MIN),
};
const size_t rn_nefuncs_plain = sizeof rn_efuncs_plain / sizeof *rn_efuncs_plain;
