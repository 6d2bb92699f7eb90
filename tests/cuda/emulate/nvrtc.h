/* SPDX-License-Identifier: Apache-2.0
 *
 * So much of NVRTC as cuda/ uses: kernels from text.  The image of a program is a shared
 * library that the host's compiler makes of it (nvrtc.cc).
 */
#ifndef RN_EMULATE_NVRTC_H
#define RN_EMULATE_NVRTC_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
	NVRTC_SUCCESS = 0,
	NVRTC_ERROR_OUT_OF_MEMORY = 1,
	NVRTC_ERROR_COMPILATION = 6,
} nvrtcResult;
typedef struct rn_emulated_program *nvrtcProgram;

nvrtcResult nvrtcCreateProgram(nvrtcProgram *p, const char *text, const char *name, int nheaders,
			       const char *const *headers, const char *const *names);
nvrtcResult nvrtcCompileProgram(nvrtcProgram p, int n, const char *const *options);
nvrtcResult nvrtcGetCUBINSize(nvrtcProgram p, size_t *size);
nvrtcResult nvrtcGetCUBIN(nvrtcProgram p, char *image);
nvrtcResult nvrtcGetProgramLogSize(nvrtcProgram p, size_t *size);
nvrtcResult nvrtcGetProgramLog(nvrtcProgram p, char *log);
nvrtcResult nvrtcDestroyProgram(nvrtcProgram *p);
const char *nvrtcGetErrorString(nvrtcResult r);

#ifdef __cplusplus
}
#endif

#endif
