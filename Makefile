# RN: small programs that train neural networks written as database queries.
#
#   make                 build into build/release; programs in build/release/bin
#   make check           all tests: unit, operators, command line, SQLite, 20 s of each fuzz target
#   make check-long      the same with wide sweeps, and fuzzing for FUZZ_SECONDS=600 each
#   make check-asan      the tests under ASan and UBSan (check-ubsan, check-tsan alike)
#   make check-valgrind  the unit tests under valgrind
#   make check-cuda      the tests of the CUDA backend on a device; skipped where there is none
#   make fuzz            libFuzzer on every target, FUZZ_SECONDS=60 each (clang)
#   make lint            layers, shell scripts, man pages
#   make bench           benchmarks
#   make install         PREFIX=/usr/local DESTDIR=   (and uninstall)
#   make clean           remove build/
#
# Variables: CC CFLAGS CPPFLAGS LDFLAGS are yours; V=1 shows commands, DEVELOPER=1 adds
# -Werror, VARIANT=asan|ubsan|tsan builds another variant, JOBS=N runs tests in parallel,
# CUDA=0 leaves out the CUDA backend (cuda/cuda.mk).
#
# One non-recursive file.  Objects live in build/VARIANT, so variants never mix.

VARIANT ?= release
BUILD   ?= build/$(VARIANT)
PREFIX  ?= /usr/local
DESTDIR ?=
CC      ?= cc
CFLAGS  ?= -O2 -g
JOBS    ?= $(shell nproc)
V       ?= 0

# Folders in the order in which they may depend on each other (scripts/check-layers).
LIB_DIRS ?= lib/base lib/rel lib/dev lib/expr formats lib/op lib/plan lib/plan/rewrite lib/learn \
            lib/exec lib/train lib/lang

PKGS        := libzstd libxxhash jansson zlib
PKG_CFLAGS  ?= $(shell pkg-config --cflags $(PKGS))
PKG_LIBS    ?= $(shell pkg-config --libs libzstd jansson zlib)
VARIANT_CFLAGS_release :=
VARIANT_CFLAGS_asan    := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
VARIANT_CFLAGS_ubsan   := -O1 -fsanitize=undefined -fno-sanitize-recover=all
VARIANT_CFLAGS_tsan    := -O1 -fsanitize=thread
VARIANT_CFLAGS_fuzz    := -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
VARIANT_CFLAGS := $(VARIANT_CFLAGS_$(VARIANT))

RN_CFLAGS := -std=c11 -D_GNU_SOURCE -ffp-contract=off -fno-math-errno -fvisibility=hidden -pthread \
             -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wwrite-strings \
             -Wformat=2 -Wno-format-nonliteral -Wno-unknown-warning-option \
             -Wno-maybe-uninitialized $(VARIANT_CFLAGS) $(PKG_CFLAGS)
ifdef DEVELOPER
RN_CFLAGS += -Werror
endif
LIBS := $(PKG_LIBS) -lm -ldl -pthread
RPATH := -Wl,-rpath,'$$ORIGIN/../lib' # of librn_cuda.so

LIB_SRC := $(sort $(wildcard $(addsuffix /*.c,$(LIB_DIRS))))
LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/%.o)

# A program is cmd/rn-NAME.c; the other files there are what programs share.
MAIN_SRC := $(sort $(wildcard cmd/rn-*.c))
CMD_SRC  := $(filter-out $(MAIN_SRC),$(sort $(wildcard cmd/*.c)))
CMD_OBJ  := $(CMD_SRC:%.c=$(BUILD)/%.o)
PROGRAMS := $(MAIN_SRC:cmd/%.c=$(BUILD)/bin/%)
MAN1     := $(sort $(wildcard cmd/*.1))
MAN5     := $(sort $(wildcard formats/*.5))
MAN7     := $(sort $(wildcard cmd/*.7))

# A test program is test_NAME.c; the other files of its folder are linked to each.
UNIT_SRC  := $(sort $(wildcard tests/unit/*.c))
UNIT_MAIN := $(filter tests/unit/test_%,$(UNIT_SRC))
OPS_SRC   := $(sort $(wildcard tests/ops/*.c))
OPS_MAIN  := $(filter tests/ops/test_%,$(OPS_SRC))
DIFF_SRC  := $(sort $(wildcard tests/differential/*.c))
DIFF_MAIN := $(filter tests/differential/test_%,$(DIFF_SRC))
FUZZ_SRC  := $(sort $(wildcard tests/fuzz/*.c))
FUZZ_MAIN := $(filter tests/fuzz/fuzz_%,$(FUZZ_SRC))
TEST_SRC  := $(UNIT_SRC) $(OPS_SRC) $(DIFF_SRC) $(FUZZ_SRC)
UNIT      := $(UNIT_MAIN:%.c=$(BUILD)/%)
OPS       := $(OPS_MAIN:%.c=$(BUILD)/%)
DIFF      := $(DIFF_MAIN:%.c=$(BUILD)/%)
FUZZ      := $(FUZZ_MAIN:%.c=$(BUILD)/%)
CLI       := $(sort $(wildcard tests/cli/*.bats))

ifeq ($(V),0)
Q := @
say = @printf '  %-4s %s\n' '$(1)' '$(2)'
else
say = @:
endif

all: $(BUILD)/librn.a $(PROGRAMS)

MAKEFLAGS += --no-builtin-rules
$(BUILD)/%.d: ;

ifneq ($(filter lib/dev,$(LIB_DIRS)),)
-include lib/dev/kernels.mk
endif

$(BUILD)/librn.a: $(LIB_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

$(BUILD)/%.o: %.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(RN_CFLAGS) $(CFLAGS) $(VARIANT_CFLAGS) -MMD -MP -c -o $@ $<

link = $(Q)mkdir -p $(@D) && $(CC) $(RN_CFLAGS) $(CFLAGS) $(VARIANT_CFLAGS) $(RPATH) $(LDFLAGS) -o $@ $^ $(LIBS)

$(PROGRAMS): $(BUILD)/bin/%: $(BUILD)/cmd/%.o $(CMD_OBJ) $(BUILD)/librn.a
	$(call say,LD,$@)
	$(link)

objects = $(patsubst %.c,$(BUILD)/%.o,$(filter-out $(1),$(2)))

$(UNIT): $(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(call objects,$(UNIT_MAIN),$(UNIT_SRC)) \
		$(BUILD)/librn.a
	$(call say,LD,$@)
	$(link) -lsqlite3

$(DIFF): $(BUILD)/tests/differential/%: $(BUILD)/tests/differential/%.o \
		$(call objects,$(DIFF_MAIN),$(DIFF_SRC)) $(BUILD)/librn.a
	$(call say,LD,$@)
	$(link) -lsqlite3

$(OPS): $(BUILD)/tests/ops/%: $(BUILD)/tests/ops/%.o $(call objects,$(OPS_MAIN),$(OPS_SRC)) \
		$(BUILD)/librn.a
	$(call say,LD,$@)
	$(link) -lsqlite3

ifneq ($(VARIANT),fuzz)
$(FUZZ): $(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/%.o $(call objects,$(FUZZ_MAIN),$(FUZZ_SRC)) \
		$(BUILD)/librn.a
	$(call say,LD,$@)
	$(link)
else
$(FUZZ): $(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/%.o $(BUILD)/librn.a
	$(call say,LD,$@)
	$(link) -fsanitize=fuzzer
endif

include cuda/cuda.mk
ifeq ($(CUDA),1)
all: $(CUDA_SO)
endif

# ---- tests ----------------------------------------------------------------------------------

tests: $(UNIT) $(OPS) $(DIFF) $(FUZZ) $(CUDA_TESTS)

# A fuzz target runs over its corpus, tests/fuzz/corpus/NAME, and mutations of it.
check: all tests
	@RN_BIN='$(abspath $(BUILD)/bin)' RN_VARIANT='$(VARIANT)' \
		scripts/run-tests -j '$(JOBS)' -o '$(BUILD)/check' \
		$(DIFF) $(UNIT) $(OPS) $(CUDA_TESTS) $(FUZZ) $(CLI)

check-long:
	@RN_LONG=1 $(MAKE) check
	@$(MAKE) fuzz FUZZ_SECONDS=$(if $(filter file,$(origin FUZZ_SECONDS)),600,$(FUZZ_SECONDS))

check-asan:
	@UBSAN_OPTIONS=print_stacktrace=1 $(MAKE) check VARIANT=asan
check-ubsan:
	@UBSAN_OPTIONS=print_stacktrace=1 $(MAKE) check VARIANT=ubsan
check-tsan: # which is ten times as slow; what is fuzzed has no threads
	@TEST_TIMEOUT=$${TEST_TIMEOUT:-5400} RN_FUZZ_SECONDS=$${RN_FUZZ_SECONDS:-2} $(MAKE) check VARIANT=tsan

check-valgrind: $(UNIT)
	@for t in $(UNIT); do \
		echo "$$t"; \
		valgrind -q --error-exitcode=99 --leak-check=full "$$t" >/dev/null || exit 1; \
	done

FUZZ_SECONDS ?= 60
FUZZ_BUILD   ?= build/fuzz
fuzz:
	@$(MAKE) VARIANT=fuzz CC=clang BUILD='$(FUZZ_BUILD)' $(FUZZ_MAIN:%.c=$(FUZZ_BUILD)/%)
	@printf '%s\n' $(patsubst tests/fuzz/fuzz_%.c,%,$(FUZZ_MAIN)) | \
		xargs -P '$(JOBS)' -I NAME scripts/fuzz '$(FUZZ_BUILD)' '$(FUZZ_SECONDS)' NAME

lint:
	@for s in scripts/check-*; do if [ -x "$$s" ]; then "$$s" || exit 1; fi; done
	shellcheck -x -S warning $(shell grep -lE '^#!.*sh$$|shellcheck shell=' scripts/* .ci/* tests/cli/*.bash \
		examples/over examples/*.sh examples/*/*.sh 2>/dev/null)
	mandoc -T lint -W error $(MAN1) $(MAN5) $(MAN7)

bench: all
	@RN_BIN='$(abspath $(BUILD)/bin)' scripts/bench

# ---- installing -------------------------------------------------------------------------------

BINDIR  := $(DESTDIR)$(PREFIX)/bin
LIBDIR  := $(DESTDIR)$(PREFIX)/lib
MANDIR  := $(DESTDIR)$(PREFIX)/share/man
BASHDIR := $(DESTDIR)$(PREFIX)/share/bash-completion/completions
ZSHDIR  := $(DESTDIR)$(PREFIX)/share/zsh/site-functions
FISHDIR := $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
NAMES   := $(notdir $(PROGRAMS))

# bash and fish look for a file of each program's name; zsh has one for the pattern rn-*.
install: all
	install -d $(BINDIR) $(MANDIR)/man1 $(MANDIR)/man5 $(MANDIR)/man7 $(BASHDIR) $(ZSHDIR) $(FISHDIR)
	install -m 755 $(PROGRAMS) $(BINDIR)
ifeq ($(CUDA),1)
	install -d $(LIBDIR)
	install -m 755 $(CUDA_SO) $(LIBDIR)
endif
	install -m 644 completion/rn.bash $(BASHDIR)/rn.bash
	for p in $(NAMES); do ln -sf rn.bash $(BASHDIR)/$$p || exit 1; done
	install -m 644 completion/_rn $(ZSHDIR)
	for p in $(NAMES); do install -m 644 completion/rn.fish $(FISHDIR)/$$p.fish || exit 1; done
	install -m 644 $(MAN1) $(MANDIR)/man1
	install -m 644 $(MAN5) $(MANDIR)/man5
	install -m 644 $(MAN7) $(MANDIR)/man7

uninstall:
	rm -f $(addprefix $(BINDIR)/,$(NAMES)) $(LIBDIR)/$(notdir $(CUDA_SO)) \
		$(addprefix $(BASHDIR)/,rn.bash $(NAMES)) $(ZSHDIR)/_rn \
		$(patsubst %,$(FISHDIR)/%.fish,$(NAMES)) \
		$(addprefix $(MANDIR)/man1/,$(notdir $(MAN1))) \
		$(addprefix $(MANDIR)/man5/,$(notdir $(MAN5))) \
		$(addprefix $(MANDIR)/man7/,$(notdir $(MAN7)))

clean:
	rm -rf build

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

.PRECIOUS: $(BUILD)/%.o
.PHONY: all tests check check-long check-asan check-ubsan check-tsan check-valgrind fuzz lint bench \
	install uninstall clean help

-include $(LIB_OBJ:.o=.d) $(CMD_OBJ:.o=.d) $(MAIN_SRC:%.c=$(BUILD)/%.d) $(TEST_SRC:%.c=$(BUILD)/%.d)
