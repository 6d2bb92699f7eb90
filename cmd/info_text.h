/* SPDX-License-Identifier: Apache-2.0
 *
 * The facts that rn-info gathers (one JSON object, as --json prints it) as text: aligned on
 * a terminal, elsewhere a line for each column and part.
 */
#ifndef RN_INFO_TEXT_H
#define RN_INFO_TEXT_H

#include "term.h"

#include <jansson.h>

RN_MUST_CHECK int rn_info_text(const json_t *facts, struct rn_term term, struct rn_str *out,
			       struct rn_err *e);

#endif
