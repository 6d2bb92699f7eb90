/* SPDX-License-Identifier: Apache-2.0
 *
 * scan: rows of a file.  The row is here; reading is exec/source.c.
 */
#include "../../formats/csv.h"
#include "op_table.h"

#include <string.h>

static const struct rn_opt opts[] = {
	{ .name = "from", .type = RN_OPT_STRING, .flags = RN_OPT_POSITIONAL | RN_OPT_REQUIRED,
	  .meta = "FILE", .help = "table file, folder, or pattern; - is standard input" },
	{ .name = "also", .type = RN_OPT_LIST, .flags = RN_OPT_POSITIONAL | RN_OPT_MULTI,
	  .meta = "FILE", .help = "further files with the same columns: their rows follow" },
	{ .name = "key", .letter = 'k', .type = RN_OPT_LIST, .flags = RN_OPT_UNIQUE,
	  .meta = "COL,...", .help = "columns that are a unique key (checked)" },
	{ .name = "row-id", .type = RN_OPT_STRING, .meta = "NAME",
	  .help = "add a column NAME that numbers the rows from 0" },
	{ .name = "types", .type = RN_OPT_MAP, .flags = RN_OPT_MULTI, .meta = "COL=TYPE,...",
	  .help = "types not to be inferred: int64 float64 bool string timestamp" },
	{ .name = "expect", .type = RN_OPT_MAP, .flags = RN_OPT_HIDDEN, .meta = "COL=TYPE,...",
	  .help = "types of columns in which this table has no value (models say it)" },
	{ .name = "schema", .type = RN_OPT_STRING, .meta = "FILE",
	  .help = "names, types and key of the columns, as rn-info --schema writes them" },
	{ .name = "emb", .type = RN_OPT_STRING, .meta = "SPEC",
	  .help = "embedding: columns ('f*' or 'a,b'), one of arrays, one of objects (COL:N), ones:N, FILE.npy or FILE.npz:NAME" },
	{ .name = "format", .type = RN_OPT_CHOICE, .meta = "FORMAT", .dflt = "auto",
	  .choices = "auto|csv|tsv|jsonl|er",
	  .help = "format of the input, by its name unless given" },
	{ .name = "header", .type = RN_OPT_FLAG, .dflt = "true",
	  .help = "the first line names the columns (else c0, c1, ...)" },
	{ .name = "columns", .type = RN_OPT_LIST, .flags = RN_OPT_UNIQUE, .meta = "NAME,...",
	  .help = "names of all columns, instead of the header's" },
	{ .name = "delimiter", .type = RN_OPT_STRING, .meta = "C",
	  .help = "one character between fields, or \\t (CSV: a comma)" },
	{ .name = "comment", .type = RN_OPT_STRING, .meta = "C",
	  .help = "lines that begin with this character are no rows" },
	{ .name = "null", .type = RN_OPT_LIST, .flags = RN_OPT_MULTI, .meta = "TEXT,...",
	  .help = "texts that are NULL, as an empty field is" },
	{ .name = "skip-bad", .type = RN_OPT_FLAG,
	  .help = "pass over rows that are malformed, and count them" },
	{ .name = "query", .type = RN_OPT_STRING, .meta = "SQL",
	  .help = "of a database: the rows of this query" },
	{ .name = "file-col", .type = RN_OPT_STRING, .meta = "NAME",
	  .help = "add a column NAME with the name of the row's file" },
};

static const char *const examples[] = {
	"rn-scan paper.csv --key paper_id -o paper.er",
	"rn-scan points.csv --emb 'x,y' | rn-info",
	NULL,
};

static int check_characters(const struct rn_node *n, struct rn_err *e)
{
	const char *delimiter = rn_node_string(n, "delimiter");
	const char *comment = rn_node_string(n, "comment");
	char d = ',';

	if (delimiter && !rn_csv_delimiter(delimiter, &d))
		return rn_err_set(e, RN_EUSAGE,
				  "--delimiter wants one character that is neither a quote nor a line "
				  "end, not '%s'",
				  delimiter);
	if (comment && (comment[0] <= ' ' || comment[1] || *comment == '"' || *comment == d))
		return rn_err_set(e, RN_EUSAGE,
				  "--comment wants one character, neither a quote nor the delimiter, "
				  "not '%s'",
				  comment);
	return 0;
}

static int check(const struct rn_node *n, bool *learns, struct rn_err *e)
{
	const json_t *types = rn_node_json(n, "types");
	const char *col;
	json_t *v;
	enum rn_type t;

	(void)learns;
	json_object_foreach((json_t *)types, col, v)
		if (!json_is_string(v) || rn_type_parse(json_string_value(v), &t))
			return rn_err_set(e, RN_EUSAGE,
					  "--types: no type '%s' for column '%s' (int64, float64, bool, "
					  "string, timestamp)",
					  json_is_string(v) ? json_string_value(v) : "?", col);
	return check_characters(n, e);
}

static int infer(const struct rn_node *n, const struct rn_schema *const *in, struct rn_schema *out,
		 struct rn_err *e)
{
	(void)n, (void)in, (void)out;
	return rn_err_set(e, RN_EBUG, "the schema of a source is known only when it is opened");
}

const struct rn_op rn_op_scan = {
	.name = "scan",
	.what = "read a table into a stream",
	.usage = "FILE...",
	.examples = examples,
	.see_also = "rn-cat(1), rn-info(1)",
	.flags = RN_OP_SOURCE,
	RN_OPTS(opts),
	.check = check,
	.infer = infer,
};
