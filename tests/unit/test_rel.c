/* SPDX-License-Identifier: Apache-2.0
 *
 * Relations: names, and gather, slice and concat against row-by-row copies.
 */
#include "../../lib/rel/rel.h"
#include "t.h"

static struct rn_err err;

static const char *find(const struct rn_schema *s, const char *name)
{
	static char text[sizeof err.msg];
	size_t i;

	err.msg[0] = '\0';
	if (rn_schema_find(s, name, &i, &err))
		return err.msg;
	snprintf(text, sizeof text, "%zu", i);
	return text;
}

static const char *find_part(const struct rn_schema *s, const char *name)
{
	static char text[sizeof err.msg];
	size_t i;

	if (rn_schema_find_part(s, name, &i, &err))
		return err.msg;
	snprintf(text, sizeof text, "%zu", i);
	return text;
}

static void is(const char *got, const char *want, const char *what)
{
	T_OK(strcmp(got, want) == 0, "%s", what);
	if (strcmp(got, want) != 0)
		printf("# got  %s\n# want %s\n", got, want);
}

static void test_names(void)
{
	struct rn_shape v16 = { 1, { 16 } }, m = { 2, { 2, 3 } };
	struct rn_str b = RN_STR_INIT;
	struct rn_schema s = { 0 }, c;
	enum rn_type t;

	T_OK(!rn_type_parse("timestamp", &t) && t == RN_TIMESTAMP, "type names are read");
	T_OK(rn_type_parse("int", &t) == -1, "other names are no types");
	is(find(&s, "x"), "no column 'x' (it has no columns)", "find in an empty schema");
	is(find_part(&s, "z"), "there is no embedding", "part of an empty schema");
	T_CALL(rn_schema_set_name(&s, "edge", &err), &err);
	T_CALL(rn_schema_add_col(&s, "id", NULL, RN_INT64, &err), &err);
	T_CALL(rn_schema_add_col(&s, "d", "s", RN_STRING, &err), &err);
	T_CALL(rn_schema_add_col(&s, "d", "t", RN_BOOL, &err), &err);
	T_CALL(rn_schema_add_col(&s, "w", "s", RN_FLOAT64, &err), &err);
	T_CALL(rn_schema_add_col(&s, "k", NULL, RN_FLOAT64, &err), &err);
	T_CALL(rn_schema_add_col(&s, "k", "t", RN_FLOAT64, &err), &err);
	T_CALL(rn_schema_add_col(&s, "a.b", NULL, RN_TIMESTAMP, &err), &err);
	T_CALL(rn_schema_add_part(&s, "p", &v16, true, &err), &err);
	is(find(&s, "id"), "0", "bare name");
	is(find(&s, "s.d"), "1", "qualified name");
	is(find(&s, "t.d"), "2", "qualified name of the other input");
	is(find(&s, "w"), "3", "bare name of a qualified column that is alone");
	is(find(&s, "s.w"), "3", "its qualified name");
	is(find(&s, "k"), "4", "a bare name prefers the column without qualifier");
	is(find(&s, "t.k"), "5", "and the other is reached with it");
	is(find(&s, "a.b"), "6", "a bare name with a dot");
	is(find(&s, "d"), "column 'd' is ambiguous in edge: s.d, t.d", "ambiguous name");
	is(find(&s, "x"),
	   "no column 'x' in edge (columns: id, s.d, t.d, w, k, t.k, a.b)", "unknown name");
	T_OK(err.code == RN_EUSAGE, "an unknown name is a wrong plan");
	is(find_part(&s, "z"), "0", "z is the sole part");
	is(find_part(&s, NULL), "0", "so is NULL");
	is(find_part(&s, "p"), "0", "a part by its name");
	is(find_part(&s, "q"), "no part 'q' in edge (parts: p)", "unknown part");
	T_CALL(rn_schema_add_part(&s, "q", &m, false, &err), &err);
	is(find_part(&s, "z"), "'z' is ambiguous in edge (parts: p, q)", "z of two parts");
	rn_schema_print(&s, &b);
	is(b.s,
	   "edge(id int64, s.d string, t.d bool, w float64, k float64, t.k float64, "
	   "a.b timestamp; p [16] sparse, q [2,3])",
	   "a schema as text");
	s.key = calloc(2, sizeof *s.key);
	s.key[1] = 4;
	s.nkey = 2;
	T_CALL(rn_schema_copy(&s, &c, &err), &err);
	T_OK(rn_schema_equal(&s, &c) && c.nkey == 2 && c.key[1] == 4 && !strcmp(c.name, "edge"),
	     "a copy is equal and keeps name and key");
	c.parts[1].shape.dim[1] = 4;
	T_OK(!rn_schema_equal(&s, &c), "shapes count in equality");
	T_CALL(rn_schema_add_part(&c, "z", &m, false, &err), &err);
	is(find_part(&c, "z"), "2", "a part named z wins");
	rn_schema_fini(&c);
	rn_schema_fini(&s);
	rn_str_fini(&b);
}

/* ---- random relations ---------------------------------------------------------- */

static unsigned long long state = 7;

static unsigned rnd(unsigned n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(state >> 33) % n;
}

static struct rn_column *random_column(enum rn_type t, uint64_t rows)
{
	struct rn_column *c = NULL;
	uint64_t at = 0;

	if (t == RN_STRING)
		T_CALL(rn_column_new_string(rows, 4 * rows, &c, &err), &err);
	else
		T_CALL(rn_column_new(t, rows, &c, &err), &err);
	for (uint64_t i = 0; i < rows; i++) {
		bool null = rnd(4) == 0;

		if (null) {
			T_CALL(rn_column_need_null(c, &err), &err);
			c->null[i] = 1;
			c->nulls++;
		}
		if (t == RN_FLOAT64)
			c->f64[i] = null ? 0 : rnd(1000) / 8.0;
		else if (t == RN_BOOL)
			c->b[i] = !null && rnd(2);
		else if (t != RN_STRING)
			c->i64[i] = null ? 0 : (int64_t)rnd(1000) * 1000003;
		else {
			c->off[i] = at;
			for (unsigned n = null ? 0 : rnd(5); n; n--)
				c->bytes[at++] = (char)('a' + rnd(26));
		}
	}
	if (t == RN_STRING)
		c->off[rows] = at;
	return c;
}

static struct rn_tensor *random_tensor(bool sparse, uint64_t rows)
{
	struct rn_shape shape = { 1, { 5 } };
	struct rn_tensor *t = NULL;
	uint64_t at = 0;

	if (!sparse) {
		T_CALL(rn_tensor_new(&shape, rows, &t, &err), &err);
		for (uint64_t i = 0; i < 5 * rows; i++)
			t->data[i] = (float)rnd(100);
		return t;
	}
	T_CALL(rn_tensor_new_sparse(5, rows, 5 * rows, &t, &err), &err);
	for (uint64_t i = 0; i < rows; i++) {
		t->ptr[i] = at;
		for (uint32_t j = 0; j < 5; j++)
			if (rnd(3) == 0) {
				t->col[at] = j;
				t->data[at++] = (float)(1 + rnd(100));
			}
	}
	t->ptr[rows] = t->nnz = at;
	return t;
}

static struct rn_rel *random_rel(uint64_t rows)
{
	static const char *const names[] = { "i", "f", "b", "s", "t" };
	struct rn_rel *r = NULL;
	struct rn_buf *map = NULL;
	struct rn_tensor *t;

	T_CALL(rn_rel_new("r", rows, &r, &err), &err);
	for (unsigned k = 0; k < RN_NTYPES; k++) {
		struct rn_column *c = random_column((enum rn_type)k, rows);

		T_CALL(rn_rel_add_col(r, names[k], NULL, c, &err), &err);
	}
	T_CALL(rn_rel_add_part(r, "x", random_tensor(false, rows), NULL, &err), &err);
	T_CALL(rn_rel_add_part(r, "y", random_tensor(true, rows), NULL, &err), &err);
	t = random_tensor(true, 9);
	T_CALL(rn_buf_new(rows * 4, "map", &map, &err), &err);
	for (uint64_t i = 0; i < rows; i++)
		((uint32_t *)map->data)[i] = rnd(10) == 9 ? RN_NO_ROW : rnd(9);
	T_CALL(rn_rel_add_part(r, "v", rn_tensor_ref(t), rn_buf_ref(map), &err), &err);
	T_CALL(rn_rel_add_part(r, "w", t, map, &err), &err);
	r->schema.key = calloc(1, sizeof *r->schema.key);
	r->schema.nkey = 1;
	return r;
}

/* Value i of part k, j of 5. */
static float part_value(const struct rn_rel *r, size_t k, uint64_t i, uint32_t j)
{
	const struct rn_part *p = &r->parts[k];

	if (p->map) {
		uint32_t m = ((uint32_t *)p->map->data)[i];

		if (m == RN_NO_ROW)
			return 0;
		i = m;
	}
	if (!p->t->sparse)
		return p->t->data[i * 5 + j];
	for (uint64_t l = p->t->ptr[i]; l < p->t->ptr[i + 1]; l++)
		if (p->t->col[l] == j)
			return p->t->data[l];
	return 0;
}

/* Is row i of a the same as row j of b (RN_NO_ROW: NULLs and zeros)? */
static bool same_row(const struct rn_rel *a, uint64_t i, const struct rn_rel *b, uint64_t j)
{
	struct rn_str x = RN_STR_INIT, y = RN_STR_INIT;
	bool same = true, none = j == RN_NO_ROW;

	for (size_t k = 0; k < a->schema.ncols; k++) {
		rn_column_print(a->cols[k], i, &x);
		rn_str_add(&x, rn_column_is_null(a->cols[k], i) ? "NULL|" : "|");
		if (!none)
			rn_column_print(b->cols[k], j, &y);
		rn_str_add(&y, none || rn_column_is_null(b->cols[k], j) ? "NULL|" : "|");
	}
	same = x.len == y.len && memcmp(x.s, y.s, x.len) == 0;
	for (size_t k = 0; k < a->schema.nparts; k++)
		for (uint32_t v = 0; v < 5; v++)
			same = same &&
			       part_value(a, k, i, v) == (none ? 0 : part_value(b, k, j, v));
	rn_str_fini(&x);
	rn_str_fini(&y);
	return same;
}

/* NULL counts are true, and what stands under a NULL is 0 or "". */
static bool well_formed(const struct rn_rel *r)
{
	for (size_t k = 0; k < r->schema.ncols; k++) {
		const struct rn_column *c = r->cols[k];
		uint64_t nulls = 0;

		if (c->rows != r->rows || (c->type == RN_STRING && c->off[0] != 0))
			return false;
		for (uint64_t i = 0; c->null && i < c->rows; i++) {
			nulls += c->null[i];
			if (!c->null[i])
				continue;
			if (c->type == RN_STRING ? c->off[i] != c->off[i + 1] :
			    c->type == RN_BOOL   ? c->b[i] != 0 :
			    c->type == RN_FLOAT64 ? c->f64[i] != 0 : c->i64[i] != 0)
				return false;
		}
		if (nulls != c->nulls || !nulls != !c->null)
			return false;
	}
	return true;
}

static void test_gather(uint64_t rows, uint64_t n)
{
	struct rn_rel *r = random_rel(rows), *g = NULL, *h = NULL;
	uint32_t *map = malloc((n + 1) * sizeof *map);
	bool ok;

	for (uint64_t i = 0; i < n; i++)
		map[i] = !rows || rnd(9) == 0 ? RN_NO_ROW : rnd((unsigned)rows);
	T_CALL(rn_rel_gather(r, map, n, &g, &err), &err);
	ok = g->rows == n && well_formed(g);
	for (uint64_t i = 0; i < n; i++)
		ok = ok && same_row(g, i, r, map[i]);
	T_OK(ok, "gather of %d from %d rows", (int)n, (int)rows);
	T_OK(g->parts[0].t == r->parts[0].t && g->parts[2].map == g->parts[3].map &&
		     g->parts[0].map == g->parts[1].map,
	     "parts are views, and equal maps stay one");
	T_OK(n < 2 || g->schema.nkey == 0, "rows that may repeat lose the key");
	T_CALL(rn_rel_gather(g, map, rows < n ? rows : 0, &h, &err), &err);
	ok = true;
	for (uint64_t i = 0; i < h->rows; i++)
		ok = ok && same_row(h, i, g, map[i]);
	T_OK(ok, "gather of a gather");
	for (size_t k = 0; k < g->schema.nparts; k++) {
		struct rn_tensor *t = NULL;
		struct rn_rel flat = *g;
		struct rn_part p[4];

		T_CALL(rn_rel_flat_part(g, k, &t, &err), &err);
		memcpy(p, g->parts, sizeof p);
		p[k] = (struct rn_part){ .t = t };
		flat.parts = p;
		ok = t->rows == n;
		for (uint64_t i = 0; i < n; i++)
			ok = ok && same_row(&flat, i, g, i);
		T_OK(ok, "flat part %d", (int)k);
		rn_tensor_unref(t);
	}
	rn_rel_unref(h);
	rn_rel_unref(g);
	rn_rel_unref(r);
	free(map);
}

static void test_slices(uint64_t rows, uint64_t step)
{
	struct rn_rel *r = random_rel(rows), *all = NULL, *blocks[64];
	bool ok = true;
	size_t n = 0;

	for (uint64_t from = 0; from < rows; from += step, n++) {
		uint64_t len = rows - from < step ? rows - from : step;

		T_CALL(rn_rel_slice(r, from, len, &blocks[n], &err), &err);
		ok = ok && well_formed(blocks[n]) &&
		     rn_schema_equal(&r->schema, &blocks[n]->schema);
		ok = ok && (uintptr_t)blocks[n]->cols[1]->f64 % RN_ALIGN == 0;
		if (from % 8 == 0) /* eight doubles are RN_ALIGN bytes */
			ok = ok && blocks[n]->cols[1]->f64 == r->cols[1]->f64 + from;
		for (uint64_t i = 0; i < len; i++)
			ok = ok && same_row(blocks[n], i, r, from + i);
	}
	T_OK(ok, "%d slices of %d rows", (int)n, (int)rows);
	T_CALL(rn_rel_concat(&r->schema, blocks, n, &all, &err), &err);
	ok = all->rows == rows && well_formed(all) && rn_schema_equal(&r->schema, &all->schema);
	for (uint64_t i = 0; i < rows; i++)
		ok = ok && same_row(all, i, r, i);
	T_OK(ok && all->schema.nkey == 1, "stacked again");
	T_OK(!n || (all->parts[2].t == r->parts[2].t && all->parts[2].map), "views stay views");
	T_OK(all->parts[1].t->sparse, "sparse stays sparse");
	T_OK(!n || rn_rel_bytes(all) == rn_rel_bytes(r), "and takes the same bytes");
	while (n)
		rn_rel_unref(blocks[--n]);
	rn_rel_unref(all);
	rn_rel_unref(r);
}

static void test_misuse(void)
{
	struct rn_rel *r = random_rel(8), *out;
	struct rn_tensor *t[2], *o = NULL;
	struct rn_column *c;

	T_OK(rn_rel_slice(r, 5, 4, &out, &err) == RN_EBUG, "a slice beyond the end");
	T_OK(rn_rel_concat(NULL, NULL, 0, &out, &err) == RN_EBUG, "no blocks and no schema");
	T_OK(rn_column_slice(r->cols[0], 9, 0, &c, &err) == RN_EBUG,
	     "a column slice beyond the end");
	T_OK(rn_rel_add_col(r, "x", NULL, random_column(RN_INT64, 7), &err) == RN_EBUG,
	     "a column of another length");
	T_OK(rn_rel_add_part(r, "x", random_tensor(false, 7), NULL, &err) == RN_EBUG,
	     "a part of another length");
	t[0] = random_tensor(true, 3);
	t[1] = random_tensor(false, 4);
	T_CALL(rn_tensor_concat(t, 2, &o, &err), &err);
	T_OK(!o->sparse && o->rows == 7 && o->data[15] == t[1]->data[0],
	     "sparse and dense stack to dense");
	rn_tensor_unref(o);
	rn_tensor_unref(t[0]);
	rn_tensor_unref(t[1]);
	T_OK(rn_tensor_new(&(struct rn_shape){ 2, { 1 << 20, 1 << 20 } }, 1, &o, &err) == RN_ENOMEM,
	     "a shape that is too large");
	T_OK(rn_tensor_new_sparse(1, UINT64_MAX, 1, &o, &err) == RN_ENOMEM, "too many rows");
	T_OK(rn_column_new_string(UINT64_MAX, 1, &c, &err) == RN_ENOMEM, "too many strings");
	rn_rel_unref(r);
}

int main(void)
{
	uint32_t up[] = { 1, 4, 7 };
	struct rn_rel *r, *g = NULL;

	test_names();
	test_gather(0, 0);
	test_gather(0, 3);
	test_gather(1, 1);
	test_gather(40, 100);
	test_gather(100, 40);
	test_slices(0, 1);
	test_slices(100, 7);
	test_slices(200, 64);
	test_slices(64, 64);
	test_misuse();
	r = random_rel(8);
	T_CALL(rn_rel_gather(r, up, 3, &g, &err), &err);
	T_OK(g->schema.nkey == 1, "an ascending selection of rows keeps the key");
	rn_rel_unref(g);
	rn_rel_unref(r);
	return t_done();
}
