#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The GCN of examples/gcn-csl, gcn-exp and gcn-sr25 with PyTorch Geometric: graphs are classified.

usage: graphs_pyg.py DATA_DIR EPOCHS THREADS
"""
from peer import arguments, ints, table, torch, train

import torch.nn.functional as F
from torch_geometric.nn import GCNConv, global_mean_pool


class GCN(torch.nn.Module):
    def __init__(self, width, classes, d=16, layers=4):
        super().__init__()
        self.convs = torch.nn.ModuleList(GCNConv(d if i else width, d) for i in range(layers))
        self.out = torch.nn.Linear(d, classes)

    def forward(self, x, edge_index, graph):
        for conv in self.convs:
            x = conv(x, edge_index).relu()
        return self.out(global_mean_pool(x, graph))


folder, epochs, _ = arguments()
node, edge, graphs = (table(folder, t) for t in ("node", "edge", "graph"))
y, graph = ints(graphs["label"]), ints(node["graph_id"])
training = ints(graphs["fold"]) != 0 if "fold" in graphs else torch.ones(len(y), dtype=torch.bool)
x = ints(node["type"]).float()[:, None] if "type" in node else torch.ones(len(graph), 1)
edge_index = torch.stack([ints(edge["src"]), ints(edge["dst"])])
model = GCN(1, int(y.max()) + 1)

train(epochs, lambda learning: model(x, edge_index, graph), lambda z: F.cross_entropy(z[training], y[training]),
      model.parameters(), lambda z: (z.argmax(1) == y).float().mean().item(), lr=0.01)
