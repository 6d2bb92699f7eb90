/* SPDX-License-Identifier: Apache-2.0 */
#include "term.h"

#include "../lib/base/mem.h"
#include "../lib/base/utf8.h"

#include <limits.h>
#include <locale.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

struct rn_term rn_term_of(int fd)
{
	const char *no_color = getenv("NO_COLOR"), *kind = getenv("TERM");
	struct rn_term t = { .is = isatty(fd) };
	struct winsize size = { 0 };

	/* wcwidth(3) knows the characters of the locale only, and the streams are UTF-8
	 * whatever the user's is. */
	setlocale(LC_CTYPE, "C.UTF-8");
	if (!t.is)
		return t;
	t.dumb = !kind || !*kind || !strcmp(kind, "dumb");
	t.colour = !t.dumb && !(no_color && *no_color);
	t.width = ioctl(fd, TIOCGWINSZ, &size) || !size.ws_col ? 80 : size.ws_col;
	return t;
}

/* ---- characters ------------------------------------------------------------------------- */

/* The character at s and its length; U+FFFD for a byte that begins none. */
static size_t decode(const char *s, size_t n, uint32_t *out)
{
	const unsigned char *b = (const unsigned char *)s;
	size_t len = b[0] < 0x80 ? 1 : b[0] < 0xE0 ? 2 : b[0] < 0xF0 ? 3 : 4;

	*out = 0xFFFD;
	if (len > n || !rn_utf8_valid(s, len))
		return 1;
	*out = len == 1 ? b[0] : b[0] & (0x7Fu >> len);
	for (size_t i = 1; i < len; i++)
		*out = *out << 6 | (b[i] & 0x3F);
	return len;
}

static uint32_t harmless(uint32_t c)
{
	if (c < 0x20)
		return 0x2400 + c;
	if (c == 0x7F)
		return 0x2421;
	if ((c >= 0x80 && c < 0xA0) || c == 0x2028 || c == 0x2029 || (c >= 0x202A && c <= 0x202E) ||
	    (c >= 0x2066 && c <= 0x2069) || c == 0x200E || c == 0x200F || c == 0x061C)
		return 0xFFFD;
	return c;
}

static unsigned char_width(uint32_t c)
{
	int w = c < 0x7F ? 1 : wcwidth((wchar_t)c);

	return w < 0 ? 1 : (unsigned)w;
}

static void add_char(struct rn_str *out, uint32_t c)
{
	char b[4];

	if (c < 0x80) {
		rn_str_addc(out, (char)c);
	} else if (c < 0x800) {
		b[0] = (char)(0xC0 | c >> 6);
		b[1] = (char)(0x80 | (c & 0x3F));
		rn_str_addn(out, b, 2);
	} else if (c < 0x10000) {
		b[0] = (char)(0xE0 | c >> 12);
		b[1] = (char)(0x80 | (c >> 6 & 0x3F));
		b[2] = (char)(0x80 | (c & 0x3F));
		rn_str_addn(out, b, 3);
	} else {
		b[0] = (char)(0xF0 | c >> 18);
		b[1] = (char)(0x80 | (c >> 12 & 0x3F));
		b[2] = (char)(0x80 | (c >> 6 & 0x3F));
		b[3] = (char)(0x80 | (c & 0x3F));
		rn_str_addn(out, b, 4);
	}
}

/* Bytes from the start that are ASCII and no controls: a column each. */
static size_t plain_prefix(const char *s, size_t n)
{
	size_t i = 0;

	while (i < n && (unsigned char)s[i] >= 0x20 && (unsigned char)s[i] < 0x7F)
		i++;
	return i;
}

unsigned rn_term_width(const char *s, size_t n, unsigned most)
{
	unsigned width = 0;
	uint32_t c;

	for (size_t i = 0; i < n && width <= most;) {
		i += decode(s + i, n - i, &c);
		width += char_width(harmless(c));
	}
	return width;
}

unsigned rn_term_put(struct rn_str *out, const char *s, size_t n, unsigned most)
{
	unsigned width = 0, full, room, w;
	uint32_t c;

	if (n <= most && plain_prefix(s, n) == n) {
		rn_str_addn(out, s, n);
		return (unsigned)n;
	}
	if (!most)
		return 0;
	full = rn_term_width(s, n, most);
	room = full > most ? most - 1 : most;
	for (size_t i = 0; i < n; width += w) {
		i += decode(s + i, n - i, &c);
		c = harmless(c);
		w = char_width(c);
		if (w > room - width)
			break;
		add_char(out, c);
	}
	if (full <= most)
		return width;
	rn_str_add(out, "…");
	return width + 1;
}

void rn_term_fill(struct rn_str *out, const char *s, unsigned n)
{
	while (n--)
		rn_str_add(out, s);
}

void rn_term_style(const struct rn_term *t, enum rn_term_style style, struct rn_str *out)
{
	static const char *const codes[] = { "\033[0m", "\033[1m", "\033[2m" };

	if (t->colour)
		rn_str_add(out, codes[style]);
}

void rn_term_pad(struct rn_str *out, const char *s, unsigned width)
{
	unsigned w = rn_term_put(out, s, strlen(s), UINT_MAX);

	if (w < width)
		rn_term_fill(out, " ", width - w);
}

/* ---- small tables ------------------------------------------------------------------------- */

enum {
	WIDEST = 28,     /* a column, but the last one */
	LEAST_LAST = 16, /* what is left of the last one where it is cut */
};

int rn_term_grid_init(struct rn_term_grid *g, size_t rows, size_t cols, struct rn_err *e)
{
	*g = (struct rn_term_grid){ .rows = rows, .cols = cols };
	RN_TRY(rn_calloc(cols, sizeof *g->right, "a table", &g->right, e));
	if (rn_calloc(rows * cols, sizeof *g->cells, "a table", &g->cells, e)) {
		free(g->right);
		return RN_ENOMEM;
	}
	for (size_t i = 0; i < rows * cols; i++)
		g->cells[i] = RN_STR_INIT;
	return 0;
}

void rn_term_grid_fini(struct rn_term_grid *g)
{
	for (size_t i = 0; i < g->rows * g->cols; i++)
		rn_str_fini(&g->cells[i]);
	free(g->cells);
	free(g->right);
}

/* How wide column k is; 0 if there is nothing in it. */
static unsigned grid_column(const struct rn_term_grid *g, size_t k)
{
	unsigned most = k + 1 < g->cols ? WIDEST : UINT_MAX - 1, width = 0;

	for (size_t i = 1; i < g->rows; i++) {
		const struct rn_str *s = &g->cells[i * g->cols + k];
		unsigned w = rn_term_width(s->s, s->len, most);

		width = w > width ? w : width;
	}
	if (width && g->cells[k].len > width)
		width = (unsigned)g->cells[k].len;
	return width > most ? most : width;
}

/* The columns of a line: the first, and from … to - 1. */
static void grid_line(const struct rn_term_grid *g, size_t row, const unsigned *widths, size_t from,
		      size_t to, unsigned left, struct rn_str *out)
{
	for (size_t k = 0; k < to; k = k || !from ? k + 1 : from) {
		const struct rn_str *s = &g->cells[row * g->cols + k];
		unsigned width = widths[k], w;

		if (!width || left < 3)
			continue;
		left -= 2;
		width = width < left ? width : left;
		w = rn_term_width(s->s, s->len, width);
		rn_str_add(out, "  ");
		if (g->right[k] && w < width)
			rn_term_fill(out, " ", width - w);
		rn_term_put(out, s->s, s->len, width);
		if (!g->right[k] && w < width && k + 1 < to)
			rn_term_fill(out, " ", width - w);
		left -= width;
	}
	rn_str_addc(out, '\n');
}

/* The columns from `from` on that stand beside each other behind the first: one at least.
 * The last column of all may be cut. */
static size_t band_end(const struct rn_term_grid *g, const unsigned *widths, size_t from,
		       unsigned room)
{
	unsigned used = from ? widths[0] + 2 : 0;
	size_t k = from, shown = 0;

	for (; k < g->cols; k++) {
		unsigned w = widths[k];

		if (!w)
			continue;
		if (k + 1 == g->cols && w > LEAST_LAST)
			w = LEAST_LAST;
		if (shown && (w + 2 > room || used > room - w - 2))
			break;
		used += w + 2;
		shown += k > 0;
	}
	return k;
}

int rn_term_grid_put(const struct rn_term_grid *g, const struct rn_term *t, struct rn_str *out,
		     struct rn_err *e)
{
	unsigned *widths, room = t->width ? t->width : UINT_MAX;
	int rc = 0;

	RN_TRY(rn_calloc(g->cols, sizeof *widths, "a table", &widths, e));
	for (size_t i = 0; i < g->rows * g->cols && !rc; i++)
		rc = rn_str_check(&g->cells[i], e);
	for (size_t k = 0; k < g->cols; k++)
		widths[k] = grid_column(g, k);
	for (size_t from = 0, to; from < g->cols && !rc; from = to) {
		to = band_end(g, widths, from, room);
		for (size_t i = 0; i < g->rows; i++) {
			if (i <= 1)
				rn_term_style(t, i ? RN_TERM_PLAIN : RN_TERM_DIM, out);
			grid_line(g, i, widths, from, to, room, out);
		}
	}
	free(widths);
	return rc;
}
