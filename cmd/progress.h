/* SPDX-License-Identifier: Apache-2.0
 *
 * How far a program is, as one line on standard error: where that is a terminal and
 * standard output is not, after a second, ten times a second at most, and erased before
 * anything else is said.
 */
#ifndef RN_CLI_PROGRESS_H
#define RN_CLI_PROGRESS_H

#include "cli.h"

/* Watch the context of c. */
void rn_meter_start(struct rn_cli *c);
/* Take the line away, if it is there. */
void rn_meter_erase(void);

#endif
