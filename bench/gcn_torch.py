#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The GCN of examples/gcn-cora as a PyTorch user would write it with sparse features.

usage: gcn_torch.py DATA_DIR EPOCHS [THREADS]
Prints one JSON object: milliseconds per epoch (median training step), seconds in all, accuracy.
"""
import csv
import io
import json
import subprocess
import sys
import time

start = time.perf_counter()
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402


def table(path):
    if path.endswith(".zst"):
        text = subprocess.run(["zstd", "-dcq", path], check=True, capture_output=True).stdout.decode()
    else:
        text = open(path).read()
    return list(csv.DictReader(io.StringIO(text)))


def main():
    folder, epochs = sys.argv[1], int(sys.argv[2])
    threads = int(sys.argv[3]) if len(sys.argv) > 3 else 2
    torch.set_num_threads(threads)
    torch.manual_seed(1)

    papers = table(f"{folder}/paper.csv")
    n = len(papers)
    label = torch.tensor([int(p["label"] or 0) for p in papers])
    mask = {s: torch.tensor([p["split"] == s for p in papers]) for s in ("train", "val", "test")}
    words = table(f"{folder}/has_word.csv.zst")
    row = torch.tensor([int(w["paper_id"]) for w in words])
    col = torch.tensor([int(w["word_id"]) for w in words])
    width = 1433 if "cora" in folder else 3703
    per_row = torch.bincount(row, minlength=n).clamp(min=1).float()
    x_val = 1.0 / per_row[row]

    cites = table(f"{folder}/cites.csv")
    src = torch.tensor([int(c["src"]) for c in cites] + list(range(n)))
    dst = torch.tensor([int(c["dst"]) for c in cites] + list(range(n)))
    deg = torch.bincount(dst, minlength=n).float()
    adj = torch.sparse_coo_tensor(torch.stack([dst, src]), (deg[src] * deg[dst]).rsqrt(), (n, n))
    adj = adj.coalesce().to_sparse_csr()

    classes = int(label.max()) + 1
    w1 = torch.nn.Parameter(torch.nn.init.xavier_uniform_(torch.empty(width, 16)))
    w2 = torch.nn.Parameter(torch.nn.init.xavier_uniform_(torch.empty(16, classes)))
    opt = torch.optim.Adam([{"params": [w1], "weight_decay": 5e-4}, {"params": [w2]}], lr=0.01)
    index = torch.stack([row, col])

    def forward(training):
        v = F.dropout(x_val, 0.5, training)
        x = torch.sparse_coo_tensor(index, v, (n, width))
        h = adj @ torch.sparse.mm(x, w1)
        h = F.dropout(F.relu(h), 0.5, training)
        return adj @ (h @ w2)

    steps, best, test = [], -1.0, 0.0
    for _ in range(epochs):
        t = time.perf_counter()
        opt.zero_grad()
        loss = F.cross_entropy(forward(True)[mask["train"]], label[mask["train"]])
        loss.backward()
        opt.step()
        steps.append(time.perf_counter() - t)
        with torch.no_grad():
            hit = forward(False).argmax(1) == label
        val = hit[mask["val"]].float().mean().item()
        if val > best:
            best, test = val, hit[mask["test"]].float().mean().item()
    steps.sort()
    print(json.dumps({
        "peer": f"torch {torch.__version__} sparse", "threads": threads,
        "ms_per_epoch": 1e3 * steps[len(steps) // 2],
        "seconds_total": time.perf_counter() - start, "test": test}))


main()
