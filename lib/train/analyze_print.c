/* SPDX-License-Identifier: Apache-2.0
 *
 * What rn_analyze found, as tables that fit a terminal: a line for each stage, what it costs as it
 * is written beside what it costs as it is run.
 */
#include "analyze.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_NAME = 22 };

/* "1.5M" of so many operations or bytes. */
static void print_short(double x, struct rn_str *out)
{
	static const char units[] = " KMGTP";
	size_t k = 0;

	for (; x >= 999.5 && k + 2 < sizeof units; k++)
		x /= 1000;
	rn_str_addf(out, k ? "%.3g%c" : "%.0f", x, units[k]);
}

/* Right-aligned in seven places; nothing where there are none. */
static void print_size(double x, struct rn_str *out)
{
	size_t from = out->len, n;

	rn_str_add(out, "       ");
	if (!(x > 0) || out->failed)
		return;
	print_short(x, out);
	n = out->len - from - 7;
	if (n < 7) {
		memmove(out->s + from + 7 - n, out->s + from + 7, n + 1);
		out->len = from + 7;
	}
}

static double number(const json_t *o, const char *key)
{
	return json_number_value(json_object_get(o, key));
}

static const char *name_of(const json_t *stage)
{
	return json_string_value(json_object_get(stage, "stage"));
}

/* Letters, not bytes. */
static size_t length(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += (*s & 0xC0) != 0x80;
	return n;
}

/* The name in `width` places; of a longer one the end. */
static void print_name(const char *s, size_t width, struct rn_str *out)
{
	size_t n = length(s);

	if (n > width) {
		for (size_t drop = n - width + 1; drop || (*s & 0xC0) == 0x80; s++)
			drop -= drop && (s[1] & 0xC0) != 0x80;
		rn_str_add(out, "…");
		n = width;
	}
	rn_str_add(out, s);
	for (; n < width; n++)
		rn_str_addc(out, ' ');
}

static const json_t *find(const json_t *stages, const char *name)
{
	for (size_t i = 0; i < json_array_size(stages); i++)
		if (!strcmp(name_of(json_array_get(stages, i)), name))
			return json_array_get(stages, i);
	return NULL;
}

struct table {
	size_t width; /* of names */
	bool before, timed[2]; /* as it is written, as it is run */
	double ms;    /* of all stages that are run */
	struct rn_str *out;
};

/* A line; either side may be NULL. */
static void print_stage(const struct table *t, const char *name, const json_t *written,
			const json_t *run)
{
	print_name(name, t->width, t->out);
	for (int side = !t->before; side < 2; side++) {
		const json_t *s = side ? run : written;

		rn_str_add(t->out, "  ");
		print_size(number(s, "rows"), t->out);
		print_size(number(s, "flops"), t->out);
		print_size(number(s, "bytes"), t->out);
		print_size(number(s, "memory"), t->out);
		if (t->timed[side] && s)
			rn_str_addf(t->out, "  %8.3f", number(s, "ms"));
		else if (t->timed[side])
			rn_str_addf(t->out, "%10s", "");
	}
	if (t->timed[1] && run)
		rn_str_addf(t->out, " %3.0f%%", t->ms > 0 ? 100 * number(run, "ms") / t->ms : 0);
	while (t->out->len && t->out->s[t->out->len - 1] == ' ') /* what is cut at the end */
		t->out->s[--t->out->len] = '\0';
	rn_str_addc(t->out, '\n');
}

static void print_head(const struct table *t)
{
	static const char columns[] = "     rows  flops  bytes memory", ms[] = "        ms";

	if (t->before)
		rn_str_addf(t->out, "%-*s  %-*s %s\n", (int)t->width, "", t->timed[0] ? 39 : 29,
			    "   as it is written", "   as it is run");
	rn_str_addf(t->out, "%-*s", (int)t->width, "stage");
	for (int side = !t->before; side < 2; side++)
		rn_str_addf(t->out, "%s%s", columns, t->timed[side] ? ms : "");
	rn_str_addc(t->out, '\n');
}

static void print_table(const json_t *f, struct rn_str *out)
{
	const json_t *stages = json_object_get(f, "stages");
	const json_t *written = json_object_get(json_object_get(f, "written"), "stages");
	struct table t = { 5, written, { json_object_get(json_object_get(f, "written"), "ms"),
					 json_object_get(f, "ms") }, 0, out };
	const json_t *lists[2] = { stages, written };
	size_t k = 0;

	for (int side = 0; side < 2; side++)
		for (size_t i = 0; i < json_array_size(lists[side]); i++) {
			size_t n = length(name_of(json_array_get(lists[side], i)));

			t.width = n > t.width ? n : t.width;
			t.ms += side ? 0 : number(json_array_get(lists[0], i), "ms");
		}
	t.width = t.width > MAX_NAME ? MAX_NAME : t.width;
	print_head(&t);
	/* In the order in which they are run; stages that are no more where they were. */
	for (size_t i = 0; i < json_array_size(stages); i++) {
		const json_t *run = json_array_get(stages, i);
		const json_t *same = find(written, name_of(run));

		for (; same && json_array_get(written, k) != same &&
		       !find(stages, name_of(json_array_get(written, k)));
		     k++)
			print_stage(&t, name_of(json_array_get(written, k)),
				    json_array_get(written, k), NULL);
		k += same && json_array_get(written, k) == same;
		print_stage(&t, name_of(run), same, run);
	}
	for (; k < json_array_size(written); k++)
		if (!find(stages, name_of(json_array_get(written, k))))
			print_stage(&t, name_of(json_array_get(written, k)),
				    json_array_get(written, k), NULL);
}

static void print_totals(const json_t *o, struct rn_str *out)
{
	const char *untimed = json_string_value(json_object_get(o, "untimed"));

	rn_str_addf(out, "%.0f instructions, %.3g flops an epoch, %.0f bytes of memory",
		    number(o, "instructions"), number(o, "flops"), number(o, "bytes"));
	if (json_object_get(o, "ms"))
		rn_str_addf(out, ", %.3f ms (the least of %.0f epochs)", number(o, "ms"),
			    number(o, "epochs") / 2);
	else if (untimed)
		rn_str_addf(out, ", not run: %s", untimed);
}

static void print_fit(const json_t *f, struct rn_str *out)
{
	const char *lowered = json_string_value(json_object_get(f, "lowered"));
	const json_t *written = json_object_get(f, "written");
	const char *pass;
	json_t *times;

	rn_str_addf(out, "\nfit(%s): ", json_string_value(json_object_get(f, "loss")));
	print_totals(f, out);
	if (written) {
		rn_str_add(out, "\nas it is written: ");
		print_totals(written, out);
	}
	rn_str_addc(out, '\n');
	json_object_foreach(json_object_get(f, "passes"), pass, times)
		rn_str_addf(out, "%s: in %" JSON_INTEGER_FORMAT " place%s\n", pass,
			    json_integer_value(times), json_integer_value(times) == 1 ? "" : "s");
	rn_str_addc(out, '\n');
	print_table(f, out);
	if (lowered)
		rn_str_addf(out, "\nlowered:\n%s\nrun:\n%s", lowered,
			    json_string_value(json_object_get(f, "program")));
}

int rn_analyze_print(const json_t *o, struct rn_str *out, struct rn_err *e)
{
	const json_t *fits = json_object_get(o, "fits");
	const char *refused = json_string_value(json_object_get(o, "refused"));

	if (refused)
		rn_str_addf(out, "\nas it is written: %s\n", refused);
	for (size_t i = 0; i < json_array_size(fits); i++)
		print_fit(json_array_get(fits, i), out);
	if (json_object_get(o, "peak_bytes"))
		rn_str_addf(out, "\nmeasured: %.0f bytes of memory at most, of this program with its data%s\n",
			    number(o, "peak_bytes"), refused ? "" : " and all plans above");
	return rn_str_check(out, e);
}

/* ---- notes ---------------------------------------------------------------------------------- */

static int note(const json_t *o, bool written, const char *name, char **out, struct rn_err *e)
{
	const json_t *fits = json_object_get(o, "fits");
	double flops = 0, bytes = 0, ms = 0;
	struct rn_str text = RN_STR_INIT;
	bool any = false, timed = false;
	int rc = 0;

	for (size_t i = 0; i < json_array_size(fits); i++) {
		const json_t *f = json_array_get(fits, i), *s;

		f = written ? json_object_get(f, "written") : f;
		s = find(json_object_get(f, "stages"), name);
		any = any || s;
		timed = timed || json_object_get(s, "ms");
		flops += number(s, "flops");
		bytes += number(s, "bytes");
		ms += number(s, "ms");
	}
	*out = NULL;
	if (!any)
		return 0;
	print_short(flops, &text);
	rn_str_add(&text, " flops, ");
	print_short(bytes, &text);
	rn_str_add(&text, " bytes");
	if (timed)
		rn_str_addf(&text, ", %.3g ms", ms);
	rc = rn_str_check(&text, e);
	*out = rc ? NULL : strdup(text.s);
	rn_str_fini(&text);
	return rc ? rc : *out ? 0 : rn_err_nomem(e, 0, "a report");
}

void rn_analyze_notes_free(char **notes, const struct rn_plan *p)
{
	for (uint32_t i = 0; notes && i < p->nnodes; i++)
		free(notes[i]);
	free(notes);
}

int rn_analyze_notes(const json_t *o, bool written, const struct rn_plan *p, char ***notes,
		     struct rn_err *e)
{
	int rc;

	RN_TRY(rn_calloc(p->nnodes, sizeof **notes, "a report", notes, e));
	for (uint32_t i = 0; i < p->nnodes; i++) {
		rc = note(o, written, p->nodes[i].name, &(*notes)[i], e);
		if (rc) {
			rn_analyze_notes_free(*notes, p);
			return rc;
		}
	}
	return 0;
}
