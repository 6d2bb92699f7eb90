/* SPDX-License-Identifier: Apache-2.0
 *
 * The plan as text, a line per node and run:
 *
 *   h1    = linear(drop0) 16 --no-bias --init glorot  -> (paper_id int64; z [16])  2708 rows
 *   fit(loss) --epochs 200 --lr 0.01
 *
 * and as a graph in the language of Graphviz: a box for each node, under its sources.
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
		      const struct rn_schema *schema, uint64_t rows, bool late, struct rn_str *out,
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
	rn_str_add(out, late ? "  late\n" : "\n");
	return rc;
}

/* Which stages are bound when predictions are written?  *out owned. */
static int find_late(const struct rn_plan *p, bool **out, struct rn_err *e)
{
	RN_TRY(rn_calloc(p->nnodes, sizeof **out, "a plan", out, e));
	rn_plan_late(p, NULL, *out);
	return 0;
}

int rn_plan_explain(const struct rn_plan *p, const struct rn_schema *schemas, const uint64_t *rows,
		    struct rn_str *out, struct rn_err *e)
{
	size_t width = 0;
	bool *late;
	int rc = 0;

	RN_TRY(find_late(p, &late, e));
	for (uint32_t i = 0; i < p->nnodes; i++) {
		size_t n = p->nodes[i].name ? strlen(p->nodes[i].name) : 0;

		if (n > width && n <= 24)
			width = n;
	}
	for (uint32_t i = 0; i < p->nnodes && !rc; i++)
		rc = print_node(p, i, width, schemas ? &schemas[i] : NULL,
				rows ? rows[i] : UINT64_MAX, late[i], out, e);
	free(late);
	RN_TRY(rc);
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

/* ---- as a graph ------------------------------------------------------------------------------ */

enum { DOT_LINE = 44, DOT_TEXT = 4 * DOT_LINE };

/* Inside quotes, in lines that break at blanks; what is too long ends in dots. */
static void print_quoted(const char *s, struct rn_str *out)
{
	size_t line = 0, n = 0;

	for (; *s && (n < DOT_TEXT || (*s & 0xC0) == 0x80); s++, n++) {
		if (*s == '\n' || (*s == ' ' && line > DOT_LINE)) {
			rn_str_add(out, "\\n");
			line = 0;
			continue;
		}
		if (*s == '"' || *s == '\\')
			rn_str_addc(out, '\\');
		rn_str_addc(out, (unsigned char)*s < ' ' || *s == 127 ? ' ' : *s);
		line++;
	}
	rn_str_add(out, *s ? "…" : "");
}

/* With the names that inputs were given; those that the language made up begin with _. */
static void dot_edges(const struct rn_node *n, const struct rn_plan_dot *d, uint32_t i,
		      struct rn_str *out)
{
	for (uint32_t k = 0; k < n->nin; k++) {
		const char *name = n->in[k].as && *n->in[k].as != '_' ? n->in[k].as : n->in[k].opt;

		rn_str_addf(out, "\t\t\"%s%u\" -> \"%s%u\"", d->id, n->in[k].node, d->id, i);
		if (name) {
			rn_str_add(out, " [label=\"");
			print_quoted(name, out);
			rn_str_add(out, "\"]");
		}
		rn_str_add(out, ";\n");
	}
}

/* name, operator with its options, rows and widths, note */
static int dot_node(const struct rn_plan *p, const struct rn_plan_dot *d, uint32_t i, bool late,
		    struct rn_str *out, struct rn_err *e)
{
	const struct rn_node *n = &p->nodes[i];
	bool counted = d->rows && d->rows[i] != UINT64_MAX;
	struct rn_str text = RN_STR_INIT;
	json_t *opt;
	int rc;

	rn_str_addf(out, "\t\t\"%s%u\" [label=\"", d->id, i);
	print_name(p, i, &text);
	rn_str_addf(&text, "\n%s", n->op->name);
	RN_GOTO(done, rn_plan_options(p, n, &opt, e));
	rc = print_options(opt, n->op->opts, n->op->nopts, &text, e);
	json_decref(opt);
	rc = rc ? rc : rn_str_check(&text, e);
	if (rc)
		goto done;
	print_quoted(text.s, out);
	if (counted)
		rn_str_addf(out, "\\n%" PRIu64 " row%s", d->rows[i], d->rows[i] == 1 ? "" : "s");
	for (size_t k = 0; d->schemas && k < d->schemas[i].nparts; k++)
		rn_str_addf(out, "%s%u", k ? ", " : counted ? " of width " : "\\nwidth ",
			    rn_shape_width(&d->schemas[i].parts[k].shape));
	if (d->notes && d->notes[i])
		rn_str_addf(out, "\\n%s", d->notes[i]);
	rn_str_addf(out, "\"%s];\n",
		    n->learns ? ", style=filled, fillcolor=\"#e8eef8\"" : late ? ", style=dashed" : "");
	dot_edges(n, d, i, out);
done:
	rn_str_fini(&text);
	return rc;
}

static int dot_run(const struct rn_plan *p, const struct rn_plan_dot *d, uint32_t i,
		   struct rn_str *out, struct rn_err *e)
{
	const struct rn_run_type *t = &rn_run_types[p->runs[i].kind];
	struct rn_str text = RN_STR_INIT;
	int rc;

	rn_str_add(&text, t->name);
	rc = print_options(p->runs[i].opt, t->opts, t->nopts, &text, e);
	rc = rc ? rc : rn_str_check(&text, e);
	if (!rc) {
		rn_str_addf(out, "\t\t\"%srun%u\" [shape=oval, label=\"", d->id, i);
		print_quoted(text.s, out);
		rn_str_addf(out, "\"];\n\t\t\"%s%u\" -> \"%srun%u\";\n", d->id, p->runs[i].node, d->id,
			    i);
	}
	rn_str_fini(&text);
	return rc;
}

int rn_plan_dot(const struct rn_plan *p, const struct rn_plan_dot *d, struct rn_str *out,
		struct rn_err *e)
{
	bool *late;
	int rc = 0;

	rn_str_addf(out, "\tsubgraph \"cluster_%s\" {\n", d->id);
	if (d->label) {
		rn_str_add(out, "\t\tlabel=\"");
		print_quoted(d->label, out);
		rn_str_add(out, "\";\n");
	} else {
		rn_str_add(out, "\t\tperipheries=0;\n");
	}
	RN_TRY(find_late(p, &late, e));
	for (uint32_t i = 0; i < p->nnodes && !rc; i++)
		rc = dot_node(p, d, i, late[i], out, e);
	free(late);
	RN_TRY(rc);
	for (uint32_t i = 0; i < p->nruns; i++)
		RN_TRY(dot_run(p, d, i, out, e));
	rn_str_add(out, "\t}\n");
	return rn_str_check(out, e);
}
