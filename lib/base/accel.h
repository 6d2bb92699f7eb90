/* SPDX-License-Identifier: Apache-2.0
 *
 * What a device can do for the relational side: numbering keys, looking them up, dealing
 * out rows, sorting.  Plain arrays in the host's memory go in and come out, the same ones
 * that lib/rel makes on the CPU; relations, types and NULLs stay there.
 *
 * It stands in lib/base, for lib/rel uses it, lib/dev hands it on and cuda/ implements it.
 * A team carries it (rn_team_accelerate); without one nothing here is called.
 *
 * Every function may decline, by false: no memory, a device that is lost or at work, too
 * many rows.  What it was to fill is then garbage, and the CPU does the work: no result and
 * no error depends on a device.  From any thread.
 */
#ifndef RN_ACCEL_H
#define RN_ACCEL_H

#include "ctx.h"

#include <stddef.h>

#define RN_NO_WORD UINT64_MAX       /* the row has no word */
#define RN_NO_NUMBER ((uint32_t)-1) /* … and so no number: lib/rel's RN_NO_ROW */

/* A word for each of `rows` rows.  They are asked for in order, some at a time, into the
 * memory from which they are sent; get may use the team. */
struct rn_words {
	uint64_t rows;
	unsigned bits; /* 1 to 64: words are below 2^bits - 1, but where there is no RN_NO_WORD
			* they may be as large as 2^bits - 1 */
	void (*get)(void *arg, uint64_t from, uint64_t n, uint64_t *to);
	void *arg;
};

/* Memory for arrays whose length is found on the way: room for n items of `size` bytes that
 * the caller owns, NULL: there is none. */
enum rn_accel_array {
	RN_ACCEL_FIRST, /* uint32_t[numbers]: the first row of each, ascending */
	RN_ACCEL_WORDS, /* uint64_t[numbers]: the word of each; asked for where keep_words */
	RN_ACCEL_PTR,   /* uint32_t[numbers + 1] and */
	RN_ACCEL_AT,    /* uint32_t[ptr[numbers]]: the rows with number g are at[ptr[g]] …
			 * at[ptr[g + 1] - 1], ascending */
	RN_ACCEL_ARRAYS
};
struct rn_accel_room {
	void *(*get)(void *arg, enum rn_accel_array what, size_t n, size_t size);
	void *arg;
	bool keep_words;
	bool deal; /* PTR and AT are wanted where at[i] = i does not hold for all i */
};

enum rn_accel_op { RN_ACCEL_NUMBER, RN_ACCEL_FIND, RN_ACCEL_DEAL, RN_ACCEL_ORDER, RN_ACCEL_OPS };

struct rn_accel {
	const char *name; /* "cuda:0" */
	bool always;      /* whether it pays or not: for tests */
	/* How fast it is, at best; and as measured, once, when something would pay at best.  False:
	 * that is not known now.  NULL: best is what holds. */
	struct rn_accel_rates {
		double bytes_per_s; /* between host and device */
		double call_s;      /* of a call, however few the rows are */
		double row_s;       /* on the device, for a word that is sorted or sought */
	} best;
	bool (*measure)(struct rn_accel *a, struct rn_accel_rates *out);
	/* of[i]: the number of row i's word, in order of first appearance; RN_NO_NUMBER without
	 * one. */
	bool (*number)(struct rn_accel *a, const struct rn_words *w, uint32_t *of,
		       const struct rn_accel_room *room);
	/* of[i]: g with set[g] = the word of row i, or RN_NO_NUMBER; the n words of set differ,
	 * and are such as w may have. */
	bool (*find)(struct rn_accel *a, const uint64_t *set, uint64_t n, const struct rn_words *w,
		     uint32_t *of);
	/* PTR [n + 1] and AT of numbers below n, and RN_NO_NUMBER. */
	bool (*deal)(struct rn_accel *a, const uint32_t *of, uint64_t rows, uint64_t n,
		     const struct rn_accel_room *room);
	/* map: the rows by w[n - 1], equal ones by w[n - 2] …, at last by row; n is 1 or more,
	 * and all have as many rows.  There is no RN_NO_WORD. */
	bool (*order)(struct rn_accel *a, const struct rn_words *w, unsigned n, uint32_t *map);
	/* What was done, for -v; not the implementation's business. */
	struct rn_accel_count {
		uint64_t calls, rows;
	} count[RN_ACCEL_OPS];
};

/* Give the team of c an accelerator, which it borrows, or none (NULL); and what it did since
 * it was given, as a line at RN_LOG_INFO (once). */
void rn_accel_attach(const struct rn_ctx *c, struct rn_accel *a);
void rn_accel_log(const struct rn_ctx *c);

/* Is it worth while to have `rows` rows done by a, which cost the CPU cpu_ns each on one
 * thread, of which host_ns stay its own, where `words` words for each are sorted or sought
 * and `bytes` go to and fro in all?  The 1/2 is for what the estimate does not know.
 *
 *   call_s + bytes / bytes_per_s + rows · (words · row_s + host_ns / threads)
 *     < 1/2 · rows · cpu_ns / threads
 *
 * False for NULL and for no rows. */
struct rn_accel_cost {
	double cpu_ns, host_ns;
	unsigned words;
	uint64_t bytes;
};
bool rn_accel_pays(struct rn_accel *a, unsigned threads, uint64_t rows,
		   const struct rn_accel_cost *c);

/* One more call of an operation. */
void rn_accel_count(struct rn_accel *a, enum rn_accel_op op, uint64_t rows);

#endif
