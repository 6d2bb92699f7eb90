/* SPDX-License-Identifier: Apache-2.0 */
#include "str.h"

#include "mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char rn_str_empty[1] = "";

/* Room for n more bytes and the terminator. */
static bool reserve(struct rn_str *b, size_t n)
{
	char *p = b->cap ? b->s : NULL;
	size_t need;

	if (b->failed || !rn_add_size(b->len, n, &need) || need == SIZE_MAX ||
	    rn_grow(&p, &b->cap, need + 1, 1, "a string", NULL)) {
		b->failed = true;
		return false;
	}
	b->s = p;
	return true;
}

void rn_str_addn(struct rn_str *b, const char *s, size_t n)
{
	if (!reserve(b, n))
		return;
	memcpy(b->s + b->len, s, n);
	b->len += n;
	b->s[b->len] = '\0';
}

void rn_str_add(struct rn_str *b, const char *s)
{
	rn_str_addn(b, s, strlen(s));
}

void rn_str_addc(struct rn_str *b, char c)
{
	rn_str_addn(b, &c, 1);
}

void rn_str_addf(struct rn_str *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || !reserve(b, (size_t)n)) {
		b->failed = true;
		return;
	}
	va_start(ap, fmt);
	vsnprintf(b->s + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
}

void rn_str_clear(struct rn_str *b)
{
	b->len = 0;
	if (b->cap)
		b->s[0] = '\0';
}

void rn_str_fini(struct rn_str *b)
{
	if (b->cap)
		free(b->s);
	*b = RN_STR_INIT;
}

int rn_str_check(const struct rn_str *b, struct rn_err *e)
{
	return b->failed ? rn_err_nomem(e, b->len, "a string") : 0;
}

char *rn_str_take(struct rn_str *b, struct rn_err *e)
{
	char *s;

	if (!b->cap)
		reserve(b, 0);
	if (rn_str_check(b, e)) {
		rn_str_fini(b);
		return NULL;
	}
	s = b->s;
	s[b->len] = '\0';
	*b = RN_STR_INIT;
	return s;
}
