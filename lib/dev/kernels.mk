# The CPU kernels, once for each level of instruction set; cpu_backend.c chooses at run time.
# -fno-trapping-math changes no result: it lets the compiler compute both sides of a select.

RN_KERNEL_FLAGS := -O3 -fno-trapping-math -Wno-psabi -Wno-unknown-pragmas -Wno-pass-failed
RN_ISA_v3 := -march=x86-64-v3
RN_ISA_v4 := -march=x86-64-v4 -mprefer-vector-width=512

ifneq ($(filter x86_64%,$(shell $(CC) -dumpmachine)),)
LIB_OBJ += $(BUILD)/lib/dev/cpu_kernels_v3.o $(BUILD)/lib/dev/cpu_kernels_v4.o
endif

$(BUILD)/lib/dev/cpu_kernels.o: lib/dev/cpu_kernels.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(RN_CFLAGS) $(CFLAGS) $(RN_KERNEL_FLAGS) $(VARIANT_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/lib/dev/cpu_kernels_%.o: lib/dev/cpu_kernels.c
	$(call say,CC,$< ($*))
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(RN_CFLAGS) $(CFLAGS) $(RN_KERNEL_FLAGS) $(RN_ISA_$*) -DRN_ISA=$* \
		$(VARIANT_CFLAGS) -MMD -MP -c -o $@ $<
