/* SPDX-License-Identifier: Apache-2.0
 *
 * A look at how an input begins, before it is decided who reads it.
 */
#ifndef RN_PEEK_H
#define RN_PEEK_H

#include "io.h"

enum { RN_PEEK_MAX = 16 };

/* The first *n bytes (fewer only where the input ends) at p; *io is then an input that
 * still has them.  *io is taken on failure. */
RN_MUST_CHECK int rn_io_peek(struct rn_io **io, void *p, size_t *n, struct rn_err *e);

#endif
