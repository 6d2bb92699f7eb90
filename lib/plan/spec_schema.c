/* SPDX-License-Identifier: Apache-2.0
 *
 * The JSON Schema (draft 2020-12) of specs, from the operators' and runs'
 * option rows: what editors complete and check.  It is as strict as the reader
 * about keys and types; references and expressions only the reader knows.
 */
#include "plan_impl.h"

#include <stdio.h>
#include <string.h>

/* A new object or array as member `key` of `o`; *out borrowed. */
static int member(json_t *o, const char *key, json_t *v, json_t **out, struct rn_err *e)
{
	*out = v;
	return rn_json_set(o, key, v, e);
}

/* "weight-decay" is "weight_decay" as well: a pattern for names with a '-'. */
static int put_option(json_t *schema, const struct rn_opt *o, struct rn_err *e)
{
	json_t *props = json_object_get(schema, "properties");
	struct rn_str pattern = RN_STR_INIT;
	json_t *s = rn_opt_schema(o);
	int rc;

	if (!strchr(o->name, '-'))
		return rn_json_set(props, o->name, s, e);
	props = json_object_get(schema, "patternProperties");
	rn_str_addc(&pattern, '^');
	for (const char *p = o->name; *p; p++)
		rn_str_addn(&pattern, *p == '-' ? "[-_]" : p, *p == '-' ? 4 : 1);
	rn_str_addc(&pattern, '$');
	rc = rn_str_check(&pattern, e);
	if (rc)
		json_decref(s);
	else
		rc = rn_json_set(props, pattern.s, s, e);
	rn_str_fini(&pattern);
	return rc;
}

/* {"type": "object", properties of the rows, no others}, as member `key` of `into` or
 * at its end; *out borrowed. */
static int put_rows(json_t *schema, const struct rn_opt *opts, size_t n, json_t *required,
		    struct rn_err *e)
{
	for (size_t i = 0; i < n; i++) {
		RN_TRY(put_option(schema, &opts[i], e));
		if ((opts[i].flags & RN_OPT_REQUIRED) && !strchr(opts[i].name, '-'))
			RN_TRY(rn_json_append(required, json_string(opts[i].name), e));
	}
	return 0;
}

/* A closed object; its parts are borrowed. */
static int object_schema(json_t **schema, json_t **props, json_t **required, struct rn_err *e)
{
	json_t *patterns;
	int rc;

	RN_TRY(rn_json_object(schema, e));
	rc = rn_json_set(*schema, "type", json_string("object"), e);
	if (!rc)
		rc = member(*schema, "properties", json_object(), props, e);
	if (!rc)
		rc = member(*schema, "patternProperties", json_object(), &patterns, e);
	if (!rc)
		rc = member(*schema, "required", json_array(), required, e);
	if (!rc)
		rc = rn_json_set(*schema, "additionalProperties", json_false(), e);
	if (rc)
		json_decref(*schema);
	return rc;
}

static json_t *ref(const char *def)
{
	char buf[80];

	snprintf(buf, sizeof buf, "#/$defs/%s", def);
	return json_pack("{ss}", "$ref", buf);
}

static int put_stage_rows(json_t *s, json_t *props, json_t *required, const struct rn_op *op,
			  bool source, struct rn_err *e)
{
	RN_TRY(rn_json_set(s, "description", json_string(op->what), e));
	if (!source) {
		RN_TRY(rn_json_set(props, "name", ref("name"), e));
		RN_TRY(rn_json_set(props, "op", json_pack("{ss}", "const", op->name), e));
		RN_TRY(rn_json_append(required, json_string("name"), e));
		RN_TRY(rn_json_append(required, json_string("op"), e));
	}
	if (!source && op->max_in) {
		RN_TRY(rn_json_set(props, "in", ref("inputs"), e));
		if (op->min_in)
			RN_TRY(rn_json_append(required, json_string("in"), e));
	}
	return put_rows(s, op->opts, op->nopts, required, e);
}

/* One operator as a stage, or (source) scan as a member of "sources". */
static int op_schema(const struct rn_op *op, bool source, json_t **out, struct rn_err *e)
{
	json_t *props, *required;
	int rc;

	RN_TRY(object_schema(out, &props, &required, e));
	rc = put_stage_rows(*out, props, required, op, source, e);
	if (rc)
		json_decref(*out);
	return rc;
}

static int put_run(json_t *any, const struct rn_run_type *t, struct rn_err *e)
{
	json_t *run, *props, *required, *body, *body_props, *body_required;
	int rc;

	RN_TRY(object_schema(&run, &props, &required, e));
	RN_GOTO(fail, rn_json_append(required, json_string(t->name), e));
	RN_GOTO(fail, object_schema(&body, &body_props, &body_required, e));
	rc = put_rows(body, t->opts, t->nopts, body_required, e);
	if (rc) {
		json_decref(body);
		goto fail;
	}
	RN_GOTO(fail, rn_json_set(props, t->name, body, e));
	return rn_json_append(any, run, e);
fail:
	json_decref(run);
	return rc;
}

/* "$defs": names, inputs, sources, stages by operator, runs. */
static int put_defs(json_t *root, struct rn_err *e)
{
	json_t *defs, *stage, *run, *list, *s;

	RN_TRY(member(root, "$defs", json_object(), &defs, e));
	RN_TRY(rn_json_set(defs, "name", json_pack("{sssisi}", "type", "string", "minLength", 1,
						   "maxLength", RN_PLAN_MAX_NAME), e));
	RN_TRY(rn_json_set(defs, "inputs",
			   json_pack("{s[o,{ssso},{ssso}]ss}", "anyOf", ref("name"), "type",
				     "object", "additionalProperties", ref("name"), "type", "array",
				     "items",
				     json_pack("{s[o,{sssosi}]}", "anyOf", ref("name"), "type",
					       "object", "additionalProperties", ref("name"),
					       "maxProperties", 1),
				     "description",
				     "stages to read: one, a list, or names and stages"),
			   e));
	RN_TRY(op_schema(rn_op_find("scan"), true, &s, e));
	RN_TRY(rn_json_set(defs, "source", s, e));
	RN_TRY(member(defs, "stage", json_object(), &stage, e));
	RN_TRY(member(stage, "oneOf", json_array(), &list, e));
	for (size_t i = 0; i < rn_op_count; i++) {
		RN_TRY(op_schema(rn_op_table[i], false, &s, e));
		RN_TRY(rn_json_append(list, s, e));
	}
	RN_TRY(member(defs, "run", json_object(), &run, e));
	RN_TRY(member(run, "oneOf", json_array(), &list, e));
	for (int k = 0; k < RN_NRUNS; k++)
		RN_TRY(put_run(list, &rn_run_types[k], e));
	return 0;
}

static int put_root(json_t *root, json_t *props, json_t *required, struct rn_err *e)
{
	RN_TRY(rn_json_set(root, "$schema",
			   json_string("https://json-schema.org/draft/2020-12/schema"), e));
	RN_TRY(rn_json_set(root, "title", json_string("RN model"), e));
	RN_TRY(rn_json_append(required, json_string("rn"), e));
	RN_TRY(rn_json_set(props, "$schema", json_pack("{ss}", "type", "string"), e));
	RN_TRY(rn_json_set(props, "rn", json_pack("{si}", "const", 1), e));
	RN_TRY(rn_json_set(props, "constants",
			   json_pack("{sss{s[sss]}ss}", "type", "object", "additionalProperties",
				     "type", "string", "number", "boolean", "description",
				     "${NAME} in a text below stands for its value"), e));
	RN_TRY(rn_json_set(props, "sources", json_pack("{ssso}", "type", "object",
						       "additionalProperties", ref("source")), e));
	RN_TRY(rn_json_set(props, "stages",
			   json_pack("{ssso}", "type", "array", "items", ref("stage")), e));
	RN_TRY(rn_json_set(props, "run",
			   json_pack("{ssso}", "type", "array", "items", ref("run")), e));
	return put_defs(root, e);
}

int rn_plan_schema(json_t **out, struct rn_err *e)
{
	json_t *root, *props, *required;
	int rc;

	RN_TRY(object_schema(&root, &props, &required, e));
	rc = put_root(root, props, required, e);
	if (rc)
		json_decref(root);
	else
		*out = root;
	return rc;
}
