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

/* One buffer, and what it is. */
struct big {
	uint64_t bytes;
	uint32_t val;
};

static void put_big(struct big *list, uint32_t *n, uint64_t bytes, uint32_t val)
{
	uint32_t k;

	for (k = *n; k > 0 && list[k - 1].bytes < bytes; k--)
		if (k < LARGEST)
			list[k] = list[k - 1];
	if (k < LARGEST)
		list[k] = (struct big){ bytes, val };
	*n += *n < LARGEST;
}

/* The first instruction that reads a value; RN_NONE: none. */
static uint32_t reader(const struct rn_prog *p, uint32_t val)
{
	for (uint32_t i = 0; i < p->ninsts; i++)
		for (uint32_t k = 0; k < p->insts[i].nin; k++)
			if (p->insts[i].in[k].val == val)
				return i;
	return RN_NONE;
}

static uint64_t bytes_of(const struct rn_val *v)
{
	return (uint64_t)v->rows * v->width * sizeof(float);
}

/* "'H1' (agg) 40M", "a gradient of 'L2' (map) 40M", "constants of 'x' (encode) 80M" */
static void add_big(const struct rn_need *d, const struct rn_plan *plan, const struct big *b,
		    struct rn_str *s)
{
	const struct rn_prog *p = d->prog;
	const struct rn_val *v = &p->vals[b->val];
	bool made = v->kind == RN_V_INST;
	uint32_t inst = made ? v->inst : reader(p, b->val);
	const struct rn_node *node;
	char size[NEED_TEXT];

	node = &plan->nodes[p->insts[inst].stage];
	rn_str_addf(s, "%s'%s' (%s) %s",
		    v->kind == RN_V_CONST ? "constants of " :
		    !made		  ? "parameters of " :
		    v->inst >= d->nforward ? "a gradient of " : "", node->name, node->op->name,
		    text(b->bytes, size));
}

/* "; the largest results at once: …"; `fixed`: what is no result, too: "; the largest: …" */
static int add_largest(const struct rn_need *d, const struct rn_plan *plan, bool fixed,
		       struct rn_str *s, struct rn_err *e)
{
	struct rn_prog *p = d->prog;
	uint32_t at, n, vals[LARGEST], nbig = 0;
	struct big list[LARGEST];
	uint64_t peak;

	RN_TRY(rn_prog_peak(p, &peak, &at, e));
	RN_TRY(rn_prog_largest(p, at, vals, LARGEST, &n, e));
	for (uint32_t k = 0; k < n; k++)
		put_big(list, &nbig, bytes_of(&p->vals[vals[k]]), vals[k]);
	for (uint32_t v = 0; fixed && v < p->nvals; v++)
		if (p->vals[v].kind != RN_V_INST && reader(p, v) != RN_NONE)
			put_big(list, &nbig, bytes_of(&p->vals[v]), v);
	for (uint32_t k = 0; k < nbig; k++) {
		rn_str_add(s, k ? ", " : fixed ? "; the largest: " : "; the largest results at once: ");
		add_big(d, plan, &list[k], s);
	}
	return 0;
}

int rn_need_refuse(const struct rn_need *d, const struct rn_need_here *n, const struct rn_ctx *c,
		   const struct rn_plan *plan, struct rn_err *e)
{
	char all[NEED_TEXT], r[NEED_TEXT], k[NEED_TEXT], i[NEED_TEXT], w[NEED_TEXT], o[NEED_TEXT];
	struct rn_str s = RN_STR_INIT;
	char mem[RN_SIZE_TEXT];
	int rc;

	text(n->results + n->constants + n->indices + n->stored + n->others, all);
	rn_str_addf(&s, "%s '%s' needs %s, more than --mem %s: %s for results, %s for constants, "
		    "%s for index arrays, %s for parameters", d->what, d->name, all,
		    rn_size_text(c->mem_limit, mem), text(n->results, r), text(n->constants, k),
		    text(n->indices, i), text(n->stored, w));
	if (n->others)
		rn_str_addf(&s, ", %s for the other runs", text(n->others, o));
	rc = add_largest(d, plan, false, &s, e);
	rn_str_addf(&s, "; it wants --mem %s%s, or fewer rows or narrower embeddings there", all,
		    rn_rewrite_on(c, RN_RW_RECOMPUTE) ? "" : ", less without --no-rewrite recompute");
	if (!rc)
		rc = rn_str_check(&s, e);
	if (!rc)
		rc = rn_err_set(e, RN_ENOMEM, "%s", s.s);
	rn_str_fini(&s);
	return rc;
}

struct rn_need rn_fit_need(struct rn_fit *f)
{
	return (struct rn_need){ "fit", f->name, &f->prog, f->nforward, f->nback, 0 };
}

uint64_t rn_need_scratch(const struct rn_prog *p, struct rn_backend *b, const uint32_t *part_of,
			 uint32_t q)
{
	uint64_t most = 0;

	for (uint32_t i = 0; b->scratch && i < p->ninsts; i++) {
		struct rn_kargs a = { .prog = p, .inst = &p->insts[i] };
		size_t n = part_of && part_of[i] != q ? 0 : b->scratch(b, &a, RN_F32);

		most = n > most ? n : most;
	}
	return most;
}

/* ---- on a device ------------------------------------------------------------------------- */

int rn_need_there(struct rn_prog *p, struct rn_backend *b, struct rn_need_there *t,
		  struct rn_err *e)
{
	struct rn_prog_fixed x;
	uint32_t at;

	*t = (struct rn_need_there){ .scratch = rn_need_scratch(p, b, NULL, 0) };
	RN_TRY(rn_prog_peak(p, &t->results, &at, e));
	RN_TRY(rn_prog_fixed(p, &x, e));
	t->stored = x.stored;
	for (uint32_t v = 0; v < p->nvals; v++)
		if (p->vals[v].kind == RN_V_CONST)
			t->constants += bytes_of(&p->vals[v]);
	for (uint32_t i = 0; i < p->nidx; i++)
		t->indices += p->idx[i].n * sizeof(uint32_t);
	return 0;
}

/* What it needs there, and what would make it less, into s. */
static int add_need(const struct rn_need *d, const struct rn_ctx *c, struct rn_backend *b,
		    const struct rn_plan *plan, struct rn_str *s, struct rn_err *e)
{
	char r[NEED_TEXT], k[NEED_TEXT], i[NEED_TEXT], w[NEED_TEXT], x[NEED_TEXT], all[NEED_TEXT];
	struct rn_need_there t;

	RN_TRY(rn_need_there(d->prog, b, &t, e));
	text(t.results + t.constants + t.indices + t.scratch + t.stored + d->watch, all);
	rn_str_addf(s, "%s '%s' needs %s there: %s for results, %s for constants, %s for index arrays, %s "
		    "for scratch, %s for parameters", d->what, d->name, all, text(t.results, r),
		    text(t.constants, k), text(t.indices, i), text(t.scratch, x), text(t.stored, w));
	if (d->watch)
		rn_str_addf(s, ", %s for the metric and the best parameters", text(d->watch, all));
	RN_TRY(add_largest(d, plan, true, s, e));
	rn_str_addf(s, "; it helps to have fewer rows or narrower embeddings there, to put stages on the "
		    "cpu (--placement staged --device-map STAGE=cpu) or all (--device cpu)%s",
		    rn_rewrite_on(c, RN_RW_RECOMPUTE) ? "" : ", or to leave out --no-rewrite recompute");
	return rn_str_check(s, e);
}

/* To the message in e: what is needed, and what helps. */
static int add_what_helps(const struct rn_need *d, const struct rn_ctx *c, struct rn_backend *b,
			  const struct rn_plan *plan, struct rn_err *e)
{
	struct rn_str s = RN_STR_INIT;
	int rc;

	rn_str_addf(&s, "%s; ", e->msg);
	rc = add_need(d, c, b, plan, &s, e);
	if (!rc)
		rc = rn_err_set(e, RN_ENOMEM, "%s", s.s);
	rn_str_fini(&s);
	return rc;
}

static const char *phase(const struct rn_need *d, uint32_t inst)
{
	return inst < d->nforward ? "forward" : inst < d->nback ? "backward" : "step";
}

int rn_need_explain(const struct rn_need *d, uint32_t inst, int rc, const struct rn_ctx *c,
		    struct rn_backend *b, const struct rn_plan *plan, struct rn_err *e)
{
	const struct rn_node *n;

	if (!e)
		return rc;
	if (rc == RN_ENOMEM)
		return b->memory ? add_what_helps(d, c, b, plan, e) : rc;
	if (rc != RN_EDEV)
		return rc;
	if (inst == RN_NONE)
		return rn_err_prefix(e, rc, "%s '%s'", d->what, d->name);
	n = &plan->nodes[d->prog->insts[inst].stage];
	return rn_err_prefix(e, rc, "stage '%s' (%s), %s of %s '%s'", n->name, n->op->name,
			     phase(d, inst), d->what, d->name);
}

int rn_need_lack(const struct rn_need *d, uint64_t want, uint64_t left, uint64_t total,
		 const struct rn_ctx *c, struct rn_backend *b, const struct rn_plan *plan,
		 struct rn_err *e)
{
	struct rn_err why = { 0 };
	int rc;

	rc = rn_err_set(&why, RN_ENOMEM, "device '%s': out of memory: %llu bytes are wanted beside the "
			"parameters, %llu of %llu are free", b->name, (unsigned long long)want,
			(unsigned long long)left, (unsigned long long)total);
	rc = rn_need_explain(d, RN_NONE, rc, c, b, plan, &why);
	return rn_err_set(e, rc, "%s", why.msg);
}
