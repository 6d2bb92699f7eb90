/* SPDX-License-Identifier: Apache-2.0
 *
 * A plan as a bash script of rn-* programs.  A relation that is used once is piped into
 * its user (or reaches it by process substitution); others, and what the runs read,
 * are files in a temporary folder.  rn-train ends the script; of a plan that only answers
 * queries over what is there, an rn-cat for each of them.
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
	bool fit;
	bool query; /* there is none, and relations are written as they are */
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

/* What rn-train is told of runs of some kinds: of all at once, or of each by its name. */
static const struct setting {
	const char *name;
	bool pred; /* of predictions; else of metrics */
} settings[] = { { "metric", false }, { "target", false }, { "group", false }, { "decode", true },
		 { "format", true }, { "as", true },      { "embedding", true } };
enum { NSETTINGS = sizeof settings / sizeof *settings };

static bool has_setting(const struct setting *t, const char *kind)
{
	return t->pred ? !strcmp(kind, "pred") : !strcmp(kind, "val") || !strcmp(kind, "eval");
}

/* Are all runs predictions, of relations that hold no parameters and become no column? */
static int is_query(const struct rn_plan *p, bool *out, struct rn_err *e)
{
	bool *waits;

	*out = true;
	RN_TRY(rn_calloc(p->nnodes, sizeof *waits, "a plan", &waits, e));
	rn_plan_deferred(p, waits);
	for (uint32_t i = 0; i < p->nruns; i++) {
		const struct rn_run *r = &p->runs[i];
		const char *how = r->kind == RN_RUN_PRED ? rn_run_string(r, "decode") : "";

		*out = *out && r->kind == RN_RUN_PRED && !waits[r->node] &&
		       (!strcmp(how, "auto") || !strcmp(how, "none") || !strcmp(how, "label"));
	}
	free(waits);
	return 0;
}

static const char advice[] = "write it as a spec ('--to json') or as a program ('--to relnn')";

/* A stage that needs what a fit learned and is needed by other stages has no program. */
static int check_late(const struct rn_plan *p, struct rn_err *e)
{
	for (uint32_t i = 0; i < p->nnodes; i++)
		if (p->nodes[i].op->flags & RN_OP_LATE)
			return rn_err_set(e, RN_EUSAGE, "a pipeline decodes predictions at its end, and this plan "
					  "has decoded columns before it ('%s'): %s", p->nodes[i].name, advice);
	for (uint32_t i = 0; i < p->nruns; i++)
		if (p->runs[i].kind == RN_RUN_PRED && json_object_get(p->runs[i].opt, "first"))
			return rn_err_set(e, RN_EUSAGE, "a pipeline decodes the embedding that it writes, and '%s' "
					  "another one: %s", rn_run_string(&p->runs[i], "name"), advice);
	return 0;
}

/* The name of a run stands before a '='. */
static int check_name(const json_t *opt, struct rn_err *e)
{
	const char *name = json_string_value(json_object_get(opt, "name"));

	if (!name || (*name && !strpbrk(name, "=/")))
		return 0;
	return rn_err_set(e, RN_EUSAGE, "a pipeline cannot call a run '%s': give it another name", name);
}

/* One fit, and after it what it has learned is tried: that is what an rn-train does. */
static int check_runs(const struct shell *s)
{
	unsigned fits = 0, vals = 0;
	const char *kind, *early = NULL;
	const json_t *opt;
	json_t *r;
	size_t i;

	json_array_foreach(s->runs, i, r) {
		opt = run_of(r, &kind);
		RN_TRY(check_name(opt, s->e));
		if (!fits && (!strcmp(kind, "eval") || !strcmp(kind, "pred")))
			early = kind;
		fits += !strcmp(kind, "fit");
		vals += !strcmp(kind, "val");
	}
	if (!i)
		return rn_err_set(s->e, RN_EUSAGE, "a pipeline ends in a run, and this plan has none: add a ?pred");
	if (!fits && vals)
		return rn_err_set(s->e, RN_EUSAGE, "a pipeline has a validation behind a fit, and this plan has no fit");
	if (early && fits)
		return rn_err_set(s->e, RN_EUSAGE, "in a pipeline all evals and predictions come after the fit, and "
				  "this plan has one before it (%s): %s", early, advice);
	if (fits > 1 || vals > 1)
		return rn_err_set(s->e, RN_EUSAGE, "a pipeline ends in one fit with at most one validation, and this "
				  "plan has %u and %u: %s", fits, vals, advice);
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
		const char *kind, *file, *format;
		const json_t *opt = run_of(r, &kind);
		bool stream, there;

		file = json_string_value(json_object_get(opt, "to"));
		rn_str_clear(&to);
		if (file)
			rn_str_add(&to, file);
		else
			rn_str_addf(&to, "%s.csv", json_string_value(json_object_get(opt, "name")));
		format = rn_format_of(file, json_string_value(json_object_get(opt, "format")));
		stream = !strcmp(format, "er");
		there = stream && !strcmp(to.s, "-");
		rn_str_add(s->out, there ? "cat " : stream ? "cp " : "rn-cat ");
		put_file(s, find(s, run_node(kind, opt)), s->out);
		if (!stream && json_is_false(json_object_get(opt, "embedding")))
			rn_str_add(s->out, " --no-embedding");
		if (!stream && !(ends_in(to.s, format) && to.len > strlen(format) && strcmp(format, "csv")))
			rn_str_addf(s->out, " --format %s", format);
		rn_str_add(s->out, there ? "" : stream ? " " : " -o ");
		if (!there)
			quote(to.s, s->out);
		rn_str_addc(s->out, '\n');
	}
	rn_str_fini(&to);
	return 0;
}

/* " --metric mae" */
static void put_setting(const char *name, const char *of, const json_t *v, struct rn_str *out)
{
	struct rn_str text = RN_STR_INIT;

	if (!json_is_string(v)) {
		rn_str_addf(&text, json_is_true(v) ? "--%s" : "--no-%s", name);
		rn_str_addf(&text, of ? "=%s" : "", of);
	} else {
		rn_str_addf(out, " --%s", name);
		rn_str_addf(&text, of ? "%s=" : "", of);
		rn_str_add(&text, json_string_value(v));
	}
	rn_str_addc(out, ' ');
	quote(text.s, out);
	out->failed |= text.failed;
	rn_str_fini(&text);
}

static unsigned count_saying(const struct shell *s, const struct setting *t, const json_t *what)
{
	const char *kind;
	unsigned n = 0;
	json_t *r;
	size_t i;

	json_array_foreach(s->runs, i, r) {
		const json_t *v = json_object_get(run_of(r, &kind), t->name);

		n += has_setting(t, kind) && v && rn_json_equal(v, what);
	}
	return n;
}

/* What most runs say; NULL: one that may say it says nothing, so each is told by its name. */
static const json_t *said_by_most(const struct shell *s, const struct setting *t)
{
	const json_t *most = NULL;
	const char *kind;
	unsigned n = 0;
	json_t *r;
	size_t i;

	json_array_foreach(s->runs, i, r) {
		const json_t *v = json_object_get(run_of(r, &kind), t->name);
		unsigned mine;

		if (!has_setting(t, kind))
			continue;
		if (!v)
			return NULL;
		mine = count_saying(s, t, v);
		/* What stands before a '=' is a run's name. */
		if (mine > n && !(json_is_string(v) && strchr(json_string_value(v), '='))) {
			most = v;
			n = mine;
		}
	}
	return most;
}

/* What this run says and most do not, and a file that is not called as the prediction. */
static void put_own(const char *kind, const json_t *opt, const json_t *const *most, struct rn_str *out)
{
	const char *name = json_string_value(json_object_get(opt, "name"));
	const json_t *to = json_object_get(opt, "to");
	struct rn_str usual = RN_STR_INIT;

	for (int k = 0; k < NSETTINGS; k++) {
		const json_t *v = json_object_get(opt, settings[k].name);

		if (!v || !has_setting(&settings[k], kind) || (most[k] ? rn_json_equal(v, most[k]) : json_is_true(v)))
			continue; /* embeddings are written unless something is said */
		put_setting(settings[k].name, name ? name : "val", v, out);
	}
	rn_str_addf(&usual, "%s.csv", name ? name : "");
	if (to && strcmp(json_string_value(to), usual.s))
		put_setting("to", name, to, out);
	out->failed |= usual.failed;
	rn_str_fini(&usual);
}

/* The loss, or what else a run reads. */
static void put_run(const struct shell *s, const char *kind, const json_t *opt)
{
	rn_str_addc(s->out, ' ');
	if (strcmp(kind, "fit")) {
		rn_str_addf(s->out, "\\\n  --%s ", kind);
		if (strcmp(kind, "val")) {
			quote(json_string_value(json_object_get(opt, "name")), s->out);
			rn_str_addc(s->out, '=');
		}
	}
	put_file(s, find(s, run_node(kind, opt)), s->out);
}

/* When a validation ends a fit, and the fit's own options. */
static int put_fit(const struct shell *s, const char *kind, const json_t *opt, struct rn_str *val,
		   struct rn_str *fit)
{
	const struct rn_run_type *t = &rn_run_types[RN_RUN_FIT];
	const json_t *patience = json_object_get(opt, "patience"), *every = json_object_get(opt, "every");

	if (patience)
		rn_str_addf(val, " --patience %lld", (long long)json_integer_value(patience));
	if (every)
		rn_str_addf(val, " --val-every %lld", (long long)json_integer_value(every));
	return strcmp(kind, "fit") ? 0 : put_options(opt, t->opts, t->nopts, false, NULL, fit, s->e);
}

static int put_train(const struct shell *s)
{
	struct rn_str *out = s->out, val = RN_STR_INIT, fit = RN_STR_INIT;
	const json_t *most[NSETTINGS];
	const char *kind;
	json_t *r;
	size_t i;
	int rc = 0;

	for (int k = 0; k < NSETTINGS; k++)
		most[k] = said_by_most(s, &settings[k]);
	rn_str_add(out, s->fit ? "rn-train" : "rn-train --untrained");
	json_array_foreach(s->runs, i, r) {
		const json_t *opt = run_of(r, &kind);

		put_run(s, kind, opt);
		put_own(kind, opt, most, out);
		if (!rc)
			rc = put_fit(s, kind, opt, &val, &fit);
	}
	rn_str_add(out, " \\\n ");
	for (int k = 0; k < NSETTINGS; k++)
		if (most[k])
			put_setting(settings[k].name, NULL, most[k], out);
	rn_str_addn(out, val.s, val.len);
	rn_str_addn(out, fit.s, fit.len);
	rn_str_add(out, " \"$@\"\n");
	out->failed |= val.failed || fit.failed;
	rn_str_fini(&val);
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
	for (uint32_t i = 0; i < p->nruns; i++)
		s.fit = s.fit || p->runs[i].kind == RN_RUN_FIT;
	rc = check_late(p, e);
	if (!rc)
		rc = check_runs(&s);
	if (!rc && !s.fit)
		rc = is_query(p, &s.query, e);
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
