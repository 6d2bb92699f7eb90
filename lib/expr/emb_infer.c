/* SPDX-License-Identifier: Apache-2.0
 *
 * Inference: names, types and shapes of an embedding expression, by lowering it into a scratch
 * program over a relation of two rows.
 */
#include "emb_ast.h"

#include <stdlib.h>
#include <string.h>

static int scratch_param(void *arg, const struct rn_param_spec *s, uint32_t *val, struct rn_err *e)
{
	for (uint32_t i = 0; s->keys && i < s->dim[0]; i++)
		s->rows[i] = i;
	RN_VAL(val, rn_prog_param(arg, RN_V_PARAM, 0, s->rank, s->dim, e));
	return 0;
}

static int scratch_mean(void *arg, uint32_t val, uint32_t *out, struct rn_err *e)
{
	(void)arg;
	(void)e;
	*out = val;
	return 0;
}

static int scratch_softmax(void *arg, uint32_t val, size_t nby, const char *const *by,
			   uint32_t *out, struct rn_err *e)
{
	(void)arg;
	(void)nby;
	(void)by;
	(void)e;
	*out = val;
	return 0;
}

enum { SCRATCH_ROWS = 2 };

static int scratch_part(struct rn_prog *p, const struct rn_part_info *i, struct rn_lpart *out,
			struct rn_err *e)
{
	static const uint32_t ptr[SCRATCH_ROWS + 1] = { 0 };
	uint32_t one = 1;
	struct rn_buf *b;

	*out = (struct rn_lpart){ .name = i->name, .shape = i->shape, .base_rows = SCRATCH_ROWS,
				  .sparse = i->sparse, .ptr = RN_NONE, .col = RN_NONE,
				  .map = RN_NONE };
	RN_TRY(rn_buf_new(i->sparse ? 0 : SCRATCH_ROWS * sizeof(float) *
						  (size_t)rn_shape_width(&i->shape),
			  "inference", &b, e));
	RN_VAL(&out->val, rn_prog_const(p, i->sparse ? 0 : SCRATCH_ROWS,
					i->sparse ? 1 : i->shape.rank,
					i->sparse ? &one : i->shape.dim, b, e));
	if (!i->sparse)
		return 0;
	RN_VAL(&out->ptr, rn_prog_idx_copy(p, ptr, SCRATCH_ROWS + 1, e));
	RN_VAL(&out->col, rn_prog_idx_copy(p, ptr, 0, e));
	return 0;
}

/* A relation of the schema's columns, two rows of zeros. */
static int scratch_rel(const struct rn_schema *s, struct rn_rel **out, struct rn_err *e)
{
	struct rn_rel *r;
	int rc = 0;

	RN_TRY(rn_rel_new(s->name, SCRATCH_ROWS, &r, e));
	for (size_t i = 0; i < s->ncols && !rc; i++) {
		struct rn_column *c;

		if (s->cols[i].type == RN_STRING)
			rc = rn_column_new_string(SCRATCH_ROWS, 0, &c, e);
		else
			rc = rn_column_new(s->cols[i].type, SCRATCH_ROWS, &c, e);
		if (rc)
			break;
		if (c->i64)
			memset(c->i64, 0, SCRATCH_ROWS * sizeof *c->i64);
		if (c->f64)
			memset(c->f64, 0, SCRATCH_ROWS * sizeof *c->f64);
		if (c->b)
			memset(c->b, 0, SCRATCH_ROWS);
		if (c->off)
			memset(c->off, 0, (SCRATCH_ROWS + 1) * sizeof *c->off);
		rc = rn_rel_add_col(r, s->cols[i].name, s->cols[i].qual, c, e);
	}
	if (rc)
		rn_rel_unref(r);
	else
		*out = r;
	return rc;
}

static int infer(const struct rn_eexpr *x, struct rn_lower_env *env, struct rn_lpart *parts,
		 const struct rn_schema *s, struct rn_einfo *out, struct rn_err *e)
{
	struct rn_elower l = { .x = x, .env = env, .p = env->prog, .scratch = true };
	struct rn_lpart res;

	for (size_t i = 0; i < s->nparts; i++)
		RN_TRY(scratch_part(env->prog, &s->parts[i], &parts[i], e));
	RN_TRY(rn_elower_run(&l, &res, e));
	*out = (struct rn_einfo){ .shape = res.shape, .sparse = res.sparse,
				  .densifies = l.densifies };
	return 0;
}

int rn_eexpr_infer(const struct rn_eexpr *x, const struct rn_schema *s, struct rn_einfo *out,
		   struct rn_err *e)
{
	static const struct rn_ctx ctx = { .threads = 1, .seed = 1 };
	struct rn_err local, *err = e ? e : &local;
	struct rn_rel *rel = NULL;
	struct rn_lpart *parts;
	struct rn_prog p;
	int rc;

	RN_TRY(rn_calloc(s->nparts, sizeof *parts, "inference", &parts, err));
	rn_prog_init(&p);
	p.open = true;
	rc = scratch_rel(s, &rel, err);
	if (!rc) {
		struct rn_lower_env env = {
			.ctx = &ctx, .prog = &p, .training = true, .stage = "?", .rel = rel,
			.rows = SCRATCH_ROWS, .nparts = s->nparts, .parts = parts,
			.param = scratch_param, .param_arg = &p, .softmax = scratch_softmax,
			.shares = scratch_mean,
		};

		rc = infer(x, &env, parts, s, out, err);
	}
	rn_prog_fini(&p);
	rn_rel_unref(rel);
	free(parts);
	return rc;
}
