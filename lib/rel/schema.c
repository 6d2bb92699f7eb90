/* SPDX-License-Identifier: Apache-2.0
 *
 * Schemas: names, types and shapes, and the one place where a name that a user
 * wrote is turned into a column or a part.  A field's qualifier is the join
 * input that it came from; it is used only to tell equal bare names apart.
 */
#include "rel.h"

#include <stdlib.h>
#include <string.h>

static const char *const type_names[] = {
	[RN_INT64] = "int64",   [RN_FLOAT64] = "float64",     [RN_BOOL] = "bool",
	[RN_STRING] = "string", [RN_TIMESTAMP] = "timestamp",
};
_Static_assert(sizeof type_names / sizeof *type_names == RN_NTYPES, "one name per type");

const char *rn_type_name(enum rn_type t)
{
	return type_names[t];
}

int rn_type_parse(const char *s, enum rn_type *out)
{
	for (unsigned t = 0; t < RN_NTYPES; t++)
		if (strcmp(s, type_names[t]) == 0) {
			*out = (enum rn_type)t;
			return 0;
		}
	return -1;
}

bool rn_shape_equal(const struct rn_shape *a, const struct rn_shape *b)
{
	return a->rank == b->rank && memcmp(a->dim, b->dim, a->rank * sizeof *a->dim) == 0;
}

bool rn_shape_unify(const struct rn_shape *a, const struct rn_shape *b, struct rn_shape *out)
{
	struct rn_shape s = *a;

	if (a->rank != b->rank)
		return false;
	for (uint32_t i = 0; i < s.rank; i++) {
		if (s.dim[i] == RN_DIM_UNKNOWN)
			s.dim[i] = b->dim[i];
		else if (b->dim[i] != RN_DIM_UNKNOWN && b->dim[i] != s.dim[i])
			return false;
	}
	*out = s;
	return true;
}

bool rn_shape_known(const struct rn_shape *s)
{
	for (uint32_t i = 0; i < s->rank; i++)
		if (s->dim[i] == RN_DIM_UNKNOWN)
			return false;
	return true;
}

void rn_shape_print(const struct rn_shape *s, struct rn_str *out)
{
	rn_str_addc(out, '[');
	for (uint32_t i = 0; i < s->rank; i++)
		if (s->dim[i] == RN_DIM_UNKNOWN)
			rn_str_addf(out, "%s?", i ? "," : "");
		else
			rn_str_addf(out, "%s%u", i ? "," : "", s->dim[i]);
	rn_str_addc(out, ']');
}

void rn_schema_fini(struct rn_schema *s)
{
	for (size_t i = 0; i < s->ncols; i++) {
		free(s->cols[i].name);
		free(s->cols[i].qual);
	}
	for (size_t i = 0; i < s->nparts; i++)
		free(s->parts[i].name);
	free(s->cols);
	free(s->parts);
	free(s->key);
	free(s->name);
	*s = (struct rn_schema){ 0 };
}

/* *out = a copy of s; NULL stays NULL. */
static int copy_name(const char *s, char **out, struct rn_err *e)
{
	*out = s ? strdup(s) : NULL;
	return s && !*out ? rn_err_nomem(e, strlen(s) + 1, "a name") : 0;
}

int rn_schema_set_name(struct rn_schema *s, const char *name, struct rn_err *e)
{
	char *copy;

	RN_TRY(copy_name(name, &copy, e));
	free(s->name);
	s->name = copy;
	return 0;
}

int rn_schema_add_col(struct rn_schema *s, const char *name, const char *qual, enum rn_type type,
		      struct rn_err *e)
{
	size_t cap = 0; /* not kept: schemas are small */
	struct rn_field f = { .type = type };
	int rc;

	RN_TRY(rn_grow(&s->cols, &cap, s->ncols + 1, sizeof *s->cols, "a schema", e));
	RN_TRY(copy_name(name, &f.name, e));
	rc = copy_name(qual, &f.qual, e);
	if (rc) {
		free(f.name);
		return rc;
	}
	s->cols[s->ncols++] = f;
	return 0;
}

int rn_schema_add_part(struct rn_schema *s, const char *name, const struct rn_shape *shape,
		       bool sparse, struct rn_err *e)
{
	size_t cap = 0;
	struct rn_part_info p = { .shape = *shape, .sparse = sparse };

	RN_TRY(rn_grow(&s->parts, &cap, s->nparts + 1, sizeof *s->parts, "a schema", e));
	RN_TRY(copy_name(name, &p.name, e));
	s->parts[s->nparts++] = p;
	return 0;
}

int rn_schema_copy(const struct rn_schema *s, struct rn_schema *out, struct rn_err *e)
{
	int rc;

	*out = (struct rn_schema){ 0 };
	RN_GOTO(fail, rn_schema_set_name(out, s->name, e));
	for (size_t i = 0; i < s->ncols; i++)
		RN_GOTO(fail, rn_schema_add_col(out, s->cols[i].name, s->cols[i].qual,
						s->cols[i].type, e));
	for (size_t i = 0; i < s->nparts; i++)
		RN_GOTO(fail, rn_schema_add_part(out, s->parts[i].name, &s->parts[i].shape,
						 s->parts[i].sparse, e));
	if (s->nkey) {
		RN_GOTO(fail, rn_calloc(s->nkey, sizeof *s->key, "a schema", &out->key, e));
		memcpy(out->key, s->key, s->nkey * sizeof *s->key);
		out->nkey = s->nkey;
	}
	return 0;
fail:
	rn_schema_fini(out);
	return rc;
}

static bool same_name(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

bool rn_schema_equal(const struct rn_schema *a, const struct rn_schema *b)
{
	if (a->ncols != b->ncols || a->nparts != b->nparts)
		return false;
	for (size_t i = 0; i < a->ncols; i++)
		if (a->cols[i].type != b->cols[i].type ||
		    !same_name(a->cols[i].name, b->cols[i].name) ||
		    !same_name(a->cols[i].qual, b->cols[i].qual))
			return false;
	for (size_t i = 0; i < a->nparts; i++)
		if (a->parts[i].sparse != b->parts[i].sparse ||
		    !same_name(a->parts[i].name, b->parts[i].name) ||
		    !rn_shape_equal(&a->parts[i].shape, &b->parts[i].shape))
			return false;
	return true;
}

static void add_full_name(const struct rn_field *f, struct rn_str *out)
{
	if (f->qual)
		rn_str_addf(out, "%s.", f->qual);
	rn_str_add(out, f->name);
}

static void add_col_name(const struct rn_schema *s, size_t i, struct rn_str *out)
{
	size_t same = 0;

	for (size_t j = 0; j < s->ncols; j++)
		same += strcmp(s->cols[j].name, s->cols[i].name) == 0;
	if (same > 1)
		add_full_name(&s->cols[i], out);
	else
		rn_str_add(out, s->cols[i].name);
}

void rn_schema_col_name(const struct rn_schema *s, size_t i, struct rn_str *out)
{
	rn_str_clear(out);
	add_col_name(s, i, out);
}

/* ---- names to columns and parts -------------------------------------------- */

/* Is `name` QUAL.NAME of this field? */
static bool is_qualified(const struct rn_field *f, const char *name)
{
	size_t n = f->qual ? strlen(f->qual) : 0;

	return f->qual && strncmp(name, f->qual, n) == 0 && name[n] == '.' &&
	       strcmp(name + n + 1, f->name) == 0;
}

/* " in NAME", or nothing where the relation is unnamed. */
static void add_where(const struct rn_schema *s, struct rn_str *out)
{
	if (s->name)
		rn_str_addf(out, " in %s", s->name);
}

/* Hand the message in `b` to `e`; frees b. */
static int usage(struct rn_str *b, struct rn_err *e)
{
	int rc = rn_str_check(b, e);

	if (!rc)
		rc = rn_err_set(e, RN_EUSAGE, "%s", b->s);
	rn_str_fini(b);
	return rc;
}

int rn_schema_unknown(const struct rn_schema *s, const char *name, struct rn_err *e)
{
	struct rn_str b = RN_STR_INIT;

	rn_str_addf(&b, "no column '%s'", name);
	add_where(s, &b);
	rn_str_add(&b, s->ncols ? " (columns: " : " (it has no columns");
	for (size_t i = 0; i < s->ncols; i++) {
		rn_str_add(&b, i ? ", " : "");
		add_col_name(s, i, &b);
	}
	rn_str_addc(&b, ')');
	return usage(&b, e);
}

static int ambiguous_column(const struct rn_schema *s, const char *name, struct rn_err *e)
{
	struct rn_str b = RN_STR_INIT;
	const char *sep = ": ";

	rn_str_addf(&b, "column '%s' is ambiguous", name);
	add_where(s, &b);
	for (size_t i = 0; i < s->ncols; i++) {
		if (strcmp(s->cols[i].name, name) != 0 && !is_qualified(&s->cols[i], name))
			continue;
		rn_str_add(&b, sep);
		add_full_name(&s->cols[i], &b);
		sep = ", ";
	}
	return usage(&b, e);
}

int rn_schema_find(const struct rn_schema *s, const char *name, size_t *out, struct rn_err *e)
{
	size_t bare = 0, plain = 0, qualified = 0;    /* how many match, and … */
	size_t at_bare = 0, at_plain = 0, at_qual = 0; /* … the last that does */

	for (size_t i = 0; i < s->ncols; i++) {
		if (strcmp(s->cols[i].name, name) == 0) {
			bare++;
			at_bare = i;
			if (!s->cols[i].qual) {
				plain++;
				at_plain = i;
			}
		} else if (is_qualified(&s->cols[i], name)) {
			qualified++;
			at_qual = i;
		}
	}
	if (bare == 1)
		*out = at_bare;
	else if (plain == 1)
		*out = at_plain;
	else if (!bare && qualified == 1)
		*out = at_qual;
	else if (bare || qualified)
		return ambiguous_column(s, name, e);
	else
		return rn_schema_unknown(s, name, e);
	return 0;
}

int rn_schema_find_part(const struct rn_schema *s, const char *name, size_t *out,
			struct rn_err *e)
{
	bool sole = !name || strcmp(name, "z") == 0 || (s->name && strcmp(name, s->name) == 0);
	struct rn_str b = RN_STR_INIT;

	for (size_t i = 0; name && i < s->nparts; i++)
		if (strcmp(s->parts[i].name, name) == 0) {
			*out = i;
			return 0;
		}
	if (sole && s->nparts == 1) {
		*out = 0;
		return 0;
	}
	if (!s->nparts) {
		rn_str_add(&b, "there is no embedding");
		add_where(s, &b);
	} else {
		rn_str_addf(&b, sole ? "'%s' is ambiguous" : "no part '%s'", name ? name : "z");
		add_where(s, &b);
		rn_str_add(&b, " (parts: ");
		for (size_t i = 0; i < s->nparts; i++)
			rn_str_addf(&b, "%s%s", i ? ", " : "", s->parts[i].name);
		rn_str_addc(&b, ')');
	}
	return usage(&b, e);
}

void rn_schema_print(const struct rn_schema *s, struct rn_str *out)
{
	rn_str_addf(out, "%s(", s->name ? s->name : "");
	for (size_t i = 0; i < s->ncols; i++) {
		rn_str_add(out, i ? ", " : "");
		add_col_name(s, i, out);
		rn_str_addf(out, " %s", rn_type_name(s->cols[i].type));
	}
	for (size_t i = 0; i < s->nparts; i++) {
		rn_str_addf(out, "%s%s ", i ? ", " : "; ", s->parts[i].name);
		rn_shape_print(&s->parts[i].shape, out);
		rn_str_add(out, s->parts[i].sparse ? " sparse" : "");
	}
	rn_str_addc(out, ')');
}
