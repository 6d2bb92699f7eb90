# What the examples share.  Included by examples/NAME/Makefile, which sets EXAMPLE, and for a data
# set DATA, its folder, and SOURCES, its files as NAME=FILE.
#
#   make                    train MODEL; the last line is rn-train's JSON object
#                           (from elsewhere: make -s -C examples/NAME, or make adds a line of its own)
#   make json               the same model from model.json
#   make compile            write model.json anew, where it is made of model.relnn
#   make pipeline           the same model as a shell pipeline, where there is one
#   make RUNS=20 SEED=7 THREADS=2 PLACEMENT=staged DEVICE=cuda RN_DATA=/data
#   make MORE='--epochs 2'  further options of rn-train

SELF      := $(dir $(abspath $(lastword $(MAKEFILE_LIST))))
BIN       ?= $(SELF)../build/release/bin
RN_DATA   ?= $(SELF)../../shared/data
RUNS      ?= 1
SEED      ?= 1
THREADS   ?= 2
PLACEMENT ?= fused
DEVICE    ?= cpu
OUT       ?= $(SELF)../build/examples/$(EXAMPLE)
MODEL     ?= model.relnn
PIPELINE  ?= ./pipeline.sh

export PATH := $(BIN):$(PATH)
FLAGS = --runs $(RUNS) --seed $(SEED) --threads $(THREADS) --placement $(PLACEMENT) \
        --device $(DEVICE) --tag example=$(EXAMPLE) --output-dir $(OUT) --json $(MORE) \
        $(foreach s,$(SOURCES),--source $(subst =,=$(abspath $(RN_DATA))/$(DATA)/,$(s)))

# The command for each of CONFIGS, settings beside the program's own (a list each, as norm=1,drop=0.2),
# and last for the program as it is.
comma := ,
all-configs = $(foreach c,$(CONFIGS),$(1) --tag config=$(c) $(addprefix --set ,$(subst $(comma), ,$(c))) &&) \
              $(1)

train:
	@mkdir -p $(OUT)
	@$(call all-configs,rn-train $(MODEL) $(FLAGS) -o $(OUT)/model.rnm)

# Of what model.relnn has, model.json has the sources that are read, and no constants.
in-spec = $(foreach s,$(SOURCES),$(if $(shell grep '^ *"$(firstword $(subst =, ,$(s)))":' model.json),$(s)))

json:
	@$(MAKE) -s train MODEL=model.json CONFIGS= SOURCES='$(in-spec)'

compile:
	@rn-compile model.relnn -o model.json

pipeline:
	@test -x $(firstword $(PIPELINE)) || \
	 { echo "$(EXAMPLE) is not written as a pipeline, only as $(wildcard model.relnn model.json)" >&2; exit 1; }
	@mkdir -p $(OUT)
	@RN_DATA=$(abspath $(RN_DATA)) OUT=$(OUT) RUNS=$(RUNS) SEED=$(SEED) THREADS=$(THREADS) \
	 PLACEMENT=$(PLACEMENT) DEVICE=$(DEVICE) $(PIPELINE)

.PHONY: train json compile pipeline
