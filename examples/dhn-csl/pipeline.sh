#!/bin/bash
# DHN on CSL as a shell pipeline: the model of model.relnn, the same bits.  Its templates are loops here.
set -euo pipefail
D=${RN_DATA:?}/csl
MOST=${MOST:-8} FOLD=${FOLD:-0}
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT

rn-scan "$D/node.csv" --key node_id -o "$t/node.er"
rn-scan "$D/edge.csv.zst" -o "$t/edge.er"
rn-filter "fold != $FOLD" <(rn-scan "$D/graph.csv" --key graph_id) -o "$t/trained.er"
rn-filter "fold = $FOLD" <(rn-scan "$D/graph.csv" --key graph_id) -o "$t/tested.er"

# map P I: what a node is at position I of a walk of P steps
map() {
  rn-project "$t/node.er" --cols n=node_id |
    rn-map "Linear(20, 10, name=\"Lin3<$1,$2>\")(ReLU(Linear(20, 20, name=\"Lin2<$1,$2>\")(
      ReLU(Linear(1, 20, name=\"Lin1<$1,$2>\")(1)))))" --name "M$1_$2"
}
# cycle P: the closed walks of P steps
cycle() {
  local p=$1 k
  rn-join "$t/edge.er" <(map "$p" 1) --on dst=n | rn-project --cols r=src,w=dst |
    rn-agg 'sum(z)' --by r,w >"$t/walk$p.1"
  for ((k = 2; k < p; k++)); do
    rn-join z="$t/walk$p.$((k - 1))" "$t/edge.er" --on w=src |
      rn-join z=- m=<(map "$p" "$k") --on dst=n |
      rn-project --cols r,w=dst | rn-agg 'sum(z * m)' --by r,w >"$t/walk$p.$k"
  done
  rn-join z="$t/walk$p.$((p - 1))" "$t/edge.er" --on w=src,r=dst | rn-agg 'sum(z)' --by r |
    rn-join m=<(map "$p" 0) z=- --on n=r --how left | rn-project --cols r=n | rn-map 'm * z'
}
cycle 2 >"$t/all2"
names=z2
for ((p = 3; p <= MOST; p++)); do
  names+=", z$p"
  rn-join "$([ "$p" = 3 ] && echo z2=)$t/all$((p - 1))" "z$p"=<(cycle "$p") --on r -o "$t/all$p"
done

# the logarithm, standardised over the nodes of the training graphs
rn-map "Concat($names)" "$t/all$MOST" | rn-map 'sign(z) * log1p(abs(z))' |
  rn-project --cols c=0,n=r -o "$t/log.er"
rn-join z="$t/log.er" <(rn-join "$t/node.er" "$t/trained.er" --on graph_id |
  rn-project --cols n=node_id) --on n | rn-project --cols c,n -o "$t/fit.er"
rn-agg 'mean(z)' --by c "$t/fit.er" -o "$t/mean.er"
rn-join z="$t/fit.er" m="$t/mean.er" --on c | rn-agg 'mean((z - m) ** 2)' --by c -o "$t/var.er"
rn-join z="$t/log.er" m="$t/mean.er" --on c | rn-join - v="$t/var.er" --on c |
  rn-map '(z - m) / sqrt(v + 1e-5)' | rn-project --cols r=n |
  rn-map "Linear(20, 10)(ReLU(Linear(20, 20)(ReLU(Linear(10 * ($MOST - 1), 20)(z)))))" --name H |
  rn-join - "$t/node.er" --on r=node_id |
  rn-agg 'sum(z)' --by graph_id --name Sum |
  rn-map 'Linear(10, 10)(z)' --name Logits -o "$t/logits.er"

of() { rn-join "$t/logits.er" "$t/$1.er" --on graph_id; }
rn-train <(of trained | rn-loss cross-entropy --target label) \
  --eval test=<(of tested) --eval train=<(of trained) --pred all="$t/logits.er" \
  --metric accuracy --target label --lr 0.01 --epochs "${EPOCHS:-80}" \
  --runs "${RUNS:-1}" --seed "${SEED:-1}" --threads "${THREADS:-2}" \
  --placement "${PLACEMENT:-fused}" --device "${DEVICE:-cpu}" \
  --tag example=dhn-csl --output-dir "${OUT:-$t}" --json -o "${OUT:-$t}/model.rnm"
