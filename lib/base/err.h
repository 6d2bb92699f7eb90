/* SPDX-License-Identifier: Apache-2.0
 *
 * Errors as values.  Every fallible function returns int (0, or one of the
 * negative codes below) and takes `struct rn_err *e` as its last argument;
 * e may be NULL.  The innermost function that knows the fact writes the whole
 * message (lower case, no full stop, what failed first, the subject quoted);
 * callers may put context in front of it and never replace it.
 */
#ifndef RN_ERR_H
#define RN_ERR_H

#include <stdarg.h>
#include <stddef.h>

#define RN_MUST_CHECK __attribute__((warn_unused_result))
#define RN_PRINTF(f, a) __attribute__((format(printf, f, a)))

enum rn_code {
	RN_OK = 0,
	RN_EIO = -1,       /* I/O or another failure of the system     (exit 1)  */
	RN_EUSAGE = -2,    /* wrong options, wrong plan, wrong schema  (exit 2)  */
	RN_EDATA = -3,     /* malformed, truncated or aborted input    (exit 3)  */
	RN_ENOMEM = -4,    /* out of memory, or above --mem            (exit 4)  */
	RN_EDEV = -5,      /* a device that is missing or failed       (exit 4)  */
	RN_EDIVERGED = -6, /* training left the finite numbers         (exit 5)  */
	RN_EBUG = -7,      /* a broken invariant of RN itself          (exit 70) */
};

struct rn_err {
	int code;       /* 0, or one of enum rn_code */
	char msg[2044]; /* UTF-8, always terminated, cut at a character where too long */
};

/* Store code and message; return code.  A later call on the same e overwrites. */
int rn_err_set(struct rn_err *e, int code, const char *fmt, ...) RN_PRINTF(3, 4);
int rn_err_vset(struct rn_err *e, int code, const char *fmt, va_list ap);

/* As rn_err_set, with ": " and strerror(errno) after the message; the code is
 * RN_ENOMEM for ENOMEM and RN_EIO for every other errno. */
int rn_err_errno(struct rn_err *e, const char *fmt, ...) RN_PRINTF(2, 3);

/* Put context and ": " in front of the message that e holds; return rc, the code
 * that the callee gave (e may be NULL). */
int rn_err_prefix(struct rn_err *e, int rc, const char *fmt, ...) RN_PRINTF(3, 4);

/* "out of memory: SIZE bytes for WHAT". */
int rn_err_nomem(struct rn_err *e, size_t size, const char *what);

/* Forward an error to the caller. */
#define RN_TRY(expr)                                                                              \
	do {                                                                                      \
		int rn_try_rc_ = (expr);                                                          \
		if (rn_try_rc_)                                                                   \
			return rn_try_rc_;                                                        \
	} while (0)

/* The same in a function that cleans up at `out:` and keeps its code in `rc`. */
#define RN_GOTO(label, expr)                                                                      \
	do {                                                                                      \
		rc = (expr);                                                                      \
		if (rc)                                                                           \
			goto label;                                                               \
	} while (0)

#endif
