/* SPDX-License-Identifier: Apache-2.0
 *
 * Kernels from text, by the host's compiler: a library of its own, which stands where
 * NVRTC's stands.  To each kernel NAME it adds a function NAME_bind, which takes the
 * arguments of a launch (library.cc).
 */
#include "nvrtc.h"
#include "emulate.h"

#include <dlfcn.h>
#include <fstream>
#include <iterator>
#include <set>
#include <stdlib.h>
#include <string>
#include <unistd.h>

struct rn_emulated_program {
	std::string text, image, log;
};

/* Of this library, beside which librn_cuda.so lies. */
static std::string folder()
{
	static const int here = 0;
	Dl_info info;

	if (!dladdr(&here, &info))
		return ".";
	std::string path = info.dli_fname;
	return path.substr(0, path.find_last_of('/'));
}

static std::string slurp(const std::string &path)
{
	std::ifstream f(path, std::ios::binary);

	return std::string(std::istreambuf_iterator<char>(f), {});
}

/* The names of all `void NAME(` behind __global__. */
static std::set<std::string> kernels(const std::string &text)
{
	std::set<std::string> names;

	for (size_t at = 0; (at = text.find("__global__", at)) != text.npos; at++) {
		size_t end = text.find('(', at), from;

		if (text.substr(at, end - at).find("__launch_bounds__") != text.npos)
			end = text.find('(', end + 1);
		from = text.find_last_of(" \t\n*", end - 1) + 1;
		if (end != text.npos)
			names.insert(text.substr(from, end - from));
	}
	return names;
}

extern "C" {

nvrtcResult nvrtcCreateProgram(nvrtcProgram *p, const char *text, const char *name, int nheaders,
			       const char *const *headers, const char *const *names)
{
	(void)name, (void)nheaders, (void)headers, (void)names;
	*p = new rn_emulated_program{ text, "", "" };
	return NVRTC_SUCCESS;
}

nvrtcResult nvrtcCompileProgram(nvrtcProgram p, int n, const char *const *options)
{
	char dir[] = "/tmp/rn-emulate-XXXXXX";
	std::string base, command;
	int rc;

	(void)n, (void)options;
	if (!mkdtemp(dir))
		return NVRTC_ERROR_OUT_OF_MEMORY;
	base = std::string(dir) + "/k";
	{
		std::ofstream f(base + ".cc");

		f << "#include \"cuda_runtime.h\"\n" << p->text << "\n";
		for (const std::string &k : kernels(p->text))
			f << "extern \"C\" std::function<void()> *" << k
			  << "_bind(void **args) { return rn_emulate_bind(" << k << ", args); }\n";
	}
	/* -fno-builtin: a function of a constant is what the library computes, too. */
	command = "c++ -std=c++17 -O1 -w -fPIC -shared -ffp-contract=off -fno-math-errno -fno-builtin "
		  "-I'" RN_EMULATE_DIR "' -o " + base + ".so " + base + ".cc -L'" + folder() +
		  "' -l:librn_cuda.so 2>" + base + ".log";
	rc = system(command.c_str());
	p->log = slurp(base + ".log");
	p->image = slurp(base + ".so");
	for (const char *end : { ".cc", ".so", ".log" })
		unlink((base + end).c_str());
	rmdir(dir);
	return rc ? NVRTC_ERROR_COMPILATION : NVRTC_SUCCESS;
}

/* Its size stands before the library: who loads an image is not told it. */
nvrtcResult nvrtcGetCUBINSize(nvrtcProgram p, size_t *size)
{
	*size = sizeof(uint64_t) + p->image.size();
	return NVRTC_SUCCESS;
}

nvrtcResult nvrtcGetCUBIN(nvrtcProgram p, char *image)
{
	uint64_t size = p->image.size();

	memcpy(image, &size, sizeof size);
	memcpy(image + sizeof size, p->image.data(), size);
	return NVRTC_SUCCESS;
}

nvrtcResult nvrtcGetProgramLogSize(nvrtcProgram p, size_t *size)
{
	*size = p->log.size() + 1;
	return NVRTC_SUCCESS;
}

nvrtcResult nvrtcGetProgramLog(nvrtcProgram p, char *log)
{
	memcpy(log, p->log.c_str(), p->log.size() + 1);
	return NVRTC_SUCCESS;
}

nvrtcResult nvrtcDestroyProgram(nvrtcProgram *p)
{
	delete *p;
	*p = nullptr;
	return NVRTC_SUCCESS;
}

const char *nvrtcGetErrorString(nvrtcResult r)
{
	return r == NVRTC_SUCCESS ? "no error" : "compilation failed";
}

} // extern "C"
