/* SPDX-License-Identifier: Apache-2.0
 *
 * jansson reports a failed allocation as NULL or -1 and so it does with text
 * that is not UTF-8; text is checked here first, so that what is left can only
 * be memory.  Printing is our own: jansson writes 0.1 as 0.10000000000000001.
 */
#include "json.h"

#include "num.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* jansson reports most allocations that fail while it parses as errors of syntax.
 * Those of the text come back when it is parsed again. */
static bool is_syntax_error(const char *text, size_t len, const json_error_t *first)
{
	json_error_t again;
	json_t *v = json_loadb(text, len, JSON_REJECT_DUPLICATES, &again);

	json_decref(v);
	return !v && first->line > 0 && first->line == again.line &&
	       first->column == again.column && !strcmp(first->text, again.text);
}

/* jansson drops a byte of a string whose buffer cannot grow and says nothing of it, so
 * two readings must agree. */
static bool is_whole(const char *text, size_t len, const json_t *v)
{
	json_t *again = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	bool equal = again && rn_json_equal(v, again);

	json_decref(again);
	return equal;
}

int rn_json_load(const char *text, size_t len, const char *file, int code, json_t **out,
		 struct rn_err *e)
{
	json_error_t err;

	*out = json_loadb(text, len, JSON_REJECT_DUPLICATES, &err);
	if (*out) {
		if (is_whole(text, len, *out))
			return 0;
		json_decref(*out);
		*out = NULL;
		return rn_err_nomem(e, len, file);
	}
	if (!is_syntax_error(text, len, &err))
		return rn_err_nomem(e, len, file);
	return rn_err_set(e, code, "%s:%d:%d: %s", file, err.line, err.column,
			  json_error_code(&err) == json_error_null_character ?
				  "a text holds the character \\u0000" :
				  err.text);
}

static int made(json_t *v, json_t **out, struct rn_err *e)
{
	*out = v;
	return v ? 0 : rn_err_nomem(e, 0, "a JSON value");
}

int rn_json_object(json_t **out, struct rn_err *e)
{
	return made(json_object(), out, e);
}

int rn_json_array(json_t **out, struct rn_err *e)
{
	return made(json_array(), out, e);
}

int rn_json_string(const char *s, size_t n, json_t **out, struct rn_err *e)
{
	*out = NULL;
	if (!rn_utf8_valid(s, n))
		return rn_err_set(e, RN_EUSAGE, "'%.*s' is not valid UTF-8",
				  n > 100 ? 100 : (int)n, s);
	return made(json_stringn_nocheck(s, n), out, e);
}

int rn_json_copy(const json_t *v, json_t **out, struct rn_err *e)
{
	return made(json_deep_copy(v), out, e);
}

int rn_json_set(json_t *object, const char *key, json_t *v, struct rn_err *e)
{
	if (!rn_utf8_valid(key, strlen(key))) {
		json_decref(v);
		return rn_err_set(e, RN_EUSAGE, "'%.100s' is not valid UTF-8", key);
	}
	if (!v || json_object_set_new_nocheck(object, key, v))
		return rn_err_nomem(e, 0, "a JSON object");
	return 0;
}

int rn_json_set_text(json_t *object, const char *key, const char *s, struct rn_err *e)
{
	json_t *v;

	RN_TRY(rn_json_string(s, strlen(s), &v, e));
	return rn_json_set(object, key, v, e);
}

int rn_json_append(json_t *array, json_t *v, struct rn_err *e)
{
	if (!v || json_array_append_new(array, v))
		return rn_err_nomem(e, 0, "a JSON array");
	return 0;
}

static bool objects_equal(const json_t *a, const json_t *b)
{
	/* jansson's iterators take no const, and change nothing. */
	json_t *oa = (json_t *)(uintptr_t)a, *ob = (json_t *)(uintptr_t)b;
	void *ia = json_object_iter(oa), *ib = json_object_iter(ob);

	for (; ia && ib; ia = json_object_iter_next(oa, ia), ib = json_object_iter_next(ob, ib))
		if (strcmp(json_object_iter_key(ia), json_object_iter_key(ib)) ||
		    !rn_json_equal(json_object_iter_value(ia), json_object_iter_value(ib)))
			return false;
	return !ia && !ib;
}

bool rn_json_equal(const json_t *a, const json_t *b)
{
	if (!a || !b)
		return a == b;
	if (json_typeof(a) != json_typeof(b))
		return false;
	if (json_is_object(a))
		return objects_equal(a, b);
	if (!json_is_array(a))
		return json_equal(a, b);
	if (json_array_size(a) != json_array_size(b))
		return false;
	for (size_t i = 0; i < json_array_size(a); i++)
		if (!rn_json_equal(json_array_get(a, i), json_array_get(b, i)))
			return false;
	return true;
}

/* ---- printing ------------------------------------------------------------------ */

static void print_string(const char *s, size_t n, struct rn_str *out)
{
	rn_str_addc(out, '"');
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c == '"' || c == '\\')
			rn_str_addc(out, '\\');
		if (c == '\n')
			rn_str_add(out, "\\n");
		else if (c == '\t')
			rn_str_add(out, "\\t");
		else if (c < 0x20 || c == 0x7F)
			rn_str_addf(out, "\\u%04x", c);
		else
			rn_str_addc(out, s[i]);
	}
	rn_str_addc(out, '"');
}

/* A real stays one when it is read again: 12 is written 12.0. */
static void print_real(double v, struct rn_str *out)
{
	char buf[RN_NUM_MAX];
	size_t n = rn_float64_format(v, buf);

	rn_str_addn(out, buf, n);
	if (!memchr(buf, '.', n) && !memchr(buf, 'e', n))
		rn_str_add(out, ".0");
}

static void print_scalar(const json_t *v, struct rn_str *out)
{
	switch (json_typeof(v)) {
	case JSON_STRING:
		print_string(json_string_value(v), json_string_length(v), out);
		break;
	case JSON_INTEGER:
		rn_int64_print(json_integer_value(v), out);
		break;
	case JSON_REAL:
		print_real(json_real_value(v), out);
		break;
	default:
		rn_str_add(out, json_is_true(v) ? "true" : json_is_false(v) ? "false" : "null");
	}
}

/* What stands before an item (or, with last, before the closing bracket). */
static void print_break(int levels, int depth, bool first, bool last, struct rn_str *out)
{
	if (!first && !last)
		rn_str_addc(out, ',');
	if (levels > depth) {
		rn_str_addc(out, '\n');
		for (int i = last ? 0 : -1; i < depth; i++)
			rn_str_add(out, "  ");
	} else if (!first && !last && levels >= 0) {
		rn_str_addc(out, ' ');
	}
}

static void print_value(const json_t *v, int levels, int depth, struct rn_str *out)
{
	bool first = true, object = json_is_object(v);
	json_t *o = (json_t *)(uintptr_t)v;
	void *it = object ? json_object_iter(o) : NULL;

	if (!object && !json_is_array(v)) {
		print_scalar(v, out);
		return;
	}
	rn_str_addc(out, object ? '{' : '[');
	for (; it; it = json_object_iter_next(o, it), first = false) {
		const char *key = json_object_iter_key(it);

		print_break(levels, depth, first, false, out);
		print_string(key, strlen(key), out);
		rn_str_add(out, levels < 0 ? ":" : ": ");
		print_value(json_object_iter_value(it), levels, depth + 1, out);
	}
	for (size_t i = 0; !object && i < json_array_size(v); i++, first = false) {
		print_break(levels, depth, first, false, out);
		print_value(json_array_get(v, i), levels, depth + 1, out);
	}
	if (!first)
		print_break(levels, depth, false, true, out);
	rn_str_addc(out, object ? '}' : ']');
}

void rn_json_print(const json_t *v, int levels, struct rn_str *out)
{
	print_value(v, levels, 0, out);
}

void rn_json_pointer_add(struct rn_str *out, const char *key)
{
	rn_str_addc(out, '/');
	for (; *key; key++) {
		if (*key == '~')
			rn_str_add(out, "~0");
		else if (*key == '/')
			rn_str_add(out, "~1");
		else
			rn_str_addc(out, *key);
	}
}

const char *rn_json_brief(const json_t *v, char *buf, size_t size)
{
	struct rn_str s = RN_STR_INIT;

	if (json_is_object(v) || json_is_array(v)) {
		snprintf(buf, size, "%s", json_is_object(v) ? "an object" : "an array");
		return buf;
	}
	print_scalar(v, &s);
	if (s.failed || s.len < size)
		snprintf(buf, size, "%s", s.failed ? "this value" : s.s);
	else
		snprintf(buf, size, "a long text");
	rn_str_fini(&s);
	return buf;
}
