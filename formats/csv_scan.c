/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading, and cutting at ends of rows.  Text without a quote is cut at its last line
 * feed.  Else the quotes are walked from the chunk's first row on, by the rules of the
 * walk that finds the fields (csv_walk.c): where that meets a malformed row and goes on
 * at the next line, so does this.
 */
#include "csv_scan.h"

#include "csv_masks.h"
#include "text_in.h"

#include <stdlib.h>
#include <string.h>

enum {
	CHUNK = 256 << 10, /* with what becomes of it, in a second-level cache */
	MIN_CHUNK = 4, /* more than a byte order mark */
};

struct rn_csv_scan {
	struct rn_text_in *in;
	struct rn_csv_rules rules;
	size_t chunk, most_lines;
	/* What was read past the end of the last chunk. */
	char *rest;
	size_t nrest, rest_cap;
	bool started, eof;
};

/* ---- where rows end -------------------------------------------------------------------- */

enum state {
	OUTSIDE, /* of quotes */
	INSIDE,
	SKIPPING /* a comment, or what follows a fault in its row: up to a line feed */
};

struct cut {
	size_t at;  /* looked at up to here */
	size_t end; /* of the last whole row: the next one begins here */
	size_t lines;
	size_t open; /* INSIDE: the quote */
	enum state state;
	bool walking;
	bool fresh; /* nothing of the row at `end` was looked at */
};

/* The mark at p, where there is a byte after it: how many bytes it takes. */
static size_t step(const struct rn_csv_rules *u, struct cut *c, const char *t, size_t p)
{
	char next = t[p + 1];

	if (c->fresh && u->comment && t[c->end] == u->comment)
		c->state = SKIPPING;
	c->fresh = false;
	if (t[p] == '\n' && c->state != INSIDE) {
		c->state = OUTSIDE;
		c->end = p + 1;
		c->fresh = true;
	} else if (!t[p]) {
		c->state = SKIPPING;
	} else if (t[p] == '\r' && c->state == OUTSIDE && next != '\n') {
		c->state = SKIPPING;
	} else if (t[p] == '"' && c->state == OUTSIDE) {
		if (p == c->end || t[p - 1] == u->delimiter) {
			c->state = INSIDE;
			c->open = p;
		}
	} else if (t[p] == '"' && c->state == INSIDE) {
		if (next == '"')
			return 2;
		c->state = next == u->delimiter || next == '\n' || next == '\r' ? OUTSIDE : SKIPPING;
	}
	return 1;
}

/* Walk from c->at as far as can be decided. */
static void walk(const struct rn_csv_rules *u, struct cut *c, const char *t, size_t len)
{
	size_t skip = c->at;

	for (size_t block = c->at; block < len; block += 64) {
		uint64_t m = rn_csv_quote_mask(t + block);

		if (len - block < 64)
			m &= ((uint64_t)1 << (len - block)) - 1;
		for (; m; m &= m - 1) {
			size_t p = block + (size_t)__builtin_ctzll(m);

			if (p < skip)
				continue;
			/* A last line feed needs no byte after it. */
			if (p + 1 == len && t[p] != '\n') {
				c->at = p;
				return;
			}
			skip = p + step(u, c, t, p);
		}
	}
	c->at = skip > len ? skip : len;
}

static void find_lines(struct cut *c, const char *t, size_t len, size_t most)
{
	while (c->lines < most) {
		const char *lf = c->at < len ? memchr(t + c->at, '\n', len - c->at) : NULL;

		c->at = lf ? (size_t)(lf - t) + 1 : len;
		if (!lf)
			break;
		c->end = c->at;
		c->lines++;
	}
}

/* Find c->end in what is new of the text. */
static void find_end(const struct rn_csv_scan *s, struct cut *c, struct rn_csv_chunk *k)
{
	const char *lf;

	if (s->rules.json && s->most_lines) {
		find_lines(c, k->text, k->len, s->most_lines);
		return;
	}
	if (!s->rules.json && !c->walking && c->at < k->len &&
	    memchr(k->text + c->at, '"', k->len - c->at)) {
		c->walking = k->quotes = true;
		c->fresh = true;
		c->at = c->end;
	}
	if (c->walking) {
		walk(&s->rules, c, k->text, k->len);
		return;
	}
	lf = c->at < k->len ? memrchr(k->text + c->at, '\n', k->len - c->at) : NULL;
	if (lf)
		c->end = (size_t)(lf - k->text) + 1;
	c->at = k->len;
}

/* ---- reading --------------------------------------------------------------------------- */

/* Read until there are `want` bytes; at the end of all, add a line feed that is missing. */
static int fill(struct rn_csv_scan *s, struct rn_csv_chunk *k, size_t want, struct rn_err *e)
{
	size_t got;

	RN_TRY(rn_grow(&k->text, &k->cap, want + 1 + RN_CSV_PAD, 1, "text", e));
	RN_TRY(rn_text_in_read(s->in, k->text + k->len, want - k->len, &got, e));
	s->eof = got < want - k->len;
	k->len += got;
	if (!s->started && k->len >= 3 && memcmp(k->text, "\xEF\xBB\xBF", 3) == 0)
		k->from = 3; /* a byte order mark */
	s->started = true;
	if (s->eof && k->len > k->from && k->text[k->len - 1] != '\n')
		k->text[k->len++] = '\n';
	return 0;
}

/* The first buffer is no larger than a file that is known to be small. */
static size_t first_size(const struct rn_csv_scan *s)
{
	uint64_t size = s->started ? 0 : rn_text_in_size(s->in);

	return size && size < s->chunk ? (size_t)size + 1 : s->chunk;
}

static int keep_rest(struct rn_csv_scan *s, struct rn_csv_chunk *k, size_t end, struct rn_err *e)
{
	s->nrest = k->len - end;
	RN_TRY(rn_grow(&s->rest, &s->rest_cap, s->nrest, 1, "text", e));
	if (s->nrest)
		memcpy(s->rest, k->text + end, s->nrest);
	k->len = end;
	memset(k->text + k->len, 0, RN_CSV_PAD);
	return 0;
}

/* The row that begins the chunk has no end, or none that is near: nothing behind it is a row
 * for certain, and it is not kept. */
static int tell_endless(struct rn_csv_scan *s, const struct cut *c, struct rn_csv_chunk *k,
			struct rn_err *e)
{
	size_t at = c->state == INSIDE ? c->open : k->from, byte, most = s->rules.max_row >> 20;

	k->begin = k->from;
	byte = rn_csv_byte_of(k, at);
	if (c->state != INSIDE)
		RN_TRY(rn_csv_add_bad(&s->rules, k, k->from, at, byte, e, "the row is longer than %zu MiB", most));
	else if (s->eof)
		RN_TRY(rn_csv_add_bad(&s->rules, k, k->from, at, byte, e, "a quote is not closed"));
	else
		RN_TRY(rn_csv_add_bad(&s->rules, k, k->from, at, byte, e,
				      "a quote is not closed: the row would be longer than %zu MiB", most));
	k->stopped = k->fatal = s->eof = true;
	k->len = k->from;
	s->nrest = 0;
	return 0;
}

int rn_csv_scan_chunk(struct rn_csv_scan *s, struct rn_csv_chunk *k, bool *got, struct rn_err *e)
{
	size_t want = s->nrest < s->chunk ? first_size(s) : s->nrest;
	size_t most = s->rules.max_row;
	struct cut c = { 0 };
	bool open;

	rn_csv_chunk_clear(k, false);
	RN_TRY(rn_grow(&k->text, &k->cap, want + 1 + RN_CSV_PAD, 1, "text", e));
	if (s->nrest)
		memcpy(k->text, s->rest, s->nrest);
	k->len = s->nrest;
	for (;;) {
		if (!s->eof)
			RN_TRY(fill(s, k, want, e));
		memset(k->text + k->len, 0, RN_CSV_PAD);
		if (c.end < k->from)
			c.at = c.end = k->from;
		find_end(s, &c, k);
		/* With --skip-bad, the lines behind an open quote may be rows. */
		open = s->eof && c.state == INSIDE && !s->rules.skip_bad;
		if (s->eof && !open && !(s->rules.json && s->most_lines))
			c.end = k->len;
		if (c.end > k->from || (s->eof && !open))
			break;
		if (open || k->len - k->from > most) {
			*got = true;
			return tell_endless(s, &c, k, e);
		}
		want = 2 * k->len > s->chunk ? 2 * k->len : s->chunk;
		if (want > k->from + most + 1)
			want = k->from + most + 1;
	}
	k->begin = k->from;
	*got = c.end > k->from;
	return keep_rest(s, k, c.end, e);
}

/* ---- life ------------------------------------------------------------------------------ */

int rn_csv_scan_open(struct rn_io *io, const struct rn_csv_rules *rules, size_t chunk,
		     struct rn_csv_scan **out, struct rn_err *e)
{
	struct rn_csv_scan *s;
	struct rn_text_in *in;
	int rc;

	RN_TRY(rn_text_in_open(io, &in, e));
	rc = rn_calloc(1, sizeof *s, "a text reader", &s, e);
	if (rc) {
		rn_text_in_close(in);
		return rc;
	}
	s->in = in;
	s->rules = *rules;
	s->chunk = chunk ? chunk : CHUNK;
	if (s->chunk < MIN_CHUNK)
		s->chunk = MIN_CHUNK;
	*out = s;
	return 0;
}

void rn_csv_scan_limit(struct rn_csv_scan *s, size_t lines)
{
	s->most_lines = lines;
}

bool rn_csv_scan_can_rewind(const struct rn_csv_scan *s)
{
	return rn_text_in_can_rewind(s->in);
}

int rn_csv_scan_rewind(struct rn_csv_scan *s, struct rn_err *e)
{
	s->nrest = 0;
	s->started = s->eof = false;
	return rn_text_in_rewind(s->in, e);
}

struct rn_text_in *rn_csv_scan_input(struct rn_csv_scan *s)
{
	return s->in;
}

void rn_csv_scan_close(struct rn_csv_scan *s)
{
	if (!s)
		return;
	rn_text_in_close(s->in);
	free(s->rest);
	free(s);
}
