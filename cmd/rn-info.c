/* SPDX-License-Identifier: Apache-2.0
 *
 * rn-info: what is in a stream or a model.  All of it is read, so every
 * checksum has been verified when anything is printed.
 */
#include "../formats/container_format.h"
#include "../lib/base/json.h"
#include "../lib/exec/stream.h"
#include "rows.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct rn_opt opts[] = {
	{ .name = "json", .type = RN_OPT_FLAG, .help = "print one JSON object" },
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

/* Read a section to its end; what its blocks hold is checked and thrown away. */
static int section_facts(struct rn_reader *r, const struct rn_schema *s, json_t *o,
			 struct rn_err *e)
{
	struct rn_rel *b;

	RN_TRY(schema_facts(s, o, e));
	do {
		RN_TRY(rn_reader_block(r, &b, e));
		rn_rel_unref(b);
	} while (b);
	return storage_facts(rn_reader_section_stats(r), o, e);
}

/* `roles`: what the header of a model says of each section, or NULL. */
static int all_sections(struct rn_reader *r, const json_t *roles, json_t *list, struct rn_err *e)
{
	for (;;) {
		const json_t *role = json_array_get(roles, json_array_size(list));
		const struct rn_schema *s;
		json_t *o;

		RN_TRY(rn_reader_section(r, &s, e));
		if (!s)
			return 0;
		o = json_object();
		RN_TRY(rn_json_append(list, o, e));
		if (json_is_object(role))
			RN_TRY(rn_json_set(o, "is", json_deep_copy(role), e));
		RN_TRY(section_facts(r, s, o, e));
	}
}

static int stream_facts(struct rn_reader *r, const char *label, json_t *facts, struct rn_err *e)
{
	static const char *const members[] = { "kind", "plan", "history" };
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
	list = rc ? NULL : json_array();
	if (!rc)
		rc = rn_json_set(facts, "sections", list, e);
	if (!rc)
		rc = all_sections(r, json_object_get(header, "sections"), list, e);
	json_decref(header);
	return rc ? rc : rn_json_set(facts, "verified", json_true(), e);
}

/* A text table: the relation that rn-scan would make of it. */
static int table_facts(const struct rn_cli *c, json_t *facts, struct rn_err *e)
{
	json_t *list, *o;
	uint64_t rows = 0;
	struct rn_rows r;
	struct rn_rel *b;
	int rc;

	RN_TRY(rn_json_set_text(facts, "kind", "table", e));
	list = json_array();
	RN_TRY(rn_json_set(facts, "sections", list, e));
	o = json_object();
	RN_TRY(rn_json_append(list, o, e));
	RN_TRY(rn_rows_open(&c->ctx, &c->in[0], &r, e));
	rc = schema_facts(r.schema, o, e);
	while (!rc && !(rc = rn_rows_block(&r, &b, e)) && b) {
		rows += b->rows;
		rn_rel_unref(b);
	}
	rn_rows_close(&r);
	return rc ? rc : rn_json_set(o, "rows", json_integer((json_int_t)rows), e);
}

static int gather(const struct rn_cli *c, json_t *facts, struct rn_err *e)
{
	const char *label = rn_operand_label(&c->in[0]);
	struct rn_reader *r;
	struct rn_io *io;
	int rc;

	RN_TRY(rn_json_set_text(facts, "file", label, e));
	if (rn_is_text_table(c->in[0].file))
		return table_facts(c, facts, e);
	RN_TRY(rn_io_open_read(c->in[0].file, &io, e));
	RN_TRY(rn_reader_open(io, &r, e));
	rc = stream_facts(r, label, facts, e);
	rn_reader_close(r);
	return rc;
}

/* ---- text -------------------------------------------------------------------------------- */

static const char *text_of(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static long long number_of(const json_t *o, const char *key)
{
	return (long long)json_integer_value(json_object_get(o, key));
}

static void print_schema(const json_t *o, struct rn_str *out)
{
	const json_t *list = json_object_get(o, "columns"), *v;
	size_t i;

	json_array_foreach(list, i, v)
		rn_str_addf(out, "  column %-20s %s%s\n", text_of(v, "name"), text_of(v, "type"),
			    json_object_get(v, "key") ? ", key" : "");
	list = json_object_get(o, "parts");
	json_array_foreach(list, i, v) {
		rn_str_addf(out, "  part   %-20s ", text_of(v, "name"));
		rn_json_print(json_object_get(v, "shape"), RN_JSON_COMPACT, out);
		rn_str_add(out, json_is_true(json_object_get(v, "sparse")) ? ", sparse\n" : "\n");
	}
}

static void print_section(const json_t *o, size_t i, struct rn_str *out)
{
	json_t *enc = json_object_get(o, "encodings"), *v;
	const json_t *is = json_object_get(o, "is");
	const char *name = text_of(is ? is : o, "name"), *role = text_of(is, "role");
	const char *key, *sep = "";
	long long rows = number_of(o, "rows"), blocks = number_of(o, "blocks");

	rn_str_addf(out, "%s %zu%s%s: %lld row%s", role ? role : "relation", i, name ? ", " : "",
		    name ? name : "", rows, rows == 1 ? "" : "s");
	if (enc)
		rn_str_addf(out, " in %lld block%s, %lld bytes, %lld stored", blocks,
			    blocks == 1 ? "" : "s", number_of(o, "raw_bytes"),
			    number_of(o, "stored_bytes"));
	rn_str_addc(out, '\n');
	print_schema(o, out);
	if (!json_object_size(enc))
		return;
	rn_str_add(out, "  encodings ");
	json_object_foreach(enc, key, v) {
		rn_str_addf(out, "%s%s %lld", sep, key, (long long)json_integer_value(v));
		sep = ", ";
	}
	rn_str_addc(out, '\n');
}

static void print_history(const json_t *history, struct rn_str *out)
{
	const json_t *entry, *arg;
	size_t i, k;

	if (json_array_size(history))
		rn_str_add(out, "history:\n");
	json_array_foreach(history, i, entry) {
		rn_str_addc(out, ' ');
		json_array_foreach(json_object_get(entry, "argv"), k, arg)
			rn_str_addf(out, " %s", json_is_string(arg) ? json_string_value(arg) : "?");
		rn_str_addc(out, '\n');
	}
}

/* The plan of a stream's header; a model's is a spec. */
static int load_plan(const json_t *facts, struct rn_plan **p, struct rn_err *e)
{
	const json_t *plan = json_object_get(facts, "plan");
	size_t n = json_array_size(json_object_get(facts, "sections"));
	struct rn_str text = RN_STR_INIT;
	uint32_t out, *node_of;
	int rc;

	if (!json_object_get(plan, "nodes")) {
		rn_json_print(plan, RN_JSON_COMPACT, &text);
		rc = rn_str_check(&text, e);
		if (!rc)
			rc = rn_plan_from_spec(text.s, text.len, text_of(facts, "file"), NULL, 0,
					       NULL, 0, p, e);
		rn_str_fini(&text);
		return rc;
	}
	RN_TRY(rn_plan_new(p, e));
	RN_TRY(rn_calloc(n, sizeof *node_of, "a plan", &node_of, e));
	rc = rn_plan_from_header(*p, plan, &out, node_of, n, e);
	free(node_of);
	return rc;
}

static void print_indented(const char *s, struct rn_str *out)
{
	while (*s) {
		size_t n = strcspn(s, "\n");

		rn_str_addf(out, "  %.*s\n", (int)n, s);
		s += n + (s[n] == '\n');
	}
}

static int print_plan(const json_t *facts, struct rn_str *out, struct rn_err *e)
{
	struct rn_str text = RN_STR_INIT;
	struct rn_plan *p = NULL;
	int rc;

	if (!json_object_get(facts, "plan"))
		return 0;
	rc = load_plan(facts, &p, e);
	if (!rc)
		rc = rn_plan_explain(p, NULL, NULL, &text, e);
	rn_str_add(out, "plan:\n");
	print_indented(text.s, out);
	rn_str_fini(&text);
	rn_plan_free(p);
	return rc;
}

static int print_text(const json_t *facts, struct rn_str *out, struct rn_err *e)
{
	const char *kind = text_of(facts, "kind"), *format = text_of(facts, "format");
	const json_t *o;
	size_t i;

	rn_str_addf(out, "%s: %s", text_of(facts, "file"), kind ? kind : "no kind");
	if (format)
		rn_str_addf(out, ", format %s, checksums verified", format);
	rn_str_addc(out, '\n');
	json_array_foreach(json_object_get(facts, "sections"), i, o)
		print_section(o, i, out);
	RN_TRY(print_plan(facts, out, e));
	print_history(json_object_get(facts, "history"), out);
	return rn_str_check(out, e);
}

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
		rc = print_text(facts, &text, e);
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
