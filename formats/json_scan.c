/* SPDX-License-Identifier: Apache-2.0
 *
 * Strict JSON (RFC 8259), but that NUL is refused in strings, as everywhere in
 * text.  The scanner only validates and delimits; values are made of the fields
 * later, when their column's type is known.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "json_scan.h"

#include "../lib/base/mem.h"
#include "../lib/base/num_fast.h"
#include "../lib/base/utf8.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 200 }; /* of arrays and objects in a value */

const char rn_json_new_key[] = "the key is new";

/* ---- keys -------------------------------------------------------------------- */

static size_t find_slot(const struct rn_json_keys *k, const char *name, size_t len)
{
	size_t i = XXH3_64bits(name, len) & (k->nslots - 1);

	while (k->slot[i]) {
		const struct rn_json_key *there = &k->key[k->slot[i] - 1];

		if (there->len == len && memcmp(there->name, name, len) == 0)
			break;
		i = (i + 1) & (k->nslots - 1);
	}
	return i;
}

/* Room for one more at most half full. */
static int grow_slots(struct rn_json_keys *k, struct rn_err *e)
{
	size_t n = k->nslots ? 2 * k->nslots : 64;
	uint32_t *slot;

	if (2 * (k->n + 1) <= k->nslots)
		return 0;
	RN_TRY(rn_calloc(n, sizeof *slot, "keys", &slot, e));
	free(k->slot);
	k->slot = slot;
	k->nslots = n;
	for (size_t i = 0; i < k->n; i++)
		slot[find_slot(k, k->key[i].name, k->key[i].len)] = (uint32_t)i + 1;
	return 0;
}

int rn_json_keys_add(struct rn_json_keys *k, const char *name, size_t len, size_t *out,
		     struct rn_err *e)
{
	char *copy;
	size_t i;

	RN_TRY(grow_slots(k, e));
	i = find_slot(k, name, len);
	if (k->slot[i]) {
		*out = k->slot[i] - 1;
		return 0;
	}
	RN_TRY(rn_grow(&k->key, &k->cap, k->n + 1, sizeof *k->key, "keys", e));
	copy = strndup(name, len);
	if (!copy)
		return rn_err_nomem(e, len + 1, "a key");
	k->key[k->n] = (struct rn_json_key){ .name = copy, .len = len };
	k->slot[i] = (uint32_t)++k->n;
	*out = k->n - 1;
	return 0;
}

void rn_json_keys_fini(struct rn_json_keys *k)
{
	for (size_t i = 0; i < k->n; i++)
		free(k->key[i].name);
	free(k->key);
	free(k->slot);
	*k = (struct rn_json_keys){ 0 };
}

/* ---- values ------------------------------------------------------------------ */

struct cursor {
	const char *p, *end;
	const char *fault;
};

static bool fail(struct cursor *c, const char *what)
{
	c->fault = what;
	return false;
}

/* The next byte that is no space; 0 at the end (and for a NUL, which nothing allows). */
static char peek(struct cursor *c)
{
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\r'))
		c->p++;
	return c->p < c->end ? *c->p : '\0';
}

static int hex4(const char *p, const char *end)
{
	int v = 0;

	for (int i = 0; i < 4; i++, p++) {
		char d = p < end ? *p : '\0';

		if (d >= '0' && d <= '9')
			v = v * 16 + d - '0';
		else if ((d | 32) >= 'a' && (d | 32) <= 'f')
			v = v * 16 + (d | 32) - 'a' + 10;
		else
			return -1;
	}
	return v;
}

/* \uXXXX from c->p on, a pair where that is one. */
static bool scan_unicode(struct cursor *c)
{
	int v = hex4(c->p + 2, c->end);

	if (v < 0)
		return fail(c, "\\u wants four hexadecimal digits");
	if (!v)
		return fail(c, "there is a NUL character");
	if (v >= 0xDC00 && v <= 0xDFFF)
		return fail(c, "half of a surrogate pair");
	if (v >= 0xD800 && v <= 0xDBFF) {
		int low = c->end - c->p >= 12 && c->p[6] == '\\' && c->p[7] == 'u' ?
				  hex4(c->p + 8, c->end) : -1;

		if (low < 0xDC00 || low > 0xDFFF)
			return fail(c, "half of a surrogate pair");
		c->p += 6;
	}
	c->p += 6;
	return true;
}

/* Nonzero bytes where x has a quote, a backslash or a control character (above the first
 * of them not exact). */
static uint64_t ends_run(uint64_t x)
{
	const uint64_t ones = 0x0101010101010101ull;
	uint64_t quote = x ^ ones * '"', back = x ^ ones * '\\';

	return (((quote - ones) & ~quote) | ((back - ones) & ~back) | ((x - ones * 0x20) & ~x)) &
	       ones * 0x80;
}

/* A string, of which c->p is the opening quote; f: what is between the quotes. */
static bool scan_string(struct cursor *c, struct rn_csv_field *f)
{
	*f = (struct rn_csv_field){ .p = ++c->p, .quoted = true };
	for (;;) {
		uint64_t x;
		unsigned char b;

		while (c->end - c->p >= 8) {
			memcpy(&x, c->p, 8);
			x = ends_run(x);
			c->p += x ? __builtin_ctzll(x) / 8 : 8;
			if (x)
				break;
		}
		b = c->p < c->end ? (unsigned char)*c->p : 0;

		if (b == '"')
			break;
		if (c->p == c->end)
			return fail(c, "a string is not closed");
		if (b < 0x20)
			return fail(c, "there is a control character in a string");
		if (b != '\\') {
			c->p++;
			continue;
		}
		f->escaped = true;
		if (c->p + 1 < c->end && c->p[1] == 'u') {
			if (!scan_unicode(c))
				return false;
		} else if (c->p + 1 < c->end && c->p[1] && strchr("\"\\/bfnrt", c->p[1])) {
			c->p += 2;
		} else {
			return fail(c, "there is no such escape");
		}
	}
	f->len = (uint32_t)(c->p++ - f->p);
	return true;
}

static bool digits(struct cursor *c)
{
	const char *from = c->p;
	uint64_t other;

	/* The line's end is no digit, and 64 bytes after it are readable. */
	do {
		other = rn_no_digits(rn_load8(c->p));
		c->p += other ? __builtin_ctzll(other) / 8 : 8;
	} while (!other);
	return c->p > from;
}

static bool scan_number(struct cursor *c)
{
	c->p += *c->p == '-';
	if (c->p < c->end && *c->p == '0')
		c->p++;
	else if (!digits(c))
		return fail(c, "expected a value");
	if (c->p < c->end && *c->p == '.') {
		c->p++;
		if (!digits(c))
			return fail(c, "expected a digit");
	}
	if (c->p < c->end && (*c->p | 32) == 'e') {
		c->p++;
		c->p += c->p < c->end && (*c->p == '+' || *c->p == '-');
		if (!digits(c))
			return fail(c, "expected a digit");
	}
	return true;
}

static bool scan_word(struct cursor *c, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(c->end - c->p) < n || memcmp(c->p, word, n) != 0)
		return fail(c, "expected a value");
	c->p += n;
	return true;
}

static bool scan_value(struct cursor *c, struct rn_csv_field *f, unsigned depth);

/* An array or an object within a value: only whether it is well formed. */
static bool scan_nested(struct cursor *c, unsigned depth)
{
	char close = *c->p++ == '[' ? ']' : '}';
	struct rn_csv_field f;

	if (depth == MAX_DEPTH)
		return fail(c, "it is nested too deeply");
	if (peek(c) == close) {
		c->p++;
		return true;
	}
	for (;;) {
		if (close == '}') {
			if (peek(c) != '"')
				return fail(c, "expected a key in quotes");
			if (!scan_string(c, &f))
				return false;
			if (peek(c) != ':')
				return fail(c, "expected ':'");
			c->p++;
		}
		if (!scan_value(c, &f, depth + 1))
			return false;
		if (peek(c) == close)
			break;
		if (*c->p != ',' || c->p == c->end)
			return fail(c, close == ']' ? "expected ',' or ']'" : "expected ',' or '}'");
		c->p++;
	}
	c->p++;
	return true;
}

static bool scan_value(struct cursor *c, struct rn_csv_field *f, unsigned depth)
{
	char b = peek(c);
	const char *from = c->p;
	bool ok;

	if (b == '"')
		return scan_string(c, f);
	*f = (struct rn_csv_field){ .p = from };
	switch (b) {
	case 'n':
		return scan_word(c, "null");
	case 't':
		ok = scan_word(c, "true");
		break;
	case 'f':
		ok = scan_word(c, "false");
		break;
	case '[':
	case '{':
		f->quoted = true; /* no number, whatever it looks like */
		ok = scan_nested(c, depth);
		break;
	default:
		if (c->p == c->end)
			return fail(c, "expected a value");
		ok = scan_number(c);
	}
	f->len = (uint32_t)(c->p - from);
	return ok;
}

/* ---- lines ------------------------------------------------------------------- */

/* The number of the key in f; `hint` is the one that usually comes next. */
static int find_key(struct rn_json_keys *k, bool add, const struct rn_csv_field *f, size_t hint,
		    struct cursor *c, size_t *out, struct rn_err *e)
{
	char *plain = NULL;
	const char *name = f->p;
	size_t len = f->len;
	int rc = 0;

	if (hint < k->n && !f->escaped && k->key[hint].len == len &&
	    memcmp(k->key[hint].name, name, len) == 0) {
		*out = hint;
		return 0;
	}
	if (!rn_utf8_valid(name, len)) {
		c->p = name;
		fail(c, "the key is not UTF-8");
		return 0;
	}
	if (f->escaped) {
		RN_TRY(rn_calloc(len + 1, 1, "a key", &plain, e));
		len = rn_json_unescape(name, len, plain);
		name = plain;
	}
	if (!len) {
		fail(c, "the key is empty");
	} else if (add) {
		rc = rn_json_keys_add(k, name, len, out, e);
	} else {
		size_t i = k->nslots ? find_slot(k, name, len) : 0;

		if (k->nslots && k->slot[i]) {
			*out = k->slot[i] - 1;
		} else {
			c->p = f->p;
			fail(c, rn_json_new_key);
		}
	}
	free(plain);
	return rc;
}

/* Does the text go on with what stood before the value of key i in the first line? */
static inline bool leads_to(const struct rn_json_key *key, const char *p)
{
	uint64_t diff = 0;

	for (unsigned at = 0; at < RN_JSON_LEAD && at < key->nlead; at += 8) {
		unsigned n = key->nlead - at;
		uint64_t x = rn_load8(p + at) ^ rn_load8(key->lead + at);

		diff |= n < 8 ? x << (64 - 8 * n) : x;
	}
	return !diff && key->nlead;
}

/* Remember how key i, which is new, was led to. */
static void learn_lead(struct rn_json_key *key, const char *from, const char *to)
{
	if (to - from > RN_JSON_LEAD)
		return;
	memcpy(key->lead, from, (size_t)(to - from));
	key->nlead = (unsigned char)(to - from);
}

/* "key": value, the value in its place of *f. */
static int scan_member(struct rn_json_keys *k, bool add, struct cursor *c,
		       struct rn_csv_field **f, size_t *cap, size_t *hint, const char *from,
		       struct rn_err *e)
{
	struct rn_csv_field key;
	size_t had = k->n, i = 0;
	const char *at;

	if (peek(c) != '"') {
		fail(c, "expected a key in quotes");
		return 0;
	}
	at = c->p;
	if (!scan_string(c, &key))
		return 0;
	RN_TRY(find_key(k, add, &key, *hint, c, &i, e));
	if (c->fault)
		return 0;
	*hint = i + 1;
	RN_TRY(rn_grow(f, cap, k->n, sizeof **f, "fields", e));
	if (k->n > had)
		(*f)[i] = (struct rn_csv_field){ 0 };
	if ((*f)[i].p) {
		c->p = at;
		fail(c, "the key is there twice");
		return 0;
	}
	if (peek(c) != ':') {
		fail(c, "expected ':'");
		return 0;
	}
	c->p++;
	(void)peek(c);
	if (k->n > had)
		learn_lead(&k->key[i], from, c->p);
	scan_value(c, &(*f)[i], 0);
	return 0;
}

/* Values of the keys from *hint on, as long as the text is as in the lines before. */
static bool scan_usual(const struct rn_json_keys *k, struct cursor *c, struct rn_csv_field *f,
		       size_t *hint)
{
	while (*hint < k->n && leads_to(&k->key[*hint], c->p) && !f[*hint].p) {
		c->p += k->key[*hint].nlead;
		if (!scan_value(c, &f[*hint], 0))
			return false;
		++*hint;
	}
	return true;
}

/* The members of an object that begins at c->p. */
static int scan_members(struct rn_json_keys *k, bool add, struct cursor *c,
			struct rn_csv_field **f, size_t *cap, struct rn_err *e)
{
	const char *from = c->p;
	size_t hint = 0;

	if (!scan_usual(k, c, *f, &hint))
		return 0;
	if (!hint)
		c->p++; /* the brace */
	if (peek(c) == '}') {
		c->p++;
		return 0;
	}
	if (hint && peek(c) != ',') {
		fail(c, "expected ',' or '}'");
		return 0;
	}
	if (hint) {
		from = c->p;
		c->p++;
	}
	for (;;) {
		RN_TRY(scan_member(k, add, c, f, cap, &hint, from, e));
		if (c->fault)
			return 0;
		from = c->p;
		if (peek(c) == '}')
			break;
		if (peek(c) != ',') {
			fail(c, "expected ',' or '}'");
			return 0;
		}
		c->p++;
	}
	c->p++;
	return 0;
}

/* Is it '{' and blanks, as where an object begins that is printed for people? */
static bool opens_only(const char *p, const char *end)
{
	struct cursor c = { .p = p, .end = end };

	return peek(&c) == '{' && (c.p++, !peek(&c)) && c.p >= end;
}

int rn_json_scan_object(struct rn_json_keys *k, bool add, const char *p, const char *end,
			struct rn_csv_field **f, size_t *cap, const char **fault, const char **at,
			struct rn_err *e)
{
	struct cursor c = { .p = p, .end = end };

	RN_TRY(rn_grow(f, cap, k->n + 1, sizeof **f, "fields", e));
	memset(*f, 0, k->n * sizeof **f);
	if (peek(&c) == '{') {
		RN_TRY(scan_members(k, add, &c, f, cap, e));
		if (c.fault && opens_only(p, end))
			c.fault = "a line is a whole object, {…} (of one over several, 'jq -c .' makes a line)";
	} else {
		fail(&c, *c.p == '[' && c.p < end ?
				 "a line is an object, {…} (of an array, 'jq -c .[]' makes lines)" :
				 "a line is an object, {…}");
	}
	if (!c.fault && (peek(&c) || c.p < end))
		fail(&c, "there is more after the object");
	*fault = c.fault;
	*at = c.p;
	return 0;
}

/* ---- escapes ----------------------------------------------------------------- */

static char *put_utf8(char *to, uint32_t v)
{
	if (v < 0x80) {
		*to++ = (char)v;
	} else if (v < 0x800) {
		*to++ = (char)(0xC0 | v >> 6);
		*to++ = (char)(0x80 | (v & 63));
	} else if (v < 0x10000) {
		*to++ = (char)(0xE0 | v >> 12);
		*to++ = (char)(0x80 | (v >> 6 & 63));
		*to++ = (char)(0x80 | (v & 63));
	} else {
		*to++ = (char)(0xF0 | v >> 18);
		*to++ = (char)(0x80 | (v >> 12 & 63));
		*to++ = (char)(0x80 | (v >> 6 & 63));
		*to++ = (char)(0x80 | (v & 63));
	}
	return to;
}

size_t rn_json_unescape(const char *p, size_t n, char *to)
{
	static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
	const char *end = p + n;
	char *start = to;

	while (p < end) {
		if (*p != '\\') {
			*to++ = *p++;
		} else if (p[1] == 'u') {
			uint32_t v = (uint32_t)hex4(p + 2, end);

			if (v >= 0xD800 && v <= 0xDBFF) {
				v = 0x10000 + ((v - 0xD800) << 10) + (uint32_t)hex4(p + 8, end) - 0xDC00;
				p += 6;
			}
			to = put_utf8(to, v);
			p += 6;
		} else {
			*to++ = into[strchr(from, p[1]) - from];
			p += 2;
		}
	}
	return (size_t)(to - start);
}
