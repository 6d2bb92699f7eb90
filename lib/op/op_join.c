/* SPDX-License-Identifier: Apache-2.0
 *
 * join: equi-join of two or more inputs, left to right.  The output's parts are
 * its inputs' parts seen through row maps, never copies of them.
 *
 * Columns: those of the inputs in order; of each later input without the key
 * columns (they equal the left ones).  A column that two inputs share is known
 * by NAME.col; key columns keep their bare name.
 */
#include "../rel/key.h"
#include "op_table.h"
#include "util.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct rn_opt opts[] = {
	{ .name = "on", .letter = 'k', .type = RN_OPT_MAP, .flags = RN_OPT_MULTI, .meta = "COL|L=R,...",
	  .help = "key columns, by one name or by left and right name" },
	{ .name = "natural", .type = RN_OPT_FLAG, .dflt = "false",
	  .help = "join on all columns that the inputs share" },
	{ .name = "how", .type = RN_OPT_CHOICE, .meta = "KIND", .dflt = "inner",
	  .choices = "inner|left|semi|anti", .help = "rows without a partner: drop, keep, or only test" },
	{ .name = "expr", .type = RN_OPT_STRING, .meta = "EXPR",
	  .help = "embedding of the result, over the inputs' parts" },
	{ .name = "param", .type = RN_OPT_STRING, .meta = "NAME",
	  .help = "name of its parameters in place of the stage's" },
};

static const char *const examples[] = {
	"rn-scan cites.csv | rn-join - papers.er --on src=paper_id | rn-cat",
	"rn-join h=h1.er a=adj.er --on paper_id=src | rn-agg 'sum(a * h)' --by dst",
	NULL,
};

/* ---- names and keys ------------------------------------------------------------ */

/* NAME of input i: as written, else the relation's, else a, b, c, … */
static const char *input_name(const struct rn_node *n, const struct rn_schema *s, size_t i,
			      char buf[8])
{
	if (n->in[i].as)
		return n->in[i].as;
	if (s->name)
		return s->name;
	snprintf(buf, 8, i < 26 ? "%c" : "in%u", i < 26 ? 'a' + (unsigned)i : (unsigned)i % 1000);
	return buf;
}

struct keys {
	size_t n;
	size_t left[64], right[64]; /* columns of the rows so far, and of the next input */
};

static int natural_keys(const struct rn_schema *l, const struct rn_schema *r, struct keys *k,
			struct rn_err *e)
{
	for (size_t j = 0; j < r->ncols; j++)
		for (size_t i = 0; i < l->ncols; i++)
			if (!strcmp(l->cols[i].name, r->cols[j].name) && k->n < 64) {
				RN_TRY(rn_schema_find(l, l->cols[i].name, &k->left[k->n], e));
				RN_TRY(rn_schema_find(r, r->cols[j].name, &k->right[k->n], e));
				k->n++;
				break;
			}
	if (!k->n)
		return rn_err_set(e, RN_EUSAGE, "--natural: the inputs share no column");
	return 0;
}

/* The key columns by which `l`, the rows so far, meet `r`. */
static int find_keys(const struct rn_node *n, const struct rn_schema *l, const struct rn_schema *r,
		     struct keys *k, struct rn_err *e)
{
	json_t *on = (json_t *)rn_node_json(n, "on");
	const char *left;
	json_t *v;

	k->n = 0;
	if (rn_node_flag(n, "natural")) {
		if (json_object_size(on))
			return rn_err_set(e, RN_EUSAGE, "give --on or --natural, not both");
		RN_TRY(natural_keys(l, r, k, e));
	} else if (!json_object_size(on)) {
		return rn_err_set(e, RN_EUSAGE, "give the key columns with --on COL or --on L=R");
	}
	json_object_foreach(on, left, v) {
		if (k->n == 64)
			return rn_err_set(e, RN_EUSAGE, "more than 64 key columns");
		RN_TRY(rn_schema_find(l, left, &k->left[k->n], e));
		RN_TRY(rn_schema_find(r, json_string_value(v), &k->right[k->n], e));
		k->n++;
	}
	for (size_t i = 0; i < k->n; i++) {
		const struct rn_field *a = &l->cols[k->left[i]], *b = &r->cols[k->right[i]];

		RN_TRY(rn_key_types_meet(a->type, a->name, b->type, b->name, e));
	}
	return 0;
}

static bool contains(const size_t *xs, size_t n, size_t x)
{
	for (size_t i = 0; i < n; i++)
		if (xs[i] == x)
			return true;
	return false;
}

static bool taken(const struct rn_schema *s, const char *name, const char *qual)
{
	for (size_t i = 0; i < s->ncols; i++) {
		const struct rn_field *f = &s->cols[i];

		if (!strcmp(f->name, name) && !f->qual == !qual && (!qual || !strcmp(f->qual, qual)))
			return true;
	}
	return false;
}

/* Add column f of an input called `as`; where its name with its qualifier is
 * there already, the input's name goes in front of the qualifier. */
static int add_field(struct rn_schema *out, const struct rn_field *f, const char *as, bool key,
		     struct rn_err *e)
{
	const char *qual = f->qual ? f->qual : key ? NULL : as;
	struct rn_str deep = RN_STR_INIT;
	int rc;

	if (f->qual && taken(out, f->name, qual)) {
		rn_str_addf(&deep, "%s.%s", as, f->qual);
		RN_GOTO(out, rn_str_check(&deep, e));
		qual = deep.s;
	}
	if (taken(out, f->name, qual))
		rc = rn_err_set(e, RN_EUSAGE,
				"two inputs called '%s' have a column '%s': name the inputs (NAME=FILE)", as,
				f->name);
	else
		rc = rn_schema_add_col(out, f->name, qual, f->type, e);
out:
	rn_str_fini(&deep);
	return rc;
}

/* The schema of `l`, the rows so far, joined with input r called `as`. */
static int joined_columns(const struct rn_schema *l, const struct rn_schema *r, const char *as,
			  const struct keys *k, struct rn_schema *out, struct rn_err *e)
{
	for (size_t i = 0; i < l->ncols; i++)
		RN_TRY(rn_schema_add_col(out, l->cols[i].name, l->cols[i].qual, l->cols[i].type, e));
	for (size_t j = 0; j < r->ncols; j++)
		if (!contains(k->right, k->n, j))
			RN_TRY(add_field(out, &r->cols[j], as, false, e));
	return 0;
}

/* Qualify the first input's columns: its key columns stay bare. */
static int first_columns(const struct rn_schema *s, const char *as, const struct keys *k,
			 struct rn_schema *out, struct rn_err *e)
{
	for (size_t i = 0; i < s->ncols; i++) {
		bool key = contains(k->left, k->n, i);
		struct rn_field f = s->cols[i];

		if (key) /* bare, unless another key column has that name */
			for (size_t j = 0; j < k->n; j++)
				if (k->left[j] != i && !strcmp(s->cols[k->left[j]].name, f.name))
					key = false;
		if (key)
			f.qual = NULL;
		RN_TRY(add_field(out, &f, as, key, e));
	}
	return 0;
}

static bool is_filter(const struct rn_node *n)
{
	const char *how = rn_node_string(n, "how");

	return !strcmp(how, "semi") || !strcmp(how, "anti");
}

/* Parts of the inputs under the names that they have in the output. */
static int joined_parts(const struct rn_node *n, const struct rn_schema *const *in,
			struct rn_schema *out, struct rn_err *e)
{
	char buf[8];

	for (size_t i = 0; i < (is_filter(n) ? 1 : n->nin); i++)
		for (size_t j = 0; j < in[i]->nparts; j++) {
			const struct rn_part_info *p = &in[i]->parts[j];
			const char *name = p->name;

			if (in[i]->nparts == 1 && !is_filter(n))
				name = input_name(n, in[i], i, buf);
			for (size_t k = 0; k < out->nparts; k++)
				if (!strcmp(out->parts[k].name, name))
					return rn_err_set(e, RN_EUSAGE,
							  "two parts are called '%s': name the inputs "
							  "(NAME=FILE)", name);
			RN_TRY(rn_schema_add_part(out, name, &p->shape, p->sparse, e));
		}
	return 0;
}

/* Schema with the inputs' parts, before an expression replaces them; keys[i]
 * (may be NULL) gets the keys by which input i+1 is joined. */
static int join_schema(const struct rn_node *n, const struct rn_schema *const *in,
		       struct keys *keys, struct rn_schema *out, struct rn_err *e)
{
	struct rn_schema acc = { 0 }, next = { 0 };
	struct keys k;
	char buf[8];
	int rc;

	if (is_filter(n) && n->nin > 2)
		return rn_err_set(e, RN_EUSAGE, "--how %s wants two inputs", rn_node_string(n, "how"));
	RN_TRY(find_keys(n, in[0], in[1], &k, e));
	if (is_filter(n)) {
		if (keys)
			keys[0] = k;
		for (size_t i = 0; i < in[0]->ncols; i++)
			RN_TRY(rn_schema_add_col(out, in[0]->cols[i].name, in[0]->cols[i].qual,
						 in[0]->cols[i].type, e));
		RN_TRY(rn_op_copy_key(in[0], out, e));
		return joined_parts(n, in, out, e);
	}
	RN_GOTO(out, first_columns(in[0], input_name(n, in[0], 0, buf), &k, &acc, e));
	for (size_t i = 1; i < n->nin; i++) {
		RN_GOTO(out, find_keys(n, &acc, in[i], &k, e));
		if (keys)
			keys[i - 1] = k;
		RN_GOTO(out, joined_columns(&acc, in[i], input_name(n, in[i], i, buf), &k, &next, e));
		rn_schema_fini(&acc);
		acc = next;
		next = (struct rn_schema){ 0 };
	}
	RN_GOTO(out, joined_parts(n, in, &acc, e));
	*out = acc;
	return 0;
out:
	rn_schema_fini(&acc);
	rn_schema_fini(&next);
	return rc;
}

/* ---- the operator ------------------------------------------------------------------ */

static int parse_expr(const struct rn_node *n, struct rn_eexpr **x, struct rn_err *e)
{
	*x = NULL;
	return rn_node_string(n, "expr") ? rn_eexpr_parse(rn_node_string(n, "expr"), x, e) : 0;
}

static int check(const struct rn_node *n, bool *learns, struct rn_err *e)
{
	struct rn_eexpr *x;

	RN_TRY(rn_op_check_map(n, "on", e));
	RN_TRY(parse_expr(n, &x, e));
	*learns = x && (rn_eexpr_has_params(x) || rn_eexpr_has_random(x));
	rn_eexpr_free(x);
	return 0;
}

static int infer(const struct rn_node *n, const struct rn_schema *const *in, struct rn_schema *out,
		 struct rn_err *e)
{
	struct rn_schema s = { 0 };
	struct rn_einfo info;
	struct rn_eexpr *x;
	int rc;

	if (!rn_node_string(n, "expr"))
		return join_schema(n, in, NULL, out, e);
	RN_TRY(parse_expr(n, &x, e));
	RN_GOTO(out, join_schema(n, in, NULL, &s, e));
	RN_GOTO(out, rn_eexpr_infer(x, &s, &info, e));
	for (size_t i = 0; i < s.ncols; i++)
		RN_GOTO(out, rn_schema_add_col(out, s.cols[i].name, s.cols[i].qual, s.cols[i].type, e));
	RN_GOTO(out, rn_op_copy_key(&s, out, e));
	rc = rn_schema_add_part(out, "z", &info.shape, info.sparse, e);
out:
	rn_schema_fini(&s);
	rn_eexpr_free(x);
	return rc;
}

struct state {
	size_t n;
	struct rn_buf *map[RN_MANY]; /* per input: uint32_t[rows] */
	struct rn_schema schema;     /* with the inputs' parts */
};

static enum rn_join_kind kind_of(const struct rn_node *n)
{
	switch (rn_node_string(n, "how")[0]) {
	case 'l':
		return RN_JOIN_LEFT;
	case 's':
		return RN_JOIN_SEMI;
	case 'a':
		return RN_JOIN_ANTI;
	default:
		return RN_JOIN_INNER;
	}
}

/* Replace each of the first `n` maps m by m[by], n rows. */
static int compose(struct rn_buf **maps, size_t n, const struct rn_buf *by, uint64_t rows,
		   struct rn_err *e)
{
	const uint32_t *b = by->data;

	for (size_t i = 0; i < n; i++) {
		const uint32_t *m = maps[i]->data;
		struct rn_buf *out;
		uint32_t *o;

		RN_TRY(rn_buf_new(rows * sizeof *o, "a row map", &out, e));
		o = out->data;
		for (uint64_t r = 0; r < rows; r++)
			o[r] = m[b[r]];
		rn_buf_unref(maps[i]);
		maps[i] = out;
	}
	return 0;
}

static int report(const struct rn_ctx *c, const struct rn_node *n, const char *as,
		  const struct rn_join_result *j, struct rn_err *e)
{
	char label[128];

	if (!j->left_unmatched && !j->right_null)
		return 0;
	rn_node_label(n, label, sizeof label);
	if (c->strict && j->left_unmatched)
		return rn_err_set(e, RN_EDATA,
				  "%s: %" PRIu64 " rows find no partner in '%s' (%" PRIu64
				  " with a NULL key), and --strict was given", label, j->left_unmatched, as,
				  j->left_null);
	rn_log(c, RN_LOG_INFO,
	       "%s: %" PRIu64 " rows find no partner in '%s'; NULL keys: %" PRIu64 " left, %" PRIu64
	       " right", label, j->left_unmatched, as, j->left_null, j->right_null);
	return 0;
}

/* Join the rows so far (their key columns) with input i; maps 0 … i grow. */
static int join_next(const struct rn_ctx *c, const struct rn_node *n, const struct rn_key *left,
		     const struct rn_rel *right, const struct keys *k, size_t i, struct state *st,
		     uint64_t *rows, struct rn_err *e)
{
	struct rn_column *cols[64];
	struct rn_key key = { .n = k->n, .cols = cols, .rows = right->rows };
	struct rn_join_result j = { 0 };
	struct rn_hash_index *x;
	char buf[8];
	int rc;

	for (size_t q = 0; q < k->n; q++)
		cols[q] = right->cols[k->right[q]];
	RN_TRY(rn_hash_index_new(c, &key, &x, e));
	RN_GOTO(out, rn_join(c, left, &key, x, kind_of(n), &j, e));
	RN_GOTO(out, report(c, n, input_name(n, &right->schema, i, buf), &j, e));
	if (i == 1) {
		st->map[0] = rn_buf_ref(j.left);
		st->n = 1;
	} else {
		RN_GOTO(out, compose(st->map, i, j.left, j.rows, e));
	}
	if (j.right) {
		st->map[i] = rn_buf_ref(j.right);
		st->n = i + 1;
	}
	*rows = j.rows;
out:
	rn_join_result_fini(&j);
	rn_hash_index_free(x);
	return rc;
}

/* Key columns of the rows so far: column q of the joined schema through its map. */
static int left_key(const struct rn_rel *const *in, const struct state *st, size_t i, uint64_t rows,
		    const struct keys *keys, const struct keys *k, struct rn_column **cols,
		    struct rn_err *e)
{
	for (size_t q = 0; q < k->n; q++) {
		size_t col = k->left[q], from = 0;

		if (i == 1) {
			cols[q] = rn_column_ref(in[0]->cols[col]);
			continue;
		}
		/* Which input does column `col` of the rows so far come from? */
		if (col >= in[0]->schema.ncols) {
			col -= in[0]->schema.ncols;
			for (from = 1; from < i; from++) {
				size_t own = 0;

				for (size_t c = 0; c < in[from]->schema.ncols; c++) {
					if (contains(keys[from - 1].right, keys[from - 1].n, c))
						continue;
					if (own++ == col) {
						col = c;
						goto found;
					}
				}
				col -= own;
			}
			return rn_err_set(e, RN_EBUG, "a join lost a column");
		}
found:
		RN_TRY(rn_column_gather(in[from]->cols[col], st->map[from]->data, rows, &cols[q], e));
	}
	return 0;
}

static int gather_content(const struct rn_rel *const *in, const struct rn_node *n,
			  const struct keys *keys, const struct state *st, uint64_t rows,
			  struct rn_rel **out, struct rn_err *e)
{
	struct rn_rel *r;
	size_t o = 0;
	int rc;

	RN_TRY(rn_rel_new(NULL, rows, &r, e));
	for (size_t i = 0; i < (is_filter(n) ? 1 : n->nin); i++)
		for (size_t c = 0; c < in[i]->schema.ncols; c++) {
			const struct rn_field *f = &st->schema.cols[o];
			struct rn_column *col;

			if (i && contains(keys[i - 1].right, keys[i - 1].n, c))
				continue;
			RN_GOTO(fail, rn_column_gather(in[i]->cols[c], st->map[i]->data, rows, &col, e));
			RN_GOTO(fail, rn_rel_add_col(r, f->name, f->qual, col, e));
			o++;
		}
	RN_GOTO(fail, rn_op_copy_key(&st->schema, &r->schema, e));
	*out = r;
	return 0;
fail:
	rn_rel_unref(r);
	return rc;
}

static int bind(const struct rn_ctx *c, const struct rn_node *n,
		const struct rn_schema *const *schema, const struct rn_rel *const *in, void *state,
		struct rn_rel **out, struct rn_err *e)
{
	struct state *st = state;
	struct keys *keys;
	uint64_t rows = in[0]->rows;
	int rc;

	RN_TRY(rn_calloc(n->nin, sizeof *keys, "join keys", &keys, e));
	RN_GOTO(out, join_schema(n, schema, keys, &st->schema, e));
	for (size_t i = 1; i < n->nin; i++) {
		struct rn_column *cols[64] = { 0 };
		struct rn_key left = { .n = keys[i - 1].n, .cols = cols, .rows = rows };

		rc = left_key(in, st, i, rows, keys, &keys[i - 1], cols, e);
		if (!rc)
			rc = join_next(c, n, &left, in[i], &keys[i - 1], i, st, &rows, e);
		for (size_t q = 0; q < 64; q++)
			rn_column_unref(cols[q]);
		if (rc)
			goto out;
	}
	RN_GOTO(out, rn_op_check_rows(rows, n, e));
	rc = gather_content(in, n, keys, st, rows, out, e);
out:
	free(keys);
	return rc;
}

/* The inputs' parts under their names in the joined schema. */
static int lower_parts(const struct rn_lower *lw, const struct rn_node *n, const struct state *st,
		       const struct rn_lrel *in, struct rn_lrel *out, struct rn_err *e)
{
	size_t o = 0;

	RN_TRY(rn_op_alloc_parts(out, st->schema.nparts, e));
	for (size_t i = 0; i < (is_filter(n) ? 1 : n->nin); i++)
		for (size_t j = 0; j < in[i].nparts; j++, o++)
			RN_TRY(rn_op_select_part(lw->prog, &in[i].parts[j], st->schema.parts[o].name,
						 st->map[i], (uint32_t)out->rel->rows, &out->parts[o], e));
	return 0;
}

static int lower(const struct rn_lower *lw, const struct rn_node *n, const void *state,
		 const struct rn_lrel *in, struct rn_lrel *out, struct rn_err *e)
{
	struct rn_lrel joined = { .rel = out->rel };
	struct rn_lower_env env;
	struct rn_eexpr *x;
	struct rn_lpart z;
	int rc;

	if (!rn_node_string(n, "expr"))
		return lower_parts(lw, n, state, in, out, e);
	RN_TRY(parse_expr(n, &x, e));
	RN_GOTO(out, lower_parts(lw, n, state, in, &joined, e));
	env = rn_op_env(lw, n, &joined);
	RN_GOTO(out, rn_eexpr_lower(x, &env, &z, e));
	rc = rn_op_sole_part(out, "z", &z, e);
out:
	rn_lrel_fini(&joined);
	rn_eexpr_free(x);
	return rc;
}

static void close_state(void *state)
{
	struct state *st = state;

	for (size_t i = 0; i < RN_MANY; i++)
		rn_buf_unref(st->map[i]);
	rn_schema_fini(&st->schema);
}

const struct rn_op rn_op_join = {
	.name = "join",
	.what = "join relations on equal keys",
	.usage = "[NAME=]FILE...",
	.examples = examples,
	.see_also = "rn-agg(1), rn-union(1)",
	.flags = RN_OP_LEARNS,
	.min_in = 2,
	.max_in = RN_MANY,
	RN_OPTS(opts),
	.state_size = sizeof(struct state),
	.check = check,
	.infer = infer,
	.bind = bind,
	.lower = lower,
	.close = close_state,
};
