/* SPDX-License-Identifier: Apache-2.0
 *
 * The CSV reader, with what it reads written and read again: the same rows.
 * The first byte chooses delimiter, header, size of blocks and chunks, kind of input,
 * comments, texts of NULL and whether malformed rows are passed over.
 */
#include "fuzz_text.h"

/* As text, the relation comes back; only the types may be found anew. */
static void rewrite(const struct rn_rel *r, char delimiter)
{
	struct rn_text_opt opt = { .kind = delimiter == '\t' ? RN_TEXT_TSV : RN_TEXT_CSV };
	struct rn_rel *again = write_and_read(r, &opt, (struct rn_csv_opt){ .delimiter = delimiter });

	for (size_t i = 0; i < r->schema.ncols; i++) {
		struct rn_column *a = r->cols[i], *b = again->cols[i];

		require(a->nulls == b->nulls);
		for (uint64_t k = 0; k < a->rows; k++) {
			bool null = rn_column_is_null(a, k);

			require(null == rn_column_is_null(b, k));
			require(null || same_value(a, b, k));
		}
	}
	rn_rel_unref(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const null[] = { "NA" };
	struct rn_csv_opt opt = { 0 };
	struct rn_rel *r;
	struct rn_err e;
	int rc;

	if (!n)
		return 0;
	opt.delimiter = *data & 1 ? '\t' : ',';
	opt.no_header = *data & 2;
	opt.block_rows = *data & 4 ? 3 : 0;
	opt.skip_bad = *data & 32;
	opt.comment = *data & 64 ? '#' : '\0';
	opt.nnull = *data & 128 ? 1 : 0;
	opt.chunk = *data & 4 ? 7 : 0;
	opt.null = null;
	rc = read_all(data + 1, n - 1, *data & 8 ? "x.zst" : "x", *data & 16, &opt, &r, &e);
	require(rc == 0 || rc == RN_EDATA || rc == RN_ENOMEM);
	if (rc)
		return 0;
	rewrite(r, opt.delimiter);
	rn_rel_unref(r);
	return 0;
}
