/* SPDX-License-Identifier: Apache-2.0
 *
 * The parameter table: names, shapes, initial values, .npy in and out.
 */
#include "params.h"

#include "../../formats/npy.h"
#include "../rel/key.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

void rn_params_fini(struct rn_params *p)
{
	for (uint32_t i = 0; i < p->n; i++) {
		free(p->items[i].name);
		free(p->items[i].value);
		rn_rel_unref(p->items[i].keys);
	}
	free(p->items);
	memset(p, 0, sizeof *p);
}

long rn_params_find(const struct rn_params *p, const char *name)
{
	for (uint32_t i = 0; i < p->n; i++)
		if (!strcmp(p->items[i].name, name))
			return i;
	return -1;
}

uint64_t rn_params_count(const struct rn_params *p)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < p->n; i++)
		n += p->items[i].count;
	return n;
}

uint64_t rn_params_learned(const struct rn_params *p)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < p->n; i++)
		n += p->items[i].buffer ? 0 : p->items[i].count;
	return n;
}

static void print_dims(uint32_t rank, const uint32_t *dim, struct rn_str *out)
{
	rn_str_addc(out, '[');
	for (uint32_t i = 0; i < rank; i++)
		rn_str_addf(out, i ? ",%u" : "%u", dim[i]);
	rn_str_addc(out, ']');
}

static int shape_error(const struct rn_param *have, const struct rn_param_spec *want,
		       struct rn_err *e)
{
	struct rn_str a = RN_STR_INIT, b = RN_STR_INIT;

	print_dims(have->rank, have->dim, &a);
	print_dims(want->rank, want->dim, &b);
	rn_err_set(e, RN_EUSAGE,
		   have->loaded ? "parameter '%s' was trained as %s, and %s is wanted here" :
				  "parameter '%s' is %s where it was asked for first and %s here: give the "
				  "stages names of their own, or equal shapes",
		   have->name, a.s, b.s);
	rn_str_fini(&a);
	rn_str_fini(&b);
	return RN_EUSAGE;
}

static int frozen_error(const struct rn_params *p, const char *name, struct rn_err *e)
{
	struct rn_str have = RN_STR_INIT;

	for (uint32_t i = 0; i < p->n && i < 8; i++)
		rn_str_addf(&have, i ? ", %s" : "%s", p->items[i].name);
	if (p->n > 8)
		rn_str_add(&have, ", …");
	rn_err_set(e, RN_EUSAGE, "parameter '%s' was never trained (there %s %s)", name,
		   p->n == 1 ? "is" : "are", p->n ? have.s : "none");
	rn_str_fini(&have);
	return RN_EUSAGE;
}

static int add(struct rn_params *p, const struct rn_param_spec *s, struct rn_err *e)
{
	struct rn_param *it;
	size_t count = 1;

	for (uint32_t i = 0; i < s->rank; i++)
		if (!rn_mul_size(count, s->dim[i], &count))
			return rn_err_set(e, RN_EUSAGE, "parameter '%s' is too large", s->name);
	if (p->n == RN_NONE - 1)
		return rn_err_set(e, RN_EUSAGE, "more than %u parameters", p->n);
	RN_TRY(rn_grow(&p->items, &p->cap, (size_t)p->n + 1, sizeof *it, "parameters", e));
	it = &p->items[p->n];
	memset(it, 0, sizeof *it);
	it->rank = s->rank;
	memcpy(it->dim, s->dim, s->rank * sizeof *it->dim);
	it->count = count;
	it->init = s->init;
	it->arg = s->arg;
	it->fan_in = s->fan_in;
	it->fan_out = s->fan_out;
	it->buffer = s->buffer;
	it->name = strdup(s->name);
	if (!it->name)
		return rn_err_nomem(e, strlen(s->name) + 1, "the name of a parameter");
	if (rn_calloc(count, sizeof *it->value, s->name, &it->value, e)) {
		free(it->name);
		return RN_ENOMEM;
	}
	it->keys = rn_rel_ref((struct rn_rel *)s->keys);
	p->n++;
	return 0;
}

/* The rows of table `it` that hold the keys asked for. */
static int find_rows(const struct rn_param *it, const struct rn_param_spec *s, struct rn_err *e)
{
	const struct rn_rel *have = it->keys, *want = s->keys;
	struct rn_ctx quiet = { .threads = 1 };
	struct rn_groups g = { 0 };

	if (have->schema.ncols != want->schema.ncols)
		return rn_err_set(e, RN_EUSAGE,
				  "table '%s' has keys of %zu columns, and %zu are asked for",
				  it->name, have->schema.ncols, want->schema.ncols);
	for (size_t i = 0; i < want->schema.ncols; i++)
		RN_TRY(rn_key_types_meet(want->schema.cols[i].type, want->schema.cols[i].name,
					 have->schema.cols[i].type, it->name, e));
	struct rn_key k = { .n = want->schema.ncols, .cols = want->cols, .rows = want->rows };
	struct rn_key table = { .n = have->schema.ncols, .cols = have->cols, .rows = have->rows };
	RN_TRY(rn_group_keys(&quiet, &k, &table, &g, e));
	if (want->rows)
		memcpy(s->rows, g.of->data, want->rows * sizeof *s->rows);
	rn_groups_fini(&g);
	return 0;
}

/* Is `it` what s asks for?  A table may have other rows than those. */
static int check_same(const struct rn_param *it, const struct rn_param_spec *s, struct rn_err *e)
{
	uint32_t from = s->keys ? 1 : 0;

	if (it->rank != s->rank || !it->keys != !s->keys ||
	    memcmp(it->dim + from, s->dim + from, (s->rank - from) * sizeof *s->dim))
		return shape_error(it, s, e);
	return 0;
}

int rn_params_get(struct rn_params *p, const struct rn_param_spec *s, uint32_t *number,
		  struct rn_err *e)
{
	long at = rn_params_find(p, s->name);

	if (s->rank > 4)
		return rn_err_set(e, RN_EBUG, "parameter '%s' of rank %u", s->name, s->rank);
	if (at < 0) {
		if (p->frozen)
			return frozen_error(p, s->name, e);
		RN_TRY(add(p, s, e));
		at = p->n - 1;
	} else {
		RN_TRY(check_same(&p->items[at], s, e));
	}
	*number = (uint32_t)at;
	return s->keys ? find_rows(&p->items[at], s, e) : 0;
}

/* ---- initial values ---------------------------------------------------------- */

/* torch.nn.init, gain 1 except for the kaiming ones (sqrt 2, mode fan_in).  The
 * default of a Linear, kaiming_uniform(a = sqrt 5), is U(-1/sqrt(fan_in), …), as is
 * that of its bias.  *normal: the result is a standard deviation, else a bound. */
static double spread(const struct rn_param *p, bool *normal)
{
	double in = p->fan_in, both = (double)p->fan_in + p->fan_out;

	*normal = p->init == RN_INIT_NORMAL || p->init == RN_INIT_XAVIER_NORMAL ||
		  p->init == RN_INIT_KAIMING_NORMAL || p->init == RN_INIT_ORTHOGONAL;
	switch (p->init) {
	case RN_INIT_UNIT:
	case RN_INIT_UNIFORM:
	case RN_INIT_NORMAL:
	case RN_INIT_TRUNC_NORMAL:
		return p->arg;
	case RN_INIT_ORTHOGONAL:
		return 1;
	case RN_INIT_XAVIER_UNIFORM:
		return both > 0 ? sqrt(6 / both) : 0;
	case RN_INIT_XAVIER_NORMAL:
		return both > 0 ? sqrt(2 / both) : 0;
	case RN_INIT_KAIMING_UNIFORM:
		return in > 0 ? sqrt(6 / in) : 0;
	case RN_INIT_KAIMING_NORMAL:
		return in > 0 ? sqrt(2 / in) : 0;
	case RN_INIT_DEFAULT:
	case RN_INIT_FILL:
	case RN_INIT_EYE:
		break;
	}
	return in > 0 ? 1 / sqrt(in) : 0;
}

/* A row of rn_rng_uniform(key, row, 0 … n-1, 0), four draws a block. */
static void uniform_row(struct rn_rng_key key, uint64_t row, size_t n, bool unit, double bound,
			float *x)
{
	for (size_t j = 0; j < n; j += 4) {
		uint32_t ctr[4] = { (uint32_t)row, (uint32_t)(row >> 32), (uint32_t)(j / 4), 0 };
		uint32_t word[4];

		rn_philox4x32(ctr, key.k, word);
		for (size_t k = 0; k < 4 && j + k < n; k++) {
			float u = (float)(word[k] >> 8) * 0x1p-24f;

			x[j + k] = unit ? u : (float)(bound * (2 * (double)u - 1));
		}
	}
}

/* N(0, s²) of the values within [-2, 2], by rejection: of normal draws where that is most of
 * them, else of uniform ones.  The attempt is the epoch of the draw. */
static float trunc_normal(struct rn_rng_key key, uint64_t row, uint32_t col, double s)
{
	s = fabs(s);
	for (uint32_t i = 0;; i += 2) {
		double x = s * rn_rng_normal(key, row, col, i);

		if (s > 2) {
			x = 4 * (double)rn_rng_uniform(key, row, col, i) - 2;
			if (rn_rng_uniform(key, row, col, i + 1) > exp(-x * x / (2 * s * s)))
				continue;
		}
		if (!(x < -2 || x > 2))
			return (float)x;
	}
}

/* Make the vectors of a matrix of normal draws (n of them, m long; their values stand `step`
 * apart, they themselves `next`) orthogonal, of length `gain`: Gram and Schmidt's method,
 * twice, for a vector that is nearly in the others' span keeps what rounding leaves of them. */
static int orthogonalise(float *x, size_t n, size_t m, size_t next, size_t step, double gain,
			 struct rn_err *e)
{
	double *q, *v, dot, len;

	RN_TRY(rn_calloc(n, m * sizeof *q, "an orthogonal matrix", &q, e));
	for (size_t i = 0; i < n; i++) {
		v = q + i * m;
		for (size_t k = 0; k < m; k++)
			v[k] = (double)x[i * next + k * step];
		for (size_t j = 0; j < 2 * i; j++) {
			const double *u = q + j % i * m;

			dot = 0;
			for (size_t k = 0; k < m; k++)
				dot += u[k] * v[k];
			for (size_t k = 0; k < m; k++)
				v[k] -= dot * u[k];
		}
		len = 0;
		for (size_t k = 0; k < m; k++)
			len += v[k] * v[k];
		len = len > 0 ? sqrt(len) : 1;
		for (size_t k = 0; k < m; k++) {
			v[k] /= len;
			x[i * next + k * step] = (float)(gain * v[k]);
		}
	}
	free(q);
	return 0;
}

/* The counter of row i. */
static int row_counter(const struct rn_param *p, size_t i, struct rn_str *text, uint64_t *out,
		       struct rn_err *e)
{
	*out = i;
	if (!p->keys)
		return 0;
	struct rn_key k = { .n = p->keys->schema.ncols, .cols = p->keys->cols,
			    .rows = p->keys->rows };
	rn_str_clear(text);
	rn_key_print(&k, i, text);
	*out = XXH64(text->s, text->len, 0);
	return rn_str_check(text, e);
}

static int init_one(struct rn_param *p, uint64_t seed, struct rn_err *e)
{
	struct rn_str text = RN_STR_INIT;
	struct rn_rng_key key = rn_rng_key(p->name, seed);
	size_t rows = p->rank > 1 ? p->dim[0] : 1;
	size_t cols = rows ? p->count / rows : 0;
	bool normal;
	double s = spread(p, &normal);

	if (p->init == RN_INIT_FILL || p->init == RN_INIT_EYE) {
		for (size_t i = 0; i < p->count; i++)
			p->value[i] = p->init == RN_INIT_FILL ? (float)p->arg : i / cols == i % cols;
		return 0;
	}
	for (size_t i = 0; i < rows; i++) {
		float *x = p->value + i * cols;
		uint64_t row;
		int rc = row_counter(p, i, &text, &row, e);

		if (rc) {
			rn_str_fini(&text);
			return rc;
		}
		if (p->init == RN_INIT_TRUNC_NORMAL)
			for (size_t j = 0; j < cols; j++)
				x[j] = trunc_normal(key, row, (uint32_t)j, s);
		else if (!normal)
			uniform_row(key, row, cols, p->init == RN_INIT_UNIT, s, x);
		else
			for (size_t j = 0; j < cols; j++)
				x[j] = (float)(s * rn_rng_normal(key, row, (uint32_t)j, 0));
	}
	rn_str_fini(&text);
	if (p->init == RN_INIT_ORTHOGONAL)
		return rows < cols ? orthogonalise(p->value, rows, cols, cols, 1, p->arg, e) :
				     orthogonalise(p->value, cols, rows, 1, cols, p->arg, e);
	return 0;
}

int rn_params_init(struct rn_params *p, uint64_t seed, struct rn_err *e)
{
	for (uint32_t i = 0; i < p->n; i++)
		if (!p->items[i].loaded)
			RN_TRY(init_one(&p->items[i], seed, e));
	return 0;
}

/* ---- .npy ----------------------------------------------------------------------- */

static int npy_path(const char *dir, const char *name, struct rn_str *path, struct rn_err *e)
{
	if (strchr(name, '/'))
		return rn_err_set(e, RN_EUSAGE,
				  "parameter '%s' cannot be a file of its own: its name has a '/'",
				  name);
	rn_str_clear(path);
	rn_str_addf(path, "%s/%s.npy", dir, name);
	return rn_str_check(path, e);
}

/* A matrix is [dim 0, dim 1, …]; a vector is [n, 1]. */
static int save_one(const struct rn_param *p, const char *path, struct rn_err *e)
{
	struct rn_shape shape = { .rank = 1, .dim = { 1 } };
	uint64_t rows = p->rank ? p->dim[0] : 1;
	struct rn_tensor *t = NULL;
	struct rn_io *io = NULL;
	int rc;

	if (p->rank > 1) {
		shape.rank = p->rank - 1;
		memcpy(shape.dim, p->dim + 1, shape.rank * sizeof *shape.dim);
	}
	RN_GOTO(out, rn_tensor_new(&shape, rows, &t, e));
	if (p->count)
		memcpy(t->data, p->value, p->count * sizeof *p->value);
	RN_GOTO(out, rn_io_open_write(path, &io, e));
	RN_GOTO(out, rn_npy_write_header(io, rows, &shape, e));
	RN_GOTO(out, rn_npy_write_rows(io, t, e));
	rc = io->ops->close(io, e);
	io = NULL;
out:
	if (io)
		io->ops->abort(io);
	rn_tensor_unref(t);
	return rc;
}

int rn_params_save_npy(const struct rn_params *p, const char *dir, struct rn_err *e)
{
	struct rn_str path = RN_STR_INIT;
	int rc = 0;

	if (mkdir(dir, 0777) && errno != EEXIST)
		return rn_err_errno(e, "cannot make the folder '%s'", dir);
	for (uint32_t i = 0; i < p->n; i++) {
		RN_GOTO(out, npy_path(dir, p->items[i].name, &path, e));
		RN_GOTO(out, save_one(&p->items[i], path.s, e));
	}
out:
	rn_str_fini(&path);
	return rc;
}

/* Shapes agree if they do without their dims of 1. */
static bool same_shape(const struct rn_param *p, const struct rn_tensor *t)
{
	uint32_t i = 0;

	for (uint32_t k = 0; k <= t->shape.rank; k++) {
		uint64_t d = k ? t->shape.dim[k - 1] : t->rows;

		while (i < p->rank && p->dim[i] == 1)
			i++;
		if (d == 1)
			continue;
		if (i == p->rank || p->dim[i++] != d)
			return false;
	}
	while (i < p->rank && p->dim[i] == 1)
		i++;
	return i == p->rank;
}

static int load_one(struct rn_param *p, const char *path, struct rn_err *e)
{
	struct rn_str have = RN_STR_INIT, want = RN_STR_INIT;
	struct rn_tensor *t = NULL;
	struct rn_io *io;
	int rc;

	RN_TRY(rn_io_open_read(path, &io, e));
	RN_TRY(rn_npy_read(io, &t, e));
	if (same_shape(p, t)) {
		if (p->count)
			memcpy(p->value, t->data, p->count * sizeof *p->value);
		p->loaded = true;
		rc = 0;
	} else {
		uint32_t dim[RN_MAX_RANK + 1] = { (uint32_t)t->rows };

		memcpy(dim + 1, t->shape.dim, t->shape.rank * sizeof *dim);
		print_dims(t->shape.rank + 1, dim, &have);
		print_dims(p->rank, p->dim, &want);
		rc = rn_err_set(e, RN_EDATA, "'%s' is %s, but parameter '%s' is %s", path, have.s,
				p->name, want.s);
	}
	rn_tensor_unref(t);
	rn_str_fini(&have);
	rn_str_fini(&want);
	return rc;
}

int rn_params_load_npy(struct rn_params *p, const char *dir, struct rn_err *e)
{
	struct rn_str path = RN_STR_INIT;
	uint32_t found = 0;
	int rc = 0;

	for (uint32_t i = 0; i < p->n; i++) {
		RN_GOTO(out, npy_path(dir, p->items[i].name, &path, e));
		if (access(path.s, F_OK))
			continue; /* keeps what it is */
		RN_GOTO(out, load_one(&p->items[i], path.s, e));
		found++;
	}
	if (p->n && !found)
		rc = rn_err_set(e, RN_EUSAGE,
				"'%s' has a file for none of the parameters ('%s.npy', …)", dir,
				p->items[0].name);
out:
	rn_str_fini(&path);
	return rc;
}
