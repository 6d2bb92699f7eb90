/* SPDX-License-Identifier: Apache-2.0
 *
 * Brackets with encoders that are fitted: a stage `encode` for each.
 */
#include "lowering.h"

#include "../base/json.h"
#include "../expr/encode.h"

#include <string.h>

/* A name that no part has. */
static const char *new_part(struct rn_lowering *l, uint32_t node)
{
	const struct rn_schema *s = rn_lowering_schema(l, node);
	const char *name;
	bool taken = true;

	for (unsigned k = 1; taken; k++) {
		name = rn_lowering_printf(l, "enc%u", k);
		if (!name)
			return NULL;
		taken = false;
		for (size_t i = 0; i < s->nparts; i++)
			taken = taken || !strcmp(s->parts[i].name, name);
	}
	return name;
}

/* The stage of one bracket. */
static int encode_stage(struct rn_lowering *l, const struct rn_rule_inst *r, struct rn_view *v,
			const struct rn_term *t, const char *text)
{
	const char *part = new_part(l, v->node), *name = rn_stage_name(l, r, "encode"), *param;
	struct rn_view_enc *encs = rn_lowering_alloc(l, (v->nencs + 1) * sizeof *encs);
	json_t *opt;
	int rc;

	if (!part || !name || !encs)
		return rn_lowering_nomem(l);
	RN_TRY(rn_new_options(l, &opt));
	rc = rn_set_option(l, opt, "expr", json_string(text));
	if (!rc)
		rc = rn_set_option(l, opt, "as", json_string(part));
	if (!rc && strcmp(r->name, r->prefix)) {
		param = rn_lowering_printf(l, "%s%s", r->prefix, name + strlen(r->name));
		rc = param ? rn_set_option(l, opt, "param", json_string(param)) : rn_lowering_nomem(l);
	}
	if (rc) {
		json_decref(opt);
		return rc;
	}
	RN_TRY(rn_lowering_node(l, "encode", name, opt, 1, &v->node, NULL, r, t->at, t->end, NULL,
				&v->node));
	if (v->nencs)
		memcpy(encs, v->encs, v->nencs * sizeof *encs);
	encs[v->nencs++] = (struct rn_view_enc){ t, part };
	v->encs = encs;
	return 0;
}

/* What argument i of Embedding(2, 4, init, name) is called where a category has it, too; or NULL. */
static const char *embedding_setting(const struct rn_term *made, uint32_t i)
{
	const char *key = made->key ? made->key[i] : NULL;

	if (!key)
		return i == 3 ? "init" : i == 4 ? "name" : NULL;
	return !strcmp(key, "init") ? "init" : !strcmp(key, "name") ? "name" : NULL;
}

/* Embedding(2, 4)([dept]) over a column of strings? */
static bool is_category(const struct rn_lowering *l, const struct rn_view *v, const struct rn_term *t)
{
	const struct rn_term *made = t->kind == RN_T_CALL ? t->arg[0] : NULL, *of;
	long col;

	if (!made || made->kind != RN_T_CALL || made->arg[0]->kind != RN_T_NAME ||
	    strcmp(made->arg[0]->str, "Embedding") || made->n < 3 || made->arg[2]->kind != RN_T_NUM ||
	    (made->key && (made->key[1] || made->key[2])) || t->n != 2)
		return false;
	for (uint32_t i = 3; i < made->n; i++)
		if (!embedding_setting(made, i))
			return false;
	of = t->arg[1];
	if (of->kind != RN_T_BRACKET || of->n != 1 || of->arg[0]->kind != RN_T_NAME)
		return false;
	col = rn_view_var(v, of->arg[0]->str);
	return col >= 0 && rn_view_schema(l, v)->cols[col].type == RN_STRING;
}

/* A category gives its code: Embedding(2, 4)([dept]) becomes [category(dept, 4)], which is named and
 * begins as the module does. */
static int make_category(struct rn_lowering *l, struct rn_term *t)
{
	const struct rn_term *made = t->arg[0];
	struct rn_term *call = rn_lowering_alloc(l, sizeof *call);
	struct rn_term *word = rn_lowering_alloc(l, 2 * sizeof *word);
	struct rn_term **arg = rn_lowering_alloc(l, (made->n + 2) * sizeof(struct rn_term *));
	const char **key = rn_lowering_alloc(l, (made->n + 1) * sizeof(const char *));
	uint32_t n = made->n;
	bool begins = false;

	if (!call || !word || !arg || !key)
		return rn_lowering_nomem(l);
	for (int i = 0; i < 2; i++)
		word[i] = (struct rn_term){ .kind = RN_T_NAME, .str = i ? "normal" : "category",
					    .at = made->at, .end = made->end };
	arg[0] = &word[0];
	arg[1] = t->arg[1]->arg[0];
	for (uint32_t i = 2; i < made->n; i++) {
		arg[i] = made->arg[i];
		key[i] = i > 2 ? embedding_setting(made, i) : NULL;
		begins = begins || (key[i] && *key[i] == 'i');
	}
	if (!begins) {
		arg[n] = &word[1];
		key[n++] = "init";
	}
	*call = (struct rn_term){ .kind = RN_T_CALL, .at = t->at, .end = t->end, .n = n, .arg = arg,
				  .key = key };
	arg[n] = call;
	t->kind = RN_T_BRACKET;
	t->n = 1;
	t->arg = &arg[n];
	t->key = NULL;
	return 0;
}

int rn_lower_encoders(struct rn_lowering *l, const struct rn_rule_inst *r, struct rn_view *v,
		      const struct rn_term *t)
{
	struct rn_str text = RN_STR_INIT;
	struct rn_encoders es;
	bool calls = false;
	int rc = 0;

	if (is_category(l, v, t))
		RN_TRY(make_category(l, (struct rn_term *)(uintptr_t)t));
	if (t->kind != RN_T_BRACKET) {
		for (uint32_t i = 0; i < t->n; i++)
			RN_TRY(rn_lower_encoders(l, r, v, t->arg[i]));
		return 0;
	}
	for (uint32_t i = 0; i < t->n; i++)
		calls = calls || t->arg[i]->kind == RN_T_CALL;
	if (!calls)
		return 0;
	rc = rn_text_encoders(l, v, t, &text);
	if (!rc && text.failed)
		rc = rn_lowering_nomem(l);
	/* What is wrong with the text is told where it is used. */
	if (!rc && !rn_encoders_parse(text.s, &es, NULL)) {
		if (rn_encoders_fit_any(&es))
			rc = encode_stage(l, r, v, t, text.s);
		rn_encoders_fini(&es);
	}
	rn_str_fini(&text);
	return rc;
}
