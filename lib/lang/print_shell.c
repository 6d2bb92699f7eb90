/* SPDX-License-Identifier: Apache-2.0
 *
 * A plan as a bash script of rn-* programs.  A relation that is used once is piped into
 * its user (or reaches it by process substitution); others, and what the runs read,
 * are files in a temporary folder.  rn-train ends the script; of a plan that only answers
 * queries, an rn-cat for each of them.
 */
#include "lang.h"

#include "../base/json.h"
#include "../base/opt.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CHAIN = 12 }; /* programs in one pipeline */

/* A relation of the spec. */
struct item {
	const char *name;
	const json_t *json;  /* its source or stage */
	const struct rn_op *op;
	bool source;
	unsigned uses, chain; /* chain: programs in the pipeline that ends with it */
	bool file;
};

struct shell {
	size_t n;
	struct item *items;
	const json_t *runs;
	bool query; /* there is no fit */
	struct rn_str *out;
	struct rn_err *e;
};

static struct item *find(const struct shell *s, const char *name)
{
	for (size_t i = 0; name && i < s->n; i++)
		if (!strcmp(s->items[i].name, name))
			return &s->items[i];
	return NULL;
}

static void quote(const char *text, struct rn_str *out)
{
	bool plain = *text;

	for (const char *c = text; *c; c++)
		plain = plain && (isalnum((unsigned char)*c) || strchr("_-./=,:%+@", *c));
	if (plain) {
		rn_str_add(out, text);
		return;
	}
	rn_str_addc(out, '\'');
	for (const char *c = text; *c; c++)
		if (*c == '\'')
			rn_str_add(out, "'\\''");
		else if (c[0] == '$' && c[1] == '$' && c[2] == '{')
			continue; /* a spec's "$${" is "${" */
		else
			rn_str_addc(out, *c);
	rn_str_addc(out, '\'');
}

static void put_file(const struct shell *s, const struct item *it, struct rn_str *out)
{
	rn_str_addf(out, "\"$t/%zu-", (size_t)(it - s->items) + 1);
	for (const char *c = it->name; *c; c++)
		rn_str_addc(out, isalnum((unsigned char)*c) ? *c : '_');
	rn_str_add(out, ".er\"");
}

/* ---- inputs ----------------------------------------------------------------------------------- */

typedef int input_fn(void *arg, const char *as, const struct rn_opt *opt, struct item *in);

/* "A", or {"l": "A", ...} */
static int named_inputs(const struct shell *s, const json_t *in, input_fn *fn, void *arg)
{
	const char *as;
	json_t *v;

	if (json_is_string(in))
		RN_TRY(fn(arg, NULL, NULL, find(s, json_string_value(in))));
	json_object_foreach((json_t *)(uintptr_t)in, as, v)
		RN_TRY(fn(arg, as, NULL, find(s, json_string_value(v))));
	return 0;
}

/* Call fn for each input of a stage: what it is called, and of which option it is. */
static int each_input(const struct shell *s, const struct item *it, input_fn *fn, void *arg)
{
	const json_t *in = it->source ? NULL : json_object_get(it->json, "in");
	json_t *v;
	size_t i;

	RN_TRY(named_inputs(s, in, fn, arg));
	json_array_foreach(in, i, v)
		RN_TRY(named_inputs(s, v, fn, arg));
	for (size_t k = 0; !it->source && k < it->op->nopts; k++)
		if (it->op->opts[k].type == RN_OPT_NODE && (v = json_object_get(it->json, it->op->opts[k].name)))
			RN_TRY(fn(arg, NULL, &it->op->opts[k], find(s, json_string_value(v))));
	return 0;
}

struct counting {
	struct item *of;
	unsigned chain;
};

static int count_input(void *arg, const char *as, const struct rn_opt *opt, struct item *in)
{
	struct counting *c = arg;

	(void)as, (void)opt;
	in->uses++;
	if (in->chain + 1 > c->chain)
		c->chain = in->chain + 1;
	return 0;
}

/* ---- commands --------------------------------------------------------------------------------- */

static int put_command(const struct shell *s, const struct item *it, const char *indent,
		       struct rn_str *out);

/* --option value of normal form, or a leading operand. */
static void put_option(const struct rn_opt *o, const json_t *v, struct rn_str *out)
{
	struct rn_str text = RN_STR_INIT;

	if (o->type == RN_OPT_FLAG) {
		rn_str_addf(out, " --%s%s", json_is_true(v) ? "" : "no-", o->name);
		return;
	}
	rn_opt_print(o, v, &text);
	rn_str_addc(out, ' ');
	if (!(o->flags & RN_OPT_POSITIONAL))
		rn_str_addf(out, "--%s%s", o->name, *text.s == '-' ? "=" : " ");
	quote(text.s, out);
	rn_str_fini(&text);
}

static int put_options(const json_t *from, const struct rn_opt *rows, size_t n, bool operands,
		       const char *skip, struct rn_str *out, struct rn_err *e)
{
	for (size_t i = 0; i < n; i++) {
		const json_t *v = json_object_get(from, rows[i].name);
		json_t *normal;

		if (!v || rows[i].type == RN_OPT_NODE || (skip && !strcmp(skip, rows[i].name)) ||
		    operands != !!(rows[i].flags & RN_OPT_POSITIONAL))
			continue;
		RN_TRY(rn_opt_from_json(&rows[i], v, &normal, e));
		put_option(&rows[i], normal, out);
		json_decref(normal);
	}
	return 0;
}

struct operands {
	const struct shell *s;
	const char *indent;
	struct rn_str *before, *text; /* the pipeline in front; the operands */
	bool piped, only;             /* only: the sole input, which needs no operand */
};

/* NAME= before an input: the command line has words there, a program any name. */
static int put_as(const struct shell *s, const char *as, struct rn_str *out)
{
	bool word = as && !isdigit((unsigned char)*as);

	if (!as)
		return 0;
	for (const char *c = as; *c; c++)
		word = word && (isalnum((unsigned char)*c) || *c == '_');
	if (!word)
		return rn_err_set(s->e, RN_EUSAGE, "a pipeline cannot call an input '%s': write it as a spec or as "
				  "a program", as);
	rn_str_addf(out, "%s=", as);
	return 0;
}

static int put_input(void *arg, const char *as, const struct rn_opt *opt, struct item *in)
{
	struct operands *o = arg;
	char deeper[64];

	rn_str_addc(o->text, ' ');
	if (opt)
		rn_str_addf(o->text, "--%s ", opt->name);
	if (in->file) {
		RN_TRY(put_as(o->s, as, o->text));
		put_file(o->s, in, o->text);
		return 0;
	}
	if (!o->piped && !opt) {
		o->piped = true;
		RN_TRY(put_command(o->s, in, o->indent, o->before));
		rn_str_addf(o->before, " |\n%s", o->indent);
		RN_TRY(put_as(o->s, as, o->text));
		if (as || !o->only)
			rn_str_addc(o->text, '-');
		else if (o->text->len) /* the blank; there is none where memory ran out */
			o->text->s[--o->text->len] = '\0';
		return 0;
	}
	snprintf(deeper, sizeof deeper, "%s  ", o->indent);
	RN_TRY(put_as(o->s, as, o->text));
	rn_str_add(o->text, "<(");
	RN_TRY(put_command(o->s, in, deeper, o->text));
	rn_str_addc(o->text, ')');
	return 0;
}

static int put_command(const struct shell *s, const struct item *it, const char *indent,
		       struct rn_str *out)
{
	struct rn_str before = RN_STR_INIT, text = RN_STR_INIT;
	struct operands o = { .s = s, .indent = indent, .before = &before, .text = &text };
	int rc;

	o.only = !it->source && it->op->max_in == 1;
	rc = each_input(s, it, put_input, &o);
	rn_str_addn(out, before.s, before.len);
	rn_str_addf(out, "rn-%s", it->op->name);
	if (!rc)
		rc = put_options(it->json, it->op->opts, it->op->nopts, true, NULL, out, s->e);
	rn_str_addn(out, text.s, text.len);
	if (!rc)
		rc = put_options(it->json, it->op->opts, it->op->nopts, false, NULL, out, s->e);
	rn_str_add(out, " --name ");
	quote(it->name, out);
	rn_str_fini(&before);
	rn_str_fini(&text);
	return rc;
}

/* ---- runs ------------------------------------------------------------------------------------- */

static const json_t *run_of(const json_t *run, const char **kind)
{
	void *it = json_object_iter((json_t *)(uintptr_t)run);

	*kind = json_object_iter_key(it);
	return json_object_iter_value(it);
}

static const char *run_node(const char *kind, const json_t *opt)
{
	return json_string_value(json_object_get(opt, strcmp(kind, "fit") ? "in" : "loss"));
}

/* What rn-train says once for all runs of a kind. */
static const char *const once[] = { "metric", "target", "group", "decode", "as", "embedding" };
enum { NONCE = sizeof once / sizeof *once, SCORE_ONCE = 3 }; /* the first ones are of metrics */

/* A run that does not say a prediction's column has the usual one. */
static bool same_setting(const json_t *a, const json_t *b)
{
	return (!a && !b) || (a && b && rn_json_equal(a, b));
}

/* A plan without a fit: relations that learn nothing, as they are. */
static int check_query(const struct shell *s, const struct rn_plan *p)
{
	bool *waits, deferred = false, decoded = false, other = false;

	RN_TRY(rn_calloc(p->nnodes, sizeof *waits, "a plan", &waits, s->e));
	rn_plan_deferred(p, waits);
	for (uint32_t i = 0; i < p->nruns; i++) {
		const struct rn_run *r = &p->runs[i];
		const char *how = r->kind == RN_RUN_PRED ? rn_run_string(r, "decode") : "auto";

		other = other || r->kind != RN_RUN_PRED;
		deferred = deferred || waits[r->node];
		decoded = decoded || (strcmp(how, "auto") && strcmp(how, "none") && strcmp(how, "label"));
	}
	free(waits);
	if (!other && !deferred && !decoded && p->nruns)
		return 0;
	return rn_err_set(s->e, RN_EUSAGE, "a pipeline without a fit writes relations as they are, and this plan "
			  "has %s: write it as a spec or as a program",
			  !p->nruns ? "no run" : other ? "metrics" : deferred ? "parameters" : "decoded columns");
}

/* rn-train has one loss, one metric and one target. */
static int check_runs(const struct shell *s)
{
	const json_t *seen[NONCE] = { 0 }, *opt;
	unsigned fits = 0, vals = 0, preds = 0;
	const char *kind, *early = NULL;
	json_t *r;
	size_t i;

	json_array_foreach(s->runs, i, r) {
		opt = run_of(r, &kind);
		if (!fits && (!strcmp(kind, "eval") || !strcmp(kind, "pred")))
			early = kind;
		fits += !strcmp(kind, "fit");
		vals += !strcmp(kind, "val");
		for (int k = 0; k < NONCE; k++) {
			const json_t *v = json_object_get(opt, once[k]);
			bool pred = k >= SCORE_ONCE && !strcmp(kind, "pred");

			if ((v && seen[k] && !rn_json_equal(seen[k], v)) ||
			    (pred && preds && !same_setting(seen[k], v)))
				return rn_err_set(s->e, RN_EUSAGE, "a pipeline has one %s, and this plan several: "
						  "write it as a spec or as a program", once[k]);
			seen[k] = v ? v : seen[k];
		}
		preds += !strcmp(kind, "pred");
	}
	if (early && fits)
		return rn_err_set(s->e, RN_EUSAGE, "in a pipeline all evals and predictions come after the fit, and "
				  "this plan has one before it (%s): write it as a spec or as a program", early);
	if (fits != 1 || vals > 1)
		return rn_err_set(s->e, RN_EUSAGE, "a pipeline ends in one fit with at most one validation, and this "
				  "plan has %u and %u: write it as a spec or as a program", fits, vals);
	return 0;
}

static bool ends_in(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && !strcmp(s + n - m, end);
}

/* The relation of each pred run into its file. */
static int put_queries(const struct shell *s)
{
	struct rn_str to = RN_STR_INIT;
	json_t *r;
	size_t i;

	json_array_foreach(s->runs, i, r) {
		const char *kind, *file;
		const json_t *opt = run_of(r, &kind);
		bool stream;

		file = json_string_value(json_object_get(opt, "to"));
		rn_str_clear(&to);
		if (file)
			rn_str_add(&to, file);
		else
			rn_str_addf(&to, "%s.csv", json_string_value(json_object_get(opt, "name")));
		stream = ends_in(to.s, ".er");
		rn_str_add(s->out, stream ? "cp " : "rn-cat ");
		put_file(s, find(s, run_node(kind, opt)), s->out);
		if (!stream && json_is_false(json_object_get(opt, "embedding")))
			rn_str_add(s->out, " --no-embedding");
		if (!stream && !ends_in(to.s, ".tsv") && !ends_in(to.s, ".jsonl"))
			rn_str_add(s->out, " --format csv");
		rn_str_add(s->out, stream ? " " : " -o ");
		quote(to.s, s->out);
		rn_str_addc(s->out, '\n');
	}
	rn_str_fini(&to);
	return 0;
}

static int put_train(const struct shell *s)
{
	const json_t *opt, *said[NONCE] = { 0 }, *patience = NULL, *every = NULL;
	struct rn_str *out = s->out, fit = RN_STR_INIT;
	const char *kind;
	json_t *r;
	size_t i;
	int rc = 0;

	rn_str_add(out, "rn-train");
	json_array_foreach(s->runs, i, r) {
		opt = run_of(r, &kind);
		rn_str_add(out, " ");
		if (!strcmp(kind, "fit")) {
			const struct rn_run_type *t = &rn_run_types[RN_RUN_FIT];

			if (!rc)
				rc = put_options(opt, t->opts, t->nopts, false, NULL, &fit, s->e);
		} else {
			rn_str_addf(out, "\\\n  --%s ", kind);
			if (strcmp(kind, "val")) {
				quote(json_string_value(json_object_get(opt, "name")), out);
				rn_str_addc(out, '=');
			}
		}
		put_file(s, find(s, run_node(kind, opt)), out);
		for (int k = 0; k < NONCE; k++)
			said[k] = json_object_get(opt, once[k]) ? json_object_get(opt, once[k]) : said[k];
		patience = json_object_get(opt, "patience") ? json_object_get(opt, "patience") : patience;
		every = json_object_get(opt, "every") ? json_object_get(opt, "every") : every;
	}
	rn_str_add(out, " \\\n ");
	for (int k = 0; k < NONCE; k++)
		if (json_is_string(said[k])) {
			rn_str_addf(out, " --%s ", once[k]);
			quote(json_string_value(said[k]), out);
		} else if (said[k]) {
			rn_str_addf(out, json_is_true(said[k]) ? " --%s" : " --no-%s", once[k]);
		}
	if (patience)
		rn_str_addf(out, " --patience %lld", (long long)json_integer_value(patience));
	if (every)
		rn_str_addf(out, " --val-every %lld", (long long)json_integer_value(every));
	rn_str_addf(out, "%s \"$@\"\n", fit.s);
	rn_str_fini(&fit);
	return rc;
}

/* ---- the script ------------------------------------------------------------------------------- */

static int collect(struct shell *s, const json_t *spec)
{
	const json_t *sources = json_object_get(spec, "sources"), *stages = json_object_get(spec, "stages");
	const char *name;
	json_t *v;
	size_t i;

	RN_TRY(rn_calloc(json_object_size(sources) + json_array_size(stages), sizeof *s->items, "stages",
			 &s->items, s->e));
	json_object_foreach((json_t *)(uintptr_t)sources, name, v)
		s->items[s->n++] = (struct item){ name, v, rn_op_find("scan"), true, 0, 1, false };
	json_array_foreach(stages, i, v)
		s->items[s->n++] = (struct item){ .name = json_string_value(json_object_get(v, "name")), .json = v,
						  .op = rn_op_find(json_string_value(json_object_get(v, "op"))) };
	return 0;
}

/* What becomes a file: used several times or by a run, or at the end of a long pipeline. */
static int choose_files(struct shell *s)
{
	const char *kind;
	json_t *r;
	size_t i;

	for (size_t k = 0; k < s->n; k++) {
		struct counting c = { &s->items[k], 1 };

		RN_TRY(each_input(s, &s->items[k], count_input, &c));
		s->items[k].chain = c.chain;
		if (c.chain >= MAX_CHAIN) {
			s->items[k].file = true;
			s->items[k].chain = 0;
		}
	}
	json_array_foreach(s->runs, i, r) {
		const json_t *opt = run_of(r, &kind);

		find(s, run_node(kind, opt))->file = true;
	}
	for (size_t k = 0; k < s->n; k++)
		s->items[k].file = s->items[k].file || s->items[k].uses > 1;
	return 0;
}

static int put_script(struct shell *s)
{
	struct rn_str *out = s->out;

	rn_str_add(out, "#!/bin/bash\n");
	if (!s->query)
		rn_str_add(out, "# Options of rn-train may follow: --seed 2 -o model.rnm\n");
	rn_str_add(out, "set -euo pipefail\n"
			"t=$(mktemp -d); trap 'rm -rf \"$t\"' EXIT\n\n");
	for (size_t i = 0; i < s->n; i++) {
		if (!s->items[i].file)
			continue;
		RN_TRY(put_command(s, &s->items[i], "  ", out));
		rn_str_add(out, " -o ");
		put_file(s, &s->items[i], out);
		rn_str_addc(out, '\n');
	}
	rn_str_addc(out, '\n');
	return s->query ? put_queries(s) : put_train(s);
}

int rn_lang_print_shell(const struct rn_plan *p, struct rn_str *out, struct rn_err *e)
{
	struct shell s = { .out = out, .e = e };
	json_t *spec;
	int rc;

	RN_TRY(rn_plan_to_spec(p, &spec, e));
	s.runs = json_object_get(spec, "run");
	s.query = true;
	for (uint32_t i = 0; i < p->nruns; i++)
		s.query = s.query && p->runs[i].kind != RN_RUN_FIT;
	rc = s.query ? check_query(&s, p) : check_runs(&s);
	if (!rc)
		rc = collect(&s, spec);
	if (!rc)
		rc = choose_files(&s);
	if (!rc)
		rc = put_script(&s);
	free(s.items);
	json_decref(spec);
	return rc ? rc : rn_str_check(out, e);
}
