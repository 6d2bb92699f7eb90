/* SPDX-License-Identifier: Apache-2.0
 *
 * A file in memory, for what processes share.
 */
#ifndef RN_MEMFD_H
#define RN_MEMFD_H

/* An empty one, which can be sealed, and cannot be executed where the kernel knows of that; `name` is
 * what /proc shows.  Its descriptor, which exec(2) closes; -1 with errno: there is none. */
int rn_memfd(const char *name);

#endif
