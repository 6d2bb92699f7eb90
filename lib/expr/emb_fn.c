/* SPDX-License-Identifier: Apache-2.0 */
#include "emb_fn.h"

#include "emb_ast.h"

bool rn_emb_function(const char *name, struct rn_emb_fn *out)
{
	const struct rn_efunc *f = rn_efunc_find(name);

	if (!f || !out)
		return f;
	*out = (struct rn_emb_fn){
		.curried = f->form == RN_FORM_CURRIED || f->form == RN_FORM_EITHER,
		.params = f->flags & RN_FN_PARAMS,
		.source = f->form == RN_FORM_SOURCE,
		.weighs = f->flags & RN_FN_WEIGHS,
	};
	for (const struct rn_eargdecl *d = f->cfg; d && d->type != RN_A_END; d++)
		out->lists = out->lists || d->type == RN_A_NUMS;
	for (int i = 0; i < 2 && out->weighs; i++)
		out->weights[i] = f->cfg[i].name;
	return true;
}

const char *rn_emb_argument(const char *name, uint32_t i)
{
	const struct rn_efunc *f = rn_efunc_find(name);
	const struct rn_eargdecl *d = f ? f->cfg : NULL;

	for (; d && d->type != RN_A_END && i; i--)
		d++;
	return d && d->type != RN_A_END ? d->name : NULL;
}

void rn_emb_suggest(const char *name, struct rn_str *out)
{
	rn_efunc_suggest(name, out);
}
