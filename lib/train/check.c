/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "../../formats/csv.h"
#include "../base/json.h"
#include "../base/mem.h"

#include <stdlib.h>
#include <string.h>

/* ---- losses --------------------------------------------------------------------------- */

void rn_loss_facts(const struct rn_node *loss, const struct rn_schema *in, struct rn_loss_facts *out)
{
	const char *target;
	size_t col;

	*out = (struct rn_loss_facts){ .kind = RN_LOSS_VALUE, .classes = RN_DIM_UNKNOWN,
				       .labels = RN_INT64 };
	if (!(loss->op->flags & RN_OP_SINK))
		return;
	out->kind = rn_loss_kind_of(loss);
	target = rn_node_string(loss, "target");
	if (out->kind == RN_LOSS_CE && in->nparts == 1)
		out->classes = rn_shape_width(&in->parts[0].shape);
	if (target && !rn_schema_find(in, target, &col, NULL))
		out->labels = in->cols[col].type;
	out->own = out->labels == RN_INT64;
}

void rn_task_facts(const struct rn_task *task, struct rn_loss_facts *out)
{
	const struct rn_classes *c = task->kind == RN_LOSS_CE ? task->classes : NULL;

	*out = (struct rn_loss_facts){ .kind = task->kind, .classes = c ? c->n : RN_DIM_UNKNOWN,
				       .labels = c && !c->own ? c->values->type : RN_INT64,
				       .own = c && c->own };
}

/* Does that loss say what an embedding of this width is? */
static bool speaks_of(const struct rn_loss_facts *l, uint32_t width)
{
	uint32_t want = l->kind == RN_LOSS_CE ? l->classes : 1;

	return l->kind == RN_LOSS_VALUE || width == want || width == RN_DIM_UNKNOWN ||
	       want == RN_DIM_UNKNOWN;
}

static bool by_number(const struct rn_run *r)
{
	return r->kind == RN_RUN_PRED && !strcmp(rn_run_string(r, "decode"), "label");
}

uint32_t rn_loss_of_run(const struct rn_run *r, const struct rn_schema *s, const struct rn_loss_facts *losses,
			uint32_t before, uint32_t all)
{
	uint32_t first = r->kind == RN_RUN_PRED ? rn_run_first(r) : 0;
	uint32_t width = first ? first : s->nparts == 1 ? rn_shape_width(&s->parts[0].shape) : 0;

	if (!all)
		return RN_NONE;
	if (r->kind == RN_RUN_VAL)
		return before ? before - 1 : 0;
	for (uint32_t i = 0; i < all; i++) {
		uint32_t fit = (i < before ? before : all + before) - 1 - i;
		const struct rn_loss_facts *l = &losses[fit];

		if (by_number(r) ? l->kind == RN_LOSS_CE : s->nparts == 1 && speaks_of(l, width))
			return fit;
	}
	return r->kind == RN_RUN_EVAL ? all - 1 : RN_NONE;
}

uint32_t rn_run_loss(const struct rn_checking *c, uint32_t run)
{
	const struct rn_plan *p = c->plan;

	return rn_loss_of_run(&p->runs[run], c->schemas[run], c->losses, c->before[run], c->before[p->nruns]);
}

/* ---- parameters ----------------------------------------------------------------------- */

/* Its embedding expression, or NULL. */
static const char *expr_of(const struct rn_node *n)
{
	static const char *const ops[] = { "map", "agg", "join" };

	for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
		if (!strcmp(n->op->name, ops[i]))
			return rn_node_string(n, "expr");
	return NULL;
}

/* May the stage hold parameters?  Some encoders do, others only fit. */
static bool holds_parameters(const struct rn_node *n)
{
	const char *expr = expr_of(n);
	struct rn_eexpr *x;
	bool yes;

	if (!n->learns || !expr)
		return n->learns;
	if (rn_eexpr_parse(expr, &x, NULL))
		return true; /* it parsed when it was made: memory */
	yes = rn_eexpr_has_params(x);
	rn_eexpr_free(x);
	return yes;
}

/* What the fits rest on; *out owned.  Nodes come after their inputs. */
static int mark_fitted(const struct rn_plan *p, bool **out, struct rn_err *e)
{
	bool *mark;

	RN_TRY(rn_calloc(p->nnodes, sizeof *mark, "a plan", &mark, e));
	for (uint32_t i = 0; i < p->nruns; i++)
		if (p->runs[i].kind == RN_RUN_FIT)
			mark[p->runs[i].node] = true;
	for (uint32_t i = p->nnodes; i-- > 0;)
		for (uint32_t k = 0; mark[i] && k < p->nodes[i].nin; k++)
			mark[p->nodes[i].in[k].node] = true;
	*out = mark;
	return 0;
}

/* What the names of its parameters begin with; NULL: its expression names them itself. */
static const char *prefix_of(const struct rn_node *n)
{
	const char *param, *expr = expr_of(n);

	if ((expr && strstr(expr, "name=")) || !strcmp(n->op->name, "encode"))
		return NULL;
	param = rn_opt_find(n->op->opts, n->op->nopts, "param") ? rn_node_string(n, "param") : NULL;
	return param ? param : n->name;
}

static int find_parameters(struct rn_checking *c, struct rn_err *e)
{
	const struct rn_plan *p = c->plan;
	bool *fitted;

	RN_TRY(mark_fitted(p, &fitted, e));
	for (uint32_t i = 0; i < p->nnodes; i++) {
		const struct rn_node *n = &p->nodes[i];

		c->learns[i] = holds_parameters(n);
		c->untrained[i] = c->learns[i] && !fitted[i] ? i : RN_NONE;
		for (uint32_t k = 0; k < n->nin; k++) {
			uint32_t under = c->untrained[n->in[k].node];

			c->learns[i] = c->learns[i] || c->learns[n->in[k].node];
			/* An encoder that no loss reaches is refused when it is to be fitted. */
			if (under != RN_NONE && (c->untrained[i] == RN_NONE || !prefix_of(&p->nodes[under])))
				c->untrained[i] = under;
		}
	}
	free(fitted);
	return 0;
}

/* May some stage under a fit have parameters of this name?  An expression that mentions it may. */
static bool may_train(const struct rn_plan *p, const bool *fitted, const char *prefix)
{
	for (uint32_t i = 0; i < p->nnodes; i++) {
		const struct rn_node *n = &p->nodes[i];
		const char *expr, *own;

		if (!fitted[i] || !n->learns)
			continue;
		own = prefix_of(n);
		expr = own ? NULL : expr_of(n);
		if (expr ? !!strstr(expr, prefix) : !strcmp(own ? own : n->name, prefix))
			return true;
	}
	return false;
}

/* Under val, eval and pred runs: what names tell. */
static int check_trained(const struct rn_checking *c, const struct rn_run *r, struct rn_err *e)
{
	const struct rn_plan *p = c->plan;
	uint32_t node = c->untrained[r->node];
	const char *prefix;
	bool *fitted;
	int rc = 0;

	if (node == RN_NONE)
		return 0;
	prefix = prefix_of(&p->nodes[node]);
	if (!prefix)
		return 0;
	RN_TRY(mark_fitted(p, &fitted, e));
	if (!may_train(p, fitted, prefix))
		rc = rn_err_set(e, RN_EUSAGE, "'%s' rests on '%s', whose parameters no fit trains",
				p->nodes[r->node].name, prefix);
	free(fitted);
	return rc;
}

/* ---- fits ----------------------------------------------------------------------------- */

static int check_fit(const struct rn_checking *c, const struct rn_run *r, struct rn_err *e)
{
	const struct rn_node *n = &c->plan->nodes[r->node];

	if (!(n->op->flags & RN_OP_SINK))
		return rn_err_set(e, RN_EUSAGE, "cannot fit '%s': it is a %s, not a loss", n->name,
				  n->op->name);
	if (c->learns[r->node])
		return 0;
	return rn_err_set(e, RN_EUSAGE, "the loss '%s' depends on no parameter: there is nothing to train",
			  n->name);
}

/* ---- metrics -------------------------------------------------------------------------- */

/* Another val run of the same fit, or NULL.  One before all fits is the first one's. */
static const struct rn_run *other_val(const struct rn_checking *c, uint32_t run)
{
	uint32_t fit = c->before[run];

	for (uint32_t i = 0; i < run; i++)
		if (c->plan->runs[i].kind == RN_RUN_VAL &&
		    (c->before[i] ? c->before[i] : 1) == (fit ? fit : 1))
			return &c->plan->runs[i];
	return NULL;
}

static int check_group(const struct rn_run *r, enum rn_metric m, const struct rn_schema *s,
		       const char **setting, struct rn_err *e)
{
	const char *group = rn_run_string(r, "group");
	size_t col;

	if (!group)
		return 0;
	*setting = "group";
	if (!rn_metric_by_query(m))
		return rn_err_set(e, RN_EUSAGE, "metric '%s' has no group: hits@K, mrr and map@K have",
				  rn_run_string(r, "metric"));
	if (s)
		RN_TRY(rn_schema_find(s, group, &col, e));
	*setting = NULL;
	return 0;
}

/* The relation holds one embedding, and it and the true values fit the metric. */
static int check_rows(const struct rn_checking *c, uint32_t run, enum rn_metric m,
		      const char **setting, struct rn_err *e)
{
	const struct rn_run *r = &c->plan->runs[run];
	const char *name = c->plan->nodes[r->node].name, *target = rn_run_string(r, "target");
	const struct rn_schema *s = c->schemas[run];
	const struct rn_loss_facts none = { .kind = RN_LOSS_VALUE, .classes = RN_DIM_UNKNOWN, .labels = RN_INT64 };
	uint32_t loss = rn_run_loss(c, run);
	const struct rn_loss_facts *l = loss == RN_NONE ? &none : &c->losses[loss];
	struct rn_metric_facts f = { .kind = l->kind, .classes = l->classes, .labels = l->labels,
				     .target_name = target };
	size_t col;

	if (s->nparts != 1)
		return rn_err_set(e, RN_EUSAGE,
				  s->nparts ? "'%s' has %zu embedding parts: a prediction wants one, so "
					      "combine them in a map" :
					      "'%s' has no embedding: a metric wants a prediction",
				  name, s->nparts);
	if (target && !rn_schema_find(s, target, &col, NULL)) {
		f.target = s->cols[col].type;
		f.untyped = f.target == RN_STRING; /* as a column of NULLs alone is */
	}
	f.width = rn_shape_width(&s->parts[0].shape);
	*setting = "metric";
	RN_TRY(rn_metric_check(m, &f, e));
	*setting = NULL;
	return 0;
}

static int check_score(const struct rn_checking *c, uint32_t run, const char **setting,
		       struct rn_err *e)
{
	const struct rn_plan *p = c->plan;
	const struct rn_run *r = &p->runs[run], *other;
	const char *target = rn_run_string(r, "target");
	enum rn_metric m;
	uint32_t k;
	size_t col;

	*setting = "target";
	if (c->schemas && target)
		RN_TRY(rn_schema_find(c->schemas[run], target, &col, e));
	*setting = NULL;
	if (r->kind == RN_RUN_VAL && !c->before[p->nruns])
		return rn_err_set(e, RN_EUSAGE, "there is nothing to train: the plan has no fit run, which a val run is of");
	other = r->kind == RN_RUN_VAL ? other_val(c, run) : NULL;
	if (other)
		return rn_err_set(e, RN_EUSAGE, "a fit has two val runs: '%s' and '%s'",
				  p->nodes[other->node].name, p->nodes[r->node].name);
	*setting = "metric";
	RN_TRY(rn_metric_parse(rn_run_string(r, "metric"), &m, &k, e));
	*setting = NULL;
	RN_TRY(check_group(r, m, c->schemas ? c->schemas[run] : NULL, setting, e));
	if (c->schemas)
		RN_TRY(check_rows(c, run, m, setting, e));
	return c->before[p->nruns] ? check_trained(c, r, e) : 0; /* without any fit it has initial values */
}

/* ---- predictions ---------------------------------------------------------------------- */

/* What the run gets of an embedding of this width when it does not say. */
static enum rn_decoded decoded_by(const struct rn_loss_facts *task, uint32_t width)
{
	if (!task || !speaks_of(task, width))
		return RN_DECODED_NONE;
	if (task->kind == RN_LOSS_CE)
		return RN_DECODED_LABEL;
	if (width != 1 && width != RN_DIM_UNKNOWN)
		return RN_DECODED_NONE;
	return task->kind == RN_LOSS_BCE ? RN_DECODED_BINARY : RN_DECODED_VALUE;
}

/* What was asked for: the class of the largest logit, the number, the number's label. */
static int decoded_asked(const struct rn_run *r, uint32_t width, const struct rn_loss_facts *task,
			 enum rn_decoded *out, struct rn_err *e)
{
	const char *how = rn_run_string(r, "decode"), *as = rn_run_string(r, "as");

	if (*how == 'c' && width == 1)
		return rn_err_set(e, RN_EUSAGE, "column '%s' is the class of the largest logit, and "
				  "there is one number", as);
	if (*how != 'c' && width != 1 && width != RN_DIM_UNKNOWN)
		return rn_err_set(e, RN_EUSAGE, "column '%s' is one number, and the "
				  "embedding has %u", as, width);
	if (*how == 'l')
		*out = task && task->kind == RN_LOSS_CE && !task->own ? RN_DECODED_NUMBER :
									  RN_DECODED_NONE;
	else if (*how == 'c')
		*out = task && task->kind == RN_LOSS_CE && speaks_of(task, width) ? RN_DECODED_LABEL :
										     RN_DECODED_CLASS;
	else
		*out = RN_DECODED_VALUE;
	return 0;
}

static const char *const decoded_names[] = {
	[RN_DECODED_NONE] = "none",     [RN_DECODED_LABEL] = "label",   [RN_DECODED_CLASS] = "class",
	[RN_DECODED_NUMBER] = "number", [RN_DECODED_BINARY] = "binary", [RN_DECODED_VALUE] = "value",
};

const char *rn_decoded_name(enum rn_decoded d)
{
	return decoded_names[d];
}

enum rn_decoded rn_decoded_find(const char *name)
{
	enum rn_decoded d = RN_DECODED_VALUE;

	while (d != RN_DECODED_NONE && strcmp(decoded_names[d], name))
		d--;
	return d;
}

uint32_t rn_run_first(const struct rn_run *r)
{
	return json_object_get(r->opt, "first") ? (uint32_t)rn_run_int(r, "first") : 0;
}

/* The width of what makes the column. */
static int decoded_width(const struct rn_run *r, const struct rn_schema *s, const char **setting,
			 uint32_t *width, struct rn_err *e)
{
	uint32_t first = rn_run_first(r);

	*width = rn_shape_width(&s->parts[0].shape);
	if (!first)
		return 0;
	if (*width == RN_DIM_UNKNOWN || *width > first) {
		*width = first;
		return 0;
	}
	*setting = "first";
	return rn_err_set(e, RN_EUSAGE, "column '%s' is made of the first %u numbers, and the embedding has %u",
			  rn_run_string(r, "as"), first, *width);
}

/* A name of ours must not hide a column of the user's. */
static int check_names(const struct rn_schema *s, const char *node, const char *as, bool probability,
		       struct rn_err *e)
{
	for (size_t i = 0; i < s->ncols; i++) {
		const char *name = s->cols[i].name;

		if (!strcmp(name, as) || (probability && !strcmp(name, "probability")))
			return rn_err_set(e, RN_EUSAGE,
					  "'%s' has a column '%s' already: rename it with a "
					  "project before it is predicted, or the prediction with 'as'",
					  node, name);
	}
	return 0;
}

int rn_run_decoded(const struct rn_run *r, const char *node, const struct rn_schema *s,
		   const struct rn_loss_facts *task, enum rn_decoded *out, const char **setting,
		   struct rn_err *e)
{
	const char *how = rn_run_string(r, "decode");
	bool asked = *how == 'c' || *how == 'v' || *how == 'l';
	uint32_t width;

	*out = RN_DECODED_NONE;
	*setting = "decode";
	if (*how == 'n')
		return 0;
	if (asked && s->nparts != 1)
		return rn_err_set(e, RN_EUSAGE, "column '%s' is made of one embedding, and '%s' has %zu",
				  rn_run_string(r, "as"), node, s->nparts);
	/* Without columns it is a figure over all rows, and no row's prediction. */
	if (s->nparts != 1 || s->parts[0].sparse || (!asked && !s->ncols))
		return 0;
	RN_TRY(decoded_width(r, s, setting, &width, e));
	if (asked)
		RN_TRY(decoded_asked(r, width, task, out, e));
	else
		*out = decoded_by(task, width);
	*setting = "as";
	if (*out == RN_DECODED_NONE)
		return 0;
	return check_names(s, node, rn_run_string(r, "as"), *out == RN_DECODED_BINARY, e);
}

static int check_text(const struct rn_run *r, const struct rn_schema *s, struct rn_err *e)
{
	const char *format = rn_pred_format(r);

	if (!rn_run_flag(r, "embedding") || !strcmp(format, "er"))
		return 0;
	return rn_text_check_names(s, !strcmp(format, "jsonl"), "embedding=false", e);
}

/* ---- decoded columns -------------------------------------------------------------------- */

/* The number of the first fit of a loss that is called so, or RN_NONE. */
static uint32_t fit_of(const struct rn_checking *c, const char *loss)
{
	const struct rn_plan *p = c->plan;

	for (uint32_t i = 0; i < p->nruns; i++)
		if (p->runs[i].kind == RN_RUN_FIT && !strcmp(p->nodes[p->runs[i].node].name, loss))
			return c->before[i];
	return RN_NONE;
}

/* A stage `decode` against the fits: is what it says of the labels so? */
static int check_decode(const struct rn_checking *c, const struct rn_node *n, struct rn_err *e)
{
	enum rn_decoded how = rn_decoded_find(rn_node_string(n, "how"));
	const char *loss = rn_node_string(n, "fit"), *type = rn_node_string(n, "type");
	const struct rn_loss_facts *l;
	uint32_t fit;

	if (json_object_get(n->opt, "fits") && rn_node_int(n, "fits") > c->before[c->plan->nruns])
		return rn_err_set(e, RN_EUSAGE, "decode '%s': the plan has no %lld fits", n->name,
				  (long long)rn_node_int(n, "fits"));
	if (how != RN_DECODED_LABEL && how != RN_DECODED_NUMBER)
		return 0;
	fit = fit_of(c, loss);
	if (fit == RN_NONE)
		return rn_err_set(e, RN_EUSAGE, "decode '%s': no fit has a loss '%s'", n->name, loss);
	l = c->losses ? &c->losses[fit] : NULL;
	if (l && l->kind != RN_LOSS_CE)
		return rn_err_set(e, RN_EUSAGE, "decode '%s': the loss '%s' has no labels", n->name, loss);
	if (l && strcmp(rn_type_name(l->labels), type))
		return rn_err_set(e, RN_EUSAGE, "decode '%s': the labels of '%s' are %s, and 'type' says %s", n->name,
				  loss, rn_type_name(l->labels), type);
	return 0;
}

/* What a late run rests on; *node: marks of what is under it. */
static int check_late(const struct rn_checking *c, const struct rn_run *r, bool *under,
		      struct rn_err *e)
{
	const struct rn_plan *p = c->plan;

	under[r->node] = true;
	for (uint32_t i = p->nnodes; i-- > 0;) {
		const struct rn_node *n = &p->nodes[i];

		if (!under[i] || !c->late[i])
			continue;
		for (uint32_t k = 0; k < n->nin; k++)
			under[n->in[k].node] = true;
		if (n->op->flags & RN_OP_LATE)
			RN_TRY(check_decode(c, n, e));
		else if (n->op->fit && n->learns && !n->fitted)
			return rn_err_set(e, RN_EUSAGE, "'%s' encodes a decoded column, and an encoder is fitted "
					  "before there is one", n->name);
	}
	if (r->kind == RN_RUN_PRED)
		return 0;
	return rn_err_set(e, RN_EUSAGE, "'%s' rests on a column that a pred run decodes, and that is known when all "
			  "fits are over: write that prediction to a file (to=) and read it as a source of another "
			  "program", p->nodes[r->node].name);
}

static int check_decoded(const struct rn_checking *c, const struct rn_run *r, struct rn_err *e)
{
	bool *under;
	int rc;

	if (!c->late[r->node])
		return 0;
	RN_TRY(rn_calloc(c->plan->nnodes, sizeof *under, "a plan", &under, e));
	rc = check_late(c, r, under, e);
	free(under);
	return rc;
}

/* ---- all runs --------------------------------------------------------------------------- */

static int check_pred(const struct rn_checking *c, uint32_t run, const char **setting,
		      struct rn_err *e)
{
	const struct rn_plan *p = c->plan;
	const struct rn_run *r = &p->runs[run];
	enum rn_decoded decoded;
	uint32_t loss;

	if (c->same_file[run] != RN_NONE) {
		*setting = "to";
		return rn_err_set(e, RN_EUSAGE, "pred '%s' would be written where pred '%s' is",
				  rn_run_string(r, "name"),
				  rn_run_string(&p->runs[c->same_file[run]], "name"));
	}
	if (c->before[p->nruns]) /* without any fit it has initial values */
		RN_TRY(check_trained(c, r, e));
	if (!c->schemas || !c->schemas[run])
		return 0;
	loss = rn_run_loss(c, run);
	RN_TRY(rn_run_decoded(r, p->nodes[r->node].name, c->schemas[run],
			      loss == RN_NONE ? NULL : &c->losses[loss], &decoded, setting, e));
	*setting = NULL;
	return check_text(r, c->schemas[run], e);
}

/* Files of predictions by name; /dev/null may be of several. */
static int find_files(struct rn_checking *c, struct rn_err *e)
{
	const struct rn_plan *p = c->plan;
	json_t *seen = NULL;
	int rc = rn_json_object(&seen, e);

	for (uint32_t i = 0; i < p->nruns && !rc; i++) {
		const struct rn_run *r = &p->runs[i];
		struct rn_str path = RN_STR_INIT;
		const json_t *first;

		c->same_file[i] = RN_NONE;
		if (r->kind != RN_RUN_PRED)
			continue;
		if (rn_run_string(r, "to"))
			rn_str_add(&path, rn_run_string(r, "to"));
		else
			rn_str_addf(&path, "%s.csv", rn_run_string(r, "name"));
		rc = rn_str_check(&path, e);
		first = rc ? NULL : json_object_get(seen, path.s);
		if (first && strncmp(path.s, "/dev/", 5))
			c->same_file[i] = (uint32_t)json_integer_value(first);
		else if (!rc)
			rc = rn_json_set(seen, path.s, json_integer(i), e);
		rn_str_fini(&path);
	}
	json_decref(seen);
	return rc;
}

int rn_checking_open(struct rn_checking *c, struct rn_err *e)
{
	const struct rn_plan *p = c->plan;

	c->before = c->same_file = c->untrained = NULL;
	c->learns = c->late = NULL;
	RN_TRY(rn_calloc((size_t)p->nruns + 1, sizeof *c->before, "runs", &c->before, e));
	RN_TRY(rn_calloc(p->nruns, sizeof *c->same_file, "runs", &c->same_file, e));
	RN_TRY(rn_calloc(p->nnodes, sizeof *c->learns, "a plan", &c->learns, e));
	RN_TRY(rn_calloc(p->nnodes, sizeof *c->untrained, "a plan", &c->untrained, e));
	RN_TRY(rn_calloc(p->nnodes, sizeof *c->late, "a plan", &c->late, e));
	rn_plan_late(p, NULL, c->late);
	for (uint32_t i = 0; i < p->nruns; i++)
		c->before[i + 1] = c->before[i] + (p->runs[i].kind == RN_RUN_FIT);
	RN_TRY(find_files(c, e));
	return find_parameters(c, e);
}

void rn_checking_close(struct rn_checking *c)
{
	free(c->before);
	free(c->same_file);
	free(c->learns);
	free(c->late);
	free(c->untrained);
	*c = (struct rn_checking){ 0 };
}

int rn_check_run(const struct rn_checking *c, uint32_t run, const char **setting,
		     struct rn_err *e)
{
	*setting = NULL;
	RN_TRY(check_decoded(c, &c->plan->runs[run], e));
	switch (c->plan->runs[run].kind) {
	case RN_RUN_FIT:
		return check_fit(c, &c->plan->runs[run], e);
	case RN_RUN_PRED:
		return check_pred(c, run, setting, e);
	default:
		return check_score(c, run, setting, e);
	}
}
