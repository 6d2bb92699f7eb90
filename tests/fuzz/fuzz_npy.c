/* SPDX-License-Identifier: Apache-2.0
 *
 * The .npy reader, from input of known and of unknown size.
 */
#include "../../formats/npy.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	for (int sized = 0; sized < 2; sized++) {
		struct rn_tensor *t;
		struct rn_io *io;
		struct rn_err e;
		int rc;

		if (rn_io_from_memory(data, n, "fuzz", &io, &e))
			return 0;
		if (!sized)
			io->size = 0;
		rc = rn_npy_read(io, &t, &e);
		if (rc && rc != RN_EDATA && rc != RN_ENOMEM)
			abort();
		if (rc)
			continue;
		if (t->nnz != t->rows * rn_shape_width(&t->shape))
			abort();
		rn_tensor_unref(t);
	}
	return 0;
}
