/* SPDX-License-Identifier: Apache-2.0
 *
 * One table of a source: text, a stream file, or a table of a database.
 */
#include "../../formats/container.h"
#include "../../formats/csv.h"
#include "../../formats/database.h"
#include "../../formats/npy.h"
#include "../../formats/peek.h"
#include "source.h"
#include "stream.h"

#include <stdlib.h>
#include <string.h>

enum format { CSV, TSV, JSONL, ER };

static const struct {
	const char *name, *end;
	enum format format;
} formats[] = {
	{ "csv", ".csv", CSV },       { "tsv", ".tsv", TSV }, { "jsonl", ".jsonl", JSONL },
	{ "jsonl", ".ndjson", JSONL }, { "er", ".er", ER },    { "er", ".rnm", ER },
};

/* By the end of the name, .zst and .gz looked through; *stem: what is before it. */
static bool format_of_path(const char *path, enum format *out, size_t *stem)
{
	size_t n = strlen(path);

	if (n > 4 && !strcmp(path + n - 4, ".zst"))
		n -= 4;
	else if (n > 3 && !strcmp(path + n - 3, ".gz"))
		n -= 3;
	for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
		size_t k = strlen(formats[i].end);

		if (n > k && !memcmp(path + n - k, formats[i].end, k)) {
			*out = formats[i].format;
			*stem = n - k;
			return true;
		}
	}
	return false;
}

bool rn_table_known(const char *path, size_t *stem)
{
	enum format f;

	/* A model holds no table. */
	return format_of_path(path, &f, stem) && strncmp(path + *stem, ".rnm", 4) != 0;
}

static enum format format_of(const struct rn_node *n, const char *path)
{
	const char *name = rn_node_string(n, "format");
	enum format f = CSV;
	size_t stem;

	for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
		if (!strcmp(formats[i].name, name))
			return formats[i].format;
	(void)format_of_path(path, &f, &stem);
	return f;
}

void rn_table_close(struct rn_table *t)
{
	struct rn_schema s;

	if (!t)
		return;
	s = t->schema;
	t->close(t);
	rn_schema_fini(&s);
}

/* ---- text ---------------------------------------------------------------------------- */

struct text {
	struct rn_table t;
	struct rn_csv_reader *csv;
	const struct rn_ctx *ctx;
	uint64_t rows;
};

static int text_block(struct rn_table *t, struct rn_rel **out, struct rn_err *e)
{
	struct text *x = (struct text *)t;
	uint64_t done, total;

	RN_TRY(rn_csv_block(x->csv, out, e));
	if (!*out)
		return 0;
	x->rows += (*out)->rows;
	rn_csv_progress(x->csv, &done, &total);
	rn_ctx_progress(x->ctx, done, total, x->rows);
	return 0;
}

static bool text_untyped(const struct rn_table *t, size_t col)
{
	return rn_csv_untyped(((const struct text *)t)->csv, col);
}

static int text_retype(struct rn_table *t, const enum rn_type *types, struct rn_err *e)
{
	RN_TRY(rn_csv_retype(((struct text *)t)->csv, types, e));
	for (size_t i = 0; i < t->schema.ncols; i++)
		if (types[i] != RN_NTYPES)
			t->schema.cols[i].type = types[i];
	return 0;
}

static uint64_t text_hash(const struct rn_table *t)
{
	return rn_csv_hash(((const struct text *)t)->csv);
}

static void text_close(struct rn_table *t)
{
	rn_csv_close(((struct text *)t)->csv);
	free(t);
}

/* The texts of a list, borrowed from it: *out owned. */
static int strings_of(const json_t *list, const char *const **out, size_t *n, struct rn_err *e)
{
	const char **s;

	*n = json_array_size(list);
	RN_TRY(rn_calloc(*n, sizeof *s, "a list", &s, e));
	for (size_t i = 0; i < *n; i++)
		s[i] = json_string_value(json_array_get(list, i));
	*out = s;
	return 0;
}

/* The options of a text table.  free_options frees what they point to, also after an
 * error. */
static int text_options(const struct rn_ctx *c, const struct rn_node *n, json_t *types,
			struct rn_csv_opt *opt, struct rn_err *e)
{
	const char *delimiter = rn_node_string(n, "delimiter"), **names, *name;
	const char *comment = rn_node_string(n, "comment");
	enum rn_type *ts;
	json_t *v;

	opt->no_header = !rn_node_flag(n, "header");
	opt->skip_bad = rn_node_flag(n, "skip-bad");
	opt->block_rows = c->block_rows;
	if (delimiter && !rn_csv_delimiter(delimiter, &opt->delimiter))
		return rn_err_set(e, RN_EBUG, "a delimiter that was not checked");
	opt->comment = comment ? *comment : '\0';
	RN_TRY(strings_of(rn_node_json(n, "columns"), &opt->names, &opt->nnames, e));
	RN_TRY(strings_of(rn_node_json(n, "null"), &opt->null, &opt->nnull, e));
	RN_TRY(rn_calloc(json_object_size(types), sizeof *names, "types", &names, e));
	opt->type_names = names;
	RN_TRY(rn_calloc(json_object_size(types), sizeof *ts, "types", &ts, e));
	opt->types = ts;
	json_object_foreach(types, name, v) {
		names[opt->ntypes] = name;
		if (rn_type_parse(json_string_value(v), &ts[opt->ntypes++]))
			return rn_err_set(e, RN_EUSAGE, "--types: '%s' is no type",
					  json_string_value(v));
	}
	return 0;
}

static void free_options(struct rn_csv_opt *opt)
{
	free((void *)opt->names);
	free((void *)opt->null);
	free((void *)opt->type_names);
	free((void *)opt->types);
}

static int open_text(const struct rn_ctx *c, const struct rn_node *n, struct rn_io *io,
		     enum format format, json_t *types, bool first, struct rn_array_column *array,
		     struct rn_table **out, struct rn_err *e)
{
	struct rn_csv_opt opt = {
		.kind = format == JSONL ? RN_TEXT_JSONL : format == TSV ? RN_TEXT_TSV : RN_TEXT_CSV,
		.first = first,
		.array = array,
	};
	struct text *t = NULL;
	int rc;

	RN_GOTO(fail, text_options(c, n, types, &opt, e));
	RN_GOTO(fail, rn_calloc(1, sizeof *t, "a table", &t, e));
	t->t = (struct rn_table){ .block = text_block, .untyped = text_untyped, .retype = text_retype,
				  .hash = text_hash, .close = text_close };
	t->ctx = c;
	rc = rn_csv_open(c, io, &opt, &t->csv, e);
	io = NULL;
	if (!rc)
		rc = rn_schema_copy(rn_csv_schema(t->csv), &t->t.schema, e);
fail:
	free_options(&opt);
	if (io)
		io->ops->abort(io);
	if (rc && t)
		rn_table_close(&t->t);
	else if (!rc)
		*out = &t->t;
	return rc;
}

/* ---- streams -------------------------------------------------------------------------- */

struct stream {
	struct rn_table t;
	struct rn_reader *er;
};

static int stream_block(struct rn_table *t, struct rn_rel **out, struct rn_err *e)
{
	struct rn_reader *er = ((struct stream *)t)->er;
	const struct rn_schema *more;

	RN_TRY(rn_reader_block(er, out, e));
	if (*out)
		return 0;
	RN_TRY(rn_reader_section(er, &more, e)); /* END, and its checksum */
	return more ? rn_err_set(e, RN_EUSAGE, "%s is a plan or a model, not one relation", t->path) :
		      0;
}

static uint64_t stream_hash(const struct rn_table *t)
{
	(void)t;
	return 0; /* it has a checksum of its own */
}

static void stream_close(struct rn_table *t)
{
	rn_reader_close(((struct stream *)t)->er);
	free(t);
}

static int open_stream(const struct rn_ctx *c, struct rn_io *io, const char *path,
		       struct rn_table **out, struct rn_err *e)
{
	const struct rn_schema *schema;
	struct stream *s;
	json_t *header = NULL;
	bool deferred = false;
	int rc;

	rc = rn_calloc(1, sizeof *s, "a table", &s, e);
	if (rc) {
		io->ops->abort(io);
		return rc;
	}
	s->t = (struct rn_table){ .block = stream_block, .hash = stream_hash, .close = stream_close };
	rc = rn_reader_open(io, &s->er, e);
	if (!rc) {
		rn_reader_set_team(s->er, c->team);
		rc = rn_stream_header(s->er, path, &header, &deferred, e); /* no model */
	}
	json_decref(header);
	if (!rc && deferred)
		rc = rn_err_set(e, RN_EUSAGE, "%s is a plan that has not run, and holds no rows of its own: "
				"train it with rn-train", path);
	if (!rc)
		rc = rn_reader_section(s->er, &schema, e);
	if (!rc && !schema)
		rc = rn_err_set(e, RN_EDATA, "%s: the stream holds no relation", path);
	if (!rc)
		rc = rn_schema_copy(schema, &s->t.schema, e);
	if (rc)
		rn_table_close(&s->t);
	else
		*out = &s->t;
	return rc;
}

/* ---- databases ------------------------------------------------------------------------ */

struct database {
	struct rn_table t;
	struct rn_db_reader *r;
};

static int database_block(struct rn_table *t, struct rn_rel **out, struct rn_err *e)
{
	struct rn_db_reader *r = ((struct database *)t)->r;

	return r->block(r, out, e);
}

static bool database_untyped(const struct rn_table *t, size_t col)
{
	const struct rn_db_reader *r = ((const struct database *)t)->r;

	return r->untyped && r->untyped(r, col);
}

static uint64_t database_hash(const struct rn_table *t)
{
	const struct rn_db_reader *r = ((const struct database *)t)->r;

	return r->hash(r);
}

static void database_close(struct rn_table *t)
{
	rn_db_close(((struct database *)t)->r);
	free(t);
}

static int open_database(const struct rn_ctx *c, const struct rn_node *n, const char *path,
			 struct rn_table **out, struct rn_err *e)
{
	struct database *d;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *d, "a table", &d, e));
	d->t = (struct rn_table){ .block = database_block, .untyped = database_untyped,
				  .hash = database_hash, .close = database_close };
	rc = rn_db_open(c, path, rn_node_string(n, "query"), &d->r, e);
	if (!rc)
		rc = rn_schema_copy(&d->r->schema, &d->t.schema, e);
	if (rc)
		rn_table_close(&d->t);
	else
		*out = &d->t;
	return rc;
}

/* ---- whichever ------------------------------------------------------------------------- */

/* Options that say how text is read, of something that is none. */
static int check_text_options(const struct rn_node *n, const char *path, bool json,
			      struct rn_err *e)
{
	static const char *const text[] = { "delimiter", "comment", "columns", "null", "header",
					    "skip-bad", "schema",  "types" };

	for (size_t i = 0; i < sizeof text / sizeof *text - (json ? 3 : 0); i++)
		if (json_object_get(n->opt, text[i]))
			return rn_err_set(e, RN_EUSAGE, "--%s is for %s, and '%s' is not", text[i],
					  json || i < 5 ? "CSV and TSV" : "text", path);
	return 0;
}

static void skip_blanks(const char **p, const char *end)
{
	while (*p < end && strchr(" \t\r\n", **p) && **p)
		(*p)++;
}

/* Does text begin with a JSON object, or an array of them, and no option say that it is CSV?  Of a
 * longer text p has the first RN_PEEK_MAX bytes; what CSV begins with so many blanks? */
static bool begins_as_json(const struct rn_node *node, const char *p, size_t n)
{
	static const char *const separated[] = { "delimiter", "comment", "columns", "null", "header" };
	const char *end = p + n;
	char first;

	for (size_t i = 0; i < sizeof separated / sizeof *separated; i++)
		if (json_object_get(node->opt, separated[i]))
			return false;
	if (n > 3 && !memcmp(p, "\xEF\xBB\xBF", 3))
		p += 3;
	skip_blanks(&p, end);
	if (p == end)
		return n == RN_PEEK_MAX;
	first = *p++;
	if (first != '{' && first != '[')
		return false;
	skip_blanks(&p, end);
	if (p == end)
		return n == RN_PEEK_MAX;
	return first == '[' ? *p == '{' : *p == '"' || *p == '}';
}

/* What has no name that says its format, as standard input: is it a stream, or JSON?  A matrix
 * is no table, but what --emb reads. */
static int sniff(const struct rn_node *node, struct rn_io **io, const char *path, enum format *format,
		 struct rn_err *e)
{
	char magic[RN_PEEK_MAX];
	size_t n = sizeof magic;

	RN_TRY(rn_io_peek(io, magic, &n, e));
	if (rn_container_magic(magic, n))
		*format = ER;
	else if (begins_as_json(node, magic, n))
		*format = JSONL;
	if (!rn_npy_magic(magic, n))
		return 0;
	(*io)->ops->abort(*io);
	return rn_err_set(e, RN_EUSAGE,
			  "'%s' is a matrix and no table: give it to one, as in rn-scan TABLE --emb "
			  "%s",
			  strcmp(path, "-") ? path : "standard input",
			  strcmp(path, "-") ? path : "FILE");
}

int rn_table_open(const struct rn_ctx *c, const struct rn_node *n, const char *path, bool first,
		  json_t *types, struct rn_array_column *array, struct rn_table **out, struct rn_err *e)
{
	bool database = rn_db_is_name(path), unnamed = !strcmp(rn_node_string(n, "format"), "auto");
	enum format format = format_of(n, path), named;
	struct rn_io *io;
	size_t stem;

	unnamed = unnamed && !format_of_path(path, &named, &stem);

	if (database || format == ER || format == JSONL)
		RN_TRY(check_text_options(n, path, !database && format == JSONL, e));
	if (database) {
		RN_TRY(open_database(c, n, path, out, e));
		(*out)->path = path;
		return 0;
	}
	if (rn_node_string(n, "query"))
		return rn_err_set(e, RN_EUSAGE, "--query is for databases (sqlite:FILE or postgresql://HOST/DB), and "
				  "'%s' is none", path);
	if (!types)
		types = (json_t *)rn_node_json(n, "types");
	RN_TRY(rn_io_open_until(path, c->stop, &io, e));
	if (unnamed)
		RN_TRY(sniff(n, &io, path, &format, e));
	if (unnamed && format == ER) {
		int rc = check_text_options(n, path, false, e);

		if (rc) {
			io->ops->abort(io);
			return rc;
		}
	}
	if (format == ER)
		RN_TRY(open_stream(c, io, path, out, e));
	else
		RN_TRY(open_text(c, n, io, format, types, first, array, out, e));
	(*out)->path = path;
	return 0;
}
