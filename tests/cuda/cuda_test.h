/* SPDX-License-Identifier: Apache-2.0
 *
 * Random programs for the test of the CUDA backend: each is built of constants, with one
 * primitive under test.  With `abs` the same program is built of the absolute values of
 * its numbers: for a sum of products its result is the sum of |terms|.
 */
#ifndef CUDA_TEST_H
#define CUDA_TEST_H

#include "../../lib/dev/machine.h"

#include <stdbool.h>
#include <stdint.h>

struct gen {
	struct rn_prog p;
	uint64_t state;   /* of the random numbers */
	bool abs;
	uint32_t rows, width; /* for this trial: 0 … thousands, 1 … 300 */
};

uint32_t gen_below(struct gen *g, uint32_t n); /* 0 … n-1 */
double gen_real(struct gen *g);                /* -2 … 2 */

/* A constant of random numbers. */
uint32_t gen_value(struct gen *g, uint32_t rows, uint32_t rank, uint32_t d0, uint32_t d1);
/* The same, of whole numbers: equal ones are frequent. */
uint32_t gen_ties(struct gen *g, uint32_t rows, uint32_t width);
/* n row numbers below `below`, some of them RN_NO_ROW where `missing`. */
uint32_t gen_indices(struct gen *g, uint32_t n, uint32_t below, bool missing);
/* The bounds of n segments of `terms` terms in all: empty, short, and very long ones. */
uint32_t gen_bounds(struct gen *g, uint32_t n, uint32_t terms);

/* An error is the end of the test. */
uint32_t gen_need(uint32_t value, const struct rn_err *e);
void gen_must(int rc, const struct rn_err *e, const char *what);

/* How a result is compared with the CPU's. */
enum scale {
	BY_VALUE, /* relative to the number itself */
	BY_TERMS, /* relative to the sum of |terms| */
	BY_ONE,   /* relative to 1 + |number| */
	EXACTLY,
};

/* The cases: a primitive may have several. */
struct prim_case {
	enum rn_prim op;
	const char *name;
	uint32_t (*build)(struct gen *g); /* the value to compare */
	enum scale scale;
};
extern const struct prim_case prim_cases[];
extern const size_t prim_ncases;

/* One scalar function of random operands. */
uint32_t build_function(struct gen *g, enum rn_ew fn);
/* One of NaN, infinities and zeros. */
uint32_t build_special(struct gen *g, enum rn_ew fn);
/* A small network with dropout: many instructions, whose results depend on the epoch. */
uint32_t build_network(struct gen *g);

/* An optimizer whose epochs are run in windows (windows.c); up: until it diverges. */
struct window_case {
	const char *name;
	enum rn_prim op;
	uint32_t flags;
	bool up;
	double f[8];
	/* Where rows is not 0: predictions of so many rows are made after epochs, and looked at. */
	uint32_t rows, every;
	uint64_t patience;
	struct gauge_case {
		enum rn_gauge_kind kind;
		uint32_t width; /* above 1: of classes, or 2 of scores */
		bool sign, nulls, truth, nan, higher;
		uint32_t queries, k; /* of rankings; queries 1: of all rows */
	} gauge;
};
/* NULL, or what is wrong. */
const char *window_check(struct rn_backend *b, const struct window_case *c);
/* Steps of many parameters at once (steps.c); the same. */
const char *steps_check(struct rn_backend *b);
/* --math on the device (math.c); the same. */
const char *math_check(struct rn_backend *cpu, struct rn_backend *cuda);

#endif
