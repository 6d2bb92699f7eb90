/* SPDX-License-Identifier: Apache-2.0
 *
 * An embedding expression as a sum of products, for who computes the factors of a product
 * in different places.  Products are those of elementwise multiplication; what is no sum,
 * difference, product or quotient is one factor, if it has an operand.
 */
#ifndef RN_EMB_TERMS_H
#define RN_EMB_TERMS_H

#include "emb.h"

#include <stdbool.h>

struct rn_enode;

/* Numbers 0 to 63 of what part or column `name` comes from, or -1: nothing that is known. */
typedef int (*rn_eorigin)(void *arg, const char *name, bool col);

struct rn_efactor {
	const struct rn_enode *node;
	bool inverse;     /* 1 / node */
	uint64_t origins; /* of the parts and columns that it reads, as bits; at least one */
};

struct rn_eterm {
	double scale;
	size_t n; /* at least 1 */
	struct rn_efactor *factors;
};

struct rn_eterms {
	struct rn_arena arena;
	size_t n; /* at least 1 */
	struct rn_eterm *terms;
};

/* *ok: x is such a sum, of no more than RN_ETERMS_MAX terms, and each factor reads each row by
 * itself, holds no parameter and no randomness, and can be printed; if not, out is empty.  x must
 * live as long as out does. */
enum { RN_ETERMS_MAX = 16 };
RN_MUST_CHECK int rn_eexpr_terms(const struct rn_eexpr *x, rn_eorigin origin, void *arg,
				 struct rn_eterms *out, bool *ok, struct rn_err *e);
void rn_eterms_fini(struct rn_eterms *t);

/* Print a factor, in parentheses where it is not a name, with other names for its parts and columns:
 * `name` puts them at the end of out. */
void rn_efactor_print(const struct rn_efactor *f,
		      void (*name)(void *arg, const char *name, bool col, struct rn_str *out),
		      void *arg, struct rn_str *out);
/* Call fn for each part and column that a factor reads. */
void rn_efactor_names(const struct rn_efactor *f,
		      void (*fn)(void *arg, const char *name, bool col), void *arg);

/* Is it the same where a second stage evaluates it, too: no randomness, no statistics of a batch, and
 * names that do not come of the stage's (`prefix`: --param gives them)? */
bool rn_eexpr_is_shared(const struct rn_eexpr *x, bool prefix);

#endif
