/* SPDX-License-Identifier: Apache-2.0
 *
 * Between the parts of the emulation.
 */
#ifndef RN_EMULATE_H
#define RN_EMULATE_H

#include "cuda_runtime.h"

#include <memory>
#include <mutex>
#include <vector>

/* Run a kernel to its end. */
void rn_emulate_run(const char *name, dim3 grid, dim3 block, const std::function<void()> &body,
		    bool down);

/* Work of a stream, which is done when somebody waits for it. */
cudaError_t rn_emulate_enqueue(cudaStream_t s, std::function<void()> work);

/* Are all `size` bytes at p memory of the device? */
bool rn_emulate_is_device(const void *p, size_t size);

/* ---- runtime.cc, for share.cc; with the lock held ----------------------------------------- */

/* Where a stream stands that is recorded: behind these nodes of a graph. */
struct rn_emulated_recording;
struct rn_emulated_place {
	std::shared_ptr<rn_emulated_recording> of; /* NULL: nowhere */
	std::vector<size_t> behind;
};
/* false: the stream is not recorded. */
bool rn_emulate_recorded_at(cudaStream_t s, struct rn_emulated_place *at);
/* What comes on s is recorded, and stands behind that place, too. */
cudaError_t rn_emulate_record_behind(cudaStream_t s, const struct rn_emulated_place &at);

std::recursive_mutex &rn_emulate_lock();
uint64_t rn_emulate_setting(const char *name, uint64_t dflt); /* of the environment */
cudaError_t rn_emulate_failed(cudaError_t err); /* err, which cudaGetLastError tells */
/* The allocation that begins at p, in the file of the device's memory. */
bool rn_emulate_block(const void *p, int *file, uint64_t *offset, uint64_t *size);
/* How much work the stream has got. */
bool rn_emulate_stream_at(cudaStream_t s, uint64_t *at, cudaError_t *err);
/* Do its work up to there; false: the device is lost. */
bool rn_emulate_run_until(cudaStream_t s, uint64_t at);
/* Copies take memory of the host for pinned; size 0: no longer. */
void rn_emulate_pin(void *p, size_t size);

/* ---- share.cc, for runtime.cc --------------------------------------------------------------- */

/* Is it memory of another process, or of the host by its address on the device? */
bool rn_emulate_is_shared(const void *p, size_t size);
void rn_emulate_protect_shared(int prot);

/* Says what is wrong, and aborts: what a device would answer with garbage. */
[[noreturn]] void rn_emulate_die(const char *what);

#endif
