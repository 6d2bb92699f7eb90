/* SPDX-License-Identifier: Apache-2.0
 *
 * Regular expressions: from text to tree, by recursive descent.
 */
#include "regex_impl.h"

#include <string.h>

enum { MAX_DEPTH = 100, MAX_REPEAT = 1000 };

uint32_t rn_regex_take(const char *s, size_t n, size_t *at)
{
	const unsigned char *p = (const unsigned char *)s + *at;
	uint32_t c = *p;
	size_t len = c < 0x80 ? 1 : c >= 0xC2 && c < 0xE0 ? 2 : c >= 0xE0 && c < 0xF0 ? 3 :
		     c >= 0xF0 && c < 0xF5 ? 4 : 0;

	if (len == 1 || !len || n - *at < len) {
		*at += 1;
		return c < 0x80 ? c : 0x110000 + c;
	}
	c &= 0x7Fu >> len;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xC0) != 0x80) {
			*at += 1;
			return 0x110000 + *p;
		}
		c = c << 6 | (p[i] & 0x3F);
	}
	*at += len;
	return c;
}

static bool is_letter(uint32_t c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

struct rn_re_node *rn_regex_wrong(struct rn_re_pattern *p, const char *why)
{
	if (!p->why)
		p->why = why;
	return NULL;
}

static struct rn_re_node *parse_or(struct rn_re_pattern *p);

static struct rn_re_node *new_node(struct rn_re_pattern *p, int kind, struct rn_re_node *a,
				   struct rn_re_node *b)
{
	struct rn_re_node *t = rn_arena_alloc(p->mem, sizeof *t, p->e);

	if (t) {
		t->kind = kind;
		t->a = a;
		t->b = b;
	}
	return t;
}

static struct rn_re_node *one(struct rn_re_pattern *p, enum rn_re_op op, uint32_t x)
{
	struct rn_re_node *t = new_node(p, RN_RE_T_ONE, NULL, NULL);

	if (t)
		t->one = (struct rn_re_inst){ op, x, 0 };
	return t;
}

static bool more(const struct rn_re_pattern *p)
{
	return p->at < p->n;
}

static bool looking_at(const struct rn_re_pattern *p, const char *what)
{
	size_t n = strlen(what);

	return p->n - p->at >= n && !memcmp(p->s + p->at, what, n);
}

/* ---- sets ---------------------------------------------------------------------------- */

/* Grown in the arena: what it leaves behind is small. */
static bool add_range(struct rn_re_pattern *p, struct rn_re_set *t, uint32_t from, uint32_t to)
{
	if (t->n == t->cap) {
		size_t cap = t->cap ? 2 * t->cap : 8;
		struct rn_re_range *r = rn_arena_alloc(p->mem, cap * sizeof *r, p->e);

		if (!r)
			return false;
		if (t->n)
			memcpy(r, t->r, t->n * sizeof *r);
		t->r = r;
		t->cap = cap;
	}
	t->r[t->n++] = (struct rn_re_range){ from, to };
	return true;
}

/* The same range of letters in the other case. */
static bool add_folded(struct rn_re_pattern *p, struct rn_re_set *t, uint32_t from, uint32_t to)
{
	static const uint32_t cases[2][2] = { { 'A', 'Z' }, { 'a', 'z' } };

	if (!add_range(p, t, from, to))
		return false;
	for (int i = 0; p->fold && i < 2; i++) {
		uint32_t a = from > cases[i][0] ? from : cases[i][0];
		uint32_t b = to < cases[i][1] ? to : cases[i][1];

		if (a <= b && !add_range(p, t, a ^ 0x20, b ^ 0x20))
			return false;
	}
	return true;
}

/* Ranges of ASCII by name, as pairs of characters; the letters are those of \d, \w, \s. */
static const char *class_ranges(const char *name, size_t n)
{
	static const char *const classes[][2] = {
		{ "d", "09" },	      { "w", "09AZ__az" },   { "s", "\t\r  " },
		{ "digit", "09" },    { "alpha", "AZaz" },   { "alnum", "09AZaz" },
		{ "space", "\t\r  " }, { "upper", "AZ" },     { "lower", "az" },
		{ "xdigit", "09AFaf" }, { "punct", "!/:@[`{~" }, { "blank", "\t\t  " },
	};

	for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
		if (strlen(classes[i][0]) == n && !memcmp(classes[i][0], name, n))
			return classes[i][1];
	return NULL;
}

/* The class, or where `negated` all others, as part of a set. */
static bool add_class(struct rn_re_pattern *p, struct rn_re_set *t, const char *ranges,
		      bool negated)
{
	uint32_t next = 0;

	for (; *ranges; ranges += 2) {
		uint32_t from = (unsigned char)ranges[0], to = (unsigned char)ranges[1];

		if (!negated && !add_folded(p, t, from, to))
			return false;
		if (negated && from > next && !add_range(p, t, next, from - 1))
			return false;
		next = to + 1;
	}
	return !negated || add_range(p, t, next, UINT32_MAX);
}

static struct rn_re_node *set_node(struct rn_re_pattern *p, const struct rn_re_set *t)
{
	struct rn_regex *x = p->x;

	if (x->nsets == p->cap_sets) {
		size_t cap = p->cap_sets ? 2 * p->cap_sets : 8;
		struct rn_re_set *more_sets = rn_arena_alloc(p->mem, cap * sizeof *more_sets, p->e);

		if (!more_sets)
			return NULL;
		if (x->nsets)
			memcpy(more_sets, x->sets, x->nsets * sizeof *more_sets);
		x->sets = more_sets;
		p->cap_sets = cap;
	}
	x->sets[x->nsets++] = *t;
	return one(p, RN_RE_SET, (uint32_t)x->nsets - 1);
}

static const char escapes[] = "n\nt\tr\rf\fv\v";

/* What \c is as a character; others stand for themselves, but letters and digits. */
static bool escaped(struct rn_re_pattern *p, uint32_t c, uint32_t *out)
{
	for (size_t i = 0; escapes[i]; i += 2)
		if ((unsigned char)escapes[i] == c) {
			*out = (unsigned char)escapes[i + 1];
			return true;
		}
	*out = c;
	if (!rn_regex_is_word(c) || c == '_')
		return true;
	rn_regex_wrong(p, "an escape that means nothing");
	return false;
}

/* One end of a range in brackets; *class: it is not an end but a class, added to t. */
static bool set_item(struct rn_re_pattern *p, struct rn_re_set *t, uint32_t *c, bool *class)
{
	const char *ranges, *name = p->s + p->at + 2, *end;

	*class = true;
	if (looking_at(p, "[:")) {
		end = memmem(name, p->n - p->at - 2, ":]", 2);
		ranges = end ? class_ranges(name, (size_t)(end - name)) : NULL;
		if (!ranges || end - name < 2) {
			rn_regex_wrong(p, "an unknown [:class:]");
			return false;
		}
		p->at = (size_t)(end - p->s) + 2;
		return add_class(p, t, ranges, false);
	}
	*c = rn_regex_take(p->s, p->n, &p->at);
	if (*c == '\\' && more(p)) {
		char letter = (char)(p->s[p->at] | 0x20);

		ranges = strchr("dws", letter) && letter ? class_ranges(&letter, 1) : NULL;
		if (ranges && is_letter((unsigned char)p->s[p->at])) {
			bool negated = !(p->s[p->at++] & 0x20);

			return add_class(p, t, ranges, negated);
		}
		*class = false;
		return escaped(p, rn_regex_take(p->s, p->n, &p->at), c);
	}
	*class = false;
	return true;
}

/* Behind the [. */
static struct rn_re_node *parse_set(struct rn_re_pattern *p)
{
	struct rn_re_set t = { 0 };

	t.negated = more(p) && p->s[p->at] == '^';
	p->at += t.negated;
	for (bool first = true; more(p) && (first || p->s[p->at] != ']'); first = false) {
		uint32_t from, to;
		bool class;

		if (!set_item(p, &t, &from, &class))
			return NULL;
		if (class)
			continue;
		to = from;
		if (p->n - p->at >= 2 && p->s[p->at] == '-' && p->s[p->at + 1] != ']') {
			p->at++;
			if (!set_item(p, &t, &to, &class))
				return NULL;
			if (class || to < from)
				return rn_regex_wrong(p, "a range that ends before it starts");
		}
		if (!add_folded(p, &t, from, to))
			return NULL;
	}
	if (!more(p))
		return rn_regex_wrong(p, "no closing ']'");
	p->at++;
	return set_node(p, &t);
}

/* ---- atoms and repeats --------------------------------------------------------------- */

static struct rn_re_node *character(struct rn_re_pattern *p, uint32_t c)
{
	struct rn_re_set t = { 0 };

	if (!p->fold || !is_letter(c))
		return one(p, RN_RE_CHAR, c);
	return add_folded(p, &t, c, c) ? set_node(p, &t) : NULL;
}

/* Behind the backslash. */
static struct rn_re_node *parse_escape(struct rn_re_pattern *p)
{
	struct rn_re_set t = { 0 };
	const char *ranges;
	uint32_t c;
	char letter;

	if (!more(p))
		return rn_regex_wrong(p, "a backslash at its end");
	c = rn_regex_take(p->s, p->n, &p->at);
	if (c == 'b' || c == 'B')
		return one(p, c == 'b' ? RN_RE_EDGE : RN_RE_NO_EDGE, 0);
	letter = (char)(c | 0x20);
	ranges = is_letter(c) ? class_ranges(&letter, 1) : NULL;
	if (ranges)
		return add_class(p, &t, ranges, !(c & 0x20)) ? set_node(p, &t) : NULL;
	return escaped(p, c, &c) ? character(p, c) : NULL;
}

/* Behind the (. */
static struct rn_re_node *parse_group(struct rn_re_pattern *p)
{
	bool kept = !looking_at(p, "?:");
	uint32_t group = UINT32_MAX;
	struct rn_re_node *a, *t;

	if (!kept)
		p->at += 2;
	else if (more(p) && p->s[p->at] == '?')
		return rn_regex_wrong(p, "a group that starts with '?' (there are (?:…), and (?i) "
					 "at the start)");
	else if (p->groups < RN_REGEX_GROUPS)
		group = p->groups++;
	a = parse_or(p);
	if (!a)
		return NULL;
	if (!more(p))
		return rn_regex_wrong(p, "no closing ')'");
	p->at++; /* parse_or stops at a ')' only */
	t = new_node(p, RN_RE_T_GROUP, a, NULL);
	if (t)
		t->group = group;
	return t;
}

static struct rn_re_node *parse_atom(struct rn_re_pattern *p)
{
	uint32_t c = rn_regex_take(p->s, p->n, &p->at);

	switch (c) {
	case '(':
		return parse_group(p);
	case '[':
		return parse_set(p);
	case '\\':
		return parse_escape(p);
	case '.':
		return one(p, RN_RE_ANY, 0);
	case '^':
		return one(p, RN_RE_START, 0);
	case '$':
		return one(p, RN_RE_END, 0);
	case '*':
	case '+':
	case '?':
		return rn_regex_wrong(p, "a repeat of nothing");
	default:
		return character(p, c);
	}
}

/* A number at *at, which moves past it; UINT32_MAX where there is none. */
static uint32_t number(const struct rn_re_pattern *p, size_t *at)
{
	uint32_t v = 0;
	size_t from = *at;

	for (; *at < p->n && p->s[*at] >= '0' && p->s[*at] <= '9'; ++*at)
		v = v > MAX_REPEAT ? v : 10 * v + (uint32_t)(p->s[*at] - '0');
	return *at > from ? v : UINT32_MAX;
}

/* {2}, {2,}, {2,5}; any other { is a character. */
static bool take_counts(struct rn_re_pattern *p, uint32_t *min, uint32_t *max)
{
	size_t at = p->at + 1;

	*min = *max = number(p, &at);
	if (*min == UINT32_MAX)
		return false;
	if (at < p->n && p->s[at] == ',') {
		at++;
		*max = number(p, &at);
	}
	if (at == p->n || p->s[at] != '}')
		return false;
	p->at = at + 1;
	return true;
}

static bool take_repeat(struct rn_re_pattern *p, uint32_t *min, uint32_t *max)
{
	char c = more(p) ? p->s[p->at] : '\0';

	if (c == '{')
		return take_counts(p, min, max);
	if (!c || !strchr("*+?", c))
		return false;
	*min = c == '+';
	*max = c == '?' ? 1 : UINT32_MAX;
	p->at++;
	return true;
}

static struct rn_re_node *parse_repeat(struct rn_re_pattern *p)
{
	struct rn_re_node *a = parse_atom(p), *t;
	uint32_t min, max;

	for (unsigned n = 0; a && take_repeat(p, &min, &max); a = t, n++) {
		if (min > MAX_REPEAT || (max > MAX_REPEAT && max != UINT32_MAX))
			return rn_regex_wrong(p, "a repeat of more than 1000 times");
		if (max < min)
			return rn_regex_wrong(p, "a repeat whose bounds are the wrong way round");
		if (n == MAX_DEPTH)
			return rn_regex_wrong(p, "too many repeats of repeats");
		t = new_node(p, RN_RE_T_REPEAT, a, NULL);
		if (!t)
			return NULL;
		t->min = min;
		t->max = max;
		t->lazy = more(p) && p->s[p->at] == '?';
		p->at += t->lazy;
	}
	return a;
}

/* Chains lean to the left: the loops that walk them go down `a` by a loop. */
static struct rn_re_node *parse_cat(struct rn_re_pattern *p)
{
	struct rn_re_node *t = NULL, *b;

	while (more(p) && p->s[p->at] != '|' && p->s[p->at] != ')') {
		b = parse_repeat(p);
		t = !b ? NULL : t ? new_node(p, RN_RE_T_CAT, t, b) : b;
		if (!t)
			return NULL;
	}
	return t ? t : new_node(p, RN_RE_T_EMPTY, NULL, NULL);
}

static struct rn_re_node *parse_or(struct rn_re_pattern *p)
{
	struct rn_re_node *t, *b;

	if (++p->depth > MAX_DEPTH)
		return rn_regex_wrong(p, "groups nested too deeply");
	t = parse_cat(p);
	while (t && more(p) && p->s[p->at] == '|') {
		p->at++;
		b = parse_cat(p);
		t = b ? new_node(p, RN_RE_T_OR, t, b) : NULL;
	}
	p->depth--;
	return t;
}

struct rn_re_node *rn_regex_parse(struct rn_re_pattern *p)
{
	struct rn_re_node *t;

	if (looking_at(p, "(?i)")) {
		p->fold = true;
		p->at = 4;
	}
	t = parse_or(p);
	return t && more(p) ? rn_regex_wrong(p, "a ')' that closes nothing") : t;
}
