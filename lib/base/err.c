/* SPDX-License-Identifier: Apache-2.0 */
#include "err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Cut a message that did not fit at a UTF-8 character boundary. */
static void trim_utf8(char *s, size_t cap)
{
	size_t n = strlen(s);

	if (n + 1 < cap)
		return;
	while (n > 0 && ((unsigned char)s[n - 1] & 0xC0) == 0x80)
		n--;
	if (n > 0 && (unsigned char)s[n - 1] >= 0xC0)
		n--;
	s[n] = '\0';
}

int rn_err_vset(struct rn_err *e, int code, const char *fmt, va_list ap)
{
	if (e) {
		e->code = code;
		vsnprintf(e->msg, sizeof e->msg, fmt, ap);
		trim_utf8(e->msg, sizeof e->msg);
	}
	return code;
}

int rn_err_set(struct rn_err *e, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	rn_err_vset(e, code, fmt, ap);
	va_end(ap);
	return code;
}

int rn_err_errno(struct rn_err *e, const char *fmt, ...)
{
	int err = errno;
	int code = err == ENOMEM ? RN_ENOMEM : RN_EIO;
	va_list ap;
	size_t n;

	if (!e)
		return code;
	va_start(ap, fmt);
	rn_err_vset(e, code, fmt, ap);
	va_end(ap);
	n = strlen(e->msg);
	snprintf(e->msg + n, sizeof e->msg - n, ": %s", strerror(err));
	return code;
}

int rn_err_prefix(struct rn_err *e, int rc, const char *fmt, ...)
{
	char old[sizeof e->msg];
	va_list ap;
	size_t n;

	if (!e)
		return rc;
	memcpy(old, e->msg, sizeof old);
	va_start(ap, fmt);
	vsnprintf(e->msg, sizeof e->msg, fmt, ap);
	va_end(ap);
	n = strlen(e->msg);
	snprintf(e->msg + n, sizeof e->msg - n, ": %s", old);
	trim_utf8(e->msg, sizeof e->msg);
	return rc;
}

int rn_err_nomem(struct rn_err *e, size_t size, const char *what)
{
	return rn_err_set(e, RN_ENOMEM, "out of memory: %zu bytes for %s", size, what);
}
