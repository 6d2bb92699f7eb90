/* SPDX-License-Identifier: Apache-2.0
 *
 * Option values: argv text and JSON into one normal form.
 *
 * The text of a list or map is split at commas outside brackets and quotes.
 * An item `NAME=EXPR` is split at its first '=' outside them that belongs to no
 * other comparison, if a name stands before it; any other item is its own key.
 * A name in backquotes may hold anything and loses them.  Values of a map that are
 * numbers are kept as their shortest text, so that 5e-4 and 0.0005 are equal.
 */
#include "opt.h"

#include "json.h"
#include "num.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BRIEF = 80 };

/* ---- names and suggestions ------------------------------------------------------- */

static bool names_equal(const char *a, const char *b)
{
	for (; *a && *b; a++, b++)
		if (*a != *b && !((*a == '-' || *a == '_') && (*b == '-' || *b == '_')))
			return false;
	return *a == *b;
}

const struct rn_opt *rn_opt_find(const struct rn_opt *opts, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (names_equal(opts[i].name, name))
			return &opts[i];
	return NULL;
}

static char fold(char c)
{
	return c == '_' ? '-' : (char)tolower((unsigned char)c);
}

/* Optimal string alignment distance: insertions, deletions, substitutions and
 * swaps of neighbours. */
static unsigned edit_distance(const char *a, size_t na, const char *b, size_t nb)
{
	unsigned row[3][RN_NEAR_MAX + 1];

	for (size_t j = 0; j <= nb; j++)
		row[0][j] = (unsigned)j;
	for (size_t i = 1; i <= na; i++) {
		unsigned *cur = row[i % 3], *up = row[(i + 2) % 3], *up2 = row[(i + 1) % 3];

		cur[0] = (unsigned)i;
		for (size_t j = 1; j <= nb; j++) {
			char x = fold(a[i - 1]), y = fold(b[j - 1]);
			unsigned d = up[j - 1] + (x != y);

			if (up[j] + 1 < d)
				d = up[j] + 1;
			if (cur[j - 1] + 1 < d)
				d = cur[j - 1] + 1;
			if (i > 1 && j > 1 && x == fold(b[j - 2]) && fold(a[i - 2]) == y &&
			    up2[j - 2] + 1 < d)
				d = up2[j - 2] + 1;
			cur[j] = d;
		}
	}
	return row[na % 3][nb];
}

void rn_near_init(struct rn_near *n, const char *word)
{
	size_t len = strlen(word);

	*n = (struct rn_near){ .word = word, .dist = (unsigned)(len + 1) / 3 + 1 };
	if (len < 2 || len > RN_NEAR_MAX)
		n->dist = 0;
}

void rn_near_add(struct rn_near *n, const char *candidate)
{
	size_t nw = strlen(n->word), nc = strlen(candidate);
	unsigned d;

	if (!n->dist || !nc || nc > RN_NEAR_MAX)
		return;
	d = edit_distance(n->word, nw, candidate, nc);
	if (nw >= 3 && nc > nw && !strncmp(n->word, candidate, nw))
		d = 1; /* the beginning of a name is as good as a typing error */
	if (d < n->dist && d < nc) {
		n->dist = d;
		n->best = candidate;
	}
}

const char *rn_near_hint(const struct rn_near *n, char *buf, size_t size)
{
	buf[0] = '\0';
	if (n->best)
		snprintf(buf, size, "; did you mean '%s'?", n->best);
	return buf;
}

const char *rn_opt_suggest(const struct rn_opt *opts, size_t n, const char *name)
{
	struct rn_near near;

	rn_near_init(&near, name);
	for (size_t i = 0; i < n; i++)
		if (!(opts[i].flags & RN_OPT_HIDDEN))
			rn_near_add(&near, opts[i].name);
	return near.best;
}

/* ---- splitting ------------------------------------------------------------------- */

struct span {
	const char *s;
	size_t n;
};

static struct span trim(const char *s, const char *end)
{
	while (s < end && isspace((unsigned char)*s))
		s++;
	while (end > s && isspace((unsigned char)end[-1]))
		end--;
	return (struct span){ s, (size_t)(end - s) };
}

/* The first of `stop` outside brackets and quotes, else the end of the text;
 * NULL where a bracket or quote is not closed (*open) or not opened. */
static const char *top_level(const char *s, const char *end, char stop, char *open)
{
	char stack[64];
	size_t depth = 0;

	for (; s < end; s++) {
		char c = *s;

		*open = c;
		if (c == '\'' || c == '"' || c == '`') {
			s = memchr(s + 1, c, (size_t)(end - s - 1));
			if (!s)
				return NULL;
		} else if (c == '(' || c == '[') {
			if (depth == sizeof stack)
				return NULL;
			stack[depth++] = c;
		} else if (c == ')' || c == ']') {
			if (!depth || stack[--depth] != (c == ')' ? '(' : '['))
				return NULL;
		} else if (c == stop && !depth) {
			return s;
		}
	}
	if (depth)
		*open = stack[depth - 1];
	return depth ? NULL : end;
}

static bool is_backquoted(struct span t)
{
	return t.n > 2 && t.s[0] == '`' && !memchr(t.s + 1, '`', t.n - 2) &&
	       t.s[t.n - 1] == '`';
}

static bool is_name(struct span t)
{
	for (size_t i = 0; i < t.n; i++)
		if (!isalnum((unsigned char)t.s[i]) && !((unsigned char)t.s[i] & 0x80) &&
		    !strchr("_.*-", t.s[i]))
			return false;
	return t.n > 0;
}

static struct span unquote(struct span t)
{
	return is_backquoted(t) ? (struct span){ t.s + 1, t.n - 2 } : t;
}

/* The '=' of NAME=EXPR, or NULL. */
static const char *find_equals(struct span item)
{
	const char *end = item.s + item.n, *p = item.s;
	struct span left;
	char open;

	p = top_level(p, end, '=', &open);
	if (!p || p == end || (p + 1 < end && p[1] == '=') ||
	    (p > item.s && strchr("<>!=", p[-1])))
		return NULL;
	left = trim(item.s, p);
	return is_name(left) || is_backquoted(left) ? p : NULL;
}

typedef int item_fn(struct span item, json_t *into, struct rn_err *e);

/* Each item of a comma-separated text. */
static int for_items(const char *s, size_t n, item_fn *fn, json_t *into, struct rn_err *e)
{
	const char *end = s + n, *p;
	char open = 0;

	if (!trim(s, end).n)
		return 0;
	for (;; s = p + 1) {
		struct span item;

		p = top_level(s, end, ',', &open);
		if (!p)
			return rn_err_set(e, RN_EUSAGE, "has '%c' without its partner in '%s'",
					  open, s);
		item = trim(s, p);
		if (!item.n)
			return rn_err_set(e, RN_EUSAGE, "has an empty item");
		RN_TRY(fn(item, into, e));
		if (p == end)
			return 0;
	}
}

static int list_item(struct span item, json_t *into, struct rn_err *e)
{
	json_t *v;

	item = unquote(item);
	RN_TRY(rn_json_string(item.s, item.n, &v, e));
	return rn_json_append(into, v, e);
}

/* A number's shortest text, any other text as it is.  What is too big for its kind, and
 * the words inf and nan (names of columns, perhaps), are left alone. */
static int number_text(struct span t, struct rn_str *out, struct rn_err *e)
{
	bool integral = t.n > 0;
	double d;
	int64_t i;

	for (size_t k = 0; k < t.n; k++)
		integral &= isdigit((unsigned char)t.s[k]) || (!k && t.s[k] == '-' && t.n > 1);
	if (t.n && integral && rn_int64_parse(t.s, t.n, &i)) {
		rn_int64_print(i, out);
	} else if (t.n && !integral && strpbrk("0123456789.-", (char[]){ t.s[0], 0 }) &&
		   rn_float64_parse(t.s, t.n, &d) && isfinite(d)) {
		char buf[RN_NUM_MAX];
		size_t n = rn_float64_format(d, buf);

		rn_str_addn(out, buf, n);
		if (!memchr(buf, '.', n) && !memchr(buf, 'e', n))
			rn_str_add(out, ".0");
	} else {
		rn_str_addn(out, t.s, t.n);
	}
	return rn_str_check(out, e);
}

static int map_put(struct span key, struct span value, json_t *into, struct rn_err *e)
{
	struct rn_str k = RN_STR_INIT, v = RN_STR_INIT;
	json_t *text;
	int rc;

	rn_str_addn(&k, key.s, key.n);
	RN_GOTO(out, rn_str_check(&k, e));
	if (!key.n || !value.n)
		rc = rn_err_set(e, RN_EUSAGE, "has no %s in '%s='",
				key.n ? "value" : "name", k.s);
	else if (json_object_get(into, k.s))
		rc = rn_err_set(e, RN_EUSAGE, "names '%s' twice", k.s);
	else
		rc = number_text(value, &v, e);
	if (rc)
		goto out;
	RN_GOTO(out, rn_json_string(v.s, v.len, &text, e));
	rc = rn_json_set(into, k.s, text, e);
out:
	rn_str_fini(&k);
	rn_str_fini(&v);
	return rc;
}

static int map_item(struct span item, json_t *into, struct rn_err *e)
{
	const char *eq = find_equals(item);

	if (!eq) {
		item = unquote(item);
		return map_put(item, item, into, e);
	}
	return map_put(unquote(trim(item.s, eq)), trim(eq + 1, item.s + item.n), into, e);
}

/* ---- one value -------------------------------------------------------------------- */

static const char *const type_wants[] = {
	[RN_OPT_FLAG] = "true or false",
	[RN_OPT_INT] = "an integer",
	[RN_OPT_NUMBER] = "a number",
	[RN_OPT_STRING] = "a text",
	[RN_OPT_CHOICE] = "a text",
	[RN_OPT_SIZE] = "a size like 512, 64K, 2M or 1.5G",
	[RN_OPT_LIST] = "a list of names",
	[RN_OPT_MAP] = "an object, or a list of NAME=VALUE",
	[RN_OPT_NODE] = "the name of a stage",
};

static const char units[] = "KMGT"; /* powers of 1024 */

int rn_size_parse(const char *s, uint64_t *out, struct rn_err *e)
{
	size_t n = strlen(s);
	const char *unit = n ? strchr(units, toupper((unsigned char)s[n - 1])) : NULL;
	int shift = 0;
	double d;
	int64_t i;

	if (n && unit && *unit) {
		shift = 10 * (int)(unit - units + 1);
		n--;
	}
	if (rn_int64_parse(s, n, &i) && i >= 0 && i <= INT64_MAX >> shift) {
		*out = (uint64_t)i << shift;
		return 0;
	}
	if (shift && n && isdigit((unsigned char)s[0]) && rn_float64_parse(s, n, &d) &&
	    ldexp(d, shift) < 0x1p63) {
		*out = (uint64_t)ldexp(d, shift);
		return 0;
	}
	return rn_err_set(e, RN_EUSAGE, "'%s' is not %s", s, type_wants[RN_OPT_SIZE]);
}

const char *rn_size_text(uint64_t size, char buf[RN_SIZE_TEXT])
{
	size_t n;

	for (unsigned u = sizeof units - 1; u; u--) {
		uint64_t unit = (uint64_t)1 << 10 * u;

		if (size < unit || size % (unit / 4))
			continue;
		n = rn_float64_format((double)size / (double)unit, buf);
		buf[n] = units[u - 1];
		buf[n + 1] = '\0';
		return buf;
	}
	buf[rn_int64_format((int64_t)size, buf)] = '\0';
	return buf;
}

/* "inner, left or anti" */
static void print_choices(const char *choices, struct rn_str *out)
{
	for (const char *p = choices; *p;) {
		size_t n = strcspn(p, "|");
		bool last = !p[n], second_last = !last && !strchr(p + n + 1, '|');

		rn_str_addn(out, p, n);
		rn_str_add(out, last ? "" : second_last ? " or " : ", ");
		p += n + !last;
	}
}

static int check_choice(const struct rn_opt *o, const char *text, struct rn_err *e)
{
	struct rn_str all = RN_STR_INIT;
	size_t n = strlen(text);
	int rc;

	for (const char *p = o->choices; *p; p += strcspn(p, "|"), p += *p == '|')
		if (strcspn(p, "|") == n && !strncmp(p, text, n))
			return 0;
	print_choices(o->choices, &all);
	rc = rn_str_check(&all, e);
	if (!rc)
		rc = rn_err_set(e, RN_EUSAGE, "wants %s, not '%s'", all.s, text);
	rn_str_fini(&all);
	return rc;
}

static int not_text(const struct rn_opt *o, const char *text, struct rn_err *e)
{
	return rn_err_set(e, RN_EUSAGE, "wants %s, not '%s'", type_wants[o->type], text);
}

static int scalar(json_t *v, json_t **out, struct rn_err *e)
{
	*out = v;
	return v ? 0 : rn_err_nomem(e, 0, "an option");
}

/* A list or map from its text. */
static int items_from_text(const struct rn_opt *o, const char *text, json_t **out,
			   struct rn_err *e)
{
	bool map = o->type == RN_OPT_MAP;
	json_t *v;
	int rc;

	RN_TRY(map ? rn_json_object(&v, e) : rn_json_array(&v, e));
	rc = for_items(text, strlen(text), map ? map_item : list_item, v, e);
	if (rc)
		json_decref(v);
	else
		*out = v;
	return rc;
}

static int from_text(const struct rn_opt *o, const char *text, json_t **out, struct rn_err *e)
{
	size_t n = strlen(text);
	uint64_t size;
	int64_t i;
	double d;

	*out = NULL;
	switch (o->type) {
	case RN_OPT_FLAG:
		if (!strcmp(text, "true") || !strcmp(text, "false"))
			return scalar(json_boolean(*text == 't'), out, e);
		return not_text(o, text, e);
	case RN_OPT_INT:
		if (!rn_int64_parse(text, n, &i))
			return not_text(o, text, e);
		return scalar(json_integer(i), out, e);
	case RN_OPT_NUMBER:
		if (!rn_float64_parse(text, n, &d) || !isfinite(d))
			return not_text(o, text, e);
		return scalar(json_real(d), out, e);
	case RN_OPT_SIZE:
		if (rn_size_parse(text, &size, NULL))
			return not_text(o, text, e);
		return scalar(json_integer((json_int_t)size), out, e);
	case RN_OPT_CHOICE:
		RN_TRY(check_choice(o, text, e));
		return rn_json_string(text, n, out, e);
	case RN_OPT_STRING:
		return rn_json_string(text, n, out, e);
	case RN_OPT_LIST:
	case RN_OPT_MAP:
		return items_from_text(o, text, out, e);
	case RN_OPT_NODE:
		break;
	}
	return rn_err_set(e, RN_EBUG, "is an input and has no value");
}

int rn_opt_from_text(const struct rn_opt *o, const char *text, json_t **out, struct rn_err *e)
{
	struct rn_err why = { 0 };
	int rc = from_text(o, text, out, &why);

	if (rc == RN_ENOMEM)
		return rn_err_set(e, rc, "%s", why.msg);
	return rc ? rn_err_set(e, rc, "--%s %s", o->name, why.msg) : 0;
}

static int not_json(const struct rn_opt *o, const json_t *v, struct rn_err *e)
{
	char buf[BRIEF];

	return rn_err_set(e, RN_EUSAGE, "wants %s, not %s", type_wants[o->type],
			  rn_json_brief(v, buf, sizeof buf));
}

/* A text; a number (which a constant may well be) is its text. */
static int text_of_json(const struct rn_opt *o, const json_t *v, struct rn_str *out, struct rn_err *e)
{
	if (json_is_string(v))
		rn_str_addn(out, json_string_value(v), json_string_length(v));
	else if (json_is_number(v))
		rn_json_print(v, RN_JSON_COMPACT, out);
	else
		return not_json(o, v, e);
	return rn_str_check(out, e);
}

static int item_from_json(const struct rn_opt *o, struct span t, json_t *into, struct rn_err *e)
{
	json_t *copy;

	if (!t.n)
		return rn_err_set(e, RN_EUSAGE, "has an empty item");
	if (o->type == RN_OPT_MAP)
		return map_item(trim(t.s, t.s + t.n), into, e);
	RN_TRY(rn_json_string(t.s, t.n, &copy, e));
	return rn_json_append(into, copy, e);
}

static int list_from_json(const struct rn_opt *o, const json_t *v, json_t *into, struct rn_err *e)
{
	struct rn_str s = RN_STR_INIT;
	int rc = 0;

	for (size_t i = 0; i < json_array_size(v) && !rc; i++) {
		const json_t *item = json_array_get(v, i);

		rn_str_clear(&s);
		/* A number names nothing that a map has. */
		rc = o->type == RN_OPT_MAP && !json_is_string(item) ? not_json(o, item, e) :
								       text_of_json(o, item, &s, e);
		if (!rc)
			rc = item_from_json(o, (struct span){ s.s, s.len }, into, e);
	}
	rn_str_fini(&s);
	return rc;
}

static int map_from_json(const json_t *v, json_t *into, struct rn_err *e)
{
	json_t *obj = (json_t *)(uintptr_t)v, *value;
	const char *key;
	int rc = 0;

	json_object_foreach(obj, key, value) {
		struct rn_str text = RN_STR_INIT;

		if (json_is_string(value))
			rn_str_add(&text, json_string_value(value));
		else if (json_is_number(value))
			rn_json_print(value, RN_JSON_COMPACT, &text);
		else
			return rn_err_set(e, RN_EUSAGE, "wants a text or a number for '%s'", key);
		rc = rn_str_check(&text, e);
		if (!rc)
			rc = map_put((struct span){ key, strlen(key) },
				     (struct span){ text.s, text.len }, into, e);
		rn_str_fini(&text);
		if (rc)
			return rc;
	}
	return 0;
}

static int items_from_json(const struct rn_opt *o, const json_t *v, json_t **out,
			   struct rn_err *e)
{
	bool map = o->type == RN_OPT_MAP;
	json_t *into;
	int rc;

	if (json_is_string(v))
		return items_from_text(o, json_string_value(v), out, e);
	if (!json_is_array(v) && !(map && json_is_object(v)))
		return not_json(o, v, e);
	RN_TRY(map ? rn_json_object(&into, e) : rn_json_array(&into, e));
	rc = json_is_object(v) ? map_from_json(v, into, e) : list_from_json(o, v, into, e);
	if (rc)
		json_decref(into);
	else
		*out = into;
	return rc;
}

static int string_from_json(const struct rn_opt *o, const json_t *v, json_t **out,
			    struct rn_err *e)
{
	struct rn_str s = RN_STR_INIT;
	int rc = text_of_json(o, v, &s, e);

	if (!rc)
		rc = from_text(o, s.s, out, e);
	rn_str_fini(&s);
	return rc;
}

int rn_opt_from_json(const struct rn_opt *o, const json_t *v, json_t **out, struct rn_err *e)
{
	*out = NULL;
	switch (o->type) {
	case RN_OPT_FLAG:
		if (!json_is_boolean(v))
			return not_json(o, v, e);
		return scalar(json_boolean(json_is_true(v)), out, e);
	case RN_OPT_INT:
		if (!json_is_integer(v))
			return not_json(o, v, e);
		return scalar(json_integer(json_integer_value(v)), out, e);
	case RN_OPT_NUMBER:
		if (!json_is_number(v))
			return not_json(o, v, e);
		return scalar(json_real(json_number_value(v)), out, e);
	case RN_OPT_SIZE:
		if (json_is_string(v))
			return from_text(o, json_string_value(v), out, e);
		if (!json_is_integer(v) || json_integer_value(v) < 0)
			return not_json(o, v, e);
		return scalar(json_integer(json_integer_value(v)), out, e);
	case RN_OPT_CHOICE:
	case RN_OPT_STRING:
		return string_from_json(o, v, out, e);
	case RN_OPT_LIST:
	case RN_OPT_MAP:
		return items_from_json(o, v, out, e);
	case RN_OPT_NODE:
		break;
	}
	return rn_err_set(e, RN_EBUG, "is an input and has no value");
}

/* ---- printing ------------------------------------------------------------------------- */

/* Would the splitter give the item back as it is? */
static bool plain_item(const char *s, bool map)
{
	struct span t = { s, strlen(s) };
	char open;

	return t.n && trim(s, s + t.n).n == t.n && !is_backquoted(t) &&
	       top_level(s, s + t.n, ',', &open) == s + t.n && !(map && find_equals(t));
}

static void print_name(const char *s, bool plain, struct rn_str *out)
{
	rn_str_addf(out, plain ? "%s" : "`%s`", s);
}

static void print_map(const json_t *v, struct rn_str *out)
{
	json_t *obj = (json_t *)(uintptr_t)v, *value;
	const char *key, *sep = "";

	json_object_foreach(obj, key, value) {
		const char *text = json_string_value(value);

		rn_str_add(out, sep);
		sep = ",";
		if (text && !strcmp(key, text)) {
			print_name(key, plain_item(key, true), out);
			continue;
		}
		print_name(key, is_name((struct span){ key, strlen(key) }), out);
		rn_str_addf(out, "=%s", text ? text : "");
	}
}

void rn_opt_print(const struct rn_opt *o, const json_t *v, struct rn_str *out)
{
	if (json_is_string(v)) {
		rn_str_add(out, json_string_value(v));
	} else if (json_is_object(v)) {
		print_map(v, out);
	} else if (json_is_array(v)) {
		for (size_t i = 0; i < json_array_size(v); i++) {
			const char *s = json_string_value(json_array_get(v, i));

			rn_str_add(out, i ? "," : "");
			print_name(s ? s : "", s && plain_item(s, false), out);
		}
	} else if (o->type == RN_OPT_NUMBER && json_is_number(v)) {
		rn_float64_print(json_number_value(v), out);
	} else {
		rn_json_print(v, RN_JSON_COMPACT, out);
	}
}
