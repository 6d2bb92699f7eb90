/* SPDX-License-Identifier: Apache-2.0 */
#include "op.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool rn_node_flag(const struct rn_node *n, const char *name)
{
	return rn_opt_flag(n->opt, n->op->opts, n->op->nopts, name);
}

int64_t rn_node_int(const struct rn_node *n, const char *name)
{
	return rn_opt_int(n->opt, n->op->opts, n->op->nopts, name);
}

double rn_node_number(const struct rn_node *n, const char *name)
{
	return rn_opt_number(n->opt, n->op->opts, n->op->nopts, name);
}

const char *rn_node_string(const struct rn_node *n, const char *name)
{
	return rn_opt_string(n->opt, n->op->opts, n->op->nopts, name);
}

const json_t *rn_node_json(const struct rn_node *n, const char *name)
{
	return rn_opt_json(n->opt, n->op->opts, n->op->nopts, name);
}

long rn_node_input(const struct rn_node *n, const char *name)
{
	for (uint32_t i = 0; i < n->nin; i++)
		if (n->in[i].opt && !strcmp(n->in[i].opt, name))
			return (long)i;
	return -1;
}

const char *rn_node_label(const struct rn_node *n, char *buf, size_t size)
{
	if (n->name)
		snprintf(buf, size, "%s '%s'", n->op->name, n->name);
	else
		snprintf(buf, size, "%s", n->op->name);
	return buf;
}

int rn_node_error(const struct rn_node *n, int rc, struct rn_err *e)
{
	char label[320];

	if (!n->name)
		return rc;
	return rn_err_prefix(e, rc, "%s%s%s", n->where ? n->where : "", n->where ? ": " : "",
			     rn_node_label(n, label, sizeof label));
}

void rn_lrel_fini(struct rn_lrel *r)
{
	for (size_t i = 0; r->parts && i < r->nparts; i++)
		free(r->parts[i].name);
	free(r->parts);
	*r = (struct rn_lrel){ 0 };
}

const struct rn_op *rn_op_find(const char *name)
{
	for (size_t i = 0; i < rn_op_count; i++)
		if (!strcmp(rn_op_table[i]->name, name))
			return rn_op_table[i];
	return NULL;
}
