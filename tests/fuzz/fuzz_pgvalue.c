/* SPDX-License-Identifier: Apache-2.0
 *
 * Values of PostgreSQL's binary COPY: the first byte is the kind of the column, then
 * come values, each a byte of length and so many bytes (255: NULL).
 */
#include "../../formats/postgres_value.h"
#include "fuzz.h"

enum { NKINDS = RN_PG_AS_VECTOR + 1 };

/* All values are of the input: what is left of it has no row. */
static void fill(struct rn_fill *f, enum rn_pg_kind kind, const uint8_t *p, size_t n)
{
	const char *why = NULL;
	uint64_t nulls = 0;
	struct rn_err e;
	struct rn_rel *r;
	int rc = 0;

	while (n && !rc && !rn_fill_is_full(f)) {
		size_t length = *p;
		uint8_t *value = NULL;

		p++;
		n--;
		if (length < 255) {
			length = length < n ? length : n;
			value = (uint8_t *)text_of(p, length); /* reading past it shows */
			p += length;
			n -= length;
		}
		rc = rn_pg_value(kind, value, value ? length : UINT32_MAX, f, 0, &why, &nulls, &e);
		free(value);
		require(rc == 0 || rc == RN_EDATA || rc == RN_ENOMEM);
		if (!rc)
			rn_fill_next(f);
	}
	if (!rc && !rn_fill_take(f, &r, &e))
		rn_rel_unref(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct rn_ctx ctx = { .threads = 1 };
	struct rn_fill f;
	enum rn_pg_kind kind;
	struct rn_err e;

	if (!n)
		return 0;
	kind = (enum rn_pg_kind)(1 + *data % (NKINDS - 1));
	require(!rn_fill_init(&f, &ctx, 1, &e) && !rn_fill_name(&f, 0, "c", "fuzz", &e));
	rn_pg_set_col(kind, &f.cols[0]);
	if (!rn_fill_begin(&f, &e))
		fill(&f, kind, data + 1, n - 1);
	rn_fill_fini(&f);
	return 0;
}
