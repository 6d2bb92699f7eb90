/* SPDX-License-Identifier: Apache-2.0
 *
 * The context: what every part of the library may need to know of the run it
 * is in.  The library never prints; it calls `log`.
 */
#ifndef RN_CTX_H
#define RN_CTX_H

#include "err.h"

#include <stdbool.h>
#include <stdint.h>

struct rn_team;

/* How a device may round what it multiplies: not at all, to 10 bits of mantissa, to 7 (bfloat16);
 * sums are of float always. */
enum rn_math { RN_MATH_F32, RN_MATH_TF32, RN_MATH_BF16 };

enum rn_log_level {
	RN_LOG_WARN,  /* shown unless -q */
	RN_LOG_INFO,  /* shown at -v     */
	RN_LOG_DEBUG, /* shown at -vv    */
};

struct rn_ctx {
	void (*log)(void *arg, enum rn_log_level level, const char *msg); /* NULL: silent */
	void *log_arg;
	/* How far the reading of an input is, at most once per block and from any thread:
	 * bytes done and in all (0: not known), rows so far.  NULL: nobody watches. */
	void (*progress)(void *arg, uint64_t done, uint64_t total, uint64_t rows);
	void *progress_arg;
	unsigned threads;    /* 1 or more */
	struct rn_team *team; /* of that many; NULL: the calling thread alone */
	uint64_t *skipped;   /* malformed rows that a reader passes over are added; may be NULL */
	uint64_t mem_limit;  /* bytes, --mem; 0: no limit */
	uint64_t seed;       /* --seed, 1 unless given */
	uint32_t block_rows; /* --block-rows: rows in an output block, at most 65536; 0: 65536 */
	bool strict;         /* --strict: unmatched and NULL keys are errors */
	uint32_t no_rewrite; /* --no-rewrite: bits of lib/plan/rewrite.h */
	const char *device;  /* "cpu", "cuda:0", …; NULL: cpu */
	const int *stop;     /* a descriptor: once it is readable, reading is to end; NULL: none */
	enum rn_math math;   /* --math; the cpu has RN_MATH_F32 alone */
};

void rn_log(const struct rn_ctx *c, enum rn_log_level level, const char *fmt, ...) RN_PRINTF(3, 4);
/* Seconds of a clock that only goes forward: differences tell how long something took. */
double rn_now(void);

void rn_ctx_progress(const struct rn_ctx *c, uint64_t done, uint64_t total, uint64_t rows);

#endif
