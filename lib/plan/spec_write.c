/* SPDX-License-Identifier: Apache-2.0
 *
 * Plans as JSON specs: what spec.c reads back into the same canonical plan.
 */
#include "plan_impl.h"

#include "../base/num.h"

#include <string.h>

/* Values of a map that are numbers in their shortest text become numbers again. */
static int numbers_of_map(json_t *map, struct rn_err *e)
{
	struct rn_str again = RN_STR_INIT;
	int rc = 0;

	for (void *it = json_object_iter(map); it && !rc; it = json_object_iter_next(map, it)) {
		const char *s = json_string_value(json_object_iter_value(it));
		size_t n = s ? strlen(s) : 0;
		json_t *v = NULL;
		int64_t i;
		double d;

		if (n && rn_int64_parse(s, n, &i))
			v = json_integer(i);
		else if (n && rn_float64_parse(s, n, &d) && isfinite(d))
			v = json_real(d);
		else
			continue;
		rn_str_clear(&again);
		if (v)
			rn_json_print(v, RN_JSON_COMPACT, &again);
		rc = v ? rn_str_check(&again, e) : rn_err_nomem(e, 0, "a number");
		if (rc || strcmp(again.s, s))
			json_decref(v);
		else if (json_object_iter_set_new(map, it, v))
			rc = rn_err_nomem(e, 0, "a number");
	}
	rn_str_fini(&again);
	return rc;
}

/* "$" before "{" is doubled, so that it is read back as it is. */
static int escape(const char *s, json_t **out, struct rn_err *e)
{
	struct rn_str t = RN_STR_INIT;
	int rc;

	for (; *s; s++) {
		if (s[0] == '$' && s[1] == '{')
			rn_str_addc(&t, '$');
		rn_str_addc(&t, *s);
	}
	rc = rn_str_check(&t, e);
	if (!rc)
		rc = rn_json_string(t.s, t.len, out, e);
	rn_str_fini(&t);
	return rc;
}

/* The same for every text in v, at any depth. */
static int escape_all(json_t *v, struct rn_err *e)
{
	json_t *item, *made;

	for (size_t i = 0; json_is_array(v) && i < json_array_size(v); i++) {
		item = json_array_get(v, i);
		RN_TRY(escape_all(item, e));
		if (!json_is_string(item) || !strstr(json_string_value(item), "${"))
			continue;
		RN_TRY(escape(json_string_value(item), &made, e));
		if (json_array_set_new(v, i, made))
			return rn_err_nomem(e, 0, "a JSON array");
	}
	for (void *it = json_is_object(v) ? json_object_iter(v) : NULL; it;
	     it = json_object_iter_next(v, it)) {
		item = json_object_iter_value(it);
		RN_TRY(escape_all(item, e));
		if (!json_is_string(item) || !strstr(json_string_value(item), "${"))
			continue;
		RN_TRY(escape(json_string_value(item), &made, e));
		if (json_object_iter_set_new(v, it, made))
			return rn_err_nomem(e, 0, "a JSON object");
	}
	return 0;
}

/* A map in which nothing is renamed is a list: ["src", "dst"].  *list stays NULL where
 * the reader would make something else of it. */
static int map_as_list(const struct rn_opt *o, const json_t *map, json_t **list, struct rn_err *e)
{
	json_t *m = (json_t *)(uintptr_t)map, *v, *again;
	const char *key;
	int rc = 0;

	*list = NULL;
	json_object_foreach(m, key, v)
		if (!json_is_string(v) || strcmp(key, json_string_value(v)))
			return 0;
	RN_TRY(rn_json_array(list, e));
	json_object_foreach(m, key, v)
		if (!rc)
			rc = rn_json_append(*list, json_incref(v), e);
	if (!rc) {
		int bad = rn_opt_from_json(o, *list, &again, e);
		bool same = !bad && rn_json_equal(map, again);

		json_decref(again);
		if (same)
			return 0;
		rc = bad == RN_ENOMEM ? bad : 0;
	}
	json_decref(*list);
	*list = NULL;
	return rc;
}

/* Put option values (in normal form; a copy that may be changed) into a stage or run,
 * in the table's order.  An input option is `node`, or left out where that is NULL. */
static int put_options(json_t *into, json_t *opt, const struct rn_opt *opts, size_t nopts,
		       const char *node, struct rn_err *e)
{
	for (size_t i = 0; i < nopts; i++) {
		json_t *v = json_object_get(opt, opts[i].name), *list = NULL;

		if (opts[i].type == RN_OPT_NODE && node) {
			RN_TRY(rn_json_set_text(into, opts[i].name, node, e));
			continue;
		}
		if (!v)
			continue;
		if (opts[i].type == RN_OPT_MAP) {
			RN_TRY(map_as_list(&opts[i], v, &list, e));
			if (!list)
				RN_TRY(numbers_of_map(v, e));
		}
		RN_TRY(rn_json_set(into, opts[i].name, list ? list : json_incref(v), e));
	}
	return 0;
}

static const char *input_name(const struct rn_plan *p, const struct rn_input *in)
{
	return p->nodes[in->node].name;
}

/* One input: "x", or {"s": "x"}. */
static int input_json(const struct rn_plan *p, const struct rn_input *in, json_t **out,
		      struct rn_err *e)
{
	const char *name = input_name(p, in);
	int rc;

	if (!in->as)
		return rn_json_string(name, strlen(name), out, e);
	RN_TRY(rn_json_object(out, e));
	rc = rn_json_set_text(*out, in->as, name, e);
	if (rc)
		json_decref(*out);
	return rc;
}

/* {"h": "x", "a": "y"} where every operand has a name of its own, and no two the same. */
static bool all_named(const struct rn_node *n, uint32_t operands)
{
	for (uint32_t i = 0; i < operands; i++) {
		if (!n->in[i].as)
			return false;
		for (uint32_t k = 0; k < i; k++)
			if (!strcmp(n->in[i].as, n->in[k].as))
				return false;
	}
	return operands > 0;
}

static int put_in(json_t *stage, const struct rn_plan *p, const struct rn_node *n, struct rn_err *e)
{
	uint32_t operands = 0;
	json_t *in, *v;
	int rc = 0;

	while (operands < n->nin && !n->in[operands].opt)
		operands++;
	if (!operands)
		return 0;
	if (operands == 1 && !n->in[0].as) {
		RN_TRY(input_json(p, &n->in[0], &v, e));
		return rn_json_set(stage, "in", v, e);
	}
	if (all_named(n, operands)) {
		RN_TRY(rn_json_object(&in, e));
		for (uint32_t i = 0; i < operands && !rc; i++)
			rc = rn_json_set_text(in, n->in[i].as, input_name(p, &n->in[i]), e);
	} else {
		RN_TRY(rn_json_array(&in, e));
		for (uint32_t i = 0; i < operands && !rc; i++) {
			rc = input_json(p, &n->in[i], &v, e);
			if (!rc)
				rc = rn_json_append(in, v, e);
		}
	}
	if (rc) {
		json_decref(in);
		return rc;
	}
	return rn_json_set(stage, "in", in, e);
}

static int put_node_options(json_t *stage, const struct rn_plan *p, const struct rn_node *n,
			    struct rn_err *e)
{
	json_t *opt;
	int rc;

	RN_TRY(rn_plan_options(p, n, &opt, e));
	rc = put_options(stage, opt, n->op->opts, n->op->nopts, NULL, e);
	json_decref(opt);
	for (uint32_t i = 0; i < n->nin && !rc; i++)
		if (n->in[i].opt)
			rc = rn_json_set_text(stage, n->in[i].opt, input_name(p, &n->in[i]), e);
	return rc;
}

static int write_node(const struct rn_plan *p, const struct rn_node *n, json_t *sources,
		      json_t *stages, struct rn_err *e)
{
	bool source = n->op == rn_op_find("scan");
	json_t *stage;
	int rc;

	RN_TRY(rn_json_object(&stage, e));
	if (!source) {
		RN_GOTO(fail, rn_json_set_text(stage, "name", n->name, e));
		RN_GOTO(fail, rn_json_set_text(stage, "op", n->op->name, e));
		RN_GOTO(fail, put_in(stage, p, n, e));
	}
	RN_GOTO(fail, put_node_options(stage, p, n, e));
	if (source)
		return rn_json_set(sources, n->name, stage, e);
	return rn_json_append(stages, stage, e);
fail:
	json_decref(stage);
	return rc;
}

static int write_run(const struct rn_plan *p, const struct rn_run *r, json_t *runs,
		     struct rn_err *e)
{
	const struct rn_run_type *t = &rn_run_types[r->kind];
	json_t *run = NULL, *body = NULL, *opt = NULL, *v;
	int rc;

	RN_GOTO(fail, rn_json_copy(r->opt, &opt, e));
	RN_GOTO(fail, rn_json_object(&body, e));
	RN_GOTO(fail, put_options(body, opt, t->opts, t->nopts, p->nodes[r->node].name, e));
	RN_GOTO(fail, rn_json_object(&run, e));
	v = body;
	body = NULL;
	RN_GOTO(fail, rn_json_set(run, t->name, v, e));
	json_decref(opt);
	return rn_json_append(runs, run, e);
fail:
	json_decref(opt);
	json_decref(body);
	json_decref(run);
	return rc;
}

/* A new member of root, which root owns. */
static int member(json_t *root, const char *key, json_t *v, json_t **out, struct rn_err *e)
{
	*out = v;
	return rn_json_set(root, key, v, e);
}

int rn_plan_to_spec(const struct rn_plan *p, json_t **out, struct rn_err *e)
{
	json_t *root, *sources, *stages, *runs, *one;
	int rc;

	RN_TRY(rn_json_object(&root, e));
	RN_GOTO(fail, member(root, "rn", json_integer(1), &one, e));
	RN_GOTO(fail, member(root, "sources", json_object(), &sources, e));
	RN_GOTO(fail, member(root, "stages", json_array(), &stages, e));
	for (uint32_t i = 0; i < p->nnodes; i++) {
		if (!p->nodes[i].name) {
			rc = rn_err_set(e, RN_EBUG, "a plan without names is written as a spec");
			goto fail;
		}
		RN_GOTO(fail, write_node(p, &p->nodes[i], sources, stages, e));
	}
	RN_GOTO(fail, member(root, "run", json_array(), &runs, e));
	for (uint32_t i = 0; i < p->nruns; i++)
		RN_GOTO(fail, write_run(p, &p->runs[i], runs, e));
	RN_GOTO(fail, escape_all(root, e));
	*out = root;
	return 0;
fail:
	json_decref(root);
	return rc;
}
