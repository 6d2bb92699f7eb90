/* SPDX-License-Identifier: Apache-2.0
 *
 * What the query language must know of the functions of embedding expressions.
 */
#ifndef RN_EMB_FN_H
#define RN_EMB_FN_H

#include "../base/str.h"

#include <stdint.h>

struct rn_emb_fn {
	bool curried;  /* Linear(16, 7)(z): configured by a call of its own */
	bool params;   /* holds parameters: takes name="…" */
	bool source;   /* Tensor(4, 2): is applied to nothing */
	bool lists;    /* is configured by [1, 5], too */
	bool weighs;   /* by how much rows count: its arguments 0 and 1, called … */
	const char *weights[2];
};

/* Is there such a function?  Facts into *out (may be NULL). */
bool rn_emb_function(const char *name, struct rn_emb_fn *out);
/* What argument i of its configuration is called, where it stands without a name; NULL: there is none. */
const char *rn_emb_argument(const char *name, uint32_t i);
/* "; did you mean 'Linear'?" or nothing, at the end of out. */
void rn_emb_suggest(const char *name, struct rn_str *out);

#endif
