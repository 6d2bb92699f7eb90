/* SPDX-License-Identifier: Apache-2.0 */
#include "devices.h"

#include "../base/str.h"

#include <stdlib.h>
#include <string.h>

/* ---- the map ------------------------------------------------------------------------------- */

/* Is item `text` of the node called `name`? */
static bool is_of(const char *text, const char *name)
{
	size_t n = strlen(name);

	return !strncmp(text, name, n) && text[n] == '=';
}

/* As a backend calls itself. */
static const char *device_in(const char *text)
{
	const char *s = strchr(text, '=') + 1;

	return strcmp(s, "cuda") ? s : "cuda:0";
}

static bool has_node(const struct rn_fit *f, uint32_t node)
{
	for (uint32_t i = 0; i < f->prog.ninsts; i++)
		if (f->prog.insts[i].op != RN_P_VIEW && f->prog.insts[i].stage == node)
			return true;
	return false;
}

static bool is_run(const struct rn_fit *fits, uint32_t nfits, uint32_t node)
{
	for (uint32_t k = 0; k < nfits; k++)
		if (has_node(&fits[k], node))
			return true;
	return false;
}

static int unknown(const char *text, const struct rn_plan *plan, const struct rn_fit *fits,
		   uint32_t nfits, struct rn_err *e)
{
	struct rn_str s = RN_STR_INIT;
	bool any = false;
	int rc;

	rn_str_addf(&s, "--device-map %s: no such stage is trained; there are", text);
	for (uint32_t i = 0; i < plan->nnodes; i++)
		if (is_run(fits, nfits, i)) {
			rn_str_addf(&s, "%s '%s'", any ? "," : "", plan->nodes[i].name);
			any = true;
		}
	rc = rn_str_check(&s, e);
	if (!rc)
		rc = rn_err_set(e, RN_EUSAGE, "%s", s.s);
	rn_str_fini(&s);
	return rc;
}

static bool is_device(const char *s)
{
	return !strcmp(s, "cpu") || !strcmp(s, "cuda") ||
	       (!strncmp(s, "cuda:", 5) && s[5] && strlen(s) <= 9 &&
		strspn(s + 5, "0123456789") == strlen(s + 5));
}

static int check_item(const struct rn_device_map *m, size_t k, const struct rn_plan *plan,
		      const struct rn_fit *fits, uint32_t nfits, struct rn_err *e)
{
	const char *text = m->items[k], *eq = strchr(text, '=');

	if (!eq || eq == text)
		return rn_err_set(e, RN_EUSAGE, "--device-map wants STAGE=DEVICE, not '%s'", text);
	if (!is_device(eq + 1))
		return rn_err_set(e, RN_EUSAGE, "--device-map %s: a device is cpu, cuda or cuda:N",
				  text);
	for (size_t i = 0; i < k; i++)
		if (!strncmp(m->items[i], text, (size_t)(eq - text) + 1))
			return rn_err_set(e, RN_EUSAGE, "--device-map: stage '%.*s' is given twice",
					  (int)(eq - text), text);
	for (uint32_t i = 0; i < plan->nnodes; i++)
		if (is_of(text, plan->nodes[i].name) && is_run(fits, nfits, i))
			return 0;
	return unknown(text, plan, fits, nfits, e);
}

int rn_device_map_check(const struct rn_device_map *m, const struct rn_plan *plan,
			const struct rn_fit *fits, uint32_t nfits, struct rn_err *e)
{
	for (size_t k = 0; k < m->n; k++)
		RN_TRY(check_item(m, k, plan, fits, nfits, e));
	return 0;
}

/* ---- which ---------------------------------------------------------------------------------- */

static const char *device_of(const struct rn_device_map *m, const char *name, const char *dflt)
{
	for (size_t k = 0; k < m->n; k++)
		if (is_of(m->items[k], name))
			return device_in(m->items[k]);
	return dflt;
}

bool rn_device_map_differs(const struct rn_device_map *m, const struct rn_backend *b)
{
	for (size_t k = 0; k < m->n; k++)
		if (strcmp(device_in(m->items[k]), b->name))
			return true;
	return false;
}

static int choose(struct rn_device *d, const struct rn_device_map *m, const struct rn_plan *plan,
		  const struct rn_cut_part *p, const char *dflt, struct rn_err *e)
{
	const char *first = plan->nodes[p->nodes[0]].name;

	d->name = device_of(m, first, dflt);
	for (uint32_t i = 1; i < p->nnodes; i++) {
		const char *name = plan->nodes[p->nodes[i]].name, *other = device_of(m, name, dflt);

		if (strcmp(other, d->name))
			return rn_err_set(e, RN_EUSAGE,
					  "--device-map: stages '%s' (%s) and '%s' (%s) are one "
					  "process: raise --stages, or give both one device",
					  first, d->name, name, other);
	}
	return 0;
}

int rn_devices_choose(struct rn_devices *d, const struct rn_device_map *m,
		      const struct rn_plan *plan, const struct rn_cut *cut,
		      const struct rn_backend *b, struct rn_err *e)
{
	RN_TRY(rn_calloc(cut->nparts, sizeof *d->items, "stages", &d->items, e));
	d->n = cut->nparts;
	d->any = !b->host;
	for (uint32_t q = 0; q < d->n; q++) {
		RN_TRY(choose(&d->items[q], m, plan, &cut->parts[q], b->name, e));
		d->any = d->any || strcmp(d->items[q].name, "cpu");
	}
	return 0;
}

/* ---- opening -------------------------------------------------------------------------------- */

static int hear_opened(struct rn_child *c, struct rn_msg_opened *out, struct rn_err *e)
{
	struct rn_msg answer;

	RN_TRY(rn_child_hear(c, &answer, e));
	if (answer.payload != sizeof *out)
		return rn_err_set(e, RN_EBUG, "stage '%s' does not say what it opened",
				  c->part->name);
	RN_TRY(rn_child_read(c, out, sizeof *out, e));
	out->device[sizeof out->device - 1] = '\0';
	return 0;
}

struct rn_msg_memory rn_devices_memory(const struct rn_region *values,
				       const struct rn_region *constants)
{
	return (struct rn_msg_memory){ .values = values->handle, .arrays = constants->handle,
				       .has_arrays = constants->by == RN_BY_DEVICE };
}

int rn_devices_open(struct rn_devices *d, struct rn_children *c, const struct rn_region *params,
		    const struct rn_region *values, const struct rn_region *constants,
		    struct rn_err *e)
{
	const struct rn_backend *b = params->backend;
	bool all = params->by == RN_BY_DEVICE && values->by == RN_BY_DEVICE, before = d->imported;
	struct rn_msg_device ask = { .params = params->handle,
				     .fit = rn_devices_memory(values, constants) };
	struct rn_msg m = { .type = RN_MSG_DEVICE, .from = c->ctx->threads, .payload = sizeof ask };

	if (all)
		snprintf(ask.sharing, sizeof ask.sharing, "%s", b->name);
	for (uint32_t q = 0; q < d->n; q++) {
		snprintf(ask.device, sizeof ask.device, "%s", d->items[q].name);
		ask.math = strcmp(ask.device, "cpu") ? (uint32_t)c->ctx->math : RN_MATH_F32;
		RN_TRY(rn_child_ask(&c->items[q], "the start", &m, &ask, NULL, e));
	}
	for (uint32_t q = 0; q < d->n; q++) {
		RN_TRY(hear_opened(&c->items[q], &d->items[q].opened, e));
		all = all && d->items[q].opened.imported;
	}
	if (d->asked && before && !all)
		return rn_err_set(e, RN_EDEV, "device '%s': stages that are started again cannot "
				  "import its memory", b->name);
	d->asked = true;
	d->imported = all;
	return 0;
}

int rn_devices_close(struct rn_child *c, struct rn_err *e)
{
	struct rn_msg answer, m = { .type = RN_MSG_MEMORY };

	RN_TRY(rn_child_ask(c, "the start", &m, NULL, NULL, e));
	return rn_child_hear(c, &answer, e);
}

/* The host's processes are no group: they have nothing to wait for. */
void rn_devices_peers(const struct rn_devices *d, struct rn_msg_peer *peers)
{
	for (uint32_t q = 0; q < d->n; q++) {
		const struct rn_msg_opened *o = &d->items[q].opened;
		uint32_t g = 0;

		while (!o->host && strcmp(d->items[g].opened.device, o->device))
			g++;
		peers[q] = (struct rn_msg_peer){ .group = o->host ? d->n + q : g,
						 .has_event = o->has_event, .event = o->event };
	}
}

enum rn_transport rn_devices_transport(const struct rn_devices *d, uint32_t q)
{
	if (d->imported)
		return RN_BY_DEVICE;
	return !d->any || d->items[q].opened.host ? RN_BY_FILE : RN_BY_PINNED;
}

void rn_devices_fini(struct rn_devices *d)
{
	free(d->items);
	memset(d, 0, sizeof *d);
}
