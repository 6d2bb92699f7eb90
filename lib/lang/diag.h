/* SPDX-License-Identifier: Apache-2.0
 *
 * What is wrong with a program: every error with file, line, column, the line's
 * text and a caret.  Several are collected in one run; the first RN_DIAG_MAX are
 * kept, and messages that follow from an earlier one are left out.
 *
 *   model.relnn:12:21: no relation 'Citse'; did you mean 'Cites'?
 *     12 | Edge(s, t) :- Citse(s, t) .
 *        |               ^~~~~
 *     in H<'Author',1>, called from line 31
 */
#ifndef RN_LANG_DIAG_H
#define RN_LANG_DIAG_H

#include "../base/err.h"
#include "../base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum { RN_DIAG_MAX = 20 };

/* What asked for what is being made: the template stack, newest first. */
struct rn_diag_frame {
	const char *what; /* "H<Author,1>"; borrowed */
	uint32_t at;      /* where it was asked for */
	uint32_t depth;   /* 1 for the oldest */
	const struct rn_diag_frame *up;
};

struct rn_diag {
	const char *file;    /* as messages call it */
	const char *text;    /* the program, terminated; borrowed */
	size_t len;
	uint32_t errors, warnings;
	bool stopped;        /* a limit was reached: nothing that follows is told */
	bool lenient;        /* no warnings now, and no limits */
	uint32_t told[RN_DIAG_MAX];   /* where: what is checked twice is told once */
	uint32_t warned[RN_DIAG_MAX]; /* where: an instance does not repeat another's warning */
	struct rn_str out;   /* the messages, complete lines */
	const struct rn_diag_frame *top; /* printed under each error; NULL: none */
};

void rn_diag_init(struct rn_diag *d, const char *file, const char *text, size_t len);
void rn_diag_fini(struct rn_diag *d);

/* An error (RN_EUSAGE is returned, so that `return rn_diag_error(…)` reads well) or a
 * warning at text[at … end); end <= at marks one character. */
int rn_diag_error(struct rn_diag *d, uint32_t at, uint32_t end, const char *fmt, ...)
	RN_PRINTF(4, 5);
/* An error that ends the compilation: the program comes to too much. */
int rn_diag_limit(struct rn_diag *d, uint32_t at, uint32_t end, const char *fmt, ...)
	RN_PRINTF(4, 5);
void rn_diag_warn(struct rn_diag *d, uint32_t at, uint32_t end, const char *fmt, ...)
	RN_PRINTF(4, 5);

/* No room for more, or stopped? */
bool rn_diag_full(const struct rn_diag *d);

/* RN_EUSAGE into e with all messages where there are errors, else 0.  What does not
 * fit into e->msg is cut after a whole message, and "… and N more errors" ends it. */
RN_MUST_CHECK int rn_diag_result(const struct rn_diag *d, struct rn_err *e);

/* Line and column (in characters), both from 1, of an offset. */
void rn_diag_place(const struct rn_diag *d, uint32_t at, uint32_t *line, uint32_t *col);

/* f (borrowed) is on top until d->top is f->up again. */
void rn_diag_push(struct rn_diag *d, struct rn_diag_frame *f, const char *what, uint32_t at);

#endif
