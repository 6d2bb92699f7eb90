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
 */
#include "lower.h"
#include "pass.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct bound {
	bool needed, evaluated;
	struct rn_rel *rel; /* content, and parts if evaluated; NULL once nobody needs it */
	void *state;        /* of the operator, if not evaluated */
	struct rn_schema schema;
	uint64_t hash, rows; /* of a source */
};

struct rn_binding {
	const struct rn_ctx *ctx;
	struct rn_backend *backend;
	struct rn_plan *plan;
	struct bound *nodes;
	double seconds;
};

/* Which nodes do the runs need?  Not what lies behind a carried relation. */
static void mark_needed(struct rn_binding *x, struct rn_rel *const *carried)
{
	const struct rn_plan *p = x->plan;

	for (uint32_t i = 0; i < p->nruns; i++)
		x->nodes[p->runs[i].node].needed = true;
	for (uint32_t i = p->nnodes; i-- > 0;) {
		if (!x->nodes[i].needed || (carried && carried[i]))
			continue;
		for (uint32_t k = 0; k < p->nodes[i].nin; k++)
			x->nodes[p->nodes[i].in[k].node].needed = true;
	}
}

static int schema_of(const struct rn_rel *r, struct rn_schema *out, struct rn_err *e)
{
	return rn_schema_copy(&r->schema, out, e);
}

static int bind_node(struct rn_binding *x, uint32_t i, const struct rn_rel *const *in,
		     struct rn_err *e)
{
	const struct rn_node *n = &x->plan->nodes[i];
	const struct rn_schema *schemas[RN_MANY];
	struct bound *b = &x->nodes[i];
	int rc;

	for (uint32_t k = 0; k < n->nin; k++)
		schemas[k] = &x->nodes[n->in[k].node].schema;
	RN_TRY(rn_node_infer(n, schemas, &b->schema, e));
	RN_TRY(rn_calloc(1, n->op->state_size, "a stage", &b->state, e));
	rc = n->op->bind(x->ctx, n, schemas, in, b->state, &b->rel, e);
	if (rc)
		return rn_node_error(n, rc, e);
	return rn_schema_set_name(&b->rel->schema, n->name, e);
}

static int make_node(struct rn_binding *x, uint32_t i, struct rn_rel *carried, bool deferred,
		     struct rn_err *e)
{
	const struct rn_node *n = &x->plan->nodes[i];
	const struct rn_rel *in[RN_MANY];
	struct bound *b = &x->nodes[i];

	if (n->nin > RN_MANY)
		return rn_err_set(e, RN_EUSAGE, "more than %d inputs", RN_MANY);
	for (uint32_t k = 0; k < n->nin; k++)
		in[k] = x->nodes[n->in[k].node].rel;
	b->evaluated = carried || !(deferred || (n->op->flags & RN_OP_SINK));
	if (!b->evaluated)
		return bind_node(x, i, in, e);
	if (carried)
		b->rel = rn_rel_ref(carried);
	else if (n->op->flags & RN_OP_SOURCE)
		RN_TRY(rn_source_read(x->ctx, n, x->plan->dir, &b->rel, &b->hash, e));
	else
		RN_TRY(rn_eval_node(x->ctx, x->backend, n, in, NULL, &b->rel, e));
	b->rows = n->op->flags & RN_OP_SOURCE && !carried ? b->rel->rows : 0;
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
	return x->nodes[i].needed && !x->nodes[i].evaluated;
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
		struct bound *b = &x->nodes[i];
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

static void find_last_uses(const struct rn_binding *x, const bool *deferred,
			   struct rn_rel *const *carried, uint32_t *last)
{
	const struct rn_plan *p = x->plan;

	for (uint32_t i = 0; i < p->nnodes; i++)
		last[i] = i;
	for (uint32_t i = 0; i < p->nnodes; i++) {
		const struct rn_node *n = &p->nodes[i];
		bool bound = deferred[i] || (n->op->flags & RN_OP_SINK);

		if (!x->nodes[i].needed || (carried && carried[i]))
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

int rn_binding_new(const struct rn_ctx *c, struct rn_backend *b, struct rn_plan *plan,
		   struct rn_rel *const *carried, struct rn_binding **out, struct rn_err *e)
{
	double start = rn_now();
	struct rn_binding *x;
	uint32_t *last = NULL;
	bool *deferred = NULL, fitted;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *x, "a binding", &x, e));
	x->ctx = c;
	x->backend = b;
	x->plan = plan;
	RN_GOTO(out, rn_calloc(plan->nnodes, sizeof *x->nodes, "a binding", &x->nodes, e));
	RN_GOTO(out, rn_calloc(plan->nnodes, sizeof *deferred, "a binding", &deferred, e));
	RN_GOTO(out, rn_calloc(plan->nnodes, sizeof *last, "a binding", &last, e));
	rn_plan_deferred(plan, deferred);
	mark_needed(x, carried);
	find_last_uses(x, deferred, carried, last);
	for (uint32_t i = 0; i < plan->nnodes; i++) {
		if (!x->nodes[i].needed)
			continue;
		RN_GOTO(out, make_node(x, i, carried ? carried[i] : NULL, deferred[i], e));
		free_unused(x, i, last);
	}
	RN_GOTO(out, fit_all(x, &fitted, e));
	RN_GOTO(out, settle_all(x, fitted, e));
	x->seconds = rn_now() - start;
out:
	free(deferred);
	free(last);
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
	for (uint32_t i = 0; x->nodes && i < x->plan->nnodes; i++) {
		struct bound *b = &x->nodes[i];

		if (b->state && x->plan->nodes[i].op->close)
			x->plan->nodes[i].op->close(b->state);
		free(b->state);
		rn_rel_unref(b->rel);
		rn_schema_fini(&b->schema);
	}
	free(x->nodes);
	free(x);
}

const struct rn_rel *rn_binding_rel(const struct rn_binding *x, uint32_t node)
{
	return x->nodes[node].rel;
}

const void *rn_binding_state(const struct rn_binding *x, uint32_t node)
{
	return x->nodes[node].state;
}

const struct rn_schema *rn_binding_schema(const struct rn_binding *x, uint32_t node)
{
	return &x->nodes[node].schema;
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
	return x->nodes[node].hash;
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
	int rc = lower_all(x, node, &lw, out, e);

	rn_param_source_fini(&ps);
	return rc;
}

int rn_binding_predict(struct rn_binding *x, uint32_t node, struct rn_params *params,
		       struct rn_rel **out, struct rn_err *e)
{
	struct rn_prog p;
	struct rn_param_source ps = { .prog = &p, .params = params, .constant = true };
	struct rn_lower lw = { .ctx = x->ctx, .prog = &p, .param = rn_param_source_get,
			       .param_arg = &ps };
	const struct rn_rel *content = x->nodes[node].rel;
	struct rn_lrel l = { 0 };
	struct rn_rel *r = NULL;
	int rc;

	rn_prog_init(&p);
	RN_GOTO(out, rn_rel_new(x->plan->nodes[node].name, content->rows, &r, e));
	for (size_t i = 0; i < content->schema.ncols; i++)
		RN_GOTO(out, rn_rel_add_col(r, content->schema.cols[i].name, content->schema.cols[i].qual,
					    rn_column_ref(content->cols[i]), e));
	RN_GOTO(out, lower_all(x, node, &lw, &l, e));
	RN_GOTO(out, rn_prog_check_mem(x->ctx, &p, e));
	rc = rn_lrel_to_rel(&p, x->backend, &l, r, e);
out:
	rn_lrel_fini(&l);
	rn_param_source_fini(&ps);
	rn_prog_fini(&p);
	if (rc)
		rn_rel_unref(r);
	else
		*out = r;
	return rc;
}
