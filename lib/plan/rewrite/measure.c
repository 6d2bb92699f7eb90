/* SPDX-License-Identifier: Apache-2.0
 *
 * What is known of a pattern's data: rows and distinct values of its atoms, exactly; the
 * components into which they fall; and how many rows the joins have as they are written, from a
 * sample.
 *
 * The sample walks through the joins: of the rows of a step a few thousand are drawn, and all that
 * they meet in the next atom are found.  That sees what distinct values cannot: in a graph a walk
 * returns to where it was far more often than to any other node, so cycles have more rows than
 * independent columns would make.  Draws are fixed, so a plan is rewritten alike every time.
 */
#include "pattern.h"

#include "../../rel/key.h"

#include <stdlib.h>
#include <string.h>

/* An earlier atom of the same node in which variable w of it is what v is in a; RN_NONE: none. */
static const struct rn_pattern_atom *twin(const struct rn_pattern *p, uint32_t number, uint32_t col,
					  uint32_t *w)
{
	for (uint32_t a = 0; a < number; a++) {
		*w = p->var[p->atoms[a].first + col];
		if (p->atoms[a].node == p->atoms[number].node && *w != RN_NONE)
			return &p->atoms[a];
	}
	return NULL;
}

static int measure(struct rn_pattern *p, struct rn_rewriting *r, struct rn_pattern_atom *a,
		   uint32_t number, struct rn_err *e)
{
	size_t cols[RN_PATTERN_VARS], n = 0;
	const struct rn_pattern_atom *same = NULL;
	const struct rn_rel *rel;
	bool all = true; /* of one earlier atom */
	uint64_t k = 0;

	RN_TRY(r->content(r->arg, a->node, &rel, e));
	a->rows = (double)rel->rows;
	a->distinct = rn_arena_alloc(&p->arena, RN_PATTERN_VARS * sizeof(double), e);
	if (!a->distinct)
		return RN_ENOMEM;
	for (uint32_t v = 0; v < p->nvars; v++) {
		const struct rn_pattern_atom *t;
		uint32_t w;

		if (!(a->vars >> v & 1))
			continue;
		cols[n] = rn_pattern_column(p, number, v);
		t = twin(p, number, (uint32_t)cols[n], &w);
		all = all && t && (!same || same == t);
		same = t;
		if (!t)
			RN_TRY(rn_rewriting_distinct(r, rel, &cols[n], 1, &k, e));
		a->distinct[v] = t ? t->distinct[w] : (double)k;
		n++;
	}
	if (n && all && __builtin_popcountll(same->vars) == __builtin_popcountll(a->vars)) {
		a->unique = same->unique;
		return 0;
	}
	if (n > 1)
		RN_TRY(rn_rewriting_distinct(r, rel, cols, n, &k, e));
	a->unique = n > 1 ? (double)k : n ? a->distinct[__builtin_ctzll(a->vars)] : rel->rows > 0;
	return 0;
}

/* ---- components ----------------------------------------------------------------------------- */

/* Values of all variables as nodes of a graph, linked where a row has both. */
struct graph {
	const struct rn_rel **rel;    /* by atom */
	struct rn_column **values;    /* columns of one variable, one below the other */
	uint32_t *from;               /* [natoms * nvars] where those of an atom begin there */
	struct rn_buf **number;       /* by variable: the number of each value, RN_NO_ROW for NULL */
	uint32_t *base;               /* [nvars + 1]: values of v are nodes base[v] … base[v + 1] - 1 */
	uint32_t *up, n;
};

/* The numbers of variable v in the rows of atom a. */
static const uint32_t *numbers(const struct rn_pattern *p, const struct graph *g, uint32_t a,
			       uint32_t v)
{
	return (const uint32_t *)g->number[v]->data + g->from[(size_t)a * p->nvars + v];
}

static void graph_fini(struct graph *g, uint32_t nvars)
{
	for (uint32_t v = 0; g->number && v < nvars; v++)
		rn_buf_unref(g->number[v]);
	free(g->number);
	free(g->rel);
	free(g->from);
	free(g->base);
	free(g->up);
}

/* Number the values of variable v over all atoms. */
static int number_values(const struct rn_pattern *p, const struct rn_rewriting *r, struct graph *g,
			 uint32_t v, struct rn_err *e)
{
	struct rn_column *cols[RN_PATTERN_ATOMS], *all = NULL;
	struct rn_groups groups = { 0 };
	struct rn_key key = { .n = 1, .cols = &all };
	uint64_t rows = 0;
	size_t n = 0;
	int rc;

	for (uint32_t a = 0; a < p->natoms; a++) {
		if (!(p->atoms[a].vars >> v & 1))
			continue;
		g->from[(size_t)a * p->nvars + v] = (uint32_t)rows;
		cols[n++] = g->rel[a]->cols[rn_pattern_column(p, a, v)];
		rows += g->rel[a]->rows;
	}
	RN_TRY(rn_column_concat(cols, n, &all, e));
	key.rows = rows;
	rc = rn_group(r->ctx, &key, &groups, e);
	if (!rc) {
		uint32_t *of = groups.of->data;

		for (uint64_t i = 0; all->null && i < rows; i++)
			of[i] = all->null[i] ? RN_NO_ROW : of[i];
		g->number[v] = rn_buf_ref(groups.of);
		g->n += (uint32_t)groups.n;
		g->base[v + 1] = g->n;
	}
	rn_groups_fini(&groups);
	rn_column_unref(all);
	return rc;
}

static uint32_t find(uint32_t *up, uint32_t i)
{
	while (up[i] != i)
		i = up[i] = up[up[i]];
	return i;
}

static void link_rows(const struct rn_pattern *p, struct graph *g, uint32_t a)
{
	uint64_t vars = p->atoms[a].vars;
	uint32_t first = vars ? (uint32_t)__builtin_ctzll(vars) : 0;

	for (uint32_t v = first + 1; v < p->nvars; v++) {
		const uint32_t *x, *y;

		if (!(vars >> v & 1))
			continue;
		x = numbers(p, g, a, first);
		y = numbers(p, g, a, v);
		for (uint64_t i = 0; i < g->rel[a]->rows; i++) {
			uint32_t s, t;

			if (x[i] == RN_NO_ROW || y[i] == RN_NO_ROW)
				continue;
			s = find(g->up, g->base[first] + x[i]);
			t = find(g->up, g->base[v] + y[i]);
			g->up[s < t ? t : s] = s < t ? s : t;
		}
	}
}

/* (sum of sizes)^2 / sum of squared sizes. */
static int count_components(struct graph *g, double *out, struct rn_err *e)
{
	double squares = 0;
	uint32_t *size;

	RN_TRY(rn_calloc(g->n, sizeof *size, "components", &size, e));
	for (uint32_t i = 0; i < g->n; i++)
		size[find(g->up, i)]++;
	for (uint32_t i = 0; i < g->n; i++)
		squares += (double)size[i] * size[i];
	free(size);
	*out = g->n ? (double)g->n * g->n / squares : 1;
	return 0;
}

/* ---- a sample of the joins ------------------------------------------------------------------ */

enum {
	SAMPLE = 4096, /* rows that go on to the next join */
	TRIES = 32,    /* of those that share a value with one of them, so many are looked at */
	FEW = 16,      /* a smaller sample says nothing */
};

struct sample {
	uint64_t draws;
	uint64_t seen;  /* variables */
	uint32_t n;
	uint32_t *id;   /* [2][SAMPLE * nvars]: numbers of the variables' values, now and next */
	double rows;    /* that n stand for */
	uint32_t *ptr, *row; /* rows of an atom by the number of one variable */
	struct match {
		uint32_t left, right;
		float weight;
	} *match;       /* [SAMPLE * TRIES] */
	uint32_t nmatch;
	double weight;  /* of all */
};

static void sample_fini(struct sample *s)
{
	free(s->id);
	free(s->ptr);
	free(s->row);
	free(s->match);
}

/* In [0, 1): the same draws for the same pattern. */
static double draw(struct sample *s)
{
	s->draws = s->draws * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (double)(s->draws >> 11) * 0x1p-53;
}

static uint32_t *ids(const struct rn_pattern *p, const struct sample *s, unsigned which, uint32_t i)
{
	return s->id + ((size_t)which * SAMPLE + i) * p->nvars;
}

static int sample_init(const struct rn_pattern *p, const struct graph *g, struct sample *s,
		       struct rn_err *e)
{
	uint64_t rows = 0, values = 0;
	int rc;

	*s = (struct sample){ .draws = 1 };
	for (uint32_t a = 0; a < p->natoms; a++)
		rows = g->rel[a]->rows > rows ? g->rel[a]->rows : rows;
	for (uint32_t v = 0; v < p->nvars; v++)
		values = g->base[v + 1] - g->base[v] > values ? g->base[v + 1] - g->base[v] : values;
	RN_GOTO(fail, rn_calloc((size_t)2 * SAMPLE * p->nvars, sizeof *s->id, "a sample", &s->id, e));
	RN_GOTO(fail, rn_calloc(values + 2, sizeof *s->ptr, "a sample", &s->ptr, e));
	RN_GOTO(fail, rn_calloc(rows, sizeof *s->row, "a sample", &s->row, e));
	RN_GOTO(fail, rn_calloc((size_t)SAMPLE * TRIES, sizeof *s->match, "a sample", &s->match, e));
	return 0;
fail:
	sample_fini(s);
	return rc;
}

/* s->row: the rows of atom a by the value of variable v. */
static void index_rows(const struct rn_pattern *p, const struct graph *g, uint32_t a, uint32_t v,
		       struct sample *s)
{
	uint32_t values = g->base[v + 1] - g->base[v];
	const uint32_t *id = numbers(p, g, a, v);

	memset(s->ptr, 0, ((size_t)values + 2) * sizeof *s->ptr);
	for (uint64_t i = 0; i < g->rel[a]->rows; i++)
		if (id[i] != RN_NO_ROW)
			s->ptr[id[i] + 2]++;
	for (uint32_t k = 2; k <= values; k++)
		s->ptr[k] += s->ptr[k - 1];
	for (uint64_t i = 0; i < g->rel[a]->rows; i++) /* moves ptr[k + 1] to its end: that of k */
		if (id[i] != RN_NO_ROW)
			s->row[s->ptr[id[i] + 1]++] = (uint32_t)i;
}

static bool meets(const struct rn_pattern *p, const struct graph *g, uint32_t a, uint64_t shared,
		  const uint32_t *left, uint32_t row)
{
	for (uint32_t v = 0; v < p->nvars; v++)
		if (shared >> v & 1 &&
		    (left[v] == RN_NO_ROW || left[v] != numbers(p, g, a, v)[row]))
			return false;
	return true;
}

/* What the rows of the sample meet in atom a. */
static void find_matches(const struct rn_pattern *p, const struct graph *g, uint32_t a,
			 struct sample *s)
{
	uint64_t shared = s->seen & p->atoms[a].vars;
	uint32_t key = RN_NONE;

	s->nmatch = 0;
	s->weight = 0;
	for (uint32_t v = 0; v < p->nvars; v++)
		if (shared >> v & 1 &&
		    (key == RN_NONE || p->atoms[a].distinct[v] > p->atoms[a].distinct[key]))
			key = v;
	if (key != RN_NONE)
		index_rows(p, g, a, key, s);
	for (uint32_t i = 0; i < s->n; i++) {
		const uint32_t *left = ids(p, s, 0, i);
		uint32_t from = 0, n = (uint32_t)g->rel[a]->rows, tries;

		if (key != RN_NONE && left[key] == RN_NO_ROW)
			continue;
		if (key != RN_NONE) {
			from = s->ptr[left[key]];
			n = s->ptr[left[key] + 1] - from;
		}
		tries = n < TRIES ? n : TRIES;
		for (uint32_t k = 0; k < tries; k++) { /* one of each of so many parts */
			uint32_t at = n > tries ? (uint32_t)((k + draw(s)) * n / tries) : k;
			uint32_t row = key == RN_NONE ? at : s->row[from + at];

			if (!meets(p, g, a, shared, left, row))
				continue;
			s->match[s->nmatch++] = (struct match){ i, row, (float)n / (float)tries };
			s->weight += (float)n / (float)tries;
		}
	}
}

/* The next sample: of each of SAMPLE parts of the matches, by weight, one. */
static void take_matches(const struct rn_pattern *p, const struct graph *g, uint32_t a,
			 struct sample *s)
{
	bool all = s->nmatch <= SAMPLE && s->weight <= s->nmatch;
	uint32_t n = all ? s->nmatch : SAMPLE, k = 0;
	double before = 0;

	s->rows *= s->weight / s->n;
	for (uint32_t i = 0; i < n; i++) {
		double at = (i + (all ? 0.5 : draw(s))) * s->weight / n;
		uint32_t *to = ids(p, s, 1, i);

		while (k + 1 < s->nmatch && before + s->match[k].weight <= at)
			before += s->match[k++].weight;
		memcpy(to, ids(p, s, 0, s->match[k].left), p->nvars * sizeof *to);
		for (uint32_t v = 0; v < p->nvars; v++)
			if (p->atoms[a].vars >> v & 1)
				to[v] = numbers(p, g, a, v)[s->match[k].right];
	}
	memcpy(ids(p, s, 0, 0), ids(p, s, 1, 0), (size_t)n * p->nvars * sizeof *s->id);
	s->n = n;
	s->seen |= p->atoms[a].vars;
}

/* The first atom's rows, or some of them. */
static void take_first(const struct rn_pattern *p, const struct graph *g, struct sample *s)
{
	uint64_t rows = g->rel[0]->rows;

	s->n = rows < SAMPLE ? (uint32_t)rows : SAMPLE;
	s->rows = (double)rows;
	s->seen = p->atoms[0].vars;
	for (uint32_t i = 0; i < s->n; i++) {
		uint64_t at = rows > s->n ? (uint64_t)((i + draw(s)) * (double)rows / s->n) : i;

		for (uint32_t v = 0; v < p->nvars; v++)
			if (s->seen >> v & 1)
				ids(p, s, 0, i)[v] = numbers(p, g, 0, v)[at];
	}
}

/* p->joined, as far as the sample reaches. */
static int sample_joins(struct rn_pattern *p, const struct graph *g, struct rn_err *e)
{
	struct sample s;

	RN_TRY(sample_init(p, g, &s, e));
	take_first(p, g, &s);
	for (uint32_t a = 1; a < p->natoms && s.n >= FEW; a++) {
		find_matches(p, g, a, &s);
		if (s.nmatch < FEW)
			break;
		take_matches(p, g, a, &s);
		p->joined[a] = s.rows;
	}
	sample_fini(&s);
	return 0;
}

/* ---- the whole ------------------------------------------------------------------------------ */

/* Rows that this is worth to be known of. */
enum { MAX_LINKED = 8 << 20 };

static int look_at_rows(struct rn_pattern *p, struct rn_rewriting *r, struct rn_err *e)
{
	struct graph g = { 0 };
	double rows = 0;
	int rc;

	p->components = 1;
	for (uint32_t a = 0; a < p->natoms; a++) {
		p->joined[a] = -1;
		rows += p->atoms[a].rows;
	}
	if (rows > MAX_LINKED || !p->nvars)
		return 0;
	RN_GOTO(out, rn_calloc(p->natoms, sizeof(struct rn_rel *), "components", &g.rel, e));
	RN_GOTO(out, rn_calloc((size_t)p->natoms * p->nvars, sizeof *g.from, "components", &g.from,
			       e));
	RN_GOTO(out, rn_calloc(p->nvars, sizeof(struct rn_buf *), "components", &g.number, e));
	RN_GOTO(out, rn_calloc(p->nvars + 1, sizeof *g.base, "components", &g.base, e));
	for (uint32_t a = 0; a < p->natoms; a++)
		RN_GOTO(out, r->content(r->arg, p->atoms[a].node, &g.rel[a], e));
	for (uint32_t v = 0; v < p->nvars; v++)
		RN_GOTO(out, number_values(p, r, &g, v, e));
	RN_GOTO(out, rn_calloc(g.n, sizeof *g.up, "components", &g.up, e));
	for (uint32_t i = 0; i < g.n; i++)
		g.up[i] = i;
	for (uint32_t a = 0; a < p->natoms; a++)
		link_rows(p, &g, a);
	RN_GOTO(out, count_components(&g, &p->components, e));
	rc = sample_joins(p, &g, e);
out:
	graph_fini(&g, p->nvars);
	return rc;
}

/* Where the sample ends, what distinct values say. */
static void fill_joined(struct rn_pattern *p)
{
	struct rn_estimate est, next;

	rn_estimate_atom(p, 0, &est);
	p->joined[0] = est.rows;
	for (uint32_t a = 1; a < p->natoms; a++) {
		double before = est.rows;

		rn_estimate_atom(p, a, &next);
		rn_estimate_join(&est, &next);
		if (p->joined[a] < 0)
			p->joined[a] = before > 0 ? p->joined[a - 1] * est.rows / before : 0;
	}
}

int rn_pattern_measure(struct rn_pattern *p, struct rn_rewriting *r, struct rn_err *e)
{
	for (uint32_t a = 0; a < p->natoms; a++)
		RN_TRY(measure(p, r, &p->atoms[a], a, e));
	RN_TRY(look_at_rows(p, r, e));
	fill_joined(p);
	return 0;
}

