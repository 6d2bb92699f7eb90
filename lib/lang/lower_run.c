/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs: ?fit, ?val, ?eval, ?pred and ?stage in the order written.
 */
#include "lowering.h"

#include "../base/json.h"
#include "../base/opt.h"

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

/* Loss()(prediction, [column]): its parts, or false. */
static bool is_column_loss(const struct rn_term *t, const char **kind, const struct rn_term **pred,
			   const struct rn_term **target)
{
	const struct rn_term *made;

	if (t->kind != RN_T_CALL || t->n != 3 || t->key || t->arg[0]->kind != RN_T_CALL)
		return false;
	made = t->arg[0];
	if (made->n != 1 || made->arg[0]->kind != RN_T_NAME || !(*kind = loss_kind(made->arg[0]->str)))
		return false;
	*pred = t->arg[1];
	*target = t->arg[2];
	return (*target)->kind == RN_T_BRACKET && (*target)->n == 1 &&
	       (*target)->arg[0]->kind == RN_T_NAME;
}

static int loss_node(struct rn_lowering *l, const struct rn_rule_inst *r, const char *kind,
		     const char *target, struct rn_view *v, uint32_t *out)
{
	json_t *opt;
	int rc;

	RN_TRY(rn_new_options(l, &opt));
	rc = rn_set_option(l, opt, "kind", json_string(kind));
	if (!rc && target)
		rc = rn_set_option(l, opt, "target", json_string(target));
	if (rc) {
		json_decref(opt);
		return rc;
	}
	return rn_lowering_node(l, "loss", r->name, opt, 1, &v->node, NULL, r, r->emb->at, r->emb->end, NULL,
				out);
}

/* The mean of what is written over the body's rows. */
static int lower_loss(struct rn_lowering *l, const struct rn_rule_inst *r, uint32_t *out)
{
	const struct rn_term *pred, *target, *emb = r->emb;
	struct rn_str col = RN_STR_INIT;
	struct rn_view v;
	const char *kind, *name;
	long at;
	int rc;

	if (r->nattrs || !emb)
		return rn_diag_error(l->d, r->rule->name_at, rn_rule_name_end(r),
				     "the head of a ?fit is a loss alone: %s(; Loss()(z, [label]))", r->rule->name);
	if (emb->kind == RN_T_CALL && emb->n == 2 && !emb->key && emb->arg[0]->kind == RN_T_NAME &&
	    (!strcmp(emb->arg[0]->str, "mean") || !strcmp(emb->arg[0]->str, "avg")))
		emb = emb->arg[1];
	RN_TRY(rn_lower_body(l, r, &v));
	if (!is_column_loss(emb, &kind, &pred, &target)) {
		name = rn_stage_name(l, r, "map");
		if (!name)
			return rn_lowering_nomem(l);
		RN_TRY(rn_lower_map(l, r, &v, emb, NULL));
		return loss_node(l, r, "value", NULL, &v, out);
	}
	RN_TRY(rn_lower_map(l, r, &v, pred, NULL));
	at = rn_view_var(&v, target->arg[0]->str);
	if (at < 0)
		return rn_diag_error(l->d, target->at, target->end, "no column '%s' in the body",
				     target->arg[0]->str);
	rn_schema_col_name(rn_lowering_schema(l, v.node), (size_t)at, &col);
	rc = col.failed ? rn_lowering_nomem(l) : loss_node(l, r, kind, col.s, &v, out);
	rn_str_fini(&col);
	return rc;
}

/* ---- predictions --------------------------------------------------------------------------------- */

/* The column that a ?pred makes of its embedding. */
struct decoded {
	const char *how, *as; /* NULL: none */
	bool keep;            /* the embedding stays: it stands behind the semicolon, too */
};

static bool equal_terms(const struct rn_term *a, const struct rn_term *b)
{
	if (a->kind != b->kind || a->op != b->op || a->n != b->n || a->num != b->num ||
	    !a->str != !b->str || (a->str && strcmp(a->str, b->str)))
		return false;
	for (uint32_t i = 0; i < a->n; i++) {
		const char *x = a->key ? a->key[i] : NULL, *y = b->key ? b->key[i] : NULL;

		if (!x != !y || (x && strcmp(x, y)) || !equal_terms(a->arg[i], b->arg[i]))
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
 * P(x, [ArgMax(z)]; z) keeps the logits as well. */
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
		if (r->emb && !equal_terms(r->emb, t))
			return rn_diag_error(l->d, r->attrs[i].at, t->end,
					     "a ?pred has one embedding: what stands in the brackets is not what "
					     "stands behind the semicolon");
		copy->emb = t;
	}
	return 0;
}

/* ---- runs ------------------------------------------------------------------------------------------ */

/* What the head says, unless a setting says more. */
static int decode_options(struct rn_lowering *l, const struct decoded *d, json_t *opt)
{
	if (!json_object_get(opt, "decode"))
		RN_TRY(rn_json_set_text(opt, "decode", d->how, l->e));
	if (!json_object_get(opt, "as"))
		RN_TRY(rn_json_set_text(opt, "as", d->as, l->e));
	if (!json_object_get(opt, "embedding") && !d->keep)
		RN_TRY(rn_json_set(opt, "embedding", json_false(), l->e));
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
	return rn_opt_finish(opt, type->opts, type->nopts, mine);
}

/* The relation of a run that is written as a rule. */
static int run_rule(struct rn_lowering *l, const struct rn_stmt *s, struct decoded *d, uint32_t *node)
{
	const struct rn_rule_inst *r;
	struct rn_rule_inst copy;
	uint32_t inst;
	int rc;

	RN_TRY(rn_expand_run(l->x, s, &inst, l->e));
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
	return *node == RN_LOWER_FAILED ? RN_EUSAGE : 0;
}

/* The column of the true values is one of the head's. */
static int check_target(struct rn_lowering *l, const struct rn_stmt *s, uint32_t node,
			const json_t *opt)
{
	const char *target = json_string_value(json_object_get(opt, "target"));
	struct rn_err mine = { 0 };
	size_t col;

	if (!target || !rn_schema_find(rn_lowering_schema(l, node), target, &col, &mine))
		return 0;
	for (uint32_t i = 0; i < s->nsettings; i++)
		if (!strcmp(s->settings[i].name, "target"))
			return rn_diag_error(l->d, s->settings[i].value->at, s->settings[i].value->end,
					     "%s", mine.msg);
	return 0;
}

static int lower_run(struct rn_lowering *l, const struct rn_stmt *s)
{
	uint32_t end = s->name_at + (uint32_t)strlen(s->name), node;
	struct rn_inst_atom a;
	struct rn_err mine = { 0 };
	struct decoded d = { 0 };
	json_t *opt;
	int rc;

	if (s->rule) {
		RN_TRY(run_rule(l, s, &d, &node));
	} else {
		RN_TRY(rn_expand_ref(l->x, &s->inputs->ref, &a, l->e));
		RN_TRY(rn_lower_target(l, &a, &node));
	}
	RN_TRY(rn_json_object(&opt, l->e));
	rc = run_options(l, s, &d, opt, &mine);
	if (!rc)
		rc = check_target(l, s, node, opt);
	if (!rc)
		rc = rn_plan_add_run(l->plan, run_kind(s->kind), node, opt, &mine);
	else
		json_decref(opt);
	if (rc == RN_EUSAGE && mine.code)
		return rn_diag_error(l->d, s->name_at, end, "%s", mine.msg);
	if (rc && mine.code && l->e)
		*l->e = mine;
	return rc;
}

int rn_lower_program(struct rn_lowering *l, struct rn_expander *x, const struct rn_program *prog,
		     struct rn_plan **out, struct rn_err *e)
{
	uint32_t nruns = 0;

	l->x = x;
	l->e = e;
	for (uint32_t i = 0; i < prog->nstmts && !rn_diag_full(l->d); i++) {
		const struct rn_stmt *s = &prog->stmts[i];
		int rc;

		if (s->kind < RN_S_FIT || s->kind > RN_S_PRED)
			continue;
		nruns++;
		rc = lower_run(l, s);
		if (rc && rc != RN_EUSAGE)
			return rc;
		if (rc && !l->d->errors) /* not about the program's text */
			return rc;
	}
	if (!nruns && !l->d->errors)
		rn_diag_error(l->d, 0, 0, "the program runs nothing: it has no ?fit, ?val, ?eval or ?pred");
	RN_TRY(rn_diag_result(l->d, e));
	RN_TRY(rn_plan_canonical(l->plan, NULL, e));
	*out = l->plan;
	l->plan = NULL;
	return 0;
}
