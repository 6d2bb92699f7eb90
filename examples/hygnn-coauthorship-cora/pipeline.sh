#!/bin/bash
# HyGNN on the co-authorship hypergraph of Cora as a shell pipeline: the model of model.relnn, the same bits.
set -euo pipefail
D=${RN_DATA:?}/hypergraph/coauthorship_cora
SPLIT=${SPLIT:-1}
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT

rn-scan "$D/node.csv" --key node_id -o "$t/node.er"
rn-scan "$D/in_edge.csv" | rn-project --cols s=edge_id,j=node_id -o "$t/in.er"

# p(j; [128]): papers; x(s; [128]): authors
rn-scan "$D/has_word.csv.zst" |
  rn-encode 'index(word_id, 1433)' |
  rn-agg 'sum(z)' --by node_id --keys "$t/node.er" |
  rn-project --cols j=node_id |
  rn-map 'Linear(1433, 128)(Dropout(0.5)(z / clamp(rowsum(z), 1, 1e9)))' --name P -o "$t/p.er"
rn-project "$t/in.er" --cols s | rn-agg --by s | rn-map 'Tensor(1, 128, 1.0)' --name X -o "$t/x.er"

# linear NAME WIDTH ROWS: a named transform, for where the name of the rows is another
linear() {
  rn-map "Linear(128, $2, name=\"$1\")(z)" "$3"
}
# score KEYS QUERIES KEY QUERY: the scores of all incidences
score() {
  rn-join "$t/in.er" k=<(cat "$1") --on "$3" | rn-join k=- x=<(cat "$2") --on "$4" |
    rn-map 'LeakyReLU(0.01)(dot(k, x) / sqrt(64))'
}
# level 1, papers to their authors; level 2, authors to their papers
score <(linear W2 64 "$t/p.er") <(linear W3 64 "$t/x.er") j s |
  rn-join a=- v=<(linear W1 128 "$t/p.er") --on j |
  rn-agg 'sum(softmax(a; s) * v)' --by s --name X1 -o "$t/x1.er"
score <(linear W5 64 "$t/x1.er") <(linear W6 64 "$t/p.er") s j |
  rn-join a=- v=<(linear W4 128 "$t/x1.er") --on s |
  rn-agg 'sum(softmax(a; j) * v)' --by j --name E -o "$t/e.er"
rn-join p="$t/p.er" e="$t/e.er" --on j --how left |
  rn-map 'Linear(2 * 128, 7)(Dropout(0.5)(Concat(e, p)))' --name Logits -o "$t/logits.er"

rn-scan "$D/train_node.csv" | rn-filter "split_no = $SPLIT" | rn-project --cols j=node_id -o "$t/train.er"
rn-join "$t/logits.er" "$t/node.er" --on j=node_id -o "$t/out.er"
rn-train <(rn-join "$t/out.er" "$t/train.er" --on j | rn-loss cross-entropy --target label) \
  --eval test=<(rn-join "$t/out.er" "$t/train.er" --on j --how anti) --pred all="$t/logits.er" \
  --metric accuracy --target label --lr 0.005 --weight-decay 5e-4 --epochs 200 \
  --runs "${RUNS:-1}" --seed "${SEED:-1}" --threads "${THREADS:-2}" \
  --placement "${PLACEMENT:-fused}" --device "${DEVICE:-cpu}" \
  --tag example=hygnn-coauthorship-cora --output-dir "${OUT:-$t}" --json -o "${OUT:-$t}/model.rnm"
