/* SPDX-License-Identifier: Apache-2.0
 *
 * Plans as data: nodes, inputs, runs.  Nodes are in topological order from the
 * start, since an input must be there before its user.
 */
#include "plan_impl.h"

#include "../base/uri.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

int rn_plan_new(struct rn_plan **out, struct rn_err *e)
{
	return rn_calloc(1, sizeof **out, "a plan", out, e);
}

void rn_plan_node_fini(struct rn_node *n)
{
	free(n->name);
	free(n->id);
	free(n->where);
	json_decref(n->opt);
	rn_fitted_unref(n->fitted);
	for (uint32_t i = 0; i < n->nin; i++)
		free(n->in[i].as);
	free(n->in);
}

void rn_plan_free(struct rn_plan *p)
{
	if (!p)
		return;
	for (uint32_t i = 0; i < p->nnodes; i++)
		rn_plan_node_fini(&p->nodes[i]);
	for (uint32_t i = 0; i < p->nruns; i++)
		json_decref(p->runs[i].opt);
	free(p->nodes);
	free(p->runs);
	json_decref(p->constants);
	free(p->dir);
	free(p);
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

/* A copy of s, or NULL for NULL. */
static int copy_text(const char *s, char **out, struct rn_err *e)
{
	*out = s ? strdup(s) : NULL;
	return s && !*out ? rn_err_nomem(e, strlen(s) + 1, "a name") : 0;
}

/* A name stands in operands (NAME=FILE), messages and files: one line, no '='. */
static int check_name(const char *name, const char *what, struct rn_err *e)
{
	size_t n = strlen(name);

	if (!n || n > RN_PLAN_MAX_NAME)
		return rn_err_set(e, RN_EUSAGE, "the name of %s has %zu bytes; 1 to %d are allowed",
				  what, n, RN_PLAN_MAX_NAME);
	if (!rn_utf8_valid(name, n))
		return rn_err_set(e, RN_EUSAGE, "the name '%s' of %s is not valid UTF-8", name,
				  what);
	for (const char *s = name; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7F || *s == '=' || *s == '`')
			return rn_err_set(e, RN_EUSAGE,
					  "the name '%s' of %s holds '=', '`' or a control "
					  "character", name, what);
	return 0;
}

int rn_plan_add(struct rn_plan *p, const struct rn_op *op, const char *name, const char *id,
		json_t *opt, uint32_t *out, struct rn_err *e)
{
	struct rn_node n = { .op = op, .opt = opt };
	int rc = 0;

	if (p->nnodes >= RN_PLAN_MAX_NODES)
		rc = rn_err_set(e, RN_EUSAGE, "the plan has more than %d stages",
				RN_PLAN_MAX_NODES);
	if (!rc && name)
		rc = check_name(name, "a stage", e);
	if (rc)
		goto fail;
	if (!n.opt)
		RN_GOTO(fail, rn_json_object(&n.opt, e));
	RN_GOTO(fail, copy_text(name, &n.name, e));
	RN_GOTO(fail, copy_text(id, &n.id, e));
	if (op->check) {
		rc = op->check(&n, &n.learns, e);
		if (rc) {
			rn_node_error(&n, rc, e);
			goto fail;
		}
	}
	RN_GOTO(fail, rn_grow(&p->nodes, &p->cap_nodes, (size_t)p->nnodes + 1, sizeof n, "a plan",
			      e));
	*out = p->nnodes;
	p->nodes[p->nnodes++] = n;
	return 0;
fail:
	rn_plan_node_fini(&n);
	return rc;
}

/* Operands come first, then the inputs that are options, in the table's order: one
 * order for every spelling. */
static uint32_t input_place(const struct rn_node *n, const char *opt)
{
	const struct rn_opt *row = opt ? rn_opt_find(n->op->opts, n->op->nopts, opt) : NULL;
	uint32_t i = n->nin;

	while (i && n->in[i - 1].opt &&
	       (!row || rn_opt_find(n->op->opts, n->op->nopts, n->in[i - 1].opt) > row))
		i--;
	return i;
}

int rn_plan_add_input(struct rn_plan *p, uint32_t node, const char *as, const char *opt,
		      uint32_t from, struct rn_err *e)
{
	struct rn_input in = { .node = from }, *grown;
	struct rn_node *n = &p->nodes[node];
	const struct rn_opt *row = NULL;
	uint32_t at;

	if (node + 1 != p->nnodes || from >= node)
		return rn_err_set(e, RN_EBUG, "input %u of stage %u is added out of order", from,
				  node);
	if (opt) {
		row = rn_opt_find(n->op->opts, n->op->nopts, opt);
		if (!row || row->type != RN_OPT_NODE)
			return rn_err_set(e, RN_EUSAGE, "%s has no input option '%s'", n->op->name,
					  opt);
		if (rn_node_input(n, row->name) >= 0)
			return rn_err_set(e, RN_EUSAGE, "--%s is given twice", row->name);
		in.opt = row->name; /* lives as long as the table */
	}
	if (n->nin >= RN_MANY + n->op->nopts)
		return rn_err_set(e, RN_EUSAGE, "%s has more than %u inputs", n->op->name, n->nin);
	if (as)
		RN_TRY(check_name(as, "an input", e));
	at = input_place(n, in.opt);
	RN_TRY(copy_text(as, &in.as, e));
	grown = realloc(n->in, (n->nin + 1) * sizeof *n->in);
	if (!grown) {
		free(in.as);
		return rn_err_nomem(e, (n->nin + 1) * sizeof *n->in, "inputs");
	}
	n->in = grown;
	memmove(n->in + at + 1, n->in + at, (n->nin - at) * sizeof *n->in);
	n->in[at] = in;
	n->nin++;
	return 0;
}

int rn_plan_add_run(struct rn_plan *p, enum rn_run_kind kind, uint32_t node, json_t *opt,
		    struct rn_err *e)
{
	struct rn_run r = { .kind = kind, .node = node, .opt = opt };
	const char *name;
	int rc = 0;

	if (node >= p->nnodes)
		rc = rn_err_set(e, RN_EBUG, "a run of stage %u, which is not there", node);
	if (!rc && !opt)
		rc = rn_json_object(&r.opt, e);
	if (!rc)
		rc = rn_run_check(&r, NULL, e);
	if (!rc && (kind == RN_RUN_EVAL || kind == RN_RUN_PRED)) {
		name = rn_run_string(&r, "name");
		for (uint32_t i = 0; name && i < p->nruns && !rc; i++)
			if (p->runs[i].kind == kind &&
			    same_text(rn_run_string(&p->runs[i], "name"), name))
				rc = rn_err_set(e, RN_EUSAGE, "two runs '%s' are called '%s'",
						rn_run_types[kind].name, name);
	}
	if (!rc)
		rc = rn_grow(&p->runs, &p->cap_runs, (size_t)p->nruns + 1, sizeof r, "a plan", e);
	if (rc) {
		json_decref(r.opt);
		return rc;
	}
	p->runs[p->nruns++] = r;
	return 0;
}

long rn_plan_find(const struct rn_plan *p, const char *name)
{
	for (uint32_t i = 0; i < p->nnodes; i++)
		if (p->nodes[i].name && !strcmp(p->nodes[i].name, name))
			return (long)i;
	return -1;
}

/* ---- facts about nodes ---------------------------------------------------------------- */

void rn_plan_deferred(const struct rn_plan *p, bool *deferred)
{
	for (uint32_t i = 0; i < p->nnodes; i++) {
		const struct rn_node *n = &p->nodes[i];

		deferred[i] = n->learns;
		for (uint32_t k = 0; k < n->nin; k++)
			deferred[i] |= deferred[n->in[k].node];
	}
}

int rn_plan_check_inputs(const struct rn_node *n, struct rn_err *e)
{
	uint32_t operands = 0;

	for (uint32_t i = 0; i < n->nin; i++)
		operands += !n->in[i].opt;
	if (operands < n->op->min_in || operands > n->op->max_in) {
		if (!n->op->max_in)
			return rn_err_set(e, RN_EUSAGE, "%s takes no input", n->op->name);
		if (n->op->min_in == n->op->max_in)
			return rn_err_set(e, RN_EUSAGE, "%s takes %u input%s, not %u", n->op->name,
					  n->op->min_in, n->op->min_in == 1 ? "" : "s", operands);
		return rn_err_set(e, RN_EUSAGE, "%s takes %u to %u inputs, not %u", n->op->name,
				  n->op->min_in, n->op->max_in, operands);
	}
	for (size_t i = 0; i < n->op->nopts; i++) {
		const struct rn_opt *o = &n->op->opts[i];

		if (o->type == RN_OPT_NODE && (o->flags & RN_OPT_REQUIRED) &&
		    rn_node_input(n, o->name) < 0)
			return rn_err_set(e, RN_EUSAGE, "%s needs --%s: %s", n->op->name, o->name,
					  o->help);
	}
	return 0;
}

bool rn_node_same(const struct rn_node *a, const struct rn_node *b, const uint32_t *map)
{
	if (a->op != b->op || a->nin != b->nin || !rn_json_equal(a->opt, b->opt))
		return false;
	for (uint32_t i = 0; i < a->nin; i++)
		if (map[a->in[i].node] != map[b->in[i].node] || a->in[i].opt != b->in[i].opt ||
		    !same_text(a->in[i].as, b->in[i].as))
			return false;
	return true;
}

/* ---- files of sources --------------------------------------------------------------------- */

const char *rn_node_file(const struct rn_node *n)
{
	if (!(n->op->flags & RN_OP_SOURCE) || !rn_opt_find(n->op->opts, n->op->nopts, "from"))
		return NULL;
	return rn_node_string(n, "from");
}

/* What stands before the path in the name of a table in a database file. */
static size_t scheme(const char *path)
{
	return rn_uri_kind(path) == RN_URI_SQLITE ? strlen("sqlite:") : 0;
}

size_t rn_plan_stem(const char *path, const char **stem)
{
	static const char *const packed[] = { ".zst", ".gz" };
	const char *slash = strrchr(path, '/'), *s = slash ? slash + 1 : path;
	size_t n = rn_uri_kind(path) ? rn_uri_stem(path, stem) : 0;

	if (n || rn_uri_kind(path) == RN_URI_POSTGRES)
		return n;
	n = strlen(s);
	*stem = s;
	if (!strcmp(path, "-"))
		return 0;
	for (size_t i = 0; i < sizeof packed / sizeof *packed; i++) {
		size_t k = strlen(packed[i]);

		if (n > k && !strcmp(s + n - k, packed[i])) {
			n -= k;
			break;
		}
	}
	for (size_t i = n; i > 1; i--)
		if (s[i - 1] == '.')
			return i - 1;
	return n;
}

bool rn_path_is_relative(const char *path)
{
	size_t n = strspn(path + scheme(path), "abcdefghijklmnopqrstuvwxyz0123456789+");

	path += scheme(path);
	return *path && *path != '/' && strcmp(path, "-") && !(n > 1 && path[n] == ':');
}

void rn_path_print(const char *dir, const char *path, struct rn_str *out)
{
	size_t n = scheme(path);

	rn_str_addn(out, path, n);
	if (dir && rn_path_is_relative(path))
		rn_str_addf(out, "%s/", strcmp(dir, "/") ? dir : "");
	rn_str_add(out, path + n);
}

static int set_path(json_t *opt, const char *key, const char *dir, const char *path,
		    struct rn_err *e)
{
	struct rn_str s = RN_STR_INIT;
	int rc;

	rn_path_print(dir, path, &s);
	rc = rn_str_check(&s, e);
	if (!rc)
		rc = rn_json_set_text(opt, key, s.s, e);
	rn_str_fini(&s);
	return rc;
}

/* The files of a list, as set_path. */
static int set_paths(json_t *opt, const char *key, const char *dir, struct rn_err *e)
{
	const json_t *from = json_object_get(opt, key);
	struct rn_str s = RN_STR_INIT;
	json_t *list;
	int rc = 0;

	if (!from)
		return 0;
	RN_TRY(rn_json_array(&list, e));
	for (size_t i = 0; !rc && i < json_array_size(from); i++) {
		rn_str_clear(&s);
		rn_path_print(dir, json_string_value(json_array_get(from, i)), &s);
		rc = rn_str_check(&s, e);
		if (!rc)
			rc = rn_json_append(list, json_string(s.s), e);
	}
	rn_str_fini(&s);
	if (!rc)
		return rn_json_set(opt, key, list, e);
	json_decref(list);
	return rc;
}

/* Passwords are for the connection alone: what is printed and stored has none. */
static int hide_passwords(json_t *opt, struct rn_err *e)
{
	const json_t *also = json_object_get(opt, "also");
	char *s = rn_uri_hidden(json_string_value(json_object_get(opt, "from")), e);
	int rc = s ? rn_json_set_text(opt, "from", s, e) : RN_ENOMEM;

	free(s);
	for (size_t i = 0; !rc && i < json_array_size(also); i++) {
		s = rn_uri_hidden(json_string_value(json_array_get(also, i)), e);
		if (!s || json_array_set_new((json_t *)(uintptr_t)also, i, json_string(s)))
			rc = rn_err_nomem(e, 1, "a file name");
		free(s);
	}
	return rc;
}

int rn_plan_options(const struct rn_plan *p, const struct rn_node *n, json_t **out,
		    struct rn_err *e)
{
	const char *file = rn_node_file(n);
	const char *emb = json_string_value(json_object_get(n->opt, "emb"));
	const char *schema = json_string_value(json_object_get(n->opt, "schema"));
	size_t k = emb ? strlen(emb) : 0;
	int rc = 0;

	RN_TRY(rn_json_copy(n->opt, out, e));
	if (file)
		rc = set_path(*out, "from", p->dir, file, e);
	if (!rc && file && k > 4 && (!strcmp(emb + k - 4, ".npy") || strstr(emb, ".npz")))
		rc = set_path(*out, "emb", p->dir, emb, e);
	if (!rc && file)
		rc = set_paths(*out, "also", p->dir, e);
	if (!rc && file && schema)
		rc = set_path(*out, "schema", p->dir, schema, e);
	if (!rc && file)
		rc = hide_passwords(*out, e);
	if (rc) {
		json_decref(*out);
		*out = NULL;
	}
	return rc;
}

size_t rn_plan_split(const char *s, const char **rest)
{
	const char *eq = strchr(s, '=');

	*rest = eq ? eq + 1 : NULL;
	return eq ? (size_t)(eq - s) : 0;
}

int rn_source_set_file(json_t *opt, const char *file, bool absolute, struct rn_err *e)
{
	char *cwd = NULL;
	int rc;

	if (absolute && rn_path_is_relative(file)) {
		cwd = getcwd(NULL, 0);
		if (!cwd)
			return rn_err_errno(e, "cannot find the current folder");
	}
	rc = set_path(opt, "from", cwd, file, e);
	free(cwd);
	(void)json_object_del(opt, "also"); /* the new file stands for all of them */
	return rc;
}

/* A name of its own, so that another file does not change what the source is called. */
static int keep_stem(struct rn_node *n, struct rn_err *e)
{
	const char *stem;
	size_t len;

	if (n->name)
		return 0;
	len = rn_plan_stem(rn_node_file(n), &stem);
	n->name = strndup(stem, len);
	return n->name ? 0 : rn_err_nomem(e, len + 1, "a name");
}

static int no_source(const struct rn_plan *p, const char *name, size_t n, struct rn_err *e)
{
	struct rn_str there = RN_STR_INIT;
	int rc;

	for (uint32_t i = 0; i < p->nnodes; i++)
		if (rn_node_file(&p->nodes[i]))
			rn_str_addf(&there, "%s%s", there.len ? ", " : "",
				    p->nodes[i].name ? p->nodes[i].name :
						       rn_node_file(&p->nodes[i]));
	rc = rn_str_check(&there, e);
	if (!rc)
		rc = rn_err_set(e, RN_EUSAGE, "--source %.*s: the plan has no such source (%s%s)",
				(int)n, name, there.len ? "there are " : "there is none", there.s);
	rn_str_fini(&there);
	return rc;
}

/* Is the source's name, or its file's stem where it has none, this one? */
static bool is_source(const struct rn_node *n, const char *name, size_t len)
{
	const char *file = rn_node_file(n), *own = n->name;
	size_t k;

	if (!file)
		return false;
	k = own ? strlen(own) : rn_plan_stem(file, &own);
	return k == len && !memcmp(own, name, len);
}

int rn_plan_rebind(struct rn_plan *p, const char *const *source, size_t n, struct rn_err *e)
{
	for (size_t i = 0; i < n; i++) {
		const char *file;
		size_t len = rn_plan_split(source[i], &file);
		bool found = false;

		if (!len || !*file)
			return rn_err_set(e, RN_EUSAGE, "--source wants NAME=FILE, not '%s'",
					  source[i]);
		for (uint32_t k = 0; k < p->nnodes; k++) {
			if (!is_source(&p->nodes[k], source[i], len))
				continue;
			found = true;
			RN_TRY(keep_stem(&p->nodes[k], e));
			RN_TRY(rn_source_set_file(p->nodes[k].opt, file, p->dir != NULL, e));
		}
		if (!found)
			return no_source(p, source[i], len, e);
	}
	return 0;
}

int rn_plan_new_id(char id[17], struct rn_err *e)
{
	unsigned char b[8];

	if (getrandom(b, sizeof b, 0) != (ssize_t)sizeof b)
		return rn_err_errno(e, "cannot get random bytes");
	for (int i = 0; i < 8; i++)
		snprintf(id + 2 * i, 3, "%02x", b[i]);
	return 0;
}

/* ---- messages ------------------------------------------------------------------------------ */

/* The names of an object's keys, "a, b, c", at most a line of them. */
static void list_keys(const json_t *object, struct rn_str *out)
{
	json_t *o = (json_t *)(uintptr_t)object, *v;
	const char *key;

	json_object_foreach(o, key, v) {
		if (out->len > 200) {
			rn_str_add(out, ", ...");
			return;
		}
		rn_str_addf(out, "%s%s", out->len ? ", " : "", key);
	}
}

int rn_plan_unknown(const char *what, const char *name, const json_t *there, struct rn_err *e)
{
	struct rn_str names = RN_STR_INIT;
	json_t *o = (json_t *)(uintptr_t)there, *v;
	char hint[RN_NEAR_MAX + 32];
	struct rn_near near;
	const char *key;
	int rc;

	rn_near_init(&near, name);
	json_object_foreach(o, key, v)
		rn_near_add(&near, key);
	list_keys(there, &names);
	rc = rn_str_check(&names, e);
	if (!rc && near.best)
		rc = rn_err_set(e, RN_EUSAGE, "no %s '%s'%s", what, name,
				rn_near_hint(&near, hint, sizeof hint));
	else if (!rc)
		rc = rn_err_set(e, RN_EUSAGE, "no %s '%s' (there %s%s)", what, name,
				names.len ? "are " : "is none", names.s);
	rn_str_fini(&names);
	return rc;
}
