/* SPDX-License-Identifier: Apache-2.0
 *
 * Option rows as JSON Schema (draft 2020-12).  Where a JSON spec may write a
 * constant's name, "${hidden}", instead of a number or truth value, the schema
 * admits that text.  json_pack takes its references also on failure.
 */
#include "opt.h"

#include <string.h>

/* Every value may be written as a constant's name instead. */
#define CONSTANT "^[$][{][^}]+[}]$"

static json_t *type_schema(const struct rn_opt *o)
{
	switch (o->type) {
	case RN_OPT_FLAG:
		return json_pack("{s[ss]ss}", "type", "boolean", "string", "pattern", CONSTANT);
	case RN_OPT_INT:
		return json_pack("{s[ss]ss}", "type", "integer", "string", "pattern", CONSTANT);
	case RN_OPT_NUMBER:
		return json_pack("{s[ss]ss}", "type", "number", "string", "pattern", CONSTANT);
	case RN_OPT_SIZE:
		return json_pack("{s[ss]sis" "s}", "type", "integer", "string", "minimum", 0,
				 "pattern", "^([0-9]+([.][0-9]*)?[KMGTkmgt]?|[$][{][^}]+[}])$");
	case RN_OPT_CHOICE:
		return json_pack("{ss}", "type", "string");
	case RN_OPT_STRING:
		return json_pack("{s[ss]}", "type", "string", "number");
	case RN_OPT_LIST:
		return json_pack("{s[ss]s{s[ss]}}", "type", "array", "string", "items", "type",
				 "string", "number");
	case RN_OPT_MAP:
		return json_pack("{s[sss]s{ss}s{s[ss]}}", "type", "object", "array", "string",
				 "items", "type", "string", "additionalProperties", "type",
				 "string", "number");
	case RN_OPT_NODE:
		return json_pack("{ss}", "type", "string");
	}
	return NULL;
}

/* {"anyOf": [{"enum": […]}, a constant]} */
static json_t *choice_schema(const struct rn_opt *o)
{
	json_t *names = json_array(), *any;
	bool ok = names != NULL;

	for (const char *p = o->choices; ok && *p; p += strcspn(p, "|"), p += *p == '|')
		ok = !json_array_append_new(names, json_stringn(p, strcspn(p, "|")));
	if (!ok) {
		json_decref(names);
		return NULL;
	}
	any = json_pack("{s[{so}{ssss}]}", "anyOf", "enum", names, "type", "string", "pattern",
			CONSTANT);
	return any;
}

json_t *rn_opt_schema(const struct rn_opt *o)
{
	json_t *s = o->type == RN_OPT_CHOICE ? choice_schema(o) : type_schema(o), *dflt;

	if (!s)
		return NULL;
	if ((o->flags & RN_OPT_UNIQUE) && json_object_set_new(s, "uniqueItems", json_true()))
		goto fail;
	if (o->help && json_object_set_new(s, "description", json_string(o->help)))
		goto fail;
	if (o->dflt && o->type != RN_OPT_NODE) {
		if (rn_opt_from_text(o, o->dflt, &dflt, NULL) ||
		    json_object_set_new(s, "default", dflt))
			goto fail;
	}
	return s;
fail:
	json_decref(s);
	return NULL;
}
