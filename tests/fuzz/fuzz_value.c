/* SPDX-License-Identifier: Apache-2.0
 *
 * Small texts: numbers and timestamps, which are printed and read again; names of
 * tables in databases, whose passwords must not be shown; the values of every option
 * of every operator, as on the command line and in JSON; and arrays of numbers.
 */
#include "../../lib/base/num.h"
#include "../../lib/base/opt.h"
#include "../../lib/base/uri.h"
#include "../../lib/exec/source.h"
#include "../../lib/op/op.h"
#include "fuzz.h"

#include <math.h>

static void numbers(const char *s, size_t n)
{
	char text[RN_NUM_MAX], padded[64] = "";
	int64_t i, j;
	double x, y;
	bool ok;

	if (rn_int64_parse(s, n, &i))
		require(rn_int64_parse(text, rn_int64_format(i, text), &j) && i == j);
	if (rn_timestamp_parse(s, n, &i))
		require(rn_timestamp_parse(text, rn_timestamp_format(i, text), &j) && i == j);
	ok = rn_float64_parse(s, n, &x);
	if (ok) {
		require(rn_float64_parse(text, rn_float64_format(x, text), &y));
		require(x == y || (x != x && y != y));
	}
	if (n > 40)
		return;
	memcpy(padded, s, n); /* where more than the text may be read */
	require(rn_float64_parse_padded(padded, n, &y) == ok);
	require(!ok || x == y || (x != x && y != y));
	ok = rn_int64_parse(s, n, &i);
	require(rn_int64_parse_padded(padded, n, &j) == ok && (!ok || i == j));
}

/* Any bits of a float are printed and read as they are. */
static void bits(const uint8_t *data, size_t n)
{
	char text[RN_NUM_MAX];
	double x, y;
	int64_t i, j;

	if (n < sizeof x)
		return;
	memcpy(&x, data, sizeof x);
	memcpy(&i, data, sizeof i);
	require(rn_float64_parse(text, rn_float64_format(x, text), &y));
	require(x != x ? y != y : !memcmp(&x, &y, sizeof x));
	require(rn_int64_parse(text, rn_int64_format(i, text), &j) && i == j);
	require(rn_timestamp_parse(text, rn_timestamp_format(i, text), &j) && i == j);
}

static void option(const struct rn_opt *o, const char *text)
{
	json_t *from_text = NULL, *again = NULL, *given;
	struct rn_err e;
	int rc = rn_opt_from_text(o, text, &from_text, &e);

	require(rc == 0 || rc == RN_EUSAGE || rc == RN_ENOMEM);
	if (!rc) { /* the normal form is one that JSON may have */
		require(!rn_opt_from_json(o, from_text, &again, &e));
		require(json_equal(from_text, again));
		json_decref(again);
		json_decref(from_text);
	}
	given = json_loads(text, JSON_DECODE_ANY, NULL);
	if (!given)
		return;
	rc = rn_opt_from_json(o, given, &again, &e);
	require(rc == 0 || rc == RN_EUSAGE || rc == RN_ENOMEM);
	if (!rc)
		json_decref(again);
	json_decref(given);
}

static void uri(const char *text)
{
	struct rn_str hidden = RN_STR_INIT, again = RN_STR_INIT;
	const char *stem;
	size_t n = rn_uri_stem(text, &stem);

	require(!n || (stem >= text && stem + n <= text + strlen(text)));
	rn_uri_hide(text, &hidden);
	if (hidden.s) { /* nothing is left to hide */
		rn_uri_hide(hidden.s, &again);
		require(!strcmp(hidden.s, again.s ? again.s : ""));
	}
	(void)rn_uri_kind(text);
	rn_str_fini(&hidden);
	rn_str_fini(&again);
}

/* What has a shape is read as one of that shape. */
static void array(const char *text, size_t n)
{
	struct rn_array_reader r = { 0 };
	struct rn_shape shape;
	float *z;

	if (!rn_array_shape(text, n, &shape))
		return;
	z = malloc(rn_shape_width(&shape) * sizeof *z); /* no more than there are bytes */
	require(z && rn_shape_width(&shape) <= n);
	require(rn_array_dense(&r, &shape, text, n, z));
	require(r.nulls + r.large <= rn_shape_width(&shape));
	free(z);
}

/* A sparse row is in order and within its width; what is none says why. */
static void sparse(const char *text, size_t n)
{
	struct rn_array_column a = { .known = true, .sparse = true, .shape = { 1, { 1000 } } };
	struct rn_array_reader r = { 0 };
	struct rn_str what = RN_STR_INIT;
	bool good;

	require(!rn_array_check(&r, &a, text, n, &good, NULL));
	for (size_t i = 0; good && i < r.n; i++)
		require(r.value[i].col < 1000 && (!i || r.value[i - 1].col < r.value[i].col));
	if (!good) {
		rn_array_tell(&a, r.fault, text, n, &what);
		require(what.len > 0);
	}
	rn_str_fini(&what);
	rn_array_reader_fini(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *text = text_of(data, n);

	numbers(text, n);
	bits(data, n);
	uri(text);
	array(text, n);
	sparse(text, n);
	for (size_t k = 0; k < rn_op_count && n < 200; k++)
		for (size_t i = 0; i < rn_op_table[k]->nopts; i++)
			if (rn_op_table[k]->opts[i].type != RN_OPT_NODE)
				option(&rn_op_table[k]->opts[i], text);
	free(text);
	return 0;
}
