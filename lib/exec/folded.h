/* SPDX-License-Identifier: Apache-2.0
 *
 * What folding computed, by what it was computed from: training, validation and evaluation
 * begin with the same constants and have one copy of what they make of them.  A key is a
 * fingerprint (XXH3, as of sources) of the instructions, constants and index arrays behind a
 * value; nothing of those is kept.
 */
#ifndef RN_EXEC_FOLDED_H
#define RN_EXEC_FOLDED_H

#include "../dev/prog.h"

struct rn_folded {
	struct rn_folded_item {
		uint64_t key;
		uint32_t rows, width;
		struct rn_buf *data;
	} *items;
	size_t n, cap;
};

enum { RN_FOLDED_BYTES = 64 << 10 }; /* smaller values are not worth a fingerprint */

/* Fingerprints of the fixed values that large ones among `wanted` are made of: [nvals], 0 for
 * others, owned by the caller; *any: there is a large one. */
RN_MUST_CHECK int rn_folded_keys(const struct rn_prog *p, const bool *fixed, const bool *wanted,
				 uint64_t **keys, bool *any, struct rn_err *e);
/* The value of this key and shape, borrowed; NULL: there is none. */
struct rn_buf *rn_folded_find(const struct rn_folded *f, uint64_t key, const struct rn_val *v);
/* Takes a reference of its own. */
RN_MUST_CHECK int rn_folded_add(struct rn_folded *f, uint64_t key, const struct rn_val *v,
				struct rn_buf *data, struct rn_err *e);
/* Drop what no program has any more. */
void rn_folded_trim(struct rn_folded *f);
void rn_folded_fini(struct rn_folded *f);

#endif
