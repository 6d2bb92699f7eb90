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
 * Views of the same rows and width are looked through.  No bit changes: the
 * same functions are applied to the same operands.
 */
#include "pass_util.h"

#include <stdlib.h>
#include <string.h>

struct fuse {
	struct rn_prog *p;
	bool same_stage;
	uint32_t *group;   /* by instruction: number of the group's last instruction, or RN_NONE */
	uint32_t *first;   /* users of a value: a list through … */
	struct user {
		uint32_t inst, fmap, next;
	} *users;          /* … these */
	uint32_t *steps_before; /* optimizer steps before an instruction */
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

	while (k < c->nin && (c->in[k].val != in.val || c->in[k].fmap != in.fmap))
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
		else if (v->kind == RN_V_INST && c->f->group[v->inst] == c->root)
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
	c->f = f;
	c->root = root;
	c->nsteps = c->nin = c->ndrops = 0;
	return write_inst(c, root) >= 0 && assign_registers(c);
}

/* ---- groups ------------------------------------------------------------------------- */

/* The group that all users of j are in, or RN_NONE. */
static uint32_t users_group(const struct fuse *f, uint32_t j)
{
	const struct rn_val *v = &f->p->vals[f->p->insts[j].out];
	uint32_t g = RN_NONE;

	for (uint32_t u = f->first[f->p->insts[j].out]; u != RN_NONE; u = f->users[u].next) {
		uint32_t its = f->group[f->users[u].inst];
		const struct rn_val *o;

		if (its == RN_NONE || (g != RN_NONE && its != g) || f->users[u].fmap != RN_NONE)
			return RN_NONE;
		o = &f->p->vals[f->p->insts[its].out];
		if (o->rows != v->rows || o->width != v->width)
			return RN_NONE;
		g = its;
	}
	return g;
}

static void place(struct fuse *f, uint32_t j)
{
	const struct rn_inst *i = &f->p->insts[j];
	struct code c;
	uint32_t g;

	if (i->op != RN_P_EW || i->fn == RN_EW_IMM)
		return;
	g = f->p->vals[i->out].keep ? RN_NONE : users_group(f, j);
	if (g != RN_NONE && f->steps_before[g] == f->steps_before[j] &&
	    (!f->same_stage || f->p->insts[g].stage == i->stage)) {
		f->group[j] = g;
		if (write_group(f, g, &c))
			return;
	}
	f->group[j] = j;
}

/* One function of stored operands: it stays what it is. */
static bool is_single(const struct code *c)
{
	for (uint32_t k = 0; k + 1 < c->nsteps; k++)
		if (c->step[k].fn != RN_EW_LOAD)
			return false;
	return true;
}

/* Instruction j becomes the program of its group. */
static int finish(struct fuse *f, uint32_t j)
{
	struct rn_inst *i = &f->p->insts[j];
	struct rn_elem m = { 0 };
	struct code c;

	if (f->group[j] != j)
		return 0;
	if (!write_group(f, j, &c))
		return rn_err_set(f->e, RN_EBUG, "a single elementwise instruction does not fit");
	if (is_single(&c))
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
	return 0;
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
	if (!rc) {
		memset(f.group, 0xFF, p->ninsts * sizeof *f.group);
		for (uint32_t j = p->ninsts; j-- > 0;)
			place(&f, j);
		/* Backward: a group is written before the operands that it reads change. */
		for (uint32_t j = p->ninsts; j-- > 0 && !rc;)
			rc = finish(&f, j);
	}
	free(f.group);
	free(f.steps_before);
	free(f.first);
	free(f.users);
	return rc ? rc : bury_dead(p, f.e);
}
