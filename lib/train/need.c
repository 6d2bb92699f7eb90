/* SPDX-License-Identifier: Apache-2.0 */
#include "need.h"

#include "../base/opt.h"
#include "../base/str.h"

enum { LARGEST = 4, NEED_TEXT = 32 };

/* As --mem is written, rounded up. */
static const char *text(uint64_t bytes, char buf[NEED_TEXT])
{
	uint64_t unit = bytes >= 16 << 20 ? 1 << 20 : 1 << 10;

	snprintf(buf, NEED_TEXT, "%llu%c", (unsigned long long)((bytes + unit - 1) / unit),
		 unit == 1 << 20 ? 'M' : 'K');
	return buf;
}

/* "; the largest results at once: 'H1' (agg) 40M, a gradient of 'L2' (map) 40M" */
static int add_largest(struct rn_fit *f, const struct rn_plan *plan, struct rn_str *s,
		       struct rn_err *e)
{
	struct rn_prog *p = &f->prog;
	uint32_t at, n, vals[LARGEST];
	char size[NEED_TEXT];
	uint64_t peak;

	RN_TRY(rn_prog_peak(p, &peak, &at, e));
	RN_TRY(rn_prog_largest(p, at, vals, LARGEST, &n, e));
	for (uint32_t k = 0; k < n; k++) {
		const struct rn_val *v = &p->vals[vals[k]];
		const struct rn_node *node = &plan->nodes[p->insts[v->inst].stage];

		rn_str_addf(s, "%s%s'%s' (%s) %s", k ? ", " : "; the largest results at once: ",
			    v->inst >= f->nforward ? "a gradient of " : "", node->name,
			    node->op->name,
			    text((uint64_t)v->rows * v->width * sizeof(float), size));
	}
	return 0;
}

int rn_fit_refuse(struct rn_fit *f, const struct rn_ctx *c, const struct rn_plan *plan,
		  uint64_t results, struct rn_err *e)
{
	char all[NEED_TEXT], r[NEED_TEXT], k[NEED_TEXT], i[NEED_TEXT], w[NEED_TEXT];
	char mem[RN_SIZE_TEXT];
	struct rn_prog_fixed x;
	struct rn_str s = RN_STR_INIT;
	int rc;

	RN_TRY(rn_prog_fixed(&f->prog, &x, e));
	text(results + x.constants + x.indices + x.stored, all);
	rn_str_addf(&s, "fit '%s' needs %s, more than --mem %s: %s for results, %s for constants, "
		    "%s for index arrays, %s for parameters", f->name, all,
		    rn_size_text(c->mem_limit, mem), text(results, r), text(x.constants, k),
		    text(x.indices, i), text(x.stored, w));
	rc = add_largest(f, plan, &s, e);
	rn_str_addf(&s, "; it wants --mem %s%s, or fewer rows or narrower embeddings there", all,
		    rn_rewrite_on(c, RN_RW_RECOMPUTE) ? "" : ", less without --no-rewrite recompute");
	if (!rc)
		rc = rn_str_check(&s, e);
	if (!rc)
		rc = rn_err_set(e, RN_ENOMEM, "%s", s.s);
	rn_str_fini(&s);
	return rc;
}

int rn_fit_check_mem(struct rn_fit *f, const struct rn_ctx *c, const struct rn_plan *plan,
		     struct rn_err *e)
{
	struct rn_prog_fixed x;
	uint64_t peak;
	uint32_t at;

	if (!c->mem_limit)
		return 0;
	RN_TRY(rn_prog_peak(&f->prog, &peak, &at, e));
	RN_TRY(rn_prog_fixed(&f->prog, &x, e));
	if (peak + x.constants + x.indices + x.stored <= c->mem_limit)
		return 0;
	return rn_fit_refuse(f, c, plan, peak, e);
}
