/* SPDX-License-Identifier: Apache-2.0
 *
 * Columns and parts are independent, so a block is done by one task for each of them;
 * within one, values are taken in their order, and sums depend on neither blocks nor
 * threads.
 */
#include "profile.h"

#include "../lib/base/json.h"
#include "../lib/base/num.h"
#include "../lib/base/team.h"
#include "tally.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	TOP = 5,        /* the most frequent values that are told */
	LONGEST = 200,  /* bytes of a string that are told */
};

/* A float64 sum that keeps what rounding loses (Neumaier). */
struct sum {
	double sum, lost;
};

struct column {
	enum rn_type type;
	uint64_t rows, nulls;
	struct rn_tally tally;
	union {
		int64_t i;
		double f;
	} min, max;
	struct rn_str least, greatest; /* strings */
	__int128 total;                /* int64 */
	struct sum sum;                /* float64 */
};

struct part {
	struct rn_part_info info;
	uint64_t rows, stored, finite_rows, nonfinite;
	double min, max;
	struct sum sum;
};

struct rn_profile {
	const struct rn_ctx *ctx;
	size_t ncols, nparts;
	struct column *cols;
	struct part *parts;
	const struct rn_rel *block; /* at hand */
	struct rn_err *errors;      /* of each task */
};

static void sum_add(struct sum *s, double v)
{
	double t = s->sum + v;

	if (isfinite(t))
		s->lost += fabs(s->sum) >= fabs(v) ? (s->sum - t) + v : (v - t) + s->sum;
	s->sum = t;
}

/* ---- columns ------------------------------------------------------------------------------ */

static int add_int(struct column *p, int64_t v, struct rn_err *e)
{
	bool first = p->rows == p->nulls;

	if (first || v < p->min.i)
		p->min.i = v;
	if (first || v > p->max.i)
		p->max.i = v;
	p->total += v;
	p->rows++;
	return rn_tally_number(&p->tally, (uint64_t)v, e);
}

static int add_float(struct column *p, double v, struct rn_err *e)
{
	bool first = p->rows == p->nulls;
	uint64_t bits;

	if (first || v < p->min.f)
		p->min.f = v;
	if (first || v > p->max.f)
		p->max.f = v;
	sum_add(&p->sum, v);
	p->rows++;
	memcpy(&bits, &v, sizeof bits);
	return rn_tally_number(&p->tally, bits, e);
}

static int compare(const struct rn_str *a, const char *s, size_t n)
{
	int c = memcmp(a->s, s, a->len < n ? a->len : n);

	return c ? c : a->len < n ? -1 : a->len > n;
}

static int add_string(struct column *p, const char *s, size_t n, struct rn_err *e)
{
	bool first = p->rows == p->nulls;

	if (first || compare(&p->least, s, n) > 0) {
		rn_str_clear(&p->least);
		rn_str_addn(&p->least, s, n);
	}
	if (first || compare(&p->greatest, s, n) < 0) {
		rn_str_clear(&p->greatest);
		rn_str_addn(&p->greatest, s, n);
	}
	p->rows++;
	RN_TRY(rn_str_check(&p->least, e));
	RN_TRY(rn_str_check(&p->greatest, e));
	return rn_tally_string(&p->tally, s, n, e);
}

static int add_value(struct column *p, const struct rn_column *c, uint64_t i, struct rn_err *e)
{
	switch (c->type) {
	case RN_FLOAT64:
		return add_float(p, c->f64[i], e);
	case RN_BOOL:
		return add_int(p, c->b[i], e);
	case RN_STRING:
		return add_string(p, c->bytes + c->off[i], c->off[i + 1] - c->off[i], e);
	default:
		return add_int(p, c->i64[i], e);
	}
}

static int add_column(struct column *p, const struct rn_column *c, struct rn_err *e)
{
	for (uint64_t i = 0; i < c->rows; i++) {
		if (rn_column_is_null(c, i)) {
			p->rows++;
			p->nulls++;
		} else {
			RN_TRY(add_value(p, c, i, e));
		}
	}
	return 0;
}

/* ---- parts -------------------------------------------------------------------------------- */

/* Squares in eight sums, which a processor can add at once. */
static double sum_of_squares(const float *v, uint64_t n)
{
	double s[8] = { 0 };
	uint64_t i = 0;

	for (; i + 8 <= n; i += 8)
		for (int k = 0; k < 8; k++)
			s[k] += (double)v[i + k] * (double)v[i + k];
	for (; i < n; i++)
		s[i % 8] += (double)v[i] * (double)v[i];
	return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

static void add_norm(struct part *p, const float *v, uint64_t n)
{
	double norm = sqrt(sum_of_squares(v, n));

	p->rows++;
	p->stored += n;
	if (!isfinite(norm)) {
		for (uint64_t i = 0; i < n; i++)
			p->nonfinite += !isfinite(v[i]);
		return;
	}
	if (!p->finite_rows || norm < p->min)
		p->min = norm;
	if (!p->finite_rows || norm > p->max)
		p->max = norm;
	p->finite_rows++;
	sum_add(&p->sum, norm);
}

static int add_part(struct part *p, const struct rn_rel *r, size_t i, struct rn_err *e)
{
	struct rn_tensor *z;
	uint32_t width;

	RN_TRY(rn_rel_flat_part(r, i, &z, e));
	width = rn_shape_width(&z->shape);
	for (uint64_t k = 0; k < z->rows; k++) {
		uint64_t from = z->sparse ? z->ptr[k] : k * width;

		add_norm(p, z->data + from, z->sparse ? z->ptr[k + 1] - from : width);
	}
	rn_tensor_unref(z);
	return 0;
}

/* ---- blocks ------------------------------------------------------------------------------- */

int rn_profile_new(const struct rn_ctx *c, const struct rn_schema *s, struct rn_profile **out,
		   struct rn_err *e)
{
	struct rn_profile *p;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *p, "statistics", &p, e));
	p->ctx = c;
	RN_GOTO(fail, rn_calloc(s->ncols, sizeof *p->cols, "statistics", &p->cols, e));
	RN_GOTO(fail, rn_calloc(s->nparts, sizeof *p->parts, "statistics", &p->parts, e));
	RN_GOTO(fail, rn_calloc(s->ncols + s->nparts, sizeof *p->errors, "statistics",
				&p->errors, e));
	for (; p->ncols < s->ncols; p->ncols++) {
		struct column *col = &p->cols[p->ncols];

		col->type = s->cols[p->ncols].type;
		col->least = col->greatest = RN_STR_INIT;
		RN_GOTO(fail, rn_tally_init(&col->tally, s->ncols, e));
	}
	for (; p->nparts < s->nparts; p->nparts++)
		p->parts[p->nparts].info = s->parts[p->nparts];
	*out = p;
	return 0;
fail:
	rn_profile_free(p);
	return rc;
}

void rn_profile_free(struct rn_profile *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->ncols; i++) {
		rn_tally_fini(&p->cols[i].tally);
		rn_str_fini(&p->cols[i].least);
		rn_str_fini(&p->cols[i].greatest);
	}
	free(p->cols);
	free(p->parts);
	free(p->errors);
	free(p);
}

static void add_task(void *arg, uint32_t k)
{
	struct rn_profile *p = arg;
	struct rn_err *e = &p->errors[k];
	int rc = k < p->ncols ? add_column(&p->cols[k], p->block->cols[k], e)
			      : add_part(&p->parts[k - p->ncols], p->block, k - p->ncols, e);

	e->code = rc;
}

int rn_profile_rows(struct rn_profile *p, const struct rn_rel *r, struct rn_err *e)
{
	p->block = r;
	rn_team_run(p->ctx->team, (uint32_t)(p->ncols + p->nparts), add_task, p);
	p->block = NULL;
	for (size_t k = 0; k < p->ncols + p->nparts; k++)
		if (p->errors[k].code)
			return rn_err_set(e, p->errors[k].code, "%s", p->errors[k].msg);
	return 0;
}

/* ---- results ------------------------------------------------------------------------------ */

/* JSON has no infinities: they are strings, as rn-cat writes them. */
static json_t *number(double v)
{
	return isfinite(v) ? json_real(v) : json_string(isnan(v) ? "nan" : v > 0 ? "inf" : "-inf");
}

/* A string of the data: cut, and bytes that JSON does not take as U+FFFD. */
static json_t *text(const char *s, size_t n)
{
	struct rn_str b = RN_STR_INIT;
	size_t end = n > LONGEST ? LONGEST : n;
	json_t *v;

	while (end < n && end && ((unsigned char)s[end] & 0xC0) == 0x80)
		end--;
	for (size_t i = 0; i < end;) {
		size_t k = rn_utf8_prefix(s + i, end - i), nul = strnlen(s + i, k);

		k = nul < k ? nul : k;
		rn_str_addn(&b, s + i, k);
		i += k;
		if (i < end) {
			rn_str_add(&b, "\xEF\xBF\xBD");
			i++;
		}
	}
	if (end < n)
		rn_str_add(&b, "…");
	v = b.failed ? NULL : json_stringn(b.s, b.len);
	rn_str_fini(&b);
	return v;
}

static json_t *timestamp(int64_t us)
{
	char buf[RN_NUM_MAX];

	return json_stringn(buf, rn_timestamp_format(us, buf));
}

static json_t *value(const struct column *p, const struct rn_tally_slot *s)
{
	double v;

	switch (p->type) {
	case RN_INT64:
		return json_integer((json_int_t)s->value);
	case RN_BOOL:
		return json_boolean(s->value);
	case RN_TIMESTAMP:
		return timestamp((int64_t)s->value);
	case RN_FLOAT64:
		memcpy(&v, &s->value, sizeof v);
		return number(v);
	default:
		return text(p->tally.bytes + s->value, s->len);
	}
}

static json_t *extreme(const struct column *p, bool greatest)
{
	const struct rn_str *s = greatest ? &p->greatest : &p->least;
	int64_t i = greatest ? p->max.i : p->min.i;

	switch (p->type) {
	case RN_INT64:
		return json_integer(i);
	case RN_BOOL:
		return json_boolean(i);
	case RN_TIMESTAMP:
		return timestamp(i);
	case RN_FLOAT64:
		return number(greatest ? p->max.f : p->min.f);
	default:
		return text(s->s, s->len);
	}
}

static int top_values(const struct column *p, json_t *o, struct rn_err *e)
{
	const struct rn_tally_slot *top[TOP];
	size_t n = rn_tally_top(&p->tally, p->rows, top, TOP);
	json_t *list, *item;

	RN_TRY(rn_json_array(&list, e));
	RN_TRY(rn_json_set(o, "top", list, e)); /* o keeps it alive */
	for (size_t i = 0; i < n; i++) {
		RN_TRY(rn_json_object(&item, e));
		RN_TRY(rn_json_append(list, item, e));
		RN_TRY(rn_json_set(item, "value", value(p, top[i]), e));
		RN_TRY(rn_json_set(item, "count", json_integer((json_int_t)top[i]->count), e));
	}
	return 0;
}

int rn_profile_column(const struct rn_profile *p, size_t i, json_t *o, struct rn_err *e)
{
	const struct column *c = &p->cols[i];
	uint64_t n = c->rows - c->nulls, distinct;
	bool exact;

	RN_TRY(rn_json_set(o, "nulls", json_integer((json_int_t)c->nulls), e));
	distinct = rn_tally_distinct(&c->tally, &exact);
	RN_TRY(rn_json_set(o, "distinct", json_integer((json_int_t)distinct), e));
	RN_TRY(rn_json_set(o, "exact", json_boolean(exact), e));
	if (!n)
		return 0;
	RN_TRY(rn_json_set(o, "min", extreme(c, false), e));
	RN_TRY(rn_json_set(o, "max", extreme(c, true), e));
	if (c->type == RN_INT64)
		RN_TRY(rn_json_set(o, "mean", json_real((double)c->total / (double)n), e));
	if (c->type == RN_FLOAT64)
		RN_TRY(rn_json_set(o, "mean", number((c->sum.sum + c->sum.lost) / (double)n), e));
	return top_values(c, o, e);
}

int rn_profile_part(const struct rn_profile *p, size_t i, json_t *o, struct rn_err *e)
{
	const struct part *z = &p->parts[i];
	double all = (double)z->rows * rn_shape_width(&z->info.shape);
	json_t *norm;

	if (z->info.sparse)
		RN_TRY(rn_json_set(o, "density",
				   json_real(all > 0 ? (double)z->stored / all : 0), e));
	RN_TRY(rn_json_set(o, "nonfinite", json_integer((json_int_t)z->nonfinite), e));
	if (!z->finite_rows)
		return 0;
	RN_TRY(rn_json_object(&norm, e));
	RN_TRY(rn_json_set(o, "norm", norm, e));
	RN_TRY(rn_json_set(norm, "min", json_real(z->min), e));
	RN_TRY(rn_json_set(norm, "mean",
			   json_real((z->sum.sum + z->sum.lost) / (double)z->finite_rows), e));
	return rn_json_set(norm, "max", json_real(z->max), e);
}
