/* SPDX-License-Identifier: Apache-2.0 */
#include "ext.h"
#include "lower.h"

#include <stdlib.h>
#include <string.h>

bool rn_node_waits(const struct rn_node *n, const struct rn_params *params)
{
	return !params && n->learns;
}

int rn_node_infer(const struct rn_node *n, const struct rn_schema *const *in,
		  struct rn_schema *out, struct rn_err *e)
{
	int rc = n->op->infer(n, in, out, e);

	if (rc)
		rn_node_error(n, rc, e);
	else if (n->name)
		rc = rn_schema_set_name(out, n->name, e);
	if (rc)
		rn_schema_fini(out);
	return rc;
}

int rn_eval_parts(const struct rn_ctx *c, struct rn_backend *b, const struct rn_node *n,
		  const void *state, const struct rn_rel *const *in, struct rn_params *params,
		  struct rn_rel *r, struct rn_err *e)
{
	struct rn_prog p;
	struct rn_param_source ps = { .prog = &p, .params = params, .constant = true };
	struct rn_lower lw = { .ctx = c, .prog = &p, .param = rn_param_source_get, .param_arg = &ps };
	struct rn_lrel out = { .rel = r }, *lin = NULL;
	int rc;

	rn_prog_init(&p);
	RN_GOTO(out, rn_calloc(n->nin, sizeof *lin, "inputs", &lin, e));
	for (uint32_t i = 0; i < n->nin; i++)
		RN_GOTO(out, rn_lrel_from_rel(&p, in[i], &lin[i], e));
	RN_GOTO(out, n->op->lower(&lw, n, state, lin, &out, e));
	RN_GOTO(out, rn_prog_check_mem(c, &p, e));
	rc = rn_lrel_to_rel(&p, b, NULL, &out, r, e);
out:
	for (uint32_t i = 0; lin && i < n->nin; i++)
		rn_lrel_fini(&lin[i]);
	free(lin);
	rn_lrel_fini(&out);
	rn_param_source_fini(&ps);
	rn_prog_fini(&p);
	return rc;
}

int rn_eval_node(const struct rn_ctx *c, struct rn_backend *b, const struct rn_node *n,
		 const struct rn_rel *const *in, struct rn_params *params, struct rn_rel **out,
		 struct rn_err *e)
{
	const struct rn_schema *schemas[RN_MANY];
	struct rn_schema s = { 0 };
	struct rn_rel *r = NULL;
	void *state = NULL;
	int rc;

	if (n->nin > RN_MANY)
		return rn_err_set(e, RN_EUSAGE, "more than %d inputs", RN_MANY);
	for (uint32_t i = 0; i < n->nin; i++)
		schemas[i] = &in[i]->schema;
	RN_TRY(rn_node_infer(n, schemas, &s, e));
	RN_GOTO(out, rn_calloc(1, n->op->state_size, "a stage", &state, e));
	RN_GOTO(prefix, rn_node_bind(c, n, schemas, in, state, &r, e));
	if (s.nparts)
		RN_GOTO(prefix, rn_eval_parts(c, b, n, state, in, params, r, e));
	rc = rn_schema_set_name(&r->schema, n->name, e);
	goto out;
prefix:
	rn_node_error(n, rc, e);
out:
	if (state && n->op->close)
		n->op->close(state);
	free(state);
	rn_schema_fini(&s);
	if (rc)
		rn_rel_unref(r);
	else
		*out = r;
	return rc;
}
