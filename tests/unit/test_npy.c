/* SPDX-License-Identifier: Apache-2.0
 *
 * .npy: what is written is read back; every element type; every fault is named.
 */
#include "../../formats/npy.h"

#include "t.h"

#include <math.h>

/* A file of version `major` with this dict and these bytes of values. */
static size_t make(char *buf, int major, const char *dict, const void *values, size_t n)
{
	size_t len = strlen(dict), at = major == 1 ? 10 : 12;

	memcpy(buf, "\x93NUMPY", 6);
	buf[6] = (char)major;
	buf[7] = 0;
	memset(buf + 8, 0, 4);
	buf[8] = (char)len;
	memcpy(buf + at, dict, len);
	if (n)
		memcpy(buf + at + len, values, n);
	return at + len + n;
}

static int read_bytes(const char *buf, size_t n, bool sized, struct rn_tensor **t,
		      struct rn_err *e)
{
	struct rn_io *io = NULL;

	T_CALL(rn_io_from_memory(buf, n, "x.npy", &io, e), e);
	if (!sized)
		io->size = 0; /* as from a pipe */
	return rn_npy_read(io, t, e);
}

static const struct {
	const char *descr;
	unsigned char bytes[16]; /* two values */
	size_t size;
	float want[2];
} types[] = {
	{ "<f2", { 0x00, 0x3C, 0x01, 0x80 }, 2, { 1, -0x1p-24f } },
	{ "<f2", { 0x00, 0x7C, 0x55, 0x35 }, 2, { INFINITY, 0.333251953125f } },
	{ "<f4", { 0, 0, 0x80, 0x3F, 0, 0, 0, 0xC0 }, 4, { 1, -2 } },
	{ "<f8", { 0, 0, 0, 0, 0, 0, 0xF0, 0x3F, 0, 0, 0, 0, 0, 0, 0, 0xC0 }, 8, { 1, -2 } },
	{ "|i1", { 0xFF, 5 }, 1, { -1, 5 } },
	{ "<i2", { 0xFF, 0xFF, 0, 1 }, 2, { -1, 256 } },
	{ "<i4", { 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 1, 0 }, 4, { -1, 65536 } },
	{ "<i8", { 0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 7 }, 8, { -2, 7 } },
	{ "|u1", { 0xFF, 5 }, 1, { 255, 5 } },
	{ "<u2", { 0xFF, 0xFF, 0, 1 }, 2, { 65535, 256 } },
	{ "<u4", { 0, 0, 0, 0x80, 1 }, 4, { 2147483648.0f, 1 } },
	{ "|b1", { 1, 0 }, 1, { 1, 0 } },
};

static void test_types(void)
{
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		for (int major = 1; major <= 3; major++) {
			struct rn_tensor *t = NULL;
			char buf[300], dict[128];
			struct rn_err e = { 0 };
			size_t n;
			int rc;

			snprintf(dict, sizeof dict,
				 "{'descr': '%s', 'fortran_order': False, 'shape': (2,), }\n",
				 types[i].descr);
			n = make(buf, major, dict, types[i].bytes, 2 * types[i].size);
			rc = read_bytes(buf, n, major != 2, &t, &e);
			T_OK(!rc && t->rows == 2 && t->shape.rank == 1 && t->shape.dim[0] == 1 &&
				     memcmp(t->data, types[i].want, 8) == 0,
			     "%s in version %d: %s", types[i].descr, major, e.msg);
			if (!rc)
				rn_tensor_unref(t);
		}
}

#define DICT(descr, order, shape) \
	"{'descr': " descr ", 'fortran_order': " order ", 'shape': " shape ", }"

static const struct {
	const char *dict, *want;
	size_t values; /* bytes */
} faults[] = {
	{ DICT("'>f4'", "False", "(1,)"), "big-endian", 4 },
	{ DICT("'<c8'", "False", "(1,)"), "element type", 8 },
	{ DICT("[('a', '<f4')]", "False", "(1,)"), "simple type", 4 },
	{ DICT("'<f4'", "True", "(1, 2)"), "Fortran", 8 },
	{ DICT("'<f4'", "False", "()"), "no dimensions", 4 },
	{ DICT("'<f4'", "False", "(1, 0)"), "no values", 0 },
	{ DICT("'<f4'", "False", "(2,)"), "truncated", 4 },
	{ DICT("'<f4'", "False", "(1,)"), "more after", 8 },
	{ DICT("'<f4'", "False", "(1,1,1,1,1,1)"), "dimensions", 4 },
	{ DICT("'<f4'", "False", "(1, 4294967295, 99)"), "too large", 4 },
	{ DICT("'<f4'", "False", "(4294967295, 9)"), "too many rows", 4 },
	{ DICT("'<f4'", "False", "(4000000000, 900)"), "truncated", 4 },
	{ DICT("'<f4'", "Maybe", "(1,)"), "malformed", 4 },
	{ "{'descr': '<f4', 'shape': (1,), }", "malformed", 4 },
	{ "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,), }",
	  "malformed", 4 },
	{ DICT("'<f4'", "False", "(-1,)"), "malformed", 4 },
	{ DICT("'<f4'", "False", "(1 1)"), "malformed", 4 },
	{ "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), ", "malformed", 4 },
	{ "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), } x", "malformed", 4 },
	{ "", "malformed", 4 },
};

static void test_faults(void)
{
	static const char values[64];
	struct rn_tensor *t = NULL;
	char buf[300];
	struct rn_err e;
	size_t n;

	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
		for (int sized = 0; sized < 2; sized++) {
			n = make(buf, 1, faults[i].dict, values, faults[i].values);
			T_OK(read_bytes(buf, n, sized, &t, &e) == RN_EDATA &&
				     strstr(e.msg, faults[i].want) && strstr(e.msg, "x.npy"),
			     "%s: %s", faults[i].dict, e.msg);
		}
	n = make(buf, 9, faults[6].dict, values, 8);
	T_OK(read_bytes(buf, n, true, &t, &e) == RN_EDATA && strstr(e.msg, "version 9"),
	     "%s", e.msg);
	buf[0] = 'x';
	T_OK(read_bytes(buf, n, true, &t, &e) == RN_EDATA && strstr(e.msg, "begin"), "%s", e.msg);
	n = make(buf, 1, faults[6].dict, values, 8);
	for (size_t i = 0; i < n; i++)
		if (read_bytes(buf, i, i % 2, &t, &e) != RN_EDATA)
			T_OK(0, "truncated at %zu", i);
	T_OK(!read_bytes(buf, n, true, &t, &e), "and the whole of it is read");
	rn_tensor_unref(t);
}

static void check_written(const struct rn_tensor *t, const struct rn_shape *shape)
{
	struct rn_tensor *back = NULL;
	struct rn_io *io = NULL;
	struct rn_err e = { 0 };
	uint32_t width = rn_shape_width(shape);
	bool same;
	void *data;
	size_t n;

	T_CALL(rn_io_to_memory(&data, &n, &io, &e), &e);
	T_CALL(rn_npy_write_header(io, t->rows * 2, shape, &e), &e);
	T_CALL(rn_npy_write_rows(io, t, &e), &e);
	T_CALL(rn_npy_write_rows(io, t, &e), &e);
	T_CALL(io->ops->close(io, &e), &e);
	T_CALL(read_bytes(data, n, true, &back, &e), &e);
	same = (n - t->rows * 2 * width * 4) % 64 == 0 && back->rows == t->rows * 2 &&
	       rn_shape_equal(&back->shape, shape);
	for (uint64_t i = 0; i < t->rows && same; i++)
		for (uint32_t j = 0; j < width; j++) {
			float want = t->sparse ? 0 : t->data[i * width + j];

			for (uint64_t k = t->sparse ? t->ptr[i] : 0;
			     t->sparse && k < t->ptr[i + 1]; k++)
				want = t->col[k] == j ? t->data[k] : want;
			same = same && back->data[i * width + j] == want &&
			       back->data[(t->rows + i) * width + j] == want;
		}
	T_OK(same, "%s tensor of rank %u comes back", t->sparse ? "sparse" : "dense", shape->rank);
	rn_tensor_unref(back);
	free(data);
}

static void test_writing(void)
{
	struct rn_shape shape = { .rank = 3, .dim = { 3, 2, 5 } };
	struct rn_tensor *t = NULL;
	struct rn_err e;

	T_CALL(rn_tensor_new(&shape, 7, &t, &e), &e);
	for (uint64_t i = 0; i < t->nnz; i++)
		t->data[i] = (float)i;
	check_written(t, &shape);
	rn_tensor_unref(t);
	T_CALL(rn_tensor_new(&shape, 0, &t, &e), &e);
	check_written(t, &shape);
	rn_tensor_unref(t);
	T_CALL(rn_tensor_new_sparse(1000, 900, 1800, &t, &e), &e);
	for (uint32_t i = 0; i < 900; i++) {
		t->ptr[i] = 2 * i;
		t->col[2 * i] = i;
		t->col[2 * i + 1] = i + 50;
		t->data[2 * i] = 1;
		t->data[2 * i + 1] = (float)i;
	}
	t->ptr[900] = 1800;
	check_written(t, &t->shape);
	rn_tensor_unref(t);
}

int main(void)
{
	test_types();
	test_faults();
	test_writing();
	return t_done();
}
