/* SPDX-License-Identifier: Apache-2.0
 *
 * What the targets of the text formats share: reading all of an input.
 */
#ifndef FUZZ_TEXT_H
#define FUZZ_TEXT_H

#include "../../formats/csv.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static inline void require(bool ok)
{
	if (!ok)
		abort();
}

static inline int read_all(const void *text, size_t n, const char *name, bool again,
		    const struct rn_csv_opt *opt, struct rn_rel **out, struct rn_err *e)
{
	struct rn_rel *blocks[64];
	struct rn_csv_reader *r;
	struct rn_io *io;
	size_t k = 0;
	int rc;

	RN_TRY(rn_io_from_memory(text, n, name, &io, e));
	if (!again)
		io->size = 0;
	RN_TRY(rn_csv_open(NULL, io, opt, &r, e));
	for (;;) {
		struct rn_rel *b;

		rc = rn_csv_block(r, &b, e);
		if (rc || !b)
			break;
		if (k == 64) {
			rn_rel_unref(b);
			rc = RN_ENOMEM; /* enough of them */
			break;
		}
		blocks[k++] = b;
	}
	if (!rc)
		rc = rn_rel_concat(rn_csv_schema(r), blocks, k, out, e);
	while (k)
		rn_rel_unref(blocks[--k]);
	rn_csv_close(r);
	return rc;
}

#endif
