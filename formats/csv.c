/* SPDX-License-Identifier: Apache-2.0
 *
 * Typed rows out of text.  One thread reads and cuts chunks of whole rows, while others
 * of the team make relations of those before; they are handed out in order.  What a chunk
 * holds, and so what a block does, depends on the text alone.
 *
 * Types are guessed from the first rows and only ever widen.  Where the input can be read
 * again, chunks are parsed with the guess, and what they become is kept; if every row fits
 * and all of it is small, as nearly always, that was the only pass.  If one does not, or
 * what is kept would get too large, the rest only widens the types and a second pass
 * parses.  Where it cannot be read again, the first 65,536 rows decide, and a later
 * value that does not fit is an error.  A key of JSON lines that was not met before is
 * like a value that does not fit.
 */
#include "csv_reader.h"

#include "../lib/base/team.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	MAX_ROWS = 65536,       /* in a block */
	SAMPLE_TEXT = 64 << 20, /* bytes of text at which a sample is large enough */
	GUESS_ROWS = 1000,      /* that make the first guess where the input can be read again */
	MAX_KEPT = 96 << 20,    /* bytes of blocks kept while types are being found */
	MIN_BATCH = 8,          /* chunks at once, of several threads */
};

/* ---- chunks ------------------------------------------------------------------------------ */

/* One that is done with, or a new one. */
static int take_chunk(struct rn_csv_reader *r, struct rn_csv_chunk **out, struct rn_err *e)
{
	if (!r->head)
		return rn_calloc(1, sizeof **out, "text", out, e);
	*out = r->queue[0];
	memmove(r->queue, r->queue + 1, --r->nqueue * sizeof *r->queue);
	r->head--;
	return 0;
}

/* Have n spare chunks, and room for them in the queue. */
static int have_spare(struct rn_csv_reader *r, size_t n, struct rn_err *e)
{
	for (; r->nspare < n; r->nspare++)
		RN_TRY(take_chunk(r, &r->spare[r->nspare], e));
	return rn_grow(&r->queue, &r->queue_cap, r->nqueue + n, sizeof(struct rn_csv_chunk *),
		       "text", e);
}

/* Text into all of the spare chunks.  An error takes its turn. */
static void read_spare(struct rn_csv_reader *r)
{
	for (size_t i = 0; i < r->nspare && !r->ended; i++) {
		struct rn_csv_chunk *k = r->spare[i];
		bool got = true;

		k->rc = rn_csv_scan_chunk(r->scan, k, &got, &k->err);
		r->ended = k->rc || !got;
		r->nread += got;
	}
}

/* Those that were read join the queue. */
static void queue_spare(struct rn_csv_reader *r)
{
	memcpy(r->queue + r->nqueue, r->spare, r->nread * sizeof *r->queue);
	r->nqueue += r->nread;
	r->nspare -= r->nread;
	memmove(r->spare, r->spare + r->nread, r->nspare * sizeof *r->spare);
	r->nread = 0;
}

int rn_csv_fill(struct rn_csv_reader *r, size_t n, struct rn_err *e)
{
	while (!r->ended && r->nqueue - r->head < n) {
		RN_TRY(have_spare(r, 1, e));
		read_spare(r);
		queue_spare(r);
	}
	return 0;
}

void rn_csv_drop_chunk(struct rn_csv_reader *r)
{
	struct rn_csv_chunk *k = r->queue[r->head++];

	r->line += k->head_lines + k->lines;
	rn_csv_chunk_clear(k, r->head > RN_CSV_MAX_BATCH);
}

/* Chunks worked on at once: enough that no thread waits long for another, also while one
 * of two reads. */
static size_t batch_size(const struct rn_csv_reader *r)
{
	size_t threads = rn_team_threads(r->ctx ? r->ctx->team : NULL), n = 2 * threads;

	if (threads == 1)
		return 1;
	return n < MIN_BATCH ? MIN_BATCH : n < RN_CSV_MAX_BATCH ? n : RN_CSV_MAX_BATCH;
}

static void work_on(struct rn_csv_reader *r, struct rn_csv_chunk *k)
{
	if (k->rc || k->done)
		return;
	k->done = true;
	if (r->task == RN_CSV_WIDEN)
		k->rc = rn_csv_widen(r, k, SIZE_MAX, false, &k->err);
	else
		k->rc = rn_csv_parse(r, k, &k->err);
}

/* The first part reads the next batch, for the others to find it there. */
static void work(void *arg, uint32_t part)
{
	struct rn_csv_reader *r = arg;

	if (part)
		work_on(r, r->queue[r->head + part - 1]);
	else if (rn_team_threads(r->ctx ? r->ctx->team : NULL) > 1)
		read_spare(r);
}

/* Have the next chunks in the queue, *n of them, and the task done on each. */
static int run_batch(struct rn_csv_reader *r, size_t *n, struct rn_err *e)
{
	size_t most = batch_size(r);
	uint64_t total;

	RN_TRY(rn_csv_fill(r, most, e));
	rn_text_in_progress(rn_csv_scan_input(r->scan), &r->in_queue, &total);
	*n = r->nqueue - r->head;
	if (*n > most)
		*n = most;
	RN_TRY(have_spare(r, most, e));
	rn_team_run(r->ctx ? r->ctx->team : NULL, (uint32_t)*n + 1, work, r);
	queue_spare(r);
	return 0;
}

/* ---- messages ---------------------------------------------------------------------------- */

static const char *input_name(const struct rn_csv_reader *r)
{
	return rn_text_in_name(rn_csv_scan_input(r->scan));
}

static uint64_t line_of(const struct rn_csv_reader *r, const struct rn_csv_chunk *k, size_t at)
{
	uint64_t line = r->line;

	for (size_t i = r->head; i < r->nqueue && r->queue[i] != k; i++)
		line += r->queue[i]->head_lines + r->queue[i]->lines;
	for (size_t i = 0; k && i < at; i++)
		line += k->text[i] == '\n';
	return line;
}

int rn_csv_bad_at(const struct rn_csv_reader *r, const struct rn_csv_chunk *k, size_t at,
		  struct rn_err *e, const char *fmt, ...)
{
	char what[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	return rn_err_set(e, RN_EDATA, "%s:%" PRIu64 ": %s", input_name(r), line_of(r, k, at), what);
}

static int tell(const struct rn_csv_reader *r, const struct rn_csv_chunk *k,
		const struct rn_csv_bad *b, struct rn_err *e)
{
	if (b->byte)
		return rn_err_set(e, RN_EDATA, "%s:%" PRIu64 ":%" PRIu32 ": %s", input_name(r),
				  line_of(r, k, b->at), b->byte, b->what);
	return rn_csv_bad_at(r, k, b->at, e, "%s", b->what);
}

int rn_csv_check_chunk(const struct rn_csv_reader *r, const struct rn_csv_chunk *k,
		       struct rn_err *e)
{
	if (k->rc) {
		if (e)
			*e = k->err;
		return k->rc;
	}
	return k->fatal || (k->nbad && !r->opt.skip_bad) ? tell(r, k, &k->bad[0], e) : 0;
}

/* The rows of the chunk at the head count, those that are none as well. */
static int count_rows(struct rn_csv_reader *r, const struct rn_csv_chunk *k, struct rn_err *e)
{
	for (uint64_t i = 0; i < k->nbad; i++) {
		struct rn_err what = { 0 };

		if (r->bad + i >= RN_CSV_MAX_SHOWN)
			break;
		(void)!tell(r, k, &k->bad[i], &what);
		r->bad_text[r->bad + i] = strdup(what.msg);
		if (!r->bad_text[r->bad + i])
			return rn_err_nomem(e, strlen(what.msg) + 1, "a message");
	}
	r->bad += k->nbad;
	r->good += k->rel ? k->rel->rows : 0;
	return 0;
}

static void forget_counts(struct rn_csv_reader *r)
{
	for (size_t i = 0; i < RN_CSV_MAX_SHOWN; i++) {
		free(r->bad_text[i]);
		r->bad_text[i] = NULL;
	}
	r->good = r->bad = 0;
}

/* At the end: how many rows were passed over. */
static int tell_counts(struct rn_csv_reader *r, struct rn_err *e)
{
	const char *name = input_name(r);

	if (!r->bad)
		return 0;
	if (!r->good)
		return rn_err_set(e, RN_EDATA,
				  "'%s': none of its %" PRIu64 " rows can be read; the first: %s", name,
				  r->bad, r->bad_text[0]);
	for (uint64_t i = 0; i < r->bad && i < RN_CSV_MAX_SHOWN; i++)
		rn_log(r->ctx, RN_LOG_WARN, "%s", r->bad_text[i]);
	rn_log(r->ctx, RN_LOG_WARN, "'%s': %" PRIu64 " of %" PRIu64 " rows passed over", name, r->bad,
	       r->good + r->bad);
	if (r->ctx && r->ctx->skipped)
		__atomic_fetch_add(r->ctx->skipped, r->bad, __ATOMIC_RELAXED);
	return 0;
}

/* ---- finding types ------------------------------------------------------------------------ */

static void drop_kept(struct rn_csv_reader *r)
{
	while (r->nkept > r->next_kept)
		rn_rel_unref(r->kept[--r->nkept]);
	r->nkept = r->next_kept = 0;
}

/* A chunk of JSON lines has no more rows than there is room for. */
static void limit_lines(struct rn_csv_reader *r)
{
	size_t most = RN_CSV_BLOCK_BYTES / (16 * (r->ncols ? r->ncols : 1));

	if (r->rules.json)
		rn_csv_scan_limit(r->scan, most ? most : 1);
}

/* Types that a chunk has widened; *changed: there were some. */
static int take_types(struct rn_csv_reader *r, const struct rn_csv_chunk *k, bool *changed,
		      struct rn_err *e)
{
	if (k->fatal)
		return 0;
	if (r->keys.n > r->ncols) {
		RN_TRY(rn_csv_add_columns(r, e));
		*changed = true;
	}
	for (size_t i = 0; i < r->ncols; i++) {
		*changed = *changed || r->cols[i].type != k->types[i];
		r->cols[i].type = k->types[i];
	}
	return 0;
}

/* Widen by the chunk at queue[i], after all before it. */
static int widen_by(struct rn_csv_reader *r, size_t i, size_t most, struct rn_err *e)
{
	struct rn_csv_chunk *k = r->queue[i];
	bool changed = false;

	RN_TRY(rn_csv_widen(r, k, most, true, e));
	return take_types(r, k, &changed, e);
}

static bool wants_shape(const struct rn_csv_reader *r)
{
	return r->opt.array && !r->opt.array->known && !r->opt.array->refused;
}

/* Types of at most `rows` rows, which stay to be read.  An error is met again then.  *looked: how
 * many there are. */
static int guess_from(struct rn_csv_reader *r, uint64_t rows, uint64_t *looked, struct rn_err *e)
{
	size_t text = 0;

	*looked = 0;
	for (size_t i = 0; *looked < rows && text < SAMPLE_TEXT; i++) {
		struct rn_csv_chunk *k;

		RN_TRY(rn_csv_fill(r, i + 1, e));
		if (r->head + i == r->nqueue || r->queue[r->head + i]->rc)
			return 0;
		k = r->queue[r->head + i];
		RN_TRY(widen_by(r, r->head + i, rows - *looked, e));
		*looked += k->rows;
		if (k->stopped)
			return 0;
		text += k->len;
	}
	return 0;
}

/* And of what shape embeddings are: of a file the same rows tell it as of a pipe. */
static int guess_types(struct rn_csv_reader *r, uint64_t rows, struct rn_err *e)
{
	uint64_t looked;
	int rc;

	r->learning = wants_shape(r);
	rc = guess_from(r, rows, &looked, e);
	if (!rc && wants_shape(r) && rows < RN_CSV_SAMPLE)
		rc = guess_from(r, RN_CSV_SAMPLE, &looked, e);
	if (wants_shape(r))
		r->opt.array->looked = looked;
	r->learning = false;
	return rc;
}

/* Types of the next chunks.  All were widened from what is known before the first of them:
 * after one that changes that, the others are looked at anew. */
static int widen_batch(struct rn_csv_reader *r, bool *more, struct rn_err *e)
{
	bool changed = false;
	uint64_t done, total;
	size_t n;

	RN_TRY(run_batch(r, &n, e));
	*more = n > 0;
	rn_csv_progress(r, &done, &total);
	rn_ctx_progress(r->ctx, done, total, 0);
	for (size_t i = 0; i < n && *more; i++) {
		struct rn_csv_chunk *k = r->queue[r->head];

		if (k->rc)
			return rn_csv_check_chunk(r, k, e);
		if (changed || k->new_key) {
			RN_TRY(widen_by(r, r->head, SIZE_MAX, e));
			changed = true;
		} else {
			RN_TRY(take_types(r, k, &changed, e));
		}
		*more = !k->stopped; /* no row behind that will be read */
		rn_csv_drop_chunk(r);
	}
	return 0;
}

static bool may_widen(const struct rn_csv_reader *r)
{
	for (size_t i = 0; i < r->ncols; i++)
		if (!r->cols[i].given && r->cols[i].type != RN_STRING)
			return true;
	return r->rules.json;
}

/* From the first row, with the types that are known by now. */
static int start_again(struct rn_csv_reader *r, struct rn_err *e)
{
	drop_kept(r);
	forget_counts(r);
	while (r->head < r->nqueue)
		rn_csv_drop_chunk(r);
	r->task = RN_CSV_ROWS;
	r->widened = true;
	r->ended = false;
	r->line = 1;
	limit_lines(r);
	RN_TRY(rn_csv_scan_rewind(r->scan, e));
	return rn_csv_skip_header(r, e);
}

/* Widen by all rows from the queue's head on; then start again. */
static int widen_rest(struct rn_csv_reader *r, struct rn_err *e)
{
	bool more = true;

	drop_kept(r);
	forget_counts(r);
	r->task = RN_CSV_WIDEN;
	for (size_t i = r->head; i < r->nqueue; i++)
		r->queue[i]->done = false;
	while (more && may_widen(r))
		RN_TRY(widen_batch(r, &more, e));
	return start_again(r, e);
}

static int keep(struct rn_csv_reader *r, struct rn_csv_chunk *k, struct rn_err *e)
{
	RN_TRY(count_rows(r, k, e));
	RN_TRY(rn_grow(&r->kept, &r->kept_cap, r->nkept + 1, sizeof(struct rn_rel *), "text", e));
	if (k->rel)
		r->kept[r->nkept++] = k->rel;
	k->rel = NULL;
	rn_csv_drop_chunk(r);
	return 0;
}

/* Would what the whole input becomes be more than `limit` bytes, as `kept` are so far? */
static bool too_much(const struct rn_csv_reader *r, uint64_t kept, uint64_t limit)
{
	uint64_t done, total;

	rn_text_in_progress(rn_csv_scan_input(r->scan), &done, &total);
	done = r->in_queue;
	return kept > limit ||
	       (done < total && (double)kept * (double)total > (double)limit * (double)done);
}

/* Parse into r->kept with the types guessed. */
static int find_types(struct rn_csv_reader *r, uint64_t limit, struct rn_err *e)
{
	uint64_t kept = 0;
	size_t n;

	r->task = RN_CSV_FIND_TYPES;
	do {
		RN_TRY(run_batch(r, &n, e));
		for (size_t i = 0; i < n; i++) {
			struct rn_csv_chunk *k = r->queue[r->head];

			if (k->misfit || k->new_key)
				return widen_rest(r, e);
			if (k->rc || k->fatal || (k->nbad && !r->opt.skip_bad)) {
				r->task = RN_CSV_ROWS; /* it is told when it is read */
				return 0;
			}
			kept += k->rel ? rn_rel_bytes(k->rel) : 0;
			RN_TRY(keep(r, k, e));
			if (too_much(r, kept, limit))
				return widen_rest(r, e);
		}
	} while (n);
	r->task = RN_CSV_ROWS;
	return 0;
}

/* ---- opening ------------------------------------------------------------------------------ */

static bool all_given(const struct rn_csv_reader *r)
{
	for (size_t i = 0; i < r->ncols; i++)
		if (!r->cols[i].given)
			return false;
	return true;
}

bool rn_csv_delimiter(const char *text, char *out)
{
	if (!strcmp(text, "\\t"))
		text = "\t";
	*out = text[0];
	return text[0] > 0 && !text[1] && !strchr("\"\r\n", text[0]);
}

static int find_schema(struct rn_csv_reader *r, struct rn_err *e)
{
	bool again = rn_csv_scan_can_rewind(r->scan) && !r->opt.first;
	uint64_t rows = again ? GUESS_ROWS : RN_CSV_SAMPLE, limit = MAX_KEPT;

	if (!r->rules.json)
		RN_TRY(rn_csv_read_names(r, e));
	else
		RN_TRY(guess_types(r, rows, e));
	RN_TRY(rn_csv_set_given(r, &r->opt, e));
	if (!r->rules.json && (!all_given(r) || wants_shape(r)))
		RN_TRY(guess_types(r, rows, e));
	limit_lines(r);
	if (r->ctx && r->ctx->mem_limit && r->ctx->mem_limit / 4 < limit)
		limit = r->ctx->mem_limit / 4;
	/* All keys of JSON lines are known only when all rows were seen. */
	if (again && (r->rules.json || !all_given(r)))
		RN_TRY(find_types(r, limit, e));
	for (size_t i = r->head; i < r->nqueue && !r->ncols; i++)
		RN_TRY(rn_csv_check_chunk(r, r->queue[i], e));
	if (!r->ncols)
		return rn_err_set(e, RN_EDATA, "'%s' is empty: it has no keys", input_name(r));
	for (size_t i = 0; i < r->ncols; i++) {
		enum rn_type type = rn_csv_final_type(&r->cols[i]);

		if (r->cols[i].type == RN_CSV_LONG)
			r->cols[i].type = type;
		RN_TRY(rn_schema_add_col(&r->schema, r->cols[i].name, NULL, type, e));
	}
	return 0;
}

static int copy_nulls(struct rn_csv_reader *r, struct rn_err *e)
{
	RN_TRY(rn_calloc(r->opt.nnull, sizeof *r->null, "texts of NULL", &r->null, e));
	for (; r->nnull < r->opt.nnull; r->nnull++) {
		const char *text = r->opt.null[r->nnull];

		r->null[r->nnull].len = strlen(text);
		r->null[r->nnull].text = strdup(text);
		if (!r->null[r->nnull].text)
			return rn_err_nomem(e, strlen(text) + 1, "a text of NULL");
	}
	return 0;
}

/* Bytes of one row: it is held as a whole, and what has no end would be all of the input. */
static size_t longest_row(const struct rn_ctx *c)
{
	uint64_t most = c && c->mem_limit ? c->mem_limit / 4 : RN_CSV_MAX_ROW;

	if (most >= RN_CSV_MAX_ROW)
		return RN_CSV_MAX_ROW;
	return most < RN_CSV_MIN_ROW ? RN_CSV_MIN_ROW : (size_t)(most >> 20 << 20);
}

static struct rn_csv_rules rules_of(const struct rn_ctx *c, const struct rn_csv_opt *opt)
{
	bool tsv = opt->kind == RN_TEXT_TSV;

	return (struct rn_csv_rules){
		.delimiter = opt->delimiter ? opt->delimiter : tsv ? '\t' : ',',
		.comment = opt->comment,
		.json = opt->kind == RN_TEXT_JSONL,
		.skip_bad = opt->skip_bad,
		.max_row = longest_row(c),
		.whose = !opt->no_header ? "the header has" :
			 opt->nnames     ? "--columns names" :
					   "the first row has",
	};
}

int rn_csv_open(const struct rn_ctx *c, struct rn_io *io, const struct rn_csv_opt *opt,
		struct rn_csv_reader **out, struct rn_err *e)
{
	struct rn_csv_reader *r;
	int rc;

	rc = rn_calloc(1, sizeof *r, "a text reader", &r, e);
	if (rc) {
		io->ops->abort(io);
		return rc;
	}
	r->ctx = c;
	r->opt = *opt;
	r->rules = rules_of(c, opt);
	r->line = 1;
	rc = rn_csv_scan_open(io, &r->rules, opt->chunk, &r->scan, e);
	if (!rc)
		rc = copy_nulls(r, e);
	if (!rc)
		rc = find_schema(r, e);
	/* These are the caller's, and were used. */
	r->opt.names = r->opt.null = r->opt.type_names = NULL;
	r->opt.types = NULL;
	if (rc) {
		rn_csv_close(r);
		return rc;
	}
	*out = r;
	return 0;
}

/* ---- interface --------------------------------------------------------------------------- */

const struct rn_schema *rn_csv_schema(const struct rn_csv_reader *r)
{
	return &r->schema;
}

bool rn_csv_untyped(const struct rn_csv_reader *r, size_t i)
{
	return r->cols[i].type == RN_CSV_UNKNOWN;
}

int rn_csv_retype(struct rn_csv_reader *r, const enum rn_type *types, struct rn_err *e)
{
	bool changed = false;

	for (size_t i = 0; i < r->ncols; i++) {
		if (types[i] == RN_NTYPES)
			continue;
		changed = changed || r->cols[i].type != types[i];
		r->cols[i].type = r->schema.cols[i].type = types[i];
		r->cols[i].given = true;
	}
	/* Only of what can be read again were blocks made. */
	return changed && rn_csv_scan_can_rewind(r->scan) ? start_again(r, e) : 0;
}

/* The next relation into r->whole, of as many rows as there are; NULL at the end. */
static int next_whole(struct rn_csv_reader *r, struct rn_err *e)
{
	r->given_out = 0;
	if (r->next_kept < r->nkept) {
		r->whole = r->kept[r->next_kept++];
		return 0;
	}
	while (!r->whole) {
		struct rn_csv_chunk *k;
		size_t n;

		if (r->head == r->nqueue || !r->queue[r->head]->done)
			RN_TRY(run_batch(r, &n, e));
		if (r->head == r->nqueue)
			return 0;
		k = r->queue[r->head];
		RN_TRY(rn_csv_check_chunk(r, k, e));
		RN_TRY(count_rows(r, k, e));
		r->whole = k->rel;
		k->rel = NULL;
		rn_csv_drop_chunk(r);
	}
	return 0;
}

int rn_csv_block(struct rn_csv_reader *r, struct rn_rel **out, struct rn_err *e)
{
	uint64_t most = r->opt.block_rows, left;

	*out = NULL;
	if (!r->whole)
		RN_TRY(next_whole(r, e));
	if (!r->whole) {
		RN_TRY(tell_counts(r, e));
		forget_counts(r); /* told once */
		return 0;
	}
	most = most && most < MAX_ROWS ? most : MAX_ROWS;
	left = r->whole->rows - r->given_out;
	if (r->given_out || left > most) {
		RN_TRY(rn_rel_slice(r->whole, r->given_out, left < most ? left : most, out, e));
		r->given_out += (*out)->rows;
		if (left > most)
			return 0;
		rn_rel_unref(r->whole);
	} else {
		*out = r->whole;
	}
	r->whole = NULL;
	return 0;
}

void rn_csv_progress(const struct rn_csv_reader *r, uint64_t *done, uint64_t *total)
{
	rn_text_in_progress(rn_csv_scan_input(r->scan), done, total);
	/* A first pass for the types is half of the way. */
	if (r->widened)
		*done += *total;
	if (r->widened || r->task == RN_CSV_WIDEN)
		*total *= 2;
}

uint64_t rn_csv_hash(const struct rn_csv_reader *r)
{
	return rn_text_in_hash(rn_csv_scan_input(r->scan));
}

void rn_csv_close(struct rn_csv_reader *r)
{
	if (!r)
		return;
	drop_kept(r);
	rn_rel_unref(r->whole);
	forget_counts(r);
	for (size_t i = 0; i < r->nqueue; i++) {
		rn_csv_chunk_clear(r->queue[i], true);
		free(r->queue[i]);
	}
	free(r->queue);
	for (size_t i = 0; i < r->nspare; i++) {
		rn_csv_chunk_clear(r->spare[i], true);
		free(r->spare[i]);
	}
	for (size_t i = 0; i < r->nnull; i++)
		free(r->null[i].text);
	free(r->null);
	for (size_t i = 0; i < r->ncols; i++)
		free(r->cols[i].name);
	free(r->cols);
	free(r->kept);
	rn_json_keys_fini(&r->keys);
	rn_schema_fini(&r->schema);
	rn_csv_scan_close(r->scan);
	free(r);
}
