/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RN_LIMITS_H
#define RN_LIMITS_H

#include <stdint.h>

/* What --mem is unless given: three quarters of the machine's memory, or of what the
 * process's control groups allow, if that is less; 0: not known. */
uint64_t rn_cli_default_mem(void);
/* How much freed memory the process keeps: as much as suits --mem (0: none). */
void rn_cli_bound_heap(uint64_t mem);

#endif
