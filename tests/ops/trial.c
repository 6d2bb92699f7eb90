/* SPDX-License-Identifier: Apache-2.0
 *
 * A case on random inputs: node, relations, parameters, and what the node makes
 * of them.
 */
#include "ops.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char why[1000];

bool fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	return false;
}

void must(int rc, const struct rn_err *e, const char *what)
{
	if (!rc)
		return;
	printf("Bail out! %s: %d: %s\n", what, rc, e->msg);
	exit(1);
}

/* ---- the node ---------------------------------------------------------------------------- */

json_t *case_options(const struct rn_op *op, const char *text)
{
	json_t *given = json_loads(text ? text : "{}", 0, NULL), *set = json_object(), *v;
	const char *key;
	struct rn_err e;

	if (!given) {
		printf("Bail out! options of a case are no JSON: %s\n", text);
		exit(1);
	}
	json_object_foreach(given, key, v)
	{
		const struct rn_opt *o = rn_opt_find(op->opts, op->nopts, key);
		json_t *normal;

		if (!o) {
			printf("Bail out! %s has no option '%s'\n", op->name, key);
			exit(1);
		}
		must(rn_opt_from_json(o, v, &normal, &e), &e, key);
		must(rn_opt_put(set, o, normal, &e), &e, key);
	}
	must(rn_opt_finish(set, op->opts, op->nopts, &e), &e, text);
	json_decref(given);
	return set;
}

static void open_node(struct trial *t)
{
	struct rn_node *n = &t->node;
	struct rn_err e;

	n->op = rn_op_find(t->c->op);
	if (!n->op) {
		printf("Bail out! a case is of an operator '%s' that there is not\n", t->c->op);
		exit(1);
	}
	n->name = strdup("n");
	n->opt = case_options(n->op, t->c->opt);
	n->nin = t->nin;
	n->in = calloc(t->nin + 1, sizeof *n->in);
	for (uint32_t i = 0; i < t->nin; i++)
		if (!strncmp(t->c->in[i], "--", 2)) {
			char name[32];

			snprintf(name, sizeof name, "%.*s", (int)strcspn(t->c->in[i] + 2, " "),
				 t->c->in[i] + 2);
			n->in[i].opt = rn_opt_find(n->op->opts, n->op->nopts, name)->name;
		}
	if (n->op->check)
		must(n->op->check(n, &n->learns, &e), &e, t->c->name);
}

/* ---- the trial --------------------------------------------------------------------------- */

void trial_open(struct trial *t, const struct op_case *c, uint64_t seed, uint64_t max_rows)
{
	struct rnd r = { seed };

	*t = (struct trial){ .c = c, .seed = seed };
	while (t->nin < MAX_INPUTS && c->in[t->nin])
		t->nin++;
	open_node(t);
	for (uint32_t i = 0; i < t->nin; i++) {
		const char *spec = c->in[i];
		/* The first input has all rows; the others often fewer. */
		uint64_t rows = i && max_rows ? rnd_below(&r, (uint32_t)max_rows + 1) : max_rows;

		if (!strncmp(spec, "--", 2))
			spec = strchr(spec, ' ') + 1;
		t->in[i] = gen_rel(spec, rows, &r);
		for (size_t k = 0; k < t->in[i]->schema.nparts; k++)
			t->flat[i][k] = flat_part(t->in[i], k);
	}
	if (t->node.learns && t->node.op->fit) {
		struct rn_err e;

		must(trial_fit(t, &e), &e, "fitting");
	}
	/* The first evaluation asks for the parameters. */
	rn_rel_unref(trial_eval(t, backends[0], t->in));
	for (uint32_t i = 0; i < t->params.n; i++)
		for (size_t k = 0; k < t->params.items[i].count; k++)
			t->params.items[i].value[k] = (float)rnd_real(&r);
	t->out = trial_eval(t, backends[0], t->in);
}

void trial_close(struct trial *t)
{
	rn_rel_unref(t->out);
	rn_params_fini(&t->params);
	for (uint32_t i = 0; i < t->nin; i++) {
		for (size_t k = 0; k < t->in[i]->schema.nparts; k++)
			free(t->flat[i][k]);
		rn_rel_unref(t->in[i]);
	}
	free(t->node.name);
	json_decref(t->node.opt);
	rn_fitted_unref(t->node.fitted);
	free(t->node.in);
}

const float *trial_param(const struct trial *t, const char *name)
{
	char full[64];
	long at;

	snprintf(full, sizeof full, "n.%s", name);
	at = rn_params_find(&t->params, full);
	if (at < 0) {
		printf("Bail out! %s '%s' has no parameter '%s'\n", t->c->op, t->c->name, full);
		exit(1);
	}
	return t->params.items[at].value;
}

struct rn_rel *trial_eval(struct trial *t, struct rn_backend *b, struct rn_rel *const *in)
{
	const struct rn_rel *rels[MAX_INPUTS];
	struct rn_rel *out;
	struct rn_err e;

	memcpy(rels, in, t->nin * sizeof *rels);
	must(rn_eval_node(&quiet, b, &t->node, rels, &t->params, &out, &e), &e, t->c->name);
	return out;
}
