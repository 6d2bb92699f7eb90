/* SPDX-License-Identifier: Apache-2.0
 *
 * A plan as a query program: a statement for each source, stage and run.
 */
#include "lang.h"
#include "lex.h"

#include "../base/json.h"
#include "../base/num.h"
#include "../base/opt.h"

#include <string.h>

/* A name as the parser takes it. */
static void put_name(const char *s, struct rn_str *out)
{
	static const char *const words[] = { "True", "False", "true", "false", "None",
					     "def", "enddef" };
	struct rn_tok t = rn_lex(s, strlen(s), 0);
	bool plain = t.kind == RN_TOK_NAME && !t.at && *s != '`' && t.end == strlen(s);

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		plain = plain && strcmp(s, words[i]);
	rn_str_addf(out, plain ? "%s" : "`%s`", s);
}

static void put_string(const char *s, struct rn_str *out)
{
	rn_str_addc(out, '"');
	for (; *s; s++) {
		if (*s == '$' && s[1] == '$' && s[2] == '{')
			continue; /* a spec's "$${" is "${" */
		if (*s == '"' || *s == '\\' || *s == '\n' || *s == '\t')
			rn_str_addc(out, '\\');
		rn_str_addc(out, *s == '\n' ? 'n' : *s == '\t' ? 't' : *s);
	}
	rn_str_addc(out, '"');
}

static void put_value(const json_t *v, struct rn_str *out)
{
	const char *sep = "";
	char buf[RN_NUM_MAX];
	const char *key;
	json_t *item;
	size_t i, n;

	switch (json_typeof(v)) {
	case JSON_STRING:
		put_string(json_string_value(v), out);
		break;
	case JSON_INTEGER:
		rn_int64_print(json_integer_value(v), out);
		break;
	case JSON_REAL: /* in a map 5.0 is not 5 */
		n = rn_float64_format(json_real_value(v), buf);
		rn_str_addn(out, buf, n);
		rn_str_add(out, memchr(buf, '.', n) || memchr(buf, 'e', n) ? "" : ".0");
		break;
	case JSON_ARRAY:
		rn_str_addc(out, '[');
		json_array_foreach(v, i, item) {
			rn_str_add(out, i ? ", " : "");
			put_value(item, out);
		}
		rn_str_addc(out, ']');
		break;
	case JSON_OBJECT:
		rn_str_addc(out, '{');
		json_object_foreach((json_t *)(uintptr_t)v, key, item) {
			rn_str_add(out, sep);
			put_string(key, out);
			rn_str_add(out, ": ");
			put_value(item, out);
			sep = ", ";
		}
		rn_str_addc(out, '}');
		break;
	default:
		rn_str_add(out, json_is_true(v) ? "True" : "False");
	}
}

/* < key=value, … > of an object but for the keys in `skip`, and options that are inputs. */
static void put_settings(const json_t *object, const struct rn_opt *rows, size_t nrows,
			 const char *const *skip, struct rn_str *out)
{
	const char *sep = " <", *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)object, key, v) {
		const struct rn_opt *o = rn_opt_find(rows, nrows, key);
		bool skipped = o && o->type == RN_OPT_NODE;

		for (size_t i = 0; skip[i]; i++)
			skipped = skipped || !strcmp(skip[i], key);
		if (skipped)
			continue;
		rn_str_add(out, sep);
		for (const char *c = key; *c; c++)
			rn_str_addc(out, *c == '-' ? '_' : *c);
		rn_str_addc(out, '=');
		put_value(v, out);
		sep = ", ";
	}
	rn_str_add(out, *sep == ',' ? ">" : "");
}

/* "A", or {"l": "A", …}; *sep stands before it. */
static void put_input(const json_t *in, const char **sep, struct rn_str *out)
{
	const char *key;
	json_t *v;

	if (json_is_string(in)) {
		rn_str_add(out, *sep);
		put_name(json_string_value(in), out);
		*sep = ", ";
	}
	json_object_foreach((json_t *)(uintptr_t)in, key, v) {
		rn_str_add(out, *sep);
		put_name(key, out);
		rn_str_addc(out, '=');
		put_name(json_string_value(v), out);
		*sep = ", ";
	}
}

static void put_inputs(const json_t *stage, const struct rn_op *op, struct rn_str *out)
{
	const json_t *in = json_object_get(stage, "in");
	const char *sep = "";
	json_t *v;
	size_t i;

	rn_str_add(out, " (");
	put_input(in, &sep, out);
	json_array_foreach(in, i, v)
		put_input(v, &sep, out);
	for (size_t k = 0; k < op->nopts; k++) {
		const json_t *node = json_object_get(stage, op->opts[k].name);

		if (op->opts[k].type != RN_OPT_NODE || !node)
			continue;
		rn_str_addf(out, "%s%s=", sep, op->opts[k].name);
		put_name(json_string_value(node), out);
		sep = ", ";
	}
	rn_str_add(out, ")");
}

static void put_sources(const json_t *sources, struct rn_str *out)
{
	static const char *const skip[] = { "from", NULL };
	const struct rn_op *scan = rn_op_find("scan");
	const char *name;
	json_t *s;

	json_object_foreach((json_t *)(uintptr_t)sources, name, s) {
		rn_str_add(out, "?source ");
		put_name(name, out);
		rn_str_add(out, " = ");
		put_value(json_object_get(s, "from"), out);
		put_settings(s, scan->opts, scan->nopts, skip, out);
		rn_str_add(out, " .\n");
	}
}

static void put_stages(const json_t *stages, struct rn_str *out)
{
	static const char *const skip[] = { "name", "op", "in", NULL };
	json_t *s;
	size_t i;

	json_array_foreach(stages, i, s) {
		const struct rn_op *op = rn_op_find(json_string_value(json_object_get(s, "op")));

		rn_str_add(out, "?stage ");
		put_name(json_string_value(json_object_get(s, "name")), out);
		rn_str_addf(out, " = %s", op->name);
		put_settings(s, op->opts, op->nopts, skip, out);
		put_inputs(s, op, out);
		rn_str_add(out, " .\n");
	}
}

static void put_runs(const json_t *runs, struct rn_str *out)
{
	static const char *const none[] = { NULL };
	const char *kind;
	json_t *r, *opt;
	size_t i;

	json_array_foreach(runs, i, r)
		json_object_foreach(r, kind, opt) {
			const json_t *in = json_object_get(opt, strcmp(kind, "fit") ? "in" : "loss");
			const struct rn_run_type *type = rn_run_types;

			while (strcmp(type->name, kind))
				type++;
			rn_str_addf(out, "?%s", kind);
			put_settings(opt, type->opts, type->nopts, none, out);
			rn_str_add(out, " (");
			put_name(json_string_value(in), out);
			rn_str_add(out, ") .\n");
		}
}

int rn_lang_print(const struct rn_plan *p, struct rn_str *out, struct rn_err *e)
{
	json_t *spec;

	RN_TRY(rn_plan_to_spec(p, &spec, e));
	put_sources(json_object_get(spec, "sources"), out);
	rn_str_addc(out, '\n');
	put_stages(json_object_get(spec, "stages"), out);
	rn_str_addc(out, '\n');
	put_runs(json_object_get(spec, "run"), out);
	json_decref(spec);
	return rn_str_check(out, e);
}
