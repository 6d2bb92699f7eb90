/* SPDX-License-Identifier: Apache-2.0 */
#include "diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void rn_diag_init(struct rn_diag *d, const char *file, const char *text, size_t len)
{
	*d = (struct rn_diag){ .file = file, .text = text, .len = len, .out = RN_STR_INIT };
}

void rn_diag_fini(struct rn_diag *d)
{
	rn_str_fini(&d->out);
}

static bool continues(char c) /* a byte of a UTF-8 character after its first */
{
	return ((unsigned char)c & 0xC0) == 0x80;
}

/* Start and end of the line that holds `at`. */
static void line_around(const struct rn_diag *d, uint32_t at, size_t *from, size_t *to)
{
	*from = *to = at < d->len ? at : d->len;
	while (*from && d->text[*from - 1] != '\n')
		--*from;
	while (*to < d->len && d->text[*to] != '\n' && d->text[*to] != '\r')
		++*to;
}

void rn_diag_place(const struct rn_diag *d, uint32_t at, uint32_t *line, uint32_t *col)
{
	size_t from, to;

	line_around(d, at, &from, &to);
	*line = 1;
	for (const char *p = d->text; (p = memchr(p, '\n', (size_t)(d->text + from - p))); p++)
		++*line;
	*col = 1;
	for (size_t i = from; i < at && i < d->len; i++)
		*col += !continues(d->text[i]);
}

/* The line's text with a caret below; long lines are cut around it. */
static void add_source(struct rn_diag *d, uint32_t at, uint32_t end, uint32_t line)
{
	enum { BEFORE = 60, AFTER = 100 };
	size_t from, to;
	uint32_t marks = 0;
	int width;

	line_around(d, at, &from, &to);
	if (at - from > BEFORE)
		for (from = at - BEFORE; from < at && continues(d->text[from]); from++)
			;
	if (to - from > AFTER)
		for (to = from + AFTER; to > from && continues(d->text[to]); to--)
			;
	width = snprintf(NULL, 0, "%u", line);
	rn_str_addf(&d->out, "  %u | ", line);
	for (size_t i = from; i < to; i++)
		rn_str_addc(&d->out, (unsigned char)d->text[i] < ' ' ? ' ' : d->text[i]);
	rn_str_addf(&d->out, "\n  %*s | ", width, "");
	for (size_t i = from; i < at && i < to; i++)
		if (!continues(d->text[i]))
			rn_str_addc(&d->out, ' ');
	rn_str_addc(&d->out, '^');
	for (size_t i = (size_t)at + 1; i < end && i < to && marks < AFTER; i++)
		if (!continues(d->text[i])) {
			rn_str_addc(&d->out, '~');
			marks++;
		}
	rn_str_addc(&d->out, '\n');
}

static void add_frames(struct rn_diag *d)
{
	enum { SHOWN = 6 };
	const struct rn_diag_frame *last = NULL;
	uint32_t line, col, shown = 0;

	for (const struct rn_diag_frame *f = d->top; f; f = f->up) {
		if (last && f->at == last->at && !strcmp(f->what, last->what))
			continue;
		if (++shown > SHOWN) {
			rn_str_addf(&d->out, "  ... and %u more\n", f->depth);
			return;
		}
		rn_diag_place(d, f->at, &line, &col);
		rn_str_addf(&d->out, "  in %s, which line %u asks for\n", f->what, line);
		last = f;
	}
}

static void add_message(struct rn_diag *d, uint32_t at, uint32_t end, const char *fmt, va_list ap)
{
	uint32_t line, col;
	char msg[1024];

	rn_diag_place(d, at, &line, &col);
	vsnprintf(msg, sizeof msg, fmt, ap);
	rn_str_addf(&d->out, "%s:%u:%u: %s\n", d->file, line, col, msg);
	add_source(d, at, end, line);
	add_frames(d);
}

int rn_diag_error(struct rn_diag *d, uint32_t at, uint32_t end, const char *fmt, ...)
{
	va_list ap;

	for (uint32_t i = 0; d->lenient && i < d->errors && i < RN_DIAG_MAX; i++)
		if (d->told[i] == at)
			return RN_EUSAGE;
	if (d->stopped || d->errors++ >= RN_DIAG_MAX)
		return RN_EUSAGE;
	d->told[d->errors - 1] = at;
	va_start(ap, fmt);
	add_message(d, at, end, fmt, ap);
	va_end(ap);
	return RN_EUSAGE;
}

int rn_diag_limit(struct rn_diag *d, uint32_t at, uint32_t end, const char *fmt, ...)
{
	va_list ap;

	if (!d->stopped && !d->lenient && d->errors++ < RN_DIAG_MAX) {
		va_start(ap, fmt);
		add_message(d, at, end, fmt, ap);
		va_end(ap);
	}
	d->stopped = true;
	return RN_EUSAGE;
}

void rn_diag_warn(struct rn_diag *d, uint32_t at, uint32_t end, const char *fmt, ...)
{
	va_list ap;

	for (uint32_t i = 0; i < d->warnings; i++)
		if (d->warned[i] == at)
			return;
	if (d->warnings >= RN_DIAG_MAX || d->lenient)
		return;
	d->warned[d->warnings++] = at;
	va_start(ap, fmt);
	add_message(d, at, end, fmt, ap);
	va_end(ap);
}

bool rn_diag_full(const struct rn_diag *d)
{
	return d->stopped || d->errors >= RN_DIAG_MAX;
}

int rn_diag_result(const struct rn_diag *d, struct rn_err *e)
{
	enum { ROOM = 1900 };
	size_t n = d->out.len;

	if (!d->errors)
		return 0;
	while (n && d->out.s[n - 1] == '\n')
		n--;
	if (n <= ROOM && d->errors < RN_DIAG_MAX)
		return rn_err_set(e, RN_EUSAGE, "%.*s", (int)n, d->out.s);
	/* Cut before the message that does not fit: each begins with the file's name. */
	if (n > ROOM) {
		size_t k = strlen(d->file), cut = 0;

		for (size_t i = 1; i < ROOM && i + k < n; i++)
			if (d->out.s[i - 1] == '\n' && !strncmp(d->out.s + i, d->file, k))
				cut = i - 1;
		n = cut ? cut : ROOM;
	}
	return rn_err_set(e, RN_EUSAGE, d->errors < RN_DIAG_MAX ? "%.*s\n... (%u errors in all)"
								: "%.*s\n... (the first %u errors)",
			  (int)n, d->out.s, d->errors < RN_DIAG_MAX ? d->errors : RN_DIAG_MAX);
}

void rn_diag_push(struct rn_diag *d, struct rn_diag_frame *f, const char *what, uint32_t at)
{
	*f = (struct rn_diag_frame){ what, at, d->top ? d->top->depth + 1 : 1, d->top };
	d->top = f;
}
