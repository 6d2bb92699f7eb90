/* SPDX-License-Identifier: Apache-2.0
 *
 * Embedding expressions: parsed, their shape inferred, lowered to a program over
 * small parts of every kind, differentiated and run.  What lowering gives must
 * have the shape that was inferred.
 */
#include "../../lib/dev/machine.h"
#include "../../lib/expr/emb.h"
#include "../../lib/expr/grad.h"
#include "fuzz.h"

#include <ctype.h>
#include <stdio.h>

enum { ROWS = 3, MAX_PARAMS = 32, MAX_VALUES = 1 << 20 };

/* ---- a relation -------------------------------------------------------------------------- */

static const struct {
	const char *name;
	struct rn_shape shape;
	bool sparse;
} parts[] = { { "h", { 1, { 2 } }, false },
	      { "a", { 1, { 1 } }, false },
	      { "m", { 2, { 2, 2 } }, false },
	      { "s", { 1, { 4 } }, true } };
enum { NPARTS = sizeof parts / sizeof *parts };
static const uint32_t s_ptr[ROWS + 1] = { 0, 2, 2, 3 }, s_col[3] = { 1, 3, 0 };

static struct rn_rel *relation(void)
{
	static const struct {
		const char *name, *qual;
		enum rn_type type;
	} cols[] = { { "i", NULL, RN_INT64 }, { "f", NULL, RN_FLOAT64 }, { "b", NULL, RN_BOOL },
		     { "d", "u", RN_INT64 },  { "d", "v", RN_BOOL },	 { "at", NULL, RN_TIMESTAMP } };
	struct rn_rel *r;
	struct rn_err e;

	require(!rn_rel_new("r", ROWS, &r, &e));
	for (size_t k = 0; k < sizeof cols / sizeof *cols; k++) {
		struct rn_column *c;

		require(!rn_column_new(cols[k].type, ROWS, &c, &e));
		for (int i = 0; i < ROWS; i++) {
			if (c->type == RN_FLOAT64)
				c->f64[i] = 0.5 * i;
			else if (c->type == RN_BOOL)
				c->b[i] = i != 1;
			else
				c->i64[i] = 2500000ll * i;
		}
		require(!rn_rel_add_col(r, cols[k].name, cols[k].qual, c, &e));
	}
	return r;
}

static void make_parts(struct rn_prog *p, struct rn_lpart *out)
{
	static const float numbers[ROWS * 4] = { 1, -2, 0.5f, 3, 0, 4, -1, 0.25f, 2, 0, 7, -3 };
	struct rn_buf *b;
	struct rn_err e;

	for (int k = 0; k < NPARTS; k++) {
		uint32_t width = parts[k].sparse ? 1 : (uint32_t)rn_shape_width(&parts[k].shape);
		uint32_t one = 1;

		out[k] = (struct rn_lpart){ .name = (char *)parts[k].name, .shape = parts[k].shape,
					    .sparse = parts[k].sparse, .base_rows = ROWS,
					    .ptr = RN_NONE, .col = RN_NONE, .map = RN_NONE };
		require(!rn_buf_new(ROWS * width * sizeof(float), "fuzz", &b, &e));
		memcpy(b->data, numbers, ROWS * width * sizeof(float));
		out[k].val = parts[k].sparse ?
				     rn_prog_const(p, ROWS, 1, &one, b, &e) :
				     rn_prog_const(p, ROWS, parts[k].shape.rank, parts[k].shape.dim, b, &e);
		require(out[k].val != RN_NONE);
		if (!parts[k].sparse)
			continue;
		out[k].ptr = rn_prog_idx_copy(p, s_ptr, ROWS + 1, &e);
		out[k].col = rn_prog_idx_copy(p, s_col, 3, &e);
		require(out[k].ptr != RN_NONE && out[k].col != RN_NONE);
	}
}

/* ---- parameters --------------------------------------------------------------------------- */

struct run {
	struct rn_prog p;
	struct rn_store *store;
	uint32_t nparams, vals[MAX_PARAMS];
	char names[MAX_PARAMS][80];
};

static int param(void *arg, const struct rn_param_spec *s, uint32_t *val, struct rn_err *e)
{
	struct run *r = arg;
	uint64_t width = 1;
	uint32_t number;
	double *x;

	for (uint32_t i = 0; i < s->rank; i++)
		width *= s->dim[i];
	for (uint32_t k = 0; k < r->nparams; k++) {
		const struct rn_val *v = &r->p.vals[r->vals[k]];

		if (strcmp(r->names[k], s->name))
			continue;
		if (v->rank != s->rank || memcmp(v->dim, s->dim, s->rank * sizeof *s->dim))
			return rn_err_set(e, RN_EUSAGE, "'%s' has two shapes", s->name);
		*val = r->vals[k];
		return 0;
	}
	if (width > MAX_VALUES || r->nparams == MAX_PARAMS || strlen(s->name) >= sizeof *r->names)
		return rn_err_set(e, RN_ENOMEM, "too much for a test");
	RN_TRY(rn_calloc(width, sizeof *x, "a parameter", &x, e));
	for (uint64_t i = 0; i < width; i++)
		x[i] = 0.1 * (double)(i % 11) - 0.5;
	require(!rn_store_add(r->store, width, &number, e) && !rn_store_set(r->store, number, x, e));
	free(x);
	*val = rn_prog_param(&r->p, RN_V_PARAM, number, s->rank, s->dim, e);
	require(*val != RN_NONE);
	strcpy(r->names[r->nparams], s->name);
	r->vals[r->nparams++] = *val;
	return 0;
}

/* ---- running ------------------------------------------------------------------------------- */

static bool is_small(const struct rn_prog *p)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < p->nvals; i++)
		sum += (uint64_t)p->vals[i].rows * p->vals[i].width;
	return sum <= MAX_VALUES;
}

/* The gradients of the sum of all features, of all parameters. */
static void differentiate(struct run *r, uint32_t val, uint32_t *grad)
{
	struct rn_err e = { 0 };
	uint32_t loss = rn_prog_colsum(&r->p, val, &e);

	require(loss != RN_NONE);
	if (r->p.vals[loss].width > 1)
		loss = rn_prog_fsum(&r->p, loss, NULL, 0, NULL, &e);
	require(loss != RN_NONE);
	require(!rn_prog_grad(&r->p, loss, r->vals, r->nparams, grad, &e));
	for (uint32_t k = 0; k < r->nparams; k++) {
		require(r->p.vals[grad[k]].width == r->p.vals[r->vals[k]].width);
		r->p.vals[grad[k]].keep = true;
	}
}

static void run(struct run *r, struct rn_backend *b, struct rn_lpart *out)
{
	uint32_t val, grad[MAX_PARAMS];
	struct rn_machine *m;
	struct rn_err e = { 0 };
	int rc = rn_lpart_dense(&r->p, out, &val, &e);

	require(rc == 0 || rc == RN_ENOMEM);
	if (rc || !r->p.vals[val].width || !is_small(&r->p))
		return;
	r->p.vals[val].keep = true;
	if (r->nparams)
		differentiate(r, val, grad);
	if (!is_small(&r->p))
		return;
	require(!rn_machine_new(&r->p, b, RN_F32, r->store, NULL, NULL, &m, &e));
	require(!rn_machine_run(m, 0, r->p.ninsts, 1, &e));
	rn_machine_free(m);
}

static void lower(const struct rn_eexpr *x, const struct rn_einfo *info, const struct rn_rel *rel,
		  bool training)
{
	struct rn_ctx ctx = { .threads = 1, .seed = 7 };
	struct rn_lpart in[NPARTS], out = { 0 };
	struct run r = { 0 };
	struct rn_lower_env env = { .ctx = &ctx, .prog = &r.p, .training = training, .stage = "st",
				    .rel = rel, .rows = ROWS, .nparts = NPARTS, .parts = in,
				    .param = param, .param_arg = &r };
	struct rn_backend *b;
	struct rn_err e = { 0 };
	int rc;

	rn_prog_init(&r.p);
	require(!rn_cpu_backend(1, &b, &e) && !rn_store_new(b, RN_F32, &r.store, &e));
	make_parts(&r.p, in);
	rc = rn_eexpr_lower(x, &env, &out, &e);
	require(rc == 0 || rc == RN_EUSAGE || rc == RN_EDATA || rc == RN_ENOMEM);
	if (!rc) {
		require(rn_shape_equal(&out.shape, &info->shape) && out.sparse == info->sparse);
		run(&r, b, &out);
	}
	rn_prog_fini(&r.p);
	rn_store_free(r.store);
	b->close(b);
}

/* Numbers of more than two digits make large tensors and nothing else. */
static bool is_small_text(const char *s)
{
	for (unsigned digits = 0; *s; s++) {
		digits = isdigit((unsigned char)*s) ? digits + 1 : 0;
		if (digits > 2 || (digits && (s[1] == 'e' || s[1] == 'E')) || (*s == '*' && s[1] == '*'))
			return false;
	}
	return true;
}

static void ignore(void *arg, const char *col)
{
	*(size_t *)arg += strlen(col);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *text = text_of(data, n < 2000 ? n : 2000);
	struct rn_rel *rel = relation();
	struct rn_schema s = { 0 };
	struct rn_eexpr *x = NULL;
	struct rn_einfo info;
	size_t length = 0;
	struct rn_err e;
	int rc;

	require(!rn_schema_copy(&rel->schema, &s, &e));
	for (int k = 0; k < NPARTS; k++)
		require(!rn_schema_add_part(&s, parts[k].name, &parts[k].shape, parts[k].sparse, &e));
	rc = rn_eexpr_parse(text, &x, &e);
	require(rc == 0 || rc == RN_EUSAGE || rc == RN_ENOMEM);
	if (!rc) {
		bool aggregate = rn_eexpr_take_agg(x) != RN_AGG_NONE;

		rn_eexpr_columns(x, ignore, &length);
		rc = rn_eexpr_infer(x, &s, &info, &e);
		require(rc == 0 || rc == RN_EUSAGE || rc == RN_ENOMEM);
		if (!rc && is_small_text(text) && rn_shape_width(&info.shape) <= MAX_VALUES)
			lower(x, &info, rel, !aggregate);
	}
	rn_eexpr_free(x);
	rn_schema_fini(&s);
	rn_rel_unref(rel);
	free(text);
	return 0;
}
