/* SPDX-License-Identifier: Apache-2.0
 *
 * Large constants and index arrays of a program, once for all processes that read them:
 * in memory that they share and that nobody can write any more.
 */
#ifndef RN_ARRAYS_H
#define RN_ARRAYS_H

#include "../dev/prog.h"
#include "shared.h"

enum { RN_ARRAYS_LEAST = 64 << 10 }; /* bytes: smaller ones are copied */

/* Move those that instructions of `p` read there; p keeps them as long as it lives.  It has not
 * been given to a machine.  *out is a reference to the memory, which rn_arrays_file tells. */
RN_MUST_CHECK int rn_arrays_move(struct rn_prog *p, struct rn_buf **out, struct rn_err *e);
struct rn_shared *rn_arrays_file(const struct rn_buf *arrays); /* borrowed */

/* Where data lies in it; RN_UNSHARED: elsewhere.  file may be NULL. */
uint64_t rn_arrays_find(const struct rn_shared *file, const void *data);

#endif
