/* SPDX-License-Identifier: Apache-2.0
 *
 * rn-info: what is in a stream or a model.  All of it is read, so every
 * checksum has been verified when anything is printed, and the values have been
 * counted on the way.
 */
#include "../formats/container_format.h"
#include "../lib/base/json.h"
#include "../lib/base/uri.h"
#include "../lib/exec/stream.h"
#include "info_text.h"
#include "profile.h"
#include "rows.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct rn_opt opts[] = {
	{ .name = "json", .type = RN_OPT_FLAG, .help = "print one JSON object" },
	{ .name = "values", .type = RN_OPT_FLAG, .dflt = "true",
	  .help = "ranges, NULLs, distinct and frequent values, lengths of embeddings" },
	{ .name = "schema", .type = RN_OPT_FLAG,
	  .help = "print the columns' names and types and the key, for rn-scan --schema" },
};

static const char *const examples[] = {
	"rn-scan paper.csv | rn-info",
	"rn-info gcn.rnm --json",
	NULL,
};

static const struct rn_tool tool = {
	.name = "rn-info",
	.what = "tell what is in a stream or a model, and verify it",
	.usage = "[FILE]",
	.examples = examples,
	.see_also = "rn-cat(1), rn-explain(1), rn_er(5)",
	RN_CLI_OPTS(opts),
	.min_in = 1,
	.max_in = 1,
};

/* ---- facts: one JSON object, from which the text is made ------------------------------- */

static int column_facts(const struct rn_schema *s, size_t i, json_t *list, struct rn_err *e)
{
	struct rn_str name = RN_STR_INIT;
	json_t *o = json_object();
	bool key = false;
	int rc;

	for (size_t k = 0; k < s->nkey; k++)
		key |= s->key[k] == i;
	RN_TRY(rn_json_append(list, o, e));
	rn_schema_col_name(s, i, &name);
	rc = rn_str_check(&name, e);
	if (!rc)
		rc = rn_json_set_text(o, "name", name.s, e);
	rn_str_fini(&name);
	if (!rc)
		rc = rn_json_set_text(o, "type", rn_type_name(s->cols[i].type), e);
	if (!rc && key)
		rc = rn_json_set(o, "key", json_true(), e);
	return rc;
}

static int part_facts(const struct rn_part_info *p, json_t *list, struct rn_err *e)
{
	json_t *shape = json_array();
	json_t *o = json_pack("{sssosb}", "name", p->name, "shape", shape, "sparse",
			      (int)p->sparse);

	RN_TRY(rn_json_append(list, o, e));
	for (uint32_t i = 0; i < p->shape.rank; i++)
		RN_TRY(rn_json_append(shape, json_integer(p->shape.dim[i]), e));
	return 0;
}

static int schema_facts(const struct rn_schema *s, json_t *o, struct rn_err *e)
{
	json_t *cols, *parts;

	RN_TRY(rn_json_set(o, "name", s->name ? json_string(s->name) : json_null(), e));
	cols = json_array();
	RN_TRY(rn_json_set(o, "columns", cols, e));
	for (size_t i = 0; i < s->ncols; i++)
		RN_TRY(column_facts(s, i, cols, e));
	parts = json_array();
	RN_TRY(rn_json_set(o, "parts", parts, e));
	for (size_t i = 0; i < s->nparts; i++)
		RN_TRY(part_facts(&s->parts[i], parts, e));
	return 0;
}

static int storage_facts(const struct rn_section_stats *st, json_t *o, struct rn_err *e)
{
	json_t *enc;

	RN_TRY(rn_json_set(o, "rows", json_integer((json_int_t)st->rows), e));
	RN_TRY(rn_json_set(o, "blocks", json_integer((json_int_t)st->blocks), e));
	RN_TRY(rn_json_set(o, "raw_bytes", json_integer((json_int_t)st->raw_bytes), e));
	RN_TRY(rn_json_set(o, "stored_bytes", json_integer((json_int_t)st->stored_bytes), e));
	enc = json_object();
	RN_TRY(rn_json_set(o, "encodings", enc, e));
	for (unsigned k = 0; k < 16; k++)
		if (st->encodings[k] && rn_encoding_name(k))
			RN_TRY(rn_json_set(enc, rn_encoding_name(k),
					   json_integer((json_int_t)st->encodings[k]), e));
	return 0;
}

/* What the blocks are like into the objects of the columns and parts. */
static int value_facts(const struct rn_profile *p, const struct rn_schema *s, json_t *o,
		       struct rn_err *e)
{
	json_t *cols = json_object_get(o, "columns"), *parts = json_object_get(o, "parts");

	for (size_t i = 0; i < s->ncols; i++)
		RN_TRY(rn_profile_column(p, i, json_array_get(cols, i), e));
	for (size_t i = 0; i < s->nparts; i++)
		RN_TRY(rn_profile_part(p, i, json_array_get(parts, i), e));
	return 0;
}

/* Where blocks come from: the reader of a stream, or of rows. */
struct blocks {
	const struct rn_cli *cli;
	struct rn_reader *reader;
	struct rn_rows *rows;
};

static int next_block(const struct blocks *from, struct rn_rel **b, struct rn_err *e)
{
	return from->reader ? rn_reader_block(from->reader, b, e) : rn_rows_block(from->rows, b, e);
}

/* Read the rows of a relation to their end. */
static int read_values(const struct blocks *from, const struct rn_schema *s, json_t *o,
		       uint64_t *rows, struct rn_err *e)
{
	struct rn_profile *p = NULL;
	uint64_t done, total;
	struct rn_rel *b;
	int rc = 0;

	*rows = 0;
	RN_TRY(schema_facts(s, o, e));
	if (rn_cli_flag(from->cli, "values"))
		RN_TRY(rn_profile_new(&from->cli->ctx, s, &p, e));
	while (!rc && !(rc = next_block(from, &b, e)) && b) {
		*rows += b->rows;
		if (from->reader) {
			rn_reader_progress(from->reader, &done, &total);
			rn_ctx_progress(&from->cli->ctx, done, total, *rows);
		}
		if (p)
			rc = rn_profile_rows(p, b, e);
		rn_rel_unref(b);
	}
	if (!rc && p)
		rc = value_facts(p, s, o, e);
	rn_profile_free(p);
	return rc;
}

/* `roles`: what the header of a model says of each section, or NULL. */
static int all_sections(const struct blocks *from, const json_t *roles, json_t *list,
			struct rn_err *e)
{
	for (;;) {
		const json_t *role = json_array_get(roles, json_array_size(list));
		const struct rn_schema *s;
		uint64_t rows;
		json_t *o;

		RN_TRY(rn_reader_section(from->reader, &s, e));
		if (!s)
			return 0;
		o = json_object();
		RN_TRY(rn_json_append(list, o, e));
		if (json_is_object(role))
			RN_TRY(rn_json_set(o, "is", json_deep_copy(role), e));
		RN_TRY(read_values(from, s, o, &rows, e));
		RN_TRY(storage_facts(rn_reader_section_stats(from->reader), o, e));
	}
}

static int stream_facts(const struct rn_cli *c, struct rn_reader *r, const char *label,
			json_t *facts, struct rn_err *e)
{
	static const char *const members[] = { "kind", "plan", "history" };
	const struct blocks from = { .cli = c, .reader = r };
	const char *text = rn_reader_header(r);
	json_t *header, *list, *v;
	char version[16];
	int rc = 0;

	snprintf(version, sizeof version, "%d.%d", RN_ER_MAJOR, RN_ER_MINOR);
	RN_TRY(rn_json_set_text(facts, "format", version, e));
	RN_TRY(rn_json_load(text, strlen(text), label, RN_EDATA, &header, e));
	for (size_t i = 0; i < sizeof members / sizeof members[0] && !rc; i++) {
		v = json_object_get(header, members[i]);
		if (v)
			rc = rn_json_set(facts, members[i], json_incref(v), e);
	}
	if (!rc && !json_object_get(facts, "history"))
		rc = rn_json_set(facts, "history", json_array(), e);
	list = rc ? NULL : json_array();
	if (!rc)
		rc = rn_json_set(facts, "sections", list, e);
	if (!rc)
		rc = all_sections(&from, json_object_get(header, "sections"), list, e);
	json_decref(header);
	return rc ? rc : rn_json_set(facts, "verified", json_true(), e);
}

/* A text table: the relation that rn-scan would make of it. */
static int table_facts(const struct rn_cli *c, json_t *facts, struct rn_err *e)
{
	json_t *list, *o;
	struct rn_rows r;
	const struct blocks from = { .cli = c, .rows = &r };
	uint64_t rows;
	int rc;

	RN_TRY(rn_json_set_text(facts, "kind", "table", e));
	list = json_array();
	RN_TRY(rn_json_set(facts, "sections", list, e));
	o = json_object();
	RN_TRY(rn_json_append(list, o, e));
	RN_TRY(rn_rows_open(&c->ctx, &c->in[0], &r, e));
	rc = read_values(&from, r.schema, o, &rows, e);
	rn_rows_close(&r);
	return rc ? rc : rn_json_set(o, "rows", json_integer((json_int_t)rows), e);
}

static int gather(const struct rn_cli *c, json_t *facts, struct rn_err *e)
{
	const char *label = rn_operand_label(&c->in[0]);
	char *shown = rn_uri_hidden(label, e);
	struct rn_reader *r;
	struct rn_io *io;
	int rc;

	rc = shown ? rn_json_set_text(facts, "file", shown, e) : RN_ENOMEM;
	free(shown);
	RN_TRY(rc);
	if (rn_is_text_table(c->in[0].file))
		return table_facts(c, facts, e);
	RN_TRY(rn_io_open_read(c->in[0].file, &io, e));
	RN_TRY(rn_reader_open(io, &r, e));
	rn_reader_set_team(r, c->ctx.team);
	rc = stream_facts(c, r, label, facts, e);
	rn_reader_close(r);
	return rc;
}

/* ---- the schema alone ---------------------------------------------------------------- */

/* {"columns": {"id": "int64"}, "key": ["id"]} */
static int schema_of(const struct rn_schema *s, json_t *j, struct rn_err *e)
{
	struct rn_str name = RN_STR_INIT;
	json_t *columns, *key;
	int rc = 0;

	RN_TRY(rn_json_object(&columns, e));
	RN_TRY(rn_json_set(j, "columns", columns, e)); /* j keeps it alive */
	RN_TRY(rn_json_array(&key, e));
	RN_TRY(rn_json_set(j, "key", key, e));
	for (size_t i = 0; i < s->ncols && !rc; i++) {
		rn_schema_col_name(s, i, &name);
		rc = rn_str_check(&name, e);
		if (!rc)
			rc = rn_json_set_text(columns, name.s, rn_type_name(s->cols[i].type), e);
	}
	for (size_t i = 0; i < s->nkey && !rc; i++) {
		rn_schema_col_name(s, s->key[i], &name);
		rc = rn_str_check(&name, e);
		if (!rc)
			rc = rn_json_append(key, json_string(name.s), e);
	}
	rn_str_fini(&name);
	return rc;
}

static int print_columns(const struct rn_cli *c, struct rn_err *e)
{
	struct rn_str text = RN_STR_INIT;
	struct rn_rows r;
	json_t *j = NULL;
	int rc;

	RN_TRY(rn_rows_open(&c->ctx, &c->in[0], &r, e));
	rc = rn_json_object(&j, e);
	if (!rc)
		rc = schema_of(r.schema, j, e);
	if (!rc) {
		rn_json_print(j, 2, &text);
		rn_str_addc(&text, '\n');
		rc = rn_cli_put(c, &text, e);
	}
	json_decref(j);
	rn_rows_close(&r);
	rn_str_fini(&text);
	return rc;
}

static struct rn_term to_terminal(const struct rn_cli *c)
{
	return strcmp(c->output, "-") ? (struct rn_term){ 0 } : rn_term_of(STDOUT_FILENO);
}

static int run(const struct rn_cli *c, struct rn_err *e)
{
	struct rn_str text = RN_STR_INIT;
	json_t *facts;
	int rc;

	if (rn_cli_flag(c, "schema"))
		return print_columns(c, e);
	RN_TRY(rn_json_object(&facts, e));
	rc = gather(c, facts, e);
	if (!rc && rn_cli_flag(c, "json")) {
		rn_json_print(facts, 1, &text);
		rn_str_addc(&text, '\n');
	} else if (!rc) {
		rc = rn_info_text(facts, to_terminal(c), &text, e);
	}
	if (!rc)
		rc = rn_cli_put(c, &text, e);
	json_decref(facts);
	rn_str_fini(&text);
	return rc;
}

int main(int argc, char **argv)
{
	struct rn_err e = { 0 };
	struct rn_cli c;

	rn_cli_begin(&c, &tool, argc, argv);
	return rn_cli_end(&c, run(&c, &e), &e);
}
