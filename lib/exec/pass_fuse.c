/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuse: elementwise instructions over the same rows and width become one
 * program of RN_P_ELEM, run block by block in registers.
 *
 * Instructions are visited backward.  One whose every reader is in one group
 * joins that group, unless it is read through a feature map, is an output, or
 * the group would need more registers, steps or inputs than there are; else it
 * starts a group of its own and is stored.  So the last instruction of a group
 * makes its only result.  Numbers are copied into every group that reads them.
 * One that is cheap, and read by a few groups (forward and backward), is done again in each
 * rather than stored, where that keeps no more alive: a ReLU, a dropout mask.
 * Views of the same rows and width are looked through, and rows that only elementwise
 * instructions gather are read where they are.  A sum over segments is the last instruction
 * of a group too, so that what is summed is never stored: join, map and aggregate in one pass,
 * without a value per edge.  No bit changes: the same functions are applied to the same operands.
 */
#include "pass_util.h"

#include <stdlib.h>
#include <string.h>

struct fuse {
	struct rn_prog *p;
	bool same_stage;
	uint32_t *group;   /* by instruction: number of the group's last instruction, or RN_NONE */
	struct roots {
		uint32_t n, root[4];
	} *copied;         /* by instruction: the groups that each do it themselves; n 0: none */
	uint32_t *first;   /* users of a value: a list through … */
	struct user {
		uint32_t inst, fmap, next;
	} *users;          /* … these */
	uint32_t *steps_before; /* optimizer steps before an instruction */
	bool *absorbed;    /* by value: what a gather makes that is read through */
	bool *sum;         /* by instruction: a sum that can make what it adds */
	struct rn_segelem maps;
	struct rn_err *e;
};

/* ---- one group as code -------------------------------------------------------------- */

enum { MAX_STEPS = RN_ELEM_STEPS, NO_REG = 255 };

/* A group being written down.  Steps first use a register each (`virt`), which
 * are then mapped to real ones by when they are used last. */
struct code {
	const struct fuse *f;
	uint32_t root;
	uint32_t nsteps, nin, ndrops;
	struct rn_elem_step step[MAX_STEPS];
	uint32_t made[MAX_STEPS]; /* instruction of each step, or RN_NONE: a load or a number */
	struct rn_in in[RN_MAX_IN];
	struct rn_drop drop[MAX_STEPS];
	uint32_t nregs;
};

static int add_step(struct code *c, struct rn_elem_step s, uint32_t made)
{
	if (c->nsteps == MAX_STEPS)
		return -1;
	s.dst = (uint8_t)c->nsteps;
	c->step[c->nsteps] = s;
	c->made[c->nsteps] = made;
	return (int)c->nsteps++;
}

/* The step that loads an input. */
static int load(struct code *c, struct rn_in in)
{
	uint32_t k = 0;

	if (c->f->absorbed[in.val]) {
		const struct rn_inst *g = &c->f->p->insts[c->f->p->vals[in.val].inst];

		in.val = g->in[0].val;
		in.rmap = g->idx[0];
	}
	while (k < c->nin && memcmp(&c->in[k], &in, sizeof in))
		k++;
	if (k == c->nin) {
		if (k == RN_MAX_IN)
			return -1;
		c->in[c->nin++] = in;
	}
	for (uint32_t s = 0; s < c->nsteps; s++)
		if (c->step[s].fn == RN_EW_LOAD && c->step[s].a == k)
			return (int)s;
	return add_step(c, (struct rn_elem_step){ .fn = RN_EW_LOAD, .a = (uint8_t)k }, RN_NONE);
}

static int number(struct code *c, double x)
{
	for (uint32_t s = 0; s < c->nsteps; s++)
		if (c->step[s].fn == RN_EW_IMM && !memcmp(&c->step[s].imm, &x, sizeof x))
			return (int)s;
	return add_step(c, (struct rn_elem_step){ .fn = RN_EW_IMM, .imm = x }, RN_NONE);
}

static bool in_group(const struct fuse *f, uint32_t j, uint32_t root)
{
	for (uint32_t k = 0; k < f->copied[j].n; k++)
		if (f->copied[j].root[k] == root)
			return true;
	return f->group[j] == root;
}

/* The step that makes instruction j, its operands before it; -1: too large. */
static int write_inst(struct code *c, uint32_t j)
{
	const struct rn_prog *p = c->f->p;
	const struct rn_inst *i = &p->insts[j];
	struct rn_elem_step s = { .fn = (uint8_t)i->fn, .imm = i->imm };
	uint8_t *reg[3] = { &s.a, &s.b, &s.c };

	for (uint32_t k = 0; k < c->nsteps; k++)
		if (c->made[k] == j)
			return (int)k;
	for (uint32_t k = 0; k < i->nin; k++) {
		const struct rn_val *v = &p->vals[i->in[k].val];
		int at;

		if (rn_pass_is_imm(p, i->in[k].val))
			at = number(c, p->insts[v->inst].imm);
		else if (v->kind == RN_V_INST && in_group(c->f, v->inst, c->root))
			at = write_inst(c, v->inst);
		else
			at = load(c, i->in[k]);
		if (at < 0)
			return -1;
		*reg[k] = (uint8_t)at;
	}
	if (i->fn == RN_EW_DROPMASK) {
		s.drop = (uint8_t)c->ndrops;
		c->drop[c->ndrops++] = i->drop;
	}
	return add_step(c, s, j);
}

static unsigned step_arity(const struct rn_elem_step *s)
{
	return s->fn == RN_EW_LOAD ? 0 : rn_ew_info[s->fn].arity;
}

/* Real registers: one is free again behind the last step that reads it. */
static bool assign_registers(struct code *c)
{
	uint32_t last[MAX_STEPS] = { 0 };
	uint8_t real[MAX_STEPS];
	bool taken[RN_ELEM_REGS] = { false };

	for (uint32_t k = 0; k < c->nsteps; k++) {
		const uint8_t reg[3] = { c->step[k].a, c->step[k].b, c->step[k].c };

		for (unsigned r = 0; r < step_arity(&c->step[k]); r++)
			last[reg[r]] = k;
	}
	c->nregs = 0;
	for (uint32_t k = 0; k < c->nsteps; k++) {
		struct rn_elem_step *s = &c->step[k];
		uint8_t *reg[3] = { &s->a, &s->b, &s->c };
		uint32_t free_reg = 0;

		for (unsigned r = 0; r < step_arity(s); r++) {
			uint8_t virt = *reg[r];

			*reg[r] = real[virt];
			if (last[virt] == k)
				taken[real[virt]] = false;
		}
		while (free_reg < RN_ELEM_REGS && taken[free_reg])
			free_reg++;
		if (free_reg == RN_ELEM_REGS)
			return false;
		taken[free_reg] = true;
		real[k] = (uint8_t)free_reg;
		s->dst = (uint8_t)free_reg;
		c->nregs = free_reg + 1 > c->nregs ? free_reg + 1 : c->nregs;
	}
	return true;
}

static bool write_group(const struct fuse *f, uint32_t root, struct code *c)
{
	const struct rn_inst *i;

	c->f = f;
	c->root = root;
	c->nsteps = c->nin = c->ndrops = 0;
	if (!f->sum[root])
		return write_inst(c, root) >= 0 && assign_registers(c);
	i = &f->p->insts[root];
	return write_inst(c, f->p->vals[i->in[0].val].inst) >= 0 && assign_registers(c) &&
	       (i->in[1].val == RN_NONE || c->nin < RN_MAX_IN);
}

/* Does a sum make what it adds itself? */
static bool has_program(const struct fuse *f, uint32_t j)
{
	const struct rn_val *v;

	if (!f->sum[j])
		return false;
	v = &f->p->vals[f->p->insts[j].in[0].val];
	return v->kind == RN_V_INST && in_group(f, v->inst, j);
}

/* ---- groups ------------------------------------------------------------------------- */

static bool add_root(struct roots *r, uint32_t root)
{
	for (uint32_t k = 0; k < r->n; k++)
		if (r->root[k] == root)
			return true;
	if (r->n == sizeof r->root / sizeof *r->root)
		return false;
	r->root[r->n++] = root;
	return true;
}

/* The groups that the users of j are in; false where one is in none, or there are too many. */
static bool users_groups(const struct fuse *f, uint32_t j, struct roots *out)
{
	const struct rn_val *v = &f->p->vals[f->p->insts[j].out];

	out->n = 0;
	for (uint32_t u = f->first[f->p->insts[j].out]; u != RN_NONE; u = f->users[u].next) {
		uint32_t its = f->users[u].inst;
		const struct roots *r = &f->copied[its];
		uint32_t g = f->sum[its] ? its : f->group[its];

		if (f->users[u].fmap != RN_NONE || (!r->n && g == RN_NONE) ||
		    (f->sum[its] && f->p->insts[its].in[0].val != f->p->insts[j].out))
			return false;
		for (uint32_t k = 0; k < (r->n ? r->n : 1); k++)
			if (!add_root(out, r->n ? r->root[k] : g))
				return false;
	}
	for (uint32_t k = 0; k < out->n; k++) {
		const struct rn_inst *root = &f->p->insts[out->root[k]];
		const struct rn_val *o = &f->p->vals[f->sum[out->root[k]] ? root->in[0].val
									  : root->out];

		if (o->rows != v->rows || o->width != v->width ||
		    f->steps_before[out->root[k]] != f->steps_before[j] ||
		    (f->same_stage && root->stage != f->p->insts[j].stage))
			return false;
	}
	return out->n > 0;
}

/* A mask takes as long to draw as to read from memory, and far longer than from a cache. */
enum { MASK_CACHED = 4 << 20 };

/* May it be done more than once?  A mask reads nothing; of a cheap function one operand may
 * have as many numbers as the result, which then lives on in place of the result. */
static bool is_cheap(const struct fuse *f, const struct rn_inst *i)
{
	const struct rn_val *o = &f->p->vals[i->out];
	uint32_t large = 0;

	if (i->fn == RN_EW_DROPMASK)
		return (uint64_t)o->rows * o->width * sizeof(float) > MASK_CACHED;
	if (i->fn == RN_EW_POW || (i->fn >= RN_EW_EXP && i->fn <= RN_EW_LOG1P) ||
	    (i->fn >= RN_EW_TANH && i->fn <= RN_EW_ERF))
		return false;
	for (uint32_t k = 0; k < i->nin; k++) {
		const struct rn_val *v = &f->p->vals[i->in[k].val];
		bool mask = v->kind == RN_V_INST && f->p->insts[v->inst].op == RN_P_EW &&
			    f->p->insts[v->inst].fn == RN_EW_DROPMASK;

		large += !mask && v->kind == RN_V_INST && v->rows == o->rows && v->rows > 1 &&
			 v->width >= o->width && !f->absorbed[i->in[k].val];
	}
	return large <= 1;
}

static bool all_fit(const struct fuse *f, const struct roots *r)
{
	struct code c;

	for (uint32_t k = 0; k < r->n; k++)
		if (!write_group(f, r->root[k], &c))
			return false;
	return true;
}

static void place(struct fuse *f, uint32_t j)
{
	const struct rn_inst *i = &f->p->insts[j];
	struct roots r;

	if (i->op != RN_P_EW || i->fn == RN_EW_IMM)
		return;
	if (!f->p->vals[i->out].keep && users_groups(f, j, &r)) {
		if (r.n == 1) {
			f->group[j] = r.root[0];
			if (all_fit(f, &r))
				return;
		} else if (is_cheap(f, i)) {
			f->copied[j] = r;
			if (all_fit(f, &r))
				return;
			f->copied[j].n = 0;
		}
	}
	f->group[j] = j;
}

/* One function of stored operands: it stays what it is. */
static bool is_single(const struct code *c)
{
	for (uint32_t k = 0; k + 1 < c->nsteps; k++)
		if (c->step[k].fn != RN_EW_LOAD)
			return false;
	for (uint32_t k = 0; k < c->nin; k++)
		if (c->in[k].rmap != RN_NONE)
			return false;
	return true;
}

/* Instruction j becomes the program of its group. */
static int finish(struct fuse *f, uint32_t j)
{
	struct rn_inst *i = &f->p->insts[j], sum = *i;
	struct rn_elem m = { 0 };
	struct code c;

	if (f->group[j] != j && !has_program(f, j))
		return 0;
	if (!write_group(f, j, &c))
		return rn_err_set(f->e, RN_EBUG, "a single elementwise instruction does not fit");
	if (!f->sum[j] && is_single(&c))
		return 0;
	m.nsteps = c.nsteps;
	m.nregs = c.nregs;
	m.result = c.step[c.nsteps - 1].dst;
	m.steps = rn_arena_alloc(&f->p->arena, c.nsteps * sizeof *m.steps, f->e);
	m.ndrops = c.ndrops;
	m.drops = rn_arena_alloc(&f->p->arena, (c.ndrops ? c.ndrops : 1) * sizeof *m.drops, f->e);
	if (!m.steps || !m.drops)
		return RN_ENOMEM;
	memcpy(m.steps, c.step, c.nsteps * sizeof *m.steps);
	memcpy(m.drops, c.drop, c.ndrops * sizeof *m.drops);
	i->op = RN_P_ELEM;
	i->elem = m;
	i->nin = c.nin;
	memcpy(i->in, c.in, c.nin * sizeof *c.in);
	i->drop.row = i->drop.col = RN_NONE;
	return f->sum[j] ? rn_segelem_make(&f->maps, f->p, &sum, i, f->e) : 0;
}

/* Operands of elementwise instructions see through views that move nothing. */
static void bypass_views(struct rn_prog *p)
{
	for (uint32_t j = 0; j < p->ninsts; j++)
		for (uint32_t k = 0; p->insts[j].op == RN_P_EW && k < p->insts[j].nin; k++) {
			uint32_t *val = &p->insts[j].in[k].val;

			while (p->vals[*val].kind == RN_V_INST &&
			       p->insts[p->vals[*val].inst].op == RN_P_VIEW) {
				uint32_t src = p->insts[p->vals[*val].inst].in[0].val;

				if (p->vals[src].rows != p->vals[*val].rows ||
				    p->vals[src].width != p->vals[*val].width)
					break;
				*val = src;
			}
		}
}

static int list_users(struct fuse *f)
{
	uint32_t n = 0, nuses = 0, steps = 0;

	for (uint32_t j = 0; j < f->p->ninsts; j++)
		nuses += f->p->insts[j].nin;
	RN_TRY(rn_calloc(nuses, sizeof *f->users, "fusion", &f->users, f->e));
	RN_TRY(rn_calloc(f->p->nvals, sizeof *f->first, "fusion", &f->first, f->e));
	RN_TRY(rn_calloc(f->p->ninsts, sizeof *f->steps_before, "fusion", &f->steps_before, f->e));
	memset(f->first, 0xFF, f->p->nvals * sizeof *f->first);
	for (uint32_t j = 0; j < f->p->ninsts; j++) {
		const struct rn_inst *i = &f->p->insts[j];

		f->steps_before[j] = steps;
		steps += rn_pass_is_step(i);
		for (uint32_t k = 0; k < i->nin; k++) {
			if (i->in[k].val == RN_NONE)
				continue;
			f->users[n] = (struct user){ j, i->in[k].fmap, f->first[i->in[k].val] };
			f->first[i->in[k].val] = n++;
		}
	}
	return 0;
}

/* Up to how many elementwise instructions read rows of so many bytes where they are: from
 * memory each of them pays for every row, from a cache it is as good as in order. */
enum { TABLE_CACHED = 1 << 20, READERS_CACHED = 16, READERS = 4 };

/* Is all that reads a gather's result elementwise, row by row? */
static bool is_absorbed(const struct fuse *f, const struct rn_inst *i)
{
	const struct rn_val *v = &f->p->vals[i->out], *x = &f->p->vals[i->in[0].val];
	uint32_t readers = 0, j = v->inst;

	if (i->op != RN_P_GATHER || v->keep || v->rows == 1)
		return false;
	for (uint32_t u = f->first[i->out]; u != RN_NONE; u = f->users[u].next) {
		const struct rn_inst *n = &f->p->insts[f->users[u].inst];

		readers++;
		if (n->op != RN_P_EW || f->p->vals[n->out].rows != v->rows ||
		    f->steps_before[f->users[u].inst] != f->steps_before[j] ||
		    (f->same_stage && n->stage != i->stage))
			return false;
	}
	return readers <= ((uint64_t)x->rows * x->width * sizeof(float) <= TABLE_CACHED
				   ? READERS_CACHED : READERS);
}

static int find_absorbed(struct fuse *f)
{
	RN_TRY(rn_calloc(f->p->nvals, sizeof *f->absorbed, "fusion", &f->absorbed, f->e));
	for (uint32_t j = 0; j < f->p->ninsts; j++)
		if (is_absorbed(f, &f->p->insts[j]))
			f->absorbed[f->p->insts[j].out] = true;
	return 0;
}

/* A sum of rows that are all there, and that it adds about once each, may make them itself.
 * What it adds more often is made once: rows of nodes, of which there are few. */
static int find_sums(struct fuse *f)
{
	const struct rn_prog *p = f->p;

	RN_TRY(rn_calloc(p->ninsts, sizeof *f->sum, "fusion", &f->sum, f->e));
	for (uint32_t j = 0; j < p->ninsts; j++) {
		const struct rn_inst *i = &p->insts[j];
		uint64_t rows;

		if (i->op != RN_P_SPMM)
			continue;
		rows = p->vals[i->in[0].val].rows;
		f->sum[j] = rows > 1 && rn_pass_terms(p, i) <= rows + rows / 4 &&
			    i->in[1].val != i->in[0].val && !rn_pass_has_no_row(p, i->idx[1]);
	}
	return 0;
}

static int bury_dead(struct rn_prog *p, struct rn_err *e)
{
	bool *live;
	int rc;

	RN_TRY(rn_pass_live(p, NULL, 0, &live, e));
	rc = rn_pass_bury(p, live, e);
	free(live);
	return rc;
}

int rn_pass_fuse(struct rn_prog *p, bool same_stage, struct rn_err *e)
{
	struct rn_err local;
	struct fuse f = { .p = p, .same_stage = same_stage, .e = e ? e : &local };
	int rc;

	bypass_views(p);
	RN_TRY(bury_dead(p, f.e));
	rc = list_users(&f);
	if (!rc)
		rc = rn_calloc(p->ninsts, sizeof *f.group, "fusion", &f.group, f.e);
	if (!rc)
		rc = find_sums(&f);
	if (!rc)
		rc = find_absorbed(&f);
	if (!rc)
		rc = rn_calloc(p->ninsts, sizeof *f.copied, "fusion", &f.copied, f.e);
	if (!rc) {
		memset(f.group, 0xFF, p->ninsts * sizeof *f.group);
		for (uint32_t j = p->ninsts; j-- > 0;)
			place(&f, j);
		/* Backward: a group is written before the operands that it reads change. */
		for (uint32_t j = p->ninsts; j-- > 0 && !rc;)
			rc = finish(&f, j);
	}
	rn_segelem_fini(&f.maps);
	free(f.sum);
	free(f.absorbed);
	free(f.group);
	free(f.copied);
	free(f.steps_before);
	free(f.first);
	free(f.users);
	return rc ? rc : bury_dead(p, f.e);
}
