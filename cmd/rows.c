/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows in and rows out.
 */
#include "rows.h"

#include "../formats/npy.h"
#include "../formats/database.h"
#include "../formats/text_out.h"
#include "../lib/base/json.h"
#include "../lib/exec/ext.h"
#include "../lib/exec/stream.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const char *rn_operand_label(const struct rn_operand *in)
{
	return strcmp(in->file, "-") ? in->file : "standard input";
}

/* ---- in -------------------------------------------------------------------------------- */

enum { FIRST_ROWS = 65536 }; /* that rn_source_open_first is for */

static int open_table(const struct rn_ctx *c, const struct rn_operand *in, uint64_t limit,
		      struct rn_rows *r, struct rn_err *e)
{
	RN_TRY(rn_scan_node(in->file, in->as, &r->plan, e));
	if (limit <= FIRST_ROWS)
		RN_TRY(rn_source_open_first(c, &r->plan->nodes[0], NULL, &r->source, e));
	else
		RN_TRY(rn_source_open(c, &r->plan->nodes[0], NULL, &r->source, e));
	r->schema = rn_source_schema(r->source);
	return 0;
}

static int open_stream(const struct rn_ctx *c, const struct rn_operand *in, struct rn_rows *r,
		       struct rn_err *e)
{
	struct rn_io *io;
	bool deferred;

	RN_TRY(rn_io_open_read(in->file, &io, e));
	RN_TRY(rn_reader_open(io, &r->reader, e));
	rn_reader_set_team(r->reader, c->team);
	RN_TRY(rn_stream_header(r->reader, r->label, &r->header, &deferred, e));
	if (deferred)
		return rn_err_set(e, RN_EUSAGE,
				  "'%s' is a plan that has not run, and has no rows yet: train it "
				  "with rn-train, or look at it with rn-explain",
				  r->label);
	RN_TRY(rn_reader_section(r->reader, &r->schema, e));
	return r->schema ? 0 : rn_err_set(e, RN_EDATA, "'%s' holds no relation", r->label);
}

int rn_rows_open_first(const struct rn_ctx *c, const struct rn_operand *in, uint64_t limit,
		       struct rn_rows *r, struct rn_err *e)
{
	int rc;

	*r = (struct rn_rows){ .label = rn_operand_label(in) };
	rc = rn_is_text_table(in->file) ? open_table(c, in, limit, r, e) : open_stream(c, in, r, e);
	if (rc)
		rn_rows_close(r);
	return rc;
}

int rn_rows_open(const struct rn_ctx *c, const struct rn_operand *in, struct rn_rows *r,
		 struct rn_err *e)
{
	return rn_rows_open_first(c, in, UINT64_MAX, r, e);
}

int rn_rows_block(struct rn_rows *r, struct rn_rel **out, struct rn_err *e)
{
	const struct rn_schema *more;

	if (r->source)
		return rn_source_block(r->source, out, e);
	RN_TRY(rn_reader_block(r->reader, out, e));
	if (*out)
		return 0;
	RN_TRY(rn_reader_section(r->reader, &more, e)); /* the END frame */
	return more ? rn_err_set(e, RN_EDATA, "'%s' holds several relations", r->label) : 0;
}

int rn_rows_block_of(struct rn_rows *r, uint64_t *left, struct rn_rel **out, struct rn_err *e)
{
	struct rn_rel *all;
	int rc;

	*out = NULL;
	if (!*left)
		return 0;
	RN_TRY(rn_rows_block(r, out, e));
	if (*out && (*out)->rows > *left) {
		all = *out;
		rc = rn_rel_slice(all, 0, *left, out, e);
		rn_rel_unref(all);
		RN_TRY(rc);
	}
	if (*out)
		*left -= (*out)->rows;
	return 0;
}

void rn_rows_progress(const struct rn_rows *r, uint64_t *done, uint64_t *total)
{
	*done = *total = 0;
	if (r->reader)
		rn_reader_progress(r->reader, done, total);
}

void rn_rows_close(struct rn_rows *r)
{
	rn_reader_close(r->reader);
	if (r->source)
		rn_source_close(r->source);
	rn_plan_free(r->plan);
	json_decref(r->header);
	*r = (struct rn_rows){ 0 };
}

/* ---- out ------------------------------------------------------------------------------- */

enum rn_form rn_form_of(const char *format, const char *path, enum rn_form dflt)
{
	static const struct {
		const char *name, *end;
		enum rn_form form;
	} forms[] = {
		{ "csv", ".csv", RN_FORM_CSV },       { "tsv", ".tsv", RN_FORM_TSV },
		{ "jsonl", ".jsonl", RN_FORM_JSONL }, { "npy", ".npy", RN_FORM_NPY },
		{ "er", ".er", RN_FORM_STREAM },      { "ndjson", ".ndjson", RN_FORM_JSONL },
	};
	size_t n;

	rn_codec_of(path, &n); /* x.csv.gz goes by .csv */
	for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
		size_t k = strlen(forms[i].end);

		if (strcmp(format, "auto") ? !strcmp(format, forms[i].name)
					   : n > k && !memcmp(path + n - k, forms[i].end, k))
			return forms[i].form;
	}
	return dflt;
}

/* The rows came out of a pipe: a source without a file of its own. */
static int leaf_plan(const char *name, json_t **plan, struct rn_err *e)
{
	struct rn_plan *p;
	uint32_t section = 0;
	int rc;

	RN_TRY(rn_scan_node("-", name ? name : "", &p, e));
	rc = rn_plan_to_header(p, 0, &section, plan, e);
	rn_plan_free(p);
	return rc;
}

static int open_writer(const struct rn_cli *c, const struct rn_schema *schema,
		       const json_t *history, struct rn_sink *s, struct rn_err *e)
{
	struct rn_writer_opt opt = c->writer;
	struct rn_str text = RN_STR_INIT;
	json_t *plan, *header = NULL;
	struct rn_io *io;
	int rc;

	RN_TRY(leaf_plan(schema->name, &plan, e));
	RN_TRY(rn_stream_make_header("evaluated", plan, history, c->argc, c->argv, &header, e));
	rn_json_print(header, RN_JSON_COMPACT, &text);
	json_decref(header);
	RN_GOTO(out, rn_str_check(&text, e));
	RN_GOTO(out, rn_io_open_write(c->output, &io, e));
	opt.stats = &s->stats;
	opt.inline_only = !c->argv; /* the same bytes every time */
	RN_GOTO(out, rn_writer_open(io, text.s, &opt, &s->writer, e));
	rc = rn_writer_section(s->writer, schema, e);
out:
	rn_str_fini(&text);
	return rc;
}

static int check_npy(const struct rn_schema *schema, struct rn_sink *s, struct rn_err *e)
{
	if (schema->nparts != 1)
		return rn_err_set(e, RN_EUSAGE,
				  "an .npy file holds one matrix, and the relation has %zu "
				  "embedding parts%s",
				  schema->nparts,
				  schema->nparts ? ": make one of them with rn-map" : "");
	s->shape = schema->parts[0].shape;
	return 0;
}

/* The header comes first and has the number of rows: it is written again where that can be,
 * and else the rows wait. */
static int open_npy(const struct rn_cli *c, const struct rn_schema *schema, struct rn_sink *s,
		    struct rn_err *e)
{
	struct rn_schema z = { 0 };
	int rc;

	if (s->io->kind == RN_IO_FILE && strcmp(c->output, "-"))
		return rn_npy_write_header(s->io, 0, &s->shape, e);
	s->budget.limit = rn_ext_mem(&c->ctx) / 4;
	RN_TRY(rn_spill_new(&c->ctx, &s->spill, e));
	rc = rn_schema_add_part(&z, schema->parts[0].name, &s->shape, schema->parts[0].sparse, e);
	if (!rc)
		rc = rn_spool_new(s->spill, &s->budget, &z, &s->spool, e);
	rn_schema_fini(&z);
	return rc;
}

/* Text goes by the name of its file: .gz and .zst compress it. */
static int open_text(const struct rn_cli *c, struct rn_sink *s, struct rn_err *e)
{
	size_t n;
	enum rn_codec codec = rn_codec_of(c->output, &n);
	int rc;

	if (codec != RN_CODEC_PLAIN && s->form == RN_FORM_NPY)
		return rn_err_set(e, RN_EUSAGE, "'%s': an .npy file is not compressed: leave out '%s'",
				  c->output, c->output + n);
	RN_TRY(rn_io_open_write(c->output, &s->io, e));
	s->io->count = &s->stats.written_bytes;
	rc = rn_io_compress(codec, &s->io, e);
	if (rc)
		s->io = NULL;
	else if (codec != RN_CODEC_PLAIN)
		s->io->count = &s->stats.raw_bytes;
	return rc;
}

int rn_sink_open(const struct rn_cli *c, enum rn_form form, const struct rn_text_opt *text,
		 const struct rn_schema *schema, const json_t *history, struct rn_sink *s,
		 struct rn_err *e)
{
	int rc;

	*s = (struct rn_sink){ .form = form, .cli = c };
	if (text)
		s->text = *text;
	s->text.no_number = &s->no_number;
	s->text.kind = form == RN_FORM_TSV     ? RN_TEXT_TSV
		       : form == RN_FORM_JSONL ? RN_TEXT_JSONL
					       : RN_TEXT_CSV;
	if (form == RN_FORM_STREAM)
		rc = open_writer(c, schema, history, s, e);
	else if (form == RN_FORM_NPY && check_npy(schema, s, e))
		rc = e->code;
	else
		rc = open_text(c, s, e);
	if (!rc && form == RN_FORM_NPY)
		rc = open_npy(c, schema, s, e);
	else if (!rc && form != RN_FORM_STREAM)
		rc = rn_text_write_header(s->io, schema, &s->text, e);
	return rc ? rn_sink_close(s, rc, e) : 0;
}

/* The matrix of r's rows, to the output. */
static int put_npy(struct rn_sink *s, const struct rn_rel *r, struct rn_err *e)
{
	struct rn_tensor *t;
	int rc;

	RN_TRY(rn_rel_flat_part(r, 0, &t, e));
	rc = rn_npy_write_rows(s->io, t, e);
	rn_tensor_unref(t);
	return rc;
}

/* The same to where they wait. */
static int spool_npy(struct rn_sink *s, const struct rn_rel *r, struct rn_err *e)
{
	struct rn_rel *z, *piece;
	struct rn_tensor *t;
	int rc;

	RN_TRY(rn_rel_new(NULL, r->rows, &z, e));
	rc = rn_rel_flat_part(r, 0, &t, e);
	if (!rc)
		rc = rn_rel_add_part(z, r->schema.parts[0].name, t, NULL, e);
	for (uint64_t from = 0, n; !rc && from < z->rows; from += n) {
		n = rn_spill_rows(z) < z->rows - from ? rn_spill_rows(z) : z->rows - from;
		rc = rn_rel_slice(z, from, n, &piece, e);
		if (rc)
			break;
		rc = rn_spool_add(s->spool, piece, e);
		rn_rel_unref(piece);
	}
	rn_rel_unref(z);
	return rc;
}

int rn_sink_rows(struct rn_sink *s, const struct rn_rel *r, struct rn_err *e)
{
	s->rows += r->rows;
	if (s->form == RN_FORM_STREAM)
		return rn_writer_rows(s->writer, r, e);
	if (s->form != RN_FORM_NPY)
		return rn_text_write_rows(s->io, r, &s->text, e);
	return s->spool ? spool_npy(s, r, e) : put_npy(s, r, e);
}

/* After the last row, when their number is known. */
static int end_npy(struct rn_sink *s, struct rn_err *e)
{
	uint64_t bytes = s->stats.written_bytes;
	struct rn_rel *r;
	int rc = 0;

	if (!s->spool)
		RN_TRY(s->io->ops->rewind(s->io, e));
	RN_TRY(rn_npy_write_header(s->io, s->rows, &s->shape, e));
	if (!s->spool) /* the header's place was counted */
		s->stats.written_bytes = bytes;
	for (size_t i = 0; s->spool && i < rn_spool_blocks(s->spool) && !rc; i++) {
		RN_TRY(rn_spool_take(s->spool, i, &r, e));
		rc = put_npy(s, r, e);
		rn_rel_unref(r);
	}
	return rc;
}

int rn_sink_close(struct rn_sink *s, int rc, struct rn_err *e)
{
	if (!rc && s->form == RN_FORM_NPY)
		rc = end_npy(s, e);
	rn_spool_free(s->spool);
	rn_spill_free(s->spill);
	s->spool = NULL;
	s->spill = NULL;
	if (rc && s->writer)
		rn_writer_abort(s->writer, e->msg);
	else if (rc && s->io)
		s->io->ops->abort(s->io);
	else if (s->writer)
		rc = rn_writer_close(s->writer, e);
	else if (s->io)
		rc = s->io->ops->close(s->io, e);
	if (s->form != RN_FORM_STREAM && !s->stats.raw_bytes) /* nothing compressed them */
		s->stats.raw_bytes = s->stats.written_bytes;
	s->writer = NULL;
	s->io = NULL;
	if (!rc && s->no_number)
		rn_log(&s->cli->ctx, RN_LOG_WARN,
		       "%" PRIu64 " infinities and NaNs are null, as JSON has no such numbers",
		       s->no_number);
	return rc;
}

int rn_sink_check_stream(const char *path, struct rn_err *e)
{
	enum rn_form form = rn_form_of("auto", path, RN_FORM_STREAM);
	size_t n = strlen(path);

	if (form == RN_FORM_STREAM && (n < 5 || strcmp(path + n - 4, ".npz")))
		return 0;
	return rn_err_set(e, RN_EUSAGE,
			  "'%s' would be a stream, and is no name of one: pipe it into rn-cat -o %s, "
			  "or insist with -f",
			  path, form == RN_FORM_STREAM ? "NAME.npy" : path);
}

void rn_sink_refuse(const struct rn_cli *c, const char *message)
{
	static const struct rn_writer_opt plain = { .compress = RN_COMPRESS_NONE, .inline_only = true };
	struct rn_writer *w;
	struct rn_io *io;

	if (rn_io_open_write(c->output, &io, NULL))
		return;
	if (io->kind != RN_IO_PIPE && io->kind != RN_IO_SOCKET)
		io->ops->abort(io);
	else if (!rn_writer_open(io, "{\"rn\":1,\"kind\":\"aborted\"}", &plain, &w, NULL))
		rn_writer_abort(w, message);
}

/* ---- from one to the other ------------------------------------------------------------- */

static int pump(struct rn_rows *r, struct rn_sink *s, uint64_t left, struct rn_err *e)
{
	struct rn_rel *b;
	int rc = 0;

	while (!rc) {
		RN_TRY(rn_rows_block_of(r, &left, &b, e));
		if (!b)
			return 0;
		rc = rn_sink_rows(s, b, e);
		rn_rel_unref(b);
	}
	return rc;
}

int rn_rows_pump(const struct rn_cli *c, enum rn_form form, const struct rn_text_opt *text,
		 uint64_t limit, struct rn_err *e)
{
	struct rn_pipe_stats stats = { 0 };
	double start = rn_now();
	struct rn_rows r;
	struct rn_sink s;
	int rc;

	rc = rn_rows_open_first(&c->ctx, &c->in[0], limit, &r, e);
	if (rc) {
		if (form == RN_FORM_STREAM)
			rn_sink_refuse(c, e->msg);
		return rc;
	}
	rc = rn_sink_open(c, form, text, r.schema, json_object_get(r.header, "history"), &s, e);
	if (!rc) {
		rc = pump(&r, &s, limit, e);
		stats.rows_in = stats.rows_out = s.rows;
		rc = rn_sink_close(&s, rc, e);
		stats.out = s.stats;
	}
	rn_rows_close(&r);
	stats.seconds = rn_now() - start;
	if (!rc)
		rn_cli_print_stats(c, &stats);
	return rc;
}

static int pump_table(struct rn_rows *r, struct rn_db_writer *w, uint64_t *rows, struct rn_err *e)
{
	struct rn_rel *b;
	int rc = 0;

	while (!rc) {
		RN_TRY(rn_rows_block(r, &b, e));
		if (!b)
			return 0;
		*rows += b->rows;
		rc = w->write(w, b, e);
		rn_rel_unref(b);
	}
	return rc;
}

int rn_rows_to_table(const struct rn_cli *c, const char *to, bool append, struct rn_err *e)
{
	struct rn_pipe_stats stats = { 0 };
	struct rn_db_writer *w;
	double start = rn_now();
	struct rn_rows r;
	int rc;

	RN_TRY(rn_rows_open(&c->ctx, &c->in[0], &r, e));
	rc = rn_db_create(to, r.schema, append, &w, e);
	if (!rc) {
		rc = pump_table(&r, w, &stats.rows_in, e);
		if (rc)
			w->abort(w);
		else
			rc = w->commit(w, e);
	}
	rn_rows_close(&r);
	stats.rows_out = stats.rows_in;
	stats.seconds = rn_now() - start;
	if (!rc)
		rn_cli_print_stats(c, &stats);
	return rc;
}
