/* SPDX-License-Identifier: Apache-2.0
 *
 * The plan that is rewritten: copied, added to, put in order.
 */
#include "rewriting.h"

#include "../../base/json.h"
#include "../../rel/key.h"
#include "../plan_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a copy ------------------------------------------------------------------------------- */

static int copy_inputs(const struct rn_node *from, struct rn_node *to, struct rn_err *e)
{
	RN_TRY(rn_calloc(from->nin, sizeof *to->in, "a plan", &to->in, e));
	for (uint32_t i = 0; i < from->nin; i++) {
		to->in[i] = from->in[i];
		to->in[i].as = from->in[i].as ? strdup(from->in[i].as) : NULL;
		to->nin = i + 1;
		if (from->in[i].as && !to->in[i].as)
			return rn_err_nomem(e, strlen(from->in[i].as) + 1, "a name");
	}
	return 0;
}

static int copy_where(const struct rn_node *from, struct rn_node *to, struct rn_err *e)
{
	to->where = from->where ? strdup(from->where) : NULL;
	return from->where && !to->where ? rn_err_nomem(e, strlen(from->where) + 1, "a place") : 0;
}

/* Without its inputs: a leaf has none. */
static int copy_node(const struct rn_node *from, struct rn_node *to, struct rn_err *e)
{
	*to = (struct rn_node){ .op = from->op, .learns = from->learns };
	to->opt = json_incref(from->opt);
	to->fitted = from->fitted ? rn_fitted_ref(from->fitted) : NULL;
	to->name = strdup(from->name);
	return to->name ? copy_where(from, to, e) : rn_err_nomem(e, strlen(from->name) + 1, "a name");
}

static int copy_runs(const struct rn_plan *from, struct rn_plan *to, struct rn_err *e)
{
	RN_TRY(rn_calloc(from->nruns, sizeof *to->runs, "a plan", &to->runs, e));
	for (uint32_t i = 0; i < from->nruns; i++) {
		to->runs[i] = from->runs[i];
		json_incref(to->runs[i].opt);
		to->nruns = to->cap_runs = i + 1;
	}
	to->constants = json_incref(from->constants);
	to->dir = from->dir ? strdup(from->dir) : NULL;
	return from->dir && !to->dir ? rn_err_nomem(e, strlen(from->dir) + 1, "a path") : 0;
}

static int copy_plan(const struct rn_plan *from, struct rn_rel *const *carried, struct rn_plan *to,
		     struct rn_err *e)
{
	RN_TRY(rn_grow(&to->nodes, &to->cap_nodes, from->nnodes ? from->nnodes : 1,
		       sizeof *to->nodes, "a plan", e));
	for (uint32_t i = 0; i < from->nnodes; i++) {
		to->nnodes = i + 1;
		RN_TRY(copy_node(&from->nodes[i], &to->nodes[i], e));
		if (!carried || !carried[i])
			RN_TRY(copy_inputs(&from->nodes[i], &to->nodes[i], e));
	}
	return copy_runs(from, to, e);
}

static int grow_facts(struct rn_rewriting *r, uint32_t n, struct rn_err *e)
{
	size_t old = r->cap_facts;

	RN_TRY(rn_grow(&r->facts, &r->cap_facts, n ? n : 1, sizeof *r->facts, "a plan", e));
	memset(r->facts + old, 0, (r->cap_facts - old) * sizeof *r->facts);
	return 0;
}

int rn_rewriting_init(struct rn_rewriting *r, const struct rn_ctx *c, const struct rn_plan *plan,
		      struct rn_rel *const *carried, struct rn_err *e)
{
	int rc;

	memset(r, 0, sizeof *r);
	r->ctx = c;
	r->always = c->no_rewrite & RN_RW_ALWAYS;
	r->ncanonical = plan->nnodes;
	RN_TRY(rn_plan_new(&r->plan, e));
	RN_GOTO(fail, copy_plan(plan, carried, r->plan, e));
	RN_GOTO(fail, grow_facts(r, plan->nnodes, e));
	for (uint32_t i = 0; i < plan->nnodes; i++) {
		const struct rn_node *n = &plan->nodes[i];
		bool brought = carried && carried[i];

		r->facts[i].leaf = brought || (n->op->flags & RN_OP_SOURCE);
		r->facts[i].deferred = n->learns && !brought;
		for (uint32_t k = 0; k < n->nin && !brought; k++)
			r->facts[i].deferred |= r->facts[n->in[k].node].deferred;
	}
	return 0;
fail:
	rn_rewriting_fini(r);
	return rc;
}

void rn_rewriting_fini(struct rn_rewriting *r)
{
	for (size_t i = 0; i < r->cap_facts; i++)
		rn_schema_fini(&r->facts[i].schema);
	free(r->facts);
	rn_plan_free(r->plan);
	memset(r, 0, sizeof *r);
}

/* ---- what depends on what ---------------------------------------------------------------- */

struct walk {
	const struct rn_plan *p;
	uint8_t *seen;
	struct step {
		uint32_t node, next;
	} *stack;
	uint32_t *order, n;
};

/* Post-order from one root, without recursion: plans may be deep. */
static void visit(struct walk *w, uint32_t root)
{
	size_t depth = 0;

	if (w->seen[root])
		return;
	w->seen[root] = 1;
	w->stack[depth++] = (struct step){ root, 0 };
	while (depth) {
		struct step *s = &w->stack[depth - 1];
		const struct rn_node *n = &w->p->nodes[s->node];
		uint32_t in;

		if (s->next == n->nin) {
			w->order[w->n++] = s->node;
			depth--;
			continue;
		}
		in = n->in[s->next++].node;
		if (!w->seen[in]) {
			w->seen[in] = 1;
			w->stack[depth++] = (struct step){ in, 0 };
		}
	}
}

static int walk_init(struct walk *w, const struct rn_plan *p, struct rn_err *e)
{
	int rc;

	*w = (struct walk){ .p = p };
	RN_TRY(rn_calloc(p->nnodes, 1, "a plan", &w->seen, e));
	RN_GOTO(fail, rn_calloc(p->nnodes, sizeof *w->stack, "a plan", &w->stack, e));
	RN_GOTO(fail, rn_calloc(p->nnodes, sizeof *w->order, "a plan", &w->order, e));
	return 0;
fail:
	free(w->seen);
	free(w->stack);
	return rc;
}

/* All that the runs need: nodes of the canonical plan in its order. */
static int visit_runs(const struct rn_rewriting *r, struct walk *w, struct rn_err *e)
{
	uint8_t *needed;

	for (uint32_t i = 0; i < r->plan->nruns; i++)
		visit(w, r->plan->runs[i].node);
	RN_TRY(rn_calloc(r->plan->nnodes, 1, "a plan", &needed, e));
	memcpy(needed, w->seen, r->plan->nnodes);
	memset(w->seen, 0, r->plan->nnodes);
	w->n = 0;
	for (uint32_t i = 0; i < r->ncanonical; i++)
		if (needed[i])
			visit(w, i);
	free(needed);
	return 0;
}

int rn_rewriting_order(const struct rn_rewriting *r, uint32_t root, uint32_t **order, uint32_t *n,
		       struct rn_err *e)
{
	struct walk w;
	int rc = 0;

	RN_TRY(walk_init(&w, r->plan, e));
	if (root == RN_NONE)
		rc = visit_runs(r, &w, e);
	else
		visit(&w, root);
	free(w.seen);
	free(w.stack);
	if (rc)
		free(w.order);
	else
		*order = w.order, *n = w.n;
	return rc;
}

int rn_rewriting_count(struct rn_rewriting *r, struct rn_err *e)
{
	const struct rn_plan *p = r->plan;
	uint32_t *order, n;

	RN_TRY(rn_rewriting_order(r, RN_NONE, &order, &n, e));
	for (uint32_t i = 0; i < p->nnodes; i++)
		r->facts[i].users = r->facts[i].runs = 0;
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t k = 0; k < p->nodes[order[i]].nin; k++)
			r->facts[p->nodes[order[i]].in[k].node].users++;
	for (uint32_t i = 0; i < p->nruns; i++)
		r->facts[p->runs[i].node].runs++;
	free(order);
	return 0;
}

/* ---- nodes --------------------------------------------------------------------------------- */

int rn_rewriting_infer(struct rn_rewriting *r, uint32_t i, struct rn_err *e)
{
	const struct rn_node *n = &r->plan->nodes[i];
	const struct rn_schema *in[2 * RN_MANY];
	struct rn_rewrite_facts *f = &r->facts[i];
	int rc;

	f->deferred = n->learns;
	for (uint32_t k = 0; k < n->nin; k++) {
		in[k] = &r->facts[n->in[k].node].schema;
		f->deferred |= r->facts[n->in[k].node].deferred;
	}
	rn_schema_fini(&f->schema);
	f->schema = (struct rn_schema){ 0 };
	rc = rn_plan_check_inputs(n, e);
	if (!rc)
		rc = n->op->infer(n, in, &f->schema, e);
	if (!rc)
		rc = rn_schema_set_name(&f->schema, n->name, e);
	return rc ? rn_node_error(n, rc, e) : 0;
}

/* Schemas of all needed nodes; leaves are made. */
static int infer_all(struct rn_rewriting *r, struct rn_err *e)
{
	const struct rn_rel *rel;
	uint32_t *order, n;
	int rc;

	RN_TRY(rn_rewriting_order(r, RN_NONE, &order, &n, e));
	for (uint32_t k = 0; k < n; k++) {
		uint32_t i = order[k];

		if (!r->facts[i].leaf) {
			RN_GOTO(out, rn_rewriting_infer(r, i, e));
			continue;
		}
		RN_GOTO(out, r->content(r->arg, i, &rel, e));
		RN_GOTO(out, rn_schema_copy(&rel->schema, &r->facts[i].schema, e));
		RN_GOTO(out, rn_schema_set_name(&r->facts[i].schema, r->plan->nodes[i].name, e));
	}
	rc = 0;
out:
	free(order);
	return rc;
}

/* A name that no node has: that of the node it works for, and a number.  NULL: no memory. */
static char *derive_name(const struct rn_rewriting *r, uint32_t of)
{
	const char *base = r->plan->nodes[of].name;
	int n = (int)strlen(base);
	char *name;

	if (n > RN_PLAN_MAX_NAME - 32) { /* not inside a character */
		n = RN_PLAN_MAX_NAME - 32;
		while (n && ((unsigned char)base[n] & 0xC0) == 0x80)
			n--;
	}
	for (uint32_t k = r->plan->nnodes - r->ncanonical + 1;; k++) {
		if (asprintf(&name, "%.*s/%s%u", n, base, r->doing, k) < 0)
			return NULL;
		if (rn_plan_find(r->plan, name) < 0)
			return name;
		free(name);
	}
}

int rn_rewriting_add(struct rn_rewriting *r, uint32_t of, const char *op, json_t *opt,
		     const struct rn_rewriting_in *in, uint32_t nin, uint32_t *out,
		     struct rn_err *e)
{
	char *name = derive_name(r, of);
	int rc;

	if (!name) {
		json_decref(opt);
		return rn_err_nomem(e, 0, "a name");
	}
	rc = grow_facts(r, r->plan->nnodes + 1, e);
	if (rc)
		json_decref(opt);
	else
		rc = rn_plan_add(r->plan, rn_op_find(op), name, NULL, opt, out, e);
	free(name);
	RN_TRY(rc);
	RN_TRY(copy_where(&r->plan->nodes[of], &r->plan->nodes[*out], e));
	for (uint32_t k = 0; k < nin; k++)
		RN_TRY(rn_plan_add_input(r->plan, *out, in[k].as, NULL, in[k].node, e));
	return rn_rewriting_infer(r, *out, e);
}

bool rn_rewriting_same_schema(const struct rn_schema *a, const struct rn_schema *b)
{
	return rn_schema_equal(a, b) && a->nkey == b->nkey &&
	       (!a->nkey || !memcmp(a->key, b->key, a->nkey * sizeof *a->key));
}

int rn_rewriting_become(struct rn_rewriting *r, uint32_t i, uint32_t like, struct rn_err *e)
{
	struct rn_node *n = &r->plan->nodes[i], *m = &r->plan->nodes[like], old = *n;

	if (!rn_rewriting_same_schema(&r->facts[i].schema, &r->facts[like].schema))
		return rn_err_set(e, RN_EBUG, "%s changes the columns of '%s'", r->doing, n->name);
	n->op = m->op;
	n->opt = m->opt;
	n->learns = m->learns;
	n->in = m->in;
	n->nin = m->nin;
	/* The other one ends as the old node; nothing reads it. */
	m->op = old.op;
	m->opt = old.opt;
	m->learns = old.learns;
	m->in = old.in;
	m->nin = old.nin;
	r->facts[i].deferred = r->facts[like].deferred;
	return 0;
}

int rn_rewriting_distinct(const struct rn_rewriting *r, const struct rn_rel *rel,
			  const size_t *cols, size_t n, uint64_t *out, struct rn_err *e)
{
	struct rn_column *list[RN_REWRITING_COLS];
	struct rn_key k = { .n = n, .cols = list, .rows = rel->rows };
	struct rn_buf *first;

	if (n > RN_REWRITING_COLS)
		return rn_err_set(e, RN_EBUG, "distinct values of %zu columns", n);
	for (size_t i = 0; i < n; i++)
		list[i] = rel->cols[cols[i]];
	RN_TRY(rn_distinct(r->ctx, &k, out, &first, e));
	rn_buf_unref(first);
	return 0;
}

void rn_rewriting_say(struct rn_rewriting *r, uint32_t node, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	rn_str_addf(r->log, "%s: %s: %s\n", r->doing, r->plan->nodes[node].name, text);
}

/* ---- all of them --------------------------------------------------------------------------- */

static const struct {
	enum rn_rewrite rw;
	int (*run)(struct rn_rewriting *r, struct rn_err *e);
} rewrites[] = {
	{ RN_RW_MERGE, rn_rewrite_merge },
	{ RN_RW_PUSH, rn_rewrite_push },
	{ RN_RW_SINGLE, rn_rewrite_single },
	{ RN_RW_PRUNE, rn_rewrite_prune },
	{ RN_RW_ELIMINATE, rn_rewrite_eliminate },
	{ RN_RW_MERGE, rn_rewrite_merge }, /* terms share what they do not mention */
};

int rn_rewriting_run(struct rn_rewriting *r, struct rn_err *e)
{
	bool ready = false;

	for (size_t i = 0; i < sizeof rewrites / sizeof *rewrites; i++) {
		if (!rn_rewrite_on(r->ctx, rewrites[i].rw))
			continue;
		if (!ready)
			RN_TRY(infer_all(r, e));
		ready = true;
		r->doing = rn_rewrite_info[rewrites[i].rw].name;
		RN_TRY(rn_rewriting_count(r, e));
		RN_TRY(rewrites[i].run(r, e));
	}
	return 0;
}

/* ---- the end ------------------------------------------------------------------------------- */

/* What stays moves to `to`, in order. */
static void move_nodes(struct rn_plan *p, const uint32_t *order, uint32_t n, const uint32_t *now,
		       struct rn_node *to)
{
	for (uint32_t k = 0; k < n; k++) {
		to[k] = p->nodes[order[k]];
		memset(&p->nodes[order[k]], 0, sizeof to[k]);
		for (uint32_t i = 0; i < to[k].nin; i++)
			to[k].in[i].node = now[to[k].in[i].node];
	}
	for (uint32_t i = 0; i < p->nruns; i++)
		p->runs[i].node = now[p->runs[i].node];
}

int rn_rewriting_finish(struct rn_rewriting *r, struct rn_plan **plan, uint32_t **now, uint32_t *n,
			struct rn_err *e)
{
	struct rn_plan *p = r->plan, *out = NULL;
	uint32_t *order, needed;
	int rc;

	RN_TRY(rn_rewriting_order(r, RN_NONE, &order, &needed, e));
	*now = NULL;
	*n = p->nnodes;
	RN_GOTO(fail, rn_calloc(*n, sizeof **now, "a plan", now, e));
	memset(*now, 0xff, *n * sizeof **now);
	for (uint32_t k = 0; k < needed; k++)
		(*now)[order[k]] = k;
	RN_GOTO(fail, rn_plan_new(&out, e));
	RN_GOTO(fail, rn_grow(&out->nodes, &out->cap_nodes, needed ? needed : 1,
			      sizeof *out->nodes, "a plan", e));
	move_nodes(p, order, needed, *now, out->nodes);
	out->nnodes = needed;
	out->runs = p->runs;
	out->nruns = p->nruns;
	out->cap_runs = p->cap_runs;
	p->runs = NULL;
	p->nruns = 0;
	out->constants = json_incref(p->constants);
	out->dir = p->dir;
	p->dir = NULL;
	free(order);
	*plan = out;
	return 0;
fail:
	rn_plan_free(out);
	free(order);
	free(*now);
	*now = NULL;
	return rc;
}
