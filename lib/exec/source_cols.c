/* SPDX-License-Identifier: Apache-2.0
 *
 * Lists of columns: see the header.
 */
#include "source_cols.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

struct rn_source_item {
	const char *text;
	size_t at; /* as the list is written */
	bool glob;
	bool found; /* the schema that was asked for last has it */
};

/* ---- making one --------------------------------------------------------------------------- */

/* Globs go first, equal items in the order in which they are written. */
static int compare(const void *a, const void *b)
{
	const struct rn_source_item *x = a, *y = b;
	int order = (int)y->glob - (int)x->glob;

	if (!order)
		order = strcmp(x->text, y->text);
	return order ? order : (x->at > y->at) - (x->at < y->at);
}

/* The item that begins at `from`, or behind blanks there: *next is what follows its comma; false at
 * the end. */
static bool next_item(char *from, struct rn_source_item *item, char **next)
{
	size_t len;

	from += strspn(from, " ");
	if (!*from)
		return false;
	len = strcspn(from, ",");
	*next = from + len + (from[len] == ',');
	while (len && from[len - 1] == ' ')
		len--;
	from[len] = '\0';
	*item = (struct rn_source_item){ .text = from, .glob = from[strcspn(from, "*?[\\")] != '\0' };
	return true;
}

int rn_source_cols_init(struct rn_source_cols *l, const char *text, struct rn_err *e)
{
	size_t most = 1;
	char *next;

	for (const char *s = text; *s; s++)
		most += *s == ',';
	l->text = strdup(text);
	if (!l->text)
		return rn_err_nomem(e, strlen(text) + 1, "a list of columns");
	RN_TRY(rn_calloc(most, sizeof *l->items, "a list of columns", &l->items, e));
	for (next = l->text; next_item(next, &l->items[l->n], &next); l->n++) {
		l->items[l->n].at = l->n;
		l->nglobs += l->items[l->n].glob;
	}
	qsort(l->items, l->n, sizeof *l->items, compare);
	return 0;
}

void rn_source_cols_fini(struct rn_source_cols *l)
{
	free(l->items);
	free(l->text);
	*l = (struct rn_source_cols){ 0 };
}

/* ---- columns ------------------------------------------------------------------------------ */

/* Where `name` stands among the names, first if more than once; l->n: nowhere. */
static size_t find_name(const struct rn_source_cols *l, const char *name)
{
	size_t low = l->nglobs, high = l->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (strcmp(l->items[mid].text, name) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low < l->n && !strcmp(l->items[low].text, name) ? low : l->n;
}

bool rn_source_cols_has(const struct rn_source_cols *l, const char *name)
{
	for (size_t i = 0; i < l->nglobs; i++)
		if (!fnmatch(l->items[i].text, name, 0))
			return true;
	return find_name(l, name) < l->n;
}

/* As rn_source_cols_has, and every item that has it is found. */
static bool find_all(struct rn_source_cols *l, const char *name)
{
	size_t at = find_name(l, name);
	bool has = at < l->n;

	if (has)
		l->items[at].found = true;
	for (size_t i = 0; i < l->nglobs; i++)
		if (!fnmatch(l->items[i].text, name, 0))
			has = l->items[i].found = true;
	return has;
}

static bool is_twice(const struct rn_source_cols *l, size_t i)
{
	return i && l->items[i - 1].glob == l->items[i].glob && !strcmp(l->items[i - 1].text, l->items[i].text);
}

int rn_source_cols_choose(struct rn_source_cols *l, const struct rn_schema *s, bool *chosen,
			  struct rn_err *e)
{
	size_t bad = l->n;

	if (!l->n)
		return rn_err_set(e, RN_EUSAGE, "no column matches '%s'", l->text);
	for (size_t i = 0; i < l->n; i++)
		l->items[i].found = false;
	for (size_t i = 0; i < s->ncols; i++)
		chosen[i] = find_all(l, s->cols[i].name);
	for (size_t i = 0; i < l->n; i++)
		if ((!l->items[i].found || is_twice(l, i)) && (bad == l->n || l->items[i].at < l->items[bad].at))
			bad = i;
	if (bad == l->n)
		return 0;
	if (is_twice(l, bad))
		return rn_err_set(e, RN_EUSAGE, "'%s' is named twice", l->items[bad].text);
	return rn_schema_unknown(s, l->items[bad].text, e);
}
