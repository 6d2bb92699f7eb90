/* SPDX-License-Identifier: Apache-2.0
 *
 * Models: saving and loading.
 */
#include "model.h"

#include "pack.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const loss_names[] = {
	[RN_LOSS_CE] = "cross-entropy",
	[RN_LOSS_BCE] = "bce",
	[RN_LOSS_MSE] = "mse",
	[RN_LOSS_L1] = "l1",
	[RN_LOSS_VALUE] = "value",
};
enum { NLOSSES = sizeof loss_names / sizeof loss_names[0] };

/* ---- saving ------------------------------------------------------------------------- */

/* Members that models and checkpoints share. */
/* The types of a source's columns, without those that the scan adds. */
static int column_types(const struct rn_node *n, const struct rn_schema *schema, json_t **out,
			struct rn_err *e)
{
	const char *row_id = rn_node_string(n, "row-id"), *file = rn_node_string(n, "file-col");
	int rc;

	RN_TRY(rn_json_object(out, e));
	for (size_t i = 0; i < schema->ncols; i++) {
		const struct rn_field *f = &schema->cols[i];

		if ((row_id && !strcmp(f->name, row_id)) || (file && !strcmp(f->name, file)))
			continue;
		rc = rn_json_set_text(*out, f->name, rn_type_name(f->type), e);
		if (rc) {
			json_decref(*out);
			return rc;
		}
	}
	return 0;
}

/* A table without rows, or a column without values, has no type of its own: where the
 * model meets one later it is of the type that training saw. */
static int add_expected(const struct rn_plan *plan, const struct rn_binding *x, json_t *spec,
			struct rn_err *e)
{
	for (uint32_t i = 0; x && i < plan->nnodes; i++) {
		const struct rn_node *n = &plan->nodes[i];
		json_t *source = json_object_get(json_object_get(spec, "sources"), n->name), *types;

		if (!(n->op->flags & RN_OP_SOURCE) || !source || json_object_get(source, "expect"))
			continue;
		RN_TRY(column_types(n, rn_binding_schema(x, i), &types, e));
		if (!json_object_size(types))
			json_decref(types);
		else
			RN_TRY(rn_json_set(source, "expect", types, e));
	}
	return 0;
}

int rn_model_header(const char *kind, const struct rn_plan *plan, const struct rn_binding *x,
		    json_t **out, struct rn_err *e)
{
	char cwd[PATH_MAX];
	json_t *h, *spec;
	int rc;

	RN_TRY(rn_json_object(&h, e));
	RN_GOTO(fail, rn_json_set(h, "rn", json_integer(1), e));
	RN_GOTO(fail, rn_json_set_text(h, "kind", kind, e));
	RN_GOTO(fail, rn_plan_to_spec(plan, &spec, e));
	RN_GOTO(fail, rn_json_set(h, "plan", spec, e));
	RN_GOTO(fail, add_expected(plan, x, spec, e));
	/* Paths in the spec are as seen from the current folder. */
	if (!getcwd(cwd, sizeof cwd)) {
		rc = rn_err_errno(e, "cannot tell the current folder");
		goto fail;
	}
	RN_GOTO(fail, rn_json_set_text(h, "dir", cwd, e));
	*out = h;
	return 0;
fail:
	json_decref(h);
	return rc;
}

/* One table of an encode stage. */
static int pack_table(struct rn_pack *p, const char *stage, size_t number,
		      const struct rn_encoder *en, struct rn_rel *table, struct rn_err *e)
{
	struct rn_str what = RN_STR_INIT;
	json_t *facts;
	int rc;

	RN_TRY(rn_json_object(&facts, e));
	rn_encoder_print(en, &what);
	rc = rn_str_check(&what, e);
	if (!rc)
		rc = rn_json_set_text(facts, "name", stage, e);
	if (!rc)
		rc = rn_json_set(facts, "number", json_integer((json_int_t)number), e);
	if (!rc)
		rc = rn_json_set_text(facts, "encoder", what.s, e);
	rn_str_fini(&what);
	if (!rc)
		return rn_pack_rel(p, "fitted", facts, table, e);
	json_decref(facts);
	return rc;
}

static int pack_fitted(struct rn_pack *p, const struct rn_node *n, struct rn_err *e)
{
	struct rn_encoders es;
	int rc = 0;

	RN_TRY(rn_encoders_parse(rn_node_string(n, "expr"), &es, e));
	for (size_t i = 0; i < es.n && !rc; i++)
		if (n->fitted->tables[i])
			rc = pack_table(p, n->name, i, &es.at[i], n->fitted->tables[i], e);
	rn_encoders_fini(&es);
	return rc;
}

int rn_model_pack(struct rn_pack *p, const struct rn_plan *plan, const struct rn_params *params,
		  const struct rn_task *tasks, struct rn_err *e)
{
	for (uint32_t i = 0; i < plan->nnodes; i++)
		if (plan->nodes[i].fitted)
			RN_TRY(pack_fitted(p, &plan->nodes[i], e));
	for (uint32_t i = 0; i < params->n; i++) {
		const struct rn_param *it = &params->items[i];

		RN_TRY(rn_pack_tensor(p, "parameter", it->name, it->rank, it->dim, it->value,
				      it->keys, e));
	}
	for (uint32_t i = 0, k = 0; i < plan->nruns; i++) {
		const struct rn_classes *c;
		json_t *facts;
		int rc;

		if (plan->runs[i].kind != RN_RUN_FIT)
			continue;
		c = tasks[k].classes;
		RN_TRY(rn_json_object(&facts, e));
		rc = rn_json_set_text(facts, "name", plan->nodes[plan->runs[i].node].name, e);
		if (!rc)
			rc = rn_json_set_text(facts, "kind", loss_names[tasks[k].kind], e);
		if (!rc && c)
			rc = rn_json_set(facts, "classes", json_integer(c->n), e);
		if (!rc && c)
			rc = rn_json_set(facts, "own", json_boolean(c->own), e);
		if (rc) {
			json_decref(facts);
			return rc;
		}
		RN_TRY(rn_pack_column(p, "loss", facts, c ? c->values : NULL, e));
		k++;
	}
	return 0;
}

int rn_model_save(const char *path, const struct rn_plan *plan, const struct rn_binding *x,
		  const struct rn_params *params, const struct rn_task *tasks,
		  const json_t *history, const struct rn_writer_opt *opt, struct rn_err *e)
{
	json_t *header = NULL;
	struct rn_pack p;
	int rc;

	RN_TRY(rn_pack_init(&p, e));
	RN_GOTO(out, rn_model_header("model", plan, x, &header, e));
	if (history)
		RN_GOTO(out, rn_json_set(header, "history", json_incref((json_t *)history), e));
	RN_GOTO(out, rn_model_pack(&p, plan, params, tasks, e));
	rc = rn_pack_write(&p, header, path, opt, e);
out:
	json_decref(header);
	rn_pack_fini(&p);
	return rc ? rn_err_prefix(e, rc, "model") : 0;
}

/* ---- loading -------------------------------------------------------------------------- */

void rn_model_fini(struct rn_model *m)
{
	for (size_t i = 0; i < m->nlosses; i++) {
		free(m->losses[i].name);
		rn_classes_fini(&m->losses[i].classes);
	}
	free(m->losses);
	rn_params_fini(&m->params);
	rn_plan_free(m->plan);
	json_decref(m->header);
	memset(m, 0, sizeof *m);
}

static int load_plan(struct rn_model *m, const struct rn_unpack *u, struct rn_err *e)
{
	struct rn_str text = RN_STR_INIT;
	const char *dir;
	char *copy;
	int rc;

	RN_TRY(rn_unpack_text(u, m->header, "dir", &dir, e));
	if (!json_is_object(json_object_get(m->header, "plan")))
		return rn_err_set(e, RN_EDATA, "'%s' is damaged: its header has no plan", u->path);
	rn_json_print(json_object_get(m->header, "plan"), RN_JSON_COMPACT, &text);
	RN_GOTO(out, rn_str_check(&text, e));
	rc = rn_plan_from_spec(text.s, text.len, u->path, NULL, 0, NULL, 0, &m->plan, e);
	if (rc) {
		/* A spec that a model holds was right when it was written. */
		if (rc == RN_EUSAGE)
			rc = e ? (e->code = RN_EDATA) : RN_EDATA;
		goto out;
	}
	copy = strdup(dir);
	if (!copy) {
		rc = rn_err_nomem(e, strlen(dir) + 1, "a path");
		goto out;
	}
	free(m->plan->dir);
	m->plan->dir = copy;
out:
	rn_str_fini(&text);
	return rc;
}

/* One more parameter with the values of a section. */
static int load_param(struct rn_params *params, const struct rn_unpack *u, const json_t *entry,
		      const struct rn_rel *rows, struct rn_err *e)
{
	struct rn_param_spec s = { 0 };
	struct rn_rel *keys = NULL;
	uint32_t number;
	float *values;
	int rc;

	RN_TRY(rn_unpack_text(u, entry, "name", &s.name, e));
	if (rn_params_find(params, s.name) >= 0)
		return rn_err_set(e, RN_EDATA, "'%s' is damaged: it has parameter '%s' twice",
				  u->path, s.name);
	RN_TRY(rn_unpack_tensor(u, entry, rows, &s.rank, s.dim, &values, e));
	RN_GOTO(fail, rn_unpack_keys(rows, &keys, e));
	RN_GOTO(fail, rn_params_get(params, &s, &number, e));
	params->items[number].keys = keys;
	free(params->items[number].value);
	params->items[number].value = values;
	params->items[number].loaded = true;
	return 0;
fail:
	free(values);
	rn_rel_unref(keys);
	return rc;
}

static int load_classes(struct rn_classes *c, const struct rn_unpack *u, const json_t *entry,
			const struct rn_rel *rows, struct rn_err *e)
{
	const json_t *own = json_object_get(entry, "own");
	int64_t n;

	RN_TRY(rn_unpack_int(u, entry, "classes", 1, UINT32_MAX - 1, &n, e));
	if (!json_is_boolean(own) || rows->schema.ncols != 1 ||
	    (!json_is_true(own) && (rows->rows > (uint64_t)n || rows->cols[0]->nulls)))
		return rn_err_set(e, RN_EDATA, "'%s' is damaged: section %zu holds no class labels",
				  u->path, u->next - 1);
	c->n = (uint32_t)n;
	c->own = json_is_true(own);
	if (!c->own)
		c->values = rn_column_ref(rows->cols[0]);
	return 0;
}

static int load_loss(struct rn_model *m, const struct rn_unpack *u, const json_t *entry,
		     const struct rn_rel *rows, struct rn_err *e)
{
	struct rn_model_loss *l;
	const char *name, *kind;
	unsigned k = 0;

	RN_TRY(rn_unpack_text(u, entry, "name", &name, e));
	RN_TRY(rn_unpack_text(u, entry, "kind", &kind, e));
	while (k < NLOSSES && strcmp(kind, loss_names[k]))
		k++;
	if (k == NLOSSES)
		return rn_err_set(e, RN_EDATA, "'%s' is damaged: there is no loss '%s'", u->path,
				  kind);
	/* At most as many as the list has entries. */
	l = &m->losses[m->nlosses];
	l->name = strdup(name);
	if (!l->name)
		return rn_err_nomem(e, strlen(name) + 1, "a name");
	m->nlosses++;
	l->kind = (enum rn_loss_kind)k;
	return k == RN_LOSS_CE ? load_classes(&l->classes, u, entry, rows, e) : 0;
}

/* ---- what encoders fitted --------------------------------------------------------------- */

static int damaged(const struct rn_unpack *u, const char *stage, struct rn_err *e)
{
	return rn_err_set(e, RN_EDATA, "'%s' is damaged: what stage '%s' fitted is not what its "
			  "encoders want", u->path, stage);
}

/* Encoder `number` of the node, if it is the one that the entry tells of. */
static int same_encoder(const struct rn_node *n, int64_t number, const char *what,
			const struct rn_rel *rows, size_t *count, bool *same, struct rn_err *e)
{
	struct rn_str text = RN_STR_INIT;
	struct rn_encoders es;
	int rc;

	*same = false;
	RN_TRY(rn_encoders_parse(rn_node_string(n, "expr"), &es, e));
	*count = es.n;
	if ((uint64_t)number < es.n && rn_encoder_fits(&es.at[number]))
		rn_encoder_print(&es.at[number], &text);
	rc = rn_str_check(&text, e);
	*same = text.len && !strcmp(text.s, what);
	if (!rc && *same)
		rc = rn_encoder_check_table(&es.at[number], rows, e);
	rn_str_fini(&text);
	rn_encoders_fini(&es);
	return rc;
}

int rn_model_take_fitted(const struct rn_unpack *u, const json_t *entry, struct rn_rel *rows,
			 struct rn_plan *p, bool own, struct rn_err *e)
{
	const char *stage, *what;
	struct rn_node *n;
	bool same = false;
	int64_t number;
	size_t count;
	int rc = 0;
	long at;

	RN_TRY(rn_unpack_text(u, entry, "name", &stage, e));
	RN_TRY(rn_unpack_text(u, entry, "encoder", &what, e));
	RN_TRY(rn_unpack_int(u, entry, "number", 0, UINT32_MAX, &number, e));
	at = rn_plan_find(p, stage);
	n = at < 0 ? NULL : &p->nodes[at];
	if (n && n->op->fit)
		rc = same_encoder(n, number, what, rows, &count, &same, e);
	if (rc)
		return rc == RN_EDATA ? rn_err_prefix(e, rc, "'%s' is damaged", u->path) : rc;
	if (!same)
		return own ? damaged(u, stage, e) : 0;
	if (!n->fitted)
		RN_TRY(rn_fitted_new(count, &n->fitted, e));
	if (n->fitted->tables[number])
		return damaged(u, stage, e);
	n->fitted->tables[number] = rn_rel_ref(rows);
	return 0;
}

int rn_model_check_fitted(const struct rn_unpack *u, struct rn_plan *p, bool own,
			  struct rn_err *e)
{
	for (uint32_t i = 0; i < p->nnodes; i++) {
		struct rn_node *n = &p->nodes[i];
		struct rn_encoders es;
		bool good = true;

		if (!n->fitted)
			continue;
		RN_TRY(rn_encoders_parse(rn_node_string(n, "expr"), &es, e));
		for (size_t k = 0; k < es.n; k++)
			good = good && rn_encoder_fits(&es.at[k]) == (n->fitted->tables[k] != NULL);
		rn_encoders_fini(&es);
		if (!good && own)
			return damaged(u, n->name, e);
		if (good)
			continue;
		rn_fitted_unref(n->fitted);
		n->fitted = NULL;
	}
	return 0;
}

static int no_encoder(const struct rn_model *m, const char *name, const char *text, bool several,
		      struct rn_err *e)
{
	struct rn_str have = RN_STR_INIT;

	for (uint32_t i = 0; i < m->plan->nnodes; i++) {
		const struct rn_node *n = &m->plan->nodes[i];

		if (n->op->fit)
			rn_str_addf(&have, "%s'%s' (%s)", have.len ? ", " : "", n->name,
				    rn_node_string(n, "expr"));
	}
	if (several)
		rn_err_set(e, RN_EUSAGE,
			   "the model has several stages that encode '%s' (%s): choose with --name",
			   text, have.s);
	else
		rn_err_set(e, RN_EUSAGE, "the model has no stage %s%s%sthat encodes '%s' (it has %s)",
			   name ? "'" : "", name ? name : "", name ? "' " : "", text,
			   have.len ? have.s : "none that encodes");
	rn_str_fini(&have);
	return RN_EUSAGE;
}

int rn_model_encoder(const struct rn_model *m, const json_t *opt, const char **name,
		     struct rn_fitted **fitted, struct rn_err *e)
{
	const char *text = json_string_value(json_object_get(opt, "expr"));
	const struct rn_node *found = NULL;
	bool several = false, fits;
	struct rn_encoders es;

	RN_TRY(rn_encoders_parse(text, &es, e));
	fits = rn_encoders_fit_any(&es);
	rn_encoders_fini(&es);
	if (!fits)
		return 0;

	for (uint32_t i = 0; i < m->plan->nnodes; i++) {
		const struct rn_node *n = &m->plan->nodes[i];

		if (!n->op->fit || strcmp(rn_node_string(n, "expr"), text) ||
		    (*name && strcmp(*name, n->name)))
			continue;
		several = several || found;
		found = n;
	}
	if (!found || several)
		return no_encoder(m, *name, text, several, e);
	if (!found->fitted)
		return rn_err_set(e, RN_EUSAGE,
				  "the model did not fit its stage '%s': it came by with rows that "
				  "another model had encoded", found->name);
	*name = found->name;
	*fitted = found->fitted;
	return 0;
}

static int load_sections(struct rn_model *m, struct rn_unpack *u, struct rn_err *e)
{
	for (;;) {
		const json_t *entry;
		struct rn_rel *rows;
		const char *role;
		int rc;

		RN_TRY(rn_unpack_next(u, &entry, &rows, e));
		if (!entry)
			return rn_model_check_fitted(u, m->plan, true, e);
		rc = rn_unpack_text(u, entry, "role", &role, e);
		if (!rc && !strcmp(role, "parameter"))
			rc = load_param(&m->params, u, entry, rows, e);
		else if (!rc && !strcmp(role, "loss"))
			rc = load_loss(m, u, entry, rows, e);
		else if (!rc && !strcmp(role, "fitted"))
			rc = rn_model_take_fitted(u, entry, rows, m->plan, true, e);
		rn_rel_unref(rows);
		RN_TRY(rc);
	}
}

int rn_model_load(const char *path, struct rn_model *m, struct rn_err *e)
{
	struct rn_unpack u;
	size_t n;
	int rc;

	memset(m, 0, sizeof *m);
	RN_TRY(rn_unpack_open(&u, path, e));
	m->header = json_incref(u.header);
	n = json_array_size(json_object_get(m->header, "sections"));
	RN_GOTO(out, rn_calloc(n, sizeof *m->losses, "losses", &m->losses, e));
	RN_GOTO(out, load_plan(m, &u, e));
	RN_GOTO(out, load_sections(m, &u, e));
	m->params.frozen = true;
out:
	rn_unpack_fini(&u);
	if (rc)
		rn_model_fini(m);
	return rc;
}

/* ---- initial values ----------------------------------------------------------------------- */

/* A table by key: the rows of equal keys; keys that `from` lacks keep their initial values. */
static int take_rows(struct rn_param *dst, struct rn_params *from, uint32_t at, struct rn_err *e)
{
	struct rn_param_spec s = { .name = dst->name, .rank = dst->rank, .keys = dst->keys };
	size_t width = dst->dim[0] ? dst->count / dst->dim[0] : 0;
	uint32_t number;
	int rc;

	memcpy(s.dim, dst->dim, sizeof s.dim);
	RN_TRY(rn_calloc(dst->dim[0], sizeof *s.rows, "table rows", &s.rows, e));
	rc = rn_params_get(from, &s, &number, e);
	for (uint32_t i = 0; !rc && i < dst->dim[0]; i++)
		if (s.rows[i] != RN_NO_ROW)
			memcpy(dst->value + i * width, from->items[at].value + s.rows[i] * width,
			       width * sizeof *dst->value);
	free(s.rows);
	return rc;
}

static int take_values(struct rn_params *p, struct rn_params *from, const char *path,
		       struct rn_err *e)
{
	uint32_t found = 0;

	for (uint32_t i = 0; i < from->n; i++) {
		const struct rn_param *src = &from->items[i];
		long at = rn_params_find(p, src->name);
		struct rn_param *dst;

		if (at < 0)
			continue;
		dst = &p->items[at];
		if (dst->keys && src->keys) {
			RN_TRY(take_rows(dst, from, i, e));
			found++;
			continue;
		}
		if (dst->rank != src->rank ||
		    memcmp(dst->dim, src->dim, dst->rank * sizeof *dst->dim))
			return rn_err_set(e, RN_EUSAGE,
					  "parameter '%s' has another shape in '%s' than in this "
					  "plan",
					  src->name, path);
		memcpy(dst->value, src->value, dst->count * sizeof *dst->value);
		dst->loaded = true;
		found++;
	}
	if (p->n && !found)
		return rn_err_set(e, RN_EUSAGE, "'%s' has none of the parameters ('%s', …)", path,
				  p->items[0].name);
	return 0;
}

int rn_params_load(struct rn_params *p, const char *path, struct rn_err *e)
{
	struct rn_model m;
	struct stat st;
	int rc;

	if (stat(path, &st))
		return rn_err_errno(e, "cannot open '%s'", path);
	if (S_ISDIR(st.st_mode))
		return rn_params_load_npy(p, path, e);
	RN_TRY(rn_model_load(path, &m, e));
	rc = take_values(p, &m.params, path, e);
	rn_model_fini(&m);
	return rc;
}
