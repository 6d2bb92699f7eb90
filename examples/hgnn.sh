#!/bin/bash
# hgnn.sh HYPERGRAPH WORDS CLASSES: the HGNN of the three examples hgnn-* as a shell pipeline; the model of
# their model.relnn, the same bits.
set -euo pipefail
D=${RN_DATA:?}/hypergraph/${1:?usage: hgnn.sh HYPERGRAPH WORDS CLASSES}
WORDS=$2 CLASSES=$3 SPLIT=${SPLIT:-1}
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT

rn-scan "$D/node.csv" --key node_id -o "$t/node.er"

# x(node_id; [WORDS], sparse): row-normalised bag of words
rn-scan "$D/has_word.csv.zst" |
  rn-encode "index(word_id, $WORDS)" |
  rn-agg 'sum(z)' --by node_id --keys "$t/node.er" |
  rn-map 'z / clamp(rowsum(z), 1, 1e9)' -o "$t/x.er"

# in(e, v): the hyperedges of each node, and one of its own
rn-project "$t/node.er" --cols 'e=-1 - node_id,v=node_id' |
  rn-union <(rn-scan "$D/in_edge.csv" | rn-project --cols e=edge_id,v=node_id) - |
  rn-agg --by e,v -o "$t/in.er"
rn-agg "$t/in.er" --by v --cols 'dv=count(*)' -o "$t/dv.er"
rn-agg "$t/in.er" --by e --cols 'de=count(*)' -o "$t/de.er"

# gather(e, v; [1]) = De^-1 H' Dv^-1/2 and scatter(e, v; [1]) = Dv^-1/2 H
rn-join "$t/in.er" "$t/dv.er" --on v -o "$t/w.er"
rn-map '1 / sqrt([dv])' "$t/w.er" | rn-project --cols e,v --name scatter -o "$t/scatter.er"
rn-join "$t/w.er" "$t/de.er" --on e | rn-map '1 / ([de] * sqrt([dv]))' |
  rn-project --cols e,v --name gather -o "$t/gather.er"

# through H E N: rows H on standard input to the hyperedges E and back to the nodes N
through() {
  rn-join "$1"=- gather="$t/gather.er" --on v |
    rn-agg "sum(gather * $1)" --by e --name "$2" |
    rn-join "$2"=- scatter="$t/scatter.er" --on e |
    rn-agg "sum(scatter * $2)" --by v --name "$3"
}
rn-project "$t/x.er" --cols v=node_id |
  rn-map "Linear($WORDS, 32, init=\"glorot\")(Dropout(0.5)(z))" --name H1 |
  through H1 E1 N1 |
  rn-map "Linear(32, $CLASSES, init=\"glorot\")(Dropout(0.5)(ReLU(z)))" --name H2 |
  through H2 E2 Logits >"$t/logits.er"

rn-scan "$D/train_node.csv" | rn-filter "split_no = $SPLIT" | rn-project --cols v=node_id -o "$t/train.er"
rn-join "$t/logits.er" "$t/node.er" --on v=node_id -o "$t/out.er"
rn-train <(rn-join "$t/out.er" "$t/train.er" --on v | rn-loss cross-entropy --target label) \
  --eval test=<(rn-join "$t/out.er" "$t/train.er" --on v --how anti) --pred all="$t/logits.er" \
  --metric accuracy --target label --lr 0.01 --weight-decay 5e-4 --epochs 200 \
  --runs "${RUNS:-1}" --seed "${SEED:-1}" --threads "${THREADS:-2}" \
  --placement "${PLACEMENT:-fused}" --device "${DEVICE:-cpu}" \
  --tag "example=hgnn-${1//_/-}" --output-dir "${OUT:-$t}" --json -o "${OUT:-$t}/model.rnm"
