/* SPDX-License-Identifier: Apache-2.0
 *
 * The schema of a section as JSON.
 */
#include "container_format.h"

#include "../lib/base/json.h"
#include "../lib/base/utf8.h"

#include <stdlib.h>
#include <string.h>

/* ---- writing ----------------------------------------------------------------- */

static void add_string(struct rn_str *out, const char *s)
{
	rn_str_addc(out, '"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			rn_str_addc(out, '\\');
		if ((unsigned char)*s < 0x20)
			rn_str_addf(out, "\\u%04x", (unsigned)(unsigned char)*s);
		else
			rn_str_addc(out, *s);
	}
	rn_str_addc(out, '"');
}

static int check_name(const char *s, const char *what, struct rn_err *e)
{
	if (!s || rn_utf8_prefix(s, strlen(s)) == strlen(s))
		return 0;
	return rn_err_set(e, RN_EUSAGE, "the name of a %s is not UTF-8: '%s'", what, s);
}

static int check_part(const struct rn_part_info *p, struct rn_err *e)
{
	uint64_t width = 1;
	bool fits = p->shape.rank >= 1 && p->shape.rank <= RN_MAX_RANK;

	for (uint32_t i = 0; fits && i < p->shape.rank; i++) {
		width *= p->shape.dim[i];
		fits = width >= 1 && width <= RN_ER_MAX_WIDTH;
	}
	if (!fits)
		return rn_err_set(e, RN_EUSAGE,
				  "part '%s' has a shape that does not fit into a stream (1 to %d "
				  "dimensions, 1 to %d values)",
				  p->name, RN_MAX_RANK, RN_ER_MAX_WIDTH);
	return check_name(p->name, "part", e);
}

static int check_names(const struct rn_schema *s, struct rn_err *e)
{
	RN_TRY(check_name(s->name, "relation", e));
	for (size_t i = 0; i < s->ncols; i++) {
		RN_TRY(check_name(s->cols[i].name, "column", e));
		RN_TRY(check_name(s->cols[i].qual, "column", e));
	}
	for (size_t i = 0; i < s->nparts; i++)
		RN_TRY(check_part(&s->parts[i], e));
	return 0;
}

static void add_column(struct rn_str *out, const struct rn_field *f)
{
	rn_str_add(out, "{\"name\": ");
	add_string(out, f->name);
	if (f->qual) {
		rn_str_add(out, ", \"qual\": ");
		add_string(out, f->qual);
	}
	rn_str_addf(out, ", \"type\": \"%s\"}", rn_type_name(f->type));
}

static void add_part(struct rn_str *out, const struct rn_part_info *p)
{
	rn_str_add(out, "{\"name\": ");
	add_string(out, p->name);
	rn_str_add(out, ", \"shape\": ");
	rn_shape_print(&p->shape, out);
	rn_str_addf(out, ", \"sparse\": %s}", p->sparse ? "true" : "false");
}

int rn_schema_to_json(const struct rn_schema *s, struct rn_str *out, struct rn_err *e)
{
	RN_TRY(check_names(s, e));
	if (s->ncols > RN_ER_MAX_COLS || s->nparts > RN_ER_MAX_PARTS)
		return rn_err_set(e, RN_EUSAGE,
				  "%zu columns and %zu parts do not fit into a stream (at most %d "
				  "and %d)",
				  s->ncols, s->nparts, RN_ER_MAX_COLS, RN_ER_MAX_PARTS);
	rn_str_addc(out, '{');
	if (s->name) {
		rn_str_add(out, "\"name\": ");
		add_string(out, s->name);
		rn_str_add(out, ", ");
	}
	rn_str_add(out, "\"columns\": [");
	for (size_t i = 0; i < s->ncols; i++) {
		rn_str_add(out, i ? ", " : "");
		add_column(out, &s->cols[i]);
	}
	rn_str_add(out, "], \"parts\": [");
	for (size_t i = 0; i < s->nparts; i++) {
		rn_str_add(out, i ? ", " : "");
		add_part(out, &s->parts[i]);
	}
	rn_str_add(out, "]");
	for (size_t i = 0; i < s->nkey; i++)
		rn_str_addf(out, "%s%u", i ? ", " : ", \"key\": [", s->key[i]);
	rn_str_add(out, s->nkey ? "]}" : "}");
	RN_TRY(rn_str_check(out, e));
	if (out->len > RN_ER_MAX_SCHEMA)
		return rn_err_set(e, RN_EUSAGE, "a schema of %zu bytes does not fit into a stream",
				  out->len);
	return 0;
}

/* ---- reading ----------------------------------------------------------------- */

static int bad(struct rn_err *e, const char *what)
{
	return rn_err_set(e, RN_EDATA, "malformed schema: %s", what);
}

static int read_column(const json_t *j, struct rn_schema *out, struct rn_err *e)
{
	const char *name = json_string_value(json_object_get(j, "name"));
	const char *type = json_string_value(json_object_get(j, "type"));
	const json_t *qual = json_object_get(j, "qual");
	enum rn_type t;

	if (!name || !type || (qual && !json_is_string(qual)))
		return bad(e, "a column is not an object with name and type");
	if (rn_type_parse(type, &t))
		return rn_err_set(e, RN_EDATA,
				  "malformed schema: column '%s' has unknown type '%s'", name,
				  type);
	return rn_schema_add_col(out, name, json_string_value(qual), t, e);
}

static int read_shape(const json_t *j, struct rn_shape *s, struct rn_err *e)
{
	uint64_t width = 1;
	json_t *dim;
	size_t i;

	if (!json_is_array(j) || !json_array_size(j) || json_array_size(j) > RN_MAX_RANK)
		return bad(e, "a shape is not an array of 1 to 4 dimensions");
	json_array_foreach(j, i, dim) {
		json_int_t d = json_integer_value(dim);

		if (d < 1 || d > RN_ER_MAX_WIDTH)
			return bad(e, "a dimension is out of range");
		s->dim[i] = (uint32_t)d;
		width *= (uint64_t)d;
		if (width > RN_ER_MAX_WIDTH)
			return bad(e, "a shape is too large");
	}
	s->rank = (uint32_t)json_array_size(j);
	return 0;
}

static int read_part(const json_t *j, struct rn_schema *out, struct rn_err *e)
{
	const char *name = json_string_value(json_object_get(j, "name"));
	const json_t *sparse = json_object_get(j, "sparse");
	struct rn_shape shape = { 0 };

	if (!name || (sparse && !json_is_boolean(sparse)))
		return bad(e, "a part is not an object with name and shape");
	RN_TRY(read_shape(json_object_get(j, "shape"), &shape, e));
	if (json_is_true(sparse) && shape.rank != 1)
		return bad(e, "a sparse part has more than one dimension");
	return rn_schema_add_part(out, name, &shape, json_is_true(sparse), e);
}

static int read_key(const json_t *j, struct rn_schema *out, struct rn_err *e)
{
	json_t *item;
	size_t i;

	if (!j || (json_is_array(j) && !json_array_size(j)))
		return 0;
	if (!json_is_array(j) || json_array_size(j) > out->ncols)
		return bad(e, "the key is not an array of columns");
	RN_TRY(rn_calloc(json_array_size(j), sizeof *out->key, "a schema", &out->key, e));
	out->nkey = json_array_size(j);
	json_array_foreach(j, i, item) {
		json_int_t c = json_integer_value(item);

		if (!json_is_integer(item) || c < 0 || (uint64_t)c >= out->ncols)
			return bad(e, "the key names a column that is not there");
		out->key[i] = (uint32_t)c;
	}
	return 0;
}

static int read_schema(const json_t *j, struct rn_schema *out, struct rn_err *e)
{
	const json_t *name = json_object_get(j, "name");
	const json_t *cols = json_object_get(j, "columns"), *parts = json_object_get(j, "parts");
	json_t *item;
	size_t i;

	if (name && !json_is_string(name) && !json_is_null(name))
		return bad(e, "the name is not a string");
	RN_TRY(rn_schema_set_name(out, json_string_value(name), e));
	if (!json_is_array(cols) || !json_is_array(parts))
		return bad(e, "columns and parts are not arrays");
	if (json_array_size(cols) > RN_ER_MAX_COLS || json_array_size(parts) > RN_ER_MAX_PARTS)
		return bad(e, "too many columns or parts");
	json_array_foreach(cols, i, item)
		RN_TRY(read_column(item, out, e));
	json_array_foreach(parts, i, item)
		RN_TRY(read_part(item, out, e));
	return read_key(json_object_get(j, "key"), out, e);
}

int rn_schema_from_json(const char *text, size_t n, struct rn_schema *out, struct rn_err *e)
{
	json_t *j;
	int rc;

	*out = (struct rn_schema){ 0 };
	RN_TRY(rn_json_load(text, n, "malformed schema", RN_EDATA, &j, e));
	rc = json_is_object(j) ? read_schema(j, out, e) : bad(e, "it is not an object");
	json_decref(j);
	if (rc)
		rn_schema_fini(out);
	return rc;
}
