/* SPDX-License-Identifier: Apache-2.0
 *
 * How much memory this process took.
 */
#ifndef RN_PEAK_H
#define RN_PEAK_H

#include <stdint.h>

/* The most that was resident at once, in bytes, since the program began.  others: what of the memory
 * that is resident now are pages of files and what is shared with other processes; may be NULL. */
uint64_t rn_peak_memory(uint64_t *others);

#endif
