/* SPDX-License-Identifier: Apache-2.0
 *
 * A plan bound to its data.  Every node that some run needs is either
 * *evaluated* (its rows are there, embedding and all: sources, carried
 * relations, the part that learns nothing) or *bound* (content and index
 * arrays, from which programs are lowered).
 *
 * Content does not depend on embeddings, so all of it is bound first; then encoders
 * are fitted on the rows that a loss depends on, which the index arrays tell; then
 * all widths are known, and what depends on them is settled.
 *
 * The plan is rewritten before it is bound, and while it is: rewrites ask for the content
 * of some nodes, which are made then.  Callers number nodes as in the canonical plan.
 */
#include "bind.h"

#include "pass.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int schema_of(const struct rn_rel *r, struct rn_schema *out, struct rn_err *e)
{
	return rn_schema_copy(&r->schema, out, e);
}

static int bind_node(struct rn_binding *x, uint32_t i, const struct rn_rel *const *in,
		     struct rn_err *e)
{
	const struct rn_node *n = &x->plan->nodes[i];
	const struct rn_schema *schemas[RN_MANY];
	struct rn_bound *b = &x->nodes[i];
	int rc;

	for (uint32_t k = 0; k < n->nin; k++)
		schemas[k] = &x->nodes[n->in[k].node].schema;
	RN_TRY(rn_node_infer(n, schemas, &b->schema, e));
	b->op = n->op;
	RN_TRY(rn_calloc(1, n->op->state_size, "a stage", &b->state, e));
	rc = n->op->bind(x->ctx, n, schemas, in, b->state, &b->rel, e);
	if (rc)
		return rn_node_error(n, rc, e);
	b->count = b->rel->rows;
	return rn_schema_set_name(&b->rel->schema, n->name, e);
}

/* The content of a node of x->plan whose inputs are there. */
static int make_node(struct rn_binding *x, uint32_t i, struct rn_err *e)
{
	const struct rn_node *n = &x->plan->nodes[i];
	const struct rn_rel *in[RN_MANY];
	struct rn_bound *b = &x->nodes[i];

	if (n->nin > RN_MANY)
		return rn_err_set(e, RN_EUSAGE, "more than %d inputs", RN_MANY);
	for (uint32_t k = 0; k < n->nin; k++)
		in[k] = x->nodes[n->in[k].node].rel;
	b->made = true;
	b->evaluated = b->carried || !(b->deferred || (n->op->flags & RN_OP_SINK));
	if (!b->evaluated)
		return bind_node(x, i, in, e);
	if (b->carried)
		b->rel = rn_rel_ref(b->carried);
	else if (n->op->flags & RN_OP_SOURCE)
		RN_TRY(rn_source_read(x->ctx, n, x->plan->dir, &b->rel, &b->hash, e));
	else
		RN_TRY(rn_eval_node(x->ctx, x->backend, n, in, NULL, &b->rel, e));
	b->count = b->rel->rows;
	b->rows = n->op->flags & RN_OP_SOURCE && !b->carried ? b->rel->rows : 0;
	RN_TRY(schema_of(b->rel, &b->schema, e));
	/* A carried relation keeps the name that its stream gave it; the plan's counts. */
	return n->name ? rn_schema_set_name(&b->schema, n->name, e) : 0;
}

int rn_node_bind(const struct rn_ctx *c, const struct rn_node *n,
		 const struct rn_schema *const *schema, const struct rn_rel *const *in, void *state,
		 struct rn_rel **out, struct rn_err *e)
{
	int rc;

	RN_TRY(n->op->bind(c, n, schema, in, state, out, e));
	rc = n->op->settle ? n->op->settle(c, n, schema, in, *out, state, e) : 0;
	if (rc) {
		rn_rel_unref(*out);
		*out = NULL;
	}
	return rc;
}

/* ---- fitting ---------------------------------------------------------------------- */

static bool is_bound(const struct rn_binding *x, uint32_t i)
{
	return !x->nodes[i].evaluated;
}

static bool is_unfitted(const struct rn_binding *x, uint32_t i)
{
	const struct rn_node *n = &x->plan->nodes[i];

	return is_bound(x, i) && n->op->fit && n->learns && !n->fitted;
}

static void inputs_of(const struct rn_binding *x, uint32_t i, const struct rn_schema **schemas,
		      const struct rn_rel **rels)
{
	const struct rn_node *n = &x->plan->nodes[i];

	for (uint32_t k = 0; k < n->nin; k++) {
		if (schemas)
			schemas[k] = &x->nodes[n->in[k].node].schema;
		if (rels)
			rels[k] = x->nodes[n->in[k].node].rel;
	}
}

static int new_mask(const struct rn_binding *x, uint32_t i, uint8_t **mask, struct rn_err *e)
{
	return *mask ? 0 : rn_calloc(x->nodes[i].rel->rows, 1, "training rows", mask, e);
}

/* The rows of node i's inputs that its marked rows depend on. */
static int reach_inputs(struct rn_binding *x, uint32_t i, uint8_t **masks, struct rn_err *e)
{
	const struct rn_node *n = &x->plan->nodes[i];
	uint64_t rows = x->nodes[i].rel->rows;
	const struct rn_rel *in[RN_MANY];

	inputs_of(x, i, NULL, in);
	for (uint32_t k = 0; k < n->nin; k++) {
		uint32_t from = n->in[k].node;
		uint8_t *mark;

		if (!is_bound(x, from)) /* nothing below is fitted */
			continue;
		RN_TRY(new_mask(x, from, &masks[from], e));
		mark = masks[from];
		if (n->op->reach)
			RN_TRY(n->op->reach(x->ctx, n, x->nodes[i].state, in, k, masks[i], rows,
					    mark, e));
		else
			for (uint64_t r = 0; r < rows; r++)
				mark[r] |= masks[i][r];
	}
	return 0;
}

/* Which rows of each bound node does a row of a loss depend on?  NULL: no loss reaches it. */
static int reach_all(struct rn_binding *x, uint8_t **masks, struct rn_err *e)
{
	const struct rn_plan *p = x->plan;

	for (uint32_t i = 0; i < p->nruns; i++) {
		uint32_t node = p->runs[i].node;

		if (p->runs[i].kind != RN_RUN_FIT || !is_bound(x, node))
			continue;
		RN_TRY(new_mask(x, node, &masks[node], e));
		memset(masks[node], 1, x->nodes[node].rel->rows);
	}
	for (uint32_t i = p->nnodes; i-- > 0;)
		if (masks[i] && is_bound(x, i))
			RN_TRY(reach_inputs(x, i, masks, e));
	return 0;
}

/* Fit what is not fitted yet; *any: there was something. */
static int fit_all(struct rn_binding *x, bool *any, struct rn_err *e)
{
	struct rn_plan *p = x->plan;
	uint8_t **masks;
	int rc = 0;

	*any = false;
	for (uint32_t i = 0; i < p->nnodes; i++)
		*any = *any || is_unfitted(x, i);
	if (!*any)
		return 0;
	RN_TRY(rn_calloc(p->nnodes, sizeof(uint8_t *), "training rows", &masks, e));
	rc = reach_all(x, masks, e);
	for (uint32_t i = 0; i < p->nnodes && !rc; i++) {
		struct rn_node *n = &p->nodes[i];

		if (!is_unfitted(x, i))
			continue;
		rc = n->op->fit(x->ctx, n, x->nodes[n->in[0].node].rel, masks[i], &n->fitted, e);
		if (rc)
			rn_node_error(n, rc, e);
	}
	for (uint32_t i = 0; i < p->nnodes; i++)
		free(masks[i]);
	free(masks);
	return rc;
}

/* Schemas again, with all widths, and what of the states depends on them. */
static int settle_all(struct rn_binding *x, bool infer, struct rn_err *e)
{
	for (uint32_t i = 0; i < x->plan->nnodes; i++) {
		const struct rn_node *n = &x->plan->nodes[i];
		const struct rn_schema *schemas[RN_MANY];
		const struct rn_rel *in[RN_MANY];
		struct rn_bound *b = &x->nodes[i];
		int rc = 0;

		if (!is_bound(x, i))
			continue;
		inputs_of(x, i, schemas, in);
		if (infer) {
			rn_schema_fini(&b->schema);
			b->schema = (struct rn_schema){ 0 };
			RN_TRY(rn_node_infer(n, schemas, &b->schema, e));
		}
		for (size_t k = 0; k < b->schema.nparts; k++)
			if (!rn_shape_known(&b->schema.parts[k].shape))
				rc = rn_err_set(e, RN_EBUG, "a width is not known after fitting");
		if (!rc && n->op->settle)
			rc = n->op->settle(x->ctx, n, schemas, in, b->rel, b->state, e);
		if (rc)
			return rn_node_error(n, rc, e);
	}
	return 0;
}

/* The last node that needs i's rows: bound nodes and runs need their inputs for ever. */
static void free_unused(struct rn_binding *x, uint32_t upto, const uint32_t *last_use)
{
	for (uint32_t i = 0; i <= upto; i++)
		if (x->nodes[i].rel && last_use[i] <= upto) {
			rn_rel_unref(x->nodes[i].rel);
			x->nodes[i].rel = NULL;
		}
}

static void find_last_uses(const struct rn_binding *x, uint32_t *last)
{
	const struct rn_plan *p = x->plan;

	for (uint32_t i = 0; i < p->nnodes; i++)
		last[i] = i;
	for (uint32_t i = 0; i < p->nnodes; i++) {
		const struct rn_node *n = &p->nodes[i];
		bool bound = x->nodes[i].deferred || (n->op->flags & RN_OP_SINK);

		if (x->nodes[i].carried)
			continue;
		for (uint32_t k = 0; k < n->nin; k++)
			if (bound)
				last[n->in[k].node] = UINT32_MAX;
			else if (last[n->in[k].node] != UINT32_MAX)
				last[n->in[k].node] = i;
		if (bound)
			last[i] = UINT32_MAX;
	}
	for (uint32_t i = 0; i < p->nruns; i++)
		last[p->runs[i].node] = UINT32_MAX;
}

/* ---- rewriting -------------------------------------------------------------------- */

static void bound_fini(struct rn_bound *b)
{
	if (b->state && b->op->close)
		b->op->close(b->state);
	free(b->state);
	rn_rel_unref(b->rel);
	rn_schema_fini(&b->schema);
}

/* Room for the nodes that rewrites added. */
static int grow_nodes(struct rn_binding *x, const struct rn_rewriting *r, struct rn_err *e)
{
	size_t old = x->cap;
	uint32_t n = r->plan->nnodes;

	RN_TRY(rn_grow(&x->nodes, &x->cap, n ? n : 1, sizeof *x->nodes, "a binding", e));
	memset(x->nodes + old, 0, (x->cap - old) * sizeof *x->nodes);
	return 0;
}

struct asked {
	struct rn_binding *x;
	struct rn_rewriting *r;
};

/* A rewrite wants the content of a node. */
static int content(void *arg, uint32_t node, const struct rn_rel **out, struct rn_err *e)
{
	const struct asked *a = arg;
	struct rn_binding *x = a->x;
	uint32_t *order, n;
	int rc;

	RN_TRY(grow_nodes(x, a->r, e));
	if (!x->nodes[node].made) {
		RN_TRY(rn_rewriting_order(a->r, node, &order, &n, e));
		rc = 0;
		for (uint32_t k = 0; k < n && !rc; k++) {
			struct rn_bound *b = &x->nodes[order[k]];

			if (b->made)
				continue;
			b->deferred = a->r->facts[order[k]].deferred;
			a->r->facts[order[k]].made = true;
			rc = make_node(x, order[k], e);
		}
		free(order);
		RN_TRY(rc);
	}
	*out = x->nodes[node].rel;
	return 0;
}

/* Nodes of the rewritten plan take what was made of them already; what is not needed goes. */
static int move_nodes(struct rn_binding *x, struct rn_rewriting *r, struct rn_err *e)
{
	struct rn_bound *old = x->nodes;
	uint32_t *now = NULL, n = r->plan->nnodes;
	struct rn_plan *plan;
	int rc;

	RN_TRY(grow_nodes(x, r, e));
	old = x->nodes;
	for (uint32_t i = 0; i < n; i++)
		old[i].deferred = r->facts[i].deferred;
	RN_TRY(rn_rewriting_finish(r, &plan, &now, &n, e));
	rc = rn_calloc(plan->nnodes, sizeof *x->nodes, "a binding", &x->nodes, e);
	if (rc) {
		x->nodes = old;
		free(now);
		rn_plan_free(plan);
		return rc;
	}
	for (uint32_t i = 0; i < n; i++) {
		if (now[i] != RN_NONE)
			x->nodes[now[i]] = old[i];
		else
			bound_fini(&old[i]);
	}
	free(old);
	x->cap = plan->nnodes;
	x->plan = plan;
	x->now = now;
	return 0;
}

/* x->plan is r's meanwhile. */
static int rewrite(struct rn_binding *x, struct rn_rel *const *carried, struct rn_err *e)
{
	struct rn_rewriting r;
	struct asked asked = { x, &r };
	struct rn_plan early;
	int rc;

	RN_TRY(rn_plan_early(x->canonical, carried, &early, e));
	rc = rn_rewriting_init(&r, x->ctx, &early, carried, e);
	rn_plan_early_fini(&early);
	RN_TRY(rc);
	x->plan = r.plan;
	r.content = content;
	r.arg = &asked;
	r.log = &x->log;
	RN_GOTO(out, grow_nodes(x, &r, e));
	for (uint32_t i = 0; i < x->canonical->nnodes; i++)
		x->nodes[i].carried = carried ? carried[i] : NULL;
	RN_GOTO(out, rn_rewriting_run(&r, e));
	RN_GOTO(out, rn_str_check(&x->log, e));
	x->plan = NULL;
	rc = move_nodes(x, &r, e);
out:
	if (rc) {
		for (size_t i = 0; i < x->cap && i < r.plan->nnodes; i++)
			bound_fini(&x->nodes[i]);
		free(x->nodes);
		x->nodes = NULL;
		x->plan = NULL;
	}
	rn_rewriting_fini(&r);
	return rc;
}

/* What encoders fitted stays in the canonical plan. */
static void keep_fitted(struct rn_binding *x)
{
	for (uint32_t i = 0; i < x->canonical->nnodes; i++) {
		struct rn_node *n = &x->canonical->nodes[i];

		if (!n->fitted && x->now[i] != RN_NONE)
			n->fitted = rn_fitted_ref(x->plan->nodes[x->now[i]].fitted);
	}
}

static int make_all(struct rn_binding *x, struct rn_err *e)
{
	uint32_t *last;
	int rc = 0;

	RN_TRY(rn_calloc(x->plan->nnodes, sizeof *last, "a binding", &last, e));
	find_last_uses(x, last);
	for (uint32_t i = 0; i < x->plan->nnodes; i++) {
		if (!x->nodes[i].made)
			RN_GOTO(out, make_node(x, i, e));
		free_unused(x, i, last);
	}
out:
	free(last);
	return rc;
}

static void tell(const struct rn_binding *x)
{
	for (const char *s = x->log.s, *end; *s; s = *end ? end + 1 : end) {
		end = strchrnul(s, '\n');
		rn_log(x->ctx, RN_LOG_DEBUG, "%.*s", (int)(end - s), s);
	}
}

int rn_binding_new(const struct rn_ctx *c, struct rn_backend *b, struct rn_plan *plan,
		   struct rn_rel *const *carried, struct rn_binding **out, struct rn_err *e)
{
	double start = rn_now();
	struct rn_binding *x;
	bool fitted;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *x, "a binding", &x, e));
	x->ctx = c;
	x->backend = b;
	x->canonical = plan;
	x->log = RN_STR_INIT;
	RN_GOTO(out, rewrite(x, carried, e));
	tell(x);
	RN_GOTO(out, make_all(x, e));
	RN_GOTO(out, fit_all(x, &fitted, e));
	keep_fitted(x);
	RN_GOTO(out, settle_all(x, fitted, e));
	x->seconds = rn_now() - start;
out:
	if (rc)
		rn_binding_free(x);
	else
		*out = x;
	return rc;
}

void rn_binding_free(struct rn_binding *x)
{
	if (!x)
		return;
	for (uint32_t i = 0; x->nodes && i < x->plan->nnodes; i++)
		bound_fini(&x->nodes[i]);
	free(x->nodes);
	free(x->now);
	rn_plan_free(x->plan);
	rn_str_fini(&x->log);
	rn_folded_fini(&x->folded);
	free(x);
}

static void mark_lowered(const struct rn_binding *x, uint32_t node, bool *mark);

int rn_binding_release(struct rn_binding *x, const uint32_t *nodes, size_t n, struct rn_err *e)
{
	bool *keep, *of = NULL;
	int rc;

	RN_TRY(rn_calloc(x->plan->nnodes, sizeof *keep, "a binding", &keep, e));
	rc = rn_calloc(x->plan->nnodes, sizeof *of, "a binding", &of, e);
	for (size_t k = 0; k < n && !rc; k++) {
		memset(of, 0, x->plan->nnodes * sizeof *of);
		mark_lowered(x, x->now[nodes[k]], of);
		for (uint32_t i = 0; i < x->plan->nnodes; i++)
			keep[i] |= of[i];
	}
	for (uint32_t i = 0; i < x->plan->nruns; i++)
		keep[x->plan->runs[i].node] = true;
	for (uint32_t i = 0; i < x->plan->nnodes && !rc; i++) {
		struct rn_bound *b = &x->nodes[i];

		if (keep[i])
			continue;
		if (b->state && b->op->close)
			b->op->close(b->state);
		free(b->state);
		b->state = NULL;
		rn_rel_unref(b->rel);
		b->rel = NULL;
	}
	free(of);
	free(keep);
	return rc;
}

struct rn_folded *rn_binding_folded(struct rn_binding *x)
{
	return &x->folded;
}

const struct rn_plan *rn_binding_plan(const struct rn_binding *x)
{
	return x->plan;
}

uint32_t rn_binding_node(const struct rn_binding *x, uint32_t node)
{
	return x->now[node];
}

const char *rn_binding_log(const struct rn_binding *x)
{
	return x->log.s;
}

uint64_t rn_binding_count(const struct rn_binding *x, uint32_t node)
{
	return x->nodes[node].count;
}

const struct rn_schema *rn_binding_made_schema(const struct rn_binding *x, uint32_t node)
{
	return &x->nodes[node].schema;
}

/* NULL: no run needs it. */
static const struct rn_bound *bound(const struct rn_binding *x, uint32_t node)
{
	return x->now[node] == RN_NONE ? NULL : &x->nodes[x->now[node]];
}

const struct rn_rel *rn_binding_rel(const struct rn_binding *x, uint32_t node)
{
	return bound(x, node) ? bound(x, node)->rel : NULL;
}

const struct rn_ctx *rn_binding_ctx(const struct rn_binding *x)
{
	return x->ctx;
}

const void *rn_binding_state(const struct rn_binding *x, uint32_t node)
{
	return bound(x, node) ? bound(x, node)->state : NULL;
}

const struct rn_schema *rn_binding_schema(const struct rn_binding *x, uint32_t node)
{
	static const struct rn_schema none;

	return bound(x, node) ? &bound(x, node)->schema : &none;
}

uint64_t rn_binding_rows_read(const struct rn_binding *x)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < x->plan->nnodes; i++)
		n += x->nodes[i].rows;
	return n;
}

uint64_t rn_binding_source_hash(const struct rn_binding *x, uint32_t node)
{
	return bound(x, node) ? bound(x, node)->hash : 0;
}

double rn_binding_seconds(const struct rn_binding *x)
{
	return x->seconds;
}

/* ---- lowering -------------------------------------------------------------------- */

/* Mark what `node` needs lowered: bound nodes, and the evaluated ones they read. */
static void mark_lowered(const struct rn_binding *x, uint32_t node, bool *mark)
{
	mark[node] = true;
	for (uint32_t i = node + 1; i-- > 0;)
		if (mark[i] && !x->nodes[i].evaluated)
			for (uint32_t k = 0; k < x->plan->nodes[i].nin; k++)
				mark[x->plan->nodes[i].in[k].node] = true;
}

static int lower_node(struct rn_binding *x, uint32_t i, const struct rn_lower *lw,
		      struct rn_lrel *rels, struct rn_err *e)
{
	const struct rn_node *n = &x->plan->nodes[i];
	struct rn_lrel in[RN_MANY];
	int rc;

	lw->prog->stage = i;
	rels[i].rel = x->nodes[i].rel;
	if (x->nodes[i].evaluated)
		return rn_lrel_from_rel(lw->prog, x->nodes[i].rel, &rels[i], e);
	for (uint32_t k = 0; k < n->nin; k++)
		in[k] = rels[n->in[k].node];
	rc = n->op->lower(lw, n, x->nodes[i].state, in, &rels[i], e);
	if (rc)
		return rn_node_error(n, rc, e);
	return 0;
}

static int lower_all(struct rn_binding *x, uint32_t node, const struct rn_lower *lw,
		     struct rn_lrel *out, struct rn_err *e)
{
	uint32_t n = x->plan->nnodes;
	struct rn_lrel *rels = NULL;
	bool *mark;
	int rc;

	RN_TRY(rn_calloc(n, sizeof *mark, "lowering", &mark, e));
	RN_GOTO(out, rn_calloc(n, sizeof *rels, "lowering", &rels, e));
	mark_lowered(x, node, mark);
	for (uint32_t i = 0; i <= node; i++)
		if (mark[i])
			RN_GOTO(out, lower_node(x, i, lw, rels, e));
	*out = rels[node];
	rels[node] = (struct rn_lrel){ 0 };
out:
	for (uint32_t i = 0; rels && i < n; i++)
		rn_lrel_fini(&rels[i]);
	free(rels);
	free(mark);
	return rc;
}

int rn_binding_lower(struct rn_binding *x, uint32_t node, bool training, struct rn_params *params,
		     struct rn_prog *p, struct rn_lrel *out, struct rn_err *e)
{
	struct rn_param_source ps = { .prog = p, .params = params };
	struct rn_lower lw = { .ctx = x->ctx, .prog = p, .training = training,
			       .param = rn_param_source_get, .param_arg = &ps };
	int rc = lower_all(x, x->now[node], &lw, out, e);

	rn_param_source_fini(&ps);
	return rc;
}

/* The program of a prediction: parameters are constants in it. */
static int lower_prediction(struct rn_binding *x, uint32_t node, struct rn_params *params,
			    struct rn_prog *p, struct rn_lrel *out, struct rn_err *e)
{
	struct rn_param_source ps = { .prog = p, .params = params, .constant = true };
	struct rn_lower lw = { .ctx = x->ctx, .prog = p, .param = rn_param_source_get,
			       .param_arg = &ps };
	int rc = lower_all(x, x->now[node], &lw, out, e);

	rn_param_source_fini(&ps);
	return rc;
}

int rn_binding_predict_size(struct rn_binding *x, uint32_t node, struct rn_params *params,
			    struct rn_prog *p, uint64_t *bytes, struct rn_err *e)
{
	struct rn_lrel l = { 0 };
	uint64_t largest = 0;
	int rc = lower_prediction(x, node, params, p, &l, e);

	for (size_t i = 0; i < l.nparts && !rc; i++)
		p->vals[l.parts[i].val].keep = true;
	rn_lrel_fini(&l);
	RN_TRY(rc);
	if (!x->backend->host) /* of whose memory this is not the limit */
		RN_TRY(rn_prog_check_mem(x->ctx, p, e));
	for (uint32_t i = 0; i < p->ninsts; i++) {
		const struct rn_val *v = &p->vals[p->insts[i].out];
		uint64_t n = (uint64_t)v->rows * v->width * sizeof(float);

		largest = n > largest ? n : largest;
	}
	RN_TRY(rn_pass_fold_size(p, bytes, e));
	*bytes = largest > *bytes ? largest : *bytes; /* as rn_prog_check_mem has it */
	return 0;
}

int rn_binding_predict(struct rn_binding *x, uint32_t node, struct rn_params *params,
		       struct rn_rel **out, struct rn_err *e)
{
	struct rn_prog p;
	const struct rn_rel *content = rn_binding_rel(x, node);
	struct rn_lrel l = { 0 };
	struct rn_rel *r = NULL;
	int rc;

	rn_prog_init(&p);
	RN_GOTO(out, rn_rel_new(x->canonical->nodes[node].name, content->rows, &r, e));
	for (size_t i = 0; i < content->schema.ncols; i++)
		RN_GOTO(out, rn_rel_add_col(r, content->schema.cols[i].name, content->schema.cols[i].qual,
					    rn_column_ref(content->cols[i]), e));
	RN_GOTO(out, lower_prediction(x, node, params, &p, &l, e));
	RN_GOTO(out, rn_prog_check_mem(x->ctx, &p, e));
	rc = rn_lrel_to_rel(&p, x->backend, x->plan, &l, r, e);
out:
	rn_lrel_fini(&l);
	rn_prog_fini(&p);
	if (rc)
		rn_rel_unref(r);
	else
		*out = r;
	return rc;
}
