/* SPDX-License-Identifier: Apache-2.0 */
#include "lang.h"

#include "lower.h"
#include "parse.h"

#include <stdlib.h>
#include <string.h>

static void log_warnings(const struct rn_lang_conf *c, const struct rn_diag *d)
{
	size_t n = d->out.len;

	if (!d->warnings || d->errors)
		return;
	rn_log(c->ctx, RN_LOG_WARN, "%.*s", (int)(n && d->out.s[n - 1] == '\n' ? n - 1 : n), d->out.s);
}

/* Parsed: expand and lower what the runs need. */
static int compile(const struct rn_lang_conf *c, struct rn_diag *d, const struct rn_program *prog,
		   struct rn_plan **out, struct rn_rel ***carried, struct rn_err *e)
{
	struct rn_expand_conf conf = {
		.diag = d, .program = prog, .max_instances = c->max_instances, .set = c->set,
		.nset = c->nset, .rows = rn_lowering_rows, .is_source = rn_lowering_is_source,
	};
	struct rn_lowering *l = NULL;
	struct rn_expander *x = NULL;
	struct rn_plan *plan = NULL;
	int rc;

	RN_GOTO(out, rn_lowering_new(c, d, prog, &l, e));
	conf.arg = l;
	RN_GOTO(out, rn_expander_new(&conf, &x, e));
	RN_GOTO(out, rn_lower_program(l, x, prog, &plan, e));
	RN_GOTO(out, rn_lowering_carried(l, plan, carried, e));
	*out = plan;
	plan = NULL;
out:
	rn_plan_free(plan);
	rn_expander_free(x);
	rn_lowering_free(l);
	return rc;
}

int rn_lang_compile(const char *text, size_t len, const struct rn_lang_conf *c,
		    struct rn_plan **out, struct rn_rel ***carried, struct rn_err *e)
{
	struct rn_program *prog = NULL;
	struct rn_diag d;
	int rc;

	rn_diag_init(&d, c->file, text, len);
	rc = rn_parse_program(&d, &prog, e);
	if (!rc)
		rc = rn_program_drop_repeated(&d, prog, e);
	if (!rc) /* what is wrong beyond syntax may follow from it */
		rc = d.errors ? RN_EUSAGE : compile(c, &d, prog, out, carried, e);
	if (!rc)
		log_warnings(c, &d);
	else if (rc != RN_ENOMEM && d.errors)
		rc = rn_diag_result(&d, e);
	rn_program_free(prog);
	rn_diag_fini(&d);
	return rc;
}
