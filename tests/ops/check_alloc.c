/* SPDX-License-Identifier: Apache-2.0
 *
 * Every allocation fails once, and once with all that follow it (then without a
 * struct rn_err to fill): the call says RN_ENOMEM and gives everything back, or it
 * could do without and its result is the usual one.  Without a sanitizer blocks are
 * counted; with one it finds leaks.
 */
#include "ops.h"

#include <stdlib.h>
#include <string.h>

typedef int call(void *arg, bool *same, struct rn_err *e);

/* Returns whether an allocation failed, in *ok whether all was right.  Without `on` the
 * call gets an error to fill, with it none. */
static bool one(call *fn, void *arg, uint64_t k, bool on, bool *ok)
{
	long before = alloc_live();
	struct rn_err e = { 0 };
	bool same = true, failed;
	int rc;

	alloc_fail(k, on);
	rc = fn(arg, &same, on ? NULL : &e);
	failed = alloc_stop();
	*ok = true;
	if (rc && !failed)
		*ok = fail("it fails although every allocation succeeds: %s", e.msg);
	else if (rc && rc != RN_ENOMEM)
		*ok = fail("allocation %llu: the code is %d: %s", (unsigned long long)k, rc, e.msg);
	else if (rc && !on && (e.code != rc || !*e.msg))
		*ok = fail("allocation %llu: returned %d, but the error holds %d, '%s'",
			   (unsigned long long)k, rc, e.code, e.msg);
	else if (!rc && !same)
		*ok = fail("allocation %llu: success with another result", (unsigned long long)k);
	else if (alloc_live() != before)
		*ok = fail("allocation %llu: %ld blocks are lost (%s)", (unsigned long long)k,
			   alloc_live() - before, rc ? e.msg : "success");
	return failed;
}

uint64_t alloc_runs = 10000, alloc_count;

bool check_every_alloc(call *fn, void *arg)
{
	uint64_t n = 1, step;
	bool ok;

	one(fn, arg, UINT64_MAX, false, &ok); /* what is made once and kept is made here */
	if (!one(fn, arg, UINT64_MAX, false, &ok) && !ok)
		return false;
	while (one(fn, arg, n, true, &ok) && n < 1u << 24) { /* how many are there? */
		if (!ok)
			return false;
		n *= 2;
	}
	step = n / alloc_runs + 1;
	for (n = 1; one(fn, arg, n, false, &ok); n += step) {
		if (!ok)
			return false;
		one(fn, arg, n, true, &ok);
		if (!ok)
			return false;
	}
	alloc_count = n;
	return ok && (n > step || fail("it allocates nothing"));
}

/* ---- one operator ------------------------------------------------------------------------ */

static int evaluate(void *arg, bool *same, struct rn_err *e)
{
	struct trial *t = arg;
	const struct rn_rel *in[MAX_INPUTS];
	struct rn_rel *out;
	int rc;

	memcpy(in, t->in, t->nin * sizeof *in);
	rc = t->node.learns && t->node.op->fit ? trial_fit(t, e) : 0;
	if (!rc)
		rc = rn_eval_node(&quiet, backends[0], &t->node, in, &t->params, &out, e);
	rn_fitted_unref(t->node.fitted);
	t->node.fitted = NULL;
	if (rc)
		return rc;
	alloc_stop();
	*same = rel_same(out, t->out);
	rn_rel_unref(out);
	return 0;
}

bool check_alloc(struct trial *t)
{
	rn_fitted_unref(t->node.fitted); /* it is fitted anew each time */
	t->node.fitted = NULL;
	return check_every_alloc(evaluate, t);
}
