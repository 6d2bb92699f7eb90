/* SPDX-License-Identifier: Apache-2.0
 *
 * The list of operators.  A new one is a file op_NAME.c, a declaration and a
 * row here; programs, specs, documentation and the table test follow from it.
 */
#include "op_table.h"

const struct rn_op *const rn_op_table[] = {
	&rn_op_scan, &rn_op_filter, &rn_op_project, &rn_op_join,  &rn_op_agg,    &rn_op_union,
	&rn_op_sort, &rn_op_map,    &rn_op_linear,  &rn_op_embed, &rn_op_encode, &rn_op_loss,
	&rn_op_negative, &rn_op_decode,
};
const size_t rn_op_count = sizeof rn_op_table / sizeof rn_op_table[0];
