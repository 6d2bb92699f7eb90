/* SPDX-License-Identifier: Apache-2.0
 *
 * NumPy's .npy (versions 1 to 3): C-order, little-endian f2, f4, f8, i1 to i8,
 * u1 to u4, b1 in; f4 out.  The first dimension is the row; a 1-d array is [n,1].
 */
#ifndef RN_NPY_H
#define RN_NPY_H

#include "../lib/rel/rel.h"
#include "io.h"

/* Do these bytes begin an .npy file, or the archive that an .npz file is? */
bool rn_npy_magic(const void *p, size_t n);
/* Takes io.  *out owned. */
RN_MUST_CHECK int rn_npy_read(struct rn_io *io, struct rn_tensor **out, struct rn_err *e);

/* The same some rows at a time. */
struct rn_npy;
/* Takes io. */
RN_MUST_CHECK int rn_npy_open(struct rn_io *io, struct rn_npy **out, struct rn_err *e);
uint64_t rn_npy_rows(const struct rn_npy *r); /* all that there are */
const struct rn_shape *rn_npy_shape(const struct rn_npy *r);
/* The next n rows, which must be there by rn_npy_rows; *out owned. */
RN_MUST_CHECK int rn_npy_next(struct rn_npy *r, uint64_t n, struct rn_tensor **out,
			      struct rn_err *e);
/* After the last: is there nothing more? */
RN_MUST_CHECK int rn_npy_end(struct rn_npy *r, struct rn_err *e);
void rn_npy_close(struct rn_npy *r); /* NULL is fine */

/* Header for `rows` rows of `shape`, then rows by rn_npy_write_rows, as many
 * as announced.  Sparse tensors are written dense.  A header of other rows has the same
 * length: it can be written over the first. */
RN_MUST_CHECK int rn_npy_write_header(struct rn_io *io, uint64_t rows,
				      const struct rn_shape *shape, struct rn_err *e);
RN_MUST_CHECK int rn_npy_write_rows(struct rn_io *io, const struct rn_tensor *t, struct rn_err *e);

#endif
