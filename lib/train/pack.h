/* SPDX-License-Identifier: Apache-2.0
 *
 * Tensors and columns as sections of a container, named by a list in its
 * header.  What models and checkpoints share; private to lib/train.
 */
#ifndef RN_PACK_H
#define RN_PACK_H

#include "../../formats/container.h"
#include "../base/json.h"
#include "../exec/exec.h"
#include "../learn/metric.h"

/* Sections to be written.  Values are borrowed until rn_pack_write. */
struct rn_pack {
	json_t *list; /* the header's "sections" */
	size_t n, cap;
	struct rn_pack_item {
		uint32_t rank, dim[4];
		const float *values;            /* a tensor */
		const struct rn_rel *keys;      /* and the keys of its rows, or NULL */
		const double *reals;            /* or a column of `nreals` */
		uint64_t nreals;
		struct rn_column *column;       /* or a column, owned */
		struct rn_rel *rel;             /* or columns, owned */
	} *items;
};
RN_MUST_CHECK int rn_pack_init(struct rn_pack *p, struct rn_err *e);
void rn_pack_fini(struct rn_pack *p);
/* keys (may be NULL): a column per key column, one row per row of the tensor. */
RN_MUST_CHECK int rn_pack_tensor(struct rn_pack *p, const char *role, const char *name,
				 uint32_t rank, const uint32_t *dim, const float *values,
				 const struct rn_rel *keys, struct rn_err *e);
RN_MUST_CHECK int rn_pack_reals(struct rn_pack *p, const char *role, const double *x, uint64_t n,
				struct rn_err *e);
/* Takes `facts` (further members of the list's entry, may be NULL); refs column (NULL: none). */
RN_MUST_CHECK int rn_pack_column(struct rn_pack *p, const char *role, json_t *facts,
				 struct rn_column *column, struct rn_err *e);
/* The same with all columns of a relation. */
RN_MUST_CHECK int rn_pack_rel(struct rn_pack *p, const char *role, json_t *facts,
			      struct rn_rel *rel, struct rn_err *e);
/* Write header + sections to `path`, published only when all of it is there.  Adds "sections"
 * to the header. */
RN_MUST_CHECK int rn_pack_write(struct rn_pack *p, json_t *header, const char *path,
				const struct rn_writer_opt *opt, struct rn_err *e);

/* Sections as they were read. */
struct rn_unpack {
	json_t *header;
	struct rn_reader *reader;
	const char *path; /* borrowed */
	size_t next;      /* section */
};
/* Opens, checks "rn" and "kind" ("model" or "checkpoint"). */
RN_MUST_CHECK int rn_unpack_open(struct rn_unpack *u, const char *path, struct rn_err *e);
/* The next section: its entry in the list (borrowed) and rows (owned); *entry NULL at the end. */
RN_MUST_CHECK int rn_unpack_next(struct rn_unpack *u, const json_t **entry, struct rn_rel **rows,
				 struct rn_err *e);
void rn_unpack_fini(struct rn_unpack *u); /* header stays with the caller if it took it */

/* The key columns of a tensor section, *out owned; NULL if it has none. */
RN_MUST_CHECK int rn_unpack_keys(const struct rn_rel *rows, struct rn_rel **out, struct rn_err *e);
/* A tensor section: its shape and values (owned, free()). */
RN_MUST_CHECK int rn_unpack_tensor(const struct rn_unpack *u, const json_t *entry,
				   const struct rn_rel *rows, uint32_t *rank, uint32_t dim[4],
				   float **values, struct rn_err *e);
/* Members of JSON objects from a file, RN_EDATA where they are missing or wrong. */
RN_MUST_CHECK int rn_unpack_text(const struct rn_unpack *u, const json_t *o, const char *key,
				 const char **out, struct rn_err *e);
RN_MUST_CHECK int rn_unpack_int(const struct rn_unpack *u, const json_t *o, const char *key,
				int64_t min, int64_t max, int64_t *out, struct rn_err *e);

/* ---- what a model and a checkpoint have in common (model.c) ---------------------------- */

/* {"rn", "kind", "plan", "dir"}: *out is a new reference.  x (may be NULL): sources get
 * their columns' types as what is expected of other data. */
RN_MUST_CHECK int rn_model_header(const char *kind, const struct rn_plan *plan,
				  const struct rn_binding *x, json_t **out, struct rn_err *e);
/* Sections of parameters, of what encoders fitted, and of losses; tasks[i]: of the plan's
 * i-th fit run. */
RN_MUST_CHECK int rn_model_pack(struct rn_pack *p, const struct rn_plan *plan,
				const struct rn_params *params, const struct rn_task *tasks,
				struct rn_err *e);
/* A section of role "fitted" onto its node of p.  Where the plan has no such encoder:
 * RN_EDATA if it is the model's own (`own`), else the table is left alone. */
RN_MUST_CHECK int rn_model_take_fitted(const struct rn_unpack *u, const json_t *entry,
				       struct rn_rel *rows, struct rn_plan *p, bool own,
				       struct rn_err *e);
/* All encoders of a stage that has some table have theirs; else it is RN_EDATA if the tables
 * are the model's own, and the stage is not fitted if they are not. */
RN_MUST_CHECK int rn_model_check_fitted(const struct rn_unpack *u, struct rn_plan *p, bool own,
					struct rn_err *e);

#endif
