/* SPDX-License-Identifier: Apache-2.0
 *
 * The accelerator of the CUDA backend (lib/base/accel.h): each of its functions on random
 * words against what its contract says, done plainly here.  On the emulated device (cuda.mk)
 * unless RN_CUDA_TEST=device.  What lib/rel makes of it: tests/unit/test_accel.c.
 */
#include "emulated.h"
#include "../unit/t.h"

#include "../../lib/base/accel.h"
#include "../../lib/base/mem.h"
#include "../../lib/dev/backend.h"

#include <sys/wait.h>
#include <unistd.h>

enum {
	MOST = 70000,   /* rows: many blocks */
	LARGE = 600001, /* … that do not go in one piece */
};

static struct rn_accel *accel;
static bool real_device;
static uint64_t state, bits_seen;

static uint64_t random_word(void)
{
	state += 0x9E3779B97F4A7C15u;
	uint64_t x = state;

	x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
	x = (x ^ x >> 27) * 0x94D049BB133111EBu;
	return x ^ x >> 31;
}

static uint64_t below(uint64_t n)
{
	return random_word() % n;
}

static void see(const void *data, size_t n)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < n; i++)
		bits_seen = (bits_seen ^ p[i]) * 0x100000001B3u;
}

/* ---- inputs ------------------------------------------------------------------------------ */

enum kind { FEW, SPREAD, HIGH, EQUAL, DISTINCT, NONE, ASCENDING, KINDS };
static const char *const kind_names[KINDS] = { "few", "spread", "with high bits", "equal", "distinct",
					       "none", "ascending" };

struct input {
	struct rn_words w;
	uint64_t *word;
	uint64_t most; /* asked for at once */
	bool wrong;    /* asked for out of order */
	uint64_t next;
};

static void get(void *arg, uint64_t from, uint64_t n, uint64_t *to)
{
	struct input *in = arg;

	in->wrong |= from != in->next || n > in->w.rows - from;
	in->next = from + n;
	memcpy(to, in->word + from, n * sizeof *to);
}

static void make(struct input *in, enum kind k, uint64_t rows, bool lacks)
{
	*in = (struct input){ .word = malloc((rows + 1) * sizeof *in->word) };
	in->w = (struct rn_words){ rows, 64, get, in };
	if (k == FEW || k == ASCENDING)
		in->w.bits = 5 + (unsigned)below(20);
	if (k == EQUAL)
		in->w.bits = 1;
	for (uint64_t i = 0; i < rows; i++) {
		uint64_t w = k == FEW	    ? below(20) :
			     k == SPREAD    ? below(rows) * 0x9E3779B97F4A7C15u :
			     k == HIGH	    ? below(3) << 62 | below(9) :
			     k == DISTINCT  ? i * 0x9E3779B97F4A7C15u :
			     k == ASCENDING ? i * 31 / rows % 31 :
					      0;

		w -= w == RN_NO_WORD;
		in->word[i] = k == NONE || (lacks && below(4) == 0) ? RN_NO_WORD : w;
	}
}

static void release(struct input *in)
{
	free(in->word);
}

/* ---- room -------------------------------------------------------------------------------- */

struct arrays {
	void *a[RN_ACCEL_ARRAYS];
	size_t n[RN_ACCEL_ARRAYS];
	bool refuse; /* there is no memory */
};

static void *get_room(void *arg, enum rn_accel_array what, size_t n, size_t size)
{
	struct arrays *r = arg;

	if (r->refuse)
		return NULL;
	r->n[what] = n;
	r->a[what] = malloc(n * size + 1);
	return r->a[what];
}

static void free_arrays(struct arrays *r)
{
	for (int i = 0; i < RN_ACCEL_ARRAYS; i++)
		free(r->a[i]);
}

static bool holds(const struct arrays *r, enum rn_accel_array what, const void *data, size_t n,
		  size_t size)
{
	if (!r->a[what] || r->n[what] != n)
		return false;
	see(r->a[what], n * size);
	return !memcmp(r->a[what], data, n * size);
}

/* ---- references -------------------------------------------------------------------------- */

static const uint64_t *sorted_by;

static int by_word(const void *a, const void *b)
{
	uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
	uint64_t x = sorted_by[i], y = sorted_by[j];

	return x != y ? (x > y) - (x < y) : (i > j) - (i < j);
}

static uint32_t *sorted(const uint64_t *word, uint64_t n)
{
	uint32_t *map = malloc((n + 1) * sizeof *map);

	for (uint64_t i = 0; i < n; i++)
		map[i] = (uint32_t)i;
	sorted_by = word;
	qsort(map, n, sizeof *map, by_word);
	return map;
}

/* Numbers by first appearance, their first rows and words; returns how many. */
static uint32_t number(const struct input *in, uint32_t *of, uint32_t *first, uint64_t *word)
{
	uint32_t *map = sorted(in->word, in->w.rows), n = 0;

	for (uint64_t i = 0; i < in->w.rows; i++)
		of[map[i]] = in->word[map[i]] == RN_NO_WORD ? RN_NO_NUMBER :
			     i && in->word[map[i]] == in->word[map[i - 1]] ? of[map[i - 1]] : map[i];
	for (uint64_t i = 0; i < in->w.rows; i++) {
		if (of[i] == RN_NO_NUMBER)
			continue;
		if (of[i] == i) {
			first[n] = (uint32_t)i;
			word[n] = in->word[i];
			of[i] = n++;
		} else {
			of[i] = of[of[i]];
		}
	}
	free(map);
	return n;
}

static void deal(const uint32_t *of, uint64_t rows, uint32_t n, uint32_t *ptr, uint32_t *at)
{
	memset(ptr, 0, (n + (size_t)2) * sizeof *ptr);
	for (uint64_t i = 0; i < rows; i++)
		if (of[i] != RN_NO_NUMBER)
			ptr[of[i] + 2]++;
	for (uint32_t g = 0; g < n; g++)
		ptr[g + 2] += ptr[g + 1];
	for (uint64_t i = 0; i < rows; i++)
		if (of[i] != RN_NO_NUMBER)
			at[ptr[of[i] + 1]++] = (uint32_t)i;
}

static uint32_t want_of[LARGE], want_first[LARGE], want_ptr[LARGE + 2], want_at[LARGE], got_of[LARGE];
static uint64_t want_word[LARGE];

/* ---- the functions ----------------------------------------------------------------------- */

/* which: 1 with words, 2 dealt out. */
static void number_one(enum kind k, uint64_t rows, bool lacks, int which)
{
	struct arrays r = { 0 };
	struct rn_accel_room room = { get_room, &r, which & 1, which & 2 };
	struct input in;
	bool ok, falls = false;
	uint32_t n;

	make(&in, k, rows, lacks);
	n = number(&in, want_of, want_first, want_word);
	deal(want_of, rows, n, want_ptr, want_at);
	for (uint32_t i = 0; i < want_ptr[n]; i++)
		falls |= want_at[i] != i;
	ok = accel->number(accel, &in.w, got_of, &room) && !in.wrong &&
	     !memcmp(got_of, want_of, rows * sizeof *got_of) &&
	     holds(&r, RN_ACCEL_FIRST, want_first, n, sizeof *want_first);
	see(got_of, rows * sizeof *got_of);
	if (which & 1)
		ok = ok && holds(&r, RN_ACCEL_WORDS, want_word, n, sizeof *want_word);
	if (which & 2 && falls)
		ok = ok && holds(&r, RN_ACCEL_PTR, want_ptr, n + (size_t)1, 4) &&
		     holds(&r, RN_ACCEL_AT, want_at, want_ptr[n], 4);
	else
		ok = ok && !r.a[RN_ACCEL_AT];
	T_OK(ok, "numbers of %llu rows, %s%s: %u%s%s", (unsigned long long)rows, kind_names[k],
	     lacks ? ", some without" : "", n, which & 1 ? ", their words" : "",
	     which & 2 ? falls ? ", dealt out" : ", in order" : "");
	free_arrays(&r);
	release(&in);
}

static void test_number(enum kind k, uint64_t rows, bool lacks)
{
	for (int which = 0; which < 4; which++)
		number_one(k, rows, lacks, which);
}

/* Half of the words that are sought are in the set, others beside them. */
static void test_find(enum kind k, uint64_t rows, uint64_t others)
{
	struct input in, probe;
	uint32_t n;
	bool ok;

	make(&in, k, rows, true);
	make(&probe, k, others, true);
	probe.w.bits = in.w.bits;
	n = number(&in, want_of, want_first, want_word);
	for (uint64_t i = 0; i < others; i++) {
		uint64_t w = n && below(2) ? want_word[below(n)] : probe.word[i];

		if (k == HIGH && below(4) == 0)
			w ^= (uint64_t)1 << 63;
		probe.word[i] = w;
		want_of[i] = RN_NO_NUMBER;
	}
	for (uint64_t i = 0; i < others; i++)
		for (uint32_t g = 0; g < n && probe.word[i] != RN_NO_WORD; g++)
			if (want_word[g] == probe.word[i])
				want_of[i] = g;
	ok = accel->find(accel, want_word, n, &probe.w, got_of) && !probe.wrong &&
	     !memcmp(got_of, want_of, others * sizeof *got_of);
	see(got_of, others * sizeof *got_of);
	T_OK(ok, "%llu rows sought in a set of %u, %s", (unsigned long long)others, n, kind_names[k]);
	release(&in);
	release(&probe);
}

static void test_deal(uint64_t rows, uint32_t n, bool lacks)
{
	struct arrays r = { 0 };
	struct rn_accel_room room = { get_room, &r, false, true };
	bool ok;

	for (uint64_t i = 0; i < rows; i++)
		want_of[i] = !n || (lacks && below(3) == 0) ? RN_NO_NUMBER : (uint32_t)below(n);
	deal(want_of, rows, n, want_ptr, want_at);
	ok = accel->deal(accel, want_of, rows, n, &room) &&
	     holds(&r, RN_ACCEL_PTR, want_ptr, n + (size_t)1, 4) &&
	     holds(&r, RN_ACCEL_AT, want_at, want_ptr[n], 4);
	T_OK(ok, "%llu rows to %u numbers%s", (unsigned long long)rows, n,
	     lacks ? ", some to none" : "");
	free_arrays(&r);
}

static void test_order(uint64_t rows, unsigned n)
{
	static const enum kind kinds[] = { FEW, HIGH, SPREAD, EQUAL };
	struct input in[4];
	struct rn_words w[4];
	uint32_t *map = malloc((rows + 1) * sizeof *map), *at = malloc((rows + 1) * sizeof *at);
	uint64_t *key = malloc((rows + 1) * sizeof *key);
	bool ok;

	for (uint64_t i = 0; i < rows; i++)
		at[i] = (uint32_t)i;
	for (unsigned k = 0; k < n; k++) {
		uint32_t *next;

		make(&in[k], kinds[(k + n) % 4], rows, false);
		w[k] = in[k].w;
		for (uint64_t i = 0; i < rows; i++)
			key[i] = in[k].word[at[i]];
		next = sorted(key, rows);
		for (uint64_t i = 0; i < rows; i++)
			next[i] = at[next[i]];
		free(at);
		at = next;
	}
	ok = accel->order(accel, w, n, map) && !memcmp(map, at, rows * sizeof *map);
	see(map, rows * sizeof *map);
	for (unsigned k = 0; k < n; k++) {
		ok = ok && !in[k].wrong;
		release(&in[k]);
	}
	T_OK(ok, "%llu rows by %u words", (unsigned long long)rows, n);
	free(map);
	free(at);
	free(key);
}

/* It declines, and the next call is answered. */
static void test_refusals(void)
{
	struct arrays r = { .refuse = true };
	struct rn_accel_room room = { get_room, &r, true, true };
	struct input in;

	make(&in, FEW, 1000, false);
	T_OK(!accel->number(accel, &in.w, got_of, &room), "no memory for numbers");
	T_OK(!accel->deal(accel, want_of, 10, 3, &room), "no memory for rows by number");
	in.w.rows = (uint64_t)1 << 31;
	T_OK(!accel->order(accel, &in.w, 1, got_of), "more rows than it takes");
	release(&in);
	test_number(FEW, 1000, false);
}

static void test_all(void)
{
	static const uint64_t sizes[] = { 1, 2, 255, 256, 257, 3000 };

	for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
		for (enum kind k = 0; k < KINDS; k++) {
			test_number(k, sizes[s], false);
			test_number(k, sizes[s], true);
			test_find(k, sizes[s], 1 + below(2000));
		}
		test_deal(sizes[s], 1 + (uint32_t)below(2 * sizes[s]), s % 2);
		for (unsigned n = 1; n <= 4; n++)
			test_order(sizes[s], n);
	}
	test_deal(100, 0, false);
	test_deal(3, MOST, true); /* far more numbers than rows */
	test_number(SPREAD, MOST, true);
	test_order(MOST, 2);
}

static void test_rates(void)
{
	struct rn_accel_rates a, b;
	bool ok = accel->measure(accel, &a) && accel->measure(accel, &b);

	T_OK(ok && a.bytes_per_s > 0 && a.row_s > 0 && a.call_s > 0 && a.row_s == b.row_s &&
		     a.bytes_per_s == b.bytes_per_s,
	     "measured once: %.1f GB/s, %.2f ns a row", ok ? a.bytes_per_s * 1e-9 : 0,
	     ok ? a.row_s * 1e9 : 0);
	if (real_device)
		printf("# %.1f GB/s, %.2f ns a row\n", a.bytes_per_s * 1e-9, a.row_s * 1e9);
}

/* ---- two orders of blocks ---------------------------------------------------------------- */

static bool open_device(struct rn_backend **b, struct rn_err *e)
{
	if (rn_backend_open("cuda", 1, b, NULL, e))
		return false;
	accel = (*b)->accel;
	state = 7;
	bits_seen = 0;
	return true;
}

/* In a process of its own, whose results come by a pipe: as a hash of every bit. */
static uint64_t in_other_order(void)
{
	uint64_t bits = 0;
	int fd[2];
	pid_t child;

	if (pipe(fd))
		return 0;
	fflush(stdout);
	child = fork();
	if (!child) {
		struct rn_backend *b;
		struct rn_err e;

		setenv("RN_EMULATE_ORDER", "down", 1);
		setenv("RN_EMULATE_STRICT", "1", 1);
		if (!freopen("/dev/null", "w", stdout) || !open_device(&b, &e))
			_exit(1);
		test_all();
		_exit(write(fd[1], &bits_seen, sizeof bits_seen) != sizeof bits_seen);
	}
	close(fd[1]);
	if (read(fd[0], &bits, sizeof bits) != sizeof bits)
		bits = 0;
	close(fd[0]);
	waitpid(child, NULL, 0);
	return bits;
}

/* With so little memory, or a device that is lost: how many of three sorts (of 1000, MOST and
 * 1000 rows) are done, in a process of its own.  After the first a lost device does none, and
 * memory that was out is there again. */
static bool in_trouble(const char *name, const char *value, int some)
{
	int status = 0;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (!child) {
		static const uint64_t rows[] = { 1000, MOST, 1000 };
		struct rn_backend *b;
		struct rn_err e;
		int done = 0;

		setenv(name, value, 1);
		if (!open_device(&b, &e))
			_exit(1);
		for (int i = 0; i < 3; i++) {
			struct input in;

			make(&in, SPREAD, rows[i], false);
			done |= accel->order(accel, &in.w, 1, got_of) << i;
			release(&in);
		}
		_exit(done != (some ? 5 : 0));
	}
	waitpid(child, &status, 0);
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	const char *what = getenv("RN_CUDA_TEST");
	struct rn_backend *b;
	struct rn_err e = { 0 };
	uint64_t other = 0;

	(void)argc;
	use_emulation(argv);
	real_device = what && !strcmp(what, "device");
	if (!real_device) {
		other = in_other_order();
		T_OK(in_trouble("RN_EMULATE_MEMORY", "1", 1), "little memory: only small calls");
		T_OK(in_trouble("RN_EMULATE_FAIL", "2", 0), "a device that is lost declines all");
	}
	if (!open_device(&b, &e)) {
		if (real_device)
			T_SKIP(e.msg);
		else
			T_OK(false, "the emulated device: %s", e.msg);
		return t_done();
	}
	test_all();
	if (!real_device)
		T_OK(other == bits_seen, "blocks and threads in the other order give the same bits");
	number_one(DISTINCT, LARGE, false, 1);
	test_deal(2 * LARGE / 3, LARGE, true);
	test_refusals();
	test_rates();
	b->close(b);
	return t_done();
}
