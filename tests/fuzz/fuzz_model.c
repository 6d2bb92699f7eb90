/* SPDX-License-Identifier: Apache-2.0
 *
 * Models and checkpoints.  The input is a header (JSON), a byte 0, and a byte for
 * each section, which chooses one of a few relations.  What is loaded without an
 * error must name parameters whose values are there.
 */
#include "../../lib/train/model.h"
#include "fuzz.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MAX_SECTIONS = 12 };

/* (row int64; value [shape]), and of odd choices with other columns or other rows. */
static struct rn_rel *section(uint8_t choice)
{
	static const struct rn_shape shapes[] = {
		{ 1, { 1 } }, { 1, { 2 } }, { 1, { 3 } }, { 2, { 2, 3 } }
	};
	uint64_t rows = choice % 4;
	struct rn_tensor *t;
	struct rn_column *c;
	struct rn_rel *r;
	struct rn_err e;
	bool labels = choice & 64;

	require(!rn_rel_new(NULL, rows, &r, &e));
	if (labels && choice & 16)
		require(!rn_column_new_string(rows, rows, &c, &e));
	else
		require(!rn_column_new(RN_INT64, rows, &c, &e));
	for (uint64_t i = 0; i < rows; i++) {
		if (c->type == RN_INT64) {
			c->i64[i] = choice & 32 ? 7 - (int64_t)i : (int64_t)i;
		} else {
			c->bytes[i] = (char)('a' + i);
			c->off[i + 1] = i + 1;
		}
	}
	require(!rn_rel_add_col(r, labels ? "label" : "row", NULL, c, &e));
	if (!labels && choice & 128) /* a table by key */
		require(!rn_rel_add_col(r, "member", NULL, rn_column_ref(c), &e));
	if (!labels) {
		require(!rn_tensor_new(&shapes[choice >> 2 & 3], rows, &t, &e));
		require(!rn_rel_add_part(r, "value", t, NULL, &e));
	}
	return r;
}

/* The container as a file in memory. */
static int make_file(const char *header, const uint8_t *choices, size_t n)
{
	struct rn_writer_opt opt = { .compress = RN_COMPRESS_NONE };
	int fd = memfd_create("model", MFD_CLOEXEC);
	struct rn_writer *w;
	struct rn_io *io = NULL;
	struct rn_err e;
	void *bytes;
	size_t size;

	require(fd >= 0);
	require(!rn_io_to_memory(&bytes, &size, &io, &e));
	require(!rn_writer_open(io, header, &opt, &w, &e));
	for (size_t i = 0; i < n && i < MAX_SECTIONS; i++) {
		struct rn_rel *r = section(choices[i]);

		require(!rn_writer_section(w, &r->schema, &e) && !rn_writer_rows(w, r, &e));
		rn_rel_unref(r);
	}
	require(!rn_writer_close(w, &e));
	require(write(fd, bytes, size) == (ssize_t)size);
	free(bytes);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *header, path[40];
	struct rn_params params = { 0 };
	struct rn_model m = { 0 };
	size_t length;
	struct rn_err e;
	int fd, rc;

	if (n > 1 << 16)
		return 0;
	header = text_of(data, n);
	length = strlen(header);
	fd = make_file(header, data + length + (length < n), n - length - (length < n));
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	rc = rn_model_load(path, &m, &e);
	require(rc == 0 || rc == RN_EDATA || rc == RN_EUSAGE || rc == RN_ENOMEM);
	for (uint32_t i = 0; !rc && i < m.params.n; i++) {
		const struct rn_param *p = &m.params.items[i];
		volatile float sum = 0;

		for (size_t k = 0; k < p->count; k++)
			sum += p->value[k];
	}
	if (!rc)
		rn_model_fini(&m);
	rc = rn_params_load(&params, path, &e);
	require(rc == 0 || rc == RN_EDATA || rc == RN_EUSAGE || rc == RN_ENOMEM);
	rn_params_fini(&params);
	close(fd);
	free(header);
	return 0;
}
