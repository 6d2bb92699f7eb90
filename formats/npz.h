/* SPDX-License-Identifier: Apache-2.0
 *
 * NumPy's .npz: a zip archive of .npy files, stored or deflated.  It is read from
 * front to back by the headers before its entries, so that memory is bounded and
 * a pipe will do.
 */
#ifndef RN_NPZ_H
#define RN_NPZ_H

#include "npy.h"

/* The array called `name`; NULL: the only one.  Takes io.  *out owned. */
RN_MUST_CHECK int rn_npz_read(struct rn_io *io, const char *name, struct rn_tensor **out,
			      struct rn_err *e);

/* The array as an .npy file, which takes io.  Without a name, another array behind it is an
 * error when its end is read. */
RN_MUST_CHECK int rn_npz_open(struct rn_io *io, const char *name, struct rn_io **out,
			      struct rn_err *e);

#endif
