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
/* Header for `rows` rows of `shape`, then rows by rn_npy_write_rows, as many
 * as announced.  Sparse tensors are written dense. */
RN_MUST_CHECK int rn_npy_write_header(struct rn_io *io, uint64_t rows,
				      const struct rn_shape *shape, struct rn_err *e);
RN_MUST_CHECK int rn_npy_write_rows(struct rn_io *io, const struct rn_tensor *t, struct rn_err *e);

#endif
