/* SPDX-License-Identifier: Apache-2.0
 *
 * Values as PostgreSQL's binary COPY has them, into a block: big-endian, each type's own
 * send function's layout.  No length is trusted.
 */
#ifndef RN_POSTGRES_VALUE_H
#define RN_POSTGRES_VALUE_H

#include "fill.h"

/* Types by their number in pg_type, which is fixed for those that are built in. */
enum {
	RN_PG_BOOL = 16, RN_PG_BYTEA = 17, RN_PG_CHAR = 18, RN_PG_NAME = 19, RN_PG_INT8 = 20,
	RN_PG_INT2 = 21, RN_PG_INT4 = 23, RN_PG_TEXT = 25, RN_PG_OID = 26, RN_PG_JSON = 114,
	RN_PG_XML = 142, RN_PG_FLOAT4 = 700, RN_PG_FLOAT8 = 701, RN_PG_UNKNOWN = 705,
	RN_PG_FLOAT4S = 1021, RN_PG_FLOAT8S = 1022, RN_PG_BPCHAR = 1042, RN_PG_VARCHAR = 1043,
	RN_PG_DATE = 1082, RN_PG_TIMESTAMP = 1114, RN_PG_TIMESTAMPTZ = 1184, RN_PG_NUMERIC = 1700,
	RN_PG_UUID = 2950, RN_PG_JSONB = 3802,
};

#define RN_PG_EPOCH 946684800000000 /* 2000-01-01 in microseconds since 1970 */

/* How a column's values are read. */
enum rn_pg_kind {
	RN_PG_AS_NONE, /* not at all */
	RN_PG_AS_BOOL,
	RN_PG_AS_INT,     /* of 1, 2, 4 or 8 bytes */
	RN_PG_AS_OID,
	RN_PG_AS_FLOAT,   /* of 4 or 8 bytes */
	RN_PG_AS_NUMERIC,
	RN_PG_AS_DECIMAL, /* a numeric that is an int64 */
	RN_PG_AS_TEXT,
	RN_PG_AS_UUID,
	RN_PG_AS_JSONB,
	RN_PG_AS_DATE,
	RN_PG_AS_TIME,
	RN_PG_AS_ARRAY,
	RN_PG_AS_VECTOR,  /* of the extension pgvector */
};

/* By the number and modifier of a built-in type. */
enum rn_pg_kind rn_pg_kind_of(unsigned type, int modifier);
/* By the name and sort ('e': enum) of another one. */
enum rn_pg_kind rn_pg_kind_named(const char *name, char sort);
/* What a column of that kind is in a block. */
void rn_pg_set_col(enum rn_pg_kind kind, struct rn_fill_col *k);

/* Put a value of n bytes into column i.  RN_EDATA with only *why set ("is infinity, …")
 * where it has no place there; the first array of a column gives it its shape. */
RN_MUST_CHECK int rn_pg_value(enum rn_pg_kind kind, const unsigned char *p, size_t n,
			      struct rn_fill *f, size_t i, const char **why, uint64_t *nulls,
			      struct rn_err *e);

/* Big-endian integers. */
uint16_t rn_pg_get16(const unsigned char *p);
uint32_t rn_pg_get32(const unsigned char *p);
uint64_t rn_pg_get64(const unsigned char *p);
void rn_pg_put16(struct rn_str *out, uint16_t v);
void rn_pg_put32(struct rn_str *out, uint32_t v);
void rn_pg_put64(struct rn_str *out, uint64_t v);

#endif
