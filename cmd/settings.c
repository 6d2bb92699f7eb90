/* SPDX-License-Identifier: Apache-2.0 */
#include "settings.h"

#include "../lib/base/json.h"

#include <string.h>

/* Settings that are given to several runs in one command, each with its own. */
static const char *const settings[] = { "metric", "target", "group", "to", "format", "decode", "as", "embedding" };
enum { NSETTINGS = sizeof settings / sizeof *settings };

enum rn_run_kind rn_sink_kind(const struct rn_operand *in)
{
	for (int k = 0; in->opt && k < RN_NRUNS; k++)
		if (!strcmp(rn_run_types[k].name, in->opt))
			return (enum rn_run_kind)k;
	return RN_RUN_FIT;
}

const struct rn_opt *rn_setting_row(enum rn_run_kind kind, const char *setting)
{
	return rn_opt_find(rn_run_types[kind].opts, rn_run_types[kind].nopts, setting);
}

/* What an item is about: the length of NAME in NAME=VALUE; 0: all runs. */
static size_t run_length(const char *item)
{
	return strchr(item, '=') ? strcspn(item, "=") : 0;
}

static bool is_about_all(const char *item)
{
	return !strchr(item, '=');
}

static bool is_about(const char *item, const char *run)
{
	size_t n = run_length(item);

	return n && strlen(run) == n && !strncmp(item, run, n);
}

const char *rn_setting_find(const struct rn_cli *c, const char *setting, const char *run)
{
	const json_t *list = json_object_get(c->opt, setting), *v;
	const char *all = NULL;
	size_t i;

	json_array_foreach(list, i, v) {
		const char *item = json_string_value(v);

		if (!run_length(item))
			all = item;
		else if (is_about(item, run ? run : "val"))
			return strchr(item, '=') + 1;
	}
	return all;
}

/* Names of runs that have a setting, to find one or the nearest. */
struct runs {
	const char *setting, *item;
	bool there;
	struct rn_near near;
};

static void meet(struct runs *r, enum rn_run_kind kind, const char *name)
{
	if (!rn_setting_row(kind, r->setting))
		return;
	name = name ? name : "val";
	r->there = r->there || is_about_all(r->item) || is_about(r->item, name);
	rn_near_add(&r->near, name);
}

/* "--metric tset=mae: no run that has this setting is called 'tset'; did you mean 'test'?" */
static int check_item(const struct rn_cli *c, const struct rn_plan *p, const char *setting,
		      const char *item, struct rn_err *e)
{
	struct runs r = { .setting = setting, .item = item };
	struct rn_str name = RN_STR_INIT;
	char hint[128];
	int rc;

	rn_str_addn(&name, item, run_length(item));
	rc = rn_str_check(&name, e);
	if (!rc) {
		rn_near_init(&r.near, name.s);
		for (size_t i = 0; i < c->nin; i++)
			meet(&r, rn_sink_kind(&c->in[i]), c->in[i].as);
		for (uint32_t i = 0; p && i < p->nruns; i++)
			meet(&r, p->runs[i].kind, rn_setting_row(p->runs[i].kind, "name") ?
			     rn_run_string(&p->runs[i], "name") : NULL);
		if (!r.there)
			rc = is_about_all(item) ?
				     rn_err_set(e, RN_EUSAGE, "--%s %s: there is no run that has this setting", setting,
						item) :
				     rn_err_set(e, RN_EUSAGE, "--%s %s: no run that has this setting is called '%s'%s",
						setting, item, name.s, rn_near_hint(&r.near, hint, sizeof hint));
	}
	rn_str_fini(&name);
	return rc;
}

static int check_list(const struct rn_cli *c, const struct rn_plan *p, const char *setting,
		      struct rn_err *e)
{
	const json_t *list = json_object_get(c->opt, setting);

	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *item = json_string_value(json_array_get(list, i));
		size_t n = run_length(item);

		for (size_t k = 0; k < i; k++) {
			const char *other = json_string_value(json_array_get(list, k));

			if (run_length(other) == n && !strncmp(other, item, n))
				return rn_err_set(e, RN_EUSAGE, n ? "--%s is given twice for '%.*s'" :
							"--%s is given twice", setting, (int)n, item);
		}
		RN_TRY(check_item(c, p, setting, item, e));
	}
	return 0;
}

int rn_settings_check(const struct rn_cli *c, const struct rn_plan *p, struct rn_err *e)
{
	for (int i = 0; i < NSETTINGS; i++)
		RN_TRY(check_list(c, p, settings[i], e));
	return 0;
}

int rn_settings_apply(const struct rn_cli *c, enum rn_run_kind kind, json_t *opt, struct rn_err *e)
{
	const char *name = json_string_value(json_object_get(opt, "name"));

	for (int i = 0; i < NSETTINGS; i++) {
		const struct rn_opt *row = rn_setting_row(kind, settings[i]);
		const char *text = row ? rn_setting_find(c, settings[i], name) : NULL;
		json_t *v;

		if (!text)
			continue;
		RN_TRY(rn_opt_from_text(row, text, &v, e));
		RN_TRY(rn_json_set(opt, settings[i], v, e));
	}
	return 0;
}
