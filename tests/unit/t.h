/* SPDX-License-Identifier: Apache-2.0
 *
 * Unit tests speak TAP: each T_OK is one line `ok N - text` or `not ok N - text`;
 * main ends with `return t_done();`, which prints the plan line.
 */
#ifndef T_H
#define T_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ThreadSanitizer takes fifty times the time, and is after what threads do to each other: with it a
 * test leaves out what repeats their work on other numbers.  T_TSAN is 0 or 1. */
#ifdef __has_feature /* clang's; gcc defines the other */
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif
#ifdef __SANITIZE_THREAD__
enum { T_TSAN = 1 };
#else
enum { T_TSAN = 0 };
#endif

static int t_count, t_failed;

__attribute__((format(printf, 4, 5), unused)) static int t_report(int ok, const char *file,
								     int line, const char *fmt, ...)
{
	va_list ap;

	t_count++;
	printf("%sok %d - ", ok ? "" : "not ", t_count);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	if (!ok) {
		t_failed++;
		printf("# at %s:%d\n", file, line);
	}
	fflush(stdout);
	return ok;
}

#define T_OK(cond, ...) t_report(!!(cond), __FILE__, __LINE__, __VA_ARGS__)

/* A call that must succeed; its message is shown where it does not. */
#define T_CALL(expr, e)                                                                           \
	do {                                                                                      \
		int t_rc_ = (expr);                                                               \
		if (t_rc_)                                                                        \
			t_report(0, __FILE__, __LINE__, "%s: %d: %s", #expr, t_rc_, (e)->msg);    \
	} while (0)

/* A row that was skipped, visibly. */
#define T_SKIP(why) (t_count++, printf("ok %d # SKIP %s\n", t_count, why))

__attribute__((unused)) static int t_done(void)
{
	printf("1..%d\n", t_count);
	return t_failed ? 1 : 0;
}

#endif
