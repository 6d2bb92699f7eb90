/* SPDX-License-Identifier: Apache-2.0
 *
 * Constants of a JSON spec: ${NAME} in every text below sources, stages and run
 * (in values, not in keys).  "$${" is a plain "${".  A text that is one constant
 * and nothing else becomes its value, so that numbers stay numbers.
 */
#include "plan_impl.h"

#include "../base/num.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 32 };

struct scope {
	const char *file;
	json_t *constants;
};

/* Text of a constant at the end of out. */
static void print_constant(const json_t *v, struct rn_str *out)
{
	if (json_is_string(v))
		rn_str_add(out, json_string_value(v));
	else
		rn_json_print(v, RN_JSON_COMPACT, out);
}

/* The constant at text ("${NAME}…"); *end: after its brace. */
static int find_constant(const json_t *constants, const char *text, const json_t **out,
			 const char **end, struct rn_err *e)
{
	const char *close = strchr(text, '}');
	char *name;
	int rc = 0;

	if (!close)
		return rn_err_set(e, RN_EUSAGE, "'%s' has no '}' (write $${ for a plain ${)", text);
	name = strndup(text + 2, (size_t)(close - text - 2));
	if (!name)
		return rn_err_nomem(e, (size_t)(close - text), "a name");
	*out = json_object_get(constants, name);
	if (!*out)
		rc = rn_plan_unknown("constant", name, constants, e);
	*end = close + 1;
	free(name);
	return rc;
}

/* *v, a text, expanded in place: *v may become another value. */
static int expand_text(const json_t *constants, json_t **v, struct rn_err *e)
{
	const char *text = json_string_value(*v), *p = text, *end;
	struct rn_str out = RN_STR_INIT;
	const json_t *c;
	json_t *made;
	int rc = 0;

	*v = NULL;
	if (!strstr(text, "${"))
		return 0;
	if (!strncmp(text, "${", 2)) {
		RN_TRY(find_constant(constants, text, &c, &end, e));
		if (!*end)
			return rn_json_copy(c, v, e);
	}
	while (*p) {
		if (!strncmp(p, "$${", 3)) {
			rn_str_add(&out, "${");
			p += 3;
		} else if (!strncmp(p, "${", 2)) {
			RN_GOTO(out, find_constant(constants, p, &c, &p, e));
			print_constant(c, &out);
		} else {
			rn_str_addc(&out, *p++);
		}
	}
	RN_GOTO(out, rn_str_check(&out, e));
	rc = rn_json_string(out.s, out.len, &made, e);
	if (!rc)
		*v = made;
out:
	rn_str_fini(&out);
	return rc;
}

static int expand(const struct scope *s, json_t *v, struct rn_str *ptr, int depth,
		  struct rn_err *e);

/* One member: *value is replaced by *made where that is set (owned). */
static int expand_member(const struct scope *s, json_t *value, const char *key, struct rn_str *ptr,
			 int depth, json_t **made, struct rn_err *e)
{
	size_t len = ptr->len;
	int rc;

	*made = NULL;
	rn_json_pointer_add(ptr, key);
	RN_TRY(rn_str_check(ptr, e));
	if (json_is_string(value)) {
		*made = value;
		rc = expand_text(s->constants, made, e);
		if (rc)
			rn_err_prefix(e, rc, "%s: %s", s->file, ptr->s);
	} else {
		rc = expand(s, value, ptr, depth + 1, e);
	}
	if (!rc) {
		ptr->s[len] = '\0';
		ptr->len = len;
	}
	return rc;
}

static int expand(const struct scope *s, json_t *v, struct rn_str *ptr, int depth,
		  struct rn_err *e)
{
	json_t *made;

	if (depth > MAX_DEPTH)
		return rn_err_set(e, RN_EUSAGE, "%s: %s: nested more than %d deep", s->file, ptr->s,
				  MAX_DEPTH);
	for (size_t i = 0; json_is_array(v) && i < json_array_size(v); i++) {
		char key[24];

		snprintf(key, sizeof key, "%zu", i);
		RN_TRY(expand_member(s, json_array_get(v, i), key, ptr, depth, &made, e));
		if (made && json_array_set_new(v, i, made))
			return rn_err_nomem(e, 0, "a JSON array");
	}
	for (void *it = json_is_object(v) ? json_object_iter(v) : NULL; it;
	     it = json_object_iter_next(v, it)) {
		RN_TRY(expand_member(s, json_object_iter_value(it), json_object_iter_key(it), ptr,
				     depth, &made, e));
		if (made && json_object_iter_set_new(v, it, made))
			return rn_err_nomem(e, 0, "a JSON object");
	}
	return 0;
}

/* A --set value: a number or truth value where it reads as one, else a text. */
static int set_value(const char *text, json_t **out, struct rn_err *e)
{
	size_t n = strlen(text);
	int64_t i;
	double d;

	if (!strcmp(text, "true") || !strcmp(text, "false"))
		*out = json_boolean(*text == 't');
	else if (rn_int64_parse(text, n, &i))
		*out = json_integer(i);
	else if (rn_float64_parse(text, n, &d) && isfinite(d))
		*out = json_real(d);
	else
		return rn_json_string(text, n, out, e);
	return *out ? 0 : rn_err_nomem(e, 0, "a constant");
}

/* Replace constants by what --set gives; each must be there. */
static int override_constants(json_t *given, const char *const *set, size_t nset, json_t *fixed,
			      struct rn_err *e)
{
	for (size_t i = 0; i < nset; i++) {
		const char *text;
		size_t len = rn_plan_split(set[i], &text);
		json_t *v = NULL;
		char *name;
		int rc;

		if (!len)
			return rn_err_set(e, RN_EUSAGE, "--set wants NAME=VALUE, not '%s'", set[i]);
		name = strndup(set[i], len);
		if (!name)
			return rn_err_nomem(e, len, "a name");
		if (!json_object_get(given, name)) {
			rc = rn_plan_unknown("constant", name, given, e);
			rn_err_prefix(e, rc, "--set %s", set[i]);
		} else {
			rc = set_value(text, &v, e);
			if (!rc)
				rc = rn_json_set(fixed, name, v, e);
		}
		free(name);
		RN_TRY(rc);
	}
	return 0;
}

/* Constants in the order of the file; each may use those before it. */
static int resolve_constants(const struct scope *s, json_t *given, const json_t *fixed,
			     struct rn_err *e)
{
	const char *key;
	json_t *v;

	json_object_foreach(given, key, v) {
		json_t *made = json_object_get(fixed, key);
		int rc = 0;

		if (made) {
			json_incref(made);
		} else if (json_is_string(v)) {
			made = v;
			rc = expand_text(s->constants, &made, e);
			if (!rc && !made)
				made = json_incref(v);
		} else if (json_is_number(v) || json_is_boolean(v)) {
			made = json_incref(v);
		} else {
			rc = rn_err_set(e, RN_EUSAGE,
					"a constant is a text, a number, true or false");
		}
		if (rc) {
			struct rn_str ptr = RN_STR_INIT;

			rn_json_pointer_add(&ptr, key);
			rn_err_prefix(e, rc, "%s: /constants%s", s->file, ptr.s);
			rn_str_fini(&ptr);
			return rc;
		}
		RN_TRY(rn_json_set(s->constants, key, made, e));
	}
	return 0;
}

int rn_spec_constants(const char *file, const json_t *root, const char *const *set, size_t nset,
		      json_t **out, struct rn_err *e)
{
	json_t *given = json_object_get(root, "constants"), *fixed = NULL, *empty = NULL;
	struct scope s = { .file = file };
	int rc;

	if (given && !json_is_object(given))
		return rn_err_set(e, RN_EUSAGE, "%s: /constants: must be an object", file);
	RN_TRY(rn_json_object(&s.constants, e));
	RN_GOTO(out, rn_json_object(&fixed, e));
	RN_GOTO(out, rn_json_object(&empty, e));
	RN_GOTO(out, override_constants(given ? given : empty, set, nset, fixed, e));
	rc = resolve_constants(&s, given, fixed, e);
out:
	json_decref(fixed);
	json_decref(empty);
	if (rc)
		json_decref(s.constants);
	else
		*out = s.constants;
	return rc;
}

int rn_spec_expand(const char *file, json_t *root, json_t *constants, struct rn_err *e)
{
	static const char *const parts[] = { "sources", "stages", "run" };
	struct scope s = { file, constants };
	struct rn_str ptr = RN_STR_INIT;
	int rc = 0;

	for (size_t i = 0; i < sizeof parts / sizeof *parts && !rc; i++) {
		json_t *v = json_object_get(root, parts[i]);

		rn_str_clear(&ptr);
		rn_json_pointer_add(&ptr, parts[i]);
		rc = rn_str_check(&ptr, e);
		if (!rc && v)
			rc = expand(&s, v, &ptr, 0, e);
	}
	rn_str_fini(&ptr);
	return rc;
}
