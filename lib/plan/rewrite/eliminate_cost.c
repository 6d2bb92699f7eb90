/* SPDX-License-Identifier: Apache-2.0
 *
 * What eliminating variables costs, and what the join of all atoms does: rows that are gone
 * through once, when content is bound, and flops of an epoch, forward and back.
 */
#include "eliminate.h"

#include <math.h>
#include <string.h>

/* ---- factors that are the same for all rows ------------------------------------------------ */

static void note_name(void *arg, const char *name)
{
	(void)name;
	*(bool *)arg = true;
}

/* Atoms whose embedding is a map that reads no column and no part: it is computed for one row,
 * whatever joins and products are made of it. */
int rn_elim_find_fixed(struct rn_elim *el, struct rn_err *e)
{
	el->fixed = 0;
	for (uint32_t a = 0; a < el->p.natoms; a++) {
		const struct rn_node *n = rn_rewriting_node(el->r, el->p.atoms[a].node);
		struct rn_eexpr *x;
		bool reads = false;

		if (strcmp(n->op->name, "map") || el->r->facts[el->p.atoms[a].node].leaf ||
		    rn_rewriting_schema(el->r, n->in[0].node)->nparts)
			continue;
		RN_TRY(rn_eexpr_parse(rn_node_string(n, "expr"), &x, e));
		rn_eexpr_columns(x, note_name, &reads);
		if (!reads && !rn_eexpr_has_random(x))
			el->fixed |= UINT64_C(1) << a;
		rn_eexpr_free(x);
	}
	return 0;
}

static void note_col(void *arg, const char *name, bool col)
{
	(void)name;
	*(bool *)arg |= col;
}

static bool is_fixed(const struct rn_elim *el, const struct rn_efactor *f)
{
	bool cols = false;

	rn_efactor_names(f, note_col, &cols);
	for (uint32_t a = 0; a < el->p.natoms && !cols; a++)
		if (f->origins >> a & 1 && !(el->fixed >> a & 1))
			return false;
	return !cols;
}

bool rn_elim_varies(const struct rn_elim *el, uint32_t a)
{
	for (size_t i = 0; el->term && i < el->term->n; i++)
		if (el->term->factors[i].origins >> a & 1 &&
		    !is_fixed(el, &el->term->factors[i]))
			return true;
	return false;
}

static double width(const struct rn_elim *el)
{
	const struct rn_schema *s = rn_rewriting_schema(el->r, el->agg);
	double n = 1;

	for (unsigned d = 0; s->nparts && d < s->parts[0].shape.rank; d++)
		n *= s->parts[0].shape.dim[d];
	return n;
}

/* ---- the cost ---------------------------------------------------------------------------------- */

/* Parts that are the same for all rows are multiplied first, and that is one. */
unsigned rn_elim_factors(const struct rn_elim *el, const struct rn_elim_chain *c)
{
	unsigned n = 0;
	bool any = false;

	for (uint32_t i = 0; i < c->n; i++) {
		n += el->tables[c->tables[i]].varies;
		any = any || el->tables[c->tables[i]].emb;
	}
	return n ? n : any;
}

/* From the last join back: rows of a table that no row of a later join meets are not computed
 * (restrict). */
double rn_elim_flops(const struct rn_elim *el, const struct rn_elim_chain *c)
{
	unsigned parts = rn_elim_factors(el, c);
	double flops = c->est.rows * parts * parts, used[RN_ELIM_TABLES], steps = 1;

	for (uint32_t k = el->ntables; k-- > 0;) {
		const struct rn_elim_table *t = &el->tables[k];
		double rows = t->into == RN_NONE ? c->est.rows : used[t->into];
		double share = t->est.rows > rows ? rows / t->est.rows : 1;

		used[k] = t->joined * share; /* rows of its own join */
		flops += used[k] * t->parts * t->parts;
		steps += t->parts > 0;
	}
	return flops * width(el) + steps * RN_ELIM_STEP;
}

/* The joins as they are written, and the product of all factors of their rows. */
struct rn_elim_cost rn_elim_enumeration(const struct rn_elim *el)
{
	const struct rn_pattern *p = &el->p;
	double last = p->joined[p->natoms - 1], squares = 0;
	struct rn_elim_cost c = { last * RN_ELIM_GROUP + RN_ELIM_STAGE * (p->natoms - 1), 0 };

	for (uint32_t a = 1; a < p->natoms; a++)
		c.rows += p->joined[a];
	for (size_t i = 0; i < el->terms.n; i++) {
		double n = 0;

		for (size_t k = 0; k < el->terms.terms[i].n; k++)
			n += !is_fixed(el, &el->terms.terms[i].factors[k]);
		squares += n > 0 ? n * n : 0.5; /* one row, taken so often */
	}
	if (el->x)
		c.flops = last * squares * width(el) + RN_ELIM_STEP;
	return c;
}

/* The index arrays of a join of so many rows are refused beyond --mem. */
bool rn_elim_is_refused(const struct rn_elim *el)
{
	const struct rn_ctx *c = el->r->ctx;
	double most = 0;

	for (uint32_t a = 1; a < el->p.natoms; a++)
		most = fmax(most, el->p.joined[a]);
	return c->mem_limit && most * 2 * sizeof(uint32_t) > (double)c->mem_limit;
}
