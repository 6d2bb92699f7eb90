/* SPDX-License-Identifier: Apache-2.0 */
#include "feed.h"

#include "../base/json.h"
#include "stream.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { AHEAD = 8 << 20 }; /* bytes that wait for who takes them, at most */

struct rn_feed {
	struct rn_feeds *all;
	const struct rn_operand *in;
	json_t *header;
	bool deferred;
	/* What it is read from, by the thread that reads it. */
	struct rn_reader *reader;
	struct rn_source *source; /* a text table */
	struct rn_plan *scan;
	bool second; /* the table's only relation has been told */
	/* A sole input: the relation that is being taken. */
	struct rn_schema schema;
	/* Of several, under the lock of all feeds. */
	pthread_t thread;
	bool started;
	bool opened; /* the header is there, or never will be */
	bool ended, paced;
	int rc; /* of the thread, with its message */
	struct rn_err err;
	struct section {
		struct rn_spool *spool;
		bool whole;
	} *sections;
	size_t n, cap;
	size_t at;        /* the section after the one that is being taken */
	size_t taken;     /* blocks of that */
	uint64_t waiting; /* bytes that were not taken yet */
	/* By the thread that reads: bytes in memory of what was read, and, roughly, of all. */
	uint64_t read, expected;
};

struct rn_feeds {
	struct rn_ctx ctx; /* with stop_fd, of several */
	struct rn_spill *file;
	struct rn_budget *budget;
	int stop_fd; /* readable once all is to stop */
	uint64_t rows; /* of streams, so far; atomic */
	bool stop;
	pthread_mutex_t lock;
	pthread_cond_t change;
	size_t n;
	struct rn_feed *feeds;
};

/* ---- reading, by whichever thread ---------------------------------------------------- */

static int open_stream(struct rn_feed *f, struct rn_err *e)
{
	struct rn_io *io;

	RN_TRY(rn_io_open_until(f->in->file, f->all->ctx.stop, &io, e));
	RN_TRY(rn_reader_open(io, &f->reader, e));
	return rn_stream_header(f->reader, f->in->file, &f->header, &f->deferred, e);
}

/* A text table as the evaluated stream that rn-scan FILE would make. */
static int open_table(struct rn_feed *f, struct rn_err *e)
{
	uint32_t section = 0;
	json_t *plan;

	RN_TRY(rn_scan_node(f->in->file, NULL, &f->scan, e));
	RN_TRY(rn_plan_to_header(f->scan, 0, &section, &plan, e));
	RN_TRY(rn_stream_make_header("evaluated", plan, NULL, 0, NULL, &f->header, e));
	return rn_source_open(&f->all->ctx, &f->scan->nodes[0], NULL, &f->source, e);
}

static int open_input(struct rn_feed *f, struct rn_err *e)
{
	return rn_is_text_table(f->in->file) ? open_table(f, e) : open_stream(f, e);
}

static int read_section(struct rn_feed *f, const struct rn_schema **out, struct rn_err *e)
{
	bool first = !f->second;

	f->second = true;
	if (f->source) {
		*out = first ? rn_source_schema(f->source) : NULL;
		return 0;
	}
	RN_TRY(rn_reader_section(f->reader, out, e));
	if (!f->deferred && first && !*out)
		return rn_err_set(e, RN_EDATA, "%s: an evaluated stream without a relation", f->in->file);
	if (!f->deferred && !first && *out)
		return rn_err_set(e, RN_EDATA, "%s: an evaluated stream of several relations", f->in->file);
	return 0;
}

/* Say how much one of several inputs will be, now that so many bytes came of `done` of its
 * `total` bytes (0: who knows). */
static void expect(struct rn_feed *f, uint64_t bytes, uint64_t done, uint64_t total)
{
	uint64_t all;

	f->read += bytes;
	all = done && total > done ? (uint64_t)((double)f->read * ((double)total / (double)done)) : f->read;
	rn_spill_expect(f->all->file, (int64_t)(all - f->expected));
	f->expected = all;
}

static void note_block(struct rn_feed *f, const struct rn_rel *b)
{
	struct rn_feeds *a = f->all;
	uint64_t done = 0, total = 0, rows;

	if (f->reader)
		rn_reader_progress(f->reader, &done, &total);
	if (a->n > 1) {
		expect(f, rn_rel_bytes(b), done, total);
		done = total = 0; /* of one of them */
	}
	if (f->source)
		return; /* it tells of its progress itself */
	rows = __atomic_add_fetch(&a->rows, b->rows, __ATOMIC_RELAXED);
	if (total)
		rn_spill_expect_rows(a->file, rows, done, total);
	rn_ctx_progress(&a->ctx, done, total, rows);
}

static int read_block(struct rn_feed *f, struct rn_rel **out, struct rn_err *e)
{
	RN_TRY(f->source ? rn_source_block(f->source, out, e) : rn_reader_block(f->reader, out, e));
	if (*out)
		note_block(f, *out);
	return 0;
}

static void close_input(struct rn_feed *f)
{
	rn_source_close(f->source);
	rn_reader_close(f->reader);
	rn_plan_free(f->scan);
	f->source = NULL;
	f->reader = NULL;
	f->scan = NULL;
}

/* ---- the threads ------------------------------------------------------------------- */

/* A further relation of f; the one before it, if any, is whole. */
static int add_section(struct rn_feed *f, const struct rn_schema *schema, struct rn_err *e)
{
	struct rn_feeds *a = f->all;
	struct section s = { 0 };
	int rc;

	RN_TRY(rn_spool_new(a->file, a->budget, schema, &s.spool, e));
	pthread_mutex_lock(&a->lock);
	rc = rn_grow(&f->sections, &f->cap, f->n + 1, sizeof s, "sections", e);
	if (!rc)
		f->sections[f->n++] = s;
	pthread_cond_broadcast(&a->change);
	pthread_mutex_unlock(&a->lock);
	if (rc)
		rn_spool_free(s.spool);
	return rc;
}

/* A block has come; wait where whoever takes them is behind. */
static int hand_over(struct rn_feed *f, const struct rn_rel *b, struct rn_err *e)
{
	struct rn_feeds *a = f->all;
	uint64_t bytes = rn_rel_bytes(b);
	uint64_t most = __atomic_load_n(&a->budget->limit, __ATOMIC_RELAXED) / 2;
	struct rn_spool *s;
	bool stop;

	pthread_mutex_lock(&a->lock);
	most = most < AHEAD ? most : AHEAD;
	while (f->paced && f->waiting && f->waiting + bytes > most && !a->stop)
		pthread_cond_wait(&a->change, &a->lock);
	stop = a->stop;
	f->waiting += bytes;
	s = f->sections[f->n - 1].spool;
	pthread_mutex_unlock(&a->lock);
	if (stop)
		return rn_err_set(e, RN_EIO, "'%s' is not needed any more", f->in->file);
	RN_TRY(rn_spool_add(s, b, e));
	pthread_mutex_lock(&a->lock);
	pthread_cond_broadcast(&a->change);
	pthread_mutex_unlock(&a->lock);
	return 0;
}

static int drain(struct rn_feed *f, struct rn_err *e)
{
	const struct rn_schema *schema;
	struct rn_rel *b;
	int rc;

	for (;;) {
		RN_TRY(read_section(f, &schema, e));
		if (!schema)
			return 0;
		RN_TRY(add_section(f, schema, e));
		while (!(rc = read_block(f, &b, e)) && b) {
			rc = hand_over(f, b, e);
			rn_rel_unref(b);
			if (rc)
				break;
		}
		RN_TRY(rc);
		pthread_mutex_lock(&f->all->lock);
		f->sections[f->n - 1].whole = true;
		pthread_cond_broadcast(&f->all->change);
		pthread_mutex_unlock(&f->all->lock);
	}
}

static void *run(void *arg)
{
	struct rn_feed *f = arg;
	struct rn_feeds *a = f->all;
	int rc = open_input(f, &f->err);

	pthread_mutex_lock(&a->lock);
	f->opened = true;
	pthread_cond_broadcast(&a->change);
	pthread_mutex_unlock(&a->lock);
	if (!rc)
		rc = drain(f, &f->err);
	close_input(f);
	pthread_mutex_lock(&a->lock);
	f->rc = rc;
	f->ended = true;
	pthread_cond_broadcast(&a->change);
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

/* ---- life -------------------------------------------------------------------------- */

void rn_feeds_close(struct rn_feeds *a)
{
	uint64_t one = 1;

	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	a->stop = true;
	pthread_cond_broadcast(&a->change);
	pthread_mutex_unlock(&a->lock);
	if (a->stop_fd >= 0)
		(void)!write(a->stop_fd, &one, sizeof one);
	for (size_t i = 0; a->feeds && i < a->n; i++)
		if (a->feeds[i].started)
			pthread_join(a->feeds[i].thread, NULL);
	for (size_t i = 0; a->feeds && i < a->n; i++) {
		struct rn_feed *f = &a->feeds[i];

		for (size_t k = 0; k < f->n; k++)
			rn_spool_free(f->sections[k].spool);
		free(f->sections);
		close_input(f);
		rn_schema_fini(&f->schema);
		json_decref(f->header);
	}
	if (a->stop_fd >= 0)
		close(a->stop_fd);
	pthread_cond_destroy(&a->change);
	pthread_mutex_destroy(&a->lock);
	free(a->feeds);
	free(a);
}

static int failed(const struct rn_feed *f, struct rn_err *e)
{
	if (f->rc && e)
		*e = f->err;
	return f->rc;
}

/* Has each its header?  *rc: of one that failed, which is told then, whoever is waited for. */
static bool all_opened(const struct rn_feeds *a, int *rc, struct rn_err *e)
{
	const struct rn_feed *bad = NULL;
	size_t opened = 0;

	for (size_t i = 0; i < a->n; i++) {
		const struct rn_feed *f = &a->feeds[i];

		opened += f->opened && f->header;
		if (!bad && f->ended && f->rc)
			bad = f;
	}
	if (bad && opened < a->n)
		*rc = failed(bad, e);
	return opened == a->n;
}

/* Start the threads and wait until each has its header. */
static int start(struct rn_feeds *a, struct rn_err *e)
{
	int rc = 0;

	RN_TRY(rn_streams_check(a->feeds[0].in, a->n, e));
	for (size_t i = 0; i < a->n; i++) {
		struct rn_feed *f = &a->feeds[i];

		f->started = !pthread_create(&f->thread, NULL, run, f);
		if (!f->started)
			return rn_err_set(e, RN_EIO, "cannot start a thread to read '%s'", f->in->file);
	}
	pthread_mutex_lock(&a->lock);
	while (!all_opened(a, &rc, e) && !rc)
		pthread_cond_wait(&a->change, &a->lock);
	pthread_mutex_unlock(&a->lock);
	return rc;
}

int rn_feeds_open(const struct rn_ctx *c, const struct rn_operand *in, size_t n,
		  struct rn_spill *file, struct rn_budget *budget, struct rn_feeds **out,
		  struct rn_err *e)
{
	struct rn_feeds *a;
	int rc;

	RN_TRY(rn_calloc(1, sizeof *a, "inputs", &a, e));
	*a = (struct rn_feeds){ .ctx = *c, .file = file, .budget = budget, .n = n };
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->change, NULL);
	a->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (a->stop_fd < 0)
		rc = rn_err_errno(e, "cannot read %zu inputs at once", n);
	else
		rc = rn_calloc(n, sizeof *a->feeds, "inputs", &a->feeds, e);
	a->ctx.stop = n > 1 ? &a->stop_fd : NULL;
	for (size_t i = 0; !rc && i < n; i++) {
		a->feeds[i].all = a;
		a->feeds[i].in = &in[i];
	}
	if (!rc)
		rc = n > 1 ? start(a, e) : open_input(&a->feeds[0], e);
	if (rc)
		rn_feeds_close(a);
	else
		*out = a;
	return rc;
}

struct rn_feed *rn_feeds_get(struct rn_feeds *a, size_t i)
{
	return &a->feeds[i];
}

const json_t *rn_feed_header(const struct rn_feed *f)
{
	return f->header;
}

bool rn_feed_deferred(const struct rn_feed *f)
{
	return f->deferred;
}

/* ---- what has come ------------------------------------------------------------------- */

static int sole_section(struct rn_feed *f, const struct rn_schema **out, struct rn_err *e)
{
	RN_TRY(read_section(f, out, e));
	if (!*out)
		return 0;
	rn_schema_fini(&f->schema);
	RN_TRY(rn_schema_copy(*out, &f->schema, e));
	*out = &f->schema;
	return 0;
}

int rn_feed_section(struct rn_feed *f, const struct rn_schema **out, struct rn_err *e)
{
	struct rn_feeds *a = f->all;
	int rc = 0;

	*out = NULL;
	if (a->n == 1)
		return sole_section(f, out, e);
	pthread_mutex_lock(&a->lock);
	while (f->at == f->n && !f->ended)
		pthread_cond_wait(&a->change, &a->lock);
	if (f->at < f->n) {
		*out = rn_spool_schema(f->sections[f->at++].spool);
		f->taken = 0;
	} else {
		rc = failed(f, e);
	}
	pthread_mutex_unlock(&a->lock);
	return rc;
}

int rn_feed_next(struct rn_feed *f, struct rn_rel **out, struct rn_err *e)
{
	struct rn_feeds *a = f->all;
	const struct section *s;
	struct rn_spool *spool;
	bool have;
	int rc;

	*out = NULL;
	if (a->n == 1)
		return read_block(f, out, e);
	pthread_mutex_lock(&a->lock);
	s = &f->sections[f->at - 1];
	while (!(have = f->taken < rn_spool_blocks(s->spool)) && !s->whole && !f->ended) {
		pthread_cond_wait(&a->change, &a->lock);
		s = &f->sections[f->at - 1];
	}
	rc = have || s->whole ? 0 : failed(f, e);
	spool = s->spool;
	pthread_mutex_unlock(&a->lock);
	if (!have)
		return rc;
	RN_TRY(rn_spool_take(spool, f->taken, out, e));
	pthread_mutex_lock(&a->lock);
	f->taken++;
	/* From the file a block may come back in other bytes: what counts is to reach 0. */
	f->waiting -= rn_rel_bytes(*out) < f->waiting ? rn_rel_bytes(*out) : f->waiting;
	if (f->taken == rn_spool_blocks(spool))
		f->waiting = 0;
	pthread_cond_broadcast(&a->change);
	pthread_mutex_unlock(&a->lock);
	return 0;
}

void rn_feed_set_pace(struct rn_feed *f)
{
	pthread_mutex_lock(&f->all->lock);
	f->paced = true;
	pthread_mutex_unlock(&f->all->lock);
}

int rn_feed_spool(struct rn_feed *f, struct rn_spool **out, struct rn_err *e)
{
	struct rn_feeds *a = f->all;
	int rc;

	pthread_mutex_lock(&a->lock);
	while (!f->ended)
		pthread_cond_wait(&a->change, &a->lock);
	rc = failed(f, e);
	*out = f->sections[f->at - 1].spool;
	pthread_mutex_unlock(&a->lock);
	return rc;
}
