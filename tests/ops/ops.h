/* SPDX-License-Identifier: Apache-2.0
 *
 * The operator test walks rn_op_table and enum rn_prim.  What an operator must
 * satisfy is written once (check_*.c); a new operator gets all of it by rows in
 * the table of cases (cases.c), and one without a row is a failure.
 *
 * A property returns false and leaves a sentence in `why`.  What the test itself
 * cannot do (build an option set, make a relation) ends it: must().
 */
#ifndef OPS_H
#define OPS_H

#include "../../lib/exec/lower.h"

#include <math.h>

enum { MAX_INPUTS = 4 };

/* ---- cases (cases.c) --------------------------------------------------------------------- */

struct trial;

struct op_case {
	const char *op, *name;
	const char *opt;	    /* options, as a JSON spec has them */
	const char *in[MAX_INPUTS]; /* inputs: "NAME(col:type …; part:shape …)", see gen.c; with
				     * "--keys " in front: of that option */
	/* For the naive reference (reference.c), where it needs them: */
	bool (*keep)(const struct rn_rel *r, uint64_t row);
	/* A join's condition on rows of its first and last input. */
	bool (*pair)(const struct rn_rel *l, uint64_t i, const struct rn_rel *r, uint64_t j);
	/* Output features of one output row from rows of the inputs (RN_NO_ROW: none). */
	void (*emb)(const struct trial *t, const uint32_t *rows, double *out);
};
extern const struct op_case op_cases[];
extern const size_t op_ncases;

/* A case on random inputs. */
struct trial {
	const struct op_case *c;
	struct rn_node node;
	uint32_t nin;
	struct rn_rel *in[MAX_INPUTS];
	double *flat[MAX_INPUTS][4]; /* parts of the inputs, dense [rows, width] */
	struct rn_params params;     /* with random values */
	struct rn_rel *out;
	uint64_t seed;
};
void trial_open(struct trial *t, const struct op_case *c, uint64_t seed, uint64_t max_rows);
void trial_close(struct trial *t);
/* Options of a JSON spec in normal form, owned. */
json_t *case_options(const struct rn_op *op, const char *text);
/* Values of a parameter of the node: "weight" for "n.weight". */
const float *trial_param(const struct trial *t, const char *name);
/* Evaluate the node on these inputs; must succeed. */
struct rn_rel *trial_eval(struct trial *t, struct rn_backend *b, struct rn_rel *const *in);

/* ---- encoders (ref_encode.c) -------------------------------------------------------------- */

/* Fit the encoders of the node on the rows of even number. */
int trial_fit(struct trial *t, struct rn_err *e);
typedef void emb_fn(const struct trial *t, const uint32_t *rows, double *out);
emb_fn emb_numeric, emb_scales, emb_times, emb_onehot, emb_category, emb_text, emb_chars, emb_cyclic;

/* ---- random input (gen.c) ---------------------------------------------------------------- */

struct rnd {
	uint64_t s;
};
uint64_t rnd_next(struct rnd *r);
uint32_t rnd_below(struct rnd *r, uint32_t n); /* 0 … n-1 */
double rnd_real(struct rnd *r);		       /* ±(0.1 … 1.6) */
struct rn_rel *gen_rel(const char *spec, uint64_t rows, struct rnd *r);

/* A part as doubles [rows, width], owned. */
double *flat_part(const struct rn_rel *r, size_t part);
/* Equal values; NULL equals NULL. */
bool cell_equal(const struct rn_column *a, uint64_t i, const struct rn_column *b, uint64_t j);
/* Column by bare name; must be there. */
const struct rn_column *col_of(const struct rn_rel *r, const char *name);
/* Equal schemas, rows, values and float bits. */
bool rel_same(const struct rn_rel *a, const struct rn_rel *b);

/* ---- properties -------------------------------------------------------------------------- */

extern char why[1000];
bool fail(const char *fmt, ...) RN_PRINTF(1, 2); /* sets why, returns false */
void must(int rc, const struct rn_err *e, const char *what);
extern struct rn_ctx quiet;	       /* one thread */
extern struct rn_backend *backends[3]; /* 1, 2, 4 threads */
extern const char *tmp_dir;

bool check_schema(struct trial *t);
bool check_reference(struct trial *t);
bool check_blocks(struct trial *t);
bool check_threads(struct trial *t);
bool check_saved(struct trial *t);
bool check_gradients(struct trial *t);
bool check_passes(struct trial *t);
bool check_train_threads(struct trial *t);
bool check_alloc(struct trial *t);

/* scan reads files: its properties are its own (check_scan.c). */
bool check_scan(uint64_t seed, uint64_t rows);

/* ---- gradients (check_grad.c) ------------------------------------------------------------ */

/* A program with a loss, and the parameters whose gradients are compared. */
struct model {
	struct rn_prog p;
	struct rn_params params;
	uint32_t loss, nforward;
	uint32_t *grad; /* of each parameter, or NULL before they are made */
};
/* Sum of values × fixed random weights, into m->loss. */
void model_add_loss(struct model *m, uint32_t val, struct rnd *r);
/* Parameter NAME of `count` values as [rows, …] of the program. */
uint32_t model_param(struct model *m, const char *name, uint32_t rows, uint32_t rank,
		     const uint32_t *dim, const float *value);
void model_differentiate(struct model *m);
void model_fini(struct model *m);
/* Central differences in double against the program's gradients. */
bool model_check(struct model *m, struct rnd *r);

bool check_primitive(enum rn_prim op, uint64_t seed, const char **not_differentiable);
bool check_scalar_function(enum rn_ew fn, uint64_t seed);

/* ---- failing allocations (alloc.c, check_alloc.c) ---------------------------------------- */

/* From now on the k-th allocation of this thread (1, 2, …) fails; `on`: all after it too. */
void alloc_fail(uint64_t k, bool on);
/* Stop; did one fail? */
bool alloc_stop(void);
/* Blocks allocated and not freed; -1 where a sanitizer counts instead. */
long alloc_live(void);

/* Run fn for every k until no allocation fails; it returns its code, and false in *same if
 * it succeeded with another result than usual.  At most alloc_runs runs, evenly spread. */
bool check_every_alloc(int (*fn)(void *arg, bool *same, struct rn_err *e), void *arg);
extern uint64_t alloc_runs, alloc_count; /* count: about how many there were the last time */

struct scenario {
	const char *name;
	bool (*run)(void);
};
extern const struct scenario scenarios[]; /* end to end (scenario.c) */
extern const size_t nscenarios;
bool pipe_filter(void); /* scenario_pipe.c */
bool pipe_join(void);
bool pipe_deferred(void);
void scenario_files(bool make); /* the tables that they read, or away with them */

#endif
