/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this folder share and nobody else needs.
 */
#ifndef RN_PLAN_IMPL_H
#define RN_PLAN_IMPL_H

#include "plan.h"

#include "../base/json.h"

#include <math.h>

enum {
	RN_PLAN_MAX_NODES = 1 << 16,
	RN_PLAN_MAX_NAME = 255, /* bytes */
};

#define RN_NO_NODE UINT32_MAX

/* Are a run's values in range?  *setting (may be NULL): the one that is not. */
RN_MUST_CHECK int rn_run_check(const struct rn_run *r, const char **setting, struct rn_err *e);

/* Give back what a node has. */
void rn_plan_node_fini(struct rn_node *n);

/* As many inputs as the operator wants, and its required RN_OPT_NODE ones? */
RN_MUST_CHECK int rn_plan_check_inputs(const struct rn_node *n, struct rn_err *e);

/* Equal operator, options and input names; the inputs are compared through map[]. */
bool rn_node_same(const struct rn_node *a, const struct rn_node *b, const uint32_t *map);

/* The node is a source that reads a file of its own: the path as given, else NULL. */
const char *rn_node_file(const struct rn_node *n);
bool rn_path_is_relative(const char *path); /* not "-", "/…" or "scheme:…" */

/* Option values of a node as a spec has them: a copy in which relative files are seen
 * from the cwd.  *out owned. */
RN_MUST_CHECK int rn_plan_options(const struct rn_plan *p, const struct rn_node *n, json_t **out,
				  struct rn_err *e);

/* RN_EUSAGE "no WHAT 'name'", with a suggestion or with the keys that there are. */
RN_MUST_CHECK int rn_plan_unknown(const char *what, const char *name, const json_t *there,
				  struct rn_err *e);

/* The constants of a spec after --set, and their expansion in the rest of it. */
RN_MUST_CHECK int rn_spec_constants(const char *file, const json_t *root, const char *const *set,
				    size_t nset, json_t **out, struct rn_err *e);
RN_MUST_CHECK int rn_spec_expand(const char *file, json_t *root, json_t *constants,
				 struct rn_err *e);

/* "NAME=REST": length of NAME, 0 where there is none. */
size_t rn_plan_split(const char *s, const char **rest);
/* Put NAME=FILE into a source's options.  A relative FILE is relative to the cwd. */
RN_MUST_CHECK int rn_source_set_file(json_t *opt, const char *file, bool absolute,
				     struct rn_err *e);

#endif
