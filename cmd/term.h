/* SPDX-License-Identifier: Apache-2.0
 *
 * Text for a terminal: how wide it is, whether it has colours, and text of others made
 * harmless.  Control characters, which a terminal would obey, are shown as the pictures
 * that Unicode has of them; what is no UTF-8, and characters that turn the direction of
 * what follows, as U+FFFD.
 */
#ifndef RN_TERM_H
#define RN_TERM_H

#include "../lib/base/str.h"

struct rn_term {
	bool is;        /* a terminal */
	bool dumb;      /* one that cannot even erase a line: TERM says so, or nothing */
	bool colour;    /* with attributes: not where it is dumb or NO_COLOR is set */
	unsigned width; /* columns; 0: no end */
};
struct rn_term rn_term_of(int fd);

/* Columns that the text takes, counted up to the first that is above `most`. */
unsigned rn_term_width(const char *s, size_t n, unsigned most);
/* The text at the end of out, cut to `most` columns, the last of them then "…"; returns the
 * columns that it takes. */
unsigned rn_term_put(struct rn_str *out, const char *s, size_t n, unsigned most);
/* `n` times `s`. */
void rn_term_fill(struct rn_str *out, const char *s, unsigned n);

enum rn_term_style { RN_TERM_PLAIN, RN_TERM_BOLD, RN_TERM_DIM };
/* Begin a style, or end it (RN_TERM_PLAIN); nothing where there are no colours. */
void rn_term_style(const struct rn_term *t, enum rn_term_style style, struct rn_str *out);

/* The text, and blanks up to `width` columns. */
void rn_term_pad(struct rn_str *out, const char *s, unsigned width);

/* A small table: cells of rows and columns, the first row the header. */
struct rn_term_grid {
	size_t rows, cols;
	struct rn_str *cells; /* [rows * cols]; the caller fills them */
	bool *right;          /* [cols] */
};
RN_MUST_CHECK int rn_term_grid_init(struct rn_term_grid *g, size_t rows, size_t cols,
				    struct rn_err *e);
/* Aligned and indented, without columns that have nothing below their header.  Columns that do
 * not fit the terminal beside each other follow in further tables, behind the first one. */
RN_MUST_CHECK int rn_term_grid_put(const struct rn_term_grid *g, const struct rn_term *t,
				   struct rn_str *out, struct rn_err *e);
void rn_term_grid_fini(struct rn_term_grid *g);

#endif
