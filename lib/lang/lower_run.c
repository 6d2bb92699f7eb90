/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs: ?fit, ?val, ?eval, ?pred and ?stage in the order written.
 */
#include "lowering.h"

#include "../base/json.h"
#include "../base/opt.h"
#include "../expr/emb_fn.h"
#include "../op/op_table.h"
#include "../plan/plan_impl.h"
#include "../train/check.h"

#include <stdlib.h>
#include <string.h>

static enum rn_run_kind run_kind(enum rn_stmt_kind k)
{
	switch (k) {
	case RN_S_FIT: return RN_RUN_FIT;
	case RN_S_VAL: return RN_RUN_VAL;
	case RN_S_EVAL: return RN_RUN_EVAL;
	default: return RN_RUN_PRED;
	}
}

/* ---- losses ---------------------------------------------------------------------------------- */

/* Losses with a stage of their own, where the target is a column. */
static const char *loss_kind(const char *module)
{
	static const char *const kinds[][2] = {
		{ "CrossEntropyLoss", "cross-entropy" }, { "BCEWithLogitsLoss", "bce" },
		{ "MSELoss", "mse" }, { "L1Loss", "l1" },
	};

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (!strcmp(kinds[i][0], module))
			return kinds[i][1];
	return NULL;
}

/* A number as one literal, also -1. */
static bool take_number(const struct rn_term *t, struct rn_term *out)
{
	bool negative = t->kind == RN_T_NEG;

	*out = negative ? *t->arg[0] : *t;
	out->num = negative ? -out->num : out->num;
	return out->kind == RN_T_NUM;
}

/* What argument i of a module, the first is 1, is called; NULL: it has none there. */
static const char *argument(const struct rn_term *made, uint32_t i)
{
	return made->key && made->key[i] ? made->key[i] : rn_emb_argument(made->arg[0]->str, i - 1);
}

/* Does it say what holds without it, too: None, reduction="mean"? */
static bool is_default(const char *key, const struct rn_term *value)
{
	return value->kind == RN_T_NONE ||
	       (!strcmp(key, "reduction") && value->kind == RN_T_STR && !strcmp(value->str, "mean"));
}

/* The setting of the stage `loss` that an argument of a module is; NULL: none. */
static const struct rn_opt *loss_option(const char *kind, const char *key, const struct rn_term *value)
{
	bool list = value->kind == RN_T_BRACKET, weight = !strcmp(key, "weight");
	bool label = !strcmp(key, "ignore_index") && (value->kind == RN_T_STR || value->kind == RN_T_BOOL);
	struct rn_term number;

	if (strcmp(kind, strcmp(key, "pos_weight") ? "cross-entropy" : "bce") || list != weight ||
	    (!list && !label && !take_number(value, &number)))
		return NULL;
	return rn_opt_find(rn_op_loss.opts, rn_op_loss.nopts, key);
}

/* Is a module configured by what the stage has, once each?  What is wrong is told where the module is
 * an expression. */
static bool has_stage(const char *kind, const struct rn_term *made)
{
	for (uint32_t i = 1; i < made->n; i++) {
		const char *key = argument(made, i);

		if (!key || (!is_default(key, made->arg[i]) && !loss_option(kind, key, made->arg[i])))
			return false;
		if (i > 1 && made->key && made->key[i - 1] && !made->key[i])
			return false;
		for (uint32_t k = 1; k < i; k++)
			if (!strcmp(argument(made, k), key))
				return false;
	}
	return true;
}

/* Loss()(prediction, [column]): its parts, or false. */
static bool is_column_loss(const struct rn_term *t, const char **kind, const struct rn_term **pred,
			   const struct rn_term **target)
{
	const struct rn_term *made;

	if (t->kind != RN_T_CALL || t->n != 3 || t->key || t->arg[0]->kind != RN_T_CALL)
		return false;
	made = t->arg[0];
	if (made->arg[0]->kind != RN_T_NAME || !(*kind = loss_kind(made->arg[0]->str)))
		return false;
	if (!has_stage(*kind, made))
		return false;
	*pred = t->arg[1];
	*target = t->arg[2];
	return (*target)->kind == RN_T_BRACKET && (*target)->n == 1 &&
	       (*target)->arg[0]->kind == RN_T_NAME;
}

/* A number, a list, or a label, which is text there. */
static json_t *setting_json(const struct rn_term *t)
{
	struct rn_term number;

	if (t->kind == RN_T_BOOL)
		return json_string(t->num != 0 ? "true" : "false");
	return rn_term_json(take_number(t, &number) ? &number : t);
}

/* What the module is configured with, as options; made NULL: nothing. */
static int loss_options(struct rn_lowering *l, const char *kind, const struct rn_term *made, json_t *opt)
{
	for (uint32_t i = 1; made && i < made->n; i++) {
		const char *key = argument(made, i);
		const struct rn_opt *o = loss_option(kind, key, made->arg[i]);
		json_t *given, *v;
		int rc;

		if (is_default(key, made->arg[i]))
			continue;
		given = setting_json(made->arg[i]);
		rc = given ? rn_opt_from_json(o, given, &v, l->e) : rn_lowering_nomem(l);

		json_decref(given);
		if (!rc)
			rc = rn_set_option(l, opt, o->name, v);
		if (rc)
			return rc;
	}
	return 0;
}

static int loss_node(struct rn_lowering *l, const struct rn_rule_inst *r, const char *kind,
		     const struct rn_term *made, const char *target, struct rn_view *v, uint32_t *out)
{
	json_t *opt;
	int rc;

	RN_TRY(rn_new_options(l, &opt));
	rc = rn_set_option(l, opt, "kind", json_string(kind));
	if (!rc && target)
		rc = rn_set_option(l, opt, "target", json_string(target));
	if (!rc)
		rc = loss_options(l, kind, made, opt);
	if (rc) {
		json_decref(opt);
		return rc;
	}
	return rn_lowering_node(l, "loss", r->name, opt, 1, &v->node, NULL, r, r->emb->at, r->emb->end, NULL,
				out);
}

const char *rn_loss_agg(const struct rn_term *t, const struct rn_term **of)
{
	static const char *const names[][2] = { { "mean", NULL }, { "avg", NULL }, { "sum", "sum(z)" },
						{ "add", "sum(z)" }, { "max", "max(z)" }, { "min", "min(z)" } };

	*of = t;
	if (t->kind != RN_T_CALL || t->n != 2 || t->key || t->arg[0]->kind != RN_T_NAME)
		return NULL;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(t->arg[0]->str, names[i][0])) {
			*of = t->arg[1];
			return names[i][1];
		}
	return NULL;
}

/* A loss with several features a row is their mean. */
static int mean_feature(struct rn_lowering *l, const struct rn_rule_inst *r, struct rn_view *v)
{
	const struct rn_schema *s = rn_lowering_schema(l, v->node);
	const struct rn_part_info *z = s->nparts == 1 ? &s->parts[0] : NULL;
	uint64_t width = 1;
	const char *name;

	for (uint32_t i = 0; z && i < z->shape.rank; i++)
		width *= z->shape.dim[i] == RN_DIM_UNKNOWN ? 0 : z->shape.dim[i];
	if (!z || width < 2)
		return 0;
	name = rn_stage_name(l, r, "mean");
	if (!name)
		return rn_lowering_nomem(l);
	return rn_text_node(l, r, "map", "expr", z->shape.rank > 1 ? "rowmean(view(-1)(z))" : "rowmean(z)", name,
			    r->emb->at, r->emb->end, NULL, NULL, v);
}

/* The value that is written, over the rows of v: their mean, or one row. */
static int value_loss(struct rn_lowering *l, const struct rn_rule_inst *r, const struct rn_term *of,
		      const char *agg, struct rn_view *v, uint32_t *out)
{
	const char *name;

	RN_TRY(rn_lower_map(l, r, v, of, NULL));
	RN_TRY(mean_feature(l, r, v));
	if (agg) {
		name = rn_stage_name(l, r, "agg");
		if (!name)
			return rn_lowering_nomem(l);
		RN_TRY(rn_text_node(l, r, "agg", "expr", agg, name, r->emb->at, r->emb->end, NULL, NULL, v));
	}
	return loss_node(l, r, "value", NULL, NULL, v, out);
}

/* Loss(a; expr): the mean over the rows that the rule has. */
static int keyed_loss(struct rn_lowering *l, const struct rn_rule_inst *r, uint32_t *out)
{
	struct rn_rule_inst rows = *r;
	struct rn_view v = { 0 };

	rows.name = rn_lowering_printf(l, "%s/rows", r->name);
	if (!rows.name)
		return rn_lowering_nomem(l);
	RN_TRY(rn_lower_rule(l, &rows, &v.node));
	RN_TRY(rn_add_view_emb(l, &v, "z", "z"));
	RN_TRY(mean_feature(l, r, &v));
	return loss_node(l, r, "value", NULL, NULL, &v, out);
}

/* The mean of what is written over the body's rows, unless it is aggregated otherwise. */
static int lower_loss(struct rn_lowering *l, const struct rn_rule_inst *r, uint32_t *out)
{
	const struct rn_term *pred, *target, *emb = r->emb;
	struct rn_str col = RN_STR_INIT;
	struct rn_view v;
	const char *kind, *agg;
	long at;
	int rc;

	if (!emb)
		return rn_diag_error(l->d, r->rule->name_at, rn_rule_name_end(r),
				     "the head of a ?fit is a loss alone: %s(; Loss()(z, [label]))", r->rule->name);
	if (r->nattrs || rn_nests_aggregates(emb)) /* one row: what is made of the aggregates */
		return keyed_loss(l, r, out);
	agg = rn_loss_agg(emb, &emb);
	if (!agg && !is_column_loss(emb, &kind, &pred, &target) && rn_weighs_rows(emb))
		return keyed_loss(l, r, out); /* one row: the group's mean */
	RN_TRY(rn_lower_body(l, r, &v));
	if (agg || !is_column_loss(emb, &kind, &pred, &target))
		return value_loss(l, r, emb, agg, &v, out);
	RN_TRY(rn_lower_map(l, r, &v, pred, NULL));
	at = rn_view_var(&v, target->arg[0]->str);
	if (at < 0)
		return rn_diag_error(l->d, target->at, target->end, "no column '%s' in the body",
				     target->arg[0]->str);
	rn_schema_col_name(rn_lowering_schema(l, v.node), (size_t)at, &col);
	rc = col.failed ? rn_lowering_nomem(l) : loss_node(l, r, kind, emb->arg[0], col.s, &v, out);
	rn_str_fini(&col);
	return rc;
}

/* ---- predictions --------------------------------------------------------------------------------- */

/* The column that a ?pred makes of its embedding. */
struct decoded {
	const char *how, *as; /* NULL: none */
	bool keep;            /* the embedding stays: it stands behind the semicolon, too */
	const struct rn_term *of; /* made of this, and the embedding is another one; or NULL */
	uint32_t first;       /* then: so many numbers stand before it */
};

bool rn_terms_equal(const struct rn_term *a, const struct rn_term *b)
{
	if (a->kind != b->kind || a->op != b->op || a->n != b->n || a->num != b->num ||
	    !a->str != !b->str || (a->str && strcmp(a->str, b->str)))
		return false;
	for (uint32_t i = 0; i < a->n; i++) {
		const char *x = a->key ? a->key[i] : NULL, *y = b->key ? b->key[i] : NULL;

		if (!x != !y || (x && strcmp(x, y)) || !rn_terms_equal(a->arg[i], b->arg[i]))
			return false;
	}
	return true;
}

/* ArgMax(z), ArgMax()(z), argmax(z) */
static bool is_argmax(const struct rn_term *t)
{
	const struct rn_term *f = t->kind == RN_T_CALL && t->n == 2 ? t->arg[0] : NULL;

	if (f && f->kind == RN_T_CALL && f->n == 1)
		f = f->arg[0];
	return f && f->kind == RN_T_NAME && (!strcmp(f->str, "ArgMax") || !strcmp(f->str, "argmax"));
}

/* ?pred P(x, [ArgMax(z)]): the column is what the run makes of the logits z; [z]: the number.
 * P(x, [ArgMax(z)]; z) keeps the logits as well, P(x, [F(z)]; z) has both. */
static int decoded(struct rn_lowering *l, const struct rn_rule_inst *r, struct rn_rule_inst *copy,
		   struct decoded *d)
{
	*copy = *r;
	for (uint32_t i = 0; i < r->nattrs; i++) {
		struct rn_term *t = r->attrs[i].term;

		if (r->rule->attrs[i].term->kind != RN_T_BRACKET)
			continue;
		if (d->how)
			return rn_diag_error(l->d, r->attrs[i].at, t->end, "a ?pred decodes one column");
		if (is_argmax(t)) {
			t = t->arg[1];
			d->how = "class";
		} else {
			d->how = "value";
		}
		d->as = r->attrs[i].name ? r->attrs[i].name : "prediction";
		d->keep = r->emb;
		if (r->emb && !rn_terms_equal(r->emb, t))
			d->of = t;
		else
			copy->emb = t;
	}
	if (!d->how && r->emb && is_argmax(r->emb)) {
		d->how = "label"; /* beside the class's number stands what it is called */
		d->keep = true;
	}
	return 0;
}

/* ---- runs ------------------------------------------------------------------------------------------ */

/* What the head says, unless a setting says more. */
static int decode_options(struct rn_lowering *l, const struct decoded *d, json_t *opt)
{
	if (!json_object_get(opt, "decode"))
		RN_TRY(rn_json_set_text(opt, "decode", d->how, l->e));
	if (d->as && !json_object_get(opt, "as"))
		RN_TRY(rn_json_set_text(opt, "as", d->as, l->e));
	if (!json_object_get(opt, "embedding") && !d->keep)
		RN_TRY(rn_json_set(opt, "embedding", json_false(), l->e));
	if (d->first)
		RN_TRY(rn_json_set(opt, "first", json_integer(d->first), l->e));
	return 0;
}

static int run_options(struct rn_lowering *l, const struct rn_stmt *s, const struct decoded *d,
		       json_t *opt, struct rn_err *mine)
{
	enum rn_run_kind kind = run_kind(s->kind);
	const struct rn_run_type *type = &rn_run_types[kind];

	RN_TRY(rn_lower_settings(l, s, type->opts, type->nopts, type->name, opt));
	if ((kind == RN_RUN_EVAL || kind == RN_RUN_PRED) && !json_object_get(opt, "name"))
		RN_TRY(rn_json_set_text(opt, "name", s->name, l->e));
	if (kind == RN_RUN_PRED && d->how)
		RN_TRY(decode_options(l, d, opt));
	for (size_t i = 0; i < type->nopts; i++) {
		const struct rn_opt *o = &type->opts[i];

		if (o->flags & RN_OPT_REQUIRED && o->type != RN_OPT_NODE && !json_object_get(opt, o->name))
			return rn_err_set(mine, RN_EUSAGE, "a ?%s wants a setting '%s': %s", type->name, o->name,
					  o->help);
	}
	return rn_opt_finish(opt, type->opts, type->nopts, mine);
}

/* The relation of a run that is written as a rule. */
static int run_rule(struct rn_lowering *l, const struct rn_stmt *s, struct decoded *d, uint32_t *node,
		    uint32_t *made)
{
	const struct rn_rule_inst *r;
	struct rn_rule_inst copy;
	uint32_t inst;
	int rc;

	RN_TRY(rn_expand_run(l->x, s, &inst, l->e));
	*made = inst;
	r = rn_expander_inst(l->x, inst);
	RN_TRY(rn_lower_before(l, inst));
	RN_TRY(decoded(l, r, &copy, d));
	if (l->inst_node[inst] == RN_NONE) {
		l->inst_node[inst] = RN_LOWER_BUSY; /* a stage below may ask for it: a cycle */
		rc = s->kind == RN_S_FIT ? lower_loss(l, r, node) : rn_lower_rule(l, &copy, node);
		/* What was told is not told again by a later run. */
		l->inst_node[inst] = rc ? RN_LOWER_FAILED : *node;
		if (rc)
			return rc;
	}
	*node = l->inst_node[inst];
	if (*node == RN_LOWER_FAILED)
		return RN_EUSAGE;
	return d->of ? rn_lower_both(l, rn_expander_inst(l->x, inst), d->of, node, &d->first) : 0;
}

/* The loss of an earlier ?fit that is called so, or RN_NONE. */
static uint32_t earlier_loss(const struct rn_lowering *l, const struct rn_ref *ref)
{
	const struct rn_plan *p = l->plan;

	for (uint32_t i = 0; i < p->nruns && !ref->ntargs && !ref->call; i++)
		if (p->runs[i].kind == RN_RUN_FIT && !strcmp(p->nodes[p->runs[i].node].name, ref->name))
			return p->runs[i].node;
	return RN_NONE;
}

/* A rule that is a loss, Loss(; MSELoss()(z, [y])) :- ..., as the loss that it is: its stages are
 * called Loss/fit, as the rule may be used as a relation, too. */
static int fit_rule(struct rn_lowering *l, uint32_t inst, uint32_t *node)
{
	const struct rn_rule_inst *r = rn_expander_inst(l->x, inst);
	const struct rn_diag_frame *top = l->d->top;
	struct rn_rule_inst copy = *r;
	long there;
	int rc;

	if (r->nattrs)
		return rn_diag_error(l->d, r->rule->name_at, rn_rule_name_end(r),
				     "the head of a ?fit is a loss alone: %s(; Loss()(z, [label]))", r->rule->name);
	copy.name = rn_lowering_printf(l, "%s/fit", r->name);
	if (!copy.name)
		return rn_lowering_nomem(l);
	there = rn_plan_find(l->plan, copy.name);
	if (there >= 0) {
		*node = (uint32_t)there;
		return 0;
	}
	RN_TRY(rn_lower_before(l, inst));
	l->d->top = r->frames;
	rc = lower_loss(l, &copy, node);
	l->d->top = top;
	return rc;
}

/* The relation of a run that is there already. */
static int run_input(struct rn_lowering *l, const struct rn_stmt *s, uint32_t *node)
{
	const struct rn_ref *ref = &s->inputs->ref;
	struct rn_inst_atom a;

	*node = s->kind == RN_S_FIT ? earlier_loss(l, ref) : RN_NONE;
	if (*node != RN_NONE)
		return 0;
	RN_TRY(rn_expand_ref(l->x, ref, &a, l->e));
	if (s->kind == RN_S_FIT && a.kind == RN_REL_RULE && rn_expander_inst(l->x, a.rule)->emb)
		return fit_rule(l, a.rule, node);
	return rn_lower_target(l, &a, node);
}

/* What is wrong with a setting is told at its value; with the column of a head in brackets there;
 * with anything else at the run. */
static int run_error(struct rn_lowering *l, const struct rn_stmt *s, const char *setting,
		     const char *what)
{
	const struct rn_opt *rows = rn_run_types[run_kind(s->kind)].opts;
	size_t n = rn_run_types[run_kind(s->kind)].nopts;
	uint32_t at = s->name_at, end = s->name_at + (uint32_t)strlen(s->name);

	for (uint32_t i = 0; setting && i < s->nsettings; i++) {
		const struct rn_opt *o = rn_opt_find(rows, n, s->settings[i].name);

		if (o && !strcmp(o->name, setting))
			return rn_diag_error(l->d, s->settings[i].value->at, s->settings[i].value->end, "%s", what);
	}
	if (setting && s->rule && (!strcmp(setting, "as") || !strcmp(setting, "decode")))
		for (uint32_t i = 0; i < s->rule->nattrs; i++)
			if (s->rule->attrs[i].term->kind == RN_T_BRACKET)
				return rn_diag_error(l->d, s->rule->attrs[i].at, s->rule->attrs[i].term->end, "%s",
						     what);
	if (s->kind == RN_S_FIT && s->rule && s->rule->emb) {
		at = s->rule->emb->at;
		end = s->rule->emb->end;
	}
	return rn_diag_error(l->d, at, end, "%s", what);
}

/* The last run of the plan is of this instance's rule: later statements may ask for what it decodes. */
static int remember(struct rn_lowering *l, uint32_t inst)
{
	struct rn_lowered_pred *p = rn_lowering_alloc(l, sizeof *p);

	if (!p)
		return rn_lowering_nomem(l);
	*p = (struct rn_lowered_pred){ l->preds, inst, l->plan->nruns - 1, RN_NONE };
	l->preds = p;
	return 0;
}

static int lower_run(struct rn_lowering *l, const struct rn_stmt *s)
{
	struct rn_run run = { .kind = run_kind(s->kind) };
	const char *setting = NULL;
	struct rn_err mine = { 0 };
	struct decoded d = { 0 };
	uint32_t inst = 0;
	int rc;

	RN_TRY(s->rule ? run_rule(l, s, &d, &run.node, &inst) : run_input(l, s, &run.node));
	RN_TRY(rn_json_object(&run.opt, l->e));
	rc = run_options(l, s, &d, run.opt, &mine);
	if (!rc)
		rc = rn_run_check(&run, &setting, &mine);
	if (!rc)
		rc = rn_plan_add_run(l->plan, run.kind, run.node, run.opt, &mine);
	else
		json_decref(run.opt);
	if (rc == RN_EUSAGE && mine.code)
		return run_error(l, s, setting, mine.msg);
	if (rc && mine.code && l->e)
		*l->e = mine;
	return !rc && s->rule && run.kind == RN_RUN_PRED ? remember(l, inst) : rc;
}

int rn_lowering_losses(const struct rn_lowering *l, struct rn_loss_facts **out)
{
	const struct rn_plan *p = l->plan;
	uint32_t fits = 0;

	RN_TRY(rn_calloc(p->nruns, sizeof **out, "runs", out, l->e));
	for (uint32_t i = 0; i < p->nruns; i++) {
		const struct rn_node *n = &p->nodes[p->runs[i].node];

		if (p->runs[i].kind == RN_RUN_FIT)
			rn_loss_facts(n, n->nin ? rn_lowering_schema(l, n->in[0].node) : NULL, &(*out)[fits++]);
	}
	return 0;
}

/* A ?fit behind the ?pred may say what its classes are called, which was not known where its column
 * was used. */
static int check_decodes(struct rn_lowering *l, const struct rn_stmt *const *of)
{
	for (const struct rn_lowered_pred *p = l->preds; p; p = p->next) {
		bool right = true;

		if (p->decode != RN_NONE)
			RN_TRY(rn_lower_still_decoded(l, p, &right));
		if (!right)
			run_error(l, of[p->run], NULL, "a later ?fit says what this prediction means, and its column "
				  "is used before: write the ?pred behind that ?fit");
	}
	return 0;
}

/* All runs, of[i] the statement of each: what would else be found when rows are read, or when the
 * fits are over. */
static int check_runs(struct rn_lowering *l, const struct rn_stmt *const *of)
{
	const struct rn_plan *p = l->plan;
	struct rn_checking c = { .plan = p };
	const struct rn_schema **schemas = NULL;
	struct rn_loss_facts *losses = NULL;
	int rc;

	RN_GOTO(out, rn_checking_open(&c, l->e));
	RN_GOTO(out, rn_lowering_losses(l, &losses));
	RN_GOTO(out, rn_calloc(p->nruns, sizeof *schemas, "runs", &schemas, l->e));
	for (uint32_t i = 0; i < p->nruns; i++)
		schemas[i] = rn_lowering_schema(l, p->runs[i].node);
	c.schemas = schemas;
	c.losses = losses;
	for (uint32_t i = 0; i < p->nruns && !rn_diag_full(l->d); i++) {
		struct rn_err mine = { 0 };
		const char *setting;

		rc = rn_check_run(&c, i, &setting, &mine);
		if (rc == RN_EUSAGE)
			run_error(l, of[i], setting, mine.msg);
		else if (rc)
			RN_GOTO(out, rn_err_set(l->e, rc, "%s", mine.msg));
	}
	rc = 0;
out:
	rn_checking_close(&c);
	free(schemas);
	free(losses);
	return rc;
}

/* The runs in the order written; of[i]: the statement of the plan's run i. */
static int lower_runs(struct rn_lowering *l, const struct rn_program *prog, const struct rn_stmt **of,
		      uint32_t *nruns)
{
	for (uint32_t i = 0; i < prog->nstmts && !rn_diag_full(l->d); i++) {
		const struct rn_stmt *s = &prog->stmts[i];
		int rc;

		if (s->kind < RN_S_FIT || s->kind > RN_S_PRED)
			continue;
		++*nruns;
		rc = lower_run(l, s);
		if (!rc)
			of[l->plan->nruns - 1] = s;
		if (rc && rc != RN_EUSAGE)
			return rc;
		if (rc && !l->d->errors) /* not about the program's text */
			return rc;
	}
	return 0;
}

int rn_lower_program(struct rn_lowering *l, struct rn_expander *x, const struct rn_program *prog,
		     struct rn_plan **out, struct rn_err *e)
{
	const struct rn_stmt **of;
	uint32_t nruns = 0;
	int rc;

	l->x = x;
	l->e = e;
	RN_TRY(rn_calloc(prog->nstmts, sizeof *of, "runs", &of, e));
	rc = lower_runs(l, prog, of, &nruns);
	if (!rc && !l->d->errors)
		rc = check_runs(l, of);
	if (!rc && !l->d->errors)
		rc = check_decodes(l, of);
	free(of);
	RN_TRY(rc);
	if (!l->d->errors)
		RN_TRY(rn_lower_unused(l, prog));
	if (!nruns && !l->d->errors && !l->conf->define_only)
		rn_diag_error(l->d, 0, 0, "the program runs nothing: it has no ?fit, ?val, ?eval or ?pred");
	RN_TRY(rn_diag_result(l->d, e));
	RN_TRY(rn_lower_check_sources(l, prog));
	RN_TRY(rn_plan_canonical(l->plan, NULL, e));
	*out = l->plan;
	l->plan = NULL;
	return 0;
}
