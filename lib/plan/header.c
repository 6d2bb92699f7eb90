/* SPDX-License-Identifier: Apache-2.0
 *
 * Plans inside streams.
 *
 *   {"out": 3,
 *    "nodes": [{"op": "linear", "name": "h1", "id": "16 hex digits", "opt": {…},
 *               "in": [0, {"node": 2, "as": "a", "opt": "keys"}], "section": 0}, …],
 *    "runs": [{"kind": "fit", "node": 3, "opt": {…}}, …]}
 *
 * An input is the position of an earlier node, so what comes from the wire
 * cannot hold a cycle.  Everything else in it is checked here: options against
 * the operator's table, names, ids, positions, sections.
 */
#include "plan_impl.h"

#include <stdlib.h>
#include <string.h>

/* ---- writing ---------------------------------------------------------------------- */

static int put_input(json_t *list, const struct rn_input *in, uint32_t node, struct rn_err *e)
{
	json_t *o;
	int rc;

	if (!in->as && !in->opt)
		return rn_json_append(list, json_integer(node), e);
	RN_TRY(rn_json_object(&o, e));
	rc = rn_json_set(o, "node", json_integer(node), e);
	if (!rc && in->as)
		rc = rn_json_set_text(o, "as", in->as, e);
	if (!rc && in->opt)
		rc = rn_json_set_text(o, "opt", in->opt, e);
	if (rc) {
		json_decref(o);
		return rc;
	}
	return rn_json_append(list, o, e);
}

static int put_inputs(json_t *o, const struct rn_node *n, const uint32_t *map, struct rn_err *e)
{
	json_t *list = json_array();

	RN_TRY(rn_json_set(o, "in", list, e));
	for (uint32_t i = 0; i < n->nin; i++)
		RN_TRY(put_input(list, &n->in[i], map[n->in[i].node], e));
	return 0;
}

static int put_node(json_t *nodes, const struct rn_plan *p, const struct rn_node *n,
		    const uint32_t *map, uint32_t section, struct rn_err *e)
{
	json_t *o, *opt;
	int rc;

	RN_TRY(rn_json_object(&o, e));
	RN_GOTO(fail, rn_json_set_text(o, "op", n->op->name, e));
	if (n->name)
		RN_GOTO(fail, rn_json_set_text(o, "name", n->name, e));
	if (n->id)
		RN_GOTO(fail, rn_json_set_text(o, "id", n->id, e));
	RN_GOTO(fail, rn_plan_options(p, n, &opt, e));
	RN_GOTO(fail, rn_json_set(o, "opt", opt, e));
	if (n->nin)
		RN_GOTO(fail, put_inputs(o, n, map, e));
	if (section != RN_NO_NODE)
		RN_GOTO(fail, rn_json_set(o, "section", json_integer(section), e));
	return rn_json_append(nodes, o, e);
fail:
	json_decref(o);
	return rc;
}

static int put_run(json_t *runs, const struct rn_run *r, const uint32_t *map, struct rn_err *e)
{
	json_t *o, *opt;
	int rc;

	RN_TRY(rn_json_object(&o, e));
	RN_GOTO(fail, rn_json_set_text(o, "kind", rn_run_types[r->kind].name, e));
	RN_GOTO(fail, rn_json_set(o, "node", json_integer(map[r->node]), e));
	RN_GOTO(fail, rn_json_copy(r->opt, &opt, e));
	RN_GOTO(fail, rn_json_set(o, "opt", opt, e));
	return rn_json_append(runs, o, e);
fail:
	json_decref(o);
	return rc;
}

/* Position of each node among those that are needed, RN_NO_NODE for others. */
static void number_needed(const struct rn_plan *p, uint32_t out, const uint32_t *section,
			  uint32_t *map)
{
	uint32_t n = 0;

	memset(map, 0xFF, p->nnodes * sizeof *map);
	map[out] = 0;
	for (uint32_t i = 0; i < p->nruns; i++)
		map[p->runs[i].node] = 0;
	for (uint32_t i = p->nnodes; i-- > 0;) {
		if (section && section[i] != RN_NO_NODE)
			map[i] = 0;
		for (uint32_t k = 0; map[i] != RN_NO_NODE && k < p->nodes[i].nin; k++)
			map[p->nodes[i].in[k].node] = 0;
	}
	for (uint32_t i = 0; i < p->nnodes; i++)
		if (map[i] != RN_NO_NODE)
			map[i] = n++;
}

static int write_header(const struct rn_plan *p, uint32_t out, const uint32_t *section,
			const uint32_t *map, json_t *root, struct rn_err *e)
{
	json_t *nodes = json_array(), *runs;

	RN_TRY(rn_json_set(root, "nodes", nodes, e));
	RN_TRY(rn_json_set(root, "out", json_integer(map[out]), e));
	for (uint32_t i = 0; i < p->nnodes; i++)
		if (map[i] != RN_NO_NODE)
			RN_TRY(put_node(nodes, p, &p->nodes[i], map,
					section ? section[i] : RN_NO_NODE, e));
	if (!p->nruns)
		return 0;
	runs = json_array();
	RN_TRY(rn_json_set(root, "runs", runs, e));
	for (uint32_t i = 0; i < p->nruns; i++)
		RN_TRY(put_run(runs, &p->runs[i], map, e));
	return 0;
}

int rn_plan_to_header(const struct rn_plan *p, uint32_t out, const uint32_t *section, json_t **j,
		      struct rn_err *e)
{
	json_t *root = NULL;
	uint32_t *map;
	int rc;

	if (out >= p->nnodes)
		return rn_err_set(e, RN_EBUG, "a stream of stage %u, which is not there", out);
	RN_TRY(rn_calloc(p->nnodes, sizeof *map, "a plan", &map, e));
	number_needed(p, out, section, map);
	rc = rn_json_object(&root, e);
	if (!rc)
		rc = write_header(p, out, section, map, root, e);
	free(map);
	if (rc)
		json_decref(root);
	else
		*j = root;
	return rc;
}

/* ---- reading ------------------------------------------------------------------------ */

struct reader {
	struct rn_plan *p;
	json_t *ids;      /* id -> node of p */
	uint32_t *map;    /* node of the header -> node of p */
	uint32_t n;       /* nodes read so far */
	uint32_t *node_of;
	size_t cap;
};

#define bad(e, ...) rn_err_set(e, RN_EDATA, __VA_ARGS__)

/* Does the object hold no key but these? */
static int check_keys(json_t *o, const char *const *keys, struct rn_err *e)
{
	const char *key;
	json_t *v;

	json_object_foreach(o, key, v) {
		const char *const *k = keys;

		while (*k && strcmp(*k, key))
			k++;
		if (!*k)
			return bad(e, "unknown key '%.100s'", key);
	}
	return 0;
}

/* A number below `limit`. */
static int read_number(const json_t *v, uint64_t limit, const char *what, uint32_t *out,
		       struct rn_err *e)
{
	char buf[60];

	if (!json_is_integer(v) || json_integer_value(v) < 0 ||
	    (uint64_t)json_integer_value(v) >= limit)
		return bad(e, "\"%s\" must be a number below %llu, not %s", what,
			   (unsigned long long)limit,
			   v ? rn_json_brief(v, buf, sizeof buf) : "missing");
	*out = (uint32_t)json_integer_value(v);
	return 0;
}

/* A text that may be missing (*out NULL). */
static int read_text(const json_t *o, const char *key, const char **out, struct rn_err *e)
{
	const json_t *v = json_object_get(o, key);

	*out = json_string_value(v);
	return v && !*out ? bad(e, "\"%s\" must be a text", key) : 0;
}

static int read_options(const json_t *given, const struct rn_opt *opts, size_t nopts, json_t *set,
			struct rn_err *e)
{
	json_t *o = (json_t *)(uintptr_t)given, *v, *value;
	const char *key;

	if (given && !json_is_object(given))
		return bad(e, "\"opt\" must be an object");
	json_object_foreach(o, key, v) {
		const struct rn_opt *row = rn_opt_find(opts, nopts, key);

		if (!row || row->type == RN_OPT_NODE)
			return bad(e, "unknown option '%.100s'", key);
		if (rn_opt_from_json(row, v, &value, e))
			return rn_err_prefix(e, e->code, "%s", key);
		RN_TRY(rn_opt_put(set, row, value, e));
	}
	return rn_opt_finish(set, opts, nopts, e);
}

static int read_input(struct reader *r, uint32_t node, const json_t *v, struct rn_err *e)
{
	static const char *const keys[] = { "node", "as", "opt", NULL };
	const char *as = NULL, *opt = NULL;
	uint32_t from;

	if (json_is_object(v)) {
		RN_TRY(check_keys((json_t *)(uintptr_t)v, keys, e));
		RN_TRY(read_text(v, "as", &as, e));
		RN_TRY(read_text(v, "opt", &opt, e));
		v = json_object_get(v, "node");
	}
	RN_TRY(read_number(v, r->n, "in", &from, e));
	return rn_plan_add_input(r->p, node, as, opt, r->map[from], e);
}

static bool is_id(const char *s)
{
	return strlen(s) == 16 && strspn(s, "0123456789abcdef") == 16;
}

/* A node of this id is there: it must be the same one. */
static int check_same(const struct reader *r, uint32_t node, const struct rn_op *op,
		      const char *name, const json_t *opt, const json_t *in, struct rn_err *e)
{
	const struct rn_node *n = &r->p->nodes[node];
	bool same = n->op == op && rn_json_equal(n->opt, opt) &&
		    json_array_size(in) == n->nin &&
		    (name && n->name ? !strcmp(name, n->name) : !name == !n->name);

	for (uint32_t i = 0; same && i < n->nin; i++) {
		const json_t *v = json_array_get(in, i);
		uint32_t from;

		if (json_is_object(v))
			v = json_object_get(v, "node");
		same = !read_number(v, r->n, "in", &from, NULL) && r->map[from] == n->in[i].node;
	}
	return same ? 0 : bad(e, "two different stages have the id %s", n->id);
}

/* The node of an id that is new, or of none. */
static int make_node(struct reader *r, const struct rn_op *op, const char *name, const char *id,
		     json_t *opt, const json_t *in, uint32_t *node, struct rn_err *e)
{
	RN_TRY(rn_plan_add(r->p, op, name, id, json_incref(opt), node, e));
	for (size_t i = 0; i < json_array_size(in); i++)
		RN_TRY(read_input(r, *node, json_array_get(in, i), e));
	RN_TRY(rn_plan_check_inputs(&r->p->nodes[*node], e));
	return id ? rn_json_set(r->ids, id, json_integer(*node), e) : 0;
}

static int read_section(struct reader *r, const json_t *v, uint32_t node, struct rn_err *e)
{
	uint32_t k;

	if (!v)
		return 0;
	RN_TRY(read_number(v, r->cap, "section", &k, e));
	if (r->node_of[k] != RN_NO_NODE)
		return bad(e, "section %u carries two stages", k);
	r->node_of[k] = node;
	return 0;
}

static int read_node(struct reader *r, json_t *o, struct rn_err *e)
{
	static const char *const keys[] = { "op", "name", "id", "opt", "in", "section", NULL };
	const json_t *in = json_object_get(o, "in"), *have;
	const char *opname, *name, *id;
	const struct rn_op *op;
	uint32_t node;
	json_t *opt;
	int rc;

	if (!json_is_object(o) || (in && !json_is_array(in)))
		return bad(e, "%s must be an %s", in ? "\"in\"" : "it", in ? "array" : "object");
	RN_TRY(check_keys(o, keys, e));
	RN_TRY(read_text(o, "op", &opname, e));
	RN_TRY(read_text(o, "name", &name, e));
	RN_TRY(read_text(o, "id", &id, e));
	op = opname ? rn_op_find(opname) : NULL;
	if (!op)
		return bad(e, "this rn has no operator '%.100s'", opname ? opname : "");
	if (id && !is_id(id))
		return bad(e, "'%.100s' is no stage id (16 hexadecimal digits)", id);
	RN_TRY(rn_json_object(&opt, e));
	rc = read_options(json_object_get(o, "opt"), op->opts, op->nopts, opt, e);
	have = id ? json_object_get(r->ids, id) : NULL;
	if (!rc && have) {
		node = (uint32_t)json_integer_value(have);
		rc = check_same(r, node, op, name, opt, in, e);
	} else if (!rc) {
		rc = make_node(r, op, name, id, opt, in, &node, e);
	}
	json_decref(opt);
	RN_TRY(rc);
	r->map[r->n++] = node;
	return read_section(r, json_object_get(o, "section"), node, e);
}

static int read_header_run(struct reader *r, json_t *o, struct rn_err *e)
{
	static const char *const keys[] = { "kind", "node", "opt", NULL };
	const char *name;
	uint32_t node;
	json_t *opt;
	int k = 0, rc;

	if (!json_is_object(o))
		return bad(e, "it must be an object");
	RN_TRY(check_keys(o, keys, e));
	RN_TRY(read_text(o, "kind", &name, e));
	while (k < RN_NRUNS && (!name || strcmp(rn_run_types[k].name, name)))
		k++;
	if (k == RN_NRUNS)
		return bad(e, "no run '%.100s'", name ? name : "");
	RN_TRY(read_number(json_object_get(o, "node"), r->n, "node", &node, e));
	RN_TRY(rn_json_object(&opt, e));
	rc = read_options(json_object_get(o, "opt"), rn_run_types[k].opts, rn_run_types[k].nopts,
			  opt, e);
	if (rc) {
		json_decref(opt);
		return rc;
	}
	return rn_plan_add_run(r->p, (enum rn_run_kind)k, r->map[node], opt, e);
}

static int known_ids(struct reader *r, struct rn_err *e)
{
	RN_TRY(rn_json_object(&r->ids, e));
	for (uint32_t i = 0; i < r->p->nnodes; i++)
		if (r->p->nodes[i].id)
			RN_TRY(rn_json_set(r->ids, r->p->nodes[i].id, json_integer(i), e));
	return 0;
}

static int read_header(struct reader *r, const json_t *j, uint32_t *out, struct rn_err *e)
{
	static const char *const keys[] = { "nodes", "out", "runs", NULL };
	const json_t *nodes = json_object_get(j, "nodes"), *runs = json_object_get(j, "runs");
	uint32_t last;

	if (!json_is_object(j) || !json_is_array(nodes) || (runs && !json_is_array(runs)))
		return bad(e, "it is no object of nodes and runs");
	RN_TRY(check_keys((json_t *)(uintptr_t)j, keys, e));
	if (!json_array_size(nodes) || json_array_size(nodes) > RN_PLAN_MAX_NODES)
		return bad(e, "it has %zu stages; 1 to %d are allowed", json_array_size(nodes),
			   RN_PLAN_MAX_NODES);
	RN_TRY(rn_calloc(json_array_size(nodes), sizeof *r->map, "a plan", &r->map, e));
	RN_TRY(known_ids(r, e));
	for (size_t i = 0; i < json_array_size(nodes); i++)
		if (read_node(r, json_array_get(nodes, i), e))
			return rn_err_prefix(e, e->code, "stage %zu", i);
	for (size_t i = 0; i < json_array_size(runs); i++)
		if (read_header_run(r, json_array_get(runs, i), e))
			return rn_err_prefix(e, e->code, "run %zu", i);
	RN_TRY(read_number(json_object_get(j, "out"), r->n, "out", &last, e));
	*out = r->map[last];
	return 0;
}

int rn_plan_from_header(struct rn_plan *p, const json_t *j, uint32_t *out, uint32_t *node_of,
			size_t cap, struct rn_err *e)
{
	struct reader r = { .p = p, .node_of = node_of, .cap = cap };
	struct rn_err err = { 0 };
	int rc;

	for (size_t k = 0; k < cap; k++)
		node_of[k] = RN_NO_NODE;
	rc = read_header(&r, j, out, &err);
	free(r.map);
	json_decref(r.ids);
	if (!rc)
		return 0;
	/* Whoever is at fault, it is not the command line of this program. */
	if (rc == RN_EUSAGE || rc == RN_EBUG)
		rc = RN_EDATA;
	return rn_err_set(e, rc, "the stream's plan is damaged: %s", err.msg);
}
