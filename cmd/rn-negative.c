/* SPDX-License-Identifier: Apache-2.0
 *
 * rn-negative: pairs that are not there beside those that are.
 */
#include "../lib/op/op_table.h"
#include "cli.h"

int main(int argc, char **argv)
{
	return rn_cli_operator(argc, argv, &rn_op_negative);
}
