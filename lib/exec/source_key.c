/* SPDX-License-Identifier: Apache-2.0
 *
 * Is a key unique?  The key columns of all rows wait for the end and are hashed then; where
 * that takes more than --mem, they are sorted with their row numbers in temporary data, and
 * equal ones stand beside each other.
 */
#include "ext_runs.h"
#include "source.h"

#include <inttypes.h>
#include <stdlib.h>

struct rn_key_check {
	const char *path;               /* borrowed, as `schema` */
	const struct rn_schema *schema; /* of the rows */
	struct rn_ext x;
	uint64_t room;
	uint64_t rows, bytes;
	uint64_t *nulls;         /* by key column */
	struct rn_rel **blocks;  /* key columns; not with runs */
	size_t nblocks, cap_blocks;
	struct rn_runs_conf conf;
	struct rn_runs *runs;    /* key columns and row number */
	struct rn_rel *last;     /* of the rows in order: the one before */
	uint64_t dup;            /* the first row that repeats an earlier one; UINT64_MAX: none */
	struct rn_str text;      /* its key */
};

static int keys(void *arg, const struct rn_rel *block, struct rn_column **cols, struct rn_err *e)
{
	const struct rn_key_check *k = arg;

	(void)e;
	for (size_t i = 0; i < k->schema->nkey; i++)
		cols[i] = rn_column_ref(block->cols[i]);
	return 0;
}

int rn_key_check_open(const struct rn_ctx *c, const char *path, const struct rn_schema *s,
		      struct rn_key_check **out, struct rn_err *e)
{
	struct rn_key_check *k;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *k, "a key", &k, e));
	*k = (struct rn_key_check){ .path = path, .schema = s, .x = { .ctx = c }, .room = rn_ext_mem(c) / 2,
				    .dup = UINT64_MAX, .text = RN_STR_INIT };
	k->conf = (struct rn_runs_conf){ .order = { .keys = keys, .arg = k, .n = s->nkey }, .room = k->room };
	rc = rn_calloc(s->nkey, sizeof *k->nulls, "a key", &k->nulls, e);
	if (rc)
		rn_key_check_close(k);
	else
		*out = k;
	return rc;
}

void rn_key_check_close(struct rn_key_check *k)
{
	if (!k)
		return;
	for (size_t i = 0; i < k->nblocks; i++)
		rn_rel_unref(k->blocks[i]);
	free(k->blocks);
	rn_runs_close(k->runs);
	rn_spill_free(k->x.file);
	rn_rel_unref(k->last);
	rn_str_fini(&k->text);
	free(k->nulls);
	free(k);
}

/* ---- rows come ------------------------------------------------------------------------------ */

static int add_to_runs(struct rn_key_check *k, const struct rn_rel *block, uint64_t first, struct rn_err *e)
{
	struct rn_rel *numbered;
	int rc;

	RN_TRY(rn_ext_number(block, "row", first, &numbered, e));
	rc = rn_runs_add(k->runs, numbered, e);
	rn_rel_unref(numbered);
	return rc;
}

/* From now on in temporary data. */
static int spill(struct rn_key_check *k, struct rn_err *e)
{
	uint64_t first = 0;

	RN_TRY(rn_spill_new(k->x.ctx, &k->x.file, e));
	RN_TRY(rn_runs_open(&k->x, &k->conf, &k->runs, e));
	for (size_t i = 0; i < k->nblocks; i++) {
		RN_TRY(add_to_runs(k, k->blocks[i], first, e));
		first += k->blocks[i]->rows;
		rn_rel_unref(k->blocks[i]);
		k->blocks[i] = NULL;
	}
	k->nblocks = 0;
	return 0;
}

/* The key columns of r, *out owned. */
static int take_columns(const struct rn_key_check *k, const struct rn_rel *r, struct rn_rel **out,
			struct rn_err *e)
{
	int rc = rn_rel_new(NULL, r->rows, out, e);

	for (size_t i = 0; !rc && i < k->schema->nkey; i++) {
		size_t at = k->schema->key[i];

		rc = rn_rel_add_col(*out, k->schema->cols[at].name, k->schema->cols[at].qual,
				    rn_column_ref(r->cols[at]), e);
		if (rc)
			rn_rel_unref(*out);
	}
	return rc;
}

int rn_key_check_add(struct rn_key_check *k, const struct rn_rel *r, struct rn_err *e)
{
	uint64_t first = k->rows;
	struct rn_rel *block;
	int rc;

	for (size_t i = 0; i < k->schema->nkey; i++)
		k->nulls[i] += r->cols[k->schema->key[i]]->nulls;
	RN_TRY(take_columns(k, r, &block, e));
	k->rows += block->rows;
	k->bytes += rn_rel_bytes(block);
	/* The blocks, they as one, and what hashing them takes. */
	if (!k->runs && 2 * k->bytes + rn_group_bytes(k->rows, k->rows) > k->room)
		RN_GOTO(out, spill(k, e));
	if (k->runs) {
		rc = add_to_runs(k, block, first, e);
		goto out;
	}
	RN_GOTO(out, rn_grow(&k->blocks, &k->cap_blocks, k->nblocks + 1, sizeof(struct rn_rel *), "a key", e));
	k->blocks[k->nblocks++] = block;
	return 0;
out:
	rn_rel_unref(block);
	return rc;
}

uint64_t rn_key_check_spilled(const struct rn_key_check *k)
{
	return k->runs ? rn_spill_bytes(k->x.file) : 0;
}

/* ---- the end -------------------------------------------------------------------------------- */

/* Row `number`, which is row i of r, repeats an earlier one. */
static void note(struct rn_key_check *k, const struct rn_rel *r, uint64_t i, uint64_t number)
{
	if (number >= k->dup)
		return;
	k->dup = number;
	rn_str_clear(&k->text);
	for (size_t c = 0; c < k->schema->nkey; c++) {
		rn_str_addf(&k->text, "%s%s=", c ? ", " : "", r->schema.cols[c].name);
		rn_column_print(r->cols[c], i, &k->text);
	}
}

static bool equal_rows(const struct rn_key_check *k, const struct rn_rel *a, uint64_t i,
		       const struct rn_rel *b, uint64_t j)
{
	for (size_t c = 0; c < k->schema->nkey; c++)
		if (rn_column_compare(a->cols[c], i, b->cols[c], j))
			return false;
	return true;
}

/* Rows in order: of equal ones the later stand behind. */
static int see(void *arg, const struct rn_rel *r, struct rn_err *e)
{
	struct rn_key_check *k = arg;
	size_t number = k->schema->nkey;

	if (!r->rows)
		return 0;
	if (k->last && equal_rows(k, k->last, k->last->rows - 1, r, 0))
		note(k, r, 0, (uint64_t)r->cols[number]->i64[0]);
	for (uint64_t i = 1; i < r->rows; i++)
		if (equal_rows(k, r, i - 1, r, i))
			note(k, r, i, (uint64_t)r->cols[number]->i64[i]);
	rn_rel_unref(k->last);
	k->last = NULL;
	return rn_rel_slice(r, r->rows - 1, 1, &k->last, e);
}

static int check_in_memory(struct rn_key_check *k, struct rn_err *e)
{
	struct rn_rel *all;
	uint32_t dup;
	int rc;

	if (!k->nblocks)
		return 0;
	RN_TRY(rn_rel_concat(&k->blocks[0]->schema, k->blocks, k->nblocks, &all, e));
	struct rn_key key = { .n = k->schema->nkey, .cols = all->cols, .rows = all->rows };

	rc = rn_key_unique(k->x.ctx, &key, &dup, e);
	if (!rc && dup != RN_NO_ROW)
		note(k, all, dup, dup);
	rn_rel_unref(all);
	return rc;
}

int rn_key_check_end(struct rn_key_check *k, struct rn_err *e)
{
	for (size_t i = 0; i < k->schema->nkey; i++)
		if (k->nulls[i])
			return rn_err_set(e, RN_EDATA, "%s: key column '%s' is NULL in %" PRIu64 " rows", k->path,
					  k->schema->cols[k->schema->key[i]].name, k->nulls[i]);
	RN_TRY(k->runs ? rn_runs_end(k->runs, see, k, e) : check_in_memory(k, e));
	if (k->runs)
		rn_log(k->x.ctx, RN_LOG_INFO, "%s: the key was checked in %" PRIu64 " bytes of temporary data", k->path,
		       rn_key_check_spilled(k));
	if (k->dup == UINT64_MAX)
		return 0;
	RN_TRY(rn_str_check(&k->text, e));
	return rn_err_set(e, RN_EDATA, "%s: the key is not unique: row %" PRIu64 " repeats %s (rows count from 0)", k->path,
			  k->dup, k->text.s);
}
