/* SPDX-License-Identifier: Apache-2.0 */
#include "ext_accum.h"

#include "../base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is asked for ------------------------------------------------------------------ */

static enum rn_accum_kind kind_of(const struct rn_cagg_text *t, enum rn_type type)
{
	static const enum rn_accum_kind kinds[RN_CAGG_KINDS] = {
		[RN_CAGG_COUNT] = ACC_COUNT, [RN_CAGG_SUM] = ACC_SUM,
		[RN_CAGG_AVG] = ACC_AVG,     [RN_CAGG_VAR] = ACC_VAR,
		[RN_CAGG_STDDEV] = ACC_STDDEV, [RN_CAGG_MIN] = ACC_MIN,
		[RN_CAGG_MAX] = ACC_MAX,     [RN_CAGG_FIRST] = ACC_FIRST,
		[RN_CAGG_LAST] = ACC_LAST,   [RN_CAGG_MEDIAN] = ACC_QUANTILE,
		[RN_CAGG_QUANTILE] = ACC_QUANTILE,
	};

	if (t->kind == RN_CAGG_SUM && type == RN_INT64)
		return ACC_SUM_INT;
	return t->distinct ? ACC_DISTINCT : kinds[t->kind];
}

int rn_accum_read_items(struct rn_accum *a, struct rn_err *e)
{
	for (size_t i = 0; i < a->nitems; i++) {
		struct rn_accum_item *it = &a->items[i];

		RN_TRY(rn_aggregate_type(it->text, &a->schema, &it->type, e));
		RN_TRY(rn_cagg_parse(it->text, &it->in, e));
		it->kind = kind_of(&it->in, it->type);
		it->by = it->in.by;
	}
	return 0;
}

/* One more column of a run's result; its name is its number. */
static int derive(struct rn_accum *a, json_t *cols, struct rn_err *e, const char *fmt, ...)
	RN_PRINTF(4, 5);
static int derive(struct rn_accum *a, json_t *cols, struct rn_err *e, const char *fmt, ...)
{
	char name[32], *text;
	va_list ap;
	int n, rc;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return rn_err_nomem(e, strlen(fmt), "an aggregate");
	snprintf(name, sizeof name, "c%zu", a->nderived++);
	rc = rn_json_set_text(cols, name, text, e);
	free(text);
	return rc;
}

/* The columns that make item k. */
static int derive_item(struct rn_accum *a, json_t *cols, struct rn_accum_item *it, struct rn_err *e)
{
	const char *x = it->in.arg;
	int n = (int)it->in.narg;

	it->at = 1 + a->nderived; /* after the number of the run */
	switch (it->kind) {
	case ACC_DISTINCT:
	case ACC_QUANTILE:
		return 0;
	case ACC_SUM_INT: /* in two halves, which cannot overflow */
		RN_TRY(derive(a, cols, e, "sum((%.*s) %% 4294967296)", n, x));
		RN_TRY(derive(a, cols, e, "sum(cast(((%.*s) - (%.*s) %% 4294967296) / 4294967296 as int64))", n,
			      x, n, x));
		return derive(a, cols, e, "count(%.*s)", n, x);
	case ACC_SUM:
	case ACC_AVG:
	case ACC_VAR:
	case ACC_STDDEV:
		RN_TRY(derive(a, cols, e, "sum(cast((%.*s) as float64))", n, x));
		return derive(a, cols, e, "count(%.*s)", n, x);
	default:
		RN_TRY(derive(a, cols, e, "%s", it->text));
		return it->by ? derive(a, cols, e, "%s(case when (%.*s) is not null then (%.*s) end)",
				       it->kind == ACC_FIRST ? "min" : "max", n, x, (int)it->in.nby,
				       it->in.by) : 0;
	}
}

/* The second pass: squares of what the values are from their mean. */
static int derive_squares(struct rn_accum *a, json_t *cols, struct rn_accum_item *it, size_t k,
			  struct rn_err *e)
{
	const char *x = it->in.arg;
	int n = (int)it->in.narg;

	it->at = 1 + a->nderived;
	RN_TRY(derive(a, cols, e, "sum((cast((%.*s) as float64) - `%s %zu`) * "
		      "(cast((%.*s) as float64) - `%s %zu`))", n, x, a->mean, k, n, x, a->mean, k));
	return derive(a, cols, e, "count(%.*s)", n, x);
}

int rn_accum_make_node(struct rn_accum *a, struct rn_err *e)
{
	const struct rn_node *n = a->x->node;
	const char *expr = rn_node_string(n, "expr"), *param = rn_node_string(n, "param");
	struct rn_str s = RN_STR_INIT;
	json_t *cols, *by;
	int rc;

	json_decref(a->node.opt);
	a->node = *n;
	a->node.name = NULL;
	a->node.opt = NULL;
	a->node.nin = 1;
	a->nderived = 0;
	RN_TRY(rn_json_object(&a->node.opt, e));
	RN_TRY(rn_json_array(&by, e));
	RN_TRY(rn_json_set(a->node.opt, "by", by, e));
	RN_TRY(rn_json_append(by, json_string(a->chunk), e));
	RN_TRY(rn_json_object(&cols, e));
	RN_TRY(rn_json_set(a->node.opt, "cols", cols, e));
	for (size_t i = 0; i < a->nitems; i++)
		if (!a->second)
			RN_TRY(derive_item(a, cols, &a->items[i], e));
		else if (rn_accum_is_variance(&a->items[i]))
			RN_TRY(derive_squares(a, cols, &a->items[i], i, e));
	if (!expr || a->sparse || a->second)
		return 0;
	if (param)
		RN_TRY(rn_json_set_text(a->node.opt, "param", param, e));
	rn_str_addf(&s, "%s%s", a->how == RN_AGG_MAX ? "max" : a->how == RN_AGG_MIN ? "min" : "sum",
		    strchr(expr, '('));
	rc = rn_str_check(&s, e);
	if (!rc)
		rc = rn_json_set_text(a->node.opt, "expr", s.s, e);
	rn_str_fini(&s);
	return rc;
}

