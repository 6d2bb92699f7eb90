/* SPDX-License-Identifier: Apache-2.0
 *
 * The text of encoders.
 *
 *   encoders = call { "," call }
 *   call     = kind args | kind args args | column
 *   args     = "(" [ arg { "," arg } ] ")"
 *   arg      = column | number | option "=" ( number | word | string )
 *
 * Columns come first, then the size that some kinds want, then options; or the columns
 * have parentheses of their own, text(64)(title), as modules have, and a kind may be called
 * like one, Text(64)(title).  A column alone, which only expressions may have, is raw.  A name that is no word stands in backquotes.
 */
#include "emb_ast.h"
#include "encode_impl.h"

#include "../base/num.h"
#include "../base/opt.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ENCODERS = 4096, MAX_ARGS = 4096, MAX_WIDTH = 1 << 28 };

/* ---- the kinds and their options -------------------------------------------------------- */

enum {
	O_NULL = 1, O_LOG = 2, O_SCALE = 4, O_MIN = 8, O_TOP = 16, O_INIT = 32, O_NGRAMS = 64,
	O_CHARS = 128, O_IDF = 256, O_SIGN = 512, O_NORM = 1024, O_PERIOD = 2048,
	O_WORDS = 4096, O_HASH = 8192, O_EMPTY = 16384, O_NAME = 32768,
	O_NUMBER = O_NULL | O_LOG | O_SCALE,
	O_VOCABULARY = O_MIN | O_TOP,
	O_TEXT = O_NGRAMS | O_CHARS | O_IDF | O_SIGN | O_NORM | O_WORDS | O_HASH | O_EMPTY,
};

static const struct kind {
	const char *name, *module; /* as a module is called: OneHot(min=5)(color) */
	const char *form;
	unsigned opts;
	bool one;  /* a single column (and what follows it) */
	bool size; /* a whole number behind the columns */
} kinds[RN_NENCS] = {
	[RN_ENC_RAW] = { "raw", "Raw", "raw(col, ...)", 0, false, false },
	[RN_ENC_INDEX] = { "index", "Index", "index(col, N)", 0, true, true },
	[RN_ENC_NUMERIC] = { "numeric", "Numeric", "numeric(col, ...)", O_NUMBER, false, false },
	[RN_ENC_ONEHOT] = { "onehot", "OneHot", "onehot(col, ...)", O_VOCABULARY, false, false },
	[RN_ENC_CATEGORY] = { "category", "Category", "category(col, ..., D)", O_VOCABULARY | O_INIT | O_NAME,
			      false, true },
	[RN_ENC_TEXT] = { "text", "Text", "text(col, ..., N)", O_TEXT, false, true },
	[RN_ENC_CYCLIC] = { "cyclic", "Cyclic", "cyclic(col, PART, ...) or cyclic(col, period=P)", O_PERIOD,
			    true, false },
	[RN_ENC_TIME] = { "time", "Time", "time(col, ...)", O_NULL | O_SCALE, false, false },
	[RN_ENC_SINCE] = { "since", "Since", "since(col, ref)", O_NUMBER, true, false },
	[RN_ENC_NULL] = { "null", "Null", "null(col, ...)", 0, false, false },
};

const char *const rn_enc_parts[RN_NPARTS] = {
	[RN_PART_SECOND] = "second", [RN_PART_MINUTE] = "minute", [RN_PART_HOUR] = "hour",
	[RN_PART_DAY] = "day", [RN_PART_WEEKDAY] = "weekday", [RN_PART_YEARDAY] = "yearday",
	[RN_PART_MONTH] = "month",
};
static const char *const scales[] = {
	[RN_SCALE_STANDARD] = "standard", [RN_SCALE_MINMAX] = "minmax",
	[RN_SCALE_ROBUST] = "robust", [RN_SCALE_NONE] = "none",
};
static const char *const norms[] = { [RN_NORM_L2] = "l2", [RN_NORM_L1] = "l1",
				     [RN_NORM_NONE] = "none" };
static const char *const splits[] = { "letters", "blanks" };
static const char *const hashes[] = { "xxh64", "crc32" };

bool rn_encoder_fits(const struct rn_encoder *en)
{
	switch (en->kind) {
	case RN_ENC_NUMERIC:
	case RN_ENC_TIME:
	case RN_ENC_SINCE:
		return en->scale != RN_SCALE_NONE;
	case RN_ENC_ONEHOT:
	case RN_ENC_CATEGORY:
		return true;
	case RN_ENC_TEXT:
		return en->idf;
	default:
		return false;
	}
}

bool rn_encoders_fit_any(const struct rn_encoders *es)
{
	for (size_t i = 0; i < es->n; i++)
		if (rn_encoder_fits(&es->at[i]))
			return true;
	return false;
}

const char *rn_encoder_kind(const struct rn_encoder *en)
{
	return kinds[en->kind].name;
}

void rn_encoder_print(const struct rn_encoder *en, struct rn_str *out)
{
	rn_str_addf(out, "%s(%s%s%s)", kinds[en->kind].name, en->col, en->ref ? ", " : "",
		    en->ref ? en->ref : "");
}

void rn_encoders_fini(struct rn_encoders *es)
{
	for (size_t i = 0; i < es->n; i++) {
		free(es->at[i].col);
		free(es->at[i].ref);
		free(es->at[i].empty);
		free(es->at[i].name);
	}
	free(es->at);
	*es = (struct rn_encoders){ 0 };
}

/* ---- words ------------------------------------------------------------------------------ */

/* One argument of a call. */
struct arg {
	size_t pos;
	char *name;  /* of an option, or NULL */
	char *text;  /* a name, a word, or the digits of a number */
	bool number; /* written as one: num */
	double num;
};

struct parser {
	const char *text;
	size_t at;
	bool bare; /* a column may stand alone */
	size_t nargs, cap_args;
	struct arg *args;
	struct rn_err *e;
};

static int wrong(const struct parser *p, size_t pos, const char *fmt, ...) RN_PRINTF(3, 4);

static int wrong(const struct parser *p, size_t pos, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	rn_err_vset(p->e, RN_EUSAGE, fmt, ap);
	va_end(ap);
	return rn_eexpr_caret(p->text, pos, RN_EUSAGE, p->e);
}

static void skip(struct parser *p)
{
	while (isspace((unsigned char)p->text[p->at]))
		p->at++;
}

static bool take(struct parser *p, char c)
{
	skip(p);
	if (p->text[p->at] != c)
		return false;
	p->at++;
	return true;
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '.' || (unsigned char)c >= 0x80;
}

static bool is_number(char c)
{
	return isdigit((unsigned char)c) || c == '-' || c == '.';
}

static int copy(struct parser *p, size_t from, size_t n, char **out)
{
	*out = strndup(p->text + from, n);
	return *out ? 0 : rn_err_nomem(p->e, n + 1, "a name");
}

/* A name, a word, a string or a number into a->text; the text owned. */
static int value(struct parser *p, const char *want, struct arg *a)
{
	const char *s = p->text;
	size_t from;
	char quote;

	skip(p);
	a->pos = from = p->at;
	quote = s[from];
	if (quote == '`' || quote == '\'' || quote == '"') {
		const char *end = strchr(s + from + 1, quote);

		if (!end || end == s + from + 1)
			return wrong(p, from, "expected a closing %c behind a name", quote);
		p->at = (size_t)(end - s) + 1;
		return copy(p, from + 1, p->at - from - 2, &a->text);
	}
	a->number = is_number(quote);
	if (a->number)
		p->at++;
	/* The sign of an exponent, as in 1e-3, belongs to the number. */
	while (is_word(s[p->at]) ||
	       (a->number && s[p->at] == '-' && (s[p->at - 1] | 0x20) == 'e'))
		p->at++;
	if (p->at == from)
		return wrong(p, from, "expected %s", want);
	RN_TRY(copy(p, from, p->at - from, &a->text));
	if (a->number &&
	    (!rn_float64_parse(a->text, strlen(a->text), &a->num) || !isfinite(a->num)))
		return wrong(p, from, "'%s' is no number (a column of that name stands in "
			     "`backquotes`)", a->text);
	return 0;
}

static void drop_args(struct parser *p)
{
	for (size_t i = 0; i < p->nargs; i++) {
		free(p->args[i].name);
		free(p->args[i].text);
	}
	p->nargs = 0;
}

/* "a", "12", "name=value" */
static int parse_arg(struct parser *p)
{
	struct arg *a;

	if (p->nargs == MAX_ARGS)
		return wrong(p, p->at, "more than %d arguments", MAX_ARGS);
	RN_TRY(rn_grow(&p->args, &p->cap_args, p->nargs + 1, sizeof *a, "encoders", p->e));
	a = &p->args[p->nargs++];
	*a = (struct arg){ 0 };
	RN_TRY(value(p, "a column name", a));
	if (a->number || !take(p, '='))
		return 0;
	a->name = a->text;
	a->text = NULL;
	return value(p, "a value", a);
}

/* Behind "(". */
static int parse_group(struct parser *p)
{
	if (take(p, ')'))
		return 0;
	do
		RN_TRY(parse_arg(p));
	while (take(p, ','));
	return take(p, ')') ? 0 : wrong(p, p->at, "expected ',' or ')'");
}

/* Columns that have parentheses of their own come first then, as without. */
static int parse_args(struct parser *p)
{
	struct arg *all;
	size_t first, n;

	RN_TRY(parse_group(p));
	first = p->nargs;
	if (!take(p, '('))
		return 0;
	RN_TRY(parse_group(p));
	n = p->nargs;
	for (size_t i = first; i < n; i++)
		if (p->args[i].name || p->args[i].number)
			return wrong(p, p->args[i].pos, "expected a column name");
	RN_TRY(rn_calloc(n, sizeof *all, "encoders", &all, p->e));
	for (size_t i = 0; i < n; i++)
		all[i] = p->args[i < n - first ? first + i : i - (n - first)];
	free(p->args);
	p->args = all;
	p->cap_args = n;
	return 0;
}

/* ---- options ------------------------------------------------------------------------------ */

static int choose(const struct parser *p, const struct arg *a, const char *const *names, size_t n,
		  unsigned *out)
{
	struct rn_str all = RN_STR_INIT;
	int rc;

	for (*out = 0; *out < n; ++*out)
		if (!strcmp(names[*out], a->text))
			return 0;
	for (size_t i = 0; i < n; i++)
		rn_str_addf(&all, "%s%s", i ? ", " : "", names[i]);
	rc = wrong(p, a->pos, "%s%sexpected one of %s", a->name ? a->name : "", a->name ? ": " : "",
		   all.s);
	rn_str_fini(&all);
	return rc;
}

static int flag(const struct parser *p, const struct arg *a, bool *out)
{
	static const char *const words[] = { "false", "true", "False", "True" };
	unsigned i;

	RN_TRY(choose(p, a, words, 4, &i));
	*out = i % 2;
	return 0;
}

static int whole(const struct parser *p, const struct arg *a, uint64_t max, uint64_t *out)
{
	if (!a->number || !(a->num >= 1) || a->num > (double)max || a->num != rint(a->num))
		return wrong(p, a->pos, "expected a whole number from 1 to %" PRIu64, max);
	*out = (uint64_t)a->num;
	return 0;
}

static int set_init(const struct parser *p, const struct arg *a, struct rn_encoder *en)
{
	int rc = rn_init_parse(a->text, &en->init, &en->init_arg, p->e);

	return rc ? rn_eexpr_caret(p->text, a->pos, rc, p->e) : 0;
}

static int set_option(const struct parser *p, const struct arg *a, const struct kind *k,
		      struct rn_encoder *en)
{
	static const struct {
		const char *name;
		unsigned bit;
	} all[] = {
		{ "null", O_NULL }, { "log", O_LOG }, { "scale", O_SCALE }, { "min", O_MIN },
		{ "top", O_TOP }, { "init", O_INIT }, { "ngrams", O_NGRAMS },
		{ "chars", O_CHARS }, { "idf", O_IDF }, { "sign", O_SIGN }, { "norm", O_NORM },
		{ "period", O_PERIOD }, { "words", O_WORDS }, { "hash", O_HASH },
		{ "empty", O_EMPTY }, { "name", O_NAME },
	};
	struct rn_str have = RN_STR_INIT;
	uint64_t count = 0;
	unsigned bit = 0, i = 0;
	int rc = 0;

	for (size_t o = 0; o < sizeof all / sizeof *all; o++) {
		if (!(k->opts & all[o].bit))
			continue;
		rn_str_addf(&have, "%s%s", have.len ? ", " : "", all[o].name);
		if (!strcmp(all[o].name, a->name))
			bit = all[o].bit;
	}
	if (!bit)
		rc = wrong(p, a->pos, "%s has no option '%s' (it has %s)", k->name, a->name,
			   have.len ? have.s : "none");
	rn_str_fini(&have);
	RN_TRY(rc);
	switch (bit) {
	case O_NULL:
		return flag(p, a, &en->null);
	case O_LOG:
		return flag(p, a, &en->log);
	case O_IDF:
		return flag(p, a, &en->idf);
	case O_SIGN:
		return flag(p, a, &en->sign);
	case O_SCALE:
		rc = choose(p, a, scales, sizeof scales / sizeof *scales, &i);
		en->scale = (enum rn_enc_scale)i;
		return rc;
	case O_NORM:
		rc = choose(p, a, norms, sizeof norms / sizeof *norms, &i);
		en->norm = (enum rn_enc_norm)i;
		return rc;
	case O_WORDS:
		rc = choose(p, a, splits, sizeof splits / sizeof *splits, &i);
		en->blanks = i;
		return rc;
	case O_HASH:
		rc = choose(p, a, hashes, sizeof hashes / sizeof *hashes, &i);
		en->crc = i;
		return rc;
	case O_EMPTY:
		en->empty = a->text; /* until add() copies it */
		return 0;
	case O_NAME:
		en->name = a->text; /* the same */
		return 0;
	case O_MIN:
		return whole(p, a, (uint64_t)1 << 53, &en->min);
	case O_TOP:
		return whole(p, a, MAX_WIDTH - 1, &en->top);
	case O_INIT:
		return set_init(p, a, en);
	case O_PERIOD:
		en->period = a->num;
		return a->number && a->num > 0 ? 0 :
						 wrong(p, a->pos, "a period is a number above 0");
	case O_NGRAMS:
	case O_CHARS:
		rc = whole(p, a, 16, &count);
		*(bit == O_CHARS ? &en->chars : &en->ngrams) = (uint32_t)count;
		return rc;
	}
	return 0;
}

/* ---- calls -------------------------------------------------------------------------------- */

static int add(struct parser *p, struct rn_encoders *es, const struct rn_encoder *proto,
	       const struct arg *col, const struct arg *ref)
{
	struct rn_encoder *en;

	if (es->n == MAX_ENCODERS)
		return wrong(p, col->pos, "more than %d columns to encode", MAX_ENCODERS);
	RN_TRY(rn_grow(&es->at, &es->cap, es->n + 1, sizeof *en, "encoders", p->e));
	en = &es->at[es->n++];
	*en = *proto;
	en->col = strdup(col->text);
	en->ref = ref ? strdup(ref->text) : NULL;
	en->empty = proto->empty ? strdup(proto->empty) : NULL;
	en->name = proto->name ? strdup(proto->name) : NULL;
	return en->col && (!ref || en->ref) && (!proto->empty || en->empty) && (!proto->name || en->name) ?
		       0 :
		       rn_err_nomem(p->e, 0, "a name");
}

/* cyclic(t, hour, weekday): what follows the column are parts. */
static int set_parts(struct parser *p, size_t n, struct rn_encoder *en)
{
	unsigned i;

	for (size_t k = 1; k < n; k++) {
		RN_TRY(choose(p, &p->args[k], rn_enc_parts, RN_NPARTS, &i));
		if (en->parts >> i & 1)
			return wrong(p, p->args[k].pos, "'%s' is there twice",
				     rn_enc_parts[i]);
		en->parts |= 1u << i;
	}
	if (n > 1 && en->period > 0)
		return wrong(p, p->args[1].pos,
			     "parts are of a timestamp, and a period of a number");
	if (n == 1)
		en->parts = 1u << RN_PART_HOUR | 1u << RN_PART_WEEKDAY | 1u << RN_PART_YEARDAY;
	return 0;
}

/* Columns, size and options of a call, one encoder per column. */
static int make(struct parser *p, size_t pos, enum rn_enc_kind kind, struct rn_encoders *es)
{
	struct rn_encoder proto = { .kind = kind, .init = RN_INIT_NORMAL, .init_arg = 1 };
	const struct kind *k = &kinds[kind];
	size_t ncols = 0, npos = 0;
	uint64_t size = 0;

	proto.log = kind == RN_ENC_SINCE;
	while (npos < p->nargs && !p->args[npos].name)
		npos++;
	for (size_t i = npos; i < p->nargs; i++) {
		if (!p->args[i].name)
			return wrong(p, p->args[i].pos,
				     "an option stands before this: columns come first, as in %s",
				     k->form);
		RN_TRY(set_option(p, &p->args[i], k, &proto));
	}
	while (ncols < npos && !p->args[ncols].number)
		ncols++;
	if (k->size && ncols < npos) {
		RN_TRY(whole(p, &p->args[ncols], kind == RN_ENC_CATEGORY ? 1 << 16 : MAX_WIDTH,
			     &size));
		proto.n = (uint32_t)size;
	}
	if (!ncols || ncols + k->size != npos ||
	    (k->one && kind != RN_ENC_CYCLIC && ncols != (kind == RN_ENC_SINCE ? 2u : 1u)))
		return wrong(p, pos, "expected %s", k->form);
	if (proto.ngrams && proto.chars)
		return wrong(p, pos, "ngrams are of words: give them or chars, not both");
	if (kind == RN_ENC_CYCLIC)
		RN_TRY(set_parts(p, npos, &proto));
	if (k->one)
		return add(p, es, &proto, &p->args[0],
			   kind == RN_ENC_SINCE ? &p->args[1] : NULL);
	for (size_t i = 0; i < ncols; i++)
		RN_TRY(add(p, es, &proto, &p->args[i], NULL));
	return 0;
}

static int no_kind(struct parser *p, const struct arg *a)
{
	struct rn_str all = RN_STR_INIT;
	char hint[RN_NEAR_MAX + 32];
	struct rn_near near;
	int rc;

	rn_near_init(&near, a->text);
	for (unsigned k = 0; k < RN_NENCS; k++) {
		rn_near_add(&near, kinds[k].name);
		rn_str_addf(&all, "%s%s", k ? ", " : "", kinds[k].name);
	}
	rc = wrong(p, a->pos, "there is no encoder '%s'%s (there are %s)", a->text,
		   near.best ? rn_near_hint(&near, hint, sizeof hint) : "", all.s);
	rn_str_fini(&all);
	return rc;
}

static int parse_call(struct parser *p, struct rn_encoders *es)
{
	struct arg kind = { 0 };
	unsigned k = 0;
	int rc;

	rc = value(p, "an encoder, like numeric(age) or onehot(color)", &kind);
	skip(p);
	if (!rc && p->bare && p->text[p->at] != '(') {
		struct rn_encoder raw = { .kind = RN_ENC_RAW };

		rc = kind.number ? wrong(p, kind.pos, "expected a column name")
				 : add(p, es, &raw, &kind, NULL);
		free(kind.text);
		return rc;
	}
	while (!rc && k < RN_NENCS && strcmp(kinds[k].name, kind.text) &&
	       strcmp(kinds[k].module, kind.text))
		k++;
	if (!rc && k == RN_NENCS)
		rc = no_kind(p, &kind);
	if (!rc && !take(p, '('))
		rc = wrong(p, p->at, "expected '(': %s", kinds[k].form);
	if (!rc)
		rc = parse_args(p);
	if (!rc)
		rc = make(p, kind.pos, (enum rn_enc_kind)k, es);
	drop_args(p);
	free(kind.text);
	return rc;
}

static int parse(const char *text, size_t from, bool bare, struct rn_encoders *out,
		 struct rn_err *e)
{
	struct parser p = { .text = text, .at = from, .e = e, .bare = bare };
	int rc;

	*out = (struct rn_encoders){ 0 };
	do
		rc = parse_call(&p, out);
	while (!rc && take(&p, ','));
	skip(&p);
	if (!rc && text[p.at] && !(bare && text[p.at] == ']'))
		rc = wrong(&p, p.at, "expected ',' or %s", bare ? "']'" : "the end");
	free(p.args);
	if (rc)
		rn_encoders_fini(out);
	return rc;
}

int rn_encoders_parse(const char *text, struct rn_encoders *out, struct rn_err *e)
{
	return parse(text, 0, false, out, e);
}

int rn_encoders_parse_bare(const char *text, size_t from, struct rn_encoders *out,
			   struct rn_err *e)
{
	return parse(text, from, true, out, e);
}
