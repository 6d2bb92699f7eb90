/* SPDX-License-Identifier: Apache-2.0
 *
 * Sources, stages and nodes; the program as a whole.
 */
#include "lowering.h"

#include "../base/json.h"
#include "../base/opt.h"
#include "../plan/plan_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* ---- memory --------------------------------------------------------------------------------- */

int rn_lowering_nomem(const struct rn_lowering *l)
{
	return l->e && l->e->code ? l->e->code : RN_ENOMEM;
}

void *rn_lowering_alloc(struct rn_lowering *l, size_t size)
{
	return rn_arena_alloc(&l->arena, size ? size : 1, l->e);
}

char *rn_lowering_printf(struct rn_lowering *l, const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = rn_arena_vprintf(&l->arena, l->e, fmt, ap);
	va_end(ap);
	return s;
}

/* ---- messages ------------------------------------------------------------------------------- */

/* The place in the program of a message about an expression: operators end it with the
 * text and a caret below.  Both are cut off. */
static void find_place(char *msg, const struct rn_text_map *map, uint32_t *at, uint32_t *end)
{
	char *text = strstr(msg, "\n  "), *caret = text ? strchr(text + 1, '\n') : NULL;
	size_t offset;

	if (!text)
		return;
	if (caret && map && map->n) {
		offset = strspn(caret + 1, " ");
		offset = offset > 2 ? offset - 2 : 0;
		for (uint32_t i = 0; i < map->n; i++)
			if (map->pieces[i].text <= offset) {
				*at = map->pieces[i].at;
				*end = map->pieces[i].end;
			}
	}
	*text = '\0';
}

/* What infer or check said, told at its place; other failures are handed on. */
static int tell(struct rn_lowering *l, int rc, struct rn_err *mine, const struct rn_rule_inst *inst,
		const char *name, uint32_t at, uint32_t end, const struct rn_text_map *map)
{
	char *msg = mine->msg, *quote;

	if (rc != RN_EUSAGE) {
		if (l->e)
			*l->e = *mine;
		return rc;
	}
	/* "agg 'A1': …" was put in front: the place says that better. */
	quote = name ? strstr(msg, name) : NULL;
	while (quote && strncmp(quote + strlen(name), "': ", 3))
		quote = strstr(quote + 1, name);
	if (quote)
		msg = quote + strlen(name) + 3;
	find_place(msg, map, &at, &end);
	if (inst)
		l->d->top = inst->frames;
	rn_diag_error(l->d, at, end, "%s", msg);
	return RN_EUSAGE;
}

/* ---- nodes ---------------------------------------------------------------------------------- */

const struct rn_schema *rn_lowering_schema(const struct rn_lowering *l, uint32_t node)
{
	return &l->schemas[node];
}

int rn_lowering_infer(struct rn_lowering *l, uint32_t node, const struct rn_rule_inst *inst,
		      uint32_t at, uint32_t end, const struct rn_text_map *map)
{
	const struct rn_node *n = &l->plan->nodes[node];
	const struct rn_schema **in = rn_lowering_alloc(l, n->nin * sizeof *in);
	struct rn_err mine = { 0 };
	int rc;

	if (!in)
		return rn_lowering_nomem(l);
	if (l->nfields > RN_LOWER_FIELDS)
		return RN_EUSAGE; /* which was told */
	for (uint32_t i = 0; i < n->nin; i++)
		in[i] = &l->schemas[n->in[i].node];
	l->nfields -= l->schemas[node].ncols + l->schemas[node].nparts;
	rn_schema_fini(&l->schemas[node]);
	l->schemas[node] = (struct rn_schema){ 0 };
	rc = rn_node_infer(n, in, &l->schemas[node], &mine);
	l->nfields += l->schemas[node].ncols + l->schemas[node].nparts;
	if (!rc && l->nfields > RN_LOWER_FIELDS)
		return rn_diag_limit(l->d, at, end, "the program's stages have more than %d columns and "
				     "embeddings in all", RN_LOWER_FIELDS);
	return rc ? tell(l, rc, &mine, inst, n->name, at, end, map) : 0;
}

/* The slot of a name: that of the node called so, or a free one. */
static uint32_t *name_slot(struct rn_lowering *l, const char *name)
{
	size_t i = XXH3_64bits(name, strlen(name)) & (l->cap_names - 1);

	while (l->names[i] && strcmp(l->plan->nodes[l->names[i] - 1].name, name))
		i = (i + 1) & (l->cap_names - 1);
	return &l->names[i];
}

/* Room for one more; *node is RN_NONE where none is called so. */
static int find_name(struct rn_lowering *l, const char *name, uint32_t *node, struct rn_err *e)
{
	size_t cap = l->cap_names ? 2 * l->cap_names : 256;
	uint32_t *new;

	if (2 * ((size_t)l->plan->nnodes + 1) > l->cap_names) {
		RN_TRY(rn_calloc(cap, sizeof *new, "names of stages", &new, e));
		free(l->names);
		l->names = new;
		l->cap_names = cap;
		for (uint32_t i = 0; i < l->plan->nnodes; i++)
			*name_slot(l, l->plan->nodes[i].name) = i + 1;
	}
	*node = *name_slot(l, name) ? *name_slot(l, name) - 1 : RN_NONE;
	return 0;
}

static int add_node(struct rn_lowering *l, const char *op, const char *name, json_t *opt,
		    uint32_t *out, struct rn_err *mine)
{
	const struct rn_op *o = rn_op_find(op);
	size_t old = l->cap_schemas;
	uint32_t twin = RN_NONE;
	int rc = rn_grow(&l->schemas, &l->cap_schemas, (size_t)l->plan->nnodes + 1, sizeof *l->schemas,
			 "schemas", mine);

	if (!rc)
		memset(l->schemas + old, 0, (l->cap_schemas - old) * sizeof *l->schemas);
	if (!rc)
		rc = find_name(l, name, &twin, mine);
	if (!rc && twin != RN_NONE)
		rc = rn_err_set(mine, RN_EUSAGE, "two stages are called '%s'", name);
	if (rc) {
		json_decref(opt);
		return rc;
	}
	RN_TRY(rn_plan_add(l->plan, o, name, NULL, opt, out, mine));
	*name_slot(l, name) = *out + 1;
	return 0;
}

/* The option of the operator that an input of this name belongs to: agg (R, keys=K). */
static const char *input_option(const char *op, const char *as)
{
	const struct rn_op *type = rn_op_find(op);
	const struct rn_opt *o = as ? rn_opt_find(type->opts, type->nopts, as) : NULL;

	return o && o->type == RN_OPT_NODE ? o->name : NULL;
}

/* The node's place in the program, for errors that are met when it runs. */
static int set_where(struct rn_lowering *l, uint32_t node, uint32_t at)
{
	const char *text = l->d->text;

	for (; l->place < at; l->place++)
		l->line += text[l->place] == '\n';
	for (; l->place > at; l->place--)
		l->line -= text[l->place - 1] == '\n';
	if (asprintf(&l->plan->nodes[node].where, "%s:%u", l->d->file, l->line + 1) >= 0)
		return 0;
	l->plan->nodes[node].where = NULL;
	return rn_lowering_nomem(l);
}

int rn_lowering_node(struct rn_lowering *l, const char *op, const char *name, json_t *opt,
		     uint32_t nin, const uint32_t *in, const char *const *as,
		     const struct rn_rule_inst *inst, uint32_t at, uint32_t end,
		     const struct rn_text_map *map, uint32_t *out)
{
	struct rn_err mine = { 0 };
	uint32_t inputs[2], node;
	int rc;

	if (nin <= 2) /* in may be *out */
		for (uint32_t i = 0; i < nin; i++)
			inputs[i] = in[i];
	rc = add_node(l, op, name, opt, &node, &mine);
	for (uint32_t i = 0; i < nin && !rc; i++) {
		const char *opt_in = as ? input_option(op, as[i]) : NULL;

		rc = rn_plan_add_input(l->plan, node, as && !opt_in ? as[i] : NULL, opt_in,
				       nin <= 2 ? inputs[i] : in[i], &mine);
	}
	if (rc)
		return tell(l, rc, &mine, inst, name, at, end, map);
	*out = node;
	rc = rn_lowering_infer(l, node, inst, at, end, map);
	return rc ? rc : set_where(l, node, at);
}

/* ---- sources -------------------------------------------------------------------------------- */

static int add_source(struct rn_lowering *l, const char *name, const struct rn_stmt *stmt,
		      const char *file)
{
	RN_TRY(rn_grow(&l->sources, &l->cap_sources, (size_t)l->nsources + 1, sizeof *l->sources, "sources",
		       l->e));
	l->sources[l->nsources++] = (struct rn_lang_source){ .name = name, .stmt = stmt, .file = file,
							     .node = RN_NONE };
	return 0;
}

static struct rn_lang_source *find_source(const struct rn_lowering *l, const char *name)
{
	for (uint32_t i = 0; i < l->nsources; i++)
		if (!strcmp(l->sources[i].name, name))
			return &l->sources[i];
	return NULL;
}

static int collect_sources(struct rn_lowering *l, const struct rn_program *p)
{
	const struct rn_lang_conf *c = l->conf;

	for (uint32_t i = 0; i < p->nstmts; i++)
		if (p->stmts[i].kind == RN_S_SOURCE && !find_source(l, p->stmts[i].name))
			RN_TRY(add_source(l, p->stmts[i].name, &p->stmts[i], NULL));
	for (size_t i = 0; i < c->nsource; i++) {
		const char *eq = strchr(c->source[i], '=');
		struct rn_lang_source *s;
		char *name;

		if (!eq || eq == c->source[i] || !eq[1])
			return rn_err_set(l->e, RN_EUSAGE, "--source wants NAME=FILE, not '%s'", c->source[i]);
		name = rn_lowering_printf(l, "%.*s", (int)(eq - c->source[i]), c->source[i]);
		if (!name)
			return rn_lowering_nomem(l);
		s = find_source(l, name);
		if (s)
			s->file = eq + 1;
		else
			RN_TRY(add_source(l, name, NULL, eq + 1));
	}
	return 0;
}

static bool file_rereadable(const char *dir, const char *file)
{
	struct rn_str path = RN_STR_INIT;
	struct stat st;
	bool yes;

	if (!strcmp(file, "-"))
		return false;
	rn_path_print(dir, file, &path);
	yes = path.failed || stat(path.s, &st) || (!S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode) &&
						    !S_ISCHR(st.st_mode));
	rn_str_fini(&path);
	return yes;
}

/* Can it be read a second time? */
static bool rereadable(const char *dir, const struct rn_node *n)
{
	const json_t *also = rn_node_json(n, "also");
	bool yes = file_rereadable(dir, rn_node_string(n, "from"));

	for (size_t i = 0; yes && i < json_array_size(also); i++)
		yes = file_rereadable(dir, json_string_value(json_array_get(also, i)));
	return yes;
}

/* Is it a file that is opened at no cost, and that this takes nothing from? */
static bool is_plain_file(const char *dir, const struct rn_node *n)
{
	struct rn_str path = RN_STR_INIT;
	struct stat st;
	bool yes;

	rn_path_print(dir, rn_node_string(n, "from"), &path);
	yes = !path.failed && !stat(path.s, &st) && S_ISREG(st.st_mode);
	rn_str_fini(&path);
	return yes;
}

static int read_rows(struct rn_lowering *l, struct rn_lang_source *s)
{
	if (s->rows)
		return 0;
	return rn_source_read(l->conf->ctx, &l->plan->nodes[s->node], l->plan->dir, &s->rows, NULL, l->e);
}

/* Its columns, by opening it; rows too where it cannot be opened again. */
static int source_schema(struct rn_lowering *l, struct rn_lang_source *s)
{
	struct rn_source *src;
	int rc;

	if (l->d->lenient && !is_plain_file(l->plan->dir, &l->plan->nodes[s->node]))
		return RN_EIO; /* no run asks for it */
	if (!rereadable(l->plan->dir, &l->plan->nodes[s->node])) {
		RN_TRY(read_rows(l, s));
		RN_TRY(rn_schema_copy(&s->rows->schema, &l->schemas[s->node], l->e));
		return rn_schema_set_name(&l->schemas[s->node], s->name, l->e);
	}
	RN_TRY(rn_source_open(l->conf->ctx, &l->plan->nodes[s->node], l->plan->dir, &src, l->e));
	rc = rn_schema_copy(rn_source_schema(src), &l->schemas[s->node], l->e);
	rn_source_close(src);
	return rc ? rc : rn_schema_set_name(&l->schemas[s->node], s->name, l->e);
}

/* Options of the scan: those of ?source, and where its rows are. */
static int source_options(struct rn_lowering *l, struct rn_lang_source *s, json_t *opt)
{
	const struct rn_op *scan = rn_op_find("scan");
	struct rn_term *path;

	if (s->stmt && s->stmt->value && !s->file) {
		RN_TRY(rn_expand_constant(l->x, s->stmt->value, &path, l->e));
		if (path->kind != RN_T_STR)
			return rn_diag_error(l->d, s->stmt->value->at, s->stmt->value->end,
					     "the file of a source is a string");
		RN_TRY(rn_json_set_text(opt, "from", path->str, l->e));
	} else if (s->file) {
		RN_TRY(rn_source_set_file(opt, s->file, l->plan->dir, l->e));
	} else if (l->d->lenient) {
		return RN_EIO;
	} else {
		return rn_diag_error(l->d, s->stmt->name_at, s->stmt->name_at + (uint32_t)strlen(s->name),
				     "no file is bound to '%s': give one here, or --source %s=FILE", s->name, s->name);
	}
	if (s->stmt)
		RN_TRY(rn_lower_settings(l, s->stmt, scan->opts, scan->nopts, "a source", opt));
	return s->stmt ? rn_lower_settings_end(l, s->stmt, scan->opts, scan->nopts, opt)
		       : rn_opt_finish(opt, scan->opts, scan->nopts, l->e);
}

int rn_lower_source(struct rn_lowering *l, const char *name, uint32_t at, uint32_t end,
		    uint32_t *out)
{
	struct rn_lang_source *s = find_source(l, name);
	struct rn_err mine = { 0 };
	json_t *opt;
	int rc;

	if (s->node == RN_NONE) {
		RN_TRY(rn_json_object(&opt, l->e));
		rc = source_options(l, s, opt);
		if (rc) {
			json_decref(opt);
			return rc;
		}
		rc = add_node(l, "scan", name, opt, &s->node, &mine);
		if (rc)
			return tell(l, rc, &mine, NULL, name, s->stmt ? s->stmt->name_at : at,
				    s->stmt ? s->stmt->end : end, NULL);
		s->failed = source_schema(l, s);
	}
	*out = s->node;
	return s->failed;
}

int rn_lowering_rows(void *arg, const char *source, const struct rn_rel **out, struct rn_err *e)
{
	struct rn_lowering *l = arg;
	struct rn_lang_source *s = find_source(l, source);
	struct rn_err *old = l->e;
	uint32_t node;
	int rc;

	l->e = e;
	rc = rn_lower_source(l, source, 0, 0, &node);
	if (!rc)
		rc = read_rows(l, s);
	l->e = old;
	*out = s->rows;
	return rc;
}

bool rn_lowering_is_source(void *arg, const char *name)
{
	struct rn_lang_source *s = find_source(arg, name);

	if (s)
		s->used = true;
	return s;
}

/* ---- stages and rules ------------------------------------------------------------------------ */

static int unknown_operator(struct rn_lowering *l, const struct rn_stmt *s)
{
	struct rn_near near;
	char hint[128];

	rn_near_init(&near, s->op);
	for (size_t i = 0; i < rn_op_count; i++)
		if (!(rn_op_table[i]->flags & RN_OP_SOURCE))
			rn_near_add(&near, rn_op_table[i]->name);
	return rn_diag_error(l->d, s->name_at, s->name_at + (uint32_t)strlen(s->name), "no operator '%s'%s",
			     s->op, rn_near_hint(&near, hint, sizeof hint));
}

static int make_stage(struct rn_lowering *l, const struct rn_stmt *s, uint32_t *out)
{
	uint32_t end = s->name_at + (uint32_t)strlen(s->name), node;
	const struct rn_op *op = rn_op_find(s->op);
	struct rn_err mine = { 0 };
	uint32_t *in;
	json_t *opt;
	int rc;

	if (!op || op->flags & RN_OP_SOURCE)
		return unknown_operator(l, s);
	in = rn_lowering_alloc(l, s->ninputs * sizeof *in);
	if (!in)
		return rn_lowering_nomem(l);
	/* What a stage rests on may be rules that nothing else has asked for yet. */
	for (uint32_t i = 0; i < s->ninputs; i++) {
		struct rn_inst_atom a;

		RN_TRY(rn_expand_ref(l->x, &s->inputs[i].ref, &a, l->e));
		RN_TRY(rn_lower_target(l, &a, &in[i]));
	}
	RN_TRY(rn_json_object(&opt, l->e));
	rc = rn_lower_settings(l, s, op->opts, op->nopts, s->op, opt);
	if (!rc)
		rc = rn_lower_settings_end(l, s, op->opts, op->nopts, opt);
	if (rc) {
		json_decref(opt);
		return rc;
	}
	rc = add_node(l, s->op, s->name, opt, &node, &mine);
	for (uint32_t i = 0; i < s->ninputs && !rc; i++) {
		const char *as = s->inputs[i].as;
		const struct rn_opt *o = as ? rn_opt_find(op->opts, op->nopts, as) : NULL;
		bool is_opt = o && o->type == RN_OPT_NODE;

		rc = rn_plan_add_input(l->plan, node, is_opt ? NULL : as, is_opt ? o->name : NULL, in[i], &mine);
	}
	if (!rc)
		rc = rn_plan_check_inputs(&l->plan->nodes[node], &mine);
	if (rc)
		return tell(l, rc, &mine, NULL, s->name, s->name_at, end, NULL);
	*out = node;
	rc = rn_lowering_infer(l, node, NULL, s->name_at, end, NULL);
	return rc ? rc : set_where(l, node, s->name_at);
}

static int push_stage(struct rn_lowering *l, const struct rn_stmt *s)
{
	for (uint32_t i = 0; i < l->npending; i++)
		if (l->pending[i] == s)
			return rn_diag_error(l->d, s->name_at, s->name_at + (uint32_t)strlen(s->name),
					     "a cycle of stages: '%s' rests on itself", s->name);
	RN_TRY(rn_grow(&l->pending, &l->cap_pending, (size_t)l->npending + 1, sizeof *l->pending, "stages",
		       l->e));
	l->pending[l->npending++] = s;
	return 0;
}

/* A stage among the inputs of s that is not made yet, or NULL. */
static int missing_input(struct rn_lowering *l, const struct rn_stmt *s, const struct rn_stmt **out)
{
	*out = NULL;
	for (uint32_t i = 0; i < s->ninputs; i++) {
		struct rn_inst_atom a;
		uint32_t node;

		RN_TRY(rn_expand_ref(l->x, &s->inputs[i].ref, &a, l->e));
		if (a.kind != RN_REL_STAGE)
			continue;
		RN_TRY(find_name(l, a.stage->name, &node, l->e));
		if (node != RN_NONE)
			continue;
		*out = a.stage;
		return 0;
	}
	return 0;
}

int rn_lower_stage(struct rn_lowering *l, const struct rn_stmt *s, uint32_t *out)
{
	uint32_t before = l->npending;
	const struct rn_stmt *next;
	int rc;

	RN_TRY(find_name(l, s->name, out, l->e));
	if (*out != RN_NONE)
		return 0;
	if (l->nested >= RN_LOWER_NESTED)
		return rn_diag_error(l->d, s->name_at, 0, "more than %d stages and rules rest on each other",
				     RN_LOWER_NESTED);
	l->nested++;
	rc = push_stage(l, s);
	while (!rc && l->npending > before) {
		rc = missing_input(l, l->pending[l->npending - 1], &next);
		if (!rc && next)
			rc = push_stage(l, next);
		else if (!rc && !(rc = make_stage(l, l->pending[l->npending - 1], out)))
			l->npending--;
	}
	l->npending = before;
	l->nested--;
	return rc;
}

int rn_lower_reserve(struct rn_lowering *l, uint32_t upto)
{
	size_t old = l->ninst;

	RN_TRY(rn_grow(&l->inst_node, &l->ninst, (size_t)upto + 1, sizeof *l->inst_node, "instances", l->e));
	for (size_t i = old; i < l->ninst; i++)
		l->inst_node[i] = RN_NONE;
	return 0;
}

/* One rule; what was wrong with it is told once. */
static int lower_one(struct rn_lowering *l, uint32_t i)
{
	uint32_t *node = &l->inst_node[i], out = RN_NONE;
	struct rn_made made = l->made; /* a ?stage may come between the stages of another rule */
	const struct rn_diag_frame *top = l->d->top;
	int rc;

	if (*node == RN_LOWER_FAILED)
		return RN_EUSAGE;
	if (*node != RN_NONE)
		return 0;
	*node = RN_LOWER_BUSY; /* a stage that it rests on may have been numbered later */
	l->d->top = rn_expander_inst(l->x, i)->frames;
	rc = rn_lower_rule(l, rn_expander_inst(l->x, i), &out);
	l->d->top = top;
	l->made = made;
	l->inst_node[i] = rc ? RN_LOWER_FAILED : out; /* the table may have moved */
	return rc;
}

int rn_lower_before(struct rn_lowering *l, uint32_t n)
{
	RN_TRY(rn_lower_reserve(l, n));
	for (uint32_t i = 0; i < n; i++) {
		int rc = lower_one(l, i);

		if (rc && rc != RN_EUSAGE)
			return rc;
	}
	return 0;
}

/* The rules under rule i, for a stage that is being made: those alone, as another one of a lower
 * number may rest on that stage, and would seem to be a cycle. */
static int lower_under(struct rn_lowering *l, uint32_t i)
{
	bool *under;
	int rc = 0;

	RN_TRY(rn_lower_reserve(l, i));
	RN_TRY(rn_calloc((size_t)i + 1, sizeof *under, "instances", &under, l->e));
	under[i] = true;
	for (uint32_t j = i + 1; j-- > 0;) {
		const struct rn_rule_inst *r = rn_expander_inst(l->x, j);

		for (uint32_t a = 0; under[j] && l->inst_node[j] == RN_NONE && a < r->natoms; a++)
			if ((r->atoms[a].kind == RN_REL_RULE || r->atoms[a].kind == RN_REL_PRED) &&
			    r->atoms[a].rule < j)
				under[r->atoms[a].rule] = true;
	}
	for (uint32_t j = 0; j < i && (!rc || rc == RN_EUSAGE); j++)
		if (under[j])
			rc = lower_one(l, j);
	free(under);
	return rc == RN_EUSAGE ? 0 : rc;
}

int rn_lower_instance(struct rn_lowering *l, uint32_t i, uint32_t *out)
{
	if (i >= l->ninst || l->inst_node[i] == RN_NONE) {
		RN_TRY(l->nested ? lower_under(l, i) : rn_lower_before(l, i));
		RN_TRY(lower_one(l, i));
	}
	*out = l->inst_node[i];
	if (*out == RN_LOWER_BUSY)
		return rn_diag_error(l->d, rn_expander_inst(l->x, i)->rule->name_at,
				     rn_rule_name_end(rn_expander_inst(l->x, i)),
				     "a cycle of rules and stages: '%s' rests on itself",
				     rn_expander_inst(l->x, i)->name);
	return *out == RN_LOWER_FAILED ? RN_EUSAGE : 0;
}

int rn_lower_target(struct rn_lowering *l, const struct rn_inst_atom *a, uint32_t *out)
{
	switch (a->kind) {
	case RN_REL_SOURCE:
		return rn_lower_source(l, a->source, a->atom ? a->atom->at : 0, a->atom ? a->atom->end : 0, out);
	case RN_REL_STAGE:
		return rn_lower_stage(l, a->stage, out);
	default:
		return rn_lower_instance(l, a->rule, out);
	}
}

/* ---- the whole ------------------------------------------------------------------------------- */

int rn_lowering_new(const struct rn_lang_conf *c, struct rn_diag *d,
		    const struct rn_program *prog, struct rn_lowering **out, struct rn_err *e)
{
	struct rn_lowering *l;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *l, "a program", &l, e));
	l->conf = c;
	l->d = d;
	l->e = e;
	RN_GOTO(fail, rn_plan_new(&l->plan, e));
	if (c->dir) {
		l->plan->dir = strdup(c->dir);
		rc = l->plan->dir ? 0 : rn_err_nomem(e, strlen(c->dir) + 1, "a path");
		if (rc)
			goto fail;
	}
	RN_GOTO(fail, collect_sources(l, prog));
	*out = l;
	return 0;
fail:
	rn_lowering_free(l);
	return rc;
}

void rn_lowering_free(struct rn_lowering *l)
{
	if (!l)
		return;
	for (uint32_t i = 0; i < l->nsources; i++)
		rn_rel_unref(l->sources[i].rows);
	for (size_t i = 0; i < l->cap_schemas; i++)
		rn_schema_fini(&l->schemas[i]);
	free(l->schemas);
	free(l->pending);
	free(l->names);
	free(l->sources);
	free(l->inst_node);
	rn_plan_free(l->plan);
	rn_arena_fini(&l->arena);
	free(l);
}

int rn_lowering_carried(struct rn_lowering *l, const struct rn_plan *plan, struct rn_rel ***out,
			struct rn_err *e)
{
	struct rn_rel **carried;

	RN_TRY(rn_calloc(plan->nnodes, sizeof *carried, "rows", &carried, e));
	for (uint32_t i = 0; i < l->nsources; i++) {
		long node = rn_plan_find(plan, l->sources[i].name);

		if (l->sources[i].rows && node >= 0 && !rereadable(plan->dir, &plan->nodes[node]))
			carried[node] = rn_rel_ref(l->sources[i].rows);
	}
	*out = carried;
	return 0;
}
