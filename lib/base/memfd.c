/* SPDX-License-Identifier: Apache-2.0 */
#include "memfd.h"

#include <errno.h>
#include <sys/mman.h>

#ifndef MFD_NOEXEC_SEAL /* Linux 6.3 */
#define MFD_NOEXEC_SEAL 8u
#endif

int rn_memfd(const char *name)
{
	const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd = memfd_create(name, flags | MFD_NOEXEC_SEAL); /* some systems forbid others */

	return fd < 0 && errno == EINVAL ? memfd_create(name, flags) : fd;
}
