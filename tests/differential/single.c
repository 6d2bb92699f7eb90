/* SPDX-License-Identifier: Apache-2.0
 *
 * Single operators against SQLite, by the functions that do their work.
 */
#include "diff.h"

#include "../../lib/expr/content.h"
#include "../../lib/op/aggregate.h"
#include "../../lib/rel/key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Key columns of both sides that may meet. */
struct keys {
	struct rn_column *l[2], *r[2];
	struct rn_key kl, kr;
	char on[64], names[16], rnames[16]; /* condition, columns of l, columns of r */
};

static void random_keys(const struct rn_rel *l, const struct rn_rel *r, const char *op,
			struct keys *k)
{
	size_t n = 1 + rnd(2);

	k->on[0] = k->names[0] = k->rnames[0] = '\0';
	for (size_t c = 0; c < n; c++) {
		size_t a = rnd(NCOLS), b = rnd(NCOLS), len = strlen(k->on);

		while (rn_key_types_meet(columns[a].type, "", columns[b].type, "", NULL))
			b = rnd(NCOLS);
		k->l[c] = l->cols[a];
		k->r[c] = r->cols[b];
		snprintf(k->on + len, sizeof k->on - len, "%sl.%s %s r.%s", c ? " and " : "",
			 columns[a].name, op, columns[b].name);
		strcat(strcat(k->names, c ? ", " : ""), columns[a].name);
		strcat(strcat(k->rnames, c ? ", r." : "r."), columns[b].name);
	}
	k->kl = (struct rn_key){ .n = n, .cols = k->l, .rows = l->rows };
	k->kr = (struct rn_key){ .n = n, .cols = k->r, .rows = r->rows };
}

static void join(const struct keys *k, enum rn_join_kind kind, struct rn_join_result *out)
{
	struct rn_hash_index *x = NULL;

	must(rn_hash_index_new(&ctx, &k->kr, &x, &err));
	must(rn_join(&ctx, &k->kl, &k->kr, x, kind, out, &err));
	rn_hash_index_free(x);
}

/* By enum rn_join_kind; the gap is the condition. */
static const char *const join_forms[] = {
	"select l.i, r.i from l join r on %s order by l.i, r.i",
	"select l.i, r.i from l left join r on %s order by l.i, r.i",
	"select l.i from l where exists (select 1 from r where %s) order by l.i",
	"select l.i from l where not exists (select 1 from r where %s) order by l.i",
	"select l.i, r.i from l full join r on %s order by l.i is null, l.i, r.i",
};

bool check_join(int pair, const struct rn_rel *l, const struct rn_rel *r)
{
	enum rn_join_kind kind = (enum rn_join_kind)rnd(5);
	struct rn_join_result o;
	struct keys k;
	char text[256];
	bool ok;

	random_keys(l, r, "=", &k);
	join(&k, kind, &o);
	snprintf(text, sizeof text, join_forms[kind], k.on);
	ok = numbers_are(text, (const uint32_t *[]){ o.left->data, o.right ? o.right->data : NULL },
			 o.right ? 2 : 1, o.rows);
	rn_join_result_fini(&o);
	return report(ok, pair, "join", text);
}

/* First row, number of rows and sum of row numbers of each group. */
bool check_group(int pair, const struct rn_rel *l, const struct rn_rel *r)
{
	struct rn_groups g;
	struct keys k;
	uint32_t *count, *sum;
	char text[256];
	bool ok;

	random_keys(l, r, "=", &k);
	must(rn_group(&ctx, &k.kl, &g, &err));
	count = calloc(2 * g.n + 1, sizeof *count);
	sum = count + g.n;
	for (uint64_t i = 0; i < g.n; i++) {
		const uint32_t *ptr = g.ptr->data, *rows = g.rows ? g.rows->data : NULL;

		count[i] = ptr[i + 1] - ptr[i];
		for (uint32_t j = ptr[i]; j < ptr[i + 1]; j++)
			sum[i] += rows ? rows[j] : j;
	}
	snprintf(text, sizeof text,
		 "select min(i), count(*), sum(i) from l group by %s order by min(i)", k.names);
	ok = numbers_are(text, (const uint32_t *[]){ g.first->data, count, sum }, 3, g.n);
	free(count);
	rn_groups_fini(&g);
	return report(ok, pair, "group", text);
}

/* Rows of l for each key of r, where NULL is a key like another. */
bool check_group_keys(int pair, const struct rn_rel *l, const struct rn_rel *r)
{
	struct rn_groups g;
	struct keys k;
	uint32_t *count;
	char text[320];
	bool ok;

	random_keys(l, r, "is", &k);
	must(rn_group_keys(&ctx, &k.kl, &k.kr, &g, &err));
	count = calloc(g.n + 1, sizeof *count);
	for (uint64_t i = 0; i < g.n; i++)
		count[i] = ((uint32_t *)g.ptr->data)[i + 1] - ((uint32_t *)g.ptr->data)[i];
	/* Beside min(i), SQLite takes the other columns from the row that has it. */
	snprintf(text, sizeof text,
		 "select min(r.i), (select count(*) from l where %s) from r group by %s "
		 "order by min(r.i)",
		 k.on, k.rnames);
	ok = numbers_are(text, (const uint32_t *[]){ g.first->data, count }, 2, g.n);
	report(ok, pair, "group by given keys", text);
	snprintf(text, sizeof text,
		 "select count(*) from l where not exists (select 1 from r where %s)", k.on);
	count[0] = (uint32_t)g.dropped;
	ok = numbers_are(text, (const uint32_t *[]){ count }, 1, 1) && ok;
	free(count);
	rn_groups_fini(&g);
	return report(ok, pair, "group by given keys", text);
}

bool check_filter(int pair, const struct rn_rel *l, const struct rn_rel *r)
{
	struct scope scope = base_scope("l");
	struct text x = text_new(&scope);
	struct rn_str text = RN_STR_INIT;
	struct rn_cexpr *c = NULL;
	struct rn_buf *map = NULL;
	uint64_t n = 0;
	bool ok;

	(void)r;
	gen(&x, RN_BOOL, 4, ANY);
	rn_str_addf(&text, "select i from l where %s order by i", x.lite.s);
	ok = !rn_cexpr_parse(x.rn.s, &l->schema, &c, &err) &&
	     !rn_cexpr_filter(c, l, &map, &n, &err) &&
	     numbers_are(text.s, (const uint32_t *[]){ map->data }, 1, n);
	report(ok, pair, x.rn.s, text.s);
	rn_buf_unref(map);
	rn_cexpr_free(c);
	rn_str_fini(&text);
	text_free(&x);
	return ok;
}

bool check_expression(int pair, const struct rn_rel *l, const struct rn_rel *r)
{
	struct scope scope = base_scope("l");
	struct text x = text_new(&scope);
	struct rn_str text = RN_STR_INIT;
	struct rn_column *out = NULL;
	struct rn_cexpr *c = NULL;
	bool ok;

	(void)r;
	gen(&x, (enum rn_type)rnd(RN_NTYPES), 4, ANY);
	rn_str_addf(&text, "select %s from l order by i", x.lite.s);
	ok = !rn_cexpr_parse(x.rn.s, &l->schema, &c, &err) && !rn_cexpr_eval(c, l, &out, &err) &&
	     columns_are(text.s, &out, 1, NULL);
	report(ok, pair, x.rn.s, text.s);
	rn_column_unref(out);
	rn_cexpr_free(c);
	rn_str_fini(&text);
	text_free(&x);
	return ok;
}

/* Pairs of rows as a relation, l's columns before r's. */
static struct rn_rel *joined(const struct rn_rel *l, const struct rn_rel *r, const uint32_t *left,
			     const uint32_t *right, uint64_t n)
{
	struct rn_rel *gl = NULL, *gr = NULL, *out = NULL;

	must(rn_rel_gather(l, left, n, &gl, &err));
	must(rn_rel_gather(r, right, n, &gr, &err));
	must(rn_rel_new(NULL, n, &out, &err));
	for (int side = 0; side < 2; side++)
		for (int c = 0; c < NCOLS; c++)
			must(rn_rel_add_col(out, columns[c].name, side ? "r" : "l",
					    rn_column_ref((side ? gr : gl)->cols[c]), &err));
	rn_rel_unref(gl);
	rn_rel_unref(gr);
	return out;
}

struct condition {
	const struct rn_rel *l, *r;
	const char *text;
};

static int keep_pairs(void *arg, const uint32_t *left, const uint32_t *right, size_t n,
		      uint8_t *keep, struct rn_err *e)
{
	const struct condition *c = arg;
	struct rn_rel *j = joined(c->l, c->r, left, right, n);
	struct rn_cexpr *x = NULL;
	struct rn_buf *map = NULL;
	uint64_t kept = 0;
	int rc = rn_cexpr_parse(c->text, &j->schema, &x, e);

	memset(keep, 0, n);
	if (!rc)
		rc = rn_cexpr_filter(x, j, &map, &kept, e);
	for (uint64_t i = 0; i < kept; i++)
		keep[((uint32_t *)map->data)[i]] = 1;
	rn_buf_unref(map);
	rn_cexpr_free(x);
	rn_rel_unref(j);
	return rc;
}

/* A join of any kind with a condition beside its keys, as in SQL's ON. */
bool check_residual(int pair, const struct rn_rel *l, const struct rn_rel *r)
{
	enum rn_join_kind kind = (enum rn_join_kind)rnd(5);
	struct scope scope = base_scope("lr");
	struct text x = text_new(&scope);
	struct rn_str on = RN_STR_INIT, text = RN_STR_INIT;
	struct condition c = { .l = l, .r = r };
	struct rn_pair_test test = { .keep = keep_pairs, .arg = &c };
	struct rn_join_result o = { 0 };
	struct rn_hash_index *h = NULL;
	struct keys k;
	bool ok;

	random_keys(l, r, "=", &k);
	gen(&x, RN_BOOL, 3, ANY);
	c.text = x.rn.s;
	must(rn_hash_index_new(&ctx, &k.kr, &h, &err));
	ok = !rn_join_if(&ctx, &k.kl, &k.kr, h, kind, &test, &o, &err);
	rn_hash_index_free(h);
	rn_str_addf(&on, "%s and (%s)", k.on, x.lite.s);
	rn_str_addf(&text, join_forms[kind], on.s);
	ok = ok && numbers_are(text.s,
			       (const uint32_t *[]){ o.left->data, o.right ? o.right->data : NULL },
			       o.right ? 2 : 1, o.rows);
	report(ok, pair, x.rn.s, text.s);
	rn_join_result_fini(&o);
	rn_str_fini(&on);
	rn_str_fini(&text);
	text_free(&x);
	return ok;
}

/* The latest row before, by a subquery per row. */
bool check_asof(int pair, const struct rn_rel *l, const struct rn_rel *r)
{
	static const int times[] = { A, B, K, F, G, T };
	bool inner = rnd(2), or_equal = rnd(2);
	int lt = times[rnd(6)], rt = lt == T ? T : times[rnd(5)];
	struct rn_join_result o = { 0 };
	struct rn_join_order *t = NULL;
	struct rn_hash_index *h = NULL;
	struct keys k;
	char text[512];
	bool ok;

	random_keys(l, r, "=", &k);
	must(rn_hash_index_new(&ctx, &k.kr, &h, &err));
	must(rn_join_order_new(&ctx, h, r->cols[rt], &t, &err));
	must(rn_join_asof(&ctx, &k.kl, &k.kr, h, l->cols[lt], t, or_equal,
			  inner ? RN_JOIN_INNER : RN_JOIN_LEFT, &o, &err));
	rn_join_order_free(t);
	rn_hash_index_free(h);
	snprintf(text, sizeof text,
		 "select * from (select l.i as a, (select r.i from r where %s and r.%s %s l.%s "
		 "order by r.%s desc, r.i desc limit 1) as b from l) %s order by a",
		 k.on, columns[rt].name, or_equal ? "<=" : "<", columns[lt].name, columns[rt].name,
		 inner ? "where b is not null" : "");
	ok = numbers_are(text, (const uint32_t *[]){ o.left->data, o.right->data }, 2, o.rows);
	rn_join_result_fini(&o);
	return report(ok, pair, "as-of join", text);
}

bool check_order(int pair, const struct rn_rel *l, const struct rn_rel *r)
{
	struct rn_order by[3];
	struct rn_buf *map = NULL;
	char text[128] = "select i from l order by ";
	size_t n = 1 + rnd(3);
	bool ok;

	(void)r;
	for (size_t c = 0; c < n; c++) {
		int col = (int)rnd(NCOLS);

		by[c] = (struct rn_order){ l->cols[col], rnd(2) };
		strcat(strcat(text, columns[col].name), by[c].desc ? " desc, " : ", ");
	}
	strcat(text, "i");
	must(rn_order_rows(by, n, l->rows, &map, &err));
	ok = numbers_are(text, (const uint32_t *[]){ map->data }, 1, l->rows);
	rn_buf_unref(map);
	return report(ok, pair, "order", text);
}

bool check_aggregate(int pair, const struct rn_rel *l, const struct rn_rel *r)
{
	struct scope scope = { 0 };
	struct text x = text_new(&scope);
	struct rn_str text = RN_STR_INIT;
	struct rn_column *cols[2], *out = NULL;
	struct rn_key key = { .n = rnd(3), .cols = cols, .rows = l->rows };
	char same[64] = "true", by[16] = "";
	struct rn_groups g;
	enum rn_type type;
	bool ok, exact, about;

	(void)r;
	for (int col = 0; col < NCOLS; col++)
		add_column(&scope, columns[col].name, columns[col].type, col != K && col != G);
	for (size_t k = 0; k < key.n; k++) {
		int col = (int)rnd(NCOLS);
		size_t at = strlen(same), to = strlen(by);

		cols[k] = l->cols[col];
		snprintf(same + at, sizeof same - at, " and m.%s is l.%s", columns[col].name,
			 columns[col].name);
		snprintf(by + to, sizeof by - to, "%s%s", k ? ", " : "", columns[col].name);
	}
	must(rn_group(&ctx, &key, &g, &err));
	gen_aggregate(&x, "l", same, &type, &exact);
	about = !exact;
	if (key.n)
		rn_str_addf(&text, "select %s from l group by %s order by min(l.i)", x.lite.s, by);
	else
		rn_str_addf(&text, "select %s%s", x.lite.s, strstr(x.lite.s, "from l m") ? "" : " from l");
	ok = !rn_aggregate(x.rn.s, l, &g, &out, &err) &&
	     columns_are(text.s, &out, 1, &about) && out->type == type;
	report(ok, pair, x.rn.s, text.s);
	rn_column_unref(out);
	rn_groups_fini(&g);
	rn_str_fini(&text);
	text_free(&x);
	return ok;
}
