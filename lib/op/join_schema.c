/* SPDX-License-Identifier: Apache-2.0
 *
 * join: what its options mean for the schemas of its inputs.
 *
 * Columns: those of the inputs in order; of each later input without the key
 * columns (they equal the left ones).  A column that two inputs share is known
 * by NAME.col; key columns keep their bare name.
 */
#include "join_schema.h"

#include "util.h"

#include <stdlib.h>
#include <string.h>

/* ---- options --------------------------------------------------------------------- */

enum rn_join_kind rn_join_kind_of(const struct rn_node *n)
{
	switch (rn_node_string(n, "how")[0]) {
	case 'l':
		return RN_JOIN_LEFT;
	case 's':
		return RN_JOIN_SEMI;
	case 'a':
		return RN_JOIN_ANTI;
	case 'f':
		return RN_JOIN_FULL;
	default:
		return RN_JOIN_INNER;
	}
}

bool rn_join_is_filter(const struct rn_node *n)
{
	return !rn_join_pairs(rn_join_kind_of(n));
}

/* The pair of names that --asof gives, or NULL. */
static const char *asof_names(const struct rn_node *n, const char **right)
{
	const json_t *asof = rn_node_json(n, "asof");
	void *it = json_object_iter((json_t *)asof);

	if (!it)
		return NULL;
	*right = json_string_value(json_object_iter_value(it));
	return json_object_iter_key(it);
}

/* Do the options go together? */
static int check_options(const struct rn_node *n, struct rn_err *e)
{
	enum rn_join_kind kind = rn_join_kind_of(n);
	const char *how = rn_node_string(n, "how");
	size_t asof = json_object_size(rn_node_json(n, "asof"));

	if (n->nin > 2 && kind != RN_JOIN_INNER && kind != RN_JOIN_LEFT)
		return rn_err_set(e, RN_EUSAGE, "--how %s wants two inputs", how);
	if (!asof && rn_node_flag(n, "asof-equal"))
		return rn_err_set(e, RN_EUSAGE, "--asof-equal wants --asof");
	if (!asof)
		return 0;
	if (asof > 1)
		return rn_err_set(e, RN_EUSAGE, "--asof takes one column, or one L=R");
	if (n->nin > 2)
		return rn_err_set(e, RN_EUSAGE, "--asof wants two inputs");
	if (kind != RN_JOIN_INNER && kind != RN_JOIN_LEFT)
		return rn_err_set(e, RN_EUSAGE, "--asof is an inner or a left join, not --how %s", how);
	if (rn_node_string(n, "and"))
		return rn_err_set(e, RN_EUSAGE, "give --asof or --and, not both");
	return 0;
}

/* ---- names and keys -------------------------------------------------------------- */

/* NAME of input i: as written, else the relation's, else a, b, c, … */
const char *rn_join_input_name(const struct rn_node *n, const struct rn_schema *s, size_t i,
			       char buf[8])
{
	if (n->in[i].as)
		return n->in[i].as;
	if (s->name)
		return s->name;
	snprintf(buf, 8, i < 26 ? "%c" : "in%u", i < 26 ? 'a' + (unsigned)i : (unsigned)i % 1000);
	return buf;
}

/* All columns that the two share, but for those of --asof. */
static int natural_keys(const struct rn_node *n, const struct rn_schema *l,
			const struct rn_schema *r, struct rn_join_keys *k, struct rn_err *e)
{
	const char *rt = NULL, *lt = asof_names(n, &rt);

	for (size_t j = 0; j < r->ncols; j++)
		for (size_t i = 0; i < l->ncols; i++)
			if (!strcmp(l->cols[i].name, r->cols[j].name) && k->n < RN_JOIN_KEYS &&
			    !(lt && (!strcmp(l->cols[i].name, lt) || !strcmp(r->cols[j].name, rt)))) {
				RN_TRY(rn_schema_find(l, l->cols[i].name, &k->left[k->n], e));
				RN_TRY(rn_schema_find(r, r->cols[j].name, &k->right[k->n], e));
				k->n++;
				break;
			}
	if (!k->n && !lt)
		return rn_err_set(e, RN_EUSAGE, "--natural: the inputs share no column");
	return 0;
}

static bool contains(const size_t *xs, size_t n, size_t x)
{
	for (size_t i = 0; i < n; i++)
		if (xs[i] == x)
			return true;
	return false;
}

/* A full join's key column holds values of both sides. */
static int check_full_keys(const struct rn_schema *l, const struct rn_schema *r,
			   const struct rn_join_keys *k, struct rn_err *e)
{
	for (size_t i = 0; i < k->n; i++) {
		const struct rn_field *a = &l->cols[k->left[i]], *b = &r->cols[k->right[i]];

		if (a->type != b->type)
			return rn_err_set(e, RN_EUSAGE,
					  "key columns '%s' (%s) and '%s' (%s) become one in a full join: "
					  "cast one of them before, with rn-project", a->name, rn_type_name(a->type), b->name,
					  rn_type_name(b->type));
		if (contains(k->left, i, k->left[i]))
			return rn_err_set(e, RN_EUSAGE,
					  "a full join with two key columns for one, '%s'", a->name);
	}
	return 0;
}

/* The key columns by which `l`, the rows so far, meet `r`. */
static int find_keys(const struct rn_node *n, const struct rn_schema *l, const struct rn_schema *r,
		     struct rn_join_keys *k, struct rn_err *e)
{
	json_t *on = (json_t *)rn_node_json(n, "on");
	const char *left;
	json_t *v;

	k->n = 0;
	if (rn_node_flag(n, "natural")) {
		if (json_object_size(on))
			return rn_err_set(e, RN_EUSAGE, "give --on or --natural, not both");
		RN_TRY(natural_keys(n, l, r, k, e));
	} else if (!json_object_size(on) && !json_object_size(rn_node_json(n, "asof")) &&
		   !rn_node_string(n, "and")) {
		return rn_err_set(e, RN_EUSAGE, "give the key columns with --on COL or --on L=R");
	}
	json_object_foreach(on, left, v) {
		if (k->n == RN_JOIN_KEYS)
			return rn_err_set(e, RN_EUSAGE, "more than %d key columns", RN_JOIN_KEYS);
		RN_TRY(rn_schema_find(l, left, &k->left[k->n], e));
		RN_TRY(rn_schema_find(r, json_string_value(v), &k->right[k->n], e));
		k->n++;
	}
	for (size_t i = 0; i < k->n; i++) {
		const struct rn_field *a = &l->cols[k->left[i]], *b = &r->cols[k->right[i]];

		RN_TRY(rn_key_types_meet(a->type, a->name, b->type, b->name, e));
	}
	return rn_join_kind_of(n) == RN_JOIN_FULL ? check_full_keys(l, r, k, e) : 0;
}

int rn_join_asof_columns(const struct rn_node *n, const struct rn_schema *l,
			 const struct rn_schema *r, size_t *lt, size_t *rt, struct rn_err *e)
{
	const char *right = NULL, *left = asof_names(n, &right);
	const struct rn_field *a, *b;

	RN_TRY(rn_schema_find(l, left, lt, e));
	RN_TRY(rn_schema_find(r, right, rt, e));
	a = &l->cols[*lt];
	b = &r->cols[*rt];
	if (a->type == RN_STRING || a->type == RN_BOOL)
		return rn_err_set(e, RN_EUSAGE, "--asof wants a timestamp or a number, and '%s' is %s",
				  a->name, rn_type_name(a->type));
	return rn_key_types_meet(a->type, a->name, b->type, b->name, e);
}

/* ---- columns --------------------------------------------------------------------- */

static bool taken(const struct rn_schema *s, const char *name, const char *qual)
{
	for (size_t i = 0; i < s->ncols; i++) {
		const struct rn_field *f = &s->cols[i];

		if (!strcmp(f->name, name) && !f->qual == !qual && (!qual || !strcmp(f->qual, qual)))
			return true;
	}
	return false;
}

/* Does a column bear this qualifier, or (NULL) any? */
static bool has_qual(const struct rn_schema *s, const char *qual)
{
	for (size_t i = 0; i < s->ncols; i++)
		if (s->cols[i].qual && (!qual || !strcmp(s->cols[i].qual, qual)))
			return true;
	return false;
}

/* Are the columns of input r, called `as`, apart from those of l before one has looked? */
static bool apart(const struct rn_schema *l, const struct rn_schema *r, const char *as)
{
	return !has_qual(r, NULL) && !has_qual(l, as);
}

/* Add column f of an input called `as`; where its name with its qualifier is
 * there already, the input's name goes in front of the qualifier.  sure: it is not there. */
static int add_field(struct rn_schema *out, const struct rn_field *f, const char *as, bool key,
		     bool sure, struct rn_err *e)
{
	const char *qual = f->qual ? f->qual : key ? NULL : as;
	struct rn_str deep = RN_STR_INIT;
	int rc;

	if (!sure && f->qual && taken(out, f->name, qual)) {
		rn_str_addf(&deep, "%s.%s", as, f->qual);
		RN_GOTO(out, rn_str_check(&deep, e));
		qual = deep.s;
	}
	if (!sure && taken(out, f->name, qual))
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
			  const struct rn_join_keys *k, struct rn_schema *out, struct rn_err *e)
{
	bool sure = apart(l, r, as);

	for (size_t i = 0; i < l->ncols; i++)
		RN_TRY(rn_schema_add_col(out, l->cols[i].name, l->cols[i].qual, l->cols[i].type, e));
	for (size_t j = 0; j < r->ncols; j++)
		if (!contains(k->right, k->n, j))
			RN_TRY(add_field(out, &r->cols[j], as, false, sure, e));
	return 0;
}

/* Qualify the first input's columns: its key columns stay bare. */
static int first_columns(const struct rn_schema *s, const char *as, const struct rn_join_keys *k,
			 struct rn_schema *out, struct rn_err *e)
{
	bool sure = !has_qual(s, as); /* then nothing gets a name that another one has */

	for (size_t i = 0; i < s->ncols; i++) {
		bool key = contains(k->left, k->n, i);
		struct rn_field f = s->cols[i];

		if (key) /* bare, unless another key column has that name */
			for (size_t j = 0; j < k->n; j++)
				if (k->left[j] != i && !strcmp(s->cols[k->left[j]].name, f.name))
					key = false;
		if (key)
			f.qual = NULL;
		RN_TRY(add_field(out, &f, as, key, sure, e));
	}
	return 0;
}

/* Parts of the inputs under the names that they have in the output. */
static int joined_parts(const struct rn_node *n, const struct rn_schema *const *in,
			struct rn_schema *out, struct rn_err *e)
{
	char buf[8];

	for (size_t i = 0; i < (rn_join_is_filter(n) ? 1 : n->nin); i++)
		for (size_t j = 0; j < in[i]->nparts; j++) {
			const struct rn_part_info *p = &in[i]->parts[j];
			const char *name = p->name;

			if (in[i]->nparts == 1 && !rn_join_is_filter(n))
				name = rn_join_input_name(n, in[i], i, buf);
			for (size_t k = 0; k < out->nparts; k++)
				if (!strcmp(out->parts[k].name, name))
					return rn_err_set(e, RN_EUSAGE,
							  "two parts are called '%s': name the inputs "
							  "(NAME=FILE)", name);
			RN_TRY(rn_schema_add_part(out, name, &p->shape, p->sparse, e));
		}
	return 0;
}

static int copy_columns(const struct rn_schema *from, struct rn_schema *to, struct rn_err *e)
{
	for (size_t i = 0; i < from->ncols; i++)
		RN_TRY(rn_schema_add_col(to, from->cols[i].name, from->cols[i].qual,
					 from->cols[i].type, e));
	return 0;
}

/* Join the schemas from left to right; left gets that of the rows before the last join. */
static int join_columns(const struct rn_node *n, const struct rn_schema *const *in,
			struct rn_join_keys *keys, struct rn_schema *left, struct rn_schema *out,
			struct rn_err *e)
{
	struct rn_join_keys k;
	char buf[8];

	RN_TRY(find_keys(n, in[0], in[1], &k, e));
	RN_TRY(first_columns(in[0], rn_join_input_name(n, in[0], 0, buf), &k, out, e));
	for (size_t i = 1; i < n->nin; i++) {
		rn_schema_fini(left);
		*left = *out;
		*out = (struct rn_schema){ 0 };
		if (i > 1) /* the first input's columns stand where they stood, if under other names */
			RN_TRY(find_keys(n, left, in[i], &k, e));
		keys[i - 1] = k;
		if (!rn_join_is_filter(n))
			RN_TRY(joined_columns(left, in[i], rn_join_input_name(n, in[i], i, buf), &k, out,
					      e));
	}
	return 0;
}

/* Has every row at most one partner in every later input?  Then the first input's key is
 * one of the result. */
static bool keeps_key(const struct rn_node *n, const struct rn_schema *const *in,
		      const struct rn_join_keys *keys)
{
	if (rn_join_kind_of(n) == RN_JOIN_FULL)
		return false;
	if (json_object_size(rn_node_json(n, "asof")))
		return true;
	for (size_t i = 1; i < n->nin; i++) {
		bool unique = in[i]->nkey;

		for (size_t k = 0; k < in[i]->nkey; k++)
			unique = unique && contains(keys[i - 1].right, keys[i - 1].n, in[i]->key[k]);
		if (!unique)
			return false;
	}
	return true;
}

int rn_join_schema(const struct rn_node *n, const struct rn_schema *const *in,
		   struct rn_join_keys *keys, struct rn_schema *left, struct rn_schema *out,
		   struct rn_err *e)
{
	struct rn_schema before = { 0 };
	size_t lt, rt;
	int rc;

	RN_TRY(check_options(n, e));
	RN_GOTO(out, join_columns(n, in, keys, &before, out, e));
	if (json_object_size(rn_node_json(n, "asof")))
		RN_GOTO(out, rn_join_asof_columns(n, in[0], in[1], &lt, &rt, e));
	if (rn_join_is_filter(n))
		RN_GOTO(out, copy_columns(in[0], out, e));
	if (rn_join_is_filter(n) || keeps_key(n, in, keys)) /* its columns stand where they stood */
		RN_GOTO(out, rn_op_copy_key(in[0], out, e));
	rc = joined_parts(n, in, out, e);
out:
	if (!rc && left)
		*left = before;
	else
		rn_schema_fini(&before);
	return rc;
}

/* ---- pairs ----------------------------------------------------------------------- */

/* A key column under the name of its input, too, unless that is taken. */
static int add_alias(struct rn_join_pair *p, const struct rn_field *f, const char *as, size_t col,
		     bool right, struct rn_err *e)
{
	const char *qual = f->qual ? f->qual : as;

	if (taken(&p->schema, f->name, qual))
		return 0;
	p->right[p->schema.ncols] = right;
	p->col[p->schema.ncols] = col;
	return rn_schema_add_col(&p->schema, f->name, qual, f->type, e);
}

int rn_join_pair_schema(const struct rn_node *n, const struct rn_schema *const *in,
			const struct rn_schema *left, const struct rn_join_keys *k,
			struct rn_join_pair *p, struct rn_err *e)
{
	const struct rn_schema *r = in[n->nin - 1];
	size_t room = left->ncols + in[0]->ncols + r->ncols;
	char buf[8], rbuf[8];
	const char *as = rn_join_input_name(n, in[0], 0, buf);
	const char *ras = rn_join_input_name(n, r, n->nin - 1, rbuf);
	bool sure = apart(left, r, ras);

	RN_TRY(rn_calloc(room, sizeof *p->col, "columns", &p->col, e));
	RN_TRY(rn_calloc(room, sizeof *p->right, "columns", &p->right, e));
	RN_TRY(copy_columns(left, &p->schema, e));
	for (size_t i = 0; i < left->ncols; i++)
		p->col[i] = i;
	for (size_t j = 0; j < r->ncols; j++) {
		if (contains(k->right, k->n, j)) {
			RN_TRY(add_alias(p, &r->cols[j], ras, j, true, e));
			continue;
		}
		p->right[p->schema.ncols] = true;
		p->col[p->schema.ncols] = j;
		RN_TRY(add_field(&p->schema, &r->cols[j], ras, false, sure, e));
	}
	for (size_t i = 0; i < in[0]->ncols && i < left->ncols; i++)
		if (!left->cols[i].qual)
			RN_TRY(add_alias(p, &in[0]->cols[i], as, i, false, e));
	return 0;
}

void rn_join_pair_fini(struct rn_join_pair *p)
{
	rn_schema_fini(&p->schema);
	free(p->col);
	free(p->right);
}
