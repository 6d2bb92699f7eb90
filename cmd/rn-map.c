/* SPDX-License-Identifier: Apache-2.0
 *
 * rn-map: an expression over the embedding.
 */
#include "../lib/op/op_table.h"
#include "cli.h"

int main(int argc, char **argv)
{
	return rn_cli_operator(argc, argv, &rn_op_map);
}
