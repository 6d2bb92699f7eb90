# What the hypergraph examples share: the ten published splits, one after the other.
SOURCES := Node=node.csv InEdge=in_edge.csv HasWord=has_word.csv.zst TrainNode=train_node.csv
include ../example.mk

splits:
	@mkdir -p $(OUT)
	@../over split_no 1 10 test rn-train $(MODEL) $(FLAGS)

.DEFAULT_GOAL := splits
.PHONY: splits
