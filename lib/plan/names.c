/* SPDX-License-Identifier: Apache-2.0
 *
 * The canonical plan: which nodes are one, what each is called, and their order.
 *
 * Everything is decided in a struct of its own before the plan is touched, so a
 * plan that is refused stays as it was.  jansson objects serve as hash tables.
 */
#include "plan_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct canon {
	const struct rn_plan *p;
	uint32_t *order; /* post-order: numbers of old nodes */
	uint32_t norder;
	uint32_t *map;  /* old number -> new number, RN_NO_NODE: not needed */
	uint32_t *keep; /* new number -> old number */
	uint32_t nkeep;
	char **names;     /* by new number: a name to give, or NULL to keep the node's own */
	json_t *by_name;  /* name -> new number */
	json_t *learners; /* unnamed nodes that learn: what they are -> new number */
};

/* ---- order ---------------------------------------------------------------------- */

struct frame {
	uint32_t node, next; /* input to visit next */
};

/* Post-order from one root, without recursion: plans come from the wire. */
static void visit(struct canon *c, uint32_t root, bool *seen, struct frame *stack)
{
	uint32_t depth = 0;

	if (seen[root])
		return;
	seen[root] = true;
	stack[depth++] = (struct frame){ root, 0 };
	while (depth) {
		struct frame *f = &stack[depth - 1];
		const struct rn_node *n = &c->p->nodes[f->node];

		if (f->next == n->nin) {
			c->order[c->norder++] = f->node;
			depth--;
			continue;
		}
		root = n->in[f->next++].node;
		if (!seen[root]) {
			seen[root] = true;
			stack[depth++] = (struct frame){ root, 0 };
		}
	}
}

/* With neither runs nor an output node, whatever has no user is a result. */
static void visit_sinks(struct canon *c, bool *seen, struct frame *stack, bool *used)
{
	for (uint32_t i = 0; i < c->p->nnodes; i++)
		for (uint32_t k = 0; k < c->p->nodes[i].nin; k++)
			used[c->p->nodes[i].in[k].node] = true;
	for (uint32_t i = 0; i < c->p->nnodes; i++)
		if (!used[i])
			visit(c, i, seen, stack);
}

static int find_order(struct canon *c, const uint32_t *out, struct rn_err *e)
{
	struct frame *stack = NULL;
	bool *seen;
	int rc;

	RN_TRY(rn_calloc((size_t)c->p->nnodes * 2, sizeof *seen, "a plan", &seen, e));
	rc = rn_calloc(c->p->nnodes, sizeof *stack, "a plan", &stack, e);
	if (rc) {
		free(seen);
		return rc;
	}
	for (uint32_t i = 0; i < c->p->nruns; i++)
		visit(c, c->p->runs[i].node, seen, stack);
	if (out)
		visit(c, *out, seen, stack);
	if (!out && !c->p->nruns)
		visit_sinks(c, seen, stack, seen + c->p->nnodes);
	free(seen);
	free(stack);
	return 0;
}

/* ---- names ---------------------------------------------------------------------- */

static long lookup(const json_t *table, const char *key)
{
	const json_t *v = json_object_get(table, key);

	return v ? (long)json_integer_value(v) : -1;
}

/* "linear 16" for a message. */
static void describe(const struct rn_node *n, struct rn_str *out)
{
	rn_str_add(out, n->op->name);
	for (size_t i = 0; i < n->op->nopts; i++) {
		const struct rn_opt *o = &n->op->opts[i];
		const json_t *v = json_object_get(n->opt, o->name);

		if (!v)
			continue;
		rn_str_addf(out, o->flags & RN_OPT_POSITIONAL ? " " : " --%s ", o->name);
		rn_opt_print(o, v, out);
	}
}

static int clash(const struct canon *c, const char *name, const struct rn_node *a,
		 const struct rn_node *b, struct rn_err *e)
{
	struct rn_str x = RN_STR_INIT, y = RN_STR_INIT;
	int rc;

	describe(a, &x);
	describe(b, &y);
	rc = rn_str_check(&x, e);
	if (!rc)
		rc = rn_str_check(&y, e);
	if (rc)
		goto out;
	if (a->op == b->op && rn_node_same(a, b, c->map))
		rc = rn_err_set(e, RN_EUSAGE,
				"two stages '%s' are equal but separate (%s): give each a name of "
				"its own", name, x.s);
	else
		rc = rn_err_set(e, RN_EUSAGE,
				"two stages are called '%s' (%s, and %s%s): give one another "
				"--name", name, x.s, y.s,
				strcmp(x.s, y.s) ? "" : " of another input");
out:
	rn_str_fini(&x);
	rn_str_fini(&y);
	return rc;
}

/* The name that a node brings: its own, or its file's stem into *derived (owned).
 * NULL for none. */
static int own_name(const struct rn_node *n, char **derived, const char **name, struct rn_err *e)
{
	const char *file = n->name ? NULL : rn_node_file(n), *stem;
	size_t len = file ? rn_plan_stem(file, &stem) : 0;

	*derived = NULL;
	*name = n->name;
	if (!len || len > RN_PLAN_MAX_NAME)
		return 0;
	*derived = strndup(stem, len);
	*name = *derived;
	return *derived ? 0 : rn_err_nomem(e, len + 1, "a name");
}

/* Take the node as the next new one; takes the derived name. */
static void keep_node(struct canon *c, uint32_t i, char *derived)
{
	c->names[c->nkeep] = derived;
	c->map[i] = c->nkeep;
	c->keep[c->nkeep++] = i;
}

static int add_named(struct canon *c, uint32_t i, char *derived, const char *name,
		     struct rn_err *e)
{
	const struct rn_node *n = &c->p->nodes[i];
	long k = lookup(c->by_name, name);

	if (k < 0) {
		int rc = rn_json_set(c->by_name, name, json_integer(c->nkeep), e);

		if (rc)
			free(derived);
		else
			keep_node(c, i, derived);
		return rc;
	}
	if (!n->learns && rn_node_same(&c->p->nodes[c->keep[k]], n, c->map)) {
		free(derived);
		c->map[i] = (uint32_t)k;
		return 0;
	}
	k = clash(c, name, &c->p->nodes[c->keep[k]], n, e);
	free(derived);
	return (int)k;
}

/* Two of these would get names by their place alone, and it could not be told which
 * parameters are whose. */
static int check_learner(struct canon *c, uint32_t i, struct rn_err *e)
{
	const struct rn_node *n = &c->p->nodes[i];
	struct rn_str what = RN_STR_INIT;
	int rc;

	if (!n->learns)
		return 0;
	rn_str_addf(&what, "%s ", n->op->name);
	for (uint32_t k = 0; k < n->nin; k++)
		rn_str_addf(&what, "%s=%s=%u ", n->in[k].as ? n->in[k].as : "",
			    n->in[k].opt ? n->in[k].opt : "", c->map[n->in[k].node]);
	rn_json_print(n->opt, RN_JSON_COMPACT, &what);
	RN_GOTO(out, rn_str_check(&what, e));
	if (json_object_get(c->learners, what.s))
		rc = rn_err_set(e, RN_EUSAGE,
				"two stages '%s' are equal but separate: give each a --name, or "
				"use one for both (tee, or a file read twice)",
				n->op->name);
	else
		rc = rn_json_set(c->learners, what.s, json_integer(c->nkeep), e);
out:
	rn_str_fini(&what);
	return rc;
}

static int choose(struct canon *c, struct rn_err *e)
{
	for (uint32_t k = 0; k < c->norder; k++) {
		uint32_t i = c->order[k];
		const char *name;
		char *derived;

		RN_TRY(own_name(&c->p->nodes[i], &derived, &name, e));
		if (name) {
			RN_TRY(add_named(c, i, derived, name, e));
		} else {
			RN_TRY(check_learner(c, i, e));
			keep_node(c, i, NULL);
		}
	}
	return 0;
}

/* The op and the ordinal among its nodes, for those that are still without a name. */
static int number(struct canon *c, struct rn_err *e)
{
	uint32_t *count;
	int rc;

	RN_TRY(rn_calloc(rn_op_count, sizeof *count, "a plan", &count, e));
	for (uint32_t k = 0; k < c->nkeep; k++) {
		const struct rn_node *n = &c->p->nodes[c->keep[k]];
		size_t op = 0;

		while (op + 1 < rn_op_count && rn_op_table[op] != n->op)
			op++;
		count[op]++;
		if (n->name || c->names[k])
			continue;
		if (asprintf(&c->names[k], "%s%u", n->op->name, count[op]) < 0) {
			c->names[k] = NULL;
			rc = rn_err_nomem(e, 0, "a name");
			goto out;
		}
		if (json_object_get(c->by_name, c->names[k])) {
			rc = rn_err_set(e, RN_EUSAGE,
					"a stage without a name would be '%s', which another is "
					"called: give it a --name", c->names[k]);
			goto out;
		}
		RN_GOTO(out, rn_json_set(c->by_name, c->names[k], json_integer(k), e));
	}
	rc = 0;
out:
	free(count);
	return rc;
}

/* ---- commit ------------------------------------------------------------------------ */

/* Cannot fail: nodes[] has room for all that are kept. */
static void commit(struct canon *c, struct rn_plan *p, struct rn_node *nodes, uint32_t *out)
{
	for (uint32_t k = 0; k < c->nkeep; k++) {
		struct rn_node *n = &nodes[k];

		*n = p->nodes[c->keep[k]];
		p->nodes[c->keep[k]] = (struct rn_node){ 0 };
		free(n->id);
		n->id = NULL;
		if (!n->name) {
			n->name = c->names[k];
			c->names[k] = NULL;
		}
		for (uint32_t i = 0; i < n->nin; i++) {
			n->in[i].node = c->map[n->in[i].node];
			if (n->in[i].as && !strcmp(n->in[i].as, nodes[n->in[i].node].name)) {
				free(n->in[i].as);
				n->in[i].as = NULL;
			}
		}
	}
	for (uint32_t i = 0; i < p->nnodes; i++)
		rn_plan_node_fini(&p->nodes[i]);
	free(p->nodes);
	p->nodes = nodes;
	p->nnodes = c->nkeep;
	p->cap_nodes = c->nkeep ? c->nkeep : 1;
	for (uint32_t i = 0; i < p->nruns; i++)
		p->runs[i].node = c->map[p->runs[i].node];
	if (out)
		*out = c->map[*out];
}

static int canon_init(struct canon *c, struct rn_err *e)
{
	RN_TRY(rn_calloc(c->p->nnodes, sizeof *c->order, "a plan", &c->order, e));
	RN_TRY(rn_calloc(c->p->nnodes, sizeof *c->map, "a plan", &c->map, e));
	RN_TRY(rn_calloc(c->p->nnodes, sizeof *c->keep, "a plan", &c->keep, e));
	RN_TRY(rn_calloc(c->p->nnodes, sizeof *c->names, "a plan", &c->names, e));
	RN_TRY(rn_json_object(&c->by_name, e));
	RN_TRY(rn_json_object(&c->learners, e));
	memset(c->map, 0xFF, c->p->nnodes * sizeof *c->map);
	return 0;
}

static void canon_fini(struct canon *c)
{
	for (uint32_t k = 0; c->names && k < c->nkeep; k++)
		free(c->names[k]);
	free(c->order);
	free(c->map);
	free(c->keep);
	free(c->names);
	json_decref(c->by_name);
	json_decref(c->learners);
}

int rn_plan_canonical(struct rn_plan *p, uint32_t *out, struct rn_err *e)
{
	struct canon c = { .p = p };
	struct rn_node *nodes;
	int rc;

	RN_GOTO(done, canon_init(&c, e));
	RN_GOTO(done, find_order(&c, out, e));
	RN_GOTO(done, choose(&c, e));
	RN_GOTO(done, number(&c, e));
	RN_GOTO(done, rn_calloc(c.nkeep, sizeof *nodes, "a plan", &nodes, e));
	commit(&c, p, nodes, out);
done:
	canon_fini(&c);
	return rc;
}
