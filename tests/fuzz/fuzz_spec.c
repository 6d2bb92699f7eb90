/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON specs.  A spec that is read is made canonical, typed as if its sources had
 * known columns, explained, and written as a spec and as a stream's header, which
 * must be read as the same plan.
 */
#include "../../lib/plan/plan.h"
#include "fuzz.h"

#include <stdio.h>

enum { MAX_NODES = 64 };

static bool expected_code(int rc)
{
	return rc == 0 || rc == RN_EUSAGE || rc == RN_ENOMEM || rc == RN_EDATA;
}

/* The plan as the text of a spec, owned. */
static char *write_spec(const struct rn_plan *p)
{
	struct rn_err e;
	json_t *j;
	char *text;

	require(!rn_plan_to_spec(p, &j, &e));
	text = json_dumps(j, JSON_INDENT(1));
	require(text);
	json_decref(j);
	return text;
}

static void reread(const struct rn_plan *p)
{
	char *text = write_spec(p), *again;
	struct rn_plan *q;
	struct rn_err e;

	require(!rn_plan_from_spec(text, strlen(text), "again", NULL, 0, NULL, 0, &q, &e));
	require(!rn_plan_canonical(q, NULL, &e));
	again = write_spec(q);
	require(!strcmp(text, again));
	rn_plan_free(q);
	free(again);
	free(text);
}

/* Through a header, as between the programs of a pipeline. */
static void send(const struct rn_plan *p)
{
	uint32_t out = p->nnodes - 1, same;
	char *text = NULL, *again = NULL;
	struct rn_plan *q;
	struct rn_err e;
	json_t *j, *k;

	require(!rn_plan_to_header(p, out, NULL, &j, &e));
	require(!rn_plan_new(&q, &e));
	require(!rn_plan_from_header(q, j, &same, NULL, 0, &e));
	require(!rn_plan_to_header(q, same, NULL, &k, &e));
	text = json_dumps(j, JSON_SORT_KEYS);
	again = json_dumps(k, JSON_SORT_KEYS);
	require(text && again && !strcmp(text, again));
	rn_plan_free(q);
	free(text);
	free(again);
	json_decref(j);
	json_decref(k);
}

static void source_schema(struct rn_schema *s)
{
	static const char *const names[] = { "id", "src",   "dst", "x", "label",
					     "t",  "split", "p",   "paper_id", "word_id" };
	static const enum rn_type types[] = { RN_INT64,	    RN_INT64,  RN_INT64, RN_FLOAT64, RN_STRING,
					      RN_TIMESTAMP, RN_STRING, RN_BOOL,	 RN_INT64,   RN_INT64 };
	struct rn_shape shape = { 1, { 4 } };
	struct rn_err e;

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		require(!rn_schema_add_col(s, names[i], NULL, types[i], &e));
	require(!rn_schema_add_part(s, "z", &shape, false, &e));
}

static void infer(const struct rn_plan *p)
{
	struct rn_schema s[MAX_NODES] = { 0 };
	bool known[MAX_NODES] = { 0 }, deferred[MAX_NODES];
	struct rn_str text = RN_STR_INIT;
	struct rn_err e = { 0 };
	int rc;

	if (p->nnodes > MAX_NODES)
		return;
	for (uint32_t i = 0; i < p->nnodes; i++) {
		known[i] = p->nodes[i].op->flags & RN_OP_SOURCE;
		if (known[i])
			source_schema(&s[i]);
	}
	rn_plan_deferred(p, deferred);
	rc = rn_plan_infer(p, s, known, &e);
	require(expected_code(rc));
	if (!rc)
		require(!rn_plan_explain(p, s, NULL, &text, &e));
	rn_str_fini(&text);
	for (uint32_t i = 0; i < p->nnodes; i++)
		rn_schema_fini(&s[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct rn_plan *p;
	struct rn_err e;
	int rc = rn_plan_from_spec((const char *)data, n, "fuzz/model.json", NULL, 0, NULL, 0, &p,
				   &e);

	require(expected_code(rc));
	if (rc)
		return 0;
	rc = rn_plan_canonical(p, NULL, &e);
	require(expected_code(rc));
	if (!rc && p->nnodes) {
		reread(p);
		send(p);
		infer(p);
	}
	rn_plan_free(p);
	return 0;
}
