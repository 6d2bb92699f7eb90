/* SPDX-License-Identifier: Apache-2.0
 *
 * The allocator that fails on demand, for all files of this program (ops.h declares what
 * they call).
 */
#include "ops.h"

#define ALLOC_FN
#include "../unit/alloc.h"
