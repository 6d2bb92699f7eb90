/* SPDX-License-Identifier: Apache-2.0
 *
 * Brackets in embedding expressions: [age, OneHot(min=5)(color), Linear(1, 8)(year)].  Columns and
 * encoders of them stay as they are, for the operators to parse; a module or a transform in there
 * is taken out, and brackets are put around its columns.
 */
#include "expander.h"

#include "../expr/emb_fn.h"

#include <string.h>
#include <strings.h>

bool rn_is_setting(const struct rn_term *call, uint32_t i)
{
	const struct rn_term *f = call->arg[0];

	return (call->key && call->key[i]) ||
	       (i > 1 && f->kind == RN_T_NAME && !strcasecmp(f->str, "cyclic"));
}

/* [a, Enc(8)(b)]: variables of the body, and encoders of them; `setting`: among an encoder's. */
static int expand_item(struct rn_expander *x, struct rn_within *w, const struct rn_term *t,
		       bool setting, struct rn_term **out)
{
	bool made = t->kind == RN_T_CALL && t->arg[0]->kind == RN_T_CALL;
	const struct rn_names *names = w->names;
	const struct rn_term *c;

	if (t->kind == RN_T_NAME) {
		if (!setting && rn_has_name(names->vars, names->nvars, t->str) && !t->templated) {
			*out = (struct rn_term *)(uintptr_t)t;
			return 0;
		}
		RN_TRY(rn_try_constant(x, w->env, w->scope, t, &c));
		if (c || (setting && !t->templated)) { /* a word: Cyclic(hour)(t) */
			*out = (struct rn_term *)(uintptr_t)(c ? c : t);
			return 0;
		}
		if (rn_has_name(names->embs, names->nembs, t->str))
			return rn_diag_error(x->d, t->at, t->end, "'%s' is an embedding: without the brackets",
					     t->str);
		return rn_diag_error(x->d, t->at, t->end, "no column '%s' in the body", t->str);
	}
	if (rn_is_literal(t)) {
		*out = (struct rn_term *)(uintptr_t)t;
		return 0;
	}
	if (t->kind != RN_T_CALL) {
		RN_TRY(rn_try_constant(x, w->env, w->scope, t, &c));
		if (!c && (t->kind == RN_T_BIN || t->kind == RN_T_NEG))
			return rn_diag_error(x->d, t->at, t->end, "brackets hold columns and encoders of "
					     "columns: arithmetic stands outside of them, as in [age] / 10");
		if (c) {
			*out = (struct rn_term *)(uintptr_t)c;
			return 0;
		}
	}
	RN_TRY(rn_term_copy(x, t, t->n, out));
	for (uint32_t i = 0; i < t->n; i++) {
		if (t->kind == RN_T_CALL && !i && t->arg[0]->kind == RN_T_NAME)
			(*out)->arg[0] = t->arg[0];
		else
			RN_TRY(expand_item(x, w, t->arg[i],
					   made ? !i : setting || (t->kind == RN_T_CALL && rn_is_setting(t, i)),
					   &(*out)->arg[i]));
	}
	return 0;
}

static int new_bracket(struct rn_expander *x, struct rn_term *t, struct rn_term **out)
{
	struct rn_term *b = rn_expand_alloc(x, sizeof *b);

	if (!b || !(b->arg = rn_expand_alloc(x, sizeof *b->arg)))
		return rn_expand_nomem(x);
	b->kind = RN_T_BRACKET;
	b->at = t->at;
	b->end = t->end;
	b->depth = t->depth + 1;
	b->n = 1;
	b->arg[0] = t;
	*out = b;
	return 0;
}

/* ---- a text's hashed words, each with a learned vector ------------------------------------------ */

/* The reference's text encoder is Linear over text(...). */
bool rn_is_hash_bucket(const struct rn_term *t)
{
	while (t->kind == RN_T_CALL)
		t = t->arg[0];
	return t->kind == RN_T_NAME && (!strcmp(t->str, "HashBucketTextEncoder") ||
					!strcmp(t->str, "HashBucket"));
}

static int bad_hash_bucket(struct rn_expander *x, const struct rn_term *t)
{
	return rn_diag_error(x->d, t->at, t->end, "expected a column of text behind its two sizes: "
			     "[HashBucketTextEncoder(num_buckets=1024, dim=16)(title)]");
}

/* A term of the rewritten call, at the place of `at`. */
static int put_term(struct rn_expander *x, const struct rn_term *at, enum rn_term_kind kind,
		    const char *str, double num, struct rn_term **out)
{
	struct rn_term *t = rn_expand_alloc(x, sizeof *t);

	if (!t)
		return rn_expand_nomem(x);
	*t = (struct rn_term){ .kind = kind, .at = at->at, .end = at->end, .str = str, .num = num };
	*out = t;
	return 0;
}

/* f(...) with room for n arguments, and for their keys. */
static int put_call(struct rn_expander *x, const struct rn_term *at, const char *f, uint32_t n,
		    struct rn_term **out)
{
	RN_TRY(put_term(x, at, RN_T_CALL, NULL, 0, out));
	(*out)->n = n + 1;
	(*out)->arg = rn_expand_alloc(x, (n + 1) * sizeof *(*out)->arg);
	(*out)->key = rn_expand_alloc(x, (n + 1) * sizeof *(*out)->key);
	if (!(*out)->arg || !(*out)->key)
		return rn_expand_nomem(x);
	return put_term(x, at, RN_T_NAME, f, 0, &(*out)->arg[0]);
}

/* Its sizes, and what Linear may have beside them. */
static int hash_bucket_sizes(struct rn_expander *x, const struct rn_within *w,
			     const struct rn_term *made, double size[2], const struct rn_term **name)
{
	static const char *const keys[] = { "num_buckets", "dim" };
	uint32_t at = 0;

	for (uint32_t i = 1; made && i < made->n; i++) {
		const char *key = made->key ? made->key[i] : NULL;
		const struct rn_term *c = made->arg[i];

		if (key && !strcmp(key, "name") && c->kind == RN_T_STR) {
			*name = c;
			continue;
		}
		if (key)
			at = strcmp(key, keys[0]) ? strcmp(key, keys[1]) ? 2 : 1 : 0;
		if (at > 1)
			return bad_hash_bucket(x, made);
		RN_TRY(rn_constant(x, w->env, w->scope, c, false, &c));
		if (c->kind != RN_T_NUM || !(c->num >= 1) || c->num > 1 << 28 ||
		    c->num != (double)(uint32_t)c->num)
			return rn_diag_error(x->d, made->arg[i]->at, made->arg[i]->end,
					     "%s of a text encoder is a whole number from 1 on", keys[at]);
		size[at++] = c->num;
	}
	return 0;
}

/* HashBucketTextEncoder(n, d)(title): the mean of a learned vector of d for each word's bucket, so
 * Linear(n, d, False, init="normal")([text(title, n, words=blanks, hash=crc32, norm=l1,
 * empty="<empty>")]). */
static int hash_bucket(struct rn_expander *x, const struct rn_within *w, const struct rn_term *t,
		       struct rn_term **out)
{
	static const char *const key[] = { NULL, NULL, NULL, "words", "hash", "norm", "empty" };
	static const char *const word[] = { NULL, NULL, NULL, "blanks", "crc32", "l1", "<empty>" };
	const struct rn_term *made = t->arg[0]->kind == RN_T_CALL ? t->arg[0] : NULL, *name = NULL;
	double size[2] = { 1024, 16 };
	struct rn_term *text, *linear;

	if (t->n != 2 || t->key || t->arg[1]->kind != RN_T_NAME ||
	    (made && made->arg[0]->kind != RN_T_NAME))
		return bad_hash_bucket(x, t);
	RN_TRY(hash_bucket_sizes(x, w, made, size, &name));
	RN_TRY(put_call(x, t, "text", 6, &text));
	text->arg[1] = t->arg[1];
	RN_TRY(put_term(x, t, RN_T_NUM, NULL, size[0], &text->arg[2]));
	for (uint32_t i = 3; i < 7; i++) {
		RN_TRY(put_term(x, t, i < 6 ? RN_T_NAME : RN_T_STR, word[i], 0, &text->arg[i]));
		text->key[i] = key[i];
	}
	RN_TRY(put_call(x, t, "Linear", name ? 5 : 4, &linear));
	RN_TRY(put_term(x, t, RN_T_NUM, NULL, size[0], &linear->arg[1]));
	RN_TRY(put_term(x, t, RN_T_NUM, NULL, size[1], &linear->arg[2]));
	RN_TRY(put_term(x, t, RN_T_BOOL, NULL, 0, &linear->arg[3]));
	RN_TRY(put_term(x, t, RN_T_STR, "normal", 0, &linear->arg[4]));
	linear->key[4] = "init";
	if (name) {
		linear->arg[5] = (struct rn_term *)(uintptr_t)name;
		linear->key[5] = "name";
	}
	RN_TRY(rn_term_copy(x, t, 2, out));
	(*out)->arg[0] = linear;
	return new_bracket(x, text, &(*out)->arg[1]);
}

/* ---- modules ------------------------------------------------------------------------------------ */

/* Is an item of a bracket a module over columns, Linear(1, 8)(age), rather than an encoder? */
static bool is_module_item(const struct rn_expander *x, const struct rn_within *w,
			   const struct rn_term *t)
{
	const struct rn_term *f = t;
	struct rn_emb_fn fn;
	uint32_t n = 0;
	bool local;

	while (f->kind == RN_T_CALL)
		f = f->arg[0];
	if (t->kind != RN_T_CALL || f->kind != RN_T_NAME)
		return false;
	return rn_find_defs(x, w->scope, f->str, &n, &local) || rn_is_hash_bucket(t) || rn_emb_function(f->str, &fn);
}

/* The module with brackets around its columns: Linear(1, 8)([age]). */
static int module_item(struct rn_expander *x, const struct rn_within *w, struct rn_term *t,
		       struct rn_term **out)
{
	if (t->kind == RN_T_NAME || (t->kind == RN_T_CALL && !is_module_item(x, w, t)))
		return new_bracket(x, t, out);
	if (rn_is_hash_bucket(t))
		return hash_bucket(x, w, t, out);
	*out = t;
	if (t->kind != RN_T_CALL)
		return 0;
	RN_TRY(rn_term_copy(x, t, t->n, out));
	(*out)->arg[0] = t->arg[0];
	for (uint32_t i = 1; i < t->n; i++)
		RN_TRY(module_item(x, w, t->arg[i], &(*out)->arg[i]));
	return 0;
}

/* [a, Linear(1, 8)(b), c] is Concat([a], Linear(1, 8)([b]), [c]). */
static int expand_modules(struct rn_expander *x, struct rn_within *w, const struct rn_term *t,
			  struct rn_term **out)
{
	struct rn_term *call, *name;

	if (t->n == 1) {
		RN_TRY(module_item(x, w, t->arg[0], &call));
		return rn_expand_within(x, w, call, out);
	}
	name = rn_expand_alloc(x, sizeof *name);
	if (!name)
		return rn_expand_nomem(x);
	*name = (struct rn_term){ .kind = RN_T_NAME, .at = t->at, .end = t->end, .str = "Concat" };
	RN_TRY(rn_term_copy(x, t, t->n + 1, &call));
	call->kind = RN_T_CALL;
	call->arg[0] = name;
	for (uint32_t i = 0; i < t->n; i++)
		RN_TRY(module_item(x, w, t->arg[i], &call->arg[i + 1]));
	return rn_expand_within(x, w, call, out);
}

int rn_expand_bracket(struct rn_expander *x, struct rn_within *w, const struct rn_term *t,
		      struct rn_term **out)
{
	for (uint32_t i = 0; i < t->n; i++)
		if (is_module_item(x, w, t->arg[i]))
			return expand_modules(x, w, t, out);
	return expand_item(x, w, t, false, out);
}
