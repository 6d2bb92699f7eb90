/* SPDX-License-Identifier: Apache-2.0
 *
 * The plan as text, a line per node and run:
 *
 *   h1    = linear(drop0) 16 --no-bias --init glorot  -> (paper_id int64; z [16])  2708 rows
 *   fit(loss) --epochs 200 --lr 0.01
 */
#include "plan_impl.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* As a shell would want it: plain, or in quotes. */
static void print_word(const char *s, struct rn_str *out)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_@%+=:,./-";

	if (*s && !s[strspn(s, plain)]) {
		rn_str_add(out, s);
		return;
	}
	if (strchr(s, '\'') && !strpbrk(s, "\"$`\\!")) {
		rn_str_addf(out, "\"%s\"", s);
		return;
	}
	rn_str_addc(out, '\'');
	for (; *s; s++)
		rn_str_addn(out, *s == '\'' ? "'\\''" : s, *s == '\'' ? 4 : 1);
	rn_str_addc(out, '\'');
}

static int print_option(const struct rn_opt *o, const json_t *v, struct rn_str *out,
			struct rn_err *e)
{
	struct rn_str text = RN_STR_INIT;
	int rc = 0;

	if (o->type == RN_OPT_FLAG) {
		rn_str_addf(out, " --%s%s", json_is_true(v) ? "" : "no-", o->name);
		return 0;
	}
	rn_opt_print(o, v, &text);
	rc = rn_str_check(&text, e);
	if (!rc && (o->flags & RN_OPT_POSITIONAL))
		rn_str_addc(out, ' ');
	else if (!rc)
		rn_str_addf(out, " --%s ", o->name);
	if (!rc)
		print_word(text.s, out);
	rn_str_fini(&text);
	return rc;
}

static int print_options(const json_t *set, const struct rn_opt *opts, size_t n, struct rn_str *out,
			 struct rn_err *e)
{
	for (size_t i = 0; i < n; i++) {
		const json_t *v = json_object_get(set, opts[i].name);

		if (v)
			RN_TRY(print_option(&opts[i], v, out, e));
	}
	return 0;
}

/* A node before names are given is called by its number. */
static void print_name(const struct rn_plan *p, uint32_t i, struct rn_str *out)
{
	if (p->nodes[i].name)
		rn_str_add(out, p->nodes[i].name);
	else
		rn_str_addf(out, "#%u", i);
}

/* "join(h=h1, a=adj)", "agg(word, keys: paper)", "scan" */
static void print_call(const struct rn_plan *p, const struct rn_node *n, struct rn_str *out)
{
	rn_str_add(out, n->op->name);
	for (uint32_t i = 0; i < n->nin; i++) {
		rn_str_add(out, i ? ", " : "(");
		if (n->in[i].opt)
			rn_str_addf(out, "%s: ", n->in[i].opt);
		if (n->in[i].as)
			rn_str_addf(out, "%s=", n->in[i].as);
		print_name(p, n->in[i].node, out);
	}
	rn_str_add(out, n->nin ? ")" : "");
}

/* "(id int64; z [16])": the schema without its name, which stands at the left. */
static int print_schema(const struct rn_schema *s, struct rn_str *out, struct rn_err *e)
{
	struct rn_str text = RN_STR_INIT;
	const char *from;
	int rc;

	rn_schema_print(s, &text);
	rc = rn_str_check(&text, e);
	if (!rc) {
		size_t n = s->name ? strlen(s->name) : 0;

		from = n && !strncmp(text.s, s->name, n) ? text.s + n : text.s;
		rn_str_addf(out, "  -> %s", from);
	}
	rn_str_fini(&text);
	return rc;
}

static int print_node(const struct rn_plan *p, uint32_t i, size_t width,
		      const struct rn_schema *schema, uint64_t rows, struct rn_str *out,
		      struct rn_err *e)
{
	const struct rn_node *n = &p->nodes[i];
	size_t from = out->len;
	json_t *opt;
	int rc;

	print_name(p, i, out);
	do
		rn_str_addc(out, ' ');
	while (!out->failed && out->len - from <= width);
	rn_str_add(out, "= ");
	print_call(p, n, out);
	RN_TRY(rn_plan_options(p, n, &opt, e));
	rc = print_options(opt, n->op->opts, n->op->nopts, out, e);
	json_decref(opt);
	if (!rc && schema && (schema->ncols || schema->nparts))
		rc = print_schema(schema, out, e);
	if (rows != UINT64_MAX)
		rn_str_addf(out, "  %" PRIu64 " row%s", rows, rows == 1 ? "" : "s");
	rn_str_addc(out, '\n');
	return rc;
}

int rn_plan_explain(const struct rn_plan *p, const struct rn_schema *schemas, const uint64_t *rows,
		    struct rn_str *out, struct rn_err *e)
{
	size_t width = 0;

	for (uint32_t i = 0; i < p->nnodes; i++) {
		size_t n = p->nodes[i].name ? strlen(p->nodes[i].name) : 0;

		if (n > width && n <= 24)
			width = n;
	}
	for (uint32_t i = 0; i < p->nnodes; i++)
		RN_TRY(print_node(p, i, width, schemas ? &schemas[i] : NULL,
				  rows ? rows[i] : UINT64_MAX, out, e));
	for (uint32_t i = 0; i < p->nruns; i++) {
		const struct rn_run_type *t = &rn_run_types[p->runs[i].kind];

		rn_str_addf(out, "%s(", t->name);
		print_name(p, p->runs[i].node, out);
		rn_str_addc(out, ')');
		RN_TRY(print_options(p->runs[i].opt, t->opts, t->nopts, out, e));
		rn_str_addc(out, '\n');
	}
	return rn_str_check(out, e);
}
