/* SPDX-License-Identifier: Apache-2.0
 *
 * Properties of evaluation: schemas, blocks, threads, saved parameters.
 */
#include "ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool same_key(const struct rn_schema *a, const struct rn_schema *b)
{
	return a->nkey == b->nkey &&
	       (!a->nkey || !memcmp(a->key, b->key, a->nkey * sizeof *a->key));
}

static bool parts_fit(const struct rn_rel *r)
{
	for (size_t i = 0; i < r->schema.nparts; i++)
		if (!rn_shape_equal(&r->schema.parts[i].shape, &r->parts[i].t->shape) ||
		    r->schema.parts[i].sparse != r->parts[i].t->sparse)
			return false;
	return true;
}

/* NULLs are counted, nothing stands under them, and there is no NaN and no -0.0. */
static bool well_formed(const struct rn_column *c)
{
	uint64_t nulls = 0;

	for (uint64_t i = 0; i < c->rows; i++) {
		double x = c->type == RN_FLOAT64 ? c->f64[i] : 0;
		bool null = rn_column_is_null(c, i);

		nulls += null;
		if (x != x || (x == 0 && signbit(x)))
			return false;
		if (null && (c->type == RN_STRING    ? c->off[i + 1] != c->off[i]
			     : c->type == RN_FLOAT64 ? x != 0
			     : c->type == RN_BOOL    ? c->b[i] != 0
						     : c->i64[i] != 0))
			return false;
	}
	return nulls == c->nulls && !c->nulls == !c->null;
}

/* What infer says is what comes out. */
bool check_schema(struct trial *t)
{
	const struct rn_schema *in[MAX_INPUTS];
	struct rn_str a = RN_STR_INIT, b = RN_STR_INIT;
	struct rn_schema s = { 0 };
	struct rn_err e;
	bool ok;

	for (uint32_t i = 0; i < t->nin; i++)
		in[i] = &t->in[i]->schema;
	must(rn_node_infer(&t->node, in, &s, &e), &e, "inference");
	rn_schema_print(&s, &a);
	rn_schema_print(&t->out->schema, &b);
	ok = rn_schema_equal(&s, &t->out->schema) && same_key(&s, &t->out->schema) && s.name &&
	     t->out->schema.name && !strcmp(s.name, t->out->schema.name) && !strcmp(a.s, b.s);
	if (!ok)
		fail("inferred %s with %zu key columns, made %s with %zu", a.s, s.nkey, b.s,
		     t->out->schema.nkey);
	if (ok && !parts_fit(t->out))
		ok = fail("a part is not what the schema says: %s", b.s);
	if (ok && t->params.n && !(t->node.learns && t->node.op->flags & RN_OP_LEARNS))
		ok = fail("it has parameters, and says that it learns nothing");
	for (size_t c = 0; ok && c < t->out->schema.ncols; c++)
		ok = well_formed(t->out->cols[c]) ||
		     fail("column '%s' is not well-formed", t->out->schema.cols[c].name);
	rn_schema_fini(&s);
	rn_str_fini(&a);
	rn_str_fini(&b);
	return ok;
}

static bool blocks_of(struct trial *t, uint64_t size)
{
	uint64_t rows = t->in[0]->rows, n = rows ? (rows + size - 1) / size : 1;
	struct rn_rel **outs = calloc(n, sizeof *outs), *whole;
	struct rn_err e;
	bool ok;

	for (uint64_t k = 0; k < n; k++) {
		uint64_t left = rows - k * size;
		struct rn_rel *in;

		must(rn_rel_slice(t->in[0], k * size, left < size ? left : size, &in, &e), &e,
		     "a block");
		outs[k] = trial_eval(t, backends[0], &in);
		rn_rel_unref(in);
	}
	must(rn_rel_concat(&t->out->schema, outs, n, &whole, &e), &e, "concatenating blocks");
	ok = rel_same(whole, t->out);
	if (!ok)
		snprintf(why + strlen(why), sizeof why - strlen(why), " (blocks of %llu rows)",
			 (unsigned long long)size);
	rn_rel_unref(whole);
	for (uint64_t k = 0; k < n; k++)
		rn_rel_unref(outs[k]);
	free(outs);
	return ok;
}

/* A row-wise operator gives the same bits block by block. */
bool check_blocks(struct trial *t)
{
	if (!(t->node.op->flags & RN_OP_ROWWISE))
		return true;
	return blocks_of(t, 1) && blocks_of(t, 7) && blocks_of(t, 64);
}

bool check_threads(struct trial *t)
{
	for (int i = 1; i < 3; i++) {
		struct rn_rel *out;
		bool ok;

		quiet.threads = 1u << i;
		out = trial_eval(t, backends[i], t->in);
		quiet.threads = 1;
		ok = rel_same(out, t->out);
		rn_rel_unref(out);
		if (!ok)
			return false;
	}
	return true;
}

static void remove_npy(const struct rn_params *p, const char *dir)
{
	char path[200];

	for (uint32_t i = 0; i < p->n; i++) {
		snprintf(path, sizeof path, "%s/%s.npy", dir, p->items[i].name);
		unlink(path);
	}
	rmdir(dir);
}

/* Saved and loaded parameters give the same bits. */
bool check_saved(struct trial *t)
{
	struct rn_params kept = t->params;
	struct rn_rel *out;
	struct rn_err e;
	char dir[100];
	bool ok;

	if (!t->params.n)
		return true;
	snprintf(dir, sizeof dir, "%s/npy", tmp_dir);
	must(rn_params_save_npy(&kept, dir, &e), &e, "saving parameters");
	t->params = (struct rn_params){ 0 };
	rn_rel_unref(trial_eval(t, backends[0], t->in)); /* asks for them: zeros */
	must(rn_params_load_npy(&t->params, dir, &e), &e, "loading parameters");
	remove_npy(&kept, dir);
	out = trial_eval(t, backends[0], t->in);
	ok = rel_same(out, t->out);
	rn_rel_unref(out);
	rn_params_fini(&t->params);
	t->params = kept;
	return ok;
}
