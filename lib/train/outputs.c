/* SPDX-License-Identifier: Apache-2.0
 *
 * The files that a session writes when it is over, looked at before it begins.
 */
#include "session.h"

#include "../base/uri.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int make_folder(const char *path, struct rn_err *e)
{
	if (path && mkdir(path, 0777) && errno != EEXIST)
		return rn_err_errno(e, "cannot make the folder '%s'", path);
	return 0;
}

int rn_outputs_path(const struct rn_session *s, const struct rn_run *r, struct rn_str *path,
		    struct rn_err *e)
{
	const char *to = rn_run_string(r, "to"), *dir = s->conf->output_dir;

	if (dir && (!to || (*to != '/' && strcmp(to, "-") && !rn_uri_kind(to))))
		rn_str_addf(path, "%s/", dir);
	if (to)
		rn_str_add(path, to);
	else
		rn_str_addf(path, "%s.csv", rn_run_string(r, "name"));
	return rn_str_check(path, e);
}

/* Two outputs of one name would be one. */
static int add_output(struct rn_str *seen, const char *path, const char *what, struct rn_err *e)
{
	size_t n = strlen(path);

	for (const char *p = seen->s; *p; p += strlen(p) + 1)
		if (!strcmp(p, path))
			return rn_err_set(e, RN_EUSAGE, "%s: '%s' is written as another output already", what, path);
	rn_str_addn(seen, path, n + 1);
	return rn_str_check(seen, e);
}

static int check_output(struct rn_str *seen, const char *path, const char *what, struct rn_err *e)
{
	const char *slash = path ? strrchr(path, '/') : NULL;
	struct rn_str full = RN_STR_INIT;
	char *dir, *real;
	struct stat st;
	int rc;

	if (!path)
		return 0;
	RN_TRY(rn_io_check_write(path, e));
	if (!strcmp(path, "-") || (!stat(path, &st) && !S_ISREG(st.st_mode)))
		return 0; /* /dev/null may be written twice */
	dir = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
	if (!dir)
		return rn_err_nomem(e, strlen(path), "a file name");
	/* However the folder is written: ./a and a are one file. */
	real = realpath(dir, NULL);
	rn_str_addf(&full, "%s/%s", real ? real : dir, slash ? slash + 1 : path);
	free(real);
	free(dir);
	rc = rn_str_check(&full, e);
	if (!rc)
		rc = add_output(seen, full.s, what, e);
	rn_str_fini(&full);
	return rc;
}

int rn_outputs_check(const struct rn_session *s, struct rn_err *e)
{
	const struct rn_train_conf *c = s->conf;
	struct rn_str seen = RN_STR_INIT, path = RN_STR_INIT;
	int rc;

	RN_GOTO(out, make_folder(c->output_dir, e));
	RN_GOTO(out, make_folder(c->save_weights, e));
	RN_GOTO(out, check_output(&seen, c->model, "model", e));
	RN_GOTO(out, check_output(&seen, c->checkpoint, "--checkpoint", e));
	RN_GOTO(out, check_output(&seen, c->log, "--log", e));
	for (uint32_t i = 0; i < s->plan->nruns; i++) {
		if (s->plan->runs[i].kind != RN_RUN_PRED)
			continue;
		rn_str_clear(&path);
		RN_GOTO(out, rn_outputs_path(s, &s->plan->runs[i], &path, e));
		RN_GOTO(out, check_output(&seen, path.s, rn_run_string(&s->plan->runs[i], "name"), e));
	}
out:
	rn_str_fini(&seen);
	rn_str_fini(&path);
	return rc;
}
