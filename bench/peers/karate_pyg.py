#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The model of examples/karate with PyTorch Geometric: a vector for each member, and means of neighbours.

usage: karate_pyg.py DATA_DIR EPOCHS THREADS
"""
from peer import arguments, codes, ints, mask, table, torch, train

import torch.nn.functional as F
from torch_geometric.nn import SimpleConv

folder, epochs, _ = arguments()
member, tie = table(folder, "member"), table(folder, "tie")
y, n = codes(member["club"]), len(member["club"])
a, b = ints(tie["a"]) - 1, ints(tie["b"]) - 1
edge_index = torch.stack([torch.cat([a, b, torch.arange(n)]), torch.cat([b, a, torch.arange(n)])])
training, test = mask(member["split"], "train"), mask(member["split"], "test")


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.x = torch.nn.Parameter(torch.randn(n, 16))
        self.mean = SimpleConv(aggr="mean")
        self.hidden, self.out = torch.nn.Linear(16, 8), torch.nn.Linear(8, 2)

    def forward(self, learning):
        h = torch.tanh(self.hidden(self.mean(self.x, edge_index)))
        return self.out(self.mean(h, edge_index))


net = Net()
train(epochs, net, lambda z: F.cross_entropy(z[training], y[training]), net.parameters(),
      lambda z: (z.argmax(1) == y)[test].float().mean().item(), lr=0.01, weight_decay=5e-4)
