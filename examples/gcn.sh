#!/bin/bash
# gcn.sh GRAPH WORDS CLASSES: the GCN (Kipf and Welling 2017) of the examples gcn-cora and gcn-citeseer as a shell
# pipeline; the model of their model.json, the same bits.
set -euo pipefail
D=${RN_DATA:?}/${1:?usage: gcn.sh GRAPH WORDS CLASSES}
WORDS=$2 CLASSES=$3
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT

rn-scan "$D/paper.csv" --key paper_id -o "$t/paper.er"

# x(paper_id; [WORDS], sparse): row-normalised bag of words
rn-scan "$D/has_word.csv.zst" |
  rn-encode "index(word_id, $WORDS)" --name word |
  rn-agg 'sum(z)' --by paper_id --keys "$t/paper.er" --name bag |
  rn-map 'z / clamp(rowsum(z), 1, 1e9)' --name x -o "$t/x.er"

# adj(src, dst; [1]): 1 / sqrt(d_src d_dst), with self-loops
rn-project "$t/paper.er" --cols src=paper_id,dst=paper_id --name self |
  rn-union "$D/cites.csv" - --name edge -o "$t/edge.er"
rn-agg "$t/edge.er" --by dst --cols 'd=count(*)' --name deg -o "$t/deg.er"
rn-join e="$t/edge.er" s="$t/deg.er" --on src=dst --name e1 |
  rn-join e=- t="$t/deg.er" --on dst --name e2 |
  rn-map '1 / sqrt([s.d] * [t.d])' --name w |
  rn-project --cols src,dst --name adj -o "$t/adj.er"

# the network: deferred from the first dropout on
rn-map 'Dropout(0.5)(z)' "$t/x.er" --name drop0 |
  rn-linear 16 --no-bias --init glorot --name h1 |
  rn-join - "$t/adj.er" --on paper_id=src --name j1 |
  rn-agg 'sum(adj * h1)' --by dst --name a1 |
  rn-map 'Dropout(0.5)(ReLU(z))' --name drop1 |
  rn-linear "$CLASSES" --no-bias --init glorot --name h2 |
  rn-join - "$t/adj.er" --on dst=src --name j2 |
  rn-agg 'sum(adj * h2)' --by adj.dst --name logits -o "$t/logits.er"

rn-join "$t/logits.er" "$t/paper.er" --on dst=paper_id --name out -o "$t/out.er"
rows() { rn-filter "split = '$1'" "$t/out.er" --name "$1"; }
rn-train <(rows train | rn-loss cross-entropy --target label --name loss) \
  --val <(rows val) --eval test=<(rows test) --pred all="$t/logits.er" \
  --metric accuracy --target label \
  --optimizer adam --lr 0.01 --decay 'h1*=5e-4' --epochs 200 \
  --runs "${RUNS:-10}" --seed "${SEED:-1}" --threads "${THREADS:-2}" \
  --placement "${PLACEMENT:-fused}" --device "${DEVICE:-cpu}" \
  --tag example="gcn-$1" --output-dir "${OUT:-$t}" --json -o "${OUT:-$t}/model.rnm"
