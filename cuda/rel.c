/* SPDX-License-Identifier: Apache-2.0
 *
 * Relational work on the device: the functions of lib/base/accel.h.
 *
 * It has a stream, pinned memory and device memory of its own, for it may run while a
 * machine does.  A call is one allocation, which is given back at its end: what bind leaves
 * on the device is what training needs.  Whatever fails means that the call declines; where
 * that is more than memory that is out, all later ones do, and the next that uses the
 * device says what is wrong with it.
 *
 *   RN_CUDA_REL=0       never
 *   RN_CUDA_REL=always  however few the rows are: for tests
 */
#include "host.h"

#include "rel.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	STAGES = 2,
	STAGE_BYTES = 4 << 20, /* of pinned memory: a piece is filled while one is on its way */
	STAGE_WORDS = STAGE_BYTES / sizeof(uint64_t),
	MEASURED = 2 * STAGE_WORDS, /* what is sent, sorted and fetched to learn how fast that is */
};
#define MAX_ROWS ((uint64_t)INT32_MAX - 1)
#define ALIGN ((size_t)256)

/* At best: PCIe 5.0 x16; a radix sort by 64 bits, which goes 8 times to and fro with 12 bytes a
 * row, at 1 TB/s.  A call, which is not measured: an allocation of the driver's, some 20
 * launches and 5 waits. */
static const struct rn_accel_rates best = {
	.bytes_per_s = 50e9, .call_s = 2e-3, .row_s = 0.2e-9,
};

struct rn_cuda_rel {
	struct rn_accel accel; /* first: an accelerator is cast back */
	int ordinal;
	pthread_mutex_t lock; /* of all below: who does not get it declines */
	bool broken;
	cudaStream_t stream;
	struct stage {
		void *mem;
		cudaEvent_t done;
	} stage[STAGES];
	unsigned turn;
	void *mem; /* of the call */
	struct rn_accel_rates rates; /* measured; call_s is 0: not yet */
};

static struct rn_cuda_rel *rel_of(struct rn_accel *a)
{
	return (struct rn_cuda_rel *)a;
}

#define TRY(call)                               \
	do {                                    \
		cudaError_t try_err_ = (call);  \
		if (try_err_ != cudaSuccess)    \
			return try_err_;        \
	} while (0)

/* ---- copies ------------------------------------------------------------------------------ */

static cudaError_t open_stages(struct rn_cuda_rel *r)
{
	if (!r->stream)
		TRY(cudaStreamCreateWithFlags(&r->stream, cudaStreamNonBlocking));
	for (unsigned i = 0; i < STAGES; i++) {
		struct stage *s = &r->stage[i];

		if (!s->done)
			TRY(cudaEventCreateWithFlags(&s->done, cudaEventDisableTiming));
		if (!s->mem)
			TRY(cudaHostAlloc(&s->mem, STAGE_BYTES, cudaHostAllocDefault));
	}
	return cudaSuccess;
}

/* The next piece of pinned memory, when the device has done with it. */
static cudaError_t next_stage(struct rn_cuda_rel *r, struct stage **out)
{
	*out = &r->stage[r->turn++ % STAGES];
	return cudaEventSynchronize((*out)->done);
}

static cudaError_t send_stage(struct rn_cuda_rel *r, struct stage *s, void *dst, size_t n)
{
	TRY(cudaMemcpyAsync(dst, s->mem, n, cudaMemcpyHostToDevice, r->stream));
	return cudaEventRecord(s->done, r->stream);
}

static cudaError_t send(struct rn_cuda_rel *r, void *dst, const void *host, size_t n)
{
	for (size_t i = 0; i < n; i += STAGE_BYTES) {
		size_t len = n - i < STAGE_BYTES ? n - i : STAGE_BYTES;
		struct stage *s;

		TRY(next_stage(r, &s));
		memcpy(s->mem, (const char *)host + i, len);
		TRY(send_stage(r, s, (char *)dst + i, len));
	}
	return cudaSuccess;
}

/* Words are made where they are sent from. */
static cudaError_t send_words(struct rn_cuda_rel *r, uint64_t *dst, const struct rn_words *w)
{
	for (uint64_t from = 0; from < w->rows; from += STAGE_WORDS) {
		uint64_t n = w->rows - from < STAGE_WORDS ? w->rows - from : STAGE_WORDS;
		struct stage *s;

		TRY(next_stage(r, &s));
		w->get(w->arg, from, n, s->mem);
		TRY(send_stage(r, s, dst + from, n * sizeof *dst));
	}
	return cudaSuccess;
}

/* Everything before is done then.  The piece before is taken while the device fills this one. */
static cudaError_t fetch(struct rn_cuda_rel *r, void *host, const void *src, size_t n)
{
	struct stage *before = NULL;
	size_t at = 0, ready = 0; /* asked for; of the piece before */

	while (at < n || before) {
		size_t len = n - at < STAGE_BYTES ? n - at : STAGE_BYTES;
		struct stage *s = NULL;

		if (len) {
			TRY(next_stage(r, &s));
			TRY(cudaMemcpyAsync(s->mem, (const char *)src + at, len,
					    cudaMemcpyDeviceToHost, r->stream));
			TRY(cudaEventRecord(s->done, r->stream));
		}
		if (before) {
			TRY(cudaEventSynchronize(before->done));
			memcpy((char *)host + at - ready, before->mem, ready);
		}
		at += len;
		ready = len;
		before = s;
	}
	return cudaSuccess;
}

/* ---- a call ------------------------------------------------------------------------------ */

/* Buffers of a call are laid out twice: to count, from 0 on, and to be used. */
struct slab {
	uintptr_t at;
};

static void *take(struct slab *s, size_t n)
{
	uintptr_t at = s->at;

	s->at += (n + ALIGN - 1) & ~(ALIGN - 1);
	return (void *)at;
}

/* Memory of the device for a call; what others hold is not touched, and half of the rest is
 * left to them. */
static cudaError_t call_memory(struct rn_cuda_rel *r, size_t bytes, struct slab *s)
{
	size_t left = 0, total = 0;

	TRY(cudaMemGetInfo(&left, &total));
	if (bytes > left / 2)
		return cudaErrorMemoryAllocation;
	TRY(cudaMalloc(&r->mem, bytes));
	s->at = (uintptr_t)r->mem;
	return cudaSuccess;
}

static bool call_begin(struct rn_cuda_rel *r, uint64_t rows)
{
	if (rows > MAX_ROWS || pthread_mutex_trylock(&r->lock))
		return false;
	if (!r->broken && cudaSetDevice(r->ordinal) == cudaSuccess)
		return true;
	pthread_mutex_unlock(&r->lock);
	return false;
}

/* Was it done? */
static bool call_end(struct rn_cuda_rel *r, cudaError_t err)
{
	cudaError_t end = r->stream ? cudaStreamSynchronize(r->stream) : cudaSuccess;

	err = err == cudaSuccess ? end : err;
	if (r->mem)
		(void)cudaFree(r->mem);
	r->mem = NULL;
	if (err != cudaSuccess)
		(void)cudaGetLastError(); /* it is nobody's error, unless the device is lost */
	r->broken = err != cudaSuccess && err != cudaErrorMemoryAllocation;
	pthread_mutex_unlock(&r->lock);
	return err == cudaSuccess;
}

/* What sorts and scans want beside their data. */
static cudaError_t room_of(uint32_t n, size_t *bytes)
{
	size_t scan = 0;

	TRY(rn_cuda_sort_room(n ? n : 1, bytes));
	TRY(rn_cuda_scan_room(n + 1, &scan));
	*bytes = scan > *bytes ? scan : *bytes;
	return cudaSuccess;
}

static void take_pairs(struct slab *s, uint32_t n, struct rn_cuda_pairs *p)
{
	*p = (struct rn_cuda_pairs){ .n = n };
	for (int i = 0; i < 2; i++) {
		p->key[i] = take(s, n * sizeof(uint64_t));
		p->row[i] = take(s, n * sizeof(uint32_t));
	}
}

static void *get_room(const struct rn_accel_room *room, enum rn_accel_array what, size_t n,
		      size_t size)
{
	return room->get(room->arg, what, n, size);
}

/* ---- numbers ----------------------------------------------------------------------------- */

struct numbering {
	struct rn_cuda_rel *r;
	const struct rn_accel_room *room;
	struct rn_cuda_pairs p;
	struct rn_cuda_groups g;
	uint32_t *of, *first, *len, *at, *falls;
	uint64_t *word;
	void *tmp;
	size_t tmp_bytes;
};

static size_t lay_numbering(struct numbering *m, uint32_t n, struct slab s)
{
	uintptr_t from = s.at;

	take_pairs(&s, n, &m->p);
	m->g.rank = take(&s, (n + (size_t)1) * sizeof(uint32_t));
	m->first = take(&s, n * sizeof(uint32_t));
	m->word = m->room->keep_words ? take(&s, n * sizeof(uint64_t)) : NULL;
	m->len = m->room->deal ? take(&s, (n + (size_t)1) * sizeof(uint32_t)) : NULL;
	m->at = m->room->deal ? take(&s, n * sizeof(uint32_t)) : NULL;
	m->falls = take(&s, sizeof(uint32_t));
	m->tmp = take(&s, m->tmp_bytes);
	return s.at - from;
}

/* Sorted pairs in groups, and how many there are. */
static cudaError_t find_groups(struct numbering *m, unsigned bits, uint32_t *numbers)
{
	cudaStream_t s = m->r->stream;
	uint32_t n = m->p.n;

	TRY(rn_cuda_rows(s, m->p.row[0], n));
	TRY(rn_cuda_sort(s, &m->p, bits, m->tmp, m->tmp_bytes));
	m->g.key = m->p.key[m->p.at];
	m->g.row = m->p.row[m->p.at];
	m->g.n = n;
	m->g.group = (uint32_t *)m->p.key[!m->p.at]; /* that half has done its work */
	m->g.start = m->g.group + n;
	m->of = m->p.row[!m->p.at];
	TRY(rn_cuda_groups_heads(s, &m->g));
	TRY(rn_cuda_scan(s, m->g.group, n, m->tmp, m->tmp_bytes));
	TRY(cudaMemsetAsync(m->g.rank, 0, (n + (size_t)1) * sizeof(uint32_t), s));
	TRY(rn_cuda_groups_firsts(s, &m->g));
	TRY(rn_cuda_scan(s, m->g.rank, n + 1, m->tmp, m->tmp_bytes));
	return fetch(m->r, numbers, m->g.rank + n, sizeof *numbers);
}

/* Rows by number, unless they are in that order. */
static cudaError_t deal_groups(struct numbering *m, uint32_t numbers)
{
	uint32_t falls = 0, *ptr, *at;
	cudaStream_t s = m->r->stream;

	TRY(rn_cuda_scan(s, m->len, numbers + 1, m->tmp, m->tmp_bytes));
	TRY(cudaMemsetAsync(m->falls, 0, sizeof falls, s));
	TRY(rn_cuda_groups_deal(s, &m->g, m->len, m->at, m->falls));
	TRY(fetch(m->r, &falls, m->falls, sizeof falls));
	if (!falls)
		return cudaSuccess;
	ptr = get_room(m->room, RN_ACCEL_PTR, numbers + (size_t)1, sizeof *ptr);
	if (!ptr)
		return cudaErrorMemoryAllocation;
	TRY(fetch(m->r, ptr, m->len, (numbers + (size_t)1) * sizeof *ptr));
	at = get_room(m->room, RN_ACCEL_AT, ptr[numbers], sizeof *at);
	if (!at)
		return cudaErrorMemoryAllocation;
	return fetch(m->r, at, m->at, ptr[numbers] * sizeof *at);
}

static cudaError_t number_words(struct rn_cuda_rel *r, const struct rn_words *w, uint32_t *of,
				const struct rn_accel_room *room)
{
	struct numbering m = { .r = r, .room = room };
	uint32_t n = (uint32_t)w->rows, numbers = 0, *first;
	struct slab s = { 0 };
	uint64_t *word;

	TRY(open_stages(r));
	TRY(room_of(n, &m.tmp_bytes));
	TRY(call_memory(r, lay_numbering(&m, n, s), &s));
	(void)lay_numbering(&m, n, s);
	TRY(send_words(r, m.p.key[0], w));
	TRY(find_groups(&m, w->bits, &numbers));
	if (m.len)
		TRY(cudaMemsetAsync(m.len, 0, (numbers + (size_t)1) * sizeof(uint32_t), r->stream));
	TRY(rn_cuda_groups_numbers(r->stream, &m.g, m.of, m.first, m.word, m.len));
	first = get_room(room, RN_ACCEL_FIRST, numbers, sizeof *first);
	word = m.word ? get_room(room, RN_ACCEL_WORDS, numbers, sizeof *word) : NULL;
	if (!first || (m.word && !word))
		return cudaErrorMemoryAllocation;
	TRY(fetch(r, of, m.of, n * sizeof *of));
	TRY(fetch(r, first, m.first, numbers * sizeof *first));
	if (word)
		TRY(fetch(r, word, m.word, numbers * sizeof *word));
	return m.len ? deal_groups(&m, numbers) : cudaSuccess;
}

static bool rel_number(struct rn_accel *a, const struct rn_words *w, uint32_t *of,
		       const struct rn_accel_room *room)
{
	struct rn_cuda_rel *r = rel_of(a);

	return call_begin(r, w->rows) && call_end(r, number_words(r, w, of, room));
}

/* ---- searches ---------------------------------------------------------------------------- */

struct search {
	struct rn_cuda_pairs p;
	uint64_t *word;
	uint32_t *of;
	void *tmp;
	size_t tmp_bytes;
};

static size_t lay_search(struct search *f, uint32_t n, uint32_t rows, struct slab s)
{
	uintptr_t from = s.at;

	take_pairs(&s, n, &f->p);
	f->word = take(&s, rows * sizeof *f->word);
	f->of = take(&s, rows * sizeof *f->of);
	f->tmp = take(&s, f->tmp_bytes);
	return s.at - from;
}

static cudaError_t find_words(struct rn_cuda_rel *r, const uint64_t *set, uint32_t n,
			      const struct rn_words *w, uint32_t *of)
{
	struct search f = { 0 };
	struct slab s = { 0 };
	uint32_t rows = (uint32_t)w->rows;

	TRY(open_stages(r));
	TRY(room_of(n, &f.tmp_bytes));
	TRY(call_memory(r, lay_search(&f, n, rows, s), &s));
	(void)lay_search(&f, n, rows, s);
	TRY(send(r, f.p.key[0], set, n * sizeof *set));
	TRY(rn_cuda_rows(r->stream, f.p.row[0], n));
	TRY(rn_cuda_sort(r->stream, &f.p, w->bits, f.tmp, f.tmp_bytes));
	TRY(send_words(r, f.word, w));
	TRY(rn_cuda_seek(r->stream, f.of, f.word, rows, f.p.key[f.p.at], f.p.row[f.p.at], n));
	return fetch(r, of, f.of, rows * sizeof *of);
}

static bool rel_find(struct rn_accel *a, const uint64_t *set, uint64_t n, const struct rn_words *w,
		     uint32_t *of)
{
	struct rn_cuda_rel *r = rel_of(a);

	return call_begin(r, n > w->rows ? n : w->rows) &&
	       call_end(r, find_words(r, set, (uint32_t)n, w, of));
}

/* ---- rows by number ---------------------------------------------------------------------- */

struct dealing {
	struct rn_cuda_pairs p;
	uint32_t *ptr;
	void *tmp;
	size_t tmp_bytes;
};

static size_t lay_dealing(struct dealing *d, uint32_t rows, uint32_t n, struct slab s)
{
	uintptr_t from = s.at;

	take_pairs(&s, rows, &d->p);
	d->ptr = take(&s, (n + (size_t)1) * sizeof *d->ptr);
	d->tmp = take(&s, d->tmp_bytes);
	return s.at - from;
}

static unsigned bit_length(uint64_t x)
{
	return x ? 64 - (unsigned)__builtin_clzll(x) : 1;
}

static cudaError_t deal_rows(struct rn_cuda_rel *r, const uint32_t *of, uint32_t rows, uint32_t n,
			     const struct rn_accel_room *room)
{
	struct dealing d = { 0 };
	struct slab s = { 0 };
	uint32_t *ptr = get_room(room, RN_ACCEL_PTR, n + (size_t)1, sizeof *ptr), *at;

	if (!ptr)
		return cudaErrorMemoryAllocation;
	TRY(open_stages(r));
	TRY(room_of(rows, &d.tmp_bytes));
	TRY(call_memory(r, lay_dealing(&d, rows, n, s), &s));
	(void)lay_dealing(&d, rows, n, s);
	TRY(send(r, d.p.row[1], of, rows * sizeof *of));
	TRY(rn_cuda_widen(r->stream, d.p.key[0], d.p.row[1], rows, n));
	TRY(rn_cuda_rows(r->stream, d.p.row[0], rows));
	TRY(rn_cuda_sort(r->stream, &d.p, bit_length(n), d.tmp, d.tmp_bytes));
	TRY(rn_cuda_starts(r->stream, d.ptr, n, d.p.key[d.p.at], rows));
	TRY(fetch(r, ptr, d.ptr, (n + (size_t)1) * sizeof *ptr));
	at = get_room(room, RN_ACCEL_AT, ptr[n], sizeof *at);
	if (!at)
		return cudaErrorMemoryAllocation;
	return fetch(r, at, d.p.row[d.p.at], ptr[n] * sizeof *at);
}

static bool rel_deal(struct rn_accel *a, const uint32_t *of, uint64_t rows, uint64_t n,
		     const struct rn_accel_room *room)
{
	struct rn_cuda_rel *r = rel_of(a);

	return call_begin(r, n > rows ? n : rows) &&
	       call_end(r, deal_rows(r, of, (uint32_t)rows, (uint32_t)n, room));
}

/* ---- orders ------------------------------------------------------------------------------ */

struct sorting {
	struct rn_cuda_pairs p;
	uint64_t *word; /* of more words than one: in the order of the rows */
	void *tmp;
	size_t tmp_bytes;
};

static size_t lay_sorting(struct sorting *o, uint32_t rows, unsigned n, struct slab s)
{
	uintptr_t from = s.at;

	take_pairs(&s, rows, &o->p);
	o->word = n > 1 ? take(&s, rows * sizeof *o->word) : NULL;
	o->tmp = take(&s, o->tmp_bytes);
	return s.at - from;
}

/* The sort is stable: by one word after another, the most significant one last. */
static cudaError_t order_rows(struct rn_cuda_rel *r, const struct rn_words *w, unsigned n,
			      uint32_t *map)
{
	struct sorting o = { 0 };
	struct slab s = { 0 };
	uint32_t rows = (uint32_t)w->rows;

	TRY(open_stages(r));
	TRY(room_of(rows, &o.tmp_bytes));
	TRY(call_memory(r, lay_sorting(&o, rows, n, s), &s));
	(void)lay_sorting(&o, rows, n, s);
	TRY(rn_cuda_rows(r->stream, o.p.row[0], rows));
	for (unsigned k = 0; k < n; k++) {
		TRY(send_words(r, k ? o.word : o.p.key[0], &w[k]));
		if (k)
			TRY(rn_cuda_pick_words(r->stream, o.p.key[o.p.at], o.word, o.p.row[o.p.at],
					       rows));
		TRY(rn_cuda_sort(r->stream, &o.p, w[k].bits, o.tmp, o.tmp_bytes));
	}
	return fetch(r, map, o.p.row[o.p.at], rows * sizeof *map);
}

static bool rel_order(struct rn_accel *a, const struct rn_words *w, unsigned n, uint32_t *map)
{
	struct rn_cuda_rel *r = rel_of(a);

	return call_begin(r, w->rows) && call_end(r, order_rows(r, w, n, map));
}

/* ---- how fast it is ---------------------------------------------------------------------- */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void get_measured(void *arg, uint64_t from, uint64_t n, uint64_t *to)
{
	(void)arg;
	for (uint64_t i = 0; i < n; i++)
		to[i] = (from + i) * 0x9E3779B97F4A7C15u;
}

/* Copies with what the host does for them, and a sort; twice, for at first code is loaded.  What
 * stands behind a sort (scans, and memory touched at random) takes about as long again. */
static cudaError_t measure(struct rn_cuda_rel *r, uint64_t *host)
{
	const struct rn_words w = { .rows = MEASURED, .bits = 64, .get = get_measured };
	struct sorting o = { 0 };
	struct slab s = { 0 };
	double t[3] = { 0 };

	TRY(open_stages(r));
	TRY(room_of(MEASURED, &o.tmp_bytes));
	TRY(call_memory(r, lay_sorting(&o, MEASURED, 1, s), &s));
	(void)lay_sorting(&o, MEASURED, 1, s);
	TRY(rn_cuda_rows(r->stream, o.p.row[0], MEASURED));
	for (int turn = 0; turn < 2; turn++) {
		t[0] = now();
		TRY(send_words(r, o.p.key[o.p.at], &w));
		TRY(fetch(r, host, o.p.key[o.p.at], MEASURED * sizeof *host));
		t[1] = now();
		TRY(rn_cuda_sort(r->stream, &o.p, 64, o.tmp, o.tmp_bytes));
		TRY(cudaStreamSynchronize(r->stream));
		t[2] = now();
	}
	r->rates.call_s = best.call_s;
	r->rates.bytes_per_s = 2 * MEASURED * sizeof *host / (t[1] - t[0]);
	r->rates.row_s = 2 * (t[2] - t[1]) / MEASURED;
	return cudaSuccess;
}

static bool rel_measure(struct rn_accel *a, struct rn_accel_rates *out)
{
	struct rn_cuda_rel *r = rel_of(a);
	cudaError_t err = cudaSuccess;
	uint64_t *host = NULL;

	if (!call_begin(r, MEASURED))
		return false;
	if (!r->rates.call_s) {
		host = malloc(MEASURED * sizeof *host);
		err = host ? measure(r, host) : cudaErrorMemoryAllocation;
		free(host);
	}
	*out = r->rates;
	return call_end(r, err);
}

/* ---- opening ----------------------------------------------------------------------------- */

int rn_cuda_rel_new(struct rn_cuda *c, struct rn_err *e)
{
	const char *when = getenv("RN_CUDA_REL");
	struct rn_cuda_rel *r;

	if (when && !strcmp(when, "0"))
		return 0;
	RN_TRY(rn_calloc(1, sizeof *r, "the CUDA backend", &r, e));
	pthread_mutex_init(&r->lock, NULL);
	r->ordinal = c->ordinal;
	r->accel = (struct rn_accel){
		.name = c->name,
		.always = when && !strcmp(when, "always"),
		.best = best,
		.measure = rel_measure,
		.number = rel_number,
		.find = rel_find,
		.deal = rel_deal,
		.order = rel_order,
	};
	c->rel = r;
	c->backend.accel = &r->accel;
	return 0;
}

/* A device that is lost says so again at each of these. */
void rn_cuda_rel_free(struct rn_cuda_rel *r)
{
	if (!r)
		return;
	for (unsigned i = 0; i < STAGES; i++) {
		if (r->stage[i].done)
			(void)cudaEventDestroy(r->stage[i].done);
		if (r->stage[i].mem)
			(void)cudaFreeHost(r->stage[i].mem);
	}
	if (r->stream)
		(void)cudaStreamDestroy(r->stream);
	pthread_mutex_destroy(&r->lock);
	free(r);
}
