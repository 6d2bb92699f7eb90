/* SPDX-License-Identifier: Apache-2.0
 *
 * Lists of columns as --emb has them: names and globs with commas between, and blanks
 * around them that do not count.  A table may have many thousand columns, and the list name
 * each: names are looked up, and only globs are held against every column.
 */
#ifndef RN_SOURCE_COLS_H
#define RN_SOURCE_COLS_H

#include "../rel/rel.h"

struct rn_source_cols {
	char *text; /* in which a NUL stands behind each item */
	struct rn_source_item *items; /* globs, then names; both sorted */
	size_t n, nglobs;
};

/* *l, which is zeroed, becomes the list that `text` writes; a comma behind the last item is none
 * too many.  rn_source_cols_fini frees it, also behind an error, and leaves it zeroed. */
RN_MUST_CHECK int rn_source_cols_init(struct rn_source_cols *l, const char *text, struct rn_err *e);
void rn_source_cols_fini(struct rn_source_cols *l);

/* Does the column called `name` stand in the list? */
bool rn_source_cols_has(const struct rn_source_cols *l, const char *name);

/* Which columns of s stand in the list, into chosen[s->ncols].  RN_EUSAGE where it has no item;
 * where one is no column of s or is there twice: names the first such. */
RN_MUST_CHECK int rn_source_cols_choose(struct rn_source_cols *l, const struct rn_schema *s,
					bool *chosen, struct rn_err *e);

#endif
