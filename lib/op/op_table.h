/* SPDX-License-Identifier: Apache-2.0
 *
 * The operators' rows, one per file of this folder.
 */
#ifndef RN_OP_TABLE_H
#define RN_OP_TABLE_H

#include "op.h"

extern const struct rn_op rn_op_scan, rn_op_filter, rn_op_project, rn_op_join, rn_op_agg,
	rn_op_union, rn_op_sort, rn_op_map, rn_op_linear, rn_op_embed, rn_op_encode, rn_op_loss,
	rn_op_negative, rn_op_decode;

#define RN_OPTS(table) .opts = (table), .nopts = sizeof(table) / sizeof((table)[0])

#endif
