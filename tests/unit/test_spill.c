/* SPDX-License-Identifier: Apache-2.0
 *
 * Temporary data: spools in memory and on disk, and operators under a memory limit that
 * makes them spill, which must give the very rows, order and bits of a run without one.
 * Seeds are printed; RN_LONG=1 tries many more.
 */
#include "../../lib/base/json.h"
#include "../../lib/base/rng.h"
#include "../../lib/base/team.h"
#include "../../lib/exec/pipe.h"
#include "../../lib/exec/spool.h"

/* jansson 2.14 does not notice that the buffer of a long token did not grow. */
#define ALLOC_OWN
#include "alloc.h"
#include "t.h"

#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

static char dir[] = "/tmp/rn-test-spill-XXXXXX";
static uint64_t seed;

/* ---- random relations --------------------------------------------------------------------- */

static uint64_t below(uint64_t n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (seed >> 33) % n;
}

static void must(int rc, const struct rn_err *e, const char *what)
{
	if (!rc)
		return;
	printf("Bail out! %s: %s\n", what, e->msg);
	exit(1);
}

static void set_null(struct rn_column *c, uint64_t i)
{
	struct rn_err e;

	must(rn_column_need_null(c, &e), &e, "NULL");
	c->null[i] = 1;
	c->nulls++;
}

/* range: distinct values; hot: of ten rows so many have the value 0; NULLs now and then. */
static struct rn_column *numbers(enum rn_type t, uint64_t rows, uint64_t range, unsigned hot)
{
	struct rn_column *c;
	struct rn_err e;

	must(rn_column_new(t, rows, &c, &e), &e, "a column");
	for (uint64_t i = 0; i < rows; i++) {
		uint64_t v = below(10) < hot ? 0 : below(range);
		bool null = range > 2 && !below(29);

		if (t == RN_FLOAT64)
			c->f64[i] = null ? 0 : range < 1000 ? (double)v : (double)v / 7 - 50;
		else
			c->i64[i] = null ? 0 : (int64_t)v - (int64_t)(range / 2);
		if (null)
			set_null(c, i);
	}
	return c;
}

static struct rn_column *strings(uint64_t rows, uint64_t range)
{
	struct rn_column *c;
	struct rn_err e;
	uint64_t at = 0;

	must(rn_column_new_string(rows, rows * 24, &c, &e), &e, "a column");
	for (uint64_t i = 0; i < rows; i++) {
		c->off[i] = at;
		if (below(23))
			at += (uint64_t)sprintf(c->bytes + at, "%s%" PRIu64, below(2) ? "name" : "a longer one ",
						below(range));
		else
			set_null(c, i);
	}
	c->off[rows] = at;
	return c;
}

static struct rn_tensor *dense(uint64_t rows, uint32_t width)
{
	struct rn_shape s = { .rank = 1, .dim = { width } };
	struct rn_tensor *t;
	struct rn_err e;

	must(rn_tensor_new(&s, rows, &t, &e), &e, "a tensor");
	for (uint64_t i = 0; i < t->nnz; i++)
		t->data[i] = below(50) ? (float)below(1000) / 37.0f - 11.0f : below(2) ? 0.0f : -0.0f;
	return t;
}

static struct rn_tensor *sparse(uint64_t rows, uint32_t width)
{
	struct rn_tensor *t;
	struct rn_err e;
	uint64_t at = 0;

	must(rn_tensor_new_sparse(width, rows, rows * 3, &t, &e), &e, "a tensor");
	for (uint64_t i = 0; i < rows; i++) {
		t->ptr[i] = at;
		for (uint32_t c = 0, n = 0; c < width && n < 3; c++)
			if (!below(5)) {
				t->col[at] = c;
				t->data[at++] = (float)below(100) / 7.0f - 3.0f;
				n++;
			}
	}
	t->ptr[rows] = at;
	t->nnz = at;
	return t;
}

/* k int64, x float64, s string, t timestamp, n float64; a part of `width`, or none.  prefix: in
 * front of the names of all but k and s. */
static struct rn_rel *relation(const char *name, uint64_t rows, uint64_t keys, unsigned hot,
			       uint32_t width, bool is_sparse)
{
	struct rn_rel *r;
	struct rn_err e;

	must(rn_rel_new(name, rows, &r, &e), &e, "a relation");
	must(rn_rel_add_col(r, "k", NULL, numbers(RN_INT64, rows, keys, hot), &e), &e, "k");
	must(rn_rel_add_col(r, "x", NULL, numbers(RN_FLOAT64, rows, 100000, 0), &e), &e, "x");
	must(rn_rel_add_col(r, "s", NULL, strings(rows, keys), &e), &e, "s");
	must(rn_rel_add_col(r, "t", NULL, numbers(RN_TIMESTAMP, rows, 300, 0), &e), &e, "t");
	must(rn_rel_add_col(r, "n", NULL, numbers(RN_FLOAT64, rows, keys < 900 ? keys : 900, hot), &e), &e, "n");
	if (width)
		must(rn_rel_add_part(r, "z", is_sparse ? sparse(rows, width) : dense(rows, width), NULL, &e),
		     &e, "z");
	return r;
}

static char *path(const char *file)
{
	static char buf[8][200];
	static unsigned at;
	char *p = buf[at++ % 8];

	snprintf(p, 200, "%s/%s", dir, file);
	return p;
}

/* The relation as a stream that rn-scan could have made. */
static void save(const struct rn_rel *r, const char *file, uint32_t block_rows)
{
	struct rn_writer_opt opt = { .compress = RN_COMPRESS_NONE, .block_rows = block_rows };
	static const char header[] =
		"{\"rn\":1,\"kind\":\"evaluated\",\"plan\":{\"nodes\":[{\"op\":\"scan\",\"name\":\"%s\","
		"\"id\":\"%016llx\",\"opt\":{\"from\":\"%s\"},\"in\":[],\"section\":0}],\"out\":0}}";
	struct rn_writer *w;
	struct rn_io *io;
	struct rn_err e;
	char text[600];
	uint64_t id = 0;

	for (const char *p = file; *p; p++)
		id = id * 31 + (unsigned char)*p;
	snprintf(text, sizeof text, header, r->schema.name, (unsigned long long)id, path(file));
	must(rn_io_open_write(path(file), &io, &e), &e, file);
	must(rn_writer_open(io, text, &opt, &w, &e), &e, file);
	must(rn_writer_section(w, &r->schema, &e), &e, file);
	must(rn_writer_rows(w, r, &e), &e, file);
	must(rn_writer_close(w, &e), &e, file);
}

static struct rn_rel *load(const char *file)
{
	const struct rn_schema *schema;
	struct rn_reader *rd;
	struct rn_rel *r;
	struct rn_io *io;
	struct rn_err e;

	must(rn_io_open_read(path(file), &io, &e), &e, file);
	must(rn_reader_open(io, &rd, &e), &e, file);
	must(rn_reader_section(rd, &schema, &e), &e, file);
	must(rn_reader_all(rd, &r, &e), &e, file);
	must(rn_reader_section(rd, &schema, &e), &e, file);
	rn_reader_close(rd);
	return r;
}

/* ---- comparison ------------------------------------------------------------------------------ */

static bool same_bytes(const void *a, const void *b, size_t n)
{
	return !n || !memcmp(a, b, n);
}

static bool same_column(const struct rn_column *a, const struct rn_column *b)
{
	if (a->type != b->type || a->rows != b->rows || a->nulls != b->nulls)
		return false;
	for (uint64_t i = 0; i < a->rows; i++)
		if (rn_column_is_null(a, i) != rn_column_is_null(b, i))
			return false;
	if (a->type == RN_STRING)
		return same_bytes(a->off, b->off, (a->rows + 1) * 8) &&
		       same_bytes(a->bytes, b->bytes, a->off[a->rows]);
	if (a->type == RN_BOOL)
		return same_bytes(a->b, b->b, a->rows);
	return a->type == RN_FLOAT64 ? same_bytes(a->f64, b->f64, 8 * a->rows) :
				       same_bytes(a->i64, b->i64, 8 * a->rows);
}

static bool same_tensor(const struct rn_tensor *a, const struct rn_tensor *b)
{
	if (a->sparse != b->sparse || a->rows != b->rows || a->nnz != b->nnz)
		return false;
	if (a->sparse && (!same_bytes(a->ptr, b->ptr, 8 * (a->rows + 1)) ||
			  !same_bytes(a->col, b->col, 4 * a->nnz)))
		return false;
	return same_bytes(a->data, b->data, 4 * a->nnz);
}

static const char *difference(const struct rn_rel *a, const struct rn_rel *b)
{
	static char text[100];

	if (!rn_schema_equal(&a->schema, &b->schema) || a->schema.nkey != b->schema.nkey)
		return "schemas";
	if (a->rows != b->rows) {
		snprintf(text, sizeof text, "%" PRIu64 " and %" PRIu64 " rows", a->rows, b->rows);
		return text;
	}
	for (size_t i = 0; i < a->schema.ncols; i++)
		if (!same_column(a->cols[i], b->cols[i]))
			return a->schema.cols[i].name;
	for (size_t i = 0; i < a->schema.nparts; i++)
		if (!same_tensor(a->parts[i].t, b->parts[i].t))
			return "an embedding";
	return NULL;
}

/* ---- one operator ------------------------------------------------------------------------------ */

struct run {
	const char *op, *opt, *in[3];
	uint64_t mem;
	unsigned threads;
	const char *out;
	long fail_at; /* number of the allocation that fails; 0: none does */
};

static char logged[2000];

static void keep_log(void *arg, enum rn_log_level level, const char *msg)
{
	(void)arg, (void)level;
	snprintf(logged + strlen(logged), sizeof logged - strlen(logged), "%s\n", msg);
}

/* In normal form. */
static json_t *options(const struct rn_op *op, json_t *given)
{
	json_t *set = json_object(), *v, *n;
	const char *name;
	struct rn_err e;

	json_object_foreach(given, name, v) {
		const struct rn_opt *o = rn_opt_find(op->opts, op->nopts, name);

		must(rn_opt_from_json(o, v, &n, &e), &e, name);
		must(rn_opt_put(set, o, n, &e), &e, name);
	}
	must(rn_opt_finish(set, op->opts, op->nopts, &e), &e, op->name);
	return set;
}

static int run(const struct run *r, struct rn_pipe_stats *stats, struct rn_err *e)
{
	struct rn_ctx ctx = { .threads = r->threads, .mem_limit = r->mem, .log = keep_log };
	struct rn_operand in[3] = { { 0 } };
	struct rn_pipe_conf conf = { .ctx = &ctx, .op = rn_op_find(r->op), .in = in,
				     .writer = { .compress = RN_COMPRESS_NONE, .block_rows = 500 } };
	json_t *given = json_loads(r->opt, 0, NULL);
	int rc;

	logged[0] = '\0';
	conf.opt = options(conf.op, given);
	json_decref(given);
	for (; conf.nin < 3 && r->in[conf.nin]; conf.nin++)
		in[conf.nin].file = path(r->in[conf.nin]);
	if (!strcmp(r->op, "agg") && conf.nin == 2)
		in[1].opt = "keys";
	conf.output = path(r->out);
	if (r->threads > 1)
		must(rn_team_new(r->threads, &ctx.team, e), e, "a team");
	alloc_fail((uint64_t)r->fail_at, false);
	rc = rn_pipe_run(&conf, stats, e);
	alloc_stop();
	rn_team_free(ctx.team);
	json_decref(conf.opt);
	return rc;
}

/* The same without a limit and with one: equal bits, and the latter spilled. */
static void check(const char *op, const char *opt, const char *l, const char *r, uint64_t mem,
		  bool spills)
{
	struct run x = { .op = op, .opt = opt, .in = { l, r }, .threads = 1, .out = "whole.er" };
	struct rn_pipe_stats stats;
	struct rn_rel *a, *b;
	struct rn_err e = { 0 };
	const char *diff;
	char log[sizeof logged];

	must(run(&x, &stats, &e), &e, op);
	snprintf(log, sizeof log, "%s", logged);
	a = load("whole.er");
	x.mem = mem;
	x.threads = below(2) ? 3 : 1;
	x.out = "parts.er";
	if (run(&x, &stats, &e)) {
		T_OK(0, "rn-%s %s: %s", op, opt, e.msg);
		rn_rel_unref(a);
		return;
	}
	b = load("parts.er");
	diff = difference(a, b);
	T_OK(!diff && (!spills || stats.spilled_bytes), "rn-%s %s: %" PRIu64 " rows, %" PRIu64 " bytes spilled%s%s",
	     op, opt, a->rows, stats.spilled_bytes, diff ? ", which differ in " : "", diff ? diff : "");
	rn_rel_unref(a);
	rn_rel_unref(b);
}

/* ---- the operators -------------------------------------------------------------------------------- */

enum { MEM = 256 << 10 };

static const char *const joins[] = {
	"{\"on\": \"k\"}",
	"{\"on\": \"k\", \"how\": \"left\"}",
	"{\"on\": \"k\", \"how\": \"full\"}",
	"{\"on\": \"k\", \"how\": \"semi\"}",
	"{\"on\": \"k\", \"how\": \"anti\"}",
	"{\"on\": {\"k\": \"n\"}, \"how\": \"left\"}",
	"{\"on\": {\"k\": \"k\", \"s\": \"s\"}, \"how\": \"full\"}",
	"{\"on\": \"k\", \"and\": \"l.t < r.t and l.x + r.x > 0\"}",
	"{\"on\": \"k\", \"and\": \"l.t < r.t\", \"how\": \"left\"}",
	"{\"on\": \"k\", \"and\": \"l.x < r.x\", \"how\": \"full\"}",
	"{\"on\": \"k\", \"and\": \"l.t = r.t\", \"how\": \"semi\"}",
	"{\"on\": \"k\", \"and\": \"l.t = r.t\", \"how\": \"anti\"}",
	"{\"on\": \"k\", \"asof\": \"t\"}",
	"{\"on\": \"k\", \"asof\": \"t\", \"asof-equal\": true, \"how\": \"left\"}",
	"{\"asof\": \"x\"}",
	"{\"asof\": {\"n\": \"k\"}, \"asof-equal\": true, \"how\": \"left\"}",
	"{\"on\": {\"n\": \"k\"}, \"asof\": \"x\", \"expr\": \"l * r + [l.x]\"}",
	"{\"on\": \"k\", \"expr\": \"l * r + [l.x]\"}",
	"{\"on\": \"k\", \"how\": \"full\", \"expr\": \"relu(l) - r\"}",
	"{\"on\": \"k\", \"how\": \"anti\", \"expr\": \"z * 2\"}",
};

static void test_joins(unsigned rounds)
{
	const size_t n = sizeof joins / sizeof joins[0];

	for (unsigned i = 0; i < rounds * n; i++) {
		/* Few rows for each key, some for each, or one key with more than fit. */
		unsigned skew = (unsigned)below(3);
		uint64_t keys = skew == 0 ? 4000 : 400;
		struct rn_rel *l = relation("l", 1 + below(3000), keys, 0, 3, below(3) == 0 &&
					    !strstr(joins[i % n], "expr"));
		struct rn_rel *r = relation("r", 3000 + below(2000), keys, 0, 3, false);

		printf("# seed %" PRIu64 "\n", seed);
		if (skew == 2)
			/* Almost all right rows have one key, few left ones do. */
			for (uint64_t k = 0; k < r->rows; k++)
				if (below(10) && !rn_column_is_null(r->cols[0], k))
					r->cols[0]->i64[k] = 7;
		save(l, "l.er", (uint32_t)(50 + below(500)));
		save(r, "r.er", (uint32_t)(50 + below(500)));
		rn_rel_unref(l);
		rn_rel_unref(r);
		check("join", joins[i % n], "l.er", "r.er", MEM, true);
	}
}

/* What fits in memory on the right: the left rows stream in pieces. */
static void test_pieces(unsigned rounds)
{
	const size_t n = sizeof joins / sizeof joins[0];

	for (unsigned i = 0; i < rounds * n; i++) {
		struct rn_rel *l = relation("l", 3000 + below(6000), 50, 0, 3, false);
		struct rn_rel *r = relation("r", 60 + below(40), 50, 0, 3, false);

		printf("# seed %" PRIu64 "\n", seed);
		save(l, "l.er", (uint32_t)(50 + below(500)));
		save(r, "r.er", 100);
		rn_rel_unref(l);
		rn_rel_unref(r);
		check("join", joins[i % n], "l.er", "r.er", MEM, false);
	}
	check("join", "{\"and\": \"l.k < r.k and l.x < r.x\"}", "l.er", "r.er", MEM, false);
}

static void test_cross(void)
{
	struct rn_rel *l = relation("l", 60, 40, 0, 3, false), *r = relation("r", 4000, 40, 0, 3, false);
	static const char *const hows[] = { "inner", "left", "full", "semi", "anti" };

	save(l, "l.er", 100);
	save(r, "r.er", 100);
	for (size_t i = 0; i < 5; i++) {
		char opt[100];

		snprintf(opt, sizeof opt, "{\"and\": \"l.k * 1000 < r.x and r.k > 10 and l.t < r.t\", \"how\": \"%s\"}", hows[i]);
		check("join", opt, "l.er", "r.er", MEM, true);
	}
	rn_rel_unref(l);
	rn_rel_unref(r);
}

static const char *const aggs[] = {
	"{\"by\": \"k\"}",
	"{\"by\": \"k\", \"cols\": {\"n\": \"count(*)\", \"c\": \"count(x)\", \"sx\": \"sum(x)\", \"si\": \"sum(k)\"}}",
	"{\"by\": \"s\", \"cols\": {\"a\": \"avg(x)\", \"lo\": \"min(s)\", \"hi\": \"max(t)\", \"v\": \"var(x)\"}}",
	"{\"by\": [\"k\", \"s\"], \"cols\": {\"f\": \"first(x by t)\", \"l\": \"last(s by t)\", \"g\": \"first(s)\", \"h\": \"last(x)\"}}",
	"{\"by\": \"k\", \"expr\": \"sum(z * [x])\", \"cols\": {\"d\": \"stddev(x)\"}}",
	"{\"by\": \"k\", \"expr\": \"mean(z)\"}",
	"{\"by\": \"n\", \"expr\": \"max(z)\"}",
	"{\"by\": \"n\", \"expr\": \"min(z - 1)\"}",
};
static const char *const wholes[] = { /* that need all rows of a group at once */
	"{\"by\": \"k\", \"cols\": {\"m\": \"median(x)\", \"d\": \"count(distinct s)\"}}",
	"{\"by\": \"k\", \"cols\": {\"q\": \"quantile(x, 0.9)\"}}",
	"{\"by\": \"k\", \"expr\": \"sum(softmax(z) * z)\"}",
	"{\"by\": [\"k\", \"s\"], \"expr\": \"sum(softmax(z; k))\"}",
};

static void test_aggs(unsigned rounds)
{
	const size_t n = sizeof aggs / sizeof aggs[0], m = sizeof wholes / sizeof wholes[0];

	for (unsigned i = 0; i < rounds * n; i++) {
		unsigned skew = (unsigned)below(3);
		struct rn_rel *r = relation("r", 3000 + below(6000), skew == 2 ? 30 : 3000,
					    skew ? 9 : 0, 3, false);
		char alone[600];
		const char *by;

		printf("# seed %" PRIu64 "\n", seed);
		save(r, "r.er", (uint32_t)(50 + below(700)));
		rn_rel_unref(r);
		check("agg", aggs[i % n], "r.er", NULL, MEM, true);
		/* All rows as one group. */
		by = strstr(aggs[i % n], ", ");
		if (!by || strstr(aggs[i % n], "by\": ["))
			continue;
		snprintf(alone, sizeof alone, "{%s", by + 2);
		check("agg", alone, "r.er", NULL, MEM, false);
	}
	for (unsigned i = 0; i < rounds * m; i++) {
		struct rn_rel *r = relation("r", 4000 + below(4000), 3000, 0, 3, below(2) && i % m < 2);

		printf("# seed %" PRIu64 "\n", seed);
		save(r, "r.er", (uint32_t)(50 + below(700)));
		rn_rel_unref(r);
		check("agg", wholes[i % m], "r.er", NULL, MEM, true);
	}
}

static void test_more_aggs(void)
{
	struct rn_rel *r = relation("r", 6000, 2000, 0, 20, true), *keys = relation("keys", 1500, 3000, 0, 0, false);
	struct run x = { .op = "agg", .in = { "hot.er" },
			 .mem = MEM, .threads = 1, .out = "x.er" };
	struct rn_pipe_stats stats;
	struct rn_err e;

	save(r, "r.er", 300);
	save(keys, "keys.er", 300);
	check("agg", "{\"by\": \"k\", \"expr\": \"sum(z)\"}", "r.er", NULL, MEM, true);
	check("agg", "{\"by\": \"k\", \"expr\": \"mean(z)\", \"cols\": {\"n\": \"count(*)\"}}", "r.er", "keys.er", MEM, true);
	T_OK(strstr(logged, "rows dropped: their key is not in --keys") != NULL, "what is dropped is told");
	check("agg", "{\"by\": [\"n\", \"s\"], \"cols\": {\"n2\": \"sum(k)\"}}", "r.er", "keys.er", MEM, true);
	rn_rel_unref(r);
	rn_rel_unref(keys);
	r = relation("r", 6000, 3, 9, 3, false);
	save(r, "hot.er", 300);
	rn_rel_unref(r);
	check("agg", "{\"by\": \"k\", \"cols\": {\"m\": \"median(x)\", \"d\": \"count(distinct x)\"}}", "hot.er",
	      NULL, MEM, true);
	check("agg", "{\"cols\": {\"d\": \"count(distinct x)\", \"q\": \"quantile(x, 0.3)\"}}", "hot.er", NULL, MEM,
	      true);
	/* A group that does not fit, with keys. */
	check("agg", "{\"by\": \"k\", \"expr\": \"mean(z)\", \"cols\": {\"v\": \"var(x)\", \"f\": \"first(s)\"}}", "hot.er",
	      "keys.er", 64 << 10, true);
	check("agg", "{\"by\": \"k\", \"cols\": {\"d\": \"count(distinct s)\", \"n\": \"count(*)\"}}", "hot.er", "keys.er",
	      64 << 10, true);
	r = relation("r", 6000, 3, 9, 20, true);
	save(r, "thin.er", 300);
	rn_rel_unref(r);
	check("agg", "{\"by\": \"k\", \"expr\": \"sum(z)\", \"cols\": {\"v\": \"var(x)\"}}", "thin.er", NULL, 64 << 10, true);
	check("agg", "{\"by\": \"k\", \"expr\": \"mean(z)\"}", "thin.er", "keys.er", 64 << 10, true);
	check("agg", "{\"expr\": \"sum( z )\"}", "thin.er", NULL, 64 << 10, false);
	check("agg", "{\"by\": \"k\", \"expr\": \"max(z)\"}", "thin.er", "keys.er", 64 << 10, true);
	check("agg", "{\"expr\": \"mean(z)\"}", "thin.er", NULL, 64 << 10, false);
	x.opt = "{\"by\": \"k\", \"expr\": \"sum(softmax(z; s))\"}";
	T_OK(run(&x, &stats, &e) == RN_ENOMEM && strstr(e.msg, "softmax"), "%s", e.msg);
	x.in[0] = "thin.er";
	x.mem = 64 << 10;
	x.opt = "{\"by\": \"k\", \"expr\": \"sum(z * [x])\"}";
	T_OK(run(&x, &stats, &e) == RN_ENOMEM && strstr(e.msg, "'sum(z * [x])' needs all rows of a group at once, and "
			"the group of k=0 has some "), "%s", e.msg);
}

/* Names of --cols that are those which the operator would like for its own. */
static void test_agg_names(void)
{
	struct rn_rel *r = relation("r", 5000, 2000, 0, 3, false);
	char opt[8000] = "{\"by\": \"k\", \"cols\": {";
	const char *lists[] = { "row %d", "row 0%.*s" };
	char ticks[101];

	memset(ticks, '\'', 100);
	save(r, "r.er", 300);
	rn_rel_unref(r);
	for (size_t k = 0; k < 2; k++) {
		size_t n = strlen("{\"by\": \"k\", \"cols\": {");

		for (int i = 0; i < 100; i++) {
			n += (size_t)snprintf(opt + n, sizeof opt - n, "%s\"", i ? ", " : "");
			n += (size_t)(k ? snprintf(opt + n, sizeof opt - n, lists[k], i, ticks) :
					  snprintf(opt + n, sizeof opt - n, lists[k], i));
			n += (size_t)snprintf(opt + n, sizeof opt - n, "\": \"count(*)\"");
		}
		snprintf(opt + n, sizeof opt - n, "}}");
		check("agg", opt, "r.er", NULL, MEM, true);
	}
}

/* A join cuts into as many parts as its size asks for, not into parts of parts of a few rows. */
static void test_fan(void)
{
	struct rn_rel *l = relation("l", 9000, 4000, 0, 3, false), *r = relation("r", 9000, 4000, 0, 3, false);
	const char *parts;

	save(l, "l.er", 300);
	save(r, "r.er", 300);
	rn_rel_unref(l);
	rn_rel_unref(r);
	for (uint64_t mem = MEM / 4; mem <= 4 * MEM; mem *= 4) {
		check("join", "{\"on\": \"k\"}", "l.er", "r.er", mem, true);
		parts = strstr(logged, "joined in ");
		T_OK(parts && strtoul(parts + 10, NULL, 10) * mem < (uint64_t)9000 * 1000,
		     "--mem %" PRIu64 ": %.30s", mem, parts ? parts : "not cut");
	}
}

static void test_sorts(unsigned rounds)
{
	static const char *const sorts[] = {
		"{\"by\": \"k\"}", "{\"by\": \"k desc, t\"}", "{\"by\": \"s\"}", "{\"by\": \"s desc, x desc\"}",
		"{\"by\": \"k % 3\"}", "{\"by\": [\"t\", \"n desc\", \"length(s)\"]}",
	};
	const size_t n = sizeof sorts / sizeof sorts[0];

	for (unsigned i = 0; i < rounds * n; i++) {
		struct rn_rel *r = relation("r", 3000 + below(6000), below(2) ? 20 : 3000, 0, (uint32_t)below(4),
					    below(2));

		printf("# seed %" PRIu64 "\n", seed);
		save(r, "r.er", (uint32_t)(50 + below(700)));
		rn_rel_unref(r);
		check("sort", sorts[i % n], "r.er", NULL, MEM, true);
	}
}

static void test_unions(void)
{
	struct rn_rel *a = relation("a", 4000, 50, 0, 5, false), *b = relation("b", 5000, 50, 0, 5, true);

	save(a, "a.er", 300);
	save(b, "b.er", 300);
	check("union", "{}", "a.er", "b.er", MEM, false);
	check("union", "{}", "b.er", "a.er", MEM, false);
	check("union", "{}", "b.er", "b.er", MEM, false);
	check("union", "{}", "a.er", NULL, MEM, false);
	rn_rel_unref(a);
	rn_rel_unref(b);
}

/* What only appends its node carries its inputs on. */
static void test_deferred(void)
{
	struct run x = { .op = "linear", .opt = "{\"out\": 2}", .in = { "a.er" }, .mem = MEM, .threads = 1,
			 .out = "d.er" };
	struct rn_pipe_stats stats;
	struct rn_rel *a, *b;
	struct rn_err e;

	must(run(&x, &stats, &e), &e, "rn-linear");
	a = load("a.er");
	b = load("d.er");
	T_OK(stats.deferred && !difference(a, b) && !stats.spilled_bytes, "a plan carries its relation");
	rn_rel_unref(b);
	x = (struct run){ .op = "join", .opt = "{\"on\": \"k\"}", .in = { "d.er", "b.er" }, .mem = MEM,
			  .threads = 1, .out = "j.er" };
	must(run(&x, &stats, &e), &e, "rn-join");
	T_OK(stats.deferred && stats.rows_out == 9000, "and a join of it with another both");
	x.in[1] = "d.er";
	must(run(&x, &stats, &e), &e, "rn-join");
	T_OK(stats.deferred && stats.rows_in == 8000 && stats.rows_out == 4000, "equal ones once");
	rn_rel_unref(a);
}

/* ---- spools -------------------------------------------------------------------------------------- */

static void test_spool(void)
{
	struct rn_ctx ctx = { .threads = 1 };
	struct rn_rel *r = relation("r", 70000, 100, 0, 2, false), *all;
	struct rn_budget b = { .limit = rn_rel_bytes(r) + 1 };
	struct rn_spill *f;
	struct rn_spool *s;
	struct rn_err e;

	T_CALL(rn_spill_new(&ctx, &f, &e), &e);
	T_CALL(rn_spool_new(f, &b, &r->schema, &s, &e), &e);
	T_CALL(rn_spool_add(s, r, &e), &e);
	T_OK(rn_spool_blocks(s) == 1 && !rn_spill_bytes(f) && b.used == rn_rel_bytes(r), "memory while it lasts");
	T_CALL(rn_spool_add(s, r, &e), &e);
	T_OK(rn_spool_blocks(s) == 3 && rn_spill_bytes(f) > 1000000 && rn_spool_rows(s) == 140000,
	     "then the file, in blocks of at most 65,536 rows");
	for (int i = 0; i < 2; i++) {
		T_CALL(rn_spool_get(s, 1, &all, &e), &e);
		T_OK(all->rows == 65536, "a block can be read again");
		rn_rel_unref(all);
	}
	rn_spool_drop(s, 0);
	T_OK(!b.used && rn_spool_get(s, 0, &all, &e) == RN_EBUG, "what is dropped gives its memory back");
	rn_spool_drop(s, 1);
	rn_spool_free(s);
	T_CALL(rn_spool_new(f, NULL, &r->schema, &s, &e), &e);
	T_CALL(rn_spool_add(s, r, &e), &e);
	T_CALL(rn_spool_all(s, &all, &e), &e);
	T_OK(!difference(r, all), "all of it is what was put in");
	rn_rel_unref(all);
	rn_spool_free(s);
	rn_spill_free(f);
	rn_rel_unref(r);
}

static size_t files(void)
{
	DIR *d = opendir(dir);
	size_t n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

/* A file that may not grow stands for a full disk. */
static void test_full_disk(void)
{
	struct run x = { .op = "sort", .opt = "{\"by\": \"k\"}", .in = { "r.er" }, .mem = MEM, .threads = 1,
			 .out = "x.er" };
	struct rn_rel *r = relation("r", 9000, 3000, 0, 4, false);
	struct rlimit old, small = { 200000, 0 };
	struct rn_pipe_stats stats;
	struct rn_err e;
	size_t n;

	save(r, "r.er", 300);
	rn_rel_unref(r);
	unlink(path("x.er"));
	n = files();
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small.rlim_max = old.rlim_max;
	setrlimit(RLIMIT_FSIZE, &small);
	T_OK(run(&x, &stats, &e) == RN_EIO && strstr(e.msg, "cannot write temporary data in '/tmp/rn-test-spill") &&
		     strstr(e.msg, " are there, and about ") && strstr(e.msg, "File too large"), "%s", e.msg);
	setrlimit(RLIMIT_FSIZE, &old);
	T_OK(files() == n, "and nothing is left behind");
	setenv("TMPDIR", "/nonexistent", 1);
	T_OK(run(&x, &stats, &e) == RN_EIO && strstr(e.msg, "no temporary file can be made in '/nonexistent'"),
	     "%s", e.msg);
	setenv("TMPDIR", dir, 1);
}

/* Every k-th allocation of this thread fails: an error, never a crash; and once none does,
 * the same output. */
static void test_alloc(const char *op, const char *opt, const char *l, const char *r, uint64_t mem)
{
	struct run x = { .op = op, .opt = opt, .in = { l, r }, .mem = mem, .threads = 1, .out = "x.er" };
	struct rn_pipe_stats stats;
	struct rn_rel *a, *b;
	struct rn_err e;
	unsigned tried = 0;
	bool good = true;

	must(run(&x, &stats, &e), &e, op);
	a = load("x.er");
	for (x.fail_at = 1;; x.fail_at += x.fail_at < 100 ? 1 : x.fail_at / 20) {
		int rc;

		e = (struct rn_err){ 0 };
		rc = run(&x, &stats, &e);
		tried++;
		good = good && (rc == 0 || rc == RN_ENOMEM) && (!rc || e.msg[0]);
		if (!alloc_stop()) /* none failed in that run */
			break;
	}
	b = load("x.er");
	T_OK(good && !difference(a, b), "rn-%s %s: %u allocations fail, cleanly", op, opt, tried);
	rn_rel_unref(a);
	rn_rel_unref(b);
}

static void test_allocs(void)
{
	struct rn_rel *l = relation("l", 900, 300, 0, 2, false), *r = relation("r", 2600, 300, 6, 2, false);

	save(l, "l.er", 200);
	save(r, "r.er", 200);
	rn_rel_unref(l);
	rn_rel_unref(r);
	r = relation("r", 2600, 3, 9, 2, false);
	save(r, "hot.er", 200);
	rn_rel_unref(r);
	r = relation("r", 2600, 3, 9, 20, true);
	save(r, "thin.er", 200);
	rn_rel_unref(r);
	test_alloc("join", "{\"on\": \"k\", \"how\": \"full\"}", "l.er", "r.er", MEM);
	test_alloc("join", "{\"asof\": \"t\", \"how\": \"left\"}", "l.er", "hot.er", 64 << 10);
	test_alloc("agg", "{\"by\": \"k\", \"expr\": \"sum(z)\", \"cols\": {\"v\": \"var(x)\"}}", "r.er", NULL, MEM);
	test_alloc("agg", "{\"by\": \"k\", \"expr\": \"sum(z)\", \"cols\": {\"v\": \"var(x)\", \"f\": \"max(s)\"}}", "hot.er", "l.er", 64 << 10);
	test_alloc("agg", "{\"by\": \"k\", \"expr\": \"mean(z)\"}", "thin.er", NULL, 64 << 10);
	test_alloc("sort", "{\"by\": \"s, k\"}", "r.er", NULL, MEM);
	test_alloc("union", "{}", "l.er", "r.er", MEM);
}

int main(void)
{
	unsigned rounds = getenv("RN_LONG") ? 10 : 1;
	char command[80];

	seed = getenv("RN_SEED") ? strtoull(getenv("RN_SEED"), NULL, 10) : 20261122;
	if (!mkdtemp(dir))
		return 1;
	setenv("TMPDIR", dir, 1);
	test_spool();
	test_unions();
	test_deferred();
	test_sorts(rounds);
	test_aggs(rounds);
	test_more_aggs();
	test_agg_names();
	test_fan();
	test_cross();
	test_pieces(rounds);
	test_joins(rounds);
	test_full_disk();
	test_allocs();
	snprintf(command, sizeof command, "rm -r %s", dir);
	T_OK(system(command) == 0, "cleaned up");
	return t_done();
}
