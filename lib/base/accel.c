/* SPDX-License-Identifier: Apache-2.0
 *
 * When an accelerator is used, and what is said of it; see accel.h.
 */
#include "accel.h"

#include "str.h"
#include "team.h"

#include <inttypes.h>

static bool pays(const struct rn_accel_rates *r, unsigned threads, uint64_t rows,
		 const struct rn_accel_cost *c)
{
	double n = (double)rows, host = 1e-9 / threads;

	return 2 * (r->call_s + (double)c->bytes / r->bytes_per_s +
		    n * (c->words * r->row_s + c->host_ns * host)) < n * c->cpu_ns * host;
}

bool rn_accel_pays(struct rn_accel *a, unsigned threads, uint64_t rows,
		   const struct rn_accel_cost *c)
{
	struct rn_accel_rates measured;

	if (!a || !rows)
		return false;
	if (a->always)
		return true;
	return pays(&a->best, threads, rows, c) &&
	       (!a->measure || (a->measure(a, &measured) && pays(&measured, threads, rows, c)));
}

void rn_accel_count(struct rn_accel *a, enum rn_accel_op op, uint64_t rows)
{
	__atomic_fetch_add(&a->count[op].calls, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&a->count[op].rows, rows, __ATOMIC_RELAXED);
}

void rn_accel_attach(const struct rn_ctx *c, struct rn_accel *a)
{
	if (c->team)
		rn_team_accelerate(c->team, a);
}

void rn_accel_log(const struct rn_ctx *c)
{
	static const char *const done[RN_ACCEL_OPS] = { "keys numbered", "keys sought",
							"rows dealt out", "rows sorted" };
	struct rn_accel *a = rn_team_accel(c->team);
	struct rn_str b = RN_STR_INIT;

	for (int op = 0; a && op < RN_ACCEL_OPS; op++) {
		uint64_t calls = __atomic_exchange_n(&a->count[op].calls, 0, __ATOMIC_RELAXED);
		uint64_t rows = __atomic_exchange_n(&a->count[op].rows, 0, __ATOMIC_RELAXED);

		if (calls)
			rn_str_addf(&b, "%s%s in %" PRIu64 " call%s of %" PRIu64 " rows",
				    b.len ? ", " : "", done[op], calls, calls == 1 ? "" : "s",
				    rows);
	}
	if (b.len && !rn_str_check(&b, NULL))
		rn_log(c, RN_LOG_INFO, "on %s: %s", a->name, b.s);
	rn_str_fini(&b);
}
