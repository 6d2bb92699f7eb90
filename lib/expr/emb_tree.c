/* SPDX-License-Identifier: Apache-2.0
 *
 * The tree of an embedding expression: what is known of it before anything is lowered, and
 * messages that point into its text.
 */
#include "emb_ast.h"

#include "../base/str.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- messages ----------------------------------------------------------------------- */

int rn_eexpr_caret(const char *text, size_t pos, int code, struct rn_err *e)
{
	enum { SHOW = 100 }; /* characters of the text on either side */
	struct rn_str s = RN_STR_INIT;
	size_t len = strlen(text), from = pos > SHOW ? pos - SHOW : 0;
	size_t to = len - pos > SHOW ? pos + SHOW : len;

	if (!e)
		return code;
	while (from > 0 && ((unsigned char)text[from] & 0xC0) == 0x80)
		from--;
	while (to < len && ((unsigned char)text[to] & 0xC0) == 0x80)
		to++;
	rn_str_addf(&s, "%s\n  ", e->msg);
	for (size_t i = from; i < to; i++)
		rn_str_addc(&s, iscntrl((unsigned char)text[i]) ? ' ' : text[i]);
	rn_str_add(&s, "\n  ");
	for (size_t i = from; i < pos; i++)
		if (((unsigned char)text[i] & 0xC0) != 0x80)
			rn_str_addc(&s, ' ');
	rn_str_addc(&s, '^');
	if (!s.failed)
		rn_err_set(e, code, "%s", s.s);
	rn_str_fini(&s);
	return code;
}

int rn_eexpr_fail(const struct rn_eexpr *x, const struct rn_enode *n, struct rn_err *e,
		  const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	rn_err_vset(e, RN_EUSAGE, fmt, ap);
	va_end(ap);
	return rn_eexpr_caret(x->text, n->pos, RN_EUSAGE, e);
}

/* ---- facts known from the text ------------------------------------------------------ */

void rn_eexpr_free(struct rn_eexpr *x)
{
	struct rn_arena a;

	if (!x)
		return;
	a = x->arena;
	rn_arena_fini(&a);
	free(x);
}

enum rn_agg rn_eexpr_take_agg(struct rn_eexpr *x)
{
	const struct rn_enode *n = x->root;

	if (n->kind != RN_E_CALL || n->fn->form != RN_FORM_AGG)
		return RN_AGG_NONE;
	x->root = n->args[0];
	x->mean = n->fn->how == RN_AGG_MEAN;
	return (enum rn_agg)n->fn->how;
}

bool rn_eexpr_has_params(const struct rn_eexpr *x)
{
	return x->nparams + x->nnamed > 0;
}

bool rn_eexpr_has_random(const struct rn_eexpr *x)
{
	return x->nrandom > 0;
}

static bool has_rows(const struct rn_enode *n)
{
	if (n->kind == RN_E_CALL && n->fn->flags & RN_FN_ROWS)
		return true;
	for (uint32_t i = 0; i < n->nargs; i++)
		if (has_rows(n->args[i]))
			return true;
	return false;
}

bool rn_enode_weighs(const struct rn_enode *n)
{
	for (uint32_t i = 0; n->kind == RN_E_CALL && n->fn->flags & RN_FN_WEIGHS && i < n->ncfg; i++)
		if (n->cfg[i]->kind != RN_E_NONE && (!n->kw[i] || !strcmp(n->kw[i], n->fn->cfg[0].name) ||
						     !strcmp(n->kw[i], n->fn->cfg[1].name)))
			return true;
	for (uint32_t i = 0; i < n->nargs; i++)
		if (rn_enode_weighs(n->args[i]))
			return true;
	return false;
}

bool rn_eexpr_spans_rows(const struct rn_eexpr *x)
{
	const struct rn_enode *n = x->root;
	bool mean = x->mean || (n->kind == RN_E_CALL && n->fn->form == RN_FORM_AGG &&
				n->fn->how == RN_AGG_MEAN);

	return has_rows(n) || (mean && rn_enode_weighs(n));
}

static int softmaxes(const struct rn_enode *n,
		     int (*fn)(void *arg, size_t nby, const char *const *by, struct rn_err *e),
		     void *arg, struct rn_err *e)
{
	for (uint32_t i = 0; i < n->nargs; i++)
		RN_TRY(softmaxes(n->args[i], fn, arg, e));
	if (n->kind != RN_E_CALL || !(n->fn->flags & RN_FN_ROWS) || !n->nby)
		return 0;
	return fn(arg, n->nby, n->by, e);
}

int rn_eexpr_softmaxes(const struct rn_eexpr *x,
		       int (*fn)(void *arg, size_t nby, const char *const *by, struct rn_err *e),
		       void *arg, struct rn_err *e)
{
	return softmaxes(x->root, fn, arg, e);
}

static void columns(const struct rn_enode *n, void (*fn)(void *arg, const char *col), void *arg)
{
	for (uint32_t i = 0; i < n->nby; i++)
		fn(arg, n->by[i]);
	for (uint32_t i = 0; i < n->nargs; i++)
		columns(n->args[i], fn, arg);
}

void rn_eexpr_columns(const struct rn_eexpr *x, void (*fn)(void *arg, const char *col), void *arg)
{
	columns(x->root, fn, arg);
}

bool rn_enode_number(const struct rn_enode *n, double *out)
{
	double a, b;

	switch (n->kind) {
	case RN_E_NUM:
	case RN_E_BOOL:
		*out = n->num;
		return true;
	case RN_E_NEG:
		if (!rn_enode_number(n->args[0], &a))
			return false;
		*out = -a;
		return true;
	case RN_E_BIN:
		if (!rn_enode_number(n->args[0], &a) || !rn_enode_number(n->args[1], &b))
			return false;
		*out = n->op == RN_B_ADD   ? a + b
		       : n->op == RN_B_SUB ? a - b
		       : n->op == RN_B_MUL ? a * b
		       : n->op == RN_B_DIV ? a / b
					   : pow(a, b);
		return n->op <= RN_B_DIV || n->op == RN_B_POW;
	default:
		return false;
	}
}
