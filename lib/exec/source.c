/* SPDX-License-Identifier: Apache-2.0
 *
 * Sources: the rows of a table as a relation, block by block, with what a scan
 * node adds: a row number, an embedding, a declared key that is checked.  Where the
 * rows come from is source.h's.
 */
#include "../../formats/container_format.h"
#include "../../formats/npz.h"
#include "../base/json.h"
#include "source.h"
#include "source_cols.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SCHEMA = 64 << 20 }; /* bytes of a schema file */

enum emb_kind { EMB_NONE, EMB_COLS, EMB_ONES, EMB_NPY, EMB_PART, EMB_TEXT };

struct rn_source {
	const struct rn_ctx *ctx;
	const struct rn_node *node; /* &own, or as given */
	struct rn_node own;         /* with the options that --schema stands for */
	char *path;
	struct rn_tables *tables;
	const struct rn_schema *in; /* as the files have it */
	struct rn_schema out; /* as the node gives it */
	enum emb_kind emb;
	bool *to_emb;            /* EMB_COLS, EMB_TEXT: which columns of `in` */
	uint32_t width;          /* EMB_COLS, EMB_ONES */
	struct rn_array_column array; /* EMB_TEXT: of --emb COL, or of --emb COL:WIDTH */
	char *sparse;            /* … COL of the latter */
	struct rn_source_cols listed; /* by `sparse`, else by --emb */
	struct rn_array_reader reader;
	struct rn_rel *ahead;    /* EMB_TEXT: the first block, where it has to tell the shape */
	struct rn_npy *npy;      /* EMB_NPY */
	size_t part;             /* EMB_PART: an embedding that the table has; EMB_TEXT: a column */
	uint64_t rows;           /* so far */
	uint64_t nulls;          /* embedded as 0 */
	uint64_t large;          /* finite, and embedded as infinity */
	struct rn_key_check *key; /* NULL: none is declared */
	bool ended;
};

/* ---- opening ------------------------------------------------------------------- */

static bool ends_with(const char *s, const char *suffix)
{
	size_t n = strlen(s), k = strlen(suffix);

	return n >= k && !strcmp(s + n - k, suffix);
}

/* ---- the embedding ---------------------------------------------------------------- */

/* Is `spec` the name of an embedding that the table has? */
static bool choose_part(struct rn_source *s, const char *spec)
{
	for (s->part = 0; s->part < s->in->nparts; s->part++)
		if (!strcmp(s->in->parts[s->part].name, spec)) {
			s->emb = EMB_PART;
			return true;
		}
	return false;
}

/* The one column to embed that is text, or SIZE_MAX. */
static size_t find_text(const struct rn_source *s)
{
	for (size_t i = 0; i < s->in->ncols; i++)
		if (s->to_emb[i] && s->in->cols[i].type == RN_STRING && !rn_tables_untyped(s->tables, i))
			return i;
	return SIZE_MAX;
}

static const char *text_at(const struct rn_column *c, uint64_t i, size_t *n)
{
	*n = (size_t)(c->off[i + 1] - c->off[i]);
	return c->bytes + c->off[i];
}

/* The first row of c that is not NULL, or c->rows. */
static uint64_t first_value(const struct rn_column *c)
{
	uint64_t i = 0;

	while (i < c->rows && rn_column_is_null(c, i))
		i++;
	return i;
}

static int no_array(const struct rn_source *s, uint64_t rows, const char *name, struct rn_err *e)
{
	return rn_err_set(e, RN_EDATA, "%s: --emb: no array in the first %" PRIu64 " rows of column '%s' tells "
			  "how wide the embedding is", s->path, rows, name);
}

/* Where no reader of text has looked for it, the first block's first value tells the shape.  What
 * comes behind the rows of a reader's sample does not: it has not checked those rows. */
static int look_ahead(struct rn_source *s, size_t at, struct rn_err *e)
{
	const char *name = s->in->cols[at].name, *text = "";
	const struct rn_column *c;
	uint64_t first = 0;
	size_t n = 0;

	RN_TRY(rn_tables_block(s->tables, &s->ahead, e));
	c = s->ahead ? s->ahead->cols[at] : NULL;
	if (c)
		first = first_value(c);
	if (!c || first == c->rows)
		return no_array(s, s->array.looked ? s->array.looked : first, name, e);
	text = text_at(c, first, &n);
	if (n && text[0] == '{')
		return rn_err_set(e, RN_EUSAGE, "%s: --emb: column '%s' has sparse embeddings, which do not tell how wide "
				  "they are: give that, as in --emb %s:1000", s->path, name, name);
	s->array.known = rn_array_shape(text, n, &s->array.shape);
	return s->array.known && s->array.looked ? no_array(s, s->array.looked, name, e) : 0;
}

/* Column `at` has an array of numbers in each row, all of one shape. */
static int choose_text(struct rn_source *s, size_t at, struct rn_err *e)
{
	if (s->width == 1 && !s->array.known)
		RN_TRY(look_ahead(s, at, e));
	if (s->width > 1 || !s->array.known)
		return rn_err_set(e, RN_EUSAGE, "%s: --emb: column '%s' is string, and an embedding wants numbers (or "
				  "give its --types), or one column of arrays such as [0.5, 1]", s->path,
				  s->in->cols[at].name);
	s->emb = EMB_TEXT;
	s->part = at;
	return 0;
}

/* How many columns are embedded. */
static void count_listed(struct rn_source *s)
{
	for (size_t i = 0; i < s->in->ncols; i++)
		s->width += s->to_emb[i];
}

/* --emb COL:WIDTH. */
static int choose_sparse(struct rn_source *s, struct rn_err *e)
{
	size_t at = 0;

	while (at < s->in->ncols && !s->to_emb[at])
		at++;
	if (s->width > 1)
		return rn_err_set(e, RN_EUSAGE, "%s: --emb: a width is for one column of sparse embeddings such as "
				  "{\"0\": 0.5}, and '%s' are %" PRIu32, s->path, s->sparse, s->width);
	if (s->in->cols[at].type != RN_STRING)
		return rn_err_set(e, RN_EUSAGE, "%s: --emb: a width is for a column of sparse embeddings such as "
				  "{\"0\": 0.5}, and '%s' is %s", s->path, s->in->cols[at].name,
				  rn_type_name(s->in->cols[at].type));
	return choose_text(s, at, e);
}

/* "COL:WIDTH" is itself a column's name, or a list that has one. */
static int forget_width(struct rn_source *s, const char *spec, struct rn_err *e)
{
	if (!s->sparse)
		return 0;
	free(s->sparse);
	s->sparse = NULL;
	s->array.known = s->array.sparse = false;
	rn_source_cols_fini(&s->listed);
	return rn_source_cols_init(&s->listed, spec, e);
}

static int choose_columns(struct rn_source *s, const char *spec, struct rn_err *e)
{
	size_t text;
	int rc;

	if (choose_part(s, spec))
		return 0;
	RN_TRY(rn_calloc(s->in->ncols, sizeof *s->to_emb, "columns", &s->to_emb, e));
	if (s->sparse && !rn_source_cols_choose(&s->listed, s->in, s->to_emb, NULL)) {
		count_listed(s);
		return choose_sparse(s, e);
	}
	RN_TRY(forget_width(s, spec, e));
	rc = rn_source_cols_choose(&s->listed, s->in, s->to_emb, e);
	if (rc)
		return rn_err_prefix(e, rc, "%s: --emb", s->path);
	count_listed(s);
	text = find_text(s);
	if (text != SIZE_MAX)
		return choose_text(s, text, e);
	s->emb = EMB_COLS;
	return 0;
}

/* "FILE.npz" or "FILE.npz:NAME"? */
static bool find_archive(const char *spec, const char **name)
{
	const char *at = strstr(spec, ".npz:");

	*name = at ? at + 5 : NULL;
	return at || ends_with(spec, ".npz");
}

static bool embeds(const void *arg, const char *column)
{
	const struct rn_source *s = arg;

	return rn_source_cols_has(&s->listed, column);
}

/* "COL:WIDTH"? */
static int find_width(struct rn_source *s, const char *spec, struct rn_err *e)
{
	const char *at = strrchr(spec, ':');
	unsigned long n;
	char *end;

	if (!at || at == spec || at[1] < '0' || at[1] > '9')
		return 0;
	n = strtoul(at + 1, &end, 10);
	if (*end)
		return 0;
	if (n < 1 || n > RN_ER_MAX_WIDTH)
		return rn_err_set(e, RN_EUSAGE, "--emb %s: a sparse embedding has a width from 1 to %d", spec,
				  RN_ER_MAX_WIDTH);
	s->sparse = strndup(spec, (size_t)(at - spec));
	if (!s->sparse)
		return rn_err_nomem(e, strlen(spec), "a name");
	s->array.known = s->array.sparse = true;
	s->array.shape = (struct rn_shape){ 1, { (uint32_t)n } };
	return 0;
}

/* Before the table is opened, whose reader is to look at arrays. */
static int open_array(struct rn_source *s, struct rn_err *e)
{
	const char *spec = rn_node_string(s->node, "emb"), *name;

	if (!spec || !strncmp(spec, "ones:", 5) || find_archive(spec, &name) || ends_with(spec, ".npy"))
		return 0;
	s->array = (struct rn_array_column){ .embeds = embeds, .arg = s };
	RN_TRY(find_width(s, spec, e));
	return rn_source_cols_init(&s->listed, s->sparse ? s->sparse : spec, e);
}

static int open_embedding(struct rn_source *s, const char *dir, struct rn_err *e)
{
	const char *spec = rn_node_string(s->node, "emb");
	struct rn_str path = RN_STR_INIT;
	const char *name = NULL;
	struct rn_io *io;
	bool archive;
	int rc;

	if (!spec)
		return 0;
	if (!strncmp(spec, "ones:", 5)) {
		char *end;
		unsigned long n = strtoul(spec + 5, &end, 10);

		if (*end || end == spec + 5 || n < 1 || n > 1 << 24)
			return rn_err_set(e, RN_EUSAGE, "--emb ones:N wants a width from 1 to %d, not '%s'", 1 << 24,
					  spec + 5);
		s->width = (uint32_t)n;
		s->emb = EMB_ONES;
		return 0;
	}
	archive = find_archive(spec, &name);
	if (!archive && !ends_with(spec, ".npy"))
		return choose_columns(s, spec, e);
	s->emb = EMB_NPY;
	rn_path_print(dir, spec, &path);
	if (name && !path.failed) /* without ":NAME" */
		path.s[path.len - strlen(name) - 1] = '\0';
	rc = rn_str_check(&path, e);
	if (!rc)
		rc = rn_io_open_read(path.s, &io, e);
	if (!rc)
		rc = archive ? rn_npz_open(io, name, &io, e) : 0;
	if (!rc)
		rc = rn_npy_open(io, &s->npy, e);
	rn_str_fini(&path);
	return rc;
}

static int make_schema(struct rn_source *s, struct rn_err *e)
{
	const char *row_id = rn_node_string(s->node, "row-id");
	const json_t *key = rn_node_json(s->node, "key");
	struct rn_shape shape = { 1, { s->width } };

	if (row_id)
		RN_TRY(rn_schema_add_col(&s->out, row_id, NULL, RN_INT64, e));
	for (size_t i = 0; i < s->in->ncols; i++) {
		const struct rn_field *f = &s->in->cols[i];

		if (row_id && !strcmp(f->name, row_id))
			return rn_err_set(e, RN_EUSAGE, "%s: --row-id: there is a column '%s' already", s->path, row_id);
		if (!s->to_emb || !s->to_emb[i])
			RN_TRY(rn_schema_add_col(&s->out, f->name, f->qual, f->type, e));
	}
	if (s->emb == EMB_NPY)
		RN_TRY(rn_schema_add_part(&s->out, "z", rn_npy_shape(s->npy), false, e));
	else if (s->emb == EMB_PART)
		RN_TRY(rn_schema_add_part(&s->out, "z", &s->in->parts[s->part].shape,
					  s->in->parts[s->part].sparse, e));
	else if (s->emb)
		RN_TRY(rn_schema_add_part(&s->out, "z", s->emb == EMB_TEXT ? &s->array.shape : &shape,
					  s->emb == EMB_TEXT && s->array.sparse, e));
	for (size_t i = 0; !s->emb && i < s->in->nparts; i++)
		RN_TRY(rn_schema_add_part(&s->out, s->in->parts[i].name, &s->in->parts[i].shape,
					  s->in->parts[i].sparse, e));
	s->out.nkey = json_array_size(key);
	RN_TRY(rn_calloc(s->out.nkey, sizeof *s->out.key, "a key", &s->out.key, e));
	for (size_t i = 0; i < s->out.nkey; i++) {
		size_t at;

		int rc = rn_schema_find(&s->out, json_string_value(json_array_get(key, i)), &at, e);

		if (rc)
			return rn_err_prefix(e, rc, "%s: --key", s->path);
		s->out.key[i] = (uint32_t)at;
	}
	return s->node->name ? rn_schema_set_name(&s->out, s->node->name, e) : 0;
}

/* ---- a schema from a file ----------------------------------------------------------- */

static int load_schema(const char *path, json_t **out, struct rn_err *e)
{
	struct rn_str text = RN_STR_INIT;
	struct rn_io *io;
	size_t got = 0;
	char piece[4096];
	int rc;

	RN_TRY(rn_io_open_read(path, &io, e));
	do {
		rc = io->ops->read(io, piece, sizeof piece, &got, e);
		if (!rc)
			rn_str_addn(&text, piece, got);
	} while (!rc && got == sizeof piece && text.len < MAX_SCHEMA);
	io->ops->abort(io);
	if (!rc)
		rc = rn_str_check(&text, e);
	if (!rc)
		rc = rn_json_load(text.s, text.len, path, RN_EUSAGE, out, e);
	rn_str_fini(&text);
	return rc;
}

static int check_schema(const json_t *j, const char *path, struct rn_err *e)
{
	json_t *columns = json_object_get(j, "columns"), *key = json_object_get(j, "key"), *v;
	const char *name;
	enum rn_type t;
	size_t i;

	json_object_foreach((json_t *)j, name, v)
		if (strcmp(name, "columns") && strcmp(name, "key"))
			return rn_err_set(e, RN_EUSAGE, "%s: /%s: unknown key (there are columns and key)",
					  path, name);
	if (!json_object_size(columns))
		return rn_err_set(e, RN_EUSAGE,
				  "%s: \"columns\" must be an object like {\"id\": \"int64\"}", path);
	json_object_foreach(columns, name, v)
		if (!json_is_string(v) || rn_type_parse(json_string_value(v), &t))
			return rn_err_set(e, RN_EUSAGE,
					  "%s: /columns/%s: wants int64, float64, bool, string or timestamp",
					  path, name);
	if (key && !json_is_array(key))
		return rn_err_set(e, RN_EUSAGE, "%s: /key: wants an array of names", path);
	json_array_foreach(key, i, v)
		if (!json_is_string(v))
			return rn_err_set(e, RN_EUSAGE, "%s: /key: wants an array of names", path);
	return 0;
}

/* --columns: the members of `columns`. */
static int set_names(json_t *opt, json_t *columns, struct rn_err *e)
{
	json_t *names, *v;
	const char *name;
	int rc = 0;

	RN_TRY(rn_json_array(&names, e));
	json_object_foreach(columns, name, v)
		if (!rc)
			rc = rn_json_append(names, json_string(name), e);
	if (!rc)
		return rn_json_set(opt, "columns", names, e);
	json_decref(names);
	return rc;
}

/* The options that the schema stands for, where they are not given themselves: --types,
 * --key, and --columns of a file without a header.  What the node adds is no column of the
 * file. */
static int apply_schema(json_t *opt, const json_t *j, bool header, struct rn_err *e)
{
	static const char *const added[] = { "row-id", "file-col" };
	json_t *types, *v, *key = json_object_get(j, "key");
	const char *name;
	int rc = 0;

	RN_TRY(rn_json_copy(json_object_get(j, "columns"), &types, e));
	for (size_t i = 0; i < sizeof added / sizeof *added; i++)
		if (json_object_get(opt, added[i]))
			(void)json_object_del(types, json_string_value(json_object_get(opt, added[i])));
	if (!header && !json_object_get(opt, "columns"))
		rc = set_names(opt, types, e);
	json_object_foreach(json_object_get(opt, "types"), name, v)
		if (!rc && json_object_set(types, name, v))
			rc = rn_err_nomem(e, 1, "types");
	if (rc) {
		json_decref(types);
		return rc;
	}
	RN_TRY(rn_json_set(opt, "types", types, e));
	if (json_array_size(key) && !json_object_get(opt, "key"))
		RN_TRY(rn_json_set(opt, "key", json_incref(key), e));
	return 0;
}

static int open_schema(struct rn_source *s, const char *dir, struct rn_err *e)
{
	const char *file = rn_node_string(s->node, "schema");
	struct rn_str path = RN_STR_INIT;
	json_t *j = NULL;
	int rc;

	if (!file)
		return 0;
	rn_path_print(dir, file, &path);
	RN_GOTO(out, rn_str_check(&path, e));
	RN_GOTO(out, load_schema(path.s, &j, e));
	RN_GOTO(out, check_schema(j, path.s, e));
	s->own = *s->node;
	RN_GOTO(out, rn_json_copy(s->node->opt, &s->own.opt, e));
	s->node = &s->own;
	rc = apply_schema(s->own.opt, j, rn_node_flag(s->node, "header"), e);
out:
	json_decref(j);
	rn_str_fini(&path);
	return rc;
}

/* The file may have no column that the schema lacks, unless it becomes the embedding. */
static int check_known(const struct rn_source *s, struct rn_err *e)
{
	const json_t *types = rn_node_json(s->node, "types");
	const char *file_col = rn_node_string(s->node, "file-col");

	for (size_t i = 0; s->node == &s->own && i < s->in->ncols; i++) {
		const char *name = s->in->cols[i].name;

		if (s->to_emb && s->to_emb[i])
			continue;
		if (!json_object_get(types, name) && !(file_col && !strcmp(file_col, name)))
			return rn_err_set(e, RN_EUSAGE, "%s: column '%s' is not in the schema '%s'",
					  s->path, name, rn_node_string(s->node, "schema"));
	}
	return 0;
}

/* ---- life ------------------------------------------------------------------------------ */

static int open_source(const struct rn_ctx *c, const struct rn_node *n, const char *dir, bool first,
		       struct rn_source **out, struct rn_err *e)
{
	const char *from = rn_node_string(n, "from");
	struct rn_str path = RN_STR_INIT;
	struct rn_source *s;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *s, "a source", &s, e));
	s->ctx = c;
	s->node = n;
	rn_path_print(dir, from, &path);
	s->path = rn_str_take(&path, e);
	rc = s->path ? open_schema(s, dir, e) : RN_ENOMEM;
	if (!rc)
		rc = open_array(s, e);
	if (!rc)
		rc = rn_tables_open(c, s->node, s->path, dir, first, s->array.embeds ? &s->array : NULL,
				    &s->tables, e);
	if (!rc) {
		s->in = rn_tables_schema(s->tables);
		rc = open_embedding(s, dir, e);
	}
	if (!rc)
		rc = check_known(s, e);
	if (!rc)
		rc = make_schema(s, e);
	if (!rc && s->out.nkey)
		rc = rn_key_check_open(c, s->path, &s->out, &s->key, e);
	if (rc)
		rn_source_close(s);
	else
		*out = s;
	return rc;
}

int rn_source_open(const struct rn_ctx *c, const struct rn_node *n, const char *dir,
		   struct rn_source **out, struct rn_err *e)
{
	return open_source(c, n, dir, false, out, e);
}

int rn_source_open_first(const struct rn_ctx *c, const struct rn_node *n, const char *dir,
			 struct rn_source **out, struct rn_err *e)
{
	return open_source(c, n, dir, true, out, e);
}

void rn_source_close(struct rn_source *s)
{
	if (!s)
		return;
	rn_tables_close(s->tables);
	rn_rel_unref(s->ahead);
	if (s->node == &s->own)
		json_decref(s->own.opt);
	rn_key_check_close(s->key);
	free(s->to_emb);
	free(s->sparse);
	rn_source_cols_fini(&s->listed);
	rn_array_reader_fini(&s->reader);
	rn_npy_close(s->npy);
	rn_schema_fini(&s->out);
	free(s->path);
	free(s);
}

const struct rn_schema *rn_source_schema(const struct rn_source *s)
{
	return &s->out;
}

/* ---- blocks ------------------------------------------------------------------------- */

static float as_float(const struct rn_column *c, uint64_t i)
{
	switch (c->type) {
	case RN_FLOAT64:
		return (float)c->f64[i];
	case RN_BOOL:
		return c->b[i];
	case RN_TIMESTAMP:
		return (float)((double)c->i64[i] * 1e-6);
	case RN_STRING: /* of NULLs only */
		return 0;
	default:
		return (float)c->i64[i];
	}
}

/* What a reader of text has found to be good is so; of others the first bad row is told. */
static int read_arrays(struct rn_source *s, const struct rn_rel *b, struct rn_tensor **out, struct rn_err *e)
{
	const struct rn_column *c = b->cols[s->part];
	struct rn_str what = RN_STR_INIT;
	const char *text;
	uint64_t bad;
	size_t n;
	int rc;

	RN_TRY(rn_array_rows(&s->reader, &s->array, c, &bad, out, e));
	if (*out)
		return 0;
	text = text_at(c, bad, &n);
	rn_array_tell(&s->array, s->reader.fault, text, n, &what);
	rc = rn_str_check(&what, e);
	if (!rc)
		rc = rn_err_set(e, RN_EDATA, "%s: row %" PRIu64 " (rows count from 0): column '%s' %s", s->path,
				s->rows + bad, s->in->cols[s->part].name, what.s);
	rn_str_fini(&what);
	return rc;
}

/* The embedding of a block's rows, *out owned. */
static int embedding(struct rn_source *s, const struct rn_rel *b, struct rn_tensor **out,
		     struct rn_err *e)
{
	struct rn_shape shape = { 1, { s->width } };
	uint32_t k = 0;

	if (s->emb == EMB_NPY) {
		if (s->rows + b->rows > rn_npy_rows(s->npy))
			return rn_err_set(e, RN_EDATA, "%s has more rows than %s, which has %" PRIu64, s->path,
					  rn_node_string(s->node, "emb"), rn_npy_rows(s->npy));
		return rn_npy_next(s->npy, b->rows, out, e);
	}
	if (s->emb == EMB_TEXT)
		return read_arrays(s, b, out, e);
	RN_TRY(rn_tensor_new(&shape, b->rows, out, e));
	if (s->emb == EMB_ONES)
		for (uint64_t i = 0; i < b->rows * s->width; i++)
			(*out)->data[i] = 1;
	for (size_t c = 0; s->emb == EMB_COLS && c < s->in->ncols; c++) {
		if (!s->to_emb[c])
			continue;
		for (uint64_t i = 0; i < b->rows; i++) {
			float z = as_float(b->cols[c], i);

			(*out)->data[i * s->width + k] = z;
			s->large += isinf(z) && !isinf(b->cols[c]->f64[i]); /* of float64 alone */
		}
		s->nulls += b->cols[c]->nulls;
		k++;
	}
	return 0;
}

static int row_numbers(struct rn_source *s, struct rn_rel *r, uint64_t n, struct rn_err *e)
{
	const char *name = rn_node_string(s->node, "row-id");
	struct rn_column *c;

	if (!name)
		return 0;
	RN_TRY(rn_column_new(RN_INT64, n, &c, e));
	for (uint64_t i = 0; i < n; i++)
		c->i64[i] = (int64_t)(s->rows + i);
	return rn_rel_add_col(r, name, NULL, c, e);
}

static int make_block(struct rn_source *s, const struct rn_rel *b, struct rn_rel **out,
		      struct rn_err *e)
{
	struct rn_tensor *t;
	struct rn_rel *r;
	int rc;

	RN_TRY(rn_rel_new(s->node->name, b->rows, &r, e));
	RN_GOTO(fail, row_numbers(s, r, b->rows, e));
	for (size_t i = 0; i < s->in->ncols; i++)
		if (!s->to_emb || !s->to_emb[i])
			RN_GOTO(fail, rn_rel_add_col(r, s->in->cols[i].name, s->in->cols[i].qual,
						     rn_column_ref(b->cols[i]), e));
	if (s->emb == EMB_PART) {
		const struct rn_part *z = &b->parts[s->part];

		RN_GOTO(fail, rn_rel_add_part(r, "z", rn_tensor_ref(z->t), rn_buf_ref(z->map), e));
	} else if (s->emb) {
		RN_GOTO(fail, embedding(s, b, &t, e));
		RN_GOTO(fail, rn_rel_add_part(r, "z", t, NULL, e));
	}
	for (size_t i = 0; !s->emb && i < s->in->nparts; i++)
		RN_GOTO(fail, rn_rel_add_part(r, s->in->parts[i].name, rn_tensor_ref(b->parts[i].t),
					      rn_buf_ref(b->parts[i].map), e));
	RN_GOTO(fail, rn_calloc(s->out.nkey, sizeof *r->schema.key, "a key", &r->schema.key, e));
	r->schema.nkey = s->out.nkey;
	if (s->out.nkey)
		memcpy(r->schema.key, s->out.key, s->out.nkey * sizeof *s->out.key);
	if (s->key)
		RN_GOTO(fail, rn_key_check_add(s->key, r, e));
	s->rows += b->rows;
	*out = r;
	return 0;
fail:
	rn_rel_unref(r);
	return rc;
}

/* ---- the end: do the rows fit the matrix, is the key unique ---------------------------- */

static int end(struct rn_source *s, struct rn_err *e)
{
	if (s->ended)
		return 0;
	s->ended = true;
	s->nulls += s->reader.nulls;
	s->large += s->reader.large;
	if (s->nulls)
		rn_log(s->ctx, RN_LOG_WARN, "%s: %" PRIu64 " NULLs are embedded as 0", s->path, s->nulls);
	if (s->large)
		rn_log(s->ctx, RN_LOG_WARN, "%s: %" PRIu64 " values are more than a float32 holds, and "
		       "embedded as infinity", s->path, s->large);
	if (s->npy && s->rows != rn_npy_rows(s->npy))
		return rn_err_set(e, RN_EDATA, "%s has %" PRIu64 " rows and %s has %" PRIu64, s->path, s->rows,
				  rn_node_string(s->node, "emb"), rn_npy_rows(s->npy));
	if (s->npy)
		RN_TRY(rn_npy_end(s->npy, e));
	return s->key ? rn_key_check_end(s->key, e) : 0;
}

int rn_source_block(struct rn_source *s, struct rn_rel **out, struct rn_err *e)
{
	struct rn_rel *b;
	int rc;

	*out = NULL;
	b = s->ahead;
	s->ahead = NULL;
	if (!b)
		RN_TRY(rn_tables_block(s->tables, &b, e));
	if (!b)
		return end(s, e);
	rc = make_block(s, b, out, e);
	rn_rel_unref(b);
	return rc;
}

uint64_t rn_source_spilled(const struct rn_source *s)
{
	return s->key ? rn_key_check_spilled(s->key) : 0;
}

uint64_t rn_source_hash(const struct rn_source *s)
{
	return rn_tables_hash(s->tables);
}

int rn_source_read(const struct rn_ctx *c, const struct rn_node *n, const char *dir,
		   struct rn_rel **out, uint64_t *hash, struct rn_err *e)
{
	struct rn_rel **blocks = NULL, *b;
	size_t nblocks = 0, cap = 0;
	struct rn_source *s;
	int rc;

	RN_TRY(rn_source_open(c, n, dir, &s, e));
	while (!(rc = rn_source_block(s, &b, e)) && b) {
		rc = rn_grow(&blocks, &cap, nblocks + 1, sizeof(struct rn_rel *), "blocks", e);
		if (rc) {
			rn_rel_unref(b);
			break;
		}
		blocks[nblocks++] = b;
	}
	if (!rc)
		rc = rn_rel_concat(&s->out, blocks, nblocks, out, e);
	if (!rc && hash)
		*hash = rn_source_hash(s);
	for (size_t i = 0; i < nblocks; i++)
		rn_rel_unref(blocks[i]);
	free(blocks);
	rn_source_close(s);
	return rc;
}
