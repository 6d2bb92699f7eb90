/* SPDX-License-Identifier: Apache-2.0
 *
 * Content expressions: the table of operators and functions.
 */
#include "content_node.h"

#include <string.h>
#include <strings.h>

#define PART(name)  { name, "t", 'i', false, rn_cx_time_part }
#define FACT(name, args, result)  { name, args, result, false, rn_cx_text_facts }
#define PIECE(name, args)  { name, args, 's', false, rn_cx_text_pieces }
#define COPY(name, args, fails)  { name, args, 's', fails, rn_cx_text_copies }
#define NUMBER(name, args, result)  { name, args, result, false, rn_cx_number_function }

const struct rn_cx_info rn_cx_table[RN_CX_NOPS] = {
	[RN_CX_LITERAL] = { .symbol = "literal" },
	[RN_CX_COLUMN] = { .symbol = "column" },
	[RN_CX_NEG] = { .symbol = "-", .run = rn_cx_arithmetic },
	[RN_CX_ADD] = { .symbol = "+", .run = rn_cx_arithmetic },
	[RN_CX_SUB] = { .symbol = "-", .run = rn_cx_arithmetic },
	[RN_CX_MUL] = { .symbol = "*", .run = rn_cx_arithmetic },
	[RN_CX_DIV] = { .symbol = "/", .run = rn_cx_arithmetic },
	[RN_CX_MOD] = { .symbol = "%", .run = rn_cx_arithmetic },
	[RN_CX_CONCAT] = { .symbol = "||", .run = rn_cx_concat },
	[RN_CX_EQ] = { .symbol = "=", .run = rn_cx_compare },
	[RN_CX_NE] = { .symbol = "<>", .run = rn_cx_compare },
	[RN_CX_LT] = { .symbol = "<", .run = rn_cx_compare },
	[RN_CX_LE] = { .symbol = "<=", .run = rn_cx_compare },
	[RN_CX_GT] = { .symbol = ">", .run = rn_cx_compare },
	[RN_CX_GE] = { .symbol = ">=", .run = rn_cx_compare },
	[RN_CX_DISTINCT] = { .symbol = "is distinct from", .run = rn_cx_distinct },
	[RN_CX_AND] = { .symbol = "and" },
	[RN_CX_OR] = { .symbol = "or" },
	[RN_CX_NOT] = { .symbol = "not" },
	[RN_CX_IS_NULL] = { .symbol = "is null" },
	[RN_CX_IN] = { .symbol = "in" },
	[RN_CX_LIKE] = { .symbol = "like", .run = rn_cx_like },
	[RN_CX_CASE] = { .symbol = "case" },
	[RN_CX_CASE_OF] = { .symbol = "case" },
	[RN_CX_OPERAND] = { .symbol = "operand" },
	[RN_CX_CAST] = { .symbol = "cast", .run = rn_cx_convert },
	[RN_CX_BETWEEN] = { .symbol = "between", .run = rn_cx_between },

	[RN_CX_YEAR] = PART("year"),
	[RN_CX_QUARTER] = PART("quarter"),
	[RN_CX_MONTH] = PART("month"),
	[RN_CX_WEEK] = PART("week"),
	[RN_CX_DAY] = PART("day"),
	[RN_CX_HOUR] = PART("hour"),
	[RN_CX_MINUTE] = PART("minute"),
	[RN_CX_SECOND] = PART("second"),
	[RN_CX_MICROSECOND] = PART("microsecond"),
	[RN_CX_WEEKDAY] = PART("weekday"),
	[RN_CX_YEARDAY] = PART("yearday"),
	[RN_CX_EPOCH] = { "epoch", "t", 'f', false, rn_cx_epoch },
	[RN_CX_TO_TIMESTAMP] = { "to_timestamp", "f", 't', true, rn_cx_to_timestamp },
	[RN_CX_DATE_TRUNC] = { "date_trunc", "st", 't', true, rn_cx_date_trunc },
	[RN_CX_STRFTIME] = { "strftime", "ts", 's', true, rn_cx_strftime },
	[RN_CX_STRPTIME] = { "strptime", "ss", 't', true, rn_cx_strptime },
	[RN_CX_TRY_STRPTIME] = { "try_strptime", "ss", 't', true, rn_cx_strptime },

	[RN_CX_LENGTH] = FACT("length", "s", 'i'),
	[RN_CX_STRPOS] = FACT("strpos", "ss", 'i'),
	[RN_CX_CONTAINS] = FACT("contains", "ss", 'b'),
	[RN_CX_STARTS_WITH] = FACT("starts_with", "ss", 'b'),
	[RN_CX_ENDS_WITH] = FACT("ends_with", "ss", 'b'),
	[RN_CX_SUBSTR] = PIECE("substr", "si|i"),
	[RN_CX_LEFT] = PIECE("left", "si"),
	[RN_CX_RIGHT] = PIECE("right", "si"),
	[RN_CX_SPLIT_PART] = PIECE("split_part", "ssi"),
	[RN_CX_TRIM] = PIECE("trim", "s|s"),
	[RN_CX_LTRIM] = PIECE("ltrim", "s|s"),
	[RN_CX_RTRIM] = PIECE("rtrim", "s|s"),
	[RN_CX_LOWER] = COPY("lower", "s", false),
	[RN_CX_UPPER] = COPY("upper", "s", false),
	[RN_CX_REPLACE] = COPY("replace", "sss", true),
	[RN_CX_REVERSE] = COPY("reverse", "s", false),
	[RN_CX_REPEAT] = COPY("repeat", "si", true),
	[RN_CX_LPAD] = COPY("lpad", "si|s", true),
	[RN_CX_RPAD] = COPY("rpad", "si|s", true),
	[RN_CX_REGEXP_MATCHES] = { "regexp_matches", "ss", 'b', false, rn_cx_regexp },
	[RN_CX_REGEXP_EXTRACT] = { "regexp_extract", "ss|i", 's', false, rn_cx_regexp },
	[RN_CX_REGEXP_REPLACE] = { "regexp_replace", "sss", 's', true, rn_cx_regexp },

	[RN_CX_ABS] = NUMBER("abs", "n", 'n'),
	[RN_CX_SIGN] = NUMBER("sign", "n", 'n'),
	[RN_CX_FLOOR] = NUMBER("floor", "n", 'n'),
	[RN_CX_CEIL] = NUMBER("ceil", "n", 'n'),
	[RN_CX_TRUNC] = NUMBER("trunc", "n", 'n'),
	[RN_CX_ROUND] = NUMBER("round", "n|i", 'n'),
	[RN_CX_SQRT] = NUMBER("sqrt", "f", 'f'),
	[RN_CX_LN] = NUMBER("ln", "f", 'f'),
	[RN_CX_LOG2] = NUMBER("log2", "f", 'f'),
	[RN_CX_LOG10] = NUMBER("log10", "f", 'f'),
	[RN_CX_EXP] = NUMBER("exp", "f", 'f'),
	[RN_CX_POW] = NUMBER("pow", "ff", 'f'),
	[RN_CX_SIN] = NUMBER("sin", "f", 'f'),
	[RN_CX_COS] = NUMBER("cos", "f", 'f'),
	[RN_CX_TAN] = NUMBER("tan", "f", 'f'),
	[RN_CX_ASIN] = NUMBER("asin", "f", 'f'),
	[RN_CX_ACOS] = NUMBER("acos", "f", 'f'),
	[RN_CX_ATAN] = NUMBER("atan", "f", 'f'),
	[RN_CX_ATAN2] = NUMBER("atan2", "ff", 'f'),

	[RN_CX_COALESCE] = { .symbol = "coalesce" },
	[RN_CX_GREATEST] = { .symbol = "greatest" },
	[RN_CX_LEAST] = { .symbol = "least" },
	[RN_CX_NULLIF] = { .symbol = "nullif", .run = rn_cx_nullif },
	[RN_CX_HASH] = { .symbol = "hash" },
};

/* Other databases' names of some, and operators as functions. */
static const struct {
	const char *name;
	enum rn_cx_op op;
} aliases[] = {
	{ "ifnull", RN_CX_COALESCE }, { "instr", RN_CX_STRPOS }, { "substring", RN_CX_SUBSTR },
	{ "ceiling", RN_CX_CEIL },    { "power", RN_CX_POW },       { "concat", RN_CX_CONCAT },
	{ "if", RN_CX_CASE },
};

enum rn_cx_op rn_cx_find(const char *name)
{
	enum rn_cx_op op = RN_CX_YEAR;

	for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
		if (!strcasecmp(name, aliases[i].name))
			return aliases[i].op;
	while (op < RN_CX_NOPS && strcasecmp(name, rn_cx_table[op].symbol) != 0)
		op++;
	return op;
}

void rn_cx_arity(enum rn_cx_op op, size_t *min, size_t *max)
{
	const char *args = rn_cx_table[op].args;

	*min = op == RN_CX_HASH ? 1 : 2;
	*max = op == RN_CX_NULLIF ? 2 : 1000;
	if (!args)
		return;
	*min = strcspn(args, "|");
	*max = strlen(args) - (args[*min] == '|');
}
