/* SPDX-License-Identifier: Apache-2.0
 *
 * Gathers, by parts of the output.  A map that is the identity shares what it would
 * copy.  What has rows of many lengths (strings, sparse rows) is gathered in two passes:
 * the bytes of each part, then the rows to where the part starts.
 */
#include "gather.h"
#include "part.h"

#include <stdlib.h>
#include <string.h>

/* ---- the map ------------------------------------------------------------------------- */

enum { LOOK = 64 }; /* entries at a time, a number that the compiler can unroll and vectorise */

/* What is true of any of LOOK entries from i on; the one before them is read, too. */
static inline void look(const uint32_t *map, uint64_t i, uint32_t *holes, uint32_t *moved,
			uint32_t *falls)
{
	const uint32_t *m = map + i, base = (uint32_t)i;
	uint32_t h = 0, v = 0, f = 0;

	for (int k = 0; k < LOOK; k++) {
		h |= m[k] == RN_NO_ROW;
		v |= m[k] ^ (base + (uint32_t)k);
		f |= m[k] <= m[k - 1];
	}
	*holes |= h;
	*moved |= v;
	*falls |= f;
}

static void look_at_part(void *arg, uint32_t part)
{
	struct rn_gather *g = arg;
	uint64_t i = rn_part_from(part), to = rn_part_to(part, g->n);
	uint32_t holes = 0, moved = 0, falls = 0;

	for (; !i || (i < to && i % LOOK); i++) { /* row 0 has none before it */
		holes |= g->map[i] == RN_NO_ROW;
		moved |= g->map[i] != i;
		falls |= i && g->map[i] <= g->map[i - 1];
	}
	for (; i + LOOK <= to; i += LOOK)
		look(g->map, i, &holes, &moved, &falls);
	for (; i < to; i++) {
		holes |= g->map[i] == RN_NO_ROW;
		moved |= g->map[i] != i;
		falls |= g->map[i] <= g->map[i - 1];
	}
	if (holes)
		__atomic_store_n(&g->holes, true, __ATOMIC_RELAXED);
	if (moved)
		__atomic_store_n(&g->identity, false, __ATOMIC_RELAXED);
	if (falls)
		__atomic_store_n(&g->ascends, false, __ATOMIC_RELAXED);
}

struct rn_gather rn_gather_by(struct rn_team *t, const uint32_t *map, uint64_t n)
{
	struct rn_gather g = { .team = t, .map = map, .n = n, .identity = true, .ascends = true };

	rn_part_run(t, n, look_at_part, &g);
	g.ascends = g.ascends && !g.holes;
	return g;
}

struct map_job {
	const struct rn_gather *g;
	const uint32_t *from;
	uint32_t *to;
};

static void gather_map_part(void *arg, uint32_t part)
{
	const struct map_job *j = arg;
	const uint32_t *map = j->g->map;
	uint64_t to = rn_part_to(part, j->g->n);

	for (uint64_t i = rn_part_from(part); i < to; i++)
		j->to[i] = !j->from || map[i] == RN_NO_ROW ? map[i] : j->from[map[i]];
}

int rn_gather_map(const struct rn_gather *g, const uint32_t *from, struct rn_buf **out,
		  struct rn_err *e)
{
	struct map_job j = { .g = g, .from = from };

	RN_TRY(rn_buf_new_raw(g->n * sizeof *j.to, "a row map", out, e));
	j.to = (*out)->data;
	rn_part_run(g->team, g->n, gather_map_part, &j);
	return 0;
}

/* ---- columns --------------------------------------------------------------------------- */

struct column_job {
	const struct rn_gather *g;
	const struct rn_column *from;
	struct rn_column *to;
	uint64_t *bytes; /* strings: of each part, then where the part starts */
	uint64_t nulls;
};

static void gather_nulls(void *arg, uint32_t part)
{
	struct column_job *j = arg;
	const uint32_t *map = j->g->map;
	const uint8_t *null = j->from->null;
	uint64_t to = rn_part_to(part, j->g->n), nulls = 0;

	for (uint64_t i = rn_part_from(part); i < to; i++) {
		uint8_t is = map[i] == RN_NO_ROW || (null && null[map[i]]);

		j->to->null[i] = is;
		nulls += is;
	}
	__atomic_fetch_add(&j->nulls, nulls, __ATOMIC_RELAXED);
}

static void gather_bools(void *arg, uint32_t part)
{
	const struct column_job *j = arg;
	const uint32_t *map = j->g->map;
	uint64_t to = rn_part_to(part, j->g->n);

	for (uint64_t i = rn_part_from(part); i < to; i++)
		j->to->b[i] = map[i] == RN_NO_ROW ? 0 : j->from->b[map[i]];
}

/* An int64 and a double are the same eight bytes to a gather. */
static void gather_words(void *arg, uint32_t part)
{
	const struct column_job *j = arg;
	const uint32_t *map = j->g->map;
	const char *src = j->from->type == RN_FLOAT64 ? (char *)j->from->f64 : (char *)j->from->i64;
	char *dst = j->to->mem[0]->data;
	uint64_t from = rn_part_from(part), to = rn_part_to(part, j->g->n);

	for (uint64_t i = from; !j->g->holes && i < to; i++)
		memcpy(dst + 8 * i, src + 8 * (uint64_t)map[i], 8);
	for (uint64_t i = from; j->g->holes && i < to; i++) {
		if (map[i] == RN_NO_ROW)
			memset(dst + 8 * i, 0, 8);
		else
			memcpy(dst + 8 * i, src + 8 * (uint64_t)map[i], 8);
	}
}

static void count_bytes(void *arg, uint32_t part)
{
	const struct column_job *j = arg;
	const uint32_t *map = j->g->map;
	const uint64_t *off = j->from->off;
	uint64_t to = rn_part_to(part, j->g->n), bytes = 0;

	for (uint64_t i = rn_part_from(part); i < to; i++)
		if (map[i] != RN_NO_ROW)
			bytes += off[map[i] + 1] - off[map[i]];
	j->bytes[part] = bytes;
}

static void gather_strings(void *arg, uint32_t part)
{
	const struct column_job *j = arg;
	const uint32_t *map = j->g->map;
	const uint64_t *off = j->from->off;
	uint64_t to = rn_part_to(part, j->g->n), at = j->bytes[part];

	for (uint64_t i = rn_part_from(part); i < to; i++) {
		uint64_t len;

		j->to->off[i] = at;
		if (map[i] == RN_NO_ROW)
			continue;
		len = off[map[i] + 1] - off[map[i]];
		memcpy(j->to->bytes + at, j->from->bytes + off[map[i]], len);
		at += len;
	}
}

/* From the sizes of parts to where they start; *total.  False: more than 2^64. */
static bool sum_parts(uint64_t *size, uint32_t parts, uint64_t *total)
{
	*total = 0;
	for (uint32_t p = 0; p < parts; p++) {
		uint64_t n = size[p];

		size[p] = *total;
		if (__builtin_add_overflow(*total, n, total))
			return false;
	}
	return true;
}

static int gather_text(struct column_job *j, struct rn_err *e)
{
	uint32_t parts = rn_part_count(j->g->n);
	uint64_t total;
	int rc = 0;

	RN_TRY(rn_calloc(parts, sizeof *j->bytes, "a string column", &j->bytes, e));
	rn_part_run(j->g->team, j->g->n, count_bytes, j);
	if (!sum_parts(j->bytes, parts, &total))
		rc = rn_err_nomem(e, SIZE_MAX, "a string column");
	else
		rc = rn_column_new_raw_string(j->g->n, total, &j->to, e);
	if (!rc) {
		rn_part_run(j->g->team, j->g->n, gather_strings, j);
		j->to->off[j->g->n] = total;
	}
	free(j->bytes);
	return rc;
}

int rn_gather_column(const struct rn_gather *g, const struct rn_column *c, struct rn_column **out,
		     struct rn_err *e)
{
	struct column_job j = { .g = g, .from = c };
	int rc;

	if (g->identity && g->n == c->rows) {
		*out = rn_column_ref((struct rn_column *)c);
		return 0;
	}
	if (c->type == RN_STRING) {
		RN_TRY(gather_text(&j, e));
	} else {
		RN_TRY(rn_column_new_raw(c->type, g->n, &j.to, e));
		rn_part_run(g->team, g->n, c->type == RN_BOOL ? gather_bools : gather_words, &j);
	}
	if (g->holes || c->nulls) {
		rc = rn_column_need_null(j.to, e);
		if (rc) {
			rn_column_unref(j.to);
			return rc;
		}
		rn_part_run(g->team, g->n, gather_nulls, &j);
		rn_column_set_nulls(j.to, j.nulls);
	}
	*out = j.to;
	return 0;
}

int rn_column_gather_team(struct rn_team *t, const struct rn_column *c, const uint32_t *map,
			  uint64_t n, struct rn_column **out, struct rn_err *e)
{
	struct rn_gather g = rn_gather_by(t, map, n);

	return rn_gather_column(&g, c, out, e);
}

int rn_column_gather(const struct rn_column *c, const uint32_t *map, uint64_t n,
		     struct rn_column **out, struct rn_err *e)
{
	return rn_column_gather_team(NULL, c, map, n, out, e);
}

/* ---- tensors ----------------------------------------------------------------------------- */

struct tensor_job {
	const struct rn_gather *g;
	const struct rn_tensor *from;
	struct rn_tensor *to;
	size_t width;
	uint64_t *stored; /* sparse: values of each part, then where the part starts */
};

static void gather_dense(void *arg, uint32_t part)
{
	const struct tensor_job *j = arg;
	const uint32_t *map = j->g->map;
	uint64_t to = rn_part_to(part, j->g->n);

	for (uint64_t i = rn_part_from(part); i < to; i++)
		if (map[i] != RN_NO_ROW)
			memcpy(j->to->data + i * j->width, j->from->data + map[i] * j->width,
			       j->width * sizeof(float));
}

static void count_stored(void *arg, uint32_t part)
{
	const struct tensor_job *j = arg;
	const uint32_t *map = j->g->map;
	const uint64_t *ptr = j->from->ptr;
	uint64_t to = rn_part_to(part, j->g->n), n = 0;

	for (uint64_t i = rn_part_from(part); i < to; i++)
		if (map[i] != RN_NO_ROW)
			n += ptr[map[i] + 1] - ptr[map[i]];
	j->stored[part] = n;
}

static void gather_sparse(void *arg, uint32_t part)
{
	const struct tensor_job *j = arg;
	const uint32_t *map = j->g->map;
	const struct rn_tensor *t = j->from;
	struct rn_tensor *o = j->to;
	uint64_t to = rn_part_to(part, j->g->n), at = j->stored[part];

	for (uint64_t i = rn_part_from(part); i < to; i++) {
		uint64_t from, len;

		o->ptr[i] = at;
		if (map[i] == RN_NO_ROW)
			continue;
		from = t->ptr[map[i]];
		len = t->ptr[map[i] + 1] - from;
		memcpy(o->data + at, t->data + from, len * sizeof *o->data);
		memcpy(o->col + at, t->col + from, len * sizeof *o->col);
		at += len;
	}
}

static int gather_csr(struct tensor_job *j, struct rn_err *e)
{
	uint32_t parts = rn_part_count(j->g->n);
	uint64_t total;
	int rc;

	RN_TRY(rn_calloc(parts, sizeof *j->stored, "a sparse tensor", &j->stored, e));
	rn_part_run(j->g->team, j->g->n, count_stored, j);
	if (!sum_parts(j->stored, parts, &total))
		rc = rn_err_nomem(e, SIZE_MAX, "a sparse tensor");
	else
		rc = rn_tensor_new_sparse(j->from->shape.dim[0], j->g->n, total, &j->to, e);
	if (!rc) {
		rn_part_run(j->g->team, j->g->n, gather_sparse, j);
		j->to->ptr[j->g->n] = total;
	}
	free(j->stored);
	return rc;
}

int rn_gather_tensor(const struct rn_gather *g, const struct rn_tensor *t, struct rn_tensor **out,
		     struct rn_err *e)
{
	struct tensor_job j = { .g = g, .from = t, .width = rn_shape_width(&t->shape) };

	if (t->sparse) {
		RN_TRY(gather_csr(&j, e));
	} else {
		RN_TRY(rn_tensor_new(&t->shape, g->n, &j.to, e));
		rn_part_run(g->team, g->n, gather_dense, &j);
	}
	*out = j.to;
	return 0;
}

int rn_tensor_gather_team(struct rn_team *team, const struct rn_tensor *t, const uint32_t *map,
			  uint64_t n, struct rn_tensor **out, struct rn_err *e)
{
	struct rn_gather g = { .team = team, .map = map, .n = n };

	return rn_gather_tensor(&g, t, out, e);
}

int rn_tensor_gather(const struct rn_tensor *t, const uint32_t *map, uint64_t n,
		     struct rn_tensor **out, struct rn_err *e)
{
	return rn_tensor_gather_team(NULL, t, map, n, out, e);
}
