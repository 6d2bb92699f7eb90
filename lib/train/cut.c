/* SPDX-License-Identifier: Apache-2.0 */
#include "cut.h"
#include "place.h"

#include <stdlib.h>
#include <string.h>

enum { LARGE = 1 << 20 }; /* bytes of a value */

enum rn_phase rn_cut_phase(const struct rn_fit *f, uint32_t i)
{
	return i < f->nforward ? RN_FORWARD : i < f->nback ? RN_BACKWARD : RN_STEP;
}

uint32_t rn_cut_root(const struct rn_prog *p, uint32_t v)
{
	return rn_prog_root(p, v);
}

/* ---- parts ---------------------------------------------------------------------------------- */

/* Nodes of the plan in order of first appearance; rank[node]: its place there. */
static int find_nodes(struct rn_cut *c, const struct rn_prog *p, uint32_t nnodes, uint32_t **rank,
		      struct rn_err *e)
{
	RN_TRY(rn_calloc(nnodes, sizeof *c->nodes, "stages", &c->nodes, e));
	RN_TRY(rn_calloc(nnodes, sizeof **rank, "stages", rank, e));
	memset(*rank, 0xff, nnodes * sizeof **rank);
	for (uint32_t i = 0; i < p->ninsts; i++) {
		uint32_t node = p->insts[i].stage;

		if (p->insts[i].op == RN_P_VIEW || (*rank)[node] != RN_NONE)
			continue;
		(*rank)[node] = c->nnodes;
		c->nodes[c->nnodes++] = node;
	}
	return 0;
}

/* Seconds, roughly: what matters is how nodes compare. */
static double cost_of(double flops, double bytes)
{
	return 1e-6 + flops / 2e10 + bytes / 1e10;
}

/* Does it take at most n runs of consecutive nodes to stay below `most` in each?  first[k]: the
 * first node of run k. */
static uint32_t runs_below(const double *cost, uint32_t n, double most, uint32_t *first)
{
	uint32_t runs = 0;
	double sum = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (!i || sum + cost[i] > most) {
			if (first)
				first[runs] = i;
			runs++;
			sum = 0;
		}
		sum += cost[i];
	}
	return runs;
}

/* Cut the nodes into nparts runs so that the dearest is as cheap as can be; then split those
 * of several nodes until there are nparts.  first[nparts] */
static void balance(const double *cost, uint32_t n, uint32_t nparts, uint32_t *first)
{
	double low = 0, high = 0;
	uint32_t k;

	for (uint32_t i = 0; i < n; i++)
		high += cost[i];
	for (int i = 0; i < 60; i++) {
		double most = (low + high) / 2;
		bool fits = runs_below(cost, n, most, NULL) <= nparts;

		for (uint32_t m = 0; m < n && fits; m++)
			fits = cost[m] <= most;
		*(fits ? &high : &low) = most;
	}
	k = runs_below(cost, n, high, first);
	for (uint32_t i = 0; k < nparts; i++) {
		uint32_t end = i + 1 < k ? first[i + 1] : n;

		if (end - first[i] < 2)
			continue;
		memmove(&first[i + 2], &first[i + 1], (k - i - 1) * sizeof *first);
		first[i + 1] = first[i] + 1;
		k++;
	}
}

static void add_name(struct rn_cut_part *p, const char *node)
{
	size_t n = strlen(p->name);

	if (n + strlen(node) + 3 <= sizeof p->name)
		snprintf(p->name + n, sizeof p->name - n, n ? ", %s" : "%s", node);
	else if (n + 5 < sizeof p->name && (n < 3 || strcmp(p->name + n - 3, "...")))
		strcpy(p->name + n, n ? " ..." : "...");
}

static int node_costs(const struct rn_cut *c, const struct rn_prog *p, const uint32_t *rank,
		      double **out, struct rn_err *e)
{
	RN_TRY(rn_calloc(c->nnodes, sizeof **out, "stages", out, e));
	for (uint32_t i = 0; i < p->ninsts; i++) {
		double flops, bytes;

		if (p->insts[i].op == RN_P_VIEW)
			continue;
		rn_inst_cost(p, &p->insts[i], &flops, &bytes);
		(*out)[rank[p->insts[i].stage]] += cost_of(flops, bytes);
	}
	return 0;
}

/* `parts` runs of nodes; 0: one of each. */
static int choose_parts(struct rn_cut *c, const struct rn_prog *p, const struct rn_plan *plan,
			const uint32_t *rank, uint32_t parts, struct rn_err *e)
{
	uint32_t *first = NULL;
	double *cost = NULL;
	int rc;

	c->nparts = parts && parts < c->nnodes ? parts : c->nnodes;
	RN_TRY(rn_calloc(c->nparts, sizeof *c->parts, "stages", &c->parts, e));
	RN_GOTO(out, node_costs(c, p, rank, &cost, e));
	RN_GOTO(out, rn_calloc(c->nparts, sizeof *first, "stages", &first, e));
	balance(cost, c->nnodes, c->nparts, first);
	for (uint32_t q = 0; q < c->nparts; q++) {
		uint32_t end = q + 1 < c->nparts ? first[q + 1] : c->nnodes;

		c->parts[q].nodes = c->nodes + first[q];
		c->parts[q].nnodes = end - first[q];
		for (uint32_t i = first[q]; i < end; i++)
			add_name(&c->parts[q], plan->nodes[c->nodes[i]].name);
	}
out:
	free(first);
	free(cost);
	return rc;
}

static void count_rows(struct rn_cut_part *part, const struct rn_prog *p, uint32_t inst)
{
	uint32_t rows = p->vals[p->insts[inst].out].rows;

	part->rows = rows > part->rows ? rows : part->rows;
}

static int assign(struct rn_cut *c, const struct rn_prog *p, const uint32_t *rank,
		  struct rn_err *e)
{
	RN_TRY(rn_calloc(p->ninsts, sizeof *c->part_of, "stages", &c->part_of, e));
	for (uint32_t i = 0; i < p->ninsts; i++) {
		struct rn_cut_part *part = c->parts;
		double flops, bytes;

		c->part_of[i] = RN_NONE;
		if (p->insts[i].op == RN_P_VIEW)
			continue;
		while (rank[p->insts[i].stage] >= (size_t)(part->nodes - c->nodes) + part->nnodes)
			part++;
		c->part_of[i] = (uint32_t)(part - c->parts);
		rn_inst_cost(p, &p->insts[i], &flops, &bytes);
		part->ninsts++;
		part->flops += flops;
		part->bytes += bytes;
		count_rows(part, p, i);
	}
	return 0;
}

/* ---- what crosses the cut ------------------------------------------------------------------ */

static uint64_t align_up(uint64_t n)
{
	return (n + RN_ALIGN - 1) & ~(uint64_t)(RN_ALIGN - 1);
}

static uint64_t val_bytes(const struct rn_val *v)
{
	return (uint64_t)v->rows * v->width * sizeof(float);
}

/* It will have a place. */
static void share(struct rn_cut *c, const struct rn_prog *p, uint32_t v)
{
	if (c->place[v] != RN_UNSHARED)
		return;
	c->place[v] = 0;
	c->parts[c->part_of[p->vals[v].inst]].out += val_bytes(&p->vals[v]);
}

/* Large values, too: processes that run in turn then have one place for what each needs for
 * itself, and not one each. */
static void place_large(struct rn_cut *c, const struct rn_prog *p)
{
	for (uint32_t v = 0; v < p->nvals; v++)
		if (p->vals[v].kind == RN_V_INST && rn_cut_root(p, v) == v &&
		    val_bytes(&p->vals[v]) >= LARGE)
			c->place[v] = 0;
}

/* Part q reads value v, which has a place where another part makes it.  last[v]: 1 + the last part
 * that did; each is counted once. */
static void read_value(struct rn_cut *c, const struct rn_prog *p, uint32_t q, uint32_t v,
		       uint32_t *last)
{
	if (v == RN_NONE)
		return;
	v = rn_cut_root(p, v);
	if (p->vals[v].kind != RN_V_INST || c->part_of[p->vals[v].inst] == q || last[v] == q + 1)
		return;
	last[v] = q + 1;
	share(c, p, v);
	c->parts[q].in += val_bytes(&p->vals[v]);
}

static void read_inputs(struct rn_cut *c, const struct rn_prog *p, uint32_t q, uint32_t *last)
{
	for (uint32_t i = 0; i < p->ninsts; i++)
		for (uint32_t k = 0; c->part_of[i] == q && k < p->insts[i].nin; k++)
			read_value(c, p, q, p->insts[i].in[k].val, last);
}

/* Values that one part makes and another reads, and what the coordinator reads.  `forward`: as
 * for rn_place_values. */
static int place_values(struct rn_cut *c, const struct rn_prog *p, uint32_t forward,
			uint32_t result, struct rn_err *e)
{
	uint32_t *last;

	result = rn_cut_root(p, result);
	RN_TRY(rn_calloc(p->nvals, sizeof *c->place, "stages", &c->place, e));
	for (uint32_t i = 0; i < p->nvals; i++)
		c->place[i] = RN_UNSHARED;
	RN_TRY(rn_calloc(p->nvals, sizeof *last, "stages", &last, e));
	for (uint32_t q = 0; q < c->nparts; q++)
		read_inputs(c, p, q, last);
	free(last);
	if (p->vals[result].kind == RN_V_INST)
		share(c, p, result);
	place_large(c, p);
	return rn_place_values(c, p, forward, result, e);
}

int rn_cut_make(const struct rn_fit *f, const struct rn_plan *plan, uint32_t parts,
		uint64_t reserve, struct rn_cut *out, struct rn_err *e)
{
	const struct rn_prog *p = &f->prog;
	uint32_t *rank = NULL;
	int rc;

	memset(out, 0, sizeof *out);
	RN_GOTO(out, find_nodes(out, p, plan->nnodes, &rank, e));
	RN_GOTO(out, choose_parts(out, p, plan, rank, parts, e));
	out->size = align_up(out->nparts * reserve);
	RN_GOTO(out, assign(out, p, rank, e));
	rc = place_values(out, p, f->nforward, f->loss, e);
out:
	free(rank);
	if (rc)
		rn_cut_fini(out);
	return rc;
}

/* The part that has the node; RN_NONE: none. */
static uint32_t part_with(const struct rn_cut *c, uint32_t node)
{
	for (uint32_t q = 0; q < c->nparts; q++)
		for (uint32_t i = 0; i < c->parts[q].nnodes; i++)
			if (c->parts[q].nodes[i] == node)
				return q;
	return RN_NONE;
}

static uint32_t part_of_input(const struct rn_cut *c, const struct rn_prog *p,
			      const struct rn_inst *i)
{
	for (uint32_t k = 0; k < i->nin; k++) {
		uint32_t v = i->in[k].val;

		v = v == RN_NONE ? v : rn_cut_root(p, v);
		if (v != RN_NONE && p->vals[v].kind == RN_V_INST)
			return c->part_of[p->vals[v].inst];
	}
	return 0;
}

int rn_cut_like(const struct rn_cut *like, const struct rn_prog *p, uint32_t val,
		struct rn_cut *out, struct rn_err *e)
{
	int rc;

	memset(out, 0, sizeof *out);
	out->nparts = like->nparts;
	RN_GOTO(out, rn_calloc(out->nparts, sizeof *out->parts, "stages", &out->parts, e));
	RN_GOTO(out, rn_calloc(p->ninsts, sizeof *out->part_of, "stages", &out->part_of, e));
	for (uint32_t i = 0; i < p->ninsts; i++) {
		uint32_t q = part_with(like, p->insts[i].stage);

		out->part_of[i] = p->insts[i].op == RN_P_VIEW ? RN_NONE
				  : q != RN_NONE ? q : part_of_input(out, p, &p->insts[i]);
		if (out->part_of[i] != RN_NONE)
			count_rows(&out->parts[out->part_of[i]], p, i);
	}
	rc = place_values(out, p, p->ninsts, val, e);
out:
	if (rc)
		rn_cut_fini(out);
	return rc;
}

void rn_cut_fini(struct rn_cut *c)
{
	free(c->parts);
	free(c->nodes);
	free(c->part_of);
	free(c->place);
	memset(c, 0, sizeof *c);
}
