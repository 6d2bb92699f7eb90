/* SPDX-License-Identifier: Apache-2.0
 *
 * Windows of epochs (list_epochs) against the same epochs one by one: losses, parameters and
 * slots have the same bits, also where a loss leaves the finite numbers within a window.  Where
 * epochs are looked at, so have the gauge, which the host reads of predictions that it copies, and
 * what is kept of the best; and both stop after the same epoch.
 */
#include "cuda_test.h"

#include "../../lib/dev/gauge_terms.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 300, EPOCHS = 24, SCALARS = 8 };
#define UNTOLD (-12345.0) /* the loss of an epoch that was not run */

/* The loss is a sum of exponentials under dropout; the step goes down, or, to diverge, up. */
struct descent {
	struct gen g;
	uint32_t loss, gate, step;
	struct gen look; /* predictions of the parameters */
	uint32_t pred;
	struct rn_gauge gauge;
};

struct side {
	struct rn_store *params, *states, *kept;
	struct rn_machine *m, *look;
	double loss[EPOCHS], val[EPOCHS];
	double best;
	uint64_t stale;
	uint32_t done;
	bool over; /* by patience */
};

/* Queries of few and of many rows, and one of none. */
static void build_ranks(struct descent *d, const struct window_case *c)
{
	uint32_t n = c->gauge.queries, at = 0, *ptr = calloc(n + 1, sizeof *ptr);
	uint32_t *rows = calloc(c->rows, sizeof *rows), *of = calloc(c->rows, sizeof *of);
	struct rn_err e;

	for (uint32_t i = 0; i < c->rows; i++)
		of[i] = 1 + gen_below(&d->look, 1 + gen_below(&d->look, n - 1));
	for (uint32_t q = 0; q < n; q++) {
		for (uint32_t i = 0; i < c->rows; i++)
			if (of[i] == q)
				rows[at++] = i;
		ptr[q + 1] = at;
	}
	gen_must(rn_gauge_by_rank(&d->gauge, c->gauge.k, ptr, rows, n, &e), &e, "ranks");
	free(ptr);
	free(rows);
	free(of);
}

static void build_parts(struct descent *d, const struct window_case *c)
{
	struct rn_gauge *g = &d->gauge;
	struct rn_err e;

	if (rn_gauge_is_by_class(g->kind))
		gen_must(rn_gauge_by_class(g, g->sign ? 3 : g->width + 1, &e), &e, "classes");
	else if (c->gauge.queries > 1)
		build_ranks(d, c);
	else if (c->gauge.queries)
		gen_must(rn_gauge_by_rank(g, c->gauge.k, NULL, NULL, 0, &e), &e, "ranks");
}

/* Labels or true values of the rows, a third of which are NULL if some are. */
static void build_gauge(struct descent *d, const struct window_case *c)
{
	struct rn_gauge *g = &d->gauge;
	bool classes = c->gauge.kind == RN_GAUGE_RIGHT || rn_gauge_is_by_class(c->gauge.kind) ||
		       rn_gauge_is_by_rank(c->gauge.kind);
	struct rn_err e;

	gen_must(rn_gauge_init(g, c->rows, classes || c->gauge.nulls, c->gauge.truth, &e), &e, "a gauge");
	g->kind = c->gauge.kind;
	g->width = c->gauge.width;
	g->sign = c->gauge.sign;
	g->total = 12.5;
	for (uint32_t i = 0; i < c->rows; i++) {
		bool counts = !c->gauge.nulls || i % 3;

		g->counted += counts;
		if (g->label)
			g->label[i] = !counts ? RN_NONE : classes ? gen_below(&d->look, g->width + 1) : 0;
		if (g->truth)
			g->truth[i] = gen_real(&d->look);
	}
	build_parts(d, c);
}

/* Zeros of either sign are equal; what is not a number may have a sign. */
static void spoil(float *x, const struct window_case *c)
{
	for (size_t i = 0; i < (size_t)c->rows * c->gauge.width; i += 2)
		if (x[i] == 0)
			x[i] = -0.0f;
	if (c->gauge.nan)
		x[(size_t)c->rows / 2 * c->gauge.width] = -NAN;
}

/* Predictions: whole numbers (so that classes tie), times what a sum of parameters has behind the
 * point, so that they go up and down. */
static void build_look(struct descent *d, const struct window_case *c)
{
	uint32_t width = WIDTH, map[WIDTH], x, p, whole;
	struct gen *g = &d->look;
	struct rn_err err;

	*g = (struct gen){ .state = 7 };
	rn_prog_init(&g->p);
	if (!c->rows)
		return;
	for (uint32_t f = 0; f < WIDTH; f++)
		map[f] = f % c->gauge.width;
	p = gen_need(rn_prog_param(&g->p, RN_V_PARAM, 0, 1, &width, &err), &err);
	p = gen_need(rn_prog_fsum(&g->p, p, map, 1, &c->gauge.width, &err), &err);
	p = gen_need(rn_prog_ew_imm(&g->p, RN_EW_MUL, p, 1.7, false, &err), &err);
	whole = gen_need(rn_prog_ew1(&g->p, RN_EW_ROUND, p, &err), &err);
	p = gen_need(rn_prog_ew2(&g->p, RN_EW_SUB, p, whole, &err), &err);
	x = gen_ties(g, c->rows, c->gauge.width);
	spoil(g->p.vals[x].data->data, c);
	d->pred = gen_need(rn_prog_ew2(&g->p, RN_EW_MUL, x, p, &err), &err);
	g->p.vals[d->pred].keep = true;
	build_gauge(d, c);
}

static void build(struct descent *d, const struct window_case *c)
{
	struct rn_drop drop = { rn_rng_key("window", 1), RN_NONE, RN_NONE };
	struct rn_inst i = rn_inst_init(c->op);
	uint32_t width = WIDTH, mask, e;
	struct gen *g = &d->g;
	struct rn_err err;

	*g = (struct gen){ .state = 1 };
	rn_prog_init(&g->p);
	i.flags = c->flags;
	i.nin = c->op == RN_P_ADAM ? 4 : 3;
	i.in[0].val = gen_need(rn_prog_param(&g->p, RN_V_PARAM, 0, 1, &width, &err), &err);
	mask = gen_need(rn_prog_dropmask(&g->p, 1, 1, &width, 0.3, &drop, &err), &err);
	e = gen_need(rn_prog_ew2(&g->p, RN_EW_MUL, i.in[0].val, mask, &err), &err);
	e = gen_need(rn_prog_ew1(&g->p, RN_EW_EXP, e, &err), &err);
	d->loss = gen_need(rn_prog_fsum(&g->p, e, NULL, 0, NULL, &err), &err);
	g->p.vals[d->loss].keep = true;
	d->gate = g->p.vals[d->loss].inst;
	e = gen_need(rn_prog_ew2(&g->p, RN_EW_MUL, e, mask, &err), &err);
	i.in[1].val = c->up ? gen_need(rn_prog_ew1(&g->p, RN_EW_NEG, e, &err), &err) : e;
	for (uint32_t k = 2; k < i.nin; k++)
		i.in[k].val = gen_need(rn_prog_param(&g->p, RN_V_STATE, k - 2, 1, &width, &err),
				       &err);
	memcpy(i.f, c->f, sizeof c->f);
	d->step = g->p.ninsts;
	gen_need(rn_prog_add(&g->p, &i, 1, 1, &width, &err), &err);
	build_look(d, c);
}

static void unbuild(struct descent *d)
{
	rn_prog_fini(&d->g.p);
	rn_prog_fini(&d->look.p);
	rn_gauge_fini(&d->gauge);
}

static void open_side(struct side *s, struct rn_backend *b, const struct descent *d)
{
	double start[WIDTH];
	struct rn_err e;
	uint32_t k;

	*s = (struct side){ .best = NAN };
	for (uint32_t t = 0; t < EPOCHS; t++) {
		s->val[t] = NAN;
		s->loss[t] = UNTOLD;
	}
	for (uint32_t i = 0; i < WIDTH; i++)
		start[i] = (double)(i % 17) / 16 - 0.5;
	gen_must(rn_store_new(b, RN_F32, &s->params, &e), &e, "a store");
	gen_must(rn_store_new(b, RN_F32, &s->states, &e), &e, "a store");
	gen_must(rn_store_add(s->params, WIDTH, &k, &e), &e, "a parameter");
	gen_must(rn_store_set(s->params, 0, start, &e), &e, "a parameter");
	for (unsigned i = 0; i < 2; i++)
		gen_must(rn_store_add(s->states, WIDTH, &k, &e), &e, "a slot");
	gen_must(rn_machine_new(&d->g.p, b, RN_F32, s->params, s->states, NULL, &s->m, &e), &e,
		 "a machine");
	gen_must(rn_store_new(b, RN_F32, &s->kept, &e), &e, "a store");
	gen_must(rn_store_add(s->kept, WIDTH, &k, &e), &e, "what is kept");
	if (d->gauge.rows)
		gen_must(rn_machine_new(&d->look.p, b, RN_F32, s->params, NULL, NULL, &s->look, &e), &e,
			 "a machine that looks");
}

static void close_side(struct side *s)
{
	rn_machine_free(s->look);
	rn_machine_free(s->m);
	rn_store_free(s->kept);
	rn_store_free(s->params);
	rn_store_free(s->states);
}

/* What changes from step to step: the rate, and what the optimizers correct by. */
static void scalars(const struct window_case *c, uint32_t epoch, double f[SCALARS])
{
	memcpy(f, c->f, sizeof c->f);
	f[0] /= 1 + epoch / 10.0;
	if (c->op == RN_P_SGD) {
		f[RN_S_FIRST] = epoch == 0;
	} else {
		f[RN_A_BC1] = 1 - pow(f[RN_A_BETA1], epoch + 1.0);
		f[RN_A_BC2] = 1 - pow(f[RN_A_BETA2], epoch + 1.0);
	}
}

static bool is_looked_at(const struct window_case *c, uint32_t epoch)
{
	return c->rows && (epoch % c->every == 0 || epoch == EPOCHS);
}

/* After epoch number t, from 0: what the trainer does on the host. */
static void look(struct side *s, const struct descent *d, const struct window_case *c, uint32_t t)
{
	float *pred = calloc((size_t)c->rows * c->gauge.width, sizeof *pred), x[WIDTH];
	struct rn_err e;
	double val;
	bool better;

	gen_must(rn_machine_run(s->look, 0, d->look.p.ninsts, 0, &e), &e, "a look");
	gen_must(rn_machine_get_f32(s->look, d->pred, pred, &e), &e, "predictions");
	val = s->val[t] = rn_gauge_read(&d->gauge, pred);
	free(pred);
	better = !isnan(val) && (isnan(s->best) || (c->gauge.higher ? val > s->best : val < s->best));
	s->stale = better ? 0 : s->stale + 1;
	s->over = c->patience && s->stale >= c->patience;
	if (!better && val != s->best)
		return;
	s->best = val;
	gen_must(rn_store_get_f32(s->params, 0, x, &e), &e, "parameters");
	gen_must(rn_store_set_f32(s->kept, 0, x, &e), &e, "parameters");
}

static bool one_by_one(struct side *s, const struct descent *d, const struct window_case *c)
{
	double f[SCALARS];
	struct rn_err e;

	for (uint32_t t = s->done; t < EPOCHS && !s->over; t++) {
		gen_must(rn_machine_run(s->m, 0, d->gate + 1, t, &e), &e, "forward");
		gen_must(rn_machine_get_f64(s->m, d->loss, &s->loss[t], &e), &e, "a loss");
		if (!isfinite(s->loss[t]))
			return false;
		scalars(c, t, f);
		rn_machine_set_f(s->m, d->step, f);
		gen_must(rn_machine_run(s->m, d->gate + 1, d->g.p.ninsts, t, &e), &e, "a step");
		s->done++;
		if (is_looked_at(c, t + 1))
			look(s, d, c, t);
	}
	return true;
}

static struct rn_watch watch_of(struct side *s, const struct descent *d, const struct window_case *c,
				struct rn_copy *copy)
{
	*copy = (struct rn_copy){ s->kept->items[0].data, s->params->items[0].data, WIDTH };
	return (struct rn_watch){
		.list = rn_machine_list(s->look),
		.pred = rn_machine_ptr(s->look, d->pred, NULL),
		.gauge = &d->gauge,
		.every = c->every,
		.last = EPOCHS,
		.higher = c->gauge.higher,
		.patience = c->patience,
		.best = s->best,
		.stale = s->stale,
		.keep = copy,
		.nkeep = 1,
		.val = s->val + s->done,
	};
}

/* Windows of 1, 2, 3, … epochs. */
static bool by_windows(struct side *s, const struct descent *d, const struct window_case *c)
{
	double f[EPOCHS][SCALARS];
	struct rn_watch watch;
	struct rn_copy copy;
	struct rn_err e;

	for (uint32_t n = 1; s->done < EPOCHS && !s->over; n++) {
		uint32_t left = EPOCHS - s->done;
		struct rn_window w = { .first = s->done, .n = n < left ? n : left, .gate = d->gate,
				       .f = f[0], .loss = s->loss + s->done };

		if (c->rows) {
			watch = watch_of(s, d, c, &copy);
			w.watch = &watch;
		}
		for (uint32_t t = 0; t < w.n; t++)
			scalars(c, w.first + t, f[t]);
		gen_must(rn_machine_epochs(s->m, &w, &e), &e, "a window");
		s->done += w.done;
		if (c->rows) {
			s->best = watch.best;
			s->stale = watch.stale;
			s->over = c->patience && s->stale >= c->patience;
		}
		if (w.done < w.n && !s->over)
			return false;
	}
	return true;
}

/* It shall diverge inside a window: then steps of its later epochs are there to be left out. */
static bool begins_window(uint32_t epoch)
{
	uint32_t at = 0;

	for (uint32_t n = 1; at < epoch; n++)
		at += n;
	return at == epoch && epoch < EPOCHS;
}

/* Some looks find something better, others do not; with patience the rest is not run. */
static bool is_telling(const struct side *s, const struct window_case *c)
{
	unsigned better = 0, worse = 0;
	double best = NAN;

	for (uint32_t t = 0; t < s->done; t++) {
		double x = s->val[t];

		if (isnan(x))
			continue;
		if (isnan(best) || (c->gauge.higher ? x > best : x < best)) {
			better++;
			best = x;
		} else {
			worse++;
		}
	}
	return !c->rows || c->gauge.nan || (better > 1 && worse && (s->done < EPOCHS) == (c->patience || c->up));
}

static bool same_store(struct rn_store *a, struct rn_store *b, uint32_t n)
{
	float x[WIDTH], y[WIDTH];
	struct rn_err e;

	for (uint32_t k = 0; k < n; k++) {
		gen_must(rn_store_get_f32(a, k, x, &e), &e, "a store");
		gen_must(rn_store_get_f32(b, k, y, &e), &e, "a store");
		if (memcmp(x, y, sizeof x))
			return false;
	}
	return true;
}

/* After windows an epoch of its own sees that epoch's draws. */
static bool same_after(struct side *a, struct side *b, const struct descent *d)
{
	struct side *on[] = { a, b };
	double x[2];
	struct rn_err e;

	for (unsigned k = 0; k < 2; k++) {
		gen_must(rn_machine_run(on[k]->m, 0, d->gate + 1, 3, &e), &e, "forward");
		gen_must(rn_machine_get_f64(on[k]->m, d->loss, &x[k], &e), &e, "a loss");
	}
	return !memcmp(&x[0], &x[1], sizeof x[0]);
}

const char *window_check(struct rn_backend *b, const struct window_case *c)
{
	static char why[200];
	struct descent d = { 0 };
	struct side one, many;
	bool whole, same;

	build(&d, c);
	open_side(&one, b, &d);
	open_side(&many, b, &d);
	*why = 0;
	whole = one_by_one(&one, &d, c);
	same = by_windows(&many, &d, c) == whole && one.done == many.done;
	if (whole == c->up || begins_window(one.done) || !is_telling(&one, c))
		snprintf(why, sizeof why, "the case is no good: it ends after %u epochs", one.done);
	else if (!same)
		snprintf(why, sizeof why, "%u epochs instead of %u", many.done, one.done);
	else if (memcmp(one.loss, many.loss, sizeof one.loss))
		snprintf(why, sizeof why, "the losses differ");
	else if (memcmp(one.val, many.val, sizeof one.val) || memcmp(&one.best, &many.best, sizeof one.best))
		snprintf(why, sizeof why, "what was looked at differs: %.17g, %.17g", one.best, many.best);
	else if (one.stale != many.stale || !same_store(one.kept, many.kept, 1))
		snprintf(why, sizeof why, "what was kept differs: %d, %d", (int)one.stale, (int)many.stale);
	else if (!same_store(one.params, many.params, 1) || !same_store(one.states, many.states, 2))
		snprintf(why, sizeof why, "parameters or slots differ after %u epochs", one.done);
	else if (!same_after(&one, &many, &d))
		snprintf(why, sizeof why, "an epoch after them differs");
	close_side(&one);
	close_side(&many);
	unbuild(&d);
	return *why ? why : NULL;
}
