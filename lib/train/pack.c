/* SPDX-License-Identifier: Apache-2.0
 *
 * Tensors and columns as sections.  A tensor is (row, key…; value): its first
 * dimension is the row, which has key columns if it is a table by key; the
 * others are the shape of the embedding.  A vector or scalar has values of shape
 * [1], and a tensor without values no rows.
 */
#include "pack.h"

#include <stdlib.h>
#include <string.h>

/* ---- writing ------------------------------------------------------------------------ */

int rn_pack_init(struct rn_pack *p, struct rn_err *e)
{
	memset(p, 0, sizeof *p);
	return rn_json_array(&p->list, e);
}

void rn_pack_fini(struct rn_pack *p)
{
	for (size_t i = 0; i < p->n; i++) {
		rn_column_unref(p->items[i].column);
		rn_rel_unref(p->items[i].rel);
	}
	free(p->items);
	json_decref(p->list);
	memset(p, 0, sizeof *p);
}

/* Add an entry to the list and a zeroed item.  Takes facts. */
static int add(struct rn_pack *p, const char *role, json_t *facts, struct rn_pack_item **out,
	       struct rn_err *e)
{
	json_t *entry;
	int rc;

	rc = rn_json_object(&entry, e);
	if (rc)
		goto out;
	rc = rn_json_set_text(entry, "role", role, e);
	if (!rc && facts && json_object_update(entry, facts))
		rc = rn_err_nomem(e, 0, "a header");
	if (rc) {
		json_decref(entry);
		goto out;
	}
	RN_GOTO(out, rn_json_append(p->list, entry, e));
	RN_GOTO(out, rn_grow(&p->items, &p->cap, p->n + 1, sizeof *p->items, "sections", e));
	*out = &p->items[p->n++];
	memset(*out, 0, sizeof **out);
out:
	json_decref(facts);
	return rc;
}

int rn_pack_tensor(struct rn_pack *p, const char *role, const char *name, uint32_t rank,
		   const uint32_t *dim, const float *values, const struct rn_rel *keys,
		   struct rn_err *e)
{
	struct rn_pack_item *it;
	json_t *facts, *shape;
	int rc;

	RN_TRY(rn_json_object(&facts, e));
	RN_GOTO(fail, rn_json_set_text(facts, "name", name, e));
	RN_GOTO(fail, rn_json_array(&shape, e));
	RN_GOTO(fail, rn_json_set(facts, "shape", shape, e));
	for (uint32_t i = 0; i < rank; i++)
		RN_GOTO(fail, rn_json_append(shape, json_integer(dim[i]), e));
	RN_TRY(add(p, role, facts, &it, e));
	it->rank = rank;
	memcpy(it->dim, dim, rank * sizeof *dim);
	it->values = values;
	it->keys = keys;
	return 0;
fail:
	json_decref(facts);
	return rc;
}

int rn_pack_reals(struct rn_pack *p, const char *role, const double *x, uint64_t n,
		  struct rn_err *e)
{
	struct rn_pack_item *it;

	RN_TRY(add(p, role, NULL, &it, e));
	it->reals = x;
	it->nreals = n;
	return 0;
}

int rn_pack_column(struct rn_pack *p, const char *role, json_t *facts, struct rn_column *column,
		   struct rn_err *e)
{
	struct rn_pack_item *it;

	RN_TRY(add(p, role, facts, &it, e));
	it->column = rn_column_ref(column);
	return 0;
}

int rn_pack_rel(struct rn_pack *p, const char *role, json_t *facts, struct rn_rel *rel,
		struct rn_err *e)
{
	struct rn_pack_item *it;

	RN_TRY(add(p, role, facts, &it, e));
	it->rel = rn_rel_ref(rel);
	return 0;
}

/* Rows and row shape of a tensor. */
static uint64_t tensor_rows(uint32_t rank, const uint32_t *dim, struct rn_shape *shape)
{
	uint64_t rows = rank ? dim[0] : 1;

	*shape = (struct rn_shape){ .rank = 1, .dim = { 1 } };
	if (rank > 1) {
		shape->rank = rank - 1;
		memcpy(shape->dim, dim + 1, shape->rank * sizeof *dim);
	}
	for (uint32_t i = 1; i < rank; i++) {
		if (!dim[i]) {
			*shape = (struct rn_shape){ .rank = 1, .dim = { 1 } };
			return 0;
		}
	}
	return rows;
}

static int tensor_rel(const struct rn_pack_item *it, struct rn_rel *r, const struct rn_shape *shape,
		      struct rn_err *e)
{
	struct rn_column *row;
	struct rn_tensor *t;

	RN_TRY(rn_column_new(RN_INT64, r->rows, &row, e));
	for (uint64_t i = 0; i < r->rows; i++)
		row->i64[i] = (int64_t)i;
	RN_TRY(rn_rel_add_col(r, "row", NULL, row, e));
	for (size_t i = 0; it->keys && i < it->keys->schema.ncols; i++)
		RN_TRY(rn_rel_add_col(r, it->keys->schema.cols[i].name, "key",
				      rn_column_ref(it->keys->cols[i]), e));
	RN_TRY(rn_tensor_new(shape, r->rows, &t, e));
	if (t->nnz)
		memcpy(t->data, it->values, t->nnz * sizeof *t->data);
	return rn_rel_add_part(r, "value", t, NULL, e);
}

static int reals_rel(const struct rn_pack_item *it, struct rn_rel *r, struct rn_err *e)
{
	struct rn_column *c;

	RN_TRY(rn_column_new(RN_FLOAT64, it->nreals, &c, e));
	if (it->nreals)
		memcpy(c->f64, it->reals, it->nreals * sizeof *it->reals);
	return rn_rel_add_col(r, "value", NULL, c, e);
}

static int item_rel(const struct rn_pack_item *it, struct rn_rel **out, struct rn_err *e)
{
	struct rn_shape shape = { 0 };
	struct rn_rel *r;
	uint64_t rows;
	int rc;

	if (it->rel) {
		*out = rn_rel_ref(it->rel);
		return 0;
	}
	rows = it->values   ? tensor_rows(it->rank, it->dim, &shape)
	       : it->reals  ? it->nreals
	       : it->column ? it->column->rows
			    : 0;
	RN_TRY(rn_rel_new(NULL, rows, &r, e));
	if (it->values)
		rc = tensor_rel(it, r, &shape, e);
	else if (it->column)
		rc = rn_rel_add_col(r, "value", NULL, rn_column_ref(it->column), e);
	else
		rc = reals_rel(it, r, e);
	if (rc)
		rn_rel_unref(r);
	else
		*out = r;
	return rc;
}

/* Wide rows in small blocks: a block has a limit in bytes (rn_er(5)). */
static uint32_t block_rows(const struct rn_pack *p, uint32_t want)
{
	uint64_t limit = want ? want : 65536;

	for (size_t i = 0; i < p->n; i++) {
		uint64_t width = 1;

		for (uint32_t k = 1; k < p->items[i].rank; k++)
			width *= p->items[i].dim[k] ? p->items[i].dim[k] : 1;
		if (((uint64_t)64 << 20) / width < limit)
			limit = ((uint64_t)64 << 20) / width;
	}
	return limit ? (uint32_t)limit : 1;
}

static int write_sections(const struct rn_pack *p, struct rn_writer *w, struct rn_err *e)
{
	for (size_t i = 0; i < p->n; i++) {
		struct rn_rel *r;
		int rc;

		RN_TRY(item_rel(&p->items[i], &r, e));
		rc = rn_writer_section(w, &r->schema, e);
		if (!rc)
			rc = rn_writer_rows(w, r, e);
		rn_rel_unref(r);
		RN_TRY(rc);
	}
	return 0;
}

int rn_pack_write(struct rn_pack *p, json_t *header, const char *path,
		  const struct rn_writer_opt *opt, struct rn_err *e)
{
	struct rn_writer_opt o = *opt;
	struct rn_str text = RN_STR_INIT;
	struct rn_err why = { 0 };
	struct rn_writer *w;
	struct rn_io *io;
	int rc;

	RN_TRY(rn_json_set(header, "sections", json_incref(p->list), e));
	rn_json_print(header, RN_JSON_COMPACT, &text);
	RN_GOTO(out, rn_str_check(&text, e));
	o.block_rows = block_rows(p, o.block_rows);
	o.inline_only = true; /* equal models are equal bytes, through a pipe too */
	RN_GOTO(out, rn_io_open_write(path, &io, e));
	RN_GOTO(out, rn_writer_open(io, text.s, &o, &w, e));
	rc = write_sections(p, w, &why);
	if (rc) {
		rn_writer_abort(w, why.msg);
		rn_err_set(e, rc, "%s", why.msg);
		goto out;
	}
	rc = rn_writer_close(w, e);
out:
	rn_str_fini(&text);
	return rc;
}

/* ---- reading -------------------------------------------------------------------------- */

int rn_unpack_text(const struct rn_unpack *u, const json_t *o, const char *key, const char **out,
		   struct rn_err *e)
{
	*out = json_string_value(json_object_get(o, key));
	if (!*out)
		return rn_err_set(e, RN_EDATA, "'%s' is damaged: its header has no text '%s'",
				  u->path, key);
	return 0;
}

int rn_unpack_int(const struct rn_unpack *u, const json_t *o, const char *key, int64_t min,
		  int64_t max, int64_t *out, struct rn_err *e)
{
	const json_t *v = json_object_get(o, key);

	*out = json_integer_value(v);
	if (!json_is_integer(v) || *out < min || *out > max)
		return rn_err_set(e, RN_EDATA,
				  "'%s' is damaged: its header has no '%s' between %lld and %lld",
				  u->path, key, (long long)min, (long long)max);
	return 0;
}

static int check_header(struct rn_unpack *u, struct rn_err *e)
{
	const char *kind;
	int64_t version;

	if (!json_is_object(u->header) || !json_object_get(u->header, "kind"))
		return rn_err_set(e, RN_EDATA, "'%s' is no model: it is a stream of relations",
				  u->path);
	RN_TRY(rn_unpack_int(u, u->header, "rn", 1, 1, &version, e));
	RN_TRY(rn_unpack_text(u, u->header, "kind", &kind, e));
	if (strcmp(kind, "model") && strcmp(kind, "checkpoint"))
		return rn_err_set(e, RN_EDATA, "'%s' is no model: it is of kind '%s'", u->path,
				  kind);
	if (!json_is_array(json_object_get(u->header, "sections")))
		return rn_err_set(e, RN_EDATA, "'%s' is damaged: its header lists no sections",
				  u->path);
	return 0;
}

int rn_unpack_open(struct rn_unpack *u, const char *path, struct rn_err *e)
{
	const char *text;
	struct rn_io *io;
	int rc;

	memset(u, 0, sizeof *u);
	u->path = path;
	RN_TRY(rn_io_open_read(path, &io, e));
	RN_TRY(rn_reader_open(io, &u->reader, e));
	text = rn_reader_header(u->reader);
	rc = rn_json_load(text, strlen(text), path, RN_EDATA, &u->header, e);
	if (!rc)
		rc = check_header(u, e);
	if (rc)
		rn_unpack_fini(u);
	return rc;
}

void rn_unpack_fini(struct rn_unpack *u)
{
	rn_reader_close(u->reader);
	json_decref(u->header);
	memset(u, 0, sizeof *u);
}

int rn_unpack_next(struct rn_unpack *u, const json_t **entry, struct rn_rel **rows,
		   struct rn_err *e)
{
	const json_t *list = json_object_get(u->header, "sections");
	const struct rn_schema *schema;

	*rows = NULL;
	*entry = json_array_get(list, u->next);
	RN_TRY(rn_reader_section(u->reader, &schema, e));
	if (!schema != !*entry || (*entry && !json_is_object(*entry)))
		return rn_err_set(e, RN_EDATA,
				  "'%s' is damaged: its header lists %zu sections and it has %s",
				  u->path, json_array_size(list), schema ? "more" : "fewer");
	if (!schema)
		return 0;
	u->next++;
	return rn_reader_all(u->reader, rows, e);
}

/* "shape" of an entry, and how many values it makes. */
static int read_shape(const struct rn_unpack *u, const json_t *entry, uint32_t *rank,
		      uint32_t dim[4], size_t *count, struct rn_err *e)
{
	const json_t *shape = json_object_get(entry, "shape");
	size_t n = json_array_size(shape);

	if (!json_is_array(shape) || n > 4)
		goto bad;
	*rank = (uint32_t)n;
	*count = 1;
	for (size_t i = 0; i < n; i++) {
		json_int_t d = json_integer_value(json_array_get(shape, i));

		if (!json_is_integer(json_array_get(shape, i)) || d < 0 || d >= UINT32_MAX ||
		    !rn_mul_size(*count, (size_t)d, count))
			goto bad;
		dim[i] = (uint32_t)d;
	}
	return 0;
bad:
	return rn_err_set(e, RN_EDATA, "'%s' is damaged: section %zu has no shape of a parameter",
			  u->path, u->next - 1);
}

int rn_unpack_keys(const struct rn_rel *rows, struct rn_rel **out, struct rn_err *e)
{
	struct rn_rel *r;

	*out = NULL;
	if (rows->schema.ncols < 2)
		return 0;
	RN_TRY(rn_rel_new(NULL, rows->rows, &r, e));
	for (size_t i = 1; i < rows->schema.ncols; i++) {
		int rc = rn_rel_add_col(r, rows->schema.cols[i].name, NULL,
					rn_column_ref(rows->cols[i]), e);

		if (rc) {
			rn_rel_unref(r);
			return rc;
		}
	}
	*out = r;
	return 0;
}

int rn_unpack_tensor(const struct rn_unpack *u, const json_t *entry, const struct rn_rel *rows,
		     uint32_t *rank, uint32_t dim[4], float **values, struct rn_err *e)
{
	struct rn_shape shape;
	struct rn_tensor *t;
	size_t count = 0;
	int rc;

	RN_TRY(read_shape(u, entry, rank, dim, &count, e));
	if (tensor_rows(*rank, dim, &shape) != rows->rows || rows->schema.nparts != 1 ||
	    !rn_shape_equal(&rows->schema.parts[0].shape, &shape) || rows->schema.parts[0].sparse)
		return rn_err_set(e, RN_EDATA,
				  "'%s' is damaged: section %zu is not of the shape that its "
				  "header says",
				  u->path, u->next - 1);
	RN_TRY(rn_rel_flat_part(rows, 0, &t, e));
	rc = rn_calloc(count, sizeof **values, "a parameter", values, e);
	if (!rc && count)
		memcpy(*values, t->data, count * sizeof **values);
	rn_tensor_unref(t);
	return rc;
}
