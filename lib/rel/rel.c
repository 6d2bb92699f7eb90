/* SPDX-License-Identifier: Apache-2.0
 *
 * Relations: columns and parts of one number of rows.  Nothing here copies a
 * tensor of a part that can stay a view: gathering composes row maps, and maps
 * that were one stay one.
 */
#include "rel.h"

#include "gather.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int rn_rel_new(const char *name, uint64_t rows, struct rn_rel **out, struct rn_err *e)
{
	struct rn_rel *r;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *r, "a relation", &r, e));
	r->refs = 1;
	r->rows = rows;
	rc = rn_schema_set_name(&r->schema, name, e);
	if (rc) {
		free(r);
		return rc;
	}
	*out = r;
	return 0;
}

struct rn_rel *rn_rel_ref(struct rn_rel *r)
{
	if (r)
		__atomic_add_fetch(&r->refs, 1, __ATOMIC_RELAXED);
	return r;
}

void rn_rel_unref(struct rn_rel *r)
{
	if (!r || __atomic_sub_fetch(&r->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (size_t i = 0; i < r->schema.ncols; i++)
		rn_column_unref(r->cols[i]);
	for (size_t i = 0; i < r->schema.nparts; i++) {
		rn_tensor_unref(r->parts[i].t);
		rn_buf_unref(r->parts[i].map);
	}
	free(r->cols);
	free(r->parts);
	rn_schema_fini(&r->schema);
	free(r);
}

/* Room for one more item in *array, which holds n of `size` bytes. */
static int room_for_one(void *array, size_t n, size_t size, struct rn_err *e)
{
	size_t cap = 0; /* not kept: relations have few columns */

	return rn_grow(array, &cap, n + 1, size, "a relation", e);
}

int rn_rel_add_col(struct rn_rel *r, const char *name, const char *qual, struct rn_column *c,
		   struct rn_err *e)
{
	size_t n = r->schema.ncols;
	int rc;

	if (c->rows != r->rows) {
		rc = rn_err_set(e, RN_EBUG,
				"column '%s' of %" PRIu64 " rows in a relation of %" PRIu64, name,
				c->rows, r->rows);
		goto fail;
	}
	RN_GOTO(fail, room_for_one(&r->cols, n, sizeof(struct rn_column *), e));
	RN_GOTO(fail, rn_schema_add_col(&r->schema, name, qual, c->type, e));
	r->cols[n] = c;
	return 0;
fail:
	rn_column_unref(c);
	return rc;
}

int rn_rel_add_part(struct rn_rel *r, const char *name, struct rn_tensor *t, struct rn_buf *map,
		    struct rn_err *e)
{
	size_t n = r->schema.nparts;
	uint64_t rows = map ? map->size / sizeof(uint32_t) : t->rows;
	int rc;

	if (map ? rows < r->rows : rows != r->rows) {
		rc = rn_err_set(e, RN_EBUG,
				"part '%s' of %" PRIu64 " rows in a relation of %" PRIu64, name,
				rows, r->rows);
		goto fail;
	}
	RN_GOTO(fail, room_for_one(&r->parts, n, sizeof *r->parts, e));
	RN_GOTO(fail, rn_schema_add_part(&r->schema, name, &t->shape, t->sparse, e));
	r->parts[n] = (struct rn_part){ .t = t, .map = map };
	return 0;
fail:
	rn_tensor_unref(t);
	rn_buf_unref(map);
	return rc;
}

int rn_rel_flat_part(const struct rn_rel *r, size_t i, struct rn_tensor **out, struct rn_err *e)
{
	const struct rn_part *p = &r->parts[i];

	if (p->map)
		return rn_tensor_gather(p->t, p->map->data, r->rows, out, e);
	*out = rn_tensor_ref(p->t);
	return 0;
}

static int copy_key(const struct rn_schema *from, struct rn_schema *to, struct rn_err *e)
{
	if (!from->nkey)
		return 0;
	RN_TRY(rn_calloc(from->nkey, sizeof *to->key, "a schema", &to->key, e));
	memcpy(to->key, from->key, from->nkey * sizeof *to->key);
	to->nkey = from->nkey;
	return 0;
}

static int add_col_like(struct rn_rel *o, const struct rn_schema *s, size_t i,
			struct rn_column *c, struct rn_err *e)
{
	return rn_rel_add_col(o, s->cols[i].name, s->cols[i].qual, c, e);
}

int rn_rel_flat(const struct rn_rel *r, struct rn_rel **out, struct rn_err *e)
{
	const struct rn_schema *s = &r->schema;
	struct rn_tensor *t;
	struct rn_rel *o;
	int rc;

	RN_TRY(rn_rel_new(s->name, r->rows, &o, e));
	for (size_t i = 0; i < s->ncols; i++)
		RN_GOTO(fail, add_col_like(o, s, i, rn_column_ref(r->cols[i]), e));
	for (size_t i = 0; i < s->nparts; i++) {
		RN_GOTO(fail, rn_rel_flat_part(r, i, &t, e));
		RN_GOTO(fail, rn_rel_add_part(o, s->parts[i].name, t, NULL, e));
	}
	RN_GOTO(fail, copy_key(s, &o->schema, e));
	*out = o;
	return 0;
fail:
	rn_rel_unref(o);
	return rc;
}

/* ---- gather ------------------------------------------------------------------ */

/* The composed map of part i, shared with an earlier part of the same map. */
static int part_map(const struct rn_gather *g, const struct rn_rel *r, size_t i,
		    const struct rn_rel *o, struct rn_buf **out, struct rn_err *e)
{
	for (size_t j = 0; j < i; j++)
		if (r->parts[j].map == r->parts[i].map) {
			*out = rn_buf_ref(o->parts[j].map);
			return 0;
		}
	return rn_gather_map(g, r->parts[i].map ? r->parts[i].map->data : NULL, out, e);
}

int rn_rel_gather_team(struct rn_team *t, const struct rn_rel *r, const uint32_t *map, uint64_t n,
		       struct rn_rel **out, struct rn_err *e)
{
	const struct rn_schema *s = &r->schema;
	struct rn_gather g = rn_gather_by(t, map, n);
	struct rn_rel *o;
	int rc;

	RN_TRY(rn_rel_new(s->name, n, &o, e));
	for (size_t i = 0; i < s->ncols; i++) {
		struct rn_column *c;

		RN_GOTO(fail, rn_gather_column(&g, r->cols[i], &c, e));
		RN_GOTO(fail, add_col_like(o, s, i, c, e));
	}
	for (size_t i = 0; i < s->nparts; i++) {
		struct rn_buf *m;

		RN_GOTO(fail, part_map(&g, r, i, o, &m, e));
		RN_GOTO(fail, rn_rel_add_part(o, s->parts[i].name, rn_tensor_ref(r->parts[i].t), m,
					      e));
	}
	/* A map of rows keeps a key unique if it repeats no row; ascending ones do not. */
	if (s->nkey && g.ascends)
		RN_GOTO(fail, copy_key(s, &o->schema, e));
	*out = o;
	return 0;
fail:
	rn_rel_unref(o);
	return rc;
}

int rn_rel_gather(const struct rn_rel *r, const uint32_t *map, uint64_t n, struct rn_rel **out,
		  struct rn_err *e)
{
	return rn_rel_gather_team(NULL, r, map, n, out, e);
}

/* ---- slice ------------------------------------------------------------------- */

static int slice_part(const struct rn_rel *r, size_t i, uint64_t from, struct rn_rel *o,
		      struct rn_err *e)
{
	const struct rn_part *p = &r->parts[i];
	struct rn_tensor *t = NULL;
	struct rn_buf *map = NULL;
	void *at;

	if (!p->map) {
		RN_TRY(rn_tensor_slice(p->t, from, o->rows, &t, e));
	} else {
		/* Views need maps of their own: whoever has a map reads it from its start. */
		RN_TRY(rn_buf_new(o->rows * sizeof(uint32_t), "a row map", &map, e));
		at = (uint32_t *)p->map->data + from;
		if (o->rows)
			memcpy(map->data, at, o->rows * sizeof(uint32_t));
		t = rn_tensor_ref(p->t);
	}
	return rn_rel_add_part(o, r->schema.parts[i].name, t, map, e);
}

int rn_rel_slice(const struct rn_rel *r, uint64_t from, uint64_t n, struct rn_rel **out,
		 struct rn_err *e)
{
	const struct rn_schema *s = &r->schema;
	struct rn_rel *o;
	int rc;

	if (from > r->rows || n > r->rows - from)
		return rn_err_set(e, RN_EBUG,
				  "slice of %" PRIu64 " rows from row %" PRIu64
				  " of a relation of %" PRIu64 " rows",
				  n, from, r->rows);
	RN_TRY(rn_rel_new(s->name, n, &o, e));
	for (size_t i = 0; i < s->ncols; i++) {
		struct rn_column *c;

		RN_GOTO(fail, rn_column_slice(r->cols[i], from, n, &c, e));
		RN_GOTO(fail, add_col_like(o, s, i, c, e));
	}
	for (size_t i = 0; i < s->nparts; i++)
		RN_GOTO(fail, slice_part(r, i, from, o, e));
	RN_GOTO(fail, copy_key(s, &o->schema, e));
	*out = o;
	return 0;
fail:
	rn_rel_unref(o);
	return rc;
}

/* ---- concat ------------------------------------------------------------------ */

/* Blocks stack if columns and shapes agree; which of them are sparse may differ. */
static bool stacks(const struct rn_schema *a, const struct rn_schema *b)
{
	if (a->ncols != b->ncols || a->nparts != b->nparts)
		return false;
	for (size_t i = 0; i < a->ncols; i++)
		if (a->cols[i].type != b->cols[i].type ||
		    strcmp(a->cols[i].name, b->cols[i].name) != 0)
			return false;
	for (size_t i = 0; i < a->nparts; i++)
		if (!rn_shape_equal(&a->parts[i].shape, &b->parts[i].shape))
			return false;
	return true;
}

static int concat_col(const struct rn_schema *s, size_t i, struct rn_rel *const *rs, size_t n,
		      struct rn_column **tmp, struct rn_rel *o, struct rn_err *e)
{
	struct rn_column *c;

	for (size_t j = 0; j < n; j++)
		tmp[j] = rs[j]->cols[i];
	if (n)
		RN_TRY(rn_column_concat(tmp, n, &c, e));
	else
		RN_TRY(rn_column_new(s->cols[i].type, 0, &c, e));
	return add_col_like(o, s, i, c, e);
}

/* Views of one tensor stay views of it: only their maps are stacked. */
static int concat_views(const struct rn_schema *s, size_t i, struct rn_rel *const *rs, size_t n,
			struct rn_rel *o, struct rn_err *e)
{
	struct rn_buf *map;
	uint64_t at = 0;

	RN_TRY(rn_buf_new(o->rows * sizeof(uint32_t), "a row map", &map, e));
	for (size_t j = 0; j < n; j++) {
		if (rs[j]->rows)
			memcpy((uint32_t *)map->data + at, rs[j]->parts[i].map->data,
			       rs[j]->rows * sizeof(uint32_t));
		at += rs[j]->rows;
	}
	return rn_rel_add_part(o, s->parts[i].name, rn_tensor_ref(rs[0]->parts[i].t), map, e);
}

static int concat_part(const struct rn_schema *s, size_t i, struct rn_rel *const *rs, size_t n,
		       struct rn_tensor **tmp, struct rn_rel *o, struct rn_err *e)
{
	const struct rn_part_info *p = &s->parts[i];
	struct rn_tensor *t = NULL;
	bool views = n > 0;
	size_t have = 0;
	int rc = 0;

	for (size_t j = 0; j < n; j++)
		views = views && rs[j]->parts[i].map && rs[j]->parts[i].t == rs[0]->parts[i].t;
	if (views)
		return concat_views(s, i, rs, n, o, e);
	for (; have < n; have++)
		RN_GOTO(out, rn_rel_flat_part(rs[have], i, &tmp[have], e));
	if (n)
		rc = rn_tensor_concat(tmp, n, &t, e);
	else if (p->sparse)
		rc = rn_tensor_new_sparse(p->shape.dim[0], 0, 0, &t, e);
	else
		rc = rn_tensor_new(&p->shape, 0, &t, e);
out:
	for (size_t j = 0; j < have; j++)
		rn_tensor_unref(tmp[j]);
	return rc ? rc : rn_rel_add_part(o, p->name, t, NULL, e);
}

static int check_stack(const struct rn_schema *s, struct rn_rel *const *rs, size_t n,
		       uint64_t *rows, struct rn_err *e)
{
	*rows = 0;
	for (size_t j = 0; j < n; j++) {
		if (!stacks(s, &rs[j]->schema))
			return rn_err_set(e, RN_EBUG, "block %zu has another schema than '%s'", j,
					  s->name ? s->name : "");
		*rows += rs[j]->rows;
		if (*rows > RN_MAX_ROWS)
			return rn_err_set(e, RN_ENOMEM,
					  "relation '%s' has more than %" PRIu64 " rows",
					  s->name ? s->name : "", RN_MAX_ROWS);
	}
	return 0;
}

int rn_rel_concat(const struct rn_schema *schema, struct rn_rel *const *rs, size_t n,
		  struct rn_rel **out, struct rn_err *e)
{
	const struct rn_schema *s = schema ? schema : n ? &rs[0]->schema : NULL;
	struct rn_rel *o = NULL;
	void **tmp = NULL; /* the columns, then the tensors, that are stacked */
	uint64_t rows;
	int rc;

	if (!s)
		return rn_err_set(e, RN_EBUG, "concatenation of no relations");
	RN_TRY(check_stack(s, rs, n, &rows, e));
	RN_TRY(rn_calloc(n, sizeof *tmp, "a relation", &tmp, e));
	RN_GOTO(out, rn_rel_new(s->name, rows, &o, e));
	for (size_t i = 0; i < s->ncols; i++)
		RN_GOTO(out, concat_col(s, i, rs, n, (struct rn_column **)tmp, o, e));
	for (size_t i = 0; i < s->nparts; i++)
		RN_GOTO(out, concat_part(s, i, rs, n, (struct rn_tensor **)tmp, o, e));
	if (schema || n == 1)
		RN_GOTO(out, copy_key(s, &o->schema, e));
out:
	free(tmp);
	if (rc) {
		rn_rel_unref(o);
		return rc;
	}
	*out = o;
	return 0;
}

uint64_t rn_rel_bytes(const struct rn_rel *r)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < r->schema.ncols; i++) {
		const struct rn_column *c = r->cols[i];

		bytes += c->type == RN_BOOL ? c->rows : 8 * c->rows;
		if (c->type == RN_STRING)
			bytes += 8 + c->off[c->rows];
		if (c->null)
			bytes += c->rows;
	}
	for (size_t i = 0; i < r->schema.nparts; i++) {
		const struct rn_part *p = &r->parts[i];

		bytes += p->t->nnz * sizeof *p->t->data;
		if (p->t->sparse)
			bytes += p->t->nnz * sizeof *p->t->col +
				 (p->t->rows + 1) * sizeof *p->t->ptr;
		if (p->map)
			bytes += r->rows * sizeof(uint32_t);
	}
	return bytes;
}
