/* SPDX-License-Identifier: Apache-2.0
 *
 * Random relations from a few words: "r(k:i s:s; z:3)" is a relation r with an
 * int64 column k, a string column s and a part z of 3 features.
 *
 *   columns  i int64 (few values)  f float64 (few values, whole ones too)  s string
 *            b bool  t timestamp   n int64 0 … 4   c int64 0 … 2;  all with NULLs
 *            j int64 without NULLs
 *            u int64 without duplicates: the relation's declared key
 *            q.k:i has the qualifier q
 *   parts    3   2x3   s5 (sparse, width 5)   +3 (positive)
 *
 * Half of the parts are views through a row map with repeated and missing rows,
 * as a left join makes them.
 */
#include "ops.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t rnd_next(struct rnd *r)
{
	uint64_t z = r->s += 0x9E3779B97F4A7C15u; /* splitmix64 */

	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	return z ^ z >> 31;
}

uint32_t rnd_below(struct rnd *r, uint32_t n)
{
	return (uint32_t)((rnd_next(r) >> 33) % n);
}

double rnd_real(struct rnd *r)
{
	double x = 0.1 + (double)(rnd_next(r) >> 40) * 0x1p-24 * 1.5;

	return rnd_next(r) & 1 << 20 ? x : -x;
}

/* ---- columns ----------------------------------------------------------------------------- */

static struct rn_column *strings(uint64_t rows, struct rnd *r)
{
	static const char *const values[] = { "", "a", "b", "ab", "\xc3\xa9" };
	struct rn_column *c;
	struct rn_err e;
	uint64_t at = 0;

	must(rn_column_new_string(rows, 2 * rows, &c, &e), &e, "a string column");
	must(rn_column_need_null(c, &e), &e, "NULLs");
	for (uint64_t i = 0; i < rows; i++) {
		const char *v = values[rnd_below(r, 5)];

		c->null[i] = rnd_below(r, 6) == 0;
		c->nulls += c->null[i];
		c->off[i] = at;
		if (!c->null[i]) {
			memcpy(c->bytes + at, v, strlen(v));
			at += strlen(v);
		}
	}
	c->off[rows] = at;
	if (!c->nulls)
		c->null = NULL;
	return c;
}

static void put(struct rn_column *c, uint64_t i, char type, struct rnd *r)
{
	switch (type) {
	case 'f':
		c->f64[i] = ((double)rnd_below(r, 17) - 8) / 4;
		break;
	case 'b':
		c->b[i] = rnd_below(r, 2);
		break;
	case 't':
		c->i64[i] = 1600000000000000 + (int64_t)rnd_below(r, 7) * 86400000123;
		break;
	case 'u':
		c->i64[i] = (int64_t)i;
		break;
	case 'n':
		c->i64[i] = rnd_below(r, 5);
		break;
	case 'c':
		c->i64[i] = rnd_below(r, 3);
		break;
	default:
		c->i64[i] = (int64_t)rnd_below(r, 5) - 2;
	}
}

static struct rn_column *gen_column(char type, uint64_t rows, struct rnd *r)
{
	enum rn_type t = type == 'f'   ? RN_FLOAT64
			 : type == 'b' ? RN_BOOL
			 : type == 't' ? RN_TIMESTAMP
				       : RN_INT64;
	bool nulls = type != 'j' && type != 'u';
	struct rn_column *c;
	struct rn_err e;

	if (type == 's')
		return strings(rows, r);
	must(rn_column_new(t, rows, &c, &e), &e, "a column");
	if (nulls)
		must(rn_column_need_null(c, &e), &e, "NULLs");
	for (uint64_t i = 0; i < rows; i++) {
		put(c, i, type, r);
		if (!nulls || rnd_below(r, 6))
			continue;
		c->null[i] = 1;
		c->nulls++;
		if (t == RN_BOOL)
			c->b[i] = 0;
		else if (t == RN_FLOAT64)
			c->f64[i] = 0;
		else
			c->i64[i] = 0;
	}
	if (!c->nulls)
		c->null = NULL;
	for (uint64_t i = rows; type == 'u' && i-- > 1;) { /* in no order */
		uint64_t k = rnd_below(r, (uint32_t)i + 1);
		int64_t x = c->i64[i];

		c->i64[i] = c->i64[k];
		c->i64[k] = x;
	}
	return c;
}

/* ---- parts ------------------------------------------------------------------------------- */

static struct rn_tensor *sparse_tensor(uint32_t width, uint64_t rows, struct rnd *r)
{
	struct rn_tensor *t;
	struct rn_err e;
	uint64_t at = 0;

	must(rn_tensor_new_sparse(width, rows, rows * width, &t, &e), &e, "a sparse part");
	for (uint64_t i = 0; i < rows; i++) {
		bool empty = rnd_below(r, 4) == 0;

		t->ptr[i] = at;
		for (uint32_t f = 0; f < width && !empty; f++)
			if (rnd_below(r, 3) == 0) {
				t->col[at] = f;
				t->data[at++] = (float)rnd_real(r);
			}
	}
	t->ptr[rows] = t->nnz = at;
	return t;
}

static struct rn_tensor *gen_tensor(const char *shape, uint64_t rows, struct rnd *r)
{
	bool positive = *shape == '+';
	struct rn_shape s = { 0 };
	struct rn_tensor *t;
	struct rn_err e;
	char *end;

	if (*shape == 's')
		return sparse_tensor((uint32_t)strtoul(shape + 1, NULL, 10), rows, r);
	for (shape += positive; s.rank < RN_MAX_RANK; shape = end + 1) {
		s.dim[s.rank++] = (uint32_t)strtoul(shape, &end, 10);
		if (*end != 'x')
			break;
	}
	must(rn_tensor_new(&s, rows, &t, &e), &e, "a part");
	for (uint64_t i = 0; i < t->nnz; i++) {
		double x = rnd_real(r);

		t->data[i] = (float)(positive ? fabs(x) : x);
	}
	return t;
}

static void add_part(struct rn_rel *rel, const char *name, const char *shape, struct rnd *r)
{
	uint64_t base = rel->rows;
	struct rn_buf *map = NULL;
	struct rn_tensor *t;
	struct rn_err e;

	if (rnd_below(r, 2)) {
		base = 1 + rnd_below(r, (uint32_t)(rel->rows + 3));
		must(rn_buf_new(rel->rows * sizeof(uint32_t), "a map", &map, &e), &e, "a map");
		for (uint64_t i = 0; i < rel->rows; i++)
			((uint32_t *)map->data)[i] = *shape != '+' && rnd_below(r, 6) == 0
							 ? RN_NO_ROW
							 : rnd_below(r, (uint32_t)base);
	}
	t = gen_tensor(shape, base, r);
	must(rn_rel_add_part(rel, name, t, map, &e), &e, "a part");
}

/* ---- relations --------------------------------------------------------------------------- */

static void add_col(struct rn_rel *rel, char *name, char type, struct rnd *r)
{
	char *dot = strchr(name, '.');
	struct rn_err e;

	if (dot)
		*dot++ = '\0';
	must(rn_rel_add_col(rel, dot ? dot : name, dot ? name : NULL,
			    gen_column(type, rel->rows, r), &e),
	     &e, "a column");
	if (type != 'u' || rel->schema.nkey)
		return;
	rel->schema.key = calloc(1, sizeof *rel->schema.key);
	rel->schema.key[0] = (uint32_t)rel->schema.ncols - 1;
	rel->schema.nkey = 1;
}

struct rn_rel *gen_rel(const char *spec, uint64_t rows, struct rnd *r)
{
	char text[200], *save, *word, *parts;
	struct rn_rel *rel;
	struct rn_err e;

	snprintf(text, sizeof text, "%s", spec);
	text[strcspn(text, ")")] = '\0';
	parts = strchr(text, ';');
	if (parts)
		*parts++ = '\0';
	word = strtok_r(text, "(", &save);
	must(rn_rel_new(word, rows, &rel, &e), &e, "a relation");
	for (word = strtok_r(NULL, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		char *colon = strchr(word, ':');

		*colon = '\0';
		add_col(rel, word, colon[1], r);
	}
	for (word = parts ? strtok_r(parts, " ", &save) : NULL; word;
	     word = strtok_r(NULL, " ", &save)) {
		char *colon = strchr(word, ':');

		*colon = '\0';
		add_part(rel, word, colon + 1, r);
	}
	return rel;
}

/* ---- looking at relations ---------------------------------------------------------------- */

double *flat_part(const struct rn_rel *r, size_t part)
{
	size_t w = rn_shape_width(&r->schema.parts[part].shape);
	double *x = calloc(r->rows * w + 1, sizeof *x);
	struct rn_tensor *t;
	struct rn_err e;

	must(rn_rel_flat_part(r, part, &t, &e), &e, "a part without its map");
	if (t->sparse) {
		for (uint64_t i = 0; i < t->rows; i++)
			for (uint64_t k = t->ptr[i]; k < t->ptr[i + 1]; k++)
				x[i * w + t->col[k]] = (double)t->data[k];
	} else {
		for (uint64_t i = 0; i < t->rows * w; i++)
			x[i] = (double)t->data[i];
	}
	rn_tensor_unref(t);
	return x;
}

const struct rn_column *col_of(const struct rn_rel *r, const char *name)
{
	for (size_t i = 0; i < r->schema.ncols; i++)
		if (!strcmp(r->schema.cols[i].name, name))
			return r->cols[i];
	printf("Bail out! a case asks for column '%s'\n", name);
	exit(1);
}

bool cell_equal(const struct rn_column *a, uint64_t i, const struct rn_column *b, uint64_t j)
{
	size_t n;

	if (a->type != b->type || rn_column_is_null(a, i) != rn_column_is_null(b, j))
		return false;
	if (rn_column_is_null(a, i))
		return true;
	switch (a->type) {
	case RN_STRING:
		n = a->off[i + 1] - a->off[i];
		return n == b->off[j + 1] - b->off[j] &&
		       !memcmp(a->bytes + a->off[i], b->bytes + b->off[j], n);
	case RN_BOOL:
		return a->b[i] == b->b[j];
	case RN_FLOAT64:
		return a->f64[i] == b->f64[j];
	default:
		return a->i64[i] == b->i64[j];
	}
}

static bool tensor_same(const struct rn_tensor *a, const struct rn_tensor *b)
{
	if (a->rows != b->rows || a->nnz != b->nnz || !rn_shape_equal(&a->shape, &b->shape) ||
	    a->sparse != b->sparse)
		return false;
	if (a->sparse && (memcmp(a->ptr, b->ptr, (a->rows + 1) * sizeof *a->ptr) ||
			  (a->nnz && memcmp(a->col, b->col, a->nnz * sizeof *a->col))))
		return false;
	return !a->nnz || !memcmp(a->data, b->data, a->nnz * sizeof *a->data);
}

bool rel_same(const struct rn_rel *a, const struct rn_rel *b)
{
	if (a->rows != b->rows || !rn_schema_equal(&a->schema, &b->schema))
		return fail("schemas or numbers of rows differ: %llu and %llu rows",
			    (unsigned long long)a->rows, (unsigned long long)b->rows);
	for (size_t c = 0; c < a->schema.ncols; c++)
		for (uint64_t i = 0; i < a->rows; i++)
			if (!cell_equal(a->cols[c], i, b->cols[c], i))
				return fail("column '%s' differs in row %llu",
					    a->schema.cols[c].name, (unsigned long long)i);
	for (size_t k = 0; k < a->schema.nparts; k++) {
		struct rn_tensor *x, *y;
		struct rn_err e;
		bool same;

		must(rn_rel_flat_part(a, k, &x, &e), &e, "a part");
		must(rn_rel_flat_part(b, k, &y, &e), &e, "a part");
		same = tensor_same(x, y);
		rn_tensor_unref(x);
		rn_tensor_unref(y);
		if (!same)
			return fail("part '%s' differs", a->schema.parts[k].name);
	}
	return true;
}
