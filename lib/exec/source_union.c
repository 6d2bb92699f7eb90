/* SPDX-License-Identifier: Apache-2.0
 *
 * The tables of a source: a file, the files of a folder, or those that match a
 * pattern, one after another, as one relation.
 *
 * Of several text files the types are found first, over all of them; each is then
 * read with the types found.  So a column that holds integers in one file and
 * floats in another is float64 in all.  A pipe cannot be read from the start again: it stays
 * open between the two, with what was read of it.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "../base/json.h"
#include "../base/uri.h"
#include "source.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct rn_tables {
	const struct rn_ctx *ctx;
	const struct rn_node *node;
	char **paths;
	size_t n, cap, next; /* next: the one to open when `table` ends */
	size_t common;       /* bytes of the paths up to the last folder that all share */
	struct rn_table *table;
	struct rn_table **held;   /* by path: open since its types were found; NULL: it is not */
	struct rn_schema in, out; /* as all files have it; with the file's name */
	json_t *types;            /* found over all of them; NULL: one file */
	bool *unknown;            /* of several files: columns that are NULL in all of them */
	bool first;               /* rn_source_open_first */
	struct rn_array_column *array;
	uint64_t hash;
};

/* ---- which files ----------------------------------------------------------------------- */

static int add_path(struct rn_tables *t, const char *path, struct rn_err *e)
{
	RN_TRY(rn_grow(&t->paths, &t->cap, t->n + 1, sizeof(char *), "file names", e));
	t->paths[t->n] = strdup(path);
	if (!t->paths[t->n])
		return rn_err_nomem(e, strlen(path) + 1, "a file name");
	t->n++;
	return 0;
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int by_stem(const void *a, const void *b)
{
	const char *x = *(char *const *)a, *y = *(char *const *)b;
	size_t n = 0, k = 0;
	int c;

	(void)rn_table_known(x, &n);
	(void)rn_table_known(y, &k);
	c = strncmp(x, y, n < k ? n : k);
	return c ? c : n != k ? (n > k) - (n < k) : strcmp(x, y);
}

/* Of the n files of a folder, may two be one table, as a.csv and the a.er that was made of it
 * are?  Its rows would count twice. */
static int check_stems(char **paths, size_t n, struct rn_err *e)
{
	size_t a, b;

	qsort(paths, n, sizeof *paths, by_stem);
	for (size_t i = 1; i < n; i++)
		if (rn_table_known(paths[i - 1], &a) && rn_table_known(paths[i], &b) && a == b &&
		    !memcmp(paths[i - 1], paths[i], a))
			return rn_err_set(e, RN_EUSAGE, "'%s' and '%s' differ in their formats alone, and may hold the "
					  "same rows: name the files, or give a pattern such as '*%s'", paths[i - 1],
					  paths[i], paths[i - 1] + a);
	return 0;
}

/* The tables of a folder, by name.  Without a --format those that are called as tables
 * are. */
static int add_folder(struct rn_tables *t, const char *path, struct rn_err *e)
{
	bool any = strcmp(rn_node_string(t->node, "format"), "auto");
	struct rn_str name = RN_STR_INIT;
	size_t first = t->n, stem;
	struct dirent *d;
	struct stat st;
	int rc = 0;
	DIR *dir = opendir(path);

	if (!dir)
		return rn_err_errno(e, "cannot open '%s'", path);
	while (!rc && (errno = 0, d = readdir(dir))) {
		if (d->d_name[0] == '.' || !(any || rn_table_known(d->d_name, &stem)))
			continue;
		rn_str_clear(&name);
		rn_str_addf(&name, "%s%s%s", path, path[strlen(path) - 1] == '/' ? "" : "/", d->d_name);
		rc = rn_str_check(&name, e);
		if (!rc && stat(name.s, &st))
			rc = rn_err_errno(e, "cannot open '%s'", name.s);
		else if (!rc && S_ISREG(st.st_mode))
			rc = add_path(t, name.s, e);
	}
	if (!rc && errno)
		rc = rn_err_errno(e, "cannot read '%s'", path);
	closedir(dir);
	rn_str_fini(&name);
	if (!rc && t->n == first)
		rc = rn_err_set(e, RN_EIO, "there is no table in the folder '%s' (its files are called by "
				"their format, or --format says it)", path);
	if (!rc)
		rc = check_stems(t->paths + first, t->n - first, e);
	if (!rc)
		qsort(t->paths + first, t->n - first, sizeof *t->paths, by_bytes);
	return rc;
}

static int add_matches(struct rn_tables *t, const char *pattern, struct rn_err *e)
{
	glob_t g = { 0 };
	int rc = glob(pattern, GLOB_ERR | GLOB_NOSORT, NULL, &g);
	size_t first = t->n;

	if (rc == GLOB_NOMATCH)
		rc = rn_err_set(e, RN_EIO, "no file matches '%s'", pattern);
	else if (rc == GLOB_NOSPACE)
		rc = rn_err_nomem(e, 1, "file names");
	else if (rc)
		rc = rn_err_errno(e, "cannot search for '%s'", pattern);
	for (size_t i = 0; !rc && i < g.gl_pathc; i++)
		rc = add_path(t, g.gl_pathv[i], e);
	globfree(&g);
	if (!rc)
		qsort(t->paths + first, t->n - first, sizeof *t->paths, by_bytes);
	return rc;
}

/* A file of that very name comes first, whatever characters it has. */
static int add_paths(struct rn_tables *t, const char *path, struct rn_err *e)
{
	struct stat st;

	if (!strcmp(path, "-") || rn_uri_kind(path))
		return add_path(t, path, e);
	if (stat(path, &st) == 0)
		return S_ISDIR(st.st_mode) ? add_folder(t, path, e) : add_path(t, path, e);
	return strpbrk(path, "*?[") ? add_matches(t, path, e) : add_path(t, path, e);
}

/* The rest of --also: further files. */
static int add_also(struct rn_tables *t, const char *dir, struct rn_err *e)
{
	const json_t *also = rn_node_json(t->node, "also");
	struct rn_str path = RN_STR_INIT;
	int rc = 0;

	for (size_t i = 0; !rc && i < json_array_size(also); i++) {
		rn_str_clear(&path);
		rn_path_print(dir, json_string_value(json_array_get(also, i)), &path);
		rc = rn_str_check(&path, e);
		if (!rc)
			rc = add_paths(t, path.s, e);
	}
	rn_str_fini(&path);
	return rc;
}

static bool look_at(const char *path, struct stat *st)
{
	return (strcmp(path, "-") ? stat(path, st) : fstat(STDIN_FILENO, st)) == 0;
}

/* Is what it names gone once it was read? */
static bool read_once(const char *path)
{
	struct stat st;

	return !strcmp(path, "-") || (!rn_uri_kind(path) && look_at(path, &st) && !S_ISREG(st.st_mode));
}

static bool same_pipe(const char *a, const char *b)
{
	struct stat x, y;

	return look_at(a, &x) && look_at(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino &&
	       (S_ISFIFO(x.st_mode) || S_ISSOCK(x.st_mode));
}

/* Of what can be read once, nothing may be given twice. */
static int check_pipes(const struct rn_tables *t, struct rn_err *e)
{
	for (size_t i = 1; i < t->n; i++)
		for (size_t j = 0; j < i && read_once(t->paths[i]); j++) {
			if (!strcmp(t->paths[i], "-") && !strcmp(t->paths[j], "-"))
				return rn_err_set(e, RN_EUSAGE, "standard input ('-') is given twice as an input");
			if (same_pipe(t->paths[i], t->paths[j]))
				return rn_err_set(e, RN_EUSAGE, "'%s' and '%s' are one pipe, which can be read once",
						  t->paths[j], t->paths[i]);
		}
	return 0;
}

static void find_common(struct rn_tables *t)
{
	size_t k = strlen(t->paths[0]);

	for (size_t i = 1; i < t->n; i++) {
		size_t j = 0;

		while (j < k && t->paths[0][j] == t->paths[i][j])
			j++;
		k = j;
	}
	while (k && t->paths[0][k - 1] != '/')
		k--;
	t->common = k;
}

/* ---- one schema ------------------------------------------------------------------------- */

static long find_col(const struct rn_schema *s, const char *name)
{
	for (size_t i = 0; i < s->ncols; i++)
		if (!strcmp(s->cols[i].name, name))
			return (long)i;
	return -1;
}

/* Every column of a is one of b? */
static int check_columns(const struct rn_schema *a, const char *a_path, const struct rn_schema *b,
			 const char *b_path, struct rn_err *e)
{
	for (size_t i = 0; i < a->ncols; i++)
		if (find_col(b, a->cols[i].name) < 0)
			return rn_err_set(e, RN_EUSAGE,
					  "'%s' has a column '%s' and '%s' has none: files of one source "
					  "have the same columns",
					  a_path, a->cols[i].name, b_path);
	return 0;
}

static bool same_parts(const struct rn_schema *a, const struct rn_schema *b)
{
	bool same = a->nparts == b->nparts;

	for (size_t i = 0; same && i < a->nparts; i++)
		same = !strcmp(a->parts[i].name, b->parts[i].name) &&
		       rn_shape_equal(&a->parts[i].shape, &b->parts[i].shape);
	return same;
}

/* The least type that holds values of both. */
static enum rn_type wider(enum rn_type a, enum rn_type b)
{
	if (a == b)
		return a;
	if ((a == RN_INT64 && b == RN_FLOAT64) || (a == RN_FLOAT64 && b == RN_INT64))
		return RN_FLOAT64;
	return RN_STRING;
}

/* Columns of `t` against those so far; what is unknown in both stays so. */
static int merge(struct rn_tables *u, const struct rn_table *t, struct rn_err *e)
{
	RN_TRY(check_columns(&u->in, u->paths[0], &t->schema, t->path, e));
	RN_TRY(check_columns(&t->schema, t->path, &u->in, u->paths[0], e));
	if (!same_parts(&u->in, &t->schema))
		return rn_err_set(e, RN_EUSAGE, "'%s' and '%s' have different embeddings", u->paths[0],
				  t->path);
	for (size_t i = 0; i < u->in.ncols; i++) {
		long k = find_col(&t->schema, u->in.cols[i].name);
		enum rn_type type = t->schema.cols[k].type;

		if (t->untyped && t->untyped(t, (size_t)k))
			continue;
		u->in.cols[i].type = u->unknown[i] ? type : wider(u->in.cols[i].type, type);
		u->unknown[i] = false;
	}
	return 0;
}

/* Of what type the node expects the column where its table has no value; *found = false: it
 * does not say. */
static int expected_type(const struct rn_tables *u, const char *name, enum rn_type *out, bool *found,
			 struct rn_err *e)
{
	const json_t *want = json_object_get(rn_node_json(u->node, "expect"), name);

	*found = want && !json_object_get(rn_node_json(u->node, "types"), name);
	if (!*found || (json_is_string(want) && !rn_type_parse(json_string_value(want), out)))
		return 0;
	return rn_err_set(e, RN_EUSAGE, "what is expected of column '%s' is no type", name);
}

/* settable: no table has types of its own. */
static int make_types(struct rn_tables *u, bool settable, struct rn_err *e)
{
	for (size_t i = 0; i < u->in.ncols; i++) {
		enum rn_type type;
		bool found = false;

		if (u->unknown[i] && settable)
			RN_TRY(expected_type(u, u->in.cols[i].name, &type, &found, e));
		if (found)
			u->in.cols[i].type = type;
		u->unknown[i] = u->unknown[i] && !found;
	}
	RN_TRY(rn_json_object(&u->types, e));
	for (size_t i = 0; i < u->in.ncols; i++)
		RN_TRY(rn_json_set_text(u->types, u->in.cols[i].name,
					rn_type_name(u->in.cols[i].type), e));
	return 0;
}

/* Look at all files for the schema of all. */
static int unite(struct rn_tables *u, struct rn_err *e)
{
	struct rn_table *t = NULL;
	bool settable = true;
	int rc = 0;

	RN_TRY(rn_calloc(u->n, sizeof *u->held, "tables", &u->held, e));
	for (size_t i = 0; i < u->n && !rc; i++) {
		RN_GOTO(out, rn_table_open(u->ctx, u->node, u->paths[i], u->first, NULL, u->array, &t, e));
		if (!i) {
			RN_GOTO(out, rn_schema_copy(&t->schema, &u->in, e));
			RN_GOTO(out, rn_calloc(u->in.ncols, sizeof *u->unknown, "a schema", &u->unknown,
					       e));
			for (size_t k = 0; k < u->in.ncols; k++)
				u->unknown[k] = t->untyped && t->untyped(t, k);
		} else {
			rc = merge(u, t, e);
		}
		settable = settable && t->retype;
		if (read_once(u->paths[i]))
			u->held[i] = t;
		else
			rn_table_close(t);
		t = NULL;
	}
	if (!rc)
		rc = make_types(u, settable, e);
out:
	rn_table_close(t);
	return rc;
}

/* With the types found, is each column of that type?  A stream's is what it is. */
static int check_types(const struct rn_tables *u, const struct rn_table *t, struct rn_err *e)
{
	for (size_t i = 0; i < u->in.ncols; i++) {
		long k = find_col(&t->schema, u->in.cols[i].name);
		enum rn_type type = k < 0 ? RN_NTYPES : t->schema.cols[k].type;

		if (type != u->in.cols[i].type)
			return rn_err_set(e, RN_EUSAGE,
					  "column '%s' of '%s' is %s, which does not go with the other "
					  "files (rn-project can cast it)",
					  u->in.cols[i].name, t->path,
					  k < 0 ? "missing" : rn_type_name(type));
	}
	return 0;
}

/* ---- life ---------------------------------------------------------------------------------- */

/* A column without a value is of the type that the node expects. */
static int expect_types(const struct rn_tables *u, struct rn_err *e)
{
	struct rn_table *t = u->table;
	bool any = false, found;
	enum rn_type *types;
	int rc = 0;

	if (!t->retype || !rn_node_json(u->node, "expect"))
		return 0;
	RN_TRY(rn_calloc(t->schema.ncols, sizeof *types, "types", &types, e));
	for (size_t i = 0; i < t->schema.ncols && !rc; i++) {
		found = false;
		types[i] = RN_NTYPES;
		if (t->untyped(t, i))
			rc = expected_type(u, t->schema.cols[i].name, &types[i], &found, e);
		any |= found;
	}
	if (!rc && any)
		rc = t->retype(t, types, e);
	free(types);
	return rc;
}

/* The types found over all tables, for one that was open since it was looked at. */
static int give_types(const struct rn_tables *u, struct rn_err *e)
{
	struct rn_table *t = u->table;
	enum rn_type *types;
	int rc;

	if (!t->retype)
		return 0;
	RN_TRY(rn_calloc(t->schema.ncols, sizeof *types, "types", &types, e));
	for (size_t i = 0; i < t->schema.ncols; i++)
		types[i] = u->in.cols[find_col(&u->in, t->schema.cols[i].name)].type;
	rc = t->retype(t, types, e);
	free(types);
	return rc;
}

static int open_next(struct rn_tables *u, struct rn_err *e)
{
	size_t i = u->next++;

	if (u->held && u->held[i]) {
		u->table = u->held[i];
		u->held[i] = NULL;
		RN_TRY(give_types(u, e));
	} else {
		if (u->array)
			u->array->looked = 0; /* in others */
		RN_TRY(rn_table_open(u->ctx, u->node, u->paths[i], u->first, u->types, u->array, &u->table,
				     e));
	}
	return u->types ? check_types(u, u->table, e) : expect_types(u, e);
}

static int make_schema(struct rn_tables *u, struct rn_err *e)
{
	const char *name = rn_node_string(u->node, "file-col");

	if (!u->types)
		RN_TRY(rn_schema_copy(&u->table->schema, &u->in, e));
	u->in.nkey = 0; /* of a file; not of the union, and --key says it anew */
	RN_TRY(rn_schema_copy(&u->in, &u->out, e));
	if (!name)
		return 0;
	for (size_t i = 0; i < u->n; i++)
		if (rn_uri_kind(u->paths[i]) == RN_URI_POSTGRES)
			return rn_err_set(e, RN_EUSAGE, "--file-col is for files, and '%s' is none",
					  u->paths[i]);
	if (find_col(&u->in, name) >= 0)
		return rn_err_set(e, RN_EUSAGE, "'%s': --file-col: there is a column '%s' already",
				  u->paths[0], name);
	return rn_schema_add_col(&u->out, name, NULL, RN_STRING, e);
}

int rn_tables_open(const struct rn_ctx *c, const struct rn_node *n, const char *path,
		   const char *dir, bool first, struct rn_array_column *array, struct rn_tables **out,
		   struct rn_err *e)
{
	struct rn_tables *u;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *u, "a source", &u, e));
	u->ctx = c;
	u->node = n;
	u->first = first;
	u->array = array;
	RN_GOTO(fail, add_paths(u, path, e));
	RN_GOTO(fail, add_also(u, dir, e));
	RN_GOTO(fail, check_pipes(u, e));
	find_common(u);
	if (u->n > 1)
		RN_GOTO(fail, unite(u, e));
	RN_GOTO(fail, open_next(u, e));
	RN_GOTO(fail, make_schema(u, e));
	*out = u;
	return 0;
fail:
	rn_tables_close(u);
	return rc;
}

const struct rn_schema *rn_tables_schema(const struct rn_tables *t)
{
	return &t->out;
}

bool rn_tables_untyped(const struct rn_tables *t, size_t i)
{
	if (t->unknown)
		return i < t->in.ncols && t->unknown[i];
	return t->table && t->table->untyped && i < t->in.ncols && t->table->untyped(t->table, i);
}

uint64_t rn_tables_hash(const struct rn_tables *t)
{
	return t->hash;
}

void rn_tables_close(struct rn_tables *t)
{
	if (!t)
		return;
	rn_table_close(t->table);
	for (size_t i = 0; i < t->n; i++) {
		if (t->held)
			rn_table_close(t->held[i]);
		free(t->paths[i]);
	}
	free(t->held);
	free(t->paths);
	json_decref(t->types);
	free(t->unknown);
	rn_schema_fini(&t->in);
	rn_schema_fini(&t->out);
	free(t);
}

/* ---- blocks -------------------------------------------------------------------------------- */

/* Of several files: a digest of theirs, in order. */
static void end_table(struct rn_tables *u)
{
	uint64_t pair[2] = { u->hash, u->table->hash(u->table) };

	u->hash = u->n > 1 ? XXH3_64bits(pair, sizeof pair) : pair[1];
	rn_table_close(u->table);
	u->table = NULL;
}

/* The same text n times. */
static int constant(const char *text, uint64_t n, struct rn_column **out, struct rn_err *e)
{
	size_t len = strlen(text);

	RN_TRY(rn_column_new_string(n, n * len, out, e));
	for (uint64_t i = 0; i < n; i++) {
		(*out)->off[i] = i * len;
		memcpy((*out)->bytes + i * len, text, len);
	}
	(*out)->off[n] = n * len;
	return 0;
}

/* The block's columns in the order of the first file's, and the file's name. */
static int arrange(struct rn_tables *u, const struct rn_rel *b, struct rn_rel **out,
		   struct rn_err *e)
{
	const char *name = rn_node_string(u->node, "file-col");
	struct rn_column *c;
	struct rn_rel *r;
	int rc;

	RN_TRY(rn_rel_new(NULL, b->rows, &r, e));
	for (size_t i = 0; i < u->in.ncols; i++) {
		const struct rn_field *f = &u->in.cols[i];

		RN_GOTO(fail, rn_rel_add_col(r, f->name, f->qual,
					     rn_column_ref(b->cols[find_col(&b->schema, f->name)]), e));
	}
	if (name) {
		RN_GOTO(fail, constant(u->table->path + u->common, b->rows, &c, e));
		RN_GOTO(fail, rn_rel_add_col(r, name, NULL, c, e));
	}
	for (size_t i = 0; i < b->schema.nparts; i++)
		RN_GOTO(fail, rn_rel_add_part(r, b->schema.parts[i].name, rn_tensor_ref(b->parts[i].t),
					      rn_buf_ref(b->parts[i].map), e));
	*out = r;
	return 0;
fail:
	rn_rel_unref(r);
	return rc;
}

int rn_tables_block(struct rn_tables *u, struct rn_rel **out, struct rn_err *e)
{
	struct rn_rel *b = NULL;
	int rc;

	*out = NULL;
	while (!b) {
		if (!u->table && u->next == u->n)
			return 0;
		if (!u->table)
			RN_TRY(open_next(u, e));
		RN_TRY(u->table->block(u->table, &b, e));
		if (!b)
			end_table(u);
	}
	if (!u->types && !rn_node_string(u->node, "file-col")) {
		*out = b;
		return 0;
	}
	rc = arrange(u, b, out, e);
	rn_rel_unref(b);
	return rc;
}
