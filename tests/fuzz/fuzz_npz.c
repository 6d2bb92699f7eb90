/* SPDX-License-Identifier: Apache-2.0
 *
 * The .npz reader: the only array of an archive, and one by name.
 */
#include "../../formats/npz.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const names[] = { NULL, "x", "a/b" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct rn_tensor *t;
		struct rn_io *io;
		struct rn_err e;
		int rc;

		require(!rn_io_from_memory(data, n, "fuzz.npz", &io, &e));
		rc = rn_npz_read(io, names[i], &t, &e);
		require(rc == 0 || rc == RN_EDATA || rc == RN_EUSAGE || rc == RN_ENOMEM);
		if (rc)
			continue;
		require(t->nnz == t->rows * rn_shape_width(&t->shape));
		rn_tensor_unref(t);
	}
	return 0;
}
