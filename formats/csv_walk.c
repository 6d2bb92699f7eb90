/* SPDX-License-Identifier: Apache-2.0
 *
 * The fields of a chunk.  Separated text without quotes, where every row has its number
 * of fields, needs only the positions of delimiters and line feeds; all else is walked
 * from mark to mark.  After a fault the walk goes on at the next line.
 */
#include "csv_scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- chunks ---------------------------------------------------------------------------- */

enum { KEEP_TEXT = 4 << 20 }; /* a buffer larger than this served a long row: not kept */

static void free_buffers(struct rn_csv_chunk *k)
{
	free(k->text);
	free(k->marks);
	free(k->pos);
	free(k->fields);
	free(k->line);
	free(k->types);
	free(k->bad_col);
}

void rn_csv_chunk_clear(struct rn_csv_chunk *k, bool all)
{
	rn_rel_unref(k->rel);
	for (size_t i = 0; i < RN_CSV_MAX_SHOWN; i++)
		free(k->bad[i].what);
	if (all || k->cap > KEEP_TEXT) {
		free_buffers(k);
		memset(k, 0, sizeof *k);
		return;
	}
	*k = (struct rn_csv_chunk){
		.text = k->text, .cap = k->cap,
		.marks = k->marks, .marks_cap = k->marks_cap,
		.pos = k->pos, .pos_cap = k->pos_cap,
		.fields = k->fields, .fields_cap = k->fields_cap,
		.line = k->line, .line_cap = k->line_cap,
		.types = k->types, .types_cap = k->types_cap,
		.bad_col = k->bad_col, .bad_cap = k->bad_cap,
	};
}

void rn_csv_restart(struct rn_csv_chunk *k)
{
	if (k->fatal)
		return;
	for (size_t i = 0; i < RN_CSV_MAX_SHOWN; i++) {
		free(k->bad[i].what);
		k->bad[i].what = NULL;
	}
	k->nbad = 0;
	k->rows = 0;
	k->lines = 0;
	k->stopped = k->new_key = false;
}

int rn_csv_add_bad(const struct rn_csv_rules *u, struct rn_csv_chunk *k, size_t row, size_t at,
		   size_t byte, struct rn_err *e, const char *fmt, ...)
{
	struct rn_csv_bad b = { .row = (uint32_t)row, .at = (uint32_t)at, .byte = (uint32_t)byte };
	size_t n = k->nbad < RN_CSV_MAX_SHOWN ? (size_t)k->nbad : RN_CSV_MAX_SHOWN, i = n;
	char what[1024];
	va_list ap;

	k->nbad++;
	k->stopped = k->stopped || !u->skip_bad;
	while (i && k->bad[i - 1].row > b.row)
		i--;
	if (i == RN_CSV_MAX_SHOWN)
		return 0;
	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	b.what = strdup(what);
	if (!b.what)
		return rn_err_nomem(e, strlen(what) + 1, "a message");
	if (n == RN_CSV_MAX_SHOWN)
		free(k->bad[--n].what);
	memmove(&k->bad[i + 1], &k->bad[i], (n - i) * sizeof b);
	k->bad[i] = b;
	return 0;
}

size_t rn_csv_byte_of(const struct rn_csv_chunk *k, size_t at)
{
	size_t line = at;

	while (line > k->begin && k->text[line - 1] != '\n')
		line--;
	return at - line + 1;
}

/* ---- from mark to mark ----------------------------------------------------------------- */

struct walker {
	const struct rn_csv_rules *rules;
	struct rn_csv_chunk *k;
	size_t at;   /* where the next row begins */
	size_t mark; /* the first from there on */
	const char *what; /* the row is malformed, at `fault` */
	size_t fault;
	size_t from; /* the walk goes on behind the line feed that comes next from here on */
};

static bool fault(struct walker *w, size_t at, const char *what)
{
	w->fault = w->from = at;
	w->what = what;
	return false;
}

/* The quoted field that opens at mark *m: *m is then what ends it. */
static bool walk_quoted(struct walker *w, size_t *m)
{
	const uint32_t *marks = w->k->marks + 1;
	const char *t = w->k->text;

	for (size_t j = *m + 1; j < w->k->nmarks; j++) {
		size_t at = marks[j];

		if (!t[at])
			return fault(w, at, "there is a NUL byte");
		if (t[at] != '"')
			continue;
		if (t[at + 1] == '"') {
			j++;
			continue;
		}
		/* What follows must matter, and come next. */
		if (j + 1 == w->k->nmarks || marks[j + 1] != at + 1)
			return fault(w, at + 1, "there is text after a closing quote");
		*m = j + 1;
		return true;
	}
	fault(w, marks[*m], "a quote is not closed");
	w->from = w->at;
	return false;
}

/* One row, its fields' ends behind k->pos[k->npos] (not counted in npos). */
static bool walk_row(struct walker *w, size_t *n)
{
	const uint32_t *marks = w->k->marks + 1;
	uint32_t *pos = w->k->pos + w->k->npos;
	const char *t = w->k->text;
	size_t start = w->at;

	*n = 0;
	pos[0] = (uint32_t)start - 1;
	for (size_t m = w->mark;; m++) {
		size_t at = marks[m];

		if (t[at] == '"') {
			if (at != start)
				continue; /* within an unquoted field it is a letter */
			if (!walk_quoted(w, &m))
				return false;
			at = marks[m];
		}
		if (!t[at])
			return fault(w, at, "there is a NUL byte");
		if (t[at] == '\r') {
			if (t[at + 1] != '\n')
				return fault(w, at,
					     "a carriage return is not followed by a line feed");
			m++;
		}
		pos[++*n] = (uint32_t)at;
		if (t[at] != w->rules->delimiter) {
			w->at = (size_t)marks[m] + 1;
			w->mark = m + 1;
			return true;
		}
		start = at + 1;
	}
}

/* Past the first line feed from `from` on. */
static void skip_line(struct walker *w, size_t from)
{
	const uint32_t *marks = w->k->marks + 1;

	while (w->mark < w->k->nmarks &&
	       (marks[w->mark] < from || w->k->text[marks[w->mark]] != '\n'))
		w->mark++;
	w->at = w->mark < w->k->nmarks ? (size_t)marks[w->mark++] + 1 : w->k->len;
}

/* At the first field too many, or at the end, where one is missing. */
static int bad_length(struct walker *w, size_t row, size_t n, size_t ncols, struct rn_err *e)
{
	const uint32_t *pos = w->k->pos + w->k->npos;
	size_t at = n > ncols ? (size_t)pos[ncols] + 1 : pos[n];

	return rn_csv_add_bad(w->rules, w->k, row, at, rn_csv_byte_of(w->k, at), e,
			      "%zu field%s where %s %zu", n, n == 1 ? "" : "s", w->rules->whose, ncols);
}

/* The next row: *n fields, or 0 at the end or where it stopped. */
static int next_row(struct walker *w, size_t *n, struct rn_err *e)
{
	struct rn_csv_chunk *k = w->k;

	*n = 0;
	while (w->at < k->len && !k->stopped) {
		size_t row = w->at;

		if (w->rules->comment && k->text[row] == w->rules->comment) {
			skip_line(w, row);
			continue;
		}
		if (walk_row(w, n))
			return 0;
		*n = 0;
		skip_line(w, w->from);
		RN_TRY(rn_csv_add_bad(w->rules, k, row, w->fault, rn_csv_byte_of(k, w->fault), e, "%s",
				      w->what));
	}
	return 0;
}

static int start_walk(const struct rn_csv_rules *u, struct rn_csv_chunk *k, struct walker *w,
		      struct rn_err *e)
{
	*w = (struct walker){ .rules = u, .k = k, .at = k->from };
	k->npos = 0;
	RN_TRY(rn_csv_index(k, u->delimiter, true, e));
	/* A row takes a mark at least, and has one position more than it has fields. */
	return rn_grow(&k->pos, &k->pos_cap, 2 * k->nmarks + 2, sizeof *k->pos, "positions", e);
}

static int walk_rows(const struct rn_csv_rules *u, struct rn_csv_chunk *k, size_t ncols,
		     size_t most, struct rn_err *e)
{
	struct walker w;

	RN_TRY(start_walk(u, k, &w, e));
	while (k->rows < most) {
		size_t row, n;

		RN_TRY(next_row(&w, &n, e));
		if (!n)
			break;
		row = (size_t)(uint32_t)(k->pos[k->npos] + 1);
		if (n == ncols) {
			k->npos += n + 1;
			k->rows++;
		} else if (n > 1 || k->pos[k->npos + 1] != row) { /* else a blank line */
			RN_TRY(bad_length(&w, row, n, ncols, e));
		}
	}
	k->at = k->pos;
	k->stride = ncols + 1;
	return 0;
}

/* ---- without a walk -------------------------------------------------------------------- */

/* Are the marks the fields of rows of ncols each? */
static bool is_regular(const struct rn_csv_chunk *k, size_t ncols)
{
	const uint32_t *marks = k->marks + 1;

	if (k->broken || k->nmarks != k->lines * ncols)
		return false;
	for (size_t i = ncols - 1; ncols > 1 && i < k->nmarks; i += ncols)
		if (k->text[marks[i]] != '\n')
			return false;
	return true;
}

int rn_csv_find_rows(const struct rn_csv_rules *u, struct rn_csv_chunk *k, size_t ncols,
		     size_t most, struct rn_err *e)
{
	bool comment = u->comment && memchr(k->text + k->from, u->comment, k->len - k->from);

	rn_csv_restart(k);
	if (k->fatal || k->from == k->len)
		return 0;
	if (!k->quotes && !comment) {
		RN_TRY(rn_csv_index(k, u->delimiter, false, e));
		if (is_regular(k, ncols)) {
			k->at = k->marks;
			k->stride = ncols;
			k->rows = k->lines < most ? k->lines : most;
			return 0;
		}
	}
	return walk_rows(u, k, ncols, most, e);
}

int rn_csv_take_first(const struct rn_csv_rules *u, struct rn_csv_chunk *k, size_t *n,
		      struct rn_err *e)
{
	struct walker w;
	size_t from = k->from;

	*n = 0;
	rn_csv_restart(k);
	if (k->fatal)
		return 0;
	RN_TRY(start_walk(u, k, &w, e));
	do
		RN_TRY(next_row(&w, n, e));
	while (*n == 1 && k->pos[1] == k->pos[0] + 1);
	k->at = k->pos;
	k->from = w.at;
	for (size_t i = from; i < k->from; i++)
		k->head_lines += k->text[i] == '\n';
	return 0;
}

/* ---- JSON lines ------------------------------------------------------------------------ */

static bool is_blank(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\r'))
		p++;
	return p == end;
}

/* The row has the key that begins at `key` and is no column. */
static int bad_key(const struct rn_csv_rules *u, struct rn_csv_chunk *k, size_t row,
		   const char *key, struct rn_err *e)
{
	int n = 0;

	while (key[n] != '"')
		n += 1 + (key[n] == '\\');
	return rn_csv_add_bad(u, k, row, row, 0, e,
			      "the key '%.*s' is new after %d rows (name it with --types)", n, key,
			      RN_CSV_SAMPLE);
}

int rn_csv_next_line(const struct rn_csv_rules *u, struct rn_csv_chunk *k,
		     struct rn_json_keys *keys, enum rn_csv_new_key how, size_t *at, bool *there,
		     struct rn_err *e)
{
	*there = false;
	while (*at < k->len && !k->stopped) {
		const char *line = k->text + *at, *what, *where;
		const char *lf = memchr(line, '\n', k->len - *at);
		size_t row = *at;

		*at = (size_t)(lf - k->text) + 1;
		k->lines++;
		if (is_blank(line, lf))
			continue;
		RN_TRY(rn_json_scan_object(keys, how == RN_CSV_KEY_ADD, line, lf, &k->line,
					   &k->line_cap, &what, &where, e));
		if (!what) {
			*there = true;
			return 0;
		}
		if (what == rn_json_new_key && how == RN_CSV_KEY_STOP)
			k->stopped = k->new_key = true;
		else if (what == rn_json_new_key)
			RN_TRY(bad_key(u, k, row, where, e));
		else
			RN_TRY(rn_csv_add_bad(u, k, row, row, (size_t)(where - line) + 1, e, "%s",
					      what));
	}
	return 0;
}

int rn_csv_find_lines(const struct rn_csv_rules *u, struct rn_csv_chunk *k,
		      struct rn_json_keys *keys, enum rn_csv_new_key how, struct rn_err *e)
{
	size_t at = k->from, n = keys->n;
	bool there;

	rn_csv_restart(k);
	for (;;) {
		RN_TRY(rn_csv_next_line(u, k, keys, how, &at, &there, e));
		if (!there)
			return 0;
		if (k->fields_cap < (k->rows + 1) * n)
			RN_TRY(rn_grow(&k->fields, &k->fields_cap, (k->rows + 1) * n,
				       sizeof *k->fields, "fields", e));
		if (n)
			memcpy(k->fields + k->rows * n, k->line, n * sizeof *k->fields);
		k->rows++;
	}
}
