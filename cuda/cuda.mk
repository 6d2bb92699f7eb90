# The CUDA backend: a library of its own, $(BUILD)/lib/librn_cuda.so, which alone is linked
# to CUDA's, and which programs load when they are asked for a device.
#
#   CUDA=0|1       1 where there is an nvcc; without it everything else builds and passes
#   CUDA_ARCHS     compute capabilities to make code for; the last one also as PTX
#   CUDA_INCLUDE, CUDA_LIB  folders of cuBLAS and NVRTC, where the toolkit is without them
#
# The same sources, with no nvcc, and tests/cuda/emulate in the place of CUDA's headers, make
# $(BUILD)/emulated/librn_cuda.so: that runs on the CPU, for tests.

CUDA_HOME  ?= $(patsubst %/bin/nvcc,%,$(firstword $(wildcard $(shell command -v nvcc 2>/dev/null) \
                /usr/local/cuda/bin/nvcc)))
NVCC       ?= $(CUDA_HOME)/bin/nvcc
CUDA       ?= $(if $(and $(wildcard $(NVCC)),$(filter release,$(VARIANT))),1,0)
CUDA_ARCHS ?= 80 90
CUDA_INCLUDE ?= $(CUDA_HOME)/include
CUDA_LIB     ?= $(CUDA_HOME)/lib64
CXX        ?= c++

CUDA_C  := $(sort $(wildcard cuda/*.c))
CUDA_CU := $(sort $(wildcard cuda/*.cu))
# What the library has of its own of librn.a.
CUDA_LIB_C := $(addprefix lib/base/,err.c mem.c str.c) $(addprefix lib/dev/,prog.c prog_check.c)

# What NVRTC gets before the kernels that RN makes, as a string.
CUDA_TEXT := $(BUILD)/cuda_text/device_text.h
$(CUDA_TEXT): cuda/args.h cuda/device.cuh
	@mkdir -p $(@D)
	@sed 's/[\\"]/\\&/g; s/.*/"&\\n"/' $^ >$@

CUDA_SO     := $(BUILD)/lib/librn_cuda.so
EMULATED_SO := $(BUILD)/emulated/librn_cuda.so

# ---- for the device -------------------------------------------------------------------------

CUDA_OBJ := $(patsubst %,$(BUILD)/device/%.o,$(CUDA_C) $(CUDA_CU) $(CUDA_LIB_C))
cuda_gencode = $(foreach a,$(CUDA_ARCHS),-gencode arch=compute_$(a),code=sm_$(a)) \
	-gencode arch=compute_$(lastword $(CUDA_ARCHS)),code=compute_$(lastword $(CUDA_ARCHS))
# A product and a sum are one operation only where fmaf says so: as on the CPU.
NVCC_FLAGS := -std=c++17 -O3 -lineinfo -fmad=false -Xcompiler -fPIC,-fvisibility=hidden,-Wall

# Says once what is built; changes when that does, and what depends on it is made anew.
cuda_config := CUDA=$(CUDA)$(if $(filter 1,$(CUDA)), with $(NVCC) for $(CUDA_ARCHS) and PTX)
$(BUILD)/cuda.config: FORCE
	@mkdir -p $(@D)
	@echo '$(cuda_config)' | cmp -s - $@ || { echo '  $(cuda_config)'; echo '$(cuda_config)' >$@; }

$(BUILD)/device/%.c.o: %.c $(BUILD)/cuda.config | $(CUDA_TEXT)
	$(call say,CC,$< (device))
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(RN_CFLAGS) $(CFLAGS) -fPIC -I$(dir $(CUDA_TEXT)) -isystem $(CUDA_HOME)/include \
		-isystem $(CUDA_INCLUDE) -MMD -MP -c -o $@ $<

$(BUILD)/device/%.cu.o: %.cu $(BUILD)/cuda.config
	$(call say,NVCC,$<)
	@mkdir -p $(@D)
	$(Q)$(NVCC) $(NVCC_FLAGS) $(cuda_gencode) -MMD -MP -MF $(@:.o=.d) -c -o $@ $<

$(CUDA_SO): $(CUDA_OBJ)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(NVCC) -shared -o $@ $^ $(cuda_gencode) -cudart static -L$(CUDA_LIB) -lcublas \
		-Xlinker -rpath=$(CUDA_LIB),--no-undefined -lm -ldl -lpthread

# ---- emulated ---------------------------------------------------------------------------------

EMULATE    := tests/cuda/emulate
EMULATE_CC := $(filter-out %/nvrtc.cc,$(sort $(wildcard $(EMULATE)/*.cc)))
EMULATED_NVRTC := $(BUILD)/emulated/libnvrtc.so.13
EMULATED_OBJ := $(patsubst %,$(BUILD)/emulated/%.o,$(CUDA_C) $(CUDA_CU) $(CUDA_LIB_C) $(EMULATE_CC))
# Kernels run on fibres, which ThreadSanitizer does not know: it sees the code of the host alone.
EMULATED_VARIANT := $(if $(filter tsan fuzz,$(VARIANT)),,$(VARIANT_CFLAGS))
EMULATED_HOST    := $(if $(filter tsan,$(VARIANT)),$(VARIANT_CFLAGS))
EMULATED_FLAGS := -I$(EMULATE) -I$(dir $(CUDA_TEXT)) -fPIC -O2 -g -ffp-contract=off \
                  -fno-math-errno -pthread -Wall -Wextra -Wno-unknown-pragmas -Wno-maybe-uninitialized $(EMULATED_VARIANT)

$(BUILD)/emulated/%.c.o: %.c | $(CUDA_TEXT)
	$(call say,CC,$< (emulated))
	@mkdir -p $(@D)
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE $(CPPFLAGS) $(PKG_CFLAGS) $(EMULATED_FLAGS) $(EMULATED_HOST) -MMD -MP -c -o $@ $<

$(BUILD)/emulated/%.cu.o: %.cu
	$(call say,CXX,$< (emulated))
	@mkdir -p $(@D)
	$(Q)$(CXX) -std=c++17 $(CPPFLAGS) $(EMULATED_FLAGS) -MMD -MP -c -o $@ -x c++ $<

$(BUILD)/emulated/%.cc.o: %.cc
	$(call say,CXX,$<)
	@mkdir -p $(@D)
	$(Q)$(CXX) -std=c++17 $(CPPFLAGS) $(EMULATED_FLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/emulated/$(EMULATE)/nvrtc.cc.o: CPPFLAGS += -DRN_EMULATE_DIR='"$(abspath $(EMULATE))"'

# By its soname it is found again by the kernels that its NVRTC makes.
$(EMULATED_SO): $(EMULATED_OBJ) | $(EMULATED_NVRTC)
	$(call say,LD,$@)
	$(Q)$(CXX) -shared $(EMULATED_VARIANT) -Wl,-soname,$(@F) -o $@ $^ $(LIBS)

$(EMULATED_NVRTC): $(BUILD)/emulated/$(EMULATE)/nvrtc.cc.o
	$(call say,LD,$@)
	$(Q)$(CXX) -shared $(EMULATED_VARIANT) -Wl,-soname,$(@F) -o $@ $^

# ---- tests ---------------------------------------------------------------------------------------

CUDA_TEST_SRC  := $(sort $(wildcard tests/cuda/*.c))
CUDA_TEST_MAIN := $(filter tests/cuda/test_%,$(CUDA_TEST_SRC))
CUDA_TESTS     := $(CUDA_TEST_MAIN:%.c=$(BUILD)/%)

# They see the declarations of the emulated runtime.
$(BUILD)/tests/cuda/test_fuse.o $(BUILD)/tests/cuda/fuse_gen.o: CPPFLAGS += -I$(EMULATE)

$(CUDA_TESTS): RPATH := -Wl,-rpath,'$$ORIGIN/../../lib'
$(CUDA_TESTS): $(BUILD)/tests/cuda/%: $(BUILD)/tests/cuda/%.o \
		$(call objects,$(CUDA_TEST_MAIN),$(CUDA_TEST_SRC)) $(BUILD)/librn.a | $(EMULATED_SO)
	$(call say,LD,$@)
	$(link)

# On a device, where there is one.
cuda-tests: $(CUDA_TESTS)
check-cuda: all cuda-tests
	@for t in $(CUDA_TESTS); do RN_CUDA_TEST=device "$$t" || exit 1; done

-include $(BUILD)/emulated/$(EMULATE)/nvrtc.cc.d $(CUDA_OBJ:.o=.d) $(EMULATED_OBJ:.o=.d) $(CUDA_TEST_SRC:%.c=$(BUILD)/%.d)

FORCE:
.PHONY: check-cuda cuda-tests FORCE
