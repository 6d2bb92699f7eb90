/* SPDX-License-Identifier: Apache-2.0 */
#include "util.h"

#include "../rel/gather.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int rn_op_set_key(struct rn_schema *s, const uint32_t *cols, size_t n, struct rn_err *e)
{
	uint32_t *key;

	RN_TRY(rn_calloc(n, sizeof *key, "a key", &key, e));
	if (n)
		memcpy(key, cols, n * sizeof *key);
	free(s->key);
	s->key = key;
	s->nkey = n;
	return 0;
}

int rn_op_copy_key(const struct rn_schema *from, struct rn_schema *to, struct rn_err *e)
{
	return from->nkey ? rn_op_set_key(to, from->key, from->nkey, e) : 0;
}

int rn_op_copy_columns(const struct rn_schema *from, struct rn_schema *to, struct rn_err *e)
{
	for (size_t i = 0; i < from->ncols; i++)
		RN_TRY(rn_schema_add_col(to, from->cols[i].name, from->cols[i].qual, from->cols[i].type, e));
	return rn_op_copy_key(from, to, e);
}

int rn_op_content(struct rn_team *t, const struct rn_rel *in, const struct rn_buf *map, uint64_t n,
		  bool keep_key, struct rn_rel **out, struct rn_err *e)
{
	struct rn_gather g = { 0 };
	struct rn_rel *r;
	int rc;

	if (map)
		g = rn_gather_by(t, map->data, n);
	RN_TRY(rn_rel_new(in->schema.name, map ? n : in->rows, &r, e));
	for (size_t i = 0; i < in->schema.ncols; i++) {
		const struct rn_field *f = &in->schema.cols[i];
		struct rn_column *c;

		if (map)
			RN_GOTO(fail, rn_gather_column(&g, in->cols[i], &c, e));
		else
			c = rn_column_ref(in->cols[i]);
		RN_GOTO(fail, rn_rel_add_col(r, f->name, f->qual, c, e));
	}
	if (keep_key)
		RN_GOTO(fail, rn_op_copy_key(&in->schema, &r->schema, e));
	*out = r;
	return 0;
fail:
	rn_rel_unref(r);
	return rc;
}

int rn_op_select_part(struct rn_prog *p, const struct rn_lpart *in, const char *name,
		      const struct rn_buf *map, uint32_t n, struct rn_lpart *out,
		      struct rn_err *e)
{
	*out = *in;
	out->name = NULL;
	if (map && in->map == RN_NONE) {
		out->map = rn_prog_idx(p, rn_buf_ref((struct rn_buf *)map), n, e);
		if (out->map == RN_NONE)
			return e ? e->code : RN_ENOMEM;
	} else if (map) {
		const uint32_t *outer = map->data, *inner = rn_prog_idx_data(p, in->map);
		struct rn_buf *b;
		uint32_t *m;

		RN_TRY(rn_buf_new((size_t)n * sizeof *m, "a row map", &b, e));
		m = b->data;
		for (uint32_t i = 0; i < n; i++)
			m[i] = outer[i] == RN_NO_ROW ? RN_NO_ROW : inner[outer[i]];
		out->map = rn_prog_idx(p, b, n, e);
		if (out->map == RN_NONE)
			return e ? e->code : RN_ENOMEM;
	}
	out->name = strdup(name);
	return out->name ? 0 : rn_err_nomem(e, strlen(name) + 1, "a part's name");
}

void rn_op_reach_map(const struct rn_buf *map, const uint8_t *out, uint64_t rows, uint8_t *mark)
{
	const uint32_t *m = map ? map->data : NULL;

	for (uint64_t i = 0; i < rows; i++) {
		uint64_t row = m ? m[i] : i;

		if (out[i] && (!m || m[i] != RN_NO_ROW))
			mark[row] = 1;
	}
}

int rn_op_rows_reach(const struct rn_ctx *c, const struct rn_node *n, const void *state,
		     const struct rn_rel *const *in, uint32_t k, const uint8_t *out, uint64_t rows,
		     uint8_t *mark, struct rn_err *e)
{
	(void)c, (void)n, (void)in, (void)e;
	if (!k)
		rn_op_reach_map(((const struct rn_op_rows *)state)->map, out, rows, mark);
	return 0;
}

int rn_op_rows_lower(const struct rn_lower *lw, const struct rn_node *n, const void *state,
		     const struct rn_lrel *in, struct rn_lrel *out, struct rn_err *e)
{
	const struct rn_op_rows *st = state;

	(void)n;
	return rn_op_select_parts(lw->prog, &in[0], st->map, (uint32_t)out->rel->rows, out, e);
}

void rn_op_rows_close(void *state)
{
	rn_buf_unref(((struct rn_op_rows *)state)->map);
}

int rn_op_alloc_parts(struct rn_lrel *out, size_t n, struct rn_err *e)
{
	RN_TRY(rn_calloc(n, sizeof *out->parts, "parts", &out->parts, e));
	out->nparts = n;
	return 0;
}

int rn_op_select_parts(struct rn_prog *p, const struct rn_lrel *in, const struct rn_buf *map,
		       uint32_t n, struct rn_lrel *out, struct rn_err *e)
{
	RN_TRY(rn_op_alloc_parts(out, in->nparts, e));
	for (size_t i = 0; i < in->nparts; i++)
		RN_TRY(rn_op_select_part(p, &in->parts[i], in->parts[i].name, map, n,
					 &out->parts[i], e));
	return 0;
}

int rn_op_sole_part(struct rn_lrel *out, const char *name, const struct rn_lpart *x,
		    struct rn_err *e)
{
	RN_TRY(rn_op_alloc_parts(out, 1, e));
	out->parts[0] = *x;
	out->parts[0].name = strdup(name);
	return out->parts[0].name ? 0 : rn_err_nomem(e, strlen(name) + 1, "a part's name");
}

struct rn_lower_env rn_op_env(const struct rn_lower *lw, const struct rn_node *n,
			      const struct rn_lrel *in)
{
	const char *prefix = NULL;

	if (rn_opt_find(n->op->opts, n->op->nopts, "param"))
		prefix = rn_node_string(n, "param");
	return (struct rn_lower_env){
		.ctx = lw->ctx,
		.prog = lw->prog,
		.training = lw->training,
		.stage = n->name ? n->name : n->op->name,
		.param_prefix = prefix,
		.rel = in->rel,
		.rows = (uint32_t)in->rel->rows,
		.nparts = in->nparts,
		.parts = in->parts,
		.param = lw->param,
		.param_arg = lw->param_arg,
	};
}

int rn_op_check_rows(uint64_t rows, struct rn_err *e)
{
	if (rows <= RN_MAX_ROWS)
		return 0;
	return rn_err_set(e, RN_ENOMEM, "%" PRIu64 " rows are more than a relation can hold (%" PRIu64 ")",
			  rows, RN_MAX_ROWS);
}

int rn_op_check_map(const struct rn_node *n, const char *option, struct rn_err *e)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)rn_node_json(n, option), key, v)
		if (!json_is_string(v))
			return rn_err_set(e, RN_EUSAGE, "%s: '%s' wants an expression as text", option, key);
	return 0;
}

static int compare_fields(const void *a, const void *b)
{
	const struct rn_field *x = *(const struct rn_field *const *)a;
	const struct rn_field *y = *(const struct rn_field *const *)b;
	int d = strcmp(x->name, y->name);

	return d ? d : strcmp(x->qual ? x->qual : "", y->qual ? y->qual : "");
}

int rn_op_check_columns(const struct rn_schema *s, struct rn_err *e)
{
	const struct rn_field **f;
	int rc = 0;

	RN_TRY(rn_calloc(s->ncols, sizeof *f, "columns", &f, e));
	for (size_t i = 0; i < s->ncols; i++)
		f[i] = &s->cols[i];
	if (s->ncols > 1)
		qsort(f, s->ncols, sizeof *f, compare_fields);
	for (size_t i = 1; i < s->ncols && !rc; i++)
		if (!compare_fields(&f[i - 1], &f[i]))
			rc = rn_err_set(e, RN_EUSAGE, "column '%s' is named twice", f[i]->name);
	free(f);
	return rc;
}

int rn_op_check_mem(const struct rn_ctx *c, uint64_t rows, const struct rn_schema *s,
		    struct rn_err *e)
{
	char mem[RN_SIZE_TEXT];
	uint64_t bytes;

	if (!c->mem_limit || (!__builtin_mul_overflow(rows, (uint64_t)s->ncols * 8, &bytes) &&
			      bytes <= c->mem_limit))
		return 0;
	return rn_err_set(e, RN_ENOMEM,
			  "%" PRIu64 " rows of %zu columns take more than --mem %s", rows, s->ncols,
			  rn_size_text(c->mem_limit, mem));
}
