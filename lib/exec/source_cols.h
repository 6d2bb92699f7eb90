/* SPDX-License-Identifier: Apache-2.0
 *
 * Lists of columns as --emb has them: names and globs with commas between, and blanks
 * around them that do not count.
 */
#ifndef RN_SOURCE_COLS_H
#define RN_SOURCE_COLS_H

#include "../rel/rel.h"

/* Does the column called `name` stand in the list? */
bool rn_source_has_col(const char *list, const char *name);

/* Is every item of the list a column of s, and none there twice?  RN_EUSAGE names the item
 * otherwise. */
RN_MUST_CHECK int rn_source_check_cols(const char *list, const struct rn_schema *s,
				       struct rn_err *e);

#endif
