/* SPDX-License-Identifier: Apache-2.0 */
#include "order.h"

#include "../expr/content.h"
#include "../rel/key.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Does s[0 … *n - 1] end in the word w?  If so that and the blanks before it go. */
static bool take_last_word(const char *s, size_t *n, const char *w)
{
	size_t len = strlen(w), at;

	if (*n <= len || strncasecmp(s + *n - len, w, len) || !isspace((unsigned char)s[*n - len - 1]))
		return false;
	for (at = *n - len; at && isspace((unsigned char)s[at - 1]); at--)
		;
	*n = at;
	return at > 0;
}

/* One item: "b desc".  A column may have a name that is no expression. */
static int parse_item(const char *text, const struct rn_schema *s, struct rn_cexpr **x, bool *desc,
		      struct rn_err *e)
{
	size_t n = strlen(text), col;
	struct rn_str b = RN_STR_INIT;
	char *name;
	int rc;

	*desc = take_last_word(text, &n, "desc");
	if (!*desc)
		take_last_word(text, &n, "asc");
	name = strndup(text, n);
	if (!name)
		return rn_err_nomem(e, n, "an order");
	if (!strchr(name, '`') && !rn_schema_find(s, name, &col, NULL) && !s->cols[col].qual)
		rn_str_addf(&b, "`%s`", name);
	else
		rn_str_add(&b, name);
	rc = rn_str_check(&b, e);
	if (!rc)
		rc = rn_cexpr_parse(b.s, s, x, e);
	rn_str_fini(&b);
	free(name);
	return rc;
}

int rn_order_check(const json_t *list, const struct rn_schema *s, struct rn_err *e)
{
	if (!json_array_size(list))
		return rn_err_set(e, RN_EUSAGE, "an order of no columns");
	for (size_t i = 0; i < json_array_size(list); i++) {
		struct rn_cexpr *x;
		bool desc;

		RN_TRY(parse_item(json_string_value(json_array_get(list, i)), s, &x, &desc, e));
		rn_cexpr_free(x);
	}
	return 0;
}

int rn_order_keys(const json_t *list, const struct rn_rel *r, struct rn_column **cols,
		  bool *desc, struct rn_err *e)
{
	size_t n = json_array_size(list), done = 0;
	int rc = 0;

	for (; done < n && !rc; done += !rc) {
		struct rn_cexpr *x;

		rc = parse_item(json_string_value(json_array_get(list, done)), &r->schema, &x,
				&desc[done], e);
		if (rc)
			break;
		rc = rn_cexpr_eval(x, r, &cols[done], e);
		rn_cexpr_free(x);
	}
	while (rc && done)
		rn_column_unref(cols[--done]);
	return rc;
}

int rn_order_map(struct rn_team *t, const json_t *list, const struct rn_rel *r,
		 struct rn_buf **map, struct rn_err *e)
{
	size_t n = json_array_size(list);
	struct rn_column **cols = NULL;
	struct rn_order *by = NULL;
	bool *desc = NULL;
	int rc;

	RN_GOTO(out, rn_calloc(n, sizeof *by, "an order", &by, e));
	RN_GOTO(out, rn_calloc(n, sizeof *desc, "an order", &desc, e));
	RN_GOTO(out, rn_calloc(n, sizeof(struct rn_column *), "an order", &cols, e));
	RN_GOTO(out, rn_order_keys(list, r, cols, desc, e));
	for (size_t i = 0; i < n; i++)
		by[i] = (struct rn_order){ cols[i], desc[i] };
	rc = rn_order_rows_team(t, by, n, r->rows, map, e);
	for (size_t i = 0; i < n; i++)
		rn_column_unref(cols[i]);
out:
	free(cols);
	free(desc);
	free(by);
	return rc;
}
