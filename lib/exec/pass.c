/* SPDX-License-Identifier: Apache-2.0
 *
 * The passes in their order, each unless it is switched off, and what each did.
 */
#include "pass_util.h"

#include <string.h>

/* Before and after a pass. */
static void measure(const struct rn_optimize *o, const struct rn_prog *p, enum rn_rewrite rw,
		    unsigned when)
{
	struct rn_pass_did *d;

	if (!o->log)
		return;
	d = &o->log->did[rw];
	if (when == 0 && d->runs++)
		return; /* a second time: since the first */
	d->insts[when] = 0;
	d->flops[when] = d->bytes[when] = 0;
	for (uint32_t j = 0; j < p->ninsts; j++) {
		double flops, bytes;

		if (!rn_pass_present(p, j))
			continue;
		rn_inst_cost(p, &p->insts[j], &flops, &bytes);
		d->insts[when]++;
		d->flops[when] += flops;
		d->bytes[when] += bytes;
	}
}

static bool begin(const struct rn_optimize *o, const struct rn_prog *p, enum rn_rewrite rw)
{
	if (o->ctx && !rn_rewrite_on(o->ctx, rw))
		return false;
	measure(o, p, rw, 0);
	return true;
}

static void end(const struct rn_optimize *o, const struct rn_prog *p, enum rn_rewrite rw,
		uint32_t times)
{
	measure(o, p, rw, 1);
	if (o->log)
		o->log->did[rw].times += times;
}

/* A pass that counts. */
static int run(const struct rn_optimize *o, struct rn_prog *p, enum rn_rewrite rw,
	       int (*pass)(struct rn_prog *p, uint32_t *count, struct rn_err *e), struct rn_err *e)
{
	uint32_t count = 0;

	if (!begin(o, p, rw))
		return 0;
	RN_TRY(pass(p, &count, e));
	end(o, p, rw, count);
	return 0;
}

static int fold(const struct rn_optimize *o, struct rn_prog *p, struct rn_err *e)
{
	uint32_t before = p->ninsts;

	if (!begin(o, p, RN_RW_FOLD))
		return 0;
	RN_TRY(rn_pass_fold_shared(o, p, e));
	end(o, p, RN_RW_FOLD, before - p->ninsts);
	return 0;
}

static uint64_t rows_of(const struct rn_prog *p)
{
	uint64_t n = 0;

	for (uint32_t j = 0; j < p->ninsts; j++)
		n += rn_pass_present(p, j) ? p->vals[p->insts[j].out].rows : 0;
	return n;
}

static int restrict_rows(const struct rn_optimize *o, struct rn_prog *p, const uint32_t *roots,
			 size_t n, struct rn_err *e)
{
	uint64_t before = rows_of(p);

	if (!begin(o, p, RN_RW_RESTRICT))
		return 0;
	RN_TRY(rn_pass_restrict(p, roots, n, e));
	end(o, p, RN_RW_RESTRICT, rows_of(p) < before);
	return 0;
}

int rn_prog_optimize(const struct rn_optimize *o, struct rn_prog *p, const uint32_t *roots,
		     size_t n, struct rn_err *e)
{
	RN_TRY(rn_pass_unify(p, e));
	RN_TRY(fold(o, p, e));
	RN_TRY(run(o, p, RN_RW_HOIST, rn_pass_hoist, e));
	RN_TRY(run(o, p, RN_RW_SPARSE, rn_pass_sparse, e));
	RN_TRY(run(o, p, RN_RW_STACK, rn_pass_stack, e));
	RN_TRY(rn_pass_unify(p, e));
	/* The number of rows that are left decides what is cheap from here on. */
	RN_TRY(restrict_rows(o, p, roots, n, e));
	RN_TRY(run(o, p, RN_RW_SPLIT, rn_pass_split, e));
	RN_TRY(run(o, p, RN_RW_HOIST, rn_pass_hoist, e)); /* over what was a union, or a concat */
	RN_TRY(run(o, p, RN_RW_SPARSE, rn_pass_sparse, e));
	RN_TRY(run(o, p, RN_RW_COMMUTE, rn_pass_commute, e));
	RN_TRY(fold(o, p, e)); /* sums of constants that were sums of products */
	RN_TRY(restrict_rows(o, p, roots, n, e));
	return rn_pass_unify(p, e);
}

/* What does not fit in the caches is read from memory either way; less is only worth it where
 * memory is short. */
enum { IDLE_BYTES = 16 << 20, IDLE_BYTES_SHORT = 64 << 10 };

static int recompute(const struct rn_optimize *o, struct rn_prog *p, bool few, struct rn_err *e)
{
	uint32_t count = 0;

	if (o->apart || !begin(o, p, RN_RW_RECOMPUTE))
		return 0;
	RN_TRY(rn_pass_recompute(p, few ? IDLE_BYTES_SHORT : IDLE_BYTES, &count, e));
	end(o, p, RN_RW_RECOMPUTE, count);
	return 0;
}

/* Does the program alone need more than the limit? */
static int is_short(const struct rn_optimize *o, struct rn_prog *p, bool *few, struct rn_err *e)
{
	struct rn_prog_fixed fixed;
	uint64_t peak;
	uint32_t at;

	RN_TRY(rn_prog_peak(p, &peak, &at, e));
	RN_TRY(rn_prog_fixed(p, &fixed, e));
	peak += fixed.constants + fixed.indices + fixed.stored;
	*few = o->ctx && o->ctx->mem_limit && peak > o->ctx->mem_limit;
	return 0;
}

int rn_prog_finish(const struct rn_optimize *o, struct rn_prog *p, uint32_t *const *live, size_t n,
		   struct rn_err *e)
{
	uint32_t before, count = 0;
	bool few;

	RN_TRY(rn_pass_unify(p, e));
	if (begin(o, p, RN_RW_FUSE)) {
		before = p->ninsts;
		RN_TRY(rn_pass_through(p, o->apart, &count, e));
		RN_TRY(rn_pass_fuse(p, o->apart, e));
		end(o, p, RN_RW_FUSE, before - p->ninsts);
	}
	RN_TRY(rn_pass_sweep(p, live, n, e)); /* what is left is what it needs */
	RN_TRY(is_short(o, p, &few, e));
	return rn_prog_shorten(o, p, few, live, n, e);
}

int rn_prog_shorten(const struct rn_optimize *o, struct rn_prog *p, bool few,
		    uint32_t *const *live, size_t n, struct rn_err *e)
{
	RN_TRY(recompute(o, p, few, e));
	return rn_pass_sweep(p, live, n, e);
}
