/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests that use librn_cuda.so: that of this build, which emulates a device, unless
 * RN_CUDA_TEST says otherwise (device: the one that is here).
 */
#ifndef EMULATED_H
#define EMULATED_H

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* To be called first: main begins anew with the library where the loader finds it as any other. */
static inline void use_emulation(char **argv)
{
	char path[4000], *end;
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 20);

	if (getenv("RN_CUDA_TEST"))
		return;
	path[n > 0 ? n : 0] = 0;
	for (unsigned up = 0; up < 3; up++) { /* BUILD/tests/cuda/test_… */
		end = strrchr(path, '/');
		if (end)
			*end = 0;
	}
	strcat(path, "/emulated");
	setenv("LD_LIBRARY_PATH", path, 1);
	setenv("RN_CUDA_TEST", "emulated", 1);
	execv("/proc/self/exe", argv);
}

#endif
