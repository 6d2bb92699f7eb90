/* SPDX-License-Identifier: Apache-2.0
 *
 * Settings of statements, <epochs=60, lr=0.05>, as options of what they are of.
 */
#include "lowering.h"

#include <string.h>
#include <strings.h>

/* A choice may be written in capitals, as PyTorch's names are: optimizer="AdamW". */
static const char *choice(struct rn_lowering *l, const struct rn_opt *o, const char *text)
{
	const char *end, *c = o->type == RN_OPT_CHOICE ? o->choices : NULL;

	for (; c; c = *end ? end + 1 : NULL) {
		end = c + strcspn(c, "|");
		if (strlen(text) == (size_t)(end - c) && !strncasecmp(c, text, (size_t)(end - c)))
			return rn_lowering_printf(l, "%.*s", (int)(end - c), c);
	}
	return text;
}

static int setting_value(struct rn_lowering *l, const struct rn_opt *o, const struct rn_term *t,
			 json_t **out, struct rn_err *mine)
{
	const char *text;
	json_t *j;
	int rc;

	if (t->kind == RN_T_STR) {
		text = choice(l, o, t->str);
		return text ? rn_opt_from_text(o, text, out, mine) :
			      rn_err_nomem(mine, strlen(t->str), "a setting");
	}
	j = rn_term_json(t);
	if (!j)
		return rn_err_nomem(mine, sizeof *j, "a setting");
	rc = rn_opt_from_json(o, j, out, mine);
	json_decref(j);
	return rc;
}

static void unknown_setting(struct rn_lowering *l, const struct rn_setting *x,
			    const struct rn_opt *rows, size_t nrows, const char *what)
{
	const char *near = rn_opt_suggest(rows, nrows, x->name);
	uint32_t end = x->at + (uint32_t)strlen(x->name);

	if (!strcmp(what, "fit") && !strcmp(x->name, "batch_size")) /* the reference takes it */
		rn_diag_warn(l->d, x->at, end, "every step of a fit takes all rows: batch_size changes nothing");
	else
		rn_diag_error(l->d, x->at, end,
			      near && strcmp(near, x->name) ? "%s has no setting '%s'; did you mean '%s'?" : "%s has no setting '%s'",
			      what, x->name, near);
}

int rn_lower_settings(struct rn_lowering *l, const struct rn_stmt *s, const struct rn_opt *rows,
		      size_t nrows, const char *what, json_t *opt)
{
	uint32_t errors = l->d->errors;
	struct rn_err mine = { 0 };

	for (uint32_t i = 0; i < s->nsettings; i++) {
		const struct rn_setting *x = &s->settings[i];
		const struct rn_opt *o = rn_opt_find(rows, nrows, x->name);
		struct rn_term *t;
		json_t *v = NULL;
		int rc;

		if (!o || o->type == RN_OPT_NODE) {
			unknown_setting(l, x, rows, nrows, what);
			continue;
		}
		rc = rn_expand_constant(l->x, x->value, &t, l->e);
		if (rc == RN_EUSAGE)
			continue;
		if (rc)
			return rc;
		rc = setting_value(l, o, t, &v, &mine);
		if (!rc)
			rc = rn_opt_put(opt, o, v, &mine);
		if (rc == RN_EUSAGE)
			rn_diag_error(l->d, x->value->at, x->value->end,
				      strncmp(mine.msg, "--", 2) ? "'%s': %s" : "%.0s%s", x->name,
				      mine.msg + (strncmp(mine.msg, "--", 2) ? 0 : 2));
		else if (rc) {
			if (l->e)
				*l->e = mine;
			return rc;
		}
	}
	return l->d->errors > errors ? RN_EUSAGE : 0;
}

int rn_lower_settings_end(struct rn_lowering *l, const struct rn_stmt *s, const struct rn_opt *rows,
			  size_t nrows, json_t *opt)
{
	struct rn_err mine = { 0 };
	int rc = rn_opt_finish(opt, rows, nrows, &mine);

	if (rc == RN_EUSAGE)
		return rn_diag_error(l->d, s->name_at, s->name_at + (uint32_t)strlen(s->name), "%s", mine.msg);
	if (rc && l->e)
		*l->e = mine;
	return rc;
}
