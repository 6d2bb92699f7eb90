# What the examples of graph classification share: FOLDS of them, one after the other, if any.
include ../example.mk

ifdef FOLDS
last = $(shell expr $(FOLDS) - 1)

folds:
	@mkdir -p $(OUT)
	@$(call all-configs,../over fold 0 $(last) "test train" rn-train $(MODEL) $(FLAGS))

.DEFAULT_GOAL := folds
.PHONY: folds
endif
