/* SPDX-License-Identifier: Apache-2.0
 *
 * Columns of embeddings as text: what the first of them looks like, and whether the others do.
 */
#include "csv_reader.h"

#include <stdlib.h>
#include <string.h>

bool rn_csv_is_array(const struct rn_csv_reader *r, const char *name)
{
	return r->opt.array && r->opt.array->embeds(r->opt.array->arg, name);
}

char *rn_csv_unescape(const struct rn_csv_reader *r, const struct rn_csv_field *f, char *to)
{
	if (r->rules.json)
		return to + rn_json_unescape(f->p, f->len, to);
	for (uint32_t j = 0; j < f->len; j++) {
		*to++ = f->p[j];
		j += f->p[j] == '"';
	}
	return to;
}

/* The field's text: *own is to be freed, if not NULL. */
static int plain_text(const struct rn_csv_reader *r, const struct rn_csv_field *f, const char **s,
		      size_t *n, char **own, struct rn_err *e)
{
	*s = f->p;
	*n = f->len;
	*own = NULL;
	if (!f->escaped)
		return 0;
	RN_TRY(rn_calloc((size_t)f->len + 1, 1, "a field", own, e));
	*s = *own;
	*n = (size_t)(rn_csv_unescape(r, f, *own) - *own);
	return 0;
}

int rn_csv_learn_array(struct rn_csv_reader *r, const struct rn_csv_field *f, struct rn_err *e)
{
	struct rn_array_column *a = r->opt.array;
	const char *s;
	char *own;
	size_t n;

	if (a->known || a->refused || rn_csv_is_null(r, f))
		return 0;
	RN_TRY(plain_text(r, f, &s, &n, &own, e));
	a->known = rn_array_shape(s, n, &a->shape);
	a->refused = !a->known && !r->opt.skip_bad;
	free(own);
	return 0;
}

int rn_csv_fits_array(const struct rn_csv_reader *r, struct rn_array_reader *x,
		      const struct rn_csv_field *f, bool *good, struct rn_err *e)
{
	const char *s;
	char *own;
	size_t n;
	int rc;

	RN_TRY(plain_text(r, f, &s, &n, &own, e));
	rc = rn_array_check(x, r->opt.array, s, n, good, e);
	free(own);
	return rc;
}

int rn_csv_tell_array(const struct rn_csv_reader *r, const struct rn_csv_field *f, struct rn_str *out,
		      struct rn_err *e)
{
	struct rn_array_reader x = { 0 };
	const char *s;
	bool good;
	char *own;
	size_t n;
	int rc;

	RN_TRY(plain_text(r, f, &s, &n, &own, e));
	rc = rn_array_check(&x, r->opt.array, s, n, &good, e);
	if (!rc) {
		rn_array_tell(r->opt.array, x.fault, s, n, out);
		rc = rn_str_check(out, e);
	}
	rn_array_reader_fini(&x);
	free(own);
	return rc;
}
