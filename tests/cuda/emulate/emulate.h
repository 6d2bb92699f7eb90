/* SPDX-License-Identifier: Apache-2.0
 *
 * Between the parts of the emulation.
 */
#ifndef RN_EMULATE_H
#define RN_EMULATE_H

#include "cuda_runtime.h"

/* Run a kernel to its end. */
void rn_emulate_run(const char *name, dim3 grid, dim3 block, const std::function<void()> &body,
		    bool down);

/* Work of a stream, which is done when somebody waits for it. */
cudaError_t rn_emulate_enqueue(cudaStream_t s, std::function<void()> work);

/* Are all `size` bytes at p memory of the device? */
bool rn_emulate_is_device(const void *p, size_t size);

/* Says what is wrong, and aborts: what a device would answer with garbage. */
[[noreturn]] void rn_emulate_die(const char *what);

#endif
