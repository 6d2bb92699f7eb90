#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The GCN of examples/gcn-cora as a PyTorch user would write it with sparse features; it validates each epoch.

usage: gcn_sparse.py DATA_DIR EPOCHS THREADS
"""
from peer import arguments, ints, mask, table, torch, train

import torch.nn.functional as F

folder, epochs, _ = arguments()
paper, words, cites = (table(folder, t) for t in ("paper", "has_word", "cites"))
y, n = ints(paper["label"]), len(paper["label"])
training, validation, test = (mask(paper["split"], s) for s in ("train", "val", "test"))
row, col = ints(words["paper_id"]), ints(words["word_id"])
x = 1.0 / torch.bincount(row, minlength=n).clamp(min=1).float()[row]
index, shape = torch.stack([row, col]), (n, 1433)

src, dst = (torch.cat([ints(cites[c]), torch.arange(n)]) for c in ("src", "dst"))
degree = torch.bincount(dst, minlength=n).float()
adj = torch.sparse_coo_tensor(torch.stack([dst, src]), (degree[src] * degree[dst]).rsqrt(), (n, n))
adj = adj.coalesce().to_sparse_csr()

w1 = torch.nn.Parameter(torch.nn.init.xavier_uniform_(torch.empty(shape[1], 16)))
w2 = torch.nn.Parameter(torch.nn.init.xavier_uniform_(torch.empty(16, int(y.max()) + 1)))
best = {"val": -1.0, "test": 0.0}


def forward(learning):
    words = torch.sparse_coo_tensor(index, F.dropout(x, 0.5, learning), shape)
    h = adj @ torch.sparse.mm(words, w1)
    return adj @ (F.dropout(h.relu(), 0.5, learning) @ w2)


def validate(z):
    hit = (z.argmax(1) == y).float()
    if hit[validation].mean() > best["val"]:
        best.update(val=hit[validation].mean().item(), test=hit[test].mean().item())


train(epochs, forward, lambda z: F.cross_entropy(z[training], y[training]),
      [{"params": [w1], "weight_decay": 5e-4}, {"params": [w2]}], lambda z: best["test"], each=validate, lr=0.01)
