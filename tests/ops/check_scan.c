/* SPDX-License-Identifier: Apache-2.0
 *
 * scan: a random relation is written as CSV by hand and read back: given and
 * inferred types, key, row numbers, embeddings, in blocks and at once.
 */
#include "ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[200];

/* NULL is an empty field, the empty string is "". */
static void write_csv(const struct rn_rel *r)
{
	FILE *f = fopen(path, "w");
	struct rn_str s = RN_STR_INIT;

	if (!f) {
		printf("Bail out! cannot write %s\n", path);
		exit(1);
	}
	for (size_t c = 0; c < r->schema.ncols; c++)
		fprintf(f, "%s%s", c ? "," : "", r->schema.cols[c].name);
	for (uint64_t i = 0; i < r->rows; i++)
		for (size_t c = 0; c < r->schema.ncols; c++) {
			rn_str_clear(&s);
			rn_column_print(r->cols[c], i, &s);
			fprintf(f, "%s%s", c ? "," : "\n", s.s);
			if (!*s.s && !rn_column_is_null(r->cols[c], i))
				fputs("\"\"", f);
		}
	fputs("\n", f);
	fclose(f);
	rn_str_fini(&s);
}

static void open_scan(struct rn_node *n, const char *fmt, const char *arg)
{
	char text[400];

	snprintf(text, sizeof text, fmt, path, arg);
	*n = (struct rn_node){ .name = strdup("n"), .op = rn_op_find("scan") };
	n->opt = case_options(n->op, text);
}

static void close_scan(struct rn_node *n)
{
	free(n->name);
	json_decref(n->opt);
}

static struct rn_rel *read_all(const struct rn_node *n)
{
	struct rn_rel *r;
	struct rn_err e;
	uint64_t hash;

	must(rn_source_read(&quiet, n, NULL, &r, &hash, &e), &e, "reading a source");
	return r;
}

/* The same rows, block by block. */
static bool blocks_same(const struct rn_node *n, const struct rn_rel *all)
{
	struct rn_rel *blocks[100], *whole;
	struct rn_source *s;
	struct rn_err e;
	size_t k = 0;
	bool ok;

	quiet.block_rows = 7;
	must(rn_source_open(&quiet, n, NULL, &s, &e), &e, "a source");
	quiet.block_rows = 0;
	ok = rn_schema_equal(rn_source_schema(s), &all->schema) ||
	     fail("the schema differs in blocks");
	do
		must(rn_source_block(s, &blocks[k], &e), &e, "a block");
	while (blocks[k] && ++k < 100);
	must(rn_rel_concat(rn_source_schema(s), blocks, k, &whole, &e), &e, "blocks");
	ok = ok && rel_same(whole, all);
	rn_rel_unref(whole);
	while (k-- > 0)
		rn_rel_unref(blocks[k]);
	rn_source_close(s);
	return ok;
}

/* ---- variants ---------------------------------------------------------------------------- */

#define TYPES                                                                                      \
	"\"types\": {\"u\": \"int64\", \"i\": \"int64\", \"f\": \"float64\", \"s\": \"string\", "  \
	"\"b\": \"bool\", \"t\": \"timestamp\"}"

static bool content_same(const struct rn_rel *want, const char *fmt)
{
	struct rn_node n;
	struct rn_rel *got;
	bool ok;

	open_scan(&n, fmt, "");
	got = read_all(&n);
	ok = got->schema.name && !strcmp(got->schema.name, "n") &&
	     got->schema.nkey == want->schema.nkey;
	ok = ok ? rel_same(want, got) && blocks_same(&n, got) : fail("name or key of a source");
	rn_rel_unref(got);
	close_scan(&n);
	return ok;
}

/* A row number in front, and columns that are an embedding instead. */
static bool embedding_same(const struct rn_rel *want)
{
	const struct rn_column *f = col_of(want, "f"), *b = col_of(want, "b"), *id;
	struct rn_node n;
	struct rn_rel *got;
	double *z;
	bool ok;

	open_scan(&n, "{\"from\": \"%s\", \"row-id\": \"row\", \"emb\": \"f, [b]\", " TYPES "}",
		  "");
	got = read_all(&n);
	z = flat_part(got, 0);
	id = col_of(got, "row");
	ok = got->rows == want->rows && got->schema.ncols == want->schema.ncols - 1 &&
	     rn_shape_width(&got->schema.parts[0].shape) == 2;
	for (uint64_t i = 0; i < got->rows && ok; i++)
		ok = id->i64[i] == (int64_t)i &&
		     z[2 * i] == (rn_column_is_null(f, i) ? 0 : f->f64[i]) &&
		     z[2 * i + 1] == (rn_column_is_null(b, i) ? 0 : b->b[i]);
	ok = ok ? blocks_same(&n, got) : fail("row numbers or embedding of a source");
	free(z);
	rn_rel_unref(got);
	close_scan(&n);
	return ok;
}

static bool ones(const struct rn_rel *want)
{
	struct rn_node n;
	struct rn_rel *got;
	double *z;
	bool ok = true;

	open_scan(&n, "{\"from\": \"%s\", \"emb\": \"ones:3\"}", "");
	got = read_all(&n);
	z = flat_part(got, 0);
	for (uint64_t i = 0; i < want->rows * 3; i++)
		ok = ok && z[i] == 1;
	free(z);
	rn_rel_unref(got);
	close_scan(&n);
	return ok || fail("ones:3");
}

/* A column with equal values is no key. */
static bool duplicate_key(const struct rn_rel *want)
{
	struct rn_rel *got = NULL;
	struct rn_err e = { 0 };
	struct rn_node n;
	int rc;

	open_scan(&n, "{\"from\": \"%s\", \"key\": [\"b\"]}", "");
	rc = rn_source_read(&quiet, &n, NULL, &got, NULL, &e);
	close_scan(&n);
	if (!rc)
		rn_rel_unref(got);
	return want->rows < 10 || rc == RN_EDATA || fail("a key with duplicates: %d", rc);
}

struct reading {
	struct rn_node n;
	struct rn_rel *usual;
};

static int read_once(void *arg, bool *same, struct rn_err *e)
{
	struct reading *x = arg;
	struct rn_rel *r;
	int rc = rn_source_read(&quiet, &x->n, NULL, &r, NULL, e);

	if (rc)
		return rc;
	alloc_stop();
	*same = rel_same(r, x->usual);
	rn_rel_unref(r);
	return 0;
}

static bool allocations_fail(void)
{
	struct reading x;
	bool ok;

	open_scan(&x.n,
		  "{\"from\": \"%s\", \"key\": [\"u\"], \"row-id\": \"row\", \"emb\": \"f\", " TYPES
		  "}",
		  "");
	x.usual = read_all(&x.n);
	ok = check_every_alloc(read_once, &x);
	rn_rel_unref(x.usual);
	close_scan(&x.n);
	return ok;
}

bool check_scan(uint64_t seed, uint64_t rows)
{
	struct rnd r = { seed };
	struct rn_rel *want = gen_rel("n(u:u i:i f:f s:s b:b t:t)", rows, &r);
	bool ok;

	snprintf(path, sizeof path, "%s/scan.csv", tmp_dir);
	write_csv(want);
	ok = content_same(want, "{\"from\": \"%s\", \"key\": [\"u\"], " TYPES "%s}") &&
	     embedding_same(want) && ones(want) && duplicate_key(want) && allocations_fail();
	want->schema.nkey = 0;
	if (ok && rows >= 70) /* enough to infer the types */
		ok = content_same(want, "{\"from\": \"%s\"%s}");
	unlink(path);
	rn_rel_unref(want);
	return ok;
}
