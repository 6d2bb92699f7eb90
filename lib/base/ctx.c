/* SPDX-License-Identifier: Apache-2.0 */
#include "ctx.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

void rn_log(const struct rn_ctx *c, enum rn_log_level level, const char *fmt, ...)
{
	char msg[2048];
	va_list ap;

	if (!c || !c->log)
		return;
	va_start(ap, fmt);
	vsnprintf(msg, sizeof msg, fmt, ap);
	va_end(ap);
	c->log(c->log_arg, level, msg);
}

void rn_ctx_progress(const struct rn_ctx *c, uint64_t done, uint64_t total, uint64_t rows)
{
	if (c && c->progress)
		c->progress(c->progress_arg, done, total, rows);
}

double rn_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
