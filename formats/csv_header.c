/* SPDX-License-Identifier: Apache-2.0
 *
 * Columns of a text table: names of the header or of --columns, types of --types.
 */
#include "csv_reader.h"

#include "../lib/base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first row that is not blank is taken out of its chunk, *out; *n = 0: there is none.
 * The chunks before it are dropped, if there is a header, else they stay in the queue. */
static int take_first(struct rn_csv_reader *r, struct rn_csv_chunk **out, size_t *n,
		      struct rn_err *e)
{
	size_t i = 0;

	*n = 0;
	*out = NULL;
	for (;;) {
		struct rn_csv_chunk *k;

		RN_TRY(rn_csv_fill(r, i + 1, e));
		if (r->head + i == r->nqueue)
			return 0;
		k = r->queue[r->head + i];
		if (!k->rc)
			k->rc = rn_csv_take_first(&r->rules, k, n, &k->err);
		RN_TRY(rn_csv_check_chunk(r, k, e));
		if (*n) {
			*out = k;
			return 0;
		}
		if (r->opt.no_header)
			i++;
		else
			rn_csv_drop_chunk(r);
	}
}

int rn_csv_skip_header(struct rn_csv_reader *r, struct rn_err *e)
{
	struct rn_csv_chunk *k;
	size_t n;

	return r->opt.no_header || r->rules.json ? 0 : take_first(r, &k, &n, e);
}

/* The name of column i: what --columns says, its header cell, or c0, c1, … */
static int set_name(struct rn_csv_reader *r, const struct rn_csv_chunk *k, size_t i,
		    const struct rn_csv_field *f, struct rn_err *e)
{
	const char *given = r->opt.nnames ? r->opt.names[i] : NULL;
	char number[24];
	int n = snprintf(number, sizeof number, "c%zu", i);
	bool own = !given && !r->opt.no_header && f->len;
	const char *from = given ? given : own ? f->p : number;
	size_t len = given ? strlen(given) : own ? f->len : (size_t)n;
	char *to;

	if (own && rn_utf8_prefix(from, len) < len)
		return rn_csv_bad_at(r, k, (size_t)(from - k->text), e,
				     "the name of column %zu is not UTF-8", i + 1);
	RN_TRY(rn_calloc(len + 1, 1, "a column name", &r->cols[i].name, e));
	to = r->cols[i].name;
	for (size_t j = 0; j < len; j++) {
		*to++ = from[j];
		j += own && f->escaped && from[j] == '"';
	}
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct rn_csv_column *const *x = a, *const *y = b;
	int c = strcmp((*x)->name, (*y)->name);

	return c ? c : (*x > *y) - (*x < *y);
}

static int check_names(const struct rn_csv_reader *r, const struct rn_csv_chunk *k,
		       struct rn_err *e)
{
	struct rn_csv_column **sorted;
	int rc = 0;

	RN_TRY(rn_calloc(r->ncols, sizeof(struct rn_csv_column *), "a schema", &sorted, e));
	for (size_t i = 0; i < r->ncols; i++)
		sorted[i] = &r->cols[i];
	qsort(sorted, r->ncols, sizeof *sorted, by_name);
	for (size_t i = 1; i < r->ncols && !rc; i++)
		if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
			rc = rn_csv_bad_at(r, k, k ? k->at[0] + 1 : 0, e,
					   "columns %td and %td are both named '%s'",
					   sorted[i - 1] - r->cols + 1, sorted[i] - r->cols + 1,
					   sorted[i]->name);
	free(sorted);
	return rc;
}

/* Names from the first row, of n fields, that was taken out of chunk k (NULL: there is none). */
static int make_names(struct rn_csv_reader *r, const struct rn_csv_chunk *k, size_t n,
		      struct rn_err *e)
{
	if (r->opt.nnames && n && n != r->opt.nnames)
		return rn_csv_bad_at(r, k, k->at[0] + 1, e, "%zu field%s where --columns names %zu",
				     n, n == 1 ? "" : "s", r->opt.nnames);
	n = r->opt.nnames ? r->opt.nnames : n;
	RN_TRY(rn_grow(&r->cols, &r->cols_cap, n, sizeof *r->cols, "a schema", e));
	memset(r->cols, 0, n * sizeof *r->cols);
	r->ncols = n;
	for (size_t i = 0; i < n; i++) {
		struct rn_csv_field f = { 0 };

		if (k)
			f = rn_csv_field_at(k, 0, i, n, false);
		r->cols[i].type = RN_CSV_UNKNOWN;
		RN_TRY(set_name(r, k, i, &f, e));
	}
	return check_names(r, k, e);
}

int rn_csv_read_names(struct rn_csv_reader *r, struct rn_err *e)
{
	struct rn_csv_chunk *k;
	size_t n;

	RN_TRY(take_first(r, &k, &n, e));
	if (!n && !(r->opt.no_header && r->opt.nnames))
		return rn_err_set(e, RN_EDATA, "'%s' is empty: it has no header",
				  rn_text_in_name(rn_csv_scan_input(r->scan)));
	RN_TRY(make_names(r, k, n, e));
	/* Without a header what was looked at are rows. */
	for (size_t i = r->head; r->opt.no_header && i < r->nqueue; i++) {
		r->queue[i]->from = r->queue[i]->begin;
		r->queue[i]->head_lines = 0;
	}
	return 0;
}

int rn_csv_add_columns(struct rn_csv_reader *r, struct rn_err *e)
{
	RN_TRY(rn_grow(&r->cols, &r->cols_cap, r->keys.n, sizeof *r->cols, "a schema", e));
	for (; r->ncols < r->keys.n; r->ncols++) {
		char *name = strdup(r->keys.key[r->ncols].name);

		if (!name)
			return rn_err_nomem(e, 1, "a column name");
		r->cols[r->ncols] = (struct rn_csv_column){ .name = name, .type = RN_CSV_UNKNOWN };
	}
	return 0;
}

int rn_csv_set_given(struct rn_csv_reader *r, const struct rn_csv_opt *opt, struct rn_err *e)
{
	for (size_t t = 0; t < opt->ntypes; t++) {
		const char *name = opt->type_names[t];
		size_t i = 0;

		while (i < r->ncols && strcmp(r->cols[i].name, name) != 0)
			i++;
		if (i == r->ncols && r->rules.json) {
			RN_TRY(rn_json_keys_add(&r->keys, name, strlen(name), &i, e));
			RN_TRY(rn_csv_add_columns(r, e));
		}
		if (i == r->ncols)
			return rn_err_set(e, RN_EUSAGE,
					  "a type is given for '%s', which is no column of '%s'", name,
					  rn_text_in_name(rn_csv_scan_input(r->scan)));
		r->cols[i].type = opt->types[t];
		r->cols[i].given = true;
	}
	return 0;
}
