#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The GCN of models/gcn.relnn: PyTorch with a sparse adjacency matrix, or PyTorch Geometric's GCNConv.

usage: gcn_large.py DATA_DIR EPOCHS THREADS torch|pyg
"""
from peer import DEVICE, arguments, ints, mask, table, torch, train

import numpy
import torch.nn.functional as F

folder, epochs, more = arguments()
node = table(folder, "node")
x, y = torch.from_numpy(numpy.load(f"{folder}/x.npy")).to(DEVICE), ints(node["label"])
n, widths = len(y), [x.shape[1], 256, 256, int(y.max()) + 1]
src, dst = torch.from_numpy(numpy.load(f"{folder}/edge.npy")).to(DEVICE)
training, test = mask(node["split"], "train"), mask(node["split"], "test")

if more[0] == "pyg":
    from torch_geometric.nn import GCNConv

    layers = torch.nn.ModuleList(GCNConv(a, b, cached=True) for a, b in zip(widths, widths[1:]))
    index = torch.stack([src, dst])

    def propagate(layer, h):
        return layer(h, index)
else:
    layers = torch.nn.ModuleList(torch.nn.Linear(a, b) for a, b in zip(widths, widths[1:]))
    s, t = torch.cat([src, torch.arange(n)]), torch.cat([dst, torch.arange(n)])
    degree = torch.bincount(t, minlength=n).float()
    adj = torch.sparse_coo_tensor(torch.stack([t, s]), (degree[s] * degree[t]).clamp(min=1).rsqrt(), (n, n))
    adj = adj.coalesce().to_sparse_csr()

    def propagate(layer, h):
        return adj @ layer(h)


def forward(learning):
    h = x
    for i, layer in enumerate(layers):
        if i:
            h = F.dropout(h.relu(), 0.5, learning)
        h = propagate(layer, h)
    return h


train(epochs, forward, lambda z: F.cross_entropy(z[training], y[training]), layers.parameters(),
      lambda z: (z.argmax(1) == y)[test].float().mean().item(), lr=0.01)
