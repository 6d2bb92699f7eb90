/* SPDX-License-Identifier: Apache-2.0
 *
 * Embedding expressions that are refused: with which message, and where its caret stands.
 */
#include "emb_run.h"

#include "../../lib/base/str.h"

static const struct {
	const char *text, *message;
	int caret; /* column of the caret */
} bad[] = {
	{ "", "expected a name, a number or '(', found the end of the expression", 0 },
	{ "h +", "expected a name, a number or '(', found the end of the expression", 3 },
	{ "(h", "expected ')', found the end of the expression", 2 },
	{ "h h", "expected an operator or the end of the expression, found 'h'", 2 },
	{ "h $ 2", "unexpected character", 2 },
	{ "h % 2", "'%' is a remainder of columns", 2 },
	{ "12x", "a malformed number", 0 },
	{ "\"abc", "a string that does not end", 0 },
	{ "relu(h", "expected ',' or ')', found the end of the expression", 6 },
	{ "Rellu(h)", "there is no function 'Rellu'; did you mean 'relu' or 'ReLU'?", 0 },
	{ "frobnicate(h)", "there is no function 'frobnicate'", 0 },
	{ "x", "there is no embedding 'x' (there is 'h', 'a', 'm', 's')", 0 },
	{ "1 + i", "'i' is a content column: write [i]", 4 },
	{ "relu * 2", "'relu' is a function: write relu(…)", 0 },
	{ "[nope]", "nope", 0 },
	{ "[d]", "d", 0 },
	{ "[text]", "column 'text' is a string", 0 },
	{ "[Indexx(5)(i)]", "there is no encoder 'Indexx'; did you mean 'index'?", 1 },
	{ "z + [onehot()(s)]", "a stage of its own: rn-encode 'onehot()(s)'", 4 },
	{ "[i, text(5)(s) i]", "expected ',' or ']'", 15 },
	{ "[i, text(5)(s]", "expected ',' or ')'", 13 },
	{ "[text(5)(i)]", "text wants strings, and column 'i' is int64", 0 },
	{ "[null(none)]", "no column 'none'", 0 },
	{ "[1]", "expected an embedding, found a list of numbers (Concat makes an embedding of numbers)", 0 },
	{ "h * [-1, .5]", "expected an embedding, found a list of numbers", 4 },
	{ "[1, i]", "expected a number: brackets hold columns, or numbers alone", 4 },
	{ "[1, ]", "expected a number, found ']'", 4 },
	{ "[i, 1]", "expected the name of a content column, found '1'", 4 },
	{ "h * Tensor(3, 1)", "mul: shapes [2] and [3,1] do not fit together", 2 },
	{ "h + view(4)(m)", "add: shapes [2] and [4] do not fit together", 2 },
	{ "h @ Tensor(3, 2)", "'@' multiplies matrices whose inner sizes agree, not [2] @ [3,2]", 2 },
	{ "2 @ h", "'@' multiplies matrices: write '*' for a number", 2 },
	{ "1 + Linear(3, 4)(h)", "Linear is made for 3 features and is applied to 2", 4 },
	{ "Linear(2)(h)", "Linear needs 'out_features'", 0 },
	{ "Linear(2, 0)(h)", "'out_features' of Linear must be a whole number, 1 or more", 10 },
	{ "Linear(2, 1.5)(h)", "'out_features' of Linear must be a whole number", 10 },
	{ "Linear(2, 3, maybe)(h)", "'bias' of Linear must be True or False", 13 },
	{ "Linear(2, 3, foo=1)(h)", "Linear has no argument 'foo' (it has in_features, out_features, "
				    "bias, init, name, per, bases)", 17 },
	{ "CrossEntropyLoss()(a, [i])", "CrossEntropyLoss wants a prediction of shape [classes], 2 or more", 0 },
	{ "CrossEntropyLoss()(view(4)(m), h)", "CrossEntropyLoss: the target is a class number, or 4 probabilities, "
				      "not 2 values", 0 },
	{ "CrossEntropyLoss(label_smoothing=2)(view(4)(m), [i])", "CrossEntropyLoss: label_smoothing is from 0 to 1", 0 },
	{ "CrossEntropyLoss(weight=[1, 2])(view(4)(m), [i])", "CrossEntropyLoss: weight wants a number for each of "
							       "the 4 classes, not 2", 24 },
	{ "CrossEntropyLoss(weight=4)(view(4)(m), [i])", "CrossEntropyLoss: weight wants a number for each", 24 },
	{ "CrossEntropyLoss(weight=\"a\")(view(4)(m), [i])", "'weight' of CrossEntropyLoss must be numbers: 2, or "
							     "[1, 2.5]", 24 },
	{ "NLLLoss([1, 2, 3, -4])(view(4)(m), [i])", "NLLLoss: a weight is 0 or more", 8 },
	{ "CrossEntropyLoss(ignore_index=1)(h, h)", "CrossEntropyLoss: ignore_index is a class number, and the "
						    "target is probabilities", 30 },
	{ "BCEWithLogitsLoss(pos_weight=[1, 2, 3])(h, h)", "BCEWithLogitsLoss: pos_weight wants a number, or one for "
							   "each of the 2 values of a row, not 3", 29 },
	{ "BCELoss(weight=-1)(h, h)", "BCELoss: weight is 0 or more", 15 },
	{ "MSELoss(reduction=\"sum\")(h, h)", "MSELoss: a row's loss is a mean over its features", 0 },
	{ "1 + MSELoss()(h, m)", "MSELoss: the prediction has 2 values and the target 4", 4 },
	{ "HuberLoss(delta=0)(h, h)", "HuberLoss: delta must be above 0", 0 },
	{ "MSELoss()(h)", "MSELoss takes 2 operands, not 1", 0 },
	{ "Linear(2, 3, per=none)(h)", "no column 'none'", 0 },
	{ "Linear(2, 3, per=3)(h)", "'per' of Linear must be the name of a content column", 17 },
	{ "Linear(2, 3, bases=2)(h)", "Linear: bases are of the matrices per=COL", 0 },
	{ "Linear(2, 3, per=i, bases=0)(h)", "'bases' of Linear must be a whole number, 1 or more", 26 },
	{ "Linear(2, 3, per=i)(Tensor(1, 2))", "per=i is for an embedding of each row", 0 },
	{ "Linear(2, 3, bias=True, False)(h)", "an argument without a name after one with", 24 },
	{ "Linear(2, 3, True, bias=True)(h)", "'bias' is given twice", 24 },
	{ "Linear(2, 3, init=\"foo\")(h)", "there is no initialiser 'foo' (there are default, zeros",
	  0 },
	{ "Linear(2, 3)", "Linear is a function that is made first and then applied: Linear(…)(z)",
	  0 },
	{ "Linear(2, 3)(h, a)", "Linear takes 1 operand, not 2", 0 },
	{ "ReLU(1, 2)(h)", "ReLU takes at most 1 argument", 8 },
	{ "ReLU(h)(h)(h)", "expected an operator or the end of the expression, found '('", 10 },
	{ "Tensor(2)(h)", "Tensor(…) is a value, not a function", 9 },
	{ "sqrt(1)(h)", "sqrt takes its operands at once: sqrt(…)", 0 },
	{ "sqrt(h, a)", "sqrt takes 1 operand, not 2", 0 },
	{ "LeakyReLU(negative_slope=0.1, h)", "an operand after a keyword argument", 30 },
	{ "view(x=h, 2)", "view has no argument 'x' here", 7 },
	{ "Linear(2, 2)(h; i)", "Linear takes no columns after ';'", 0 },
	{ "Linear(2, 2; i)(h)", "columns after ';' belong to what Linear is applied to", 6 },
	{ "sqrt(x=h)", "sqrt has no argument 'x' here", 7 },
	{ "1 + sum(h)", "sum(…) is an aggregate: it belongs outermost", 4 },
	{ "Dropout(2)(h)", "Dropout(2): a probability is from 0 to 1", 0 },
	{ "Softmax(0)(h)", "Softmax along the rows: write softmax(a; t)", 0 },
	{ "Softmax(2)(h)", "Softmax: there is no dimension 2", 0 },
	{ "view(3)(h)", "view: an embedding of 2 numbers cannot be seen in the given shape", 0 },
	{ "view(-1, -1)(h)", "view: only one size may be -1", 0 },
	{ "slice(1, 5)(h)", "slice(1, 5) of a dimension of 2", 0 },
	{ "dot(h, a)", "dot takes two embeddings of the same width, not 2 and 1", 0 },
	{ "Embedding(2, 2)([i])", "Embedding(2, 2): row 1 has index 2", -1 },
	{ "Embedding(9, 2)(exp(a))", "Embedding needs an index that is data", 0 },
	{ "\"text\"", "expected an embedding, found a string", 0 },
	{ "None + 1", "expected an embedding, found None", 0 },
	{ "softmax(a; d)", "softmax normalises over rows, which needs an aggregate", 0 },
	{ "exp(a; d)", "exp takes no columns after ';'", 0 },
	{ "Concat(*h)", "a '*' argument stands for the embeddings of a bounded join", 7 },
	{ "GELU(approximate=\"x\")(h)", "GELU: approximate is \"none\" or \"tanh\"", 0 },
};

static void test_errors(const struct rn_rel *rel)
{
	for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
		struct rn_err e = { 0 };
		struct rn_lpart part[4];
		char want[256];
		struct run r;
		int rc;

		run_begin(&r);
		parts(&r.p, part, &e);
		rc = compute(&r, bad[k].text, rel, true, part, 4, 0, &e);
		T_OK(rc == (bad[k].caret < 0 ? RN_EDATA : RN_EUSAGE) && e.code == rc,
		     "'%s' is refused", bad[k].text);
		T_OK(strstr(e.msg, bad[k].message), "'%s': %s", bad[k].text, e.msg);
		if (bad[k].caret >= 0) {
			snprintf(want, sizeof want, "\n  %s\n  %*s^", bad[k].text, bad[k].caret, "");
			T_OK(strlen(e.msg) > strlen(want) &&
				     !strcmp(e.msg + strlen(e.msg) - strlen(want), want),
			     "'%s': the caret is at %d", bad[k].text, bad[k].caret);
		}
		run_end(&r);
	}
}

static void test_limits(void)
{
	struct rn_err e = { 0 };
	struct rn_str s = RN_STR_INIT;
	struct rn_eexpr *x;

	for (int i = 0; i < 5000; i++)
		rn_str_add(&s, "(");
	T_OK(rn_eexpr_parse(s.s, &x, &e) == RN_EUSAGE, "endless parentheses");
	rn_str_clear(&s);
	for (int i = 0; i < 5000; i++)
		rn_str_add(&s, "-");
	T_OK(rn_eexpr_parse(s.s, &x, &e) == RN_EUSAGE, "endless signs");
	rn_str_clear(&s);
	for (int i = 0; i < 5000; i++)
		rn_str_add(&s, "h+");
	rn_str_add(&s, "h");
	T_OK(rn_eexpr_parse(s.s, &x, &e) == RN_EUSAGE, "an endless sum");
	rn_str_fini(&s);
}

int main(void)
{
	struct rn_rel *rel = relation();

	test_errors(rel);
	test_limits();
	rn_rel_unref(rel);
	return t_done();
}
