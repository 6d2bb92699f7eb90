/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of embedding expressions share: a relation with a column of each type, its
 * parts as values, and an expression over them run in double on the CPU.
 */
#ifndef EMB_RUN_H
#define EMB_RUN_H

#include "t.h"

#include "../../lib/dev/machine.h"
#include "../../lib/expr/emb.h"

enum { ROWS = 3, MAX_PARAMS = 16 };

/* ---- a relation --------------------------------------------------------------------- */

static const float h_data[ROWS * 2] = { 1, -2, 0.5f, 3, 0, 4 };
static const float a_data[ROWS] = { 2, -1, 0.5f };
static const float m_data[ROWS * 4] = { 1, 2, 3, 4, 0, -1, 1, 0, 2, 0, 0, 2 };
/* s: row 0 has 3 at 1 and -1 at 3, row 1 nothing, row 2 has 2 at 0 */
static const float s_data[3] = { 3, -1, 2 };
static const uint32_t s_ptr[ROWS + 1] = { 0, 2, 2, 3 }, s_col[3] = { 1, 3, 0 };

static struct rn_column *column(enum rn_type t)
{
	struct rn_column *c;
	struct rn_err e = { 0 };

	if (t == RN_STRING)
		T_CALL(rn_column_new_string(ROWS, 0, &c, &e), &e);
	else
		T_CALL(rn_column_new(t, ROWS, &c, &e), &e);
	for (int i = 0; i < ROWS; i++) {
		if (t == RN_INT64)
			c->i64[i] = i + 1;
		if (t == RN_TIMESTAMP)
			c->i64[i] = i * 2500000ll;
		if (t == RN_FLOAT64)
			c->f64[i] = 0.5 * i;
		if (t == RN_BOOL)
			c->b[i] = i != 1;
	}
	if (t == RN_STRING)
		memset(c->off, 0, (ROWS + 1) * sizeof *c->off);
	if (t == RN_FLOAT64) {
		T_CALL(rn_column_need_null(c, &e), &e);
		c->null[1] = 1;
		c->f64[1] = 0;
		c->nulls = 1;
	}
	return c;
}

static struct rn_rel *relation(void)
{
	struct rn_err e = { 0 };
	struct rn_rel *r;

	T_CALL(rn_rel_new("r", ROWS, &r, &e), &e);
	T_CALL(rn_rel_add_col(r, "i", NULL, column(RN_INT64), &e), &e);
	T_CALL(rn_rel_add_col(r, "f", NULL, column(RN_FLOAT64), &e), &e);
	T_CALL(rn_rel_add_col(r, "b", NULL, column(RN_BOOL), &e), &e);
	T_CALL(rn_rel_add_col(r, "d", "u", column(RN_INT64), &e), &e);
	T_CALL(rn_rel_add_col(r, "d", "v", column(RN_BOOL), &e), &e);
	T_CALL(rn_rel_add_col(r, "text", NULL, column(RN_STRING), &e), &e);
	T_CALL(rn_rel_add_col(r, "at", NULL, column(RN_TIMESTAMP), &e), &e);
	return r;
}

/* ---- evaluation --------------------------------------------------------------------- */

struct run {
	struct rn_prog p;
	struct rn_backend *b;
	struct rn_store *params;
	struct rn_str names;
	struct {
		char name[64];
		uint32_t val;
	} known[MAX_PARAMS];
	uint32_t nparams;
	struct rn_lpart out;
	double x[256];
	uint32_t n; /* numbers of the result, dense */
};

static int param(void *arg, const struct rn_param_spec *s, uint32_t *val, struct rn_err *e)
{
	struct run *r = arg;
	uint32_t number, width = 1;
	double x[256];

	for (uint32_t k = 0; k < r->nparams; k++)
		if (!strcmp(r->known[k].name, s->name)) {
			*val = r->known[k].val;
			return 0;
		}
	rn_str_addf(&r->names, "%s%s[", r->nparams ? " " : "", s->name);
	for (uint32_t i = 0; i < s->rank; i++) {
		width *= s->dim[i];
		rn_str_addf(&r->names, i ? ",%u" : "%u", s->dim[i]);
	}
	rn_str_addc(&r->names, ']');
	for (uint32_t i = 0; i < width; i++)
		x[i] = s->init == RN_INIT_FILL ? s->arg : 0.1 * (i + 1);
	RN_TRY(rn_store_add(r->params, width, &number, e));
	RN_TRY(rn_store_set(r->params, number, x, e));
	*val = rn_prog_param(&r->p, RN_V_PARAM, number, s->rank, s->dim, e);
	snprintf(r->known[r->nparams].name, sizeof r->known->name, "%s", s->name);
	r->known[r->nparams++].val = *val;
	return *val == RN_NONE ? e->code : 0;
}

static uint32_t constant(struct rn_prog *p, const float *x, uint32_t rows, uint32_t rank, uint32_t d0,
			 uint32_t d1, struct rn_err *e)
{
	uint32_t dim[2] = { d0, d1 };
	size_t n = (size_t)rows * d0 * d1 * sizeof *x;
	struct rn_buf *b;

	T_CALL(rn_buf_new(n, "test", &b, e), e);
	memcpy(b->data, x, n);
	return rn_prog_const(p, rows, rank, dim, b, e);
}

static void parts(struct rn_prog *p, struct rn_lpart part[4], struct rn_err *e)
{
	static char names[4][2] = { "h", "a", "m", "s" };

	for (int k = 0; k < 4; k++)
		part[k] = (struct rn_lpart){ .name = names[k], .base_rows = ROWS, .ptr = RN_NONE,
					     .col = RN_NONE, .map = RN_NONE };
	part[0].val = constant(p, h_data, ROWS, 1, 2, 1, e);
	part[0].shape = (struct rn_shape){ 1, { 2 } };
	part[1].val = constant(p, a_data, ROWS, 1, 1, 1, e);
	part[1].shape = (struct rn_shape){ 1, { 1 } };
	part[2].val = constant(p, m_data, ROWS, 2, 2, 2, e);
	part[2].shape = (struct rn_shape){ 2, { 2, 2 } };
	part[3].val = constant(p, s_data, 3, 1, 1, 1, e);
	part[3].shape = (struct rn_shape){ 1, { 4 } };
	part[3].sparse = true;
	part[3].ptr = rn_prog_idx_copy(p, s_ptr, ROWS + 1, e);
	part[3].col = rn_prog_idx_copy(p, s_col, 3, e);
}

static void run_begin(struct run *r)
{
	struct rn_err e = { 0 };

	memset(r, 0, sizeof *r);
	r->names = RN_STR_INIT;
	rn_prog_init(&r->p);
	T_CALL(rn_cpu_backend(1, &r->b, &e), &e);
	T_CALL(rn_store_new(r->b, RN_F64, &r->params, &e), &e);
}

static void run_end(struct run *r)
{
	rn_prog_fini(&r->p);
	rn_store_free(r->params);
	r->b->close(r->b);
	rn_str_fini(&r->names);
}

static int evaluate(struct run *r, uint32_t epoch, struct rn_err *e)
{
	struct rn_machine *m;
	uint32_t v = 0;
	int rc;

	RN_TRY(rn_lpart_dense(&r->p, &r->out, &v, e));
	r->p.vals[v].keep = true;
	r->n = r->p.vals[v].rows * r->p.vals[v].width;
	RN_TRY(rn_machine_new(&r->p, r->b, RN_F64, r->params, NULL, NULL, &m, e));
	rc = rn_machine_run(m, 0, r->p.ninsts, epoch, e);
	if (!rc && r->n <= 256)
		rc = rn_machine_get_f64(m, v, r->x, e);
	rn_machine_free(m);
	return rc;
}

/* Parse, lower over `rel` and the parts, evaluate. */
static int compute(struct run *r, const char *text, const struct rn_rel *rel, bool training,
		   struct rn_lpart *part, size_t nparts, uint32_t epoch, struct rn_err *e)
{
	struct rn_ctx ctx = { .threads = 1, .seed = 7 };
	struct rn_lower_env env = { .ctx = &ctx, .prog = &r->p, .training = training,
				    .stage = "st", .rel = rel, .rows = (uint32_t)rel->rows,
				    .nparts = nparts, .parts = part, .param = param,
				    .param_arg = r };
	struct rn_eexpr *x;
	int rc;

	RN_TRY(rn_eexpr_parse(text, &x, e));
	rc = rn_eexpr_lower(x, &env, &r->out, e);
	rn_eexpr_free(x);
	return rc ? rc : evaluate(r, epoch, e);
}

#endif
