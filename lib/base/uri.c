/* SPDX-License-Identifier: Apache-2.0 */
#include "uri.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *start;
	enum rn_uri_kind kind;
} schemes[] = {
	{ "sqlite:", RN_URI_SQLITE },
	{ "postgresql://", RN_URI_POSTGRES },
	{ "postgres://", RN_URI_POSTGRES },
};

/* Bytes of the scheme that `s` begins with, or 0. */
static size_t scheme_of(const char *s, enum rn_uri_kind *kind)
{
	for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
		size_t n = strlen(schemes[i].start);

		if (strncmp(s, schemes[i].start, n))
			continue;
		*kind = schemes[i].kind;
		return n;
	}
	*kind = RN_URI_NONE;
	return 0;
}

enum rn_uri_kind rn_uri_kind(const char *name)
{
	enum rn_uri_kind kind;

	scheme_of(name, &kind);
	return kind;
}

static int hex(char c)
{
	return isdigit((unsigned char)c) ? c - '0' :
	       isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10 : -1;
}

int rn_uri_decode(const char *s, size_t n, char **out, struct rn_err *e)
{
	char *t = malloc(n + 1), *to = t;

	if (!t)
		return rn_err_nomem(e, n + 1, "a URI");
	for (size_t i = 0; i < n; i++) {
		int high = i + 2 < n ? hex(s[i + 1]) : -1, low = i + 2 < n ? hex(s[i + 2]) : -1;

		if (s[i] != '%') {
			*to++ = s[i];
			continue;
		}
		if (high < 0 || low < 0 || !(high | low)) {
			free(t);
			return rn_err_set(e, RN_EUSAGE,
					  "'%.*s': a %% wants two hexadecimal digits, and is itself %%25",
					  (int)n, s);
		}
		*to++ = (char)(high * 16 + low);
		i += 2;
	}
	*to = '\0';
	*out = t;
	return 0;
}

size_t rn_uri_stem(const char *name, const char **stem)
{
	static const char table[] = "table=";
	enum rn_uri_kind kind;
	const char *s = name + scheme_of(name, &kind), *at = s;

	while ((at = strpbrk(at, "?&")) && strncmp(at + 1, table, sizeof table - 1))
		at++;
	*stem = at ? at + sizeof table : s;
	if (at)
		return strcspn(*stem, "&");
	at = strchr(s, '/');
	if (kind != RN_URI_POSTGRES || !at || at > s + strcspn(s, "?"))
		return 0;
	*stem = at + 1;
	return strcspn(*stem, "?");
}

/* ---- passwords ------------------------------------------------------------------- */

/* The '@' that ends "USER:PASSWORD@", or NULL.  As libpq finds it: before any slash; else
 * someone wrote a slash that should be %2F, and what may be a password is taken for one. */
static const char *end_of_user(const char *s)
{
	const char *at = s + strcspn(s, "@/"), *end = s + strcspn(s, "? \t\n\"'");

	if (*at == '@')
		return at;
	while (end > s && end[-1] != '@')
		end--;
	return end > s ? end - 1 : NULL;
}

static bool is_secret(const char *param, size_t n)
{
	static const char *const names[] = { "password=", "sslpassword=" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (n >= strlen(names[i]) && !strncmp(param, names[i], strlen(names[i])))
			return true;
	return false;
}

/* "?a=b&password=c&d=e" without the secrets; *s moves behind it. */
static void hide_params(const char **s, struct rn_str *out)
{
	char mark = '?';

	do {
		const char *param = *s + 1;
		size_t n = strcspn(param, "& \t\n\"'");

		if (!is_secret(param, n)) {
			rn_str_addc(out, mark);
			rn_str_addn(out, param, n);
			mark = '&';
		}
		*s = param + n;
	} while (**s == '&');
}

/* What follows the scheme; *s moves behind what was read. */
static void hide_uri(const char **s, struct rn_str *out)
{
	const char *at = end_of_user(*s);

	if (at) {
		size_t user = strcspn(*s, ":@");

		rn_str_addn(out, *s, user);
		*s = at;
	}
	at = *s + strcspn(*s, "? \t\n\"'");
	rn_str_addn(out, *s, (size_t)(at - *s));
	*s = at;
	if (*at == '?')
		hide_params(s, out);
}

static void hide_once(const char *text, struct rn_str *out)
{
	while (*text) {
		enum rn_uri_kind kind;
		const char *next = strstr(text, "postgres");
		size_t n;

		if (!next)
			break;
		n = scheme_of(next, &kind);
		rn_str_addn(out, text, (size_t)(next - text) + (n ? n : 1));
		text = next + (n ? n : 1);
		if (n)
			hide_uri(&text, out);
	}
	rn_str_add(out, text);
}

/* What is hidden behind a '?' may have held the slash for which an '@' was not taken for the
 * end of a user's name: look again, until nothing is found.  Texts only become shorter. */
void rn_uri_hide(const char *text, struct rn_str *out)
{
	struct rn_str now = RN_STR_INIT, before = RN_STR_INIT;

	hide_once(text, &now);
	do {
		struct rn_str swap = before;

		before = now;
		now = swap;
		rn_str_clear(&now);
		hide_once(before.s, &now);
	} while (now.len < before.len && !now.failed);
	out->failed |= now.failed || before.failed;
	rn_str_addn(out, now.s, now.len);
	rn_str_fini(&now);
	rn_str_fini(&before);
}

char *rn_uri_hidden(const char *text, struct rn_err *e)
{
	struct rn_str s = RN_STR_INIT;

	rn_uri_hide(text, &s);
	return rn_str_take(&s, e);
}
