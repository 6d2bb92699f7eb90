/* SPDX-License-Identifier: Apache-2.0 */
#include "info_text.h"

#include "../lib/base/json.h"
#include "../lib/base/num.h"
#include "../lib/exec/stream.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const char *text_of(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static long long number_of(const json_t *o, const char *key)
{
	return (long long)json_integer_value(json_object_get(o, key));
}

/* A text of the data, or of a user, on one line. */
static void put(const char *s, struct rn_str *out)
{
	rn_term_put(out, s, strlen(s), UINT_MAX);
}

/* A value as it is, or a string in quotes. */
static void put_value(const json_t *v, const char *quote, struct rn_str *out)
{
	if (json_is_real(v))
		rn_float64_print(json_real_value(v), out);
	else if (!json_is_string(v))
		rn_json_print(v, RN_JSON_COMPACT, out);
	if (!json_is_string(v))
		return;
	rn_str_add(out, quote);
	rn_term_put(out, json_string_value(v), json_string_length(v), UINT_MAX);
	rn_str_add(out, quote);
}

static void put_number(const json_t *v, struct rn_str *out)
{
	if (json_is_number(v))
		rn_str_addf(out, "%.6g", json_number_value(v));
	else
		put_value(v, "", out);
}

static void put_type(const json_t *o, struct rn_str *out)
{
	rn_str_addf(out, "%s%s", text_of(o, "type"), json_object_get(o, "key") ? ", key" : "");
}

static void put_shape(const json_t *o, struct rn_str *out)
{
	rn_json_print(json_object_get(o, "shape"), RN_JSON_COMPACT, out);
	rn_str_add(out, json_is_true(json_object_get(o, "sparse")) ? ", sparse" : "");
}

static void put_top(const json_t *o, const char *quote, struct rn_str *out)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(o, "top"), i, v) {
		rn_str_add(out, i ? ", " : "");
		put_value(json_object_get(v, "value"), quote, out);
		rn_str_addf(out, " %lld×", number_of(v, "count"));
	}
}

static void put_distinct(const json_t *o, struct rn_str *out)
{
	rn_str_addf(out, "%s%lld", json_is_true(json_object_get(o, "exact")) ? "" : "~",
		    number_of(o, "distinct"));
}

/* ---- a line for each ------------------------------------------------------------------- */

static void column_line(const json_t *o, struct rn_str *out)
{
	const json_t *min = json_object_get(o, "min"), *mean = json_object_get(o, "mean");
	long long nulls = number_of(o, "nulls");

	put_type(o, out);
	if (!json_object_get(o, "nulls"))
		return;
	rn_str_add(out, ": ");
	put_distinct(o, out);
	rn_str_add(out, " distinct");
	if (nulls)
		rn_str_addf(out, ", %lld NULL", nulls);
	if (!min)
		return;
	rn_str_add(out, ", ");
	put_value(min, "'", out);
	rn_str_add(out, " to ");
	put_value(json_object_get(o, "max"), "'", out);
	if (mean) {
		rn_str_add(out, ", mean ");
		put_number(mean, out);
	}
	if (json_array_size(json_object_get(o, "top")))
		rn_str_add(out, ", most often ");
	put_top(o, "'", out);
}

static void put_norm(const json_t *o, const char *which, struct rn_str *out)
{
	put_number(json_object_get(json_object_get(o, "norm"), which), out);
}

static void part_line(const json_t *o, struct rn_str *out)
{
	const json_t *density = json_object_get(o, "density");

	put_shape(o, out);
	if (!json_object_get(o, "nonfinite"))
		return;
	rn_str_add(out, ": ");
	if (density)
		rn_str_addf(out, "%.3g%% stored, ", 100 * json_number_value(density));
	if (json_object_get(o, "norm")) {
		rn_str_add(out, "norm ");
		put_norm(o, "min", out);
		rn_str_add(out, " to ");
		put_norm(o, "max", out);
		rn_str_add(out, ", mean ");
		put_norm(o, "mean", out);
		rn_str_add(out, ", ");
	}
	rn_str_addf(out, "%lld not finite", number_of(o, "nonfinite"));
}

static void put_lines(const json_t *section, struct rn_str *out)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(section, "columns"), i, v) {
		rn_str_add(out, "  column ");
		rn_term_pad(out, text_of(v, "name"), 20);
		rn_str_addc(out, ' ');
		column_line(v, out);
		rn_str_addc(out, '\n');
	}
	json_array_foreach(json_object_get(section, "parts"), i, v) {
		rn_str_add(out, "  part   ");
		rn_term_pad(out, text_of(v, "name"), 20);
		rn_str_addc(out, ' ');
		part_line(v, out);
		rn_str_addc(out, '\n');
	}
}

/* ---- tables, for a terminal --------------------------------------------------------------- */

enum { COLUMN_CELLS = 8, PART_CELLS = 7 };

static void column_cells(const json_t *o, struct rn_str *cell)
{
	put(text_of(o, "name"), &cell[0]);
	put_type(o, &cell[1]);
	if (!json_object_get(o, "nulls"))
		return;
	rn_str_addf(&cell[2], "%lld", number_of(o, "nulls"));
	put_distinct(o, &cell[3]);
	if (!json_object_get(o, "min"))
		return;
	put_value(json_object_get(o, "min"), "", &cell[4]);
	put_value(json_object_get(o, "max"), "", &cell[5]);
	if (json_object_get(o, "mean"))
		put_number(json_object_get(o, "mean"), &cell[6]);
	put_top(o, "", &cell[7]);
}

static void part_cells(const json_t *o, struct rn_str *cell)
{
	const json_t *density = json_object_get(o, "density");

	put(text_of(o, "name"), &cell[0]);
	put_shape(o, &cell[1]);
	if (density)
		rn_str_addf(&cell[2], "%.3g%%", 100 * json_number_value(density));
	if (json_object_get(o, "norm")) {
		put_norm(o, "min", &cell[3]);
		put_norm(o, "mean", &cell[4]);
		put_norm(o, "max", &cell[5]);
	}
	if (json_object_get(o, "nonfinite"))
		rn_str_addf(&cell[6], "%lld", number_of(o, "nonfinite"));
}

/* A table of the members of a list, under these names; those to the right begin with '>'. */
static int put_table(const json_t *list, const char *const *names, size_t ncells,
		     void (*fill)(const json_t *o, struct rn_str *cell),
		     const struct rn_term *term, struct rn_str *out, struct rn_err *e)
{
	struct rn_term_grid g;
	const json_t *v;
	size_t i;
	int rc;

	if (!json_array_size(list))
		return 0;
	RN_TRY(rn_term_grid_init(&g, json_array_size(list) + 1, ncells, e));
	for (i = 0; i < ncells; i++) {
		g.right[i] = *names[i] == '>';
		rn_str_add(&g.cells[i], names[i] + g.right[i]);
	}
	json_array_foreach(list, i, v)
		fill(v, &g.cells[(i + 1) * ncells]);
	rc = rn_term_grid_put(&g, term, out, e);
	rn_term_grid_fini(&g);
	return rc;
}

static int put_tables(const json_t *o, const struct rn_term *term, struct rn_str *out,
		      struct rn_err *e)
{
	static const char *const columns[COLUMN_CELLS] = {
		"column", "type", ">NULLs", ">distinct", ">least", ">greatest", ">mean",
		"most often",
	};
	static const char *const parts[PART_CELLS] = {
		"part", "shape", ">stored", ">least norm", ">mean", ">greatest", ">not finite",
	};

	RN_TRY(put_table(json_object_get(o, "columns"), columns, COLUMN_CELLS, column_cells, term,
			 out, e));
	return put_table(json_object_get(o, "parts"), parts, PART_CELLS, part_cells, term, out, e);
}

/* ---- sections ------------------------------------------------------------------------------ */

/* What else the header of a model says of a section. */
static void put_role(const json_t *is, struct rn_str *out)
{
	json_t *v;
	const char *key;

	json_object_foreach((json_t *)(uintptr_t)is, key, v) {
		if (!strcmp(key, "role") || !strcmp(key, "name") || json_is_object(v))
			continue;
		rn_str_add(out, ", ");
		put(key, out);
		rn_str_addc(out, ' ');
		put_value(v, "", out);
	}
}

static int put_section(const json_t *o, size_t i, const struct rn_term *term, struct rn_str *out,
		       struct rn_err *e)
{
	json_t *enc = json_object_get(o, "encodings"), *v;
	const json_t *is = json_object_get(o, "is");
	const char *name = text_of(is ? is : o, "name"), *role = text_of(is, "role");
	const char *key, *sep = "";
	long long rows = number_of(o, "rows"), blocks = number_of(o, "blocks");

	rn_term_style(term, RN_TERM_BOLD, out);
	put(role ? role : "relation", out);
	rn_str_addf(out, " %zu%s", i, name ? ", " : "");
	put(name ? name : "", out);
	rn_term_style(term, RN_TERM_PLAIN, out);
	rn_str_addf(out, ": %lld row%s", rows, rows == 1 ? "" : "s");
	if (enc)
		rn_str_addf(out, " in %lld block%s, %lld bytes, %lld stored", blocks,
			    blocks == 1 ? "" : "s", number_of(o, "raw_bytes"),
			    number_of(o, "stored_bytes"));
	put_role(is, out);
	rn_str_addc(out, '\n');
	if (term->is)
		RN_TRY(put_tables(o, term, out, e));
	else
		put_lines(o, out);
	if (!json_object_size(enc))
		return 0;
	rn_str_add(out, "  encodings ");
	json_object_foreach(enc, key, v) {
		rn_str_addf(out, "%s%s %lld", sep, key, (long long)json_integer_value(v));
		sep = ", ";
	}
	rn_str_addc(out, '\n');
	return 0;
}

/* ---- plan and history ------------------------------------------------------------------------ */

static void put_history(const json_t *history, struct rn_str *out)
{
	const json_t *entry, *arg;
	size_t i, k;

	if (json_array_size(history))
		rn_str_add(out, "history:\n");
	json_array_foreach(history, i, entry) {
		rn_str_addc(out, ' ');
		json_array_foreach(json_object_get(entry, "argv"), k, arg) {
			rn_str_addc(out, ' ');
			put(json_is_string(arg) ? json_string_value(arg) : "?", out);
		}
		if (json_is_integer(json_object_get(entry, "seed")))
			rn_str_addf(out, "  # seed %" JSON_INTEGER_FORMAT,
				    json_integer_value(json_object_get(entry, "seed")));
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

static void put_indented(const char *s, struct rn_str *out)
{
	while (*s) {
		size_t n = strcspn(s, "\n");

		rn_str_add(out, "  ");
		rn_term_put(out, s, n, UINT_MAX);
		rn_str_addc(out, '\n');
		s += n + (s[n] == '\n');
	}
}

static int put_plan(const json_t *facts, struct rn_str *out, struct rn_err *e)
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
	put_indented(text.s, out);
	rn_str_fini(&text);
	rn_plan_free(p);
	return rc;
}

int rn_info_text(const json_t *facts, struct rn_term term, struct rn_str *out, struct rn_err *e)
{
	const char *kind = text_of(facts, "kind"), *format = text_of(facts, "format");
	const json_t *o;
	size_t i;

	put(text_of(facts, "file"), out);
	rn_str_addf(out, ": %s", kind ? kind : "no kind");
	if (format)
		rn_str_addf(out, ", format %s, checksums verified", format);
	rn_str_addc(out, '\n');
	json_array_foreach(json_object_get(facts, "sections"), i, o)
		RN_TRY(put_section(o, i, &term, out, e));
	RN_TRY(put_plan(facts, out, e));
	put_history(json_object_get(facts, "history"), out);
	return rn_str_check(out, e);
}
