/* SPDX-License-Identifier: Apache-2.0
 *
 * What ?preds decode: a column beside another embedding, and the column as content of later
 * statements.
 */
#include "lowering.h"

#include "../base/json.h"
#include "../train/check.h"

#include <stdlib.h>
#include <string.h>

/* ---- two embeddings ------------------------------------------------------------------------------ */

/* Is the term made of `emb`, and of columns of the head, alone? */
static bool is_of_result(const struct rn_rule_inst *r, const struct rn_term *t, bool content)
{
	if (rn_terms_equal(t, r->emb))
		return true;
	if (t->kind == RN_T_NAME && content) {
		for (uint32_t i = 0; i < r->nattrs; i++)
			if (r->attrs[i].term->kind == RN_T_NAME && !r->attrs[i].name &&
			    !strcmp(r->attrs[i].term->str, t->str))
				return true;
		return false;
	}
	if (t->kind == RN_T_NAME)
		for (uint32_t i = 0; i < r->natoms; i++)
			if (r->atoms[i].emb && !strcmp(r->atoms[i].emb, t->str))
				return false;
	for (uint32_t i = 0; i < t->n; i++)
		if (!is_of_result(r, t->arg[i], content || t->kind == RN_T_BRACKET))
			return false;
	return true;
}

/* A copy of the term in which `name` stands for `emb`; NULL with l->e. */
static struct rn_term *with_name(struct rn_lowering *l, const struct rn_term *t,
				 const struct rn_term *emb, const char *name)
{
	struct rn_term *copy = rn_lowering_alloc(l, sizeof *copy);

	if (!copy)
		return NULL;
	*copy = *t;
	if (rn_terms_equal(t, emb)) {
		*copy = (struct rn_term){ .kind = RN_T_NAME, .str = name, .at = t->at, .end = t->end };
		return copy;
	}
	if (!t->n)
		return copy;
	copy->arg = rn_lowering_alloc(l, t->n * sizeof(struct rn_term *));
	for (uint32_t i = 0; copy->arg && i < t->n; i++)
		if (!(copy->arg[i] = with_name(l, t->arg[i], emb, name)))
			return NULL;
	return copy->arg ? copy : NULL;
}

/* Concat(a, b), or NULL with l->e. */
static struct rn_term *concat(struct rn_lowering *l, struct rn_term *a, struct rn_term *b)
{
	struct rn_term *t = rn_lowering_alloc(l, 2 * sizeof *t);
	struct rn_term **arg = rn_lowering_alloc(l, 3 * sizeof(struct rn_term *));

	if (!t || !arg)
		return NULL;
	t[1] = (struct rn_term){ .kind = RN_T_NAME, .str = "Concat", .at = a->at, .end = a->end };
	arg[0] = &t[1];
	arg[1] = a;
	arg[2] = b;
	*t = (struct rn_term){ .kind = RN_T_CALL, .n = 3, .arg = arg, .at = a->at, .end = a->end };
	return t;
}

/* Both by a map of the rule's result, which `base` is. */
static int both_of_result(struct rn_lowering *l, const struct rn_rule_inst *r, const struct rn_term *of,
			  const char *name, uint32_t base, uint32_t *out)
{
	const struct rn_schema *s = rn_lowering_schema(l, base);
	struct rn_view v = { .node = base };
	struct rn_term *z, *t;

	t = with_name(l, of, r->emb, "z");
	z = with_name(l, r->emb, r->emb, "z");
	t = t && z ? concat(l, t, z) : NULL;
	if (!t)
		return rn_lowering_nomem(l);
	for (size_t i = 0; i < s->ncols; i++)
		RN_TRY(rn_add_view_var(l, &v, s->cols[i].name, i));
	if (s->nparts)
		RN_TRY(rn_add_view_emb(l, &v, "z", s->parts[0].name));
	RN_TRY(rn_lower_map(l, r, &v, t, name));
	*out = v.node;
	return 0;
}

/* Both over the rows of the body, and then grouped. */
static int both_of_rows(struct rn_lowering *l, const struct rn_rule_inst *r, const struct rn_term *of,
			const char *name, uint32_t *out)
{
	struct rn_term *emb = (struct rn_term *)(uintptr_t)r->emb, *t, *copy;
	struct rn_rule_inst both = *r;
	const struct rn_term *inner;
	bool agg = rn_loss_agg(emb, &inner) || inner != emb;

	t = concat(l, (struct rn_term *)(uintptr_t)of, (struct rn_term *)(uintptr_t)inner);
	copy = rn_lowering_alloc(l, sizeof *copy);
	if (t && copy && agg) { /* sum(x) */
		*copy = *emb;
		copy->arg = rn_lowering_alloc(l, 2 * sizeof(struct rn_term *));
		if (copy->arg) {
			copy->arg[0] = emb->arg[0];
			copy->arg[1] = t;
		}
		t = copy->arg ? copy : NULL;
	}
	if (!t || !copy)
		return rn_lowering_nomem(l);
	both.emb = t;
	both.name = both.prefix = name;
	return rn_lower_rule(l, &both, out);
}

/* The width of the sole embedding of one feature dimension; 0: it is not that, or not known. */
static uint32_t plain_width(const struct rn_lowering *l, uint32_t node)
{
	const struct rn_schema *s = rn_lowering_schema(l, node);

	return s->nparts == 1 && s->parts[0].shape.rank == 1 ? s->parts[0].shape.dim[0] : 0;
}

int rn_lower_both(struct rn_lowering *l, const struct rn_rule_inst *r, const struct rn_term *of,
		  uint32_t *node, uint32_t *first)
{
	const char *name = rn_lowering_printf(l, "%s/decoded", r->name);
	uint32_t rest = plain_width(l, *node), all;
	long there;

	if (!name)
		return rn_lowering_nomem(l);
	there = rn_plan_find(l->plan, name);
	if (there >= 0)
		*node = (uint32_t)there;
	else if (is_of_result(r, of, false))
		RN_TRY(both_of_result(l, r, of, name, *node, node));
	else
		RN_TRY(both_of_rows(l, r, of, name, node));
	all = plain_width(l, *node);
	if (rest && all > rest) {
		*first = all - rest;
		return 0;
	}
	return rn_diag_error(l->d, of->at, of->end, "a ?pred with one value in brackets and another behind "
			     "the semicolon wants both to be of one dimension, of a size that is known");
}

/* ---- decoded columns ----------------------------------------------------------------------------- */

/* What a ?pred decodes by the fits that the plan has so far; *loss: the fit that says so, or RN_NONE. */
struct decoding {
	enum rn_decoded how;
	uint32_t loss, fits; /* number of a fit; fits before it */
	const char *name;    /* of that fit's loss */
	enum rn_type labels;
};

static uint32_t fit_node(const struct rn_plan *p, uint32_t fit)
{
	for (uint32_t i = 0; i < p->nruns; i++)
		if (p->runs[i].kind == RN_RUN_FIT && !fit--)
			return p->runs[i].node;
	return RN_NONE;
}

static int decoding_of(struct rn_lowering *l, uint32_t run, struct decoding *d, struct rn_err *mine)
{
	const struct rn_plan *p = l->plan;
	const struct rn_run *r = &p->runs[run];
	struct rn_checking c = { .plan = p };
	const struct rn_schema **schemas = NULL;
	struct rn_loss_facts *losses = NULL;
	const char *setting;
	int rc;

	*d = (struct decoding){ .loss = RN_NONE, .labels = RN_INT64 };
	RN_GOTO(out, rn_checking_open(&c, mine));
	RN_GOTO(out, rn_lowering_losses(l, &losses));
	RN_GOTO(out, rn_calloc(p->nruns, sizeof *schemas, "runs", &schemas, mine));
	schemas[run] = rn_lowering_schema(l, r->node);
	c.schemas = schemas;
	c.losses = losses;
	d->fits = c.before[run];
	d->loss = rn_run_loss(&c, run);
	rc = rn_run_decoded(r, p->nodes[r->node].name, schemas[run],
			    d->loss == RN_NONE ? NULL : &losses[d->loss], &d->how, &setting, mine);
	if (!rc && d->loss != RN_NONE) {
		d->labels = losses[d->loss].labels;
		d->name = p->nodes[fit_node(p, d->loss)].name;
	}
out:
	rn_checking_close(&c);
	free(schemas);
	free(losses);
	return rc;
}

static int decode_stage(struct rn_lowering *l, const struct rn_inst_atom *a, struct rn_lowered_pred *p,
			const struct decoding *d)
{
	const struct rn_run *r = &l->plan->runs[p->run];
	bool labels = d->how == RN_DECODED_LABEL || d->how == RN_DECODED_NUMBER;
	char *name = rn_lowering_printf(l, "%s/decode", rn_expander_inst(l->x, p->inst)->name);
	uint32_t in = r->node, first = rn_run_first(r);
	json_t *opt;
	int rc;

	if (!name)
		return rn_lowering_nomem(l);
	for (unsigned k = 2; rn_plan_find(l->plan, name) >= 0; k++) { /* of another run */
		name = rn_lowering_printf(l, "%s/decode%u", rn_expander_inst(l->x, p->inst)->name, k);
		if (!name)
			return rn_lowering_nomem(l);
	}
	RN_TRY(rn_new_options(l, &opt));
	rc = rn_set_option(l, opt, "how", json_string(rn_decoded_name(d->how)));
	if (!rc)
		rc = rn_set_option(l, opt, "as", json_string(rn_run_string(r, "as")));
	if (!rc && labels)
		rc = rn_set_option(l, opt, "type", json_string(rn_type_name(d->labels)));
	if (!rc && first)
		rc = rn_set_option(l, opt, "first", json_integer(first));
	if (!rc && labels)
		rc = rn_set_option(l, opt, "fit", json_string(d->name));
	if (!rc)
		rc = rn_set_option(l, opt, "fits", json_integer(d->fits));
	if (rc) {
		json_decref(opt);
		return rc;
	}
	return rn_lowering_node(l, "decode", name, opt, 1, &in, NULL, NULL, a->atom->at, a->atom->end, NULL,
				&p->decode);
}

int rn_lower_decoded(struct rn_lowering *l, const struct rn_inst_atom *a, uint32_t *out)
{
	struct rn_lowered_pred *p = l->preds;
	struct rn_err mine = { 0 };
	struct decoding d;
	int rc;

	while (p && p->inst != a->rule)
		p = p->next;
	if (!p)
		return rn_diag_error(l->d, a->atom->at, a->atom->end, "what the ?pred '%s' decodes may be used behind it",
				     a->atom->ref.name);
	if (p->decode == RN_NONE) {
		rc = decoding_of(l, p->run, &d, &mine);
		if (rc == RN_EUSAGE)
			return rn_diag_error(l->d, a->atom->at, a->atom->end, "%s", mine.msg);
		if (rc) {
			if (l->e && mine.code)
				*l->e = mine;
			return rc;
		}
		if (d.how == RN_DECODED_NONE)
			return 0; /* there is no such column, as will be told */
		RN_TRY(decode_stage(l, a, p, &d));
	}
	*out = p->decode;
	return 0;
}

int rn_lower_still_decoded(struct rn_lowering *l, const struct rn_lowered_pred *p, bool *right)
{
	const struct rn_node *n = &l->plan->nodes[p->decode];
	const char *fit = rn_node_string(n, "fit");
	struct rn_err mine = { 0 };
	struct decoding d;
	int rc = decoding_of(l, p->run, &d, &mine);

	if (rc)
		return rn_err_set(l->e, rc, "%s", mine.msg);
	*right = d.how == rn_decoded_find(rn_node_string(n, "how")) &&
		 (!fit || (d.name && !strcmp(fit, d.name)));
	return 0;
}
