/* SPDX-License-Identifier: Apache-2.0
 *
 * Lists of columns: see the header.
 */
#include "source_cols.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

enum { MAX_ITEM = 256 }; /* bytes with the NUL; what is longer is cut, and so no column */

/* The next item; false at the end. */
static bool next_item(const char **list, char item[MAX_ITEM])
{
	const char *from = *list + strspn(*list, " ");
	size_t len = strcspn(from, ",");

	if (!**list)
		return false;
	*list = from + len + (from[len] == ',');
	while (len && from[len - 1] == ' ')
		len--;
	snprintf(item, MAX_ITEM, "%.*s", (int)len, from);
	return true;
}

bool rn_source_has_col(const char *list, const char *name)
{
	char item[MAX_ITEM];

	while (next_item(&list, item))
		if (!fnmatch(item, name, 0))
			return true;
	return false;
}

/* Does the item stand in the list before `end`? */
static bool is_before(const char *list, const char *end, const char *item)
{
	char other[MAX_ITEM];

	while (list < end && next_item(&list, other))
		if (!strcmp(item, other))
			return true;
	return false;
}

int rn_source_check_cols(const char *list, const struct rn_schema *s, struct rn_err *e)
{
	const char *from = list, *next = list;
	char item[MAX_ITEM];

	for (; next_item(&next, item); from = next) {
		size_t i = 0;

		while (i < s->ncols && fnmatch(item, s->cols[i].name, 0))
			i++;
		if (i == s->ncols)
			return rn_schema_unknown(s, item, e);
		if (is_before(list, from, item))
			return rn_err_set(e, RN_EUSAGE, "'%s' is named twice", item);
	}
	return 0;
}
