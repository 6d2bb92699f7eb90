/* SPDX-License-Identifier: Apache-2.0 */
#include "late.h"

#include "score.h"

#include <stdlib.h>
#include <string.h>

int rn_late_init(struct rn_late *l, const struct rn_late_conf *conf, struct rn_err *e)
{
	*l = (struct rn_late){ .conf = *conf };
	RN_TRY(rn_calloc(conf->plan->nnodes, sizeof *l->late, "a plan", &l->late, e));
	RN_TRY(rn_calloc(conf->plan->nnodes, sizeof(struct rn_rel *), "a plan", &l->rows, e));
	rn_plan_late(conf->plan, NULL, l->late);
	return 0;
}

void rn_late_fini(struct rn_late *l)
{
	for (uint32_t i = 0; l->rows && i < l->conf.plan->nnodes; i++)
		rn_rel_unref(l->rows[i]);
	free(l->rows);
	free(l->late);
	*l = (struct rn_late){ 0 };
}

/* Predict a node with the parameters after so many fits. */
static int predict(struct rn_late *l, struct rn_binding *x, uint32_t node, uint32_t fits,
		   struct rn_rel **out, struct rn_err *e)
{
	const struct rn_late_conf *c = &l->conf;
	int rc;

	if (c->swap)
		c->swap(c->arg, fits);
	rc = rn_binding_predict(x, node, c->params, out, e);
	if (c->swap)
		c->swap(c->arg, fits);
	return rc == RN_EDEV || rc == RN_ENOMEM ?
		       rn_err_prefix(e, rc, "pred of '%s'", c->plan->nodes[node].name) : rc;
}

/* What `node`, which is late, reads that was bound before, and the `decode` stages that it
 * rests on without another one between: both are the leaves of its binding. */
static int find_leaves(const struct rn_late *l, uint32_t node, bool *leaf, struct rn_err *e)
{
	const struct rn_plan *p = l->conf.plan;
	bool *need;

	RN_TRY(rn_calloc(p->nnodes, sizeof *need, "a plan", &need, e));
	need[node] = true;
	for (uint32_t i = node + 1; i-- > 0;) {
		if (!need[i])
			continue;
		leaf[i] = !l->late[i] || (p->nodes[i].op->flags & RN_OP_LATE);
		for (uint32_t k = 0; !leaf[i] && k < p->nodes[i].nin; k++)
			need[p->nodes[i].in[k].node] = true;
	}
	free(need);
	return 0;
}

/* Bind node `b->run.node`, whose `decode` stages are made. */
static int bind(struct rn_late *l, uint32_t fits, struct rn_late_bound *b, struct rn_err *e)
{
	const struct rn_late_conf *c = &l->conf;
	bool *leaf;
	int rc = 0;

	b->plan = *c->plan;
	b->plan.runs = &b->run;
	b->plan.nruns = 1;
	RN_TRY(rn_calloc(c->plan->nnodes, sizeof(struct rn_rel *), "a plan", &b->carried, e));
	RN_TRY(rn_calloc(c->plan->nnodes, sizeof *leaf, "a plan", &leaf, e));
	rc = find_leaves(l, b->run.node, leaf, e);
	for (uint32_t i = 0; i < c->plan->nnodes && !rc; i++) {
		if (!leaf[i])
			continue;
		if (l->late[i])
			b->carried[i] = rn_rel_ref(l->rows[i]);
		else
			rc = predict(l, c->binding, i, fits, &b->carried[i], e);
	}
	free(leaf);
	if (!rc)
		rc = rn_binding_new(c->ctx, c->backend, &b->plan, b->carried, &b->binding, e);
	return rc || !c->ready ? rc : c->ready(c->arg, b->binding, b->run.node, e);
}

void rn_late_unbind(struct rn_late *l, struct rn_late_bound *b)
{
	rn_binding_free(b->binding);
	for (uint32_t i = 0; b->carried && i < l->conf.plan->nnodes; i++)
		rn_rel_unref(b->carried[i]);
	free(b->carried);
	*b = (struct rn_late_bound){ 0 };
}

/* The relation that a `decode` stage is made of. */
static int shown(struct rn_late *l, uint32_t node, uint32_t fits, struct rn_rel **out,
		 struct rn_err *e)
{
	struct rn_late_bound b = { .run = { .kind = RN_RUN_PRED, .node = node } };
	int rc;

	if (!l->late[node])
		return predict(l, l->conf.binding, node, fits, out, e);
	b.run.opt = json_object();
	rc = b.run.opt ? bind(l, fits, &b, e) : rn_err_nomem(e, 0, "a run");
	if (!rc)
		rc = predict(l, b.binding, node, fits, out, e);
	json_decref(b.run.opt);
	rn_late_unbind(l, &b);
	return rc;
}

/* What it says of its column, against what the loss says. */
static int decoding_of(const struct rn_late *l, const struct rn_node *n, struct rn_decoding *d,
		       struct rn_err *e)
{
	static const struct rn_task binary = { .kind = RN_LOSS_BCE };
	const char *loss = rn_node_string(n, "fit");

	*d = (struct rn_decoding){
		.how = rn_decoded_find(rn_node_string(n, "how")),
		.as = rn_node_string(n, "as"),
		.first = json_object_get(n->opt, "first") ? (uint32_t)rn_node_int(n, "first") : 0,
		.embedding = true,
		.task = loss ? l->conf.task(l->conf.arg, loss) : NULL,
	};
	if (d->how == RN_DECODED_BINARY)
		d->task = &binary;
	if (d->how != RN_DECODED_LABEL && d->how != RN_DECODED_NUMBER)
		return 0;
	if (!d->task || d->task->kind != RN_LOSS_CE || !d->task->classes)
		return rn_err_set(e, RN_EUSAGE, "there are no labels of a loss '%s'", loss ? loss : "");
	return 0;
}

/* Are the labels of the type that the plan goes by, and as many as there are logits? */
static int check_made(const struct rn_node *n, const struct rn_decoding *d,
		      const struct rn_schema *in, const struct rn_schema *out, struct rn_err *e)
{
	uint32_t width = d->first ? d->first : rn_shape_width(&in->parts[0].shape);
	const char *type = rn_node_string(n, "type"), *has = rn_type_name(out->cols[in->ncols].type);

	if (d->how == RN_DECODED_LABEL && width != d->task->classes->n)
		return rn_err_set(e, RN_EUSAGE, "the loss '%s' has %u classes, and here are %u logits",
				  rn_node_string(n, "fit"), d->task->classes->n, width);
	if ((d->how == RN_DECODED_LABEL || d->how == RN_DECODED_NUMBER) && strcmp(type, has))
		return rn_err_set(e, RN_EUSAGE, "the labels of '%s' are %s now, and the plan goes by %s",
				  rn_node_string(n, "fit"), has, type);
	return 0;
}

/* Make the rows of a `decode` stage. */
static int make(struct rn_late *l, uint32_t node, struct rn_err *e)
{
	const struct rn_node *n = &l->conf.plan->nodes[node];
	uint32_t fits = json_object_get(n->opt, "fits") ? (uint32_t)rn_node_int(n, "fits") : UINT32_MAX;
	const struct rn_schema *schema;
	struct rn_rel *in = NULL, *out = NULL;
	struct rn_schema want = { 0 };
	struct rn_decoding d;
	int rc;

	RN_TRY(shown(l, n->in[0].node, fits, &in, e));
	schema = &in->schema;
	rc = n->op->infer(n, &schema, &want, e);
	if (!rc)
		rc = decoding_of(l, n, &d, e);
	if (!rc)
		rc = rn_decode_rel(in, &d, &out, e);
	if (!rc)
		rc = check_made(n, &d, schema, &out->schema, e);
	if (!rc)
		rc = rn_schema_set_name(&out->schema, n->name, e);
	rn_schema_fini(&want);
	rn_rel_unref(in);
	if (rc) {
		rn_rel_unref(out);
		return rn_node_error(n, rc, e);
	}
	l->rows[node] = out;
	return 0;
}

/* The `decode` stages that a run rests on, in the order of the plan: inputs come first. */
static int make_all(struct rn_late *l, uint32_t node, struct rn_err *e)
{
	const struct rn_plan *p = l->conf.plan;
	bool *need;
	int rc = 0;

	RN_TRY(rn_calloc(p->nnodes, sizeof *need, "a plan", &need, e));
	need[node] = true;
	for (uint32_t i = node + 1; i-- > 0;)
		for (uint32_t k = 0; need[i] && l->late[i] && k < p->nodes[i].nin; k++)
			need[p->nodes[i].in[k].node] = true;
	for (uint32_t i = 0; i <= node && !rc; i++)
		if (need[i] && (p->nodes[i].op->flags & RN_OP_LATE) && !l->rows[i])
			rc = make(l, i, e);
	free(need);
	return rc;
}

int rn_late_bind(struct rn_late *l, const struct rn_run *run, uint32_t fits,
		 struct rn_late_bound *b, struct rn_err *e)
{
	*b = (struct rn_late_bound){ .run = *run };
	RN_TRY(make_all(l, run->node, e));
	return bind(l, fits, b, e);
}
