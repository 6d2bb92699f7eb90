/* SPDX-License-Identifier: Apache-2.0 */
#include "ext_accum.h"

#include "../base/json.h"
#include "../op/aggregate.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- what is asked for ------------------------------------------------------------------ */

/* Where " by " stands in the text of an aggregate's argument, outside quotes and brackets;
 * SIZE_MAX: nowhere.  The last one counts. */
static size_t find_by_word(const char *s, size_t n)
{
	size_t at = SIZE_MAX;
	char quote = 0;
	int depth = 0;

	for (size_t i = 0; i < n; i++) {
		if (quote || strchr("'\"`", s[i])) {
			quote = quote ? (s[i] == quote ? 0 : quote) : s[i];
			continue;
		}
		depth += (s[i] == '(') - (s[i] == ')');
		if (!depth && i && i + 3 < n && !strncasecmp(s + i, "by", 2) &&
		    !isalnum((unsigned char)s[i - 1]) && !strchr("_.", s[i - 1]) &&
		    !isalnum((unsigned char)s[i + 2]) && !strchr("_.", s[i + 2]))
			at = i;
	}
	return at;
}

static const struct {
	const char *name;
	enum rn_accum_kind kind;
} names[] = {
	{ "count", ACC_COUNT }, { "sum", ACC_SUM },	{ "avg", ACC_AVG },	  { "mean", ACC_AVG },
	{ "var", ACC_VAR },	    { "stddev", ACC_STDDEV }, { "min", ACC_MIN }, { "max", ACC_MAX },
	{ "first", ACC_FIRST }, { "last", ACC_LAST },
};

static enum rn_accum_kind kind_of(const char *s, size_t n, const char *arg, size_t len)
{
	while (n && isspace((unsigned char)*s))
		s++, n--;
	while (n && isspace((unsigned char)s[n - 1]))
		n--;
	while (len && isspace((unsigned char)*arg))
		arg++, len--;
	if (len > 8 && !strncasecmp(arg, "distinct", 8) && !isalnum((unsigned char)arg[8]) &&
	    !strchr("_.", arg[8]))
		return ACC_WHOLE;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (n == strlen(names[i].name) && !strncasecmp(s, names[i].name, n))
			return names[i].kind;
	return ACC_WHOLE;
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
	const char *open = strchr(it->text, '('), *close = strrchr(it->text, ')');
	const char *x = open + 1;
	int n = (int)(close - x), rest = 0;
	size_t at = SIZE_MAX;

	it->kind = kind_of(it->text, (size_t)(open - it->text), x, (size_t)n);
	RN_TRY(rn_aggregate_type(it->text, &a->schema, &it->type, e));
	if (it->kind == ACC_SUM && it->type == RN_INT64)
		it->kind = ACC_SUM_INT;
	if (it->kind == ACC_FIRST || it->kind == ACC_LAST)
		at = find_by_word(x, (size_t)n);
	it->by = at != SIZE_MAX;
	it->at = 1 + a->nderived; /* after the number of the run */
	if (it->by) {
		rest = n - (int)at - 2;
		n = (int)at;
	}
	switch (it->kind) {
	case ACC_WHOLE:
		a->whole = it->text;
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
				       it->kind == ACC_FIRST ? "min" : "max", n, x, rest, x + at + 2) : 0;
	}
}

/* The second pass: squares of what the values are from their mean. */
static int derive_squares(struct rn_accum *a, json_t *cols, struct rn_accum_item *it, size_t k,
			  struct rn_err *e)
{
	const char *x = strchr(it->text, '(') + 1;
	int n = (int)(strrchr(it->text, ')') - x);

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
	if (!expr || a->second)
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

