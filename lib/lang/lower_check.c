/* SPDX-License-Identifier: Apache-2.0
 *
 * Rules and stages that no run reaches: made as the others are, for what is wrong with them.
 * The plan drops their stages.  What hangs on data that nobody asked for, a source that cannot be
 * read or the rows of a guard, is no error of theirs.  And what the command line binds in vain.
 */
#include "expander.h"
#include "lowering.h"

#include "../base/opt.h"

#include <string.h>

enum { MOST_NODES = 20000 }; /* of a plan to which these stages are added */

static int check_rule(struct rn_lowering *l, const struct rn_stmt *s, struct rn_err *e)
{
	uint32_t inst, node;

	RN_TRY(rn_expand_rule(l->x, s, &inst, e));
	return rn_lower_instance(l, inst, &node);
}

int rn_lower_unused(struct rn_lowering *l, const struct rn_program *prog)
{
	struct rn_err mine = { 0 }, *e = l->e;
	uint32_t node;
	int rc;

	l->d->lenient = true;
	rc = rn_expand_check(l->x, &mine);
	l->e = &mine;
	for (uint32_t i = 0; i < prog->nstmts && rc != RN_ENOMEM && !rn_diag_full(l->d); i++) {
		const struct rn_stmt *s = &prog->stmts[i];

		if (l->plan->nnodes > MOST_NODES)
			break;
		if (s->kind == RN_S_RULE && !s->rule->ntparams)
			rc = check_rule(l, s, &mine);
		else if (s->kind == RN_S_STAGE)
			rc = rn_lower_stage(l, s, &node);
	}
	l->d->lenient = false;
	l->e = e;
	if (rc == RN_ENOMEM && e)
		*e = mine;
	return rc == RN_ENOMEM ? rc : 0;
}

/* ---- --source ------------------------------------------------------------------------------- */

/* Do rows of relations say which relations the program names? */
static bool has_guards(const struct rn_stmt *stmts, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (has_guards(stmts[i].body, stmts[i].nbody))
			return true;
		for (uint32_t k = 0; stmts[i].rule && k < stmts[i].rule->nitems; k++)
			if (stmts[i].rule->items[k].nguards)
				return true;
	}
	return false;
}

/* The function that has a parameter of this name, or NULL. */
static const char *with_parameter(const struct rn_program *p, const char *name)
{
	for (uint32_t i = 0; i < p->nstmts; i++)
		for (uint32_t k = 0; k < p->stmts[i].nparams; k++)
			if (!strcmp(p->stmts[i].params[k].name, name))
				return p->stmts[i].name;
	return NULL;
}

/* --source binds what a program names, and no rule. */
static int check_source(struct rn_lowering *l, const struct rn_program *p, const char *name)
{
	struct rn_near near;
	char hint[160];

	rn_near_init(&near, name);
	for (uint32_t i = 0; i < p->nstmts; i++) {
		const struct rn_stmt *s = &p->stmts[i];

		if (s->kind == RN_S_RULE && !s->rule->ntparams && !strcmp(s->name, name) &&
		    !rn_rule_of_source(s))
			return rn_err_set(l->e, RN_EUSAGE, "--source %s: '%s' is a rule of %s, and no source", name, name,
					  l->d->file);
	}
	for (uint32_t i = 0; i < l->nsources; i++)
		if (l->sources[i].stmt)
			rn_near_add(&near, l->sources[i].name);
	rn_near_hint(&near, hint, sizeof hint);
	if (with_parameter(p, name)) {
		rn_log(l->conf->ctx, RN_LOG_WARN, "--source %s: a parameter of the function '%s' is called so, and "
		       "no relation", name, with_parameter(p, name));
		return 0;
	}
	if (!near.best && has_guards(p->stmts, p->nstmts)) {
		rn_log(l->conf->ctx, RN_LOG_WARN, "--source %s: nothing in %s is called so with these rows", name,
		       l->d->file);
		return 0;
	}
	return rn_err_set(l->e, RN_EUSAGE, "--source %s: nothing in %s is called '%s'%s", name, l->d->file, name,
			  hint);
}

int rn_lower_check_sources(struct rn_lowering *l, const struct rn_program *p)
{
	for (uint32_t i = 0; i < l->nsources && l->conf->strict_sources; i++)
		if (!l->sources[i].used && !l->sources[i].stmt)
			RN_TRY(check_source(l, p, l->sources[i].name));
	return 0;
}
