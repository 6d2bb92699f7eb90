/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside sources: one table (a file in whatever format, or a table of a database),
 * the union of the tables that a scan node names.  Blocks are as the table has them; row
 * numbers, embeddings and keys are source.c's.
 */
#ifndef RN_SOURCE_H
#define RN_SOURCE_H

#include "../../formats/array_text.h"
#include "exec.h"

/* ---- one table ---------------------------------------------------------------------- */

struct rn_table {
	int (*block)(struct rn_table *t, struct rn_rel **out, struct rn_err *e); /* NULL: the end */
	bool (*untyped)(const struct rn_table *t, size_t col); /* NULL: no column is */
	/* Before the first block: the columns' types are these, as if they had been given
	 * (RN_NTYPES: that which was found).  NULL: it has types of its own. */
	int (*retype)(struct rn_table *t, const enum rn_type *types, struct rn_err *e);
	uint64_t (*hash)(const struct rn_table *t);            /* after the end */
	void (*close)(struct rn_table *t);
	struct rn_schema schema;
	const char *path; /* borrowed */
};

/* The table at `path`, read as the node's options say.  first: as rn_source_open_first.
 * types: {"COL": "TYPE"} to have instead of --types, or NULL.  array: as of rn_csv_opt
 * (borrowed until the end). */
RN_MUST_CHECK int rn_table_open(const struct rn_ctx *c, const struct rn_node *n, const char *path,
				bool first, json_t *types, struct rn_array_column *array,
				struct rn_table **out, struct rn_err *e);
void rn_table_close(struct rn_table *t); /* NULL is fine */

/* Does the path end in what tables of a format that rn-scan knows are called by?  Then
 * *stem bytes of it come before that. */
bool rn_table_known(const char *path, size_t *stem);

/* ---- all of them ---------------------------------------------------------------------- */

struct rn_tables;
/* `path`: a file, a folder, or a pattern as of the shell.  Of several, those that can be read
 * once only, as pipes, are open until their rows were read. */
RN_MUST_CHECK int rn_tables_open(const struct rn_ctx *c, const struct rn_node *n, const char *path,
				 const char *dir, bool first, struct rn_array_column *array,
				 struct rn_tables **out, struct rn_err *e);
const struct rn_schema *rn_tables_schema(const struct rn_tables *t);
/* Was no value of column i met, as far as was read for the schema? */
bool rn_tables_untyped(const struct rn_tables *t, size_t i);
RN_MUST_CHECK int rn_tables_block(struct rn_tables *t, struct rn_rel **out, struct rn_err *e);
uint64_t rn_tables_hash(const struct rn_tables *t);
void rn_tables_close(struct rn_tables *t); /* NULL is fine */

/* ---- a declared key --------------------------------------------------------------------- */

struct rn_key_check;
/* Of rows of schema s, which has a key; path: of the table, for messages.  Both borrowed. */
RN_MUST_CHECK int rn_key_check_open(const struct rn_ctx *c, const char *path, const struct rn_schema *s,
				    struct rn_key_check **out, struct rn_err *e);
void rn_key_check_close(struct rn_key_check *k); /* NULL is fine */
/* Rows, whose key columns may be held on to. */
RN_MUST_CHECK int rn_key_check_add(struct rn_key_check *k, const struct rn_rel *r, struct rn_err *e);
/* After the last, once: a NULL in the key, or a row that repeats an earlier one, is RN_EDATA. */
RN_MUST_CHECK int rn_key_check_end(struct rn_key_check *k, struct rn_err *e);
uint64_t rn_key_check_spilled(const struct rn_key_check *k); /* bytes of temporary data */

#endif
