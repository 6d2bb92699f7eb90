/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON specs into plans.
 *
 *   1. constants are resolved and expanded (spec_const.c);
 *   2. sources and stages get numbers, and their inputs are looked up;
 *   3. nodes are made, inputs before users, whatever the order in the file;
 *   4. runs follow.
 *
 * Each error names the file and a JSON pointer.
 */
#include "plan_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ref {
	const char *as, *opt; /* borrowed from the JSON and the operator's table */
	uint32_t stage;
};

struct stage {
	const char *name;
	json_t *json; /* borrowed */
	const struct rn_op *op;
	bool source;    /* in "sources", not in "stages" */
	uint32_t index; /* in "stages" */
	uint32_t nrefs;
	struct ref *refs;
	enum { WAITING, OPEN, MADE } state;
	uint32_t node, next; /* of the plan; reference to visit next */
};

struct spec {
	const char *file;
	json_t *root, *constants;
	json_t *numbers; /* name -> number in stages[] */
	struct stage *stages;
	uint32_t nstages;
	size_t cap;
	struct rn_plan *plan;
};

/* ---- errors ---------------------------------------------------------------------- */

/* "FILE: /stages/3/KEY"; key may be NULL. */
static int at_stage(const struct spec *s, const struct stage *st, const char *key, struct rn_err *e)
{
	struct rn_str ptr = RN_STR_INIT;
	int code = e ? e->code : RN_EUSAGE;

	if (st->source) {
		rn_str_add(&ptr, "/sources");
		rn_json_pointer_add(&ptr, st->name);
	} else {
		rn_str_addf(&ptr, "/stages/%u", st->index);
	}
	if (key)
		rn_json_pointer_add(&ptr, key);
	rn_err_prefix(e, code, "%s: %s", s->file, ptr.s);
	rn_str_fini(&ptr);
	return code;
}

static int unknown_key(const struct rn_opt *opts, size_t n, const char *key,
		       const char *const *others, struct rn_err *e)
{
	char hint[RN_NEAR_MAX + 32];
	struct rn_near near;

	rn_near_init(&near, key);
	for (size_t i = 0; i < n; i++)
		if (!(opts[i].flags & RN_OPT_HIDDEN))
			rn_near_add(&near, opts[i].name);
	for (; *others; others++)
		rn_near_add(&near, *others);
	return rn_err_set(e, RN_EUSAGE, "unknown key%s", rn_near_hint(&near, hint, sizeof hint));
}

/* ---- sources and stages --------------------------------------------------------------- */

static int add_stage(struct spec *s, struct stage st, struct rn_err *e)
{
	if (json_object_get(s->numbers, st.name))
		return rn_err_set(e, RN_EUSAGE, "two sources or stages are called '%s'", st.name);
	if (s->nstages >= RN_PLAN_MAX_NODES)
		return rn_err_set(e, RN_EUSAGE, "more than %d stages", RN_PLAN_MAX_NODES);
	RN_TRY(rn_grow(&s->stages, &s->cap, (size_t)s->nstages + 1, sizeof st, "stages", e));
	RN_TRY(rn_json_set(s->numbers, st.name, json_integer(s->nstages), e));
	s->stages[s->nstages++] = st;
	return 0;
}

static int collect_sources(struct spec *s, struct rn_err *e)
{
	json_t *sources = json_object_get(s->root, "sources"), *v;
	const struct rn_op *scan = rn_op_find("scan");
	const char *name;

	if (sources && !json_is_object(sources))
		return rn_err_set(e, RN_EUSAGE, "%s: /sources: must be an object", s->file);
	json_object_foreach(sources, name, v) {
		struct stage st = { .name = name, .json = v, .op = scan, .source = true };
		int rc = json_is_object(v) ? add_stage(s, st, e) :
					     rn_err_set(e, RN_EUSAGE, "must be an object like "
							"{\"from\": \"FILE\"}");

		if (rc)
			return at_stage(s, &st, NULL, e);
	}
	return 0;
}

static int find_op(const char *name, const struct rn_op **out, struct rn_err *e)
{
	char hint[RN_NEAR_MAX + 32];
	struct rn_near near;

	*out = rn_op_find(name);
	if (*out)
		return 0;
	rn_near_init(&near, name);
	for (size_t i = 0; i < rn_op_count; i++)
		rn_near_add(&near, rn_op_table[i]->name);
	return rn_err_set(e, RN_EUSAGE, "no operator '%s'%s", name,
			  rn_near_hint(&near, hint, sizeof hint));
}

static int collect_stage(struct spec *s, json_t *v, uint32_t index, struct rn_err *e)
{
	struct stage st = { .json = v, .index = index };
	const json_t *name = json_object_get(v, "name"), *op = json_object_get(v, "op");
	const char *key = NULL;
	int rc = 0;

	if (!json_is_object(v)) {
		rc = rn_err_set(e, RN_EUSAGE, "must be an object");
	} else if (!json_is_string(name)) {
		rc = rn_err_set(e, RN_EUSAGE, name ? "must be a text" : "a stage needs a \"name\"");
		key = name ? "name" : NULL;
	} else if (!json_is_string(op)) {
		rc = rn_err_set(e, RN_EUSAGE, op ? "must be a text" : "a stage needs an \"op\"");
		key = op ? "op" : NULL;
	} else {
		st.name = json_string_value(name);
		key = "op";
		rc = find_op(json_string_value(op), &st.op, e);
		if (!rc) {
			key = "name";
			rc = add_stage(s, st, e);
		}
	}
	return rc ? at_stage(s, &st, key, e) : 0;
}

static int collect_stages(struct spec *s, struct rn_err *e)
{
	const json_t *stages = json_object_get(s->root, "stages");

	if (stages && !json_is_array(stages))
		return rn_err_set(e, RN_EUSAGE, "%s: /stages: must be an array", s->file);
	if (json_array_size(stages) > RN_PLAN_MAX_NODES)
		return rn_err_set(e, RN_EUSAGE, "%s: /stages: more than %d", s->file,
				  RN_PLAN_MAX_NODES);
	for (size_t i = 0; i < json_array_size(stages); i++)
		RN_TRY(collect_stage(s, json_array_get(stages, i), (uint32_t)i, e));
	return 0;
}

/* ---- references ------------------------------------------------------------------------- */

static int find_stage(const struct spec *s, const json_t *name, uint32_t *out, struct rn_err *e)
{
	const json_t *v;
	char buf[80];

	if (!json_is_string(name))
		return rn_err_set(e, RN_EUSAGE, "must be the name of a stage, not %s",
				  rn_json_brief(name, buf, sizeof buf));
	v = json_object_get(s->numbers, json_string_value(name));
	if (!v)
		return rn_plan_unknown("source or stage", json_string_value(name), s->numbers, e);
	*out = (uint32_t)json_integer_value(v);
	return 0;
}

static int add_ref(const struct spec *s, struct stage *st, const char *as, const char *opt,
		   const json_t *name, struct rn_err *e)
{
	struct ref r = { .as = as, .opt = opt }, *grown;

	RN_TRY(find_stage(s, name, &r.stage, e));
	if (st->nrefs >= 2 * RN_MANY)
		return rn_err_set(e, RN_EUSAGE, "more than %d inputs", 2 * RN_MANY);
	grown = realloc(st->refs, (st->nrefs + 1) * sizeof r);
	if (!grown)
		return rn_err_nomem(e, (st->nrefs + 1) * sizeof r, "inputs");
	st->refs = grown;
	st->refs[st->nrefs++] = r;
	return 0;
}

static int add_named_refs(const struct spec *s, struct stage *st, json_t *object, struct rn_err *e)
{
	const char *as;
	json_t *v;

	json_object_foreach(object, as, v)
		RN_TRY(add_ref(s, st, as, NULL, v, e));
	return 0;
}

/* "in": "x", ["x", {"s": "y"}] or {"h": "x", "s": "y"}. */
static int read_in(const struct spec *s, struct stage *st, json_t *in, struct rn_err *e)
{
	if (json_is_object(in))
		return add_named_refs(s, st, in, e);
	if (!json_is_array(in))
		return add_ref(s, st, NULL, NULL, in, e);
	for (size_t i = 0; i < json_array_size(in); i++) {
		json_t *v = json_array_get(in, i);

		if (json_is_object(v) && json_object_size(v) == 1)
			RN_TRY(add_named_refs(s, st, v, e));
		else
			RN_TRY(add_ref(s, st, NULL, NULL, v, e));
	}
	return 0;
}

static int read_refs(const struct spec *s, struct stage *st, struct rn_err *e)
{
	json_t *in = json_object_get(st->json, "in"), *v;
	const char *key;

	if (in && !st->op->max_in) {
		rn_err_set(e, RN_EUSAGE, "%s takes no input", st->op->name);
		return at_stage(s, st, "in", e);
	}
	if (!in && st->op->min_in) {
		rn_err_set(e, RN_EUSAGE, "%s needs \"in\", the stage that it reads", st->op->name);
		return at_stage(s, st, NULL, e);
	}
	if (in && read_in(s, st, in, e))
		return at_stage(s, st, "in", e);
	json_object_foreach(st->json, key, v) {
		const struct rn_opt *o = rn_opt_find(st->op->opts, st->op->nopts, key);

		if (o && o->type == RN_OPT_NODE && add_ref(s, st, NULL, o->name, v, e))
			return at_stage(s, st, key, e);
	}
	return 0;
}

/* ---- nodes ------------------------------------------------------------------------------ */

/* A JSON object's members as a set of option values, other than `skip` and inputs.
 * On failure *key is the member at fault, or NULL. */
static int read_options(json_t *object, const struct rn_opt *opts, size_t nopts,
			const char *const *skip, json_t *set, const char **key, struct rn_err *e)
{
	json_t *v, *value;
	const char *k;

	json_object_foreach(object, k, v) {
		const struct rn_opt *o = rn_opt_find(opts, nopts, k);
		const char *const *p = skip;

		while (*p && strcmp(*p, k))
			p++;
		if (*p || (o && o->type == RN_OPT_NODE))
			continue;
		*key = k;
		if (!o)
			return unknown_key(opts, nopts, k, skip, e);
		RN_TRY(rn_opt_from_json(o, v, &value, e));
		if (json_object_get(set, o->name)) {
			json_decref(value);
			return rn_err_set(e, RN_EUSAGE, "given twice, with - and with _");
		}
		RN_TRY(rn_json_set(set, o->name, value, e));
	}
	*key = NULL;
	for (size_t i = 0; i < nopts; i++)
		if ((opts[i].flags & RN_OPT_REQUIRED) && opts[i].type != RN_OPT_NODE &&
		    !json_object_get(set, opts[i].name))
			return rn_err_set(e, RN_EUSAGE, "\"%s\" is missing: %s", opts[i].name,
					  opts[i].help ? opts[i].help : "required");
	return rn_opt_finish(set, opts, nopts, e);
}

static int make_node(struct spec *s, struct stage *st, struct rn_err *e)
{
	static const char *const stage_keys[] = { "name", "op", "in", NULL };
	static const char *const source_keys[] = { NULL };
	const char *key = NULL;
	json_t *set;
	int rc;

	RN_TRY(rn_json_object(&set, e));
	rc = read_options(st->json, st->op->opts, st->op->nopts,
			  st->source ? source_keys : stage_keys, set, &key, e);
	if (rc) {
		json_decref(set);
		return at_stage(s, st, key, e);
	}
	rc = rn_plan_add(s->plan, st->op, st->name, NULL, set, &st->node, e);
	for (uint32_t i = 0; i < st->nrefs && !rc; i++)
		rc = rn_plan_add_input(s->plan, st->node, st->refs[i].as, st->refs[i].opt,
				       s->stages[st->refs[i].stage].node, e);
	if (!rc)
		rc = rn_plan_check_inputs(&s->plan->nodes[st->node], e);
	st->state = MADE;
	return rc ? at_stage(s, st, NULL, e) : 0;
}

/* "'a' reads 'b', 'b' reads 'a'": the stages on the stack from `from` on. */
static int cycle(const struct spec *s, const uint32_t *stack, uint32_t depth, uint32_t again,
		 struct rn_err *e)
{
	struct rn_str path = RN_STR_INIT;
	uint32_t i = depth;
	int rc;

	while (i && stack[i - 1] != again)
		i--;
	for (i = i ? i - 1 : 0; i < depth && path.len < 400; i++)
		rn_str_addf(&path, "'%s' reads ", s->stages[stack[i]].name);
	rn_str_addf(&path, "%s'%s'", i < depth ? "... reads " : "", s->stages[again].name);
	rc = rn_str_check(&path, e);
	if (!rc) {
		rc = rn_err_set(e, RN_EUSAGE, "stages form a cycle: %s", path.s);
		at_stage(s, &s->stages[again], NULL, e);
	}
	rn_str_fini(&path);
	return rc;
}

/* Make a stage's node after those that it reads; stack[] has room for all stages. */
static int make_with_inputs(struct spec *s, uint32_t root, uint32_t *stack, struct rn_err *e)
{
	uint32_t depth = 0;

	if (s->stages[root].state == MADE)
		return 0;
	s->stages[root].state = OPEN;
	stack[depth++] = root;
	while (depth) {
		struct stage *st = &s->stages[stack[depth - 1]], *in;

		if (st->next == st->nrefs) {
			RN_TRY(make_node(s, st, e));
			depth--;
			continue;
		}
		root = st->refs[st->next++].stage;
		in = &s->stages[root];
		if (in->state == OPEN)
			return cycle(s, stack, depth, root, e);
		if (in->state == WAITING) {
			in->state = OPEN;
			stack[depth++] = root;
		}
	}
	return 0;
}

static int make_nodes(struct spec *s, struct rn_err *e)
{
	uint32_t *stack;
	int rc = 0;

	for (uint32_t i = 0; i < s->nstages; i++)
		RN_TRY(read_refs(s, &s->stages[i], e));
	RN_TRY(rn_calloc(s->nstages, sizeof *stack, "stages", &stack, e));
	for (uint32_t i = 0; i < s->nstages && !rc; i++)
		rc = make_with_inputs(s, i, stack, e);
	free(stack);
	return rc;
}

/* ---- runs --------------------------------------------------------------------------------- */

static int find_run_kind(const char *name, enum rn_run_kind *out, struct rn_err *e)
{
	for (int k = 0; k < RN_NRUNS; k++)
		if (!strcmp(rn_run_types[k].name, name)) {
			*out = (enum rn_run_kind)k;
			return 0;
		}
	return rn_err_set(e, RN_EUSAGE, "no run '%s' (there are fit, val, eval, pred)", name);
}

static int read_run(struct spec *s, enum rn_run_kind kind, json_t *v, const char **key,
		    struct rn_err *e)
{
	static const char *const none[] = { NULL };
	const struct rn_run_type *t = &rn_run_types[kind];
	uint32_t stage = 0;
	json_t *set;
	int rc = 0;

	if (!json_is_object(v))
		return rn_err_set(e, RN_EUSAGE, "must be an object");
	for (size_t i = 0; i < t->nopts; i++) {
		const json_t *name = json_object_get(v, t->opts[i].name);

		if (t->opts[i].type != RN_OPT_NODE)
			continue;
		if (!name)
			return rn_err_set(e, RN_EUSAGE, "\"%s\" is missing: %s", t->opts[i].name,
					  t->opts[i].help);
		*key = t->opts[i].name;
		RN_TRY(find_stage(s, name, &stage, e));
		*key = NULL;
	}
	RN_TRY(rn_json_object(&set, e));
	rc = read_options(v, t->opts, t->nopts, none, set, key, e);
	if (rc) {
		json_decref(set);
		return rc;
	}
	return rn_plan_add_run(s->plan, kind, s->stages[stage].node, set, e);
}

static int read_runs(struct spec *s, struct rn_err *e)
{
	const json_t *runs = json_object_get(s->root, "run");

	if (runs && !json_is_array(runs))
		return rn_err_set(e, RN_EUSAGE, "%s: /run: must be an array", s->file);
	for (size_t i = 0; i < json_array_size(runs); i++) {
		json_t *item = json_array_get(runs, i);
		const char *name = NULL, *key = NULL;
		enum rn_run_kind kind = RN_RUN_FIT;
		struct rn_str ptr = RN_STR_INIT;
		int rc;

		if (json_object_size(item) != 1) {
			rc = rn_err_set(e, RN_EUSAGE,
					"must be an object with one key, fit, val, eval or pred");
		} else {
			name = json_object_iter_key(json_object_iter(item));
			rc = find_run_kind(name, &kind, e);
			if (!rc)
				rc = read_run(s, kind, json_object_get(item, name), &key, e);
		}
		if (!rc)
			continue;
		if (name)
			rn_json_pointer_add(&ptr, name);
		if (key)
			rn_json_pointer_add(&ptr, key);
		rn_err_prefix(e, rc, "%s: /run/%zu%s", s->file, i, ptr.s);
		rn_str_fini(&ptr);
		return rc;
	}
	return 0;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static int check_root(const struct spec *s, struct rn_err *e)
{
	static const char *const keys[] = { "rn", "constants", "sources", "stages", "run",
					    "$schema", NULL };
	const json_t *rn = json_object_get(s->root, "rn");
	struct rn_str ptr = RN_STR_INIT;
	const char *key;
	json_t *v;
	char buf[80];

	if (!json_is_object(s->root))
		return rn_err_set(e, RN_EUSAGE, "%s: a spec is an object, not an array", s->file);
	if (!rn)
		return rn_err_set(e, RN_EUSAGE, "%s: no \"rn\": 1: this is not a spec", s->file);
	if (!json_is_integer(rn) || json_integer_value(rn) != 1)
		return rn_err_set(e, RN_EUSAGE,
				  "%s: /rn: version %s of the spec format is unknown; this rn "
				  "reads 1", s->file, rn_json_brief(rn, buf, sizeof buf));
	json_object_foreach(s->root, key, v) {
		const char *const *p = keys;

		while (*p && strcmp(*p, key))
			p++;
		if (*p)
			continue;
		(void)unknown_key(NULL, 0, key, keys, e);
		rn_json_pointer_add(&ptr, key);
		rn_err_prefix(e, RN_EUSAGE, "%s: %s", s->file, ptr.s);
		rn_str_fini(&ptr);
		return RN_EUSAGE;
	}
	return 0;
}

/* The folder of the spec, unless it is the cwd. */
static int find_dir(const char *file, char **out, struct rn_err *e)
{
	const char *slash = strrchr(file, '/');
	size_t n;

	*out = NULL;
	if (!slash)
		return 0;
	n = slash == file ? 1 : (size_t)(slash - file);
	*out = strndup(file, n);
	return *out ? 0 : rn_err_nomem(e, n + 1, "a path");
}

static int read_spec(struct spec *s, const char *const *set, size_t nset,
		     const char *const *source, size_t nsource, struct rn_err *e)
{
	RN_TRY(check_root(s, e));
	RN_TRY(find_dir(s->file, &s->plan->dir, e));
	RN_TRY(rn_spec_constants(s->file, s->root, set, nset, &s->constants, e));
	RN_TRY(rn_spec_expand(s->file, s->root, s->constants, e));
	RN_TRY(rn_json_object(&s->numbers, e));
	RN_TRY(collect_sources(s, e));
	RN_TRY(collect_stages(s, e));
	RN_TRY(make_nodes(s, e));
	RN_TRY(read_runs(s, e));
	s->plan->constants = json_incref(s->constants);
	return rn_plan_rebind(s->plan, source, nsource, e);
}

int rn_plan_from_spec(const char *text, size_t len, const char *file, const char *const *set,
		      size_t nset, const char *const *source, size_t nsource, struct rn_plan **out,
		      struct rn_err *e)
{
	struct spec s = { .file = file ? file : "spec" };
	struct rn_err err = { 0 }; /* prefixes need one, whatever the caller wants */
	int rc = rn_json_load(text, len, s.file, RN_EUSAGE, &s.root, &err);

	if (!rc)
		rc = rn_plan_new(&s.plan, &err);
	if (!rc)
		rc = read_spec(&s, set, nset, source, nsource, &err);
	for (uint32_t i = 0; i < s.nstages; i++)
		free(s.stages[i].refs);
	free(s.stages);
	json_decref(s.numbers);
	json_decref(s.constants);
	json_decref(s.root);
	if (rc) {
		rn_plan_free(s.plan);
		return rn_err_set(e, rc, "%s", err.msg);
	}
	*out = s.plan;
	return 0;
}
