/* SPDX-License-Identifier: Apache-2.0 */
#include "emb_fn.h"

#include "emb_ast.h"

bool rn_emb_function(const char *name, struct rn_emb_fn *out)
{
	const struct rn_efunc *f = rn_efunc_find(name);

	if (f && out)
		*out = (struct rn_emb_fn){
			.curried = f->form == RN_FORM_CURRIED || f->form == RN_FORM_EITHER,
			.params = f->flags & RN_FN_PARAMS,
			.source = f->form == RN_FORM_SOURCE,
		};
	return f;
}

void rn_emb_suggest(const char *name, struct rn_str *out)
{
	rn_efunc_suggest(name, out);
}
