#!/bin/bash
# Zachary's karate club as a shell pipeline: the model of model.json, the same bits.
set -euo pipefail
cd "$(dirname "$0")"
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT

rn-scan member.csv --key member -o "$t/member.er"
rn-scan tie.csv -o "$t/tie.er"
rn-union <(rn-project "$t/tie.er" --cols src=a,dst=b --name to) \
  <(rn-project "$t/tie.er" --cols src=b,dst=a --name from) \
  <(rn-project "$t/member.er" --cols src=member,dst=member --name self) --name edge -o "$t/edge.er"

rn-embed 16 "$t/member.er" --name x |
  rn-join - "$t/edge.er" --on member=src --name j1 |
  rn-agg 'mean(x)' --by dst --name a1 |
  rn-map 'Tanh()(Linear(16, 8)(z))' --name h1 |
  rn-join - "$t/edge.er" --on dst=src --name j2 |
  rn-agg 'mean(h1)' --by edge.dst --name a2 |
  rn-linear 2 --name logits -o "$t/logits.er"

rn-join "$t/logits.er" "$t/member.er" --on dst=member --name out -o "$t/out.er"
rows() { rn-filter "split = '$1'" "$t/out.er" --name "$1"; }
rn-train <(rows train | rn-loss cross-entropy --target club --name loss) \
  --eval test=<(rows test) --pred all="$t/logits.er" --metric accuracy --target club \
  --optimizer adam --lr 0.01 --weight-decay 5e-4 --epochs 100 \
  --runs "${RUNS:-1}" --seed "${SEED:-1}" --threads "${THREADS:-2}" \
  --placement "${PLACEMENT:-fused}" --device "${DEVICE:-cpu}" \
  --tag example=karate --output-dir "${OUT:-$t}" --json -o "${OUT:-$t}/model.rnm"
