/* SPDX-License-Identifier: Apache-2.0 */
#include "npz.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
	PIECE = 64 << 10,
	MAX_NAME = 4096,
	LOCAL = 0x04034B50, /* signatures */
	DESCRIPTOR = 0x08074B50,
	STORED = 0,
	DEFLATED = 8,
	ENCRYPTED = 1, /* flags */
	SIZES_FOLLOW = 8,
};

/* An archive that is read, and the entry that is. */
struct zip {
	struct rn_io *io;
	uint8_t buf[PIECE];
	size_t at, len;
	char name[MAX_NAME + 1];
	unsigned flags, method;
	bool zip64;
	uint32_t crc, crc_read;
	uint64_t stored, left; /* bytes in the archive; UINT64_MAX: unknown until the end */
	uint64_t size;         /* without compression; 0: unknown */
	bool more, ended;      /* content to come; checksum checked */
	z_stream z;
	bool inflating;
};

static int bad(const struct zip *z, struct rn_err *e, const char *what)
{
	return rn_err_set(e, RN_EDATA, "'%s' is no .npz file that can be read: %s", z->io->name, what);
}

/* ---- bytes ------------------------------------------------------------------- */

static int fill(struct zip *z, struct rn_err *e)
{
	if (z->at < z->len)
		return 0;
	z->at = 0;
	return z->io->ops->read(z->io, z->buf, PIECE, &z->len, e);
}

/* n bytes; *got fewer only at the end of the file. */
static int take(struct zip *z, void *p, size_t n, size_t *got, struct rn_err *e)
{
	for (*got = 0; *got < n;) {
		size_t k;

		RN_TRY(fill(z, e));
		k = z->len - z->at < n - *got ? z->len - z->at : n - *got;
		if (!k)
			return 0;
		memcpy((char *)p + *got, z->buf + z->at, k);
		z->at += k;
		*got += k;
	}
	return 0;
}

static int take_all(struct zip *z, void *p, size_t n, struct rn_err *e)
{
	size_t got;

	RN_TRY(take(z, p, n, &got, e));
	return got == n ? 0 : bad(z, e, "it is truncated");
}

static uint64_t number(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = bytes; i-- > 0;)
		v = v << 8 | p[i];
	return v;
}

/* ---- headers ----------------------------------------------------------------- */

/* The sizes that do not fit 32 bits stand in the extra field 1, in this order. */
static int read_extra(struct zip *z, const uint8_t *p, size_t n, struct rn_err *e)
{
	while (n >= 4) {
		size_t k = number(p + 2, 2), at = 4;

		if (k > n - 4)
			return bad(z, e, "an entry's extra field is malformed");
		if (number(p, 2) == 1) {
			uint64_t *const to[] = { &z->size, &z->stored };

			z->zip64 = true;
			for (int i = 0; i < 2; i++)
				if (*to[i] == UINT32_MAX && at + 8 <= 4 + k) {
					*to[i] = number(p + at, 8);
					at += 8;
				}
		}
		p += 4 + k;
		n -= 4 + k;
	}
	return 0;
}

static int start_entry(struct zip *z, struct rn_err *e)
{
	z->left = z->stored;
	z->ended = false;
	z->more = z->method == DEFLATED || z->stored;
	z->crc_read = (uint32_t)crc32(0, NULL, 0);
	if (z->flags & ENCRYPTED)
		return bad(z, e, "it is encrypted");
	if (z->method != STORED && z->method != DEFLATED)
		return bad(z, e, "it is compressed in another way than deflate");
	if ((z->flags & SIZES_FOLLOW) && !z->stored) {
		z->left = UINT64_MAX;
		z->size = 0;
		if (z->method == STORED)
			return bad(z, e, "the size of an entry is unknown");
	}
	if (z->method != DEFLATED)
		return 0;
	if (z->inflating)
		return inflateReset(&z->z) == Z_OK ? 0 : bad(z, e, "the codec cannot be reset");
	if (inflateInit2(&z->z, -15) != Z_OK)
		return rn_err_nomem(e, PIECE, "the deflate codec");
	z->inflating = true;
	return 0;
}

/* The next entry; *there = false where the directory at the end begins. */
static int next_entry(struct zip *z, bool *there, struct rn_err *e)
{
	uint8_t h[30], *extra;
	size_t name, more;
	int rc;

	RN_TRY(take_all(z, h, 4, e));
	*there = number(h, 4) == LOCAL;
	if (!*there)
		return h[0] == 'P' && h[1] == 'K' ? 0 : bad(z, e, "it does not begin as one");
	RN_TRY(take_all(z, h + 4, 26, e));
	z->flags = (unsigned)number(h + 6, 2);
	z->method = (unsigned)number(h + 8, 2);
	z->crc = (uint32_t)number(h + 14, 4);
	z->stored = number(h + 18, 4);
	z->size = number(h + 22, 4);
	z->zip64 = false;
	name = number(h + 26, 2);
	more = number(h + 28, 2);
	if (name > MAX_NAME)
		return bad(z, e, "the name of an entry is too long");
	RN_TRY(take_all(z, z->name, name, e));
	z->name[name] = '\0';
	RN_TRY(rn_calloc(more + 1, 1, "a zip header", &extra, e));
	rc = take_all(z, extra, more, e);
	if (!rc)
		rc = read_extra(z, extra, more, e);
	free(extra);
	return rc ? rc : start_entry(z, e);
}

/* Behind an entry whose sizes were not known: checksum and sizes, with a signature or
 * without. */
static int read_descriptor(struct zip *z, struct rn_err *e)
{
	uint8_t d[24];

	if (!(z->flags & SIZES_FOLLOW))
		return 0;
	RN_TRY(take_all(z, d, 4, e));
	if (number(d, 4) == DESCRIPTOR)
		RN_TRY(take_all(z, d, 4, e));
	z->crc = (uint32_t)number(d, 4);
	return take_all(z, d, z->zip64 ? 16 : 8, e);
}

/* ---- contents ---------------------------------------------------------------- */

static int end_entry(struct zip *z, struct rn_err *e)
{
	if (z->ended)
		return 0;
	z->ended = true;
	RN_TRY(read_descriptor(z, e));
	return z->crc_read == z->crc ? 0 : bad(z, e, "the checksum of an entry is wrong");
}

static int inflate_some(struct zip *z, uint8_t *p, size_t n, size_t *got, struct rn_err *e)
{
	size_t in;
	int rc;

	if (z->left)
		RN_TRY(fill(z, e));
	in = z->len - z->at < z->left ? z->len - z->at : (size_t)z->left;
	z->z.next_in = z->buf + z->at;
	z->z.avail_in = (unsigned)in;
	z->z.next_out = p;
	z->z.avail_out = n < PIECE ? (unsigned)n : PIECE;
	*got = z->z.avail_out;
	rc = inflate(&z->z, Z_NO_FLUSH);
	*got -= z->z.avail_out;
	z->at += in - z->z.avail_in;
	if (z->left != UINT64_MAX)
		z->left -= in - z->z.avail_in;
	if (rc == Z_MEM_ERROR)
		return rn_err_nomem(e, PIECE, "the deflate codec");
	if (rc == Z_BUF_ERROR && !in)
		return bad(z, e, "it is truncated");
	if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
		return bad(z, e, "an entry is malformed");
	z->more = rc != Z_STREAM_END;
	return 0;
}

/* Up to n bytes of the entry's content; fewer at its end. */
static int read_entry(struct zip *z, uint8_t *p, size_t n, size_t *got, struct rn_err *e)
{
	*got = 0;
	while (*got < n && z->more) {
		size_t k;

		if (z->method == DEFLATED) {
			RN_TRY(inflate_some(z, p + *got, n - *got, &k, e));
		} else {
			k = n - *got < z->left ? n - *got : (size_t)z->left;
			RN_TRY(take_all(z, p + *got, k, e));
			z->left -= k;
			z->more = z->left != 0;
		}
		for (size_t at = 0; at < k; at += 1 << 30) {
			size_t part = k - at < 1 << 30 ? k - at : 1 << 30;

			z->crc_read = (uint32_t)crc32(z->crc_read, p + *got + at, (unsigned)part);
		}
		*got += k;
	}
	return *got < n ? end_entry(z, e) : 0;
}

static int skip_entry(struct zip *z, struct rn_err *e)
{
	uint8_t *rest;
	size_t got;
	int rc;

	RN_TRY(rn_calloc(PIECE, 1, "an archive", &rest, e));
	do
		rc = read_entry(z, rest, PIECE, &got, e);
	while (!rc && got == PIECE);
	free(rest);
	return rc;
}

/* ---- an entry as a file ------------------------------------------------------- */

struct entry_io {
	struct rn_io io;
	struct zip *zip;
	struct rn_str names; /* of the arrays that were passed, for messages */
	bool only;           /* no name was given: there may be no other */
	bool checked;
};

static bool is_array(const struct zip *z, const char *name)
{
	size_t n = strlen(z->name);

	if (n < 5 || strcmp(z->name + n - 4, ".npy"))
		return false;
	return !name || (strlen(name) == n - 4 && !memcmp(name, z->name, n - 4));
}

static void note_name(struct entry_io *x)
{
	const struct zip *z = x->zip;

	if (is_array(z, NULL) && x->names.len < 400)
		rn_str_addf(&x->names, "%s%.*s", x->names.len ? ", " : "", (int)strlen(z->name) - 4,
			    z->name);
}

/* The entries after the array, which is at its end: is there another one? */
static int check_only(struct entry_io *x, struct rn_err *e)
{
	bool there, several = false;
	int rc = 0;

	x->checked = true;
	while (x->only && !(rc = next_entry(x->zip, &there, e)) && there) {
		note_name(x);
		several |= is_array(x->zip, NULL);
		RN_TRY(skip_entry(x->zip, e));
	}
	if (!rc)
		rc = rn_str_check(&x->names, e);
	if (!rc && several)
		rc = rn_err_set(e, RN_EUSAGE, "'%s' holds several arrays: name one, FILE.npz:NAME (%s)",
				x->zip->io->name, x->names.s);
	return rc;
}

static int entry_read(struct rn_io *io, void *buf, size_t n, size_t *got, struct rn_err *e)
{
	struct entry_io *x = (struct entry_io *)io;

	*got = 0;
	if (x->checked)
		return 0;
	RN_TRY(read_entry(x->zip, buf, n, got, e));
	return *got < n ? check_only(x, e) : 0;
}

static void entry_abort(struct rn_io *io)
{
	struct entry_io *x = (struct entry_io *)io;

	if (x->zip->inflating)
		inflateEnd(&x->zip->z);
	x->zip->io->ops->abort(x->zip->io);
	free(x->zip);
	rn_str_fini(&x->names);
	free(io->name);
	free(x);
}

static const struct rn_io_ops entry_ops = { .read = entry_read, .abort = entry_abort };

static int find_array(struct entry_io *x, const char *name, struct rn_err *e)
{
	struct zip *z = x->zip;
	bool there;
	int rc;

	while (!(rc = next_entry(z, &there, e)) && there) {
		note_name(x);
		if (is_array(z, name))
			return rn_str_check(&x->names, e);
		RN_TRY(skip_entry(z, e));
	}
	if (!rc)
		rc = rn_str_check(&x->names, e);
	if (rc)
		return rc;
	return rn_err_set(e, RN_EUSAGE, "'%s' holds no array%s%s%s (there %s%s)", z->io->name,
			  name ? " '" : "", name ? name : "", name ? "'" : "",
			  x->names.len ? "are " : "are none", x->names.s);
}

static int label_entry(struct entry_io *x, struct rn_err *e)
{
	const struct zip *z = x->zip;
	struct rn_str label = RN_STR_INIT;

	rn_str_addf(&label, "%s:%.*s", z->io->name, (int)strlen(z->name) - 4, z->name);
	x->io.name = rn_str_take(&label, e);
	/* A size beyond what the archive can hold is not believed. */
	if (z->method == STORED && z->size <= z->io->size)
		x->io.size = z->size;
	return x->io.name ? 0 : RN_ENOMEM;
}

int rn_npz_open(struct rn_io *io, const char *name, struct rn_io **out, struct rn_err *e)
{
	struct entry_io *x = NULL;
	struct zip *z = NULL;
	int rc;

	RN_GOTO(fail, rn_calloc(1, sizeof *x, "an archive", &x, e));
	RN_GOTO(fail, rn_calloc(1, sizeof *z, "an archive", &z, e));
	z->io = io;
	*x = (struct entry_io){ .io = { .ops = &entry_ops, .kind = RN_IO_OTHER }, .zip = z,
				.names = RN_STR_INIT, .only = !name };
	rc = find_array(x, name, e);
	if (!rc)
		rc = label_entry(x, e);
	if (rc)
		entry_abort(&x->io);
	else
		*out = &x->io;
	return rc;
fail:
	free(x);
	io->ops->abort(io);
	return rc;
}

int rn_npz_read(struct rn_io *io, const char *name, struct rn_tensor **out, struct rn_err *e)
{
	struct rn_io *entry;

	RN_TRY(rn_npz_open(io, name, &entry, e));
	return rn_npy_read(entry, out, e);
}
