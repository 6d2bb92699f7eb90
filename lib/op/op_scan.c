/* SPDX-License-Identifier: Apache-2.0
 *
 * scan: rows of a file.  The row is here; reading is exec/source.c.
 */
#include "op_table.h"

#include <string.h>

static const struct rn_opt opts[] = {
	{ .name = "from", .type = RN_OPT_STRING, .flags = RN_OPT_POSITIONAL | RN_OPT_REQUIRED,
	  .meta = "FILE", .help = "CSV, TSV or .er file, also .zst; - is standard input" },
	{ .name = "key", .letter = 'k', .type = RN_OPT_LIST, .meta = "COL,...",
	  .help = "columns that are a unique key (checked)" },
	{ .name = "row-id", .type = RN_OPT_STRING, .meta = "NAME",
	  .help = "add a column NAME that numbers the rows from 0" },
	{ .name = "types", .type = RN_OPT_MAP, .flags = RN_OPT_MULTI, .meta = "COL=TYPE,...",
	  .help = "types not to be inferred: int64 float64 bool string timestamp" },
	{ .name = "emb", .type = RN_OPT_STRING, .meta = "SPEC",
	  .help = "embedding: columns ('f*' or 'a,b'), ones:N, or FILE.npy" },
	{ .name = "format", .type = RN_OPT_CHOICE, .meta = "FORMAT", .dflt = "auto",
	  .choices = "auto|csv|tsv|er", .help = "format of the input, by its name unless given" },
	{ .name = "header", .type = RN_OPT_FLAG, .dflt = "true",
	  .help = "the first line names the columns (else c0, c1, ...)" },
};

static const char *const examples[] = {
	"rn-scan paper.csv --key paper_id -o paper.er",
	"rn-scan points.csv --emb 'x,y' | rn-info",
	NULL,
};

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
	return 0;
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
	.usage = "FILE",
	.examples = examples,
	.see_also = "rn-cat(1), rn-info(1)",
	.flags = RN_OP_SOURCE,
	RN_OPTS(opts),
	.check = check,
	.infer = infer,
};
