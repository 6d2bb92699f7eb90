/* SPDX-License-Identifier: Apache-2.0
 *
 * Embedding expressions: values, shapes, sparseness, parameter names.
 * Everything is evaluated in double on the CPU and compared with numbers that
 * were worked out by hand (or with PyTorch's definitions in a calculator).
 */
#include "emb_run.h"

#include "../../lib/base/str.h"

#include <math.h>

/* The relation's columns and the parts. */
static void whole_schema(const struct rn_rel *r, struct rn_schema *s)
{
	struct rn_shape d2 = { 1, { 2 } }, d1 = { 1, { 1 } }, d22 = { 2, { 2, 2 } }, d4 = { 1, { 4 } };
	struct rn_err e = { 0 };

	T_CALL(rn_schema_copy(&r->schema, s, &e), &e);
	T_CALL(rn_schema_add_part(s, "h", &d2, false, &e), &e);
	T_CALL(rn_schema_add_part(s, "a", &d1, false, &e), &e);
	T_CALL(rn_schema_add_part(s, "m", &d22, false, &e), &e);
	T_CALL(rn_schema_add_part(s, "s", &d4, true, &e), &e);
}

/* ---- values ------------------------------------------------------------------------- */

/* shape, '*' for sparse; the numbers of the three rows; parameters asked for. */
static const struct {
	const char *text, *shape, *values, *params;
} good[] = {
	/* operators and precedence */
	{ "h", "[2]", "1 -2 0.5 3 0 4", "" },
	{ "2 + 3 * 4", "[1]", "14 14 14", "" },
	{ "-2 ** 2", "[1]", "-4 -4 -4", "" },
	{ "2 ** 3 ** 2", "[1]", "512 512 512", "" },
	{ "2 ** -1 * a", "[1]", "1 -.5 .25", "" },
	{ "-a * a", "[1]", "-4 -1 -.25", "" },
	{ "10 - 2 - 3", "[1]", "5 5 5", "" },
	{ "16 / 4 / 2 == 2", "[1]", "1 1 1", "" },
	{ "a == 2", "[1]", "1 0 0", "" },
	{ "a != 2", "[1]", "0 1 1", "" },
	{ "a < 0.5", "[1]", "0 1 0", "" },
	{ "a <= 0.5", "[1]", "0 1 1", "" },
	{ "a > 0.5", "[1]", "1 0 0", "" },
	{ "a >= 0.5", "[1]", "1 0 1", "" },
	{ "(a + 1) * 2", "[1]", "6 0 3", "" },
	{ "True + a", "[1]", "3 0 1.5", "" },
	{ "`h` * a", "[2]", "2 -4 -.5 -3 0 2", "" },
	/* alignment from the left */
	{ "a * h", "[2]", "2 -4 -.5 -3 0 2", "" },
	{ "h * m", "[2,2]", "1 2 -6 -8 0 -.5 3 0 0 0 0 8", "" },
	{ "a + m", "[2,2]", "3 4 5 6 -1 -2 0 -1 2.5 .5 .5 2.5", "" },
	{ "1 / (a * a)", "[1]", ".25 1 4", "" },
	/* matrices */
	{ "h @ m", "[1,2]", "-5 -6 3 -.5 0 8", "" },
	{ "m @ h", "[2,1]", "-3 -5 -3 .5 0 8", "" },
	{ "h @ transpose(h)", "[1,1]", "5 9.25 16", "" },
	{ "view(1)(h @ transpose(h))", "[1]", "5 9.25 16", "" },
	{ "transpose(h) @ transpose(transpose(h))", "[2,2]", "1 -2 -2 4 .25 1.5 1.5 9 0 0 0 16", "" },
	{ "h @ h", "[1,1]", "5 9.25 16", "" },
	{ "h @ Tensor(2, 3, init=\"ones\")", "[3]", "-1 -1 -1 3.5 3.5 3.5 4 4 4", "st.weight[2,3]" },
	{ "m @ Tensor(2, 1, 2.0)", "[2,1]", "6 14 -2 2 4 4", "st.weight[2,1]" },
	{ "s @ Tensor(4, 1, 2.0)", "[1]", "4 0 4", "st.weight[4,1]" },
	/* shapes */
	{ "transpose(h)", "[2,1]", "1 -2 .5 3 0 4", "" },
	{ "transpose(m)", "[2,2]", "1 3 2 4 0 1 -1 0 2 0 0 2", "" },
	{ "view(4)(m)", "[4]", "1 2 3 4 0 -1 1 0 2 0 0 2", "" },
	{ "view(m, 4, 1)", "[4,1]", "1 2 3 4 0 -1 1 0 2 0 0 2", "" },
	{ "view(1, -1)(h)", "[1,2]", "1 -2 .5 3 0 4", "" },
	{ "view(4/2)(h)", "[2]", "1 -2 .5 3 0 4", "" },
	{ "unsqueeze(h, 1)", "[1,2]", "1 -2 .5 3 0 4", "" },
	{ "unsqueeze(-1)(h)", "[2,1]", "1 -2 .5 3 0 4", "" },
	{ "slice(1, 2)(h)", "[1]", "-2 3 4", "" },
	{ "slice(1, 2)(m)", "[1,2]", "3 4 1 0 0 2", "" },
	{ "slice(-2, -1)(h)", "[1]", "1 .5 0", "" },
	{ "Concat(a, h)", "[3]", "2 1 -2 -1 .5 3 .5 0 4", "" },
	{ "Concat()(h, 7)", "[3]", "1 -2 7 .5 3 7 0 4 7", "" },
	/* functions */
	{ "sqrt(abs(a) * 2)", "[1]", "2 1.4142135623730951 1", "" },
	{ "sqrt(16) * a", "[1]", "8 -4 2", "" },
	{ "log(exp(a))", "[1]", "2 -1 .5", "" },
	{ "log1p(a + 1)", "[1]", "1.3862943611198906 0 .9162907318741551", "" },
	{ "sign(h)", "[2]", "1 -1 1 1 0 1", "" },
	{ "round(h * 1.5)", "[2]", "2 -3 1 4 0 6", "" },
	{ "clamp(h, -1, 3)", "[2]", "1 -1 .5 3 0 3", "" },
	{ "minimum(h, a)", "[2]", "1 -2 -1 -1 0 .5", "" },
	{ "maximum(h, 0.5)", "[2]", "1 .5 .5 3 .5 4", "" },
	{ "pow(a, 3)", "[1]", "8 -1 .125", "" },
	{ "a ** 2", "[1]", "4 1 .25", "" },
	{ "rowsum(h)", "[1]", "-1 3.5 4", "" },
	{ "rowmean(m)", "[1]", "2.5 0 1", "" },
	{ "rowmax(h)", "[1]", "1 3 4", "" },
	{ "dot(h, h)", "[1]", "5 9.25 16", "" },
	{ "ArgMax(h)", "[1]", "0 1 1", "" },
	{ "ArgMax()(h)", "[1]", "0 1 1", "" },
	/* activations */
	{ "ReLU(h)", "[2]", "1 0 .5 3 0 4", "" },
	{ "ReLU()(h)", "[2]", "1 0 .5 3 0 4", "" },
	{ "LeakyReLU(0.2)(h)", "[2]", "1 -.4 .5 3 0 4", "" },
	{ "LeakyReLU(h, negative_slope=0.5)", "[2]", "1 -1 .5 3 0 4", "" },
	{ "ELU(h)", "[2]", "1 -.8646647167633873 .5 3 0 4", "" },
	{ "Tanh()(a)", "[1]", ".9640275800758169 -.7615941559557649 .46211715726000973", "" },
	{ "Sigmoid()(a)", "[1]", ".8807970779778823 .2689414213699951 .6224593312018546", "" },
	{ "GELU()(a)", "[1]", "1.9544997361036416 -.15865525393145707 .34573123063700656", "" },
	{ "GELU(approximate=\"tanh\")(a)", "[1]",
	  "1.954597694087775 -.15880800939172324 .34571400982514394", "" },
	{ "SiLU()(a)", "[1]", "1.7615941559557646 -.2689414213699951 .3112296656009273", "" },
	{ "Softplus()(a)", "[1]", "2.1269280110429727 .31326168751822286 .9740769841801067", "" },
	{ "Softplus(2, 1)(a)", "[1]", "2 .06346400552148625 .6566308437591114", "" },
	{ "Softmax()(h)", "[2]", ".9525741268224334 .04742587317756678 .07585818002124355 "
				 ".9241418199787566 .01798620996209156 .9820137900379085", "" },
	{ "Softmax(1)(view(2, 2)(view(4)(m)))", "[2,2]",
	  ".11920292202211755 .11920292202211755 .8807970779778824 .8807970779778824 "
	  ".2689414213699951 .2689414213699951 .7310585786300049 .7310585786300049 "
	  ".8807970779778824 .11920292202211755 .11920292202211755 .8807970779778824", "" },
	{ "LogSoftmax(dim=-1)(h)", "[2]", "-.04858735157374196 -3.048587351573742 "
					  "-2.5788897342925496 -.07888973429254956 "
					  "-4.0181499279178094 -.018149927917809736", "" },
	{ "Identity()(h)", "[2]", "1 -2 .5 3 0 4", "" },
	{ "Dropout(0)(h)", "[2]", "1 -2 .5 3 0 4", "" },
	{ "Dropout(1)(h)", "[2]", "0 0 0 0 0 0", "" },
	/* layers: weights are 0.1, 0.2, … */
	{ "Linear(2, 2)(h)", "[2]", "-.4 -.4 1.05 1.5 1.3 1.8", "st.weight[2,2] st.bias[2]" },
	{ "Linear(2, 2, False)(h)", "[2]", "-.5 -.6 .95 1.3 1.2 1.6", "st.weight[2,2]" },
	{ "Linear(2, 1, bias=False, init=\"ones\")(h)", "[1]", "-1 3.5 4", "st.weight[2,1]" },
	{ "Linear(2, 1)(m)", "[2,1]", ".6 1.2 -.1 .2 .3 .5", "st.weight[2,1] st.bias[1]" },
	{ "Linear(4, 2)(s)", "[2]", ".3 .6 .1 .2 .3 .6", "st.weight[4,2] st.bias[2]" },
	{ "Linear(1, 1, False)(Linear(2, 1, False)(h))", "[1]", "-.03 .065 .08",
	  "st.linear1.weight[2,1] st.linear2.weight[1,1]" },
	{ "Linear(1, 1, False)(a) + Tensor(1, 2.5)", "[1]", "2.7 2.4 2.55",
	  "st.linear1.weight[1,1] st.tensor1.weight[1]" },
	{ "Linear(1, 1, False, name=\"K\")(a) + Linear(1, 1, False, name=\"K\")(a)", "[1]",
	  ".4 -.2 .1", "K.weight[1,1]" },
	{ "Tensor(1, 3)", "[3]", "0 0 0 0 0 0 0 0 0", "st.weight[3]" },
	{ "Tensor(4/2, 1)", "[2,1]", "0 0 0 0 0 0", "st.weight[2,1]" },
	{ "Tensor(1, -1.5) * a", "[1]", "-3 1.5 -.75", "st.weight[1]" },
	{ "LayerNorm(2)(h)", "[2]", ".9999977777851 -.9999977777851 -.9999968000153599 "
				    ".9999968000153599 -.9999987500023437 .9999987500023437",
	  "st.weight[2] st.bias[2]" },
	{ "Bilinear(2, 1, 1, False)(h, a)", "[1]", "-.6 -.65 .4", "st.weight[2,1,1]" },
	{ "Embedding(4, 2)([i])", "[2]", ".3 .4 .5 .6 .7 .8", "st.weight[4,2]" },
	{ "NodeLookup(4, 1, True)([i])", "[1]", ".2 .3 .4", "st.weight[4,1]" },
	/* columns */
	{ "[i]", "[1]", "1 2 3", "" },
	{ "[f]", "[1]", "0 0 1", "" },
	{ "[i, b, at]", "[3]", "1 1 0 2 0 2.5 3 1 5", "" },
	{ "[i, null()(f)] * 2", "[2]", "2 0 4 2 6 0", "" },
	{ "[null(f, i), numeric(i, scale=none)]", "[3]", "0 0 1 1 0 2 0 0 3", "" },
	{ "[index(4)(i)]", "[4]*", "0 1 0 0 0 0 1 0 0 0 0 1", "" },
	{ "rowsum([index(i, 4), b, text(2)(text)])", "[1]", "2 1 2", "" },
	{ "[u.d] * [v.d]", "[1]", "1 0 3", "" },
	{ "1 / sqrt([i] * [u.d])", "[1]", "1 .5 .3333333333333333", "" },
	/* sparse: * where it stays so */
	{ "s", "[4]*", "0 3 0 -1 0 0 0 0 2 0 0 0", "" },
	{ "relu(s)", "[4]*", "0 3 0 0 0 0 0 0 2 0 0 0", "" },
	{ "-abs(s) / 2", "[4]*", "0 -1.5 0 -.5 0 0 0 0 -1 0 0 0", "" },
	{ "2 * s * a", "[4]*", "0 12 0 -4 0 0 0 0 2 0 0 0", "" },
	{ "s / clamp(rowsum(s), 1, 1e9)", "[4]*", "0 1.5 0 -.5 0 0 0 0 1 0 0 0", "" },
	{ "s * Tensor(1, 4, init=\"ones\")", "[4]*", "0 3 0 -1 0 0 0 0 2 0 0 0", "st.weight[4]" },
	{ "s * view(4)(m)", "[4]*", "0 6 0 -4 0 0 0 0 4 0 0 0", "" },
	{ "s + s * 2", "[4]*", "0 9 0 -3 0 0 0 0 6 0 0 0", "" },
	{ "s * s", "[4]*", "0 9 0 1 0 0 0 0 4 0 0 0", "" },
	{ "s ** 2", "[4]*", "0 9 0 1 0 0 0 0 4 0 0 0", "" },
	{ "LeakyReLU(0.5)(s)", "[4]*", "0 3 0 -.5 0 0 0 0 2 0 0 0", "" },
	{ "clamp(s, -.5, 2)", "[4]*", "0 2 0 -.5 0 0 0 0 2 0 0 0", "" },
	{ "maximum(s, -.5)", "[4]*", "0 3 0 -.5 0 0 0 0 2 0 0 0", "" },
	{ "Dropout(0)(s)", "[4]*", "0 3 0 -1 0 0 0 0 2 0 0 0", "" },
	{ "Identity(s)", "[4]*", "0 3 0 -1 0 0 0 0 2 0 0 0", "" },
	{ "s + 1", "[4]", "1 4 1 0 1 1 1 1 3 1 1 1", "" },
	{ "1 - s", "[4]", "1 -2 1 2 1 1 1 1 -1 1 1 1", "" },
	{ "s + view(4)(m)", "[4]", "1 5 3 3 0 -1 1 0 4 0 0 2", "" },
	{ "maximum(s, 1)", "[4]", "1 3 1 1 1 1 1 1 2 1 1 1", "" },
	{ "exp(s) - exp(s)", "[4]", "0 0 0 0 0 0 0 0 0 0 0 0", "" },
	{ "rowsum(s)", "[1]", "2 0 2", "" },
	{ "rowmean(s)", "[1]", ".5 0 .5", "" },
	{ "rowmax(s)", "[1]", "3 0 2", "" },
	{ "dot(s, view(4)(m))", "[1]", "2 0 4", "" },
	{ "Concat(s, a)", "[5]", "0 3 0 -1 2 0 0 0 0 -1 2 0 0 0 .5", "" },
};

static bool same_values(const struct run *r, const char *want)
{
	uint32_t n = 0;
	char *end;

	for (const char *s = want; *s; s = end + (*end == ' '), n++) {
		double x = strtod(s, &end);

		/* float32 constants such as 0.044715 are exact in double runs */
		if (n >= r->n || !(fabs(r->x[n] - x) <= 1e-12 * (1 + fabs(x))))
			return false;
	}
	return n == r->n;
}

static void test_values(const struct rn_rel *rel)
{
	struct rn_schema schema;

	whole_schema(rel, &schema);
	for (size_t k = 0; k < sizeof good / sizeof *good; k++) {
		struct rn_err e = { 0 };
		struct rn_str shape = RN_STR_INIT, got = RN_STR_INIT;
		struct rn_lpart part[4];
		struct rn_einfo info;
		struct rn_eexpr *x;
		struct run r;
		int rc;

		run_begin(&r);
		parts(&r.p, part, &e);
		rc = compute(&r, good[k].text, rel, true, part, 4, 0, &e);
		if (rc) {
			T_OK(false, "%s: %s", good[k].text, e.msg);
			run_end(&r);
			continue;
		}
		rn_shape_print(&r.out.shape, &shape);
		rn_str_add(&shape, r.out.sparse ? "*" : "");
		for (uint32_t i = 0; i < r.n; i++)
			rn_str_addf(&got, " %.17g", r.x[i]);
		T_OK(!strcmp(shape.s, good[k].shape), "%s has shape %s, found %s", good[k].text,
		     good[k].shape, shape.s);
		T_OK(same_values(&r, good[k].values), "%s is %s, found%s", good[k].text,
		     good[k].values, got.s);
		T_OK(!strcmp(r.names.s, good[k].params), "%s asks for '%s', found '%s'",
		     good[k].text, good[k].params, r.names.s);
		T_CALL(rn_eexpr_parse(good[k].text, &x, &e), &e);
		T_CALL(rn_eexpr_infer(x, &schema, &info, &e), &e);
		T_OK(rn_shape_equal(&info.shape, &r.out.shape) && info.sparse == r.out.sparse,
		     "%s is inferred", good[k].text);
		T_OK(rn_eexpr_has_params(x) == !!*good[k].params, "%s: parameters", good[k].text);
		rn_eexpr_free(x);
		rn_str_fini(&shape);
		rn_str_fini(&got);
		run_end(&r);
	}
	rn_schema_fini(&schema);
}

/* ---- the rest ----------------------------------------------------------------------- */

static void collect(void *arg, const char *col)
{
	rn_str_addf(arg, "%s ", col);
}

static void test_facts(void)
{
	static const struct {
		const char *text;
		enum rn_agg agg;
	} aggs[] = {
		{ "sum(a * h)", RN_AGG_SUM }, { "add(h)", RN_AGG_SUM },	 { "mean(h)", RN_AGG_MEAN },
		{ "avg(h)", RN_AGG_MEAN },    { "max(h)", RN_AGG_MAX },	 { "min(h)", RN_AGG_MIN },
		{ "a * h", RN_AGG_NONE },     { "(sum(h))", RN_AGG_SUM },
	};
	struct rn_str cols = RN_STR_INIT;
	struct rn_err e = { 0 };
	static const struct {
		const char *text;
		bool yes;
	} spans[] = {
		{ "sum(softmax(h))", true },
		{ "mean(2 * CrossEntropyLoss(weight=[1, 2])(h, [i]) + 1)", true },
		{ "avg(NLLLoss([1, 2])(h, [i]))", true },
		{ "mean(CrossEntropyLoss(ignore_index=-1)(h, [i]))", true },
		{ "sum(CrossEntropyLoss(weight=[1, 2])(h, [i]))", false },
		{ "mean(CrossEntropyLoss(label_smoothing=0.1)(h, [i]))", false },
		{ "mean(CrossEntropyLoss(None, ignore_index=None)(h, [i]))", false },
		{ "mean(BCELoss(weight=2)(h, [i]))", false },
	};
	struct rn_eexpr *x;

	for (size_t k = 0; k < sizeof aggs / sizeof *aggs; k++) {
		T_CALL(rn_eexpr_parse(aggs[k].text, &x, &e), &e);
		T_OK(rn_eexpr_take_agg(x) == aggs[k].agg, "aggregate of %s", aggs[k].text);
		T_OK(rn_eexpr_take_agg(x) == RN_AGG_NONE, "it is taken off %s", aggs[k].text);
		rn_eexpr_free(x);
	}
	T_CALL(rn_eexpr_parse("softmax([s.d] + rowsum([a, b]); t, u) * Dropout(0.5)(h)", &x, &e), &e);
	rn_eexpr_columns(x, collect, &cols);
	T_OK(!strcmp(cols.s, "t u s.d a b "), "columns: %s", cols.s);
	T_OK(rn_eexpr_has_random(x) && !rn_eexpr_has_params(x) && rn_eexpr_spans_rows(x),
	     "facts of an expression");
	rn_eexpr_free(x);
	rn_str_fini(&cols);
	for (size_t k = 0; k < sizeof spans / sizeof *spans; k++) {
		T_CALL(rn_eexpr_parse(spans[k].text, &x, &e), &e);
		T_OK(rn_eexpr_spans_rows(x) == spans[k].yes, "rows of %s depend on others: %d", spans[k].text,
		     spans[k].yes);
		rn_eexpr_take_agg(x);
		T_OK(rn_eexpr_spans_rows(x) == spans[k].yes, "so do those of what it is of");
		rn_eexpr_free(x);
	}
}

static void test_inits(void)
{
	static const struct {
		const char *name;
		enum rn_init kind;
		double arg;
	} inits[] = {
		{ "glorot", RN_INIT_XAVIER_UNIFORM, 0 },
		{ "xavier_uniform_", RN_INIT_XAVIER_UNIFORM, 0 },
		{ "xavier_normal", RN_INIT_XAVIER_NORMAL, 0 },
		{ "kaiming_uniform", RN_INIT_KAIMING_UNIFORM, 0 },
		{ "kaiming_normal_", RN_INIT_KAIMING_NORMAL, 0 },
		{ "trunc_normal_", RN_INIT_TRUNC_NORMAL, 1 },
		{ "trunc_normal(0.02)", RN_INIT_TRUNC_NORMAL, 0.02 },
		{ "orthogonal_", RN_INIT_ORTHOGONAL, 1 }, { "orthogonal(2)", RN_INIT_ORTHOGONAL, 2 },
		{ "eye", RN_INIT_EYE, 0 },
		{ "zeros", RN_INIT_FILL, 0 }, { "ones", RN_INIT_FILL, 1 },
		{ "constant(0.5)", RN_INIT_FILL, 0.5 },
		{ "normal(0.02)", RN_INIT_NORMAL, 0.02 },
		{ "uniform(0.1)", RN_INIT_UNIFORM, 0.1 }, { "default", RN_INIT_DEFAULT, 0 },
	};
	struct rn_err e = { 0 };
	enum rn_init kind;
	double arg;

	for (size_t k = 0; k < sizeof inits / sizeof *inits; k++) {
		arg = -1;
		T_OK(!rn_init_parse(inits[k].name, &kind, &arg, &e) && kind == inits[k].kind &&
			     arg == inits[k].arg, "initialiser %s", inits[k].name);
	}
	T_OK(rn_init_parse("zeros(3)", &kind, &arg, &e) == RN_EUSAGE, "zeros takes no number");
	T_OK(rn_init_parse("normal(x)", &kind, &arg, &e) == RN_EUSAGE, "normal takes a number");
	T_OK(rn_init_parse("normal(1", &kind, &arg, &e) == RN_EUSAGE, "an open parenthesis");
}

/* Parts behind a row map, with a missing row. */
static void test_maps(const struct rn_rel *rel)
{
	static const uint32_t map[ROWS] = { 2, UINT32_MAX, 0 };
	static const struct {
		const char *text, *values;
		bool sparse;
	} cases[] = {
		{ "h", "0 4 0 0 1 -2", false },	      { "h + h * a", "0 12 0 0 1.5 -3", false },
		{ "s", "2 0 0 0 0 0 0 0 0 3 0 -1", true }, { "rowsum(s) * a", "4 0 1", false },
		{ "s + s", "4 0 0 0 0 0 0 0 0 6 0 -2", true },
	};

	for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
		struct rn_err e = { 0 };
		struct rn_lpart part[4];
		struct run r;

		run_begin(&r);
		parts(&r.p, part, &e);
		part[0].map = part[3].map = rn_prog_idx_copy(&r.p, map, ROWS, &e);
		T_CALL(compute(&r, cases[k].text, rel, false, part, 4, 0, &e), &e);
		T_OK(r.out.sparse == cases[k].sparse && same_values(&r, cases[k].values),
		     "%s of mapped rows", cases[k].text);
		run_end(&r);
	}
}

/* The sparse mask is the dense one where values stand; each dropout draws its own. */
static void test_dropout(const struct rn_rel *rel)
{
	struct rn_err e = { 0 };
	struct rn_lpart part[4];
	struct rn_rng_key key = rn_rng_key("st", 7), key2 = rn_rng_key("st.dropout2", 7);
	struct run r;
	bool same = true;

	run_begin(&r);
	parts(&r.p, part, &e);
	T_CALL(compute(&r, "Dropout(0.4)(s)", rel, true, part, 4, 5, &e), &e);
	T_OK(r.out.sparse, "dropout keeps sparsity");
	for (uint32_t i = 0; i < ROWS; i++)
		for (uint32_t k = s_ptr[i]; k < s_ptr[i + 1]; k++) {
			double kept = rn_rng_uniform(key, i, s_col[k], 5) >= 0.4f;

			same = same && fabs(r.x[i * 4 + s_col[k]] - s_data[k] * kept / 0.6) < 1e-6;
		}
	T_OK(same, "sparse dropout draws by row and column");
	run_end(&r);
	run_begin(&r);
	parts(&r.p, part, &e);
	T_CALL(compute(&r, "Dropout(0.5)(h * 0 + 1) + 10 * Dropout(0.5)(h * 0 + 1)", rel, true, part,
		       4, 2, &e), &e);
	same = true;
	for (uint32_t i = 0; i < ROWS; i++)
		for (uint32_t f = 0; f < 2; f++)
			same = same &&
			       r.x[i * 2 + f] == 2 * (rn_rng_uniform(key, i, f, 2) >= 0.5f) +
							 20 * (rn_rng_uniform(key2, i, f, 2) >= 0.5f);
	T_OK(same, "two dropouts draw by their own names");
	run_end(&r);
	run_begin(&r);
	parts(&r.p, part, &e);
	T_CALL(compute(&r, "Dropout(0.5)(h)", rel, false, part, 4, 2, &e), &e);
	T_OK(same_values(&r, "1 -2 .5 3 0 4"), "dropout outside training is nothing");
	run_end(&r);
}

/* Widths that depend on data: what can be known of the result, and what is wrong anyway. */
static void test_unknown(const struct rn_rel *rel)
{
	static const struct {
		const char *text, *shape; /* NULL: an error */
	} rows[] = {
		{ "z", "[?]" }, { "relu(z) * 2 + z", "[?]" }, { "z * a", "[?]" }, { "z * h", "[2]" },
		{ "h + z", "[2]" }, { "z * m", "[2,2]" }, { "Linear(9, 4)(z)", "[4]" },
		{ "LayerNorm(3)(z)", "[3]" }, { "Concat(z, h)", "[?]" }, { "Concat(h, a)", "[3]" },
		{ "rowsum(z) * rowmax(z)", "[1]" }, { "Softmax(z)", "[?]" }, { "view(2, 3)(z)", "[2,3]" },
		{ "view(2, -1)(z)", "[2,?]" }, { "transpose(z)", "[?,1]" }, { "dot(z, h)", "[1]" },
		{ "slice(1, 3)(z)", "[2]" }, { "slice(1, -1)(z)", "[?]" }, { "unsqueeze(1)(z)", "[1,?]" },
		{ "transpose(view(2, -1)(z))", "[?,2]" }, { "z @ Tensor(5, 3)", "[3]" },
		{ "h @ transpose(z)", "[1,1]" }, { "y", "[?]" }, { "Linear(9, 4)(y)", "[4]" },
		{ "y / clamp(rowsum(y), 1, 9)", "[?]" }, { "y + z", "[?]" }, { "Dropout(0.5)(y)", "[?]" },
		{ "Bilinear(3, 2, 5)(z, h)", "[5]" }, { "z + q", NULL }, { "h + s", NULL },
		{ "Linear(9, 4)(h) + z", NULL }, { "view(7)(h) * z", NULL },
	};
	struct rn_shape open = { 1, { RN_DIM_UNKNOWN } };
	struct rn_schema schema;
	struct rn_err e = { 0 };

	whole_schema(rel, &schema);
	T_CALL(rn_schema_add_part(&schema, "z", &open, false, &e), &e);
	T_CALL(rn_schema_add_part(&schema, "y", &open, true, &e), &e);
	for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
		struct rn_str got = RN_STR_INIT;
		struct rn_einfo info;
		struct rn_eexpr *x;
		int rc;

		T_CALL(rn_eexpr_parse(rows[k].text, &x, &e), &e);
		rc = rn_eexpr_infer(x, &schema, &info, &e);
		if (!rc)
			rn_shape_print(&info.shape, &got);
		T_OK(rc == (rows[k].shape ? 0 : RN_EUSAGE) &&
			     (rc || !strcmp(got.s, rows[k].shape)),
		     "%s of unknown widths: %s", rows[k].text, rc ? e.msg : got.s);
		rn_str_fini(&got);
		rn_eexpr_free(x);
	}
	rn_schema_fini(&schema);
}

/* A sole part is also `z`; an expression over no rows. */
static void test_names(const struct rn_rel *rel)
{
	struct rn_err e = { 0 };
	struct rn_lpart part[4];
	struct rn_rel *none;
	struct run r;

	run_begin(&r);
	parts(&r.p, part, &e);
	T_CALL(compute(&r, "z * 2", rel, false, part, 1, 0, &e), &e);
	T_OK(same_values(&r, "2 -4 1 6 0 8"), "z is the sole part");
	run_end(&r);
	run_begin(&r);
	T_OK(compute(&r, "z", rel, false, NULL, 0, 0, &e) == RN_EUSAGE &&
		     strstr(e.msg, "there is no embedding 'z': the input has none"), "no part at all");
	run_end(&r);
	T_CALL(rn_rel_new("none", 0, &none, &e), &e);
	run_begin(&r);
	part[0] = (struct rn_lpart){ .name = part[0].name, .ptr = RN_NONE, .col = RN_NONE,
				     .map = RN_NONE, .shape = { 1, { 2 } } };
	part[0].val = constant(&r.p, h_data, 0, 1, 2, 1, &e);
	T_CALL(compute(&r, "Linear(2, 3)(z) * Tensor(1, 2.0) + 1", none, true, part, 1, 0, &e), &e);
	T_OK(r.out.base_rows == 0 && r.n == 0, "an expression over no rows");
	run_end(&r);
	rn_rel_unref(none);
}

int main(void)
{
	struct rn_rel *rel = relation();

	test_values(rel);
	test_unknown(rel);
	test_facts();
	test_inits();
	test_maps(rel);
	test_dropout(rel);
	test_names(rel);
	rn_rel_unref(rel);
	return t_done();
}
