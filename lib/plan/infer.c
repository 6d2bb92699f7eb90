/* SPDX-License-Identifier: Apache-2.0
 *
 * Schemas of all nodes, before a row is read.
 */
#include "plan_impl.h"

#include <stdlib.h>

/* A relation is called as its node is; what an operator copied from its input is not
 * its name. */
static int set_name(struct rn_schema *s, const char *name, struct rn_err *e)
{
	if (name)
		return rn_schema_set_name(s, name, e);
	free(s->name);
	s->name = NULL;
	return 0;
}

int rn_plan_infer(const struct rn_plan *p, struct rn_schema *schemas, const bool *known,
		  struct rn_err *e)
{
	const struct rn_schema *in[RN_MANY * 2];
	char label[RN_PLAN_MAX_NAME + 64];

	for (uint32_t i = 0; i < p->nnodes; i++) {
		const struct rn_node *n = &p->nodes[i];
		int rc;

		if (known && known[i])
			continue;
		if (n->nin > sizeof in / sizeof *in)
			return rn_err_set(e, RN_EUSAGE, "%s has %u inputs, more than %zu",
					  rn_node_label(n, label, sizeof label), n->nin,
					  sizeof in / sizeof *in);
		for (uint32_t k = 0; k < n->nin; k++)
			in[k] = &schemas[n->in[k].node];
		rc = rn_plan_check_inputs(n, e);
		if (!rc)
			rc = n->op->infer(n, in, &schemas[i], e);
		if (!rc)
			rc = set_name(&schemas[i], n->name, e);
		if (rc)
			return rn_node_error(n, rc, e);
	}
	return 0;
}
