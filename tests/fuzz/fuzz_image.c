/* SPDX-License-Identifier: Apache-2.0
 *
 * Images of program parts, as a process of a staged training gets them.  Size and
 * sum are made to fit first, so that damage gets past them; what is read without
 * an error, a machine must be able to check.
 */
#include "../../lib/train/image.h"
#include "../../lib/train/image_format.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct rn_shared *file = NULL, *values = NULL;
	struct rn_image_header *h;
	struct rn_backend *b;
	struct rn_machine *m;
	struct rn_image im;
	struct rn_err e;
	int rc;

	if (n < sizeof *h || n > 1 << 16)
		return 0;
	require(!rn_shared_new("image", n, &file, &e));
	require(!rn_shared_new("values", 4096, &values, &e));
	memcpy(file->base, data, n);
	h = file->base;
	memcpy(h->magic, RN_IMAGE_MAGIC, sizeof h->magic);
	h->size = n;
	h->sum = 0;
	h->sum = rn_image_sum(h, h + 1);
	rc = rn_image_read(file, values, values, &im, &e);
	require(rc == 0 || rc == RN_EDATA || rc == RN_EBUG || rc == RN_ENOMEM);
	if (!rc) {
		require(!rn_cpu_backend(1, &b, &e));
		rc = rn_machine_new(&im.prog, b, RN_F32, NULL, NULL, NULL, &m, &e);
		if (!rc)
			rn_machine_free(m);
		b->close(b);
		rn_image_fini(&im);
	}
	rn_shared_free(values);
	return 0;
}
