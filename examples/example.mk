# What the examples share.  Included by examples/NAME/Makefile, which sets EXAMPLE, and DATA
# where it reads a data set.
#
#   make                    train model.json; the last line is rn-train's JSON object
#                           (from elsewhere: make -s -C examples/NAME, or make adds a line of its own)
#   make pipeline           the same model as a shell pipeline
#   make RUNS=20 SEED=7 THREADS=2 PLACEMENT=staged DEVICE=cuda RN_DATA=/data

SELF      := $(dir $(abspath $(lastword $(MAKEFILE_LIST))))
BIN       ?= $(SELF)../build/release/bin
RN_DATA   ?= $(SELF)../../shared/data
RUNS      ?= 1
SEED      ?= 1
THREADS   ?= 2
PLACEMENT ?= fused
DEVICE    ?= cpu
OUT       ?= $(SELF)../build/examples/$(EXAMPLE)

export PATH := $(BIN):$(PATH)
FLAGS = --runs $(RUNS) --seed $(SEED) --threads $(THREADS) --placement $(PLACEMENT) \
        --device $(DEVICE) --tag example=$(EXAMPLE) --output-dir $(OUT) --json
ifdef DATA
FLAGS += --set data=$(abspath $(RN_DATA))/$(DATA)
endif

train:
	@mkdir -p $(OUT)
	@rn-train model.json $(FLAGS) -o $(OUT)/model.rnm

pipeline:
	@mkdir -p $(OUT)
	@RN_DATA=$(abspath $(RN_DATA)) OUT=$(OUT) RUNS=$(RUNS) SEED=$(SEED) THREADS=$(THREADS) \
	 PLACEMENT=$(PLACEMENT) DEVICE=$(DEVICE) ./pipeline.sh

.PHONY: train pipeline
