/* SPDX-License-Identifier: Apache-2.0
 *
 * Which build is running: the linker's build id of the program, as hex.  Two
 * builds may round differently, so a checkpoint remembers its own.
 */
#ifndef RN_BUILD_H
#define RN_BUILD_H

enum { RN_BUILD_ID_SIZE = 2 * 32 + 1 };

/* At most 64 hex digits, or "none" where the linker wrote no id.  Returns buf. */
const char *rn_build_id(char buf[RN_BUILD_ID_SIZE]);

#endif
