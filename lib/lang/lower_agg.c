/* SPDX-License-Identifier: Apache-2.0
 *
 * Heads with aggregates inside an expression: sqrt(mean(z)), sum(y) / count(y).  One stage
 * `agg` makes all of them, a map behind it the rest.  Aggregates that are one reduction are one
 * expression of that stage: sums and means, which are sums by the number of rows, or
 * maxima and minima, which are maxima of what is negated.  The number of rows is a column.
 */
#include "lowering.h"

#include "../expr/emb.h"
#include "../expr/emb_fn.h"

#include <string.h>

/* Names that no variable has. */
static const char part[] = "\001agg", rows[] = "\001count";

enum how { NO_AGG, SUM, MEAN, MAX, MIN, COUNT };

/* The aggregate that a term is. */
static enum how how_of(const struct rn_term *t)
{
	static const struct {
		const char *name;
		enum how how;
	} names[] = { { "sum", SUM }, { "add", SUM }, { "mean", MEAN }, { "avg", MEAN },
		      { "max", MAX }, { "min", MIN }, { "count", COUNT } };

	if (t->kind != RN_T_CALL || t->arg[0]->kind != RN_T_NAME || t->n != 2 || t->key)
		return NO_AGG;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(t->arg[0]->str, names[i].name))
			return names[i].how;
	return NO_AGG;
}

const char *rn_take_aggregate(const struct rn_term *t, const struct rn_term **of)
{
	static const char *const names[] = { NULL, "sum", "mean", "max", "min", "count" };

	*of = how_of(t) == NO_AGG ? t : t->arg[1];
	return names[how_of(t)];
}

static bool says_weights(const struct rn_term *made)
{
	struct rn_emb_fn fn;

	if (made->kind != RN_T_CALL || made->arg[0]->kind != RN_T_NAME ||
	    !rn_emb_function(made->arg[0]->str, &fn) || !fn.weighs)
		return false;
	for (uint32_t i = 1; i < made->n; i++) {
		const char *key = made->key ? made->key[i] : NULL;

		if (made->arg[i]->kind != RN_T_NONE &&
		    (!key || !strcmp(key, fn.weights[0]) || !strcmp(key, fn.weights[1])))
			return true;
	}
	return false;
}

bool rn_weighs_rows(const struct rn_term *t)
{
	if (t->kind == RN_T_CALL && says_weights(t->arg[0]))
		return true;
	for (uint32_t i = 0; i < t->n && t->kind != RN_T_NAME && t->kind != RN_T_BRACKET; i++)
		if (rn_weighs_rows(t->arg[i]))
			return true;
	return false;
}

/* The first aggregate in t; a bracket has columns. */
static const struct rn_term *first_within(const struct rn_term *t)
{
	const struct rn_term *found = NULL;

	if (how_of(t) != NO_AGG)
		return t;
	for (uint32_t i = 0; i < t->n && !found && t->kind != RN_T_NAME && t->kind != RN_T_BRACKET; i++)
		found = first_within(t->arg[i]);
	return found;
}

bool rn_nests_aggregates(const struct rn_term *t)
{
	return first_within(how_of(t) == NO_AGG ? t : t->arg[1]);
}

/* ---- what stands where ------------------------------------------------------------------------ */

struct splitting {
	struct rn_lowering *l;
	const struct rn_view *v;
	uint32_t nby;                 /* attributes that are grouped by */
	const struct rn_term *const *by;
	bool row;                     /* a group is a row: no aggregate is one */
	struct rn_nested *out;
	const struct rn_term *kinds[COUNT + 1]; /* the first of each */
	const struct rn_term *weighted; /* a mean of rows that count differently */
	uint32_t n;
	struct slot {
		const struct rn_term *of;
		bool negated;
		uint32_t from, width;
	} *slots;                     /* distinct operands of the stage's expression */
	uint32_t width;
};

/* A column outside the aggregates has one value for a group. */
static int check_column(const struct splitting *s, const char *name, const struct rn_term *t)
{
	for (uint32_t i = 0; i < s->nby; i++)
		if (s->by[i]->kind == RN_T_NAME && !strcmp(s->by[i]->str, name))
			return 0;
	return rn_diag_error(s->l->d, t->at, t->end, "'%s' stands outside the aggregates and is no attribute of "
			     "the head: a group has several of it", name);
}

static int check_bracket(const struct splitting *s, const struct rn_term *t)
{
	const char **names = NULL;
	uint32_t n = 0, cap = 0;

	RN_TRY(rn_text_vars(s->l, t, true, &n, &cap, &names));
	for (uint32_t i = 0; i < n; i++)
		RN_TRY(check_column(s, names[i], t));
	return 0;
}

/* Inside an aggregate is none, and outside is nothing that only rows have. */
static int check_term(struct splitting *s, const struct rn_term *t)
{
	enum how how = how_of(t);
	const struct rn_term *inner;

	if (t->kind == RN_T_NAME)
		return rn_diag_error(s->l->d, t->at, t->end, "'%s' stands outside the aggregates: a group has several "
				     "rows, so sum, mean, max or min it, too", t->str);
	if (t->kind == RN_T_BRACKET)
		return check_bracket(s, t);
	if (how != NO_AGG) {
		inner = first_within(t->arg[1]);
		if (inner)
			return rn_diag_error(s->l->d, inner->at, inner->end, "an aggregate within another one: compute it in "
					     "a rule of its own");
		s->kinds[how] = s->kinds[how] ? s->kinds[how] : t;
		if (how == MEAN && rn_weighs_rows(t->arg[1]))
			s->weighted = t;
		return 0;
	}
	for (uint32_t i = t->kind == RN_T_CALL && t->arg[0]->kind == RN_T_NAME; i < t->n; i++) {
		const char *key = t->kind == RN_T_CALL && t->key ? t->key[i] : NULL;

		if (key && (*key == ';' || !strcmp(key, "per")) && t->arg[i]->kind == RN_T_NAME)
			RN_TRY(check_column(s, t->arg[i]->str, t->arg[i]));
		else
			RN_TRY(check_term(s, t->arg[i]));
	}
	return 0;
}

/* One stage reduces in one way. */
static int check_kinds(const struct splitting *s)
{
	const struct rn_term *sum = s->kinds[SUM] ? s->kinds[SUM] : s->kinds[MEAN];
	const struct rn_term *max = s->kinds[MAX] ? s->kinds[MAX] : s->kinds[MIN];
	const struct rn_term *second = sum && max && max->at > sum->at ? max : sum;

	if (s->weighted && (s->kinds[SUM] || s->kinds[COUNT]))
		return rn_diag_error(s->l->d, s->weighted->at, s->weighted->end, "the mean of a loss whose rows count "
				     "differently stands with other means alone: compute it in a rule of its own");
	if (!sum || !max)
		return 0;
	return rn_diag_error(s->l->d, second->at, second->end, "a head has sums and means, or maxima and minima, and "
			     "count with either: compute this one in a rule of its own");
}

/* ---- the stage ---------------------------------------------------------------------------------- */

/* Values a row; what is wrong with the operand is told when the stage is made. */
static int width_of(struct splitting *s, const struct rn_term *t, bool *known, uint32_t *width)
{
	struct rn_str text = RN_STR_INIT;
	struct rn_einfo info;
	struct rn_eexpr *x;
	int rc = rn_text_emb(s->l, s->v, t, &text, NULL);

	*known = true;
	*width = 1;
	if (!rc && text.failed)
		rc = rn_lowering_nomem(s->l);
	if (!rc && !rn_eexpr_parse(text.s, &x, NULL)) {
		if (!rn_eexpr_infer(x, rn_lowering_schema(s->l, s->v->node), &info, NULL)) {
			*known = info.shape.rank == 1 && rn_shape_known(&info.shape);
			*width = rn_shape_width(&info.shape);
		}
		rn_eexpr_free(x);
	}
	rn_str_fini(&text);
	return rc;
}

static const struct slot *find_slot(const struct splitting *s, const struct rn_term *of, bool negated)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (s->slots[i].negated == negated && rn_terms_equal(s->slots[i].of, of))
			return &s->slots[i];
	return NULL;
}

/* A minimum beside a maximum is one of what is negated. */
static bool is_negated(const struct splitting *s, enum how how)
{
	return how == MIN && s->kinds[MAX];
}

/* What count is of has to be there. */
static int check_operand(const struct splitting *s, const struct rn_term *t)
{
	struct rn_str text = RN_STR_INIT;
	int rc = t->kind == RN_T_STAR ? 0 : rn_text_emb(s->l, s->v, t, &text, NULL);

	rn_str_fini(&text);
	return rc;
}

static int find_slots(struct splitting *s, const struct rn_term *t)
{
	enum how how = how_of(t);
	struct slot *more;

	if (t->kind == RN_T_NAME || t->kind == RN_T_BRACKET)
		return 0;
	if (how == COUNT)
		return check_operand(s, t->arg[1]);
	if (how == NO_AGG) {
		for (uint32_t i = 0; i < t->n; i++)
			RN_TRY(find_slots(s, t->arg[i]));
		return 0;
	}
	if (find_slot(s, t->arg[1], is_negated(s, how)))
		return 0;
	more = rn_arena_push(&s->l->arena, &s->slots, &s->n, sizeof *more, s->l->e);
	if (!more)
		return rn_lowering_nomem(s->l);
	*more = (struct slot){ .of = t->arg[1], .negated = is_negated(s, how) };
	return 0;
}

/* Several operands stand side by side, each at its place. */
static int place_slots(struct splitting *s)
{
	uint64_t at = 0;

	for (uint32_t i = 0; i < s->n && s->n > 1; i++) {
		struct slot *p = &s->slots[i];
		bool known;

		RN_TRY(width_of(s, p->of, &known, &p->width));
		if (!known)
			return rn_diag_error(s->l->d, p->of->at, p->of->end, "several aggregates over one group want embeddings "
					     "of one dimension and a known size: compute this one in a rule of its own");
		p->from = (uint32_t)at;
		at += p->width;
		if (at > UINT32_MAX / 2)
			return rn_diag_error(s->l->d, p->of->at, p->of->end, "the aggregates have too many numbers in all");
	}
	return 0;
}

/* "sum(Concat(x, y))" */
static int put_stage(struct splitting *s)
{
	struct rn_str text = RN_STR_INIT;
	const char *how = s->kinds[SUM] || (s->kinds[MEAN] && s->out->counts) ? "sum" : s->kinds[MEAN] ? "mean" :
			  s->kinds[MAX] ? "max" : "min";
	int rc = 0;

	rn_str_addf(&text, "%s(%s", how, s->n > 1 ? "Concat(" : "");
	for (uint32_t i = 0; i < s->n && !rc; i++) {
		rn_str_addf(&text, "%s%s", i ? ", " : "", s->slots[i].negated ? "-(" : "");
		rc = rn_text_emb(s->l, s->v, s->slots[i].of, &text, &s->out->map);
		rn_str_add(&text, s->slots[i].negated ? ")" : "");
	}
	rn_str_add(&text, s->n > 1 ? "))" : ")");
	if (!rc && (text.failed || !(s->out->expr = rn_lowering_printf(s->l, "%s", text.s))))
		rc = rn_lowering_nomem(s->l);
	rn_str_fini(&text);
	return rc;
}

/* ---- the rest ------------------------------------------------------------------------------------- */

/* A term of n parts at the place of `of`; NULL out of memory. */
static struct rn_term *new_term(struct splitting *s, enum rn_term_kind kind, const struct rn_term *of,
				uint32_t n)
{
	struct rn_term *t = rn_lowering_alloc(s->l, sizeof *t);
	struct rn_term **arg = rn_lowering_alloc(s->l, (n ? n : 1) * sizeof(struct rn_term *));

	if (!t || !arg)
		return NULL;
	*t = (struct rn_term){ .kind = kind, .at = of->at, .end = of->end, .n = n, .arg = arg };
	return t;
}

static struct rn_term *new_name(struct splitting *s, const char *name, const struct rn_term *of)
{
	struct rn_term *t = new_term(s, RN_T_NAME, of, 0);

	if (t)
		t->str = name;
	return t;
}

static struct rn_term *new_number(struct splitting *s, uint32_t x, const struct rn_term *of)
{
	struct rn_term *t = new_term(s, RN_T_NUM, of, 0);

	if (t)
		t->num = x;
	return t;
}

/* [rows] */
static struct rn_term *row_count(struct splitting *s, const struct rn_term *of)
{
	struct rn_term *t = new_term(s, RN_T_BRACKET, of, 1);

	return t && (t->arg[0] = new_name(s, rows, of)) ? t : NULL;
}

/* slice(from, to)(z), or z where that is all. */
static struct rn_term *slot_value(struct splitting *s, const struct slot *p, const struct rn_term *of)
{
	struct rn_term *made, *t;

	if (s->n == 1)
		return new_name(s, part, of);
	made = new_term(s, RN_T_CALL, of, 3);
	t = new_term(s, RN_T_CALL, of, 2);
	if (!made || !t)
		return NULL;
	made->arg[0] = new_name(s, "slice", of);
	made->arg[1] = new_number(s, p->from, of);
	made->arg[2] = new_number(s, p->from + p->width, of);
	t->arg[0] = made;
	t->arg[1] = new_name(s, part, of);
	return made->arg[0] && made->arg[1] && made->arg[2] && t->arg[1] ? t : NULL;
}

/* What the map reads in place of an aggregate; NULL out of memory. */
static struct rn_term *value_of(struct splitting *s, const struct rn_term *t)
{
	enum how how = how_of(t);
	const struct slot *p = how == COUNT ? NULL : find_slot(s, t->arg[1], is_negated(s, how));
	struct rn_term *x = p ? slot_value(s, p, t) : row_count(s, t), *y = NULL;

	if (x && p && p->negated && (y = new_term(s, RN_T_NEG, t, 1)))
		y->arg[0] = x;
	else if (x && how == MEAN && s->out->counts && (y = new_term(s, RN_T_BIN, t, 2))) {
		y->op = RN_TOP_DIV;
		y->arg[0] = x;
		y->arg[1] = row_count(s, t);
		return y->arg[1] ? y : NULL;
	}
	return (p && p->negated) || (how == MEAN && s->out->counts) ? y : x;
}

/* The expression, each aggregate by what the map reads; a group that is a row by its operand. */
static int replace(struct splitting *s, const struct rn_term *t, struct rn_term **out)
{
	if (how_of(t) != NO_AGG) {
		*out = s->row ? t->arg[1] : value_of(s, t);
		return *out ? 0 : rn_lowering_nomem(s->l);
	}
	*out = (struct rn_term *)(uintptr_t)t;
	if (!first_within(t))
		return 0;
	*out = new_term(s, t->kind, t, t->n);
	if (!*out)
		return rn_lowering_nomem(s->l);
	memcpy((*out)->arg, t->arg, t->n * sizeof *t->arg);
	(*out)->op = t->op;
	(*out)->key = t->key;
	for (uint32_t i = 0; i < t->n; i++)
		if (i && t->arg[i] == t->arg[i - 1]) /* applied transforms share branches */
			(*out)->arg[i] = (*out)->arg[i - 1];
		else
			RN_TRY(replace(s, t->arg[i], &(*out)->arg[i]));
	return 0;
}

int rn_nested_split(struct rn_lowering *l, const struct rn_view *v, uint32_t nby,
		    const struct rn_term *const *by, const struct rn_term *t, bool row,
		    struct rn_nested *out)
{
	struct splitting s = { .l = l, .v = v, .nby = nby, .by = by, .row = row, .out = out };

	*out = (struct rn_nested){ .part = part, .rows = rows };
	RN_TRY(check_term(&s, t));
	RN_TRY(check_kinds(&s));
	out->counts = s.kinds[COUNT] || (s.kinds[SUM] && s.kinds[MEAN]);
	if (!row) {
		RN_TRY(find_slots(&s, t));
		RN_TRY(place_slots(&s));
		if (s.n)
			RN_TRY(put_stage(&s));
	}
	return replace(&s, t, &out->rest);
}
