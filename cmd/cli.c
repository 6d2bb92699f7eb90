/* SPDX-License-Identifier: Apache-2.0
 *
 * The frame of every program: descriptors and signals at the start, messages,
 * exit codes at the end, and the program of an operator as a whole.
 */
#include "cli.h"
#include "limits.h"
#include "progress.h"
#include "rows.h"

#include "../lib/base/json.h"
#include "../lib/base/num.h"
#include "../lib/base/team.h"
#include "../lib/base/uri.h"
#include "../lib/plan/rewrite.h"
#include "../lib/train/model.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- messages and exit codes ----------------------------------------------------------- */

/* rn(7) documents it.  Nothing at or above 126, which shells use. */
static const struct {
	int code, status;
} exit_status[] = {
	{ RN_OK, 0 },      { RN_EIO, 1 },  { RN_EUSAGE, 2 },    { RN_EDATA, 3 },
	{ RN_ENOMEM, 4 },  { RN_EDEV, 4 }, { RN_EDIVERGED, 5 }, { RN_EBUG, 70 },
};

static int status_of(int rc)
{
	for (size_t i = 0; i < sizeof exit_status / sizeof exit_status[0]; i++)
		if (exit_status[i].code == rc)
			return exit_status[i].status;
	return 70;
}

static bool is_control(const unsigned char *s)
{
	return s[0] < 0x20 || s[0] == 0x7F || (s[0] == 0xC2 && s[1] >= 0x80 && s[1] < 0xA0);
}

/* One line, in one write(2): several programs share standard error. */
static void say_line(const char *tool, const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *)text, *end = s + len;
	char line[4096];
	size_t n = (size_t)snprintf(line, 256, "%s: ", tool);

	for (; s < end && n < sizeof line - 2; s++) {
		if (!is_control(s)) {
			line[n++] = (char)*s;
			continue;
		}
		line[n++] = '?';
		s += *s == 0xC2;
	}
	line[n++] = '\n';
	(void)!write(STDERR_FILENO, line, n);
}

/* A message may have lines of its own: an expression, and a mark under it; and it may
 * quote an argument, but never a password that stands in it. */
void rn_cli_say(const char *tool, const char *text)
{
	struct rn_str shown = RN_STR_INIT;

	rn_meter_erase();
	rn_uri_hide(text, &shown);
	for (text = shown.failed ? "out of memory" : shown.s;;) {
		size_t n = strcspn(text, "\n");

		say_line(tool, text, n);
		if (!text[n] || !text[n + 1])
			break;
		text += n + 1;
	}
	rn_str_fini(&shown);
}

/* A column's NULLs are counted wherever it becomes an embedding, in the fit, a validation and a
 * prediction: was just this said of one before? */
static bool told_of_nulls(const char *msg)
{
	static _Atomic uint64_t told[16]; /* 0: free; a later one is said each time */
	uint64_t h = 1469598103934665603u, none;

	if (!strstr(msg, "NULL"))
		return false;
	for (const char *c = msg; *c; c++)
		h = (h ^ (unsigned char)*c) * 1099511628211u;
	for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
		none = 0;
		if (atomic_compare_exchange_strong(&told[i], &none, h))
			return false;
		if (none == h)
			return true;
	}
	return false;
}

static void log_line(void *arg, enum rn_log_level level, const char *msg)
{
	const struct rn_cli *c = arg;
	char text[2100];

	if (level == RN_LOG_WARN ? c->quiet : c->verbose < (int)level)
		return;
	if (level == RN_LOG_WARN && told_of_nulls(msg))
		return;
	snprintf(text, sizeof text, "%s%s", level == RN_LOG_WARN ? "warning: " : "", msg);
	rn_cli_say(c->tool->name, text);
}

/* A closed pipe is no error: end as the signal would have ended us. */
static void die_of_sigpipe(void)
{
	signal(SIGPIPE, SIG_DFL);
	raise(SIGPIPE);
}

static bool is_broken_pipe(int rc, const struct rn_err *e)
{
	const char *why = strerror(EPIPE);
	size_t n = strlen(e->msg), k = strlen(why);

	return rc == RN_EIO && n >= k && !strcmp(e->msg + n - k, why);
}

static void release(struct rn_cli *c)
{
	for (size_t i = 0; i < c->nin; i++)
		free((char *)(uintptr_t)c->in[i].as);
	free(c->in);
	free(c->argv);
	rn_team_free(c->ctx.team);
	json_decref(c->opt);
	json_decref(c->more);
	json_decref(c->common);
}

int rn_cli_end(struct rn_cli *c, int rc, const struct rn_err *e)
{
	const char *tool = c->tool->name;

	rn_meter_erase();
	release(c);
	if (!rc)
		return 0;
	if (is_broken_pipe(rc, e))
		die_of_sigpipe();
	rn_cli_say(tool, e->msg);
	return status_of(rc);
}

/* ---- output ---------------------------------------------------------------------------- */

static int put_text(const char *output, const struct rn_str *text, struct rn_err *e)
{
	struct rn_io *io;
	int rc;

	RN_TRY(rn_str_check(text, e));
	RN_TRY(rn_io_open_write(output, &io, e));
	rc = io->ops->write(io, text->s, text->len, e);
	if (!rc)
		return io->ops->close(io, e);
	io->ops->abort(io);
	return rc;
}

int rn_cli_put(const struct rn_cli *c, const struct rn_str *text, struct rn_err *e)
{
	return put_text(c->output, text, e);
}

enum rn_cli_stats rn_cli_stats(const struct rn_cli *c)
{
	const char *s = rn_opt_string(c->common, rn_cli_common, rn_cli_ncommon, "stats");

	return !s ? RN_STATS_NONE : strcmp(s, "json") ? RN_STATS_TEXT : RN_STATS_JSON;
}

/* The members behind those that every program has. */
static void add_members(const json_t *members, struct rn_str *out)
{
	struct rn_str text = RN_STR_INIT;

	if (!json_object_size(members))
		return;
	rn_json_print(members, RN_JSON_COMPACT, &text);
	if (text.len > 2) {
		out->s[--out->len] = '\0'; /* the object goes on */
		rn_str_addc(out, ',');
		rn_str_add(out, text.s + 1);
	}
	rn_str_fini(&text);
}

static void stats_json(const struct rn_cli *c, const struct rn_pipe_stats *s, struct rn_str *out)
{
	rn_str_addf(out,
		    "{\"program\":\"%s\",\"deferred\":%s,\"rows_in\":%" PRIu64
		    ",\"rows_out\":%" PRIu64 ",\"rows_skipped\":%" PRIu64
		    ",\"blocks_out\":%" PRIu64 ",\"raw_bytes\":%" PRIu64
		    ",\"written_bytes\":%" PRIu64 ",\"shared_blocks\":%" PRIu64
		    ",\"shared_bytes\":%" PRIu64 ",\"spilled_bytes\":%" PRIu64 ",\"transport\":",
		    c->tool->name, s->deferred ? "true" : "false", s->rows_in, s->rows_out,
		    c->rows_skipped, s->out.blocks, s->out.raw_bytes, s->out.written_bytes,
		    s->out.shared_blocks, s->out.shared_bytes, s->spilled_bytes);
	rn_str_addf(out, s->out.transport ? "\"%s\"" : "null",
		    s->out.shared_blocks ? "shared memory" : s->out.transport);
	rn_str_addf(out, s->out.level ? ",\"compress\":\"zstd:%d\"" : ",\"compress\":\"none\"",
		    s->out.level);
	rn_str_addf(out, ",\"zstd_from\":%" PRIu64 ",\"zstd_to\":%" PRIu64 ",\"seconds\":%.6f}",
		    s->out.zstd_from, s->out.zstd_to, s->seconds);
}

static void stats_text(const struct rn_cli *c, const struct rn_pipe_stats *s, struct rn_str *out)
{
	rn_str_addf(out,
		    "%s%" PRIu64 " rows in, %" PRIu64 " rows out in %" PRIu64 " blocks, %" PRIu64
		    " bytes raw, %" PRIu64 " written, %" PRIu64 " shared, zstd %" PRIu64 " to %" PRIu64
		    ", %" PRIu64 " in temporary files, %.3f s",
		    s->deferred ? "deferred; " : "", s->rows_in, s->rows_out, s->out.blocks,
		    s->out.raw_bytes, s->out.written_bytes, s->out.shared_bytes, s->out.zstd_from,
		    s->out.zstd_to, s->spilled_bytes, s->seconds);
	if (c->rows_skipped)
		rn_str_addf(out, ", %" PRIu64 " rows passed over", c->rows_skipped);
}

/* Which way the output took.  For -v. */
static void log_transport(const struct rn_cli *c, const struct rn_writer_stats *out)
{
	struct rn_str s = RN_STR_INIT;

	if (!out->transport)
		return;
	rn_str_addf(&s, "output: a %s, ", out->transport);
	rn_str_addf(&s, out->level ? "compressed with zstd:%d" : "not compressed", out->level);
	if (out->shared_blocks)
		rn_str_addf(&s, ", %" PRIu64 " of %" PRIu64 " blocks through shared memory",
			    out->shared_blocks, out->blocks);
	else if (out->why_inline)
		rn_str_add(&s, ", no shared memory");
	if (out->why_inline)
		rn_str_addf(&s, " (%s)", out->why_inline);
	if (!s.failed)
		rn_log(&c->ctx, RN_LOG_INFO, "%s", s.s);
	rn_str_fini(&s);
}

void rn_cli_print_more_stats(const struct rn_cli *c, const struct rn_pipe_stats *s,
			     const json_t *members, const char *text)
{
	struct rn_str out = RN_STR_INIT;

	log_transport(c, &s->out);
	if (rn_cli_stats(c) == RN_STATS_NONE)
		return;
	rn_meter_erase();
	if (rn_cli_stats(c) == RN_STATS_JSON) {
		stats_json(c, s, &out);
		add_members(members, &out);
		rn_str_addc(&out, '\n');
		if (!out.failed)
			(void)!write(STDERR_FILENO, out.s, out.len);
	} else {
		stats_text(c, s, &out);
		rn_str_add(&out, text);
		if (!out.failed)
			rn_cli_say(c->tool->name, out.s);
	}
	rn_str_fini(&out);
}

void rn_cli_print_stats(const struct rn_cli *c, const struct rn_pipe_stats *s)
{
	rn_cli_print_more_stats(c, s, NULL, "");
}

/* ---- start ----------------------------------------------------------------------------- */

/* Descriptors 0 to 2 must exist, or the next open(2) would become one of them.
 * Those that were closed are opened the wrong way round: to read or write them is
 * the error that it would have been. */
static void open_standard_fds(void)
{
	for (int want = STDIN_FILENO; want <= STDERR_FILENO; want++)
		if (fcntl(want, F_GETFD) < 0)
			(void)!open("/dev/null", want == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

/* A parent may have left SIGPIPE ignored or blocked. */
static void reset_sigpipe(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static unsigned processors(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);

	return n < 1 ? 1 : (unsigned)n;
}

/* Programs of one pipeline share the processors: one each, unless told otherwise. */
static unsigned default_threads(const struct rn_tool *t)
{
	struct stat st;

	for (int fd = STDIN_FILENO; fd <= STDOUT_FILENO && !(t->flags & RN_TOOL_CPUS); fd++)
		if (!fstat(fd, &st) && S_ISFIFO(st.st_mode))
			return 1;
	return processors();
}

static bool common_flag(const struct rn_cli *c, const char *name)
{
	return rn_opt_flag(c->common, rn_cli_common, rn_cli_ncommon, name);
}

static const char *common_string(const struct rn_cli *c, const char *name)
{
	return rn_opt_string(c->common, rn_cli_common, rn_cli_ncommon, name);
}

/* --no-rewrite and --no-optimize as bits. */
static int read_rewrites(const struct rn_cli *c, uint32_t *bits, struct rn_err *e)
{
	const json_t *names = rn_opt_json(c->common, rn_cli_common, rn_cli_ncommon, "no-rewrite");

	*bits = common_flag(c, "no-optimize") ? RN_RW_ALL : 0;
	for (size_t i = 0; i < json_array_size(names); i++) {
		uint32_t one;
		int rc = rn_rewrite_parse(json_string_value(json_array_get(names, i)), &one, e);

		if (rc)
			return rn_err_prefix(e, rc, "--no-rewrite");
		*bits |= one;
	}
	return 0;
}

/* An integer option within bounds; `none` where it was not given. */
static int common_int(const struct rn_cli *c, const char *name, int64_t min, int64_t max,
		      int64_t none, int64_t *out, struct rn_err *e)
{
	*out = none;
	if (!json_object_get(c->common, name))
		return 0;
	*out = rn_opt_int(c->common, rn_cli_common, rn_cli_ncommon, name);
	if (*out >= min && *out <= max)
		return 0;
	if (max == INT64_MAX)
		return rn_err_set(e, RN_EUSAGE, "--%s must be %" PRId64 " or more, not %" PRId64,
				  name, min, *out);
	return rn_err_set(e, RN_EUSAGE, "--%s must be %" PRId64 " to %" PRId64 ", not %" PRId64,
			  name, min, max, *out);
}

static int check_device(const char *d, struct rn_err *e)
{
	int64_t n;

	if (!strcmp(d, "auto") || !strcmp(d, "cpu") || !strcmp(d, "cuda"))
		return 0;
	if (!strncmp(d, "cuda:", 5) && rn_int64_parse(d + 5, strlen(d + 5), &n) && n >= 0)
		return 0;
	return rn_err_set(e, RN_EUSAGE, "--device wants auto, cpu, cuda or cuda:N, not '%s'", d);
}

static int read_math(struct rn_cli *c, const char *device, struct rn_err *e)
{
	const char *name = common_string(c, "math");

	if (!rn_math_parse(name, &c->ctx.math))
		return rn_err_set(e, RN_EBUG, "--math %s", name);
	if (c->ctx.math != RN_MATH_F32 && !strcmp(device, "cpu"))
		return rn_err_set(e, RN_EUSAGE, "--math %s needs --device cuda: the CPU's products are "
				  "float's (f32)", name);
	return 0;
}

/* The common options into the fields of c. */
static int apply_common(struct rn_cli *c, struct rn_err *e)
{
	int64_t threads, block, seed, mem;
	int rc;

	c->quiet = common_flag(c, "quiet");
	c->force = common_flag(c, "force");
	c->output = common_string(c, "output");
	c->name = common_string(c, "name");
	c->model = common_string(c, "model");
	if (!*c->output)
		return rn_err_set(e, RN_EUSAGE, "--output names no file");
	RN_TRY(common_int(c, "threads", 1, 1024, default_threads(c->tool), &threads, e));
	RN_TRY(common_int(c, "block-rows", 1, 65536, 65536, &block, e));
	RN_TRY(common_int(c, "seed", 0, INT64_MAX, 1, &seed, e));
	RN_TRY(common_int(c, "mem", 1, INT64_MAX, 0, &mem, e));
	RN_TRY(check_device(common_string(c, "device"), e));
	rc = rn_compress_parse(common_string(c, "compress"), &c->writer, e);
	if (rc)
		return rn_err_prefix(e, rc, "--compress");
	c->writer.block_rows = (uint32_t)block;
	c->ctx = (struct rn_ctx){
		.log = log_line, .log_arg = c, .threads = (unsigned)threads,
		.skipped = &c->rows_skipped, .mem_limit = (uint64_t)mem, .seed = (uint64_t)seed,
		.block_rows = (uint32_t)block,
		.strict = common_flag(c, "strict"), .device = common_string(c, "device"),
	};
	RN_TRY(read_math(c, c->ctx.device, e));
	RN_TRY(read_rewrites(c, &c->ctx.no_rewrite, e));
	rn_meter_start(c);
	RN_TRY(rn_team_new(c->ctx.threads, &c->ctx.team, e));
	c->writer.team = c->ctx.team;
	if (common_flag(c, "history"))
		return 0;
	free(c->argv);
	c->argv = NULL;
	return 0;
}

/* A stream is not for a terminal, nor for a file that would be read as something else. */
static int check_output(const struct rn_cli *c, struct rn_err *e)
{
	if (!(c->tool->flags & RN_TOOL_STREAM) || c->force)
		return 0;
	if (strcmp(c->output, "-"))
		return rn_sink_check_stream(c->output, e);
	if (!isatty(STDOUT_FILENO))
		return 0;
	return rn_err_set(e, RN_EUSAGE,
			  "the output is a binary stream, and standard output is a terminal: "
			  "name a file with -o, pipe it into rn-cat, or insist with -f");
}

/* argv as the history shall have it: the program's bare name first. */
static int keep_argv(struct rn_cli *c, int argc, char **argv, struct rn_err *e)
{
	RN_TRY(rn_calloc((size_t)argc + 2, sizeof *c->argv, "arguments", &c->argv, e));
	c->argv[0] = (char *)(uintptr_t)c->tool->name;
	for (int i = 1; i < argc; i++)
		c->argv[i] = argv[i];
	c->argc = argc > 0 ? argc : 1;
	return 0;
}

static int inform(const struct rn_cli *c, int info, struct rn_err *e)
{
	struct rn_str text = RN_STR_INIT;
	int rc;

	if (info == 'h')
		rc = rn_cli_help(c->tool, &text, e);
	else if (info == 'V')
		rc = rn_cli_version(c->tool, &text, e);
	else
		rc = rn_cli_dump(c->tool, &text, e);
	if (!rc)
		rc = put_text("-", &text, e);
	rn_str_fini(&text);
	return rc;
}

static int begin(struct rn_cli *c, int argc, char **argv, int *info, struct rn_err *e)
{
	RN_TRY(rn_json_object(&c->opt, e));
	RN_TRY(rn_json_object(&c->more, e));
	RN_TRY(rn_json_object(&c->common, e));
	RN_TRY(keep_argv(c, argc, argv, e));
	RN_TRY(rn_cli_parse(c, argc, argv, info, e));
	if (*info)
		return inform(c, *info, e);
	RN_TRY(apply_common(c, e));
	return check_output(c, e);
}

/* Wrong usage in the middle of a pipeline: what reads us shall print the cause, and
 * not that its input is truncated. */
static void refuse_downstream(const struct rn_cli *c, int argc, char **argv, const char *message)
{
	if (!(c->tool->flags & (RN_TOOL_STREAM | RN_TOOL_PIPED)))
		return;
	for (int i = 1; i < argc; i++)
		if (!strncmp(argv[i], "-o", 2) || !strncmp(argv[i], "--output", 8))
			return;
	rn_sink_refuse(c, message);
}

void rn_cli_begin(struct rn_cli *c, const struct rn_tool *tool, int argc, char **argv)
{
	struct rn_err e = { 0 };
	int info = 0, rc;

	open_standard_fds();
	reset_sigpipe();
	signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error like a full disk */
	/* Blocks of a stream come and go: their pages stay with the process, for the
	 * kernel zeroes each page that it hands out again. */
	rn_cli_bound_heap(0);
	*c = (struct rn_cli){ .tool = tool, .output = "-" };
	rc = begin(c, argc, argv, &info, &e);
	if (rc)
		refuse_downstream(c, argc, argv, e.msg);
	if (rc || info)
		exit(rn_cli_end(c, rc, &e));
}

/* ---- option values --------------------------------------------------------------------- */

bool rn_cli_flag(const struct rn_cli *c, const char *name)
{
	return rn_opt_flag(c->opt, c->tool->opts, c->tool->nopts, name);
}

int64_t rn_cli_int(const struct rn_cli *c, const char *name)
{
	return rn_opt_int(c->opt, c->tool->opts, c->tool->nopts, name);
}

double rn_cli_number(const struct rn_cli *c, const char *name)
{
	return rn_opt_number(c->opt, c->tool->opts, c->tool->nopts, name);
}

const char *rn_cli_string(const struct rn_cli *c, const char *name)
{
	return rn_opt_string(c->opt, c->tool->opts, c->tool->nopts, name);
}

const json_t *rn_cli_json(const struct rn_cli *c, const char *name)
{
	return rn_opt_json(c->opt, c->tool->opts, c->tool->nopts, name);
}

int rn_cli_list(const struct rn_cli *c, const char *name, const char *const **out, size_t *n,
		struct rn_err *e)
{
	const json_t *list = rn_cli_json(c, name);
	const char **s;

	*n = json_array_size(list);
	RN_TRY(rn_calloc(*n, sizeof *s, "a list", &s, e));
	for (size_t i = 0; i < *n; i++)
		s[i] = json_string_value(json_array_get(list, i));
	*out = s;
	return 0;
}

/* ---- operators --------------------------------------------------------------------------- */

static struct rn_tool tool_of(const struct rn_op *op, char *name, size_t size)
{
	bool source = op->flags & RN_OP_SOURCE;

	snprintf(name, size, "rn-%s", op->name);
	return (struct rn_tool){
		.name = name,
		.what = op->what,
		.usage = op->usage,
		.examples = op->examples,
		.see_also = op->see_also,
		.opts = op->opts,
		.nopts = op->nopts,
		.flags = RN_TOOL_STREAM | RN_TOOL_NAMED |
			 (op->flags & RN_OP_LEARNS ? RN_TOOL_MODEL : 0) |
			 (source ? RN_TOOL_SOURCE : 0),
		.min_in = op->min_in,
		.max_in = op->max_in,
	};
}

/* With a model the operator applies what its stage learned. */
static int run_operator(struct rn_cli *c, const struct rn_op *op, struct rn_err *e)
{
	struct rn_pipe_conf conf = {
		.ctx = &c->ctx, .op = op, .opt = c->opt, .name = c->name, .nin = c->nin,
		.in = c->in,
		.output = c->output, .writer = c->writer, .argc = c->argc, .argv = c->argv,
	};
	struct rn_pipe_stats stats = { 0 };
	struct rn_model model;
	int rc;

	if (!c->ctx.mem_limit)
		c->ctx.mem_limit = rn_cli_default_mem();
	rn_cli_bound_heap(c->ctx.mem_limit);
	if (c->model) {
		RN_TRY(rn_model_load(c->model, &model, e));
		conf.params = &model.params;
	}
	rc = c->model && op->fit ? rn_model_encoder(&model, c->opt, &conf.name, &conf.fitted, e) : 0;
	if (!rc)
		rc = rn_pipe_run(&conf, &stats, e);
	if (!rc)
		rn_cli_print_stats(c, &stats);
	if (c->model)
		rn_model_fini(&model);
	return rc;
}

int rn_cli_operator(int argc, char **argv, const struct rn_op *op)
{
	struct rn_err e = { 0 };
	struct rn_cli c;
	char name[64];
	struct rn_tool tool = tool_of(op, name, sizeof name);

	rn_cli_begin(&c, &tool, argc, argv);
	return rn_cli_end(&c, run_operator(&c, op, &e), &e);
}
