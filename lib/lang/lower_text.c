/* SPDX-License-Identifier: Apache-2.0
 *
 * Terms as the expressions that operators take.
 */
#include "lowering.h"

#include "../base/num.h"
#include "parse.h"

#include <string.h>
#include <strings.h>

const struct rn_schema *rn_view_schema(const struct rn_lowering *l, const struct rn_view *v)
{
	return v->schema ? v->schema : rn_lowering_schema(l, v->node);
}

long rn_view_var(const struct rn_view *v, const char *name)
{
	for (uint32_t i = 0; i < v->nvars; i++)
		if (!strcmp(v->vars[i].name, name))
			return (long)v->vars[i].col;
	return -1;
}

const char *rn_view_part(const struct rn_view *v, const char *name)
{
	for (uint32_t i = 0; i < v->nembs; i++)
		if (!strcmp(v->embs[i].name, name))
			return v->embs[i].part;
	return NULL;
}

static bool plain(const char *s)
{
	if (!*s || (*s >= '0' && *s <= '9'))
		return false;
	for (; *s; s++)
		if (!(*s >= 'a' && *s <= 'z') && !(*s >= 'A' && *s <= 'Z') && !(*s >= '0' && *s <= '9') &&
		    *s != '_' && *s != '.' && !(*s & 0x80))
			return false;
	return true;
}

/* Words of the content language, which a column may be called by, too. */
static bool reserved(const char *s)
{
	static const char *const words[] = { "and", "or", "not", "is", "null", "in", "like", "between",
					     "case", "when", "then", "else", "end", "cast", "true",
					     "false", "as", "escape", "by", "distinct" };

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (!strcasecmp(s, words[i]))
			return true;
	return false;
}

void rn_text_column(const struct rn_schema *s, size_t col, struct rn_str *out)
{
	struct rn_str name = RN_STR_INIT;

	rn_schema_col_name(s, col, &name);
	rn_str_addf(out, plain(name.s) && !reserved(name.s) ? "%s" : "`%s`", name.s);
	out->failed = out->failed || name.failed;
	rn_str_fini(&name);
}

static void print_number(const struct rn_term *t, struct rn_str *out)
{
	char buf[RN_NUM_MAX];
	size_t n = rn_float64_format(t->num, buf);

	rn_str_addn(out, buf, n);
	if (t->is_float && !memchr(buf, '.', n) && !memchr(buf, 'e', n))
		rn_str_add(out, ".0");
}

/* ---- embedding expressions ------------------------------------------------------------------- */

struct emb {
	struct rn_lowering *l;
	const struct rn_view *v;
	struct rn_str *out;
	struct rn_text_map *map;
};

static int note(struct emb *p, const struct rn_term *t)
{
	struct rn_text_map *m = p->map;

	if (!m)
		return 0;
	if (m->n == m->cap) {
		uint32_t cap = m->cap ? 2 * m->cap : 16;
		struct rn_text_piece *new = rn_lowering_alloc(p->l, cap * sizeof *new);

		if (!new)
			return rn_lowering_nomem(p->l);
		if (m->n)
			memcpy(new, m->pieces, m->n * sizeof *new);
		m->pieces = new;
		m->cap = cap;
	}
	m->pieces[m->n++] = (struct rn_text_piece){ (uint32_t)p->out->len, t->at, t->end };
	return 0;
}

static void put_string(const char *s, struct rn_str *out)
{
	char quote = strchr(s, '"') ? '\'' : '"';

	rn_str_addf(out, "%c%s%c", quote, s, quote);
}

static int put(struct emb *p, const struct rn_term *t, int least);

/* In brackets names are columns, and calls are encoders; names among the settings of an
 * encoder, Cyclic(hour)(t) and scale=none, are words. */
static int put_bracket(struct emb *p, const struct rn_term *t, bool setting)
{
	bool made = t->kind == RN_T_CALL && t->arg[0]->kind != RN_T_NAME;
	long col;

	RN_TRY(note(p, t));
	if (t->kind == RN_T_NAME && setting) {
		rn_str_add(p->out, t->str);
		return 0;
	}
	if (t->kind == RN_T_NAME) {
		col = rn_view_var(p->v, t->str);
		if (col < 0)
			return rn_diag_error(p->l->d, t->at, t->end, "no column '%s' in the body", t->str);
		rn_text_column(rn_view_schema(p->l, p->v), (size_t)col, p->out);
		return 0;
	}
	if (t->kind != RN_T_CALL)
		return put(p, t, 0);
	if (t->arg[0]->kind == RN_T_NAME)
		rn_str_add(p->out, t->arg[0]->str);
	else
		RN_TRY(put_bracket(p, t->arg[0], true));
	rn_str_addc(p->out, '(');
	for (uint32_t i = 1; i < t->n; i++) {
		rn_str_add(p->out, i > 1 ? ", " : "");
		if (t->key && t->key[i])
			rn_str_addf(p->out, "%s=", t->key[i]);
		RN_TRY(put_bracket(p, t->arg[i], (setting && !made) || rn_is_setting(t, i)));
	}
	rn_str_addc(p->out, ')');
	return 0;
}

static int put_call(struct emb *p, const struct rn_term *t)
{
	if (t->arg[0]->kind == RN_T_NAME)
		rn_str_add(p->out, t->arg[0]->str);
	else
		RN_TRY(put(p, t->arg[0], 5));
	rn_str_addc(p->out, '(');
	for (uint32_t i = 1; i < t->n; i++) {
		const char *key = t->key ? t->key[i] : NULL;
		bool rows = key && *key == ';';
		long col;

		rn_str_add(p->out, i == 1 ? "" : rows && (!t->key[i - 1] || *t->key[i - 1] != ';') ? "; " : ", ");
		if (rows) {
			col = rn_view_var(p->v, t->arg[i]->str);
			if (col < 0)
				return rn_diag_error(p->l->d, t->arg[i]->at, t->arg[i]->end,
						     "no column '%s' in the body", t->arg[i]->str);
			rn_text_column(rn_view_schema(p->l, p->v), (size_t)col, p->out);
			continue;
		}
		if (key && !strcmp(key, "per") && t->arg[i]->kind == RN_T_NAME) { /* Linear(…, per=rel) */
			rn_str_add(p->out, "per=");
			RN_TRY(put_bracket(p, t->arg[i], false));
			continue;
		}
		if (key)
			rn_str_addf(p->out, "%s=", key);
		RN_TRY(put(p, t->arg[i], 0));
	}
	rn_str_addc(p->out, ')');
	return 0;
}

static int put_name(struct emb *p, const struct rn_term *t)
{
	const char *part = rn_view_part(p->v, t->str);

	if (!part)
		return rn_diag_error(p->l->d, t->at, t->end,
				     "'%s' names no embedding: the relation of its atom has none", t->str);
	rn_str_add(p->out, part);
	return 0;
}

static int put_brackets(struct emb *p, const struct rn_term *t)
{
	for (uint32_t i = 0; i < p->v->nencs; i++)
		if (p->v->encs[i].bracket == t) {
			rn_str_add(p->out, p->v->encs[i].part);
			return 0;
		}
	rn_str_addc(p->out, '[');
	for (uint32_t i = 0; i < t->n; i++) {
		rn_str_add(p->out, i ? ", " : "");
		RN_TRY(put_bracket(p, t->arg[i], false));
	}
	rn_str_addc(p->out, ']');
	return 0;
}

static int put(struct emb *p, const struct rn_term *t, int least)
{
	int mine = rn_term_level(t), rc = 0;

	rn_str_add(p->out, mine < least ? "(" : "");
	RN_TRY(note(p, t));
	switch (t->kind) {
	case RN_T_NUM: print_number(t, p->out); break;
	case RN_T_STR: put_string(t->str, p->out); break;
	case RN_T_BOOL: rn_str_add(p->out, t->num ? "True" : "False"); break;
	case RN_T_NONE: rn_str_add(p->out, "None"); break;
	case RN_T_NAME: rc = put_name(p, t); break;
	case RN_T_CALL: rc = put_call(p, t); break;
	case RN_T_NEG:
		rn_str_addc(p->out, '-');
		rc = put(p, t->arg[0], 3);
		break;
	case RN_T_BIN:
		if (t->op == RN_TOP_MOD)
			return rn_diag_error(p->l->d, t->at, t->end,
					     "'%%' is a remainder of columns, not of embeddings: compute it in an "
					     "attribute of a rule before, as in m: n %% 2");
		RN_TRY(put(p, t->arg[0], t->op == RN_TOP_POW ? 5 : mine));
		rn_str_add(p->out, rn_term_sign(t->op));
		rc = put(p, t->arg[1], t->op == RN_TOP_POW ? 3 : mine + 1);
		break;
	case RN_T_BRACKET: rc = put_brackets(p, t); break;
	default:
		rc = rn_diag_error(p->l->d, t->at, t->end, "this cannot stand in an embedding expression");
	}
	rn_str_add(p->out, mine < least ? ")" : "");
	return rc;
}

int rn_text_emb(struct rn_lowering *l, const struct rn_view *v, const struct rn_term *t,
		struct rn_str *out, struct rn_text_map *map)
{
	struct emb p = { l, v, out, map };

	return put(&p, t, 0);
}

int rn_text_encoders(struct rn_lowering *l, const struct rn_view *v, const struct rn_term *bracket,
		     struct rn_str *out)
{
	struct emb p = { l, v, out, NULL };

	for (uint32_t i = 0; i < bracket->n; i++) {
		bool raw = bracket->arg[i]->kind == RN_T_NAME;

		rn_str_addf(out, "%s%s", i ? ", " : "", raw ? "raw(" : "");
		RN_TRY(put_bracket(&p, bracket->arg[i], false));
		rn_str_add(out, raw ? ")" : "");
	}
	return 0;
}

/* ---- content expressions ------------------------------------------------------------------------ */

static void put_sql_string(const char *s, struct rn_str *out)
{
	rn_str_addc(out, '\'');
	for (; *s; s++) {
		if (*s == '\'')
			rn_str_addc(out, '\'');
		rn_str_addc(out, *s);
	}
	rn_str_addc(out, '\'');
}

static int content(struct rn_lowering *l, const struct rn_view *v, const struct rn_term *t,
		   int least, struct rn_str *out);

/* x == None and x != None are tests, where NULL = NULL would be NULL, and hold of no row. */
static int null_test(struct rn_lowering *l, const struct rn_view *v, const struct rn_term *t,
		     struct rn_str *out)
{
	if (t->op != RN_TOP_EQ && t->op != RN_TOP_NE)
		return rn_diag_error(l->d, t->at, t->end, "None is neither less nor more than anything: test for it with "
				     "'== None' or '!= None'");
	RN_TRY(content(l, v, t->arg[t->arg[0]->kind == RN_T_NONE], rn_term_level(t) + 1, out));
	rn_str_add(out, t->op == RN_TOP_EQ ? " is null" : " is not null");
	return 0;
}

/* cast(x, "int64"): the language of columns has a word there. */
static bool is_cast(const struct rn_term *t)
{
	const char *name = t->arg[0]->str;

	return !strcmp(name, "cast") || !strcmp(name, "try_cast");
}

static int cast_call(struct rn_lowering *l, const struct rn_view *v, const struct rn_term *t,
		     struct rn_str *out)
{
	const struct rn_term *to = t->n == 3 && !t->key ? t->arg[2] : NULL;
	const char *name = t->arg[0]->str;
	enum rn_type type;

	if (!to || to->kind != RN_T_STR)
		return rn_diag_error(l->d, t->at, t->end, "write %s(x, \"int64\"): a value, and the name of a type", name);
	if (rn_type_parse(to->str, &type))
		return rn_diag_error(l->d, to->at, to->end, "there is no type '%s': int64, float64, bool, string, "
				     "timestamp", to->str);
	rn_str_addf(out, "%s(", name);
	RN_TRY(content(l, v, t->arg[1], 0, out));
	rn_str_addf(out, " as %s)", to->str);
	return 0;
}

/* The words: distinct of count alone, by of first and last, behind which nothing stands. */
static int check_word(struct rn_lowering *l, const struct rn_term *t, uint32_t i)
{
	const char *name = t->arg[0]->str, *key = t->key ? t->key[i] : NULL;
	const char *before = t->key ? t->key[i - 1] : NULL;
	const struct rn_term *arg = t->arg[i];

	if (!key && before && !strcmp(before, "by"))
		return rn_diag_error(l->d, arg->at, arg->end, "%s is ordered by one expression: nothing stands behind it",
				     name);
	if (!key)
		return 0;
	if (!rn_is_agg_word(key))
		return rn_diag_error(l->d, arg->at, arg->end, "a function of columns has no argument '%s'", key);
	if (!strcmp(key, "distinct") && strcasecmp(name, "count"))
		return rn_diag_error(l->d, arg->at, arg->end, "only count takes distinct");
	if (!strcmp(key, "by") && strcasecmp(name, "first") && strcasecmp(name, "last"))
		return rn_diag_error(l->d, arg->at, arg->end, "only first and last take by");
	return 0;
}

static int content_call(struct rn_lowering *l, const struct rn_view *v, const struct rn_term *t,
			struct rn_str *out)
{
	if (is_cast(t))
		return cast_call(l, v, t, out);
	rn_str_addf(out, "%s(", t->arg[0]->str);
	for (uint32_t i = 1; i < t->n; i++) {
		const char *key = t->key ? t->key[i] : NULL;

		RN_TRY(check_word(l, t, i));
		rn_str_addf(out, "%s%s%s", i == 1 ? "" : key ? " " : ", ", key ? key : "", key ? " " : "");
		RN_TRY(content(l, v, t->arg[i], 0, out));
	}
	rn_str_addc(out, ')');
	return 0;
}

static int content(struct rn_lowering *l, const struct rn_view *v, const struct rn_term *t,
		   int least, struct rn_str *out)
{
	bool power = t->kind == RN_T_BIN && t->op == RN_TOP_POW;
	int mine = power ? 5 : rn_term_level(t);
	long col;

	rn_str_add(out, mine < least ? "(" : "");
	switch (t->kind) {
	case RN_T_NUM: print_number(t, out); break;
	case RN_T_STR: put_sql_string(t->str, out); break;
	case RN_T_BOOL: rn_str_add(out, t->num ? "true" : "false"); break;
	case RN_T_NONE: rn_str_add(out, "null"); break;
	case RN_T_STAR: rn_str_addc(out, '*'); break;
	case RN_T_NAME:
		col = rn_view_var(v, t->str);
		if (col < 0)
			return rn_diag_error(l->d, t->at, t->end, "'%s' is bound nowhere in the body", t->str);
		rn_text_column(rn_view_schema(l, v), (size_t)col, out);
		break;
	case RN_T_CALL:
		if (t->arg[0]->kind != RN_T_NAME)
			return rn_diag_error(l->d, t->at, t->end, "this cannot stand in an expression over columns");
		if (rn_is_content_agg(t))
			return rn_diag_error(l->d, t->at, t->end, "an aggregate of columns stands in a head: name it there, "
					     "as in P(x, n: %s(...)), and compute with n in the next rule",
					     t->arg[0]->str);
		RN_TRY(content_call(l, v, t, out));
		break;
	case RN_T_NEG:
		rn_str_addc(out, '-');
		RN_TRY(content(l, v, t->arg[0], 4, out));
		break;
	case RN_T_BIN:
		if (t->op == RN_TOP_MATMUL)
			return rn_diag_error(l->d, t->at, t->end, "'@' multiplies embeddings, not columns");
		if (rn_tests_null(t)) {
			RN_TRY(null_test(l, v, t, out));
			break;
		}
		rn_str_add(out, power ? "power(" : "");
		/* Comparisons, level 0, do not chain there: one within another stands in parentheses. */
		RN_TRY(content(l, v, t->arg[0], power ? 0 : mine ? mine : 1, out));
		rn_str_add(out, power ? ", " : rn_term_sign(t->op));
		RN_TRY(content(l, v, t->arg[1], power ? 0 : mine + 1, out));
		rn_str_add(out, power ? ")" : "");
		break;
	default:
		return rn_diag_error(l->d, t->at, t->end, "this cannot stand in an expression over columns");
	}
	rn_str_add(out, mine < least ? ")" : "");
	return 0;
}

int rn_text_content(struct rn_lowering *l, const struct rn_view *v, const struct rn_term *t,
		    struct rn_str *out)
{
	return content(l, v, t, 0, out);
}

int rn_text_aggregate(struct rn_lowering *l, const struct rn_view *v, const struct rn_term *t,
		      struct rn_str *out)
{
	return content_call(l, v, t, out);
}

/* ---- what terms read --------------------------------------------------------------------------------- */

static int add_var(struct rn_lowering *l, const char *name, uint32_t *n, uint32_t *cap,
		   const char ***names)
{
	const char **new;

	for (uint32_t i = 0; i < *n; i++)
		if (!strcmp((*names)[i], name))
			return 0;
	if (*n == *cap) {
		new = rn_lowering_alloc(l, (*cap ? 2 * *cap : 16) * sizeof *new);
		if (!new)
			return rn_lowering_nomem(l);
		if (*n)
			memcpy(new, *names, *n * sizeof *new);
		*names = new;
		*cap = *cap ? 2 * *cap : 16;
	}
	(*names)[(*n)++] = name;
	return 0;
}

/* The columns of an encoder: words among its settings are none. */
static int encoder_vars(struct rn_lowering *l, const struct rn_term *t, uint32_t *n, uint32_t *cap,
			const char ***names)
{
	if (t->kind == RN_T_NAME)
		return add_var(l, t->str, n, cap, names);
	for (uint32_t i = 1; t->kind == RN_T_CALL && i < t->n; i++)
		if (!rn_is_setting(t, i))
			RN_TRY(encoder_vars(l, t->arg[i], n, cap, names));
	return 0;
}

int rn_text_vars(struct rn_lowering *l, const struct rn_term *t, bool emb, uint32_t *n,
		 uint32_t *cap, const char ***names)
{
	bool call = t->kind == RN_T_CALL;

	if (t->kind == RN_T_BRACKET) {
		for (uint32_t i = 0; i < t->n; i++)
			RN_TRY(encoder_vars(l, t->arg[i], n, cap, names));
		return 0;
	}

	if (t->kind == RN_T_NAME)
		return emb ? 0 : add_var(l, t->str, n, cap, names);
	for (uint32_t i = call && t->arg[0]->kind == RN_T_NAME; i < t->n; i++) {
		const char *key = call && t->key ? t->key[i] : NULL;
		bool column = key && (*key == ';' || !strcmp(key, "per"));

		RN_TRY(rn_text_vars(l, t->arg[i], emb && !column, n, cap, names));
	}
	return 0;
}

json_t *rn_term_json(const struct rn_term *t)
{
	json_t *j, *v;

	switch (t->kind) {
	case RN_T_NUM:
		if (!t->is_float && t->num >= -0x1p53 && t->num <= 0x1p53)
			return json_integer((json_int_t)t->num);
		return json_real(t->num);
	case RN_T_STR:
		return json_string(t->str);
	case RN_T_BOOL:
		return json_boolean(t->num != 0);
	case RN_T_BRACKET:
		j = json_array();
		for (uint32_t i = 0; j && i < t->n; i++)
			if (!(v = rn_term_json(t->arg[i])) || json_array_append_new(j, v)) {
				json_decref(j);
				return NULL;
			}
		return j;
	case RN_T_MAP:
		j = json_object();
		for (uint32_t i = 0; j && i < t->n; i++)
			if (!(v = rn_term_json(t->arg[i])) || json_object_set_new(j, t->key[i], v)) {
				json_decref(j);
				return NULL;
			}
		return j;
	default:
		return json_null();
	}
}
