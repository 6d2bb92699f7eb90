/* SPDX-License-Identifier: Apache-2.0
 *
 * Work from end to end, small, while every allocation fails once: a spec becomes
 * a plan, the plan is bound, lowered, differentiated and trained, the model is
 * saved, loaded and applied; streams and tables are written and read.
 */
#include "ops.h"

#include "../../formats/container.h"
#include "../../formats/csv.h"
#include "../../lib/train/fit.h"
#include "../../lib/train/model.h"
#include "../../lib/train/train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the data, and a graph convolution over it ------------------------------------------- */

/* With ' for ", and without strings in expressions. */
static const char spec[] =
	"{'rn': 1, 'constants': {'hidden': 3},"
	" 'sources': {'paper': {'from': 'paper.csv', 'key': ['id']},"
	"             'cites': {'from': 'cites.csv'}, 'word': {'from': 'word.csv'}},"
	" 'stages': ["
	" {'name': 'w', 'op': 'encode', 'in': 'word', 'expr': 'index(w, 6)'},"
	" {'name': 'bag', 'op': 'agg', 'in': 'w', 'expr': 'sum(z)', 'by': ['id'], 'keys': 'paper'},"
	" {'name': 'x', 'op': 'map', 'in': 'bag', 'expr': 'z / clamp(rowsum(z), 1, 1e9)'},"
	" {'name': 'self', 'op': 'project', 'in': 'paper', 'cols': {'src': 'id', 'dst': 'id'}},"
	" {'name': 'edge', 'op': 'union', 'in': ['cites', 'self']},"
	" {'name': 'deg', 'op': 'agg', 'in': 'edge', 'by': ['dst'], 'cols': {'d': 'count(*)'}},"
	" {'name': 'e1', 'op': 'join', 'in': {'e': 'edge', 's': 'deg'}, 'on': {'src': 'dst'},"
	"  'how': 'left'},"
	" {'name': 'adj', 'op': 'map', 'in': 'e1', 'expr': '1 / sqrt([d] + 1)'},"
	" {'name': 'drop', 'op': 'map', 'in': 'x', 'expr': 'Dropout(0.5)(z)'},"
	" {'name': 'h1', 'op': 'linear', 'in': 'drop', 'out': '${hidden}', 'init': 'glorot'},"
	" {'name': 'who', 'op': 'embed', 'in': 'paper', 'dim': '${hidden}'},"
	" {'name': 'enc', 'op': 'encode', 'in': 'paper',"
	"  'expr': 'category(fold, 2), numeric(id), onehot(label)'},"
	" {'name': 'c', 'op': 'linear', 'in': 'enc', 'out': '${hidden}'},"
	" {'name': 'h2', 'op': 'join', 'in': {'h': 'h1', 'v': 'who', 'c': 'c'}, 'on': 'id',"
	"  'expr': 'relu(h) + v + c'},"
	" {'name': 'j', 'op': 'join', 'in': {'h': 'h2', 'a': 'adj'}, 'on': {'id': 'src'}},"
	" {'name': 'logits', 'op': 'agg', 'in': 'j', 'expr': 'sum(a * h)', 'by': ['dst']},"
	" {'name': 'out', 'op': 'join', 'in': ['logits', 'paper'], 'on': {'dst': 'id'}},"
	" {'name': 'guess', 'op': 'decode', 'in': 'out', 'how': 'label', 'type': 'string', 'fit': 'loss'},"
	" {'name': 'hits', 'op': 'agg', 'in': 'guess', 'by': ['prediction'], 'cols': {'n': 'count(*)'}},"
	" {'name': 'train', 'op': 'filter', 'in': 'out', 'expr': 'fold = 0'},"
	" {'name': 'val', 'op': 'filter', 'in': 'out', 'expr': 'fold = 1'},"
	" {'name': 'loss', 'op': 'loss', 'in': 'train', 'kind': 'cross-entropy',"
	"  'target': 'label'}],"
	" 'run': ["
	" {'fit': {'loss': 'loss', 'epochs': 2, 'lr': 0.1, 'decay': {'h1*': 0.01}}},"
	" {'val': {'in': 'val', 'metric': 'accuracy', 'target': 'label'}},"
	" {'eval': {'name': 'test', 'in': 'val', 'metric': 'f1', 'target': 'label'}},"
	" {'pred': {'name': 'late', 'in': 'hits', 'to': 'late.csv'}},"
	" {'pred': {'name': 'all', 'in': 'out', 'to': 'pred.csv'}}]}";

static const char *const files[] = {
	"paper.csv", "id,label,fold\n1,x,0\n2,y,0\n3,z,1\n4,x,0\n5,,1\n6,y,1\n",
	"cites.csv", "src,dst\n1,2\n2,1\n3,1\n4,2\n9,3\n,2\n5,6\n",
	"word.csv",  "id,w\n1,0\n1,3\n2,5\n3,3\n4,\n4,2\n7,1\n5,0\n",
};

static const char *in_dir(const char *name)
{
	static char path[4][200];
	static unsigned turn;
	char *p = path[turn++ % 4];

	snprintf(p, sizeof path[0], "%s/%s", tmp_dir, name);
	return p;
}

static void write_files(void)
{
	for (size_t i = 0; i < sizeof files / sizeof *files; i += 2) {
		FILE *f = fopen(in_dir(files[i]), "w");

		if (!f || fputs(files[i + 1], f) < 0 || fclose(f)) {
			printf("Bail out! cannot write %s\n", in_dir(files[i]));
			exit(1);
		}
	}
}

static int load_plan(struct rn_plan **p, struct rn_err *e)
{
	char text[sizeof spec];
	int rc;

	for (size_t i = 0; i < sizeof spec; i++)
		text[i] = spec[i] == '\'' ? '"' : spec[i];
	rc = rn_plan_from_spec(text, sizeof spec - 1, in_dir("model.json"), NULL, 0, NULL, 0, p, e);
	if (!rc) {
		rc = rn_plan_canonical(*p, NULL, e);
		if (rc)
			rn_plan_free(*p);
	}
	return rc;
}

static struct rn_plan *the_plan(void)
{
	struct rn_plan *p;
	struct rn_err e;

	must(load_plan(&p, &e), &e, "the spec");
	return p;
}

/* ---- plans ------------------------------------------------------------------------------- */

/* *same: the text is that of the first time. */
static int spec_to_plan(void *arg, bool *same, struct rn_err *e)
{
	char **usual = arg, *text;
	struct rn_plan *p;
	json_t *j;
	int rc = load_plan(&p, e);

	if (rc)
		return rc;
	rc = rn_plan_to_spec(p, &j, e);
	rn_plan_free(p);
	if (rc)
		return rc;
	alloc_stop();
	text = json_dumps(j, 0);
	json_decref(j);
	if (!*usual)
		*usual = strdup(text);
	*same = !strcmp(text, *usual);
	free(text);
	return 0;
}

static bool run_spec(void)
{
	char *usual = NULL;
	bool same, ok;
	struct rn_err e;

	must(spec_to_plan(&usual, &same, &e), &e, "the spec");
	ok = check_every_alloc(spec_to_plan, &usual);
	free(usual);
	return ok;
}

/* ---- binding and building a fit ---------------------------------------------------------- */

struct building {
	struct rn_plan *plan;
	char *usual; /* the program as text */
};

static int build_fit(struct building *x, struct rn_binding *b, struct rn_fit *f, bool *same,
		     struct rn_err *e)
{
	struct rn_params params = { 0 };
	struct rn_str s = RN_STR_INIT;
	int rc = rn_fit_build(b, backends[0], x->plan, &x->plan->runs[0], &params, false, f, e);

	if (!rc) {
		alloc_stop();
		rn_prog_print(&f->prog, &s);
		if (!x->usual)
			x->usual = strdup(s.s);
		*same = !strcmp(s.s, x->usual);
		rn_str_fini(&s);
		rn_fit_fini(f);
	}
	rn_params_fini(&params);
	return rc;
}

/* So that encoders are fitted anew. */
static void forget_fitted(struct rn_plan *p)
{
	for (uint32_t i = 0; i < p->nnodes; i++) {
		rn_fitted_unref(p->nodes[i].fitted);
		p->nodes[i].fitted = NULL;
	}
}

static int bind_and_build(void *arg, bool *same, struct rn_err *e)
{
	struct building *x = arg;
	struct rn_binding *b;
	struct rn_fit f;
	int rc = rn_binding_new(&quiet, backends[0], x->plan, NULL, &b, e);

	if (!rc) {
		rc = build_fit(x, b, &f, same, e);
		rn_binding_free(b);
	}
	forget_fitted(x->plan);
	return rc;
}

static bool run_build(void)
{
	struct building x = { .plan = the_plan() };
	struct rn_err e;
	bool same, ok;

	must(bind_and_build(&x, &same, &e), &e, "building a fit");
	ok = check_every_alloc(bind_and_build, &x);
	free(x.usual);
	rn_plan_free(x.plan);
	return ok;
}

/* ---- training ---------------------------------------------------------------------------- */

struct training {
	struct rn_plan *plan;
	struct rn_train_conf conf;
	char *usual; /* the bits of the result */
};

static int train_once(void *arg, bool *same, struct rn_err *e)
{
	struct training *x = arg;
	struct rn_train_result r;
	const char *bits;
	int rc = rn_train(&x->conf, &r, e);

	forget_fitted(x->plan);
	if (!rc) {
		alloc_stop();
		bits = json_string_value(json_object_get(r.json, "bits"));
		if (!x->usual)
			x->usual = strdup(bits ? bits : "there are none");
		*same = bits && !strcmp(bits, x->usual);
	}
	rn_train_result_fini(&r);
	return rc;
}

static void open_training(struct training *x)
{
	*x = (struct training){ .plan = the_plan() };
	x->conf = (struct rn_train_conf){ .ctx = &quiet, .plan = x->plan, .output_dir = tmp_dir };
	x->conf.model = strdup(in_dir("model.rnm"));
	x->conf.checkpoint = strdup(in_dir("state.rnm"));
	x->conf.log = strdup(in_dir("log.jsonl"));
	x->conf.checkpoint_every = 1;
}

static void close_training(struct training *x)
{
	const char *const made[] = { "model.rnm", "state.rnm", "log.jsonl", "pred.csv", "late.csv" };

	for (size_t i = 0; i < sizeof made / sizeof *made; i++)
		unlink(in_dir(made[i]));
	free((char *)x->conf.model);
	free((char *)x->conf.checkpoint);
	free((char *)x->conf.log);
	free((char *)x->conf.resume);
	free(x->usual);
	rn_plan_free(x->plan);
}

static bool run_train(void)
{
	struct training x;
	struct rn_err e;
	bool same, ok;

	open_training(&x);
	must(train_once(&x, &same, &e), &e, "training");
	ok = check_every_alloc(train_once, &x);
	close_training(&x);
	return ok;
}

/* From the checkpoint of a training that has ended. */
static bool run_resume(void)
{
	struct training x;
	struct rn_err e;
	bool same, ok;

	open_training(&x);
	must(train_once(&x, &same, &e), &e, "training");
	x.conf.resume = strdup(x.conf.checkpoint);
	must(train_once(&x, &same, &e), &e, "resuming");
	ok = same ? check_every_alloc(train_once, &x) : fail("a resumed run has other bits");
	close_training(&x);
	return ok;
}

/* ---- a model ----------------------------------------------------------------------------- */

struct applying {
	char *path;
	struct rn_rel *usual;
};

static int predict(struct rn_model *m, struct rn_rel **out, struct rn_err *e)
{
	struct rn_binding *b;
	int rc = rn_binding_new(&quiet, backends[0], m->plan, NULL, &b, e);

	if (rc)
		return rc;
	rc = rn_binding_predict(b, m->plan->runs[m->plan->nruns - 1].node, &m->params, out, e);
	rn_binding_free(b);
	return rc;
}

static int apply_once(void *arg, bool *same, struct rn_err *e)
{
	struct applying *x = arg;
	struct rn_rel *r = NULL;
	struct rn_model m;
	int rc = rn_model_load(x->path, &m, e);

	if (rc)
		return rc;
	rc = predict(&m, &r, e);
	rn_model_fini(&m);
	if (rc)
		return rc;
	alloc_stop();
	if (!x->usual)
		x->usual = rn_rel_ref(r);
	*same = rel_same(r, x->usual);
	rn_rel_unref(r);
	return 0;
}

/* What the model predicts is what training wrote. */
static bool predictions_written(const struct rn_rel *r)
{
	struct rn_node n = { .name = (char *)"n", .op = rn_op_find("scan") };
	char text[300];
	struct rn_rel *got;
	struct rn_err e;
	bool ok;

	snprintf(text, sizeof text, "{\"from\": \"%s\"}", in_dir("pred.csv"));
	n.opt = case_options(n.op, text);
	must(rn_source_read(&quiet, &n, NULL, &got, NULL, &e), &e, "pred.csv");
	ok = got->rows == r->rows || fail("pred.csv has %llu rows", (unsigned long long)got->rows);
	for (size_t c = 0; c < got->schema.ncols && ok; c++)
		for (size_t k = 0; k < r->schema.ncols && ok; k++)
			for (uint64_t i = 0; i < r->rows && ok; i++)
				ok = strcmp(got->schema.cols[c].name, r->schema.cols[k].name) ||
				     cell_equal(got->cols[c], i, r->cols[k], i) ||
				     fail("pred.csv, column '%s'", r->schema.cols[k].name);
	rn_rel_unref(got);
	json_decref(n.opt);
	return ok;
}

static bool run_model_file(void)
{
	struct applying x = { 0 };
	struct training t;
	struct rn_err e;
	bool same, ok;

	open_training(&t);
	must(train_once(&t, &same, &e), &e, "training");
	x.path = strdup(t.conf.model);
	must(apply_once(&x, &same, &e), &e, "applying a model");
	ok = predictions_written(x.usual) && check_every_alloc(apply_once, &x);
	rn_rel_unref(x.usual);
	free(x.path);
	close_training(&t);
	return ok;
}

/* ---- formats ----------------------------------------------------------------------------- */

struct formats {
	struct rn_rel *rel;
	struct rn_writer_opt opt;
};

static int write_container(struct formats *x, void **data, size_t *n, struct rn_err *e)
{
	struct rn_writer *w;
	struct rn_io *io;
	int rc;

	RN_TRY(rn_io_to_memory(data, n, &io, e));
	RN_TRY(rn_writer_open(io, "{}", &x->opt, &w, e));
	rc = rn_writer_section(w, &x->rel->schema, e);
	if (!rc)
		rc = rn_writer_rows(w, x->rel, e);
	if (!rc)
		return rn_writer_close(w, e);
	rn_writer_abort(w, "it failed");
	return rc;
}

static int read_container(const void *data, size_t n, struct rn_rel **out, struct rn_err *e)
{
	const struct rn_schema *schema;
	struct rn_reader *r;
	struct rn_io *io;
	int rc;

	RN_TRY(rn_io_from_memory(data, n, "a stream", &io, e));
	RN_TRY(rn_reader_open(io, &r, e));
	rc = rn_reader_section(r, &schema, e);
	if (!rc)
		rc = rn_reader_all(r, out, e);
	rn_reader_close(r);
	return rc;
}

static int through_container(void *arg, bool *same, struct rn_err *e)
{
	struct formats *x = arg;
	struct rn_rel *r = NULL;
	void *data = NULL;
	size_t n = 0;
	int rc = write_container(x, &data, &n, e);

	if (!rc)
		rc = read_container(data, n, &r, e);
	free(data);
	if (rc)
		return rc;
	alloc_stop();
	*same = rel_same(r, x->rel);
	rn_rel_unref(r);
	return 0;
}

static bool container(enum rn_compress compress)
{
	struct rnd rnd = { 7 };
	struct formats x = {
		.rel = gen_rel("r(u:u i:i f:f s:s b:b t:t; z:3 y:s4)", 40, &rnd),
		.opt = { .compress = compress, .block_rows = 16 },
	};
	bool ok = check_every_alloc(through_container, &x);

	rn_rel_unref(x.rel);
	return ok;
}

static bool run_container(void)
{
	return container(RN_COMPRESS_NONE);
}

static bool run_zstd(void)
{
	return container(RN_COMPRESS_ZSTD);
}

static int write_text(struct formats *x, enum rn_text_kind kind, void **data, size_t *n,
		      struct rn_err *e)
{
	struct rn_text_opt opt = { .kind = kind, .no_embedding = true };
	struct rn_io *io;
	int rc;

	RN_TRY(rn_io_to_memory(data, n, &io, e));
	rc = rn_text_write_header(io, &x->rel->schema, &opt, e);
	if (!rc)
		rc = rn_text_write_rows(io, x->rel, &opt, e);
	if (!rc)
		return io->ops->close(io, e);
	io->ops->abort(io);
	return rc;
}

static int read_csv(const void *data, size_t n, struct rn_rel **out, struct rn_err *e)
{
	struct rn_csv_opt opt = { 0 };
	struct rn_csv_reader *r;
	struct rn_io *io;
	int rc;

	RN_TRY(rn_io_from_memory(data, n, "a table", &io, e));
	RN_TRY(rn_csv_open(&quiet, io, &opt, &r, e));
	rc = rn_csv_block(r, out, e);
	rn_csv_close(r);
	return rc;
}

static int through_csv(void *arg, bool *same, struct rn_err *e)
{
	struct formats *x = arg;
	struct rn_rel *r = NULL;
	void *data = NULL;
	size_t n = 0;
	int rc = write_text(x, RN_TEXT_JSONL, &data, &n, e);

	free(data);
	data = NULL;
	if (!rc)
		rc = write_text(x, RN_TEXT_CSV, &data, &n, e);
	if (!rc)
		rc = read_csv(data, n, &r, e);
	free(data);
	if (rc)
		return rc;
	alloc_stop();
	*same = rel_same(r, x->rel);
	rn_rel_unref(r);
	return 0;
}

static bool run_csv(void)
{
	struct rnd rnd = { 8 };
	struct formats x = { .rel = gen_rel("r(u:u i:i f:f s:s b:b t:t)", 40, &rnd) };
	bool ok = check_every_alloc(through_csv, &x);

	rn_rel_unref(x.rel);
	return ok;
}

/* ---- the table --------------------------------------------------------------------------- */

const struct scenario scenarios[] = {
	{ "a spec into a plan and back", run_spec },
	{ "binding, lowering, passes and gradients", run_build },
	{ "training of two epochs", run_train },
	{ "resuming it", run_resume },
	{ "loading a model and predicting", run_model_file },
	{ "a stream", run_container },
	{ "a compressed stream", run_zstd },
	{ "text tables", run_csv },
	{ "a filter between streams", pipe_filter },
	{ "a join of streams", pipe_join },
	{ "deferred stages between streams", pipe_deferred },
};
const size_t nscenarios = sizeof scenarios / sizeof *scenarios;

void scenario_files(bool make)
{
	if (make)
		write_files();
	for (size_t i = 0; !make && i < sizeof files / sizeof *files; i += 2)
		unlink(in_dir(files[i]));
}
