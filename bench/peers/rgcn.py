#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The R-GCN of models/rgcn.relnn: plain PyTorch, all relations as one sparse matrix over 24 M parameters, or
PyTorch Geometric's FastRGCNConv with 30 bases (4.1 M), as its example for AIFB has it; and with fewer the model
of examples/rgcn.

usage: rgcn.py DATA_DIR EPOCHS THREADS torch|pyg [BASES]
"""
from peer import arguments, codes, ints, mask, table, torch, train

import torch.nn.functional as F

folder, epochs, more = arguments()
node, triple = table(folder, "node"), table(folder, "triple")
y, n = codes(node["label"]), len(node["label"])
s, o = (ints(triple[c]) for c in list(triple)[::2])  # subject, predicate, object
p = codes(list(triple.values())[1])
relations, hidden, classes = 2 * (int(p.max()) + 1), 16, int(y.max()) + 1
source, target, kind = torch.cat([s, o]), torch.cat([o, s]), torch.cat([2 * p, 2 * p + 1])
training, test = mask(node["split"], "train"), mask(node["split"], "test")

if more[0] == "pyg":
    from torch_geometric.nn import FastRGCNConv

    bases = int(more[1]) if len(more) > 1 else 30

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = FastRGCNConv(n, hidden, relations, num_bases=bases)
            self.conv2 = FastRGCNConv(hidden, classes, relations, num_bases=bases)

        def forward(self, learning):
            h = F.relu(self.conv1(None, index, kind))
            return self.conv2(h, index, kind)

    index = torch.stack([source, target])
    model = forward = Net()
else:
    class Net(torch.nn.Module):
        """Per layer: [n, R n] times the relations' tables one under the other; R has the self-loop."""

        def __init__(self):
            super().__init__()
            self.w1 = torch.nn.Parameter(torch.empty((relations + 1) * n, hidden).uniform_(-0.1, 0.1))
            self.w2 = torch.nn.Parameter(torch.empty(relations + 1, hidden, classes).uniform_(-0.3, 0.3))
            self.b1, self.b2 = (torch.nn.Parameter(torch.zeros(w)) for w in (hidden, classes))

        def forward(self, learning):
            h = F.relu(adj @ self.w1 + self.b1)
            h = torch.einsum("nh,rhc->rnc", h, self.w2)
            return adj @ h.reshape((relations + 1) * n, classes) + self.b2

    per = torch.bincount(kind * n + target, minlength=relations * n).float()
    weight = torch.cat([1 / per[kind * n + target], torch.ones(n)])
    rows = torch.cat([target, torch.arange(n)])
    columns = torch.cat([kind * n + source, relations * n + torch.arange(n)])
    adj = torch.sparse_coo_tensor(torch.stack([rows, columns]), weight, (n, (relations + 1) * n))
    adj = adj.coalesce().to_sparse_csr()
    model = forward = Net()

train(epochs, forward, lambda z: F.cross_entropy(z[training], y[training]), model.parameters(),
      lambda z: (z.argmax(1) == y)[test].float().mean().item(), lr=0.01, weight_decay=5e-4)
