/* SPDX-License-Identifier: Apache-2.0
 *
 * The names of the rewrites.
 */
#include "../rewrite.h"

#include "../../base/str.h"

#include <string.h>

const struct rn_rewrite_info rn_rewrite_info[RN_NREWRITES] = {
	[RN_RW_MERGE] = { "merge", "equal sub-plans are one", true },
	[RN_RW_PUSH] = { "push", "filters move towards the sources", true },
	[RN_RW_SINGLE] = { "single", "an aggregate by a unique key is its expression", true },
	[RN_RW_PRUNE] = { "prune", "columns that nothing reads go", true },
	[RN_RW_ELIMINATE] = { "eliminate", "sums of products over patterns by variable elimination",
			      true },
	[RN_RW_STACK] = { "stack", "unions of gathered rows are gathers of stacked tables", false },
	[RN_RW_HOIST] = { "hoist", "row by row work on the rows of the one atom that it reads", false },
	[RN_RW_SPLIT] = { "split", "a linear map of a concat is a sum of linear maps", false },
	[RN_RW_COMMUTE] = { "commute", "a linear map and a sum in the cheaper order", false },
	[RN_RW_SPARSE] = { "sparse", "SpMM and SDDMM instead of a product per edge", false },
	[RN_RW_FOLD] = { "fold", "what no parameter reaches is computed once, before training", false },
	[RN_RW_RESTRICT] = { "restrict", "rows that the loss does not need go", false },
	[RN_RW_FUSE] = { "fuse", "chains of elementwise steps, with gathers and sums, in one pass",
			 false },
	[RN_RW_RECOMPUTE] = { "recompute", "large values that are cheap to make are made again, not kept",
			      false },
};

static int find(const char *name, size_t len)
{
	for (int i = 0; i < RN_NREWRITES; i++)
		if (strlen(rn_rewrite_info[i].name) == len &&
		    !memcmp(rn_rewrite_info[i].name, name, len))
			return i;
	return -1;
}

static int unknown(const char *name, size_t len, struct rn_err *e)
{
	struct rn_str known = RN_STR_INIT;
	int rc;

	for (int i = 0; i < RN_NREWRITES; i++)
		rn_str_addf(&known, "%s, ", rn_rewrite_info[i].name);
	rc = rn_str_check(&known, e);
	if (!rc)
		rc = rn_err_set(e, RN_EUSAGE, "there is no rewrite '%.*s': %sall", (int)len, name,
				known.s);
	rn_str_fini(&known);
	return rc;
}

int rn_rewrite_parse(const char *names, uint32_t *bits, struct rn_err *e)
{
	*bits = 0;
	for (const char *end; *names; names = *end ? end + 1 : end) {
		int i;

		end = strchrnul(names, ',');
		i = find(names, (size_t)(end - names));
		if (i >= 0)
			*bits |= RN_RW_BIT(i);
		else if (end - names == 3 && !memcmp(names, "all", 3))
			*bits = RN_RW_ALL;
		else
			return unknown(names, (size_t)(end - names), e);
	}
	return 0;
}
