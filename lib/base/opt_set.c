/* SPDX-License-Identifier: Apache-2.0
 *
 * Sets of option values: what was given is put into one, the whole is checked, and values
 * are asked for by name.
 */
#include "json.h"
#include "opt.h"

#include <assert.h>
#include <string.h>

/* ---- making one --------------------------------------------------------------------------- */

static int merge(const struct rn_opt *o, json_t *old, json_t *v, struct rn_err *e)
{
	const char *key;
	json_t *value;

	if (o->type == RN_OPT_LIST)
		return json_array_extend(old, v) ? rn_err_nomem(e, 0, "an option") : 0;
	json_object_foreach(v, key, value) {
		if (json_object_get(old, key))
			return rn_err_set(e, RN_EUSAGE, "--%s names '%s' twice", o->name, key);
		RN_TRY(rn_json_set(old, key, json_incref(value), e));
	}
	return 0;
}

int rn_opt_put(json_t *set, const struct rn_opt *o, json_t *v, struct rn_err *e)
{
	json_t *old = json_object_get(set, o->name);
	int rc;

	if (!old)
		return rn_json_set(set, o->name, v, e);
	if ((o->flags & RN_OPT_MULTI) && (o->type == RN_OPT_LIST || o->type == RN_OPT_MAP))
		rc = merge(o, old, v, e);
	else
		rc = rn_err_set(e, RN_EUSAGE, "--%s is given twice", o->name);
	json_decref(v);
	return rc;
}

static int missing(const struct rn_opt *o, struct rn_err *e)
{
	const char *meta = o->meta ? o->meta : "VALUE";

	if (o->flags & RN_OPT_POSITIONAL)
		return rn_err_set(e, RN_EUSAGE,
				  "%s is missing: %s (the first operand, or --%s %s)", meta,
				  o->help ? o->help : "required", o->name, meta);
	return rn_err_set(e, RN_EUSAGE, "--%s %s is missing: %s", o->name, meta,
			  o->help ? o->help : "required");
}

static int check_unique(const struct rn_opt *o, const json_t *list, struct rn_err *e)
{
	json_t *seen;
	int rc = 0;

	RN_TRY(rn_json_object(&seen, e));
	for (size_t i = 0; i < json_array_size(list) && !rc; i++) {
		const char *name = json_string_value(json_array_get(list, i));

		if (json_object_get(seen, name))
			rc = rn_err_set(e, RN_EUSAGE, "--%s names '%s' twice", o->name, name);
		else
			rc = rn_json_set(seen, name, json_true(), e);
	}
	json_decref(seen);
	return rc;
}

int rn_opt_finish(json_t *set, const struct rn_opt *opts, size_t n, struct rn_err *e)
{
	json_t *sorted;
	int rc = 0;

	RN_TRY(rn_json_object(&sorted, e));
	for (size_t i = 0; i < n && !rc; i++) {
		json_t *v = json_object_get(set, opts[i].name);

		if (v && (opts[i].flags & RN_OPT_UNIQUE))
			rc = check_unique(&opts[i], v, e);
		if (v && !rc)
			rc = rn_json_set(sorted, opts[i].name, json_incref(v), e);
		else if (!v && (opts[i].flags & RN_OPT_REQUIRED) && opts[i].type != RN_OPT_NODE)
			rc = missing(&opts[i], e);
	}
	if (!rc) {
		json_object_clear(set);
		if (json_object_update(set, sorted))
			rc = rn_err_nomem(e, 0, "an option");
	}
	json_decref(sorted);
	return rc;
}

/* ---- values by name ----------------------------------------------------------------------- */

static const struct rn_opt *row(const struct rn_opt *opts, size_t n, const char *name)
{
	const struct rn_opt *o = rn_opt_find(opts, n, name);

	assert(o);
	return o;
}

bool rn_opt_flag(const json_t *set, const struct rn_opt *opts, size_t n, const char *name)
{
	const struct rn_opt *o = row(opts, n, name);
	const json_t *v = json_object_get(set, o->name);

	return v ? json_is_true(v) : o->dflt && !strcmp(o->dflt, "true");
}

int64_t rn_opt_int(const json_t *set, const struct rn_opt *opts, size_t n, const char *name)
{
	const struct rn_opt *o = row(opts, n, name);
	const json_t *v = json_object_get(set, o->name);
	uint64_t size = 0;
	int64_t i = 0;

	if (v)
		return json_integer_value(v);
	if (!o->dflt)
		return 0;
	if (o->type == RN_OPT_SIZE)
		return rn_size_parse(o->dflt, &size, NULL) ? 0 : (int64_t)size;
	return rn_int64_parse(o->dflt, strlen(o->dflt), &i) ? i : 0;
}

double rn_opt_number(const json_t *set, const struct rn_opt *opts, size_t n, const char *name)
{
	const struct rn_opt *o = row(opts, n, name);
	const json_t *v = json_object_get(set, o->name);
	double d = 0;

	if (v)
		return json_number_value(v);
	return o->dflt && rn_float64_parse(o->dflt, strlen(o->dflt), &d) ? d : 0;
}

const char *rn_opt_string(const json_t *set, const struct rn_opt *opts, size_t n,
			  const char *name)
{
	const struct rn_opt *o = row(opts, n, name);
	const json_t *v = json_object_get(set, o->name);

	return v ? json_string_value(v) : o->dflt;
}

const json_t *rn_opt_json(const json_t *set, const struct rn_opt *opts, size_t n,
			  const char *name)
{
	return json_object_get(set, row(opts, n, name)->name);
}
