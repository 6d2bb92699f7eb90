/* SPDX-License-Identifier: Apache-2.0
 *
 * Checkpoints: a model's container and, beside the parameters,
 *
 *   header   "identity": {seed, runs, build, kernel, device, math (of a
 *            device that is not the cpu), sources: {scan: hash}},
 *            "state": {run, fit, epoch, stale, best_epoch, best_val, chosen_run,
 *                      chosen_val, done: [results of the runs before],
 *                      evals: [metrics of this run so far]}
 *   sections role "best" (parameters of the best validation), "chosen" (of the
 *            best run before), "slot" (optimizer slots in order), "curve" (losses),
 *            "mark.K", "chosen.K" (parameters after K fits, for predictions there)
 *
 * A run that goes on from one ends in the same bits as one that never stopped.
 */
#include "session.h"

#include "../../formats/hash.h"
#include "build.h"
#include "pack.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- identity ----------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h, const void *data, size_t n)
{
	uint64_t part[2] = { h, n ? rn_hash64(data, n) : 0 };

	return rn_hash64(part, sizeof part);
}

static uint64_t hash_column(uint64_t h, const struct rn_column *c)
{
	size_t n = c->rows;

	if (c->null)
		h = mix(h, c->null, n);
	switch (c->type) {
	case RN_FLOAT64:
		return mix(h, c->f64, n * sizeof *c->f64);
	case RN_BOOL:
		return mix(h, c->b, n);
	case RN_STRING:
		h = mix(h, c->off, (n + 1) * sizeof *c->off);
		return mix(h, c->bytes, c->off[n]);
	default:
		return mix(h, c->i64, n * sizeof *c->i64);
	}
}

/* Content and embedding of a relation that a stream brought. */
static uint64_t hash_rel(const struct rn_rel *r)
{
	uint64_t h = r->rows;

	for (size_t i = 0; i < r->schema.ncols; i++) {
		h = mix(h, r->schema.cols[i].name, strlen(r->schema.cols[i].name));
		h = hash_column(h, r->cols[i]);
	}
	for (size_t i = 0; i < r->schema.nparts; i++) {
		const struct rn_tensor *t = r->parts[i].t;

		h = mix(h, t->data, t->nnz * sizeof *t->data);
		if (t->sparse) {
			h = mix(h, t->ptr, (t->rows + 1) * sizeof *t->ptr);
			h = mix(h, t->col, t->nnz * sizeof *t->col);
		}
		if (r->parts[i].map)
			h = mix(h, r->parts[i].map->data, r->rows * sizeof(uint32_t));
	}
	return h;
}

static int add_sources(const struct rn_session *s, json_t *sources, struct rn_err *e)
{
	for (uint32_t i = 0; i < s->plan->nnodes; i++) {
		const struct rn_rel *carried = s->conf->carried ? s->conf->carried[i] : NULL;
		uint64_t h = carried ? hash_rel(carried) : rn_binding_source_hash(s->binding, i);
		char hex[17];

		if (!carried && !(s->plan->nodes[i].op->flags & RN_OP_SOURCE))
			continue;
		snprintf(hex, sizeof hex, "%016" PRIx64, h);
		RN_TRY(rn_json_set_text(sources, s->plan->nodes[i].name, hex, e));
	}
	return 0;
}

static int identity(const struct rn_session *s, json_t **out, struct rn_err *e)
{
	json_int_t seed = (json_int_t)s->conf->ctx->seed;
	char build[RN_BUILD_ID_SIZE];
	json_t *o, *sources;
	int rc;

	RN_TRY(rn_json_object(&o, e));
	RN_GOTO(fail, rn_json_set(o, "seed", json_integer(seed), e));
	RN_GOTO(fail, rn_json_set(o, "runs", json_integer(s->runs), e));
	RN_GOTO(fail, rn_json_set_text(o, "build", rn_build_id(build), e));
	RN_GOTO(fail, rn_json_set_text(o, "kernel", rn_cpu_isa(), e));
	RN_GOTO(fail, rn_json_set_text(o, "device", s->backend->name, e));
	if (!s->backend->host)
		RN_GOTO(fail, rn_json_set_text(o, "math",
					       rn_math_name(rn_backend_math(s->backend, &s->ctx)),
					       e));
	RN_GOTO(fail, rn_json_object(&sources, e));
	RN_GOTO(fail, rn_json_set(o, "sources", sources, e));
	RN_GOTO(fail, add_sources(s, sources, e));
	*out = o;
	return 0;
fail:
	json_decref(o);
	return rc;
}

/* ---- saving -------------------------------------------------------------------------------- */

static json_t *real(double x)
{
	return isfinite(x) ? json_real(x) : json_null();
}

static int add_state(const struct rn_state *st, uint32_t nevals, json_t *header,
		     struct rn_err *e)
{
	json_int_t chosen = st->chosen_run == RN_NONE ? -1 : (json_int_t)st->chosen_run;
	json_t *o, *evals;

	RN_TRY(rn_json_object(&o, e));
	RN_TRY(rn_json_set(header, "state", o, e));
	RN_TRY(rn_json_set(o, "run", json_integer(st->run), e));
	RN_TRY(rn_json_set(o, "fit", json_integer(st->fit), e));
	RN_TRY(rn_json_set(o, "epoch", json_integer((json_int_t)st->epoch), e));
	RN_TRY(rn_json_set(o, "stale", json_integer((json_int_t)st->stale), e));
	RN_TRY(rn_json_set(o, "best_epoch", json_integer((json_int_t)st->best_epoch), e));
	RN_TRY(rn_json_set(o, "best_val", real(st->best_val), e));
	RN_TRY(rn_json_set(o, "chosen_run", json_integer(chosen), e));
	RN_TRY(rn_json_set(o, "chosen_val", real(st->chosen_val), e));
	RN_TRY(rn_json_set(o, "done", json_incref(st->done), e));
	RN_TRY(rn_json_array(&evals, e));
	RN_TRY(rn_json_set(o, "evals", evals, e));
	for (uint32_t i = 0; i < nevals; i++)
		RN_TRY(rn_json_append(evals, real(st->marks.evals[i]), e));
	return 0;
}

/* Values that lie flat, one parameter after the other. */
static int pack_flat(struct rn_pack *p, const char *role, const struct rn_params *params,
		     const float *flat, struct rn_err *e)
{
	for (uint32_t i = 0; i < params->n; i++) {
		const struct rn_param *it = &params->items[i];

		RN_TRY(rn_pack_tensor(p, role, it->name, it->rank, it->dim, flat, it->keys, e));
		flat += it->count;
	}
	return 0;
}

static int read_slots(struct rn_store *states, struct rn_slots *out, struct rn_err *e)
{
	RN_TRY(rn_calloc(states->n, sizeof *out->items, "optimizer slots", &out->items, e));
	out->n = states->n;
	for (uint32_t i = 0; i < states->n; i++) {
		out->items[i].count = states->items[i].count;
		RN_TRY(rn_calloc(out->items[i].count, sizeof(float), "optimizer slots",
				 &out->items[i].x, e));
		RN_TRY(rn_store_get_f32(states, i, out->items[i].x, e));
	}
	return 0;
}

static void free_slots(struct rn_slots *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->items[i].x);
	free(s->items);
	*s = (struct rn_slots){ 0 };
}

static int pack_marks(struct rn_session *s, struct rn_pack *p, struct rn_err *e)
{
	const struct rn_state *st = &s->state;
	char role[24];

	for (uint32_t i = 0; i < s->nfits; i++) {
		snprintf(role, sizeof role, "mark.%u", i);
		if (i <= st->fit && st->marks.now[i])
			RN_TRY(pack_flat(p, role, &s->params, st->marks.now[i], e));
		snprintf(role, sizeof role, "chosen.%u", i);
		if (st->chosen_run != RN_NONE && st->marks.chosen[i])
			RN_TRY(pack_flat(p, role, &s->params, st->marks.chosen[i], e));
	}
	return 0;
}

static int pack_all(struct rn_session *s, struct rn_pack *p, const struct rn_slots *slots,
		    struct rn_err *e)
{
	const struct rn_state *st = &s->state;

	RN_TRY(rn_model_pack(p, s->plan, &s->params, s->tasks, e));
	if (st->best_epoch)
		RN_TRY(pack_flat(p, "best", &s->params, st->best, e));
	if (st->chosen_run != RN_NONE)
		RN_TRY(pack_flat(p, "chosen", &s->params, st->chosen, e));
	RN_TRY(pack_marks(s, p, e));
	for (size_t i = 0; i < slots->n; i++) {
		uint32_t dim = (uint32_t)slots->items[i].count;
		char name[24];

		snprintf(name, sizeof name, "%zu", i);
		RN_TRY(rn_pack_tensor(p, "slot", name, 1, &dim, slots->items[i].x, NULL, e));
	}
	return rn_pack_reals(p, "curve", st->curve, st->ncurve, e);
}

int rn_checkpoint_save(struct rn_session *s, struct rn_err *e)
{
	struct rn_writer_opt writer = s->conf->writer;
	struct rn_slots slots = { 0 };
	json_t *header = NULL, *id;
	struct rn_pack p;
	int rc;

	RN_TRY(rn_pack_init(&p, e));
	RN_GOTO(out, rn_params_from_store(&s->params, s->store, e));
	RN_GOTO(out, read_slots(s->fits[s->state.fit].states, &slots, e));
	RN_GOTO(out, rn_model_header("checkpoint", s->plan, NULL, &header, e));
	RN_GOTO(out, identity(s, &id, e));
	RN_GOTO(out, rn_json_set(header, "identity", id, e));
	RN_GOTO(out, add_state(&s->state, s->nevals, header, e));
	RN_GOTO(out, pack_all(s, &p, &slots, e));
	writer.stats = NULL; /* the model's */
	rc = rn_pack_write(&p, header, s->conf->checkpoint, &writer, e);
out:
	json_decref(header);
	free_slots(&slots);
	rn_pack_fini(&p);
	return rc ? rn_err_prefix(e, rc, "checkpoint") : 0;
}

/* ---- loading ------------------------------------------------------------------------------- */

void rn_checkpoint_fini(struct rn_checkpoint *c)
{
	json_decref(c->header);
	rn_params_fini(&c->params);
	rn_params_fini(&c->best);
	rn_params_fini(&c->chosen);
	for (uint32_t i = 0; i < c->nmarks; i++) {
		rn_params_fini(&c->marks[i]);
		rn_params_fini(&c->chosen_marks[i]);
	}
	free(c->marks);
	free(c->chosen_marks);
	free_slots(&c->slots);
	free(c->curve);
	memset(c, 0, sizeof *c);
}

static int load_values(struct rn_params *to, const struct rn_unpack *u, const json_t *entry,
		       const struct rn_rel *rows, struct rn_err *e)
{
	struct rn_param_spec spec = { 0 };
	uint32_t number;
	float *x;
	int rc;

	RN_TRY(rn_unpack_text(u, entry, "name", &spec.name, e));
	RN_TRY(rn_unpack_tensor(u, entry, rows, &spec.rank, spec.dim, &x, e));
	rc = rn_params_get(to, &spec, &number, e);
	if (!rc) {
		free(to->items[number].value);
		to->items[number].value = x;
	} else {
		free(x);
	}
	return rc;
}

static int load_slot(struct rn_checkpoint *c, const struct rn_unpack *u, const json_t *entry,
		     const struct rn_rel *rows, struct rn_err *e)
{
	struct rn_slot *s = &c->slots.items[c->slots.n]; /* one per section, at most */
	uint32_t rank, dim[4];

	RN_TRY(rn_unpack_tensor(u, entry, rows, &rank, dim, &s->x, e));
	c->slots.n++;
	if (rank != 1)
		return rn_err_set(e, RN_EDATA, "'%s' is damaged: section %zu is no optimizer slot",
				  u->path, u->next - 1);
	s->count = dim[0];
	return 0;
}

static int load_curve(struct rn_checkpoint *c, const struct rn_unpack *u,
		      const struct rn_rel *rows, struct rn_err *e)
{
	if (c->curve || rows->schema.ncols != 1 || rows->cols[0]->type != RN_FLOAT64 ||
	    rows->cols[0]->nulls)
		return rn_err_set(e, RN_EDATA, "'%s' is damaged: section %zu is no loss curve",
				  u->path, u->next - 1);
	RN_TRY(rn_calloc(rows->rows, sizeof *c->curve, "losses", &c->curve, e));
	c->ncurve = rows->rows;
	if (c->ncurve)
		memcpy(c->curve, rows->cols[0]->f64, c->ncurve * sizeof *c->curve);
	return 0;
}

/* Those of "mark.K" or "chosen.K", or NULL. */
static struct rn_params *mark_of(const struct rn_checkpoint *c, const char *role)
{
	bool chosen = !strncmp(role, "chosen.", 7);
	char *end;
	long k;

	if (!chosen && strncmp(role, "mark.", 5))
		return NULL;
	k = strtol(strchr(role, '.') + 1, &end, 10);
	if (*end || k < 0 || k >= (long)c->nmarks)
		return NULL;
	return chosen ? &c->chosen_marks[k] : &c->marks[k];
}

static int load_section(struct rn_checkpoint *c, const struct rn_unpack *u, const json_t *entry,
			struct rn_rel *rows, struct rn_plan *plan, struct rn_err *e)
{
	const char *role;

	RN_TRY(rn_unpack_text(u, entry, "role", &role, e));
	if (!strcmp(role, "parameter"))
		return load_values(&c->params, u, entry, rows, e);
	if (!strcmp(role, "best"))
		return load_values(&c->best, u, entry, rows, e);
	if (!strcmp(role, "chosen"))
		return load_values(&c->chosen, u, entry, rows, e);
	if (mark_of(c, role))
		return load_values(mark_of(c, role), u, entry, rows, e);
	if (!strcmp(role, "slot"))
		return load_slot(c, u, entry, rows, e);
	if (!strcmp(role, "curve"))
		return load_curve(c, u, rows, e);
	if (!strcmp(role, "fitted") && plan)
		return rn_model_take_fitted(u, entry, rows, plan, false, e);
	return 0; /* class labels: the plan is bound again */
}

/* There are no more fits than runs in the plan. */
static int new_marks(struct rn_checkpoint *c, struct rn_err *e)
{
	size_t n = json_array_size(json_object_get(json_object_get(c->header, "plan"), "run"));

	RN_TRY(rn_calloc(n, sizeof *c->marks, "parameters between fits", &c->marks, e));
	RN_TRY(rn_calloc(n, sizeof *c->chosen_marks, "parameters between fits", &c->chosen_marks, e));
	c->nmarks = (uint32_t)n;
	return 0;
}

int rn_checkpoint_load(const char *path, struct rn_plan *plan, struct rn_checkpoint *c,
		       struct rn_err *e)
{
	const json_t *entry;
	struct rn_unpack u;
	const char *kind;
	int rc;

	memset(c, 0, sizeof *c);
	c->path = path;
	RN_TRY(rn_unpack_open(&u, path, e));
	c->header = json_incref(u.header);
	RN_GOTO(out, rn_unpack_text(&u, u.header, "kind", &kind, e));
	if (strcmp(kind, "checkpoint")) {
		rc = rn_err_set(e, RN_EDATA, "'%s' is a model, not a checkpoint", path);
		goto out;
	}
	RN_GOTO(out, rn_calloc(json_array_size(json_object_get(c->header, "sections")),
			       sizeof *c->slots.items, "optimizer slots", &c->slots.items, e));
	RN_GOTO(out, new_marks(c, e));
	for (;;) {
		struct rn_rel *rows;

		RN_GOTO(out, rn_unpack_next(&u, &entry, &rows, e));
		if (!entry)
			break;
		rc = load_section(c, &u, entry, rows, plan, e);
		rn_rel_unref(rows);
		if (rc)
			goto out;
	}
	if (plan)
		rc = rn_model_check_fitted(&u, plan, false, e);
out:
	rn_unpack_fini(&u);
	if (rc)
		rn_checkpoint_fini(c);
	return rc;
}

/* ---- going on ------------------------------------------------------------------------------ */

static int changed(const struct rn_session *s, const char *what, const char *name,
		   struct rn_err *e)
{
	return rn_err_set(e, RN_EUSAGE,
			  "cannot go on from '%s': %s%s%s%s is not that of the checkpoint "
			  "(--allow-changed goes on regardless)",
			  s->conf->resume, what, name ? " '" : "", name ? name : "",
			  name ? "'" : "");
}

static int compare_identity(const struct rn_session *s, const json_t *header, const json_t *now,
			    const json_t *spec, struct rn_err *e)
{
	const json_t *then = json_object_get(header, "identity");
	const json_t *sources = json_object_get(then, "sources");
	const char *key;
	json_t *v;

	json_object_foreach(json_object_get(now, "sources"), key, v)
		if (!rn_json_equal(v, json_object_get(sources, key)))
			return changed(s, "the data of", key, e);
	if (!rn_json_equal(json_object_get(header, "plan"), spec))
		return changed(s, "the plan", NULL, e);
	json_object_foreach((json_t *)now, key, v)
		if (!rn_json_equal(v, json_object_get(then, key)))
			return changed(s, "the", key, e);
	return 0;
}

static double metric_of(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	return json_is_number(v) ? json_number_value(v) : NAN;
}

int rn_checkpoint_again(struct rn_session *s, const struct rn_checkpoint *c, struct rn_err *e)
{
	struct rn_unpack u = { .path = c->path };
	const json_t *o = json_object_get(c->header, "state");
	json_t *done = json_object_get(o, "done");
	struct rn_state *st = &s->state;
	int64_t run, fit, epoch, stale, best, chosen;

	RN_TRY(rn_unpack_int(&u, o, "run", 0, s->runs - 1, &run, e));
	RN_TRY(rn_unpack_int(&u, o, "fit", 0, s->nfits - 1, &fit, e));
	RN_TRY(rn_unpack_int(&u, o, "epoch", 1, INT32_MAX, &epoch, e));
	RN_TRY(rn_unpack_int(&u, o, "stale", 0, INT32_MAX, &stale, e));
	RN_TRY(rn_unpack_int(&u, o, "best_epoch", 0, epoch, &best, e));
	RN_TRY(rn_unpack_int(&u, o, "chosen_run", -1, run - 1, &chosen, e));
	if (!json_is_array(done) || json_array_size(done) != (size_t)run ||
	    (chosen < 0) != (run == 0))
		return rn_err_set(e, RN_EDATA, "'%s' is damaged: it does not hold the results of "
				  "%lld runs", u.path, (long long)run);
	st->run = (uint32_t)run;
	st->fit = (uint32_t)fit;
	st->epoch = (uint64_t)epoch;
	st->stale = (uint64_t)stale;
	st->best_epoch = (uint64_t)best;
	st->best_val = metric_of(o, "best_val");
	st->chosen_run = chosen < 0 ? RN_NONE : (uint32_t)chosen;
	st->chosen_val = metric_of(o, "chosen_val");
	json_decref(st->done);
	return rn_json_copy(done, &st->done, e);
}

int rn_checkpoint_begin(struct rn_session *s, const struct rn_checkpoint *c, struct rn_err *e)
{
	json_t *now = NULL, *spec = NULL;
	int rc = 0;

	if (!s->conf->allow_changed) {
		RN_TRY(identity(s, &now, e));
		rc = rn_plan_to_spec(s->plan, &spec, e);
		if (!rc)
			rc = compare_identity(s, c->header, now, spec, e);
		json_decref(now);
		json_decref(spec);
	}
	return rc ? rc : rn_checkpoint_again(s, c, e);
}

uint32_t rn_checkpoint_run(const struct rn_checkpoint *c)
{
	const json_t *state = json_object_get(c->header, "state");

	return (uint32_t)json_integer_value(json_object_get(state, "run"));
}

/* All parameters of the session from a table of the same names and shapes. */
static int take(const struct rn_session *s, const struct rn_checkpoint *c,
		const struct rn_params *from, float *flat, struct rn_err *e)
{
	for (uint32_t i = 0; i < s->params.n; i++) {
		struct rn_param *p = &s->params.items[i];
		long at = rn_params_find(from, p->name);
		const struct rn_param *q = at < 0 ? NULL : &from->items[at];

		if (!q || q->rank != p->rank || memcmp(q->dim, p->dim, p->rank * sizeof *p->dim))
			return rn_err_set(e, RN_EUSAGE,
					  "cannot go on from '%s': it has no parameter '%s' of "
					  "this plan's shape",
					  c->path, p->name);
		memcpy(flat ? flat : p->value, q->value, p->count * sizeof *p->value);
		flat = flat ? flat + p->count : NULL;
	}
	return 0;
}

static int take_marks(struct rn_session *s, const struct rn_checkpoint *c, struct rn_err *e)
{
	static const struct rn_params none;
	struct rn_state *st = &s->state;
	const json_t *evals = json_object_get(json_object_get(c->header, "state"), "evals");

	for (uint32_t i = 0; i < s->nfits; i++) {
		bool there = i < c->nmarks;

		if (i <= st->fit && st->marks.now[i])
			RN_TRY(take(s, c, there ? &c->marks[i] : &none, st->marks.now[i], e));
		if (st->chosen_run != RN_NONE && st->marks.chosen[i])
			RN_TRY(take(s, c, there ? &c->chosen_marks[i] : &none, st->marks.chosen[i], e));
	}
	for (uint32_t i = 0; i < s->nevals; i++) {
		const json_t *v = json_array_get(evals, i);

		st->marks.evals[i] = json_is_number(v) ? json_number_value(v) : NAN;
	}
	return 0;
}

int rn_checkpoint_apply(struct rn_session *s, const struct rn_checkpoint *c, struct rn_err *e)
{
	struct rn_state *st = &s->state;
	const struct rn_store *states = s->fits[st->fit].states;

	RN_TRY(take(s, c, &c->params, NULL, e));
	if (st->best_epoch)
		RN_TRY(take(s, c, &c->best, st->best, e));
	if (st->chosen_run != RN_NONE)
		RN_TRY(take(s, c, &c->chosen, st->chosen, e));
	RN_TRY(take_marks(s, c, e));
	RN_TRY(rn_grow(&st->curve, &st->cap_curve, c->ncurve, sizeof *st->curve, "losses", e));
	if (c->ncurve)
		memcpy(st->curve, c->curve, c->ncurve * sizeof *st->curve);
	st->ncurve = c->ncurve;
	if (c->slots.n != states->n)
		goto other;
	for (size_t i = 0; i < c->slots.n; i++)
		if (c->slots.items[i].count != states->items[i].count)
			goto other;
	return 0;
other:
	return rn_err_set(e, RN_EUSAGE, "cannot go on from '%s': it is of another optimizer",
			  c->path);
}
