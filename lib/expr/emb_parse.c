/* SPDX-License-Identifier: Apache-2.0
 *
 * Lexer and recursive-descent parser of the embedding-expression language.
 *
 *   expr    = sum { ("==" | "=" | "!=" | "<>" | "<" | "<=" | ">" | ">=") sum }
 *   sum     = product { ("+" | "-") product }
 *   product = unary { ("*" | "/" | "@") unary }
 *   unary   = "-" unary | power
 *   power   = primary [ "**" unary ]
 *   primary = number | string | True | False | None | name | call
 *           | "(" expr ")" | "[" column { "," column } "]" | "[" encoders "]"
 *           | "[" expr { "," expr } "]"    (numbers)
 *   call    = name group [ group ]
 *   group   = "(" [ arg { "," arg } ] [ ";" column { "," column } ] ")"
 *   arg     = [ name "=" ] expr
 *
 * Functions are looked up here, so that a call is split into what configures
 * the function and what it is applied to before anything else sees it.
 */
#include "emb_ast.h"
#include "encode.h"

#include "../base/num.h"
#include "../base/str.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NEST = 200, MAX_DEPTH = 1000, MAX_TEXT = 1 << 20 };

enum token {
	T_END, T_NUM, T_STR, T_NAME,
	T_PUNCT, /* one of "()[],;+-*@/<>=" and the two-character ones */
};

struct parser {
	struct rn_eexpr *x;
	const char *s;    /* the text */
	size_t at;        /* behind the current token */
	unsigned depth;
	enum token tok;
	size_t pos;       /* where the current token begins */
	char punct[3];
	double num;
	bool is_float;
	const char *str;  /* T_NAME, T_STR: in the arena */
	struct rn_err *e;
};

/* ---- messages ----------------------------------------------------------------------- */

RN_PRINTF(3, 4) static int fail(struct parser *p, size_t pos, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	rn_err_vset(p->e, RN_EUSAGE, fmt, ap);
	va_end(ap);
	return rn_eexpr_caret(p->s, pos, RN_EUSAGE, p->e);
}

/* What stands at the current token, for "expected X, found Y". */
static int expected(struct parser *p, const char *what)
{
	if (p->tok == T_END)
		return fail(p, p->pos, "expected %s, found the end of the expression", what);
	return fail(p, p->pos, "expected %s, found '%.*s'", what,
		    (int)(p->at - p->pos > 40 ? 40 : p->at - p->pos), p->s + p->pos);
}

/* ---- lexer -------------------------------------------------------------------------- */

static bool is_start(char c)
{
	return isalpha((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static bool is_part(char c)
{
	return is_start(c) || isdigit((unsigned char)c);
}

static int lex_number(struct parser *p)
{
	size_t i = p->pos;

	p->is_float = false;
	while (isdigit((unsigned char)p->s[i]))
		i++;
	if (p->s[i] == '.') {
		p->is_float = true;
		while (isdigit((unsigned char)p->s[++i]))
			;
	}
	if (p->s[i] == 'e' || p->s[i] == 'E') {
		size_t k = i + 1 + (p->s[i + 1] == '+' || p->s[i + 1] == '-');

		if (isdigit((unsigned char)p->s[k])) {
			p->is_float = true;
			for (i = k; isdigit((unsigned char)p->s[i]); i++)
				;
		}
	}
	p->at = i;
	p->tok = T_NUM;
	if (is_part(p->s[i]) || !rn_float64_parse(p->s + p->pos, i - p->pos, &p->num))
		return fail(p, p->pos, "a malformed number");
	return 0;
}

/* 'text' or "text" with backslash before a quote or a backslash; `name`. */
static int lex_quoted(struct parser *p, char quote)
{
	size_t i = p->pos + 1, n = 0;
	char *out;

	for (; p->s[i] && p->s[i] != quote; i++)
		if (p->s[i] == '\\' && p->s[i + 1])
			i++;
	if (!p->s[i])
		return fail(p, p->pos, "a %s that does not end", quote == '`' ? "name" : "string");
	out = rn_arena_alloc(&p->x->arena, i - p->pos, p->e);
	if (!out)
		return RN_ENOMEM;
	for (size_t k = p->pos + 1; k < i; k++) {
		if (p->s[k] == '\\' && (p->s[k + 1] == quote || p->s[k + 1] == '\\'))
			k++;
		out[n++] = p->s[k];
	}
	p->at = i + 1;
	p->tok = quote == '`' ? T_NAME : T_STR;
	p->str = out;
	return 0;
}

static int lex_name(struct parser *p)
{
	size_t i = p->pos;

	while (is_part(p->s[i]))
		i++;
	while (p->s[i] == '.' && is_start(p->s[i + 1]))
		while (is_part(p->s[++i]))
			;
	p->at = i;
	p->tok = T_NAME;
	p->str = rn_arena_strndup(&p->x->arena, p->s + p->pos, i - p->pos, p->e);
	return p->str ? 0 : RN_ENOMEM;
}

static int next(struct parser *p)
{
	static const char two[][3] = { "**", "==", "!=", "<>", "<=", ">=" };
	char c;

	while (isspace((unsigned char)p->s[p->at]))
		p->at++;
	p->pos = p->at;
	c = p->s[p->at];
	if (!c) {
		p->tok = T_END;
		return 0;
	}
	if (isdigit((unsigned char)c) || (c == '.' && isdigit((unsigned char)p->s[p->at + 1])))
		return lex_number(p);
	if (c == '"' || c == '\'' || c == '`')
		return lex_quoted(p, c);
	if (is_start(c))
		return lex_name(p);
	if (c == '%')
		return fail(p, p->pos, "'%%' is a remainder of columns, not of embeddings: compute it "
			    "before, with rn-project");
	if (!strchr("()[],;+-*@/<>=!", c))
		return fail(p, p->pos, "unexpected character");
	p->tok = T_PUNCT;
	memset(p->punct, 0, sizeof p->punct);
	p->punct[0] = c;
	for (size_t i = 0; i < sizeof two / sizeof *two; i++)
		if (c == two[i][0] && p->s[p->at + 1] == two[i][1])
			p->punct[1] = two[i][1];
	p->at += strlen(p->punct);
	return 0;
}

static bool is(const struct parser *p, const char *punct)
{
	return p->tok == T_PUNCT && !strcmp(p->punct, punct);
}

/* ---- nodes -------------------------------------------------------------------------- */

static struct rn_enode *node(struct parser *p, enum rn_ekind kind, size_t pos)
{
	struct rn_enode *n = rn_arena_alloc(&p->x->arena, sizeof *n, p->e);

	if (n) {
		n->kind = kind;
		n->pos = (uint32_t)pos;
	}
	return n;
}

/* Add a pointer to the array of n pointers at `list` (grown at powers of two). */
static int push(struct parser *p, void *list, uint32_t n, const void *item)
{
	const void **old, **more;

	memcpy(&old, list, sizeof old);
	if ((n & (n - 1)) == 0) {
		more = rn_arena_alloc(&p->x->arena, 2 * (size_t)(n ? n : 1) * sizeof *more, p->e);
		if (!more)
			return RN_ENOMEM;
		if (n)
			memcpy(more, old, n * sizeof *more);
		memcpy(list, &more, sizeof more);
		old = more;
	}
	old[n] = item;
	return 0;
}

static int parse_expr(struct parser *p, struct rn_enode **out);

/* The tree is walked by recursion: bound its depth. */
static int deepen(struct parser *p, struct rn_enode *n)
{
	for (uint32_t i = 0; i < n->nargs; i++)
		if (n->args[i]->depth >= n->depth)
			n->depth = n->args[i]->depth + 1;
	return n->depth > MAX_DEPTH ? fail(p, n->pos, "more than %d operations deep", MAX_DEPTH)
				    : 0;
}

static int binary(struct parser *p, enum rn_ebin op, size_t pos, struct rn_enode *b,
		  struct rn_enode **a)
{
	struct rn_enode *n = node(p, RN_E_BIN, pos);

	if (!n)
		return RN_ENOMEM;
	n->op = op;
	n->nargs = 2;
	n->args = rn_arena_alloc(&p->x->arena, 2 * sizeof *n->args, p->e);
	if (!n->args)
		return RN_ENOMEM;
	n->args[0] = *a;
	n->args[1] = b;
	*a = n;
	return deepen(p, n);
}

/* ---- calls -------------------------------------------------------------------------- */

struct group {
	uint32_t n, cap, nby;
	struct rn_enode **args;
	const char **kw; /* as long as args */
	const char **by;
	size_t pos;
};

/* name { "," name }, up to `closing`. */
static int parse_columns(struct parser *p, const char *closing, uint32_t *n, const char ***out)
{
	for (*n = 0;;) {
		if (p->tok != T_NAME)
			return expected(p, "the name of a content column");
		RN_TRY(push(p, out, *n, p->str));
		++*n;
		RN_TRY(next(p));
		if (!is(p, ","))
			return 0;
		RN_TRY(next(p));
		if (is(p, closing))
			return expected(p, "the name of a content column");
	}
}

static int parse_arg(struct parser *p, struct group *g)
{
	struct rn_enode *arg = NULL;
	const char *kw = NULL;

	if (p->tok == T_NAME) { /* name = …, but not name == … */
		size_t at = p->at;

		while (isspace((unsigned char)p->s[at]))
			at++;
		if (p->s[at] == '=' && p->s[at + 1] != '=') {
			kw = p->str;
			p->at = at + 1;
			RN_TRY(next(p));
		}
	}
	if (is(p, "*"))
		return fail(p, p->pos, "a '*' argument stands for the embeddings of a bounded "
				       "join, and there is none here");
	RN_TRY(parse_expr(p, &arg));
	RN_TRY(push(p, &g->args, g->n, arg));
	RN_TRY(push(p, &g->kw, g->n, kw));
	g->n++;
	return 0;
}

/* At "(". */
static int parse_group(struct parser *p, struct group *g)
{
	*g = (struct group){ .pos = p->pos };
	RN_TRY(next(p));
	while (!is(p, ")") && !is(p, ";")) {
		RN_TRY(parse_arg(p, g));
		if (is(p, ","))
			RN_TRY(next(p));
		else if (!is(p, ")") && !is(p, ";"))
			return expected(p, "',' or ')'");
	}
	if (is(p, ";")) {
		RN_TRY(next(p));
		RN_TRY(parse_columns(p, ")", &g->nby, &g->by));
		if (!is(p, ")"))
			return expected(p, "',' or ')'");
	}
	return next(p);
}

/* ReLU(z, inplace=True): the keywords of a function that is applied at once, where it may be. */
static int take_keywords(struct parser *p, struct rn_enode *n, const struct group *data, bool may)
{
	for (uint32_t i = 0; i < data->n; i++) {
		if (!data->kw[i] && i > n->nargs)
			return fail(p, data->args[i]->pos, "an operand after a keyword argument");
		if (!data->kw[i])
			continue;
		if (!may)
			return fail(p, data->args[i]->pos, "%s has no argument '%s' here",
				    n->fn->name, data->kw[i]);
		if (n->nargs == data->n) {
			n->nargs = i;
			n->cfg = data->args + i;
			n->kw = data->kw + i;
			n->ncfg = data->n - i;
		}
	}
	return 0;
}

/* Split the groups of a call into configuration and operands. */
static int split(struct parser *p, struct rn_enode *n, struct group *g, unsigned ngroups)
{
	const struct rn_efunc *f = n->fn;
	bool curried = ngroups == 2;
	struct group none = { 0 }, *cfg = &none, *data = &g[0];

	if (f->form == RN_FORM_SOURCE) {
		if (curried)
			return fail(p, g[1].pos, "%s(…) is a value, not a function", f->name);
		cfg = &g[0];
		data = &none;
	} else if (curried) {
		cfg = &g[0];
		data = &g[1];
		if ((f->form == RN_FORM_PLAIN || f->form == RN_FORM_AGG) && cfg->n)
			return fail(p, n->pos, "%s takes its operands at once: %s(…)", f->name,
				    f->name);
	} else if (f->form == RN_FORM_CURRIED) {
		if (!(f->flags & RN_FN_TORCH) || g[0].n < 1)
			return fail(p, n->pos, "%s is a function that is made first and then "
					       "applied: %s(…)(z)", f->name, f->name);
		none = (struct group){ .n = 1, .args = g[0].args, .kw = g[0].kw, .pos = g[0].pos };
		data = &none;
		g[0].n--;
		g[0].args++;
		g[0].kw++;
		cfg = &g[0];
		if (none.kw[0])
			return fail(p, none.args[0]->pos, "%s has no argument '%s' here", f->name,
				    none.kw[0]);
	}
	n->args = data->args;
	n->nargs = data->n;
	n->cfg = cfg->args;
	n->kw = cfg->kw;
	n->ncfg = cfg->n;
	n->by = data->by;
	n->nby = data->nby;
	if (data != &none)
		RN_TRY(take_keywords(p, n, data, f->form == RN_FORM_EITHER && !curried));
	if (n->nby && !(f->flags & RN_FN_ROWS))
		return fail(p, n->pos, "%s takes no columns after ';'", f->name);
	if (cfg->nby)
		return fail(p, cfg->pos, "columns after ';' belong to what %s is applied to",
			    f->name);
	if (n->nargs < f->min_args || n->nargs > f->max_args)
		return fail(p, n->pos, "%s takes %u operand%s%s, not %u", f->name, f->min_args,
			    f->min_args == 1 ? "" : "s",
			    f->max_args > f->min_args ? " or more" : "", n->nargs);
	return 0;
}

static struct rn_enode *own_name(struct rn_enode *n)
{
	for (uint32_t i = 0; i < n->ncfg; i++)
		if (n->kw[i] && !strcmp(n->kw[i], "name") && n->cfg[i]->kind == RN_E_STR)
			return n->cfg[i];
	return NULL;
}

/* The calls that hold parameters or randomness, in order of evaluation. */
struct calls {
	struct rn_enode **of;
	size_t n, cap;
};

static int number_calls(struct rn_eexpr *x, struct rn_enode *n, struct calls *c, struct rn_err *e)
{
	for (uint32_t i = 0; i < n->nargs; i++)
		RN_TRY(number_calls(x, n->args[i], c, e));
	if (n->kind != RN_E_CALL || !(n->fn->flags & (RN_FN_PARAMS | RN_FN_RANDOM)))
		return 0;
	x->nrandom += !!(n->fn->flags & RN_FN_RANDOM);
	x->nnamed += n->own != NULL;
	if (n->own)
		return 0;
	x->nparams += !!(n->fn->flags & RN_FN_PARAMS);
	n->ordinal = 1;
	for (size_t i = 0; i < c->n; i++)
		n->ordinal += c->of[i]->fn == n->fn;
	RN_TRY(rn_grow(&c->of, &c->cap, c->n + 1, sizeof *c->of, "an expression", e));
	c->of[c->n++] = n;
	return 0;
}

/* Linear(…, per=s): a column that the call reads. */
static int note_per(struct parser *p, struct rn_enode *n)
{
	for (uint32_t i = 0; i < n->ncfg && n->fn->flags & RN_FN_PARAMS; i++)
		if (n->kw[i] && !strcmp(n->kw[i], "per") && n->cfg[i]->str) {
			RN_TRY(push(p, &n->by, n->nby, n->cfg[i]->str));
			n->nby++;
		}
	return 0;
}

static int parse_call(struct parser *p, const char *name, size_t pos, struct rn_enode **out)
{
	const struct rn_efunc *f = rn_efunc_find(name);
	struct rn_enode *n, *own;
	struct group g[2];
	unsigned ngroups = 1;

	if (!f) {
		struct rn_str like = RN_STR_INIT;
		int rc;

		rn_efunc_suggest(name, &like);
		rc = fail(p, pos, "there is no function '%s'%s", name, like.s);
		rn_str_fini(&like);
		return rc;
	}
	n = node(p, RN_E_CALL, pos);
	if (!n)
		return RN_ENOMEM;
	n->fn = f;
	RN_TRY(parse_group(p, &g[0]));
	if (is(p, "(")) {
		RN_TRY(parse_group(p, &g[1]));
		ngroups = 2;
	}
	if (is(p, "("))
		return expected(p, "an operator or the end of the expression");
	RN_TRY(split(p, n, g, ngroups));
	own = f->flags & RN_FN_PARAMS ? own_name(n) : NULL;
	n->own = own ? own->str : NULL;
	RN_TRY(note_per(p, n));
	*out = n;
	return deepen(p, n);
}

/* ---- expressions -------------------------------------------------------------------- */

static int parse_name(struct parser *p, struct rn_enode **out)
{
	static const struct {
		const char *name;
		enum rn_ekind kind;
		double num;
	} words[] = {
		{ "True", RN_E_BOOL, 1 },  { "true", RN_E_BOOL, 1 }, { "False", RN_E_BOOL, 0 },
		{ "false", RN_E_BOOL, 0 }, { "None", RN_E_NONE, 0 },
	};
	const char *name = p->str;
	size_t pos = p->pos;
	bool quoted = p->s[pos] == '`';
	enum rn_ekind kind = RN_E_NAME;
	double num = 0;

	RN_TRY(next(p));
	if (is(p, "("))
		return parse_call(p, name, pos, out);
	for (size_t i = 0; !quoted && i < sizeof words / sizeof *words; i++)
		if (!strcmp(name, words[i].name)) {
			kind = words[i].kind;
			num = words[i].num;
		}
	*out = node(p, kind, pos);
	if (!*out)
		return RN_ENOMEM;
	(*out)->str = name;
	(*out)->num = num;
	return 0;
}

/* The "]" of the "[" at `from`; sets *calls if parentheses stand between. */
static size_t find_closing(const struct parser *p, size_t from, bool *calls)
{
	char quote = 0;
	size_t i;

	*calls = false;
	for (i = from + 1; p->s[i] && (quote || p->s[i] != ']'); i++) {
		if (quote)
			quote = p->s[i] == quote ? 0 : quote;
		else if (strchr("'\"`", p->s[i]))
			quote = p->s[i];
		*calls = *calls || (!quote && p->s[i] == '(');
	}
	return i;
}

/* The columns that encoders read. */
static int add_columns(struct parser *p, const struct rn_encoders *es, struct rn_enode *n)
{
	for (size_t i = 0; i < es->n; i++)
		for (unsigned k = 0; k < 2; k++) {
			const char *name = k ? es->at[i].ref : es->at[i].col;

			if (!name)
				continue;
			name = rn_arena_strdup(&p->x->arena, name, p->e);
			if (!name)
				return RN_ENOMEM;
			RN_TRY(push(p, &n->by, n->nby, name));
			n->nby++;
		}
	return 0;
}

/* [age, text(64)(title)]: encoders that fit nothing, as one text up to `to`. */
static int parse_encoders(struct parser *p, size_t to, struct rn_enode *n)
{
	struct rn_encoders es;
	int rc;

	n->str = rn_arena_strndup(&p->x->arena, p->s + p->pos + 1, to - p->pos - 1, p->e);
	if (!n->str)
		return RN_ENOMEM;
	RN_TRY(rn_encoders_parse_bare(p->s, p->pos + 1, &es, p->e));
	rc = rn_encoders_fit_any(&es) ?
		     fail(p, n->pos, "an encoder that is fitted on training rows is a stage of its "
			  "own: rn-encode '%s'", n->str) :
		     add_columns(p, &es, n);
	rn_encoders_fini(&es);
	p->at = to;
	return rc ? rc : next(p);
}

/* Does the bracket at the current token hold numbers? */
static bool starts_number(const struct parser *p)
{
	const char *s = p->s + p->at;

	while (isspace((unsigned char)*s) || *s == '-')
		s++;
	return isdigit((unsigned char)*s) || (*s == '.' && isdigit((unsigned char)s[1]));
}

/* [1, 2.5], behind the "[". */
static int parse_list(struct parser *p, struct rn_enode *n)
{
	double x;

	n->kind = RN_E_LIST;
	for (;;) {
		struct rn_enode *item = NULL;
		size_t pos = p->pos;

		RN_TRY(parse_expr(p, &item));
		if (!rn_enode_number(item, &x))
			return fail(p, pos, "expected a number: brackets hold columns, or numbers alone");
		RN_TRY(push(p, &n->args, n->nargs, item));
		n->nargs++;
		if (!is(p, ","))
			return deepen(p, n);
		RN_TRY(next(p));
		if (is(p, "]"))
			return expected(p, "a number");
	}
}

static int parse_brackets(struct parser *p, struct rn_enode **out)
{
	struct rn_enode *n = node(p, RN_E_COLS, p->pos);
	bool calls;
	size_t to = find_closing(p, p->pos, &calls);

	if (!n)
		return RN_ENOMEM;
	if (starts_number(p)) {
		RN_TRY(next(p));
		RN_TRY(parse_list(p, n));
	} else if (calls && p->s[to]) {
		RN_TRY(parse_encoders(p, to, n));
	} else {
		RN_TRY(next(p));
		RN_TRY(parse_columns(p, "]", &n->nby, &n->by));
	}
	if (!is(p, "]"))
		return expected(p, "',' or ']'");
	RN_TRY(next(p));
	*out = n;
	return 0;
}

static int parse_primary(struct parser *p, struct rn_enode **out)
{
	if (p->tok == T_NAME)
		return parse_name(p, out);
	if (p->tok == T_NUM || p->tok == T_STR) {
		*out = node(p, p->tok == T_NUM ? RN_E_NUM : RN_E_STR, p->pos);
		if (!*out)
			return RN_ENOMEM;
		(*out)->num = p->num;
		(*out)->is_float = p->is_float;
		(*out)->str = p->str;
		return next(p);
	}
	if (is(p, "["))
		return parse_brackets(p, out);
	if (!is(p, "("))
		return expected(p, "a name, a number or '('");
	RN_TRY(next(p));
	RN_TRY(parse_expr(p, out));
	if (!is(p, ")"))
		return expected(p, "')'");
	return next(p);
}

static int parse_unary(struct parser *p, struct rn_enode **out)
{
	size_t pos = p->pos;
	struct rn_enode *n, *b = NULL;
	int rc;

	if (++p->depth > MAX_NEST)
		return fail(p, pos, "nested more than %d deep", MAX_NEST);
	if (is(p, "-")) {
		RN_TRY(next(p));
		RN_TRY(parse_unary(p, &b));
		n = node(p, RN_E_NEG, pos);
		if (!n)
			return RN_ENOMEM;
		n->nargs = 1;
		n->args = rn_arena_alloc(&p->x->arena, sizeof *n->args, p->e);
		if (!n->args)
			return RN_ENOMEM;
		n->args[0] = b;
		*out = n;
		p->depth--;
		return deepen(p, n);
	}
	RN_TRY(parse_primary(p, out));
	if (is(p, "**")) {
		pos = p->pos;
		RN_TRY(next(p));
		RN_TRY(parse_unary(p, &b));
		rc = binary(p, RN_B_POW, pos, b, out);
		p->depth--;
		return rc;
	}
	p->depth--;
	return 0;
}

/* The binary operators below "**", by level. */
static const struct {
	const char *punct;
	unsigned level;
	enum rn_ebin op;
} operators[] = {
	{ "==", 0, RN_B_EQ },  { "=", 0, RN_B_EQ },	{ "!=", 0, RN_B_NE }, { "<>", 0, RN_B_NE },
	{ "<", 0, RN_B_LT },   { "<=", 0, RN_B_LE },	{ ">", 0, RN_B_GT },  { ">=", 0, RN_B_GE },
	{ "+", 1, RN_B_ADD },  { "-", 1, RN_B_SUB },	{ "*", 2, RN_B_MUL }, { "/", 2, RN_B_DIV },
	{ "@", 2, RN_B_MATMUL },
};

static bool binary_at(const struct parser *p, unsigned level, enum rn_ebin *op)
{
	for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
		if (operators[i].level == level && is(p, operators[i].punct)) {
			*op = operators[i].op;
			return true;
		}
	return false;
}

static int parse_level(struct parser *p, unsigned level, struct rn_enode **out)
{
	struct rn_enode *b = NULL;
	enum rn_ebin op;

	if (level == 3)
		return parse_unary(p, out);
	RN_TRY(parse_level(p, level + 1, out));
	while (binary_at(p, level, &op)) {
		size_t pos = p->pos;

		RN_TRY(next(p));
		RN_TRY(parse_level(p, level + 1, &b));
		RN_TRY(binary(p, op, pos, b, out));
	}
	return 0;
}

static int parse_expr(struct parser *p, struct rn_enode **out)
{
	return parse_level(p, 0, out);
}

int rn_eexpr_parse(const char *text, struct rn_eexpr **out, struct rn_err *e)
{
	struct parser p = { .e = e };
	struct calls calls = { 0 };
	struct rn_eexpr *x;
	int rc;

	if (strlen(text) > MAX_TEXT)
		return rn_err_set(e, RN_EUSAGE, "an expression of more than %d bytes", MAX_TEXT);
	RN_TRY(rn_calloc(1, sizeof *x, "an expression", &x, e));
	p.x = x;
	x->text = p.s = rn_arena_strdup(&x->arena, text, e);
	rc = x->text ? next(&p) : RN_ENOMEM;
	if (!rc)
		rc = parse_expr(&p, &x->root);
	if (!rc && p.tok != T_END)
		rc = expected(&p, "an operator or the end of the expression");
	if (!rc)
		rc = number_calls(x, x->root, &calls, e);
	free(calls.of);
	if (rc) {
		rn_eexpr_free(x);
		return rc;
	}
	*out = x;
	return 0;
}
