/* SPDX-License-Identifier: Apache-2.0
 *
 * Settings of runs on the command line: `--metric mae` is of all runs that have a metric,
 * `--metric test=mae` of the one that is called test (a val run is called val).  A row of
 * such an option is a raw list, or a flag with RN_CLI_NAMED.
 */
#ifndef RN_SETTINGS_H
#define RN_SETTINGS_H

#include "cli.h"

#include "../lib/plan/plan.h"

/* The kind of run that an input is of, by its option; RN_RUN_FIT: an operand. */
enum rn_run_kind rn_sink_kind(const struct rn_operand *in);
/* The row of a setting, or NULL: runs of this kind have none. */
const struct rn_opt *rn_setting_row(enum rn_run_kind kind, const char *setting);
/* What the command line says of a setting of the run: a text, or NULL.  run: its name; NULL: "val". */
const char *rn_setting_find(const struct rn_cli *c, const char *setting, const char *run);
/* Is every NAME= a run's, of the inputs or of p (NULL: of the inputs alone), and is nothing
 * said twice? */
RN_MUST_CHECK int rn_settings_check(const struct rn_cli *c, const struct rn_plan *p,
				    struct rn_err *e);
/* What the command line says of the run into its options. */
RN_MUST_CHECK int rn_settings_apply(const struct rn_cli *c, enum rn_run_kind kind, json_t *opt,
				    struct rn_err *e);

#endif
