/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of plans share: the last error, and texts compared.
 */
#ifndef PLAN_TEXT_H
#define PLAN_TEXT_H

#include "t.h"

#include "../../lib/base/json.h"
#include "../../lib/plan/plan.h"

static struct rn_err err;

/* On one line, in a static buffer. */
static const char *json_text(const json_t *j)
{
	static char buf[1 << 14];
	struct rn_str s = RN_STR_INIT;

	rn_json_print(j, RN_JSON_COMPACT, &s);
	snprintf(buf, sizeof buf, "%s", s.s);
	rn_str_fini(&s);
	return buf;
}

static int same(const char *got, const char *want)
{
	if (!strcmp(got, want))
		return 1;
	printf("# got  %s\n# want %s\n", got, want);
	return 0;
}

#endif
