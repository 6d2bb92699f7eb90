/* SPDX-License-Identifier: Apache-2.0
 *
 * Relations: schema, columns, tensors.
 *
 * A relation is a bag of rows.  A row has content (typed columns, each value
 * may be NULL) and an embedding: one or more named *parts*, each a float32
 * tensor of a fixed feature shape.  A block of a stream is a relation too,
 * one of at most 65,536 rows.
 *
 * Columns and tensors are immutable once they are shared, and reference
 * counted: projecting, renaming and carrying copy no row.  A part may be an
 * index view of a tensor (a join's output), never a copy of it.
 */
#ifndef RN_REL_H
#define RN_REL_H

#include "../base/mem.h"
#include "../base/str.h"

struct rn_team;

enum rn_type {
	RN_INT64,
	RN_FLOAT64,
	RN_BOOL,
	RN_STRING,
	RN_TIMESTAMP, /* microseconds since 1970-01-01, UTC */
	RN_NTYPES
};
const char *rn_type_name(enum rn_type t); /* "int64", "float64", "bool", "string", "timestamp" */
int rn_type_parse(const char *s, enum rn_type *out); /* 0, or -1 if there is no such type */

/* "No row" in a row map: a gather reads 0 there and backward skips it. */
#define RN_NO_ROW UINT32_MAX
#define RN_MAX_ROWS ((uint64_t)UINT32_MAX - 1)
#define RN_MAX_RANK 4

/* ---- schema ---------------------------------------------------------------- */

/* A dimension that depends on data which was not seen yet: a vocabulary's size before
 * it is fitted.  Only schemas that are inferred before data is bound hold it. */
#define RN_DIM_UNKNOWN 0

struct rn_shape {
	uint32_t rank; /* 0 to RN_MAX_RANK; rank 0 means: no embedding */
	uint32_t dim[RN_MAX_RANK];
};
static inline uint32_t rn_shape_width(const struct rn_shape *s) /* values per row */
{
	uint32_t w = s->rank ? 1 : 0;

	for (uint32_t i = 0; i < s->rank; i++)
		w *= s->dim[i];
	return w;
}
bool rn_shape_equal(const struct rn_shape *a, const struct rn_shape *b);
/* Equal where both are known?  *out: what either knows.  It may be a or b. */
bool rn_shape_unify(const struct rn_shape *a, const struct rn_shape *b, struct rn_shape *out);
bool rn_shape_known(const struct rn_shape *s);
void rn_shape_print(const struct rn_shape *s, struct rn_str *out); /* "[2,16]", "[?]" */

struct rn_field {
	char *name; /* bare */
	char *qual; /* the join input that it came from, or NULL */
	enum rn_type type;
};

struct rn_part_info {
	char *name;
	struct rn_shape shape;
	bool sparse;
};

struct rn_schema {
	char *name; /* of the relation; NULL: unnamed */
	size_t ncols;
	struct rn_field *cols;
	size_t nparts;
	struct rn_part_info *parts;
	size_t nkey; /* columns of the declared unique key, 0: none */
	uint32_t *key;
};

void rn_schema_fini(struct rn_schema *s);
RN_MUST_CHECK int rn_schema_copy(const struct rn_schema *s, struct rn_schema *out,
				 struct rn_err *e);
RN_MUST_CHECK int rn_schema_set_name(struct rn_schema *s, const char *name, struct rn_err *e);
RN_MUST_CHECK int rn_schema_add_col(struct rn_schema *s, const char *name, const char *qual,
				    enum rn_type type, struct rn_err *e);
RN_MUST_CHECK int rn_schema_add_part(struct rn_schema *s, const char *name,
				     const struct rn_shape *shape, bool sparse, struct rn_err *e);
/* Columns and parts; the relation's name and key do not count. */
bool rn_schema_equal(const struct rn_schema *a, const struct rn_schema *b);

/* How column i is written: its bare name where that is unique in the schema or
 * the column has no qualifier, else QUAL.NAME.  Into `out`, which is cleared. */
void rn_schema_col_name(const struct rn_schema *s, size_t i, struct rn_str *out);

/* The column that `name` ("d" or "s.d") means.  A bare name means the only
 * column of that name, or the one of them without a qualifier.  Errors
 * (RN_EUSAGE) list the columns that there are, or the candidates. */
RN_MUST_CHECK int rn_schema_find(const struct rn_schema *s, const char *name, size_t *out,
				 struct rn_err *e);
/* The error that there is no column `name`, with a list of those that there are. */
RN_MUST_CHECK int rn_schema_unknown(const struct rn_schema *s, const char *name, struct rn_err *e);
/* The part that `name` means; "z", the relation's own name and NULL mean the sole part. */
RN_MUST_CHECK int rn_schema_find_part(const struct rn_schema *s, const char *name, size_t *out,
				      struct rn_err *e);
/* "paper(id int64, s.d string; z [16])", at the end of out. */
void rn_schema_print(const struct rn_schema *s, struct rn_str *out);

/* ---- columns --------------------------------------------------------------- */

struct rn_column {
	int refs;
	enum rn_type type;
	uint64_t rows;
	uint64_t nulls; /* how many values are NULL */
	/* One of these by type; what stands under a NULL is 0 or "". */
	int64_t *i64; /* RN_INT64, RN_TIMESTAMP */
	double *f64;  /* RN_FLOAT64; never NaN (NaN is NULL on input), never -0.0 */
	uint8_t *b;   /* RN_BOOL: 0 or 1 */
	/* RN_STRING: value i is bytes[off[i]] … bytes[off[i+1]-1]; not terminated. */
	uint64_t *off; /* rows + 1 */
	char *bytes;
	uint8_t *null; /* 1 where NULL; NULL pointer when nulls == 0 */
	struct rn_buf *mem[3];
};

/* Zeros for `rows` rows of a fixed-width type, no NULLs; owned. */
RN_MUST_CHECK int rn_column_new(enum rn_type t, uint64_t rows, struct rn_column **out,
				struct rn_err *e);
/* A string column with room for `bytes` bytes; the caller fills off and bytes. */
RN_MUST_CHECK int rn_column_new_string(uint64_t rows, uint64_t bytes, struct rn_column **out,
				       struct rn_err *e);
/* The same with arbitrary contents, for a caller that writes all rows, also those under
 * a NULL (0, or the empty string); columns are large, and zeroing them costs a pass. */
RN_MUST_CHECK int rn_column_new_raw(enum rn_type t, uint64_t rows, struct rn_column **out,
				    struct rn_err *e);
RN_MUST_CHECK int rn_column_new_raw_string(uint64_t rows, uint64_t bytes, struct rn_column **out,
					   struct rn_err *e);
/* Make sure that c->null is there (zeroed); the caller keeps c->nulls true. */
RN_MUST_CHECK int rn_column_need_null(struct rn_column *c, struct rn_err *e);
/* All flags were written, `nulls` of them 1; without any c has no flags. */
void rn_column_set_nulls(struct rn_column *c, uint64_t nulls);
struct rn_column *rn_column_ref(struct rn_column *c);
void rn_column_unref(struct rn_column *c); /* NULL is fine */

static inline bool rn_column_is_null(const struct rn_column *c, uint64_t i)
{
	return c->null && c->null[i];
}

/* *out owned; map entries RN_NO_ROW give NULL.  A map that is the identity gives c itself. */
RN_MUST_CHECK int rn_column_gather(const struct rn_column *c, const uint32_t *map, uint64_t n,
				   struct rn_column **out, struct rn_err *e);
/* The same by parts, on a team that may be NULL; so below. */
RN_MUST_CHECK int rn_column_gather_team(struct rn_team *t, const struct rn_column *c,
					const uint32_t *map, uint64_t n, struct rn_column **out,
					struct rn_err *e);
RN_MUST_CHECK int rn_column_slice(const struct rn_column *c, uint64_t from, uint64_t n,
				  struct rn_column **out, struct rn_err *e);
RN_MUST_CHECK int rn_column_concat(struct rn_column *const *cs, size_t n, struct rn_column **out,
				   struct rn_err *e);

/* Value i as text, as rn-cat writes it (NULL as ""): shortest round-trip
 * decimals, true/false, ISO 8601 with Z. */
void rn_column_print(const struct rn_column *c, uint64_t i, struct rn_str *out);

/* ---- tensors ---------------------------------------------------------------- */

/* Dense: data is [rows, width] row-major.  Sparse (CSR, rank 1 only): row i has
 * columns col[ptr[i]] … in ascending order, without duplicates, values in data. */
struct rn_tensor {
	int refs;
	struct rn_shape shape;
	uint64_t rows;
	bool sparse;
	uint64_t nnz;   /* values in data: rows * width, or those stored */
	float *data;
	uint64_t *ptr;  /* sparse: rows + 1 */
	uint32_t *col;  /* sparse: nnz */
	struct rn_buf *mem[3];
};

RN_MUST_CHECK int rn_tensor_new(const struct rn_shape *shape, uint64_t rows,
				struct rn_tensor **out, struct rn_err *e); /* zeroed */
RN_MUST_CHECK int rn_tensor_new_sparse(uint32_t width, uint64_t rows, uint64_t nnz,
				       struct rn_tensor **out, struct rn_err *e);
struct rn_tensor *rn_tensor_ref(struct rn_tensor *t);
void rn_tensor_unref(struct rn_tensor *t); /* NULL is fine */
RN_MUST_CHECK int rn_tensor_gather(const struct rn_tensor *t, const uint32_t *map, uint64_t n,
				   struct rn_tensor **out, struct rn_err *e);
RN_MUST_CHECK int rn_tensor_gather_team(struct rn_team *team, const struct rn_tensor *t,
					const uint32_t *map, uint64_t n, struct rn_tensor **out,
					struct rn_err *e);
RN_MUST_CHECK int rn_tensor_slice(const struct rn_tensor *t, uint64_t from, uint64_t n,
				  struct rn_tensor **out, struct rn_err *e);
/* Sparse if all are; else dense. */
RN_MUST_CHECK int rn_tensor_concat(struct rn_tensor *const *ts, size_t n, struct rn_tensor **out,
				   struct rn_err *e);

/* ---- relations --------------------------------------------------------------- */

struct rn_part {
	struct rn_tensor *t;
	struct rn_buf *map; /* uint32_t[rows] into t; NULL: row i is t's row i */
};

struct rn_rel {
	int refs;
	struct rn_schema schema;
	uint64_t rows;
	struct rn_column **cols; /* schema.ncols */
	struct rn_part *parts;   /* schema.nparts */
};

/* A relation without columns and parts yet; *out owned. */
RN_MUST_CHECK int rn_rel_new(const char *name, uint64_t rows, struct rn_rel **out,
			     struct rn_err *e);
struct rn_rel *rn_rel_ref(struct rn_rel *r);
void rn_rel_unref(struct rn_rel *r); /* NULL is fine */

/* Add a column or a part.  Both take their references (also on failure); lengths
 * that differ from r->rows are RN_EBUG. */
RN_MUST_CHECK int rn_rel_add_col(struct rn_rel *r, const char *name, const char *qual,
				 struct rn_column *c, struct rn_err *e);
RN_MUST_CHECK int rn_rel_add_part(struct rn_rel *r, const char *name, struct rn_tensor *t,
				  struct rn_buf *map, struct rn_err *e);

/* Part i without its map: a tensor of r->rows rows; *out owned. */
RN_MUST_CHECK int rn_rel_flat_part(const struct rn_rel *r, size_t i, struct rn_tensor **out,
				   struct rn_err *e);
/* r with no part that is a view, which would hold rows that r has not; *out owned. */
RN_MUST_CHECK int rn_rel_flat(const struct rn_rel *r, struct rn_rel **out, struct rn_err *e);
/* All columns and parts by the same map (parts become or stay views).  The key is
 * kept where the map is strictly ascending, as a filter's is. */
RN_MUST_CHECK int rn_rel_gather(const struct rn_rel *r, const uint32_t *map, uint64_t n,
				struct rn_rel **out, struct rn_err *e);
RN_MUST_CHECK int rn_rel_gather_team(struct rn_team *t, const struct rn_rel *r, const uint32_t *map,
				     uint64_t n, struct rn_rel **out, struct rn_err *e);
RN_MUST_CHECK int rn_rel_slice(const struct rn_rel *r, uint64_t from, uint64_t n,
			       struct rn_rel **out, struct rn_err *e);
/* Stack blocks of equal schema (what is sparse may differ: the whole is sparse if all
 * are). n may be 0 only with a schema, whose key the result then has. */
RN_MUST_CHECK int rn_rel_concat(const struct rn_schema *schema, struct rn_rel *const *rs, size_t n,
				struct rn_rel **out, struct rn_err *e);
/* Bytes that columns and tensors take (shared ones counted once per use). */
uint64_t rn_rel_bytes(const struct rn_rel *r);

#endif
